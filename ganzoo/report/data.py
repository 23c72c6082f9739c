"""The page of a data check."""

from pathlib import Path
from typing import Any

from ganzoo.report.files import write_page
from ganzoo.report.pages import Cell, details, facts, gallery, page, paragraph, section, table


def write_data_report(result: Any, path: str | Path) -> Path:
    """Writes the page of a data check.

    Args:
      result: a `ganzoo.data.check.CheckResult`.
      path: the HTML file to write.
    """
    problems = [row for row in result.rows if row.status != "ok"]
    good = [(row.thumbnail, row.file) for row in result.rows if row.status == "ok" and row.thumbnail]
    splits = ", ".join(f"{name or 'all'}: {count:,}" for name, count in result.splits.items())
    sizes = {(row.width, row.height) for row in result.rows if row.width and row.height}
    head = ["", "file", "status", "what is wrong", "size", "mode", "split"]
    rest = [_check_cells(row)[1:] for row in result.rows if row.status == "ok"]
    body = page(
        f"Data check of {result.path}",
        facts(
            {
                "usable pairs" if result.shape == "paired" else "usable pictures": f"{result.usable:,}",
                "files with a problem": f"{len(problems):,}",
                "layout": result.layout,
                "per split": splits or None,
                "different sizes": f"{len(sizes):,}" if sizes else None,
                "sentences": f"{result.sentences:,}" if result.sentences else None,
                "left out": result.left_out or None,
                "other files": ", ".join(f"{count:,} {kind}" for kind, count in result.other_kinds.items()) or None,
                "hidden files": f"{result.hidden_files:,}" if result.hidden_files else None,
            }
        ),
        paragraph("Nothing is wrong with these files.", "good") if not problems else "",
        *(paragraph(text, "bad") for text in result.advice),
        section("Counts", table(["status", "files"], result.counts.items())),
        section("Attributes", table(["attribute", "value", "pictures"], _attributes(result)))
        if result.attributes
        else "",
        section("Files with a problem", table(head, map(_check_cells, problems))),
        section("Some of the good files", gallery(good, cell="5rem", pixelated=True)),
        details(f"All {len(rest):,} good files", table(head[1:], rest)),
    )
    return write_page(path, body)


def _attributes(result: Any) -> list[list[object]]:
    return [
        [name, value, f"{count:,}"] for name, counts in result.attributes.items() for value, count in counts.items()
    ]


def _check_cells(row: Any) -> list[object]:
    size = f"{row.width} x {row.height}" if row.width else ""
    status = Cell(row.status, "" if row.status == "ok" else "bad")
    return [Cell(image=row.thumbnail or ""), row.file, status, row.detail, size, row.mode, row.split]
