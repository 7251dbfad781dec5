"""The nuclei twin: layout, formats, kinds, sizes, mosaics, determinism, all or nothing."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from folders import digests
from PIL import Image
from scipy import ndimage as ndi

from course_utils import samples
from course_utils.errors import DataError, ParameterError
from course_utils.samples import nuclei, nuclei_drawing

SIZES = {
    (256, 256),
    (256, 320),
    (520, 696),
    (360, 360),
    (1024, 1024),
    (512, 640),
    (603, 1272),
    (260, 347),
    (1040, 1388),
}


@pytest.fixture(scope="module")
def twin(tmp_path_factory) -> Path:
    """The default twin."""
    return samples.make("bbbc038", tmp_path_factory.mktemp("twins") / "twin", seed=0)


@pytest.fixture(scope="module")
def cases(twin) -> dict[str, np.ndarray]:
    """Image id to RGBA image."""
    return {
        folder.name: np.asarray(Image.open(folder / "images" / f"{folder.name}.png"))
        for folder in sorted((twin / "stage1_train").iterdir())
    }


def instances(folder: Path, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the instance map and, per pixel, how many masks cover it."""
    labels, cover = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    for number, path in enumerate(sorted((folder / "masks").iterdir()), start=1):
        mask = np.asarray(Image.open(path))
        assert mask.dtype == np.uint8 and mask.shape == shape
        assert set(np.unique(mask)) == {0, 255}, "a mask is 0 or 255 and never empty"
        labels[mask > 0] = number
        cover += mask > 0
    return labels, cover


def touching(labels: np.ndarray) -> int:
    """Return how many nuclei have a pixel beside another nucleus."""
    low = ndi.minimum_filter(np.where(labels > 0, labels, labels.max() + 1), 3)
    high = ndi.maximum_filter(labels, 3)
    return len(np.unique(labels[(labels > 0) & ((low < labels) | (high > labels))]))


def test_layout_and_formats(twin, cases):
    assert {path.name for path in twin.iterdir()} == {"stage1_train", samples.STAMP}
    assert len(cases) == nuclei.DEFAULT_CASES
    for name, image in cases.items():
        folder = twin / "stage1_train" / name
        assert len(name) == 64 and int(name, 16) >= 0
        assert sorted(path.name for path in folder.iterdir()) == ["images", "masks"]
        assert [path.name for path in (folder / "images").iterdir()] == [f"{name}.png"]
        assert image.dtype == np.uint8 and image.shape[2] == 4 and (image[..., 3] == 255).all()
        assert any((folder / "masks").iterdir())


def test_masks_never_overlap_and_many_touch(twin, cases):
    counts, contacts = [], 0
    for name, image in list(cases.items())[::3]:
        labels, cover = instances(twin / "stage1_train" / name, image.shape[:2])
        assert cover.max() == 1
        counts.append(labels.max())
        contacts += touching(labels)
    assert 0.2 < contacts / sum(counts) < 0.6


def test_all_sizes_and_kinds_in_about_the_real_shares(twin, cases):
    shapes = Counter(image.shape[:2] for image in cases.values())
    assert set(shapes) == SIZES
    assert (shapes[256, 256] + shapes[256, 320]) / len(cases) > 0.6
    kinds = Counter()
    for mosaic in samples.stamp(twin)["mosaics"]:
        for name in (name for row in mosaic["grid"] for name in row):
            kinds[mosaic["kind"]] += 1
            grey = cases[name][::2, ::2, :3]
            coloured = np.ptp(grey.astype(int), axis=2).max() > 0
            assert coloured == (mosaic["kind"] == "colour")
            assert (np.median(grey) > 100) == (mosaic["kind"] != "dark")
    assert 0.7 < kinds["dark"] / len(cases) < 0.9
    assert 0.1 < kinds["colour"] / len(cases) < 0.25
    assert 2 <= kinds["bright"] <= 6


def test_each_kind_has_several_independent_groups(twin):
    mosaics = samples.stamp(twin)["mosaics"]
    groups = Counter(mosaic["kind"] for mosaic in mosaics)
    assert groups["bright"] >= 3 and groups["colour"] >= 6 and groups["dark"] >= 25


def test_every_dark_nucleus_can_be_seen():
    """No nucleus is labelled that is not brighter than what lies around it."""
    for style in nuclei.styles("dark"):
        rgb, labels = nuclei.scene("dark", (256, 320), np.random.default_rng(5), style)
        grey, free = rgb[..., 0].astype(float), ndi.binary_erosion(labels == 0, iterations=2)
        for number in range(1, labels.max() + 1):
            ring = free & ndi.binary_dilation(labels == number, iterations=7)
            if ring.sum() > 20:
                inside, outside = grey[labels == number], grey[ring]
                error = outside.std() / min(inside.size, outside.size) ** 0.5
                assert inside.mean() - np.median(outside) > max(2.5, 3 * error), style


def test_counts_of_nuclei_span_the_real_range(twin, cases):
    counts = [len(list((twin / "stage1_train" / name / "masks").iterdir())) for name in cases]
    assert min(counts) <= 5 and 150 <= max(counts) <= 400 and 20 <= np.median(counts) <= 36


def test_neighbouring_tiles_go_on_across_the_cut(twin, cases):
    mosaics = [m["grid"] for m in samples.stamp(twin)["mosaics"] if sum(map(len, m["grid"])) > 1]
    assert all(2 <= sum(map(len, grid)) <= 6 for grid in mosaics)
    tiles = sum(len(row) for grid in mosaics for row in grid)
    assert 0.5 < tiles / len(cases) < 0.75
    for grid in mosaics:
        grid = np.array(grid)
        for first, second in zip(grid[:, :-1].flat, grid[:, 1:].flat, strict=True):
            _goes_on(cases[first][:, -1], cases[second][:, 0], cases[second][:, -1])
        for first, second in zip(grid[:-1].flat, grid[1:].flat, strict=True):
            _goes_on(cases[first][-1], cases[second][0], cases[second][-1])


def _goes_on(edge: np.ndarray, neighbour: np.ndarray, stranger: np.ndarray) -> None:
    lines = [line[:, :3].mean(1) for line in (edge, neighbour, stranger)]
    match, other = (np.corrcoef(lines[0], line)[0, 1] for line in lines[1:])
    assert match > 0.8 and match > other


def test_a_threshold_is_good_at_pixels_and_bad_at_nuclei(twin, cases):
    dice, found, there = [], 0, 0
    for name, image in list(cases.items())[::3]:
        labels, _ = instances(twin / "stage1_train" / name, image.shape[:2])
        grey = image[..., :3] @ np.array([0.299, 0.587, 0.114])
        bright = grey > _otsu(grey)
        mask = ~bright if bright.mean() > 0.5 else bright
        dice.append(2 * (mask & (labels > 0)).sum() / (mask.sum() + (labels > 0).sum()))
        pieces, _ = ndi.label(mask)
        sizes, areas = np.bincount(pieces.ravel()), np.bincount(labels.ravel())
        for number, window in enumerate(ndi.find_objects(labels), start=1):
            inside = np.bincount(pieces[window][labels[window] == number], minlength=2)
            inside[0] = 0
            best = inside.argmax()
            union = sizes[best] + areas[number] - inside[best]
            found += inside[best] > 0.5 * union
        there += labels.max()
    assert 0.7 < np.mean(dice) < 0.95
    assert 0.3 < found / there < 0.75


def _otsu(grey: np.ndarray) -> float:
    counts, edges = np.histogram(grey, 256)
    middle = (edges[:-1] + edges[1:]) / 2
    below, mass = np.cumsum(counts), np.cumsum(counts * middle)
    above = below[-1] - below
    with np.errstate(all="ignore"):
        between = below * above * (mass / below - (mass[-1] - mass) / above) ** 2
    return middle[np.nanargmax(between)]


def test_same_seed_same_bytes_other_seed_other_images(tmp_path):
    first = samples.make("bbbc038", tmp_path / "a", seed=3, cases=6)
    again = samples.make("bbbc038", tmp_path / "b", seed=3, cases=6)
    other = samples.make("bbbc038", tmp_path / "c", seed=4, cases=6)
    assert digests(first) == digests(again) != digests(other)
    names = [{p.name for p in (f / "stage1_train").iterdir()} for f in (first, other)]
    assert not names[0] & names[1]


@pytest.mark.parametrize("number", [6, 7, 8, 11, 20, 100])
def test_a_short_plan_keeps_the_kinds_and_a_mosaic(number):
    chosen = nuclei.plan(number)
    assert sum(scene.tiles for scene in chosen) == number
    assert {scene.kind for scene in chosen} == {"dark", "bright", "colour"}
    assert any(scene.tiles > 1 for scene in chosen)


def test_every_style_draws_at_a_small_size():
    for kind in ("dark", "bright", "colour"):
        for style in nuclei.styles(kind):
            rgb, labels = nuclei.scene(kind, (96, 112), np.random.default_rng(2), style)
            assert rgb.shape == (96, 112, 3) and rgb.dtype == np.uint8
            assert labels.shape == (96, 112) and labels.dtype == np.int32
            present = np.unique(labels)
            assert (present[present > 0] == np.arange(1, labels.max() + 1)).all()


def test_png_reads_back():
    rng = np.random.default_rng(0)
    for shape in [(5, 7), (5, 7, 4)]:
        image = rng.integers(0, 256, shape).astype(np.uint8)
        assert (np.asarray(Image.open(io.BytesIO(nuclei.png(image)))) == image).all()


def test_the_stamp_says_that_the_data_are_generated(twin, cases):
    content = json.loads((twin / ".twin.json").read_text())
    assert "generated data" in content["what"]
    assert (content["name"], content["seed"], content["cases"]) == ("bbbc038", 0, len(cases))
    assert content["version"] == samples.version("bbbc038") == nuclei.VERSION


VERSION = 7


def write_three(folder: Path, seed: int, cases: int | None) -> dict:
    """A twin of three text files, slowly written."""
    for case in range(cases or 3):
        (folder / "cases" / str(case)).mkdir(parents=True)
        (folder / "cases" / str(case) / "value.txt").write_text(f"{seed} {case}")
        time.sleep(0.02)
    return {"cases": cases or 3}


@pytest.fixture
def three(monkeypatch):
    monkeypatch.setitem(samples.REGISTRY, "three", write_three)


def test_a_whole_twin_is_kept_and_another_or_damaged_one_made_again(tmp_path, three):
    folder = samples.make("three", tmp_path / "twin")
    value = folder / "cases" / "0" / "value.txt"
    value.write_text("kept")
    assert samples.make("three", folder) == folder and value.read_text() == "kept"
    value.unlink()
    value.parent.rmdir()
    samples.make("three", folder)
    assert value.read_text() == "0 0"
    samples.make("three", folder, cases=4, seed=2)
    assert value.read_text() == "2 0" and len(list((folder / "cases").iterdir())) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["twin"]


def test_a_new_version_is_made_again(tmp_path, three, monkeypatch):
    folder = samples.make("three", tmp_path / "twin")
    monkeypatch.setitem(globals(), "VERSION", 8)
    samples.make("three", folder)
    assert samples.stamp(folder)["version"] == 8


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, ValueError])
def test_an_interrupted_make_leaves_nothing(tmp_path, monkeypatch, error):
    def broken(folder, seed, cases):
        write_three(folder, seed, cases)
        raise error("stopped")

    monkeypatch.setitem(samples.REGISTRY, "three", broken)
    with pytest.raises(DataError if error is OSError else error):
        samples.make("three", tmp_path / "twin")
    assert list(tmp_path.iterdir()) == []


def test_a_killed_make_is_never_taken_for_whole_and_is_swept_later(tmp_path, three):
    fresh, old = (tmp_path / f".twin.making-{name}" for name in ("fresh", "old"))
    for half in (fresh, old):
        (half / "twin" / "cases" / "0").mkdir(parents=True)
    os.utime(old, (0, 0))
    folder = samples.make("three", tmp_path / "twin")
    assert len(list((folder / "cases").iterdir())) == 3
    assert fresh.exists() and not old.exists()


def _make(folder: Path) -> None:
    samples.REGISTRY["three"] = write_three
    samples.make("three", folder)


def test_processes_at_once_end_well(tmp_path):
    context = multiprocessing.get_context("fork" if hasattr(os, "fork") else "spawn")
    workers = [context.Process(target=_make, args=(tmp_path / "twin",)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert [path.name for path in tmp_path.iterdir()] == ["twin"]
    assert len(list((tmp_path / "twin" / "cases").iterdir())) == 3


def test_clear_lines_for_what_cannot_be_made(tmp_path):
    with pytest.raises(DataError, match="no offline twin is named 'cats', there are bbbc038"):
        samples.make("cats", tmp_path / "cats")
    with pytest.raises(ParameterError, match="at least 6 cases"):
        samples.make("bbbc038", tmp_path / "few", cases=2)
    with pytest.raises(ParameterError, match="seed"):
        samples.make("bbbc038", tmp_path / "few", seed=-1)
    with pytest.raises(ParameterError, match="dark, bright, colour"):
        nuclei.scene("green", (64, 64), np.random.default_rng(0))
    with pytest.raises(ParameterError, match="tissue"):
        nuclei.scene("dark", (64, 64), np.random.default_rng(0), "pink")
    assert list(tmp_path.iterdir()) == []


def test_real_data_are_never_overwritten(tmp_path, three):
    real = tmp_path / "bbbc038" / "stage1_train"
    real.mkdir(parents=True)
    with pytest.raises(DataError, match="never overwritten"):
        samples.make("three", tmp_path / "bbbc038")
    assert real.is_dir()


def test_default_folder_is_in_the_twins_root(tmp_path, monkeypatch, three):
    monkeypatch.setenv("COURSE_TWINS", str(tmp_path))
    assert samples.make("three", seed=1) == tmp_path / "three-1"
    assert samples.make("three", seed=1, cases=5) == tmp_path / "three-1-5"


def test_a_wide_blur_is_a_blur():
    field = np.zeros((200, 240), np.float32)
    field[90:110, 100:130] = 1
    wide, exact = nuclei_drawing.blur(field, 20), ndi.gaussian_filter(field, 20)
    assert np.abs(wide - exact).max() < 0.05 * exact.max()
