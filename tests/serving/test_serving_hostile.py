"""Hostile requests: what the app refuses and says, and the attacks of benchmarks/attack on a server in a process of its own."""

import asyncio
import re

import numpy as np
import pytest
import tensorflow as tf
from tiny import TINY

pytest.importorskip("starlette", reason="pip install 'ganzoo[serve]'")
from support.asgi import AppClient, Gate, picture, predict, refusal, row, server, until

from benchmarks.attack import requests as attack
from ganzoo import exporting, serving, zoo
from ganzoo.serving import cost, models, run, wire
from ganzoo.serving.middleware import SECURITY
from ganzoo.serving.wire import RequestError

QUICK = set(attack.REQUESTS) - {"floods of pixels", "bodies that are too long"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("hostile")
    for name in ("dcgan", "pix2pix"):
        exporting.export(zoo.load(name, weights=None, **TINY[name]), root / name, allow_random=True)
    return [root / name for name in ("dcgan", "pix2pix")]


@pytest.fixture(scope="module")
def servables(folders):
    return [serving.load(*serving.prepare(str(folder), folder)) for folder in folders]


@pytest.fixture(scope="module")
def client(servables):
    return AppClient(serving.create_app(servables, limits=serving.Limits(pixels=64 * 64), log="none"))


# ---- who asks ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://localhost"}, 200),
        ({"Origin": "HTTP://LOCALHOST", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Host": "localhost:8501", "Origin": "http://localhost:8501"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Origin": "http://localhost:3000", "Sec-Fetch-Site": "same-site"}, 403),  # another program of this machine
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://localhost.evil.example"}, 403),
        ({"Origin": "http://evil.example/localhost"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "http://localhost", "Sec-Fetch-Site": "Cross-Site"}, 403),
    ],
)
def test_a_page_of_another_site_cannot_post(client, headers, status):
    answer = client.post("/v1/models/dcgan:predict", json={"instances": [1]}, headers=headers)
    assert answer.status_code == status, answer.text
    if status == 403:
        assert "page of another site" in refusal(answer, 403)
    assert client.get("/healthz", headers=headers).status_code == 200  # reading it is the browser's to forbid


def test_every_answer_has_the_headers_of_security(client, servables):
    asked = [
        client.get("/"),
        client.get("/static/page.js"),
        client.get("/healthz"),
        client.get("/nothing"),
        client.request("PATCH", "/healthz"),
        predict(client, "dcgan", instances=[1]),
        predict(client, "dcgan", instances=["a"]),
        client.post("/v1/models/dcgan:predict", headers={"Origin": "null"}),
        AppClient(serving.create_app(servables, api_key="k", log="none")).get("/metrics"),
    ]
    assert [answer.status_code for answer in asked] == [200, 200, 200, 404, 405, 200, 400, 403, 401]
    for answer in asked:
        for name, value in SECURITY:
            assert answer.headers.get_list(name.decode()) == [value.decode()]


def test_the_policy_of_the_header_is_that_of_the_page(client):
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', client.get("/").text)
    header = client.get("/").headers["content-security-policy"]
    assert header.startswith(policy)
    assert "frame-ancestors 'none'" in header


# ---- what is told -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("digits", ["9" * 4301, "0" * 4301, "1" * 21])
@pytest.mark.parametrize("end", ["", "/metadata", ":predict"])
def test_a_version_that_python_cannot_convert_is_not_there(client, digits, end):
    method = "POST" if end == ":predict" else "GET"
    sentence = refusal(client.request(method, f"/v1/models/dcgan/versions/{digits}{end}"), 404)
    assert len(sentence) < 200
    assert digits[:21] in sentence


def test_a_length_that_python_cannot_convert(client):
    answer = client.post("/v1/models/dcgan:predict", content=b"{}", headers={"Content-Length": "9" * 4301})
    assert "longer than" in refusal(answer, 413)


def test_sentences_are_cut(client):
    long = "x" * 9000
    for answer in (
        client.get(f"/v1/{long}"),
        client.get(f"/v1/models/{long}"),
        client.get(f"/v1/models/{long}/metadata"),
        client.get(f"/v1/models/dcgan/labels/{long}"),
        client.post(f"/v1/models/{long}:predict", content="{}"),
        client.request("PUT", f"/static/{long}"),
        predict(client, "dcgan", instances=[long]),
        predict(client, "dcgan", instances=[{long: 1}]),
        predict(client, "dcgan", instances=[1], signature_name=long),
        client.post("/v1/models/dcgan:predict", content=b'{"instances": [NaN, ' + b"9" * 4000 + b"]}"),
    ):
        assert 20 < len(refusal(answer, answer.status_code)) < 400
    assert len(RequestError(400, long).sentence) == 1003


GRAPH_ERROR = """Graph execution error:

Detected at node map/while/case/cond/DecodePng defined at (most recent call last):
  File "/home/someone/export.py", line 3, in <module>
<stack traces unavailable>
2 root error(s) found.
  (0) INVALID_ARGUMENT:  Invalid PNG data, size 796 in map/while/cond:0
\t [[{{node map/while/case/cond/cond/DecodePng}}]]
\t [[map/while/Identity/_12]]
  (1) INVALID_ARGUMENT:  Invalid PNG data, size 796
0 successful operations. [Op:__inference_signature_wrapper_serve_1202]"""


def test_a_refusal_of_the_model_names_no_node_and_no_file(client):
    error = tf.errors.InvalidArgumentError(None, None, GRAPH_ERROR)
    assert models._sentence(error) == "Invalid PNG data, size 796 in ..."
    assert models._sentence(tf.errors.InvalidArgumentError(None, None, "")) == "an invalid argument."
    for data in (picture()[:-30], b"\xff\xd8" + picture(), b"BM" + bytes(200)):
        sentence = refusal(predict(client, "pix2pix", instances=[row(data)]), 400)
        assert not attack.LEAKS.search(sentence)
        assert "/" not in sentence


def test_documents_of_too_many_values_are_not_parsed():
    assert len(wire.parse(b'{"a": [' + b"0," * (wire.MAX_VALUES - 1) + b"0]}")["a"]) == wire.MAX_VALUES
    with pytest.raises(RequestError, match="more than 2,097,152 values; send pictures as files"):
        wire.parse(b'{"a": [' + b"0," * (wire.MAX_VALUES + 1) + b"0]}")


# ---- what is taken at once ---------------------------------------------------------------------------------------------
def test_the_queue_counts_pixels(servables):
    """One picture runs, one waits and fills the queue; a third is refused, a small one still finds room."""
    limits = serving.Limits(queue=100, queue_pixels=64 * 64)
    app = serving.create_app(servables, limits=limits, log="none")
    batcher = app.app.state.ganzoo.batchers["pix2pix"]
    gate = Gate(batcher)
    steps = [
        lambda: batcher.busy and batcher.waiting_pixels == 0,
        lambda: batcher.waiting_pixels == 60 * 64,
        lambda: batcher.waiting_pixels == 64 * 64,
        lambda: True,
    ]

    async def between(i):
        await until(steps[i])
        if i == 3:
            await asyncio.sleep(0.05)
            gate.open.set()

    sizes = [(64, 64), (60, 64), (4, 64), (1, 1)]
    requests = [
        ("POST", "/v1/models/pix2pix:predict", {"json": {"instances": [row(picture(*size))]}}) for size in sizes
    ]
    answers = AppClient(app).together(requests, between)
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert int(answers[3].headers["retry-after"]) >= 1
    assert "2 rows of 4,096 pixels wait" in refusal(answers[3], 429)
    assert (batcher.waiting_rows, batcher.waiting_pixels) == (0, 0)


def test_one_request_has_no_more_pixels_than_the_queue(servables):
    client = AppClient(serving.create_app(servables, limits=serving.Limits(queue_pixels=64 * 64), log="none"))
    assert predict(client, "pix2pix", instances=[row(picture(32, 64))] * 2).status_code == 200
    sentence = refusal(predict(client, "pix2pix", instances=[row(picture(32, 64))] * 3), 400)
    assert "3 rows of the request have 6,144 pixels together; at most 4,096" in sentence
    side = TINY["dcgan"]["image_size"]  # of a generator the pictures that it makes count
    assert predict(client, "dcgan", instances=[0] * (64 * 64 // side**2)).status_code == 200
    refusal(predict(client, "dcgan", instances=[0] * (64 * 64 // side**2 + 1)), 400)


def test_what_a_decoder_does_over_and_over_counts(client):
    limits = serving.Limits(pixels=100 * 100)

    def cost_of(data):
        return cost.pixels({"image_bytes": np.array([data], object)}, 1, limits, 64)

    assert cost_of(attack.image(100)) == 100 * 100
    assert cost_of(attack.frames(50, 1)) == 50 * 50
    assert cost_of(attack.frames(50, 4)) == 4 * 50 * 50
    assert cost_of(attack.scans(50, 1)) == 50 * 50  # ten scans, as every encoder writes
    assert cost_of(attack.scans(50, 200)) == 4 * 50 * 50
    for data, what in ((attack.frames(50, 5), "5 frames"), (attack.scans(50, 400), "409 scans")):
        with pytest.raises(RequestError, match=f"picture of row 0 has 50 x 50 pixels in {what}; at most 10,000"):
            cost_of(data)
    assert "in 900 frames" in refusal(predict(client, "pix2pix", instances=[row(attack.frames(32, 900))]), 400)


def test_bodies_that_are_held_at_once_are_bounded(servables):
    limits = serving.Limits(timeout=0.5, bodies=1000)
    app = serving.create_app(servables, limits=limits, log="none")

    async def half():
        yield b"x" * 600
        await asyncio.sleep(30)

    path = "/v1/models/dcgan:predict"
    late, refused = AppClient(app).together(
        [("POST", path, {"content": half()})] * 1 + [("POST", path, {"content": b" " * 600})]
    )
    assert "body did not arrive within 0.5 s" in refusal(late, 408)
    assert "reads too much at once" in refusal(refused, 503)
    assert refused.headers["retry-after"] == "2"
    assert app.app.state.ganzoo.held == 0
    assert predict(AppClient(app), "dcgan", instances=[1]).status_code == 200
    assert app.app.state.ganzoo.held == 0


def test_connections_are_half_of_the_descriptors_at_most():
    with attack.descriptors(100):
        assert run._connections(512) == 50
        assert run._connections(20) == 20


# ---- a real server -----------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def target(folders):
    with attack.descriptors(1024), server(*folders, "--timeout", "5", "--log", "none") as (process, url, lines):
        yield attack.Target(int(url.rpartition(":")[2]), 5.0)
        assert process.poll() is None
        assert not any("Traceback" in line for line in lines)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in attack.REQUESTS]
)
def test_an_attack(target, name):
    found = attack.REQUESTS[name](target)
    assert found
    assert [fault for fault in found if fault] == []
    assert attack.fault(attack.ask(target, attack.predict({"instances": [1]})), 200) is None


def test_refusals_before_the_app_are_sentences(target):
    """Each is made by the connection itself."""
    long = attack.ask(target, b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"a" * 40_000)
    assert (long.status, long.text) == (431, '{"error":"The request\'s head is longer than 16,384 bytes."}')
    odd = attack.ask(target, b"no HTTP\r\n\r\n")
    assert (odd.status, odd.text) == (400, '{"error":"Malformed HTTP request."}')
    late = attack.ask(target, b"GET / HTTP/1.1\r\nHost:")
    assert (late.status, late.text) == (408, '{"error":"The request\'s head did not arrive in time."}')
    assert all(attack.fault(answer, 400, 408, 431) is None for answer in (long, odd, late))


def test_a_half_closed_client_gets_the_answer_that_others_get(target):
    data = attack.predict({"instances": [3]})
    assert attack.ask(target, data, half_close=True).text == attack.ask(target, data).text


# ---- the benchmark -----------------------------------------------------------------------------------------------------
def test_what_the_benchmark_calls_a_fault():
    headers = dict.fromkeys(attack.HEADERS, "") | {name.decode(): value.decode() for name, value in SECURITY}
    fine = attack.Answer(400, headers, '{"error":"a sentence"}')
    assert attack.fault(fine, 400) is None
    assert attack.fault(None, 400, None) is None
    for answer in (
        None,
        fine._replace(status=500),
        fine._replace(headers={}),
        fine._replace(text="Bad Request"),
        fine._replace(text='{"error":"%s"}' % ("x" * 2000)),
        fine._replace(text='{"error":"Detected at node a/b"}'),
        fine._replace(status=429),
    ):
        assert attack.fault(answer, 400, 429)
