"""`ganzoo list` and `ganzoo card`: what the zoo holds, from its TOML files alone."""

import shutil
import sys
import textwrap
from pathlib import Path
from typing import Annotated, Any

import typer

from ganzoo import presets
from ganzoo.cli.output import console, report, say

WEIGHTS = Path(__file__).resolve().parent.parent / "assets" / "weights"

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def zoo_table() -> list[dict[str, Any]]:
    """Every paper with its presets, as JSON-able records; `bundled` says whether the weights file is in this package."""
    return [
        {
            "name": name,
            "title": file.paper.title,
            "year": file.paper.year,
            "arxiv": file.paper.arxiv,
            "task": file.paper.task,
            "aliases": list(file.paper.aliases),
            "presets": [_preset_row(f"{name}/{preset}", record) for preset, record in file.presets.items()],
        }
        for name in presets.list_models()
        for file in [presets.read(name)]
    ]


def _preset_row(name: str, record: presets.Preset) -> dict[str, Any]:
    weights = record.weights
    return {
        "name": name,
        "about": record.about,
        "data": record.data.source,
        "size": record.data.size,
        "bundled": weights is not None and (WEIGHTS / weights.file).is_file(),
        "weights_bytes": weights.bytes if weights else None,
        "licence": weights.licence if weights else None,
    }


def list_models(
    trained: Annotated[bool, typer.Option("--trained", help="Only presets that come with trained weights.")] = False,
    as_json: Json = False,
) -> None:
    """List the models, their presets, and which of them come with trained weights."""
    zoo = zoo_table()
    if trained:
        zoo = [paper | {"presets": [row for row in paper["presets"] if row["bundled"]]} for paper in zoo]
        zoo = [paper for paper in zoo if paper["presets"]]
    if as_json:
        report(zoo, "", as_json=True)
        return
    rows = [row for paper in zoo for row in paper["presets"]]
    name_width = max(len(row["name"]) for row in rows)
    width = max(shutil.get_terminal_size().columns, name_width + 20)
    print("\n".join(line for row in rows for line in _lines(row, name_width, width)))


def _lines(row: dict[str, Any], name_width: int, width: int) -> list[str]:
    """A preset on a terminal: name, size of the weights and licence (cut to the line), and beneath them what it is."""
    size = f"{row['weights_bytes'] / 1e6:.1f} MB" if row["bundled"] else "none"
    head = f"{row['name']:<{name_width}}  {size:<7}  {row['licence'] or ''}".rstrip()
    if len(head) > width:
        head = head[: width - 1] + "…"
    indent = {"initial_indent": "    ", "subsequent_indent": "    "}
    return [head, *textwrap.wrap(row["about"], width, break_on_hyphens=False, **indent)]


def card(
    name: Annotated[str, typer.Argument(metavar="NAME", help='A model, such as "pix2pix".')],
    as_json: Json = False,
) -> None:
    """Show a model's card: paper, presets, weights, results, licences."""
    from ganzoo.presets.cards import card as markdown

    text = markdown(name)
    if as_json:
        paper, preset = presets.resolve(name)
        report(
            {"name": paper, "default_preset": preset, **presets.read(paper).model_dump(mode="json"), "card": text},
            "",
            as_json=True,
        )
    elif sys.stdout.isatty():
        from rich.markdown import Markdown

        console().print(Markdown(markdown(name, tables=False)))
        say(f"Each result with its source, steps, images, hours, seed and note: ganzoo card {name} | less")
    else:
        print(text)
