"""`ganzoo doctor`: proofs on this machine."""

import os
from dataclasses import asdict
from typing import Annotated

import typer

from ganzoo.cli.output import report
from ganzoo.devices.quiet import environment, load_tensorflow
from ganzoo.errors import GanzooError, say

app = typer.Typer(no_args_is_help=True, help="Prove on this machine what the manual says of training.")


@app.command("resume")
def resume(
    preset: Annotated[
        str | None, typer.Argument(metavar="PRESET", help="A preset, at its own size, or a .toml file.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every registered model instead, in a small size on bundled data.")
    ] = False,
    steps: Annotated[int, typer.Option(min=2, help="How many steps each run trains.")] = 24,
    kills: Annotated[
        int, typer.Option(min=1, help="How often the second run is killed: in a step, in a save, ...")
    ] = 2,
    seed: Annotated[int, typer.Option(min=0, help="Of the runs, and of the moments of the kills.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Kill a training with SIGKILL, resume it, and compare its bytes with a run that nothing happened to.

    One child process trains without interruption, another is killed at random moments and resumed until it is done. Printed
    are the SHA-256 of the whole training state (weights, averages, optimizers, pools, ...) and of the model's weights.
    Exit code 0: all are equal; 1: they are not.
    """
    from ganzoo import presets
    from ganzoo.doctor import resume as doctor

    if everything == (preset is not None):
        raise GanzooError("Say what to train: a preset such as dcgan/fashion-32, or --all.")
    os.environ.update(environment())  # small sizes are looked up in the papers, which load TensorFlow
    configs = map(doctor.small, presets.list_models()) if everything else [presets.run_config(preset or "")]
    proofs = []
    for config in configs:
        say(f"{config.full_name}: {steps} steps twice, {kills} kills")
        try:
            proofs.append(proof := doctor.prove(config, steps=steps, kills=kills, seed=seed))
        except doctor.ChildFailed as failure:
            say(f"Error: {failure}")
            raise typer.Exit(1) from None
        report(None, "" if as_json else _text(proof), as_json=False)
    equal = all(proof.equal for proof in proofs)
    if as_json:
        report({"equal": equal, "runs": [asdict(p) | {"equal": p.equal} for p in proofs]}, "", as_json=True)
    if not equal:
        raise typer.Exit(1)


def _text(proof) -> str:
    hits = ", ".join(f"after step {kill.step} in a {kill.where}" for kill in proof.kills) or "never: it was too short"
    lines = [f"{proof.name}: killed {hits}"]
    for what, (whole, resumed) in (("state", proof.state), ("weights", proof.weights)):
        lines += [f"  {what:8}{whole} uninterrupted", f"  {'':8}{resumed} resumed"]
    return "\n".join([*lines, "  equal" if proof.equal else "  NOT equal"])


@app.command("distribute")
def distribute(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="A model.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every model.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the records as JSON.")] = False,
) -> None:
    """Train small models on one device and on two virtual CPUs, and compare all weights after 32 steps.

    The exit code is 1 if they differ by more than 1e-6 although no operation mixes the rows of a batch, or batch norm is
    synchronised.
    """
    from ganzoo import presets

    if every == (name is not None):
        raise GanzooError("Say what to train: a model such as dcgan, or --all.")
    names = presets.list_models() if every else [presets.find_paper(name or "")]
    os.environ.update(environment())
    from ganzoo.doctor import distribute as checks

    records = []
    for record in checks.run(names):
        records.append(record)
        if not as_json:
            print(_line(record), flush=True)
    good = all(record["ok"] for record in records)
    if as_json:
        report({"tolerance": checks.TOLERANCE, "models": records, "ok": good}, "", as_json=True)
    if not good:
        say("Error: replicas do not train as one device does: " + ", ".join(r["model"] for r in records if not r["ok"]))
        raise typer.Exit(1)


def _line(record: dict) -> str:
    text = f"{'equal' if record['ok'] else 'UNEQUAL'}  {record['model']}: weights {record['weights']:.1e}, averaged "
    text += f"{record['ema']:.1e} after {record['steps']} steps on {record['replicas']} replicas (they moved by "
    text += f"{record['moved']:.1e})"
    if record["mixes"]:
        text += "\n       with batch norm synchronised" * ("batch norm" in record["mixes"][0])
        text += f"\n       mixes the rows of a batch: {'; '.join(record['mixes'])}"
    if "plain" in record:
        text += f"\n       not synchronised: weights {record['plain']['weights']:.1e}, averaged {record['plain']['ema']:.1e}"
    return text


@app.command("env")
def env(as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False) -> None:
    """Describe this machine for a bug report: versions, processor, oneDNN, bfloat16, GPU, memory, disk, what is missing."""
    load_tensorflow()
    from ganzoo.doctor import env as environment_of

    found = environment_of.describe()
    report(found, environment_of.text(found), as_json=as_json)
