"""`ganzoo replay`: pictures that are made again, pictures that were changed, and files that come from anywhere."""

import json
import os

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from support.cli_runs import refused, run

from ganzoo import replay, sampling, zoo
from ganzoo.media import images

pytest_plugins = ("support.cli_fixtures",)


def answer(picture, *words, code=0):
    return json.loads(run("replay", picture, *words, "--json", code=code).stdout)


def rewritten(path, target, **changes):
    """A PNG with other texts, pixels as they are."""
    with Image.open(path) as picture:
        text = dict(picture.text) | changes
        info = PngImagePlugin.PngInfo()
        for key, value in text.items():
            info.add_text(key, value)
        picture.save(target, pnginfo=info)


@pytest.fixture(scope="module")
def grid(dcgan, tmp_path_factory):
    out = tmp_path_factory.mktemp("grid") / "grid.png"
    run("sample", dcgan[0], "-n", 5, "--columns", 3, "--seed", 7, "-o", out)
    return out


def test_a_grid_is_made_again_byte_for_byte(grid, tmp_path):
    kept = tmp_path / "again.png"
    value = answer(grid, "-o", kept)
    assert value["equal"] is True
    assert value["differences"] == []
    assert kept.read_bytes() == grid.read_bytes()
    assert "every byte is equal" in run("replay", grid).stdout


def test_the_sidecar_brings_back_what_a_copy_lost(grid, tmp_path):
    copy = tmp_path / "grid.png"
    with Image.open(grid) as picture:
        picture.save(copy)  # no text
    assert "does not say how it was made" in refused("replay", copy)
    replay.sidecar(copy).write_bytes(replay.sidecar(grid).read_bytes())
    value = answer(copy, code=1)
    assert value["pixels_equal"] is True
    assert value["changed_since"] is True


def test_changed_pixels_are_measured(grid, tmp_path):
    picture = images.read_image(grid)
    picture[5, 5] = 255 - picture[5, 5]
    with Image.open(grid) as old:
        images.write_png(tmp_path / "touched.png", picture, old.text)
    value = answer(tmp_path / "touched.png", code=1)
    assert value["pixels_equal"] is False
    assert value["share"] == pytest.approx((picture != images.read_image(grid)).mean())
    assert value["differences"] == []
    assert "Nothing else that is recorded differs" in run("replay", tmp_path / "touched.png", code=1).stdout


def test_other_weights_version_and_machine_are_named(dcgan, grid, tmp_path):
    with Image.open(grid) as picture:
        recipe = json.loads(picture.text["replay"])
    recipe["versions"]["numpy"], recipe["machine"]["processor"] = "0.1", "abacus"
    rewritten(grid, tmp_path / "old.png", replay=json.dumps(recipe, sort_keys=True))
    value = answer(tmp_path / "old.png", code=1)
    assert value["pixels_equal"] is True
    assert {d["what"]: d["then"] for d in value["differences"]} == {"numpy": "0.1", "processor": "abacus"}

    model = zoo.load(dcgan[0])
    model.sampler.weights[0].assign(model.sampler.weights[0] + 0.1)
    zoo.save(model, tmp_path / "other")
    value = answer(grid, "--model", tmp_path / "other", code=1)
    assert [d["what"] for d in value["differences"]] == ["weights"]
    assert value["pixels_equal"] is False


def test_one_of_many_samples_is_made_again(dcgan, tmp_path):
    run("sample", dcgan[0], "-n", 3, "--separate", "-o", tmp_path / "cells")
    assert sorted(os.listdir(tmp_path / "cells")) == ["0000.png", "0001.png", "0002.png"]
    renamed = tmp_path / "best.png"
    os.rename(tmp_path / "cells" / "0002.png", renamed)
    assert answer(renamed)["equal"] is True


def test_a_translation_looks_for_its_input(pix2pix, tmp_path, monkeypatch):
    drawing = np.random.default_rng(0).integers(0, 255, (21, 37, 3), dtype=np.uint8)
    images.write_png(tmp_path / "drawings" / "a.png", drawing)
    run("sample", pix2pix, "--input", tmp_path / "drawings", "-o", tmp_path / "out")
    out = tmp_path / "out" / "a.png"
    os.rename(out, tmp_path / "made.png")
    assert '"a.png", which is neither next to it nor here' in refused("replay", tmp_path / "made.png")
    assert answer(tmp_path / "made.png", "--input", tmp_path / "drawings" / "a.png")["equal"] is True
    monkeypatch.chdir(tmp_path / "drawings")
    assert answer(tmp_path / "made.png")["equal"] is True
    images.write_png(tmp_path / "drawings" / "a.png", 255 - drawing)
    assert [d["what"] for d in answer(tmp_path / "made.png", code=1)["differences"]] == ["input"]


@pytest.mark.parametrize("suffix", [".png", ".gif", ".mp4"])
def test_explorations_are_made_again(dcgan, tmp_path, suffix):
    out = tmp_path / f"walk{suffix}"
    run("explore", "interpolate", dcgan[0], "--seeds", "0:0-1", "--steps", 3, "--loop", "--scale", 2, "-o", out)
    assert replay.sidecar(out).is_file()
    assert answer(out)["equal"] is True


def test_a_turntable_is_made_again(tmp_path):
    out, film = tmp_path / "shapes.png", tmp_path / "turn.gif"
    run("sample", "3d-gan", "-n", 1, "--gif", film, "-o", out)
    assert json.loads(replay.sidecar(film).read_text())["role"] == "gif"
    assert answer(film)["equal"] is True


def test_your_own_python_writes_no_recipe(dcgan, tmp_path):
    sampling.write_grid(zoo.load(dcgan[0]), tmp_path / "own.png", 2)
    assert "replay" not in images.Image.open(tmp_path / "own.png").info
    assert "does not say how it was made" in refused("replay", tmp_path / "own.png")


def test_a_file_from_anywhere_is_read_and_nothing_more(grid, tmp_path):
    bad = tmp_path / "bad.png"
    with Image.open(grid) as picture:
        recipe = json.loads(picture.text["replay"])

    def said(**changes):
        rewritten(grid, bad, replay=json.dumps(recipe | changes))
        return refused("replay", bad)

    assert 'no verb "train" writes pictures' in said(verb="train")
    assert "has no option trust" in said(arguments=recipe["arguments"] | {"trust": True})
    (tmp_path / "kept.png").write_bytes(b"mine")
    arguments = recipe["arguments"] | {"out": str(tmp_path / "kept.png"), "gif": str(tmp_path / "kept.png")}
    rewritten(grid, bad, replay=json.dumps(recipe | {"arguments": arguments}))
    assert "is not for a picture to say" in refused("replay", bad)
    assert (tmp_path / "kept.png").read_bytes() == b"mine"
    assert "arguments" in said(arguments={"name": {"deep": 1}})
    assert "extra" in said(extra=1)
    rewritten(grid, bad, replay="{")
    assert "is not JSON" in refused("replay", bad)
    replay.sidecar(bad).write_text("[1]")
    assert "is missing" in refused("replay", bad)
    (tmp_path / "text.png").write_text("no picture")
    assert "does not say how it was made" in refused("replay", tmp_path / "text.png")
    assert 'There is no file "none.png"' in refused("replay", "none.png")
