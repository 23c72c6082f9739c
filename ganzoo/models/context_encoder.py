"""Context Encoders: Feature Learning by Inpainting.

Deepak Pathak, Philipp Krahenbuhl, Jeff Donahue, Trevor Darrell, Alexei A. Efros, 2016. arXiv 1604.07379. Official code:
github.com/pathak22/context-encoder (train.lua, train_random.lua; Torch).

Objective (equations 1 to 3), with M the missing region, 1 inside, and F the network that fills it:

    min_F  lambda_rec |M * (x - F((1 - M) * x))|^2  +  lambda_adv max_D  E[log D(x) + log(1 - D(F((1 - M) * x)))]

| paper | here |
|---|---|
| x, M | `image` of a batch; the hole in its middle, or with `region="random"` the batch's `mask` |
| F, encoder and decoder | `generator`: a picture with the hole in one colour -> the square around the hole, or the whole picture |
| D | `discriminator`: that square, or the whole picture -> logit; it does not see the context |
| lambda_rec, lambda_adv | `l2_weight` and 1 - `l2_weight`: 0.999 and 0.001 |
| overlap of 7 px with 10 times the weight (section 3.2) | `overlap`, 4 in the published command, and `overlap_weight` |

Training (train.lua and its published command): Adam, beta_1 0.5, batches of 64, D's rate 2e-4, G's 2e-3, ten times that, both
constant for 500 epochs; D first, then G. The shorter side of a photo becomes 350 px; a square of 128 px is cut out of it at
random and mirrored at random. F predicts a square of half the side; the hole is smaller by `overlap` on
each side and has the colour RGB (117, 104, 123). Convolutions start at N(0, 0.02), gains at N(1, 0.02), and all biases of
convolutions are set to zero in every step. Preset `paris-128` is this command; `random-128` is train_random.lua, whose
holes are random shapes of 20 to 30 % of the picture, one for all of a batch, and whose F and D have one more level.
`photos-128` has smaller nets, and rates that fall to zero. At test time batch norm takes its running statistics, and only
the hole is pasted.

Deviations: the random square lies in the middle square of the photo (350 x 350 px), the script's anywhere. G's step looks at the fakes with the D that has just moved; the script takes D's outputs from before. The
reported loss of G is the one that is minimised; the script prints it without the weight of the overlap. The noise input and
the D that sees the context, which the script has and its commands leave off, are left out. Other sizes follow the same rule:
from 4x4 outwards a level halves the width, never below the base width. The feature-learning net of section 3.1 (AlexNet, to
be trained without D) is not a model here; its channel-wise layer is `ganzoo.layers.ChannelwiseDense`.
"""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from ganzoo import losses
from ganzoo.base import BaseGAN, Checks, filling, pixels, rows
from ganzoo.errors import GanzooError
from ganzoo.layers import BatchNorm, FastConv2D, FastConv2DTranspose, Zeroed
from ganzoo.registry import register

HOLE = (117, 104, 123)  # RGB of the hole, the mean of ImageNet's pictures


def _conv(filters, name, layer=FastConv2D, **options):
    """A convolution of kernel 4: stride 2 and `same`, which equals torch's padding 1 here, or stride 1 and `valid`."""
    options = {"strides": 2, "padding": "same"} | options
    init = keras.initializers.RandomNormal(stddev=0.02)
    return layer(filters, 4, kernel_initializer=init, bias_constraint=Zeroed(), name=name, **options)


def _norm(name):
    return BatchNorm(gamma_initializer=keras.initializers.RandomNormal(1.0, 0.02), name=name)


def _widths(base, side):
    """Widths of the layers between `side` and 4x4, from outside: 64, 64, 128, 256, 512 of base 64 and 128 px."""
    levels = (side // 4).bit_length() - 1
    if levels < 1 or 4 * 2**levels != side:
        raise GanzooError(
            f"Context encoders halve down to 4x4, so image_size is 16, 32, 64, 128, ...; received what gives {side}."
        )
    return [base * max(8 >> level, 1) for level in reversed(range(levels))]


def _made(image_size, region):
    """Side of what the generator makes: the square around the hole, or the whole picture."""
    if region not in ("centre", "random"):
        raise GanzooError(f'region is "centre" or "random"; received {region!r}.')
    return image_size // 2 if region == "centre" else image_size


def build_generator(*, image_size, channels, nef, ngf, bottleneck, region) -> keras.Model:
    """Pictures with a hole (N, image_size, image_size, channels) in [-1, 1] -> what fills it, in [-1, 1]:
    (N, image_size / 2, image_size / 2, channels), or of region "random" as large as the picture.

    Args:
        nef, ngf: base widths of encoder and decoder.
        bottleneck: channels of the 1x1 map between them (nBottleneck).
    """
    image = x = keras.Input((image_size, image_size, channels), name="image")
    for level, width in enumerate(_widths(nef, image_size), start=1):
        x = _conv(width, f"down{level}_conv")(x)
        if level > 1:
            x = _norm(f"down{level}_norm")(x)
        x = layers.LeakyReLU(0.2, name=f"down{level}_lrelu")(x)
    x = _conv(bottleneck, "code_conv", strides=1, padding="valid")(x)
    x = layers.LeakyReLU(0.2, name="code_lrelu")(_norm("code_norm")(x))

    up = {"layer": FastConv2DTranspose}
    widths = _widths(ngf, _made(image_size, region))
    x = _conv(widths[-1], "start_conv", strides=1, padding="valid", **up)(x)
    x = layers.ReLU(name="start_relu")(_norm("start_norm")(x))
    for level, width in enumerate(reversed(widths[:-1]), start=1):
        x = _conv(width, f"up{level}_conv", **up)(x)
        x = layers.ReLU(name=f"up{level}_relu")(_norm(f"up{level}_norm")(x))
    x = _conv(channels, "image_conv", dtype="float32", **up)(x)
    return keras.Model(image, layers.Activation("tanh", name="tanh", dtype="float32")(x), name="generator")


def build_discriminator(*, image_size, channels, ndf, region) -> keras.Model:
    """Squares (N, side, side, channels) in [-1, 1], as large as what the generator makes -> logits (N, 1)."""
    side = _made(image_size, region)
    image = x = keras.Input((side, side, channels), name="image")
    for level, width in enumerate(_widths(ndf, side), start=1):
        x = _conv(width, f"down{level}_conv")(x)
        if level > 1:
            x = _norm(f"down{level}_norm")(x)
        x = layers.LeakyReLU(0.2, name=f"down{level}_lrelu")(x)
    x = _conv(1, "logit_conv", strides=1, padding="valid", dtype="float32")(x)
    return keras.Model(image, layers.Flatten(name="logit", dtype="float32")(x), name="discriminator")


@register("context-encoder")
class ContextEncoder(BaseGAN):
    """An encoder and a decoder that fill the hole of a picture, by squared error and a discriminator.

    Args:
        image_size: of the pictures, 4 * 2^k and at least 16.
        channels: of the pictures, 1 or 3.
        nef, ngf, ndf: base widths of encoder, decoder and D.
        bottleneck: width of the code between encoder and decoder: 4000 in the published command, 100 in the script.
        region: "centre", a square hole in the middle, or "random", the masks of the batch.
        overlap: of region "centre" by how many pixels on each side the predicted square is larger than the hole; of
            "random" whether what is known is weighted too (0 or 1, the script's useOverlapPred).
        overlap_weight: of the squared error where the prediction overlaps what is known.
        l2_weight: w. Below 1 the loss of G is w * L2 + (1 - w) * adversarial, from 1 on w * L2 + adversarial.
        ema_decay: decay of an averaged copy of G; the paper has none.

    Raises:
        GanzooError: a size that is not halved to 4x4, another region, or an overlap that leaves no hole.
    """

    task, fills = "image", True
    image_size: int
    logs = ("d_loss", "g_loss", "l2", "fooled", "real_logit", "fake_logit")
    checks = Checks(
        small={"model.image_size": 16, "model.nef": 2, "model.ngf": 2, "model.ndf": 2, "model.bottleneck": 8}
        | {"model.overlap": 1, "data.size": 16, "data.load_size": 18, "data.split": "test"},
    )

    def __init__(
        self,
        *,
        image_size=128,
        channels=3,
        nef=64,
        ngf=64,
        ndf=64,
        bottleneck=4000,
        region="centre",
        overlap=4,
        overlap_weight=10.0,
        l2_weight=0.999,
        ema_decay=0.0,
    ):
        super().__init__(locals())
        if not 0 <= overlap < image_size // 4:
            raise GanzooError(f"overlap leaves a hole: it is 0 to {image_size // 4 - 1}; received {overlap}.")
        self.register_networks(generator=build_generator, discriminator=build_discriminator)

    # ---- the hole and what is predicted ---------------------------------------------------------------------------
    def middle(self, images, margin=0):
        """The square of half the side in the middle, less `margin` pixels on each side."""
        first, last = self.image_size // 4 + margin, self.image_size * 3 // 4 - margin
        return images[:, first:last, first:last]

    @property
    def centre_hole(self) -> tf.Tensor:
        """bool (1, image_size, image_size, 1): the hole in the middle."""
        side = self.image_size // 2 - 2 * self.overlap
        around = (self.image_size - side) // 2
        return tf.pad(tf.ones([1, side, side, 1], tf.bool), [[0, 0], [around, around], [around, around], [0, 0]])

    @property
    def hole_colour(self) -> tf.Tensor:
        """float32 (C,) in [-1, 1]: HOLE, of gray pictures its luminance."""
        colour = HOLE if self.channels == 3 else [0.299 * HOLE[0] + 0.587 * HOLE[1] + 0.114 * HOLE[2]]
        return tf.constant(colour, tf.float32) / 127.5 - 1

    def blanked(self, images, hole):
        """Images in [-1, 1] whose pixels of the hole (bool) have the colour of the hole."""
        return tf.where(hole, self.hole_colour, images)

    def blanked_batch(self, images, hole):
        """`blanked` for finite images, in an eighth of the time: a product with as many channels, where a select broadcasts."""
        keep = tf.tile(tf.cast(~hole, tf.float32), [1, 1, 1, self.channels])
        return images * keep + (1 - keep) * self.hole_colour

    def l2_weights(self, hole):
        """float32 weights of the squared errors of what is predicted: `overlap_weight` outside the hole."""
        if not self.overlap:
            return tf.ones([1, 1, 1, 1])
        inside = self.middle(hole) if self.region == "centre" else hole
        return tf.where(inside, 1.0, self.overlap_weight)

    # ---- training: D, then G, on one forward of G -----------------------------------------------------------------
    def forward(self, data):
        """What is to be predicted, what is, the weights of its errors, and the tape that recorded it."""
        if self.region == "centre":
            (images,) = self.unpack(data)
            hole, target = self.centre_hole, self.middle(images)
        else:
            images, mask = self.unpack(data)
            hole, target = mask > 0, images
        with tf.GradientTape() as tape:
            fake = self.generator(self.blanked_batch(images, hole), training=True)
        return target, fake, self.l2_weights(hole), tape

    def judge(self, images):
        return self.discriminator(self.for_d(images), training=True)

    def discriminator_step(self, target, fake):
        with tf.GradientTape() as tape:
            real_logits, fake_logits = self.judge(target), self.judge(tf.stop_gradient(fake))
            loss = self.d_loss(losses.non_saturating_d, real_logits, fake_logits)
            loss += self.r1(self.judge, target) + self.r2(self.judge, fake)
        self.minimize(tape, loss, "d_optimizer")
        return loss, self.judged(real_logits, fake_logits)

    def generator_step(self, target, fake, weights, tape):
        with tape:
            squares = tf.square(fake - target)
            adversarial = self.g_loss(losses.non_saturating_g, self.judge(fake), lambda: self.judge(target))
            share = 1 - self.l2_weight if self.l2_weight < 1 else 1.0
            loss = self.l2_weight * tf.reduce_mean(weights * squares) + share * adversarial
        self.minimize(tape, loss, "g_optimizer")
        return loss, tf.reduce_mean(squares)

    def train_step(self, data):
        target, fake, weights, tape = self.forward(data)
        d_loss, judgement = self.discriminator_step(target, fake)
        g_loss, l2 = self.generator_step(target, fake, weights, tape)
        self.update_ema()
        return self.log(d_loss=d_loss, g_loss=g_loss, l2=l2, **judgement)

    def crop_signature(self):
        shape = [None, self.image_size, self.image_size]
        return {
            "image": tf.TensorSpec([*shape, self.channels], tf.float32),
            "mask": tf.TensorSpec([*shape, 1], tf.float32),
        }

    def batch_signature(self):
        columns = self.crop_signature()
        return columns if self.region == "random" else {"image": columns["image"]}

    # ---- test time: running statistics, and the hole alone is pasted -----------------------------------------------
    def made(self, images, hole):
        """float32 images (N, image_size, image_size, C) with what the network makes instead of what it makes: the
        square in the middle, of which it sees the rim alone, or the whole picture, of which it sees all but the hole."""
        blank = self.centre_hole if self.region == "centre" else hole
        made = self.sampler(self.blanked(images, blank), training=False)
        if self.region == "random":
            return made
        edge = self.image_size // 4
        around = [[0, 0], [edge, edge], [edge, edge], [0, 0]]
        return tf.where(tf.pad(tf.ones_like(made[:1, ..., :1]) > 0, around), tf.pad(made, around), images)

    def filled(self, images, hole):
        """The same with the pixels of the hole alone exchanged."""
        return tf.where(hole, self.made(images, hole), images)

    @property
    def hole(self) -> int:
        """Side of the square in the middle of a crop that is filled at once."""
        return self.image_size // 2 - 2 * self.overlap if self.region == "centre" else self.image_size // 2

    def default_mask(self, height, width):
        return filling.centre((height, width), self.hole)

    def filled_image(self, image, mask):
        """float32 (H, W, C) of any size from `image_size` on, whose masked pixels (bool (H, W)) are filled."""
        band = self.overlap if self.region == "centre" else 0
        return filling.fill(self.made, image, mask, size=self.image_size, hole=self.hole, band=band)

    def generate(self, images, *, mask=None, seed=0):
        """Fills holes of pictures; what is not masked stays as it is, bit for bit.

        Args:
            images: uint8 (N, H, W, C) 0..255, or floats in [-1, 1], both sides at least `image_size`; gray or RGB is
                converted to `channels`.
            mask: bool, or uint8 of 0 and 255 (white is the hole), (N, H, W) or (H, W) for all; None is the square that
                the network fills at once, in the middle of the picture.
            seed: without effect, since nothing is drawn; all image models take one.

        Returns:
            uint8 (N, H, W, channels).

        Raises:
            GanzooError: pictures that are too small, a mask of another size, without a hole, or of the whole picture.
        """
        x = pixels.images_in(images, self.channels)
        filling.check_sides(x.shape, self.image_size)
        mask = self.default_mask(*x.shape[1:3]) if mask is None else mask
        masks = filling.masks_in(mask, x.shape)

        def traced():
            signature = [tf.TensorSpec([None, None, self.channels]), tf.TensorSpec([None, None], tf.bool)]
            return rows.graph_of(lambda x, m: pixels.to_uint8(self.filled_image(x, m)), signature)

        fill = self.cached("generate", traced)  # one by one: the result cannot depend on the neighbours
        return np.stack([fill(image, mask).numpy() for image, mask in zip(x, masks, strict=True)])

    # ---- serving -------------------------------------------------------------------------------------------------
    def serving_signature(self):
        serve, tensors = filling.endpoints(self.filled_image, self.image_size, self.channels)
        return {"serving_default": serve, "tensors": tensors}

    def portable_signature(self):
        """`tensors` of one crop: pictures and masks of `image_size`; of region "centre" the hole lies in the middle."""
        specs = self.crop_signature()

        def tensors(images, masks):
            """float32 images in [-1, 1] and masks, above 0 in the hole -> float32 images in [-1, 1]."""
            return {"images": self.filled(images, masks > 0)}

        return {"tensors": (tensors, {"images": specs["image"], "masks": specs["mask"]})}
