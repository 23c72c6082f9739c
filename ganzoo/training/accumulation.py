"""Gradient accumulation: a batch is worked off in micro-batches, one after the other, and moves the weights once.

The papers know nothing of it. In each of a model's `rounds` its `train_step` runs for every micro-batch with one change:
`minimize` hands the gradients of the round's players over and applies none. Their mean is applied at the end of the round,
so that the next one sees the new weights, as in a step of the whole batch. A player with several `updates` in a step has a
round for each. What a micro-batch would assign besides (batch
statistics, a running w) is kept apart by Keras' StatelessScope; the mean over the micro-batches is assigned once. So where
no operation mixes samples, the result is that of the whole batch. Batch norm normalises by the statistics of a
micro-batch, and its moving statistics are means of these.

The memory is that of a micro-batch and one set of gradients: a loop keeps one micro-batch from starting before the last
one has ended. The price is that a round repeats the forward passes of the rounds before it.
"""

import keras
import tensorflow as tf

from ganzoo.base import BaseGAN
from ganzoo.base.parts import Part
from ganzoo.errors import GanzooError


def in_parts(model: BaseGAN, count: int):
    """The model's train_step in `count` micro-batches, to be put in its place.

    Raises:
        GanzooError: a step of the model cannot be divided, or (when it is traced) a batch of a replica cannot.
    """
    if model.why_not_accumulate():
        raise GanzooError(
            f"{model.paper} cannot train in micro-batches because of {model.why_not_accumulate()}: set train.accumulate = 1."
        )
    whole = model.train_step

    def train_step(data):
        shares = tf.nest.map_structure(lambda x: _shares(x, count), data)
        logs: dict[str, tf.Tensor] = {}
        states: dict[str, tf.Tensor] = {}
        averages = []
        rounds = _turns(model)
        for turns in rounds:
            sums, averages = _round(model, whole, shares, count, turns)
            for (player, turn), found in sums["gradients"].items():
                gradients = [
                    found[place] / count if place in found else None for place in range(len(model.trainable_of(player)))
                ]
                model.update(player, sums["losses"][player, turn] / count, gradients)
            # As the first players saw them; a player's own loss is of the round that it moves in.
            moving = {player for player, _ in turns}
            own = {
                key: value for key, value in sums["logs"].items() if f"{key.removesuffix('loss')}optimizer" in moving
            }
            logs = sums["logs"] if moving & {player for player, _ in rounds[0]} else logs | own
            states = states or sums["states"]
        state = model.training_state()
        for key, total in states.items():
            state[key].assign(total / count)
        for decay in averages:
            model.update_ema(decay)
        return model.log(**{key: total / count for key, total in logs.items()})

    return train_step


def _shares(x: tf.Tensor, count: int) -> tf.Tensor:
    """(N, ...) as (count, N / count, ...)."""
    rows = x.shape[0]
    if rows is not None and rows % count:
        raise GanzooError(f"train.accumulate {count} does not divide a replica's batch of {rows}.")
    return tf.reshape(x, [count, -1 if rows is None else rows // count, *x.shape[1:]])


def _turns(model: BaseGAN) -> list[list[tuple[str, int]]]:
    """The rounds of a step: in each, (player, which of its updates). A player's next update sees the one before."""
    found = []
    for players in model.rounds:
        present = {player: model.updates[player] for player in players if player in model.players}
        most = max(present.values(), default=0)
        found += [[(player, turn) for player in present if turn < present[player]] for turn in range(most)]
    return found


def _round(model: BaseGAN, train_step, shares, count: int, turns: list[tuple[str, int]]):
    """(sums over the micro-batches of gradients, losses, logs and states; what update_ema was called with)."""
    averages = []

    def run(index):
        nonlocal averages
        model.part = Part(count, index, turns)
        try:
            with keras.StatelessScope() as scope:
                logs = train_step(tf.nest.map_structure(lambda x: x[index], shares))
            part = model.part
        finally:
            model.part = None
        averages = part.averages
        gradients = {
            turn: {place: tf.convert_to_tensor(g) for place, g in enumerate(found) if g is not None}
            for turn, found in part.gradients.items()
        }
        variables = {key: v for key, v in model.training_state().items() if isinstance(v, keras.Variable)}
        states = {key: scope.get_current_value(variable) for key, variable in variables.items()}
        states = {key: value for key, value in states.items() if value is not None}
        return {"gradients": gradients, "losses": part.losses, "logs": logs, "states": states}

    def body(index, sums):
        return index + 1, tf.nest.map_structure(tf.add, sums, run(index))

    first = run(0)  # outside of the loop: it says what there is to be summed
    decays = averages  # of the step, whatever the micro-batch; those made in the loop are tensors of its body
    with tf.control_dependencies(tf.nest.flatten(first)):
        begin = tf.constant(1), tf.nest.map_structure(tf.identity, first)
        _, sums = tf.while_loop(lambda index, _: index < count, body, begin, parallel_iterations=1)
    return sums, decays
