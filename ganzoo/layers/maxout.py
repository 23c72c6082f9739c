"""Maxout units (Goodfellow et al. 2013, 1302.4389)."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("ganzoo")
class Maxout(keras.layers.Layer):
    """`units` outputs, each the largest of `pieces` linear maps of the input, each piece with its own bias.

    Input (N, D), output (N, units); D * units * pieces + units * pieces parameters.
    """

    def __init__(self, units, pieces, *, kernel_initializer="glorot_uniform", **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.pieces = pieces
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape):
        width = self.units * self.pieces
        self.kernel = self.add_weight(
            name="kernel", shape=(input_shape[-1], width), initializer=self.kernel_initializer
        )
        self.bias = self.add_weight(name="bias", shape=(width,), initializer="zeros")

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.units)

    def call(self, inputs):
        maps = tf.matmul(inputs, self.kernel) + self.bias
        return tf.reduce_max(tf.reshape(maps, [-1, self.units, self.pieces]), axis=-1)

    def get_config(self):
        return super().get_config() | {
            "units": self.units,
            "pieces": self.pieces,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
