"""The whole training state in one safetensors file a step: networks, EMA, optimizer slots, step. Written atomically.

All noise and the data order are functions of (seed, step) (contracts: Randomness), so this state is enough: a killed and
resumed run ends with the bytes of the uninterrupted one.
"""

import contextlib
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from ganzoo import files, weights
from ganzoo.base import BaseGAN
from ganzoo.base.guard import NotFinite
from ganzoo.devices import workers
from ganzoo.errors import GanzooError
from ganzoo.runs.settings import text_of

# The metadata entry: JSON of the sha256 of the state, the settings that it was trained under, the steps that were to come.
ABOUT = "checkpoint"
log = logging.getLogger(__name__)


def save(model: BaseGAN, folder: Path, *, keep: int = 2) -> Path | None:
    """Writes `step-00000500.safetensors` and removes all but the newest `keep`.

    Of several workers all call this, since a state may have parts on each of them, and the chief writes.

    Raises:
        NotFinite: a loss, a gradient or a value of the state was not finite. Nothing is written: it would push out the
            last good state.
        OSError: no room; the message has the file and the numbers, and what was there before is as it was.
    """
    model.guard.check()
    path = folder / f"step-{int(model.step.numpy()):08d}.safetensors"
    arrays = weights.to_arrays(model.training_state())
    for key, array in arrays.items():
        if not np.isfinite(array).all():
            raise NotFinite(key, int(model.step.numpy()))
    if not workers.is_chief(model.distribute_strategy):
        return None
    about: dict[str, Any] = {"sha256": weights.digest(arrays)}
    if model.run_config:
        about |= {"settings": text_of(model.run_config), "steps": model.run_config.train.steps}
    # One entry, since safetensors writes several in random order.
    weights.write(path, arrays, metadata={ABOUT: json.dumps(about, sort_keys=True)})
    for old in _newest_first(folder)[keep:]:
        old.unlink()
    return path


def restore(model: BaseGAN, folder: Path) -> int | None:
    """Restores the newest whole checkpoint and returns its step; None if there is none.

    A torn or changed file is passed over with a warning and the one before is taken. Several workers all get the chief's.
    """
    strategy = model.distribute_strategy
    data = workers.from_chief(strategy, _newest_whole(folder) if workers.is_chief(strategy) else b"")
    if not data:
        return None
    weights.assign(model.training_state(), safetensors.numpy.load(data), str(folder))
    return int(model.step.numpy())


def _newest_whole(folder: Path) -> bytes:
    for path in _newest_first(folder):
        try:
            data = weights.read_bytes(path)
            arrays, metadata = weights.parsed(data, path)
            # Of a checkpoint that an earlier ganzoo wrote nothing is known.
            if _about(metadata, path).get("sha256", digest := weights.digest(arrays)) != digest:
                raise GanzooError(
                    f"The checkpoint {path} holds other numbers than were written: a bit of it has changed."
                )
        except GanzooError as error:
            log.warning("%s Taking the checkpoint before it.", error)
            continue
        return data
    return b""


def settings(folder: Path) -> str:
    """The settings that the newest whole checkpoint was trained under (`ganzoo.runs.settings`); "" of one that does not say."""
    return _newest_about(folder).get("settings", "")


def steps(folder: Path) -> int | None:
    """How many steps its run was to have when the newest whole checkpoint was saved; None of one that does not say."""
    return _newest_about(folder).get("steps")


def _newest_about(folder: Path) -> dict:
    for path in _newest_first(folder):
        with contextlib.suppress(OSError, safetensors.SafetensorError):
            return _about(weights.metadata(path), path)
    return {}


def _about(metadata: dict[str, str], path: Path) -> dict:
    """What a checkpoint says of itself; nothing of one that an earlier ganzoo wrote, or whose words are damaged."""
    text = metadata.get(ABOUT)
    if text is None:
        return {}
    try:
        about = files.parse_json(text, str(path))
    except GanzooError:
        about = None
    return about if isinstance(about, dict) else {"sha256": "damaged"}


def newest_step(folder: Path) -> int | None:
    """The step of the newest checkpoint, whole or torn."""
    names = [path.stem for path in _newest_first(folder)]
    return int(names[0].removeprefix("step-")) if names else None


def drop_newest(folder: Path) -> None:
    """Removes the newest checkpoint if there is one before it."""
    newest, *older = _newest_first(folder)
    if older:
        newest.unlink()


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*.safetensors"), reverse=True)
