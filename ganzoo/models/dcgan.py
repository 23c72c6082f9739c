"""Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks.

Alec Radford, Luke Metz, Soumith Chintala, 2015. arXiv 1511.06434. Official code: github.com/Newmu/dcgan_code; the
default topology is that of github.com/pytorch/examples (dcgan), which the field calls DCGAN today.

Objective: min_G max_D  E_x[log D(x)] + E_z[log(1 - D(G(z)))], G trained by max E_z[log D(G(z))].

| paper | here |
|---|---|
| Z, "project and reshape" (figure 1) | `project`: a transposed convolution from 1x1 to 4x4 = a linear map |
| fractionally-strided convolutions | `up1` ... `upK`, stride 2, widths halving to `ngf` |
| CONV 1 ... 4 | `up*`, the last one without batch norm, tanh |
| discriminator | `down1` ... `downK`, stride 2, leaky slope 0.2, then `logit` |

Training (section 4): Adam at 2e-4, beta_1 0.5; batches of 128; weights N(0, 0.02), gains N(1, 0.02); images scaled to
[-1, 1] and not augmented; LSUN's 3 million bedrooms for one and for five epochs (figures 2 and 3). Preset `lsun-64`
has these numbers with five epochs, `pytorch-64` the example's, batches of 64.

Deviations: none in the networks of the two paper-size presets. `pytorch-64` is the PyTorch example (kernel 4, z
normal, batch norm by channel after the projection); `lsun-64` the paper's figure 1 and faces script (kernel 5, widths
1024 ... 128, z uniform, batch norm by *unit* after the projection, epsilon 1e-8), without the script's weight decay,
which the paper does not mention, and without the removal of near duplicates from LSUN (section 4.1.1). Both networks
move in every step, D first, on one z; the script moves them in turn, each on a z of its own. Sampling uses standing
statistics (recomputed after training), so that an image depends on its own z alone; the official script samples with
batch statistics. Other sizes follow the same rule: one stride-2 layer for a doubling.
"""

import keras
import tensorflow as tf
from keras import layers

from ganzoo import losses
from ganzoo.base import Checks, LatentGAN
from ganzoo.errors import GanzooError
from ganzoo.layers import BatchNorm, FastConv2D, FastConv2DTranspose
from ganzoo.registry import register


def _init():
    return keras.initializers.RandomNormal(stddev=0.02)  # section 4: N(0, 0.02)


def _norm(name, epsilon):
    return BatchNorm(epsilon=epsilon, gamma_initializer=keras.initializers.RandomNormal(1.0, 0.02), name=name)


def _stages(image_size):
    stages = (image_size // 4).bit_length() - 1
    if stages < 1 or 4 * 2**stages != image_size:
        raise GanzooError(f"DCGAN doubles from 4x4, so image_size is 8, 16, 32, 64, ...; received {image_size}.")
    return stages


def build_generator(*, image_size, channels, latent_dim, ngf, kernel_size, unit_norm, epsilon) -> keras.Model:
    """z (N, latent_dim) or (N, 1, 1, latent_dim) -> images (N, image_size, image_size, channels) in [-1, 1].

    Args:
        ngf: width of the last hidden layer; doubles towards z (64 -> 512-256-128-64 at 64 px).
        kernel_size: 4 (PyTorch example) or 5 (paper). Odd kernels pad (k - 1) / 2 as Theano and torch do.
        unit_norm: batch norm after the projection by unit (4 * 4 * width gains), as the official code, not by channel.
        epsilon: of every batch norm.
    """
    stages = _stages(image_size)
    width = ngf * 2 ** (stages - 1)
    z = keras.Input((latent_dim,), name="latents")
    x = layers.Reshape((1, 1, latent_dim), name="latents_1x1")(z)
    x = layers.Conv2DTranspose(width, 4, use_bias=False, kernel_initializer=_init(), name="project")(x)  # 4x4
    if unit_norm:
        x = layers.Reshape((16 * width,), name="units")(x)
        x = layers.Reshape((4, 4, width), name="grid")(_norm("project_norm", epsilon)(x))
    else:
        x = _norm("project_norm", epsilon)(x)
    x = layers.ReLU(name="project_relu")(x)
    for stage in range(1, stages + 1):
        last = stage == stages
        x = _up(channels if last else width >> stage, kernel_size, f"up{stage}")(x)
        if not last:
            x = layers.ReLU(name=f"up{stage}_relu")(_norm(f"up{stage}_norm", epsilon)(x))
    return keras.Model(z, layers.Activation("tanh", name="tanh", dtype="float32")(x), name="generator")


def build_discriminator(*, image_size, channels, ndf, kernel_size, epsilon) -> keras.Model:
    """images (N, image_size, image_size, channels) -> logit (N, 1); no batch norm on the first layer (section 3)."""
    image = keras.Input((image_size, image_size, channels), name="image")
    x = image
    stages = _stages(image_size)
    for stage in range(1, stages + 1):
        x = _down(ndf << (stage - 1), kernel_size, f"down{stage}")(x)
        if stage > 1:
            x = _norm(f"down{stage}_norm", epsilon)(x)
        x = layers.LeakyReLU(0.2, name=f"down{stage}_lrelu")(x)
    # A 4x4 valid convolution to one channel is the paper's "flatten and feed into a single output".
    x = layers.Conv2D(1, 4, use_bias=False, kernel_initializer=_init(), name="logit", dtype="float32")(x)
    return keras.Model(image, layers.Reshape((1,), name="logit_flat", dtype="float32")(x), name="discriminator")


def _up(filters, kernel_size, name):
    """Doubling transposed convolution. `same` equals torch for kernel 4; kernel 5 needs torch's padding 2, output
    padding 1: the full result less two rows before and one after."""
    options = {"strides": 2, "use_bias": False, "kernel_initializer": _init()}
    if kernel_size % 2 == 0:
        return FastConv2DTranspose(filters, kernel_size, padding="same", name=f"{name}_conv", **options)
    before = (kernel_size - 1) // 2
    crop = layers.Cropping2D(((before, before - 1), (before, before - 1)), name=f"{name}_crop")
    full = FastConv2DTranspose(filters, kernel_size, padding="valid", name=f"{name}_conv", **options)
    return lambda x: crop(full(x))


def _down(filters, kernel_size, name):
    """Halving convolution with torch's symmetric padding (k - 1) // 2. For kernel 4 and an even size that is `same`
    (and 8 % of a step faster than a padding layer); an odd kernel would be padded unevenly."""
    options = {"strides": 2, "use_bias": False, "kernel_initializer": _init(), "name": f"{name}_conv"}
    if kernel_size % 2 == 0:
        return FastConv2D(filters, kernel_size, padding="same", **options)
    pad = layers.ZeroPadding2D((kernel_size - 1) // 2, name=f"{name}_pad")
    conv = FastConv2D(filters, kernel_size, **options)
    return lambda x: conv(pad(x))


@register("dcgan")
class DCGAN(LatentGAN):
    """All-convolutional G and D with batch norm, ReLU in G, leaky ReLU in D.

    Args:
        image_size: 4 * 2^k.
        channels: of the images, 1 or 3.
        latent_dim: width of z (section 4).
        latent_distribution: "normal" (PyTorch example) or "uniform" on [-1, 1] (paper).
        ngf, ndf: base widths of G and D: 64 (PyTorch example) or 128 (paper).
        kernel_size: 4 (PyTorch example) or 5 (paper).
        unit_norm: batch norm by unit after the projection, as the official code.
        epsilon: of the batch norms: 1e-5 (PyTorch example), 1e-8 (official code).
        ema_decay: decay of an averaged copy of G; the paper has none.
    """

    logs = ("d_loss", "g_loss", "fooled", "real_logit", "fake_logit")
    own_metrics = {"linear-d-features": "linear"}  # noqa: RUF012  (as in the base)
    feature_layers = "_lrelu"
    checks = Checks(
        small={"model.image_size": 8, "model.ngf": 4, "model.ndf": 4, "model.latent_dim": 8}
        | {"data.size": 8, "data.split": "test"}
    )

    def __init__(
        self,
        *,
        image_size=64,
        channels=3,
        latent_dim=100,
        latent_distribution="normal",
        ngf=64,
        ndf=64,
        kernel_size=4,
        unit_norm=False,
        epsilon=1e-5,
        ema_decay=0.0,
    ):
        super().__init__(locals())
        if latent_distribution not in ("normal", "uniform"):
            raise GanzooError(f'latent_distribution is "normal" or "uniform"; received {latent_distribution!r}.')
        self.register_networks(generator=build_generator, discriminator=build_discriminator)

    # ---- training: D, then G against the updated D, on one forward of G -------------------------------------------
    def forward(self, data):
        """The real batch, the fakes of this step, and the tape that recorded them."""
        (real,) = self.unpack(data)
        z = self.noise(self.draw, "latents", tf.shape(real)[0], [self.latent_dim])
        with tf.GradientTape() as tape:
            fake = self.generator(z, training=True)
        return real, fake, tape

    def judge(self, images):
        return self.discriminator(self.for_d(images), training=True)

    def discriminator_step(self, real, fake):
        with tf.GradientTape() as tape:
            # Two passes: batch norm must not mix real and fake statistics.
            real_logits, fake_logits = self.judge(real), self.judge(tf.stop_gradient(fake))
            loss = self.d_loss(losses.non_saturating_d, real_logits, fake_logits)
            loss += self.r1(self.judge, real) + self.r2(self.judge, fake)
        self.minimize(tape, loss, "d_optimizer")
        return loss, self.judged(real_logits, fake_logits)

    def generator_step(self, real, fake, tape):
        with tape:
            loss = self.g_loss(losses.non_saturating_g, self.judge(fake), lambda: self.judge(real))
        self.minimize(tape, loss, "g_optimizer")
        return loss

    def train_step(self, data):
        real, fake, tape = self.forward(data)
        d_loss, judgement = self.discriminator_step(real, fake)
        g_loss = self.generator_step(real, fake, tape)
        self.update_ema()
        return self.log(d_loss=d_loss, g_loss=g_loss, **judgement)

    # ---- sampling ------------------------------------------------------------------------------------------------
    def draw(self, shape, seed):
        """z ~ N(0, 1) or U(-1, 1) of the given shape."""
        if self.latent_distribution == "normal":
            return tf.random.stateless_normal(shape, seed)
        return tf.random.stateless_uniform(shape, seed, -1.0, 1.0)
