"""How long a newcomer waits: the catalogue commands, and load plus 64 samples, each in a cold process.

    python -m benchmarks.startup [--runs 3] [--json FILE]

Exit code 1 if a median is over its limit or a command fails.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ganzoo import presets

SAMPLE = "import ganzoo; ganzoo.load('dcgan/fashion-32'{}).generate(64)"


def commands() -> dict[str, tuple[list[str], float]]:
    """Name -> (arguments of the Python interpreter, limit in seconds)."""
    published = presets.read("dcgan").presets["fashion-32"].weights
    name = "load dcgan/fashion-32, 64 samples" + ("" if published else " (random weights)")
    return {
        "ganzoo --help": (["-m", "ganzoo", "--help"], 1.0),
        "ganzoo list": (["-m", "ganzoo", "list"], 1.0),
        "ganzoo card dcgan": (["-m", "ganzoo", "card", "dcgan"], 1.0),
        name: (["-c", SAMPLE.format("" if published else ", weights=None")], 10.0),
    }


def measure(arguments: Sequence[str], runs: int) -> list[float]:
    """Wall-clock seconds of `runs` fresh processes. Raises RuntimeError with the last words of one that fails."""
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, errors="replace")
        seconds.append(round(time.perf_counter() - start, 3))
        if done.returncode:
            words = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            raise RuntimeError(words[-1])
    return seconds


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup", description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=3, help="cold processes of each command (default 3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures")
    options = parser.parse_args(arguments)
    if options.runs < 1:
        parser.error("--runs is at least 1")
    rows = []
    for name, (command, limit) in commands().items():
        row = {"command": name, "limit_seconds": limit}
        try:
            row["seconds"] = measure(command, options.runs)
            row["ok"] = statistics.median(row["seconds"]) < limit
            result = f"{statistics.median(row['seconds']):6.2f} s  {'ok' if row['ok'] else 'SLOW'}, limit {limit:g} s"
        except RuntimeError as error:
            row |= {"error": str(error), "ok": False}
            result = f"failed: {error}"
        rows.append(row)
        print(f"{name:<52} {result}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
    return 0 if all(row["ok"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
