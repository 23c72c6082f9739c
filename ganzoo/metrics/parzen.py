"""Parzen-window log-likelihood, the quantitative evaluation of Goodfellow et al. 2014 (section 5, table 1)."""

import numpy as np


def parzen_log_likelihood(
    samples: np.ndarray, test: np.ndarray, *, validation: np.ndarray | None = None, sigma: float | None = None
) -> tuple[float, float, float]:
    """(mean log-likelihood in nats, its standard error, sigma) of test rows under Gaussians around the samples.

    log p(x) = log mean_i exp(-|x - s_i|^2 / (2 sigma^2)) - D log(sigma sqrt(2 pi)). The estimate is poor in high
    dimension; it is here because the paper reports it.

    Args:
        samples, test, validation: (N, D), (M, D), (K, D) in [0, 1].
        sigma: bandwidth; by default the best on `validation` of ten values, logspace(-1, 0) as the official code.
    """
    if sigma is None:
        candidates = np.logspace(-1, 0, 10)
        distances = _squared_distances(validation, samples)
        sigma = float(max(candidates, key=lambda s: _log_density(distances, s, samples.shape[1]).mean()))
    likelihoods = np.concatenate(
        [
            _log_density(_squared_distances(test[i : i + 500], samples), sigma, samples.shape[1])
            for i in range(0, len(test), 500)
        ]
    )
    return float(likelihoods.mean()), float(likelihoods.std() / np.sqrt(len(likelihoods))), sigma


def _squared_distances(x: np.ndarray, samples: np.ndarray) -> np.ndarray:
    x, samples = x.astype(np.float64), samples.astype(np.float64)
    squared = (x**2).sum(1)[:, None] + (samples**2).sum(1) - 2 * x @ samples.T
    return np.maximum(squared, 0)


def _log_density(squared: np.ndarray, sigma: float, dimensions: int) -> np.ndarray:
    exponent = -0.5 * squared / sigma**2
    largest = exponent.max(axis=1)
    mean = largest + np.log(np.exp(exponent - largest[:, None]).mean(axis=1))
    return mean - dimensions * np.log(sigma * np.sqrt(2 * np.pi))
