"""Drawing a chest in Hounsfield units from ellipses, tubes and smooth fields.

Coordinates are in mm: x from the middle to the patient's left, y from the middle to the back,
z from the top of the diaphragm to the head.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

AIR, FAT, MUSCLE, BLOOD, LIVER, BONE = -1000.0, -100.0, 50.0, 45.0, 58.0, 260.0
HAZE = 1.2  # density of the haze where it is densest; ground glass has about 1
DENSEST = -390.0  # of haze and ground glass, HU: still less than the tissue around
LOWEST = -30.0  # z of the first slice, mm: below the diaphragm


@dataclass(frozen=True)
class Chest:
    """The anatomy of one chest.

    Lengths in mm, densities in HU. ``dense`` is the share of the lung that is ground glass where
    ``label`` is 1, ``hazy`` the share that a smooth haze at the back takes, 0 for none.
    """

    label: int
    width: float
    depth: float
    fat: float
    height: float
    lung: float
    gravity: float
    vessels: int
    dense: float
    patches: int
    opacity: float
    hazy: float

    @classmethod
    def draw(cls, rng: np.random.Generator, label: int) -> Chest:
        """Draw a chest; nothing here depends on the label, which says if patches are drawn."""
        return cls(
            label=label,
            width=rng.uniform(148, 178),
            depth=rng.uniform(98, 124),
            fat=rng.uniform(6, 26),
            height=rng.uniform(205, 255),
            lung=rng.normal(-850, 38),
            gravity=rng.uniform(10, 130),
            vessels=int(rng.integers(34, 60)),
            dense=float(np.exp(rng.uniform(*np.log([0.2, 0.4])))),
            patches=int(rng.integers(3, 7)),
            opacity=rng.uniform(320, 440),
            hazy=float((rng.random() < 0.5) * np.exp(rng.uniform(*np.log([0.3, 0.7])))),
        )


def draw_chest(
    rng: np.random.Generator,
    chest: Chest,
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
) -> np.ndarray:
    """Draw a chest on a grid.

    Parameters
    ----------
    rng : numpy.random.Generator
    chest : Chest
    shape : (x, y, z)
        Voxels.
    spacing : (x, y, z)
        mm.

    Returns
    -------
    ndarray, float32, (x, y, z)
        HU.
    """
    x, y, z = grid(shape, spacing)
    volume = np.repeat(_body(chest, x, y), shape[2], axis=2)
    _abdomen(volume, chest, x, y, z)
    _bones(volume, chest, x, y, z, rng.uniform(0, 32))
    lungs = _lungs(chest, x, y, z)
    heart = _heart(chest, x, y, z)
    edge = np.clip(lungs * 12 + 0.5, 0, 1) * (1 - heart)
    inside = np.flatnonzero(edge)
    points = [np.broadcast_to(axis, shape).ravel()[inside] for axis in (x, y, z)]
    tissue = _parenchyma(rng, chest, points, lungs.ravel()[inside])
    blood = _vessels(rng, chest, shape, spacing).ravel()[inside]
    tissue += blood * (BLOOD - tissue)
    volume += heart * (lungs > -0.35) * (BLOOD - volume)
    flat = volume.reshape(-1)
    flat[inside] += edge.ravel()[inside] * (tissue - flat[inside])
    _airways(volume, chest, x, y, z)
    return volume


def grid(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> list[np.ndarray]:
    """Return x, y and z of the voxels (mm), each broadcastable to ``shape``.

    Examples
    --------
    >>> x, y, z = grid((3, 1, 2), (2.0, 1.0, 8.0))
    >>> x.ravel().tolist(), z.ravel().tolist()
    ([-2.0, 0.0, 2.0], [-30.0, -22.0])
    """
    axes = [(np.arange(n) - (n - 1) / 2) * mm for n, mm in zip(shape, spacing)]
    axes[2] = np.arange(shape[2]) * spacing[2] + LOWEST
    return list(np.ix_(*(axis.astype(np.float32) for axis in axes)))


def _inside(x: np.ndarray, y: np.ndarray, width: float, depth: float) -> np.ndarray:
    """Return the distance to the middle in units of a squarish ellipse; below 1 is inside."""
    return (np.abs(x / width) ** 2.4 + np.abs(y / depth) ** 2.4) ** (1 / 2.4)


def _body(chest: Chest, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return air, fat, muscle and the table, the same in every slice, (x, y, 1)."""
    outer = _inside(x, y, chest.width, chest.depth)
    inner = _inside(x, y, chest.width - chest.fat, chest.depth - chest.fat)
    plane = np.where(outer < 1, np.where(inner < 1, MUSCLE, FAT), AIR)
    bed = y - (chest.depth + 10) + x**2 / 1500
    plane = np.where((np.abs(bed) < 3.5) & (np.abs(x) < 190), -250.0, plane)
    return plane.astype(np.float32)


def _abdomen(volume: np.ndarray, chest: Chest, x, y, z) -> None:
    """Draw liver, and stomach with its bubble of gas, where later no lung is drawn over them."""
    belly = _inside(x, y, 0.8 * chest.width - chest.fat, 0.8 * chest.depth - chest.fat) < 1
    volume[belly & (x < 35) & (z < 60)] = LIVER
    stomach = ((x - 70) / 38) ** 2 + ((y + 15) / 34) ** 2 + ((z - 2) / 30) ** 2
    volume[(stomach < 1) & belly] = 25.0
    volume[(stomach < 0.8) & belly & (y < -22)] = AIR


def _bones(volume: np.ndarray, chest: Chest, x, y, z, phase: float) -> None:
    """Draw ribs, breastbone and the spine with its discs and canal."""
    wide, deep = chest.width - chest.fat, chest.depth - chest.fat
    cage = np.abs(_inside(x, y, 0.95 * wide, 0.93 * deep) - 1) * 0.5 * (wide + deep) < 4.5
    volume[cage & ((z + 0.55 * y + phase) % 32 < 10) & (np.abs(x) > 22)] = 350.0
    sternum = (np.abs(x) < 16) & (np.abs(y + 0.93 * deep) < 6) & (z > 45)
    volume[sternum] = 180.0
    back = 0.72 * deep
    spine = (x / 19) ** 2 + ((y - back) / 17) ** 2
    disc = (z + phase) % 28 < 6
    volume[(spine < 1) & ~disc] = BONE
    volume[(spine < 1) & disc] = 90.0
    volume[(spine > 0.7) & (spine < 1) & ~disc] = 420.0
    volume[(x / 9) ** 2 + ((y - back - 24) / 8) ** 2 < np.ones_like(z)] = 15.0


def _lungs(chest: Chest, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return a field that is positive in the lungs and rises inwards, 1 at their middle."""
    wide, deep = chest.width - chest.fat, chest.depth - chest.fat
    up = np.clip(z / chest.height, 0, 1)
    taper = np.sqrt(np.clip(1 - up**2.8, 0, 1))
    field = np.float32(-1)
    for side, share in ((-1, 0.40), (1, 0.37)):
        rx, ry = share * wide * (0.25 + 0.75 * taper), 0.76 * deep * (0.3 + 0.7 * taper)
        cx = side * (0.3 + 0.19 * taper) * wide
        round_ = np.abs((x - cx) / rx) ** 2.3 + np.abs((y - 3) / ry) ** 2.3
        floor = -24 + 58 * np.sqrt(np.clip(1 - round_, 0, 1)) - 0.15 * y
        field = np.maximum(field, np.minimum(1 - round_, (z - floor) / 60))
    return np.minimum(field, (chest.height - z) / 60).astype(np.float32)


def _heart(chest: Chest, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return the share of heart and great vessels in each voxel, 0 to 1."""
    wide, deep = chest.width, chest.depth
    heart = ((x - 0.14 * wide) / (0.36 * wide)) ** 2 + ((y + 0.26 * deep) / (0.42 * deep)) ** 2
    heart = heart + ((z - 50) / 62) ** 2
    middle = (x / (0.17 * wide)) ** 2 + ((y + 4) / (0.6 * deep)) ** 2
    aorta = ((x - 20) / 13) ** 2 + ((y - 0.42 * deep) / 13) ** 2
    nearest = np.minimum(np.minimum(heart, middle), aorta)
    return np.clip((1 - nearest) * 6 + 0.5, 0, 1).astype(np.float32)


def _airways(volume: np.ndarray, chest: Chest, x, y, z) -> None:
    """Draw the windpipe and the two main bronchi."""
    fork = 0.55 * chest.height
    pipe = (z > fork) & ((x / 9) ** 2 + ((y - 8) / 9) ** 2 < 1)
    below = fork - z
    branch = (below >= 0) & (below < 36)
    for side in (-1, 1):
        pipe = pipe | (branch & (((x - side * 1.1 * below) / 9) ** 2 + ((y - 8) / 7) ** 2 < 1))
    volume[pipe] = AIR + 15


def _vessels(
    rng: np.random.Generator, chest: Chest, shape: tuple[int, int, int], spacing
) -> np.ndarray:
    """Return the share of vessels in each voxel, 0 to 1: walks from the hilum to the pleura."""
    n, step = chest.vessels, 3.0
    side = np.where(rng.random(n) < 0.5, -1.0, 1.0)
    place = np.stack([side * 36, rng.normal(6, 8, n), rng.normal(95, 14, n)], axis=1)
    way = rng.normal(0, 1, (n, 3)) + np.stack([0.7 * side, 0 * side, 0 * side], axis=1)
    radius = rng.uniform(1.8, 4.2, n)
    walked, areas = [], []
    for k in range(45):
        if k in (8, 18):  # every vessel forks
            place, way, radius = (np.concatenate([part, part]) for part in (place, way, radius))
            radius = radius * 0.75
        way = way / np.linalg.norm(way, axis=1, keepdims=True)
        way = way + rng.normal(0, 0.22 + 0.5 * (k in (8, 18)), way.shape)
        place = place + step * way / np.linalg.norm(way, axis=1, keepdims=True)
        radius = radius * 0.975
        walked.append(place)
        areas.append(np.pi * radius**2)
    volume = np.concatenate(areas) * step / np.prod(spacing)
    share = np.clip(_splat(np.concatenate(walked), volume, shape, spacing), 0, 1.5)
    return np.clip(ndimage.gaussian_filter(share, (0.5, 0.5, 0.25)), 0, 1)


def _splat(points: np.ndarray, amount: np.ndarray, shape, spacing) -> np.ndarray:
    """Add amounts at points (mm) into the voxels they lie in; those outside are left out."""
    origin = [-(shape[0] - 1) / 2 * spacing[0], -(shape[1] - 1) / 2 * spacing[1], LOWEST]
    index = np.rint((points - origin) / spacing).astype(int)
    held = ((index >= 0) & (index < shape)).all(axis=1)
    flat = np.ravel_multi_index(index[held].T, shape)
    sums = np.bincount(flat, amount[held], minlength=int(np.prod(shape)))
    return sums.reshape(shape).astype(np.float32)


def _parenchyma(
    rng: np.random.Generator, chest: Chest, points: list[np.ndarray], depth: np.ndarray
) -> np.ndarray:
    """Return the HU of the lung at points (mm), vessels left out.

    ``depth`` is what `_lungs` says there: 0 at the pleura, 1 in the middle.
    """
    _, y, z = points
    back = y / chest.depth
    wavy = _waves(rng, points, 40.0)
    tissue = chest.lung + chest.gravity * back + 14 * wavy
    share = np.zeros(len(depth), np.float32)
    if chest.hazy:
        slope = back - rng.uniform(0.1, 0.9) * z / chest.height - 0.3 * np.clip(depth, 0, 1)
        share += HAZE * np.minimum(1, 1.7 * _ramp(slope + 0.05 * wavy, chest.hazy))
    if chest.label:
        patches = _patches(rng, chest, points, depth)
        share += patches * (1 - share / 1.3)  # denser than either, but not twice as dense
    return np.minimum(tissue + chest.opacity * share, DENSEST)


def _ramp(score: np.ndarray, share: float) -> np.ndarray:
    """Return 0 where the score is low and rise to 1 over the highest ``share`` of the values."""
    low, high = np.quantile(score[::7], [1 - min(share, 0.95), 0.995])
    return np.clip((score - low) / (high - low), 0, 1)


def _patches(
    rng: np.random.Generator, chest: Chest, points: list[np.ndarray], depth: np.ndarray
) -> np.ndarray:
    """Return how much ground glass is at each point, 0 to about 1.2, in patches with soft edges.

    The patches lie near the pleura, where they are most often seen.
    """
    tried = rng.integers(0, len(depth), 300)
    weight = np.exp(-2.5 * np.clip(depth, 0, 1))
    chosen = rng.choice(tried, chest.patches, False, weight[tried] / weight[tried].sum())
    score = np.full(len(depth), -9, np.float32)
    factor = np.ones(len(depth), np.float32)
    for k in chosen:
        size = rng.uniform(25, 50) * np.exp(rng.normal(0, 0.25, 3))
        distance = np.sqrt(sum(((p - p[k]) / s) ** 2 for p, s in zip(points, size)))
        nearer = 1 - distance > score
        score[nearer] = 1 - distance[nearer]
        factor[nearer] = rng.uniform(0.6, 1.3)
    score += 0.1 * _waves(rng, points, 9.0)
    low = np.quantile(score[::7], 1 - chest.dense)
    return factor * np.clip((score - low) / 0.12, 0, 1) * (1 + 0.12 * _waves(rng, points, 7.0))


def _waves(rng: np.random.Generator, points: list[np.ndarray], length: float) -> np.ndarray:
    """Return a smooth random field of mean 0 and standard deviation 1, waves about ``length`` mm.

    A sum of plane waves (random Fourier features), so that it can be had at any points.
    """
    total = np.zeros(len(points[0]), np.float32)
    for _ in range(10):
        k = rng.normal(0, 1 / length, 3)
        phase = rng.uniform(0, 2 * np.pi)
        total += np.cos(sum(np.float32(c) * p for c, p in zip(k, points)) + np.float32(phase))
    return total / np.float32(np.sqrt(5))
