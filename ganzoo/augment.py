"""Augmentation of what D sees, for small data: DiffAugment, and the controller of ADA.

DiffAugment: Zhao, Liu, Lin, Zhu, Han 2020, arXiv 2006.10738; code github.com/mit-han-lab/data-efficient-gans. Reals and
fakes go to D through the same random transformations T, in D's step and in G's; T is differentiable, so that G learns
through it and draws pictures without T. Images lie in [-1, 1], and what a transformation uncovers is 0.

| policy | transformations, one draw an image |
|---|---|
| color | brightness + U(-0.5, 0.5); saturation x U(0, 2) about the pixel's mean; contrast x U(0.5, 1.5) about the image's |
| translation | up to an eighth of the size in whole pixels, both ways |
| cutout | a square of half the size set to 0, its centre anywhere |

ADA: Karras et al. 2020, arXiv 2006.06676, section 3: each transformation with a chance p, which rises while D is surer of
the training set than `target` says and falls otherwise (`adjusted`). ADA's own eighteen transformations are not offered:
the controller drives DiffAugment's.

Pure functions of given random numbers: whoever calls draws them (`BaseGAN.noise`) and keeps p.
"""

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
        size = images.shape[axis]
        most = int(size / 8 + 0.5)
        shift = tf.cast(on, tf.int32) * (_whole(number, 2 * most + 1) - most)
        places = tf.range(size)[None] + tf.reshape(shift, [-1, 1]) + 1
        padded = tf.pad(images, [[0, 0], *([1, 1] if a == axis else [0, 0] for a in (1, 2)), [0, 0]])
        images = tf.gather(padded, tf.clip_by_value(places, 0, size + 1), axis=axis, batch_dims=1)
    return images


def _cutout(images, numbers, on):
    inside = on
    for axis, number in zip((1, 2), numbers, strict=True):
        size = images.shape[axis]
        hole = int(size / 2 + 0.5)
        first = _whole(number, size + 1 - hole % 2) - hole // 2
        places = tf.reshape(tf.range(size), [1, -1, 1, 1] if axis == 1 else [1, 1, -1, 1])
        inside *= tf.cast((places >= first) & (places < first + hole), images.dtype)
    return images * (1 - inside)


def _whole(number, bound):
    """U[0, 1) as whole numbers 0 ... bound - 1."""
    return tf.cast(tf.floor(tf.cast(number, tf.float32) * bound), tf.int32)


# policy -> (transformation, random numbers that it takes beside the one that switches it on)
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
    steps = []
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
        images: float (N, H, W, C) in [-1, 1]; H, W and C are known. The result is not clipped.
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
    """ADA's p after `images` more images: a fixed step up if `sign` is above the target, down if below; in [0, 1].

    Args:
        sign: r_t = mean sign(D(real)), 1 where D knows every training image, 0 where it knows nothing.
        span: images in which p goes from 0 to 1 at most.
    """
    step = tf.cast(images, tf.float32) / span
    return tf.clip_by_value(p + tf.sign(sign - target) * step, 0.0, 1.0)
