"""Hashes, skin tone and what lies on the skin, on pictures whose answer is known."""

import numpy as np
import pytest
from PIL import Image

from course_utils import dermoscopy
from course_utils.errors import ParameterError


def picture(seed: int, size: int = 160) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8))
    return np.asarray(coarse.resize((size * 4 // 3, size), Image.Resampling.BICUBIC))


def test_a_copy_of_other_size_and_brightness_is_found_and_strangers_are_not():
    first = picture(0)
    small = Image.fromarray(first).resize((120, 90), Image.Resampling.BILINEAR)
    copy = (np.asarray(small) * 0.9 + 5).astype(np.uint8)
    images = [first, picture(1), copy, picture(2), picture(3)]
    assert [pair[:2] for pair in dermoscopy.duplicate_pairs(images)] == [(0, 2)]


def test_groups_join_chains_of_duplicates():
    groups = dermoscopy.duplicate_groups(list("abcd"), [(1, 3, 0.0), (0, 3, 0.01)])
    assert groups == ["a", "a", "c", "a"]
    assert dermoscopy.duplicate_groups(list("ab"), []) == ["a", "b"]


@pytest.mark.parametrize(
    ("colour", "name"),
    [((240, 215, 200), "very light"), ((198, 150, 120), "intermediate"), ((96, 64, 48), "dark")],
)
def test_skin_tones_are_classed_whatever_the_lesion(colour, name):
    image = np.full((64, 64, 3), colour, np.uint8)
    lesion = np.zeros((64, 64), bool)
    lesion[20:40, 20:40] = True
    image[lesion] = (60, 30, 20)
    image[:6] = 0  # a black corner
    assert dermoscopy.ita_class(dermoscopy.ita(image, lesion)) == name


def test_ita_agrees_with_its_formula():
    from skimage.color import rgb2lab

    colour = np.array([205, 160, 130], np.uint8)
    light, _, yellow = rgb2lab(colour[None, None])[0, 0]
    image = np.tile(colour, (20, 20, 1))
    expected = np.degrees(np.arctan((light - 50) / yellow))
    assert dermoscopy.ita(image, np.zeros((20, 20), bool)) == pytest.approx(expected, abs=1e-6)


def test_no_skin_is_no_angle_and_another_shape_is_an_error():
    image = np.full((20, 20, 3), 200, np.uint8)
    assert np.isnan(dermoscopy.ita(image, np.ones((20, 20), bool)))
    with pytest.raises(ParameterError, match="one shape"):
        dermoscopy.ita(image, np.ones((20, 21), bool))


def test_long_thin_dark_lines_are_hair_and_a_lesion_is_none():
    image = np.full((96, 96, 3), 190, np.uint8)
    image[30:60, 30:60] = 80
    assert dermoscopy.hair_share(image) == 0
    image[:, 10:30:10] = 40
    assert dermoscopy.hair_share(image) == pytest.approx(2 / 96, rel=0.05)


def test_short_strokes_on_a_line_are_a_ruler_and_no_hair():
    image = np.full((256, 320, 3), 190, np.uint8)
    image[200:212, 5::16] = 40
    assert dermoscopy.ruler_marks(image) == 20
    assert dermoscopy.ruler_marks(image.swapaxes(0, 1)) == 20
    assert dermoscopy.hair_share(image) == 0
    assert dermoscopy.ruler_marks(np.full((64, 64, 3), 190, np.uint8)) == 0


def test_dark_corners_are_seen():
    y, x = np.mgrid[:90, :120]
    inside = np.hypot(y - 45, x - 60) < 55
    image = np.where(inside[..., None], 200, 10).astype(np.uint8).repeat(3, -1)
    assert dermoscopy.corner_level(image) < 0.1
    assert dermoscopy.corner_level(np.full((90, 120, 3), 200, np.uint8)) == 1
