"""Session fixtures of the command-line tests: tiny pictures, and tiny runs that are trained once.

A pytest plugin (`pytest_plugins = ("support.cli_fixtures",)`): fixtures that two test files import would be made twice.
"""

import json

import numpy as np
import pytest
from support.cli_runs import EVERY_STEP, TINY_DCGAN, TINY_PIX2PIX, run, settings

from ganzoo.media import images


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
