"""The layers of a network called in another way, on the same variables."""

from collections.abc import Callable

import keras
import tensorflow as tf

from ganzoo.layers import BatchNorm, RowUniform


def view(network: keras.Model, call: Callable, inputs=None) -> keras.Model:
    """The network's layers called anew by `call(layer, ...)`, on its own or other inputs."""
    return keras.models.clone_model(network, inputs, clone_function=lambda layer: layer, call_function=call)


def per_image(network: keras.Model) -> keras.Model:
    """The network with every batch norm taking each image's own statistics."""
    return view(network, _per_image)


def per_image_with_noise_of(network: keras.Model, seeds: tf.Tensor, image: keras.KerasTensor) -> keras.Model:
    """As `per_image`, for images of the size of the input `image`, with the noise of seeds (1, 2) as constants."""

    def call(layer, *args, **kwargs):
        if not isinstance(layer, RowUniform):
            return _per_image(layer, *args, **kwargs)
        x, _ = args[0]
        return layer([tf.zeros([1, *x.shape[1:]]), seeds]).numpy()  # the same for all rows

    return view(network, call, [image, *network.inputs[1:]])


def _per_image(layer, *args, **kwargs):
    return layer(*args, **kwargs, per_image=True) if isinstance(layer, BatchNorm) else layer(*args, **kwargs)
