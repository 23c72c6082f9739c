"""The channel-wise fully connected layer of context encoders."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("ganzoo")
class ChannelwiseDense(keras.layers.Layer):
    """A matrix of its own for each channel of (N, H, W, C), from all of its positions to all of its positions.

    Pathak et al. 2016 (1604.07379), section 3.1: it carries what is seen over the whole map, with C * (H W)^2 weights where a
    dense layer would have C^2 * (H W)^2; no channel sees another one, so that a 1x1 convolution follows it there. No
    activation. 340,992 parameters for the paper's 6x6 maps of 256 channels.
    """

    def build(self, input_shape):
        _, height, width, channels = input_shape
        positions = height * width
        init = keras.initializers.RandomNormal(stddev=0.02)
        self.kernel = self.add_weight(name="kernel", shape=(channels, positions, positions), initializer=init)
        self.bias = self.add_weight(name="bias", shape=(channels, positions), initializer="zeros")

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, inputs):
        _, height, width, channels = inputs.shape
        x = tf.reshape(inputs, [-1, height * width, channels])
        y = tf.einsum("npc,cpq->nqc", x, tf.cast(self.kernel, x.dtype)) + tf.cast(tf.transpose(self.bias), x.dtype)
        return tf.reshape(y, [-1, height, width, channels])
