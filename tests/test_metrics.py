"""Metrics against numbers worked out by hand and closed forms."""

import math

import numpy as np
import pytest

from ganzoo import metrics
from ganzoo.errors import GanzooError


def test_l1_and_psnr_of_a_known_difference():
    target = np.zeros((2, 2, 2, 1), np.uint8)
    output = target.copy()
    output[0] = 51  # 0.2 of the range in the first image, equal in the second
    assert metrics.l1(target, output) == pytest.approx(0.1, abs=1e-12)
    assert metrics.psnr(target[:1], output[:1]) == pytest.approx(-10 * math.log10(0.04), abs=1e-9)
    assert metrics.psnr(target, target) == math.inf


@pytest.mark.parametrize("output", [np.zeros((2, 2, 2, 3), np.uint8), np.zeros((2, 2, 2, 1), np.float32)])
def test_paired_metrics_refuse_unlike_arrays(output):
    with pytest.raises(GanzooError, match="one shape"):
        metrics.l1(np.zeros((2, 2, 2, 1), np.uint8), output)


def test_parzen_of_one_sample_is_the_gaussian_density():
    x = np.array([[0.3, -0.1, 0.5]])
    mean, error, sigma = metrics.parzen_log_likelihood(np.zeros((1, 3)), x, sigma=0.5)
    expected = -0.5 * (0.09 + 0.01 + 0.25) / 0.25 - 3 * math.log(0.5 * math.sqrt(2 * math.pi))
    assert (mean, error, sigma) == (pytest.approx(expected, abs=1e-12), 0.0, 0.5)


def test_parzen_approaches_the_true_likelihood_and_picks_a_fitting_sigma():
    rng = np.random.default_rng(0)
    samples, test, validation = (rng.normal(0, 0.5, (n, 2)) for n in (20_000, 2_000, 500))
    mean, error, sigma = metrics.parzen_log_likelihood(samples, test, validation=validation)
    entropy = -(1 + math.log(2 * math.pi * 0.25))  # mean log density of a two-dimensional normal with variance 0.25
    assert sigma == pytest.approx(0.1)
    assert mean == pytest.approx(entropy, abs=4 * error + 0.05)


def test_linear_accuracy_separates_what_is_separable_and_nothing_else():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 600)
    centres = np.array([[0.0, 8.0], [8.0, 0.0], [-8.0, -8.0]])
    clear = centres[labels] + rng.normal(size=(600, 2))
    assert metrics.linear_accuracy(clear[:300], labels[:300], clear[300:], labels[300:]) > 0.98
    noise = rng.normal(size=(600, 2))
    assert metrics.linear_accuracy(noise[:300], labels[:300], noise[300:], labels[300:]) < 0.5
