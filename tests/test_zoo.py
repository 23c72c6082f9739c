"""load and save: every way to say a model, every way to get it wrong, and training on after a load."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tiny

import ganzoo
from ganzoo import presets, weights, zoo
from ganzoo.errors import GanzooError
from ganzoo.models.gan import GAN

PUBLISHED = [
    f"{name}/{key}"
    for name in presets.list_models()
    for key, preset in presets.read(name).presets.items()
    if preset.weights
]
SMALL = {"image_size": 6, "hidden": 12, "maxout_units": 6, "latent_dim": 5}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder that `save` wrote. Copy it before you change it."""
    return ganzoo.save(tiny.build("gan"), tmp_path_factory.mktemp("zoo") / "saved")


@pytest.fixture
def copy(saved, tmp_path):
    return Path(shutil.copytree(saved, tmp_path / "copy"))


def same(a, b):
    return all(np.array_equal(v, b.state()[key]) for key, v in a.state().items()) and a.get_config() == b.get_config()


# ---- what load takes -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["gan", "GAN", "Good-Fellow", "gan/fashion-28", "Gan/Fashion28"])
def test_a_paper_by_any_spelling(name):
    model = ganzoo.load(name, weights=None, **SMALL)
    assert (model.paper, model.preset, model.weights_source) == ("gan", "fashion-28", "random")


def test_a_preset_apart():
    model = ganzoo.load("gan", preset="mnist-28", weights=None, **SMALL)
    assert model.preset == "mnist-28"
    assert type(model.g_optimizer).__name__ == "RisingMomentumSGD"
    assert model.get_config() == {"channels": 1, "maxout_pieces": 5, "ema_decay": 0.0} | SMALL
    assert model.run_config.model == model.get_config()
    assert model.seed == 0


def test_a_folder_by_any_path(saved, monkeypatch, tmp_path):
    shutil.copytree(saved, tmp_path / "runs" / "x" / "model")  # as a run folder holds it
    shutil.copytree(saved, tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    expected = zoo.load(saved)
    for path in (
        "runs/x",
        "./runs/x",
        "runs/x/",
        "runs/x/model",
        "~/runs/x",
        str(tmp_path / "runs/x"),
        Path("runs/x"),
        "mine",
    ):
        model = ganzoo.load(path)
        assert same(model, expected), path
        assert model.weights_source.endswith(
            f"weights.safetensors:{weights.read(saved / 'weights.safetensors')[1][:8]}"
        )


def test_a_folder_never_hides_a_paper(saved, monkeypatch, tmp_path):
    shutil.copytree(saved, tmp_path / "gan")
    monkeypatch.chdir(tmp_path)
    assert ganzoo.load("gan", weights=None, **SMALL).weights_source == "random"
    assert ganzoo.load("./gan").weights_source != "random"
    assert ganzoo.load(Path("gan")).weights_source != "random"


def test_weights_may_come_from_a_file_or_another_folder(saved, tmp_path):
    settings = tiny.TINY["gan"]
    for source in (saved, str(saved), saved / "weights.safetensors"):
        model = ganzoo.load("gan", weights=source, **settings)
        assert same(model, zoo.load(saved))
        assert model.weights_source.startswith(str(saved))
    assert ganzoo.load(saved, weights=None).weights_source == "random"


def test_overrides_change_arguments_and_the_weights_must_still_fit(saved):
    assert ganzoo.load(saved, ema_decay=0.9).ema_decay == 0.9
    with pytest.raises(GanzooError, match=r"does not fit the model .*\n.*~ generator/hidden1/kernel"):
        ganzoo.load(saved, hidden=13)
    assert ganzoo.load(saved, weights=None, hidden=13).hidden == 13


def test_the_average_comes_and_goes(saved, tmp_path):
    """Without ema_decay the file's average is left out; with it, a file that has none starts it at the generator."""
    plain = ganzoo.load(saved, ema_decay=0.0)
    assert list(plain.networks()) == ["generator", "discriminator"]
    for variable in plain.generator.weights:
        variable.assign(variable.value + 1)
    averaged = ganzoo.load(ganzoo.save(plain, tmp_path / "plain"), ema_decay=0.99)
    for shadow, weight in zip(averaged.ema_generator.weights, averaged.generator.weights, strict=True):
        np.testing.assert_array_equal(shadow, weight)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_weights_load_and_sample(name):
    paper, preset = name.split("/")
    record = presets.read(paper).presets[preset].weights
    model = ganzoo.load(name)
    assert model.weights_source == f"bundled:{record.sha256[:8]}"
    assert (zoo.ASSETS / record.file).stat().st_size == record.bytes
    if model.task == "latent":
        assert model.pictures(model.generate(2)).std() > 1


# ---- what load refuses -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"name_or_path": "gna"}, 'There is no model "gna". Did you mean "gan"?'),
        ({"name_or_path": "gan/fashion-29"}, 'Did you mean "fashion-28"?'),
        ({"name_or_path": "gan", "preset": "fashion"}, "has no preset"),
        ({"name_or_path": "./nowhere"}, "There is no folder ./nowhere."),
        ({"name_or_path": "~/no/where"}, "There is no folder ~/no/where."),
        ({"name_or_path": Path("nowhere")}, "There is no folder nowhere."),
        ({"name_or_path": "runs/nowhere"}, "runs"),
        ({"name_or_path": "gan/mnist-28"}, "gan/mnist-28 has no published weights. With weights=None it starts from random"),
        ({"name_or_path": "gan", "weights": None, "hiden": 3}, 'gan has no model argument "hiden". Did you mean "hidden"?'),
        ({"name_or_path": "gan", "weights": None, "self": 3}, 'gan has no model argument "self".'),
        ({"name_or_path": "gan", "weights": None, "hidden": "12"}, "gan: model.hidden takes int; received '12'."),
        ({"name_or_path": "gan", "weights": None, "hidden": True}, "gan: model.hidden takes int; received True."),
        ({"name_or_path": "gan", "weights": None, "ema_decay": None}, "gan: model.ema_decay takes float; received None."),
        ({"name_or_path": "gan", "weights": None, "ema_decay": float("nan")}, "gan: model.ema_decay takes a finite number"),
        ({"name_or_path": "gan", "weights": None, "hidden": 0}, "gan cannot be built with"),
        ({"name_or_path": "gan", "weights": "no.safetensors", **SMALL}, "no.safetensors cannot be read: No such file"),
    ],
)  # fmt: skip
def test_what_is_refused_is_said_in_a_sentence(arguments, sentence, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GanzooError) as error:
        zoo.load(**arguments)
    assert sentence in str(error.value)


def test_a_folder_has_no_presets_and_must_hold_a_model(saved, tmp_path):
    with pytest.raises(GanzooError, match="is a folder and has no presets"):
        ganzoo.load(saved, preset="fashion-28")
    with pytest.raises(GanzooError, match="contains no saved model"):
        ganzoo.load(tmp_path)
    with pytest.raises(GanzooError, match="contains no saved model"):
        ganzoo.load("gan", weights=tmp_path, **SMALL)


def edit(path, **changes):
    manifest = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in manifest.items() if value is not ...}))


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda f: (f / "weights.safetensors").write_bytes(b"x"), "is not the published one"),
        (lambda f: (f / "weights.safetensors").unlink(), "cannot be read: No such file"),
        (lambda f: edit(f / "manifest.json", sha256="0" * 64), "is not the published one"),
        (lambda f: edit(f / "manifest.json", sha256=""), "is not the published one"),
        (lambda f: edit(f / "manifest.json", sha256=None), "is not the published one"),
        (lambda f: edit(f / "manifest.json", sha256=...), "does not name a weights file and its sha256"),
        (lambda f: edit(f / "manifest.json", weights=...), "does not name a weights file and its sha256"),
        (lambda f: edit(f / "manifest.json", weights="/etc/passwd"), "copy/passwd cannot be read"),
        (lambda f: (f / "manifest.json").write_text("[]"), "does not name a weights file"),
        (lambda f: (f / "manifest.json").write_text("{"), "does not name a weights file"),
        (lambda f: (f / "manifest.json").unlink(), "contains no saved model"),
        (lambda f: (f / "config.toml").write_text("name = "), "cannot be read as TOML"),
        (lambda f: (f / "config.toml").write_text('name = "gam"'), 'Did you mean "gan"?'),
    ],
)  # fmt: skip
def test_a_damaged_folder_is_refused(damage, sentence, copy):
    damage(copy)
    with pytest.raises(GanzooError) as error:
        ganzoo.load(copy)
    assert sentence in str(error.value)


# ---- save ------------------------------------------------------------------------------------------------------------
def test_a_model_made_by_its_class_can_be_saved(tmp_path):
    model = GAN(**SMALL)
    again = ganzoo.load(ganzoo.save(model, tmp_path / "own"))
    assert again.get_config() == model.get_config()
    assert (model.full_name, again.preset, again.full_name) == ("gan", None, "gan"), (
        "it is not one of the zoo's presets"
    )
    assert json.loads((tmp_path / "own/manifest.json").read_text())["model"] == "gan"


def test_a_trained_model_is_saved_with_standing_statistics(tmp_path):
    """contracts: nets that sample with moving statistics recompute them before weights are saved."""
    model = tiny.build("dcgan")
    norms = [key for key in model.state() if key.startswith("ema_generator/") and "moving" in key]
    assert norms
    untouched = ganzoo.load(ganzoo.save(model, tmp_path / "untouched"))
    assert all(np.array_equal(untouched.state()[key], model.state()[key]) for key in norms), "an import keeps its own"
    model.fit(tiny.batches(model), steps_per_epoch=1, verbose=0)
    lagging = {key: np.array(model.state()[key]) for key in norms}
    trained = ganzoo.load(ganzoo.save(model, tmp_path / "trained"))
    assert not any(np.allclose(trained.state()[key], lagging[key], rtol=1e-2) for key in norms if "variance" in key)
    z = trained.latents(ganzoo.base.rows.row_seeds(3, 256))
    spread = np.abs(trained.sampler(z, training=False) - trained.sampler(z, training=True))
    assert spread.mean() < 0.05, "sampling one by one equals sampling with the statistics of a large batch"


# ---- training on -----------------------------------------------------------------------------------------------------
def trains(model, *data, **options):
    before = {key: np.array(v) for key, v in model.state().items() if key.startswith("generator/")}
    history = model.fit(*data, verbose=0, **options).history
    assert np.isfinite(history["g_loss"]).all()
    assert any(not np.array_equal(v, model.state()[key]) for key, v in before.items())


def test_a_loaded_model_trains_on_whatever_keras_takes(saved):
    model = ganzoo.load(saved)
    x = np.random.default_rng(0).integers(0, 256, (10, 6, 6, 3), np.uint8)
    floats = x.astype("float32") / 127.5 - 1
    trains(model, tf.data.Dataset.from_tensor_slices({"image": floats}).batch(4))  # ten: the last batch is partial
    trains(model, floats, batch_size=4)
    trains(model, {"image": x}, batch_size=4)


def test_pairs_may_be_two_arrays_or_a_dict():
    model = tiny.build("pix2pix", num_downs=2)
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (4, 16, 16, 1)).astype("float32")
    y = rng.uniform(-1, 1, (4, 16, 16, 3)).astype("float32")
    trains(model, x, y)
    trains(model, {"target": y, "input": x})
    with pytest.raises(GanzooError, match=r"trains on batches with \['input', 'target'\]; received"):
        model.fit(x, verbose=0)
