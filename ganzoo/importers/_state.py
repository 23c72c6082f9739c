"""Puts a reference's weights into a network of ours by name, and says exactly what does not fit."""

import dataclasses
import inspect
import itertools
import re
from collections.abc import Callable, Iterable, Mapping

import keras
import numpy as np

from ganzoo import presets, registry
from ganzoo.errors import GanzooError, nearest
from ganzoo.importers._wrapped import bare
from ganzoo.layers import BatchNorm, InstanceNorm

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
    networks: Mapping[str, tuple[State, "Places"]]


@dataclasses.dataclass(frozen=True)
class Place:
    """A variable of ours, the shape that the reference keeps it in, and what turns that array into ours."""

    variable: keras.Variable
    shape: tuple[int, ...]
    convert: Callable[[np.ndarray], np.ndarray] = np.asarray


Places = Mapping[str, str] | Callable[[keras.Model], Mapping[str, Place]]


# Torch keeps convolutions as (out, in, kh, kw) and transposed ones as (in, out, kh, kw); Keras has (kh, kw, in, out)
# and (kh, kw, out, in): one permutation, no flip. The same in three dimensions, with kd before kh.
_KERNEL = {2: (1, 0), 4: (2, 3, 1, 0), 5: (2, 3, 4, 1, 0)}  # a linear layer is (out, in) there
_NORM = {"weight": "gamma", "bias": "beta"}
_BATCH_NORM = _NORM | {"running_mean": "moving_mean", "running_var": "moving_variance"}


def clean(state: Mapping) -> dict[str, np.ndarray]:
    """`state` as plain arrays by bare name: without `module.` and `_orig_mod.`, num_batches_tracked left out.

    Torch tensors are taken as they are. Batch norm's counter has no use here: its momentum is a number.
    """
    if not isinstance(state, Mapping) or not state:
        raise GanzooError(
            "A state is a non-empty mapping of parameter names to arrays, as importers.read_state returns it; "
            f"received {'an empty one' if isinstance(state, Mapping) else f'a {type(state).__name__}'}."
        )
    arrays = {name: _array(name, value) for name, value in bare({str(n): v for n, v in state.items()}).items()}
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


def last_number(pattern: str, state: State) -> int:
    """The largest number in the group of a pattern that begins names of the state; -1 if there is none.

    Numbers far beyond the count of parameters are no layer's: a network of so many would never be built to its end.
    """
    numbers = [n for n in re.findall(pattern, "\n".join(state), re.MULTILINE) if len(n) < 6]
    return max((int(n) for n in numbers if int(n) <= 4 * len(state) + 16), default=-1)


def settings(kind: str, builder: Callable, inferred: Mapping, keywords: Mapping) -> dict:
    """The builder's arguments: what was read from the shapes, overridden by the caller's keywords.

    What neither tells, of a builder that has no values itself, is as the paper's constructor has it.
    """
    parameters = inspect.signature(builder).parameters
    accepted = [name for name in parameters if name != "self"]
    for keyword in keywords:
        if keyword not in accepted:
            raise GanzooError(f'{kind} has no setting "{keyword}".{nearest(keyword, accepted)}')
    paper = registry.models()[presets.find_paper(kind.partition(".")[0])].defaults()
    unset = {
        name: paper[name] for name in accepted if name in paper and parameters[name].default is inspect.Parameter.empty
    }
    return {**unset, **inferred, **keywords}


def not_this_network(kind: str, state: Iterable[str], why: str) -> GanzooError:
    """The error for a state whose names belong to another network."""
    return GanzooError(f"This state is not one of {kind}: {why}. Its names are {_some(state)}.")


def folded(state: State, places: Mapping[str, str]) -> State:
    """The state less the biases of convolutions before batch norms, taken off the running means of these.

    The papers' code has no such biases: the norm subtracts them again, (x + b) - (m + b), in training too.
    """
    state = dict(state)
    for before, prefix in itertools.pairwise(forward(places)):
        bias, mean = f"{before}.bias", f"{prefix}.running_mean"
        if "norm" in places[prefix] and bias in state and mean in state and state[bias].shape == state[mean].shape:
            state[mean] = state[mean] - state.pop(bias)
    return state


def assign(kind: str, network: keras.Model, state: State, places: Places) -> None:
    """Sets the weights of `network` from `state`, all of both or nothing.

    Args:
        kind: what the sentence of a refusal calls the network.
        state: as `clean` returns it.
        places: PyTorch prefix -> layer name. What a prefix holds follows from the layer: a kernel and perhaps a bias,
            or the vectors of a norm. Or a function of the network that gives reference name -> `Place`.

    Raises:
        GanzooError: names missing, names unknown, shapes that differ or values not finite, in one sentence.
    """
    expected = dict(places(network)) if callable(places) else {}
    for prefix, layer_name in () if callable(places) else places.items():
        expected |= _torch_places(network.get_layer(layer_name), prefix)
    known = {name: array for name, array in state.items() if name in expected}
    faults = {
        "missing": [f"{n} {place.shape}" for n, place in expected.items() if n not in state],
        "unknown": [f"{n} {a.shape}" for n, a in state.items() if n not in expected],
        "of another shape": [
            f"{n} {a.shape} instead of {expected[n].shape}" for n, a in known.items() if a.shape != expected[n].shape
        ],
        "not finite": [n for n, a in known.items() if not np.all(np.isfinite(a))],
    }
    if any(faults.values()):
        listed = "; ".join(f"{what}: {_some(names)}" for what, names in faults.items() if names)
        raise GanzooError(f"This state does not fit {kind}. {listed[0].upper()}{listed[1:]}.")
    for name, array in known.items():
        expected[name].variable.assign(expected[name].convert(array))


def forward(prefixes: Iterable[str]) -> list[str]:
    """Numbered layers in the order of their numbers, which is that of a forward pass in every reference here."""

    def by_number(name):  # as (length, digits), since Python refuses to read very long numbers
        parts = re.split(r"(\d+)", name)
        return [(len(part.lstrip("0")), part.lstrip("0")) if i % 2 else part for i, part in enumerate(parts)]

    return sorted(prefixes, key=by_number)


def _torch_places(layer: keras.Layer, prefix: str) -> dict[str, Place]:
    if isinstance(layer, BatchNorm | InstanceNorm):
        vectors = _BATCH_NORM if isinstance(layer, BatchNorm) else _NORM
        return {f"{prefix}.{theirs}": _torch_place(getattr(layer, ours)) for theirs, ours in vectors.items()}
    bias = {f"{prefix}.bias": _torch_place(layer.bias)} if layer.use_bias else {}
    return {f"{prefix}.weight": _torch_place(layer.kernel), **bias}


def _torch_place(variable: keras.Variable) -> Place:
    shape = tuple(variable.shape)
    order = _KERNEL.get(len(shape))
    if order is None:
        return Place(variable, shape)
    theirs = tuple(shape[axis] for axis in np.argsort(order))
    return Place(variable, theirs, lambda array: np.transpose(array, order))


def _some(names: Iterable[str], limit: int = 6) -> str:
    names = list(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
