"""Every model at a size where a run takes seconds, on bundled data: as its paper declares it (`Checks`)."""

from typing import TYPE_CHECKING

from ganzoo import presets

if TYPE_CHECKING:
    from ganzoo.base import Checks

PACE = {"train.batch_size": 8, "train.steps": 32, "train.log_every": 8, "train.sample_every": 0, "model.ema_decay": 0.5}


def checks(name: str) -> "Checks":
    """How a paper says that it is tried. Raises GanzooError for an unknown one."""
    from ganzoo import zoo  # here, since it loads TensorFlow, which a doctor of whole presets does without

    return zoo.registry.models()[presets.find_paper(name)].checks


def config(name: str, overrides: dict | None = None) -> presets.RunConfig:
    """Options of a run of a few seconds of a paper's default preset; `overrides` by dotted key.

    Raises:
        GanzooError: no such model, or a bad override.
    """
    name = presets.find_paper(name)
    return presets.run_config(name, {**checks(name).small, **PACE, **(overrides or {})})
