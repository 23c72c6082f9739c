"""Convolutions in the form that is the fastest for their shapes, with the weights and the numbers of the plain ones.

As an operation, as one matrix product (`folded`), or, in training, with fewer products (`winograd`). The choice is made while a
step is traced, from what the shapes say there.
"""

import keras
import tensorflow as tf

from ganzoo.layers import folded, winograd


def convolve_faster(
    x: tf.Tensor, kernel: tf.Tensor, stride: int, padding: str, training: bool | None
) -> tf.Tensor | None:
    """(N, *sides, C) * kernel (k, m, C, F) or (k, l, m, C, F), `padding` "valid" or "same"; None where the operation is the
    fastest form."""
    (n, *sides, _), taps = x.shape, kernel.shape[:-2]
    cut = [0 if padding == "same" else k - 1 for k in taps]
    sides = [side and -(-(side - less) // stride) for side, less in zip(sides, cut, strict=True)]
    made = tf.TensorShape([n, *sides, kernel.shape[-1]])
    if training and (tiles := winograd.tiling(x.shape, made, kernel, stride, padding)):
        return winograd.convolve(tiles, x, kernel)
    if len(sides) == 2 and folded.few_positions(kernel, made):
        return folded.patches_times_kernel(x, kernel, stride, padding)
    return None


def transpose_faster(
    x: tf.Tensor, kernel: tf.Tensor, stride: int, padding: str, training: bool | None
) -> tf.Tensor | None:
    """The transposed convolution, (N, *sides, C) with kernel (k, m, F, C) or (k, l, m, F, C); None as of `convolve_faster`."""
    (n, *sides, _), taps = x.shape, kernel.shape[:-2]
    if stride > min(taps):
        return None
    more = [0 if padding == "same" else k - stride for k in taps]
    sides = [side and side * stride + extra for side, extra in zip(sides, more, strict=True)]
    made = tf.TensorShape([n, *sides, kernel.shape[-2]])
    if training and (tiles := winograd.tiling(made, x.shape, kernel, stride, padding)):
        return winograd.transpose(tiles, x, kernel)
    if len(sides) == 2 and folded.few_positions(kernel, x.shape):
        return folded.pixels_times_kernel(x, kernel, stride, padding)
    return None


@keras.saving.register_keras_serializable("ganzoo")
class FastConv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D` in its fastest form."""

    def call(self, inputs, training=None):
        y = _computed(self, convolve_faster, inputs, training) if self.groups == 1 else None
        return super().call(inputs) if y is None else y


@keras.saving.register_keras_serializable("ganzoo")
class FastConv2DTranspose(keras.layers.Conv2DTranspose):
    """`keras.layers.Conv2DTranspose` in its fastest form."""

    def call(self, inputs, training=None):
        y = _computed(self, transpose_faster, inputs, training) if self.output_padding is None else None
        return super().call(inputs) if y is None else y


@keras.saving.register_keras_serializable("ganzoo")
class FastConv3D(keras.layers.Conv3D):
    """`keras.layers.Conv3D` in its fastest form."""

    def call(self, inputs, training=None):
        y = _computed(self, convolve_faster, inputs, training) if self.groups == 1 else None
        return super().call(inputs) if y is None else y


@keras.saving.register_keras_serializable("ganzoo")
class FastConv3DTranspose(keras.layers.Conv3DTranspose):
    """`keras.layers.Conv3DTranspose` in its fastest form."""

    def call(self, inputs, training=None):
        y = _computed(self, transpose_faster, inputs, training) if self.output_padding is None else None
        return super().call(inputs) if y is None else y


def _computed(layer, faster, inputs, training):
    """What `faster` makes of a layer's call, with its bias and activation; None where the layer is to compute it itself."""
    stride, *others = layer.strides
    if (
        any(other != stride for other in others)
        or set(layer.dilation_rate) != {1}
        or layer.data_format != "channels_last"
    ):
        return None
    y = faster(inputs, tf.convert_to_tensor(layer.kernel), stride, layer.padding, training)
    return None if y is None else finished(layer, y)


def finished(layer: keras.layers.Layer, y: tf.Tensor) -> tf.Tensor:
    """What one of Keras' convolution layers does after the convolution: its bias, then its activation."""
    y = tf.nn.bias_add(y, tf.convert_to_tensor(layer.bias)) if layer.use_bias else y
    return y if layer.activation is None else layer.activation(y)
