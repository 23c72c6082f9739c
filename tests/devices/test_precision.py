"""What float16 and bfloat16 do to a step; micro-batches, several steps a call and XLA, which must change nothing."""

import hashlib
import itertools
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

from ganzoo import penalties, presets, training, weights
from ganzoo.base import BaseGAN
from ganzoo.devices import precision, strategies
from ganzoo.errors import GanzooError
from ganzoo.training import accumulation, jit_probe


def built(name, number="float32", *, strategy="one", **overrides):
    with strategies.choose(strategy).scope(), precision.policy(number):
        return tiny.build(name, **overrides)


def stepped(model, parts=1, steps=2, batch_size=8):
    """The training state after some steps of `fit`."""
    if parts > 1:
        model.train_step = accumulation.in_parts(model, parts)
    model.fit(tiny.batches(model, batch_size), steps_per_epoch=steps, verbose=0, shuffle=False)
    return weights.to_arrays(model.training_state())


def newest(run):
    return hashlib.sha256(max((run / "checkpoints").iterdir()).read_bytes()).hexdigest()


# ---- which precision -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("fpu avx512f avx512_bf16 sha_ni", True),
        ("fpu amx_bf16", True),
        ("fpu avx2 avx512f", False),
        ("fpu avx512_bf16x", False),
    ],
)
def test_a_cpu_computes_bfloat16_if_its_flags_say_so(tmp_path, flags, expected):
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: {flags}\nbugs\t\t: spectre\n")
    assert precision.computes_bfloat16(tmp_path / "cpuinfo") is expected


def test_a_preset_in_bfloat16_is_a_wish_and_an_explicit_one_an_order(tmp_path):
    assert not precision.computes_bfloat16(tmp_path / "no such file")
    assert presets.read("dcgan").presets["lorelei-64"].train.precision == "bfloat16", "what its weights were trained in"
    assert presets.run_config("dcgan/lorelei-64").train.precision == "auto"
    own = tmp_path / "own.toml"
    own.write_text('extends = "dcgan/lorelei-64"\n[train]\nprecision = "bfloat16"\n')
    assert presets.run_config(own).train.precision == "bfloat16"
    assert precision.resolve("bfloat16") == ("bfloat16", "")
    number, why = precision.resolve("auto")
    assert number == ("bfloat16" if precision.computes_bfloat16() else "float32")
    assert why.startswith(f"Training in {number}")


def test_what_auto_came_to_is_recorded_and_stands_on_resume(tmp_path, run_of, capsys):
    def recorded(folder):
        return presets.run_config(folder / "config.toml").train.precision

    options = {"train__steps": 1, "train__sample_every": 0}
    training.train(run_of("gan", train__precision="auto", **options), out=tmp_path / "auto", strategy="one")
    assert recorded(tmp_path / "auto") == precision.resolve("auto")[0]
    assert precision.resolve("auto")[1] in capsys.readouterr().err
    training.train(run_of("gan", train__precision="bfloat16", **options), out=tmp_path / "half", strategy="one")
    assert "Training in" not in capsys.readouterr().err
    more = run_of("gan", train__precision="auto", train__steps=2, train__sample_every=0)
    training.train(more, out=tmp_path / "half", resume=True, strategy="one")
    assert recorded(tmp_path / "half") == "bfloat16", "of whatever device the run goes on"


# ---- float16 ---------------------------------------------------------------------------------------------------------
def test_float16_scales_the_loss_and_the_gradients_are_those_of_float32():
    found = {}
    for number in ("float32", "float16"):
        model = built("pix2pix", number, norm="none")
        first, target = model.unpack(tiny.batch(model))
        with tf.GradientTape(persistent=True) as tape:
            logits = model.discriminator(tf.concat([first, target], -1), training=True)
            loss = 1e-3 * tf.reduce_mean(logits)
        assert logits.dtype == tf.float32, "the last layer"
        found[number] = model.gradients(tape, loss, "d_optimizer"), model
    gradients, model = found["float16"]
    assert isinstance(model.d_optimizer, keras.optimizers.LossScaleOptimizer)
    assert not isinstance(found["float32"][1].d_optimizer, keras.optimizers.LossScaleOptimizer)
    kernel = model.discriminator.get_layer("conv1").kernel.value
    assert not np.any(tape.gradient(loss, kernel)), "without the scale it is below what float16 can tell from zero"
    scale = float(model.d_optimizer.dynamic_scale.numpy())
    assert scale == 2**15
    for whole, scaled in zip(found["float32"][0], gradients, strict=True):
        np.testing.assert_allclose(scaled / scale, whole, rtol=0.05, atol=0.01 * float(tf.reduce_max(tf.abs(whole))))


@pytest.mark.parametrize("strategy", ["one", "mirrored"])
def test_an_overflow_of_one_row_leaves_the_step_out_and_halves_the_scale(strategy):
    """Rows 4 to 7 are the second replica's: the first one must not step alone."""
    model = built("gan", "float16", strategy=strategy)
    batch = {key: value.numpy() for key, value in tiny.batch(model, 8).items()}
    model.d_optimizer.dynamic_scale.assign(2.0**22)
    before = weights.to_arrays(model.training_state())
    bad = {"image": batch["image"].copy()}
    bad["image"][7] *= 60_000  # a loss that is finite, and scaled gradients that are not
    data = tf.data.Dataset.from_tensors(bad).repeat()
    model.fit(data, steps_per_epoch=1, verbose=0, shuffle=False)
    after = weights.to_arrays(model.training_state())
    for key, value in after.items():
        if key.startswith(("discriminator/", "d_optimizer/")) and "scale" not in key:
            np.testing.assert_array_equal(value, before[key], err_msg=key)
    (scale,) = (key for key in after if key.startswith("d_optimizer/") and key.endswith("dynamic_scale"))
    assert (before[scale], after[scale]) == (2**22, 2**21)
    assert any(not np.array_equal(after[key], before[key]) for key in after if key.startswith("generator/"))
    model.fit(tf.data.Dataset.from_tensors(batch).repeat(), steps_per_epoch=1, verbose=0, shuffle=False)
    last = weights.to_arrays(model.training_state())
    assert last[scale] == 2**21
    assert not np.array_equal(last["discriminator/logit/bias"], before["discriminator/logit/bias"])


def test_a_float16_run_resumes_exactly(tmp_path, run_of):
    def config(steps):
        return run_of("gan", train__steps=steps, train__precision="float16", train__sample_every=0)

    training.train(config(4), out=tmp_path / "whole", strategy="one")
    training.train(config(2), out=tmp_path / "broken", strategy="one")
    training.train(config(4), out=tmp_path / "broken", strategy="one", resume=True)
    assert newest(tmp_path / "whole") == newest(tmp_path / "broken")
    arrays, _ = weights.read(max((tmp_path / "whole/checkpoints").iterdir()))
    assert {arrays[f"{p}_optimizer/{p}_optimizer_scale/dynamic_scale"].item() for p in "gd"} == {2**15}


def test_penalties_are_float32_in_every_precision():
    values = {}
    for number in ("float32", "bfloat16", "float16"):
        model = built("stylegan-lite", number, r1_gamma=1.0)
        image = tiny.batch(model)["image"]
        found = penalties.r1(lambda images, model=model: model.judge(images, None), image)
        assert found.dtype == tf.float32
        values[number] = float(found)
    assert values["float16"] == pytest.approx(values["float32"], rel=0.02)
    assert values["bfloat16"] == pytest.approx(values["float32"], rel=0.1)


# ---- gradient accumulation -------------------------------------------------------------------------------------------
PLAIN = {"gan": {}, "pix2pix": {"norm": "none"}, "cyclegan": {}}  # no batch norm; with averages, and with histories


def sgd(name, **options):
    """Adam would make whole steps of rounding noise where a gradient is all but zero."""
    model = built(name, **PLAIN[name], **options)
    model.compile(**{player: keras.optimizers.SGD(0.05, 0.5, name=player) for player in model.players})
    return model


@pytest.mark.parametrize("name", PLAIN)
def test_micro_batches_move_the_weights_as_the_whole_batch_does(name):
    whole, parts = sgd(name), sgd(name)
    expected, found = stepped(whole), stepped(parts, parts=4)
    assert expected.keys() == found.keys()
    for key, value in expected.items():
        # A history holds pictures, made by weights that differ by rounding; how far it comes depends on how many threads sum.
        close = 1e-5 if key.endswith("/images") else 2e-6
        np.testing.assert_allclose(found[key], value, atol=close, rtol=1e-5, err_msg=key)
    for key in whole.logs:
        assert float(parts.trackers[key].result()) == pytest.approx(float(whole.trackers[key].result()), abs=1e-5), key
    assert found["step"] == 2


def test_micro_batches_of_two_replicas_move_the_weights_as_one_batch():
    expected = stepped(sgd("gan"))
    with strategies.choose("mirrored").scope():
        found = stepped(sgd("gan", strategy="mirrored"), parts=2)
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, atol=1e-6, rtol=1e-5, err_msg=key)


def test_batch_statistics_are_assigned_once_and_are_the_mean_of_the_micro_batches():
    """The generator's first norm sees a linear map of the noise: its mean is that of the whole batch."""
    expected, found = stepped(built("dcgan"), steps=1), stepped(built("dcgan"), parts=2, steps=1)
    key = "generator/project_norm/moving_mean"
    assert np.abs(expected[key]).max() > 1e-4
    np.testing.assert_allclose(found[key], expected[key], atol=1e-7)
    np.testing.assert_array_equal(found[f"ema_{key}"], found[key])


class Chase(BaseGAN):
    """G(z) = w z follows D(x) = v x, which moves `turns` times in a step, each time on rows of its own; both losses are
    squares, so that every update depends on the ones before it. `numbered`: as the base asks for."""

    paper, task, logs = "chase", "latent", ("d_loss", "g_loss", "level")
    turns, numbered = 3, True

    def __init__(self):
        super().__init__(locals())

        def network():
            x = keras.Input((1,))
            return keras.Model(x, keras.layers.Dense(1, use_bias=False, kernel_initializer="ones", name="w")(x))

        self.register_networks(generator=network, discriminator=network)
        self.compile(**{player: keras.optimizers.SGD(0.02, 0.5, name=player) for player in self.players})

    @property
    def updates(self):
        return {"d_optimizer": 3, "g_optimizer": 1}

    def train_step(self, data):
        (x,) = self.unpack(data)
        for turn in range(self.turns):
            rows = x[turn :: self.turns]
            rows += self.noise(tf.random.stateless_normal, f"x{turn}", tf.shape(rows)[0], [1])
            with tf.GradientTape() as tape:
                d_loss = tf.reduce_mean((self.discriminator(rows) - self.generator(rows) - 1.0) ** 2)
            self.minimize(tape, d_loss, "d_optimizer", *([turn] if self.numbered else []))
            level = tf.reduce_mean(self.discriminator(rows))
        with tf.GradientTape() as tape:
            g_loss = tf.reduce_mean((self.generator(x) - self.discriminator(x)) ** 2)
        self.minimize(tape, g_loss, "g_optimizer")
        return self.log(d_loss=d_loss, g_loss=g_loss, level=level)

    def batch_signature(self):
        return {"image": tf.TensorSpec([None, 1], tf.float32)}


@pytest.mark.parametrize(("parts", "strategy"), [(2, "one"), (4, "one"), (1, "mirrored"), (2, "mirrored")])
def test_every_update_of_a_player_that_moves_several_times_is_kept(parts, strategy):
    whole = Chase()
    expected = stepped(whole, batch_size=24)
    assert expected["d_optimizer/d_optimizer/iteration"] == 6
    with strategies.choose(strategy).scope():
        found = stepped(model := Chase(), parts, batch_size=24)
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, rtol=1e-5, err_msg=key)
    logged = {key: float(whole.trackers[key].result()) for key in ("d_loss", "g_loss")}
    assert {key: float(model.trackers[key].result()) for key in logged} == pytest.approx(logged, rel=1e-5)


@pytest.mark.parametrize(
    ("change", "parts", "sentence"),
    [
        ({"numbered": False}, 2, r"minimize twice for turn 0 of d_optimizer .* Declare them in Chase\.updates"),
        ({"turns": 4}, 1, r"declares 3 update\(s\) of d_optimizer in a step, .* turn = 3"),
        ({"turns": 4}, 2, r"declares 3 update\(s\) of d_optimizer in a step, .* turn = 3"),
    ],
)
def test_an_update_that_is_not_declared_is_refused(change, parts, sentence, monkeypatch):
    for key, value in change.items():
        monkeypatch.setattr(Chase, key, value)
    with pytest.raises(GanzooError, match=sentence):
        stepped(Chase(), parts, batch_size=24)


@pytest.mark.parametrize("parts", [1, 2])
def test_a_player_that_is_not_due_sits_the_step_out(parts, monkeypatch):
    monkeypatch.setattr(
        Chase, "due", lambda self, player: self.step.value % 2 == 1 if player == "g_optimizer" else True
    )
    model, seen = Chase(), []
    for _ in range(4):
        state = stepped(model, parts, steps=1, batch_size=24)
        seen.append((int(state["g_optimizer/g_optimizer/iteration"]), float(state["generator/w/kernel"][0, 0])))
    assert [count for count, _ in seen] == [0, 1, 1, 2]
    weights_of_g = [1.0, *(weight for _, weight in seen)]
    assert [a != b for a, b in itertools.pairwise(weights_of_g)] == [False, True, False, True]


@pytest.mark.parametrize(
    ("name", "overrides", "sentence"),
    [
        ("text-to-image", {}, "the sentences of its last batches"),
        ("stylegan-lite", {"augment": "color", "ada_target": 0.6}, "ADA's p"),
    ],
)
def test_what_cannot_be_divided_is_named(name, overrides, sentence):
    with pytest.raises(GanzooError, match=f"{name} cannot train in micro-batches because of {sentence}"):
        accumulation.in_parts(built(name, **overrides), 2)


# ---- several steps a call, XLA ---------------------------------------------------------------------------------------
def test_several_steps_a_call_leave_the_same_files(tmp_path, run_of):
    for count in (1, 5):
        config = run_of("gan", train__steps=20, train__steps_per_execution=count)
        training.train(config, out=tmp_path / str(count), strategy="one")
    assert newest(tmp_path / "1") == newest(tmp_path / "5")
    names = [sorted(str(p.relative_to(run)) for p in run.rglob("*.*")) for run in (tmp_path / "1", tmp_path / "5")]
    kept = [[n for n in found if not n.startswith("tensorboard")] for found in names]
    assert kept[0] == kept[1]
    assert (tmp_path / "1/samples/000010.png").read_bytes() == (tmp_path / "5/samples/000010.png").read_bytes()
    broken = run_of("gan", train__steps=20, train__steps_per_execution=1)
    training.train(presets.run_config(broken, {"train.steps": 24}), out=tmp_path / "1", resume=True, strategy="one")
    more = presets.run_config(broken, {"train.steps": 30, "train.steps_per_execution": 5})
    with pytest.raises(GanzooError, match="steps_per_execution 5 does not divide the 6 steps up to step 30"):
        training.train(more, out=tmp_path / "1", resume=True, strategy="one")


def test_the_probe_leaves_the_model_as_it_was_and_says_why_xla_is_not_taken():
    model = built("gan")
    batch = tiny.batch(model)
    before = weights.to_arrays(model.training_state())
    found = jit_probe.jit(model, batch)
    assert found.used == (found.jit_ms < found.plain_ms)
    assert found.reason == f"{found.jit_ms:.1f} ms a step with XLA, {found.plain_ms:.1f} ms without"
    whole = model.train_step
    model.train_step = lambda data: (
        whole(data) | {"d_loss": tf.strings.to_number(tf.strings.as_string(model.step.value))}
    )
    found = jit_probe.jit(model, batch)
    assert not found.used
    assert found.reason.startswith("XLA cannot compile this step (")
    assert found.plain_ms > 0
    for key, value in weights.to_arrays(model.training_state()).items():
        np.testing.assert_array_equal(value, before[key], err_msg=key)
    assert all(float(tracker.result()) == 0 for tracker in model.metrics)


def test_what_the_probe_found_stands_in_the_run(tmp_path, run_of):
    config = run_of("gan", train__steps=2, train__jit_compile=True, train__sample_every=0)
    training.train(config, out=tmp_path / "run", strategy="one")
    jit = json.loads((tmp_path / "run/model/manifest.json").read_text())["jit"]
    assert presets.run_config(tmp_path / "run/config.toml").train.jit_compile is jit["used"]
    training.train(presets.run_config(config, {"train.steps": 4}), out=tmp_path / "run", resume=True, strategy="one")
    assert json.loads((tmp_path / "run/model/manifest.json").read_text())["jit"] == jit
