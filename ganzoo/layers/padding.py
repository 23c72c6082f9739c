"""Padding that Keras does not have."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("ganzoo")
class ReflectPad(keras.layers.Layer):
    """Mirrors `padding` rows and columns at each side of (N, H, W, C), the edge itself not repeated (torch's "reflect").

    H and W must be larger than `padding`.
    """

    def __init__(self, padding, **kwargs):
        super().__init__(**kwargs)
        self.padding = padding

    def call(self, inputs):
        sides = [self.padding, self.padding]
        return tf.pad(inputs, [[0, 0], sides, sides, [0, 0]], mode="REFLECT")

    def compute_output_shape(self, input_shape):
        n, h, w, c = input_shape
        return (n, h and h + 2 * self.padding, w and w + 2 * self.padding, c)

    def get_config(self):
        return super().get_config() | {"padding": self.padding}


@keras.saving.register_keras_serializable("ganzoo")
class DropFirst(keras.layers.Layer):
    """Cuts off the first row and column of (N, H, W, C), as torch's padding 1 with output padding 1 does.

    By `tf.slice`, whose gradient is a padding; that of `keras.layers.Cropping2D` took twice the time of the convolution.
    """

    def call(self, inputs):
        return tf.slice(inputs, [0, 1, 1, 0], [-1, -1, -1, -1])

    def compute_output_shape(self, input_shape):
        n, h, w, c = input_shape
        return (n, h and h - 1, w and w - 1, c)
