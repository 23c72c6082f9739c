"""How well holes of pictures are filled, on a 0..1 scale and on the hole alone, and what costs nothing to fill them with."""

import numpy as np

from ganzoo.errors import GanzooError, missing_extra


def hole_l1(target: np.ndarray, output: np.ndarray, masks: np.ndarray) -> float:
    """Mean absolute error of uint8 images (N, H, W, C) in their holes, bool (N, H, W); the mean of the images' means.

    Pathak et al. 2016 (1604.07379), table 1, as a share instead of per cent.

    Raises:
        GanzooError: other shapes or types, or an image without a hole.
    """
    return float(np.mean(_means(np.abs(_difference(target, output, masks)), masks)))


def hole_l2(target: np.ndarray, output: np.ndarray, masks: np.ndarray) -> float:
    """Mean squared error; otherwise as `hole_l1`."""
    return float(np.mean(_means(np.square(_difference(target, output, masks)), masks)))


def hole_psnr(target: np.ndarray, output: np.ndarray, masks: np.ndarray) -> float:
    """Mean over the images of 10 log10(1 / MSE of the hole), in dB; infinite for equal ones. Otherwise as `hole_l1`."""
    with np.errstate(divide="ignore"):
        return float(np.mean(-10 * np.log10(_means(np.square(_difference(target, output, masks)), masks))))


def mean_colour(images: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """uint8 images (N, H, W, C) whose holes, bool (N, H, W), have the mean colour of what is known of the image."""
    known = ~masks[..., None]
    counts = np.maximum(known.sum(axis=(1, 2)), 1)
    means = (images * known).sum(axis=(1, 2), dtype=np.float64) / counts
    return np.where(known, images, np.rint(means).astype(np.uint8)[:, None, None])


def biharmonic(images: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """uint8 images whose holes are filled by the biharmonic equation, scikit-image's `inpaint_biharmonic`: the smooth
    surface that goes on from the rim (Damelin and Hoang 2018).

    Raises:
        GanzooError: scikit-image is not installed.
    """
    try:
        from skimage.restoration import inpaint_biharmonic
    except ModuleNotFoundError as error:
        raise missing_extra("scikit-image" if error.name in (None, "skimage") else error.name, "inpainting") from None
    # Copies: its compiled part takes no array that is read-only.
    filled = [inpaint_biharmonic(x / 255.0, m.copy(), channel_axis=-1) for x, m in zip(images, masks, strict=True)]
    shown = np.rint(np.clip(filled, 0, 1) * 255).astype(np.uint8)
    return np.where(masks[..., None], shown, images)


def _means(errors: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """(N,): of errors (N, H, W, C) the mean over the hole and the channels."""
    return (errors.mean(axis=3) * masks).sum(axis=(1, 2)) / masks.sum(axis=(1, 2))


def _difference(target: np.ndarray, output: np.ndarray, masks: np.ndarray) -> np.ndarray:
    fits = target.shape == output.shape and target.dtype == output.dtype == np.uint8 and target.ndim == 4
    if not fits or masks.shape != target.shape[:3] or masks.dtype != bool:
        raise GanzooError(
            "Holes are measured on two uint8 arrays (N, H, W, C) of one shape and bool masks (N, H, W); received "
            f"{target.dtype} {target.shape}, {output.dtype} {output.shape} and {masks.dtype} {masks.shape}."
        )
    if not len(masks) or not masks.any(axis=(1, 2)).all():
        raise GanzooError("Holes are measured, and there is an image without one.")
    return (target.astype(np.float64) - output) / 255
