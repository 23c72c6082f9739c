"""`ganzoo train` and `ganzoo finetune`."""

import os
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from ganzoo import files
from ganzoo.cli.output import report, writable_folder
from ganzoo.devices.quiet import environment, load_tensorflow, without_noise
from ganzoo.errors import GanzooError, say
from ganzoo.runs import folder

INTERRUPTED = 130  # 128 + SIGINT: the run is saved, but not done

Out = Annotated[
    str,
    typer.Option(
        "-o",
        "--out",
        help="The run folder: config, log, samples, checkpoints, report.html, model/; or its URL (s3://...).",
    ),
]
Data = Annotated[
    str | None, typer.Option(help="A bundled set, a folder, a zip or tfds:NAME; instead of the preset's data.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any setting, e.g. train.batch_size=32; repeatable."),
]
Steps = Annotated[int | None, typer.Option(min=1, help="How many steps in all (train.steps).")]
BatchSize = Annotated[int | None, typer.Option(min=1, help="Samples per step (train.batch_size).")]
Seed = Annotated[int | None, typer.Option(min=0, help="Seed of everything that is drawn (train.seed) [default: 0].")]
Resume = Annotated[bool, typer.Option("--resume", help="Continue the run in --out from its last checkpoint.")]
AcceptChanges = Annotated[
    bool,
    typer.Option(
        "--accept-changes",
        help="Resume also under other settings or on other data; what changed is in changes.jsonl.",
    ),
]
Strategy = Annotated[
    str,
    typer.Option(
        help='Devices: "auto" (a cluster if there is one, else all GPUs), "one", "mirrored", "multi-worker", "tpu".'
    ),
]
Ray = Annotated[
    bool, typer.Option("--ray", help="Run on Ray workers: this machine's, or of the cluster at RAY_ADDRESS.")
]
Workers = Annotated[int | None, typer.Option(min=1, help="How many Ray workers.")]
Precision = Annotated[
    str | None,
    typer.Option(help='"float32", "bfloat16", "float16", or "auto": bfloat16 where the device computes it.'),
]
Accumulate = Annotated[
    int | None, typer.Option(min=1, help="Micro-batches of a step, one after the other, to save memory.")
]
Executions = Annotated[
    int | None, typer.Option("--steps-per-execution", min=1, help="Steps in one call of the compiled function.")
]
FreezeD = Annotated[
    int | None,
    typer.Option("--freeze-d", min=0, help="Layers of D, from the images on, that stay as they are (FreezeD)."),
]
Recipe = Annotated[
    str, typer.Option(help='"auto" chooses settings by the number of images, and says why; --set overrules it.')
]
Tracker = Annotated[
    str | None,
    typer.Option(help='Also send numbers and sample grids to "mlflow" or "wandb", as their own settings say where.'),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, and no progress.")]


def parse_setting(text: str) -> tuple[str, Any]:
    """ "key=value" as (dotted key, value): a value is TOML where it parses (2, 1e-4, true, [0.5, 0.9]), else a string.

    Raises:
        GanzooError: no sign, or a value that nests too deep or is a whole number of more than 64 bits.
    """
    key, sign, value = text.partition("=")
    key = key.strip()
    if not sign or not key:
        raise GanzooError(f'--set takes KEY=VALUE, such as train.batch_size=32; got "{text}".')
    try:
        parsed = files.parse_toml(f"value = {value}", f"--set {key}")
    except files.Malformed:
        return key, value
    return key, parsed["value"] if parsed.keys() == {"value"} else value


def overrides(
    data: str | None,
    settings: list[str] | None,
    steps: int | None,
    batch: int | None,
    seed: int | None,
    train: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The options of the command line as dotted overrides, `train` more of that table; a key that is given twice is
    refused."""
    chosen: dict[str, Any] = {}
    named = {"data.source": data, "train.steps": steps, "train.batch_size": batch, "train.seed": seed}
    named |= {f"train.{key}": value for key, value in (train or {}).items()}
    for key, value in [*((k, v) for k, v in named.items() if v is not None), *map(parse_setting, settings or [])]:
        if key in chosen:
            raise GanzooError(f'The setting "{key}" is given twice.')
        chosen[key] = value
    return chosen


def check_run_folder(out: str, resume: bool) -> None:
    """Refuses to start in a folder that holds files, and to resume where there is no run. Of a URL training looks."""
    if "://" in out:
        return
    path = Path(out)
    writable_folder(path)
    if resume and not (path / "config.toml").is_file():
        raise GanzooError(f'"{out}" contains no run to resume: it has no config.toml.')
    if not resume and not folder.is_free(path):
        raise GanzooError(f'The run folder "{out}" is not empty; continue it with --resume or choose another one.')


def run(
    config: str, out: str, *, chosen: dict[str, Any], as_json: bool, ray: bool, workers: int | None, **options: Any
) -> None:
    """Trains, reports where everything lies, and leaves with code 130 where Ctrl-C or SIGTERM ended it."""
    if workers and not ray:
        raise GanzooError("--workers counts the workers that Ray starts: add --ray, or start each process yourself.")
    if ray:
        _on_ray(config, out, chosen, as_json, workers or 1, **options)
    else:
        _here(config, out, chosen, as_json, **options)


def _on_ray(config, out, chosen, as_json, workers, *, strategy, **options) -> None:
    if strategy not in ("auto", "multi-worker"):
        raise GanzooError(f'--ray runs --strategy multi-worker; received "{strategy}".')
    os.environ.update(environment())  # the workers have it from here
    from ganzoo.training import on_ray

    facts = on_ray.train(config, out=out, workers=workers, overrides=chosen, **options)
    value = {"run_dir": out, "workers": workers, **{key: facts[key] for key in ("steps", "seconds", "stopped")}}
    text = f"{facts['steps']} steps on {workers} workers in {facts['seconds']:.1f} s: {out}/model, {out}/report.html"
    report(value, text, as_json=as_json)


def _here(config, out, chosen, as_json, **options) -> None:
    load_tensorflow(devices=False)
    from ganzoo import training
    from ganzoo.devices import strategies

    with without_noise():
        strategies.choose(options["strategy"])
    try:
        result = training.train(config, out=out, overrides=chosen, progress=not as_json, **options)
    except (training.TrainingDiverged, folder.Gone) as failure:
        say(f"Error: {failure}")
        raise typer.Exit(1) from None
    if not result.chief:
        return
    value = {
        "run_dir": str(result.run_dir),
        "steps": result.steps,
        "seconds": round(result.seconds, 3),
        "stopped": result.stopped,
        "model": f"{result.run_dir}/model",
        "report": f"{result.run_dir}/report.html",
    }
    done = result.stopped != "interrupted"
    text = f"{result.steps} steps in {result.seconds:.1f} s: model {value['model']}, report {value['report']}"
    if result.stopped not in ("done", "interrupted"):
        text += f". Ended early: {result.stopped}"
    report(value, text if done else "", as_json=as_json)
    if not done:
        say(
            f"Stopped at step {result.steps}; the state is saved. Continue with: ganzoo train -o {shlex.quote(out)} --resume"
        )
        raise typer.Exit(INTERRUPTED)


def train(
    out: Out,
    config: Annotated[
        str | None, typer.Argument(metavar="NAME|CONFIG", help="A preset or a .toml file; not needed to resume.")
    ] = None,
    data: Data = None,
    settings: Settings = None,
    steps: Steps = None,
    batch_size: BatchSize = None,
    seed: Seed = None,
    resume: Resume = False,
    accept_changes: AcceptChanges = False,
    strategy: Strategy = "auto",
    ray: Ray = False,
    workers: Workers = None,
    precision: Precision = None,
    accumulate: Accumulate = None,
    steps_per_execution: Executions = None,
    tracker: Tracker = None,
    as_json: Json = False,
) -> None:
    """Train a preset, or a config file of your own, into a run folder.

    Ctrl-C (or SIGTERM) saves the state and leaves with exit code 130; the same command with --resume continues, also after
    a kill or a power cut, and ends with the weights of a run that nothing happened to (`ganzoo doctor resume` proves it).
    """
    check_run_folder(out, resume)
    if config is None and not resume:
        raise GanzooError("Say what to train: a preset such as dcgan/fashion-32, or a .toml file.")
    chosen = overrides(
        data, settings, steps, batch_size, seed,
        {"precision": precision, "accumulate": accumulate, "steps_per_execution": steps_per_execution},
    )  # fmt: skip
    if config is None and "://" in out:
        raise GanzooError(f"{out} is a URL: say also which preset or .toml file the run to resume began with.")
    source = config or f"{out}/config.toml"
    options = {"resume": resume, "accept_changes": accept_changes, "strategy": strategy, "tracker": tracker}
    run(source, out, chosen=chosen, as_json=as_json, ray=ray, workers=workers, **options)


def finetune(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A model with trained weights, or a folder that training saved.")
    ],
    out: Out,
    data: Data = None,
    settings: Settings = None,
    steps: Steps = None,
    batch_size: BatchSize = None,
    seed: Seed = None,
    resume: Resume = False,
    accept_changes: AcceptChanges = False,
    strategy: Strategy = "auto",
    ray: Ray = False,
    workers: Workers = None,
    precision: Precision = None,
    accumulate: Accumulate = None,
    steps_per_execution: Executions = None,
    freeze_d: FreezeD = None,
    recipe: Recipe = "none",
    tracker: Tracker = None,
    as_json: Json = False,
) -> None:
    """Train on from a model's weights, with your own data.

    Ctrl-C (or SIGTERM) saves the state and leaves with exit code 130; the same command with --resume continues, also after
    a kill or a power cut, and ends with the weights of a run that nothing happened to (`ganzoo doctor resume` proves it).
    """
    check_run_folder(out, resume)
    chosen = overrides(
        data, settings, steps, batch_size, seed,
        {"precision": precision, "accumulate": accumulate, "steps_per_execution": steps_per_execution, "freeze_d": freeze_d},
    )  # fmt: skip
    if not resume:
        load_tensorflow(devices=False)
        from ganzoo.training.run import require_weights

        require_weights(name)
    options = {"resume": resume, "accept_changes": accept_changes, "strategy": strategy, "recipe": recipe}
    options |= {"tracker": tracker}
    run(name, out, chosen=chosen, as_json=as_json, ray=ray, workers=workers, init="default", **options)
