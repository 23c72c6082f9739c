"""Image-to-Image Translation with Conditional Adversarial Networks.

Phillip Isola, Jun-Yan Zhu, Tinghui Zhou, Alexei A. Efros, 2016. arXiv 1611.07004. Official code:
github.com/phillipi/pix2pix (Lua) and github.com/junyanz/pytorch-CycleGAN-and-pix2pix.

Objective (equation 4):  G* = arg min_G max_D  E[log D(x, y)] + E[log(1 - D(x, G(x, z)))]  +  lambda E|y - G(x, z)|_1

| paper | here |
|---|---|
| x, y | `input`, `target` of a batch |
| G(x, z), U-Net; z = dropout | `generator`: [x, row seeds of the dropout] -> image |
| D(x, y), 70x70 PatchGAN | `discriminator`: concat(x, y) -> map of logits |
| Ck, CDk (appendix 6.1) | `downN_conv/_norm`, `upN_conv/_norm/_dropout`; N counts from the image inwards |
| lambda | `l1_weight`, 100 |

Training (section 3.3, appendix 6.2): Adam at 2e-4, beta_1 0.5, beta_2 0.999, the rate constant in the Lua code (the
PyTorch code lets it fall to zero over the second half); batches of 1 to 10; lambda = 100; weights N(0, 0.02), gains
N(1, 0.02). Pairs are resized to 286 x 286 (bicubic in PyTorch), cropped to 256 at one random place for both and
mirrored at random. Facades: 400 pairs, 200 epochs, batches of 1, which is preset `facades-256`. `lines2colour-64` and
`edges2emoji-128` have smaller nets and falling rates.

Deviations: dropout sits on the three innermost decoder layers, as in the paper and its Lua code;
`dropout_placement="pytorch"` moves it to the middle blocks of the PyTorch code. The bottleneck has no norm: the first
arXiv version's would zero it at batch 1. Convolutions before batch norm have no bias (the norm cancels it). G and D
move on one forward pass of G, D first. At test time, whatever the number of images, each is normalised by its own
statistics, as in the codes' batches of 1. Smaller nets (`num_downs` < 8) follow the same rule. `norm="instance"`
trains at any batch size with the statistics that test time has anyway; the small presets use it. `upsampling="resize"`
is not the paper's: the decoder doubles its maps and convolves 3x3, which leaves no grid; preset `edges2emoji-128`
uses it.
"""

import functools

import keras
import tensorflow as tf
from keras import layers

from ganzoo import losses
from ganzoo.base import BaseGAN, Checks, masks, pixels, translation, views
from ganzoo.errors import GanzooError
from ganzoo.layers import (
    BatchNorm,
    FastConv2D,
    FastConv2DTranspose,
    InstanceNorm,
    MaskedDropout,
    ResizeConv2D,
    RowUniform,
    Zeroed,
)
from ganzoo.registry import register


def _init():
    return keras.initializers.RandomNormal(stddev=0.02)  # section 6.2


def _conv(filters, name, *, bias, normed=True, kernel_size=4, strides=2, padding="same", layer=FastConv2D, **more):
    """Ck without its norm. `same` equals torch's padding 1 for kernel 4, stride 2 and even sizes.

    `normed`: a norm follows and cancels the bias, which is kept at zero if there is one."""
    constraint = Zeroed() if bias and normed else None
    options = {"use_bias": bias, "bias_constraint": constraint, "kernel_initializer": _init(), "name": name} | more
    return layer(filters, kernel_size, strides, padding=padding, **options)


def _up(filters, name, upsampling, **options):
    """The convolution that doubles a map: 4x4, transposed, or a ResizeConv2D."""
    if upsampling == "resize":
        return _conv(filters, name, layer=ResizeConv2D, kernel_size=3, strides=1, **options)
    return _conv(filters, name, layer=FastConv2DTranspose, **options)


def _norm(norm, name):
    if norm == "batch":
        return BatchNorm(gamma_initializer=keras.initializers.RandomNormal(1.0, 0.02), name=name)
    if norm == "instance":
        return InstanceNorm(name=name)
    return layers.Identity(name=name)


def build_generator(
    *, input_channels, output_channels, ngf, num_downs, norm, dropout, dropout_placement, upsampling
) -> keras.Model:
    """U-Net: images (N, H, W, input_channels) in [-1, 1] -> (N, H, W, output_channels) in [-1, 1].

    H and W are multiples of 2^num_downs. With dropout the network takes [images, seeds], seeds int32 (N, 2): the mask
    of image i is drawn from seeds[i]; with `dropout=0` it takes the images alone.

    Args:
        ngf: width of the outermost level; doubles inwards up to 8 * ngf (C64-C128-C256-C512-C512-...).
        num_downs: levels: 8 = U-Net-256, 7 = U-Net-128.
        norm: "batch", "instance" (no parameters, convolutions keep their biases) or "none".
        dropout: share of units dropped in the CDk layers.
        dropout_placement: "paper" (three innermost decoder layers) or "pytorch" (the middle blocks).
        upsampling: of the decoder, "transposed" (paper) or "resize".
    """
    image = keras.Input((None, None, input_channels), name="image")
    seeds = keras.Input((2,), dtype="int32", name="seeds")
    widths = [ngf * min(2**level, 8) for level in range(num_downs)]
    bias = norm == "instance"  # as the PyTorch code: the U-Net's convolutions have one with instance norm only

    x, skips = image, []
    for level, width in enumerate(widths, start=1):
        if level > 1:
            x = layers.LeakyReLU(0.2, name=f"down{level}_lrelu")(x)
        normed = 1 < level < num_downs  # not the first layer, not the 1x1 bottleneck
        x = _conv(width, f"down{level}_conv", bias=bias, normed=normed)(x)
        if normed:
            x = _norm(norm, f"down{level}_norm")(x)
        skips.append(x)

    dropped = _dropout_levels(num_downs, dropout_placement) if dropout else ()
    for level in range(num_downs, 1, -1):
        x = layers.ReLU(name=f"up{level}_relu")(x)
        x = _up(widths[level - 2], f"up{level}_conv", upsampling, bias=bias)(x)
        x = _norm(norm, f"up{level}_norm")(x)
        if level in dropped:
            noise = RowUniform(level, name=f"up{level}_noise")([x, seeds])
            x = MaskedDropout(dropout, name=f"up{level}_dropout")([x, noise])
        x = layers.Concatenate(name=f"up{level}_skip")([skips[level - 2], x])  # skip first, as the PyTorch code
    x = layers.ReLU(name="up1_relu")(x)
    x = _up(output_channels, "up1_conv", upsampling, bias=True, normed=False, dtype="float32")(x)
    x = layers.Activation("tanh", name="tanh", dtype="float32")(x)
    return keras.Model([image, seeds] if dropped else image, x, name="generator")


def _dropout_levels(num_downs, placement):
    if placement == "paper":
        return range(num_downs, max(num_downs - 3, 1), -1)
    if placement == "pytorch":
        return range(num_downs - 1, 4, -1)
    raise GanzooError(f'dropout_placement is "paper" or "pytorch"; received {placement!r}.')


def build_discriminator(*, channels, ndf, n_layers, norm) -> keras.Model:
    """PatchGAN: concat(x, y) (N, H, W, channels) -> logits (N, h, w, 1), one for each patch.

    Args:
        channels: of x and y together.
        n_layers: stride-2 layers; the patch is 16, 34, 70, 142, 286, 574 px for 1 ... 6, and 1 px for 0 (PixelGAN).
    """
    image = x = keras.Input((None, None, channels), name="image")
    bias = norm == "instance"  # of a normed layer; layers without a norm have one
    if n_layers == 0:  # 1x1 convolutions only; the last one has no bias under batch norm (PyTorch code)
        x = _conv(ndf, "conv1", bias=True, normed=False, kernel_size=1, strides=1)(image)
        x = layers.LeakyReLU(0.2, name="lrelu1")(x)
        x = _conv(2 * ndf, "conv2", bias=bias, kernel_size=1, strides=1)(x)
        x = layers.LeakyReLU(0.2, name="lrelu2")(_norm(norm, "norm2")(x))
        logits = layers.Conv2D(1, 1, use_bias=bias, kernel_initializer=_init(), name="logits", dtype="float32")
        return keras.Model(image, logits(x), name="discriminator")
    for layer in range(1, n_layers + 2):
        # Torch's padding 1: `same` would keep the size in the last two layers (stride 1), which shrink it by one, and
        # would round odd sizes up (286 -> 143 -> 71) in the others.
        x = layers.ZeroPadding2D(1, name=f"pad{layer}")(x)
        width = ndf * min(2 ** (layer - 1), 8)
        strides, normed = 2 if layer <= n_layers else 1, layer > 1
        x = _conv(width, f"conv{layer}", bias=bias or not normed, normed=normed, strides=strides, padding="valid")(x)
        if normed:
            x = _norm(norm, f"norm{layer}")(x)
        x = layers.LeakyReLU(0.2, name=f"lrelu{layer}")(x)
    x = layers.ZeroPadding2D(1, name="pad_logits")(x)
    x = layers.Conv2D(1, 4, kernel_initializer=_init(), name="logits", dtype="float32")(x)
    return keras.Model(image, x, name="discriminator")


@register("pix2pix")
class Pix2Pix(BaseGAN):
    """Conditional GAN on pairs: U-Net generator, PatchGAN discriminator, L1.

    Args:
        input_channels, output_channels: of x and of y.
        ngf, ndf: base widths of G and D.
        num_downs: U-Net levels; sides are padded to multiples of 2^num_downs.
        n_layers: of the PatchGAN, 3 = 70x70; 0 = PixelGAN.
        norm: "batch" (paper), "instance" or "none".
        dropout: on the innermost decoder layers, in training and at test time (section 3.4).
        dropout_placement: "paper" or "pytorch".
        upsampling: "transposed" (paper) or "resize" (doubled maps, 3x3 convolutions), of the decoder.
        l1_weight: lambda (section 3.3).
        ema_decay: decay of an averaged copy of G; the paper has none.
    """

    task = "image"
    logs = ("d_loss", "g_loss", "l1", "fooled", "real_logit", "fake_logit")
    checks = Checks(
        small={"model.ngf": 2, "model.ndf": 2, "model.num_downs": 2, "model.n_layers": 1}
        | {"data.size": 16, "data.load_size": 18, "data.split": "test"},
        state={"data.mirror": True},
    )

    def __init__(
        self,
        *,
        input_channels=3,
        output_channels=3,
        ngf=64,
        ndf=64,
        num_downs=8,
        n_layers=3,
        norm="batch",
        dropout=0.5,
        dropout_placement="paper",
        upsampling="transposed",
        l1_weight=100.0,
        ema_decay=0.0,
    ):
        super().__init__(locals())
        if norm not in ("batch", "instance", "none"):
            raise GanzooError(f'norm is "batch", "instance" or "none"; received {norm!r}.')
        if upsampling not in ("transposed", "resize"):
            raise GanzooError(f'upsampling is "transposed" or "resize"; received {upsampling!r}.')
        discriminator = functools.partial(build_discriminator, channels=input_channels + output_channels)
        self.register_networks(generator=build_generator, discriminator=discriminator)

    @property
    def stride(self):
        return 2**self.num_downs

    def translate(self, generator, images, seeds):
        """G(x, z) in training mode, which is the paper's test mode too."""
        return generator([images, seeds] if len(generator.inputs) == 2 else images, training=True)

    # ---- training: D, then G, on the same pair and one forward of G (section 3.3) ---------------------------------
    def forward(self, data):
        """The pair, G(x, z) and the tape that recorded it."""
        x, y = self.unpack(data)
        seeds = self.row_noise_seeds("dropout", tf.shape(x)[0])
        with tf.GradientTape() as tape:
            fake = self.translate(self.generator, x, seeds)
        return x, y, fake, tape

    def judge(self, x, y):
        return self.discriminator(tf.concat(self.for_d(x, tf.cast(y, x.dtype)), axis=-1), training=True)

    def discriminator_step(self, x, y, fake):
        with tf.GradientTape() as tape:
            fake_logits, real_logits = self.judge(x, tf.stop_gradient(fake)), self.judge(x, y)
            loss = 0.5 * self.d_loss(losses.non_saturating_d, real_logits, fake_logits)  # "divide the objective by 2"
            loss += self.r1(lambda y: self.judge(x, y), y) + self.r2(lambda y: self.judge(x, y), fake)
        self.minimize(tape, loss, "d_optimizer")
        return loss, self.judged(real_logits, fake_logits)

    def generator_step(self, x, y, fake, tape):
        with tape:
            l1 = losses.l1(y, fake)
            loss = self.g_loss(losses.non_saturating_g, self.judge(x, fake), lambda: self.judge(x, y))
            loss += self.l1_weight * l1
        self.minimize(tape, loss, "g_optimizer")
        return loss, l1

    def train_step(self, data):
        x, y, fake, tape = self.forward(data)
        d_loss, judgement = self.discriminator_step(x, y, fake)
        g_loss, l1 = self.generator_step(x, y, fake, tape)
        self.update_ema()
        return self.log(d_loss=d_loss, g_loss=g_loss, l1=l1, **judgement)

    def batch_signature(self):
        return {
            "input": tf.TensorSpec([None, None, None, self.input_channels], tf.float32),
            "target": tf.TensorSpec([None, None, None, self.output_channels], tf.float32),
        }

    # ---- test time: batch statistics at batch 1 = each image by its own, dropout on (section 3.4) ------------------
    def per_image_sampler(self):
        """The sampling generator on the same variables, with every batch norm taking each image's own statistics."""
        if self.norm != "batch":
            return self.sampler
        return self.cached("per_image", lambda: views.per_image(self.sampler))

    def translated(self, images, seeds):
        """float32 G(x, z) of float32 images (N, H, W, C) of any size, padded to the stride, and seeds (N, 2)."""
        generator = self.per_image_sampler()
        return translation.padded(lambda x: self.translate(generator, x, seeds), images, self.stride)

    def generate(self, images, *, seed=0):
        """uint8 (N, H, W, output_channels) of images of any size, padded to the stride and cropped back.

        Args:
            images: uint8 (N, H, W, C) 0..255, or floats in [-1, 1]; C gray or RGB is converted to `input_channels`.
            seed: of the dropout masks; image i depends on (seed, i) and its own pixels only.
        """
        x = pixels.images_in(images, self.input_channels)
        return translation.one_by_one(self, "generate", self.translated, x, seed)

    # ---- serving -------------------------------------------------------------------------------------------------
    def portable_signature(self):
        """`tensors` of one size, that of the training images, with the dropout masks of seed 0 as constants."""
        size = self.run_config.data.size if self.run_config else max(64, self.stride)
        return {"tensors": translation.with_noise_of_seed_0(self.sampler, self.translate, size, self.input_channels)}

    def page_networks(self, size):
        """(image, one mask for each dropout layer) -> image; every norm takes the image's own statistics."""
        return {"network": masks.endpoint(self.per_image_sampler(), self.translate, size)}

    def page_noise(self, size, seeds):
        """The masks: 1 for each unit that dropout keeps in `generate(picture, seed=)`."""
        return masks.kept(self.sampler, size, seeds, self.dropout)

    def serving_signature(self):
        serve, tensors = translation.endpoints(self.translated, self.input_channels)
        return {"serving_default": serve, "tensors": tensors}
