"""The harness: what every registered model must do, through the table in tiny.py. A new paper is tested by being there."""

import ast
import collections
import contextlib
import importlib
import inspect
import json
import re
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny
from support.papers import network, networks_alone, shapes_alone
from support.steps import Watch, changed, values

from ganzoo import models, presets, registry, weights, zoo
from ganzoo.base import BaseGAN, LatentGAN, pixels, rows
from ganzoo.devices import strategies
from ganzoo.errors import GanzooError
from ganzoo.layers import normalization
from ganzoo.models import dcgan, pix2pix

NAMES = list(registry.models())
PRESETS = [(name, preset) for name in NAMES for preset in presets.list_presets(name)]
LATENT = [name for name in NAMES if registry.models()[name].task == "latent"]
# Every paper with its averaged generator, without it, and in the variants of tiny.py.
SETTINGS = [(name, more) for name in NAMES for more in ({}, {"ema_decay": 0.0}, *tiny.VARIANTS.get(name, []))]
ROUND_TRIPS = [(name, more) for name in NAMES for more in ({}, *tiny.VARIANTS.get(name, []))]


def arguments(name):
    """Constructor argument -> default."""
    signature = inspect.signature(registry.models()[name].__init__)
    return {key: p.default for key, p in signature.parameters.items() if key != "self"}


@pytest.fixture(scope="module")
def model():
    """name -> the tiny model, untrained, shared by tests that change nothing."""
    made = {}
    return lambda name: made[name] if name in made else made.setdefault(name, tiny.build(name))


# ---- (a) presets -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("name", "preset"), PRESETS)
def test_a_preset_fits_the_constructor_and_its_data(name, preset):
    record = presets.read(name).presets[preset]
    inspect.signature(registry.models()[name].__init__).bind(None, **record.model)
    full = zoo.complete(presets.run_config(f"{name}/{preset}")).model
    wanted = {"image_size": record.data.size, "grid_size": record.data.size, "channels": record.data.channels}
    if record.data.shape == "paired":
        wanted |= {"input_channels": record.data.input_channels, "output_channels": record.data.channels}
    assert {key: full[key] for key in wanted if key in full} == {key: v for key, v in wanted.items() if key in full}
    players = {f"{player}" for player in registry.models()[name].players}
    assert players <= set(presets.TrainConfig.model_fields), "an optimizer table for each player"


# ---- (b) steps -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("name", "more"), SETTINGS)
def test_each_player_moves_its_own_networks_and_no_other(name, more):
    model = tiny.build(name, **more)
    trainable = set(values(model, trainable_only=True))
    owner = {
        key: player for player, networks in model.players.items() for key in trainable if key.split("/")[0] in networks
    }
    still = tiny.STILL.get(name)
    moved, alive, most = set(), set(), collections.Counter()
    for step in range(2):
        watch = Watch(model, tiny.batch(model, seed=step))
        assert all(np.isfinite(value) for value in watch.logs.values()), watch.logs
        most |= collections.Counter(player for player, *_ in watch.updates)
        previous = watch.first
        for player, before, after, gradients in watch.updates:
            # Between two updates only batch statistics may change (and, after the last one, the average).
            assert not changed(previous, before) & trainable
            assert {owner[key] for key in changed(before, after) & trainable} == {player}
            left_out = {key for key in trainable if owner[key] == player} ^ set(gradients)
            assert all(still and owner[key] == player and re.search(f"{still}$", key) for key in left_out), left_out
            missing = [key for key, gradient in gradients.items() if gradient is None]
            assert not missing, f"no gradient reaches {missing}"
            assert all(np.isfinite(gradient).all() for gradient in gradients.values())
            moved |= changed(before, after)
            alive |= {key for key, gradient in gradients.items() if np.any(gradient)}
            previous = after
        assert not changed(previous, watch.last) & trainable
        statistics = {key for key in watch.first if "/moving_" in key}
        assert statistics <= changed(watch.first, watch.last), "every batch norm trains on the statistics of its batch"
    assert most == model.updates, "the model declares how often each player moves in a step"
    required = {key for key in trainable if not (still and re.search(f"{still}$", key))}
    assert required <= alive, f"the gradient is zero: {sorted(required - alive)}"
    assert required <= moved, f"never moved: {sorted(required - moved)}"
    assert model.step.numpy() == 2


@pytest.fixture(scope="module")
def first_step():
    """name -> the Watch over the first step of the tiny model."""
    seen = {}

    def watch(name):
        if name not in seen:
            model = tiny.build(name)
            seen[name] = Watch(model, tiny.batch(model))
        return seen[name]

    return watch


@pytest.mark.parametrize("name", NAMES)
def test_the_average_follows_the_generator(name, first_step):
    decay, watch = tiny.TINY[name]["ema_decay"], first_step(name)
    model = watch.model
    averages = [average for average, _ in model.averages()]
    assert averages
    assert not any(average.trainable_variables for average in averages)
    for key, variable in model.state().items():
        if f"ema_{key}" in model.state():
            new, old = watch.last[key], watch.first[f"ema_{key}"]
            np.testing.assert_array_equal(old, watch.first[key], err_msg=f"the average of {key} starts elsewhere")
            expected = decay * old + (1 - decay) * new if variable.trainable else new
            np.testing.assert_allclose(watch.last[f"ema_{key}"], expected, atol=1e-7, err_msg=key)
    assert any(model.sampler is average for average in averages)
    plain = tiny.build(name, ema_decay=0.0)
    assert not plain.averages()
    assert any(plain.sampler is network for network in plain.networks().values())


@pytest.mark.parametrize("name", NAMES)
def test_fit_logs_finite_means_and_counts_steps(name):
    model = tiny.build(name)
    history = model.fit(tiny.batches(model), steps_per_epoch=3, epochs=2, verbose=0)
    assert set(history.history) == set(model.logs)
    assert np.isfinite(list(history.history.values())).all()
    assert model.step.numpy() == 6
    assert 0 <= history.history.get("fooled", [0])[-1] <= 1


@pytest.mark.parametrize(
    ("name", "d_loss"),
    [("gan", np.log(2)), ("dcgan", 2 * np.log(2)), ("3d-gan", 2 * np.log(2)), ("pix2pix", np.log(2))],
)
def test_losses_at_the_start_are_those_of_an_undecided_discriminator(name, d_loss, first_step):
    """Vanilla D 2 ln 2 (halved by gan and pix2pix), G ln 2. The small initial weights decide nothing."""
    logs = first_step(name).logs
    # The official GAN code takes both gradients at one point; in the others G meets the updated D.
    order = ["g_optimizer", "d_optimizer"] if name == "gan" else ["d_optimizer", "g_optimizer"]
    assert [player for player, *_ in first_step(name).updates] == order
    assert logs["d_loss"] == pytest.approx(d_loss, rel=0.15)
    assert logs["g_loss"] - 10 * logs.get("l1", 0) == pytest.approx(np.log(2), rel=0.25)


# ---- (c) replicas ----------------------------------------------------------------------------------------------------
CAUSE = "a replica saw other noise (use self.noise or self.row_noise_seeds), or a value is not a mean over its rows"


def after_steps(name, strategy, steps=4):
    with strategy.scope():
        model = tiny.build(name, optimizer=tiny.CALM, **tiny.unmixed(name))
        normalization.synchronize(model.networks().values())  # what train.sync_batch_norm does
        for variable in model.trainable_variables:
            variable.assign(variable.value * tiny.WIDER.get(name, 1))
    start = values(model)
    history = model.fit(tiny.batches(model), steps_per_epoch=steps, verbose=0)
    return start, {key: np.array(v) for key, v in model.training_state().items()}, history.history


@pytest.mark.parametrize("name", NAMES)
def test_two_replicas_equal_one(name):
    """Traps 1 and 2: gradients are divided by the replicas once, and noise belongs to the global sample. In the short steps
    of the doctor, so that Adam does not make steps of rounding; the sums of gradients in its slots show what was seen."""
    mirrored = strategies.choose("mirrored")
    assert mirrored.num_replicas_in_sync == 2
    start, one, one_logs = after_steps(name, tf.distribute.get_strategy())
    _, two, two_logs = after_steps(name, mirrored)
    assert one["step"] == two["step"] == 4
    assert max(np.abs(one[key] - start[key]).max() for key in start) > 3e-6, "the weights moved"
    largest = collections.defaultdict(float)  # of each player's sums of gradients
    for key, value in one.items():
        if "_momentum" in key:
            largest[key.split("/")[0]] = max(largest[key.split("/")[0]], np.abs(value).max())
    for key, value in one.items():
        # The order of a sum of gradients changes: where they cancel, its rounding is that of the largest ones.
        # Adam makes of a sum that is rounding alone a step in any direction: two of the four, at most.
        steps = 2 * tiny.CALM.learning_rate
        of = max(1e-6, 1e-4 * largest[key.split("/")[0]]) if "_momentum" in key else steps
        np.testing.assert_allclose(two[key], value, rtol=1e-4, atol=of, err_msg=f"{key}: {CAUSE}")
    for key, value in one_logs.items():
        # A mean logit may lie at zero, where only its absolute rounding says something.
        np.testing.assert_allclose(two_logs[key], value, rtol=1e-5, atol=2e-6, err_msg=f"{key} of the log: {CAUSE}")


# ---- (d) round trips -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", NAMES)
def test_the_table_sets_every_argument(name):
    settings = [tiny.TINY[name], *tiny.VARIANTS.get(name, [])]
    for key, default in arguments(name).items():
        assert any(setting.get(key, default) != default for setting in settings), f"tiny.py never sets {name}'s {key}"


@pytest.mark.parametrize(("name", "more"), ROUND_TRIPS)
def test_config_round_trips(name, more):
    """Trap 12: without get_config a model comes back with default arguments."""
    model = tiny.build(name, **more)
    config = model.get_config()
    assert config == arguments(name) | tiny.TINY[name] | more
    plain = {key: list(value) if isinstance(value, tuple) else value for key, value in config.items()}
    assert json.loads(json.dumps(config)) == plain
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(model))
    assert type(again) is type(model)
    assert again.get_config() == config
    assert {key: v.shape for key, v in again.state().items()} == {key: v.shape for key, v in model.state().items()}


def scramble(variables):
    """Any numbers: an average unlike its generator, odd statistics, full optimizer slots."""
    rng = np.random.default_rng(0)
    for variable in variables.values():
        numbers = rng.uniform(0.5, 1.5, variable.shape)
        variable.assign(numbers.astype(variable.dtype) if "float" in variable.dtype else np.full(variable.shape, 7))


@pytest.mark.parametrize("name", NAMES)
def test_a_keras_file_keeps_weights_and_both_optimizers(name, tmp_path):
    """Trap 10: a GAN's own optimizers are lost on save unless they are built before the load."""
    model = tiny.build(name)
    scramble(model.training_state())
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    expected = {key: np.array(v) for key, v in model.training_state().items()}
    assert sum("_momentum" in key or "_velocity" in key for key in expected) >= len(model.trainable_variables)
    found = {key: np.array(v) for key, v in again.training_state().items()}
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_array_equal(found[key], value, err_msg=key)
    for player in model.players:
        assert getattr(again, player).get_config() == getattr(model, player).get_config()


@pytest.mark.parametrize(("name", "more"), ROUND_TRIPS)
def test_save_and_load_give_the_same_model(name, more, tmp_path):
    model = tiny.build(name, **more)
    scramble(model.state())
    folder = zoo.save(model, tmp_path / "saved", extra={"steps": 7})
    again = zoo.load(folder)
    assert type(again) is type(model)
    assert again.get_config() == model.get_config()
    expected = values(model)
    assert {key: value.tobytes() for key, value in values(again).items()} == {
        k: v.tobytes() for k, v in expected.items()
    }
    manifest = json.loads((folder / "manifest.json").read_text())
    assert again.weights_source == f"{folder / 'weights.safetensors'}:{manifest['sha256'][:8]}"
    assert (manifest["steps"], manifest["model"]) == (7, f"{name}/{model.preset}")
    for player in model.players:
        assert getattr(again, player).get_config() == getattr(model, player).get_config()
    twice = zoo.save(again, tmp_path / "twice")
    assert (twice / "weights.safetensors").read_bytes() == (folder / "weights.safetensors").read_bytes()
    assert (twice / "config.toml").read_bytes() == (folder / "config.toml").read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_on_disk_changes_little(name, model, tmp_path):
    again = zoo.load(zoo.save(model(name), tmp_path / "half", dtype="float16"))
    whole = (zoo.save(model(name), tmp_path / "whole") / "weights.safetensors").stat().st_size
    assert (tmp_path / "half/weights.safetensors").stat().st_size < whole
    given = {"latent": {"n": 4}, "text": {"texts": ["a", "b"]}}.get(model(name).task)
    given = given or {"images": pictures(model(name), 2)}
    given |= model(name).example_options
    made = model(name).generate(**given)
    difference = again.generate(**given).astype(float) - made.astype(float)
    assert np.abs(difference).max() / (127.5 if made.dtype == np.uint8 else 1) < 1e-2


@pytest.mark.parametrize("name", NAMES)
def test_keys_name_the_network_and_every_layer_has_a_name_of_its_own(name, model):
    keys = list(model(name).state())
    assert {key.split("/")[0] for key in keys} == set(model(name).networks())
    automatic = re.compile(r"/(dense|conv2d|conv2d_transpose|batch_norm|maxout|layer)(_\d+)?/")
    assert not [key for key in keys if automatic.search(key)]


# ---- (f) the paper's file --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", NAMES)
def test_the_docstring_tells_the_paper(name):
    cls, paper = registry.models()[name], presets.read(name).paper
    text = importlib.import_module(cls.__module__).__doc__
    assert text.startswith(paper.title)
    for author in paper.authors.split(", "):
        assert author.split()[-1] in text, author
    assert f"arXiv {paper.arxiv}" in text
    assert str(paper.year) in text
    assert "Objective" in text
    table = re.findall(r"^\| (.+?) \| (.+?) \|$", text, re.MULTILINE)
    assert table[0] == ("paper", "here")
    assert len(table) >= 4
    assert re.search(r"^Deviations: \S", text, re.MULTILINE)
    # Every argument of the constructor is described.
    for key in arguments(name):
        assert re.search(rf"\b{key}\b", cls.__doc__), f"{key} is not in {cls.__name__}'s docstring"


@pytest.mark.parametrize("name", NAMES)
def test_a_paper_is_one_class_on_the_base_with_the_contract(name):
    cls = registry.models()[name]
    assert cls.__bases__ in ((BaseGAN,), (LatentGAN,))
    own = vars(cls)
    assert "train_step" in own
    for key in ("generate", "batch_signature", "serving_signature"):
        assert getattr(cls, key, None) is not getattr(BaseGAN, key, None), f"{name} has no {key} of its own"
    assert sum(key.endswith("_step") for key in own) >= 3, "train_step is made of the players' own steps"
    source = inspect.getsource(importlib.import_module(cls.__module__))
    functions = {node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}
    assert {"build_generator", "build_discriminator"} <= functions
    assert cls.task in ("latent", "image", "text")
    kinds = {p.kind for key, p in inspect.signature(cls.__init__).parameters.items() if key != "self"}
    assert kinds == {inspect.Parameter.KEYWORD_ONLY}


# ---- (g) parameter counts of the papers ------------------------------------------------------------------------------
def count(network):
    """Trainable parameters: what PyTorch calls parameters."""
    return sum(int(np.prod(v.shape)) for v in network.trainable_variables)


@pytest.mark.parametrize("name", NAMES)
def test_the_paper_size_preset_has_the_paper_s_parameters(name):
    record = presets.read(name)
    networks = networks_alone(registry.models()[name], **record.presets[record.paper.paper_preset].model)
    assert {key: count(networks[key]) for key in record.paper.params} == record.paper.params


@pytest.mark.parametrize(
    ("build", "settings", "expected"),
    [
        (pix2pix.build_generator, {"norm": "instance"}, 54_409_603),
        (pix2pix.build_generator, {"num_downs": 7}, 41_828_995),
        (pix2pix.build_discriminator, {"channels": 6}, 2_768_705),
        (pix2pix.build_discriminator, {"channels": 6, "norm": "instance"}, 2_767_809),
        (pix2pix.build_discriminator, {"channels": 6, "n_layers": 1}, 139_585),
        (pix2pix.build_discriminator, {"channels": 6, "n_layers": 5}, 11_159_361),
        (pix2pix.build_discriminator, {"channels": 6, "n_layers": 0}, 9_024),
        (dcgan.build_generator, {}, 3_576_704),
        (dcgan.build_discriminator, {}, 2_765_568),
        (dcgan.build_generator, {"ngf": 128, "kernel_size": 5}, 18_855_040),
        (dcgan.build_generator, {"ngf": 64, "kernel_size": 5, "unit_norm": True}, 5_142_080),
        (dcgan.build_discriminator, {"ndf": 64, "kernel_size": 5}, 4_315_584),
    ],
)
def test_parameter_counts_of_the_other_networks(build, settings, expected):
    with shapes_alone():
        assert count(network(build, **settings)) == expected


@pytest.mark.parametrize(
    ("n_layers", "side", "patch"), [(0, 8, 1), (1, 32, 16), (2, 64, 34), (3, 256, 70), (4, 256, 142)]
)
def test_receptive_field_of_the_patch(n_layers, side, patch):
    """One logit depends on `patch` pixels a side and on no other; 256 px give the paper's 30x30 map."""
    network = pix2pix.build_discriminator(channels=1, ndf=2, n_layers=n_layers, norm="none")
    image = tf.Variable(tf.random.stateless_normal([1, side, side, 1], (0, 0)))
    with tf.GradientTape() as tape:
        logits = network(image)
        middle = logits[0, logits.shape[1] // 2, logits.shape[2] // 2, 0]
    seen = np.flatnonzero(np.abs(tape.gradient(middle, image)[0, :, :, 0]).max(axis=0))
    assert seen[-1] - seen[0] + 1 == patch
    if n_layers == 3:
        assert logits.shape == (1, 30, 30, 1)


@pytest.mark.parametrize(
    ("placement", "downs", "levels"),
    [
        ("paper", 8, {8, 7, 6}),
        ("paper", 7, {7, 6, 5}),
        ("pytorch", 8, {7, 6, 5}),
        ("pytorch", 7, {6, 5}),
        ("paper", 2, {2}),
    ],
)
def test_dropout_sits_where_the_paper_and_the_pytorch_code_have_it(placement, downs, levels):
    unet = network(pix2pix.build_generator, ngf=1, num_downs=downs, dropout_placement=placement)
    found = {int(re.search(r"up(\d)_dropout", layer.name)[1]) for layer in unet.layers if "dropout" in layer.name}
    assert found == levels


# ---- generate --------------------------------------------------------------------------------------------------------
def pictures(model, n, height=19, width=33, channels=None, seed=0):
    channels = channels or next(iter(model.batch_signature().values())).shape[-1]
    return np.random.default_rng(seed).integers(0, 256, (n, height, width, channels), np.uint8)


@pytest.mark.parametrize("name", LATENT)
def test_a_sample_depends_on_seed_and_index_only(name, model):
    few, many = model(name).generate(3, seed=5), model(name).generate(20, seed=5)
    shape = model(name).batch_signature()
    assert few.shape == (3, *next(iter(shape.values())).shape[1:])
    assert few.dtype == (np.float32 if "voxels" in shape else np.uint8)
    np.testing.assert_array_equal(few, many[:3])
    np.testing.assert_array_equal(many, model(name).generate(20, seed=5))
    assert len(np.unique(many.reshape(20, -1), axis=0)) == 20, "every latent gives its own image"
    assert not np.array_equal(few, model(name).generate(3, seed=6))
    np.testing.assert_array_equal(
        model(name).generate(1, seed=2**40 + 5)[0], model(name).generate(2, seed=2**40 + 5)[0]
    )
    assert not np.array_equal(few[:1], model(name).generate(1, seed=2**32 + 5)), "the high half of the seed counts"
    assert model(name).generate().shape[0] == 16
    assert model(name).generate(2, seed=-1).shape[0] == 2


@pytest.mark.parametrize("name", LATENT)
def test_latents_replace_the_seed_and_follow_the_papers_distribution(name, model):
    network = model(name)
    z = network.latents(rows.row_seeds(5, 3))
    np.testing.assert_array_equal(network.generate(latents=z), network.generate(3, seed=5))
    np.testing.assert_array_equal(network.generate(latents=z.numpy()), network.generate(3, seed=5))
    drawn = np.asarray(rows.latents_of(network, rows.row_seeds(0, 2000)))
    mean, deviation = tiny.MOMENTS.get(name, (0, 1))  # U(-sqrt 3, sqrt 3) or N(0, 1)
    assert drawn.mean() == pytest.approx(mean, abs=0.05)
    assert drawn.std() == pytest.approx(deviation, abs=0.05)
    assert np.abs(np.corrcoef(drawn[:-1].ravel(), drawn[1:].ravel())[0, 1]) < 0.05


@pytest.mark.parametrize("name", LATENT)
@pytest.mark.parametrize(
    ("given", "word"),
    [({"n": 0}, "at least 1"), ({"n": -3}, "at least 1"), ({"n": 2.5}, "whole"), ({"n": "many"}, "whole")]
    + [({"seed": value}, "64 bits") for value in (1.5, "a", None, True, 2**63)]
    + [({"latents": np.zeros((2, 3))}, "shape"), ({"latents": np.zeros(5)}, "shape"), ({"latents": np.zeros((0, 5))}, "shape")]
    + [({"latents": [["a"]]}, "latents"), ({"latents": [[1.0], [1.0, 2.0]]}, "latents")],
)  # fmt: skip
def test_bad_sampling_arguments_are_said_in_a_sentence(name, given, word, model):
    with pytest.raises(GanzooError, match=word):
        model(name).generate(**given)


def test_an_image_depends_on_its_pixels_and_its_place_only():
    """For every norm: pix2pix's test time is training mode at batch 1, and no request changes a variable (trap 22)."""
    for norm in ("batch", "instance"):
        model = tiny.build("pix2pix", norm=norm)
        for variable in model.state().values():  # wide weights, so that uint8 shows differences
            variable.assign(variable.value * 8)
        before = values(model)
        x = pictures(model, 3)
        made = model.generate(x, seed=3)
        assert (made.shape, made.dtype) == ((3, 19, 33, 3), np.uint8)
        np.testing.assert_array_equal(made, model.generate(x, seed=3))
        np.testing.assert_array_equal(made[:2], model.generate(x[:2], seed=3))
        other = np.concatenate([x[:1], 255 - x[1:]])
        np.testing.assert_array_equal(
            made[:1], model.generate(other, seed=3)[:1], err_msg="the neighbours do not matter"
        )
        assert not np.array_equal(made, model.generate(x, seed=4)), "z is the dropout"
        assert not np.array_equal(*model.generate(np.repeat(x[:1], 2, axis=0), seed=3)), "each row has its own mask"
        assert not changed(before, values(model))


@pytest.mark.parametrize("name", ["pix2pix"])
def test_batch_norm_at_test_time_is_training_mode_at_batch_one(name):
    model = tiny.build(name, ema_decay=0.0)
    x = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 1)).astype("float32")
    made = model.generate(x, seed=9)
    seeds = rows.row_seeds(9, 2)
    for i in range(2):
        alone = model.generator([tf.constant(x[i : i + 1]), seeds[i : i + 1]], training=True)
        difference = made[i].astype(int) - np.asarray(pixels.to_uint8(alone))[0].astype(int)
        assert np.abs(difference).max() <= 1  # two kernels may round differently


def test_any_size_and_channel_count_is_taken():
    model = tiny.build("pix2pix")
    for height, width in ((1, 1), (16, 16), (17, 40), (31, 5)):
        assert model.generate(pictures(model, 1, height, width)).shape == (1, height, width, 3)
    gray = pictures(model, 1)
    np.testing.assert_array_equal(model.generate(gray), model.generate(np.repeat(gray, 3, axis=-1)))
    floats = gray.astype("float32") / 127.5 - 1
    np.testing.assert_array_equal(model.generate(gray), model.generate(floats))
    # Padding repeats edges and is cut off: a picture that fits the stride is untouched by it.
    whole = pictures(model, 1, 32, 32)
    x = tf.constant(whole, tf.float32) / 127.5 - 1
    direct = model.translate(model.per_image_sampler(), x, rows.row_seeds(0, 1))
    np.testing.assert_array_equal(model.generate(whole), pixels.to_uint8(direct))


@pytest.mark.parametrize(
    ("images", "word"),
    [
        (np.zeros((16, 16, 5), np.uint8), "shape"),
        (np.zeros((0, 16, 16, 3), np.uint8), "0"),
        (np.zeros((1, 16, 16, 4), np.uint8), "channels"),
        (np.zeros((1, 16, 16, 3), np.int32), "int32"),
        (np.full((1, 16, 16, 3), 255.0), "255"),
        (np.full((1, 16, 16, 3), np.nan), r"\[-1, 1\]"),
        ("photo.png", "Cannot read photo.png: No such file"),
        ([np.zeros((4, 4, 3)), np.zeros((5, 4, 3))], "shape"),
    ],
)
def test_bad_pictures_are_said_in_a_sentence(images, word, model):
    with pytest.raises(GanzooError, match=word):
        model("pix2pix").generate(images)


# ---- constructors ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "settings", "word"),
    [
        ("dcgan", {"image_size": 30}, "8, 16, 32, 64"),
        ("dcgan", {"image_size": 4}, "8, 16, 32, 64"),
        ("dcgan", {"latent_distribution": "gauss"}, "normal"),
        ("pix2pix", {"norm": "group"}, "instance"),
        ("pix2pix", {"dropout_placement": "outside"}, "pytorch"),
        ("gan", {"ema_decay": 1.0}, r"\[0, 1\)"),
        ("gan", {"ema_decay": float("nan")}, r"\[0, 1\)"),
    ],
)
def test_bad_arguments_of_a_constructor_are_said_in_a_sentence(name, settings, word):
    with pytest.raises(GanzooError, match=word):
        registry.models()[name](**settings)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [0, -1])
def test_senseless_sizes_never_give_a_traceback(name, value):
    """Each whole-number argument at 0 and -1: either the model stands or a GanzooError says why not."""
    for key, default in arguments(name).items():
        if type(default) is int:
            config = presets.run_config(name)
            config = config.model_copy(update={"model": tiny.TINY[name] | {key: value}})
            with contextlib.suppress(GanzooError):
                assert zoo.build(config).get_config()[key] == value


def test_importing_the_models_registers_every_sibling():
    folder = Path(models.__file__).parent
    files = {path.stem for path in folder.glob("*.py") if not path.stem.startswith("_")}
    assert {cls.__module__.rsplit(".", 1)[1] for cls in registry.models().values()} == files


def test_weights_of_a_wrong_width_are_refused_with_a_diff(tmp_path):
    saved = zoo.save(tiny.build("gan"), tmp_path / "gan")
    arrays, _ = weights.read(saved / "weights.safetensors")
    with pytest.raises(GanzooError, match=r"~ generator/hidden1/kernel file \(5, 12\), model \(5, 13\)"):
        weights.assign(tiny.build("gan", hidden=13).state(), arrays, "it")
