"""The metrics against recorded values of the reference implementations, and against libraries that are installed.

Golden file: clean-fid, torch-fidelity, prdc and TF-GAN, executed on the same features; see its JSON.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from ganzoo import metrics

GOLDEN = Path(__file__).parents[1] / "golden"
VALUES = json.loads((GOLDEN / "metrics_features.json").read_text("utf-8"))["values"]
ARRAYS = dict(np.load(GOLDEN / "metrics_features.npz"))
REAL, FAKE, LOGITS = (ARRAYS[name] for name in ("real", "fake", "logits"))


def fid():
    return {
        "fid": metrics.frechet_distance(REAL, FAKE),
        "tfgan_fid": metrics.frechet_distance(metrics.Moments().update(REAL), FAKE),
        "fid_same_set": metrics.frechet_distance(REAL, REAL),
        "fid_real_halves": metrics.frechet_distance(REAL[:150], REAL[150:]),
    }


def singular():
    k = int(ARRAYS["singular_k"][0])
    with pytest.warns(metrics.SmallSample, match="16 generated rows in 32 dimensions"):
        value = metrics.frechet_distance(REAL[:k], FAKE[:k])
    return {"fid_singular_covariances(first k=16 samples each)": value}


def kid():
    values = {"kid_all_samples_unbiased": metrics.kernel_distance(REAL, FAKE)}
    mean, std = metrics.kernel_distance(REAL, FAKE, subsets=ARRAYS["subset_idx"])
    values |= {"kid_20_subsets_of_100_mean": mean, "kid_20_subsets_of_100_std": std}
    for size in (1024, 100):
        mean, error = metrics.kernel_distance_blocks(REAL, FAKE, block_size=size)
        values |= {f"tfgan_kid_block{size}": mean, f"tfgan_kid_stderr_block{size}": error}
    return values


def neighbours():
    values = {}
    for k in (3, 5):
        precision, recall = metrics.precision_recall(REAL, FAKE, k)
        density, coverage = metrics.density_coverage(REAL, FAKE, k)
        prdc = {"precision": precision, "recall": recall, "density": density, "coverage": coverage}
        values |= {f"prdc_k{k}_{name}": value for name, value in prdc.items()}
        values |= {f"improved_precision_k{k}": precision, f"improved_recall_k{k}": recall}
    return values


def inception():
    values = {"tfgan_is_one_split": metrics.inception_score(LOGITS, 1)[0]}
    for splits in (1, 5, 10):
        mean, std = metrics.inception_score(LOGITS, splits)
        values |= {f"is_splits{splits}_mean": mean, f"is_splits{splits}_std": std}
    return values


TOLERANCES = {
    fid: {"rel": 1e-4, "abs": 1e-9},
    singular: {"rel": 1e-3},
    kid: {"rel": 1e-4, "abs": 1e-7},
    neighbours: {"rel": 0, "abs": 1e-7},  # counts over n; torch-fidelity's shares are float32
    inception: {"rel": 1e-5, "abs": 1e-12},
}


@pytest.mark.parametrize("group", TOLERANCES, ids=lambda group: group.__name__)
def test_golden_values(group):
    for name, value in group().items():
        if VALUES[name] is None:  # TF-GAN has no standard error of one block
            assert np.isnan(value), name
        else:
            assert value == pytest.approx(VALUES[name], **TOLERANCES[group]), name


def test_every_golden_value_is_compared():
    assert {name for group in TOLERANCES for name in group()} == set(VALUES)


def test_moments_equal_the_golden_ones():
    for name, rows in (("real", REAL), ("fake", FAKE)):
        moments = metrics.Moments().update(rows)
        np.testing.assert_allclose(moments.mean, ARRAYS[f"mu_{name}"], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(moments.covariance, ARRAYS[f"sigma_{name}"], rtol=1e-11, atol=1e-12)


def test_the_seed_of_torch_fidelity_draws_its_subsets():
    given = metrics.kernel_distance(REAL, FAKE, subsets=ARRAYS["subset_idx"])
    drawn = metrics.kernel_distance(REAL, FAKE, subsets=20, subset_size=100, seed=2020)
    assert drawn == given


# ---- libraries -------------------------------------------------------------------------------------------------------
def pictures(size: int, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Six smooth pictures and noisy, shifted versions of them."""
    rng = np.random.default_rng(size)
    coarse = rng.integers(0, 256, (6, size // 4 + 1, size // 4 + 1, channels))
    target = np.kron(coarse, np.ones((1, 4, 4, 1)))[:, :size, :size]
    output = np.roll(target, 1, axis=2) + rng.normal(0, 12, target.shape)
    return target.astype(np.uint8), output.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(("size", "channels"), [(11, 1), (29, 3), (64, 3)])
def test_ssim_equals_tensorflows(size, channels):
    import tensorflow as tf

    target, output = pictures(size, channels)
    expected = tf.image.ssim(tf.constant(target), tf.constant(output), 255).numpy().mean()
    assert metrics.ssim(target, output) == pytest.approx(expected, abs=2e-5)  # TensorFlow computes in float32


@pytest.mark.parametrize(("size", "channels"), [(28, 1), (45, 1), (64, 3), (128, 3), (165, 1)])
def test_ms_ssim_equals_tensorflows(size, channels):
    import tensorflow as tf

    target, output = pictures(size, channels)
    weights = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])[: metrics.ms_ssim_scales(size)]
    expected = tf.image.ssim_multiscale(
        tf.constant(target), tf.constant(output), 255, power_factors=tuple(weights / weights.sum())
    )
    assert metrics.ms_ssim(target, output) == pytest.approx(expected.numpy().mean(), abs=2e-5)


def test_ssim_equals_scikit_images():
    structural_similarity = pytest.importorskip("skimage.metrics").structural_similarity
    target, output = pictures(40, 3)
    options = {"channel_axis": -1, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    expected = [structural_similarity(t, o, data_range=255, **options) for t, o in zip(target, output, strict=True)]
    assert metrics.ssim(target, output) == pytest.approx(np.mean(expected), abs=1e-12)


@pytest.mark.parametrize("rows", [400, 40])
def test_fid_equals_the_general_matrix_root(rows):
    linalg = pytest.importorskip("scipy.linalg")
    rng = np.random.default_rng(rows)
    mix = rng.normal(size=(2, 60, 60))
    real, fake = (np.maximum(rng.normal(size=(rows, 60)) @ m, 0) for m in mix)
    shift = real.mean(0) - fake.mean(0)
    first, second = np.cov(real.T), np.cov(fake.T)
    root = linalg.sqrtm(first @ second + (rows < 60) * 1e-9 * np.eye(60)).real
    expected = shift @ shift + np.trace(first) + np.trace(second) - 2 * np.trace(root)
    if rows < 60:
        with pytest.warns(metrics.SmallSample):
            assert metrics.frechet_distance(real, fake) == pytest.approx(expected, rel=1e-4)
    else:
        assert metrics.frechet_distance(real, fake) == pytest.approx(expected, rel=1e-10)
