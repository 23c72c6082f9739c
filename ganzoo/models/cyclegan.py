"""Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks.

Jun-Yan Zhu, Taesung Park, Phillip Isola, Alexei A. Efros, 2017. arXiv 1703.10593. Official code:
github.com/junyanz/CycleGAN (Lua) and github.com/junyanz/pytorch-CycleGAN-and-pix2pix.

Objective (equation 3):  L(G, F, D_X, D_Y) = L_GAN(G, D_Y, X, Y) + L_GAN(F, D_X, Y, X) + lambda L_cyc(G, F),
L_cyc = E|F(G(x)) - x|_1 + E|G(F(y)) - y|_1;  L_GAN with least squares (section 4):  G minimises E (D(G(x)) - 1)^2,
D minimises E (D(y) - 1)^2 + E D(G(x))^2.

| paper | here |
|---|---|
| X, Y; x, y | domains A, B; `a`, `b` of a batch |
| G: X -> Y, F: Y -> X | `generator_ab`, `generator_ba` |
| D_X, D_Y | `discriminator_a`, `discriminator_b` |
| c7s1-k, dk, Rk, uk (appendix 7.2) | `in_`, `downN_`, `resN_`, `upN_`, `out_` + `pad`, `conv`, `norm`, `relu` |
| Ck (appendix 7.2) | `convN`, `normN`, `lreluN` |
| lambda | `cycle_weight`, 10 |
| L_identity (section 5.2) | `identity_weight`, 0.5, times lambda; 0 for none |
| history of 50 images (section 4) | `pool_a`, `pool_b`: `pool_size` |

Training (section 4, appendix 7.1): Adam at 2e-4, beta_1 0.5, beta_2 0.999, batches of 1; 100 epochs at this rate and
100 in which it falls to zero; weights N(0, 0.02). An epoch has as many steps as the larger domain has images; the
other domain's are drawn at random. The codes resize to 286 x 286, crop 256 x 256 and mirror, each domain by itself.
Preset `horse2zebra-256` has these numbers, `horse2zebra-128` the network for that size; `fluent2noto-64` smaller nets
and 30 epochs.

Deviations: the identity loss is on by default as in both codes; the paper has it for painting -> photo only. The
update order is the PyTorch code's: G and F together, then D_X and D_Y, whose objective is halved (section 4; Lua does
not). The instance norms have no gains and offsets, as in the PyTorch code (Lua's do); a convolution's bias before
one, which the norm subtracts again, stays at zero. The rate falls epoch by epoch as in the PyTorch code, not quite to
zero. `norm="batch"`, `affine=True` and `dropout` are not the paper's: others trained with them, and their checkpoints
import. `upsampling="resize"` is not either: the last levels double their maps and convolve 3x3, which leaves no plaid on
flat areas as transposed convolutions do in small nets. `residual=True` is not: the network's output is added to its input before the tanh, on the scale where
tanh undoes it, so that it begins near a copy (hardikbansal/CycleGAN has such a skip). Preset `fluent2noto-64` uses both.
Samples take batch norm's running statistics and no dropout, as networks in PyTorch's `eval()` do.
"""

import functools

import keras
import tensorflow as tf
from keras import layers

from ganzoo import losses
from ganzoo.base import BaseGAN, Checks, pixels, translation
from ganzoo.errors import GanzooError, nearest
from ganzoo.layers import (
    Arctanh,
    BatchNorm,
    DropFirst,
    FastConv2D,
    FastConv2DTranspose,
    ImagePool,
    InstanceNorm,
    MaskedDropout,
    ReflectPad,
    ResizeConv2D,
    RowUniform,
    Zeroed,
)
from ganzoo.registry import register

DIRECTIONS = ("a2b", "b2a")
STRIDE = 4  # of the generator: two stride-2 convolutions


def _init():
    return keras.initializers.RandomNormal(stddev=0.02)  # section 7.1


def _norm(norm, affine, name):
    if norm == "batch":
        return BatchNorm(gamma_initializer=keras.initializers.RandomNormal(1.0, 0.02), name=name)
    return InstanceNorm(affine=affine, fused=True, name=name)


def _bias(norm):
    """Of a convolution before a norm, which cancels it: kept at zero, and none before batch norm, as in the PyTorch code."""
    return {"use_bias": norm != "batch", "bias_constraint": None if norm == "batch" else Zeroed()}


def build_generator(
    *, input_channels, output_channels, ngf, n_blocks, norm, affine, dropout, upsampling, residual
) -> keras.Model:
    """ResNet: images (N, H, W, input_channels) in [-1, 1] -> (N, H, W, output_channels) in [-1, 1].

    H and W are multiples of 4 and at least 8. With dropout the network takes [images, seeds], seeds int32 (N, 2): the
    masks of image i are drawn from seeds[i].

    Args:
        ngf: width of the outermost level, 64: c7s1-64, d128, d256, R256 ..., u128, u64, c7s1-3.
        n_blocks: residual blocks: 9 for 256 pixels and more, 6 for 128.
        norm: "instance" or "batch".
        affine: whether instance norms have gains and biases; batch norms always do.
        dropout: share of units dropped between the two convolutions of a block.
        upsampling: "transposed" (uk) or "resize".
        residual: add the output to the input's inverse tanh, clipped to its value at 0.999.
    """
    image = keras.Input((None, None, input_channels), name="image")
    seeds = keras.Input((2,), dtype="int32", name="seeds")
    options = {"kernel_initializer": _init()} | _bias(norm)

    def conv(x, filters, size, strides, name):
        return FastConv2D(filters, size, strides, name=f"{name}_conv", **options)(x)

    def normed(x, name):
        return layers.ReLU(name=f"{name}_relu")(_norm(norm, affine, f"{name}_norm")(x))

    x = ReflectPad(3, name="in_pad")(image)
    x = normed(conv(x, ngf, 7, 1, "in"), "in")
    for level in (1, 2):
        x = layers.ZeroPadding2D(1, name=f"down{level}_pad")(x)  # torch pads both sides, `same` one
        x = normed(conv(x, ngf * 2**level, 3, 2, f"down{level}"), f"down{level}")
    for block in range(1, n_blocks + 1):
        y = ReflectPad(1, name=f"res{block}_pad1")(x)
        y = FastConv2D(4 * ngf, 3, name=f"res{block}_conv1", **options)(y)
        y = layers.ReLU(name=f"res{block}_relu")(_norm(norm, affine, f"res{block}_norm1")(y))
        if dropout:
            noise = RowUniform(block, name=f"res{block}_noise")([y, seeds])
            y = MaskedDropout(dropout, name=f"res{block}_dropout")([y, noise])
        y = ReflectPad(1, name=f"res{block}_pad2")(y)
        y = FastConv2D(4 * ngf, 3, name=f"res{block}_conv2", **options)(y)
        y = _norm(norm, affine, f"res{block}_norm2")(y)
        x = layers.Add(name=f"res{block}_add")([x, y])  # no activation after it
    for level, width in ((2, 2 * ngf), (1, ngf)):
        if upsampling == "resize":
            x = ResizeConv2D(width, name=f"up{level}_conv", **options)(x)
        else:
            x = FastConv2DTranspose(width, 3, 2, name=f"up{level}_conv", **options)(x)
            # Torch's padding 1, output padding 1 drops the first row and column; `same` would drop the last.
            x = DropFirst(name=f"up{level}_crop")(x)
        x = normed(x, f"up{level}")
    x = ReflectPad(3, name="out_pad")(x)
    x = layers.Conv2D(output_channels, 7, kernel_initializer=_init(), name="out_conv")(x)
    if residual:
        x = layers.Add(name="residual_add", dtype="float32")([x, Arctanh(name="residual", dtype="float32")(image)])
    x = layers.Activation("tanh", name="tanh", dtype="float32")(x)
    return keras.Model([image, seeds] if dropout else image, x, name="generator")


def build_discriminator(*, channels, ndf, n_layers, norm, affine) -> keras.Model:
    """PatchGAN: images (N, H, W, channels) -> logits (N, h, w, 1), one for each patch; C64-C128-C256-C512.

    Args:
        n_layers: stride-2 layers; the patch is 16, 34, 70 px for 1, 2, 3.
        norm, affine: as for the generator.
    """
    image = keras.Input((None, None, channels), name="image")
    x = image
    for layer in range(1, n_layers + 2):
        # Torch's padding 1: `same` would keep the size in the last two layers (stride 1), which shrink it by one.
        x = layers.ZeroPadding2D(1, name=f"pad{layer}")(x)
        x = FastConv2D(
            ndf * min(2 ** (layer - 1), 8),
            4,
            2 if layer <= n_layers else 1,
            kernel_initializer=_init(),
            name=f"conv{layer}",
            **(_bias(norm) if layer > 1 else {}),
        )(x)
        if layer > 1:  # no norm on the first layer
            x = _norm(norm, affine, f"norm{layer}")(x)
        x = layers.LeakyReLU(0.2, name=f"lrelu{layer}")(x)
    x = layers.ZeroPadding2D(1, name="pad_logits")(x)
    x = layers.Conv2D(1, 4, kernel_initializer=_init(), name="logits", dtype="float32")(x)
    return keras.Model(image, x, name="discriminator")


@register("cyclegan")
class CycleGAN(BaseGAN):
    """Two generators that undo each other and two PatchGANs, trained on two sets of images without pairs.

    Args:
        input_channels, output_channels: of domain A and of domain B.
        ngf, ndf: base widths of the generators and discriminators.
        n_blocks: residual blocks of the generators: 9 for 256 px, 6 for 128 px (section 7.2).
        n_layers: of the PatchGANs, 3 = 70x70.
        norm: "instance" (section 7.1) or "batch", of all four networks.
        affine: gains and biases in the instance norms; the paper's have none.
        dropout: share of units dropped in the generators' blocks while they train, 0 as in the paper.
        upsampling: "transposed" (paper) or "resize" (doubled maps, 3x3 convolutions), of the generators.
        residual: the generators add their output to their input; both domains have one channel count then.
        image_size: side of the training images, which the history stores; the networks take any size.
        cycle_weight: lambda (section 4).
        identity_weight: weight of the identity loss relative to lambda (section 5.2); 0 for none. It needs domains of
            equal channel counts.
        pool_size: images in each domain's history (section 4); 0 for none. Each replica of `tf.distribute` has its own,
            so that a run resumes on as many replicas as it began on.
        ema_decay: decay of averaged copies of the generators; the paper has none.
    """

    task = "image"
    directions = DIRECTIONS
    stride = STRIDE
    checks = Checks(
        small={"model.image_size": 16, "model.ngf": 2, "model.ndf": 2, "model.n_blocks": 1, "model.n_layers": 1}
        | {"model.pool_size": 4, "data.size": 16, "data.split": "test"},
        mixes="the image pool: each replica has its own history",
        unmixed={"model.pool_size": 0},
    )
    logs = ("d_loss", "g_loss", "cycle", "identity", "fooled")
    rounds = (("g_optimizer", "d_optimizer"),)
    players = {  # noqa: RUF012  (as in the base)
        "g_optimizer": ("generator_ab", "generator_ba"),
        "d_optimizer": ("discriminator_a", "discriminator_b"),
    }

    def __init__(
        self,
        *,
        input_channels=3,
        output_channels=3,
        ngf=64,
        ndf=64,
        n_blocks=9,
        n_layers=3,
        norm="instance",
        affine=False,
        dropout=0.0,
        upsampling="transposed",
        residual=False,
        image_size=256,
        cycle_weight=10.0,
        identity_weight=0.5,
        pool_size=50,
        ema_decay=0.0,
    ):
        super().__init__(locals())
        if identity_weight and input_channels != output_channels:
            raise GanzooError(
                f"The identity loss feeds images of domain B ({output_channels} channels) to the generator of domain A "
                f"({input_channels}): give both domains one channel count, or set identity_weight = 0."
            )
        if residual and input_channels != output_channels:
            raise GanzooError(
                f"A residual generator adds its input ({input_channels} channels) to its output ({output_channels}): give both "
                "domains one channel count, or set residual = false."
            )
        if norm not in ("instance", "batch"):
            raise GanzooError(f'norm is "instance" or "batch"; received {norm!r}.')
        if upsampling not in ("transposed", "resize"):
            raise GanzooError(f'upsampling is "transposed" or "resize"; received {upsampling!r}.')
        if not 0 <= dropout < 1:
            raise GanzooError(f"dropout is the share of units dropped and must be in [0, 1); received {dropout!r}.")
        self.pool_a, self.pool_b = ImagePool(pool_size, name="pool_a"), ImagePool(pool_size, name="pool_b")
        self.pool_a.build((None, image_size, image_size, input_channels))
        self.pool_b.build((None, image_size, image_size, output_channels))
        back = {"input_channels": output_channels, "output_channels": input_channels}
        self.register_networks(
            generator_ab=build_generator,
            generator_ba=functools.partial(build_generator, **back),
            discriminator_a=functools.partial(build_discriminator, channels=input_channels),
            discriminator_b=functools.partial(build_discriminator, channels=output_channels),
        )

    # ---- training: G and F, then D_X and D_Y on images from the histories ------------------------------------------
    def recall(self, pool, images):
        """Images from a domain's history; the draws belong to (run seed, domain, step) as all noise does."""

        def places(shape, seed):
            return tf.random.stateless_uniform(shape, seed, 0, max(self.pool_size, 1), tf.int32)

        rows = tf.shape(images)[0]
        uniform = self.noise(tf.random.stateless_uniform, f"{pool.name}/uniform", rows)
        return tf.stop_gradient(pool(images, uniform, self.noise(places, f"{pool.name}/index", rows)))

    def generator_step(self, a, b):
        """G and F together. Returns the losses and (G(a), F(b)), which the discriminators are shown next."""
        identity = bool(self.identity_weight)
        with tf.GradientTape() as tape:
            fake_b, *same_b = self.passed(self.generator_ab, "ab", a, *[b] * identity)
            fake_a, cycled_a, *same_a = self.passed(self.generator_ba, "ba", b, fake_b, *[a] * identity)
            (cycled_b,) = self.passed(self.generator_ab, "cycle", fake_a)
            loss = self.fooling_loss(self.discriminator_b, fake_b, b)  # (D_Y(G(x)) - 1)^2
            loss += self.fooling_loss(self.discriminator_a, fake_a, a)  # (D_X(F(y)) - 1)^2
            cycle = losses.l1(a, cycled_a) + losses.l1(b, cycled_b)
            same = losses.l1(a, same_a[0]) + losses.l1(b, same_b[0]) if identity else tf.zeros([])
            loss += self.cycle_weight * (cycle + self.identity_weight * same)
        self.minimize(tape, loss, "g_optimizer")
        return loss, cycle, same, fake_a, fake_b

    def judge(self, discriminator, images):
        return discriminator(self.for_d(images), training=True)

    def fooling_loss(self, discriminator, fake, real):
        fake_logits = self.judge(discriminator, fake)
        return self.g_loss(losses.least_squares_g, fake_logits, lambda: self.judge(discriminator, real))

    def passed(self, network, stream, *batches):
        """A network's outputs of several batches, in training.

        Instance norm mixes no rows, so that one pass takes all of them; batch norm takes the statistics of each by itself.
        """
        groups = [batches] if self.norm == "instance" else [[batch] for batch in batches]
        outputs = []
        for index, group in enumerate(groups):
            inputs = _rows(*group)
            if len(network.inputs) == 2:
                seeds = [
                    self.row_noise_seeds(f"dropout/{stream}{index + i}", tf.shape(x)[0]) for i, x in enumerate(group)
                ]
                inputs = [inputs, tf.concat(seeds, axis=0)]
            outputs += tf.split(network(inputs, training=True), len(group))
        return outputs

    def discriminator_step(self, a, b, fake_a, fake_b):
        """D_X and D_Y on the real images and on fakes from the histories."""
        pooled_a, pooled_b = self.recall(self.pool_a, fake_a), self.recall(self.pool_b, fake_b)
        with tf.GradientTape() as tape:
            real_a, old_a = self.passed(self.discriminator_a, "a", self.for_d(a), self.for_d(pooled_a))
            real_b, old_b = self.passed(self.discriminator_b, "b", self.for_d(b), self.for_d(pooled_b))
            # 1/2 [(D(y) - 1)^2 + D(G(x))^2]: section 4 divides D's objective by 2
            loss = self.d_loss(losses.least_squares_d, real_a, old_a)
            loss += self.d_loss(losses.least_squares_d, real_b, old_b)
            for network, real, old in ((self.discriminator_a, a, pooled_a), (self.discriminator_b, b, pooled_b)):
                critic = functools.partial(self.judge, network)
                loss += self.r1(critic, real) + self.r2(critic, old)
        self.minimize(tape, loss, "d_optimizer")
        # Between the targets 1 and 0 the border is 0.5.
        return loss, self.judged(tf.concat([real_a, real_b], 0) - 0.5, tf.concat([old_a, old_b], 0) - 0.5)

    def train_step(self, data):
        a, b = self.unpack(data)
        g_loss, cycle, identity, fake_a, fake_b = self.generator_step(a, b)
        d_loss, judgement = self.discriminator_step(a, b, fake_a, fake_b)
        self.update_ema()
        return self.log(d_loss=d_loss, g_loss=g_loss, cycle=cycle, identity=identity, **judgement)

    def batch_signature(self):
        return {
            "a": tf.TensorSpec([None, self.image_size, self.image_size, self.input_channels], tf.float32),
            "b": tf.TensorSpec([None, self.image_size, self.image_size, self.output_channels], tf.float32),
        }

    def training_state(self):
        return super().training_state() | self.pool_a.state() | self.pool_b.state()

    # ---- sampling ------------------------------------------------------------------------------------------------
    def translator(self, direction="a2b") -> keras.Model:
        """The generator that samples in a direction, its average if there is one: images -> images, without dropout."""
        if direction not in DIRECTIONS:
            raise GanzooError(f'direction is "a2b" or "b2a"; received {direction!r}.{nearest(direction, DIRECTIONS)}')
        generator = getattr(self, f"{'ema_' if self.ema_decay else ''}generator_{direction.replace('2', '')}")
        return self.cached(f"undropped_{direction}", lambda: _undropped(generator)) if self.dropout else generator

    @property
    def sampler(self):
        return self.translator()

    def translated(self, images, direction="a2b"):
        """float32 G(x) or F(y) of float32 images (N, H, W, C) of any size."""
        generator = self.translator(direction)
        # At least 8: the residual blocks mirror one pixel at a quarter of the size.
        return translation.padded(lambda x: generator(x, training=False), images, STRIDE, 2 * STRIDE)

    def generate(self, images, *, direction="a2b", seed=0):
        """Translates images of any size, padded to a multiple of 4 and cropped back.

        Args:
            images: uint8 (N, H, W, C) 0..255, or floats in [-1, 1]; gray or RGB is converted to the domain's channels.
            direction: "a2b" for G, "b2a" for F.
            seed: without effect, since nothing is drawn; all image models take one.

        Returns:
            uint8 (N, H, W, channels of the other domain).
        """
        x = pixels.images_in(images, self.translator(direction).input_shape[-1])
        translate = self._translate(direction)
        return translation.one_by_one(self, f"generate_{direction}", translate, x, seed)

    def _translate(self, direction):
        return lambda images, seeds: self.translated(images, direction)

    # ---- serving -------------------------------------------------------------------------------------------------
    def portable_signature(self):
        """`tensors` and `b2a_tensors` of one size, that of the training images."""
        endpoints = {}
        for direction, name in (("a2b", "tensors"), ("b2a", "b2a_tensors")):
            generator = self.translator(direction)
            shape = [None, self.image_size, self.image_size, generator.input_shape[-1]]
            endpoints[name] = (_plainly(generator), {"images": tf.TensorSpec(shape, tf.float32, name="images")})
        return endpoints

    def serving_signature(self):
        endpoints: dict = {}
        for direction, *names in (("a2b", "serving_default", "tensors"), ("b2a", "b2a", "b2a_tensors")):
            channels = self.translator(direction).input_shape[-1]
            endpoints |= zip(names, translation.endpoints(self._translate(direction), channels), strict=True)
        return endpoints


def _plainly(generator):
    """float32 images (N, image_size, image_size, C) in [-1, 1] -> float32 images in [-1, 1]."""
    return lambda images: {"images": generator(images, training=False)}


def _undropped(generator):
    """The network on the same variables without its dropout and the seeds of it."""

    def call(layer, *args, **kwargs):
        return args[0][0] if isinstance(layer, RowUniform | MaskedDropout) else layer(*args, **kwargs)

    view = keras.models.clone_model(generator, clone_function=lambda layer: layer, call_function=call)
    return keras.Model(view.inputs[0], view.outputs[0], name=generator.name)


def _rows(*images):
    return tf.concat([tf.cast(x, images[0].dtype) for x in images], axis=0)
