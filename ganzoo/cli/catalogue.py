"""`ganzoo list` and `ganzoo card`: what the zoo holds, from its TOML files alone."""

import shutil
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import Annotated, Any

import typer

from ganzoo import presets
from ganzoo.cli.output import console, report, writable_file
from ganzoo.devices.quiet import load_tensorflow
from ganzoo.errors import GanzooError, say
from ganzoo.files import given_path
from ganzoo.presets import licences

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
        "expects": record.expects,
        "data": record.data.source,
        "size": record.data.size,
        "bundled": weights is not None and (WEIGHTS / weights.file).is_file(),
        "weights_bytes": weights.bytes if weights else None,
        "licence": weights.licence if weights else None,
    }


def list_models(
    trained: Annotated[bool, typer.Option("--trained", help="Only presets that come with trained weights.")] = False,
    licence: Annotated[
        str | None,
        typer.Option(help='Only weights that may be used so: "commercial", or that are under this SPDX id: "MIT".'),
    ] = None,
    task: Annotated[
        str | None, typer.Option(help='Only models whose task says this: "text", "image to image".')
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", help="Write a page: what the weights of those listed draw, and their figures."),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the models, their presets, and which of them come with trained weights."""
    if html is not None:
        writable_file(html)
    zoo = zoo_table()
    if trained:
        zoo = [paper | {"presets": [row for row in paper["presets"] if row["bundled"]]} for paper in zoo]
    if licence is not None:
        zoo = [paper | {"presets": [row for row in paper["presets"] if _allows(row, licence)]} for paper in zoo]
    if task is not None:
        zoo = [paper for paper in zoo if task.casefold() in paper["task"].casefold()]
    zoo = [paper for paper in zoo if paper["presets"]]
    if html is not None:
        _page([row["name"] for paper in zoo for row in paper["presets"] if row["bundled"]], html, as_json)
        return
    if as_json:
        report(zoo, "", as_json=True)
        return
    if not zoo:
        say("No model of the zoo is such.")
        return
    rows = [row for paper in zoo for row in paper["presets"]]
    name_width = max(len(row["name"]) for row in rows)
    width = max(shutil.get_terminal_size().columns, name_width + 20)
    print("\n".join(line for row in rows for line in _lines(row, name_width, width)))


def _page(names: list[str], file: Path, as_json: bool) -> None:
    """Draws with each of the models (seed 0) and writes the page."""
    if not names:
        raise GanzooError("Of those listed none comes with weights, so there is nothing to draw.")
    load_tensorflow()
    from ganzoo.demo import show
    from ganzoo.report import write_zoo_page

    with tempfile.TemporaryDirectory() as folder, console(stderr=True).status("Starting") as status:
        shown = []
        for name in names:
            status.update(f"Pictures of {name}")
            shown.append(show(name, Path(folder), 0)[0])
        write_zoo_page(shown, Path(folder), file)
    report({"page": str(file), "models": names}, f"Wrote {file}: pictures of {len(names)} models.", as_json=as_json)


def _allows(row: dict[str, Any], licence: str) -> bool:
    """Whether weights may be used for "commercial" purposes, or are under an SPDX id and nothing else."""
    if row["licence"] is None:
        return False
    passport = licences.Passport(licences.spdx(row["licence"]))
    if licence in licences.USES:
        return not passport.refuses(licence)
    return set(passport.ids) == set(licences.spdx(licence).split(" AND "))


def _lines(row: dict[str, Any], name_width: int, width: int) -> list[str]:
    """A preset on a terminal: name, size of the weights and licence (cut to the line), and beneath them what it is."""
    size = f"{row['weights_bytes'] / 1e6:.1f} MB" if row["bundled"] else "none"
    head = f"{row['name']:<{name_width}}  {size:<7}  {row['licence'] or ''}".rstrip()
    if len(head) > width:
        head = head[: width - 1] + "…"
    indent: Any = {"initial_indent": "    ", "subsequent_indent": "    "}
    texts = [row["about"], *([f"Expects {row['expects']}"] if row["expects"] else [])]
    return [head, *(line for text in texts for line in textwrap.wrap(text, width, break_on_hyphens=False, **indent))]


def card(
    name: Annotated[str, typer.Argument(metavar="NAME", help='A model, such as "pix2pix".')],
    licences_only: Annotated[
        bool, typer.Option("--licences", help="What a product must print; NAME may also be a folder of a model.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show a model's card: paper, presets, weights, results, licences."""
    if licences_only:
        _licences(name, as_json)
        return
    if "://" in name:
        _card_at(name, as_json)
        return
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


def _card_at(address: str, as_json: bool) -> None:
    """The card of a model at an address: its manifest and config are fetched, its weights are not."""
    from ganzoo import files, hub

    folder = hub.fetch(address, weights=False)
    manifest = files.read_json(folder / hub.MANIFEST, name=address)
    text = hub.card(presets.run_config(folder / hub.CONFIG), manifest, address)
    report({"address": address, "manifest": manifest, "card": text}, text.rstrip(), as_json=as_json)


def _licences(name: str, as_json: bool) -> None:
    """What a product must print of a model's published weights, or of those in a folder."""
    if not presets.is_paper(name.split("/")[0]) and given_path(name).is_dir():
        found = {name: licences.of_model_folder(given_path(name))}
    else:
        paper, chosen = presets.resolve(name)
        names = [chosen] if "/" in name else presets.list_presets(paper)
        every = {f"{paper}/{preset}": licences.of_preset(f"{paper}/{preset}") for preset in names}
        found = {preset: passport for preset, passport in every.items() if passport is not None}
        if not found:
            raise GanzooError(f"{name} has no published weights: what you train is under the licence of your data.")
    text = "\n".join(licences.printed(preset, passport) for preset, passport in found.items())
    report({preset: licences.as_json(passport) for preset, passport in found.items()}, text.rstrip(), as_json=as_json)
