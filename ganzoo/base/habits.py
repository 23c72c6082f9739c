"""What people do with a Keras model, for a model with several optimizers: callbacks that set one rate, a call, an export."""

from collections.abc import Callable

import keras

from ganzoo.errors import GanzooError


class Rates:
    """`model.optimizer` for Keras' callbacks (LearningRateScheduler, ReduceLROnPlateau): one rate that stands for all.

    It reads as that of the first player. Setting it multiplies the others' by the same factor, so that their ratio, which a
    paper chose, stays.
    """

    built = True

    def __init__(self, model: keras.Model):
        self._model = model

    def _optimizers(self) -> list[keras.optimizers.Optimizer]:
        return [getattr(self._model, player) for player in self._model.players]

    @property
    def variables(self) -> list[keras.Variable]:
        """The slots and counters of all players."""
        return [variable for optimizer in self._optimizers() for variable in optimizer.variables]

    @property
    def learning_rate(self):
        return self._optimizers()[0].learning_rate

    @learning_rate.setter
    def learning_rate(self, rate):
        before = float(keras.ops.convert_to_numpy(self.learning_rate))
        for optimizer in self._optimizers():
            own = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
            optimizer.learning_rate = own * float(rate) / before if before else float(rate)


def outputs_of(model: keras.Model, inputs):
    """What the model's `tensors` endpoint makes of `inputs`: its one input as a tensor, or a dict of several by name.

    Raises:
        GanzooError: other inputs, or a model whose endpoint computes on strings; the sentence names `generate`.
    """
    function, names = _tensors(model)
    given = inputs if isinstance(inputs, dict) else dict.fromkeys(names, inputs) if len(names) == 1 else {}
    if set(given) != set(names):
        took = f"a dict of {sorted(inputs)}" if isinstance(inputs, dict) else type(inputs).__name__
        raise GanzooError(
            f"Calling {model.paper} takes a dict of tensors {sorted(names)}; received {took}. For pictures use "
            "model.generate(...); for a function that can be shipped ganzoo.export(model, directory)."
        )
    made = function(**given)
    return next(iter(made.values())) if len(made) == 1 else made


def _tensors(model: keras.Model) -> tuple[Callable, dict]:
    signature = model.serving_signature()
    if "tensors" not in signature:
        raise GanzooError(
            f"{model.paper} cannot be called on tensors. Use model.generate(...), or ganzoo.export(model, directory)."
        )
    return signature["tensors"]
