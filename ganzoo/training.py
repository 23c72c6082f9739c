"""train: from options to a run folder with model, log, samples, checkpoints and report. The loop is Keras' own `fit`: one
for the whole run, or one a segment for a paper whose training changes on the way (progressive growing)."""

import contextlib
import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

import keras

from ganzoo import (
    callbacks,
    checkpoint,
    data,
    mirror,
    monitors,
    presets,
    report,
    schedules,
    strategies,
    weights,
    workers,
    zoo,
)
from ganzoo.base import BaseGAN
from ganzoo.errors import GanzooError
from ganzoo.presets import RunConfig

# What may change on resume.
RESUMABLE = {
    ("train", key)
    for key in (
        "steps",
        "log_every",
        "sample_every",
        "checkpoint_every",
        "keep_checkpoints",
        "health_every",
        "metric_every",
        "stop",
    )
}


class TrainingDiverged(RuntimeError):
    """A loss stopped being finite; the run folder still holds the last good checkpoint."""


@dataclasses.dataclass(frozen=True)
class RunResult:
    """What a run came to: `stopped` is "done", "interrupted", or a `train.stop` rule and its reason ("plateau: ...",
    "d_wins: ..."); `seconds` counts earlier parts of a resumed run; `chief`: this process wrote the run folder."""

    run_dir: str | Path
    steps: int
    seconds: float
    stopped: str
    chief: bool = True


def train(
    config: str | Path | RunConfig,
    *,
    out: str | Path,
    resume: bool = False,
    init: str | Path | None = None,
    progress: bool = False,
    strategy: str = "auto",
    overrides: dict[str, Any] | None = None,
    **more: Any,
) -> RunResult:
    """Trains a preset and leaves a run folder that `ganzoo.load(out)` reads.

    Args:
        config: "paper/preset", a TOML file, a saved model folder, or resolved options.
        out: run folder; new or empty, unless `resume`. Or its fsspec URL, see `ganzoo.mirror`.
        resume: continue from the newest checkpoint in `out`; the settings must be the run's own but for the number of
            steps and the intervals.
        init: weights to start from: "default" for the preset's own (fine-tuning), a file or a folder; None for random.
        progress: show a progress line on stderr.
        strategy: "auto", "one", "mirrored", "multi-worker" or "tpu", see `ganzoo.strategies.choose`. Of several workers
            the chief alone writes to `out`; it need not exist for the others.
        overrides, **more: options by dotted key, or by bare key for the train and data tables (`steps=100`).

    Raises:
        GanzooError: bad options, data or folder.
        TrainingDiverged: a loss is not finite; the run folder has its report, and no model.
    """
    with mirror.opened(out) as (folder, copier):
        result = _train(config, folder, resume, init, progress, strategy, (overrides or {}) | more, copier)
        if copier and result.chief:
            copier.push()  # model and report
        return dataclasses.replace(result, run_dir=out if copier else folder)


def _train(config, out: Path, resume, init, progress, strategy, overrides, copier) -> RunResult:
    source = str(config) if isinstance(config, Path) else config
    folder = None
    if isinstance(source, str) and not source.endswith(".toml"):
        folder = zoo.model_folder(source)
        source = folder / "config.toml" if folder else source
    config = presets.run_config(source, overrides)
    if init is not None and config.train.encoder_steps:
        # The weights bring a trained text encoder; another one would not be that of the generator.
        config = presets.run_config(config, {"train.encoder_steps": 0})
    scope = strategies.choose(strategy)
    chief = workers.is_chief(scope)
    resume = bool(workers.from_chief(scope, b"resume" if resume else b""))
    if chief:
        _claim(out, resume, config)

    if config.train.metric_every and config.data.shape == "voxels":
        raise GanzooError("train.metric_every measures pictures, and this model makes voxels: set it to 0.")
    if config.train.metric_every:
        # An unknown one is refused before anything is written; and a network built after the seed would draw from it.
        monitors.measured_by(config.train.metric)
    keras.utils.set_random_seed(config.train.seed)
    growth = config.train.growth
    for size in (config.train.batch_size, *(growth.batch_sizes.values() if growth else ())):
        if size % scope.num_replicas_in_sync:
            of = " of all workers" if workers.several(scope) else ""
            raise GanzooError(
                f"train.batch_size {size} does not divide over {scope.num_replicas_in_sync} replicas{of}."
            )
    pictures = data.open_source(config.data)
    with scope.scope(), _precision(config.train.precision):
        model = zoo.build(config)
    segments = model.segments(config.train)
    for segment in segments:
        data.check_size(pictures, segment.size)
    if model.classes:
        data.check_labels(pictures, model.classes)
    if (column := _text_column(model)) is not None:
        data.check_texts(pictures, column)
    _same_channels(model, pictures)
    start = 0
    if resume:
        start = checkpoint.restore(model, out / "checkpoints")
        if start is None:
            raise GanzooError(f"{out / 'checkpoints'} holds no whole checkpoint to resume. Start a new run elsewhere.")
    else:
        if init is not None:
            model.weights_source = zoo.load_into(model, init, folder)
        else:
            model.adapt(pictures)
        # A run killed before its first interval resumes from here, and not from other weights than it began with.
        checkpoint.save(model, out / "checkpoints")
    if not chief:
        return _fit(model, config, segments, pictures, out, start, progress=False, copier=None)
    # Only now, so that a refused run leaves nothing behind; and before the first step.
    weights.write_bytes(out / "config.toml", presets.config_toml(model.run_config).encode())
    weights.write_bytes(out / "data.json", json.dumps(pictures.summary(), indent=1).encode())
    result = _fit(model, config, segments, pictures, out, start, progress, copier)
    facts = {
        "steps": result.steps,
        "seconds": round(result.seconds, 1),
        "images": schedules.images_seen(segments, result.steps),
        "stopped": result.stopped,
    }
    facts |= {"seed": config.train.seed, "init": str(init), "data": pictures.summary()}
    zoo.save(model, out / "model", extra=facts)
    report.write_run_report(out)
    return result


def _fit(
    model: BaseGAN, config: RunConfig, segments, pictures, out: Path, start: int, progress: bool, copier
) -> RunResult:
    train, held_out = config.train, _held_out(pictures)
    chief = workers.is_chief(model.distribute_strategy)
    path = out / "log.jsonl" if chief else None
    log = callbacks.RunLog(path, every=train.log_every, batch_size=train.batch_size, start_step=start)
    interrupt = callbacks.Interrupt()
    grid = callbacks.SampleGrid(
        out / "samples",
        every=train.sample_every,
        start_step=start,
        seed=train.seed,
        inputs=_shown(model, held_out, 8),
    )
    saver = callbacks.Checkpoints(
        out / "checkpoints", every=train.checkpoint_every, keep=train.keep_checkpoints, start_step=start, log=log
    )
    # Before the saver: a state that a run goes on from has its rows.
    watches = _watches(model, train, held_out, out, start, log) if chief else []
    ended = [watch.stopped for watch in watches if watch.stopped]
    over = workers.from_chief(model.distribute_strategy, b"ended" if ended else b"")  # the others watch nothing
    left = [] if over else [segment for segment in segments if segment.end > start]
    line = [callbacks.ProgressLine(start_step=start, steps=train.steps, log=log)] if progress else []
    if chief:
        callbacks.tensorboard(out / "tensorboard", log)
    everything = [log, *([grid] if chief else []), *watches, saver, interrupt, *line]
    if copier:
        everything.append(callbacks.Copies(copier))
    if workers.several(model.distribute_strategy):
        everything.append(workers.Together(every=train.log_every, start_step=start))
    for segment in left:
        done = max(start - segment.first_step, 0)
        _enter(model, train, segment, fresh=done == 0)
        log.batch_size = segment.batch_size
        make = functools.partial(
            data.batches, pictures, segment.batch_size, seed=train.seed, start_step=done, offset=segment.first_image,
            size=segment.size, labels=bool(model.classes), texts=_text_column(model),
        )  # fmt: skip
        batches = workers.batches(
            model.distribute_strategy, segment.batch_size, lambda rows, make=make: make(rows=rows)
        )
        steps = segment.steps - done
        model.fit(batches, epochs=1, steps_per_epoch=steps, verbose=0, shuffle=False, callbacks=everything)
        if model.stop_training:
            break
    ended = [watch.stopped for watch in watches if watch.stopped]
    if log.diverged_at is not None:
        if chief:
            report.write_run_report(out)
        raise TrainingDiverged(
            f"A loss is not finite at step {log.diverged_at}: {log.last}. {out / 'checkpoints'} holds the last good state. "
            "Start a new run with a lower learning rate (train.g_optimizer.learning_rate, train.d_optimizer.learning_rate)."
        )
    stopped = "done"
    if log.step < train.steps:
        stopped = ended[0] if ended else "interrupted"
    return RunResult(out, log.step, log.seconds if left else log.seconds_before, stopped, chief)


def _text_column(model: BaseGAN) -> str | None:
    """Which column of sentences a model reads: "text", "embedding" or none."""
    return next((column for column in ("text", "embedding") if column in model.batch_signature()), None)


def _shown(model: BaseGAN, held_out, n: int):
    """What the sample grids are made from: nothing, pictures, or held-back sentences (or their embeddings)."""
    if model.task == "latent":
        return None
    return {"text": _texts(model, held_out, n)} if model.task == "text" else held_out.take(n)


def _texts(model: BaseGAN, held_out, n: int):
    if "embedding" not in model.batch_signature():
        return held_out.sentences(n)
    return held_out.texts.embeddings[[i % len(held_out) for i in range(n)], 0]


def _enter(model: BaseGAN, train, segment: schedules.Segment, *, fresh: bool) -> None:
    """Readies model and optimizers for a segment; `fresh` if none of its steps is done.

    A function of the state at the border, so that a run resumed there and one that went on are the same.
    """
    model.enter(segment)
    if train.growth is None:
        return
    for player in model.players:
        optimizer = getattr(model, player)
        if fresh and not train.growth.keep_optimizers:
            schedules.restart(optimizer)
        optimizer.learning_rate = segment.learning_rate or getattr(train, player).learning_rate


def _same_channels(model: BaseGAN, pictures) -> None:
    """Refuses data of other channel counts than the model's, which would end in a convolution's own words."""
    signature = model.batch_signature()
    for column, channels in zip(pictures.columns, pictures.channels, strict=True):
        wanted = signature[column].shape[-1] if column in signature else channels
        if wanted != channels:
            raise GanzooError(
                f'{model.paper} was built for a "{column}" of {wanted} channels, and the data have {channels}: set '
                "data.channels (data.input_channels for the input or domain A) or the model's arguments to one number."
            )
    if "embedding" in signature:
        wanted, found = signature["embedding"].shape[-1], pictures.texts.embeddings.shape[-1]
        if wanted != found:
            raise GanzooError(f"The data bring embeddings of {found} numbers, and model.text_dim is {wanted}.")


def _watches(model: BaseGAN, train, held_out, out: Path, start: int, log) -> list[monitors.Watch]:
    """The callbacks that judge samples, as far as the run is long enough for them."""
    shared = {"start_step": start, "log": log, "stop": train.stop}
    watches = []
    if 0 < train.health_every <= train.steps:
        count = monitors.SAMPLES if model.task == "latent" else monitors.SAMPLES // 2  # made one at a time
        real = monitors.spread(held_out, 5 * count)
        inputs = None if model.task == "latent" else real[held_out.columns[0]][::5]
        inputs = _texts(model, held_out, count) if model.task == "text" else inputs
        options = shared | {"every": train.health_every, "seed": train.seed, "inputs": inputs}
        watches.append(monitors.HealthMonitor(out / "health.jsonl", real=real[held_out.columns[-1]], **options))
    if 0 < train.metric_every <= train.steps:
        inputs = None if model.task == "latent" else held_out.take(train.metric_n)[held_out.columns[0]]
        inputs = _texts(model, held_out, train.metric_n) if model.task == "text" else inputs
        # Other noise than the sample grids': the best state is not chosen by what is looked at.
        options = shared | {"every": train.metric_every, "seed": train.seed + 1, "inputs": inputs}
        watches.append(monitors.MetricEvery(out, name=train.metric, n=train.metric_n, real=held_out, **options))
    return watches


def _held_out(pictures):
    """The test split, or where a user's folder has none the training pictures."""
    try:
        return data.open_source(pictures.config, pictures.config.test_split)
    except GanzooError:
        return pictures


def _claim(out: Path, resume: bool, config: RunConfig) -> None:
    """Refuses a folder in use, or a resume with other settings."""
    if out.exists() and not out.is_dir():
        raise GanzooError(f"{out} is a file; the run needs a folder.")
    used = out.is_dir() and any(out.iterdir())
    if used and not resume:
        raise GanzooError(f"{out} is not empty. Continue that run with --resume, or choose another folder.")
    if resume:
        if not (out / "config.toml").is_file():
            raise GanzooError(f"{out} holds no run to resume: it has no config.toml.")
        before = presets.run_config(out / "config.toml")
        changed = _differences(before, config)
        if changed:
            raise GanzooError(f"{out} was started with other settings: {'; '.join(changed)}. Start a new run for them.")
    out.mkdir(parents=True, exist_ok=True)


def _differences(before: RunConfig, now: RunConfig) -> list[str]:
    if before.name != now.name:
        return [f"the model was {before.name}, now {now.name}"]
    # With every argument named: a run's model table lists them all, a preset only those that it sets.
    old, new = zoo.complete(before).model_dump(), zoo.complete(now).model_dump()
    pairs = [(t, k, old[t][k], value) for t in ("model", "data", "train") for k, value in new[t].items()]
    return [f"{t}.{k} was {a}, now {b}" for t, k, a, b in pairs if a != b and (t, k) not in RESUMABLE]


@contextlib.contextmanager
def _precision(name: str):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if name == "bfloat16" else "float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
