"""Progressive growing: the official schedule, the fade between two sizes, and runs that resume anywhere in it."""

import hashlib
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from ganzoo import data, penalties, presets, training, weights, zoo
from ganzoo.base.segments import Segment, growing_segments, images_seen
from ganzoo.errors import GanzooError
from ganzoo.models.stylegan_lite import _doubled, _halved
from ganzoo.presets import GrowthConfig
from ganzoo.training import loop

GOLDEN = Path(__file__).parents[1] / "golden"
MODEL = {"image_size": 16, "channels": 1, "latent_dim": 4, "w_dim": 4, "mapping_layers": 1, "mapping_width": 4}
MODEL |= {"fmap_base": 16, "fmap_max": 4, "ema_decay": 0.9, "classes": 10}
# Steps 0, 1 at 8 px with batch 8; 2 to 5 fade 16 px in; 6 and 7 at 16 px.
GROWTH = {"start_size": 8, "stable": 8, "fade": 24, "batch_sizes": {"8": 8}, "learning_rates": {"16": 3e-3}}
RUN = {"model.ema_images": 0} | {f"model.{key}": value for key, value in MODEL.items()} | {
    "data.source": "fashion", "data.size": 16, "data.channels": 1, "data.split": "test",
    "train.batch_size": 4, "train.steps": 8, "train.growth": GROWTH, "train.sample_every": 8, "train.health_every": 0,
    "train.checkpoint_every": 1, "train.keep_checkpoints": 20, "train.log_every": 3,
}  # fmt: skip


def config(**changes):
    return presets.run_config("stylegan-lite/ffhq-1024", RUN | {k.replace("__", "."): v for k, v in changes.items()})


def sha(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def built(**changes):
    tf.keras.utils.set_random_seed(0)
    return zoo.build(config(**changes))


def fill(variables, seed=0):
    rng = np.random.default_rng(seed)
    for variable in variables:
        variable.assign(rng.normal(0, 1, variable.shape).astype(variable.dtype))


@pytest.fixture(scope="module")
def model():
    """Untrained, weights of one size each; tests leave its lod at 0."""
    made = built()
    fill(made.generator.trainable_variables + made.discriminator.trainable_variables)
    for average, network in made.averages():
        average.set_weights(network.get_weights())
    return made


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run through all three segments; do not change it."""
    out = tmp_path_factory.mktemp("grown") / "run"
    training.train(config(), out=out, strategy="one")
    return out


def state(run, step):
    return weights.read(run / f"checkpoints/step-{step:08d}.safetensors")[0]


# ---- the schedule ----------------------------------------------------------------------------------------------------
def official(kimg, resolution_log2=10):
    """training_schedule of NVlabs/stylegan, training/training_loop.py, with the 8-GPU numbers of train.py."""
    phase = int(np.floor(kimg / 1200))
    lod = resolution_log2 - 3.0 - phase - max(kimg - phase * 1200 - 600, 0.0) / 600
    lod = max(lod, 0.0)
    size = 2 ** (resolution_log2 - int(np.floor(lod)))
    rate = {128: 1.5e-3, 256: 2e-3, 512: 3e-3, 1024: 3e-3}.get(size, 1e-3)
    return lod, size, {8: 256, 16: 128, 32: 64, 64: 32}.get(size, 32), rate


def test_the_written_out_schedule_is_the_golden_one():
    facts = json.loads((GOLDEN / "schedules_and_pool.json").read_text())
    rows = np.load(GOLDEN / "schedules_and_pool.npz")["stylegan_schedule_1024"]
    for kimg, *expected in rows:
        np.testing.assert_allclose(official(kimg), expected, **facts["tolerance"])


def test_ffhq_has_the_schedule_of_the_official_code_at_every_step():
    train = presets.run_config("stylegan-lite/ffhq-1024").train
    segments = growing_segments(train, 1024)
    assert len(segments) == 15
    assert images_seen(segments, train.steps) == pytest.approx(25_000_000, abs=32)
    for segment in segments:
        for step in np.unique(np.linspace(segment.first_step, segment.end - 1, 40).astype(int)):
            image = segment.first_image + (step - segment.first_step) * segment.batch_size
            lod, size, batch, rate = official(image / 1000)
            assert (segment.size, segment.batch_size) == (size, batch), image
            assert (segment.learning_rate or train.g_optimizer.learning_rate) == rate
            fraction = float(segment.faded(int(step))) if segment.fade else 0.0
            assert 10 - np.log2(size) + fraction == pytest.approx(lod, abs=1e-6)


@given(
    st.sampled_from([4, 8, 16]), st.integers(1, 300), st.integers(0, 300), st.integers(1, 700), st.integers(1, 33),
    st.integers(1, 33),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_segments_cover_the_run_and_do_not_depend_on_its_end(start, stable, fade, steps, batch, first_batch):
    growth = GrowthConfig(start_size=start, stable=stable, fade=fade, batch_sizes={str(start): first_batch})
    train = config().train.model_copy(update={"growth": growth, "batch_size": batch, "steps": steps})
    segments = growing_segments(train, 32)
    assert segments[0].first_step == segments[0].first_image == 0
    assert segments[-1].end == steps
    for before, after in itertools.pairwise(segments):
        assert before.steps > 0
        assert after.first_step == before.end
        assert after.first_image == before.first_image + before.steps * before.batch_size
        assert after.size >= before.size  # a size that one batch passes by is left out
        if after.fade:
            assert 0 < float(after.faded(after.first_step)) <= 1
            assert 0 <= float(after.faded(after.end - 1)) <= float(after.faded(after.first_step))
    longer = growing_segments(train.model_copy(update={"steps": steps + 50}), 32)
    assert longer[: len(segments) - 1] == segments[:-1]
    assert longer[len(segments) - 1].first_step == segments[-1].first_step
    assert images_seen(segments, steps) == segments[-1].first_image + segments[-1].steps * segments[-1].batch_size


def test_one_size_is_one_segment():
    train = presets.run_config("stylegan-lite/lorelei-64").train
    assert built(train__growth=None).segments(train) == [Segment(0, train.steps, 0, train.batch_size)]


# ---- the fade --------------------------------------------------------------------------------------------------------
def test_a_fade_at_0_and_1_is_one_of_the_two_sizes(model):
    """In G, in D and of the reals: the fraction of lod is the share of the smaller size."""
    synthesis, discriminator = model.generator.synthesis, model.discriminator
    w = tf.random.stateless_normal([4, model.num_layers, model.w_dim], [1, 2])
    large, small = synthesis(w, lod=0, native=True), synthesis(w, lod=1, native=True)
    assert (large.shape[1], small.shape[1]) == (16, 8)
    for fade, expected in ((0.0, large), (1.0, _doubled(small, 2)), (0.3, 0.7 * large + 0.3 * _doubled(small, 2))):
        np.testing.assert_allclose(synthesis(w, lod=0, fade=tf.constant(fade)), expected, atol=2e-5)
    x, labels = tf.random.stateless_uniform([4, 16, 16, 1], [3, 4], -1, 1), tf.constant([1, 0, 3, 2])
    judged = [discriminator([x, labels], lod=0, fade=tf.constant(f), native=True) for f in (0.0, 1.0)]
    np.testing.assert_allclose(judged[0], discriminator([x, labels], lod=0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        judged[1], discriminator([_halved(x, 2), labels], lod=1, native=True), rtol=1e-4, atol=1e-5
    )


def test_r1_of_a_small_size_is_that_of_the_full_one(model):
    """The paper's D takes full pictures, whose pixels repeat those of the small ones: there each slope is 4^-lod of ours."""
    small, labels = tf.random.stateless_uniform([4, 8, 8, 1], [3, 4], -1, 1), tf.constant([1, 0, 3, 2])
    full = penalties.r1(lambda x: model.discriminator([x, labels], lod=1), _doubled(small, 2))
    native = penalties.r1(lambda x: model.discriminator([x, labels], lod=1, native=True), small)
    try:
        model.start_segment(Segment(0, 10, 0, 4, size=8))
        assert float(model.judge_real(small, labels)[1]) == pytest.approx(float(full), rel=1e-4)
        assert float(full) == pytest.approx(float(native) / 4, rel=1e-4)
    finally:
        model.start_segment(Segment(0, 10, 0, 4, size=16))


def test_reals_fade_as_the_generator_does(model):
    x = tf.random.stateless_uniform([2, 16, 16, 1], [5, 6], -1, 1)
    try:
        model.start_segment(Segment(0, 10, 0, 4, size=16, fade=40, fade_from=0))
        for step, share in ((0, 1.0), (5, 0.5), (10, 0.0)):
            model.step.assign(step)
            expected = share * _doubled(_halved(x, 2), 2) + (1 - share) * x
            np.testing.assert_allclose(model.faded(x), expected, atol=1e-6)
        model.start_segment(Segment(0, 10, 0, 4, size=16))
        assert model.faded(x) is x
    finally:
        model.step.assign(0)
        model.start_segment(None)


def test_samples_show_the_lod_that_training_has_reached(model, tmp_path):
    """In the full size: at lod 1 every pixel is four; between two sizes a blend; a saved model remembers."""

    def shown(lod):
        for network in (model.generator, model.ema_generator):
            network.lod.assign(lod)
        return model.generate(4, label=1).astype(float)

    try:
        large, small, between = shown(0.0), shown(1.0), shown(0.25)
        np.testing.assert_array_equal(small, np.repeat(np.repeat(small[:, ::2, ::2], 2, 1), 2, 2))
        assert not np.array_equal(large, small)
        unclipped = (large % 255 > 0) & (small % 255 > 0)
        np.testing.assert_allclose(between[unclipped], (0.75 * large + 0.25 * small)[unclipped], atol=1.01)
        again = zoo.load(zoo.save(model, tmp_path / "saved"))
        np.testing.assert_array_equal(again.generate(4, label=1), between)
    finally:
        shown(0.0)


# ---- the step from one size to the next ------------------------------------------------------------------------------
@pytest.mark.parametrize("keep", [False, True])
def test_growth_keeps_weights_and_averages_and_starts_the_optimizers_anew_unless_told(keep):
    made = built(train__growth=GROWTH | {"keep_optimizers": keep})
    train = made.run_config.train
    fill(v for v in made.training_state().values() if "float" in v.dtype)
    for player in made.players:
        getattr(made, player).iterations.assign(7)
    before = {key: np.array(v) for key, v in made.training_state().items()}
    loop.start_segment(made, train, made.segments(train)[2], fresh=True)
    after = {key: np.array(v) for key, v in made.training_state().items()}
    for key, value in after.items():
        if key.endswith("/lod"):
            assert value == 0, "16 px and no fade"
        elif key.endswith("learning_rate"):
            assert value == np.float32(3e-3)
        elif "_optimizer/" in key and not keep:
            assert not value.any(), key
        else:
            np.testing.assert_array_equal(value, before[key], err_msg=key)
    loop.start_segment(made, train, made.segments(train)[0], fresh=False)
    assert made.g_optimizer.learning_rate == np.float32(1e-3), (
        "a size that the table leaves out has the optimizer's own"
    )
    assert float(made.sampler.lod.numpy()) == 1


def test_only_the_sizes_that_run_are_trained(run):
    start, grown, end = state(run, 0), state(run, 2), state(run, 8)
    trained = {key for key in start if key.split("/")[0] in ("generator", "discriminator")}
    trained = {key for key in trained if not key.endswith(("/noise", "w_avg", "/lod"))}
    smaller = {key for key in trained if "rgb_4" in key}  # the run begins at 8 px
    larger = {key for key in trained if "16" in key}
    assert len(larger) > 10
    for key in trained:
        assert np.array_equal(grown[key], start[key]) == (key in larger | smaller), key
        assert np.array_equal(end[key], start[key]) == (key in smaller), key


def test_each_border_starts_the_optimizers_anew_and_sets_their_rate(run):
    key = "d_optimizer/d_optimizer/{}".format
    counts = [int(state(run, step)[key("iteration")]) for step in range(9)]
    assert counts == [0, 1, 2, 1, 2, 3, 4, 1, 2]
    rates = [float(state(run, step)[key("learning_rate")]) for step in (1, 2, 3, 6, 8)]
    np.testing.assert_allclose(rates, [1e-3, 1e-3, 3e-3, 3e-3, 3e-3], rtol=1e-6)
    lods = [float(state(run, step)["ema_generator/generator/lod"]) for step in range(1, 9)]
    # Of the images before the step: 16, 20, 24, 28 of 8 ... 32.
    np.testing.assert_allclose(lods, [1, 1, 2 / 3, 1 / 2, 1 / 3, 1 / 6, 0, 0], atol=1e-6)


def test_the_average_has_one_half_life_in_images(run):
    """8 px have twice the batch, and so the square of the decay."""
    for step, decay in ((1, 0.9**2), (7, 0.9)):
        old, new, key = state(run, step - 1), state(run, step), "generator/dense0/kernel"
        expected = decay * old[f"ema_{key}"] + (1 - decay) * new[key]
        np.testing.assert_allclose(new[f"ema_{key}"], expected, atol=1e-6)


def test_a_growing_run_leaves_its_facts(run):
    manifest = json.loads((run / "model/manifest.json").read_text())
    assert (manifest["steps"], manifest["images"]) == (8, 2 * 8 + 6 * 4)
    steps = [json.loads(line)["step"] for line in (run / "log.jsonl").read_text().splitlines()]
    assert steps == [2, 3, 6, 8], "a row at each border: its means are of one size"
    assert presets.run_config(run / "config.toml") == zoo.complete(config())
    assert (run / "samples/000000.png").is_file()


def test_a_growing_run_resumed_in_a_fade_and_at_a_border_ends_with_the_same_bytes(run, tmp_path):
    out = tmp_path / "parts"
    for end in (4, 6, 8):
        result = training.train(config(train__steps=end), out=out, resume=end > 4, strategy="one")
        assert (result.stopped, result.steps) == ("done", end)
    for step in (3, 4, 5, 6, 7, 8):  # besides the state they hold how many steps were to come
        mine, whole = state(out, step), state(run, step)
        assert mine.keys() == whole.keys()
        assert all(mine[key].tobytes() == whole[key].tobytes() for key in whole), step
    for file in ("checkpoints/step-00000008.safetensors", "model/weights.safetensors", "config.toml"):
        assert sha(out / file) == sha(run / file), file


# ---- data ------------------------------------------------------------------------------------------------------------
def test_small_pictures_are_means_and_a_segment_goes_on_where_the_last_ended():
    source = data.open_source(config(data__mirror=True).data)
    whole = next(iter(data.batches(source, 12, seed=3)))["image"].numpy()
    small = next(iter(data.batches(source, 5, seed=3, start_step=1, offset=2, size=4)))["image"].numpy()
    pixels = (whole[7:12] + 1) * 127.5
    expected = np.round(pixels.reshape(5, 4, 4, 4, 4, 1).mean(axis=(2, 4)))
    np.testing.assert_allclose((small + 1) * 127.5, expected, atol=0.51)
    np.testing.assert_allclose(small, np.round((small + 1) * 127.5) / 127.5 - 1, atol=1e-6)


def test_pictures_read_on_the_fly_shrink_alike(monkeypatch):
    from ganzoo.data import pictures as module

    settings_ = config(data__mirror=True).data
    expected = next(iter(data.batches(data.open_source(settings_), 6, seed=1, size=8)))["image"]
    monkeypatch.setattr(module, "MEMORY_LIMIT", 0)
    source = data.open_source(settings_)
    assert not source.in_memory
    np.testing.assert_array_equal(next(iter(data.batches(source, 6, seed=1, size=8)))["image"], expected)


def test_labels_stay_beside_their_pictures():
    source = data.open_source(config(data__mirror=False).data)
    batch = next(iter(data.batches(source, 7, seed=5, start_step=2, labels=True)))
    assert batch["label"].dtype == tf.int64
    for image, label in zip(batch["image"].numpy(), batch["label"].numpy(), strict=True):
        of_class = source.arrays[0][source.labels == label]
        assert (of_class == np.round((image + 1) * 127.5)).all(axis=(1, 2, 3)).any()
    assert set(np.unique(source.labels)) == set(range(10))


def test_a_conditional_model_trains_on_batches_of_your_own(model):
    """Without a source that has labels: any data set of dicts with image and label."""
    made = built(model__image_size=8, model__fmap_base=8)
    batch = {"image": np.zeros((4, 8, 8, 1), np.uint8), "label": np.arange(4)}
    history = made.fit(tf.data.Dataset.from_tensors(batch).repeat(), steps_per_epoch=1, verbose=0, shuffle=False)
    assert all(np.isfinite(values).all() for values in history.history.values())
    shown = made.examples(12, 0)
    np.testing.assert_array_equal(shown, made.generate(12, label=np.arange(12) % 10))
    with pytest.raises(GanzooError, match="needs labels"):
        made.generate(2)


# ---- refusals --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "changes", "sentence"),
    [
        ("dcgan", {"train.growth": GROWTH, "data.size": 32}, "dcgan trains at one size: leave train.growth out"),
        ("stylegan-lite/ffhq-1024", RUN | {"model.growing": False}, "set model.growing = true"),
        (
            "stylegan-lite/ffhq-1024",
            RUN | {"train.growth": {"start_size": 32}},
            "start_size 32 does not double to image_size 16",
        ),
        (
            "stylegan-lite/ffhq-1024",
            RUN | {"train.growth": {"start_size": 6}},
            "sizes are 4, 8, 16, 32, ...; received 6",
        ),
        (
            "stylegan-lite/ffhq-1024",
            RUN | {"train.growth": {"batch_sizes": {"9": 2}}},
            "sizes are 4, 8, 16, 32, ...; received 9",
        ),
        ("stylegan-lite/ffhq-1024", RUN | {"train.growth": {"stabel": 2}}, 'Did you mean "stable"'),
        (
            "stylegan-lite/ffhq-1024",
            RUN | {"train.g_optimizer.decay": 1.1},
            "leave decay, decay_steps and halve_every out",
        ),
        (
            "stylegan-lite/ffhq-1024",
            RUN | {"data.source": "lorelei_64", "data.channels": 3, "model.channels": 3},
            "A model with classes needs labels, and lorelei_64 has none",
        ),
        (
            "stylegan-lite/ffhq-1024",
            RUN | {"data.size": 8},
            "Pictures of 8 px are halved to sizes that divide it; 16 does not",
        ),
    ],
)
def test_settings_that_cannot_grow_are_said_in_a_sentence(name, changes, sentence, tmp_path):
    with pytest.raises(GanzooError) as error:
        training.train(name, out=tmp_path / "run", strategy="one", overrides=changes)
    assert sentence in str(error.value)
    assert not (tmp_path / "run").exists() or not any((tmp_path / "run").iterdir())


def test_sizes_that_do_not_divide_are_refused():
    source = data.open_source(config().data)
    for size in (0, 5, 32):
        with pytest.raises(GanzooError, match="are halved to sizes that divide it"):
            data.batches(source, 4, size=size)
