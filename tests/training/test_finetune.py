"""Fine-tuning: frozen layers, multiplied rates, weights for another number of classes or channels, the recipe."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

import ganzoo
from ganzoo import presets, training, weights, zoo
from ganzoo.base import freezing
from ganzoo.errors import GanzooError
from ganzoo.training import finetune_recipe
from ganzoo.training.transfer import Transfer


def configured(name, train, **overrides):
    """The tiny model of a paper with changes of its train table."""
    tf.keras.utils.set_random_seed(0)
    config = presets.run_config(name, {f"train.{key}": value for key, value in train.items()})
    adam = dict.fromkeys(tiny.OPTIMIZERS, presets.OptimizerConfig(learning_rate=2e-4, beta_1=0.5))
    config = config.model_copy(update={"train": config.train.model_copy(update=adam)})
    return zoo.build(config.model_copy(update={"model": tiny.TINY[name] | overrides}))


def step(model):
    """(weights before, weights after) one step."""
    before = weights.to_arrays(model.state())
    model.train_step(tiny.batch(model))
    return before, weights.to_arrays(model.state())


# ---- FreezeD ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "count", "frozen"),
    [
        ("dcgan", 2, {"discriminator": ["down1_conv", "down2_conv", "down2_norm"]}),
        ("stylegan-lite", 3, {"discriminator": ["from_rgb_16", "res16_conv", "res16_down"]}),
        ("cyclegan", 1, {"discriminator_a": ["conv1"], "discriminator_b": ["conv1"]}),
    ],
)
def test_the_first_layers_of_every_discriminator_are_frozen(name, count, frozen):
    model = configured(name, {"freeze_d": count})
    still = {f"{network}/{layer}/" for network, layers in frozen.items() for layer in layers}
    for key, variable in model.state().items():
        if key.startswith("discriminator"):
            moves = not key.startswith(tuple(still)) and "moving_" not in key
            assert variable.trainable == moves, key
    slots = sum("momentum" in variable.path for variable in model.d_optimizer.variables)
    assert slots == len(model.trainable_of("d_optimizer"))


def test_frozen_layers_stay_bit_equal_and_the_others_move():
    """The moving statistics of a frozen batch norm go on: it normalises by the batch as before."""
    before, after = step(configured("dcgan", {"freeze_d": 2}))
    same = {key for key in before if np.array_equal(before[key], after[key])}
    frozen = {"down1_conv/kernel", "down2_conv/kernel", "down2_norm/gamma", "down2_norm/beta"}
    assert same == {f"discriminator/{key}" for key in frozen}


def test_freezing_all_layers_is_refused_with_their_number():
    with pytest.raises(GanzooError, match="freezes 0 to 2 of the 3 layers of dcgan's discriminator; received 3"):
        configured("dcgan", {"freeze_d": 3})


# ---- multiplied rates ------------------------------------------------------------------------------------------------
def test_multipliers_scale_the_applied_update_and_the_last_pattern_counts():
    """By Adam, which does not care for the scale of a gradient."""
    multipliers = {"discriminator/*": 0.5, "generator/pixels/*": 0.1, "discriminator/logit/*": 0.0}
    whole, slow = configured("gan", {}), configured("gan", {"lr_multipliers": multipliers})
    before, plain = step(whole)
    again, after = step(slow)
    for key, value in before.items():
        np.testing.assert_array_equal(value, again[key])
        if key.startswith("ema_"):
            continue
        hit = [factor for pattern, factor in multipliers.items() if key.startswith(pattern.rstrip("*"))]
        # D's second player sees the other's gradient at the same weights: gan takes both before it moves.
        expected = value + (hit[-1] if hit else 1.0) * (plain[key] - value)
        np.testing.assert_allclose(after[key], expected, atol=1e-7, err_msg=key)
    np.testing.assert_array_equal(after["discriminator/logit/kernel"], before["discriminator/logit/kernel"])


def test_multipliers_compose_with_schedules_and_momentum():
    """SGD with momentum, its rate falling to zero over two updates: v = 0.5 v - 0.1 rate g, g = 1."""
    rate = presets.OptimizerConfig(name="sgd", learning_rate=1.0, momentum=0.5, constant_steps=0, decay_steps=2)
    optimizer = zoo.schedules.optimizer(rate, "o")
    variable = keras.Variable([0.0], name="v")
    optimizer.build([variable])
    freezing._multiply(optimizer, [0.1])
    found = []
    for _ in range(3):
        optimizer.apply_gradients([(tf.constant([1.0]), variable)])
        found.append(float(variable.numpy()[0]))
    np.testing.assert_allclose(found, [-0.1, -0.1 - 0.1, -0.2 - 0.05], atol=1e-7)


def test_a_pattern_that_matches_nothing_is_named():
    with pytest.raises(
        GanzooError, match=r'"generatr/\*" matches no variable that gan trains; .*generator/hidden1/kernel'
    ):
        configured("gan", {"lr_multipliers": {"generatr/*": 0.5}})
    with pytest.raises(GanzooError, match=r'"ema_generator/\*" matches no variable that gan trains'):
        configured("gan", {"lr_multipliers": {"ema_generator/*": 0.5}})


def test_patterns_survive_config_toml(tmp_path):
    config = presets.run_config("gan", {"train.lr_multipliers": {"generator/up*": 0.1, 'a"b': 2.0}})
    (tmp_path / "c.toml").write_text(presets.config_toml(config))
    assert presets.run_config(tmp_path / "c.toml") == config


# ---- weights for another model ---------------------------------------------------------------------------------------
def transferred(old, new):
    moved = Transfer(new)
    moved(new.state(), weights.to_arrays(old.state()), "old")
    return dict(moved.rows), moved


@pytest.mark.parametrize(
    ("name", "channels"),
    [("stylegan-lite", (1, 3)), ("stylegan-lite", (3, 1)), ("dcgan", (3, 1)), ("gan", (1, 3)), ("gan", (3, 1))],
)
def test_a_discriminator_judges_grey_pictures_as_before_in_other_channels(name, channels):
    """And the generator's picture is grey in RGB, or (before the last activation) the mean of its channels."""
    old, new = (tiny.build(name, seed=seed, channels=c) for seed, c in enumerate(channels))
    rows, moved = transferred(old, new)
    assert set(rows.values()) - {"reused"} <= {"sum over RGB", "mean of RGB", "a third for each of RGB", "grey in RGB"}
    assert rows.keys() == new.state().keys()
    assert moved.summary().startswith(f"{moved.reused} of {len(rows)} variables reused; mapped: ")

    def judged(model, grey):
        images = tf.repeat(grey, model.channels, axis=-1)
        if name == "gan":
            flat = tf.reshape(images, [len(grey), -1])
            return model.discriminator(
                [flat, tf.ones([len(grey), model.pixels + 2 * model.maxout_units])], training=False
            )
        return model.judge(images, None) if name == "stylegan-lite" else model.discriminator(images, training=False)

    grey = tf.random.stateless_uniform([4, old.image_size, old.image_size, 1], (1, 2), -1, 1)
    np.testing.assert_allclose(judged(new, grey), judged(old, grey), atol=1e-5, rtol=1e-4)
    if channels == (1, 3):
        options = {"truncation_psi": 1.0} if name == "stylegan-lite" else {}
        was, now = (model.generate(3, seed=5, **options).astype(int) for model in (old, new))
        assert np.abs(now - was).max() <= 1


def test_image_models_map_their_inputs_too():
    old, new = tiny.build("cyclegan"), tiny.build("cyclegan", seed=1, input_channels=1, output_channels=1)
    rows, _ = transferred(old, new)
    assert rows["generator_ab/in_conv/kernel"] == "sum over RGB"
    assert rows["generator_ba/out_conv/bias"] == "mean of RGB"
    assert {rows[f"discriminator_{d}/conv1/kernel"] for d in "ab"} == {"sum over RGB"}
    np.testing.assert_allclose(
        new.generator_ab.get_layer("in_conv").kernel, tf.reduce_sum(old.generator_ab.get_layer("in_conv").kernel, 2, True),
        atol=1e-6,
    )  # fmt: skip


def test_new_classes_begin_as_the_mean_of_the_old_ones():
    old, new = tiny.build("stylegan-lite", classes=3), tiny.build("stylegan-lite", seed=1, classes=5)
    rows, moved = transferred(old, new)
    mapped = {key for key, how in rows.items() if how == "mean of 3 classes"}
    assert mapped == {f"{g}/label_embedding/kernel" for g in ("generator", "ema_generator")} | {
        "discriminator/logit/kernel",
        "discriminator/logit/bias",
    }
    assert moved.reused == len(rows) - 4
    kernel = np.array(new.state()["generator/label_embedding/kernel"])
    expected = np.array(old.state()["generator/label_embedding/kernel"]).mean(axis=0)
    np.testing.assert_allclose(kernel, np.tile(expected, (5, 1)), atol=1e-6)


def test_another_width_begins_anew_and_other_papers_are_refused():
    old, new = tiny.build("dcgan"), tiny.build("dcgan", seed=1, ndf=9)
    rows, moved = transferred(old, new)
    assert {key for key, how in rows.items() if how == "new"} == {
        key for key in rows if key.startswith("discriminator")
    }
    assert "new: discriminator/down1_conv/kernel" in moved.summary()
    with pytest.raises(GanzooError, match="holds nothing that fits this gan"):
        transferred(old, tiny.build("gan"))


def test_fine_tuning_in_grey_says_what_was_reused_and_keeps_it_in_the_manifest(gan_run, tmp_path, capsys):
    options = {"model.channels": 3, "data.channels": 3, "train.steps": 2, "train.sample_every": 0}
    training.train(str(gan_run), out=tmp_path / "run", init="default", overrides=options, strategy="one")
    sentence = "9 of 12 variables reused; mapped: "
    assert sentence in capsys.readouterr().err
    training.train(tmp_path / "run/config.toml", out=tmp_path / "run", resume=True, strategy="one", steps=4)
    facts = json.loads((tmp_path / "run/model/manifest.json").read_text())["transfer"]
    assert facts["summary"].startswith(sentence)
    assert facts["variables"]["generator/pixels/bias"] == "grey in RGB"
    assert facts["variables"]["generator/hidden1/kernel"] == "reused"


# ---- the recipe ------------------------------------------------------------------------------------------------------
def test_the_recipe_is_the_table_of_its_module():
    config = zoo.complete(
        presets.run_config("stylegan-lite/lorelei-64", {"train.steps": 50_000, "train.batch_size": 10})
    )
    rate = config.train.g_optimizer.learning_rate

    def chosen(count):
        return {choice.key: choice.value for choice in finetune_recipe.by_count(count, config)}

    def frozen(share):
        return freezing.frozen_layers(model, share)

    model = zoo.build(config)
    assert len(freezing.layers(model.discriminator)) == 12

    few = chosen(80)
    assert frozen(few["train.freeze_d"]) == 8, "two thirds"
    assert few["model.augment"] == "color,translation,cutout"
    assert few["train.g_optimizer.learning_rate"] == rate / 4
    assert few["train.steps"] == 10_000
    assert few["model.ema_decay"] == 0.99
    some = chosen(300)
    assert (frozen(some["train.freeze_d"]), some["train.steps"]) == (6, 30_000), "half"
    assert some["train.d_optimizer.learning_rate"] == config.train.d_optimizer.learning_rate / 2
    assert chosen(2000) == {"model.augment": "color,translation", "model.ema_decay": 0.999}, (
        "the preset has fewer steps"
    )
    assert chosen(5000) == {}
    assert "80 images; FreezeD, arXiv 2002.10964" in str(finetune_recipe.by_count(80, config)[0])


def test_a_recipe_prints_its_reasons_yields_to_what_is_given_and_stands_in_the_run(gan_run, tmp_path, capsys):
    from ganzoo.media import images

    for i in range(20):
        picture = np.random.default_rng(i).integers(0, 255, (8, 8, 1), dtype=np.uint8)
        images.write_png(tmp_path / f"few/{i:02}.png", picture)
    options = {"data.source": str(tmp_path / "few"), "train.steps": 2, "train.sample_every": 0, "train.batch_size": 4}
    training.train(str(gan_run), out=tmp_path / "run", init="default", recipe="auto", overrides=options, strategy="one")
    said = capsys.readouterr().err
    assert "recipe: train.freeze_d = 2 (18 images; FreezeD, arXiv 2002.10964" in said
    assert "recipe: train.steps" not in said
    train = presets.run_config(tmp_path / "run/config.toml").train
    assert (train.freeze_d, train.steps) == (2, 2)
    began = presets.run_config(gan_run / "config.toml").train
    assert train.g_optimizer.learning_rate == began.g_optimizer.learning_rate / 4
    manifest = json.loads((tmp_path / "run/model/manifest.json").read_text())
    assert manifest["recipe"][0].startswith("recipe: train.freeze_d = 2")
    with pytest.raises(GanzooError, match='There is no recipe "atuo"'):
        training.train(str(gan_run), out=tmp_path / "other", init="default", recipe="atuo", overrides=options)


# ---- from Python -----------------------------------------------------------------------------------------------------
def test_finetune_from_python_starts_from_the_weights_on_the_data_that_are_named(gan_run, tmp_path):
    tiny_rate = {"train.g_optimizer.learning_rate": 1e-12, "train.d_optimizer.learning_rate": 1e-12}
    out = tmp_path / "on"
    result = ganzoo.finetune(gan_run, out=out, data="fashion", steps=1, overrides=tiny_rate)
    assert result.steps == 1
    before, after = (weights.read(folder / "model/weights.safetensors")[0] for folder in (gan_run, out))
    assert all(np.allclose(before[key], after[key], atol=1e-6) for key in before)
    assert presets.run_config(out / "config.toml").data.source == "fashion"


def test_finetune_from_python_needs_weights(tmp_path):
    with pytest.raises(GanzooError, match="gan/mnist-28 has no published weights to start from; train it first"):
        ganzoo.finetune("gan/mnist-28", out=tmp_path / "x")
    assert not (tmp_path / "x").exists()
