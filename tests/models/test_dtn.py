"""dtn: the losses of the paper, an f that never moves, what each loss looks at, the crop, and how a transfer is measured."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tiny
from PIL import Image
from support.cli_runs import run
from support.papers import shapes_alone
from support.steps import changed, values

import ganzoo
from ganzoo import data, presets, sampling, training, weights, zoo
from ganzoo.base import face_descriptor, pixels
from ganzoo.base.model import build
from ganzoo.errors import GanzooError
from ganzoo.evaluation import transfer_metrics
from ganzoo.models import dtn
from ganzoo.presets import DataConfig

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="module")
def golden():
    return dict(np.load(GOLDEN / "dtn_losses.npz"))


@pytest.fixture(scope="module")
def model():
    """Of which f is trained already."""
    made = tiny.build("dtn", ema_decay=0.0)
    made.weights_source = "somewhere:12345678"
    return made


@pytest.fixture(scope="module")
def faces():
    """With the face descriptor as f."""
    return tiny.build("dtn", f="face-descriptor", channels=3, ema_decay=0.0)


# ---- the paper's numbers -----------------------------------------------------------------------------------------------
def test_losses_are_the_golden_ones(golden):
    logits = [tf.constant(golden[f"logits_{key}"]) for key in ("G_s", "G_t", "t")]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(logits)
        d_loss, g_loss = dtn.ternary_d(*logits), dtn.ternary_g(*logits[:2])
    np.testing.assert_allclose(d_loss, golden["L_D"], rtol=1e-5)
    np.testing.assert_allclose(g_loss, golden["L_GANG"], rtol=1e-5)
    for key, one in zip(("G_s", "G_t", "t"), logits, strict=True):
        np.testing.assert_allclose(tape.gradient(d_loss, one), golden[f"L_D.grad_logits_{key}"], rtol=1e-5, atol=1e-6)
    for key, one in zip(("G_s", "G_t"), logits, strict=False):
        wanted = golden[f"L_GANG.grad_logits_{key}"]
        np.testing.assert_allclose(tape.gradient(g_loss, one), wanted, rtol=1e-5, atol=1e-6)
    const, tid = dtn.squared_error(golden["f_s"], golden["f_G_s"]), dtn.squared_error(golden["x_t"], golden["G_t"])
    np.testing.assert_allclose((const, tid), (golden["L_CONST_mse"], golden["L_TID_mse"]), rtol=1e-5)
    np.testing.assert_allclose(g_loss + 15 * const + 15 * tid, golden["L_G_alpha15_beta15_gamma0"], rtol=1e-5)
    pictures = np.moveaxis(golden["G_t"], 1, -1)
    each = [float(ganzoo.losses.tv(one[None])) for one in pictures]
    np.testing.assert_allclose(each, golden["L_TV_per_image_sum"], rtol=1e-5)


def test_an_undecided_discriminator_of_three_classes():
    zeros = tf.zeros([4, 3])
    assert float(dtn.ternary_d(zeros, zeros, zeros)) == pytest.approx(3 * np.log(3))
    assert float(dtn.ternary_g(zeros, zeros)) == pytest.approx(2 * np.log(3))
    sure = tf.constant([[900.0, -900.0, 0.0]])  # no log of a softmax that is 0
    assert float(dtn.cross_entropy(sure, dtn.REAL)) == pytest.approx(900.0)


def test_layouts_beside_the_counts_of_the_paper_size():
    """Others' binary D has 1,486,593 parameters; the paper's three classes cost 2 * (4 * 4 * 512 + 1) more."""
    record = presets.read("dtn")
    own = record.presets["svhn2mnist-32"].model
    assert record.paper.params["discriminator"] - 2 * (4 * 4 * 512 + 1) == 1_486_593
    with shapes_alone():
        maxed = build(dtn.build_feature, dtn.DTN.defaults() | own | {"pooling": "max"})
        five = build(dtn.build_generator, dtn.DTN.defaults())
    names = [layer.name for layer in maxed.layers]
    for level in (1, 2, 3):
        place = names.index(f"down{level}_conv")
        assert names[place : place + 3] == [f"down{level}_{part}" for part in ("conv", "pool", "relu")]
    assert maxed.output_shape == (None, 128)
    assert sum(name.endswith("_mix_conv") for name in (layer.name for layer in five.layers)) == 5
    assert five.output_shape == (None, 64, 64, 3)


# ---- what a step looks at ----------------------------------------------------------------------------------------------
def test_the_loss_of_g_is_made_of_its_four_parts(model):
    """L_CONST of sources alone, L_TID of targets alone, and the transfer's f is that of inference."""
    a, b, _ = model.unpack(tiny.batch(model))
    code, fake_a, fake_b, tape = model.forward(a, b)
    np.testing.assert_allclose(code, model.feature(a, training=False), atol=1e-6)
    const = np.mean(
        np.square(code - model.feature(np.repeat(fake_a, 3, -1), training=False))
    )  # gray, for an f of colours
    tid = np.mean(np.square(b - fake_b))
    source, target = (model.discriminator(x, training=True) for x in (fake_a, fake_b))
    variation = ganzoo.losses.tv(tf.concat([fake_a, fake_b], 0))
    wanted = dtn.ternary_g(source, target) + 10 * const + 5 * tid + 0.01 * variation
    found = model.generator_step(b, code, fake_a, fake_b, tape)
    np.testing.assert_allclose(found, (wanted, const, tid), rtol=1e-5)


def test_the_transfer_never_moves_f(model):
    before = values(model)
    for step in range(3):
        logs = model.train_step(tiny.batch(model, seed=step))
    assert "e_loss" not in logs
    moved = {key.split("/")[0] for key in changed(before, values(model))}
    assert moved == {"generator", "discriminator"}
    owned = {id(v) for player in ("g_optimizer", "d_optimizer") for v in model.trainable_of(player)}
    assert not owned & {id(v) for v in model.feature.variables + model.classifier.variables}


def test_a_gradient_of_the_constancy_reaches_g_and_no_variable_of_a_frozen_f(faces):
    assert "e_optimizer" not in faces.players
    assert "label" not in faces.batch_signature()
    assert not faces.feature.trainable_variables
    batch = tiny.batch(faces)
    code, fake, _, tape = faces.forward(*faces.unpack(batch))
    with tape:
        const = dtn.squared_error(code, faces.features(fake))
    gradients = tape.gradient(const, [v.value for v in faces.generator.trainable_variables])
    assert all(np.abs(g).max() > 0 for g, v in zip(gradients, faces.generator.trainable_variables, strict=True)
               if not (v.path.endswith("_conv/bias") and "image" not in v.path))  # fmt: skip
    before = values(faces)
    faces.train_step(batch)
    assert {key.split("/")[0] for key in changed(before, values(faces))} == {"generator", "discriminator"}


def test_running_statistics_are_of_sources_alone():
    """G of a source is what is sampled, and the codes of the two domains lie apart."""
    model = tiny.build("dtn")
    before, batch = values(model), tiny.batch(model)
    a, b, *_ = model.unpack(batch)
    codes = tf.reshape(model.features(a), (len(a), 1, 1, -1))
    seen = model.generator.get_layer("start_conv")(codes)  # what the first norm sees
    model.forward(a, b)
    after = values(model)
    key = "generator/start_norm/moving_mean"
    wanted = 0.9 * before[key] + 0.1 * tf.reduce_mean(seen, axis=(0, 1, 2)).numpy()
    np.testing.assert_allclose(after[key], wanted, rtol=1e-3)
    assert (after[key] != before[key]).all()


def test_the_face_feature_is_the_descriptor_and_the_colours(faces):
    x = np.random.default_rng(0).uniform(-1, 1, (2, 16, 16, 3)).astype(np.float32)
    code = faces.features(x).numpy()
    assert code.shape == (2, 256)
    descriptor = face_descriptor.describe(face_descriptor.load(), x).numpy()
    np.testing.assert_allclose(code[:, :128], descriptor * np.sqrt(128), rtol=1e-4, atol=1e-4)
    bright = faces.features(np.clip(x + 0.3, -1, 1)).numpy()
    assert np.abs(bright - code)[:, 128:].mean() > 0.01
    assert build(dtn.build_feature, faces.get_config() | {"colour_weight": 0.0}).output_shape == (None, 128)


def test_eight_bits_of_f_stay_eight_bits_on_disk(faces, tmp_path):
    saved = zoo.save(faces, tmp_path / "half", dtype="float16") / "weights.safetensors"
    arrays, _ = weights.read(saved)
    kinds = {key.rsplit("/", 1)[1]: str(value.dtype) for key, value in arrays.items() if "conv128_1_conv1" in key}
    assert kinds == {"codes": "uint8", "scale": "float32", "shift": "float32", "bias": "float32"}
    assert arrays["generator/start_conv/kernel"].dtype == np.float16


def test_weights_may_leave_out_the_f_that_is_bundled_but_no_part_of_it(faces, model, tmp_path):
    saved = zoo.save(faces, tmp_path / "faces") / "weights.safetensors"
    arrays, _ = weights.read(saved)
    whole = zoo.load(tmp_path / "faces")
    weights.write(saved, rest := {key: array for key, array in arrays.items() if not key.startswith("feature/")})
    manifest = json.loads((saved.parent / "manifest.json").read_text())
    manifest["sha256"] = hashlib.sha256(saved.read_bytes()).hexdigest()
    (saved.parent / "manifest.json").write_text(json.dumps(manifest))
    loaded = zoo.load(tmp_path / "faces")
    assert len(rest) < len(arrays)
    assert not changed(values(whole), values(loaded))
    weights.write(saved, rest | {"feature/fc/codes": arrays["feature/fc/codes"]})
    with pytest.raises(GanzooError, match=r"- feature/conv32_1_conv1/bias"):
        zoo.load_into(faces, saved)
    own, _ = weights.read(zoo.save(model, tmp_path / "own") / "weights.safetensors")
    weights.write(tmp_path / "part.safetensors", {k: v for k, v in own.items() if not k.startswith("feature/")})
    with pytest.raises(GanzooError, match=r"- feature/"):  # a classifier is of the run
        zoo.load_into(model, tmp_path / "part.safetensors")


def test_the_shipped_faces_have_the_f_of_the_package():
    shipped, _ = weights.read(zoo.ASSETS / "dtn-faces2lorelei-64.safetensors")
    assert {key.split("/")[0] for key in shipped} == {"generator", "ema_generator", "discriminator"}
    model, x = zoo.load("dtn"), np.random.default_rng(0).uniform(-1, 1, (2, 64, 64, 3)).astype(np.float32)
    descriptor = face_descriptor.describe(face_descriptor.load(), x).numpy()
    np.testing.assert_allclose(model.features(x)[:, :128], descriptor * np.sqrt(128), rtol=1e-4, atol=1e-4)


def test_bad_arguments_are_said_in_a_sentence(tmp_path, monkeypatch):
    for settings, word in [
        ({"f": "faces"}, "classifier"),
        ({"f": "classifier", "pooling": "mean"}, "stride"),
        ({"d_activation": "relU"}, 'Did you mean "relu"'),
        ({"image_size": 48}, "doubles from 4x4"),
        ({"input_channels": 1}, "in colour"),
        ({"alpha": -1.0}, "at least 0"),
        ({"f": "classifier", "feature_augment": "colour"}, "color"),
    ]:
        with pytest.raises(GanzooError, match=word):
            dtn.DTN(**{"image_size": 8, "ngf": 2, "ndf": 2} | settings)
    monkeypatch.setattr(face_descriptor, "ASSETS", tmp_path)
    with pytest.raises(GanzooError, match="The face descriptor is not at"):
        dtn.DTN(image_size=8, ngf=2, ndf=2)


# ---- a run: f first, then the transfer ---------------------------------------------------------------------------------
def test_a_run_trains_f_and_then_leaves_it(run_of, tmp_path):
    config = run_of("dtn", train__steps=8, train__encoder_steps=4, train__checkpoint_every=4, train__log_every=1,
                    train__keep_checkpoints=9)  # fmt: skip
    training.train(config, out=tmp_path / "run", strategy="one")
    rows = [row.keys() for row in ganzoo.runs.log.read_log(tmp_path / "run" / "log.jsonl").rows]
    assert all("e_loss" in row and "d_loss" not in row for row in rows[:4])
    assert all("d_loss" in row and "e_loss" not in row for row in rows[4:])
    whole, part = zoo.load(tmp_path / "run"), tmp_path / "part"
    shorter = run_of("dtn", train__steps=5, train__encoder_steps=4)
    training.train(shorter, out=part, strategy="one")
    early = zoo.load(part)
    for key, value in early.state().items():
        if key.startswith(("feature/", "classifier/")):
            np.testing.assert_array_equal(np.array(value), np.array(whole.state()[key]), err_msg=key)
    with pytest.raises(GanzooError, match=r"train f alone"):
        training.train(run_of("dtn", train__steps=4, train__encoder_steps=4), out=tmp_path / "none", strategy="one")


# ---- sampling ----------------------------------------------------------------------------------------------------------
def test_the_square_of_a_picture_and_a_crop(model):
    tall = np.zeros((1, 40, 20, 3), np.float32)
    tall[:, 5:25] = 1  # a quarter of the 20 rows that are left lies above
    assert float(tf.reduce_min(pixels.square(tall, 16))) == pytest.approx(1)
    wide = np.zeros((1, 20, 40, 3), np.float32)
    wide[:, :, 10:30] = 1
    assert float(tf.reduce_min(pixels.square(wide, 16))) == pytest.approx(1)
    same = np.random.default_rng(0).uniform(-1, 1, (1, 16, 16, 3)).astype(np.float32)
    np.testing.assert_allclose(pixels.square(same, 16), same, atol=1e-6)

    x = np.random.default_rng(0).integers(0, 256, (3, 30, 50, 3), np.uint8)
    made = model.generate(x)
    assert (made.shape, made.dtype) == ((3, 16, 16, 1), np.uint8)
    np.testing.assert_array_equal(made[1:2], model.generate(x[1:2]))
    np.testing.assert_array_equal(model.generate(x, crop=(10, 5, 20, 20)), model.generate(x[:, 5:25, 10:30]))
    gray = model.generate(x[..., :1])
    np.testing.assert_array_equal(gray, model.generate(np.repeat(x[..., :1], 3, -1)))
    for crop, word in [
        ((0, 0, 51, 10), "does not lie in the picture of 50 x 30"),
        ((0, 0, 0, 5), "does not lie"),
        ((1, 2, 3), "four whole numbers"),
        ("middle", "four whole numbers"),
        ((0.5, 0, 4, 4), "four whole numbers"),
    ]:
        with pytest.raises(GanzooError, match=word):
            model.generate(x, crop=crop)


def test_the_command_line_crops(tmp_path):
    saved = zoo.save(tiny.build("dtn", ema_decay=0.0), tmp_path / "saved")
    photo = np.random.default_rng(0).integers(0, 256, (60, 40, 3), np.uint8)
    Image.fromarray(photo).save(tmp_path / "a.png")
    done = run(
        "sample", saved, "--input", tmp_path / "a.png", "--crop", "4,8,20,20", "-o", tmp_path / "out.png", "--json"
    )
    made = np.asarray(Image.open(tmp_path / "out.png"))
    np.testing.assert_array_equal(made, zoo.load(saved).generate(photo[None, 8:28, 4:24])[0, ..., 0])
    assert Image.open(tmp_path / "out.png").text["crop"] == "4,8,20,20"
    assert '"crop"' in done.stdout
    whole = run("sample", saved, "--input", tmp_path / "a.png", "-o", tmp_path / "whole.png")
    assert "--crop x,y,width,height says another one" in whole.stderr
    for arguments, word in [
        (("--crop", "0,0,99,99"), "does not lie in the picture of 40 x 60"),
        (("--crop", "1,2,3"), "four whole numbers"),
    ]:
        failed = run("sample", saved, "--input", tmp_path / "a.png", *arguments, "-o", tmp_path / "no.png", code=2)
        assert word in failed.stderr
        assert not (tmp_path / "no.png").exists()
    with pytest.raises(GanzooError, match="takes pictures whole"):
        sampling.translate_files(tiny.build("pix2pix"), [tmp_path / "a.png"], tmp_path / "x.png", crop=(0, 0, 4, 4))


# ---- data of two sources -----------------------------------------------------------------------------------------------
def digits(**more):
    return DataConfig(
        **{"shape": "unpaired", "source": "mnist_m_32", "source_b": "mnist", "size": 32, "channels": 1} | more
    )


def test_two_sources_bring_their_domains_and_the_classes_of_the_first():
    source = data.open_source(digits())
    assert (len(source.sides["a"]), len(source.sides["b"])) == (2250, 2250)
    assert source.class_names == tuple("0123456789")
    batch = next(iter(data.batches(source, 8, seed=3, labels=True)))
    assert {key: tuple(value.shape) for key, value in batch.items()} == {
        "a": (8, 32, 32, 3),
        "b": (8, 32, 32, 1),
        "label": (8,),
    }
    first = source.sides["a"]
    rows = {first.fetch(i, 32)[0].tobytes(): i for i in range(2250)}
    for picture, label in zip(batch["a"], batch["label"], strict=True):
        assert first.labels[rows[pixels.to_uint8(picture).numpy().tobytes()]] == label
    # No digit is in both trainings, whatever the folder of the full sets holds.
    halves = [data.bundled._load(stem)["half"] for stem in ("mnist_m_32", "mnist_5k")]
    assert [sorted(set(half.tolist())) for half in halves] == [["-", "A"], ["-", "B"]]
    summary = source.summary()
    assert (summary["source"], summary["source_b"]) == ("mnist_m_32", "mnist")
    passport = data.passport(source)
    assert set(passport.ids) == {"Apache-2.0", "BSD-3-Clause", "CC-BY-4.0", "CC0-1.0"}
    assert data.has_split(digits(), "test")
    assert not data.may_hold_back(digits())


def test_splits_and_sides_of_two_sources():
    source = data.open_source(digits(split="test, train", direction="a2b"))
    assert [len(source.sides[key]) for key in "ab"] == [500, 2250]
    back = data.open_source(digits(direction="b2a", channels=3, input_channels=1))
    assert back.sides["a"].fetch(0, 32)[0].shape == (32, 32, 1)
    assert back.sides["a"].config.source == "mnist"
    with pytest.raises(GanzooError, match='one name, or two as "extra, train"'):
        data.open_source(digits(split="a, b, c"))
    with pytest.raises(GanzooError, match="no bundled set, folder or zip file"):
        data.open_source(digits(source_b="nowhere"))
    with pytest.raises(ValueError, match="source_b is where domain B is"):
        digits(shape="images")
    # Another source of a preset holds both domains, unless it says where the other one is.
    assert presets.run_config("dtn/digits-32", {"data.source": "elsewhere"}).data.source_b == ""
    both = {"data.source": "elsewhere", "data.source_b": "mnist"}
    assert presets.run_config("dtn/digits-32", both).data.source_b == "mnist"


# ---- how a transfer is measured ----------------------------------------------------------------------------------------
def test_readers_of_digits_and_skin_on_real_pictures():
    from ganzoo.metrics.features import digits_cnn

    test = data.open_source(DataConfig(shape="images", source="mnist", size=32, channels=1), "test")
    assert np.mean(digits_cnn.read(test.take(500)["image"]) == test.labels) >= 0.98
    with pytest.raises(GanzooError, match="digits-cnn reads uint8 pictures"):
        digits_cnn.read(np.zeros((1, 28, 28, 1), np.uint8))
    characters = data.open_source(DataConfig(shape="images", source="lorelei_64", size=64), "test")
    columns = data.bundled.columns("lorelei_64")
    truth = columns["skin"][columns["split"] == "test"].astype(str)[:300]
    assert np.mean(transfer_metrics.skin_of(characters.take(300)["image"]) == truth) >= 0.99


def test_hair_of_heads_and_its_chance():
    columns = data.bundled.columns("faces_age_64")
    hair = transfer_metrics.hair_of_heads(columns)
    assert set(hair.tolist()) == {"", *transfer_metrics.HAIR}
    assert (hair[columns["hair_style"] == "bald"] == "").all()
    drawn = set(data.bundled.columns("lorelei_64")["hair_color"].astype(str).tolist())
    assert drawn >= {colour for colours in transfer_metrics.HAIR.values() for colour in colours}
    # By hand: of 3 black and 1 red head, drawn as 1 black and 3 orange: 3/4 * 1/4 + 1/4 * 3/4.
    found = np.array(["black", "orange", "orange", "orange"])
    chance = transfer_metrics._chance(
        lambda source, one: one in transfer_metrics.HAIR[source], np.array(["black"] * 3 + ["red"]), found
    )
    assert chance == pytest.approx(0.375)


def test_an_evaluation_measures_the_transfer_beside_its_baselines(tmp_path, run_of):
    config = run_of("dtn", train__steps=2, train__encoder_steps=1, model__image_size=32, data__size=32,
                    model__input_channels=3, data__input_channels=3)  # fmt: skip
    training.train(config, out=tmp_path / "run", strategy="one")
    found = ganzoo.evaluate(zoo.load(tmp_path / "run"), metrics=["digit-kept", "digit-kept-copy", "digit-by-f"], n=60)
    by_name = {row["metric"]: row for row in found}
    assert set(by_name) == {"digit-kept_n60_testB", "digit-kept-copy_n60_testB", "digit-by-f_n60_testB"}
    assert all(0 <= row["value"] <= 1 for row in found)
    assert "the reader's own accuracy" in by_name["digit-kept_n60_testB"]["note"]
    assert by_name["digit-kept-copy_n60_testB"]["value"] < 0.5  # the reader knows plain digits, and none on photos
    with pytest.raises(GanzooError, match="needs the known columns of the bundled set faces_age_64"):
        ganzoo.evaluate(zoo.load(tmp_path / "run"), metrics=["hair-kept"], n=4)
