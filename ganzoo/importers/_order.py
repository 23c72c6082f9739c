"""Layers that a re-implementation names differently: matched by order, and their shapes are compared as ever."""

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from ganzoo.importers._state import State, forward

# What a paper's module says of a network: kernels by prefix, in the order of a forward pass, and the number of norms ->
# the reference's prefix of each layer and the name of ours, norms included; None if it has no network of such kernels.
Reference = Callable[[Mapping[str, np.ndarray], int], Mapping[str, str] | None]

_NORM = {"weight", "bias", "running_mean", "running_var"}


def renamed(state: State, reference: Reference) -> tuple[State, dict[str, str]]:
    """The state under the reference's names, and which prefix became which: none where the names are the reference's.

    Convolutions are matched to convolutions and norms to norms, each in their order. A state that holds something else,
    or another number of them, comes back as it is. Whether the shapes fit is for `assign` to say.
    """
    layers: dict[str, dict] = {}
    for name, array in state.items():
        prefix, _, part = name.rpartition(".")
        layers.setdefault(prefix, {})[part] = array
    kernels, norms = {}, []
    for prefix in _in_order(layers, state):
        parts = layers[prefix]
        if "weight" in parts and set(parts) <= {"weight", "bias"} and parts["weight"].ndim in (4, 5):
            kernels[prefix] = parts["weight"]
        elif set(parts) <= _NORM and all(array.ndim == 1 for array in parts.values()):
            norms.append(prefix)
        else:
            return state, {}
    places = reference(kernels, len(norms)) if kernels else None
    if places is None:
        return state, {}
    theirs = {is_norm: [p for p in forward(places) if ("norm" in places[p]) == is_norm] for is_norm in (False, True)}
    if (
        set(kernels) == set(theirs[False])
        or len(kernels) != len(theirs[False])
        or len(norms) not in (0, len(theirs[True]))
    ):
        return state, {}
    pairs = dict(zip(kernels, theirs[False], strict=True)) | dict(zip(norms, theirs[True], strict=False))
    moved = {f"{new}.{part}": array for old, new in pairs.items() for part, array in layers[old].items()}
    return moved, {old: new for old, new in pairs.items() if old != new}


def _in_order(layers: Iterable[str], state: State) -> list[str]:
    """Layers as the state lists them, which is as the network made them; by their numbers if it lists them by alphabet.

    Formats that sort by name put `block.10` before `block.2`, and blocks of equal shapes would be exchanged silently.
    """
    return forward(layers) if list(state) == sorted(state) else list(layers)
