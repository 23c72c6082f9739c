"""Where else a run's numbers go: TensorBoard by itself where it is installed, since it writes into the run folder alone; MLflow
or Weights & Biases where they are asked for (`tracker=`, `--tracker`), since both may send what they are given to a server.

What each needs (a server, a key, a project, offline or not) it reads from its own environment variables and files.
"""

import contextlib
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

from ganzoo import __version__, files
from ganzoo.errors import GanzooError, missing_extra, nearest, say
from ganzoo.presets import RunConfig
from ganzoo.runs.log import read_json

FILE = "tracker.json"  # of a run folder: tracker -> the name that it gave the run, so that a resume goes on there
Row = dict[str, float]


class Tracker:
    """A run in MLflow or Weights & Biases: takes the rows of `log.jsonl` and the sample grids.

    A failure of the tracker is not one of the training's: it is said once, and the run goes on.
    """

    def __init__(self, title: str, row: Callable[[Row], Any], picture: Callable[[Path, int], Any]):
        self.title, self._row, self._picture = title, row, picture
        self.failed = False

    def row(self, row: Row) -> None:
        """Numbers of a step, as `RunLog` gives them to its listeners."""
        self._safely(lambda: self._row(row))

    def picture(self, path: Path, step: int) -> None:
        """A sample grid."""
        self._safely(lambda: self._picture(path, step))

    def _safely(self, send: Callable[[], Any]) -> None:
        try:
            send()
        except Exception as error:  # of a server, a network, a disk: whatever it is
            if not self.failed:
                words = " ".join(str(error).split())
                say(f"{self.title} does not take this run's numbers, which goes on: {words:.300}")
            self.failed = True


@contextlib.contextmanager
def opened(name: str | None, out: Path, config: RunConfig) -> Iterator[Tracker | None]:
    """The tracker of this name for the run in `out` while the body runs; None without a name.

    A run of the tracker's that is open already (`mlflow.start_run`, `wandb.init`) is used, and left open.

    Raises:
        GanzooError: the tracker cannot be started.
    """
    if not name:
        yield None
        return
    known = read_json(out / FILE).get(name)
    with contextlib.ExitStack() as stack:
        try:
            tracker, number = stack.enter_context(
                TRACKERS[name](out, config, known if isinstance(known, str) else None)
            )
        except Exception as error:
            raise GanzooError(f"{name} could not be started: {' '.join(str(error).split()):.300}") from error
        files.write_bytes(out / FILE, json.dumps({name: number}).encode())
        yield tracker


def check(name: str | None) -> None:
    """Raises GanzooError if there is no such tracker, or its package is not installed."""
    if name and name not in TRACKERS:
        raise GanzooError(f'Unknown tracker "{name}"; there are {" and ".join(TRACKERS)}.{nearest(name, TRACKERS)}')
    if name and importlib.util.find_spec(name) is None:
        raise missing_extra(name, name)


@contextlib.contextmanager
def _mlflow(out: Path, config: RunConfig, known: str | None) -> Iterator[tuple[Tracker, str]]:
    import mlflow
    from mlflow.entities import Param, RunTag

    # The handle, and not the run that is active: the numbers come from the training loop, whichever thread that is.
    client, active = mlflow.MlflowClient(), mlflow.active_run()
    with contextlib.redirect_stdout(sys.stderr):  # MLflow prints addresses; stdout is the command's own
        run = active or mlflow.start_run(run_id=known, run_name=None if known else out.name)
    number = run.info.run_id

    def row(row: Row) -> None:
        mlflow.log_metrics({key: value for key, value in row.items() if key != "step"}, int(row["step"]), run_id=number)

    if known is None:
        tags = {"ganzoo.version": __version__, "ganzoo.model": config.full_name, "ganzoo.run": str(out)}
        params = [Param(key, str(value)[:500]) for key, value in settings(config).items()]
        client.log_batch(number, tags=[RunTag(key, value) for key, value in tags.items()])
        for first in range(0, len(params), 100):  # as many as a server takes at once
            client.log_batch(number, params=params[first : first + 100])
    status = "FAILED"
    try:
        yield Tracker("MLflow", row, lambda path, _: client.log_artifact(number, str(path), "samples")), number
        status = "FINISHED"
    finally:
        if active is None:
            with contextlib.redirect_stdout(sys.stderr):
                mlflow.end_run(status)


@contextlib.contextmanager
def _wandb(out: Path, config: RunConfig, known: str | None) -> Iterator[tuple[Tracker, str]]:
    import wandb

    active = wandb.run
    # The folder must not be called wandb: a folder of that name on the import path would be taken for the package.
    folder = out / "weights-and-biases"
    folder.mkdir(exist_ok=True)
    run = active or wandb.init(
        dir=str(folder), id=known, resume="allow" if known else None, name=out.name, config=settings(config)
    )
    run.define_metric("*", step_metric="step")  # a run that was rolled back comes to the same steps again

    def picture(path: Path, step: int) -> None:
        run.log({"samples": wandb.Image(str(path)), "step": step})

    code = 1
    try:
        yield Tracker("Weights & Biases", run.log, picture), run.id
        code = 0
    finally:
        if active is None:
            run.finish(exit_code=code)


TRACKERS: dict[str, Callable[..., contextlib.AbstractContextManager[tuple[Tracker, str]]]] = {
    "mlflow": _mlflow,
    "wandb": _wandb,
}


def settings(config: RunConfig) -> dict[str, Any]:
    """A run's options by dotted key, as a tracker shows them."""
    found: dict[str, Any] = {"name": config.name, "preset": config.preset}

    def walk(prefix: str, value: Any) -> None:
        if isinstance(value, dict) and value:
            for key, inner in value.items():
                walk(f"{prefix}.{key}", inner)
        elif value is not None:
            found[prefix] = value

    for table in ("model", "data", "train"):
        walk(table, config.model_dump(mode="json")[table])
    return found


def tensorboard(folder: Path, listeners: list[Callable[[Row], Any]]) -> bool:
    """Also writes each logged row as TensorBoard scalars, if TensorBoard is installed. Returns whether it is."""
    if importlib.util.find_spec("tensorboard") is None:
        return False
    writer = tf.summary.create_file_writer(str(folder))

    def write(row: Row) -> None:
        with writer.as_default(step=row["step"]):
            for key, value in row.items():
                if key != "step":
                    tf.summary.scalar(key, value)
        writer.flush()

    listeners.append(write)
    return True
