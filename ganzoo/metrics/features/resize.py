"""Resizing in the graph as Pillow does it, to the last rounding: the resize is part of a metric's protocol.

Parmar et al. 2022 (arXiv 2104.11222) show that libraries' resizes differ enough to change an FID. These are Pillow's:
antialiased, in two passes of fixed-point weights, each rounded and clipped to 0..255, and equal bit by bit. Every row of
pixels comes first and every column second, as in Pillow up to 12; Pillow 13 turns the passes round for pictures whose
height shrinks the most, so that tall pictures differ there, and square ones never.
"""

import math

import tensorflow as tf

# Name -> its name in tf.image.resize, for pictures of floats, which no protocol of uint8 pictures goes through.
METHODS = {"lanczos": "lanczos3", "bicubic": "bicubic", "bilinear": "bilinear"}
ONE = 2.0**22  # of Pillow's fixed-point weights of 8-bit pictures


def resize(images: tf.Tensor, size: int, method: str) -> tf.Tensor:
    """uint8 pictures (N, H, W, C) of any size to uint8 (N, size, size, C); `method` is a key of `METHODS`."""
    shape = tf.shape(images)
    x = _pass(tf.transpose(images, (0, 2, 1, 3)), _kernel(shape[2], size, method))
    return _pass(tf.transpose(x, (0, 2, 1, 3)), _kernel(shape[1], size, method))


def _pass(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """uint8 (n, length, other, C) -> uint8 (n, size, other, C) by a kernel (size, length). float64 holds the sums exactly."""
    shape = tf.shape(x)
    rows = tf.reshape(tf.cast(x, tf.float64), (shape[0], shape[1], shape[2] * shape[3]))
    sums = tf.floor((tf.matmul(kernel, rows) + ONE / 2) / ONE)  # halves go up
    out = tf.cast(tf.clip_by_value(sums, 0.0, 255.0), tf.uint8)
    return tf.reshape(out, (shape[0], tf.shape(kernel)[0], shape[2], shape[3]))


def _kernel(length: tf.Tensor, size: int, method: str) -> tf.Tensor:
    """float64 (size, length): the integer weights of one pass; a filter wider than a pixel when the pass shrinks."""
    scale = tf.cast(length, tf.float64) / size
    centres = (tf.range(size, dtype=tf.float64) + 0.5) * scale
    pixels = tf.range(tf.cast(length, tf.float64), dtype=tf.float64) + 0.5
    weights = _filter(tf.abs(pixels - centres[:, None]) / tf.maximum(scale, 1.0), method)
    weights *= ONE / tf.reduce_sum(weights, axis=1, keepdims=True)
    return tf.sign(weights) * tf.floor(tf.abs(weights) + 0.5)


def _filter(x: tf.Tensor, method: str) -> tf.Tensor:
    """Weight at distance x >= 0 in pixels: triangle, Keys' cubic with a = -1/2, or Lanczos of three lobes."""
    if method == "bilinear":
        return tf.maximum(1.0 - x, 0.0)
    if method == "bicubic":
        near, far = (1.5 * x - 2.5) * x**2 + 1.0, ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
        return tf.where(x < 1.0, near, tf.where(x < 2.0, far, 0.0))
    return tf.where(x < 3.0, _sinc(x) * _sinc(x / 3.0), 0.0)


def _sinc(x: tf.Tensor) -> tf.Tensor:
    angle = math.pi * tf.where(x > 0.0, x, 1.0)
    return tf.where(x > 0.0, tf.sin(angle) / angle, 1.0)
