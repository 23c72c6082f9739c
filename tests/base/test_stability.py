"""[train.stability]: each option by hand on a model of two numbers, all of them inside real steps, and in every paper."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny
from support.line import COLUMN, Line, line, weight

from ganzoo import presets, zoo
from ganzoo.devices import strategies
from ganzoo.errors import GanzooError
from ganzoo.presets import StabilityConfig

ALL = "color,translation,cutout"
NOISE = {"instance_noise": 0.5, "instance_noise_steps": 4}


def steadied(options, images=100, **more):
    """The model of two numbers under these options."""
    model = Line(**more)
    model.stabilise(StabilityConfig(**options), images)
    model.compile(g_optimizer=keras.optimizers.SGD(0.1), d_optimizer=keras.optimizers.SGD(0.1))
    return model


def built(name, options, optimizer=tiny.CALM, **more):
    """The tiny model of a paper in a run with these options."""
    tf.keras.utils.set_random_seed(0)
    config = presets.run_config(name)
    train = {"stability": StabilityConfig(**options), "batch_size": tiny.BATCH}
    train |= dict.fromkeys(tiny.OPTIMIZERS, optimizer)
    config = config.model_copy(update={"train": config.train.model_copy(update=train)})
    return zoo.build(config.model_copy(update={"model": tiny.TINY[name] | more}))


def pictures(n=3, channels=3, seed=0):
    return tf.constant(np.random.default_rng(seed).uniform(-1, 1, (n, 8, 8, channels)).astype("float32"))


# ---- what D sees -----------------------------------------------------------------------------------------------------
def test_without_options_everything_is_given_back():
    model, x = line(), pictures()
    assert model.for_d(x) is x
    assert model.for_d(x, low=0.0) is x
    assert model.for_d(x, x)[1] is x
    assert model.d_loss(lambda real, fake: (real, fake), 1, 2) == (1, 2)
    assert model.g_loss(lambda fake: fake, 1, None) == 1
    assert model.r1(None, x) == model.r2(None, x) == 0.0
    assert model.decay == model.ema_decay
    assert set(model.judged(x, x)) == {"fooled"}, "of `losses.judgement`, what the model logs"
    assert "stability" not in model.get_compile_config()
    assert "stability" not in presets.config_toml(presets.run_config("dcgan"))


@pytest.mark.parametrize("options", [{"augment": ALL}, NOISE, {"augment": "translation", **NOISE}])
def test_reals_and_fakes_of_a_step_are_seen_through_the_same_transformation(options):
    model, x, other = steadied(options), pictures(), pictures(seed=1)
    first = model.for_d(x)
    assert not np.array_equal(first, x)
    np.testing.assert_array_equal(first, model.for_d(x), err_msg="whatever is shown, and in whichever player's step")
    np.testing.assert_array_equal(model.for_d(x, other)[0], first)
    assert not np.array_equal(first, model.for_d(x, turn=1)), "the rows of D's next update have their own"
    np.testing.assert_allclose(2 * model.for_d((x + 1) / 2, low=0.0) - 1, first, atol=1e-5)
    model.step.assign_add(1)
    assert not np.array_equal(first, model.for_d(x)), "so has the next step"
    with tf.GradientTape() as tape:
        tape.watch(x)
        seen = model.for_d(x)
    assert np.any(tape.gradient(seen, x)), "G learns through it"


def test_both_pictures_of_a_pair_are_augmented_alike():
    """A gray and a coloured picture of the same numbers stay the same; instance noise is that of each."""
    model, gray = steadied({"augment": ALL}), pictures(channels=1)
    one, two = model.for_d(gray, tf.repeat(gray, 3, axis=-1))
    np.testing.assert_allclose(tf.repeat(one, 3, axis=-1), two, atol=1e-6)
    one, two = steadied(NOISE).for_d(gray, gray)
    assert not np.array_equal(one, two)


def test_pictures_whose_size_a_graph_does_not_know_are_seen_as_others():
    for options in ({"augment": ALL}, NOISE):
        model, x = steadied(options), pictures()
        shown = tf.function(model.for_d, input_signature=[tf.TensorSpec([None, None, None, 3])])
        np.testing.assert_allclose(shown(x), model.for_d(x), atol=1e-6)


def test_instance_noise_falls_to_nothing_by_the_stated_step():
    """Deviation 0.5, 0.375, 0.25, 0.125, and from step 4 on pictures as they are, to the bit."""
    model, x = steadied(NOISE), tf.zeros([64, 8, 8, 1])
    for step, deviation in enumerate([0.5, 0.375, 0.25, 0.125]):
        model.step.assign(step)
        seen = model.for_d(x).numpy()
        assert seen.std() == pytest.approx(deviation, rel=0.05)
        assert abs(seen.mean()) < 0.05 * deviation
    for step in (4, 5, 1000):
        model.step.assign(step)
        np.testing.assert_array_equal(model.for_d(pictures()), pictures())


# ---- losses, penalties and averages ----------------------------------------------------------------------------------
def test_r1_and_r2_of_a_linear_critic_are_its_squared_weights():
    """D(x) = w x has the slope w everywhere: gamma / 2 times |w|^2, one gamma at reals and one at fakes."""
    w = tf.Variable(np.random.default_rng(0).normal(size=(192, 1)).astype("float32"))
    x, squared = pictures(), float(np.square(w.numpy()).sum())

    def critic(images):
        return tf.reshape(images, [-1, 192]) @ w

    for options, factor in [
        ({"r1_gamma": 3.0}, 1.5),
        ({"r2_gamma": 5.0}, 2.5),
        ({"r1_gamma": 3.0, "r2_gamma": 5.0}, 4),
    ]:
        with tf.GradientTape() as tape:
            model = steadied(options)
            value = model.r1(critic, x) + model.r2(critic, pictures(seed=1))
        assert float(value) == pytest.approx(factor * squared, rel=1e-5)
        np.testing.assert_allclose(tape.gradient(value, w), factor * 2 * w, rtol=1e-5, err_msg="d |w|^2 = 2 w")


def test_relativistic_pairs_take_the_place_of_both_losses_and_of_what_fools_d():
    model, real, fake = steadied({"relativistic": True}), tf.constant([[3.0], [1.0]]), tf.constant([[2.0], [1.5]])
    d = float(tf.reduce_mean(tf.nn.softplus(fake - real)))
    assert float(model.d_loss(None, real, fake)) == pytest.approx(d)
    assert float(model.g_loss(None, fake, lambda: real)) == pytest.approx(
        float(tf.reduce_mean(tf.nn.softplus(real - fake)))
    )
    assert float(model.judged(real, fake)["fooled"]) == 0.5, "one of two fakes lies above its real one"
    assert float(line().judged(real, fake)["fooled"]) == 1.0, "and both above 0"


def test_the_average_has_a_half_life_in_images():
    """100 images a step: after 1,000 images, ten steps, half is left. Of the ramp-up half of the images seen so far."""
    assert steadied({"ema_images": 1000}, ema_decay=0.9).decay ** 10 == pytest.approx(0.5)
    model = steadied({"ema_images": 1000, "ema_rampup": 0.5}, ema_decay=0.9)
    for step, half_life in [(0, 0), (4, 200), (12, 600), (20, 1000), (99, 1000)]:
        model.step.assign(step)
        expected = 0.5 ** (100 / half_life) if half_life else 0.0
        assert float(model.decay) == pytest.approx(expected, abs=1e-6)
    model.step.assign(4)
    before = weight(model.generator)
    model.train_step({"image": tf.constant(COLUMN)})
    after, decay = weight(model.generator), 0.5**0.5
    assert weight(model.ema_generator) == pytest.approx(decay * before + (1 - decay) * after)


def test_d_steps_let_the_generator_move_in_every_third_step():
    model, moved = steadied({"d_steps": 3}), []
    for _ in range(6):
        before = weight(model.generator), weight(model.discriminator)
        model.train_step({"image": tf.constant(COLUMN)})
        moved.append((weight(model.generator) != before[0], weight(model.discriminator) != before[1]))
    assert moved == [(False, True), (False, True), (True, True)] * 2


# ---- in a run --------------------------------------------------------------------------------------------------------
MODERN = NOISE | {"augment": ALL, "ema_images": 16, "ema_rampup": 0.5, "d_steps": 2, "r1_gamma": 1.0, "r2_gamma": 0.5}
ADAPTIVE = MODERN | {"label_smoothing": 0.1, "ada_target": 0.3, "ada_images": 64}
MODERN |= {"relativistic": True}


def after(model, steps, first=0):
    for step in range(first, first + steps):
        logs = model.train_step(tiny.batch(model, seed=step))
    return logs, {key: np.array(value) for key, value in model.training_state().items()}


def test_a_run_that_goes_on_ends_as_one_that_was_not_interrupted():
    """All state is in `training_state`, which a checkpoint holds; p is adjusted in the fourth step."""
    model = built("gan", ADAPTIVE)
    model.shows_by.p.assign(0.5)
    half = after(model, 3)[1]
    whole = after(model, 2, first=3)[1]
    again = built("gan", ADAPTIVE)
    for key, variable in again.training_state().items():
        variable.assign(half[key])
    resumed = after(again, 2, first=3)[1]
    assert {key: value.tobytes() for key, value in resumed.items()} == {
        key: value.tobytes() for key, value in whole.items()
    }
    assert whole["augment_p"] != half["augment_p"]


def test_two_replicas_equal_one():
    """Draws are rows of the global batch and pairs are of a row. Of a D without batch norm, through which R1 mixes rows; that
    ADA's p follows all rows is seen in tests/test_augment.py."""
    ends = []
    for strategy in (strategies.choose("mirrored"), tf.distribute.get_strategy()):
        with strategy.scope():
            model = built("gan", MODERN | {"augment": ""}, optimizer=tiny.SGD)
        history = model.fit(tiny.batches(model), steps_per_epoch=2, verbose=0).history
        ends.append(({key: np.array(v) for key, v in model.training_state().items()}, history))
    (two, two_logs), (one, one_logs) = ends
    for key, value in one.items():
        np.testing.assert_allclose(two[key], value, rtol=1e-4, atol=1e-6, err_msg=key)
    for key, value in one_logs.items():
        np.testing.assert_allclose(two_logs[key], value, rtol=1e-5, atol=2e-6, err_msg=key)


def test_a_keras_file_keeps_the_options(tmp_path):
    model = built("dcgan", ADAPTIVE)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.stability == model.stability
    assert again.images_a_step == tiny.BATCH
    assert again.training_state().keys() == model.training_state().keys()
    assert after(again, 1)[0].keys() == {*model.logs} >= {"augment_p"}


# ---- options ---------------------------------------------------------------------------------------------------------
def test_options_are_set_by_key_and_kept_in_the_run_s_file(tmp_path):
    given = {"train.stability.r1_gamma": 2.0, "train.stability.augment": "color"}
    config = presets.run_config("dcgan/lorelei-64", given)
    assert config.train.stability == StabilityConfig(r1_gamma=2.0, augment="color")
    (tmp_path / "config.toml").write_text(presets.config_toml(config))
    assert presets.run_config(tmp_path / "config.toml") == config
    with pytest.raises(GanzooError, match=r'no table "stabilty"\. Did you mean "stability"'):
        presets.run_config("dcgan", {"train.stabilty.r1_gamma": 2.0})


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"ada_target": 0.6}, "ada_target drives augment: set it too"),
        ({"instance_noise": 0.1}, "instance_noise and instance_noise_steps belong together"),
        ({"ema_rampup": 0.05}, "ema_rampup limits ema_images"),
        ({"relativistic": True, "label_smoothing": 0.1}, "neither a target nor a zero"),
        ({"label_smoothing": 0.5}, "less than 0.5"),
        ({"r1_gamma": -1.0}, "greater than or equal to 0"),
        ({"d_steps": 0}, "greater than 0"),
        ({"r1_gama": 1.0}, r'unknown option "train.stability.r1_gama"\. Did you mean "r1_gamma"'),
    ],
)
def test_options_that_make_no_sense_are_said_in_a_sentence(options, sentence):
    with pytest.raises(GanzooError, match=sentence):
        presets.run_config("dcgan", {f"train.stability.{key}": value for key, value in options.items()})


def test_what_a_model_does_not_take_is_said_in_a_sentence():
    with pytest.raises(GanzooError, match='no augmentation "colour"'):
        built("dcgan", {"augment": "colour"})
    with pytest.raises(GanzooError, match=r"set model\.ema_decay above 0"):
        built("dcgan", {"ema_images": 1000}, ema_decay=0.0)
    more = {"train.accumulate": 2, "train.stability.ada_target": 0.6, "train.stability.augment": "color"}
    with pytest.raises(GanzooError, match="set accumulate = 1"):
        presets.run_config("dcgan", more)
