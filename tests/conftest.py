"""Two virtual CPUs, which must exist before TensorFlow starts; bundled data only; runs that several files look at.

`pytest --paper NAME` runs what is about one paper: the tests that are given its name, and the file that is called after its
module.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as the command line has it
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")  # the golden numbers are float32 of a CPU, not TF32
os.environ.pop("GANZOO_DATA", None)  # the bundled sets, not somebody's full ones

from pathlib import Path

import pytest
import tensorflow as tf
from support.quick import is_quick

for _cpu in tf.config.list_physical_devices("CPU"):
    tf.config.set_logical_device_configuration(_cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

from ganzoo import presets, registry, training  # noqa: E402  (after the devices)
from ganzoo.doctor.small import checks  # noqa: E402
from ganzoo.errors import GanzooError  # noqa: E402

TESTS = Path(__file__).parent
PACE = {"train.batch_size": 8, "train.log_every": 5, "train.checkpoint_every": 10, "train.sample_every": 10}


def pytest_addoption(parser):
    parser.addoption("--paper", metavar="NAME", help="only the tests of one paper of the zoo, such as wgan-gp")


def pytest_collection_modifyitems(config, items):
    for item in items:
        if is_quick(item.path.relative_to(TESTS).as_posix(), item.name):
            item.add_marker("quick")
    if not (wanted := config.getoption("--paper")):
        return
    try:
        paper = presets.find_paper(wanted)
    except GanzooError as error:
        raise pytest.UsageError(f"--paper: {error}") from None
    chosen = [item for item in items if is_of(item, paper)]
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen


def is_of(item, paper: str) -> bool:
    """Whether a test is about the paper: one of its parameters names it or a preset of it, or its file is the paper's own."""
    given = getattr(item, "callspec", None)
    if given is not None and any(isinstance(v, str) and v.split("/")[0] == paper for v in given.params.values()):
        return True
    own = registry.models()[paper].__module__.rsplit(".", 1)[1] if paper in registry.models() else paper
    return item.path.stem == f"test_{own}" or item.path.stem.startswith(f"test_{own}_")


def small(name: str, **overrides) -> presets.RunConfig:
    """Options of a run of a few seconds; overrides are written `train__steps=3`."""
    changes = {key.replace("__", "."): value for key, value in overrides.items()}
    return presets.run_config(name, {**checks(name).small, **PACE, **changes})


@pytest.fixture(scope="session")
def run_of():
    """`small`, for tests that train."""
    return small


@pytest.fixture(scope="session")
def gan_run(tmp_path_factory):
    """The folder of a finished run: the tiny gan, 20 steps on bundled clothes. Copy it before you change it."""
    out = tmp_path_factory.mktemp("gan") / "run"
    training.train(small("gan", train__steps=20, train__keep_checkpoints=9), out=out, strategy="one")
    return out
