"""Parzen-window log-likelihood, the quantitative evaluation of Goodfellow et al. 2014 (section 5, table 1)."""

import numpy as np

from ganzoo.errors import GanzooError
from ganzoo.metrics import _rows

TEST_ROWS = 500  # test rows at a time: their distances to all samples are in memory


def parzen_log_likelihood(
    samples: np.ndarray, test: np.ndarray, *, validation: np.ndarray | None = None, sigma: float | None = None
) -> tuple[float, float, float]:
    """(mean log-likelihood in nats, its standard error, sigma) of test rows under Gaussians around the samples.

    log p(x) = log mean_i exp(-|x - s_i|^2 / (2 sigma^2)) - D log(sigma sqrt(2 pi)). The estimate is poor in high
    dimension; it is here because the paper reports it.

    Args:
        samples, test, validation: (N, D), (M, D), (K, D) in [0, 1].
        sigma: bandwidth; by default the best on `validation` of ten values, logspace(-1, 0) as the official code.

    Raises:
        GanzooError: neither sigma nor validation rows, unlike dimensions, no rows, NaN or infinity.
    """
    samples, test = _rows.checked_pair(samples, test, names=("sample", "test"), least=1)
    samples = samples.astype(np.float64)
    if sigma is None:
        if validation is None:
            raise GanzooError("The Parzen window needs sigma, or validation rows to choose it on; received neither.")
        validation = _rows.checked_pair(samples, validation, names=("sample", "validation"), least=1)[1]
        candidates = np.logspace(-1, 0, 10)
        distances = _rows.squared_distances(validation.astype(np.float64), samples)
        sigma = float(max(candidates, key=lambda s: _log_density(distances, s, samples.shape[1]).mean()))
    parts = (test[i : i + TEST_ROWS].astype(np.float64) for i in range(0, len(test), TEST_ROWS))
    likelihoods = np.concatenate(
        [_log_density(_rows.squared_distances(part, samples), sigma, samples.shape[1]) for part in parts]
    )
    return float(likelihoods.mean()), float(likelihoods.std() / np.sqrt(len(likelihoods))), sigma


def _log_density(squared: np.ndarray, sigma: float, dimensions: int) -> np.ndarray:
    exponent = -0.5 * squared / sigma**2
    largest = exponent.max(axis=1)
    mean = largest + np.log(np.exp(exponent - largest[:, None]).mean(axis=1))
    return mean - dimensions * np.log(sigma * np.sqrt(2 * np.pi))
