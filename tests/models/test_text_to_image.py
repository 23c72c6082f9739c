"""text-to-image beyond the harness: losses of the golden file, text into numbers, generate, segments, encoders, sentences."""

import json
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny
from PIL import Image
from support.cli_runs import refused, run
from support.papers import network

import ganzoo
from ganzoo import explore, exporting, presets, training, zoo
from ganzoo.base import pixels, rows
from ganzoo.base.model import build
from ganzoo.base.segments import one_segment
from ganzoo.errors import GanzooError
from ganzoo.models import _text_encoder
from ganzoo.models import text_to_image as paper
from ganzoo.runs.log import read_log

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "gan_cls_losses.npz")
TEXTS = ["a girl with long pink hair", "a man with short black hair and glasses"]


@pytest.fixture(scope="module")
def model():
    return tiny.build("text-to-image")


# ---- losses against the golden file ----------------------------------------------------------------------------------
def slopes(loss, **logits):
    variables = {name: tf.Variable(value) for name, value in logits.items()}
    with tf.GradientTape() as tape:
        value = loss(**variables)
    return float(value), dict(zip(variables, tape.gradient(value, list(variables.values())), strict=True))


@pytest.mark.parametrize("weight", [0.5, 0.25, 0.0])
def test_matching_aware_d(weight):
    key = f"d_cls_weight{str(weight).replace('.', 'p')}"
    logits = {name: GOLDEN[f"logit_{name}"] for name in ("real", "wrong", "fake")}
    value, gradients = slopes(lambda **x: paper.matching_aware_d(**x, cls_weight=weight), **logits)
    np.testing.assert_allclose(value, GOLDEN[key], rtol=1e-5, atol=1e-6)
    for name in ("real", "wrong", "fake"):
        ours = np.zeros(6) if gradients[name] is None else gradients[name]  # c = 0: wrong pairs are not looked at
        np.testing.assert_allclose(ours, GOLDEN[f"{key}.grad_{name}"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("weight", [1.0, 0.5])
def test_g_on_interpolated_texts(weight):
    key = f"g_int_weight{str(weight).replace('.', 'p')}"
    value, gradients = slopes(lambda fake: paper.interpolated_g(fake, 6, weight), fake=GOLDEN["logit_fake_interp"])
    np.testing.assert_allclose(value, GOLDEN[key], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(gradients["fake"], GOLDEN[f"{key}.grad_fake_interp"], rtol=1e-5, atol=1e-6)
    plain, _ = slopes(ganzoo.losses.non_saturating_g, fake=GOLDEN["logit_fake"])
    np.testing.assert_allclose(plain, GOLDEN["g_cls"], rtol=1e-5, atol=1e-6)


def test_interpolated_and_averaged_texts():
    np.testing.assert_allclose(paper.with_interpolated(GOLDEN["text"]), GOLDEN["text_interp"], rtol=1e-5, atol=1e-6)
    odd = paper.with_interpolated(GOLDEN["text"][:5], beta=0.25)
    assert odd.shape == (7, 6)
    np.testing.assert_allclose(odd[5], 0.25 * GOLDEN["text"][0] + 0.75 * GOLDEN["text"][2], rtol=1e-6)
    reader = tiny.build("text-to-image", encoder="embedding", text_dim=6)
    four = tf.constant(GOLDEN["captions"].reshape(6, 4, 6))
    np.testing.assert_allclose(reader.embed(four), GOLDEN["captions_mean_of_4"], rtol=1e-5, atol=1e-6)


def test_several_texts_an_image_are_averaged(model):
    pairs = tf.constant([TEXTS, TEXTS[::-1]])
    both = model.embed(tf.constant(TEXTS))
    np.testing.assert_allclose(model.embed(pairs), np.repeat(np.mean(both, axis=0, keepdims=True), 2, 0), atol=1e-6)


def test_joint_embedding_by_hand():
    v, t = np.array([[1.0, 0.0], [0.0, 2.0]], "float32"), np.array([[1.0, 1.0], [0.0, 1.0]], "float32")
    # F = [[1, 0], [2, 2]]: hinges 1 + 0 - 1 = 0 and 1 + 2 - 2 = 1 by image, 1 + 0 - 2 = -1 and 1 + 2 - 1 = 2 by text
    differ = ~np.eye(2, dtype=bool)
    assert float(_text_encoder.joint_embedding(v, t, differ)) == pytest.approx((0 + 1 + 0 + 2) / 2)
    assert float(_text_encoder.joint_embedding(v, t, np.zeros((2, 2), bool))) == 0, "equal texts are no mistake"


def test_word_sets_by_hand():
    sets = np.array(_text_encoder.word_sets(tf.constant(["A smiling girl, a GIRL!", "girl smiling a", "...", ""]), 512))
    assert sorted(sets[0][sets[0] > 0]) == [1, 1, 1], "different words count once"
    np.testing.assert_array_equal(sets[0], sets[1])
    assert not sets[2:].any(), "no words, no set"


def place_of(word, words):
    return int(np.argmax(_text_encoder.word_sets(tf.constant([word]), words)[0]))


def test_word_entropy_by_hand():
    logits = np.zeros((2, 4), "float32")
    logits[0, place_of("smiling", 4)] = np.log(3)  # softmax: 3 / (3 + 1 + 1 + 1) = 1/2
    found = _text_encoder.word_entropy(tf.constant(["smiling", "..."]), tf.constant(logits))
    assert float(found) == pytest.approx((np.log(2) + 0) / 2)


def test_foil_entropy_by_hand():
    texts = tf.constant(["a sad man", "a happy man", "a man"])
    foils = tf.constant(["a happy man", "a sad man", "a man"])
    logits = np.full((3, 512), 7.0, "float32")  # of "a" and "man", too, which cancel out
    logits[:, place_of("sad", 512)] = 7 + np.log(3)
    found = _text_encoder.foil_entropy(
        texts, foils, tf.constant(logits)
    )  # odds of 3 and of 1/3; the last row has no foil
    assert float(found) == pytest.approx((-np.log(3 / 4) - np.log(1 / 4)) / 2)
    assert float(_text_encoder.foil_entropy(texts[2:], foils[2:], tf.constant(logits[2:]))) == 0


def test_both_encoders_learn_from_words_alone(monkeypatch):
    model = tiny.build("text-to-image")
    assert model.players["e_optimizer"] == ("text_encoder", "image_encoder", "word_heads")
    monkeypatch.setattr(_text_encoder, "joint_embedding", lambda v, phi, _: 0 * tf.reduce_sum(v + phi))
    first = [np.array(n.trainable_variables[0]) for n in (model.text_encoder, model.image_encoder, model.word_heads)]
    logs = model.train_step(tiny.batch(model))
    assert float(logs["word_loss"]) > 1
    for before, name in zip(first, model.players["e_optimizer"], strict=True):
        assert not np.array_equal(before, getattr(model, name).trainable_variables[0]), name
    plain = tiny.build("text-to-image", words=0)
    assert plain.players["e_optimizer"] == ("text_encoder", "image_encoder")
    assert float(plain.train_step(tiny.batch(plain))["word_loss"]) == 0


def test_g_learns_from_words_that_the_frozen_encoder_reads(monkeypatch):
    model = tiny.build("text-to-image", match_weight=3.0, interpolate=True)
    monkeypatch.setattr(paper, "interpolated_g", lambda fake, *_: 0 * tf.reduce_sum(fake))
    frozen = [np.array(v) for n in (model.image_encoder, model.word_heads) for v in n.weights]
    texts, foils = (tf.constant([f"a {word} girl".encode()] * 4) for word in ("smiling", "sad"))
    phi, before = model.embed(texts), np.array(model.generator.trainable_variables[0])
    losses = [float(model.generator_step(phi, texts, foils)[1]) for _ in range(30)]
    assert np.mean(losses[-5:]) < np.mean(losses[:5]), "pictures are read more as their sentences"
    assert not np.array_equal(before, model.generator.trainable_variables[0])
    after = [np.array(v) for n in (model.image_encoder, model.word_heads) for v in n.weights]
    for x, y in zip(frozen, after, strict=True):
        np.testing.assert_array_equal(x, y)
    image = tiny.batch(model)["image"][:4]
    by_hand = model.word_heads([model.image_encoder(image), model.image_encoder(image)])[0]
    assert float(_text_encoder.match_loss(model, image, texts, foils)) == pytest.approx(
        float(_text_encoder.foil_entropy(texts, foils, by_hand)), rel=1e-5
    )
    assert float(tiny.build("text-to-image").train_step(tiny.batch(model))["match_loss"]) == 0


def test_batches_hold_foils_only_where_a_loss_needs_them():
    outside = {"match_weight": 1.0, "encoder": "embedding"}
    for settings, held in [({}, False), ({"match_weight": 1.0}, True), (outside, False)]:
        assert ("foil" in tiny.build("text-to-image", **settings).batch_signature()) is held


def test_the_image_encoder_sees_noise_up_to_its_deviation():
    model = tiny.build("text-to-image", encoder_noise=0.5)
    images = tf.zeros([64, 16, 16, 1])
    deviations = np.std(_text_encoder.noisy(model, images), axis=(1, 2, 3))
    assert deviations.max() < 0.6
    assert deviations.min() < 0.1
    assert np.mean(deviations) == pytest.approx(0.25, abs=0.06), "uniform up to 0.5"
    once, twice = (_text_encoder.noisy(model, images) for _ in range(2))
    np.testing.assert_array_equal(once, twice)  # of a step; a resumed run draws the same
    assert _text_encoder.noisy(tiny.build("text-to-image"), images) is images


def test_d_is_never_shown_interpolated_texts(monkeypatch):
    model = tiny.build("text-to-image", interpolate=True)
    seen = []
    plain = paper.matching_aware_d

    def noted(real, wrong, fake, **options):
        seen.append([len(x) for x in (real, wrong, fake)])
        return plain(real, wrong, fake, **options)

    monkeypatch.setattr(paper, "matching_aware_d", noted)
    model.train_step(tiny.batch(model))
    assert seen == [[tiny.BATCH] * 3]


# ---- text ------------------------------------------------------------------------------------------------------------
def test_characters():
    assert len(_text_encoder.ALPHABET) == 70
    hot = _text_encoder.characters(tf.constant(["aB-z", "é微\n~", b"\xff\xfea", ""]), 6).numpy()
    assert hot.shape == (4, 6, 70)
    found = [[int(row.argmax()) if row.any() else None for row in text] for text in hot]
    hyphen = _text_encoder.ALPHABET.index("-")
    assert found[0] == [0, 1, hyphen, 25, None, None]
    assert found[1] == [None, None, None, _text_encoder.ALPHABET.index("~"), None, None]
    assert found[2][2] == 0
    assert found[3] == [None] * 6
    assert set(hot.sum(axis=2).ravel()) <= {0.0, 1.0}
    np.testing.assert_array_equal(
        _text_encoder.characters(tf.constant(["long hair"]), 6), _text_encoder.characters(tf.constant(["LONG H"]), 6)
    )


def test_paper_size_encoder_has_eight_steps():
    encoder = build(_text_encoder.build_text_encoder, paper.TextToImage.defaults())
    assert [layer.output.shape[-1] for layer in encoder.layers if "Conv1D" in type(layer).__name__] == [384, 512, 256]
    assert encoder.get_layer("rnn").output.shape[1:] == (8, 256)
    assert encoder.output_shape == (None, 1024)


def test_main_cls_int_has_batch_norm_on_the_text():
    count = sum(
        int(np.prod(v.shape)) for v in network(paper.build_discriminator, script="main_cls_int").trainable_variables
    )
    assert count == 4_032_321
    names = {layer.name for layer in network(paper.build_discriminator, script="main_cls_int", ndf=4).layers}
    assert "down3_lrelu" not in names
    assert "down3_lrelu" in {layer.name for layer in network(paper.build_discriminator, ndf=4).layers}


def test_the_text_projections_begin_as_torch_s():
    """Kernel and bias uniform within 1 / sqrt(fan-in); a bias at 0 would be a network of another start."""
    model = tiny.build("text-to-image", text_dim=16, text_projection=400)
    for player in (model.generator, model.discriminator):
        layer = player.get_layer("text_project")
        for values in (np.array(layer.kernel), np.array(layer.bias)):
            assert np.abs(values).max() <= 0.25
            assert np.std(values) == pytest.approx(0.25 / 3**0.5, rel=0.15)


# ---- generate --------------------------------------------------------------------------------------------------------
def test_an_image_depends_on_its_text_seed_and_place_only(model):
    made = model.generate(TEXTS, seed=5, n_per_text=3)
    assert (made.shape, made.dtype) == ((6, 16, 16, 1), np.uint8)
    np.testing.assert_array_equal(made, model.generate(TEXTS, seed=5, n_per_text=3))
    np.testing.assert_array_equal(made[:3], model.generate(TEXTS[0], seed=5, n_per_text=3))
    np.testing.assert_array_equal(made[:3], model.generate([TEXTS[0]] * 3, seed=5))
    many = model.generate([*TEXTS, *["another"] * 20], seed=5, n_per_text=3)
    np.testing.assert_array_equal(made, many[:6])
    assert len(np.unique(made.reshape(6, -1), axis=0)) == 6
    assert not np.array_equal(made, model.generate(TEXTS, seed=6, n_per_text=3))
    phi = model.embeddings(TEXTS)
    np.testing.assert_array_equal(model.generate(phi, seed=5, n_per_text=3), made)
    np.testing.assert_array_equal(model.generate(phi.numpy(), seed=5, n_per_text=3), made)
    z = rows.latents_of(model, rows.row_seeds(5, 6))
    np.testing.assert_array_equal(model.generate(TEXTS, n_per_text=3, latents=z), made)


@pytest.mark.parametrize(
    ("given", "word"),
    [({"texts": t}, "empty") for t in ("", " \n", ["fine", "\t"])]
    + [({"texts": t}, "sentence") for t in ([], 3, None, [3], ["a", None], {"a": 1}.values, [["a"]])]
    + [({"texts": "a", "n_per_text": n}, "n_per_text") for n in (0, -1, 1.5, True, "2")]
    + [({"texts": "a", "seed": s}, "64 bits") for s in (1.5, "a", 2**63)]
    + [({"texts": np.zeros((2, 3))}, "embeddings"), ({"texts": np.full((1, 7), np.nan)}, "finite")]
    + [({"texts": "a", "latents": np.zeros((2, 6))}, "as many latents"), ({"texts": "a", "latents": np.zeros((1, 5))}, "shape")],
)  # fmt: skip
def test_bad_input_is_said_in_a_sentence(given, word, model):
    with pytest.raises(GanzooError, match=word):
        model.generate(**given)


def test_long_and_strange_texts_are_drawn_with_a_note(model):
    with pytest.warns(UserWarning, match=r"has 10,000 characters; the encoder reads the first 90"):
        long = model.generate("long hair " * 1000)
    np.testing.assert_array_equal(long, model.generate("long hair " * 9))
    with pytest.warns(UserWarning, match="No character of text 1 is known"):
        assert model.generate(["a", "微笑"]).shape[0] == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.generate(["naïve \ud800 \x00 hair", b"bytes are text"])


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"image_size": 30}, "16, 32, 64"),
        ({"image_size": 8}, "16, 32, 64"),
        ({"script": "main"}, "main_cls_int"),
        ({"encoder": "char-cnn-rn"}, "Did you mean"),
        ({"encoder": "hub:./nowhere"}, "cannot be loaded"),
        ({"text_length": 60}, "66"),
        ({"cls_weight": 1.0}, r"\[0, 1\)"),
        ({"beta": 1.5}, r"\[0, 1\]"),
        ({"text_dim": 0}, "text_dim"),
        ({"r1_gamma": -1.0}, "r1_gamma"),
        ({"words": -1}, "hash buckets"),
        ({"match_weight": -0.5}, "at least 0"),
        ({"match_weight": 1.0, "words": 0}, "needs words"),
        ({"encoder_noise": -0.1}, "at least 0"),
    ],
)
def test_bad_arguments_of_the_constructor(settings, word):
    with pytest.raises(GanzooError, match=word):
        zoo.load("text-to-image", weights=None, **(tiny.TINY["text-to-image"] | settings))


# ---- other encoders --------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def handle(tmp_path_factory):
    """A SavedModel that counts letters: strings (N,) -> (N, 7)."""

    class Counter(tf.Module):
        def __init__(self):
            super().__init__()
            self.table = tf.Variable(tf.random.stateless_normal([7, 7], (0, 1)))

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def __call__(self, texts):
            counts = [tf.strings.length(tf.strings.regex_replace(texts, f"[^{c}]", "")) for c in "abeiorl"]
            return tf.cast(tf.stack(counts, axis=1), tf.float32) @ self.table

    folder = tmp_path_factory.mktemp("hub")
    tf.saved_model.save(Counter(), str(folder))
    return str(folder)


def test_a_hub_encoder_plugs_in_and_is_exported_along(handle, tmp_path):
    model = tiny.build("text-to-image", encoder=f"hub:{handle}")
    assert list(model.players) == ["g_optimizer", "d_optimizer"]
    assert not any("encoder" in key for key in model.state())
    logs = model.train_step(tiny.batch(model))
    assert np.isfinite(float(logs["g_loss"]))
    model.finalize()
    made = model.generate(TEXTS, seed=3)
    folder = exporting.export(model, tmp_path, allow_random=True)
    serve = tf.saved_model.load(str(folder)).signatures["serving_default"]
    answer = serve(text=tf.constant(TEXTS), seed=tf.constant([3, 3], tf.int64))["image_bytes"]
    shown = tf.io.decode_png(answer[0], 1).numpy()
    assert np.abs(shown.astype(int) - made[0]).max() <= 1
    again = zoo.load(zoo.save(model, tmp_path / "saved"), trust=True)
    np.testing.assert_array_equal(again.generate(TEXTS, seed=3), made)
    with pytest.raises(GanzooError, match="text_dim is 9"):
        tiny.build("text-to-image", encoder=f"hub:{handle}", text_dim=9)


def test_embeddings_made_elsewhere():
    model = tiny.build("text-to-image", encoder="embedding")
    assert list(model.batch_signature()) == ["image", "embedding", "wrong"]
    assert model.generate(np.zeros((2, 7)), n_per_text=2).shape[0] == 4
    with pytest.raises(GanzooError, match="reads no text"):
        model.generate("a girl")
    assert list(model.serving_signature()["serving_default"][1]) == ["embedding", "seed"]


# ---- runs ------------------------------------------------------------------------------------------------------------
OFTEN = {"train__log_every": 2, "train__sample_every": 4}


@pytest.fixture(scope="module")
def finished(run_of, tmp_path_factory):
    """The folder of a run through both segments."""
    out = tmp_path_factory.mktemp("both") / "run"
    assert training.train(run_of("text-to-image", train__steps=8, **OFTEN), out=out, strategy="one").stopped == "done"
    return out


def test_a_run_trains_the_encoder_and_then_freezes_it(finished):
    rows = read_log(finished / "log.jsonl").rows
    assert [("e_loss" in row, "d_loss" in row) for row in rows] == [(True, False)] * 2 + [(False, True)] * 2
    samples = sorted(path.name for path in (finished / "samples").iterdir())
    assert samples == ["000000.png", "000008.png"], "while the encoder trains there is nothing new to see"
    model = ganzoo.load(finished)
    held_back = ganzoo.data.open_source(model.run_config.data, "test").sentences(8)
    with Image.open(finished / "samples" / "000008.png") as picture:
        assert picture.text["text"] == "\n".join(held_back)


def test_segments_freeze_what_they_should():
    model = tiny.build("text-to-image")
    train = presets.run_config("text-to-image").train.model_copy(update={"encoder_steps": 3, "steps": 10})
    first, second = model.segments(train)
    assert (first.part, first.steps, second.part, second.first_step, second.steps) == ("encoder", 3, "gan", 3, 7)
    assert second.first_image == 3 * train.batch_size
    for segment, moved in (
        (first, {"text_encoder", "image_encoder", "word_heads"}),
        (second, {"generator", "discriminator"}),
    ):
        model.start_segment(segment)
        before = {key: np.array(v) for key, v in model.state().items()}
        model.train_step(tiny.batch(model))
        changed = {key.split("/")[0] for key, v in model.state().items() if not np.array_equal(before[key], v)}
        assert changed - {"ema_generator"} == moved
    model.segment = None
    model.weights_source = "elsewhere:1234"
    assert not model.teaches, "a loaded encoder stays as it is"
    with pytest.raises(GanzooError, match="give more steps"):
        model.segments(train.model_copy(update={"steps": 3}))
    with pytest.raises(GanzooError, match=r"leave train\.encoder_steps out"):
        tiny.build("dcgan").segments(train)
    other = tiny.build("text-to-image", encoder="embedding")
    assert other.segments(train) == one_segment(train)


def test_a_resumed_run_ends_as_the_uninterrupted_one(finished, run_of, tmp_path):
    for steps in (6, 8):  # the stop lies in the second segment
        config = run_of("text-to-image", train__steps=steps, **OFTEN)
        training.train(config, out=tmp_path / "parts", resume=steps == 8, strategy="one")
    files = [path / "model" / "weights.safetensors" for path in (finished, tmp_path / "parts")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_fine_tuning_keeps_the_encoder(finished, run_of, tmp_path):
    """For more steps, too, than the encoder's own schedule has."""
    config = run_of("text-to-image", train__steps=3)
    config = presets.run_config(config, {"train.e_optimizer.constant_steps": 1, "train.e_optimizer.decay_steps": 1})
    training.train(config, out=tmp_path / "tuned", init=finished, strategy="one")
    a, b = (ganzoo.load(run) for run in (finished, tmp_path / "tuned"))
    for x, y in zip(a.text_encoder.weights, b.text_encoder.weights, strict=True):
        np.testing.assert_array_equal(x, y)
    assert b.run_config.train.encoder_steps == 0


def test_standing_statistics_are_of_texts_that_were_seen():
    model = tiny.build("text-to-image")
    before = [np.array(v) for v in model.sampler.weights]
    model.finalize()
    for x, y in zip(before, model.sampler.weights, strict=True):
        np.testing.assert_array_equal(x, y)  # nothing was trained
    model.train_step(tiny.batch(model))
    phi = np.array(model.seen)[-tiny.BATCH :]
    assert np.any(phi)
    model.finalize()
    assert any(
        "moving" in v.path and not np.array_equal(x, v) for x, v in zip(before, model.sampler.weights, strict=True)
    )


def test_a_player_without_its_optimizer_table_is_refused():
    config = presets.run_config("text-to-image")
    config = config.model_copy(update={"model": tiny.TINY["text-to-image"]})
    train = config.train.model_copy(update={"e_optimizer": None})
    with pytest.raises(GanzooError, match=r"train\.e_optimizer"):
        zoo.build(config.model_copy(update={"train": train}))


# ---- sentences and styles --------------------------------------------------------------------------------------------
def test_between_sentences_and_between_seeds(model):
    table = explore.between(model, [*TEXTS, "sad"], steps=5, seed=3)
    assert table.shape == (2, 5, 16, 16, 1)
    for place, text in ((table[0, 0], TEXTS[0]), (table[0, -1], TEXTS[1]), (table[1, 0], TEXTS[1])):
        np.testing.assert_array_equal(place, model.generate(text, seed=3)[0])
    noise = explore.between(model, TEXTS[0], steps=3, seeds=[4, 5])
    np.testing.assert_array_equal(noise[0, 0], model.generate(TEXTS[0], seed=4)[0])
    np.testing.assert_array_equal(noise[0, -1], model.generate(TEXTS[0], seed=5)[0])
    with pytest.raises(GanzooError, match="two or more"):
        explore.between(model, TEXTS[0])
    with pytest.raises(GanzooError, match="reads no text"):
        explore.between(tiny.build("dcgan"), TEXTS)


def test_the_style_encoder_inverts_the_generator():
    """Its error falls well below that of the prior, latent_dim, and a picture's style carries over."""
    model = tiny.build("text-to-image", ngf=16)
    for variable in model.ema_generator.trainable_variables:  # wide weights: pictures that differ
        variable.assign(variable.value * 3)
    style = explore.train_style_encoder(model, TEXTS, steps=150)
    z = rows.latents_of(model, rows.row_seeds(99, 32))
    made = model.images_of(z, tf.repeat(model.embeddings(TEXTS[0]), 32, axis=0))
    error = np.mean(np.sum((style(made, training=False) - z) ** 2, axis=1))
    assert error < 0.9 * model.latent_dim
    shown = explore.restyle(model, style, pixels.to_uint8(made[:3]).numpy(), TEXTS)
    assert shown.shape == (3, 2, 16, 16, 1)
    with pytest.raises(GanzooError, match="16 x 16"):
        explore.restyle(model, style, np.zeros((1, 8, 8, 1), np.uint8), TEXTS)


def test_the_config_of_a_run_is_json():
    model = tiny.build("text-to-image")
    assert json.loads(json.dumps(model.get_config()))["encoder"] == "char-cnn-rnn"
    assert keras.saving.get_registered_name(type(model)) == "ganzoo>text-to-image"


# ---- command line, evaluation, export --------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A saved model of 64 px colour pictures, untrained."""
    sizes = {"image_size": 64, "channels": 3, "latent_dim": 6, "text_dim": 7, "text_projection": 5, "ngf": 4, "ndf": 4}
    model = zoo.load("text-to-image", weights=None, encoder_width=8, **sizes)
    return zoo.save(model, tmp_path_factory.mktemp("t2i") / "model")


def test_sentences_on_the_command_line(saved, tmp_path):
    grid, sheet = tmp_path / "grid.png", tmp_path / "between.png"
    said = run("sample", saved, "--text", TEXTS[0], "--text", "x" * 300, "-n", 3, "-o", grid)
    assert "Note: Text 1 has 300 characters; the encoder reads the first 201." in said.stderr
    with Image.open(grid) as picture:
        assert picture.text["text"] == f"{TEXTS[0]}\n{'x' * 300}"
        assert picture.size[0] > picture.size[1], "a row of three for each sentence"
    run("sample", saved, "--text", TEXTS[0], "-n", 2, "-o", tmp_path / "many", "--separate")
    assert sorted(path.name for path in (tmp_path / "many").iterdir()) == ["0000.png", "0001.png"]
    run("explore", "interpolate", saved, "--text", TEXTS[0], "--text", TEXTS[1], "--steps", 4, "-o", sheet)
    assert sheet.is_file()
    for words, sentence in (
        (("sample", saved, "-o", grid), 'give it one, as --text "a girl with long pink hair"'),
        (("sample", saved, "--text", " ", "-o", grid), "Text 0 is empty"),
        (("sample", "dcgan", "--text", "a girl", "-o", grid), "reads no text; leave --text out"),
        (("explore", "walk", saved, "-o", grid), "needs sentences besides its noise"),
    ):
        assert sentence in refused(*words)


def test_samples_are_read_for_what_was_asked(saved, monkeypatch):
    from ganzoo.metrics.features import lorelei_cnn

    model = ganzoo.load(saved)
    found = ganzoo.evaluate(model, metrics=["text-hair-colour", "text-glasses"], n=20, anchors=True)
    assert [row["metric"] for row in found] == ["text-hair-colour_n20_test", "text-glasses_n20_test"]
    for row in found:
        assert 0 <= row["value"] <= 1
        assert "chance" in row["note"]
        assert "ceiling" in row
        assert row["floor"] >= 0.95, "real pictures show what their sentences say, as far as the reader sees it"
    monkeypatch.setattr(lorelei_cnn, "read", lambda images: {"glasses": np.where(images.mean((1, 2, 3)) > 0, "0", "1")})
    (all_without,) = ganzoo.evaluate(model, metrics=["text-glasses"], n=600)
    columns = ganzoo.data.bundled.columns("lorelei_64")
    assert all_without["value"] == pytest.approx(np.mean(columns["glasses"][columns["split"] == "test"] == 0))
    with pytest.raises(GanzooError, match='no metric "text-hair-color"'):
        ganzoo.evaluate(model, metrics=["text-hair-color"])


def test_the_reader_reads_held_back_pictures_as_well_as_its_sidecar_says():
    """The bundled part of the test pictures; in the full set there are more, so a little more or less is right."""
    from ganzoo.metrics.features import lorelei_cnn

    source = ganzoo.data.open_source(presets.read("text-to-image").presets["lorelei-64"].data, "test")
    found = lorelei_cnn.read(source.take(len(source))["image"])
    about = json.loads((lorelei_cnn.ASSETS / lorelei_cnn.SIDECAR).read_text())
    columns = ganzoo.data.bundled.columns("lorelei_64")
    held_back = columns["split"] == "test"
    for column, stated in about["test_accuracy"].items():
        right = np.mean(found[column] == columns[column][held_back].astype(str))
        assert right == pytest.approx(stated, abs=0.03), column


def test_the_reader_with_folded_norms_computes_the_same():
    from ganzoo.metrics.features import lorelei_cnn
    from tools import train_extractor

    model = lorelei_cnn.build(training=True)
    for variable in model.weights:
        if "norm" in variable.path:
            variable.assign(np.random.default_rng(0).uniform(0.5, 1.5, variable.shape))
    plain = lorelei_cnn.build()
    ganzoo.weights.assign({v.path: v for v in plain.weights}, train_extractor.folded(model), "folded")
    x = np.random.default_rng(1).uniform(0, 1, (2, 64, 64, 3)).astype(np.float32)
    for column, logits in plain(x).items():
        np.testing.assert_allclose(logits, model(x, training=False)[column], atol=1e-4)
    with pytest.raises(GanzooError, match="64, 64, 3"):
        lorelei_cnn.read(np.zeros((1, 32, 32, 3), np.uint8))
    assert {
        column: len(np.unique(ganzoo.data.bundled.columns("lorelei_64")[column])) for column in lorelei_cnn.HEADS
    } == {column: len(classes) for column, classes in lorelei_cnn.HEADS.items()}
