"""`ganzoo push`: gives a trained model to others."""

from typing import Annotated

import typer

from ganzoo.cli.output import report
from ganzoo.errors import GanzooError


def push(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run folder, or one that `ganzoo.save` wrote.")],
    address: Annotated[str, typer.Argument(metavar="hf://USER/NAME", help="Where it goes on the Hub.")],
    revision: Annotated[str | None, typer.Option(help="The branch, made if it is not there; main by default.")] = None,
    private: Annotated[bool, typer.Option("--private", help="Make a new repository that only you see.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Upload a model with its licence and its card to the Hub; `ganzoo.load("hf://USER/NAME")` brings it back.

    It needs `pip install 'ganzoo[hub]'` and a token (`hf auth login`, or HF_TOKEN).
    """
    from ganzoo import hub, zoo

    hub.repository(address, revision)
    folder = zoo.model_folder(f"./{run}" if not run.startswith(("/", "~", ".")) else run)
    if folder is None:
        raise GanzooError(f'"{run}" is not a folder of a model.')
    where = hub.push(folder, address, revision=revision, private=private)
    report({"commit": where, "address": address}, f"{where}: ganzoo.load({address!r}) reads it", as_json=as_json)
