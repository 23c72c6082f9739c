"""`ganzoo doctor env`: a description that is of this machine, names what is missing, and tells no secret."""

import importlib.metadata
import json
import platform

from support.cli_runs import run

from ganzoo import __version__
from ganzoo.doctor import env


def test_the_command_describes_this_machine(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hush-hush")
    monkeypatch.setenv("GANZOO_CACHE", "/nowhere/at/all")
    found = json.loads(run("doctor", "env", "--json").stdout)
    assert found["ganzoo"] == __version__
    assert found["python"] == platform.python_version()
    assert found["versions"]["keras"] == importlib.metadata.version("keras")
    assert found["auto_precision"] in ("float32", "bfloat16")
    assert found["devices"] == "cpu"
    assert set(found["disk_free_gib"]) >= {"/nowhere/at/all"}
    assert found["settings"]["HF_TOKEN"] == "(set)"
    text = run("doctor", "env").stdout
    assert "hush-hush" not in text + json.dumps(found)
    assert f"ganzoo: {__version__}" in text
    assert "extra serve:" in text


def test_extras_are_those_of_the_package_and_name_what_they_miss(monkeypatch):
    found = env.extras()
    assert {"serve", "onnx", "video", "ray"} <= set(found)
    assert not set(found) & set(env.NOT_OF_USERS)
    monkeypatch.setattr(env, "version_of", lambda name: None if name == "uvicorn" else "1")
    assert env.extras()["serve"] == {"missing": ["uvicorn"], "command": "pip install 'ganzoo[serve]'"}
    assert env.extras()["video"] == {"missing": [], "command": ""}


def test_a_clone_that_is_not_installed_has_no_extras_to_tell_of(monkeypatch):
    def requires(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", requires)
    assert env.extras() == {}


def test_files_of_the_system_are_read(tmp_path):
    mem = tmp_path / "meminfo"
    mem.write_text("MemTotal:       100 kB\nMemAvailable:   2097152 kB\n")
    assert env.memory(mem) == 2 * env.GIB
    assert env.memory(tmp_path / "none") is None
