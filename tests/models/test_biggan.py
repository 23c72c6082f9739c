"""What is special in BigGAN: classes by name, truncation, the average's start, orthogonal filters, a fine-tuning's classes."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny
from PIL import Image
from support.papers import network
from support.steps import values

import ganzoo
from ganzoo import explore, presets
from ganzoo.base import rows
from ganzoo.errors import GanzooError
from ganzoo.media import images
from ganzoo.models import biggan
from ganzoo.training.transfer import Transfer

NAMES = ("Ankle boot", "T-shirt/top", "Bag")
RECIPE = tiny.VARIANTS["biggan"][0]


@pytest.fixture(scope="module")
def model():
    """The CIFAR recipe with names; wide tables, so that classes differ."""
    made = tiny.build("biggan", **RECIPE)
    for variable in made.sampler.weights:
        if "_gain/" in variable.path or "_offset/" in variable.path:
            variable.assign(np.random.default_rng(len(variable.path)).normal(size=variable.shape))
    return made


# ---- asked by class --------------------------------------------------------------------------------------------------
def test_a_class_is_asked_by_name_or_number_or_comes_in_turn(model):
    in_turn = model.generate(6, seed=3)
    np.testing.assert_array_equal(in_turn, model.generate(6, seed=3, label=["Ankle boot", 1, "bag", 0, 1, 2]))
    bags = model.generate(6, seed=3, label="Bag")
    np.testing.assert_array_equal(bags[[2, 5]], in_turn[[2, 5]], err_msg="a sample depends on its own label")
    assert not np.array_equal(bags[0], in_turn[0])
    np.testing.assert_array_equal(bags, model.generate(6, seed=3, label=2))


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"label": "Bags"}, 'no class "Bags".*Did you mean "Bag"'),
        ({"label": 3}, "not one of the 3 classes"),
        ({"label": [0, 1]}, "one for each of the 16 samples; received 2"),
        ({"truncation": 0}, "more than 0 and at most 1"),
        ({"truncation": -0.5}, "more than 0"),
        ({"truncation": 1.5}, "with resample=True also more"),
        ({"truncation": float("nan")}, "more than 0"),
        ({"truncation": "a"}, "more than 0"),
        ({"truncation": 0, "resample": True}, "more than 0"),
    ],
)
def test_what_cannot_be_asked_is_said(model, given, word):
    with pytest.raises(GanzooError, match=word):
        model.generate(**given)


def test_weights_of_classes_lie_between_the_classes(model):
    z = model.latents(rows.row_seeds(0, 3))
    of_class = model.images_of(z, tf.constant([0, 1, 2], tf.int64))
    np.testing.assert_allclose(model.blended(z, np.eye(3, dtype="float32")), of_class, atol=1e-6)
    half = model.blended(z, np.full((3, 3), [0.5, 0.5, 0.0], "float32"))
    assert np.abs(half - of_class).max() > 1e-3


# ---- truncation ------------------------------------------------------------------------------------------------------
def test_truncated_noise_is_cut_and_scaled_and_the_papers_is_cut_alone():
    model = tiny.build("biggan", latent_dim=64)
    seeds = rows.row_seeds(0, 64)
    plain = model.latents(seeds).numpy()
    scaled = model.truncated_latents(seeds, 0.5).numpy()
    drawn = model.truncated_latents(seeds, 0.5, True).numpy()
    assert np.abs(plain).max() > 3
    assert 0.9 < np.abs(scaled).max() <= 1.0, "2 deviations times a half"
    assert 0.49 < np.abs(drawn).max() <= 0.5, "nothing beyond the threshold"
    assert scaled.std() == pytest.approx(0.5 * 0.8796, abs=0.02)  # of a normal distribution cut at 2
    assert drawn.std() == pytest.approx(0.2852, abs=0.01)  # of one cut at 0.5
    again = model.truncated_latents(seeds[5:6], 0.5).numpy()
    np.testing.assert_array_equal(again[0], scaled[5], err_msg="a row depends on its own seed")


def test_a_truncation_has_standing_statistics_of_its_own_and_moves_nothing(model):
    before = values(model)
    whole, cut = model.generate(4, seed=1), model.generate(4, seed=1, truncation=0.4)
    np.testing.assert_array_equal(cut, model.generate(4, seed=1, truncation=0.4))
    assert not np.array_equal(whole, cut)
    z = model.truncated_latents(rows.row_seeds(1, 4), 0.4)
    np.testing.assert_array_equal(cut, model.generate(latents=z, truncation=0.4))
    assert not np.array_equal(cut, model.generate(latents=z)), "statistics of untruncated z"
    np.testing.assert_array_equal(whole, model.generate(4, seed=1))
    after = values(model)
    assert all(np.array_equal(before[key], after[key]) for key in before)


def test_standing_statistics_are_plain_means_over_the_batches(monkeypatch):
    """Of the first norm: what goes into it is the projection alone, so its statistics can be taken by hand."""
    model = tiny.build("biggan", **RECIPE, standing_batches=3)
    inputs = list(model.standing_inputs())
    assert [len(z) for z, _ in inputs] == [64] * 3
    grid = keras.Model(model.sampler.inputs, model.sampler.get_layer("grid").output)
    maps = [grid(batch, training=False).numpy().reshape(-1, grid.output_shape[-1]) for batch in inputs]
    model.finalize()
    norm = model.sampler.get_layer("block1_1_norm")
    np.testing.assert_allclose(norm.moving_mean, np.mean([m.mean(0) for m in maps], 0), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(norm.moving_variance, np.mean([m.var(0, ddof=1) for m in maps], 0), rtol=2e-2)


# ---- training --------------------------------------------------------------------------------------------------------
def test_the_average_is_a_copy_until_it_starts():
    model = tiny.build("biggan", **RECIPE | {"d_steps": 1}, ema_start=2)
    distances = []
    for step in range(3):
        model.train_step(tiny.batch(model, seed=step))
        pairs = zip(
            model.ema_generator.trainable_weights or model.ema_generator.weights, model.generator.weights, strict=False
        )
        distances.append(max(float(np.abs(np.array(a) - np.array(b)).max()) for a, b in pairs))
    assert distances[0] == distances[1] == 0
    assert distances[2] > 0


def test_orthogonal_regularisation_is_of_all_filters_but_the_shared_embedding():
    model = tiny.build("biggan")
    kernels = [v for v in model.generator.trainable_variables if v.path.endswith("kernel")]
    assert len(model.filters()) == len(kernels) - 1
    assert not any(matrix.shape == model.generator.get_layer("shared").kernel.shape for matrix in model.filters())
    tables = tiny.build("biggan", **RECIPE).filters()
    assert sum(matrix.shape[1] == 3 for matrix in tables) == 12, "of a table the classes are the filters"


def test_a_batch_that_cannot_be_divided_is_said():
    model = tiny.build("biggan", **RECIPE)
    with pytest.raises(GanzooError, match="divided among d_steps = 2"):
        model.train_step(tiny.batch(tiny.build("biggan"), 3))


# ---- sizes -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("build", "settings", "word"),
    [
        (
            biggan.build_generator,
            {"image_size": 48},
            "G of BigGAN is laid out for image_size 32, 64, 128, 256, 512; received 48",
        ),
        (
            biggan.build_discriminator,
            {"image_size": 512},
            "D of BigGAN is laid out for image_size 32, 64, 128, 256; received 512",
        ),
        (biggan.build_generator, {"image_size": 64, "deep": True}, "BigGAN-deep is laid out for image_size 128, 256"),
        (
            biggan.build_generator,
            {"image_size": 32, "latent_dim": 10, "attention": 0},
            "a multiple of that; received 10. Nearest: 8",
        ),
        (biggan.build_generator, {"image_size": 32, "latent_dim": 8, "attention": 64}, "8 to 32, or 0 for none"),
        (biggan.build_discriminator, {"image_size": 32, "attention": 64, "ndf": 2}, "a map of D"),
        (biggan.build_generator, {"image_size": 32, "shared_dim": 0, "attention": 0}, "shared class embedding"),
        (biggan.build_generator, {"image_size": 32, "init": "uniform", "attention": 0}, "orthogonal"),
        (
            biggan.build_generator,
            {"image_size": 32, "ngf": 1, "latent_dim": 8, "attention": 16},
            "an eighth of the channels",
        ),
    ],
)
def test_layouts_that_there_are_not_are_said(build, settings, word):
    with pytest.raises(GanzooError, match=word):
        network(build, **settings)


# ---- exploring -------------------------------------------------------------------------------------------------------
def test_a_way_leads_from_class_to_class(model):
    table = explore.interpolate(model, "0:4", label=["Bag", "Ankle boot", "Bag"], steps=3)
    assert table.shape[:2] == (2, 3)
    np.testing.assert_array_equal(table[0, 0], model.generate(5, label="Bag")[4])
    np.testing.assert_array_equal(table[0, 2], model.generate(5, label="Ankle boot")[4])
    np.testing.assert_array_equal(table[1, 2], table[0, 0])
    in_turn = explore.interpolate(model, "0:1-2", steps=2)[0]
    np.testing.assert_array_equal(in_turn, model.generate(3)[1:])
    with pytest.raises(GanzooError, match="2 classes for 3 points"):
        explore.interpolate(model, "0:0-2", label=[0, 1])
    with pytest.raises(GanzooError, match="no class"):
        explore.interpolate(model, "0:0", label=["Hat", "Bag"])


def test_truncated_noise_in_columns(model):
    table = explore.truncate_noise(model, "0:0-1", truncations=(1.0, 0.3), label=["Bag", "Ankle boot"])
    np.testing.assert_array_equal(table[:, 0], model.generate(2, label=["Bag", "Ankle boot"]))
    np.testing.assert_array_equal(table[:, 1], model.generate(2, label=["Bag", "Ankle boot"], truncation=0.3))
    with pytest.raises(GanzooError, match="does not truncate its noise"):
        explore.truncate_noise(tiny.build("dcgan"), "0:0")


@pytest.mark.parametrize("more", [{}, RECIPE])
def test_directions_are_of_all_that_the_first_maps_make_of_z(more):
    model = tiny.build("biggan", **more)
    weights = model.latent_weights()
    assert weights.shape[0] == model.latent_dim
    if model.hierarchical:  # chunk 1 goes into block 1 alone
        project = 16 * model.generator.get_layer("grid").output.shape[-1]
        assert not weights[2:4, :project].any()
        assert weights[2:4].any()
    table = explore.walk(model, "0:1", directions=[0], steps=3)
    np.testing.assert_array_equal(table[0, 1], model.generate(2)[1])


# ---- folders of classes, from the data to the samples ------------------------------------------------------------------
@pytest.fixture(scope="module")
def animals(tmp_path_factory):
    root = tmp_path_factory.mktemp("animals")
    for number, name in enumerate(("cat", "dog", "owl")):
        (root / name).mkdir()
        for i in range(4):
            picture = np.random.default_rng(10 * number + i).integers(0, 256, (32, 32), np.uint8)
            Image.fromarray(picture).save(root / name / f"{i}.png")
    return root


SMALL = {
    "model.ngf": 2, "model.ndf": 2, "model.latent_dim": 8, "model.standing_batches": 1, "train.batch_size": 4, "train.steps": 1,
    "train.sample_every": 0, "train.health_every": 0, "train.checkpoint_every": 0, "data.test_split": "train",
}  # fmt: skip


def test_the_data_decide_the_classes_and_their_names(animals, tmp_path):
    options = SMALL | {"data.source": str(animals), "data.balance": True}
    ganzoo.train("biggan/fashion-32", out=tmp_path / "run", **options)
    model = ganzoo.load(tmp_path / "run")
    assert (model.classes, model.class_names) == (3, ("cat", "dog", "owl"))
    assert model.generate(2, label="Owl").shape == (2, 32, 32, 1)
    with pytest.raises(GanzooError, match=r'no class "Sneaker".*cat, dog, owl'):
        model.generate(1, label="Sneaker")


def test_data_of_one_class_or_of_a_class_of_one_picture_are_refused(animals, tmp_path):
    (tmp_path / "few" / "cat").mkdir(parents=True)
    for i in range(3):
        Image.open(animals / "cat" / f"{i}.png").save(tmp_path / "few" / "cat" / f"{i}.png")
    with pytest.raises(GanzooError, match="needs labels"):
        ganzoo.train("biggan/fashion-32", out=tmp_path / "a", **SMALL | {"data.source": str(tmp_path / "few")})
    (tmp_path / "few" / "dog").mkdir()
    Image.open(animals / "dog" / "0.png").save(tmp_path / "few" / "dog" / "0.png")
    with pytest.raises(GanzooError, match=r'The class "dog" of .* has one picture'):
        ganzoo.train("biggan/fashion-32", out=tmp_path / "b", **SMALL | {"data.source": str(tmp_path / "few")})


def test_a_fine_tuning_keeps_the_classes_that_it_knows_by_name(model):
    """ "bag" and "ankle-boot" are the model's own; "Hat" begins as the mean of all."""
    after = tiny.build(
        "biggan", **RECIPE | {"classes": 4, "class_names": ("bag", "Hat", "ankle-boot", "T-shirt/top")}, seed=5
    )
    arrays = {key: np.array(v) for key, v in model.state().items()}
    moved = Transfer(after, model.get_config())
    moved(after.state(), dict(arrays), "it")
    for key in ("ema_generator/block1_1_gain/kernel", "discriminator/projection/kernel", "discriminator/projection/u"):
        old, new = arrays[key], np.array(after.state()[key])
        np.testing.assert_allclose(new, [old[2], old.mean(0), old[0], old[1]], rtol=1e-6, err_msg=key)
    assert "3 classes by name, 1 as the mean of 3" in dict(moved.rows)["discriminator/projection/kernel"]
    np.testing.assert_array_equal(after.generate(1, label="bag", seed=4), model.generate(1, label="Bag", seed=4))


def test_a_row_of_the_grid_for_each_class_that_is_asked_for(model, tmp_path):
    from ganzoo import sampling

    sampling.write_grid(model, tmp_path / "a.png", 3, 5, label=[2, 0])
    expected = np.concatenate([model.generate(3, seed=5, label="Bag"), model.generate(3, seed=5, label="Ankle boot")])
    np.testing.assert_array_equal(images.read_image(tmp_path / "a.png"), images.grid(expected, 3))
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.text["label"] == "Bag, Ankle boot"
    files = sampling.write_separate(model, tmp_path / "cells", 2, 5, label=[1, 2], truncation=0.5).files
    with Image.open(files[3]) as picture:
        assert (picture.text["label"], picture.text["truncation"]) == ("Bag", "0.5")
    assert sampling.read_labels(model, ["bag", "1"]) == [2, 1]


def test_a_served_model_answers_by_name(model):
    endpoints = model.serving_signature()
    assert list(endpoints) == ["serving_default", "tensors", "by_name"]
    function, inputs = endpoints["by_name"]
    assert {key: spec.dtype for key, spec in inputs.items()} == {"seed": tf.int64, "label_name": tf.string}
    png = function(tf.constant([7, 7], tf.int64), tf.constant(["Bag", "ankle boot"]))["image_bytes"].numpy()
    for row, name in enumerate(("Bag", "Ankle boot")):
        np.testing.assert_array_equal(images.read_image(png[row]), model.generate(1, seed=7, label=name)[0])
    numbered = tiny.build("biggan", **RECIPE | {"class_names": ()})
    assert "by_name" not in numbered.serving_signature()
    with pytest.raises(tf.errors.InvalidArgumentError, match="label is 0 to 2"):
        numbered.serving_signature()["serving_default"][0](tf.constant([1], tf.int64), tf.constant([3], tf.int64))


def test_the_presets_of_the_paper_and_of_the_recipe():
    paper = presets.run_config("biggan/imagenet-128")
    assert (paper.train.batch_size, paper.train.g_optimizer.learning_rate, paper.train.sync_batch_norm) == (
        4096,
        5e-5,
        True,
    )
    assert presets.run_config("biggan/cifar-32").model["d_steps"] == 4
    assert presets.resolve("biggan-deep")[0] == "biggan"
