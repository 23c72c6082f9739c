"""Projection: the point of a latent space whose picture is nearest to a given one (as the projector of Karras et al. 2020,
arXiv 1912.04958, appendix D, with several starts in place of its noise, and features that need no download).

The distance is a feature pyramid: at each of the sizes s, s/2, s/4, ... >= 4 the mean absolute difference of colours and
of their horizontal and vertical steps (edges). Adam moves the points in units of the space's own spread; outside the
sphere that holds the samples, a penalty pulls them back, so that the result is one that the generator knows.
"""

import math
import time
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from ganzoo.base import rows
from ganzoo.errors import GanzooError
from ganzoo.explore.spaces import open_space
from ganzoo.media import images

CANDIDATES = 512  # samples, of which the nearest are the starts
SMALLEST = 4  # side of the coarsest level of the pyramid
PRIOR = 0.1  # weight of the pull back to the sphere
RATE = 0.1  # Adam's step in standard deviations, as in the paper
WARM, COOL = 0.05, 0.5  # shares of the steps in which the rate rises and falls
LEAK = 0.1  # weight of what a generator without tanh makes beyond [-1, 1]: it is not seen, but must find its way back
FRAMES = 60  # pictures of the way that are kept, about


@dataclass(frozen=True)
class Projection:
    """What `project` found.

    Attributes:
        space: "z" or "w".
        latent: float32 (d,), a point of that space.
        target, start, result: uint8 (H, W, C): the picture as the model could show it, the nearest sample, the projection.
        losses: pyramid distance of the result's start after 0, 1, ... steps.
        frames: uint8 (n, H, W, C), the way from start to result.
        distances: pyramid distance and mean absolute pixel difference (0..1) of start and result.
        seconds: of the search.
    """

    space: str
    latent: np.ndarray
    target: np.ndarray
    start: np.ndarray
    result: np.ndarray
    losses: list[float]
    frames: np.ndarray
    distances: dict[str, float]
    seconds: float


def pyramid(pictures: tf.Tensor) -> list[tf.Tensor]:
    """Features of float images (N, H, W, C): colours, and steps between neighbours, at each size down to 4."""
    levels = []
    while True:
        x = pictures
        levels += [x, x[:, 1:] - x[:, :-1], x[:, :, 1:] - x[:, :, :-1]]
        if min(x.shape[1:3]) < 2 * SMALLEST:
            return levels
        pictures = tf.nn.avg_pool2d(x, 2, 2, "VALID")


def distance(a: list[tf.Tensor], b: list[tf.Tensor]) -> tf.Tensor:
    """(N,): mean over the features of two pyramids of their mean absolute difference; rows of `b` may be one for all."""
    parts = [tf.reduce_mean(tf.abs(x - y), axis=[1, 2, 3]) for x, y in zip(a, b, strict=True)]
    return tf.add_n(parts) / len(parts)


def project(model, picture: np.ndarray, *, steps=300, starts=8, seed=0, fit="crop", label=None) -> Projection:
    """Finds the point of w, where the model has styles, else of z, whose picture is nearest to the given one.

    The `starts` nearest of 512 samples of `seed` are moved `steps` times; the nearest of them at the end is the result.
    The same arguments give the same result.

    Args:
        model: any latent model.
        picture: uint8 (h, w, 1 or 3), fitted to the model's size ("crop", "pad" or "stretch") and channels first.
        label: class of a conditional model.

    Raises:
        GanzooError: steps or starts out of range, something that is not a picture, or a model that starts from pictures.
    """
    space = open_space(model, prefer="w", label=label)
    if model.makes != "pictures":
        raise GanzooError(f"{model.full_name} makes shapes, and a picture cannot be looked for among them.")
    if not isinstance(steps, int) or steps < 1:
        raise GanzooError(f"steps is a whole number of at least 1; received {steps!r}.")
    if not isinstance(starts, int) or not 1 <= starts <= CANDIDATES:
        raise GanzooError(f"starts is a whole number of 1 to {CANDIDATES}; received {starts!r}.")
    began = time.perf_counter()
    height, _, channels = model.batch_signature()["image"].shape[1:]
    target = images.to_channels(images.fit_image(picture, height, fit), channels)
    goal = pyramid(tf.constant(images.to_float(target)[None]))
    mean, spread = space.samples.mean(axis=0), np.maximum(space.samples.std(axis=0), 1e-6)

    @tf.function(autograph=False)
    def measure(points):
        return distance(pyramid(tf.clip_by_value(space.images_of(points), -1.0, 1.0)), goal)

    @tf.function(autograph=False)
    def slope(units):
        with tf.GradientTape() as tape:
            tape.watch(units)
            made = space.images_of(mean + spread * units)
            shown = tf.clip_by_value(made, -1.0, 1.0)
            outside = tf.nn.relu(tf.reduce_mean(units**2, axis=1) - 1.0)  # of the sphere
            far = distance(pyramid(shown + LEAK * (made - shown)), goal)
            loss = tf.reduce_sum(far + PRIOR * outside**2)  # a sum: each start is a search of its own
        return distance(pyramid(shown), goal), tape.gradient(loss, units)

    drawn = space.draw(seed, np.arange(CANDIDATES))
    chunks = [measure(drawn[i : i + rows.CHUNK]).numpy() for i in range(0, CANDIDATES, rows.CHUNK)]
    nearest = np.argsort(np.concatenate(chunks), kind="stable")[:starts]
    units = keras.Variable((drawn[nearest] - mean) / spread, trainable=True, name="units")
    adam = keras.optimizers.Adam(RATE)
    adam.build([units])
    history, way = [], []
    for step in range(steps + 1):
        far, gradient = slope(units.value)
        history.append(far.numpy())
        if step % math.ceil(steps / FRAMES) == 0 or step == steps:
            way.append(units.numpy())
        if step < steps:
            adam.learning_rate = RATE * pace((step + 1) / steps)
            adam.apply([gradient], [units])
    best = int(history[-1].argmin())
    points = mean + spread * np.stack(way)[:, best]
    frames = space.pictures(points)
    pixels = [float(np.abs(f.astype(float) - target).mean() / 255) for f in (frames[0], frames[-1])]
    losses = [float(far[best]) for far in history]
    return Projection(
        space=space.name,
        latent=points[-1],
        target=target,
        start=frames[0],
        result=frames[-1],
        losses=losses,
        frames=frames,
        distances={"start": losses[0], "result": losses[-1], "start_l1": pixels[0], "result_l1": pixels[1]},
        seconds=round(time.perf_counter() - began, 1),
    )


def pace(share: float) -> float:
    """The rate at a share of the steps: a linear rise, then level, then half a cosine down to 0 at the end."""
    return min(share / WARM, 1.0) * (0.5 - 0.5 * math.cos(math.pi * min(1.0, (1.0 - share) / COOL)))
