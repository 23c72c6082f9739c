"""What a run does besides its steps: log, sample grids, checkpoints, progress, a clean Ctrl-C.

The callbacks that judge the samples are in `ganzoo.training.monitors`.
"""

import contextlib
import datetime
import json
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from ganzoo import files
from ganzoo.base import BaseGAN
from ganzoo.base.guard import NotFinite
from ganzoo.base.rates import rates
from ganzoo.errors import say
from ganzoo.media import images
from ganzoo.runs import checkpoint
from ganzoo.runs.folder import Place
from ganzoo.runs.log import kept_rows
from ganzoo.runs.mirror import Mirror
from ganzoo.sampling import translations

STOPPING = b"\nStopping after this step; the state is saved then. A second Ctrl-C ends at once, without saving.\n"


class RunLog(keras.callbacks.Callback):
    """Appends one JSON object a logged step to log.jsonl: step, seconds, images_per_s, save_seconds (those of `seconds`
    that went into checkpoints), the learning rate of each player's next update (g_rate, d_rate), and the means since the last.

    On resume the rows past the restored step are dropped and both times go on from the last kept row. A value that is not
    finite is not written: it raises NotFinite. Without a path, of a worker that is not the chief, nothing is written.
    """

    def __init__(self, path: Path | None, *, every: int, batch_size: int, start_step: int):
        super().__init__()
        self.path, self.every, self.batch_size = path, every, batch_size
        self.began: float | None = None
        rows = kept_rows(path, start_step, "seconds") if path else []
        self.seconds_before = rows[-1]["seconds"] if rows else 0.0
        self.save_seconds = rows[-1].get("save_seconds", 0.0) if rows else 0.0  # counted by `Checkpoints`
        self.step = self.logged = start_step
        self.last: dict[str, float] = {}
        self.listeners: list = []

    def on_train_begin(self, logs=None):
        self.mark = time.perf_counter()
        if self.began is None:  # the first of several segments
            self.began = self.mark

    @property
    def seconds(self) -> float:
        """Training seconds so far, earlier parts of a resumed run included."""
        return self.seconds_before + (0 if self.began is None else time.perf_counter() - self.began)

    def on_train_batch_end(self, batch, logs=None):
        self.step += self.model.steps_per_execution
        if self.step % self.every == 0:
            self.write(logs)

    def on_train_end(self, logs=None):
        if self.step > self.logged and logs:
            self.write(logs)

    def write(self, logs):
        self.model.guard.check()
        now = time.perf_counter()
        rate = (self.step - self.logged) * self.batch_size / (now - self.mark)
        values = {key: float(value) for key, value in logs.items()}
        for key, value in values.items():
            if not math.isfinite(value):
                raise NotFinite(key, self.step)
        times = {"seconds": round(self.seconds, 2), "images_per_s": round(rate, 1)}
        times["save_seconds"] = round(self.save_seconds, 4)
        self.last = {"step": self.step, **times, **rates(self.model), **values}
        if self.path:
            files.append_line(self.path, json.dumps(self.last))
        self.logged, self.mark = self.step, now
        for tracker in self.model.metrics:
            tracker.reset_state()
        for listener in self.listeners:
            listener(self.last)


class SampleGrid(keras.callbacks.Callback):
    """Writes samples/000500.png every so many steps and at the last one (never if `every` is 0), always from the same noise or the same inputs.

    Args:
        inputs: for text {"text": sentences}: a row of eight pictures each; for image tasks {"input": uint8 (n, H, W, C), "target": ...}: rows of input, output, target; for two
            domains {"a": ..., "b": ...}: rows of a, a2b, a2b2a, b, b2a, b2a2b.
    """

    def __init__(
        self, folder: Path, *, every: int, start_step: int, last_step: int, seed: int, inputs: dict | None = None
    ):
        super().__init__()
        self.folder, self.every, self.step, self.last_step = folder, every, start_step, last_step
        self.seed, self.inputs = seed, inputs
        self.listeners: list[Callable[[Path, int], Any]] = []

    def on_train_begin(self, logs=None):
        if self.every and self.step == 0:
            self.write()

    def on_train_batch_end(self, batch, logs=None):
        self.step += self.model.steps_per_execution
        due = self.every and (self.step % self.every == 0 or self.step == self.last_step)
        if due and self.model.trains_generator:
            self.write()

    def write(self) -> Path:
        model: BaseGAN = self.model
        if model.ema_decay:
            # Averaged weights with the running statistics of the others look worse than they are. Training is not
            # touched: the next step copies the running statistics over again.
            model.finalize()
        if self.inputs is None:
            wide = model.example_columns
            made = model.examples(64 // wide * wide, self.seed)
            picture = images.grid(model.pictures(made), columns=wide)
        elif "text" in self.inputs:
            picture = images.grid(model.generate(self.inputs["text"], seed=self.seed, n_per_text=8), columns=8)
        else:
            columns = translations(model, self.inputs, self.seed)
            channels = max(column.shape[-1] for column in columns)
            columns = [images.to_channels(column, channels) for column in columns]
            picture = images.grid(np.stack(columns, axis=1).reshape(-1, *columns[0].shape[1:]), columns=6)
        path = self.folder / f"{self.step:06d}.png"
        text = {"model": model.full_name, "step": str(self.step)}
        if self.inputs is not None and "text" in self.inputs and isinstance(self.inputs["text"], list):
            text["text"] = "\n".join(self.inputs["text"])
        images.write_png(path, picture, text)
        for listener in self.listeners:
            listener(path, self.step)
        return path


class Checkpoints(keras.callbacks.Callback):
    """Saves the whole training state every so many steps and at the end."""

    def __init__(self, folder: Path, *, every: int, keep: int, start_step: int, log: RunLog):
        super().__init__()
        self.folder, self.every, self.keep, self.log = folder, every, keep, log
        self.step = self.saved = start_step

    def on_train_batch_end(self, batch, logs=None):
        self.step += self.model.steps_per_execution
        if self.every and self.step % self.every == 0:
            self.save()

    def on_train_end(self, logs=None):
        if self.step > self.saved:
            self.save()

    def save(self):
        began = time.perf_counter()
        checkpoint.save(self.model, self.folder, keep=self.keep)
        self.saved = self.step
        self.log.save_seconds += time.perf_counter() - began


class Copies(keras.callbacks.Callback):
    """Copies the run folder to its URL after every checkpoint, and at the end. Comes after the `saver`."""

    def __init__(self, mirror: Mirror, saver: Checkpoints):
        super().__init__()
        self.mirror, self.saver = mirror, saver
        self.sent: int | None = None

    def on_train_batch_end(self, batch, logs=None):
        if self.sent != self.saver.saved:  # also at the first step: the state that the run begins with
            self.sent = self.saver.saved
            self.mirror.push()

    def on_train_end(self, logs=None):
        self.mirror.push()


class Stays(keras.callbacks.Callback):
    """Ends a run whose folder was deleted or moved, before anything is written there. Comes before all that writes."""

    def __init__(self, place: Place):
        super().__init__()
        self.place = place

    def on_train_batch_end(self, batch, logs=None):
        self.place.check()


class Interrupt(keras.callbacks.Callback):
    """Ctrl-C and SIGTERM end the run after the current step, with checkpoint and report; a second one kills as usual."""

    SIGNALS = (signal.SIGINT, signal.SIGTERM)
    interrupted = main = False

    def on_train_begin(self, logs=None):
        self.main = threading.current_thread() is threading.main_thread()
        if self.main:
            self.previous = {number: signal.signal(number, self._note) for number in self.SIGNALS}

    def on_train_end(self, logs=None):
        if self.main:
            self._restore()

    def on_train_batch_end(self, batch, logs=None):
        if self.interrupted:
            self.model.stop_training = True

    def _note(self, signum, frame):
        self.interrupted = True
        self._restore()
        with contextlib.suppress(OSError):
            os.write(2, STOPPING)  # past the buffers of sys.stderr, which may be in the midst of a write

    def _restore(self):
        for number, handler in self.previous.items():
            signal.signal(number, handler)


class ProgressLine(keras.callbacks.Callback):
    """One rich line on stderr: step, losses, images/s, time left."""

    def __init__(self, *, start_step: int, steps: int, log: RunLog):
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        super().__init__()
        columns = (BarColumn(20), MofNCompleteColumn(), TextColumn("{task.fields[values]}"), TimeRemainingColumn())
        self.bar = Progress(*columns, console=Console(stderr=True))
        self.task = self.bar.add_task("train", total=steps, completed=start_step, values="compiling")
        log.listeners.append(self._show)

    def on_train_begin(self, logs=None):
        self.bar.start()

    def on_train_batch_end(self, batch, logs=None):
        self.bar.advance(self.task, self.model.steps_per_execution)

    def on_train_end(self, logs=None):
        self.bar.stop()

    def _show(self, row):
        self.bar.update(self.task, values=f"{_losses(row, rates(self.model))}  {row['images_per_s']:.0f} images/s")


class ProgressLines(keras.callbacks.Callback):
    """Where stderr is not a terminal (nohup, Slurm, a container): every 30 seconds a line with step, losses, learning rates,
    images/s and time left. `now`: the clock."""

    EVERY = 30.0

    def __init__(self, *, start_step: int, steps: int, log: RunLog, now: Callable[[], float] = time.perf_counter):
        super().__init__()
        self.step, self.steps, self.log, self.now = start_step, steps, log, now
        self.said: tuple[float, int] | None = None

    def on_train_begin(self, logs=None):
        if self.said is None:  # the first of several segments
            self.said = self.now(), self.step

    def on_train_batch_end(self, batch, logs=None):
        now = self.now()
        before, step = self.said or (now, self.step)
        self.step += self.model.steps_per_execution
        if now - before < self.EVERY:
            return
        speed = (self.step - step) / (now - before)
        of_players = rates(self.model)
        values = "  ".join(f"{name} {rate:.2g}" for name, rate in of_players.items())
        left = datetime.timedelta(seconds=round((self.steps - self.step) / speed))
        line = f"step {self.step:,} of {self.steps:,}  {_losses(logs or {}, of_players)}  {values}"
        say(f"{line}  {speed * self.log.batch_size:.1f} images/s  {left} left")
        self.said = now, self.step


def _losses(row: dict, of_players: dict) -> str:
    """What a progress line has room for."""
    hidden = {"step", "seconds", "images_per_s", "save_seconds", "real_logit", "fake_logit", *of_players}
    return "  ".join(f"{key} {float(value):.3f}" for key, value in row.items() if key not in hidden)


def progress(*, start_step: int, steps: int, log: RunLog) -> ProgressLine | ProgressLines:
    """What shows on stderr how far a run is: a moving line on a terminal, else lines."""
    return (ProgressLine if sys.stderr.isatty() else ProgressLines)(start_step=start_step, steps=steps, log=log)
