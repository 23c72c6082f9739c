"""Convolutions in their fastest form: the numbers and gradients of Keras' own, to second order, and each form in its place."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from ganzoo.devices import machine
from ganzoo.exporting import portable
from ganzoo.layers import FastConv2D, FastConv2DTranspose, FastConv3D, FastConv3DTranspose, folded, winograd

PAIRS = ((FastConv2D, keras.layers.Conv2D), (FastConv2DTranspose, keras.layers.Conv2DTranspose))
PAIRS_3D = ((FastConv3D, keras.layers.Conv3D), (FastConv3DTranspose, keras.layers.Conv3DTranspose))
sides = st.integers(1, 6)


def operations(layer, shape, **options):
    """The types of operations of a traced call, of float32 pictures of a shape."""
    call = tf.function(lambda x: layer(x, **options)).get_concrete_function(tf.TensorSpec(shape, tf.float32))
    return {operation.type for operation in call.graph.get_operations()}


def numbers(layer, x, weight, **options):
    """Of the sum of the output times `weight`: the output, the gradients of input, kernel and bias, and those of a penalty on
    the first one, as R1 has it."""
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(x)
            y = layer(x, **options)
            total = tf.reduce_sum(tf.cast(y, tf.float32) * weight(y.shape))
        slope = tape.gradient(total, x)
        penalty = tf.reduce_sum(slope**2)
    first = tape.gradient(total, [layer.kernel.value, layer.bias.value])
    return [y, slope, *first, *outer.gradient(penalty, [x, layer.kernel.value])]


def compare(ours, theirs, kernel, stride, padding, size, seed, digits=5e-6, **options):
    """The numbers of two layers of the same weights, on two rows of pictures or voxels."""
    if ours in (FastConv2D, FastConv3D) and padding == "valid":
        size = tuple(max(pair) for pair in zip(size, kernel, strict=True))
    rng = np.random.default_rng(seed)
    x = tf.constant(rng.normal(size=(2, *size, 3)), tf.float32)
    layers = [layer(4, kernel, strides=stride, padding=padding, activation="tanh") for layer in (ours, theirs)]
    for layer in layers:
        layer.build(x.shape)
    weights = [rng.normal(size=w.shape).astype("float32") / 5 for w in layers[0].weights]
    for layer in layers:
        layer.set_weights(weights)

    def weight(shape):
        return tf.constant(np.random.default_rng(1).normal(size=shape), tf.float32)

    for made, wanted in zip(numbers(layers[0], x, weight, **options), numbers(layers[1], x, weight), strict=True):
        assert made.shape == wanted.shape
        scale = max(1.0, float(tf.reduce_max(tf.abs(wanted))))
        np.testing.assert_allclose(made, wanted, rtol=0, atol=digits * scale)


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)), stride=st.integers(1, 3), size=st.tuples(sides, sides),
    padding=st.sampled_from(["same", "valid"]), seed=st.integers(0, 99),
)  # fmt: skip
def test_one_product_has_the_numbers_and_gradients_of_keras(ours, theirs, kernel, stride, size, padding, seed):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folded, "NUMBERS_A_POSITION", 0)
        compare(ours, theirs, kernel, stride, padding, size, seed)


@pytest.mark.parametrize(("ours", "theirs"), PAIRS + PAIRS_3D)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data(), padding=st.sampled_from(["same", "valid"]), seed=st.integers(0, 99))
def test_fewer_products_have_the_numbers_and_gradients_of_keras(ours, theirs, data, padding, seed):
    axes = 3 if ours in (FastConv3D, FastConv3DTranspose) else 2
    kind = side, stride, _ = data.draw(st.sampled_from([kind for kind in sorted(winograd.OUTPUTS) if kind[2] == axes]))
    size, asked = data.draw(st.tuples(*[st.integers(1, 9)] * axes)), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(winograd, "least_saved", lambda *kind: asked.append(kind) or -np.inf)
        outputs = data.draw(st.sampled_from(winograd.OUTPUTS[kind]))
        patch.setitem(winograd.OUTPUTS, kind, (outputs,))
        # Points beyond 0, 1 and -1, which 5 and 6 places need, round more, and so do three axes.
        digits = 5e-6 if axes == 2 and outputs + -(-side // stride) - 1 <= 4 else 2e-5
        compare(ours, theirs, (side,) * axes, stride, padding, size, seed, digits, training=True)
    assert asked


@pytest.mark.parametrize(("outputs", "taps"), [(2, 2), (2, 3), (3, 2), (2, 4), (3, 3), (4, 2), (3, 4), (4, 3)])
def test_fewer_products_make_a_correlation(outputs, taps):
    """A^T (G g * B^T d) is what d gives at m places with g, and takes m + r - 1 products."""
    tiles, kernels, made = winograd.sums(outputs, taps)
    d, g = np.arange(1.0, outputs + taps) ** 2, np.array([3.0, -1.0, 2.0, 5.0])[:taps]
    products = (kernels @ g) * (tiles @ d)
    assert len(products) == outputs + taps - 1
    np.testing.assert_allclose(made @ products, np.correlate(d, g, "valid"), rtol=1e-12)


def test_fewer_products_are_counted():
    """64 rows of 16x16x64 -> 8x8x128 by 4x4 kernels: 25 products of 256 x 128 channels for each of 2 x 2 tiles a row."""
    tiles = winograd.tiling(
        tf.TensorShape([64, 16, 16, 64]), tf.TensorShape([64, 8, 8, 128]), tf.zeros([4, 4, 64, 128]), 2, "same"
    )
    assert (tiles.taps, tiles.outputs, tiles.products, tiles.tiles, tiles.before) == (2, 4, 25, (2, 2), (1, 1))
    plain, now = 2 * 16 * 64 * 128 * 64 * 64, 2 * 25 * 256 * 128 * 64 * 4
    assert now * 64 == plain * 25
    assert tiles.saved() == plain - now
    assert tiles.numbers() == 25 * (64 * 4 * (256 + 128) + 256 * 128)


def test_fewer_products_of_voxels_are_counted():
    """16 rows of 8x8x8x96 -> 4x4x4x192: 27 products of 768 x 192 channels for each of 2 x 2 x 2 tiles a row."""
    tiles = winograd.tiling(
        tf.TensorShape([16, 8, 8, 8, 96]), tf.TensorShape([16, 4, 4, 4, 192]), tf.zeros([4, 4, 4, 96, 192]), 2, "same"
    )
    assert (tiles.taps, tiles.outputs, tiles.products, tiles.tiles) == (2, 2, 27, (2, 2, 2))
    plain, now = 2 * 64 * 96 * 192 * 16 * 64, 2 * 27 * 768 * 192 * 16 * 8
    assert now * 64 == plain * 27
    assert tiles.saved() == plain - now
    assert tiles.numbers() == 27 * (16 * 8 * (768 + 192) + 768 * 192)


def test_tiles_are_as_large_as_the_map_asks():
    """Tiles of three make 3x3 places without a rest; of four, 16 places for 9."""
    for side, outputs in ((6, 3), (16, 4)):
        tiles = winograd.tiling(
            tf.TensorShape([64, side, side, 128]),
            tf.TensorShape([64, side // 2, side // 2, 256]),
            tf.zeros([4, 4, 128, 256]),
            2,
            "same",
        )
        assert tiles.outputs == outputs


def test_fewer_products_where_they_pay_and_in_training_alone(monkeypatch):
    monkeypatch.setattr(winograd, "least_saved", lambda *kind: 100)
    down, up, flat = FastConv2D(128, 4, 2, "same"), FastConv2DTranspose(128, 4, 2, "same"), FastConv2D(256, 3)
    voxels = FastConv3D(192, 4, 2, "same")
    patches = FastConv2D(512, 4)
    places = [
        (down, [64, 16, 16, 64]),
        (up, [64, 8, 8, 256]),
        (flat, [1, 34, 34, 256]),
        (patches, [1, 34, 34, 256]),
        (voxels, [16, 8, 8, 8, 96]),
    ]
    for layer, shape in places:
        layer.build(shape)
        assert "BatchMatMulV2" in operations(layer, shape, training=True)
        assert "BatchMatMulV2" not in operations(layer, shape, training=False)
        assert "BatchMatMulV2" not in operations(layer, [None, *shape[1:]], training=True)
        assert "BatchMatMulV2" not in operations(layer, [1, *[8] * (len(shape) - 2), shape[-1]], training=True)
    narrow = FastConv2D(16, 3)
    narrow.build([16, 34, 34, 16])
    assert "BatchMatMulV2" not in operations(narrow, [16, 34, 34, 16], training=True)
    monkeypatch.setattr(winograd, "least_saved", lambda *kind: 250)
    takes = ["BatchMatMulV2" in operations(layer, shape, training=True) for layer, shape in places]
    assert takes == [False, True, True, True, False]  # 200, 319, 256, 358 and 191 are saved a number


@pytest.mark.parametrize(
    ("flags", "least"),
    [
        ({"avx2"}, [50, 50, 50, 70, 100, 70]),
        ({"avx2", "avx512f"}, [150, 150, 150, 210, 300, 210]),
        (set(), [50, 50, 50, 70, 100, 70]),
    ],
)
def test_what_must_be_saved_is_the_processors(flags, least, monkeypatch):
    monkeypatch.setattr(machine, "processor_flags", lambda: flags)
    assert [winograd.least_saved.__wrapped__(*kind) for kind in sorted(winograd.LEAST_SAVED)] == least


@pytest.mark.parametrize(
    "paper",
    [
        "3d-gan",
        "age-cgan",
        "anime",
        "biggan",
        "context-encoder",
        "cyclegan",
        "dcgan",
        "pix2pix",
        "stylegan-lite",
        "text-to-image",
        "wgan-gp",
    ],
)
def test_a_papers_step_asks_for_fewer_products(paper, monkeypatch):
    """Its networks are called with `training=True`, without which no convolution would take the form."""
    asked = []
    monkeypatch.setattr(winograd, "least_saved", lambda *kind: asked.append(kind) or np.inf)
    model = tiny.build(paper)
    tf.function(model.train_step).get_concrete_function(tiny.batch(model))
    assert asked


def test_a_gpu_keeps_its_own_kernels(monkeypatch):
    layer = FastConv2D(512, 4, 2, "same")
    layer.build((None, None, None, 512))
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: ["GPU:0"] if kind == "GPU" else [])
    assert "MatMul" not in operations(layer, [1, 2, 2, 512])
    monkeypatch.setattr(winograd, "least_saved", lambda *kind: 0)
    wide = FastConv2D(128, 3)
    wide.build((None, None, None, 128))
    assert "BatchMatMulV2" not in operations(wide, [8, 32, 32, 128], training=True)


def test_exports_hold_the_convolution():
    layer = FastConv2DTranspose(512, 4, 2, "same")
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
    for ours, kernel in [*((ours, (4, 5)) for ours, _ in PAIRS), *((ours, (4, 5, 6)) for ours, _ in PAIRS_3D)]:
        layer = ours(3, kernel, 2, "same", use_bias=False, name="a")
        again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
        assert type(again) is ours
        assert again.get_config() == layer.get_config()
