"""The anime paper: its losses by hand, its conditions, its sizes, what is kept of the data, what is asked by name."""

import json

import numpy as np
import pytest
import tensorflow as tf
import tiny

from ganzoo import data, presets, zoo
from ganzoo.base import rows
from ganzoo.base.attributes import columns_of
from ganzoo.errors import GanzooError
from ganzoo.media import images
from ganzoo.models import anime


@pytest.fixture(scope="module")
def model():
    return tiny.build("anime")


# ---- the objective ---------------------------------------------------------------------------------------------------
def test_the_attribute_loss_is_summed_or_meant():
    logits, wanted = tf.constant([[0.0, 0.0, 2.0], [-1.0, 0.0, 0.0]]), tf.constant([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
    each = np.array([[np.log(2), np.log(2), np.log1p(np.exp(-2))], [np.log1p(np.exp(-1)), np.log(2), np.log(2)]])
    assert float(anime.attribute_loss(logits, wanted, "sum")) == pytest.approx(each.sum(1).mean(), rel=1e-6)
    assert float(anime.attribute_loss(logits, wanted, "mean")) == pytest.approx(each.mean(), rel=1e-6)


def test_an_undecided_d_has_the_losses_of_the_text():
    """Zero logits: 2 ln 2 and ln 2 of the adversarial head, ln 2 for each of four columns of the other."""
    model = tiny.build("anime", penalty_weight=0.0)
    for layer in ("logit", "attributes"):
        for variable in model.discriminator.get_layer(layer).weights:
            variable.assign(tf.zeros(variable.shape))
    found = {key: float(value) for key, value in model.test_step(tiny.batch(model)).items()}
    expected = {"d_loss": 2 * np.log(2), "g_loss": np.log(2), "fake_attributes": 4 * np.log(2)}
    assert {key: found[key] for key in expected} == pytest.approx(expected, rel=1e-5)


def test_the_penalty_is_of_the_adversarial_head_alone(model):
    real = tiny.batch(model)["image"]
    before = float(model.penalty(real))
    head = model.discriminator.get_layer("attributes")
    kept = head.get_weights()
    head.set_weights([10 * value + 1 for value in kept])
    assert float(model.penalty(real)) == before
    head.set_weights(kept)
    logit = model.discriminator.get_layer("logit")
    logit.kernel.assign(2 * logit.kernel)
    assert float(model.penalty(real)) != before
    logit.kernel.assign(logit.kernel / 2)


def test_the_penalty_comes_at_its_interval_so_many_times_as_strong():
    model, every = tiny.build("anime"), tiny.build("anime", penalty_interval=3)
    batch = tiny.batch(model)
    plain, first = model.test_step(batch)["penalty"], every.test_step(batch)["penalty"]
    assert float(first) == pytest.approx(3 * float(plain), rel=1e-5)
    every.step.assign(1)
    every.reset_metrics()
    assert float(every.test_step(batch)["penalty"]) == 0.0


def test_d_reads_each_picture_by_itself(model):
    shown = tiny.batch(model)["image"]
    whole, alone = model.discriminator(shown, training=True), model.discriminator(shown[1:2], training=True)
    for many, one in zip(whole, alone, strict=True):
        np.testing.assert_allclose(many[1], one[0], atol=1e-5)


def test_no_activation_follows_the_residual_sum_of_g(model):
    following = [node.operation.name for node in model.generator.get_layer("block1_sum")._outbound_nodes]
    assert following == ["trunk_norm"]


def test_without_its_loss_on_fakes_d_learns_attributes_from_real_pictures_alone():
    """The head's bias moves by what real pictures are: its gradient has nothing of what the fakes were asked for."""
    found = {}
    for weight in (0.0, 1.0):
        model = tiny.build("anime", optimizer=tiny.SGD, penalty_weight=0.0, fake_attribute_weight=weight)
        head = model.discriminator.get_layer("attributes")
        for variable in head.weights:
            variable.assign(tf.zeros(variable.shape))
        batch = tiny.batch(model)
        model.train_step(batch)
        real = tf.reduce_mean(0.5 - batch["attributes"], axis=0)
        asked = tf.reduce_mean(0.5 - tiny.build("anime").asked_for(tiny.BATCH), axis=0)
        expected = -tiny.SGD.learning_rate * (real + weight * asked)
        np.testing.assert_allclose(head.bias, expected, atol=1e-6)
        found[weight] = np.array(head.bias)
    assert (found[0.0] != found[1.0]).any()


@pytest.mark.parametrize(("kernel", "count"), [(4, 23_895_427), (3, 19_078_531)])
def test_parameters_of_both_readings_of_the_figure_of_d(kernel, count):
    arguments = {"image_size": 128, "channels": 3, "attributes": anime.FACES, "ndf": 32, "d_blocks": 2, "init": "paper"}
    assert anime.build_discriminator(**arguments, deep_kernel=kernel).count_params() == count


# ---- conditions ------------------------------------------------------------------------------------------------------
def test_the_papers_conditions_have_one_value_of_each_category(model):
    asked = model.asked_for(2000).numpy()
    assert asked.shape == (2000, 4)  # three colours of hair, glasses
    assert (asked[:, :3].sum(axis=1) == 1).all()
    assert asked[:, :3].mean(axis=0) == pytest.approx([1 / 3] * 3, abs=0.04)
    assert asked[:, 3].mean() == pytest.approx(0.25, abs=0.04)


def test_conditions_of_the_data_are_kept_rows():
    model = tiny.build("anime", conditions="data")
    model.keep_rows(np.array([[0, 1], [2, 0]]))
    found = {tuple(row) for row in model.asked_for(200).numpy()}
    assert found == {(1, 0, 0, 1), (0, 0, 1, 0)}


def test_rows_of_the_training_set_are_kept_with_the_weights(tmp_path):
    model = tiny.build("anime")
    known = np.stack([np.arange(3000) % 3, np.arange(3000) % 2], axis=1)
    model.keep_rows(known)
    kept = model.kept_rows.numpy()
    assert kept.shape == (1024, 2)
    assert np.bincount(kept[:, 0]) / 1024 == pytest.approx([1 / 3] * 3, abs=0.05)
    zoo.save(model, tmp_path)
    np.testing.assert_array_equal(zoo.load(tmp_path).kept_rows.numpy(), kept)


def test_a_run_takes_the_attributes_of_its_data(tmp_path):
    from ganzoo import training

    folder = tmp_path / "set"
    folder.mkdir()
    rows_ = []
    for i in range(8):
        images.write_png(folder / f"{i}.png", np.full((16, 16, 3), 30 * i, np.uint8))
        rows_.append(json.dumps({"file_name": f"{i}.png", "kind": "abcd"[i % 4], "big": i > 3}))
    (folder / "metadata.jsonl").write_text("\n".join(rows_))
    small = anime.Anime.checks.small | {"data.source": str(folder), "data.split": "train", "train.batch_size": 4}
    training.train("anime", out=tmp_path / "run", overrides=small, steps=2)
    model = zoo.load(tmp_path / "run")
    assert model.attributes == {"kind": ("a", "b", "c", "d"), "big": ("no", "yes")}
    assert {tuple(row) for row in model.kept_rows.numpy().tolist()} == {(i % 4, int(i > 3)) for i in range(8)}
    training.train("anime", out=tmp_path / "run", overrides=small, steps=3, resume=True)  # no setting has changed


# ---- asked by name ---------------------------------------------------------------------------------------------------
def test_a_picture_depends_on_its_own_seed_and_attributes(model):
    asked = [{}, {"hair": "pink"}, {"glasses": True}, {"hair": "green", "glasses": False}]
    whole = model.generate(4, seed=5, attributes=asked)
    other = {"hair": "blue", "glasses": True}
    again = model.generate(4, seed=5, attributes=[{}, {}, {"glasses": True}, other])
    np.testing.assert_array_equal(whole[0], again[0])
    np.testing.assert_array_equal(whole[2], again[2])
    assert (whole[3] != again[3]).any()


def test_what_is_asked_is_what_g_is_given(model):
    z, asked = rows.latents_of(model, rows.row_seeds(5, 2)), [{"hair": "blue", "glasses": True}] * 2
    columns = columns_of(tf.constant([[1, 1]] * 2), model.attributes)
    shown = model.images_of(z, columns).numpy()
    np.testing.assert_allclose(model.generate(2, seed=5, attributes=asked), (shown + 1) * 127.5, atol=1)


def test_unknown_names_get_the_nearest_and_the_list(model):
    with pytest.raises(
        GanzooError, match=r'no attribute "glases"\. Did you mean "glasses"\? This model has: hair, glasses'
    ):
        model.generate(1, attributes={"glases": True})
    with pytest.raises(GanzooError, match="Its values are: pink, blue, green"):
        model.generate(1, attributes={"hair": "purple"})


def test_the_endpoint_of_strings_is_generate(model):
    serve, inputs = model.serving_signature()["serving_default"]
    assert (inputs["seed"].dtype, inputs["attributes"].dtype) == (tf.int64, tf.string)
    texts = ['{"hair": "pink", "glasses": true}', "{}"]
    made = serve(tf.constant([7, 7], tf.int64), tf.constant(texts))["image_bytes"].numpy()
    for text, png in zip(texts, made, strict=True):
        shown = images.read_image(png)
        expected = model.generate(1, seed=7, attributes=json.loads(text))[0]
        assert np.abs(shown.astype(int) - expected).max() <= 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"image_size": 48, "shuffles": 4}, "image_size is 4, 8, 16"),
        ({"image_size": 16, "shuffles": 5}, "a multiple of 2\\^shuffles"),
        ({"init": "xavier"}, "init is 'paper' or 'he'"),
        ({"attribute_reduction": "max"}, "attribute_reduction is 'sum' or 'mean'"),
        ({"conditions": "rows"}, "conditions is 'sampled' or 'data'"),
        ({"deep_kernel": 5}, "deep_kernel is 3 or 4"),
        ({"penalty_interval": 0}, "penalty_interval is at least 1"),
        ({"boolean_share": 1.5}, "probability in \\[0, 1\\]"),
        ({"ngf": 2, "narrowing": 2}, "nothing is left"),
        ({"attributes": {"hair": ["pink"]}}, "needs two values"),
    ],
)
def test_senseless_arguments(arguments, sentence):
    with pytest.raises(GanzooError, match=sentence):
        tiny.build("anime", **arguments)


def test_data_without_attributes_are_refused(tmp_path):
    config = presets.run_config("anime", {"data.shape": "images", "data.split": "test"})
    from ganzoo.training.settle import settle

    settled = settle(config, {})
    with pytest.raises(GanzooError, match=r"set data\.shape = .attributes."):
        data.check_attributes(settled.source, anime.FACES)


# ---- fine-tuning to other attributes ---------------------------------------------------------------------------------
def test_weights_go_to_other_attributes_by_name():
    from ganzoo import weights
    from ganzoo.training.transfer import Transfer

    old = tiny.build("anime")
    arrays = weights.to_arrays(old.state())
    new = tiny.build(
        "anime", seed=1, attributes={"glasses": ["no", "yes"], "hair": ["green", "red"], "hat": ["no", "yes"]}
    )
    moved = Transfer(new, old.get_config())
    moved(new.state(), arrays, "old")
    how = dict(moved.rows)
    before, after = arrays["generator/project/kernel"], np.array(new.generator.get_layer("project").kernel)
    z = old.latent_dim
    np.testing.assert_array_equal(after[:z], before[:z])
    np.testing.assert_array_equal(after[z], before[z + 3])  # glasses
    np.testing.assert_array_equal(after[z + 1], before[z + 2])  # green
    np.testing.assert_allclose(after[z + 2], before[z : z + 3].mean(0), rtol=1e-6)  # red: the mean of the colours
    assert (after[z + 3] == 0).all()  # hat
    assert {key for key, text in how.items() if text == "by the names of the attributes"} == {
        "generator/project/kernel",
        "ema_generator/project/kernel",
        "discriminator/attributes/kernel",
        "discriminator/attributes/bias",
    }
    assert how["discriminator/logit/kernel"] == "reused"


def test_the_same_number_of_columns_is_not_the_same_attributes():
    from ganzoo import weights
    from ganzoo.training.transfer import Transfer

    old = tiny.build("anime")
    new = tiny.build("anime", seed=1, attributes={"hair": ["green", "blue", "pink"], "glasses": ["no", "yes"]})
    Transfer(new, old.get_config())(new.state(), weights.to_arrays(old.state()), "old")
    kernels = [np.array(model.discriminator.get_layer("attributes").kernel) for model in (old, new)]
    np.testing.assert_array_equal(kernels[1], kernels[0][:, [2, 1, 0, 3]])
