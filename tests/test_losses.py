"""The losses against numpy on random inputs, and their slopes where fractions and roots break."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from course_utils import losses
from course_utils.errors import ParameterError

keras = pytest.importorskip("keras")

SHAPE = (3, 5, 4, 2)
OVERLAP_LOSSES = [losses.dice_loss, losses.tversky, losses.focal_tversky]
WEIGHTED_LOSSES = [losses.weighted_binary_crossentropy, losses.weighted_categorical_crossentropy]


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, SHAPE).astype("float32")
    return truth, rng.uniform(0.05, 0.95, SHAPE).astype("float32")


def to_numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def slope(loss, truth, prediction):
    """Return the gradient of the mean loss by the prediction, on whichever backend is in use."""
    if keras.backend.backend() == "torch":
        import torch

        tensor = torch.tensor(prediction, requires_grad=True)
        loss(torch.tensor(truth), tensor).mean().backward()
        return tensor.grad.numpy()
    tf = pytest.importorskip("tensorflow")
    tensor = tf.Variable(prediction)
    with tf.GradientTape() as tape:
        mean = tf.reduce_mean(loss(tf.constant(truth), tensor))
    return tape.gradient(mean, tensor).numpy()


def plain_tversky(truth, prediction, alpha, beta, smooth):
    tp = (truth * prediction).sum((1, 2, 3))
    fn = truth.sum((1, 2, 3)) - tp
    fp = prediction.sum((1, 2, 3)) - tp
    return 1 - (tp + smooth) / (tp + alpha * fn + beta * fp + smooth)


def test_dice_loss_agrees_with_its_formula(batch):
    truth, prediction = batch
    both, total = (truth * prediction).sum((1, 2, 3)), (truth + prediction).sum((1, 2, 3))
    expected = 1 - (2 * both + 1) / (total + 1)
    np.testing.assert_allclose(to_numpy(losses.dice_loss(*batch)), expected, rtol=1e-5)


def test_dice_loss_agrees_with_keras_and_monai(batch):
    truth, prediction = batch
    ours = to_numpy(losses.dice_loss(truth, prediction, smooth=1e-7))
    theirs = to_numpy(keras.losses.dice(truth, prediction, axis=(1, 2, 3)))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    torch, monai = pytest.importorskip("torch"), pytest.importorskip("monai.losses")
    flat = [torch.tensor(array.reshape(3, 1, -1)) for array in (prediction, truth)]
    loss = monai.TverskyLoss(alpha=0.3, beta=0.7, smooth_nr=1, smooth_dr=1, reduction="none")
    ours = to_numpy(losses.tversky(truth, prediction))
    np.testing.assert_allclose(ours, loss(*flat).numpy().ravel(), rtol=1e-5)


@pytest.mark.parametrize(("alpha", "beta"), [(0.7, 0.3), (1.0, 1.0), (0.1, 0.9)])
def test_tversky_and_focal_tversky_agree_with_their_formulas(batch, alpha, beta):
    expected = plain_tversky(*batch, alpha, beta, 1.0)
    np.testing.assert_allclose(
        to_numpy(losses.tversky(*batch, alpha=alpha, beta=beta)), expected, rtol=1e-5
    )
    np.testing.assert_allclose(
        to_numpy(losses.focal_tversky(*batch, alpha=alpha, beta=beta)), expected**0.75, rtol=1e-5
    )


def test_alpha_is_the_price_of_a_miss():
    truth, half = np.array([[1.0, 1.0, 0.0]]), np.array([[1.0, 0.0, 0.0]])
    cheap, dear = (to_numpy(losses.tversky(truth, half, alpha=a))[0] for a in (0.3, 0.7))
    assert cheap < dear


@pytest.mark.parametrize("loss", OVERLAP_LOSSES)
@pytest.mark.parametrize("filling", [0.0, 1.0])
def test_perfect_predictions_cost_nothing_and_keep_a_finite_slope(loss, filling):
    truth = np.full(SHAPE, filling, "float32")
    np.testing.assert_allclose(to_numpy(loss(truth, truth)), 0, atol=1e-5)
    assert np.isfinite(slope(loss, truth, truth)).all()


@pytest.mark.parametrize("loss", OVERLAP_LOSSES)
@pytest.mark.parametrize("filling", [0.0, 1.0])
def test_slopes_are_finite_when_all_is_wrong(loss, filling):
    truth = np.full(SHAPE, filling, "float32")
    assert (to_numpy(loss(truth, 1 - truth)) > 0.8).all()
    found = slope(loss, truth, 1 - truth)
    assert np.isfinite(found).all()
    assert np.all(found < 0 if filling else found > 0)  # downhill leads towards the truth


def test_focal_slope_is_finite_next_to_a_perfect_prediction():
    truth = np.ones(SHAPE, "float32")
    assert np.isfinite(slope(losses.focal_tversky, truth, truth * np.float32(1 - 1e-6))).all()


def with_weight(truth, weight):
    return np.concatenate([truth, weight], axis=-1).astype("float32")


def test_weighted_binary_crossentropy_agrees_with_scikit_learn(batch):
    from sklearn.metrics import log_loss

    truth, prediction = batch[0][..., :1], batch[1][..., :1]
    weight = np.random.default_rng(1).uniform(0, 5, truth.shape)
    ours = to_numpy(losses.weighted_binary_crossentropy(with_weight(truth, weight), prediction))
    for case in range(len(truth)):
        expected = log_loss(
            truth[case].ravel(), prediction[case].ravel(), sample_weight=weight[case].ravel()
        )
        assert ours[case] == pytest.approx(expected, rel=1e-4)


def test_weighted_categorical_crossentropy_agrees_with_numpy(batch):
    classes = np.random.default_rng(2).integers(0, 2, SHAPE[:3])
    truth, prediction = np.eye(2)[classes], batch[1] / batch[1].sum(-1, keepdims=True)
    weight = np.random.default_rng(3).uniform(0, 5, (*SHAPE[:3], 1))
    nats = -np.log(np.take_along_axis(prediction, classes[..., None], -1))
    expected = (nats * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3))
    ours = losses.weighted_categorical_crossentropy(with_weight(truth, weight), prediction)
    np.testing.assert_allclose(to_numpy(ours), expected, rtol=1e-5)


def test_logits_and_probabilities_give_one_loss(batch):
    logits = np.log(batch[1] / (1 - batch[1]))
    truth = with_weight(batch[0], np.ones((*SHAPE[:3], 1)))
    np.testing.assert_allclose(
        to_numpy(losses.weighted_binary_crossentropy(truth, logits, from_logits=True)),
        to_numpy(losses.weighted_binary_crossentropy(truth, batch[1])),
        rtol=1e-4,
    )


@pytest.mark.parametrize("loss", WEIGHTED_LOSSES)
@pytest.mark.parametrize("right", [True, False])
def test_weighted_slopes_are_finite_at_certain_predictions(loss, right):
    truth = np.eye(2, dtype="float32")[np.random.default_rng(2).integers(0, 2, SHAPE[:3])]
    stacked = with_weight(truth, np.ones((*SHAPE[:3], 1)))
    prediction = truth if right else 1 - truth
    assert np.isfinite(to_numpy(loss(stacked, prediction))).all()
    assert np.isfinite(slope(loss, stacked, prediction)).all()


@pytest.mark.parametrize("loss", WEIGHTED_LOSSES)
def test_pixels_without_weight_do_not_count(loss, batch):
    nothing = with_weight(batch[0], np.zeros((*SHAPE[:3], 1)))
    np.testing.assert_array_equal(to_numpy(loss(nothing, batch[1])), 0)


@pytest.mark.parametrize("loss", WEIGHTED_LOSSES)
def test_a_forgotten_weight_channel_is_named(loss, batch):
    with pytest.raises(ParameterError, match=r"needs 3 channels .* found 2: append the weight map"):
        loss(*batch)


def test_losses_can_be_compiled_also_with_other_settings(batch):
    truth, prediction = batch
    model = keras.Sequential([keras.Input(SHAPE[1:]), keras.layers.Dense(2, "sigmoid")])
    for loss in (losses.focal_tversky, partial(losses.tversky, alpha=0.9, beta=0.1)):
        model.compile(optimizer="sgd", loss=loss)
        assert np.isfinite(model.train_on_batch(prediction, truth))
    model.compile(optimizer="sgd", loss=losses.weighted_binary_crossentropy)
    weighted = with_weight(truth, np.ones((*SHAPE[:3], 1)))
    assert np.isfinite(model.train_on_batch(prediction, weighted))


def test_half_precision_predictions_are_summed_in_32_bits():
    truth = np.ones((1, 300, 300, 1), "float16")  # 90,000 pixels overflow 16 bits
    assert float(to_numpy(losses.dice_loss(truth, truth))[0]) == 0.0
