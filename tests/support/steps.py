"""One train_step of a model under the eyes of a test: what each update was given, what it did, and what its loss is of.

All updates go through `minimize`, whatever a paper's steps are called and take, and the discriminator judges by being called;
so nothing here knows a paper.
"""

import contextlib
import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf


def values(model, trainable_only=False):
    """Key -> copy of the value, of every variable of every network."""
    return {
        key: np.array(variable) for key, variable in model.state().items() if variable.trainable or not trainable_only
    }


def changed(before, after):
    return {key for key in before if not np.array_equal(before[key], after[key])}


class Watch:
    """Runs one train_step and records every update: the player, the values before and after, the gradients by key.

    It looks at the optimizers, so that it also sees an update that `minimize` knows nothing of.
    """

    def __init__(self, model, data):
        self.model, self.updates = model, []
        with pytest.MonkeyPatch.context() as patch:
            for player in model.players:
                optimizer = getattr(model, player)
                patch.setattr(optimizer, "apply_gradients", self.spy(optimizer.apply_gradients, player))
            self.first = values(model)
            self.logs = {key: float(value) for key, value in model.train_step(data).items()}
            self.last = values(model)

    def spy(self, apply, player):
        keys = {id(variable): key for key, variable in self.model.state().items()}

        def watched(pairs):
            pairs = list(pairs)
            gradients = {keys[id(variable)]: gradient for gradient, variable in pairs}
            before = values(self.model)
            apply(pairs)
            self.updates.append((player, before, values(self.model), gradients))

        return watched


def heard(model, patch) -> list[tuple[int, tf.Tensor]]:
    """A list that fills, while `patch` lasts, with what the discriminators say: (which one it is, what it says)."""
    said, call = [], keras.layers.Layer.__call__
    discriminators = [getattr(model, name) for name in model.players["d_optimizer"]]

    def listening(layer, *args, **kwargs):
        answer = call(layer, *args, **kwargs)
        for place, network in enumerate(discriminators):
            if layer is network:
                said.append((place, tf.nest.flatten(answer)[0]))  # the first head says whether it is real
        return answer

    patch.setattr(keras.layers.Layer, "__call__", listening)
    return said


@dataclasses.dataclass
class Judged:
    """One call of a discriminator before an update: which one it was, what it said, and the slope of the update's loss in
    each number."""

    network: int
    logits: np.ndarray
    slope: np.ndarray | None


class _Reached(Exception):
    """The update that was asked for: the rest of the step is not run."""


class Replay:
    """The losses of one step as functions of the weights: the step is run again from its first state, up to an update.

    The updates before it are not computed anew: they leave what they left the first time, so that one loss is looked at
    with all else as it was, noise included.
    """

    def __init__(self, model, data):
        self.model, self.data = model, data
        self.start = {key: np.array(variable) for key, variable in model.training_state().items()}
        self.watch = Watch(model, data)
        self.players = [player for player, *_ in self.watch.updates]

    def gradient(self, number) -> dict[str, np.ndarray]:
        """What the optimizer was given in an update."""
        *_, gradients = self.watch.updates[number]
        return {key: np.array(gradient) for key, gradient in gradients.items() if gradient is not None}

    def loss(self, number, shift=None) -> float:
        """The loss that `minimize` is handed at an update; `shift` as in `at`."""
        return self.until(number, lambda tape, loss, said: float(loss), shift)

    def at(self, number, shift=None) -> tuple[float, list[Judged]]:
        """(the loss that `minimize` is handed at an update, what the discriminators said since the one before it).

        Args:
            shift: key -> what is added to the weights of a network during the whole step.
        """

        def real(logits):
            """The numbers that say real: all, or those of one class."""
            chosen = self.model.real_class
            return logits if chosen is None or logits is None else logits[..., chosen : chosen + 1]

        def look(tape, loss, said):
            slopes = tape.gradient(loss, [logits for _, logits in said])
            return float(loss), [
                Judged(place, real(logits.numpy()), real(None if slope is None else slope.numpy()))
                for (place, logits), slope in zip(said, slopes, strict=True)
            ]

        return self.until(number, look, shift)

    def unmoved(self, number) -> list[str]:
        """The discriminators that were asked before an update, and whose answers do not depend on the weights that it moves."""
        names, weights = self.model.players["d_optimizer"], self.model.trainable_of(self.players[number])

        def look(place):
            def gradient(tape, _, said):
                logits = [answer for asked, answer in said if asked == place]
                return not logits or any(g is not None for g in tape.gradient(logits, weights))

            return gradient

        return [name for place, name in enumerate(names) if not self.until(number, look(place))]

    def until(self, number, look, shift=None):
        """Runs the step again up to an update: what `look` says of (its tape, its loss, [(which discriminator, its answer)])."""
        state, shift = self.model.training_state(), shift or {}
        for key, value in self.start.items():
            state[key].assign(value + shift[key] if key in shift else value)
        done, weights = 0, self.model.state()

        def minimize(tape, loss, player, *turn):
            nonlocal done
            if done == number:
                raise _Reached(look(tape, loss, said))
            _, _, after, gradients = self.watch.updates[done]
            for key in gradients:
                weights[key].assign(after[key] + shift.get(key, 0))
            said.clear()
            done += 1

        with pytest.MonkeyPatch.context() as patch, contextlib.suppress(_Reached):
            said = heard(self.model, patch)
            patch.setattr(type(self.model), "minimize", lambda model, *given: minimize(*given))
            try:
                self.model.train_step(self.data)
            except _Reached as reached:
                return reached.args[0]
        raise AssertionError(f"The step of {self.model.paper} has no update {number} when it is run again.")

    def slope(self, number, loss, width=1e-4) -> float:
        """Of the update's loss along its own gradient, measured: over a step that should change it by `width` (of the loss,
        where that is more than 1: float32 knows no smaller share), divided by the gradient's squared norm. 1 where the gradient
        is that of the loss."""
        gradient, width = self.gradient(number), width * max(1.0, abs(loss))
        squared = sum(float(np.square(g, dtype=np.float64).sum()) for g in gradient.values())
        rate = width / squared
        ahead, behind = (
            self.loss(number, {key: (sign * rate * g).astype(g.dtype) for key, g in gradient.items()})
            for sign in (1, -1)
        )
        return (ahead - behind) / (2 * width)

    def shaken(self, player, scale=0.1) -> dict[str, np.ndarray]:
        """Random numbers to add to all weights of a player."""
        rng = np.random.default_rng(0)
        networks = self.model.players[player]
        return {
            key: rng.normal(scale=scale, size=variable.shape).astype("float32")
            for key, variable in self.model.state().items()
            if key.split("/")[0] in networks and variable.trainable
        }
