"""Gradient penalties on a critic: plain batch means, without lambda or gamma/2 (the paper's step multiplies).

A critic is any callable that maps [N, ...] images to logits. If it returns several logits a sample (a patch map), the
gradient is that of their sum, as `torch.autograd.grad(..., grad_outputs=ones)` has it. The norm runs over all axes of
one sample. Images are constants here: the result has gradients with respect to the critic's weights (second order,
through the caller's tape) and none with respect to whatever made the images.

Randomness: `alpha` and `noise` may be given, which is what a train step does (rows of one draw for the global batch, so
that replicas agree with a single device). Left out, they are drawn here: from `seed` (two integers, stateless) if
given, else freshly.
"""

from collections.abc import Callable, Iterable

import tensorflow as tf

from ganzoo.errors import GanzooError
from ganzoo.losses import safe_sqrt

__all__ = ["dragan", "gradient_penalty", "logits_and_r1", "orthogonal", "r1", "r2"]

Critic = Callable[[tf.Tensor], tf.Tensor]


def gradient_penalty(critic: Critic, real, fake, *, alpha=None, target: float = 1.0, seed=None) -> tf.Tensor:
    """WGAN-GP (Gulrajani et al. 2017, arXiv 1704.00028): `mean (||grad D(x_hat)||_2 - target)^2`.

    `x_hat = alpha * real + (1 - alpha) * fake`, one alpha ~ U[0, 1) a sample.

    Args:
        critic: maps [N, ...] to logits.
        real, fake: images of the same shape [N, ...].
        alpha: N numbers (any shape that holds N), or one for all; None draws them.
        target: the norm aimed at; 1 in the paper, 0 for a zero-centred penalty.
        seed: two integers for the draw of alpha.

    Raises:
        GanzooError: shapes of real and fake differ, alpha has another length, or the critic ignores its input.
    """
    real, fake = _images(real), _images(fake)
    if not real.shape.is_compatible_with(fake.shape):
        raise GanzooError(
            f"gradient_penalty mixes real and fake images sample by sample, but real has shape {tuple(real.shape)} and "
            f"fake {tuple(fake.shape)}. Give two batches of one shape."
        )
    alpha = _per_sample(alpha, real, seed)
    return tf.reduce_mean(tf.square(_norms(critic, alpha * real + (1.0 - alpha) * fake) - target))


def dragan(critic: Critic, real, *, alpha=None, noise=None, seed=None) -> tf.Tensor:
    """DRAGAN (Kodali et al. 2017, arXiv 1705.07215): `mean (||grad D(x_hat)||_2 - 1)^2` around the data.

    `x_hat = real + alpha * 0.5 * std(real) * noise`; std is one number for the whole batch (unbiased, n - 1).

    Args:
        critic: maps [N, ...] to logits.
        real: images [N, ...].
        alpha: N numbers, U[0, 1) if None.
        noise: shape of real, U[0, 1) an element if None.
        seed: two integers for both draws.
    """
    real = _images(real)
    alpha = _per_sample(alpha, real, seed)
    if noise is None:
        noise = _uniform(tf.shape(real), None if seed is None else tf.add(seed, [0, 1]))
    else:
        noise = tf.cast(noise, tf.float32)
        if not real.shape.is_compatible_with(noise.shape):
            raise GanzooError(f"dragan needs noise of the images' shape {tuple(real.shape)}, not {tuple(noise.shape)}.")
    count = tf.cast(tf.size(real), tf.float32)
    std = tf.sqrt(tf.reduce_sum(tf.square(real - tf.reduce_mean(real))) / (count - 1.0))
    return tf.reduce_mean(tf.square(_norms(critic, real + alpha * 0.5 * std * noise) - 1.0))


def r1(critic: Critic, real) -> tf.Tensor:
    """R1 (Mescheder et al. 2018, arXiv 1801.04406, eq. 9): `mean ||grad D(x)||_2^2` on real images."""
    return tf.reduce_mean(_squared_norms(critic, _images(real)))


def logits_and_r1(critic: Critic, real) -> tuple[tf.Tensor, tf.Tensor]:
    """The logits of the reals and R1 on them, from one forward pass: for steps that need both."""
    logits, squared = _logits_and_squared_norms(critic, _images(real))
    return logits, tf.reduce_mean(squared)


def r2(critic: Critic, fake) -> tf.Tensor:
    """R2 (Mescheder et al. 2018, arXiv 1801.04406, eq. 10): `mean ||grad D(G(z))||_2^2` on generated images."""
    return tf.reduce_mean(_squared_norms(critic, _images(fake)))


def _images(x) -> tf.Tensor:
    """Constant float32 images: a bfloat16 sum of squares over an image would lose the penalty."""
    return tf.stop_gradient(tf.cast(x, tf.float32))


def _squared_norms(critic: Critic, x: tf.Tensor) -> tf.Tensor:
    """[N] squared L2 norms of the critic's input gradient, differentiable in the critic's weights."""
    return _logits_and_squared_norms(critic, x)[1]


def _logits_and_squared_norms(critic: Critic, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    with tf.GradientTape() as tape:
        tape.watch(x)
        logits = critic(x)
        total = tf.reduce_sum(tf.cast(logits, tf.float32))
    gradient = tape.gradient(total, x)
    if gradient is None:
        raise GanzooError("The critic's output does not depend on its input, so it has no gradient to penalise.")
    return logits, tf.reduce_sum(tf.square(gradient), axis=list(range(1, len(x.shape))))


def _norms(critic: Critic, x: tf.Tensor) -> tf.Tensor:
    return safe_sqrt(_squared_norms(critic, x))


def _per_sample(alpha, images: tf.Tensor, seed) -> tf.Tensor:
    """`alpha` as [N, 1, 1, ...] (or [1, 1, ...] for one number), drawn from U[0, 1) if None."""
    ones = [1] * (len(images.shape) - 1)
    if alpha is None:
        return tf.reshape(_uniform([tf.shape(images)[0]], seed), [-1, *ones])
    alpha = tf.cast(alpha, tf.float32)
    count, batch = alpha.shape.num_elements(), images.shape[0]
    if count is not None and batch is not None and count not in (1, batch):
        raise GanzooError(f"alpha needs one number a sample: {batch} images, but {count} numbers arrived.")
    return tf.reshape(alpha, [-1, *ones])


def _uniform(shape, seed) -> tf.Tensor:
    return tf.random.uniform(shape) if seed is None else tf.random.stateless_uniform(shape, seed=seed)


def orthogonal(matrices: Iterable[tf.Tensor]) -> tf.Tensor:
    """Orthogonal regularisation (Brock et al. 2018, arXiv 1809.11096, section 3.1): the sum of ||W W^T * (1 - I)||_F^2, that is of
    the squared products of each two filters, whose lengths are left alone.

    The official code adds 2 beta (W W^T * (1 - I)) W to the gradients, half of the gradient of beta times this.

    Args:
        matrices: each (inputs, filters): a kernel (..., filters) with its other axes as one, which is W^T.
    """
    return tf.add_n([_off_diagonal(tf.matmul(w, w, transpose_a=True)) for w in matrices])


def _off_diagonal(gram: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.square(tf.linalg.set_diag(gram, tf.zeros([gram.shape[0]]))))
