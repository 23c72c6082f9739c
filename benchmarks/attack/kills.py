"""Runs that are killed: at each of their writes, and at random moments, by SIGKILL, SIGTERM and Ctrl-C.

The command that was killed is given again, with --resume or, where there is nothing to resume, without, until it ends. Then
state, weights, settings and the last picture must have the bytes of a run that nobody killed.
"""

import contextlib
import functools
import hashlib
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.attack.table import FORK, Row
from ganzoo.cli import app
from ganzoo.doctor import small
from ganzoo.presets import config_toml

STEPS = 6
WRITES = 8  # of a run up to its second checkpoint: it is killed before and after each of them
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
ENDS = {0, 130, *(-number for number in SIGNALS)}  # 130: it has saved its state
COMPARED = (
    f"checkpoints/step-{STEPS:08d}.safetensors",
    "model/weights.safetensors",
    "config.toml",
    "model/config.toml",
)


def kills(folder: Path, few: bool) -> Iterator[Row]:
    start, file = time.monotonic(), folder / "run.toml"
    pace = {"steps": STEPS, "log_every": 1, "sample_every": 3, "checkpoint_every": 2, "health_every": 0}
    file.write_text(config_toml(small.config("gan", {f"train.{key}": value for key, value in pace.items()})), "utf-8")
    run = Killed(file, folder / "whole")
    ended = run.once(lambda process: None)
    wanted, seconds = run.bytes(), time.monotonic() - start
    faults = list(run.faults) if ended == 0 else [f"nobody killed it, and it ended with {ended}", *run.faults]
    yield Row("kills", "none: what the others come to", 1, faults, seconds)
    for when in ("before", "after"):
        killed = Killed(file, folder / when)
        for write in range(1, 4 if few else WRITES + 1):
            killed.once(lambda process: None, dies_at=(write, when == "before"))
        yield killed.row(f"SIGKILL {when} each write", wanted)
    draw = random.Random(0)
    for number in SIGNALS:
        name = signal.Signals(number).name
        killed = Killed(file, folder / name)
        for _ in range(1 if few else 4):
            killed.once(functools.partial(_later, seconds=draw.uniform(0, seconds), number=number))
        yield killed.row(f"{name} at random moments", wanted)


class Killed:
    """A run folder in which a training is begun, killed and resumed again and again."""

    def __init__(self, file: Path, out: Path):
        self.file, self.out, self.log = file, out, out.with_suffix(".log")
        self.tries, self.faults, self.began = 0, [], time.monotonic()

    def once(self, kill: Callable, dies_at: tuple[int, bool] | None = None) -> int:
        """Starts the training in a process, which `kill` gets; returns its exit code, negative for a signal."""
        self.tries += 1
        code = 2
        for resume in (True, False) if (self.out / "config.toml").exists() else (False, True):
            process = FORK.Process(target=_train, args=(self.file, self.out, resume, self.log, dies_at))
            process.start()
            kill(process)
            process.join(300)
            if process.is_alive():
                process.kill()
                process.join()
                self.faults.append("did not end within 300 s")
            code, words = process.exitcode, self.log.read_text("utf-8", "replace") if self.log.exists() else ""
            if code != 2:
                break
        if "Traceback" in words or "fault in ganzoo" in words:
            self.faults.append(words[-400:])
        elif code not in ENDS:
            self.faults.append(f"code {code}: {words[-400:]}")
        return code

    def bytes(self) -> dict[str, str]:
        """sha256 of what a run is made of."""
        names = [*COMPARED, *(f"samples/{path.name}" for path in (self.out / "samples").glob(f"{STEPS:06d}.png"))]
        found = {}
        for name in names:
            with contextlib.suppress(OSError):
                found[name] = hashlib.sha256((self.out / name).read_bytes()).hexdigest()
        return found

    def row(self, attack: str, wanted: dict[str, str]) -> Row:
        """Lets the run end, and compares."""
        tries = self.tries
        if (code := self.once(lambda process: None)) != 0:
            self.faults.append(f"cannot be ended: code {code}")
        found = self.bytes()
        self.faults += [f"{name} is not that of the whole run" for name in wanted if found.get(name) != wanted[name]]
        return Row("kills", attack, tries, self.faults, time.monotonic() - self.began)


def _later(process, seconds: float, number: int) -> None:
    process.join(seconds)
    if process.is_alive():
        os.kill(process.pid, number)


def _train(file: Path, out: Path, resume: bool, log: Path, dies_at: tuple[int, bool] | None) -> None:
    """What the process does: the command `ganzoo train`, its words into `log`."""
    os.setpgid(0, 0)
    number = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(number, 1)
    os.dup2(number, 2)
    if dies_at:
        _die(*dies_at)
    words = ["train", str(file), "-o", str(out), "--strategy", "one", "--json", *(["--resume"] if resume else [])]
    os._exit(app(words, standalone_mode=False))


def _die(count: int, before: bool) -> None:
    """The process kills itself before or after its write number `count`: a file that takes the place of another."""
    replace, done = os.replace, 0

    def counted(*paths, **options):
        nonlocal done
        done += 1
        if done == count and before:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(*paths, **options)
        if done == count:
            os.kill(os.getpid(), signal.SIGKILL)

    os.replace = counted
