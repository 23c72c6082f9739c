"""The other way through a tanh, for networks that add to a picture."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("ganzoo")
class Arctanh(keras.layers.Layer):
    """arctanh of values in [-1, 1], clipped to what it is at 0.999 (3.8), where it is steep: tanh(Arctanh(x)) is x within 0.001."""

    LARGEST = 0.999

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.built = True  # it has no variables; Keras looks before it trains on several devices

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, x):
        x = tf.clip_by_value(x, -self.LARGEST, self.LARGEST)
        return 0.5 * tf.math.log((1 + x) / (1 - x))  # runtimes of exports have a logarithm, and not all an arctanh
