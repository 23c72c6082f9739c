"""What several workers of one run do together: who writes, who reads which rows, what all of them know.

Every worker runs the same program step by step. The first, the chief, alone writes and decides; what the others need of
that comes through `from_chief`, which all of them must call at the same place.
"""

import functools
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf


def several(strategy: tf.distribute.Strategy) -> bool:
    """Whether the replicas live in several processes. (`strategies.choose` makes no such strategy for one.)"""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that writes: the task "chief", or worker 0 where there is none."""
    if not several(strategy):
        return True
    resolver = strategy.cluster_resolver
    first = "chief" if "chief" in resolver.cluster_spec().jobs else "worker"
    return (resolver.task_type, resolver.task_id) == (first, 0)


def from_chief(strategy: tf.distribute.Strategy, data: bytes = b"") -> bytes:
    """The chief's `data` on every worker; that of the others is not looked at."""
    if not several(strategy):
        return data
    share = _of_first_replica(strategy)
    length = int(share(tf.constant([len(data)], tf.int32))[0])
    if not length:  # nothing can be reduced of nothing
        return b""
    words = np.frombuffer(data + bytes(-len(data) % 4), np.int32)
    if not is_chief(strategy):
        words = np.zeros(-(-length // 4), np.int32)
    return share(tf.constant(words)).tobytes()[:length]


@functools.cache
def _of_first_replica(strategy) -> Callable[[tf.Tensor], np.ndarray]:
    """A function that gives the first replica's int32 (n,) on every worker: the sum with the zeros of the others."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32)])
    def everywhere(value):
        def own():
            context = tf.distribute.get_replica_context()
            first = tf.equal(context.replica_id_in_sync_group, 0)
            return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.where(first, value, tf.zeros_like(value)))

        return strategy.run(own)

    return lambda value: np.asarray(strategy.experimental_local_results(everywhere(value))[0])


def batches(strategy: tf.distribute.Strategy, batch_size: int, make: Callable[[slice | None], tf.data.Dataset]):
    """What `fit` takes: `make(None)`, the global batches. Of several workers each makes its own rows of them only."""
    if not several(strategy):
        return make(None)

    def own(context: tf.distribute.InputContext) -> tf.data.Dataset:
        rows = batch_size // context.num_input_pipelines
        first = rows * context.input_pipeline_id
        dataset = make(slice(first, first + rows))
        here = context.num_replicas_in_sync // context.num_input_pipelines
        return dataset if here == 1 else dataset.rebatch(rows // here, drop_remainder=True)

    return strategy.distribute_datasets_from_function(own)


class Together(keras.callbacks.Callback):
    """The chief's wish to stop (Ctrl-C, a plateau) becomes everybody's, at the same step: every `every`, and at the end.

    A worker that left alone would let the others wait for its gradients for ever.
    """

    def __init__(self, *, every: int, start_step: int):
        super().__init__()
        self.every, self.step, self.wished = every, start_step, False

    def on_train_batch_end(self, batch, logs=None):
        self.step += self.model.steps_per_execution
        self.wished |= self.model.stop_training
        self.model.stop_training = False
        if self.step % self.every == 0:
            answer = from_chief(self.model.distribute_strategy, b"stop" if self.wished else b"")
            self.model.stop_training = bool(answer)
