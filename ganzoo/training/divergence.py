"""What a run does about a number that is not finite: back to the newest good checkpoint, with lower learning rates.

The update of such a step is never applied (`ganzoo.base.guard`), and no checkpoint or log row is written after it. The rule:
restore the newest checkpoint, halve all learning rates for the rest of the run, go on from there. If it fails again
before a newer checkpoint, that one was not good either, and the one before it is taken. A fourth failure ends the run.
New settings (`accept_changes`) begin the count and the rates again. Rollbacks stand in `changes.jsonl`, so that a run
killed and resumed after one ends with the bytes of the run that was not.
"""

from pathlib import Path

import keras
import numpy as np

from ganzoo import report
from ganzoo.base import BaseGAN
from ganzoo.base.guard import NotFinite
from ganzoo.devices import workers
from ganzoo.errors import say
from ganzoo.runs import changes, checkpoint

ROLLBACKS = 3


class TrainingDiverged(RuntimeError):
    """A loss or a gradient stopped being finite, also with lower rates; the run folder holds the last good checkpoint."""


def roll_back(model: BaseGAN, run: Path, failure: NotFinite) -> int:
    """Puts the model back to the newest good checkpoint of the run and returns its step.

    Raises:
        TrainingDiverged: after three times, with a diagnosis, which also is in the run's report.
    """
    chief, folder = workers.is_chief(model.distribute_strategy), run / "checkpoints"
    told = f"{failure} {_numbers(model)}"  # before the restored state replaces what failed
    rows = changes.read(run) if chief else []  # the run folder is the chief's
    count = int(workers.from_chief(model.distribute_strategy, str(changes.rollbacks(run) if chief else "").encode()))
    if chief and 0 < count < ROLLBACKS and rows[-1]["step"] == checkpoint.newest_step(folder):
        # Dropped before it is noted: a run killed between the two comes to the same point again.
        checkpoint.drop_newest(folder)
    step = checkpoint.restore(model, folder)
    if step is None or count == ROLLBACKS:
        tried = f"{count} rollbacks, which halved the learning rates each, did not help. " if count else ""
        text = f"{told} {tried}{_advice(model, run, step)}"
        if chief:
            changes.note(run, step or 0, "stopped", text)
            report.write_run_report(run)
        raise TrainingDiverged(text)
    model.guard.reset()
    if not chief:
        return step
    factor = changes.rate_factor(run) * changes.HALVED
    text = f"{failure} Back to step {step:,}; all learning rates are times {factor:g} from here on."
    changes.note(run, step, "rollback", text)
    say(text)
    return step


def _numbers(model: BaseGAN) -> str:
    """Rates, gradients and the largest weight at the failure."""
    rates = [f"{player} {_number(getattr(model, player).learning_rate):.3g}" for player in model.players]
    norms = [f"{player} {_number(norm):.3g}" for player, norm in model.guard.norms.items()]
    sizes = {key: float(np.linalg.norm(np.array(weight, "float64"))) for key, weight in model.state().items()}
    largest = max(sizes, key=lambda key: np.nan_to_num(sizes[key], nan=np.inf))
    return (
        f"Learning rates: {', '.join(rates)}. Norms of the last finite gradients: {', '.join(norms)}. Largest weight: "
        f"{largest}, of norm {sizes[largest]:.3g}."
    )


def _number(value) -> float:
    return float(keras.ops.convert_to_numpy(value))


def _advice(model: BaseGAN, run: Path, step: int | None) -> str:
    kept = "no whole checkpoint" if step is None else f"the state of step {step:,}"
    rates = ", ".join(f"train.{player}.learning_rate" for player in model.players)
    precision = model.run_config.train.precision
    other = "" if precision == "float32" else f' or train.precision="float32" (it is {precision})'
    return f"{run / 'checkpoints'} holds {kept}. Lower {rates}{other}, and go on with --resume --accept-changes."
