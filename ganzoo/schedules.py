"""Optimizers, registered schedules and the segments of a run, from their tables in a preset."""

import math

import keras
import tensorflow as tf
from keras import ops

from ganzoo.presets import OptimizerConfig


@keras.saving.register_keras_serializable("ganzoo")
class DividedToFloor(keras.optimizers.schedules.LearningRateSchedule):
    """rate = max(initial / factor^step, floor): pylearn2's ExponentialDecay, as Goodfellow et al. 2014 used it.

    Of `constant_steps` the first ones keep the initial rate (Jin et al. 2017: 50,000).
    """

    def __init__(self, initial, factor, floor, constant_steps=0):
        self.initial, self.factor, self.floor, self.constant_steps = initial, factor, floor, constant_steps

    def __call__(self, step):
        step = ops.cast(ops.maximum(ops.cast(step, "int64") - self.constant_steps, 0), "float32")
        # The logarithm in double precision: factor - 1 is 4e-6, of which float32 keeps two digits.
        return ops.maximum(self.initial * ops.exp(-step * math.log(self.factor)), self.floor)

    def get_config(self):
        floor = {"floor": self.floor, "constant_steps": self.constant_steps}
        return {"initial": self.initial, "factor": self.factor} | floor


@keras.saving.register_keras_serializable("ganzoo")
class ConstantThenLinear(keras.optimizers.schedules.LearningRateSchedule):
    """The initial rate for `constant_steps`, then linear to zero over `decay_steps` (pix2pix and CycleGAN in PyTorch).

    With `epoch_steps` the rate changes between epochs of so many steps only, and as the PyTorch code has it: N constant and
    D falling epochs give 1 - max(0, e + 1 - N) / (D + 1) of the rate in epoch e = 0, 1, ..., which ends at 1 / (D + 1).
    """

    def __init__(self, initial, constant_steps, decay_steps, epoch_steps=None):
        self.initial, self.constant_steps, self.decay_steps = initial, constant_steps, decay_steps
        self.epoch_steps = epoch_steps

    @property
    def end(self) -> int:
        """The first step at rate 0."""
        epoch = self.epoch_steps or 1
        return (self.constant_steps // epoch + self.decay_steps // epoch) * epoch

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
class Halved(keras.optimizers.schedules.LearningRateSchedule):
    """The initial rate, halved after every `every` steps (Reed et al. 2016: every 100 epochs)."""

    def __init__(self, initial, every):
        self.initial, self.every = initial, every

    def __call__(self, step):
        times = ops.floor_divide(ops.cast(step, "int64"), self.every)
        return self.initial * ops.power(0.5, ops.cast(times, "float32"))

    def get_config(self):
        return {"initial": self.initial, "every": self.every}


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

    `epsilon_after` adds epsilon after the bias correction, as PyTorch does: the kernel's own epsilon then shrinks with it.
    """

    def __init__(self, *args, epsilon_after=False, **kwargs):
        super().__init__(*args, **kwargs)
        self.epsilon_after = epsilon_after

    def get_config(self):
        return super().get_config() | {"epsilon_after": self.epsilon_after}

    def update_step(self, gradient, variable, learning_rate):
        slot = self._get_variable_index(variable)
        t = tf.cast(self.iterations.value + 1, tf.float32)
        beta2_power = tf.pow(self.beta_2, t)
        epsilon = self.epsilon * tf.sqrt(1 - beta2_power) if self.epsilon_after else self.epsilon
        tf.raw_ops.ResourceApplyAdam(
            var=_handle(variable),
            m=_handle(self._momentums[slot]),
            v=_handle(self._velocities[slot]),
            beta1_power=tf.pow(self.beta_1, t),
            beta2_power=beta2_power,
            lr=tf.cast(learning_rate, tf.float32),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=epsilon,
            grad=tf.cast(gradient, variable.dtype),
        )


def _handle(variable):
    """The resource of a Keras variable, or of the replica's own copy that `tf.distribute` passes instead."""
    return (variable.value if isinstance(variable, keras.Variable) else variable).handle


def learning_rate(config: OptimizerConfig, factor: float = 1.0):
    """The rate of a preset's table, times `factor` at every step: a float or a schedule."""
    rate = factor * config.learning_rate
    if config.decay > 1:
        return DividedToFloor(rate, config.decay, factor * config.learning_rate_min, config.constant_steps or 0)
    if config.decay_steps:
        return ConstantThenLinear(rate, config.constant_steps or 0, config.decay_steps, config.epoch_steps)
    if config.halve_every:
        return Halved(rate, config.halve_every)
    return rate


def optimizer(config: OptimizerConfig, name: str) -> keras.optimizers.Optimizer:
    """The Keras optimizer of a preset's table; `name` keys its slots in a checkpoint."""
    rate = learning_rate(config)
    if config.name == "adam":
        return FusedAdam(
            rate, config.beta_1, config.beta_2, config.epsilon, epsilon_after=config.epsilon_after, name=name
        )
    if config.momentum_end is not None:
        end, steps = config.momentum_end, config.momentum_steps
        return RisingMomentumSGD(
            learning_rate=rate, momentum=config.momentum, momentum_end=end, momentum_steps=steps, name=name
        )
    return keras.optimizers.SGD(rate, config.momentum, name=name)


def follow(
    optimizer: keras.optimizers.Optimizer, leader: keras.optimizers.Optimizer, updates: tuple[int, int] = (1, 1)
) -> None:
    """The optimizer's schedule goes on with the leader's updates, not its own: it belongs to a player that sits steps out.

    Args:
        updates: of both in a step.
    """
    optimizer, leader = (getattr(one, "inner_optimizer", one) for one in (optimizer, leader))
    plain = optimizer._get_current_learning_rate

    def rate():
        scheduled = isinstance(optimizer._learning_rate, keras.optimizers.schedules.LearningRateSchedule)
        return optimizer._learning_rate(optimizer.place()) if scheduled else plain()

    optimizer.place = lambda: leader.iterations * updates[0] // updates[1]
    optimizer._get_current_learning_rate = rate


def place_of(optimizer: keras.optimizers.Optimizer) -> int:
    """How far in its schedule an optimizer is: its updates, or those of the one that it follows."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    return int(ops.convert_to_numpy(inner.place() if hasattr(inner, "place") else inner.iterations))


def restart(optimizer: keras.optimizers.Optimizer) -> None:
    """Slots and step counter as those of a new optimizer; the learning rate and the scale of a float16 loss stay."""
    for variable in getattr(optimizer, "inner_optimizer", optimizer).variables:
        if not variable.path.endswith("/learning_rate"):
            variable.assign(tf.zeros(variable.shape, variable.dtype))
