"""Volumes of CT: clipped, turned by the affine, brought to one grid; rotated and fed in batches.

A prepared volume has axes (y, x, z): rows from front to back, columns from the patient's right to
the left (as radiologists look at it), slices from foot to head.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..errors import ParameterError
from .crops import affine
from .feed import as_unit, batch_of, feed_class

WINDOW = (-1000.0, 400.0)
AXES = "PLS"
"""Where rows, columns and slices of a prepared volume lead: back, left, head."""

Vary = Callable[[np.random.Generator, np.ndarray], np.ndarray]


def turn(volume: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turn a volume so that rows lead to the back, columns to the left, slices to the head.

    Parameters
    ----------
    volume : ndarray, (i, j, k)
    affine : ndarray, (4, 4)
        From voxels to mm (RAS+).

    Returns
    -------
    volume : ndarray, (y, x, z)
        A view: axes are exchanged and reversed, no voxel is touched.
    spacing : ndarray of float, (3,)
        mm between rows, columns, slices.

    Raises
    ------
    ParameterError
        The volume has not three axes.

    Examples
    --------
    >>> stored = np.arange(6).reshape(3, 2, 1)  # i to the left, j to the front
    >>> turned, spacing = turn(stored, np.diag([-2.0, 3.0, 8.0, 1.0]))
    >>> turned[..., 0].tolist(), spacing.tolist()
    ([[1, 3, 5], [0, 2, 4]], [3.0, 2.0, 8.0])
    """
    import nibabel as nib

    if volume.ndim != 3:
        raise ParameterError(
            f"expected a volume with 3 axes, found shape {volume.shape}: pass one volume"
        )
    now = nib.io_orientation(affine)
    wanted = nib.orientations.axcodes2ornt(AXES)
    change = nib.orientations.ornt_transform(now, wanted)
    order = np.argsort(change[:, 0])
    spacing = np.linalg.norm(np.asarray(affine)[:3, :3], axis=0)[order]
    return nib.orientations.apply_orientation(volume, change), spacing


def prepare(
    volume: np.ndarray,
    affine: np.ndarray,
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
    window: tuple[float, float] = WINDOW,
) -> np.ndarray:
    """Clip HU, turn by the affine and resample to one grid in mm around the scan's middle.

    Parameters
    ----------
    volume : ndarray, (i, j, k)
        HU; it is not written to.
    affine : ndarray, (4, 4)
        From voxels to mm (RAS+).
    shape : (y, x, z)
        Voxels of the result.
    spacing : (y, x, z)
        Of the result, mm.
    window : (float, float)
        HU that become 0 and 1.

    Returns
    -------
    ndarray, float32, (y, x, z)
        0 to 1. Where the scan ends before the grid does, air (0). A finer input is averaged over
        the voxel of the result, not thinned out: noise falls and thin vessels are not lost.
    """
    turned, found = turn(volume, affine)
    weights = [grid_weights(n, mm, to, step)
               for n, mm, to, step in zip(turned.shape, found, shape, spacing)]  # fmt: skip
    return apply_weights(_unit(turned, window), weights)


def prepare_corners(
    volume: np.ndarray,
    shape: tuple[int, int, int] = (128, 128, 64),
    window: tuple[float, float] = WINDOW,
) -> np.ndarray:
    """Prepare a volume in the published recipe's geometry, fast.

    A quarter turn whatever the affine, then a linear interpolation that lays the first and last
    voxels of each axis onto each other whatever the spacing. It gives what
    ``zoom(rotate(volume, 90, reshape=False), ..., order=1)`` of ``scipy.ndimage`` gives for square
    slices, without a spline: a quarter turn only exchanges two axes and reverses one, and no
    voxel that the interpolation does not look at is computed.

    Parameters
    ----------
    volume : ndarray, (i, j, k)
        HU; it is not written to.
    shape : (int, int, int)
        Voxels of the result.
    window : (float, float)
        HU that become 0 and 1.

    Returns
    -------
    ndarray, float32, ``shape``
        0 to 1.
    """
    turned = np.rot90(volume)
    pairs = [corner_pairs(n, to) for n, to in zip(turned.shape, shape)]
    # Only the voxels that count are converted: of 512 x 512 a quarter for 128 x 128.
    near = turned[np.ix_(*(index.ravel() for index, _ in pairs[:2]), range(turned.shape[2]))]
    result = _unit(near, window)
    for axis, (index, share) in enumerate(pairs):
        result = _blend(result, axis, index.shape[1] if axis < 2 else index, share)
    return result


def corner_pairs(n: int, to: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the two neighbours (2, to) of each result voxel and the share of the second (to,).

    Examples
    --------
    >>> index, share = corner_pairs(5, 3)
    >>> index.tolist(), share.tolist()
    ([[0, 2, 4], [1, 3, 4]], [0.0, 0.0, 0.0])
    """
    place = np.arange(to) * ((n - 1) / (to - 1) if to > 1 else 0.0)
    first = np.minimum(place.astype(int), n - 1)
    second = np.minimum(first + 1, n - 1)
    return np.stack([first, second]), (place - first).astype(np.float32)


def _blend(volume: np.ndarray, axis: int, index: int | np.ndarray, share: np.ndarray) -> np.ndarray:
    """Interpolate along an axis: between its two halves (a number), or between two indices."""
    if isinstance(index, int):
        first, second = np.split(volume, [index], axis)
    else:
        first, second = (volume.take(which, axis) for which in index)
    share = share.reshape([-1 if k == axis else 1 for k in range(3)])
    return first + share * (second - first)


def _unit(volume: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    """Bring HU to 0..1 as a new float32 array, clipped at the window."""
    low, high = window
    if volume.dtype.kind == "i" and low == int(low) and high == int(high):
        clipped = np.clip(volume, int(low), int(high)).astype(np.float32)
    else:
        clipped = np.clip(volume, low, high).astype(np.float32)
    clipped -= np.float32(low)
    clipped /= np.float32(high - low)
    return clipped


def grid_weights(n: int, mm: float, to: int, step: float) -> np.ndarray:
    """Return how much each voxel of an axis counts in each voxel of the result.

    Both axes have the same middle. A result voxel of ``step`` mm takes from each voxel of ``mm``
    as much as they overlap where it is wider, and interpolates linearly where it is narrower.

    Parameters
    ----------
    n, to : int
        Voxels of the axis and of the result.
    mm, step : float
        Their sizes.

    Returns
    -------
    ndarray, float32, (to, n)
        A row adds up to 1 inside the scan, and to 0 outside.

    Examples
    --------
    >>> grid_weights(4, 1.0, 2, 2.0).tolist()
    [[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]]
    """
    place = (n - 1) / 2 + (np.arange(to) - (to - 1) / 2) * step / mm
    apart = np.abs(place[:, None] - np.arange(n)[None])
    wide = max(step / mm, 1.0)
    # Overlap of two boxes, or a triangle where the result is the finer one.
    share = np.clip((wide + 1) / 2 - apart, 0, 1) / wide
    return share.astype(np.float32)


def apply_weights(volume: np.ndarray, weights: Sequence[np.ndarray]) -> np.ndarray:
    """Resample each axis by a matrix (result, input), the most shrinking one first."""
    order = sorted(range(3), key=lambda axis: weights[axis].shape[0] / weights[axis].shape[1])
    for axis in order:
        volume = np.moveaxis(np.tensordot(weights[axis], volume, (1, axis)), 0, axis)
    return np.ascontiguousarray(volume)


def rotate_slices(volume: np.ndarray, degrees: float) -> np.ndarray:
    """Turn every slice about its middle, linearly interpolated, air (0) coming in at the corners.

    Parameters
    ----------
    volume : ndarray, float32, (y, x, z)
    degrees : float
        Against the clock as the slice is looked at.

    Returns
    -------
    ndarray, float32, (y, x, z)
        No value lies outside those of the input, as it does after a cubic spline.

    Notes
    -----
    By `affine`, four slices at a time.

    Examples
    --------
    >>> slices = np.zeros((3, 3, 1), np.float32)
    >>> slices[0, 1] = 1
    >>> rotate_slices(slices, 90)[..., 0].round(3).tolist()
    [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    matrix = np.array([[cos, -sin], [sin, cos]])
    middle = (np.array(volume.shape[1::-1]) - 1) / 2
    where = np.column_stack([matrix, middle - matrix @ middle])
    fours = (volume[..., z : z + 4] for z in range(0, volume.shape[2], 4))
    return np.concatenate([affine(slices, where) for slices in fours], axis=2)


def volumes(
    cases: Sequence[np.ndarray],
    labels: Sequence[float],
    *,
    batch: int,
    seed: int,
    vary: Vary | None = None,
):
    """Return epochs of volumes, each case once in a new order, as a ``keras.utils.PyDataset``.

    Parameters
    ----------
    cases : sequence of ndarray, uint8 or float32, (y, x, z)
        All of one shape; uint8 0..255 stands for 0..1. Memory-mapped arrays are read when drawn.
    labels : sequence of float
    batch, seed : int
        The last batch of an epoch may be smaller.
    vary : callable, optional
        ``vary(rng, volume)`` on a float32 volume (y, x, z), 0..1.

    Returns
    -------
    keras.utils.PyDataset
        ``feed[b]`` is ``(volumes, labels)``, float32, (batch, y, x, z, 1) and (batch, 1): a pure
        function of ``(seed, feed.epoch, b)``. `runtime.resumable` sets ``feed.epoch``.

    Raises
    ------
    ParameterError
        The numbers of cases and labels differ, there is none, or the shapes differ.
    """
    if len(cases) != len(labels) or len(cases) == 0:
        raise ParameterError(
            f"expected one label a case, found {len(cases)} cases and {len(labels)} labels: "
            "pass the same cases for both"
        )
    shapes = {case.shape for case in cases}
    if len(shapes) > 1:
        raise ParameterError(
            f"expected volumes of one shape, found {sorted(shapes)[:3]}: prepare all alike"
        )
    labels = np.asarray(labels, np.float32)[:, None]

    def draw(epoch: int, step: int) -> tuple[np.ndarray, np.ndarray]:
        order = np.random.default_rng([seed, epoch]).permutation(len(cases))
        drawn = order[step * batch : (step + 1) * batch]
        rng = np.random.default_rng([seed, epoch, step])
        chosen = (vary(rng, as_unit(cases[k])) if vary else cases[k] for k in drawn)
        (gathered,) = batch_of(([volume[..., None]] for volume in chosen), len(drawn))
        return gathered, labels[drawn]

    return feed_class()(draw, -(-len(cases) // batch))
