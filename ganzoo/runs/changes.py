"""What changed in a run on its way, one JSON object a change in `changes.jsonl`: other settings at a resume, learning
rates halved after a number that was not finite, and why a run was given up.

A row has `step`, from where on it holds, `what` ("settings", "rollback" or "stopped") and `why`, a sentence; and `crc`, the
CRC-32 of the others, since the learning rates of a run go by these rows.
"""

import json
import zlib
from pathlib import Path

from ganzoo import files
from ganzoo.runs.log import read_rows

FILE = "changes.jsonl"
KEYS = ("what", "why")
HALVED = 0.5  # of all learning rates, at each rollback


def read(run: Path) -> list[dict]:
    """The rows of a run folder; none for a run without a change. A damaged row is left out (`damaged` counts them)."""
    return _read(run)[0]


def damaged(run: Path) -> int:
    """How many rows of a run folder cannot be read."""
    return _read(run)[1]


def note(run: Path, step: int, what: str, why: str) -> None:
    """Adds a row; a kill leaves the file with it or without it."""
    _write(run, [*read(run), {"step": step, "what": what, "why": why}])


def forget_rollbacks_after(run: Path, step: int) -> None:
    """For a run that goes on from `step`: it comes to the later rollbacks again."""
    rows = read(run)
    kept = [row for row in rows if row["what"] != "rollback" or row["step"] <= step]
    if kept != rows:
        _write(run, kept)


def rollbacks(run: Path) -> int:
    """How often the run was rolled back under its present settings: new ones begin without."""
    count = 0
    for row in read(run):
        count = {"rollback": count + 1, "settings": 0}.get(row["what"], count)
    return count


def rate_factor(run: Path) -> float:
    """What all learning rates of the settings are multiplied by now."""
    return HALVED ** rollbacks(run)


def _read(run: Path) -> tuple[list[dict], int]:
    """(whole rows without their `crc`, count of the damaged ones). Rows of an earlier ganzoo have none."""
    found, damaged = read_rows(run / FILE, *KEYS)
    plain = [{key: value for key, value in row.items() if key != "crc"} for row in found]
    whole = [row for row, sealed in zip(plain, found, strict=True) if sealed.get("crc", _crc(row)) == _crc(row)]
    return whole, damaged + len(found) - len(whole)


def _write(run: Path, rows: list[dict]) -> None:
    sealed = [row | {"crc": _crc(row)} for row in rows]
    files.write_bytes(run / FILE, "".join(json.dumps(row) + "\n" for row in sealed).encode())


def _crc(row: dict) -> int:
    return zlib.crc32(json.dumps(row, sort_keys=True).encode())
