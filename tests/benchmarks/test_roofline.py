"""What a step must do at least, in numbers, and whose the time of an operation is."""

import keras
import pytest
import tensorflow as tf

from benchmarks import measure, operations, roofline


def flops(function, *shapes):
    graph = tf.function(function).get_concrete_function(*(tf.TensorSpec(s, tf.float32) for s in shapes)).graph
    return [count for count in map(roofline.flops_of, roofline.operations(graph)) if count != 0]


def test_operations_of_layers_by_hand():
    assert flops(lambda a, b: tf.matmul(a, b), [2, 3], [3, 5]) == [2 * 2 * 5 * 3]
    assert flops(lambda a, b: tf.matmul(a, b, transpose_a=True, transpose_b=True), [3, 2], [5, 3]) == [2 * 2 * 5 * 3]
    assert flops(lambda a, b: tf.matmul(a, b), [7, 2, 3], [7, 3, 5]) == [7 * 2 * 2 * 5 * 3]
    # 4 x 4 pictures become 2 x 2 of 7 channels, each a sum over 3 x 3 x 5.
    conv = 2 * (2 * 2 * 7) * (3 * 3 * 5)
    assert flops(lambda x, k: tf.nn.conv2d(x, k, 2, "SAME"), [1, 4, 4, 5], [3, 3, 5, 7]) == [conv]
    assert flops(lambda x, k: tf.nn.conv2d_transpose(x, k, [1, 4, 4, 5], 2), [1, 2, 2, 7], [3, 3, 5, 7]) == [conv]
    volume = 2 * (2**3 * 7) * (3**3 * 5)
    assert flops(lambda x, k: tf.nn.conv3d(x, k, [1, 2, 2, 2, 1], "SAME"), [1, 4, 4, 4, 5], [3, 3, 3, 5, 7]) == [volume]

    def gradients(x, k):
        with tf.GradientTape() as tape:
            tape.watch([x, k])
            y = tf.nn.conv2d(x, k, 2, "SAME")
        return tape.gradient(y, [x, k])

    found = flops(gradients, [1, 4, 4, 5], [3, 3, 5, 7])
    assert set(found) == {conv}
    assert len(found) >= 2


def test_what_has_no_known_shape_is_told_and_branches_count():
    assert flops(lambda a, b: tf.matmul(a, b), [None, 3], [3, 5]) == [None]
    inside = flops(lambda a: tf.cond(a[0, 0] > 0, lambda: tf.matmul(a, a), lambda: a), [3, 3])
    assert inside == [2 * 27]


def test_bytes_of_a_step_by_hand():
    model, batch = measure.keras_model(measure.options("gan/fashion-28", "float32", 4))
    trained = [v for player in model.players for v in model.trainable_of(player)]
    weights = 4 * sum(v.value.shape.num_elements() for v in trained)
    # Weights read twice and written, gradients written and read; Adam's two slots read and written.
    slots = 2 if isinstance(model.g_optimizer, keras.optimizers.Adam) else 1
    averages = 4 * sum(v.value.shape.num_elements() for average, _ in model.averages() for v in average.weights)
    assert roofline.moved(model) == pytest.approx(weights * (5 + 2 * slots) + 3 * averages, abs=100)  # a schedule's own
    traced, _ = measure.bare_step(model, batch)
    work = roofline.work(model, traced.graph)
    assert work["flops"] > 4 * 2 * 3 * weights / 4  # each weight once a row at least, in three products
    assert work["uncounted"] == 0


def test_bytes_are_of_the_players_that_the_part_of_the_run_trains():
    model, _ = measure.keras_model(measure.options("dtn/digits-32", "float32", 4))
    parts = {part.part: part for part in model.segments(model.run_config.train)}
    assert model.segment == parts["gan"]
    transfer = roofline.moved(model)
    model.start_segment(parts["encoder"])
    classifier = roofline.moved(model)
    model.segment = None
    assert transfer + classifier == roofline.moved(model)


def test_the_bound_is_the_longer_of_both():
    step = {"flops": 3e9, "bytes": 1e9}
    assert roofline.bound(step, {"gflops": 100.0, "gbytes": 10.0}) == (pytest.approx(100.0), "memory")
    assert roofline.bound(step, {"gflops": 10.0, "gbytes": 10.0}) == (pytest.approx(300.0), "matmul")


def test_the_machine_reaches_something(monkeypatch):
    monkeypatch.setattr(roofline, "SIDE", 64)
    monkeypatch.setattr(roofline, "NUMBERS", 2**12)
    assert min(roofline.rates("float32", 0.0).values()) > 0


def test_an_operation_belongs_to_its_layer():
    layers = {"generator/up2_conv", "generator/dense_1"}
    assert operations.layer_of("gradient_tape/generator_1/up2_conv_1/conv/Conv2D", layers) == "generator/up2_conv"
    assert operations.layer_of("generator/dense_1/MatMul", layers) == "generator/dense_1"
    assert operations.layer_of("cond_1/Adam/update", layers) == "(cond)"


def test_a_small_step_is_profiled():
    found = operations.profile("gan/fashion-28", "float32", 4, 0.0)
    assert any("MatMul" in kind for kind in found["operations"])
    assert sum(found["layers"].values()) == pytest.approx(sum(found["operations"].values()), rel=1e-3)
    assert any(layer.startswith("generator/") for layer in found["layers"])
    assert max(found["operations"].values()) == next(iter(found["operations"].values()))
    lines = operations.text(found).splitlines()
    assert lines[0].split() == ["operations", "ms", "layers", "ms"]
