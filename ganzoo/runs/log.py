"""Reading a run's log.jsonl."""

import json
from pathlib import Path

from ganzoo import files


def read_log(path: Path) -> list[dict]:
    """The rows of a log.jsonl; a last line torn by a kill is left out."""
    rows = []
    for line in path.read_text("utf-8").splitlines() if path.exists() else ():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


def kept_rows(path: Path, start_step: int) -> list[dict]:
    """The rows up to the step that a run goes on from; the file loses the others."""
    rows = [row for row in read_log(path) if row["step"] <= start_step]
    if rows or path.exists():
        files.write_bytes(path, "".join(json.dumps(row) + "\n" for row in rows).encode())
    return rows
