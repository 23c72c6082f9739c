"""`ganzoo data`: look at the pictures before a training does."""

import contextlib
import io
from pathlib import Path
from typing import Annotated, Any

import typer

from ganzoo.cli.output import console, report, writable_file, writable_folder
from ganzoo.devices.quiet import load_tensorflow
from ganzoo.errors import GanzooError, nearest, printable

app = typer.Typer(help="Check your pictures, prepare bundled sets.")

VALUES = 12  # of an attribute in the terminal
SHOWN = 40  # problem rows in the terminal; the HTML page and --json have all


@app.callback()
def data() -> None:
    """Check your pictures, prepare bundled sets."""


@app.command("check")
def check(
    path: Annotated[Path, typer.Argument(metavar="DIR", help="A folder or zip file of pictures or pairs.")],
    html: Annotated[Path | None, typer.Option(help="Write a page with thumbnails to this file.")] = None,
    shape: Annotated[
        str | None,
        typer.Option(
            help='"images", "paired", "unpaired", "captions", "attributes", "masks" or "ages"; found out by default.'
        ),
    ] = None,
    size: Annotated[
        int | None, typer.Option(min=1, max=65536, help="The size you will train at: smaller files are reported.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Say which files are corrupt, truncated, empty, tiny, duplicate, unmatched or of mixed modes.

    Problems are a finding, not a failure: the exit code is 0. Training leaves unusable files out by itself.
    """
    if html is not None:
        writable_file(html)
    load_tensorflow()
    from ganzoo.data.check import check as look
    from ganzoo.report import write_data_report

    result = look(path, shape=shape, size=size)
    if html is not None:
        write_data_report(result, html)
    if as_json:
        report(result.to_dict() | {"html": str(html) if html else None}, "", as_json=True)
        return
    _print(result)
    if html is not None:
        print(printable(f"Page: {html}"))


@app.command("build")
def build(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A bundled set, such as lorelei_64.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The TensorFlow Datasets folder to write in (data_dir).")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Prepare a bundled set as TensorFlow Datasets files, offline, for programs that read those.

    With the environment variable GANZOO_DATA=DIR the full set is prepared instead of the bundled part. ganzoo itself
    trains on the bundled sets as they are.
    """
    writable_folder(out)
    load_tensorflow()
    from ganzoo.data import bundled_names
    from ganzoo.data.builders import builder_name

    known = builder_name(name)
    if known is None:
        raise GanzooError(f'There is no bundled data set "{name}".{nearest(name, bundled_names())}')
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()
    builder = tfds.builder(known, data_dir=out)
    with contextlib.redirect_stdout(io.StringIO()):  # "Downloading ...", which is not what happens
        builder.download_and_prepare()
    splits = {split: info.num_examples for split, info in builder.info.splits.items()}
    value: dict[str, Any] = {
        "name": known,
        "path": str(builder.data_path),
        "splits": splits,
        "bytes": int(builder.info.dataset_size),
    }
    counts = ", ".join(f"{split} {count:,}" for split, count in splits.items())
    report(value, f"{value['path']} ({counts}; {value['bytes'] / 1e6:.1f} MB)", as_json=as_json)


def _print(result) -> None:
    """The table of problems, then counts and advice."""
    from rich.table import Table

    problems = result.problems
    if problems:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in ("file", "status", "what is wrong"):
            table.add_column(column, overflow="fold")
        for row in problems[:SHOWN]:
            table.add_row(*(_plain(text) for text in (row.file, row.status, row.detail)))
        console().print(table)
        if len(problems) > SHOWN:
            print(f"... and {len(problems) - SHOWN} more (--html or --json show all)")
    counts = ", ".join(f"{count} {status}" for status, count in result.counts.items()) or "no pictures"
    what = "pairs" if result.shape == "paired" else "pictures"
    what += f" with {result.sentences:,} sentences" if result.sentences else ""
    print(printable(f"{result.path}: {result.usable} usable {what} ({result.layout}); files: {counts}."))
    if len(result.splits) > 1 or "train" not in result.splits:
        print(
            printable(f"Splits: {', '.join(f'{name} {count:,}' for name, count in result.splits.items()) or 'none'}.")
        )
    for name, counts in result.attributes.items():
        print(printable(f"{name}: {', '.join(f'{value} {count:,}' for value, count in _most(counts))}."))
    if result.left_out:
        print(printable(f"Left out: {result.left_out}."))
    others = [f"{count:,} {kind}" for kind, count in result.other_kinds.items()]
    others += [f"{result.hidden_files:,} hidden"] if result.hidden_files else []
    if others:
        print(printable(f"No pictures: {result.other_files + result.hidden_files:,} files ({', '.join(others)})."))
    for text in result.advice:
        print(printable(text))


def _most(counts: dict[str, int]) -> list[tuple[str, int]]:
    """The values of an attribute, the most frequent ones first, and how many more there are."""
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    rest = ordered[VALUES:]
    return ordered[:VALUES] + ([(f"and {len(rest)} more", sum(count for _, count in rest))] if rest else [])


def _plain(text: str):
    """A table cell that rich does not read as markup."""
    from rich.text import Text

    return Text(printable(text))
