"""Layers and the shared functions of rows against numbers that were worked out by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny
from keras.src.backend import compute_output_spec

from ganzoo import registry
from ganzoo.base import pixels, rows
from ganzoo.devices import strategies
from ganzoo.devices.precision import policy
from ganzoo.errors import GanzooError
from ganzoo.layers import (
    Arctanh,
    BatchNorm,
    Blur,
    EqualizedConv2D,
    EqualizedDense,
    EqualSubfilters,
    InstanceNorm,
    MaskedDropout,
    Maxout,
    MinibatchStddev,
    PixelShuffle,
    RowUniform,
    SpectralConv2D,
    StyleEpilogue,
    Zeroed,
    normalization,
)


def column(*numbers):
    """A batch of one-pixel, one-channel images."""
    return tf.reshape(tf.constant(numbers, tf.float32), [-1, 1, 1, 1])


# ---- round trips -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "layer",
    [
        BatchNorm(momentum=0.25, epsilon=1e-3, gamma_initializer=keras.initializers.RandomNormal(1.0, 0.5), name="a"),
        InstanceNorm(epsilon=1e-2, affine=True, name="b"),
        MaskedDropout(0.3, name="c"),
        RowUniform(17, name="d"),
        Maxout(3, 4, kernel_initializer=keras.initializers.RandomUniform(-1, 2), name="e"),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_a_layer_keeps_its_arguments(layer):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(again) is type(layer)
    assert again.get_config() == layer.get_config()


def test_zeroed_sets_a_bias_to_zero_after_each_update():
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(Zeroed()))
    bias = keras.Variable(np.ones(2, "float32"))
    bias.constraint = again
    optimizer = keras.optimizers.SGD(1.0)
    optimizer.apply([tf.constant([3.0, -4.0])], [bias])
    assert np.array(bias).tolist() == [0.0, 0.0]


# ---- dropout ---------------------------------------------------------------------------------------------------------
def test_masked_dropout_by_hand():
    layer = MaskedDropout(0.2)
    x, u = tf.constant([[1.0, 2.0, 3.0, 4.0]]), tf.constant([[0.19, 0.2, 0.999, 0.0]])
    np.testing.assert_allclose(layer([x, u], training=True), [[0.0, 2.5, 3.75, 0.0]], rtol=1e-6)
    np.testing.assert_array_equal(layer([x, u], training=False), x)
    np.testing.assert_array_equal(layer([x, u]), x)
    np.testing.assert_array_equal(MaskedDropout(0.0)([x, u], training=True), x)


def test_masked_dropout_keeps_the_mean():
    u = tf.random.stateless_uniform([200, 200], (1, 2))
    kept = MaskedDropout(0.2)([tf.ones_like(u), u], training=True)
    assert float(tf.reduce_mean(kept)) == pytest.approx(1.0, abs=0.01)
    assert float(tf.reduce_mean(tf.cast(kept > 0, tf.float32))) == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize("rate", [-0.1, 1.0, 50])
def test_a_rate_is_a_share(rate):
    with pytest.raises(ValueError, match=r"must be in \[0, 1\)"):
        MaskedDropout(rate)


def test_row_noise_follows_the_row_and_not_its_place():
    x = tf.zeros([3, 4, 5, 2])
    seeds = tf.constant([[1, 2], [3, 4], [-5, 2**31 - 1]], tf.int32)
    noise = RowUniform(6)([x, seeds]).numpy()
    assert noise.shape == (3, 4, 5, 2)
    assert noise.min() >= 0
    assert noise.max() < 1
    swapped = RowUniform(6)([x, seeds[::-1]]).numpy()
    np.testing.assert_array_equal(noise, swapped[::-1])
    np.testing.assert_array_equal(noise[:1], RowUniform(6)([x[:1], seeds[:1]]))
    assert not np.array_equal(noise[0], noise[1])
    assert not np.array_equal(noise, RowUniform(7)([x, seeds])), "the salt tells layers of one seed apart"


# ---- maxout ----------------------------------------------------------------------------------------------------------
def test_maxout_by_hand():
    """2 units of 2 pieces on 2 inputs: the larger of two linear maps, each with its own bias."""
    layer = Maxout(2, 2)
    layer.build((None, 2))
    assert layer.count_params() == 2 * 4 + 4
    layer.kernel.assign([[1.0, -1.0, 2.0, 0.0], [0.0, 1.0, -1.0, 0.5]])
    layer.bias.assign([0.0, 1.0, -1.0, 0.25])
    # x = (3, 1): maps 3, -3+1+1, 6-1-1, 0.5+0.25; x = (-2, 4): -2, 2+4+1, -4-4-1, 2+0.25
    np.testing.assert_allclose(layer(tf.constant([[3.0, 1.0], [-2.0, 4.0]])), [[3.0, 4.0], [7.0, 2.25]], rtol=1e-6)


# ---- batch norm ------------------------------------------------------------------------------------------------------
def test_batch_norm_by_hand():
    """1, 2, 3, 6: mean 3, biased variance 3.5 normalises, unbiased 14/3 is stored (as torch)."""
    layer = BatchNorm(momentum=0.75, epsilon=0.5)
    layer.build((None, 1, 1, 1))
    layer.gamma.assign([2.0])
    layer.beta.assign([1.0])
    y = layer(column(1, 2, 3, 6), training=True)
    np.testing.assert_allclose(
        tf.reshape(y, -1), 1 + 2 * np.array([-2, -1, 0, 3]) / 2, rtol=1e-6
    )  # sqrt(3.5 + 0.5) = 2
    assert float(layer.moving_mean.value[0]) == pytest.approx(0.25 * 3)
    assert float(layer.moving_variance.value[0]) == pytest.approx(0.75 * 1 + 0.25 * 14 / 3)
    layer.moving_mean.assign([1.0])
    layer.moving_variance.assign([3.5])
    np.testing.assert_allclose(tf.reshape(layer(column(1, 3), training=False), -1), [1.0, 3.0], rtol=1e-6)
    assert layer.moving_mean.value[0] == 1.0


def test_batch_norm_has_the_papers_defaults_not_keras():
    layer = BatchNorm()
    assert (layer.epsilon, layer.momentum) == (1e-5, 0.9)


def test_batch_norm_of_flat_features_is_by_unit():
    layer = BatchNorm(epsilon=1e-8)
    x = np.random.default_rng(0).normal(3, 2, (64, 5)).astype("float32")
    expected = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-8)
    np.testing.assert_allclose(layer(tf.constant(x), training=True), expected, atol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, 0.9 + 0.1 * x.var(0, ddof=1), rtol=1e-5)


def test_per_image_is_training_mode_at_batch_one_and_changes_no_variable():
    layer = BatchNorm(gamma_initializer=keras.initializers.RandomNormal(1.0, 0.2, seed=1))
    x = tf.random.stateless_normal([3, 5, 7, 4], (3, 4), mean=2.0)
    together = layer(x, per_image=True)
    assert np.array(layer.moving_mean).tolist() == [0.0] * 4
    assert np.array(layer.moving_variance).tolist() == [1.0] * 4
    for i in range(3):
        np.testing.assert_allclose(together[i : i + 1], layer(x[i : i + 1], training=True), atol=2e-6)
    assert np.array(layer.moving_mean).tolist() != [0.0] * 4


def test_batch_norm_gradient_runs_through_the_statistics():
    layer = BatchNorm(epsilon=1e-5)
    x = tf.Variable(column(1, 2, 3, 6))
    weights = column(1, 0, 0, 2)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(x, training=True) * weights)
    gradient = tape.gradient(loss, x).numpy().ravel()
    # dx = (w - mean(w) - y mean(w y)) / sigma: the sum over the batch and its projection on y vanish.
    y, w = (np.array([-2, -1, 0, 3]) / np.sqrt(3.5 + 1e-5)), np.array([1, 0, 0, 2])
    np.testing.assert_allclose(gradient, (w - w.mean() - y * (w * y).mean()) / np.sqrt(3.5 + 1e-5), atol=1e-5)


# ---- instance norm ---------------------------------------------------------------------------------------------------
def test_instance_norm_by_hand():
    x = tf.reshape(tf.constant([1.0, 10, 2, 10, 3, 10, 6, 10]), [1, 2, 2, 2])
    y = InstanceNorm(epsilon=0.5)(tf.concat([x, 100 * x], axis=0)).numpy().reshape(2, 4, 2)
    np.testing.assert_allclose(y[0, :, 0], [-1, -0.5, 0, 1.5], rtol=1e-5)
    np.testing.assert_allclose(y[1, :, 0], np.array([-2, -1, 0, 3]) / np.sqrt(3.5 + 0.5e-4), rtol=1e-4)
    np.testing.assert_allclose(y[:, :, 1], 0, atol=1e-3)  # a constant channel has no deviation


def test_instance_norm_has_parameters_only_if_affine():
    plain, affine = InstanceNorm(), InstanceNorm(affine=True)
    x = tf.random.stateless_normal([2, 4, 4, 3], (0, 1))
    np.testing.assert_allclose(plain(x), affine(x), atol=1e-6)
    assert (plain.count_params(), affine.count_params()) == (0, 6)
    affine.gamma.assign([2.0, 1.0, 1.0])
    affine.beta.assign([0.0, 0.0, 5.0])
    np.testing.assert_allclose(affine(x), plain(x) * [2.0, 1.0, 1.0] + [0.0, 0.0, 5.0], atol=1e-5)


def test_instance_norm_takes_its_moments_in_float32():
    """In bfloat16 the mean of many pixels is a percent of the deviation off."""
    x = tf.cast(tf.random.stateless_normal([2, 64, 64, 3], (5, 6), mean=20.0), tf.bfloat16)
    y = InstanceNorm(dtype="bfloat16")(x)
    assert y.dtype == tf.bfloat16
    np.testing.assert_array_equal(y, tf.cast(InstanceNorm()(tf.cast(x, tf.float32)), tf.bfloat16))


@pytest.mark.parametrize(("side", "kernel"), [(32, False), (64, True)])
def test_a_fused_instance_norm_takes_the_kernel_for_large_maps_and_gives_the_same(side, kernel):
    """2 x 64 x 64 x 16 numbers are many, a quarter of them few: both are the plain operations' numbers and gradients."""
    x = tf.random.stateless_normal([2, side, side, 16], (1, 2))
    fused, plain = InstanceNorm(fused=True, affine=True), InstanceNorm(affine=True)
    found = []
    for layer in (fused, plain):
        layer.build(x.shape)
        layer.gamma.assign(tf.linspace(0.5, 2.0, 16))

        @tf.function
        def step(x, layer=layer):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = layer(x, training=True)
                loss = tf.reduce_sum(y**3)
            return y, *tape.gradient(loss, [x, layer.gamma.value, layer.beta.value])

        found.append(step(x))
        operations = {node.type for node in step.get_concrete_function(x).graph.get_operations()}
        assert ("FusedBatchNormV3" in operations) == (kernel and layer is fused)
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)


# ---- blocks: standing statistics -------------------------------------------------------------------------------------
def test_standing_statistics_are_the_plain_mean_over_batches():
    image = keras.Input((4, 4, 2))
    norm, second = BatchNorm(momentum=0.99, name="first"), BatchNorm(momentum=0.5, name="second")
    network = keras.Model(image, second(keras.layers.Rescaling(3.0)(norm(image))))
    batches = [tf.random.stateless_normal([5, 4, 4, 2], (i, 7), mean=float(i)) for i in range(3)]
    norm.moving_mean.assign([50.0, 50.0])  # what stood there before does not matter
    expected = network.get_layer("first").gamma.value  # ones, so that `second` sees unit variance
    normalization.standing_statistics(network, iter(batches))
    arrays = [np.asarray(batch).reshape(-1, 2) for batch in batches]
    np.testing.assert_allclose(norm.moving_mean, np.mean([a.mean(0) for a in arrays], axis=0), rtol=1e-5)
    np.testing.assert_allclose(norm.moving_variance, np.mean([a.var(0, ddof=1) for a in arrays], axis=0), rtol=1e-5)
    np.testing.assert_allclose(second.moving_variance, 9 * expected * 80 / 79, rtol=1e-4)
    assert (norm.momentum, second.momentum) == (0.99, 0.5)


def test_standing_statistics_give_the_momenta_back_after_an_error():
    image = keras.Input((2,))
    norm = BatchNorm(momentum=0.7)
    network = keras.Model(image, norm(image))
    with pytest.raises(Exception, match=r"incompatible|expected|shape"):
        normalization.standing_statistics(network, [tf.zeros([4, 2]), tf.zeros([4, 3])])
    assert norm.momentum == 0.7


# ---- blocks: seeds, pictures -----------------------------------------------------------------------------------------
def test_row_seeds_are_a_function_of_seed_and_index():
    seeds = np.concatenate([rows.row_seeds(seed, 50) for seed in (0, 1, 2, -1, 2**32, 2**62, -(2**63), 2**63 - 1)])
    assert len(np.unique(seeds, axis=0)) == len(seeds)
    np.testing.assert_array_equal(rows.row_seeds(7, 3), rows.row_seeds(np.int64(7), 9)[:3])
    np.testing.assert_array_equal(rows.row_seeds(7, 3)[:1], rows.seeds_of(tf.constant([7], tf.int64)))
    np.testing.assert_array_equal(rows.row_seeds(tf.constant(7, tf.int64), 3), rows.row_seeds(7, 3))


@pytest.mark.parametrize(
    "draw", [tf.random.stateless_normal, tf.random.stateless_uniform, tf.random.stateless_truncated_normal]
)
def test_few_rows_of_noise_are_those_that_a_graph_makes(draw):
    seeds = rows.row_seeds(3, 500)
    graph = rows.graph_of(lambda seeds: rows.rows_of(draw, seeds, 50), [tf.TensorSpec([None, 2], tf.int32)])
    np.testing.assert_array_equal(rows.rows_of(draw, seeds, 50), graph(seeds))
    assert rows.rows_of(draw, seeds[:0], 50).shape == (0, 50)


def test_to_uint8_rounds_and_clips():
    x = tf.constant([-1.0, 1.0, 0.0, -3.0, 3.0, 1 / 127.5 - 1, 1.4 / 127.5 - 1, 1.6 / 127.5 - 1])
    assert pixels.to_uint8(x).numpy().tolist() == [0, 255, 128, 0, 255, 1, 1, 2]
    every = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(pixels.to_uint8(tf.cast(every, tf.float32) / 127.5 - 1), every)


def test_channels_are_converted_and_others_refused():
    rgb = tf.constant([[[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]]], tf.uint8)
    assert pixels.to_channels(rgb, 1).numpy().ravel().tolist() == [76, 150, 29, 255]
    np.testing.assert_array_equal(pixels.to_channels(rgb[..., :1], 3), np.repeat(rgb[..., :1], 3, axis=-1))
    with pytest.raises(GanzooError, match=r"3 channel\(s\); received 4"):
        pixels.to_channels(tf.zeros([1, 2, 2, 4]), 3)


@pytest.mark.parametrize("synchronized", [False, True])
def test_batch_norm_of_one_row_has_no_variance_and_no_nan(synchronized):
    layer = BatchNorm()
    layer.build((None, 1))
    layer.synchronized = synchronized
    np.testing.assert_array_equal(layer(tf.constant([[3.0]]), training=True), [[0.0]])
    np.testing.assert_allclose([layer.moving_mean.numpy(), layer.moving_variance.numpy()], [[0.3], [0.9]], rtol=1e-6)


def test_synchronised_batch_norm_takes_the_rows_of_all_replicas():
    """Rows 0 and 2 on one replica, 4 and 10 on the other: mean 4, variance 14, unbiased 56 / 3; gradients too."""
    strategy = strategies.choose("mirrored")
    with strategy.scope():
        layer = BatchNorm(epsilon=0.0)
        layer.build((None, 1))
    layer.synchronized = True
    rows = tf.constant([[0.0], [2.0], [4.0], [10.0]])

    @tf.function
    def step():
        def replica():
            first = 2 * tf.distribute.get_replica_context().replica_id_in_sync_group
            x = rows[first : first + 2]
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = layer(x, training=True)
                loss = tf.reduce_sum(y**3)
            return y, tape.gradient(loss, x)

        return strategy.run(replica)

    y, gradient = (np.concatenate([np.asarray(p) for p in strategy.experimental_local_results(v)]) for v in step())
    normal = (np.array([[0.0], [2], [4], [10]]) - 4) / np.sqrt(14)
    np.testing.assert_allclose(y, normal, rtol=1e-6)
    outer = 3 * normal**2  # of the loss by y; then batch norm's own gradient over all four rows
    expected = (outer - outer.mean() - normal * (outer * normal).mean()) / np.sqrt(14)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(np.asarray(layer.moving_mean), [0.4], rtol=1e-6)
    np.testing.assert_allclose(np.asarray(layer.moving_variance), [0.9 + 0.1 * 56 / 3], rtol=1e-6)


# ---- pixel shuffle ---------------------------------------------------------------------------------------------------
def test_pixel_shuffle_puts_the_runs_of_channels_into_squares():
    """One pixel of 4 x 2 channels becomes 2 x 2 pixels of 2, row by row."""
    image = tf.reshape(tf.range(8.0), [1, 1, 1, 8])
    made = PixelShuffle()(image).numpy()
    assert made.tolist() == [[[[0, 1], [2, 3]], [[4, 5], [6, 7]]]]
    assert PixelShuffle().compute_output_shape((None, 3, None, 8)) == (None, 6, None, 2)


def test_equal_subfilters_make_the_shuffle_an_enlargement():
    initializer = EqualSubfilters(keras.initializers.RandomNormal(seed=3))
    conv = keras.layers.Conv2D(12, 3, padding="same", kernel_initializer=initializer)
    image = tf.random.stateless_normal([2, 5, 5, 4], [0, 1])
    made = PixelShuffle()(conv(image)).numpy()
    assert made.std() > 0.05
    for row, column in ((0, 1), (1, 0), (1, 1)):
        np.testing.assert_array_equal(made[:, row::2, column::2], made[:, ::2, ::2])
    again = keras.initializers.deserialize(keras.initializers.serialize(initializer))
    np.testing.assert_array_equal(again((3, 3, 4, 12)), initializer((3, 3, 4, 12)))


FUNCTIONAL = [name for name in registry.models() if name != "stylegan-lite"]  # whose network calls its layers itself


@pytest.mark.parametrize(("paper", "precision"), [(name, "float32") for name in FUNCTIONAL] + [("anime", "bfloat16")])
def test_stated_shapes_are_those_of_what_is_computed(paper, precision):
    """A layer that states its output's shape is not traced when a network is built: nothing else would notice a wrong one."""
    with policy(precision):
        networks = tiny.build(paper, ema_decay=0.0).networks().values()
    seen = set()
    for layer in (layer for network in networks for layer in network._flatten_layers(include_self=False)):
        settings = type(layer), repr({key: value for key, value in layer.get_config().items() if key != "name"})
        if type(layer).__module__.startswith("ganzoo.layers") and layer._inbound_nodes and settings not in seen:
            seen.add(settings)
            node = layer._inbound_nodes[0]
            made = compute_output_spec(layer, *node.arguments.args, **node.arguments.kwargs)
            assert (node.outputs[0].shape, node.outputs[0].dtype) == (made.shape, made.dtype), layer.name
    assert seen


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("kind", "settings", "shapes"),
    [
        (EqualizedDense, {"width": 3}, [(None, 5)]),
        *((EqualizedConv2D, {"width": 3, "resample": how}, [(None, 6, 8, 5)]) for how in ("none", "up", "down")),
        (SpectralConv2D, {"width": 3, "resample": "down"}, [(None, 6, 8, 5)]),
        (Blur, {}, [(None, 6, 8, 5)]),
        (StyleEpilogue, {}, [(None, 6, 8, 5), (None, 4)]),
        (MinibatchStddev, {}, [(None, 6, 8, 5)]),
    ],
)
def test_stated_shapes_of_layers_by_themselves(kind, settings, shapes, precision):
    with policy(precision):
        layer = kind(**settings)
        inputs = [keras.Input(shape[1:], dtype=layer.compute_dtype) for shape in shapes]
        said, made = layer(*inputs), compute_output_spec(layer.call, *inputs)
    assert (said.shape, said.dtype) == (made.shape, made.dtype)


def test_arctanh_is_undone_by_tanh_and_is_bounded():
    x = np.linspace(-1, 1, 101, dtype=np.float32)
    y = np.asarray(Arctanh()(x))
    np.testing.assert_allclose(np.tanh(y), x, atol=0.0011)
    np.testing.assert_allclose(y[1:-1], np.arctanh(x[1:-1]), rtol=1e-5, atol=1e-6)
    assert y[-1] == -y[0] == pytest.approx(np.arctanh(0.999), rel=1e-4)
