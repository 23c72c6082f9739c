"""Records of measurements: what every one of them says."""

import hashlib
import importlib.metadata
import math
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from ganzoo import __version__, presets
from ganzoo.errors import GanzooError


def weights_of(model) -> tuple[str, str]:
    """(`weights_source`, sha256 hex) of what is measured: of the weights file, or of the live weights after training."""
    source = model.weights_source
    origin, _, short = source.rpartition(":")
    if source != "random" and not int(model.step.numpy()):
        if origin == "bundled":
            record = presets.read(model.paper).presets[model.preset].weights
            if record is not None and record.sha256.startswith(short):
                return source, record.sha256
        elif Path(origin).is_file():
            sha256 = hashlib.sha256(Path(origin).read_bytes()).hexdigest()
            if sha256.startswith(short):
                return source, sha256
    total = hashlib.sha256()
    for key, variable in sorted(model.state().items()):
        total.update(key.encode() + np.ascontiguousarray(variable).tobytes())
    sha256 = total.hexdigest()
    return f"memory:{sha256[:8]}", sha256


def versions() -> dict[str, str]:
    """Versions of the packages that decide a value."""
    return {"ganzoo": __version__} | {
        name: importlib.metadata.version(name) for name in ("tensorflow", "keras", "numpy")
    }


def record(metric: str, facts: dict, *, value: float, seconds: float, **optional) -> dict:
    """One measurement as a JSON-able dict: metric, value, what `optional` holds besides None, the facts, seconds, time.

    Raises:
        GanzooError: the value is not a finite number, which JSON and a comparison cannot hold.
    """
    numbers = {"value": value} | {k: v for k, v in optional.items() if v is not None and v != ""}
    for key, number in numbers.items():
        if isinstance(number, float) and not math.isfinite(number):
            raise GanzooError(f"The {key} of {metric} is {number}: there is no such number to report.")
    return {
        "metric": metric,
        **numbers,
        **facts,
        "seconds": round(seconds, 1),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(),
    }
