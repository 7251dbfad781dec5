"""Each check both ways: right answers pass; placeholders and typical wrong ones get a hint."""

# ruff: noqa: NPY002 (the published recipe uses numpy's global state)

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.transform import resize as skimage_resize

from course_utils.checks import UNANSWERED, Verdict, exercise, nuclei
from course_utils.metrics import instances

# -- right answers ---------------------------------------------------------------------------------


def seeded_draw(seed):
    return np.random.default_rng(seed).normal(size=8)


def batch_indices(n_images, batch_size, step):
    return range(step * batch_size, min((step + 1) * batch_size, n_images))


def shuffled_indices(n_images, batch_size, step):
    order = np.random.default_rng(0).permutation(n_images)
    return order[step * batch_size : (step + 1) * batch_size]


def ap_by_assignment(iou, threshold):
    rows, _ = instances._assign(iou, threshold)
    there = sum(iou.shape) - len(rows)
    return len(rows) / there if there else 1.0


def ap_by_greedy_matching(iou, threshold):
    iou, tp = iou.copy(), 0
    while iou.size and iou.max() > threshold:
        row, column = np.unravel_index(iou.argmax(), iou.shape)
        iou[row], iou[:, column] = 0, 0
        tp += 1
    return np.float32(tp / max(sum(iou.shape) - tp, 1)) if sum(iou.shape) else 1


def nearest(labels, shape):
    return skimage_resize(labels, shape, order=0, preserve_range=True, anti_aliasing=False).astype(
        labels.dtype
    )


def nearest_by_index(labels, shape):
    rows, columns = (
        np.arange(new) * old // new for new, old in zip(shape, labels.shape, strict=True)
    )
    return labels[rows][:, columns]


def peaks_as_markers(mask, sigma=2.0, min_distance=5):
    distance = ndimage.gaussian_filter(ndimage.distance_transform_edt(mask), sigma) * mask
    peaks = peak_local_max(distance, min_distance=min_distance, labels=mask.astype(int))
    markers = np.zeros(mask.shape, int)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return markers


def h_maxima_as_markers(mask):
    from skimage.morphology import h_maxima

    distance = ndimage.distance_transform_edt(mask)
    return ndimage.label(h_maxima(distance, 1.5), np.ones((3, 3)))[0] if mask.any() else mask * 0


RIGHT = [
    (nuclei.seeding, seeded_draw),
    (nuclei.seeding, lambda seed: list(np.random.RandomState(seed).rand(5))),
    (nuclei.steps_per_epoch, batch_indices),
    (nuclei.steps_per_epoch, shuffled_indices),
    (nuclei.ap_at, ap_by_assignment),
    (nuclei.ap_at, ap_by_greedy_matching),
    (nuclei.resize_mask, nearest),
    (nuclei.resize_mask, nearest_by_index),
    (nuclei.split_touching, peaks_as_markers),
    (nuclei.split_touching, h_maxima_as_markers),
]


@pytest.mark.parametrize(("check", "answer"), RIGHT)
def test_right_answers_pass(check, answer):
    verdict = check(answer)
    assert verdict.passed, verdict
    assert repr(verdict).startswith("✓ right: ")


# -- wrong answers, each with the words its hint must hold -----------------------------------------


def assigns_the_seed(seed):
    np.random.seed = seed
    return np.random.rand(4)


def seeds_globally(seed):
    np.random.seed(seed)
    return np.random.rand(4)


class ShrinkingGenerator:
    """The published recipe: the last batch makes the batch size small, for good."""

    def __init__(self, sizes_first=False):
        self.size, self.of, self.sizes_first = None, None, sizes_first

    def __call__(self, n_images, batch_size, step):
        if self.of != n_images:
            self.of, self.size = n_images, batch_size
        start = step * self.size
        if start + self.size > n_images:
            self.size = n_images - start if self.sizes_first else max(n_images - start, 1)
            start = start if self.sizes_first else step * self.size
        return list(range(start, start + self.size))


def bilinear(labels, shape):
    return skimage_resize(labels.astype(float), shape, order=1, preserve_range=True)


def bilinear_rounded(labels, shape):
    return np.rint(bilinear(labels, shape)).astype(int)


def every_peak(mask):
    distance = ndimage.distance_transform_edt(mask)
    peaks = peak_local_max(distance, min_distance=1, labels=mask.astype(int))
    markers = np.zeros(mask.shape, int)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return markers


def precision(iou, threshold):
    tp = ap_tp(iou, threshold)
    return tp / iou.shape[1] if iou.shape[1] else 1.0


def ap_tp(iou, threshold):
    return len(instances._assign(iou, threshold)[0])


def counted_twice(iou, threshold):
    tp = np.count_nonzero(iou > threshold)
    return tp / max(sum(iou.shape) - tp, 1)


def rows_counted_once(iou, threshold):
    tp = np.count_nonzero((iou > threshold).any(axis=1))
    return tp / max(sum(iou.shape) - tp, 1)


WRONG = [
    (nuclei.seeding, assigns_the_seed, "np.random.seed is no function any more"),
    (nuclei.seeding, seeds_globally, "global state has changed"),
    (nuclei.seeding, lambda seed: np.random.default_rng().random(4), "same seed gave two"),
    (nuclei.seeding, lambda seed: np.random.default_rng(42).random(4), "two different seeds"),
    (nuclei.seeding, lambda seed: seed, "array of at least four"),
    (nuclei.steps_per_epoch, ShrinkingGenerator(), "comes 2 times"),
    (nuclei.steps_per_epoch, ShrinkingGenerator(True), "what became of the batch size"),
    (
        nuclei.steps_per_epoch,
        lambda n, b, s: range(s * b, s * b + b),
        "where should the last batch",
    ),
    (
        nuclei.steps_per_epoch,
        lambda n, b, s: range(s * b, s * b + b) if s * b + b <= n else [],
        "is the remainder left out",
    ),
    (nuclei.steps_per_epoch, lambda n, b, s: [0.5], "whole numbers"),
    (nuclei.ap_at, precision, "missed change nothing"),
    (nuclei.ap_at, lambda iou, t: ap_tp(iou, t) / max(iou.shape[0], 1), "hit nothing change"),
    (nuclei.ap_at, lambda iou, t: 2 * ap_tp(iou, t) / max(sum(iou.shape), 1), "that is F1"),
    (nuclei.ap_at, lambda iou, t: ap_tp(iou, t) / max(sum(iou.shape), 1), "one thing, not two"),
    (nuclei.ap_at, counted_twice, "what is the other half"),
    (nuclei.ap_at, rows_counted_once, "what is the other nucleus"),
    (nuclei.ap_at, lambda iou, t: ap_by_assignment(iou, t - 1e-9), "exactly the threshold"),
    (
        nuclei.ap_at,
        lambda iou, t: ap_tp(iou, t) / (sum(iou.shape) - ap_tp(iou, t)),
        "ZeroDivisionError: treat the empty image",
    ),
    (
        nuclei.ap_at,
        lambda iou, t: ap_by_assignment(iou, t) if iou.size else 0.0,
        "what should an image score",
    ),
    (nuclei.ap_at, lambda iou, t: 0.123, "by hand"),
    (nuclei.ap_at, lambda iou, t: iou, "one number was expected"),
    (nuclei.resize_mask, bilinear, "was not there before"),
    (nuclei.resize_mask, bilinear_rounded, "was not there before"),
    (nuclei.resize_mask, lambda m, s: nearest(m, s[::-1]), "want the width first"),
    (nuclei.resize_mask, lambda m, s: m, "asked for a map of shape"),
    (nuclei.resize_mask, lambda m, s: nearest((m > 0) * 10, s), "nucleus 40 is lost"),
    (nuclei.resize_mask, lambda m, s: nearest(m, s).astype(float), "whole numbers"),
    (nuclei.resize_mask, lambda m, s: nearest(m, s)[::-1, ::-1], "not where they were"),
    (nuclei.split_touching, lambda mask: ndimage.label(mask)[0], "one connected piece"),
    (nuclei.split_touching, every_peak, "many small peaks"),
    (nuclei.split_touching, lambda mask: peaks_as_markers(mask) > 0, "number them"),
    (nuclei.split_touching, lambda mask: np.argwhere(mask), "drawn into a map first"),
    (nuclei.split_touching, lambda mask: np.zeros(mask.shape, int), "smoothed or cut away"),
]


@pytest.mark.parametrize(("check", "answer", "words"), WRONG)
def test_wrong_answers_get_their_own_hint(check, answer, words):
    with np.errstate(all="ignore"):
        verdict = check(answer)
    assert not verdict.passed
    assert words in verdict.hint
    assert "\n" not in verdict.hint


CHECKS = [
    nuclei.seeding,
    nuclei.steps_per_epoch,
    nuclei.ap_at,
    nuclei.resize_mask,
    nuclei.split_touching,
]


@pytest.mark.parametrize("check", CHECKS)
def test_odd_answers_are_never_an_error(check):
    assert check(None) == Verdict(False, UNANSWERED)
    assert "a function was expected, found int" in check(3).hint
    assert UNANSWERED in check(lambda *args: None).hint
    assert UNANSWERED in check(lambda *args: ...).hint
    assert "stopped with TypeError" in check(lambda: 1).hint
    for odd in ("text", [], {}, np.zeros((0,)), np.array(["a"]), object(), float("nan")):
        verdict = check(lambda *args, odd=odd: odd)
        assert not verdict
        assert verdict.hint


@pytest.mark.parametrize("check", CHECKS)
def test_each_check_says_what_it_wants(check):
    assert "returns" in check.__doc__
    assert len(check.__doc__.splitlines()) > 10


def test_seeding_leaves_numpy_as_it_found_it():
    np.random.seed(5)
    expected = np.random.rand(3)
    np.random.seed(5)
    for answer in (assigns_the_seed, seeds_globally, seeded_draw):
        nuclei.seeding(answer)
    assert callable(np.random.seed)
    np.testing.assert_array_equal(np.random.rand(3), expected)


def test_two_epochs_of_the_published_generator_show_what_it_does():
    generator = ShrinkingGenerator(True)
    first = [len(generator(10, 4, step)) for step in range(3)]
    second = [len(generator(10, 4, step)) for step in range(3)]
    assert (first, second) == ([4, 4, 2], [2, 2, 2])  # six of ten images from then on


def test_a_verdict_shows_well_and_escapes_what_a_student_wrote():
    verdict = Verdict(False, "found <b> & more")
    assert repr(verdict) == "✗ not yet: found <b> & more"
    assert "found &lt;b&gt; &amp; more" in verdict._repr_html_()
    assert "✗ not yet" in verdict._repr_html_()
    assert bool(Verdict(True, "")) is True


def test_a_long_error_of_a_student_is_cut_to_one_line():
    def fails(function):
        raise RuntimeError("a\nb " + "x" * 500)

    hint = exercise(fails)(len).hint
    assert hint.startswith("the function stopped with RuntimeError: a b xxx")
    assert len(hint) < 220
