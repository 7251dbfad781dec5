"""The offline twins of ISIC 2017 and ISIC 2018, task 1: generated dermoscopic images and masks.

What stands here is the plan (which images, in which part, from which source) and the publisher's
layout; `skin_drawing` draws. The ids lie in a range that neither year uses. As in the release, ids
follow the sources the images came from, so that the first fifth of the ids differs from the last;
as in the archive of all years, a few pictures lie in two parts under two ids.
"""

from __future__ import annotations

import io
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from . import skin_drawing
from .skin_drawing import Source

VERSION = 1
DEFAULT_CASES = 216
SHARES = {"Training": 0.7, "Validation": 0.09, "Test": 0.21}
DUPLICATES = {"Test": 3, "Validation": 1}
FIRST_ID = 80_000

SOURCES = (
    Source("close-up", share=0.31, sizes=((384, 512), (480, 640)), vignette=0.1, glare=0.05),
    Source("camera", share=0.20, sizes=((384, 512), (540, 720)), vignette=0.25, hair=0.5),
    Source("clinic", share=0.19, sizes=((480, 640), (576, 768)), vignette=0.5, ruler=0.4),
    Source("screening", share=0.08, sizes=((576, 768), (480, 640)), vignette=0.8, glare=0.5),
    Source("phone", share=0.18, sizes=((768, 1024), (480, 640), (600, 600)), vignette=0.4),
)
"""In the order of the ids; the mean lesion shares are about those of the real fifths."""

FOLDERS = {
    "isic2017": {
        "Training": ("ISIC-2017_Training_Data", "ISIC-2017_Training_Part1_GroundTruth"),
        "Validation": ("ISIC-2017_Validation_Data", "ISIC-2017_Validation_Part1_GroundTruth"),
        "Test": ("ISIC-2017_Test_v2_Data", "ISIC-2017_Test_v2_Part1_GroundTruth"),
    },
    "isic2018": {
        part: (f"ISIC2018_Task1-2_{part}_Input", f"ISIC2018_Task1_{part}_GroundTruth")
        for part in SHARES
    },
}
"""Dataset to part to the folders of its images and of its masks."""


@dataclass(frozen=True)
class Plan:
    """One image to be made: id, part, source, its own seed, and whose copy it is (or none)."""

    case: str
    part: str
    source: Source
    seed: int
    copy_of: int | None = None


def write_2017(folder: Path, seed: int, cases: int | None = None) -> dict:
    """Fill an empty folder with the twin of ISIC 2017; see `samples.make`."""
    return _write("isic2017", folder, seed, cases)


def write_2018(folder: Path, seed: int, cases: int | None = None) -> dict:
    """Fill an empty folder with the twin of ISIC 2018; see `samples.make`."""
    return _write("isic2018", folder, seed, cases)


def _write(name: str, folder: Path, seed: int, cases: int | None) -> dict:
    planned = plan(cases or DEFAULT_CASES, seed, year=int(name[4:]))
    for folders in FOLDERS[name].values():
        for part in folders:
            (folder / part).mkdir()
    with ThreadPoolExecutor(2) as pool:
        artefacts = list(pool.map(lambda one: _write_case(folder, FOLDERS[name], one), planned))
    copies = [
        [one.case, next(p.case for p in planned if p.seed == one.seed and p.copy_of is None)]
        for one in planned
        if one.copy_of is not None
    ]
    return {
        "cases": len(planned),
        "artefacts": {one.case: found for one, found in zip(planned, artefacts, strict=True)},
        "duplicates": copies,
    }


def plan(cases: int, seed: int, year: int = 2017) -> list[Plan]:
    """Return what to draw: the parts in their shares, each part from all sources, ids by source.

    Examples
    --------
    >>> made = plan(60, seed=0)
    >>> len(made), sorted({one.part for one in made})
    (60, ['Test', 'Training', 'Validation'])
    """
    rng = np.random.default_rng([seed, year])
    counts = _counts(cases)
    parts = rng.permutation(np.repeat(list(counts), list(counts.values())))
    places = np.sort(rng.choice(20 * cases, cases, replace=False))
    planned = []
    for rank, (part, place) in enumerate(zip(parts, places, strict=True)):
        source = SOURCES[rank * len(SOURCES) // cases]
        case = f"ISIC_{FIRST_ID + place:07d}"
        planned.append(Plan(case, str(part), source, int(rng.integers(2**31))))
    return _with_copies(planned, rng)


def _counts(cases: int) -> dict[str, int]:
    held_out = {part: max(1, round(SHARES[part] * cases)) for part in ("Validation", "Test")}
    return {"Training": cases - sum(held_out.values()), **held_out}


def _with_copies(planned: list[Plan], rng: np.random.Generator) -> list[Plan]:
    """Turn a few images of the other parts into copies of training images."""
    planned = list(planned)
    training = [one for one in planned if one.part == "Training"]
    for part, number in DUPLICATES.items():
        places = [i for i, one in enumerate(planned) if one.part == part]
        number = min(number, len(places) // 4)
        for place in rng.choice(places, number, replace=False) if number else ():
            original = training.pop(int(rng.integers(len(training))))
            planned[place] = Plan(
                planned[place].case, part, original.source, original.seed, copy_of=int(place)
            )
    return planned


def _write_case(folder: Path, folders: dict, one: Plan) -> list[str]:
    """Write image, mask and (for training images) superpixels; return what is in the picture."""
    image, mask, artefacts = skin_drawing.draw(one.source, np.random.default_rng(one.seed))
    quality = 92
    if one.copy_of is not None:  # another archive: other size, other compression
        height, width = (side * 4 // 5 for side in mask.shape)
        image = image.resize((width, height), Image.Resampling.BICUBIC)
        mask = np.asarray(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))
        quality = 80
    images, masks = (folder / name for name in folders[one.part])
    image.save(images / f"{one.case}.jpg", quality=quality)
    (masks / f"{one.case}_segmentation.png").write_bytes(png(mask))
    if one.part == "Training" and "2017" in images.name:  # in the release they lie beside the JPGs
        (images / f"{one.case}_superpixels.png").write_bytes(png(np.zeros((8, 8), np.uint8)))
    return artefacts


def png(mask: np.ndarray) -> bytes:
    """Return a grey uint8 image (y, x) as a PNG file: the same bytes whatever library is installed.

    Examples
    --------
    >>> array = np.eye(3, dtype=np.uint8) * 255
    >>> bool((np.asarray(Image.open(io.BytesIO(png(array)))) == array).all())
    True
    """
    height, width = mask.shape
    lines = np.zeros((height, 1 + width), np.uint8)
    lines[:, 1:] = mask
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = zlib.compress(lines.tobytes(), 1)
    chunks = ((b"IHDR", header), (b"IDAT", body), (b"IEND", b""))
    out = io.BytesIO()
    out.write(b"\x89PNG\r\n\x1a\n")
    for kind, content in chunks:
        out.write(struct.pack(">I", len(content)) + kind + content)
        out.write(struct.pack(">I", zlib.crc32(kind + content)))
    return out.getvalue()
