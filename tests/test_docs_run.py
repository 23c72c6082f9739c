"""The manual is run: every command and every Python block of the README and of docs/, in order, a folder a page, on a zoo of small
random models (`support.small_zoo`) and few steps. What cannot run here is named with its reason, in NOT_HERE or by a comment
`<!-- not run: REASON -->` above the block.
"""

import re
import shlex
import shutil
from pathlib import Path

import pytest
from support import small_zoo
from support.cli_runs import run

import ganzoo
from ganzoo import training

ROOT = Path(__file__).resolve().parents[1]

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NOT_HERE = {  # a regular expression of a command -> why, and where it is tested
    r"^python3 -m venv|/activate$|^pip |^python -m pytest": "installs and tests: .ci/run does it",
    r"^python -m zipfile|ganzoo import |\./my-(faces|vintage)": "checkpoints of others that pip downloads: tests/importers",
    r"^srun ": "needs Slurm: tests/devices",
    r"--ray|s3://": "needs Ray and a bucket: tests/training/test_ray.py",
    r"ganzoo serve": "serves until it is stopped: tests/serving",
    r"--to web": "needs npm: tests/exporting/test_web.py",
    r"--to savedmodel,onnx": "minutes of converters: tests/exporting",
    r"ganzoo doctor ": "trains many times, in processes of its own: tests/doctor",
    r"ganzoo list --html": "draws with all shipped weights: tests/cli/test_cli.py",
    r"ganzoo demo": "minutes: tests/test_demo.py",
    r"ganzoo plan": "trains in processes of its own: tests/training/test_plan.py",
    r"hf://": "needs the Hub: tests/test_hub.py has a small one",
    r"--tracker": "needs MLflow or Weights & Biases: tests/training/test_trackers.py",
    r"jit_compile": "compiles with XLA: tests/training",
    r"ganzoo evaluate dcgan/fashion-32": "measures clothes, and the small data are none: tests/evaluation",
    r"--compare before": "compares two files of yours: tests/cli/test_cli_evaluate.py",
    r"replay coloured|runs/elsewhere": "a picture and a run of yours: tests/cli/test_replay.py",
    r"ganzoo explore truncate biggan": "measures with an extractor of clothes: tests/models/test_biggan.py",
    r"ganzoo explain": "builds the paper's own size: tests/report/test_explain.py",
    r"sample (dtn|age-cgan) ": "faces and digits of yours: tests/models/test_dtn.py, tests/models/test_age_cgan.py",
    r"train anime/lorelei-64 --data faces/ --set": "trains as the line above it does: tests/data/test_attribute_data.py",
}
SMALLER = {  # what a page says -> what is run
    r"--steps \d+": "--steps 2",
    r"train\.steps=\d+": "train.steps=2",
    r"\bsteps=\d+": "steps=2",
    r"steps_per_epoch=\d+": "steps_per_epoch=1",
    r"--batch-size \d+": "--batch-size 4",
    r"--accumulate \d+": "--accumulate 2",
    r"-n \d+": "-n 4",
    r"\bn=\d+": "n=4",
    r"batch_size=\d+": "batch_size=2",
    r"--steps-per-execution \d+": "--steps-per-execution 2",
    r"--curve \S+": "",
}


def blocks(page: Path) -> list[tuple[str, str, str]]:
    """(language, text, why it is not run or "") of the page's code blocks."""
    text = page.read_text("utf-8")
    found = re.findall(r"(?:<!-- not run: (.*?) -->\s*)?^```(\w+)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [(language, body, why) for why, language, body in found]


def commands(block: str) -> list[str]:
    lines = block.replace("\\\n", " ").splitlines()
    bare = (re.sub(r"(^|\s+)#.*", "", line).strip() for line in lines)
    return [part.strip() for line in bare for part in line.split("&&") if part.strip()]


def reason(command: str) -> str | None:
    return next((why for pattern, why in NOT_HERE.items() if re.search(pattern, command)), None)


def smaller(text: str) -> str:
    for pattern, value in SMALLER.items():
        text = re.sub(pattern, value, text)
    return text


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """The pictures, a run and two files of results, for all pages; the small zoo stands for the zoo."""
    root = tmp_path_factory.mktemp("manual")
    small_zoo.pictures(root)
    with pytest.MonkeyPatch.context() as patch:
        small_zoo.make(root, patch)
        patch.setenv("GANZOO_CACHE", str(root / "cache"))
        training.finetune("pix2pix", data=str(root / "pairs"), out=root / "runs" / "mine", steps=2)
        yield root


@pytest.fixture
def folder(home, tmp_path, monkeypatch):
    """A page's own folder: links to the pictures, a copy of the run."""
    for path in home.iterdir():
        if path.name not in ("runs", "weights", "cache"):
            (tmp_path / path.name).symlink_to(path)
    shutil.copytree(home / "runs", tmp_path / "runs")
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def carried_out(command: str) -> None:
    """A `ganzoo ...` of a page; its output folder is a new one."""
    words = shlex.split(smaller(command))
    assert words[0] == "ganzoo", f"{command}: say in NOT_HERE why this is not run"
    if words[1] in ("train", "finetune") and "--resume" not in words:
        shutil.rmtree(words[words.index("-o") + 1], ignore_errors=True)
    if words[1] == "train":
        words += ["--set", "train.steps=2"] * all("train.steps" not in word and word != "--steps" for word in words)
    run(*words[1:])


# Minutes in all.
SLOW = {"evaluate", "explore", "holes", "own-data", "python", "sharing", "speed", "text", "training"}


@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=[pytest.mark.slow] * (page.stem in SLOW), id=page.stem) for page in PAGES]
)
def test_every_block_of_a_page_runs(page, folder):
    names, failed = {"ganzoo": ganzoo}, []
    for language, text, why in blocks(page):
        if why or language not in ("bash", "python"):
            continue
        parts = [text] if language == "python" else [line for line in commands(text) if reason(line) is None]
        for part in parts:
            try:
                if language == "python":
                    for out in re.findall(r'out="([^"]+)"', text):
                        shutil.rmtree(out, ignore_errors=True)
                    exec(compile(smaller(text), page.name, "exec"), names)
                else:
                    carried_out(part)
            except Exception as error:  # all that a page has, in one go
                failed.append(f"{part}\n  {type(error).__name__}: {error}")
    assert not failed, "\n".join(failed)


def test_what_is_not_run_is_there_and_has_a_reason():
    said = [
        command
        for page in PAGES
        for language, text, _ in blocks(page)
        if language == "bash"
        for command in commands(text)
    ]
    for pattern, why in NOT_HERE.items():
        assert why
        assert any(re.search(pattern, command) for command in said), f"no page has {pattern} any more"
    run_here = [command for command in said if reason(command) is None]
    assert len(run_here) > len(said) / 2
