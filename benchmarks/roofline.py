"""What a step must do at least: floating-point operations and bytes, against what this machine reaches.

The operations are those of the convolutions and matrix products in the step's graph, two for a multiplication and an addition,
read from the shapes there. A body of a loop counts once, and what has no known shape is told apart. The bytes are those that
no cache keeps from one step to the next: a network's weights are read by its passes and by its update, gradients are written and
read, weights and slots are read and written, and so is an average.
"""

import math
import time
from collections import Counter

SIDE = 2048  # of the matrices
NUMBERS = 2**25  # of an array that no cache holds, 128 MiB


def rates(precision: str, seconds: float) -> dict[str, float]:
    """The best of this machine: "gflops" of a matrix product in a precision, and "gbytes" a second that a float32 sum moves
    (two arrays read, one written), on all cores."""
    import tensorflow as tf

    a = tf.cast(tf.random.stateless_normal([SIDE, SIDE], (0, 1)), precision)
    total, more = tf.Variable(tf.zeros([NUMBERS])), tf.ones([NUMBERS])
    product = tf.function(lambda: tf.reduce_sum(tf.matmul(a, a)[0, :1]))

    def add():
        total.assign_add(more)

    return {
        "gflops": round(2 * SIDE**3 / fastest(lambda: product().numpy(), seconds) / 1e9, 1),
        "gbytes": round(3 * 4 * NUMBERS / fastest(add, seconds) / 1e9, 1),
    }


def fastest(call, seconds: float) -> float:
    """Seconds of the shortest of the calls that fit in, of three at least after a first one."""
    call()
    end, durations = time.perf_counter() + seconds, []
    while len(durations) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        durations.append(time.perf_counter() - start)
    return min(durations)


def work(model, graph) -> dict[str, float]:
    """ "flops" and "bytes" of a step: `graph` is that of its traced function. "uncounted": operations of unknown shape."""
    flops, uncounted = Counter(), 0
    for operation in operations(graph):
        count = flops_of(operation)
        if count is None:
            uncounted += 1
        elif count:
            flops[operation.type] += count
    return {"flops": sum(flops.values()), "bytes": moved(model), "uncounted": uncounted}


def operations(graph):
    """Every operation of a graph, those of its branches and loops included."""
    yield from graph.get_operations()
    for name in graph._functions:
        yield from graph._functions[name].graph.get_operations()


def flops_of(operation) -> int | None:
    """Of a convolution, its gradients or a matrix product; 0 of every other operation, None where a shape is not known."""
    kind = operation.type
    try:
        if kind.startswith(("Conv2D", "Conv3D")):
            # Each number of the forward output is a sum over a kernel of one filter.
            kernel = operation.inputs[1] if "BackpropInput" in kind else operation.outputs[0]
            output = operation.inputs[2] if "Backprop" in kind else operation.outputs[0]
            kernel = kernel if "Backprop" in kind else operation.inputs[1]
            return 2 * output.shape.num_elements() * math.prod(kernel.shape[:-1])
        if kind in ("MatMul", "BatchMatMulV2"):
            turned = operation.get_attr("transpose_a" if kind == "MatMul" else "adj_x")
            return 2 * operation.outputs[0].shape.num_elements() * operation.inputs[0].shape[-2 if turned else -1]
    except (TypeError, ValueError):
        return None
    return 0


def moved(model) -> int:
    """Bytes of weights, gradients, slots and averages that a step reads and writes at least, of the players of its segment."""
    total = 0
    for player in (model.segment and model.segment.players) or model.players:
        weights = sum(nbytes(variable) for variable in model.trainable_of(player))
        slots = sum(nbytes(variable) for variable in getattr(model, player).variables if variable.shape)
        # Read by the passes, read and written by the update; the gradient written and read; slots read and written.
        total += model.updates[player] * (5 * weights + 2 * slots)
    # An average: the weight read, the average read and written.
    return total + sum(3 * nbytes(variable) for average, _ in model.averages() for variable in average.weights)


def nbytes(variable) -> int:
    return math.prod(variable.shape) * variable.value.dtype.size


def bound(step: dict, rate: dict[str, float]) -> tuple[float, str]:
    """Milliseconds that a step takes at least, and by what: "matmul" or "memory", whichever takes longer; the two may
    overlap."""
    parts = {"matmul": step["flops"] / rate["gflops"] / 1e6, "memory": step["bytes"] / rate["gbytes"] / 1e6}
    name = max(parts, key=parts.__getitem__)
    return parts[name], name
