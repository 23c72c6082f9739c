"""age-cgan: where labels enter, the encoder's distance, the parts of a run, the search for the z of a face, strips of ages."""

import builtins
import json
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny
from PIL import Image
from support.cli_runs import refused, run

import ganzoo
from ganzoo import ages, presets, sampling, training
from ganzoo.base import age_reader, face_descriptor, faces
from ganzoo.base.segments import one_segment
from ganzoo.errors import GanzooError
from ganzoo.models import age_cgan


@pytest.fixture(scope="module")
def model():
    made = tiny.build("age-cgan", channels=3, ema_decay=0.0, label_off=0.0, norm_weight=0.0, iterations=8)
    for variable in made.generator.trainable_variables:  # far enough from grey that a search has somewhere to go
        if variable.path.endswith("kernel"):
            variable.assign(variable.value * 8)
    made.finalize()
    return made


@pytest.fixture(scope="module")
def photos():
    return np.random.default_rng(0).integers(0, 256, (2, 20, 26, 3), np.uint8)


def small(images):
    """Features of faces with a gradient: means of squares of four pixels."""
    return tf.reshape(tf.nn.avg_pool2d(images, 4, 4, "VALID"), [tf.shape(images)[0], -1])


def values(model):
    return {key: np.array(v) for key, v in model.training_state().items()}


def moved(model, before):
    return {key.split("/")[0] for key, v in model.training_state().items() if not np.array_equal(before[key], v)}


# ---- networks: the numbers that labels add -----------------------------------------------------------------------------
def test_labels_join_z_and_the_output_of_ds_first_convolution():
    sizes = {"image_size": 64, "channels": 3}
    with keras.device("cpu"):
        g = age_cgan.build_generator(**sizes, latent_dim=100, ngf=64)
        d = age_cgan.build_discriminator(**sizes, ndf=64, label_place="after")
        e = age_cgan.build_encoder(**sizes, latent_dim=100, nef=32, encoder_units=4096)
    count = lambda network: sum(int(np.prod(v.shape)) for v in network.trainable_variables)  # noqa: E731
    assert (count(g), count(d)) == (3_576_704 + 6 * 512 * 16, 2_765_568 + 6 * 128 * 16)  # DCGAN's, and what labels add
    assert g.get_layer("project").kernel.shape == (4, 4, 512, 106)
    assert d.get_layer("down2_conv").kernel.shape == (4, 4, 70, 128)
    assert [layer.kernel.shape[-1] for layer in e.layers if layer.name.endswith("_conv")] == [32, 64, 128, 256]


@pytest.mark.parametrize(
    ("place", "off", "wanted"), [("after", -1.0, -1.0), ("before", -1.0, -0.2), ("before", 0.0, 0.0)]
)
def test_maps_are_constant_and_join_before_or_after_the_activation(place, off, wanted):
    model = tiny.build("age-cgan", label_place=place, label_off=off)
    d = model.discriminator
    seen = keras.Model(d.inputs, d.get_layer("down2_conv").input)
    images = tiny.batch(model)["image"]
    maps = seen([images, model.code([0, 2, 5, 5])]).numpy()[..., -6:]
    expected = np.full((4, 6), wanted, np.float32)
    expected[[0, 1, 2, 3], [0, 2, 5, 5]] = 1  # the leaky ReLU leaves it
    np.testing.assert_allclose(maps, np.broadcast_to(expected[:, None, None], maps.shape), atol=1e-6)


# ---- the encoder's loss -------------------------------------------------------------------------------------------------
def test_the_encoder_is_measured_by_the_norm_and_not_by_squares():
    a, b = tf.constant([[3.0, 4.0], [0.0, 1.0]]), tf.zeros([2, 2])
    with tf.GradientTape() as tape:
        tape.watch(a)
        loss = age_cgan.euclidean(a, b)
    assert float(loss) == pytest.approx((5 + 1) / 2)  # the mean of squares is 6.5
    np.testing.assert_allclose(tape.gradient(loss, a), [[0.3, 0.4], [0.0, 0.5]], atol=1e-6)


def test_a_step_of_the_encoder_sees_faces_of_all_classes_by_running_statistics(model, monkeypatch):
    seen = {}
    real = model.images_of
    monkeypatch.setattr(model, "images_of", lambda z, y: seen.update(z=z, y=y) or real(z, y))
    loss = float(model.encoder_step(300))
    assert set(seen["y"].numpy()) == set(range(6))
    assert abs(float(tf.math.reduce_std(seen["z"])) - 1) < 0.1
    assert loss > 0


# ---- the parts of a run -------------------------------------------------------------------------------------------------
def test_segments_move_what_they_should():
    model = tiny.build("age-cgan")
    train = presets.run_config("age-cgan").train.model_copy(update={"encoder_steps": 3, "steps": 10})
    first, second = model.segments(train)
    assert (first.part, first.steps, second.part, second.first_step, second.steps) == ("cgan", 7, "encoder", 7, 3)
    assert second.first_image == 7 * train.batch_size
    for segment, wanted in ((first, {"generator", "discriminator", "ema_generator"}), (second, {"encoder"})):
        model.start_segment(segment)
        before = values(model)
        model.train_step(tiny.batch(model))
        own = {"cgan": {"g_optimizer", "d_optimizer"}, "encoder": {"e_optimizer"}}[segment.part]
        assert moved(model, before) == wanted | own | {"step"}
    assert model.segments(train.model_copy(update={"encoder_steps": 0, "steps": 10}))[0].players is None
    with pytest.raises(GanzooError, match="give more steps"):
        model.segments(train.model_copy(update={"steps": 3}))


def test_a_new_segment_starts_the_encoder_on_a_settled_generator():
    model = tiny.build("age-cgan", ema_decay=0.0)
    train = presets.run_config("age-cgan").train.model_copy(update={"encoder_steps": 3, "steps": 10})
    _, second = model.segments(train)
    model.start_segment(second)
    first = values(model)
    model.start_segment(second)  # as a run that is resumed there
    assert not moved(model, first)


@pytest.fixture(scope="module")
def run_of():
    def config(**more):
        small = {"model.image_size": 8, "model.latent_dim": 4, "model.ngf": 4, "model.ndf": 4, "model.nef": 2}
        small |= {"model.encoder_units": 6, "model.ema_decay": 0.5, "data.size": 8, "data.split": "test"}
        small |= {"train.batch_size": 4, "train.encoder_steps": 4, "train.log_every": 1, "train.checkpoint_every": 3}
        small |= {"train.sample_every": 0, "train.health_every": 0}
        return presets.run_config("age-cgan", small | {key.replace("__", "."): value for key, value in more.items()})

    return config


@pytest.fixture(scope="module")
def finished(run_of, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "whole"
    training.train(run_of(train__steps=9, train__sample_every=9), out=out, strategy="one")
    return out


def test_a_run_logs_each_part_and_a_resumed_one_ends_with_the_same_bytes(finished, run_of, tmp_path, monkeypatch):
    from ganzoo.runs.log import read_log
    from ganzoo.training import callbacks

    rows = read_log(finished / "log.jsonl").rows
    assert [("d_loss" in row, "e_loss" in row) for row in rows] == [(True, False)] * 5 + [(False, True)] * 4
    assert [path.name for path in (finished / "samples").iterdir()] == ["000000.png"], "E makes nothing new to see"
    stop = {4: None, 7: None}  # in each of the two parts
    real = callbacks.Checkpoints.on_train_batch_end

    def interrupted(self, batch, logs=None):
        real(self, batch, logs)
        if self.step in stop:
            del stop[self.step]
            self.model.stop_training = True

    monkeypatch.setattr(callbacks.Checkpoints, "on_train_batch_end", interrupted)
    for again in range(3):
        training.train(run_of(train__steps=9), out=tmp_path / "parts", resume=again > 0, strategy="one")
    assert not stop
    files = [path / "model" / "weights.safetensors" for path in (finished, tmp_path / "parts")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_more_steps_may_not_move_the_border_that_a_run_has_passed(run_of, finished):
    with pytest.raises(GanzooError, match=r"part encoder began at step 5, which 12 steps would move"):
        training.train(run_of(train__steps=12, train__sample_every=9), out=finished, resume=True, strategy="one")


def test_fine_tuning_trains_the_encoder_anew(finished, run_of, tmp_path):
    training.train(run_of(train__steps=6), out=tmp_path / "b", init=finished, strategy="one")
    a, b = (ganzoo.load(folder) for folder in (finished, tmp_path / "b"))
    assert b.run_config.train.encoder_steps == 4
    assert any(not np.array_equal(x, y) for x, y in zip(a.encoder.weights, b.encoder.weights, strict=True))


def test_data_of_another_shape_are_refused(run_of, tmp_path):
    config = run_of(train__steps=6, data__shape="images", data__source="fashion")
    with pytest.raises(GanzooError, match=r'set data\.shape = "ages"'):
        training.train(config, out=tmp_path / "x", strategy="one")


# ---- the search: nothing trains, the objective falls, the own age is what counts ----------------------------------------
@pytest.mark.parametrize("optimise", ["pixels", small, True])
def test_a_search_lowers_its_objective_and_moves_no_weight(model, photos, optimise):
    squares, own = model.faces_in(photos), np.array([1, 4])
    before = values(model)
    found, start = model.search(squares, own, optimise), model.encode(squares)
    assert not moved(model, before)
    features = model._features(optimise)

    def distance(z):
        made = model.images_of(tf.constant(z), tf.constant(own))
        return np.linalg.norm((features(made) - features(squares)).numpy().reshape(2, -1), axis=1)

    assert (distance(found) < distance(start)).all()
    alone = model.search(squares[1:], own[1:], optimise)
    np.testing.assert_array_equal(alone[0], found[1], "a face does not depend on its neighbours")


def test_no_search_stops_at_what_the_encoder_says(model, photos):
    squares = model.faces_in(photos)
    np.testing.assert_array_equal(model.search(squares, [0, 0], False), model.encode(squares))


def test_iterations_cap_the_search_and_the_norm_holds_z(photos):
    def build(**more):
        return tiny.build("age-cgan", channels=3, ema_decay=0.0, label_off=0.0, **more)

    far = {}
    for key, more in {
        "one": {"iterations": 1, "norm_weight": 0.0},
        "many": {"iterations": 30, "norm_weight": 0.0},
        "held": {"iterations": 30, "norm_weight": 100.0},
    }.items():
        model = build(**more)
        squares = model.faces_in(photos[:1])
        far[key] = model.search(squares, [2], small)[0] - model.encode(squares)[0]
        norm = np.linalg.norm(model.search(squares, [2], small)[0])
        assert (abs(norm - model.latent_dim**0.5) < 0.05) == (key == "held")
    assert np.linalg.norm(far["one"]) < np.linalg.norm(far["many"])


def test_the_own_age_is_searched_with_and_never_the_one_that_is_asked_for(model, photos):
    squares = model.faces_in(photos)
    wanted = model.aged(tf.constant(model.search(squares, [5, 5], small)), [0, 3])
    made = model.generate(photos, age=["0-18", 45], start_age="60+", optimise=small)
    assert made.shape == (4, 16, 16, 3)
    np.testing.assert_array_equal(made, wanted)
    other = model.aged(tf.constant(model.search(squares, [0, 0], small)), [0, 3])
    assert (other != wanted).any()
    one = model.generate(photos, age=45, start_age=[80, 61], optimise=small)
    np.testing.assert_array_equal(one, made[1::2])
    np.testing.assert_array_equal(
        model.reconstruct(photos, start_age=70, optimise=small),
        model.aged(tf.constant(model.search(squares, [5, 5], small)), [5]),
    )


def test_pictures_of_any_size_give_the_square_in_their_middle(model):
    picture = np.random.default_rng(1).integers(0, 256, (1, 16, 30, 3), np.uint8)
    squares = model.faces_in(picture)
    np.testing.assert_allclose((squares + 1) * 127.5, picture[:, :, 7:23], atol=1e-3)
    gray = model.faces_in(picture[..., :1])
    np.testing.assert_array_equal(gray[..., 0], gray[..., 2])
    assert model.faces_in(np.repeat(picture, 4, axis=1)).shape == (1, 16, 16, 3)


# ---- what tells an age --------------------------------------------------------------------------------------------------
def test_an_age_that_nobody_says_is_read_or_asked_for(photos, monkeypatch):
    silent = tiny.build("age-cgan", channels=3)
    with pytest.raises(GanzooError, match="has no reader of ages: give the own age"):
        silent.generate(photos, age=30)
    reads = tiny.build("age-cgan", channels=3, age_reader="age-cnn", ema_decay=0.0)
    monkeypatch.setattr(age_reader, "years", lambda images: np.array([12.4, 71.0], np.float32))
    assert reads.own_classes(reads.faces_in(photos)).tolist() == [0, 5]
    assert reads.own_classes(reads.faces_in(photos), 35).tolist() == [2, 2], "what is said counts"


def test_the_reader_reads_held_out_persons_as_well_as_its_sidecar_says():
    """The bundled part of the test pictures; in the full set there are more, so a little more or less is right."""
    source = ganzoo.data.open_source(presets.run_config("age-cgan").data, "test")
    columns = ganzoo.data.bundled.columns("faces_age_64")
    shown, held_out = source.take(len(source))["image"], columns["split"] == "test"
    about = json.loads((age_reader.ASSETS / age_reader.SIDECAR).read_text())
    errors = np.abs(age_reader.years(shown) - columns["age"][held_out])
    assert errors.mean() == pytest.approx(about["test_error"], abs=1)
    assert np.mean(age_reader.classes(shown) == source.labels) == pytest.approx(about["test_accuracy"], abs=0.05)
    floats = shown[:3].astype(np.float32) / 127.5 - 1
    np.testing.assert_allclose(age_reader.years(floats), age_reader.years(shown[:3]), atol=0.1)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"age": 300}, r"age: An age is 0 to 120 years.*received 300"),
        ({"age": []}, "received an empty list"),
        ({"age": "elderly"}, '"elderly" is not an age'),
        ({"age": 30, "start_age": [3, 4, 5]}, "one for each of the 2 faces; received 3"),
        ({"age": 30, "start_age": -2}, "start_age: An age is 0 to 120"),
        ({"age": 30, "optimise": "pixel"}, 'optimise is True, False, "pixels" or a function'),
        ({"age": 30, "images": np.zeros((1, 20, 20, 3), np.uint8)}, "one colour from edge to edge and shows no face"),
        ({"age": 30, "images": np.zeros((2, 20, 20), np.int32)}, "images"),
    ],
)
def test_bad_input_is_a_sentence(model, photos, given, sentence):
    options = {"images": photos, "start_age": 40} | given
    with pytest.raises(GanzooError, match=sentence):
        model.generate(**options)


def test_without_scipy_a_sentence_says_what_to_install(model, photos, monkeypatch):
    real = builtins.__import__

    def missing(name, *more, **options):
        if name.startswith("scipy"):
            raise ImportError(name)
        return real(name, *more, **options)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(GanzooError, match=r"pip install 'ganzoo\[age\]'"):
        model.generate(photos, age=30, start_age=30)
    assert model.generate(photos, age=30, start_age=30, optimise=False).shape == (2, 16, 16, 3)


def test_a_missing_reader_or_descriptor_is_a_sentence(monkeypatch, tmp_path, model, photos):
    monkeypatch.setattr(age_reader, "ASSETS", tmp_path)
    age_reader.load.cache_clear()
    with pytest.raises(GanzooError, match="The reader of ages is not at"):
        age_reader.years(photos)
    monkeypatch.setattr(face_descriptor, "ASSETS", tmp_path)
    face_descriptor.load.cache_clear()
    with pytest.raises(GanzooError, match="The face descriptor is not at"):
        age_cgan.AgeCGAN._features(model, True)
    face_descriptor.load.cache_clear()
    age_reader.load.cache_clear()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"image_size": 24}, "doubles from 4x4"),
        ({"label_place": "middle"}, 'label_place is "after" or "before"'),
        ({"label_off": 0.5}, "label_off is 0 or -1"),
        ({"age_reader": "net"}, 'age_reader is "age-cnn"'),
        ({"norm_weight": -1.0}, "norm_weight"),
        ({"iterations": 0}, "iterations is a whole number"),
    ],
)
def test_senseless_arguments_are_refused(arguments, sentence):
    with pytest.raises(GanzooError, match=sentence):
        age_cgan.AgeCGAN(**{"image_size": 16, "ngf": 2, "ndf": 2, "nef": 2, "encoder_units": 4} | arguments)


# ---- the command line ---------------------------------------------------------------------------------------------------
def test_the_command_line_writes_a_row_a_face(finished, photos, tmp_path):
    for i, photo in enumerate(photos):
        Image.fromarray(photo).save(tmp_path / f"{i}.png")
    strip = tmp_path / "strip.png"
    common = ["sample", str(finished), "--ages", "10,30-39,60", "--start-age", "34", "--optimise", "none"]
    run(*common, "--input", tmp_path / "0.png", "-o", strip)
    with Image.open(strip) as picture:
        assert picture.size[0] > picture.size[1]
        assert (picture.text["ages"], picture.text["start_age"]) == ("10,30-39,60", "34")
        shown = np.asarray(picture.convert("RGB"))
    model = ganzoo.load(finished)
    cells, own = model.strip(photos[:1], ["10", "30-39", "60"], 34, False)
    assert own.tolist() == [2]
    from ganzoo.media import images

    np.testing.assert_array_equal(shown, images.grid(cells, 5))
    told = run(*common, "--input", tmp_path, "-o", tmp_path / "out").stderr
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == ["0.png", "1.png", "strip.png"]
    assert "the square of 20 px in its middle was taken" in told
    assert "would be overwritten" in refused(*common, "--input", tmp_path / "0.png", "-o", tmp_path / "0.png")


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--ages", "10,300"], "received 300"),
        (["--ages", "10,,30"], "is a list of ages"),
        (["--start-age", "x"], "is not an age"),
        (["--optimise", "pixel"], 'Did you mean "pixels"'),
    ],
)
def test_the_command_line_refuses_bad_ages_before_it_loads(more, sentence, tmp_path):
    picture = tmp_path / "a.png"
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(picture)
    assert sentence in refused("sample", "age-cgan", "--input", picture, "-o", tmp_path / "x.png", *more)
    assert not (tmp_path / "x.png").exists()


def test_other_models_take_no_ages():
    other = tiny.build("pix2pix")
    with pytest.raises(GanzooError, match="changes no ages"):
        sampling.require_ages(other)
    assert "name its picture with --input" in refused("sample", "age-cgan", "--ages", "10", "-o", "x.png")


# ---- serving ------------------------------------------------------------------------------------------------------------
def test_the_endpoint_says_what_is_no_age(model):
    serve, _ = model.serving_signature()["serving_default"]
    png = tf.io.encode_png(np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(tf.errors.InvalidArgumentError, match="age is 0 to 120 years"):
        serve(png[None], tf.constant([130.0]))
    bounds = faces.classes_in_graph(tf.constant([0.0, 18.0, 19.0, 29.9, 59.0, 60.0, 120.0]))
    assert bounds.numpy().tolist() == [0, 0, 1, 1, 4, 5, 5]


def test_examples_show_each_z_at_every_class(model):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = model.examples(12, 3)
    z = model.latents(tf.constant([[3, 0], [3, 1]]))
    assert made.shape == (12, 16, 16, 3)
    assert len(ages.NAMES) == model.example_columns
    np.testing.assert_array_equal(made[:6], model.aged(z[:1], range(6)))


def test_without_segments_all_parts_train():
    model = tiny.build("age-cgan")
    train = presets.run_config("age-cgan").train.model_copy(update={"encoder_steps": 0})
    assert model.segments(train) == one_segment(train)
    assert model.trains("cgan")
    assert model.trains("encoder")
