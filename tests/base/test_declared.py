"""A paper is what it declares: made-up papers whose arguments and methods have misleading names are taken for what they say."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import ganzoo
from ganzoo import evaluation, explore, exporting, losses, presets, registry, sampling, zoo
from ganzoo.base import BaseGAN, LatentGAN, pixels, rows
from ganzoo.base.declared import Checks
from ganzoo.doctor import distribute, small
from ganzoo.errors import GanzooError
from ganzoo.evaluation import paper_metrics, path_length
from ganzoo.exporting import networks, web
from ganzoo.training.transfer import Transfer

SIDE = 30  # no multiple of 2 ** num_downs


def discriminator(channels):
    image = keras.Input((None, None, channels), name="image")
    x = keras.layers.Conv2D(4, 3, 2, "same", activation="tanh", name="in_conv")(image)
    x = keras.layers.Conv2D(3, 3, 2, "same", activation="tanh", name="from_rgb_to_lab")(x)  # no channels of pictures
    x = keras.layers.GlobalAveragePooling2D(name="mean")(x)
    return keras.Model(image, keras.layers.Dense(1, name="logit")(x), name="discriminator")


class Sharpener(BaseGAN):
    """Pairs of pictures, any size. `num_downs` is how often the colour is turned down, `translator` who made the pairs, and
    `encoder_size` the bytes of a file; `latents`, `styles_of` and `voxels_of` are nobody's capabilities."""

    task = "image"

    def __init__(self, *, num_downs=5, translator="anna", encoder_size=64, pool_size=7, ema_decay=0.0):
        super().__init__(locals())

        def generator():
            image = keras.Input((None, None, 3), name="image")
            x = keras.layers.Conv2D(8, 3, padding="same", activation="tanh", name="from_rgb")(image)
            x = keras.layers.Conv2D(3, 3, padding="same", activation="tanh", name="out")(x)
            return keras.Model(image, x, name="generator")

        self.register_networks(generator=generator, discriminator=lambda: discriminator(6))

    latents = styles_of = voxels_of = per_image_sampler = property(lambda self: pytest.fail("nobody asks for this"))

    def batch_signature(self):
        return {key: tf.TensorSpec([None, None, None, 3], tf.float32) for key in ("input", "target")}

    def train_step(self, data):
        x, y = self.unpack(data)
        with tf.GradientTape() as tape:
            fake = self.generator(x)
        with tf.GradientTape() as of_d:
            real_logits, fake_logits = (self.discriminator(tf.concat([x, z], -1)) for z in (y, tf.stop_gradient(fake)))
            d_loss = losses.non_saturating_d(real_logits, fake_logits)
        self.minimize(of_d, d_loss, "d_optimizer")
        with tape:
            g_loss = losses.non_saturating_g(self.discriminator(tf.concat([x, fake], -1)))
        self.minimize(tape, g_loss, "g_optimizer")
        self.update_ema()
        return self.log(d_loss=d_loss, g_loss=g_loss, fooled=losses.judgement(real_logits, fake_logits)["fooled"])

    def generate(self, images, *, seed=0):
        return pixels.to_uint8(self.sampler(pixels.images_in(images, 3))).numpy()

    def serving_signature(self):
        def tensors(images):
            return {"images": self.sampler(images)}

        def serve(image_bytes):
            one = lambda row: tf.io.encode_png(  # noqa: E731
                pixels.to_uint8(self.sampler(pixels.decode_image(row, 3)[None]))[0]
            )
            return {"image_bytes": tf.map_fn(one, image_bytes, fn_output_signature=tf.string)}

        image = tf.TensorSpec([None, None, None, 3], tf.float32, name="images")
        return {
            "serving_default": (serve, {"image_bytes": tf.TensorSpec([None], tf.string, name="image_bytes")}),
            "tensors": (tensors, {"images": image}),
        }


class Dots(LatentGAN):
    """Pictures from noise. It has no styles, reads no pictures and makes no voxels, whatever its attributes are called."""

    def __init__(self, *, image_size=8, channels=3, encoder_size=32, ema_decay=0.0):
        super().__init__(locals())
        self.latent_dim = 4

        def generator(image_size, channels):
            z = keras.Input((4,), name="latents")
            x = keras.layers.Dense(image_size**2 * channels, activation="tanh", name="to_rgb")(z)
            x = keras.layers.Reshape((image_size, image_size, channels), name="pixels")(x)
            return keras.Model(z, x, name="generator")

        self.register_networks(generator=generator, discriminator=discriminator)

    styles_of = voxels_of = translator = num_downs = property(lambda self: pytest.fail("nobody asks for this"))


@pytest.fixture
def zoo_of_two(monkeypatch):
    """Both papers as if they stood in the zoo, with a preset each on bundled data."""
    files = dict(presets.catalogue._files())
    for cls, name, like in ((Sharpener, "sharpener", "pix2pix"), (Dots, "dots", "dcgan")):
        file = presets.read(like)
        preset = next(iter(file.presets.values()))
        data = preset.data.model_copy(update={"size": SIDE if cls is Sharpener else 8, "channels": 3})
        data = data.model_copy(update={"input_channels": 3} if cls is Sharpener else {"split": "test"})
        train = preset.train.model_copy(update={"precision": "float32"})
        preset = preset.model_copy(update={"model": {}, "weights": None, "results": (), "data": data, "train": train})
        files[name] = file.model_copy(
            update={"paper": file.paper.model_copy(update={"aliases": ()}), "presets": {"only": preset}}
        )
        monkeypatch.setattr(cls, "paper", name, raising=False)
        monkeypatch.setitem(registry._MODELS, name, cls)
    monkeypatch.setattr(presets.catalogue, "_files", lambda: files)


@pytest.fixture
def sharpener(zoo_of_two):
    return zoo.load("sharpener", weights=None)


@pytest.fixture
def dots(zoo_of_two):
    return zoo.load("dots", weights=None)


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


def test_a_page_runs_what_is_declared(sharpener, dots, tmp_path):
    assert web._picture_size(sharpener) == SIDE, "num_downs is not a stride"
    assert {name: set(inputs) for name, (_, inputs) in networks.networks(sharpener, SIDE).items()} == {
        "network": {"images"}
    }
    assert web._write_noise(sharpener, SIDE, tmp_path) == {"seeds": 1}
    assert not list(tmp_path.iterdir()), "it draws nothing: no masks, no latents"
    assert web._about(sharpener, SIDE)["task"] == "image"
    answers = web.golden_answers(sharpener)["network"]
    made = sharpener.sampler(answers["inputs"]["images"]).numpy()
    np.testing.assert_allclose(answers["outputs"]["images"], made, atol=1e-6)

    assert set(networks.networks(dots, 8)["network"][1]) == {"latents"}
    assert web._write_noise(dots, 8, tmp_path) == {"seeds": networks.LATENT_SEEDS, "latents": 4}
    table = np.fromfile(tmp_path / "latents.bin", "<f4").reshape(-1, 4)
    np.testing.assert_array_equal(dots.generate(latents=table[3:4]), dots.generate(1, seed=3))
    assert web._about(dots, 8)["task"] == "generator"


def test_what_a_page_cannot_draw_is_refused(sharpener, monkeypatch):
    endpoint, inputs = sharpener.serving_signature()["tensors"]
    seeded = {"tensors": (endpoint, inputs | {"seed": tf.TensorSpec([None], tf.int64)})}
    monkeypatch.setattr(sharpener, "serving_signature", lambda: seeded)
    with pytest.raises(GanzooError, match="sharpener has no web page: what it draws is not an input of its networks"):
        networks.networks(sharpener, SIDE)


def test_an_export_is_checked_against_the_model(sharpener, tmp_path):
    folder = exporting.export(sharpener, tmp_path / "out", allow_random=True)
    assert (folder / "saved_model.pb").is_file()


def test_sampling_asks_for_what_is_declared(sharpener, dots, picture, tmp_path):
    sampling.require_task(sharpener, "image")
    np.testing.assert_array_equal(sampling.translate(sharpener, picture), sharpener.generate(picture[None])[0])
    with pytest.raises(GanzooError, match="sharpener/only turns pictures into pictures: give it one"):
        sampling.sample_grid(sharpener)
    with pytest.raises(GanzooError, match="has one direction only"):
        sampling.require_direction(sharpener, "b2a")
    with pytest.raises(GanzooError, match="dots/only makes pictures from noise and takes no --input"):
        sampling.require_task(dots, "image")
    pairs = {"input": picture[None], "target": picture[None] // 2}
    shown = sampling.translations(sharpener, pairs, 0)
    np.testing.assert_array_equal(np.concatenate(shown[1:]), [sharpener.generate(picture[None])[0], picture // 2])
    for model in (sharpener, dots):
        with pytest.raises(GanzooError, match="makes pictures; --gif and --mesh are for models of shapes"):
            sampling.shapes_of(model, 1, 0)


def test_exploring_finds_no_styles_where_none_are_declared(sharpener, dots):
    with pytest.raises(GanzooError, match="turns pictures into pictures and has no latent space"):
        explore.walk(sharpener, "0:1")
    with pytest.raises(GanzooError, match="dots/only has no style layers"):
        explore.mix(dots, "0:0", "0:1")
    assert path_length.spherical(dots)


def test_metrics_are_those_of_the_data_and_of_the_paper_itself(sharpener, dots, monkeypatch):
    config = sharpener.run_config.data
    assert set(paper_metrics.of(sharpener, config)) == set(paper_metrics.PAIRED)
    assert paper_metrics.of(dots, dots.run_config.data) == {}
    with pytest.raises(GanzooError, match='dots has no metric "linear-d-features"'):
        evaluation.evaluate(stepped(dots), metrics="linear-d-features")

    def brightness(subject, which, name, n):
        return name, subject.n, evaluation.scores.Score(float(subject.sets.pictures(which).array().mean()))

    monkeypatch.setattr(Dots, "own_metrics", {"brightness": brightness})
    assert paper_metrics.of(dots, dots.run_config.data) == {"brightness": brightness}
    (found,) = evaluation.evaluate(stepped(sharpener), metrics="l1", n=4)
    inputs = ganzoo.data.open_source(config, config.test_split).take(4)
    made = sharpener.generate(inputs["input"])
    assert found["value"] == pytest.approx(np.abs(made / 255 - inputs["target"] / 255).mean(), rel=1e-5)


def stepped(model):
    """Random weights, but of a step: what `evaluate` accepts."""
    model.step.assign(1)
    return model


def test_the_doctor_tries_a_paper_as_it_says(zoo_of_two, monkeypatch):
    assert small.checks("dots") == Checks()
    assert small.config("dots").model == {"ema_decay": 0.5}
    monkeypatch.setattr(Sharpener, "checks", Checks(small={"model.num_downs": 2}, mixes="nothing, really"))
    assert small.config("sharpener").model == {"ema_decay": 0.5, "num_downs": 2}
    record = distribute.check("sharpener")
    assert record["ok"]
    assert record["mixes"] == ["nothing, really"]
    assert "plain" not in record


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("growth", {"start_size": 4, "stable": 8, "fade": 8}, "dots trains at one size: leave train.growth out."),
        ("encoder_steps", 3, "dots has no encoder to train by itself: leave train.encoder_steps out."),
    ],
)
def test_options_of_some_papers_are_taken_where_they_are_declared(dots, monkeypatch, option, value, sentence):
    train = presets.run_config(dots.run_config, {f"train.{option}": value}).train
    with pytest.raises(GanzooError) as caught:
        dots.segments(train)
    assert str(caught.value) == sentence
    monkeypatch.setattr(Dots, "train_options", (option,))
    assert [segment.steps for segment in dots.segments(train)] == [train.steps]


def test_channels_are_mapped_in_the_layers_that_are_declared(zoo_of_two):
    """`from_rgb_to_lab` has 4 and 3 channels of its own: of another number its weights begin anew."""
    colour, grey = Dots(channels=3), Dots(channels=1)
    arrays = {key: np.array(variable) for key, variable in colour.state().items()}
    transfer = Transfer(grey)
    transfer(grey.state(), arrays, "a file")
    rows = dict(transfer.rows)
    assert rows["discriminator/in_conv/kernel"] == "sum over RGB"
    assert rows["discriminator/from_rgb_to_lab/kernel"] == "reused"
    wide = {key: np.tile(a, 3) if key.endswith("in_conv/kernel") else a for key, a in arrays.items()}
    inner = "discriminator/from_rgb_to_lab/kernel"
    wide[inner] = np.repeat(arrays[inner], 3, axis=-2)
    transfer = Transfer(colour)
    transfer(colour.state(), wide, "a file")
    assert dict(transfer.rows)[inner] == "new"


def test_latents_of_a_seed_are_those_of_generate(dots):
    noise = dots.page_noise(8, rows.row_seeds(5, 2))["latents"]
    np.testing.assert_array_equal(dots.generate(latents=noise.numpy()), dots.generate(2, seed=5))
