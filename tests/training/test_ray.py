"""Real Ray clusters on this machine: two workers, one of them killed, and the run goes on; a job file, submitted."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from support import cluster

from ganzoo import presets, training, weights
from ganzoo.errors import GanzooError
from ganzoo.training import on_ray

HAS_RAY = importlib.util.find_spec("ray") is not None
needs_ray = pytest.mark.skipif(not HAS_RAY, reason="needs Ray: pip install 'ganzoo[ray]'")
EXPORT = Path(__file__).resolve().parents[2] / "export"
# On a busy machine a worker takes longer to import TensorFlow than Ray waits.
PATIENCE = {"RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "600"}


def processes(mark: str) -> dict[int, str]:
    """pid -> title of everything that was started with GANZOO_MARK=mark in its environment."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"GANZOO_MARK={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:  # it has ended, or is not ours
            continue
    return found


def wait_for(what, driver, seconds=240):
    end = time.monotonic() + seconds
    while not (found := what()):
        assert driver.poll() is None, f"the run has ended: {driver.communicate()[1][-3000:]}"
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)
    return found


@pytest.mark.slow
@needs_ray
def test_a_killed_ray_worker_costs_its_steps_and_nothing_else(tmp_path, run_of):
    """`ganzoo train --ray --workers 2` with a config and --set; SIGKILL to a worker after the first checkpoints. Ray starts
    both again, they resume (the first checkpoint is not written twice), and the weights are those of one process."""
    changes = {
        "train__log_every": 50,
        "train__checkpoint_every": 50,
        "train__sample_every": 0,
        "train__health_every": 0,
    }
    config = run_of("gan", train__steps=600, train__keep_checkpoints=99, model__ema_decay=0.5, **changes)
    file, out, mark = tmp_path / "my.toml", tmp_path / "run", f"{os.getpid()}-{time.time_ns()}"
    file.write_text(presets.config_toml(config))
    command = [sys.executable, "-m", "ganzoo", "train", str(file), "-o", str(out), "--ray", "--workers", "2", "--json"]
    driver = subprocess.Popen(
        [*command, "--set", "train.seed=3"], env=cluster.environment(GANZOO_MARK=mark, **PATIENCE),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        wait_for((out / "checkpoints/step-00000100.safetensors").is_file, driver)
        first = (out / "checkpoints/step-00000000.safetensors").stat().st_mtime_ns
        workers = [
            pid for pid, title in processes(mark).items() if title.startswith("ray::") and "TrainWorker" in title
        ]
        assert len(workers) == 2, processes(mark)
        os.kill(workers[1], signal.SIGKILL)
        printed, errors = driver.communicate(timeout=300)
    finally:
        for pid in [driver.pid, *processes(mark)]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
    assert driver.returncode == 0, errors[-3000:]
    assert json.loads(printed[printed.index("{") :])["steps"] == 600
    assert (out / "checkpoints/step-00000000.safetensors").stat().st_mtime_ns == first
    assert [json.loads(row)["step"] for row in (out / "log.jsonl").read_text().splitlines()] == list(range(50, 601, 50))
    assert not list(tmp_path.glob("*-ray")), "Ray's own notes are gone"
    training.train(presets.run_config(config, {"train.seed": 3}), out=tmp_path / "one", strategy="one")
    one, two = (weights.read(path / "checkpoints/step-00000600.safetensors")[0] for path in (tmp_path / "one", out))
    for key, value in one.items():
        np.testing.assert_allclose(two[key], value, atol=1e-5, rtol=1e-4, err_msg=key)


@pytest.mark.slow
@needs_ray
def test_the_job_file_runs_on_a_cluster(tmp_path):
    """`export/ray-job.yaml` as it is but for fewer steps, submitted to a cluster of this machine: four workers, a model."""
    mark, bin = f"{os.getpid()}-{time.time_ns()}", Path(sys.executable).parent
    dashboard, head = cluster.addresses(2)
    ports = ["--dashboard-port", dashboard.split(":")[1], "--port", head.split(":")[1]]
    env = cluster.environment(GANZOO_MARK=mark, PATH=f"{bin}:{os.environ['PATH']}")
    start = [bin / "ray", "start", "--head", "--num-cpus", "5", "--object-store-memory", "100000000", *ports]
    submit = [sys.executable, EXPORT / "submit_ray_job.py", EXPORT / "ray-job.yaml", "--address", f"http://{dashboard}"]
    submit += ["--append", "--set train.steps=4 --set train.sample_every=0 --set train.health_every=0"]
    variables = PATIENCE | {"GANZOO_RUNS": str(tmp_path)}
    submit += [word for pair in variables.items() for word in ("--env", "=".join(pair))]
    try:
        subprocess.run(start, env=env, check=True, capture_output=True, timeout=300)
        done = subprocess.run(submit, env=env, capture_output=True, text=True, timeout=900)
    finally:
        for pid in processes(mark):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert json.loads((tmp_path / "fashion-32/model/manifest.json").read_text())["steps"] == 4


@needs_ray
def test_what_ray_is_not_started_for(tmp_path):
    with pytest.raises(GanzooError, match=r"train\.batch_size 100 does not divide over 3 workers"):
        on_ray.train("gan", out=str(tmp_path / "run"), workers=3, overrides={})
    with pytest.raises(GanzooError, match='Did you mean "batch_size"'):
        on_ray.train("gan", out=str(tmp_path / "run"), workers=2, overrides={"train.batchsize": 3})
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(HAS_RAY, reason="Ray is installed")
def test_ray_missing_is_a_sentence(tmp_path):
    with pytest.raises(GanzooError, match=r"pip install 'ganzoo\[ray\]'"):
        on_ray.train("gan", out=str(tmp_path / "run"), workers=2, overrides={})


def test_the_command_line_refuses_workers_without_ray(tmp_path, capsys):
    from ganzoo import cli

    for words, sentence in (
        (["--workers", "2"], "--workers counts the workers that Ray starts: add --ray"),
        (["--ray", "--workers", "2", "--strategy", "mirrored"], "--ray runs --strategy multi-worker"),
    ):
        assert cli.app(["train", "gan", "-o", str(tmp_path / "run"), *words], standalone_mode=False) == 2
        assert sentence in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
