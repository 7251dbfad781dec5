"""What a step must cost: the operations of a network, and the rate at which this machine does them.

Only multiplications and additions of convolutions and dense layers are counted; everything else
(normalisation, activations, copies) is what a step costs on top. A training step is three times a
forward pass: forward, the gradient of the inputs and the gradient of the weights.
"""

from __future__ import annotations

import math
import time

import numpy as np

from course_utils import backend

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
    """Return the operations a second of square matrix products in ``dtype``, the best of some.

    Measured on the Keras backend in use, with as many products as there are processors: where it
    gives each operation one thread, they run side by side.
    """
    import keras
    from keras import ops

    number = backend.processors()
    values = np.random.default_rng(0).normal(size=(number, side, side)).astype("float32")
    matrices = [ops.cast(ops.convert_to_tensor(one), dtype) for one in values]

    def products():
        return [ops.cast(ops.matmul(one, one)[:1, :1], "float32") for one in matrices]

    if keras.backend.backend() == "tensorflow":
        import tensorflow

        products = tensorflow.function(products)
    best = math.inf
    for _ in range(tries):
        began = time.perf_counter()
        for product in products():
            ops.convert_to_numpy(product)  # waits until it is done
        best = min(best, time.perf_counter() - began)
    return number * 2 * side**3 / best
