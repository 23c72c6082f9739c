"""Metrics against numbers worked out by hand, closed forms, invariances, and sentences for bad input."""

import math
import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganzoo import metrics
from ganzoo.errors import GanzooError

COUNTS = {"deadline": None, "max_examples": 15}


def gaussian(mean, covariance) -> metrics.Moments:
    return metrics.Moments.from_arrays({"n": 1000, "mean": np.array(mean), "covariance": np.array(covariance)})


def features(seed: int, rows: int, dimensions: int = 6, shift: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(rows, dimensions)) * np.linspace(0.5, 3, dimensions) + shift).astype(np.float32)


def test_the_package_needs_neither_tensorflow_nor_scipy():
    code = "import sys, ganzoo.metrics; print({'tensorflow', 'keras', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "set()"


# ---- FID -------------------------------------------------------------------------------------------------------------
def test_fid_of_gaussians_along_the_axes():
    a, b = gaussian([0.0, 1.0], np.diag([4.0, 9.0])), gaussian([3.0, 5.0], np.diag([1.0, 16.0]))
    # 3^2 + 4^2 + (2 - 1)^2 + (3 - 4)^2
    assert metrics.frechet_distance(a, b) == pytest.approx(27, abs=1e-10)


def test_fid_of_gaussians_whose_covariances_do_not_commute():
    first, second = np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([[5.0, -2.0], [-2.0, 1.0]])
    product = first @ second  # in two dimensions tr(sqrt(M)) = sqrt(tr(M) + 2 sqrt(det(M)))
    root = math.sqrt(np.trace(product) + 2 * math.sqrt(np.linalg.det(product)))
    expected = np.trace(first) + np.trace(second) - 2 * root
    assert metrics.frechet_distance(gaussian([0, 0], first), gaussian([0, 0], second)) == pytest.approx(expected)


def test_fid_of_singular_and_of_empty_covariances():
    # A line against a crossing line: the root of the product is |cos| of their angle times both lengths.
    line, across = np.outer([1.0, 0.0], [1.0, 0.0]), np.outer([3.0, 4.0], [3.0, 4.0])
    assert metrics.frechet_distance(gaussian([0, 0], line), gaussian([0, 0], across)) == pytest.approx(1 + 25 - 2 * 3)
    point = np.zeros((2, 2))
    assert metrics.frechet_distance(gaussian([0, 0], point), gaussian([1, 0], point)) == pytest.approx(1)
    assert metrics.frechet_distance(gaussian([0, 0], line), gaussian([0, 0], line)) == pytest.approx(0, abs=1e-12)


def test_fid_of_a_shift_is_its_square():
    rows = features(1, 300)
    assert metrics.frechet_distance(rows, rows.astype(float) + 2) == pytest.approx(6 * 4, rel=1e-6)


@settings(**COUNTS)
@given(st.integers(0, 99), st.lists(st.integers(1, 1500), min_size=1, max_size=6), st.sampled_from([0.0, 1e4]))
def test_moments_do_not_depend_on_batches_or_order(seed, sizes, offset):
    rows = features(seed, 2500, 4).astype(np.float64) + offset
    whole, cut, mixed = metrics.Moments(), metrics.Moments(4), metrics.Moments()
    whole.update(rows)
    for part in np.split(rows, np.cumsum(sizes).clip(max=len(rows))):
        cut.update(part)
    mixed.update(np.random.default_rng(seed).permutation(rows))
    assert cut.n == mixed.n == len(rows)
    assert np.array_equal(cut.mean, whole.mean)
    assert np.array_equal(cut.covariance, whole.covariance)
    np.testing.assert_allclose(mixed.covariance, whole.covariance, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(whole.covariance, np.cov(rows.T), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(whole.mean, rows.mean(axis=0), rtol=1e-12, atol=1e-12)


def test_moments_go_on_after_a_file(tmp_path):
    rows = features(3, 1700)
    metrics.Moments().update(rows[:1100]).save(tmp_path / "moments.npz")
    loaded = metrics.Moments.load(tmp_path / "moments.npz")
    assert (loaded.n, loaded.dimensions) == (1100, 6)
    np.testing.assert_allclose(loaded.update(rows[1100:]).covariance, np.cov(rows.T), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("change", [{"mean": np.zeros(5)}, {"n": np.array("many")}, {"covariance": np.array([{}])}, {}])
def test_files_that_hold_no_moments_are_refused(tmp_path, change):
    arrays = {"n": 9, "mean": np.zeros(6), "covariance": np.eye(6)} if change else {"voxels": np.zeros(6)}
    np.savez(tmp_path / "moments.npz", **arrays | change)
    with pytest.raises(GanzooError, match=r"holds no moments|is refused"):
        metrics.Moments.load(tmp_path / "moments.npz")


# ---- KID -------------------------------------------------------------------------------------------------------------
def test_kid_by_hand():
    real, fake = np.array([[0.0], [1.0]]), np.array([[2.0], [-1.0]])
    # k(0, 1) = 1; k(2, -1) = (-1)^3; across: k(0, .) = 1 twice, k(1, 2) = 27, k(1, -1) = 0
    assert metrics.kernel_distance(real, fake) == pytest.approx(1 - 1 - 2 * (1 + 1 + 27 + 0) / 4, abs=1e-12)
    assert metrics.kernel_distance(real, np.vstack([fake, fake])) == metrics.kernel_distance(real, fake)


def test_kid_has_no_bias_and_fid_has():
    pairs = [(features(i, 60), features(i + 500, 60)) for i in range(60)]
    kids, fids = ([metric(*pair) for pair in pairs] for metric in (metrics.kernel_distance, metrics.frechet_distance))
    assert abs(np.mean(kids)) < 3 * np.std(kids) / math.sqrt(len(kids))
    assert np.mean(fids) > 10 * np.std(fids) / math.sqrt(len(fids))


def test_kid_of_subsets_is_the_mean_of_the_kids_of_the_subsets():
    """Both ways to the same number: pairs shared by all subsets (many subsets), or one subset at a time (few)."""
    real, fake = features(1, 90), features(2, 1300, shift=0.5)
    for count, size in ((400, 80), (3, 10)):
        rng = np.random.default_rng(count)
        table = np.hstack([rng.integers(0, 90, (count, size)), rng.integers(0, 1300, (count, size))])  # with repeats
        alone = [metrics.kernel_distance(real[row[:size]], fake[row[size:]]) for row in table]
        mean, std = metrics.kernel_distance(real, fake, subsets=table)
        assert mean == pytest.approx(np.mean(alone), rel=1e-10)
        assert std == pytest.approx(np.std(alone), rel=1e-8)


def test_kid_subsets_follow_the_seed():
    sets = features(1, 90), features(2, 80)
    first, again, other = (metrics.kernel_distance(*sets, subsets=5, subset_size=40, seed=s) for s in (1, 1, 2))
    assert first == again != other


# ---- neighbours ------------------------------------------------------------------------------------------------------
def test_precision_recall_density_coverage_by_hand():
    real, fake = np.array([[0.0], [1.0], [3.0], [10.0]]), np.array([[0.5], [2.5], [30.0]])
    # k = 1: real balls reach 1, 1, 2, 7; fake balls 2, 2, 27.5
    # 0.5 lies in the balls of 0 and 1; 2.5 in that of 3, and 7.5 > 7 from 10; 30 in none
    assert metrics.precision_recall(real, fake, 1) == pytest.approx((2 / 3, 4 / 4))  # 10 is 20 from 30, below 27.5
    assert metrics.density_coverage(real, fake, 1) == pytest.approx((3 / 3, 3 / 4))


def test_ties_belong_to_precision_and_recall_and_not_to_density_and_coverage():
    real, fake = np.array([[0.0], [2.0], [5.0]]), np.array([[-2.0], [100.0]])  # -2 lies on the border of 0's ball
    assert metrics.precision_recall(real, fake, 1)[0] == 0.5
    assert metrics.density_coverage(real, fake, 1) == (0, 0)


def test_equal_sets_are_precise_and_recalled_whatever_the_values():
    rows = features(4, 50, 40)
    rows = np.vstack([rows, rows])  # radius 0: what rounding makes of equal rows would show
    assert metrics.precision_recall(rows, rows.copy(), 1) == (1, 1)


@settings(**COUNTS)
@given(st.integers(0, 999), st.integers(1, 6))
def test_nearest_equals_the_plain_search(seed, k):
    rng = np.random.default_rng(seed)
    queries, references = rng.integers(0, 6, (40, 3)).astype(np.float32), rng.integers(0, 6, (1050, 3))
    distances, indices = metrics.nearest(queries, references, k)
    every = np.sqrt(((queries[:, None].astype(float) - references) ** 2).sum(-1))
    np.testing.assert_array_equal(distances, np.sort(every, axis=1)[:, :k])
    np.testing.assert_array_equal(np.take_along_axis(every, indices, axis=1), distances)


def test_nearest_of_a_set_to_itself():
    rows = np.array([[0.0], [1.0], [1.0], [5.0]])
    distances, indices = metrics.nearest(rows, rows, exclude_self=True)
    assert indices.ravel().tolist() == [1, 2, 1, 1]
    assert distances.ravel().tolist() == [1, 0, 0, 4]
    far = features(0, 2100, 3) * 100 + 1e4  # copies lie at exactly no distance, however large the numbers
    distances, indices = metrics.nearest(far, far)
    assert not distances.any()
    assert indices.ravel().tolist() == list(range(2100))


@settings(**COUNTS)
@given(st.integers(0, 999))
def test_the_order_of_rows_changes_nothing(seed):
    rng = np.random.default_rng(seed)
    real, fake = features(seed, 70), features(seed + 1, 50, shift=0.3)
    mixed = rng.permutation(real), rng.permutation(fake)
    for metric in (metrics.frechet_distance, metrics.precision_recall, metrics.density_coverage):
        assert metric(*mixed) == pytest.approx(metric(real, fake), rel=1e-9)
    assert metrics.kernel_distance(mixed[0][:50], mixed[1]) == pytest.approx(
        metrics.kernel_distance(mixed[0][:50], fake), rel=1e-9, abs=1e-9
    )
    assert metrics.pairwise_diversity(mixed[0]) == pytest.approx(metrics.pairwise_diversity(real), rel=1e-9)


# ---- the others ------------------------------------------------------------------------------------------------------
def test_inception_score_of_the_extremes():
    sure = np.repeat(1000 * np.eye(4), 5, axis=0)
    assert metrics.inception_score(sure, 1) == pytest.approx((4, 0))
    assert metrics.inception_score(np.zeros((20, 4)), 10) == pytest.approx((1, 0))
    # In class order each of two splits sees two classes only.
    assert metrics.inception_score(sure + 1e5, 2) == pytest.approx((2, 0))


def test_diversity_is_the_mean_over_pairs():
    assert metrics.pairwise_diversity([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]]) == pytest.approx((3 + 4 + 5) / 3)
    assert metrics.pairwise_diversity(np.full((1100, 3), 0.1)) == 0
    rows = features(1, 1100, 3)
    plain = np.sqrt(((rows[:, None].astype(float) - rows) ** 2).sum(-1)).sum() / (1100 * 1099)
    assert metrics.pairwise_diversity(rows) == pytest.approx(plain, rel=1e-9)


def test_path_length_leaves_the_outermost_hundredths_out():
    steps = np.concatenate([np.full(98, 3.0), [0.0, 1e6, 1e7]])[:, None]  # |step|^2 / epsilon^2: 9 / 0.25 = 36
    mean, _ = metrics.path_length(np.zeros((101, 1)), steps, 0.5)  # without the least and the greatest
    assert mean == pytest.approx((98 * 36 + 4e12) / 99)
    many = np.concatenate([np.full(996, 3.0), [0.0, 0.0, 1e6, 1e6]])[:, None]
    assert metrics.path_length(many, np.zeros((1000, 1)), 0.5) == pytest.approx((36, 0))


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


@pytest.mark.parametrize("accuracy", [metrics.linear_accuracy, metrics.svm_accuracy])
def test_a_linear_classifier_separates_what_is_separable_and_nothing_else(accuracy):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 600)
    centres = np.array([[0.0, 8.0], [8.0, 0.0], [-8.0, -8.0]])
    clear = centres[labels] + rng.normal(size=(600, 2))
    assert accuracy(clear[:300], labels[:300], clear[300:], labels[300:]) > 0.98
    noise = rng.normal(size=(600, 2))
    assert accuracy(noise[:300], labels[:300], noise[300:], labels[300:]) < 0.5


def test_the_svm_is_of_a_large_margin_not_of_least_squares():
    """One far row on its own side drags a least-squares border over its class; a hinge does not see it."""
    rows = np.array([[-2.0], [-1.0], [1.0], [2.0], [100.0]])
    labels = np.array([0, 0, 1, 1, 1])
    assert metrics.svm_accuracy(rows, labels, np.array([[-1.0], [1.0]]), np.array([0, 1]), c=1e4) == 1


# ---- bad input -------------------------------------------------------------------------------------------------------
GOOD = features(0, 8, 3)
NAN = np.where(np.arange(8)[:, None] == 5, np.nan, GOOD)
PAIRS = (metrics.frechet_distance, metrics.kernel_distance, metrics.precision_recall, metrics.density_coverage)
BAD = [
    (GOOD[:1], "generated features hold 1 row; .* at least 2"),
    (GOOD[:0], "hold 0 rows"),
    (NAN, "row 5 holds NaN"),
    (np.where(np.isnan(NAN), np.inf, NAN), "row 5 holds NaN or infinity"),
    (GOOD[:, :2], "real features have 3 dimensions and the generated ones 2"),
    (GOOD[0], r"\(rows, dimensions\); received shape \(3,\)"),
    (GOOD[:, :, None], r"shape \(8, 3, 1\)"),
    (GOOD.astype(complex), "real numbers; received dtype complex128"),
    (GOOD.astype(str), "real numbers"),
]


@pytest.mark.parametrize("metric", PAIRS, ids=lambda metric: metric.__name__)
@pytest.mark.parametrize(("fake", "sentence"), BAD)
def test_bad_features_are_refused_with_a_sentence(metric, fake, sentence):
    options = {"k": 2} if metric is metrics.density_coverage else {}
    with pytest.raises(GanzooError, match=sentence):
        metric(GOOD, fake, **options)


REFUSED = {
    "k = 8 .* of 8 real rows": lambda: metrics.precision_recall(GOOD, GOOD, 8),
    "k = 2 .* of 2 generated rows": lambda: metrics.precision_recall(GOOD, GOOD[:2], 2),
    "k = 0 ": lambda: metrics.density_coverage(GOOD, GOOD, 0),
    "k = 9 .* between 1 and 8": lambda: metrics.nearest(GOOD, GOOD, 9),
    "k = 8 .* between 1 and 7": lambda: metrics.nearest(GOOD, GOOD, 8, exclude_self=True),
    "8 queries and 7 references": lambda: metrics.nearest(GOOD, GOOD[:7], exclude_self=True),
    "100 subsets of 1000 rows cannot": lambda: metrics.kernel_distance(GOOD, GOOD, subsets=100),
    "row 8 of 8 real rows": lambda: metrics.kernel_distance(GOOD, GOOD, subsets=[[0, 8, 1, 2]]),
    "an integer array": lambda: metrics.kernel_distance(GOOD, GOOD, subsets=[[0, 1, 2]]),
    "raise block_size": lambda: metrics.kernel_distance_blocks(GOOD, GOOD, block_size=1),
    "into 9 splits": lambda: metrics.inception_score(GOOD, 9),
    "at least 2 classes": lambda: metrics.inception_score(GOOD[:, :1], 1),
    "holds NaN": lambda: metrics.pairwise_diversity(NAN),
    "above 0": lambda: metrics.path_length(GOOD, GOOD, 0),
    "of one shape": lambda: metrics.path_length(GOOD, GOOD[:4], 0.1),
    "of at least two classes": lambda: metrics.svm_accuracy(GOOD, np.zeros(8), GOOD, np.zeros(8)),
    "one label each": lambda: metrics.linear_accuracy(GOOD, np.zeros(8), GOOD, np.zeros(7)),
    "received neither": lambda: metrics.parzen_log_likelihood(GOOD, GOOD),
    "moments hold 1 row": lambda: metrics.frechet_distance(metrics.Moments().update(GOOD[:1]), GOOD),
    "earlier features have 3": lambda: metrics.Moments().update(GOOD).update(GOOD[:, :2]),
    "moments hold 0 rows": lambda: metrics.Moments(3).mean,
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_bad_calls_are_refused_with_a_sentence(sentence):
    with pytest.raises(GanzooError, match=sentence):
        REFUSED[sentence]()


def test_collapsed_samples_are_measured_and_said():
    fake = np.full((12, 3), 0.25)
    for metric in PAIRS:
        with pytest.warns(metrics.ConstantRows, match="All 12 generated rows are equal"):
            assert np.isfinite(metric(GOOD, fake, **({"k": 2} if metric is metrics.density_coverage else {}))).all()


def test_enough_rows_say_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metrics.frechet_distance(features(0, 8, 6), features(1, 7, 6))
        with pytest.raises(metrics.SmallSample, match="6 generated rows in 6 dimensions"):
            metrics.frechet_distance(features(0, 8, 6), features(1, 6, 6))


def test_kid_subsets_are_never_the_whole_set():
    assert [metrics.kid_subset_size(*n) for n in ((5000, 2000), (5000, 600), (145, 145), (3, 2))] == [1000, 300, 72, 2]
