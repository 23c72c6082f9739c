"""The page of `ganzoo list --html`: each trained preset with its pictures and figures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ganzoo import presets
from ganzoo.report.files import write_page
from ganzoo.report.pages import facts, gallery, image_uri, page, paragraph, section, table


def write_zoo_page(shown: Sequence[dict[str, Any]], folder: Path, file: str | Path) -> Path:
    """Writes `file` from what `ganzoo.demo.show` found of each model; the pictures are files of `folder` and are embedded."""
    parts = [facts({"trained presets": len(shown)})]
    for found in shown:
        paper, _, preset = found["model"].partition("/")
        record = presets.read(paper).presets[preset]
        weights = record.weights
        rows = [
            (r.metric, r.value, "" if r.floor is None else r.floor, "" if r.ceiling is None else r.ceiling, r.note)
            for r in record.results
        ]
        parts.append(
            section(
                found["model"],
                paragraph(record.about),
                paragraph(f"Weights: {weights.bytes / 1e6:.1f} MB, {weights.licence}.", "dim") if weights else "",
                gallery([(image_uri(folder / found["file"]), found["what"])], cell="36rem", pixelated=True),
                table(["measured", "value", "floor: real", "ceiling: untrained", "note"], rows),
            )
        )
    return write_page(Path(file), page("The zoo: what its weights draw", *parts))
