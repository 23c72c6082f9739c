"""Nothing that is not finite is applied: one player, both players, one replica of two."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from support.line import COLUMN, Line, weight

from ganzoo.base.guard import NotFinite
from ganzoo.devices import strategies

BAD = np.array([[1.0], [2.0], [np.nan], [6.0]], "float32")


def adams(rate=0.1):
    """Adam and SGD with momentum, which move also without a gradient."""
    model = Line()
    sgd = keras.optimizers.SGD(rate, momentum=0.9, name="d")
    model.compile(g_optimizer=keras.optimizers.Adam(rate, name="g"), d_optimizer=sgd)
    return model


def state(model):
    return {key: np.array(value) for key, value in model.training_state().items() if key != "step"}


@pytest.mark.parametrize("graph", [False, True])
def test_a_bad_step_leaves_weights_slots_and_counters_as_they_were(graph):
    model = adams()
    step = tf.function(model.train_step) if graph else model.train_step
    step(tf.constant(COLUMN))
    before = state(model)
    model.guard.check()
    step(tf.constant(BAD))
    after = state(model)
    assert before.keys() == after.keys()
    for key, value in before.items():
        np.testing.assert_array_equal(after[key], value, err_msg=key)
    for batch in (COLUMN, BAD):  # what went first is what is told
        step(tf.constant(batch))
    assert weight(model.generator) != before["generator/g/kernel"], "a good step moves again"
    with pytest.raises(NotFinite, match="The loss of g_optimizer is not finite at step 2"):
        model.guard.check()
    model.guard.reset()
    model.guard.check()


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e25])  # of the last the square overflows, which Adam keeps
def test_a_gradient_may_fail_where_the_loss_does_not(value):
    model = adams()
    before = state(model)
    model.guard.apply(
        model.d_optimizer, "d_optimizer", tf.constant(1.0), [tf.constant([[value]], tf.float32)],
        model.trainable_of("d_optimizer"), 7,
    )  # fmt: skip
    for key, old in before.items():
        np.testing.assert_array_equal(state(model)[key], old, err_msg=key)
    with pytest.raises(NotFinite, match="The gradient of d_optimizer is not finite at step 7"):
        model.guard.check()
    assert float(model.guard.norms["d_optimizer"].numpy()) == 0


def test_the_norm_of_the_last_update_is_known():
    model = adams()
    model.train_step(tf.constant(COLUMN))  # g: mean x = 3; d: 10 mean x = 30
    norms = {player: float(norm.numpy()) for player, norm in model.guard.norms.items()}
    assert norms == pytest.approx({"g_optimizer": 3.0, "d_optimizer": 30.0})


def test_a_nan_on_one_replica_poisons_no_other():
    """The second replica's rows hold the NaN: neither moves, both know, and all goes on as on one replica."""
    with strategies.choose("mirrored").scope():
        two = adams()
    one = adams()
    for model in (one, two):
        rows = np.concatenate([COLUMN, BAD, COLUMN])
        model.fit(tf.data.Dataset.from_tensor_slices(rows).batch(4, drop_remainder=True), epochs=1, verbose=0)
        assert np.array(model.step) == 3
        with pytest.raises(NotFinite, match="g_optimizer is not finite at step 2"):
            model.guard.check()
    plain = adams()
    for _ in range(2):
        plain.train_step(tf.constant(COLUMN))
    for key, value in state(plain).items():
        for model in (one, two):
            np.testing.assert_allclose(state(model)[key], value, rtol=1e-6, err_msg=key)
    np.testing.assert_allclose(float(two.guard.norms["g_optimizer"].numpy()), 3.0, rtol=1e-6)
