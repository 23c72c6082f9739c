"""What StyleGAN does between two convolutions: noise, bias, leaky ReLU, instance norm, style (1812.04948, figure 1)."""

import math

import keras
import tensorflow as tf

from ganzoo.errors import GanzooError


@keras.saving.register_keras_serializable("ganzoo")
class StyleEpilogue(keras.layers.Layer):
    """`layer(x, w, noise)`: `AdaIN(lrelu(x + strength * noise + bias), style(w))`, the order of the official code.

    Each image's channels are normalised by their own mean and variance (epsilon 1e-8, in float32 whatever the policy),
    then scaled by `y_s + 1` and shifted by `y_b`; [y_s, y_b] is a linear map of w (equalised, gain 1, biases 0).

    With `normalized=False` they are scaled alone, by `scale(w)`, and the next convolution's output is divided by the
    deviation that this gives it (`demodulation`): StyleGAN2 (1912.04958, section 2.2). Its leaky ReLU has a gain of sqrt(2).

    Call arguments: x (N, H, W, C); w (N, D); noise (N or 1, H, W, 1), or None for the layer's stored noise, a
    constant that makes an image a function of w alone. Strengths, one a channel, begin at 0.

    Args:
        noisy: False leaves the noise out, as before configuration E of the paper's table 1.
        normalized: False leaves the instance norm and the shift out.
    """

    def __init__(self, *, noisy=True, normalized=True, **kwargs):
        super().__init__(autocast=False, **kwargs)  # w and the noise come in float32 next to half-precision x
        self.noisy, self.normalized = noisy, normalized

    def build(self, x_shape, w_shape):
        _, height, width, channels = x_shape
        add = {"dtype": "float32", "autocast": False}
        if self.noisy:
            self.strength = self.add_weight(name="noise_strength", shape=(channels,), initializer="zeros", **add)
        self.bias = self.add_weight(name="bias", shape=(channels,), initializer="zeros", **add)
        normal = keras.initializers.RandomNormal(stddev=1.0)
        styles = 2 * channels if self.normalized else channels
        self.style_kernel = self.add_weight(name="style_kernel", shape=(w_shape[-1], styles), initializer=normal, **add)
        self.style_bias = self.add_weight(name="style_bias", shape=(styles,), initializer="zeros", **add)
        if self.noisy:
            self.noise = self.add_weight(
                name="noise", shape=(1, height, width, 1), initializer=normal, trainable=False, **add
            )
        self.style_scale = 1 / math.sqrt(w_shape[-1])

    def compute_output_shape(self, x_shape, w_shape, noise_shape=None):
        return x_shape

    def call(self, x, w, noise=None):
        added = tf.cast(self.bias.value, x.dtype)
        if self.noisy:
            noise = self.noise.value if noise is None else noise
            # A convolution of the one channel, because its kernel gradient and bias gradient are one pass over the maps.
            strength = tf.cast(self.strength.value[None, None, None], x.dtype)
            added = tf.nn.bias_add(tf.nn.conv2d(tf.cast(noise, x.dtype), strength, 1, "SAME"), added)
        x = tf.nn.leaky_relu(x + added, 0.2)
        if not self.normalized:
            return x * tf.cast(math.sqrt(2) * self.scale(w)[:, None, None], x.dtype)
        style = self.style(w)
        scale, shift = tf.split(style[:, None, None, :], 2, axis=-1)
        wide = tf.cast(x, tf.float32)
        mean = tf.reduce_mean(wide, [1, 2], keepdims=True)
        centred = wide - mean
        variance = tf.reduce_mean(tf.square(centred), [1, 2], keepdims=True)
        return tf.cast(centred * (tf.math.rsqrt(variance + 1e-8) * (scale + 1)) + shift, x.dtype)

    def style(self, w):
        return tf.matmul(tf.cast(w, tf.float32), self.style_kernel.value * self.style_scale) + self.style_bias.value

    def scale(self, w):
        """By what each channel is multiplied where `normalized` is False: float32 (N, C) of w (N, D)."""
        return self.style(w) + 1

    def get_config(self):
        return super().get_config() | {"noisy": self.noisy, "normalized": self.normalized}


def demodulation(kernel: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """(N, 1, 1, F): 1 / the deviation that a convolution's output has of inputs of deviation 1 that were multiplied by
    `scale` (N, C) (1912.04958, equation 3); kernel (k, k, C, F), as it is applied, in float32."""
    variance = tf.matmul(tf.square(scale), tf.reduce_sum(tf.square(kernel), axis=[0, 1]))
    return tf.math.rsqrt(variance + 1e-8)[:, None, None]


@keras.saving.register_keras_serializable("ganzoo")
class MinibatchStddev(keras.layers.Layer):
    """Appends one map: how much the images of a group differ (1710.10196, section 3, in groups of the official code).

    (N, H, W, C) -> (N, H, W, C + 1). Image i belongs to group i mod (N / size): groups are strided through the batch,
    which `size` must divide unless it is smaller. The deviation (epsilon 1e-8 in the root, float32 whatever the policy)
    is averaged over channels and pixels.

    Args:
        size: images a group, 4 in the official code.
    """

    def __init__(self, size=4, **kwargs):
        super().__init__(**kwargs)
        self.size = size
        self.built = True  # it has no variables; Keras looks before it trains on several devices

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], input_shape[-1] + 1)

    def call(self, x):
        if x.shape[0] is not None:
            self.check(x.shape[0])
        shape = tf.shape(x)
        size = tf.minimum(self.size, shape[0])
        groups = tf.reshape(tf.cast(x, tf.float32), [size, -1, shape[1], shape[2], x.shape[3]])
        centred = groups - tf.reduce_mean(groups, axis=0, keepdims=True)
        deviation = tf.sqrt(tf.reduce_mean(tf.square(centred), axis=0) + 1e-8)  # (M, H, W, C)
        spread = tf.reduce_mean(deviation, axis=[1, 2, 3])
        map_of = tf.tile(spread, [size])[:, None, None, None] * tf.ones([1, shape[1], shape[2], 1])
        return tf.concat([x, tf.cast(map_of, x.dtype)], axis=-1)

    def check(self, rows: int) -> None:
        """GanzooError if a batch of so many images has no whole number of groups."""
        if rows > self.size and rows % self.size:
            raise GanzooError(
                f"The minibatch deviation compares groups of {self.size} images (stddev_group), and a batch of {rows} "
                f"has no whole number of them. Choose a multiple of {self.size}."
            )

    def get_config(self):
        return super().get_config() | {"size": self.size}
