"""The split by patient that lessons 1 and 2 share, and its file."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from course_utils import splits
from course_utils.errors import DataError


@pytest.fixture
def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    names = [f"TCGA_DU_{k:04d}_19990101" for k in range(20)]
    return pd.DataFrame({"patient": np.repeat(names, rng.integers(10, 40, 20))})


@pytest.fixture
def file(table, tmp_path):
    table["part"] = splits.patients(table, 5)
    splits.save(table, tmp_path / splits.SPLIT_FILE)
    return tmp_path / splits.SPLIT_FILE


def test_every_patient_lies_in_one_part_and_the_shares_are_about_right(table):
    table["part"] = splits.patients(table, 5)
    splits.check_disjoint(table, group="patient")
    shares = table["part"].value_counts(normalize=True)
    for part, share in splits.PATIENT_PARTS.items():
        assert shares[part] == pytest.approx(share, abs=0.1)


def test_table_and_seed_alone_decide(table):
    parts = splits.patients(table, 5)
    shuffled = table.sample(frac=1, random_state=1)
    pd.testing.assert_series_equal(splits.patients(shuffled, 5).sort_index(), parts)
    assert not splits.patients(table, 6).equals(parts)


def test_the_file_gives_the_same_parts_back(table, file):
    pd.testing.assert_series_equal(splits.load(table, file), table["part"])
    assert file.read_text().splitlines()[0] == "patient,part"
    assert len(file.read_text().splitlines()) == 21


def complaint(table, file) -> str:
    with pytest.raises(DataError) as caught:
        splits.load(table, file)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_patient_in_two_parts_of_a_file_edited_by_hand(table, file):
    name = table["patient"].iloc[0]
    file.write_text(file.read_text() + f"{name},test\n{name},train\n")
    assert "found 1 in several" in complaint(table, file) and name in complaint(table, file)


def test_a_patient_without_a_part(table, file):
    lines = file.read_text().splitlines()
    file.write_text("\n".join(lines[:-1]) + "\n")
    assert "found none for 1, the first" in complaint(table, file)


def test_a_part_of_another_name(table, file):
    file.write_text(file.read_text().replace(",validation", ",val"))
    assert "found 'val'" in complaint(table, file)


def test_a_part_without_patients(table, file):
    file.write_text(file.read_text().replace(",validation", ",train"))
    assert "found none in 'validation'" in complaint(table, file)


def test_other_columns_gaps_and_no_table_at_all(table, file):
    text = file.read_text()
    file.write_text(text.replace("patient,part", "patient,fold"))
    assert "found patient, fold" in complaint(table, file)
    file.write_text(text.replace(",validation", ","))
    assert "gaps" in complaint(table, file)
    file.write_text("")
    assert "expected a table" in complaint(table, file)
    file.unlink()
    assert "found none: run lesson 1" in complaint(table, file)


def test_patients_of_the_file_that_are_not_in_the_table_do_no_harm(table, file):
    some = table[table["patient"].isin(table["patient"].unique()[::2])]
    if set(some["part"]) == set(splits.PATIENT_PARTS):
        assert splits.load(some, file).equals(some["part"])


def test_too_few_patients():
    with pytest.raises(DataError, match="at least 3 patients"):
        splits.patients(pd.DataFrame({"patient": ["a", "b"]}), 0)


def test_a_table_with_a_shared_patient_is_not_written(tmp_path):
    table = pd.DataFrame({"patient": ["a", "a"], "part": ["train", "test"]})
    with pytest.raises(DataError, match="one part"):
        splits.save(table, tmp_path / "split.csv")
    assert not (tmp_path / "split.csv").exists()


def test_rounds_test_every_patient_exactly_once(table):
    found = splits.rounds(table, 5, 4)
    tested = [set(table["patient"][part == "test"]) for part in found]
    assert sorted(name for names in tested for name in names) == sorted(table["patient"].unique())
    for part in found:
        splits.check_disjoint(table.assign(part=part), group="patient")
        shares = part.value_counts(normalize=True)
        assert shares["test"] == pytest.approx(0.25, abs=0.1)
        assert shares["validation"] == pytest.approx(0.15, abs=0.1)
    again = splits.rounds(table.sample(frac=1, random_state=1), 5, 4)
    for part, other in zip(found, again):
        pd.testing.assert_series_equal(other.sort_index(), part)


def test_one_round_is_the_split_that_lessons_1_and_2_share(table):
    (only,) = splits.rounds(table, 5, 1)
    pd.testing.assert_series_equal(only, splits.patients(table, 5))


def test_more_rounds_than_patients_are_refused():
    with pytest.raises(DataError, match="at least 4 patients, one a part, found 3"):
        splits.rounds(pd.DataFrame({"patient": list("abc")}), 0, 4)


def test_some_patients_keep_all_their_slices(table):
    some = splits.some_patients(table, 7, seed=1)
    assert some["patient"].nunique() == 7 and some.index.tolist() == list(range(len(some)))
    whole = table["patient"].value_counts()
    assert all(whole[name] == slices for name, slices in some["patient"].value_counts().items())
    assert splits.some_patients(table, 20, seed=1) is table
    assert not some.equals(splits.some_patients(table, 7, seed=2))
