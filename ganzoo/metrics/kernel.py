"""Kernel distance (KID; Binkowski et al. 2018, arXiv 1801.01401): squared MMD of the cubic polynomial kernel."""

import math

import numpy as np

from ganzoo.errors import GanzooError
from ganzoo.metrics import _rows


def kernel_distance(real, fake, *, subsets=None, subset_size: int = 1000, seed: int = 0):
    """Unbiased squared MMD with k(x, y) = (x.y / D + 1)^3: no bias at any count, and negative by chance.

    Args:
        real, fake: features (N, D) and (M, D).
        subsets: None, for one value of the first min(N, M) rows of each; a number of random subsets (100 is usual); or
            an index array (S, 2m): m rows of `real`, then m of `fake`, a subset.
        subset_size: rows drawn from each set, without replacement within a subset.
        seed: of the draws: `RandomState(seed)`, real before fake, so that 2020 draws torch-fidelity's subsets.

    Returns:
        The value; with `subsets` (mean, standard deviation over the subsets with n in the denominator).

    Raises:
        GanzooError: one row, unlike dimensions, NaN or infinity, subsets larger than a set, or an index beyond it.
    """
    real, fake = _rows.checked_pair(real, fake)
    if subsets is None:
        n = min(len(real), len(fake))
        return _mmd(real[:n], fake[:n])
    if np.ndim(subsets):
        drawn = _given(subsets, len(real), len(fake))
    else:
        drawn = _drawn(subsets, subset_size, seed, len(real), len(fake))
    if (len(real) + len(fake)) ** 2 <= drawn[0].size * 4 * drawn[0].shape[1]:
        # Many subsets of few rows share their pairs: each pair's kernel is computed once, for all subsets.
        values = _mmds(real, fake, *(_counts(d, len(x)) for d, x in zip(drawn, (real, fake), strict=True)))
    else:
        values = np.array([_mmd(real[r], fake[f]) for r, f in zip(*drawn, strict=True)])
    return float(values.mean()), float(values.std())


def kid_subset_size(n: int, m: int) -> int:
    """Rows of a KID subset of sets of `n` and `m` rows: 1,000, but at most half of the smaller set.

    Subsets as large as the set are all the same one, and their deviation would be 0, whatever the error is.
    """
    return max(2, min(1000, min(n, m) // 2))


def kernel_distance_blocks(real, fake, *, block_size: int = 1024) -> tuple[float, float]:
    """(mean, standard error) of the KID of consecutive blocks that use every row once, as TF-GAN computes it.

    Both sets are cut into as many blocks as the larger needs to hold at most `block_size` rows each; the blocks of the
    two sets may differ in size. The standard error is NaN for one block.
    """
    real, fake = _rows.checked_pair(real, fake)
    blocks = math.ceil(max(len(real), len(fake)) / block_size)
    if min(len(real), len(fake)) < 2 * blocks:
        raise GanzooError(
            f"{len(real)} real and {len(fake)} generated rows make {blocks} blocks of at most {block_size} rows with "
            "fewer than 2 rows in one: raise block_size."
        )
    real_parts, fake_parts = _parts(real, blocks), _parts(fake, blocks)
    values = np.array([_mmd(r, f) for r, f in zip(real_parts, fake_parts, strict=True)])
    error = values.std(ddof=1) / math.sqrt(blocks) if blocks > 1 else math.nan
    return float(values.mean()), float(error)


def _parts(rows: np.ndarray, count: int) -> list[np.ndarray]:
    """Consecutive parts; where the rows do not divide, the first parts are the smaller ones."""
    ends = np.cumsum([(len(rows) + i) // count for i in range(count)])
    return np.split(rows, ends[:-1])


def _given(subsets, n_real: int, n_fake: int) -> tuple[np.ndarray, np.ndarray]:
    """Both halves of the user's index array, (S, m) each."""
    table = np.asarray(subsets)
    if table.ndim != 2 or table.dtype.kind not in "iu" or len(table) < 1 or table.shape[1] < 4 or table.shape[1] % 2:
        raise GanzooError(
            "subsets is a count or an integer array (subsets, 2 m): m >= 2 rows of the real set, then m of the "
            f"generated one; received {table.dtype} {table.shape}."
        )
    real, fake = np.split(table, 2, axis=1)
    for half, n, name in ((real, n_real, "real"), (fake, n_fake, "generated")):
        for row in (half.min(), half.max()):
            if not 0 <= row < n:
                raise GanzooError(f"subsets names row {row} of {n} {name} rows: they are counted 0..{n - 1}.")
    return real, fake


def _drawn(subsets: int, size: int, seed: int, n_real: int, n_fake: int) -> tuple[np.ndarray, np.ndarray]:
    """Random rows of both sets, (subsets, size) each."""
    if subsets < 1 or not 2 <= size <= min(n_real, n_fake):
        raise GanzooError(
            f"{subsets} subsets of {size} rows cannot be drawn from {n_real} real and {n_fake} generated rows: subsets "
            f"is at least 1, subset_size 2..{min(n_real, n_fake)}."
        )
    rng = np.random.RandomState(seed)
    drawn = [[rng.choice(n, size, replace=False) for n in (n_real, n_fake)] for _ in range(subsets)]
    real, fake = zip(*drawn, strict=True)
    return np.array(real), np.array(fake)


def _counts(drawn: np.ndarray, rows: int) -> np.ndarray:
    """(S, rows): how often a subset holds a row."""
    return np.array([np.bincount(subset, minlength=rows) for subset in drawn], np.float64)


def _mmd(x: np.ndarray, y: np.ndarray) -> float:
    return float(_mmds(x, y, np.ones((1, len(x))), np.ones((1, len(y))))[0])


def _mmds(x: np.ndarray, y: np.ndarray, x_counts: np.ndarray, y_counts: np.ndarray) -> np.ndarray:
    """Unbiased MMD^2 (S,) of the rows of x and y, each taken as often as a row of its counts (S, N) says."""
    n, m = x_counts.sum(axis=1), y_counts.sum(axis=1)
    between = np.zeros(len(n))
    for rows, a in _rows.float_blocks(x):
        for columns, b in _rows.float_blocks(y):
            between += _weighted(x_counts[:, rows], _kernel(a, b), y_counts[:, columns])
    within = _within(x, x_counts) / (n * (n - 1)) + _within(y, y_counts) / (m * (m - 1))
    return within - 2 * between / (n * m)


def _within(x: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Sums (S,) of k over pairs of different draws: the blocks above the diagonal count twice."""
    total = np.zeros(len(counts))
    for rows, a in _rows.float_blocks(x):
        here, square = counts[:, rows], _kernel(a, a)
        total += _weighted(here, square, here) - here @ np.diagonal(square)
        rest = counts[:, rows.stop :]
        for columns, b in _rows.float_blocks(x[rows.stop :]):
            total += 2 * _weighted(here, _kernel(a, b), rest[:, columns])
    return total


def _weighted(left: np.ndarray, kernel: np.ndarray, right: np.ndarray) -> np.ndarray:
    return ((left @ kernel) * right).sum(axis=1)


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    k = x @ y.T
    k /= x.shape[1]
    k += 1
    return k * k * k
