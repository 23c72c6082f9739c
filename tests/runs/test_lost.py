"""What must not cost a run: a NaN, a kill in a save, a full disk, a second trainer, other settings. Real ones."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import ganzoo
from ganzoo import presets, schedules, training, weights, zoo
from ganzoo.base.segments import Segment
from ganzoo.doctor import resume as doctor
from ganzoo.errors import GanzooError
from ganzoo.runs import changes, lock
from ganzoo.runs.log import read_log
from ganzoo.training import callbacks, loop

ROOT = str(Path(ganzoo.__file__).parent.parent)


def process(code, *words, **options):
    """Python code in a process of its own."""
    command = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": ROOT}, **options,
    )  # fmt: skip


def words_of(child):
    """What it said on standard error, once it has ended; a busy machine takes its time."""
    try:
        return child.communicate(timeout=600)[1]
    finally:
        child.kill()


def bytes_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def steps(run):
    return [row["step"] for row in read_log(run / "log.jsonl").rows]


# ---- NaN -------------------------------------------------------------------------------------------------------------
class Killed(BaseException):
    """What no code of a run catches."""


def test_a_nan_costs_the_steps_since_the_last_checkpoint_and_half_of_the_rates(tmp_path, run_of, monkeypatch, capsys):
    """A weight becomes NaN after step 12. The run goes back to step 10 and on; killed after that, it ends with the same
    bytes."""
    whole = callbacks.SampleGrid.on_train_batch_end
    seen = []

    def poisoned(self, batch, logs=None):
        whole(self, batch, logs)
        seen.append(self.step)
        kernel = self.model.generator.trainable_variables[0]
        if self.step == 12 and not changes.read(self.folder.parent):
            kernel.assign(np.full(kernel.shape, np.nan))
        if self.step == 17 and self.folder.parent.name == "killed" and seen.count(17) == 1:
            raise Killed

    monkeypatch.setattr(callbacks.SampleGrid, "on_train_batch_end", poisoned)
    config = run_of("dcgan", train__steps=20, train__sample_every=0, train__checkpoint_every=5, train__log_every=4)
    run = tmp_path / "run"
    assert training.train(config, out=run).stopped == "done"
    assert seen == [*range(1, 16), *range(11, 21)], "seen at the checkpoint of step 15, which is not written"
    assert steps(run) == [4, 8, 12, 16, 20]
    (row,) = changes.read(run)
    assert (row["step"], row["what"]) == (10, "rollback")
    assert row["why"].startswith(
        "The loss of d_optimizer is not finite at step 13. Back to step 10; all learning rates"
    )
    assert capsys.readouterr().err.count(row["why"]) == 1
    assert row["why"] in (run / "report.html").read_text()
    last, _ = weights.read(run / "checkpoints/step-00000020.safetensors")
    for player in ("g_optimizer", "d_optimizer"):
        rate = getattr(config.train, player).learning_rate
        assert last[f"{player}/{player}/learning_rate"] == pytest.approx(rate / 2)

    seen.clear()
    with pytest.raises(Killed):
        training.train(config, out=tmp_path / "killed")
    training.train(config, out=tmp_path / "killed", resume=True)
    assert seen == [*range(1, 16), *range(11, 18), *range(16, 21)]
    assert bytes_of(tmp_path / "killed/checkpoints") == bytes_of(run / "checkpoints")
    assert changes.read(tmp_path / "killed") == changes.read(run)


def test_the_factor_holds_for_every_kind_of_rate(run_of):
    """Constant, divided to a floor (Goodfellow), constant then linear (pix2pix), and a segment's own (growing)."""
    table = presets.OptimizerConfig(learning_rate=0.1)
    divided = table.model_copy(update={"decay": 1.1, "learning_rate_min": 0.01})
    linear = table.model_copy(update={"constant_steps": 4, "decay_steps": 10})
    assert schedules.learning_rate(table, 0.5) == 0.05
    for config, values in ((divided, (0.05, 0.05 / 1.1**5, 0.005)), (linear, (0.05, 0.045, 0.0))):
        found = [float(schedules.learning_rate(config, 0.5)(step)) for step in (0, 5, 400)]
        assert found == pytest.approx(values, rel=1e-5, abs=1e-9)
    config = run_of("dcgan")
    model = zoo.build(config)
    segment = Segment(0, 5, 0, 8, learning_rate=0.004)
    loop.start_segment(model, config.train, segment, 0.25, fresh=True)
    assert float(np.array(model.g_optimizer.learning_rate)) == pytest.approx(0.001)


def test_rollbacks_are_counted_since_the_settings_changed(tmp_path):
    assert changes.rate_factor(tmp_path) == 1
    for step, what in ((10, "rollback"), (10, "rollback"), (30, "rollback")):
        changes.note(tmp_path, step, what, "why")
    assert changes.rate_factor(tmp_path) == 0.125
    changes.forget_rollbacks_after(tmp_path, 10)  # a torn checkpoint: the run comes to step 30 again
    assert changes.rate_factor(tmp_path) == 0.25
    changes.note(tmp_path, 10, "settings", "train.seed was 0, now 1")
    assert changes.rate_factor(tmp_path) == 1
    assert [row["what"] for row in changes.read(tmp_path)] == ["rollback", "rollback", "settings"]


# ---- kills -----------------------------------------------------------------------------------------------------------
WRITER = """
import sys
import numpy as np
from ganzoo import weights
print("ready", flush=True)
number = 0
while True:
    weights.write(sys.argv[1], {"a": np.full(300_000, number, "float32"), "b": np.full(9, number, "float32")})
    number += 1
"""


def test_a_file_is_old_or_new_whenever_its_writer_is_killed(tmp_path):
    path, draw = tmp_path / "step-00000001.safetensors", random.Random(0)
    for _ in range(4):
        child = process(WRITER, path)
        assert child.stdout.readline() == "ready\n"
        while not path.exists():
            time.sleep(0.001)
        time.sleep(draw.uniform(0, 0.05))
        child.kill()
        child.communicate()
        arrays, _ = weights.read(path)
        assert len({*arrays["a"], *arrays["b"]}) == 1, "of one write"


@pytest.mark.parametrize(("name", "kills"), [("dcgan", 2), ("cyclegan", 1), ("stylegan-lite", 1)])
def test_a_run_killed_and_resumed_ends_with_the_bytes_of_one_that_was_not(name, kills):
    """BatchNorm and averages; pools; progressive growing with ADA's p. Children, SIGKILL in a step and in a save."""
    proof = doctor.prove(doctor.small(name), steps=18, kills=kills, seed=kills)
    assert proof.equal, proof
    assert [kill.where for kill in proof.kills] == ["step", "save"][:kills]
    assert len({*proof.state, *proof.weights}) == 2


def test_the_doctor_sees_a_difference():
    equal = doctor.Proof("a/b", 2, (), ("1", "1"), ("2", "2"))
    assert equal.equal
    for change in ({"state": ("1", "3")}, {"weights": ("2", "3")}):
        assert not doctor.Proof(**(vars(equal) | change)).equal
    with pytest.raises(GanzooError, match="more steps than kills"):
        doctor.prove(doctor.small("gan"), steps=2, kills=2)


def test_the_doctor_shrinks_every_model_that_it_lists():
    for name in presets.list_models():
        whole, small = (
            sum(v.shape.num_elements() for v in zoo.build(config).trainable_variables)
            for config in (presets.run_config(name), zoo.complete(doctor.small(name)))
        )
        assert small < whole / 10, name


# ---- a full disk -----------------------------------------------------------------------------------------------------
LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
if sys.argv[2] == "append":
    from ganzoo import files
    while True:
        files.append_line(sys.argv[3], "x" * 29)
from ganzoo.cli.app import app
app(sys.argv[2:])
"""


def test_a_full_disk_ends_the_run_with_a_sentence_and_the_last_checkpoint(gan_run, tmp_path):
    run = Path(shutil.copytree(gan_run, tmp_path / "run"))
    before = bytes_of(run / "checkpoints")
    limit = min(map(len, before.values())) - 1000
    child = process(LIMITED, limit, "train", "-o", run, "--resume", "--steps", 30, "--set", "train.sample_every=0")
    words = words_of(child)
    assert child.returncode == 1, words
    *_, sentence = words.strip().splitlines()
    assert sentence.startswith(f'Error: "{run}/checkpoints/step-00000030.safetensors": File too large (')
    assert "bytes to write" in sentence
    assert "Traceback" not in words
    assert bytes_of(run / "checkpoints") == before, "and no temporary file"
    assert steps(run)[-1] == 30
    assert not list(run.rglob(".*"))


def test_a_line_that_finds_no_room_is_not_half_there(tmp_path):
    child = process(LIMITED, 100, "append", tmp_path / "log.jsonl")
    words = words_of(child)
    assert child.returncode == 1
    assert "OSError: [Errno 27] File too large (30 bytes to write, " in words
    assert (tmp_path / "log.jsonl").read_text() == 3 * ("x" * 29 + "\n")


# ---- two trainers ----------------------------------------------------------------------------------------------------
HOLDER = """
import sys
from pathlib import Path
from ganzoo.runs import lock
with lock.held(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_trainer_is_refused_while_the_first_lives(gan_run, tmp_path):
    run = Path(shutil.copytree(gan_run, tmp_path / "run"))
    child = process(HOLDER, run)
    try:
        assert child.stdout.readline() == "held\n"
        with pytest.raises(GanzooError, match=f"process {child.pid} on {socket.gethostname()} trains there"):
            training.train(str(run / "config.toml"), out=run, resume=True)
        assert ganzoo.load(run).paper == "gan", "reading needs no lock"
    finally:
        child.send_signal(signal.SIGKILL)
        child.communicate()
    assert json.loads((run / lock.FILE).read_text())["pid"] == child.pid, "a kill leaves the file, and the lock is free"
    assert training.train(str(run / "config.toml"), out=run, resume=True).stopped == "done"
    assert not (run / lock.FILE).exists()


def test_a_lock_that_a_kill_left_is_no_run(tmp_path, run_of):
    (tmp_path / lock.FILE).write_text("")
    with pytest.raises(GanzooError, match="nosuchset"):  # and not "is not empty"
        training.train(run_of("gan", data__source="nosuchset"), out=tmp_path)


# ---- other settings --------------------------------------------------------------------------------------------------
def test_other_settings_are_accepted_where_the_state_fits(gan_run, tmp_path):
    run = Path(shutil.copytree(gan_run, tmp_path / "run"))
    config, change = str(run / "config.toml"), {"train.steps": 22, "train.g_optimizer.learning_rate": 0.05}
    with pytest.raises(GanzooError, match="--accept-changes"):
        training.train(config, out=run, resume=True, overrides=change)
    wider = {"model.hidden": 13}
    with pytest.raises(GanzooError, match=r"~ generator/hidden1/kernel file \(5, 12\), model \(5, 13\)"):
        training.train(config, out=run, resume=True, accept_changes=True, overrides=wider)
    assert changes.read(run) == []
    assert training.train(config, out=run, resume=True, accept_changes=True, overrides=change).steps == 22
    (row,) = changes.read(run)
    assert (row["step"], row["what"]) == (20, "settings")
    assert "train.g_optimizer.learning_rate was 0.1, now 0.05" in row["why"]
    assert presets.run_config(run / "config.toml").train.g_optimizer.learning_rate == 0.05
    assert "Resumed with other settings" in (run / "report.html").read_text()
    training.train(config, out=run, resume=True)  # they are the run's own now
    assert len(changes.read(run)) == 1


def test_the_time_in_checkpoints_is_in_log_manifest_and_report(gan_run):
    rows = read_log(gan_run / "log.jsonl").rows
    saved = [row["save_seconds"] for row in rows]
    assert saved == sorted(saved)
    assert saved[0] == 0 < saved[-1] < rows[-1]["seconds"], "the first save is at step 10, after that row"
    share = json.loads((gan_run / "model/manifest.json").read_text())["save_share"]
    assert saved[-1] / rows[-1]["seconds"] < share < 1, "with the last save, which comes after the last row"
    assert "time in checkpoints" in (gan_run / "report.html").read_text()
