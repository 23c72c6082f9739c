"""The arithmetic of `ganzoo plan` by hand, and a real probe against a real measurement at another batch size."""

import json

import pytest

from ganzoo import presets
from ganzoo.cli.app import app
from ganzoo.training import plan


def test_the_prediction_is_the_line_through_two_probes():
    """100 bytes whatever the batch and 10 a sample; 0.1 s and 0.01 s a sample."""
    config = presets.run_config("gan", {"train.batch_size": 32, "train.steps": 9000, "train.log_every": 50})
    probes = plan.Probe(8, 0.18, 180, 40), plan.Probe(16, 0.26, 260, 40)
    found = plan.predict(config, probes, available=1000, device="cpu")
    assert (found.bytes, found.fixed_bytes, found.sample_bytes, found.state_bytes) == (420, 100, 10.0, 40)
    assert found.seconds == pytest.approx(0.42)
    assert found.hours == pytest.approx(0.42 * 9000 / 3600)
    assert found.largest_batch == 80, "0.9 * 1000 bytes less 100, by 10"
    assert plan.predict(config, probes, 1000, "cpu", unit=32).largest_batch == 64
    assert plan.predict(config, probes, 100, "cpu").largest_batch == 0


@pytest.mark.parametrize(
    ("batch", "unit", "expected"),
    [(64, 1, (16, 32)), (1, 1, (1, 2)), (6, 1, (1, 3)), (64, 12, (12, 24)), (8, 4, (4, 8))],
)
def test_the_probes_are_a_quarter_and_a_half_of_the_batch(batch, unit, expected):
    assert plan.sizes(batch, unit) == expected


@pytest.mark.parametrize(
    ("name", "overrides", "expected"),
    [
        ("wgan-gp", {}, (40, 80)),  # of 160 in fives
        ("wgan-gp", {"train.batch_size": 10, "train.accumulate": 2}, (10, 20)),
        ("stylegan-lite", {"train.batch_size": 12}, (4, 8)),  # in groups of four
        ("dcgan", {"train.batch_size": 10}, (2, 5)),
    ],
)
def test_a_plan_measures_batches_of_whole_units(name, overrides, expected, monkeypatch):
    measured = []

    def probe(config, batch):
        measured.append(batch)
        return plan.Probe(batch, float(batch), batch, 1)

    monkeypatch.setattr(plan, "_child", probe)
    told = []
    plan.plan(presets.run_config(name, overrides), told.append)
    assert tuple(measured) == expected
    assert [f"batch {batch} " in sentence for batch, sentence in zip(expected, told, strict=True)] == [True, True]


def test_a_real_plan_is_right_at_another_batch(tmp_path, run_of, capsys):
    """Memory within 20 %; the time of so small a step is that of the machine's other work, and is only said."""
    config = run_of("dcgan", train__batch_size=512, train__steps=600, model__image_size=32, data__size=32)
    config = presets.run_config(config, {"model.ngf": 16, "model.ndf": 16})
    (tmp_path / "run.toml").write_text(presets.config_toml(config))
    app(["plan", str(tmp_path / "run.toml"), "--json"], standalone_mode=False)
    found = json.loads(capsys.readouterr().out)
    assert [probe["batch"] for probe in found["probes"]] == [128, 256]
    assert (found["batch"], found["steps"]) == (512, 600)
    assert found["hours"] == pytest.approx(found["seconds"] * 600 / 3600)
    measured = plan._child(config, 512)
    assert found["bytes"] == pytest.approx(measured.peak, rel=0.2)
    assert found["state_bytes"] == measured.state
    assert found["sample_bytes"] > 0
    # In eight micro-batches the part that grows with the batch falls (to half of it, at four times this batch): the batch
    # itself and a larger graph stay.
    whole, parts = (plan._child(presets.run_config(config, {"train.accumulate": n}), 2048) for n in (1, 8))
    assert parts.peak - found["fixed_bytes"] < 0.75 * (whole.peak - found["fixed_bytes"])
    assert found["largest_batch"] > 0
