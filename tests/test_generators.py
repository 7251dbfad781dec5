"""Prepared arrays are whole or absent; a batch is a pure function of seed, epoch and step."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage, stats
from scipy.special import ndtri
from skimage import transform

from course_utils import generators
from course_utils.errors import DataError, ParameterError
from course_utils.generators import packed
from course_utils.generators.feed import batch_of

ROOT = Path(__file__).resolve().parents[1]


def read(k):
    rng = np.random.default_rng(k)
    return {
        "image": rng.integers(0, 255, (8 + k, 9, 3), np.uint8),
        "labels": rng.integers(0, 9, (8 + k, 9), np.int32),
    }


@pytest.mark.parametrize("quick", [0.0, np.inf], ids=["in threads", "in one thread"])
def test_packed_arrays_are_what_was_read(tmp_path, monkeypatch, quick):
    monkeypatch.setattr(packed, "QUICK", quick)
    readers = set()

    def noted(k):
        readers.add(threading.current_thread())
        return read(k)

    found = generators.pack(range(7), noted, tmp_path / "c", workers=3, progress=False)
    assert (readers == {threading.current_thread()}) == (quick > 0)
    for k in range(7):
        for name, array in read(k).items():
            assert found[name][k].dtype == array.dtype
            assert np.array_equal(found[name][k], array)


def test_packing_again_reads_nothing(tmp_path):
    generators.pack(range(3), read, tmp_path / "c", progress=False)
    packed = generators.pack(range(3), None, tmp_path / "c", progress=False)
    assert np.array_equal(packed["image"][2], read(2)["image"])


def test_packed_arrays_cannot_be_written(tmp_path):
    packed = generators.pack(range(2), read, tmp_path / "c", progress=False)
    with pytest.raises(ValueError, match="read-only"):
        packed["image"][0][:] = 0


def test_a_case_that_cannot_be_read_leaves_nothing(tmp_path):
    def broken(k):
        if k == 3:
            raise DataError("expected a whole image, found a damaged one: fetch it again")
        return read(k)

    with pytest.raises(DataError, match="damaged"):
        generators.pack(range(6), broken, tmp_path / "c", progress=False)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_preparation_is_not_taken_for_whole(tmp_path):
    code = (
        "import os, numpy as np\n"
        "from course_utils import generators\n"
        "def read(k):\n"
        "    if k == 2: os._exit(9)\n"
        "    return {'image': np.zeros((4, 4, 3), np.uint8)}\n"
        f"generators.pack(range(4), read, {str(tmp_path / 'c')!r}, workers=1, progress=False)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env={**os.environ})
    assert done.returncode == 9
    assert not (tmp_path / "c").exists()
    packed = generators.pack(range(4), read, tmp_path / "c", progress=False)
    assert len(packed["image"]) == 4


def test_no_cases_is_an_error(tmp_path):
    with pytest.raises(DataError, match="at least one case"):
        generators.pack([], read, tmp_path / "c")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    real_open = open
    monkeypatch.setattr(
        packed, "open",
        lambda path, mode: real_open("/dev/full", mode, buffering=0), raising=False,
    )  # fmt: skip
    with pytest.raises(DataError, match="No space left"):
        generators.pack(range(2), read, tmp_path / "c", progress=False)


def test_fingerprints_change_with_the_files_and_the_settings(tmp_path):
    file = tmp_path / "a"
    file.write_bytes(b"1")
    first = generators.fingerprint([file], version=1)
    assert generators.fingerprint([file], version=1) == first
    assert generators.fingerprint([file], version=2) != first
    file.write_bytes(b"12")
    assert generators.fingerprint([file], version=1) != first


def test_normalise_spans_the_grey_levels_and_keeps_the_colours():
    image = np.random.default_rng(0).integers(40, 80, (200, 200, 3)).astype(np.uint8)
    image[..., 0] = 60
    stretched = generators.normalise(image)
    assert stretched.min() == 0 and stretched.max() == 255
    assert len(np.unique(stretched[..., 0])) == 1


def test_normalise_survives_a_flat_image():
    assert generators.normalise(np.full((4, 4, 3), 7, np.uint8)).max() == 0


def case(side=64):
    """An image whose pixels say where they are, and the same as target."""
    y, x = np.mgrid[:side, :side].astype(np.uint8)
    image = np.stack([y, x, np.zeros_like(x)], -1)
    return image, image[..., :2].copy()


@pytest.mark.parametrize("zoom", [1.0, 1.6])
def test_image_and_target_are_cut_at_the_same_place(zoom):
    image, target = case()
    for seed in range(30):
        a, b = generators.cut(np.random.default_rng(seed), image, target, 32, zoom)
        assert a.shape == (32, 32, 3) and b.shape == (32, 32, 2)
        assert np.abs(a[2:-2, 2:-2, :2].astype(int) - b[2:-2, 2:-2]).max() <= 1


def test_a_crop_that_shrinks_is_a_mean_and_none_of_its_target_is_mixed():
    squares = np.indices((64, 64)).sum(0) % 2
    checks = np.repeat(255 * squares[..., None].astype(np.uint8), 3, axis=-1)
    shrunk = []
    for seed in range(60):
        a, b = generators.cut(np.random.default_rng(seed), checks, checks[..., :1], 32, 1.6)
        assert set(np.unique(b)) <= {0, 255} and b.shape == (32, 32, 1)
        if np.ptp(a) < 255:
            shrunk.append(a.std())
    assert shrunk and min(shrunk) < 0.4 * 127.5  # single pixels would leave all of it


def test_an_image_smaller_than_the_crop_is_continued():
    image, target = case(20)
    a, b = generators.cut(np.random.default_rng(0), image, target, 32)
    assert a.shape == (32, 32, 3) and np.array_equal(a[..., :2], b)


@pytest.mark.parametrize("channels", [[0, 1, 2], [1, 1, 2], [2, 0, 1]])
def test_looking_up_levels_is_what_numpy_takes(channels):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (20, 30, 3), np.uint8)[:, ::-1]  # a view, as a flip leaves it
    levels = rng.normal(size=(256, 3))
    found = generators.look_up(image, levels, channels)
    expected = [levels[:, k].take(image[..., c]) for k, c in enumerate(channels)]
    assert found.dtype == np.float32
    assert np.array_equal(found, np.stack(expected, axis=-1).astype(np.float32))


@pytest.mark.parametrize("nearest, most", [(False, 1), (True, 0)])
def test_an_affine_map_is_that_of_scikit_image(nearest, most):
    image = np.random.default_rng(0).integers(0, 256, (40, 48, 3), np.uint8)
    image = ndimage.gaussian_filter(image, (2, 2, 0))
    cos, sin = 1.1 * np.cos(0.3), 1.1 * np.sin(0.3)
    matrix = np.array([[cos, -sin, 7.3], [sin, cos, -4.6]])
    found = generators.affine(image, matrix, nearest)
    wanted = transform.warp(
        image, np.vstack([matrix, [0, 0, 1]]), order=1 - nearest, preserve_range=True
    )
    inside = transform.warp(np.ones(image.shape), np.vstack([matrix, [0, 0, 1]]), order=1) == 1
    assert found.shape == image.shape and found.dtype == np.uint8 and inside.mean() > 0.5
    off = np.abs(found.astype(float) - wanted)[inside]
    assert np.mean(off > most + 0.5) < 0.01  # OpenCV rounds places to 1/32 of a pixel


@pytest.mark.parametrize(
    ("how", "place"),
    [
        ({}, (20, 38)),
        ({"degrees": 90}, (28, 30)),  # from the right of the middle to below it
        ({"scale": 1.5}, (20, 42)),
        ({"mirror": True}, (20, 22)),
        ({"shift": (3, -5)}, (15, 41)),
        ({"degrees": 90, "mirror": True, "scale": 0.5, "shift": (2, 1)}, (25, 32)),
    ],
)
def test_a_picture_is_turned_enlarged_mirrored_and_shifted_around_its_middle(how, place):
    image = np.zeros((41, 61), np.uint8)
    image[18:23, 36:41] = 255
    moved = generators.affine(image, generators.around_middle(image.shape, **how))
    assert np.allclose(ndimage.center_of_mass(moved), place, atol=0.1)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_three_channels_are_moved_as_one_alone_is(dtype):
    image = np.random.default_rng(0).integers(0, 256, (50, 64, 3)).astype(dtype)[:, ::-1]
    matrix = np.array([[0.96, 0.21, -4.3], [-0.21, 0.96, 6.7]])
    found = generators.affine(image, matrix)
    alone = [generators.affine(image[..., k], matrix) for k in range(3)]
    assert found.dtype == dtype and found.flags["C_CONTIGUOUS"]
    np.testing.assert_allclose(found, np.stack(alone, axis=-1), rtol=0, atol=1e-4)


def test_a_mask_keeps_its_channel_and_its_values_when_it_is_moved():
    mask = np.zeros((20, 30, 1), np.uint8)
    mask[5:10, 8:20] = 255
    moved = generators.affine(mask, [[1, 0, 2], [0, 1, -3]], nearest=True)
    assert moved.shape == mask.shape
    assert np.array_equal(moved, np.roll(mask, (3, -2), (0, 1)))


def test_all_eight_symmetries_occur_and_agree():
    image, target = case(4)
    seen = set()
    for seed in range(60):
        a, b = generators.flip_and_turn(np.random.default_rng(seed), image, target)
        assert np.array_equal(a[..., :2], b)
        seen.add(a.tobytes())
    assert len(seen) == 8


def feed(**changes):
    images, targets = zip(*(case() for _ in range(5)))
    settings = dict(size=16, batch=4, steps=6, seed=1, zoom=1.3)
    settings["augment"] = lambda rng, x, y: (generators.vary_intensity(rng, x), y)
    return generators.crops(images, targets, **settings | changes)


def test_a_batch_is_a_function_of_seed_epoch_and_step():
    first, again = feed(), feed()
    list(again[k] for k in (5, 3, 1))
    for a, b in zip(first[2], again[2]):
        assert a.dtype == np.float32 and np.array_equal(a, b)
    assert not np.array_equal(first[2][0], first[3][0])
    assert not np.array_equal(first[2][0], feed(seed=2)[2][0])
    again.epoch = 1
    assert not np.array_equal(first[2][0], again[2][0])


def test_a_feed_without_end_has_the_batches_of_one_epoch_after_the_other():
    ours, plain = feed(), feed()
    ours.epoch = 3  # where a training goes on that was interrupted
    how = generators.endless(ours)
    assert how["steps_per_epoch"] == len(plain) == 6 and how["shuffle"] is False
    assert how["x"].num_batches is None
    found = [how["x"][step] for step in range(15)]
    ours.epoch = 5  # what the training sets meanwhile says nothing about what is drawn ahead
    found += [how["x"][step] for step in range(15, 20)]
    for step, batch in enumerate(found):
        plain.epoch = 3 + step // 6
        for a, b in zip(batch, plain[step % 6]):
            assert np.array_equal(a, b)
    assert ours.epoch == 5


@pytest.mark.parametrize("shape", [(5,), (3, 7, 7, 3), (16, 64, 64, 1)])
def test_batches_begin_where_tensorflow_takes_them_over(shape):
    room = generators.aligned(shape)
    assert room.shape == shape and room.dtype == np.float32 and room.flags["C_CONTIGUOUS"]
    assert room.flags["WRITEABLE"] and room.ctypes.data % 64 == 0
    (batch,) = batch_of([[np.ones(shape)]] * 3, 3)
    assert batch.ctypes.data % 64 == 0 and np.array_equal(batch, np.ones((3, *shape)))


def test_turns_and_mirrors_are_those_of_numpy():
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 4), np.uint8)
    target = image[..., :1]
    for cut in (image, image[3:-2, 5:], image[::2].astype(np.float32), target):
        for seed in range(40):
            symmetry = np.random.default_rng(seed).integers(8)
            expected = np.rot90(cut, symmetry % 4)
            expected = expected[:, ::-1] if symmetry >= 4 else expected
            found, _ = generators.flip_and_turn(np.random.default_rng(seed), cut, target)
            assert np.array_equal(found, expected)


def test_targets_lie_between_0_and_1():
    images, targets = feed()[0]
    assert images.shape == (4, 16, 16, 3) and targets.shape == (4, 16, 16, 2)
    assert targets.min() >= 0 and targets.max() <= 1


def test_a_batch_holds_what_stacking_gives():
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (6, 5, 3), np.uint8)[::-1] for _ in range(4)]
    targets = [rng.normal(size=(6, 5, 1)) for _ in range(4)]
    x, y = batch_of(zip(images, targets), 4)
    assert x.dtype == y.dtype == np.float32
    assert np.array_equal(x, np.multiply(np.stack(images), np.float32(1 / 255), dtype=np.float32))
    assert np.array_equal(y, np.stack(targets).astype(np.float32))


def varied_by_numpy(rng, image):
    """What `generators.vary_intensity` is to give, pixel by pixel."""
    if rng.random() < 0.2:
        image = np.repeat(image.mean(-1, keepdims=True).astype(np.uint8), 3, -1)
    elif rng.random() < 0.3:
        image = image[..., rng.permutation(3)]
    grey = image / 255
    grey = 1 - grey if rng.random() < 0.15 else grey
    grey = grey ** np.exp(rng.uniform(-0.5, 0.5))
    grey = grey * rng.uniform(0.75, 1.25) + rng.uniform(-0.1, 0.1)
    if rng.random() < 0.3:
        numbers = ndtri((np.arange(256) + 0.5) / 256)
        which = np.frombuffer(rng.bytes(image.size), np.uint8).reshape(image.shape)
        grey = grey + (numbers / numbers.std())[which] * rng.uniform(0, 0.05)
    return grey


def test_varied_intensities_are_what_numpy_gives_pixel_by_pixel():
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)[:, ::-1]
    for seed in range(40):  # made grey, shuffled, inverted, with noise: each of them several times
        found = generators.vary_intensity(np.random.default_rng(seed), image)
        expected = varied_by_numpy(np.random.default_rng(seed), image)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_noise_is_normal():
    image = np.full((200, 200, 3), 128, np.uint8)
    drawn = (generators.vary_intensity(np.random.default_rng(seed), image) for seed in range(9))
    noisy = [varied.ravel() for varied in drawn if len(np.unique(varied)) > 1]
    assert noisy
    for varied in noisy:
        alike = (varied - varied.mean()) / varied.std()
        assert stats.kstest(alike, "norm").statistic < 0.01
        assert abs(np.corrcoef(alike[:-1], alike[1:])[0, 1]) < 0.01


def test_weights_say_how_often_an_image_is_drawn():
    images = [np.full((8, 8, 3), value, np.uint8) for value in (10, 20)]
    targets = [image[..., :1] for image in images]
    drawn = generators.crops(images, targets, size=4, batch=300, steps=1, seed=0, weights=[1, 3])
    share = np.isclose(drawn[0][0].mean((1, 2, 3)), 20 / 255).mean()
    assert 0.65 < share < 0.85


def test_more_tries_find_more_crops_with_a_target():
    image, target = np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64, 1), np.uint8)
    target[5:9, 5:9] = 255

    def filled(tries):
        settings = dict(size=16, batch=200, steps=1, seed=0, tries=tries)
        return generators.crops([image], [target], **settings)[0][1].any((1, 2, 3)).mean()

    assert filled(1) < filled(3) < filled(9) < 1


def test_an_image_and_a_target_of_another_shape_are_refused():
    image, target = case()
    with pytest.raises(ParameterError, match="at position 1"):
        generators.crops([image, image], [target, target[1:]], size=8, batch=1, steps=1, seed=0)
    with pytest.raises(ParameterError, match="one target an image"):
        generators.crops([image], [], size=8, batch=1, steps=1, seed=0)


def test_keras_fits_on_the_feed():
    import keras

    model = keras.Sequential([keras.layers.Conv2D(2, 1)])
    model.compile("sgd", "mse")
    history = model.fit(feed(), epochs=2, verbose=0)
    assert len(history.history["loss"]) == 2
