"""One bit of a file of a run is changed, as a bad disk or a cable does: never other numbers without a word, never a traceback.

Of a log a digit that has become another digit cannot be told: there, nothing may fail.
"""

import contextlib
import io
import random
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.attack.table import Row, apart

STATE = ("weights.safetensors", "manifest.json", "config.toml")  # of a model folder
LOGS = ("log.jsonl", "health.jsonl", "metrics.jsonl", "changes.jsonl", "data.json", "began.json", "config.toml")


def flips(folder: Path, few: bool) -> Iterator[Row]:
    counts = {"checkpoints": 60, "model folders": 60, "logs and settings of a run": 90, "runs that are resumed": 10}
    attacks = (of_checkpoints, of_models, of_logs, of_runs)
    for (name, count), attack in zip(counts.items(), attacks, strict=True):
        start = time.monotonic()
        tries, faults = apart(attack, folder / attack.__name__, max(3, count // 10) if few else count)
        yield Row("flips", name, tries, faults, time.monotonic() - start)


def flipped(path: Path, draw: random.Random) -> str:
    """Changes one bit of a file, in half of the cases one of its first 2,000 bytes; says which."""
    data = bytearray(path.read_bytes())
    place, bit = draw.randrange(min(len(data), draw.choice((2000, len(data))))), draw.randrange(8)
    data[place] ^= 1 << bit
    path.write_bytes(data)
    return f"bit {bit} of byte {place} of {path.name}"


def _run(folder: Path) -> Path:
    """A finished run with two checkpoints and every file that a run may have."""
    from ganzoo import training
    from ganzoo.doctor import small
    from ganzoo.runs import changes

    pace = {"steps": 4, "log_every": 1, "sample_every": 0, "checkpoint_every": 2, "health_every": 2}
    config = small.config("gan", {f"train.{key}": value for key, value in pace.items()})
    training.train(config, out=folder)
    changes.note(folder, 2, "settings", "Resumed with other settings: none of these.")
    (folder / "metrics.jsonl").write_text('{"step": 2, "metric": "kid", "value": 0.5}\n')
    (folder / "began.json").write_text('{"recipe": ["a", "b"]}')
    return folder


def each(folder: Path, count: int, pick: Callable[[Path, random.Random], Path]) -> Iterator[tuple[str, Path]]:
    """(what was flipped, a copy of the run in which it was)."""
    run, draw = _run(folder / "run"), random.Random(0)
    for number in range(count):
        copy = folder / str(number)
        shutil.copytree(run, copy)
        yield flipped(pick(copy, draw), draw), copy
        shutil.rmtree(copy)


def said(function: Callable[[], str | None]) -> str:
    """What was wrong with a call: "" for nothing, and for a GanzooError, which is a word."""
    from ganzoo import GanzooError

    words = io.StringIO()
    with warnings.catch_warnings(record=True) as heard, contextlib.redirect_stderr(words):
        warnings.simplefilter("always")
        try:
            wrong = function() or ""
        except GanzooError as error:
            return "" if "\n" not in str(error).strip() or "differences" in str(error) else f"no sentence: {error}"
        except Exception as error:
            return f"{type(error).__name__}: {error}"
    return "" if heard or "when its newest state was saved" in words.getvalue() else wrong


def of_checkpoints(folder: Path, count: int) -> Iterator[tuple[str, str | None]]:
    from ganzoo import presets, weights, zoo
    from ganzoo.runs import checkpoint

    def digest() -> str:
        return weights.digest(weights.to_arrays(model.training_state()))

    model, known = None, {}
    for what, run in each(folder, count, lambda run, _: run / "checkpoints" / "step-00000004.safetensors"):
        yield what, None
        if model is None:
            model, original = zoo.build(presets.run_config(run / "config.toml")), folder / "run" / "checkpoints"
            known[4] = (checkpoint.restore(model, original), digest())[1]
            (run / "checkpoints" / "step-00000004.safetensors").rename(run / "away")
            known[2] = (checkpoint.restore(model, run / "checkpoints"), digest())[1]
            (run / "away").rename(run / "checkpoints" / "step-00000004.safetensors")

        def restored(run=run, model=model):
            step = checkpoint.restore(model, run / "checkpoints")
            return None if known.get(step) == digest() else f"resumed to other numbers at step {step}"

        yield what, said(restored)


def of_models(folder: Path, count: int) -> Iterator[tuple[str, str | None]]:
    from ganzoo import weights, zoo

    whole = None
    for what, run in each(folder, count, lambda run, draw: run / "model" / draw.choice(STATE)):
        yield what, None
        if whole is None:
            model = zoo.load(folder / "run")
            whole = weights.digest(weights.to_arrays(model.state())), model.get_config()

        def loaded(run=run, whole=whole):
            model = zoo.load(run)
            same = (weights.digest(weights.to_arrays(model.state())), model.get_config()) == whole
            return None if same else "loaded as another model"

        yield what, said(loaded)


def of_logs(folder: Path, count: int) -> Iterator[tuple[str, str | None]]:
    from ganzoo import report
    from ganzoo.runs import changes, log

    for what, run in each(folder, count, lambda run, draw: run / draw.choice(LOGS)):
        yield what, None

        def read(run=run):
            report.write_run_report(run)
            log.kept_rows(run / "log.jsonl", 4, "seconds")
            changes.forget_rollbacks_after(run, 2)
            log.read_json(run / "data.json"), log.read_json(run / "began.json")

        yield what, said(read)


def of_runs(folder: Path, count: int) -> Iterator[tuple[str, str | None]]:
    """A finished run is resumed: it ends with its own weights, or with a sentence."""
    from ganzoo import training, weights

    for what, run in each(folder, count, lambda run, draw: run / draw.choice(("config.toml", "data.json"))):
        yield what, None

        def resumed(run=run):
            training.train(run / "config.toml", out=run, resume=True)
            ends = [weights.read(path / "model" / "weights.safetensors")[0] for path in (run, folder / "run")]
            return None if weights.digest(ends[0]) == weights.digest(ends[1]) else "ended with other weights"

        yield what, said(resumed)
