"""The LGG twin: layout, formats, traps of the real set, determinism, what can be seen in it."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from folders import digests
from PIL import Image
from scipy import ndimage

from course_utils import datasets, samples
from course_utils.errors import ParameterError
from course_utils.samples import lgg, lgg_drawing

pytest.importorskip("nilearn")
CASES = 104


@pytest.fixture(scope="module")
def twin(tmp_path_factory) -> Path:
    return samples.make("lgg_mri", tmp_path_factory.mktemp("twins") / "lgg", seed=3, cases=CASES)


@pytest.fixture(scope="module")
def table(twin):
    return datasets.index("lgg_mri", twin)


@pytest.fixture(scope="module")
def slices(table) -> list[dict]:
    return [datasets.read_slice(row) for _, row in table.iterrows()]


def test_layout_formats_and_values_are_those_of_the_release(twin, table):
    assert len(table) == CASES
    for row in table.itertuples():
        assert Path(row.image).parent.parent == twin / "kaggle_3m"
        image, mask = Image.open(row.image), Image.open(row.mask)
        assert (image.size, image.mode, image.format) == ((256, 256), "RGB", "TIFF")
        assert (mask.size, mask.mode, mask.format) == ((256, 256), "L", "TIFF")
        assert set(np.unique(mask)) <= {0, 255}
    assert set(table["site"]) == {"CS", "DU", "EZ", "FG", "HT"}
    assert (table.groupby("patient")["site"].nunique() == 1).all()


def test_slice_numbers_have_no_leading_zeros_and_start_at_one(twin, table):
    for patient, rows in table.groupby("patient"):
        assert list(rows["slice"]) == list(range(1, len(rows) + 1))
        names = {path.stem for path in (twin / "kaggle_3m" / patient).glob("*.tif")}
        assert f"{patient}_1" in names and f"{patient}_01" not in names


def test_the_set_is_there_twice_as_in_the_published_archive(twin):
    first, second = twin / "kaggle_3m", twin / "lgg-mri-segmentation" / "kaggle_3m"
    names = sorted(path.relative_to(first) for path in first.rglob("*"))
    assert names == sorted(path.relative_to(second) for path in second.rglob("*"))
    some = next(first.rglob("*_1.tif")).relative_to(first)
    assert (first / some).read_bytes() == (second / some).read_bytes()


def test_the_table_of_patients_has_the_real_columns_and_gaps(twin, table):
    with open(twin / "kaggle_3m" / "data.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == tuple(lgg.COLUMNS) and len(lgg.COLUMNS) == 18
    short = {"_".join(name.split("_")[:3]) for name in table["patient"]}
    assert {row["Patient"] for row in rows} == short
    assert any(value == "" for row in rows for value in row.values())


def test_a_missing_sequence_is_a_copy_of_flair(twin, table, slices):
    told = samples.stamp(twin)["missing"]
    found = {}
    for patient, rows in table.groupby("patient"):
        images = np.stack([slices[k]["image"] for k in rows.index])
        if missing := datasets.missing_sequence(images):
            found[patient] = missing
    assert found == told
    assert set(found.values()) == {"pre-contrast", "post-contrast"}


def test_the_default_twin_has_about_the_real_shares():
    people = lgg.plan(0)
    assert sum(person.slices for person in people) == lgg.DEFAULT_CASES
    sites = [person.site for person in people]
    assert 0.3 < sites.count("DU") / len(sites) < 0.5 and sites.count("EZ") == 1
    lacking = [person.missing for person in people]
    assert lacking.count("pre-contrast") >= 2 and lacking.count("post-contrast") >= 3


def test_about_a_third_of_the_slices_have_a_tumour_and_each_patient_some(table):
    assert 0.25 < table["tumour"].mean() < 0.5
    assert table.groupby("patient")["tumour"].any().all()
    assert (table.loc[table["tumour"], "tumour_pixels"] >= 25).all()


def test_the_slices_of_a_tumour_follow_each_other(table):
    for _, rows in table.groupby("patient"):
        assert ndimage.label(rows["tumour"].to_numpy())[1] <= 2


def test_the_tumour_is_bright_on_flair_and_dark_before_contrast(table, slices):
    brighter, darker = [], []
    for k in np.flatnonzero(table["tumour_pixels"] > 400):
        image, mask = slices[k]["image"].astype(float), slices[k]["mask"][..., 0] > 0
        shell = ndimage.binary_dilation(mask, iterations=12) & ~mask & (image[..., 1] > 20)
        brighter.append(image[mask, 1].mean() > image[shell, 1].mean())
        if not np.array_equal(image[..., 0], image[..., 1]):
            darker.append(image[mask, 0].mean() < image[shell, 0].mean())
    assert np.mean(brighter) > 0.8 and np.mean(darker) > 0.7


def test_no_single_brightness_tells_the_tumours(table, slices):
    """Slices with tumour cannot be told by their brightest pixels, as fat is bright too."""
    from sklearn.metrics import roc_auc_score

    brightest = [np.percentile(case["image"][..., 1], 99.5) for case in slices]
    assert roc_auc_score(table["tumour"], brightest) < 0.75


def test_the_nose_is_up_and_low_slices_come_first(table, slices):
    """The face lies in the lower slices, in the upper half of the picture; the top is small."""
    for _, rows in table.groupby("patient"):
        size = [np.count_nonzero(slices[k]["image"][..., 0] > 25) for k in rows.index]
        assert np.argmax(size) < len(size) * 0.75 and size[-1] < 0.7 * max(size)


def test_the_same_seed_gives_the_same_bytes(twin, tmp_path):
    again = samples.make("lgg_mri", tmp_path / "again", seed=3, cases=CASES)
    assert digests(again) == digests(twin)


def test_another_seed_gives_other_patients():
    assert {p.name for p in lgg.plan(0)} != {p.name for p in lgg.plan(1)}


@pytest.mark.parametrize("cases", [64, 0, "many"])
def test_too_few_cases_are_refused(cases):
    with pytest.raises(ParameterError, match="at least 65 slices"):
        lgg.plan(0, cases)


def test_sharpened_fractions_are_cubes_by_their_sum():
    tissues = np.random.default_rng(1).dirichlet(np.ones(4), (2, 8, 8)).astype(np.float32)
    tissues = np.moveaxis(tissues, -1, 0)[:3].copy()
    tissues[0, 0] = 1e-14  # its cube is no normal number
    outside = np.clip(1 - tissues.sum(0), 0, 1)
    cubes, cube = (part * part * part for part in (tissues, outside))
    plain = cubes / np.maximum(cube + cubes.sum(0), 1e-6)
    np.testing.assert_allclose(lgg_drawing.sharpened(tissues), plain, rtol=0, atol=1e-20)
