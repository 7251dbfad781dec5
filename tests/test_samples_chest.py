"""The chest twin: the release's layout, HU where they belong, nothing that gives the class away."""

from __future__ import annotations

import dataclasses

import nibabel as nib
import numpy as np
import pytest
from folders import digests
from sklearn.metrics import roc_auc_score

from course_utils import datasets, generators, samples
from course_utils.errors import ParameterError
from course_utils.samples import chest, chest_drawing


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    return samples.make("mosmed", tmp_path_factory.mktemp("twin") / "mosmed", seed=3, cases=12)


@pytest.fixture(scope="module")
def table(twin):
    return datasets.index("mosmed", twin)


def turned(row):
    volume, affine = datasets.read_ct(row.file)
    return generators.turn(volume, affine)


def test_the_layout_is_the_tutorials(twin):
    for name, first in (("CT-0", 1), ("CT-23", 939)):
        files = sorted(path.name for path in (twin / "MosMedData" / name).iterdir())
        assert files == [f"study_{first + k:04}.nii.gz" for k in range(6)]


def test_the_same_seed_gives_the_same_bytes(twin, tmp_path):
    again = samples.make("mosmed", tmp_path / "again", seed=3, cases=12)
    assert digests(again) == digests(twin)


def test_files_are_int16_with_slices_far_apart_and_a_scale(table):
    images = [nib.load(file) for file in table.file]
    assert {image.get_data_dtype() for image in images} == {np.dtype("<i2")}
    assert table.slice_mm.between(7, 10).all() and table.slices.between(28, 48).all()
    assert {float(image.dataobj.inter) for image in images} == {0.0, -1024.0}
    assert set(table.orientation) <= {"LAS", "LPS"}


def test_air_muscle_and_bone_have_their_hounsfield_units(table):
    for row in table.itertuples():
        volume, _ = turned(row)
        assert abs(np.median(volume[:6, :6]) + 1000) < 25
        assert np.percentile(volume, 99.9) > 250
        body = volume[(volume > -20) & (volume < 120)]
        assert 30 < np.median(body) < 65


def test_the_patient_lies_on_the_back_with_the_heart_on_the_left(table):
    for row in table.itertuples():
        volume, _ = turned(row)
        half = volume.shape[1] // 2
        bone = (volume[:, half - 12 : half + 12] > 200).sum((1, 2))
        assert np.average(np.arange(len(bone)), weights=bone) > volume.shape[0] / 2
        front = volume[30:64, :, volume.shape[2] // 3] > -200
        assert front[:, half : half + 35].mean() > front[:, half - 35 : half].mean()


def test_how_a_scan_is_made_does_not_depend_on_its_class():
    normal, ill = ([chest.draw(5, label, k)[1] for k in range(4)] for label in (0, 1))
    assert len({scan.slices for scan in normal + ill}) > 2
    drawn = [chest.draw_scan(np.random.default_rng([5, 2, 0, k])) for k in range(4)]
    assert drawn == normal


def test_too_few_cases_are_refused(tmp_path):
    with pytest.raises(ParameterError, match="at least 10 cases"):
        samples.make("mosmed", tmp_path / "few", cases=4)


def drawn(label, cases=400):
    rngs = (np.random.default_rng([2018, label, k]) for k in range(cases))
    return [chest_drawing.Chest.draw(rng, label) for rng in rngs]


def test_neither_presence_nor_amount_of_haze_tells_the_class():
    normal, ill = (np.array([one.hazy for one in drawn(label)]) for label in (0, 1))
    assert abs((normal > 0).mean() - (ill > 0).mean()) < 0.1
    assert 0.4 < (normal > 0).mean() < 0.6 and 0.4 < (ill > 0).mean() < 0.6
    labels, hazy = np.repeat([0, 1], 400), np.concatenate([normal, ill])
    assert 0.44 < roc_auc_score(labels, hazy > 0) < 0.56
    assert 0.44 < roc_auc_score(labels, hazy) < 0.56
    assert 0.42 < roc_auc_score(labels[hazy > 0], hazy[hazy > 0]) < 0.58


def test_the_label_changes_nothing_of_a_chest_but_its_patches():
    for seed in range(20):
        normal, ill = (chest_drawing.Chest.draw(np.random.default_rng(seed), k) for k in (0, 1))
        assert dataclasses.replace(normal, label=1) == ill


@pytest.mark.parametrize("label", [0, 1])
def test_haze_is_drawn_at_the_back_of_either_class(label):
    one, shape, spacing = drawn(label, 1)[0], (64, 64, 20), (5.6, 5.6, 14.0)
    hazy, clear = (
        chest_drawing.draw_chest(
            np.random.default_rng(1), dataclasses.replace(one, hazy=share), shape, spacing
        )
        for share in (0.5, 0.0)
    )
    denser = (hazy - clear)[:, :, 3:14].mean((0, 2))
    back, front = denser[36:].mean(), denser[:28].mean()
    assert back > 10 and back > 4 * abs(front)
