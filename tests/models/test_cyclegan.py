"""CycleGAN: the history, the schedule, unpaired data, both directions, and one whole run that is killed and resumed."""

import itertools
import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from support.cli_runs import refused, run
from support.papers import network

import ganzoo
from ganzoo import data, exporting, importers, presets, schedules, training
from ganzoo.base import pixels
from ganzoo.data import bundled
from ganzoo.data.check import check
from ganzoo.devices import strategies
from ganzoo.errors import GanzooError
from ganzoo.layers import ImagePool
from ganzoo.media import images
from ganzoo.models import cyclegan
from ganzoo.runs import checkpoint

GOLDEN = Path(__file__).parents[1] / "golden"
TRACE = dict(np.load(GOLDEN / "schedules_and_pool.npz", allow_pickle=False))
FACTS = json.loads((GOLDEN / "schedules_and_pool.json").read_text())


# ---- the history -----------------------------------------------------------------------------------------------------
def numbered(first, rows):
    """One-pixel images that are numbers."""
    return np.arange(first, first + rows, dtype=np.float32).reshape(-1, 1, 1, 1)


def by_hand(stored, size, images, uniform, index):
    """Shrivastava et al.'s history as the PyTorch code has it, one image after the other; changes `stored`."""
    returned = []
    for image, p, place in zip(images, uniform, index, strict=True):
        if len(stored) < size:
            stored.append(image)
            returned.append(image)
        elif p > 0.5:
            returned.append(stored[place])
            stored[place] = image
        else:
            returned.append(image)
    return returned


def test_the_pool_repeats_the_reference_trace():
    pool, size = ImagePool(FACTS["config"]["pool"]), FACTS["config"]["pool"]
    uniform, index = list(TRACE["pool.uniform_draws"]), list(TRACE["pool.index_draws"])
    for step, expected in enumerate(TRACE["pool.returned"]):
        p = uniform.pop(0) if step >= size else 0.0
        place = index.pop(0) if step >= size and p > 0.5 else 0
        np.testing.assert_array_equal(np.ravel(pool(numbered(step, 1), uniform=[p], index=[place])), expected)
    assert not uniform
    assert not index
    np.testing.assert_array_equal(np.ravel(pool.images), TRACE["pool.final_pool"])


@settings(max_examples=40, deadline=None)
@given(data=st.data(), size=st.integers(1, 4), rows=st.lists(st.integers(1, 6), min_size=1, max_size=5))
def test_the_pool_is_the_loop_over_images(data, size, rows):
    """Whatever the draws: what comes out went in, and a batch does what its images one by one would do."""
    pool, stored, given_so_far = ImagePool(size), [], 0
    for n in rows:
        uniform = data.draw(st.lists(st.sampled_from([0.0, 0.5, 0.500001, 0.99]), min_size=n, max_size=n))
        index = data.draw(st.lists(st.integers(0, size - 1), min_size=n, max_size=n))
        batch = numbered(given_so_far, n)
        given_so_far += n
        returned = np.ravel(pool(batch, uniform=uniform, index=index))
        assert (returned < given_so_far).all()
        np.testing.assert_array_equal(returned, by_hand(stored, size, batch.ravel(), uniform, index))
        np.testing.assert_array_equal(np.ravel(pool.images)[: len(stored)], stored)
        assert int(pool.count) == len(stored)


def test_half_of_the_images_come_from_a_full_pool():
    pool = ImagePool(50)
    pool(numbered(0, 50))
    shown = np.concatenate([np.ravel(pool(numbered(50 + 20 * i, 20))) < 50 + 20 * i for i in range(50)])
    assert shown.mean() == pytest.approx(0.5, abs=0.06)


def test_a_pool_of_nothing_shows_the_images_themselves():
    x = numbered(3, 4)
    np.testing.assert_array_equal(ImagePool(0)(x), x)
    for size in (-1, 2.5, True):
        with pytest.raises(GanzooError, match="whole number"):
            ImagePool(size)


def pool_values(model):
    return {key: np.array(v) for key, v in model.training_state().items() if key.startswith("pool_")}


def fitted(model, steps, start):
    batches = tiny.batches(model, 4).skip(start)
    model.fit(batches, steps_per_epoch=steps, verbose=0, shuffle=False)
    return {key: np.array(value) for key, value in model.training_state().items()}


def test_every_replica_has_a_history_that_a_checkpoint_keeps(tmp_path):
    """Two replicas: each shows D its own images; stopped and resumed, both go on as if nothing had been."""
    mirrored = strategies.choose("mirrored")

    def made():
        with mirrored.scope():
            return tiny.build("cyclegan")

    straight, first = made(), made()
    expected = fitted(straight, 6, 0)
    assert expected["pool_a/count"] == expected["pool_a/count#2"] == 3
    assert not np.array_equal(expected["pool_a/images"], expected["pool_a/images#2"])
    fitted(first, 3, 0)
    checkpoint.save(first, tmp_path)
    again = made()
    assert checkpoint.restore(again, tmp_path) == 3
    assert {k: v.tobytes() for k, v in pool_values(again).items()} == {
        k: v.tobytes() for k, v in pool_values(first).items()
    }
    for key, value in fitted(again, 3, 3).items():
        np.testing.assert_allclose(value, expected[key], atol=1e-6, rtol=1e-5, err_msg=key)
    with pytest.raises(GanzooError, match=r"(?s)unknown to the model.*pool_a/images#2"):
        checkpoint.restore(tiny.build("cyclegan"), tmp_path)


# ---- the schedule ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("name", "constant", "decay"), [("100_100", 100, 100), ("5_7", 5, 7)])
@pytest.mark.parametrize("epoch", [1, 1334])
def test_the_rate_of_each_epoch_is_the_references(name, constant, decay, epoch):
    table = {
        "learning_rate": 2e-4,
        "constant_steps": constant * epoch,
        "decay_steps": decay * epoch,
        "epoch_steps": epoch,
    }
    schedule = schedules.optimizer(presets.OptimizerConfig(**table), "g_optimizer")._learning_rate
    expected = TRACE[f"cyclegan_lr_{name}"]
    for offset in {0, epoch - 1}:
        rates = [float(schedule(e * epoch + offset)) for e in range(len(expected))]
        np.testing.assert_allclose(rates, expected, **FACTS["tolerance"])
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(schedule))
    assert again.get_config() == schedule.get_config()
    assert float(tf.function(schedule)(tf.constant(9 * epoch, tf.int64))) == float(again(9 * epoch))


@pytest.mark.parametrize("wrong", [{"decay_steps": None}, {"constant_steps": 3}, {"decay_steps": 7}])
def test_epochs_of_the_schedule_are_whole(wrong):
    with pytest.raises(ValueError, match="epoch_steps needs decay_steps"):
        presets.OptimizerConfig(
            **({"learning_rate": 1.0, "epoch_steps": 2, "constant_steps": None, "decay_steps": 4} | wrong)
        )


def test_a_killed_run_ends_with_the_bytes_of_the_straight_one(tmp_path, run_of):
    """The schedule, both histories, both averages and the order of both domains go on where they stopped."""
    more = {"model__ema_decay": 0.5, "train__sample_every": 0, "train__batch_size": 2, "train__checkpoint_every": 3}
    for player in ("g_optimizer", "d_optimizer"):
        more |= {f"train__{player}__constant_steps": 2, f"train__{player}__decay_steps": 6}
    training.train(run_of("cyclegan", train__steps=8, **more), out=tmp_path / "straight", strategy="one")
    training.train(run_of("cyclegan", train__steps=4, **more), out=tmp_path / "run", strategy="one")
    training.train(run_of("cyclegan", train__steps=8, **more), out=tmp_path / "run", resume=True, strategy="one")
    last = "checkpoints/step-00000008.safetensors"
    assert (tmp_path / "run" / last).read_bytes() == (tmp_path / "straight" / last).read_bytes()
    model = ganzoo.load(tmp_path / "run")
    assert model.generate(np.zeros((1, 9, 7, 3), np.uint8), direction="b2a").shape == (1, 9, 7, 3)


# ---- the step --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("more", [{}, {"affine": True}, {"norm": "batch"}])
def test_the_losses_are_those_of_the_paper(more):
    """One step's numbers from the networks as they were, each pass by itself: joining passes changes nothing."""
    model = tiny.build("cyclegan", pool_size=0, **more)
    g, f, d_a, d_b = model.generator_ab, model.generator_ba, model.discriminator_a, model.discriminator_b
    batch = tiny.batch(model)
    a, b = batch["a"], batch["b"]

    def mean(x):
        return float(tf.reduce_mean(x))

    fake_b, fake_a = g(a, training=True), f(b, training=True)
    cycle = mean(tf.abs(f(fake_b, training=True) - a)) + mean(tf.abs(g(fake_a, training=True) - b))
    identity = mean(tf.abs(g(b, training=True) - b)) + mean(tf.abs(f(a, training=True) - a))
    adversarial = mean((d_b(fake_b, training=True) - 1) ** 2) + mean((d_a(fake_a, training=True) - 1) ** 2)
    d_loss = 0.5 * (mean((d_a(a, training=True) - 1) ** 2) + mean(d_a(fake_a, training=True) ** 2))
    d_loss += 0.5 * (mean((d_b(b, training=True) - 1) ** 2) + mean(d_b(fake_b, training=True) ** 2))
    logs = {key: float(value) for key, value in model.train_step(batch).items()}
    assert logs["cycle"] == pytest.approx(cycle, rel=1e-4)
    assert logs["identity"] == pytest.approx(identity, rel=1e-4)
    assert logs["g_loss"] == pytest.approx(adversarial + 10 * cycle + 5 * identity, rel=1e-4)
    assert logs["d_loss"] == pytest.approx(d_loss, rel=1e-4)


@pytest.mark.parametrize(("n_blocks", "parameters"), [(9, 11_378_179), (6, 7_837_699)])
def test_parameters_of_both_generators_of_the_paper(n_blocks, parameters):
    assert network(cyclegan.build_generator, n_blocks=n_blocks).count_params() == parameters


def test_dropout_is_drawn_for_each_row_in_training_and_never_for_samples():
    model, images = tiny.build("cyclegan", dropout=0.5, pool_size=0), tf.ones([3, 16, 16, 3])
    first, second, again = (
        model.generator_ab([images, tf.constant(seeds)], training=True).numpy()
        for seeds in ([[0, 1], [0, 2], [0, 1]], [[0, 3], [0, 4], [0, 5]], [[0, 1], [0, 2], [0, 1]])
    )
    np.testing.assert_array_equal(first, again)
    np.testing.assert_allclose(first[0], first[2], atol=1e-6)  # the sums of a norm depend on the place in the batch
    assert np.abs(first[0] - first[1]).max() > 1e-4
    assert np.abs(first - second).max(axis=(1, 2, 3)).min() > 1e-4
    plain = tiny.build("cyclegan", pool_size=0)
    plain.generator_ab.set_weights(model.ema_generator_ab.get_weights())
    sampler = model.translator()
    assert [tuple(tensor.shape) for tensor in sampler.inputs] == [(None, None, None, 3)]
    np.testing.assert_array_equal(sampler(images, training=True), plain.generator_ab(images, training=True))
    model.fit(tiny.batches(model), steps_per_epoch=1, verbose=0, shuffle=False)  # the view sees what training does
    plain.generator_ab.set_weights(model.ema_generator_ab.get_weights())
    np.testing.assert_array_equal(sampler(images), plain.generator_ab(images))


def test_a_residual_generator_begins_at_its_input():
    """With weights of zero it is a copy; with others, what it adds before the tanh."""
    model, images = tiny.build("cyclegan", residual=True), np.random.default_rng(0).uniform(-1, 1, (2, 16, 16, 3))
    generator = model.generator_ab
    generator.get_layer("out_conv").kernel.assign(tf.zeros_like(generator.get_layer("out_conv").kernel))
    np.testing.assert_allclose(generator(images), images, atol=0.0011)
    generator.get_layer("out_conv").bias.assign([0.0, 0.5, -8.0])
    added = generator(images).numpy()
    moved = np.tanh(np.arctanh(np.clip(images[..., 1], -0.999, 0.999)) + 0.5)
    np.testing.assert_allclose(added[..., 1], moved, atol=1e-3)
    assert added[..., 2].max() < -0.99


def test_a_residual_generator_needs_one_channel_count():
    with pytest.raises(GanzooError, match="one channel count"):
        tiny.build("cyclegan", residual=True, identity_weight=0.0, output_channels=1)


@pytest.mark.parametrize("wrong", [{"norm": "none"}, {"dropout": 1.0}, {"dropout": -0.1}, {"upsampling": "nearest"}])
def test_norms_dropout_and_upsampling_that_do_not_exist_are_refused(wrong):
    with pytest.raises(GanzooError, match=next(iter(wrong))):
        tiny.build("cyclegan", **wrong)


# ---- generate and serving --------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def model():
    """One tiny model whose weights are wide, so that uint8 shows differences, and whose domains differ in channels."""
    made = tiny.build("cyclegan", input_channels=1, identity_weight=0.0)
    for variable in made.state().values():
        variable.assign(variable.value * 8)
    return made


def pictures(n, height, width, channels=3):
    return np.random.default_rng(height).integers(0, 256, (n, height, width, channels), np.uint8)


def test_both_directions_at_any_size(model):
    for height, width in ((1, 1), (3, 9), (16, 16), (17, 30)):
        assert model.generate(pictures(2, height, width, 1)).shape == (2, height, width, 3)
        assert model.generate(pictures(2, height, width), direction="b2a").shape == (2, height, width, 1)
    x = pictures(3, 16, 20, 1)
    made = model.generate(x, seed=1)
    np.testing.assert_array_equal(made, model.generate(x, seed=2, direction="a2b"))
    np.testing.assert_array_equal(made[1:2], model.generate(x[1:2]), err_msg="the neighbours do not matter")
    direct = model.ema_generator_ab(tf.constant(x[:1], tf.float32) / 127.5 - 1, training=False)
    np.testing.assert_array_equal(made[:1], pixels.to_uint8(direct), err_msg="a size that fits is not padded")
    rgb = pictures(1, 16, 16)
    np.testing.assert_array_equal(
        model.generate(rgb, direction="b2a"),
        pixels.to_uint8(model.ema_generator_ba(tf.constant(rgb, tf.float32) / 127.5 - 1, training=False)),
    )


def test_directions_are_named(model):
    with pytest.raises(GanzooError, match=r'"a2b" or "b2a"; received "b2c"|received \'b2c\'. Did you mean "b2a"'):
        model.generate(pictures(1, 8, 8), direction="b2c")


def test_a_saved_model_serves_both_directions(model, tmp_path):
    path = exporting.export(model, tmp_path / "out", allow_random=True)
    served = tf.saved_model.load(str(path)).signatures
    gray, colour = pictures(1, 13, 9, 1), pictures(1, 13, 9)
    for endpoint, direction, x in (("serving_default", "a2b", gray), ("b2a", "b2a", colour)):
        request = {"image_bytes": tf.constant([images.png_bytes(x[0])]), "seed": tf.constant([3], tf.int64)}
        answer = images.read_image(served[endpoint](**request)["image_bytes"].numpy()[0])
        expected = model.generate(x, direction=direction)[0]
        assert np.abs(answer.astype(int) - expected).max() <= 1
    for endpoint, x in (("tensors", gray), ("b2a_tensors", colour)):
        floats = tf.constant(np.repeat(x, 2, axis=0), tf.float32) / 127.5 - 1
        made = served[endpoint](images=floats, seed=tf.constant([0, 1], tf.int64))["images"].numpy()
        assert made.shape == (2, 13, 9, 3 if endpoint == "tensors" else 1)


def test_sample_translates_in_the_direction_that_is_asked_for(model, tmp_path):
    ganzoo.save(model, tmp_path / "model")
    images.write_png(tmp_path / "x.png", pictures(1, 12, 10)[0])
    for direction, channels in (("a2b", 3), ("b2a", 1)):
        out = tmp_path / f"{direction}.png"
        done = run(
            "sample", tmp_path / "model", "--input", tmp_path / "x.png", "--direction", direction, "-o", out, "--json"
        )
        assert json.loads(done.stdout)["direction"] == direction
        picture = images.to_channels(images.read_image(tmp_path / "x.png"), 4 - channels)
        expected = model.generate(picture[None], direction=direction)[0]
        np.testing.assert_array_equal(images.to_channels(images.read_image(out), channels), expected)
    words = ["sample", tmp_path / "model", "--input", tmp_path / "x.png", "-o", tmp_path / "y.png", "--direction"]
    assert 'There is no direction "b2c". Did you mean "b2a"?' in refused(*words, "b2c")
    ganzoo.save(tiny.build("gan"), tmp_path / "gan")
    assert "takes no --direction" in refused("sample", tmp_path / "gan", "-o", tmp_path / "y.png", "--direction", "a2b")


# ---- weights ---------------------------------------------------------------------------------------------------------
def test_averages_that_a_file_does_not_have_start_where_their_networks_are(tmp_path):
    plain = tiny.build("cyclegan", ema_decay=0.0)
    folder = ganzoo.save(plain, tmp_path / "plain")
    averaged = ganzoo.load(folder, ema_decay=0.9)
    for average, original in averaged.averages():
        for shadow, weight in zip(average.weights, original.weights, strict=True):
            np.testing.assert_array_equal(shadow, weight)
    assert len(averaged.averages()) == 2
    again = ganzoo.load(ganzoo.save(averaged, tmp_path / "averaged"), ema_decay=0.0)
    assert again.state().keys() == plain.state().keys()


# ---- official checkpoints --------------------------------------------------------------------------------------------
def resnet_state(channels_in=3, channels_out=3, ngf=2, n_blocks=2, seed=0):
    """A random generator state in the reference's names."""
    rng, shapes = np.random.default_rng(seed), {"model.1": (ngf, channels_in, 7, 7)}
    shapes |= {"model.4": (2 * ngf, ngf, 3, 3), "model.7": (4 * ngf, 2 * ngf, 3, 3)}
    for block in range(10, 10 + n_blocks):
        shapes |= {f"model.{block}.conv_block.{i}": (4 * ngf, 4 * ngf, 3, 3) for i in (1, 5)}
    up = {10: (4 * ngf, 2 * ngf, 3, 3), 13: (2 * ngf, ngf, 3, 3), 17: (channels_out, ngf, 7, 7)}
    shapes |= {f"model.{n_blocks + index}": shape for index, shape in up.items()}
    state = {}
    for name, shape in shapes.items():
        state[f"{name}.weight"] = rng.normal(size=shape).astype(np.float32) * 0.3
        width = shape[1] if name in (f"model.{n_blocks + 10}", f"model.{n_blocks + 13}") else shape[0]
        state[f"{name}.bias"] = rng.normal(size=width).astype(np.float32)
    return state


def patchgan_state(channels=3, ndf=2, n_layers=1, seed=0):
    rng, state, widths = (
        np.random.default_rng(seed),
        {},
        [channels, *(ndf * min(2**i, 8) for i in range(n_layers + 1)), 1],
    )
    for index, (come, go) in enumerate(itertools.pairwise(widths)):
        name = f"model.{max(3 * index - 1, 0)}"
        state[f"{name}.weight"] = rng.normal(size=(go, come, 4, 4)).astype(np.float32) * 0.3
        state[f"{name}.bias"] = rng.normal(size=go).astype(np.float32)
    return state


def test_four_files_become_a_model_each_in_its_place(tmp_path):
    """The code names files by where they start: D_A judges what G_A makes, which is of domain B."""
    states = {
        "G_A": resnet_state(1, 3, seed=1),
        "G_B": resnet_state(3, 1, seed=2),
        "D_A": patchgan_state(3, seed=3),
        "D_B": patchgan_state(1, seed=4),
    }
    for name, state in states.items():
        np.savez(tmp_path / f"latest_net_{name}.npz", **state)
    out = tmp_path / "mine"
    done = run("import", "cyclegan", tmp_path / "latest_net_G_A.npz", "-o", out, "--json")
    assert json.loads(done.stdout)["untrained"] == []
    model = ganzoo.load(out)
    assert (model.ngf, model.n_blocks, model.ndf, model.n_layers, model.input_channels) == (2, 2, 2, 1, 1)
    rng = np.random.default_rng(0)
    for attribute, kind, name, channels in (
        ("generator_ab", "cyclegan.generator", "G_A", 1),
        ("generator_ba", "cyclegan.generator", "G_B", 3),
        ("discriminator_b", "cyclegan.discriminator", "D_A", 3),
        ("discriminator_a", "cyclegan.discriminator", "D_B", 1),
    ):
        x = rng.uniform(-1, 1, (1, 16, 20, channels)).astype(np.float32)
        expected = importers.build(kind, states[name])(x, training=False)
        np.testing.assert_allclose(getattr(model, attribute)(x, training=False), expected, rtol=1e-6, atol=1e-6)
    assert model.generate(pictures(1, 9, 9, 1)).shape == (1, 9, 9, 3)


def test_one_file_is_enough_and_the_rest_is_said_to_be_untrained(tmp_path):
    np.savez(tmp_path / "horse2zebra.npz", **resnet_state(n_blocks=6))
    done = run("import", "cyclegan", tmp_path / "horse2zebra.npz", "-o", tmp_path / "mine")
    assert "random weights: generator_ba, discriminator_a, discriminator_b" in done.stderr
    assert ganzoo.load(tmp_path / "mine").image_size == 128
    np.savez(tmp_path / "net_G_B.npz", **resnet_state())
    out = importers.import_checkpoint("cyclegan", tmp_path / "net_G_B.npz", tmp_path / "back", image_size=64)
    assert json.loads((out / "manifest.json").read_text())["untrained"][0] == "generator_ab"


def test_files_that_are_not_of_one_cyclegan_are_refused(tmp_path):
    def refusal(kind, state):
        with pytest.raises(GanzooError) as caught:
            importers.build(f"cyclegan.{kind}", state)
        return str(caught.value)

    g, d = resnet_state(), patchgan_state()
    assert 'has no "model.1.weight"' in refusal("generator", d)
    assert "no residual block" in refusal("generator", {k: v for k, v in g.items() if "conv_block" not in k})
    normed = {f"model.2.{part}": np.ones(2) for part in ("weight", "bias", "running_mean", "running_var")}
    assert "Missing: model.5.weight (4,), model.5.bias (4,)" in refusal("generator", g | normed)
    gains = {f"model.2.{part}": np.ones(2) for part in ("weight", "bias")}
    assert "Missing: model.5.weight (4,), model.5.bias (4,)" in refusal("generator", g | gains)
    assert "Missing: model.11.conv_block.1.bias (8,)" in refusal(
        "generator", {k: v for k, v in g.items() if k != "model.11.conv_block.1.bias"}
    )
    assert 'has no "model.0.weight"' in refusal("discriminator", g)
    assert "PixelGAN" in refusal(
        "discriminator", {f"net.{i}.{p}": np.ones((2, 2, 1, 1)) for i in (0, 2) for p in ("weight",)}
    )
    np.savez(tmp_path / "latest_net_G_A.npz", **g)
    np.savez(tmp_path / "latest_net_G_B.npz", **resnet_state(ngf=3))
    with pytest.raises(GanzooError, match="not of one model: ngf is 2 in one and 3 in another"):
        importers.import_checkpoint("cyclegan", tmp_path / "latest_net_G_A.npz", tmp_path / "out")
    with pytest.raises(GanzooError, match="given as the generator"):
        importers.import_checkpoint("cyclegan", tmp_path / "latest_net_D_A.npz", tmp_path / "out")
    assert not (tmp_path / "out").exists()


# ---- unpaired data ---------------------------------------------------------------------------------------------------
def config(source, **more):
    return presets.DataConfig(**({"shape": "unpaired", "source": str(source), "size": 8} | more))


def two_folders(root, names=("trainA", "trainB"), counts=(5, 3), channels=3, size=8):
    """Pictures whose red says the domain and whose green the number."""
    for domain, (name, count) in enumerate(zip(names, counts, strict=True)):
        for i in range(count):
            picture = np.zeros((size, size, 3), np.uint8)
            picture[..., 0], picture[..., 1], picture[..., 2] = 200 * domain, 20 * i, np.arange(size) * 9
            images.write_png(root / name / f"{i}.png", picture[..., :channels])
    return root


def numbers(batch, domain):
    """Which pictures of `two_folders` a batch holds; every one is of the domain itself."""
    pixels = np.round((batch[domain].numpy()[:, 0, 0] + 1) * 127.5).astype(int)
    assert set(pixels[:, 0]) == {200 * "ab".index(domain)}
    return (pixels[:, 1] // 20).tolist()


@pytest.mark.parametrize(
    "names", [("trainA", "trainB"), ("A", "B"), ("train/A", "train/B"), ("a/train", "b/train"), ("x/A/1", "x/B/2")]
)
def test_each_domain_has_an_order_of_its_own(tmp_path, names):
    source = data.open_source(config(two_folders(tmp_path, names)))
    assert len(source) == 5
    assert [p[0, 0, 1] for p in source.take(9)["a"]] == [0, 20, 40]
    stream = iter(data.batches(source, 1, seed=3))
    seen = [next(stream) for _ in range(15)]
    orders = {domain: [numbers(batch, domain)[0] for batch in seen] for domain in "ab"}
    for domain, count in (("a", 5), ("b", 3)):
        epochs = [orders[domain][i : i + count] for i in range(0, 15, count)]
        assert all(sorted(epoch) == list(range(count)) for epoch in epochs), "every epoch shows each picture once"
        assert len({tuple(epoch) for epoch in epochs}) > 1
    later = iter(data.batches(source, 1, seed=3, start_step=7))
    for batch in seen[7:]:
        again = next(later)
        assert all(np.array_equal(batch[domain], again[domain]) for domain in "ab")


def test_what_stands_beside_an_a_is_chance(tmp_path):
    source = data.open_source(config(two_folders(tmp_path, counts=(4, 4))))
    stream = iter(data.batches(source, 4, seed=0))
    pairs = {
        pair
        for _ in range(30)
        for batch in [next(stream)]
        for pair in zip(numbers(batch, "a"), numbers(batch, "b"), strict=True)
    }
    assert len(pairs) == 16


def test_direction_exchanges_the_domains(tmp_path):
    root = two_folders(tmp_path, counts=(4, 2))
    there, back = (data.open_source(config(root, direction=way)).take(2) for way in ("a2b", "b2a"))
    np.testing.assert_array_equal(there["a"], back["b"])
    np.testing.assert_array_equal(there["b"], back["a"])


def test_splits_are_named_without_the_domain(tmp_path):
    two_folders(two_folders(tmp_path), ("testA", "testB"), (2, 2))
    assert data.open_source(config(tmp_path), "test").summary()["counts"] == {"a": 2, "b": 2}
    assert data.open_source(config(tmp_path), "train+test").summary()["counts"] == {"a": 7, "b": 5}
    assert data.open_source(config(tmp_path), "all").summary()["counts"] == {"a": 7, "b": 5}
    with pytest.raises(GanzooError, match='write "test" instead of "testA"'):
        data.open_source(config(tmp_path), "testA")


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ((4, 1), r"split trainB\) has 1 usable pictures of domain B; at least 2 are needed"),
        ((1, 4), "domain A"),
        ((4, 0), "trainB"),
    ],
)
def test_a_domain_with_too_few_pictures_is_said_in_a_sentence(tmp_path, counts, said):
    with pytest.raises(GanzooError, match=said) as caught:
        data.open_source(config(two_folders(tmp_path, counts=counts)))
    assert "\n" not in str(caught.value)


def test_domains_of_other_channel_counts_than_the_model_are_said_in_a_sentence(tmp_path, run_of):
    with pytest.raises(GanzooError, match=r"domain B \(3 channels\).*domain A \(1\)"):
        tiny.build("cyclegan", input_channels=1)
    with pytest.raises(GanzooError, match=r'a "a" of 3 channels, and the data have 1.*data.input_channels'):
        training.train(run_of("cyclegan", data__input_channels=1), out=tmp_path / "run", strategy="one")
    assert not (tmp_path / "run" / "config.toml").exists()


def test_gray_and_colour_domains_train(tmp_path, run_of):
    root = two_folders(tmp_path / "set", channels=3)
    more = {"data__source": str(root), "data__split": "train", "data__input_channels": 1, "model__input_channels": 1}
    more |= {
        "model__identity_weight": 0.0,
        "model__residual": False,
        "data__fit": "stretch",
        "train__batch_size": 1,
        "train__sample_every": 2,
    }
    training.train(run_of("cyclegan", train__steps=2, **more), out=tmp_path / "run", strategy="one")
    grid = images.read_image(tmp_path / "run/samples/000002.png")
    assert grid.shape[1] >= 6 * 16, "a, a2b, a2b2a, b, b2a, b2a2b"


def test_no_glyph_is_in_both_domains_of_the_emoji_training_set():
    records = {
        split: bundled.bundled_records("emoji_64", split, "unpaired").ids
        for split in ("trainA", "trainB", "testA", "testB")
    }
    concepts = {split: {bundled.concept(i.rpartition("/")[2]) for i in ids} for split, ids in records.items()}
    assert min(map(len, records.values())) >= 100
    assert not concepts["trainA"] & concepts["trainB"]
    assert not (concepts["trainA"] | concepts["trainB"]) & concepts["testA"], "the pairs of the test are hidden"
    assert [i.rpartition("/")[2] for i in records["testA"]] == [i.rpartition("/")[2] for i in records["testB"]]
    assert all("fluent" in i for i in records["trainA"])
    assert all("noto" in i for i in records["testB"])
    with pytest.raises(GanzooError, match='write "emoji_64"'):
        data.open_source(config("emoji_64/noto", size=64))


@pytest.mark.parametrize(
    ("code", "concept"),
    [
        ("1F44D-1F3FB", "1f44d"),
        ("2764-fe0f", "2764"),
        ("1f468-1f3fd-200d-1f692", "1f9d1-1f692"),
        ("1f3c3-200d-2642-fe0f", "1f3c3"),
    ],
)
def test_variants_of_a_glyph_are_one_concept(code, concept):
    assert bundled.concept(code) == concept


def test_a_prepared_tfds_cycle_gan_is_read(tmp_path, monkeypatch):
    """TFDS's own set in its own layout, with a few pictures; the builder is that of the installed tensorflow_datasets."""
    import tensorflow_datasets as tfds

    counts = {"trainA": 4, "trainB": 3, "testA": 2, "testB": 2}
    builder = tfds.builder("cycle_gan/horse2zebra", data_dir=str(tmp_path))

    def rows(split):
        for i in range(counts[split]):
            picture = np.full((10, 8, 3), 200 if split.endswith("B") else 20 + i, np.uint8)
            yield f"{split}{i}", {"image": picture, "label": "AB".index(split[-1])}

    monkeypatch.setattr(type(builder), "_split_generators", lambda self, *_: {split: rows(split) for split in counts})
    builder.download_and_prepare()
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    source = data.open_source(config("tfds:cycle_gan/horse2zebra", fit="stretch"))
    assert source.summary()["counts"] == {"a": 4, "b": 3}
    taken = source.take(3)
    assert taken["a"].max() < 100 <= taken["b"].min()
    assert data.open_source(source.config, "test").summary()["counts"] == {"a": 2, "b": 2}


# ---- data check ------------------------------------------------------------------------------------------------------
def test_check_sees_two_domains(tmp_path):
    root = two_folders(tmp_path / "set", size=16)
    result = check(root)
    assert (result.shape, result.layout, result.splits) == ("unpaired", "unpaired", {"trainA": 5, "trainB": 3})
    assert not result.problems
    assert not result.advice
    (root / "trainA" / "9.png").write_bytes(b"no picture")
    images.write_png(root / "trainB" / "8.png", np.zeros((16, 16, 1), np.uint8))
    images.write_png(root / "stray.png", np.zeros((16, 16, 3), np.uint8))
    found = json.loads(run("data", "check", root, "--json").stdout)
    status = {
        row["file"].removeprefix("set/"): row["status"] for row in found["rows"] if row["status"] not in ("ok", "tiny")
    }
    assert {Path(file).name: s for file, s in status.items()} == {
        "9.png": "corrupt",
        "8.png": "mode-mixed",
        "stray.png": "unmatched",
    }


def test_check_tells_domains_from_pairs(tmp_path):
    assert check(two_folders(tmp_path / "pairs", ("A", "B"), (3, 3))).shape == "paired"
    root = two_folders(tmp_path / "domains", ("A", "none"), (3, 0))
    for i in range(3):
        images.write_png(root / "B" / f"other{i}.png", np.full((16, 16, 3), 9 * i, np.uint8))
    assert check(root).shape == "unpaired"
    assert (
        check(two_folders(tmp_path / "one", counts=(4, 1), size=16)).advice[-1].startswith("1 usable pictures of dom")
    )
    assert check(two_folders(tmp_path / "forced", ("A", "B"), (3, 3)), shape="unpaired").splits == {
        "trainA": 3,
        "trainB": 3,
    }
