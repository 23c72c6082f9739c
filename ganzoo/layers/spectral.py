"""Spectral normalisation (Miyato et al. 2018, 1802.05957): weights divided by an estimate of their largest singular value.

The weight is read as a matrix W of one row for each output ("rows = filters"). In every training forward one power iteration
from the stored u gives v = u W / |u W| and u' = v W^T / |v W^T|, and sigma = v W^T u'^T; u' is stored. In evaluation sigma is
found in the same way and nothing is stored. Gradients flow through W, in sigma too, and not through u and v. u belongs to the
weights: every replica computes the same one from the same weights, so that nothing is to be shared.
"""

import keras
import tensorflow as tf

from ganzoo.layers.resampling import convolve, convolved_shape


class _Spectral(keras.layers.Layer):
    """A kernel and its u (outputs,), both float32."""

    def __init__(
        self, width, *, use_bias=True, epsilon=1e-12, spectral=True, kernel_initializer="orthogonal", bias_constraint=None,
        **kwargs,
    ):  # fmt: skip
        super().__init__(**kwargs)
        self.width, self.use_bias, self.epsilon, self.spectral = width, use_bias, epsilon, spectral
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_constraint = keras.constraints.get(bias_constraint)

    def add_kernel(self, shape, outputs):
        kept = {"dtype": "float32", "autocast": False}
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=self.kernel_initializer, **kept)
        if self.spectral:
            self.u = self.add_weight(
                name="u",
                shape=(outputs,),
                initializer=keras.initializers.RandomNormal(stddev=1.0),
                trainable=False,
                **kept,
            )
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias", shape=(self.width,), initializer="zeros", constraint=self.bias_constraint, **kept
            )

    def matrix(self):
        """W^T: (rest, outputs)."""
        return tf.reshape(self.kernel.value, [-1, self.u.shape[0]])

    def normalised(self, training):
        """The kernel divided by sigma; in training u goes on by one iteration."""
        if not self.spectral:
            return self.kernel.value
        w = self.matrix()
        v = tf.stop_gradient(self._unit(tf.linalg.matvec(w, self.u.value)))
        product = tf.linalg.matvec(w, v, transpose_a=True)
        u = tf.stop_gradient(self._unit(product))
        if training:
            self.u.assign(u)
        # Of a kernel of zeros sigma is 0, and what it makes is 0.
        return self.kernel.value * tf.math.divide_no_nan(1.0, tf.reduce_sum(product * u))

    def _unit(self, vector):
        return vector / tf.maximum(tf.norm(vector), self.epsilon)

    def biased(self, x):
        return tf.nn.bias_add(x, tf.cast(self.bias.value, x.dtype)) if self.use_bias else x

    def get_config(self):
        return super().get_config() | {
            "width": self.width,
            "use_bias": self.use_bias,
            "epsilon": self.epsilon,
            "spectral": self.spectral,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_constraint": keras.constraints.serialize(self.bias_constraint),
        }


@keras.saving.register_keras_serializable("ganzoo")
class SpectralDense(_Spectral):
    """Linear map (N, D) -> (N, width) of a normalised kernel.

    Args:
        use_bias: add a bias.
        epsilon: the least length by which a vector is divided.
        spectral: False takes the kernel as it is.
    """

    def build(self, input_shape):
        self.add_kernel((input_shape[-1], self.width), self.width)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.width)

    def call(self, x, training=None):
        return self.biased(tf.matmul(x, tf.cast(self.normalised(training), x.dtype)))


@keras.saving.register_keras_serializable("ganzoo")
class SpectralTable(_Spectral):
    """A row of a normalised table for each class: weights (N, classes), one-hot for a class, -> (N, width).

    As an embedding in torch, a class is an output of the matrix: u has one entry for each class.
    """

    def __init__(self, width, **kwargs):
        super().__init__(width, use_bias=False, **kwargs)

    def build(self, input_shape):
        self.add_kernel((input_shape[-1], self.width), input_shape[-1])

    def matrix(self):
        return tf.transpose(self.kernel.value)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.width)

    def call(self, weights, training=None):
        return tf.matmul(weights, tf.cast(self.normalised(training), weights.dtype))

    def get_config(self):
        config = super().get_config()
        del config["use_bias"]
        return config


@keras.saving.register_keras_serializable("ganzoo")
class SpectralConv2D(_Spectral):
    """Convolution (N, H, W, C) -> (N, H', W', width) of a normalised kernel, zero padding.

    Args:
        kernel_size: odd.
        resample: "none", "up" or "down", as in `resampling.convolve`. The kernel is normalised as it is stored.
        use_bias: add a bias, after the resampling.
        epsilon, spectral: as in `SpectralDense`.
    """

    def __init__(self, width, *, kernel_size=3, resample="none", **kwargs):
        super().__init__(width, **kwargs)
        self.kernel_size, self.resample = kernel_size, resample

    def build(self, input_shape):
        self.add_kernel((self.kernel_size, self.kernel_size, input_shape[-1], self.width), self.width)

    def compute_output_shape(self, input_shape):
        return convolved_shape(input_shape, self.width, self.resample)

    def call(self, x, training=None):
        return self.biased(convolve(x, self.normalised(training), self.resample, training))

    def get_config(self):
        return super().get_config() | {"kernel_size": self.kernel_size, "resample": self.resample}
