"""Checks of the exercises of lesson 4, the border of a lesson."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import Wrong, exercise, returned

DRAWS = 24  # of the weights: the published head is dead in about a quarter of them
_PROBABILITY = np.array([[0.02, 0.49, 0.51], [0.97, 0.6, 0.3]], np.float32)


@exercise
def pairs(function: Callable[[list[str], list[str]], Any]) -> str:
    """Check which mask belongs to which image.

    The published recipe takes the truth by its place in the list.

    Parameters
    ----------
    function : callable
        ``function(images, masks)`` takes two lists of file names and returns a list of
        ``(image, mask)``, one for each image that has a mask, in the order of the images.

    Returns
    -------
    Verdict
    """
    images = ["ISIC_0000003.jpg", "ISIC_0000001.jpg"]
    masks = ["ISIC_0000001_segmentation.png", "ISIC_0000003_segmentation.png"]
    expected = [(images[0], masks[1]), (images[1], masks[0])]
    _compare_pairs(
        function(list(images), list(masks)),
        expected,
        "the lists were in different orders: what in a file name says whom it belongs to?",
    )
    _compare_pairs(
        function([*images, "ISIC_0000002.jpg"], list(masks)),
        expected,
        "an image had no mask: no other image's mask may take its place, and it is left out",
    )
    other = [mask.replace("_seg", "_Seg") for mask in masks]
    _compare_pairs(
        function(list(images), other),
        [(images[0], other[1]), (images[1], other[0])],
        "the masks ended in _Segmentation.png, with a capital: is the end of the name needed?",
    )
    return "image and mask are joined by their id, and by nothing else"


def _compare_pairs(answer: Any, expected: list[tuple], hint: str) -> None:
    found = returned(answer)
    if isinstance(found, dict):
        raise Wrong("a list of (image, mask) was expected, found a dict: return its items")
    found = [tuple(pair) for pair in found]
    if sorted(found) == sorted(expected) and found != expected:
        raise Wrong("the pairs are right, their order is not: keep the order of the images")
    if found != expected:
        raise Wrong(hint)


@exercise
def thresholded(function: Callable[[np.ndarray, np.ndarray], Any]) -> str:
    """Check the thresholded Jaccard index of two masks.

    Some published code computes the share of right pixels and calls it Jaccard.

    Parameters
    ----------
    function : callable
        ``function(truth, prediction)`` takes two boolean masks (y, x) and returns their IoU where
        it is at least 0.65, else 0; two empty masks score 1.

    Returns
    -------
    Verdict
    """
    truth = np.zeros((10, 10), bool)
    truth[:2] = True
    near, far = truth.copy(), truth.copy()
    near[2, :5], far[2:4] = True, True
    high, low = (_score(function(truth.copy(), other)) for other in (near, far))
    if np.isclose(high, 0.95):
        raise Wrong(
            "95 of 100 pixels are right, but background that both leave alone is no overlap"
        )
    if np.isclose(high, 40 / 45):
        raise Wrong("that is Dice: twice the overlap over the sum; Jaccard divides by the union")
    if not np.isclose(high, 0.8):
        raise Wrong(f"20 pixels shared, 25 in one or the other: 0.8 was expected, found {high:.3f}")
    if np.isclose(low, 0.5):
        raise Wrong("an IoU of 0.5 is below the threshold: what does a failure score?")
    if low != 0:
        raise Wrong(f"an IoU of 0.5 is below 0.65 and scores 0, found {low:.3f}")
    empty = np.zeros_like(truth)
    if _score(function(empty.copy(), empty.copy())) != 1:
        raise Wrong("nothing there and nothing found scores 1: what do you divide by then?")
    return "only outlines that are about right count, and background counts for nothing"


def _score(answer: Any) -> float:
    found = np.asarray(returned(answer))
    if found.size != 1 or found.dtype.kind not in "biuf":
        raise Wrong(f"one number was expected, found {answer!r:.60}")
    return float(found.reshape(()))


@exercise
def head(function: Callable[[Any], Any]) -> str:
    """Check the last layers of a U-Net: can they die?

    The published recipe has two channels with a ReLU before the sigmoid.

    Parameters
    ----------
    function : callable
        ``function(features)`` takes a Keras tensor (case, y, x, channel), the output of the last
        block, and returns the probability of being lesion, (case, y, x, 1).

    Returns
    -------
    Verdict
    """
    features = 0.5 + 0.1 * np.random.default_rng(0).random((2, 6, 6, 8)).astype("float32")
    stuck = 0
    for seed in range(DRAWS):
        low, high = (_through(function, features * scale, seed) for scale in (1.0, 1.5))
        if low.min() < 0 or low.max() > 1:
            raise Wrong("a probability lies between 0 and 1: which activation keeps it there?")
        inner = np.s_[:, 2:-2, 2:-2]  # at the rim even a dead layer sees zeros beside features
        stuck += bool(np.abs(high - low)[inner].max() < 1e-6)
    if stuck:
        raise Wrong(
            f"in {stuck} of {DRAWS} draws of the weights the answer is the same for every pixel, "
            "whatever the features: nothing is learned from there; which layer gives only zeros?"
        )
    return "whatever the weights, each pixel's probability depends on its features: it can learn"


def _through(function: Callable, features: np.ndarray, seed: int) -> np.ndarray:
    """Return what the student's layers, freshly drawn, make of the features."""
    import keras

    keras.utils.set_random_seed(seed)
    inputs = keras.Input(features.shape[1:])
    outputs = returned(function(inputs))
    if not isinstance(outputs, keras.KerasTensor):
        raise Wrong(
            f"a Keras tensor was expected, found {type(outputs).__name__}: call the layer on it"
        )
    if tuple(outputs.shape[1:]) != (*features.shape[1:3], 1):
        raise Wrong(
            f"one number a pixel was expected, (case, 6, 6, 1), found {tuple(outputs.shape)}: "
            "how many filters has the last layer, and is it padded?"
        )
    found = keras.Model(inputs, outputs)(keras.ops.convert_to_tensor(features))
    return keras.ops.convert_to_numpy(keras.ops.cast(found, "float32"))


@exercise
def to_mask(function: Callable[[np.ndarray], Any]) -> str:
    """Check what is written to a file as the predicted mask.

    The published recipe multiplies the probability by 255 and saves it as a JPG.

    Parameters
    ----------
    function : callable
        ``function(probability)`` takes probabilities (y, x) and returns uint8 (y, x): 255 where
        lesion is more likely than not, else 0.

    Returns
    -------
    Verdict
    """
    given = _PROBABILITY.copy()
    mask = np.asarray(returned(function(given)))
    if not np.array_equal(given, _PROBABILITY):
        raise Wrong("the probabilities were changed on the way: work on a copy")
    if mask.shape != _PROBABILITY.shape:
        raise Wrong(f"the shape {_PROBABILITY.shape} was expected, found {mask.shape}")
    if len(np.unique(mask)) > 2:
        raise Wrong("a mask has two values: between lesion and skin there is nothing to save")
    if mask.dtype == bool or mask.max() == 1:
        raise Wrong("right so far; in the files of the release lesion is 255, not 1")
    if mask.dtype != np.uint8:
        raise Wrong(f"an image file of 8 bits wants uint8, found {mask.dtype}")
    if not np.array_equal(mask > 0, _PROBABILITY > 0.5):
        raise Wrong("a pixel of probability 0.51 is lesion, one of 0.49 is not: look at both")
    return "two values, 0 and 255: saved as PNG they come back as they were"
