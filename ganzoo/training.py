"""train: from options to a run folder with model, log, samples, checkpoints and report. The loop is Keras' own `fit`: one
for the whole run, or one a segment for a paper whose training changes on the way (progressive growing)."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import keras

from ganzoo import (
    accumulation,
    callbacks,
    changes,
    checkpoint,
    data,
    divergence,
    lock,
    monitors,
    precision,
    presets,
    probe,
    recipes,
    report,
    schedules,
    strategies,
    weights,
    zoo,
)
from ganzoo.base import BaseGAN
from ganzoo.divergence import TrainingDiverged as TrainingDiverged
from ganzoo.errors import GanzooError
from ganzoo.guard import NotFinite
from ganzoo.presets import RunConfig
from ganzoo.transfer import Transfer

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
        "steps_per_execution",
    )
}


@dataclasses.dataclass(frozen=True)
class RunResult:
    """What a run came to: `stopped` is "done", "interrupted", or a `train.stop` rule and its reason ("plateau: ...",
    "d_wins: ..."); `seconds` counts earlier parts of a resumed run, and `save_seconds` of them went into checkpoints."""

    run_dir: Path
    steps: int
    seconds: float
    save_seconds: float
    stopped: str


def train(
    config: str | Path | RunConfig,
    *,
    out: str | Path,
    resume: bool = False,
    init: str | Path | None = None,
    progress: bool = False,
    strategy: str = "auto",
    accept_changes: bool = False,
    recipe: str = "none",
    overrides: dict[str, Any] | None = None,
    **more: Any,
) -> RunResult:
    """Trains a preset and leaves a run folder that `ganzoo.load(out)` reads.

    Args:
        config: "paper/preset", a TOML file, a saved model folder, or resolved options.
        out: run folder; new or empty, unless `resume`.
        resume: continue from the newest checkpoint in `out`; the settings must be the run's own but for the number of
            steps and the intervals, or `accept_changes`.
        init: weights to start from: "default" for the preset's own (fine-tuning), a file or a folder; None for random. They
            are taken as far as they fit (`ganzoo.transfer`); what did not is said, and stands in the model's manifest.
        progress: show a progress line on stderr.
        strategy: "auto", "one" or "mirrored".
        accept_changes: go on under other settings; the state must fit the model. `changes.jsonl` in `out` says which.
        recipe: "auto" chooses settings by the number of training images (`ganzoo.recipes`), but for those given here.
        overrides, **more: options by dotted key, or by bare key for the train and data tables (`steps=100`).

    Raises:
        GanzooError: bad options, data or folder; another process trains in `out`.
        TrainingDiverged: a loss or gradient is not finite, also after three rollbacks (`ganzoo.divergence`); the run folder
            has its report, and no model.
        OSError: the disk is full; the message names the file, and the last checkpoint is whole.
    """
    out = Path(out)
    source = str(config) if isinstance(config, Path) else config
    folder = None
    if isinstance(source, str) and not source.endswith(".toml"):
        folder = zoo.model_folder(source)
        source = folder / "config.toml" if folder else source
    config = presets.run_config(source, (overrides or {}) | more)
    if init is not None and config.train.encoder_steps:
        # The weights bring a trained text encoder; another one would not be that of the generator.
        config = presets.run_config(config, {"train.encoder_steps": 0})
    if out.exists() and not out.is_dir():
        raise GanzooError(f"{out} is a file; the run needs a folder.")
    if resume and not (out / "config.toml").is_file():
        raise GanzooError(f"{out} holds no run to resume: it has no config.toml.")
    chosen = recipes.choices(recipe, config, (overrides or {}) | more)
    config = presets.run_config(config, {choice.key: choice.value for choice in chosen})
    for choice in chosen:
        _say(str(choice))
    if resume:
        before = presets.run_config(out / "config.toml").train
        # What was found out when the run began stands: it goes on in the same numbers.
        found = {"train.jit_compile": config.train.jit_compile and before.jit_compile}
        found |= {"train.precision": before.precision} if config.train.precision == "auto" else {}
        config = presets.run_config(config, found)
    number, why = precision.resolve(config.train.precision)
    config = presets.run_config(config, {"train.precision": number})
    if why:
        _say(why)
    out.mkdir(parents=True, exist_ok=True)
    with lock.held(out):
        changed = _claim(out, resume, accept_changes, config)
        return _train(config, out, folder, resume, changed, init, chosen, progress, strategy)


def _train(
    config: RunConfig,
    out: Path,
    folder,
    resume: bool,
    changed: list[str],
    init,
    chosen: list,
    progress: bool,
    strategy: str,
) -> RunResult:
    """`train`, once the folder is its own."""
    if config.train.metric_every and config.data.shape == "voxels":
        raise GanzooError("train.metric_every measures pictures, and this model makes voxels: set it to 0.")
    if config.train.metric_every:
        # An unknown one is refused before anything is written; and a network built after the seed would draw from it.
        monitors.measured_by(config.train.metric)
    keras.utils.set_random_seed(config.train.seed)
    scope = strategies.choose(strategy)
    growth = config.train.growth
    for size in (config.train.batch_size, *(growth.batch_sizes.values() if growth else ())):
        if size % scope.num_replicas_in_sync:
            raise GanzooError(f"train.batch_size {size} does not divide over {scope.num_replicas_in_sync} replicas.")
    pictures = data.open_source(config.data)
    with scope.scope(), precision.policy(config.train.precision):
        model = zoo.build(config)
    divide(model, config.train)
    segments = model.segments(config.train)
    for segment in segments:
        data.check_size(pictures, segment.size)
    if model.classes:
        data.check_labels(pictures, model.classes)
    if (column := _text_column(model)) is not None:
        data.check_texts(pictures, column)
    _same_channels(model, pictures)
    start, moved, jit = 0, None, None
    if resume:
        start = checkpoint.restore(model, out / "checkpoints")
        if start is None:
            raise GanzooError(f"{out / 'checkpoints'} holds no whole checkpoint to resume. Start a new run elsewhere.")
    _whole_executions(segments, start, config.train.steps_per_execution)
    if not resume:
        if init is not None:
            moved = Transfer(model)
            model.weights_source = zoo.load_into(model, init, folder, assign=moved)
            if moved.reused < len(moved.rows) or moved.left:
                _say(moved.summary())
        else:
            model.adapt(pictures)
        # A run killed before its first interval resumes from here, and not from other weights than it began with.
        checkpoint.save(model, out / "checkpoints")
    if config.train.jit_compile:
        if not resume:
            jit = _try_jit(model, segments, pictures, config)
            model.run_config = presets.run_config(model.run_config, {"train.jit_compile": jit.used})
        model.jit_compile = model.run_config.train.jit_compile
    # Only now, so that a refused run leaves nothing behind; and before the first step.
    if changed:
        changes.note(out, start, "settings", f"Resumed with other settings: {'; '.join(changed)}.")
    weights.write_bytes(out / "config.toml", presets.config_toml(model.run_config).encode())
    weights.write_bytes(out / "data.json", json.dumps(pictures.summary(), indent=1).encode())
    changes.forget_rollbacks_after(out, start)
    began = {
        "transfer": moved and moved.facts(),
        "jit": jit and dataclasses.asdict(jit),
        "recipe": list(map(str, chosen)),
    }
    if not resume and any(began.values()):
        weights.write_bytes(out / "began.json", json.dumps({k: v for k, v in began.items() if v}, indent=1).encode())
    while True:
        try:
            result = _fit(model, config, segments, pictures, out, start, progress)
            break
        except NotFinite as failure:
            start = divergence.roll_back(model, out, failure)
    facts = {
        "steps": result.steps,
        "seconds": round(result.seconds, 1),
        "save_share": round(result.save_seconds / result.seconds, 4) if result.seconds else 0.0,
        "images": schedules.images_seen(segments, result.steps),
        "stopped": result.stopped,
    }
    facts |= {"seed": config.train.seed, "init": str(init), "data": pictures.summary()}
    if (out / "began.json").is_file():  # also of a run that went on
        facts |= json.loads((out / "began.json").read_text("utf-8"))
    zoo.save(model, out / "model", extra=facts)
    report.write_run_report(out)
    return result


def _fit(model: BaseGAN, config: RunConfig, segments, pictures, out: Path, start: int, progress: bool) -> RunResult:
    train, held_out = config.train, _held_out(pictures)
    log = callbacks.RunLog(out / "log.jsonl", every=train.log_every, batch_size=train.batch_size, start_step=start)
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
    watches = _watches(model, train, held_out, out, start, log)
    ended = [watch.stopped for watch in watches if watch.stopped]
    left = [] if ended else [segment for segment in segments if segment.end > start]
    line = [callbacks.ProgressLine(start_step=start, steps=train.steps, log=log)] if progress else []
    callbacks.tensorboard(out / "tensorboard", log)
    factor = changes.rate_factor(out)
    everything = [log, grid, *watches, saver, interrupt, *line]
    for segment in left:
        done = max(start - segment.first_step, 0)
        _enter(model, train, segment, factor, fresh=done == 0)
        log.batch_size = segment.batch_size
        shown, steps = batches(model, pictures, segment, train.seed, done), segment.steps - done
        try:
            model.fit(shown, epochs=1, steps_per_epoch=steps, verbose=0, shuffle=False, callbacks=everything)
        except BaseException:
            for callback in (interrupt, *line):
                callback.on_train_end()  # Keras calls it only where `fit` ends well
            raise
        if model.stop_training:
            break
    ended = [watch.stopped for watch in watches if watch.stopped]
    stopped = "done"
    if log.step < train.steps:
        stopped = ended[0] if ended else "interrupted"
    return RunResult(out, log.step, log.seconds if left else log.seconds_before, log.save_seconds, stopped)


def divide(model: BaseGAN, train: presets.TrainConfig) -> None:
    """Readies a model for `train.accumulate` and `train.steps_per_execution`.

    Raises:
        GanzooError: a step of the model cannot be divided.
    """
    model.steps_per_execution = train.steps_per_execution
    if train.accumulate > 1:
        model.train_step = accumulation.in_parts(model, train.accumulate)


def _whole_executions(segments: list[schedules.Segment], start: int, count: int) -> None:
    for segment in segments:
        steps = segment.end - max(segment.first_step, start)
        if steps > 0 and steps % count:
            raise GanzooError(
                f"train.steps_per_execution {count} does not divide the {steps} steps up to step {segment.end}, where a part "
                "of the run ends."
            )


def _try_jit(model: BaseGAN, segments, pictures, config: RunConfig) -> probe.Jit:
    """Whether XLA is worth it, found out on the first batch; said on stderr if not."""
    first = segments[0]
    model.enter(first)
    if model.distribute_strategy.num_replicas_in_sync > 1:
        jit = probe.Jit(False, "XLA is tried on one device only")
    else:
        batch = next(iter(batches(model, pictures, first, config.train.seed, 0)))
        jit = probe.jit(model, batch)
    if not jit.used:
        _say(f"Training without XLA: {jit.reason}.")
    return jit


def batches(model: BaseGAN, pictures, segment: schedules.Segment, seed: int, done: int):
    """The data set of a segment from its step `done` on."""
    return data.batches(
        pictures, segment.batch_size, seed=seed, start_step=done, offset=segment.first_image,
        size=segment.size, labels=bool(model.classes), texts=_text_column(model),
    )  # fmt: skip


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


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


def _enter(model: BaseGAN, train, segment: schedules.Segment, factor: float = 1.0, *, fresh: bool) -> None:
    """Readies model and optimizers for a segment; `fresh` if none of its steps is done, `factor` for all learning rates.

    A function of the state at the border, so that a run resumed there and one that went on are the same.
    """
    model.enter(segment)
    for player in model.players:
        optimizer, table = getattr(model, player), getattr(train, player)
        if train.growth and fresh and not train.growth.keep_optimizers:
            schedules.restart(optimizer)
        if segment.learning_rate:
            table = table.model_copy(update={"learning_rate": segment.learning_rate})
        optimizer.learning_rate = schedules.learning_rate(table, factor)


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


def _claim(out: Path, resume: bool, accept_changes: bool, config: RunConfig) -> list[str]:
    """Refuses a folder in use, or a resume with other settings; where they are accepted, returns what they changed."""
    if not resume:
        if any(path.name != lock.FILE for path in out.iterdir()):
            raise GanzooError(f"{out} is not empty. Continue that run with --resume, or choose another folder.")
        return []
    changed = _differences(presets.run_config(out / "config.toml"), config)
    if changed and not accept_changes:
        raise GanzooError(
            f"{out} was started with other settings: {'; '.join(changed)}. Go on under the new ones with --accept-changes "
            "(accept_changes=True), or start a new run for them."
        )
    for torn in out.rglob(".*.tmp"):  # of a write that a kill cut off
        torn.unlink()
    return changed


def _differences(before: RunConfig, now: RunConfig) -> list[str]:
    if before.name != now.name:
        return [f"the model was {before.name}, now {now.name}"]
    # With every argument named: a run's model table lists them all, a preset only those that it sets.
    old, new = zoo.complete(before).model_dump(), zoo.complete(now).model_dump()
    pairs = [(t, k, old[t][k], value) for t in ("model", "data", "train") for k, value in new[t].items()]
    return [f"{t}.{k} was {a}, now {b}" for t, k, a, b in pairs if a != b and (t, k) not in RESUMABLE]
