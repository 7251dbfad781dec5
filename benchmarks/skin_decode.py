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
import json
import platform
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from course_utils import datasets, generators, runtime
from course_utils.samples import skin, skin_drawing

ROOT = Path(__file__).resolve().parents[1]
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


def seconds(work, rows: list) -> float:
    began = time.perf_counter()
    work(rows)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", help="a folder with ISIC-2017_*_Data; left out: generated")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = chosen.folder or photographs(Path(made))
        table = datasets.index("isic2017", folder)
        rows = [row for _, row in table.iterrows()]
        pairs = [
            (seconds(one_after_another, rows), seconds(packed, rows)) for _ in range(chosen.rounds)
        ]
    ratios = sorted(a / b for a, b in pairs)
    result = {
        "read and resize one after another / decode and cache": {
            "first_s": round(statistics.median(a for a, _ in pairs), 3),
            "second_s": round(statistics.median(b for _, b in pairs), 3),
            "ratio": round(statistics.median(ratios), 2),
            "ratio_min_max": [round(ratios[0], 2), round(ratios[-1], 2)],
            "rounds": chosen.rounds,
        },
        "cases": len(rows),
        "megapixels": round(float((table.height * table.width).mean()) / 1e6, 1),
        "data": "given folder" if chosen.folder else "generated photographs",
        "machine": f"{platform.machine()}, {runtime.device()}",
        "versions": runtime.versions(),
    }
    text = json.dumps(result, indent=1)
    name = "skin_decode_given.json" if chosen.folder else "skin_decode.json"
    (ROOT / "benchmarks" / "results" / name).write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
