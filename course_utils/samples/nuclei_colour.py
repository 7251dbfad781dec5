"""Stained colour images for the nuclei twin: purple nuclei on lilac, white, yellowish, pink tissue.

Stain absorbs: each pixel is the colour of the glass times the colour of each stain to the power of
how much of it is there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .nuclei_drawing import (
    Nucleus,
    as_bytes,
    blur,
    consecutive,
    draw,
    outlines,
    scatter,
    smooth_field,
    stitch,
)


@dataclass(frozen=True)
class Stain:
    """What makes one kind of stained slide; colours are RGB of 0..255, lengths pixels."""

    glass: tuple[int, int, int]  # where there is nothing
    nucleus: tuple[int, int, int]  # a full dose of nuclear stain
    radius: float
    spread: float = 0.2
    aspect: float = 1.5
    wobble: float = 0.05
    density: tuple[float, float] = (0.1, 0.25)
    touching: float = 0.4
    lobed: float = 0.12
    rows: bool = False  # nuclei that touch stand side by side
    aligned: bool = False  # nuclei lie along the fibres
    dose: tuple[float, float] = (0.55, 1.05)  # stain in a nucleus
    pale: tuple[int, int, int] | None = None  # colour of pale nuclei, when it is another one
    chromatin: float = 0.14
    grain: float = 1.5
    lens: float = 0.7
    blurred: float = 0.25  # share out of focus
    ghosts: float = 0.15  # out-of-focus, unlabelled smears per nucleus
    stroma: float = 0.04  # relief of the tissue
    tissue: tuple[int, int, int] | None = None  # a second stain, of the tissue
    band: tuple[int, int, int] | None = None  # a broad fibre that crosses the field
    noise: float = 1.2


LILAC, VIOLET = (184, 166, 211), (62, 10, 170)
STYLES: dict[str, Stain] = {
    # mucosa at low magnification: small nuclei of every length
    "lilac-small": Stain(
        LILAC,
        VIOLET,
        radius=7.0,
        spread=0.32,
        aspect=1.7,
        density=(0.1, 0.22),
        touching=0.2,
        dose=(0.13, 1.0),
        chromatin=0.2,
        blurred=0.3,
        ghosts=0.585,
    ),
    # a lining of tall cells, side by side
    "lilac-rows": Stain(
        LILAC,
        VIOLET,
        radius=8.5,
        spread=0.22,
        aspect=2.1,
        density=(0.16, 0.26),
        touching=0.45,
        rows=True,
        aligned=True,
        dose=(0.29, 1.05),
        blurred=0.3,
        ghosts=0.26,
    ),
    # muscle and connective tissue: slender nuclei along the fibres
    "lilac-fibres": Stain(
        LILAC,
        VIOLET,
        radius=7.0,
        spread=0.3,
        aspect=3.0,
        density=(0.03, 0.08),
        touching=0.12,
        aligned=True,
        dose=(0.12, 0.9),
        blurred=0.35,
        ghosts=0.65,
        stroma=0.046,
    ),
    # high magnification: every grain of chromatin shows
    "lilac-large": Stain(
        LILAC,
        VIOLET,
        radius=20,
        spread=0.3,
        aspect=1.7,
        density=(0.17, 0.32),
        touching=0.18,
        dose=(0.14, 1.0),
        chromatin=0.3,
        grain=1.7,
        lens=1.0,
        blurred=0.35,
        ghosts=0.455,
        stroma=0.058,
    ),
    # blood-forming tissue on clear glass: dark round and pale ragged nuclei in clumps
    "white": Stain(
        (226, 231, 226),
        (84, 14, 98),
        radius=9.0,
        spread=0.24,
        aspect=1.3,
        wobble=0.06,
        density=(0.14, 0.28),
        touching=0.25,
        lobed=0.2,
        dose=(0.33, 1.05),
        pale=(176, 90, 180),
        chromatin=0.2,
        lens=0.9,
        blurred=0.3,
        ghosts=0.39,
        stroma=0.018,
    ),
    # the same on yellowish glass, weaker
    "yellow": Stain(
        (232, 226, 205),
        (100, 36, 118),
        radius=8.5,
        spread=0.3,
        aspect=1.5,
        wobble=0.06,
        density=(0.08, 0.2),
        touching=0.2,
        lobed=0.15,
        dose=(0.16, 1.0),
        pale=(165, 105, 172),
        chromatin=0.2,
        lens=0.9,
        ghosts=0.39,
        stroma=0.033,
    ),
    # haematoxylin and eosin, a red fibre across
    "pink": Stain(
        (240, 222, 236),
        (92, 24, 110),
        radius=15,
        spread=0.25,
        aspect=1.7,
        density=(0.1, 0.2),
        touching=0.1,
        dose=(0.16, 0.9),
        chromatin=0.24,
        lens=0.9,
        stroma=0.078,
        tissue=(222, 128, 188),
        band=(214, 30, 84),
    ),
}


def scene(
    style: str,
    shape: tuple[int, int],
    rng: np.random.Generator,
    tile: tuple[int, int] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw one stained field.

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
    labels : ndarray of int32, (y, x)
        Instance map.
    """
    slide = STYLES[style]
    turn = rng.uniform(0, np.pi)
    lumen = np.clip(1.4 * smooth_field(shape, 0.2 * min(*shape, 512), rng) + 1.3, 0, 1)
    nuclei = stitch(_population(slide, shape, turn, lumen, rng), shape, tile or shape, rng)
    owner, depth = draw(nuclei, shape)
    dose = rng.uniform(*slide.dose, len(nuclei))
    pale = (rng.random(len(nuclei)) < 0.35) & (slide.pale is not None)
    dose = np.where(pale, rng.uniform(0.45, 1.0, len(nuclei)), dose)
    stain = _stain(slide, dose, owner, depth, rng)
    paleness = blur(np.append(0, pale)[owner].astype(np.float32), slide.lens)[..., None]
    picture = _tissue(slide, shape, turn, lumen, rng)
    ratio = np.array(slide.nucleus) / np.array(slide.glass)
    lighter = np.array(slide.pale or slide.nucleus) / np.array(slide.glass)
    colour = np.log(ratio) * (1 - paleness) + np.log(lighter) * paleness
    picture = picture * np.exp(colour.astype(np.float32) * stain[..., None])
    noise = smooth_field(shape, 0.7, rng)[..., None] + 0.5 * rng.standard_normal(
        (*shape, 3), np.float32
    )
    return as_bytes(picture + slide.noise * noise), consecutive(owner)


def _population(
    slide: Stain, shape: tuple[int, int], turn: float, lumen: np.ndarray, rng: np.random.Generator
) -> list[Nucleus]:
    """Return the nuclei, laid where there is tissue and not in the holes."""
    share = rng.uniform(*slide.density)
    count = max(4, round(share * shape[0] * shape[1] / (np.pi * slide.radius**2)))
    nuclei = outlines(
        count, rng, radius=slide.radius, spread=slide.spread, aspect=slide.aspect,
        wobble=slide.wobble, angle=turn if slide.aligned else None, lobed=slide.lobed,
    )  # fmt: skip
    return scatter(
        nuclei, shape, rng, touching=slide.touching, gap=1.08, accept=_there(lumen), rows=slide.rows
    )


def _there(chance: np.ndarray) -> Callable[[float, float], float]:
    def accept(y: float, x: float) -> float:
        tall, wide = chance.shape
        return float(chance[np.clip(int(y), 0, tall - 1), np.clip(int(x), 0, wide - 1)])

    return accept


def _stain(
    slide: Stain, dose: np.ndarray, owner: np.ndarray, depth: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return how much nuclear stain lies in each pixel, 0 to about 1.2; (y, x) float32."""
    shape = owner.shape
    texture = smooth_field(shape, slide.grain, rng) + 0.8 * smooth_field(shape, 3.5, rng)
    inside = (0.86 + 0.3 * depth**5) * (1 + slide.chromatin * texture)
    stain = np.append(0, dose)[owner].astype(np.float32) * np.clip(inside, 0.15, 1.6)
    hazy = np.append(0, rng.random(len(dose)) < slide.blurred)[owner].astype(np.float32)
    sharp = blur(stain * (1 - hazy), slide.lens)
    soft = blur(stain * hazy, slide.lens + 1.2 + 0.08 * slide.radius)
    return sharp + soft + _ghosts(slide, len(dose), shape, rng)


def _ghosts(
    slide: Stain, count: int, shape: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """Return smears of stain out of focus, which nobody annotated."""
    number = rng.poisson(slide.ghosts * count)
    if not number:
        return np.zeros(shape, np.float32)
    blots = outlines(number, rng, radius=0.8 * slide.radius, aspect=slide.aspect, wobble=0.1)
    owner, _ = draw(scatter(blots, shape, rng, touching=0, gap=0.5), shape)
    strength = np.append(0, rng.uniform(0.1, 0.38, number))[owner].astype(np.float32)
    return blur(strength, 1.5 + 0.2 * slide.radius)


def _tissue(
    slide: Stain, shape: tuple[int, int], turn: float, lumen: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return the picture without nuclei: glass, relief, tissue stain, a broad fibre."""
    relief = _relief(shape, turn, rng) * (0.3 + 0.7 * lumen)
    shade = 1 + slide.stroma * relief + 0.05 * smooth_field(shape, 0.4 * max(shape), rng)
    picture = np.array(slide.glass, np.float32) * shade[..., None].astype(np.float32)
    if slide.tissue:
        amount = lumen * np.clip(0.75 + 0.3 * relief + 0.3 * smooth_field(shape, 25, rng), 0.1, 1.6)
        picture *= _power(slide.tissue, slide.glass, amount)
    if slide.band:
        picture *= _power(slide.band, slide.tissue or slide.glass, _band(shape, turn, relief, rng))
    return picture


def _power(
    colour: tuple[int, int, int], ground: tuple[int, int, int], amount: np.ndarray
) -> np.ndarray:
    """Return what a stain lets through, (y, x, 3): an amount of 1 turns ground to colour."""
    ratio = np.log(np.array(colour) / np.array(ground)).astype(np.float32)
    return np.exp(ratio * amount[..., None].astype(np.float32))


def _relief(shape: tuple[int, int], turn: float, rng: np.random.Generator) -> np.ndarray:
    """Return wavy fibres lit from one side, mean 0, standard deviation about 1."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    across = (np.cos(turn) * y - np.sin(turn) * x).astype(np.float32)
    warp = smooth_field(shape, 28, rng)
    waves = np.sin(across / 3.2 + 5 * warp) * np.clip(smooth_field(shape, 22, rng), 0, 2)
    grain = smooth_field(shape, 1.2, rng)
    lit = np.diff(smooth_field((shape[0] + 1, shape[1]), 3.0, rng), axis=0) * 3
    return 0.55 * waves + 0.35 * grain + 0.6 * lit


def _band(
    shape: tuple[int, int], turn: float, relief: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return the amount of stain of a broad fibre across the field, 0..1."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    across = np.cos(turn) * (y - shape[0] / 2) - np.sin(turn) * (x - shape[1] / 2)
    across = across + 14 * smooth_field(shape, 60, rng) + rng.uniform(-60, 60)
    return np.clip((32 - np.abs(across)) / 4, 0, 1) * (0.9 + 0.08 * relief)
