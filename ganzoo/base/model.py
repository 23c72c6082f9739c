"""BaseGAN: the mechanics that every paper needs and no paper is about.

It owns optimizers by name, one scaled update, loss trackers, the EMA copy, stateless noise and the model's whole state.
It knows no objective: each paper writes its own `train_step` from `noise`, `minimize`, `update_ema` and `log`.
"""

import collections
import inspect
import zlib
from collections.abc import Callable, Mapping
from typing import ClassVar

import keras
import tensorflow as tf

from ganzoo import schedules
from ganzoo.base.guard import Guard
from ganzoo.base.segments import Segment, one_segment
from ganzoo.errors import GanzooError
from ganzoo.layers.normalization import share_statistics
from ganzoo.presets import TrainConfig


class BaseGAN(keras.Model):
    """Base of every paper's model; subclasses set the class attributes and write the paper.

    Class attributes:
        paper: canonical name, set by `@register`.
        task: "latent" (generate(n, seed=)), "image" (generate(images, seed=)) or "text" (generate(texts, seed=)).
        players: optimizer name -> attributes of the networks that it updates.
        logs: names of the values that `log` averages. `fooled`, the share of fakes that D takes for real, is for a D that
            tells real from fake by the sign of its logit; a critic's scores have no such zero, and its paper leaves it out.
        float32_keys: regular expression of the keys of `state` that a float16 file keeps in float32; "" for none.
        evaluation_kwargs: arguments of `generate` while samples are measured, where its defaults flatter them.
        classes: of the labels that `generate` and `images_of` take; 0 for an unconditional model.
        rounds: the players in the order of their updates; those of one round see the weights from before it.
        batch_unit: constructor argument that says in how many parts a step divides its rows, or into groups of how many:
            rows are a multiple of it; "" for none.
    """

    paper: str
    task: str
    players: ClassVar[dict[str, tuple[str, ...]]] = {"g_optimizer": ("generator",), "d_optimizer": ("discriminator",)}
    logs: ClassVar[tuple[str, ...]] = ("d_loss", "g_loss", "fooled")
    evaluation_kwargs: ClassVar[dict] = {}
    float32_keys: ClassVar[str] = ""
    classes: int = 0
    ema_decay: float = 0.0
    rounds: ClassVar[tuple[tuple[str, ...], ...]] = (("d_optimizer",), ("e_optimizer",), ("g_optimizer",))
    batch_unit: ClassVar[str] = ""

    def __init__(self, arguments: dict):
        """Keeps the arguments of a paper's constructor, its `locals()`, as attributes of their names; `ema_decay` is one."""
        super().__init__()
        for name in self.defaults():
            setattr(self, name, arguments[name])
        if not 0 <= self.ema_decay < 1:
            raise GanzooError(f"ema_decay lies in [0, 1), 0 for none; received {self.ema_decay}.")
        self.seed = 0  # of the training noise; `ganzoo.train` sets it to the run's seed before the first step
        self.weights_source = "random"
        self.preset = None  # its name, of the zoo or of the user's own
        self.run_config = None  # all options, set by `ganzoo.load` and `ganzoo.train`
        self.segment = None  # the part of a run that trains now, set by `start_segment`
        self.part = None  # the micro-batch that a train_step sees now, set by `ganzoo.training.accumulation`
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

    # ---- configuration -------------------------------------------------------------------------------------------
    @classmethod
    def defaults(cls) -> dict:
        """The constructor's arguments with the values of its signature, which are the paper's."""
        parameters = inspect.signature(cls.__init__).parameters.values()
        return {parameter.name: parameter.default for parameter in parameters if parameter.name != "self"}

    def get_config(self):
        """The constructor's arguments by name; each is kept as an attribute of the same name."""
        return {name: getattr(self, name) for name in self.defaults()}

    def compile(self, **optimizers):
        """Takes one optimizer for each name in `players`, for example `g_optimizer=` and `d_optimizer=`.

        The optimizers are built here: a restored checkpoint finds their slots. Unknown names raise TypeError.
        """
        if set(optimizers) != set(self.players):
            raise TypeError(f"compile takes {', '.join(self.players)}; received {', '.join(optimizers) or 'none'}.")
        # "auto" would mean XLA on one GPU and not on CPUs, where the tests run.
        super().compile(optimizer=None, jit_compile=False)
        for key, optimizer in optimizers.items():
            optimizer = keras.optimizers.get(optimizer)
            if self.compute_dtype == "float16" and not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
                # Keras wraps its own `optimizer` only. Half of a GAN's gradients would be zero without it.
                optimizer = keras.optimizers.LossScaleOptimizer(optimizer, name=f"{key}_scale")
            optimizer.build([v for name in self.players[key] for v in getattr(self, name).trainable_variables])
            setattr(self, key, optimizer)
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
            GanzooError: `train.growth` for a paper that does not grow, `train.encoder_steps` for one without a text encoder.
        """
        if train.growth:
            raise GanzooError(f"{self.paper} trains at one size: leave train.growth out.")
        if train.encoder_steps:
            raise GanzooError(f"{self.paper} has no text encoder to train first: leave train.encoder_steps out.")
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

    def _maybe_symbolic_build(self, *args, **kwargs):
        """Nothing: the networks are built. Keras' own averages a batch over replicas, which strings have no mean for."""

    # ---- data and sampling ---------------------------------------------------------------------------------------
    @property
    def sampler(self) -> keras.Model:
        """The generator that samples: the EMA copy if there is one."""
        return self.ema_generator if self.ema_decay else self.generator

    def batch_signature(self) -> dict[str, tf.TensorSpec]:
        """What a batch of `fit`'s data set must hold: name -> shape and dtype, batch dimension None."""
        raise NotImplementedError(f"{type(self).__name__} must say what data it trains on")

    def portable_signature(self) -> dict[str, tuple]:
        """What formats beside SavedModel (ONNX, LiteRT) hold, name -> (function, inputs by name) as in `serving_signature`:
        its endpoints without strings and seeds. They convert neither strings nor PNG nor stateless random numbers."""
        return {
            name: (function, inputs)
            for name, (function, inputs) in self.serving_signature().items()
            if "seed" not in inputs and all(spec.dtype != tf.string for spec in inputs.values())
        }

    def unpack(self, data) -> list[tf.Tensor]:
        """The tensors of a batch in the order of `batch_signature`, from a dict, a tuple or a lone tensor.

        uint8 images 0..255 become floats in [-1, 1], as in `generate`.
        """
        names = list(self.batch_signature())
        while isinstance(data, tuple | list) and len(data) == 1:  # Keras wraps what `fit` gets as x
            data = data[0]
        if isinstance(data, dict):
            missing = [name for name in names if name not in data]
            if missing:
                raise GanzooError(f"{self.paper} trains on batches with {names}; received a dict of {sorted(data)}.")
            return [_signed(data[name]) for name in names]
        values = list(data) if isinstance(data, tuple | list) else [data]
        if len(values) != len(names):
            raise GanzooError(f"{self.paper} trains on batches with {names}; received {len(values)} tensor(s).")
        return [_signed(value) for value in values]

    def cached(self, key: str, make):
        """`make()` at the first call and the same object ever after: traced functions and views of a network."""
        return self._kept[key] if key in self._kept else self._kept.setdefault(key, make())

    def pictures(self, samples):
        """uint8 pictures (n, H, W, C) that show samples of `generate`: themselves, where these are pictures."""
        return samples

    def examples(self, n: int, seed: int, **options):
        """`generate(n, seed=seed)` for sample grids and checks of a run; models with classes show them in turn."""
        return self.generate(n, seed=seed, **options)

    def init_from_data(self, source) -> None:
        """Sets what a paper takes from the training set before step 1. Most take nothing; see `gan`."""

    def finalize(self) -> None:
        """Called before weights are saved. Nets that sample with moving statistics recompute them here."""


def _signed(images):
    return tf.cast(images, tf.float32) / 127.5 - 1 if tf.as_dtype(images.dtype) == tf.uint8 else images


def _keyed(groups: dict[str, list], repeats: bool = False) -> dict[str, keras.Variable]:
    """Variables by "<group>/<path>". `repeats`: the slots of a player's second network of the same layers end in "#2";
    an optimizer lists them in the order of `players`."""
    keyed, seen = {}, collections.Counter()
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


def model_name(model: BaseGAN) -> str:
    """ "paper/preset" of a loaded model, or the paper alone where it was built without a preset."""
    return f"{model.paper}/{model.preset}" if model.preset else model.paper
