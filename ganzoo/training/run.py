"""train: from options to a run folder with model, log, samples, checkpoints and report."""

import contextlib
import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import keras

from ganzoo import data, files, presets, report, schedules, zoo
from ganzoo.base import BaseGAN
from ganzoo.base.batches import shape_text
from ganzoo.base.guard import NotFinite
from ganzoo.base.segments import Segment, images_seen
from ganzoo.data.task_shapes import task_shape
from ganzoo.devices import machine, precision, strategies, threads, workers
from ganzoo.errors import GanzooError, say
from ganzoo.presets import RunConfig, licences
from ganzoo.runs import changes, checkpoint, folder, lock, mirror, settings
from ganzoo.runs.log import read_json
from ganzoo.training import divergence, held_out, loop, monitors, trackers
from ganzoo.training.divergence import TrainingDiverged as TrainingDiverged
from ganzoo.training.loop import RunResult as RunResult
from ganzoo.training.settle import Run, Settled, begun_with, settle
from ganzoo.training.transfer import Transfer


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
    tracker: str | None = None,
    overrides: dict[str, Any] | None = None,
    **more: Any,
) -> RunResult:
    """Trains a preset and leaves a run folder that `ganzoo.load(out)` reads.

    Args:
        config: "paper/preset", a TOML file, a saved model folder, or resolved options.
        out: run folder; new or empty, unless `resume`. Or its fsspec URL, see `ganzoo.runs.mirror`.
        resume: continue from the newest checkpoint in `out`; the settings must be the run's own but for the number of
            steps and the intervals, or `accept_changes`.
        init: weights to start from: "default" for the preset's own (fine-tuning), a file or a folder; None for random. They
            are taken as far as they fit (`ganzoo.training.transfer`); what did not is said, and is in the model's manifest.
        progress: show how far it is on stderr: a moving line on a terminal, elsewhere a line every 30 seconds.
        strategy: "auto", "one", "mirrored", "multi-worker" or "tpu", see `ganzoo.devices.strategies.choose`. Of several workers
            the chief alone writes to `out`; it need not exist for the others.
        accept_changes: go on under other settings or on other data; the state must fit the model. `changes.jsonl` in `out`
            says which.
        recipe: "auto" chooses settings by the number of training images (`ganzoo.training.finetune_recipe`), but for those given here.
        tracker: "mlflow" or "wandb": the numbers, settings and sample grids also go there (`ganzoo.training.trackers`). TensorBoard
            needs no word.
        overrides, **more: options by dotted key, or by bare key for the train and data tables (`steps=100`).

    Raises:
        GanzooError: bad options, data or folder; data of another size than the model's; steps past the end of a schedule;
            another process trains in `out`.
        ganzoo.runs.folder.Gone: the folder was deleted or moved while the run was training.
        TrainingDiverged: a loss or gradient is not finite, also after three rollbacks (`ganzoo.training.divergence`); the run folder
            has its report, and no model.
        OSError: the disk is full; the message names the file, and the last checkpoint is whole.
    """
    options = (overrides or {}) | more
    trackers.check(tracker)
    with contextlib.ExitStack() as stack:
        run_dir, copier = stack.enter_context(mirror.opened(out))
        asked, model_folder = _named(config)
        scope = strategies.choose(strategy)
        chief = workers.is_chief(scope)
        resume = bool(workers.from_chief(scope, b"resume" if resume else b""))
        settled: Settled | None = None
        changed = ""
        if chief:
            folder.check(run_dir, resume)
            before = begun_with(run_dir) if resume else None
            settled = settle(asked, options, recipe=recipe, fine_tuned=init is not None, before=before)
            run_dir.mkdir(parents=True, exist_ok=True)
            stack.enter_context(lock.held(run_dir))
            folder.check(run_dir, resume)  # another may have begun one meanwhile
            folder.sweep(run_dir)
            if before is not None:
                changed = _changed(run_dir, before, settled, accept_changes)
                _remark_on(run_dir, before)
        changed = workers.from_chief(scope, changed.encode()).decode()
        told = workers.from_chief(scope, presets.config_toml(settled.config).encode() if settled else b"")
        if settled is None:
            theirs = presets.from_toml(told.decode(), "the options of the chief")
            settled = Settled(theirs, data.open_source(theirs.data))
        model, segments = _built(settled, scope)
        run = Run(
            out=run_dir,
            config=model.run_config,
            source=settled.source,
            held_out=loop.held_out(settled.source),
            model=model,
            segments=segments,
            resume=resume,
            init=init,
            folder=model_folder,
            reasons=tuple(choice.of(model.run_config) for choice in settled.reasons),
            changed=changed,
        )
        start = _begin(run)
        place = folder.Place(run_dir) if chief else None
        tracked = stack.enter_context(trackers.opened(tracker if chief else None, run_dir, run.config))
        while True:
            try:
                result = loop.fit(
                    run,
                    start,
                    progress=progress and chief,
                    copier=copier if chief else None,
                    place=place,
                    tracker=tracked,
                )
                break
            except NotFinite as failure:
                start = divergence.roll_back(run.model, run_dir, failure)
        if place:
            place.check()
            _finish(run, result)
        if copier and chief:
            copier.push()  # model and report
        return dataclasses.replace(result, run_dir=out if copier else run_dir)


def finetune(
    name: str | Path, *, out: str | Path, data: str | Path | None = None, resume: bool = False, **overrides: Any
) -> RunResult:
    """Trains on from a model's weights, as `ganzoo finetune`: `train` with init="default".

    Args:
        name: a preset with published weights, or a folder that training saved.
        out: run folder; new or empty, unless `resume`.
        data: a bundled set, a folder, a zip or "tfds:NAME"; instead of the model's own data.
        resume: continue from the newest checkpoint in `out`.
        overrides: what else `train` takes: `recipe="auto"`, `progress=True`, options by bare key (`steps=500`) and the like.

    Raises:
        GanzooError: no weights to start from, and all that `train` raises.
    """
    if not resume:
        require_weights(name)
    if data is not None:
        overrides["overrides"] = {**overrides.get("overrides", {}), "data.source": str(data)}
    return train(name, out=out, init="default", resume=resume, **overrides)


def require_weights(name: str | Path) -> None:
    """Refuses to fine-tune a preset without published weights, before a run folder is made."""
    if zoo.model_folder(name) is None:
        paper, preset = presets.resolve(str(name))
        if presets.read(paper).presets[preset].weights is None:
            full = f"{paper}/{preset}"
            raise GanzooError(
                f"{full} has no published weights to start from; train it first: ganzoo train {full} -o runs/{preset}"
            )


def _named(config: str | Path | RunConfig) -> tuple[str | Path | RunConfig, Path | None]:
    """What names the options of the run, and the saved model's folder if it is one that does."""
    source = str(config) if isinstance(config, Path) else config
    if isinstance(source, RunConfig) or source.endswith(".toml"):
        return source, None
    found = zoo.model_folder(source)
    return (found / "config.toml" if found else source), found


def _changed(out: Path, before: RunConfig, settled: Settled, accept: bool) -> str:
    """What is not as it was when the run's state was made: settings, a config.toml that was edited since, data; "" for
    nothing.

    Raises:
        GanzooError: something is, and it is not accepted.
    """
    now = zoo.complete(settled.config)
    trained = settings.from_text(checkpoint.settings(out / "checkpoints"), now)
    changed = settings.differences(zoo.complete(before), now)
    if trained is not None:
        changed = list(dict.fromkeys(changed + settings.differences(zoo.complete(trained), now)))
    what = "settings" if changed else "data"
    if not any(text.startswith("data.") for text in changed):
        changed += _other_data(read_json(out / "data.json"), settled.source)
    told = "; ".join(changed)
    if changed and not accept:
        raise GanzooError(
            f"{out} was started with other {what}: {told}. Go on under the new ones with --accept-changes "
            "(accept_changes=True), or start a new run for them."
        )
    return told


def _remark_on(out: Path, before: RunConfig) -> None:
    """Says what may be otherwise than the run left it, though it is nothing to refuse."""
    steps = checkpoint.steps(out / "checkpoints")
    if steps is not None and steps != before.train.steps:
        say(f"{out}/config.toml asks for {before.train.steps} steps; when its newest state was saved, for {steps}.")
    if damaged := changes.damaged(out):
        say(
            f"{damaged} damaged row(s) of {out / changes.FILE} are left out; if one was a rollback, the learning rates are twice "
            "what they were."
        )


def _other_data(before: dict, source: data.Source) -> list[str]:
    """A sentence if the run was begun with other pictures under the same name."""
    if before.get("fingerprint") in (None, source.fingerprint):
        return []
    held = " (what is held back is chosen anew, and the run may have been trained on some of it)"
    return [
        f"{source.config.source} held {before.get('count')} items of sha256 {before['fingerprint']!s:.8}, and now "
        f"{len(source)} of {source.fingerprint:.8}{held if source.config.hold_out else ''}"
    ]


def _built(settled: Settled, scope) -> tuple[BaseGAN, list[Segment]]:
    """The model and the segments of its training, which fit the data."""
    config, source = settled.config, settled.source
    if scope.num_replicas_in_sync == 1:
        threads.spread(config.train.side_by_side)  # before anything computes
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
    with scope.scope(), precision.policy(config.train.precision):
        model = zoo.build(config)
    if config.train.stop.d_wins and "fooled" not in model.logs:
        raise GanzooError(
            f"D of {model.paper} is a critic, which takes no picture for real or for a fake: leave train.stop.d_wins out."
        )
    loop.divide(model, config.train)
    _batch_fits(model, config)
    segments = model.segments(config.train)
    for segment in segments:
        data.check_size(source, segment.size)
    if model.changes_age and source.config.shape != "ages":
        raise GanzooError(
            f'{model.paper} trains on faces with ages, and these are read as {source.config.shape}: set data.shape = "ages". '
            f"Accepted: {task_shape('ages').layouts}."
        )
    if "label" in model.batch_signature():
        data.check_labels(source, model.label_classes)
    if model.attributes:
        data.check_attributes(source, model.attributes)
    if (column := loop.text_column(model)) is not None:
        data.check_texts(source, column)
    _same_pictures(model, source)
    return model, segments


def _batch_fits(model: BaseGAN, config: RunConfig) -> None:
    """Refuses a batch that alone takes more than the machine's memory."""
    shapes = [[side or config.data.size for side in spec.shape[1:]] for spec in model.batch_signature().values()]
    size = 4 * config.train.batch_size * sum(map(math.prod, shapes))
    if size > machine.memory():
        raise GanzooError(
            f"A batch of {config.train.batch_size:,} takes {size / 2**30:,.0f} GiB, and this machine has "
            f"{machine.memory() / 2**30:.0f}: lower train.batch_size."
        )


def _same_parts(run: Run, start: int) -> None:
    """Refuses another number of steps that moves where a part of the run began which lies behind it already."""
    asked = checkpoint.steps(run.out / "checkpoints") if start else None
    if asked is None:
        return
    trained = settings.from_text(checkpoint.settings(run.out / "checkpoints"), run.config) or run.config
    train = trained.train.model_copy(update={"steps": asked})
    before, now = (
        [(segment.part, segment.first_step) for segment in segments if segment.first_step < start]
        for segments in (run.model.segments(train), run.segments)
    )
    if before != now:
        part, step = next(pair for pair in before if pair not in now) if set(before) - set(now) else before[-1]
        raise GanzooError(
            f"{run.out} was to have {asked:,} steps, and its part {part} began at step {step:,}, which "
            f"{run.config.train.steps:,} steps would move: resume it with train.steps = {asked}, or begin a new run."
        )


def _begin(run: Run) -> int:
    """Gives the model its first weights, or those of the newest checkpoint, and writes what the run began with.

    Returns the step that it goes on from.
    """
    model, out, config = run.model, run.out, run.config
    chief = workers.is_chief(model.distribute_strategy)
    start = checkpoint.restore(model, out / "checkpoints") if run.resume else None
    first = start is None
    for choice in run.reasons:
        say(str(choice))
    if first and run.resume and chief:
        _check_unbegun(run)
    start = start or 0
    _same_parts(run, start)
    loop.check_executions(run.segments, start, config.train.steps_per_execution)
    _check_rates(run, start)
    moved, jit = None, None
    if first and run.init is not None:
        moved = Transfer(model, zoo.arguments_of(run.init, run.folder, config))
        model.weights_source = zoo.load_into(model, run.init, run.folder, assign=moved)
        if moved.reused < len(moved.rows) or moved.left:
            say(moved.summary())
    elif first:
        model.init_from_data(run.source)
    if first:
        model.remember(run.source)
    if first and config.train.jit_compile:
        jit = loop.try_jit(model, run.segments, run.source, config)
        model.run_config = config.model_copy(
            update={"train": config.train.model_copy(update={"jit_compile": jit.used})}
        )
    model.jit_compile = model.run_config.train.jit_compile
    if chief:
        for remark in data.remarks(run.source):
            say(remark)
        # Only now, so that a refused run leaves nothing behind; and before the first checkpoint, without which it is begun
        # again, and which alone could not say of what run it is.
        if run.changed:
            changes.note(out, start, "settings", f"Resumed with other settings: {run.changed}.")
        changes.forget_rollbacks_after(out, start)
        files.write_bytes(out / "data.json", json.dumps(_of_data(run), indent=1).encode())
        began = {
            "init": run.init and str(run.init),
            "transfer": moved and moved.facts(),
            "jit": jit and dataclasses.asdict(jit),
            "recipe": list(map(str, run.reasons)),
            "inherited": dataclasses.asdict(model.passport) if moved and model.passport else None,
        }
        if first and any(began.values()):
            files.write_bytes(out / "began.json", json.dumps({k: v for k, v in began.items() if v}, indent=1).encode())
        files.write_bytes(out / "config.toml", presets.config_toml(model.run_config).encode())
    if first or run.changed:
        # A run killed before its first interval resumes from here, and not from other weights than it began with; and a
        # state says under which settings it goes on.
        checkpoint.save(model, out / "checkpoints", keep=config.train.keep_checkpoints)
    return start


def _check_unbegun(run: Run) -> None:
    """Refuses to resume without a whole checkpoint, unless none was ever written and it is known what the run began from."""
    if folder.has_checkpoint(run.out):
        raise GanzooError(
            f"{run.out / 'checkpoints'} contains no whole checkpoint to resume. Start a new run elsewhere."
        )
    init = read_json(run.out / "began.json").get("init")
    if init is not None and run.init is None:
        raise GanzooError(
            f"{run.out} was killed before its first checkpoint, and began from the weights {init}: give the command that "
            "began it once more, without --resume."
        )


def _check_rates(run: Run, start: int) -> None:
    """Refuses steps past the end of a player's schedule, where its rate is 0."""
    for player in run.model.players if start < run.config.train.steps else ():
        rate = schedules.learning_rate(getattr(run.config.train, player))
        end = getattr(rate, "end", None)
        steps = sum(s.steps for s in run.segments if s.players is None or player in s.players)
        if end is not None and steps * run.model.updates[player] > end:
            accept = " with --accept-changes" if run.resume else ""
            raise GanzooError(
                f"Of {steps:,} steps of {player} only {end // run.model.updates[player]:,} would move anything: after them its "
                f"schedule is at learning rate 0. Lower train.steps, or raise train.{player}.constant_steps and "
                f"train.{player}.decay_steps{accept}."
            )


def _of_data(run: Run) -> dict[str, Any]:
    """What a run says of its data, in data.json and in the model's manifest."""
    return run.source.summary() | {"grids": held_out.kind(run)}


def _finish(run: Run, result: RunResult) -> None:
    """Writes the model with the facts of its training, and the report."""
    facts = {
        "steps": result.steps,
        "seconds": round(result.seconds, 1),
        "save_share": round(result.save_seconds / result.seconds, 4) if result.seconds else 0.0,
        "images": images_seen(run.segments, result.steps),
        "stopped": result.stopped,
    }
    facts |= {"seed": run.config.train.seed, "init": str(run.init), "data": _of_data(run)}
    began = read_json(run.out / "began.json")  # also of a run that went on
    inherited = [licences.of_manifest(began["inherited"])] if "inherited" in began else []
    run.model.passport = licences.together(*inherited, data.passport(run.source))
    facts |= began | dataclasses.asdict(run.model.passport)
    if run.model.passport.unknown:
        say(
            f"Nobody has said under which licence {files.shown(run.config.data.source)} is, so that of the model is unknown: put a "
            'LICENCE file into the folder, or set data.licence, for example --set data.licence="CC-BY-4.0".'
        )
    zoo.save(run.model, run.out / "model", extra=facts)
    held_out.write(run)
    report.write_run_report(run.out)


def _same_pictures(model: BaseGAN, source: data.Source) -> None:
    """Refuses data of another size or of other channels than the model's, which would end in a layer's own words, or in
    none."""
    signature = model.batch_signature()
    for column, item in zip(source.fetched, source.fetch(0, source.size), strict=True):
        wanted = signature[column].shape[1:] if column in signature else item.shape
        if wanted[-1] != item.shape[-1]:
            raise GanzooError(
                f'{model.paper} was built for a "{column}" of {wanted[-1]} channels, and the data have {item.shape[-1]}: set '
                "data.channels (data.input_channels for the input or domain A) or the model's arguments to one number."
            )
        if column in signature and not model.fits(column, item.shape):
            raise GanzooError(
                f'{model.paper} was built for a "{column}" of {model.wants(column)}, and the data have '
                f"{shape_text(item.shape)}: set data.size (data.render_size for pictures of shapes) or the model's arguments "
                "to one number."
            )
    if "mask" in signature and source.config.shape != "masks":
        raise GanzooError(
            f"{model.paper} trains on pictures with masks here, and these are read as {source.config.shape}: set data.shape = "
            '"masks". Masks that do not lie next to the pictures are drawn.'
        )
    if "embedding" in signature:
        given = None if source.texts is None else source.texts.embeddings
        wanted, found = signature["embedding"].shape[-1], 0 if given is None else given.shape[-1]
        if wanted != found:
            raise GanzooError(f"The data bring embeddings of {found} numbers, and model.text_dim is {wanted}.")
