"""The nearest-neighbour sheet: samples next to the training pictures that they come closest to, to be judged by eye."""

from collections.abc import Mapping, Sequence

import numpy as np

from ganzoo.errors import GanzooError
from ganzoo.media import images

TILE = 64  # pixels: smaller pictures are enlarged by whole pixels
ACROSS = 2  # samples in a line of the sheet, each with its neighbours
FRAME = 3  # pixels
SAMPLE, COPY, PLAIN = (23, 105, 194), (204, 32, 32), (255, 255, 255)


def nearest_sheet(
    samples: np.ndarray,
    train_pictures: Sequence[np.ndarray] | Mapping[int, np.ndarray],
    distances: np.ndarray,
    indices: np.ndarray,
    *,
    rows: int = 8,
    threshold: float | None = None,
) -> np.ndarray:
    """The samples that come closest to a training picture, the most copy-like first, each left of its neighbours.

    The sample has a blue frame, or a red one if it is a near copy. The same input gives the same bytes.

    Args:
        samples: uint8 (N, H, W, C).
        train_pictures: uint8 pictures of the same size by row of the features, those of `indices` at least; gray or RGB.
        distances, indices: (N, k), from `metrics.nearest(sample_features, train_features, k)`; k = 3 is usual.
        rows: samples shown.
        threshold: of `metrics.near_copies`; below it the frame is red.

    Returns:
        uint8 (height, width, 3).

    Raises:
        GanzooError: distances and indices are not of these samples, or the pictures differ in size.
    """
    distances, indices = np.asarray(distances), np.asarray(indices)
    if not distances.shape == indices.shape or distances.ndim != 2 or len(distances) != len(samples):
        raise GanzooError(
            f"A sheet of {len(samples)} samples takes distances and indices (N, k) of each; received {distances.shape} and "
            f"{indices.shape}."
        )
    tiles = []
    for i in np.argsort(distances[:, 0], kind="stable")[:rows]:
        copied = threshold is not None and distances[i, 0] < threshold
        tiles.append(_framed(samples[i], COPY if copied else SAMPLE))
        tiles += [_framed(train_pictures[int(j)], PLAIN) for j in indices[i]]
    return images.grid(tiles, columns=ACROSS * (1 + distances.shape[1]))


def _framed(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    factor = -(-TILE // min(picture.shape[:2]))
    large = images.to_channels(picture, 3).repeat(factor, axis=0).repeat(factor, axis=1)
    frame = np.empty((large.shape[0] + 2 * FRAME, large.shape[1] + 2 * FRAME, 3), np.uint8)
    frame[:] = colour
    frame[FRAME:-FRAME, FRAME:-FRAME] = large
    return frame
