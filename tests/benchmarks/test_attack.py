"""The attacks of benchmarks/attack on runs and files, a part of each in this process; and that they see what they look for."""

import random
import re
import subprocess
import sys

import pytest

from benchmarks.attack import bad_files, flips, table
from ganzoo.errors import GanzooError


def wrong(tried):
    """What was wrong, of attempts that were made."""
    found = list(tried)
    assert sum(said is None for _, said in found) > 2
    return [f"{what}: {said}" for what, said in found if said]


@pytest.mark.parametrize("name", [name for name in bad_files.GROUPS if name != "commands"])
def test_bad_files(tmp_path, name, monkeypatch):
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))
    (tmp_path / "files").mkdir()
    assert wrong(bad_files.tried(bad_files.GROUPS[name], tmp_path / "files", few=True)) == []


@pytest.mark.parametrize(
    "attack", [flips.of_checkpoints, flips.of_models, flips.of_logs, flips.of_runs], ids=lambda f: f.__name__
)
def test_flipped_bits(tmp_path, attack):
    assert wrong(attack(tmp_path, 4)) == []


@pytest.mark.slow
def test_all_sections_in_processes_of_their_own():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.attack", "--few"], capture_output=True, text=True, timeout=900, check=False
    )
    assert done.stdout.rstrip().endswith(", 0 failed"), done.stdout + done.stderr


def test_what_is_wrong_is_seen():
    def raising(error):
        def read():
            raise error

        return read

    assert bad_files.fault(lambda: 5) == ""
    assert bad_files.fault(raising(GanzooError("x is not a picture."))) == ""
    assert bad_files.fault(raising(GanzooError(""))) == "says nothing"
    assert bad_files.fault(raising(GanzooError("line\n" * 40))).startswith("no sentence")
    assert bad_files.fault(raising(KeyError("x"))) == "KeyError: 'x'"
    assert bad_files.fault(raising(MemoryError())) == "took gigabytes of memory"
    assert flips.said(lambda: "other numbers") == "other numbers"
    assert flips.said(raising(IndexError("x"))) == "IndexError: x"
    assert flips.said(raising(GanzooError("a sentence"))) == ""
    assert bad_files._refused(["list"]).startswith("code 0")


def test_the_table_and_the_exit_code(monkeypatch, capsys):
    def section(folder, few):
        assert folder.is_dir()
        assert few
        yield table.Row("some", "an attack", 3, [], 1.0, "note")
        yield table.Row("some", "another", 4, faults, 2.0)

    monkeypatch.setattr(flips, "flips", section)
    section.__name__, faults = "flips", []
    assert table.main(["--few", "--only", "flips"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("s, 0 failed")
    faults = ["it got through"]
    assert table.main(["--few", "--only", "flips"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "it got through" in lines[-2]
    assert re.fullmatch(r"7 attempts in \d+ s, 1 failed", lines[-1])


def test_a_flip_is_one_bit(tmp_path):
    before = bytes(range(256))
    (tmp_path / "x").write_bytes(before)
    flips.flipped(tmp_path / "x", random.Random(0))
    changed = [a ^ b for a, b in zip(before, (tmp_path / "x").read_bytes(), strict=True)]
    assert sum(value.bit_count() for value in changed) == 1


def test_a_row_of_the_table():
    row = table.Row("flips", "checkpoints", 60, ["one", "two"], 3.2)
    assert table.line(row).splitlines()[1:] == ["    one", "    two"]
    assert " 60 " in table.line(row)
    assert " 2 " in table.line(row)
