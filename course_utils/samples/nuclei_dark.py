"""Fluorescence for the nuclei twin: bright nuclei on a dark ground.

Each style stands for one of the experiments in BBBC038's dark images. The light of the nuclei is
blurred by the lens, scattered into a haze, put on an uneven ground and given shot and camera noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

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

FAINTEST = 0.3  # light of the faintest nuclei over that of a typical one: all can be seen


@dataclass(frozen=True)
class Fluorescence:
    """What makes one kind of fluorescence slide; grey values are of 0..255, lengths are pixels."""

    radius: float  # median radius
    spread: float = 0.18  # standard deviation of the logarithm of the radius
    aspect: float = 1.3  # median elongation
    wobble: float = 0.05  # irregularity of the outline
    lobed: float = 0.08  # share of beans and dumb-bells
    density: tuple[float, float] = (0.05, 0.1)  # share of the field covered, lowest and highest
    touching: float = 0.2  # share laid against another one
    patches: float = 0.0  # how far nuclei gather in parts of the field, 0..1
    ground: tuple[float, float] = (4, 6)  # grey value of the background
    light: tuple[float, float] = (40, 60)  # grey value of a typical nucleus above the background
    contrast: float = 0.2  # standard deviation of the logarithm of the nuclei's light
    dome: float = 0.4  # 0: flat discs, 1: half spheres
    margin: float = 1.0  # annotated radius over the radius of the light
    chromatin: float = 0.12  # strength of the texture inside
    grain: float = 2.0  # size of that texture
    spots: int = 0  # chromocentres per nucleus
    holes: int = 2  # nucleoli per nucleus: dark spots
    seam: float = 0.3  # how much darker it is where two nuclei touch
    lens: float = 0.8  # blur of the optics
    haze: float = 0.06  # scattered light, far
    halo: float = 0.07  # scattered light, near: the glow around a bright nucleus
    fog: float = 0.0  # grey value of the cells' own light around their nuclei
    uneven: float = 0.12  # standard deviation of the illumination over the field
    bright: float = 0.03  # share of dividing and dying nuclei: small, very bright
    blurred: float = 0.1  # share out of focus
    ghosts: float = 0.0  # out-of-focus, unlabelled nuclei per labelled one
    debris: float = 0.1  # bright unlabelled specks per nucleus
    streaks: float = 0.0  # grey value of faint fibres
    glow: float = 0.0  # chance of a lamp's glow in a corner
    noise: float = 0.6  # standard deviation of the camera's noise
    shot: float = 0.02  # variance of the shot noise per grey value


STYLES: dict[str, Fluorescence] = {
    # 256 x 256, spotted and hazy: thick tissue, generous outlines
    "tissue": Fluorescence(
        radius=9.5,
        spread=0.2,
        aspect=1.15,
        wobble=0.045,
        density=(0.08, 0.24),
        touching=0.14,
        patches=0.6,
        ground=(2, 4),
        light=(42, 75),
        contrast=0.3,
        dome=0.55,
        margin=1.0,
        chromatin=0.34,
        grain=2.2,
        spots=4,
        lens=0.9,
        haze=0.14,
        bright=0.02,
        blurred=0.25,
        ghosts=0.1,
        debris=0.03,
        noise=0.35,
        shot=0.015,
        uneven=0.15,
    ),
    # 256 x 256, well separated ovals with fine texture
    "sparse": Fluorescence(
        radius=7.5,
        aspect=1.25,
        wobble=0.03,
        density=(0.03, 0.08),
        touching=0.1,
        patches=0.6,
        ground=(9, 14),
        light=(40, 70),
        contrast=0.33,
        chromatin=0.18,
        grain=1.3,
        bright=0.05,
        blurred=0.06,
        ghosts=0.05,
        debris=0.1,
        lobed=0.16,
        halo=0.1,
        fog=2.5,
        dome=0.22,
    ),
    # 256 x 256, tiny nuclei in patches, some of them very bright
    "tiny": Fluorescence(
        radius=5.2,
        spread=0.16,
        aspect=1.25,
        wobble=0.05,
        density=(0.02, 0.07),
        touching=0.15,
        patches=0.8,
        ground=(11, 14),
        light=(80, 130),
        contrast=0.42,
        chromatin=0.16,
        grain=1.2,
        lens=0.7,
        bright=0.09,
        blurred=0.05,
        ghosts=0.05,
        debris=0.12,
        lobed=0.12,
        dome=0.3,
    ),
    # 256 x 256, spindle cells with a breath of cytoplasm
    "spindle": Fluorescence(
        radius=6.8,
        spread=0.15,
        aspect=1.45,
        wobble=0.025,
        density=(0.03, 0.06),
        touching=0.1,
        patches=0.2,
        ground=(3, 5),
        light=(42, 68),
        contrast=0.35,
        dome=0.25,
        chromatin=0.1,
        grain=1.5,
        streaks=3.0,
        bright=0.03,
        blurred=0.05,
        ghosts=0.06,
        debris=0.09,
        fog=4.0,
        halo=0.1,
    ),
    # 256 x 320, next to nothing: one nucleus or a few
    "lone": Fluorescence(
        radius=8,
        aspect=1.3,
        wobble=0.03,
        density=(0.002, 0.007),
        touching=0.3,
        ground=(3, 12),
        light=(45, 70),
        contrast=0.15,
        chromatin=0.15,
        grain=1.4,
        bright=0.0,
        ghosts=0.3,
        debris=0.3,
    ),
    # 256 x 256, crowded, saturated, a lamp's glow in a corner
    "crowd": Fluorescence(
        radius=5.4,
        aspect=1.3,
        wobble=0.045,
        density=(0.07, 0.15),
        touching=0.2,
        patches=0.6,
        ground=(11, 14),
        light=(55, 90),
        contrast=0.35,
        dome=0.3,
        chromatin=0.14,
        grain=1.3,
        lens=0.7,
        bright=0.12,
        glow=0.8,
        haze=0.08,
        blurred=0.08,
        debris=0.06,
    ),
    # 520 x 696, cultured cells in a monolayer
    "culture": Fluorescence(
        radius=14,
        spread=0.2,
        aspect=1.5,
        wobble=0.06,
        density=(0.14, 0.25),
        touching=0.18,
        patches=0.35,
        ground=(2, 4),
        light=(32, 48),
        contrast=0.3,
        dome=0.3,
        chromatin=0.1,
        grain=1.8,
        lens=1.0,
        bright=0.05,
        haze=0.03,
        blurred=0.06,
        debris=0.08,
        noise=0.3,
        lobed=0.18,
        holes=3,
    ),
    # 520 x 696, the same cells crowded, hazy, many dividing
    "dividing": Fluorescence(
        radius=12,
        spread=0.2,
        aspect=1.5,
        wobble=0.06,
        density=(0.17, 0.24),
        touching=0.2,
        patches=0.4,
        ground=(15, 20),
        light=(40, 55),
        contrast=0.3,
        dome=0.45,
        chromatin=0.08,
        grain=1.8,
        lens=1.5,
        bright=0.06,
        haze=0.14,
        blurred=0.2,
        ghosts=0.08,
        noise=0.45,
        lobed=0.15,
    ),
    # 520 x 696, few and large, coarse chromatin
    "large": Fluorescence(
        radius=24,
        spread=0.12,
        aspect=1.45,
        wobble=0.025,
        density=(0.07, 0.12),
        touching=0.06,
        patches=0.2,
        ground=(9, 18),
        light=(75, 120),
        contrast=0.18,
        dome=0.2,
        chromatin=0.2,
        grain=2.0,
        lens=1.0,
        bright=0.02,
        haze=0.04,
        blurred=0.03,
        debris=0.05,
        noise=0.4,
        lobed=0.08,
        holes=3,
    ),
    # 1040 x 1388, the largest
    "huge": Fluorescence(
        radius=47,
        spread=0.1,
        aspect=1.4,
        wobble=0.02,
        density=(0.07, 0.1),
        touching=0.03,
        ground=(8, 10),
        light=(120, 140),
        contrast=0.15,
        dome=0.15,
        chromatin=0.2,
        grain=3.2,
        lens=1.4,
        bright=0.0,
        haze=0.03,
        blurred=0.0,
        debris=0.0,
        noise=0.45,
        shot=0.02,
    ),
    # 360 x 360, dim and smooth, now and then a dividing one
    "dim": Fluorescence(
        radius=24,
        spread=0.22,
        aspect=1.5,
        wobble=0.065,
        density=(0.27, 0.38),
        touching=0.2,
        patches=0.1,
        ground=(4, 5.5),
        light=(15, 24),
        contrast=0.18,
        dome=0.2,
        chromatin=0.05,
        grain=2.5,
        lens=1.3,
        bright=0.03,
        haze=0.02,
        blurred=0.04,
        debris=0.1,
        noise=0.25,
        shot=0.006,
        lobed=0.28,
        holes=4,
    ),
    # 512 x 640, noisy, of very different brightness: much lies below a global threshold
    "noisy": Fluorescence(
        radius=18,
        spread=0.35,
        aspect=1.2,
        wobble=0.04,
        density=(0.07, 0.11),
        touching=0.1,
        patches=0.1,
        ground=(4, 7),
        light=(13, 24),
        contrast=0.5,
        dome=0.5,
        margin=1.03,
        chromatin=0.2,
        grain=3.0,
        lens=1.6,
        bright=0.04,
        blurred=0.25,
        ghosts=0.12,
        noise=1.5,
        shot=0.06,
    ),
    # 603 x 1272: the rim of an embryo, packed
    "embryo": Fluorescence(
        radius=6.6,
        spread=0.12,
        aspect=1.3,
        wobble=0.04,
        density=(0.048, 0.052),
        ground=(0, 0.6),
        light=(34, 50),
        contrast=0.4,
        dome=0.7,
        chromatin=0.15,
        haze=1.1,
        lens=1.5,
        bright=0.01,
        blurred=0.2,
        debris=0.01,
        noise=0.4,
        shot=0.08,
        halo=0.8,
    ),
    # 260 x 347, packed tissue
    "packed": Fluorescence(
        radius=9,
        aspect=1.25,
        wobble=0.05,
        density=(0.25, 0.32),
        touching=0.3,
        patches=0.4,
        ground=(4, 7),
        light=(45, 70),
        contrast=0.35,
        dome=0.6,
        margin=1.04,
        chromatin=0.18,
        lens=1.5,
        haze=0.26,
        bright=0.02,
        blurred=0.3,
        ghosts=0.1,
    ),
}


def scene(
    style: str,
    shape: tuple[int, int],
    rng: np.random.Generator,
    tile: tuple[int, int] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw one fluorescence field.

    Parameters
    ----------
    style : str
        A key of ``STYLES``.
    shape : tuple of int
        Height and width, pixels.
    rng : numpy.random.Generator
        The source of chance.
    tile : tuple of int, optional
        Height and width of the tiles the field will be cut into: something then lies on each cut.

    Returns
    -------
    rgb : ndarray of uint8, (y, x, 3)
        Three equal channels, as in the real set.
    labels : ndarray of int32, (y, x)
        Instance map.
    """
    slide = STYLES[style]
    nuclei, bright = _population(slide, shape, rng, around=style == "embryo")
    nuclei = stitch(nuclei, shape, tile or shape, rng)
    owner, depth = draw(nuclei, shape)
    grey = _expose(slide, nuclei, bright, owner, depth, rng)
    if style == "embryo":
        grey += _yolk(nuclei, shape, rng)
    grey += rng.standard_normal(shape, np.float32) * np.sqrt(
        slide.noise**2 + slide.shot * np.maximum(grey, 0)
    )
    return np.repeat(as_bytes(grey)[..., None], 3, axis=2), consecutive(owner)


def _population(
    slide: Fluorescence, shape: tuple[int, int], rng: np.random.Generator, around: bool
) -> tuple[list[Nucleus], np.ndarray]:
    """Return the placed nuclei and which of them are bright (dividing or dying)."""
    share = rng.uniform(*slide.density)
    count = max(1, round(share * shape[0] * shape[1] / (np.pi * slide.radius**2)))
    nuclei = outlines(
        count,
        rng,
        radius=slide.radius,
        spread=slide.spread,
        aspect=slide.aspect,
        wobble=slide.wobble,
        lobed=slide.lobed,
    )
    bright = rng.random(count) < slide.bright
    small = rng.uniform(0.45, 0.75, count)
    ragged = tuple(0.055 * (rng.standard_normal(4) + 1j * rng.standard_normal(4)))
    nuclei = [
        replace(n, radius=n.radius * s, aspect=n.aspect * rng.uniform(1, 1.9), waves=ragged)
        if b
        else n
        for n, b, s in zip(nuclei, bright, small, strict=True)
    ]
    if around:
        nuclei = _rim(nuclei, shape, rng)
    else:
        nuclei = scatter(
            nuclei,
            shape,
            rng,
            touching=slide.touching,
            gap=1.2,
            accept=_patches(slide.patches, shape, rng),
        )
    shrunk = np.array([n.radius < 0.72 * slide.radius for n in nuclei])
    return nuclei, shrunk & (rng.random(len(nuclei)) < slide.bright / (slide.bright + 0.04))


def _patches(
    strength: float, shape: tuple[int, int], rng: np.random.Generator
) -> Callable[[float, float], float]:
    """Return the chance that a nucleus lies at (y, x): a smooth field that gathers them."""
    field = smooth_field(shape, 0.22 * min(*shape, 512), rng)
    chance = 1 - strength + strength * np.clip(0.35 + 0.8 * field, 0, 1) ** 2

    def accept(y: float, x: float) -> float:
        return float(chance[np.clip(int(y), 0, shape[0] - 1), np.clip(int(x), 0, shape[1] - 1)])

    return accept


def _rim(nuclei: list[Nucleus], shape: tuple[int, int], rng: np.random.Generator) -> list[Nucleus]:
    """Pack nuclei into the shell of an ellipse that fills the middle of the field."""
    tall, wide = shape[0] * 0.23, shape[1] * 0.26
    middle = (shape[0] * rng.uniform(0.45, 0.65), shape[1] * rng.uniform(0.35, 0.6))

    def accept(y: float, x: float) -> float:
        level = np.hypot((y - middle[0]) / tall, (x - middle[1]) / wide)
        return float(0.6 < level < 1.0)

    free = scatter(nuclei, shape, rng, touching=0, gap=0.93, accept=accept, tries=120)
    return [
        replace(n, angle=np.arctan2((n.y - middle[0]) / tall**2, (n.x - middle[1]) / wide**2))
        for n in free
    ]


def _yolk(nuclei: list[Nucleus], shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return the faint light of the embryo's inside."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    middle = np.mean([(n.y, n.x) for n in nuclei], axis=0)
    level = np.hypot((y - middle[0]) / shape[0] / 0.2, (x - middle[1]) / shape[1] / 0.22)
    inside = np.clip(1.6 - 1.6 * level, 0, 1).astype(np.float32)
    return inside * (9 + 2 * smooth_field(shape, 14, rng))


def _expose(
    slide: Fluorescence,
    nuclei: list[Nucleus],
    bright: np.ndarray,
    owner: np.ndarray,
    depth: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return the noiseless image, (y, x) float32 grey values."""
    shape = owner.shape
    light = rng.uniform(*slide.light)
    levels = light * np.exp(slide.contrast * rng.standard_normal(len(nuclei)))
    levels = np.maximum(levels, FAINTEST * light)
    levels[bright] = np.maximum(levels[bright], light) * rng.uniform(2, 4.5, bright.sum())
    emitted = _per_nucleus(levels, owner) * _profile(slide, depth, shape, rng)
    emitted *= _nucleoli(slide, nuclei, shape, rng) * (1 - slide.seam * _seams(owner))
    if slide.spots:
        emitted += _chromocentres(slide, nuclei, levels, shape, rng) * (owner > 0)
    defocused = _per_nucleus(rng.random(len(nuclei)) < slide.blurred, owner)
    image = blur(emitted * (1 - defocused), slide.lens)
    image += blur(emitted * defocused, slide.lens + min(0.14 * slide.radius, 1.8))
    image += slide.haze * blur(emitted, 2.2 * slide.radius)
    image += slide.halo * blur(emitted, 0.7 * slide.radius)
    if slide.fog:
        image += slide.fog * _fog(slide, owner, rng)
    image += _litter(slide, len(nuclei), light, shape, rng)
    image *= np.clip(1 + slide.uneven * smooth_field(shape, 0.4 * max(shape), rng), 0.6, 1.5)
    return image + _ground(slide, shape, rng)


def _per_nucleus(values: np.ndarray, owner: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], values]).astype(np.float32)[owner]


def _profile(
    slide: Fluorescence, depth: np.ndarray, shape: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """Return the light inside a nucleus of level 1: dome, soft rim, texture; 0 outside."""
    rho = depth * slide.margin
    dome = np.sqrt(np.clip(1 - rho**2, 0, 1))
    flat = np.clip((1 - rho) * 0.7 * slide.radius + 0.5, 0, 1)
    texture = smooth_field(shape, slide.grain, rng) + 0.45 * smooth_field(
        shape, 0.35 * slide.radius, rng
    )
    inside = ((1 - slide.dome) + slide.dome * dome) * flat * (depth < 1)
    return inside * np.clip(1 + slide.chromatin * texture, 0.3, 2.2)


def _chromocentres(
    slide: Fluorescence,
    nuclei: list[Nucleus],
    levels: np.ndarray,
    shape: tuple[int, int],
    rng: np.random.Generator,
) -> np.ndarray:
    """Return bright spots inside the nuclei."""
    places, owner = _places_inside(nuclei, slide.spots, rng)
    heights = levels[owner] * rng.uniform(0.1, 0.6, len(owner))
    return dots(shape, places, heights, 0.17 * slide.radius)


def _nucleoli(
    slide: Fluorescence, nuclei: list[Nucleus], shape: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """Return the share of light that the dark spots inside the nuclei leave, 0.25..1."""
    places, owner = _places_inside(nuclei, slide.holes, rng)
    heights = rng.uniform(0.05, 0.6, len(owner))
    return 1 - np.clip(dots(shape, places, heights, max(0.9, 0.12 * slide.radius)), 0, 0.75)


def _places_inside(
    nuclei: list[Nucleus], each: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return (n, 2) places, y and x, inside the nuclei, and the index of each one's nucleus."""
    count = each * len(nuclei)
    turn, far = rng.uniform(0, 2 * np.pi, count), np.sqrt(rng.random(count)) * 0.65
    owner = np.repeat(np.arange(len(nuclei)), each)
    radius = np.array([n.radius for n in nuclei])[owner] * far
    centre = np.array([(n.y, n.x) for n in nuclei])[owner]
    return centre + np.stack([radius * np.sin(turn), radius * np.cos(turn)], 1), owner


def _seams(owner: np.ndarray) -> np.ndarray:
    """Return 1 along the lines where two nuclei touch, 0 a few pixels away; (y, x) float32."""
    seam = np.zeros(owner.shape, np.float32)
    for first, second in (np.s_[1:, :], np.s_[:-1, :]), (np.s_[:, 1:], np.s_[:, :-1]):
        here, there = owner[first], owner[second]
        meet = (here != there) & (here > 0) & (there > 0)
        seam[first][meet] = 1
        seam[second][meet] = 1
    return np.clip(1.6 * blur(seam, 1.0), 0, 1)


def _fog(slide: Fluorescence, owner: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the faint clouds of the cells' bodies, mostly where nuclei are; about 0..2."""
    shape = owner.shape
    cells = blur((owner > 0).astype(np.float32), 1.6 * slide.radius)
    cells = cells / max(float(cells.max()), 1e-6)
    return (0.25 + cells) * np.clip(0.7 + 0.7 * smooth_field(shape, 2.2 * slide.radius, rng), 0, 2)


def _litter(
    slide: Fluorescence, count: int, light: float, shape: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """Return what shines but is not annotated: nuclei out of focus, specks, fibres."""
    image = np.zeros(shape, np.float32)
    ghosts = rng.poisson(slide.ghosts * count)
    if ghosts:
        places = rng.uniform(0, shape, (ghosts, 2))
        image += dots(shape, places, light * rng.uniform(0.08, 0.35, ghosts), 0.75 * slide.radius)
    specks = rng.poisson(slide.debris * count)
    if specks:
        image += _debris(specks, light, shape, rng)
    if slide.streaks:
        image += slide.streaks * _fibres(shape, rng)
    return image


def _debris(
    count: int, light: float, shape: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """Return bright crumbs and short smears, smaller and sharper than any nucleus."""
    pieces = rng.integers(1, 4, count)
    owner = np.repeat(np.arange(count), pieces)
    turn = rng.uniform(0, np.pi, count)[owner] + 0.3 * rng.standard_normal(len(owner))
    step = (np.arange(len(owner)) - np.repeat(np.cumsum(pieces) - pieces, pieces)) * 1.7
    places = rng.uniform(0, shape, (count, 2))[owner]
    places = places + step[:, None] * np.stack([np.sin(turn), np.cos(turn)], 1)
    return dots(shape, places, light * rng.uniform(0.4, 2.0, count)[owner], 0.9)


def _fibres(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return faint wavy fibres, 0 to about 3."""
    turn = rng.uniform(0, np.pi)
    y, x = np.ogrid[: shape[0], : shape[1]]
    along = (np.sin(turn) * y + np.cos(turn) * x).astype(np.float32)
    phase = along / 9 + 1.6 * smooth_field(shape, 35, rng)
    return np.clip(smooth_field(shape, 25, rng), 0, 2) * np.sin(phase) ** 4


def _ground(slide: Fluorescence, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return the uneven background, with the lamp's glow in a corner where the style has one."""
    ground = rng.uniform(*slide.ground) * (1 + 0.08 * smooth_field(shape, 0.3 * max(shape), rng))
    if rng.random() < slide.glow:
        y, x = np.ogrid[: shape[0], : shape[1]]
        corner = rng.integers(0, 2, 2) * np.array(shape)
        far = np.hypot(y - corner[0], x - corner[1]) / (0.35 * max(shape))
        ground = ground + rng.uniform(25, 60) * np.exp(-(far**2))
    return ground.astype(np.float32)
