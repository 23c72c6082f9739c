"""The training loop of a run: Keras' own `fit`, one for the whole run or one a segment for a paper whose training changes
on the way (progressive growing), with everything that a run does besides its steps."""

import dataclasses
import functools
from pathlib import Path
from typing import TYPE_CHECKING

from ganzoo import data, presets, schedules
from ganzoo.base import BaseGAN
from ganzoo.base.segments import Segment
from ganzoo.devices import workers
from ganzoo.errors import GanzooError, say
from ganzoo.presets import RunConfig
from ganzoo.runs import changes
from ganzoo.runs.folder import Place
from ganzoo.runs.mirror import Mirror
from ganzoo.training import accumulation, callbacks, jit_probe, monitors, trackers

if TYPE_CHECKING:
    from ganzoo.training.settle import Run


# Of fewer items held back a tenth of the data says little: samples are then judged by the training pictures.
JUDGES = 50
PARTS = 11  # of a run, with a sample grid and a row of the log between two of them


@dataclasses.dataclass(frozen=True)
class RunResult:
    """What a run came to: `stopped` is "done", "interrupted", or a `train.stop` rule and its reason ("plateau: ...",
    "d_wins: ..."); `seconds` counts earlier parts of a resumed run, and `save_seconds` of them went into checkpoints;
    `chief`: this process wrote the run folder."""

    run_dir: str | Path
    steps: int
    seconds: float
    save_seconds: float
    stopped: str
    chief: bool = True


def fit(
    run: "Run",
    start: int,
    *,
    progress: bool,
    copier: Mirror | None,
    place: Place | None,
    tracker: trackers.Tracker | None,
) -> RunResult:
    """Trains from step `start` to the end, or to where a rule or a signal ends it.

    Args:
        progress: show how far it is on stderr. copier: what copies the run folder to its URL. place: the run folder of a chief.
        tracker: what else is told the numbers and the sample grids.

    Raises:
        NotFinite: a loss, a gradient or the state is not finite (`ganzoo.base.guard`).
        Gone: the run folder is no longer there.
    """
    model, out, train = run.model, run.out, run.config.train
    held_out, strategy = run.held_out, model.distribute_strategy
    chief = workers.is_chief(strategy)
    path = out / "log.jsonl" if chief else None
    log = callbacks.RunLog(path, every=interval(run.config, "log_every"), batch_size=train.batch_size, start_step=start)
    interrupt = callbacks.Interrupt()
    grid = callbacks.SampleGrid(
        out / "samples",
        every=interval(run.config, "sample_every"),
        start_step=start,
        last_step=train.steps,
        seed=train.seed,
        inputs=_shown(model, held_out, 8),
    )
    saver = callbacks.Checkpoints(
        out / "checkpoints", every=train.checkpoint_every, keep=train.keep_checkpoints, start_step=start, log=log
    )
    # Before the saver: a state that a run goes on from has its rows.
    judges = run.source if held_out.config.hold_out and len(held_out) < JUDGES else held_out
    watches = _watches(model, train, judges, out, start, log) if chief else []
    ended = [watch.stopped for watch in watches if watch.stopped]
    over = workers.from_chief(strategy, b"ended" if ended else b"")  # the others watch nothing
    left = [] if over else [segment for segment in run.segments if segment.end > start]
    factor = float(workers.from_chief(strategy, str(changes.rate_factor(out) if chief else "").encode()))
    line = [callbacks.progress(start_step=start, steps=train.steps, log=log)] if progress else []
    if chief:
        trackers.tensorboard(out / "tensorboard", log.listeners)
    if tracker:
        log.listeners.append(tracker.row)
        grid.listeners.append(tracker.picture)
    everything = [log, *([grid] if chief else []), *watches, saver, interrupt, *line]
    if place:
        everything.insert(0, callbacks.Stays(place))
    if copier:
        everything.append(callbacks.Copies(copier, saver))
    if workers.several(strategy):
        everything.append(workers.Together(every=train.log_every, start_step=start))
    for segment in left:
        done = max(start - segment.first_step, 0)
        start_segment(model, train, segment, factor, fresh=done == 0)
        log.batch_size = segment.batch_size
        shown, steps = batches(model, run.source, segment, train.seed, done), segment.steps - done
        try:
            model.fit(shown, epochs=1, steps_per_epoch=steps, verbose=0, shuffle=False, callbacks=everything)
        except BaseException:
            for callback in (interrupt, *line):
                callback.on_train_end()  # Keras calls it only where `fit` ends well
            if place:
                place.check()  # else what failed is the writing there
            raise
        if model.stop_training:
            break
    ended = [watch.stopped for watch in watches if watch.stopped]
    stopped = "done"
    if log.step < train.steps:
        stopped = ended[0] if ended else "interrupted"
    seconds = log.seconds if left else log.seconds_before
    return RunResult(out, log.step, seconds, log.save_seconds, stopped, chief)


def interval(config: RunConfig, key: str) -> int:
    """Steps between two rows of the log ("log_every") or two sample grids ("sample_every"); 0 for never.

    A preset's own interval is for its own steps: of a shorter run it leaves a dot and no picture, and about ten are made.
    One that was set for this run stands.
    """
    train, every = config.train, getattr(config.train, key)
    known = presets.is_paper(config.name) and presets.read(config.name).presets.get(config.preset)
    if not known or every != getattr(known.train, key):
        return every
    executions = -(-train.steps // (PARTS * train.steps_per_execution))
    return min(every, executions * train.steps_per_execution)


def divide(model: BaseGAN, train: presets.TrainConfig) -> None:
    """Readies a model for `train.accumulate` and `train.steps_per_execution`.

    Raises:
        GanzooError: a step of the model cannot be divided.
    """
    model.steps_per_execution = train.steps_per_execution
    if train.accumulate > 1:
        model.train_step = accumulation.in_parts(model, train.accumulate)


def check_executions(segments: list[Segment], start: int, count: int) -> None:
    """Refuses `train.steps_per_execution` that do not divide a part of the run."""
    for segment in segments:
        steps = segment.end - max(segment.first_step, start)
        if steps > 0 and steps % count:
            raise GanzooError(
                f"train.steps_per_execution {count} does not divide the {steps} steps up to step {segment.end}, where a part "
                "of the run ends."
            )


def try_jit(model: BaseGAN, segments, pictures, config: RunConfig) -> jit_probe.Jit:
    """Whether XLA is worth it, found out on the first batch; said on stderr if not."""
    first = segments[0]
    model.start_segment(first)
    if model.distribute_strategy.num_replicas_in_sync > 1:
        jit = jit_probe.Jit(False, "XLA is tried on one device only")
    else:
        batch = next(iter(batches(model, pictures, first, config.train.seed, 0)))
        jit = jit_probe.jit(model, batch)
    if not jit.used:
        say(f"Training without XLA: {jit.reason}.")
    return jit


def batches(model: BaseGAN, pictures, segment: Segment, seed: int, done: int):
    """The data set of a segment from its step `done` on; of several workers the own rows of each batch."""
    make = functools.partial(
        data.batches, pictures, segment.batch_size, seed=seed, start_step=done, offset=segment.first_image,
        size=segment.size, labels="label" in model.batch_signature(), texts=text_column(model),
        foils="foil" in model.batch_signature(), attributes=bool(model.attributes),
    )  # fmt: skip
    return workers.batches(model.distribute_strategy, segment.batch_size, lambda rows: make(rows=rows))


def text_column(model: BaseGAN) -> str | None:
    """Which column of sentences a model reads: "text", "embedding" or none."""
    return next((column for column in ("text", "embedding") if column in model.batch_signature()), None)


def _shown(model: BaseGAN, held_out, n: int):
    """What the sample grids are made from: nothing, pictures, or held-back sentences (or their embeddings)."""
    if model.from_noise:
        return None
    return {"text": _texts(model, held_out, n)} if model.task == "text" else held_out.take(n)


def _texts(model: BaseGAN, held_out, n: int):
    if "embedding" not in model.batch_signature():
        return held_out.sentences(n)
    return held_out.texts.embeddings[[i % len(held_out) for i in range(n)], 0]


def start_segment(model: BaseGAN, train, segment: Segment, factor: float = 1.0, *, fresh: bool) -> None:
    """Readies model and optimizers for a segment; `fresh` if none of its steps is done, `factor` for all learning rates.

    A function of the state at the border, so that a run resumed there and one that went on are the same.
    """
    model.start_segment(segment)
    for player in model.players:
        optimizer, table = getattr(model, player), getattr(train, player)
        if train.growth and fresh and not train.growth.keep_optimizers:
            schedules.restart(optimizer)
        if segment.learning_rate:
            table = table.model_copy(update={"learning_rate": segment.learning_rate})
        optimizer.learning_rate = schedules.learning_rate(table, factor)


def _watches(model: BaseGAN, train, held_out, out: Path, start: int, log) -> list[monitors.Watch]:
    """The callbacks that judge samples, as far as the run is long enough for them."""
    shared = {"start_step": start, "log": log, "stop": train.stop}
    watches = []
    if 0 < train.health_every <= train.steps:
        count = monitors.SAMPLES if model.from_noise else monitors.SAMPLES // 2  # made one at a time
        real = monitors.spread(held_out, 5 * count)
        inputs = None if model.from_noise else real[held_out.columns[0]][::5]
        inputs = _texts(model, held_out, count) if model.task == "text" else inputs
        options = shared | {"every": train.health_every, "seed": train.seed, "inputs": inputs}
        watches.append(monitors.HealthMonitor(out / "health.jsonl", real=real[held_out.columns[-1]], **options))
    if 0 < train.metric_every <= train.steps:
        inputs = None if model.from_noise else held_out.take(train.metric_n)[held_out.columns[0]]
        inputs = _texts(model, held_out, train.metric_n) if model.task == "text" else inputs
        # Other noise than the sample grids': the best state is not chosen by what is looked at.
        options = shared | {"every": train.metric_every, "seed": train.seed + 1, "inputs": inputs}
        watches.append(monitors.MetricEvery(out, name=train.metric, n=train.metric_n, real=held_out, **options))
    return watches


def held_out(pictures: data.Source) -> data.Source:
    """The test split, or `pictures` themselves, those that are trained on, where the data have none that can be read."""
    try:
        return data.open_source(pictures.config, pictures.config.test_split)
    except GanzooError:
        return pictures
