"""Convolutions with a doubling before or a halving after them, each as one convolution of stride 2."""

import functools

import numpy as np
import tensorflow as tf

from ganzoo.layers.convolution import convolve_faster, transpose_faster


def convolve(x: tf.Tensor, kernel: tf.Tensor, resample: str = "none", training: bool | None = None) -> tf.Tensor:
    """(N, H, W, C) * kernel (k, k, C, width), k odd, zero padding.

    Args:
        resample: "none"; "up", nearest doubling and then the convolution; "down", the convolution and then 2x2 averages.
            The latter two run as one convolution of stride 2, whose kernel is the sum of four shifted ones: the same numbers
            to rounding, for 4/9 of the work where k is 3.
        training: whether gradients follow; each runs in its fastest form (`convolution`).
    """
    if resample == "up":
        return double_and_convolve(x, kernel, training)
    stride = 1
    if resample == "down":
        kernel, stride = _spread(kernel, _corners(kernel.shape[0], False) * 0.25), 2
    kernel = tf.cast(kernel, x.dtype)
    y = convolve_faster(x, kernel, stride, "same", training)
    return tf.nn.conv2d(x, kernel, stride, "SAME") if y is None else y


def double_and_convolve(x: tf.Tensor, kernel: tf.Tensor, training: bool | None = None) -> tf.Tensor:
    """(N, H, W, C), kernel (k, k, C, width), k odd -> (N, 2H, 2W, width): each pixel four times, then the convolution."""
    kernel = tf.cast(doubling_kernel(kernel), x.dtype)
    y = transpose_faster(x, kernel, 2, "same", training)
    if y is not None:
        return y
    shape = tf.shape(x)
    return tf.nn.conv2d_transpose(x, kernel, [shape[0], 2 * shape[1], 2 * shape[2], kernel.shape[2]], 2, "SAME")


def doubling_kernel(kernel: tf.Tensor) -> tf.Tensor:
    """(k, k, C, width) -> (k + 1, k + 1, width, C): of the transposed convolution with stride 2 that doubles and convolves."""
    return tf.transpose(_spread(kernel, _corners(kernel.shape[0], True)), (0, 1, 3, 2))


def _spread(kernel, corners):
    k = kernel.shape[0]
    summed = tf.matmul(tf.cast(corners, kernel.dtype), tf.reshape(kernel, [k * k, -1]))
    return tf.reshape(summed, [k + 1, k + 1, *kernel.shape[2:]])


def convolved_shape(shape, width: int, resample: str = "none") -> tuple:
    """The shape of what `convolve` makes of a shape (N, H, W, C)."""
    n, *sides, _ = shape
    sides = [side and {"none": side, "up": 2 * side, "down": -(-side // 2)}[resample] for side in sides]
    return (n, *sides, width)


@functools.cache
def _corners(k, flip):
    """float32 ((k + 1)^2, k^2): a k x k kernel to the sum of it in the four corners of a (k + 1) x (k + 1) one.

    `flip` turns the kernel first, for a transposed convolution, which correlates with the turned kernel. As a matrix,
    because the gradient of slices of weights took an eighth of a training step.
    """
    row = np.eye(k + 1, k) + np.eye(k + 1, k, -1)
    row = row[:, ::-1] if flip else row
    return np.kron(row, row).astype("float32")
