"""3D-GAN: the gate of D's updates, the second model with its encoder, shapes out of the command line, bad input."""

import numpy as np
import pytest
import tensorflow as tf
import tiny
from support.cli_runs import refused, run, settings
from support.golden import golden_state
from support.papers import network

import ganzoo
from ganzoo import evaluation, explore, exporting, importers, presets, training, zoo
from ganzoo.devices import strategies
from ganzoo.errors import GanzooError
from ganzoo.media import images
from ganzoo.models import gan3d
from ganzoo.runs import checkpoint

VAE = tiny.VARIANTS["3d-gan"][0]


@pytest.fixture(scope="module")
def model():
    return tiny.build("3d-gan")


@pytest.fixture(scope="module")
def vae():
    return tiny.build("3d-gan", **VAE)


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    """The tiny model as a folder, its biases moved so that its shapes are neither empty nor full."""
    return zoo.save(model, tmp_path_factory.mktemp("saved") / "model")


# ---- counts (1610.07584, section 3.1 and the official generator) -----------------------------------------------------
def count(network):
    return sum(int(np.prod(v.shape)) for v in network.trainable_variables)


def test_parameter_counts_of_the_paper():
    assert count(network(gan3d.build_encoder, encoder_size=256)) == 17_434_512
    assert count(network(gan3d.build_discriminator, bn_first=False)) == 11_048_704


def test_the_small_presets_fit_their_share_of_the_wheel():
    model = zoo.build(presets.run_config("3d-gan/furniture-32"))
    assert sum(int(np.prod(v.shape)) for v in model.state().values()) * 2 < 4.5e6
    assert [network.output_shape[1:] for network in (model.generator, model.discriminator)] == [(32, 32, 32, 1), (1,)]


@pytest.mark.parametrize(("size", "maps"), [(256, [64, 32, 16, 8]), (128, [32, 16, 8, 4]), (32, [8, 4, 2, 1])])
def test_the_encoder_halves_as_the_paper_s(size, maps):
    encoder = gan3d.build_encoder(encoder_size=size, latent_dim=3, nef=1 if size == 32 else 4)
    assert [encoder.get_layer(f"code{i}_conv").output.shape[1] for i in (1, 2, 3, 4)] == maps
    assert encoder.output_shape == (None, 6)


# ---- the gate --------------------------------------------------------------------------------------------------------
def state_of_d(model):
    variables = {**model.training_state()}
    return {
        k: np.array(v)
        for k, v in variables.items()
        if k.startswith(("discriminator", "d_optimizer")) and "moving" not in k
    }


@pytest.mark.parametrize("graph", [False, True])
def test_d_is_left_alone_after_a_batch_that_it_judged_too_well(graph):
    """The accuracy of the LAST batch decides; at the limit D is updated, above it nothing of D or its Adam moves."""
    model = tiny.build("3d-gan", accuracy_limit=0.8)
    step = tf.function(model.train_step) if graph else model.train_step
    for before, updated in ((0.8, 1.0), (0.81, 0.0), (1.0, 0.0), (0.0, 1.0)):
        model.d_accuracy.assign(before)
        first, g_first = state_of_d(model), np.array(model.generator.trainable_variables[0])
        for tracker in model.metrics:
            tracker.reset_state()
        logs = step(tiny.batch(model))
        last = state_of_d(model)
        moved = [key for key in first if not np.array_equal(first[key], last[key])]
        assert float(logs["d_updated"]) == updated
        assert bool(moved) == bool(updated), moved
        assert not np.array_equal(g_first, np.array(model.generator.trainable_variables[0])), "G moves always"
        assert float(model.d_accuracy) == pytest.approx(float(logs["accuracy"]))


def test_an_update_through_the_gate_is_a_plain_update():
    gated, plain = (tiny.build("3d-gan", ema_decay=0.0) for _ in range(2))
    plain.gradients, plain.update = (getattr(super(type(plain), plain), name) for name in ("gradients", "update"))
    for model in (gated, plain):
        for seed in range(3):
            model.train_step(tiny.batch(model, seed=seed))
    for key, value in gated.training_state().items():
        np.testing.assert_array_equal(np.array(value), np.array(plain.training_state()[key]), err_msg=key)


def test_the_schedule_of_a_gated_d_follows_the_run():
    """Of 40 steps 30 find D too good: its rate is that of step 40, as G's, and its Adam has counted 10 updates."""
    falling = presets.OptimizerConfig(learning_rate=0.4, beta_1=0.5, decay_steps=80)
    config = presets.run_config("3d-gan", {"data.size": 8})
    train = config.train.model_copy(update={"g_optimizer": falling, "d_optimizer": falling})
    model = zoo.build(
        config.model_copy(update={"train": train, "model": tiny.TINY["3d-gan"] | {"accuracy_limit": 0.8}})
    )
    loss = tf.constant(1.0)
    for step in range(40):
        model.d_accuracy.assign(0.9 if step % 4 else 0.0)
        for player in ("d_optimizer", "g_optimizer"):
            model.update(player, loss, [tf.zeros_like(v.value) for v in model.trainable_of(player)])
        model.step.assign_add(1)
    assert [int(model.d_optimizer.iterations), int(model.g_optimizer.iterations)] == [10, 40]
    assert float(model.d_optimizer.learning_rate) == pytest.approx(0.2)
    assert float(model.g_optimizer.learning_rate) == pytest.approx(0.2)


def test_the_full_size_encoder_preset_is_the_paper_s():
    config = presets.run_config("3d-gan/shapenet-vae-64")
    model = gan3d.GAN3D(**config.model)
    assert (config.data.size, config.data.render_size, model.latent_dim) == (64, 256, 200)
    assert count(model.encoder) == 17_434_512
    specs = model.batch_signature()
    assert [specs["image"].shape[1:], specs["voxels"].shape[1:]] == [(256, 256, 3), (64, 64, 64, 1)]


def test_accuracy_is_the_share_of_right_judgements():
    model = tiny.build("3d-gan")
    real = tf.constant(np.random.default_rng(0).random((4, 8, 8, 8, 1)), tf.float32)
    fake = model.generator(tf.zeros([4, 6]))
    judged = [np.array(model.discriminator(x, training=True)) for x in (real, fake)]
    logs = model.discriminator_step(real, fake)[1]
    assert float(logs["accuracy"]) == ((judged[0] > 0).sum() + (judged[1] < 0).sum()) / 8


def test_replicas_share_one_accuracy_and_gate_alike():
    with strategies.choose("mirrored").scope():
        model = tiny.build("3d-gan", accuracy_limit=0.0, bn_first=False)
        model.d_accuracy.assign(1.0)
    before = state_of_d(model)
    model.fit(tiny.batches(model), steps_per_epoch=1, verbose=0)
    assert all(np.array_equal(value, state_of_d(model)[key]) for key, value in before.items())
    assert 0 <= float(np.array(model.d_accuracy)) <= 1
    model.d_accuracy.assign(0.0)
    model.fit(tiny.batches(model), steps_per_epoch=1, verbose=0)
    assert any(not np.array_equal(value, state_of_d(model)[key]) for key, value in before.items())


def test_the_last_accuracy_is_in_a_checkpoint(tmp_path):
    model = tiny.build("3d-gan")
    model.d_accuracy.assign(0.625)
    checkpoint.save(model, tmp_path)
    again = tiny.build("3d-gan")
    assert checkpoint.restore(again, tmp_path) == 0
    assert float(again.d_accuracy) == 0.625


def test_grids_of_bytes_and_bools_are_occupancies():
    model = tiny.build("3d-gan")
    grid = np.random.default_rng(0).integers(0, 2, (4, 8, 8, 8, 1))
    for kind in (np.uint8, bool, np.float32):
        (seen,) = model.unpack({"voxels": tf.constant(grid.astype(kind))})
        np.testing.assert_array_equal(seen, grid)


# ---- 3D-VAE-GAN ------------------------------------------------------------------------------------------------------
def test_kl_and_reconstruction_by_hand(vae, monkeypatch):
    """KL(N(m, s^2) || N(0, 1)) = (s^2 + m^2 - 1 - log s^2) / 2 a coordinate; the distance is a norm, not its square."""
    code = np.concatenate([np.full((2, 6), 2.0), np.full((2, 6), np.log(4.0))], axis=1).astype(np.float32)
    monkeypatch.setattr(vae, "encoder", lambda picture, training: tf.constant(code))
    _, kl = vae.encode(tf.zeros([2, 32, 32, 3]))
    assert float(kl) == pytest.approx(6 * 0.5 * (4 + 4 - 1 - np.log(4)), rel=1e-6)
    made, real = np.zeros((2, 2, 2, 2, 1), np.float32), np.ones((2, 2, 2, 2, 1), np.float32)
    made[1] = 1
    assert float(gan3d.reconstruction_distance(tf.constant(made), tf.constant(real))) == pytest.approx(8**0.5 / 2)


def test_a_picture_gives_its_shape(vae):
    pictures = np.random.default_rng(0).integers(0, 256, (3, 40, 50, 3), np.uint8)
    made = vae.generate(images=pictures)
    assert (made.shape, made.dtype) == ((3, 8, 8, 8, 1), np.float32)
    np.testing.assert_array_equal(made[:1], vae.generate(images=pictures[:1]))
    np.testing.assert_array_equal(made, vae.generate(latents=vae.code_of(pictures)))
    assert vae.generate(2, seed=1).shape == (2, 8, 8, 8, 1)
    drawn = np.array(vae.draw([4000], [1, 2]))
    assert (drawn.mean(), drawn.std()) == (pytest.approx(0, abs=0.06), pytest.approx(1, abs=0.06))


def test_the_export_of_the_second_model_takes_pictures(vae, tmp_path):
    served = tf.saved_model.load(str(exporting.export(vae, tmp_path, allow_random=True)))
    pictures = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3)).astype(np.float32)
    answer = served.signatures["reconstruct"](images=tf.constant(pictures))["voxels"]
    np.testing.assert_allclose(answer, vae.generate(images=pictures), atol=1e-5)


def test_players_move_in_the_order_of_the_paper(vae):
    assert list(vae.players) == ["d_optimizer", "e_optimizer", "g_optimizer"]
    assert set(vae.batch_signature()) == {"image", "voxels"}


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda m: m.generate(images=np.zeros((1, 8, 8, 3), np.uint8)), "has no encoder"),
        (lambda m: gan3d.GAN3D(grid_size=30), "8, 16, 32, 64"),
        (lambda m: gan3d.GAN3D(accuracy_limit=80.0), "share from 0 to 1"),
        (lambda m: gan3d.GAN3D(encoder_size=100), "32, 64, 96"),
        (lambda m: explore.project(m, np.zeros((8, 8, 3), np.uint8)), "makes shapes"),
        (lambda m: explore.arithmetic(m, "0:0-1"), "in threes"),
        (lambda m: zoo.build(presets.run_config("3d-gan").model_copy(update={"model": VAE})), r"\[train.e_optimizer\]"),
    ],
)
def test_bad_input_is_said_in_a_sentence(make, sentence, model):
    with pytest.raises(GanzooError, match=sentence):
        make(model)


# ---- importers -------------------------------------------------------------------------------------------------------
def test_other_depths_zero_biases_and_a_bare_first_layer_are_imported():
    g, d = golden_state("gan3d_g_base4"), golden_state("gan3d_d_base4")
    z = np.random.default_rng(0).random((2, 20)).astype(np.float32)
    network = importers.build("gan3d.generator", g | {"0.bias": np.zeros(32), "12.bias": np.zeros(1)})
    np.testing.assert_array_equal(network(z), network(z[:, None, None, None]))
    with pytest.raises(GanzooError, match=r"Unknown: 0\.bias"):
        importers.build("3d-gan.generator", g | {"0.bias": np.ones(32)})
    with pytest.raises(GanzooError, match=r"Missing: 4\.weight"):
        importers.build("3d-gan.discriminator", {k: v for k, v in d.items() if k != "4.weight"})
    with pytest.raises(GanzooError, match="not one of 3d-gan"):
        importers.build("3d-gan.discriminator", g)
    with pytest.raises(GanzooError, match="not one of 3d-gan"):
        importers.build("3d-gan.generator", d)
    # DCGAN's rule: no batch norm behind the first layer, so every later number is one lower.
    bare = {"0.weight": d["0.weight"]}
    for name, array in d.items():
        index, _, rest = name.partition(".")
        if int(index) >= 3:
            bare[f"{int(index) - 1}.{rest}"] = array
    logits = importers.build("3d-gan.discriminator", bare)(np.ones((1, 64, 64, 64, 1), np.float32))
    assert logits.shape == (1, 1)


def test_a_checkpoint_becomes_a_model_folder(tmp_path):
    np.savez(tmp_path / "g.npz", **golden_state("gan3d_g_base4"))
    made = ganzoo.load(importers.import_checkpoint("3d-gan", tmp_path / "g.npz", tmp_path / "model"))
    assert (made.grid_size, made.ngf, made.latent_dim, made.run_config.data.size) == (64, 4, 20, 64)


# ---- sampling, exploring, training, measuring ------------------------------------------------------------------------
def test_the_command_line_shows_turns_and_writes_shapes(saved, tmp_path):
    trimesh = pytest.importorskip("trimesh")
    files = [tmp_path / name for name in ("shapes.png", "turn.gif", "shapes.glb")]
    run("sample", saved, "-n", 2, "-o", files[0], "--gif", files[1], "--mesh", files[2])
    assert images.read_image(files[0]).shape == (68, 134, 3)  # two of 64 px
    assert images.read_image(files[1]).shape == (68, 134, 3)
    assert trimesh.load(files[2], force="mesh").is_watertight
    first = files[0].read_bytes()
    run("sample", saved, "-n", 2, "-o", files[0])
    assert files[0].read_bytes() == first, "the same command, the same bytes"


def test_shapes_are_interpolated_and_calculated_with(saved, tmp_path):
    run("explore", "interpolate", saved, "-o", tmp_path / "i.png", "--steps", 3, "--seeds", "0:0-1")
    run("explore", "arithmetic", saved, "-o", tmp_path / "a.png")
    assert images.read_image(tmp_path / "a.png").shape[2] == 3
    table = explore.arithmetic(ganzoo.load(saved), "0:0,0:0,0:3")
    np.testing.assert_array_equal(table[0, 2], table[0, 3], err_msg="a - a + c is c")


def test_refusals_of_the_command_line(saved, tmp_path):
    assert "ends in .glb, .obj, .stl" in refused(
        "sample", saved, "-o", tmp_path / "x.png", "--mesh", tmp_path / "x.ply"
    )
    assert ".gif or .mp4" in refused("sample", saved, "-o", tmp_path / "x.png", "--gif", tmp_path / "x.png")
    words = ("sample", "dcgan", "-n", 1, "-o", tmp_path / "x.png", "--gif", tmp_path / "x.gif")
    assert "for models of shapes" in refused(*words)
    assert 'no metric "fid"' in refused("evaluate", saved, "--metrics", "fid")
    small = {"model.grid_size": 32, "train.metric_every": 1}
    assert "makes voxels" in refused("train", "3d-gan", "-o", tmp_path / "run", *settings(small))


def test_a_picture_becomes_a_shape_from_the_command_line(vae, tmp_path):
    folder = zoo.save(vae, tmp_path / "vae")
    images.write_png(tmp_path / "in.png", np.full((20, 30, 3), 90, np.uint8))
    run("sample", folder, "--input", tmp_path / "in.png", "-o", tmp_path / "out.png")
    assert images.read_image(tmp_path / "out.png").shape == (64, 64, 3)


TINY_RUN = {
    "train.batch_size": 4,
    "train.steps": 2,
    "train.log_every": 1,
    "train.health_every": 1,
    "train.sample_every": 0,
}


def test_both_models_train_from_their_presets_and_are_measured(tmp_path):
    """The presets' own data, at widths of a test; then every metric with its anchors, and the sheet."""
    widths = {
        "data.classes": (),
        "model.ngf": 2,
        "model.ndf": 2,
        "model.latent_dim": 4,
        "model.grid_size": 16,
        "data.size": 16,
    }
    training.train("3d-gan/furniture-vae-32", out=tmp_path / "vae", overrides=TINY_RUN | widths | {
        "model.encoder_size": 32, "data.render_size": 32, "model.nef": 4, "train.health_every": 0,
    })  # fmt: skip
    result = training.train("3d-gan/furniture-32", out=tmp_path / "run", overrides=TINY_RUN | widths)
    assert result.steps == 2
    assert (tmp_path / "run" / "health.jsonl").read_text().count("coverage") >= 2
    found = evaluation.evaluate(ganzoo.load(tmp_path / "run"), n=70, anchors=True, sheet=tmp_path / "sheet.png")
    by_name = {record["metric"]: record for record in found}
    assert set(by_name) == {
        "voxel-iou_n70_test",
        "voxel-coverage_n70_test",
        "voxel-1nn_n69_test",
        "linear-d-features_n69_test",
    }
    iou = by_name["voxel-iou_n70_test"]
    assert 0 <= iou["value"] <= iou["floor"] <= 1
    assert (iou["n"], iou["n_reference"], iou["pictures"]) == (70, 69, "16x16x16 voxels")
    assert images.read_image(tmp_path / "sheet.png").shape[2] == 3
