"""Real small runs: the run folder, exact resume after a kill, Ctrl-C, NaN, changed settings, fine-tuning."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ganzoo
from ganzoo import presets, training, weights, zoo
from ganzoo.devices import strategies
from ganzoo.errors import GanzooError
from ganzoo.media import images
from ganzoo.runs import changes, checkpoint

TIMES = ("seconds", "images_per_s", "save_seconds")


def sha(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def newest(run):
    return max((run / "checkpoints").iterdir())


def rows(run):
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def losses(run):
    return [{key: value for key, value in row.items() if key not in TIMES} for row in rows(run)]


def copy(run, tmp_path):
    return Path(shutil.copytree(run, tmp_path / "copy"))


# ---- the run folder --------------------------------------------------------------------------------------------------
def test_a_run_leaves_what_the_contract_lists(gan_run, run_of):
    names = {"checkpoints", "config.toml", "data.json", "log.jsonl", "model", "report.html", "samples"}
    assert {path.name for path in gan_run.iterdir()} - {"tensorboard"} == names
    assert sorted(p.name for p in (gan_run / "model").iterdir()) == [
        "config.toml",
        "manifest.json",
        "weights.safetensors",
    ]
    assert [p.name for p in sorted((gan_run / "samples").iterdir())] == ["000000.png", "000010.png", "000020.png"]
    steps = [f"step-{step:08d}.safetensors" for step in (0, 10, 20)]
    assert [p.name for p in sorted((gan_run / "checkpoints").iterdir())] == steps
    resolved = presets.run_config(gan_run / "config.toml")
    assert resolved == zoo.complete(run_of("gan", train__steps=20, train__keep_checkpoints=9))
    assert (gan_run / "model/config.toml").read_bytes() == (gan_run / "config.toml").read_bytes()


def test_the_log_has_one_object_a_logged_step(gan_run):
    assert [row["step"] for row in rows(gan_run)] == [5, 10, 15, 20]
    for row in rows(gan_run):
        assert list(row)[:4] == ["step", *TIMES]
        assert set(row) == {
            "step",
            *TIMES,
            "d_rate",
            "g_rate",
            "d_loss",
            "g_loss",
            "fooled",
            "real_logit",
            "fake_logit",
        }
        assert row["images_per_s"] > 0
        assert 0 <= row["fooled"] <= 1
    seconds = [row["seconds"] for row in rows(gan_run)]
    assert seconds == sorted(seconds)


def test_facts_of_the_run_stand_beside_the_weights(gan_run):
    manifest = json.loads((gan_run / "model/manifest.json").read_text())
    assert (manifest["steps"], manifest["images"], manifest["seed"]) == (20, 160, 0)
    assert manifest["sha256"] == sha(gan_run / "model/weights.safetensors")
    assert manifest["bytes"] == (gan_run / "model/weights.safetensors").stat().st_size
    summary = json.loads((gan_run / "data.json").read_text())
    assert manifest["data"] == summary
    assert (summary["source"], summary["split"], summary["count"]) == ("fashion", "test", 2000)


def test_a_run_loads_and_its_last_grid_is_what_the_model_makes(gan_run):
    model = ganzoo.load(gan_run)
    assert (
        model.weights_source
        == f"{gan_run / 'model/weights.safetensors'}:{sha(gan_run / 'model/weights.safetensors')[:8]}"
    )
    expected = images.grid(model.generate(64, seed=0), columns=8)
    np.testing.assert_array_equal(images.read_image(gan_run / "samples/000020.png", 1), expected)


def test_gan_starts_at_the_mean_picture(gan_run):
    """mnist.yaml: G's output bias is the logit of the training set's mean image."""
    arrays, _ = weights.read(gan_run / "checkpoints/step-00000000.safetensors")
    pictures = ganzoo.data.open_source(presets.run_config(gan_run / "config.toml").data).take(2000)["image"]
    mean = np.clip(pictures.astype(float).mean(axis=0).ravel() / 255, 1e-3, 1 - 1e-3)
    np.testing.assert_allclose(arrays["generator/pixels/bias"], np.log(mean / (1 - mean)), rtol=1e-5)


# ---- exact resume ----------------------------------------------------------------------------------------------------
CHILD = """
import os, signal, sys
from ganzoo import training
from ganzoo.training import callbacks

config, out, ctrl_c, kill = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
whole = callbacks.RunLog.on_train_batch_end

def watched(self, batch, logs=None):
    whole(self, batch, logs)
    if self.step in (ctrl_c, kill):
        os.kill(os.getpid(), signal.SIGINT if self.step == ctrl_c else signal.SIGKILL)

callbacks.RunLog.on_train_batch_end = watched
result = training.train(config, out=out)
print(result.stopped, result.steps, flush=True)
training.train(config, out=out, resume=True)
"""


def test_a_run_interrupted_killed_and_resumed_ends_with_the_same_bytes(tmp_path, run_of):
    """A child process gets Ctrl-C at step 7, goes on, and is killed at step 17; weights, slots and pictures are those
    of the run that nothing happened to. In bfloat16, as the shipped presets train."""
    config = run_of("dcgan", train__steps=24, train__seed=11, train__precision="bfloat16", train__checkpoint_every=5)
    file, whole, broken = tmp_path / "my.toml", tmp_path / "whole", tmp_path / "broken"
    file.write_text(presets.config_toml(config))
    environment = os.environ | {"PYTHONPATH": str(Path(ganzoo.__file__).parent.parent)}
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(file), str(broken), "7", "17"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    try:
        assert training.train(config, out=whole).stopped == "done"  # meanwhile, in this process
        out, err = child.communicate(timeout=300)
    finally:
        child.kill()
    assert child.returncode == -signal.SIGKILL, err
    assert out == "interrupted 7\n"
    assert "Traceback" not in err
    assert newest(broken).name == "step-00000015.safetensors"
    assert json.loads((broken / "model/manifest.json").read_text())["steps"] == 7, "Ctrl-C left a whole model"

    result = training.train(file, out=broken, resume=True)
    assert (result.stopped, result.steps) == ("done", 24)
    assert newest(broken).name == newest(whole).name == "step-00000024.safetensors"
    for path in (f"checkpoints/{newest(whole).name}", "model/weights.safetensors", "samples/000020.png", "config.toml"):
        assert sha(broken / path) == sha(whole / path), path
    assert [row["step"] for row in rows(broken)] == [5, 7, 10, 15, 20, 24]
    assert [row for row in losses(broken) if row["step"] in (5, 20, 24)] == [
        row for row in losses(whole) if row["step"] in (5, 20, 24)
    ]
    assert rows(broken)[-1]["seconds"] > rows(broken)[-2]["seconds"]


def test_pix2pix_resumes_exactly_too(tmp_path, run_of):
    """Crops, mirroring and dropout masks come back by the step number; more steps are no other setting."""
    config = run_of("pix2pix", train__steps=6, model__ema_decay=0.5, train__sample_every=0, data__mirror=True)
    training.train(config, out=tmp_path / "whole")
    training.train(config, out=tmp_path / "parts", **{"train.steps": 3})
    assert not (tmp_path / "parts/samples").exists(), "sample_every = 0 makes no pictures"
    training.train(config, out=tmp_path / "parts", resume=True)
    assert sha(newest(tmp_path / "parts")) == sha(newest(tmp_path / "whole"))
    assert presets.run_config(tmp_path / "parts/config.toml").train.steps == 6


def test_two_replicas_train_as_one_does(gan_run, tmp_path, run_of):
    """The whole way, data pipeline included: each replica gets its rows of each global batch."""
    config = run_of("gan", train__steps=20)
    training.train(config, out=tmp_path / "two", strategy="mirrored")
    one, two = weights.read(newest(gan_run))[0], weights.read(newest(tmp_path / "two"))[0]
    for key, value in one.items():
        np.testing.assert_allclose(two[key], value, atol=1e-5, rtol=1e-3, err_msg=key)


def test_a_torn_checkpoint_costs_its_steps_and_nothing_else(gan_run, tmp_path):
    run = copy(gan_run, tmp_path)
    newest(run).write_bytes(newest(run).read_bytes()[:-100])
    assert training.train(str(run / "config.toml"), out=run, resume=True, strategy="one").steps == 20
    assert sha(newest(run)) == sha(newest(gan_run))
    assert losses(run) == losses(gan_run)


def test_a_finished_run_resumes_to_itself(gan_run, tmp_path):
    run = copy(gan_run, tmp_path)
    with (run / "log.jsonl").open("a") as log:
        log.write('{"step": 25, "sec')  # a line torn by a kill
    result = training.train(str(run / "config.toml"), out=run, resume=True)
    assert (result.stopped, result.steps, result.seconds) == ("done", 20, rows(gan_run)[-1]["seconds"])
    assert losses(run) == losses(gan_run)
    assert sha(run / "model/weights.safetensors") == sha(gan_run / "model/weights.safetensors")


# ---- refusals --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"train.batch_size": 16}, "train.batch_size was 8, now 16"),
        ({"train.seed": 1}, "train.seed was 0, now 1"),
        ({"train.g_optimizer.learning_rate": 0.5}, "train.g_optimizer"),
        ({"model.hidden": 13}, "model.hidden was 12, now 13"),
        ({"model.maxout_pieces": 4}, "model.maxout_pieces was 5, now 4"),
        ({"data.split": "train"}, "data.split was test, now train"),
    ],
)
def test_a_resume_with_other_settings_is_refused(change, sentence, gan_run):
    before = {path: path.stat().st_mtime_ns for path in gan_run.rglob("*")}
    with pytest.raises(GanzooError) as error:
        training.train(str(gan_run / "config.toml"), out=gan_run, resume=True, overrides=change)
    assert "was started with other settings" in str(error.value)
    assert sentence in str(error.value)
    assert "--accept-changes" in str(error.value)
    assert {path: path.stat().st_mtime_ns for path in gan_run.rglob("*")} == before


def test_a_setting_that_a_resume_forgets_is_noticed(tmp_path, run_of):
    """A preset names few arguments: the others are compared by their defaults, or l1_weight would change unseen."""
    (tmp_path / "run").mkdir()
    old = zoo.complete(run_of("pix2pix", model__l1_weight=10.0))
    (tmp_path / "run/config.toml").write_text(presets.config_toml(old))
    with pytest.raises(GanzooError, match=r"model\.l1_weight was 10\.0, now 100\.0"):
        training.train(run_of("pix2pix"), out=tmp_path / "run", resume=True)
    with pytest.raises(GanzooError, match="the model was pix2pix, now gan"):
        training.train(run_of("gan"), out=tmp_path / "run", resume=True)


def test_folders_that_cannot_be_used_are_refused(gan_run, tmp_path, run_of):
    config = run_of("gan")
    with pytest.raises(GanzooError, match=r"is not empty\. Continue that run with --resume"):
        training.train(config, out=gan_run)
    (tmp_path / "file").write_text("x")
    with pytest.raises(GanzooError, match="is a file; the run needs a folder"):
        training.train(config, out=tmp_path / "file")
    for resumed in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(GanzooError, match="contains no run to resume"):
            training.train(config, out=resumed, resume=True)
    run = copy(gan_run, tmp_path)
    for path in (run / "checkpoints").iterdir():
        path.write_bytes(b"torn")
    with pytest.raises(GanzooError, match="contains no whole checkpoint to resume"):
        training.train(str(run / "config.toml"), out=run, resume=True)


def test_options_data_and_devices_are_checked_before_anything_is_written(tmp_path, run_of):
    for options, sentence in (
        ({"config": "gam"}, 'Did you mean "gan"?'),
        ({"config": "gan", "batchsize": 3}, 'Did you mean "batch_size"?'),
        ({"config": run_of("gan", data__source="nosuchset")}, "nosuchset"),
        ({"config": run_of("gan", model__hiden=3)}, 'Did you mean "hidden"?'),
        ({"config": run_of("gan"), "strategy": "tpus"}, 'There is no strategy "tpus". Did you mean "tpu"?'),
        ({"config": run_of("gan", train__batch_size=7), "strategy": "mirrored"}, "7 does not divide over 2 replicas"),
        ({"config": run_of("gan"), "init": tmp_path / "no.safetensors"}, "no.safetensors cannot be read"),
        ({"config": "gan/mnist-28", "init": "default", "source": "fashion"}, "gan/mnist-28 has no published weights"),
    ):
        with pytest.raises(GanzooError) as error:
            training.train(out=tmp_path / "run", **options)
        assert sentence in str(error.value)
        assert not (tmp_path / "run").exists() or not any((tmp_path / "run").iterdir()), options


def test_an_own_file_without_a_preset_has_no_default_weights(tmp_path, run_of):
    file = tmp_path / "mine.toml"
    file.write_text(presets.config_toml(run_of("gan").model_copy(update={"preset": "mine"})))
    with pytest.raises(GanzooError, match="gan/mine has no published weights"):
        training.train(file, out=tmp_path / "run", init="default")


def test_strategies():
    assert strategies.choose("one").num_replicas_in_sync == 1
    assert strategies.choose().num_replicas_in_sync == 1, "auto mirrors over GPUs only"
    assert strategies.choose("mirrored").num_replicas_in_sync == 2
    assert strategies.choose("mirrored") is strategies.choose("mirrored"), "a second one clashes with the first"


# ---- NaN, Ctrl-C -----------------------------------------------------------------------------------------------------
def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_state(tmp_path, run_of):
    config = run_of("gan", train__steps=200, train__log_every=10, train__checkpoint_every=1, train__sample_every=0)
    config = presets.run_config(config, {"train.d_optimizer.learning_rate": 1e30})
    with pytest.raises(training.TrainingDiverged) as error:
        training.train(config, out=tmp_path / "run")
    for words in (
        "The loss of ", " is not finite at step 2. Learning rates: g_optimizer", "Norms of the last finite gradients: ",
        "Largest weight: discriminator/", "3 rollbacks", "Lower train.g_optimizer.learning_rate, train.d_optimizer",
    ):  # fmt: skip
        assert words in str(error.value)
    assert not (tmp_path / "run/log.jsonl").exists(), "no step was good to the next row"
    noted = [(row["what"], row["step"]) for row in changes.read(tmp_path / "run")]
    assert noted[:2] == [("rollback", 1), ("rollback", 0)], "the state of step 1 was wrecked, though finite"
    assert [what for what, _ in noted] == ["rollback", "rollback", "rollback", "stopped"]
    kept = sorted((tmp_path / "run/checkpoints").iterdir())
    assert kept
    for path in kept:
        assert all(np.isfinite(value).all() for value in weights.read(path)[0].values()), path
    assert not (tmp_path / "run/model").exists()
    page = (tmp_path / "run/report.html").read_text()
    assert "3 rollbacks, which halved the learning rates each, did not help" in page


def test_ctrl_c_after_the_last_step_is_no_interruption(tmp_path, run_of, monkeypatch):
    save = checkpoint.save

    def interrupted_save(model, folder, **options):
        if int(model.step.numpy()) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return save(model, folder, **options)

    handler = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(checkpoint, "save", interrupted_save)
    result = training.train(run_of("gan", train__steps=2, train__sample_every=0), out=tmp_path / "run")
    assert (result.stopped, result.steps) == ("done", 2)
    assert signal.getsignal(signal.SIGINT) is handler


# ---- fine-tuning -----------------------------------------------------------------------------------------------------
def test_fine_tuning_starts_where_the_weights_are(gan_run, tmp_path):
    """A saved folder is its own config; the start is kept, so that a kill before the first interval cannot lose it."""
    start = {"train.steps": 2, "train.batch_size": 4, "model.ema_decay": 0.5, "train.sample_every": 0}
    training.train(str(gan_run), out=tmp_path / "tuned", init="default", overrides=start)
    first, _ = weights.read(tmp_path / "tuned/checkpoints/step-00000000.safetensors")
    given, _ = weights.read(gan_run / "model/weights.safetensors")
    for key, value in given.items():
        np.testing.assert_array_equal(first[key], value, err_msg=key)
        if key.startswith("generator/"):
            np.testing.assert_array_equal(first[f"ema_{key}"], value, err_msg="the average starts at the generator")
    assert first["g_optimizer/g_optimizer/iteration"] == 0
    tuned = ganzoo.load(tmp_path / "tuned")
    assert tuned.ema_decay == 0.5
    assert any(not np.array_equal(tuned.state()[key], value) for key, value in given.items())
    assert json.loads((tmp_path / "tuned/model/manifest.json").read_text())["init"] == "default"
