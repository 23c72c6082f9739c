"""What people do with a Keras model: callbacks of one rate, validation, a call, batches one by one."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny
from PIL import Image

from ganzoo import registry
from ganzoo.base import pixels
from ganzoo.errors import GanzooError
from ganzoo.media import images

NAMES = list(registry.models())
KEPT = {"cyclegan": {"pool_size": 0}}  # the pool is not a variable of Keras: what it draws in validation it has drawn


def numbers(model):
    return {key: np.array(value) for key, value in model.training_state().items()}


@pytest.mark.parametrize("name", NAMES)
def test_validation_logs_what_a_step_would_and_moves_nothing(name):
    model = tiny.build(name, **KEPT.get(name, {}))
    batch = tiny.batch(model)
    before = numbers(model)
    validated = model.evaluate(tf.data.Dataset.from_tensors(batch), return_dict=True, verbose=0)
    after = numbers(model)
    for key, value in before.items():
        np.testing.assert_array_equal(after[key], value, err_msg=key)
    assert all(np.isfinite(value) for value in validated.values())
    # The first player's loss of the next step is taken before anything moves, if it moves once.
    trained = model.train_on_batch(batch, return_dict=True)
    assert set(validated) == set(trained)
    first = "e_loss" if model.rounds[0] == ("e_optimizer",) and "e_loss" in trained else "d_loss"
    if model.updates["d_optimizer"] == 1:
        assert validated[first] == pytest.approx(trained[first], rel=1e-5, abs=1e-6)


def test_fit_takes_validation_data():
    model = tiny.build("dcgan")
    data = tiny.batches(model)
    history = model.fit(data, steps_per_epoch=2, validation_data=data, validation_steps=1, verbose=0).history
    assert {"d_loss", "g_loss", "val_d_loss", "val_g_loss"} <= set(history)
    assert model.step.numpy() == 2


def test_one_rate_stands_for_all_and_keeps_their_ratio():
    model = tiny.build("dcgan")
    model.compile(g_optimizer=keras.optimizers.Adam(2e-3), d_optimizer=keras.optimizers.Adam(5e-4))
    scheduler = keras.callbacks.LearningRateScheduler(lambda epoch: 1e-3)
    model.fit(tiny.batches(model), steps_per_epoch=1, verbose=0, callbacks=[scheduler])
    assert float(model.g_optimizer.learning_rate) == pytest.approx(1e-3)
    assert float(model.d_optimizer.learning_rate) == pytest.approx(2.5e-4)


def test_reduce_on_plateau_lowers_every_rate():
    model = tiny.build("dcgan")
    callback = keras.callbacks.ReduceLROnPlateau("g_loss", mode="min", min_delta=1e9, patience=1, factor=0.5)
    model.fit(tiny.batches(model), steps_per_epoch=1, epochs=2, verbose=0, callbacks=[callback])
    assert float(model.g_optimizer.learning_rate) == pytest.approx(1e-4)
    assert float(model.d_optimizer.learning_rate) == pytest.approx(1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_train_on_batch_is_a_train_step(name):
    one, two = tiny.build(name), tiny.build(name)
    batch = tiny.batch(one)
    logs = one.train_on_batch(batch, return_dict=True)
    expected = two.train_step(batch)
    assert {key: pytest.approx(float(value), rel=1e-3, abs=1e-4) for key, value in expected.items()} == logs
    assert one.step.numpy() == 1


def test_compile_takes_the_options_of_keras():
    model = tiny.build("gan")
    model.compile(g_optimizer="adam", d_optimizer="adam", run_eagerly=True, steps_per_execution=3)
    assert model.run_eagerly
    assert int(model.steps_per_execution) == 3
    with pytest.raises(TypeError, match="g_optimizer, d_optimizer"):
        model.compile(optimizer="adam")


def test_a_call_is_the_sampler():
    model = tiny.build("dcgan")
    z = np.random.default_rng(0).normal(size=(5, model.latent_dim)).astype("float32")
    expected = pixels.to_uint8(model.images_of(z)).numpy()
    for made in (model(z), model.predict(z, batch_size=2, verbose=0)):
        np.testing.assert_allclose(pixels.to_uint8(made).numpy(), expected, atol=1)
    np.testing.assert_allclose(model.generate(latents=z), expected, atol=1)


def test_a_call_of_several_inputs_takes_them_by_name_or_says_so():
    model = tiny.build("stylegan-lite")
    z = np.zeros((2, model.latent_dim), "float32")
    assert model({"latents": z, "truncation_psi": np.ones(2, "float32")}).shape == (2, 16, 16, 1)
    with pytest.raises(GanzooError, match=r"\['latents', 'truncation_psi'\].*model\.generate\(\.\.\.\)"):
        model(z)


def test_export_names_ours(tmp_path):
    with pytest.raises(GanzooError, match=r"ganzoo\.export"):
        tiny.build("gan").export(str(tmp_path / "x"))


def test_a_keras_file_loads_in_a_fresh_process(tmp_path):
    model = tiny.build("dcgan")
    model.save(tmp_path / "model.keras")
    code = f"import keras, ganzoo.models; print(keras.models.load_model({str(tmp_path / 'model.keras')!r}).paper)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "dcgan"


# ---- pictures in every form ------------------------------------------------------------------------------------------
def test_generate_takes_one_picture_as_array_path_or_pillow_image(tmp_path):
    model = tiny.build("pix2pix")  # takes gray pictures
    gray = np.random.default_rng(0).integers(0, 256, (16, 24, 1), np.uint8)
    images.write_png(tmp_path / "a.png", gray)
    pillow = Image.fromarray(gray[..., 0])
    expected = model.generate(gray[None], seed=1)
    assert expected.shape == (1, 16, 24, 3)
    for given in (
        gray,
        gray[..., 0],
        pillow,
        tmp_path / "a.png",
        str(tmp_path / "a.png"),
        [pillow],
        (tmp_path / "a.png",),
    ):
        np.testing.assert_array_equal(model.generate(given, seed=1), expected)
    both = model.generate([pillow, tmp_path / "a.png"], seed=1)
    np.testing.assert_array_equal(both[:1], expected)
    assert both.shape == (2, 16, 24, 3)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["a.png", Image.new("L", (4, 4))], "a.png"),
        ([Image.new("L", (4, 4)), Image.new("L", (5, 4))], "one shape"),
        (np.zeros((2, 2), "int64"), "int64"),
        ([], "received"),
    ],
)
def test_pictures_that_cannot_be_taken_are_refused_in_a_sentence(given, words):
    with pytest.raises(GanzooError, match=words):
        tiny.build("pix2pix").generate(given)


def test_floats_that_have_no_dark_half_are_remarked_on():
    with pytest.warns(UserWarning, match=r"2 \* images - 1"):
        pixels.images_in(np.full((1, 4, 4, 1), 0.5, "float32"), 1)
    np.testing.assert_array_equal(
        pixels.images_in(np.full((1, 4, 4, 1), -0.5, "float32"), 1), np.full((1, 4, 4, 1), -0.5)
    )
