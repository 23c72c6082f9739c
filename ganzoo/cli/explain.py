"""`ganzoo explain`: a paper as it is built and trained here."""

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from ganzoo.cli.output import console, report, writable_file
from ganzoo.devices.quiet import load_tensorflow

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def explain(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help='A model ("pix2pix"), a preset, a .toml file or a folder of a run.')
    ],
    diff: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="PRESET PRESET", help="Show where two presets of the model differ, and nothing else."),
    ] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write one HTML page that opens offline.")] = None,
    as_json: Json = False,
) -> None:
    """Explain a paper: symbols, objective, networks layer by layer, the order of a step, settings, deviations.

    The text is the docstring of the paper's file, layers and order are read from the model while one step is traced, and
    settings from its TOML file, compared with those of the preset that has the paper's numbers.
    """
    from ganzoo import files, presets

    names = [name]
    if diff is not None:
        paper = presets.find_paper(name)
        names = ["/".join(presets.resolve(paper, preset.removeprefix(f"{paper}/"))) for preset in diff]
    if html is not None:
        writable_file(html)
    load_tensorflow()
    from ganzoo.report import explain as explaining
    from ganzoo.report import explained

    found = [explaining.explain(one) for one in names]
    value: Any
    page: Callable[[Any], str]
    if diff is not None:
        value = explaining.difference(*found)
        text, page = explained.difference_markdown(value), explained.difference_html
    else:
        value = found[0]
        text, page = explained.markdown(value), explained.html
    if html is not None:
        files.write_bytes(html, page(value).encode())
        text = str(html)
    if as_json:
        report(dataclasses.asdict(value), "", as_json=True)
    elif html is None and sys.stdout.isatty():
        from rich.markdown import Markdown

        console().print(Markdown(text))
    else:
        print(text)
