"""MosMedData: the table, Hounsfield units through the scale, and one line for every bad file."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from course_utils import datasets, downloads, generators, manifests
from course_utils.errors import DataError, DownloadError
from tests.local_server import Answer, LocalServer


def volume(slices: int = 4) -> np.ndarray:
    hu = np.full((8, 6, slices), -1000, np.int16)
    hu[2:6, 2:5] = 40
    return hu


def write(path: Path, stored: np.ndarray, slope: float = 0, inter: float = 0, affine=None) -> Path:
    """Write a NIfTI file with the very slope and intercept asked for."""
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.diag([-2.0, 3.0, 8.0, 1.0]) if affine is None else affine
    header = nib.Nifti1Image(stored, affine).header
    header["scl_slope"], header["scl_inter"] = slope, inter
    header["vox_offset"], header["magic"] = 352, b"n+1"
    content = header.binaryblock + bytes(4) + stored.tobytes("F")
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
    return path


@pytest.fixture
def folder(tmp_path):
    for name, number in (("CT-0", 1), ("CT-0", 2), ("CT-23", 939)):
        write(tmp_path / "MosMedData" / name / f"study_{number:04}.nii.gz", volume())
    return tmp_path


def one_line(caught) -> str:
    text = str(caught.value)
    assert "\n" not in text and "expected" in text and "found" in text
    return text


def refused(folder: Path, stored: np.ndarray, **how) -> str:
    """Return the line with which a dataset that holds this file is refused."""
    write(folder / "MosMedData" / "CT-0" / "study_0003.nii.gz", stored, **how)
    with pytest.raises(DataError) as caught:
        for file in datasets.index("mosmed", folder).file:
            datasets.read_ct(file)
    assert "study_0003.nii.gz" in str(caught.value)
    return one_line(caught)


def test_the_table_has_a_row_a_scan_sorted_with_label_and_geometry(folder):
    table = datasets.index("mosmed", folder)
    assert table.case.tolist() == ["study_0001", "study_0002", "study_0939"]
    assert table.label.tolist() == [0, 0, 1]
    row = table.iloc[0]
    assert (row["in_plane"], row["slices"]) == ("8 x 6", 4)
    assert (row["pixel_mm"], row["slice_mm"], row["orientation"]) == (2.5, 8.0, "LAS")


def test_a_folder_with_the_classes_themselves_is_read_too(folder):
    assert len(datasets.index("mosmed", folder / "MosMedData")) == 3


@pytest.mark.parametrize(
    ("slope", "inter"), [(0, 0), (np.nan, np.nan), (1, 0), (1, -1024), (0.5, -1024), (2, 100)]
)
def test_hounsfield_units_come_through_the_scale(tmp_path, slope, inter):
    scaled = slope not in (0, 1) or inter != 0
    scaled = scaled and np.isfinite(slope)
    stored = ((volume() - inter) / slope if scaled else volume()).astype(np.int16)
    hu, affine = datasets.read_ct(write(tmp_path / "a.nii.gz", stored, slope, inter))
    assert np.array_equal(hu, volume())
    assert hu.dtype == (np.int16 if slope in (0, 1) or np.isnan(slope) else np.float32)
    assert affine.shape == (4, 4)


def test_reading_does_not_wrap_around(tmp_path):
    stored = volume()
    stored[0, 0, 0] = -32768
    hu, _ = datasets.read_ct(write(tmp_path / "a.nii.gz", stored, 1, -1024))
    assert hu.min() == -32768


def test_stored_numbers_without_scaling_that_are_not_hu_are_told(folder):
    line = refused(folder, volume() + 1024, slope=0)
    assert "no scaling in the header" in line and "24 to 1064" in line


@pytest.mark.parametrize("shape", [(8, 6), (8, 6, 4, 2), (8, 6, 4, 1)])
def test_a_file_without_three_axes_is_told(folder, shape):
    line = refused(folder, np.full(shape, -1000, np.int16))
    assert "3 axes" in line and str(len(shape)) in line


def test_a_scan_of_one_slice_is_told(folder):
    assert "found 1 in" in refused(folder, volume(1))


def test_an_affine_that_says_nothing_is_told(folder):
    path = folder / "MosMedData" / "CT-0" / "study_0003.nii.gz"
    image = nib.Nifti1Image(volume(), np.eye(4))
    image.header["srow_x"][0] = np.nan
    write(path, volume())
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[280:284] = np.float32(np.nan).tobytes()  # srow_x
    path.write_bytes(gzip.compress(bytes(content)))
    with pytest.raises(DataError, match="expected an affine"):
        datasets.index("mosmed", folder)


@pytest.mark.parametrize("share", [0.02, 0.5, 0.95])
def test_a_gzip_cut_short_is_told(folder, share):
    rng = np.random.default_rng(0)
    path = write(
        folder / "MosMedData" / "CT-0" / "study_0003.nii.gz",
        rng.integers(-1000, 400, (40, 40, 8)).astype(np.int16),
    )
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(DataError) as caught:
        for file in datasets.index("mosmed", folder).file:
            datasets.read_ct(file)
    assert "study_0003" in one_line(caught) and "damaged" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no gzip at all"])
def test_a_file_that_is_no_nifti_is_told(folder, content):
    (folder / "MosMedData" / "CT-0" / "study_0003.nii.gz").write_bytes(content)
    with pytest.raises(DataError, match="whole NIfTI file"):
        datasets.index("mosmed", folder)


def test_an_empty_class_folder_is_told(folder):
    (folder / "MosMedData" / "CT-23" / "study_0939.nii.gz").unlink()
    with pytest.raises(DataError) as caught:
        datasets.index("mosmed", folder)
    assert "found none" in one_line(caught) and "CT-23" in str(caught.value)


def test_a_missing_class_folder_is_told(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        datasets.index("mosmed", tmp_path)


def test_one_study_in_both_classes_is_told(folder):
    write(folder / "MosMedData" / "CT-23" / "study_0001.nii.gz", volume())
    with pytest.raises(DataError, match="study_0001 more than once"):
        datasets.index("mosmed", folder)


def test_a_real_ct_has_air_and_soft_tissue_where_they_belong(real_ct):
    hu, affine = datasets.read_ct(real_ct)
    turned, spacing = generators.turn(hu, affine)
    assert turned.shape[2] < turned.shape[0] and spacing[2] > spacing[0]
    corner = np.median(turned[:20, :20, turned.shape[2] // 2])
    assert abs(corner + 1000) < 60  # air outside the body
    tissue = turned[(turned > -20) & (turned < 120)]
    assert 20 < np.median(tissue) < 80 and tissue.size > 0.05 * turned.size
    prepared = generators.prepare(hu, affine, (48, 48, 24), (8, 8, 12))
    assert prepared.min() == 0 and 0.5 < prepared.max() <= 1


# --- the download ---------------------------------------------------------------------------------


def archive(name: str, count: int, byte: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        for k in range(count):
            target.writestr(zipfile.ZipInfo(f"{name}/study_{k:04}.nii.gz"), bytes([byte]) * 50)
    return buffer.getvalue()


def manifest_at(server: LocalServer, ill: bytes) -> manifests.Manifest:
    """Return the real manifest, its two archives served from this machine."""
    content = manifests.load("mosmed").model_dump()
    bodies = {"CT-0.zip": archive("CT-0", 100, 1), "CT-23.zip": ill}
    for one in content["archives"]:
        one["urls"] = [server.put(f"/{one['file']}", Answer(bodies[one["file"]]))]
        one["about_bytes"] = len(bodies[one["file"]])
    return manifests.Manifest.model_validate(content)


def test_the_first_checksum_is_recorded_and_holds_for_the_next_download(tmp_path):
    with LocalServer() as server:
        manifest = manifest_at(server, archive("CT-23", 100, 2))
        quiet = {"progress": False, "notify": lambda line: None}
        folder = downloads.get(manifest, tmp_path, **quiet)
        assert len(list((folder / "CT-0").iterdir())) == 100
        record = (tmp_path / "downloads" / "record.json").read_text()
        assert record.count("sha256:") == 2
        import shutil

        shutil.rmtree(folder)
        other = manifest_at(server, archive("CT-23", 100, 3))
        with pytest.raises(DownloadError, match=r"CT-23.*checksum"):
            downloads.get(other, tmp_path, **quiet)
