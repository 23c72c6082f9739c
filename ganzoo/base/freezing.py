"""What moves in a fine-tuning, and how fast: `train.freeze_d` and `train.lr_multipliers`.

FreezeD (Mo, Cho, Shin 2020, arXiv 2002.10964): the lower layers of D stay as they were trained, the others move.
"""

import fnmatch
import itertools
import math
from collections.abc import Mapping

import keras

from ganzoo.base import BaseGAN
from ganzoo.errors import GanzooError


def layers(network: keras.Model) -> list[list[keras.Variable]]:
    """Trainable variables by layer, in the network's order. A layer begins with its kernel; the gains and offsets of a norm
    that follows belong to it."""
    found: list[list[keras.Variable]] = []
    for _, group in itertools.groupby(network.trainable_variables, lambda v: v.path.rpartition("/")[0]):
        variables = list(group)
        if found and all(len(variable.shape) < 2 for variable in variables):
            found[-1] += variables
        else:
            found.append(variables)
    return found


def frozen_layers(model: BaseGAN, share: int | float) -> int:
    """How many layers of D `train.freeze_d` means: a number of them, or a share of those that the smallest D has, of which
    at least one moves and at least one does not."""
    if isinstance(share, int):
        return share
    depth = min(len(layers(getattr(model, name))) for name in model.network_names if name.startswith("discriminator"))
    return min(max(math.ceil(share * depth - 0.5), 1), depth - 1)


def freeze_d(model: BaseGAN, count: int) -> None:
    """The first `count` layers of every discriminator move no more. Before `compile`, so that they have no slots.

    Their batch norms go on to normalise by the batch, as in the authors' code, and so their moving statistics move.

    Raises:
        GanzooError: not even the last layer would move.
    """
    for name in model.network_names if count else ():
        if not name.startswith("discriminator"):
            continue
        found = layers(getattr(model, name))
        if count >= len(found):
            raise GanzooError(
                f"train.freeze_d freezes 0 to {len(found) - 1} of the {len(found)} layers of {model.paper}'s {name}; "
                f"received {count}."
            )
        for variable in itertools.chain(*found[:count]):
            variable.trainable = False


def multiply_rates(model: BaseGAN, multipliers: Mapping[str, float]) -> None:
    """Learning rates of single variables. After `compile`.

    A rate is multiplied, not a gradient, which Adam would scale back; so schedules, momentum and equalised learning rates
    work as ever.

    Args:
        multipliers: pattern of keys of `state`, as "generator/up1*" or "discriminator*" -> factor, 0 for none. Of several
            patterns that match the last one counts.

    Raises:
        GanzooError: a pattern that matches nothing that trains.
    """
    keys = {id(variable): key for key, variable in model.state().items()}
    used = set()
    for player in model.players if multipliers else ():
        optimizer = getattr(model, player)
        factors = []
        for variable in model.trainable_of(player):
            hits = [pattern for pattern in multipliers if fnmatch.fnmatchcase(keys[id(variable)], pattern)]
            used.update(hits)
            factors.append(multipliers[hits[-1]] if hits else 1.0)
        if any(factor != 1 for factor in factors):
            _multiply(getattr(optimizer, "inner_optimizer", optimizer), factors)
    for pattern in multipliers:
        if pattern not in used:
            raise GanzooError(
                f'train.lr_multipliers: "{pattern}" matches no variable that {model.paper} trains; they are called as '
                f"{', '.join(list(keys.values())[:3])}, and * stands for anything."
            )


def _multiply(optimizer: keras.optimizers.Optimizer, factors: list[float]) -> None:
    plain = optimizer.update_step

    def update_step(gradient, variable, learning_rate):
        plain(gradient, variable, learning_rate * factors[optimizer._get_variable_index(variable)])

    optimizer.update_step = update_step
