"""Text-to-image between and next to sentences: the paper's figures 6 to 8, of any loaded text model.

    explore.between(model, ["a girl with long pink hair", "a man with short black hair"], steps=8)    # figure 8, left
    explore.between(model, "a girl with glasses", seeds=[0, 1], steps=8)                              # figure 8, right
    s = explore.train_style_encoder(model, sentences, steps=2000)                                     # section 4.4
    explore.restyle(model, s, pictures, sentences)                                                    # figure 6

Reed et al. 2016, arXiv 1605.05396. S learns to invert the generator, L = E |z - S(G(z, phi(t)))|^2; a picture's style s = S(x)
then stands instead of z, and G(s, phi(t)) shows the text in this style.
"""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from ganzoo.base import pixels
from ganzoo.base.rows import in_chunks, latents_of, row_seeds
from ganzoo.errors import GanzooError
from ganzoo.explore.spaces import slerp

BATCH = 32
RATE = 1e-3


def between(model, texts, *, steps: int = 8, seed: int = 0, seeds: Sequence[int] | None = None) -> np.ndarray:
    """uint8 (ways, steps, H, W, C): from each sentence to the next one in a straight line of embeddings, noise fixed; or,
    of one sentence, from the noise of each of `seeds` to the next along an arc.

    Raises:
        GanzooError: a model that reads no text, fewer than two ends.
    """
    _reads_text(model)
    if not isinstance(steps, int) or steps < 2:
        raise GanzooError(f"steps is a whole number of at least 2; received {steps!r}.")
    text = model.embeddings(texts).numpy()
    noise = np.concatenate([latents_of(model, row_seeds(s, 1)) for s in seeds or [seed]])
    if max(len(text), len(noise)) < 2 or (len(text) > 1 and len(noise) > 1):
        raise GanzooError(
            f"A way leads between two or more sentences, or between two or more seeds of one sentence; received {len(text)} "
            f"sentence(s) and {len(noise)} seed(s)."
        )
    rows, shares = [], np.linspace(0, 1, steps)
    for i in range(max(len(text), len(noise)) - 1):
        if len(text) > 1:
            ends = np.stack([(1 - t) * text[i] + t * text[i + 1] for t in shares])
            rows.append(model.generate(ends.astype(np.float32), latents=np.repeat(noise, steps, axis=0)))
        else:
            points = np.stack([slerp(noise[i], noise[i + 1], t) for t in shares])
            rows.append(model.generate(np.repeat(text, steps, axis=0), latents=points))
    return np.stack(rows)


def train_style_encoder(model, texts, *, steps: int = 2000, seed: int = 0, width: int = 32) -> keras.Model:
    """S: images (N, H, W, C) in [-1, 1] -> z (N, latent_dim), trained on the model's own pictures of `texts`."""
    _reads_text(model)
    if not isinstance(steps, int) or steps < 1:
        raise GanzooError(f"steps is a whole number of at least 1; received {steps!r}.")
    text = model.embeddings(texts)
    keras.utils.set_random_seed(seed % 2**32)
    style = model.style_encoder(width)
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(RATE, steps))
    optimizer.build(style.trainable_variables)

    @tf.function
    def step(number):
        key = tf.stack([tf.constant(seed & 0x7FFFFFFF, tf.int32), number])
        z = tf.random.stateless_normal([BATCH, model.latent_dim], key)
        rows = tf.random.stateless_uniform([BATCH], key, 0, tf.shape(text)[0], tf.int32)
        made = model.images_of(z, tf.gather(text, rows))
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.reduce_sum(tf.square(z - style(made, training=True)), axis=1))
        variables = style.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, [v.value for v in variables]), variables, strict=True))

    for number in range(steps):
        step(tf.constant(number, tf.int32))
    return style


def restyle(model, style: keras.Model, images, texts) -> np.ndarray:
    """uint8 (pictures, sentences, H, W, C): each sentence in the style (pose, background) of each picture.

    Args:
        style: of `train_style_encoder`.
        images: uint8 (N, H, W, C), or floats in [-1, 1], of the model's size.
    """
    _reads_text(model)
    x, text = pixels.images_in(images, model.channels), model.embeddings(texts)
    size = (model.image_size, model.image_size)
    if tuple(x.shape[1:3]) != size:
        raise GanzooError(f"The style encoder reads pictures of {size[0]} x {size[1]} pixels; received {x.shape[1:3]}.")
    z = in_chunks(lambda rows: style(rows, training=False), x)
    made = model.generate(np.tile(text, (len(z), 1)), latents=np.repeat(z, len(text), axis=0))
    return made.reshape(len(z), len(text), *made.shape[1:])


def _reads_text(model) -> None:
    if model.task != "text":
        raise GanzooError(f"{model.full_name} reads no text: sentences are for text-to-image.")
