"""Adversarial losses as pure functions of logits, in pairs: `<family>_d(real, fake)` for D, `<family>_g(fake)` for G.

Every function takes **logits of any shape** (one number an image, a patch map, several scales flattened) and returns a
float32 scalar, the plain mean over all of them. No sigmoid comes before the logarithm, so large logits stay exact;
half-precision logits are widened first. Nothing is divided by the number of replicas here: `BaseGAN.minimize` does
that, once.

At an undecided discriminator (all logits 0) the values are: non-saturating and minimax D 2 ln 2 = 1.386, non-saturating
G ln 2 = 0.693, minimax G -0.693, hinge D 2 and G 0, Wasserstein 0 and 0, least squares D 0.5 and G 1.
"""

import tensorflow as tf

from ganzoo.errors import GanzooError

__all__ = [
    "hinge_d",
    "hinge_g",
    "l1",
    "least_squares_d",
    "least_squares_g",
    "minimax_d",
    "minimax_g",
    "non_saturating_d",
    "non_saturating_g",
    "relativistic_d",
    "relativistic_g",
    "safe_sqrt",
    "tv",
    "wasserstein_d",
    "wasserstein_g",
]


def _float(x) -> tf.Tensor:
    return tf.cast(x, tf.float32)


def _mean(x: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(x)


def safe_sqrt(x: tf.Tensor) -> tf.Tensor:
    """Square root whose gradient at 0 is 0 instead of infinite (times zero: NaN), for norms that may vanish."""
    positive = x > 0
    return tf.where(positive, tf.sqrt(tf.where(positive, x, tf.ones_like(x))), tf.zeros_like(x))


# --- Goodfellow et al. 2014, arXiv 1406.2661 --------------------------------------------------------------------------


def non_saturating_d(real, fake, smoothing: float = 0.0) -> tf.Tensor:
    """D of the original GAN: `mean softplus(-D(x)) + mean softplus(D(G(z)))`, that is -E log D - E log(1 - D).

    Also known as logistic or vanilla loss; equals binary cross-entropy with targets 1 and 0, summed and not halved
    (pix2pix halves it in its own step).

    Args:
        smoothing: one-sided label smoothing (Salimans et al. 2016, arXiv 1606.03498, section 3.4): the target of reals is 1
            less this, which adds `smoothing * mean D(x)`; that of fakes stays 0.
    """
    loss = _mean(tf.nn.softplus(-_float(real))) + _mean(tf.nn.softplus(_float(fake)))
    return loss + smoothing * _mean(_float(real)) if smoothing else loss


def non_saturating_g(fake) -> tf.Tensor:
    """G that maximises log D(G(z)) (1406.2661, section 3): `mean softplus(-D(G(z)))`."""
    return _mean(tf.nn.softplus(-_float(fake)))


def minimax_d(real, fake) -> tf.Tensor:
    """D of the two-player game of eq. 1 in 1406.2661; the same formula as `non_saturating_d`."""
    return non_saturating_d(real, fake)


def minimax_g(fake) -> tf.Tensor:
    """G of eq. 1 in 1406.2661, minimising E log(1 - D(G(z))): `-mean softplus(D(G(z)))`.

    It saturates: where D is sure that a sample is fake, the gradient vanishes. Kept for theory and comparison.
    """
    return -_mean(tf.nn.softplus(_float(fake)))


# --- Lim and Ye 2017, arXiv 1705.02894 --------------------------------------------------------------------------------


def hinge_d(real, fake) -> tf.Tensor:
    """D of the hinge loss (1705.02894): `mean relu(1 - D(x)) + mean relu(1 + D(G(z)))`."""
    return _mean(tf.nn.relu(1.0 - _float(real))) + _mean(tf.nn.relu(1.0 + _float(fake)))


def hinge_g(fake) -> tf.Tensor:
    """G of the hinge loss (1705.02894): `-mean D(G(z))`."""
    return -_mean(_float(fake))


# --- Arjovsky, Chintala, Bottou 2017, arXiv 1701.07875 ----------------------------------------------------------------


def wasserstein_d(real, fake) -> tf.Tensor:
    """Critic of WGAN (1701.07875): `mean D(G(z)) - mean D(x)`, without a factor 1/2."""
    return _mean(_float(fake)) - _mean(_float(real))


def wasserstein_g(fake) -> tf.Tensor:
    """G of WGAN (1701.07875): `-mean D(G(z))`."""
    return -_mean(_float(fake))


# --- Mao et al. 2016, arXiv 1611.04076, in the convention of CycleGAN -------------------------------------------------


def least_squares_d(real, fake, smoothing: float = 0.0) -> tf.Tensor:
    """D of LSGAN (1611.04076, targets 1 and 0): `0.5 * (mean (D(x) - 1)^2 + mean D(G(z))^2)`.

    `smoothing`: the target of reals is 1 less this, as in `non_saturating_d`."""
    return 0.5 * (_mean(tf.square(_float(real) - (1.0 - smoothing))) + _mean(tf.square(_float(fake))))


def least_squares_g(fake) -> tf.Tensor:
    """G of LSGAN (1611.04076, target 1): `mean (D(G(z)) - 1)^2`, without the paper's 1/2 (as CycleGAN uses it)."""
    return _mean(tf.square(_float(fake) - 1.0))


# --- Jolicoeur-Martineau 2018, arXiv 1807.00734, as Huang et al. 2024 (R3GAN, arXiv 2501.05441) have it ---------------


def relativistic_d(real, fake) -> tf.Tensor:
    """D of relativistic pairs (1807.00734; 2501.05441, equation 2): `mean softplus(-(D(x) - D(G(z))))`, each real with the
    fake of its row. R3GAN adds R1 and R2 with one gamma (`penalties`).

    Raises:
        GanzooError: other numbers of real and of fake logits.
    """
    return _mean(tf.nn.softplus(-_pairs(real, fake)))


def relativistic_g(real, fake) -> tf.Tensor:
    """G of relativistic pairs: `mean softplus(D(x) - D(G(z)))`. Raises as `relativistic_d`."""
    return _mean(tf.nn.softplus(_pairs(real, fake)))


def _pairs(real, fake) -> tf.Tensor:
    real, fake = _float(real), _float(fake)
    if not real.shape.is_compatible_with(fake.shape):
        raise GanzooError(
            f"A relativistic loss compares each real with a fake, but there are logits of shape {tuple(real.shape)} for reals "
            f"and {tuple(fake.shape)} for fakes. Give as many of both."
        )
    return real - fake


# --- reconstruction and smoothness ------------------------------------------------------------------------------------


def l1(target, output) -> tf.Tensor:
    """Mean absolute error over **all** elements (pix2pix, 1611.07004 eq. 3; never summed)."""
    return _mean(tf.abs(_float(target) - _float(output)))


def tv(images) -> tf.Tensor:
    """Isotropic total variation, `sum_ij sqrt(dh^2 + dw^2)` of each image, averaged over the batch (1611.02200, eq. 7).

    Args:
        images: [N, H, W, C] with H and W at least 2. Only positions that have a right and a lower neighbour count;
            channels are summed.
    """
    images = _float(images)
    corner = images[:, :-1, :-1]
    squares = tf.square(images[:, 1:, :-1] - corner) + tf.square(images[:, :-1, 1:] - corner)
    return _mean(tf.reduce_sum(safe_sqrt(squares), axis=[1, 2, 3]))


def judgement(real_logits: tf.Tensor, fake_logits: tf.Tensor) -> dict[str, tf.Tensor]:
    """What a D step says of D besides its loss: the share of fakes that it takes for real, and its mean logits."""
    return {
        "fooled": tf.reduce_mean(tf.cast(fake_logits > 0, tf.float32)),
        "real_logit": tf.reduce_mean(real_logits),
        "fake_logit": tf.reduce_mean(fake_logits),
    }
