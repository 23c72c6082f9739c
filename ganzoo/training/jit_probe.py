"""A few steps of a real model, measured: whether XLA pays (`train.jit_compile`). The model is left as it was."""

import dataclasses
import statistics
import time

import tensorflow as tf

from ganzoo import weights
from ganzoo.base import BaseGAN
from ganzoo.errors import first_line

STEPS = 5  # timed, after the one that traces


@dataclasses.dataclass(frozen=True)
class Jit:
    """Whether XLA compiles the steps of a run, why, and what was measured: milliseconds a step."""

    used: bool
    reason: str
    plain_ms: float | None = None
    jit_ms: float | None = None


def jit(model: BaseGAN, batch: dict[str, tf.Tensor]) -> Jit:
    """Times steps without and with XLA on one batch; XLA is used if it can compile them and is faster."""
    before = weights.to_arrays(model.training_state())
    try:
        plain = round(1000 * seconds(tf.function(model.train_step), batch), 1)
        try:
            compiled = round(1000 * seconds(tf.function(model.train_step, jit_compile=True), batch), 1)
        except (tf.errors.OpError, TypeError, ValueError, NotImplementedError) as error:
            return Jit(False, f"XLA cannot compile this step ({first_line(error)[:200]})", plain)
    finally:
        weights.assign(model.training_state(), before, "the state before the probe")
        for tracker in model.metrics:
            tracker.reset_state()
    figures = f"{compiled:.1f} ms a step with XLA, {plain:.1f} ms without"
    return Jit(compiled < plain, figures, plain, compiled)  # of the numbers that are shown


def seconds(step, batch, count: int = STEPS) -> float:
    """Median seconds of a call that returns tensors, after one that traces it."""
    taken = []
    for _ in range(count + 1):
        began = time.perf_counter()
        tf.nest.map_structure(lambda x: x.numpy(), step(batch))
        taken.append(time.perf_counter() - began)
    return statistics.median(taken[1:])
