"""Preparing volumes: the published geometry to the last digit, the affine, the grid, the feed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from course_utils import datasets, generators
from course_utils.errors import ParameterError
from course_utils.generators.feed import as_unit
from course_utils.generators.volumes import grid_weights

AFFINE = np.diag([-2.0, 2.0, 8.0, 1.0])  # LAS: i to the left, j to the front


def noise(shape, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1400, 900, shape).astype(np.int16)


def published(volume: np.ndarray, shape) -> np.ndarray:
    """The published recipe: a spline turn by 90 degrees, then a zoom."""
    unit = ((np.clip(volume.astype(float), -1000, 400) + 1000) / 1400).astype("float32")
    turned = ndimage.rotate(unit, 90, reshape=False)
    return ndimage.zoom(turned, [to / n for to, n in zip(shape, turned.shape)], order=1)


@pytest.mark.parametrize(
    ("shape", "to"), [((96, 96, 20), (32, 32, 16)), ((40, 40, 9), (64, 64, 24))]
)
def test_corners_give_what_the_published_recipe_gives(shape, to):
    volume = noise(shape)
    assert np.abs(generators.prepare_corners(volume, to) - published(volume, to)).max() < 1e-5


def test_corners_of_a_whole_scan_give_what_the_published_recipe_gives():
    volume = noise((512, 512, 40))
    found = generators.prepare_corners(volume)
    assert found.shape == (128, 128, 64) and found.dtype == np.float32
    assert np.abs(found - published(volume, (128, 128, 64))).max() < 1e-5


def test_corners_of_a_real_ct_give_what_the_published_recipe_gives(real_ct):
    volume, _ = datasets.read_ct(real_ct)
    found = generators.prepare_corners(volume)
    assert np.abs(found - published(volume, (128, 128, 64))).max() < 1e-5


@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.float64])
def test_the_input_is_not_written_to(dtype):
    volume = noise((16, 16, 6)).astype(dtype)
    before = volume.copy()
    generators.prepare_corners(volume, (8, 8, 4))
    generators.prepare(volume, AFFINE, (8, 8, 4), (4, 4, 8))
    assert np.array_equal(volume, before)


@pytest.mark.parametrize("codes", ["LAS", "LPS", "RAS", "PIR", "SLA"])
def test_however_a_scan_is_stored_it_is_turned_the_same_way(codes):
    import nibabel as nib

    volume = noise((10, 8, 6))
    change = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("LAS"), nib.orientations.axcodes2ornt(codes)
    )
    stored = nib.orientations.apply_orientation(volume, change)
    affine = AFFINE @ nib.orientations.inv_ornt_aff(change, volume.shape)
    turned, spacing = generators.turn(stored, affine)
    assert np.array_equal(turned, np.rot90(volume)) and spacing.tolist() == [2, 2, 8]
    assert np.shares_memory(turned, stored)


def test_the_grid_is_in_millimetres_whatever_the_spacing():
    sizes = []
    for pixel, step in ((1.0, 4.0), (2.0, 8.0)):
        shape = (round(96 / pixel), round(96 / pixel), round(96 / step))
        axes = [(np.arange(n) - (n - 1) / 2) * mm for n, mm in zip(shape, (pixel, pixel, step))]
        i, j, k = np.ix_(*axes)
        ball = np.where(i**2 + j**2 + k**2 < 30**2, 40, -1000).astype(np.int16)
        affine = np.diag([-pixel, pixel, step, 1])
        sizes.append(generators.prepare(ball, affine, (32, 32, 16), (4, 4, 8)).sum() * 4 * 4 * 8)
    true = 4 / 3 * np.pi * 30**3 * 1040 / 1400
    assert np.abs(np.array(sizes) / true - 1).max() < 0.05


def test_where_the_scan_ends_there_is_air():
    body = np.full((20, 20, 5), 40, np.int16)
    prepared = generators.prepare(body, AFFINE, (40, 40, 12), (2, 2, 8))
    assert prepared[0].max() == 0 and prepared[..., 0].max() == 0
    assert prepared[20, 20, 6] == pytest.approx(1040 / 1400, abs=1e-5)


@given(n=st.integers(2, 40), to=st.integers(1, 40), ratio=st.floats(0.3, 6))
@settings(max_examples=60, deadline=None)
def test_a_constant_stays_constant_inside_the_scan(n, to, ratio):
    weights = grid_weights(n, 1.0, to, ratio)
    place = (n - 1) / 2 + (np.arange(to) - (to - 1) / 2) * ratio
    reach = max(ratio, 1.0) / 2
    inside = (place - reach >= -0.499) & (place + reach <= n - 0.501)
    assert (weights >= 0).all() and weights.sum(1).max() < 1.00001
    assert np.allclose(weights.sum(1)[inside], 1, atol=1e-5)


def test_rotation_at_order_one_makes_no_new_extremes():
    volume = as_unit(np.random.default_rng(0).integers(0, 256, (20, 20, 4), np.uint8))
    turned = generators.rotate_slices(volume, 13.0)
    assert turned.dtype == np.float32 and turned.min() >= 0 and turned.max() <= 1
    cubic = ndimage.rotate(volume, 13.0, reshape=False)
    assert cubic.min() < 0 and cubic.max() > 1
    assert np.allclose(generators.rotate_slices(volume, 0.0), volume)


@pytest.mark.parametrize("degrees", [-10.0, 3.0, 90.0])
def test_a_rotation_is_that_of_scipy_away_from_the_edge(degrees):
    noise = np.random.default_rng(0).random((31, 40, 10), np.float32)
    volume = ndimage.gaussian_filter(noise, 1)
    found = generators.rotate_slices(volume, degrees)
    expected = ndimage.rotate(volume, degrees, axes=(1, 0), reshape=False, order=1)
    y, x = np.indices(volume.shape[:2])
    inside = np.hypot(y - 15, x - 19.5) < 14
    assert np.abs(found - expected)[inside].max() < 0.01 * volume.max()
    assert np.abs(found - expected)[inside][:, :8].max() < 1e-5  # whole fours are exact


@pytest.fixture
def cases():
    return [np.full((4, 4, 2), k, np.uint8) for k in range(7)]


def values(feed, step):
    return np.rint(255 * feed[step][0][:, 0, 0, 0, 0]).astype(int).tolist()


def test_an_epoch_shows_each_case_once_with_its_label(cases):
    feed = generators.volumes(cases, range(7), batch=3, seed=1)
    assert len(feed) == 3
    seen = [pair for step in range(3) for pair in zip(values(feed, step), feed[step][1][:, 0])]
    assert sorted(seen) == [(k, k) for k in range(7)]


def test_a_batch_is_a_function_of_seed_epoch_and_step(cases):
    def vary(rng, volume):
        return volume + rng.normal(size=volume.shape).astype(np.float32)

    one, other = (generators.volumes(cases, range(7), batch=3, seed=1, vary=vary) for _ in "ab")
    other[0], other[1]
    assert np.array_equal(one[2][0], other[2][0])
    other.on_epoch_end()
    assert not np.array_equal(one[2][0], other[2][0])
    one.epoch = 1
    assert np.array_equal(one[2][0], other[2][0])
    assert values(generators.volumes(cases, range(7), batch=7, seed=2), 0) != values(
        generators.volumes(cases, range(7), batch=7, seed=1), 0
    )


def test_what_does_not_fit_together_is_refused(cases):
    with pytest.raises(ParameterError, match="one label a case"):
        generators.volumes(cases, [0], batch=2, seed=0)
    with pytest.raises(ParameterError, match="one shape"):
        generators.volumes([*cases, np.zeros((2, 2, 2))], range(8), batch=2, seed=0)
    with pytest.raises(ParameterError, match="3 axes"):
        generators.turn(np.zeros((4, 4)), np.eye(4))
