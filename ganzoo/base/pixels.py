"""Pictures inside a graph: uint8 and floats, gray and RGB, PNG bytes in and out."""

import warnings

import numpy as np
import tensorflow as tf

from ganzoo.errors import GanzooError
from ganzoo.media import images as media
from ganzoo.media import shapes3d

LARGEST = 2**22  # pixels of an input; a network like pix2pix's takes about 180 bytes for each
MOST = 2**29  # pixels of all inputs of one call


def to_uint8(images: tf.Tensor) -> tf.Tensor:
    """float images in [-1, 1] to uint8 0..255, rounded to the nearest."""
    return tf.cast(tf.clip_by_value(tf.round((tf.cast(images, tf.float32) + 1) * 127.5), 0, 255), tf.uint8)


def png_rows(images: tf.Tensor) -> tf.Tensor:
    """string (N,): one PNG for each uint8 image of (N, H, W, 1|3|4)."""
    return tf.map_fn(tf.io.encode_png, images, fn_output_signature=tf.string)


def images_in(images, channels: int) -> tf.Tensor:
    """float32 (N, H, W, channels) in [-1, 1] from uint8 0..255 or floats in [-1, 1]; gray and RGB are converted.

    `images`: an array (N, H, W, C); one picture as an array (H, W) or (H, W, C), a path or a Pillow image; or a list of
    such of one size.

    Warns:
        UserWarning: no float is below 0, as in pictures that are in [0, 1].

    Raises:
        GanzooError: another rank, dtype or range, no image, images that take too much memory, or a file that is not a picture.
    """
    array = _batch(images, channels)
    if array.ndim != 4 or 0 in array.shape:
        raise GanzooError(f"images have the shape (N, H, W, C), none of them 0; received {array.shape}.")
    count, height, width = array.shape[:3]
    if height * width > LARGEST or count * height * width > MOST:
        raise GanzooError(
            f"Images of at most {LARGEST:,} pixels (2,048 x 2,048) are taken, which need about 180 bytes each, and of at most "
            f"{MOST:,} in one call; received {count:,} of {width:,} x {height:,}. Make them smaller, or give them in parts."
        )
    if array.shape[3] not in {1, 3, channels}:
        raise GanzooError(f"images have 1, 3 or {channels} channels in the last axis; received {array.shape}.")
    if array.dtype == np.uint8:
        return tf.cast(to_channels(tf.constant(array), channels), tf.float32) / 127.5 - 1
    if not np.issubdtype(array.dtype, np.floating):
        raise GanzooError(f"images are uint8 in 0..255 or floats in [-1, 1]; received {array.dtype}.")
    if not np.all(np.abs(array) <= 1.0):
        low, high = float(array.min()), float(array.max())
        raise GanzooError(f"float images must be in [-1, 1]; received values from {low:g} to {high:g}.")
    if array.min() >= 0:
        warnings.warn(
            "Float images are taken to be in [-1, 1], and these have no value below 0. Of images in [0, 1] pass "
            "2 * images - 1, or uint8 in 0..255.",
            stacklevel=3,
        )
    return to_channels(tf.constant(array, tf.float32), channels)


def _batch(given, channels: int) -> np.ndarray:
    """An array (N, H, W, C), if one can be made of what was given."""
    if media.is_picture(given):
        return media.picture(given)[None]
    if isinstance(given, list | tuple) and given and all(media.is_picture(one) for one in given):
        given = [media.to_channels(media.picture(one), channels) for one in given]
    array = _array(given, "images")
    if array.ndim == 2 or (array.ndim == 3 and array.shape[-1] in {1, 3, channels}):
        array = array.reshape(1, *array.shape[:2], -1)
    return array


def _array(values, what: str) -> np.ndarray:
    try:
        return np.asarray(values)
    except ValueError as error:  # rows of unlike lengths
        raise GanzooError(f"{what} are one array, all rows of one shape; received {type(values).__name__}.") from error


def to_channels(images: tf.Tensor, channels: int) -> tf.Tensor:
    """Gray to RGB by repetition, RGB to gray by luma (ITU-R 601, as Pillow and libjpeg); uint8 stays uint8."""
    received = images.shape[-1]
    if received == channels:
        return images
    if received == 1:
        return tf.repeat(images, channels, axis=-1)
    if received == 3 and channels == 1 and images.dtype == tf.uint8:  # the integers of Pillow and images.to_channels
        luma = tf.tensordot(tf.cast(images, tf.int32), tf.constant([[19595], [38470], [7471]]), axes=1) + 0x8000
        return tf.cast(tf.bitwise.right_shift(luma, 16), tf.uint8)
    if received == 3 and channels == 1:
        return tf.tensordot(images, tf.constant([[0.299], [0.587], [0.114]], images.dtype), axes=1)
    raise GanzooError(f"The model takes images of {channels} channel(s); received {received}.")


def square(images: tf.Tensor, size: int) -> tf.Tensor:
    """float32 images (N, H, W, C) of any size -> (N, size, size, C): the largest square, bilinear with antialiasing.

    Of a wide picture it lies in the middle; of a tall one a quarter of what is left lies above it. A picture of this size stays as it is.
    """
    height, width = tf.shape(images)[1], tf.shape(images)[2]
    side = tf.minimum(height, width)
    top, left = (height - side) // 4, (width - side) // 2
    images = images[:, top : top + side, left : left + side]
    resized = tf.image.resize(images, (size, size), antialias=True)
    return tf.ensure_shape(tf.clip_by_value(resized, -1.0, 1.0), (None, size, size, images.shape[-1]))


def cropped(images: tf.Tensor, crop) -> tf.Tensor:
    """The box (x, y, width, height) of images (N, H, W, C), counted from the upper left corner; all of them for None.

    Raises:
        GanzooError: no four whole numbers, or a box that does not lie in the pictures.
    """
    if crop is None:
        return images
    height, width = images.shape[1:3]
    numbers = tuple(crop) if isinstance(crop, tuple | list | np.ndarray) else ()
    if len(numbers) != 4 or not all(isinstance(n, int | np.integer) and not isinstance(n, bool) for n in numbers):
        raise GanzooError(f"A crop is four whole numbers (x, y, width, height); received {crop!r:.60}.")
    x, y, w, h = (int(n) for n in numbers)
    if x < 0 or y < 0 or w < 1 or h < 1 or x + w > width or y + h > height:
        raise GanzooError(
            f"The crop {x},{y},{w},{h} does not lie in the picture of {width} x {height} pixels: it is x,y,width,height, counted "
            "from the upper left corner."
        )
    return images[:, y : y + h, x : x + w]


def decode_image(image_bytes: tf.Tensor, channels: int) -> tf.Tensor:
    """float32 (H, W, channels) in [-1, 1] from PNG, JPEG, GIF (first frame), BMP or WebP bytes, inside a graph.

    PNG and JPEG give the pixels of `images.read_image`: transparency on white, 16 bits cut to 8, libjpeg's accurate
    DCT. JPEG's EXIF rotation is not applied; transparency in GIF and WebP is dropped.
    """
    # Padded: substr past the end would fail with the raw bytes in its message, which is not a text for a client.
    header = tf.strings.join([tf.strings.substr(image_bytes, 0, 26), b"\0" * 26])

    def at(start, wanted):
        return tf.equal(tf.strings.substr(header, start, len(wanted)), wanted)

    def deep():  # Pillow keeps the high byte of 16-bit colour, read_image rounds 16-bit gray (colour type 0)
        rgba = tf.cast(tf.io.decode_png(image_bytes, channels=4, dtype=tf.uint16), tf.float32)
        return tf.where(at(25, b"\0"), tf.round(rgba / 257), tf.floor(rgba / 256))

    def shallow():
        rgba = tf.cast(tf.io.decode_png(image_bytes, channels=4), tf.float32)
        # TensorFlow fills the alpha of an opaque file of 1, 2 or 4 bits (24 is the depth) with 1, 3 or 15 instead of 255.
        depth = tf.cast(tf.io.decode_raw(tf.strings.substr(header, 24, 1), tf.uint8)[0], tf.float32)
        opaque = tf.reduce_all(rgba[..., 3] == 2.0**depth - 1)
        return tf.concat([rgba[..., :3], tf.where(opaque, 255.0, rgba[..., 3:])], axis=-1)

    def png():
        rgba = tf.ensure_shape(tf.cond(at(24, b"\x10"), deep, shallow), [None, None, 4])
        alpha = rgba[..., 3:] / 255
        return tf.cast(tf.round(rgba[..., :3] * alpha + 255 * (1 - alpha)), tf.uint8)

    def jpeg():
        return tf.io.decode_jpeg(image_bytes, channels=3, dct_method="INTEGER_ACCURATE")

    def other():
        return tf.io.decode_image(image_bytes, channels=3, expand_animations=False)

    rgb = tf.case([(at(0, b"\x89PNG"), png), (at(0, b"\xff\xd8"), jpeg)], default=other, exclusive=True)
    return tf.cast(to_channels(tf.ensure_shape(rgb, [None, None, 3]), channels), tf.float32) / 127.5 - 1


def depth_pictures(voxels: tf.Tensor) -> tf.Tensor:
    """uint8 pictures (N, side, side, 1) of shapes (N, S, S, S, 1), in graph operations for serving.

    Every pixel looks along its ray for the first filled voxel and shows by which face the ray enters it, and how deep.
    """
    size = voxels.shape[1]
    starts, direction, steps = shapes3d.rays(size, shapes3d.picture_side(size))
    face_light = tf.constant([0.75, 1.0, 0.55])  # of faces across x, y (up) and z

    def shaded(grid):
        points = tf.cast(tf.floor(starts[:, None] + steps[None, :, None] * direction), tf.int32)  # (P, K, 3)
        inside = tf.reduce_all((points >= 0) & (points < size), axis=-1)
        place = tf.reduce_sum(points * tf.constant([size * size, size, 1]), axis=-1)
        filled = tf.concat([tf.reshape(grid, [-1]) > 0.5, [False]], 0)
        hit = tf.gather(filled, tf.where(inside, place, size**3))
        first = tf.argmax(tf.cast(hit, tf.int8), axis=1, output_type=tf.int32)
        entered, came = (tf.gather(points, k, batch_dims=1) for k in (first, tf.maximum(first - 1, 0)))
        light = tf.gather(face_light, tf.argmax(tf.cast(entered != came, tf.int32), axis=1))
        depth = tf.cast(first, tf.float32) / float(len(steps))
        seen = tf.where(tf.reduce_any(hit, axis=1), 250.0 * light * (1.1 - depth), 255.0)
        return tf.cast(tf.clip_by_value(tf.round(seen), 0, 255), tf.uint8)

    side = shapes3d.picture_side(size)
    flat = tf.map_fn(shaded, voxels, fn_output_signature=tf.TensorSpec([side * side], tf.uint8))
    return tf.reshape(flat, [-1, side, side, 1])
