"""Learning a Probabilistic Latent Space of Object Shapes via 3D Generative-Adversarial Modeling.

Jiajun Wu, Chengkai Zhang, Tianfan Xue, William T. Freeman, Joshua B. Tenenbaum, 2016. arXiv 1610.07584. Official code:
github.com/zck119/3dgan-release (trained generators and sampling; no training code).

Objective (equation 1): L_3D-GAN = E_x[log D(x)] + E_z[log(1 - D(G(z)))], G trained by max E_z[log D(G(z))]. Equation 2,
3D-VAE-GAN, of shapes x with pictures y:  L = L_3D-GAN + a_1 KL(q(z|y) || N(0, 1)) + a_2 E ||G(E(y)) - x||_2.

| paper | here |
|---|---|
| G(z), figure 1: 4^3 convolutions 512-256-128-64-1 | `generator`: `project`, `up1` ... `upK`, each one doubles the grid |
| D(x), "mostly mirrors" G | `discriminator`: `down1` ... `downK`, `logit` |
| z, 200 numbers, i.i.d. uniform on [0, 1] | `latent_dim`; N(0, 1) with an encoder (section 3.2) |
| D is updated "only if its accuracy in the last batch is not higher than 80 %" | `accuracy_limit`, `d_accuracy` |
| E(y), five convolutions (section 3.2) | `encoder`, there is one if `encoder_size` is not 0 |
| a_1 = 5, a_2 = 1e-4 | `kl_weight`, `reconstruction_weight` |

Training (section 3.1): Adam, beta_1 0.5, at 0.0025 for G and 1e-5 for D; batches of 100; one network for each
category of ShapeNet in 64^3 voxels, without augmentation; length and initialisation are not given. Presets
`shapenet-64` and, for 3D-VAE-GAN with pictures of 256 pixels, `shapenet-vae-64` have these numbers and 25,000 steps;
`furniture-32` and `furniture-vae-32` have smaller nets and nearer rates.

Deviations: G takes the non-saturating loss for the formula's log(1 - D(G(z))). Convolutions before a batch norm have
no bias (the release zeroes them). Sampling uses standing statistics (recomputed after training), so that a shape
depends on its own z alone. Weights start at N(0, 0.02), as DCGAN's. Other grids follow the same rule, one stride-2
layer for a doubling; other pictures have a last encoder layer as wide as the map that is left, 8 at the paper's 256
pixels. The encoder's paddings are not given: they leave 64, 32, 16, 8 and 1 pixels. The rates of E are not given
either.
"""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from ganzoo import losses
from ganzoo.base import Around, Checks, LatentGAN, around, pixels, rows
from ganzoo.errors import GanzooError
from ganzoo.layers import BatchNorm, FastConv3D, FastConv3DTranspose, Zeroed
from ganzoo.media import shapes3d
from ganzoo.registry import register

CODE_LAYERS = ((64, 11, 4), (128, 5, 2), (256, 5, 2), (512, 5, 2))  # section 3.2: width, kernel, stride at nef = 64


def _init():
    return keras.initializers.RandomNormal(stddev=0.02)


def _norm(name):
    return BatchNorm(gamma_initializer=keras.initializers.RandomNormal(1.0, 0.02), name=name)


def _stages(grid_size):
    stages = (grid_size // 4).bit_length() - 1
    if stages < 1 or 4 * 2**stages != grid_size:
        raise GanzooError(f"3D-GAN doubles from 4x4x4, so grid_size is 8, 16, 32, 64, ...; received {grid_size}.")
    return stages


def build_generator(*, grid_size, latent_dim, ngf) -> keras.Model:
    """z (N, latent_dim) -> probabilities (N, grid_size, grid_size, grid_size, 1) that a voxel is filled.

    Args:
        ngf: width of the last hidden layer; doubles towards z (64 -> 512-256-128-64 at 64^3).
    """
    stages = _stages(grid_size)
    width = ngf * 2 ** (stages - 1)
    z = keras.Input((latent_dim,), name="latents")
    x = layers.Reshape((1, 1, 1, latent_dim), name="latents_1x1x1")(z)
    x = layers.Conv3DTranspose(width, 4, use_bias=False, kernel_initializer=_init(), name="project")(x)  # 4x4x4
    x = layers.ReLU(name="project_relu")(_norm("project_norm")(x))
    for stage in range(1, stages + 1):
        last = stage == stages
        filters = 1 if last else width >> stage
        x = FastConv3DTranspose(
            filters, 4, 2, "same", use_bias=False, kernel_initializer=_init(), name=f"up{stage}_conv"
        )(x)
        if not last:
            x = layers.ReLU(name=f"up{stage}_relu")(_norm(f"up{stage}_norm")(x))
    return keras.Model(z, layers.Activation("sigmoid", name="sigmoid", dtype="float32")(x), name="generator")


def build_discriminator(*, grid_size, ndf, bn_first) -> keras.Model:
    """voxels (N, grid_size, grid_size, grid_size, 1) -> logit (N, 1).

    Args:
        ndf: width of the first layer; doubles at each (64-128-256-512 at 64^3).
        bn_first: batch norm after the first layer too, as the text has it; False is DCGAN's rule, the more stable one.
    """
    voxels = keras.Input((grid_size, grid_size, grid_size, 1), name="voxels")
    x = voxels
    for stage in range(1, _stages(grid_size) + 1):
        width = ndf << (stage - 1)
        x = FastConv3D(width, 4, 2, "same", use_bias=False, kernel_initializer=_init(), name=f"down{stage}_conv")(x)
        if stage > 1 or bn_first:
            x = _norm(f"down{stage}_norm")(x)
        x = layers.LeakyReLU(0.2, name=f"down{stage}_lrelu")(x)
    x = layers.Conv3D(1, 4, use_bias=False, kernel_initializer=_init(), name="logit", dtype="float32")(x)
    return keras.Model(voxels, layers.Reshape((1,), name="logit_flat", dtype="float32")(x), name="discriminator")


def build_encoder(*, encoder_size, latent_dim, nef) -> keras.Model:
    """images (N, encoder_size, encoder_size, 3) in [-1, 1] -> mean and log-variance of q(z|y), (N, 2 * latent_dim).

    Args:
        encoder_size: a multiple of 32; the fifth layer covers what the four strides leave, 8x8 of the paper's 256 pixels.
        nef: width of the first layer: 64 -> 64-128-256-512.
    """
    if encoder_size < 32 or encoder_size % 32:
        raise GanzooError(
            f"The encoder's pictures have a side of 32, 64, 96, 128, ... pixels; received {encoder_size}."
        )
    image = keras.Input((encoder_size, encoder_size, 3), name="image")
    x = image
    for number, (width, kernel, stride) in enumerate(CODE_LAYERS, 1):
        x = layers.ZeroPadding2D((kernel - 1) // 2, name=f"code{number}_pad")(x)
        # The batch norm behind it subtracts the bias: it is kept at zero.
        x = layers.Conv2D(
            width * nef // 64, kernel, stride, kernel_initializer=_init(), bias_constraint=Zeroed(), name=f"code{number}_conv"
        )(x)  # fmt: skip
        x = layers.ReLU(name=f"code{number}_relu")(_norm(f"code{number}_norm")(x))
    x = layers.Conv2D(
        2 * latent_dim, encoder_size // 32, kernel_initializer=_init(), name="code5_conv", dtype="float32"
    )(x)
    return keras.Model(image, layers.Reshape((2 * latent_dim,), name="code", dtype="float32")(x), name="encoder")


def reconstruction_distance(made: tf.Tensor, real: tf.Tensor) -> tf.Tensor:
    """Mean over the batch of ||G(E(y)) - x||_2, the norm over all voxels of a shape."""
    squares = tf.reduce_sum(tf.square(tf.cast(made, tf.float32) - real), axis=[1, 2, 3, 4])
    return tf.reduce_mean(tf.sqrt(squares + 1e-12))  # the slope of a root at 0 is infinite


@register("3d-gan")
class GAN3D(LatentGAN):
    """Volumetric G and D; with an encoder the paper's second model, 3D-VAE-GAN, from a picture to a shape.

    Args:
        grid_size: voxels a side, 4 * 2^k.
        latent_dim: width of z (section 3.1).
        ngf, ndf: base widths of G and D.
        bn_first: batch norm after D's first layer (section 3.1 taken literally).
        accuracy_limit: D is updated if its accuracy in the last batch was not higher (section 3.1); 1 is always.
        encoder_size: side of the encoder's pictures, 256 in the paper; 0 for no encoder (3D-GAN).
        nef: base width of the encoder (section 3.2).
        kl_weight, reconstruction_weight: a_1 and a_2 (section 3.2).
        ema_decay: decay of an averaged copy of G; the paper has none.
    """

    standing = (16, 32)  # each shape has thousands of voxels
    logs: tuple[str, ...] = ("d_loss", "g_loss", "fooled", "real_logit", "fake_logit", "accuracy", "d_updated")
    makes = "voxels"
    refuses = {  # noqa: RUF012  (as in the base)
        "augment": "makes voxels, and the transformations are those of pictures",
        "ada_target": "makes voxels, and the transformations are those of pictures",
        "relativistic": "lets D move by its accuracy, which a zero between real and fake tells",
        "d_steps": "holds D back where it is too good (model.accuracy_limit), and not G",
    }
    own_metrics = {"linear-d-features": "linear of voxels"}  # noqa: RUF012  (as in the base)
    feature_layers = "_lrelu"
    # A voxel near 0.5 feels the gains and the last kernels; the first two kernels are most of the numbers.
    float32_keys = r"^ema_generator/(?!(project|up1_conv)/kernel)"
    checks = Checks(small={"model.grid_size": 8, "model.latent_dim": 6, "model.ngf": 4, "model.ndf": 3, "data.size": 8})

    def __init__(
        self,
        *,
        grid_size=64,
        latent_dim=200,
        ngf=64,
        ndf=64,
        bn_first=True,
        accuracy_limit=0.8,
        encoder_size=0,
        nef=64,
        kl_weight=5.0,
        reconstruction_weight=1e-4,
        ema_decay=0.0,
    ):
        super().__init__(locals())
        if not 0 <= accuracy_limit <= 1:
            raise GanzooError(f"accuracy_limit is a share from 0 to 1 (always update D); received {accuracy_limit}.")
        # Of the last batch, the mean over the replicas: all of them gate alike. 0 before the first: D is updated.
        self.d_accuracy = keras.Variable(0.0, trainable=False, dtype="float32", aggregation="mean", name="d_accuracy")
        encoder = {}
        if encoder_size:
            encoder["encoder"] = build_encoder
            self.players = {
                "d_optimizer": ("discriminator",),
                "e_optimizer": ("encoder",),
                "g_optimizer": ("generator",),
            }
            self.logs = (*GAN3D.logs, "kl", "reconstruction")
            self.trackers = {key: keras.metrics.Mean(name=key) for key in self.logs}
        self.register_networks(generator=build_generator, discriminator=build_discriminator, **encoder)

    @property
    def latent_distribution(self):
        return "normal" if self.encoder_size else "uniform"

    @property
    def reads_pictures(self):
        return bool(self.encoder_size)

    def training_state(self):
        return super().training_state() | {"d_accuracy": self.d_accuracy}

    # ---- training: D if it was not too good, E if there is one, then G against the updated D ----------------------
    def unpack(self, data):
        """As the base, but grids of bool or uint8 are occupancies 0 and 1, not pixels."""

        def as_floats(x):
            return tf.cast(x, tf.float32) if x is not None and len(x.shape) == 5 else x  # None: y of train_on_batch

        return super().unpack(tf.nest.map_structure(as_floats, data))

    def forward(self, data):
        """The real shapes with their pictures (none without an encoder), the fakes of this step, and their tape."""
        *pictures, real = self.unpack(data)
        z = self.noise(self.draw, "latents", tf.shape(real)[0], [self.latent_dim])
        with tf.GradientTape() as tape:
            fake = self.generator(z, training=True)
        return real, pictures, fake, tape

    def encode(self, picture):
        """z ~ q(z|y) for this step's pictures, by reparameterisation, and the mean over them of KL(q || N(0, 1))."""
        mean, log_variance = tf.split(self.encoder(picture, training=True), 2, axis=1)
        noise = self.noise(tf.random.stateless_normal, "code", tf.shape(picture)[0], [self.latent_dim])
        kl = 0.5 * tf.reduce_sum(tf.exp(log_variance) + mean**2 - 1 - log_variance, axis=1)
        return mean + tf.exp(0.5 * log_variance) * noise, tf.reduce_mean(kl)

    def due(self, player):
        """D moves if its accuracy in the last step says so."""
        return self.d_accuracy.value <= self.accuracy_limit if player == "d_optimizer" else True

    def judge(self, voxels):
        return self.discriminator(self.for_d(voxels, low=0.0), training=True)

    def discriminator_step(self, real, fake):
        due = self.due("d_optimizer")
        with tf.GradientTape() as tape:
            # Two passes: batch norm must not mix real and fake statistics.
            real_logits, fake_logits = self.judge(real), self.judge(tf.stop_gradient(fake))
            loss = self.d_loss(losses.non_saturating_d, real_logits, fake_logits)
            loss += self.r1(self.judge, real) + self.r2(self.judge, fake)
        self.minimize(tape, loss, "d_optimizer")
        right = tf.concat([real_logits > 0, fake_logits < 0], 0)
        accuracy = tf.reduce_mean(tf.cast(right, tf.float32))
        self.d_accuracy.assign(accuracy)
        judgement = self.judged(real_logits, fake_logits)
        return loss, judgement | {"accuracy": accuracy, "d_updated": tf.cast(due, tf.float32)}

    def encoder_step(self, real, picture):
        """E on a_1 KL + a_2 ||G(E(y)) - x||_2."""
        with tf.GradientTape() as tape:
            z, kl = self.encode(picture)
            distance = reconstruction_distance(self.generator(z, training=True), real)
            loss = self.kl_weight * kl + self.reconstruction_weight * distance
        self.minimize(tape, loss, "e_optimizer")
        return kl, distance

    def generator_step(self, real, pictures, fake, tape):
        with tape:
            loss = losses.non_saturating_g(self.judge(fake))
            total = loss
            for picture in pictures:
                z = tf.stop_gradient(self.encode(picture)[0])
                distance = reconstruction_distance(self.generator(z, training=True), real)
                total += self.reconstruction_weight * distance
        self.minimize(tape, total, "g_optimizer")
        return loss

    def train_step(self, data):
        real, pictures, fake, tape = self.forward(data)
        d_loss, logs = self.discriminator_step(real, fake)
        for picture in pictures:
            logs["kl"], logs["reconstruction"] = self.encoder_step(real, picture)
        g_loss = self.generator_step(real, pictures, fake, tape)
        self.update_ema()
        return self.log(d_loss=d_loss, g_loss=g_loss, **logs)

    def batch_signature(self):
        grid = {"voxels": tf.TensorSpec([None, *[self.grid_size] * 3, 1], tf.float32)}
        if not self.encoder_size:
            return grid
        return {"image": tf.TensorSpec([None, self.encoder_size, self.encoder_size, 3], tf.float32)} | grid

    # ---- sampling and serving ------------------------------------------------------------------------------------
    def draw(self, shape, seed):
        """z ~ U(0, 1), or N(0, 1) with an encoder, of the given shape."""
        if self.encoder_size:
            return tf.random.stateless_normal(shape, seed)
        return tf.random.stateless_uniform(shape, seed)

    def voxels_of(self, latents):
        """float32 probabilities (N, S, S, S, 1) of latents (N, latent_dim)."""
        return self.sampler(latents, training=False)

    def generate(self, n=16, *, seed=0, latents=None, images=None):
        """float32 probabilities (n, S, S, S, 1) that a voxel is filled; sample i depends on (seed, i) only.

        Args:
            latents: (n, latent_dim), instead of seed.
            images: of a model with an encoder: pictures (n, H, W, 1 or 3) of any size, uint8 or floats in [-1, 1]; the
                shape of a picture is that of the mean of q(z|y).

        Raises:
            GanzooError: bad numbers, or images for a model without an encoder.
        """
        if images is not None:
            latents = self.code_of(images)
        latents = rows.latent_rows(self, n, seed, latents)
        return rows.in_chunks(self.cached("generate", lambda: rows.graph_of(self.voxels_of)), latents)

    def code_of(self, images) -> np.ndarray:
        """float32 (n, latent_dim): the mean of q(z|y) of each picture."""
        if not self.encoder_size:
            raise GanzooError(
                "This 3d-gan has no encoder and makes shapes from noise only: leave images out, or take a preset with an "
                "encoder_size, such as 3d-gan/furniture-vae-32."
            )
        pictures = pixels.images_in(images, 3)
        if pictures.shape[1:3] != (self.encoder_size, self.encoder_size):
            pictures = tf.image.resize(pictures, [self.encoder_size] * 2, antialias=True)
        return rows.in_chunks(self.cached("encode", lambda: rows.graph_of(self._means)), pictures)

    def _means(self, pictures):
        return self.encoder(pictures, training=False)[:, : self.latent_dim]

    def pictures(self, samples):
        """uint8 pictures (n, side, side, 3) of shapes, shaded."""
        return shapes3d.render(samples)

    def serving_around(self):
        def shown(voxels):
            """float32 probabilities (N, S, S, S, 1) -> PNG bytes (N,): a picture of each shape."""
            return {"image_bytes": pixels.png_rows(pixels.depth_pictures(voxels))}

        grid = tf.TensorSpec([None, *[self.grid_size] * 3, 1], tf.float32, name="voxels")
        return Around(around.of_seeds(self), (shown, {"voxels": grid}))

    def serving_signature(self):
        """Seeds to PNG bytes, row i a picture of `generate(1, seed=seed[i])`, and to voxels, latents to voxels; with an
        encoder also pictures to voxels."""

        def shape(seed):
            """int64 seeds (N,) -> float32 probabilities (N, S, S, S, 1): the shape `generate(1, seed=seed[i])`."""
            return {"voxels": self.voxels_of(self.latents(rows.seeds_of(seed)))}

        def voxels(latents):
            """float32 latents (N, latent_dim) -> float32 probabilities (N, S, S, S, 1)."""
            return {"voxels": self.voxels_of(latents)}

        def reconstruct(images):
            """float32 images (N, encoder_size, encoder_size, 3) in [-1, 1] -> float32 probabilities (N, S, S, S, 1)."""
            return {"voxels": self.voxels_of(self._means(images))}

        tensors = voxels, {"latents": tf.TensorSpec([None, self.latent_dim], tf.float32, name="latents")}
        endpoints = {
            "serving_default": around.joined(self.serving_around(), tensors),
            "voxels": (shape, {"seed": around.SEED}),
            "tensors": tensors,
        }
        if self.encoder_size:
            size = [None, self.encoder_size, self.encoder_size, 3]
            endpoints["reconstruct"] = (reconstruct, {"images": tf.TensorSpec(size, tf.float32, name="images")})
        return endpoints
