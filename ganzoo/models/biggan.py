"""Large Scale GAN Training for High Fidelity Natural Image Synthesis.

Andrew Brock, Jeff Donahue, Karen Simonyan, 2018. arXiv 1809.11096. Official code: github.com/ajbrock/BigGAN-PyTorch (the first
author's; that of the paper was not released).

Objective (hinge loss, 1705.02894), with y the class:

    min_D  E_{x,y}[relu(1 - D(x, y))] + E_{z,y}[relu(1 + D(G(z, y), y))]          min_G  -E_{z,y}[D(G(z, y), y)] + beta R(G)

D(x, y) = w h + <e_y, h> with h the sum over all places of the last features (projection, 1802.05637), and R = ||W W^T * (1 -
I)||_F^2 over the filters W of G (section 3.1).

| paper | here |
|---|---|
| ch (tables 4 to 9) | `ngf`, `ndf`; the widths of all blocks are multiples of it: GENERATOR, DISCRIMINATOR |
| z, split (section 3, figure 15) | `hierarchical`: chunk 0 becomes the 4x4 map, chunk i stands behind the class embedding for block i |
| shared embedding (section 3) | `shared`, `shared_dim` wide, not normalised; each norm's gain and offset are linear maps of it |
| class-conditional BatchNorm | `block1_1_norm` without gain and offset, then x (1 + gain) + offset (`Modulate`) |
| non-local block (SAGAN, 1805.08318) | `attention`: side of the map; queries and keys of C / 8, values of C / 2 channels |
| spectral norm (1802.05637, 1802.05957) | every convolution and linear layer of G and D, and D's embedding: `layers.SpectralConv2D`, ... |
| BigGAN-deep (appendix B) | `deep`: bottlenecks, all of z next to the embedding in every norm, parameter-free shortcuts |
| truncation trick (section 3.1) | `generate(truncation=)`: a normal distribution cut at 2 and scaled; `resample=True`: the paper's |
| beta R (equation 3) | `ortho_weight`; not of the shared embedding |
| D steps per G step (section 3) | `d_steps`; a batch holds d_steps * m pictures, m for each update of D |
| standing statistics (section 4) | `standing_batches` batches in training mode, of the truncation in use; `finalize` |

Training (section 3, appendix C): Adam, beta_1 0, beta_2 0.999, G at 5e-5, D at 2e-4, two D steps per G step, batches of 2,048,
150,000 steps of G at 128 px; every step on z and labels of its own; batch statistics over all devices
(`train.sync_batch_norm`); orthogonal initial weights; G averaged with decay 0.9999, from step 20,000 on and a copy before. Runs end
in collapse, and the last good checkpoint is taken. ImageNet is cropped along the long edge; nothing is mirrored. Preset
`imagenet-128` has these numbers, `imagenet-deep-128` those of BigGAN-deep. The released script for 8 GPUs takes one D step, G at
1e-4, D at 4e-4, epsilon 1e-6 after Adam's bias correction (`epsilon_after`) and 8 micro-batches of 256. Preset
`cifar-32` is the code's CIFAR recipe: no shared embedding (each norm has tables), plain z, no attention, weights N(0, 0.02), 4 D
steps on batches of 50, both rates 2e-4, an average from step 1,000 on. `fashion-32` follows it with widths that halve towards the
picture (`taper`), one D step, batches of 32 and rates that fall to zero.

Deviations: none in the networks. The spectral norm makes one power iteration in each training forward and, in evaluation, one
that is not kept, as the code does; the average of G takes over the batch statistics and the vectors u of G as they are (the code
averages them). Orthogonal regularisation is the paper's loss; the code's gradient is half of its (and both released scripts
switch it off). A picture is drawn with standing statistics (recomputed after training and for each truncation), so that it
depends on its own z and label alone; the released script takes running averages. Where a doubling or averaging stands next to a
convolution, both run as one of stride 2, and 1x1 convolutions run on the smaller map: the same numbers to rounding. Biases that a
batch norm subtracts again stay where they are. Not of this paper: `taper`, and G without spectral norm (`spectral_g`), as a TF-Hub
generator is imported, whose kernels are divided already.
"""

import functools

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from ganzoo import losses, penalties
from ganzoo.base import Around, Checks, LatentGAN, around, labels, pixels, rows
from ganzoo.errors import GanzooError
from ganzoo.layers import (
    Attend,
    BatchNorm,
    Gated,
    Modulate,
    OneHot,
    Part,
    SpectralConv2D,
    SpectralDense,
    SpectralTable,
    SumOfPlaces,
    Zeroed,
    normalization,
)
from ganzoo.registry import register

# Widths of the blocks in multiples of the base width (code: G_arch, D_arch). G: from 4x4 on, every block doubles.
GENERATOR = {
    32: (4, 4, 4, 4),
    64: (16, 16, 8, 4, 2),
    128: (16, 16, 8, 4, 2, 1),
    256: (16, 16, 8, 8, 4, 2, 1),
    512: (16, 16, 8, 8, 4, 2, 1, 1),
}
# D: (width, whether it halves) of each block.
DISCRIMINATOR = {
    32: ((4, True), (4, True), (4, False), (4, False)),
    64: ((1, True), (2, True), (4, True), (8, True), (16, False)),
    128: ((1, True), (2, True), (4, True), (8, True), (16, True), (16, False)),
    256: ((1, True), (2, True), (4, True), (8, True), (8, True), (16, True), (16, False)),
}
# BigGAN-deep: widths of the stages, of two blocks each; of G the second one doubles, of D the first one halves.
DEEP_GENERATOR = {128: (16, 16, 8, 4, 2, 1), 256: (16, 16, 8, 8, 4, 2, 1)}
DEEP_DISCRIMINATOR = {128: (1, 2, 4, 8, 16, 16), 256: (1, 2, 4, 8, 8, 16, 16)}
# Not in the paper: at 32 px widths that halve towards the picture, as those of the larger sizes do.
TAPERED_GENERATOR = (8, 4, 2, 1)
TAPERED_DISCRIMINATOR = ((1, True), (2, True), (4, True), (8, False))


def _layout(table, image_size, what):
    if image_size not in table:
        sizes = ", ".join(map(str, table))
        raise GanzooError(f"{what} is laid out for image_size {sizes}; received {image_size}.")
    return table[image_size]


def _initializer(init):
    if init not in ("orthogonal", "normal"):
        raise GanzooError(f'init is "orthogonal" or "normal", which is N(0, 0.02); received {init!r}.')
    return keras.initializers.Orthogonal() if init == "orthogonal" else keras.initializers.RandomNormal(stddev=0.02)


class _Layers:
    """Makers of normalised layers that share epsilon and initialiser."""

    def __init__(self, init, sn_epsilon, spectral=True):
        self.options = {"epsilon": sn_epsilon, "spectral": spectral}
        self.init = functools.partial(_initializer, init)

    def conv(self, width, name, size=3, **more):
        return SpectralConv2D(
            width, kernel_size=size, kernel_initializer=self.init(), name=name, **self.options, **more
        )

    def dense(self, width, name, **more):
        return SpectralDense(width, kernel_initializer=self.init(), name=name, **self.options, **more)

    def table(self, width, name):
        return SpectralTable(width, kernel_initializer=self.init(), name=name, **self.options)

    def plain_table(self, width, name):
        """A row for each class, not normalised."""
        return layers.Dense(width, use_bias=False, kernel_initializer=self.init(), name=name)

    def attention(self, x):
        """Self-attention (1805.08318): queries and keys of C / 8 channels, values of C / 2, keys and values at half size."""
        width = x.shape[-1]
        if width < 8:
            raise GanzooError(
                f"Self-attention has an eighth of the channels as queries; there are {width}. Widen the network."
            )

        def part(w, name):
            return self.conv(w, f"attention_{name}", size=1, use_bias=False)

        queries = part(width // 8, "query")(x)
        keys = layers.MaxPooling2D(name="attention_key_pool")(part(width // 8, "key")(x))
        values = layers.MaxPooling2D(name="attention_value_pool")(part(width // 2, "value")(x))
        found = part(width, "out")(Attend(name="attention_mean")([queries, keys, values]))
        return Gated(name="attention")([x, found])


def build_generator(
    *, image_size, channels, latent_dim, classes, shared_dim, hierarchical, deep, ngf, attention, taper, init, spectral_g,
    sn_epsilon, epsilon,
) -> keras.Model:  # fmt: skip
    """[z (N, latent_dim), labels (N,)] -> images (N, image_size, image_size, channels) in [-1, 1].

    Args:
        shared_dim: width of the class embedding that all conditional norms share; 0 for a table in each of them.
        hierarchical: z goes into every block: a chunk each, or in the deep generator all of it.
        deep: BigGAN-deep.
        ngf: base width.
        attention: side of the map that self-attention looks at; 0 for none.
        taper: at 32 px, widths that halve towards the picture.
    """
    make = _Layers(init, sn_epsilon, spectral_g)
    if taper and image_size == 32 and not deep:
        widths = TAPERED_GENERATOR
    else:
        table, what = (DEEP_GENERATOR, "G of BigGAN-deep") if deep else (GENERATOR, "G of BigGAN")
        widths = _layout(table, image_size, what)
    if attention and attention not in [8 << i for i in range(len(widths) - 1)]:
        raise GanzooError(
            f"Self-attention looks at a map of G, whose sides are 8 to {image_size}, or 0 for none; received {attention}."
        )
    if hierarchical and not shared_dim:
        raise GanzooError(
            "hierarchical puts parts of z next to the shared class embedding: give shared_dim, 0 is none."
        )
    z = keras.Input((latent_dim,), name="latents")
    label = keras.Input((), dtype="int64", name="labels")
    classes_of = OneHot(classes, name="one_hot")(label)
    condition = make.plain_table(shared_dim, "shared")(classes_of) if shared_dim else classes_of
    first, conditions = z, [condition] * (len(widths) - 1)
    if hierarchical and deep:
        first = layers.Concatenate(name="condition")([condition, z])
        conditions = [first] * (len(widths) - 1)
    elif hierarchical:
        chunk = latent_dim // len(widths)
        if chunk * len(widths) != latent_dim or not chunk:
            raise GanzooError(
                f"latent_dim is divided among {len(widths)} places at {image_size} px: a multiple of that; received "
                f"{latent_dim}. Nearest: {max(chunk, 1) * len(widths)}."
            )
        first, *chunks = [Part(i * chunk, chunk, name=f"chunk{i}")(z) for i in range(len(widths))]
        conditions = [layers.Concatenate(name=f"condition{i + 1}")([condition, part]) for i, part in enumerate(chunks)]
    x = make.dense(16 * widths[0] * ngf, "project")(first)
    x = layers.Reshape((4, 4, widths[0] * ngf), name="grid")(x)

    def norm(x, condition, name):
        table = make.plain_table if not shared_dim else functools.partial(make.dense, use_bias=False)
        width = x.shape[-1]
        x = BatchNorm(epsilon=epsilon, affine=False, name=f"{name}_norm")(x)
        gain, offset = table(width, f"{name}_gain")(condition), table(width, f"{name}_offset")(condition)
        x = Modulate(name=f"{name}_modulate")([x, gain, offset])
        return layers.ReLU(name=f"{name}_relu")(x)

    for i, (width, condition) in enumerate(zip(widths[1:], conditions, strict=True), 1):
        size = 4 << i
        # A norm subtracts these biases again, unless attention comes between.
        still = {"bias_constraint": Zeroed()} if not attention or size > attention else {}
        if deep:
            x = _deep_up(x, x.shape[-1], condition, f"block{i}a", make, norm, still, double=False)
            x = _deep_up(x, width * ngf, condition, f"block{i}b", make, norm, still, double=True)
        else:
            x = _up(x, width * ngf, condition, f"block{i}", make, norm, still)
        if size == attention:
            x = make.attention(x)
    x = layers.ReLU(name="out_relu")(BatchNorm(epsilon=epsilon, name="out_norm")(x))
    x = make.conv(channels, "out_conv")(x)
    return keras.Model([z, label], layers.Activation("tanh", name="tanh", dtype="float32")(x), name="generator")


def _up(x, width, condition, name, make, norm, still):
    """norm, ReLU, doubling, conv3, norm, ReLU, conv3; next to it 1x1 and doubling (in this order: the same numbers)."""
    skip = make.conv(width, f"{name}_skip", size=1, **still)(x)
    skip = layers.UpSampling2D(name=f"{name}_skip_up")(skip)
    x = norm(x, condition, f"{name}_1")
    x = make.conv(width, f"{name}_conv1", resample="up", bias_constraint=Zeroed())(x)
    x = norm(x, condition, f"{name}_2")
    x = make.conv(width, f"{name}_conv2", **still)(x)
    return layers.Add(name=f"{name}_add")([x, skip])


def _deep_up(x, width, condition, name, make, norm, still, *, double):
    """A bottleneck of a quarter of the channels; next to it the first `width` channels, doubled."""
    inner, skip = x.shape[-1] // 4, x
    if not inner:
        raise GanzooError(
            f"BigGAN-deep has a quarter of the channels in its blocks; there are {x.shape[-1]}. Raise ngf."
        )
    x = make.conv(inner, f"{name}_conv1", size=1, bias_constraint=Zeroed())(norm(x, condition, f"{name}_1"))
    x = norm(x, condition, f"{name}_2")
    x = make.conv(inner, f"{name}_conv2", resample="up" if double else "none", bias_constraint=Zeroed())(x)
    x = make.conv(inner, f"{name}_conv3", bias_constraint=Zeroed())(norm(x, condition, f"{name}_3"))
    x = make.conv(width, f"{name}_conv4", size=1, **still)(norm(x, condition, f"{name}_4"))
    if skip.shape[-1] != width:
        skip = Part(0, width, name=f"{name}_first")(skip)
    if double:
        skip = layers.UpSampling2D(name=f"{name}_skip_up")(skip)
    return layers.Add(name=f"{name}_add")([x, skip])


def build_discriminator(*, image_size, channels, classes, deep, ndf, attention, taper, init, sn_epsilon) -> keras.Model:
    """[images (N, image_size, image_size, channels), labels (N,)] -> logits (N, 1); no row depends on another.

    Args as in `build_generator`; `ndf` is the base width.
    """
    make = _Layers(init, sn_epsilon)
    image = keras.Input((image_size, image_size, channels), name="image")
    label = keras.Input((), dtype="int64", name="labels")
    x, size, placed = image, image_size, not attention
    if deep:
        first, *widths = _layout(DEEP_DISCRIMINATOR, image_size, "D of BigGAN-deep")
        x = make.conv(first * ndf, "stem")(x)
        blocks = [(width, True) for width in widths]
    elif taper and image_size == 32:
        blocks = list(TAPERED_DISCRIMINATOR)
    else:
        blocks = _layout(DISCRIMINATOR, image_size, "D of BigGAN")
    for i, (width, halve) in enumerate(blocks, 1):
        if deep:
            x = _deep_down(x, width * ndf, f"block{i}a", make, halve=True)
            x = _deep_down(x, width * ndf, f"block{i}b", make, halve=False)
        else:
            x = _down(x, width * ndf, f"block{i}", make, halve=halve, first=i == 1)
        size = size // 2 if halve else size
        if size == attention and not placed:
            x, placed = make.attention(x), True
    if not placed:
        raise GanzooError(
            f"Self-attention looks at a map of D, whose sides are {size} to {image_size // 2}; received {attention}."
        )
    x = layers.ReLU(name="out_relu")(x)
    h = SumOfPlaces(name="sum", dtype="float32")(x)
    score = SpectralDense(1, kernel_initializer=make.init(), name="score", dtype="float32", **make.options)(h)
    one_hot = OneHot(classes, name="one_hot", dtype="float32")(label)
    table = SpectralTable(
        h.shape[-1], kernel_initializer=make.init(), name="projection", dtype="float32", **make.options
    )
    projected = layers.Dot(1, name="product", dtype="float32")([table(one_hot), h])
    logits = layers.Add(name="logit", dtype="float32")([score, projected])
    return keras.Model([image, label], logits, name="discriminator")


def _down(x, width, name, make, *, halve, first):
    """(ReLU,) conv3, ReLU, conv3, 2x2 averages; next to it averages and 1x1 (in either order the same numbers)."""
    skip = x
    if halve:
        skip = layers.AveragePooling2D(2, name=f"{name}_skip_pool")(skip)
    if first or halve or x.shape[-1] != width:
        skip = make.conv(width, f"{name}_skip", size=1)(skip)
    if not first:
        x = layers.ReLU(name=f"{name}_1_relu")(x)
    x = layers.ReLU(name=f"{name}_2_relu")(make.conv(width, f"{name}_conv1")(x))
    x = make.conv(width, f"{name}_conv2", resample="down" if halve else "none")(x)
    return layers.Add(name=f"{name}_add")([x, skip])


def _deep_down(x, width, name, make, *, halve):
    """A bottleneck of a quarter of the new width; next to it averages, and where it widens a 1x1 for what is missing."""
    inner, skip, before = width // 4, x, x.shape[-1]
    if not inner:
        raise GanzooError(f"BigGAN-deep has a quarter of the channels in its blocks; there are {width}. Raise ndf.")
    x = make.conv(inner, f"{name}_conv1", size=1)(layers.ReLU(name=f"{name}_1_relu")(x))
    x = make.conv(inner, f"{name}_conv2")(layers.ReLU(name=f"{name}_2_relu")(x))
    x = make.conv(inner, f"{name}_conv3")(layers.ReLU(name=f"{name}_3_relu")(x))
    x = layers.ReLU(name=f"{name}_4_relu")(x)
    if halve:
        x = layers.AveragePooling2D(2, name=f"{name}_pool")(x)
        skip = layers.AveragePooling2D(2, name=f"{name}_skip_pool")(skip)
    x = make.conv(width, f"{name}_conv4", size=1)(x)
    if width > before:
        more = make.conv(width - before, f"{name}_skip", size=1)(skip)
        skip = layers.Concatenate(name=f"{name}_skip_all")([skip, more])
    return layers.Add(name=f"{name}_add")([x, skip])


@register("biggan")
class BigGAN(LatentGAN):
    """Class-conditional residual G and projection D, both spectrally normalised.

    Args:
        image_size: 32, 64, 128, 256 or 512 (for D at most 256); of the deep networks 128 or 256.
        channels: of the images.
        classes: of labels, at least 2.
        class_names: of these, or () for numbers. Training on folders of classes sets both.
        latent_dim: width of z; with `hierarchical` a multiple of the number of blocks and one.
        shared_dim: width of the class embedding that all norms share; 0 for a table in each (CIFAR recipe).
        hierarchical: z goes into every block.
        deep: BigGAN-deep.
        ngf, ndf: base widths of G and D.
        attention: side of the map that self-attention looks at; 0 for none.
        taper: at 32 px, widths that halve towards the picture; not in the paper.
        init: "orthogonal", or "normal", which is N(0, 0.02) (CIFAR recipe).
        spectral_g: G is spectrally normalised, as D always is.
        sn_epsilon, epsilon: of the spectral norms (1e-6 in the 128 px script, 1e-12 in the CIFAR one) and the batch norms.
        d_steps: updates of D for one of G. A batch is divided among them.
        ortho_weight: beta of the orthogonal regularisation, 1e-4 in the paper.
        ema_decay: decay of the averaged G; 0 for none.
        ema_start: steps in which the average is a copy.
        standing_batches: batches of 64 that standing statistics are taken over; 100 in the paper.

    Raises:
        GanzooError: a size that has no layout, fewer than two classes, or another value out of range.
    """

    logs: tuple[str, ...] = ("d_loss", "g_loss", "fooled", "real_logit", "fake_logit")
    batch_unit = "d_steps"
    refuses = {  # noqa: RUF012  (as in the base)
        "label_smoothing": "has hinge losses, which have margins and no targets",
        "relativistic": "draws the classes of its fakes, so that the fake of a row is not of the real one's class",
        "d_steps": "has it as model.d_steps",
    }
    truncates_noise = True
    own_metrics = {"asked-class": "class as asked", "fid-in-class": "FID in class"}  # noqa: RUF012  (as in the base)
    checks = Checks(
        small={"model.ngf": 2, "model.ndf": 2, "model.latent_dim": 8, "model.standing_batches": 2, "data.split": "test"}
        # With one update of D there would be nothing to divide; the average starts at once.
        | {"model.d_steps": 2, "model.ema_start": 1},
        singular=("attention/gamma",),  # 0 leaves self-attention out
    )

    def __init__(
        self,
        *,
        image_size=128,
        channels=3,
        classes=1000,
        class_names=(),
        latent_dim=120,
        shared_dim=128,
        hierarchical=True,
        deep=False,
        ngf=96,
        ndf=96,
        attention=64,
        taper=False,
        init="orthogonal",
        spectral_g=True,
        sn_epsilon=1e-6,
        epsilon=1e-5,
        d_steps=2,
        ortho_weight=0.0,
        ema_decay=0.9999,
        ema_start=20_000,
        standing_batches=100,
    ):
        super().__init__(locals())
        self.class_names = tuple(class_names)
        labels.check_names(classes, self.class_names)
        if (
            min(channels, latent_dim, ngf, ndf, d_steps, standing_batches) < 1
            or min(shared_dim, attention, ema_start) < 0
        ):
            raise GanzooError(
                "channels, latent_dim, ngf, ndf, d_steps and standing_batches are at least 1, shared_dim, attention and ema_start "
                f"at least 0; received {channels}, {latent_dim}, {ngf}, {ndf}, {d_steps}, {standing_batches}, {shared_dim}, "
                f"{attention}, {ema_start}."
            )
        if not (ortho_weight >= 0 and sn_epsilon >= 0 and epsilon > 0):
            raise GanzooError(
                f"ortho_weight and sn_epsilon are at least 0, epsilon more; received {ortho_weight}, {sn_epsilon}, {epsilon}."
            )
        if ortho_weight:
            self.logs = (*self.logs, "ortho")
            self.trackers["ortho"] = keras.metrics.Mean(name="ortho")
        self.register_networks(generator=build_generator, discriminator=build_discriminator)

    @property
    def updates(self):
        return {"d_optimizer": self.d_steps, "g_optimizer": 1}

    # ---- what the data decide, and what becomes of it in a fine-tuning --------------------------------------------------
    @classmethod
    def arguments_from_data(cls, source):
        """The number of classes and their names."""
        if source.labels is None:
            return {}  # refused with a sentence before training
        count = len(source.class_names) or int(source.labels.max()) + 1
        return {"classes": count, "class_names": tuple(source.class_names)}

    @property
    def class_axes(self):
        """Layers with a row for each class: D's embedding, and G's or the tables of all of its norms."""
        tables = [layer.name for layer in self.generator.layers if isinstance(layer, layers.Dense)]
        return dict.fromkeys(["projection", *tables], -2)

    def mapped(self, key, array, before):
        """Classes by name: one of a known name keeps its rows, another begins as the mean of all."""
        old, new = tuple(before.get("class_names") or ()), self.class_names
        if key.split("/")[-2] not in self.class_axes or not (old and new) or old == new or len(array) != len(old):
            return None
        places = {labels.folded(name): place for place, name in enumerate(old)}
        found = [places.get(labels.folded(name)) for name in new]
        rows = [array.mean(0) if place is None else array[place] for place in found]
        kept = sum(place is not None for place in found)
        others = f"{len(new) - kept} as the mean of {len(old)}" if kept < len(new) else "no other"
        return np.stack(rows).astype(array.dtype), f"{kept} classes by name, {others}"

    # ---- training: D's updates, then G against the updated D -----------------------------------------------------------
    def drawn(self, rows, stream):
        """z and labels of the named noise stream, each class as likely as the others."""
        z = self.noise(self.draw, f"latents {stream}", rows, [self.latent_dim])
        return z, self.noise(self.draw_labels, f"labels {stream}", rows)

    def draw_labels(self, shape, seed):
        """int64 labels of the given shape; `seed` int32 (2,)."""
        return tf.random.stateless_uniform(shape, seed, 0, self.classes, tf.int64)

    def judge(self, images, labels, turn=0):
        return self.discriminator([self.for_d(images, turn=turn), labels], training=True)

    def discriminator_step(self, real, label, turn):
        rows = tf.shape(real)[0]
        z, wanted = self.drawn(rows, f"d{turn}")
        fake = self.generator([z, wanted], training=True)
        with tf.GradientTape() as tape:
            # In one batch, as in the code: no row of D depends on another, and its spectral norms are taken once.
            seen = [self.for_d(fake, turn=turn), self.for_d(real, turn=turn)]
            logits = self.discriminator([tf.concat(seen, 0), tf.concat([wanted, label], 0)], training=True)
            fake_logits, real_logits = logits[:rows], logits[rows:]
            loss = losses.hinge_d(real_logits, fake_logits)
            loss += self.r1(lambda x: self.judge(x, label, turn), real)
            loss += self.r2(lambda x: self.judge(x, wanted, turn), fake)
        self.minimize(tape, loss, "d_optimizer", turn)
        return {"d_loss": loss} | self.judged(real_logits, fake_logits)

    def generator_step(self, rows):
        z, wanted = self.drawn(rows, "g")
        with tf.GradientTape() as tape:
            fake = self.generator([z, wanted], training=True)
            loss = losses.hinge_g(self.judge(fake, wanted))
            said = {"g_loss": loss}
            if self.ortho_weight:
                said["ortho"] = penalties.orthogonal(self.filters())
                loss += self.ortho_weight * said["ortho"]
        self.minimize(tape, loss, "g_optimizer")
        return said

    def filters(self):
        """Each kernel of G as (inputs, filters), without the shared embedding. Of a table, torch's rows are the classes."""
        kernels = [
            layer.kernel for layer in self.generator.layers if hasattr(layer, "kernel") and layer.name != "shared"
        ]
        tables = self.class_axes
        flat = [(k.path.split("/")[-2], tf.reshape(k.value, [-1, k.shape[-1]])) for k in kernels]
        return [tf.transpose(matrix) if name in tables else matrix for name, matrix in flat]

    def train_step(self, data):
        shares = self.shares(*self.unpack(data))  # pictures and labels of each update of D
        for turn, (real, label) in enumerate(shares):
            judged = self.discriminator_step(real, label, turn)  # the last one is logged
        said = self.generator_step(tf.shape(shares[0][0])[0])
        # A copy until ema_start, as in the code.
        self.update_ema(tf.where(self.step.value < self.ema_start, 0.0, self.decay))
        return self.log(**said, **judged)

    # ---- sampling --------------------------------------------------------------------------------------------------
    def batch_signature(self):
        return super().batch_signature() | {"label": tf.TensorSpec([None], tf.int64)}

    def images_of(self, latents, label):
        """float32 images (N, H, W, C) of latents (N, latent_dim) and labels (N,)."""
        count, inputs = rows.or_one_row(latents, label)
        return self.sampler(inputs, training=False)[:count]

    def blended(self, latents, weights):
        """float32 images of latents (N, latent_dim) and weights of the classes (N, classes): between classes, the norms' gains
        and offsets (or what they are made of) are the weighted mean of those of the classes."""
        inputs = [tf.convert_to_tensor(latents), tf.convert_to_tensor(weights)]
        return self.cached(f"blended {id(self.sampler)}", self._blender)(inputs, training=False)

    def _blender(self):
        network = self.sampler
        return keras.Model([network.inputs[0], network.get_layer("one_hot").output], network.outputs[0], name="blender")

    def latents(self, seeds, truncation=1.0, resample=False):
        """Rows of z for int32 seeds (N, 2). A `truncation` of 1 is N(0, 1), as in training; below it z is drawn from a normal
        distribution cut at 2 and scaled by it (TF-Hub). `resample`: N(0, 1) without what lies beyond the truncation."""
        if truncation == 1 and not resample:
            return super().latents(seeds)

        def draw(shape, seed):
            bound, factor = (truncation, 1.0) if resample else (2.0, truncation)
            cut = tf.random.stateless_parameterized_truncated_normal(shape, seed, 0.0, 1.0, -bound, bound)
            return factor * cut

        return rows.rows_of(draw, seeds, self.latent_dim)

    def generate(self, n=16, *, seed=0, label=None, truncation=1.0, resample=False, latents=None):
        """uint8 images (n, H, W, C); sample i depends on (seed, i) and its own label only.

        Args:
            label: a class by name or number, for all or a list of n; None for the classes in turn.
            truncation: more than 0: variety for quality (section 3.1). 1 draws z as in training. Below 1, z is 1 to 2
                deviations wide at most and scaled by it, up to 1. Batch norms take standing statistics of such z.
            resample: the paper's own form: entries of z beyond `truncation` are drawn anew, so that it may be more than 1.
            latents: (n, latent_dim), instead of seed; taken as they are, with the statistics of `truncation`.
        """
        truncation = self.checked_truncation(truncation, resample)
        if latents is None:
            latents = rows.latent_rows(self, n, seed, None)  # refuses n and seed that are none
            if truncation != 1 or resample:
                latents = self.truncated_latents(rows.row_seeds(seed, n), truncation, resample)
        latents = rows.finite_rows(latents, "latents", (self.latent_dim,))
        label = labels.classes_of(self, label, latents.shape[0])
        if truncation == 1 and not resample:
            show = self.cached("generate", lambda: rows.graph_of(lambda z, y: pixels.to_uint8(self.images_of(z, y))))
        else:
            show = self._truncated(truncation, resample)
        return rows.in_chunks(show, latents, label)

    def checked_truncation(self, truncation, resample=False):
        """The truncation as a number. Raises GanzooError for one that leaves nothing to draw from."""
        number = isinstance(truncation, int | float | np.number) and not isinstance(truncation, bool)
        most = float("inf") if resample else 1.0
        if not number or not 0 < truncation <= most or truncation == float("inf"):
            bounds = "more than 0" if resample else "more than 0 and at most 1 (with resample=True also more)"
            raise GanzooError(f"truncation is {bounds}; received {truncation!r}.")
        return float(truncation)

    def truncated_latents(self, seeds, truncation, resample=False):
        """`latents` as a graph that is traced once."""
        key, signature = f"latents {truncation} {resample}", [tf.TensorSpec([None, 2], tf.int32)]
        make = functools.partial(self.latents, truncation=truncation, resample=resample)
        return self.cached(key, lambda: rows.graph_of(make, signature))(seeds)

    def _truncated(self, truncation, resample):
        """A function of z and labels that samples with the standing statistics of a truncation: a copy of the sampler, so that
        nothing of the model moves."""
        copy = self.cached("truncated", lambda: keras.models.clone_model(self.sampler))
        state = (truncation, resample, int(self.step.numpy()), self.weights_source)
        found = self.cached("truncations", dict)
        if found.get("state") != state:
            copy.set_weights(self.sampler.get_weights())
            normalization.standing_statistics(copy, self.standing_inputs(truncation, resample))
            found["state"] = state
        return self.cached(
            "truncated show", lambda: rows.graph_of(lambda z, y: pixels.to_uint8(copy([z, y], training=False)))
        )

    def standing_inputs(self, truncation=1.0, resample=False):
        """The inputs of G that standing statistics are taken over: z of a truncation, and any labels."""
        for i in range(self.standing_batches):
            seeds = rows.row_seeds(1_000_000 + i, 64)
            yield [self.truncated_latents(seeds, truncation, resample), self.draw_labels([64], seeds[0])]

    def finalize(self):
        """Standing statistics of the batch norms: a sample depends on its own z and label alone."""
        normalization.standing_statistics(self.sampler, self.standing_inputs())

    def latent_weights(self):
        """float32 (latent_dim, units): all that G's first linear maps make of z, its own chunk of z each."""
        first = [layer for layer in self.sampler.layers if layer.name == "project"]
        linear = [
            layer for layer in self.sampler.layers if isinstance(layer, SpectralDense) and layer.name != "project"
        ]
        kernels = {layer.name: np.asarray(layer.normalised(False)) for layer in [*first, *linear]}
        if not self.hierarchical:
            return kernels["project"]
        if self.deep:
            return np.concatenate([kernel[self.shared_dim :] for kernel in kernels.values()], axis=1)
        places = {"project": 0} | {layer.name: int(layer.name.split("_")[0].removeprefix("block")) for layer in linear}
        chunk, parts = len(kernels["project"]), []
        for name, kernel in kernels.items():
            part = np.zeros([self.latent_dim, kernel.shape[1]], np.float32)
            part[places[name] * chunk : (places[name] + 1) * chunk] = kernel[-chunk:]
            parts.append(part)
        return np.concatenate(parts, axis=1)

    # ---- serving -------------------------------------------------------------------------------------------------
    def serving_around(self):
        def before(seed, label):
            """int64 seeds and labels (N,) -> latents and the labels, which are classes; row i is `generate(1, seed=seed[i],
            label=label[i])`."""
            return {"latents": self.latents(rows.seeds_of(seed)), "label": labels.in_range(self, label)}

        inputs = {"seed": around.SEED, "label": tf.TensorSpec([None], tf.int64, name="label")}
        return Around((before, inputs), around.to_png(self))

    def serving_signature(self):
        def images(latents, label):
            """float32 latents (N, latent_dim) and int64 labels (N,) -> float32 images (N, H, W, C) in [-1, 1]."""
            return {"images": self.images_of(latents, label)}

        def named(seed, label_name):
            """`serving_default` by the names of the classes, strings (N,)."""
            return serve(seed, labels.by_name(self, label_name))

        label = {"label": tf.TensorSpec([None], tf.int64, name="label")}
        names = {"label_name": tf.TensorSpec([None], tf.string, name="label_name")}
        tensors = images, {"latents": tf.TensorSpec([None, self.latent_dim], tf.float32, name="latents")} | label
        serve, inputs = around.joined(self.serving_around(), tensors)
        endpoints = {"serving_default": (serve, inputs), "tensors": tensors}
        return endpoints | ({"by_name": (named, {"seed": around.SEED} | names)} if self.class_names else {})

    def page_networks(self, size):
        """A page has floats alone: weights of the classes, 1 for the one that is asked for."""

        def network(latents, class_weights):
            return {"images": self.blended(latents, class_weights)}

        latents = tf.TensorSpec([None, self.latent_dim], tf.float32, name="latents")
        weights = tf.TensorSpec([None, self.classes], tf.float32, name="class_weights")
        return {"network": (network, {"latents": latents, "class_weights": weights})}
