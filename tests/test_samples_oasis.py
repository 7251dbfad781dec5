"""The OASIS twins: the releases' layouts, FAST's mistakes, people in both, determinism."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
from folders import digests

from course_utils import datasets, metrics, samples
from course_utils.datasets import oasis
from course_utils.errors import ParameterError

pytest.importorskip("nilearn")


@pytest.fixture(scope="module")
def disc1(tmp_path_factory) -> Path:
    return samples.make("oasis1_disc1", tmp_path_factory.mktemp("a") / "twin", seed=3, cases=2)


@pytest.fixture(scope="module")
def malf(tmp_path_factory) -> Path:
    return samples.make("malf", tmp_path_factory.mktemp("b") / "twin", seed=3, cases=5)


def test_disc1_has_the_layout_of_the_release(disc1):
    table = datasets.index("oasis1_disc1", disc1)
    assert table.case.tolist() == ["OAS1_0001_MR1", "OAS1_0002_MR1"]
    for path, kind in ((table.image[0], np.int16), (table.automatic[0], np.uint8)):
        volume = nibabel.load(path)
        assert len(volume.shape) == 4 and volume.shape[3] == 1
        assert volume.header.endianness == ">"
        assert volume.get_data_dtype().newbyteorder("=") == kind


def test_malf_has_the_layout_of_the_release(malf):
    table = datasets.index("malf", malf)
    assert table.case.tolist() == ["1000", "1001", "1003", "1004", "1023"]
    assert table.group.nunique() == 4
    for case in table.case:
        for kind in ("SS", "tissues", "classified", "glm", "mask"):
            volume = nibabel.load(malf / f"{case}_{kind}.nii.gz")
            assert nibabel.aff2axcodes(volume.affine) == ("L", "A", "S")
    structures = oasis.read_structures(table.iloc[0], oasis.label_table(malf))
    assert set(np.unique(structures)) == set(range(28))


def test_the_automatic_labels_err_as_fast_does(malf):
    for _, row in datasets.index("malf", malf).iterrows():
        case = oasis.read_brain(row)
        pairs = [(case["manual"] == value, case["automatic"] == value) for value in (1, 2, 3)]
        fluid, grey, white = (metrics.dice(*pair) for pair in pairs)
        assert fluid < 0.2 and 0.7 < grey < 0.87 and 0.8 < white < 0.95
        assert (case["automatic"] == 1).sum() > 10 * (case["manual"] == 1).sum()
        assert np.array_equal(case["image"] > 0, case["automatic"] > 0)


def test_a_person_in_both_twins_is_the_same_scan(disc1, malf):
    table = datasets.index("oasis1_disc1", disc1), datasets.index("malf", malf)
    images = [oasis.read_brain(row)["image"] for part in table for _, row in part.iterrows()]
    cases = [*table[0].case, *table[1].case]
    found = [(cases[a], cases[b]) for a, b in oasis.same_scans(images)]
    assert found == [("OAS1_0002_MR1", "1000")]


def test_a_second_scan_shows_the_same_person(malf):
    table = datasets.index("malf", malf).set_index("case")
    brains = {case: oasis.read_brain(row.rename(case)) for case, row in table.iterrows()}
    size = {case: np.bincount(brain["manual"].ravel()) for case, brain in brains.items()}
    assert not np.array_equal(brains["1003"]["image"], brains["1023"]["image"])
    same = np.abs(size["1003"] / size["1023"] - 1)[1:].max()
    other = np.abs(size["1003"] / size["1004"] - 1)[1:].max()
    assert same < 0.1 and same < other


def test_same_seed_same_bytes(tmp_path, malf):
    again = samples.make("malf", tmp_path / "again", seed=3, cases=5)
    other = samples.make("malf", tmp_path / "other", seed=4, cases=4)
    assert digests(again) == digests(malf) != digests(other)


@pytest.mark.parametrize("name, cases", [("malf", 3), ("malf", 36), ("oasis1_disc1", 40)])
def test_a_number_of_cases_out_of_range_is_refused(tmp_path, name, cases):
    with pytest.raises(ParameterError, match="cases must be"):
        samples.make(name, tmp_path / "twin", cases=cases)
