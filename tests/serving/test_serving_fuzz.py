"""Malformed requests by the thousand: the server answers each with a sentence, never with 500, and goes on."""

import base64
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny import TINY

pytest.importorskip("starlette", reason="pip install 'ganzoo[serve]'")
from support.asgi import AppClient

from ganzoo import exporting, serving, zoo
from ganzoo.media import images

LIMITS = serving.Limits(timeout=30, rows=8, body=20_000, pixels=64 * 64)
NAMES = ("dcgan", "pix2pix", "text-to-image", "stylegan-lite")
FUZZ = settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck), derandomize=True)


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    root = tmp_path_factory.mktemp("fuzzed")
    servables = []
    for name in NAMES:
        exporting.export(zoo.load(name, weights=None, **TINY[name]), root / name, allow_random=True)
        servables.append(serving.load(*serving.prepare(str(root / name), root)))
    return AppClient(serving.create_app(servables, limits=LIMITS, log="none"))


def check(answer):
    """A refusal in the contract's form, or an answer."""
    assert answer.status_code in (200, 400, 404, 405, 413), (answer.status_code, answer.text[:300])
    if answer.status_code != 200:
        assert list(answer.json()) == ["error"]
        assert 3 < len(answer.json()["error"]) < 1500


def alive(client):
    assert client.post("/v1/models/dcgan:predict", json={"instances": [1]}).status_code == 200


PNG = images.png_bytes(np.random.default_rng(0).integers(0, 255, (12, 20, 3), np.uint8))
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
LEAF = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    TEXT,
    st.sampled_from([{"b64": "aGVsbG8="}, {"b64": base64.b64encode(PNG).decode()}, {"b64": "!"}, {"b64": 1}, []]),
)
KEYS = st.sampled_from(["seed", "latents", "image_bytes", "images", "text", "embedding", "truncation_psi", "b64", "x"])
VALUE = st.recursive(
    LEAF,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)
DOCUMENT = st.fixed_dictionaries(
    {},
    optional={
        "signature_name": st.sampled_from(["serving_default", "tensors", "embed", "nope", "", 5]),
        "instances": VALUE,
        "inputs": VALUE,
        "other": LEAF,
    },
)


@FUZZ
@given(model=st.sampled_from(NAMES), document=DOCUMENT | VALUE)
def test_documents_of_any_form(client, model, document):
    check(client.post(f"/v1/models/{model}:predict", content=json.dumps(document)))


NUMBERS = st.floats(width=32) | st.integers(-(2**66), 2**66)
ROWS = {
    "dcgan": {"seed": st.integers(-(2**66), 2**66) | LEAF},
    "pix2pix": {
        "seed": st.integers(-(2**63), 2**63 - 1),
        "image_bytes": st.binary(max_size=60).map(lambda data: {"b64": base64.b64encode(data).decode()}) | LEAF,
    },
    "text-to-image": {"seed": st.integers(-(2**63), 2**63 - 1), "text": TEXT | LEAF},
    "stylegan-lite": {"seed": st.integers(-(2**63), 2**63 - 1), "truncation_psi": NUMBERS},
}


@FUZZ
@given(data=st.data())
def test_rows_that_nearly_fit(client, data):
    model = data.draw(st.sampled_from(NAMES))
    rows = data.draw(st.lists(st.fixed_dictionaries(ROWS[model]), max_size=4))
    check(client.post(f"/v1/models/{model}:predict", content=json.dumps({"instances": rows})))


@FUZZ
@given(shape=st.lists(st.integers(0, 5), min_size=3, max_size=4), value=NUMBERS)
def test_floats_of_any_shape_and_value(client, shape, value):
    """Pictures without pixels, with channels too many, of NaN and Infinity."""
    pixels = np.full(shape, 0, object)
    pixels[...] = value
    document = {"signature_name": "tensors", "inputs": {"images": pixels.tolist(), "seed": [0] * shape[0]}}
    check(client.post("/v1/models/pix2pix:predict", content=json.dumps(document)))


@FUZZ
@given(flips=st.lists(st.tuples(st.integers(0, len(PNG) - 1), st.integers(0, 255)), max_size=8), cut=st.integers(0, 40))
def test_damaged_pictures(client, flips, cut):
    data = bytearray(PNG[: len(PNG) - cut])
    for place, value in flips:
        if place < len(data):
            data[place] = value
    row = {"image_bytes": {"b64": base64.b64encode(bytes(data)).decode()}, "seed": 0}
    check(client.post("/v1/models/pix2pix:predict", json={"instances": [row]}))


@FUZZ
@given(body=st.binary(max_size=200) | st.sampled_from([b"[" * 9000, b'{"a":' * 3000, b"{}" * 100, b"NaN", b'"\xff"']))
def test_bodies_that_are_no_json(client, body):
    check(client.post("/v1/models/pix2pix:predict", content=body))


@FUZZ
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH"]),
    path=st.text(st.sampled_from("abv1/models:predict.%20-_~versions/labels/metadata"), max_size=60),
)
def test_urls_of_any_form(client, method, path):
    answer = client.request(method, f"/v1/{path}", content=b"{}" if method == "POST" else None)
    if method == "HEAD":
        assert answer.status_code in (200, 307, 400, 404, 405)
    else:
        check(answer)


def test_the_server_still_answers(client):
    alive(client)
