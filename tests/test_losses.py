"""Losses: golden values and gradients of the reference codes, hand-computed numbers, and laws for any logits."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ganzoo import losses
from ganzoo.errors import GanzooError

GOLDEN = Path(__file__).parent / "golden"
STORED = dict(np.load(GOLDEN / "losses_logits.npz", allow_pickle=False))
TOLERANCE = json.loads((GOLDEN / "losses_logits.json").read_text())["tolerance"]
LN2 = math.log(2.0)

# golden name -> (our function, factor): the factor holds the 1/2 that some codes have and contracts.md leaves out.
CASES = {
    "hinge_d": (losses.hinge_d, 1.0),
    "hinge_g": (losses.hinge_g, 1.0),
    "logistic_d": (losses.non_saturating_d, 1.0),
    "nonsaturating_g": (losses.non_saturating_g, 1.0),
    "saturating_g": (losses.minimax_g, 1.0),
    "ganloss_vanilla_d": (losses.non_saturating_d, 0.5),
    "ganloss_vanilla_g": (losses.non_saturating_g, 1.0),
    "ganloss_lsgan_d": (losses.least_squares_d, 1.0),
    "ganloss_lsgan_g": (losses.least_squares_g, 1.0),
    "ganloss_wgangp_d": (losses.wasserstein_d, 0.5),
    "ganloss_wgangp_g": (losses.wasserstein_g, 1.0),
    "studio_ls_d": (losses.least_squares_d, 1.0),
    "studio_ls_g": (losses.least_squares_g, 0.5),
    "studio_wasserstein_d": (losses.wasserstein_d, 1.0),
}
FAMILIES = ["non_saturating", "minimax", "hinge", "wasserstein", "least_squares"]


def value_and_gradients(function, *logits):
    tensors = [tf.constant(x) for x in logits]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = function(*tensors)
    return value, tape.gradient(value, tensors)


def test_relativistic_losses_compare_each_real_with_the_fake_of_its_row():
    """softplus(-1), softplus(3) and softplus(0) by hand; a constant added to all logits changes nothing."""
    real, fake = tf.constant([[2.0], [-1.0], [0.5]]), tf.constant([[1.0], [2.0], [0.5]])
    d = (math.log1p(math.exp(-1)) + math.log1p(math.exp(3)) + LN2) / 3
    g = (math.log1p(math.exp(1)) + math.log1p(math.exp(-3)) + LN2) / 3
    for shift in (0, 7):
        assert float(losses.relativistic_d(real + shift, fake + shift)) == pytest.approx(d)
        assert float(losses.relativistic_g(real + shift, fake + shift)) == pytest.approx(g)
    with pytest.raises(GanzooError, match=r"shape \(3, 1\) for reals and \(2, 1\) for fakes"):
        losses.relativistic_d(real, fake[:2])


def test_smoothing_moves_the_target_of_reals_alone():
    """Cross-entropy with the targets 0.9 and 0; squares around 0.9 and 0."""
    real, fake = tf.constant([[2.0], [-1.0]]), tf.constant([[1.0], [3.0]])
    wanted = tf.nn.sigmoid_cross_entropy_with_logits(tf.fill([2, 1], 0.9), real)
    refused = tf.nn.sigmoid_cross_entropy_with_logits(tf.zeros([2, 1]), fake)
    expected = float(tf.reduce_mean(wanted) + tf.reduce_mean(refused))
    assert float(losses.non_saturating_d(real, fake, smoothing=0.1)) == pytest.approx(expected)
    squares = 0.5 * ((1.1**2 + 1.9**2) / 2 + (1 + 9) / 2)
    assert float(losses.least_squares_d(real, fake, smoothing=0.1)) == pytest.approx(squares)


def test_every_golden_loss_is_checked():
    names = {k.split(".")[1] for k in STORED if "." in k}
    assert names == set(CASES)


@pytest.mark.parametrize("shape", ["vec", "patch"])
@pytest.mark.parametrize("name", CASES)
def test_golden_values_and_gradients(shape, name):
    function, factor = CASES[name]
    real, fake = STORED[f"{shape}_real"], STORED[f"{shape}_fake"]
    logits = [real, fake] if name.endswith("_d") else [fake]
    value, gradients = value_and_gradients(function, *logits)
    np.testing.assert_allclose(factor * value, STORED[f"{shape}.{name}"], **TOLERANCE)
    expected = [STORED[f"{shape}.{name}.grad_{which}"] for which in ("real", "fake")[-len(logits) :]]
    for ours, theirs in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(factor * ours, theirs, **TOLERANCE)


@pytest.mark.parametrize(
    ("name", "logits", "expected"),
    [
        ("non_saturating_d", ([2.0, -1.0], [0.5]), (0.126928 + 1.313262) / 2 + 0.974077),
        ("non_saturating_g", ([0.5, -3.0],), (0.474077 + 3.048587) / 2),
        ("minimax_g", ([0.5, -3.0],), -(0.974077 + 0.048587) / 2),
        ("hinge_d", ([2.0, 0.5, -1.0], [-2.0, 0.0]), (0 + 0.5 + 2) / 3 + (0 + 1) / 2),
        ("hinge_g", ([2.0, -5.0],), 1.5),
        ("wasserstein_d", ([1.0, 4.0], [3.0]), 0.5),
        ("wasserstein_g", ([3.0, 1.0],), -2.0),
        ("least_squares_d", ([0.0, 3.0], [2.0]), 0.5 * (2.5 + 4.0)),
        ("least_squares_g", ([3.0, 0.0],), 2.5),
    ],
)
def test_numbers_computed_by_hand(name, logits, expected):
    value = float(getattr(losses, name)(*logits))
    assert expected - 2e-6 < value < expected + 2e-6


@pytest.mark.parametrize(
    ("family", "d", "g"),
    [
        ("non_saturating", 2 * LN2, LN2),
        ("minimax", 2 * LN2, -LN2),
        ("hinge", 2.0, 0.0),
        ("wasserstein", 0.0, 0.0),
        ("least_squares", 0.5, 1.0),
    ],
)
@pytest.mark.parametrize("shape", [(1,), (4, 1), (2, 30, 30, 1)])
def test_values_at_an_undecided_discriminator(family, d, g, shape):
    zeros = np.zeros(shape, np.float32)
    assert float(getattr(losses, f"{family}_d")(zeros, zeros)) == pytest.approx(d, abs=1e-6)
    assert float(getattr(losses, f"{family}_g")(zeros)) == pytest.approx(g, abs=1e-6)


# Eighths, and no subnormal numbers: a gradient that the processor flushes to zero has no sign.
logit_arrays = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=1, max_dims=4, max_side=4),
    elements=st.integers(-400, 400).map(lambda eighths: eighths / 8),
)


@given(real=logit_arrays, fake=logit_arrays)
@settings(max_examples=40, deadline=None)
def test_laws_of_the_discriminator_losses(real, fake):
    for family in ("non_saturating", "minimax", "hinge", "least_squares"):
        assert float(getattr(losses, f"{family}_d")(real, fake)) >= 0
    # Swapping the players and the signs changes nothing where the loss treats the two alike.
    for family in ("non_saturating", "hinge", "wasserstein"):
        loss = getattr(losses, f"{family}_d")
        np.testing.assert_allclose(loss(real, fake), loss(-fake, -real), rtol=1e-5, atol=1e-5)
    # D wants its real logits up and its fake ones down; least squares only until the targets 1 and 0.
    for family in ("non_saturating", "minimax", "hinge", "wasserstein"):
        _, (up, down) = value_and_gradients(getattr(losses, f"{family}_d"), real, fake)
        assert np.all(up <= 0)
        assert np.all(down >= 0)
    _, (up, down) = value_and_gradients(losses.least_squares_d, real, fake)
    assert np.all(np.sign(up) == np.sign(real - 1))
    assert np.all(np.sign(down) == np.sign(fake))


@given(fake=logit_arrays)
@settings(max_examples=40, deadline=None)
def test_laws_of_the_generator_losses(fake):
    assert float(losses.non_saturating_g(fake)) >= 0 >= float(losses.minimax_g(fake))
    assert float(losses.least_squares_g(fake)) >= 0
    for family in ("non_saturating", "minimax", "hinge", "wasserstein"):
        _, (gradient,) = value_and_gradients(getattr(losses, f"{family}_g"), fake)
        assert np.all(gradient <= 0)  # G is never rewarded for a lower logit
    # softplus(x) - softplus(-x) = x ties the two games of the 2014 paper together.
    difference = losses.non_saturating_g(fake) + losses.minimax_g(fake)
    np.testing.assert_allclose(difference, -np.mean(fake, dtype=np.float64), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_half_precision_logits_are_computed_in_float32(family):
    real = tf.constant(np.linspace(-3, 3, 1000), tf.bfloat16)
    fake = tf.constant(np.linspace(-2, 4, 1000), tf.bfloat16)
    wide = [tf.cast(x, tf.float32) for x in (real, fake)]
    d, g = getattr(losses, f"{family}_d"), getattr(losses, f"{family}_g")
    assert d(real, fake).dtype == g(fake).dtype == tf.float32
    assert float(d(real, fake)) == float(d(*wide))
    assert float(g(fake)) == float(g(wide[1]))


@pytest.mark.parametrize("family", FAMILIES)
def test_mean_does_not_depend_on_the_shape_of_the_logits(family):
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(2, 4, 6, 1)).astype(np.float32), rng.normal(size=(24,)).astype(np.float32)
    d = getattr(losses, f"{family}_d")
    np.testing.assert_allclose(d(real, fake), d(real.ravel(), fake.reshape(2, 3, 4)), rtol=1e-6)


def test_extreme_logits_stay_finite_and_keep_their_gradient():
    value, (gradient,) = value_and_gradients(losses.non_saturating_g, np.float32([-100.0]))
    assert float(value) == pytest.approx(100.0, rel=1e-6)
    assert float(gradient[0]) == pytest.approx(-1.0, rel=1e-6)
    value = losses.non_saturating_d(np.float32([30.0]), np.float32([-30.0]))
    assert 1.8e-13 < float(value) < 1.95e-13  # 2 exp(-30); sigmoid and log in float32 would give 0


def test_l1_is_a_mean_over_all_elements():
    target, output = np.zeros((2, 2, 2, 3), np.float32), np.full((2, 2, 2, 3), -0.25, np.float32)
    output[0] = 0.75
    assert float(losses.l1(target, output)) == pytest.approx(0.5, abs=1e-7)


def test_total_variation_matches_the_golden_sums():
    stored = np.load(GOLDEN / "dtn_losses.npz", allow_pickle=False)
    images = np.transpose(stored["G_t"], (0, 2, 3, 1))
    for one, expected in zip(images, stored["L_TV_per_image_sum"], strict=True):
        np.testing.assert_allclose(losses.tv(one[None]), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(losses.tv(images), stored["L_TV_per_image_sum"].mean(), rtol=1e-5)


def test_total_variation_of_a_flat_image_has_no_gradient():
    value, (gradient,) = value_and_gradients(losses.tv, np.ones((1, 4, 4, 3), np.float32))
    assert float(value) == 0.0
    np.testing.assert_array_equal(gradient, np.zeros((1, 4, 4, 3)))
