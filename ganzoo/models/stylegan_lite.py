"""A Style-Based Generator Architecture for Generative Adversarial Networks.

Tero Karras, Samuli Laine, Timo Aila, 2018. arXiv 1812.04948. Official code: github.com/NVlabs/stylegan.

Objective: D: min E[softplus(-D(x))] + E[softplus(D(G(z)))] + gamma/2 E|grad_x D(x)|^2 (R1, on reals);
G: min E[softplus(-D(G(z)))] (non-saturating logistic loss).

| paper | here |
|---|---|
| z, f, w (section 2) | `latents`, `generator.mapping`, `w`; one w for each of the 2 log2(size) - 2 layers |
| g, synthesis network (figure 1b) | `generator.synthesis`; `res8_up`, `res8_conv`, ... and `to_rgb_8` |
| A, B, AdaIN | `StyleEpilogue` after each convolution: noise, bias, leaky ReLU, norm, style |
| D | `discriminator`; `from_rgb_8`, `res8_conv`, `res8_down`, ..., minibatch deviation at 4x4 |
| mixing regularisation (section 3.1) | `mixing`: a batch's layers from a random one on take a second w |
| w bar, psi (appendix B) | `generator.w_avg`, `truncation_psi`; layers from `truncation_cutoff` on stay as they are |
| R1, gamma | `r1_gamma`, every `r1_interval` steps (1 in the paper; lazy: gamma times the interval) |
| lod (progressive growing, 1710.10196) | `lod`: how often the full size is halved; its fraction fades the next size in |
| training schedule (appendix C) | `segments`, of the table `train.growth`; without it all steps are of the full size |

Training (appendix C; train.py of the code): Adam, beta_1 0, beta_2 0.99, epsilon 1e-8, at 1e-3 (1.5e-3 at 128 px,
2e-3 at 256, 3e-3 from 512 on); R1 with gamma = 10 at every step, of pictures in the full size at every lod; batches
of 256 at 8 px, 128, 64, then 32 (8 GPUs); from 8x8 on 600,000 images at each size and 600,000 while the next one
fades in, 25 million in all, Adam anew at each size; FFHQ mirrored. G is averaged with a half-life of 10,000 images
(`ema_images`); psi = 0.7 on the first 8 layers. All weights N(0, 1) times the equalised scale, biases 0, the constant
1, the styles' scales 1, noise strengths 0. Preset `ffhq-1024` has these numbers; `lorelei-64` and `fluent-128` are
small, of one size.

Deviations: none in the networks. The official code moves the schedule every fourth step, this one every step; a layer
whose size is not reached has no update instead of one by a zero gradient. Fakes take the labels of the batch instead
of others from the training set. `fresh_latents = False` shows D and G the same fakes, as the 2014 algorithm allows,
and saves a forward pass (the paper draws again). A doubling or halving convolution of any size runs as one 4x4
convolution of stride 2, which the official code does from 128 px on ("fused"): the numbers are the same. Samples use
each layer's stored noise, so that an image is a function of its latent; the official code draws it anew by default.
CelebA-HQ's loss (WGAN-GP) is left out. R1 is taken at the size that trains, and scaled to what it is at the full one.
Small presets truncate all layers. `mixing_per_sample` mixes each sample by itself. Not of this paper are `augment`
(DiffAugment, 2006.10738) and `ada_target` (ADA's controller, 2006.06676), both off by default, lazy R1
(`r1_interval`, StyleGAN2's), `normalization = "demodulation"`, StyleGAN2's in the place of AdaIN, and `saturated`, a tanh
behind the last layer; `lorelei-64` has these three.
"""

import inspect
import math
import re

import keras
import numpy as np
import tensorflow as tf

from ganzoo import losses, penalties
from ganzoo.augment import Augmenter
from ganzoo.base import Around, Checks, LatentGAN, around, pixels, rows
from ganzoo.base.segments import growing_segments
from ganzoo.errors import GanzooError
from ganzoo.layers import Blur, EqualizedConv2D, EqualizedDense, MinibatchStddev, StyleEpilogue, demodulation
from ganzoo.registry import register


def _levels(image_size):
    """log2 of the sizes 4, 8, ..., image_size."""
    level = int(image_size).bit_length() - 1
    if level < 3 or 2**level != image_size:
        raise GanzooError(f"StyleGAN doubles from 4x4: image_size is 8, 16, 32, 64, ...; received {image_size}.")
    return range(2, level + 1)


def _width(level, fmap_base, fmap_max):
    """Feature maps at size 2^level (appendix C): 512 up to 32 px, then halving."""
    return min(int(fmap_base / 2 ** (level - 1)), fmap_max)


class _Network(keras.Model):
    """Keeps its constructor's arguments (`locals()`), with which an imported network comes back from a .keras file.

    Computes in float32 itself; the layers in it follow the policy.
    """

    def __init__(self, arguments):
        super().__init__(name=arguments["name"], dtype="float32")
        names = inspect.signature(type(self).__init__).parameters
        self.arguments = {name: arguments[name] for name in names if name != "self"}

    def get_config(self):
        return dict(self.arguments)


@keras.saving.register_keras_serializable("ganzoo")
class Mapping(_Network):
    """f: z (N, latent_dim), or [z, labels], -> w (N, w_dim). Labels are int (N,) or one-hot (N, classes).

    z is normalised to unit mean square, together with the label's learned vector if there is one. The learning rate of
    its dense layers is `lrmul` times the others' (appendix C). All in float32: it is cheap, and everything hangs on w.
    """

    def __init__(self, *, latent_dim, w_dim, depth, width, lrmul, classes, name="mapping"):
        super().__init__(locals())
        self.classes = classes
        if classes:  # the gain undoes the equalised scale: the official code has none here
            self.embedding = EqualizedDense(
                latent_dim, gain=math.sqrt(classes), use_bias=False, name="label_embedding", dtype="float32"
            )
            self.embedding.build((None, classes))
        self.stack, received = [], latent_dim * (2 if classes else 1)
        for i in range(depth):
            units = w_dim if i == depth - 1 else width
            self.stack.append(EqualizedDense(units, lrmul=lrmul, name=f"dense{i}", dtype="float32"))
            self.stack[-1].build((None, received))
            received = units
        self.built = True

    def call(self, inputs):
        z = inputs
        if self.classes:
            z, labels = inputs
            labels = tf.one_hot(labels, self.classes) if labels.shape.rank == 1 else labels
            z = tf.concat([z, tf.cast(self.embedding(labels), z.dtype)], axis=-1)
        x = z * tf.math.rsqrt(tf.reduce_mean(tf.square(z), -1, keepdims=True) + 1e-8)
        for dense in self.stack:
            x = tf.nn.leaky_relu(dense(x), 0.2)
        return x


@keras.saving.register_keras_serializable("ganzoo")
class Synthesis(_Network):
    """g: w (N, layers, w_dim) -> float32 images (N, H, W, channels), about [-1, 1].

    Args:
        growing: keep a `to_rgb` for every size, as progressive growing needs; else only for the last.
        noise_inputs: add noise after each convolution.
        normalization: "instance" (the paper's AdaIN) or "demodulation" (StyleGAN2's).
        saturated: a tanh behind the last layer.
    """

    def __init__(
        self, *, image_size, channels, w_dim, fmap_base, fmap_max, growing, noise_inputs, normalization="instance",
        saturated=False, name="synthesis",
    ):  # fmt: skip
        super().__init__(locals())
        self.noisy, self.demodulated, self.saturated = noise_inputs, normalization == "demodulation", saturated
        self.levels = _levels(image_size)
        widths = {level: _width(level, fmap_base, fmap_max) for level in self.levels}
        self.num_layers = 2 * len(self.levels)
        normal = {"initializer": "ones", "dtype": "float32", "autocast": False}
        self.const = self.add_weight(name="const", shape=(1, 4, 4, widths[2]), **normal)
        self.blur = Blur(name="blur")
        self.convolutions, self.epilogues, self.to_rgb = [], [], {}
        for level in self.levels:
            size, width, before = 2**level, widths[level], widths[max(level - 1, 2)]
            up = None  # at 4x4 the learned constant stands instead of a convolution
            if level > 2:
                up = self._convolution(before, width, f"res{size}_up", resample="up")
            self._epilogue(size, width, w_dim, f"res{size}_{'up' if up else 'const'}_style")
            self._convolution(width, width, f"res{size}_conv")
            self._epilogue(size, width, w_dim, f"res{size}_conv_style")
            if growing or level == self.levels[-1]:
                rgb = EqualizedConv2D(channels, kernel_size=1, gain=1.0, name=f"to_rgb_{size}", dtype="float32")
                rgb.build((None, size, size, width))
                self.to_rgb[str(level)] = rgb
        self.built = True

    def _convolution(self, received, width, name, **more):
        self.convolutions.append(EqualizedConv2D(width, use_bias=False, name=name, **more))
        self.convolutions[-1].build((None, None, None, received))
        return self.convolutions[-1]

    def _epilogue(self, size, width, w_dim, name):
        self.epilogues.append(StyleEpilogue(noisy=self.noisy, normalized=not self.demodulated, name=name))
        self.epilogues[-1].build((None, size, size, width), (None, w_dim))

    def noise_shapes(self, lod=0):
        """(H, W) of the noise map of each layer that runs at this lod."""
        return [(2**level, 2**level) for level in self.levels[: len(self.levels) - lod] for _ in range(2)]

    def call(self, w, lod=0.0, fade=None, noise=None, native=False, training=None):
        """Images of the size `image_size`, whatever the lod, or of the size that it stands for if `native`.

        Args:
            w: (N, layers, w_dim); layers past the last that runs are not read.
            lod: how often the full size is halved; a fraction blends in the next smaller size. A Python number.
            fade: the fraction as a tensor; lod is whole then.
            noise: one (N or 1, H, W, 1) a layer (`noise_shapes`); None for the stored noise.
        """
        whole, fade = _lod(lod, fade, len(self.levels))
        noise = noise or [None] * self.num_layers
        last = self.levels[-1] - whole
        smaller = None
        convolutions = iter(self.convolutions)
        for i, epilogue in enumerate(self.epilogues[: 2 * (last - 1)]):
            level = i // 2 + 2
            if i == 0:
                x = tf.tile(tf.cast(self.const.value, self.blur.compute_dtype), [tf.shape(w)[0], 1, 1, 1])
            else:
                if i % 2 == 0 and level == last and fade is not None:
                    smaller = self.to_rgb[str(level - 1)](x)
                convolution = next(convolutions)
                x = convolution(x)
                if self.demodulated:
                    scale = self.epilogues[i - 1].scale(w[:, i - 1])
                    x *= tf.cast(demodulation(convolution.scaled_kernel(), scale), x.dtype)
                x = self.blur(x) if i % 2 == 0 else x
            x = epilogue(x, w[:, i], noise[i])
        image = self.to_rgb[str(last)](x)
        if smaller is not None:
            image += (_doubled(smaller, 2) - image) * fade
        image = tf.tanh(image) if self.saturated else image
        return image if native else _doubled(image, 2**whole)


@keras.saving.register_keras_serializable("ganzoo")
class Generator(keras.Model):
    """`mapping`, `synthesis` and the running mean of w, `w_avg`. `generator(z)` is the untruncated image.

    A growing one also keeps the `lod` that its training has reached.
    """

    def __init__(self, mapping, synthesis, w_dim, growing=False, name="generator"):
        super().__init__(name=name, dtype="float32")
        self.mapping, self.synthesis = mapping, synthesis
        self.w_avg = self.add_weight(
            name="w_avg", shape=(w_dim,), initializer="zeros", trainable=False, dtype="float32", autocast=False,
            aggregation="mean",  # replicas see different rows
        )  # fmt: skip
        if growing:
            self.lod = self.add_weight(
                name="lod", shape=(), initializer="zeros", trainable=False, dtype="float32", autocast=False,
                aggregation="only_first_replica",
            )  # fmt: skip
        self.built = True

    def call(self, inputs):
        return self.synthesis(self.spread(self.mapping(inputs)))

    def spread(self, w):
        """(N, w_dim) -> (N, layers, w_dim), the same w for every layer."""
        return tf.repeat(w[:, None], self.synthesis.num_layers, axis=1)

    def truncated(self, w, psi, cutoff):
        """w_avg + psi (w - w_avg) for layers before `cutoff` (appendix B); psi is a number or (N,)."""
        psi = tf.reshape(tf.cast(psi, w.dtype), [-1, 1, 1])
        kept = (tf.range(self.synthesis.num_layers) >= cutoff)[None, :, None]
        # psi = 1 must give w itself, not w to rounding.
        return tf.where(kept | (psi == 1), w, self.w_avg.value + (w - self.w_avg.value) * psi)

    def get_config(self):
        parts = {"mapping": self.mapping, "synthesis": self.synthesis}
        parts = {name: keras.saving.serialize_keras_object(part) for name, part in parts.items()}
        return parts | {"w_dim": self.w_avg.shape[0], "growing": hasattr(self, "lod"), "name": self.name}

    @classmethod
    def from_config(cls, config):
        parts = {name: keras.saving.deserialize_keras_object(config[name]) for name in ("mapping", "synthesis")}
        return cls(**(config | parts))


@keras.saving.register_keras_serializable("ganzoo")
class Discriminator(_Network):
    """D: images (N, H, W, channels), or [images, labels], -> logits (N, 1). Labels as in `Mapping`."""

    def __init__(
        self, *, image_size, channels, fmap_base, fmap_max, classes, stddev_group, growing, name="discriminator"
    ):
        super().__init__(locals())
        self.classes, self.levels = classes, _levels(image_size)
        widths = {level: _width(level, fmap_base, fmap_max) for level in range(1, self.levels[-1] + 1)}
        self.blur, self.stddev = Blur(name="blur"), MinibatchStddev(stddev_group, name="stddev")
        self.from_rgb, self.blocks = {}, {}
        for level in reversed(self.levels):
            size, width = 2**level, widths[level]
            if growing or level == self.levels[-1]:
                self.from_rgb[str(level)] = EqualizedConv2D(width, kernel_size=1, name=f"from_rgb_{size}")
                self.from_rgb[str(level)].build((None, size, size, channels))
            if level > 2:
                convolution = EqualizedConv2D(width, name=f"res{size}_conv")
                down = EqualizedConv2D(widths[level - 1], resample="down", name=f"res{size}_down")
                for layer in (convolution, down):
                    layer.build((None, size, size, width))
                self.blocks[str(level)] = [convolution, down]
        self.convolution = EqualizedConv2D(widths[2], name="res4_conv")
        self.convolution.build((None, 4, 4, widths[2] + 1))
        self.dense = EqualizedDense(widths[1], name="res4_dense")
        self.dense.build((None, 16 * widths[2]))
        self.logit = EqualizedDense(max(classes, 1), gain=1.0, name="logit", dtype="float32")
        self.logit.build((None, widths[1]))
        self.built = True

    def call(self, inputs, lod=0.0, fade=None, native=False, training=None):
        """Arguments as in `Synthesis`: images have the full size, or the size of the lod if `native`."""
        images, labels = inputs if self.classes else (inputs, None)
        whole, fade = _lod(lod, fade, len(self.levels))
        images = images if native else _halved(images, 2**whole)
        last = self.levels[-1] - whole
        if not tf.TensorShape([None, 2**last, 2**last, None]).is_compatible_with(images.shape):
            # The reshape below would make one row of four small pictures.
            raise GanzooError(f"D takes pictures of {2**last} px here; received {images.shape[1]} x {images.shape[2]}.")
        x = self._features(images, last)
        for level in range(last, 2, -1):
            convolution, down = self.blocks[str(level)]
            x = tf.nn.leaky_relu(convolution(x), 0.2)
            x = tf.nn.leaky_relu(down(self.blur(x)), 0.2)
            if level == last and fade is not None:
                x += (self._features(_halved(images, 2), level - 1) - x) * tf.cast(fade, x.dtype)
        x = tf.nn.leaky_relu(self.convolution(self.stddev(x)), 0.2)
        x = tf.nn.leaky_relu(self.dense(tf.reshape(x, [-1, 16 * x.shape[-1]])), 0.2)
        logits = self.logit(x)
        if labels is None:
            return logits
        labels = tf.one_hot(labels, self.classes) if labels.shape.rank == 1 else labels
        return tf.reduce_sum(logits * labels, axis=1, keepdims=True)

    def _features(self, images, level):
        return tf.nn.leaky_relu(self.from_rgb[str(level)](images), 0.2)


def _lod(lod, fade, levels):
    """(whole halvings, fraction or None)."""
    if not 0 <= lod <= levels - 1:
        raise GanzooError(f"lod lies between 0 (full size) and {levels - 1} (4x4); received {lod}.")
    whole = int(lod)
    return whole, fade if fade is not None else (lod - whole or None)


def _doubled(images, factor):
    """Nearest upsampling."""
    return tf.repeat(tf.repeat(images, factor, 1), factor, 2) if factor > 1 else images


def _halved(images, factor):
    """Means of factor x factor pixels."""
    return tf.nn.avg_pool2d(images, factor, factor, "VALID") if factor > 1 else images


def build_generator(
    *, image_size, channels, latent_dim, w_dim, mapping_layers, mapping_width, lrmul, fmap_base, fmap_max, classes, growing,
    noise_inputs, normalization, saturated,
) -> Generator:  # fmt: skip
    """z (N, latent_dim), or [z, labels], -> images (N, image_size, image_size, channels), untruncated.

    Args:
        w_dim, mapping_layers, mapping_width, lrmul: of the mapping network.
        fmap_base, fmap_max: size 2^k has min(fmap_base / 2^(k - 1), fmap_max) feature maps.
        classes: of labels, 0 for none.
        growing: keep the output layers of all sizes.
        noise_inputs: add noise after each convolution.
        normalization: "instance" or "demodulation".
        saturated: a tanh behind the last layer.
    """
    if mapping_layers < 1 or min(latent_dim, w_dim, mapping_width, fmap_max, channels) < 1 or classes < 0:
        raise GanzooError("StyleGAN's layers and widths are whole numbers of at least 1, classes of at least 0.")
    if fmap_base < 2 ** (_levels(image_size)[-1] - 1):
        raise GanzooError(f"fmap_base {fmap_base} leaves no feature map at {image_size} px.")
    mapping = Mapping(
        latent_dim=latent_dim, w_dim=w_dim, depth=mapping_layers, width=mapping_width, lrmul=lrmul, classes=classes
    )
    synthesis = Synthesis(
        image_size=image_size, channels=channels, w_dim=w_dim, fmap_base=fmap_base, fmap_max=fmap_max, growing=growing,
        noise_inputs=noise_inputs, normalization=normalization, saturated=saturated,
    )  # fmt: skip
    return Generator(mapping, synthesis, w_dim, growing)


def build_discriminator(*, image_size, channels, fmap_base, fmap_max, classes, stddev_group, growing) -> Discriminator:
    """images (N, image_size, image_size, channels), or [images, labels], -> logits (N, 1)."""
    return Discriminator(
        image_size=image_size, channels=channels, fmap_base=fmap_base, fmap_max=fmap_max, classes=classes,
        stddev_group=stddev_group, growing=growing,
    )  # fmt: skip


@register("stylegan-lite")
class StyleGAN(LatentGAN):
    """Style-based generator and the discriminator of progressive growing, at any power-of-two size.

    Args:
        image_size: 8, 16, ..., 1024.
        channels: of the images.
        latent_dim, w_dim: widths of z and w.
        mapping_layers, mapping_width: of the mapping network; its learning rate is `lrmul` times the others' (appendix C).
        fmap_base, fmap_max: size 2^k has min(fmap_base / 2^(k - 1), fmap_max) feature maps.
        classes: of labels, 0 for none.
        growing: progressive growing: a layer to and from RGB for every size.
        noise_inputs: a noise map for each layer (section 2); False is the generator before configuration E of table 1.
        normalization: "instance" (AdaIN, section 3), or "demodulation", StyleGAN2's, which has no norm that G outwits with a
            frame or a drop (1912.04958, section 2.1).
        saturated: a tanh behind the last layer, which the paper has not: white that is exactly white, for drawings.
        mixing: share of batches with style mixing (section 3.1).
        mixing_per_sample: each sample mixes by itself, at a layer of its own; the official code draws both for the batch.
        w_decay: of the running mean of w.
        truncation_cutoff: so many layers are truncated where samples are asked for without `cutoff`, 8 in the paper (psi on
            4x4 to 32x32); 0 for all.
        r1_gamma: weight (half of it) of R1 (appendix C).
        r1_interval: R1 every so many steps with so many times its weight; 1 in the paper.
        stddev_group: images a group of the minibatch deviation.
        fresh_latents: draw z again for G's step, as the paper; False saves a forward pass.
        ema_decay: of the averaged generator, at batches of `train.batch_size`; sizes that grow with another one have the same
            half-life in images.
        ema_images: this half-life in images, 10,000 in the paper, whatever the batch: a step's decay is then 0.5 ** (batch /
            ema_images), and `ema_decay` only says that there is an average; 0 to go by `ema_decay`.
        augment: what D sees is augmented (`ganzoo.augment`): "color,translation,cutout" or a part of it; "" for nothing.
        ada_target: of mean sign(D(real)), 0.6 in 2006.06676: the chance of each transformation follows it, from 0 on. 0:
            every image has every transformation (DiffAugment).
        ada_images: images in which the chance goes from 0 to 1 at most.
    """

    float32_keys = (
        r"ema_generator/dense|/w_avg"  # eight layers multiply their rounding: 0.12 of [-1, 1] at the lines' edges
    )
    evaluation_kwargs = {"truncation_psi": 1.0}  # noqa: RUF012  (FID is measured without truncation, official code)
    image_size: int
    logs: tuple[str, ...] = ("d_loss", "g_loss", "r1", "fooled", "real_logit", "fake_logit")
    has_styles = True
    train_options = ("growth",)
    augments_by = "augment"
    averages_by = "ema_images"
    batch_unit = "stddev_group"
    takes_channels, makes_channels = ("from_rgb",), ("to_rgb",)
    class_axes = {"logit": -1, "label_embedding": -2}  # noqa: RUF012  (as in the base)
    checks = Checks(
        small={"model.image_size": 16, "model.latent_dim": 8, "model.w_dim": 8, "model.mapping_layers": 2}
        | {"model.mapping_width": 8, "model.fmap_base": 64, "model.fmap_max": 8}
        | {"data.size": 16, "data.split": "novel"},
        # It grows, 8 pixels to 16, and adapts its augmentation; a growing run sets its own rates.
        state={"model.growing": True, "train.growth": {"start_size": 8, "stable": 32, "fade": 32}}
        | {"model.augment": "color,cutout", "model.ada_target": 0.6, "model.ada_images": 400}
        | {"train.g_optimizer": {"learning_rate": 2e-3, "beta_1": 0.0, "beta_2": 0.99}}
        | {"train.d_optimizer": {"learning_rate": 2e-3, "beta_1": 0.0, "beta_2": 0.99}},
        mixes="minibatch stddev: each replica compares its own rows",
        unmixed={"model.stddev_group": 1},
        singular=("const", "noise_strength"),  # an instance norm divides a constant map by zero
    )

    def __init__(
        self,
        *,
        image_size=1024,
        channels=3,
        latent_dim=512,
        w_dim=512,
        mapping_layers=8,
        mapping_width=512,
        lrmul=0.01,
        fmap_base=8192,
        fmap_max=512,
        classes=0,
        growing=True,
        noise_inputs=True,
        normalization="instance",
        saturated=False,
        mixing=0.9,
        mixing_per_sample=False,
        w_decay=0.995,
        truncation_cutoff=0,
        r1_gamma=10.0,
        r1_interval=1,
        stddev_group=4,
        fresh_latents=True,
        ema_decay=0.9978,
        ema_images=0,
        augment="",
        ada_target=0.0,
        ada_images=500_000,
    ):
        super().__init__(locals())
        if truncation_cutoff < 0 or ema_images < 0:
            raise GanzooError(
                "truncation_cutoff (a number of layers) and ema_images (images) are at least 0, which is all layers and "
                f"`ema_decay`; received {truncation_cutoff} and {ema_images}."
            )
        if not (0 <= mixing <= 1 and 0 <= w_decay < 1 and r1_gamma >= 0 and r1_interval >= 1 and stddev_group >= 1):
            raise GanzooError(
                "mixing must be in [0, 1], w_decay in [0, 1), r1_gamma is at least 0, r1_interval and stddev_group at "
                f"least 1; received {mixing}, {w_decay}, {r1_gamma}, {r1_interval}, {stddev_group}."
            )
        if normalization not in ("instance", "demodulation"):
            raise GanzooError(f'normalization is "instance" or "demodulation"; received {normalization!r}.')
        self.augmenter = Augmenter(augment, ada_target, ada_images)
        if ada_target:
            self.logs = (*self.logs, "augment_p")
            self.trackers["augment_p"] = keras.metrics.Mean(name="augment_p")
        self.register_networks(generator=build_generator, discriminator=build_discriminator)

    @property
    def num_layers(self) -> int:
        """Layers that take a style: two a size."""
        return self.generator.synthesis.num_layers

    @property
    def default_cutoff(self) -> int:
        """Layers that truncation reaches where nothing else is asked for."""
        return min(self.truncation_cutoff or self.num_layers, self.num_layers)

    @property
    def refuses(self):
        zero = (
            {"relativistic": "has ADA, which reads the sign of D's logits (model.ada_target)"}
            if self.ada_target
            else {}
        )
        return zero | {"r1_gamma": "has it as model.r1_gamma"}

    def training_state(self):
        return super().training_state() | self.augmenter.state()

    def why_not_accumulate(self):
        return "ADA's p, which follows the signs of whole batches (model.ada_target)" if self.ada_target else ""

    # ---- progressive growing ---------------------------------------------------------------------------------------
    def segments(self, train):
        """One `fit` for each size that stands or fades in, by `train.growth`."""
        found = super().segments(train)
        if train.growth and not self.growing:
            raise GanzooError("train.growth needs a layer to and from RGB for every size: set model.growing = true.")
        if train.growth:
            found = growing_segments(train, self.image_size)
        for segment in found:
            self.discriminator.stddev.check(segment.batch_size)
        return found

    def start_segment(self, segment):
        super().start_segment(segment)
        if self.growing:
            whole, fade = self.stage()
            for network in {self.generator, self.sampler}:
                network.lod.assign(whole + (0.0 if fade is None else fade))

    def stage(self):
        """(whole part of lod, its fraction as a tensor or None) of this step: functions of the step alone."""
        segment = self.segment
        if segment is None or segment.size is None:
            return 0, None
        whole = (self.image_size // segment.size).bit_length() - 1
        return whole, segment.faded(self.step.value) if segment.fade else None

    def trainable_of(self, player):
        """Without the layers of sizes that the lod leaves out: no gradient reaches them."""
        whole, fade = self.stage()
        size = self.image_size >> whole
        rgb = (size,) if fade is None else (size, size // 2)

        def runs(variable):
            found = re.search(r"(res|rgb_)(\d+)", variable.path)
            return not found or (int(found[2]) <= size if found[1] == "res" else int(found[2]) in rgb)

        return [variable for variable in super().trainable_of(player) if runs(variable)]

    def faded(self, real):
        """Reals as G draws them while a size fades in: blended with their own halves (the code's process_reals)."""
        fade = self.stage()[1]
        return real if fade is None else real + (_doubled(_halved(real, 2), 2) - real) * fade

    # ---- training: D, then G against the updated D -----------------------------------------------------------------
    def view(self, stream, images):
        """A function that augments a batch like `images` for D, the same at every call of this step."""
        return self.augmenter.view(
            lambda columns: self.noise(tf.random.stateless_uniform, f"augment {stream}", tf.shape(images)[0], [columns])
        )

    def fakes(self, rows, labels, stream):
        """G's images of fresh z, noise and style mixing, and the tape that recorded them."""
        z = self.noise(tf.random.stateless_normal, f"latents {stream}", rows, [2, self.latent_dim])
        lod, fade = self.stage()
        shapes, noise = self.generator.synthesis.noise_shapes(lod), None
        if self.generator.synthesis.noisy:
            flat = self.noise(tf.random.stateless_normal, f"noise {stream}", rows, [sum(h * w for h, w in shapes)])
            maps = tf.split(flat, [h * w for h, w in shapes], axis=1)
            noise = [tf.reshape(m, [-1, h, w, 1]) for m, (h, w) in zip(maps, shapes, strict=True)]
        with tf.GradientTape() as tape:
            w, other = tf.split(self.map(tf.concat([z[:, 0], z[:, 1]], 0), labels, 2), 2)
            average = self.generator.w_avg
            average.assign(self.w_decay * average.value + (1 - self.w_decay) * tf.reduce_mean(w, axis=0))
            styles = self.mixed(w, other, len(shapes), stream)
            fake = self.generator.synthesis(styles, lod=lod, fade=fade, noise=noise, native=True, training=True)
        return fake, tape

    def map(self, z, labels, repeats=1):
        """w of z, and of the labels if the model has classes, said `repeats` times."""
        return self.generator.mapping([z, tf.tile(labels, [repeats])] if self.classes else z)

    def mixed(self, w, other, active, stream):
        """(N, layers, w_dim): in `mixing` of the batches (or samples) the layers from a random one on take the other w."""
        if self.mixing_per_sample:
            drawn = self.noise(tf.random.stateless_uniform, f"mixing {stream}", tf.shape(w)[0], [2])
        else:
            drawn = tf.random.stateless_uniform([1, 2], self.stream_seed(f"mixing {stream}"))
        chance, place = tf.unstack(drawn, axis=1)
        crossover = 1 + tf.cast(place * (active - 1), tf.int32)  # in [1, active)
        crossover = tf.where(chance < self.mixing, crossover, active)
        first = (tf.range(self.num_layers) < crossover[:, None])[..., None]
        return tf.where(first, w[:, None], other[:, None])

    def judge(self, images, labels):
        lod, fade = self.stage()
        images = self.for_d(images)
        inputs = [images, labels] if self.classes else images
        return self.discriminator(inputs, lod=lod, fade=fade, native=True, training=True)

    def judge_real(self, real, labels):
        """Logits of the reals and, at its interval, R1 from the same forward pass (else 0); R1 is of the reals as they
        come, through the augmentation.

        The paper's D takes pictures of the full size at every lod, each pixel repeated 2^lod times both ways. The slope at
        such a pixel is 4^-lod of that at ours, and there are 4^lod of them.
        """
        full = 4.0 ** -self.stage()[0]
        view = self.view("real", real)

        def critic(images):
            return self.judge(view(images), labels)

        def penalised():
            logits, r1 = penalties.logits_and_r1(critic, real)
            return logits, full * r1

        if self.r1_interval == 1:
            return penalised()
        due = tf.equal(self.step.value % self.r1_interval, 0)
        return tf.cond(due, penalised, lambda: (critic(real), tf.constant(0.0)))

    def discriminator_step(self, real, fake, labels):
        view = self.view("fake d", fake)
        with tf.GradientTape() as tape:
            real_logits, r1 = self.judge_real(real, labels)
            r1 *= self.r1_interval
            fake_logits = self.judge(view(tf.stop_gradient(fake)), labels)
            loss = self.d_loss(losses.non_saturating_d, real_logits, fake_logits)
            r2 = 4.0 ** -self.stage()[0] * self.r2(lambda images: self.judge(view(images), labels), fake)
            penalised = loss + self.r1_gamma / 2 * r1 + r2
        self.minimize(tape, penalised, "d_optimizer")
        self.augmenter.adapt(real_logits, self.step.value)
        return loss, r1, self.judged(real_logits, fake_logits)

    def generator_step(self, real, fake, tape, labels):
        view = self.view("fake g", fake)
        with tape:
            fake_logits = self.judge(view(fake), labels)
            loss = self.g_loss(losses.non_saturating_g, fake_logits, lambda: self.judge(view(real), labels))
        self.minimize(tape, loss, "g_optimizer")
        return loss

    def train_step(self, data):
        real, *given = self.unpack(data)
        labels = given[0] if given else None
        rows = tf.shape(real)[0]
        real = self.faded(real)
        fake, tape = self.fakes(rows, labels, "d")
        d_loss, r1, judgement = self.discriminator_step(real, fake, labels)
        if self.fresh_latents:
            fake, tape = self.fakes(rows, labels, "g")
        g_loss = self.generator_step(real, fake, tape, labels)
        whole, fade = self.stage()
        if fade is not None:
            self.generator.lod.assign(whole + fade)
        self.update_ema(self.decay_of(rows))
        return self.log(d_loss=d_loss, g_loss=g_loss, r1=r1, **judgement, **self.augmenter.logs())

    def decay_of(self, rows):
        """The average's decay in this step, of batches of `rows` on each replica."""
        if not self.ema_images:
            return self.ema_decay ** (self.segment.pace if self.segment else 1.0)
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        images = self.segment.batch_size if self.segment else rows * replicas
        return 0.5 ** (tf.cast(images, tf.float32) / self.ema_images)

    def batch_signature(self):
        """Images of the size that trains now: the full one, but in a segment of progressive growing."""
        size = self.image_size >> self.stage()[0]
        image = tf.TensorSpec([None, size, size, self.channels], tf.float32)
        return {"image": image} | ({"label": tf.TensorSpec([None], tf.int64)} if self.classes else {})

    # ---- sampling ------------------------------------------------------------------------------------------------
    def styles_of(self, latents, labels=None, truncation_psi=1.0, cutoff=None):
        """float32 (N, layers, w_dim) of latents (N, latent_dim) [and labels]; psi a number or (N,)."""
        generator = self.sampler
        w = generator.spread(generator.mapping([latents, labels] if self.classes else latents))
        return generator.truncated(w, truncation_psi, self.default_cutoff if cutoff is None else cutoff)

    def images_of_styles(self, w):
        """float32 images (N, H, W, C) of w (N, layers, w_dim); not clipped. While a model grows: of the lod that it has
        reached, in the full size."""
        whole, fades = self.reached()
        return self.sampler.synthesis(w, lod=whole, fade=self.sampler.lod.value - whole if fades else None)

    def reached(self):
        """(whole part of the sampler's lod, whether it has a fraction): what a traced function is made for."""
        if not self.growing:
            return 0, False
        with tf.init_scope():  # the value itself, also while a graph is traced
            lod = float(self.sampler.lod.numpy())
        return int(lod), lod > int(lod)

    def images_of(self, latents, labels=None):
        """float32 images (N, H, W, C) of latents (N, latent_dim) [and labels], untruncated."""
        return self.images_of_styles(self.styles_of(latents, labels))

    def styles(self, n=16, *, seed=0, latents=None, label=None, truncation_psi=0.7, cutoff=None) -> np.ndarray:
        """w of each layer, float32 (n, layers, w_dim), that `generate` shows with the same arguments."""
        latents = rows.latent_rows(self, n, seed, latents)
        labels = rows.checked_labels(label, latents.shape[0], self.classes)
        psi, cutoff = self.checked_truncation(truncation_psi, cutoff)

        def traced():
            return rows.graph_of(lambda z, y, psi, cutoff: self.styles_of(z, y, psi, cutoff))

        run = self.cached("styles", traced)
        return rows.in_chunks(lambda z, y: run(z, y, psi, cutoff), latents, labels)

    def truncated(self, w, psi, cutoff):
        """float32 (n, layers, w_dim): styles moved towards their average in the layers before `cutoff`."""
        return self.sampler.truncated(tf.constant(w), *self.checked_truncation(psi, cutoff)).numpy()

    def style_weights(self, layer):
        """float32 (w_dim, units): A of a layer."""
        return np.asarray(self.sampler.synthesis.epilogues[layer].style_kernel)

    def mix(self, coarse, fine, *, layer: int) -> np.ndarray:
        """Style mixing (section 3.1): layers before `layer` from `coarse`, the others from `fine`.

        Args:
            coarse, fine: (n, layers, w_dim) as `styles` gives them, or one of them (1, layers, w_dim).
            layer: 0 (all fine) to the number of layers (all coarse).
        """
        if not 0 <= layer <= self.num_layers:
            raise GanzooError(f"layer lies between 0 and {self.num_layers}; received {layer}.")
        coarse, fine = (self.checked_styles(w).numpy() for w in (coarse, fine))
        return np.where((np.arange(self.num_layers) < layer)[:, None], coarse, fine)

    def generate(self, n=16, *, seed=0, latents=None, w=None, label=None, truncation_psi=0.7, cutoff=None):
        """uint8 images (n, H, W, C); sample i depends on (seed, i) only.

        Args:
            latents: (n, latent_dim), instead of seed.
            w: (n, w_dim) or (n, layers, w_dim), instead of seed; taken as it is, without truncation.
            label: of a model with classes: one for all, or (n,).
            truncation_psi: -1 to 1; 1 is G as trained, 0 the average image.
            cutoff: only the first so many layers are truncated; None for `truncation_cutoff` of them.
        """
        if w is None:
            options = {"label": label, "truncation_psi": truncation_psi, "cutoff": cutoff}
            w = self.styles(n, seed=seed, latents=latents, **options)
        w = self.checked_styles(w)
        show = self.cached(
            f"show {self.reached()}", lambda: rows.graph_of(lambda w: pixels.to_uint8(self.images_of_styles(w)))
        )
        return rows.in_chunks(show, w)

    def examples(self, n, seed, *, label=None, **options):
        in_turn = np.arange(n) % self.classes if self.classes else None
        return self.generate(n, seed=seed, label=in_turn if label is None else label, **options)

    def checked_styles(self, w):
        w = rows.finite_rows(w, "w", (self.w_dim,), (self.num_layers, self.w_dim))
        return self.sampler.spread(w) if len(w.shape) == 2 else w

    def checked_truncation(self, psi, cutoff):
        if not isinstance(psi, int | float | np.number) or not -1 <= psi <= 1:
            raise GanzooError(f"truncation_psi must be in [-1, 1]; received {psi!r}.")
        layers = self.num_layers
        cutoff = self.default_cutoff if cutoff is None else cutoff
        if not isinstance(cutoff, int | np.integer) or not 0 <= cutoff <= layers:
            raise GanzooError(f"cutoff is a number of layers, 0 to {layers}; received {cutoff!r}.")
        return tf.constant(psi, tf.float32), tf.constant(cutoff, tf.int32)

    # ---- serving -------------------------------------------------------------------------------------------------
    def serving_around(self):
        def before(seed, truncation_psi, label=None):
            """int64 seeds (N,) and float32 psi (N,) [and int64 labels] -> latents, psi [and the labels]."""
            found = {"latents": self.latents(rows.seeds_of(seed)), "truncation_psi": truncation_psi}
            return found if label is None else found | {"label": label}

        inputs = {"seed": around.SEED} | self._conditions()
        return Around((before, inputs), around.to_png(self))

    def serving_signature(self):
        def images(latents, truncation_psi, label=None):
            """float32 latents (N, latent_dim) and psi (N,) [and labels] -> float32 images in [-1, 1]."""
            count, (latents, psi, label) = rows.or_one_row(latents, truncation_psi, label)
            w = self.styles_of(latents, label, psi)
            return {"images": tf.clip_by_value(self.images_of_styles(w), -1.0, 1.0)[:count]}

        latents = {"latents": tf.TensorSpec([None, self.latent_dim], tf.float32, name="latents")}
        tensors = images, latents | self._conditions()
        return {"serving_default": around.joined(self.serving_around(), tensors), "tensors": tensors}

    def _conditions(self):
        psi = {"truncation_psi": tf.TensorSpec([None], tf.float32, name="truncation_psi")}
        return psi | ({"label": tf.TensorSpec([None], tf.int64, name="label")} if self.classes else {})
