"""Bright grey images for the nuclei twin: a smear in transmitted light, dark nuclei in pale cells.

What absorbs is added up as optical density and turned into light once: overlapping cells are
darker.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import ndimage as ndi

from .nuclei_drawing import (
    Nucleus,
    as_bytes,
    blur,
    consecutive,
    dots,
    draw,
    outlines,
    scatter,
    smooth_field,
    stitch,
)

STYLES = ("smear",)
CELL = 70.0  # typical radius of a cell, pixels


def scene(
    style: str,
    shape: tuple[int, int],
    rng: np.random.Generator,
    tile: tuple[int, int] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw one field of a smear.

    Parameters
    ----------
    style : str
        A member of ``STYLES``.
    shape : tuple of int
        Height and width, pixels.
    rng : numpy.random.Generator
        The source of chance.
    tile : tuple of int, optional
        Height and width of the tiles the field will be cut into: something then lies on each cut.

    Returns
    -------
    rgb : ndarray of uint8, (y, x, 3)
        Three equal channels.
    labels : ndarray of int32, (y, x)
        Instance map.
    """
    cells = stitch(_cells(shape, rng), shape, tile or shape, rng)
    nuclei = _nuclei(cells, shape, rng)
    owner, depth = draw(nuclei, shape)
    density = _cytoplasm(cells, shape, rng)
    levels = np.array([rng.uniform(0.35, 0.8) if n.radius > 9 else 0.95 for n in nuclei])
    texture = 1 + 0.16 * smooth_field(shape, 1.3, rng) + 0.08 * smooth_field(shape, 4, rng)
    rim = 0.8 + 0.3 * depth**4
    density += blur(np.append(0, levels)[owner].astype(np.float32) * rim * texture, 0.8)
    lamp = rng.uniform(224, 234) * (1 + 0.012 * smooth_field(shape, 0.4 * max(shape), rng))
    grey = lamp * np.exp(-np.maximum(density, -0.05))
    grey += 1.6 * smooth_field(shape, 0.8, rng) + rng.standard_normal(shape, np.float32)
    return np.repeat(as_bytes(grey)[..., None], 3, axis=2), consecutive(owner)


def _cells(shape: tuple[int, int], rng: np.random.Generator) -> list[Nucleus]:
    count = max(2, round(0.75 * shape[0] * shape[1] / (np.pi * CELL**2)))
    cells = outlines(count, rng, radius=CELL, spread=0.18, aspect=1.25, wobble=0.03)
    return scatter(cells, shape, rng, touching=0.5, gap=0.62)


def _nuclei(
    cells: list[Nucleus], shape: tuple[int, int], rng: np.random.Generator
) -> list[Nucleus]:
    """Return one nucleus near the middle of most cells, and clusters of small dark ones."""
    middles = outlines(len(cells), rng, radius=12.5, spread=0.2, aspect=1.25, wobble=0.06)
    found = [
        replace(n, y=c.y + 0.15 * CELL * dy, x=c.x + 0.15 * CELL * dx)
        for n, c, dy, dx in zip(middles, cells, *rng.standard_normal((2, len(cells))), strict=True)
        if rng.random() < 0.92
    ]
    if not any(0 < n.y < shape[0] and 0 < n.x < shape[1] for n in found):
        found.append(replace(middles[0], y=shape[0] * 0.5, x=shape[1] * 0.5))
    for _ in range(max(1, round(shape[0] * shape[1] / 80_000))):
        y, x = rng.uniform(0, shape)
        group = outlines(
            int(rng.integers(2, 11)), rng, radius=5.8, spread=0.3, aspect=1.4, wobble=0.08
        )
        box = (45, 45)
        found += [
            replace(n, y=n.y + y, x=n.x + x) for n in scatter(group, box, rng, touching=0.75, gap=1)
        ]
    return found


def _cytoplasm(
    cells: list[Nucleus], shape: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """Return the optical density of the cells' bodies, folds, rods and dust; (y, x) float32."""
    density = np.zeros(shape, np.float32)
    ragged = 0.012 * smooth_field(shape, 3, rng) + 0.035 * smooth_field(shape, 14, rng)
    mottle = 1 + 0.09 * smooth_field(shape, 1.6, rng) + 0.22 * smooth_field(shape, 25, rng)
    for cell in cells:
        window, rho = _polygon(cell, shape, rng)
        rho = rho + ragged[window]
        body = np.clip((1 - rho) * 30, 0, 1)
        border = np.exp(-(((rho - 0.97) / 0.025) ** 2))
        density[window] += rng.uniform(0.07, 0.3) * body * mottle[window] + 0.06 * border
        fold = rng.normal(0, 0.4) + 0.15 * smooth_field(rho.shape, 40, rng)
        if rng.random() < 0.4:
            y, x = np.ogrid[0 : rho.shape[0], 0 : rho.shape[1]]
            across = np.sin(cell.angle) * (y / rho.shape[0] - 0.5) + np.cos(cell.angle) * (
                x / rho.shape[1] - 0.5
            )
            density[window] += 0.16 * body * np.exp(-(((across - fold) / 0.03) ** 2))
    return density + _specks(density, shape, rng)


def _polygon(
    cell: Nucleus, shape: tuple[int, int], rng: np.random.Generator
) -> tuple[tuple[slice, slice], np.ndarray]:
    """Return the window of a cell and the distance from its middle, 1 at its angular outline."""
    reach = 1.5 * cell.radius
    top, bottom = (int(np.clip(cell.y + s * reach, 0, shape[0])) for s in (-1, 1))
    left, right = (int(np.clip(cell.x + s * reach, 0, shape[1])) for s in (-1, 1))
    dy = np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(cell.y)
    dx = np.arange(left, right, dtype=np.float32)[None, :] - np.float32(cell.x)
    sides = int(rng.integers(5, 9))
    turns = cell.angle + (np.arange(sides) + rng.uniform(-0.3, 0.3, sides)) * 2 * np.pi / sides
    far = cell.radius * rng.uniform(0.8, 1.15, sides)
    rho = 0.75 * np.hypot(dy, dx) / np.float32(cell.radius)
    for turn, distance in zip(turns.tolist(), far.tolist(), strict=True):
        rho = np.maximum(rho, (np.sin(turn) * dy + np.cos(turn) * dx) / np.float32(distance))
    return (slice(top, bottom), slice(left, right)), rho


def _specks(density: np.ndarray, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return rod-like bacteria on the cells and a little dust on the glass."""
    rods = np.zeros(shape, np.float32)
    for sigma in ((0.6, 2.2), (2.2, 0.6)):
        field = ndi.gaussian_filter(rng.standard_normal(shape, np.float32), sigma) * 4
        rods += np.clip(field - 1.9, 0, 1) * (density > 0.05)
    rods = rods * np.clip(smooth_field(shape, 30, rng), 0, 1)
    count = max(1, round(shape[0] * shape[1] / 40_000))
    dust = dots(shape, rng.uniform(0, shape, (count, 2)), rng.uniform(0.05, 0.4, count), 1.3)
    return 0.5 * rods + dust
