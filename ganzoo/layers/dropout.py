"""Dropout whose noise is an input: equal on any number of replicas, restored by a step number, exportable."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("ganzoo")
class MaskedDropout(keras.layers.Layer):
    """Inverted dropout from given noise: `layer([x, u])` keeps x where u >= rate and scales it by 1 / (1 - rate).

    `u` has the shape of x and is uniform in [0, 1). Unlike `keras.layers.Dropout`, which draws the same mask on every
    replica, the caller owns the noise (design: noise belongs to the global sample). Off when `training` is false.
    """

    def __init__(self, rate, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise ValueError(f"rate is the share of units dropped and must be in [0, 1); received {rate}.")
        self.rate = rate

    def compute_output_shape(self, input_shape):
        return input_shape[0]

    def call(self, inputs, training=None):
        x, uniform = inputs
        if not training:
            return x
        keep = tf.cast(uniform >= self.rate, x.dtype)
        return x * keep * (1 / (1 - self.rate))

    def get_config(self):
        return super().get_config() | {"rate": self.rate}


@keras.saving.register_keras_serializable("ganzoo")
class RowUniform(keras.layers.Layer):
    """Uniform noise in [0, 1) of the shape of x, row i drawn from seeds[i] alone: `layer([x, seeds])`.

    So the mask of an image depends neither on its place in the batch nor on its neighbours. `seeds` is int32 (N, 2);
    `salt` tells apart the layers that share the seeds.
    """

    def __init__(self, salt, **kwargs):
        super().__init__(**kwargs)
        self.salt = salt

    def call(self, inputs):
        x, seeds = inputs
        shape = tf.shape(x)[1:]
        salted = tf.bitwise.bitwise_xor(tf.cast(seeds, tf.int32), tf.constant([self.salt, 0], tf.int32))
        noise = tf.map_fn(lambda seed: tf.random.stateless_uniform(shape, seed), salted, fn_output_signature=tf.float32)
        return tf.ensure_shape(noise, x.shape)

    def get_config(self):
        return super().get_config() | {"salt": self.salt}
