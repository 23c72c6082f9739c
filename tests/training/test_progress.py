"""How far a run is, where no terminal shows it."""

import re
from itertools import count

import pytest

import ganzoo
from ganzoo.evaluation import progress as of_evaluation
from ganzoo.training import callbacks


@pytest.fixture
def every_ten_seconds(monkeypatch):
    """A clock of a process that needs 10 seconds for each step."""
    clock = count(0, 10)
    monkeypatch.setattr(callbacks.ProgressLines.__init__, "__kwdefaults__", {"now": lambda: next(clock)})


def test_a_run_off_a_terminal_says_where_it_is_every_half_minute(run_of, tmp_path, capsys, every_ten_seconds):
    ganzoo.train(run_of("gan", train__steps=8, train__log_every=4), out=tmp_path / "run", progress=True)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("step ")]
    assert [line.split("  ")[0] for line in lines] == ["step 3 of 8", "step 6 of 8"]
    form = r"step 3 of 8  .*g_loss -?\d+\.\d{3}  .*g_rate \S+  .*  0\.8 images/s  0:00:50 left"
    assert re.fullmatch(form, lines[0]), lines[0]
    assert "real_logit" not in lines[0]


def test_a_run_says_nothing_unasked(run_of, tmp_path, capsys, every_ten_seconds):
    ganzoo.train(run_of("gan", train__steps=8, train__log_every=4), out=tmp_path / "run")
    assert "images/s" not in capsys.readouterr().err


def test_an_evaluation_off_a_terminal_says_where_it_is(gan_run, monkeypatch, capsys):
    monkeypatch.setattr(of_evaluation, "EVERY", 0)
    ganzoo.evaluate(gan_run, metrics=["kid_efficientnet-lite0"], n=20, progress=True)
    lines = capsys.readouterr().err.splitlines()
    assert "fake pictures: 20 of 20" in lines
    assert "fake through efficientnet-lite0: 20 of 20" in lines
    ganzoo.evaluate(gan_run, metrics=["kid_efficientnet-lite0"], n=20)
    assert capsys.readouterr().err == ""
