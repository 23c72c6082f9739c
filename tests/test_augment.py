"""DiffAugment against its definition, ADA's controller against hand-made numbers, and both inside StyleGAN."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from ganzoo import augment, data, penalties, zoo
from ganzoo.devices import strategies
from ganzoo.errors import GanzooError
from ganzoo.models.stylegan_lite import StyleGAN
from ganzoo.presets import GrowthConfig, OptimizerConfig, run_config

ALL = "color,translation,cutout"
TINY = {"image_size": 8, "channels": 1, "latent_dim": 4, "w_dim": 4, "mapping_layers": 1, "mapping_width": 4}
TINY |= {"fmap_base": 8, "fmap_max": 4, "ema_decay": 0.5}


def images(n=3, size=8, channels=3, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (n, size, size, channels)).astype("float32")


def on(*numbers):
    """One row of random numbers that switches a transformation on and gives it these."""
    return tf.constant([[0.0, *numbers]], tf.float32)


def one(policy, step):
    """The policy with one of its transformations only."""
    return augment.POLICIES[policy][step][0]


def applied(transform, x, *numbers):
    columns = [tf.reshape(tf.constant(n, tf.float32), [-1, 1, 1, 1]) for n in numbers]
    return transform(tf.constant(x), columns, tf.ones([len(x), 1, 1, 1])).numpy()


# ---- the transformations ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("u", [0.0, 0.25, 0.5, 0.9])
def test_color_is_brightness_then_saturation_then_contrast(u):
    x = images(1)
    np.testing.assert_allclose(applied(one("color", 0), x, [u]), x + u - 0.5, atol=1e-6)
    mean = x.mean(axis=3, keepdims=True)
    np.testing.assert_allclose(applied(one("color", 1), x, [u]), (x - mean) * 2 * u + mean, atol=1e-6)
    mean = x.mean(axis=(1, 2, 3), keepdims=True)
    np.testing.assert_allclose(applied(one("color", 2), x, [u]), (x - mean) * (u + 0.5) + mean, atol=1e-6)
    bright = x + 0.1 - 0.5
    gray = bright.mean(axis=3, keepdims=True)
    pale = (bright - gray) * 2 * 0.3 + gray
    expected = (pale - pale.mean()) * (u + 0.5) + pale.mean()
    numbers = tf.constant([[0, 0.1, 0, 0.3, 0, u]], tf.float32)
    np.testing.assert_allclose(augment.diff_augment(x, numbers, "color"), expected, atol=1e-5)


@given(
    st.floats(0, 1, exclude_max=True, width=32), st.floats(0, 1, exclude_max=True, width=32), st.sampled_from([8, 16])
)
@settings(max_examples=25, deadline=None)
def test_translation_moves_by_whole_pixels_and_fills_with_zeros(u, v, size):
    x = images(1, size)
    most = size // 8
    dy, dx = int(np.floor(np.float32(u) * (2 * most + 1))) - most, int(np.floor(np.float32(v) * (2 * most + 1))) - most
    expected = np.zeros_like(x)
    for i in range(size):
        for j in range(size):
            if 0 <= i + dy < size and 0 <= j + dx < size:
                expected[0, i, j] = x[0, i + dy, j + dx]
    np.testing.assert_array_equal(augment.diff_augment(x, on(u, v), "translation"), expected)


def test_every_shift_is_drawn_and_none_goes_further():
    x = np.zeros((1, 16, 16, 1), "float32")
    x[0, 8, 8] = 1
    places = set()
    for u in np.linspace(0, 1, 50, endpoint=False):
        places.add(int(np.argwhere(augment.diff_augment(x, on(u, 0.5), "translation").numpy()[0])[0, 0]))
    assert places == {6, 7, 8, 9, 10}


@given(
    st.floats(0, 1, exclude_max=True, width=32), st.floats(0, 1, exclude_max=True, width=32), st.sampled_from([8, 10])
)
@settings(max_examples=25, deadline=None)
def test_cutout_is_a_square_of_half_the_size_about_a_random_centre(u, v, size):
    out = augment.diff_augment(np.ones((1, size, size, 2), "float32"), on(u, v), "cutout").numpy()[0, :, :, 0]
    hole = int(size / 2 + 0.5)
    expected = np.ones((size, size))
    centre = [int(np.floor(np.float32(w) * (size + 1 - hole % 2))) for w in (u, v)]
    rows, columns = (slice(max(c - hole // 2, 0), max(c - hole // 2 + hole, 0)) for c in centre)
    expected[rows, columns] = 0
    np.testing.assert_array_equal(out, expected)
    assert size**2 - hole**2 <= out.sum() <= size**2 - (hole // 2) ** 2


@given(st.sampled_from(["", "color", "cutout", "translation,color", ALL]), st.integers(0, 5))
@settings(max_examples=15, deadline=None)
def test_p_0_is_the_images_themselves_and_p_1_touches_all(policy, seed):
    x = images(4, seed=seed)
    numbers = np.random.default_rng(seed).uniform(0, 1, (4, augment.width(policy))).astype("float32")
    np.testing.assert_array_equal(augment.diff_augment(x, tf.constant(numbers), policy, 0.0), x)
    if "color" in policy:
        after = augment.diff_augment(x, tf.constant(numbers), policy, 1.0).numpy()
        assert all(not np.array_equal(a, b) for a, b in zip(after, x, strict=True))


def test_p_is_the_share_of_images_and_each_transformation_has_its_own_draw():
    x = np.full((4000, 8, 8, 1), 0.5, "float32")
    numbers = tf.random.stateless_uniform([4000, augment.width("color,cutout")], [1, 2])
    out = augment.diff_augment(x, numbers, "color,cutout", 0.3).numpy()
    cut, bright = (out == 0).any(axis=(1, 2, 3)), np.abs(out.max(axis=(1, 2, 3)) - 0.5) > 1e-6
    assert cut.mean() == pytest.approx(0.3, abs=0.03)
    assert bright.mean() == pytest.approx(0.3, abs=0.03)
    assert (cut & bright).mean() == pytest.approx(0.09, abs=0.02)


def test_an_image_depends_on_its_own_numbers_alone():
    x, numbers = images(4), tf.random.stateless_uniform([4, augment.width(ALL)], [3, 4])
    together = augment.diff_augment(x, numbers, ALL).numpy()
    for i in range(4):
        np.testing.assert_array_equal(augment.diff_augment(x[i : i + 1], numbers[i : i + 1], ALL)[0], together[i])


def test_first_and_second_gradients_flow_through_it():
    """What is cut or moved out has none; R1 of the augmented reals trains D's weights."""
    x, numbers = tf.constant(images(2)), tf.random.stateless_uniform([2, augment.width(ALL)], [5, 6])
    with tf.GradientTape() as tape:
        tape.watch(x)
        out = tf.reduce_sum(augment.diff_augment(x, numbers, "translation,cutout"))
    gradient = tape.gradient(out, x).numpy()
    np.testing.assert_array_equal(np.unique(gradient), [0, 1])
    kernel = tf.Variable(tf.ones([3, 3, 3, 1]))
    with tf.GradientTape() as tape:
        r1 = penalties.r1(lambda y: tf.nn.conv2d(augment.diff_augment(y, numbers, ALL), kernel, 1, "SAME") ** 2, x)
    assert float(r1) > 0
    assert np.abs(tape.gradient(r1, kernel).numpy()).min() > 0


@pytest.mark.parametrize("policy", ["colour", "color,shear", "color;cutout"])
def test_an_unknown_transformation_is_said_in_a_sentence(policy):
    with pytest.raises(GanzooError, match=r"There is no augmentation .*accepted: color, translation, cutout"):
        augment.steps_of(policy)
    with pytest.raises(GanzooError, match="There is no augmentation"):
        StyleGAN(**TINY, augment=policy)


@pytest.mark.parametrize("bad", [{"ada_target": 0.6}, {"ada_target": 1.0, "augment": "color"}, {"ada_images": 0}])
def test_a_controller_needs_something_to_control(bad):
    with pytest.raises(GanzooError, match="ada_target must be in"):
        StyleGAN(**TINY, **bad)


# ---- the controller --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("p", "sign", "after"),
    [
        (0.0, 0.9, 0.00128),
        (0.5, 0.9, 0.50128),
        (0.5, 0.1, 0.49872),
        (0.0, 0.1, 0.0),
        (1.0, 1.0, 1.00128),
        (0.4, 0.6, 0.4),
    ],
)
def test_p_takes_fixed_steps_towards_the_target(p, sign, after):
    """640 of 500,000 images: the step is their share, and p falls to 0 at most; above 1 nothing stops it (official code)."""
    assert float(augment.adjusted(p, tf.constant(sign), 640)) == pytest.approx(after, abs=1e-7)


def built(strategy=None, optimizer=None, **more):
    config = run_config("stylegan-lite/fluent-128")
    if optimizer:
        both = {"g_optimizer": optimizer, "d_optimizer": optimizer}
        config = config.model_copy(update={"train": config.train.model_copy(update=both)})
    tf.keras.utils.set_random_seed(0)
    with (strategy or tf.distribute.get_strategy()).scope():
        return zoo.build(config.model_copy(update={"model": TINY | more}))


def test_p_is_adjusted_every_fourth_step_by_all_four_batches_and_is_state():
    model = built(augment="color", ada_target=0.6, ada_images=160)
    assert {"augment_p", "augment_signs"} <= model.training_state().keys()
    assert not {"augment_p", "augment_signs"} & model.state().keys(), "weights files are those of a model without it"
    for sign, p in [(1, 0), (1, 0), (1, 0), (1, 0.1), (1, 0.1), (1, 0.1), (-1, 0.1), (1, 0.0)]:  # 3 of 4: mean 0.5
        model.augmenter.adapt(tf.constant([[3.0 * sign]] * 4), model.step.value)
        model.step.assign_add(1)
        assert float(model.augmenter.p.numpy()) == pytest.approx(p)
    assert float(model.augmenter.signs.numpy()) == 0
    assert "augment_p" not in built(augment="color").training_state()


def test_a_step_sees_one_draw_for_each_stream_and_step():
    model, x = built(augment=ALL), tf.constant(images(4, channels=1))
    first = model.view("real", x)
    np.testing.assert_array_equal(first(x), first(x))
    np.testing.assert_array_equal(first(x), model.view("real", x)(x))
    assert not np.array_equal(first(x), model.view("fake d", x)(x))
    model.step.assign_add(1)
    assert not np.array_equal(first(x), model.view("real", x)(x))
    plain = built()
    assert plain.view("real", x)(x) is x


def test_two_replicas_augment_adapt_and_grow_as_one_does():
    """A fading size with DiffAugment under ADA: draws are rows of the global batch, p follows all of it.

    With plain gradient descent, which does not make steps of a rounding error as Adam does, and noise in every layer:
    a map that is the same everywhere has no variance to divide by.
    """
    train = run_config("stylegan-lite/fluent-128").train
    train = train.model_copy(
        update={"batch_size": 4, "steps": 9, "growth": GrowthConfig(start_size=4, stable=3, fade=64)}
    )
    ends = []
    for strategy in (strategies.choose("mirrored"), tf.distribute.get_strategy()):
        model = built(
            strategy, OptimizerConfig(name="sgd", learning_rate=0.01), augment=ALL, ada_target=0.1, ada_images=64, stddev_group=1, r1_interval=2, growing=True,
            mapping_width=5,
        )  # fmt: skip
        for epilogue in model.generator.synthesis.epilogues:
            epilogue.strength.assign(tf.ones(epilogue.strength.shape))
        segment = model.segments(train)[1]
        model.step.assign(segment.first_step)
        model.start_segment(segment)
        model.augmenter.p.assign(0.5)  # whatever D thinks of the first pictures: some are augmented, and p moves
        history = model.fit(
            data.synthetic(model.batch_signature(), 4), steps_per_epoch=4, verbose=0, shuffle=False
        ).history
        ends.append(({key: np.array(v) for key, v in model.training_state().items()}, history))
    (two, two_logs), (one, one_logs) = ends
    assert 0 < one["generator/generator/lod"] < 1
    assert float(one["augment_p"]) not in (0.0, 0.5)
    for key, value in one.items():
        np.testing.assert_allclose(two[key], value, atol=1e-5, rtol=1e-4, err_msg=key)
    for key, value in one_logs.items():
        np.testing.assert_allclose(two_logs[key], value, rtol=1e-4, atol=1e-5, err_msg=key)
