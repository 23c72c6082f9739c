"""What papers share that fill holes of pictures of any size by a network of one size: crops around the hole, the order in
which a larger hole is worked off, masks in and out, serving."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from ganzoo.base import pixels
from ganzoo.errors import GanzooError

LEVELS = 12  # halvings of the picture whose means stand for what is not known yet
SMALL = "A picture to fill is at least as wide and as high as the crops that the network sees; it is smaller: "
UNEQUAL = "The mask has another size than the picture: "
NOTHING = "The mask marks no pixel to fill; white is the hole."
ALL = "The mask marks the whole picture; what is filled follows from what is known."


def fill(network: Callable, image: tf.Tensor, mask: tf.Tensor, *, size: int, hole: int, band: int) -> tf.Tensor:
    """The image with its masked pixels made by `network`; all others stay, bit for bit.

    A hole that fits into the network's is the centre of one crop. Of a larger one, parts are filled one after the other:
    next is always a part of at least a quarter of the network's hole (or what is left) around which least is unknown, and
    so it is worked off from the rim inwards. What is not known yet shows the mean colour of what is near, what lies beyond
    the edges of the picture its mirror image.

    Args:
        network: (crop (1, size, size, C), bool (1, size, size, 1) of what it is to fill) -> the crop as the network makes
            it, of which only that is taken, and the band.
        image: float32 (H, W, C), both sides at least `size`.
        mask: bool (H, W).
        hole: side of the square in the middle of a crop that is filled at once.
        band: pixels around that square which the network makes too, over which it fades into parts made before.
    """
    window = _around(mask, size)
    seen, missing = image[window], mask[window]
    pad = [[size // 2, size // 2]] * 2
    canvas = tf.pad(_means(seen, missing), [*pad, [0, 0]], "SYMMETRIC")
    wanted = tf.pad(missing, pad)
    fading = _fading(size, hole, band)

    def step(canvas, left):
        y, x = _next(left, size, hole)
        crop = canvas[y : y + size, x : x + size]
        now, given = left[y : y + size, x : x + size], wanted[y : y + size, x : x + size]
        inside = _square(size, hole)
        made = network(crop[None], (inside & now)[None, ..., None])[0]
        weight = tf.where(inside & now, 1.0, tf.where(given & ~now, fading, 0.0))[..., None]
        mixed = tf.where(weight == 1, made, tf.where(weight == 0, crop, crop + weight * (made - crop)))
        return _put(canvas, mixed, y, x), _put(left, now & ~inside, y, x)

    shapes = (tf.TensorShape([None, None, image.shape[-1]]), tf.TensorShape([None, None]))
    canvas, _ = tf.while_loop(
        lambda canvas, left: tf.reduce_any(left),
        step,
        (canvas, wanted),
        shape_invariants=shapes,
        maximum_iterations=10_000,
    )
    half = size // 2
    return _put(
        image, tf.where(missing[..., None], canvas[half:-half, half:-half], seen), window[0].start, window[1].start
    )


def _around(mask: tf.Tensor, margin: int) -> tuple[slice, slice]:
    """The rows and columns of the mask with `margin` pixels on each side, as far as there are such."""
    slices = []
    for axis in (1, 0):
        places = tf.where(tf.reduce_any(mask, axis=axis))[:, 0]
        first, last = tf.reduce_min(places, 0), tf.reduce_max(places, 0)
        side = tf.cast(tf.shape(mask)[1 - axis], tf.int64)
        first, last = (
            tf.maximum(tf.minimum(first, side - 1) - margin, 0),
            tf.minimum(tf.maximum(last, 0) + margin + 1, side),
        )
        slices.append(slice(tf.cast(first, tf.int32), tf.cast(last, tf.int32)))
    rows, columns = slices
    return rows, columns


def _put(image: tf.Tensor, part: tf.Tensor, y, x) -> tf.Tensor:
    """The image with a part instead of its pixels from (y, x) on."""
    height, width = tf.shape(part)[0], tf.shape(part)[1]
    middle = tf.concat([image[y : y + height, :x], part, image[y : y + height, x + width :]], axis=1)
    return tf.concat([image[:y], middle, image[y + height :]], axis=0)


def _square(size: int, side: int) -> tf.Tensor:
    """bool (size, size): the square of this side in the middle."""
    at = np.abs(np.arange(size) - (size - 1) / 2) < side / 2
    return tf.constant(at[:, None] & at)


def _fading(size: int, hole: int, band: int) -> tf.Tensor:
    """float32 (size, size): from 1 in the hole to 0 beyond the band, as a line."""
    distance = np.maximum(np.abs(np.arange(size) - (size - 1) / 2) - (hole - 1) / 2, 0)
    return tf.constant(np.clip(1 - np.maximum(distance[:, None], distance) / (band + 1), 0, 1), tf.float32)


def _next(left: tf.Tensor, size: int, hole: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Row and column of the next crop of a padded mask (H + size, W + size) of what is left."""
    sums = tf.pad(tf.cumsum(tf.cumsum(tf.cast(left, tf.int32), axis=0), axis=1), [[1, 0], [1, 0]])

    def count(side):  # of the square of this side in the middle of each crop
        edge = (size - side) // 2
        height, width = tf.shape(left)[0] - size + 1, tf.shape(left)[1] - size + 1

        def corner(y, x):
            return sums[y + edge : y + edge + height, x + edge : x + edge + width]

        return corner(side, side) - corner(0, side) - corner(side, 0) + corner(0, 0)

    inside, whole = count(hole), count(size)
    enough = inside >= tf.minimum(tf.reduce_max(inside), hole * hole // 4)
    cost = tf.where(enough, (whole - inside) * size * size - inside, tf.int32.max)
    best, columns = tf.argmin(tf.reshape(cost, [-1]), output_type=tf.int32), tf.shape(cost)[1]
    y, x = best // columns, best % columns
    # The middle of what is filled becomes the middle of the crop.
    edge = (size - hole) // 2
    filled = tf.where(left[y + edge : y + edge + hole, x + edge : x + edge + hole])
    middle = tf.cast((tf.reduce_min(filled, 0) + tf.reduce_max(filled, 0) + 1) // 2, tf.int32)
    y, x = y + middle[0] - hole // 2, x + middle[1] - hole // 2
    return tf.clip_by_value(y, 0, tf.shape(left)[0] - size), tf.clip_by_value(x, 0, tf.shape(left)[1] - size)


def _means(image: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """The image whose masked pixels are means of known ones, over the smallest of squares of 2, 4, 8, ... that has such."""
    known = tf.cast(~mask, tf.float32)[None, ..., None]
    sums, counts, levels = image[None] * known, known, []
    for _ in range(LEVELS):
        levels.append((sums, counts))
        height, width = tf.shape(counts)[1], tf.shape(counts)[2]
        even = [[0, 0], [0, height % 2], [0, width % 2], [0, 0]]
        sums, counts = (4 * tf.nn.avg_pool2d(tf.pad(x, even), 2, 2, "VALID") for x in (sums, counts))
    mean = tf.math.divide_no_nan(sums, counts)
    for sums, counts in reversed(levels):
        larger = tf.repeat(tf.repeat(mean, 2, axis=1), 2, axis=2)[:, : tf.shape(counts)[1], : tf.shape(counts)[2]]
        mean = tf.where(counts > 0, tf.math.divide_no_nan(sums, counts), larger)
    return mean[0]


# ---- masks ------------------------------------------------------------------------------------------------------------
def masks_in(mask, shape: tuple[int, ...]) -> tf.Tensor:
    """bool (N, H, W) of masks for images of the shape (N, H, W, C): bool, or uint8 whose values above 127 are the hole (of
    an array of 0 and 1 the 1). One of (H, W) is for all of the images; an axis of one channel may stand at the end.

    Raises:
        GanzooError: another type or size, a mask without a hole, or one that leaves nothing.
    """
    array = np.asarray(mask)
    if array.dtype == np.uint8:
        array = array > (127 if array.max(initial=0) > 1 else 0)
    if array.dtype != bool:
        raise GanzooError(f"mask is bool, or uint8 of 0 and 255; received {array.dtype}.")
    if array.ndim == 4 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim == 2:
        array = np.broadcast_to(array, (shape[0], *array.shape))
    if array.shape != tuple(shape[:3]):
        wanted = f"{shape[0]} of {shape[2]} x {shape[1]} pixels (N, H, W)"
        raise GanzooError(f"A mask is as large as its picture, here {wanted}; received the shape {np.shape(mask)}.")
    for one in array:
        if not one.any() or one.all():
            raise GanzooError(ALL if one.any() else NOTHING)
    return tf.constant(array)


def centre(sides: tuple[int, int], hole: int) -> np.ndarray:
    """bool (H, W): the square of side `hole` in the middle of a picture."""
    mask = np.zeros(sides, bool)
    y, x = ((side - hole) // 2 for side in sides)
    mask[y : y + hole, x : x + hole] = True
    return mask


def check_sides(shape: tuple[int, ...], size: int) -> None:
    """Refuses images (N, H, W, C) that are smaller than the crops that the network sees."""
    if min(shape[1:3]) < size:
        raise GanzooError(
            f"A picture to fill is at least {size} x {size} pixels, which is what the network sees at once; received "
            f"{shape[2]} x {shape[1]}. Enlarge it first."
        )


def endpoints(filled: Callable, size: int, channels: int) -> tuple[tuple, tuple]:
    """Two endpoints of `serving_signature` of `filled(image (H, W, C), mask (H, W))`: bytes to bytes, floats to floats."""

    def serve_row(row):
        image, mask = pixels.decode_image(row[0], channels), pixels.decode_image(row[1], 1)[..., 0] > 0
        shape, other = tf.shape(image), tf.shape(mask)
        checks = [
            tf.debugging.Assert(tf.reduce_all(shape[:2] == other), [UNEQUAL, other, shape[:2]]),
            tf.debugging.Assert(tf.reduce_all(shape[:2] >= size), [SMALL, shape[:2]]),
            tf.debugging.Assert(tf.reduce_any(mask), [NOTHING]),
            tf.debugging.Assert(tf.logical_not(tf.reduce_all(mask)), [ALL]),
        ]
        with tf.control_dependencies(checks):
            return tf.io.encode_png(pixels.to_uint8(filled(tf.identity(image), mask)))

    def serve(image_bytes, mask_bytes):
        """Pictures and masks (white is the hole) as PNG, JPEG, GIF or BMP bytes (N,) -> PNG bytes (N,)."""
        return {"image_bytes": tf.map_fn(serve_row, (image_bytes, mask_bytes), fn_output_signature=tf.string)}

    def tensors(images, masks):
        """float32 images (N, H, W, C) in [-1, 1] and masks (N, H, W, 1), above 0 in the hole -> float32 images."""
        spec = tf.TensorSpec([None, None, channels], tf.float32)
        return {
            "images": tf.map_fn(
                lambda row: filled(row[0], row[1][..., 0] > 0), (images, masks), fn_output_signature=spec
            )
        }

    image, mask = (
        tf.TensorSpec([None, None, None, c], tf.float32, name=n) for c, n in ((channels, "images"), (1, "masks"))
    )
    image_bytes, mask_bytes = (tf.TensorSpec([None], tf.string, name=n) for n in ("image_bytes", "mask_bytes"))
    return (serve, {"image_bytes": image_bytes, "mask_bytes": mask_bytes}), (tensors, {"images": image, "masks": mask})
