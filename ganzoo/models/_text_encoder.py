"""The text encoder of GAN-CLS, and what trains next to it: char-CNN-RNN, joint embedding, and options of ours.

Scott Reed, Zeynep Akata, Bernt Schiele, Honglak Lee, "Learning Deep Representations of Fine-Grained Visual Descriptions",
2016. arXiv 1605.05395. Official code: github.com/reedscot/cvpr2016.

Objective (equation 2, symmetric structured joint embedding):  mean over pairs of  max(0, 1 + F(v, t') - F(v, t))  +
max(0, 1 + F(v', t) - F(v, t)),  F(v, t) = v . phi(t).

Where there are no pretrained features, an option (`words`, off by default) lets both encoders also predict the caption's
words (Joulin et al. 2016, arXiv 1511.02251): the joint embedding alone teaches neither side what fills few pixels, such as a
mouth, as long as the other side does not show it. Another (`match_weight`) has the frozen image encoder read G's pictures,
too, as AttnGAN's pretrained pair of encoders does (Xu et al. 2018, arXiv 1711.10485): for the one word in which the sentence
and a foil differ, the same sentence with a word that does not fit (Shekhar et al. 2017, arXiv 1705.01359). In the steps that
two cores can do D alone teaches G no mouth; a loss by all words G satisfies by hiding the wording in the pictures' texture,
and without `encoder_noise` it draws patterns that mean something to this encoder alone.
"""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from ganzoo.base import rows, sentences
from ganzoo.errors import GanzooError, nearest
from ganzoo.layers import BatchNorm

# 70 symbols (1605.05395, as Zhang et al. 2015 have them); the hyphen stands twice there, too. Capitals count as small letters.
ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789-,;.!?:'\"/\\|_@#$%^&*~`+-=<>()[]{} "
SHORTEST = 66  # characters: the convolutions and poolings of the encoder leave one step of it
ENCODERS = ("char-cnn-rnn", "embedding")


def stages_of(image_size):
    stages = (image_size // 4).bit_length() - 1
    if stages < 2 or 4 * 2**stages != image_size:
        raise GanzooError(f"text-to-image doubles from 4x4, so image_size is 16, 32, 64, ...; received {image_size}.")
    return stages


def build_text_encoder(*, text_dim, encoder_width, text_length) -> keras.Model:
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
    for stage in range(1, stages_of(image_size) + 1):
        x = layers.Conv2D(width * min(2 ** (stage - 1), 4), 4, 2, "same", use_bias=False, name=f"down{stage}_conv")(x)
        x = layers.LeakyReLU(0.2, name=f"down{stage}_lrelu")(BatchNorm(name=f"down{stage}_norm")(x))
    x = layers.Flatten(name="flatten")(x)
    return keras.Model(image, layers.Dense(outputs, name="outputs", dtype="float32")(x), name=name)


def build_image_encoder(*, image_size, channels, text_dim, encoder_width) -> keras.Model:
    """Images (N, image_size, image_size, channels) in [-1, 1] -> v (N, text_dim), the other side of the joint embedding."""
    return _pyramid(image_size, channels, max(encoder_width // 4, 1), text_dim, "image_encoder")


def build_word_heads(*, text_dim, words) -> keras.Model:
    """[v (N, text_dim), phi(t) (N, text_dim)] -> logits (N, words) of each, by a linear layer of its own.

    Batch norm first: what all embeddings share tells no words apart.
    """
    sides = [keras.Input((text_dim,), name=name) for name in ("image", "text")]
    gains = keras.initializers.RandomNormal(1.0, 0.02)
    normed = [BatchNorm(gamma_initializer=gains, name=f"{x.name}_norm")(x) for x in sides]
    heads = [
        layers.Dense(words, name=f"{x.name}_words", dtype="float32")(y) for x, y in zip(sides, normed, strict=True)
    ]
    return keras.Model(sides, heads, name="word_heads")


def build_style_encoder(*, image_size, channels, latent_dim, width) -> keras.Model:
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


def joint_embedding(image, text, differ) -> tf.Tensor:
    """Symmetric structured joint embedding of v (B, E) and phi(t) (B, E); `differ` (B, B) says which pairs do not match."""
    scores = tf.matmul(image, text, transpose_b=True)  # F(v_i, t_j)
    right = tf.linalg.diag_part(scores)
    hinge = tf.nn.relu(1 + scores - right[:, None]) + tf.nn.relu(1 + scores - right[None, :])
    differ = tf.cast(differ, tf.float32)
    return tf.reduce_sum(hinge * differ) / tf.maximum(tf.reduce_sum(differ), 1.0)


def builders(encoder: str, words: int) -> dict:
    """The networks of an own encoder, trained with the model: name -> builder. Other encoders have none here."""
    if encoder != "char-cnn-rnn":
        return {}
    heads = {"word_heads": build_word_heads} if words else {}
    return {"text_encoder": build_text_encoder, "image_encoder": build_image_encoder} | heads


def check(*, encoder, encoder_width, text_length, words, match_weight, encoder_noise, **others) -> None:
    """Raises GanzooError for settings of a text encoder that there are not."""
    if encoder not in ENCODERS and not encoder.startswith("hub:"):
        raise GanzooError(f'There is no text encoder "{encoder}".{nearest(encoder, (*ENCODERS, "hub:PATH"))}')
    if encoder_width < 1:
        raise GanzooError(f"encoder_width is a width of at least 1; received {encoder_width}.")
    if text_length < SHORTEST:
        raise GanzooError(f"text_length is at least {SHORTEST} characters; received {text_length}.")
    if words < 0:
        raise GanzooError(f"words is a number of hash buckets, 0 for none; received {words}.")
    if match_weight < 0 or (match_weight and encoder == "char-cnn-rnn" and not words):
        raise GanzooError(
            f"match_weight is at least 0, and above 0 it needs words; received {match_weight} with words = {words}."
        )
    if encoder_noise < 0:
        raise GanzooError(f"encoder_noise is a deviation of at least 0; received {encoder_noise}.")


# ---- what a model with these networks does ---------------------------------------------------------------------------
def noisy(model, images: tf.Tensor) -> tf.Tensor:
    """Images (N, H, W, C) as the image encoder sees them while it trains and judges."""
    if not model.encoder_noise:
        return images
    count = tf.shape(images)[0]
    deviation = model.noise(tf.random.stateless_uniform, "e_deviation", count, [1, 1, 1]) * model.encoder_noise
    return images + deviation * model.noise(tf.random.stateless_normal, "e_noise", count, images.shape[1:])


def encoder_step(model, image: tf.Tensor, text: tf.Tensor) -> dict[str, tf.Tensor]:
    """Trains the encoders: the joint embedding's loss, that of the words, and how often a picture's nearest text is its own."""
    text = first_of(text)
    shown = characters(text, model.text_length)
    with tf.GradientTape() as tape:
        v, phi = model.image_encoder(noisy(model, image), training=True), model.text_encoder(shown, training=True)
        loss = joint_embedding(v, phi, text[:, None] != text[None, :])
        heads = model.word_heads([v, phi], training=True) if model.words else ()
        of_words = tf.add_n([word_entropy(text, logits) for logits in heads] or [tf.constant(0.0)])
        total = loss + of_words
    model.minimize(tape, total, "e_optimizer")
    best = tf.argmax(tf.matmul(v, phi, transpose_b=True), axis=1)
    matched = tf.reduce_mean(tf.cast(tf.gather(text, best) == text, tf.float32))
    return {"e_loss": loss, "word_loss": of_words, "matched": matched}


def match_loss(model, images: tf.Tensor, texts: tf.Tensor, foils: tf.Tensor) -> tf.Tensor:
    """-log of the odds at which the frozen image encoder reads strings (N,), not their foils, in images (N, H, W, C)."""
    v = model.image_encoder(noisy(model, images), training=False)
    return foil_entropy(texts, foils, model.word_heads([v, v], training=False)[0])


def embed(model, texts: tf.Tensor) -> tf.Tensor:
    """float32 phi (N, text_dim) of strings (N,), inside a graph; of (N, K), several texts an image, the mean of K."""
    if model.encoder == "embedding":
        return texts if texts.shape.rank == 2 else tf.reduce_mean(texts, axis=1)
    flat = tf.reshape(texts, [-1])
    if model.handle is not None:
        found = model.handle(flat)
    else:
        count, (shown,) = rows.or_one_row(characters(flat, model.text_length))
        found = model.text_encoder(shown, training=False)[:count]
    found = tf.reshape(tf.cast(found, tf.float32), [-1, model.text_dim])
    if texts.shape.rank == 1:
        return found
    return tf.reduce_mean(tf.reshape(found, [tf.shape(texts)[0], -1, model.text_dim]), axis=1)


def embeddings(model, texts) -> tf.Tensor:
    """float32 phi (n, text_dim) of one text or a list of them; arrays of embeddings are checked and kept.

    Raises:
        GanzooError: no text, an empty one, or something else than text.
    """
    if not isinstance(texts, str) and sentences.is_numeric(texts):
        return rows.finite_rows(texts, "embeddings", (model.text_dim,))
    texts = sentences.checked(texts, *((model.text_length, ALPHABET) if model.encoder == "char-cnn-rnn" else ()))
    if model.encoder == "embedding":
        raise GanzooError(
            f"This model reads no text: it was built for embeddings of {model.text_dim} numbers, made elsewhere. Give "
            "them as an array (n, text_dim)."
        )
    run = model.cached("embed", lambda: rows.graph_of(model.embed, [tf.TensorSpec([None], tf.string)]))
    chunk = rows.CHUNK  # of one size, filled up: a text's embedding must not depend on its neighbours
    padded = texts + [" "] * (-len(texts) % chunk)
    return tf.concat([run(padded[i : i + chunk]) for i in range(0, len(padded), chunk)], axis=0)[: len(texts)]


def encode_endpoint(model) -> tuple:
    """The text encoder as an endpoint without strings."""

    def encode(characters):
        """One-hot characters (N, text_length, 70) -> float32 embeddings (N, text_dim)."""
        return {"embedding": model.text_encoder(characters, training=False)}

    shape = [None, model.text_length, len(ALPHABET)]
    return encode, {"characters": tf.TensorSpec(shape, tf.float32, name="characters")}
