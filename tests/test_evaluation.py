"""evaluate() joins a model, its data and the metrics: real small models on the bundled data."""

import numpy as np
import pytest

import ganzoo
from ganzoo import images
from ganzoo.data import open_source


def trained(name, tmp_path, **overrides):
    """A model with weights of its own: what `evaluate` accepts."""
    model = ganzoo.load(name, weights=None, **overrides)
    return ganzoo.load(ganzoo.save(model, tmp_path / "model"))


def test_pix2pix_l1_is_the_mean_error_over_the_test_pairs(tmp_path):
    model = trained("pix2pix", tmp_path, ngf=2, ndf=2)
    records = ganzoo.evaluate(model, n=6)
    assert [r["metric"] for r in records] == ["l1_n6_test", "psnr_n6_test", "l1-copy_n6_test"]
    pairs = open_source(model.run_config.data, "test").take(6)
    error = np.abs(model.generate(pairs["input"]).astype(float) - pairs["target"]).mean() / 255
    copied = np.abs(images.to_channels(pairs["input"], 3).astype(float) - pairs["target"]).mean() / 255
    assert records[0]["value"] == pytest.approx(error, abs=1e-12)
    assert records[2]["value"] == pytest.approx(copied, abs=1e-12)
    assert records[0]["weights"] == model.weights_source


def test_discriminator_features_classify_better_than_chance(tmp_path):
    model = trained("dcgan/fashion-32", tmp_path, ngf=4, ndf=4)
    (record,) = ganzoo.evaluate(model, n=200)
    assert record["metric"] == "linear-d-features_n200_test"
    assert 0.3 < record["value"] <= 1  # random convolutions already separate clothes; chance is 0.1


def test_random_weights_and_unknown_metrics_are_refused(tmp_path):
    with pytest.raises(ganzoo.GanzooError, match="random weights"):
        ganzoo.evaluate(ganzoo.load("gan", weights=None, hidden=8, maxout_units=4))
    model = trained("pix2pix", tmp_path, ngf=2, ndf=2)
    with pytest.raises(ganzoo.GanzooError, match='no metric "l2"'):
        ganzoo.evaluate(model, metrics=["l2"])
    with pytest.raises(ganzoo.GanzooError, match="labelled"):
        ganzoo.evaluate(
            trained("dcgan/fashion-32", tmp_path, ngf=4, ndf=4), metrics=["linear-d-features"], data="emoji_64"
        )
