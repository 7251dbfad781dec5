"""Batch normalisation by one operation against Keras' own, on the same input."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from course_utils import normalization

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")
pytestmark = [
    pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="about TensorFlow"),
    pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="about the CPU"),
]

RENORM = pytest.mark.skipif(
    "renorm" not in inspect.signature(keras.layers.BatchNormalization).parameters,
    reason="this Keras knows no renormalisation",
)


@pytest.fixture
def ways(monkeypatch):
    """Keras' own way to call the layer and the one operation's, by name."""
    layer = keras.layers.BatchNormalization
    own = getattr(layer.call, "__wrapped__", layer.call)
    monkeypatch.setattr(layer, "call", own)
    normalization.fuse()
    return {"own": own, "fused": layer.call}


def outcome(way, shape, *, policy="float32", training=True, frozen=False, **how) -> dict:
    """Call a layer in one of the ways: its result, gradients and weights afterwards."""
    rng = np.random.default_rng(0)
    layer = keras.layers.BatchNormalization(momentum=0.9, dtype=policy, **how)
    keras.layers.BatchNormalization.call = way
    layer.build(shape)
    for weight in layer.weights:
        weight.assign(rng.uniform(0.5, 2, weight.shape))
    layer.trainable = not frozen
    x = tf.Variable(rng.normal(3, 2, shape).astype("float32"))
    towards = rng.normal(0, 1, shape).astype("float32")
    with tf.GradientTape() as tape:
        y = layer(tf.cast(x, layer.compute_dtype), training=training)
        loss = tf.reduce_sum(tf.cast(y, "float32") * towards)
    trained = [weight.value for weight in layer.trainable_weights]
    found = [y, *tape.gradient(loss, [x, *trained]), *(weight.value for weight in layer.weights)]
    return {"type": y.dtype, "values": [tf.cast(part, "float32").numpy() for part in found]}


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("shape", [(4, 6, 5, 7), (4, 6, 5, 1), (2, 5, 4, 3, 6)])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("how", [{}, {"scale": False}, {"center": False}, {"frozen": True}])
def test_results_gradients_and_averages_are_those_of_keras(ways, policy, shape, training, how):
    own, fused = (
        outcome(way, shape, policy=policy, training=training, **how) for way in ways.values()
    )
    assert own["type"] == fused["type"]
    assert len(own["values"]) == len(fused["values"])
    step = 2**-7 if own["type"] == "bfloat16" else 0  # what a result may be rounded by
    for k, (one, other) in enumerate(zip(own["values"], fused["values"])):
        rounded = step * np.abs(one) if k < 2 else 0  # the result and the gradient of the inputs
        assert np.all(np.abs(one - other) <= rounded + 1e-5 * np.abs(one).max())


@pytest.mark.parametrize("shape", [(None, None, None, 3), (None, 8, 4, 6, 3)])
def test_a_network_of_it_compiles_learns_and_is_kept_as_keras_own(ways, shape, tmp_path):
    losses = {}
    x = np.random.default_rng(1).normal(2, 3, (6, *(side or 8 for side in shape[1:])))
    for name, way in ways.items():
        keras.layers.BatchNormalization.call = way
        keras.utils.set_random_seed(0)
        inputs = keras.Input(shape[1:])
        network = keras.Model(inputs, keras.layers.BatchNormalization()(inputs))
        network.compile(keras.optimizers.SGD(0.01), "mse")
        assert network.output_shape == shape
        fit = network.fit(x, x, batch_size=4, epochs=3, shuffle=False, verbose=0)
        losses[name] = [*fit.history["loss"], network.evaluate(x, x, verbose=0)]
        network.save(tmp_path / f"{name}.keras")
    assert losses["fused"] == pytest.approx(losses["own"], rel=1e-5)
    keras.layers.BatchNormalization.call = ways["own"]
    again = keras.models.load_model(tmp_path / "fused.keras")
    assert again.evaluate(x, x, verbose=0) == pytest.approx(losses["own"][-1], rel=1e-5)


def operations(way, shape, mask=None, **how) -> set[str]:
    """Return the names of the operations that a layer is made of."""
    keras.layers.BatchNormalization.call = way
    layer = keras.layers.BatchNormalization(**how)
    layer.build(shape)
    traced = tf.function(lambda x: layer(x, training=True, mask=mask))
    graph = traced.get_concrete_function(tf.TensorSpec(shape, layer.compute_dtype)).graph
    return {operation.type for operation in graph.get_operations()}


@pytest.mark.parametrize(
    ("shape", "how"),
    [
        ((4, 7), {}),
        ((4, 6, 7), {}),
        ((4, 6, 5, 7), {"axis": 1}),
        ((4, 6, 5, 7), {"dtype": "float16"}),
        ((4, 6, 5, 7), {"dtype": "float64"}),
        ((2, 5, 4, 3, 6), {"dtype": "mixed_bfloat16"}),  # slower
        pytest.param((4, 6, 5, 7), {"renorm": True}, marks=RENORM),
        ((4, 6, 5, 7), {"synchronized": True}),
        ((4, 6, 5, 7), {"mask": np.ones((4, 6, 5), bool)}),
    ],
)
def test_what_the_operation_does_not_do_is_left_to_keras(ways, shape, how):
    assert operations(ways["fused"], shape, **how) == operations(ways["own"], shape, **how)


def test_it_is_one_operation(ways):
    assert "FusedBatchNormV3" in operations(ways["fused"], (4, 6, 5, 7))
    assert "FusedBatchNormV3" not in operations(ways["own"], (4, 6, 5, 7))


def test_a_layer_of_an_older_keras_has_no_renormalisation(ways):
    def call(layer, inputs, training=None, mask=None):
        vars(layer).pop("renorm", None)
        return ways["fused"](layer, inputs, training=training, mask=mask)

    assert "FusedBatchNormV3" in operations(call, (4, 6, 5, 7))


def test_calling_it_again_changes_nothing(ways):
    normalization.fuse()
    keras.layers.BatchNormalization.call = ways["fused"]
    normalization.fuse()
    assert keras.layers.BatchNormalization.call is ways["fused"]
