"""What `fit` takes: batches of the shape that the model says, at rates above 0, with a row for every replica."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

from ganzoo import schedules, zoo
from ganzoo.base.segments import Segment
from ganzoo.devices import strategies
from ganzoo.errors import GanzooError

rng = np.random.default_rng(0)


def floats(*shape):
    return rng.uniform(-1, 1, shape).astype("float32")


@pytest.fixture(scope="module")
def models():
    return {name: tiny.build(name) for name in ("gan", "dcgan", "pix2pix", "stylegan-lite", "3d-gan")}


def signature(model):
    size = tiny.SIZES.get(model.paper, 16)
    return {
        name: [4, *(size if side is None else side for side in spec.shape[1:])]
        for name, spec in model.batch_signature().items()
    }


@pytest.mark.parametrize("name", ["gan", "dcgan", "pix2pix", "stylegan-lite", "3d-gan"])
@pytest.mark.parametrize("change", ["channels", "side", "rank"])
def test_a_batch_of_another_shape_is_refused_and_moves_nothing(name, change, models):
    """gan makes gray pictures of the channels of colour ones; stylegan-lite one large picture of four small ones."""
    model, shapes = models[name], signature(models[name])
    column = next(iter(shapes))
    wrong = dict(shapes)
    *rows, channels = shapes[column]
    wrong[column] = {
        "channels": [*rows, channels + 1],
        "side": [*rows[:-1], rows[-1] + 1, channels],
        "rank": shapes[column][:-1],
    }[change]
    before = [np.array(v) for v in model.state().values()]
    text = rf'{model.full_name} trains on batches of "{column}" of \(.* each; received \({", ".join(map(str, wrong[column][1:]))}\)'
    data = tf.data.Dataset.from_tensors({key: floats(*shape) for key, shape in wrong.items()})
    with pytest.raises(GanzooError, match=text):
        model.fit(data, verbose=0)
    for was, variable in zip(before, model.state().values(), strict=True):
        np.testing.assert_array_equal(was, variable)


def test_a_second_fit_is_looked_at_too(models):
    model = models["dcgan"]
    model.fit({"image": floats(4, 16, 16, 1)}, verbose=0)
    with pytest.raises(GanzooError, match=r"received \(16, 16, 3\)"):
        model.fit({"image": floats(4, 16, 16, 3)}, verbose=0)


def test_a_growing_model_trains_on_the_size_of_its_segment():
    model = tiny.build("stylegan-lite", growing=True)
    assert model.fits("image", (16, 16, 1))
    assert not model.fits("image", (8, 8, 1))
    train = model.run_config.train.model_copy(update={"growth": None})
    model.start_segment(model.segments(train)[0])
    assert model.fits("image", (16, 16, 1))


def test_open_sides_are_multiples_of_the_stride(models):
    assert models["pix2pix"].stride == 8
    assert models["pix2pix"].fits("input", (24, 64, 1))
    assert models["pix2pix"].fits("input", (None, None, 1)), "what is not known is not refused"
    assert not models["pix2pix"].fits("input", (24, 60, 1))


@pytest.mark.parametrize("rows", [8, 6])
def test_every_replica_gets_a_row(rows):
    with strategies.choose("mirrored").scope():
        model = tiny.build("dcgan")
    data = tf.data.Dataset.from_tensor_slices({"image": floats(rows, 16, 16, 1)}).batch(4)
    assert np.isfinite(model.fit(data, verbose=0).history["d_loss"]).all()


def test_a_replica_without_a_row_is_a_sentence():
    with strategies.choose("mirrored").scope():
        model = tiny.build("dcgan")
    data = tf.data.Dataset.from_tensor_slices({"image": floats(5, 16, 16, 1)}).batch(4)
    with pytest.raises(GanzooError, match=r"A replica got no row of the last batch.*drop_remainder=True"):
        model.fit(data, verbose=0)


# ---- rates -----------------------------------------------------------------------------------------------------------
def falling(constant, decay, epoch=None):
    return schedules.ConstantThenLinear(0.1, constant, decay, epoch)


@pytest.mark.parametrize("numbers", [(2, 2), (0, 3), (4, 6, 2), (3, 5, 2), (6, 0 + 3, 3)])
def test_a_schedule_knows_its_first_step_at_rate_zero(numbers):
    schedule = falling(*numbers)
    rates = [float(schedule(step)) for step in range(20)]
    assert rates[schedule.end - 1] > 0
    assert not any(rates[schedule.end :])


def said(model, steps, **options):
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        model.fit(tf.data.Dataset.from_tensors({"image": floats(2, 6, 6, 3)}).repeat(steps), verbose=0, **options)
    return [str(warning.message) for warning in heard if "learning rate" in str(warning.message)]


@pytest.fixture
def gan():
    model = tiny.build("gan")
    optimizer = keras.optimizers.SGD
    model.compile(g_optimizer=optimizer(falling(2, 2)), d_optimizer=optimizer(0.1))
    return model


def test_a_fit_past_the_end_of_a_schedule_warns_before_it(gan):
    assert said(gan, 4) == []
    (text,) = said(gan, 3)
    assert text.startswith("The learning rate of g_optimizer is 0 after 0 of these steps")


def test_a_fit_across_the_end_says_when(gan):
    (text,) = said(gan, 3, epochs=2)
    assert "is 0 after 4 of these steps" in text


def test_a_fit_of_unknown_length_warns_when_it_gets_there(gan):
    def endless():
        for _ in range(5):
            yield {"image": floats(2, 6, 6, 3)}

    spec = {"image": tf.TensorSpec([2, 6, 6, 3], tf.float32)}
    with pytest.warns(UserWarning, match="The learning rate of g_optimizer is 0 after 0 of these steps"):
        gan.fit(tf.data.Dataset.from_generator(endless, output_signature=spec), epochs=2, verbose=0)


def test_a_player_of_several_updates_comes_to_its_end_sooner():
    model = tiny.build("wgan-gp")
    adam = keras.optimizers.Adam
    model.compile(g_optimizer=adam(1e-3), d_optimizer=adam(falling(2, 2)))
    data = tf.data.Dataset.from_tensors({"image": floats(4, 16, 16, 1)}).repeat(3)
    with pytest.warns(UserWarning, match="The learning rate of d_optimizer is 0 after 2 of these steps"):
        model.fit(data, verbose=0)


def test_a_player_that_a_part_of_a_run_does_not_train_comes_to_no_end(gan):
    said(gan, 4)  # to the end of G's schedule
    gan.segment = Segment(0, 3, 0, 2, part="other", players=("d_optimizer",))
    assert said(gan, 3) == []
    gan.segment = Segment(0, 3, 0, 2, part="gan", players=("g_optimizer", "d_optimizer"))
    (text,) = said(gan, 3)
    assert "g_optimizer is 0 after 0" in text


def test_a_model_of_the_zoo_keeps_its_rates_in_a_fit(gan):
    model = zoo.build(gan.run_config)
    assert said(model, 3) == []


def test_each_update_of_d_has_every_nth_row():
    """Of replicas and micro-batches, which hold rows that follow each other, each has its part of every update."""
    model = tiny.build("wgan-gp", n_critic=3)
    rows, labels = tf.range(6), tf.range(6) * 10
    shares = [tuple(column.numpy().tolist() for column in share) for share in model.shares(rows, labels)]
    assert shares == [([0, 3], [0, 30]), ([1, 4], [10, 40]), ([2, 5], [20, 50])]
    with pytest.raises(GanzooError, match=r"divided among n_critic = 3 updates of D, .* received 7"):
        model.shares(tf.range(7))
