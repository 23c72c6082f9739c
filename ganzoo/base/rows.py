"""Functions that two or more papers share unchanged: noise by row, standing statistics, PNG rows for serving."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from ganzoo.base.pixels import _array
from ganzoo.errors import GanzooError

CHUNK = 16  # images that one forward pass of `generate` makes
MOST_ROWS = 2**22  # images of one call
MOST_BYTES = 2**33  # of the pictures that one call makes


def row_seeds(seed, rows: int) -> tf.Tensor:
    """int32 (rows, 2): row i is a function of (seed, i) alone. `seed` is an int of 64 bits or an int64 scalar tensor.

    Raises:
        GanzooError: another seed.
    """
    if tf.is_tensor(seed):
        return seeds_of(tf.fill([rows], tf.cast(seed, tf.int64)), tf.range(rows))
    whole = isinstance(seed, int | np.integer) and not isinstance(seed, bool)
    if not whole or not -(2**63) <= seed < 2**63:
        raise GanzooError(f"seed is a whole number of 64 bits; received {seed!r}.")
    # In NumPy: outside of a graph the first run of each operation of TensorFlow takes milliseconds.
    halves = np.full(rows, seed, np.int64).view(np.int32).reshape(rows, 2)
    return tf.constant(np.stack(_apart(halves, np.arange(rows, dtype=np.int32)), axis=1))


def seeds_of(seed: tf.Tensor, index=0) -> tf.Tensor:
    """int32 (N, 2) from int64 seeds (N,): both halves of each seed count, and `index` tells rows of one seed apart."""
    index = tf.broadcast_to(tf.cast(index, tf.int32), tf.shape(seed))
    return tf.stack(_apart(tf.bitcast(seed, tf.int32), index), axis=1)


def _apart(halves, index) -> list:
    """Both columns of int32 seeds of the little-endian halves (N, 2) of int64 ones and an index (N,)."""
    # 0x9E3779B1 (Knuth) spreads the high half, so that neighbouring seeds and indices do not meet.
    return [halves[:, 0], halves[:, 1] * -1640531535 + index]


def rows_of(draw: Callable, seeds: tf.Tensor, width: int) -> tf.Tensor:
    """float32 (N, width): `draw(shape, seed)`, a `tf.random.stateless_*` function, once for each row's own seed."""
    if tf.executing_eagerly():  # map_fn would take 4 ms a row
        drawn = [np.asarray(draw([width], tf.constant(seed))) for seed in np.asarray(seeds)]
        return tf.constant(np.reshape(drawn, [-1, width]), tf.float32)
    drawn = tf.map_fn(lambda seed: draw([width], seed), seeds, fn_output_signature=tf.float32)
    return tf.ensure_shape(drawn, [None, width])


def graph_of(function: Callable, signature: list[tf.TensorSpec] | None = None):
    """`tf.function` of what a model samples by, without AutoGraph: to look for Python's `if` and `for` over tensors takes longer
    than the tracing. There are none, as in a train_step, which Keras traces without it, too."""
    return tf.function(function, input_signature=signature, autograph=False)


def latents_of(model, seeds: tf.Tensor) -> tf.Tensor:
    """`model.latents(seeds)`; of many rows as a graph that is traced once, which takes as long as hundreds of them do in Python."""
    if tf.executing_eagerly() and len(seeds) <= CHUNK:
        return model.latents(seeds)
    signature = [tf.TensorSpec([None, 2], tf.int32)]
    return model.cached("latents", lambda: graph_of(model.latents, signature))(seeds)


def checked_count(n) -> int:
    """The number of images of one call. Raises GanzooError for another value than 1 to MOST_ROWS."""
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise GanzooError(f"n is the number of images, a whole number of at least 1; received {n!r}.")
    if n > MOST_ROWS:
        raise GanzooError(f"One call makes at most {MOST_ROWS:,} images; received {n:,}. Make them in parts.")
    return int(n)


def latent_rows(model, n: int, seed: int, latents) -> tf.Tensor:
    """float32 (n, latent_dim): drawn from (seed, i), or the given latents, checked."""
    if latents is None:
        checked_count(n)
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
        GanzooError: none of a model with classes, some of a model without, or numbers that are not classes.
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

    Raises:
        GanzooError: all of them together take more than MOST_BYTES; known after the first chunk.
    """
    count = rows[0].shape[0]
    padded = [np.pad(r, [[0, -count % CHUNK]] + [[0, 0]] * (len(r.shape) - 1)) for r in rows]

    def of(start):
        return function(*(tf.constant(r[start : start + CHUNK]) for r in padded)).numpy()

    first = of(0)
    if (size := first.nbytes // CHUNK * count) > MOST_BYTES:
        raise GanzooError(
            f"{count:,} of {' x '.join(map(str, first.shape[1:]))} are {size / 2**30:.0f} GiB; one call makes at most "
            f"{MOST_BYTES / 2**30:.0f}. Make them in parts."
        )
    return np.concatenate([first, *map(of, range(CHUNK, count, CHUNK))])[:count]


def or_one_row(*inputs: tf.Tensor | None) -> tuple[tf.Tensor, list[tf.Tensor | None]]:
    """How many rows there are, and the inputs, with one row of zeros instead of none; None stays None.

    For a network whose last layer is a convolution: of no row, TensorFlow gives it the input's number of channels.
    """
    count = tf.shape(inputs[0])[0]
    missing = tf.cast(tf.equal(count, 0), tf.int32)
    filled = [x if x is None else tf.pad(x, [[0, missing]] + [[0, 0]] * (len(x.shape) - 1)) for x in inputs]
    return count, filled
