"""What a run is settled to before anything of it is built: its options, its data, and why it has them."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganzoo import data, presets, registry
from ganzoo.base import BaseGAN
from ganzoo.base.segments import Segment
from ganzoo.data import Source
from ganzoo.devices import precision
from ganzoo.errors import say
from ganzoo.presets import RunConfig
from ganzoo.training import finetune_recipe
from ganzoo.training.finetune_recipe import Choice


@dataclasses.dataclass(frozen=True)
class Settled:
    """The options of a run with all that its data, its machine and its beginning decide; the opened data; and what a recipe
    chose, with its reasons. (`train.freeze_d` may still be a share: the model says of how many layers.)"""

    config: RunConfig
    source: Source
    reasons: tuple[Choice, ...] = ()


@dataclasses.dataclass(frozen=True)
class Run:
    """A run: its folder `out`, and what it trains.

    held_out: what the sample grids show: the test split, or `source` itself where there is none.
    init, folder: what its weights come from, as in `ganzoo.train`, and the model folder that was named. changed: which
    settings and data are not those it was begun with, "" for none. reasons: as `Settled`, with the values that it came to.
    """

    out: Path
    config: RunConfig
    source: Source
    held_out: Source
    model: BaseGAN
    segments: list[Segment]
    resume: bool
    init: str | Path | None
    folder: Path | None
    reasons: tuple[Choice, ...]
    changed: str


def begun_with(out: Path) -> RunConfig:
    """The options in the config.toml of a run folder."""
    return presets.run_config(out / "config.toml")


def _holding_back(config: RunConfig, before: RunConfig | None) -> RunConfig:
    """A new run of a folder or zip file takes a tenth of it as its test split, if it has none and nobody said otherwise. A run
    that was begun without goes on so."""
    share = config.data.hold_out
    if share is None and before is not None:
        share = before.data.hold_out
    elif share is None and data.may_hold_back(config.data):
        share = data.TENTH
    return config if share is None else presets.run_config(config, {"data.hold_out": share})


def settle(
    asked: str | Path | RunConfig,
    options: Mapping[str, Any],
    *,
    recipe: str = "none",
    fine_tuned: bool = False,
    before: RunConfig | None = None,
) -> Settled:
    """Settles a run: the one place where training reads options, and where it opens the training data.

    Args:
        asked: a preset, a file or folder, or resolved options.
        options: overrides by key.
        recipe: "none" or "auto" (`ganzoo.training.finetune_recipe`).
        fine_tuned: the run starts from given weights.
        before: the options that a run to resume was begun with.

    Raises:
        GanzooError: bad options or data, or another recipe.
    """
    config = _holding_back(presets.run_config(asked, dict(options)), before)
    source = data.open_source(config.data)
    reasons = []
    for choice in finetune_recipe.choices(recipe, config, options, len(source)):
        # What was found out when the run began stands: it goes on in the same numbers.
        reasons.append(choice if before is None else choice.of(before))
    found = {choice.key: choice.value for choice in reasons}
    found |= _from_data(config, source, options)
    if before is not None and isinstance(config.train.freeze_d, float):  # a share, which was so many layers
        found["train.freeze_d"] = before.train.freeze_d
    cls = registry.models().get(config.name)
    if fine_tuned and config.train.encoder_steps and (cls is None or cls.keeps_encoder):
        # The weights bring a trained text encoder; another one would not be that of the generator.
        found["train.encoder_steps"] = 0
    number = config.train.precision
    if before is not None:
        found["train.jit_compile"] = config.train.jit_compile and before.train.jit_compile
        number = before.train.precision if number == "auto" else number
    found["train.precision"], why = precision.resolve(number)
    if why:
        say(why)
    return Settled(presets.run_config(config, found), source, tuple(reasons))


def _from_data(config: RunConfig, source: Source, options: Mapping[str, Any]) -> dict[str, Any]:
    """The model's arguments that the data decide, but for those that somebody gave."""
    cls = registry.models().get(config.name)  # one that there is not is refused where the model is built
    decided = cls.arguments_from_data(source) if cls else {}
    return {f"model.{key}": value for key, value in decided.items() if f"model.{key}" not in options}
