"""How long a newcomer waits: the catalogue commands, and load plus 64 samples, each in a cold process; and what of that is ours.

    python -m benchmarks.startup [--runs 3] [--json FILE]

Exit code 1 if a median is over its limit or a command fails.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ganzoo import presets

# TensorFlow is there and was used once, and its garbage is collected: a collection goes through all of its objects, and
# whatever is imported next would pay for it.
OURS = """
import gc, json, time
import keras, tensorflow as tf
dense = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
tf.function(lambda x: dense(x))(tf.zeros((1, 4))).numpy()
gc.collect()
times = [time.process_time()]
import ganzoo
load = ganzoo.load
times.append(time.process_time())
model = load("dcgan/fashion-32"{})
times.append(time.process_time())
model.generate(1)
times.append(time.process_time())
print(json.dumps([after - before for before, after in zip(times, times[1:])]))
"""
PARTS = ("import", "load", "first sample")
OURS_LIMIT = 0.3
SAMPLE = "import ganzoo; ganzoo.load('dcgan/fashion-32'{}).generate(64)"


def untrained() -> str:
    """What `load` is told while dcgan/fashion-32 has no weights."""
    return "" if presets.read("dcgan").presets["fashion-32"].weights else ", weights=None"


def commands() -> dict[str, tuple[list[str], float]]:
    """Name -> (arguments of the Python interpreter, limit in seconds)."""
    name = "load dcgan/fashion-32, 64 samples" + (" (random weights)" if untrained() else "")
    return {
        "ganzoo --help": (["-m", "ganzoo", "--help"], 1.0),
        "ganzoo list": (["-m", "ganzoo", "list"], 1.0),
        "ganzoo card dcgan": (["-m", "ganzoo", "card", "dcgan"], 1.0),
        name: (["-c", SAMPLE.format(untrained())], 10.0),
    }


def measure(arguments: Sequence[str], runs: int) -> list[float]:
    """Wall-clock seconds of `runs` fresh processes. Raises RuntimeError with the last words of one that fails."""
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        output(arguments)
        seconds.append(round(time.perf_counter() - start, 3))
    return seconds


def output(arguments: Sequence[str]) -> str:
    """What a fresh process prints. Raises RuntimeError with the last words of one that fails."""
    # Of what is installed the modules are compiled: so are ours, from the second process on.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=environment)
    if done.returncode:
        words = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise RuntimeError(words[-1])
    return done.stdout


def ours(runs: int) -> dict:
    """A row of `main`: processor seconds of `import ganzoo`, `load` and one sample beyond what TensorFlow and Keras take, of
    `runs` fresh processes, and the median of each part."""
    row = {"command": "of it ours: import, load, 1 sample", "limit_seconds": OURS_LIMIT}
    script = OURS.format(untrained())
    try:
        output(["-c", script])  # compiles
        found = [json.loads(output(["-c", script])) for _ in range(runs)]
    except RuntimeError as error:
        return row | {"error": str(error), "ok": False}
    parts = dict(zip(PARTS, map(statistics.median, zip(*found, strict=True)), strict=True))
    seconds = [sum(times) for times in found]
    return row | {"cpu_seconds": seconds, "cpu_parts": parts, "ok": statistics.median(seconds) < OURS_LIMIT}


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
    rows.append(row := ours(options.runs))
    if "error" in row:
        result = f"failed: {row['error']}"
    else:
        parts = ", ".join(f"{part} {seconds:.3f}" for part, seconds in row["cpu_parts"].items())
        result = f"{statistics.median(row['cpu_seconds']):6.3f} s cpu  {'ok' if row['ok'] else 'SLOW'}, limit {OURS_LIMIT:g} s ({parts})"
    print(f"{row['command']:<52} {result}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
    return 0 if all(row["ok"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
