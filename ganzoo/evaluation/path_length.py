"""Perceptual path length of a latent model: how far its pictures move on a small step between two latents.

Karras et al. 2019 (arXiv 1812.04948, section 4.1) use the LPIPS distance of VGG, which is not to be had offline: here it
is the squared distance of an extractor's features, whose name is in the protocol. Between normal latents the path
is spherical, between others straight, in z. The pictures stay float32 all the way: eight bits would hide the step.
"""

import numpy as np
import tensorflow as tf

from ganzoo import metrics
from ganzoo.base import pixels
from ganzoo.base.rows import latents_of, row_seeds
from ganzoo.evaluation.scores import Score
from ganzoo.metrics.features.resize import METHODS

EPSILON = 1e-4  # of the paper; float32 bears it: 1e-5 gives the same (tests), while 1e-1 cuts corners
ROWS = 32


def perceptual_path_length(model, extractor, n: int, seed: int, labels=None) -> Score:
    """Mean and std over `n` pairs, a step of `EPSILON` apart at a random place of random paths (floats; -1 to 1).

    `labels`: of a model with classes, those of the training set, of which each path takes one.
    """
    lengths = path_features(model, extractor, n, seed, EPSILON, labels)
    mean, std = metrics.path_length(*lengths, EPSILON)
    kind = "spherical" if spherical(model) else "straight"
    return Score(
        mean, n=n, note=f"std over the pairs {std:.3g}, epsilon {EPSILON:g}, {kind} paths in z, pictures in float"
    )


def path_features(model, extractor, n: int, seed: int, epsilon: float, labels=None) -> tuple[np.ndarray, np.ndarray]:
    """float32 (n, D) twice: features at t and at t + epsilon of `n` paths, which depend on the seed alone."""
    ends = latents_of(model, row_seeds(seed, 2 * n))
    first, second = ends[:n], ends[n:]
    t = tf.random.stateless_uniform([n, 1], [seed & 0x7FFFFFFF, 1])
    between = slerp if spherical(model) else lerp
    network = extractor.network
    given = () if labels is None else (tf.constant(np.random.default_rng(seed).choice(labels, n)),)
    seen = tf.function(lambda *z: network.forward(_prepared(model.images_of(*z), extractor, network))[0])
    rows: list[list[np.ndarray]] = [[], []]
    for start in range(0, n, ROWS):
        part = slice(start, start + ROWS)
        for out, place in zip(rows, (t[part], t[part] + epsilon), strict=True):
            out.append(seen(between(first[part], second[part], place), *(y[part] for y in given)).numpy())
    return np.concatenate(rows[0]), np.concatenate(rows[1])


def spherical(model) -> bool:
    """Whether the latents are normal: their mass lies on a sphere."""
    return model.latent_distribution == "normal"


def lerp(a: tf.Tensor, b: tf.Tensor, t: tf.Tensor) -> tf.Tensor:
    """The straight path from rows a to rows b."""
    return a + (b - a) * t


def slerp(a: tf.Tensor, b: tf.Tensor, t: tf.Tensor) -> tf.Tensor:
    """The path on the sphere from rows a to rows b; their lengths are interpolated as their directions are."""
    a, b, t = (tf.cast(x, tf.float64) for x in (a, b, t))
    cosine = tf.reduce_sum(tf.math.l2_normalize(a, axis=1) * tf.math.l2_normalize(b, axis=1), axis=1, keepdims=True)
    angle = tf.acos(tf.clip_by_value(cosine, -1.0, 1.0))
    path = (tf.sin((1 - t) * angle) * a + tf.sin(t * angle) * b) / tf.maximum(tf.sin(angle), 1e-12)
    return tf.cast(path, tf.float32)


def _prepared(images: tf.Tensor, extractor, network) -> tf.Tensor:
    """Floats in [-1, 1] as the extractor's network takes them, in 0..255, resized without rounding."""
    images = pixels.to_channels((images + 1) * 127.5, network.channels)
    margin = (images.shape[1] - network.size) // 2
    if extractor.resize != "none":
        return tf.image.resize(images, [network.size, network.size], METHODS[extractor.resize], antialias=True)
    return images[:, margin:-margin, margin:-margin] if margin else images
