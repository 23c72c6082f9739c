"""The whole training state in one safetensors file a step: networks, EMA, optimizer slots, step. Written atomically.

All noise and the data order are functions of (seed, step) (contracts: Randomness), so this state is enough: a killed and
resumed run ends with the bytes of the uninterrupted one.
"""

import logging
from pathlib import Path

import numpy as np

from ganzoo import weights
from ganzoo.base import BaseGAN
from ganzoo.errors import GanzooError
from ganzoo.guard import NotFinite

log = logging.getLogger(__name__)


def save(model: BaseGAN, folder: Path, *, keep: int = 2) -> Path:
    """Writes `step-00000500.safetensors` and removes all but the newest `keep`.

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
    weights.write(path, arrays, metadata={"model": model.paper})
    for old in _newest_first(folder)[keep:]:
        old.unlink()
    return path


def restore(model: BaseGAN, folder: Path) -> int | None:
    """Restores the newest whole checkpoint and returns its step; None if there is none.

    A torn file is passed over with a warning and the one before is taken.
    """
    for path in _newest_first(folder):
        try:
            arrays, _ = weights.read(path)
        except GanzooError as error:
            log.warning("%s Taking the checkpoint before it.", error)
            continue
        weights.assign(model.training_state(), arrays, str(path))
        return int(model.step.numpy())
    return None


def drop_newest(folder: Path) -> bool:
    """Removes the newest checkpoint if there is one before it; whether it did."""
    newest, *older = _newest_first(folder)
    if older:
        newest.unlink()
    return bool(older)


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*.safetensors"), reverse=True)
