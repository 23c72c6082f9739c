"""Models at addresses: the real client of the Hub against a small server, https-like URLs with a sha256, fsspec URLs."""

import functools
import http.server
import json
import shutil
import threading

import pytest
from support import hub_server
from support.cli_runs import refused, run

from ganzoo import hub, presets, zoo
from ganzoo.errors import GanzooError
from ganzoo.models import dcgan
from ganzoo.presets import catalogue
from ganzoo.presets.licences import Passport

constants = pytest.importorskip("huggingface_hub.constants")
NAME = "hf://ann/clothes"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny gan of random weights as a model folder under CC-BY-4.0."""
    config = presets.run_config(
        "gan", {"model.hidden": 5, "model.maxout_units": 3, "model.image_size": 4, "data.size": 4}
    )
    model = zoo.build(config)
    model.passport = Passport("CC-BY-4.0", "Drawn by A.")
    return zoo.save(model, tmp_path_factory.mktemp("hub") / "model")


@pytest.fixture
def server(monkeypatch, tmp_path):
    """A running hub, the client's endpoint, cache and token set to it."""
    with hub_server.running() as (state, address):
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", hub_server.TOKEN)
        yield state


@pytest.fixture
def published(server, folder):
    """The hub with the folder pushed."""
    run("push", folder, NAME)
    return server


def test_a_model_goes_up_and_comes_back(published, folder):
    files = published.repositories["ann/clothes"]["commits"][published.repositories["ann/clothes"]["branches"]["main"]]
    assert set(files) == {"weights.safetensors", "config.toml", "manifest.json", "README.md"}
    assert files["weights.safetensors"] == (folder / "weights.safetensors").read_bytes()
    card = files["README.md"].decode()
    assert card.startswith(
        "---\nlibrary_name: ganzoo\nlicense: cc-by-4.0\npipeline_tag: unconditional-image-generation\n"
    )
    assert 'ganzoo.load("hf://ann/clothes")' in card
    model = zoo.load(NAME)
    assert (model.generate(2, seed=1) == zoo.load(folder).generate(2, seed=1)).all()
    assert model.passport == Passport("CC-BY-4.0", "Drawn by A.")
    published.asked.clear()
    zoo.load(NAME)
    assert not [line for line in published.asked if line.startswith("GET")]  # it is in the cache


def test_a_revision_is_pinned(published, folder, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    (other / "config.toml").write_text((folder / "config.toml").read_text().replace("seed = 0", "seed = 5"))
    done = json.loads(run("push", other, NAME, "--revision", "v2", "--json").stdout)
    assert zoo.load(NAME).run_config.train.seed == 0
    assert zoo.load(f"{NAME}@v2").run_config.train.seed == 5
    assert zoo.load(NAME, revision=done["commit"].rpartition("/")[2]).run_config.train.seed == 5
    with pytest.raises(GanzooError, match='has no revision "v3"'):
        zoo.load(NAME, revision="v3")
    with pytest.raises(GanzooError, match="give one"):
        zoo.load(f"{NAME}@v2", revision="v3")


def test_the_card_is_shown_without_the_weights(published):
    published.asked.clear()
    text = run("card", NAME).stdout
    assert "Licence of the weights: CC-BY-4.0" in text
    assert not any("safetensors" in line for line in published.asked)


def test_a_licence_that_forbids_is_refused_before_the_weights(published):
    held = published.repositories["ann/clothes"]
    manifest = json.loads(held["commits"][held["branches"]["main"]]["manifest.json"]) | {"licence": "CC-BY-NC-4.0"}
    published.commit("ann/clothes", "main", {"manifest.json": json.dumps(manifest).encode()})
    published.asked.clear()
    with pytest.raises(GanzooError, match=r"hf://ann/clothes is refused for commercial use: CC-BY-NC-4\.0 forbids"):
        zoo.load(NAME, require="commercial")
    assert not any("safetensors" in line for line in published.asked)


def test_what_was_fetched_is_used_offline(published, monkeypatch):
    zoo.load(NAME)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    published.asked.clear()
    assert zoo.load(NAME).generate(1).shape == (1, 4, 4, 1)
    assert published.asked == []
    with pytest.raises(GanzooError, match=r"hf://ann/other \(manifest.json\) is not in the cache"):
        zoo.load("hf://ann/other")


def test_changed_and_torn_files_are_refused(published, folder):
    data = (folder / "weights.safetensors").read_bytes()
    published.commit("ann/clothes", "main", {"weights.safetensors": data[:-1] + bytes([data[-1] ^ 1])})
    with pytest.raises(GanzooError, match="sha256"):
        zoo.load(NAME)
    published.commit("ann/clothes", "main", {"weights.safetensors": data + b"more"})
    published.torn.add("weights.safetensors")
    with pytest.raises(GanzooError, match=r"hf://ann/clothes \(weights.safetensors\) could not be transferred"):
        zoo.load(NAME)


def test_what_is_not_there_is_a_sentence(published, monkeypatch, folder):
    with pytest.raises(GanzooError, match="There is no model hf://ann/nothing, or it is private"):
        zoo.load("hf://ann/nothing")
    published.create("ann/empty")
    with pytest.raises(GanzooError, match=r"is not a model of ganzoo: it has no manifest\.json"):
        zoo.load("hf://ann/empty")
    published.commit("ann/empty", "main", {"manifest.json": b'{"weights": "../../x.safetensors", "sha256": "0"}'})
    with pytest.raises(GanzooError, match=r"names no \.safetensors file"):
        zoo.load("hf://ann/empty")
    with pytest.raises(GanzooError, match="is not an address on the Hub"):
        zoo.load("hf://ann")
    monkeypatch.delenv("HF_TOKEN")
    assert "The Hub refuses hf://ann/mine: run `hf auth login`" in refused("push", folder, "hf://ann/mine")
    published.repositories["ann/clothes"]["private"] = True
    with pytest.raises(GanzooError, match="or it is private"):
        zoo.load(NAME)


def test_a_damaged_folder_is_not_pushed(server, folder, tmp_path):
    shutil.copytree(folder, tmp_path / "bad")
    with open(tmp_path / "bad" / "weights.safetensors", "ab") as opened:
        opened.write(b"x")
    assert "it is damaged" in refused("push", tmp_path / "bad", NAME)
    assert "is not an address on the Hub" in refused("push", folder, "hf://clothes")
    assert server.repositories == {}


def test_a_foreign_folder_runs_no_code(published):
    held = published.repositories["ann/clothes"]
    config = held["commits"][held["branches"]["main"]]["config.toml"].decode()
    published.commit(
        "ann/clothes", "main", {"config.toml": config.replace("[model]", '[model]\nencoder = "hub:/evil"').encode()}
    )
    with pytest.raises(GanzooError, match="SavedModel /evil"):
        zoo.load(NAME)


@pytest.fixture
def website(folder):
    """The folder behind a plain web server."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_website_needs_a_sha256(website, folder, tmp_path, monkeypatch):
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path))
    sha256 = json.loads((folder / "manifest.json").read_text())["sha256"]
    with pytest.raises(GanzooError, match="give the sha256 of its weights"):
        zoo.load(website)
    with pytest.raises(GanzooError, match="was asked for"):
        zoo.load(website, sha256="0" * 64)
    assert zoo.load(website, sha256=sha256).generate(1).shape == (1, 4, 4, 1)
    with pytest.raises(GanzooError, match="answered 404"):
        zoo.load(f"{website}/nothing", sha256=sha256)
    with pytest.raises(GanzooError, match="has no revisions"):
        zoo.load(website, sha256=sha256, revision="main")
    with pytest.raises(GanzooError, match="cannot be reached"):
        zoo.load("http://127.0.0.1:9/x", sha256=sha256)


def test_fsspec_addresses(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path))
    assert zoo.load(f"file://{folder}").generate(1).shape == (1, 4, 4, 1)
    with pytest.raises(GanzooError, match="cannot be read"):
        zoo.load(f"file://{tmp_path}/nothing")
    with pytest.raises(GanzooError, match=r"nosuch://x/manifest\.json cannot be opened"):
        zoo.load("nosuch://x")
    with pytest.raises(GanzooError, match="revision and sha256 are for addresses"):
        zoo.load("gan", revision="main")


def test_addresses_are_read_apart():
    assert hub.repository("hf://a/b@v1") == ("a/b", "v1")
    assert hub.repository("hf://a/b", "v2") == ("a/b", "v2")
    assert hub.is_address("s3://bucket/x")
    assert not hub.is_address("dcgan/fashion-32")


def test_the_names_of_other_libraries_do_the_same(server, folder, tmp_path):
    model = zoo.load(folder)
    model.push_to_hub("ann/clothes")
    assert list(server.repositories) == ["ann/clothes"]
    model.save_to_preset(tmp_path / "saved")
    for name in (NAME, tmp_path / "saved"):
        assert (type(model).from_preset(name).generate(2, seed=1) == model.generate(2, seed=1)).all()
    with pytest.raises(GanzooError, match="is a GAN, not a DCGAN"):
        dcgan.DCGAN.from_preset(tmp_path / "saved")


@pytest.fixture
def large(published, folder, monkeypatch):
    """The preset gan/large, whose weights are on the hub and not in the package."""
    file = presets.read("gan")
    weights = folder / "weights.safetensors"
    record = presets.Weights(
        file=weights.name,
        sha256=json.loads((folder / "manifest.json").read_text())["sha256"],
        bytes=weights.stat().st_size,
        licence="CC-BY-4.0",
        attribution="Drawn by A.",
        hub=f"{NAME}@main",
    )
    preset = next(iter(file.presets.values())).model_copy(
        update={"model": zoo.load(folder).get_config(), "weights": record}
    )
    known = {**catalogue._files(), "gan": file.model_copy(update={"presets": file.presets | {"large": preset}})}
    monkeypatch.setattr(catalogue, "_files", lambda: known)
    published.asked.clear()
    return published


def test_large_weights_are_fetched_when_they_are_asked_for(large, folder):
    size = f"{(folder / 'weights.safetensors').stat().st_size / 1e6:.1f} MB"
    with pytest.raises(GanzooError, match=rf"`ganzoo fetch gan/large`, .*\({size}, CC-BY-4\.0\) from {NAME}@main\."):
        zoo.load("gan/large")
    assert large.asked == []
    assert "ganzoo fetch gan/large" in run("card", "gan/large").stdout
    model = zoo.load("gan/large", fetch=True)
    assert (model.generate(2, seed=1) == zoo.load(folder).generate(2, seed=1)).all()
    assert model.passport == Passport("CC-BY-4.0", "Drawn by A.")
    large.asked.clear()
    assert zoo.load("gan/large", require="commercial").passport.licence == "CC-BY-4.0"  # out of the cache
    assert large.asked == []


def test_the_command_fetches_and_another_file_is_refused(large):
    assert run("fetch", "gan/large").stdout.strip().endswith("weights.safetensors")
    assert zoo.load("gan/large").preset == "large"
    assert "gan/fashion-28 has no weights to fetch: they are in the package" in refused("fetch", "gan")
    large.commit("ann/clothes", "main", {"weights.safetensors": b"other"})
    assert "has the sha256" in refused("fetch", "gan/large")
