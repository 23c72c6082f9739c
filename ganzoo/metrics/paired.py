"""Distances between pictures and their targets, in float64 on a 0..1 scale."""

from collections.abc import Iterator

import numpy as np

from ganzoo.errors import GanzooError
from ganzoo.metrics import _rows
from ganzoo.metrics.path_length import row_distances

WINDOW, SIGMA = 11, 1.5  # Wang et al. 2004, section III-C
K1, K2 = 0.01, 0.03
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al. 2003, section 3.2
PICTURES = 32  # worked on at a time


def l1(target: np.ndarray, output: np.ndarray) -> float:
    """Mean absolute error of uint8 images of one shape, as a share of the full range: 0 equal, 1 opposite."""
    return float(np.mean(np.abs(_difference(target, output))))


def psnr(target: np.ndarray, output: np.ndarray) -> float:
    """Mean over the images of 10 log10(1 / MSE), in dB; infinite for equal images."""
    squared = np.mean(np.square(_difference(target, output)), axis=(1, 2, 3))
    with np.errstate(divide="ignore"):
        return float(np.mean(-10 * np.log10(squared)))


def ssim(target: np.ndarray, output: np.ndarray) -> float:
    """Mean structural similarity of uint8 images (N, H, W, C), both sides at least 11: 1 for equal, -1 at worst.

    Wang et al. 2004: Gaussian window 11 x 11, sigma 1.5, K1 0.01, K2 0.03, only windows that lie inside of the picture;
    each channel alone, then the mean. No downsampling first, as in tf.image.ssim and scikit-image.

    Raises:
        GanzooError: unlike shapes, another dtype, or sides below 11 pixels.
    """
    _check_pair(target, output)
    ms_ssim_scales(min(target.shape[1:3]))
    return float(np.concatenate([_similarity(x, y)[0].mean(axis=1) for x, y in _in_parts(target, output)]).mean())


def ms_ssim_scales(size: int) -> int:
    """How many scales, 1..5, `ms_ssim` takes at a shorter side of `size` pixels: the 11-pixel window fits into the last.

    11..20: 1, 21..40: 2, 41..80: 3, 81..160: 4, from 161: 5. The count belongs into the metric's name.
    """
    if size < WINDOW:
        raise GanzooError(f"SSIM's window is {WINDOW} pixels wide; received pictures with a side of {size}.")
    scales = 1
    while scales < len(SCALE_WEIGHTS) and (size := -(-size // 2)) >= WINDOW:
        scales += 1
    return scales


def ms_ssim(target: np.ndarray, output: np.ndarray) -> float:
    """Mean multi-scale SSIM (Wang et al. 2003) of uint8 images (N, H, W, C), 0..1; 1 for equal.

    Contrast and structure at every scale, luminance at the last, each halved by a mean of 2 x 2 pixels. Small pictures
    take fewer scales (`ms_ssim_scales`), with the paper's first weights divided by their sum; the values of different
    scale counts do not compare. Negative terms count as 0, as in tf.image.ssim_multiscale.

    Raises:
        GanzooError: unlike shapes, another dtype, or sides below 11 pixels.
    """
    _check_pair(target, output)
    scales = ms_ssim_scales(min(target.shape[1:3]))
    weights = np.array(SCALE_WEIGHTS[:scales]) / sum(SCALE_WEIGHTS[:scales])
    values = []
    for x, y in _in_parts(target, output):
        product = np.ones(1)
        for scale, weight in enumerate(weights):
            if scale:
                x, y = _halved(x), _halved(y)
            whole, contrast = _similarity(x, y)
            product = product * np.maximum(whole if scale == scales - 1 else contrast, 0) ** weight
        values.append(product.mean(axis=1))
    return float(np.concatenate(values).mean())


def feature_distance(target_features, output_features) -> float:
    """Mean Euclidean distance between rows of the same number, (N, D) both, in the features' units.

    Raises:
        GanzooError: unlike shapes, NaN or infinity.
    """
    target = _rows.checked(target_features, "target", least=1)
    output = _rows.checked(output_features, "output", least=1)
    if target.shape != output.shape:
        raise GanzooError(f"Paired features have one shape; received {target.shape} and {output.shape}.")
    return float(row_distances(target, output).mean())


def _similarity(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(SSIM, its contrast-structure factor), the mean over all windows: (N, C) both."""
    mean_x, mean_y = _windows(x), _windows(y)
    product, squares = mean_x * mean_y, mean_x**2 + mean_y**2
    contrast = (2 * (_windows(x * y) - product) + K2**2) / (_windows(x**2 + y**2) - squares + K2**2)
    luminance = (2 * product + K1**2) / (squares + K1**2)
    return (luminance * contrast).mean(axis=(1, 2)), contrast.mean(axis=(1, 2))


def _windows(x: np.ndarray) -> np.ndarray:
    """Gaussian mean of every 11 x 11 window of (N, H, W, C) that lies inside."""
    offsets = np.arange(WINDOW) - WINDOW // 2
    weights = np.exp(-0.5 * (offsets / SIGMA) ** 2)
    weights /= weights.sum()
    height, width = (side - WINDOW + 1 for side in x.shape[1:3])
    x = sum(w * x[:, i : i + height] for i, w in enumerate(weights))
    return sum(w * x[:, :, i : i + width] for i, w in enumerate(weights))


def _halved(x: np.ndarray) -> np.ndarray:
    """Mean of 2 x 2 pixels; an odd last row or column is doubled first."""
    _, height, width, _ = x.shape
    x = np.pad(x, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), "symmetric")
    return (x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 4


def _in_parts(target: np.ndarray, output: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for start in range(0, len(target), PICTURES):
        part = slice(start, start + PICTURES)
        yield np.asarray(target)[part] / 255.0, np.asarray(output)[part] / 255.0


def _difference(target: np.ndarray, output: np.ndarray) -> np.ndarray:
    target, output = _check_pair(target, output)
    return (target.astype(np.float64) - output) / 255


def _check_pair(target, output) -> tuple[np.ndarray, np.ndarray]:
    target, output = np.asarray(target), np.asarray(output)
    if target.shape != output.shape or target.ndim != 4 or target.dtype != np.uint8 or output.dtype != np.uint8:
        raise GanzooError(
            f"Paired metrics take two uint8 arrays (N, H, W, C) of one shape; received {target.dtype} {target.shape} and "
            f"{output.dtype} {output.shape}."
        )
    if not target.size:
        raise GanzooError("Paired metrics need at least one picture; received none.")
    return target, output
