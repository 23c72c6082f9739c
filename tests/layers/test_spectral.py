"""Spectral normalisation, class-conditional layers and self-attention against numbers worked out by hand or by NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ganzoo.devices import strategies
from ganzoo.layers import (
    Attend,
    BatchNorm,
    EqualizedConv2D,
    Gated,
    Modulate,
    OneHot,
    Part,
    SpectralConv2D,
    SpectralDense,
    SpectralTable,
    SumOfPlaces,
    Zeroed,
    normalization,
)
from ganzoo.layers.resampling import convolve


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


@pytest.mark.parametrize(
    "layer",
    [
        SpectralDense(3, use_bias=False, epsilon=1e-3, spectral=False, kernel_initializer="ones", name="a"),
        SpectralTable(4, epsilon=1e-4, name="b"),
        SpectralConv2D(5, kernel_size=1, resample="up", bias_constraint=Zeroed(), name="c"),
        OneHot(7, name="d"),
        Modulate(name="e"),
        Attend(name="f"),
        Gated(name="g"),
        Part(2, 3, name="i"),
        SumOfPlaces(name="j"),
        BatchNorm(affine=False, name="h"),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_a_layer_keeps_its_arguments(layer):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(again) is type(layer)
    assert again.get_config() == layer.get_config()


def dense(kernel, u, **options):
    layer = SpectralDense(kernel.shape[1], **options)
    layer.build((None, kernel.shape[0]))
    layer.kernel.assign(kernel)
    layer.u.assign(u)
    return layer


def test_one_iteration_by_hand():
    """W = diag(3, 1) as rows, u = (0.6, 0.8): u W = (1.8, 0.8), v is that by its length, W v = (5.4, 0.8) / |(1.8, 0.8)|."""
    layer = dense(np.diag([3.0, 1.0]), [0.6, 0.8], use_bias=False)
    sigma = np.hypot(5.4, 0.8) / np.hypot(1.8, 0.8)
    x = np.eye(2, dtype="float32")
    np.testing.assert_allclose(layer(x, training=False), np.diag([3.0, 1.0]) / sigma, rtol=1e-6)
    np.testing.assert_array_equal(layer.u, np.float32([0.6, 0.8]))  # in evaluation nothing is kept
    np.testing.assert_allclose(layer(x, training=True), np.diag([3.0, 1.0]) / sigma, rtol=1e-6)
    np.testing.assert_allclose(layer.u, np.array([5.4, 0.8]) / np.hypot(5.4, 0.8), rtol=1e-6)
    assert not layer.u.trainable


def test_many_iterations_find_the_largest_singular_value():
    kernel = drawn(6, 4)
    layer = dense(kernel, drawn(4), use_bias=False)
    for _ in range(60):
        layer(drawn(1, 6), training=True)
    np.testing.assert_allclose(
        layer(np.eye(6, dtype="float32")), kernel / np.linalg.svd(kernel, compute_uv=False)[0], rtol=1e-4, atol=1e-6
    )


def test_gradients_flow_through_the_weights_in_sigma_too_and_not_through_u_and_v():
    """d(W / sigma) with sigma = v^T W u, whose derivative is v u^T at fixed u and v."""
    kernel, u, x, seen = drawn(5, 3), drawn(3, seed=1), drawn(4, 5, seed=2), drawn(4, 3, seed=3)
    layer = dense(kernel, u, use_bias=False)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(x, training=True) * seen)
    v = kernel @ u
    v /= np.linalg.norm(v)
    new = kernel.T @ v
    new /= np.linalg.norm(new)
    sigma = v @ kernel @ new
    of = x.T @ seen  # of the divided kernel
    expected = of / sigma - np.sum(of * kernel) / sigma**2 * np.outer(v, new)
    np.testing.assert_allclose(tape.gradient(loss, layer.kernel.value), expected, rtol=1e-4, atol=1e-5)


def test_epsilon_is_the_least_length_that_divides():
    """With an epsilon of 10, v = u W / 10 and u' = v W^T / 10: sigma is v W u'."""
    layer = dense(np.diag([3.0, 1.0]), [1.0, 0.0], epsilon=10.0, use_bias=False)
    sigma = 0.3 * 3 * (0.3 * 3 / 10)
    np.testing.assert_allclose(layer(np.float32([[1.0, 1.0]])), [[3 / sigma, 1 / sigma]], rtol=1e-5)


def test_a_convolution_is_read_as_a_matrix_of_filters_and_a_table_as_one_of_classes():
    conv = SpectralConv2D(3, use_bias=False)
    conv.build((None, 8, 8, 2))
    for _ in range(80):
        conv.normalised(True)
    largest = np.linalg.svd(np.reshape(conv.kernel, (18, 3)), compute_uv=False)[0]
    np.testing.assert_allclose(conv.normalised(False), conv.kernel / largest, rtol=1e-4)
    table = SpectralTable(2)
    table.build((None, 5))
    assert table.u.shape == (5,)
    assert table.kernel.shape == (5, 2)
    rows = table(tf.one_hot([3, 0], 5), training=True)
    np.testing.assert_allclose(rows, np.asarray(table.normalised(False))[[3, 0]], rtol=1e-2)


def test_without_a_spectral_norm_the_kernel_is_taken_as_it_is():
    layer = SpectralDense(2, spectral=False, kernel_initializer="ones")
    np.testing.assert_array_equal(layer(np.float32([[1, 2, 3]])), [[6, 6]])
    assert not layer.non_trainable_variables


def test_replicas_keep_one_u():
    strategy = strategies.choose("mirrored")
    with strategy.scope():
        layer = SpectralDense(3)
        layer.build((None, 4))
    alone = dense(np.array(layer.kernel), np.array(layer.u))
    for _ in range(3):
        strategy.run(lambda: layer(tf.ones([2, 4]), training=True))
        alone(tf.ones([2, 4]), training=True)
    for u in strategy.experimental_local_results(layer.u.value):
        np.testing.assert_allclose(u, alone.u, rtol=1e-6)


@pytest.mark.parametrize("size", [1, 3])
def test_resampling_in_the_convolution_is_that_beside_it(size):
    """Nearest doubling before a convolution, and averages after one, run as one convolution."""
    x, kernel = drawn(2, 6, 4, 3), drawn(size, size, 3, 5, seed=1)

    def plain(x):
        return tf.nn.conv2d(x, kernel, 1, "SAME")

    doubled = np.repeat(np.repeat(x, 2, 1), 2, 2)
    np.testing.assert_allclose(convolve(tf.constant(x), tf.constant(kernel), "up"), plain(doubled), atol=1e-5)
    halved = tf.nn.avg_pool2d(plain(x), 2, 2, "VALID")
    np.testing.assert_allclose(convolve(tf.constant(x), tf.constant(kernel), "down"), halved, atol=1e-5)
    assert EqualizedConv2D(5, resample="up")(x).shape == (2, 12, 8, 5)


def test_modulate_and_one_hot_by_hand():
    x = tf.reshape(tf.range(8.0), [2, 1, 2, 2])
    gain, offset = tf.constant([[0.0, 1.0], [-1.0, 2.0]]), tf.constant([[10.0, 0.0], [0.0, 1.0]])
    expected = [[[[10, 2], [12, 6]]], [[[0, 16], [0, 22]]]]
    np.testing.assert_array_equal(Modulate()([x, gain, offset]), expected)
    np.testing.assert_array_equal(OneHot(3)(tf.constant([2, 0], tf.int64)), [[0, 0, 1], [1, 0, 0]])


def test_parts_and_sums_by_hand():
    x = tf.reshape(tf.range(12.0), [1, 2, 2, 3])
    np.testing.assert_array_equal(Part(1, 2)(x)[0, 0], [[1, 2], [4, 5]])
    np.testing.assert_array_equal(SumOfPlaces()(x), [[18, 22, 26]])


def test_attention_is_a_weighted_mean_of_the_values():
    queries, keys, values = drawn(2, 4, 4, 3), drawn(2, 2, 2, 3, seed=1), drawn(2, 2, 2, 5, seed=2)
    found = Attend()([queries, keys, values])
    for image in range(2):
        products = queries[image].reshape(16, 3) @ keys[image].reshape(4, 3).T
        shares = np.exp(products - products.max(1, keepdims=True))
        shares /= shares.sum(1, keepdims=True)
        expected = (shares @ values[image].reshape(4, 5)).reshape(4, 4, 5)
        np.testing.assert_allclose(found[image], expected, rtol=1e-4, atol=1e-5)
    gate = Gated()
    np.testing.assert_array_equal(gate([tf.ones([1, 2]), tf.ones([1, 2])]), [[1, 1]])
    gate.gamma.assign(0.5)
    np.testing.assert_array_equal(gate([tf.ones([1, 2]), 4 * tf.ones([1, 2])]), [[3, 3]])


def test_a_norm_without_gain_and_offset_only_normalises():
    x = drawn(6, 3, 3, 4) * 3 + 1
    norm, plain = BatchNorm(affine=False), BatchNorm()
    np.testing.assert_allclose(norm(x, training=True), plain(x, training=True), atol=1e-6)
    assert not norm.trainable_variables
    np.testing.assert_allclose(norm(x), plain(x), atol=1e-6)
    inside = keras.Sequential([norm])
    normalization.synchronize([inside])
    np.testing.assert_allclose(norm(x, training=True), plain(x, training=True), atol=1e-5)
