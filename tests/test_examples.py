"""The notebooks of examples/ run from top to bottom with the small values that their own metadata name, and hold no outputs; the Docker
files copy and install what there is. The slow ones train or export: `-m slow`."""

import configparser
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
SLOW = {"serve-and-call", "your-own-pairs", "a-paper-of-your-own"}
DOCKERFILES = sorted((ROOT / "docker").glob("*.Dockerfile"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_small_and_has_no_outputs(path):
    content = json.loads(path.read_text("utf-8"))
    assert path.stat().st_size < 20_000
    assert all(
        not cell["outputs"] and cell["execution_count"] is None
        for cell in content["cells"]
        if cell["cell_type"] == "code"
    )


@pytest.mark.parametrize(
    "path", [pytest.param(path, marks=[pytest.mark.slow] * (path.stem in SLOW), id=path.stem) for path in NOTEBOOKS]
)
def test_a_notebook_runs(path, tmp_path, monkeypatch):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))
    notebook = nbformat.read(path, as_version=4)
    small = dict(notebook.metadata["ganzoo"]["test"])
    (given,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ()))
    for name, value in small.items():
        given.source, count = re.subn(rf"^{name} = .+", f"{name} = {value}", given.source, flags=re.MULTILINE)
        assert count == 1, f"{path.name} has no parameter {name}"
    nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_a_dockerfile_copies_and_installs_what_there_is(path):
    text = re.sub(r"\\\n", " ", path.read_text("utf-8"))
    copied = [
        word for line in re.findall(r"^COPY (.+)$", text, re.MULTILINE) for word in line.split()[:-1] if word[0] != "-"
    ]
    assert copied
    assert all((ROOT / word).exists() for word in copied)
    about = configparser.ConfigParser()
    about.read(ROOT / "setup.cfg")
    extras = {extra for found in re.findall(r"\.\[([\w,]+)\]", text) for extra in found.split(",")}
    assert extras
    assert extras <= set(about["options.extras_require"])
    assert re.search(r"^USER (?!root)\w+", text, re.MULTILINE), "a server does not run as root"
    assert re.search(r'^(ENTRYPOINT|CMD) \["ganzoo"', text, re.MULTILINE)
    assert re.findall(r"^FROM (.*)", text, re.MULTILINE) == ["${BASE}"], (
        "the user pins the digest: --build-arg BASE=...@sha256:..."
    )
    assert re.search(r"^ARG BASE=python:3\.1\d-slim$", text, re.MULTILINE)


def test_there_is_a_dockerfile_for_cpus_and_for_gpus():
    assert {path.name for path in DOCKERFILES} == {"cpu.Dockerfile", "gpu.Dockerfile"}
