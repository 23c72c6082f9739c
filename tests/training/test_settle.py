"""A run is settled once, refused before it is begun where it could not learn, and survives what happens to it early."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import ganzoo
from ganzoo import data, presets, training, weights, zoo
from ganzoo.errors import GanzooError
from ganzoo.media import images
from ganzoo.runs import changes, checkpoint, folder
from ganzoo.runs.log import read_log
from ganzoo.training.settle import settle

ADAM = {"learning_rate": 1e-3, "constant_steps": 2, "decay_steps": 2}
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(ganzoo.__file__).parent.parent), "CUDA_VISIBLE_DEVICES": "-1"}


def pictures(path, count, size=8, channels=1):
    for i in range(count):
        picture = np.random.default_rng(i).integers(0, 255, (size, size, channels), dtype=np.uint8)
        images.write_png(path / f"{i:02}.png", picture)
    return path


def counted(monkeypatch, module, name):
    calls, real = [], getattr(module, name)

    def call(*args, **options):
        calls.append(args)
        return real(*args, **options)

    monkeypatch.setattr(module, name, call)
    return calls


# ---- settled once ----------------------------------------------------------------------------------------------------
def test_a_recipe_builds_no_second_model_and_opens_the_pictures_once(gan_run, tmp_path, monkeypatch):
    built, opened = counted(monkeypatch, zoo, "build"), counted(monkeypatch, data, "open_source")
    few = pictures(tmp_path / "few", 20)
    options = {"data.source": str(few), "train.steps": 1, "train.sample_every": 0, "train.batch_size": 4}
    training.train(str(gan_run), out=tmp_path / "run", init="default", recipe="auto", overrides=options, strategy="one")
    assert len(built) == 1
    assert [args[1:] for args in opened] == [(), ("test",)], "the training pictures, and the held-out ones"


def test_what_is_settled_is_frozen_and_says_why(gan_run, tmp_path):
    settled = settle(str(gan_run / "config.toml"), {"data.source": str(pictures(tmp_path / "few", 20))}, recipe="auto")
    assert len(settled.source) == 18, "two are held back"
    assert (
        len(settle(str(gan_run / "config.toml"), {"data.source": str(tmp_path / "few"), "data.hold_out": 0.0}).source)
        == 20
    )
    assert {choice.key for choice in settled.reasons} >= {"train.freeze_d", "train.g_optimizer.learning_rate"}
    assert settled.config.train.freeze_d == 2 / 3, "of a D that is not built yet"
    with pytest.raises(dataclasses.FrozenInstanceError):
        settled.config = None


def test_a_recipe_that_is_resumed_keeps_its_numbers(gan_run, tmp_path):
    few = pictures(tmp_path / "few", 20)
    options = {"data.source": str(few), "train.steps": 1, "train.sample_every": 0, "train.batch_size": 4}
    again = {"init": "default", "recipe": "auto", "out": tmp_path / "run", "strategy": "one"}
    training.train(str(gan_run), overrides=options, **again)
    training.train(str(gan_run), overrides=options | {"train.steps": 2}, resume=True, **again)
    assert changes.read(tmp_path / "run") == []
    assert presets.run_config(tmp_path / "run/config.toml").train.freeze_d == 2


# ---- refused before it is begun --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "changes", "sentence"),
    [
        ("gan", {"data__size": 16}, r'a "image" of \(8, 8, 1\), and the data have \(16, 16, 1\)'),
        ("dcgan", {"data__size": 28}, r"and the data have \(28, 28, 1\)"),
        ("stylegan-lite", {"data__size": 32}, r'stylegan-lite was built for a "image" of'),
        ("pix2pix", {"data__size": 18}, r"sides of a multiple of \d+, and the data have \(18, 18, 1\)"),
        ("cyclegan", {"data__size": 20}, r"and the data have \(20, 20, 3\)"),
        ("text-to-image", {"data__size": 20}, r"and the data have \(20, 20, 3\)"),
        ("3d-gan", {"data__size": 16}, r'a "voxels" of .*, and the data have \(16, 16, 16, 1\)'),
    ],
)
def test_data_of_another_size_are_refused_before_anything_is_written(name, changes, sentence, run_of, tmp_path):
    with pytest.raises(GanzooError, match=sentence):
        training.train(run_of(name, **changes), out=tmp_path / "run", strategy="one")
    assert not any((tmp_path / "run").iterdir())


def test_steps_at_rate_zero_are_refused_and_the_rate_stands_in_the_log(run_of, tmp_path):
    config = run_of("gan", train__steps=4, train__log_every=1, train__sample_every=0)
    config = presets.run_config(config, {"train.g_optimizer": ADAM, "train.d_optimizer": ADAM | {"decay_steps": 4}})
    run = tmp_path / "run"
    with pytest.raises(GanzooError, match="Of 5 steps of g_optimizer only 4 would move anything"):
        training.train(config, out=run, steps=5)
    training.train(config, out=run)
    rows = read_log(run / "log.jsonl").rows
    np.testing.assert_allclose([row["g_rate"] for row in rows], [1e-3, 1e-3, 5e-4, 0], rtol=1e-6)
    np.testing.assert_allclose([row["d_rate"] for row in rows], [1e-3, 1e-3, 7.5e-4, 5e-4], rtol=1e-6)
    assert "Learning rates" in (run / "report.html").read_text()
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    with pytest.raises(GanzooError, match=r"Of 6 steps of g_optimizer.*train\.g_optimizer\.decay_steps with --accept"):
        training.train(config, out=run, resume=True, steps=6)
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before
    longer = {"train.g_optimizer.decay_steps": 4, "train.steps": 5}
    training.train(config, out=run, resume=True, accept_changes=True, overrides=longer)
    old, new = (weights.read(path)[0] for path in sorted((run / "checkpoints").iterdir())[-2:])
    assert not np.array_equal(old["generator/hidden1/kernel"], new["generator/hidden1/kernel"])


def test_every_preset_moves_to_its_last_step():
    """No preset refuses its own number of steps."""
    from ganzoo import schedules

    for paper in presets.list_models():
        for preset in presets.list_presets(paper):
            train = presets.run_config(f"{paper}/{preset}").train
            own = {"e_optimizer": train.encoder_steps or train.steps}
            for player in ("g_optimizer", "d_optimizer", "e_optimizer"):
                if getattr(train, player) is not None:
                    end = getattr(schedules.learning_rate(getattr(train, player)), "end", None)
                    wanted = own.get(player, train.steps - train.encoder_steps)
                    assert end is None or end >= wanted, (paper, preset, player)


# ---- resumed on something else ---------------------------------------------------------------------------------------
@pytest.fixture
def few_run(run_of, tmp_path):
    """(config, folder of a run of two steps, folder of its 12 pictures)."""
    few = pictures(tmp_path / "few", 12)
    config = run_of("gan", train__steps=2, train__batch_size=4, train__sample_every=0)
    config = presets.run_config(config, {"data.source": str(few)})
    training.train(config, out=tmp_path / "run", strategy="one")
    return config, tmp_path / "run", few


def test_a_resume_on_changed_pictures_is_refused_until_it_is_accepted(few_run):
    config, run, few = few_run
    first = json.loads((run / "data.json").read_text())["fingerprint"]
    shutil.copyfile(few / "00.png", few / "99.png")
    with pytest.raises(GanzooError, match=r"other data: .*few held 12 items .* and now 13 of .*--accept-changes"):
        training.train(config, out=run, resume=True, steps=3)
    assert json.loads((run / "data.json").read_text())["fingerprint"] == first
    training.train(config, out=run, resume=True, steps=3, accept_changes=True)
    assert json.loads((run / "data.json").read_text())["fingerprint"] != first
    assert "held 12 items" in changes.read(run)[0]["why"]
    training.train(config, out=run, resume=True, steps=4)
    assert len(changes.read(run)) == 1


def test_a_rate_edited_in_config_toml_is_noticed(few_run):
    _, run, _ = few_run
    text = (run / "config.toml").read_text()
    (run / "config.toml").write_text(
        text.replace("learning_rate = 0.1\n", "learning_rate = 0.2\n").replace("steps = 2\n", "steps = 3\n")
    )
    with pytest.raises(GanzooError, match=r"train\.g_optimizer\.learning_rate was 0\.1, now 0\.2"):
        training.train(str(run / "config.toml"), out=run, resume=True)
    assert training.train(str(run / "config.toml"), out=run, resume=True, accept_changes=True).steps == 3
    training.train(str(run / "config.toml"), out=run, resume=True)  # the state says now what it was trained under
    assert len(changes.read(run)) == 1


def test_a_checkpoint_of_an_older_ganzoo_says_no_settings_and_resumes(few_run):
    config, run, _ = few_run
    for path in (run / "checkpoints").iterdir():
        weights.write(path, weights.read(path)[0], metadata={"model": "gan"})
    assert checkpoint.settings(run / "checkpoints") == ""
    assert training.train(config, out=run, resume=True, steps=3).steps == 3


@pytest.mark.parametrize("name", ["changes.jsonl", "log.jsonl", "began.json", "data.json"])
def test_a_damaged_file_of_a_run_is_no_traceback(name, few_run, caplog):
    config, run, _ = few_run
    with (run / name).open("r+b" if (run / name).exists() else "wb") as file:
        file.write(b"\xff{")
    assert training.train(config, out=run, resume=True, steps=3).steps == 3
    assert json.loads((run / "model/manifest.json").read_text())["steps"] == 3


# ---- the life of a run -----------------------------------------------------------------------------------------------
def killed_early(run, *, at):
    """As a kill at this moment leaves the folder: before the first checkpoint, or before any log row."""
    for path in [*(run / "checkpoints").iterdir()]:
        if at == "before the checkpoint" or path.name != folder.FIRST:
            path.unlink()
    for name in ("log.jsonl", "report.html", "changes.jsonl"):
        (run / name).unlink(missing_ok=True)
    for name in ("model", "samples", "tensorboard"):
        shutil.rmtree(run / name, ignore_errors=True)


@pytest.mark.parametrize("resume", [True, False])
def test_a_run_killed_before_its_first_checkpoint_begins_again(resume, few_run, tmp_path):
    config, run, _ = few_run
    expected = weights.read(run / "model/weights.safetensors")[0]
    killed_early(run, at="before the checkpoint")
    (run / ".config.toml.4711.tmp").write_bytes(b"half")
    assert training.train(config, out=run, resume=resume).stopped == "done"
    for key, value in weights.read(run / "model/weights.safetensors")[0].items():
        np.testing.assert_array_equal(value, expected[key], err_msg=key)
    assert not (run / ".config.toml.4711.tmp").exists()


def test_a_run_with_its_first_checkpoint_is_resumed_and_not_begun_anew(few_run):
    config, run, _ = few_run
    killed_early(run, at="after it")
    with pytest.raises(GanzooError, match="is not empty"):
        training.train(config, out=run)
    assert training.train(config, out=run, resume=True).steps == 2


def test_a_fine_tuning_killed_so_early_is_not_begun_from_random_weights(gan_run, tmp_path):
    options = {"train.steps": 1, "train.sample_every": 0}
    run = tmp_path / "run"
    training.train(str(gan_run), out=run, init="default", overrides=options, strategy="one")
    assert json.loads((run / "began.json").read_text())["init"] == "default"
    killed_early(run, at="before the checkpoint")
    with pytest.raises(GanzooError, match=r"began from the weights default: give the command that began it once more"):
        training.train(str(run / "config.toml"), out=run, resume=True, strategy="one")
    training.train(str(gan_run), out=run, init="default", overrides=options, strategy="one")
    first, _ = weights.read(run / "checkpoints" / folder.FIRST)
    given, _ = weights.read(gan_run / "model/weights.safetensors")
    np.testing.assert_array_equal(first["generator/hidden1/kernel"], given["generator/hidden1/kernel"])


def test_the_first_thing_a_run_writes_is_what_it_needs_to_go_on(run_of, tmp_path, monkeypatch):
    seen = []

    def save(model, path, **options):
        seen.append(sorted(p.name for p in path.parent.iterdir()))
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save", save)
    with pytest.raises(KeyboardInterrupt):
        training.train(run_of("gan", train__steps=1), out=tmp_path / "run")
    assert seen == [[".lock", "config.toml", "data.json"]]


TRAIN = "import sys; from ganzoo import training; print(training.train(sys.argv[1], out=sys.argv[2]).stopped)"


def started(run_of, tmp_path, command, **options):
    config = run_of(
        "gan", train__steps=10**6, train__log_every=1, train__sample_every=0, train__checkpoint_every=0, **options
    )
    file, run = tmp_path / "my.toml", tmp_path / "run"
    file.write_text(presets.config_toml(config))
    child = subprocess.Popen(
        [sys.executable, *command, str(file), *(["-o"] if command[0] == "-m" else []), str(run)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT,
    )  # fmt: skip
    until = time.monotonic() + 240
    while not (run / "log.jsonl").exists() and child.poll() is None and time.monotonic() < until:
        time.sleep(0.2)
    assert child.poll() is None, child.communicate()
    return child, run


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_answered_at_once_and_saves_the_run(number, run_of, tmp_path):
    child, run = started(run_of, tmp_path, ["-c", TRAIN], train__health_every=0)
    try:
        child.send_signal(number)
        out, err = child.communicate(timeout=240)
    finally:
        child.kill()
    assert (child.returncode, out) == (0, "interrupted\n"), err
    assert "Stopping after this step; the state is saved then." in err
    assert checkpoint.newest_step(run / "checkpoints") == read_log(run / "log.jsonl").rows[-1]["step"]
    assert ganzoo.load(run).full_name.startswith("gan/")


def test_a_folder_deleted_under_a_run_ends_it_with_a_sentence_and_code_1(run_of, tmp_path):
    child, run = started(run_of, tmp_path, ["-m", "ganzoo", "train"], train__health_every=0)
    try:
        run.rename(tmp_path / "elsewhere")
        _, err = child.communicate(timeout=240)
    finally:
        child.kill()
    assert child.returncode == 1, err
    assert f"The run folder {run} was deleted or moved while the run was training" in err
    assert "Traceback" not in err
    assert not run.exists(), "nothing is written there again"
