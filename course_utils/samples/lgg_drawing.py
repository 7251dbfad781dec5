"""How one generated patient of the LGG twin is drawn: a head, a tumour, three sequences.

Volumes have axes (x, y, z) in RAS millimetres, as in ``brain``; slices have axes (slice, y, x), the
first slice lowest, the nose up and the patient's right on the left, as in the real set.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from . import brain

SPACING = 4  # mm of the volumes; slices are drawn at about 1 mm from them
SIZE = 256  # pixels along each side of a slice
SEQUENCES = ("pre-contrast", "FLAIR", "post-contrast")
# Signal of CSF, grey, white matter, soft tissue of the face, skull marrow, fat of the scalp.
SIGNAL = {
    "pre-contrast": (0.10, 0.36, 0.44, 0.30, 0.24, 0.80),
    "FLAIR": (0.08, 0.42, 0.35, 0.30, 0.20, 0.62),
    "post-contrast": (0.11, 0.38, 0.46, 0.40, 0.28, 0.84),
}
SMALLEST = 25  # pixels: less tumour than that was not outlined


@dataclass(frozen=True)
class Site:
    """How the scanners of one institution differ: brightness, contrast, noise, coil."""

    gain: float
    gamma: float
    noise: float
    bias: float


SITES = {
    "DU": Site(0.62, 1.10, 0.014, 0.20),
    "HT": Site(0.78, 1.00, 0.016, 0.30),
    "CS": Site(0.70, 0.95, 0.026, 0.24),
    "FG": Site(0.85, 1.05, 0.012, 0.34),
    "EZ": Site(0.75, 0.90, 0.020, 0.20),
}


def patient(
    seed: tuple[int, ...], slices: int, site: str, missing: str | None
) -> tuple[np.ndarray, np.ndarray]:
    """Draw all slices of one patient.

    Parameters
    ----------
    seed : tuple of int
        Everything follows from it.
    slices : int
    site : str
        A key of ``SITES``.
    missing : {None, "pre-contrast", "post-contrast"}
        The sequence that was not taken: its channel is a copy of FLAIR, as in the real set.

    Returns
    -------
    images : ndarray of uint8, (slice, y, x, 3)
        The channels in the order of ``SEQUENCES``.
    masks : ndarray of uint8, (slice, y, x)
        0, and 255 where the FLAIR signal is abnormal.
    """
    return draw(brain.subject((*seed, 0), SPACING), (*seed, 1), slices, site, missing)


def draw(
    person: brain.Subject, seed: tuple[int, ...], slices: int, site: str, missing: str | None
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the slices of a subject that is there already; see `patient`."""
    rng = np.random.default_rng(seed)
    field = tumour_field(person, rng)
    spots = harmless_spots(person, rng)
    planes = Planes(person, slices, rng)
    tissues = sharpened(planes.take(person.tissues))
    field = planes.take(field[None])[0]
    spots = planes.take(spots[None])[0]
    inside = tissues[1] + tissues[2]
    masks = outlined((field > 0) & (inside > 0.4))
    head = planes.head(person.labels > 0)
    kinds = materials(tissues, head, planes.noise(rng, 6.0))
    looks = tumour_looks(rng)
    scanner = SITES[site]
    channels = {}
    for name in SEQUENCES:
        signal = np.tensordot(np.array(SIGNAL[name], np.float32), kinds, 1)
        signal += inside * (tumour_signal(name, field, looks, planes.noise(rng, 5.0)))
        signal += inside * spots * (0.0 if name == "pre-contrast" else SPOT_SIGNAL[name])
        signal += vessels(planes, head) if name == "post-contrast" else 0
        channels[name] = exposed(signal, planes, scanner, rng)
    for name in (missing,) if missing else ():
        channels[name] = channels["FLAIR"]
    return np.stack([channels[name] for name in SEQUENCES], -1), masks


SPOT_SIGNAL = {"FLAIR": 1.0, "post-contrast": -0.1}


class Planes:
    """The axial slices of one patient: where they lie, and volumes interpolated into them."""

    def __init__(self, person: brain.Subject, slices: int, rng: np.random.Generator) -> None:
        shape, self.slices = person.labels.shape, slices
        origin = person.affine[:3, 3]
        brain_z = np.flatnonzero((person.labels > 0).any((0, 1))) * SPACING
        bottom = brain_z[0] - rng.uniform(-10, 34)
        top = brain_z[-1] + rng.uniform(-16, 18)
        self.levels = np.linspace(bottom, top, slices) / SPACING
        pixel = rng.uniform(0.90, 1.10)
        middle = (np.array(shape[:2]) - 1) / 2 + rng.uniform(-3, 3, 2)
        steps = (np.arange(SIZE) - (SIZE - 1) / 2) * pixel / SPACING
        # columns run from the patient's right (+x) to the left, rows from front (+y) to back
        self.columns, self.rows = middle[0] - steps, middle[1] - steps
        beside, before = (_beyond(middle[axis] - steps, shape[axis]) * SPACING for axis in (0, 1))
        self.beyond = np.hypot(before[:, None], beside[None]).astype(np.float32)
        self.shape, self.x0 = shape, (middle[0] - steps) * SPACING + origin[0]

    def coarse(self, volumes: np.ndarray) -> np.ndarray:
        """Take (..., x, y, z) at the heights of the slices: (..., slice, x, y)."""
        return _interpolated(np.moveaxis(np.asarray(volumes, np.float32), -1, -3), self.levels, -3)

    def fine(self, planes: np.ndarray) -> np.ndarray:
        """Interpolate (..., slice, x, y) to (..., slice, row, column)."""
        wide = _interpolated(np.asarray(planes, np.float32), self.columns, -2)
        return _interpolated(np.ascontiguousarray(np.swapaxes(wide, -1, -2)), self.rows, -2)

    def take(self, volumes: np.ndarray) -> np.ndarray:
        """Return (..., slice, row, column) of (..., x, y, z)."""
        return self.fine(self.coarse(volumes))

    def noise(self, rng: np.random.Generator, scale: float) -> np.ndarray:
        """Return smooth noise of unit variance, (slice, row, column); ``scale`` in mm."""
        grain = rng.standard_normal((self.slices, *self.shape[:2]), np.float32)
        grain = ndimage.gaussian_filter(grain, (0.5, scale / SPACING, scale / SPACING))
        return self.fine(grain / grain.std())

    def bias(self, rng: np.random.Generator, size: float) -> np.ndarray:
        """Return a bias field, (slice, row, column)."""
        return self.fine(brain.bias_field((self.slices, *self.shape[:2]), rng, size))

    def head(self, inside: np.ndarray) -> np.ndarray:
        """Return mm outside the skull's inner side (below 0: within), (slice, row, column).

        A head does not get narrower below its widest part, as the brain does.
        """
        vault = np.maximum.accumulate(self.coarse(inside)[::-1] > 0.5)[::-1]
        distance = [
            ndimage.distance_transform_edt(~plane) - ndimage.distance_transform_edt(plane)
            if plane.any()
            else np.full(plane.shape, 99.0)
            for plane in vault
        ]
        return self.fine(np.array(distance, np.float32) * SPACING) + self.beyond


def _beyond(places: np.ndarray, length: int) -> np.ndarray:
    """Return how far each place lies outside a line of so many voxels."""
    return np.maximum(np.maximum(-places, places - (length - 1)), 0)


def _interpolated(values: np.ndarray, places: np.ndarray, axis: int) -> np.ndarray:
    """Interpolate linearly at places (voxels) along an axis; beyond its ends as at its ends."""
    places = np.clip(places, 0, values.shape[axis] - 1)
    low = np.minimum(places.astype(int), values.shape[axis] - 2)
    weight = (places - low).astype(np.float32).reshape(-1, *(1,) * (-axis - 1))
    left = np.take(values, low, axis)
    step = np.take(values, low + 1, axis)
    step -= left
    step *= weight
    step += left
    return step


def sharpened(tissues: np.ndarray) -> np.ndarray:
    """Make the borders of interpolated fractions (3, ...) about as sharp as a scanner's."""
    outside = np.clip(1 - tissues.sum(0), 0, 1)
    cubes = _cube(tissues)
    return cubes / np.maximum(_cube(outside) + cubes.sum(0), 1e-6)


def _cube(fractions: np.ndarray) -> np.ndarray:
    """Return third powers; those of fractions below 1e-8, too small to be normal float32, as 0.

    Arithmetic with such small numbers takes fifty times as long.
    """
    normal = np.where(fractions < 1e-8, np.float32(0), fractions)
    return normal * normal * normal


def materials(tissues: np.ndarray, head: np.ndarray, grain: np.ndarray) -> np.ndarray:
    """Return the six fractions that ``SIGNAL`` has a value for, (6, slice, y, x)."""
    lack = np.clip(1 - tissues.sum(0), 0, 1)
    face = lack * _step(-head, 0.0, 2.0) * np.clip(0.7 + 0.5 * grain, 0, 1.6)
    marrow = lack * np.exp(-(((head - 3.0) / 1.2) ** 2))
    scalp = lack * _step(head, 5.0, 6.5) * _step(-head, -11.5, -10.0)
    return np.concatenate([tissues, np.stack([face, marrow, scalp])])


def _step(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return 0 below ``low``, 1 above ``high``, and a line between."""
    return np.clip((values - low) / (high - low), 0, 1)


def tumour_field(person: brain.Subject, rng: np.random.Generator) -> np.ndarray:
    """Return how deep in the tumour each voxel lies, (x, y, z): above 0 inside, 1 at its core.

    An ellipsoid with an irregular border, in one hemisphere, mostly in white matter.
    """
    places = _coordinates(person)
    white = person.tissues[2] > 0.5
    likely = white & (np.abs(places[0]) > 14) & (places[2] > -40) & (places[2] < 62)
    candidates = np.argwhere(likely)
    height = places[2].ravel()[candidates[:, 2]]
    _, level, count = np.unique(height, return_inverse=True, return_counts=True)
    weight = 1 / count[level]  # every height as likely as every other
    centre = candidates[rng.choice(len(candidates), p=weight / weight.sum())]
    middle = np.array([places[axis].ravel()[centre[axis]] for axis in range(3)])
    radius = np.clip(rng.lognormal(np.log(28), 0.28), 17, 46)
    stretch = rng.uniform(0.75, 1.3, 3)
    distance = sum(((places[axis] - middle[axis]) / stretch[axis]) ** 2 for axis in range(3))
    field = 1 - np.sqrt(distance) / radius
    shape = field.shape
    for scale, size in ((9.0, 0.22), (4.5, 0.14)):
        grain = ndimage.gaussian_filter(rng.standard_normal(shape, np.float32), scale / SPACING)
        field = field + size * grain / grain.std()
    across = np.maximum(0, -np.sign(middle[0]) * places[0])  # mm beyond the midline
    return (field - across / 12).astype(np.float32)


def _coordinates(person: brain.Subject) -> list[np.ndarray]:
    """Return x, y and z in mm of the voxels, to be broadcast against each other."""
    scaled = [
        np.arange(length) * SPACING + person.affine[axis, 3]
        for axis, length in enumerate(person.labels.shape)
    ]
    return np.meshgrid(*scaled, indexing="ij", sparse=True)


def harmless_spots(person: brain.Subject, rng: np.random.Generator) -> np.ndarray:
    """Return what is bright on FLAIR and no tumour, (x, y, z): caps at the ventricles, spots."""
    white = person.tissues[2]
    deep = ndimage.distance_transform_edt(person.labels > 0) * SPACING > 24
    ventricles = (person.labels == 1) & deep
    away = ndimage.distance_transform_edt(~ventricles) * SPACING if ventricles.any() else 99.0
    caps = rng.uniform(0, 0.22) * np.exp(-np.maximum(away - SPACING, 0) / 4) * (away > 0)
    spots = np.zeros(white.shape, np.float32)
    candidates = np.argwhere((white > 0.8) & deep)
    for place in candidates[rng.choice(len(candidates), rng.poisson(5))]:
        spots[tuple(place)] = rng.uniform(3, 8)
    spots = np.minimum(ndimage.gaussian_filter(spots, 0.8), 0.35)
    return (white * caps + spots).astype(np.float32)


@dataclass(frozen=True)
class Looks:
    """What one tumour does to the signal."""

    oedema: float  # FLAIR, added
    dark: float  # pre-contrast, taken away
    rim: float  # post-contrast, added around the core
    cyst: float  # FLAIR, taken away in the core
    soft: float  # width of the border, in units of the field


def tumour_looks(rng: np.random.Generator) -> Looks:
    """Draw the looks of one tumour; about half of them take up contrast agent."""
    return Looks(
        oedema=rng.uniform(0.17, 0.36),
        dark=rng.uniform(0.05, 0.16),
        rim=rng.uniform(0.25, 0.5) if rng.random() < 0.5 else 0.0,
        cyst=rng.uniform(0.0, 0.25) if rng.random() < 0.4 else 0.0,
        soft=rng.uniform(0.12, 0.45),
    )


def tumour_signal(name: str, field: np.ndarray, looks: Looks, grain: np.ndarray) -> np.ndarray:
    """Return what the tumour adds to one sequence, (slice, y, x)."""
    body = _step(field, -0.04, looks.soft) * (1 + 0.12 * grain)
    core = _step(field, 0.50, 0.62)
    if name == "FLAIR":
        return looks.oedema * body - looks.cyst * core
    lower = -looks.dark * body * (1 + core)
    if name == "pre-contrast":
        return lower
    rim = np.exp(-(((field - 0.5) / 0.10) ** 2)) * np.clip(1 + 0.6 * grain, 0, 2)
    return lower + looks.rim * rim


def vessels(planes: Planes, head: np.ndarray) -> np.ndarray:
    """Return the enhancing sinus at the midline, inside the skull, (slice, y, x)."""
    middle = np.exp(-((planes.x0 / 3.5) ** 2)).astype(np.float32)
    wall = np.exp(-(((head + 2.0) / 2.0) ** 2))
    return 0.5 * wall * middle


def exposed(signal: np.ndarray, planes: Planes, site: Site, rng: np.random.Generator) -> np.ndarray:
    """Turn signal into grey levels: coil, noise, window; (slice, y, x) uint8."""
    gain = site.gain * rng.lognormal(0, 0.22)
    seen = np.maximum(signal, 0) * planes.bias(rng, site.bias)
    seen = np.abs(seen + site.noise * rng.standard_normal(seen.shape, np.float32))
    floor = rng.uniform(0.0, 0.02)
    return np.clip(255 * (floor + gain * seen**site.gamma), 0, 255).astype(np.uint8)


def outlined(masks: np.ndarray) -> np.ndarray:
    """Return what a reader would outline: smooth, closed, nothing tiny; (slice, y, x) 0 or 255."""
    smooth = ndimage.uniform_filter(masks.astype(np.float32), (0, 5, 5)) > 0.5
    kept = np.zeros(masks.shape, np.uint8)
    for number, plane in enumerate(smooth):
        parts, _ = ndimage.label(plane)
        large = np.bincount(parts.ravel()) >= SMALLEST
        large[0] = False
        kept[number] = 255 * large[parts]
    return kept
