"""Frechet distance between Gaussians fitted to features (FID; Heusel et al. 2017, arXiv 1706.08500, equation 6)."""

import warnings
from pathlib import Path
from typing import Any, Self

import numpy as np

from ganzoo import files
from ganzoo.errors import GanzooError
from ganzoo.metrics import _rows


class Moments:
    """Count, mean and unbiased covariance of rows that arrive in batches, in float64.

    The stream is cut into blocks of 1,024 rows whatever the batches are, and blocks are joined as Chan et al. (1979)
    do: batch sizes change no bit of the result, the order of the rows only the last digits. Memory: two D x D
    matrices and a block.

        moments = Moments()
        for batch in extractor.stream(pictures):
            moments.update(batch)
    """

    def __init__(self, dimensions: int | None = None):
        self.n = 0
        self._dimensions = dimensions
        self._allocate()

    def _allocate(self) -> None:
        if self._dimensions is not None:
            self._mean = np.zeros(self._dimensions)
            self._scatter = np.zeros((self._dimensions, self._dimensions))  # sum of (x - mean)(x - mean)^T
            # The row after the block's last takes the shift between the means, see _join.
            self._block = np.empty((_rows.BLOCK + 1, self._dimensions))
        self._waiting = 0  # rows in the block, not yet part of mean and scatter

    def update(self, rows) -> Self:
        """Adds rows (b, D), b may be 0 or 1. Raises GanzooError for another D, wrong axes, NaN or infinity."""
        rows = _rows.checked(rows, "new", least=0)
        if self._dimensions is None:
            self._dimensions = rows.shape[1]
            self._allocate()
        _rows.same_dimensions(self._dimensions, rows.shape[1], ("earlier", "new"))
        start = 0
        while start < len(rows):
            taken = min(_rows.BLOCK - self._waiting, len(rows) - start)
            self._block[self._waiting : self._waiting + taken] = rows[start : start + taken]
            self._waiting, start, self.n = self._waiting + taken, start + taken, self.n + taken
            if self._waiting == _rows.BLOCK:
                self._mean, self._scatter = self._joined()
                self._waiting = 0
        return self

    def _joined(self) -> tuple[np.ndarray, np.ndarray]:
        """(mean, scatter) with the waiting rows."""
        if not self._waiting:
            return self._mean, self._scatter
        b, before = self._waiting, self.n - self._waiting
        block = self._block[: b + 1].copy()
        mean = block[:b].mean(axis=0)
        shift = mean - self._mean
        block[:b] -= mean
        # Chan's term shift shift^T * before*b/n, as one more row of the product
        block[b] = shift * np.sqrt(before * b / self.n)
        scatter = block.T @ block
        scatter += self._scatter
        return self._mean + shift * (b / self.n), scatter

    @property
    def dimensions(self) -> int | None:
        """D, or None before the first rows."""
        return self._dimensions

    @property
    def mean(self) -> np.ndarray:
        """Mean (D,). Raises GanzooError without rows."""
        self._need(1)
        return self._joined()[0].copy()

    @property
    def covariance(self) -> np.ndarray:
        """Covariance (D, D) with n - 1 in the denominator. Raises GanzooError with fewer than two rows."""
        self._need(2)
        return self._joined()[1] / (self.n - 1)

    def _need(self, rows: int) -> None:
        if self.n < rows:
            raise GanzooError(f"These moments hold {self.n} rows; at least {rows} are needed: take more pictures.")

    def arrays(self) -> dict[str, np.ndarray]:
        """{"n", "mean", "covariance"}: what a cache or a file keeps."""
        return {"n": np.array(self.n), "mean": self.mean, "covariance": self.covariance}

    @classmethod
    def from_arrays(cls, arrays) -> Self:
        """The moments of `arrays()`; further rows can be added."""
        moments = cls(len(arrays["mean"]))
        moments.n = int(arrays["n"])
        moments._mean = np.array(arrays["mean"], np.float64)
        moments._scatter = np.array(arrays["covariance"], np.float64) * (moments.n - 1)
        return moments

    def save(self, path: str | Path) -> None:
        """Writes `arrays()` as a NumPy .npz file."""
        with open(path, "wb") as file:
            np.savez(file, **dict[str, Any](self.arrays()))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Reads a file of `save`. Raises GanzooError for any other."""
        name = files.shown(path)
        arrays = files.read_npz(path, name)
        d = arrays["mean"].size if "mean" in arrays else 0
        shapes = {"n": (), "mean": (d,), "covariance": (d, d)}
        if {key: array.shape for key, array in arrays.items() if key in shapes and array.dtype.kind in "iuf"} != shapes:
            raise GanzooError(f"{name} holds no moments: it needs numbers n (), mean (D,) and covariance (D, D).")
        return cls.from_arrays(arrays)


def frechet_distance(real, fake) -> float:
    """|m_r - m_f|^2 + tr(C_r) + tr(C_f) - 2 tr((C_r C_f)^(1/2)), in float64, with unbiased covariances.

    The trace of the root is the sum of the roots of the eigenvalues of L^T C_f L, a symmetric matrix, with
    C_r = L L^T by Cholesky or, where C_r is singular, by its own symmetric eigen-decomposition: no general matrix
    root, nothing complex, nothing added to singular covariances.

    Args:
        real, fake: features (N, D), or `Moments`, each of at least two rows.

    Returns:
        The squared distance, 0 for equal moments. It falls as rows are added: compare at one count only.

    Warns:
        SmallSample: fewer than D + 1 rows: the value stands, and is far above that of many rows.
        ConstantRows: all rows of a set are equal.

    Raises:
        GanzooError: one row, unlike dimensions, wrong axes, NaN or infinity.
    """
    real, fake = _moments(real, "real"), _moments(fake, "generated")
    _rows.same_dimensions(real.dimensions, fake.dimensions)
    for side, name in ((real, "real"), (fake, "generated")):
        if side.n <= side.dimensions:
            warnings.warn(
                f"FID of {side.n:,} {name} rows in {side.dimensions:,} dimensions: their covariance is singular and the "
                f"value far too high; take more than {side.dimensions:,}, or use KID, which has no such bias.",
                _rows.SmallSample,
                stacklevel=2,
            )
    covariances = real.covariance, fake.covariance
    # The smaller rank decides the size of the second decomposition.
    first, second = covariances if real.n <= fake.n else covariances[::-1]
    shift = real.mean - fake.mean
    trace = np.trace(first) + np.trace(second)
    return max(float(shift @ shift + trace - 2 * _trace_of_root(first, second)), 0.0)


def _moments(side, name: str) -> Moments:
    if isinstance(side, Moments):
        if side.n < 2:
            raise GanzooError(f"The {name} moments hold {side.n} rows; FID needs at least 2: take more pictures.")
        return side
    side = _rows.checked(side, name)
    _rows.warn_constant(side, name)
    return Moments(side.shape[1]).update(side)


def _trace_of_root(first: np.ndarray, second: np.ndarray) -> float:
    """tr((first second)^(1/2)) of two symmetric, positive semi-definite matrices."""
    inner = np.linalg.eigvalsh(_congruent(first, second))
    return float(np.sqrt(np.maximum(inner, 0)).sum()) if inner.size else 0.0


def _congruent(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """L^T second L with first = L L^T: symmetric, and with the eigenvalues of first second that are not zero."""
    try:
        factor = np.linalg.cholesky(first)  # a tenth of an eigen-decomposition's time
    except np.linalg.LinAlgError:  # singular
        values, vectors = np.linalg.eigh(first)
        # Eigenvalues below rounding are zeros of a singular matrix; their noise would enter as its root, 1e-8 each.
        kept = values > values[-1] * len(values) * np.finfo(np.float64).eps
        factor = vectors[:, kept] * np.sqrt(values[kept])
    return factor.T @ second @ factor
