"""What the web page of an export runs: ONNX networks of floats, and tables of the noise that belongs to a seed.

A page has neither TensorFlow's random numbers nor its string and PNG operations. So noise is an input of the networks:
the latents of the first seeds, and the dropout masks of pix2pix, are stored as files beside them.
"""

from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from ganzoo.base import BaseGAN
from ganzoo.base.rows import latents_of, seeds_of
from ganzoo.errors import GanzooError
from ganzoo.layers import RowUniform

LATENT_SEEDS = 256  # a hundred numbers each
MASK_SEEDS = 16  # some ten thousand bytes each


class Network(NamedTuple):
    """A function of float32 tensors to one, called images, voxels or embedding, and what goes in, in its order."""

    function: Callable
    inputs: dict[str, tf.TensorSpec]


def networks(model: BaseGAN, size: int | None) -> dict[str, Network]:
    """Name -> network of a model; `size` is the side of the pictures that image tasks take.

    Raises:
        GanzooError: a model that a page cannot run: one with classes, or with a text encoder made elsewhere.
    """
    if hasattr(model, "num_downs"):
        return {"network": _with_masks(model, size)}
    own = model.portable_signature()
    if model.task == "text" and "encode" not in own:
        raise GanzooError(f'A page needs a text encoder of the model\'s own; this {model.paper} has "{model.encoder}".')
    if any(spec.dtype != tf.float32 for spec in own["tensors"][1].values()):
        raise GanzooError(f"A {model.paper} with classes has no web page yet; ganzoo serve shows it in one.")
    if hasattr(model, "translator"):
        return {"a2b": Network(*own["tensors"]), "b2a": Network(*own["b2a_tensors"])}
    encoder = {"encode": Network(*own["encode"])} if model.task == "text" else {}
    return {"network": Network(*own["tensors"])} | encoder


def latents(model: BaseGAN) -> np.ndarray:
    """float32 (LATENT_SEEDS, latent_dim): row s is what `generate(1, seed=s)` starts from."""
    return latents_of(model, seeds_of(tf.range(LATENT_SEEDS, dtype=tf.int64))).numpy()


def masks(model: BaseGAN, size: int) -> np.ndarray:
    """uint8 (MASK_SEEDS, units): row s holds 1 for each unit that dropout keeps in `generate(picture, seed=s)`."""
    seeds = seeds_of(tf.range(MASK_SEEDS, dtype=tf.int64))
    rows = [
        tf.reshape(layer([tf.zeros([MASK_SEEDS, *shape]), seeds]) >= model.dropout, [MASK_SEEDS, -1])
        for layer, shape in _drawing(model, size)
    ]
    return tf.cast(tf.concat(rows, axis=1), tf.uint8).numpy() if rows else np.zeros((MASK_SEEDS, 0), np.uint8)


def _drawing(model: BaseGAN, size: int) -> list[tuple[RowUniform, tuple[int, ...]]]:
    """The layers of a U-Net that draw dropout noise, and the shape of what each draws for pictures of a size."""
    found = [layer for layer in model.sampler.layers if isinstance(layer, RowUniform)]
    return [(layer, (size >> (layer.salt - 1), size >> (layer.salt - 1), layer.output.shape[-1])) for layer in found]


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


def _with_masks(model: BaseGAN, size: int) -> Network:
    """(image, one mask of 0 and 1 for each dropout layer) -> image; every norm takes the image's own statistics."""
    noise = {}

    def layer_of(layer):
        return _Given(noise.get, name=layer.name) if isinstance(layer, RowUniform) else layer

    view = keras.models.clone_model(model.per_image_sampler(), clone_function=layer_of)
    shapes = {layer.name: tf.TensorSpec([1, *shape], tf.float32) for layer, shape in _drawing(model, size)}

    def function(images, *masks):
        # A mask of 0 and 1 in the place of uniform noise: what is at least the rate is kept.
        noise.update(zip(shapes, masks, strict=True))
        return {"images": model.translate(view, images, tf.zeros([1, 2], tf.int32))}

    picture = tf.TensorSpec([1, size, size, model.input_channels], tf.float32)
    return Network(function, {"images": picture} | shapes)
