"""One worker of `benchmarks.scaling`, pinned to one core: `python -m benchmarks.measure_scaling REQUEST`; one line of JSON.

With TF_CONFIG it is one of several that train in step, else it trains alone.
"""

import json
import math
import os
import statistics
import sys
import time

import numpy as np

from benchmarks import measure, timing

REPEATS = 30  # of the separate all-reduce


def worker(preset: str, precision: str, batch_size: int, steps: int, core: int) -> dict:
    """Seconds a step inside `fit`, alone or together; together also the parts of a step and what an all-reduce takes.

    `batch_size` is a worker's own.
    """
    os.sched_setaffinity(0, {core})  # before TensorFlow counts the cores for its threads
    import keras
    import tensorflow as tf

    from ganzoo import zoo
    from ganzoo.devices import strategies, workers

    strategy = strategies.choose("multi-worker" if "TF_CONFIG" in os.environ else "one")
    config = measure.options(preset, precision, batch_size)
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else "float32")
    with strategy.scope():
        model = zoo.build(config)
    model.start_segment(measure.measured_part(model, config.train))
    batch = {name: tf.constant(array) for name, array in measure.arrays(config).items()}
    batches = workers.batches(
        strategy, batch_size * strategy.num_replicas_in_sync, lambda rows: tf.data.Dataset.from_tensors(batch).repeat()
    )
    seconds = fitted(model, batches, steps)
    result = {"seconds": statistics.median(seconds), "quartiles": statistics.quantiles(seconds, n=4), "steps": steps}
    if workers.several(strategy):
        result["reductions"] = reductions(model, batches)
        result |= parts(model, batches, steps)
        result |= all_reduce(model, strategy)
    return result


def fitted(model, batches, steps: int) -> list[float]:
    """Seconds between the ends of batches inside `fit`, after a warm-up."""
    import keras

    class Ends(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.times = []

        def on_train_batch_end(self, batch, logs=None):
            self.times.append(time.perf_counter())

    ends = Ends()
    for count in (timing.WARM_UP, steps):
        model.fit(batches, steps_per_epoch=count, verbose=0, shuffle=False, callbacks=[ends])
    return np.diff(ends.times).tolist()


def reductions(model, batches) -> int:
    """How many all-reduces a step makes: gradients of each player, statistics of batch norms, logs."""
    import tensorflow as tf

    @tf.function
    def step(data):
        return model.distribute_strategy.run(model.train_step, args=(data,))

    traced = step.get_concrete_function(next(iter(batches)))
    graph = traced.graph.as_graph_def()
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    return sum(node.op.startswith("CollectiveReduce") for node in nodes)


def parts(model, batches, steps: int) -> dict:
    """Seconds a step that a worker waits for the other before the gradients travel, and that they travel.

    Measured by clocks inside of the step: an all-reduce of one number before that of the gradients lasts until the later
    worker has come. What is left of the step is compute.
    """
    import tensorflow as tf

    spent = {part: tf.Variable(0.0, dtype=tf.float64) for part in ("wait", "transfer")}

    whole = model.guard.summed

    def clocked(measured, gradients):
        context = tf.distribute.get_replica_context()
        with tf.control_dependencies([measured, *filter(tf.is_tensor, gradients)]):
            ready = tf.timestamp()
        with tf.control_dependencies([ready]):
            met = context.all_reduce(tf.distribute.ReduceOp.SUM, tf.zeros([1]))
        with tf.control_dependencies([met]):
            together = tf.timestamp()
        with tf.control_dependencies([together]):
            sums = whole(tf.identity(measured), [g if g is None else tf.identity(g) for g in gradients])
        with tf.control_dependencies(list(filter(tf.is_tensor, sums[1]))):
            arrived = tf.timestamp()
        spent["wait"].assign_add(together - ready)
        spent["transfer"].assign_add(arrived - together)
        return sums

    model.guard.summed = clocked
    model.train_function = None  # what was traced has no clocks
    model.fit(batches, steps_per_epoch=timing.WARM_UP, verbose=0, shuffle=False)
    for seconds in spent.values():
        seconds.assign(0.0)
    began = time.perf_counter()
    model.fit(batches, steps_per_epoch=steps, verbose=0, shuffle=False)
    whole = (time.perf_counter() - began) / steps
    wait, transfer = (float(spent[part]) / steps for part in ("wait", "transfer"))
    return {"wait": wait, "transfer": transfer, "compute": whole - wait - transfer}


def all_reduce(model, strategy) -> dict:
    """Seconds of an all-reduce of one number, and of all gradients of a step, when both workers are there; their bytes."""
    import tensorflow as tf

    def timed(shapes):
        @tf.function
        def reduce():
            def own():
                context = tf.distribute.get_replica_context()
                return context.all_reduce(tf.distribute.ReduceOp.SUM, [tf.ones(shape) for shape in shapes])

            return strategy.run(own)

        return reduce

    meet = timed([[1]])
    shapes = [variable.shape for player in model.players for variable in model.trainable_of(player)]
    large = timed(shapes)
    times = {"latency": [], "all_reduce": []}
    for _ in range(REPEATS + timing.WARM_UP):
        for name, call in (("latency", meet), ("all_reduce", large)):
            meet()
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(seconds[timing.WARM_UP :]) for name, seconds in times.items()}
    return medians | {"bytes": 4 * sum(math.prod(shape) for shape in shapes)}


if __name__ == "__main__":
    print(json.dumps(worker(**json.loads(sys.argv[1]))))
