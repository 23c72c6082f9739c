"""Training: from options to a run folder. `train` and `finetune` are imported when they are first used; `plan` and `on_ray` need no TensorFlow."""

import importlib

_HOME = {
    "train": "ganzoo.training.run",
    "finetune": "ganzoo.training.run",
    "RunResult": "ganzoo.training.loop",
    "TrainingDiverged": "ganzoo.training.divergence",
}
__all__ = list(_HOME)


def __getattr__(name: str):
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'ganzoo.training' has no attribute {name!r}")
