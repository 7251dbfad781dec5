"""Hundreds of broken files through the real readers: one clear line, or data that still holds."""

from __future__ import annotations

import gzip
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import pytest
import small_data
from effort import LONG, times
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from course_utils.errors import CourseError

EXAMPLES = times(20, 400)


@dataclass(frozen=True)
class Place:
    """A file of a dataset that is broken; ``sealed``: a checksum in it tells any change."""

    name: str
    dataset: str
    pattern: str
    sealed: bool = False


PLACES = [
    Place("PNG image", "bbbc038", "stage1_train/a/images/a.png", sealed=True),
    Place("PNG nucleus", "bbbc038", "stage1_train/a/masks/1.png", sealed=True),
    Place("PNG lesion", "isic2017", "*GroundTruth/*.png", sealed=True),
    Place("JPG image", "isic2017", "*Data/*.jpg"),
    Place("TIF image", "lgg_mri", "kaggle_3m/*/*_2.tif"),
    Place("TIF mask", "lgg_mri", "kaggle_3m/*/*_2_mask.tif"),
    Place("NIfTI scan", "mosmed", "MosMedData/CT-23/*.nii.gz"),
    Place("NIfTI brain", "malf", "*_SS.nii.gz"),
    Place("NIfTI tissues", "malf", "*_tissues.nii.gz", sealed=True),
    Place("NIfTI structures", "malf", "*_glm.nii.gz", sealed=True),
    Place("Analyze header", "oasis1_disc1", "disc1/*/PROCESSED/*/*/*.hdr"),
    Place("Analyze voxels", "oasis1_disc1", "disc1/*/PROCESSED/*/*/*.img"),
    Place("Analyze label header", "oasis1_disc1", "disc1/*/FSL_SEG/*.hdr"),
    Place("Analyze labels", "oasis1_disc1", "disc1/*/FSL_SEG/*.img"),
    Place("CSV of patients", "lgg_mri", "kaggle_3m/data.csv"),
    Place("CSV of labels", "malf", "*.csv"),
    Place("CSV of a split", "split", "*.csv"),
    Place("YAML manifest", "manifest", "*.yml"),
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Folder and content of every small dataset."""
    made = {}
    for name in small_data.WRITERS:
        folder = small_data.write(name, tmp_path_factory.mktemp(name))
        made[name] = folder, small_data.read(name, folder)
    return made


@st.composite
def damages(draw):
    """Draw a way to damage bytes, as a function; places are shares of the file's length."""
    at = draw(st.floats(0, 1, exclude_max=True) | st.sampled_from([0.0]))
    kind = draw(st.sampled_from(["cut", "flip", "header", "zero", "insert", "noise", "repeat"]))
    amount = draw(st.integers(1, 64))
    seed = draw(st.integers(0, 2**16))

    def damage(content: bytes) -> bytes:
        here, found = int(at * len(content)), bytearray(content)
        rng = np.random.default_rng(seed)
        if kind == "cut":
            return content[:here]
        if kind in ("flip", "header"):  # of most formats the first bytes say what follows
            here = here if kind == "flip" else int(at * min(len(content), 352))
            found[here] ^= 1 << (amount % 8)
        elif kind == "zero":
            found[here : here + amount] = bytes(len(found[here : here + amount]))
        elif kind == "insert":
            found[here:here] = rng.bytes(amount)
        elif kind == "noise":
            found[here : here + amount] = rng.bytes(len(found[here : here + amount]))
        else:
            found[here:here] = content[here : here + amount]
        return bytes(found)

    damage.__name__ = f"{kind} at {at:.4f}, {amount}, seed {seed}"
    return damage


def outcome(place: Place, folder: Path, whole: tuple) -> str:
    """Read a damaged dataset and say how it ended; fail if that was neither a line nor sound."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            images, labels = small_data.read(place.dataset, folder)
    except CourseError as error:
        line = str(error)
        assert "\n" not in line and str(folder) in line, line
        assert any(path.name in line or path.stem in line for path in folder.rglob("*")), line
        return "refused"
    assert all(np.isfinite(image).all() for image in images)
    for found, before in zip(labels, whole[1], strict=True):
        if isinstance(found, np.ndarray):
            assert set(np.unique(found)) <= set(np.unique(before)) | set(range(4)), "a new label"
    if place.sealed:
        pairs = [*zip(images, whole[0]), *zip(labels, whole[1])]
        assert all(np.array_equal(*pair) for pair in pairs), "a change was read as if it was none"
    return "read"


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
def test_a_damaged_file_is_refused_in_one_line_or_read_soundly(place, whole, tmp_path):
    folder = shutil.copytree(whole[place.dataset][0], tmp_path / "data")
    (file,) = folder.glob(place.pattern)
    content, ends = file.read_bytes(), []

    @settings(
        max_examples=EXAMPLES, deadline=None, derandomize=not LONG, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(damages())
    def survives(damage):
        file.write_bytes(damage(content))
        ends.append(outcome(place, folder, whole[place.dataset][1]))

    survives()
    assert "refused" in ends and len(ends) >= EXAMPLES // 2


# --- by hand: whole files that say something wrong ----------------------------------------------


def picture(array, **how):
    return lambda path: small_data.save(np.asarray(array), path, **how)


def volume(voxels, affine=small_data.AFFINE, kind=nibabel.Nifti1Image, dtype=None):
    voxels = np.asarray(voxels) if dtype is None else np.asarray(voxels, dtype)
    return lambda path: small_data.save_volume(voxels, path, affine, kind)


def placed(voxels, rows):
    """Write a NIfTI whose header says where it lies in numbers that nibabel would not write."""

    def write(path):
        small_data.save_volume(voxels, path)
        found = bytearray(gzip.decompress(path.read_bytes()))
        found[252:256] = np.array([0, 1], "<i2").tobytes()  # qform_code, sform_code
        found[280:328] = np.asarray(rows, "<f4").tobytes()  # srow_x, srow_y, srow_z
        path.write_bytes(gzip.compress(bytes(found)))

    return write


def raw(content):
    content = content if isinstance(content, bytes) else content.encode()
    return lambda path: path.write_bytes(content)


IMAGE, TISSUES = small_data.brain(np.random.default_rng(0))
CT = np.random.default_rng(0).integers(-1000, 300, (12, 10, 6)).astype(np.int16)
SQUARE = np.zeros((48, 64), np.uint8)
SLICE = np.zeros((256, 256), np.uint8)
RGB = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
MOVED = small_data.AFFINE + np.eye(4, k=3)
FLAT = np.diag([1.0, 1, 0, 1])


def changed(array, value, dtype=None):
    array = array.astype(dtype or array.dtype)
    array.flat[7] = value
    return array


WRONG = {
    # whole images of another kind
    "empty PNG": ("PNG image", raw(b"")),
    "text as PNG": ("PNG image", raw("<html>log in</html>")),
    "16-bit PNG": ("PNG image", picture(np.full((24, 20), 40_000, np.uint16))),
    "PNG with axes swapped": ("PNG image", picture(np.zeros((20, 24, 3), np.uint8))),
    "float TIF": ("TIF image", picture(np.zeros((256, 256), np.float32))),
    "16-bit TIF": ("TIF image", picture(np.zeros((256, 256), np.uint16))),
    "grey TIF": ("TIF image", picture(SLICE)),
    "small TIF": ("TIF image", picture(np.zeros((128, 128, 3), np.uint8))),
    "JPG of four inks": ("JPG image", lambda path: Image.new("CMYK", (64, 48)).save(path)),
    "huge PNG": ("PNG image", raw(small_data.png_of_size(60_000, 60_000))),
    # wrong labels
    "nucleus that is empty": ("PNG nucleus", picture(np.zeros((24, 20), np.uint8))),
    "nucleus with axes swapped": ("PNG nucleus", picture(np.full((20, 24), 255, np.uint8))),
    "lesion with axes swapped": ("PNG lesion", picture(SQUARE.T)),
    "lesion of 0 and 1": ("PNG lesion", picture(changed(SQUARE, 1))),
    "lesion of soft edges": ("PNG lesion", picture(changed(SQUARE, 130))),
    "lesion of 16 bits": ("PNG lesion", picture(SQUARE.astype(np.uint16))),
    "lesion in colours": ("PNG lesion", picture(np.zeros((48, 64, 3), np.uint8))),
    "tumour of 0 and 1": ("TIF mask", picture(changed(SLICE, 1))),
    "tumour of soft edges": ("TIF mask", picture(changed(SLICE, 200))),
    "tumour of another size": ("TIF mask", picture(np.zeros((255, 256), np.uint8))),
    "tumour in floats": ("TIF mask", picture(changed(SLICE, 0.5, np.float32))),
    "tissue 4": ("NIfTI tissues", volume(changed(TISSUES, 4))),
    "tissue -1": ("NIfTI tissues", volume(changed(TISSUES, -1, np.int16))),
    "tissue 259": ("NIfTI tissues", volume(changed(TISSUES, 259, np.int16))),
    "tissue 1.5": ("NIfTI tissues", volume(changed(TISSUES, 1.5, np.float32))),
    "tissue NaN": ("NIfTI tissues", volume(changed(TISSUES, np.nan, np.float32))),
    "tissues with axes swapped": ("NIfTI tissues", volume(TISSUES.T)),
    "tissues in another place": ("NIfTI tissues", volume(TISSUES, MOVED)),
    "tissues nowhere": ("NIfTI tissues", placed(TISSUES, np.full((3, 4), np.nan))),
    "tissues in colours": ("NIfTI tissues", volume(np.zeros(TISSUES.shape, RGB))),
    "tissues of two scans": ("NIfTI tissues", volume(np.stack([TISSUES] * 2, -1))),
    "structure that no table has": ("NIfTI structures", volume(changed(TISSUES, 99))),
    "Analyze tissue 7": (
        "Analyze labels",
        volume(changed(TISSUES, 7), np.diag([-1.0, 1, 1, 1]), nibabel.Spm2AnalyzeImage),
    ),
    # volumes
    "empty NIfTI": ("NIfTI scan", raw(b"")),
    "gzip of nothing": ("NIfTI scan", raw(gzip.compress(b""))),
    "gzip of text": ("NIfTI brain", raw(gzip.compress(b"x" * 1000))),
    "CT that is no HU": ("NIfTI scan", volume(np.abs(CT))),
    "CT with NaN": ("NIfTI scan", volume(changed(CT, np.nan, np.float32))),
    "CT with infinity": ("NIfTI scan", volume(changed(CT, -np.inf, np.float32))),
    "CT of complex numbers": ("NIfTI scan", volume(CT.astype(np.complex64))),
    "CT in colours": ("NIfTI scan", volume(np.zeros(CT.shape, RGB))),
    "CT of one slice": ("NIfTI scan", volume(CT[..., :1])),
    "CT with two axes": ("NIfTI scan", volume(CT[..., 0])),
    "CT nowhere": ("NIfTI scan", placed(CT, np.full((3, 4), np.nan))),
    "CT that is flat": ("NIfTI scan", placed(CT, FLAT[:3])),
    "brain with NaN": ("NIfTI brain", volume(changed(IMAGE, np.nan, np.float32))),
    "brain of complex numbers": ("NIfTI brain", volume(IMAGE.astype(np.complex64))),
    "Analyze header of nothing": ("Analyze header", raw(b"")),
    "Analyze header of zeros": ("Analyze header", raw(bytes(348))),
    "Analyze without its end": ("Analyze voxels", raw(bytes(100))),
    # tables and text
    "patients: empty": ("CSV of patients", raw("")),
    "patients: one column": ("CSV of patients", raw("name\nx\n")),
    "patients: not text": ("CSV of patients", raw(b"\xff\xfe\x00Patient\n")),
    "labels: no number": ("CSV of labels", raw("Number,Name\nfour,Ventricle\n")),
    "labels: number 300": ("CSV of labels", raw("Number,Name\n300,Ventricle\n")),
    "labels: minus 4": ("CSV of labels", raw("Number,Name\n-4,Ventricle\n")),
    "labels: one column": ("CSV of labels", raw("Number\n4\n")),
    "split: patient on two sides": (
        "CSV of a split", raw("patient,part\na,train\na,test\nb,validation\nc,test\n"),
    ),
    "split: unknown part": ("CSV of a split", raw("patient,part\na,train\nb,tset\nc,test\n")),
    "split: patient missing": ("CSV of a split", raw("patient,part\na,train\nb,test\n")),
    "split: gap": ("CSV of a split", raw("patient,part\na,\nb,validation\nc,test\n")),
    "split: empty part": ("CSV of a split", raw("patient,part\na,train\nb,test\nc,test\n")),
    "split: other columns": ("CSV of a split", raw("part,patient\ntrain,a\n")),
    "manifest: empty": ("YAML manifest", raw("")),
    "manifest: a list": ("YAML manifest", raw("- a\n- b\n")),
    "manifest: tab": ("YAML manifest", raw("name:\n\t- a\n")),
    "manifest: code": ("YAML manifest", raw("name: !!python/object/apply:os.getcwd []\n")),
    "manifest: no such day": ("YAML manifest", raw("name: bbbc038\ntitle: 2020-13-45\n")),
    "manifest: very deep": ("YAML manifest", raw("name: " + "[" * 1500 + "]" * 1500)),
    "manifest: very long number": ("YAML manifest", raw("name: " + "9" * 5000)),
    "manifest: itself inside": ("YAML manifest", raw("name: &a\n  - *a\n")),
    "manifest: bomb of references": ("YAML manifest", raw(small_data.yaml_bomb())),
    "manifest: not text": ("YAML manifest", raw(b"\xff\xfe\x00")),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_a_file_that_says_something_wrong_is_refused(wrong, whole, tmp_path):
    name, write = WRONG[wrong]
    place = next(place for place in PLACES if place.name == name)
    folder = shutil.copytree(whole[place.dataset][0], tmp_path / "data")
    (file,) = folder.glob(place.pattern)
    write(file)
    assert outcome(place, folder, whole[place.dataset][1]) == "refused"


def test_more_than_200_files_are_broken():
    assert EXAMPLES * len(PLACES) + len(WRONG) >= 200
