"""What the metrics share: checks of (N, D) arrays, sentences for bad ones, and distances in blocks of rows.

A block is converted to float64 when its turn comes, so that no metric holds more than its inputs and a few blocks.
"""

import warnings
from collections.abc import Iterator

import numpy as np

from ganzoo.errors import GanzooError

BLOCK = 1024  # rows of a block: 1024 x 2048 float64 are 16 MiB


class MetricWarning(UserWarning):
    """A value was computed, and says less than it seems to."""


class SmallSample(MetricWarning):
    """Fewer rows than a covariance of that many dimensions needs."""


class ConstantRows(MetricWarning):
    """Every row of a set is the same: a collapsed generator, or constant pictures."""


def checked(array, name: str, *, least: int = 2) -> np.ndarray:
    """`array` as it came, after the checks: two axes, numbers, at least `least` rows, all finite.

    Raises:
        GanzooError: says which of these fails, with `name` ("real", "generated") as the offender.
    """
    array = np.asarray(array)
    if array.ndim != 2 or array.shape[1] == 0:
        raise GanzooError(
            f"The {name} features must be an array (rows, dimensions); received shape {array.shape}. "
            "Flatten pictures, or pass them through an extractor, first."
        )
    if array.dtype.kind not in "fiu":
        raise GanzooError(f"The {name} features must be real numbers; received dtype {array.dtype}.")
    if len(array) < least:
        raise GanzooError(
            f"The {name} features hold {len(array)} row{'' if len(array) == 1 else 's'}; "
            f"this metric needs at least {least}: take more pictures."
        )
    for start in range(0, len(array), BLOCK):
        finite = np.isfinite(array[start : start + BLOCK]).all(axis=1)
        if not finite.all():
            row = start + int(np.argmin(finite))
            raise GanzooError(
                f"The {name} features are not finite: row {row} holds NaN or infinity. "
                "Look at that picture, or at the network that made it."
            )
    return array


def checked_pair(real, fake, *, names: tuple[str, str] = ("real", "generated"), least: int = 2):
    """Both sets checked, and of one dimension. Warns (`ConstantRows`) when all rows of one are equal."""
    pair = tuple(checked(array, name, least=least) for array, name in zip((real, fake), names, strict=True))
    same_dimensions(pair[0].shape[1], pair[1].shape[1], names)
    for array, name in zip(pair, names, strict=True):
        warn_constant(array, name)
    return pair


def same_dimensions(first: int, second: int, names: tuple[str, str] = ("real", "generated")) -> None:
    """Raises GanzooError unless both sets have one number of dimensions."""
    if first != second:
        raise GanzooError(
            f"The {names[0]} features have {first} dimensions and the {names[1]} ones {second}: "
            "one extractor must make both."
        )


def warn_constant(array: np.ndarray, name: str) -> None:
    """Warns when a set of two or more rows holds one row again and again."""
    blocks = (array[start : start + BLOCK] for start in range(0, len(array), BLOCK))
    if len(array) > 1 and all((block == array[0]).all() for block in blocks):
        warnings.warn(
            f"All {len(array):,} {name} rows are equal: the generator has collapsed, or the pictures are constant.",
            ConstantRows,
            stacklevel=4,
        )


def check_neighbours(k: int, rows: int, name: str) -> None:
    """Raises GanzooError unless `rows` rows have a k-th neighbour each."""
    if not 1 <= k < rows:
        raise GanzooError(
            f"k = {k} nearest neighbours of {rows} {name} rows do not exist: k lies between 1 and {rows - 1}, "
            "one less than the rows."
        )


def float_blocks(array: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """(slice, float64 rows) from the first row to the last."""
    for start in range(0, len(array), BLOCK):
        rows = slice(start, min(start + BLOCK, len(array)))
        yield rows, np.asarray(array[rows], np.float64)


def squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """|x_i - y_j|^2 (N, M) of float64 rows, from one matrix product.

    The expansion x.x + y.y - 2 x.y loses the last digits of small distances. What it cannot tell from zero (a relative
    distance of 3e-7, float32's resolution) is zero, so that equal rows lie at no distance.
    """
    norms = np.einsum("nd,nd->n", x, x)[:, None] + np.einsum("md,md->m", y, y)
    squared = norms - 2 * (x @ y.T)
    squared[squared < 1e-13 * norms] = 0
    return squared
