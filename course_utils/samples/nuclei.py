"""The offline twin of BBBC038v1 (Data Science Bowl 2018, stage 1 training images).

Layout, formats and label values are the release's: ``stage1_train/<id>/images/<id>.png`` is RGBA
with alpha 255, ``stage1_train/<id>/masks/`` holds one 0/255 grey PNG a nucleus, and masks never
overlap. All nine image sizes and the three kinds of the release occur in about its shares, and most
images are tiles cut from one larger scene, as there. The images are drawn: they show no patient and
no real cell.

Source of the numbers: the release itself (https://bbbc.broadinstitute.org/BBBC038).
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import numpy as np

from ..errors import ParameterError
from . import nuclei_bright, nuclei_colour, nuclei_dark
from .nuclei_drawing import consecutive

VERSION = 9
FEWEST = 6  # cases: a mosaic of two tiles of each kind
KINDS = {"dark": nuclei_dark, "bright": nuclei_bright, "colour": nuclei_colour}


@dataclass(frozen=True)
class Plan:
    """One drawn scene: kind, style, size of a tile (y, x), number of tiles (rows, columns)."""

    kind: str
    style: str
    tile: tuple[int, int]
    grid: tuple[int, int] = (1, 1)

    @property
    def tiles(self) -> int:
        """How many images the scene is cut into."""
        return self.grid[0] * self.grid[1]


SMALL, WIDE, SQUARE, LARGE = (256, 256), (256, 320), (360, 360), (520, 696)
PLANS: tuple[Plan, ...] = (
    Plan("dark", "tissue", SMALL, (1, 2)),
    Plan("colour", "lilac-small", WIDE, (1, 2)),
    Plan("bright", "smear", WIDE, (1, 2)),
    Plan("dark", "tiny", SMALL, (2, 2)),
    Plan("dark", "culture", LARGE),
    Plan("dark", "dim", SQUARE, (2, 2)),
    Plan("colour", "white", WIDE, (2, 2)),
    Plan("dark", "spindle", SMALL, (2, 2)),
    Plan("dark", "sparse", SMALL, (2, 2)),
    Plan("dark", "crowd", SMALL),
    Plan("dark", "tissue", SMALL, (2, 2)),
    Plan("colour", "lilac-large", WIDE, (1, 2)),
    Plan("dark", "dim", SQUARE),
    Plan("dark", "dividing", LARGE),
    Plan("bright", "smear", (1024, 1024)),
    Plan("colour", "pink", WIDE),
    Plan("dark", "sparse", SMALL),
    Plan("dark", "large", LARGE),
    Plan("dark", "tiny", SMALL, (1, 2)),
    Plan("dark", "dim", SQUARE, (1, 2)),
    Plan("colour", "lilac-small", WIDE),
    Plan("dark", "lone", WIDE),
    Plan("dark", "culture", LARGE),
    Plan("dark", "packed", (260, 347)),
    Plan("dark", "noisy", (512, 640)),
    Plan("dark", "crowd", SMALL, (1, 2)),
    Plan("dark", "embryo", (603, 1272)),
    Plan("colour", "white", WIDE),
    Plan("bright", "smear", WIDE),
    Plan("dark", "spindle", SMALL),
    Plan("dark", "spindle", SMALL),
    Plan("dark", "dim", SQUARE, (1, 2)),
    Plan("dark", "huge", (1040, 1388)),
    Plan("colour", "lilac-large", WIDE),
    Plan("dark", "tiny", SMALL),
    Plan("dark", "sparse", SMALL, (2, 1)),
    Plan("dark", "sparse", SMALL),
    Plan("dark", "large", LARGE),
    Plan("dark", "tiny", SMALL),
    Plan("dark", "sparse", SMALL),
    Plan("dark", "lone", SMALL),
    # Once more what is common: a network can learn a style only if it occurs in several mosaics.
    Plan("dark", "crowd", SMALL),
    Plan("dark", "sparse", SMALL, (1, 2)),
    Plan("dark", "tissue", SMALL, (1, 2)),
    Plan("colour", "lilac-small", WIDE),
    Plan("dark", "spindle", SMALL, (1, 2)),
    Plan("dark", "crowd", SMALL, (1, 2)),
    Plan("dark", "dim", SQUARE),
    Plan("dark", "tiny", SMALL, (2, 1)),
    Plan("dark", "tiny", SMALL),
    Plan("dark", "sparse", SMALL, (2, 2)),
    Plan("dark", "tissue", SMALL),
    Plan("bright", "smear", WIDE),
    Plan("dark", "crowd", SMALL, (2, 2)),
    Plan("dark", "lone", SMALL),
    Plan("dark", "spindle", SMALL),
    Plan("dark", "tissue", SMALL),
    Plan("colour", "white", WIDE),
    Plan("colour", "lilac-small", WIDE),
    Plan("colour", "lilac-large", WIDE),
    Plan("colour", "pink", WIDE),
    # And small images again, so that a test part has images enough to tell methods apart.
    Plan("dark", "crowd", SMALL, (1, 2)),
    Plan("dark", "tissue", SMALL, (2, 1)),
    Plan("dark", "spindle", SMALL),
    Plan("dark", "tiny", SMALL),
    Plan("dark", "crowd", SMALL),
    Plan("dark", "dim", SMALL, (1, 2)),
    Plan("dark", "sparse", SMALL),
    Plan("colour", "white", WIDE),
    Plan("dark", "crowd", SMALL),
    Plan("dark", "tissue", SMALL),
    Plan("dark", "tiny", SMALL, (1, 2)),
    Plan("dark", "spindle", SMALL),
    Plan("dark", "dim", SMALL),
    Plan("colour", "lilac-small", WIDE),
    Plan("dark", "crowd", SMALL, (2, 1)),
    Plan("dark", "sparse", SMALL),
    Plan("dark", "tissue", SMALL, (1, 2)),
    Plan("colour", "lilac-large", WIDE),
    Plan("dark", "tiny", SMALL),
    Plan("dark", "spindle", SMALL, (1, 2)),
    Plan("dark", "crowd", SMALL),
    Plan("dark", "dim", SMALL),
    Plan("colour", "pink", WIDE),
    Plan("dark", "tissue", SMALL),
)
DEFAULT_CASES = sum(plan.tiles for plan in PLANS)


def plan(cases: int | None = None) -> list[Plan]:
    """Return the scenes that together give so many images; the kinds stay mixed in a short list.

    Parameters
    ----------
    cases : int, optional
        The number of images, at least ``FEWEST``; None: all of ``PLANS`` once.

    Raises
    ------
    ParameterError
        For fewer cases than hold every kind.

    Examples
    --------
    >>> [(scene.kind, scene.tiles) for scene in plan(6)]
    [('dark', 2), ('colour', 2), ('bright', 2)]
    """
    cases = DEFAULT_CASES if cases is None else cases
    if not isinstance(cases, int) or cases < FEWEST:
        raise ParameterError(
            f"the nuclei twin needs at least {FEWEST} cases to hold every kind, found {cases!r}: "
            f"ask for {FEWEST} or more"
        )
    chosen: list[Plan] = []
    left = cases
    for scene_plan in cycle(PLANS):
        if scene_plan.tiles <= left:
            chosen.append(scene_plan)
            left -= scene_plan.tiles
        if left == 0:
            return chosen


def scene(
    kind: str,
    shape: tuple[int, int],
    rng: np.random.Generator,
    style: str | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw one image and its nuclei.

    Parameters
    ----------
    kind : str
        "dark" (fluorescence), "bright" (grey transmitted light) or "colour" (stained).
    shape : tuple of int
        Height and width, pixels.
    rng : numpy.random.Generator
        The source of chance.
    style : str, optional
        One of ``styles(kind)``; None: any of them by chance.

    Returns
    -------
    rgb : ndarray of uint8, (y, x, 3)
    labels : ndarray of int32, (y, x)
        Instance map: 0 background, 1 to n the nuclei.

    Raises
    ------
    ParameterError
        For an unknown kind or style.

    Examples
    --------
    >>> rgb, labels = scene("dark", (64, 64), np.random.default_rng(1))
    >>> rgb.shape, rgb.dtype.name, labels.shape, bool(labels.max() > 0)
    ((64, 64, 3), 'uint8', (64, 64), True)
    """
    known = styles(kind)
    if style is None:
        style = known[int(rng.integers(len(known)))]
    if style not in known:
        raise ParameterError(
            f"a {kind} image has one of the styles {', '.join(known)}, found {style!r}: take one"
        )
    return KINDS[kind].scene(style, shape, rng)


def styles(kind: str) -> tuple[str, ...]:
    """Return the styles of slide of one kind of image.

    Examples
    --------
    >>> styles("bright")
    ('smear',)
    """
    if kind not in KINDS:
        raise ParameterError(
            f"an image is of kind {', '.join(KINDS)}, found {kind!r}: take one of them"
        )
    return tuple(KINDS[kind].STYLES)


def tiles(scene_plan: Plan, rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
    """Draw a scene and cut it into its tiles, row by row, each with at least one nucleus.

    Returns
    -------
    list of (rgb, labels)
        As ``scene`` gives them; nuclei on a cut belong to both tiles, with numbers of their own.
    """
    (rows, columns), (height, width) = scene_plan.grid, scene_plan.tile
    for _ in range(50):
        rgb, labels = KINDS[scene_plan.kind].scene(
            scene_plan.style, (rows * height, columns * width), rng, tile=scene_plan.tile
        )
        cuts = [
            (slice(r * height, (r + 1) * height), slice(c * width, (c + 1) * width))
            for r in range(rows)
            for c in range(columns)
        ]
        cut = [(rgb[window], consecutive(labels[window])) for window in cuts]
        if all(piece.any() for _, piece in cut):
            return cut
    raise RuntimeError(f"no scene of {scene_plan} has nuclei in every tile")


def write(folder: Path, seed: int, cases: int | None = None) -> dict:
    """Write the twin into a folder: ``stage1_train/<id>/{images,masks}/*.png``.

    Parameters
    ----------
    folder : pathlib.Path
        An empty folder; ``samples.make`` is the call that makes it whole or not at all.
    seed : int
        Every file follows from it.
    cases : int, optional
        The number of images; None: ``DEFAULT_CASES``.

    Returns
    -------
    dict
        ``cases`` and ``mosaics``: for each scene its kind, style, and its image ids in rows, as
        they lay in it (a scene of one image too).
    """
    mosaics, number = [], 0
    for index, scene_plan in enumerate(plan(cases)):
        names = []
        for rgb, labels in tiles(scene_plan, np.random.default_rng([seed, index])):
            names.append(_name("image", seed, number))
            write_case(Path(folder) / "stage1_train", names[-1], rgb, labels)
            number += 1
        columns = scene_plan.grid[1]
        grid = [names[row : row + columns] for row in range(0, len(names), columns)]
        mosaics.append({"kind": scene_plan.kind, "style": scene_plan.style, "grid": grid})
    return {"cases": number, "mosaics": mosaics}


def write_case(folder: Path, name: str, rgb: np.ndarray, labels: np.ndarray) -> None:
    """Write one image and its masks, one file a nucleus, below ``folder/<name>``.

    Parameters
    ----------
    folder : pathlib.Path
        The folder of the cases (``stage1_train``).
    name : str
        The image's id.
    rgb : ndarray of uint8, (y, x, 3)
    labels : ndarray of int32, (y, x)
        Instance map numbered 1 to n.
    """
    images, masks = folder / name / "images", folder / name / "masks"
    images.mkdir(parents=True)
    masks.mkdir()
    alpha = np.full(labels.shape, 255, np.uint8)
    (images / f"{name}.png").write_bytes(png(np.dstack([rgb, alpha])))
    for number in range(1, int(labels.max()) + 1):
        mask = (labels == number).view(np.uint8) * np.uint8(255)
        (masks / f"{_name('mask', name, number)}.png").write_bytes(png(mask))


def png(image: np.ndarray) -> bytes:
    """Return a grey (y, x) or RGBA (y, x, 4) uint8 image as a PNG file, quickly rather than small.

    Written here because thousands of small masks make up most of the twin, and because the same
    pixels then give the same bytes whatever imaging library is installed.

    Examples
    --------
    >>> png(np.zeros((2, 3), np.uint8))[:4]
    b'\\x89PNG'
    """
    height, width = image.shape[:2]
    colour = 6 if image.ndim == 3 else 0
    lines = np.zeros((height, 1 + image[0].size), np.uint8)
    lines[:, 1:] = image.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    body = zlib.compress(lines.tobytes(), 1)
    chunks = [_chunk(b"IHDR", header), _chunk(b"IDAT", body), _chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + check


def _name(*parts: object) -> str:
    """Return 64 hexadecimal digits that follow from the parts, like the release's ids."""
    return hashlib.sha256(" ".join(map(str, ("bbbc038 twin", *parts))).encode()).hexdigest()
