"""The HTML pages: everything inside one file, every text escaped, damaged runs survive, charts show the numbers."""

import base64
import io
import json
import os
import re

import numpy as np
import pytest
from PIL import Image
from support.offline import Reader, check_offline

from ganzoo import report
from ganzoo.errors import GanzooError
from ganzoo.media import images
from ganzoo.report import files, pages
from ganzoo.report import run as run_page
from ganzoo.runs.log import read_log

HOSTILE = '<script>alert("x")</script>\'"&</td>'


def write_run(folder, rows, *, source="fashion", grids=3):
    (folder / "samples").mkdir(parents=True)
    (folder / "model").mkdir()
    (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = {
        "name": "dcgan",
        "preset": "fashion-32",
        "train": {"steps": 200, "batch_size": 8},
        "data": {"source": source},
    }
    from ganzoo.presets import to_toml

    (folder / "config.toml").write_text(to_toml(settings))
    (folder / "data.json").write_text(json.dumps({"source": source, "count": 10_000, "skipped": 2}))
    (folder / "model" / "weights.safetensors").write_bytes(b"abc")
    for step in range(grids):
        images.write_png(folder / "samples" / f"{step * 100:06d}.png", np.full((8, 8, 3), step, np.uint8))
    return folder


def log_rows(n=20, **more):
    return [
        {
            "step": 10 * i,
            "seconds": float(i),
            "images_per_s": 100.0,
            "d_loss": 1.0,
            "g_loss": 1.0 + i / n,
            "fooled": 0.4,
            **more,
        }
        for i in range(1, n + 1)
    ]


def test_run_report_shows_the_run(tmp_path):
    run = write_run(tmp_path / "run", log_rows(l1=0.25))
    path = report.write_run_report(run)
    assert path == run / "report.html"
    reader = check_offline(path.read_text("utf-8"))
    charts = [attrs["aria-label"] for tag, attrs in reader.tags if tag == "svg"]
    assert charts == ["Losses", "How often D is fooled", "Speed", "l1"]
    assert "dcgan/fashion-32" in reader.text
    assert "1,600" in reader.text  # images seen: 200 steps of 8
    assert "40% of the fakes" in reader.text
    assert "10,000" in reader.text or "10000" in reader.text
    # sha256 of b"abc", FIPS 180 test vector
    assert "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" in reader.text
    pictures = [attrs for tag, attrs in reader.tags if tag == "img"]
    assert [p["alt"] for p in pictures] == ["step 0", "step 100", "step 200"]
    data = base64.b64decode(pictures[2]["src"].split(",")[1])
    assert np.array(Image.open(io.BytesIO(data)))[0, 0, 0] == 2


def test_run_report_shows_findings_metrics_and_why_it_ended(tmp_path):
    """D wins throughout, KID is best in the middle, a rule ended the run."""
    log = [
        row | {"step": 100 * row["step"] // 10, "fooled": 0.01, "real_logit": 5.0, "fake_logit": -6.0}
        for row in log_rows(20)
    ]
    run = write_run(tmp_path / "run", log)
    health_rows = [{"step": s, "diversity": 0.8, "coverage": 0.5, "real_coverage": 0.7} for s in (500, 1000, 1500)]
    (run / "health.jsonl").write_text("".join(json.dumps(row) + "\n" for row in health_rows))
    kid = [
        {"step": s, "metric": "kid1k_x", "value": v, "std": 0.01, "best": True}
        for s, v in ((500, 0.4), (1000, 0.2), (1500, 0.3))
    ]
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kid))
    (run / "model/manifest.json").write_text(json.dumps({"stopped": "plateau: enough"}))
    text = report.write_run_report(run).read_text("utf-8")
    reader = check_offline(text)
    charts = [attrs["aria-label"] for tag, attrs in reader.tags if tag == "svg"]
    assert charts == ["Losses", "How often D is fooled", "D's logits", "Are the samples alike?", "kid1k_x", "Speed"]
    assert "D wins since step 600: it took 1.0% of the fakes for real" in reader.text
    assert "In the last tenth" not in reader.text, "one sentence about the balance is enough"
    assert "The run ended early: plateau: enough." in reader.text
    assert "The best kid1k_x of this run is 0.2, at step 1,000" in reader.text
    marks = [attrs for tag, attrs in reader.tags if attrs.get("class") == "mark"]
    assert len(marks) == 2
    # x runs from 56 (first point) to 628 (last): step 600 of 100..2000, and step 1,000 in the middle of 500..1500
    assert float(marks[0]["x1"]) == pytest.approx(56 + 500 / 1900 * 572, abs=0.1)
    assert float(marks[1]["x1"]) == pytest.approx(342, abs=0.1)
    assert [attrs["stroke"] for attrs in marks] == ["var(--bad)", "var(--good)"]


def test_hostile_texts_are_escaped(tmp_path):
    run = write_run(tmp_path / "a<img src=x onerror=alert(1)>b", log_rows(), source=HOSTILE)
    rows = [json.dumps({**row, f"{HOSTILE}_loss": 1.0}) for row in log_rows()]
    (run / "log.jsonl").write_text("\n".join(rows))
    images.write_png(run / "samples" / '"><script>.png', np.zeros((4, 4, 3), np.uint8))
    text = report.write_run_report(run).read_text("utf-8")
    reader = check_offline(text)
    assert "<script" not in text
    assert "onerror=" not in [name for _, attrs in reader.tags for name in attrs]
    assert HOSTILE in reader.text


def test_losses_of_unlike_sizes_have_charts_of_their_own(tmp_path):
    run = write_run(tmp_path / "run", [row | {"g_loss": 90.0} for row in log_rows()])
    reader = check_offline(report.write_run_report(run).read_text("utf-8"))
    charts = [attrs["aria-label"] for tag, attrs in reader.tags if tag == "svg"]
    assert charts == ["d_loss", "g_loss", "How often D is fooled", "Speed"]


def test_damaged_runs_have_a_report(tmp_path):
    run = write_run(tmp_path / "run", log_rows(4))
    with (run / "log.jsonl").open("a") as file:
        file.write('{"step": 50, "d_loss": NaN, "fooled": null}\n[1]\n{"step": 60, "d_lo')
    (run / "config.toml").write_text("steps = = 3")
    (run / "data.json").write_text("{")
    (run / "samples" / "000300.png").write_bytes(b"no picture")
    (run / "changes.jsonl").write_text('{"step": 20, "what": "settings", "why": "Resumed."}\n{"step": 30, "wh\n')
    reader = check_offline(report.write_run_report(run).read_text("utf-8"))
    assert "2 damaged line(s) of the log" in reader.text
    assert "1 damaged line(s) of changes.jsonl" in reader.text
    assert "From step 20 on: Resumed." in reader.text
    assert "000300.png cannot be read" in reader.text
    assert "nan" not in [attrs.get("d", "") for tag, attrs in reader.tags if tag == "path"]


def test_run_that_logged_nothing(tmp_path):
    (tmp_path / "config.toml").write_text('name = "gan"\n')
    reader = check_offline(report.write_run_report(tmp_path).read_text("utf-8"))
    assert "does not say how often D was fooled" in reader.text
    assert not [tag for tag, _ in reader.tags if tag == "svg"]


def test_folder_that_is_no_run(tmp_path):
    with pytest.raises(GanzooError, match="not a run folder"):
        report.write_run_report(tmp_path)


def test_resumed_log_counts_a_step_once(tmp_path):
    (tmp_path / "log.jsonl").write_text(
        '{"step": 10, "d_loss": 1}\n{"step": 20, "d_loss": 2}\n{"step": 10, "d_loss": 3}\n'
    )
    log = read_log(tmp_path / "log.jsonl")
    steps, values = log.series("d_loss")
    assert steps.tolist() == [10, 20]
    assert values.tolist() == [3, 2]


@pytest.mark.parametrize(
    ("share", "word", "kind"),
    [(0.04, "winning", "bad"), (0.13, "ahead", "dim"), (0.5, "balance", "good"), (0.9, "cannot tell", "bad")],
)
def test_verdict(share, word, kind):
    sentence, css = run_page.verdict(share)
    assert word in sentence
    assert css == kind


def test_late_mean_is_of_the_last_tenth():
    assert run_page.late_mean(np.arange(100.0)) == pytest.approx(94.5)
    assert run_page.late_mean(np.array([1.0, np.nan, 3.0])) == 3.0
    assert np.isnan(run_page.late_mean(np.array([np.nan])))


def test_long_timelines_are_thinned_and_keep_both_ends(tmp_path):
    run = write_run(tmp_path / "run", log_rows(), grids=50)
    reader = check_offline(report.write_run_report(run).read_text("utf-8"))
    shown = [attrs["alt"] for tag, attrs in reader.tags if tag == "img"]
    assert len(shown) == run_page.TIMELINE
    assert (shown[0], shown[-1]) == ("step 0", "step 4,900")
    assert "12 of 50 grids" in reader.text


def points(chart, kind="smooth"):
    """The (x, y) points of the chart's path of a kind."""
    path = next(attrs["d"] for tag, attrs in Reader(chart).tags if tag == "path" and attrs["class"] == kind)
    return np.array([[float(v) for v in pair.split()] for pair in re.split("[ML]", path)[1:]])


def test_chart_places_values_on_its_axes():
    chart = pages.line_chart(
        [pages.Line("a", [0, 50, 100], [0.0, 0.5, 1.0])], title="t", low=0, high=1, width=640, height=260
    )
    raw = points(chart, "raw")
    np.testing.assert_allclose(raw, [[56, 226], [342, 118], [628, 10]], atol=0.06)
    assert ">0.5<" not in chart  # ticks are round: 0, 0.2, ... 1
    assert all(f">{v}<" in chart for v in ("0", "0.2", "1"))


def test_chart_band_marks_its_range():
    chart = pages.line_chart(
        [pages.Line("a", [0, 1], [0.5, 0.5])], title="t", low=0, high=1, band=(0.25, 0.75), band_label="mid"
    )
    band = next(attrs for tag, attrs in Reader(chart).tags if tag == "rect")
    assert float(band["y"]) == pytest.approx(10 + 0.25 * 216)
    assert float(band["height"]) == pytest.approx(0.5 * 216)


@pytest.mark.parametrize(
    "values",
    [[np.nan] * 3, [], [np.inf, -np.inf, np.nan], [1e308, -1e308, 1.0], [5.0], [2.0, 2.0, 2.0], [0.0, np.nan, 1.0]],
)
def test_chart_of_odd_values_is_finite(values):
    chart = pages.line_chart([pages.Line("a", list(range(len(values))), values)], title="odd")
    drawn = [attrs.get("d", "") for tag, attrs in Reader(chart).tags if tag == "path"]
    assert not re.search("nan|inf", "".join(drawn))
    if not np.isfinite(np.array(values, float)).any():
        assert "nothing was logged" in chart


def test_smooth_is_a_moving_mean_with_gaps():
    y = np.array([0.0, 1.0, np.nan, 3.0, 4.0])
    np.testing.assert_allclose(pages.smooth(y, 0.2), [0.5, 0.5, np.nan, 3.5, 3.5])


def test_thin_keeps_the_mean_of_each_run():
    x, y = pages.thin(np.arange(1000.0), np.arange(1000.0) * 2, most=100)
    assert len(x) == 100
    np.testing.assert_allclose(y, 2 * x)
    assert x[0] == 4.5


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (3, 97, [20, 40, 60, 80]), (-1e-3, 1e-3, [-1e-3, -5e-4, 0, 5e-4, 1e-3])],
)
def test_ticks(low, high, expected):
    np.testing.assert_allclose(pages.ticks(low, high), expected)


def test_large_pictures_are_embedded_smaller():
    noise = np.random.default_rng(0).integers(0, 255, (400, 400, 3), dtype=np.uint8)
    png = images.png_bytes(noise)
    uri = pages.image_uri(png)
    assert uri.startswith("data:image/webp")
    assert len(uri) < len(png)
    small = pages.image_uri(np.zeros((4, 4, 1), np.uint8))
    assert small.startswith("data:image/png")


def test_page_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    target = tmp_path / "page.html"
    target.write_text("old")

    def full(source, target):
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        files.write_page(target, "new")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_long_logs_make_small_pages(tmp_path):
    run = write_run(tmp_path / "run", log_rows(20_000), grids=0)
    size = report.write_run_report(run).stat().st_size
    assert size < 100_000


def test_marks_beside_the_points_are_left_out_and_their_labels_escaped():
    marks = [(5, HOSTILE, "bad"), (50, "late", "good"), (500, "beyond", "bad")]
    chart = pages.line_chart([pages.Line("a", [10, 100], [0.0, 1.0])], title="t", marks=marks)
    reader = Reader(chart)
    assert len([attrs for tag, attrs in reader.tags if attrs.get("class") == "mark"]) == 1
    assert "late" in reader.text
    assert "beyond" not in reader.text
    inside = pages.line_chart([pages.Line("a", [0, 100], [0.0, 1.0])], title="t", marks=marks[:1])
    assert HOSTILE in Reader(inside).text
