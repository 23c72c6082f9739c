"""How far a run is, where no terminal shows it."""

import re
from itertools import count

import pytest

import ganzoo
from ganzoo import presets
from ganzoo.evaluation import progress as of_evaluation
from ganzoo.training import callbacks, loop


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


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({}, (1000, 50)),  # the preset's own run
        ({"train.steps": 500}, (46, 46)),
        ({"train.steps": 20}, (2, 2)),
        ({"train.steps": 3}, (1, 1)),
        ({"train.steps": 24, "train.steps_per_execution": 2, "train.log_every": 50}, (4, 4)),
        ({"train.steps": 20, "train.sample_every": 7, "train.log_every": 3}, (7, 3)),  # the user's own
        ({"train.steps": 20, "train.sample_every": 0}, (0, 2)),
    ],
)
def test_a_short_run_has_about_ten_grids_and_rows_whatever_its_preset_says(overrides, expected):
    config = presets.run_config("pix2pix", overrides)
    assert tuple(loop.interval(config, key) for key in ("sample_every", "log_every")) == expected


def test_a_short_run_shows_its_beginning_its_end_and_what_is_between(run_of, tmp_path):
    own = presets.run_config("gan").train
    config = run_of("gan", train__steps=23, train__sample_every=own.sample_every, train__log_every=own.log_every)
    ganzoo.train(config, out=tmp_path / "run")
    steps = [int(path.stem) for path in sorted((tmp_path / "run/samples").iterdir())]
    assert steps == [0, 3, 6, 9, 12, 15, 18, 21, 23]
    assert len((tmp_path / "run/log.jsonl").read_text().splitlines()) == 8


def test_the_report_says_one_thing_of_d_and_whose_its_numbers_are(gan_run):
    page = (gan_run / "report.html").read_text()
    assert "half the time" not in page
    assert "of the training batches, not of held-out data" in page
