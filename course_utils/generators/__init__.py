"""Prepared arrays on disk, and the feed that cuts training batches from them.

Cases are read once (`pack`), kept in flat files and memory-mapped from then on. A feed is a
``keras.utils.PyDataset`` whose batch ``b`` of epoch ``e`` is a pure function of ``(seed, e, b)``:
the same whichever worker draws it, whenever, and after an interruption.
"""

from .crops import (
    Augment,
    affine,
    around_middle,
    crops,
    cut,
    flip_and_turn,
    look_up,
    mirror,
    normalise,
    vary_intensity,
)
from .feed import aligned, endless
from .packed import fingerprint, pack
from .volumes import prepare, prepare_corners, rotate_slices, turn, volumes

__all__ = [
    "Augment",
    "affine",
    "aligned",
    "around_middle",
    "crops",
    "cut",
    "endless",
    "fingerprint",
    "flip_and_turn",
    "look_up",
    "mirror",
    "normalise",
    "pack",
    "prepare",
    "prepare_corners",
    "rotate_slices",
    "turn",
    "vary_intensity",
    "volumes",
]
