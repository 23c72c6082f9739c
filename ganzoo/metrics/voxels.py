"""How near generated shapes come to real ones, by intersection over union of their filled voxels. NumPy, exact counts.

Shapes are (n, S, S, S) or (n, S, S, S, 1); a voxel above 0.5 is filled. The distance of two shapes is 1 - IoU.
"""

import numpy as np

from ganzoo.errors import GanzooError

BLOCK = 256  # shapes of a side that are floats at once: 256 x 32^3 float32 are 32 MiB


def voxel_iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """float64 (N, M): intersection over union of every pair; two empty shapes are equal, IoU 1.

    Raises:
        GanzooError: arrays of other axes, unlike grids, no shape, or voxels that are not finite.
    """
    a, b = _filled(first, "first"), _filled(second, "second")
    if a.shape[1] != b.shape[1]:
        raise GanzooError(f"Shapes of {a.shape[1]} and of {b.shape[1]} voxels cannot be compared: take one grid size.")
    both = np.empty((len(a), len(b)))
    for i in range(0, len(a), BLOCK):
        rows = a[i : i + BLOCK].astype(np.float32)  # counts below 2^24 are exact in float32
        for j in range(0, len(b), BLOCK):
            both[i : i + BLOCK, j : j + BLOCK] = rows @ b[j : j + BLOCK].T.astype(np.float32)
    either = a.sum(axis=1)[:, None] + b.sum(axis=1) - both
    return np.where(either == 0, 1.0, both / np.maximum(either, 1))


def nearest_iou(real: np.ndarray, fake: np.ndarray) -> float:
    """Mean over the generated shapes of the IoU with the nearest real one."""
    return float(voxel_iou(fake, real).max(axis=1).mean())


def voxel_coverage(real: np.ndarray, fake: np.ndarray) -> float:
    """Share of the real shapes that are the nearest one of some generated shape (Achlioptas et al. 2018, 1707.02392)."""
    return len(np.unique(voxel_iou(fake, real).argmax(axis=1))) / len(real)


def nearest_neighbour_accuracy(real: np.ndarray, fake: np.ndarray) -> float:
    """Leave-one-out accuracy of a 1-NN classifier that tells real from generated (Lopez-Paz and Oquab 2017, 1610.06545).

    1/2 where the two sets are of one distribution, 1 where they are apart. Both sets count alike: they have one size.

    Raises:
        GanzooError: unlike numbers of shapes, or fewer than two.
    """
    n = len(real)
    if len(fake) != n or n < 2:
        raise GanzooError(
            f"1-NN accuracy takes as many generated as real shapes, at least 2; received {len(fake)} and {n}."
        )
    iou = voxel_iou(*[np.concatenate([real, fake])] * 2)
    np.fill_diagonal(iou, -1)
    is_real = np.arange(2 * n) < n
    # Of equally near ones the unlike kind counts: a copy of a real shape tells nothing.
    own = np.where(is_real[:, None] == is_real, iou, -1).max(axis=1)
    other = np.where(is_real[:, None] != is_real, iou, -1).max(axis=1)
    return float(np.mean(own > other))


def _filled(shapes, name: str) -> np.ndarray:
    """bool (n, voxels)."""
    array = np.asarray(shapes)
    if array.ndim not in (4, 5) or 0 in array.shape or (array.ndim == 5 and array.shape[4] != 1):
        raise GanzooError(
            f"The {name} shapes must be an array (n, S, S, S) or (n, S, S, S, 1); received {array.shape}."
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise GanzooError(f"The {name} shapes hold NaN or infinity.")
    return array.reshape(len(array), -1) > 0.5
