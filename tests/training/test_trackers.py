"""MLflow with a local store and Weights & Biases offline: the packages themselves, on a run of a few steps."""

import importlib.util
import json

import pytest
from support.cli_runs import refused

from ganzoo import training
from ganzoo.errors import GanzooError
from ganzoo.training import trackers

STEPS = {"train__steps": 10, "train__log_every": 5, "train__sample_every": 10}


@pytest.fixture
def mlflow(monkeypatch, tmp_path):
    """The package with a store of this test's own."""
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    yield mlflow
    mlflow.set_tracking_uri(before)


def test_mlflow_has_numbers_settings_and_grids_and_a_resumed_run_goes_on(mlflow, run_of, tmp_path):
    out = tmp_path / "run"
    training.train(run_of("gan", **STEPS), out=out, strategy="one", tracker="mlflow")
    training.train(
        run_of("gan", **STEPS | {"train__steps": 20}), out=out, resume=True, strategy="one", tracker="mlflow"
    )
    (number,) = mlflow.search_runs(output_format="list")
    run = mlflow.get_run(number.info.run_id)
    assert json.loads((out / trackers.FILE).read_text()) == {"mlflow": run.info.run_id}
    assert (run.info.run_name, run.info.status) == ("run", "FINISHED")
    assert run.data.tags["ganzoo.model"] == "gan/fashion-28"
    assert run.data.params["train.g_optimizer.name"] == "sgd"
    found = mlflow.MlflowClient().get_metric_history(run.info.run_id, "d_loss")
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [(value.step, value.value) for value in found] == [(row["step"], row["d_loss"]) for row in rows]
    grids = mlflow.MlflowClient().list_artifacts(run.info.run_id, "samples")
    assert {grid.path for grid in grids} == {f"samples/{path.name}" for path in (out / "samples").iterdir()}


def test_a_run_of_the_users_is_used_and_a_failure_ends_no_training(mlflow, run_of, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(mlflow, "log_metrics", lambda *_, **__: 1 / 0)
    with mlflow.start_run() as mine:
        result = training.train(run_of("gan", **STEPS), out=tmp_path / "run", strategy="one", tracker="mlflow")
        assert mlflow.active_run().info.run_id == mine.info.run_id
    assert result.steps == 10
    assert capfd.readouterr().err.count("MLflow does not take this run's numbers, which goes on: division by zero") == 1
    assert "train.steps" in mlflow.get_run(mine.info.run_id).data.params


def test_wandb_writes_offline(run_of, tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    out = tmp_path / "run"
    training.train(run_of("gan", **STEPS), out=out, strategy="one", tracker="wandb")
    (written,) = (out / "weights-and-biases").rglob("*.wandb")
    number = json.loads((out / trackers.FILE).read_text())["wandb"]
    assert number in written.name
    content = written.read_bytes()
    assert all(word in content for word in (b"d_loss", b"images_per_s", b"train", b"samples"))


def test_one_that_is_unknown_or_not_installed_is_a_sentence_before_anything_is_written(tmp_path, monkeypatch):
    with pytest.raises(
        GanzooError, match=r'Unknown tracker "mlflw"; there are mlflow and wandb\. Did you mean "mlflow"?'
    ):
        training.train("gan", out=tmp_path / "run", tracker="mlflw")
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "wandb" else find(name, *a))
    said = refused("train", "gan", "-o", tmp_path / "run", "--tracker", "wandb")
    assert "pip install 'ganzoo[wandb]'" in said
    assert not (tmp_path / "run").exists()
