"""Towards the Automatic Anime Characters Creation with Generative Adversarial Networks.

Yanghua Jin, Jiakai Zhang, Minjun Li, Yingtao Tian, Huachun Zhu, Zhihao Fang, 2017. arXiv 1708.05509. Official code:
none of the training was published.

Objective (c the attributes that are asked for, l_x those of a picture x; D has a head for each of the two):

    L_adv(D) = -E_x[log D(x)] - E_{z,c}[log(1 - D(G(z, c)))]             L_adv(G) = -E_{z,c}[log D(G(z, c))]
    L_cls(D) = -E_x[log P(l_x | x)] - E_{z,c}[log P(c | G(z, c))]        L_cls(G) = -E_{z,c}[log P(c | G(z, c))]
    L_gp(D)  = E_x[(||grad D(x_hat)||_2 - 1)^2]                          x_hat = x + alpha 0.5 std(x) U  (DRAGAN)

    D minimises L_cls + lambda_adv L_adv + lambda_gp L_gp, and G  L_cls + lambda_adv L_adv.

| paper | here |
|---|---|
| G (its figure, after SRResNet) | `project`, `block1` ... `block16`, the sum with what entered them, `up1` ... `up3` by pixel shuffle, `to_image` |
| D (its figure) | `down1` ... with residual blocks between them and no batch norm, which would mix the samples of the penalty |
| D's two outputs | `logit` (N, 1), and `attributes` (N, A), one logit for each column of the attributes |
| -log P(l given x) | A sigmoid cross entropies, `attribute_reduction` over them: their sum, or their mean |
| lambda_adv, lambda_gp | `adversarial_weight`, `penalty_weight`; the penalty looks at the head `logit` alone |
| the random c | `conditions`: one random value of each category, and each boolean with probability `boolean_share` |

Training: Adam at 2e-4, beta_1 0.5, batches of 64, one update of D and one of G; after 50,000 steps the rate
decays exponentially, the paper does not say how fast. 31,255 faces from standing pictures of games, 128x128, with 34 attributes
estimated by illustration2vec: 13 colours of hair, 10 of eyes, 5 styles of hair and 6 more. lambda_adv is 34, their
number, lambda_gp 0.5. Convolutions begin as N(0, 0.02), the linear layers as the framework's. Preset `faces-128` has these
numbers.

Deviations: of `faces-128` none that is known; the rate of its decay, the kernel of D's strided convolutions (4 in all of
them; `deep_kernel` makes the last three 3, as the figure can be read) and the sum over the attributes are not in the text.
The biases before a batch norm, which subtracts them again, stay at zero. Sampling uses standing statistics (recomputed
after training), so that a picture depends on its own z and attributes alone, and what is not asked for is drawn from rows of
the training set, of which a model keeps 1,024. `lorelei-64` is narrower, and its options that are not in the paper are
marked in the preset: conditions drawn from the training set, whose attributes exclude each other, sub-filters of the shuffle
that begin equal, widths that halve, a stronger penalty at every fourth step, an average of G. With the paper's loss of D on
fakes (`fake_attribute_weight` 1), D, which tells fakes from real pictures, and G agreed on a code of their own: after 96,000
pictures glasses were drawn as asked, but 12 % of the hair had the asked colour (chance 9 %).
"""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from ganzoo import losses, penalties
from ganzoo.base import Around, Checks, LatentGAN, around, pixels, rows
from ganzoo.base.attributes import (
    BOOLEAN,
    ROWS,
    UNNAMED,
    asked_rows,
    carried,
    checked,
    columns_of,
    completed,
    draws,
    rows_of_json,
    sampled,
    width,
)
from ganzoo.errors import GanzooError
from ganzoo.layers import BatchNorm, EqualSubfilters, FastConv2D, KeptRows, PixelShuffle, Zeroed, normalization
from ganzoo.registry import register

# The 34 of the paper. Hair styles are tags of their own: a character may have two of them, or none.
FACES = {
    "hair": (
        "blonde", "brown", "black", "blue", "pink", "purple", "green", "red", "silver", "white", "orange", "aqua", "gray"
    ),
    "eyes": ("blue", "red", "brown", "green", "purple", "yellow", "pink", "aqua", "black", "orange"),
    **dict.fromkeys(("long hair", "short hair", "twin tails", "drill hair", "ponytail"), BOOLEAN),
    **dict.fromkeys(("blush", "smile", "open mouth", "hat", "ribbon", "glasses"), BOOLEAN),
}  # fmt: skip
STAGES = "The anime paper's G enlarges by 2 so many times and its D halves down to 2x2"


def _init(init):
    """Of a convolution: N(0, 0.02), or by the fan-in, which narrow networks need."""
    return keras.initializers.RandomNormal(stddev=0.02) if init == "paper" else keras.initializers.HeNormal()


def _start(image_size, shuffles):
    """Side of G's first map."""
    start = image_size >> max(shuffles, 0)
    if shuffles < 1 or start < 1 or start << shuffles != image_size:
        raise GanzooError(
            f"{STAGES}, so image_size is a multiple of 2^shuffles and shuffles at least 1; received {image_size} and {shuffles}."
        )
    return start


def _halvings(image_size):
    """Stride-2 layers of D."""
    halvings = (image_size // 2).bit_length() - 1
    if halvings < 1 or 2 << halvings != image_size:
        raise GanzooError(f"{STAGES}, so image_size is 4, 8, 16, 32, ...; received {image_size}.")
    return halvings


def build_generator(
    *,
    image_size,
    channels,
    latent_dim,
    attributes,
    ngf,
    blocks,
    shuffles,
    narrowing,
    out_kernel,
    init,
    equal_subfilters,
) -> keras.Model:
    """z (N, latent_dim) and columns of the attributes (N, A) -> images (N, image_size, image_size, channels) in [-1, 1].

    Args:
        ngf: width of the first map and of the residual blocks.
        narrowing: each shuffle divides the width by so many: 1 as the paper, or 2.
    """
    start = _start(image_size, shuffles)
    asked = keras.Input((width(attributes),), name="attributes")
    z = keras.Input((latent_dim,), name="latents")

    def conv(filters, name, kernel=3, bias_constraint=None, initializer=None):
        return FastConv2D(
            filters, kernel, padding="same", kernel_initializer=initializer or _init(init),
            bias_constraint=bias_constraint, name=name,
        )  # fmt: skip

    x = layers.Dense(start * start * ngf, name="project")(layers.Concatenate(name="condition")([z, asked]))
    x = BatchNorm(name="project_norm")(layers.Reshape((start, start, ngf), name="grid")(x))
    stem = x = layers.ReLU(name="project_relu")(x)
    for block in range(1, blocks + 1):
        name, y = f"block{block}", x
        y = BatchNorm(name=f"{name}_norm1")(conv(ngf, f"{name}_conv1", bias_constraint=Zeroed())(y))
        y = layers.ReLU(name=f"{name}_relu")(y)
        y = BatchNorm(name=f"{name}_norm2")(conv(ngf, f"{name}_conv2", bias_constraint=Zeroed())(y))
        x = layers.Add(name=f"{name}_sum")([x, y])  # no activation after it
    x = layers.ReLU(name="trunk_relu")(BatchNorm(name="trunk_norm")(x))
    x = layers.Add(name="trunk_sum")([x, stem])
    filters = ngf
    for stage in range(1, shuffles + 1):
        filters //= narrowing
        first = EqualSubfilters(_init(init)) if equal_subfilters else None
        x = conv(4 * filters, f"up{stage}_conv", initializer=first)(x)
        x = BatchNorm(name=f"up{stage}_norm")(PixelShuffle(name=f"up{stage}_shuffle")(x))
        x = layers.ReLU(name=f"up{stage}_relu")(x)
    x = conv(channels, "to_image", out_kernel)(x)
    return keras.Model([z, asked], layers.Activation("tanh", name="tanh", dtype="float32")(x), name="generator")


def build_discriminator(*, image_size, channels, attributes, ndf, d_blocks, deep_kernel, init) -> keras.Model:
    """images (N, image_size, image_size, channels) -> logit (N, 1) and logits of the attributes (N, A); no row of it depends
    on another."""
    halvings = _halvings(image_size)

    def down(x, filters, kernel, name):
        padding = "same"
        if kernel % 2:  # "same" would pad after the picture alone
            x, padding = layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x), "valid"
        x = FastConv2D(filters, kernel, 2, padding=padding, kernel_initializer=_init(init), name=f"{name}_conv")(x)
        return layers.LeakyReLU(0.2, name=f"{name}_lrelu")(x)

    image = keras.Input((image_size, image_size, channels), name="image")
    x = down(image, ndf, 4, "down1")
    for stage in range(2, halvings + 1):
        filters = ndf << (stage - 2)
        for block in range(1, d_blocks + 1):
            name, y = f"stage{stage - 1}_block{block}", x
            for place in (1, 2):
                conv = {"padding": "same", "kernel_initializer": _init(init), "name": f"{name}_conv{place}"}
                y = FastConv2D(filters, 3, **conv)(y)
                y = layers.LeakyReLU(0.2, name=f"{name}_lrelu")(y) if place == 1 else y
            x = layers.LeakyReLU(0.2, name=f"{name}_out")(layers.Add(name=f"{name}_sum")([x, y]))
        x = down(x, 2 * filters, deep_kernel if stage > halvings - 3 else 4, f"down{stage}")
    x = layers.Flatten(name="flat")(x)
    logit = layers.Dense(1, name="logit", dtype="float32")(x)
    heads = [logit, layers.Dense(width(attributes), name="attributes", dtype="float32")(x)]
    return keras.Model(image, heads, name="discriminator")


@keras.saving.register_keras_serializable("ganzoo")
class ByTheRule(keras.initializers.Initializer):
    """Rows by the paper's rule, for a model that has seen no data."""

    def __init__(self, attributes, boolean_share):
        self.attributes, self.boolean_share = attributes, boolean_share

    def __call__(self, shape, dtype=None):
        return tf.cast(sampled(tf.random.stateless_uniform(shape, [0, 0]), self.attributes, self.boolean_share), dtype)

    def get_config(self):
        return {"attributes": self.attributes, "boolean_share": self.boolean_share}


def build_kept(*, attributes, boolean_share) -> keras.Model:
    """Places (N,) of 0 to ROWS - 1 -> rows (N, K) of the training set, from which unnamed attributes are drawn."""
    place = keras.Input((), dtype="int32", name="place")
    first = ByTheRule(attributes, boolean_share)
    return keras.Model(place, KeptRows(ROWS, len(attributes), first, name="training_set")(place), name="kept")


def attribute_loss(logits, wanted, reduction) -> tf.Tensor:
    """Mean over the rows of the sigmoid cross entropies of (N, A) logits, summed or meant over the A columns."""
    each = tf.nn.sigmoid_cross_entropy_with_logits(labels=wanted, logits=tf.cast(logits, tf.float32))
    over = tf.reduce_sum if reduction == "sum" else tf.reduce_mean
    return tf.reduce_mean(over(each, axis=1))


def _place(shape, seed):
    return tf.random.stateless_uniform(shape, seed, 0, ROWS, tf.int32)


@register("anime")
class Anime(LatentGAN):
    """G of residual blocks and pixel shuffles that is asked for attributes; D that reads them next to real or fake.

    Args:
        image_size: 2^k, a multiple of 2^shuffles.
        channels: of the images, 1 or 3.
        latent_dim: width of z.
        attributes: name -> values in order, ("no", "yes") for a boolean; a run takes those of its data.
        ngf, blocks: width and number of G's residual blocks.
        shuffles: of G, each doubles the side.
        narrowing: what each of them divides G's width by; 1 in the paper.
        out_kernel: side of G's last convolution.
        equal_subfilters: the four sub-filters of a shuffle begin equal (Aitken et al. 2017); the paper has nothing of it.
        ndf, d_blocks: width of D's first layer, and residual blocks of each of its stages.
        deep_kernel: of D's last three strided convolutions, 4 or 3.
        init: of the convolutions, "paper" for N(0, 0.02) or "he" by the fan-in, which narrow networks need.
        adversarial_weight: lambda_adv.
        penalty_weight: lambda_gp.
        penalty_interval: the penalty is taken at every so manieth step, so many times as strong; 1 in the paper.
        attribute_reduction: "sum" of the cross entropies over the attributes, which lambda_adv = 34 balances, or "mean".
        fake_attribute_weight: of D's attribute loss on fakes, 1 in the paper. With it, a D that tells fakes from real pictures
            may read the fakes in a code that it shares with G alone (green for what is asked as pink); without, it reads as
            real pictures taught it.
        attribute_noise: normal noise on the pictures whose attributes D reads, the deviation uniform up to this; 0 in the
            paper. Without it G may satisfy D by patterns that nobody else takes for pink.
        conditions: of the fakes in training: "sampled" by the paper's rule, or "data" for rows of the training set.
        boolean_share: with which probability the paper's rule turns each boolean on.
        ema_decay: decay of an averaged copy of G; the paper has none.

    Raises:
        GanzooError: a size that D does not halve to 2x2, attributes that are none, or a number out of range.
    """

    logs: tuple[str, ...] = (
        "d_loss",
        "g_loss",
        "fooled",
        "real_logit",
        "fake_logit",
        "penalty",
        "real_attributes",
        "fake_attributes",
    )
    logs += ("g_attributes",)
    own_metrics = {  # noqa: RUF012  (as in the base)
        "asked-hair-colour": "hair colour as asked",
        "asked-hair-style": "hair style as asked",
        "asked-glasses": "glasses as asked",
        "asked-mouth": "mouth as asked",
    }
    checks = Checks(
        small={"model.image_size": 16, "model.ngf": 4, "model.ndf": 4, "model.latent_dim": 8, "model.blocks": 1}
        | {"model.d_blocks": 1, "model.shuffles": 2, "model.out_kernel": 3, "data.size": 16, "data.split": "test"},
        mixes="the deviation of a batch's pixels in the penalty",
        unmixed={"model.penalty_weight": 0.0},
    )

    def __init__(
        self,
        *,
        image_size=128,
        channels=3,
        latent_dim=128,
        attributes=FACES,
        ngf=64,
        blocks=16,
        shuffles=3,
        narrowing=1,
        out_kernel=9,
        equal_subfilters=False,
        ndf=32,
        d_blocks=2,
        deep_kernel=4,
        init="paper",
        adversarial_weight=34.0,
        penalty_weight=0.5,
        penalty_interval=1,
        attribute_reduction="sum",
        fake_attribute_weight=1.0,
        attribute_noise=0.0,
        conditions="sampled",
        boolean_share=0.25,
        ema_decay=0.0,
    ):
        super().__init__(locals())
        object.__setattr__(self, "attributes", checked(attributes))  # past Keras' tracking, which wraps a dict
        for name, accepted in (
            ("init", ("paper", "he")),
            ("attribute_reduction", ("sum", "mean")),
            ("conditions", ("sampled", "data")),
            ("deep_kernel", (3, 4)),
        ):
            if getattr(self, name) not in accepted:
                shown = " or ".join(map(repr, accepted))
                raise GanzooError(f"{name} is {shown}; received {getattr(self, name)!r}.")
        least = {"latent_dim": 1, "ngf": 1, "blocks": 0, "narrowing": 1, "out_kernel": 1, "ndf": 1, "d_blocks": 0}
        least |= {"channels": 1, "penalty_interval": 1, "adversarial_weight": 0, "penalty_weight": 0}
        least |= {"fake_attribute_weight": 0, "attribute_noise": 0}
        for name, limit in least.items():
            if getattr(self, name) < limit:
                raise GanzooError(f"{name} is at least {limit}; received {getattr(self, name)}.")
        if ngf // narrowing**shuffles < 1:
            raise GanzooError(
                f"ngf {ngf} is divided by narrowing {narrowing} at each of {shuffles} shuffles: nothing is left."
            )
        if not 0 <= boolean_share <= 1:
            raise GanzooError(f"boolean_share is a probability in [0, 1]; received {boolean_share}.")
        self.register_networks(generator=build_generator, discriminator=build_discriminator, kept=build_kept)

    # ---- attributes ----------------------------------------------------------------------------------------------
    def _sampled(self, draw):
        return sampled(draw, self.attributes, self.boolean_share)

    @property
    def kept_rows(self):
        """int32 (ROWS, K), of the training set."""
        return self.kept(tf.range(ROWS))

    def get_config(self):
        return super().get_config() | {"attributes": {name: list(values) for name, values in self.attributes.items()}}

    @classmethod
    def arguments_from_data(cls, source):
        if source.attributes is None:  # which is refused when the model is built
            return {}
        return {"attributes": {name: list(values) for name, values in source.attributes.values.items()}}

    def remember(self, source):
        self.keep_rows(source.attributes.rows)

    def keep_rows(self, known):
        """Keeps ROWS of these rows (n, K), or all of them, from the start again after the last."""
        order = np.random.default_rng(0).permutation(len(known))
        self.kept.get_layer("training_set").rows.assign(known[np.resize(order, ROWS)].astype(np.uint8))

    def asked_for(self, count):
        """Columns (count, A) of this step's conditions."""
        if self.conditions == "data":
            chosen = self.kept(self.noise(_place, "conditions", count))
        else:
            chosen = self._sampled(self.noise(tf.random.stateless_uniform, "conditions", count, [len(self.attributes)]))
        return columns_of(chosen, self.attributes)

    @property
    def refuses(self):
        reason = "holds D's slope at 1 (DRAGAN, model.penalty_weight), and these want 0"
        return dict.fromkeys(("r1_gamma", "r2_gamma"), reason) if self.penalty_weight else {}

    # ---- training: D, then G against the updated D, on one forward of G -------------------------------------------
    def forward(self, count):
        """What is asked for in this step, the fakes, and the tape that recorded them."""
        asked = self.asked_for(count)
        z = self.noise(self.draw, "latents", count, [self.latent_dim])
        with tf.GradientTape() as tape:
            fake = self.generator([z, asked], training=True)
        return asked, fake, tape

    def judge(self, images):
        """The logits of the adversarial head."""
        return self.discriminator(self.for_d(images), training=True)[0]

    def penalty(self, real):
        """The DRAGAN penalty on the adversarial head alone; 0 in the steps between."""
        count = tf.shape(real)[0]
        alpha = self.noise(tf.random.stateless_uniform, "alpha", count)
        noise = self.noise(tf.random.stateless_uniform, "around", count, real.shape[1:])

        def taken():
            return penalties.dragan(self.judge, real, alpha=alpha, noise=noise)

        if self.penalty_interval == 1:
            return taken()
        return tf.cond(self.step.value % self.penalty_interval == 0, taken, lambda: tf.constant(0.0))

    def read_noisily(self, pictures, stream):
        """D's logits of the attributes of pictures (N, H, W, C) with noise on them, each with a deviation of its own."""
        count = tf.shape(pictures)[0]
        size = self.attribute_noise * self.noise(tf.random.stateless_uniform, f"{stream} deviation", count)
        noise = self.noise(tf.random.stateless_normal, f"{stream} noise", count, pictures.shape[1:])
        return self.discriminator(self.for_d(pictures + size[:, None, None, None] * noise), training=True)[1]

    def discriminator_step(self, real, known, fake, asked):
        count = tf.shape(real)[0]
        with tf.GradientTape() as tape:
            # One pass: nothing in D mixes rows.
            fake = tf.stop_gradient(fake)
            logits, read = self.discriminator(tf.concat([self.for_d(real), self.for_d(fake)], axis=0), training=True)
            real_logits, fake_logits = logits[:count], logits[count:]
            reads = [read[:count], read[count:]]
            if self.attribute_noise:
                reads[0] = self.read_noisily(real, "real")
                reads[1] = self.read_noisily(fake, "fake d") if self.fake_attribute_weight else reads[1]
            adversarial = self.d_loss(losses.non_saturating_d, real_logits, fake_logits)
            real_read = attribute_loss(reads[0], known, self.attribute_reduction)
            fake_read = attribute_loss(reads[1], asked, self.attribute_reduction)
            penalty = self.penalty(real) * self.penalty_interval if self.penalty_weight else tf.constant(0.0)
            loss = real_read + self.fake_attribute_weight * fake_read
            loss += self.adversarial_weight * adversarial + self.penalty_weight * penalty
            loss += self.r1(self.judge, real) + self.r2(self.judge, fake)
        self.minimize(tape, loss, "d_optimizer")
        values = {"d_loss": adversarial, "penalty": penalty, "real_attributes": real_read, "fake_attributes": fake_read}
        return values | self.judged(real_logits, fake_logits)

    def generator_step(self, real, fake, asked, tape):
        with tape:
            logits, read = self.discriminator(self.for_d(fake), training=True)
            if self.attribute_noise:
                read = self.read_noisily(fake, "fake g")
            adversarial = self.g_loss(losses.non_saturating_g, logits, lambda: self.judge(real))
            wanted = attribute_loss(read, asked, self.attribute_reduction)
            loss = wanted + self.adversarial_weight * adversarial
        self.minimize(tape, loss, "g_optimizer")
        return {"g_loss": adversarial, "g_attributes": wanted}

    def train_step(self, data):
        real, known = self.unpack(data)
        asked, fake, tape = self.forward(tf.shape(real)[0])
        d_values = self.discriminator_step(real, known, fake, asked)
        g_values = self.generator_step(real, fake, asked, tape)
        self.update_ema()
        return self.log(**d_values, **g_values)

    def batch_signature(self):
        return super().batch_signature() | {"attributes": tf.TensorSpec([None, width(self.attributes)], tf.float32)}

    def mapped(self, key, array, before):
        """Rows of G's first kernel and logits of D, by the names of what they stand for."""
        axis = {"project/kernel": 0, "attributes/kernel": -1, "attributes/bias": -1}.get(key.partition("/")[2])
        if axis is None or checked(before["attributes"]) == self.attributes:
            return None
        free = before["latent_dim"] if axis == 0 else 0  # rows of z come first
        if free != (self.latent_dim if axis == 0 else 0):
            return None
        kept, own = np.split(array, [free], axis)
        renamed = carried(np.moveaxis(own, axis, 0), before["attributes"], self.attributes)
        return np.concatenate([kept, np.moveaxis(renamed, 0, axis)], axis), "by the names of the attributes"

    # ---- sampling ------------------------------------------------------------------------------------------------
    def attribute_draws(self, latents):
        # A sample is its z, with what nobody asks for: whoever gives z gives both.
        ends = tf.stack([latents[:, 0], latents[:, -1]], axis=1)
        return draws(tf.bitcast(ends, tf.int32))

    def rows_for(self, asked, latents):
        return completed(asked, self.kept_rows, self.attribute_draws(latents))

    def completed(self, asked, latents):
        """Columns (N, A) of rows (N, K) that name some attributes, for samples of these latents."""
        return columns_of(self.rows_for(asked, latents), self.attributes)

    def images_of(self, latents, attributes):
        """float32 images (N, H, W, C) in [-1, 1] of latents (N, latent_dim) and columns (N, A) of the attributes."""
        count, inputs = rows.or_one_row(latents, attributes)
        return self.sampler(inputs, training=False)[:count]

    def generate(self, n=16, *, seed=0, attributes=None, latents=None):
        """uint8 images (n, H, W, C); image i depends on (seed, i) and its own attributes only.

        Args:
            attributes: {"hair": "pink", "glasses": True} for all, or a list of n of them. What is not named is drawn from the
                training set, among those who have what is.
            latents: (n, latent_dim), instead of seed.
        """
        latents = rows.latent_rows(self, n, seed, latents)
        asked = asked_rows(attributes, len(latents), self.attributes)
        chosen = self.cached("completed", lambda: rows.graph_of(self.completed))(asked, latents)
        return self.shown(latents, chosen)

    def shown(self, latents, columns):
        show = self.cached("generate", lambda: rows.graph_of(lambda z, c: pixels.to_uint8(self.images_of(z, c))))
        return rows.in_chunks(show, latents, columns)

    def latent_weights(self):
        """float32 (latent_dim, units): the rows of z in the kernel of G's first layer, before those of the attributes."""
        return np.asarray(self.sampler.get_layer("project").kernel)[: self.latent_dim]

    def finalize(self):
        """Standing statistics of the batch norms over random z and rows of the training set."""
        count, size = self.standing
        latents = (rows.latents_of(self, rows.row_seeds(1_000_000 + i, size)) for i in range(count))
        nothing = tf.fill([size, len(self.attributes)], UNNAMED)
        batches = ([z, self.completed(nothing, z)] for z in latents)
        normalization.standing_statistics(self.sampler, batches)

    # ---- serving -------------------------------------------------------------------------------------------------
    def serving_around(self):
        kept = self.kept_rows.numpy()  # a constant of the graph

        def before(seed, attributes):
            """int64 seeds (N,) and strings (N,), JSON objects of what is asked -> latents and columns; row i is what
            `generate(1, seed=seed[i], attributes=...)` shows."""
            latents, asked = self.latents(rows.seeds_of(seed)), rows_of_json(attributes, self.attributes)
            chosen = completed(asked, tf.constant(kept), self.attribute_draws(latents))
            return {"latents": latents, "attributes": columns_of(chosen, self.attributes)}

        inputs = {"seed": around.SEED, "attributes": tf.TensorSpec([None], tf.string, name="attributes")}
        return Around((before, inputs), around.to_png(self))

    def serving_signature(self):
        """Seeds and JSON objects to PNG bytes, and latents and columns to floats."""

        def images(latents, attributes):
            """float32 latents (N, latent_dim) and columns of attributes (N, A) -> float32 images (N, H, W, C) in [-1, 1]."""
            return {"images": self.images_of(latents, attributes)}

        latents = tf.TensorSpec([None, self.latent_dim], tf.float32, name="latents")
        columns = tf.TensorSpec([None, width(self.attributes)], tf.float32, name="attributes")
        tensors = images, {"latents": latents, "attributes": columns}
        return {"serving_default": around.joined(self.serving_around(), tensors), "tensors": tensors}

    def page_noise(self, size, seeds):
        """z, and the columns of what nobody asks for."""
        drawn = super().page_noise(size, seeds)
        nothing = tf.fill([len(drawn["latents"]), len(self.attributes)], UNNAMED)
        return drawn | {"attributes": self.completed(nothing, drawn["latents"])}
