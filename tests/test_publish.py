"""A run becomes shipped weights: float16 file, log, and a TOML that reads back with weights and results."""

import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest

import ganzoo
from ganzoo import presets, publish, weights, zoo

REPO = Path(__file__).resolve().parent.parent


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """The zoo's TOML files and asset folder, in a place that the test may change."""
    shutil.copytree(REPO / "zoo_configs", tmp_path / "zoo_configs")
    (tmp_path / "weights").mkdir()
    monkeypatch.setattr(presets, "config_folder", lambda: tmp_path / "zoo_configs")
    monkeypatch.setattr(zoo, "ASSETS", tmp_path / "weights")
    presets._files.cache_clear()
    yield tmp_path
    presets._files.cache_clear()


def test_publish_writes_weights_log_and_toml_and_can_be_repeated(clone):
    small = {"model.ngf": 4, "model.ndf": 4, "train.steps": 2, "train.batch_size": 4, "train.log_every": 1}
    ganzoo.train("dcgan/fashion-32", out=clone / "run", overrides=small)
    before = presets.read("dcgan")
    path = publish.publish(clone / "run", licence="MIT", attribution='Someone "quoted"')
    first = (clone / "zoo_configs" / "dcgan.toml").read_text("utf-8")
    publish.publish(clone / "run", licence="MIT", attribution='Someone "quoted"')
    assert (clone / "zoo_configs" / "dcgan.toml").read_text("utf-8") == first

    presets._files.cache_clear()
    record = presets.read("dcgan").presets["fashion-32"]
    arrays, _ = weights.read(path, record.weights.sha256)
    assert arrays["generator/up1_conv/kernel"].dtype == np.float16
    assert record.weights.attribution == 'Someone "quoted"'
    assert {r.metric for r in record.results} == {"linear-d-features_n2000_test", "fooled_train"}
    assert all(r.steps == 2 and r.images == 8 and r.seed == 0 for r in record.results)
    assert (clone / "weights" / "dcgan-fashion-32.log.jsonl").read_text() == (clone / "run" / "log.jsonl").read_text()
    others = {name: preset for name, preset in before.presets.items() if name != "fashion-32"}
    assert {n: p for n, p in presets.read("dcgan").presets.items() if n != "fashion-32"} == others
    assert tomllib.loads(first)["presets"]["fashion-32"]["train"]["batch_size"] == 64


def test_publish_refuses_when_half_precision_changes_the_pictures(clone, monkeypatch):
    small = {"model.ngf": 4, "model.ndf": 4, "train.steps": 1, "train.batch_size": 4}
    ganzoo.train("dcgan/fashion-32", out=clone / "run", overrides=small)
    monkeypatch.setattr(publish, "TOLERANCE", 0.0)
    with pytest.raises(ganzoo.GanzooError, match="float16 changes the outputs"):
        publish.publish(clone / "run", licence="MIT")
    assert not list((clone / "weights").iterdir())
