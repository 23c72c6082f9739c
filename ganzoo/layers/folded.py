"""Convolutions as one matrix product, where there are few positions and many channels.

A map of 1x1 to 8x8 pixels and 512 channels does little with each number of its kernel. There the time of a convolution on a
CPU goes into reordering the kernel for its kernels, 17 to 34 MB, forward and for both gradients. A matrix product takes the
kernel as it is stored: of a convolution the product of all patches (`torch.nn.Unfold`) with it, of a transposed one the
product with it followed by the sum of what overlaps (`torch.nn.Fold`). The numbers are the same to rounding.

The choice is made while a step is traced, from what the shapes say there (`few_positions`).
"""

import contextlib
import contextvars
import math
from collections.abc import Iterator

import tensorflow as tf

# Numbers of a kernel for each position of the smaller map from which on the matrix product is faster, measured on two cores
# with AVX2 (benchmarks/README.md); around it both take the same time.
NUMBERS_A_POSITION = 2**16

_as_convolutions = contextvars.ContextVar("as_convolutions", default=False)


@contextlib.contextmanager
def as_convolutions() -> Iterator[None]:
    """What is traced inside keeps the convolution as an operation: for exports, whose runtimes have fast ones of their own."""
    token = _as_convolutions.set(True)
    try:
        yield
    finally:
        _as_convolutions.reset(token)


def cpus_alone() -> bool:
    """Whether TensorFlow sees no accelerator, whose own kernels are the fast ones."""
    return not any(tf.config.get_visible_devices(kind) for kind in ("GPU", "TPU"))


def few_positions(kernel, shape: tf.TensorShape) -> bool:
    """Whether a kernel is large for the positions (N, H, W) of `shape`. False where a size is not known, or on a GPU or TPU."""
    if _as_convolutions.get() or not shape.is_fully_defined() or not cpus_alone():
        return False
    return math.prod(kernel.shape) >= NUMBERS_A_POSITION * math.prod(shape[:3])


def patches_times_kernel(x: tf.Tensor, kernel: tf.Tensor, stride: int, padding: str) -> tf.Tensor:
    """(N, H, W, C) * kernel (k, m, C, F), the convolution; `padding` "valid" or "same". All sizes are known."""
    n, h, w, c = x.shape
    k, m, _, f = kernel.shape
    if padding == "same":  # as TensorFlow's: what is odd goes to the end
        more = [max((-(-size // stride) - 1) * stride + taps - size, 0) for size, taps in ((h, k), (w, m))]
        x = tf.pad(x, [[0, 0], *([side // 2, side - side // 2] for side in more), [0, 0]])
        h, w = h + more[0], w + more[1]
    rows, columns = (h - k) // stride + 1, (w - m) // stride + 1
    taps = [
        x[:, i : i + (rows - 1) * stride + 1 : stride, j : j + (columns - 1) * stride + 1 : stride]
        for i in range(k)
        for j in range(m)
    ]
    one = rows == columns == 1  # the map is the patch
    patches = tf.reshape(x[:, :k, :m] if one else tf.concat(taps, axis=-1), [n * rows * columns, k * m * c])
    return tf.reshape(tf.matmul(patches, tf.reshape(kernel, [k * m * c, f])), [n, rows, columns, f])


def pixels_times_kernel(x: tf.Tensor, kernel: tf.Tensor, stride: int, padding: str) -> tf.Tensor:
    """(N, H, W, C) with kernel (k, m, F, C), the transposed convolution; k and m are at least the stride; `padding` "valid" or
    "same". All sizes are known."""
    n, h, w, c = x.shape
    k, m, f, _ = kernel.shape
    y = tf.matmul(tf.reshape(x, [n * h * w, c]), tf.reshape(kernel, [k * m * f, c]), transpose_b=True)
    y = _sum_overlapping(tf.reshape(y, [n, h, w, k, m * f]), stride, padding)
    y = _sum_overlapping(tf.reshape(y, [-1, w, 1, m, f]), stride, padding)
    return tf.reshape(y, [n, -1, y.shape[1], f])


def _sum_overlapping(y: tf.Tensor, stride: int, padding: str) -> tf.Tensor:
    """(A, P, M, k, R), for each of P positions along an axis what it adds to k places -> the sums (A, places, M, R)."""
    a, positions, m, k, r = y.shape
    blocks = -(-k // stride)
    if k % stride:
        y = tf.pad(y, [[0, 0], [0, 0], [0, 0], [0, blocks * stride - k], [0, 0]])
    # Block b of a position's taps lies b blocks of `stride` places behind the first.
    parts = tf.unstack(tf.reshape(y, [a, positions, m, blocks, stride, r]), axis=3)
    moved = [tf.pad(part, [[0, 0], [b, blocks - 1 - b], *[[0, 0]] * 3]) for b, part in enumerate(parts)]
    y = tf.add_n(moved)
    y = tf.reshape(tf.transpose(y, [0, 1, 3, 2, 4]), [a, (positions + blocks - 1) * stride, m, r])
    if padding == "same":
        first, places = (k - stride) // 2, positions * stride
    else:
        first, places = 0, (positions - 1) * stride + k
    return y[:, first : first + places]
