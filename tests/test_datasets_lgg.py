"""LGG folders to tables: order, labels, and one line for every way to break the layout."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from course_utils import datasets, downloads, manifests
from course_utils.downloads.folders import read_table
from course_utils.errors import DataError

PATIENTS = ("TCGA_CS_0001_19990101", "TCGA_DU_0002_19990102")
COUNTS = (11, 4)


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    """Two patients of random pixels; slice k of each has k - 3 pixels of tumour."""
    root = tmp_path_factory.mktemp("lgg")
    rng = np.random.default_rng(0)
    for patient, count in zip(PATIENTS, COUNTS):
        place = root / "kaggle_3m" / patient
        place.mkdir(parents=True)
        for number in range(1, count + 1):
            image = rng.integers(0, 255, (256, 256, 3), np.uint8)
            mask = np.zeros((256, 256), np.uint8)
            mask[0, : max(number - 3, 0)] = 255
            Image.fromarray(image).save(place / f"{patient}_{number}.tif")
            Image.fromarray(mask).save(place / f"{patient}_{number}_mask.tif")
    (root / "kaggle_3m" / "data.csv").write_text("Patient,gender\nTCGA_CS_0001,2\n")
    shutil.copytree(root / "kaggle_3m", root / "lgg-mri-segmentation" / "kaggle_3m")
    return root


@pytest.fixture
def folder(original, tmp_path) -> Path:
    return shutil.copytree(original, tmp_path / "copy")


def file(folder: Path, name: str) -> Path:
    return folder / "kaggle_3m" / PATIENTS[0] / f"{PATIENTS[0]}_{name}.tif"


def complaint(folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        datasets.index("lgg_mri", folder)
    text = str(caught.value)
    assert "\n" not in text and "expected" in text and "found" in text
    return text


def test_one_row_a_slice_in_anatomical_order_and_only_once(original):
    table = datasets.index("lgg_mri", original)
    assert len(table) == sum(COUNTS) and table["case"].is_unique
    assert not table["image"].str.contains("_mask").any()
    first = table[table["patient"] == PATIENTS[0]]
    assert list(first["slice"]) == list(range(1, 12))  # 10 after 9, not after 1
    assert first["position"].iloc[[0, -1]].tolist() == [0.0, 1.0]
    assert (first["slices"] == 11).all() and set(table["site"]) == {"CS", "DU"}


def test_labels_come_from_the_masks(original):
    table = datasets.index("lgg_mri", original)
    assert (table["tumour_pixels"] == np.maximum(table["slice"] - 3, 0)).all()
    assert (table["tumour"] == (table["tumour_pixels"] > 0)).all()


def test_a_slice_is_read_with_its_mask(original):
    row = datasets.index("lgg_mri", original).iloc[9]
    case = datasets.read_slice(row)
    assert case["image"].shape == (256, 256, 3) and case["image"].dtype == np.uint8
    assert case["mask"].shape == (256, 256, 1) and case["mask"].sum() == row["tumour_pixels"]
    np.testing.assert_array_equal(case["image"], np.asarray(Image.open(row["image"])))


def test_the_table_of_patients_is_read(original):
    assert datasets.read_patients(original)["Patient"].tolist() == ["TCGA_CS_0001"]


def test_the_table_of_patients_may_be_missing_or_another(folder):
    path = folder / "kaggle_3m" / "data.csv"
    path.write_text("name,age\nA,3\n")
    with pytest.raises(DataError, match="expected a column Patient"):
        datasets.read_patients(folder)
    path.unlink()
    with pytest.raises(DataError, match="expected the table of patients"):
        datasets.read_patients(folder)


@pytest.mark.parametrize("patient", ["", "TCGA_CS", "4"])
def test_a_row_without_a_patient_is_refused(folder, patient):
    (folder / "kaggle_3m" / "data.csv").write_text(f"Patient,age\nTCGA_CS_4941,3\n{patient},4\n")
    with pytest.raises(DataError, match=r"TCGA_CS_4941 in line 3 of .*data.csv, found"):
        datasets.read_patients(folder)


def test_an_image_without_a_mask(folder):
    file(folder, "5_mask").unlink()
    assert f"{PATIENTS[0]}_5_mask.tif" in complaint(folder)


def test_a_mask_without_an_image(folder):
    file(folder, "5").unlink()
    assert f"{PATIENTS[0]}_5_mask.tif without its slice" in complaint(folder)


def test_a_slice_of_another_size(folder):
    Image.new("RGB", (128, 200)).save(file(folder, "5"))
    assert "found 200 x 128, mode 'RGB'" in complaint(folder)


def test_a_slice_of_one_channel(folder):
    Image.new("L", (256, 256)).save(file(folder, "5"))
    assert "mode 'L'" in complaint(folder)


def test_a_mask_of_another_size(folder):
    Image.new("L", (128, 200)).save(file(folder, "5_mask"))
    assert "like its slice, found 200 x 128" in complaint(folder)


def test_a_mask_of_other_values(folder):
    Image.new("L", (256, 256), 7).save(file(folder, "5_mask"))
    assert "found the value 7" in complaint(folder)


def test_a_damaged_slice_and_a_damaged_mask(folder):
    row = datasets.index("lgg_mri", folder).iloc[4]
    image, mask = Path(row["image"]), Path(row["mask"])
    image.write_bytes(image.read_bytes()[:5000])
    with pytest.raises(DataError, match="damaged"):
        datasets.read_slice(row)
    mask.write_bytes(mask.read_bytes()[:3000])
    assert "damaged" in complaint(folder)


def test_a_file_of_another_patient(folder):
    file(folder, "5").rename(file(folder, "5").with_name("TCGA_XX_9_19990101_5.tif"))
    file(folder, "5_mask").rename(file(folder, "5").with_name("TCGA_XX_9_19990101_5_mask.tif"))
    assert "TCGA_XX_9_19990101_5.tif" in complaint(folder)


def test_no_folder_and_an_empty_one(tmp_path):
    assert "kaggle_3m" in complaint(tmp_path)
    (tmp_path / "kaggle_3m").mkdir()
    assert "folders of patients" in complaint(tmp_path)


def test_real_copy(real_slices):
    table = datasets.index("lgg_mri", real_slices)
    assert set(table["site"]) <= {"CS", "DU", "EZ", "FG", "HT"}
    assert 0.2 < table["tumour"].mean() < 0.5
    short = {"_".join(name.split("_")[:3]) for name in table["patient"]}
    assert short <= set(datasets.read_patients(real_slices)["Patient"])


def test_the_published_hashes_name_every_file_of_the_release():
    manifest = manifests.load("lgg_mri")
    rows = read_table(manifests.folder() / manifest.file_hashes)
    assert len(rows) == 2 * manifest.cases.release
    assert sum(not row.path.endswith("_mask.tif") for row in rows) == manifest.cases.release


def test_a_real_copy_is_compared_file_by_file(tmp_path, real_slices):
    patient = sorted((real_slices / "kaggle_3m").glob("TCGA_*"))[0]
    copy = tmp_path / "kaggle_3m" / patient.name
    shutil.copytree(patient, copy)
    part = downloads.verify("lgg_mri", tmp_path)
    assert (part.status, part.basis) == ("partial", "published hashes")
    assert part.checked == len(list(copy.glob("*.tif"))) and not part.altered
    broken = min(copy.glob("*_mask.tif"))
    broken.write_bytes(broken.read_bytes()[:-1] + b"!")
    wrong = downloads.verify("lgg_mri", tmp_path)
    assert wrong.status == "altered"
    assert wrong.altered == (f"kaggle_3m/{patient.name}/{broken.name}",)
