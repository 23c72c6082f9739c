"""Equalised learning rate (Karras et al. 2017, 1710.10196, section 4.1): weights N(0, 1), scaled at run time."""

import math

import keras
import tensorflow as tf

from ganzoo.layers.resampling import convolve, convolved_shape

SQRT2 = math.sqrt(2)


class _Equalized(keras.layers.Layer):
    """A raw kernel N(0, 1 / lrmul) and a raw bias 0; what is applied is `kernel * gain / sqrt(fan_in) * lrmul`."""

    def __init__(self, width, *, gain=SQRT2, lrmul=1.0, use_bias=True, **kwargs):
        super().__init__(**kwargs)
        self.width, self.gain, self.lrmul, self.use_bias = width, gain, lrmul, use_bias

    def add_kernel(self, shape):
        # Kept in float32 and cast after the scaling: lrmul 0.01 makes raw weights of a hundred.
        initializer = keras.initializers.RandomNormal(stddev=1 / self.lrmul)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=initializer, autocast=False)
        self.scale = self.gain / math.sqrt(math.prod(shape[:-1])) * self.lrmul
        if self.use_bias:
            self.bias = self.add_weight(name="bias", shape=shape[-1:], initializer="zeros", autocast=False)

    def scaled_kernel(self):
        return self.kernel.value * self.scale

    def biased(self, x):
        return tf.nn.bias_add(x, tf.cast(self.bias.value * self.lrmul, x.dtype)) if self.use_bias else x

    def get_config(self):
        own = {"width": self.width, "gain": self.gain, "lrmul": self.lrmul, "use_bias": self.use_bias}
        return super().get_config() | own


@keras.saving.register_keras_serializable("ganzoo")
class EqualizedDense(_Equalized):
    """Linear map (N, D) -> (N, width) with equalised learning rate.

    Args:
        gain: of He's initialisation: sqrt(2) before a leaky ReLU, 1 for a linear output.
        lrmul: learning rate of this layer against the others; 0.01 in StyleGAN's mapping network.
        use_bias: add a bias, scaled by lrmul too.
    """

    def build(self, input_shape):
        self.add_kernel((input_shape[-1], self.width))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.width)

    def call(self, x):
        return self.biased(tf.matmul(x, tf.cast(self.scaled_kernel(), x.dtype)))


@keras.saving.register_keras_serializable("ganzoo")
class EqualizedConv2D(_Equalized):
    """Convolution (N, H, W, C) -> (N, H', W', width), zero padding, equalised learning rate.

    Args:
        kernel_size: odd.
        resample: "none", "up" (nearest doubling, then the convolution) or "down" (the convolution, then 2x2 averages).
            Both run as one 4x4 convolution of stride 2 whose kernel is the sum of four shifted 3x3 ones: the same
            numbers for 4/9 of the work. The bias comes after it.
    """

    def __init__(self, width, *, kernel_size=3, resample="none", **kwargs):
        super().__init__(width, **kwargs)
        self.kernel_size, self.resample = kernel_size, resample

    def build(self, input_shape):
        self.add_kernel((self.kernel_size, self.kernel_size, input_shape[-1], self.width))

    def compute_output_shape(self, input_shape):
        return convolved_shape(input_shape, self.width, self.resample)

    def call(self, x, training=None):
        return self.biased(convolve(x, self.scaled_kernel(), self.resample, training))

    def get_config(self):
        return super().get_config() | {"kernel_size": self.kernel_size, "resample": self.resample}


@keras.saving.register_keras_serializable("ganzoo")
class Blur(keras.layers.Layer):
    """[1, 2, 1] x [1, 2, 1] / 16 on every channel of (N, H, W, C), zeros outside."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.built = True  # it has no variables; Keras looks before it trains on several devices

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, x):
        taps = tf.constant([1.0, 2.0, 1.0]) / 4
        kernel = tf.tile((taps[:, None] * taps)[:, :, None, None], [1, 1, x.shape[-1], 1])
        return tf.nn.depthwise_conv2d(x, tf.cast(kernel, x.dtype), [1, 1, 1, 1], "SAME")
