"""Batch and instance normalisation with the conventions of the papers' own code (PyTorch), not Keras' defaults."""

from collections.abc import Iterable, Mapping

import keras
import tensorflow as tf

from ganzoo.layers.folded import cpus_alone


@keras.saving.register_keras_serializable("ganzoo")
class BatchNorm(keras.layers.Layer):
    """Batch normalisation over all axes but the last, by TensorFlow's fused kernel.

    Differs from `keras.layers.BatchNormalization` in what golden parity and GAN test time need:
    epsilon 1e-5 and momentum 0.9 (torch's 0.1); the running variance takes the *unbiased* batch variance, as torch
    stores it; and `per_image=True` normalises every image by its own statistics and changes no variable. That last
    mode is pix2pix's test time (batch 1 in training mode, Isola et al. section 3.4) for a batch of any size.

    Args:
        momentum: share of the old running value kept at each training call.
        epsilon: added to the variance.
        gamma_initializer: initial gain; DCGAN and pix2pix draw it from N(1, 0.02).
        affine: a gain and an offset for each channel; without, the layer only normalises (a class-conditional norm has them of
            its own, for each image).

    `synchronized`, set on a built layer (`blocks.synchronize`), takes the statistics of a training call over the rows of
    all replicas. That is how a run is spread, not what the layer computes: it is not part of the configuration.

    Call arguments: `inputs` (N, C), (N, H, W, C) or (N, D, H, W, C) float; `training`; `per_image`, rank 4 only.
    """

    def __init__(self, *, momentum=0.9, epsilon=1e-5, gamma_initializer="ones", affine=True, **kwargs):
        super().__init__(**kwargs)
        self.momentum = momentum
        self.epsilon = epsilon
        self.affine = affine
        self.gamma_initializer = keras.initializers.get(gamma_initializer)
        self.synchronized = False

    def build(self, input_shape):
        shape = (input_shape[-1],)
        # The statistics stay float32 under a half-precision policy: the fused kernel demands it.
        if self.affine:
            self.gamma = self.add_weight(
                name="gamma", shape=shape, initializer=self.gamma_initializer, dtype="float32", autocast=False
            )
            self.beta = self.add_weight(name="beta", shape=shape, initializer="zeros", dtype="float32", autocast=False)
        # No aggregation: one all-reduce a value and call would be most of what several workers say to each other. Each
        # replica moves its own by its own rows, and `share_statistics` takes the mean of them once a step: the same numbers.
        moving = {"shape": shape, "trainable": False, "dtype": "float32", "autocast": False}
        self.moving_mean = self.add_weight(name="moving_mean", initializer="zeros", **moving)
        self.moving_variance = self.add_weight(name="moving_variance", initializer="ones", **moving)

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, inputs, training=None, per_image=False):
        if per_image:
            return self._normalise_each(inputs)
        if training and self.synchronized:
            return self._normalise_all(inputs)
        flat, x = inputs.shape.rank == 2, inputs
        if flat:
            x = inputs[:, None, None, :]
        elif inputs.shape.rank == 5:  # the kernel knows four axes
            shape = tf.shape(inputs)
            x = tf.reshape(inputs, [-1, shape[2], shape[3], inputs.shape[4]])
        moments = (tf.zeros([0]), tf.zeros([0])) if training else (self.moving_mean.value, self.moving_variance.value)
        y, mean, unbiased_variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x,
            scale=self.gamma.value if self.affine else tf.ones([x.shape[-1]]),
            offset=self.beta.value if self.affine else tf.zeros([x.shape[-1]]),
            mean=moments[0],
            variance=moments[1],
            epsilon=self.epsilon,
            is_training=bool(training),
        )
        if training:
            self._remember(mean, unbiased_variance)
        if flat:
            return y[:, 0, 0, :]
        return tf.ensure_shape(tf.reshape(y, tf.shape(inputs)), inputs.shape) if inputs.shape.rank == 5 else y

    def _remember(self, mean, unbiased_variance):
        keep = self.momentum
        self.moving_mean.assign(keep * self.moving_mean.value + (1 - keep) * mean)
        self.moving_variance.assign(keep * self.moving_variance.value + (1 - keep) * unbiased_variance)

    def _normalise_all(self, inputs):
        x = tf.cast(inputs, tf.float32)
        axes = list(range(x.shape.rank - 1))
        mean, variance = tf.nn.moments(x, axes)
        rows = tf.cast(tf.size(x), tf.float32) / x.shape[-1]
        context = tf.distribute.get_replica_context()
        if context is not None and context.num_replicas_in_sync > 1:  # None while the networks are built
            own, mean = mean, context.all_reduce(tf.distribute.ReduceOp.MEAN, mean)
            # The variance within each replica and the one between them: E[x^2] - E[x]^2 would cancel.
            variance = context.all_reduce(tf.distribute.ReduceOp.MEAN, variance + tf.square(own - mean))
            rows *= context.num_replicas_in_sync
        self._remember(mean, variance * rows / tf.maximum(rows - 1, 1))
        offset, scale = (self.beta.value, self.gamma.value) if self.affine else (None, None)
        y = tf.nn.batch_normalization(x, mean, variance, offset, scale, self.epsilon)
        return tf.cast(y, inputs.dtype)

    def _normalise_each(self, inputs):
        x = tf.cast(inputs, tf.float32)
        mean, variance = tf.nn.moments(x, [1, 2], keepdims=True)
        offset, scale = (self.beta.value, self.gamma.value) if self.affine else (None, None)
        y = tf.nn.batch_normalization(x, mean, variance, offset, scale, self.epsilon)
        return tf.cast(y, inputs.dtype)

    def get_config(self):
        return super().get_config() | {
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "gamma_initializer": keras.initializers.serialize(self.gamma_initializer),
            "affine": self.affine,
        }


def share_statistics(networks: Iterable[keras.Model], values: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Moving statistics of every BatchNorm become their mean over the replicas, in one all-reduce. In a replica.

    Returns:
        The means over the replicas of `values`, scalars of this one, which travel with them.
    """
    context = tf.distribute.get_replica_context()
    norms = [layer for network in networks for layer in network._flatten_layers() if isinstance(layer, BatchNorm)]
    if context.num_replicas_in_sync == 1 or not (norms or values):
        return dict(values)
    moving = [variable for norm in norms for variable in (norm.moving_mean, norm.moving_variance)]
    scalars = [tf.reshape(tf.cast(value, tf.float32), [1]) for value in values.values()]
    own = tf.concat([variable.value for variable in moving] + scalars, axis=0)
    mean = context.all_reduce(tf.distribute.ReduceOp.MEAN, own)
    *shared, rest = tf.split(mean, [variable.shape[0] for variable in moving] + [len(scalars)])
    for variable, value in zip(moving, shared, strict=True):
        variable.assign(value)
    return dict(zip(values, tf.unstack(rest, len(scalars)), strict=True))


@keras.saving.register_keras_serializable("ganzoo")
class Zeroed(keras.constraints.Constraint):
    """Sets a bias back to zero after each update, for a convolution whose norm subtracts the bias again.

    Its true gradient is zero, but Adam makes whole steps of the rounding noise; the papers' Lua code zeroes it too.
    """

    def __call__(self, w):
        return keras.ops.zeros_like(w)


# Up to so many numbers, the plain operations of an instance norm take a third to two thirds of the fused kernel's time with its
# transposes, and from there on more (benchmarks/README.md).
SMALL_MAPS = 2**16


def few_numbers(shape: tf.TensorShape) -> bool:
    """Whether maps (N, H, W, C) are small, as above. False where a size is not known, or on a GPU or TPU."""
    return shape.is_fully_defined() and shape.num_elements() <= SMALL_MAPS and cpus_alone()


@keras.saving.register_keras_serializable("ganzoo")
class InstanceNorm(keras.layers.Layer):
    """Instance normalisation of (N, H, W, C) images, each channel of each image by itself, epsilon 1e-5.

    `affine=False` as PyTorch's default (pix2pix and CycleGAN's code); with True, a gain and a bias per channel.
    `fused=True` takes TensorFlow's fused kernel in training, whose gradient needs half the time on a CPU, but for small maps; the
    numbers are the same to rounding. Without training the plain operations stay, which every export format knows.
    """

    def __init__(self, *, epsilon=1e-5, affine=False, fused=False, **kwargs):
        super().__init__(**kwargs)
        self.epsilon = epsilon
        self.affine = affine
        self.fused = fused

    def build(self, input_shape):
        shape = (input_shape[-1],)
        self.gamma = self.add_weight(name="gamma", shape=shape, initializer="ones") if self.affine else None
        self.beta = self.add_weight(name="beta", shape=shape, initializer="zeros") if self.affine else None

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, inputs, training=None):
        if self.fused and training and not few_numbers(inputs.shape):
            return self._fused(inputs)
        x = tf.cast(inputs, tf.float32)  # half-precision moments would be off by a percent of the deviation
        mean, variance = tf.nn.moments(x, [1, 2], keepdims=True)
        gain, bias = (None if v is None else tf.cast(v, tf.float32) for v in (self.gamma, self.beta))
        return tf.cast(tf.nn.batch_normalization(x, mean, variance, bias, gain, self.epsilon), inputs.dtype)

    def _fused(self, inputs):
        """Batch norm of one image whose channels are all channels of all images."""
        n, h, w, _ = tf.unstack(tf.shape(inputs))
        c = inputs.shape[-1]
        x = tf.reshape(tf.transpose(inputs, [1, 2, 0, 3]), [1, h, w, n * c])
        gain = tf.ones([n * c]) if self.gamma is None else tf.tile(tf.cast(self.gamma, tf.float32), [n])
        bias = tf.zeros([n * c]) if self.beta is None else tf.tile(tf.cast(self.beta, tf.float32), [n])
        none = tf.zeros([0])
        y = tf.raw_ops.FusedBatchNormV3(
            x=x, scale=gain, offset=bias, mean=none, variance=none, epsilon=self.epsilon, is_training=True
        )[0]
        y = tf.transpose(tf.reshape(y, [h, w, n, c]), [2, 0, 1, 3])
        return tf.ensure_shape(y, inputs.shape)

    def get_config(self):
        return super().get_config() | {"epsilon": self.epsilon, "affine": self.affine, "fused": self.fused}


def standing_statistics(generator: keras.Model, batches: Iterable) -> None:
    """Sets every BatchNorm's running values to the plain mean over `batches` of its batch statistics.

    A generator that samples with moving statistics is only as good as they are; after training they lag behind the
    weights. Each batch is one input of the generator (Brock et al. 2018, section 4 "standing statistics"). Nothing happens
    to a generator without a BatchNorm.
    """
    norms = [layer for layer in generator._flatten_layers() if isinstance(layer, BatchNorm)]
    if not norms:
        return
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
