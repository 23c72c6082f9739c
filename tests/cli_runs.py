"""Helpers and session fixtures of the command-line tests: a runner, tiny pictures, and tiny runs that are trained once.

A plugin, not a module to import from: fixtures that two test files import would be made twice.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ganzoo import images
from ganzoo.cli import app

ROOT = Path(__file__).resolve().parent.parent
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


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """Folders `pics` and `pairs`, each with train/ and test/: coloured squares on white, and their black shapes."""
    root, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for split, count in (("train", 6), ("test", 8)):
        for i in range(count):
            colour, shape = np.full((16, 16, 3), 255, np.uint8), np.full((16, 16, 1), 255, np.uint8)
            y, x = rng.integers(0, 8, 2)
            colour[y : y + 8, x : x + 8], shape[y : y + 8, x : x + 8] = rng.integers(0, 255, 3), 0
            images.write_png(root / "pics" / split / f"{i}.png", colour)
            images.write_png(root / "pairs" / split / "A" / f"{i}.png", shape)
            images.write_png(root / "pairs" / split / "B" / f"{i}.png", colour)
    return root


@pytest.fixture(scope="session")
def dcgan(pictures, tmp_path_factory):
    """A run folder of a tiny dcgan, trained by the command line, and what the command printed."""
    out = tmp_path_factory.mktemp("runs") / "dcgan"
    words = [
        "train",
        "dcgan",
        "-o",
        out,
        "--data",
        pictures / "pics",
        "--steps",
        4,
        "--batch-size",
        4,
        "--seed",
        3,
        "--json",
    ]
    result = run(*words, *settings(TINY_DCGAN, EVERY_STEP))
    return out, json.loads(result.stdout)


@pytest.fixture(scope="session")
def pix2pix(pictures, tmp_path_factory):
    """A run folder of a tiny pix2pix, trained from a config file."""
    root = tmp_path_factory.mktemp("runs")
    config = root / "my.toml"
    config.write_text('extends = "pix2pix/lines2colour-64"\n[train]\nbatch_size = 2\nsteps = 2\n')
    run("train", config, "-o", root / "run", "--data", pictures / "pairs", *settings(TINY_PIX2PIX, EVERY_STEP))
    return root / "run"
