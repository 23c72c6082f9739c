"""Nearest neighbours in feature space, and the metrics made of them.

Improved precision and recall: Kynkaanniemi et al. 2019, arXiv 1904.06991. Density and coverage: Naeem et al. 2020,
arXiv 2002.09797. A row's ball reaches to its k-th neighbour in its own set, the row itself left out.
"""

from collections.abc import Iterator

import numpy as np

from ganzoo.errors import GanzooError
from ganzoo.metrics import _rows


def nearest(queries, references, k: int = 1, *, exclude_self: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """(distances, indices) of the k references closest to each query, the closest first, equal ones by their index.

    Args:
        queries, references: (N, D) and (M, D).
        exclude_self: queries and references are the same rows, and a row is not a neighbour of its own; an equal row
            elsewhere is.

    Returns:
        Euclidean distances float64 (N, k), exactly 0 for equal rows, and row numbers of `references` (N, k).

    Raises:
        GanzooError: too few references for k, unlike dimensions, NaN or infinity.
    """
    queries = _rows.checked(queries, "query", least=1)
    references = _rows.checked(references, "reference", least=1)
    _rows.same_dimensions(queries.shape[1], references.shape[1], ("query", "reference"))
    if exclude_self and len(queries) != len(references):
        raise GanzooError(
            f"exclude_self compares a set with itself; received {len(queries)} queries and {len(references)} references."
        )
    _rows.check_neighbours(k, len(references) + (not exclude_self), "reference")
    indices = np.empty((len(queries), k), np.int64)
    distances = np.empty((len(queries), k))
    for rows, x in _rows.float_blocks(queries):
        squared, found = _closest(x, references, k, rows.start if exclude_self else None)
        for j in range(k):  # the few that count, without the rounding of the expansion
            squared[:, j] = np.square(x - references[found[:, j]]).sum(axis=1)
        order = np.lexsort((found, squared))
        indices[rows] = np.take_along_axis(found, order, axis=1)
        distances[rows] = np.sqrt(np.take_along_axis(squared, order, axis=1))
    return distances, indices


def precision_recall(real, fake, k: int = 3) -> tuple[float, float]:
    """(precision, recall): the share of fakes in the ball of some real row, and of reals in the ball of some fake.

    The border belongs to the ball (<=), as in the paper's code; prdc takes it as outside (<). They differ on ties only.

    Args:
        real, fake: features (N, D) and (M, D), k below both counts.

    Raises:
        GanzooError: k too large, unlike dimensions, NaN or infinity.
    """
    real, fake = _checked(real, fake, k, both=True)
    real_radii, fake_radii = _squared_radii(real, k), _squared_radii(fake, k)
    precise, recalled = np.zeros(len(fake), bool), np.zeros(len(real), bool)
    for r, f, squared in _blocks(real, fake):
        precise[f] |= (squared <= real_radii[r, None]).any(axis=0)
        recalled[r] |= (squared <= fake_radii[f]).any(axis=1)
    return float(precise.mean()), float(recalled.mean())


def density_coverage(real, fake, k: int = 5) -> tuple[float, float]:
    """(density, coverage): real balls around a fake on average, over k; and the share of real balls that hold a fake.

    The border is outside of the ball (<), as in the authors' prdc. Density may exceed 1.

    Args:
        real, fake: features (N, D), k below N, and (M, D).

    Raises:
        GanzooError: k too large, unlike dimensions, NaN or infinity.
    """
    real, fake = _checked(real, fake, k, both=False)
    radii = _squared_radii(real, k)
    held, covered = 0, np.zeros(len(real), bool)
    for r, _, squared in _blocks(real, fake):
        inside = squared < radii[r, None]
        held += int(np.count_nonzero(inside))
        covered[r] |= inside.any(axis=1)
    return held / (k * len(fake)), float(covered.mean())


def _checked(real, fake, k: int, *, both: bool) -> tuple[np.ndarray, np.ndarray]:
    real, fake = _rows.checked_pair(real, fake)
    _rows.check_neighbours(k, len(real), "real")
    if both:
        _rows.check_neighbours(k, len(fake), "generated")
    return real, fake


def _blocks(x: np.ndarray, y: np.ndarray) -> Iterator[tuple[slice, slice, np.ndarray]]:
    """(rows of x, rows of y, squared distances) over all pairs, in blocks."""
    for rows, a in _rows.float_blocks(x):
        for columns, b in _rows.float_blocks(y):
            yield rows, columns, _rows.squared_distances(a, b)


def _squared_radii(rows: np.ndarray, k: int) -> np.ndarray:
    """Squared distance (N,) of each row to its k-th neighbour, from the same sums as the distances it is held against."""
    return np.concatenate([_closest(x, rows, k, at.start)[0].max(axis=1) for at, x in _rows.float_blocks(rows)])


def _closest(x: np.ndarray, references: np.ndarray, k: int, start: int | None) -> tuple[np.ndarray, np.ndarray]:
    """(squared distances, indices), each (b, k) and unsorted, of the k closest references; `start`: x's place in them."""
    squared, indices = np.empty((len(x), 0)), np.empty((len(x), 0), np.int64)
    for columns, y in _rows.float_blocks(references):
        new = _rows.squared_distances(x, y)
        if start is not None and columns.start <= start < columns.stop:  # blocks of both are cut alike
            np.fill_diagonal(new, np.inf)
        squared = np.hstack([squared, new])
        numbers = np.broadcast_to(np.arange(columns.start, columns.stop), new.shape)
        indices = np.hstack([indices, numbers])
        if squared.shape[1] > k:
            kept = np.argpartition(squared, k - 1, axis=1)[:, :k]
            squared, indices = np.take_along_axis(squared, kept, axis=1), np.take_along_axis(indices, kept, axis=1)
    return squared, indices
