"""train: from options to a run folder with model, log, samples, checkpoints and report."""

import contextlib
import dataclasses
import json
import tomllib
from pathlib import Path
from typing import Any

import keras

from ganzoo import data, files, presets, report, zoo
from ganzoo.base import BaseGAN
from ganzoo.base.guard import NotFinite
from ganzoo.base.segments import Segment, images_seen
from ganzoo.devices import precision, strategies, workers
from ganzoo.errors import GanzooError
from ganzoo.presets import RunConfig
from ganzoo.runs import changes, checkpoint, lock, mirror
from ganzoo.training import divergence, finetune_recipe, loop, monitors
from ganzoo.training.divergence import TrainingDiverged as TrainingDiverged
from ganzoo.training.loop import RunResult as RunResult
from ganzoo.training.transfer import Transfer

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
        out: run folder; new or empty, unless `resume`. Or its fsspec URL, see `ganzoo.runs.mirror`.
        resume: continue from the newest checkpoint in `out`; the settings must be the run's own but for the number of
            steps and the intervals, or `accept_changes`.
        init: weights to start from: "default" for the preset's own (fine-tuning), a file or a folder; None for random. They
            are taken as far as they fit (`ganzoo.training.transfer`); what did not is said, and stands in the model's manifest.
        progress: show a progress line on stderr.
        strategy: "auto", "one", "mirrored", "multi-worker" or "tpu", see `ganzoo.devices.strategies.choose`. Of several workers
            the chief alone writes to `out`; it need not exist for the others.
        accept_changes: go on under other settings; the state must fit the model. `changes.jsonl` in `out` says which.
        recipe: "auto" chooses settings by the number of training images (`ganzoo.training.finetune_recipe`), but for those given here.
        overrides, **more: options by dotted key, or by bare key for the train and data tables (`steps=100`).

    Raises:
        GanzooError: bad options, data or folder; another process trains in `out`.
        TrainingDiverged: a loss or gradient is not finite, also after three rollbacks (`ganzoo.training.divergence`); the run folder
            has its report, and no model.
        OSError: the disk is full; the message names the file, and the last checkpoint is whole.
    """
    options = (overrides or {}) | more
    with contextlib.ExitStack() as stack:
        run_dir, copier = stack.enter_context(mirror.opened(out))
        config, folder = _asked(config, init, options)
        scope = strategies.choose(strategy)
        chief = workers.is_chief(scope)
        resume = bool(workers.from_chief(scope, b"resume" if resume else b""))
        chosen, changed = [], []
        if chief:
            _check_folder(run_dir, resume)
            run_dir.mkdir(parents=True, exist_ok=True)
            stack.enter_context(lock.held(run_dir))
            config, chosen = _settled(config, run_dir, resume, recipe, options)
            changed = _claim(run_dir, resume, accept_changes, config)
        settled = workers.from_chief(scope, presets.config_toml(config).encode())
        if not chief:
            config = presets.validate(RunConfig, tomllib.loads(settled.decode()), "the options of the chief")
        model, pictures, segments = _built(config, scope)
        start = _begin(model, pictures, segments, run_dir, resume, init, folder, chosen, changed)
        while True:
            try:
                shown = {"progress": progress and chief, "copier": copier if chief else None}
                result = loop.fit(model, config, segments, pictures, run_dir, start, **shown)
                break
            except NotFinite as failure:
                start = divergence.roll_back(model, run_dir, failure)
        if chief:
            _finish(model, config, pictures, segments, run_dir, init, result)
        if copier and chief:
            copier.push()  # model and report
        return dataclasses.replace(result, run_dir=out if copier else run_dir)


def _asked(config, init, options: dict[str, Any]) -> tuple[RunConfig, Path | None]:
    """The options of the run, and the saved model's folder if it is one that names them."""
    source = str(config) if isinstance(config, Path) else config
    folder = None
    if isinstance(source, str) and not source.endswith(".toml"):
        folder = zoo.model_folder(source)
        source = folder / "config.toml" if folder else source
    config = presets.run_config(source, options)
    if init is not None and config.train.encoder_steps:
        # The weights bring a trained text encoder; another one would not be that of the generator.
        config = presets.run_config(config, {"train.encoder_steps": 0})
    return config, folder


def _check_folder(out: Path, resume: bool) -> None:
    if out.exists() and not out.is_dir():
        raise GanzooError(f"{out} is a file; the run needs a folder.")
    if resume and not (out / "config.toml").is_file():
        raise GanzooError(f"{out} holds no run to resume: it has no config.toml.")


def _settled(
    config: RunConfig, out: Path, resume: bool, recipe: str, options: dict[str, Any]
) -> tuple[RunConfig, list[finetune_recipe.Choice]]:
    """The options with what this machine and the data decide: the recipe's choices, precision; said on stderr."""
    chosen = finetune_recipe.choices(recipe, config, options)
    config = presets.run_config(config, {choice.key: choice.value for choice in chosen})
    for choice in chosen:
        loop.say(str(choice))
    if resume:
        before = presets.run_config(out / "config.toml").train
        # What was found out when the run began stands: it goes on in the same numbers.
        found = {"train.jit_compile": config.train.jit_compile and before.jit_compile}
        found |= {"train.precision": before.precision} if config.train.precision == "auto" else {}
        config = presets.run_config(config, found)
    number, why = precision.resolve(config.train.precision)
    if why:
        loop.say(why)
    return presets.run_config(config, {"train.precision": number}), chosen


def _built(config: RunConfig, scope) -> tuple[BaseGAN, Any, list[Segment]]:
    """(model, data, segments) that fit each other."""
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
    with scope.scope(), precision.policy(config.train.precision):
        model = zoo.build(config)
    if config.train.stop.d_wins and "fooled" not in model.logs:
        raise GanzooError(
            f"D of {model.paper} is a critic, which takes no picture for real or for a fake: leave train.stop.d_wins out."
        )
    loop.divide(model, config.train)
    segments = model.segments(config.train)
    for segment in segments:
        data.check_size(pictures, segment.size)
    if model.classes:
        data.check_labels(pictures, model.classes)
    if (column := loop.text_column(model)) is not None:
        data.check_texts(pictures, column)
    _same_channels(model, pictures)
    return model, pictures, segments


def _begin(model: BaseGAN, pictures, segments, out: Path, resume: bool, init, folder, chosen, changed) -> int:
    """Gives the model its first weights, or those of the newest checkpoint, and writes what the run began with.

    Returns the step that it goes on from.
    """
    config, start, moved, jit = model.run_config, 0, None, None
    if resume:
        start = checkpoint.restore(model, out / "checkpoints")
        if start is None:
            raise GanzooError(f"{out / 'checkpoints'} holds no whole checkpoint to resume. Start a new run elsewhere.")
    loop.check_executions(segments, start, config.train.steps_per_execution)
    if not resume:
        if init is not None:
            moved = Transfer(model)
            model.weights_source = zoo.load_into(model, init, folder, assign=moved)
            if moved.reused < len(moved.rows) or moved.left:
                loop.say(moved.summary())
        else:
            model.init_from_data(pictures)
        # A run killed before its first interval resumes from here, and not from other weights than it began with.
        checkpoint.save(model, out / "checkpoints")
    if config.train.jit_compile:
        if not resume:
            jit = loop.try_jit(model, segments, pictures, config)
            model.run_config = presets.run_config(config, {"train.jit_compile": jit.used})
        model.jit_compile = model.run_config.train.jit_compile
    if not workers.is_chief(model.distribute_strategy):
        return start
    for remark in data.remarks(pictures):
        loop.say(remark)
    # Only now, so that a refused run leaves nothing behind; and before the first step.
    if changed:
        changes.note(out, start, "settings", f"Resumed with other settings: {'; '.join(changed)}.")
    files.write_bytes(out / "config.toml", presets.config_toml(model.run_config).encode())
    files.write_bytes(out / "data.json", json.dumps(pictures.summary(), indent=1).encode())
    changes.forget_rollbacks_after(out, start)
    began = {
        "transfer": moved and moved.facts(),
        "jit": jit and dataclasses.asdict(jit),
        "recipe": list(map(str, chosen)),
    }
    if not resume and any(began.values()):
        files.write_bytes(out / "began.json", json.dumps({k: v for k, v in began.items() if v}, indent=1).encode())
    return start


def _finish(model: BaseGAN, config: RunConfig, pictures, segments, out: Path, init, result: RunResult) -> None:
    """Writes the model with the facts of its training, and the report."""
    facts = {
        "steps": result.steps,
        "seconds": round(result.seconds, 1),
        "save_share": round(result.save_seconds / result.seconds, 4) if result.seconds else 0.0,
        "images": images_seen(segments, result.steps),
        "stopped": result.stopped,
    }
    facts |= {"seed": config.train.seed, "init": str(init), "data": pictures.summary()}
    if (out / "began.json").is_file():  # also of a run that went on
        facts |= json.loads((out / "began.json").read_text("utf-8"))
    zoo.save(model, out / "model", extra=facts)
    report.write_run_report(out)


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
    found = []
    for table in ("model", "data", "train"):
        for key, value in new[table].items():
            if (table, key) not in RESUMABLE:
                found += _changed(f"{table}.{key}", old[table][key], value)
    return found


def _changed(key: str, before, now) -> list[str]:
    """Sentences on what differs, of tables by their keys."""
    if isinstance(before, dict) and isinstance(now, dict) and before.keys() == now.keys():
        return [text for name in now for text in _changed(f"{key}.{name}", before[name], now[name])]
    return [f"{key} was {before}, now {now}"] if before != now else []
