"""`serving_default` in three parts: before the network, the network in ONNX Runtime, after it."""

import json

import numpy as np
import pytest
import tensorflow as tf
from tiny import TINY, VARIANTS, build

pytest.importorskip("tf2onnx", reason="pip install 'ganzoo[onnx]'")
from ganzoo import exporting, zoo
from ganzoo.base import pixels
from ganzoo.errors import GanzooError
from ganzoo.exporting import divided, golden, onnx
from ganzoo.media import images

APART = ("context-encoder", "cyclegan", "dtn", "pix2pix")  # they work on pictures of any size, one by one
SLOW = ("anime", "biggan", "text-to-image", "wgan-gp")  # tf2onnx takes seconds


def contrasty(name, more=None):
    """A tiny model whose pictures have contrast: kernels are drawn wider than training begins with."""
    model = zoo.load(name, weights=None, **TINY[name] | (more or {}))
    for seed, variable in enumerate(model.sampler.weights):
        if len(variable.shape) > 1:
            wide = 4.0 if name == "stylegan-lite" else (3 / np.prod(variable.shape[:-1])) ** 0.5
            variable.assign(np.random.default_rng(seed).normal(0, wide, variable.shape))
    return model


def asked(model):
    specs = model.serving_signature()[divided.ENDPOINT][1]
    return {name: golden.rows_for(model, divided.ENDPOINT, name, spec) for name, spec in specs.items()}


@pytest.mark.parametrize("name", APART)
def test_papers_of_pictures_of_any_size_stay_whole(name):
    assert zoo.load(name, weights=None, **TINY[name]).serving_around() is None


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in TINY if n not in APART]
)
def test_the_parts_show_what_generate_shows(name, tmp_path):
    """Alone and in calls of every number of rows that a server makes; ONNX Runtime may round a value to the next step."""
    model = contrasty(name)
    onnx.write(model, tmp_path)
    divided.write(model.serving_around(), tmp_path)
    parts, rows = divided.Divided(tmp_path), asked(model)
    wanted = model.portable_signature()["tensors"][1]
    floats = parts.before(
        **{key: tf.constant(value, model.serving_around().before[1][key].dtype) for key, value in rows.items()}
    )
    assert floats.keys() == wanted.keys()
    assert all(spec.is_compatible_with(floats[key]) for key, spec in wanted.items())
    function, specs = model.serving_signature()["serving_default"]
    whole = tf.function(function, input_signature=list(specs.values()))

    def keras(given):
        return {"image_bytes": whole(**given)["image_bytes"].numpy()}

    found = divided.compare(keras, parts, rows, alone=4)
    assert found["rows"] == 4 + sum(divided.BUCKETS[1:])
    assert found["steps"] <= 1
    assert found["differing"] < 2e-3
    assert found["equal"] == (found["differing"] == 0)
    first = {key: value[:1] for key, value in rows.items()}
    picture = images.read_image(parts(first)["image_bytes"][0], None)
    assert np.ptp(picture) > 30, "too flat to tell anything"
    if model.task == "latent":
        options = {"label": 0} if model.classes else {"attributes": {}} if model.attributes else {}
        sample = model.generate(1, seed=int(rows["seed"][0]), **options)
        wanted = sample if sample.ndim == 4 else pixels.depth_pictures(tf.constant(sample)).numpy()
    elif model.task == "text":
        wanted = model.generate(golden.TEXTS[0], seed=int(rows["seed"][0]))
    else:
        given = images.read_image(rows["image_bytes"][0], model.channels)[None]
        wanted = model.generate(given, **model.example_options | {"age": float(rows["age"][0])})
    assert np.abs(picture.astype(int) - wanted[0]).max() <= 1


def test_what_differs_is_found_and_counted():
    """One of 16 x 16 values of the second row is two steps off where it runs with others."""
    picture = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)

    def answers(given, wrong):
        rows = [picture.copy() for _ in given["seed"]]
        if wrong and len(rows) > 1:
            rows[1][3, 4] += 2
        return {"image_bytes": np.array([images.png_bytes(row) for row in rows], object)}

    rows = {"seed": np.zeros(3, np.int64)}
    found = divided.compare(lambda given: answers(given, False), lambda given: answers(given, True), rows)
    calls = 32 + sum(divided.BUCKETS[1:])
    assert found == {"rows": calls, "equal": False, "differing": 5 / 256 / calls, "steps": 2}
    same = divided.compare(*[lambda given: answers(given, True)] * 2, rows)
    assert (same["equal"], same["differing"], same["steps"]) == (True, 0.0, 0)


def test_the_certificate_says_whether_the_bytes_are_the_same(tmp_path):
    model = contrasty("gan")
    exporting.export(model, tmp_path, formats=["savedmodel", "onnx"], allow_random=True)
    found = json.loads((tmp_path / "parity.json").read_text())["formats"]["onnx"]["serving_default"]
    assert set(found) == {"rows", "equal", "differing", "steps"}
    assert found["rows"] == 94
    assert found["steps"] <= 1
    assert {path.name for path in (tmp_path / "onnx").iterdir()} == {"tensors.onnx", "around", "manifest.json"}
    assert not list((tmp_path / "onnx" / "around").glob("variables/variables.data*")) or _stored(tmp_path) == set()


def _stored(folder):
    reader = tf.train.load_checkpoint(str(folder / "onnx" / "around" / "variables" / "variables"))
    return {key for key in reader.get_variable_to_shape_map() if key.endswith("VARIABLE_VALUE")}


def test_only_the_text_encoder_has_weights_around(tmp_path):
    model = zoo.load("text-to-image", weights=None, **TINY["text-to-image"])
    divided.write(model.serving_around(), tmp_path)
    reader = tf.train.load_checkpoint(str(tmp_path / "around" / "variables" / "variables"))
    shapes = [tuple(s) for key, s in reader.get_variable_to_shape_map().items() if key.endswith("VARIABLE_VALUE")]
    assert sorted(shapes) == sorted(tuple(v.shape) for v in model.text_encoder.weights)


def test_a_paper_that_does_not_come_apart_has_no_ends(tmp_path):
    exporting.export(contrasty("dtn"), tmp_path, formats=["onnx"], allow_random=True)
    assert not (tmp_path / "onnx" / "around").exists()
    assert "serving_default" not in json.loads((tmp_path / "parity.json").read_text())["formats"]["onnx"]


def test_a_file_that_is_no_network_and_inputs_that_are_none(tmp_path):
    model = contrasty("gan")
    onnx.write(model, tmp_path)
    with pytest.raises(RuntimeError, match=r"ONNX Runtime [\d.]+ failed"):
        onnx.Network(tmp_path / "tensors.onnx")({"latents": np.zeros((1, 2), np.float32)})
    (tmp_path / "x.onnx").write_bytes(b"no network")
    with pytest.raises(GanzooError, match=r"ONNX Runtime [\d.]+ cannot read .*x\.onnx"):
        onnx.Network(tmp_path / "x.onnx")


def test_other_forms_of_a_paper_come_apart_too():
    """With labels, with an encoder, with embeddings from elsewhere: one graph of the three is what is served."""
    for name, more in (
        ("stylegan-lite", VARIANTS["stylegan-lite"][0]),
        ("text-to-image", VARIANTS["text-to-image"][1]),
        ("3d-gan", VARIANTS["3d-gan"][0]),
    ):
        model = build(name, **more)
        before, after = model.serving_around()
        given = {key: tf.constant(value, before[1][key].dtype) for key, value in asked(model).items()}
        made = after[0](**model.portable_signature()["tensors"][0](**before[0](**given)))
        whole = model.serving_signature()["serving_default"][0](**given)
        assert made["image_bytes"].numpy().tolist() == whole["image_bytes"].numpy().tolist()
