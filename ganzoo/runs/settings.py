"""Which settings decide the numbers of a run: those that a state is trained under and a resume may not change unasked."""

import json

from ganzoo import files, presets
from ganzoo.errors import GanzooError
from ganzoo.presets import RunConfig

# What may change on resume.
RESUMABLE = (
    "steps",
    "log_every",
    "sample_every",
    "checkpoint_every",
    "keep_checkpoints",
    "health_every",
    "metric_every",
    "stop",
    "steps_per_execution",
)


def text_of(config: RunConfig) -> str:
    """The settings that decide a run's numbers, as JSON."""
    return json.dumps(config.model_dump(mode="json", exclude={"train": set(RESUMABLE)}, exclude_none=True))


def from_text(text: str, now: RunConfig) -> RunConfig | None:
    """The options of `text_of`, with the resumable ones of `now`; None of a text that holds none (of an older ganzoo)."""
    try:
        tables = files.parse_json(text, "the settings of a checkpoint")
        resumable = now.model_dump(include={"train": set(RESUMABLE)}, exclude_none=True)["train"]
        return presets.validate(RunConfig, tables | {"train": tables["train"] | resumable}, "the checkpoint")
    except (ValueError, TypeError, KeyError, GanzooError):
        return None


def differences(before: RunConfig, now: RunConfig) -> list[str]:
    """Sentences on what decides the numbers and is not as it was. Both name every model argument (`zoo.complete`)."""
    if before.name != now.name:
        return [f"the model was {before.name}, now {now.name}"]
    old, new = before.model_dump(), now.model_dump()
    found = []
    for table in ("model", "data", "train"):
        for key, value in new[table].items():
            if table != "train" or key not in RESUMABLE:
                found += _changed(f"{table}.{key}", old[table][key], value)
    return found


def _changed(key: str, before, now) -> list[str]:
    """Sentences on what differs, of tables by their keys."""
    if isinstance(before, dict) and isinstance(now, dict) and before.keys() == now.keys():
        return [text for name in now for text in _changed(f"{key}.{name}", before[name], now[name])]
    return [f"{key} was {before}, now {now}"] if before != now else []
