"""Nothing that is not finite is ever applied: the test of a player's loss and gradients, and the update behind it."""

import contextlib
from collections.abc import Iterator

import keras
import tensorflow as tf

from ganzoo.errors import GanzooError

CAUSES = ("loss", "gradient")


class NotFinite(GanzooError):
    """A number of a run is NaN or infinite: `what` at `step`."""

    def __init__(self, what: str, step: int):
        super().__init__(f"{what} is not finite at step {step:,}.")
        self.what, self.step = what, step


class Guard:
    """Tests loss and gradients before each update, and remembers the first that is not finite.

    One test for all replicas together: a NaN on one of them leaves every replica as it was, and all of them know of it.
    A gradient whose norm overflows float32 counts as not finite: Adam squares it too. Not so that of a scaled float16 loss:
    there the optimizer leaves the step out, on all replicas alike, and halves its scale. The state of a run does not hold
    what is remembered here, since no state is kept after a failure (`ganzoo.training.divergence`).

    Args:
        players: names of the model's optimizers.
    """

    def __init__(self, players):
        own = {"trainable": False, "aggregation": "only_first_replica"}
        self.players = tuple(players)
        # Step (0: none), player and cause of the first failure.
        self.first = keras.Variable([0, 0, 0], dtype="int64", name="first_failure", **own)
        self.norms = {player: keras.Variable(0.0, dtype="float32", name=f"{player}_norm", **own) for player in players}

    def apply(self, optimizer, player: str, loss, gradients, variables, step, where=True) -> None:
        """`optimizer.apply_gradients`, if all is finite on all replicas and the scalar `where` is true.

        Where not, no weight, no slot and no counter moves.

        Args:
            loss: scalar, the local mean of this replica.
            gradients: of the loss divided by the number of replicas; None for a variable without one.
            step: number of the step, from 1.
        """
        context = tf.distribute.get_replica_context()
        measured = tf.stack([tf.cast(loss, tf.float32), tf.linalg.global_norm(gradients)])
        if context.num_replicas_in_sync > 1:
            measured, gradients = self.summed(measured, gradients)
        loss, norm = tf.unstack(measured)
        fine = tf.math.is_finite(loss) & tf.math.is_finite(norm)
        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            # It tests the gradients of one replica only: those of all tell it.
            told = tf.where(fine, 0.0, float("nan"))
            gradients = [None if gradient is None else gradient + told for gradient in gradients]
            fine = tf.math.is_finite(loss)
        cause = tf.where(tf.math.is_finite(loss), CAUSES.index("gradient"), CAUSES.index("loss"))
        failure = tf.cast(tf.stack([tf.cast(step, tf.int32), self.players.index(player), cause]), tf.int64)
        self.first.assign(tf.where(fine | (self.first[0] > 0), self.first.value, failure))
        self.norms[player].assign(tf.where(fine, norm, self.norms[player].value))

        def update(gradients):
            optimizer.apply_gradients(zip(gradients, variables, strict=True))

        if context.num_replicas_in_sync == 1:
            tf.cond(fine & where, lambda: _done(update(gradients)), lambda: False)
            return

        # Replicas merge inside of an update, which a tf.cond of one replica does not allow: the choice is made where they
        # are together, as Keras' LossScaleOptimizer does.
        def together(strategy, go, gradients):
            go = strategy.experimental_local_results(go)[0]
            run = strategy.extended.call_for_each_replica
            with _summed_already(optimizer):
                tf.cond(go, lambda: _done(run(update, args=(gradients,))), lambda: False)

        context.merge_call(together, args=(fine & where, gradients))

    @staticmethod
    def summed(measured: tf.Tensor, gradients: list[tf.Tensor | None]) -> tuple[tf.Tensor, list[tf.Tensor | None]]:
        """Both summed over the replicas, in one all-reduce: of several workers each one costs a way through the network and back."""
        context = tf.distribute.get_replica_context()
        present = [gradient for gradient in gradients if gradient is not None]
        measured, *sums = context.all_reduce(tf.distribute.ReduceOp.SUM, [measured, *present])
        rest = iter(sums)
        return measured, [None if gradient is None else next(rest) for gradient in gradients]

    @property
    def failed(self) -> bool:
        """Whether a step was seen whose loss or gradient is not finite."""
        return bool(keras.ops.convert_to_numpy(self.first)[0])

    def check(self) -> None:
        """Raises NotFinite if a step was seen whose loss or gradient is not finite."""
        step, player, cause = map(int, keras.ops.convert_to_numpy(self.first))
        if step:
            raise NotFinite(f"The {CAUSES[cause]} of {self.players[player]}", step)

    def reset(self) -> None:
        """Forgets the failure: the model's state is that of a step before it."""
        self.first.assign([0, 0, 0])


@contextlib.contextmanager
def _summed_already(optimizer) -> Iterator[None]:
    """While it is open, the optimizer takes gradients for the sums over the replicas, which Keras' own makes itself."""
    own = getattr(optimizer, "inner_optimizer", optimizer)
    own._all_reduce_sum_gradients = list
    try:
        yield
    finally:
        del own._all_reduce_sum_gradients


def _done(_) -> bool:
    return True
