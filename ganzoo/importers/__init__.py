"""Official checkpoints -> our networks and preset folders: one file for each paper that has them.

    from ganzoo import importers
    state = importers.read_state("latest_net_G.pth")
    network = importers.build("pix2pix.generator", state)       # a keras.Model
    importers.import_checkpoint("pix2pix", "latest_net_G.pth", "my-pix2pix")

Names of the state are mapped. Where a re-implementation gave the layers other names, they are matched by order and shape, and
a warning says so. Widths, depth, channels and norm are read from names and shapes; a keyword overrides what cannot be seen.
"""

import contextlib
import hashlib
import importlib
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganzoo import presets
from ganzoo.errors import GanzooError, nearest
from ganzoo.files import real_path
from ganzoo.importers import _wrapped
from ganzoo.importers.read import read_state, read_states

if TYPE_CHECKING:
    import keras

__all__ = ["MatchedByOrder", "build", "import_checkpoint", "kinds", "read_state"]

_FILES = {
    "3d-gan": "gan3d",
    "biggan": "biggan",
    "context-encoder": "context_encoder",
    "cyclegan": "cyclegan",
    "dcgan": "dcgan",
    "pix2pix": "pix2pix",
    "stylegan-lite": "stylegan",
    "text-to-image": "text_to_image",
}  # canonical paper name -> module next to this one


def kinds() -> list[str]:
    """What `build` can build: "<paper>.<network>"."""
    return [f"{paper}.{network}" for paper in _FILES for network in _module(paper).NETWORKS]


class MatchedByOrder(UserWarning):
    """Layers of other names than the reference's were matched by their order."""


def build(kind: str, state: Mapping, *, key: str | None = None, **what_cannot_be_seen) -> "keras.Model":
    """A network with the weights of a reference checkpoint.

    Args:
        kind: one of `kinds()`, such as "pix2pix.generator"; the part before the dot may be an alias of the paper.
        state: the reference's state-dict names -> arrays (or torch tensors), also within a training script's dictionaries.
            `module.`, `_orig_mod.` and a network's name before every name and the `num_batches_tracked` counters are
            tolerated.
        key: which of several states, if more than one fits.
        what_cannot_be_seen: arguments of the paper's builder that override what names and shapes say, for example
            `dropout=0.5` (pix2pix), `epsilon=1e-8` (dcgan) or `fused_scale=True` (stylegan).

    Returns:
        The network, channels last: it honours `training=`; generators give images in [-1, 1], discriminators logits.

    Raises:
        GanzooError: unknown kind or keyword; several states that fit; names missing or unknown, shapes that do not fit.
    """
    before, dot, network = str(kind).rpartition(".")
    paper = _canonical(before) if dot else None
    if paper is None or network not in _module(paper).NETWORKS:
        raise GanzooError(f'There is no importer for "{kind}".{nearest(str(kind), kinds())}')
    found = _wrapped.states(state) or {"": state}
    chosen, matched = _chosen(paper, network, found, key, "The state", "key=NAME")[1:]
    with _said(matched):
        built = _module(paper).NETWORKS[network](chosen, **what_cannot_be_seen)
    if matched:
        warnings.warn(said(kind, matched), MatchedByOrder, stacklevel=2)
    return built


def import_checkpoint(
    paper: str,
    generator: str | Path,
    out: str | Path,
    *,
    discriminator: str | Path | None = None,
    key: str | None = None,
    discriminator_key: str | None = None,
    **what_cannot_be_seen,
) -> Path:
    """Turns checkpoint files into a preset folder that `ganzoo.load(out)` reads.

    Args:
        paper: a paper that has an importer, or its alias.
        generator: the file with the generator's weights (see `read_state` for the formats). CycleGAN's others are taken
            along from the same folder: `latest_net_G_A.pth` finds `latest_net_G_B.pth`, `latest_net_D_A.pth`, ...
        out: the folder to write.
        discriminator: the file with the discriminator's weights, needed only to go on training it; without one a
            freshly initialised discriminator is saved. It may be the generator's file.
        key, discriminator_key: which of several states in a file, needed where more than one fits the network.
        what_cannot_be_seen: arguments of the paper's model that override what names and shapes say.

    Returns:
        The folder. Its training options are those of the paper's PyTorch preset; `manifest.json` names the files, the keys
        in them and the layers that were matched by order, and under "untrained" the networks that none of them held.

    Raises:
        GanzooError: as `build` and `read_state`; nothing is written then.
    """
    from ganzoo import zoo
    from ganzoo.importers._state import assign

    canonical = _canonical(paper)
    if canonical is None:
        raise GanzooError(f'No importer reads checkpoints of "{paper}".{nearest(paper, _FILES)}')
    module = _module(canonical)
    given = {"generator": Path(generator)} | ({"discriminator": Path(discriminator)} if discriminator else {})
    files = module.files(given) if hasattr(module, "files") else given
    keys = {"generator": (key, "--key NAME"), "discriminator": (discriminator_key, "--discriminator-key NAME")}
    states = {}
    origin: dict[str, dict[str, Any]] = {}
    renamed: dict[str, str] = {}
    for attribute, path in files.items():
        role = attribute.partition("_")[0]  # of generator_ab
        place, states[attribute], matched = _chosen(
            canonical, role, read_states(path), keys[role][0], f'"{path}"', keys[role][1]
        )
        origin[attribute] = {"file": path.name, "sha256": _sha256(path)} | ({"key": place} if place else {})
        if matched:
            origin[attribute]["matched_by_order"] = matched
            renamed |= matched
    with _said(renamed):
        plan = module.plan(states, what_cannot_be_seen)
        config = presets.run_config(
            f"{canonical}/{plan.preset}", {f"data.{key}": value for key, value in plan.data.items()}
        )
        model = zoo.build(config.model_copy(update={"model": plan.model, "preset": real_path(out).name}))
        for network, (state, places) in plan.networks.items():
            assign(f"{canonical}.{network}", getattr(model, network), state, places)
    for attribute, facts in origin.items():
        if "matched_by_order" in facts:
            warnings.warn(said(f"{canonical}.{attribute}", facts["matched_by_order"]), MatchedByOrder, stacklevel=2)
    for average, network in model.averages():
        average.set_weights(network.get_weights())
    untrained = [n for n in model.networks() if n not in plan.networks and not n.startswith("ema_")]
    return zoo.save(model, out, extra={"imported": origin, "untrained": untrained})


def said(kind: str, matched: Mapping[str, str]) -> str:
    """The sentence on layers that were matched by their order: their prefix -> the reference's."""
    return (
        f"{kind}: {_pairs(matched)}. What a file does not show, such as padding and activations, is taken to be the "
        "paper's: compare a picture with one of its author's."
    )


def _pairs(matched: Mapping[str, str], limit: int = 2) -> str:
    shown = ", ".join(f"{theirs} as {reference}" for theirs, reference in list(matched.items())[:limit])
    more = f" and {len(matched) - limit} more" if len(matched) > limit else ""
    return f"layers of other names than the reference's were matched by order and shape ({shown}{more})"


@contextlib.contextmanager
def _said(matched: Mapping[str, str]):
    """A refusal of a state whose layers were matched by order says that they were: it names the reference's layers."""
    try:
        yield
    except GanzooError as error:
        if not matched:
            raise
        raise GanzooError(f"{error} Before that, {_pairs(matched)}.") from None


def _chosen(
    paper: str, network: str, found: Mapping, key: str | None, where: str, how: str
) -> tuple[str, Mapping, dict]:
    """(name, state under the reference's names, layers that were renamed) of the state for a network.

    Without a key it is the only one, or the only one that fits the network.

    Raises:
        GanzooError: no state of that key, none that fits or several that do.
    """
    kind = f"{paper}.{network}"
    if key is not None:
        name, state = _wrapped.pick(found, key, where)
        return name, *_prepared(paper, network, state)
    if len(found) == 1:
        ((name, state),) = found.items()
        return name, *_prepared(paper, network, state)
    fitting, why = [], ""
    for name, state in found.items():
        try:
            prepared, matched = _prepared(paper, network, state)
            _module(paper).NETWORKS[network](prepared)
            fitting.append((name, prepared, matched))
        except GanzooError as error:
            why = why or f' "{name}": {error}'
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        names = _wrapped.listed(name for name, *_ in fitting)
        raise GanzooError(f"{where} holds several states that fit {kind}: {names}. Choose one with {how}.")
    raise GanzooError(f"{where} holds {_wrapped.listed(found)}, and none of them fits {kind}.{why}")


def _prepared(paper: str, network: str, state: Mapping) -> tuple[Mapping, dict]:
    """(the state as plain arrays under the reference's names, the layers that had other names)."""
    from ganzoo.importers import _order
    from ganzoo.importers._state import clean

    state, references = clean(state), getattr(_module(paper), "REFERENCES", {})
    return _order.renamed(state, references[network]) if network in references else (state, {})


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _canonical(paper: str) -> str | None:
    """The paper's name in `_FILES`, also by alias; None if there is no such paper or it has no importer."""
    name = presets.find_paper(paper) if presets.is_paper(paper) else None
    return name if name in _FILES else None


def _module(paper: str):
    return importlib.import_module(f"ganzoo.importers.{_FILES[paper]}")
