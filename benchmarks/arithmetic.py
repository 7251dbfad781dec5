"""What a step must cost: the operations of a network, and the rate at which this machine does them.

Only multiplications and additions of convolutions and dense layers are counted; everything else
(normalisation, activations, copies) is what a step costs on top. A training step is three times a
forward pass: forward, the gradient of the inputs and the gradient of the weights.
"""

from __future__ import annotations

import math
import time

import numpy as np

TRAINING = 3


def operations(model, batch: int, shape: tuple[int, ...]) -> int:
    """Return the operations of one training step of a Keras model (a multiplication counts as one).

    Parameters
    ----------
    model
        A functional ``keras.Model`` of convolutions and dense layers.
    batch
        Cases in a batch.
    shape
        Of one case, such as (rows, columns, channels): the model's own input may leave it open.
    """
    import keras

    if None in model.input_shape[1:]:
        model = keras.models.clone_model(model, input_tensors=keras.Input(shape))
    return TRAINING * batch * _forward(model)


def _forward(model) -> int:
    """Return the operations of one forward pass of one case; a model may hold others."""
    import keras

    total = 0
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            total += _forward(layer)
        elif isinstance(layer, (keras.layers.Dense, keras.layers.Conv2D, keras.layers.Conv3D)):
            total += 2 * math.prod(layer.kernel.shape) * math.prod(layer.output.shape[1:-1])
    return total


def matrix_rate(dtype: str, side: int = 2048, tries: int = 7) -> float:
    """Return the operations a second of one square matrix product in ``dtype``, the best of some.

    Measured on the Keras backend in use, which spreads it over the cores as it does a convolution.
    """
    from keras import ops

    values = np.random.default_rng(0).normal(size=(side, side)).astype("float32")
    matrix = ops.cast(ops.convert_to_tensor(values), dtype)
    best = math.inf
    for _ in range(tries):
        began = time.perf_counter()
        product = ops.matmul(matrix, matrix)
        ops.convert_to_numpy(ops.cast(product[:1, :1], "float32"))  # waits until it is done
        best = min(best, time.perf_counter() - began)
    return 2 * side**3 / best
