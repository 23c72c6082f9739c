"""Gradient penalties: golden values and second-order gradients, closed forms on a linear critic, and the refusals."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from ganzoo.errors import GanzooError
from ganzoo.penalties import dragan, gradient_penalty, orthogonal, r1, r2

GOLDEN = Path(__file__).parent / "golden"
STORED = dict(np.load(GOLDEN / "gradient_penalties.npz", allow_pickle=False))
TOLERANCE = json.loads((GOLDEN / "gradient_penalties.json").read_text())["tolerance"]
NAMES = ["conv.weight", "conv.bias", "conv2.weight", "conv2.bias", "fc.weight", "fc.bias"]


def nhwc(x):
    return np.transpose(x, (0, 2, 3, 1))


class Critic:
    """conv3x3 s2, LReLU, conv3x3 s2, LReLU, flatten as C,H,W, linear: the net of the golden file with torch's padding.

    Its weights stay in torch layout, so that gradients compare without a second conversion.
    """

    def __init__(self):
        self.w = {name: tf.Variable(STORED[f"w.{name}"]) for name in NAMES}

    def __call__(self, x):
        for name in ("conv", "conv2"):
            # One zero on each side, then "valid": Keras' "same" with stride 2 would pad bottom and right only.
            x = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]])
            x = tf.nn.conv2d(x, tf.transpose(self.w[f"{name}.weight"], (2, 3, 1, 0)), strides=2, padding="VALID")
            x = tf.nn.leaky_relu(x + self.w[f"{name}.bias"], 0.2)
        flat = tf.reshape(tf.transpose(x, (0, 3, 1, 2)), [tf.shape(x)[0], -1])
        return tf.matmul(flat, self.w["fc.weight"], transpose_b=True) + self.w["fc.bias"]


CASES = {
    "wgan_gp_lambda10": lambda d: (
        10.0 * gradient_penalty(d, nhwc(STORED["real"]), nhwc(STORED["fake"]), alpha=STORED["alpha"])
    ),
    "dragan_penalty": lambda d: dragan(
        d, nhwc(STORED["real"]), alpha=STORED["dragan_alpha"], noise=nhwc(STORED["dragan_uniform"])
    ),
    "r1_gamma10": lambda d: 5.0 * r1(d, nhwc(STORED["real"])),
    "r2_gamma10": lambda d: 5.0 * r2(d, nhwc(STORED["fake"])),
}


@pytest.mark.parametrize("traced", [False, True], ids=["eager", "graph"])
@pytest.mark.parametrize("name", CASES)
def test_golden_values_and_second_order_gradients(name, traced):
    critic = Critic()

    def run():
        with tf.GradientTape() as tape:
            value = CASES[name](critic)
        zero = tf.UnconnectedGradients.ZERO  # the last bias cancels in an input gradient
        return value, tape.gradient(value, critic.w, unconnected_gradients=zero)

    value, gradients = tf.function(run)() if traced else run()
    np.testing.assert_allclose(value, STORED[name], **TOLERANCE["value"])
    for parameter in NAMES:
        expected = STORED[f"{name}.grad.{parameter}"]
        np.testing.assert_allclose(tf.reshape(gradients[parameter], expected.shape), expected, **TOLERANCE["gradients"])
    assert any(float(tf.norm(g)) > 0.1 for g in gradients.values())


def test_critic_of_the_golden_file_is_rebuilt():
    np.testing.assert_allclose(Critic()(nhwc(STORED["real"])), STORED["d_real"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(Critic()(nhwc(STORED["fake"])), STORED["d_fake"], rtol=1e-4, atol=1e-5)


def linear(x):
    """A critic with the constant gradient 0.5 on 2x2x4 images: norm 0.5 * sqrt(16) = 2."""
    return 0.5 * tf.reduce_sum(x, axis=[1, 2, 3])


def batch(seed, shape=(3, 2, 2, 4)):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(
    ("penalty", "expected"),
    [
        (lambda: gradient_penalty(linear, batch(0), batch(1)), 1.0),
        (lambda: gradient_penalty(linear, batch(0), batch(1), target=0.0), 4.0),
        (lambda: gradient_penalty(linear, batch(0), batch(1), target=5.0), 9.0),
        (lambda: dragan(linear, batch(0)), 1.0),
        (lambda: r1(linear, batch(0)), 4.0),
        (lambda: r2(linear, batch(0)), 4.0),
    ],
)
def test_closed_form_on_a_linear_critic(penalty, expected):
    assert expected - 1e-5 < float(penalty()) < expected + 1e-5


def test_seed_fixes_the_draws_and_alpha_lies_between_fake_and_real():
    def cubic(x):
        return tf.reduce_sum(x**3, axis=[1, 2, 3])

    real, fake = batch(0), batch(1)
    for penalty in (
        lambda seed: gradient_penalty(cubic, real, fake, seed=seed),
        lambda seed: dragan(cubic, real, seed=seed),
    ):
        assert float(penalty((1, 2))) == float(penalty((1, 2))) != float(penalty((1, 3)))
    seen = []

    def spy(x):
        seen.append(x)
        return tf.reduce_sum(x, axis=[1, 2, 3])

    gradient_penalty(spy, np.ones_like(real), np.zeros_like(real))
    alpha = seen[0].numpy()[:, 0, 0, 0]
    assert np.all((alpha >= 0) & (alpha < 1))
    assert len(set(alpha)) == 3
    np.testing.assert_array_equal(seen[0], np.broadcast_to(alpha[:, None, None, None], real.shape))


def test_dragan_uses_the_unbiased_standard_deviation():
    seen = []

    def spy(x):
        seen.append(x)
        return tf.reduce_sum(x, axis=[1, 2, 3])

    real, noise = batch(0), np.ones((3, 2, 2, 4), np.float32)
    dragan(spy, real, alpha=np.ones(3), noise=noise)
    np.testing.assert_allclose(seen[0] - real, 0.5 * real.std(ddof=1) * noise, rtol=1e-5)
    assert abs(real.std(ddof=1) / real.std() - 1) > 1e-3  # the two would be told apart


def test_images_of_the_generator_get_no_gradient():
    images = tf.Variable(batch(0))
    with tf.GradientTape() as tape:
        value = r2(lambda x: tf.reduce_sum(x**3, axis=[1, 2, 3]), images)
    assert tape.gradient(value, images) is None


def test_a_flat_critic_has_a_finite_second_order_gradient():
    w = tf.Variable(0.0)
    with tf.GradientTape() as tape:
        value = gradient_penalty(lambda x: w * tf.reduce_sum(x, axis=[1, 2, 3]), batch(0), batch(1))
    assert float(value) == 1.0
    assert np.isfinite(float(tape.gradient(value, w)))


def test_patch_logits_are_summed_per_sample():
    def patches(x):
        return tf.stack([x, 2.0 * x], axis=-1)  # gradient 3 everywhere: squared norm 9 * 16

    assert float(r1(patches, batch(0))) == pytest.approx(144.0, rel=1e-6)


def test_bad_input_is_refused_with_a_sentence():
    with pytest.raises(GanzooError, match=r"\(3, 2, 2, 4\).*\(2, 2, 2, 4\)"):
        gradient_penalty(linear, batch(0), batch(0, (2, 2, 2, 4)))
    with pytest.raises(GanzooError, match="3 images, but 2 numbers"):
        gradient_penalty(linear, batch(0), batch(1), alpha=[0.1, 0.2])
    with pytest.raises(GanzooError, match="does not depend on its input"):
        r1(lambda x: tf.constant(1.0), batch(0))
    with pytest.raises(GanzooError, match="noise"):
        dragan(linear, batch(0), noise=np.zeros((3, 2, 2, 3)))


def test_orthogonal_regularisation_is_the_papers_loss_and_twice_the_codes_gradient():
    """Golden: filters are rows there. The embedding that G's norms share is left out by who calls."""
    golden = dict(np.load(GOLDEN / "orthogonal_reg.npz", allow_pickle=False))
    weights = {name: tf.Variable(golden[f"w.{name}"]) for name in ("conv", "linear", "wide")}

    with tf.GradientTape() as tape:
        value = 1e-4 * orthogonal(tf.transpose(tf.reshape(w.value(), [w.shape[0], -1])) for w in weights.values())
    np.testing.assert_allclose(value, golden["paper_loss_beta1e-4"], rtol=1e-4)
    for name, gradient in zip(weights, tape.gradient(value, list(weights.values())), strict=True):
        np.testing.assert_allclose(gradient, golden[f"grad_paper.{name}"], rtol=1e-4, atol=1e-8)
        np.testing.assert_allclose(gradient, 2 * golden[f"grad_code_ortho.{name}"], rtol=1e-4, atol=1e-8)


def test_orthogonal_filters_cost_nothing_whatever_their_length():
    assert float(orthogonal([tf.constant([[3.0, 0.0], [0.0, 0.5]])])) == 0.0
    assert float(orthogonal([tf.constant([[3.0, 1.0], [0.0, 0.5]])])) == pytest.approx(2 * 3.0**2)
