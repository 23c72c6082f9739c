"""`ganzoo doctor`: proves on this machine what training promises."""

import os
from typing import Annotated

import typer

from ganzoo.cli.output import report, say
from ganzoo.cli.quiet import environment
from ganzoo.errors import GanzooError

app = typer.Typer(help="Prove on this machine what training promises.")

DEFAULT = ("gan", "dcgan", "stylegan-lite")  # without, with batch norm, with minibatch stddev


@app.callback()
def doctor() -> None:
    """Prove on this machine what training promises."""


@app.command("distribute")
def distribute(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="A model; three of them by default.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every model.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the records as JSON.")] = False,
) -> None:
    """Train small models on one device and on two virtual CPUs, and compare all weights after 32 steps.

    The exit code is 1 if they differ by more than 1e-6 although no operation mixes the rows of a batch, or batch norm is
    synchronised.
    """
    from ganzoo import presets

    if name and every:
        raise GanzooError("Name a model or give --all, not both.")
    names = presets.list_models() if every else [presets.find_paper(name)] if name else list(DEFAULT)
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
