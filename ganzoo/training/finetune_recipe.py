"""`--recipe auto`: settings of a fine-tuning by the number of training images, each with its reason.

| images | D | augmentation | learning rates | steps | average of G |
|---|---|---|---|---|---|
| below 100 | two thirds of its layers frozen | color, translation, cutout | a quarter | 100,000 images | 0.99 |
| below 1,000 | half of its layers frozen | color, translation, cutout | a half | 300,000 images | 0.99 |
| below 5,000 | all moves | color, translation | as the preset | 1,000,000 images | 0.999 |
| more | the preset's own settings | | | | |

Steps are never more than the preset's. Augmentation is for papers that declare one (`augments_by`) and where the preset sets none;
the average for those that take `ema_decay`.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from ganzoo import registry, zoo
from ganzoo.errors import GanzooError, nearest
from ganzoo.presets import RunConfig

NAMES = ("none", "auto")
FREEZE_D = "FreezeD, arXiv 2002.10964: D's lower layers know pictures already and would learn few of them by heart"
DIFF_AUGMENT = "DiffAugment, arXiv 2006.10738: D must not know the training pictures by heart"
SLOWER = "our rule: small steps keep what the weights have learned"
SHORTER = "our rule: few pictures are soon learned by heart; DiffAugment's 100-shot runs saw 300,000 images"
AVERAGE = "arXiv 1806.04498: averaged weights are steadier; so short a run needs a short average"


@dataclasses.dataclass(frozen=True)
class Choice:
    """One setting by its dotted key; `str` is the line that is printed."""

    key: str
    value: Any
    reason: str

    def of(self, config: RunConfig) -> "Choice":
        """The same choice with the value that a run's options have."""
        table, _, rest = self.key.partition(".")
        value = config.model.get(rest) if table == "model" else config
        for part in self.key.split(".") if table != "model" else ():
            value = getattr(value, part)
        return dataclasses.replace(self, value=value)

    def __str__(self):
        return f"recipe: {self.key} = {self.value} ({self.reason})"


def choices(recipe: str, config: RunConfig, given: Mapping[str, Any], count: int) -> list[Choice]:
    """What the recipe sets for a run on `count` images, less the keys that were given; nothing for "none".

    Raises:
        GanzooError: another recipe, or bad model options.
    """
    if recipe not in NAMES:
        raise GanzooError(f'There is no recipe "{recipe}".{nearest(recipe, NAMES)}')
    if recipe == "none":
        return []
    found = by_count(count, zoo.complete(config))
    return [choice for choice in found if choice.key not in given and choice.key.rpartition(".")[2] not in given]


def by_count(count: int, config: RunConfig) -> list[Choice]:
    """The table above for `count` images; `config` names every model argument."""
    if count >= 5000:
        return []
    few, train, found = f"{count:,} images; ", config.train, []
    paper = registry.models()[config.name]
    if count < 1000:
        found.append(Choice("train.freeze_d", 2 / 3 if count < 100 else 0.5, few + FREEZE_D))
    if paper.augments_by and not config.model[paper.augments_by]:
        policy = "color,translation,cutout" if count < 1000 else "color,translation"
        found.append(Choice(f"model.{paper.augments_by}", policy, few + DIFF_AUGMENT))
    if count < 1000:
        share = 0.25 if count < 100 else 0.5
        for player in ("g_optimizer", "d_optimizer"):
            rate = getattr(train, player).learning_rate
            found.append(Choice(f"train.{player}.learning_rate", rate * share, few + SLOWER))
    images = 100_000 if count < 100 else 300_000 if count < 1000 else 1_000_000
    steps = max(images // train.batch_size // train.steps_per_execution, 1) * train.steps_per_execution
    if steps < train.steps:
        found.append(Choice("train.steps", steps, few + SHORTER))
    if "ema_decay" in config.model and not config.model.get(paper.averages_by):
        found.append(Choice("model.ema_decay", 0.99 if count < 1000 else 0.999, few + AVERAGE))
    return found
