"""Batch normalisation as one operation of TensorFlow, where Keras takes about twenty.

Keras 3 works out mean, variance and result by separate operations in float32, each of which reads
and writes the whole batch; in a small U-Net on a CPU they take as long as the convolutions.
TensorFlow has one operation forward and one backward (``FusedBatchNormV3``), which read bfloat16
and compute in float32. Layers stay Keras' own, and so do models that are saved.
"""

from __future__ import annotations

import functools
import sys

__all__ = ["fuse"]


def fuse() -> None:
    """Let ``keras.layers.BatchNormalization`` compute by one operation on TensorFlow without a GPU.

    The numbers are those of Keras but for rounding. A layer keeps Keras' own way with masks, batch
    renormalisation, statistics of several devices, channels that are not last, tensors of other
    ranks than 4 (images) and 5 (volumes), and types other than float32 and, for images, bfloat16.
    Calling it again changes nothing; without Keras on TensorFlow it does nothing.

    References
    ----------
    .. [1] S. Ioffe, C. Szegedy, "Batch normalization", ICML 2015.
    """
    if "keras" not in sys.modules or sys.modules["keras"].backend.backend() != "tensorflow":
        return
    tensorflow = sys.modules["tensorflow"]
    layer = sys.modules["keras"].layers.BatchNormalization
    if getattr(layer.call, "fused", False) or tensorflow.config.list_physical_devices("GPU"):
        return
    plain = layer.call

    @functools.wraps(plain)
    def call(self, inputs, training=None, mask=None):
        if mask is not None or not _fits(self, inputs):
            return plain(self, inputs, training=training, mask=mask)
        return _normalize(self, inputs, bool(training) and self.trainable)

    call.fused = True
    layer.call = call


def _fits(layer, inputs) -> bool:
    """Tell whether the one operation does what the layer is to do."""
    rank = len(inputs.shape)
    return (
        rank in (4, 5)
        and layer.axis in (-1, rank - 1)
        and inputs.dtype in (("float32", "bfloat16") if rank == 4 else ("float32",))
        and inputs.dtype == layer.compute_dtype
        and not layer.synchronized
        and not getattr(layer, "renorm", False)  # older Keras has none
    )


def _normalize(layer, inputs, training: bool):
    """Return the normalised batch; in training, move the layer's averages towards it."""
    from keras import ops

    tf = sys.modules["tensorflow"]
    mean, variance = layer.moving_mean, layer.moving_variance
    channels = mean.shape[0]
    shape = tf.shape(inputs)
    flat = len(inputs.shape) == 5  # rows and columns of a volume as one axis
    x = tf.reshape(inputs, (shape[0], shape[1], -1, channels)) if flat else inputs
    result, batch_mean, batch_variance = tf.compat.v1.nn.fused_batch_norm(
        x,
        ops.convert_to_tensor(layer.gamma) if layer.scale else tf.ones(channels),
        ops.convert_to_tensor(layer.beta) if layer.center else tf.zeros(channels),
        mean=None if training else ops.convert_to_tensor(mean),
        variance=None if training else ops.convert_to_tensor(variance),
        epsilon=layer.epsilon,
        is_training=training,
    )
    if training:
        count = tf.cast(tf.size(x) // channels, "float32")
        batch_variance *= (count - 1) / count  # the operation divides by one less, Keras by all
        for average, now in ((mean, batch_mean), (variance, batch_variance)):
            average.assign(average * layer.momentum + now * (1 - layer.momentum))
    if flat:
        result = tf.ensure_shape(tf.reshape(result, shape), inputs.shape)
    return result
