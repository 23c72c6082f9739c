"""The page of a demo."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganzoo.report.files import write_page
from ganzoo.report.pages import Cell, esc, facts, gallery, image_uri, page, paragraph, section, table


def write_demo_page(result: Mapping[str, Any], folder: str | Path) -> Path:
    """Writes `folder/index.html` from a demo's result; its pictures are files of the folder and are embedded.

    Args:
      result: what `ganzoo.demo.run_demo` returns.
    """
    folder = Path(folder)
    samples = [
        (
            image_uri(folder / s["file"]),
            f"{s['model']}: {s['what']}. Weights {s['weights']}; load {s['load_seconds']} s, sample {s['sample_seconds']} s.",
        )
        for s in result["samples"]
    ]
    tuned, exports = result["finetune"], result["exports"]
    rows = [
        (
            e["model"],
            e["savedmodel"],
            e["megabytes"],
            e["export_seconds"],
            e["reload_seconds"],
            Cell(f"{e['largest_difference']}/255", "good" if e["largest_difference"] <= 1 else "bad"),
        )
        for e in exports
    ]
    body = page(
        "ganzoo demo",
        facts(
            {
                "seconds in all": result["seconds"],
                "models": len(samples),
                "seed": result["seed"],
                "ganzoo": result["ganzoo"],
            }
        ),
        section(
            "All of them at a glance",
            gallery(
                [(image_uri(folder / "samples" / "overview.png"), "Image models: input left, output right")],
                cell="60rem",
            ),
        ),
        section("Pictures of the shipped models", gallery(samples, cell="24rem", pixelated=True)),
        section(
            f"Fine-tuning {tuned['model']} on other pictures, emoji faces: {tuned['steps']} steps",
            paragraph(
                f"Mean absolute error on {tuned['pairs']} held-out pairs (0 to 1): {tuned['l1_before']} before and {tuned['l1_after']} after "
                f"{tuned['seconds']} s of training; copying the input gives {tuned['l1_of_copying']}."
            ),
            gallery(
                [(image_uri(folder / tuned["file"]), "Held-out faces: edges, before, after, target")],
                cell="40rem",
                pixelated=True,
            ),
            f'<p><a href="{esc(tuned["report"])}">The report of this run</a></p>',
        ),
        section(
            "Export: SavedModel in a fresh process against Keras",
            table(["model", "SavedModel", "MB", "export s", "reload and call s", "largest difference"], rows),
            gallery(
                [(image_uri(folder / e["file"]), f"{e['model']}: Keras above, SavedModel below") for e in exports],
                cell="24rem",
                pixelated=True,
            ),
        ),
    )
    return write_page(folder / "index.html", body)
