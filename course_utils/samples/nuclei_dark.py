"""Fluorescence for the nuclei twin: bright nuclei on a dark ground, in nine styles of slide.

Each style stands for one of the experiments in BBBC038's dark images. The light of the nuclei is blurred
by the lens, scattered into a haze, put on an uneven ground and given shot and camera noise.
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
)


@dataclass(frozen=True)
class Fluorescence:
    """What makes one kind of fluorescence slide; grey values are of 0..255, lengths are pixels."""

    radius: float  # median radius
    spread: float = 0.18  # standard deviation of the logarithm of the radius
    aspect: float = 1.3  # median elongation
    wobble: float = 0.05  # irregularity of the outline
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
    lens: float = 0.8  # blur of the optics
    haze: float = 0.06  # scattered light
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
        9.5,
        0.2,
        1.15,
        0.05,
        (0.06, 0.22),
        0.3,
        0.6,
        (1, 4),
        (45, 80),
        0.3,
        0.7,
        1.12,
        0.3,
        2.6,
        spots=4,
        lens=1.5,
        haze=0.16,
        bright=0.03,
        blurred=0.25,
        ghosts=0.12,
        debris=0.05,
    ),
    # 256 x 256, well separated ovals with fine texture
    "sparse": Fluorescence(
        7.5,
        0.18,
        1.25,
        0.03,
        (0.025, 0.06),
        0.12,
        0.3,
        (9, 14),
        (35, 60),
        0.3,
        0.5,
        1.0,
        0.2,
        1.3,
        lens=0.8,
        bright=0.08,
        debris=0.15,
        ghosts=0.05,
    ),
    # 256 x 256, tiny nuclei in patches, many of them bright
    "tiny": Fluorescence(
        4.6,
        0.2,
        1.25,
        0.05,
        (0.02, 0.07),
        0.3,
        0.8,
        (11, 14),
        (60, 110),
        0.4,
        0.6,
        1.05,
        0.2,
        1.2,
        lens=0.8,
        bright=0.14,
        debris=0.2,
        ghosts=0.05,
    ),
    # 256 x 256, spindle cells with a breath of cytoplasm
    "spindle": Fluorescence(
        6.2,
        0.15,
        1.55,
        0.03,
        (0.025, 0.055),
        0.12,
        0.2,
        (3, 6),
        (35, 60),
        0.3,
        0.4,
        1.0,
        0.12,
        1.5,
        lens=0.9,
        streaks=1.4,
        debris=0.1,
        ghosts=0.1,
        bright=0.02,
    ),
    # 256 x 256, crowded, saturated, a lamp's glow in a corner
    "crowd": Fluorescence(
        5.2,
        0.2,
        1.3,
        0.05,
        (0.10, 0.2),
        0.4,
        0.5,
        (11, 14),
        (50, 90),
        0.5,
        0.5,
        1.0,
        0.15,
        1.3,
        lens=0.8,
        bright=0.2,
        glow=0.8,
        haze=0.1,
        debris=0.1,
    ),
    # 520 x 696, cultured cells in a monolayer
    "culture": Fluorescence(
        13.5,
        0.17,
        1.4,
        0.05,
        (0.12, 0.28),
        0.25,
        0.3,
        (2, 14),
        (30, 60),
        0.3,
        0.35,
        1.0,
        0.12,
        1.8,
        lens=1.0,
        bright=0.05,
        haze=0.06,
        debris=0.08,
        ghosts=0.04,
        noise=0.5,
    ),
    # 520 x 696 and 1040 x 1388, few and large, coarse chromatin
    "large": Fluorescence(
        26,
        0.12,
        1.4,
        0.03,
        (0.07, 0.14),
        0.1,
        0.2,
        (9, 20),
        (90, 130),
        0.18,
        0.3,
        1.0,
        0.3,
        2.4,
        lens=1.0,
        bright=0.02,
        haze=0.04,
        blurred=0.03,
        debris=0.05,
        noise=0.5,
    ),
    # 360 x 360, dim and smooth, now and then a dividing one
    "dim": Fluorescence(
        23,
        0.2,
        1.4,
        0.07,
        (0.24, 0.38),
        0.35,
        0.1,
        (4, 6),
        (17, 30),
        0.14,
        0.25,
        1.0,
        0.06,
        2.5,
        lens=1.3,
        bright=0.03,
        haze=0.02,
        blurred=0.05,
        debris=0.05,
        noise=0.45,
        shot=0.01,
    ),
    # 512 x 640, noisy, of very different brightness: much lies below a global threshold
    "noisy": Fluorescence(
        18,
        0.35,
        1.2,
        0.04,
        (0.07, 0.12),
        0.25,
        0.1,
        (4, 7),
        (12, 24),
        0.75,
        0.55,
        1.05,
        0.25,
        3.0,
        lens=1.8,
        bright=0.04,
        blurred=0.35,
        ghosts=0.15,
        noise=1.6,
        shot=0.12,
    ),
    # 603 x 1272 and 260 x 347: the rim of an embryo, packed
    "embryo": Fluorescence(
        7.2,
        0.16,
        1.35,
        0.06,
        (0.05, 0.07),
        0.0,
        0.0,
        (0, 1),
        (30, 55),
        0.35,
        0.7,
        1.0,
        0.2,
        2.0,
        lens=1.2,
        haze=0.45,
        bright=0.02,
        blurred=0.2,
        debris=0.02,
        shot=0.12,
    ),
}


def scene(
    style: str, shape: tuple[int, int], rng: np.random.Generator
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

    Returns
    -------
    rgb : ndarray of uint8, (y, x, 3)
        Three equal channels, as in the real set.
    labels : ndarray of int32, (y, x)
        Instance map.
    """
    slide = STYLES[style]
    nuclei, bright = _population(slide, shape, rng, around=style == "embryo")
    owner, depth = draw(nuclei, shape)
    grey = _expose(slide, nuclei, bright, owner, depth, rng)
    if style == "embryo":
        grey += _yolk(shape, rng)
    grey += rng.standard_normal(shape, np.float32) * np.sqrt(
        slide.noise**2 + slide.shot * np.maximum(grey, 0)
    )
    return np.repeat(as_bytes(grey)[..., None], 3, axis=2), consecutive(owner)


def _population(
    slide: Fluorescence, shape: tuple[int, int], rng: np.random.Generator, around: bool
) -> tuple[list[Nucleus], np.ndarray]:
    """Return the placed nuclei and which of them are bright (dividing or dying)."""
    share = rng.uniform(*slide.density)
    count = max(3, round(share * shape[0] * shape[1] / (np.pi * slide.radius**2)))
    nuclei = outlines(
        count,
        rng,
        radius=slide.radius,
        spread=slide.spread,
        aspect=slide.aspect,
        wobble=slide.wobble,
    )
    bright = rng.random(count) < slide.bright
    small = rng.uniform(0.45, 0.75, count)
    nuclei = [
        replace(n, radius=n.radius * s, aspect=n.aspect * rng.uniform(1, 1.7)) if b else n
        for n, b, s in zip(nuclei, bright, small, strict=True)
    ]
    if around:
        nuclei = _rim(nuclei, shape, rng)
    else:
        nuclei = scatter(
            nuclei, shape, rng, touching=slide.touching, accept=_patches(slide.patches, shape, rng)
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
    """Pack nuclei into the shell of an ellipse that fills the lower part of the field."""
    tall, wide = shape[0] * 0.27, shape[1] * 0.42
    middle = (shape[0] * 0.62, shape[1] * rng.uniform(0.55, 0.65))

    def accept(y: float, x: float) -> float:
        level = np.hypot((y - middle[0]) / tall, (x - middle[1]) / wide)
        return float(0.62 < level < 1.0)

    free = scatter(nuclei * 3, shape, rng, gap=0.94, accept=accept, tries=40)
    return [
        replace(n, angle=np.arctan2((n.y - middle[0]) / tall**2, (n.x - middle[1]) / wide**2))
        for n in free
    ]


def _yolk(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return the faint light of the embryo's inside."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    level = np.hypot((y / shape[0] - 0.62) / 0.25, (x / shape[1] - 0.6) / 0.38)
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
    levels[bright] = np.maximum(levels[bright], light) * rng.uniform(2, 4.5, bright.sum())
    emitted = _per_nucleus(levels, owner) * _profile(slide, depth, shape, rng)
    if slide.spots:
        emitted += _chromocentres(slide, nuclei, levels, shape, rng) * (owner > 0)
    defocused = _per_nucleus(rng.random(len(nuclei)) < slide.blurred, owner)
    image = blur(emitted * (1 - defocused), slide.lens)
    image += blur(emitted * defocused, slide.lens + 0.14 * slide.radius)
    image += slide.haze * blur(emitted, 2.2 * slide.radius)
    image += _litter(slide, len(nuclei), light, shape, rng)
    image *= 1 + 0.08 * smooth_field(shape, 0.4 * max(shape), rng)
    return image + _ground(slide, shape, rng)


def _per_nucleus(values: np.ndarray, owner: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], values]).astype(np.float32)[owner]


def _profile(
    slide: Fluorescence, depth: np.ndarray, shape: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """Return the light inside a nucleus of level 1: dome, soft rim, texture; 0 outside."""
    rho = depth * slide.margin
    dome = np.sqrt(np.clip(1 - rho**2, 0, 1))
    flat = np.clip((1 - rho) * 0.5 * slide.radius + 0.35, 0, 1)
    texture = smooth_field(shape, slide.grain, rng) + 0.7 * smooth_field(
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
    count = slide.spots * len(nuclei)
    turn, far = rng.uniform(0, 2 * np.pi, count), np.sqrt(rng.random(count)) * 0.65
    owner = np.repeat(np.arange(len(nuclei)), slide.spots)
    radius = np.array([n.radius for n in nuclei])[owner] * far
    centre = np.array([(n.y, n.x) for n in nuclei])[owner]
    places = centre + np.stack([radius * np.sin(turn), radius * np.cos(turn)], 1)
    return dots(shape, places, levels[owner] * rng.uniform(0.1, 0.6, count), 0.17 * slide.radius)


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
        places = rng.uniform(0, shape, (specks, 2))
        image += dots(shape, places, light * rng.uniform(0.2, 1.6, specks), 1.1)
    if slide.streaks:
        image += slide.streaks * _fibres(shape, rng)
    return image


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
