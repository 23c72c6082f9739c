"""The JSON-lines files of a run folder, read by everybody in one way: a damaged row costs that row and is counted."""

import json
import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ganzoo import files
from ganzoo.errors import GanzooError

log = logging.getLogger(__name__)
DIGITS = 18  # of a whole number; a longer one is read as a float, which no arithmetic overflows
NAMES = {"what": str, "why": str}  # keys whose values are texts; all others that are asked for are numbers


@dataclass(frozen=True)
class Log:
    """A log of a run: `rows` by rising step, and how many lines could not be read (cut off by a kill)."""

    rows: list[dict[str, Any]]
    damaged: int

    def series(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        """Steps and values (float64) of one key; rows without it are left out, null and text count as NaN."""
        have = [r for r in self.rows if key in r]
        return np.array([r["step"] for r in have], float), np.array([as_float(r[key]) for r in have], float)

    def numeric(self) -> list[str]:
        """Every key with at least one number, in the order of first appearance."""
        return list(dict.fromkeys(k for r in self.rows for k, v in r.items() if isinstance(v, int | float)))


def as_float(value: object) -> float:
    """A number as float, anything else as NaN."""
    return float(value) if isinstance(value, int | float) else math.nan


def read_rows(path: Path, *needed: str) -> tuple[list[dict[str, Any]], int]:
    """(rows of a JSON-lines file in their order, count of damaged ones); none of a missing file.

    A row is a JSON object with a finite `step` and all of `needed`: "what" and "why" are texts, all others finite numbers.
    """
    rows, damaged = [], 0
    # Not splitlines, which would end a line within a text, at U+2028.
    lines = files.read_bytes(path).decode("utf-8", "replace").split("\n") if path.is_file() else ()
    for line in filter(str.strip, lines):
        try:
            row = json.loads(line, parse_int=lambda text: int(text) if len(text) <= DIGITS else float(text))
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, dict) and all(_is(key, row.get(key)) for key in ("step", *needed)):
            rows.append(row)
        else:
            damaged += 1
    return rows, damaged


def _is(key: str, value: object) -> bool:
    if key in NAMES:
        return isinstance(value, NAMES[key])
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def read_log(path: str | Path, *needed: str) -> Log:
    """A log by its steps. A step that stands twice (a resumed run repeats some) counts as last written."""
    rows, damaged = read_rows(Path(path), *needed)
    by_step = {row["step"]: row for row in rows}
    return Log([by_step[step] for step in sorted(by_step)], damaged)


def kept_rows(path: Path, start_step: int, *needed: str) -> list[dict]:
    """The rows up to the step that a run goes on from; the file loses the others, and of damaged ones a warning tells."""
    found = read_log(path, *needed)
    if found.damaged:
        log.warning("%s: %d damaged row(s) are left out.", path, found.damaged)
    rows = [row for row in found.rows if row["step"] <= start_step]
    if path.exists():
        files.write_bytes(path, "".join(json.dumps(row) + "\n" for row in rows).encode())
    return rows


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file of the run; an empty one where it is missing, or damaged, of which a warning tells."""
    if not path.exists():
        return {}
    try:
        value = files.read_json(path, files.MAX_BYTES)
    except GanzooError:
        value = None
    if not isinstance(value, dict):
        log.warning("%s is damaged and left out.", path)
        return {}
    return value
