"""ONNX, LiteRT and the certificate: every registered model in every format, asked by the runtimes themselves."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from support.cli_runs import refused, run
from tiny import TINY

from ganzoo import exporting, registry, zoo
from ganzoo.errors import GanzooError
from ganzoo.exporting import golden, parity

CHECKER = Path(__file__).resolve().parents[2] / "export" / "check_saved_model.py"
FORMATS = ("onnx", "onnx-float16", "onnx-int8", "litert", "litert-float16", "litert-int8")


def needs(package, extra):
    missing = importlib.util.find_spec(package) is None
    return pytest.mark.skipif(missing, reason=f"needs {package}: pip install 'ganzoo[{extra}]'")


pytestmark = [needs("tf2onnx", "onnx"), needs("onnxruntime", "onnx"), needs("ai_edge_litert", "litert")]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """name -> (model, folder of all formats but SavedModel). Averaged weights are others than the generator's."""
    root, found = tmp_path_factory.mktemp("formats"), {}
    for name in registry.models():
        model = zoo.load(name, weights=None, **(TINY[name] | {"ema_decay": 0.9}))
        for number, (_, network) in enumerate(model.averages()):
            for variable in network.weights:
                variable.assign(variable.value * 0.5 + 0.01 * number)
        formats = FORMATS if name in ("dcgan", "pix2pix") else ("onnx", "litert")
        exporting.export(model, root / name, formats=formats, allow_random=True)
        found[name] = model, root / name
    return found


@pytest.mark.parametrize("name", list(TINY))
def test_every_endpoint_of_floats_is_there_and_answers_as_keras(exported, name):
    """Asked here again, with other inputs than the golden ones and another number of rows."""
    model, folder = exported[name]
    endpoints = model.portable_signature()
    assert endpoints, "each paper has at least one endpoint that converts"
    for form in ("onnx", "litert"):
        suffix = {"onnx": ".onnx", "litert": ".tflite"}[form]
        assert {file.stem for file in (folder / form).glob(f"*{suffix}")} == set(endpoints)
        for endpoint, (function, specs) in endpoints.items():
            random = np.random.default_rng(5)
            inputs = {k: random.uniform(-1, 1, [2, *spec.shape[1:]]).astype(np.float32) for k, spec in specs.items()}
            inputs |= {k: np.array([0.3, 0.9], np.float32) for k in inputs if k == "truncation_psi"}
            inputs |= {k: np.array([0, 1]).astype(s.dtype.as_numpy_dtype) for k, s in specs.items() if k == "label"}
            wanted = function(**{key: tf.constant(value) for key, value in inputs.items()})
            given = exporting.FORMATS[form].module.answers(folder / form, endpoint, inputs)
            assert set(given) == set(wanted)
            for key, value in wanted.items():
                np.testing.assert_allclose(given[key], value, atol=1e-3, err_msg=f"{form} {endpoint} {key}")


@pytest.mark.parametrize("name", list(TINY))
def test_the_certificate_holds_every_format_and_output(exported, name):
    model, folder = exported[name]
    certificate = json.loads((folder / "parity.json").read_text())
    assert set(certificate["formats"]) == {path.name for path in folder.iterdir() if path.is_dir()}
    assert len(certificate["weights_sha256"]) == 64
    for form, part in certificate["formats"].items():
        assert set(part["endpoints"]) == set(model.portable_signature())
        for outputs in part["endpoints"].values():
            for facts in outputs.values():
                assert 0 <= facts["mean_error"] <= facts["max_error"] <= facts["max_allowed"], form
    manifest = json.loads((folder / "onnx" / "manifest.json").read_text())
    assert manifest["weights_sha256"] == certificate["weights_sha256"]
    assert set(manifest["endpoints"]) == set(model.portable_signature())


@pytest.mark.parametrize("family", ["onnx", "litert"])
@pytest.mark.parametrize("name", ["dcgan", "pix2pix"])
def test_fewer_bits_for_large_weights(tmp_path, family, name):
    """A wider model, so that there are large weights: half and a quarter of the bytes, and a loss that is measured."""
    sizes = {"dcgan": {"ngf": 16}, "pix2pix": {"ngf": 16}}[name]
    model = zoo.load(name, weights=None, **(TINY[name] | sizes))
    forms = [family, f"{family}-float16", f"{family}-int8"]
    exporting.export(model, tmp_path, formats=forms, allow_random=True)
    parts = json.loads((tmp_path / "parity.json").read_text())["formats"]
    whole, half, quarter = (parts[form] for form in forms)
    assert half["bytes"] < 0.65 * whole["bytes"]
    assert quarter["bytes"] < 0.45 * whole["bytes"]
    (worst, *_), (exact, *_) = (
        [f["max_error"] for outputs in part["endpoints"].values() for f in outputs.values()]
        for part in (quarter, whole)
    )
    assert worst > exact, "eight bits cost something, and the certificate says it"


def test_onnx_takes_any_number_of_rows_and_keeps_names_apart(exported):
    import onnxruntime

    session = onnxruntime.InferenceSession(str(exported["pix2pix"][1] / "onnx" / "tensors.onnx"))
    assert [(i.name, i.shape[0]) for i in session.get_inputs()] == [("images", "N")]
    assert [o.name for o in session.get_outputs()] == ["images_out"]
    side = session.get_inputs()[0].shape[1]
    assert session.run(None, {"images": np.zeros((5, side, side, 1), np.float32)})[0].shape[:3] == (5, side, side)


def test_pix2pix_brings_the_dropout_of_seed_zero(exported):
    """Its portable network is `tensors` with seed 0 for every row; another seed draws another picture."""
    model, folder = exported["pix2pix"]
    picture = np.random.default_rng(1).uniform(-1, 1, (2, 64, 64, 1)).astype(np.float32)
    given = exporting.FORMATS["onnx"].module.answers(folder / "onnx", "tensors", {"images": picture})["images"]
    tensors, _ = model.serving_signature()["tensors"]
    same, other = (tensors(tf.constant(picture), tf.constant([s, s], tf.int64))["images"].numpy() for s in (0, 5))
    np.testing.assert_allclose(given, same, atol=1e-4)
    assert np.abs(same - other).max() > 1e-3


def test_a_network_too_large_for_the_converter_is_refused_in_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(exporting.onnx, "LARGEST", 1000)
    model = zoo.load("dcgan", weights=None, **TINY["dcgan"])
    with pytest.raises(GanzooError, match=r"onnx cannot be written.*litert has no such limit"):
        exporting.export(model, tmp_path, formats="onnx", allow_random=True)
    assert not list(tmp_path.iterdir())


# ---- the certificate ----------------------------------------------------------------------------------------------------
def test_errors_are_shares_of_the_range_by_hand():
    black, white = np.full((1, 12, 12, 3), -1.0, np.float32), np.ones((1, 12, 12, 3), np.float32)
    facts = parity.compare({"images": black}, {"images": white})["images"]
    assert facts["max_error"] == facts["mean_error"] == 1.0
    half = parity.compare({"voxels": np.zeros((1, 2, 2, 2, 1))}, {"voxels": np.full((1, 2, 2, 2, 1), 0.5)})["voxels"]
    assert (half["max_error"], half["ssim"]) == (0.5, None)
    vector = parity.compare({"embedding": np.array([[4.0, -8.0]])}, {"embedding": np.array([[4.0, -4.0]])})["embedding"]
    assert (vector["max_error"], vector["mean_error"]) == (0.5, 0.25)


def test_a_format_that_answers_otherwise_is_not_written(tmp_path, monkeypatch):
    """One weight in the middle of the ONNX file turned: the certificate fails, and neither folder nor certificate appears."""
    module = exporting.FORMATS["onnx"].module
    plain = module.answers
    monkeypatch.setattr(module, "answers", lambda *a: {k: v + 0.1 for k, v in plain(*a).items()})
    model = zoo.load("dcgan", weights=None, **TINY["dcgan"])
    with pytest.raises(GanzooError, match=r"onnx is not what was trained.*Nothing was written"):
        exporting.export(model, tmp_path / "out", formats=("savedmodel", "onnx"), allow_random=True)
    assert not list((tmp_path / "out").iterdir())


def test_golden_answers_travel_along_and_are_checked_without_ganzoo(tmp_path):
    """The checker fails where an answer of the export is another one; and formats of another export leave the certificate."""
    model = zoo.load("dcgan", weights=None, **TINY["dcgan"])
    path = exporting.export(model, tmp_path / "out", formats=("savedmodel", "onnx"), allow_random=True)
    assert list(json.loads((tmp_path / "out" / "parity.json").read_text())["formats"]) == ["savedmodel", "onnx"]
    file = path / golden.FILE
    arrays = dict(np.load(file))
    assert arrays["serving_default/inputs/seed"].tolist() == [0, 1, 123_456_789]
    arrays["tensors/outputs/images"] = arrays["tensors/outputs/images"] + 0.1
    np.savez(file, **arrays)
    done = subprocess.run(
        [sys.executable, str(CHECKER), str(path), "--json"], capture_output=True, text=True, timeout=300
    )
    problems = [p for s in json.loads(done.stdout)["models"][0]["signatures"] for p in s["problems"]]
    assert done.returncode == 1
    assert len(problems) == 1
    assert "differs from the expected answer" in problems[0]
    for variable in model.generator.weights:
        variable.assign(variable.value * 0.9)
    exporting.export(model, tmp_path / "out", formats="onnx", allow_random=True)
    assert list(json.loads((tmp_path / "out" / "parity.json").read_text())["formats"]) == ["onnx"]


def test_hub_reads_the_export(tmp_path):
    import tensorflow_hub as hub

    model = zoo.load("dcgan", weights=None, **TINY["dcgan"])
    path = exporting.export(model, tmp_path, allow_random=True)
    made = hub.load(str(path)).signatures["serving_default"](seed=tf.constant([3], tf.int64))["image_bytes"]
    assert np.array_equal(tf.io.decode_png(made[0]).numpy(), model.generate(1, seed=3)[0])


# ---- the command line ---------------------------------------------------------------------------------------------------
def test_formats_on_the_command_line(tmp_path):
    words = ("export", "dcgan/fashion-32", "-o", tmp_path / "out", "--to", "savedmodel, onnx-int8", "--json")
    value = json.loads(run(*words).stdout)
    assert set(value["formats"]) == set(value["parity"]) == {"savedmodel", "onnx-int8"}
    assert value["parity"]["savedmodel"] <= 1 / 255 < 12 / 255
    assert (tmp_path / "out" / "onnx-int8" / "tensors.onnx").is_file()
    assert 'Did you mean "onnx"' in refused("export", "dcgan", "-o", tmp_path / "x", "--to", "onx")
    assert not (tmp_path / "x" / "1").exists()
