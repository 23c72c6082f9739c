"""`ganzoo new-paper` in a copy of this clone: what it writes trains at once and passes the harness."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ganzoo import presets
from ganzoo.cli import new_paper
from ganzoo.errors import GanzooError
from ganzoo.runs.log import read_log

REPO = Path(new_paper.__file__).parents[2]


@pytest.fixture
def clone(tmp_path):
    """A copy of this clone, with a link to the assets."""
    copy = tmp_path / "clone"
    left_out = {REPO: {"runs", "build", "dist"}, REPO / "ganzoo": {"assets"}}

    def skipped(folder, names):
        return {n for n in names if n == "__pycache__" or n.startswith(".") or n in left_out.get(Path(folder), ())}

    shutil.copytree(REPO, copy, symlinks=True, ignore=skipped)
    (copy / "ganzoo" / "assets").symlink_to(REPO / "ganzoo" / "assets")
    return copy


def python(clone, *arguments):
    """A Python of its own that imports the copy's ganzoo."""
    environment = os.environ | {"PYTHONPATH": str(clone), "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=clone, env=environment, capture_output=True, text=True, check=False
    )


def test_a_new_paper_trains_at_once(clone):
    table = (clone / "tests" / "tiny.py").read_text("utf-8").splitlines()
    made = python(clone, "-m", "ganzoo", "new-paper", "my-gan")
    assert made.returncode == 0, made.stderr
    paths = [Path(line) for line in made.stdout.splitlines()[:3]]
    assert paths == [clone / p for p in ("ganzoo/models/my_gan.py", "zoo_configs/my-gan.toml", "tests/tiny.py")]
    lines = paths[2].read_text("utf-8").splitlines()
    (added,) = set(lines) - set(table)
    assert [line for line in lines if line != added] == table
    names = [line.split('"')[1] for line in lines[lines.index("TINY = {") + 1 : lines.index("}  # fmt: skip")]]
    assert names == sorted(names)
    settings = [f"--set=model.{key}={value}" for key, value in (("image_size", 8), ("ngf", 4), ("ndf", 4))]
    settings += ["--set=data.size=8", "--set=data.split=test", "--set=train.log_every=2"]
    trained = python(
        clone, "-m", "ganzoo", "train", "my-gan", "--steps", "2", "--batch-size", "8", "--out", "run", *settings
    )
    assert trained.returncode == 0, trained.stderr
    assert {"d_loss", "g_loss", "fooled"} <= set(read_log(clone / "run" / "log.jsonl").rows[-1])
    asked = python(clone, "-m", "pytest", "--paper", "my-gan", "-p", "no:cacheprovider", "tests/tools")
    assert asked.returncode == 0, asked.stdout[-3000:]  # every fault of tools.mutants changes the new file


@pytest.mark.slow
def test_the_harness_is_green_for_a_new_paper(clone):
    assert python(clone, "-m", "ganzoo", "new-paper", "my-gan").returncode == 0
    checked = python(clone, "-m", "ruff", "check", "ganzoo/models/my_gan.py", "tests/tiny.py")
    assert checked.returncode == 0, checked.stdout
    tests = python(clone, "-m", "pytest", "--paper", "my-gan", "-p", "no:cacheprovider")
    assert tests.returncode == 0, tests.stdout[-3000:]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("My-GAN", 'small letters and digits, with hyphens between, such as wgan-gp; received "My-GAN"'),
        ("3d", "small letters and digits"),
        ("../x", "small letters and digits"),
        ("none", "small letters and digits"),
        ("dcgan", '"dcgan" is taken'),
        ("wgan", '"wgan" is taken'),
        ("stylegan-lite", "is taken"),
    ],
)
def test_a_name_that_cannot_be_is_refused_before_anything_is_written(clone, name, sentence):
    before = {path: path.stat().st_mtime_ns for path in clone.rglob("*")}
    with pytest.raises(GanzooError, match=sentence):
        new_paper.write(name, clone)
    assert {path: path.stat().st_mtime_ns for path in clone.rglob("*")} == before


def test_without_a_clone_there_is_nothing_to_write_into(tmp_path):
    with pytest.raises(GanzooError, match="git clone the repository"):
        new_paper.write("my-gan", tmp_path)


def test_a_clone_whose_ganzoo_does_not_run_is_told_so(clone, monkeypatch):
    new_paper.write("my-gan", clone)
    monkeypatch.chdir(clone)
    with pytest.raises(GanzooError, match=r"my-gan\.toml is not read: the ganzoo that runs is .* pip install -e \."):
        presets.find_paper("my-gan")
    monkeypatch.chdir(clone.parent)
    with pytest.raises(GanzooError, match='There is no model "my-gan"') as error:
        presets.find_paper("my-gan")
    assert "is not read" not in str(error.value)


def test_presets_without_a_model_file_are_named(clone):
    new_paper.write("my-gan", clone)
    (clone / "ganzoo" / "models" / "my_gan.py").unlink()
    refused = python(clone, "-m", "ganzoo", "train", "my-gan", "--out", "run")
    assert refused.returncode == 2
    assert 'zoo_configs/my-gan.toml is there, but no file of ganzoo/models has @register("my-gan")' in refused.stderr
