"""Distances between pictures and their targets, in float64 on a 0..1 scale."""

import numpy as np

from ganzoo.errors import GanzooError


def l1(target: np.ndarray, output: np.ndarray) -> float:
    """Mean absolute error of uint8 images of one shape, as a share of the full range: 0 equal, 1 opposite."""
    return float(np.mean(np.abs(_difference(target, output))))


def psnr(target: np.ndarray, output: np.ndarray) -> float:
    """Mean over the images of 10 log10(1 / MSE), in dB; infinite for equal images."""
    squared = np.mean(np.square(_difference(target, output)), axis=(1, 2, 3))
    with np.errstate(divide="ignore"):
        return float(np.mean(-10 * np.log10(squared)))


def _difference(target: np.ndarray, output: np.ndarray) -> np.ndarray:
    target, output = np.asarray(target), np.asarray(output)
    if target.shape != output.shape or target.ndim != 4 or target.dtype != np.uint8 or output.dtype != np.uint8:
        raise GanzooError(
            f"Paired metrics take two uint8 arrays (N, H, W, C) of one shape; received {target.dtype} {target.shape} and "
            f"{output.dtype} {output.shape}."
        )
    return (target.astype(np.float64) - output) / 255
