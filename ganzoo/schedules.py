"""Optimizers, registered schedules and the segments of a run, from their tables in a preset."""

import dataclasses
import math

import keras
import tensorflow as tf
from keras import ops

from ganzoo.errors import GanzooError
from ganzoo.presets import OptimizerConfig, TrainConfig


@keras.saving.register_keras_serializable("ganzoo")
class DividedToFloor(keras.optimizers.schedules.LearningRateSchedule):
    """rate = max(initial / factor^step, floor): pylearn2's ExponentialDecay, as Goodfellow et al. 2014 used it."""

    def __init__(self, initial, factor, floor):
        self.initial, self.factor, self.floor = initial, factor, floor

    def __call__(self, step):
        step = ops.cast(step, "float32")
        # The logarithm in double precision: factor - 1 is 4e-6, of which float32 keeps two digits.
        return ops.maximum(self.initial * ops.exp(-step * math.log(self.factor)), self.floor)

    def get_config(self):
        return {"initial": self.initial, "factor": self.factor, "floor": self.floor}


@keras.saving.register_keras_serializable("ganzoo")
class ConstantThenLinear(keras.optimizers.schedules.LearningRateSchedule):
    """The initial rate for `constant_steps`, then linear to zero over `decay_steps` (pix2pix and CycleGAN in PyTorch).

    With `epoch_steps` the rate changes between epochs of so many steps only, and as the PyTorch code has it: N constant and
    D falling epochs give 1 - max(0, e + 1 - N) / (D + 1) of the rate in epoch e = 0, 1, ..., which ends at 1 / (D + 1).
    """

    def __init__(self, initial, constant_steps, decay_steps, epoch_steps=None):
        self.initial, self.constant_steps, self.decay_steps = initial, constant_steps, decay_steps
        self.epoch_steps = epoch_steps

    def __call__(self, step):
        if self.epoch_steps:
            constant, decay = self.constant_steps // self.epoch_steps, self.decay_steps // self.epoch_steps
            epoch = ops.cast(ops.floor_divide(ops.cast(step, "int64"), self.epoch_steps), "float32")
            left = decay + 1 - ops.maximum(epoch + 1 - constant, 0.0)
            return self.initial * ops.maximum(left, 0.0) / (decay + 1)
        past = ops.maximum(ops.cast(step, "float32") - self.constant_steps, 0.0)
        return self.initial * ops.maximum(1.0 - past / self.decay_steps, 0.0)

    def get_config(self):
        steps = {"constant_steps": self.constant_steps, "decay_steps": self.decay_steps}
        return {"initial": self.initial, **steps, "epoch_steps": self.epoch_steps}


@keras.saving.register_keras_serializable("ganzoo")
class RisingMomentumSGD(keras.optimizers.SGD):
    """SGD whose momentum rises linearly from `momentum` to `momentum_end` over `momentum_steps` updates."""

    def __init__(self, *, momentum_end, momentum_steps, **kwargs):
        super().__init__(**kwargs)
        self.momentum_end, self.momentum_steps = momentum_end, momentum_steps

    def build(self, variables):
        built = self.built
        super().build(variables)
        if not built and not self.momentum:  # SGD makes no slots for a momentum that begins at 0
            self.momentums = self.add_optimizer_variables(variables, "momentum")

    def update_step(self, gradient, variable, learning_rate):
        rate = ops.cast(learning_rate, variable.dtype)
        progress = ops.minimum(ops.cast(self.iterations, variable.dtype) / self.momentum_steps, 1.0)
        momentum = self.momentum + (self.momentum_end - self.momentum) * progress
        slot = self.momentums[self._get_variable_index(variable)]
        velocity = momentum * slot - rate * ops.cast(gradient, variable.dtype)
        self.assign(slot, velocity)
        self.assign_add(variable, velocity)

    def get_config(self):
        return super().get_config() | {"momentum_end": self.momentum_end, "momentum_steps": self.momentum_steps}


@keras.saving.register_keras_serializable("ganzoo")
class FusedAdam(keras.optimizers.Adam):
    """`keras.optimizers.Adam` with TensorFlow's one-pass kernel: same formula, slots and numbers to rounding.

    Keras writes each update as a chain of whole-tensor operations. For pix2pix's 54 M parameters on two cores the chain
    took 0.18 s a step, the kernel 0.07 s. `amsgrad` is not offered.
    """

    def update_step(self, gradient, variable, learning_rate):
        slot = self._get_variable_index(variable)
        t = tf.cast(self.iterations.value + 1, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=_handle(variable),
            m=_handle(self._momentums[slot]),
            v=_handle(self._velocities[slot]),
            beta1_power=tf.pow(self.beta_1, t),
            beta2_power=tf.pow(self.beta_2, t),
            lr=tf.cast(learning_rate, tf.float32),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.cast(gradient, variable.dtype),
        )


def _handle(variable):
    """The resource of a Keras variable, or of the replica's own copy that `tf.distribute` passes instead."""
    return (variable.value if isinstance(variable, keras.Variable) else variable).handle


def learning_rate(config: OptimizerConfig, factor: float = 1.0):
    """The rate of a preset's table, times `factor` at every step: a float or a schedule."""
    rate = factor * config.learning_rate
    if config.decay > 1:
        return DividedToFloor(rate, config.decay, factor * config.learning_rate_min)
    if config.decay_steps:
        return ConstantThenLinear(rate, config.constant_steps or 0, config.decay_steps, config.epoch_steps)
    return rate


def optimizer(config: OptimizerConfig, name: str) -> keras.optimizers.Optimizer:
    """The Keras optimizer of a preset's table; `name` keys its slots in a checkpoint."""
    rate = learning_rate(config)
    if config.name == "adam":
        return FusedAdam(rate, config.beta_1, config.beta_2, config.epsilon, name=name)
    if config.momentum_end is not None:
        end, steps = config.momentum_end, config.momentum_steps
        return RisingMomentumSGD(
            learning_rate=rate, momentum=config.momentum, momentum_end=end, momentum_steps=steps, name=name
        )
    return keras.optimizers.SGD(rate, config.momentum, name=name)


@dataclasses.dataclass(frozen=True)
class Segment:
    """Part of a run under one set of options, one `fit`.

    first_step, steps, first_image: where it lies in the run. pace: its batch size against `train.batch_size`. size: of
    the pictures, None for the data's own. fade, fade_from: this size fades in over so many images from that image on; 0
    for a size that stands. learning_rate: of all players, None for their own. part: its name, where parts train different networks.
    """

    first_step: int
    steps: int
    first_image: int
    batch_size: int
    pace: float = 1.0
    size: int | None = None
    fade: int = 0
    fade_from: int = 0
    learning_rate: float | None = None
    part: str = ""

    @property
    def end(self) -> int:
        """The step after its last."""
        return self.first_step + self.steps

    def faded(self, step) -> tf.Tensor:
        """How much of the smaller size is left at this step of the run, 1 to 0: the fraction of the paper's lod."""
        image = self.first_image + (tf.cast(step, tf.int64) - self.first_step) * self.batch_size
        return tf.clip_by_value(1 - tf.cast(image - self.fade_from, tf.float32) / self.fade, 0.0, 1.0)


def one_segment(train: TrainConfig) -> list[Segment]:
    """The whole run under the same options."""
    return [Segment(0, train.steps, 0, train.batch_size)]


def growing_segments(train: TrainConfig, image_size: int) -> list[Segment]:
    """The segments of `train.growth`: a size stands, the next one fades in, stands, ... up to `image_size`.

    Borders are counted in images and lie where StyleGAN's training_schedule has them: a size stands up to the border and
    with it, a fade ends at it. So they do not depend on `train.steps`, which only says where the run ends.

    Raises:
        GanzooError: no doubling leads from the first size to the last.
    """
    growth = train.growth
    sizes = [growth.start_size]
    while sizes[-1] < image_size:
        sizes.append(2 * sizes[-1])
    if sizes[-1] != image_size:
        raise GanzooError(f"train.growth.start_size {sizes[0]} does not double to image_size {image_size}.")
    phases = [(size, fades) for size in sizes for fades in (True, False)][1:]
    segments, step, image, border = [], 0, 0, 0
    for i, (size, fades) in enumerate(phases):
        batch = growth.batch_sizes.get(str(size), train.batch_size)
        began, border = border, border + (growth.fade if fades else growth.stable)
        steps = -((image - border) // batch) if fades else (border - image) // batch + 1
        left = train.steps - step
        steps = left if i == len(phases) - 1 else min(max(steps, 0), left)
        if steps:
            fade = {"fade": growth.fade, "fade_from": began} if fades else {}
            rate = growth.learning_rates.get(str(size))
            pace = batch / train.batch_size
            segments.append(Segment(step, steps, image, batch, pace, size, learning_rate=rate, **fade))
        step, image = step + steps, image + steps * batch
    return segments


def images_seen(segments: list[Segment], step: int) -> int:
    """Images in the first `step` steps of a run."""
    return sum(min(max(step - s.first_step, 0), s.steps) * s.batch_size for s in segments)


def restart(optimizer: keras.optimizers.Optimizer) -> None:
    """Slots and step counter as those of a new optimizer; the learning rate and the scale of a float16 loss stay."""
    for variable in getattr(optimizer, "inner_optimizer", optimizer).variables:
        if not variable.path.endswith("/learning_rate"):
            variable.assign(tf.zeros(variable.shape, variable.dtype))
