"""Generative Adversarial Networks.

Ian Goodfellow, Jean Pouget-Abadie, Mehdi Mirza, Bing Xu, David Warde-Farley, Sherjil Ozair, Aaron Courville,
Yoshua Bengio, 2014. arXiv 1406.2661. Official code: github.com/goodfeli/adversarial (mnist.yaml).

Objective (equation 1, with the non-saturating generator loss of section 3):

    max_D  E_x[log D(x)] + E_z[log(1 - D(G(z)))]          max_G  E_z[log D(G(z))]

| paper | here |
|---|---|
| G(z; theta_g) | `generator`: z -> mean pixel probabilities in [0, 1] |
| D(x; theta_d) | `discriminator`: logit; D(x) = sigmoid(logit) |
| p_z(z) | `draw`: uniform on (-sqrt 3, sqrt 3), unit variance (official code) |
| k (Algorithm 1) | 1: one D update for each G update |

Training (mnist.yaml): SGD at rate 0.1, divided by 1.000004 after each update, not below 1e-6; momentum 0.5, rising to
0.7 over 250 epochs; batches of 100 of 50,000 digits, without augmentation, until monitoring ends the run; the other
10,000 choose sigma of the Parzen window (section 5). Weights uniform on +-0.05 in G and +-0.005 in D, biases 0, G's
last one the logit of the mean digit. All of this is preset `mnist-28`; `fashion-28` has the same on other pictures.

Deviations: the networks for TFD and CIFAR-10 are left out. A run ends after a number of steps, 250 epochs in
`mnist-28`. Images are [-1, 1] outside, as everywhere in ganzoo, and [0, 1] inside, as in the paper. D's dropout noise
is an input of the network (layers/dropout.py), drawn for the global batch.
"""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from ganzoo import losses
from ganzoo.base import Checks, LatentGAN
from ganzoo.layers import MaskedDropout, Maxout
from ganzoo.registry import register


def build_generator(*, image_size, channels, latent_dim, hidden) -> keras.Model:
    """z (N, latent_dim) -> pixel probabilities (N, pixels) in [0, 1]; rectifiers, then sigmoid (mnist.yaml)."""
    init = keras.initializers.RandomUniform(-0.05, 0.05)
    z = keras.Input((latent_dim,), name="latents")
    x = layers.Dense(hidden, "relu", kernel_initializer=init, name="hidden1")(z)
    x = layers.Dense(hidden, "relu", kernel_initializer=init, name="hidden2")(x)
    pixels = image_size * image_size * channels
    x = layers.Dense(pixels, "sigmoid", kernel_initializer=init, name="pixels", dtype="float32")(x)
    return keras.Model(z, x, name="generator")


def build_discriminator(
    *, image_size, channels, maxout_units, maxout_pieces, input_rate=0.2, hidden_rate=0.5
) -> keras.Model:
    """[pixels (N, pixels), noise (N, pixels + 2 * maxout_units) uniform in [0, 1)] -> logit (N, 1).

    The rates are shares *dropped*; mnist.yaml states the kept shares 0.8 (input) and 0.5 (hidden).
    """
    init = keras.initializers.RandomUniform(-0.005, 0.005)
    pixels, units = image_size * image_size * channels, maxout_units
    image = keras.Input((pixels,), name="pixels_in")
    noise = keras.Input((pixels + 2 * units,), name="noise")
    x = MaskedDropout(input_rate, name="input_dropout")([image, noise[:, :pixels]])
    x = Maxout(units, maxout_pieces, kernel_initializer=init, name="maxout1")(x)
    x = MaskedDropout(hidden_rate, name="dropout1")([x, noise[:, pixels : pixels + units]])
    x = Maxout(units, maxout_pieces, kernel_initializer=init, name="maxout2")(x)
    x = MaskedDropout(hidden_rate, name="dropout2")([x, noise[:, pixels + units :]])
    logit = layers.Dense(1, kernel_initializer=init, name="logit", dtype="float32")(x)
    return keras.Model([image, noise], logit, name="discriminator")


@register("gan")
class GAN(LatentGAN):
    """Fully connected G against a maxout D, the paper's MNIST setting (mnist.yaml).

    Args:
        image_size: side of the square images.
        channels: 1 or 3.
        latent_dim: width of z.
        hidden: width of G's two rectifier layers.
        maxout_units, maxout_pieces: of D's two maxout layers.
        ema_decay: decay of an averaged copy of G; the paper has none.
    """

    logs = ("d_loss", "g_loss", "fooled", "real_logit", "fake_logit")
    latent_distribution = "uniform"
    own_metrics = {"parzen": "parzen"}  # noqa: RUF012  (as in the base)
    checks = Checks(
        small={"model.image_size": 8, "model.hidden": 12, "model.maxout_units": 6, "model.latent_dim": 5}
        | {"data.size": 8, "data.split": "test"}
    )
    rounds = (("g_optimizer", "d_optimizer"),)

    def __init__(
        self,
        *,
        image_size=28,
        channels=1,
        latent_dim=100,
        hidden=1200,
        maxout_units=240,
        maxout_pieces=5,
        ema_decay=0.0,
    ):
        super().__init__(locals())
        self.pixels = image_size * image_size * channels
        self.register_networks(generator=build_generator, discriminator=build_discriminator)

    # ---- training: Algorithm 1 with k = 1 ------------------------------------------------------------------------
    def forward(self, data):
        """Draws the minibatches of Algorithm 1: real pixels, fakes, and the tape that recorded the fakes."""
        (image,) = self.unpack(data)
        real = tf.reshape((tf.cast(image, tf.float32) + 1) / 2, [-1, self.pixels])  # [-1, 1] -> [0, 1]
        z = self.noise(self.draw, "latents", tf.shape(real)[0], [self.latent_dim])
        with tf.GradientTape() as tape:
            fake = self.generator(z, training=True)
        return real, fake, tape

    def critic(self, pixels, stream):
        """D with fresh dropout from the named noise stream."""
        pictures = tf.reshape(pixels, [-1, self.image_size, self.image_size, self.channels])
        pixels = tf.reshape(self.for_d(pictures, low=0.0), [-1, self.pixels])
        width = self.pixels + 2 * self.maxout_units
        noise = self.noise(tf.random.stateless_uniform, stream, tf.shape(pixels)[0], [width])
        return self.discriminator([pixels, noise], training=True)

    def generator_step(self, real, fake, tape):
        with tape:
            fake_logits = self.critic(fake, "dropout_fake")
            # Section 3: max log D(G(z)).
            loss = self.g_loss(losses.non_saturating_g, fake_logits, lambda: self.critic(real, "dropout_real"))
        self.minimize(tape, loss, "g_optimizer")
        return loss

    def discriminator_step(self, real, fake):
        with tf.GradientTape() as tape:
            fake_logits = self.critic(tf.stop_gradient(fake), "dropout_fake")
            real_logits = self.critic(real, "dropout_real")
            loss = self.d_loss(losses.non_saturating_d, real_logits, fake_logits)
            half = 0.5 * loss  # the official cost is the mean of the two cross entropies
            half += self.r1(lambda x: self.critic(x, "dropout_real"), real)
            half += self.r2(lambda x: self.critic(x, "dropout_fake"), fake)
        self.minimize(tape, half, "d_optimizer")
        return half, self.judged(real_logits, fake_logits)

    def train_step(self, data):
        real, fake, tape = self.forward(data)
        # The official code takes both gradients at the same point. G moves first here, against the D that has not
        # moved, and D then sees the fakes made before: the same two gradients, one forward of G.
        g_loss = self.generator_step(real, fake, tape)
        d_loss, judgement = self.discriminator_step(real, fake)
        self.update_ema()
        return self.log(d_loss=d_loss, g_loss=g_loss, **judgement)

    def init_from_data(self, source):
        """G's output bias becomes the logit of the training set's mean image (mnist.yaml)."""
        total = sum(source.fetch(i, self.image_size)[0].astype("float64") for i in range(len(source)))
        mean = np.clip(total.reshape(-1) / (255 * len(source)), 1e-3, 1 - 1e-3)
        for network in (self.generator, *([self.ema_generator] if self.ema_decay else [])):
            network.get_layer("pixels").bias.assign(np.log(mean / (1 - mean)))

    # ---- sampling ------------------------------------------------------------------------------------------------
    def draw(self, shape, seed):
        """z of p_z, uniform with unit variance."""
        return tf.random.stateless_uniform(shape, seed, -(3.0**0.5), 3.0**0.5)

    def images_of(self, latents):
        """float32 images (N, H, W, C) in [-1, 1] of latents (N, latent_dim)."""
        pixels = self.sampler(latents, training=False) * 2 - 1
        return tf.reshape(pixels, [-1, self.image_size, self.image_size, self.channels])
