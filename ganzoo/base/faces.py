"""What a paper needs that changes the ages of faces: squares of pictures, ages as classes, a search for z, endpoints."""

import importlib.util
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from ganzoo import ages
from ganzoo.base import around, pixels
from ganzoo.base.declared import Around
from ganzoo.errors import GanzooError, missing_extra


def squares_in(images, channels: int, size: int) -> tf.Tensor:
    """float32 (N, size, size, channels) in [-1, 1]: of pictures of any size the square in their middle.

    Raises:
        GanzooError: what `pixels.images_in` raises, or a picture of one colour.
    """
    x = pixels.images_in(images, channels)
    flat = tf.reduce_all(tf.abs(x - x[:, :1, :1]) < 1e-6, axis=[1, 2, 3]).numpy()
    if flat.any():
        raise GanzooError(
            f"Picture {int(np.flatnonzero(flat)[0])} of the {len(flat)} is one colour from edge to edge and shows no face."
        )
    return middle(x, size)


def middle(images, size: int) -> tf.Tensor:
    """The square in the middle of images (N, H, W, C), brought to `size`, antialiased; inside a graph."""
    height, width = tf.shape(images)[1], tf.shape(images)[2]
    side = tf.minimum(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = images[:, top : top + side, left : left + side]
    # As it is where nothing is to be resized: a resize to the same size rounds.
    fitted = tf.cond(
        tf.equal(side, size),
        lambda: square,
        lambda: tf.clip_by_value(tf.image.resize(square, [size, size], "bicubic", antialias=True), -1.0, 1.0),
    )
    return tf.ensure_shape(fitted, [None, size, size, images.shape[-1]])


def classes_of(age, what: str, rows: int | None = None) -> np.ndarray:
    """int64 classes of an age or a list of ages; of so many `rows` one for each, from one for all or as many.

    Raises:
        GanzooError: no age, an empty list, or another number of them than of rows.
    """
    if isinstance(age, np.ndarray | tf.Tensor):
        age = np.asarray(age).tolist()
    given = list(age) if isinstance(age, list | tuple | range) else [age]
    if not given:
        raise GanzooError(f"{what} is an age, or a list of one or more; received an empty list.")
    try:
        found = np.array([ages.class_of(one) for one in given], np.int64)
    except GanzooError as error:
        raise GanzooError(f"{what}: {error}") from error
    if rows is None:
        return found
    if len(found) not in (1, rows):
        raise GanzooError(f"{what} is one age for all, or one for each of the {rows} faces; received {len(found)}.")
    return np.broadcast_to(found, (rows,))


def classes_in_graph(age: tf.Tensor) -> tf.Tensor:
    """int32 classes of years (N,), inside a graph."""
    bounds = tf.constant(ages.BOUNDS, tf.float32)
    return tf.reduce_sum(tf.cast(tf.cast(age, tf.float32)[:, None] >= bounds, tf.int32), axis=1)


def checked_in_graph(age: tf.Tensor) -> tf.Tensor:
    """The years (N,), inside a graph that stops with a sentence at one that is not an age."""
    fits = tf.reduce_all((age >= 0) & (age <= ages.OLDEST))
    with tf.control_dependencies([tf.debugging.Assert(fits, [f"age is 0 to {ages.OLDEST} years; received", age])]):
        return tf.identity(age)


def can_search() -> bool:
    """Whether SciPy is installed, which the search for z needs."""
    return importlib.util.find_spec("scipy") is not None


def minimiser() -> Callable[[Callable, np.ndarray, int], np.ndarray]:
    """SciPy's L-BFGS-B as a function of (slope, start, iterations): `slope` gives what is minimised and its gradient for
    float32 (1, n). SciPy needs float64, in and out.

    Raises:
        GanzooError: SciPy is not installed.
    """
    try:
        from scipy.optimize import minimize
    except ImportError:
        raise missing_extra("scipy", "age") from None

    def run(slope: Callable, start: np.ndarray, iterations: int) -> np.ndarray:
        def both(point):
            loss, gradient = slope(tf.constant(point[None], tf.float32))
            return float(loss), np.asarray(gradient[0], np.float64)

        found = minimize(both, start.astype(np.float64), jac=True, method="L-BFGS-B", options={"maxiter": iterations})
        return found.x.astype(np.float32)

    return run


def ends(model) -> Around:
    """`serving_around` of a model of faces of its own size and years: bytes and years to floats and years, floats to bytes."""
    size, channels = model.image_size, model.channels

    def decoded(image_bytes):
        return middle(pixels.decode_image(image_bytes, channels)[None], size)[0]

    def before(image_bytes, age):
        """PNG, JPEG, GIF or BMP bytes (N,), each of its own size, and years float32 (N,) -> images and years."""
        spec = tf.TensorSpec([size, size, channels], tf.float32)
        images = tf.map_fn(decoded, image_bytes, fn_output_signature=spec)
        return {"images": tf.ensure_shape(images, [None, *spec.shape]), "age": checked_in_graph(age)}

    image_bytes = tf.TensorSpec([None], tf.string, name="image_bytes")
    return Around((before, {"image_bytes": image_bytes} | _years()), around.to_png(model))


def endpoints(model, at_age: Callable) -> dict[str, tuple]:
    """`serving_signature` of `at_age(images, age)`: bytes and years to bytes, floats and years to floats."""

    def aged(images, age):
        """float32 images (N, size, size, C) in [-1, 1] and years float32 (N,) -> float32 images in [-1, 1]."""
        return {"images": at_age(images, age)}

    image = tf.TensorSpec([None, model.image_size, model.image_size, model.channels], tf.float32, name="images")
    tensors = aged, {"images": image} | _years()
    return {"serving_default": around.joined(model.serving_around(), tensors), "tensors": tensors}


def _years() -> dict[str, tf.TensorSpec]:
    return {"age": tf.TensorSpec([None], tf.float32, name="age")}
