"""Runs the command line in tests: in this process or in one of its own. Sizes of tiny models that train in seconds."""

import os
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from ganzoo.cli import app

ROOT = Path(__file__).resolve().parents[2]
TINY_PIX2PIX = {"data.size": 16, "model.num_downs": 3, "model.ngf": 4, "model.ndf": 4, "model.n_layers": 1}
TINY_DCGAN = {
    "data.size": 16,
    "model.image_size": 16,
    "data.channels": 3,
    "model.channels": 3,
    "model.ngf": 4,
    "model.ndf": 4,
}
EVERY_STEP = {"train.log_every": 1, "train.sample_every": 2, "train.checkpoint_every": 2}


def settings(*tables):
    return [word for table in tables for key, value in table.items() for word in ("--set", f"{key}={value}")]


def run(*words, code=0):
    """Runs `ganzoo ...` in this process; checks the exit code; returns the result with `stdout` and `stderr`."""
    result = CliRunner().invoke(app, [str(w) for w in words])
    assert result.exit_code == code, f"{words}: {result.exit_code}\n{result.stdout}\n{result.stderr}"
    assert "Traceback" not in result.stderr
    return result


def refused(*words):
    """The one sentence with which bad input ends."""
    result = run(*words, code=2)
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


def process(*words, **options):
    """`python -m ganzoo ...` as a process of its own."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", "ganzoo", *map(str, words)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, env={**os.environ, "PYTHONPATH": path}, **options
    )
