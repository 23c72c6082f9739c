"""`ganzoo evaluate`: measure a model or a folder of pictures, and compare results."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ganzoo import presets
from ganzoo.cli.output import console, report, writable_file
from ganzoo.devices.quiet import load_tensorflow
from ganzoo.errors import GanzooError, say
from ganzoo.presets import metric_names

Name = Annotated[
    str | None,
    typer.Argument(
        metavar="NAME|FOLDER", help="A model, a preset, a folder that training saved; with --against pictures."
    ),
]


def evaluate(
    name: Name = None,
    metrics: Annotated[
        str | None, typer.Option(help='By commas: "fid,kid", "fid_efficientnet-lite0", "l1"; the preset\'s by default.')
    ] = None,
    n: Annotated[int | None, typer.Option("-n", min=2, help="How many samples; the preset's count by default.")] = None,
    data: Annotated[
        str | None, typer.Option(help="Other data than the model's own: a set, folder, zip or tfds:NAME.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Split of the reference; test by default.")] = None,
    against: Annotated[str | None, typer.Option(help="Compare a folder of pictures with this folder or set.")] = None,
    anchors: Annotated[
        bool, typer.Option("--anchors", help="Measure floor (real pictures) and ceiling (an untrained model) too.")
    ] = False,
    every: Annotated[bool, typer.Option("--all", help="Every shipped preset.")] = False,
    compare: Annotated[
        tuple[Path, Path] | None, typer.Option(metavar="A B", help="Compare two files of results instead.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Append the results to this file, as JSON lines.")
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option(help="Write a PNG of samples next to the training pictures nearest to them.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the samples and of the subsets.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON, and no progress.")] = False,
) -> None:
    """Measure a trained model against its data, or a folder of pictures against another.

    A metric's name is its protocol: metric and sample count, extractor, resize, reference split. Only equal ones compare.
    """
    if sum([every, compare is not None, name is not None]) != 1:
        raise GanzooError("Say one thing to do: a model or folder, --all, or --compare A B.")
    options: dict[str, Any] = {
        "metrics": metrics.split(",") if metrics is not None else None,
        "n": n,
        "seed": seed,
        "split": split,
    }
    if compare is not None:
        _compare(*compare, as_json=as_json)
        return
    if against is not None and (every or data or anchors or sheet):
        raise GanzooError(
            "--against compares a folder of pictures: it goes without --all, --data, --anchors and --sheet."
        )
    for metric in options["metrics"] or ():
        metric_names.parse_stem(metric)  # a typo ends here, before TensorFlow starts
    for path in filter(None, (out, sheet)):
        writable_file(path)
    if sheet is not None and (every or sheet.suffix.lower() != ".png"):
        raise GanzooError(f'The sheet is one PNG of one model; received "{sheet}"{" with --all" if every else ""}.')
    names = shipped() if every else [name]
    load_tensorflow(seed)
    from ganzoo import evaluation

    found: list[dict] = []
    for each in names:
        if against is not None:
            results = evaluation.evaluate_folder(each, against, out=out, progress=not as_json, **options)
        else:
            results = evaluation.evaluate(
                each, data, out=out, sheet=sheet, anchors=anchors, progress=not as_json, **options
            )
        found += results
        if not as_json:
            _print(results)
    if as_json:
        report(found, "", as_json=True)
    for path in filter(None, (out, sheet)):
        say(f"Written: {path}")


def shipped() -> list[str]:
    """Every preset with weights in the package, by its full name."""
    return [
        f"{paper}/{key}"
        for paper in presets.list_models()
        for key, p in presets.read(paper).presets.items()
        if p.weights and not p.weights.hub
    ]


def _compare(first: Path, second: Path, *, as_json: bool) -> None:
    found = metric_names.compare_all(metric_names.read(first), metric_names.read(second))
    report([vars(c) for c in found], "\n".join(c.sentence for c in found), as_json=as_json)


def _print(results: list[dict]) -> None:
    """A table on standard output, and the notes beneath it."""
    from rich.table import Table

    first = results[0]
    title = f"{first['model']} against {first['data']} ({first['split']}, {first['n_reference']:,} pictures)"
    rows = [{"value": r["value"], "std": r.get("std"), **published(r), **_limits(r)} for r in results]
    columns = [c for c in ("value", "std", "floor", "ceiling") if any(row.get(c) is not None for row in rows)]
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    table.add_column("metric", no_wrap=True)
    for column in columns:
        table.add_column(column, no_wrap=True, justify="right")
    for record, row in zip(results, rows, strict=True):
        shown = ("" if row.get(c) is None else f"{row[c]:.4g}" for c in columns)
        table.add_row(record["metric"], *shown)
    out = console()
    # A name is a whole protocol: it is never cut, not even on a narrow terminal.
    out.width = max(out.width, out.measure(table, options=out.options.update(width=1000)).maximum)
    out.print(table)
    for note in dict.fromkeys(record["note"] for record in results if record.get("note")):
        names = [record["metric"].split("_")[0] for record in results if record.get("note") == note]
        report(None, f"  {', '.join(names)}: {note}.", as_json=False)


def _limits(record: dict) -> dict:
    return {key: record[key] for key in ("floor", "ceiling") if key in record}


def published(record: dict) -> dict:
    """Floor and ceiling of the preset's card, where it states them for the same protocol on the same data."""
    paper, _, preset = str(record["model"]).partition("/")
    file = presets.read(paper) if presets.is_paper(paper) else None
    for result in file.presets[preset].results if file and preset in file.presets else ():
        same = ("metric", "data_sha256", "n_reference", "extractor_sha256")
        if all(getattr(result, key) == record.get(key) for key in same):
            limits = {"floor": result.floor, "ceiling": result.ceiling}
            return {key: value for key, value in limits.items() if value is not None}
    return {}
