"""The arithmetic of `ganzoo plan` by hand, and a real probe against a real measurement at another batch size."""

import json

import pytest
import tiny

from ganzoo import presets, registry
from ganzoo.cli.app import app
from ganzoo.training import plan

MIB = 2**20


def test_the_prediction_is_the_line_through_two_probes():
    """100 MiB whatever the batch and 10 a sample; 0.1 s and 0.01 s a sample."""
    config = presets.run_config("gan", {"train.batch_size": 32, "train.steps": 9000, "train.log_every": 50})
    probes = plan.Probe(8, 0.18, 180 * MIB, 40), plan.Probe(16, 0.26, 260 * MIB, 40)
    found = plan.predict(config, probes, available=1000 * MIB, device="cpu")
    line = (found.bytes, found.fixed_bytes, found.sample_bytes, found.state_bytes)
    assert line == (420 * MIB, 100 * MIB, 10.0 * MIB, 40)
    assert found.seconds == pytest.approx(0.42)
    assert found.hours == pytest.approx(0.42 * 9000 / 3600)
    assert (found.largest_batch, found.limited_by) == (80, "memory"), "0.9 * 1000 MiB less 100, by 10"
    assert not found.within_noise
    assert plan.predict(config, probes, 1000 * MIB, "cpu", unit=32).largest_batch == 64
    assert plan.predict(config, probes, 100 * MIB, "cpu").largest_batch == 0


@pytest.mark.parametrize(
    ("items", "numbers", "expected"),
    [(1000, 0, (1000, "data")), (10**6, 2**20, (2047, "tensor")), (10**6, 0, (plan.LIMIT, "limit"))],
)
def test_a_batch_that_data_or_model_cannot_take_is_not_proposed(items, numbers, expected):
    probes = plan.Probe(1, 0.1, 500 * MIB, 40), plan.Probe(2000, 0.1, 502 * MIB, 40, items, numbers)
    found = plan.predict(presets.run_config("gan"), probes, 10**6 * MIB, "cpu")
    assert (found.largest_batch, found.limited_by) == expected


@pytest.mark.parametrize("name", list(registry.models()))
def test_the_largest_tensor_of_every_paper_is_read(name):
    """0 of networks that leave their sizes open or are classes of their own; no paper ends in a traceback."""
    found = plan.numbers(tiny.build(name))
    if name in ("cyclegan", "stylegan-lite"):
        assert found == 0
    elif name == "dcgan":
        assert found == 4 * 4 * 16  # the first map of G, 4 ngf channels wide
    else:
        assert found > 0


def test_memory_within_the_noise_of_the_probes_is_a_bound_and_not_nothing():
    probes = plan.Probe(25, 0.02, 700 * MIB, 40), plan.Probe(50, 0.02, 699 * MIB, 40)
    found = plan.predict(presets.run_config("gan"), probes, 4000 * MIB, "cpu")
    assert found.within_noise
    assert found.sample_bytes == plan.NOISE / 25
    assert found.largest_batch < 4000, "0.9 * 4000 MiB less 651, by at most 0.96"


def test_a_second_probe_grows_until_its_memory_stands_out(monkeypatch):
    """0.1 MiB a sample: of 25 and 50 nothing is seen, of 400 a little, of 3,200 enough."""

    def probe(config, batch):
        return plan.Probe(batch, 0.001 * batch, round(600 * MIB + 0.1 * MIB * batch), 40, 10**5)

    monkeypatch.setattr(plan, "_child", probe)
    monkeypatch.setattr(plan, "memory", lambda: ("cpu", 8000 * MIB))
    config = presets.run_config("gan", {"train.batch_size": 100})
    found = plan.plan(config)
    assert [p.batch for p in found.probes] == [25, 3200]
    assert found.sample_bytes == pytest.approx(0.1 * MIB, rel=1e-6)
    monkeypatch.setattr(plan, "PATIENCE", 10.0)  # 400 samples take two seconds for five steps, 3,200 sixteen
    assert [p.batch for p in plan.plan(config).probes] == [25, 400]
    monkeypatch.setattr(plan, "memory", lambda: ("cpu", 700 * MIB))
    assert [p.batch for p in plan.plan(config).probes] == [25, 50]


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
        return plan.Probe(batch, float(batch), batch * 100 * MIB, 1)

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
    assert found["probes"][0]["batch"] == 128
    assert found["probes"][1]["batch"] in (256, 2048), "the larger one where the smaller is lost in the noise"
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
    assert 0 < found["largest_batch"] <= found["probes"][1]["items"]
    assert found["probes"][1]["numbers"] == 16 * 16 * 16  # of the layer before the pictures
