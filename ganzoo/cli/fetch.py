"""`ganzoo fetch`: brings the weights of a preset that are too large for the package."""

from typing import Annotated

import typer

from ganzoo.cli.output import report


def fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A preset whose weights are on the Hub.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Fetch the weights of a preset that are too large for the package, once; every other command finds them then.

    It needs `pip install 'ganzoo[hub]'`. What would be fetched, how large it is and under which licence: `ganzoo card NAME`.
    """
    from ganzoo import hub, presets

    paper, preset = presets.resolve(name)
    file = hub.published(f"{paper}/{preset}", presets.read(paper).presets[preset].weights, fetch=True)
    report({"model": f"{paper}/{preset}", "file": str(file)}, str(file), as_json=as_json)
