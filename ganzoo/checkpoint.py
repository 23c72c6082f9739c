"""The whole training state in one safetensors file a step: networks, EMA, optimizer slots, step. Written atomically.

All noise and the data order are functions of (seed, step) (contracts: Randomness), so this state is enough: a killed and
resumed run ends with the bytes of the uninterrupted one.
"""

import logging
from pathlib import Path

from ganzoo import weights
from ganzoo.base import BaseGAN
from ganzoo.errors import GanzooError

log = logging.getLogger(__name__)


def save(model: BaseGAN, folder: Path, *, keep: int = 2) -> Path:
    """Writes `step-00000500.safetensors` and removes all but the newest `keep`."""
    path = folder / f"step-{int(model.step.numpy()):08d}.safetensors"
    weights.write(path, weights.to_arrays(model.training_state()), metadata={"model": model.paper})
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


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*.safetensors"), reverse=True)
