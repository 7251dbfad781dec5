"""Generated brains: one template, deformed per subject and imaged again, as SynthSeg does.

The tissue maps of the MNI152 template (they come with nilearn) are deformed by an affine and an
elastic transform drawn from a seed, those that torchio would apply; an image is then made from the
maps, a mean per tissue, a bias field and noise. Nobody's anatomy is in it but the template's
average.

How to call it::

    person = brain.subject(7, spacing=2)     # labels, tissues, affine; axes (x, y, z), RAS
    t1 = brain.image(person.tissues, brain.T1, np.random.default_rng(7))    # (x, y, z), 0 to ~1.2

nilearn is imported when a subject is made, not before. torchio itself is not: its import, with
PyTorch's, takes as long as twenty subjects, and so does asking its transforms voxel by voxel.

Sources: Billot B et al., SynthSeg, Medical Image Analysis 86, 102789 (2023); Fonov V et al.,
NeuroImage 47, S102 (2009) for the template.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec

import numpy as np

from ..errors import DataError, ParameterError

VERSION = 2  # of the drawing: twins that use it add it to their own version
LABELS = {0: "background", 1: "CSF", 2: "grey matter", 3: "white matter"}
# Signal of background, CSF, grey and white matter in the contrasts that the twins use.
T1 = (0.0, 0.22, 0.60, 0.86)
T2 = (0.0, 0.95, 0.60, 0.42)
FLAIR = (0.0, 0.14, 0.56, 0.47)
FINEST, COARSEST = 1, 6  # mm
MARGIN = 14  # mm of background around the template, so that no deformed brain is cut off


@dataclass(frozen=True)
class Subject:
    """One generated brain.

    Attributes
    ----------
    labels : ndarray of uint8, (x, y, z)
        The values of ``LABELS``.
    tissues : ndarray of float32, (3, x, y, z)
        Fractions of CSF, grey and white matter in each voxel; what lacks to 1 is background.
    affine : ndarray of float64, (4, 4)
        Voxel indices to mm; x to the right, y to the front, z to the top (RAS).
    """

    labels: np.ndarray
    tissues: np.ndarray
    affine: np.ndarray


@lru_cache(maxsize=2)
def template(spacing: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Return the tissue maps of the MNI152 template and their affine.

    Parameters
    ----------
    spacing : int
        Edge of a voxel, mm.

    Returns
    -------
    tissues : ndarray of float32, (3, x, y, z)
        CSF, grey and white matter.
    affine : ndarray of float64, (4, 4)

    Raises
    ------
    ParameterError
        For a spacing that is no whole number from ``FINEST`` to ``COARSEST``.
    """
    if not isinstance(spacing, int) or not FINEST <= spacing <= COARSEST:
        raise ParameterError(
            f"the spacing of a brain must be a whole number of mm from {FINEST} to {COARSEST}, "
            f"found {spacing!r}: pass one of them"
        )
    _require("nilearn")
    from nilearn import datasets

    grey = datasets.load_mni152_gm_template(resolution=spacing)
    white = datasets.load_mni152_wm_template(resolution=spacing).get_fdata(dtype=np.float32)
    inside = datasets.load_mni152_brain_mask(resolution=spacing).get_fdata(dtype=np.float32)
    affine = np.array(grey.affine, np.float64)
    maps = _with_fluid(grey.get_fdata(dtype=np.float32), white, inside, spacing)
    return _framed(maps, affine, int(np.ceil(MARGIN / spacing)))


def _require(*packages: str) -> None:
    """Raise one clear line for a package that is not installed."""
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise DataError(
            f"the generated brains need {' and '.join(packages)}, found no {missing[0]}: "
            f"install with 'pip install {' '.join(missing)}', or use real data"
        )


def _with_fluid(
    grey: np.ndarray, white: np.ndarray, inside: np.ndarray, spacing: int
) -> np.ndarray:
    """Stack CSF, grey and white matter.

    The template is an average: its sulci are half filled. What is not clearly tissue becomes CSF,
    and so does a rim of 2 mm around the brain.
    """
    from scipy.ndimage import gaussian_filter

    tissue = grey + white
    sharp = np.clip((tissue - 0.45) / 0.40, 0, 1) / np.maximum(tissue, 0.45)
    head = gaussian_filter(inside, 2 / spacing)
    head = np.maximum(np.clip((head - 0.10) / 0.20, 0, 1), inside)
    grey, white = grey * sharp, white * sharp
    return np.stack([np.clip(head - grey - white, 0, 1), grey, white])


def _framed(maps: np.ndarray, affine: np.ndarray, border: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut the maps to the brain and put a border of background around it."""
    places = np.argwhere(maps.sum(0) > 0.5)
    low, high = places.min(0), places.max(0) + 1
    cut = maps[(slice(None), *map(slice, low, high))]
    affine[:3, 3] += affine[:3, :3] @ (low - border)
    return np.pad(cut, [(0, 0), *[(border, border)] * 3]), affine


def subject(
    seed: int | Sequence[int],
    spacing: int = 2,
    strength: float = 1.0,
    source: tuple[np.ndarray, np.ndarray] | None = None,
) -> Subject:
    """Deform the template into one subject.

    Parameters
    ----------
    seed : int or sequence of int
        The subject follows from it.
    spacing : int
        Edge of a voxel, mm. The time goes with the voxels: halving the spacing takes eight times
        as long.
    strength : float
        0: the template itself; 1: differences as between people (size to 10 %, tilt to 8 degrees,
        borders shifted by up to 7 mm).
    source : tuple, optional
        What `template` returned, perhaps in another process: then nilearn is not imported in this.

    Returns
    -------
    Subject

    Raises
    ------
    ParameterError
        For a spacing out of range, or a strength outside 0 to 2.
    """
    if not 0 <= strength <= 2:
        raise ParameterError(f"strength must lie between 0 and 2, found {strength!r}: pass 1")
    maps, affine = source or template(spacing)
    rng = np.random.default_rng(seed)
    maps = deform(maps, affine[0, 0], rng, strength) if strength else maps
    tissues = np.clip(maps, 0, 1)
    tissues /= np.maximum(tissues.sum(0), 1)
    return Subject(label_map(tissues), tissues, affine.copy())


def label_map(tissues: np.ndarray) -> np.ndarray:
    """Return the label of the largest fraction in each voxel, background included.

    Parameters
    ----------
    tissues : ndarray, (3, ...)
        CSF, grey and white matter.

    Returns
    -------
    ndarray of uint8, (...)

    Examples
    --------
    >>> label_map(np.array([[0.6, 0.1], [0.2, 0.1], [0.1, 0.1]])).tolist()
    [1, 0]
    """
    tissues = np.asarray(tissues)
    whole = np.concatenate([1 - tissues.sum(0, keepdims=True), tissues])
    return whole.argmax(0).astype(np.uint8)


def deform(
    maps: np.ndarray, spacing: float, rng: np.random.Generator, strength: float
) -> np.ndarray:
    """Move the maps by an elastic and an affine transform drawn from ``rng``."""
    return taken(maps, person(maps.shape[1:], spacing, rng, strength), spacing)


def person(
    shape: Sequence[int], spacing: float, rng: np.random.Generator, strength: float
) -> np.ndarray:
    """Return where each voxel of a person lies in the template.

    Parameters
    ----------
    shape : sequence of 3 int
        Of the volume, (x, y, z).
    spacing : float
        Edge of a voxel, mm.
    rng : numpy.random.Generator
    strength : float
        See `subject`.

    Returns
    -------
    ndarray of float32, (3, x, y, z)
        Places, mm from the middle of the first voxel along x, y and z.
    """
    scales = 1 + strength * rng.uniform(-0.10, 0.10, 3)
    degrees = strength * rng.uniform(-8, 8, 3)
    shift = strength * rng.uniform(-4, 4, 3)
    points = strength * rng.uniform(-7, 7, (7, 7, 7, 3))
    for axis in range(3):  # nothing moves at the faces of the volume
        edge = np.moveaxis(points, axis, 0)
        edge[[0, 1, -2, -1]] = 0
    return turned(bent(shape, spacing, points), middle(shape, spacing), scales, degrees, shift)


def middle(shape: Sequence[int], spacing: float) -> np.ndarray:
    """Return the place of the middle of a volume, mm from that of its first voxel.

    Examples
    --------
    >>> middle((3, 5, 1), 2.0).tolist()
    [2.0, 4.0, 0.0]
    """
    return (np.array(shape) - 1) * spacing / 2


def bent(shape: Sequence[int], spacing: float, points: np.ndarray) -> np.ndarray:
    """Return the places of all voxels after an elastic deformation, a cubic B-spline.

    The transform that ``torchio.ElasticDeformation`` applies, there with axes to the left and to
    the back. On a regular grid a spline in three dimensions is three in one, which takes a
    thirtieth of the time of asking it voxel by voxel.

    Parameters
    ----------
    shape : sequence of 3 int
    spacing : float
        Edge of a voxel, mm.
    points : ndarray, (x, y, z, 3)
        How far each control point moves along x, y and z, mm; at least 4 along each axis.

    Returns
    -------
    ndarray of float32, (3, x, y, z)
        Places, mm from the middle of the first voxel.
    """
    from scipy.interpolate import BSpline

    weights = []
    for length, count in zip(shape, points.shape):
        knots = np.arange(-3.0, count + 1)
        # ITK's control points reach an eighth of a voxel beyond the volume
        along = (count - 3) * (np.arange(length) + 0.625) / (length + 0.25)
        weights.append(BSpline.design_matrix(along, knots, 3).toarray())
    moved = np.einsum("xi,yj,zk,ijkc->cxyz", *weights, points, optimize=True)
    return (spacing * np.indices(shape) + moved).astype(np.float32)


def turned(
    places: np.ndarray,
    around: Sequence[float],
    scales: Sequence[float],
    degrees: Sequence[float],
    shift: Sequence[float],
) -> np.ndarray:
    """Return where places came from before all was turned, shifted and scaled.

    The transform that ``torchio.Affine`` applies.

    Parameters
    ----------
    places : ndarray, (3, ...)
        mm along x, y and z.
    around : sequence of 3 float
        The place around which to turn and scale, mm.
    scales, degrees, shift : sequence of 3 float
        Along or around x, y and z; above a scale of 1 things get larger; mm.

    Returns
    -------
    ndarray of float32, shape of ``places``

    Examples
    --------
    >>> turned(np.array([4.0, 0.0, 0.0]), [0, 0, 0], [2, 1, 1], [0, 0, 90], [0, 0, 0]).round(1)
    array([ 0., -2.,  0.], dtype=float32)
    """
    from scipy.spatial.transform import Rotation

    x, y, z = degrees
    back = Rotation.from_euler("ZXY", [z, x, y], degrees=True).inv().as_matrix()
    matrix = back / np.asarray(scales)
    constant = around - matrix @ np.asarray(around) - back @ np.asarray(shift)
    found = np.tensordot(matrix.astype(np.float32), np.asarray(places, np.float32), 1)
    return found + constant.astype(np.float32).reshape(3, *(1,) * (places.ndim - 1))


def taken(maps: np.ndarray, places: np.ndarray, spacing: float) -> np.ndarray:
    """Interpolate maps at places.

    Parameters
    ----------
    maps : ndarray of float32, (map, x, y, z)
    places : ndarray, (3, x, y, z)
        mm from the middle of the first voxel.
    spacing : float
        Edge of a voxel, mm.

    Returns
    -------
    ndarray of float32, (map, x, y, z)
        0 beyond the voxels of ``maps``.
    """
    from scipy.ndimage import map_coordinates

    voxels = places / np.float32(spacing)
    return np.stack([map_coordinates(one, voxels, order=1) for one in maps])


def image(
    tissues: np.ndarray,
    means: Sequence[float],
    rng: np.random.Generator,
    *,
    texture: float = 0.03,
    bias: float = 0.25,
    blur: float = 0.0,
    noise: float = 0.02,
) -> np.ndarray:
    """Image tissue maps in one contrast.

    Parameters
    ----------
    tissues : ndarray, (3, x, y, z) or (3, x, y)
        Fractions of CSF, grey and white matter.
    means : sequence of 4 float
        Signal of background, CSF, grey and white matter, such as ``T1``.
    rng : numpy.random.Generator
    texture : float
        Standard deviation of the signal within a tissue.
    bias : float
        Size of the bias field's coefficients; 0: the coil sees evenly.
    blur : float
        Standard deviation of the scanner's point spread, voxels.
    noise : float
        Standard deviation of each of the two channels of Rician noise.

    Returns
    -------
    ndarray of float32, shape of one tissue map
        Not negative.

    Raises
    ------
    ParameterError
        For another number of means.

    Examples
    --------
    >>> grey = np.array([0.0, 1.0, 0.0]).reshape(3, 1, 1, 1) * np.ones((3, 4, 4, 4))
    >>> picture = image(grey, T1, np.random.default_rng(0), texture=0, bias=0, noise=0)
    >>> picture.shape, round(float(picture.max()), 2)
    ((4, 4, 4), 0.6)
    """
    tissues = np.asarray(tissues, np.float32)
    if len(means) != 1 + len(tissues):
        raise ParameterError(
            f"expected {1 + len(tissues)} means, background first, found {len(means)}: add or drop"
        )
    from scipy.ndimage import gaussian_filter

    outside = means[0] * (1 - tissues.sum(0))
    signal = np.tensordot(np.asarray(means[1:], np.float32), tissues, 1) + outside
    if texture:
        grain = gaussian_filter(rng.standard_normal(signal.shape, np.float32), 0.6)
        signal += texture / max(float(grain.std()), 1e-6) * grain * tissues.sum(0)
    signal = signal * bias_field(signal.shape, rng, bias)
    signal = gaussian_filter(signal, blur) if blur else signal
    return rician(signal, noise, rng)


def bias_field(shape: Sequence[int], rng: np.random.Generator, size: float) -> np.ndarray:
    """Return a smooth field to multiply an image with, geometric mean about 1.

    Parameters
    ----------
    shape : sequence of int
        Two or three axes.
    rng : numpy.random.Generator
    size : float
        Largest coefficient of the polynomial (third degree, as torchio's) whose exponential it is.

    Returns
    -------
    ndarray of float32, ``shape``

    Examples
    --------
    >>> bias_field((2, 2), np.random.default_rng(0), 0.0).tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """
    axes = [np.linspace(-1, 1, length, dtype=np.float32) for length in shape]
    grid = np.meshgrid(*axes, indexing="ij", sparse=True)
    powers = [p for p in np.ndindex(*(4,) * len(shape)) if 0 < sum(p) <= 3]
    log = np.zeros(shape, np.float32)
    for exponents, weight in zip(powers, rng.uniform(-size, size, len(powers))):
        term = np.float32(weight)
        for axis, exponent in zip(grid, exponents):
            term = term * axis**exponent if exponent else term
        log += term
    return np.exp(log - log.mean())


def rician(signal: np.ndarray, noise: float, rng: np.random.Generator) -> np.ndarray:
    """Return the magnitude of a signal with noise in its real and imaginary part.

    Examples
    --------
    >>> rician(np.array([0.5], np.float32), 0.0, np.random.default_rng(0)).tolist()
    [0.5]
    """
    real = signal + np.float32(noise) * rng.standard_normal(signal.shape, np.float32)
    imaginary = np.float32(noise) * rng.standard_normal(signal.shape, np.float32)
    return np.hypot(real, imaginary, dtype=np.float32)
