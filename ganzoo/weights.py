"""Weights as safetensors keyed by `<attribute>/<variable.path>`: nothing pickled, nothing matched by order."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from ganzoo import files
from ganzoo.errors import GanzooError

MAX_BYTES = 64 * 2**30  # of one file: more than any GPU of today holds


def to_arrays(variables: Mapping) -> dict[str, np.ndarray]:
    """Arrays by key from Keras variables by key."""
    return {key: np.array(variable) for key, variable in variables.items()}


def write(
    path: str | Path, arrays: Mapping[str, np.ndarray], *, metadata=None, dtype=None, float32_keys: str = ""
) -> str:
    """Writes the file under a temporary name and renames it. Returns its sha256 as hex.

    `dtype="float16"` halves the weights; `moving_*` statistics stay float32, since a variance may leave float16, and so
    do keys in which the regular expression `float32_keys` is found.
    `metadata` has one entry at most: safetensors writes several in random order, and equal weights must be equal bytes.
    """
    if metadata and len(metadata) > 1:
        raise ValueError(f"metadata has one entry at most; received {sorted(metadata)}.")
    if dtype:
        kept = re.compile(f"/moving_|{float32_keys}" if float32_keys else "/moving_")
        arrays = {k: v if kept.search(k) or v.dtype.kind != "f" else v.astype(dtype) for k, v in arrays.items()}
    # Not ascontiguousarray, which makes a scalar (1,): the step would not fit when it is read back.
    arrays = {key: np.asarray(value, order="C") for key, value in arrays.items()}
    data = safetensors.numpy.save(arrays, metadata=metadata)
    files.write_bytes(path, data)
    return hashlib.sha256(data).hexdigest()


def read(path: str | Path, sha256: str | None = None) -> tuple[dict[str, np.ndarray], str]:
    """(arrays by key, sha256) of a safetensors file; the given sha256 is always compared.

    Raises:
        GanzooError: missing, truncated, edited, or not safetensors.
    """
    data = read_bytes(path)
    found = hashlib.sha256(data).hexdigest()
    if sha256 is not None and found != sha256:
        raise GanzooError(
            f"The weights file {path} is not the published one: its sha256 is {found[:12]}..., {sha256[:12]}... was "
            "expected. It was edited or truncated; fetch or save it again."
        )
    return parsed(data, path)[0], found


def read_stated(path: Path) -> tuple[dict[str, np.ndarray], dict, str]:
    """(arrays by key, sidecar, sha256) of a bundled file; the sidecar of its name, a .json file, states the sha256.

    Raises:
        GanzooError: as `read`, or the sidecar cannot be read.
    """
    about = files.read_json(path.with_suffix(".json"))
    arrays, sha256 = read(path, about["files"][path.name]["sha256"])
    return arrays, about, sha256


def read_bytes(path: str | Path) -> bytes:
    """The bytes of a weights file. Raises GanzooError: missing, or too large."""
    try:
        return files.read_bytes(Path(path), MAX_BYTES, name="it")
    except files.FileError as error:
        why = f"{error.__cause__.strerror}." if isinstance(error.__cause__, OSError) else str(error)
        raise GanzooError(f"The weights file {path} cannot be read: {why}") from error


def parsed(data: bytes, path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """(arrays by key, metadata) of the bytes of the safetensors file `path`. Raises GanzooError: they are none."""
    try:
        arrays = safetensors.numpy.load(data)
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise GanzooError(f"The weights file {path} is not a whole safetensors file: {error}.") from error
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])  # which safetensors has checked
    return arrays, header.get("__metadata__") or {}


def digest(arrays: Mapping[str, np.ndarray]) -> str:
    """sha256 (hex) over names, types, shapes and numbers of arrays, in the order of their names."""
    found = hashlib.sha256()
    for key in sorted(arrays):
        array = np.asarray(arrays[key], order="C")
        found.update(f"{key} {array.dtype.str} {array.shape}\n".encode())
        found.update(array.data if array.size else b"")
    return found.hexdigest()


def metadata(path: str | Path) -> dict[str, str]:
    """The metadata of a safetensors file."""
    with safetensors.safe_open(path, framework="numpy") as file:
        return file.metadata() or {}


def assign(variables: Mapping, arrays: Mapping[str, np.ndarray], where: str) -> None:
    """Sets the variables from arrays of the same keys and shapes, all or none.

    Raises:
        GanzooError: names or shapes differ (the message is a diff, `-` missing in the file, `+` unknown to the model), or a
            number is not finite.
    """
    lines = [f"- {key} {tuple(variables[key].shape)}" for key in variables if key not in arrays]
    lines += [f"+ {key} {value.shape}" for key, value in arrays.items() if key not in variables]
    lines += [
        f"~ {key} file {arrays[key].shape}, model {tuple(variable.shape)}"
        for key, variable in variables.items()
        if key in arrays and tuple(arrays[key].shape) != tuple(variable.shape)
    ]
    if lines:
        shown = "\n  ".join(lines[:12]) + (f"\n  ... and {len(lines) - 12} more" if len(lines) > 12 else "")
        raise GanzooError(
            f"{where} does not fit the model ({len(lines)} differences; - missing in the file, + unknown to the model, "
            f"~ other shape):\n  {shown}"
        )
    wild = [key for key, value in arrays.items() if value.dtype.kind == "f" and not np.isfinite(value).all()]
    if wild:
        raise GanzooError(
            f"{where} has numbers that are not finite in {len(wild)} of its arrays, {wild[0]} first: it was damaged, or its "
            "training diverged."
        )
    for key, variable in variables.items():
        variable.assign(arrays[key].astype(variable.dtype))
