"""The demo on tiny models: its folder, its page, the comparison in a fresh process, and what happens when that fails."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.cli_runs import refused, run
from support.offline import check_offline

from ganzoo.errors import GanzooError
from ganzoo.media import images

pytest_plugins = ("support.cli_fixtures",)


@pytest.fixture(scope="session")
def demo():
    """The module, imported late: it needs TensorFlow."""
    from ganzoo import demo

    return demo


@pytest.fixture(scope="session")
def done(demo, dcgan, pix2pix, tmp_path_factory):
    """A whole demo with the tiny runs instead of the shipped models, and the sentences it told."""
    out, told = tmp_path_factory.mktemp("demo") / "demo", []
    names = [str(dcgan[0]), str(pix2pix)]
    result = demo.run_demo(out, steps=2, models=names, finetune=names[1], exports=names, tell=told.append)
    return out, result, told


def test_demo_makes_what_it_says(done):
    out, result, told = done
    assert len(told) == 5  # two models, one fine-tuning, two exports
    assert json.loads((out / "demo.json").read_text()) == result
    for part in (*result["samples"], *result["exports"], result["finetune"]):
        assert images.read_image(out / part["file"]).shape[2] == 3
    assert [s["model"] for s in result["samples"]] == ["dcgan/fashion-32", "pix2pix/lines2colour-64"]
    assert (out / "finetune" / "report.html").is_file()
    assert (out / "finetune" / "model" / "weights.safetensors").is_file()
    for part in result["exports"]:
        assert (out / part["savedmodel"] / "saved_model.pb").is_file()
        assert part["largest_difference"] <= 1
        assert part["pictures"] == 8


def test_demo_measures_fine_tuning_on_held_out_pairs(done):
    _, result, _ = done
    tuned = result["finetune"]
    assert tuned["steps"] == 2
    assert 0 < tuned["l1_before"] < 1
    assert tuned["l1_after"] != tuned["l1_before"]


def test_the_demo_fine_tunes_to_other_pictures(done, demo):
    out, _, _ = done
    pairs = sorted((out / "faces" / "A").iterdir()), sorted((out / "faces" / "B").iterdir())
    assert [path.name for path in pairs[0]] == [path.name for path in pairs[1]]
    assert len(pairs[0]) > 80
    config = (out / "finetune" / "config.toml").read_text()
    assert "faces" in config
    assert "hold_out = 0.1" in config  # what is shown was not trained on


def test_the_overview_shows_every_model(done, demo):
    out, _, _ = done
    sheet = images.read_image(out / "samples" / "overview.png")
    assert sheet.shape == (demo.BLOCK + demo.CAPTION + 16, 4 * (demo.BLOCK + 8) + 8, 3)
    parts = [
        sheet[8 + demo.CAPTION : -8, left : left + demo.BLOCK] for left in (8, demo.BLOCK + 16, 2 * demo.BLOCK + 24)
    ]
    assert [bool((part < 250).any()) for part in parts] == [True, True, False]  # two models, and white
    pictures = np.stack([np.full((64, 64, 1), i, np.uint8) for i in range(20)])
    block = demo.tiled(pictures)
    assert block.shape == (256, 256, 3)
    assert [int(block[y, x, 0]) for y, x in ((0, 0), (0, 255), (64, 0), (255, 255))] == [0, 3, 4, 15]


def test_demo_page(done):
    out, result, _ = done
    reader = check_offline((out / "index.html").read_text("utf-8"))
    assert sum(tag == "img" for tag, _ in reader.tags) == 6  # overview, two models, fine-tuning, two exports
    links = [attrs["href"] for tag, attrs in reader.tags if tag == "a"]
    assert links == ["finetune/report.html"]
    assert (out / links[0]).is_file()
    for part in result["exports"]:
        assert f"{part['largest_difference']}/255" in reader.text


def test_demo_replaces_its_own_folder_only(demo, done, tmp_path):
    out, _, _ = done
    earlier = tmp_path / "demo"
    shutil.copytree(out, earlier)
    (earlier / "mine.txt").write_text("kept")
    assert demo._prepare(earlier) == earlier
    assert sorted(p.name for p in earlier.iterdir()) == ["demo.json", "mine.txt"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("")
    with pytest.raises(GanzooError, match="holds other files"):
        demo.run_demo(tmp_path / "other", models=["gan"])


def test_a_difference_fails_the_demo(demo, done, monkeypatch, tmp_path):
    _, result, _ = done
    part = result["exports"][0] | {"largest_difference": 2}
    monkeypatch.setattr(demo, "tune", lambda *_: result["finetune"])
    monkeypatch.setattr(demo, "show", lambda *_: (result["samples"][0], np.zeros((256, 256, 3), np.uint8)))
    monkeypatch.setattr(demo, "export_and_compare", lambda *_: part)
    monkeypatch.setattr(demo.report, "write_demo_page", lambda *_: None)
    with pytest.raises(demo.DemoFailure, match="dcgan/fashion-32 by 2/255"):
        demo.run_demo(tmp_path / "demo", models=["a"], exports=["a"])


def test_a_model_that_does_not_load_fails_the_demo(demo, tmp_path):
    with pytest.raises(demo.DemoFailure, match="fresh process could not use"):
        demo.call_fresh(tmp_path, [0])


def test_largest_difference_is_seen(demo):
    made, wanted = np.zeros((2, 4, 4, 3), np.uint8), np.full((2, 4, 4, 1), 51, np.uint8)
    assert demo.error(made, wanted) == pytest.approx(0.2)


def test_command(demo, done, monkeypatch, tmp_path):
    _, result, _ = done
    asked = {}

    def stand_in(out, *, seed, steps, tell):
        asked.update(out=out, seed=seed, steps=steps)
        tell("Load [bold]dcgan")
        return result

    monkeypatch.setattr(demo, "run_demo", stand_in)
    answer = run("demo", "-o", tmp_path / "d", "--seed", 2, "--steps", 5)
    assert asked == {"out": Path(tmp_path / "d"), "seed": 2, "steps": 5}
    assert "Load [bold]dcgan" in answer.stderr
    assert result["page"] in answer.stdout.replace("\n", "")
    assert json.loads(run("demo", "-o", tmp_path / "d", "--json").stdout) == result

    def fail(*_, **__):
        raise demo.DemoFailure("It differs.")

    monkeypatch.setattr(demo, "run_demo", fail)
    failed = run("demo", "-o", tmp_path / "d", code=1)
    assert failed.stderr.endswith("Error: It differs.\n")


def test_command_refusals(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    assert "thesis.tex" in refused("demo", "-o", tmp_path / "thesis.tex")
    assert "--steps" in refused("demo", "-o", tmp_path / "d", "--steps", 0)


# A process in which nothing can be imported that only an extra brings.
CORE = """
import sys
extras = {"scipy", "skimage", "sklearn", "trimesh", "imageio_ffmpeg", "tf2onnx", "onnx", "onnxruntime", "starlette", "uvicorn"}
extras |= {"httpx", "huggingface_hub", "torch", "ray", "matplotlib"}
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in extras:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
sys.modules |= dict.fromkeys(extras)
from pathlib import Path
from ganzoo import demo
for name in sys.argv[2:]:
    demo.show(name, Path(sys.argv[1]), 0)
"""


def test_the_core_shows_models_whose_papers_name_an_extra(tmp_path):
    names = ["age-cgan/faces-64", "context-encoder/photos-128", "3d-gan/furniture-32"]
    (tmp_path / "samples").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", CORE, str(tmp_path), *names], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(list((tmp_path / "samples").iterdir())) == len(names)
