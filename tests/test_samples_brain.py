"""The engine of the generated brains: deformed template, imaged again."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy import ndimage

from course_utils.errors import DataError, ParameterError
from course_utils.samples import brain

pytest.importorskip("nilearn")
SPACING = 6


@pytest.fixture(scope="module")
def person() -> brain.Subject:
    return brain.subject(3, spacing=SPACING)


def test_a_subject_has_three_tissues_and_labels_that_follow_from_them(person):
    assert person.tissues.dtype == np.float32 and person.tissues.shape[0] == 3
    assert person.labels.dtype == np.uint8
    assert set(np.unique(person.labels)) == set(brain.LABELS)
    assert person.tissues.min() >= 0 and person.tissues.sum(0).max() <= 1 + 1e-5
    np.testing.assert_array_equal(person.labels, brain.label_map(person.tissues))


def test_axes_are_ras_and_the_volume_is_that_of_a_head(person):
    np.testing.assert_allclose(np.diag(person.affine)[:3], SPACING)
    litres = (person.labels > 0).sum() * SPACING**3 / 1e6
    assert 1.2 < litres < 2.4
    x, y, z = (np.argwhere(person.labels > 0) @ person.affine[:3, :3].T + person.affine[:3, 3]).T
    assert abs(x.mean()) < 12  # the two halves lie left and right of the middle
    assert np.ptp(y) > np.ptp(x)  # longer than wide
    assert z.max() > 55 > -30 > z.min()


def test_no_deformed_brain_touches_the_border():
    for seed in range(4):
        labels = brain.subject(seed, spacing=SPACING).labels
        for axis in range(3):
            faces = np.moveaxis(labels, axis, 0)[[0, -1]]
            assert not faces.any()


def test_the_same_seed_gives_the_same_subject_and_another_seed_another(person):
    again = brain.subject(3, spacing=SPACING)
    np.testing.assert_array_equal(again.tissues, person.tissues)
    other = brain.subject(4, spacing=SPACING).labels
    changed = np.mean((other != person.labels)[(other > 0) | (person.labels > 0)])
    assert 0.1 < changed < 0.7


@pytest.mark.parametrize("kind", ["affine", "elastic"])
def test_maps_are_moved_as_torchio_moves_them(kind):
    torchio = pytest.importorskip("torchio")
    import torch

    rng = np.random.default_rng(4)
    maps = ndimage.gaussian_filter(rng.random((2, 22, 20, 18), np.float32), (0, 1, 1, 1))
    affine = np.diag([4.0, 4.0, 4.0, 1])
    affine[:3, 3] = -30, 12, 7
    shape = maps.shape[1:]
    if kind == "affine":
        how = (1.1, 0.9, 1.0), (7, -15, 23), (4, 0, -6)
        theirs = torchio.Affine(*how)
        places = brain.turned(4.0 * np.indices(shape), brain.middle(shape, 4.0), *how)
    else:
        points = rng.uniform(-6, 6, (7, 8, 9, 3))
        left_and_back = points[::-1, ::-1] * [-1, -1, 1]  # as ITK counts
        theirs = torchio.ElasticDeformation(left_and_back, (6.0,) * 3)
        places = brain.bent(shape, 4.0, points)
    image = torchio.ScalarImage(tensor=torch.from_numpy(maps.copy()), affine=affine)
    found, wanted = brain.taken(maps, places, 4.0), theirs(image).numpy()
    inside = ((places > 4) & (places < 4 * np.reshape(shape, (3, 1, 1, 1)) - 8)).all(axis=0)
    assert inside.mean() > 0.3
    np.testing.assert_allclose(found[:, inside], wanted[:, inside], rtol=0, atol=1e-5)


def test_strength_zero_is_the_template(person):
    plain = brain.subject(3, spacing=SPACING, strength=0)
    np.testing.assert_allclose(plain.tissues, brain.template(SPACING)[0], atol=1e-6)


def test_global_chance_is_left_alone():
    np.random.seed(1)  # noqa: NPY002
    first = np.random.rand()  # noqa: NPY002
    np.random.seed(1)  # noqa: NPY002
    brain.subject(3, spacing=SPACING)
    assert np.random.rand() == first  # noqa: NPY002


def test_tissues_are_as_bright_as_their_means(person):
    picture = brain.image(person.tissues, brain.T1, np.random.default_rng(0), bias=0)
    assert picture.shape == person.labels.shape and picture.dtype == np.float32
    for label in (2, 3):
        pure = person.tissues[label - 1] > 0.9
        assert abs(picture[pure].mean() - brain.T1[label]) < 0.06
    assert picture[person.labels == 0].mean() < 0.1


def test_a_bias_field_is_smooth_and_centred():
    field = brain.bias_field((20, 30, 10), np.random.default_rng(0), 0.25)
    assert field.min() > 0 and abs(np.log(field).mean()) < 1e-5
    assert np.abs(np.diff(field, axis=0)).max() < 0.6


@pytest.mark.parametrize("spacing", [0, 7, 2.5])
def test_a_spacing_out_of_range_is_refused(spacing):
    with pytest.raises(ParameterError, match="whole number of mm from 1 to 6"):
        brain.subject(0, spacing=spacing)


def test_a_strength_or_means_out_of_range_are_refused(person):
    with pytest.raises(ParameterError, match="between 0 and 2"):
        brain.subject(0, spacing=SPACING, strength=3)
    with pytest.raises(ParameterError, match="expected 4 means, background first, found 3"):
        brain.image(person.tissues, (0, 1, 2), np.random.default_rng(0))


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(brain, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="need nilearn, found no nilearn"):
        brain.template.__wrapped__(5)


def test_importing_it_imports_nothing_heavy_and_a_subject_needs_no_torch():
    code = (
        "import sys; from course_utils.samples import brain; "
        "assert 'nilearn' not in sys.modules; brain.subject(0, 6); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'torchio')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
