"""How far apart samples lie: near zero when a generator has collapsed."""

import numpy as np

from ganzoo.metrics import _rows


def pairwise_diversity(features) -> float:
    """Mean Euclidean distance of the pairs of different rows of (N, D), N >= 2, in the features' units.

    0 when all rows are equal. Compare it with that of as many real pictures, at any count: the mean over pairs
    has no bias in N.

    Raises:
        GanzooError: one row, NaN or infinity.
    """
    features = _rows.checked(features, "generated")
    total = 0.0
    for rows, a in _rows.float_blocks(features):
        total += np.sqrt(_rows.squared_distances(a, a)).sum()
        for _, b in _rows.float_blocks(features[rows.stop :]):
            total += 2 * np.sqrt(_rows.squared_distances(a, b)).sum()
    return float(total / (len(features) * (len(features) - 1)))
