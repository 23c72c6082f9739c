"""A served model that is asked for attributes: what the list says, names as people write them, refusals, the client."""

import base64
import json

import numpy as np
import pytest
from support.asgi import AppClient
from tiny import TINY

from ganzoo import exporting, serving, zoo
from ganzoo.client import Client
from ganzoo.media import images


@pytest.fixture(scope="module")
def model():
    return zoo.load("anime", weights=None, **TINY["anime"])


@pytest.fixture(scope="module")
def client(model, tmp_path_factory):
    folder = exporting.export(model, tmp_path_factory.mktemp("served") / "anime", allow_random=True)
    servable = serving.load(*serving.prepare(f"anime={folder.parent}", folder.parent))
    servable.warm_up()
    return AppClient(serving.create_app([servable], log="none"))


def ask(client, *rows):
    return client.post("/v1/models/anime:predict", json={"instances": list(rows)})


def test_the_list_says_what_can_be_asked(client):
    (entry,) = client.get("/models.json").json()
    assert entry["attributes"] == {"hair": ["pink", "blue", "green"], "glasses": ["no", "yes"]}
    assert entry["task"] == "generator"


def test_answers_are_those_of_generate(client, model):
    asked = [{}, {"hair": "pink"}, {"HAIR": "Green", "glasses": True}, {"glasses": "off"}]
    texts = [json.dumps(one) for one in asked] + [""]
    answer = ask(client, *({"seed": 5, "attributes": text} for text in texts))
    assert answer.status_code == 200, answer.text
    for one, row in zip([*asked, {}], answer.json()["predictions"], strict=True):
        shown = images.read_image(base64.b64decode(row["b64"]))
        wanted = model.generate(1, seed=5, attributes=one)[0]
        assert np.abs(shown.astype(int) - wanted).max() <= 1


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"hare": "pink"}', 'There is no attribute "hare". Did you mean "hair"? This model has: hair, glasses.'),
        ('{"hair": "purple"}', "Its values are: pink, blue, green."),
        ('["hair"]', "attributes are a mapping of names to values"),
        ("pink", "attributes"),
        ('{"hair": "pink", "Hair": "blue"}', "asked for twice"),
        ("[" * 5000, "attributes"),
    ],
)
def test_refusals_are_sentences(client, text, sentence):
    answer = ask(client, {"seed": 0, "attributes": "{}"}, {"seed": 0, "attributes": text})
    assert answer.status_code == 400
    assert sentence in answer.json()["error"]


def test_columns_of_floats(client, model):
    latents, columns = np.zeros((2, 6), np.float32), np.eye(2, 4, dtype=np.float32)
    body = {"signature_name": "tensors", "inputs": {"latents": latents.tolist(), "attributes": columns.tolist()}}
    answer = client.post("/v1/models/anime:predict", json=body)
    np.testing.assert_allclose(answer.json()["outputs"], model.images_of(latents, columns), atol=1e-5)


def test_the_client_writes_the_objects(monkeypatch):
    sent = []

    def predict(self, model, *, instances, signature):
        sent.extend(instances)
        return []

    monkeypatch.setattr(Client, "predict", predict)
    with Client("http://127.0.0.1:1") as client:
        client.generate("anime", seed=[1, 2], attributes={"hair": "pink", "glasses": True})
        client.generate("anime", attributes=[{}, {"hair": "blue"}])
    asked = [(row["seed"], json.loads(row["attributes"])) for row in sent]
    one = {"hair": "pink", "glasses": True}
    assert asked == [(1, one), (2, one), (0, {}), (0, {"hair": "blue"})]
