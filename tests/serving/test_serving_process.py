"""Servers in processes of their own: the client, the README's curl lines, drain, start-up refusals, KServe's server."""

import base64
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest
import yaml
from jsonschema import Draft202012Validator
from tiny import TINY, VARIANTS

pytest.importorskip("starlette", reason="pip install 'ganzoo[serve]'")
import httpx
from support.asgi import ROOT, server
from support.cli_runs import refused

from ganzoo import exporting, zoo
from ganzoo.client import Client, ServerError
from ganzoo.errors import GanzooError
from ganzoo.media import images

README = (ROOT / "export" / "README.md").read_text("utf-8")
KSERVE = os.environ.get("GANZOO_KSERVE_PYTHON")
NEEDS_KSERVE = pytest.mark.skipif(
    not KSERVE,
    reason="set GANZOO_KSERVE_PYTHON to the python of an environment of its own with: pip install kserve tensorflow "
    "tensorflow-serving-api",
)


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """name -> (model, DIR) of a tiny dcgan and pix2pix, and of a biggan with names."""
    root, found = tmp_path_factory.mktemp("exports"), {}
    for name, more in {"dcgan": {}, "pix2pix": {}, "biggan": VARIANTS["biggan"][0]}.items():
        model = zoo.load(name, weights=None, **TINY[name] | more)
        exporting.export(model, root / name, allow_random=True)
        found[name] = model, root / name
    return found


@pytest.fixture(scope="module")
def served(models):
    folders = [folder for _, folder in models.values()]
    with server(*folders, "--api-key", "s3cret", "--log", "json") as (_, url, lines):
        yield url, lines


@pytest.fixture
def client(served):
    with Client(served[0], "s3cret") as client:
        yield client


def drawing(size=16):
    return np.random.default_rng(0).integers(0, 255, (size, size, 3), np.uint8)


def shared_checks(client, models):
    """What TensorFlow Serving's contract and KServe's V1 protocol have in common: ready, and predict with instances."""
    dcgan, pix2pix = models["dcgan"][0], models["pix2pix"][0]
    assert client.ready("dcgan")
    assert client.ready("pix2pix")
    assert not client.ready("nope")
    for seeds in ([3], [0, 1, 2]):
        found = client.generate("dcgan", seed=seeds)
        wanted = [dcgan.generate(1, seed=seed)[0] for seed in seeds]
        assert max(np.abs(a.astype(int) - b).max() for a, b in zip(found, wanted, strict=True)) <= 1
    found = client.generate("pix2pix", images=[drawing(), drawing(24)], seed=[1, 2])
    for image, picture, seed in zip(found, (drawing(), drawing(24)), (1, 2), strict=True):
        assert np.abs(image.astype(int) - pix2pix.generate(picture[None], seed=seed)[0]).max() <= 1
    assert client.predict("dcgan", instances=[{"seed": 5}]) == client.predict("dcgan", instances=[5])
    latents = np.zeros((1, dcgan.latent_dim))
    floats = client.predict("dcgan", instances=[{"latents": latents[0].tolist()}], signature="tensors")
    np.testing.assert_allclose(floats, np.clip(dcgan.images_of(latents.astype(np.float32)), -1, 1), atol=1e-5)
    for bad, sentence in (
        ({"instances": [{"seed": "a"}]}, "answered 400"),
        ({"instances": [{"seeds": 1}]}, "seed"),
        ({"instances": [1], "signature": "nope"}, "nope"),
    ):
        with pytest.raises(ServerError, match=sentence) as refusal:
            client.predict("dcgan", **bad)
        assert refusal.value.status == 400
    with pytest.raises(ServerError) as refusal:
        client.predict("nope", instances=[1])
    assert refusal.value.status == 404


def test_the_client_and_the_server_agree_with_keras(client, models):
    shared_checks(client, models)


def test_the_client(client, models, served, tmp_path):
    assert [m["name"] for m in client.models()] == ["dcgan", "pix2pix", "biggan"]
    assert client.status("dcgan")[0]["version"] == "1"
    assert "serving_default" in client.metadata("dcgan")["signature_def"]["signature_def"]
    file = tmp_path / "drawing.png"
    images.write_png(file, drawing())
    forms = [file, str(file), file.read_bytes(), drawing(), images.Image.fromarray(drawing())]
    found = client.generate("pix2pix", images=forms, seed=4)
    assert all(np.array_equal(image, found[0]) for image in found)
    assert client.predict("dcgan", inputs={"seed": [1]}, version=1) == client.predict("dcgan", instances=[1])
    assert [list(value) for value in client.predict("dcgan", instances=[1, 2])] == [
        ["b64"],
        ["b64"],
    ]  # as its page says
    with pytest.raises(GanzooError, match="unequal lengths"):
        client.generate("pix2pix", images=[file], seed=[1, 2])
    with pytest.raises(GanzooError, match="not a name of a served model"):
        client.predict("dcgan/fashion-32", instances=[1])
    with pytest.raises(ServerError, match='"b2a" not found'):
        client.generate("dcgan", signature="b2a")
    with pytest.raises(GanzooError, match="either instances"):
        client.predict("dcgan")
    with pytest.raises(GanzooError, match="uint8"):
        client.generate("pix2pix", images=[drawing() / 255])
    with pytest.raises(ServerError, match="asks for its key") as refusal, Client(served[0]) as stranger:
        stranger.models()
    assert refusal.value.status == 401
    with pytest.raises(ServerError, match="Is the server running"), Client("http://127.0.0.1:9") as nobody:
        nobody.models()
    with pytest.raises(ServerError, match="No answer"), Client("http://[") as nobody:
        nobody.models()
    with pytest.raises(GanzooError, match="not the URL"):
        Client("127.0.0.1:8501")


def blocks(language, wanted):
    """The README's code blocks of a language that hold `wanted`."""
    return [text for text in re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL) if wanted in text]


def test_classes_are_asked_by_name_or_number(client, models):
    biggan = models["biggan"][0]
    for label in ("Bag", ["Bag", "ankle boot"], [2, 0], 1):
        found = client.generate("biggan", label=label, seed=3)
        wanted = [biggan.generate(1, seed=3, label=one)[0] for one in (label if isinstance(label, list) else [label])]
        assert len(found) == len(wanted)
        for image, expected in zip(found, wanted, strict=True):
            assert np.abs(image.astype(int) - expected).max() <= 1
    with pytest.raises(ServerError, match="label_name is one of the classes"):
        client.generate("biggan", label="Hat")
    with pytest.raises(ServerError, match="label is 0 to 2"):
        client.generate("biggan", label=7)
    (about,) = (model for model in client.models() if model["name"] == "biggan")
    assert about["classes"] == ["Ankle boot", "T-shirt/top", "Bag"]


@pytest.mark.skipif(not shutil.which("curl") or not shutil.which("bash"), reason="needs curl and bash")
def test_the_curl_lines_and_the_python_lines_of_the_readme(served, models, tmp_path):
    url, _ = served
    images.write_png(tmp_path / "drawing.png", drawing())
    (lines,) = blocks("sh", "curl")
    assert lines.count("curl -s http://127.0.0.1:8501/") > 0
    key = lines.replace("curl -s ", "curl -sS --fail-with-body -H 'X-API-Key: s3cret' ")
    script = f"set -e\n{key.replace('http://127.0.0.1:8501', url)}"
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"status":"ready"' in done.stdout
    dcgan, pix2pix = models["dcgan"][0], models["pix2pix"][0]
    sample, coloured = (images.read_image(tmp_path / name).astype(int) for name in ("sample0.png", "coloured.png"))
    assert np.abs(sample - dcgan.generate(1, seed=0)[0]).max() <= 1
    assert np.abs(coloured - pix2pix.generate(drawing()[None], seed=0)[0]).max() <= 1
    (code,) = blocks("python", "ganzoo.client")
    code = code.replace('Client("http://127.0.0.1:8501")', f'Client("{url}", "s3cret")')
    code += "\nprint([p.shape for p in pictures], [c.shape for c in coloured], list(answer[0]))"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.stdout.strip().endswith("['b64']"), done.stderr


def test_requests_are_logged_as_json(served, client):
    httpx.get(f"{served[0]}/healthz", headers={"X-Request-Id": "seen-1"})
    found = noted(served[1], "seen-1")
    assert (found["path"], found["code"]) == ("/healthz", 200)


def noted(lines, request_id):
    """The log line of a request, which may come a little later than its answer."""
    for _ in range(200):
        for line in lines:
            if f'"{request_id}"' in line:
                return json.loads(line)
        time.sleep(0.05)
    raise AssertionError(lines)


def test_sigterm_answers_what_is_under_way_and_refuses_what_is_new(models):
    """A long request is begun, the server is told to stop, and only then is it answered."""
    data = base64.b64encode(images.png_bytes(drawing(512))).decode()
    document = {"instances": [{"image_bytes": {"b64": data}, "seed": i} for i in range(4)]}
    with server(models["pix2pix"][1], "--log", "none") as (process, url, lines):
        answers = []
        call = {"url": f"{url}/v1/models/pix2pix:predict", "json": document, "timeout": 120}
        threads = [threading.Thread(target=lambda: answers.append(httpx.post(**call))) for _ in range(5)]
        for thread in threads:
            thread.start()
        waiting = 'ganzoo_waiting_rows{model="pix2pix"} '
        while not any(
            line.startswith(waiting) and float(line.split()[-1]) > 0
            for line in httpx.get(f"{url}/metrics", timeout=60).text.splitlines()
        ):
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        port = int(url.rpartition(":")[2])
        while connects(port):
            time.sleep(0.02)
        for thread in threads:
            thread.join(120)
        assert process.wait(60) == 0, lines
    answered = [answer for answer in answers if answer.status_code == 200]
    assert len(answered) == 5
    assert all(len(answer.json()["predictions"]) == 4 for answer in answered)


def test_sigterm_before_the_start_leaves_nothing_behind(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    words = [sys.executable, "-m", "ganzoo", "serve", "dcgan/pytorch-64", "--allow-random", "--port", "0"]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL, env=environment) as process:
        while process.poll() is None and not any(tmp_path.glob("ganzoo-serve-*/*")):
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM
    assert not list(tmp_path.glob("ganzoo-serve-*"))


def test_a_client_that_leaves_is_no_fault(served, client):
    url, lines = served
    head = "POST /v1/models/dcgan:predict HTTP/1.1\r\nHost: localhost\r\nX-API-Key: s3cret\r\nX-Request-Id: left-1\r\n"
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as half:
        half.sendall(f"{head}Content-Length: 100\r\n\r\n{{".encode())
    assert client.ready("dcgan")
    assert noted(lines, "left-1")["code"] == 400
    assert not any("Traceback" in line for line in lines)


def connects(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


def test_a_server_that_cannot_start_says_why(models, tmp_path):
    folder = models["dcgan"][1]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert "Cannot listen on 127.0.0.1" in refused("serve", folder, "--port", taken.getsockname()[1])
    assert 'would be called "dcgan"' in refused("serve", folder, folder, "--port", 0)
    assert "--log is text, json or none" in refused("serve", folder, "--log", "xml")
    assert "--runtime is auto, tensorflow or onnx" in refused("serve", folder, "--runtime", "torch")
    assert "--to savedmodel,onnx" in refused("serve", folder, "--runtime", "onnx", "--port", 0)
    assert "Did you mean" in refused("serve", "dcgam", "--port", 0)
    assert "NAME=MODEL" in refused("serve", "a b=dcgan", "--port", 0)


# ---- other servers ----------------------------------------------------------------------------------------------------
def test_the_kserve_manifest():
    schema = json.loads((ROOT / "tests/schemas/inferenceservice.json").read_text())
    manifest = yaml.safe_load((ROOT / "export/kserve.yaml").read_text())
    assert [error.message for error in Draft202012Validator(schema).iter_errors(manifest)] == []
    model = manifest["spec"]["predictor"]["model"]
    for change in ({"modelFormats": {}}, {"modelFormat": {"name": "keras"}}, {"storageUri": "/models"}):
        bad = manifest | {"spec": {"predictor": {"model": model | change}}}
        assert list(Draft202012Validator(schema).iter_errors(bad)), f"{change} is checked"


def test_the_files_for_tensorflow_serving_fit_together():
    compose = yaml.safe_load((ROOT / "export/compose.yaml").read_text())["services"]["tensorflow-serving"]
    mounts = dict(volume.rsplit(":", 1)[0].rsplit(":", 1) for volume in compose["volumes"])
    named = [word.partition("=")[2] for word in compose["command"] if word.startswith("--") and "_file=" in word]
    for path in named:
        (source,) = [source for source, target in mounts.items() if target == path]
        assert (ROOT / "export" / source).is_file()
    assert len(named) == 3
    assert re.fullmatch(r"tensorflow/serving:\d+\.\d+\.\d+", compose["image"])
    assert all(port.startswith("127.0.0.1:") for port in compose["ports"])
    text = (ROOT / "export/tfserving.config").read_text()
    for name, base in zip(re.findall(r'name: "(.*)"', text), re.findall(r'base_path: "(.*)"', text), strict=True):
        assert base == f"/models/{name}"
        assert f"ganzoo export {name} -o models/{name}" in README
    from ganzoo.serving.batching import BUCKETS

    sizes = re.findall(r"allowed_batch_sizes: (\d+)", (ROOT / "export/batching.config").read_text())
    assert tuple(map(int, sizes)) == BUCKETS


@contextmanager
def kserve(models):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pairs = [f"{name}={folder}" for name, (_, folder) in models.items()]
    command = [KSERVE, str(ROOT / "export/kserve_server.py"), *pairs, "--http_port", str(port)]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment) as process:
        try:
            for _ in range(600):
                assert process.poll() is None
                if connects(port):
                    break
                time.sleep(0.2)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


@pytest.mark.slow
@NEEDS_KSERVE
def test_kserves_model_server_passes_the_same_checks(models):
    with kserve(models) as url, Client(url) as client:
        shared_checks(client, models)


CHECK_PACKAGES = """
import json, sys
from google.protobuf import text_format
from kserve import models
from tensorflow_serving.config import model_server_config_pb2

folder, schema = sys.argv[1], json.load(open(sys.argv[2]))
config = text_format.Parse(open(folder + "/tfserving.config").read(), model_server_config_pb2.ModelServerConfig())
assert [c.name for c in config.model_config_list.config] == ["pix2pix", "dcgan"]

predictor = schema["properties"]["spec"]["properties"]["predictor"]["properties"]
for kind, keys in (
    (models.V1beta1InferenceService, schema["properties"]),
    (models.V1beta1InferenceServiceSpec, schema["properties"]["spec"]["properties"]),
    (models.V1beta1PredictorSpec, predictor),
    (models.V1beta1ModelSpec, predictor["model"]["properties"]),
    (models.V1beta1ModelFormat, predictor["model"]["properties"]["modelFormat"]["properties"]),
):
    assert set(keys) <= set(kind.attribute_map.values()), kind
print("ok")
"""


@pytest.mark.slow
@NEEDS_KSERVE
def test_the_schema_and_the_configuration_are_those_of_the_packages():
    words = [KSERVE, "-c", CHECK_PACKAGES, str(ROOT / "export"), str(ROOT / "tests/schemas/inferenceservice.json")]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, env=environment)
    assert done.stdout.strip().endswith("ok"), done.stderr


def test_the_grpc_lines_of_the_readme_name_the_signature(models):
    """They need a server that cannot be installed here; what they send is what the export takes."""
    (code,) = blocks("python", "prediction_service_pb2_grpc")
    compile(code, "README.md", "exec")
    named = set(re.findall(r'inputs\["(\w+)"\]', code))
    assert named == set(models["pix2pix"][0].serving_signature()["serving_default"][1])
