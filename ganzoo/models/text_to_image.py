"""Generative Adversarial Text to Image Synthesis.

Scott Reed, Zeynep Akata, Xinchen Yan, Lajanugen Logeswaran, Bernt Schiele, Honglak Lee, 2016. arXiv 1605.05396. Official
code: github.com/reedscot/icml2016 (Lua). The text encoder, that of 1605.05395, is in _text_encoder.py.

Objective (algorithm 1, GAN-CLS):  L_D = log s_r + ((1 - c) log(1 - s_f) + c log(1 - s_w)),  c = 1/2,  where
s_r = D(x, phi(t)) of a matching pair, s_w = D(x^, phi(t)) of a real image with a wrong text, s_f = D(G(z, phi(t)), phi(t));
L_G = log s_f.  GAN-INT (equation 5) adds to G alone:  log D(G(z, b phi(t1) + (1 - b) phi(t2)), same text),  b = 1/2.

| paper | here |
|---|---|
| phi(t), 1,024-d | `text_encoder` of `characters`; `embed` |
| image encoder of the joint embedding | `image_encoder` |
| G: z, compressed phi(t) | `stem` to 4x4 of [z, text_lrelu], `res1`, `up1`, `res2`, `up2` ..., `out` |
| D | `down1` ..., `res`, then `joint` of [image, text], `out` |
| {image, wrong text} | `wrong` of a batch: another image with this text, as the code has it |
| c | `cls_weight`; 0 is a plain conditional GAN |
| beta, weight of interpolated texts | `beta`, `interpolation_weight`; `interpolate` = false is GAN-CLS alone |
| S, style encoder (section 4.4) | `build_style_encoder`, trained by `ganzoo.explore.train_style_encoder` |

Training (section 5, scripts/train_cub.sh): Adam at 2e-4, beta_1 0.5, the rate halved every 100 epochs; batches of 64,
600 epochs of CUB's 8,855 training birds; c = 1/2, weight of interpolated texts 1; the mean of 4 of an image's 10
captions. Weights N(0, 0.02), gains N(1, 0.02), linear layers as torch begins them. Images are resized to 76 x 76,
cropped to 64 at random and mirrored. Preset `birds-64` has these numbers after 10,000 steps of the encoder;
`lorelei-64` is a quarter as wide.

Deviations: none in networks, losses and updates of the two scripts, main_cls.lua and main_cls_int.lua. The biases that
both zero before each update are constrained to zero. Image and text encoder of the joint embedding are trained from
scratch in the first `train.encoder_steps` steps of a run (the paper had GoogLeNet features and a pretrained encoder),
and frozen then; negatives are the other texts of the batch, where the paper had other classes. Wrong pictures are of
another class, as in the code; of data without classes, such as share no sentence. Of an image's captions four follow
each other from a random one; the script draws each. It halves the rates before epochs 100, 200, ..., this after them.
Options of ours, off by default: `words`, `match_weight` and `encoder_noise` (_text_encoder.py), and R1 at matching
pairs (`r1_gamma`; Mescheder et al. 2018, arXiv 1801.04406; of matching pairs only as DF-GAN, arXiv 2008.05865), without
which D of our small widths wins for good. The scripts' second interpolation, which extrapolates, is left out. Sampling
uses standing statistics, so that an image depends on its own z and text alone. Other sizes than 64 pixels follow the
same rule: one stride-2 layer for a doubling.
"""

import functools

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from ganzoo import losses, penalties
from ganzoo.base import BaseGAN, Checks, pixels, rows, sentences
from ganzoo.base.segments import encoder_first
from ganzoo.errors import GanzooError
from ganzoo.layers import BatchNorm, FastConv2D, FastConv2DTranspose, Zeroed, normalization
from ganzoo.models import _text_encoder
from ganzoo.registry import register

SCRIPTS = ("main_cls", "main_cls_int")
SEEN = 512  # embeddings of recent texts that are kept, for the standing statistics


def _init():
    return keras.initializers.RandomNormal(stddev=0.02)


def _conv(x, filters, size, strides, name, padding="same"):
    """Convolution whose bias stays zero, as both scripts zero it before each update."""
    options = {"kernel_initializer": _init(), "bias_constraint": Zeroed(), "name": f"{name}_conv"}
    return FastConv2D(filters, size, strides, padding, **options)(x)


def _up(x, filters, strides, name):
    options = {"kernel_initializer": _init(), "bias_constraint": Zeroed(), "name": f"{name}_conv"}
    return FastConv2DTranspose(filters, 4, strides, "same" if strides == 2 else "valid", **options)(x)


def _norm(x, name):
    return BatchNorm(gamma_initializer=keras.initializers.RandomNormal(1.0, 0.02), name=f"{name}_norm")(x)


def _lrelu(x, name):
    return layers.LeakyReLU(0.2, name=f"{name}_lrelu")(x)


def _relu(x, name):
    return layers.ReLU(name=f"{name}_relu")(x)


def _bottleneck(x, name, activation):
    """x + (1x1, 3x3, 3x3) of a quarter of its width, batch norm after each; then the activation."""
    width, y = x.shape[-1], x
    for part, (filters, size) in enumerate([(width // 4, 1), (width // 4, 3), (width, 3)], start=1):
        y = _norm(_conv(y, max(filters, 1), size, 1, f"{name}_{part}"), f"{name}_{part}")
        y = activation(y, f"{name}_{part}") if part < 3 else y
    return activation(layers.Add(name=f"{name}_add")([x, y]), name)


def _project(text, units):
    """Compressed text before its activation; torch's initial values for a linear layer, +-1 / sqrt(fan-in) for all."""
    limit = text.shape[-1] ** -0.5
    uniform = keras.initializers.RandomUniform(-limit, limit)
    return layers.Dense(units, kernel_initializer=uniform, bias_initializer=uniform, name="text_project")(text)


def build_generator(*, image_size, channels, latent_dim, text_dim, text_projection, ngf) -> keras.Model:
    """[z (N, latent_dim), text (N, text_dim)] -> images (N, image_size, image_size, channels) in [-1, 1].

    Args:
        text_projection: width to which G compresses the text, 128.
        ngf: width of the last hidden layer; doubles towards z: 1024-512-256-128 at 64 px.
    """
    stages = _text_encoder.stages_of(image_size)
    z, text = keras.Input((latent_dim,), name="latents"), keras.Input((text_dim,), name="text")
    x = layers.Concatenate(name="z_text")([z, _lrelu(_project(text, text_projection), "text")])
    x = layers.Reshape((1, 1, latent_dim + text_projection), name="z_text_1x1")(x)
    x = _norm(_up(x, ngf << (stages - 1), 1, "stem"), "stem")  # 4x4
    x = _bottleneck(x, "res1", _relu)
    for stage in range(1, stages):
        x = _norm(_up(x, ngf << (stages - 1 - stage), 2, f"up{stage}"), f"up{stage}")
        x = _bottleneck(x, "res2", _relu) if stage == 1 else _relu(x, f"up{stage}")
    x = _up(x, channels, 2, "out")
    return keras.Model([z, text], layers.Activation("tanh", name="tanh", dtype="float32")(x), name="generator")


def build_discriminator(*, image_size, channels, text_dim, text_projection, ndf, script) -> keras.Model:
    """[images (N, image_size, image_size, channels), text (N, text_dim)] -> logit (N, 1).

    Args:
        script: "main_cls", or "main_cls_int": batch norm on the compressed text, and no activation after the third
            convolution (of 64 px; the last but one).
    """
    stages = _text_encoder.stages_of(image_size)
    image, text = keras.Input((image_size, image_size, channels), name="image"), keras.Input((text_dim,), name="text")
    x = image
    for stage in range(1, stages + 1):
        x = _conv(x, ndf << (stage - 1), 4, 2, f"down{stage}")
        x = _norm(x, f"down{stage}") if stage > 1 else x
        bare = stage == stages or (stage == stages - 1 and script == "main_cls_int")
        x = x if bare else _lrelu(x, f"down{stage}")
    x = _bottleneck(x, "res", _lrelu)
    t = _project(text, text_projection)
    t = _lrelu(_norm(t, "text") if script == "main_cls_int" else t, "text")
    t = layers.Reshape((1, 1, text_projection), name="text_1x1")(t)
    t = layers.UpSampling2D(4, name="text_4x4")(t)
    x = layers.Concatenate(name="image_text")([x, t])  # in this order
    x = _lrelu(_norm(_conv(x, ndf << (stages - 1), 1, 1, "joint"), "joint"), "joint")
    x = _conv(x, 1, 4, 1, "out", padding="valid")
    return keras.Model([image, text], layers.Reshape((1,), name="logit", dtype="float32")(x), name="discriminator")


def matching_aware_d(real, wrong, fake, cls_weight=0.5, smoothing=0.0) -> tf.Tensor:
    """D of GAN-CLS on logits: -log s_r - (1 - c) log(1 - s_f) - c log(1 - s_w), means over the batch. `smoothing`: as in
    `losses.non_saturating_d`."""
    loss = tf.reduce_mean(tf.nn.softplus(-tf.cast(real, tf.float32)))
    loss += smoothing * tf.reduce_mean(tf.cast(real, tf.float32)) if smoothing else 0.0
    loss += (1 - cls_weight) * tf.reduce_mean(tf.nn.softplus(tf.cast(fake, tf.float32)))
    if cls_weight:
        loss += cls_weight * tf.reduce_mean(tf.nn.softplus(tf.cast(wrong, tf.float32)))
    return loss


def interpolated_g(fake, rows, weight=1.0) -> tf.Tensor:
    """G of GAN-INT on logits: -log s_f of `rows` real texts with weight 1, of the interpolated ones after them with
    `weight`. The mean is over all of them: the weights are not renormalised (main_cls_int.lua)."""
    loss = tf.nn.softplus(-tf.reshape(tf.cast(fake, tf.float32), [-1]))
    return tf.reduce_mean(loss * tf.where(tf.range(tf.shape(loss)[0]) < rows, 1.0, weight))


def with_interpolated(text, beta=0.5) -> tf.Tensor:
    """Embeddings (B, E) and after them B // 2 more: beta times row j plus (1 - beta) times row j + B // 2."""
    half = tf.shape(text)[0] // 2
    return tf.concat([text, beta * text[:half] + (1 - beta) * text[half : 2 * half]], axis=0)


@register("text-to-image")
class TextToImage(BaseGAN):
    """G and D that read a text's embedding, and the encoder that makes it of characters.

    Args:
        image_size: 4 * 2^k from 16 on.
        channels: of the images, 1 or 3.
        latent_dim: width of z.
        text_dim: of phi(t).
        text_projection: width to which G and D each compress it.
        ngf, ndf: base widths of G and D.
        script: of D's details: "main_cls" or "main_cls_int" (batch norm on the text, an activation less).
        cls_weight: c, the share of wrong pairs among what D should refuse; 0 for none.
        interpolate: whether G also gets interpolated texts (GAN-INT); they are never shown to D's update.
        beta: of the interpolation.
        interpolation_weight: of their loss.
        encoder: "char-cnn-rnn", trained with the model; "embedding": batches and `generate` bring embeddings, made
            elsewhere; "hub:PATH": a SavedModel or TF-Hub handle that maps strings to (N, text_dim), frozen, not saved along.
        encoder_width: of the char-CNN-RNN.
        text_length: characters that it reads.
        words: hash buckets of the words that both encoders also predict while they train, 0 for none.
        match_weight: of G's loss by whether the frozen image encoder reads the sentence in its pictures rather than a foil, the
            sentence with one word exchanged for one that does not fit; 0 for none as in the paper. Of the model's own encoder;
            others read no pictures.
        encoder_noise: normal noise on the pictures that the image encoder sees, in training and of G's; the deviation is uniform
            up to this, 0 for none. Without it G satisfies `match_weight` by patterns that only this network takes for a word.
        r1_gamma: weight (half of it) of R1 at real pictures with their own text, 0 for none as in the paper.
        ema_decay: decay of an averaged copy of G; the paper has none.
    """

    task = "text"
    refuses = {  # noqa: RUF012  (as in the base)
        "r1_gamma": "has it as model.r1_gamma",
        "relativistic": "also shows D wrong pairs and texts between texts, which have no real picture to be compared with",
    }
    alphabet = _text_encoder.ALPHABET
    train_options = ("encoder_steps",)
    own_metrics = {  # noqa: RUF012  (as in the base)
        "text-hair-colour": "hair colour as asked",
        "text-hair-style": "hair style as asked",
        "text-glasses": "glasses as asked",
        "text-mouth": "mouth as asked",
    }
    checks = Checks(
        small={"model.image_size": 16, "model.latent_dim": 4, "model.text_dim": 8, "model.text_projection": 4}
        | {"model.ngf": 4, "model.ndf": 4, "model.encoder_width": 8, "model.words": 16}
        | {"data.size": 16, "data.split": "test", "train.encoder_steps": 4},
        mixes="GAN-INT's pairs of texts, R1 through a batch norm and the text encoder's loss over a batch",
        unmixed={"model.interpolate": False, "model.r1_gamma": 0.0}
        | {"model.encoder": "embedding", "train.encoder_steps": 0},
        bare={"model.match_weight": 0.0},
    )
    logs: tuple[str, ...] = ("d_loss", "g_loss", "fooled", "real_logit", "fake_logit", "wrong_refused")
    logs += ("e_loss", "word_loss", "matched", "match_loss")
    players = {  # noqa: RUF012  (as in the base)
        "g_optimizer": ("generator",),
        "d_optimizer": ("discriminator",),
        "e_optimizer": ("text_encoder", "image_encoder"),  # and word_heads
    }

    def __init__(
        self,
        *,
        image_size=64,
        channels=3,
        latent_dim=100,
        text_dim=1024,
        text_projection=128,
        ngf=128,
        ndf=64,
        script="main_cls",
        cls_weight=0.5,
        interpolate=True,
        beta=0.5,
        interpolation_weight=1.0,
        encoder="char-cnn-rnn",
        encoder_width=256,
        text_length=201,
        words=0,
        match_weight=0.0,
        encoder_noise=0.0,
        r1_gamma=0.0,
        ema_decay=0.0,
    ):
        super().__init__(locals())
        for key in ("latent_dim", "text_dim", "text_projection", "ngf", "ndf", "channels"):
            if getattr(self, key) < 1:
                raise GanzooError(f"{key} is a width of at least 1; received {getattr(self, key)}.")
        if script not in SCRIPTS:
            raise GanzooError(f'script is "main_cls" or "main_cls_int"; received {script!r}.')
        if r1_gamma < 0:
            raise GanzooError(f"r1_gamma is a weight of at least 0; received {r1_gamma}.")
        if not 0 <= cls_weight < 1 or not 0 <= beta <= 1:
            raise GanzooError(f"cls_weight must be in [0, 1) and beta in [0, 1]; received {cls_weight} and {beta}.")
        _text_encoder.check(**self.get_config())
        own = _text_encoder.builders(encoder, words)
        self.match_weight = match_weight if own else 0.0
        players = {key: networks for key, networks in self.players.items() if key != "e_optimizer"}
        object.__setattr__(self, "players", players | ({"e_optimizer": tuple(own)} if own else {}))
        self.handle = sentences.Handle(encoder.removeprefix("hub:"), text_dim) if encoder.startswith("hub:") else None
        self.seen = keras.Variable(
            np.zeros((SEEN, text_dim), np.float32), trainable=False, aggregation="only_first_replica", name="seen"
        )
        self.register_networks(generator=build_generator, discriminator=build_discriminator, **own)

    # ---- the parts of a run: the encoder, then G and D on its frozen embeddings -------------------------------------
    def segments(self, train):
        whole = super().segments(train)  # of an encoder that is not trained here there is no part
        return encoder_first(whole, train, "the text encoder") if "e_optimizer" in self.players else whole

    def why_not_accumulate(self):
        return "the sentences of its last batches, which sampling statistics are made of"

    # ---- training: [encoder], D, then G with fresh noise on the same texts (algorithm 1) ---------------------------
    def encoder_step(self, image, text):
        """The joint embedding: see _text_encoder.py."""
        return _text_encoder.encoder_step(self, image, text)

    def judge(self, image, text):
        return self.discriminator([self.for_d(image), text], training=True)

    def judge_real(self, image, text):
        """Logits of matching pairs and R1 at their pictures, from one forward pass; 0 where no R1 is asked for."""
        if not self.r1_gamma:
            return self.judge(image, text), tf.constant(0.0)
        return penalties.logits_and_r1(lambda x: self.judge(x, text), image)

    def discriminator_step(self, image, wrong, text):
        z = self.noise(tf.random.stateless_normal, "d_latents", tf.shape(image)[0], [self.latent_dim])
        fake = self.generator([z, text], training=True)
        with tf.GradientTape() as tape:
            # Passes of their own: batch norm must not mix real, wrong and fake statistics.
            real_logits, r1 = self.judge_real(image, text)
            wrong_logits = self.judge(wrong, text) if self.cls_weight else real_logits
            fake_logits = self.judge(fake, text)
            matching = functools.partial(matching_aware_d, wrong=wrong_logits, cls_weight=self.cls_weight)
            loss = self.d_loss(matching, real_logits, fake_logits)
            penalised = loss + self.r1_gamma / 2 * r1 + self.r2(lambda x: self.judge(x, text), fake)
        self.minimize(tape, penalised, "d_optimizer")
        refused = tf.reduce_mean(tf.cast(wrong_logits < 0, tf.float32))
        return loss, self.judged(real_logits, fake_logits) | {"wrong_refused": refused}

    def generator_step(self, text, *strings):
        """Losses of G on embeddings (N, text_dim): of D's logits, and of the words in its pictures; `strings` are the texts
        and their foils, for `match_weight`."""
        rows = tf.shape(text)[0]
        text = with_interpolated(text, self.beta) if self.interpolate else text
        # Two draws, each of its own rows, so that replicas share them out alike.
        z = self.noise(tf.random.stateless_normal, "g_latents", rows, [self.latent_dim])
        more = self.noise(tf.random.stateless_normal, "g_latents_int", rows, [self.latent_dim])
        z = tf.concat([z, more], axis=0)[: tf.shape(text)[0]]
        with tf.GradientTape() as tape:
            fake = self.generator([z, text], training=True)
            logits = self.judge(fake, text)
            if self.interpolate:
                loss = interpolated_g(logits, rows, self.interpolation_weight)
            else:
                loss = losses.non_saturating_g(logits)
            match = _text_encoder.match_loss(self, fake[:rows], *strings) if self.match_weight else tf.constant(0.0)
            total = loss + self.match_weight * match
        self.minimize(tape, total, "g_optimizer")
        return loss, match

    def train_step(self, data):
        image, text, wrong, *foil = self.unpack(data)
        logs: dict = {}
        if self.teaches:
            logs |= self.encoder_step(image, text)
        if self.trains_generator:
            phi = tf.stop_gradient(self.embed(text))  # once a batch
            logs["d_loss"], judgement = self.discriminator_step(image, wrong, phi)
            logs["g_loss"], logs["match_loss"] = self.generator_step(phi, *map(_text_encoder.first_of, (text, *foil)))
            replica = tf.distribute.get_replica_context()
            rows_of_all = replica.all_gather(phi, axis=0) if replica.num_replicas_in_sync > 1 else phi
            self.seen.assign(tf.concat([self.seen.value, rows_of_all], axis=0)[-SEEN:])
            self.update_ema()
            logs |= judgement
        return self.log(**logs)

    def batch_signature(self):
        image = tf.TensorSpec([None, self.image_size, self.image_size, self.channels], tf.float32)
        if self.encoder == "embedding":
            return {"image": image, "embedding": tf.TensorSpec([None, self.text_dim], tf.float32), "wrong": image}
        text = tf.TensorSpec([None], tf.string)
        return {"image": image, "text": text, "wrong": image} | ({"foil": text} if self.match_weight else {})

    def training_state(self):
        return super().training_state() | {"seen": self.seen}

    # ---- text ----------------------------------------------------------------------------------------------------
    def embed(self, texts: tf.Tensor) -> tf.Tensor:
        """float32 phi (N, text_dim) of strings (N,), inside a graph; of (N, K), several texts an image, the mean of K."""
        return _text_encoder.embed(self, texts)

    def characters(self, texts):
        """One-hot float32 (N, text_length, 70) of strings (N,), which the text encoder reads."""
        return _text_encoder.characters(texts, self.text_length)

    def embeddings(self, texts) -> tf.Tensor:
        """float32 phi (n, text_dim) of one text or a list of them; arrays of embeddings are checked and kept."""
        return _text_encoder.embeddings(self, texts)

    def style_encoder(self, width):
        """An untrained S (section 4.4) for this model's pictures."""
        return _text_encoder.build_style_encoder(
            image_size=self.image_size, channels=self.channels, latent_dim=self.latent_dim, width=width
        )

    # ---- sampling and serving ------------------------------------------------------------------------------------
    def latents(self, seeds):
        """Rows of z ~ N(0, 1) for int32 seeds (N, 2)."""
        return rows.rows_of(tf.random.stateless_normal, seeds, self.latent_dim)

    def images_of(self, latents, text):
        """float32 images (N, H, W, C) in [-1, 1] of latents (N, latent_dim) and embeddings (N, text_dim)."""
        count, inputs = rows.or_one_row(latents, text)
        return self.sampler(inputs, training=False)[:count]

    def generate(self, texts, *, seed=0, n_per_text=1, latents=None):
        """uint8 images (n, H, W, C), n = number of texts * n_per_text: all of the first text, all of the second, ...

        Image i depends on its text and (seed, i) only.

        Args:
            texts: a sentence or a list of them; or embeddings (n, text_dim).
            latents: (n, latent_dim), instead of seed.
        """
        if isinstance(n_per_text, bool) or not isinstance(n_per_text, int | np.integer) or n_per_text < 1:
            raise GanzooError(f"n_per_text is a whole number of at least 1; received {n_per_text!r}.")
        text = self.embeddings(texts)
        rows.checked_count(len(text) * n_per_text)
        text = tf.repeat(text, n_per_text, axis=0)
        z = rows.latent_rows(self, len(text), seed, latents)
        if len(z) != len(text):
            raise GanzooError(f"{len(text)} images need as many latents; received {len(z)}.")
        show = self.cached("generate", lambda: rows.graph_of(lambda z, text: pixels.to_uint8(self.images_of(z, text))))
        return rows.in_chunks(show, z, text)

    def finalize(self):
        """Standing statistics over 32 batches of 64 latents, on texts of recent steps."""
        seen = np.array(self.seen)
        seen = seen[np.any(seen != 0, axis=1)]
        if not len(seen):  # no step has trained G: its statistics are as they were
            return
        batches = []
        for seed in range(32):
            z = rows.latents_of(self, rows.row_seeds(1_000_000 + seed, 64))
            batches.append([z, tf.constant(seen[np.arange(64 * seed, 64 * seed + 64) % len(seen)])])
        normalization.standing_statistics(self.sampler, batches)

    def portable_signature(self):
        """`tensors`, and the text encoder from one-hot characters (`characters`), if the model has its own."""
        own = {"encode": _text_encoder.encode_endpoint(self)} if self.encoder == "char-cnn-rnn" else {}
        return super().portable_signature() | own

    def page_networks(self, size):
        """G, and the text encoder, which a page needs."""
        if self.encoder != "char-cnn-rnn":
            raise GanzooError(
                f'A page needs a text encoder of the model\'s own; this {self.paper} has "{self.encoder}".'
            )
        return super().page_networks(size) | {"encode": self.portable_signature()["encode"]}

    def serving_around(self):
        return sentences.ends(self, reads_text=self.encoder != "embedding")

    def serving_signature(self):
        return sentences.endpoints(self, reads_text=self.encoder != "embedding")
