"""ISIC folders to tables: official parts, pairs by id, and one line for every way to break them."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from course_utils import datasets, downloads, samples
from course_utils.errors import DataError

IMAGES, MASKS = "ISIC-2017_Validation_Data", "ISIC-2017_Validation_Part1_GroundTruth"


@pytest.fixture(scope="module")
def small_skin(tmp_path_factory) -> Path:
    return samples.make("isic2017", tmp_path_factory.mktemp("twin") / "skin", seed=1, cases=14)


@pytest.fixture
def folder(small_skin, tmp_path):
    return shutil.copytree(small_skin, tmp_path / "skin")


def pair(folder: Path, image: np.ndarray, mask: np.ndarray | None = None, **how) -> Path:
    """Write one validation pair and return the folder."""
    (folder / IMAGES).mkdir(parents=True, exist_ok=True)
    (folder / MASKS).mkdir(exist_ok=True)
    Image.fromarray(image).save(folder / IMAGES / "ISIC_0000001.jpg", **how)
    mask = np.zeros(image.shape[:2], np.uint8) if mask is None else mask
    Image.fromarray(mask).save(folder / MASKS / "ISIC_0000001_segmentation.png")
    return folder


def one_line(caught) -> str:
    text = str(caught.value)
    assert "\n" not in text and "expected" in text and "found" in text
    return text


def read_first(folder: Path, size: int = 32) -> dict:
    return datasets.read_lesion(datasets.index("isic2017", folder).iloc[0], size)


def test_index_has_the_official_parts_and_one_row_an_image(small_skin):
    table = datasets.index("isic2017", small_skin)
    assert len(table) == 14 and table.case.is_monotonic_increasing and table.case.is_unique
    assert set(table.part) == {"train", "validation", "test"}
    for row in table.itertuples():
        assert Image.open(row.image).size == (row.width, row.height) == Image.open(row.mask).size
        assert Path(row.mask).name.startswith(row.case)


def test_both_years_have_their_own_folders(tmp_path):
    folder = samples.make("isic2018", tmp_path / "skin", seed=0, cases=9)
    assert {p.name for p in folder.iterdir() if p.is_dir()} == {
        f"ISIC2018_Task1{middle}" for part in ("Training", "Validation", "Test")
        for middle in (f"-2_{part}_Input", f"_{part}_GroundTruth")
    }  # fmt: skip
    assert len(datasets.index("isic2018", folder)) == 9


def test_pairs_are_found_by_id_in_any_case_of_the_suffix(folder):
    masks = sorted((folder / MASKS).iterdir())
    masks[0].rename(masks[0].with_name(masks[0].name.replace("_seg", "_Seg")))
    table = datasets.index("isic2017", folder)
    mended = table[table["mask"].str.contains("_Segmentation")]
    assert mended.case.tolist() == [masks[0].name[:12]]


def test_superpixels_beside_the_images_are_no_images(folder):
    training = folder / "ISIC-2017_Training_Data"
    assert list(training.glob("*_superpixels.png"))
    table = datasets.index("isic2017", folder)
    assert (table.part == "train").sum() == len(list(training.glob("*.jpg")))


def test_a_part_that_is_not_there_is_no_error(folder):
    for name in ("ISIC-2017_Training_Data", "ISIC-2017_Training_Part1_GroundTruth"):
        shutil.rmtree(folder / name)
    assert "train" not in set(datasets.index("isic2017", folder).part)


def test_images_are_averaged_and_masks_stay_binary(tmp_path):
    y, x = np.mgrid[:300, :400]
    image = np.repeat(((x // 4) % 2 * 255).astype(np.uint8)[..., None], 3, 2)
    mask = (((y - 150) ** 2 + (x - 200) ** 2 < 90**2) * 255).astype(np.uint8)
    case = read_first(pair(tmp_path, image, mask, quality=95))
    assert case["image"].shape == (32, 32, 3) and case["image"].dtype == np.uint8
    assert abs(int(case["image"].mean()) - 127) < 6 and case["image"].std() < 40
    assert case["mask"].shape == (32, 32, 1) and set(np.unique(case["mask"])) == {0, 255}
    assert abs((case["mask"] > 0).mean() - (mask > 0).mean()) < 0.01
    middle = np.argwhere(case["mask"][..., 0]).mean(0)
    assert np.abs(middle - 15.5).max() < 0.6


def test_a_reduced_image_lies_where_the_full_one_does(tmp_path):
    image = np.zeros((480, 640, 3), np.uint8)
    image[120:240, 480:600] = (250, 120, 60)
    case = read_first(pair(tmp_path, image, quality=95))["image"]
    bright = np.argwhere(case[..., 0] > 125)
    assert (
        np.abs(bright.min(0) - (8, 24)).max() <= 1 and np.abs(bright.max(0) - (15, 29)).max() <= 1
    )


def test_grey_photographs_become_rgb(tmp_path):
    assert read_first(pair(tmp_path, np.full((40, 50), 9, np.uint8)))["image"].shape == (32, 32, 3)


def test_a_truncated_jpg_is_named(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (200, 300, 3), np.uint8)
    image = pair(tmp_path, noise) / IMAGES / "ISIC_0000001.jpg"
    image.write_bytes(image.read_bytes()[: image.stat().st_size // 2])
    with pytest.raises(DataError) as caught:
        read_first(tmp_path)
    assert image.name in one_line(caught) and "damaged" in str(caught.value)


def test_a_truncated_mask_is_named(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (200, 300), np.uint8)
    mask = pair(tmp_path, np.zeros((200, 300, 3), np.uint8), noise) / MASKS
    mask = mask / "ISIC_0000001_segmentation.png"
    mask.write_bytes(mask.read_bytes()[:2000])
    with pytest.raises(DataError) as caught:
        read_first(tmp_path)
    assert mask.name in one_line(caught)


def test_a_mask_of_another_size_is_named(tmp_path):
    pair(tmp_path, np.zeros((60, 80, 3), np.uint8), np.zeros((60, 81), np.uint8))
    with pytest.raises(DataError, match="60 x 80 pixels, found 60 x 81") as caught:
        read_first(tmp_path)
    assert "ISIC_0000001" in one_line(caught)


def test_an_id_without_a_mask_is_named(folder):
    gone = min((folder / MASKS).iterdir())
    gone.unlink()
    with pytest.raises(DataError) as caught:
        datasets.index("isic2017", folder)
    assert gone.name in one_line(caught)


def test_a_missing_folder_of_masks_is_named(folder):
    shutil.rmtree(folder / MASKS)
    with pytest.raises(DataError) as caught:
        datasets.index("isic2017", folder)
    assert MASKS in one_line(caught)


def test_a_cmyk_image_is_refused(tmp_path):
    pair(tmp_path, np.zeros((20, 30, 3), np.uint8))
    Image.new("CMYK", (30, 20)).save(tmp_path / IMAGES / "ISIC_0000001.jpg")
    with pytest.raises(DataError, match="CMYK") as caught:
        read_first(tmp_path)
    assert "ISIC_0000001.jpg" in one_line(caught)


@pytest.mark.parametrize("colour", [0, 2])
def test_a_16_bit_image_is_refused(tmp_path, colour):
    pair(tmp_path, np.zeros((4, 4, 3), np.uint8))
    (tmp_path / IMAGES / "ISIC_0000001.jpg").write_bytes(png_16(4, colour))
    with pytest.raises(DataError, match="16 bits a channel") as caught:
        read_first(tmp_path)
    assert "ISIC_0000001.jpg" in one_line(caught)


def png_16(side: int, colour: int) -> bytes:
    """A square PNG of 16 bits a channel, grey (0) or RGB (2): Pillow cannot write the latter."""
    import struct
    import zlib

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    lines = (b"\0" + b"\1\2" * side * (3 if colour else 1)) * side
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 16, colour, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    )


def test_a_folder_with_something_else_is_told(tmp_path):
    (tmp_path / "pictures").mkdir()
    with pytest.raises(DataError) as caught:
        datasets.index("isic2017", tmp_path)
    assert "ISIC-2017_Training_Data" in one_line(caught)


def test_the_twin_is_found_as_the_release_is(small_skin):
    assert downloads.find("isic2017", small_skin) == small_skin.resolve()
    coverage = downloads.folders.coverage("isic2017", small_skin)
    assert coverage.cases == 14 and all(part.found for part in coverage.parts)


READ_LARGE = """
import sys
from course_utils import datasets, generators, runtime
table = datasets.index("isic2017", sys.argv[1])
rows = [row for _, row in table.iterrows()]
before = runtime.peak_rss_mb()
generators.pack(rows, datasets.read_lesion, sys.argv[2], workers=2, progress=False)
print(runtime.peak_rss_mb() - before)
"""


def test_memory_does_not_grow_with_the_number_of_12_megapixel_images(tmp_path):
    """Six and sixteen photographs of 4288 x 2848: the same peak, and two workers share 150 MB.

    A photograph is 37 MB when decoded and its mask 12; all 2594 of a release would be 127 GB.
    """
    peaks = []
    for number in (6, 16):
        folder = tmp_path / str(number)
        y, x = np.mgrid[:2848, :4288]
        image = np.stack([x % 251, y % 241, (x + y) % 239], axis=-1).astype(np.uint8)
        pair(folder, image, np.where((x // 900 + y // 900) % 2, 255, 0).astype(np.uint8))
        for k in range(2, number + 1):
            for part, end in ((IMAGES, ".jpg"), (MASKS, "_segmentation.png")):
                first = folder / part / f"ISIC_0000001{end}"
                os.link(first, first.with_name(f"ISIC_{k:07d}{end}"))
        done = subprocess.run(
            [sys.executable, "-c", READ_LARGE, str(folder), str(tmp_path / f"cache{number}")],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        peaks.append(float(done.stdout))
    assert peaks[1] < peaks[0] + 20 and peaks[1] < 150, peaks


def test_real_pairs_are_read(real_skin):
    table = datasets.index("isic2017", real_skin)
    assert all(re.fullmatch(r"ISIC_\d{7}", case) for case in table.case)
    case = datasets.read_lesion(table.iloc[0])
    assert case["image"].shape == (256, 256, 3) and case["mask"].any()
