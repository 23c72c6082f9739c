"""Puts a PyTorch state dict into a network of ours by name, and says exactly what does not fit."""

import dataclasses
import inspect
from collections.abc import Callable, Iterable, Mapping

import keras
import numpy as np

from ganzoo.errors import GanzooError, nearest
from ganzoo.layers import BatchNorm

State = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Plan:
    """What becomes of checkpoint files: how to build the paper's whole model and what to put where.

    preset: whose training options the folder inherits. model: constructor arguments. data: options that follow from
    the network's size. networks: attribute -> (state, places) as `assign` takes them; those left out stay random.
    """

    preset: str
    model: dict
    data: dict
    networks: dict[str, tuple[State, dict[str, str]]]


# Torch keeps convolutions as (out, in, kh, kw) and transposed ones as (in, out, kh, kw); Keras has (kh, kw, in, out)
# and (kh, kw, out, in): one permutation, no flip.
_KERNEL = (2, 3, 1, 0)
_BATCH_NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}


def clean(state: Mapping) -> dict[str, np.ndarray]:
    """`state` as plain arrays by bare name: `module.` (DataParallel) cut off, num_batches_tracked left out.

    Torch tensors are taken as they are. Batch norm's counter has no use here: its momentum is a number.
    """
    if not isinstance(state, Mapping) or not state:
        raise GanzooError(
            "A state is a non-empty mapping of parameter names to arrays, as importers.read_state returns it; "
            f"received {'an empty one' if isinstance(state, Mapping) else f'a {type(state).__name__}'}."
        )
    cut = len("module.") if all(str(name).startswith("module.") for name in state) else 0
    arrays = {str(name)[cut:]: _array(name, value) for name, value in state.items()}
    return {name: array for name, array in arrays.items() if not name.endswith("num_batches_tracked")}


def _array(name, value) -> np.ndarray:
    if hasattr(value, "detach"):  # a torch tensor, maybe bfloat16, maybe on a GPU
        value = value.detach().cpu()
        value = (value.float() if value.is_floating_point() else value).numpy()
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise GanzooError(f'The state has no numbers under "{name}" but {array.dtype}.')
    return array


def shape_of(kind: str, state: State, name: str, rank: int = 4) -> tuple[int, ...]:
    """Shape of a parameter from which the network's size is read; its absence means another network's file."""
    if name not in state:
        raise not_this_network(kind, state, f'it has no "{name}"')
    shape = state[name].shape
    if len(shape) != rank:
        raise not_this_network(kind, state, f'its "{name}" has shape {shape} instead of {rank} dimensions')
    return shape


def settings(kind: str, builder: Callable, inferred: Mapping, keywords: Mapping) -> dict:
    """The builder's arguments: what was read from the shapes, overridden by the caller's keywords."""
    accepted = [name for name in inspect.signature(builder).parameters if name != "self"]
    for keyword in keywords:
        if keyword not in accepted:
            raise GanzooError(f'{kind} has no setting "{keyword}".{nearest(keyword, accepted)}')
    return {**inferred, **keywords}


def not_this_network(kind: str, state: Iterable[str], why: str) -> GanzooError:
    """The error for a state whose names belong to another network."""
    return GanzooError(f"This state is not one of {kind}: {why}. Its names are {_some(state)}.")


def assign(kind: str, network: keras.Model, state: State, places: Mapping[str, str]) -> None:
    """Sets the weights of `network` from `state`, all of both or nothing.

    Args:
        kind: what the sentence of a refusal calls the network.
        state: as `clean` returns it.
        places: reference prefix -> layer name. What a prefix holds follows from the layer: a kernel and perhaps a bias,
            or the four vectors of a batch norm.

    Raises:
        GanzooError: names missing, names unknown, shapes that differ or values not finite, in one sentence.
    """
    expected = {}
    for prefix, layer_name in places.items():
        expected |= _variables(network.get_layer(layer_name), prefix)
    arrays = {name: _to_keras(state[name], variable) for name, variable in expected.items() if name in state}
    faults = {
        "missing": [f"{n} {_torch_shape(v)}" for n, v in expected.items() if n not in state],
        "unknown": [f"{n} {a.shape}" for n, a in state.items() if n not in expected],
        "of another shape": [
            f"{n} {state[n].shape} instead of {_torch_shape(expected[n])}"
            for n, a in arrays.items()
            if a.shape != tuple(expected[n].shape)
        ],
        "not finite": [n for n, a in arrays.items() if not np.all(np.isfinite(a))],
    }
    if any(faults.values()):
        listed = "; ".join(f"{what}: {_some(names)}" for what, names in faults.items() if names)
        raise GanzooError(f"This state does not fit {kind}. {listed[0].upper()}{listed[1:]}.")
    for name, array in arrays.items():
        expected[name].assign(array)


def _variables(layer: keras.Layer, prefix: str) -> dict[str, keras.Variable]:
    if isinstance(layer, BatchNorm):
        return {f"{prefix}.{torch_name}": getattr(layer, ours) for torch_name, ours in _BATCH_NORM.items()}
    bias = {f"{prefix}.bias": layer.bias} if layer.use_bias else {}
    return {f"{prefix}.weight": layer.kernel, **bias}


def _to_keras(array: np.ndarray, variable: keras.Variable) -> np.ndarray:
    return np.transpose(array, _KERNEL) if array.ndim == len(variable.shape) == 4 else array


def _torch_shape(variable: keras.Variable) -> tuple[int, ...]:
    shape = tuple(variable.shape)
    return tuple(shape[axis] for axis in (3, 2, 0, 1)) if len(shape) == 4 else shape


def _some(names: Iterable[str], limit: int = 6) -> str:
    names = list(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
