"""Improved Training of Wasserstein GANs.

Ishaan Gulrajani, Faruk Ahmed, Martin Arjovsky, Vincent Dumoulin, Aaron Courville, 2017. arXiv 1704.00028. Official code:
github.com/igul222/improved_wgan_training (gan_cifar.py, whose networks these are).

Objective (equation 3; D is a critic, a real number without a sigmoid):

    min_D  E_z[D(G(z))] - E_x[D(x)] + lambda E[(||grad D(x_hat)||_2 - 1)^2]          min_G  -E_z[D(G(z))]

with x_hat = eps x + (1 - eps) G(z), one eps ~ U[0, 1] for each sample.

| paper | here |
|---|---|
| critic D_w | `discriminator`: convolutions without any norm, which would mix the samples that the penalty takes one by one |
| lambda (Algorithm 1) | `gp_weight` |
| n_critic (Algorithm 1) | `n_critic` updates of D, each on real pictures, z and eps of its own; then one update of G |
| m, 64 | a batch of the data holds n_critic * m pictures: the real pictures of one step |
| -L without the penalty | `wasserstein` in the log, E[D(x)] - E[D(G(z))]: an estimate of the distance, up to the critic's slope |

Training (Algorithm 1): Adam at 1e-4, beta_1 0, beta_2 0.9; n_critic = 5, lambda = 10, m = 64. gan_cifar.py has beta_1
0.5 and 200,000 updates of G, the rate constant, CIFAR-10's 50,000 pictures without augmentation; its convolutions
start uniform with the variance 4 / (fan-in + fan-out), its linear layers as Glorot's. Preset `cifar-32` is this
script; `fashion-32` is a third as wide with m = 32, its rates are twice as high and fall to zero, and it averages G.

Deviations: none of `cifar-32` while it trains. The biases before a batch norm, which subtracts them again, stay at
zero. Sampling uses standing statistics (recomputed after training), so that an image depends on its own z alone; the
official script samples with batch statistics. It updates G before D in a step, and not in the first: the same order
of updates. Other sizes follow the same rule: one stride-2 layer for a doubling.
"""

import functools

import keras
import tensorflow as tf
from keras import layers

from ganzoo import losses, penalties
from ganzoo.base import Checks, LatentGAN
from ganzoo.errors import GanzooError
from ganzoo.layers import BatchNorm, FastConv2D, FastConv2DTranspose, Zeroed
from ganzoo.registry import register


def _init(shape, dtype=None):
    """tflib's: uniform with variance 4 / (fan_in + fan_out). A kernel's third axis is the wider map's channels, its fourth
    the narrower's (for a transposed convolution too), of whose connections a stride of 2 leaves a quarter."""
    height, width, wide, narrow = shape
    limit = (3 * 4 / (height * width * (wide + narrow / 4))) ** 0.5
    return keras.initializers.RandomUniform(-limit, limit)(shape, dtype)


def _stages(image_size):
    stages = (image_size // 4).bit_length() - 1
    if stages < 1 or 4 * 2**stages != image_size:
        raise GanzooError(f"WGAN-GP doubles from 4x4, so image_size is 8, 16, 32, 64, ...; received {image_size}.")
    return stages


def build_generator(*, image_size, channels, latent_dim, ngf) -> keras.Model:
    """z (N, latent_dim) -> images (N, image_size, image_size, channels) in [-1, 1].

    Args:
        ngf: width of the last hidden layer; doubles towards z (128 -> 512-256-128 at 32 px).
    """
    stages = _stages(image_size)
    width = ngf * 2 ** (stages - 1)
    z = keras.Input((latent_dim,), name="latents")
    x = layers.Dense(16 * width, bias_constraint=Zeroed(), name="project")(z)
    x = layers.ReLU(name="project_relu")(BatchNorm(name="project_norm")(x))  # by unit, before the reshape
    x = layers.Reshape((4, 4, width), name="grid")(x)
    for stage in range(1, stages + 1):
        last = stage == stages
        filters = channels if last else width >> stage
        options = {"kernel_initializer": _init, "bias_constraint": None if last else Zeroed()}
        x = FastConv2DTranspose(filters, 5, 2, padding="same", name=f"up{stage}_conv", **options)(x)
        if not last:
            x = layers.ReLU(name=f"up{stage}_relu")(BatchNorm(name=f"up{stage}_norm")(x))
    return keras.Model(z, layers.Activation("tanh", name="tanh", dtype="float32")(x), name="generator")


def build_discriminator(*, image_size, channels, ndf) -> keras.Model:
    """images (N, image_size, image_size, channels) -> score (N, 1); no row of it depends on another."""
    image = keras.Input((image_size, image_size, channels), name="image")
    x = image
    for stage in range(1, _stages(image_size) + 1):
        filters = ndf << (stage - 1)
        x = FastConv2D(filters, 5, 2, padding="same", kernel_initializer=_init, name=f"down{stage}_conv")(x)
        x = layers.LeakyReLU(0.2, name=f"down{stage}_lrelu")(x)
    x = layers.Flatten(name="flat")(x)
    return keras.Model(image, layers.Dense(1, name="score", dtype="float32")(x), name="discriminator")


@register("wgan-gp")
class WGANGP(LatentGAN):
    """DCGAN-shaped G against a critic without batch norm, whose gradient is held at norm 1.

    Args:
        image_size: 4 * 2^k; 32 for CIFAR-10.
        channels: of the images, 1 or 3.
        latent_dim: width of z (official script).
        ngf, ndf: base widths of G and D (official script, which itself advises 64).
        n_critic: updates of D for one of G. A batch is divided among them, so it holds n_critic * m rows.
        gp_weight: lambda, the weight of the gradient penalty.
        ema_decay: decay of an averaged copy of G; the paper has none.

    Raises:
        GanzooError: a size that 4x4 does not double to, or n_critic below 1.
    """

    logs = ("d_loss", "g_loss", "wasserstein", "penalty")
    batch_unit = "n_critic"
    refuses = {  # noqa: RUF012  (as in the base)
        "ada_target": "has a critic, whose scores have no zero between real and fake",
        "label_smoothing": "has a critic, whose scores have no targets",
        "relativistic": "has a critic, whose scores estimate a distance",
        "r1_gamma": "holds the critic's slope at 1 (model.gp_weight), and R1 wants 0",
        "r2_gamma": "holds the critic's slope at 1 (model.gp_weight), and R2 wants 0",
        "d_steps": "has it as model.n_critic",
    }
    checks = Checks(
        small={"model.image_size": 8, "model.ngf": 4, "model.ndf": 4, "model.latent_dim": 8, "model.n_critic": 2}
        | {"model.gp_weight": 1.0, "data.size": 8, "data.split": "test"}
    )

    def __init__(
        self, *, image_size=32, channels=3, latent_dim=128, ngf=128, ndf=128, n_critic=5, gp_weight=10.0, ema_decay=0.0
    ):
        super().__init__(locals())
        if n_critic < 1:
            raise GanzooError(f"n_critic is the number of D's updates in a step, at least 1; received {n_critic}.")
        self.register_networks(generator=build_generator, discriminator=build_discriminator)

    # ---- training: Algorithm 1 -----------------------------------------------------------------------------------
    @property
    def updates(self):
        return {"d_optimizer": self.n_critic, "g_optimizer": 1}

    def fakes(self, rows, stream):
        """G on fresh z of the named noise stream."""
        return self.generator(self.noise(self.draw, stream, rows, [self.latent_dim]), training=True)

    def judge(self, images, turn=0):
        return self.discriminator(self.for_d(images, turn=turn), training=True)

    def discriminator_step(self, real, update):
        rows = tf.shape(real)[0]
        fake = self.fakes(rows, f"latents{update}")
        eps = self.noise(tf.random.stateless_uniform, f"eps{update}", rows)
        with tf.GradientTape() as tape:
            critic = functools.partial(self.judge, turn=update)
            wasserstein = losses.wasserstein_d(critic(real), critic(fake))
            penalty = penalties.gradient_penalty(critic, real, fake, alpha=eps)
            loss = wasserstein + self.gp_weight * penalty
        self.minimize(tape, loss, "d_optimizer", update)
        return {"d_loss": loss, "wasserstein": -wasserstein, "penalty": penalty}

    def generator_step(self, rows):
        with tf.GradientTape() as tape:
            loss = losses.wasserstein_g(self.judge(self.fakes(rows, "latents")))
        self.minimize(tape, loss, "g_optimizer")
        return loss

    def train_step(self, data):
        shares = self.shares(*self.unpack(data))  # the real pictures of each update of D
        for update, (real,) in enumerate(shares):
            critic = self.discriminator_step(real, update)  # the last one is logged, as in the official script
        g_loss = self.generator_step(tf.shape(shares[0][0])[0])
        self.update_ema()
        return self.log(g_loss=g_loss, **critic)
