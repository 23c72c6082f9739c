"""BaseGAN: the mechanics that every paper needs and no paper is about.

Here are its networks with their averages, configuration, state and what Keras calls; `steps` holds what a train_step is written
with, `batches` how it reads its data. It knows no objective: that is each paper's.
"""

import collections
import contextlib
import contextvars
import inspect
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import keras
import tensorflow as tf

from ganzoo import schedules
from ganzoo.base import habits
from ganzoo.base.batches import Batches
from ganzoo.base.guard import Guard
from ganzoo.base.parts import Part
from ganzoo.base.rates import RateIsZero
from ganzoo.base.segments import Segment, one_segment
from ganzoo.base.sharing import Sharing
from ganzoo.base.stability import Stability
from ganzoo.base.steps import Steps
from ganzoo.errors import GanzooError
from ganzoo.presets import OF_SOME_PAPERS, RunConfig, StabilityConfig, TrainConfig
from ganzoo.presets.licences import Passport

_BLANK = contextvars.ContextVar("networks begin as zeros", default=False)


@contextlib.contextmanager
def blank_networks() -> Iterator[None]:
    """Networks that `register_networks` builds in its body begin as zeros: weights follow for all that is in `state`, and random
    numbers would be drawn to be overwritten."""
    token = _BLANK.set(True)
    try:
        yield
    finally:
        _BLANK.reset(token)


class BaseGAN(Sharing, Stability, Steps, Batches, keras.Model):
    """Base of every paper's model; subclasses set the class attributes and write the paper.

    `paper`, its canonical name, is set by `@register`. Who moves in a step a paper says by the names of `Steps`; what it makes
    and takes, and how it is measured and tried, by those of `Declared`.
    """

    def __init__(self, arguments: Mapping = MappingProxyType({})):
        """Keeps the arguments of a paper's constructor, its `locals()`, as attributes of their names; `ema_decay` is one."""
        super().__init__()
        for name in self.defaults().keys() & arguments.keys():
            setattr(self, name, arguments[name])
        if not 0 <= self.ema_decay < 1:
            raise GanzooError(f"ema_decay must be in [0, 1), 0 for none; received {self.ema_decay}.")
        self.seed = 0  # of the training noise; `ganzoo.train` sets it to the run's seed before the first step
        self.weights_source = "random"
        self.passport: Passport | None = (
            None  # licence and attribution of the weights (`presets.licences`), set by `ganzoo.load`
        )
        self.preset: str | None = None  # its name, of the zoo or of the user's own
        self.run_config: RunConfig = None  # type: ignore[assignment]  # all options, set by `ganzoo.load` and `ganzoo.train`
        self.segment: Segment | None = None  # the part of a run that trains now, set by `start_segment`
        self.part: Part | None = None  # the micro-batch that a train_step sees now (`ganzoo.training.accumulation`)
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
            if not _BLANK.get():
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
        players = {key: keras.saving.serialize_keras_object(getattr(self, key)) for key in self.players}
        steadied = {"stability": self.stability.model_dump(), "images_a_step": self.images_a_step}
        return players | (steadied if self.images_a_step else {})

    def compile_from_config(self, config):
        if "stability" in config:
            self.stabilise(StabilityConfig(**config["stability"]), config["images_a_step"])
        self.compile(**{key: keras.saving.deserialize_keras_object(config[key]) for key in self.players})

    # ---- state ---------------------------------------------------------------------------------------------------
    def networks(self) -> dict[str, keras.Model]:
        """Every network that `fit` needs, by attribute name, the EMA copy included."""
        return {name: getattr(self, name) for name in self.network_names}

    def state(self) -> dict[str, keras.Variable]:
        """Weights by `<attribute>/<variable.path>`: the keys of the safetensors file.

        A Keras path contains no network name, so the attribute stands before it; two variables of one key raise.
        """
        return _keyed({name: network.weights for name, network in self.networks().items()})

    def training_state(self) -> dict[str, keras.Variable]:
        """`state()`, the slots of every optimizer and the step: all that an exact resume needs."""
        slots = _keyed({key: getattr(self, key).variables for key in self.players}, repeats=True)
        augments = self.shows_by.state() if self.shows_by else {}
        return self.state() | slots | {"step": self.step} | augments

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
        """Whether steps train the generator now, so that its samples say something of the run: not in the segment of an
        encoder."""
        return self.segment is None or self.segment.part != "encoder"

    @property
    def teaches(self) -> bool:
        """Whether steps train a helper that the rest of the run leaves as it is: in the segment of the encoder; without segments
        while the weights began as random ones."""
        if "e_optimizer" not in self.players:
            return False
        if self.segment is None:
            return self.weights_source == "random"
        return self.segment.part == "encoder"

    def start_segment(self, segment: Segment) -> None:
        """Called before the `fit` of a segment."""
        self.segment = segment
        self.train_function: Any = None  # Keras' own: what it traced belongs to the segment before

    def fit(self, *args, callbacks=None, **kwargs):
        """As Keras' own; of steps past the end of a schedule, whose learning rate is 0, a warning tells.

        Raises:
            GanzooError: a batch of another shape than `batch_signature`, or with fewer rows than there are replicas.
        """
        callbacks = [*(callbacks if isinstance(callbacks, list | tuple) else filter(None, [callbacks])), RateIsZero()]
        try:
            return super().fit(*args, callbacks=callbacks, **kwargs)
        except tf.errors.InvalidArgumentError as error:
            raise (self.misfit_in(str(error).replace('\\"', '"')) or error) from None

    def make_train_function(self, force=False):
        """As Keras' own, but that several workers take the logs as they are, which `log` has made the same on all: Keras would have
        two more all-reduces for each number of them."""
        strategy = self.distribute_strategy
        if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
            super().make_train_function(force)
            return
        if self.train_function is not None and not force:
            return

        def step(data):
            logs = strategy.run(self.train_step, args=(data,))
            return {key: strategy.experimental_local_results(value)[0] for key, value in logs.items()}

        step = step if self.run_eagerly else tf.function(step, reduce_retracing=True, jit_compile=self.jit_compile)

        def from_iterator(iterator):
            return step(iterator.get_next())

        one = from_iterator if self.run_eagerly else tf.function(from_iterator, reduce_retracing=True)

        def train_function(iterator):
            # `train_on_batch` brings a generator of one batch.
            if not isinstance(iterator, tf.distribute.DistributedIterator):
                return step(next(iterator))
            logs = None
            for _ in range(self.steps_per_execution):
                try:
                    logs = one(iterator)
                except tf.errors.OutOfRangeError:
                    break
            if logs is None:
                raise StopIteration
            return logs

        self.train_function = train_function

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

    def cached(self, key: str, make):
        """`make()` at the first call and the same object ever after: traced functions and views of a network."""
        return self._kept[key] if key in self._kept else self._kept.setdefault(key, make())


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
    """`builder` called with those of the arguments that it names and has no value for.

    Raises:
        GanzooError: it names another argument, or a variable of its network has no numbers.
    """
    wanted = [p.name for p in inspect.signature(builder).parameters.values() if p.default is p.empty]
    unknown = [name for name in wanted if name not in arguments]
    if unknown:
        raise GanzooError(
            f"A builder takes {', '.join(wanted)}, and the paper's constructor has no argument {', '.join(unknown)}: add it there, "
            "or bind it with functools.partial."
        )
    blanks: list[tuple[keras.Variable, Callable]] = []
    with _begins_as_zeros(blanks) if _BLANK.get() else contextlib.nullcontext():
        network = builder(**{name: arguments[name] for name in wanted})
    filled = {id(variable) for variable in network.weights}
    for variable, initial in blanks:
        if id(variable) not in filled:
            variable.assign(initial())
    # Keras refuses layers of width 0, layers of others do not; some kernels of oneDNN end the process at them.
    for variable in network.trainable_variables:
        if not variable.shape.num_elements():
            raise GanzooError(
                f"{variable.path} of the {network.name} has shape {tuple(variable.shape)}, which holds no numbers: all "
                "widths and counts of a network are at least 1."
            )
    return network


@contextlib.contextmanager
def _begins_as_zeros(blanks: list[tuple[keras.Variable, Callable]]) -> Iterator[None]:
    """In its body variables of layers begin as zeros, and enter `blanks`, each with what makes its own initial value."""

    def zeros(self):
        return lambda: tf.zeros(self.shape, self.dtype)  # a closure of `self`, as Keras' own is: see `variable_of`

    def create(next_creator, **options):
        initial = options["initial_value"]
        if (variable := variable_of(initial)) is not None:
            blanks.append((variable, initial))
            options["initial_value"] = zeros(variable)
        return next_creator(**options)

    with tf.variable_creator_scope(create):
        yield


def variable_of(initial) -> keras.Variable | None:
    """The Keras variable that is about to begin as `initial()`, which calls an initializer in it; None for other values."""
    made = inspect.getclosurevars(initial).nonlocals.get("self") if callable(initial) else None
    return made if isinstance(made, keras.Variable) else None
