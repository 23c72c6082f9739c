"""Pixel shuffle, and the initial weights that make it a nearest-neighbour enlargement."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("ganzoo")
class PixelShuffle(keras.layers.Layer):
    """(N, H, W, 4 C) -> (N, 2 H, 2 W, C) (Shi et al. 2016, arXiv 1609.05158): the k-th run of C channels becomes the k-th
    pixel of each square of 2 x 2, row by row."""

    def call(self, inputs):
        return tf.nn.depth_to_space(inputs, 2)

    def compute_output_shape(self, input_shape):
        n, h, w, c = input_shape
        return (n, None if h is None else 2 * h, None if w is None else 2 * w, c // 4)


@keras.saving.register_keras_serializable("ganzoo")
class EqualSubfilters(keras.initializers.Initializer):
    """Kernels of a convolution before a `PixelShuffle`: all four pixels of a square begin with the same sub-filter, drawn by
    `initializer`, so that there are no checkerboards at the start (Aitken et al. 2017, arXiv 1707.02937)."""

    def __init__(self, initializer):
        self.initializer = keras.initializers.get(initializer)

    def __call__(self, shape, dtype=None):
        *head, filters = shape
        return keras.ops.tile(self.initializer((*head, filters // 4), dtype), [1] * len(head) + [4])

    def get_config(self):
        return {"initializer": keras.initializers.serialize(self.initializer)}
