"""Perceptual path length (PPL; Karras et al. 2019, arXiv 1812.04948, section 4.1)."""

import numpy as np

from ganzoo.errors import GanzooError
from ganzoo.metrics import _rows


def path_length(first, second, epsilon: float) -> tuple[float, float]:
    """(mean, standard deviation) of |f(G(t)) - f(G(t + epsilon))|^2 / epsilon^2 over pairs of pictures.

    As in the official code, values below the 1st and above the 99th percentile are left out (percentiles taken
    outwards, to the next value); the deviation (n in the denominator) is that of the values kept.

    Args:
        first, second: features (N, D) of pictures at t and t + epsilon on paths between latents, in one order.
        epsilon: the step on the path (1e-4 in the paper). The pictures must be made in float: eight bits hide it.

    Raises:
        GanzooError: unlike shapes, epsilon of zero or below, NaN or infinity.
    """
    first, second = _rows.checked(first, "first", least=1), _rows.checked(second, "second", least=1)
    if first.shape != second.shape:
        raise GanzooError(f"Path length takes features of one shape; received {first.shape} and {second.shape}.")
    if not epsilon > 0:
        raise GanzooError(f"The step epsilon of a path must be above 0; received {epsilon}.")
    lengths = row_distances(first, second) ** 2 / epsilon**2
    low = np.percentile(lengths, 1, method="lower")
    high = np.percentile(lengths, 99, method="higher")
    kept = lengths[(lengths >= low) & (lengths <= high)]
    return float(kept.mean()), float(kept.std())


def row_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Euclidean distance (N,) of each row to the row of the same number."""
    return np.concatenate([np.sqrt(np.square(a - second[rows]).sum(axis=1)) for rows, a in _rows.float_blocks(first)])
