"""The certificate of an export: golden inputs answered by Keras and by every written format, side by side.

Errors are shares of the range of values: of pictures 0..255 or [-1, 1], of voxels 0..1, of other floats the largest value that
Keras gives. SSIM is of pictures as they are shown, at least 11 pixels wide.
"""

import numpy as np

from ganzoo.errors import GanzooError
from ganzoo.media import images
from ganzoo.metrics import paired

# Largest share of the range by which one value may differ, and the mean. What computes in float32 from float32 weights differs
# by rounding, so at most a pixel by one step; fewer bits in the weights cost something, and the certificate says how much.
TOLERANCE = {"float32": (1 / 255, 1 / 255), "float16": (16 / 255, 1 / 255), "int8": (1.0, 12 / 255)}


def compare(expected: dict[str, np.ndarray], given: dict[str, np.ndarray], precision: str = "float32") -> dict:
    """{output: {"max_error", "mean_error", "ssim" (None for what is not a picture), "max_allowed", "mean_allowed"}}.

    Raises:
        GanzooError: outputs of other names or shapes.
    """
    if set(given) != set(expected):
        raise GanzooError(f"outputs {sorted(given)} came, and Keras gives {sorted(expected)}.")
    most, mean = TOLERANCE[precision]
    result = {}
    for name, value in expected.items():
        scale = _scale(name, value) if value.dtype.kind == "f" else 1.0
        wanted, got = (_rows(name, np.asarray(values), scale) for values in (value, given[name]))
        if [row.shape for row in wanted] != [row.shape for row in got]:
            raise GanzooError(
                f"{name} came in shapes {[row.shape for row in got]}, not {[row.shape for row in wanted]}."
            )
        errors = [np.abs(a - b) for a, b in zip(wanted, got, strict=True)]
        result[name] = {
            "max_error": round(float(max(error.max() for error in errors)), 7),
            "mean_error": round(float(np.mean([error.mean() for error in errors])), 7),
            "ssim": _ssim(wanted, got) if "image" in name else None,
            "max_allowed": round(most, 7),
            "mean_allowed": round(mean, 7),
        }
    return result


def check(format_name: str, found: dict[str, dict]) -> None:
    """Raises GanzooError for the first output of a format whose error is over its tolerance, or no number."""
    for endpoint, outputs in found.items():
        for name, facts in outputs.items():
            if not (
                facts["max_error"] <= facts["max_allowed"] * 1.001 and facts["mean_error"] <= facts["mean_allowed"]
            ):
                raise GanzooError(
                    f"{format_name} is not what was trained: {name} of {endpoint} differs from Keras by at most "
                    f"{facts['max_error']:.2%} and in the mean by {facts['mean_error']:.2%} of the range (allowed: "
                    f"{facts['max_allowed']:.2%} and {facts['mean_allowed']:.2%}). Nothing was written."
                )


def _rows(name: str, values: np.ndarray, scale: float) -> list[np.ndarray]:
    """Rows as float64 on a scale of width 1; pictures and voxels from 0 on."""
    if values.dtype.kind in "OS":
        return [images.read_image(bytes(row), None).astype(np.float64) / 255 for row in values]
    low = 1.0 if "image" in name else 0.0
    return [(row.astype(np.float64) + low) / scale for row in values]


def _scale(name: str, expected: np.ndarray) -> float:
    """The width of the range of floats."""
    if "image" in name:
        return 2.0
    return 1.0 if name == "voxels" else max(float(np.abs(expected).max()), 1e-12)


def _ssim(wanted: list[np.ndarray], got: list[np.ndarray]) -> float | None:
    if min(min(row.shape[:2]) for row in wanted) < paired.WINDOW:
        return None
    pairs = zip(map(_shown, wanted), map(_shown, got), strict=True)
    return round(float(np.mean([paired.ssim(a[None], b[None]) for a, b in pairs])), 6)


def _shown(row: np.ndarray) -> np.ndarray:
    return np.round(np.clip(row, 0, 1) * 255).astype(np.uint8)
