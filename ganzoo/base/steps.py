"""Steps: who moves in a train_step, and the four verbs that it is written with."""

import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import keras
import tensorflow as tf

from ganzoo.base.guard import Guard
from ganzoo.base.parts import Part
from ganzoo.errors import GanzooError
from ganzoo.layers.normalization import share_statistics
from ganzoo.presets import StabilityConfig


class Steps:
    """The part of `BaseGAN` that a train_step uses.

    Class attributes:
        players: optimizer name -> attributes of the networks that it updates.
        logs: names of the values that `log` averages. `fooled`, the share of fakes that D takes for real, is for a D that
            tells real from fake by the sign of its logit; a critic's scores have no such zero, and its paper leaves it out.
        rounds: the players in the order of their updates; those of one round see the weights from before it.
        ema_decay: of the averaged generator; 0 for none.
    """

    paper: str
    players: Mapping[str, tuple[str, ...]] = {"g_optimizer": ("generator",), "d_optimizer": ("discriminator",)}
    logs: tuple[str, ...] = ("d_loss", "g_loss", "fooled")
    ema_decay: float = 0.0
    rounds: ClassVar[tuple[tuple[str, ...], ...]] = (("d_optimizer",), ("e_optimizer",), ("g_optimizer",))

    seed: int  # of the training noise
    step: keras.Variable
    part: Part | None  # the micro-batch that a train_step sees now
    guard: Guard
    trackers: dict[str, keras.metrics.Mean]

    if TYPE_CHECKING:  # of `BaseGAN`
        stability: StabilityConfig

        @property
        def decay(self) -> float | tf.Tensor: ...

        def networks(self) -> dict[str, keras.Model]: ...

        def averages(self) -> list[tuple[keras.Model, keras.Model]]: ...

    @property
    def updates(self) -> dict[str, int]:
        """Player -> how often a train_step calls `minimize` for it, once but for papers that say more (`wgan-gp`)."""
        return dict.fromkeys(self.players, 1)

    def due(self, player: str) -> bool | tf.Tensor:
        """Whether the player moves in this step: true, or of a paper whose player sits steps out a scalar bool tensor, for
        example `self.step.value % 5 == 4`. Where it is false no weight, no slot and no count of Adam's moves."""
        if player == "g_optimizer" and self.stability.d_steps > 1:
            return tf.equal((self.step.value + 1) % self.stability.d_steps, 0)
        return True

    def why_not_accumulate(self) -> str:
        """What of a step cannot be worked off in micro-batches (`train.accumulate`); "" if all can."""
        return ""

    # ---- the verbs ---------------------------------------------------------------------------------------------------
    def noise(self, draw, stream: str, rows: int, shape=()) -> tf.Tensor:
        """`rows` rows of `draw([global rows, *shape], seed)`, seeded by (run seed, stream, step).

        Noise belongs to the global batch and each replica takes its own rows, so that N replicas train as one does;
        it depends on the step alone, so that a resumed run draws what the uninterrupted one drew. The same holds for the
        micro-batches of a replica.
        """
        context = tf.distribute.get_replica_context()
        shares, share = context.num_replicas_in_sync, context.replica_id_in_sync_group
        if self.part is not None:
            shares, share = shares * self.part.count, share * self.part.count + self.part.index
        drawn = draw([rows * shares, *shape], seed=self.stream_seed(stream))
        return drawn[share * rows : (share + 1) * rows]

    def row_noise_seeds(self, stream: str, rows: int) -> tf.Tensor:
        """int32 (rows, 2): one seed for each row of the global batch of this step, for `layers.RowUniform`."""

        def bits(shape, seed):
            return tf.random.stateless_uniform(shape, seed, None, None, tf.int32)

        # Drawn, not counted up: stream_seed ends in the step itself, and (step, row + 1) would be (step + 1, row).
        return self.noise(bits, stream, rows, [2])

    def stream_seed(self, stream: str) -> tf.Tensor:
        """int32 (2,): the stateless seed of (run seed, stream, current step)."""
        fold = tf.random.experimental.stateless_fold_in
        run_seed = tf.constant([self.seed & 0x7FFFFFFF, zlib.crc32(stream.encode()) & 0x7FFFFFFF], tf.int32)
        return fold(run_seed, tf.cast(self.step.value, tf.int32))

    def minimize(self, tape: tf.GradientTape, loss: tf.Tensor, player: str, turn: int = 0) -> None:
        """One update of the player's networks; `loss` is a plain local mean. In a micro-batch it waits for the others.

        Args:
            turn: which of the player's `updates` in this step it is, from 0.

        Raises:
            GanzooError: a turn that `updates` does not declare, or (in a micro-batch) one that was there before.
        """
        if turn >= self.updates[player]:
            raise GanzooError(
                f"{self.paper} declares {self.updates[player]} update(s) of {player} in a step, and minimize was called with "
                f"turn = {turn}. Say how many there are in {type(self).__name__}.updates."
            )
        if self.part is None:
            self.update(player, loss, self.gradients(tape, loss, player))
        elif (player, turn) in self.part.gradients:
            raise GanzooError(
                f"{self.paper} called minimize twice for turn {turn} of {player} in one step, and one of the updates would be lost. "
                f"Declare them in {type(self).__name__}.updates and number them: minimize(tape, loss, player, turn)."
            )
        elif (player, turn) in self.part.turns:
            self.part.gradients[player, turn] = self.gradients(tape, loss, player)
            self.part.losses[player, turn] = loss

    def gradients(self, tape: tf.GradientTape, loss: tf.Tensor, player: str) -> list[tf.Tensor | None]:
        """Of the loss, for `trainable_of(player)`. `update` sums over replicas, so the division by their number happens here
        and nowhere else; so does the scaling of a float16 loss, which the optimizer undoes. Where the player is not due,
        the backward pass is left out on one device; `update` applies none of it anywhere."""
        optimizer, replicas = getattr(self, player), tf.distribute.get_strategy().num_replicas_in_sync
        scale = tf.ones_like(loss) / replicas
        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            scale = optimizer.scale_loss(scale)
        # keras.Variable.value is what the tape watched.
        variables = [v.value for v in self.trainable_of(player)]
        due = self.due(player)
        if (
            due is True or replicas > 1
        ):  # replicas meet in the backward pass of a synchronised batch norm, and cannot in a branch
            return tape.gradient(loss, variables, output_gradients=scale)
        zero = tf.UnconnectedGradients.ZERO
        return tf.cond(
            due,
            lambda: tape.gradient(loss, variables, output_gradients=scale, unconnected_gradients=zero),
            lambda: [tf.zeros_like(variable) for variable in variables],
        )

    def update(self, player: str, loss: tf.Tensor, gradients: list[tf.Tensor | None]) -> None:
        """Applies the gradients of `trainable_of(player)` where all of them and the loss are finite, and the player is due."""
        optimizer, variables = getattr(self, player), self.trainable_of(player)
        self.guard.apply(optimizer, player, loss, gradients, variables, self.step.value + 1, self.due(player))

    def trainable_of(self, player: str) -> list[keras.Variable]:
        """The variables that an update of the player moves: all that its networks train."""
        return [v for name in self.players[player] for v in getattr(self, name).trainable_variables]

    def update_ema(self, decay: float | None = None) -> None:
        """shadow = decay * shadow + (1 - decay) * weight; batch statistics are copied. Nothing without ema_decay.

        `decay` is that of `Stability.decay`, `ema_decay` without options, unless a paper has another for this step.
        """
        if self.part is not None:
            self.part.averages = [decay]
            return
        every = self.decay if decay is None else decay
        for average, network in self.averages():
            for shadow, weight in zip(average.weights, network.weights, strict=True):
                decay = every if weight.trainable else 0.0
                shadow.assign(decay * shadow.value + (1 - decay) * weight.value)

    def log(self, **values) -> dict[str, tf.Tensor]:
        """Ends a train_step: shares the batch statistics and the values of replicas, counts the step and returns the running
        means, which are the same on all of them. Of a micro-batch, returns the values.

        Every value is a mean over the rows of the batch: only such a one is the same for replicas and for micro-batches,
        whose values are averaged. Of a player with several `updates`, it is that of the last one.
        """
        if self.part is not None:
            return values
        values = share_statistics(self.networks().values(), values)
        self.step.assign_add(1)
        for key, value in values.items():
            self.trackers[key].update_state(value)
        return {key: self.trackers[key].result() for key in values}
