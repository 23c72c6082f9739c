"""Learning rates that have come to their end: a schedule at rate 0, under which nothing is learned."""

import warnings

import keras

from ganzoo import schedules


def rate_of(optimizer: keras.optimizers.Optimizer) -> float:
    """The learning rate of the next update."""
    return float(keras.ops.convert_to_numpy(optimizer.learning_rate))


def rates(model) -> dict[str, float]:
    """The rate of each player's next update, as a log row has it: "g_rate", "d_rate"."""
    return {f"{player.removesuffix('optimizer')}rate": rate_of(getattr(model, player)) for player in model.players}


def end_of(optimizer: keras.optimizers.Optimizer) -> int | None:
    """The number of the first update at rate 0; None for a rate that does not end."""
    schedule = getattr(optimizer, "inner_optimizer", optimizer)._learning_rate
    return getattr(schedule, "end", None)


class RateIsZero(keras.callbacks.Callback):
    """Warns before a `fit` that goes on past the end of a schedule, or before the epoch that does where its length is not
    known."""

    def on_train_begin(self, logs=None):
        steps = (self.params.get("steps") or 0) * self.params.get("epochs", 1)
        self._warn(steps)

    def on_epoch_begin(self, epoch, logs=None):
        if not self.params.get("steps"):
            self._warn(1)

    def _warn(self, steps: int) -> None:
        segment = self.model.segment
        # A part of a run trains some of the players; the rates of the others do not move in it.
        for player in (segment and segment.players) or self.model.players:
            optimizer = getattr(self.model, player)
            end = end_of(optimizer)
            done = schedules.place_of(optimizer)
            if end is not None and steps and done + steps * self.model.updates[player] > end:
                left = max(end - done, 0) // self.model.updates[player]
                warnings.warn(
                    f"The learning rate of {player} is 0 after {left:,} of these steps, at the end of its schedule: nothing "
                    "more is learned there. Give it another schedule (train.g_optimizer of a run, or compile).",
                    stacklevel=2,
                )
