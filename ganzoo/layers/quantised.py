"""A convolution of a frozen network whose kernel is stored in 8 bits."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("ganzoo")
class QuantisedConv2D(keras.layers.Layer):
    """y = conv(x, codes * scale + shift) + bias, with codes of 0 to 255 and a scale and a shift for each filter.

    Nothing of it trains; gradients flow through it to its input. A quarter of the bytes of float32, in memory and in files,
    and the same numbers as a float32 convolution with the kernel that the codes stand for.

    Args:
        filters, kernel_size, strides, padding: as of `keras.layers.Conv2D`; kernels are square.
    """

    def __init__(self, filters, kernel_size, strides=1, padding="same", **options):
        super().__init__(**options | {"trainable": False})
        self.filters, self.kernel_size, self.strides, self.padding = filters, kernel_size, strides, padding

    def build(self, input_shape):
        def frozen(name, shape, **options):
            return self.add_weight(name=name, shape=shape, initializer="zeros", trainable=False, **options)

        side = self.kernel_size
        self.codes = frozen("codes", (side, side, input_shape[-1], self.filters), dtype="uint8", autocast=False)
        self.scale = frozen("scale", (self.filters,), autocast=False)
        self.shift = frozen("shift", (self.filters,), autocast=False)
        self.bias = frozen("bias", (self.filters,), autocast=False)

    def compute_output_shape(self, input_shape):
        n, *sides, _ = input_shape
        cut = self.kernel_size - 1 if self.padding == "valid" else 0
        return (n, *(side and -(-(side - cut) // self.strides) for side in sides), self.filters)

    def call(self, inputs):
        codes, scale, shift = (tf.convert_to_tensor(v) for v in (self.codes, self.scale, self.shift))
        kernel = tf.cast(codes, scale.dtype) * scale + shift
        y = tf.nn.conv2d(inputs, tf.cast(kernel, inputs.dtype), self.strides, self.padding.upper())
        return y + tf.cast(tf.convert_to_tensor(self.bias), y.dtype)

    def get_config(self):
        own = ("filters", "kernel_size", "strides", "padding")
        return super().get_config() | {name: getattr(self, name) for name in own}
