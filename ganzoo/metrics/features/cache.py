"""A file cache of arrays that are slow to compute and depend on known things only: features, moments of a real set.

Files lie in GANZOO_CACHE, or ~/.cache/ganzoo. They may be deleted at any time, by anyone; a folder that cannot be written
means that nothing is kept, not that nothing works.
"""

import hashlib
import io
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ganzoo import files
from ganzoo.errors import GanzooError


def folder() -> Path:
    """Where ganzoo keeps computed files: the environment's GANZOO_CACHE, or ~/.cache/ganzoo."""
    return files.given_path(os.environ.get("GANZOO_CACHE") or "~/.cache/ganzoo")


def cached(parts: Mapping, compute: Callable[[], np.ndarray]) -> np.ndarray:
    """`compute()`, or what it gave for equal `parts` before.

    Args:
        parts: JSON-able facts that determine the result: data hash, extractor tag and weights, size, split, rows, ...
        compute: makes the array; called when there is no whole file for the parts.
    """
    return cached_arrays(parts, lambda: {"array": compute()})["array"]


def cached_arrays(parts: Mapping, compute: Callable[[], Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """As `cached`, for several named arrays (moments: n, mean, covariance)."""
    key = hashlib.sha256(json.dumps(dict(parts), sort_keys=True).encode()).hexdigest()
    path = folder() / "features" / f"{key}.npz"
    found = _read(path)
    if found is None:
        found = {name: np.asarray(value) for name, value in compute().items()}
        _write(path, found)
    return found


def _read(path: Path) -> dict[str, np.ndarray] | None:
    """The arrays of a file; None if it is absent, torn, or no file of ours."""
    try:
        return files.read_npz(path, str(path))
    except GanzooError:
        return None


def _write(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    out = io.BytesIO()
    np.savez(out, **dict[str, Any](arrays))
    try:
        files.write_bytes(path, out.getvalue())
    except OSError:  # a read-only or full disk: the result is right, it is only not kept
        return
