"""OASIS: two layouts, one table; orientation, label values, and one clear line for bad input."""

import gzip
import os
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest

from course_utils import datasets
from course_utils.datasets import oasis
from course_utils.errors import DataError

AFFINE = np.array([[-1.0, 0, 0, 20], [0, 1, 0, -30], [0, 0, 1, -10], [0, 0, 0, 1]])


def body() -> np.ndarray:
    """A volume in which no two directions look alike."""
    array = np.zeros((6, 8, 5), np.int16)
    array[1:5, 1:7, 1:4] = np.arange(1, 73).reshape(4, 6, 3)
    return array


def write_session(root: Path, name: str = "OAS1_0001_MR1", averaged: int = 3) -> Path:
    session = root / "disc1" / name
    stem = f"{name}_mpr_n{averaged}_anon_111_t88_masked_gfc"
    image = session / "PROCESSED" / "MPRAGE" / "T88_111" / f"{stem}.img"
    labels = session / "FSL_SEG" / f"{stem}_fseg.img"
    for path, array in ((image, body()), (labels, (body() % 4).astype(np.uint8))):
        path.parent.mkdir(parents=True)
        header = nibabel.AnalyzeHeader(endianness=">")
        header.set_data_dtype(array.dtype)
        nibabel.save(nibabel.AnalyzeImage(array[..., None], None, header), path)
    return image


def write_scan(root: Path, name: str = "1000", **changed: nibabel.Nifti1Image) -> None:
    root.mkdir(exist_ok=True)
    tissues = (body() % 4).astype(np.int16)
    arrays = {"SS": body(), "tissues": tissues, "classified": tissues, "glm": 4 * tissues}
    for kind, array in arrays.items():
        image = changed.get(kind, nibabel.Nifti1Image(array, AFFINE))
        nibabel.save(image, root / f"{name}_{kind}.nii.gz")


def test_disc1_is_one_row_a_session_whatever_the_number_of_averaged_scans(tmp_path):
    write_session(tmp_path, "OAS1_0002_MR1", 4)
    write_session(tmp_path, "OAS1_0001_MR1", 3)
    table = datasets.index("oasis1_disc1", tmp_path)
    assert table.case.tolist() == ["OAS1_0001_MR1", "OAS1_0002_MR1"]
    assert table.group.tolist() == ["OAS1_0001", "OAS1_0002"]
    assert "_n3_" in table.image[0] and "_n4_" in table.image[1]
    assert (table.manual == "").all()


def test_malf_groups_the_scans_of_a_person_and_keeps_the_official_split(tmp_path):
    for name in ("1000", "1003", "1023", "1036"):
        write_scan(tmp_path, name)
    table = datasets.index("malf", tmp_path)
    assert dict(zip(table.case, table.group)) == {
        "1000": "1000", "1003": "1003", "1023": "1003", "1036": "1036",
    }  # fmt: skip
    assert table.official.tolist() == ["train", "test", "test", "train"]
    assert list(table.columns) == oasis.COLUMNS


def test_fifteen_scans_are_the_official_training_part():
    assert len(oasis.OFFICIAL_TRAINING) == 15
    assert not {int(scan) for scan in oasis.RESCANS} & set(oasis.OFFICIAL_TRAINING)


def test_both_layouts_come_back_in_one_orientation(tmp_path):
    image = write_session(tmp_path)
    write_scan(tmp_path / "malf")
    from_analyze, affine = oasis.read_volume(image)
    from_nifti, own = oasis.read_volume(tmp_path / "malf" / "1000_SS.nii.gz")
    assert from_analyze.shape == from_nifti.shape == (6, 8, 5)
    assert np.array_equal(from_analyze, body()[::-1]) and np.array_equal(from_nifti, body()[::-1])
    for found in (affine, own):
        assert nibabel.aff2axcodes(found) == ("R", "A", "S")
    assert from_analyze.dtype == np.int16 and from_analyze.dtype.isnative


def test_a_voxel_stays_where_it_was_in_mm(tmp_path):
    write_scan(tmp_path)
    array, affine = oasis.read_volume(tmp_path / "1000_SS.nii.gz")
    for place in ((1, 1, 1), (4, 6, 3)):
        turned = tuple(np.argwhere(array == body()[place])[0])
        assert np.allclose((affine @ [*turned, 1])[:3], (AFFINE @ [*place, 1])[:3])


def test_analyze_becomes_nifti_with_its_orientation(tmp_path):
    source = write_session(tmp_path)
    target = oasis.to_nifti(source, tmp_path / "new" / "scan.nii.gz")
    before, after = nibabel.load(source), nibabel.load(target)
    assert np.array_equal(np.asarray(before.dataobj)[..., 0], np.asarray(after.dataobj))
    assert after.shape == (6, 8, 5) and after.get_data_dtype() == np.int16
    assert np.allclose(before.affine, after.affine)
    assert after.header["sform_code"] == after.header["qform_code"] == 3  # turned to Talairach


def test_a_prediction_is_saved_on_the_grid_of_its_scan(tmp_path):
    write_scan(tmp_path)
    source = tmp_path / "1000_SS.nii.gz"
    image, affine = oasis.read_volume(source)
    labels = (image % 4).astype(np.uint8)
    saved = nibabel.load(oasis.save_labels(labels, source, tmp_path / "out" / "p.nii.gz"))
    assert np.allclose(saved.affine, AFFINE) and saved.shape == (6, 8, 5)
    assert np.array_equal(np.asarray(saved.dataobj), body() % 4)
    assert np.array_equal(oasis.read_labels(tmp_path / "out" / "p.nii.gz", image, affine), labels)
    with pytest.raises(DataError, match="whole grid"):
        oasis.save_labels(labels[1:], source, tmp_path / "p.nii.gz")


def only_line(error) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def read_bad(tmp_path, **changed) -> str:
    write_scan(tmp_path, **changed)
    row = datasets.index("malf", tmp_path).iloc[0]
    with pytest.raises(DataError) as error:
        oasis.read_brain(row)
    return only_line(error)


def test_labels_of_another_shape_are_refused(tmp_path):
    other = nibabel.Nifti1Image(np.zeros((5, 8, 5), np.int16), AFFINE)
    assert "(5, 8, 5)" in read_bad(tmp_path, tissues=other)


def test_labels_with_another_affine_are_refused(tmp_path):
    moved = AFFINE + np.diag([0, 0, 0, 0])
    moved[0, 3] += 2
    other = nibabel.Nifti1Image((body() % 4).astype(np.int16), moved)
    assert "affine" in read_bad(tmp_path, classified=other)


def test_a_label_value_outside_the_table_is_refused(tmp_path):
    other = nibabel.Nifti1Image((body() % 4 * 45).astype(np.int16), AFFINE)
    found = read_bad(tmp_path, classified=other)
    assert "0 to 3" in found and "[45, 90, 135]" in found


def test_a_series_of_volumes_is_refused(tmp_path):
    series = nibabel.Nifti1Image(np.stack([body(), body()], axis=-1), AFFINE)
    assert "(6, 8, 5, 2)" in read_bad(tmp_path, SS=series)


def test_an_image_without_its_header_is_named(tmp_path):
    image = write_session(tmp_path)
    image.with_suffix(".hdr").unlink()
    with pytest.raises(DataError, match=r"expected .*\.hdr") as error:
        oasis.read_brain(datasets.index("oasis1_disc1", tmp_path).iloc[0])
    assert "pair" in only_line(error)


def test_a_damaged_volume_is_named(tmp_path):
    write_scan(tmp_path)
    path = tmp_path / "1000_SS.nii.gz"
    whole = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(whole[:400]))
    with pytest.raises(DataError, match="damaged") as error:
        oasis.read_volume(path)
    assert str(path) in only_line(error)


def test_a_missing_file_or_folder_is_named(tmp_path):
    with pytest.raises(DataError, match="disc1"):
        datasets.index("oasis1_disc1", tmp_path)
    with pytest.raises(DataError, match=r"_SS\.nii\.gz"):
        datasets.index("malf", tmp_path)
    write_scan(tmp_path)
    os.remove(tmp_path / "1000_classified.nii.gz")
    with pytest.raises(DataError, match=r"1000_classified\.nii\.gz"):
        datasets.index("malf", tmp_path)
    write_session(tmp_path)
    shutil.rmtree(tmp_path / "disc1" / "OAS1_0001_MR1" / "FSL_SEG")
    with pytest.raises(DataError, match=r"_fseg\.img"):
        datasets.index("oasis1_disc1", tmp_path)


def test_a_missing_subject_is_named(tmp_path):
    write_session(tmp_path)
    table = datasets.index("oasis1_disc1", tmp_path)
    assert oasis.scan_of(table, "OAS1_0001_MR1").group == "OAS1_0001"
    with pytest.raises(DataError, match="OAS1_0008_MR1") as error:
        oasis.scan_of(table, "OAS1_0008_MR1")
    only_line(error)


def test_copies_of_a_scan_are_found_on_any_grid():
    rng = np.random.default_rng(0)
    first, second = (rng.integers(1, 900, (9, 9, 9)) for _ in range(2))
    moved = np.pad(first[::-1], 3)
    assert oasis.same_scans([first, second, moved]) == [(0, 2)]


def test_real_scans_of_both_layouts(real_brains):
    malf = datasets.index("malf", datasets.locate("malf", "cpu", real_brains))
    disc1 = datasets.index("oasis1_disc1", datasets.locate("oasis1_disc1", "cpu", real_brains))
    for row in (malf.iloc[0], disc1.iloc[0]):
        case = oasis.read_brain(row)
        inside = case["image"] > 0
        both = inside & (case["automatic"] > 0)
        assert both.sum() / (inside | (case["automatic"] > 0)).sum() > 0.95
    table = oasis.label_table(Path(malf.image[0]).parent)
    numbers = oasis.structure_numbers(table)
    assert len(numbers) == 27 and all(numbers.values())
    assert len(np.unique(oasis.read_structures(malf.iloc[0], table))) == 28


def test_structures_are_numbered_in_a_fixed_order(tmp_path):
    write_scan(tmp_path)
    pd.DataFrame(
        {"Label Number": [4, 8, 12], "Label Name": ["3rd Ventricle", "x", "y"], "Class": "GM"}
    ).to_csv(tmp_path / oasis.LABEL_TABLE, index=False)
    table = oasis.label_table(tmp_path)
    found = oasis.read_structures(datasets.index("malf", tmp_path).iloc[0], table)
    order = list(oasis.structure_numbers(table))
    assert set(np.unique(found)) == {0, order.index("third ventricle") + 1}
