"""The page of a training run: curves, findings, samples over time, data, settings, weights."""

import contextlib
import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from ganzoo.errors import GanzooError
from ganzoo.files import real_path
from ganzoo.report.files import read_toml, write_page
from ganzoo.report.pages import (
    Line,
    details,
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
from ganzoo.runs import changes, health
from ganzoo.runs.log import Log, as_float, read_json, read_log

HEALTHY = (0.35, 0.65)  # share of fakes taken for real that we call balanced: one half, give or take
NOT_CHARTED = {"step", "seconds", "images_per_s", "save_seconds", "fooled", "epoch", "images"}
LOGITS = ("real_logit", "fake_logit")
RATES = {"g_rate": "of G", "d_rate": "of D", "e_rate": "of E"}
# What a finding is called on the charts, and which charts it marks.
MARKS = {
    "d_wins": ("D wins", "balance"),
    "g_wins": ("D is fooled", "balance"),
    "logits": ("out of bounds", "logits"),
    "growing": ("out of bounds", "losses"),
    "not_finite": ("not finite", "losses"),
    "alike": ("samples are alike", "spread"),
    "narrow": ("fewer kinds", "spread"),
}
# What the grids of a run are made from, as `data.json` says.
GRIDS = {
    "noise": "The same noise at every step.",
    "held-out": "The same held-out inputs at every step, which the run is not trained on.",
    "training": "The same TRAINING inputs at every step: the data have no test split and none was held back, so these pictures "
    "say nothing about new ones.",
}
TIMELINE = 12  # sample grids on a page; more only make it slow to open


def verdict(fooled: float) -> tuple[str, str]:
    """What a share of fooled D decisions means: (sentence, CSS class)."""
    if not math.isfinite(fooled):
        return "The log does not say how often D was fooled.", "dim"
    share = f"In the last tenth of the run D took {fooled:.0%} of the fakes for real"
    if health.D_WINS_NO_MORE < fooled < HEALTHY[0]:
        return f"{share}, fewer than the balanced band: D is ahead, as in most runs that go well.", "dim"
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
    """Writes `run_dir/report.html` from the run's own files: config.toml, log.jsonl, health.jsonl, metrics.jsonl,
    data.json, samples/, model/.

    Files that are missing or damaged leave their part out, so a run that stopped early has a report too.
    Returns the path of the page.
    Raises:
      GanzooError: `run_dir` is not a folder, or holds neither a config nor a log.
    """
    run = Path(run_dir)
    if not (run / "log.jsonl").is_file() and not (run / "config.toml").is_file():
        raise GanzooError(f'"{run}" is not a run folder: it holds neither config.toml nor log.jsonl.')
    log, config, data = read_log(run / "log.jsonl"), read_toml(run / "config.toml"), read_json(run / "data.json")
    watched, measured = read_log(run / "health.jsonl"), read_log(run / "metrics.jsonl")
    found = health.findings(log.rows, watched.rows)
    manifest = read_json(run / "model" / "manifest.json")
    keys = [k for k in log.numeric() if k not in NOT_CHARTED]
    losses = [k for k in keys if k.endswith("_loss")]
    last = log.rows[-1] if log.rows else {}
    fooled = log.series("fooled")
    sentence, kind = verdict(late_mean(fooled[1]))
    # Not where a finding says it, nor of a critic, which is not fooled.
    tells = not any(f.kind in ("d_wins", "g_wins") and f.until is None for f in found)
    tells = tells and (len(fooled[1]) > 0 or not log.rows)
    speed = log.series("images_per_s")

    charts = [
        *_loss_charts([Line(k, *log.series(k), color=i) for i, k in enumerate(losses)], _marks(found, "losses")),
        *_balance_chart(fooled, found),
        *_logit_chart(log, found),
        *_rate_chart(log),
        *_spread_chart(watched, found),
        *_metric_chart(measured),
        line_chart([Line("images/s", *speed, color=5)], title="Speed", low=0),
        *(line_chart([Line(k, *log.series(k), color=2)], title=k) for k in keys if k not in (*losses, *LOGITS, *RATES)),
    ]
    numbers = [
        (k, v[0], float(np.nanmin(v)), float(np.nanmax(v)), late_mean(v))
        for k in [*keys, "fooled", "images_per_s"]
        if np.isfinite(v := log.series(k)[1]).any()
    ]
    grids, count = _timeline(run / "samples")
    wanted = (config.get("train") or {}).get("steps")
    settings = config.get("train") or {}
    batch = None if settings.get("growth") else settings.get("batch_size")  # growing, it differs from size to size
    body = page(
        f"Training run {real_path(run).name}",
        facts(
            {
                "model": config.get("extends")
                or "/".join(str(config[k]) for k in ("name", "preset") if config.get(k))
                or None,
                "steps" if not wanted else f"steps of {number(wanted)}": number(last["step"]) if last else "none",
                "images seen": number(last["step"] * batch) if last and isinstance(batch, int) else None,
                "time": _duration(as_float(last.get("seconds"))) if last else None,
                "images/s at the end": number(late_mean(speed[1])) if len(speed[1]) else None,
                "time in checkpoints": _save_share(last),
            }
        ),
        paragraph(sentence, kind) if tells else "",
        *(paragraph(f"From step {row['step']:,} on: {row['why']}", "bad") for row in changes.read(run)),
        *_ending(manifest.get("stopped"), measured),
        *(paragraph(finding.text, "dim" if finding.until else "bad") for finding in found),
        paragraph(
            "How to read this page: the losses of a GAN need not fall, since both players move; look for curves that stay "
            "level, and judge the result by the pictures.",
            "dim",
        ),
        *_damaged({"the log": log.damaged, changes.FILE: changes.damaged(run)}),
        section("Curves of the training", f'<div class="charts">{"".join(charts)}</div>' if log.rows else ""),
        details(
            "Numbers of these curves: of the training batches, not of held-out data, which ganzoo evaluate measures",
            table(["curve", "first", "smallest", "largest", "mean of the last tenth"], numbers),
        ),
        *_held_out(run),
        section(
            "Samples over time",
            paragraph(GRIDS.get(str(data.get("grids")), "The same noise or the same inputs at every step."), "dim")
            if grids
            else "",
            paragraph(f"{len(grids)} of {count} grids are shown.", "dim") if count > len(grids) else "",
            gallery(grids, cell="20rem"),
        ),
        section("Data", table(["", ""], [(k, _plain(v)) for k, v in flatten(data)])),
        section("Settings", table(["setting", "value"], [(k, _plain(v)) for k, v in flatten(config)])),
        section("Weights", table(["", ""], _weights_rows(run / "model"))),
    )
    return write_page(run / "report.html", body)


def _held_out(run: Path) -> list[str]:
    """Pairs next to what the model made of them, and how far off it is: than the target itself, than a copy of the input."""
    facts, picture = read_json(run / "held_out.json"), run / "held_out.png"
    errors = [as_float(facts.get(key)) for key in ("l1", "l1_copy")]
    if not facts or not all(map(math.isfinite, errors)):
        return []
    held = facts.get("pairs") == "held-out"
    which = "held-out pairs, which the run was not trained on" if held else "TRAINING pairs: none was held back"
    better = "closer to the target than" if errors[0] < errors[1] else "no closer to the target than"
    lines = [
        paragraph(
            f"Mean absolute error (0 to 1) on {facts.get('measured')} of {facts.get('count')} {which}: "
            f"{errors[0]:.4f}. Copying the input gives {errors[1]:.4f}: the model is {better} its input.",
            "good" if held and errors[0] < errors[1] else "bad",
        )
    ]
    with contextlib.suppress(OSError, ValueError):
        lines.append(gallery([(image_uri(picture), "Inputs, what the model makes of them, targets")], cell="40rem"))
    return [section("Held-out pairs" if held else "Training pairs", *lines)]


def _balance_chart(fooled: tuple[np.ndarray, np.ndarray], found: list[health.Finding]) -> list[str]:
    """Of a log that says how often D was fooled; a critic is not."""
    if not len(fooled[1]):
        return []
    lines, marks = [Line("fakes that D takes for real", *fooled, color=3)], _marks(found, "balance")
    options: Any = {"low": 0, "high": 1, "band": HEALTHY, "band_label": "balanced", "percent": True}
    return [line_chart(lines, title="How often D is fooled", marks=marks, **options)]


def _marks(found: list[health.Finding], chart: str) -> list[tuple[float, str, str]]:
    return [(f.since, MARKS[f.kind][0], "bad") for f in found if MARKS[f.kind][1] == chart]


def _damaged(counts: dict[str, int]) -> list[str]:
    return [paragraph(f"{n} damaged line(s) of {name} were left out.", "bad") for name, n in counts.items() if n]


def _save_share(last: dict[str, Any]) -> str | None:
    """Seconds in checkpoints over all seconds, of the log's last row."""
    share = as_float(last.get("save_seconds")) / (as_float(last.get("seconds")) or math.nan)
    return f"{share:.1%}" if math.isfinite(share) else None


def _ending(stopped: object, measured: Log) -> list[str]:
    """Why the run ended before its last step, and where its best state lies."""
    lines = [f"The run ended early: {stopped}."] if isinstance(stopped, str) and stopped != "done" else []
    best = _best(measured)
    if best:
        lines.append(
            f"The best {best['metric']} of this run is {number(best['value'])}, at step {best['step']:,}: that model is in "
            "model-best/, its whole state in checkpoints/best/."
        )
    return [paragraph(line.replace("..", ".")) for line in lines]


def _best(measured: Log) -> dict[str, Any] | None:
    rows = [r for r in measured.rows if math.isfinite(as_float(r.get("value"))) and "metric" in r]
    return min(rows, key=lambda row: row["value"]) if rows else None


def _logit_chart(log: Log, found: list[health.Finding]) -> list[str]:
    names = {"real_logit": "of real pictures", "fake_logit": "of fakes"}
    lines = [Line(names[k], *log.series(k), color=i) for i, k in enumerate(LOGITS) if k in log.numeric()]
    return [line_chart(lines, title="D's logits", marks=_marks(found, "logits"))] if lines else []


def _rate_chart(log: Log) -> list[str]:
    lines = [Line(text, *log.series(k), color=i) for i, (k, text) in enumerate(RATES.items()) if k in log.numeric()]
    return [line_chart(lines, title="Learning rates", low=0)] if lines else []


def _spread_chart(watched: Log, found: list[health.Finding]) -> list[str]:
    names = {
        "diversity": "distance of the samples, as a share of the real pictures'",
        "coverage": "coverage of a small reference",
        "real_coverage": "coverage by as many real pictures",
    }
    lines = [Line(text, *watched.series(k), color=i) for i, (k, text) in enumerate(names.items()) if watched.rows]
    title = "Are the samples alike?"
    return [line_chart(lines, title=title, low=0, percent=True, marks=_marks(found, "spread"))] if lines else []


def _metric_chart(measured: Log) -> list[str]:
    best = _best(measured)
    if best is None:
        return []
    line = Line("lower is better", *measured.series("value"), color=4)
    return [line_chart([line], title=str(best["metric"]), marks=[(best["step"], f"best {best['value']:.4g}", "good")])]


def _loss_charts(losses: list[Line], marks: list[tuple[float, str, str]]) -> list[str]:
    """All losses in one chart, or in one each where their sizes are too unlike to share an axis (pix2pix: 100 x L1)."""
    sizes = [abs(late_mean(np.asarray(line.y))) for line in losses]
    sizes = [size for size in sizes if math.isfinite(size)]
    if sizes and max(sizes) > 10 * min(sizes):
        return [line_chart([line], title=line.label, marks=marks) for line in losses]
    return [line_chart(losses, title="Losses", marks=marks)]


def _plain(value: object) -> str:
    """A setting as its config file would show it: long lists are cut."""
    if isinstance(value, list) and len(value) > 20:
        return f"{json.dumps(value[:20], ensure_ascii=False, default=str)[:-1]}, … {len(value)} in all]"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
