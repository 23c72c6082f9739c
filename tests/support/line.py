"""A model of two numbers, where every step can be worked out by hand."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from ganzoo.base import BaseGAN

COLUMN = np.array([[1.0], [2.0], [3.0], [6.0]], "float32")


def network(name):
    x = keras.Input((1,))
    return keras.Model(x, layers.Dense(1, use_bias=False, kernel_initializer="ones", name=name)(x))


@keras.saving.register_keras_serializable("tests")
class Line(BaseGAN):
    """G(z) = w z and D(x) = v x; the losses are mean G and mean D. `noisy` adds noise of the global batch."""

    task = "latent"
    paper = "line"
    network = staticmethod(network)

    def __init__(self, *, noisy=False, ema_decay=0.0):
        super().__init__(locals())
        self.register_networks(generator=lambda: self.network("g"), discriminator=lambda: self.network("d"))

    def train_step(self, batch):
        (x,) = self.unpack(batch)
        if self.noisy:
            x = x + self.noise(tf.random.stateless_normal, "x", tf.shape(x)[0], [1])
        with tf.GradientTape() as tape:
            g_loss = tf.reduce_mean(self.generator(x))
        self.minimize(tape, g_loss, "g_optimizer")
        with tf.GradientTape() as tape:
            d_loss = 10 * tf.reduce_mean(self.discriminator(x))
        self.minimize(tape, d_loss, "d_optimizer")
        self.update_ema()
        return self.log(d_loss=d_loss, g_loss=g_loss, fooled=tf.constant(0.5))

    def batch_signature(self):
        return {"image": tf.TensorSpec([None, 1], tf.float32)}


def line(rate=0.1, **kwargs):
    model = Line(**kwargs)
    model.compile(g_optimizer=keras.optimizers.SGD(rate), d_optimizer=keras.optimizers.SGD(rate))
    return model


def weight(network):
    return float(network.weights[0].value[0, 0])
