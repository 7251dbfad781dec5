"""Losses for segmentation, in Keras 3's backend-neutral operations.

Each takes the truth and the prediction of a batch and returns one number a case, so that it can be
worked by hand on a tiny array and handed to ``model.compile(loss=...)`` alike; Keras then takes the
mean over the batch. Arrays have axes (case, y, x, channel) or (case, z, y, x, channel), predictions
are probabilities unless said otherwise. Everything is computed in 32 bits, whatever the precision
of the network. Other settings than the defaults: ``functools.partial(tversky, alpha=0.9)``.
"""

from __future__ import annotations

from typing import Any

from .errors import ParameterError

Tensor = Any
"""What the Keras backend in use calls a tensor; numpy arrays will do."""

SMALLEST = 1e-7
"""Below it a loss has no slope: keeps the slope of a root finite at a perfect prediction."""


def dice_loss(truth: Tensor, prediction: Tensor, smooth: float = 1.0) -> Tensor:
    """Return 1 - soft Dice of each case, over all its pixels and channels together.

    Parameters
    ----------
    truth, prediction : tensor, shape (case, ..., channel)
        Masks of 0 and 1, and probabilities.
    smooth : float
        Added above and below the fraction; with it a case without object costs nothing when
        nothing is predicted.

    Returns
    -------
    tensor of float32, shape (case,)
        0 for a perfect prediction, towards 1 for a useless one.

    References
    ----------
    F. Milletari, N. Navab, S.-A. Ahmadi, "V-Net", 3DV 2016 (without the squares in its
    denominator).

    Examples
    --------
    >>> import numpy as np
    >>> truth, prediction = np.array([[1, 1, 0, 0]]), np.array([[1.0, 0.5, 0.5, 0.0]])
    >>> float(dice_loss(truth, prediction, smooth=0)[0])  # 1 - 2 * 1.5 / (2 + 2)
    0.25
    """
    return tversky(truth, prediction, alpha=0.5, beta=0.5, smooth=smooth / 2)


def tversky(
    truth: Tensor,
    prediction: Tensor,
    alpha: float = 0.7,
    beta: float = 0.3,
    smooth: float = 1.0,
) -> Tensor:
    """Return 1 - Tversky index of each case: a Dice loss that can weigh misses and extras.

    The index is TP / (TP + alpha FN + beta FP), each a sum of probabilities over all pixels and
    channels. ``alpha = beta = 0.5`` gives Dice, ``alpha = beta = 1`` gives IoU.

    Parameters
    ----------
    truth, prediction : tensor, shape (case, ..., channel)
        Masks of 0 and 1, and probabilities.
    alpha, beta : float
        Price of what is missed, and of what is predicted too much.
    smooth : float
        Added above and below the fraction.

    Returns
    -------
    tensor of float32, shape (case,)
        0 for a perfect prediction, towards 1 for a useless one.

    References
    ----------
    S. S. M. Salehi, D. Erdogmus, A. Gholipour, "Tversky loss function for image segmentation",
    MLMI 2017 (there alpha is the price of false positives).

    Examples
    --------
    >>> import numpy as np
    >>> truth, prediction = np.array([[1, 1, 0, 0]]), np.array([[1.0, 0.0, 0.0, 0.0]])
    >>> round(float(tversky(truth, prediction, smooth=0)[0]), 4)  # 1 - 1 / (1 + 0.7)
    0.4118
    """
    from keras import ops

    truth, prediction = ops.cast(truth, "float32"), ops.cast(prediction, "float32")
    pixels = tuple(range(1, len(truth.shape)))
    tp = ops.sum(truth * prediction, axis=pixels)
    fn = ops.sum(truth * (1 - prediction), axis=pixels)
    fp = ops.sum((1 - truth) * prediction, axis=pixels)
    return 1 - (tp + smooth) / (tp + alpha * fn + beta * fp + smooth)


def focal_tversky(
    truth: Tensor,
    prediction: Tensor,
    alpha: float = 0.7,
    beta: float = 0.3,
    gamma: float = 4 / 3,
    smooth: float = 1.0,
) -> Tensor:
    """Return the Tversky loss to the power of ``1 / gamma``: what is nearly right still counts.

    Parameters
    ----------
    truth, prediction : tensor, shape (case, ..., channel)
        Masks of 0 and 1, and probabilities.
    alpha, beta, smooth : float
        As for `tversky`.
    gamma : float
        Between 1 (plain Tversky) and 3. Many published copies write the exponent itself, 0.75.

    Returns
    -------
    tensor of float32, shape (case,)
        0 (up to rounding) for a perfect prediction, towards 1 for a useless one. The slope of
        the root is infinite at 0; below `SMALLEST` the loss is held flat instead.

    References
    ----------
    N. Abraham, N. M. Khan, "A novel focal Tversky loss function with improved attention U-Net for
    lesion segmentation", ISBI 2019.

    Examples
    --------
    >>> import numpy as np
    >>> truth, prediction = np.array([[1, 1, 0, 0]]), np.array([[1.0, 0.0, 0.0, 0.0]])
    >>> round(float(focal_tversky(truth, prediction, smooth=0)[0]), 4)  # 0.4118 ** 0.75
    0.514
    """
    from keras import ops

    loss = tversky(truth, prediction, alpha, beta, smooth)
    return ops.power(ops.maximum(loss, SMALLEST), 1 / gamma)


def weighted_binary_crossentropy(
    truth_and_weight: Tensor, prediction: Tensor, from_logits: bool = False
) -> Tensor:
    """Return the binary cross-entropy of each case as a weighted mean over its pixels.

    The weight of each pixel travels as one more channel behind the truth, because Keras hands a
    loss two arrays. That is how a narrow background between two nuclei can be made to count.

    Parameters
    ----------
    truth_and_weight : tensor, shape (case, ..., channel + 1)
        Masks of 0 and 1, then the weight, at least 0.
    prediction : tensor, shape (case, ..., channel)
        Probabilities, or logits.
    from_logits : bool
        Whether `prediction` is still before its sigmoid.

    Returns
    -------
    tensor of float32, shape (case,)
        In nats; 0 for a case whose weights are all 0.

    Raises
    ------
    ParameterError
        When `truth_and_weight` has not exactly one channel more than `prediction`.

    References
    ----------
    O. Ronneberger, P. Fischer, T. Brox, "U-Net", MICCAI 2015, equation 1 (there a sum; divided
    by the sum of weights here, so that losses with different weights can be compared).

    Examples
    --------
    >>> import numpy as np
    >>> truth_and_weight = np.array([[[1, 3.0], [0, 1.0]]])  # one case, two pixels
    >>> prediction = np.array([[[0.5], [0.9]]])
    >>> round(float(weighted_binary_crossentropy(truth_and_weight, prediction)[0]), 3)
    1.096
    """
    from keras import ops

    truth, weight, prediction = _split_weight(truth_and_weight, prediction)
    loss = ops.mean(ops.binary_crossentropy(truth, prediction, from_logits), axis=-1)
    return _weighted_mean(loss, weight)


def weighted_categorical_crossentropy(
    truth_and_weight: Tensor, prediction: Tensor, from_logits: bool = False
) -> Tensor:
    """Return the cross-entropy over classes of each case as a weighted mean over its pixels.

    Parameters
    ----------
    truth_and_weight : tensor, shape (case, ..., class + 1)
        One channel a class, 1 where the pixel is of that class, then the weight, at least 0.
    prediction : tensor, shape (case, ..., class)
        Probabilities that sum to 1 over the classes, or logits.
    from_logits : bool
        Whether `prediction` is still before its softmax.

    Returns
    -------
    tensor of float32, shape (case,)
        In nats; 0 for a case whose weights are all 0.

    Raises
    ------
    ParameterError
        When `truth_and_weight` has not exactly one channel more than `prediction`.

    Examples
    --------
    >>> import numpy as np
    >>> truth_and_weight = np.array([[[1, 0, 0, 3.0], [0, 0, 1, 1.0]]])  # two pixels
    >>> prediction = np.array([[[0.5, 0.25, 0.25], [0.8, 0.1, 0.1]]])
    >>> round(float(weighted_categorical_crossentropy(truth_and_weight, prediction)[0]), 3)
    1.096
    """
    from keras import ops

    truth, weight, prediction = _split_weight(truth_and_weight, prediction)
    loss = ops.categorical_crossentropy(truth, prediction, from_logits=from_logits)
    return _weighted_mean(loss, weight)


def _split_weight(truth_and_weight: Tensor, prediction: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return truth (case, ..., channel), weight (case, ...) and prediction, all in 32 bits."""
    from keras import ops

    found, expected = truth_and_weight.shape[-1], prediction.shape[-1] + 1
    if found != expected:
        raise ParameterError(
            f"the truth needs {expected} channels ({expected - 1} as predicted, one of weights), "
            f"found {found}: append the weight map as its last channel"
        )
    both = ops.cast(truth_and_weight, "float32")
    return both[..., :-1], both[..., -1], ops.cast(prediction, "float32")


def _weighted_mean(loss: Tensor, weight: Tensor) -> Tensor:
    """Return the weighted mean over the pixels of each case, from (case, ...) to (case,)."""
    from keras import ops

    pixels = tuple(range(1, len(loss.shape)))
    total = ops.sum(weight, axis=pixels)
    return ops.sum(loss * weight, axis=pixels) / ops.maximum(total, SMALLEST)
