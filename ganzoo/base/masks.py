"""Dropout masks as inputs: for a web page, where nothing is drawn. Of a U-Net whose `RowUniform` layers have their level as
salt, so that level k draws for maps of size / 2^(k - 1)."""

from collections.abc import Callable

import keras
import tensorflow as tf

from ganzoo.layers import RowUniform


class _Given(keras.layers.Layer):
    """Stands where a network draws noise, and gives what `given(name)` has while the network is traced.

    A function, since Keras would keep a copy of a dictionary.
    """

    def __init__(self, given, **kwargs):
        super().__init__(**kwargs)
        self.given = given

    def call(self, inputs):
        noise = self.given(self.name)
        return tf.zeros_like(inputs[0]) if noise is None else noise


def shapes(network: keras.Model, size: int) -> dict[str, tuple[int, int, int]]:
    """(height, width, channels) of what each layer draws for pictures of a size, by the layer's name."""
    found = {}
    for layer in network.layers:
        if isinstance(layer, RowUniform):
            side = size >> (layer.salt - 1)
            found[layer.name] = (side, side, layer.output.shape[-1])
    return found


def kept(network: keras.Model, size: int, seeds: tf.Tensor, rate: float) -> dict[str, tf.Tensor]:
    """float32 (N, height, width, channels) by layer: 1 for each unit that dropout keeps with seeds (N, 2), else 0."""
    rows = seeds.shape[0]
    drawn = {
        name: network.get_layer(name)([tf.zeros([rows, *shape]), seeds])
        for name, shape in shapes(network, size).items()
    }
    return {name: tf.cast(uniform >= rate, tf.float32) for name, uniform in drawn.items()}


def endpoint(network: keras.Model, call: Callable, size: int) -> tuple[Callable, dict[str, tf.TensorSpec]]:
    """(image (1, size, size, C), one mask for each layer that draws) -> image, by `call(network, images, seeds)`."""
    noise: dict = {}
    inputs = {"images": tf.TensorSpec([1, size, size, network.inputs[0].shape[-1]], tf.float32)}
    masks = {name: tf.TensorSpec([1, *shape], tf.float32) for name, shape in shapes(network, size).items()}

    def layer_of(layer):
        return _Given(noise.get, name=layer.name) if isinstance(layer, RowUniform) else layer

    view = keras.models.clone_model(network, clone_function=layer_of)

    def function(images, *given):
        # A mask of 0 and 1 instead of uniform noise: what is at least the rate is kept.
        noise.update(zip(masks, given, strict=True))
        return {"images": call(view, images, tf.zeros([1, 2], tf.int32))}

    return function, inputs | masks
