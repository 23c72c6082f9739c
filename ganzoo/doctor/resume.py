"""A run that is killed and resumed ends with the bytes of one that is not: shown with real processes and real SIGKILLs.

Needs no TensorFlow itself but to look up `small`: the runs are child processes, `python -m ganzoo train`, on the CPU.
"""

import contextlib
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import ganzoo
from ganzoo import presets
from ganzoo.doctor import small as sizes
from ganzoo.errors import GanzooError
from ganzoo.presets import RunConfig


class ChildFailed(RuntimeError):
    """A training ended with another exit code than 0 and 2; the message has its last words."""


@dataclass(frozen=True)
class Kill:
    """A SIGKILL: `step` is the last logged one, `where` is "step" or "save"; a save is shown by its unfinished file."""

    step: int
    where: str


@dataclass(frozen=True)
class Proof:
    """What came out: the kills that hit, and SHA-256 (uninterrupted, resumed) of the last checkpoint, which is the whole
    training state, and of model/weights.safetensors."""

    name: str
    steps: int
    kills: tuple[Kill, ...]
    state: tuple[str, str]
    weights: tuple[str, str]

    @property
    def equal(self) -> bool:
        return self.state[0] == self.state[1] and self.weights[0] == self.weights[1]


def small(name: str) -> RunConfig:
    """A registered model in a size that trains in seconds, with all that it may carry from step to step."""
    return sizes.config(name, dict(sizes.checks(name).state))


def prove(config: RunConfig, *, steps: int = 24, kills: int = 2, seed: int = 0) -> Proof:
    """Trains `steps` steps twice, once without interruption and once killed `kills` times, and compares the bytes.

    The kills come after steps drawn from `seed`, by turns in a step and in a save of a checkpoint. A run that is over before
    a kill hits has fewer.

    Raises:
        GanzooError: `steps` is too small for so many kills, or what a child refused.
        ChildFailed: a training failed.
    """
    if not 0 < kills < steps:
        raise GanzooError(f"{kills} kills need at least 1 kill and more steps than kills; there are {steps} steps.")
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="ganzoo-doctor-") as folder:
        file, whole, broken = (Path(folder) / name for name in ("run.toml", "whole", "broken"))
        file.write_text(presets.config_toml(_short(config, steps, seed)), "utf-8")
        with _child(file, whole) as reference:
            hits: list[Kill] = []
            for i, step in enumerate(sorted(draw.sample(range(1, steps), kills))):
                with _child(file, broken, resume=bool(hits)) as child:
                    hit = _kill(child, broken, step, where=("step", "save")[i % 2], delay=draw.uniform(0, 0.05))
                    if hit is None:
                        _finish(child)
                        break
                    hits.append(hit)
            with _child(file, broken, resume=True) as child:
                _finish(child)
            _finish(reference)
        state, weights = (
            (_sha256(whole / path), _sha256(broken / path))
            for path in (f"checkpoints/step-{steps:08d}.safetensors", "model/weights.safetensors")
        )
    return Proof(config.full_name, steps, tuple(hits), state, weights)


def _short(config: RunConfig, steps: int, seed: int) -> RunConfig:
    """So few steps of it, each logged, with six checkpoints; what only watches is left out."""
    never = dict.fromkeys(("train.sample_every", "train.health_every", "train.metric_every"), 0)
    quiet = config.model_copy(update={"train": config.train.model_copy(update={"stop": presets.StopConfig()})})
    pace = {"train.steps": steps, "train.log_every": 1, "train.checkpoint_every": max(1, steps // 6)}
    encoder = min(config.train.encoder_steps, steps // 3)
    return presets.run_config(quiet, never | pace | {"train.seed": seed, "train.encoder_steps": encoder})


@contextlib.contextmanager
def _child(file: Path, out: Path, *, resume: bool = False):
    """`ganzoo train` in a process of its own, this ganzoo, on the CPU; gone when the body ends."""
    paths = [str(Path(ganzoo.__file__).parent.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    command = [sys.executable, "-m", "ganzoo", "train", str(file), "-o", str(out), "--strategy", "one", "--json"]
    child = subprocess.Popen(
        command + ["--resume"] * resume,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths), "CUDA_VISIBLE_DEVICES": "-1"},
    )
    try:
        with child:
            yield child
    finally:
        child.kill()


def _finish(child: subprocess.Popen[str]) -> None:
    """Waits for the run's end; its failure is ours."""
    _, words = child.communicate()
    if child.returncode == 2:
        raise GanzooError(words.strip().removeprefix("Error: "))
    if child.returncode:
        raise ChildFailed(f"A training (process {child.pid}) ended with code {child.returncode}: {words.strip()}")


def _kill(child: subprocess.Popen, out: Path, step: int, *, where: str, delay: float) -> Kill | None:
    """SIGKILL once the child itself has done `step`, in a step or in a save; None if its run ended before.

    The child is stopped first, so that where it is can be seen while it cannot move.
    """
    log, before = out / "log.jsonl", _inode(out / "log.jsonl")
    first: int | None = None
    while child.poll() is None:
        done = log.read_bytes().count(b"\n") if _inode(log) not in (None, before) else None
        first = done if first is None else first  # rows of the run before; each step adds one
        if (
            done is not None
            and first is not None
            and done >= max(step, first + 1)
            and (where == "step" or _saving(out))
        ):
            time.sleep(delay if where == "step" else 0)
            child.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            if child.poll() is None and _saving(out) == (where == "save"):
                child.kill()
                child.communicate()
                return Kill(log.read_bytes().count(b"\n"), where)
            child.send_signal(signal.SIGCONT)
        time.sleep(0.0005)
    return None


def _inode(path: Path) -> int | None:
    """A resumed run writes its log anew: another file of the same name."""
    return path.stat().st_ino if path.exists() else None


def _saving(out: Path) -> bool:
    """Whether a checkpoint is half written."""
    return any((out / "checkpoints").glob(".step-*.tmp"))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
