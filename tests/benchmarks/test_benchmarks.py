"""The benchmarks: that PyTorch's side is the same network and update, and that what is measured is printed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from benchmarks import measure, scaling, startup, timing, train_step
from ganzoo import importers, presets, zoo
from ganzoo.layers import MaskedDropout

ROOT = Path(__file__).resolve().parents[2]
CASE = {"preset": "gan/fashion-28", "precision": "float32", "batch_size": 4}
COMPARED = (  # of both sides; the sizes stand next to the twins
    "3d-gan/furniture-32", "age-cgan/faces-64", "age-cgan/imdb-wiki-64", "anime/lorelei-64", "biggan/cifar-32",
    "biggan/fashion-32", "context-encoder/photos-128", "cyclegan/fluent2noto-64", "cyclegan/horse2zebra-128", "dcgan/fashion-32",
    "dcgan/pytorch-64", "dtn/digits-32", "gan/fashion-28", "pix2pix/edges2emoji-128", "pix2pix/facades-256",
    "pix2pix/lines2colour-64", "stylegan-lite/lorelei-64", "text-to-image/lorelei-64", "wgan-gp/cifar-32", "wgan-gp/fashion-32",
)  # fmt: skip
STEPS = 3
# Of WGAN-GP's dense layers, which make and read the 4x4 maps: the axis of their positions and channels.
GRIDS = {"project/kernel": 1, "project/bias": 0, "project_norm/gamma": 0, "project_norm/beta": 0, "score/kernel": 0}


# ---- the same network and update in PyTorch ---------------------------------------------------------------------------
def tiny(name, sizes):
    """The preset's options for a small network in float32."""
    config = presets.run_config(name, {"train.precision": "float32", "train.batch_size": 4})
    train = config.train.model_copy(update={"stability": None})  # the twins have none of it
    return config.model_copy(update={"model": sizes, "train": train})


def turned(array, path):
    """A variable of a network turned by 180 degrees, with the maps' channels before their positions as PyTorch has them."""
    if array.ndim == 4:
        return array[::-1, ::-1]
    if path not in GRIDS:
        return array
    axis = GRIDS[path]
    grid = array.reshape(*array.shape[:axis], 16, -1, *array.shape[axis + 1 :])
    return np.flip(grid, axis).swapaxes(axis, axis + 1).reshape(array.shape)


def copy_weights(network, module, torch, turn=False):
    """Trainable variables of the Keras network into the PyTorch module, in order, by layout."""
    layouts = {5: (4, 3, 0, 1, 2), 4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}
    for variable, parameter in zip(network.trainable_variables, module.parameters(), strict=True):
        array = turned(np.array(variable), variable.path) if turn else np.array(variable)
        if variable.path.endswith("const"):  # one image, not a kernel
            array = array.transpose(1, 2, 3, 0)
        parameter.data.copy_(torch.from_numpy(array.transpose(layouts[array.ndim]).copy()))


def test_every_small_size_is_compared():
    pytest.importorskip("torch")
    from benchmarks.torch_models import TWINS

    assert sorted(COMPARED) == sorted(name for twin in TWINS.values() for name in twin.tiny)


@pytest.mark.parametrize("name", COMPARED)
def test_pytorch_trains_as_ganzoo_does(name, monkeypatch):
    """Equal weights, batch and noise give equal losses for several steps: networks, losses, order and optimizers agree."""
    torch = pytest.importorskip("torch")
    from benchmarks import torch_models

    torch.set_num_threads(1)  # OpenMP threads that spin would fight TensorFlow's
    keras.utils.set_random_seed(0)  # Adam's first steps are signs: of some weights, rounding turns one
    torch.manual_seed(0)
    twin = torch_models.TWINS[name.partition("/")[0]]
    sizes = twin.tiny[name]
    config = tiny(name, sizes)
    model, update = zoo.build(config), torch_models.Update(config)
    model.start_segment(measure.measured_part(model, config.train))
    for name_of, module in update.networks.items():
        if twin.named:  # its networks have branches
            script = {"script": sizes["script"]} if name_of == "discriminator" and "script" in sizes else {}
            imported = importers.build(f"{config.name}.{name_of}", module.state_dict(), **script)
            getattr(model, name_of).set_weights(imported.get_weights())
            model.ema_generator.set_weights(model.generator.get_weights())
            continue
        if (
            not module.training
        ):  # f, which stands: with kernels as a training begins it says next to nothing of a picture
            for variable in getattr(model, name_of).trainable_variables:
                variable.assign(8 * variable if len(variable.shape) == 4 else variable)
        copy_weights(getattr(model, name_of), module, torch, twin.turned)
    if update.average is not None:
        update.average.load_state_dict(update.generator.state_dict())
    rng = np.random.default_rng(0)
    size = sizes.get("image_size", 32)
    shapes = {key: [4, *(n or size for n in spec.shape[1:])] for key, spec in model.batch_signature().items()}
    batch = {key: rng.uniform(-1, 1, shape).astype(np.float32) for key, shape in shapes.items()}
    if "label" in batch:
        batch["label"] = rng.integers(model.label_classes, size=4)
    seen = {key: array[:, ::-1, ::-1] if twin.turned and array.ndim == 4 else array for key, array in batch.items()}
    torch_batch = {
        key: torch.from_numpy((np.moveaxis(array, -1, 1) if array.ndim > 1 else array).copy())
        for key, array in seen.items()
    }
    uniform = rng.uniform(0, 1, (4, sizes.get("latent_dim", 1))).astype(np.float32)
    without_chance(model, update, uniform, torch, monkeypatch)
    before = {key: weights_of(model, update, key) for key in update.networks}

    for _ in range(STEPS):
        for tracker in model.metrics:
            tracker.reset_state()
        ours = model.train_step({key: tf.constant(array) for key, array in batch.items()})
        theirs = update.step(torch_batch)
        for key in set(theirs) - {"fooled"}:  # a share of signs, which rounding turns where a logit is near zero
            assert float(ours[key]) == pytest.approx(float(theirs[key]), rel=2e-3, abs=1e-5), key
    for key, sides in before.items():  # a few small steps of G alone would hardly show in the losses
        ours, theirs = (np.abs(b - a).sum() for a, b in zip(sides, weights_of(model, update, key), strict=True))
        assert ours == pytest.approx(theirs, rel=0.05, abs=1e-6), key
    if update.average is not None:
        ours = np.concatenate([np.ravel(v) for v in model.ema_generator.weights if v.name != "noise"])
        theirs = np.concatenate(
            [p.numpy().ravel() for key, p in update.average.state_dict().items() if "num_" not in key]
        )
        assert np.abs(ours).sum() == pytest.approx(np.abs(theirs).sum(), rel=1e-4)


def weights_of(model, update, name):
    """All that a network may train, of ours and in PyTorch, each in its own order."""
    ours = [np.ravel(variable) for variable in getattr(model, name).trainable_variables]
    theirs = [parameter.detach().numpy().flatten() for parameter in update.networks[name].parameters()]
    return np.concatenate(ours), np.concatenate(theirs)


def without_chance(model, update, uniform, torch, monkeypatch):
    """The same latents on both sides, and no dropout in a discriminator."""
    if model.has_styles:
        rng = np.random.default_rng(1)
        drawn = {width: rng.normal(size=(4, *width)).astype(np.float32) for width in ((2, 6), (672,))}
        monkeypatch.setattr(model, "noise", lambda draw, stream, rows, shape: tf.constant(drawn[tuple(shape)]))
        monkeypatch.setattr(update, "normal", lambda rows, *shape: torch.from_numpy(drawn[shape]))
        value = rng.normal(size=model.generator.synthesis.const.shape).astype(np.float32)  # ones: a constant map, 0 / 0
        model.generator.synthesis.const.assign(value)
        update.generator.synthesis.constant.data.copy_(torch.from_numpy(value.transpose(0, 3, 1, 2)))
        model.ema_generator.set_weights(model.generator.get_weights())
        update.average.load_state_dict(update.generator.state_dict())
    elif model.task != "image" or model.from_noise:

        def drawn(draw, stream, rows, shape=()):
            if "labels" in stream:
                return tf.ones([rows], tf.int64)
            return tf.constant(uniform)[:rows] if "latents" in stream else tf.zeros([rows, *shape])

        monkeypatch.setattr(model, "noise", drawn)
        monkeypatch.setattr(update, "chance", lambda *shape: torch.zeros(shape))
        monkeypatch.setattr(update, "latents", lambda rows: torch.from_numpy(uniform)[:rows])
        monkeypatch.setattr(update, "labels", lambda rows: torch.ones(rows, dtype=torch.int64))
        monkeypatch.setattr(update, "uniform_latents", lambda rows, low, high: torch.from_numpy(uniform))
        for layer in model.discriminator.layers:
            if isinstance(layer, MaskedDropout):
                layer.rate = 0.0
        for module in update.discriminator.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0


@pytest.mark.parametrize("name", [*train_step.PRESETS, "dcgan/lsun-64", "wgan-gp/cifar-32"])
def test_pytorch_has_the_parameters_of_the_preset(name):
    torch = pytest.importorskip("torch")
    from benchmarks import torch_models

    config = presets.run_config(name)
    others = ("ema_decay", "latent_distribution", "l1_weight", "cycle_weight", "identity_weight", "pool_size")
    others += ("accuracy_limit",)
    sizes = {key: value for key, value in config.model.items() if key not in others}
    with torch.device("meta"):
        modules = torch_models.networks(config.name, sizes)
    model = zoo.build(config)
    for name_of, module in modules.items():
        variables = getattr(model, name_of).trainable_variables
        twice = sum(
            p.numel() for key, p in module.named_parameters() if key.startswith("rnn.bias_hh")
        )  # torch's LSTM adds two
        assert sum(p.numel() for p in module.parameters()) - twice == sum(
            v.value.shape.num_elements() for v in variables
        )


def test_of_dtn_pytorch_has_the_digits_alone():
    pytest.importorskip("torch")
    from benchmarks.torch_dtn import dtn

    with pytest.raises(NotImplementedError, match="face-descriptor"):
        dtn(presets.run_config("dtn/faces2lorelei-64").model)


def test_pytorch_is_measured_without_tensorflow():
    """Loaded, it would be most of PyTorch's memory; so what the twins have of a paper's is written there again."""
    pytest.importorskip("torch")
    from benchmarks import torch_text
    from ganzoo.models._text_encoder import ALPHABET

    assert torch_text.ALPHABET == ALPHABET
    words = "import sys, benchmarks.measure, benchmarks.torch_models; print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == ["False"]


def test_schedules_of_the_pytorch_side():
    torch = pytest.importorskip("torch")
    from benchmarks.torch_models import Player

    def rates(table, steps=3):
        layer = torch.nn.Linear(1, 1)
        player, seen = Player(presets.OptimizerConfig(**table), layer), []
        for _ in range(steps):
            player.minimize(layer(torch.ones(1, 1)).sum())
            group = player.optimizer.param_groups[0]
            seen.append((round(group["lr"], 6), round(group.get("momentum", 0.0), 6)))
        return seen

    assert rates({"learning_rate": 0.1, "constant_steps": 1, "decay_steps": 2}) == [(0.1, 0.0), (0.1, 0.0), (0.05, 0.0)]
    falling = {"learning_rate": 0.1, "constant_steps": 2, "decay_steps": 2, "epoch_steps": 2}
    assert rates(falling, 5) == [(0.1, 0.0), (0.1, 0.0), (0.05, 0.0), (0.05, 0.0), (0.0, 0.0)]
    rising = {"name": "sgd", "learning_rate": 0.1, "decay": 2.0, "learning_rate_min": 0.04, "momentum": 0.5}
    rising |= {"momentum_end": 0.7, "momentum_steps": 2}
    assert rates(rising) == [(0.1, 0.5), (0.05, 0.6), (0.04, 0.7)]


# ---- measuring --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["age-cgan/faces-64", "biggan/fashion-32", "dtn/digits-32", "gan/fashion-28"])
def test_made_up_batches_are_what_the_model_trains_on(name):
    config = presets.run_config(name, {"train.batch_size": 2})
    model, batch = zoo.build(config), measure.arrays(config)
    wanted = {
        key: [2, *(size or config.data.size for size in spec.shape[1:])]
        for key, spec in model.batch_signature().items()
    }
    assert {key: list(array.shape) for key, array in batch.items()} == wanted
    assert measure.classes(config) == (model.label_classes if "label" in wanted else 0)


@pytest.mark.parametrize(
    ("name", "part"), [("age-cgan/faces-64", "cgan"), ("dtn/digits-32", "gan"), ("gan/fashion-28", "")]
)
def test_the_part_of_a_run_that_trains_g_is_measured(name, part):
    config = presets.run_config(name)
    assert measure.measured_part(zoo.build(config), config.train).part == part


def test_what_steadies_a_preset_is_not_measured():
    """Its twin has no R1 and no augmentation."""
    config = measure.options("pix2pix/edges2emoji-128", "float32", 2)
    assert config.train.stability.r1_gamma > 0
    model, _ = measure.keras_model(config)
    assert model.stability == type(model.stability)()


def test_measurements_of_a_small_case():
    step = measure.step(**CASE, seconds=0.0)
    assert step["ms"] > 0
    assert step["calls"] == timing.FEWEST
    assert step["peak_mib"] > 100
    fit = measure.fit(**CASE, seconds=0.0)
    assert fit["overhead"] == pytest.approx(fit["fit_ms"] / fit["bare_ms"] - 1, abs=1e-3)
    data = measure.data(**CASE, seconds=0.0)
    assert data["ms"] > 0
    assert not data["stand_in"]


def test_a_missing_data_set_is_stood_in_for():
    """facades is not bundled: made-up pairs in its layout go through the same pipeline, and the table says so."""
    found = measure.data("pix2pix/facades-256", "float32", 1, 0.0)
    assert found["stand_in"]
    assert found["items"] == measure.PAIRS


def test_torch_is_measured_or_its_absence_told(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    assert measure.torch_step(**CASE, seconds=0.0) == {"missing": "torch"}


def test_cases_are_presets_at_their_batch_size():
    found = train_step.cases(["gan", "dcgan/lorelei-64", "pix2pix/facades-256"])
    assert [(c["preset"], c["precision"], c["batch_size"]) for c in found] == [
        ("gan/fashion-28", "float32", 100),
        ("dcgan/lorelei-64", "float32", 64),
        ("dcgan/lorelei-64", "bfloat16", 64),
        ("pix2pix/facades-256", "float32", 1),
        ("pix2pix/facades-256", "bfloat16", 1),
    ]
    assert len(train_step.cases(["dcgan/lorelei-64"], ["bfloat16"])) == 1


def test_a_failed_process_is_told_and_the_rest_goes_on():
    found = train_step.child("step", CASE | {"preset": "gan/fashion-82"}, 0.0)
    assert "fashion-28" in found["error"]
    rows = [CASE | {"step": found, "torch": {"missing": "torch"}, "fit": found, "data": found}]
    text = train_step.table(rows)
    assert train_step.INSTALL in text
    assert "step failed" in text
    assert train_step.brief(rows[0]).startswith(
        f"gan/fashion-28 float32: step ms -, torch ms {train_step.INSTALL}, step failed: "
    )


def test_the_table_shows_each_number(monkeypatch, tmp_path, capsys):
    answers = {
        "rates": {"gflops": 100.0, "gbytes": 10.0},
        "step": {"ms": 50.0, "peak_mib": 600.0, "work": {"flops": 2e9, "bytes": 2**28, "uncounted": 0}},
        "torch": {"ms": 60.0, "peak_mib": 400.0},
        "fit": {"bare_ms": 50.0, "fit_ms": 51.0, "overhead": 0.02},
        "data": {"ms": 0.5, "stand_in": True, "items": 32},
        "profile": {"operations": {"Conv2D": 7.0, "MatMul": 3.5}, "layers": {"generator/up1": 10.5}},
    }
    asked = []
    monkeypatch.setattr(train_step, "child", lambda kind, case, seconds: asked.append(kind) or answers[kind])
    arguments = ["--presets", "gan", "--seconds", "1", "--profile", "--json", str(tmp_path / "x.json")]
    assert train_step.main(arguments) == 0
    assert asked == ["rates", "step", "torch", "torch", "step", "fit", "data", "profile"]
    out = capsys.readouterr().out
    line = next(line for line in out.splitlines() if line.startswith("gan/fashion-28"))
    assert line.split() == [
        "gan/fashion-28",
        "float32",
        "100",
        "50.0",
        "2000.0",
        "600",
        "+2.0%",
        "1.0%*",
        "60.0",
        "400",
        "1.20",
        "2.0",
        "256",
        "26.8",  # 2^28 bytes at 10 GB/s take longer than 2 GFLOP at 100 GFLOP/s
        "memory",
        "54%",
    ]
    assert "made-up" in out
    assert "100 GFLOP/s of matrix products, 10.0 GB/s of memory" in out
    assert "  MatMul           3.5" in out
    written = json.loads((tmp_path / "x.json").read_text())
    assert written["rows"][0]["step"]["ms"] == 50.0
    assert written["rows"][0]["profile"] == answers["profile"]
    assert written["machine"]["versions"]["tensorflow"]


def test_an_interrupted_run_leaves_the_rows_that_it_measured(monkeypatch, tmp_path, capsys):
    """Each row is told, and stands in the file, before the next one begins."""
    answers = {"step": {"ms": 50.0, "peak_mib": 600.0}, "torch": {"ms": 60.0, "peak_mib": 400.0}}
    answers |= {kind: {"error": "no memory"} for kind in ("rates", "fit", "data")}

    def child(kind, case, seconds):
        if case.get("preset") == "dcgan/fashion-32":
            raise KeyboardInterrupt
        return answers[kind]

    monkeypatch.setattr(train_step, "child", child)
    file = tmp_path / "new" / "x.json"
    with pytest.raises(KeyboardInterrupt):
        train_step.main(["--presets", "gan", "dcgan/fashion-32", "--precision", "float32", "--json", str(file)])
    told = "gan/fashion-28 float32: step ms 50.0, torch ms 60.0, torch/ganzoo 1.20, fit failed: no memory, data failed: no memory"
    assert told in capsys.readouterr().err.splitlines()
    assert [row["preset"] for row in json.loads(file.read_text())["rows"]] == ["gan/fashion-28"]


def test_bad_arguments_are_refused(capsys):
    for arguments in (["--presets", "gann"], ["--rounds", "0"], ["--seconds", "-1"]):
        with pytest.raises(SystemExit, match="2"):
            train_step.main(arguments)
    assert "gan" in capsys.readouterr().err


def test_startup_times_cold_processes(monkeypatch, tmp_path, capsys):
    assert [name for name in startup.commands() if name.startswith("ganzoo")] == [
        "ganzoo --help",
        "ganzoo list",
        "ganzoo card dcgan",
    ]
    quick = {
        "fine": (["-c", "pass"], 30.0),
        "slow": (["-c", "pass"], 0.0),
        "broken": (["-c", "raise ValueError('no')"], 9.0),
    }
    monkeypatch.setattr(startup, "commands", lambda: quick)
    monkeypatch.setattr(startup, "OURS", "print('[0.1, 0.25, 0.05]')")
    assert startup.main(["--runs", "1", "--json", str(tmp_path / "x.json")]) == 1
    out = capsys.readouterr().out
    assert "SLOW" in out
    assert "ValueError: no" in out
    assert " 0.400 s cpu  SLOW, limit 0.3 s (import 0.100, load 0.250, first sample 0.050)" in out
    assert [row["ok"] for row in json.loads((tmp_path / "x.json").read_text())] == [True, False, False, False]


# ---- scaling ---------------------------------------------------------------------------------------------------------
MEASURED = {
    "alone": 0.100, "apart": 0.115, "seconds": 0.120, "compute": 0.098, "wait": 0.004, "transfer": 0.015, "bytes": 2**20, "reductions": 4,
    "all_reduce": 0.011, "latency": 0.001,
}  # fmt: skip


def test_the_cost_model_in_numbers():
    """Two: 100 ms + (1 of the bytes) 10 ms + (1 hop pair of 1 ms) x 4 all-reduces. Eight: 100 + 2 * 7/8 * 10 + 7 * 4."""
    assert scaling.predicted(MEASURED, 2) == pytest.approx(0.114)
    assert scaling.predicted(MEASURED, 8) == pytest.approx(0.1455)
    assert scaling.efficiency(0.1, 0.125) == pytest.approx(0.8)


def test_a_cost_model_that_is_off_prints_no_rows():
    lines = scaling.table(MEASURED, 64)
    assert "2 workers" in lines[1]
    assert "0.83 of twice one (goal 0.8: reached)" in lines[1]
    assert "cost model: 114.0 ms a step of two, -5.0% of the measured" in lines
    assert lines[2].endswith("two workers reach 0.96 of it")
    assert [line.split()[0] for line in lines[-8:]] == ["8", "16", "32", "64", "128", "256", "512", "1024"]
    assert lines[-8].split()[1:] == ["145.5", "3519", "0.69"]
    off = scaling.table(MEASURED | {"seconds": 0.150}, 64)
    assert "goal 0.8: missed" in off[1]
    assert off[-1].startswith(
        "No rows for more workers: a model that is 24% off for two (limit 15%) says nothing of 8 to 1024."
    )


@pytest.mark.slow
def test_two_pinned_workers_are_measured():
    """Real processes, few steps of a small batch: every part is there, and the parts are the step."""
    request = {"preset": "gan/fashion-28", "precision": "float32", "batch_size": 4, "steps": 4}
    results = scaling.run(request, sorted(os.sched_getaffinity(0))[:2] * (1 if timing.cores() > 1 else 2))
    assert len(results) == 2
    for result in results:
        assert min(result[part] for part in ("seconds", "compute", "wait", "transfer", "latency", "all_reduce")) > 0
        # Of every trained number of both players, four bytes; two all-reduces at least carry them.
        assert result["bytes"] == 4 * sum(presets.read("gan").paper.params.values())
        assert result["reductions"] >= 2
    with pytest.raises(RuntimeError, match="nosuch"):
        scaling.run(request | {"preset": "nosuch"}, [0])
