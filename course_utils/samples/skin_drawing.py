"""The pencils of the skin twin: skin, a lesion with its outline, and what lies over both.

Everything smooth is drawn on a small canvas and enlarged; hair, ruler marks and noise are drawn at
full size. Colours follow a simple law of absorption: light is dimmed by ``exp(-(melanin * MELANIN
+ blood * BLOOD))`` in red, green and blue, so that the same lesion looks right on light and on dark
skin. Arrays are (y, x) or (y, x, 3); lengths on the canvas are shares of its height.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage as ndi

from .nuclei_drawing import as_bytes, smooth_field

CANVAS = 192  # pixels: height of the small canvas
WHITE = np.array([238.0, 222.0, 212.0], np.float32)
MELANIN = np.array([0.40, 0.62, 1.0], np.float32)
BLOOD = np.array([0.05, 0.40, 0.33], np.float32)


@dataclass(frozen=True)
class Source:
    """Where images come from: mean share of the lesion, sizes (y, x), chances of artefacts."""

    name: str
    share: float
    sizes: tuple[tuple[int, int], ...]
    vignette: float = 0.4
    hair: float = 0.35
    ruler: float = 0.15
    glare: float = 0.2
    bubbles: float = 0.25


def draw(source: Source, rng: np.random.Generator) -> tuple[Image.Image, np.ndarray, list[str]]:
    """Draw one dermoscopic image.

    Parameters
    ----------
    source : Source
    rng : numpy.random.Generator

    Returns
    -------
    image : PIL.Image.Image
        RGB, of one of the source's sizes.
    mask : ndarray of uint8, (y, x)
        255 inside the one labelled lesion, else 0.
    artefacts : list of str
        What lies in the picture: of "hair", "ruler", "vignette", "glare", "bubbles", "ink".

    Examples
    --------
    >>> image, mask, _ = draw(Source("s", 0.2, ((96, 128),)), np.random.default_rng(0))
    >>> image.size, mask.shape, np.unique(mask).tolist()
    ((128, 96), (96, 128), [0, 255])
    """
    shape = source.sizes[int(rng.integers(len(source.sizes)))]
    small = (CANVAS, round(CANVAS * shape[1] / shape[0]))
    rho = outline(small, _share(source, rng), rng)
    chances = {
        "vignette": source.vignette, "glare": source.glare, "bubbles": source.bubbles,
        "ink": 0.05, "hair": source.hair, "ruler": source.ruler,
    }  # fmt: skip
    artefacts = [name for name, chance in chances.items() if rng.random() < chance]
    picture = _lit(_skin_with(rho, rng), artefacts, rng)
    image = Image.fromarray(as_bytes(picture)).resize(shape[::-1], Image.Resampling.BICUBIC)
    if "ruler" in artefacts:
        _ruler(image, rng)
    if "hair" in artefacts:
        _hairs(image, rng)
    noise = rng.standard_normal((64, 64, 3), np.float32) * rng.uniform(1, 3.5)
    grain = np.tile(noise, (shape[0] // 64 + 1, shape[1] // 64 + 1, 1))[: shape[0], : shape[1]]
    image = Image.fromarray(as_bytes(np.asarray(image) + grain))
    return image, traced(rho, shape, rng), artefacts


def _share(source: Source, rng: np.random.Generator) -> float:
    """Return the lesion's share of the image: skewed, a few tiny ones, a few that fill it."""
    return float(np.clip(source.share * np.exp(0.62 * rng.standard_normal() - 0.19), 0.012, 0.82))


def outline(shape: tuple[int, int], share: float, rng: np.random.Generator) -> np.ndarray:
    """Return a field that is below 1 inside an irregular lesion of the given share of the image.

    Returns
    -------
    ndarray of float32, (y, x)
        About the distance from the lesion's middle, in units of the distance to its edge.
    """
    height, width = shape
    y, x = np.mgrid[:height, :width].astype(np.float32) / height
    drift = 0.13 * (1 - share)
    centre = (0.5 + drift * rng.standard_normal(), width / height * 0.5 + drift * rng.normal())
    irregular = rng.uniform(0.3, 1.3)
    field = _blob(y - centre[0], x - centre[1], irregular, rng)
    if rng.random() < 0.4:  # a second lobe
        reach = 0.55 * np.sqrt(share)
        turn = rng.uniform(0, 2 * np.pi)
        lobe = _blob(
            y - centre[0] - reach * np.sin(turn), x - centre[1] - reach * np.cos(turn),
            irregular, rng,
        )  # fmt: skip
        field = np.minimum(field, lobe * rng.uniform(1.0, 1.5))
    size = np.sqrt(share)
    field *= 1 + irregular * 0.13 * smooth_field(shape, max(4.0, 40 * size), rng)
    field *= 1 + irregular * 0.05 * smooth_field(shape, max(2.5, 10 * size), rng)
    return (field / np.quantile(field, share)).astype(np.float32)


def _blob(dy: np.ndarray, dx: np.ndarray, irregular: float, rng: np.random.Generator):
    """Return the distance from a point in units of a wavy, elongated outline's radius."""
    aspect, turn = np.sqrt(1 + 0.9 * rng.random() ** 2), rng.uniform(0, np.pi)
    cos, sin = np.cos(turn), np.sin(turn)
    point = (cos * dx + sin * dy) / aspect + 1j * (cos * dy - sin * dx) * aspect
    rho = np.abs(point)
    unit = point / np.maximum(rho, 1e-6)
    edge, power = np.ones_like(rho), unit
    for wave in (0.1, 0.075, 0.05, 0.035):
        power = power * unit
        edge += irregular * wave * (power * np.exp(1j * rng.uniform(0, 6.3))).real
    return rho / np.maximum(edge, 0.35)


def _skin_with(rho: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the colours of skin with the lesion in it, (y, x, 3), before light and artefacts."""
    shape = rho.shape
    tone = 1.7 * rng.beta(1.0, 3.2)  # mostly light, as in the archive; the range is wide
    melanin = tone * (1 + 0.05 * smooth_field(shape, 25, rng))
    blood = rng.uniform(0.02, 0.36) * (1 + 0.35 * smooth_field(shape, 30, rng))
    melanin += _others(shape, rho, rng)
    inside = 1 / (1 + np.exp(np.clip((rho - 1) / rng.uniform(0.02, 0.13), -30, 30)))
    pink = rng.random() < 0.18
    dark = rng.uniform(0.05, 0.2) if pink else rng.uniform(0.2, 1.1)
    patches = 1 + rng.uniform(0.1, 0.5) * smooth_field(shape, rng.uniform(8, 22), rng)
    patches += rng.uniform(0, 0.35) * _network(shape, rng)
    if rng.random() < 0.3:  # a darker part
        patches *= 1 + 0.8 / (1 + np.exp(-6 * smooth_field(shape, 28, rng)))
    melanin += dark * inside * np.clip(patches, 0.15, 3)
    blood += inside * (rng.uniform(0.25, 0.7) if pink else rng.uniform(0, 0.2))
    colour = WHITE * np.exp(-(melanin[..., None] * MELANIN + blood[..., None] * BLOOD))
    if rng.random() < 0.2:  # a blue-grey veil over a part of the lesion
        veil = 0.6 * inside / (1 + np.exp(-5 * (smooth_field(shape, 20, rng) - 0.6)))
        colour += veil[..., None] * (np.array([105.0, 112.0, 128.0]) - colour)
    return colour


def _network(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return pigment network: thin dark lines around light holes, about 0 to 1."""
    fine = smooth_field(shape, rng.uniform(1.8, 3.2), rng)
    return np.exp(-((fine / 0.35) ** 2)).astype(np.float32)


def _others(shape: tuple[int, int], rho: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the melanin of freckles and of second lesions, which nobody labels."""
    height, width = shape
    field = np.zeros(shape, np.float32)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    number = int(rng.integers(0, 9)) if rng.random() < 0.5 else 0
    second = int(rng.integers(1, 3)) if rng.random() < 0.4 else 0
    for i in range(number + second):
        cy, cx = rng.uniform(0, height), rng.uniform(0, width)
        if i >= number and rho[int(cy), int(cx)] < 1.5:
            continue
        radius = rng.uniform(1.2, 4) if i < number else rng.uniform(7, 16)
        bump = np.exp(-((((y - cy) ** 2 + (x - cx) ** 2) / (2 * radius**2)) ** 2))
        field += rng.uniform(0.15, 0.6) * bump
    return field


def _lit(colour: np.ndarray, artefacts: list[str], rng: np.random.Generator) -> np.ndarray:
    """Return the picture under the dermatoscope's light, with what the canvas can hold of it."""
    height, width = colour.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32) / height
    y, x = y - 0.5, x - 0.5 * width / height
    turn = rng.uniform(0, 2 * np.pi)
    light = 1 + rng.uniform(0, 0.42) * (np.cos(turn) * x + np.sin(turn) * y)
    light -= rng.uniform(0, 0.35) * (x**2 + y**2)
    if "vignette" in artefacts:
        radius, soft = rng.uniform(0.60, 0.78), rng.uniform(0.006, 0.04)
        ring = np.hypot(x + rng.normal(0, 0.03), y + rng.normal(0, 0.03))
        light *= 0.06 + 0.94 / (1 + np.exp(np.clip((ring - radius) / soft, -30, 30)))
    gains = rng.uniform(0.88, 1.08) * (1 + 0.04 * rng.standard_normal(3))
    picture = colour * light[..., None] * gains.astype(np.float32)
    if "ink" in artefacts:
        picture += _ink(y, x, rng)[..., None] * (np.array([70.0, 60.0, 140.0]) - picture)
    if "bubbles" in artefacts:
        picture += _bubbles(y, x, rng)[..., None]
    if "glare" in artefacts:
        picture += _glare(y, x, rng)[..., None]
    return picture.astype(np.float32)


def _ink(y: np.ndarray, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return how much a surgeon's pen covers: an arc near the image's edge, 0 to 0.7."""
    turn = rng.uniform(0, 2 * np.pi)
    angle = np.arctan2(y, x) - turn
    near = np.abs(np.hypot(x, y) - rng.uniform(0.5, 0.58)) < 0.02
    return 0.7 * ndi.gaussian_filter((near & (np.cos(angle) > 0.85)).astype(np.float32), 1)


def _bubbles(y: np.ndarray, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the brightness that bubbles in the gel add: rings with a spot of light."""
    field = np.zeros_like(y)
    for _ in range(int(rng.integers(1, 9))):
        cy, cx = rng.uniform(y.min(), y.max()), rng.uniform(x.min(), x.max())
        radius = rng.uniform(0.01, 0.05)
        away = np.hypot(y - cy, x - cx)
        field += 38 * np.exp(-(((away - radius) / 0.006) ** 2))
        field += 120 * np.exp(-(((y - cy + radius / 2) ** 2 + (x - cx) ** 2) / 0.005**2))
    return field


def _glare(y: np.ndarray, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the brightness of lamps that mirror themselves at the left and the right edge."""
    field = np.zeros_like(y)
    for side in (x.min(), x.max()):
        for _ in range(2):
            cy, size = rng.uniform(-0.15, 0.15), rng.uniform(0.02, 0.06)
            field += 150 * np.exp(-((x - side) ** 2 + (y - cy) ** 2) / size**2)
    return field


def _ruler(image: Image.Image, rng: np.random.Generator) -> None:
    """Draw the marks of a ruler along an edge, in place."""
    width, height = image.size
    pen = ImageDraw.Draw(image)
    gap, level = height * rng.uniform(0.03, 0.055), int(rng.integers(20, 90))
    start = rng.uniform(0.05, 0.12)
    along, below = rng.random() < 0.5, rng.random() < 0.5
    length, other = (width, height) if along else (height, width)
    for k in range(int(length / gap)):
        long = 0.055 if k % 5 == 0 else 0.03
        place, near, far = k * gap, other * start, other * start + height * long
        if below:
            near, far = other - near, other - far
        ends = [(place, near), (place, far)] if along else [(near, place), (far, place)]
        pen.line(ends, fill=(level,) * 3, width=max(1, height // 240))


def _hairs(image: Image.Image, rng: np.random.Generator) -> None:
    """Draw curved hairs that lie in one direction, more or less, in place."""
    width, height = image.size
    pen = ImageDraw.Draw(image)
    lie, level = rng.uniform(0, np.pi), int(rng.integers(15, 75))
    colour = (level + 14, level + 5, level)
    t = np.linspace(0, 1, 14)[:, None]
    for _ in range(int(rng.integers(3, 34))):
        turn, length = lie + 0.5 * rng.standard_normal(), height * rng.uniform(0.2, 0.7)
        first = rng.uniform(-0.1, 1.1, 2) * (width, height)
        step = length * np.array([np.cos(turn), np.sin(turn)])
        bend = 0.3 * length * rng.standard_normal() * np.array([-np.sin(turn), np.cos(turn)])
        curve = (1 - t) ** 2 * first + 2 * t * (1 - t) * (first + step / 2 + bend)
        curve = curve + t**2 * (first + step)
        thick = max(1, round(height * rng.uniform(0.0025, 0.006)))
        pen.line([tuple(point) for point in curve.tolist()], fill=colour, width=thick)


def traced(rho: np.ndarray, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return the mask that an annotator makes of the lesion, (y, x) uint8, 0 or 255.

    Half of them are polygons of a few corners, half come from a flood fill on a small image and
    have its steps: the two ways in which the masks of the release were made. One region, no hole.
    """
    region = ndi.gaussian_filter(rho, 1.5) < rng.normal(1.0, 0.03)
    pieces, count = ndi.label(region)
    if count > 1:
        region = pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:])
    region = ndi.binary_fill_holes(region)
    if rng.random() < 0.5:
        full = Image.fromarray(region.astype(np.uint8) * 255)
        return np.asarray(full.resize(shape[::-1], Image.Resampling.NEAREST))
    return _polygon(region, shape, tolerance=rng.uniform(0.8, 2.5))


def _polygon(region: np.ndarray, shape: tuple[int, int], tolerance: float) -> np.ndarray:
    """Return the region's outline with few corners, filled, at full size."""
    from skimage import measure

    border = max(measure.find_contours(np.pad(region, 1).astype(float), 0.5), key=len) - 0.5
    corners = measure.approximate_polygon(border, tolerance)
    scale = np.array(shape) / region.shape
    full = Image.new("L", shape[::-1], 0)
    points = [(float(x), float(y)) for y, x in corners * scale]
    ImageDraw.Draw(full).polygon(points, fill=255)
    return np.asarray(full)
