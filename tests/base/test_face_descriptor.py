"""The bundled face descriptor against golden outputs, its gradient, its resize and its sentences."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from ganzoo.base import face_descriptor
from ganzoo.errors import GanzooError
from ganzoo.layers import QuantisedConv2D

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "face_descriptor.npz") as file:
        return file["images"], file["descriptors"]


def test_it_gives_the_golden_descriptors_and_distances(golden):
    images, wanted = golden
    rows = face_descriptor.descriptors(images)
    np.testing.assert_allclose(rows, wanted, rtol=1e-3, atol=1e-3)
    assert (rows.dtype, rows.shape) == (np.float32, (8, face_descriptor.DIMENSIONS))
    about = json.loads((GOLDEN / "face_descriptor.json").read_text())
    apart = face_descriptor.distances(rows[0], rows).numpy()
    np.testing.assert_allclose(apart, about["distance_to_image_0"], atol=1e-3)
    # Upstream's rule takes the first three pictures for one person and the others for other persons.
    assert (apart < face_descriptor.SAME_PERSON).tolist() == [True] * 3 + [False] * 5


def test_it_is_frozen_and_gradients_flow_through_it_to_the_picture(golden):
    network = face_descriptor.load()
    assert network is face_descriptor.load()
    assert not network.trainable_variables
    assert sum(v.dtype == "uint8" for v in network.variables) == 22  # 21 convolutions in 8 bits and the last layer
    image = tf.constant(golden[0][:1, 20:84, 30:94], tf.float32) / 127.5 - 1

    def value(x):
        return tf.reduce_sum(tf.square(face_descriptor.describe(network, x)))

    with tf.GradientTape() as tape:
        tape.watch(image)
        loss = value(image)
    gradient = tape.gradient(loss, image)
    # Along the gradient itself a step of central differences gives its norm.
    along, step = gradient / tf.norm(gradient), 1e-2
    slope = (value(image + step * along) - value(image - step * along)) / (2 * step)
    np.testing.assert_allclose(slope, tf.norm(gradient), rtol=2e-2)


def test_other_sizes_are_resized_and_gray_is_repeated(golden):
    network, images = face_descriptor.load(), golden[0][:2]
    small = tf.image.resize(tf.cast(images, tf.float32), (64, 64), antialias=True) / 127.5 - 1
    large = tf.image.resize(small, (150, 150))
    np.testing.assert_allclose(face_descriptor.describe(network, small), network(large), atol=1e-6)
    gray = images.mean(-1, keepdims=True).astype(np.uint8)
    rows = face_descriptor.descriptors(gray)
    np.testing.assert_allclose(rows, face_descriptor.descriptors(np.repeat(gray, 3, -1)), atol=1e-6)
    for wrong in (images[0], images.astype(np.float32), images[..., :2], images[:0]):
        with pytest.raises(GanzooError, match="face descriptor reads uint8 pictures"):
            face_descriptor.descriptors(wrong)


def test_a_missing_file_gives_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(face_descriptor, "ASSETS", tmp_path)
    with pytest.raises(GanzooError, match="belongs to every installation of ganzoo: install it again"):
        face_descriptor.fill(face_descriptor.build())


def test_a_quantised_convolution_is_the_convolution_with_the_kernel_that_it_stands_for():
    random = np.random.default_rng(0)
    codes = random.integers(0, 256, (3, 3, 4, 5), dtype=np.uint8)
    scale, shift, bias = (random.normal(size=5).astype(np.float32) for _ in range(3))
    layer = QuantisedConv2D(5, 3, 2, "valid", name="q")
    x = random.normal(size=(2, 9, 9, 4)).astype(np.float32)
    layer.build(x.shape)
    layer.set_weights([codes, scale, shift, bias])
    kernel = codes.astype(np.float32) * scale + shift
    np.testing.assert_allclose(layer(x), tf.nn.conv2d(x, kernel, 2, "VALID") + bias, rtol=1e-5)
    again = QuantisedConv2D.from_config(layer.get_config())
    assert (again.filters, again.kernel_size, again.strides, again.padding) == (5, 3, 2, "valid")
    assert not keras.Sequential([layer]).trainable_variables
