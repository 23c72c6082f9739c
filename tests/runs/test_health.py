"""The rules on hand-made rows and on the logs of the shipped runs; the two monitors in real runs."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ganzoo
from ganzoo import presets, training, weights
from ganzoo.errors import GanzooError
from ganzoo.media import images
from ganzoo.runs import health
from ganzoo.training import monitors

LOGS = sorted((Path(ganzoo.__file__).parent / "assets/weights").glob("*.log.jsonl"))


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def rows(values, key="fooled", every=100, start=100):
    return [{"step": start + every * i, key: value} for i, value in enumerate(values)]


def kinds(log=(), samples=()):
    return [(f.kind, f.since, f.until) for f in health.findings(log, samples)]


# ---- rules -----------------------------------------------------------------------------------------------------------
# What is true of shipped runs: D takes 1 % and, while the rates go to zero, 2 % of the fakes for real.
TRUE_OF = {
    "3d-gan-furniture-32.log.jsonl": [("d_wins", 3100, None)],  # fine-tuned with rates that fall from 2,000 on
    "age-cgan-faces-64.log.jsonl": [("d_wins", 6200, None)],  # of the steps with R1, rates falling from 4,000 on
    "anime-lorelei-64.log.jsonl": [("d_wins", 4700, None)],  # of the steps with R1; rates falling from 3,000 on
    "context-encoder-lorelei-64.log.jsonl": [("d_wins", 550, None)],  # the L2 loss leads, as of photos
    "context-encoder-photos-128.log.jsonl": [
        ("d_wins", 550, None)
    ],  # the L2 loss leads, D tells soft holes from photos
    "dcgan-fashion-32.log.jsonl": [("d_wins", 3850, None)],  # fine-tuned with rates that fall to zero
    "dcgan-lorelei-64.log.jsonl": [("d_wins", 550, None)],  # of the steps with R1, too
    "dtn-faces2lorelei-64.log.jsonl": [
        ("d_wins", 3850, None)
    ],  # L_TID leads: drawings of heads are never taken for real
    "stylegan-lite-lorelei-64.log.jsonl": [
        ("d_wins", 17_000, None)
    ],  # of the fine-tuning, rates falling from 10,000 on
    "text-to-image-lorelei-64.log.jsonl": [("d_wins", 4500, None)],  # of the fine-tuning, rates falling from 2,000 on
}


@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.name)
def test_shipped_runs_raise_no_false_alarm(path):
    assert kinds(lines(path)) == TRUE_OF.get(path.name, [])


def test_d_wins_from_a_step_to_a_step():
    """0.40 up to step 2,000, then 0.01: the mean of ten rows is first below 0.025 when all ten are 0.01 (step 3,000), a
    window that begins at 2,100. Back at 0.40 from 5,100 on, it is above 0.05 with the second such row (5,200)."""
    log = rows([0.4] * 20 + [0.01] * 30)
    assert kinds(log) == [("d_wins", 2100, None)]
    assert health.findings(log)[0].text == (
        "D wins since step 2,100: it took 1.0% of the fakes for real, and G learns from weak gradients. "
        "Lower its learning rate (train.d_optimizer.learning_rate)."
    )
    log = rows([0.4] * 20 + [0.01] * 30 + [0.4] * 10)
    assert kinds(log) == [("d_wins", 2100, 5200)]
    assert health.findings(log)[0].text.startswith("D won from step 2,100 to 5,200: it took ")


def test_the_start_of_a_run_and_a_short_run_say_nothing():
    assert kinds(rows([0.0] * 5 + [0.2] * 40)) == [], "D wins in the first 500 steps of every run"
    assert kinds(rows([0.0] * 14)) == [], "1,400 steps have no full window yet"
    assert kinds(rows([0.0] * 15)) == [("d_wins", 600, None)]
    assert kinds(rows([0.0] * 3, every=1000, start=1000)) == [], "three rows are no mean"


def test_d_is_fooled():
    assert kinds(rows([0.95] * 30)) == [("g_wins", 600, None)]
    assert "has nothing to teach" in health.findings(rows([0.95] * 30))[0].text


def test_logits_and_losses_out_of_bounds():
    assert kinds(rows([-60.0] * 2 + [-5.0] + [-60.0] * 3 + [-30.0, -20.0], "fake_logit")) == [("logits", 400, 800)]
    assert kinds(rows([49.0] * 30, "real_logit")) == []
    calm = [3.0] * 20
    assert kinds(rows([*calm, 61.0, 61.0, 59.0], "g_loss")) == []
    assert kinds(rows([*calm, 61.0, 70.0, 90.0], "g_loss")) == [("growing", 2100, None)]
    assert "g_loss is out of bounds since step 2,100: it reached 30 times its usual size" in (
        health.findings(rows([*calm, 61.0, 70.0, 90.0], "g_loss"))[0].text
    )
    assert kinds(rows([0.1] * 20 + [19.0] * 9, "d_loss")) == [], "small losses are held against 1"


def test_the_first_value_that_is_not_finite():
    log = [
        *rows([0.5] * 3),
        {"step": 400, "d_loss": float("nan"), "g_loss": float("inf")},
        {"step": 500, "d_loss": 1.0},
    ]
    assert kinds(log) == [("not_finite", 400, None)]
    assert health.findings(log)[0].text.startswith("d_loss is not finite at step 400.")


def test_samples_alike_and_narrow():
    spread = [0.1, 0.9, 0.9, 0.4, 0.4, 0.9, 0.4, 0.4, 0.55, 0.4, 0.4, 0.4]
    assert kinds(samples=rows(spread, "diversity", 500, 500)) == [("alike", 5000, None)]
    assert kinds(samples=rows([*spread, 0.7], "diversity", 500, 500)) == [("alike", 5000, 6500)]
    assert kinds(samples=rows([0.6, 0.6, 0.6, 0.29, 0.29, 0.29], "coverage", 500, 500)) == [("narrow", 2000, None)]
    assert kinds(samples=rows([0.01] * 9, "coverage", 500, 500)) == [], "held against its own best"
    assert kinds(samples=rows([0.1] * 2, "diversity", 500, 500)) == [], "G starts with the mean picture"


def test_rows_without_numbers_are_passed_over():
    log = [{"step": 100}, {"step": 200, "fooled": None}, {"step": 300, "fooled": "x", "g_loss": None}]
    assert kinds(log, [{"step": 2000, "diversity": None}]) == []
    assert kinds() == []


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from([0.0, 0.01, 0.03, 0.3, 0.95]), min_size=1, max_size=60),
    st.lists(st.sampled_from([1.0, 2.0, 50.0, 300.0]), min_size=60, max_size=60),
    st.integers(1, 60),
)
def test_more_rows_never_take_a_finding_back(fooled, loss, cut):
    """What was said once keeps its kind and step, so a resumed run does not say it again."""
    log = [row | {"g_loss": value} for row, value in zip(rows(fooled), loss, strict=False)]
    samples = rows([value * 2 for value in fooled], "diversity") + rows([], "coverage")
    early = {found[:2] for found in kinds(log[:cut], samples[:cut])}
    assert early <= {found[:2] for found in kinds(log, samples)}


# ---- monitors in real runs -------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder of 40 small gray pictures: few, so that their features cost little."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for i in range(40):
        images.write_png(folder / f"{i:02d}.png", rng.integers(0, 256, (8, 8, 1), dtype=np.uint8))
    return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def watched(run_of, pictures, name="dcgan", **more):
    options = {"train__steps": 12, "train__health_every": 3, "train__metric_every": 4, "train__metric_n": 12}
    options |= {"train__checkpoint_every": 5, "train__sample_every": 0, "data__source": str(pictures)}
    return run_of(name, data__split="train", **(options | more))


def rows_of(run, name):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in lines(run / name)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory, run_of, pictures):
    """A tiny dcgan with batch norm and without an average, watched all the way."""
    patch = pytest.MonkeyPatch()
    patch.setenv("GANZOO_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    out = tmp_path_factory.mktemp("watched") / "run"
    training.train(watched(run_of, pictures), out=out)
    patch.undo()
    return out


def test_a_watched_run_leaves_rows_and_its_best_model(whole):
    health_rows, measured = lines(whole / "health.jsonl"), lines(whole / "metrics.jsonl")
    assert [row["step"] for row in health_rows] == [3, 6, 9, 12]
    for row in health_rows:
        assert set(row) == {"step", "diversity", "coverage", "real_coverage"}
        assert 0 <= row["coverage"] <= 1
        assert 0 < row["diversity"] < 3
    assert [row["step"] for row in measured] == [4, 8, 12]
    for row in measured:
        assert list(row) == ["step", "metric", "value", "std", "seconds", "best"]
        assert row["metric"] == "kid12_efficientnet-lite0_lanczos_train", "40 pictures without splits: all are train"
        assert row["std"] > 0
        assert row["seconds"] > 0
    best = min(measured, key=lambda row: row["value"])
    assert [row for row in measured if row["best"]][-1] == best
    assert [p.name for p in (whole / "checkpoints/best").iterdir()] == [f"step-{best['step']:08d}.safetensors"]
    model = ganzoo.load(whole / "model-best")
    assert model.generate(2).shape == (2, 8, 8, 1)
    manifest = json.loads((whole / "model-best/manifest.json").read_text())
    assert (manifest["step"], manifest["value"], manifest["metric"]) == (best["step"], best["value"], best["metric"])
    state, _ = weights.read(whole / f"checkpoints/best/step-{best['step']:08d}.safetensors")
    np.testing.assert_array_equal(model.state()["generator/project/kernel"], state["generator/project/kernel"])


def test_watching_changes_nothing(whole, tmp_path, run_of, pictures):
    """Standing statistics are put back: weights, slots and running statistics are those of a run without monitors."""
    config = watched(run_of, pictures, train__health_every=0, train__metric_every=0)
    training.train(config, out=tmp_path / "plain")
    name = "checkpoints/step-00000012.safetensors"
    assert (tmp_path / "plain" / name).read_bytes() == (whole / name).read_bytes()
    weights_file = "model/weights.safetensors"
    assert (tmp_path / "plain" / weights_file).read_bytes() == (whole / weights_file).read_bytes()
    assert not (tmp_path / "plain/health.jsonl").exists()


def test_rows_past_the_restored_step_are_made_again(whole, tmp_path):
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    (run / "checkpoints/step-00000012.safetensors").unlink()  # as if killed at step 12: goes on from 10
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 16, "met')
    shutil.rmtree(run / "model-best")
    result = training.train(str(run / "config.toml"), out=run, resume=True)
    assert (result.stopped, result.steps) == ("done", 12)
    for name in ("health.jsonl", "metrics.jsonl"):
        assert rows_of(run, name) == rows_of(whole, name)
    assert (run / "model/weights.safetensors").read_bytes() == (whole / "model/weights.safetensors").read_bytes()
    best = [row["step"] for row in lines(whole / "metrics.jsonl") if row["best"]][-1]
    assert (run / "model-best").exists() == (best == 12), "the best before the restored step is not measured again"
    assert [p.name for p in (run / "checkpoints/best").iterdir()] == [f"step-{best:08d}.safetensors"]


def test_a_plateau_ends_the_run_and_more_patience_goes_on(tmp_path, run_of, pictures, capsys):
    """Learning rates of nearly nothing: the samples stay as they are, and so does their KID."""
    still = {f"train.{player}.learning_rate": 1e-12 for player in ("g_optimizer", "d_optimizer")}
    stop = {"train.stop.patience": 1, "train.stop.min_delta": 0.5}
    config = watched(run_of, pictures, "gan", train__metric_every=2, train__health_every=0)
    result = training.train(config, out=tmp_path / "run", overrides=still | stop)
    assert result.steps == 4
    assert result.stopped.startswith("plateau: kid12_efficientnet-lite0_lanczos_train has not become better for 1 ")
    assert json.loads((tmp_path / "run/model/manifest.json").read_text())["stopped"] == result.stopped
    assert "The run ended early: plateau: kid12" in (tmp_path / "run/report.html").read_text()
    again = training.train(config, out=tmp_path / "run", resume=True, overrides=still | stop)
    assert (again.steps, again.stopped) == (4, result.stopped)
    later = stop | {"train.stop.min_steps": 7}
    further = training.train(config, out=tmp_path / "run", resume=True, overrides=still | later)
    assert further.steps == 8
    done = training.train(config, out=tmp_path / "run", resume=True, overrides=still | {"train.stop.patience": 9})
    assert (done.steps, done.stopped) == (12, "done")
    assert [row["step"] for row in lines(tmp_path / "run/metrics.jsonl")] == [2, 4, 6, 8, 10, 12]


def test_d_wins_is_said_marked_and_ends_the_run(tmp_path, run_of, capfd):
    """A generator that does not learn against a discriminator that does, for as long as the rule needs."""
    config = run_of("dcgan", train__steps=2500, train__sample_every=0, train__log_every=50)
    rates = {"train.g_optimizer.learning_rate": 1e-12, "train.d_optimizer.learning_rate": 2e-3}
    result = training.train(config, out=tmp_path / "run", overrides=rates | {"train.stop.d_wins": True})
    assert result.steps < 2500
    assert result.stopped.startswith("d_wins: D wins since step 550: it took 0.")
    said = [line for line in capfd.readouterr().err.splitlines() if "D wins since step" in line]
    assert len(said) == 1
    assert said[0].startswith("step 1,500: D wins since step 550")
    page = (tmp_path / "run/report.html").read_text()
    assert "D wins since step 550" in page
    assert '<line class="mark"' in page
    log = lines(tmp_path / "run/log.jsonl")
    assert log[-1]["real_logit"] > 1 > -1 > log[-1]["fake_logit"]


def test_image_tasks_are_watched_by_their_outputs(tmp_path, run_of, monkeypatch):
    options = {"train__steps": 2, "train__health_every": 2, "train__metric_every": 2, "train__metric_n": 6}
    config = run_of("pix2pix", train__sample_every=0, **options)
    monkeypatch.setattr(monitors, "REFERENCE", 20)
    training.train(config, out=tmp_path / "run")
    (row,) = lines(tmp_path / "run/metrics.jsonl")
    assert row["metric"] == "kid6_efficientnet-lite0_lanczos_test"
    (row,) = lines(tmp_path / "run/health.jsonl")
    assert 0 < row["diversity"] < 1


def test_two_replicas_are_watched_too(tmp_path, run_of, pictures):
    fid = {"train__metric": "fid_fashion-cnn_bilinear", "train__steps": 4, "train__health_every": 4}
    training.train(watched(run_of, pictures, model__ema_decay=0.5, **fid), out=tmp_path / "run", strategy="mirrored")
    (row,) = lines(tmp_path / "run/metrics.jsonl")
    assert (row["step"], row["metric"]) == (4, "fid12_fashion-cnn_bilinear_train")
    assert row["value"] > 0
    assert "std" not in row
    assert [row["step"] for row in lines(tmp_path / "run/health.jsonl")] == [4]


# ---- refusals --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"train.metric_every": 2, "train.metric": "kidd_x"}, 'There is no metric "kidd"'),
        ({"train.metric_every": 2, "train.metric": "l1"}, "train.metric is a kid or fid with its extractor"),
        ({"train.metric_every": 2, "train.metric": "kid"}, 'Received "kid"'),
        ({"train.metric_every": 2, "train.metric": "kid_vgg"}, 'Unknown feature extractor "vgg"'),
        ({"train.stop.patience": 2}, "stop.patience counts evaluations: set metric_every too"),
        ({"train.stop.d_wins": True, "train.health_every": 0}, "health_every must not be 0"),
        ({"train.stop.patients": 2}, 'Did you mean "patience"?'),
    ],
)
def test_settings_that_mean_nothing_are_refused_before_anything_is_written(changes, sentence, tmp_path, run_of):
    with pytest.raises(GanzooError) as error:
        training.train(run_of("gan"), out=tmp_path / "run", overrides=changes)
    assert sentence in str(error.value)
    assert not (tmp_path / "run").exists() or not any((tmp_path / "run").iterdir())


def test_intervals_and_rules_may_change_on_resume_and_the_metric_may_not(whole, tmp_path):
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    with pytest.raises(GanzooError, match=r"train\.metric_n was 12, now 13"):
        training.train(str(run / "config.toml"), out=run, resume=True, overrides={"train.metric_n": 13})
    changed = {"train.health_every": 0, "train.metric_every": 6, "train.stop.patience": 100}
    assert training.train(str(run / "config.toml"), out=run, resume=True, overrides=changed).stopped == "done"
    assert presets.run_config(run / "config.toml").train.stop.patience == 100
