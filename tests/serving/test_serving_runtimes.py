"""`ganzoo serve --runtime`: ONNX Runtime where it answers as TensorFlow does, and a sentence where it does not."""

import base64
import dataclasses
import json
import shutil
import sys

import numpy as np
import pytest
from tiny import TINY

pytest.importorskip("starlette", reason="pip install 'ganzoo[serve]'")
pytest.importorskip("tf2onnx", reason="pip install 'ganzoo[onnx]'")
import httpx
from support.asgi import AppClient, predict, refusal, server

from ganzoo import exporting, serving, zoo
from ganzoo.errors import GanzooError
from ganzoo.media import images
from ganzoo.serving import runtimes


def black_and_white(name):
    """A tiny model whose pictures have the ends of the range alone, which every runtime rounds alike."""
    model = zoo.load(name, weights=None, **TINY[name])
    *_, kernel = (variable for variable in model.sampler.weights if len(variable.shape) > 1)
    kernel.assign(np.random.default_rng(0).normal(0, 1e6, kernel.shape))
    return model


@pytest.fixture(scope="session")
def models():
    return {name: black_and_white(name) for name in ("gan", "anime")}


@pytest.fixture(scope="session")
def exports(models, tmp_path_factory):
    """name -> DIR with a SavedModel and ONNX networks beside it."""
    root = tmp_path_factory.mktemp("runtimes")
    for name, model in models.items():
        exporting.export(model, root / name, formats=["savedmodel", "onnx"], allow_random=True)
    return {name: root / name for name in models}


@pytest.fixture
def gan(exports, tmp_path):
    """A copy of gan's export, to be changed."""
    return shutil.copytree(exports["gan"], tmp_path / "gan")


def certify(folder, **facts):
    """Changes what the certificate says."""
    parity = json.loads((folder / "parity.json").read_text())
    parity["formats"]["onnx"]["serving_default"] |= facts
    (folder / "parity.json").write_text(json.dumps(parity))


def loaded(folder, runtime="auto"):
    return serving.load(folder.name, folder / "1", runtime=runtime)


def pngs(answer):
    assert answer.status_code == 200, answer.text
    return [base64.b64decode(value["b64"]) for value in answer.json()["predictions"]]


# ---- it answers as TensorFlow does ------------------------------------------------------------------------------------
def test_equal_answers_come_from_onnx_runtime(exports):
    import onnxruntime

    for name, folder in exports.items():
        of_tensorflow = AppClient(serving.create_app([serving.load(name, folder / "1")], log="none"))
        servable = loaded(folder)
        assert servable.runtime == f"onnxruntime {onnxruntime.__version__}", servable.note
        client = AppClient(serving.create_app([servable], log="none"))
        rows = [{"seed": seed} | ({"attributes": '{"hair": "blue"}'} if name == "anime" else {}) for seed in range(5)]
        found = pngs(predict(client, name, instances=rows))
        assert found == pngs(predict(of_tensorflow, name, instances=rows))
        assert len(set(found)) == 5
        for one, png in zip(rows, found, strict=True):
            assert pngs(predict(client, name, instances=[one])) == [png]


def test_metadata_the_list_and_metrics_say_which(exports):
    servables = [loaded(exports["gan"]), serving.load("anime", exports["anime"] / "1")]
    client = AppClient(serving.create_app(servables, log="none"))
    about = client.get("/v1/models/gan/metadata").json()
    assert about["runtime"].startswith("onnxruntime 1.")
    assert about["model_spec"] == {"name": "gan", "signature_name": "", "version": "1"}
    assert list(about["metadata"]) == ["signature_def"]
    assert [model["runtime"].split()[0] for model in client.get("/models.json").json()] == ["onnxruntime", "tensorflow"]
    lines = client.get("/metrics").text.splitlines()
    assert f'ganzoo_runtime{{model="gan",runtime="{about["runtime"]}"}} 1.0' in lines
    assert any(line.startswith('ganzoo_runtime{model="anime",runtime="tensorflow') for line in lines)


def test_other_signatures_no_rows_and_refusals(exports):
    servable = loaded(exports["anime"])
    client = AppClient(serving.create_app([servable], log="none"))
    tensors = servable.signatures["tensors"].inputs
    floats = {key: np.zeros([2, *spec.shape[1:]]).tolist() for key, spec in tensors.items()}
    assert predict(client, "anime", signature_name="tensors", inputs=floats).status_code == 200
    assert predict(client, "anime", inputs={"seed": [], "attributes": []}).json() == {"outputs": []}
    bad = predict(client, "anime", instances=[{"seed": 1, "attributes": '{"hare": "blue"}'}])
    assert "hair" in refusal(bad, 400)
    nameless = dataclasses.replace(servable, manifest={})  # the graph itself refuses it
    bad = predict(
        AppClient(serving.create_app([nameless], log="none")), "anime", instances=[{"seed": 1, "attributes": "{hair"}]
    )
    assert "attributes are JSON objects" in refusal(bad, 400)


def test_too_little_memory_is_said(exports):
    class Exhausted:
        network = loaded(exports["gan"]).divided.network

        def __call__(self, inputs):
            raise MemoryError("Failed to allocate memory for requested buffer of size 9")

    servable = dataclasses.replace(loaded(exports["gan"]), divided=Exhausted())
    answer = predict(AppClient(serving.create_app([servable], log="none")), "gan", instances=[1])
    assert "ran out of memory" in refusal(answer, 503)


# ---- it does not, and TensorFlow answers ------------------------------------------------------------------------------
def test_answers_that_differ_are_left_to_tensorflow(gan):
    certify(gan, equal=False, differing=2e-5, steps=1)
    servable = loaded(gan)
    assert servable.runtime.startswith("tensorflow 2.")
    assert "2e-05 of its pictures' values differ" in servable.note
    assert loaded(gan, "onnx").runtime.startswith("onnxruntime")  # within what another batch may change
    assert loaded(gan, "tensorflow").note == ""
    certify(gan, steps=2)
    with pytest.raises(GanzooError, match=r"cannot be served by ONNX Runtime: .*at most 2 of 255"):
        loaded(gan, "onnx")


def test_networks_of_others_are_left_alone(gan, exports, tmp_path):
    """Another network under the same certificate is found by asking; another certificate by its weights."""
    other = black_and_white("gan")
    other.sampler.weights[0].assign(other.sampler.weights[0] + 1.0)
    exporting.export(other, tmp_path / "other", formats=["savedmodel", "onnx"], allow_random=True)
    shutil.copyfile(tmp_path / "other" / "onnx" / "tensors.onnx", gan / "onnx" / "tensors.onnx")
    assert "on this machine" in loaded(gan).note
    with pytest.raises(GanzooError, match="on this machine"):
        loaded(gan, "onnx")
    shutil.rmtree(gan / "1")
    shutil.copytree(tmp_path / "other" / "1", gan / "1")
    assert "not of the same weights" in loaded(gan).note


def test_what_is_missing_or_damaged_is_said(gan):
    (gan / "1" / "assets.extra" / "golden.npz").unlink()
    assert "golden.npz" in loaded(gan).note
    (gan / "onnx" / "tensors.onnx").write_bytes(b"no")
    assert "cannot read" in loaded(gan).note
    for text in ("[]", "{}", '{"formats": 3}', "no"):
        (gan / "parity.json").write_text(text)
        assert "export the model again" in loaded(gan).note
    shutil.rmtree(gan / "onnx")
    assert loaded(gan).note == ""
    with pytest.raises(GanzooError, match="--to savedmodel,onnx"):
        loaded(gan, "onnx")


def test_without_the_extra(gan, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert loaded(gan).runtime.startswith("tensorflow")
    assert "pip install 'ganzoo[onnx]'" in loaded(gan).note
    with pytest.raises(GanzooError, match=r"pip install 'ganzoo\[onnx\]'"):
        runtimes.check("onnx")
    runtimes.check("auto")


def test_a_runtime_is_one_of_three():
    with pytest.raises(GanzooError, match=r'no runtime "tensorlow".*Did you mean "tensorflow"'):
        runtimes.check("tensorlow")


def test_what_an_export_needs_is_known_before(tmp_path, monkeypatch):
    model = zoo.load("pix2pix", weights=None, **TINY["pix2pix"])
    with pytest.raises(GanzooError, match="pix2pix/lines2colour-64 cannot be served by ONNX Runtime"):
        runtimes.export(model, tmp_path / "p", "onnx", allow_random=True)
    found, why = runtimes.export(model, tmp_path / "p", "auto", allow_random=True)
    assert "any size" in why
    assert {path.name for path in found.parent.iterdir()} == {"1", "parity.json"}
    model = black_and_white("gan")
    monkeypatch.setattr(runtimes.onnx, "LARGEST", 100)
    with pytest.raises(GanzooError, match="onnx cannot be written for"):
        runtimes.export(model, tmp_path / "g", "onnx", allow_random=True)
    assert "onnx cannot be written for" in runtimes.export(model, tmp_path / "g", "auto", allow_random=True)[1]
    monkeypatch.undo()
    monkeypatch.setattr(runtimes, "SMALL", 100)
    assert "--to savedmodel,onnx" in runtimes.export(model, tmp_path / "g", "auto", allow_random=True)[1]


# ---- a process --------------------------------------------------------------------------------------------------------
def test_a_server_says_what_computes(exports, models):
    with server(exports["gan"], "--runtime", "onnx", "--log", "none") as (_, url, lines):
        assert any("gan: gan/fashion-28, version 1, onnxruntime 1." in line for line in lines)
        answer = httpx.post(f"{url}/v1/models/gan:predict", json={"instances": [3]}, timeout=60)
        assert httpx.get(f"{url}/v1/models/gan/metadata").json()["runtime"].startswith("onnxruntime")
    np.testing.assert_array_equal(images.read_image(pngs(answer)[0]), models["gan"].generate(1, seed=3)[0])
