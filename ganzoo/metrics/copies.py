"""Did the generator copy? Samples that lie closer to a training picture than training pictures lie to each other."""

from typing import TypedDict

import numpy as np

from ganzoo.errors import GanzooError
from ganzoo.metrics.neighbours import nearest

QUANTILE = 0.05
THRESHOLD_ROWS = 5_000  # training rows that set the threshold: its error is 0.3 % of the rows, at a bounded cost


class Copies(TypedDict):
    """What `near_copies` returns."""

    share: float
    test_share: float | None
    threshold: float


def near_copies(samples, train, test=None, *, distances=None) -> Copies:
    """Share of near copies among the samples, compared with the same share of real test pictures.

    A near copy lies closer to some training picture than the threshold: the 5 % quantile of the training pictures'
    distances to their own nearest other training picture. So it is set by the training set alone, about 5 % of fresh
    pictures of the same kind fall below it, and samples well above the test share are the sign of copying. A set in
    which more than 5 % of the pictures stand twice has the threshold 0 and no near copies: remove its doubles first.

    Args:
        samples, train, test: features (N, D), (M, D) and (K, D) of one extractor. A model that was trained on mirrored
            pictures may copy a mirrored one: give it the features of both.
        distances: (N,) or (N, k), what `nearest(samples, train, k)` returned, if it is at hand already.

    Returns:
        share, test_share (None without `test`) and threshold, in the units of the features.

    Raises:
        GanzooError: fewer than 2 training rows, unlike dimensions, NaN, or distances of another count.
    """
    train = np.asarray(train)
    rows = np.unique(np.linspace(0, len(train) - 1, min(len(train), THRESHOLD_ROWS)).astype(int))
    # The closest is the row itself, at distance 0, so the second is its nearest other one.
    threshold = float(np.quantile(nearest(train[rows], train, 2)[0][:, 1], QUANTILE))
    if distances is None:
        distances = nearest(samples, train)[0]
    elif len(distances) != len(samples):
        raise GanzooError(f"near_copies got {len(distances)} distances for {len(samples)} samples.")
    closest = np.asarray(distances).reshape(len(samples), -1)[:, 0]
    return {
        "share": float(np.mean(closest < threshold)),
        "test_share": None if test is None else float(np.mean(nearest(test, train)[0] < threshold)),
        "threshold": threshold,
    }
