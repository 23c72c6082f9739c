"""Generative Adversarial Text to Image Synthesis.

Scott Reed, Zeynep Akata, Xinchen Yan, Lajanugen Logeswaran, Bernt Schiele, Honglak Lee, 2016. arXiv 1605.05396. Official
code: github.com/reedscot/icml2016 (Lua). The text encoder is that of Reed, Akata, Schiele, Lee, "Learning Deep
Representations of Fine-Grained Visual Descriptions", 2016, arXiv 1605.05395, github.com/reedscot/cvpr2016.

Objective (algorithm 1, GAN-CLS):  L_D = log s_r + ((1 - c) log(1 - s_f) + c log(1 - s_w)),  c = 1/2,  where
s_r = D(x, phi(t)) of a matching pair, s_w = D(x^, phi(t)) of a real image with a wrong text, s_f = D(G(z, phi(t)), phi(t));
L_G = log s_f.  GAN-INT (equation 5) adds to G alone:  log D(G(z, b phi(t1) + (1 - b) phi(t2)), same text),  b = 1/2.
Encoder (equation 2, symmetric structured joint embedding):  mean over pairs of  max(0, 1 + F(v, t') - F(v, t))  +
max(0, 1 + F(v', t) - F(v, t)),  F(v, t) = v . phi(t).

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

Deviations: none in networks, losses and updates of the two scripts, main_cls.lua and main_cls_int.lua. Image and text
encoder of the joint embedding are trained from scratch in the first `train.encoder_steps` steps of a run (the paper had
GoogLeNet features and a pretrained encoder), and frozen then; negatives are the other texts of the batch, where the paper
had other classes. Where there are no pretrained features, an option (`words`, off by default) lets both encoders also predict
the caption's words (Joulin et al. 2016, arXiv 1511.02251): the joint embedding alone teaches neither side what fills few
pixels, such as a mouth, as long as the other side does not show it. Another (`match_weight`) has the frozen image encoder read
G's pictures, too, as AttnGAN's pretrained pair of encoders does (Xu et al. 2018, arXiv 1711.10485): for the one word in which
the sentence and a foil differ, the same sentence with a word that does not fit (Shekhar et al. 2017, arXiv 1705.01359). In the
steps that two cores can do D alone teaches G no mouth; a loss by all words G satisfies by hiding the wording in the pictures'
texture, and without `encoder_noise` it draws patterns that mean something to this encoder alone.
Sampling uses standing statistics, so that an image depends on its own z and text alone. Other sizes
than 64 pixels follow the same rule: one stride-2 layer for a doubling. An option that the paper has not, off by default: R1 at
matching pairs (`r1_gamma`; Mescheder et al. 2018, arXiv 1801.04406; of matching pairs only as DF-GAN, arXiv 2008.05865),
without which D of our small widths wins for good.
"""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from ganzoo import losses, penalties
from ganzoo.base import BaseGAN, pixels, sentences
from ganzoo.base.rows import (
    CHUNK,
    finite_rows,
    in_chunks,
    latent_rows,
    latents_of,
    or_one_row,
    row_seeds,
    rows_of,
    seeds_of,
)
from ganzoo.base.segments import Segment
from ganzoo.errors import GanzooError, nearest
from ganzoo.layers import BatchNorm, Zeroed, normalization
from ganzoo.registry import register

# 70 symbols (1605.05395, as Zhang et al. 2015 have them); the hyphen stands twice there, too. Capitals count as small letters.
ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789-,;.!?:'\"/\\|_@#$%^&*~`+-=<>()[]{} "
SHORTEST = 66  # characters: the convolutions and poolings of the encoder leave one step of it
SCRIPTS = ("main_cls", "main_cls_int")
ENCODERS = ("char-cnn-rnn", "embedding")
SEEN = 512  # embeddings of recent texts that are kept, for the standing statistics


def _init():
    return keras.initializers.RandomNormal(stddev=0.02)


def _conv(x, filters, size, strides, name, padding="same"):
    """Convolution whose bias stays zero, as both scripts zero it before each update."""
    options = {"kernel_initializer": _init(), "bias_constraint": Zeroed(), "name": f"{name}_conv"}
    return layers.Conv2D(filters, size, strides, padding, **options)(x)


def _up(x, filters, strides, name):
    options = {"kernel_initializer": _init(), "bias_constraint": Zeroed(), "name": f"{name}_conv"}
    return layers.Conv2DTranspose(filters, 4, strides, "same" if strides == 2 else "valid", **options)(x)


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
    """Compressed text before its activation; torch's default initial values for a linear layer."""
    uniform = keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")
    return layers.Dense(units, kernel_initializer=uniform, name="text_project")(text)


def _stages(image_size):
    stages = (image_size // 4).bit_length() - 1
    if stages < 2 or 4 * 2**stages != image_size:
        raise GanzooError(f"text-to-image doubles from 4x4, so image_size is 16, 32, 64, ...; received {image_size}.")
    return stages


def build_generator(
    *, image_size=64, channels=3, latent_dim=100, text_dim=1024, text_projection=128, ngf=128
) -> keras.Model:
    """[z (N, latent_dim), text (N, text_dim)] -> images (N, image_size, image_size, channels) in [-1, 1].

    Args:
        text_projection: width to which G compresses the text, 128.
        ngf: width of the last hidden layer; doubles towards z: 1024-512-256-128 at 64 px.
    """
    stages = _stages(image_size)
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


def build_discriminator(
    *, image_size=64, channels=3, text_dim=1024, text_projection=128, ndf=64, script="main_cls"
) -> keras.Model:
    """[images (N, image_size, image_size, channels), text (N, text_dim)] -> logit (N, 1).

    Args:
        script: "main_cls", or "main_cls_int": batch norm on the compressed text, and no activation after the third
            convolution (of 64 px; the last but one).
    """
    stages = _stages(image_size)
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


def build_text_encoder(*, text_dim=1024, encoder_width=256, text_length=201) -> keras.Model:
    """char-CNN-RNN: one-hot characters (N, text_length, 70) -> embeddings (N, text_dim).

    Three convolutions of width 4 with pooling, 384-512-256 at `encoder_width` 256; an LSTM over what is left of the text
    (8 steps of 201 characters); the mean over its steps; a linear layer (1605.05395, section 3 and its code).
    """
    characters = x = keras.Input((text_length, len(ALPHABET)), name="characters")
    widths = (encoder_width * 3 // 2, encoder_width * 2, encoder_width)
    for part, (width, stride) in enumerate(zip(widths, (3, 3, 2), strict=True), start=1):
        # He et al.'s variance 2 / fan-in; of one-hot characters only 4 inputs of a window are not zero.
        init = keras.initializers.HeNormal() if part > 1 else keras.initializers.RandomNormal(stddev=0.5**0.5)
        x = layers.Conv1D(width, 4, activation="relu", kernel_initializer=init, name=f"char{part}")(x)
        x = layers.MaxPooling1D(3, stride, name=f"char{part}_pool")(x)
    x = layers.LSTM(encoder_width, return_sequences=True, unroll=True, name="rnn")(x)
    x = layers.GlobalAveragePooling1D(name="mean")(x)
    return keras.Model(characters, layers.Dense(text_dim, name="embedding", dtype="float32")(x), name="text_encoder")


def _pyramid(image_size, channels, width, outputs, name):
    """Stride-2 convolutions with batch norm to 4x4, then a linear layer of `outputs` numbers."""
    image = x = keras.Input((image_size, image_size, channels), name="image")
    for stage in range(1, _stages(image_size) + 1):
        x = layers.Conv2D(width * min(2 ** (stage - 1), 4), 4, 2, "same", use_bias=False, name=f"down{stage}_conv")(x)
        x = _lrelu(BatchNorm(name=f"down{stage}_norm")(x), f"down{stage}")
    x = layers.Flatten(name="flatten")(x)
    return keras.Model(image, layers.Dense(outputs, name="outputs", dtype="float32")(x), name=name)


def build_image_encoder(*, image_size=64, channels=3, text_dim=1024, encoder_width=256) -> keras.Model:
    """Images (N, image_size, image_size, channels) in [-1, 1] -> v (N, text_dim), the other side of the joint embedding."""
    return _pyramid(image_size, channels, max(encoder_width // 4, 1), text_dim, "image_encoder")


def build_word_heads(*, text_dim=1024, words=512) -> keras.Model:
    """[v (N, text_dim), phi(t) (N, text_dim)] -> logits (N, words) of each, by a linear layer of its own.

    Batch norm first: what all embeddings share tells no words apart.
    """
    sides = [keras.Input((text_dim,), name=name) for name in ("image", "text")]
    heads = [layers.Dense(words, name=f"{x.name}_words", dtype="float32")(_norm(x, x.name)) for x in sides]
    return keras.Model(sides, heads, name="word_heads")


def build_style_encoder(*, image_size=64, channels=3, latent_dim=100, width=32) -> keras.Model:
    """S of section 4.4: images (N, image_size, image_size, channels) in [-1, 1] -> z (N, latent_dim)."""
    return _pyramid(image_size, channels, width, latent_dim, "style_encoder")


def characters(texts: tf.Tensor, length: int) -> tf.Tensor:
    """One-hot float32 (N, length, 70) of strings (N,), inside a graph; cut or filled up with zeros.

    Unknown characters are zeros too. Texts are UTF-8; bytes that are none count as one unknown character each.
    """
    table = np.full(129, -1, np.int32)  # by code point; the last entry is for all others
    for place, symbol in reversed([*enumerate(ALPHABET)]):  # of the two hyphens the first counts
        table[ord(symbol)] = table[ord(symbol.upper())] = place
    codes = tf.strings.unicode_decode(texts, "UTF-8", errors="replace")
    codes = codes.to_tensor(default_value=128, shape=[None, length])
    return tf.one_hot(tf.gather(tf.constant(table), tf.clip_by_value(codes, 0, 128)), len(ALPHABET))


def first_of(texts: tf.Tensor) -> tf.Tensor:
    """Strings (N,) of strings (N,), or of (N, K), several texts an image."""
    return texts if texts.shape.rank == 1 else texts[:, 0]


def word_sets(texts: tf.Tensor, words: int) -> tf.Tensor:
    """float32 (N, words): 1 for each hashed word of strings (N,), 0 for all others."""
    split = tf.strings.split(tf.strings.regex_replace(tf.strings.lower(texts), r"[^\pL\pN]+", " "))
    hashed = tf.strings.to_hash_bucket_fast(split, words).to_tensor(default_value=-1)
    return tf.reduce_max(tf.one_hot(hashed, words), axis=1)


def word_entropy(texts, logits) -> tf.Tensor:
    """Cross-entropy of logits (N, words) with the words of strings (N,), equal shares of 1; the mean over the batch
    (1511.02251)."""
    found = word_sets(texts, logits.shape[-1])
    shares = tf.math.divide_no_nan(found, tf.reduce_sum(found, axis=1, keepdims=True))
    return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(shares, logits))


def foil_entropy(texts, foils, logits) -> tf.Tensor:
    """-log of the odds that strings (N,), not `foils` (N,), are read from logits (N, words); the mean over the rows where
    the two differ. What both say cancels out."""
    odds = tf.reduce_sum((word_sets(texts, logits.shape[-1]) - word_sets(foils, logits.shape[-1])) * logits, axis=1)
    differ = tf.cast(texts != foils, tf.float32)
    return tf.math.divide_no_nan(tf.reduce_sum(differ * tf.nn.softplus(-odds)), tf.reduce_sum(differ))


def matching_aware_d(real, wrong, fake, cls_weight=0.5) -> tf.Tensor:
    """D of GAN-CLS on logits: -log s_r - (1 - c) log(1 - s_f) - c log(1 - s_w), means over the batch."""
    loss = tf.reduce_mean(tf.nn.softplus(-tf.cast(real, tf.float32)))
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


def joint_embedding(image, text, differ) -> tf.Tensor:
    """Symmetric structured joint embedding of v (B, E) and phi(t) (B, E); `differ` (B, B) says which pairs do not match."""
    scores = tf.matmul(image, text, transpose_b=True)  # F(v_i, t_j)
    right = tf.linalg.diag_part(scores)
    hinge = tf.nn.relu(1 + scores - right[:, None]) + tf.nn.relu(1 + scores - right[None, :])
    differ = tf.cast(differ, tf.float32)
    return tf.reduce_sum(hinge * differ) / tf.maximum(tf.reduce_sum(differ), 1.0)


@register("text-to-image")
class TextToImage(BaseGAN):
    """G and D that read a text's embedding, and the encoder that makes it of characters.

    Args:
        image_size: 4 * 2^k from 16 on; 64 in the paper.
        channels: of the images, 1 or 3.
        latent_dim: 100.
        text_dim: of phi(t), 1,024.
        text_projection: width to which G and D each compress it, 128.
        ngf, ndf: base widths of G and D, 128 and 64.
        script: of D's details: "main_cls" or "main_cls_int" (batch norm on the text, an activation less).
        cls_weight: c, the share of wrong pairs among what D should refuse, 0.5; 0 for none.
        interpolate: whether G also gets interpolated texts (GAN-INT); they are never shown to D's update.
        beta: of the interpolation, 0.5.
        interpolation_weight: of their loss, 1.
        encoder: "char-cnn-rnn", trained with the model; "embedding": batches and `generate` bring embeddings, made
            elsewhere; "hub:PATH": a SavedModel or TF-Hub handle that maps strings to (N, text_dim), frozen, not saved along.
        encoder_width: of the char-CNN-RNN, 256.
        text_length: characters that it reads, 201.
        words: hash buckets of the words that both encoders also predict while they train, 0 for none.
        match_weight: of G's loss by whether the frozen image encoder reads the sentence in its pictures rather than a foil, the
            sentence with one word exchanged for one that does not fit; 0 for none as in the paper. Of the model's own encoder;
            others read no pictures.
        encoder_noise: normal noise on the pictures that the image encoder sees, in training and of G's; the deviation is uniform
            up to this, 0 for none. Without it G satisfies `match_weight` by patterns that only this network takes for a word.
        r1_gamma: weight (half of it) of R1 at real pictures with their own text, 0 for none as in the paper.
        ema_decay: decay of an averaged copy of G, 0 for none as in the paper.
    """

    task = "text"
    logs = (
        "d_loss",
        "g_loss",
        "fooled",
        "real_logit",
        "fake_logit",
        "wrong_refused",
        "e_loss",
        "word_loss",
        "matched",
        "match_loss",
    )
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
        super().__init__(ema_decay=ema_decay)
        sizes = {"latent_dim": latent_dim, "text_dim": text_dim, "text_projection": text_projection, "ngf": ngf}
        sizes |= {"ndf": ndf, "channels": channels, "encoder_width": encoder_width}
        for key, value in sizes.items():
            if value < 1:
                raise GanzooError(f"{key} is a width of at least 1; received {value}.")
        if script not in SCRIPTS:
            raise GanzooError(f'script is "main_cls" or "main_cls_int"; received {script!r}.')
        if encoder not in ENCODERS and not encoder.startswith("hub:"):
            raise GanzooError(f'There is no text encoder "{encoder}".{nearest(encoder, (*ENCODERS, "hub:PATH"))}')
        if text_length < SHORTEST:
            raise GanzooError(f"text_length is at least {SHORTEST} characters; received {text_length}.")
        if words < 0:
            raise GanzooError(f"words is a number of hash buckets, 0 for none; received {words}.")
        own_encoder = encoder == "char-cnn-rnn"
        if match_weight < 0 or (match_weight and own_encoder and not words):
            raise GanzooError(
                f"match_weight is at least 0, and above 0 it needs words; received {match_weight} with words = {words}."
            )
        if encoder_noise < 0:
            raise GanzooError(f"encoder_noise is a deviation of at least 0; received {encoder_noise}.")
        if r1_gamma < 0:
            raise GanzooError(f"r1_gamma is a weight of at least 0; received {r1_gamma}.")
        if not 0 <= cls_weight < 1 or not 0 <= beta <= 1:
            raise GanzooError(f"cls_weight lies in [0, 1) and beta in [0, 1]; received {cls_weight} and {beta}.")
        self.image_size, self.channels = image_size, channels
        self.latent_dim, self.text_dim, self.text_projection = latent_dim, text_dim, text_projection
        self.ngf, self.ndf, self.script = ngf, ndf, script
        self.cls_weight, self.interpolate = cls_weight, interpolate
        self.beta, self.interpolation_weight, self.r1_gamma = beta, interpolation_weight, r1_gamma
        self.match_weight, self.encoder_noise = match_weight if own_encoder else 0.0, encoder_noise
        self.encoder, self.encoder_width, self.text_length, self.words = encoder, encoder_width, text_length, words
        images = {"image_size": image_size, "channels": channels, "text_dim": text_dim}
        shared = images | {"text_projection": text_projection}

        def generator():
            return build_generator(latent_dim=latent_dim, ngf=ngf, **shared)

        self.seen = keras.Variable(
            np.zeros((SEEN, text_dim), np.float32), trainable=False, aggregation="only_first_replica", name="seen"
        )
        ema = {"ema_generator": generator()} if ema_decay else {}
        own = {}
        if own_encoder:
            own["text_encoder"] = build_text_encoder(
                text_dim=text_dim, encoder_width=encoder_width, text_length=text_length
            )
            own["image_encoder"] = build_image_encoder(encoder_width=encoder_width, **images)
            if words:
                own["word_heads"] = build_word_heads(text_dim=text_dim, words=words)
        players = {key: networks for key, networks in self.players.items() if key != "e_optimizer"}
        object.__setattr__(self, "players", players | ({"e_optimizer": tuple(own)} if own else {}))
        self.handle = sentences.Handle(encoder.removeprefix("hub:"), text_dim) if encoder.startswith("hub:") else None
        discriminator = build_discriminator(ndf=ndf, script=script, **shared)
        self.register_networks(generator=generator(), discriminator=discriminator, **own, **ema)

    # ---- the parts of a run: the encoder, then G and D on its frozen embeddings -------------------------------------
    def segments(self, train):
        steps = train.encoder_steps if "e_optimizer" in self.players else 0  # other encoders are not trained
        if not steps or train.growth:
            return super().segments(train.model_copy(update={"encoder_steps": 0}))
        if steps >= train.steps:
            raise GanzooError(
                f"train.steps ({train.steps}) are all of the run, and the first train.encoder_steps ({steps}) of them train "
                "the text encoder alone: give more steps, or fewer encoder steps."
            )
        rest = Segment(
            steps,
            train.steps - steps,
            steps * train.batch_size,
            train.batch_size,
            part="gan",
            players=("d_optimizer", "g_optimizer"),
        )
        return [Segment(0, steps, 0, train.batch_size, part="encoder", players=("e_optimizer",)), rest]

    def why_not_accumulate(self):
        return "the sentences of its last batches, which sampling statistics are made of"

    @property
    def trains_generator(self):
        return self.segment is None or self.segment.part != "encoder"

    @property
    def teaches(self) -> bool:
        """Whether steps train the encoder: in its segment; without segments while the weights began as random ones."""
        if "e_optimizer" not in self.players:
            return False
        if self.segment is None:
            return self.weights_source == "random"
        return self.segment.part == "encoder"

    # ---- training: [encoder], D, then G with fresh noise on the same texts (algorithm 1) ---------------------------
    def noisy(self, images):
        """Images (N, H, W, C) as the image encoder sees them while it trains and judges."""
        if not self.encoder_noise:
            return images
        rows = tf.shape(images)[0]
        deviation = self.noise(tf.random.stateless_uniform, "e_deviation", rows, [1, 1, 1]) * self.encoder_noise
        return images + deviation * self.noise(tf.random.stateless_normal, "e_noise", rows, images.shape[1:])

    def encoder_step(self, image, text):
        """The joint embedding's loss, that of the words, and how often a picture's nearest text is its own."""
        text = first_of(text)
        shown = characters(text, self.text_length)
        with tf.GradientTape() as tape:
            v, phi = self.image_encoder(self.noisy(image), training=True), self.text_encoder(shown, training=True)
            loss = joint_embedding(v, phi, text[:, None] != text[None, :])
            heads = self.word_heads([v, phi], training=True) if self.words else ()
            of_words = tf.add_n([word_entropy(text, logits) for logits in heads] or [tf.constant(0.0)])
            total = loss + of_words
        self.minimize(tape, total, "e_optimizer")
        best = tf.argmax(tf.matmul(v, phi, transpose_b=True), axis=1)
        matched = tf.reduce_mean(tf.cast(tf.gather(text, best) == text, tf.float32))
        return loss, of_words, matched

    def judge_real(self, image, text):
        """Logits of matching pairs and R1 at their pictures, from one forward pass; 0 where no R1 is asked for."""
        if not self.r1_gamma:
            return self.discriminator([image, text], training=True), tf.constant(0.0)
        return penalties.logits_and_r1(lambda x: self.discriminator([x, text], training=True), image)

    def discriminator_step(self, image, wrong, text):
        z = self.noise(tf.random.stateless_normal, "d_latents", tf.shape(image)[0], [self.latent_dim])
        fake = self.generator([z, text], training=True)
        with tf.GradientTape() as tape:
            # Passes of their own: batch norm must not mix real, wrong and fake statistics.
            real_logits, r1 = self.judge_real(image, text)
            wrong_logits = self.discriminator([wrong, text], training=True) if self.cls_weight else real_logits
            fake_logits = self.discriminator([fake, text], training=True)
            loss = matching_aware_d(real_logits, wrong_logits, fake_logits, self.cls_weight)
            penalised = loss + self.r1_gamma / 2 * r1
        self.minimize(tape, penalised, "d_optimizer")
        refused = tf.reduce_mean(tf.cast(wrong_logits < 0, tf.float32))
        return loss, losses.judgement(real_logits, fake_logits) | {"wrong_refused": refused}

    def match_loss(self, images, texts, foils):
        """-log of the odds at which the frozen image encoder reads strings (N,), not their foils, in images (N, H, W, C)."""
        v = self.image_encoder(self.noisy(images), training=False)
        return foil_entropy(texts, foils, self.word_heads([v, v], training=False)[0])

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
            logits = self.discriminator([fake, text], training=True)
            if self.interpolate:
                loss = interpolated_g(logits, rows, self.interpolation_weight)
            else:
                loss = losses.non_saturating_g(logits)
            match = self.match_loss(fake[:rows], *strings) if self.match_weight else tf.constant(0.0)
            total = loss + self.match_weight * match
        self.minimize(tape, total, "g_optimizer")
        return loss, match

    def train_step(self, data):
        image, text, wrong, *foil = self.unpack(data)
        logs = {}
        if self.teaches:
            logs["e_loss"], logs["word_loss"], logs["matched"] = self.encoder_step(image, text)
        if self.trains_generator:
            phi = tf.stop_gradient(self.embed(text))  # once a batch
            logs["d_loss"], judgement = self.discriminator_step(image, wrong, phi)
            logs["g_loss"], logs["match_loss"] = self.generator_step(phi, *map(first_of, (text, *foil)))
            self.seen.assign(tf.concat([self.seen.value, phi], axis=0)[-SEEN:])
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
        if self.encoder == "embedding":
            return texts if texts.shape.rank == 2 else tf.reduce_mean(texts, axis=1)
        flat = tf.reshape(texts, [-1])
        if self.handle is not None:
            rows = self.handle(flat)
        else:
            count, (shown,) = or_one_row(characters(flat, self.text_length))
            rows = self.text_encoder(shown, training=False)[:count]
        rows = tf.reshape(tf.cast(rows, tf.float32), [-1, self.text_dim])
        if texts.shape.rank == 1:
            return rows
        return tf.reduce_mean(tf.reshape(rows, [tf.shape(texts)[0], -1, self.text_dim]), axis=1)

    def embeddings(self, texts) -> tf.Tensor:
        """float32 phi (n, text_dim) of one text or a list of them; arrays of embeddings are checked and kept.

        Raises:
            GanzooError: no text, an empty one, or something else than text.
        """
        if not isinstance(texts, str) and sentences.is_numeric(texts):
            return finite_rows(texts, "embeddings", (self.text_dim,))
        texts = sentences.checked(texts, *((self.text_length, ALPHABET) if self.encoder == "char-cnn-rnn" else ()))
        if self.encoder == "embedding":
            raise GanzooError(
                f"This model reads no text: it was built for embeddings of {self.text_dim} numbers, made elsewhere. Give "
                "them as an array (n, text_dim)."
            )
        run = self.cached("embed", lambda: tf.function(self.embed, input_signature=[tf.TensorSpec([None], tf.string)]))
        chunk = CHUNK  # of one size, filled up: a text's embedding must not depend on its neighbours
        padded = texts + [" "] * (-len(texts) % chunk)
        return tf.concat([run(padded[i : i + chunk]) for i in range(0, len(padded), chunk)], axis=0)[: len(texts)]

    # ---- sampling and serving ------------------------------------------------------------------------------------
    def latents(self, seeds):
        """Rows of z ~ N(0, 1) for int32 seeds (N, 2)."""
        return rows_of(tf.random.stateless_normal, seeds, self.latent_dim)

    def images_of(self, latents, text):
        """float32 images (N, H, W, C) in [-1, 1] of latents (N, latent_dim) and embeddings (N, text_dim)."""
        count, inputs = or_one_row(latents, text)
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
        text = tf.repeat(self.embeddings(texts), n_per_text, axis=0)
        z = latent_rows(self, len(text), seed, latents)
        if len(z) != len(text):
            raise GanzooError(f"{len(text)} images need as many latents; received {len(z)}.")

        def traced():
            return tf.function(lambda z, text: pixels.to_uint8(self.images_of(z, text)))

        return in_chunks(self.cached("generate", traced), z, text)

    def finalize(self):
        """Standing statistics over 32 batches of 64 latents, on texts of recent steps."""
        seen = np.array(self.seen)
        seen = seen[np.any(seen != 0, axis=1)]
        if not len(seen):  # no step has trained G: its statistics are as they were
            return
        batches = []
        for seed in range(32):
            z = latents_of(self, row_seeds(1_000_000 + seed, 64))
            batches.append([z, tf.constant(seen[np.arange(64 * seed, 64 * seed + 64) % len(seen)])])
        normalization.standing_statistics(self.sampler, batches)

    def portable_signature(self):
        """`tensors`, and the text encoder from one-hot characters (`characters`), if the model has its own."""
        endpoints = super().portable_signature()
        if self.encoder == "char-cnn-rnn":
            shape = [None, self.text_length, len(ALPHABET)]

            def encode(characters):
                """One-hot characters (N, text_length, 70) -> float32 embeddings (N, text_dim)."""
                return {"embedding": self.text_encoder(characters, training=False)}

            endpoints["encode"] = (encode, {"characters": tf.TensorSpec(shape, tf.float32, name="characters")})
        return endpoints

    def serving_signature(self):
        def pictures(text, seed):
            return {"image_bytes": pixels.png_rows(pixels.to_uint8(self.images_of(self.latents(seeds_of(seed)), text)))}

        def serve(text, seed):
            """Strings (N,) and int64 seeds (N,) -> PNG bytes (N,); row i is `generate(text[i], seed=seed[i])`."""
            return pictures(self.embed(text), seed)

        def serve_embedding(embedding, seed):
            """Embeddings (N, text_dim) and int64 seeds (N,) -> PNG bytes (N,)."""
            return pictures(embedding, seed)

        def tensors(latents, embedding):
            """float32 latents (N, latent_dim) and embeddings (N, text_dim) -> float32 images (N, H, W, C) in [-1, 1]."""
            return {"images": self.images_of(latents, embedding)}

        def embedded(text):
            """Strings (N,) -> float32 embeddings (N, text_dim)."""
            return {"embedding": self.embed(text)}

        seed = tf.TensorSpec([None], tf.int64, name="seed")
        text = tf.TensorSpec([None], tf.string, name="text")
        embedding = tf.TensorSpec([None, self.text_dim], tf.float32, name="embedding")
        latents = tf.TensorSpec([None, self.latent_dim], tf.float32, name="latents")
        both = {"latents": latents, "embedding": embedding}
        if self.encoder == "embedding":
            return {
                "serving_default": (serve_embedding, {"embedding": embedding, "seed": seed}),
                "tensors": (tensors, both),
            }
        return {
            "serving_default": (serve, {"text": text, "seed": seed}),
            "tensors": (tensors, both),
            "embed": (embedded, {"text": text}),
        }
