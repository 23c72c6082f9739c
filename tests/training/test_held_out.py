"""What a run on a flat folder holds back: nothing is trained on it, the report shows it, `evaluate RUN` measures on it."""

import json
import shutil

import numpy as np
import pytest
from support.offline import check_offline

from ganzoo import data, evaluation, metrics, presets, training
from ganzoo.doctor import small
from ganzoo.errors import GanzooError
from ganzoo.media import images

PACE = {
    "train.steps": 2,
    "train.batch_size": 2,
    "train.log_every": 1,
    "train.checkpoint_every": 1,
    "train.health_every": 1,
}


def pairs(folder, count):
    """Pairs whose target is the inverse of the input, of a random picture each."""
    draw = np.random.default_rng(0)
    for number in range(count):
        picture = draw.integers(0, 256, (16, 16, 3), np.uint8)
        images.write_png(folder / "A" / f"{number}.png", picture)
        images.write_png(folder / "B" / f"{number}.png", 255 - picture)
    return folder


def config(folder):
    return small.config(
        "pix2pix", {**PACE, "data.source": str(folder), "data.split": "train", "data.size": 16, "model.num_downs": 3}
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("held")
    training.train(
        config(pairs(root / "data", 30)), out=root / "run", overrides={"train.sample_every": 1}, strategy="one"
    )
    return root / "run"


def test_a_run_trains_on_the_others(run):
    settings = presets.run_config(run / "config.toml")
    assert settings.data.hold_out == 0.1
    facts = json.loads((run / "data.json").read_text())
    assert (facts["count"], facts["held_back"], facts["grids"]) == (27, 3, "held-out")
    held = data.open_source(settings.data, "test").take(3)["input"]
    grid = images.read_image(run / "samples" / "000000.png")
    assert (grid[2:18, 2:18] == held[0]).all()  # the first cell


def test_the_report_shows_held_out_pairs_and_what_copying_gives(run):
    facts = json.loads((run / "held_out.json").read_text())
    held = data.open_source(presets.run_config(run / "config.toml").data, "test").take(3)
    assert facts["l1_copy"] == pytest.approx(
        np.abs(held["input"].astype(float) - held["target"]).mean() / 255, abs=1e-6
    )
    assert (facts["pairs"], facts["count"], facts["measured"]) == ("held-out", 3, 3)
    sheet = images.read_image(run / "held_out.png")
    assert sheet.shape == (3 * 18 + 2, 3 * 18 + 2, 3)
    assert (sheet[2:18, 2:18] == held["input"][0]).all()
    assert (sheet[38:54, 2:18] == held["target"][0]).all()
    text = check_offline((run / "report.html").read_text("utf-8")).text
    assert "Held-out pairs" in text
    assert f"{facts['l1']:.4f}. Copying the input gives {facts['l1_copy']:.4f}" in text
    assert "The same held-out inputs at every step" in text


def test_evaluate_measures_a_run_on_what_was_held_back(run, tmp_path):
    (record,) = evaluation.evaluate(str(run), metrics=["l1"])
    facts = json.loads((run / "held_out.json").read_text())
    assert record["metric"] == "l1_n3_test"
    assert record["value"] == pytest.approx(facts["l1"], abs=2e-3)
    found = evaluation.evaluate(str(run))  # the metrics of the task
    assert {record["metric"].split("_")[0] for record in found} >= {"l1", "l1-copy", "psnr", "ssim"}
    other = pairs(tmp_path / "other", 5)
    (record,) = evaluation.evaluate(str(run), str(other), metrics=["l1"])
    assert record["metric"] == "l1_n5_all"  # the model has never seen any of them


def test_of_the_default_metrics_those_that_fail_are_left_out_and_said(run, monkeypatch):
    real = evaluation._of_model

    def few(protocol, *rest):
        if protocol.metric == "psnr":
            raise GanzooError("Too few.")
        return real(protocol, *rest)

    monkeypatch.setattr(evaluation, "_of_model", few)
    with pytest.warns(metrics.MetricWarning, match="Not measured: psnr. Too few."):
        found = evaluation.evaluate(str(run))
    assert "l1" in {record["metric"].split("_")[0] for record in found}
    with pytest.raises(GanzooError, match="Too few"):
        evaluation.evaluate(str(run), metrics=["psnr"])


def test_a_small_folder_is_measured_on_training_pairs_and_says_so(tmp_path):
    training.train(config(pairs(tmp_path / "data", 6)), out=tmp_path / "run", strategy="one")
    assert json.loads((tmp_path / "run" / "data.json").read_text())["grids"] == "training"
    text = check_offline((tmp_path / "run" / "report.html").read_text("utf-8")).text
    assert "Training pairs" in text
    assert "TRAINING pairs: none was held back" in text
    (record,) = evaluation.evaluate(str(tmp_path / "run"), metrics=["l1"])
    assert record["metric"] == "l1_n6_train"
    assert "training pictures" in record["note"]


def test_a_run_that_was_begun_without_goes_on_without(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    whole = presets.run_config(config(run.parent / "data"), {"data.hold_out": 0.0})
    training.train(whole, out=tmp_path / "old", strategy="one")
    text = (tmp_path / "old" / "config.toml").read_text()
    assert "hold_out = 0.0" in text
    (tmp_path / "old" / "config.toml").write_text(text.replace("hold_out = 0.0\n", ""))  # as an earlier ganzoo wrote it
    result = training.train(
        tmp_path / "old" / "config.toml", out=tmp_path / "old", resume=True, strategy="one", accept_changes=True
    )
    assert result.steps == 2
    assert presets.run_config(tmp_path / "old" / "config.toml").data.hold_out is None
    assert json.loads((tmp_path / "old" / "data.json").read_text())["count"] == 30
    result = training.train(tmp_path / "run" / "config.toml", out=tmp_path / "run", resume=True, strategy="one")
    assert json.loads((tmp_path / "run" / "data.json").read_text())["count"] == 27
