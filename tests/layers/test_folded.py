"""Convolutions as one matrix product: the same numbers and gradients as Keras' own, and chosen where there are few positions."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from ganzoo.exporting import portable
from ganzoo.layers import FoldedConv2D, FoldedConv2DTranspose, folded

PAIRS = ((FoldedConv2D, keras.layers.Conv2D), (FoldedConv2DTranspose, keras.layers.Conv2DTranspose))
sides = st.integers(1, 6)


def operations(layer, shape):
    """The types of operations of a traced call, of float32 pictures of a shape."""
    call = tf.function(layer).get_concrete_function(tf.TensorSpec(shape, tf.float32))
    return {operation.type for operation in call.graph.get_operations()}


def numbers(layer, x, weight):
    """Of the sum of the output times `weight`: the output and the gradients of input, kernel and bias."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
        total = tf.reduce_sum(tf.cast(y, tf.float32) * weight(y.shape))
    return [y, *tape.gradient(total, [x, layer.kernel.value, layer.bias.value])]


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)), stride=st.integers(1, 3), size=st.tuples(sides, sides),
    padding=st.sampled_from(["same", "valid"]), seed=st.integers(0, 99),
)  # fmt: skip
def test_numbers_and_gradients_are_those_of_keras(ours, theirs, kernel, stride, size, padding, seed):
    if ours is FoldedConv2D and padding == "valid":
        size = tuple(max(pair) for pair in zip(size, kernel, strict=True))
    rng = np.random.default_rng(seed)
    x = tf.constant(rng.normal(size=(2, *size, 3)), tf.float32)
    options = {"strides": stride, "padding": padding, "activation": "tanh"}
    layers = [layer(4, kernel, **options) for layer in (ours, theirs)]
    for layer in layers:
        layer.build(x.shape)
    weights = [rng.normal(size=w.shape).astype("float32") / 5 for w in layers[0].weights]
    for layer in layers:
        layer.set_weights(weights)

    def weight(shape):
        return tf.constant(np.random.default_rng(1).normal(size=shape), tf.float32)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folded, "NUMBERS_A_POSITION", 0)
        made = numbers(layers[0], x, weight)
    for ours_, theirs_ in zip(made, numbers(layers[1], x, weight), strict=True):
        assert ours_.shape == theirs_.shape
        np.testing.assert_allclose(ours_, theirs_, rtol=0, atol=1e-6 * max(1.0, float(tf.reduce_max(tf.abs(theirs_)))))


def test_few_positions_are_one_product_and_many_are_a_convolution():
    down, up = FoldedConv2D(512, 4, 2, "same"), FoldedConv2DTranspose(512, 4, 2, "same")
    down.build((None, None, None, 512))
    up.build((None, None, None, 512))  # 2^22 numbers: 64 positions
    assert "MatMul" in operations(down, [1, 16, 16, 512])  # 8 x 8 of the output count
    assert "MatMul" in operations(up, [1, 8, 8, 512])
    for layer, shape in (
        (down, [2, 16, 16, 512]),
        (up, [1, 8, 9, 512]),
        (down, [None, 2, 2, 512]),
        (up, [1, None, 2, 512]),
    ):
        assert "MatMul" not in operations(layer, shape)


def test_a_gpu_keeps_its_own_kernels(monkeypatch):
    layer = FoldedConv2D(512, 4, 2, "same")
    layer.build((None, None, None, 512))
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: ["GPU:0"] if kind == "GPU" else [])
    assert "MatMul" not in operations(layer, [1, 2, 2, 512])


def test_exports_hold_the_convolution():
    layer = FoldedConv2DTranspose(512, 4, 2, "same")
    layer.build((None, None, None, 512))
    inputs = {"x": tf.TensorSpec([1, 1, 1, 512], tf.float32)}
    frozen = portable.freeze(lambda x: {"y": layer(x)}, inputs).call.get_concrete_function(*inputs.values())
    functions = [frozen.graph, *(f.graph for f in frozen.graph._functions.values() if hasattr(f, "graph"))]
    types = {operation.type for graph in functions for operation in graph.get_operations()}
    assert "MatMul" not in types
    x = tf.random.stateless_normal([1, 1, 1, 512], (0, 1))
    np.testing.assert_allclose(portable.freeze(lambda x: {"y": layer(x)}, inputs).call(x)["y"], layer(x), atol=1e-5)


@pytest.mark.parametrize("ours", [pair[0] for pair in PAIRS])
def test_bfloat16_rounds_once_more_at_most(ours):
    layer, exact = (ours(512, 4, 2, "same", dtype=policy) for policy in ("mixed_bfloat16", "float32"))
    x = tf.random.stateless_normal([1, 2, 2, 512], (0, 1))
    exact.build(x.shape)
    layer.build(x.shape)
    layer.set_weights(exact.get_weights())
    y = layer(x)
    assert y.dtype == tf.bfloat16
    assert "MatMul" in operations(layer, x.shape)
    np.testing.assert_allclose(tf.cast(y, tf.float32), exact(x), atol=0.02 * float(tf.reduce_max(tf.abs(exact(x)))))


def test_a_layer_keeps_its_arguments():
    for ours, _ in PAIRS:
        layer = ours(3, (4, 5), 2, "same", use_bias=False, name="a")
        again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
        assert type(again) is ours
        assert again.get_config() == layer.get_config()
