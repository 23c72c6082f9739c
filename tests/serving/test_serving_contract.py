"""TensorFlow Serving's REST contract: what its public documentation and tests record is asked of ganzoo's server."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

pytest.importorskip("starlette", reason="pip install 'ganzoo[serve]'")
from support.asgi import AppClient

from ganzoo import serving
from ganzoo.serving import wire

RECORDS = json.loads((Path(__file__).parents[1] / "contract" / "tfserving.json").read_text("utf-8"))
NUMBERS = {"NaN": np.nan, "Infinity": np.inf, "-Infinity": -np.inf}


def tensor(values, dtype):
    """The array that nested lists of the records mean."""

    def plain(value):
        return [plain(v) for v in value] if isinstance(value, list) else NUMBERS.get(value, value)

    if dtype != "string":
        return np.array(plain(values), dtype)
    found = np.array(values, object)
    return np.vectorize(str.encode, otypes=[object])(found) if found.size else found


@pytest.mark.parametrize("case", RECORDS["requests"], ids=lambda case: case["body"][:70])
def test_requests(case):
    specs = {name: wire.Spec(dtype, None) for name, dtype in case["inputs"].items()}

    def read():
        document = wire.parse(case["body"].encode())
        wire.signature_name(document)
        return wire.arrays(document, specs)

    if "error" in case:
        with pytest.raises(wire.RequestError, match=case["error"]) as refused:
            read()
        assert refused.value.status == 400
        return
    arrays, row_form = read()
    assert row_form == ("instances" in case["body"])
    assert arrays.keys() == case["arrays"].keys()
    for name, values in case["arrays"].items():
        wanted = tensor(values, case["inputs"][name])
        assert arrays[name].dtype == wanted.dtype
        np.testing.assert_array_equal(arrays[name], wanted)


@pytest.mark.parametrize("case", RECORDS["answers"], ids=lambda case: f"{case['form']} {case['answer'][:60]}")
def test_answers(case):
    outputs = {name: tensor(values, dtype) for name, (dtype, values) in case["outputs"].items()}
    text = wire.answer(outputs, case["form"] == "row").decode()
    # numbers compared as text of their shortest form: 0.1 and not 0.10000000149, and NaN equals NaN
    assert json.loads(text, parse_float=lambda t: repr(float(t)), parse_constant=str) == json.loads(
        case["answer"], parse_float=lambda t: repr(float(t)), parse_constant=str
    )


class HalfPlusTwo(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec(None, tf.float32, name="x")])
    def serve(self, x):
        return {"y": x / 2 + 2}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("half_plus_two") / "123"
    module = HalfPlusTwo()
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.serve})
    name, path = serving.prepare(f"half_plus_two={folder.parent}", folder)
    return AppClient(serving.create_app([serving.load(name, path)], log="none"))


@pytest.mark.parametrize("case", RECORDS["http"], ids=lambda case: f"{case['method']} {case['path']} {case['body']}")
def test_urls_and_statuses(client, case):
    answer = client.request(case["method"], case["path"], content=case["body"])
    assert answer.status_code == case["status"], answer.text
    assert answer.headers["content-type"] == "application/json"
    if "json" in case:
        assert answer.json() == case["json"]
    if "error" in case:
        assert list(answer.json()) == ["error"]
        assert case["error"] in answer.json()["error"]
    if "contains" in case:
        assert_contains(answer.json(), case["contains"])


def assert_contains(found, wanted):
    if isinstance(wanted, dict):
        for key, value in wanted.items():
            assert_contains(found[key], value)
    else:
        assert found == wanted


def test_numbers_that_json_has_no_word_for(client):
    answer = client.post("/v1/models/half_plus_two:predict", content='{"instances": [NaN, Infinity, -Infinity, 0.2]}')
    assert answer.text.replace(" ", "") == '{"predictions":[NaN,Infinity,-Infinity,2.1]}'
