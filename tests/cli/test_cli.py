"""The command line on real small runs: what each verb writes, prints and returns, and how each kind of bad input ends."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.cli_runs import EVERY_STEP, ROOT, TINY_DCGAN, process, refused, run, settings
from typer.testing import CliRunner

from ganzoo import __version__, presets, sampling
from ganzoo.cli import app, output
from ganzoo.cli.evaluate import shipped
from ganzoo.cli.train import parse_setting
from ganzoo.devices import quiet
from ganzoo.errors import GanzooError, printable
from ganzoo.media import images

pytest_plugins = ("support.cli_fixtures",)

VERBS = (
    "list",
    "card",
    "explain",
    "sample",
    "replay",
    "train",
    "fetch",
    "finetune",
    "plan",
    "evaluate",
    "explore",
    "serve",
    "export",
    "import",
    "push",
    "data",
    "doctor",
    "demo",
    "new-paper",
)


# ------------------------------------------------------------------------------------------------------------- start-up
@pytest.mark.parametrize("words", [["--help"], ["list"], ["card", "dcgan"], ["train", "--help"], ["card", "nope"]])
def test_starts_without_heavy_imports(words):
    heavy = {"tensorflow", "keras", "tensorflow_datasets", "tensorflow_hub", "torch", "jax", "safetensors"}
    code = f"import sys\nfrom ganzoo.cli import app\ntry: app({words})\nexcept SystemExit: pass\nsys.stderr.write(str(sorted({heavy} & set(sys.modules))))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60, check=True
    )
    assert done.stderr.endswith("[]")


def test_help_names_every_verb_and_no_other():
    text = run("--help").stdout
    listed = [c.name or c.callback.__name__ for c in app.registered_commands] + [g.name for g in app.registered_groups]
    assert sorted(listed) == sorted(VERBS)
    assert all(verb in text for verb in VERBS)
    assert run().stdout == text
    for verb in VERBS:
        run(verb, "--help")


def test_version():
    assert run("--version").stdout == f"ganzoo {__version__}\n"


def test_tensorflow_is_quiet_and_its_errors_are_not(tmp_path):
    done = process("sample", "gan", "--weights", "random", "-n", 1, "-o", tmp_path / "a.png")
    assert done.returncode == 0
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1


def test_held_back_lines_come_back_unless_they_are_noise(capfd):
    def load():
        with quiet.without_noise():
            os.write(2, b"I0000 00:00:1795404616.378830 3634 port.cc:153] oneDNN custom operations are on.\n")
            os.write(2, b"WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n")
            os.write(2, b"ImportError: libcuda.so.1 is of another version\n")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        load()
    assert capfd.readouterr().err == "ImportError: libcuda.so.1 is of another version\n"


# ------------------------------------------------------------------------------------------------------------ catalogue
def test_list():
    text = run("list").stdout
    data = json.loads(run("list", "--json").stdout)
    assert [paper["name"] for paper in data] == presets.list_models()
    for paper in data:
        assert [row["name"] for row in paper["presets"]] == [
            f"{paper['name']}/{p}" for p in presets.list_presets(paper["name"])
        ]
        for row in paper["presets"]:
            assert row["name"] in text
            assert not row["bundled"] or row["licence"]


def test_list_of_the_trained():
    data = json.loads(run("list", "--trained", "--json").stdout)
    names = [row["name"] for paper in data for row in paper["presets"]]
    assert names == shipped()
    text = run("list", "--trained").stdout
    assert [line.split()[0] for line in text.splitlines() if not line.startswith(" ")] == names


def test_list_draws_what_it_lists(tmp_path):
    """The page shows the pictures of seed 0, as `ganzoo sample` makes them, and each measured figure."""
    page = tmp_path / "zoo.html"
    said = json.loads(run("list", "--task", "without pairs", "--html", str(page), "--json").stdout)
    assert said == {"page": str(page), "models": ["cyclegan/fluent2noto-64", "dtn/faces2lorelei-64", "dtn/digits-32"]}
    text = page.read_text()
    assert text.count("data:image") == len(said["models"])
    for name in said["models"]:
        paper, preset = name.split("/")
        assert all(result.metric in text for result in presets.read(paper).presets[preset].results)


def test_list_of_nothing_trained_draws_nothing(tmp_path):
    failed = run("list", "--task", "no such task", "--html", str(tmp_path / "zoo.html"), code=2)
    assert "none comes with weights" in failed.stderr
    assert not (tmp_path / "zoo.html").exists()


@pytest.mark.parametrize("width", [60, 80, 200])
def test_list_fits_the_terminal_and_cuts_no_description(monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    text = run("list").stdout
    assert max(map(len, text.splitlines())) <= width
    words = " ".join(text.split())
    for paper in json.loads(run("list", "--json").stdout):
        assert all(row["about"] in words and row["expects"] in words for row in paper["presets"])


def test_card_on_a_terminal_cuts_no_metric_and_no_number():
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "ganzoo", "card", "pix2pix/lines2colour-64"]
    env = {**os.environ, "TERM": "dumb", "COLUMNS": "80"}
    done = subprocess.run(
        command, stdout=theirs, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=env, timeout=60, check=True
    )
    os.close(theirs)
    text = b"".join(iter(lambda: read_or_end(ours), b"")).decode()
    os.close(ours)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    words = " ".join(text.split())
    for result in presets.read("pix2pix").presets["lines2colour-64"].results:
        assert f"{result.metric}: {result.value:g}" in words
        assert result.ceiling is None or f"ceiling {result.ceiling:g}" in words
    assert "ganzoo card pix2pix/lines2colour-64 | less" in done.stderr


def read_or_end(descriptor):
    """What a closed terminal still holds; Linux answers its end with an error."""
    try:
        return os.read(descriptor, 65536)
    except OSError:
        return b""


def test_card():
    text = run("card", "pix2pix").stdout
    assert text.startswith("# pix2pix")
    assert "1611.07004" in text
    data = json.loads(run("card", "Pix2Pix", "--json").stdout)
    assert data["name"] == "pix2pix"
    assert data["card"].strip() == text.strip()
    assert data["paper"]["year"] == 2016
    assert "edges2emoji" not in run("card", "pix2pix/lines2colour-64").stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["card", "pixpix"], 'There is no model "pixpix". Did you mean "pix2pix"?'),
        (["card", "dcgan/fashion-23"], 'no preset "fashion-23". Did you mean "fashion-32"?'),
        (["card"], "Missing argument 'NAME'"),
        (["crad"], "No such command 'crad'. Did you mean 'card'?"),
        (["list", "--jason"], "--jason"),
        (["sample", "dcgan", "-n", "many", "-o", "a.png"], "-n"),
        (["sample", "dcgan", "-n", "0", "-o", "a.png"], "-n"),
        (["sample", "dcgan"], "--out"),
        (["data"], "Missing command"),
    ],
)
def test_bad_usage_is_one_sentence(words, expected):
    assert expected in refused(*words)


def test_exit_code_of_the_process():
    done = process("card", "pixpix")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == 'Error: There is no model "pixpix". Did you mean "pix2pix"?\n'


def test_output_into_a_closed_pipe_is_no_traceback():
    command = f'"{sys.executable}" -m ganzoo card pix2pix | true'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.stderr == ""


def test_a_fault_of_ours_is_1_and_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr("ganzoo.presets.cards.card", lambda name: 1 / 0)
    result = CliRunner().invoke(app, ["card", "dcgan"])
    assert result.exit_code == 1
    assert "ZeroDivisionError" in result.stderr
    assert "fault in ganzoo" in result.stderr


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (PermissionError(13, "Permission denied", "/x/y.png"), 2, '"/x/y.png": Permission denied.'),
        (IsADirectoryError(21, "Is a directory", "/x"), 2, '"/x": Is a directory.'),
        (OSError(28, "No space left on device", "/x/y.png"), 1, "Free some space"),
        (OSError(5, "Input/output error"), 1, "Input/output error."),
        (MemoryError(), 1, "not enough memory"),
        (type("ResourceExhaustedError", (Exception,), {})("OOM when allocating tensor"), 1, "not enough memory"),
        (type("ResourceExhaustedError", (Exception,), {})("x.pb; No space left on device"), 1, "no space left"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_failures_of_the_machine_are_sentences(monkeypatch, error, code, words):
    def fail(name):
        raise error

    monkeypatch.setattr("ganzoo.presets.cards.card", fail)
    assert words in run("card", "dcgan", code=code).stderr


def test_control_characters_never_reach_the_terminal():
    assert printable("a\x1b[31m\u202eb\n") == "a\\x1b[31m\\u202eb\n"


# --------------------------------------------------------------------------------------------------------------- sample
def test_sample_grid(dcgan, tmp_path):
    run_dir, _ = dcgan
    first, second, other = (tmp_path / f"{name}.png" for name in "abc")
    result = json.loads(run("sample", run_dir, "-n", 6, "--columns", 3, "-o", first, "--json").stdout)
    run("sample", run_dir, "-n", 6, "--columns", 3, "-o", second)
    run("sample", run_dir, "-n", 6, "--columns", 3, "--seed", 1, "-o", other)
    assert first.read_bytes() == second.read_bytes() != other.read_bytes()
    with Image.open(first) as picture:
        assert picture.size == (2 + 3 * 18, 2 + 2 * 18)
        recipe = json.loads(picture.text["replay"])
        assert (recipe["verb"], recipe["arguments"]) == ("sample", {"name": str(run_dir), "n": 6, "columns": 3})
        assert picture.text == {
            "replay": picture.text["replay"],
            "model": "dcgan/fashion-32",
            "weights": result["weights"],
            "seed": "0",
            "ganzoo": __version__,
            "licence": "LicenseRef-unknown",
        }
    sha256 = json.loads((run_dir / "model" / "manifest.json").read_text())["sha256"]
    assert result["weights"].endswith(f":{sha256[:8]}")
    assert result["files"] == [str(first)]


def test_separate_samples_are_the_cells_of_the_grid(dcgan, tmp_path):
    run_dir, _ = dcgan
    run("sample", run_dir, "-n", 3, "--columns", 3, "--seed", 5, "-o", tmp_path / "grid.png")
    run("sample", run_dir, "-n", 3, "--separate", "--seed", 5, "-o", tmp_path / "cells")
    cells = [images.read_image(f) for f in sorted((tmp_path / "cells").iterdir())]
    assert sorted(os.listdir(tmp_path / "cells")) == ["0000.png", "0001.png", "0002.png"]
    np.testing.assert_array_equal(images.grid(cells, columns=3), images.read_image(tmp_path / "grid.png"))


def test_random_weights_are_asked_for_and_reproducible(tmp_path):
    files = [tmp_path / "a.png", tmp_path / "b.png"]
    for file in files:
        run("sample", "gan/mnist-28", "-n", 1, "--weights", "random", "-o", file)
    assert files[0].read_bytes() == files[1].read_bytes()
    with Image.open(files[0]) as picture:
        assert picture.text["weights"] == "random"
    assert "no published weights" in refused("sample", "gan/mnist-28", "-o", tmp_path / "c.png")


@pytest.fixture
def photos(tmp_path):
    """Pictures of several sizes and formats, one of them broken."""
    folder, rng = tmp_path / "in", np.random.default_rng(1)
    folder.mkdir()
    Image.fromarray(rng.integers(0, 255, (21, 37, 3), dtype=np.uint8)).save(folder / "odd.png")
    Image.fromarray(rng.integers(0, 255, (16, 16), dtype=np.uint8)).save(folder / "gray.webp", lossless=True)
    Image.fromarray(rng.integers(0, 255, (16, 16), dtype=np.uint8)).save(folder / "twin.bmp")
    Image.fromarray(rng.integers(0, 255, (9, 16), dtype=np.uint8)).save(folder / "twin.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    (folder / "notes.txt").write_text("no picture")
    return folder


def test_translate_one_keeps_its_size(pix2pix, photos, tmp_path):
    files = [tmp_path / "a.png", tmp_path / "b.png"]
    for file in files:
        run("sample", pix2pix, "--input", photos / "odd.png", "-o", file)
    assert files[0].read_bytes() == files[1].read_bytes()
    with Image.open(files[0]) as picture:
        assert (picture.size, picture.mode) == ((37, 21), "RGB")
        assert picture.text["model"] == "pix2pix/lines2colour-64"


def test_translate_a_folder(pix2pix, photos, tmp_path):
    result = run("sample", pix2pix, "--input", photos, "-o", tmp_path / "out", "--json")
    value = json.loads(result.stdout)
    assert sorted(os.listdir(tmp_path / "out")) == ["gray.png", "odd.png", "twin.bmp.png", "twin.png.png"]
    assert [Path(name).name for name, _ in value["skipped"]] == ["broken.jpg"]
    assert "broken.jpg" in result.stderr
    run("sample", pix2pix, "--input", photos / "odd.png", "-o", tmp_path / "alone.png")
    assert (tmp_path / "alone.png").read_bytes() == (tmp_path / "out" / "odd.png").read_bytes()


def test_translate_a_glob_into_a_grid(pix2pix, photos, tmp_path):
    run("sample", pix2pix, "--input", photos / "*.png", "-o", tmp_path / "grid.png")
    with Image.open(tmp_path / "grid.png") as picture:
        assert picture.size == (2 * 39 + 2, 39 + 2)  # two cells, padded to the larger picture's 37


def test_sample_refusals(dcgan, pix2pix, photos, tmp_path):
    latent, _ = dcgan
    before = (photos / "odd.png").read_bytes()
    assert "would be overwritten" in refused("sample", pix2pix, "--input", photos / "odd.png", "-o", photos / "odd.png")
    assert "would be overwritten" in refused("sample", pix2pix, "--input", photos / "odd.png", "-o", photos)
    os.link(photos / "odd.png", tmp_path / "link.png")
    assert "would be overwritten" in refused(
        "sample", pix2pix, "--input", photos / "odd.png", "-o", tmp_path / "link.png"
    )
    assert (photos / "odd.png").read_bytes() == before
    out = tmp_path / "x.png"
    assert "x.png" in refused("sample", pix2pix, "--input", photos / "odd.png", "-o", tmp_path / "x.jpg")
    assert "broken.jpg" in refused("sample", pix2pix, "--input", photos / "broken.jpg", "-o", out)
    assert "notes.txt" in refused("sample", pix2pix, "--input", photos / "notes.txt", "-o", out)
    assert "nowhere.png" in refused("sample", pix2pix, "--input", photos / "nowhere.png", "-o", out)
    assert "No picture matches" in refused("sample", pix2pix, "--input", photos / "*.gif", "-o", out)
    (tmp_path / "empty").mkdir()
    assert "contains no picture" in refused("sample", pix2pix, "--input", tmp_path / "empty", "-o", out)
    assert "--input" in refused("sample", pix2pix, "-o", out)
    assert "takes no --input" in refused("sample", latent, "--input", photos / "odd.png", "-o", out)
    assert "must end in .png" in refused("sample", latent, "-o", tmp_path / "grid.gif")
    assert "is a folder" in refused("sample", latent, "-o", tmp_path.rename(tmp_path.with_suffix(".png")))


def test_outputs_that_cannot_be_written(dcgan, tmp_path):
    run_dir, _ = dcgan
    (tmp_path / "file").write_text("")
    assert "is not a folder" in refused("sample", run_dir, "-o", tmp_path / "file" / "grid.png")
    assert "is not a folder" in refused("export", run_dir, "-o", tmp_path / "file")
    assert "is not a folder" in refused("train", "dcgan", "-o", tmp_path / "file")
    os.mkfifo(tmp_path / "pipe.png")
    assert "a device or a pipe" in refused("sample", run_dir, "-o", tmp_path / "pipe.png")


def test_permission_is_checked_before_the_work(monkeypatch, tmp_path):
    monkeypatch.setattr(output.os, "access", lambda path, mode: False)  # the tests may run as root
    with pytest.raises(GanzooError, match="No permission"):
        output.writable_folder(tmp_path / "new")


def test_weights_that_are_none(dcgan, tmp_path):
    run_dir, _ = dcgan
    assert "There is no folder" in refused("sample", tmp_path / "nothing", "-o", tmp_path / "a.png")
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"\0" * 20)
    assert "bad.safetensors" in refused("sample", run_dir, "--weights", bad, "-o", tmp_path / "a.png")


# ------------------------------------------------------------------------------------------------- train and fine-tune
def test_train_leaves_a_whole_run(dcgan):
    run_dir, value = dcgan
    assert value["stopped"] == "done"
    assert value["steps"] == 4
    assert Path(value["report"]).is_file()
    config = presets.run_config(run_dir / "config.toml")
    assert (config.train.steps, config.train.batch_size, config.train.seed) == (4, 4, 3)
    assert config.model["ngf"] == 4
    rows = [json.loads(line) for line in (run_dir / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert sorted(os.listdir(run_dir / "samples")) == ["000000.png", "000002.png", "000004.png"]
    page = (run_dir / "report.html").read_text()
    assert "How often D is fooled" in page
    assert json.loads((run_dir / "model" / "manifest.json").read_text())["sha256"] in page


def test_a_large_input_is_remarked_on_and_a_huge_one_made_smaller(tmp_path, monkeypatch):
    monkeypatch.setattr(sampling, "LARGEST", 300 * 200)
    for name, size in {"fits": (256, 100), "large": (257, 100), "huge": (600, 400)}.items():
        Image.new("L", size, 255).save(tmp_path / f"{name}.png")
    value = json.loads(run("sample", "pix2pix", "--input", tmp_path, "-o", tmp_path / "out", "--json").stdout)
    expected = "pix2pix/lines2colour-64 expects line drawings of characters"
    large, huge = sorted(value["remarks"], key=lambda remark: "huge" in remark)
    assert f"large.png of 257x100 px was translated as it is; {expected}" in large
    assert f"huge.png of 600x400 px was made smaller, to 300x200 px, to fit in memory; {expected}" in huge
    sizes = {name: Image.open(tmp_path / f"out/{name}.png").size for name in ("fits", "large", "huge")}
    assert sizes == {"fits": (256, 100), "large": (257, 100), "huge": (300, 200)}
    said = run("sample", "pix2pix", "--input", tmp_path / "huge.png", "-o", tmp_path / "one.png").stderr
    assert said == f"Note: {huge}\n"


def test_finetune_starts_from_the_weights(pix2pix, pictures, tmp_path):
    from ganzoo import weights

    words = ["--data", pictures / "pairs", "--steps", 1, "--set", "train.g_optimizer.learning_rate=1e-9"]
    out = tmp_path / "tuned"
    run("finetune", pix2pix, "-o", out, *words, "--set", "train.d_optimizer.learning_rate=1e-9")
    before, _ = weights.read(pix2pix / "model" / "weights.safetensors")
    after, _ = weights.read(out / "model" / "weights.safetensors")
    assert before.keys() == after.keys()
    for key, value in before.items():
        np.testing.assert_allclose(after[key], value, atol=1e-6)


def test_finetune_needs_weights(tmp_path):
    assert "no published weights" in refused("finetune", "gan/mnist-28", "-o", tmp_path / "x")


def test_ctrl_c_saves_and_resume_continues(pictures, tmp_path):
    out = tmp_path / "run"
    words = ["train", "dcgan", "-o", out, "--data", pictures / "pics", "--steps", 1_000_000, "--batch-size", 4]
    words = [*words, *settings(TINY_DCGAN, EVERY_STEP | {"train.checkpoint_every": 0, "train.sample_every": 0})]
    with subprocess.Popen(
        [sys.executable, "-m", "ganzoo", *map(str, words)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        for _ in range(600):
            if child.poll() is not None or ((out / "log.jsonl").is_file() and (out / "log.jsonl").stat().st_size):
                break
            time.sleep(0.1)
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=60)
    assert child.returncode == 130, errors
    assert "Traceback" not in errors
    steps = [json.loads(line)["step"] for line in (out / "log.jsonl").read_text().splitlines()]
    assert f"Stopped at step {steps[-1]}" in errors
    assert (out / "report.html").is_file()

    assert "not empty; continue it with --resume" in refused("train", "dcgan", "-o", out)
    value = json.loads(run("train", "-o", out, "--resume", "--steps", steps[-1] + 2, "--json").stdout)
    assert (value["steps"], value["stopped"]) == (steps[-1] + 2, "done")
    steps = [json.loads(line)["step"] for line in (out / "log.jsonl").read_text().splitlines()]
    assert steps == list(range(1, value["steps"] + 1))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["train"], "--out"),
        (["train", "-o", "{out}"], "Say what to train"),
        (["doctor", "distribute"], "a model such as dcgan, or --all"),
        (["doctor", "distribute", "gan", "--all"], "a model such as dcgan, or --all"),
        (["train", "-o", "{out}", "--resume"], "no run to resume"),
        (["train", "nope", "-o", "{out}"], 'There is no model "nope"'),
        (["train", "nowhere.toml", "-o", "{out}"], "nowhere.toml"),
        (["train", "gan", "-o", "{out}", "--set", "train.bach_size=3"], 'Did you mean "batch_size"?'),
        (["train", "gan", "-o", "{out}", "--set", "train.batch_size=many"], "train.batch_size"),
        (["train", "gan", "-o", "{out}", "--set", "steps"], "KEY=VALUE"),
        (["train", "gan", "-o", "{out}", "--steps", "3", "--set", "train.steps=4"], "given twice"),
        (["train", "gan", "-o", "{out}", "--steps", "0"], "--steps"),
        (["train", "gan", "-o", "{out}", "--data", "nowhere/"], "nowhere"),
        (["train", "gan", "-o", "{out}", "--strategy", "al"], "al"),
    ],
)
def test_train_refusals(words, expected, tmp_path):
    out = tmp_path / "run"
    assert expected in refused(*[w.format(out=out) for w in words])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("train.steps=5", 5),
        ("a.b=1e-4", 1e-4),
        ("a.b=true", True),
        ('a.b="5"', "5"),
        ("a.b=[1, 2]", [1, 2]),
        ("a.b=my folder/x=y", "my folder/x=y"),
        ("a.b=1\nother = 2", "1\nother = 2"),
        ("a.b=", ""),
    ],
)
def test_settings_are_toml_values_or_strings(text, expected):
    _, value = parse_setting(text)
    assert value == expected
    assert type(value) is type(expected)


# ------------------------------------------------------------------------------------------------------ export, import
def test_export_is_loadable(dcgan, tmp_path):
    tf = pytest.importorskip("tensorflow")
    run_dir, _ = dcgan
    value = json.loads(run("export", run_dir, "-o", tmp_path / "out", "--json").stdout)
    assert value["savedmodel"] == str(tmp_path / "out" / "1")
    assert (tmp_path / "out" / "1" / "saved_model.pb").is_file()
    answer = tf.saved_model.load(value["savedmodel"]).signatures["serving_default"](seed=tf.constant([7], tf.int64))
    run("sample", run_dir, "-n", 1, "--seed", 7, "--separate", "-o", tmp_path / "keras")
    expected = images.read_image(tmp_path / "keras" / "0000.png").astype(int)
    assert np.abs(images.read_image(answer["image_bytes"].numpy()[0]) - expected).max() <= 1


def test_export_refuses_random_weights(tmp_path):
    assert "no published weights" in refused("export", "gan/mnist-28", "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_import_makes_a_loadable_folder(tmp_path):
    arrays, width = {}, [4, 8]
    rng = np.random.default_rng(0)

    def put(name, *shape):
        arrays[name] = rng.normal(0, 0.02, shape).astype(np.float32)

    put("main.0.weight", 10, width[1], 4, 4)  # the PyTorch DCGAN example at 16 x 16: 4x4, 8x8, 16x16
    for index in (1, 4):
        channels = width[1] if index == 1 else width[0]
        for part in ("weight", "bias", "running_mean", "running_var"):
            put(f"main.{index}.{part}", channels)
        arrays[f"main.{index}.running_var"] = np.ones(channels, np.float32)
    put("main.3.weight", width[1], width[0], 4, 4)
    put("main.6.weight", width[0], 3, 4, 4)
    np.savez(tmp_path / "netG.npz", **arrays)
    run("import", "dcgan", tmp_path / "netG.npz", "-o", tmp_path / "mine")
    run("sample", tmp_path / "mine", "-n", 1, "--separate", "-o", tmp_path / "out")
    assert images.read_image(tmp_path / "out" / "0000.png").shape == (16, 16, 3)
    assert "is not empty" in refused("import", "dcgan", tmp_path / "netG.npz", "-o", tmp_path / "mine")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["import", "dcgan", "nowhere.npz", "-o", "{out}"], "nowhere.npz"),
        (["import", "dcgan", "model.h5", "-o", "{out}"], "model.h5"),
        (["import", "nope", "x.npz", "-o", "{out}"], "nope"),
    ],
)
def test_import_refusals(words, expected, tmp_path):
    assert expected in refused(*[w.format(out=tmp_path / "out") for w in words])


# ----------------------------------------------------------------------------------------------------------------- data
def test_data_check(tmp_path):
    folder, rng = tmp_path / "set", np.random.default_rng(0)
    for i in range(4):
        images.write_png(folder / f"{i}.png", rng.integers(0, 255, (20, 20, 3), dtype=np.uint8))
    (folder / "5.png").write_bytes((folder / "0.png").read_bytes())
    (folder / "cut.png").write_bytes((folder / "1.png").read_bytes()[:200])
    hostile = folder / "<img src=x onerror=alert(1)> [red].png"
    hostile.write_bytes(b"")
    result = run("data", "check", folder, "--html", tmp_path / "page.html")
    for word in ("duplicate", "truncated", "empty", "[red]", "5 usable pictures"):
        assert word in result.stdout
    page = (tmp_path / "page.html").read_text()
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "<img src=x" not in page
    assert page.count("data:image/png;base64,") >= 5
    value = json.loads(run("data", "check", folder, "--json").stdout)
    assert value["counts"] == {"ok": 4, "truncated": 1, "empty": 1, "duplicate": 1}


def test_data_check_refusals(tmp_path):
    assert "nowhere" in refused("data", "check", tmp_path / "nowhere")
    assert "is a folder" in refused("data", "check", tmp_path, "--html", tmp_path)
    assert "pared" in refused("data", "check", tmp_path, "--shape", "pared")


def test_data_build(tmp_path):
    value = json.loads(run("data", "build", "furniture-voxels_32", "-o", tmp_path, "--json").stdout)
    assert value["splits"] == {"train": 679, "test": 69}
    assert list(Path(value["path"]).glob("*.tfrecord*"))
    assert 'Did you mean "lorelei_64"?' in refused("data", "build", "lorely_64", "-o", tmp_path)


def test_inputs_of_sub_folders_keep_their_places_and_all_others_are_named(pix2pix, tmp_path):
    place = tmp_path / "photos"
    for name in ("a.png", "sub/a.png", "sub/deeper/b.jpg", "c.tif"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((20, 24, 3), 90, np.uint8)).save(place / name)
    (place / "notes.txt").write_text("no picture")
    (place / "sub" / "bad.png").write_bytes(b"x")
    (place / "sub" / ".hidden.png").write_bytes(b"x")
    (place / "loop").symlink_to(place)
    for out in (tmp_path / "out", place / "out", place / "out"):  # the third call finds the results of the second
        result = run("sample", pix2pix, "--input", place, "-o", out, "--json")
        value = json.loads(result.stdout)
        made = sorted(str(Path(name).relative_to(out)) for name in value["files"])
        assert made == ["a.png", "c.png", "sub/a.png", "sub/deeper/b.png"]
        assert [Path(name).name for name, _ in value["skipped"]] == ["bad.png"]
        named = {str(Path(name).relative_to(place)): why for name, why in value["no_pictures"]}
        assert named.items() >= {"notes.txt": "is not a picture by its name", "sub/.hidden.png": "is hidden"}.items()
        for name in ("notes.txt", "bad.png", ".hidden.png"):
            assert name in result.stderr
    assert named["out/sub/a.png"] == "is in the folder of the outputs"


def test_inputs_that_are_no_files(pix2pix, tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    assert "not a regular file" in refused(
        "sample", pix2pix, "--input", tmp_path / "pipe.png", "-o", tmp_path / "x.png"
    )
    for name in ("~nobody_of_this_name/x", "n" * 5000):
        assert refused("sample", pix2pix, "--input", name, "-o", tmp_path / "x.png")


def test_a_config_with_a_byte_order_mark(tmp_path):
    (tmp_path / "bom.toml").write_bytes(b'\xef\xbb\xbfextends = "dcgan/fashion-32"\r\n[train]\r\nsteps = -1\r\n')
    assert "steps" in refused(
        "train", tmp_path / "bom.toml", "-o", tmp_path / "out"
    )  # read, and refused for what it says
