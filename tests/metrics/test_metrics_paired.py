"""Metrics of picture pairs against numbers worked out by hand. Against other libraries: test_metric_parity.py."""

import math

import numpy as np
import pytest

from ganzoo import metrics
from ganzoo.errors import GanzooError

FUNCTIONS = (metrics.l1, metrics.psnr, metrics.ssim, metrics.ms_ssim)


def test_l1_and_psnr_of_a_known_difference():
    target = np.zeros((2, 2, 2, 1), np.uint8)
    output = target.copy()
    output[0] = 51  # 0.2 of the range in the first image, equal in the second
    assert metrics.l1(target, output) == pytest.approx(0.1, abs=1e-12)
    assert metrics.psnr(target[:1], output[:1]) == pytest.approx(-10 * math.log10(0.04), abs=1e-9)
    assert metrics.psnr(target, target) == math.inf


def test_ssim_of_constant_pictures_is_the_luminance_term():
    a, b, c1 = 102 / 255, 204 / 255, 0.01**2
    target, output = np.full((3, 12, 14, 2), 102, np.uint8), np.full((3, 12, 14, 2), 204, np.uint8)
    expected = (2 * a * b + c1) / (a * a + b * b + c1)
    assert metrics.ssim(target, output) == pytest.approx(expected, abs=1e-12)
    assert metrics.ms_ssim(target, output) == pytest.approx(expected, abs=1e-12)  # one scale, weight 1


def test_equal_pictures_are_one_and_inverted_ones_are_opposite():
    noise = np.random.default_rng(0).integers(0, 256, (40, 48, 48, 3), np.uint8)  # 40: more than one part
    assert metrics.ssim(noise, noise) == pytest.approx(1)
    assert metrics.ms_ssim(noise, noise) == pytest.approx(1)
    assert metrics.ssim(noise, 255 - noise) < -0.8
    assert metrics.ms_ssim(noise, 255 - noise) == 0  # negative terms count as 0


def test_the_parts_do_not_show():
    rng = np.random.default_rng(1)
    target, output = rng.integers(0, 256, (2, 70, 24, 24, 1), np.uint8)
    for metric in (metrics.ssim, metrics.ms_ssim):
        alone = [metric(target[i : i + 1], output[i : i + 1]) for i in range(70)]
        assert metric(target, output) == pytest.approx(np.mean(alone), abs=1e-12)


def test_the_scales_follow_the_size():
    bounds = {11: 1, 20: 1, 21: 2, 28: 2, 32: 2, 40: 2, 41: 3, 64: 3, 80: 3, 81: 4, 128: 4, 160: 4, 161: 5, 256: 5}
    assert {size: metrics.ms_ssim_scales(size) for size in bounds} == bounds


def test_feature_distance_is_the_mean_over_rows():
    assert metrics.feature_distance([[0.0, 0.0], [1.0, 1.0]], [[3.0, 4.0], [1.0, 1.0]]) == pytest.approx(2.5)
    with pytest.raises(GanzooError, match="one shape"):
        metrics.feature_distance(np.zeros((2, 3)), np.zeros((3, 3)))
    with pytest.raises(GanzooError, match="output features are not finite: row 1"):
        metrics.feature_distance(np.zeros((2, 1)), [[0.0], [np.nan]])


@pytest.mark.parametrize("metric", FUNCTIONS, ids=lambda metric: metric.__name__)
def test_unlike_and_missing_pictures_are_refused(metric):
    target = np.zeros((2, 16, 16, 1), np.uint8)
    for output in (np.zeros((2, 16, 16, 3), np.uint8), target.astype(np.float32), target[:1]):
        with pytest.raises(GanzooError, match="one shape"):
            metric(target, output)
    with pytest.raises(GanzooError, match="received none"):
        metric(target[:0], target[:0])


@pytest.mark.parametrize("metric", [metrics.ssim, metrics.ms_ssim])
def test_pictures_smaller_than_the_window_are_refused(metric):
    small = np.zeros((1, 10, 32, 1), np.uint8)
    with pytest.raises(GanzooError, match="11 pixels wide; received pictures with a side of 10"):
        metric(small, small)
