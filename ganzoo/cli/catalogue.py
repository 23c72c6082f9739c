"""`ganzoo list` and `ganzoo card`: what the zoo holds, from its TOML files alone."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ganzoo import presets
from ganzoo.cli.output import console, report

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


def list_models(as_json: Json = False) -> None:
    """List the models, their presets, and which of them come with trained weights."""
    zoo = zoo_table()
    if as_json:
        report(zoo, "", as_json=True)
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column, options in {
        "model": {"no_wrap": True},
        "weights": {"no_wrap": True},
        "licence": {},
        "about": {},
    }.items():
        table.add_column(column, **options)
    for paper in zoo:
        for row in paper["presets"]:
            size = f"{row['weights_bytes'] / 1e6:.1f} MB" if row["bundled"] else "none"
            table.add_row(row["name"], size, row["licence"] or "", row["about"])
    console().print(table)


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

        console().print(Markdown(text))
    else:
        print(text)
