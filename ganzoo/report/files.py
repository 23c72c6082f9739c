"""What the pages read and write: logs of JSON lines, small JSON and TOML files, the page itself."""

import json
import math
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ganzoo.files import write_bytes


def write_page(path: str | Path, text: str) -> Path:
    """Writes `text` to `path` whole or not at all (temporary file, then rename). Folders are made."""
    write_bytes(path, text.encode())
    return Path(path)


@dataclass(frozen=True)
class Log:
    """The run's log: `rows` by rising step, and how many lines could not be read (cut off by a kill)."""

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


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file of the run, or an empty one where it is missing or damaged."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
