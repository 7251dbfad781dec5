"""Checks of the exercises of lesson 1, is there a tumour in this slice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import Wrong, exercise, returned


@exercise
def patient_split(split: Callable[[np.ndarray, int], Any]) -> str:
    """Check a function that chooses the test slices.

    Parameters
    ----------
    split : callable
        ``split(patients, seed)`` takes the patient of each slice and returns one True or False a
        slice: True for the slices of about a third of the *patients*, all slices of a patient
        together, others for another seed.

    Returns
    -------
    Verdict
    """
    rng = np.random.default_rng(0)
    names = np.array([f"P{k:02d}" for k in range(24)])
    patients = rng.permutation(np.repeat(names, rng.integers(10, 30, 24)))
    tests = [_chosen(split, patients, seed) for seed in range(4)]
    for test in tests:
        shared = np.intersect1d(patients[test], patients[~test])
        if shared.size:
            raise Wrong(
                f"{shared.size} of 24 patients have slices on both sides: draw patients first, "
                "then ask of each slice whose it is"
            )
        count = np.unique(patients[test]).size
        if not 5 <= count <= 11:
            raise Wrong(f"{count} of 24 patients are in the test part: about a third was asked for")
    if all(np.array_equal(tests[0], test) for test in tests[1:]):
        raise Wrong("four seeds gave the same split: does the seed reach the generator?")
    if not np.array_equal(tests[0], _chosen(split, patients, 0)):
        raise Wrong("the same seed gave two different splits: draw from a generator of its own")
    return "no patient is on both sides, so nothing about a test patient is known in training"


def _chosen(split: Callable, patients: np.ndarray, seed: int) -> np.ndarray:
    test = np.asarray(returned(split(patients.copy(), seed)))
    if test.shape != patients.shape:
        raise Wrong(
            f"one True or False a slice was expected, {patients.shape[0]} of them, found shape "
            f"{test.shape}: names of patients have to become a mask of slices"
        )
    if test.dtype != bool:
        raise Wrong(f"True and False were expected, found {test.dtype}: compare, or use np.isin")
    if test.all() or not test.any():
        raise Wrong("one of the two sides is empty: who is left to learn from, or to test on?")
    return test


class _Layer:
    """A layer as a student's function sees it: a name, a kind, and whether it learns.

    Like the layers of Keras it takes any attribute without a word.
    """

    def __init__(self, name: str, kind: str) -> None:
        self.name, self.kind, self.trainable = name, kind, True


class _Network:
    """Layers in order; ``layers`` is all that a student's function may use."""

    def __init__(self) -> None:
        self.layers = [
            _Layer(f"conv{stage}_{part}", kind)
            for stage in range(1, 6)
            for part, kind in (("conv", "Conv2D"), ("bn", "BatchNormalization"), ("out", "ReLU"))
        ] + [_Layer("pool", "GlobalAveragePooling2D"), _Layer("logit", "Dense")]


@exercise
def freeze(function: Callable[[Any, str], Any]) -> str:
    """Check a function that freezes a network up to a layer.

    The published recipe loops over ``layer`` and sets the attribute of ``layers``, the module: no
    layer reads it.

    Parameters
    ----------
    function : callable
        ``function(network, first)`` sets ``trainable`` of the network's layers: False before the
        layer whose name starts with ``first``, True from there on, but False for every
        batch normalisation (its name holds "bn").

    Returns
    -------
    Verdict
    """
    for first in ("conv5", "logit"):
        network = _Network()
        function(network, first)
        _check_frozen(network, first)
    thawed = _Network()
    function(thawed, "logit")
    function(thawed, "conv5")
    _check_frozen(thawed, "conv5")
    return "what was pretrained stays, what is new learns, and the statistics stand still"


def _check_frozen(network: _Network, first: str) -> None:
    """Raise the hint for the first thing that is wrong with a frozen network."""
    strange = {name for layer in network.layers for name in vars(layer)}
    strange -= {"name", "kind", "trainable"}
    if strange:
        raise Wrong(
            f"your layers now have an attribute {min(strange)!r}, which nothing reads: count the "
            "trainable weights before you believe that they are frozen"
        )
    begin = next(k for k, layer in enumerate(network.layers) if layer.name.startswith(first))
    before, after = network.layers[:begin], network.layers[begin:]
    if all(layer.trainable for layer in network.layers):
        raise Wrong("every layer can still learn: whose attribute does your function set?")
    if any(layer.trainable for layer in before):
        name = next(layer.name for layer in before if layer.trainable)
        raise Wrong(f"{name} comes before {first} and can still learn: where does the loop stop?")
    if any(layer.trainable for layer in after if layer.kind == "BatchNormalization"):
        raise Wrong(
            "batch normalisation after the border would learn the statistics of a few small "
            "batches: leave it as it was pretrained"
        )
    if not all(layer.trainable for layer in after if layer.kind != "BatchNormalization"):
        raise Wrong(
            f"after freezing up to {first}, a layer from there on cannot learn: is it set to True "
            "again when the network was frozen before?"
        )


@exercise
def batch_count(function: Callable[[int, int], Any]) -> str:
    """Check the number of batches that score every slice.

    The published recipe divides and drops the remainder.

    Parameters
    ----------
    function : callable
        ``function(slices, batch)`` returns how many batches hold all slices.

    Returns
    -------
    Verdict
    """
    for slices, batch in ((590, 16), (64, 16), (5, 16), (17, 16)):
        found = returned(function(slices, batch))
        expected = -(-slices // batch)
        if found != int(found):
            raise Wrong(f"{slices} slices in batches of {batch}: {found} is no whole number")
        if found < expected:
            lost = slices - int(found) * batch
            raise Wrong(
                f"{slices} slices in batches of {batch}: {found} batches leave {lost} slices "
                "without a score: what becomes of the remainder?"
            )
        if found > expected:
            raise Wrong(f"{slices} slices in batches of {batch}: batch number {found} is empty")
    return "every slice has a score, the last ones too"


@exercise
def coin_labels(function: Callable[[np.ndarray, int], Any]) -> str:
    """Check labels that are one coin a patient.

    Parameters
    ----------
    function : callable
        ``function(patients, seed)`` takes the patient of each slice and returns 0 or 1 a slice,
        the same for all slices of a patient, by chance from patient to patient.

    Returns
    -------
    Verdict
    """
    rng = np.random.default_rng(5)
    patients = rng.permutation(np.repeat([f"P{k:02d}" for k in range(20)], 12))
    draws = [_coins(function, patients, seed) for seed in (0, 1, 2, 0)]
    for labels in draws:
        mixed = [p for p in np.unique(patients) if np.ptp(labels[patients == p])]
        if mixed:
            raise Wrong(
                f"{len(mixed)} of 20 patients have slices with both labels: the coin is thrown "
                "once a patient, not once a slice"
            )
        if not np.ptp(labels):
            raise Wrong("all patients have the same coin: is anything drawn?")
    if not np.array_equal(draws[0], draws[3]):
        raise Wrong("the same seed gave other coins: draw from a generator of its own")
    if np.array_equal(draws[0], draws[1]) and np.array_equal(draws[0], draws[2]):
        raise Wrong("three seeds gave the same coins: does the seed reach the generator?")
    return "labels that nothing in a picture can tell, but for who it is"


def _coins(function: Callable, patients: np.ndarray, seed: int) -> np.ndarray:
    labels = np.asarray(returned(function(patients.copy(), seed)))
    if labels.shape != patients.shape:
        raise Wrong(
            f"one label a slice was expected, {patients.size} of them, found shape {labels.shape}"
        )
    if not np.isin(labels, [0, 1]).all():
        raise Wrong("the labels have to be 0 or 1")
    return labels.astype(int)


@exercise
def pointing_game(function: Callable[[np.ndarray, np.ndarray], Any]) -> str:
    """Check the pointing game for one heat map.

    Parameters
    ----------
    function : callable
        ``function(heat, mask)`` returns True when the highest point of the heat map (y, x) lies
        in the mask (y, x) of 0 and 1.

    Returns
    -------
    Verdict
    """
    heat, mask = np.zeros((6, 9)), np.zeros((6, 9), np.uint8)
    heat[1, 7], heat[4, 2], mask[1, 7] = 3.0, 2.0, 1
    if not _said(function, heat, mask):
        raise Wrong("the highest point is at row 1, column 7, and the mask is there: a hit")
    mask[:] = 1
    mask[1, 7] = 0
    if _said(function, heat, mask):
        raise Wrong(
            "only the highest point counts: here most of the heat lies in the mask, but its "
            "highest point does not"
        )
    square, corner = np.zeros((5, 5)), np.zeros((5, 5), np.uint8)
    square[0, 3], corner[3, 0] = 1.0, 1
    if _said(function, square, corner):
        raise Wrong("highest point at row 0, column 3, mask at row 3, column 0: which comes first?")
    return "a hit is a hit, however broad the heat"


def _said(function: Callable, heat: np.ndarray, mask: np.ndarray) -> bool:
    found = np.asarray(returned(function(heat.copy(), mask.copy())))
    if found.size != 1:
        raise Wrong(f"True or False was expected, found an array of shape {found.shape}")
    return bool(found)
