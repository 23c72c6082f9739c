"""Augmentation of what D sees, for small data: DiffAugment, and the controller of ADA.

DiffAugment: Zhao, Liu, Lin, Zhu, Han 2020, arXiv 2006.10738; code github.com/mit-han-lab/data-efficient-gans. Reals and
fakes go to D through the same random transformations T, in D's step and in G's; T is differentiable, so that G learns
through it and draws pictures without T. Images are in [-1, 1], and what a transformation uncovers is 0.

| policy | transformations, one draw an image |
|---|---|
| color | brightness + U(-0.5, 0.5); saturation x U(0, 2) about the pixel's mean; contrast x U(0.5, 1.5) about the image's |
| translation | up to an eighth of the size in whole pixels, both ways |
| cutout | a square of half the size set to 0, its centre anywhere |

ADA: Karras et al. 2020, arXiv 2006.06676, section 3: each transformation with a chance p, which rises while D is surer of
the training set than `target` says and falls otherwise (`adjusted`). ADA's own eighteen transformations are not offered:
the controller drives DiffAugment's.

Pure functions of given random numbers, and `Augmenter`, which keeps p for a model.
"""

from collections.abc import Callable

import keras
import tensorflow as tf

from ganzoo.errors import GanzooError, nearest

INTERVAL = 4  # steps between two adjustments of p (2006.06676, section 3)


def _brightness(images, numbers, on):
    return images + on * (numbers[0] - 0.5)


# x + (x - mean) (factor - 1) and not (x - mean) factor + mean: without a transformation that is x itself, not to rounding.
def _saturation(images, numbers, on):
    mean = tf.reduce_mean(images, axis=3, keepdims=True)
    return images + (images - mean) * (on * (2 * numbers[0] - 1))


def _contrast(images, numbers, on):
    mean = tf.reduce_mean(images, axis=[1, 2, 3], keepdims=True)
    return images + (images - mean) * (on * (numbers[0] - 0.5))


def _translation(images, numbers, on):
    for axis, number in zip((1, 2), numbers, strict=True):
        size = _side(images, axis)
        most = (size + 4) // 8
        shift = tf.cast(on, tf.int32) * (_whole(number, 2 * most + 1) - most)
        places = tf.range(size)[None] + tf.reshape(shift, [-1, 1]) + 1
        padded = tf.pad(images, [[0, 0], *([1, 1] if a == axis else [0, 0] for a in (1, 2)), [0, 0]])
        images = tf.gather(padded, tf.clip_by_value(places, 0, size + 1), axis=axis, batch_dims=1)
    return images


def _cutout(images, numbers, on):
    inside = on
    for axis, number in zip((1, 2), numbers, strict=True):
        size = _side(images, axis)
        hole = (size + 1) // 2
        first = _whole(number, size + 1 - hole % 2) - hole // 2
        places = tf.reshape(tf.range(size), [1, -1, 1, 1] if axis == 1 else [1, 1, -1, 1])
        inside *= tf.cast((places >= first) & (places < first + hole), images.dtype)
    return images * (1 - inside)


def _side(images, axis):
    """A number where the graph knows it, else a tensor."""
    return tf.shape(images)[axis] if images.shape[axis] is None else images.shape[axis]


def _whole(number, bound):
    """U[0, 1) as whole numbers 0 ... bound - 1."""
    return tf.cast(tf.floor(tf.cast(number, tf.float32) * tf.cast(bound, tf.float32)), tf.int32)


# policy -> (transformation, random numbers that it takes besides the one that switches it on)
POLICIES = {
    "color": ((_brightness, 1), (_saturation, 1), (_contrast, 1)),
    "translation": ((_translation, 2),),
    "cutout": ((_cutout, 2),),
}


def steps_of(policy: str) -> list:
    """The transformations of "color,translation,cutout" or a part of it, in the order given; none of "".

    Raises:
        GanzooError: an unknown name.
    """
    steps: list[tuple[Callable, int]] = []
    for name in filter(None, (part.strip() for part in policy.split(","))):
        if name not in POLICIES:
            raise GanzooError(
                f'There is no augmentation "{name}"; accepted: {", ".join(POLICIES)}, joined by commas.'
                f"{nearest(name, POLICIES)}"
            )
        steps += POLICIES[name]
    return steps


def width(policy: str) -> int:
    """Random numbers that `diff_augment` takes for an image."""
    return sum(1 + count for _, count in steps_of(policy))


def diff_augment(images: tf.Tensor, numbers: tf.Tensor, policy: str, p=1.0) -> tf.Tensor:
    """The images, each with its own draw of the policy's transformations.

    Args:
        images: float (N, H, W, C) in [-1, 1]. The result is not clipped.
        numbers: (N, width(policy)) uniform in [0, 1).
        policy: as for `steps_of`.
        p: chance of each transformation of each image; 1 always applies them (DiffAugment), 0 gives the images as they are.
    """
    columns = [tf.reshape(tf.cast(c, images.dtype), [-1, 1, 1, 1]) for c in tf.unstack(numbers, axis=1)]
    for transform, count in steps_of(policy):
        switch, *drawn = columns[: 1 + count]
        columns = columns[1 + count :]
        images = transform(images, drawn, tf.cast(switch < tf.cast(p, images.dtype), images.dtype))
    return images


def adjusted(p, sign, images, *, target=0.6, span=500_000) -> tf.Tensor:
    """ADA's p after `images` more images: a fixed step up if `sign` is above the target, down if below, not below
    0. Above 1, where all transformations are certain, it goes on, as in the official code: the way back is as long.

    Args:
        sign: r_t = mean sign(D(real)), 1 where D knows every training image, 0 where it knows nothing.
        span: images in which p goes from 0 to 1 at most.
    """
    step = tf.cast(images, tf.float32) / span
    return tf.maximum(p + tf.sign(sign - target) * step, 0.0)


class Augmenter:
    """A model's augmentation: its policy, and with a target the chance p, which is state of the training.

    Args:
        policy: as for `steps_of`; "" leaves all images as they are.
        target: of ADA's controller, 0.6 in 2006.06676, p from 0 on; 0 for DiffAugment, which always applies the policy.
        span: images in which p goes from 0 to 1 at most.

    Raises:
        GanzooError: an unknown policy, a number out of range, or a target for no policy.
    """

    def __init__(self, policy: str = "", target: float = 0.0, span: int = 500_000):
        if not (0 <= target < 1 and span >= 1) or (target and not steps_of(policy)):
            raise GanzooError(
                "ada_target must be in [0, 1), 0 for off, and needs an `augment` to control; ada_images is at least 1; "
                f"received {target}, {policy!r}, {span}."
            )
        self.columns = width(policy)  # refuses an unknown name
        self.policy, self.target, self.span = policy, target, span
        if target:
            kept = {"trainable": False, "dtype": "float32"}
            self.p = keras.Variable(0.0, aggregation="only_first_replica", name="augment_p", **kept)
            # Of the steps since p was last adjusted; replicas see different rows.
            self.signs = keras.Variable(0.0, aggregation="mean", name="augment_signs", **kept)

    def state(self) -> dict[str, keras.Variable]:
        """What a checkpoint keeps."""
        return {"augment_p": self.p, "augment_signs": self.signs} if self.target else {}

    def logs(self) -> dict[str, tf.Tensor]:
        """What a step says of it."""
        return {"augment_p": self.p.value} if self.target else {}

    def view(self, draw: Callable[[int], tf.Tensor]) -> Callable[[tf.Tensor], tf.Tensor]:
        """A function that augments images, alike at every call; `draw(columns)` gives their numbers, U[0, 1) (N, columns)."""
        if not self.columns:
            return lambda images: images
        numbers, p = draw(self.columns), self.p.value if self.target else 1.0
        return lambda images: diff_augment(images, numbers, self.policy, p)

    def adapt(self, real_logits: tf.Tensor, step: tf.Tensor) -> None:
        """Every few steps moves p towards the target of mean sign(D(real)); nothing without a target."""
        if not self.target:
            return
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        self.signs.assign(self.signs.value + tf.reduce_mean(tf.sign(real_logits)))
        images = INTERVAL * replicas * tf.shape(real_logits)[0]
        p = adjusted(self.p.value, self.signs.value / INTERVAL, images, target=self.target, span=self.span)
        due = tf.equal((step + 1) % INTERVAL, 0)
        self.p.assign(tf.where(due, p, self.p.value))
        self.signs.assign(tf.where(due, 0.0, self.signs.value))
