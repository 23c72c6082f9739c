"""BaseGAN: the mechanics that every paper needs and no paper is about.

It owns optimizers by name, one scaled update, loss trackers, the EMA copy, stateless noise and the model's whole state.
It knows no objective: each paper writes its own `train_step` from `noise`, `minimize`, `update_ema` and `log`.
"""

import collections
import inspect
import re
import zlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import ClassVar

import keras
import tensorflow as tf

from ganzoo import schedules
from ganzoo.base import habits
from ganzoo.base.declared import Declared
from ganzoo.base.guard import Guard
from ganzoo.base.parts import Part
from ganzoo.base.rates import RateIsZero
from ganzoo.base.segments import Segment, one_segment
from ganzoo.errors import GanzooError
from ganzoo.layers.normalization import share_statistics
from ganzoo.presets import OF_SOME_PAPERS, TrainConfig

NO_ROWS = (
    "A replica got no row of the last batch, which has fewer rows than there are replicas: leave such a batch out "
    "(tf.data.Dataset.batch(n, drop_remainder=True)), or take a number of rows that the batch size divides."
)


class BaseGAN(Declared, keras.Model):
    """Base of every paper's model; subclasses set the class attributes and write the paper.

    Class attributes:
        paper: canonical name, set by `@register`.
        players: optimizer name -> attributes of the networks that it updates.
        logs: names of the values that `log` averages. `fooled`, the share of fakes that D takes for real, is for a D that
            tells real from fake by the sign of its logit; a critic's scores have no such zero, and its paper leaves it out.
        rounds: the players in the order of their updates; those of one round see the weights from before it.

    What it makes and takes, and how it is measured and tried, a paper says by the names of `Declared`.
    """

    paper: str
    players: ClassVar[dict[str, tuple[str, ...]]] = {"g_optimizer": ("generator",), "d_optimizer": ("discriminator",)}
    logs: ClassVar[tuple[str, ...]] = ("d_loss", "g_loss", "fooled")
    ema_decay: float = 0.0
    rounds: ClassVar[tuple[tuple[str, ...], ...]] = (("d_optimizer",), ("e_optimizer",), ("g_optimizer",))

    def __init__(self, arguments: Mapping = MappingProxyType({})):
        """Keeps the arguments of a paper's constructor, its `locals()`, as attributes of their names; `ema_decay` is one."""
        super().__init__()
        for name in self.defaults().keys() & arguments.keys():
            setattr(self, name, arguments[name])
        if not 0 <= self.ema_decay < 1:
            raise GanzooError(f"ema_decay lies in [0, 1), 0 for none; received {self.ema_decay}.")
        self.seed = 0  # of the training noise; `ganzoo.train` sets it to the run's seed before the first step
        self.weights_source = "random"
        self.passport = (
            None  # licence and attribution of the weights (`presets.licences.Passport`), set by `ganzoo.load`
        )
        self.preset = None  # its name, of the zoo or of the user's own
        self.run_config = None  # all options, set by `ganzoo.load` and `ganzoo.train`
        self.segment: Segment | None = None  # the part of a run that trains now, set by `start_segment`
        self.part: Part | None = (
            None  # the micro-batch that a train_step sees now, set by `ganzoo.training.accumulation`
        )
        self.step = keras.Variable(0, dtype="int64", trainable=False, aggregation="only_first_replica", name="step")
        self.trackers = {key: keras.metrics.Mean(name=key) for key in self.logs}
        object.__setattr__(self, "_kept", {})  # past Keras' tracking: views share variables that are tracked already

    def register_networks(self, **builders: Callable[..., keras.Model]) -> None:
        """Last line of a paper's constructor: builds its networks, in the order of the weights file.

        A builder is called with those of the constructor's arguments that it names and has no value for. With `ema_decay`
        every network called generator... has an average, `ema_<network>`, that starts as its copy and takes no gradient.

        Raises:
            GanzooError: a builder that asks for something else.
        """
        averaged = [name for name in builders if name.startswith("generator")] if self.ema_decay else []
        builders |= {f"ema_{name}": builders[name] for name in averaged}
        for attribute, builder in builders.items():
            setattr(self, attribute, build(builder, self.get_config()))
        self.network_names = tuple(builders)
        for average, network in self.averages():
            average.trainable = False
            average.set_weights(network.get_weights())
        self.built = True

    def averages(self) -> list[tuple[keras.Model, keras.Model]]:
        """(average, network) of every `ema_<network>`."""
        names = [name for name in self.network_names if name.startswith("ema_")]
        return [(getattr(self, name), getattr(self, name.removeprefix("ema_"))) for name in names]

    @property
    def full_name(self) -> str:
        """ "paper/preset" of a loaded model, or the paper alone of one that was built by its class: what records, files
        and sentences call it."""
        return f"{self.paper}/{self.preset}" if self.preset else self.paper

    # ---- configuration -------------------------------------------------------------------------------------------
    @classmethod
    def defaults(cls) -> dict:
        """The constructor's arguments with the values of its signature, which are the paper's."""
        parameters = inspect.signature(cls.__init__).parameters.values()
        return {parameter.name: parameter.default for parameter in parameters if parameter.name != "self"}

    def get_config(self):
        """The constructor's arguments by name; each is kept as an attribute of the same name."""
        return {name: getattr(self, name) for name in self.defaults()}

    def compile(self, *, run_eagerly=False, steps_per_execution=1, jit_compile=False, **optimizers):
        """Takes one optimizer for each name in `players`, for example `g_optimizer=` and `d_optimizer=`, and Keras' options.

        The optimizers are built here: a restored checkpoint finds their slots. Unknown names raise TypeError.
        """
        if set(optimizers) != set(self.players):
            raise TypeError(f"compile takes {', '.join(self.players)}; received {', '.join(optimizers) or 'none'}.")
        # "auto" would mean XLA on one GPU and not on CPUs, where the tests run.
        options = {"run_eagerly": run_eagerly, "steps_per_execution": steps_per_execution, "jit_compile": jit_compile}
        super().compile(optimizer=None, **options)
        for key, optimizer in optimizers.items():
            optimizer = keras.optimizers.get(optimizer)
            if self.compute_dtype == "float16" and not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
                # Keras wraps its own `optimizer` only. Half of a GAN's gradients would be zero without it.
                optimizer = keras.optimizers.LossScaleOptimizer(optimizer, name=f"{key}_scale")
            optimizer.build([v for name in self.players[key] for v in getattr(self, name).trainable_variables])
            setattr(self, key, optimizer)
        self.optimizer = habits.Rates(self)
        self.guard = Guard(self.players)
        gated = [player for player in self.players if self.due(player) is not True]
        for leader in [player for player in self.players if player not in gated][:1]:
            for player in gated:
                # Its schedule counts the run's steps: one that rested for most of them would else stay at its first rate.
                schedules.follow(
                    getattr(self, player), getattr(self, leader), (self.updates[player], self.updates[leader])
                )

    def get_compile_config(self):
        return {key: keras.saving.serialize_keras_object(getattr(self, key)) for key in self.players}

    def compile_from_config(self, config):
        self.compile(**{key: keras.saving.deserialize_keras_object(value) for key, value in config.items()})

    # ---- state ---------------------------------------------------------------------------------------------------
    def networks(self) -> dict[str, keras.Model]:
        """Every network that `fit` needs, by attribute name, the EMA copy included."""
        return {name: getattr(self, name) for name in self.network_names}

    def state(self) -> dict[str, keras.Variable]:
        """Weights by `<attribute>/<variable.path>`: the keys of the safetensors file.

        A Keras path holds no network name, so the attribute stands before it; two variables of one key raise.
        """
        return _keyed({name: network.weights for name, network in self.networks().items()})

    def training_state(self) -> dict[str, keras.Variable]:
        """`state()`, the slots of every optimizer and the step: all that an exact resume needs."""
        slots = _keyed({key: getattr(self, key).variables for key in self.players}, repeats=True)
        return self.state() | slots | {"step": self.step}

    @property
    def metrics(self):
        return list(self.trackers.values())

    # ---- the parts of a run -------------------------------------------------------------------------------------
    def segments(self, train: TrainConfig) -> list[Segment]:
        """The parts of a run, one `fit` each: one, but for papers whose training changes on the way.

        Raises:
            GanzooError: an option that not every paper takes, and that this one does not declare.
        """
        for option, without in OF_SOME_PAPERS.items():
            if getattr(train, option) and option not in self.train_options:
                raise GanzooError(f"{self.paper} {without}: leave train.{option} out.")
        return one_segment(train)

    @property
    def trains_generator(self) -> bool:
        """Whether steps train the generator now, so that its samples say something of the run."""
        return True

    def why_not_accumulate(self) -> str:
        """What of a step cannot be worked off in micro-batches (`train.accumulate`); "" if all can."""
        return ""

    @property
    def updates(self) -> dict[str, int]:
        """Player -> how often a train_step calls `minimize` for it, once but for papers that say more (`wgan-gp`)."""
        return dict.fromkeys(self.players, 1)

    def due(self, player: str) -> bool | tf.Tensor:
        """Whether the player moves in this step: true, or of a paper whose player sits steps out a scalar bool tensor, for
        example `self.step.value % 5 == 4`. Where it is false no weight, no slot and no count of Adam's moves."""
        return True

    def start_segment(self, segment: Segment) -> None:
        """Called before the `fit` of a segment."""
        self.segment = segment
        self.train_function = None  # Keras' own: what it traced belongs to the segment before

    # ---- the four verbs of a train_step --------------------------------------------------------------------------
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
        the backward pass is left out."""
        optimizer, replicas = getattr(self, player), tf.distribute.get_strategy().num_replicas_in_sync
        scale = tf.ones_like(loss) / replicas
        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            scale = optimizer.scale_loss(scale)
        # keras.Variable.value is what the tape watched.
        variables = [v.value for v in self.trainable_of(player)]
        due = self.due(player)
        if due is True:
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

        `decay` is `ema_decay` unless a paper has another for this step.
        """
        if self.part is not None:
            self.part.averages = [decay]
            return
        every = self.ema_decay if decay is None else decay
        for average, network in self.averages():
            for shadow, weight in zip(average.weights, network.weights, strict=True):
                decay = every if weight.trainable else 0.0
                shadow.assign(decay * shadow.value + (1 - decay) * weight.value)

    def log(self, **values) -> dict[str, tf.Tensor]:
        """Ends a train_step: shares the batch statistics of replicas, counts the step, averages the values and returns the
        running means. Of a micro-batch, returns the values.

        Every value is a mean over the rows of the batch: only such a one is the same for replicas and for micro-batches,
        whose values are averaged. Of a player with several `updates`, it is that of the last one.
        """
        if self.part is not None:
            return values
        share_statistics(self.networks().values())
        self.step.assign_add(1)
        for key, value in values.items():
            self.trackers[key].update_state(value)
        means = {key: self.trackers[key].result() for key in values}
        # Keras' trainer averages the logs of several workers over their first axis (keras#20585).
        several = isinstance(tf.distribute.get_strategy(), tf.distribute.MultiWorkerMirroredStrategy)
        return {key: mean[None] for key, mean in means.items()} if several else means

    def fit(self, *args, callbacks=None, **kwargs):
        """As Keras' own; of steps past the end of a schedule, whose learning rate is 0, a warning tells.

        Raises:
            GanzooError: a batch of another shape than `batch_signature`, or with fewer rows than there are replicas.
        """
        callbacks = [*(callbacks if isinstance(callbacks, list | tuple) else filter(None, [callbacks])), RateIsZero()]
        try:
            return super().fit(*args, callbacks=callbacks, **kwargs)
        except tf.errors.InvalidArgumentError as error:
            raise (self._said(str(error).replace('\\"', '"')) or error) from None

    def _said(self, error: str) -> GanzooError | None:
        """Our sentence in TensorFlow's error of a batch that was looked at when it came."""
        if NO_ROWS in error:
            return GanzooError(NO_ROWS)
        for text in map(self._misfit, self.batch_signature()):
            if found := re.search(rf"{re.escape(text)}[^\n]*?\[([\d ]+)\]", error):
                return GanzooError(text + shape_text(found[1].split()))
        return None

    def test_step(self, data) -> dict[str, tf.Tensor]:
        """What a train_step of these data would log, while nobody moves: `evaluate` and `validation_data` of Keras."""
        self.part = Part(1, 0, [])
        try:
            with keras.StatelessScope():  # batch statistics are not kept either
                values = self.train_step(data)
        finally:
            self.part = None
        for key, value in values.items():
            self.trackers[key].update_state(value)
        return {key: self.trackers[key].result() for key in values}

    def call(self, inputs, training=False):
        """The `tensors` endpoint: float images in [-1, 1] (or voxels) of latents or of images; `predict` calls it batch by
        batch. A model with several inputs takes them as a dict by name.

        Raises:
            GanzooError: other inputs; the sentence names `generate`.
        """
        return habits.outputs_of(self, inputs)

    def export(self, *args, **kwargs):
        """Raises GanzooError: a model of the zoo is exported by `ganzoo.export`, with its endpoints."""
        raise GanzooError(
            'Export this model with ganzoo.export(model, "directory"): it writes a SavedModel with its endpoints.'
        )

    def _maybe_symbolic_build(self, *args, **kwargs):
        """Nothing: the networks are built. Keras' own averages a batch over replicas, which strings have no mean for."""

    # ---- data and sampling ---------------------------------------------------------------------------------------
    @property
    def sampler(self) -> keras.Model:
        """The generator that samples: the EMA copy if there is one."""
        return self.ema_generator if self.ema_decay else self.generator

    def unpack(self, data) -> list[tf.Tensor]:
        """The tensors of a batch in the order of `batch_signature`, from a dict, a tuple or a lone tensor.

        uint8 images 0..255 become floats in [-1, 1], as in `generate`. Raises GanzooError for a batch of another shape.
        """
        names = list(self.batch_signature())
        while isinstance(data, tuple | list) and len(data) == 1:  # Keras wraps what `fit` gets as x
            data = data[0]
        if isinstance(data, dict):
            missing = [name for name in names if name not in data]
            if missing:
                raise GanzooError(f"{self.paper} trains on batches with {names}; received a dict of {sorted(data)}.")
            return [self._checked(name, data[name]) for name in names]
        values = list(data) if isinstance(data, tuple | list) else [data]
        while values and values[-1] is None:  # train_on_batch adds y and sample_weight
            values.pop()
        if len(values) == 1 and isinstance(values[0], dict):
            return self.unpack(values[0])
        if len(values) != len(names):
            raise GanzooError(f"{self.paper} trains on batches with {names}; received {len(values)} tensor(s).")
        return [self._checked(name, value) for name, value in zip(names, values, strict=True)]

    def _checked(self, name: str, value) -> tf.Tensor:
        """A tensor of a batch, which has the shape that `batch_signature` says, and rows."""
        value, shape = tf.convert_to_tensor(value), self.batch_signature()[name].shape
        if not self.fits(name, value.shape[1:]):
            raise GanzooError(self._misfit(name) + shape_text(value.shape[1:]))
        checks = []
        if len(shape) > 3 and not value.shape[1:].is_fully_defined():
            # Keras relaxes what it has traced before, and so what comes is known when it comes.
            found = tf.shape(value)
            sides = [found[i] % self.stride == 0 if n is None else found[i] == n for i, n in enumerate(shape) if i]
            checks.append(tf.debugging.Assert(tf.reduce_all(sides), [self._misfit(name), found[1:]]))
        if tf.distribute.get_strategy().num_replicas_in_sync > 1:
            # Of a last batch with fewer rows than replicas one gets none, and the mean over no rows is no number.
            checks.append(tf.debugging.assert_positive(tf.shape(value)[0], NO_ROWS))
        if checks:
            with tf.control_dependencies(checks):
                value = tf.identity(value)
        return _signed(tf.ensure_shape(value, shape) if len(shape) > 3 else value)

    def _misfit(self, name: str) -> str:
        return f'{self.full_name} trains on batches of "{name}" of {self.wants(name)} each; received '

    def wants(self, name: str) -> str:
        """The shape of an item of a column, for a sentence."""
        shape = self.batch_signature()[name].shape[1:]
        sides = f", sides of a multiple of {self.stride}" if None in shape and self.stride > 1 else ""
        return shape_text(shape) + sides

    def fits(self, name: str, shape) -> bool:
        """Whether an item (no batch axis) of this shape is one of the column that `batch_signature` names.

        Of sentences, embeddings and labels there may be several for an item; only the last axes are looked at.
        """
        wanted = self.batch_signature()[name].shape[1:]
        if tf.TensorShape(shape).rank is None:
            return True
        if len(wanted) < 3:
            return not len(wanted) or wanted.is_compatible_with(shape[-len(wanted) :])
        open_sides = [side for side, size in zip(shape, wanted, strict=False) if size is None and side is not None]
        return wanted.is_compatible_with(shape) and all(side % self.stride == 0 for side in open_sides)

    def cached(self, key: str, make):
        """`make()` at the first call and the same object ever after: traced functions and views of a network."""
        return self._kept[key] if key in self._kept else self._kept.setdefault(key, make())


def shape_text(shape) -> str:
    """A shape for a sentence: (any, 64, 64, 3)."""
    return f"({', '.join('any' if size is None else str(size) for size in shape)})"


def _signed(images):
    return tf.cast(images, tf.float32) / 127.5 - 1 if tf.as_dtype(images.dtype) == tf.uint8 else images


def _keyed(groups: dict[str, list], repeats: bool = False) -> dict[str, keras.Variable]:
    """Variables by "<group>/<path>". `repeats`: the slots of a player's second network of the same layers end in "#2";
    an optimizer lists them in the order of `players`."""
    keyed: dict[str, keras.Variable] = {}
    seen: collections.Counter[str] = collections.Counter()
    for group, variables in groups.items():
        for variable in variables:
            key = f"{group}/{variable.path}"
            seen[key] += 1
            if repeats and seen[key] > 1:
                key = f"{key}#{seen[key]}"
            if key in keyed:
                raise ValueError(f"Two variables share the key {key}: name every layer by hand.")
            keyed[key] = variable
    return keyed


def build(builder: Callable[..., keras.Model], arguments: Mapping) -> keras.Model:
    """`builder` called with those of the arguments that it names and has no value for."""
    wanted = [p.name for p in inspect.signature(builder).parameters.values() if p.default is p.empty]
    unknown = [name for name in wanted if name not in arguments]
    if unknown:
        raise GanzooError(
            f"A builder takes {', '.join(wanted)}, and the paper's constructor has no argument {', '.join(unknown)}: add it there, "
            "or bind it with functools.partial."
        )
    return builder(**{name: arguments[name] for name in wanted})
