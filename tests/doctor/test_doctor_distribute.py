"""`ganzoo doctor distribute`: equal where it must be, and it notices where it is not."""

import json

import pytest
import tiny

from ganzoo import cli
from ganzoo.base import BaseGAN
from ganzoo.doctor import distribute, small


def test_two_replicas_are_found_equal_and_a_fault_is_found(monkeypatch, capsys):
    """In this process, whose two CPUs stand for the child's; then with noise that each replica draws for itself (trap 2)."""
    monkeypatch.setattr(distribute, "run", lambda names: map(distribute.check, names))
    assert cli.app(["doctor", "distribute", "gan", "--json"], standalone_mode=False) == 0
    (record,) = json.loads(capsys.readouterr().out)["models"]
    assert record["ok"]
    assert (record["mixes"], record["steps"], record["replicas"]) == ([], 32, 2)
    assert record["weights"] <= 1e-6 < 1e-4 < record["moved"]

    monkeypatch.setattr(
        BaseGAN, "noise", lambda self, draw, stream, rows, shape=(): draw([rows, *shape], seed=self.stream_seed(stream))
    )
    assert cli.app(["doctor", "distribute", "gan"], standalone_mode=False) == 1
    said = capsys.readouterr()
    assert "UNEQUAL  gan" in said.out
    assert "replicas do not train as one device does: gan" in said.err


def test_the_child_has_two_cpus_and_names_what_mixes():
    """The real process: dcgan's batch norm mixes rows, and synchronised it is equal."""
    (record,) = distribute.run(["dcgan"])
    assert record["ok"]
    assert record["mixes"] == ["batch norm: each replica takes the statistics of its own rows"]
    assert record["plain"]["weights"] > 3e-6 > record["weights"]
    assert record["plain"]["ema"] > 3e-6 > record["ema"]


def test_a_child_that_fails_says_so():
    with pytest.raises(RuntimeError, match=r"exit code 1: (?s:.*)nosuch"):
        list(distribute.run(["nosuch"]))


def test_every_model_has_a_small_form():
    for name in tiny.TINY:
        assert small.checks(name).small, f"{name} declares no small run"
        config = small.config(name)
        assert config.train.batch_size * config.train.steps <= 256, "seconds"
