"""ResizeConv2D: the numbers and gradients of doubling and convolving, in one transposed convolution."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ganzoo.exporting import portable
from ganzoo.layers import ResizeConv2D, folded


def doubled(x):
    return tf.repeat(tf.repeat(x, 2, axis=1), 2, axis=2)


def numbers(call, x, layer):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = call(x)
        total = tf.reduce_sum(y * tf.random.stateless_normal(y.shape, (0, 1)))
    return [y, *tape.gradient(total, [x, layer.kernel.value, layer.bias.value])]


@pytest.mark.parametrize("numbers_a_position", [0, 2**16])  # a matrix product, and a convolution
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (8, 8)])
def test_numbers_and_gradients_are_those_of_doubling_and_convolving(size, numbers_a_position, monkeypatch):
    monkeypatch.setattr(folded, "NUMBERS_A_POSITION", numbers_a_position)
    ours, theirs = ResizeConv2D(4), keras.layers.Conv2D(4, 3, padding="same")
    x = tf.random.stateless_normal([2, *size, 3], (1, 2))
    assert ours(x).shape == ours.compute_output_shape(x.shape) == (2, 2 * size[0], 2 * size[1], 4)
    theirs.build(x.shape)
    weights = [tf.random.stateless_normal(w.shape, (3, 4)) for w in theirs.weights]
    ours.set_weights(weights)
    theirs.set_weights(weights)
    made, wanted = numbers(ours, x, ours), numbers(lambda x: theirs(doubled(x)), x, theirs)
    for ours_, theirs_ in zip(made, wanted, strict=True):
        np.testing.assert_allclose(ours_, theirs_, rtol=0, atol=1e-6 * max(1.0, float(tf.reduce_max(tf.abs(theirs_)))))


def test_equal_weights_leave_no_grid_where_a_transposed_convolution_does():
    """A flat map under any weights: flat inside, and of kernel 3 and stride 2 a grid."""
    flat = tf.ones([1, 6, 6, 2])
    resize = ResizeConv2D(1)(flat)[0, 1:-1, 1:-1]
    transposed = keras.layers.Conv2DTranspose(1, 3, 2, "same", kernel_initializer="ones")(flat)[0, 1:-1, 1:-1]
    assert float(tf.math.reduce_std(resize)) < 1e-6
    assert float(tf.math.reduce_std(transposed)) > 0.5


def test_sizes_that_are_not_known_are_taken():
    layer = ResizeConv2D(4)
    network = keras.Sequential([keras.Input((None, None, 3)), layer])
    assert network.output_shape == (None, None, None, 4)
    assert network(tf.zeros([2, 5, 7, 3])).shape == (2, 10, 14, 4)


def test_exports_hold_one_convolution():
    layer = ResizeConv2D(4)
    x = tf.random.stateless_normal([1, 4, 4, 3], (0, 1))
    expected = layer(x)
    frozen = portable.freeze(lambda x: {"y": layer(x)}, {"x": tf.TensorSpec([1, 4, 4, 3], tf.float32)})
    np.testing.assert_allclose(frozen.call(x)["y"], expected, atol=1e-5)


def test_a_layer_keeps_its_arguments():
    layer = ResizeConv2D(3, use_bias=False, name="a")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(again) is ResizeConv2D
    assert again.get_config() == layer.get_config()


@pytest.mark.parametrize("wrong", [{"kernel_size": 5}, {"strides": 2}, {"padding": "valid"}, {"groups": 2}])
def test_another_kernel_is_named(wrong):
    with pytest.raises(ValueError, match="kernel of 3x3"):
        ResizeConv2D(4, **wrong)
