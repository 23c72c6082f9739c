"""benchmarks.metrics: real children at small sizes, and that the sides agree where their libraries are installed."""

import json

import pytest

from benchmarks import measure_metrics, metrics

SMALL = ["--dimensions", "24", "--features", "16", "--rows", "60", "--stream", "300", "--pictures", "8"]


def test_small_run_prints_every_part_and_writes_it(tmp_path, capsys):
    parts = ["root", "kid", "neighbours", "memory"]
    assert metrics.main([*SMALL, "--only", *parts, "--json", str(tmp_path / "figures.json")]) == 0
    text = capsys.readouterr().out
    for words in ("FID 24 x 24  ganzoo", "kid 60 x 16  ganzoo, all rows", "neighbours 60 x 16", "streamed Moments"):
        assert words in text
    rows = json.loads((tmp_path / "figures.json").read_text())["rows"]
    assert [row["kind"] for row in rows] == ["root", "kid", "neighbours", "moments", "matrix"]
    traces = [row["result"]["trace"] for row in rows[-2:]]
    assert traces[0] == pytest.approx(traces[1], rel=1e-6)


def test_a_child_that_fails_is_said(capsys):
    assert metrics.main([*SMALL, "--only", "loader", "--extractor", "no-such-net"]) == 1
    assert (
        'loader failed: ganzoo.errors.GanzooError: Unknown feature extractor "no-such-net"' in capsys.readouterr().out
    )


def test_a_missing_library_is_named():
    found = measure_metrics.compared({"other": ("no_such_library", len)})["other"]
    assert found == {"missing": "no_such_library"}
    assert "not installed (no_such_library)" in metrics.cell("kid", found, {})


def test_scipys_root_agrees():
    pytest.importorskip("scipy")
    found = measure_metrics.root(20, 100)
    assert found["scipy.linalg.sqrtm"]["value"] == pytest.approx(found["ganzoo"]["value"], rel=1e-9)


def test_torch_fidelity_and_clean_fid_agree():
    pytest.importorskip("torch_fidelity")
    pytest.importorskip("cleanfid.fid")
    fid, kid, prc = (f(16, 80) for f in (measure_metrics.root, measure_metrics.kid, measure_metrics.neighbours))
    for side in ("torch-fidelity", "clean-fid"):
        assert fid[side]["value"] == pytest.approx(fid["ganzoo"]["value"], rel=1e-8)
    assert kid["torch-fidelity"]["value"] == pytest.approx(kid["ganzoo"]["value"], rel=1e-3, abs=1e-5)
    assert kid["clean-fid"]["value"] == pytest.approx(kid["ganzoo"]["value"][:1], rel=1e-3, abs=1e-5)  # 80 of 80 rows
    assert prc["torch-fidelity"]["value"] == pytest.approx(prc["ganzoo"]["value"], abs=1e-6)
