"""What it costs lesson 4 to decode full-size photographs: `pack` against one after another.

    python benchmarks/skin_decode.py [--rounds 5] [--folder DATASET]

The first way reads image after image with scikit-image and resizes image and mask with it, as the
tutorials do; the second is the lesson's own: decoded at reduced size, two threads, written to the
cache. They are timed in turn, and the ratio of each pair is taken. Without ``--folder`` the images
are generated: eight photographs of 4288 x 2848 pixels. The result goes to
``benchmarks/results/skin_decode.json`` with the machine and the versions.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from compare import paired, write
from PIL import Image

from course_utils import datasets, generators
from course_utils.samples import skin, skin_drawing

SIZE = 256
SHAPE = (2848, 4288)


def photographs(folder: Path, number: int = 8) -> Path:
    """Write generated photographs of 12 megapixels and their masks in the layout of ISIC 2017."""
    images, masks = (folder / name for name in skin.FOLDERS["isic2017"]["Validation"])
    images.mkdir()
    masks.mkdir()
    source = skin_drawing.Source("full size", share=0.2, sizes=(SHAPE,))
    for k in range(number):
        image, mask, _ = skin_drawing.draw(source, np.random.default_rng(k))
        image.save(images / f"ISIC_{k:07d}.jpg", quality=92)
        Image.fromarray(mask).save(masks / f"ISIC_{k:07d}_segmentation.png")
    return folder


def one_after_another(rows: list) -> None:
    from skimage import io, transform

    for row in rows:
        transform.resize(io.imread(row["image"]), (SIZE, SIZE), anti_aliasing=True)
        transform.resize(io.imread(row["mask"]), (SIZE, SIZE), order=0)


def packed(rows: list) -> None:
    with tempfile.TemporaryDirectory() as cache:
        generators.pack(
            rows, lambda row: datasets.read_lesion(row, SIZE), Path(cache) / "p", progress=False
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", help="a folder with ISIC-2017_*_Data; left out: generated")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = chosen.folder or photographs(Path(made))
        table = datasets.index("isic2017", folder)
        rows = [row for _, row in table.iterrows()]
        timed = paired(lambda: one_after_another(rows), lambda: packed(rows), chosen.rounds)
    result = {
        "read and resize one after another / decode and cache": timed,
        "cases": len(rows),
        "megapixels": round(float((table.height * table.width).mean()) / 1e6, 1),
        "data": "given folder" if chosen.folder else "generated photographs",
    }
    write("skin_decode_given" if chosen.folder else "skin_decode", result)


if __name__ == "__main__":
    main()
