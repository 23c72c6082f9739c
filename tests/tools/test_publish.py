"""A run becomes shipped weights: float16 file, log, and a TOML that reads back with weights and results."""

import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ganzoo
from ganzoo import presets, weights, zoo
from ganzoo.media import images
from ganzoo.presets import cards
from tools import publish

REPO = Path(__file__).resolve().parents[2]
EVAL = 'n = 40\nmetrics = ["kid_fashion-cnn", "near-copies_fashion-cnn"]'


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """The zoo's TOML files and asset folder, in a place that the test may change."""
    shutil.copytree(REPO / "zoo_configs", tmp_path / "zoo_configs")
    toml = tmp_path / "zoo_configs" / "dcgan.toml"
    head, tail = toml.read_text("utf-8").split("[presets.fashion-32.eval]")
    rest = tail[tail.index("\n[presets.fashion-32.weights]") :]
    for given, small in (
        ("ngf = 48", "ngf = 4"),
        ("ndf = 48", "ndf = 4"),
        ('"fashion"\n', '"fashion"\nsplit = "test"\n'),
    ):
        assert given in head
        head = head.replace(given, small)
    toml.write_text(f"{head}[presets.fashion-32.eval]\n{EVAL}\n{rest}", "utf-8")  # few samples, one small extractor
    (tmp_path / "assets" / "weights").mkdir(parents=True)
    for module in (presets, presets.catalogue):
        monkeypatch.setattr(module, "config_folder", lambda: tmp_path / "zoo_configs")
    monkeypatch.setattr(zoo, "ASSETS", tmp_path / "assets" / "weights")
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))
    presets.catalogue._files.cache_clear()
    yield tmp_path
    presets.catalogue._files.cache_clear()


def test_publish_writes_weights_log_and_toml_and_can_be_repeated(clone):
    small = {"train.steps": 2, "train.batch_size": 4, "train.log_every": 1}
    ganzoo.train("dcgan/fashion-32", out=clone / "run", overrides=small)
    before = presets.read("dcgan")
    path = publish.publish(clone / "run", licence="MIT", attribution='Someone "quoted"')
    first = (clone / "zoo_configs" / "dcgan.toml").read_text("utf-8")
    publish.publish(clone / "run", licence="MIT", attribution='Someone "quoted"')
    assert (clone / "zoo_configs" / "dcgan.toml").read_text("utf-8") == first

    presets.catalogue._files.cache_clear()
    record = presets.read("dcgan").presets["fashion-32"]
    arrays, _ = weights.read(path, record.weights.sha256)
    assert arrays["generator/up1_conv/kernel"].dtype == np.float16
    assert record.weights.attribution == 'Someone "quoted"'
    kid, copies, fooled = record.results
    assert kid.metric == "kid40_fashion-cnn_none_test"
    assert (kid.n_reference, len(kid.data_sha256), len(kid.extractor_sha256)) == (2000, 64, 64)
    assert kid.floor < kid.ceiling
    assert kid.std > 0
    assert copies.metric == "near-copies40_fashion-cnn_none_test"
    assert copies.floor == 1.0  # the model was trained on the test pictures, so every one of them is a copy
    assert images.read_image(clone / "assets" / copies.sheet).ndim == 3
    assert fooled.metric == "fooled_train"
    assert all(r.steps == 2 and r.images == 8 and r.seed == 0 for r in record.results)
    assert (clone / "assets" / "weights" / "dcgan-fashion-32.log.jsonl").read_text() == (
        clone / "run" / "log.jsonl"
    ).read_text()
    others = {name: preset for name, preset in before.presets.items() if name != "fashion-32"}
    assert {n: p for n, p in presets.read("dcgan").presets.items() if n != "fashion-32"} == others
    assert tomllib.loads(first)["presets"]["fashion-32"]["train"]["batch_size"] == 64

    # The card tells of both anchors and of copies; measuring again without the run changes nothing but what is measured.
    card = cards.card("dcgan/fashion-32")
    assert f"| {kid.metric} | {kid.value:g} ± {kid.std:g} | {kid.floor:g} | {kid.ceiling:g} |" in card
    assert "Did it copy?" in card
    assert copies.sheet in card
    (clone / "assets" / copies.sheet).unlink()
    (clone / "zoo_configs" / "dcgan.toml").write_text(first.replace(f"value = {kid.value}", "value = 99.0"), "utf-8")
    presets.catalogue._files.cache_clear()
    publish.remeasure("dcgan/fashion-32")
    assert (clone / "zoo_configs" / "dcgan.toml").read_text("utf-8") == first
    assert (clone / "assets" / copies.sheet).is_file()

    wrong = first.replace(f"value = {kid.value}", "value = 99.0").replace(f"value = {copies.value}\n", "value = 98.0\n")
    (clone / "zoo_configs" / "dcgan.toml").write_text(wrong, "utf-8")
    presets.catalogue._files.cache_clear()
    publish.remeasure("dcgan/fashion-32", ["near-copies"])  # and keeps the others, in the order of the preset
    now = presets.validate(
        presets.PaperFile, tomllib.loads((clone / "zoo_configs" / "dcgan.toml").read_text()), "dcgan"
    )
    assert [(r.metric, r.value) for r in now.presets["fashion-32"].results] == [
        (kid.metric, 99.0),
        (copies.metric, copies.value),
        (fooled.metric, fooled.value),
    ]

    # What the twin in PyTorch reached is of the same training: it stays, and the card says it.
    told = first.replace(f"value = {kid.value}\n", f"value = {kid.value}\npytorch = 0.125\n")
    (clone / "zoo_configs" / "dcgan.toml").write_text(told, "utf-8")
    presets.catalogue._files.cache_clear()
    publish.remeasure("dcgan/fashion-32", ["kid"])
    presets.catalogue._files.cache_clear()
    assert presets.read("dcgan").presets["fashion-32"].results[0].pytorch == 0.125
    assert "the same in PyTorch: 0.125" in cards.card("dcgan/fashion-32")
    assert "the same in PyTorch 0.125" in cards.card("dcgan/fashion-32", tables=False)


@pytest.mark.parametrize("kept", [0.999, 0.0])
def test_without_an_average_in_the_preset_the_average_of_the_run_is_the_generator(clone, kept):
    toml = clone / "zoo_configs" / "dcgan.toml"
    toml.write_text(toml.read_text("utf-8").replace("ema_decay = 0.999 ", f"ema_decay = {kept} ", 1), "utf-8")
    presets.catalogue._files.cache_clear()
    run = {"train.steps": 2, "train.batch_size": 4, "model.ema_decay": 0.5}
    ganzoo.train("dcgan/fashion-32", out=clone / "run", overrides=run)
    arrays, _ = weights.read(publish.publish(clone / "run", licence="MIT"))
    own, _ = weights.read(clone / "run" / "model" / "weights.safetensors")
    assert ("ema_generator/up1_conv/kernel" in arrays) == bool(kept)
    found = arrays["generator/up1_conv/kernel"].astype(np.float32)
    average, last = (own[f"{key}/up1_conv/kernel"] for key in ("ema_generator", "generator"))
    wanted, other = (last, average) if kept else (average, last)
    assert np.abs(found - wanted).sum() < np.abs(found - other).sum()


def test_only_shipped_weights_are_measured_again(clone):
    with pytest.raises(ganzoo.GanzooError, match="no published weights"):
        publish.remeasure("dcgan/lsun-64")


def test_publish_refuses_when_half_precision_changes_the_pictures(clone, monkeypatch):
    small = {"train.steps": 1, "train.batch_size": 4}
    ganzoo.train("dcgan/fashion-32", out=clone / "run", overrides=small)
    monkeypatch.setattr(publish, "TOLERANCE", 0.0)
    with pytest.raises(ganzoo.GanzooError, match="float16 changes the outputs"):
        publish.publish(clone / "run", licence="MIT")
    assert not list((clone / "assets" / "weights").iterdir())


def test_what_no_sample_is_made_of_keeps_eight_significant_bits():
    values = np.array([1.0, 1 + 2**-7, 1 + 3 * 2**-9, 1 - 2**-10, -3.0 - 2**-9, 6e-8, 65504, 0.0], np.float16)
    keys = ("generator/a", "ema_generator/a", "discriminator_a/a", "encoder/a")
    found = publish.coarsened(dict.fromkeys(keys, values) | {"discriminator_a/moving": np.float32([1.0001])})
    rounded = np.array([1.0, 1 + 2**-7, 1 + 2**-7, 1.0, -3.0, 0.0, np.inf, 0.0], np.float16)
    np.testing.assert_array_equal(found["discriminator_a/a"][:5], rounded[:5])
    np.testing.assert_array_equal(found["generator/a"], found["discriminator_a/a"])
    assert found["discriminator_a/moving"] == np.float32(1.0001)
    for key in ("ema_generator/a", "encoder/a"):
        np.testing.assert_array_equal(found[key], values)
    np.testing.assert_array_equal(
        publish.coarsened({"generator/a": values})["generator/a"], values
    )  # no average: it samples


def test_sheets_of_drawings_get_few_colours_and_photos_stay(tmp_path):
    rng = np.random.default_rng(0)
    drawing = np.kron(rng.integers(0, 256, (8, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    photo = rng.integers(0, 256, (64, 64, 3)).astype(np.uint8)
    for name, picture in (("drawing", drawing), ("photo", photo)):
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
        publish.shrink(tmp_path / f"{name}.png")
        np.testing.assert_array_equal(images.read_image(tmp_path / f"{name}.png"), picture)
    assert Image.open(tmp_path / "drawing.png").mode == "P"
    assert Image.open(tmp_path / "photo.png").mode == "RGB"
