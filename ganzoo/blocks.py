"""Functions that two or more papers share unchanged: noise by row, standing statistics, PNG rows for serving."""

from collections.abc import Callable, Iterable

import keras
import numpy as np
import tensorflow as tf

from ganzoo.errors import GanzooError
from ganzoo.layers import BatchNorm

CHUNK = 16  # images that one forward pass of `generate` makes


def row_seeds(seed, rows: int) -> tf.Tensor:
    """int32 (rows, 2): row i is a function of (seed, i) alone. `seed` is an int of 64 bits or an int64 scalar tensor.

    Raises:
        GanzooError: another seed.
    """
    if not tf.is_tensor(seed):
        whole = isinstance(seed, int | np.integer) and not isinstance(seed, bool)
        if not whole or not -(2**63) <= seed < 2**63:
            raise GanzooError(f"seed is a whole number of 64 bits; received {seed!r}.")
    return seeds_of(tf.fill([rows], tf.cast(seed, tf.int64)), tf.range(rows))


def seeds_of(seed: tf.Tensor, index=0) -> tf.Tensor:
    """int32 (N, 2) from int64 seeds (N,): both halves of each seed count, and `index` tells rows of one seed apart."""
    low = tf.bitcast(seed, tf.int32)  # (N, 2), little-endian halves
    index = tf.broadcast_to(tf.cast(index, tf.int32), tf.shape(seed))
    # 0x9E3779B1 (Knuth) spreads the high half, so that neighbouring seeds and indices do not meet.
    return tf.stack([low[:, 0], low[:, 1] * tf.constant(-1640531535, tf.int32) + index], axis=1)


def rows_of(draw: Callable, seeds: tf.Tensor, width: int) -> tf.Tensor:
    """float32 (N, width): `draw(shape, seed)`, a `tf.random.stateless_*` function, once for each row's own seed."""
    drawn = tf.map_fn(lambda seed: draw([width], seed), seeds, fn_output_signature=tf.float32)
    return tf.ensure_shape(drawn, [None, width])


def latents_of(model, seeds: tf.Tensor) -> tf.Tensor:
    """`model.latents(seeds)` as a graph that is traced once: the loop over rows takes 4 ms a row in Python."""
    signature = [tf.TensorSpec([None, 2], tf.int32)]
    return model.once("latents", lambda: tf.function(model.latents, input_signature=signature))(seeds)


def standing_statistics(generator: keras.Model, batches: Iterable) -> None:
    """Sets every BatchNorm's running values to the plain mean over `batches` of its batch statistics.

    A generator that samples with moving statistics is only as good as they are; after training they lag behind the
    weights. Each batch is one input of the generator (Brock et al. 2018, section 4 "standing statistics").
    """
    norms = [layer for layer in generator.layers if isinstance(layer, BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    try:
        for count, batch in enumerate(batches):
            for norm in norms:
                norm.momentum = count / (count + 1)
            generator(batch, training=True)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


def synchronize(networks: Iterable[keras.Model]) -> None:
    """Every BatchNorm of the networks takes the statistics of a training step over the rows of all replicas."""
    for network in networks:
        for layer in network._flatten_layers():
            if isinstance(layer, BatchNorm):
                layer.synchronized = True


def latent_rows(model, n: int, seed: int, latents) -> tf.Tensor:
    """float32 (n, latent_dim): drawn from (seed, i), or the given latents, checked."""
    if latents is None:
        if not isinstance(n, int | np.integer) or n < 1:
            raise GanzooError(f"n is the number of images, a whole number of at least 1; received {n!r}.")
        latents = latents_of(model, row_seeds(seed, n))
    return finite_rows(latents, "latents", (model.latent_dim,))


def finite_rows(values, what: str, *shapes: tuple[int, ...]) -> tf.Tensor:
    """float32 (n, *shape) from an array of one of the `shapes` a row; GanzooError for others, none, or NaN."""
    values = _array(values, what)
    if values.shape[1:] not in shapes or not len(values):
        accepted = " or ".join(f"(n, {', '.join(map(str, shape))})" for shape in shapes)
        raise GanzooError(f"{what} have the shape {accepted}, n at least 1; received {values.shape}.")
    if not np.issubdtype(values.dtype, np.number) or not np.all(np.isfinite(values)):
        raise GanzooError(f"{what} are finite numbers; received {values.dtype} with other values.")
    return tf.constant(values, tf.float32)


def checked_labels(labels, rows: int, classes: int) -> tf.Tensor:
    """int64 (rows,) of a label for all or one a row; of a model without classes zeros, which nothing reads.

    Raises:
        GanzooError: none of a model with classes, some of a model without, or numbers that are no classes.
    """
    if not classes:
        if labels is not None:
            raise GanzooError(f"This model was built without classes and takes no labels; received {labels!r}.")
        return tf.zeros([rows], tf.int64)
    if labels is None:
        raise GanzooError(f"This model needs labels: one of 0 to {classes - 1}, or one for each image.")
    given = np.asarray(labels)
    known = np.issubdtype(given.dtype, np.integer) and given.size and 0 <= given.min() <= given.max() < classes
    if not known or given.shape not in ((), (1,), (rows,)):
        raise GanzooError(
            f"labels are whole numbers of 0 to {classes - 1}, one for all or {rows}; received {labels!r}."
        )
    return tf.constant(np.broadcast_to(given, (rows,)), tf.int64)


def in_chunks(function: Callable, *rows: tf.Tensor) -> np.ndarray:
    """`function(*rows)` on chunks of one fixed size, the last one padded by zeros.

    A convolution may round differently for another batch size, and sample i must depend on (seed, i) only.
    """
    count = rows[0].shape[0]
    padded = [tf.pad(r, [[0, -count % CHUNK]] + [[0, 0]] * (len(r.shape) - 1)) for r in rows]
    chunks = [function(*(r[i : i + CHUNK] for r in padded)).numpy() for i in range(0, count, CHUNK)]
    return np.concatenate(chunks)[:count]


def generate_latent(model, n: int, seed: int, latents) -> np.ndarray:
    """`generate` of the unconditional papers: uint8 images (n, H, W, C) from seeds or from given latents."""
    latents = latent_rows(model, n, seed, latents)
    return in_chunks(model.once("generate", lambda: tf.function(lambda rows: to_uint8(model.images_of(rows)))), latents)


def latent_endpoints(model) -> dict:
    """`serving_signature` of the unconditional papers: seeds to PNG bytes, and latents to floats."""

    def serve(seed):
        """int64 seeds (N,) -> PNG bytes (N,); row i is what `generate(1, seed=seed[i])` shows."""
        images = model.images_of(model.latents(seeds_of(seed)))
        return {"image_bytes": png_rows(to_uint8(images))}

    def tensors(latents):
        """float32 latents (N, latent_dim) -> float32 images (N, H, W, C) in [-1, 1]."""
        return {"images": model.images_of(latents)}

    return {
        "serving_default": (serve, {"seed": tf.TensorSpec([None], tf.int64, name="seed")}),
        "tensors": (tensors, {"latents": tf.TensorSpec([None, model.latent_dim], tf.float32, name="latents")}),
    }


def judgement(real_logits: tf.Tensor, fake_logits: tf.Tensor) -> dict[str, tf.Tensor]:
    """What a D step says of D beside its loss: the share of fakes that it takes for real, and its mean logits."""
    return {
        "fooled": tf.reduce_mean(tf.cast(fake_logits > 0, tf.float32)),
        "real_logit": tf.reduce_mean(real_logits),
        "fake_logit": tf.reduce_mean(fake_logits),
    }


def to_uint8(images: tf.Tensor) -> tf.Tensor:
    """float images in [-1, 1] to uint8 0..255, rounded to the nearest."""
    return tf.cast(tf.clip_by_value(tf.round((tf.cast(images, tf.float32) + 1) * 127.5), 0, 255), tf.uint8)


def or_one_row(*inputs: tf.Tensor | None) -> tuple[tf.Tensor, list[tf.Tensor | None]]:
    """How many rows there are, and the inputs, with one row of zeros in the place of none; None stays None.

    For a network whose last layer is a convolution: of no row, TensorFlow gives it the input's number of channels.
    """
    count = tf.shape(inputs[0])[0]
    missing = tf.cast(tf.equal(count, 0), tf.int32)
    filled = [x if x is None else tf.pad(x, [[0, missing]] + [[0, 0]] * (len(x.shape) - 1)) for x in inputs]
    return count, filled


def png_rows(images: tf.Tensor) -> tf.Tensor:
    """string (N,): one PNG for each uint8 image of (N, H, W, 1|3|4)."""
    return tf.map_fn(tf.io.encode_png, images, fn_output_signature=tf.string)


def images_in(images, channels: int) -> tf.Tensor:
    """float32 (N, H, W, channels) in [-1, 1] from uint8 0..255 or floats in [-1, 1]; gray and RGB are converted.

    Raises:
        GanzooError: another rank, dtype or range, or no image.
    """
    array = _array(images, "images")
    if array.ndim != 4 or 0 in array.shape:
        raise GanzooError(f"images have the shape (N, H, W, C), none of them 0; received {array.shape}.")
    if array.shape[3] not in {1, 3, channels}:
        raise GanzooError(f"images have 1, 3 or {channels} channels in the last axis; received {array.shape}.")
    if array.dtype == np.uint8:
        return tf.cast(to_channels(tf.constant(array), channels), tf.float32) / 127.5 - 1
    if not np.issubdtype(array.dtype, np.floating):
        raise GanzooError(f"images are uint8 in 0..255 or floats in [-1, 1]; received {array.dtype}.")
    if not np.all(np.abs(array) <= 1.0):
        low, high = float(array.min()), float(array.max())
        raise GanzooError(f"float images lie in [-1, 1]; received values from {low:g} to {high:g}.")
    return to_channels(tf.constant(array, tf.float32), channels)


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


def decode_image(image_bytes: tf.Tensor, channels: int) -> tf.Tensor:
    """float32 (H, W, channels) in [-1, 1] from PNG, JPEG, GIF (first frame), BMP or WebP bytes, inside a graph.

    PNG and JPEG give the pixels of `images.read_image`: transparency on white, 16 bits cut to 8, libjpeg's accurate
    DCT. JPEG's EXIF rotation is not applied; transparency in GIF and WebP is dropped.
    """
    # Padded: substr past the end would fail with the raw bytes in its message, which is no text for a client.
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
