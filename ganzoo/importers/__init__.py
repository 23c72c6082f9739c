"""Official checkpoints -> our networks and preset folders: one file for each paper that has them.

    from ganzoo import importers
    state = importers.read_state("latest_net_G.pth")
    network = importers.build("pix2pix.generator", state)       # a keras.Model
    importers.import_checkpoint("pix2pix", "latest_net_G.pth", "my-pix2pix")

Names of the state are mapped, never their order. Widths, depth, channels and norm are read from names and shapes; a
keyword overrides what cannot be seen.
"""

import hashlib
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ganzoo import presets
from ganzoo.errors import GanzooError, nearest
from ganzoo.importers.read import read_state

if TYPE_CHECKING:
    import keras

__all__ = ["build", "import_checkpoint", "kinds", "read_state"]

_FILES = {
    "3d-gan": "gan3d",
    "cyclegan": "cyclegan",
    "dcgan": "dcgan",
    "pix2pix": "pix2pix",
    "stylegan-lite": "stylegan",
    "text-to-image": "text_to_image",
}  # canonical paper name -> module beside this one


def kinds() -> list[str]:
    """What `build` can build: "<paper>.<network>"."""
    return [f"{paper}.{network}" for paper in _FILES for network in _module(paper).NETWORKS]


def build(kind: str, state: Mapping, **what_cannot_be_seen) -> "keras.Model":
    """A network with the weights of a reference checkpoint.

    Args:
        kind: one of `kinds()`, such as "pix2pix.generator"; the part before the dot may be an alias of the paper.
        state: the reference's state-dict names -> arrays (or torch tensors). A `module.` before every name and the
            `num_batches_tracked` counters are tolerated.
        what_cannot_be_seen: arguments of the paper's builder that override what names and shapes say, for example
            `dropout=0.5` (pix2pix), `epsilon=1e-8` (dcgan) or `fused_scale=True` (stylegan).

    Returns:
        The network, channels last: it honours `training=`; generators give images in [-1, 1], discriminators logits.

    Raises:
        GanzooError: unknown kind or keyword; names missing or unknown, shapes that do not fit.
    """
    from ganzoo.importers._state import clean

    paper, dot, network = str(kind).rpartition(".")
    paper = _canonical(paper) if dot else None
    if paper is None or network not in _module(paper).NETWORKS:
        raise GanzooError(f'There is no importer for "{kind}".{nearest(str(kind), kinds())}')
    return _module(paper).NETWORKS[network](clean(state), **what_cannot_be_seen)


def import_checkpoint(
    paper: str,
    generator: str | Path,
    out: str | Path,
    *,
    discriminator: str | Path | None = None,
    **what_cannot_be_seen,
) -> Path:
    """Turns checkpoint files into a preset folder that `ganzoo.load(out)` reads.

    Args:
        paper: a paper that has an importer, or its alias.
        generator: the file with the generator's weights (see `read_state` for the formats). CycleGAN's others are taken
            along from beside it: `latest_net_G_A.pth` finds `latest_net_G_B.pth`, `latest_net_D_A.pth`, ...
        out: the folder to write.
        discriminator: the file with the discriminator's weights, needed only to go on training it; without one a
            freshly initialised discriminator is saved.
        what_cannot_be_seen: arguments of the paper's model that override what names and shapes say.

    Returns:
        The folder. Its training options are those of the paper's PyTorch preset; `manifest.json` names the files, and under
        "untrained" the networks that none of them held.

    Raises:
        GanzooError: as `build` and `read_state`; nothing is written then.
    """
    from ganzoo import zoo
    from ganzoo.importers._state import assign, clean

    canonical = _canonical(paper)
    if canonical is None:
        raise GanzooError(f'No importer reads checkpoints of "{paper}".{nearest(paper, _FILES)}')
    module = _module(canonical)
    given = {"generator": Path(generator)} | ({"discriminator": Path(discriminator)} if discriminator else {})
    files = module.files(given) if hasattr(module, "files") else given
    states = {network: clean(read_state(path)) for network, path in files.items()}
    plan = module.plan(states, what_cannot_be_seen)
    config = presets.run_config(
        f"{canonical}/{plan.preset}", {f"data.{key}": value for key, value in plan.data.items()}
    )
    model = zoo.build(config.model_copy(update={"model": plan.model, "preset": Path(out).resolve().name}))
    for network, (state, places) in plan.networks.items():
        assign(f"{canonical}.{network}", getattr(model, network), state, places)
    for average, network in model.averages():
        average.set_weights(network.get_weights())
    origin = {network: {"file": path.name, "sha256": _sha256(path)} for network, path in files.items()}
    untrained = [n for n in model.networks() if n not in plan.networks and not n.startswith("ema_")]
    return zoo.save(model, out, extra={"imported": origin, "untrained": untrained})


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _canonical(paper: str) -> str | None:
    """The paper's name in `_FILES`, also by alias; None if there is no such paper or it has no importer."""
    name = presets.find_paper(paper) if presets.is_paper(paper) else None
    return name if name in _FILES else None


def _module(paper: str):
    return importlib.import_module(f"ganzoo.importers.{_FILES[paper]}")
