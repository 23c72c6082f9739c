"""What others wrap around weights: dictionaries of a training script, and words before every name."""

import re
from collections.abc import Iterable, Mapping

from ganzoo.errors import GanzooError, nearest

NEUTRAL = {"module", "_orig_mod"}  # DataParallel, its kin and torch.compile name their inner module so
_COUNTERS = {"n_averaged"}  # of torch's AveragedModel
_SHARED = {"embeddings"}  # of classes, next to the network that reads them (BigGAN-deep as ported from TF-Hub)
_DEPTH = 3  # dictionaries within each other: a training script's, perhaps one of networks, the state
# A network's name before the names of its parameters, as in netG_A2B, g_ema, generator, disc_X; no layer is called so.
_ROLE = re.compile(
    r"((net|ema|model)_?)?(g|d|gen|disc|generator|discriminator)(_?ema)?(_?([abxy](_?(2|to)?_?[abxy])?))?(_?ema)?",
    re.IGNORECASE,
)


def states(content) -> dict[str, Mapping]:
    """Every state dict in what a file holds, by the dotted name of its place; "" for a bare one.

    A state dict is a mapping of names to arrays or tensors. Where its names begin with a network's (`generator.main.0`),
    each network is a state of its own, without that prefix. `module.` and `_orig_mod.` are cut out wherever they stand.

    Raises:
        GanzooError: two names that are one without those words.
    """
    return _states(content, (), set())


def _states(content, place: tuple[str, ...], seen: set[int]) -> dict[str, Mapping]:
    if not isinstance(content, Mapping) or len(place) >= _DEPTH or id(content) in seen:
        return {}
    seen.add(id(content))  # a pickle may hold a dictionary many times, even within itself: one is enough
    if content and all(isinstance(key, str) for key in content) and all(map(is_array, content.values())):
        return {".".join([*place, *role]): state for role, state in _networks(bare(content)).items()}
    found: dict[str, Mapping] = {}
    for key, value in content.items():
        if isinstance(key, str):
            found |= _states(value, (*place, key), seen)
    return found


def is_array(value) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype")


def bare(state: Mapping) -> dict:
    """The state by names without `module.` and `_orig_mod.`, and without the counter of an average."""
    found = {}
    for name, value in state.items():
        if name in _COUNTERS:
            continue
        short = ".".join(part for part in name.split(".") if part not in NEUTRAL)
        if short in found:
            raise GanzooError(f'This state holds "{short}" twice: with and without the prefix "module" or "_orig_mod".')
        found[short] = value
    return found


def _networks(state: Mapping) -> dict[tuple[str, ...], Mapping]:
    """The state by networks, where its names begin with them (perhaps behind one word that is the same everywhere).

    What belongs to no network then, such as the weights of a loss or a metric, is left out; embeddings go to each.
    """
    names = {name: name.split(".") for name in state}
    for place in (0, 1) if len({parts[0] for parts in names.values()}) == 1 else (0,):
        networks: dict[tuple[str, ...], dict] = {}
        for name, parts in names.items():
            if len(parts) > place + 1 and _ROLE.fullmatch(parts[place]):
                networks.setdefault(tuple(parts[: place + 1]), {})[".".join(parts[place + 1 :])] = state[name]
        if networks:
            shared = {name: state[name] for name, parts in names.items() if parts[0] in _SHARED}
            return {role: own | shared for role, own in networks.items()}
    return {(): state}


def pick(found: Mapping[str, Mapping], key: str, where: str) -> tuple[str, Mapping]:
    """The state that a key names: by its whole dotted name, or by the end of it if that is one state's only."""
    names = [key] if key in found else [name for name in found if name.endswith(f".{key}")]
    if len(names) == 1:
        return names[0], found[names[0]]
    if list(found) == [""]:
        raise GanzooError(f'{where} holds one state that has no name, so there is no "{key}" in it: leave the key out.')
    if names:
        raise GanzooError(f'"{key}" may mean {listed(names)} in {where}: give one of these.')
    raise GanzooError(f'{where} contains no state "{key}".{nearest(key, found)}')


def listed(names: Iterable[str]) -> str:
    names = [f'"{name}"' for name in names]
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return ", ".join(names[:12]) + more
