"""The pencils of the nuclei twin: outlines, layouts without overlap, smooth random fields.

A nucleus is an ellipse whose radius is modulated by a few low-order Fourier terms. Nuclei are drawn
in order, each in its own small window, and a later one gives way to those already there: so nuclei
touch and never overlap, as in the annotations of BBBC038. Arrays are (y, x); lengths are pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage as ndi

SMALLEST = 12  # pixels: what is left of a nucleus below this is not labelled


@dataclass(frozen=True)
class Nucleus:
    """One outline: centre and mean radius (pixels), elongation, angle (radians), waves."""

    y: float
    x: float
    radius: float
    aspect: float = 1.0
    angle: float = 0.0
    waves: tuple[complex, ...] = ()

    def reach(self, direction: float) -> float:
        """Return the distance from the centre to the ellipse in a direction (radians), pixels."""
        turn = direction - self.angle
        long, short = self.radius * self.aspect**0.5, self.radius / self.aspect**0.5
        return long * short / np.hypot(short * np.cos(turn), long * np.sin(turn))

    @property
    def extent(self) -> float:
        """The largest distance from the centre to the outline, pixels."""
        return self.radius * self.aspect**0.5 * (1 + sum(abs(wave) for wave in self.waves))


def outlines(
    count: int,
    rng: np.random.Generator,
    *,
    radius: float,
    spread: float = 0.15,
    aspect: float = 1.3,
    wobble: float = 0.04,
    angle: float | None = None,
    lobed: float = 0.06,
) -> list[Nucleus]:
    """Return nuclei at the origin: lognormal radii, elongations around ``aspect``, wavy outlines.

    Parameters
    ----------
    count : int
        How many.
    rng : numpy.random.Generator
        The source of chance.
    radius, spread : float
        Median radius (pixels) and the standard deviation of its logarithm.
    aspect, wobble : float
        Median long over short axis; size of the Fourier terms 2 to 5 as a share of the radius.
    angle : float or None
        A common direction (radians) around which the nuclei lie; None: any direction.
    lobed : float
        Share of the nuclei with deep lobes: beans, hearts, dumb-bells.

    Examples
    --------
    >>> [nucleus] = outlines(1, np.random.default_rng(0), radius=10, spread=0)
    >>> nucleus.radius
    10.0
    """
    radii = radius * np.exp(spread * rng.standard_normal(count))
    aspects = 1 + (aspect - 1) * np.exp(0.35 * rng.standard_normal(count))
    angles = rng.uniform(0, np.pi, count)
    if angle is not None:
        angles = angle + 0.25 * rng.standard_normal(count)
    sizes = 0.6 * wobble / np.array([0.7, 1.0, 1.8, 3.0])
    sizes = sizes * np.where(rng.random((count, 1)) < lobed, (5.0, 4.0, 3.0, 1.0), 1.0)
    sizes = np.minimum(sizes, 0.17)
    waves = sizes * (rng.standard_normal((count, 4)) + 1j * rng.standard_normal((count, 4)))
    return [
        Nucleus(0.0, 0.0, float(r), float(a), float(t), tuple(w))
        for r, a, t, w in zip(radii, aspects, angles, waves.tolist(), strict=True)
    ]


def scatter(
    nuclei: list[Nucleus],
    shape: tuple[int, int],
    rng: np.random.Generator,
    *,
    touching: float = 0.2,
    gap: float = 1.1,
    accept: Callable[[float, float], float] | None = None,
    tries: int = 25,
    rows: bool = False,
) -> list[Nucleus]:
    """Place nuclei in a field: some against an earlier one, the others apart; misfits go.

    Parameters
    ----------
    nuclei : list of Nucleus
        Outlines to place; their centres are ignored.
    shape : tuple of int
        Height and width of the field; centres may lie a little outside, so that edges cut nuclei.
    touching : float
        Share of the nuclei laid against one that is already there.
    gap : float
        Nuclei that do not touch stay this many mean radii apart.
    accept : callable, optional
        ``accept(y, x)``: the chance that a nucleus may lie there.
    tries : int
        How many places are tried for a nucleus before it is left out.
    rows : bool
        Nuclei that touch stand side by side, as in a lining of tall cells.
    """
    placed: list[Nucleus] = []
    centres, sizes = np.empty((len(nuclei), 2)), np.empty(len(nuclei))
    for nucleus in nuclei:
        size = nucleus.radius * nucleus.aspect**0.25
        count = len(placed)
        leans = count > 0 and rng.random() < touching
        for _ in range(tries):
            host = -1
            if leans:
                host = int(rng.integers(max(0, count - 12), count))
                y, x = _beside(placed[host], nucleus, rng, rows)
            else:
                y, x = rng.uniform(-0.6 * size, np.add(shape, 0.6 * size))
            if not _inside(y, x, shape, size) or (accept and rng.random() > accept(y, x)):
                continue
            room = np.hypot(*(centres[:count] - (y, x)).T) / (sizes[:count] + size)
            if host >= 0:
                room[host] = np.inf
            if count == 0 or room.min() > (0.88 if host >= 0 else gap):
                centres[count], sizes[count] = (y, x), size
                placed.append(replace(nucleus, y=float(y), x=float(x)))
                break
    return placed


def stitch(
    nuclei: list[Nucleus], shape: tuple[int, int], tile: tuple[int, int], rng: np.random.Generator
) -> list[Nucleus]:
    """Move nuclei onto the cuts between tiles that none crosses, so that neighbours can be matched.

    Parameters
    ----------
    nuclei : list of Nucleus
        Placed in a field of ``shape``.
    shape, tile : tuple of int
        Height and width of the field and of the tiles it will be cut into, pixels.

    Returns
    -------
    list of Nucleus
        The same nuclei in the same order; of each bare cut the two nearest lie on it.
    """
    nuclei = list(nuclei)
    centres = np.array([(n.y, n.x) for n in nuclei])
    sizes = np.array([n.radius for n in nuclei])
    for axis in (0, 1):
        across, along = centres[:, axis], centres[:, 1 - axis]
        for cut in range(tile[axis], shape[axis], tile[axis]):
            for start in range(0, shape[1 - axis], tile[1 - axis]):
                beside = (along > start) & (along < start + tile[1 - axis])
                order = np.argsort(np.where(beside, np.abs(across - cut) - 0.5 * sizes, np.inf))
                for index in order[: min(2, int(beside.sum()))]:
                    if abs(across[index] - cut) > 0.5 * sizes[index]:
                        across[index] = cut + rng.uniform(-0.4, 0.4) * sizes[index]
    return [replace(n, y=float(y), x=float(x)) for n, (y, x) in zip(nuclei, centres, strict=True)]


def _inside(y: float, x: float, shape: tuple[int, int], size: float) -> bool:
    return -0.6 * size < y < shape[0] + 0.6 * size and -0.6 * size < x < shape[1] + 0.6 * size


def _beside(
    host: Nucleus, guest: Nucleus, rng: np.random.Generator, rows: bool
) -> tuple[float, float]:
    """Return a centre at which the guest's outline just meets, or slightly dents, the host's."""
    direction = rng.uniform(0, 2 * np.pi)
    if rows:
        direction = host.angle + np.pi * (rng.integers(2) + 0.5) + 0.25 * rng.standard_normal()
    distance = (host.reach(direction) + guest.reach(direction)) * rng.uniform(0.76, 1.0)
    return host.y + distance * np.sin(direction), host.x + distance * np.cos(direction)


def draw(nuclei: list[Nucleus], shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Draw the nuclei in order, each giving way to those before it.

    Returns
    -------
    owner : ndarray of int32, (y, x)
        0 for background, ``i + 1`` where ``nuclei[i]`` lies (hidden ones have no pixel).
    depth : ndarray of float32, (y, x)
        0 at a nucleus' centre, 1 at its outline and outside.

    Examples
    --------
    >>> owner, depth = draw([Nucleus(8, 8, 5), Nucleus(8, 16, 5)], (17, 25))
    >>> np.unique(owner).tolist(), bool(depth[8, 8] < 0.01)
    ([0, 1, 2], True)
    """
    owner = np.zeros(shape, np.int32)
    depth = np.ones(shape, np.float32)
    for number, nucleus in enumerate(nuclei, start=1):
        window, rho = radial(nucleus, shape)
        if rho.size == 0:
            continue
        there = owner[window]
        mine = (rho < 1) & (there == 0)
        if (rho < 1).sum() > mine.sum() > 0:
            mine = _largest_piece(mine)
        if mine.sum() >= SMALLEST:
            there[mine] = number
            depth[window][mine] = rho[mine]
    return owner, depth


def radial(nucleus: Nucleus, shape: tuple[int, int]) -> tuple[tuple[slice, slice], np.ndarray]:
    """Return the window of a nucleus in the field and, in it, the depth: 1 at its outline."""
    reach = nucleus.extent + 1
    top, left = max(0, int(nucleus.y - reach)), max(0, int(nucleus.x - reach))
    bottom = max(top, min(shape[0], int(nucleus.y + reach) + 2))
    right = max(left, min(shape[1], int(nucleus.x + reach) + 2))
    dy = np.arange(top, bottom)[:, None] - nucleus.y
    dx = np.arange(left, right)[None, :] - nucleus.x
    cos, sin, stretch = np.cos(nucleus.angle), np.sin(nucleus.angle), nucleus.aspect**0.5
    point = (
        (cos * dx + sin * dy) / stretch + 1j * (cos * dy - sin * dx) * stretch
    ) / nucleus.radius
    rho = np.abs(point)
    if nucleus.waves:
        turn = point / np.maximum(rho, 1e-6)
        power, edge = turn, 1.0
        for wave in nucleus.waves:
            power = power * turn
            edge = edge + (power * wave).real
        rho = rho / np.maximum(edge, 0.4)
    return (slice(top, bottom), slice(left, right)), rho


def _largest_piece(mask: np.ndarray) -> np.ndarray:
    pieces, count = ndi.label(mask)
    return mask if count < 2 else pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:])


def consecutive(labels: np.ndarray, smallest: int = SMALLEST) -> np.ndarray:
    """Return the instance map renumbered 1 to n, without pieces of fewer pixels than ``smallest``.

    Examples
    --------
    >>> consecutive(np.array([[0, 7, 7, 3, 9, 9]]), smallest=2).tolist()
    [[0, 1, 1, 0, 2, 2]]
    """
    sizes = np.bincount(labels.ravel())
    keep = sizes >= smallest
    keep[0] = False
    numbers = np.zeros(len(sizes), np.int32)
    numbers[keep] = np.arange(1, keep.sum() + 1)
    return numbers[labels]


def smooth_field(shape: tuple[int, int], scale: float, rng: np.random.Generator) -> np.ndarray:
    """Return a random field, mean 0, standard deviation about 1, varying over ``scale`` pixels.

    Wide fields are drawn coarsely and interpolated, so the cost hardly depends on the scale.

    Returns
    -------
    ndarray of float32, (y, x)
    """
    step = max(1.0, scale / 2)
    sigma = scale / step
    coarse_shape = tuple(int(size / step) + 3 for size in shape)
    coarse = rng.standard_normal(coarse_shape, np.float32)
    coarse = ndi.gaussian_filter(coarse, sigma, mode="wrap") * np.float32(sigma * 2 * np.pi**0.5)
    return coarse[: shape[0], : shape[1]] if step == 1 else enlarge(coarse, shape, step)


def enlarge(coarse: np.ndarray, shape: tuple[int, int], step: float) -> np.ndarray:
    """Interpolate a coarse (y, x) grid, a sample every ``step`` pixels, to a field of ``shape``."""
    for axis in (0, 1):
        place = np.arange(shape[axis], dtype=np.float32) / np.float32(step)
        low = np.minimum(place.astype(np.intp), coarse.shape[axis] - 2)
        part = (place - low).astype(np.float32)
        part = part[:, None] if axis == 0 else part[None, :]
        first, second = coarse.take(low, axis), coarse.take(low + 1, axis)
        coarse = first + part * (second - first)
    return coarse


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur; wide ones are done on a shrunk copy, which the eye cannot tell apart.

    Parameters
    ----------
    image : ndarray of float32, (y, x)
    sigma : float
        Pixels; 0 leaves the image as it is.
    """
    if sigma <= 0:
        return image
    step = int(sigma // 3)
    if step < 2:
        return ndi.gaussian_filter(image, sigma, mode="nearest", truncate=3)
    padded = np.pad(image, [(step, 2 * step + -size % step) for size in image.shape], mode="edge")
    tall, wide = (size // step for size in padded.shape)
    small = padded.reshape(tall, step, wide, step).mean((1, 3), dtype=np.float32)
    small = ndi.gaussian_filter(small, sigma / step, mode="nearest", truncate=3)
    whole = enlarge(small, tuple(size - step for size in padded.shape), step)
    top = (
        step + 1
    ) // 2  # the first small pixel's centre lies that far above the image's first row
    return whole[top : top + image.shape[0], top : top + image.shape[1]]


def dots(
    shape: tuple[int, int], places: np.ndarray, heights: np.ndarray | float, sigma: float
) -> np.ndarray:
    """Return small Gaussian spots of peak ``heights`` at ``places`` ((n, 2) y and x, pixels)."""
    field = np.zeros(shape, np.float32)
    y, x = np.asarray(places, dtype=float).reshape(-1, 2).round().astype(int).T
    inside = (y >= 0) & (y < shape[0]) & (x >= 0) & (x < shape[1])
    heights = np.broadcast_to(heights, y.shape)[inside]
    np.add.at(field, (y[inside], x[inside]), heights * 2 * np.pi * sigma**2)
    return blur(field, sigma)


def as_bytes(image: np.ndarray) -> np.ndarray:
    """Round to uint8, clipped to 0..255."""
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)
