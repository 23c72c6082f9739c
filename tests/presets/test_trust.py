"""A folder or TOML file from elsewhere is read and nothing else: what would load code needs the user's word."""

import contextlib

import pytest
import tensorflow as tf
import tiny
from support.cli_runs import run

import ganzoo
from ganzoo import presets, zoo
from ganzoo.errors import GanzooError
from ganzoo.presets import trust


class Encoder(tf.Module):
    """Maps strings to 7 numbers, and writes a file while it does, as a hostile graph could."""

    def __init__(self, mark):
        super().__init__()
        self.mark = str(mark)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def __call__(self, texts):
        with tf.control_dependencies([tf.io.write_file(self.mark, "here")]):
            return tf.tile(tf.cast(tf.strings.length(texts), tf.float32)[:, None], [1, 7])


@pytest.fixture
def stranger(tmp_path):
    """A saved text-to-image model whose config names the SavedModel next to it, and the file that this one would write."""
    mark = tmp_path / "mark"
    tf.saved_model.save(Encoder(mark), str(tmp_path / "code"))
    model = tiny.build("text-to-image", encoder=f"hub:{tmp_path / 'code'}", words=0)
    folder = zoo.save(model, tmp_path / "model")
    mark.unlink()
    return folder, mark


def test_a_folder_runs_no_code_before_it_is_trusted(stranger):
    folder, mark = stranger
    for call in (
        lambda: ganzoo.load(folder),
        lambda: ganzoo.load(folder, weights=None),
        lambda: ganzoo.evaluate(str(folder)),
        lambda: ganzoo.export(str(folder), folder.parent / "export"),
        lambda: ganzoo.train(folder, out=folder.parent / "run"),
        lambda: presets.run_config(folder / "config.toml"),
    ):
        with pytest.raises(GanzooError, match=r"SavedModel .*code \(model.encoder\).*--trust.*trust=True"):
            call()
        assert not mark.exists()
    assert ganzoo.load(folder, trust=True).generate(["a test"], n_per_text=1).shape == (1, 16, 16, 1)
    assert mark.exists()
    with pytest.raises(GanzooError, match="--trust"):  # only for that call
        ganzoo.load(folder)


def test_the_command_line_takes_the_word_at_any_verb(stranger, tmp_path):
    folder, mark = stranger
    words = ["sample", folder, "--text", "a test", "-n", 1, "-o", tmp_path / "a.png"]
    assert run(*words, code=2).stderr.count("--trust") == 1
    assert not mark.exists()
    run(*words, "--trust")
    assert mark.exists()
    trust._granted.set(False)


def test_an_address_in_a_file_is_never_fetched(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text('extends = "text-to-image"\n[model]\nencoder = "hub:https://example.org/encoder"\n')
    for granted in (contextlib.nullcontext(), trust.granted(True)):
        with granted, pytest.raises(GanzooError, match="nothing is fetched because a file says so"):
            presets.run_config(path)
    # What the user typed is the user's word.
    typed = presets.run_config(path, {"model.encoder": "hub:https://example.org/mine"})
    assert typed.model["encoder"] == "hub:https://example.org/mine"


@pytest.mark.parametrize("name", ["huggingface:mnist", "gs://x/y", "../builder", "/tmp/builder.py", "a/b/c"])
def test_a_data_set_of_tfds_is_a_name(name):
    with pytest.raises(GanzooError, match="is named tfds:NAME"):
        ganzoo.data.open_source(presets.DataConfig(shape="images", source=f"tfds:{name}", size=8))


@pytest.mark.parametrize(("key", "value"), [("ngf", 2**16), ("image_size", 2**26), ("latent_dim", 2**30)])
def test_settings_of_far_more_numbers_than_the_weights_take_no_memory(key, value, tmp_path):
    folder = zoo.save(tiny.build("dcgan"), tmp_path / "model")
    config = (folder / "config.toml").read_text()
    before = tiny.TINY["dcgan"].get(key)
    assert f"\n{key} = {before}\n" in config
    (folder / "config.toml").write_text(config.replace(f"\n{key} = {before}\n", f"\n{key} = {value}\n"))
    with pytest.raises(GanzooError, match=r"far more numbers than the [\d,]+ in that file"):
        ganzoo.load(folder)
