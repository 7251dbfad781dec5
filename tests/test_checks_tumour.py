"""Each check of lesson 1 both ways: right answers pass; placeholders and wrong ones get a hint."""

from __future__ import annotations

import types

import numpy as np
import pytest

from course_utils.checks import UNANSWERED, tumour


def split(patients, seed):
    names = np.unique(patients)
    chosen = np.random.default_rng(seed).choice(names, len(names) // 3, replace=False)
    return np.isin(patients, chosen)


def split_by_slice(patients, seed):
    return np.random.default_rng(seed).random(len(patients)) < 1 / 3


def split_without_seed(patients, seed):
    return np.isin(patients, np.unique(patients)[:8])


def split_of_names(patients, seed):
    return np.unique(patients)[:8]


def split_too_small(patients, seed):
    return patients == np.random.default_rng(seed).choice(np.unique(patients))


def freeze(network, first):
    learns = False
    for layer in network.layers:
        learns = learns or layer.name.startswith(first)
        layer.trainable = learns and "bn" not in layer.name


def freeze_as_published(network, first):
    layers = types.SimpleNamespace()  # keras.layers, which takes any attribute as well
    for _layer in network.layers:
        layers.trainable = False


def freeze_misspelt(network, first):
    for layer in network.layers:
        layer.trainabe = False


def freeze_with_batch_norm(network, first):
    learns = False
    for layer in network.layers:
        learns = learns or layer.name.startswith(first)
        layer.trainable = learns


def freeze_for_ever(network, first):
    for layer in network.layers:
        if layer.name.startswith(first):
            break
        layer.trainable = False
    for layer in network.layers:
        if "bn" in layer.name:
            layer.trainable = False


def freeze_all(network, first):
    for layer in network.layers:
        layer.trainable = False


def coins(patients, seed):
    names, number = np.unique(patients, return_inverse=True)
    return np.random.default_rng(seed).integers(0, 2, len(names))[number]


def pointing(heat, mask):
    return bool(mask[np.unravel_index(heat.argmax(), heat.shape)])


RIGHT = [
    (tumour.patient_split, split),
    (tumour.freeze, freeze),
    (tumour.batch_count, lambda slices, batch: -(-slices // batch)),
    (tumour.coin_labels, coins),
    (tumour.pointing_game, pointing),
]
WRONG = [
    (tumour.patient_split, split_by_slice, "on both sides"),
    (tumour.patient_split, split_without_seed, "four seeds gave the same"),
    (tumour.patient_split, split_of_names, "one True or False a slice"),
    (tumour.patient_split, split_too_small, "about a third"),
    (tumour.patient_split, lambda patients, seed: np.zeros(len(patients)), "True and False were"),
    (tumour.patient_split, lambda patients, seed: patients == "", "one of the two sides is empty"),
    (tumour.freeze, freeze_as_published, "whose attribute does your function set"),
    (tumour.freeze, freeze_misspelt, "'trainabe', which nothing reads"),
    (tumour.freeze, freeze_with_batch_norm, "leave it as it was pretrained"),
    (tumour.freeze, freeze_for_ever, "frozen before"),
    (tumour.freeze, freeze_all, "cannot learn"),
    (tumour.freeze, lambda network, first: None, "every layer can still learn"),
    (tumour.batch_count, lambda slices, batch: slices // batch, "leave 14 slices"),
    (tumour.batch_count, lambda slices, batch: slices // batch + 1, "is empty"),
    (tumour.batch_count, lambda slices, batch: slices / batch, "no whole number"),
    (
        tumour.coin_labels,
        lambda patients, seed: np.random.default_rng(seed).integers(0, 2, len(patients)),
        "once a patient",
    ),
    (tumour.coin_labels, lambda patients, seed: coins(patients, 0), "three seeds"),
    (tumour.coin_labels, lambda patients, seed: np.zeros(len(patients)), "the same coin"),
    (tumour.coin_labels, lambda patients, seed: coins(np.unique(patients), seed), "found shape"),
    (tumour.coin_labels, lambda patients, seed: 2 * coins(patients, seed), "0 or 1"),
    (tumour.pointing_game, lambda heat, mask: heat[mask > 0].sum() > 0.3, "highest point"),
    (tumour.pointing_game, lambda heat, mask: heat * mask, "array of shape"),
    (
        tumour.pointing_game,
        lambda heat, mask: (
            mask.T[np.unravel_index(heat.argmax(), heat.shape)] > 0
            if heat.shape[0] == heat.shape[1]
            else pointing(heat, mask)
        ),
        "which comes first",
    ),
]


@pytest.mark.parametrize(("check", "answer"), RIGHT)
def test_right_answers_pass(check, answer):
    verdict = check(answer)
    assert verdict.passed, verdict


@pytest.mark.parametrize(("check", "answer", "hint"), WRONG)
def test_wrong_answers_get_their_hint(check, answer, hint):
    verdict = check(answer)
    assert not verdict.passed and hint in verdict.hint


@pytest.mark.parametrize("check", [check for check, _ in RIGHT if check is not tumour.freeze])
def test_placeholders_are_unanswered(check):
    verdict = check(lambda *_: None)
    assert not verdict.passed and UNANSWERED in verdict.hint
    assert check(None).hint == UNANSWERED
