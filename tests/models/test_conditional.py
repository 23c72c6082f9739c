"""Models with classes from end to end: labels of folders, IDX and TFDS sets, training, sampling, evaluation."""

import gzip
import json
import struct

import numpy as np
import pytest
import tensorflow as tf
import tiny
from PIL import Image
from support.cli_runs import refused, run, settings

import ganzoo
from ganzoo import data, evaluation, presets
from ganzoo.data import open_source
from ganzoo.errors import GanzooError
from ganzoo.media import images

TINY = {
    "model.image_size": 8, "model.fmap_base": 16, "model.fmap_max": 4, "model.latent_dim": 4, "model.w_dim": 4,
    "model.mapping_layers": 2, "model.mapping_width": 4, "model.classes": 3, "data.size": 8, "train.batch_size": 4,
    "train.steps": 2, "train.log_every": 1, "train.sample_every": 2, "train.health_every": 0, "train.precision": "float32",
}  # fmt: skip
GRAYS = {"cat": 30, "dog": 130, "owl": 230}  # the class can be read off a picture


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """train/ and test/ with a folder a class; the test split has no owl."""
    root = tmp_path_factory.mktemp("classes")
    for split, names in (("train", ["owl", "cat", "dog"]), ("test", ["dog", "cat"])):
        for name in names:
            for i in range(4):
                images.write_png(root / split / name / f"{i}.png", np.full((8, 8, 3), GRAYS[name] + i, np.uint8))
    return root


@pytest.fixture(scope="module")
def trained(tree, tmp_path_factory):
    """A run folder of a conditional stylegan-lite, trained by the command line on the folders."""
    out = tmp_path_factory.mktemp("runs") / "run"
    run("train", "stylegan-lite", "-o", out, "--data", tree, *settings(TINY))
    return out


def config(source, **options):
    return presets.DataConfig(**{"shape": "images", "source": str(source), "size": 8} | options)


# ---- labels ----------------------------------------------------------------------------------------------------------
def test_a_folder_is_a_class_and_its_number_is_the_same_in_every_split(tree):
    for split, expected in (("train", [0, 1, 2]), ("test", [0, 1])):
        source = open_source(config(tree), split)
        assert sorted(set(source.labels)) == expected
        first = source.take(99)["image"][:, 0, 0, 0].astype(int)
        assert (first // 100).tolist() == source.labels.tolist(), "cat, dog, owl are 0, 1, 2"
        assert source.summary()["classes"] == ["cat", "dog", "owl"]


def test_pictures_without_a_folder_leave_all_without_labels(tree, tmp_path):
    for name, picture in (("a/1.png", 1), ("a/2.png", 2), ("b/1.png", 3), ("loose.png", 4)):
        images.write_png(tmp_path / name, np.full((8, 8, 3), picture, np.uint8))
    assert open_source(config(tmp_path)).labels is None
    (tmp_path / "loose.png").unlink()
    assert open_source(config(tmp_path)).labels.tolist() == [0, 0, 1]
    images.write_png(tmp_path / "only" / "x" / "1.png", np.zeros((8, 8, 3), np.uint8))
    images.write_png(tmp_path / "only" / "x" / "2.png", np.zeros((8, 8, 3), np.uint8))
    assert open_source(config(tmp_path / "only")).labels is None, "one folder around all says nothing"


def test_labels_stay_with_the_pictures_that_can_be_read(tmp_path):
    for name, gray in GRAYS.items():
        for i in range(2):
            images.write_png(tmp_path / name / f"{i}.png", np.full((8, 8, 3), gray, np.uint8))
    (tmp_path / "cat" / "0.png").write_bytes(b"no picture")
    source = open_source(config(tmp_path))
    assert source.labels.tolist() == [0, 1, 1, 2, 2]
    batch = next(iter(data.build(config(tmp_path), 5, labels=True)))
    gray = np.round((batch["image"].numpy()[:, 0, 0, 0] + 1) * 127.5).astype(int)
    assert gray.tolist() == [list(GRAYS.values())[label] for label in batch["label"].numpy()]


def test_idx_labels(tmp_path):
    def idx(array):
        return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()

    kinds = np.arange(6, dtype=np.uint8) % 3
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(
        gzip.compress(idx(np.repeat(kinds, 64).reshape(6, 8, 8) * 100))
    )
    assert open_source(config(tmp_path, channels=1)).labels is None
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(kinds))
    assert open_source(config(tmp_path, channels=1)).labels.tolist() == kinds.tolist()


def test_tfds_labels(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("GANZOO_DATA", str(tmp_path))
    small = {f"{split}_images": np.repeat(np.arange(n) % 10, 784).reshape(n, 28, 28) * 20 for split, n in SIZES.items()}
    small |= {f"{split}_labels": np.arange(n) % 10 for split, n in SIZES.items()}
    names = np.array([f"kind {i}" for i in range(10)])
    np.savez(tmp_path / "fashion_mnist.npz", class_names=names, **{k: v.astype(np.uint8) for k, v in small.items()})
    builder = tfds.builder("fashion", data_dir=str(tmp_path))
    builder.download_and_prepare()
    source = open_source(config("tfds:fashion", channels=1, size=28))
    assert len(source.labels) == SIZES["train"]
    assert (source.take(99)["image"][:, 0, 0, 0] // 20).tolist() == source.labels.tolist()


SIZES = {"train": 20, "test": 10}


def test_too_few_classes_and_no_labels_are_said_in_a_sentence(tree, tmp_path):
    few = settings(TINY | {"model.classes": 2})
    words = ["train", "stylegan-lite", "-o", tmp_path / "a", *few]
    assert "has 3 classes, the model 2: set model.classes = 3" in refused(*words, "--data", tree)
    assert "into a folder of its own" in refused(*words, "--data", tree / "train" / "cat")
    assert not (tmp_path / "a" / "log.jsonl").exists()
    with pytest.raises(GanzooError, match=r"needs labels, and .* has none"):
        data.build(config(tree / "train" / "cat"), 2, labels=True)


# ---- sampling --------------------------------------------------------------------------------------------------------
def test_sample_shows_the_classes_in_turn_or_the_one_that_is_asked_for(trained, tmp_path):
    model, out = ganzoo.load(trained), tmp_path / "grid.png"
    run("sample", trained, "-n", 6, "--columns", 3, "-o", out)
    expected = images.grid(model.generate(6, label=[0, 1, 2, 0, 1, 2]), 3)
    np.testing.assert_array_equal(images.read_image(out), expected)
    result = run("sample", trained, "-n", 2, "--label", 1, "--psi", 0.4, "--cutoff", 2, "-o", out, "--json")
    expected = images.grid(model.generate(2, label=1, truncation_psi=0.4, cutoff=2))
    np.testing.assert_array_equal(images.read_image(out), expected)
    with Image.open(out) as picture:
        assert {key: picture.text[key] for key in ("psi", "cutoff", "label")} == {
            "psi": "0.4",
            "cutoff": "2",
            "label": "1",
        }
    assert {key: json.loads(result.stdout)[key] for key in ("psi", "cutoff", "label")} == {
        "psi": 0.4, "cutoff": 2, "label": 1,
    }  # fmt: skip
    run("sample", trained, "-n", 2, "--label", 1, "--separate", "-o", tmp_path / "cells")
    cells = [images.read_image(file) for file in sorted((tmp_path / "cells").iterdir())]
    np.testing.assert_array_equal(cells, model.generate(2, label=1))


def test_options_that_a_model_does_not_take(trained, tmp_path):
    out = tmp_path / "a.png"
    for word, value, reason in (
        ("psi", 0.5, "styles to truncate"),
        ("cutoff", 2, "layers of styles"),
        ("label", 1, "classes"),
    ):
        said = refused("sample", "dcgan/fashion-32", "-n", 1, f"--{word}", value, "-o", out)
        assert f"takes no --{word}" in said
        assert reason in said
    assert "0 to 2" in refused("sample", trained, "--label", 3, "-o", out)
    assert "truncation_psi must be in [-1, 1]" in refused("sample", trained, "--psi", 1.5, "-o", out)
    assert not out.exists()


# ---- evaluation ------------------------------------------------------------------------------------------------------
def test_samples_are_measured_with_labels_of_the_training_set(trained, tmp_path, monkeypatch):
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path))
    model, asked = ganzoo.load(trained), []
    generate = model.generate

    def noted(*args, label=None, **options):
        asked.append((label, options["truncation_psi"]))
        return generate(*args, label=label, **options)

    monkeypatch.setattr(model, "generate", noted)
    (record,) = evaluation.evaluate(model, metrics=["kid_efficientnet-lite0"], n=300)
    labels = np.concatenate([row for row, _ in asked])
    assert np.isfinite(record["value"])
    assert len(labels) == 300
    assert {psi for _, psi in asked} == {1.0}, "measured without truncation"
    share = np.bincount(labels, minlength=3) / 300
    assert abs(share - 1 / 3).max() < 0.1, "the training set has as many of each"


def test_path_length_of_a_conditional_model_keeps_to_a_class():
    from ganzoo.evaluation import path_length

    model = tiny.build("stylegan-lite", classes=3)
    assert path_length.spherical(model), "z of StyleGAN is normal"
    seen = []

    class Extractor:
        resize = "none"

        class network:
            channels, size = 1, 16

            @staticmethod
            def forward(x):
                return [x[:, :, :, 0]]

    def images_of(latents, labels):
        seen.append(labels)
        return tf.tile(latents[:, :1, None, None], [1, 16, 16, 1])

    model.images_of = images_of
    first, second = path_length.path_features(model, Extractor, 5, 0, 1e-2, np.array([2, 2, 2]))
    assert first.shape == second.shape == (5, 16, 16)
    assert len(seen) == 1
    assert seen[0].shape == (5,)
