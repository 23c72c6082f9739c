"""Task shape "masks": pictures and what is missing of them, {"image": (B, H, W, C), "mask": (B, H, W, 1)}, 1 in the hole
and -1 elsewhere.

Masks lie next to the pictures (`images/x.png` with `masks/x.png`, or `x.png` with `x_mask.png`; white is the hole), or
there are pictures alone, and `drawn` draws one random shape for each batch.
"""

import re
from dataclasses import replace

import tensorflow as tf

from ganzoo.data.images import IMAGES, image_layout
from ganzoo.data.sources.layouts import Item, Layout, place, stem
from ganzoo.data.task_shapes import Parts, pipeline
from ganzoo.media.images import ImageError, to_channels

SUFFIX = re.compile(r"[-_ ]masks?$", re.IGNORECASE)
FOLDERS = {"mask": True, "masks": True, "image": False, "images": False}
# train_random.lua: uniform noise of 600x600, enlarged to 10,000x10,000 by a bicubic kernel; below 0.25 is missing, and
# squares of it are tried until between 20 and 30 % of one are.
CELL, DENSITY, SHARE, TRIES = 10_000 / 600, 0.25, (0.20, 0.30), 64


def drawn(size: int, seed: tf.Tensor) -> tf.Tensor:
    """float32 (size, size, 1), 1 in the hole and -1 elsewhere: a random shape of 20 to 30 %, of a stateless seed (2,).

    Of 64 squares of noise the first one with such a share; where there is none, the one nearest to a quarter.
    """
    cells = int(size / CELL) + 6  # a cell for the place of the square, and the reach of the kernel on each side
    seeds = tf.random.experimental.stateless_split(seed, 2)
    noise = tf.random.stateless_uniform([TRIES, cells, cells, 1], seeds[0])
    side = round(cells * CELL)
    large = tf.image.resize(noise, [side, side], "bicubic")
    slack = side - size - 2 * round(2 * CELL)
    places = round(2 * CELL) + tf.random.stateless_uniform([TRIES, 2], seeds[1], 0, slack + 1, tf.int32)
    rows, columns = (places[:, axis, None] + tf.range(size) for axis in (0, 1))
    squares = tf.gather(tf.gather(large, rows, axis=1, batch_dims=1), columns, axis=2, batch_dims=1) < DENSITY
    share = tf.reduce_mean(tf.cast(squares, tf.float32), axis=[1, 2, 3])
    fits = tf.logical_and(share > SHARE[0], share < SHARE[1])
    nearest = tf.argmin(tf.abs(share - sum(SHARE) / 2))
    chosen = tf.where(tf.reduce_any(fits), tf.argmax(tf.cast(fits, tf.int32)), nearest)
    return tf.where(squares[chosen], 1.0, -1.0)


def mask_layout(names: list[str]) -> Layout:
    """The pictures among the names, each with its mask; without any mask all of them alone."""
    placed, problems = place(names)
    found: dict[tuple[str, str], dict[bool, str]] = {}
    for name, (split, rest) in placed.items():
        is_mask, key = _role(rest)
        both = found.setdefault((split, key), {})
        if is_mask in both:
            problems.append((name, "duplicate", f"has the same name as {both[is_mask]}"))
        else:
            both[is_mask] = name
    if not any(True in both for both in found.values()):
        return image_layout(names)
    items = []
    for (split, key), both in found.items():
        if len(both) == 2:
            items.append(Item(key, (both[False], both[True]), split))
        else:
            missing = "picture" if True in both else "mask"
            problems.append((next(iter(both.values())), "unmatched", f"has no {missing}"))
    return Layout("masks", sorted(items, key=lambda i: (i.split, i.id)), problems)


def _role(path: str) -> tuple[bool, str]:
    """Whether a file is a mask by its name, and what it has in common with its picture."""
    *folders, name = path.split("/")
    own = stem(name)
    is_mask = bool(SUFFIX.search(own)) or any(FOLDERS.get(folder.lower()) for folder in folders)
    return is_mask, "/".join([*(f for f in folders if f.lower() not in FOLDERS), SUFFIX.sub("", own)])


def mask_parts(pictures: Parts, files: tuple[str, ...], fit: str) -> Parts:
    """(picture,) or (picture, mask); raises `ImageError` (kind unmatched) where these are not of one size."""
    if len(pictures) == 1:
        return pictures
    (ha, wa, _), (hb, wb, _) = (p.shape for p in pictures)
    if (ha, wa) != (hb, wb):
        raise ImageError(f"{files[0]} is {wa} x {ha}, its mask {files[1]} is {wb} x {hb}: not one size.", "unmatched")
    return pictures[0], to_channels(pictures[1], 1)


MASKS = pipeline(
    replace(
        IMAGES,
        name="masks",
        layouts="pictures alone, folders images/ and masks/ with equal file names, or files named name and name_mask",
        layout=mask_layout,
        parts=mask_parts,
    )
)
