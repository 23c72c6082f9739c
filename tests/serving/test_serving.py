"""The server's app in this process: batching, limits, refusals, the key, metrics, request ids."""

import asyncio
import base64
import json
import logging
import re
import sys
import threading

import numpy as np
import pytest
from tiny import TINY

pytest.importorskip("starlette", reason="pip install 'ganzoo[serve]'")
from support.asgi import AppClient, Gate, b64, picture, predict, refusal, row, until

from ganzoo import exporting, serving, zoo
from ganzoo.errors import GanzooError
from ganzoo.media import images
from ganzoo.serving import app as app_module
from ganzoo.serving.batching import BUCKETS, Batcher
from ganzoo.serving.wire import RequestError

LIMITS = serving.Limits(timeout=30, queue=8, rows=40, body=200_000, pixels=64 * 64)
NAMES = ("dcgan", "pix2pix", "text-to-image", "3d-gan")


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """name -> DIR of tiny exported models."""
    root = tmp_path_factory.mktemp("served")
    for name in NAMES:
        exporting.export(zoo.load(name, weights=None, **TINY[name]), root / name, allow_random=True)
    return {name: root / name for name in NAMES}


@pytest.fixture(scope="module")
def servables(folders):
    return [serving.load(*serving.prepare(str(folder), folder)) for folder in folders.values()]


@pytest.fixture(scope="module")
def client(servables):
    return AppClient(serving.create_app(servables, limits=LIMITS, log="none"))


# ---- answers ----------------------------------------------------------------------------------------------------------
def test_every_signature_of_every_model_answers_as_the_saved_model_does(client, servables):
    for servable in servables:
        for name, signature in servable.signatures.items():
            columns, arrays = {}, {}
            for key, spec in signature.inputs.items():
                if key == "image_bytes":
                    arrays[key] = np.array([picture(), picture(9, 9)], object)
                    columns[key] = [b64(data) for data in arrays[key]]
                elif key == "text":
                    arrays[key] = np.array([b"a smile", "Zöpfe".encode()], object)
                    columns[key] = [text.decode() for text in arrays[key]]
                else:
                    shape = [2, *(16 if n is None else n for n in spec.shape[1:])]
                    arrays[key] = np.random.default_rng(0).uniform(0.1, 0.9, shape).astype(spec.dtype)
                    columns[key] = arrays[key].tolist()
            wanted = servable.call(name, arrays)
            answer = predict(client, servable.name, signature_name=name, inputs=columns)
            assert answer.status_code == 200, answer.text
            for value in wanted.values():  # one output, so it has no name
                if value.dtype == object:
                    found = [base64.b64decode(v["b64"]) for v in answer.json()["outputs"]]
                    assert found == value.tolist()
                else:
                    np.testing.assert_array_equal(np.array(answer.json()["outputs"], value.dtype), value)


def test_the_list_for_the_page(client):
    found = {model["name"]: model for model in client.get("/models.json").json()}
    assert {name: found[name]["task"] for name in NAMES} == dict(
        zip(NAMES, ("generator", "image", "text", "shape"), strict=True)
    )
    assert found["dcgan"]["model"] == "dcgan/fashion-32"
    assert found["dcgan"]["version"] == "1"
    assert found["dcgan"]["signatures"]["serving_default"] == {
        "inputs": {"seed": {"dtype": "int64", "shape": [None]}},
        "outputs": {"image_bytes": {"dtype": "string", "shape": [None]}},
    }
    assert found["dcgan"]["image_size"] == TINY["dcgan"]["image_size"]
    assert found["pix2pix"]["expects"].startswith("line drawings of characters")
    assert not found["dcgan"]["expects"]
    assert found["pix2pix"]["image_size"] == 64  # of its preset: the network itself takes any


def test_a_served_name(folders, tmp_path):
    assert serving.split("dcgan/fashion-32") == ("dcgan-fashion-32", "dcgan/fashion-32")
    assert serving.split("pix2pix") == ("pix2pix", "pix2pix")
    assert serving.split("a=dcgan/fashion-32") == ("a", "dcgan/fashion-32")
    assert serving.split(f"{folders['dcgan']}/") == ("dcgan", f"{folders['dcgan']}/")
    for bad in ("a/b=dcgan", "=dcgan", "a=", "", "ä=dcgan"):
        with pytest.raises(GanzooError, match="NAME=MODEL"):
            serving.split(bad)
    with pytest.raises(GanzooError, match=r"no folder|no saved model|unknown|There is no"):
        serving.prepare(str(tmp_path / "nothing"), tmp_path)
    with pytest.raises(GanzooError, match='Two models would be called "dcgan"'):
        serving.serve([str(folders["dcgan"]), "dcgan"], port=0)
    (tmp_path / "saved_model.pb").write_bytes(b"no")
    with pytest.raises(GanzooError, match="contains no SavedModel"):
        serving.load("x", tmp_path)


def test_a_preset_is_exported_and_the_latest_version_is_served(folders, tmp_path):
    name, folder = serving.prepare("mine=dcgan/pytorch-64", tmp_path, allow_random=True)
    assert (name, folder) == ("mine", tmp_path / "mine" / "1")
    (tmp_path / "many").mkdir()
    for version in ("2", "10", "9x"):
        (tmp_path / "many" / version).symlink_to(folders["dcgan"] / "1")
    name, folder = serving.prepare(str(tmp_path / "many"), tmp_path)
    assert folder.name == "10"
    assert serving.load(name, folder).version == 10


# ---- batching ---------------------------------------------------------------------------------------------------------
@pytest.fixture
def gated(servables):
    """(a client, gate of dcgan, gate of pix2pix, the batchers)."""
    app = serving.create_app(servables, limits=LIMITS, log="none")
    batchers = app.app.state.ganzoo.batchers
    return AppClient(app), Gate(batchers["dcgan"]), Gate(batchers["pix2pix"]), batchers


def opening(batcher, gate, last):
    """After each request: waits until the batcher has it, and after the last one opens the gate."""

    async def between(i):
        await until(lambda: batcher.busy and batcher.waiting_rows == i)
        if i == last:
            gate.open.set()

    return between


def test_requests_that_wait_run_together_and_answer_as_alone(gated, client):
    gated_client, gate, _, batchers = gated
    batcher = batchers["dcgan"]

    between = opening(batcher, gate, 7)
    path, requests = "/v1/models/dcgan:predict", []
    for seed in range(8):
        requests.append(("POST", path, {"json": {"instances": [seed]}}))
    answers = gated_client.together(requests, between)
    assert gate.rows == [1, 4, 2, 1]  # 7 waited: cut at bucket sizes, nothing padded
    for seed, answer in enumerate(answers):
        alone = predict(client, "dcgan", instances=[seed]).json()["predictions"][0]
        together = answer.json()["predictions"][0]
        pixels = [images.read_image(base64.b64decode(v["b64"])).astype(int) for v in (alone, together)]
        assert np.abs(pixels[0] - pixels[1]).max() <= 1


def test_the_same_request_alone_has_the_same_bytes(client):
    for document in ({"instances": [7]}, {"instances": [1, 2, 3]}):
        assert predict(client, "dcgan", **document).content == predict(client, "dcgan", **document).content


def test_calls_have_the_rows_of_a_bucket():
    seen = []

    def call(signature, inputs):
        seen.append(len(inputs["x"]))
        return {"y": inputs["x"] * 2}

    async def run(rows):
        batcher = Batcher(call, queue=1000)
        x = np.arange(rows)
        found = await batcher.run("s", {"x": x}, rows)
        np.testing.assert_array_equal(found["y"], 2 * x)

    for rows, calls in ((1, [1]), (3, [4]), (32, [32]), (33, [32, 1]), (70, [32, 32, 8]), (0, [0])):
        seen.clear()
        asyncio.run(run(rows))
        assert seen == calls
        assert set(seen) <= {0, *BUCKETS}


def test_slow_models_run_few_rows_a_call():
    """Eight wait behind a first call; a row takes 0.3 s as far as the batcher knows, and a second is enough for two."""
    release = threading.Event()

    def call(signature, inputs):
        assert release.wait(30)
        return inputs

    async def run():
        batcher = Batcher(call, queue=100)
        jobs = [asyncio.create_task(batcher.run("s", {"x": np.zeros(1)}, 1)) for _ in range(9)]
        await until(lambda: batcher.waiting_rows == 8)
        batcher.row_seconds = 0.3
        taken = [sum(job.rows for job in batcher._take()) for _ in range(2)]
        batcher.row_seconds = 10.0
        taken.append(sum(job.rows for job in batcher._take()))
        batcher.row_seconds = 0.001
        taken.append(sum(job.rows for job in batcher._take()))
        release.set()
        await jobs[0]
        for job in jobs[1:]:
            job.cancel()
        return taken

    assert asyncio.run(run()) == [2, 2, 1, 2]


def test_requests_of_other_shapes_and_signatures_run_apart(gated):
    gated_client, _, gate, batchers = gated
    batcher = batchers["pix2pix"]

    between = opening(batcher, gate, 4)
    requests, channels = [], _channels(gated_client)
    for size in (8, 8, 16, 8):
        shape = [1, size, size, channels]
        document = {"signature_name": "tensors", "inputs": {"images": np.zeros(shape).tolist(), "seed": [0]}}
        requests.append(("POST", "/v1/models/pix2pix:predict", {"json": document}))
    requests.append(("POST", "/v1/models/pix2pix:predict", {"json": {"instances": [row(picture())]}}))
    answers = gated_client.together(requests, between)
    assert [answer.status_code for answer in answers] == [200] * 5
    assert gate.rows == [1, 2, 1, 1]


def _channels(client):
    (found,) = [m for m in client.get("/models.json").json() if m["name"] == "pix2pix"]
    return found["signatures"]["tensors"]["inputs"]["images"]["shape"][-1]


def test_a_broken_picture_fails_alone(gated):
    """It looks like a picture to the header check, and ends the call that it shares with others."""
    gated_client, _, gate, batchers = gated
    batcher = batchers["pix2pix"]
    broken = picture()[:-30]

    between = opening(batcher, gate, 4)
    pictures = [picture(), picture(seed=1), broken, picture(seed=2), picture(seed=3)]
    requests = [("POST", "/v1/models/pix2pix:predict", {"json": {"instances": [row(data)]}}) for data in pictures]
    answers = gated_client.together(requests, between)
    assert [answer.status_code for answer in answers] == [200, 200, 400, 200, 200]
    sentence = refusal(answers[2], 400)
    assert "refused" in sentence
    assert "{{" not in sentence


# ---- limits -----------------------------------------------------------------------------------------------------------
def test_a_full_queue_says_when_to_come_again(gated):
    gated_client, gate, _, batchers = gated
    batcher = batchers["dcgan"]

    async def between(i):
        if i < 3:
            await until(lambda: batcher.busy and batcher.waiting_rows == 4 * i)
        else:
            await asyncio.sleep(0.05)
            gate.open.set()

    requests = [("POST", "/v1/models/dcgan:predict", {"json": {"instances": [0, 1, 2, 3]}})] * 4
    answers = gated_client.together(requests, between)
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert int(answers[3].headers["retry-after"]) >= 1
    assert "queue is full" in refusal(answers[3], 429)
    assert batcher.waiting_rows == 0


def test_a_deadline_ends_a_request_and_frees_its_place(servables):
    app = serving.create_app(servables, limits=serving.Limits(timeout=0.2), log="none")
    batcher = app.app.state.ganzoo.batchers["dcgan"]
    gate = Gate(batcher)
    client = AppClient(app)
    requests = [("POST", "/v1/models/dcgan:predict", {"json": {"instances": [0]}})] * 3
    answers = client.together(requests)
    for answer in answers:
        assert "not answered within 0.2 s" in refusal(answer, 504)
    gate.open.set()
    asyncio.run(until(lambda: gate.rows))
    batcher.busy = False  # the event loop of the first requests is gone, and with it the end of their call
    assert predict(client, "dcgan", instances=[1]).status_code == 200
    assert gate.rows == [1, 1]  # the two that waited in vain were not run
    assert batcher.waiting_rows == 0


def test_bodies_that_are_too_long(client):
    long = b"x" * (LIMITS.body + 1)
    assert "longer than 200,000 bytes" in refusal(client.post("/v1/models/dcgan:predict", content=long), 413)

    async def chunks():
        for _ in range(4):
            yield long[: LIMITS.body // 3]

    answer = client.post("/v1/models/dcgan:predict", content=chunks())  # without a Content-Length
    assert "longer than" in refusal(answer, 413)


def test_pictures_that_are_too_large_and_rows_that_are_too_many(client):
    sentence = refusal(predict(client, "pix2pix", instances=[row(picture()), row(picture(65, 64))]), 400)
    assert "picture of row 1 has 64 x 65 pixels; at most 4,096" in sentence
    floats = {"images": np.zeros([1, 65, 64, _channels(client)]).tolist(), "seed": [0]}
    assert "64 x 65 pixels" in refusal(predict(client, "pix2pix", signature_name="tensors", inputs=floats), 400)
    assert "41 rows; at most 40" in refusal(predict(client, "dcgan", instances=[0] * 41), 400)


@pytest.mark.parametrize("data", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"<svg/>", picture()[:40]])
def test_bytes_that_are_no_picture(client, data):
    refusal(predict(client, "pix2pix", instances=[row(data)]), 400)


@pytest.mark.parametrize(
    ("model", "document", "sentence"),
    [
        ("dcgan", {"instances": ["a"]}, "not of expected type: int64"),
        ("dcgan", {"instances": [1.5]}, "not of expected type: int64"),
        ("dcgan", {"instances": [True]}, "not of expected type: int64"),
        ("dcgan", {"instances": [None]}, "Type: Null"),
        ("dcgan", {"instances": [2**63]}, "not of expected type: int64"),
        ("dcgan", {"instances": [[1]]}, r"seed must have shape \[\?\] but got \[1,1\]"),
        ("dcgan", {"inputs": 1}, "must have shape"),
        ("dcgan", {"instances": {}}, "to be an list/array"),
        ("dcgan", {"instances": []}, "No values"),
        ("dcgan", {}, "Missing 'inputs' or 'instances'"),
        ("dcgan", {"instances": [{"seeds": 1}]}, "does not have named input: seeds"),
        ("dcgan", {"instances": [1], "signature_name": "tensor"}, 'Did you mean "tensors"'),
        ("dcgan", {"instances": [1], "signature_name": "__saved_model_init_op"}, "not found in signature def"),
        ("dcgan", {"inputs": {"latents": [[0.0] * 5]}, "signature_name": "tensors"}, "latents must have shape"),
        ("dcgan", {"inputs": {"latents": [["a"] * 6]}, "signature_name": "tensors"}, "expected type: float"),
        ("pix2pix", {"instances": [{"seed": 1}]}, "keys must be equal to: image_bytes,seed"),
        ("pix2pix", {"instances": [1]}, "expecting list of objects"),
        ("pix2pix", {"inputs": {"seed": [1]}}, "Missing named input: image_bytes"),
        ("pix2pix", {"inputs": [1]}, "expecting an object"),
        ("pix2pix", {"inputs": {"image_bytes": [b64(b"x")], "seed": [1, 2]}}, "equal 0th-dimension"),
        ("pix2pix", {"instances": [{"image_bytes": {"b64": "*"}, "seed": 1}]}, "Unable to base64 decode"),
        ("pix2pix", {"instances": [{"image_bytes": {"b65": "aaaa"}, "seed": 1}]}, "not formatted correctly for base64"),
        ("text-to-image", {"instances": [{"text": 5, "seed": 1}]}, "expected type: string"),
    ],
)
def test_requests_that_do_not_fit_the_signature(client, model, document, sentence):
    found = refusal(predict(client, model, **document), 400)
    assert re.search(sentence, found), found


def test_what_is_not_there(client):
    assert 'Did you mean "dcgan"' in refusal(predict(client, "dcgam", instances=[1]), 404)
    assert "models.json" in refusal(client.get("/favicon.txt"), 404)
    answer = client.get("/v1/models/dcgan:predict")
    assert answer.headers["allow"] == "POST"
    assert "Malformed request: GET" in refusal(answer, 405)
    assert refusal(client.post("/v1/models/dcgan", content="{}"), 405)
    assert refusal(client.request("DELETE", "/models.json"), 405)
    assert "Expected classify signature" in refusal(client.post("/v1/models/dcgan:classify", content="{}"), 400)


@pytest.mark.parametrize("host", ["a/v1/models/dcgan?", "a:b:c", "[", "", "a b", "x#", "\x7f"])
def test_the_host_header_is_no_part_of_the_path(client, host):
    assert refusal(client.get("/v1/foo", headers={"Host": host}), 400) == "Malformed request: GET /v1/foo"
    assert "Latest(dcgan?x)" in refusal(client.get("/v1/models/dcgan%3Fx/metadata", headers={"Host": host}), 404)


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/..%2fapp.py",
        "/static/%2e%2e/app.py",
        "/static//etc/passwd",
        "/static/....//app.py",
        "/v1/models/..%2f..%2fetc/metadata",
        "/v1/models/%2e%2e/metadata",
        "/v1/models/dcgan/../../../etc/passwd",
        "/static/index.html%00.png",
    ],
)
def test_no_path_reaches_the_file_system(client, path):
    answer = client.get(path)
    assert answer.status_code in (400, 404)
    assert "root:" not in answer.text
    assert "import" not in answer.text


# ---- who asks, and what is noted ---------------------------------------------------------------------------------------
def test_an_api_key(servables):
    client = AppClient(serving.create_app(servables, api_key="s3cret", log="none"))
    for headers in ({}, {"X-API-Key": "s3cre"}, {"Authorization": "Bearer s3cret2"}, {"X-API-Key": "é"}):
        for path in ("/v1/models/dcgan", "/models.json", "/metrics"):
            answer = client.get(path, headers={k: v.encode() for k, v in headers.items()})
            assert "asks for its key" in refusal(answer, 401)
            assert answer.headers["www-authenticate"] == "Bearer"
    for headers in ({"X-API-Key": "s3cret"}, {"Authorization": "Bearer s3cret"}):
        assert client.get("/v1/models/dcgan", headers=headers).status_code == 200
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").json() == {"status": "ready"}


def test_hosts_of_the_loopback_address_only(servables):
    client = AppClient(serving.create_app(servables, hosts=serving.middleware.LOOPBACK, log="none"))
    for host in ("localhost", "127.0.0.1:8501", "[::1]:8501", "LOCALHOST"):
        assert client.get("/healthz", headers={"Host": host}).status_code == 200
    for host in ("evil.example", "localhost.evil.example", ""):
        assert "answers to localhost" in refusal(client.get("/healthz", headers={"Host": host}), 403)


def test_request_ids(client, servables, caplog):
    assert client.get("/healthz", headers={"X-Request-Id": "abc-1"}).headers["x-request-id"] == "abc-1"
    made = {client.get("/healthz", headers={"X-Request-Id": bad}).headers["x-request-id"] for bad in ("a b", "x" * 129)}
    assert len(made) == 2
    assert all(len(found) == 32 for found in made)
    refused = client.get("/v1/models/nope", headers={"X-Request-Id": "abc-2"})
    assert refused.headers["x-request-id"] == "abc-2"
    noted = AppClient(serving.create_app(servables, log="json"))
    logging.getLogger("ganzoo.serving").propagate = True
    with caplog.at_level(logging.INFO, "ganzoo.serving"):
        noted.post("/v1/models/dcgan:predict", json={"instances": [1, 2]}, headers={"X-Request-Id": "abc-3"})
        noted.get("/evil%0Aline")
    first, second = (json.loads(record.message) for record in caplog.records)
    assert first["id"] == "abc-3"
    assert (first["model"], first["rows"], first["code"], first["method"]) == ("dcgan", 2, 200, "POST")
    assert first["path"] == "/v1/models/dcgan:predict"
    assert second["path"] == "/evil\nline"
    caplog.clear()
    with caplog.at_level(logging.INFO, "ganzoo.serving"):
        AppClient(serving.create_app(servables, log="text")).get("/evil%0Aline%1B[2J")
    assert caplog.records[0].message.count("\n") == 0
    assert "\x1b" not in caplog.records[0].message


def test_metrics(servables):
    client = AppClient(serving.create_app(servables, log="none"))
    predict(client, "dcgan", instances=[1, 2, 3])
    predict(client, "dcgan", instances=["a"])
    predict(client, "nope", instances=["a"])
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    lines = answer.text.splitlines()
    assert 'ganzoo_requests_total{code="200",model="dcgan"} 1.0' in lines
    assert 'ganzoo_requests_total{code="400",model="dcgan"} 1.0' in lines
    assert 'ganzoo_requests_total{code="404",model=""} 1.0' in lines  # a name from outside makes no time series
    assert 'ganzoo_batch_rows_sum{model="dcgan"} 3.0' in lines
    assert 'ganzoo_waiting_rows{model="dcgan"} 0.0' in lines
    assert any(line.startswith("process_resident_memory_bytes") for line in lines)


def test_a_fault_of_ours_is_a_sentence_and_in_the_log(servables, caplog):
    app = serving.create_app(servables, log="none")
    app.app.state.ganzoo.batchers["dcgan"].call = lambda *_: {}["bug"]
    logging.getLogger("ganzoo.serving").propagate = True
    answer = predict(AppClient(app), "dcgan", instances=[1])
    assert answer.headers["x-request-id"] in refusal(answer, 500)
    assert "KeyError: 'bug'" in caplog.text
    assert "bug" not in answer.text


def test_the_page_is_read_once(servables, tmp_path, monkeypatch):
    (tmp_path / "index.html").write_text("<!doctype html>hello")
    (tmp_path / "a.js").write_text("1")
    (tmp_path / "empty").mkdir()
    monkeypatch.setattr(app_module.web_page, "FOLDER", tmp_path)
    client = AppClient(serving.create_app(servables, api_key="k", log="none"))
    (tmp_path / "index.html").write_text("changed")
    assert client.get("/").text == "<!doctype html>hello"
    assert client.get("/").headers["content-type"].startswith("text/html")
    assert "javascript" in client.get("/static/a.js").headers["content-type"]
    refusal(client.get("/static/b.js"), 404)
    monkeypatch.setattr(app_module.web_page, "FOLDER", tmp_path / "empty")
    assert AppClient(serving.create_app(servables, log="none")).get("/").json()["see"] == "/models.json"


def test_a_missing_extra_is_named(servables, monkeypatch):
    monkeypatch.setitem(sys.modules, "orjson", None)
    with pytest.raises(GanzooError, match=r"pip install 'ganzoo\[serve\]'"):
        serving.create_app(servables)


def test_an_error_reaches_its_own_request_only():
    def call(signature, inputs):
        if 13 in inputs["x"]:
            raise RequestError(503, "no memory") if signature == "s" else KeyError("bug")
        return inputs

    async def run(signature):
        batcher = Batcher(call, queue=100)
        jobs = [batcher.run(signature, {"x": np.array([x])}, 1) for x in (1, 2, 13, 3, 13, 4)]
        return await asyncio.gather(*jobs, return_exceptions=True)

    for signature, kind in (("s", RequestError), ("t", KeyError)):
        found = asyncio.run(run(signature))
        assert [isinstance(answer, kind) for answer in found] == [False, False, True, False, True, False]
        assert [answer["x"].item() for answer in found if isinstance(answer, dict)] == [1, 2, 3, 4]
