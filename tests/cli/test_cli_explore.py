"""`ganzoo explore` on tiny saved models: what each verb writes and says, and how bad input ends."""

import json

import numpy as np
import pytest
import tiny
from PIL import Image
from support.cli_runs import process, refused, run

import ganzoo
from ganzoo import __version__, explore, presets, zoo
from ganzoo.media import images

VERBS = ("interpolate", "truncate", "mix", "walk", "project")
STYLES = {"image_size": 16, "latent_dim": 8, "w_dim": 8, "mapping_layers": 2, "mapping_width": 8, "fmap_base": 32}


@pytest.fixture(scope="module")
def dcgan(tmp_path_factory):
    """The folder of a saved dcgan with random weights, 16 px."""
    return ganzoo.save(tiny.build("dcgan", channels=3), tmp_path_factory.mktemp("models") / "dcgan")


@pytest.fixture(scope="module")
def stylegan(tmp_path_factory):
    """The folder of a saved stylegan-lite with random weights, 16 px, so with 6 layers."""
    sizes = {f"model.{key}": value for key, value in STYLES.items()}
    model = zoo.build(presets.run_config("stylegan-lite", sizes | {"data.size": 16}))
    return ganzoo.save(model, tmp_path_factory.mktemp("models") / "stylegan")


@pytest.fixture
def picture(tmp_path):
    """A picture of another size than any model's."""
    path = tmp_path / "face.png"
    images.write_png(path, np.random.default_rng(0).integers(0, 255, (20, 24, 3), dtype=np.uint8))
    return path


def texts(path):
    with Image.open(path) as file:
        return file.text


def test_help_says_what_each_verb_does():
    text = run("explore", "--help").stdout
    for verb in VERBS:
        assert verb in text
        assert "--json" in run("explore", verb, "--help").stdout


def test_interpolate(dcgan, tmp_path):
    first, second, other = (tmp_path / f"{name}.png" for name in "abc")
    words = ["explore", "interpolate", dcgan, "--seeds", "0:1,7", "--steps", 3, "--scale", 1]
    value = json.loads(run(*words, "-o", first, "--json").stdout)
    run(*words, "-o", second)
    run("explore", "interpolate", dcgan, "--seed", 3, "--steps", 3, "--scale", 1, "-o", other)
    assert first.read_bytes() == second.read_bytes() != other.read_bytes()
    model = ganzoo.load(dcgan)
    assert value == {
        "model": "dcgan/fashion-32",
        "weights": model.weights_source,
        "seed": 0,
        "explore": "interpolate",
        "points": ["0:1", "7"],
        "steps": 3,
        "loop": False,
        "files": [str(first)],
    }
    written = texts(first)
    assert json.loads(written.pop("replay"))["verb"] == "explore interpolate"
    assert written == {
        "licence": "LicenseRef-unknown",
        "model": "dcgan/fashion-32",
        "weights": model.weights_source,
        "seed": "0",
        "ganzoo": __version__,
        "explore": "interpolate",
        "points": "0:1 7",
        "steps": "3",
        "loop": "False",
    }
    row = images.grid(explore.interpolate(model, "0:1,7", steps=3)[0], 3)
    np.testing.assert_array_equal(images.read_image(first)[:, -row.shape[1] :], row)
    assert texts(other)["points"] == "3:0 3:1 3:2 3:3"  # the first cells of `ganzoo sample --seed 3`


def test_a_film_of_samples(dcgan, tmp_path):
    out = tmp_path / "new" / "walk.gif"
    words = ["explore", "interpolate", dcgan, "--seeds", "0:0-2", "--steps", 4, "--scale", 2, "--fps", 10]
    run(*words, "-o", out)
    with Image.open(out) as film:
        assert film.size == (32, 32)
        assert film.info["duration"] == 100
        assert b"points=0:0 0:1 0:2" in film.info["comment"]
        assert film.n_frames == 2 * 7 - 2  # 3 + 3 + 1 pictures, there and back
    run(*words, "--loop", "-o", out)
    with Image.open(out) as film:
        assert film.n_frames == 3 * 3
    assert sorted(file.name for file in out.parent.iterdir()) == ["walk.gif", "walk.gif.replay.json"]


def test_mp4(dcgan, tmp_path):
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    run("explore", "walk", dcgan, "--direction", 0, "--steps", 3, "-o", tmp_path / "a.mp4")
    about = next(ffmpeg.read_frames(str(tmp_path / "a.mp4")))
    assert about["size"] == (260, 260)  # one picture of 16 px enlarged to 256, and the border of a grid


def test_mp4_without_its_package_is_a_sentence(dcgan, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "imageio_ffmpeg", None)
    assert "ganzoo[video]" in refused("explore", "walk", dcgan, "-o", tmp_path / "a.mp4")


def test_walk(dcgan, tmp_path):
    words = ["explore", "walk", dcgan, "--seeds", "0:0-1", "--direction", "0,2-3", "--steps", 3, "--scale", 1]
    value = json.loads(run(*words, "-o", tmp_path / "a.png", "--json").stdout)
    assert (value["directions"], value["reach"], value["points"]) == ([0, 2, 3], 3.0, ["0:0", "0:1"])
    table = explore.walk(ganzoo.load(dcgan), "0:0-1", directions=[0, 2, 3], steps=3)
    sheet = images.grid(table.reshape(-1, 16, 16, 3), 3)
    np.testing.assert_array_equal(images.read_image(tmp_path / "a.png")[-sheet.shape[0] :, -sheet.shape[1] :], sheet)
    run(*words, "-o", tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as film:
        assert (film.n_frames, film.size) == (4, (6 * 18 + 2, 20))


def test_project_and_go_on_from_there(dcgan, picture, tmp_path):
    first, second = tmp_path / "a.png", tmp_path / "b.png"
    words = ["explore", "project", dcgan, "--input", picture, "--steps", 3, "--starts", 2]
    value = json.loads(run(*words, "-o", first, "--json").stdout)
    line = run(*words, "-o", second).stdout
    assert first.read_bytes() == second.read_bytes()
    assert first.with_suffix(".json").read_bytes() == second.with_suffix(".json").read_bytes()
    assert value["files"] == [str(first), str(first.with_suffix(".json"))]
    assert line.count("\n") == 1
    assert "mean difference" in line
    found = explore.project(ganzoo.load(dcgan), images.read_image(picture), steps=3, starts=2)
    report = json.loads(first.with_suffix(".json").read_text())
    assert report["latent"] == found.latent.tolist()
    assert report["losses"] == found.losses
    assert report["distances"] == value["distances"] == found.distances
    assert (report["model"], report["space"], report["input"]) == ("dcgan/fashion-32", "z", picture.name)
    assert images.read_image(first).shape[1] == 4 * 258 + 2
    assert texts(first)["steps"] == "3"

    out = tmp_path / "c.png"
    run("explore", "interpolate", dcgan, "--seeds", f"{first.with_suffix('.json')},0:0", "--scale", 1, "-o", out)
    row = images.read_image(out)[:, -8 * 18 - 2 :]
    np.testing.assert_array_equal(row[2:18, 2:18], found.result)
    run(*words, "-o", tmp_path / "d.gif", "--fps", 2, "--scale", 1)
    with Image.open(tmp_path / "d.gif") as film:
        assert film.size == (2 * 18 + 2, 20)


def test_truncate_and_mix(stylegan, tmp_path):
    model = ganzoo.load(stylegan)
    out = tmp_path / "a.png"
    value = json.loads(run("explore", "truncate", stylegan, "--psi", "1,0.5", "--scale", 1, "-o", out, "--json").stdout)
    assert value["psi"] == [1.0, 0.5]
    sheet = images.grid(explore.truncate(model, "0:0-3", psis=[1.0, 0.5]).reshape(-1, 16, 16, 3), 2)
    np.testing.assert_array_equal(images.read_image(out)[-sheet.shape[0] :, -sheet.shape[1] :], sheet)
    words = ["explore", "mix", stylegan, "--columns", "5,6", "--seed", 1, "--scale", 1]
    value = json.loads(run(*words, "-o", out, "--json").stdout)
    assert (value["rows"], value["columns"], value["layers"]) == (["1:0", "1:1"], ["5", "6"], "coarse,middle,fine")
    table = explore.mix(model, "1:0-1", "5,6")
    assert len(table) == 1 + 2 * 2  # 16 px have no fine layers
    sheet = images.grid(table.reshape(-1, 16, 16, 3), 3)
    np.testing.assert_array_equal(images.read_image(out)[-sheet.shape[0] :, -sheet.shape[1] :], sheet)
    run(*words, "-o", tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as film:
        assert (film.n_frames, film.size) == (2 * 7 - 2, (3 * 18 + 2, 3 * 18 + 2))  # 0 to 6 layers from B, and back
    run("explore", "truncate", stylegan, "--seeds", "0:0", "--psi", "1,0", "-o", tmp_path / "b.gif")
    run("explore", "walk", stylegan, "--layers", "4-5", "--psi", "0.5", "--steps", 2, "-o", out)
    assert texts(out)["truncation_psi"] == "0.5"
    run("explore", "project", stylegan, "--input", out, "--steps", 1, "-o", tmp_path / "p.png")
    assert json.loads((tmp_path / "p.json").read_text())["space"] == "w"
    run("explore", "mix", stylegan, "--rows", tmp_path / "p.json", "--columns", "1,2", "-o", out)


def test_refusals(dcgan, stylegan, picture, tmp_path):
    out = tmp_path / "out.png"

    def sentence(verb, *words, model=dcgan, to=out):
        return refused("explore", verb, model, "-o", to, *words)

    assert "out.webm" in sentence("walk", to=tmp_path / "out.webm")
    assert "is a folder" in sentence("walk", to=tmp_path.rename(tmp_path.with_suffix(".png")))
    tmp_path.with_suffix(".png").rename(tmp_path)
    assert '"x" is not a point' in sentence("walk", "--seeds", "x")
    assert "nowhere.json" in sentence("walk", "--seeds", "nowhere.json")
    assert "--direction" in sentence("walk", "--direction", "one")
    assert "must rise" in sentence("walk", "--direction", "0-100")
    assert "must rise" in sentence("walk", "--direction", "2-1")
    assert "0 to 5; received 9" in sentence("walk", "--direction", "9")
    assert "one group" in sentence("walk", "--layers", "coarse,middle", model=stylegan)
    assert "has no style layers" in sentence("walk", "--layers", "coarse")
    assert "has no psi" in sentence("walk", "--psi", "0.5")
    assert "1 point" in sentence("interpolate", "--seeds", "0:1")
    assert "has no styles" in sentence("interpolate", "--space", "w")
    assert "--steps" in sentence("interpolate", "--steps", "1")
    assert "has no psi" in sentence("truncate")
    assert "--psi" in sentence("truncate", "--psi", "half")
    assert "[-1, 1]" in sentence("truncate", "--psi", "2", model=stylegan)
    assert "has no style layers" in sentence("mix")
    assert "names no layers" in sentence("mix", "--layers", "corse", model=stylegan)
    assert "0 to 5" in sentence("mix", "--layers", "0-6", model=stylegan)
    assert "takes no labels" in sentence("mix", "--label", "1", model=stylegan)
    assert "--input" in sentence("project")
    assert "nowhere.png" in sentence("project", "--input", "nowhere.png")
    assert "squeeze" in sentence("project", "--input", picture, "--fit", "squeeze")
    assert "would be overwritten" in sentence("project", "--input", picture, to=picture)
    assert "turns pictures into pictures" in sentence("walk", "--weights", "random", model="pix2pix")
    assert "no published weights" in sentence("walk", model="dcgan/pytorch-64")
    assert not out.exists()


def test_the_process_is_quiet(tmp_path):
    done = process("explore", "walk", "gan", "--weights", "random", "--steps", 2, "-o", tmp_path / "a.png")
    assert done.returncode == 0
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1
