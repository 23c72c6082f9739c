"""Part: what a train_step runs for when it does not run for itself, in micro-batches and in validation."""

import dataclasses

import tensorflow as tf


@dataclasses.dataclass
class Part:
    """One micro-batch: `index` of `count` in the round of the `turns` (player, which of its updates), and what its
    train_step leaves: gradients and losses by turn, [decay] of an EMA. Without turns nobody moves."""

    count: int
    index: int | tf.Tensor
    turns: list[tuple[str, int]]
    gradients: dict[tuple[str, int], list] = dataclasses.field(default_factory=dict)
    losses: dict[tuple[str, int], tf.Tensor] = dataclasses.field(default_factory=dict)
    averages: list = dataclasses.field(default_factory=list)
