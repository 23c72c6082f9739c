"""What papers share that turn pictures of any size into pictures: padding to the stride, one at a time, serving."""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from ganzoo.base import pixels, rows, views
from ganzoo.base.model import BaseGAN


def padded(translate: Callable, images: tf.Tensor, stride: int, least: int = 0) -> tf.Tensor:
    """`translate` of images (N, H, W, C) whose edges are repeated to a multiple of `stride`, and at least to `least`;
    cropped back."""

    def places(side):
        return tf.minimum(tf.range(tf.maximum(-(-side // stride) * stride, least)), side - 1)

    height, width = tf.shape(images)[1], tf.shape(images)[2]
    wide = tf.gather(tf.gather(images, places(height), axis=1), places(width), axis=2)
    return translate(wide)[:, :height, :width]


def one_by_one(model: BaseGAN, key: str, translate: Callable, images: tf.Tensor, seed: int) -> np.ndarray:
    """uint8 (N, H, W, C): `translate(image, seeds)` of each of float32 images (N, H, W, channels), traced once as `key`.

    One image at a time: the result cannot depend on the neighbours, not even by rounding. Row i of the seeds belongs to
    (seed, i).
    """

    def traced():
        signature = [tf.TensorSpec([1, None, None, images.shape[-1]]), tf.TensorSpec([1, 2], tf.int32)]
        return rows.graph_of(lambda x, seeds: pixels.to_uint8(translate(x, seeds)), signature)

    run, seeds = model.cached(key, traced), rows.row_seeds(seed, images.shape[0])
    return np.concatenate([run(images[i : i + 1], seeds[i : i + 1]).numpy() for i in range(images.shape[0])])


def endpoints(translate: Callable, channels: int) -> tuple[tuple, tuple]:
    """Two endpoints of `serving_signature`, bytes to bytes and floats to floats, of `translate(images, seeds)`."""

    def serve_row(row):
        image_bytes, seed = row
        x = pixels.decode_image(image_bytes, channels)[None]
        return tf.io.encode_png(pixels.to_uint8(translate(x, rows.seeds_of(seed[None])))[0])

    def serve(image_bytes, seed):
        """PNG, JPEG, GIF or BMP bytes (N,), each of its own size, and int64 seeds (N,) -> PNG bytes (N,)."""
        return {"image_bytes": tf.map_fn(serve_row, (image_bytes, seed), fn_output_signature=tf.string)}

    def tensors(images, seed):
        """float32 images (N, H, W, C) in [-1, 1] and int64 seeds (N,) -> float32 images in [-1, 1]."""
        return {"images": translate(images, rows.seeds_of(seed))}

    image = tf.TensorSpec([None, None, None, channels], tf.float32, name="images")
    seed = tf.TensorSpec([None], tf.int64, name="seed")
    image_bytes = tf.TensorSpec([None], tf.string, name="image_bytes")
    return (serve, {"image_bytes": image_bytes, "seed": seed}), (tensors, {"images": image, "seed": seed})


def with_noise_of_seed_0(network: keras.Model, translate: Callable, size: int, channels: int) -> tuple:
    """An endpoint of floats of one size: `translate(network, images, seeds)` with the noise of seed 0 as constants."""
    seeds = rows.row_seeds(0, 1)
    fixed = views.per_image_with_noise_of(network, seeds, keras.Input((size, size, channels), name="images"))

    def tensors(images):
        """float32 images (N, size, size, C) in [-1, 1] -> float32 images in [-1, 1]."""
        return {"images": translate(fixed, images, tf.tile(seeds, [tf.shape(images)[0], 1]))}

    return tensors, {"images": tf.TensorSpec([None, size, size, channels], tf.float32, name="images")}
