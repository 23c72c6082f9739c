"""Self-contained HTML pages: one per training run, per data check and per demo.

Everything here reads files or plain records and writes one file that opens offline (`ganzoo.pages` holds the parts).
"""

import hashlib
import json
import math
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ganzoo.errors import GanzooError
from ganzoo.pages import (
    Cell,
    Line,
    details,
    esc,
    facts,
    flatten,
    gallery,
    image_uri,
    line_chart,
    number,
    page,
    paragraph,
    section,
    table,
)

HEALTHY = (0.35, 0.65)  # share of fakes taken for real that we call balanced: one half, give or take
NOT_CHARTED = {"step", "seconds", "images_per_s", "fooled", "epoch", "images"}
TIMELINE = 12  # sample grids on a page; more only make it slow to open


def write_page(path: str | Path, text: str) -> Path:
    """Writes `text` to `path` whole or not at all (temporary file, then rename). Folders are made."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


# ---------------------------------------------------------------------------------------------------------------- runs
@dataclass(frozen=True)
class Log:
    """The run's log: `rows` by rising step, and how many lines could not be read (cut off by a kill)."""

    rows: list[dict[str, Any]]
    damaged: int

    def series(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        """Steps and values (float64) of one key; rows without it are left out, null and text count as NaN."""
        have = [r for r in self.rows if key in r]
        return np.array([r["step"] for r in have], float), np.array([_float(r[key]) for r in have], float)

    def numeric(self) -> list[str]:
        """Every key with at least one number, in the order of first appearance."""
        return list(dict.fromkeys(k for r in self.rows for k, v in r.items() if isinstance(v, int | float)))


def _float(value: object) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def read_log(path: str | Path) -> Log:
    """Reads a JSON-lines log. A step that stands twice (a resumed run repeats some) counts as last written."""
    rows: dict[float, dict[str, Any]] = {}
    damaged = 0
    path = Path(path)
    for line in path.read_text("utf-8", errors="replace").splitlines() if path.is_file() else []:
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if isinstance(row, dict) and isinstance(row.get("step"), int | float) and math.isfinite(row["step"]):
            rows[row["step"]] = row
        elif line.strip():
            damaged += 1
    return Log([rows[step] for step in sorted(rows)], damaged)


def _read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file of the run, or an empty one where it is missing or damaged."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}


def verdict(fooled: float) -> tuple[str, str]:
    """What a share of fooled D decisions means: (sentence, CSS class)."""
    if not math.isfinite(fooled):
        return "The log does not say how often D was fooled.", "dim"
    share = f"In the last tenth of the run D took {fooled:.0%} of the fakes for real"
    if fooled < HEALTHY[0]:
        return f"{share}, fewer than the balanced band: D is winning, and G learns from weak gradients.", "bad"
    if fooled > HEALTHY[1]:
        return f"{share}, more than the balanced band: D cannot tell real from fake and has little to teach.", "bad"
    return f"{share}: the two players are in balance.", "good"


def late_mean(values: np.ndarray) -> float:
    """Mean of the finite values in the last tenth (at least one value); NaN without any."""
    tail = values[-max(1, len(values) // 10) :]
    tail = tail[np.isfinite(tail)]
    return float(tail.mean()) if len(tail) else math.nan


def _duration(seconds: float) -> str:
    if not math.isfinite(seconds):
        return "unknown"
    minutes, s = divmod(int(seconds), 60)
    return (
        f"{minutes // 60} h {minutes % 60} min"
        if minutes >= 60
        else f"{minutes} min {s} s"
        if minutes
        else f"{seconds:.1f} s"
    )


def _timeline(folder: Path) -> tuple[list[tuple[str, str]], int]:
    """The sample grids as (data URI, caption), evenly chosen with first and last kept, and how many there are."""
    files = sorted(folder.glob("*.png")) if folder.is_dir() else []
    chosen = (
        [files[i] for i in np.unique(np.linspace(0, len(files) - 1, min(len(files), TIMELINE)).astype(int))]
        if files
        else []
    )
    shown = []
    for file in chosen:
        caption = f"step {int(file.stem):,}" if file.stem.isdecimal() else file.stem
        try:
            shown.append((image_uri(file), caption))
        except (OSError, ValueError):
            shown.append(("", f"{caption}: the file {file.name} cannot be read"))
    return shown, len(files)


def _weights_rows(folder: Path) -> list[tuple[str, object]]:
    """Name and SHA-256 of the weights that the run saved."""
    file = folder / "weights.safetensors"
    if not file.is_file():
        return []
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return [("file", f"model/{file.name}"), ("bytes", file.stat().st_size), ("sha256", digest)]


def write_run_report(run_dir: str | Path) -> Path:
    """Writes `run_dir/report.html` from the run's own files: config.toml, log.jsonl, data.json, samples/, model/.

    Files that are missing or damaged leave their part out, so a run that stopped early has a report too.
    Returns the path of the page.
    Raises:
      GanzooError: `run_dir` is no folder, or holds neither a config nor a log.
    """
    run = Path(run_dir)
    if not (run / "log.jsonl").is_file() and not (run / "config.toml").is_file():
        raise GanzooError(f'"{run}" is no run folder: it holds neither config.toml nor log.jsonl.')
    log, config, data = read_log(run / "log.jsonl"), _read_toml(run / "config.toml"), _read_json(run / "data.json")
    keys = [k for k in log.numeric() if k not in NOT_CHARTED]
    losses = [k for k in keys if k.endswith("_loss")]
    last = log.rows[-1] if log.rows else {}
    fooled = log.series("fooled")
    sentence, kind = verdict(late_mean(fooled[1]))
    speed = log.series("images_per_s")

    charts = [
        *_loss_charts([Line(k, *log.series(k), color=i) for i, k in enumerate(losses)]),
        line_chart(
            [Line("fakes that D takes for real", *fooled, color=3)],
            title="How often D is fooled",
            low=0,
            high=1,
            band=HEALTHY,
            band_label="balanced",
            percent=True,
        ),
        line_chart([Line("images/s", *speed, color=5)], title="Speed", low=0),
        *(line_chart([Line(k, *log.series(k), color=2)], title=k) for k in keys if k not in losses),
    ]
    numbers = [
        (k, v[0], float(np.nanmin(v)), float(np.nanmax(v)), late_mean(v))
        for k in [*keys, "fooled", "images_per_s"]
        if np.isfinite(v := log.series(k)[1]).any()
    ]
    grids, count = _timeline(run / "samples")
    wanted = (config.get("train") or {}).get("steps")
    batch = (config.get("train") or {}).get("batch_size")
    body = page(
        f"Training run {run.resolve().name}",
        facts(
            {
                "model": config.get("extends")
                or "/".join(str(config[k]) for k in ("name", "preset") if config.get(k))
                or None,
                "steps" if not wanted else f"steps of {number(wanted)}": number(last["step"]) if last else "none",
                "images seen": number(last["step"] * batch) if last and isinstance(batch, int) else None,
                "time": _duration(_float(last.get("seconds"))) if last else None,
                "images/s at the end": number(late_mean(speed[1])) if len(speed[1]) else None,
            }
        ),
        paragraph(sentence, kind),
        paragraph(
            "How to read this page: the losses of a GAN need not fall, since both players move; look for curves that stay "
            "level and for D fooled about half the time (the marked band), and judge the result by the pictures.",
            "dim",
        ),
        paragraph(f"{log.damaged} damaged line(s) of the log were left out.", "bad") if log.damaged else "",
        section("Curves", f'<div class="charts">{"".join(charts)}</div>' if log.rows else ""),
        details(
            "Numbers of these curves",
            table(["curve", "first", "smallest", "largest", "mean of the last tenth"], numbers),
        ),
        section(
            "Samples over time",
            paragraph("The same noise or the same inputs at every step.", "dim") if grids else "",
            paragraph(f"{len(grids)} of {count} grids are shown.", "dim") if count > len(grids) else "",
            gallery(grids, cell="20rem"),
        ),
        section("Data", table(["", ""], [(k, _plain(v)) for k, v in flatten(data)])),
        section("Settings", table(["setting", "value"], [(k, _plain(v)) for k, v in flatten(config)])),
        section("Weights", table(["", ""], _weights_rows(run / "model"))),
    )
    return write_page(run / "report.html", body)


def _loss_charts(losses: list[Line]) -> list[str]:
    """All losses in one chart, or in one each where their sizes are too unlike to share an axis (pix2pix: 100 x L1)."""
    sizes = [abs(late_mean(np.asarray(line.y))) for line in losses]
    sizes = [size for size in sizes if math.isfinite(size)]
    if sizes and max(sizes) > 10 * min(sizes):
        return [line_chart([line], title=line.label) for line in losses]
    return [line_chart(losses, title="Losses")]


def _plain(value: object) -> str:
    """A setting as its config file would show it: long lists are cut."""
    if isinstance(value, list) and len(value) > 20:
        return f"{json.dumps(value[:20], ensure_ascii=False, default=str)[:-1]}, … {len(value)} in all]"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


# ----------------------------------------------------------------------------------------------------------- data check
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
                "other files": f"{result.other_files:,}" if result.other_files else None,
            }
        ),
        paragraph("Nothing is wrong with these files.", "good") if not problems else "",
        *(paragraph(text, "bad") for text in result.advice),
        section("Counts", table(["status", "files"], result.counts.items())),
        section("Files with a problem", table(head, map(_check_cells, problems))),
        section("Some of the good files", gallery(good, cell="5rem", pixelated=True)),
        details(f"All {len(rest):,} good files", table(head[1:], rest)),
    )
    return write_page(path, body)


def _check_cells(row: Any) -> list[object]:
    size = f"{row.width} x {row.height}" if row.width else ""
    status = Cell(row.status, "" if row.status == "ok" else "bad")
    return [Cell(image=row.thumbnail or ""), row.file, status, row.detail, size, row.mode, row.split]


# ---------------------------------------------------------------------------------------------------------------- demo
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
        section("Pictures of the shipped models", gallery(samples, cell="24rem", pixelated=True)),
        section(
            f"Fine-tuning {tuned['model']}: {tuned['steps']} steps",
            paragraph(
                f"Mean absolute error on {tuned['pairs']} held-out pairs (0 to 1): {tuned['l1_before']} before and {tuned['l1_after']} after "
                f"{tuned['seconds']} s of training; copying the input gives {tuned['l1_of_copying']}."
            ),
            gallery(
                [(image_uri(folder / tuned["file"]), "Input, before, after, target")], cell="40rem", pixelated=True
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
