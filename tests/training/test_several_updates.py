"""Runs of a paper whose D moves several times in a step, and is a critic: wgan-gp."""

import hashlib

import pytest

from ganzoo import report, training
from ganzoo.doctor import small
from ganzoo.errors import GanzooError
from ganzoo.runs.log import read_log

SMALL = {"train.sample_every": 0, "train.log_every": 2}


def run(out, steps, resume=False, **more):
    settings = {"train.steps": steps} | {key.replace("__", "."): value for key, value in more.items()}
    return training.train(small.config("wgan-gp", SMALL | settings), out=out, strategy="one", resume=resume)


def newest(folder):
    return hashlib.sha256(max((folder / "checkpoints").iterdir()).read_bytes()).hexdigest()


@pytest.mark.parametrize("more", [{}, {"train__accumulate": 2, "train__steps_per_execution": 2}])
def test_a_run_resumes_exactly(tmp_path, more):
    run(tmp_path / "whole", 4, **more)
    run(tmp_path / "broken", 2, **more)
    run(tmp_path / "broken", 4, resume=True, **more)
    assert newest(tmp_path / "whole") == newest(tmp_path / "broken")
    rows = read_log(tmp_path / "broken" / "log.jsonl").rows
    assert [row["step"] for row in rows] == [2, 4]
    assert {"d_loss", "g_loss", "wasserstein", "penalty"} <= set(rows[-1])


def test_nobody_says_that_a_critic_is_fooled(tmp_path):
    run(tmp_path / "run", 2)
    page = report.write_run_report(tmp_path / "run").read_text("utf-8")
    assert "wasserstein" in page
    assert "fooled" not in page
    with pytest.raises(GanzooError, match=r"D of wgan-gp is a critic, .* leave train.stop.d_wins out"):
        run(tmp_path / "other", 2, train__stop__d_wins=True)
    assert not (tmp_path / "other" / "config.toml").exists()


def test_a_batch_is_divided_among_the_updates(tmp_path):
    with pytest.raises(
        GanzooError, match=r"divided among n_critic = 2 updates of D, .* received 9\. Set train.batch_size"
    ):
        run(tmp_path / "run", 2, train__batch_size=9)
