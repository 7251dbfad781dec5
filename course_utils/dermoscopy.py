"""What dermoscopic images ask for: which files show one picture, how light skin is, what is on it.

Nothing here knows a dataset: arrays go in, numbers come out. Images are uint8 with axes
(y, x, channel), RGB.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image
from scipy import ndimage, sparse

from .errors import ParameterError

ITA_CLASSES = {
    "very light": 55.0,
    "light": 41.0,
    "intermediate": 28.0,
    "tan": 10.0,
    "brown": -30.0,
    "dark": -90.0,
}
"""Lowest individual typology angle of each class, degrees (Chardon 1991, del Bino 2013)."""


def image_hash(image: np.ndarray, side: int = 16) -> np.ndarray:
    """Return a hash that survives other sizes and another compression of the same picture.

    The image is reduced to ``side`` rows of ``side + 1`` grey levels; a bit says whether a level
    is above its left neighbour (a "difference hash").

    Parameters
    ----------
    image : ndarray, uint8, (y, x, 3)
    side : int

    Returns
    -------
    ndarray of bool, (side * side,)

    Examples
    --------
    >>> ramp = np.tile(np.arange(64, dtype=np.uint8)[None, :, None], (64, 1, 3))
    >>> bool(image_hash(ramp).all()), bool(image_hash(ramp[:, ::-1]).any())
    (True, False)
    """
    grey = Image.fromarray(np.ascontiguousarray(image)).convert("L")
    small = np.asarray(grey.resize((side + 1, side), Image.Resampling.BOX), np.int16)
    return (np.diff(small, axis=1) > 0).ravel()


def duplicate_pairs(
    images: Sequence[np.ndarray], differ: float = 0.04
) -> list[tuple[int, int, float]]:
    """Return the pairs of images whose hashes differ in few bits.

    Parameters
    ----------
    images : sequence of ndarray, uint8, (y, x, 3)
    differ : float
        Largest share of differing bits. Cropped, mirrored or turned copies differ in more.

    Returns
    -------
    list of (int, int, float)
        Two positions, the smaller first, and the share of bits that differ; the closest first.

    Examples
    --------
    >>> noise = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    >>> duplicate_pairs([noise[0], noise[1], noise[0]])
    [(0, 2, 0.0)]
    """
    hashes = np.stack([image_hash(image) for image in images])
    packed = np.packbits(hashes, axis=1)
    pairs = []
    for first in range(len(packed) - 1):  # a row at a time: memory stays small
        bits = np.bitwise_count(packed[first + 1 :] ^ packed[first]).sum(1) / hashes.shape[1]
        near = np.flatnonzero(bits <= differ)
        pairs += [(first, first + 1 + int(k), float(bits[k])) for k in near]
    return sorted(pairs, key=lambda pair: (pair[2], pair[:2]))


def duplicate_groups(names: Sequence[str], pairs: Sequence[tuple]) -> list[str]:
    """Return the group of each image: its own name, or the first name among its duplicates.

    Examples
    --------
    >>> duplicate_groups(["a", "b", "c"], [(0, 2, 0.0)])
    ['a', 'b', 'a']
    """
    rows, columns = ([pair[side] for pair in pairs] for side in (0, 1))
    graph = sparse.coo_array((np.ones(len(rows)), (rows, columns)), shape=(len(names),) * 2)
    _, component = sparse.csgraph.connected_components(graph, directed=False)
    first = {}
    for name, number in zip(names, component, strict=True):
        first.setdefault(number, name)
    return [first[number] for number in component]


def ita(image: np.ndarray, lesion: np.ndarray) -> float:
    """Return the individual typology angle of the skin around a lesion, in degrees.

    ``atan2(L* - 50, b*)`` of the median colour of the skin: high for light skin. Left out are the
    lesion, a margin around it, and what is darker than a fifth of the brightest skin (hair, the
    black corners) or overexposed.

    Parameters
    ----------
    image : ndarray, uint8, (y, x, 3)
    lesion : ndarray of bool, (y, x)

    Returns
    -------
    float
        Degrees; NaN where fewer than one pixel in two hundred is left.

    References
    ----------
    A. Chardon, I. Cretois, C. Hourseau, "Skin colour typology and suntanning pathways",
    International Journal of Cosmetic Science 13, 1991.

    Examples
    --------
    >>> skin = np.full((8, 8, 3), (230, 200, 180), np.uint8)
    >>> round(ita(skin, np.zeros((8, 8), bool)))
    67
    """
    from skimage.color import rgb2lab

    if image.shape[:2] != lesion.shape:
        raise ParameterError(
            f"image and lesion must have one shape, found {image.shape[:2]} and {lesion.shape}: "
            "take both from the same case"
        )
    margin = max(1, min(lesion.shape) // 25)
    near = ndimage.binary_dilation(lesion, iterations=margin) if lesion.any() else lesion
    level = image.mean(-1)
    top = np.percentile(level, 95)
    skin = ~near & (level > 0.2 * top) & (image.max(-1) < 252)
    if skin.sum() < skin.size / 200:
        return float("nan")
    light, _, yellow = np.median(rgb2lab(image[skin][None])[0], axis=0)
    return float(np.degrees(np.arctan2(light - 50, max(yellow, 1e-6))))


def ita_class(angle: float) -> str:
    """Return the class of an individual typology angle in degrees.

    Examples
    --------
    >>> ita_class(60), ita_class(30), ita_class(-40)
    ('very light', 'intermediate', 'dark')
    """
    return next((name for name, lowest in ITA_CLASSES.items() if angle > lowest), "dark")


def hair_share(image: np.ndarray) -> float:
    """Return the share of pixels that belong to long thin dark lines: hair.

    Parameters
    ----------
    image : ndarray, uint8, (y, x, 3)
        About 256 pixels high; above 0.004 there is hair (so on the generated images, where it is
        known).

    Returns
    -------
    float
        0 to 1.

    Notes
    -----
    A grey closing of 7 pixels fills what is thin and dark. Where it lifts the darkest channel by
    more than 15, and such pixels form a region that is longer than 8 % of the image's height and
    narrow, a hair was. The closing is DullRazor's.

    References
    ----------
    T. Lee et al., "DullRazor: a software approach to hair removal from images", Computers in
    Biology and Medicine 27, 1997.

    Examples
    --------
    >>> image = np.full((40, 40, 3), 200, np.uint8)
    >>> image[:, 20] = 20
    >>> hair_share(image)
    0.025
    """
    height, width, pixels = _thin_dark_regions(image)
    length = np.hypot(height, width)
    hair = (length > 0.08 * image.shape[0]) & (pixels < 4 * length)
    return float(pixels[hair].sum() / image[..., 0].size)


def ruler_marks(image: np.ndarray) -> int:
    """Return how many short dark strokes begin, or end, on one line: the marks of a ruler.

    Parameters
    ----------
    image : ndarray, uint8, (y, x, 3)
        About 256 pixels high; five or more are a ruler.

    Examples
    --------
    >>> image = np.full((64, 64, 3), 200, np.uint8)
    >>> image[50:58, 4::8] = 20
    >>> ruler_marks(image)
    8
    """
    regions, _ = _labelled_lines(image)
    boxes = ndimage.find_objects(regions)
    best = 0
    for along, across in ((0, 1), (1, 0)):
        strokes = [box for box in boxes if _is_stroke(box[along], box[across])]
        for end in ("start", "stop"):
            places = np.array([getattr(box[along], end) for box in strokes], int)
            line = np.convolve(np.bincount(places, minlength=3), np.ones(3, int))
            best = max(best, int(line.max()))
    return best


def _is_stroke(along: slice, across: slice) -> bool:
    length, thickness = along.stop - along.start, across.stop - across.start
    return 4 <= length <= 20 and thickness <= 4 and length >= 1.5 * thickness


def _labelled_lines(image: np.ndarray, width: int = 7, level: int = 15) -> tuple[np.ndarray, int]:
    """Return the regions, numbered, that a grey closing fills: dark and thinner than ``width``."""
    darkest = image.min(-1).astype(np.int16)
    lifted = ndimage.grey_closing(darkest, size=width) - darkest
    return ndimage.label(lifted > level, np.ones((3, 3)))


def _thin_dark_regions(image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return height, width and number of pixels of each thin dark region."""
    regions, count = _labelled_lines(image)
    boxes = ndimage.find_objects(regions)
    height, width = (
        np.array([box[axis].stop - box[axis].start for box in boxes], float) for axis in (0, 1)
    )
    return height, width, np.bincount(regions.ravel(), minlength=count + 1)[1:]


def corner_level(image: np.ndarray) -> float:
    """Return how bright the four corners are, compared with the image's median; 1 means as bright.

    Examples
    --------
    >>> image = np.full((40, 40, 3), 200, np.uint8)
    >>> corner_level(image)
    1.0
    """
    height, width = (max(1, side // 16) for side in image.shape[:2])
    rows, columns = (
        (slice(None, height), slice(-height, None)),
        (slice(None, width), slice(-width, None)),
    )
    corners = [np.median(image[row, column]) for row in rows for column in columns]
    return float(np.mean(corners) / max(np.median(image), 1.0))


def touches_border(lesion: np.ndarray) -> bool:
    """Say whether a lesion reaches the edge of the image.

    Examples
    --------
    >>> touches_border(np.eye(3, dtype=bool)), touches_border(np.zeros((3, 3), bool))
    (True, False)
    """
    edges = (lesion[0], lesion[-1], lesion[:, 0], lesion[:, -1])
    return any(bool(edge.any()) for edge in edges)
