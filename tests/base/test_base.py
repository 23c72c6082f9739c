"""The mechanics of BaseGAN on a model of two numbers, where every step can be worked out by hand."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from support.line import COLUMN, Line, line, weight

from ganzoo import data, presets, zoo
from ganzoo.base import BaseGAN
from ganzoo.base.model import blank_networks
from ganzoo.devices import strategies
from ganzoo.errors import GanzooError


# ---- one step --------------------------------------------------------------------------------------------------------
def test_a_step_by_hand():
    model = line(ema_decay=0.75)
    logs = model.train_step(tf.constant(COLUMN))
    assert weight(model.generator) == pytest.approx(1 - 0.1 * 3)
    assert weight(model.discriminator) == pytest.approx(1 - 0.1 * 30)
    assert weight(model.ema_generator) == pytest.approx(0.75 * 1 + 0.25 * 0.7)
    assert {key: float(value) for key, value in logs.items()} == pytest.approx(
        {"d_loss": 30, "g_loss": 3, "fooled": 0.5}
    )
    assert model.step.numpy() == 1
    assert model.sampler is model.ema_generator


def test_gradients_are_divided_by_the_replicas_once():
    """Trap 1: apply_gradients sums over replicas, so a plain mean would step twice too far on two. SGD shows it."""
    strategy = strategies.choose("mirrored")
    assert strategy.num_replicas_in_sync == 2
    with strategy.scope():
        two = line(noisy=True, ema_decay=0.75)
    one = line(noisy=True, ema_decay=0.75)
    for model in (one, two):
        rows = tf.data.Dataset.from_tensors(COLUMN).unbatch().batch(4, drop_remainder=True)
        history = model.fit(rows.repeat(5), epochs=1, verbose=0).history
        model.seen = history["g_loss"][-1]
    for a, b in zip(one.weights, two.weights, strict=True):
        assert float(tf.reduce_max(abs(a.value - b.value))) < 1e-6
    assert two.seen == pytest.approx(one.seen, rel=1e-5), "the logged loss is not divided"
    assert np.array(two.step) == np.array(one.step) == 5


def test_logs_are_means_over_the_steps():
    """Trap 5: what train_step returns is the last batch's, unless it is a metric."""
    history = line(rate=0.0).fit(tf.data.Dataset.from_tensor_slices(COLUMN[:, None]), epochs=1, verbose=0).history
    assert history["g_loss"] == pytest.approx([3.0])


# ---- noise -----------------------------------------------------------------------------------------------------------
def test_noise_depends_on_run_seed_stream_and_step():
    model = line()

    def draw(stream="a", seed=0, step=0):
        model.seed = seed
        model.step.assign(step)
        return model.noise(tf.random.stateless_normal, stream, 3, [4]).numpy()

    first = draw()
    assert first.shape == (3, 4)
    np.testing.assert_array_equal(first, draw())
    others = [draw("b"), draw(seed=1), draw(step=1), draw("b", step=1), draw(seed=2**31 - 1), draw(step=2**20)]
    assert len({other.tobytes() for other in [first, *others]}) == 7
    np.testing.assert_array_equal(draw(seed=1)[:2], model.noise(tf.random.stateless_normal, "a", 3, [4])[:2])


def test_row_seeds_of_a_step_are_all_different():
    model = line()
    rows = []
    for step in range(20):
        model.step.assign(step)
        rows += [model.row_noise_seeds("dropout", 8).numpy(), model.row_noise_seeds("other", 8).numpy()]
    rows = np.concatenate(rows)
    assert rows.dtype == np.int32
    assert len(np.unique(rows, axis=0)) == len(rows)


def test_replicas_take_the_rows_of_one_draw():
    """Trap 2: otherwise every replica draws the same numbers."""
    strategy = strategies.choose("mirrored")
    with strategy.scope():
        model = line()

    @tf.function
    def drawn():
        def replica():
            noise = model.noise(tf.random.stateless_normal, "a", 2, [3])
            return noise, model.row_noise_seeds("a", 2)

        return strategy.run(replica)

    noise, seeds = ([np.asarray(part) for part in strategy.experimental_local_results(value)] for value in drawn())
    whole = line()
    np.testing.assert_array_equal(np.concatenate(noise), whole.noise(tf.random.stateless_normal, "a", 4, [3]))
    np.testing.assert_array_equal(np.concatenate(seeds), whole.row_noise_seeds("a", 4))


# ---- networks --------------------------------------------------------------------------------------------------------
def test_networks_begin_as_zeros_where_weights_follow_and_nothing_else_does():
    drawn, beside = [], []

    def random(shape, dtype=None):
        drawn.append(shape)
        return tf.ones(shape, dtype) * 3

    class Random(Line):
        def network(self, name):
            beside.append(layers.Dense(1, kernel_initializer=random, bias_initializer="ones"))
            beside[-1].build((None, 2))  # it is no part of the network that is built
            x = keras.Input((1,))
            return keras.Model(x, layers.Dense(1, use_bias=False, kernel_initializer=random, name=f"{name}_dense")(x))

    with blank_networks():
        model = Random(ema_decay=0.5)
    assert len(model.state()) == 3
    assert all(not np.any(variable) for variable in model.state().values())
    assert drawn == [(2, 1)] * 3
    assert all(np.all(np.asarray(layer.kernel) == 3) and np.asarray(layer.bias) == 1 for layer in beside)
    assert all(np.asarray(variable) == 3 for variable in Random(ema_decay=0.5).state().values())


# ---- compile and state -----------------------------------------------------------------------------------------------
def test_compile_takes_one_optimizer_a_player_and_builds_it():
    """Traps 9 and 10: no RMSprop over all weights, and slots exist before a checkpoint is read."""
    model = Line()
    model.compile(g_optimizer="adam", d_optimizer=keras.optimizers.SGD(0.1, momentum=0.9))
    own = [v for player in model.players for v in getattr(model, player).variables]
    assert list(map(id, model.optimizer.variables)) == list(map(id, own)), "no optimizer besides the players'"
    assert model.jit_compile is False, "trap 18: auto would mean XLA on one GPU, which no CPU test sees"
    assert model.g_optimizer.built
    assert len(model.d_optimizer.momentums) == 1
    for wrong in ({}, {"optimizer": "adam"}, {"g_optimizer": "adam"}):
        with pytest.raises(TypeError, match="compile takes g_optimizer, d_optimizer; received"):
            Line().compile(**wrong)


def test_training_state_names_networks_slots_and_step():
    model = Line(ema_decay=0.5)
    model.compile(g_optimizer=keras.optimizers.Adam(name="g"), d_optimizer=keras.optimizers.Adam(name="d"))
    state = model.training_state()
    assert list(model.state()) == ["generator/g/kernel", "discriminator/d/kernel", "ema_generator/g/kernel"]
    assert {"g_optimizer/g/iteration", "d_optimizer/d/iteration", "step"} <= set(state)
    assert sum("momentum" in key for key in state) == 2
    assert len({id(variable) for variable in state.values()}) == len(state)


def test_two_variables_of_one_key_are_refused():
    class Twice(Line):
        @staticmethod
        def network(name):
            x = keras.Input((1,))
            inner = keras.Model(x, layers.Dense(1, name="same")(x))
            return keras.Model(x, layers.Dense(1, name="same")(inner(x)), name="outer")

    with pytest.raises(ValueError, match="Two variables share the key generator/same/kernel: name every layer"):
        Twice().state()


@pytest.mark.parametrize("decay", [-0.1, 1.0, 2.0, float("nan")])
def test_the_decay_lies_below_one(decay):
    with pytest.raises(GanzooError, match=r"ema_decay must be in \[0, 1\)"):
        Line(ema_decay=decay)


def test_the_average_copies_batch_statistics():
    x = keras.Input((2,))
    model = Line(ema_decay=0.5)
    for name in ("generator", "ema_generator"):
        setattr(model, name, keras.Model(x, layers.BatchNormalization(name="n")(x)))
    model.generator.get_layer("n").moving_mean.assign([4.0, 4.0])
    model.generator.get_layer("n").gamma.assign([3.0, 3.0])
    model.update_ema()
    assert np.array(model.ema_generator.get_layer("n").moving_mean).tolist() == [4.0, 4.0]
    assert np.array(model.ema_generator.get_layer("n").gamma).tolist() == [2.0, 2.0]


# ---- data ------------------------------------------------------------------------------------------------------------
def test_batches_may_be_dict_tuple_list_or_tensor():
    model, x = line(), tf.ones([2, 1])
    for batch in ({"image": x, "label": x}, (x,), [x], x, ((x,),), ({"image": x},)):
        (found,) = model.unpack(batch)
        assert found is x
    with pytest.raises(GanzooError, match=r"trains on batches with \['image'\]; received a dict of \['picture'\]"):
        model.unpack({"picture": x})
    with pytest.raises(GanzooError, match=r"received 2 tensor\(s\)"):
        model.unpack((x, x))


def test_uint8_batches_become_floats_in_the_models_range():
    for batch in (tf.constant([[0], [255]], tf.uint8), {"image": tf.constant([[0], [255]], tf.uint8)}):
        assert line().unpack(batch)[0].numpy().tolist() == [[-1.0], [1.0]]


def test_synthetic_batches_fit_the_signature():
    model = line()
    batch = next(iter(data.synthetic(model.batch_signature(), 5)))
    assert batch["image"].shape == (5, 1)


def test_a_base_without_a_paper_says_what_is_missing():
    class Bare(BaseGAN):
        def __init__(self):
            super().__init__(locals())

    with pytest.raises(NotImplementedError, match="must say what data it trains on"):
        Bare().batch_signature()


def test_a_builder_takes_the_constructor_s_arguments_by_name():
    def network(*, width, height=2):
        x = keras.Input((1,))
        return keras.Model(x, layers.Dense(width * height, name="w")(x))

    class Wide(BaseGAN):
        def __init__(self, *, width=3, ema_decay=0.5):
            super().__init__(locals())
            double = functools.partial(network, height=4)
            self.register_networks(generator=network, discriminator=double)

    model = Wide(width=5)
    assert Wide.defaults() == {"width": 3, "ema_decay": 0.5}
    assert model.get_config() == {"width": 5, "ema_decay": 0.5}
    assert [network.output_shape[1] for network in model.networks().values()] == [10, 20, 10]
    assert model.network_names == ("generator", "discriminator", "ema_generator")
    np.testing.assert_array_equal(model.ema_generator.weights[0], model.generator.weights[0])
    assert list(Wide(ema_decay=0.0).networks()) == ["generator", "discriminator"]
    with pytest.raises(GanzooError, match="the paper's constructor has no argument depth"):
        model.register_networks(generator=lambda width, depth: None)


def test_a_network_without_numbers_is_refused():
    with pytest.raises(GanzooError, match="which holds no numbers"):  # oneDNN ended the process at its first step
        zoo.build(presets.run_config("gan", {"model.maxout_pieces": 0}))


def test_kept_views_are_made_once_and_not_tracked():
    model = line()
    made = []
    for _ in range(3):
        assert model.cached(
            "view", lambda: made.append(1) or keras.Model(model.generator.inputs, model.generator.outputs)
        )
    assert made == [1]
    assert len(model.weights) == 2 + sum(v.path.endswith("step") for v in model.weights)
