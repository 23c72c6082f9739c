"""Schedules and optimizers against closed forms in double precision."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ganzoo import presets, schedules
from ganzoo.errors import GanzooError
from ganzoo.presets import OptimizerConfig


@pytest.mark.parametrize("step", [0, 1, 1000, 125_000])
def test_divided_to_floor_is_the_closed_form(step):
    """1.000004 - 1 has two digits in float32: taken there, the rate would be 0.7 % off after 125,000 steps."""
    rate = schedules.DividedToFloor(0.1, 1.000004, 1e-6)
    assert float(rate(step)) == pytest.approx(0.1 / 1.000004**step, rel=1e-5)
    assert float(rate(10**8)) == pytest.approx(1e-6)


def test_divided_after_constant_steps():
    """Jin et al. 2017: constant for 50,000 updates, then exponentially."""
    table = OptimizerConfig(learning_rate=2e-4, decay=1.01, constant_steps=100, learning_rate_min=1e-5)
    rate = schedules.learning_rate(table, 0.5)
    steps = [0, 100, 101, 150, 10_000]
    expected = [1e-4, 1e-4, 1e-4 / 1.01, 1e-4 / 1.01**50, 5e-6]
    np.testing.assert_allclose([float(rate(step)) for step in steps], expected, rtol=1e-5)


def test_constant_then_linear():
    rate = schedules.ConstantThenLinear(2e-4, 10, 40)
    steps = [0, 10, 11, 30, 50, 1000]
    expected = [2e-4, 2e-4, 2e-4 * 39 / 40, 1e-4, 0.0, 0.0]
    np.testing.assert_allclose([float(rate(step)) for step in steps], expected, rtol=1e-5, atol=1e-12)


def test_halved_after_every_so_many_steps():
    rate = schedules.Halved(2e-4, 13_900)
    steps = [0, 13_899, 13_900, 27_799, 27_800, 83_399]
    expected = [2e-4, 2e-4, 1e-4, 1e-4, 5e-5, 2e-4 / 32]
    np.testing.assert_allclose([float(rate(step)) for step in steps], expected, rtol=1e-6)
    birds = presets.run_config("text-to-image/birds-64").train
    for table in (birds.g_optimizer, birds.d_optimizer):
        assert float(schedules.learning_rate(table)(100 * 139)) == pytest.approx(1e-4), "after 100 epochs of 8,855 / 64"


@pytest.mark.parametrize(
    "schedule",
    [schedules.DividedToFloor(0.3, 1.5, 0.01, 2), schedules.ConstantThenLinear(0.3, 2, 5), schedules.Halved(0.3, 4)],
    ids=["divided", "linear", "halved"],
)
def test_schedules_work_in_a_graph_and_round_trip(schedule):
    in_graph = tf.function(lambda step: schedule(step))
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(schedule))
    for step in (0, 3, 9):
        assert float(in_graph(tf.constant(step, tf.int64))) == pytest.approx(float(schedule(step)), rel=1e-6)
        assert float(again(step)) == float(schedule(step))


def descend(optimizer, gradients, start=1.0):
    """The path of one variable under the given gradients, by a compiled step as `fit` has it."""
    variable = keras.Variable(np.array([start], "float32"))
    optimizer.build([variable])
    step = tf.function(lambda g: optimizer.apply_gradients([(g, variable)]))
    path = []
    for gradient in gradients:
        step(tf.constant([gradient], tf.float32))
        path.append(float(variable.value[0]))
    return path


@pytest.mark.parametrize(("begin", "end"), [(0.5, 0.7), (0.0, 0.6)])
def test_momentum_rises_linearly(begin, end):
    optimizer = schedules.RisingMomentumSGD(learning_rate=0.1, momentum=begin, momentum_end=end, momentum_steps=4)
    gradients = [1.0, -0.5, 2.0, 0.25, 1.0, -3.0]
    x, velocity, expected = 1.0, 0.0, []
    for step, gradient in enumerate(gradients):
        momentum = begin + (end - begin) * min(step / 4, 1)
        velocity = momentum * velocity - 0.1 * gradient
        x += velocity
        expected.append(x)
    np.testing.assert_allclose(descend(optimizer, gradients), expected, rtol=1e-6)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert again.get_config() == optimizer.get_config()


def test_adam_is_keras_adam():
    gradients = [0.5, -1.0, 1e-6, 30.0, 0.0, 2.0]
    config = OptimizerConfig(learning_rate=0.01, beta_1=0.5, epsilon=1e-8)
    expected = descend(keras.optimizers.Adam(0.01, 0.5, 0.999, 1e-8), gradients)
    np.testing.assert_allclose(descend(schedules.optimizer(config, "g_optimizer"), gradients), expected, rtol=1e-6)


def test_adam_with_epsilon_after_the_bias_correction_is_torchs():
    """100 steps with BigGAN's epsilon of 1e-6 and beta_1 0, of small gradients too, where the place of epsilon shows."""
    torch = pytest.importorskip("torch")
    gradients = np.random.default_rng(0).normal(size=100) * 10.0 ** np.random.default_rng(1).integers(-7, 1, 100)
    settings = {"learning_rate": 4e-4, "beta_1": 0.0, "epsilon": 1e-6}
    parameter = torch.nn.Parameter(torch.ones(1))
    theirs, expected = torch.optim.Adam([parameter], lr=4e-4, betas=(0.0, 0.999), eps=1e-6), []
    for gradient in gradients:
        parameter.grad = torch.tensor([gradient], dtype=torch.float32)
        theirs.step()
        expected.append(parameter.item())
    config = OptimizerConfig(**settings, epsilon_after=True)
    ours = descend(schedules.optimizer(config, "g_optimizer"), gradients)
    np.testing.assert_allclose(ours, expected, rtol=2e-7)
    before = descend(schedules.optimizer(OptimizerConfig(**settings), "g_optimizer"), gradients)
    assert np.abs(np.array(before) - expected).max() > 1e-4, "epsilon before the correction goes another way"


def test_adam_with_epsilon_after_the_bias_correction_by_hand():
    """The first step from g: v / (1 - beta_2) is g^2, so it is rate * g / (|g| + epsilon)."""
    config = OptimizerConfig(learning_rate=0.1, beta_1=0.0, epsilon=1e-3, epsilon_after=True)
    optimizer = schedules.optimizer(config, "g_optimizer")
    assert descend(optimizer, [1e-3])[0] == pytest.approx(1 - 0.05, rel=1e-5)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert again.epsilon_after
    with pytest.raises(GanzooError, match="epsilon_after is for"):
        presets.run_config("gan/fashion-28", {"train.g_optimizer.epsilon_after": True})


def test_adam_has_the_papers_numbers_not_keras_defaults():
    for name in ("dcgan/pytorch-64", "dcgan/lsun-64", "pix2pix/facades-256"):
        for table in ("g_optimizer", "d_optimizer"):
            optimizer = schedules.optimizer(getattr(presets.run_config(name).train, table), table)
            assert isinstance(optimizer, keras.optimizers.Adam)
            assert (optimizer.beta_1, optimizer.beta_2, optimizer.epsilon) == (0.5, 0.999, 1e-8)
            assert float(optimizer.learning_rate) == pytest.approx(2e-4)
            assert optimizer.name == table


def test_goodfellows_sgd_and_the_pytorch_schedule():
    sgd = schedules.optimizer(presets.run_config("gan/mnist-28").train.d_optimizer, "d_optimizer")
    assert isinstance(sgd, schedules.RisingMomentumSGD)
    assert (sgd.momentum, sgd.momentum_end, sgd.momentum_steps) == (0.5, 0.7, 125_000)
    assert float(sgd.learning_rate) == pytest.approx(0.1)
    adam = schedules.optimizer(presets.run_config("pix2pix/lines2colour-64").train.g_optimizer, "g_optimizer")
    rate = adam.get_config()["learning_rate"]
    assert rate["class_name"] == "ConstantThenLinear"
    plain = schedules.optimizer(OptimizerConfig(name="sgd", learning_rate=0.5, momentum=0.25), "x")
    assert descend(plain, [1.0, 0.0]) == pytest.approx([0.5, 0.375])
