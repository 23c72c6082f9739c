"""benchmarks.photos: real children at small sizes, from a folder, a zip file and TFRecords."""

import json

from benchmarks import photos

SMALL = ["--size", "16", "--seconds", "0", "--step", "100"]


def test_small_run_prints_every_row_and_writes_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))  # put back afterwards: the run sets it
    assert photos.main(["--photos", "64", "--many", "70", *SMALL, "--json", str(tmp_path / "figures.json")]) == 0
    text = capsys.readouterr().out
    for words in ("ganzoo data check ", "ganzoo, folder ", "ganzoo, zip file ", "ganzoo, TFRecords ", "of a step"):
        assert words in text
    rows = json.loads((tmp_path / "figures.json").read_text())["rows"]
    assert [row["photos"] for row in rows] == [64, 64, 64, 70, 70, 70, 70]
    for row in rows:
        if row["name"] != "ganzoo data check" and "missing" not in row["result"]:
            assert 0 < row["result"]["ms"] / 1000 < row["result"]["first_seconds"] + 5


def test_made_up_photos_are_of_ten_classes_and_linked(tmp_path, monkeypatch):
    monkeypatch.setattr(photos, "DISTINCT", 20)
    folder = photos.made_up(tmp_path / "photos", 45, size=16)
    files = sorted(folder.rglob("*.jpg"))
    assert len(files) == 45
    assert len({path.parent for path in files}) == 10
    assert len({path.read_bytes() for path in files}) == 20


def test_what_fails_is_said(tmp_path):
    found = photos.measured("ganzoo", {"source": str(tmp_path / "none"), "size": 16, "seconds": 0})
    assert "none" in found["error"]
    assert "none" in photos.line("ganzoo, folder", 64, found, None)
