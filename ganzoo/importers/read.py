"""Reads the files in which others keep their weights, without ever running code that such a file may hold."""

import pickle
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from ganzoo import files
from ganzoo.errors import GanzooError, first_line, missing_extra
from ganzoo.importers import _wrapped
from ganzoo.importers._state import State

__all__ = ["read_state", "read_states"]

MAX_BYTES = 64 * 2**30  # of a safetensors file
_ALWAYS_FITS = 2**28  # bytes
_SAFETENSORS_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "<i1"}


def read_state(path: str | Path, *, key: str | None = None) -> State:
    """The weights in a checkpoint file, as reference name -> array, in the file's order.

    Args:
        path: `.pth`, `.pt`, `.ckpt`, `.tar` or `.bin` of PyTorch (needs torch), `.safetensors` or `.npz`.
        key: which state, if the file holds several: a training script's dictionary, or networks told apart by the
            beginning of the names.

    Raises:
        GanzooError: no such file, empty, truncated, of another type, without weights, with several states and no key, or
            a pickle that wants to run code (PyTorch's weights-only reader refuses it; nothing of it is executed).
    """
    found = read_states(path)
    if key is not None:
        return _wrapped.pick(found, key, f'"{path}"')[1]
    if len(found) > 1:
        raise GanzooError(
            f'"{path}" holds several states: {_wrapped.listed(found)}. Choose one: key="{next(iter(found))}".'
        )
    return next(iter(found.values()))


def read_states(path: str | Path) -> Mapping[str, State]:
    """Every state in a checkpoint file by the name of its place, "" for a bare one: see `read_state`."""
    path = Path(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise GanzooError(
            f'"{path}" is not a checkpoint of a format known here by its ending. Accepted: {", ".join(_READERS)}.'
        )
    if not path.is_file():
        raise GanzooError(f'There is no checkpoint file "{path}".' + (" It is a folder." if path.is_dir() else ""))
    if path.stat().st_size == 0:
        raise GanzooError(f'"{path}" is empty (0 bytes): the download or the copy failed.')
    return reader(path)


def _read_torch(path: Path) -> dict[str, Mapping]:
    try:
        import torch
    except ModuleNotFoundError:
        raise missing_extra("torch", "import") from None
    try:
        with warnings.catch_warnings(action="ignore"):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # Torch's own message advises to switch the protection off, so it is not repeated here.
        wanted = re.search(r"GLOBAL (\S+)", str(error))
        asks = f"its pickle asks for {wanted[1]}" if wanted else "its pickle uses instructions beyond plain weights"
        raise GanzooError(
            f'"{path}" is refused: {asks}, and a pickle may run any code. If you trust its author, load it in PyTorch '
            "yourself and save the bare weights: torch.save(net.state_dict(), path)."
        ) from None
    except Exception as error:  # a damaged file can make the reader raise anything; all of it means: unreadable
        raise GanzooError(
            f'"{path}" cannot be read as a PyTorch state dict ({type(error).__name__}): truncated, damaged, or another '
            "kind of file. A good one is written by torch.save(net.state_dict(), path)."
        ) from None
    found = _wrapped.states(content) or {"": _bare(path, content)}
    return {
        place: {name: _from_torch(path, name, tensor) for name, tensor in state.items()}
        for place, state in found.items()
    }


def _bare(path: Path, content) -> Mapping:
    """What `torch.load` returned, where no state dict was found in it: for a sentence that says what it is instead."""
    if isinstance(content, Mapping) and not content:
        raise _no_weights(path)
    if isinstance(content, Mapping) and all(isinstance(name, str) for name in content):
        return content
    raise GanzooError(
        f'"{path}" holds a {type(content).__name__}, not a state dict (parameter names and tensors). '
        "Save it with torch.save(net.state_dict(), path)."
    )


def _no_weights(path: Path) -> GanzooError:
    return GanzooError(f'"{path}" contains no weights.')


def _flat(path: Path, state: Mapping) -> dict[str, Mapping]:
    """The states of a format without dictionaries in dictionaries."""
    if not state:
        raise _no_weights(path)
    return _wrapped.states(state)


def _from_torch(path: Path, name: str, tensor) -> np.ndarray:
    import torch

    if not isinstance(tensor, torch.Tensor) or tensor.layout != torch.strided:
        found = f"a {tensor.layout} tensor" if isinstance(tensor, torch.Tensor) else f"a {type(tensor).__name__}"
        raise GanzooError(f'"{path}" has {found} under "{name}" where a plain tensor is expected: not a state dict.')
    tensor = tensor.detach()
    return (tensor.float() if tensor.is_floating_point() else tensor).numpy()  # NumPy has no bfloat16


def _read_safetensors(path: Path) -> dict[str, Mapping]:
    from safetensors import SafetensorError, deserialize

    try:
        tensors = deserialize(files.read_bytes(path, MAX_BYTES))
    except GanzooError:
        raise
    except (SafetensorError, ValueError, MemoryError) as error:
        raise _unreadable(path, "safetensors file", error) from None
    state = {}
    for name, tensor in sorted(tensors, key=lambda item: item[0]):  # they come in an order that changes from run to run
        kind, data = tensor["dtype"], tensor["data"]
        if kind == "BF16":  # the upper half of a float32; NumPy has no such type
            array = (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
        elif kind in _SAFETENSORS_TYPES:
            array = np.frombuffer(data, _SAFETENSORS_TYPES[kind])
        else:
            raise GanzooError(
                f'"{path}" keeps "{name}" as {kind}. Accepted: {", ".join(_SAFETENSORS_TYPES)}, BF16; '
                "convert the file to one of these."
            )
        state[name] = array.reshape(tensor["shape"])
    return _flat(path, state)


def _read_npz(path: Path) -> dict[str, Mapping]:
    # Trained weights hardly shrink by compression; a small file that inflates to gigabytes was made to fill the memory.
    most = max(_ALWAYS_FITS, 50 * path.stat().st_size)
    state = files.read_npz(path, f'"{path}"', limit=most)
    return _flat(path, state)


def _unreadable(path: Path, what: str, error: Exception) -> GanzooError:
    reason = first_line(error).rstrip(".")
    return GanzooError(f'"{path}" cannot be read as a {what}: truncated or damaged ({reason}).')


_READERS: dict[str, Callable[[Path], dict[str, Mapping]]] = {
    ".pth": _read_torch,
    ".pt": _read_torch,
    ".safetensors": _read_safetensors,
    ".npz": _read_npz,
    ".ckpt": _read_torch,
    ".tar": _read_torch,
    ".bin": _read_torch,
}
