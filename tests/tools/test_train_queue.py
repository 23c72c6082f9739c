"""The queue of trainings: a packed, unfinished run goes on elsewhere and ends with the bytes of one that nothing happened to."""

import tomllib

import pytest

from ganzoo import presets, training
from ganzoo.errors import GanzooError
from tools import train_queue

SETTINGS = {
    "model.image_size": 8, "model.hidden": 12, "model.maxout_units": 6, "model.latent_dim": 5, "data.size": 8,
    "train.batch_size": 8, "train.steps": 6, "train.checkpoint_every": 2, "train.log_every": 1, "train.sample_every": 6,
}  # fmt: skip


@pytest.fixture
def queue(tmp_path, monkeypatch):
    """A queue of one tiny gan, its run folders and its packed state in a place of the test's own."""
    toml = presets.to_toml({"preset": "gan/fashion-28", "why": "a test"}).replace("\n\n", "\n")
    path = tmp_path / "queue.toml"
    path.write_text(f"[[runs]]\n{toml}\n[runs.set]\n{presets.to_toml(SETTINGS)}", "utf-8")
    monkeypatch.setattr(train_queue, "QUEUE", path)
    monkeypatch.setattr(train_queue, "STATE", tmp_path / "state.zip")
    monkeypatch.setattr(train_queue, "RUNS", tmp_path / "here")
    return tmp_path


def weights_of(folder):
    return (folder / "gan-fashion-28" / "model" / "weights.safetensors").read_bytes()


def test_a_packed_run_goes_on_elsewhere_and_ends_the_same(queue, monkeypatch, capsys):
    (entry,) = train_queue.entries()
    with pytest.raises(GanzooError, match="No training of the queue has been begun"):
        train_queue.pack()
    training.train(
        entry.preset, out=entry.folder, overrides=entry.set | {"train.steps": 4}, strategy="one"
    )  # ends with a model
    assert "gan/fashion-28: step 4 of 6. a test" in train_queue.table()
    train_queue.main(["--pack"])
    assert str(train_queue.STATE) in capsys.readouterr().out

    monkeypatch.setattr(train_queue, "RUNS", queue / "there")
    train_queue.run()
    assert "trained" in train_queue.table()
    training.train(entry.preset, out=queue / "whole" / "gan-fashion-28", overrides=entry.set, strategy="one")
    assert weights_of(queue / "there") == weights_of(queue / "whole")


def test_a_state_too_large_for_a_commit_is_refused(queue, monkeypatch):
    (entry,) = train_queue.entries()
    (entry.folder / "checkpoints").mkdir(parents=True)
    (entry.folder / "checkpoints" / "step-00000004.safetensors").write_bytes(bytes(10_000))
    monkeypatch.setattr(train_queue, "LARGEST", 100)
    with pytest.raises(GanzooError, match="more than 100: make the run anew"):
        train_queue.pack()
    assert not list(queue.glob("state*"))


def test_the_queue_of_the_repository_names_presets_and_settings_that_exist():
    listed = tomllib.loads(train_queue.QUEUE.read_text("utf-8"))["runs"]
    assert [entry.preset for entry in train_queue.entries()] == [entry["preset"] for entry in listed]
