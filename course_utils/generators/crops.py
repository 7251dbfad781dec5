"""A feed of augmented crops: batch ``b`` of epoch ``e`` is a pure function of the seed."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import ndtri

from ..errors import ParameterError
from .feed import batch_of, feed_class

Augment = Callable[[np.random.Generator, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
GREY = np.arange(256) / 255


def normalise(image: np.ndarray, low: float = 1.0, high: float = 99.8) -> np.ndarray:
    """Stretch the grey levels between two percentiles of the whole image to 0..255.

    Parameters
    ----------
    image : ndarray, (y, x, channel)
    low, high : float
        Percentiles over all channels together: the colours stay what they are.

    Returns
    -------
    ndarray, uint8, shape as ``image``

    Examples
    --------
    >>> normalise(np.array([[[10.0], [20.0], [30.0]]]), 0, 100).ravel().tolist()
    [0, 128, 255]
    """
    # Every fourth pixel is enough for a percentile, and sorting is most of the work.
    thin = image[::2, ::2] if min(image.shape[:2]) >= 128 else image
    bottom, top = np.percentile(thin, (low, high))
    scaled = (image.astype(np.float32) - bottom) * (255 / max(top - bottom, 1e-6))
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def cut(
    rng: np.random.Generator,
    image: np.ndarray,
    target: np.ndarray,
    size: int,
    zoom: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Cut the same random square from image and target.

    Parameters
    ----------
    rng : numpy.random.Generator
    image, target : ndarray, uint8, (y, x, channel)
        The same height and width; smaller images are continued by reflection.
    size : int
        Side of the result, pixels.
    zoom : float
        Half of the crops are enlarged or shrunk by a factor between ``1 / zoom`` and ``zoom``: the
        image by bilinear interpolation or, where it shrinks, by the mean over what a pixel covers;
        the target by the nearest pixel.

    Returns
    -------
    image, target : ndarray, uint8, (size, size, channel)
    """
    factor = np.exp(rng.uniform(-1, 1) * np.log(zoom)) if zoom > 1 and rng.random() < 0.5 else 1.0
    side = round(size / factor)
    image, target = _at_least(image, side), _at_least(target, side)
    y, x = (rng.integers(0, length - side + 1) for length in image.shape[:2])
    image, target = (array[y : y + side, x : x + side] for array in (image, target))
    if side == size:
        return image, target
    cv2 = _opencv()
    smooth = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    return tuple(
        cv2.resize(array, (size, size), interpolation=how).reshape(size, size, -1)
        for array, how in ((image, smooth), (target, cv2.INTER_NEAREST_EXACT))
    )


def _at_least(array: np.ndarray, side: int) -> np.ndarray:
    missing = [max(0, side - length) for length in array.shape[:2]]
    if not any(missing):
        return array
    return np.pad(array, [(m // 2, m - m // 2) for m in missing] + [(0, 0)], mode="symmetric")


def affine(image: np.ndarray, matrix: np.ndarray, nearest: bool = False) -> np.ndarray:
    """Turn, shift, scale or shear a picture: one matrix for an image and its mask.

    Parameters
    ----------
    image : ndarray, uint8 or float32, (y, x) or (y, x, channel)
        At most four channels, else OpenCV rounds places to a thirty-second of a pixel.
    matrix : ndarray, (2, 3)
        Where a pixel of the result comes from: it maps (x, y, 1) to the (x, y) of ``image``, in
        pixels, the centre of the first pixel being (0, 0).
    nearest : bool
        Take the nearest pixel, as a mask needs it; else interpolate between four. Outside: 0.

    Returns
    -------
    ndarray, type and shape as ``image``

    Notes
    -----
    By OpenCV, in one thread: training needs the others. Its code for four channels takes half as
    long as that for three, and gives the same values: three get an empty fourth on the way.

    Examples
    --------
    >>> one_to_the_left = np.array([[1, 0, 1], [0, 1, 0]])
    >>> affine(np.array([[10, 20, 30]], np.uint8), one_to_the_left).tolist()
    [[20, 30, 0]]
    """
    cv2 = _opencv()
    if nearest and not image.any():  # a mask of nothing
        return np.zeros_like(image)
    how = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    colour = image.ndim == 3 and image.shape[2] == 3 and not nearest
    source = cv2.cvtColor(image, cv2.COLOR_RGB2RGBA) if colour else image
    moved = cv2.warpAffine(
        source, np.asarray(matrix, np.float64), image.shape[1::-1],
        flags=how | cv2.WARP_INVERSE_MAP,
    )  # fmt: skip
    return cv2.cvtColor(moved, cv2.COLOR_RGBA2RGB) if colour else moved.reshape(image.shape)


def around_middle(
    shape: Sequence[int],
    degrees: float = 0.0,
    scale: float = 1.0,
    shift: Sequence[float] = (0.0, 0.0),
    mirror: bool = False,
) -> np.ndarray:
    """Return the matrix for `affine` that turns and scales a picture around its middle, and more.

    Parameters
    ----------
    shape : sequence of int
        (y, x) or (y, x, channel) of the picture.
    degrees : float
        How far the picture turns first, clockwise.
    scale : float
        Above 1 things get larger.
    shift : sequence of 2 float
        How far it moves to the right and down at last, pixels.
    mirror : bool
        Exchange left and right, after turning and before moving.

    Returns
    -------
    ndarray, (2, 3)

    Examples
    --------
    >>> around_middle((3, 3), scale=2, shift=(1, 0)).tolist()
    [[0.5, 0.0, 0.0], [-0.0, 0.5, 0.5]]
    """
    # Numbers, not arrays: numpy takes longer to set up a dozen tiny ones than OpenCV to draw.
    angle, across = math.radians(degrees), -1.0 if mirror else 1.0
    cos, sin = math.cos(angle) / scale, math.sin(angle) / scale
    y, x = ((length - 1) / 2 for length in shape[:2])
    rows = (across * cos, sin), (-across * sin, cos)
    right, down = x + shift[0], y + shift[1]
    return np.array([[a, b, at - a * right - b * down] for (a, b), at in zip(rows, (x, y))])


def look_up(
    image: np.ndarray, levels: np.ndarray, channels: Sequence[int] = (0, 1, 2)
) -> np.ndarray:
    """Give every grey level of every channel another value: contrast, brightness, gamma at once.

    Parameters
    ----------
    image : ndarray, uint8, (y, x, 3)
    levels : ndarray, (256, 3)
        What becomes of each level of each channel of the result.
    channels : three int
        Which channel of ``image`` each channel of the result is made from.

    Returns
    -------
    ndarray, float32, (y, x, 3)

    Notes
    -----
    By OpenCV, in one thread, as `affine`.

    Examples
    --------
    >>> halved = np.repeat(np.arange(256)[:, None] / 2, 3, axis=1)
    >>> look_up(np.array([[[10, 20, 30]]], np.uint8), halved, channels=[0, 0, 2]).tolist()
    [[[5.0, 5.0, 15.0]]]
    """
    if tuple(channels) != (0, 1, 2):
        image = _exchanged(image, channels)
    return _opencv().LUT(image, np.ascontiguousarray(levels, np.float32)[None])


def _exchanged(image: np.ndarray, channels: Sequence[int]) -> np.ndarray:
    """Return other channels of an RGB image: numpy's index takes six times as long."""
    taken = np.empty(image.shape, image.dtype)
    pairs = [int(n) for pair in zip(channels, range(3)) for n in pair]
    _opencv().mixChannels([image], [taken], pairs)
    return taken


@functools.cache
def _opencv():
    import cv2

    cv2.setNumThreads(1)
    return cv2


def flip_and_turn(
    rng: np.random.Generator, image: np.ndarray, target: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Apply one of the eight symmetries of the square to both, uint8 or float32 (y, x, channel)."""
    symmetry = int(rng.integers(8))
    return _symmetric(image, symmetry), _symmetric(target, symmetry)


def mirror(array: np.ndarray) -> np.ndarray:
    """Exchange left and right of an image or a mask, uint8 or float32, (y, x) or (y, x, channel).

    Examples
    --------
    >>> mirror(np.array([[1, 2, 3]], np.uint8)).tolist()
    [[3, 2, 1]]
    """
    return _symmetric(array, 4)


def _symmetric(array: np.ndarray, symmetry: int) -> np.ndarray:
    """Turn by ``symmetry % 4`` quarters against the clock, then mirror from 4 on.

    By OpenCV, which leaves no view behind: numpy's takes six times as long to be made whole.
    """
    cv2 = _opencv()
    quarters = {1: cv2.ROTATE_90_COUNTERCLOCKWISE, 2: cv2.ROTATE_180, 3: cv2.ROTATE_90_CLOCKWISE}
    moved = cv2.rotate(array, quarters[symmetry % 4]) if symmetry % 4 else array
    moved = cv2.flip(moved, 1) if symmetry >= 4 else moved
    return moved.reshape(*moved.shape[:2], *array.shape[2:])


def vary_intensity(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Change how an RGB image was taken, not what is in it.

    Parameters
    ----------
    rng : numpy.random.Generator
    image : ndarray, uint8, (y, x, 3)

    Returns
    -------
    ndarray, float32, (y, x, 3), about 0..1
        Made grey (20 % of the images) or its channels shuffled (24 %); inverted (15 %); gamma
        between 0.6 and 1.65, contrast between 0.75 and 1.25, brightness within 0.1; normal noise
        (30 %) of a standard deviation up to 0.05.

    Notes
    -----
    What depends on the grey level alone is worked out for the 256 levels and looked up. The noise
    is looked up as well: 256 values, equally likely, of the normal distribution; drawing each
    number from the whole of it would take nine times as long.
    """
    cv2 = _opencv()
    if rng.random() < 0.2:
        red, green, blue = np.moveaxis(image.astype(np.uint16), -1, 0)
        image = np.repeat(((red + green + blue) // 3).astype(np.uint8)[..., None], 3, -1)
    elif rng.random() < 0.3:
        image = _exchanged(image, rng.permutation(3))
    level = GREY[::-1] if rng.random() < 0.15 else GREY
    level = level ** np.exp(rng.uniform(-0.5, 0.5))
    level = level * rng.uniform(0.75, 1.25) + rng.uniform(-0.1, 0.1)
    varied = cv2.LUT(image, level.astype(np.float32))
    if rng.random() < 0.3:
        which = np.frombuffer(rng.bytes(image.size), np.uint8).reshape(image.shape)
        varied += cv2.LUT(which, rng.uniform(0, 0.05) * _normal())
    return varied


@functools.cache
def _normal() -> np.ndarray:
    """Return 256 numbers, float32, as likely as each other in a standard normal distribution."""
    numbers = ndtri((np.arange(256) + 0.5) / 256)
    return (numbers / numbers.std()).astype(np.float32)


def crops(
    images: Sequence[np.ndarray],
    targets: Sequence[np.ndarray],
    *,
    size: int,
    batch: int,
    steps: int,
    seed: int,
    weights: Sequence[float] | None = None,
    zoom: float = 1.0,
    tries: int = 1,
    augment: Augment | None = None,
):
    """Return epochs of augmented crops, drawn at random, as a ``keras.utils.PyDataset``.

    Parameters
    ----------
    images : sequence of ndarray, uint8, (y, x, 3)
    targets : sequence of ndarray, uint8, (y, x, channel)
        0..255 stands for 0..1; one for each image, of its height and width.
    size, batch, steps : int
        Side of a crop in pixels, crops in a batch, batches in an epoch.
    seed : int
    weights : sequence of float, optional
        How often an image is drawn, relative to the others; equal if left out.
    zoom : float
        See `cut`.
    tries : int
        How many crops of an image are looked at for one whose target is not empty; the last is
        taken as it is, so that the network also sees plain background.
    augment : callable, optional
        ``augment(rng, image, target)`` on the uint8 arrays; what it returns as uint8 is divided by
        255 afterwards.

    Returns
    -------
    keras.utils.PyDataset
        ``feed[b]`` is ``(images, targets)``, float32, (batch, size, size, channel). Which epoch is
        drawn stands in ``feed.epoch``; `runtime.resumable` sets it.

    Raises
    ------
    ParameterError
        Image and target of a case differ in height or width, or their numbers differ.
    """
    if len(images) != len(targets) or len(images) == 0:
        raise ParameterError(
            f"expected one target an image, found {len(images)} images and {len(targets)} "
            "targets: pass the same cases for both"
        )
    for k, (image, target) in enumerate(zip(images, targets)):
        if image.shape[:2] != target.shape[:2]:
            raise ParameterError(
                f"expected a target of the image's shape {image.shape[:2]}, found "
                f"{target.shape[:2]} at position {k}: prepare both from the same case"
            )
    share = np.cumsum(np.ones(len(images)) if weights is None else np.asarray(weights, float))

    def crop(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        case = int(np.searchsorted(share, rng.uniform(0, share[-1]), side="right"))
        for left in reversed(range(tries)):
            pair = cut(rng, images[case], targets[case], size, zoom)
            if left == 0 or pair[1].any():
                break
        return augment(rng, *pair) if augment else pair

    def draw(epoch: int, step: int) -> tuple[np.ndarray, ...]:
        rng = np.random.default_rng([seed, epoch, step])
        return batch_of((crop(rng) for _ in range(batch)), batch)

    return feed_class()(draw, steps)
