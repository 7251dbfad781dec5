"""Folders to tables: the layout is read, and every way to break it gets its one line."""

import shutil

import numpy as np
import pytest
from PIL import Image

from course_utils import datasets, downloads, samples
from course_utils.datasets import files
from course_utils.errors import DataError


@pytest.fixture
def folder(small_twin, tmp_path):
    return shutil.copytree(small_twin, tmp_path / "nuclei")


def first_case(folder):
    return min((folder / "stage1_train").iterdir())


def one_line(caught) -> str:
    text = str(caught.value)
    assert "\n" not in text and "expected" in text and "found" in text
    return text


def test_index_has_one_row_a_case_in_order(small_twin):
    table = datasets.index("bbbc038", small_twin)
    assert len(table) == 12
    assert table.case.is_monotonic_increasing and table.case.is_unique
    for row in table.itertuples():
        assert Image.open(row.image).size == (row.width, row.height)
        assert row.nuclei == len(row.masks)


def test_instances_hold_every_mask_pixel_for_pixel(small_twin):
    row = datasets.index("bbbc038", small_twin).iloc[0]
    case = datasets.read_nuclei(row)
    assert case["image"].dtype == np.uint8 and case["image"].shape == (row.height, row.width, 3)
    labels = case["labels"][..., 0]
    for k, mask in enumerate(row["masks"], start=1):
        assert np.array_equal(labels == k, np.asarray(Image.open(mask)) > 0)


def test_where_masks_overlap_the_smaller_nucleus_keeps_its_pixels(tmp_path):
    large, small = np.zeros((2, 9, 9), np.uint8)
    large[1:8, 1:8], small[3:5, 3:5] = 255, 255
    paths = []
    for name, mask in (("a", small), ("b", large)):
        paths.append(str(tmp_path / f"{name}.png"))
        Image.fromarray(mask).save(paths[-1])
    labels = datasets.read_instances(paths, (9, 9))
    assert (labels == 1).sum() == 4 and (labels == 2).sum() == 45


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGB", "RGBA", "1"])
def test_images_of_every_8_bit_mode_become_rgb(tmp_path, mode):
    Image.new("RGB", (5, 4), "white").convert(mode).save(tmp_path / "a.png")
    assert datasets.read_image(tmp_path / "a.png").shape == (4, 5, 3)


def test_a_truncated_png_is_named(folder):
    image = next((first_case(folder) / "images").iterdir())
    image.write_bytes(image.read_bytes()[: image.stat().st_size // 2])
    row = datasets.index("bbbc038", folder).iloc[0]
    with pytest.raises(DataError) as caught:
        datasets.read_nuclei(row)
    assert image.name in one_line(caught)


@pytest.mark.parametrize(
    ("name", "kind"), [("a.png", "PNG"), ("a.TIF", "TIF"), ("a.jpg", "JPEG"), ("a.nii.gz", "NIfTI")]
)
def test_a_damaged_file_is_called_by_its_kind(name, kind):
    error = files.damaged(name, OSError("cut short\nsecond line"))
    assert str(error).startswith(f"expected a whole {kind} ") and "\n" not in str(error)


def test_a_truncated_mask_is_named(folder):
    mask = min((first_case(folder) / "masks").iterdir())
    mask.write_bytes(mask.read_bytes()[:40])
    row = datasets.index("bbbc038", folder).iloc[0]
    with pytest.raises(DataError) as caught:
        datasets.read_nuclei(row)
    assert mask.name in one_line(caught)


def test_a_missing_mask_folder_is_named(folder):
    shutil.rmtree(first_case(folder) / "masks")
    with pytest.raises(DataError) as caught:
        datasets.index("bbbc038", folder)
    assert first_case(folder).name in one_line(caught) and "no such folder" in str(caught.value)


def test_an_empty_mask_folder_is_named(folder):
    for mask in (first_case(folder) / "masks").iterdir():
        mask.unlink()
    with pytest.raises(DataError, match="an empty folder"):
        datasets.index("bbbc038", folder)


def test_a_case_without_image_is_named(folder):
    shutil.rmtree(first_case(folder) / "images")
    with pytest.raises(DataError) as caught:
        datasets.index("bbbc038", folder)
    assert "one image" in one_line(caught)


def test_a_mask_of_another_shape_is_named(folder):
    mask = min((first_case(folder) / "masks").iterdir())
    Image.new("L", (3, 3), 255).save(mask)
    row = datasets.index("bbbc038", folder).iloc[0]
    with pytest.raises(DataError) as caught:
        datasets.read_nuclei(row)
    assert "(3, 3)" in one_line(caught)


def test_an_empty_mask_is_named(folder):
    mask = min((first_case(folder) / "masks").iterdir())
    Image.new("L", Image.open(mask).size, 0).save(mask)
    with pytest.raises(DataError, match="empty mask"):
        datasets.read_nuclei(datasets.index("bbbc038", folder).iloc[0])


def test_16_bit_images_are_refused(tmp_path):
    Image.fromarray(np.full((4, 4), 40000, np.uint16)).save(tmp_path / "a.png")
    with pytest.raises(DataError) as caught:
        datasets.read_image(tmp_path / "a.png")
    assert "8 bits" in one_line(caught)


def test_a_folder_without_the_layout_is_named(tmp_path):
    with pytest.raises(DataError) as caught:
        datasets.index("bbbc038", tmp_path)
    assert "stage1_train" in one_line(caught)
    (tmp_path / "stage1_train").mkdir()
    with pytest.raises(DataError, match="found none"):
        datasets.index("bbbc038", tmp_path)


def test_an_unknown_dataset_is_refused(tmp_path):
    with pytest.raises(DataError, match="no index knows it"):
        datasets.index("nuclei", tmp_path)


def test_locate_sample_makes_the_twin(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(samples, "make", lambda name, seed: asked.append((name, seed)) or tmp_path)
    assert datasets.locate("bbbc038", "sample", seed=3) == tmp_path
    assert asked == [("bbbc038", 3)]


def test_locate_takes_a_folder_that_is_there(small_twin):
    assert datasets.locate("bbbc038", "cpu", small_twin) == small_twin


def test_locate_downloads_what_is_not_there(monkeypatch, tmp_path):
    monkeypatch.setattr(downloads, "get", lambda name, root: root / name)
    assert datasets.locate("bbbc038", "cpu", tmp_path) == tmp_path / "bbbc038"


def test_locate_refuses_a_data_dir_that_is_not_there(tmp_path):
    with pytest.raises(DataError) as caught:
        datasets.locate("bbbc038", "cpu", tmp_path / "no")
    assert "DATA_DIR" in one_line(caught)


def test_describe_tells_generated_from_real(small_twin, tmp_path):
    assert datasets.describe("bbbc038", small_twin, 12)["source"].startswith("generated")
    real = datasets.describe("bbbc038", tmp_path, 220)
    assert (real["cases"], real["release_cases"]) == (220, 670)
    assert "generated" not in real["source"]


def test_kinds_of_the_twin_are_found(small_twin):
    table = datasets.index("bbbc038", small_twin)
    kinds = {datasets.nuclei_kind(datasets.read_image(path)) for path in table.image}
    assert kinds == set(datasets.KINDS)


def test_real_images_are_indexed(real_nuclei):
    table = datasets.index("bbbc038", real_nuclei)
    kinds = [datasets.nuclei_kind(datasets.read_image(path)) for path in table.image[:20]]
    assert set(kinds) <= set(datasets.KINDS)
    assert table.nuclei.between(1, 375).all()
