"""`ganzoo serve` under load next to the bare model: throughput, CPU a request, p99, errors, memory.

    python -m benchmarks.serving [--seconds 60] [--requests 10000] [--rounds 2] [--runtimes tensorflow onnx] [--json FILE]

The load comes from wrk (`apt-get install wrk`), an HTTP load generator in C that costs the server's cores little. Server and
bare model take turns, each in a process of its own; dcgan/lorelei-64 is served by each of `--runtimes`. Limits:
pix2pix/facades-256 at 0.9 of the bare model's batched throughput; dcgan at no more than 3 ms of server CPU a request beyond the
bare model of the faster runtime, its p99 at most 3 times its p50; no error anywhere; no growth of memory over `--requests`
requests of dcgan. Exit code 1 if one does not hold.
"""

import argparse
import base64
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.timing import cores
from ganzoo.media import images

CASES = {"pix2pix": "pix2pix/facades-256", "dcgan": "dcgan/lorelei-64"}
RUNTIMES = {"pix2pix": ("tensorflow",), "dcgan": ("tensorflow", "onnx")}  # what ONNX Runtime can serve
ENOUGH, MORE_CPU, GROWTH = 0.9, 0.003, 0.05  # of throughput; seconds a request; of resident memory
TAIL = 3.0  # p99 over p50
BATCH = 16
CONNECTIONS = {"pix2pix": 8, "dcgan": 32}
UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


def picture() -> bytes:
    """A PNG of 256 x 256 pixels with soft colours."""
    coarse = np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8)
    return images.png_bytes(np.asarray(images.Image.fromarray(coarse).resize((256, 256))))


def script(name: str) -> str:
    """wrk's Lua: POST requests with another seed each time."""
    image = f'"image_bytes": {{"b64": "{base64.b64encode(picture()).decode()}"}}, ' if name == "pix2pix" else ""
    return (
        'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\nlocal seed = 0\nfunction request()\n'
        f"  seed = seed + 1\n  return wrk.format(nil, nil, nil, '{{\"instances\": [{{{image}\"seed\": ' .. seed .. '}}]}}')\n"
        "end\n"
    )


def report(text: str) -> dict:
    """What wrk printed, as numbers: requests, seconds, p50 and p99 in seconds, errors of any kind."""
    requests, seconds, unit = re.search(r"(\d+) requests in ([\d.]+)(us|ms|s|m)\b", text).groups()
    spread = {share: float(n) * UNITS[u] for share, n, u in re.findall(r"(\d+)%\s+([\d.]+)(us|ms|s|m)\b", text)}
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    errors = int(refused[1]) if refused else 0
    errors += sum(map(int, broken.groups())) if broken else 0
    elapsed = float(seconds) * UNITS[unit]
    return {
        "requests": int(requests),
        "seconds": round(elapsed, 2),
        "p50": round(spread["50"], 4),
        "p99": round(spread["99"], 4),
        "errors": errors,
    }


def wrk(url: str, lua: str, seconds: int, connections: int) -> dict:
    """One run of the load generator."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(lua)
        file.flush()
        words = [
            "wrk",
            "-t1",
            f"-c{connections}",
            f"-d{seconds}s",
            "--timeout",
            "120s",
            "--latency",
            "-s",
            file.name,
            url,
        ]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
    return report(done.stdout)


@contextmanager
def server(folder: Path, runtime: str = "tensorflow") -> Iterator[str]:
    """`ganzoo serve FOLDER` in a process: yields its URL."""
    words = [sys.executable, "-m", "ganzoo", "serve", str(folder), "--runtime", runtime, "--log", "none", "--port", "0"]
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(words, stderr=log, env=os.environ, stdin=subprocess.DEVNULL) as process,
    ):
        try:
            url = None
            while url is None:
                time.sleep(0.5)
                log.seek(0)
                text = log.read()
                found = re.search(r"^Serving on (\S+)", text, re.MULTILINE)
                url = found[1] if found else None
                if process.poll() is not None:
                    raise RuntimeError(text)
            yield url
        finally:
            process.terminate()


def numbers(url: str, name: str) -> dict[str, float]:
    """CPU seconds, resident bytes, rows and calls so far, from the server's own metrics."""
    with urllib.request.urlopen(f"{url}/metrics") as answer:
        text = answer.read().decode()
    wanted = {
        "cpu": "process_cpu_seconds_total",
        "resident": "process_resident_memory_bytes",
        "rows": f'ganzoo_batch_rows_sum{{model="{name}"}}',
        "calls": f'ganzoo_batch_rows_count{{model="{name}"}}',
    }
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {key: float(lines[line]) for key, line in wanted.items()}


def served(folder: Path, name: str, seconds: int, requests: int, runtime: str = "tensorflow") -> dict:
    """A warmed-up server under load for `seconds`, and on until it had `requests` requests; then asked by one client, whose next
    request waits for the answer."""
    with server(folder, runtime) as url:
        target, lua = f"{url}/v1/models/{name}:predict", script(name)
        wrk(target, lua, max(5, seconds // 10), CONNECTIONS[name])
        before, runs = numbers(url, name), []
        while not runs or sum(run["requests"] for run in runs) < requests:
            runs.append(wrk(target, lua, seconds, CONNECTIONS[name]))
        after = numbers(url, name)
        alone = wrk(target, lua, max(5, seconds // 3), 1)
        idle = numbers(url, name)
    count = sum(run["requests"] for run in runs)
    rows, calls = (after[key] - before[key] for key in ("rows", "calls"))
    return {
        "requests": count,
        "per_second": round(count / sum(run["seconds"] for run in runs), 2),
        "p50": runs[0]["p50"],
        "p99": max(run["p99"] for run in runs),
        "errors": sum(run["errors"] for run in runs),
        "rows_a_call": round(rows / calls, 1),
        "cpu_a_request": round((after["cpu"] - before["cpu"]) / rows, 6),
        "alone": {
            "p50": alone["p50"],
            "errors": alone["errors"],
            "cpu_a_request": round((idle["cpu"] - after["cpu"]) / (idle["rows"] - after["rows"]), 6),
        },
        "resident_mib": [round(side["resident"] / 2**20, 1) for side in (before, after)],
    }


def bare(folder: Path, name: str, seconds: int, rows: int, runtime: str = "tensorflow") -> dict:
    """`serving_default` called in a loop with `rows` rows, as the SavedModel or with ONNX Runtime inside: rows a second and CPU
    seconds a row. In a process of its own."""
    words = [sys.executable, "-c", BARE, str(folder), name, str(seconds), str(rows), runtime]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=os.environ)
    return json.loads(done.stdout.splitlines()[-1])


BARE = """
import json, sys, time
from pathlib import Path
from ganzoo.devices.quiet import load_tensorflow
load_tensorflow()
import numpy as np
import tensorflow as tf
from benchmarks.serving import picture
from ganzoo.exporting.divided import Divided
folder, name, seconds, rows, runtime = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
inputs = {"seed": np.arange(rows)}
if name == "pix2pix":
    inputs["image_bytes"] = np.array([picture()] * rows, object)
if runtime == "onnx":
    call = Divided(folder / "onnx")
else:
    loaded = tf.saved_model.load(str(folder / "1"))
    call = lambda given: loaded.signatures["serving_default"](**{k: tf.constant(v) for k, v in given.items()})["image_bytes"].numpy()
for _ in range(3):
    call(inputs)
start, cpu, calls = time.perf_counter(), time.process_time(), 0
while time.perf_counter() - start < seconds:
    call(inputs)
    calls += 1
elapsed = time.perf_counter() - start
print(json.dumps({"rows_a_call": rows, "per_second": round(calls * rows / elapsed, 2),
                  "cpu_a_row": round((time.process_time() - cpu) / calls / rows, 6)}))
"""


def compare(folder: Path, name: str, seconds: int, requests: int, rounds: int, runtimes: Sequence[str]) -> list[dict]:
    """Servers of each of `runtimes` and bare models in turns: a row for each. The bare model's CPU is that of calls with the rows
    that the server's had on average, by the runtime that takes less of it; its throughput is the best of those and of calls with
    BATCH rows."""
    servers, models, best = ({runtime: [] for runtime in runtimes} for _ in range(3))
    for _ in range(rounds):
        for runtime in runtimes:
            servers[runtime].append(served(folder, name, seconds, 0 if servers[runtime] else requests, runtime))
            nearest = min((1, 2, 4, 8, 16, 32), key=lambda rows: abs(rows - servers[runtime][-1]["rows_a_call"]))
            found = {one: bare(folder, name, seconds, nearest, one) for one in runtimes}
            models[runtime].append(min(found.values(), key=lambda run: run["cpu_a_row"]))
            batched = found[runtime] if nearest == BATCH else bare(folder, name, seconds, BATCH, runtime)
            best[runtime].append(max(found[runtime], batched, key=lambda run: run["per_second"]))
    rows = []
    for runtime in runtimes:
        first = servers[runtime][0]["resident_mib"]
        row = {"model": CASES[name], "runtime": runtime}
        row |= {"served": servers[runtime], "bare": models[runtime], "bare_best": best[runtime]}
        row["throughput"] = round(mean(row["served"], "per_second") / mean(row["bare_best"], "per_second"), 3)
        row["cpu_beyond"] = round(mean(row["served"], "cpu_a_request") - mean(row["bare"], "cpu_a_row"), 6)
        row["p99"] = max(run["p99"] for run in row["served"])
        row["tail"] = round(max(run["p99"] / run["p50"] for run in row["served"]), 2)
        row["alone"] = {key: mean([run["alone"] for run in row["served"]], key) for key in ("p50", "cpu_a_request")}
        row["errors"] = sum(run["errors"] + run["alone"]["errors"] for run in row["served"])
        rows.append(row | {"growth": round(first[1] / first[0] - 1, 4)})
    return rows


def mean(runs: list[dict], key: str) -> float:
    return sum(run[key] for run in runs) / len(runs)


def problems(name: str, row: dict) -> list[str]:
    """Which of the limits a row breaks."""
    found = [f"{row['errors']} errors"] if row["errors"] else []
    if name == "pix2pix" and row["throughput"] < ENOUGH:
        found.append(f"throughput below {ENOUGH} of the bare model's")
    if name == "dcgan" and row["cpu_beyond"] > MORE_CPU:
        found.append(f"more than {MORE_CPU * 1000:g} ms of CPU a request beyond the model")
    if name == "dcgan" and row["tail"] > TAIL:
        found.append(f"p99 is {row['tail']:g} times p50")
    if name == "dcgan" and row["growth"] > GROWTH:
        found.append(f"memory grew by {row['growth']:.1%}")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__.split("\n")[0])
    parser.add_argument("--models", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--seconds", type=int, default=60, help="of each run (default 60)")
    parser.add_argument("--requests", type=int, default=10_000, help="at least so many of dcgan, for its memory")
    parser.add_argument("--rounds", type=int, default=2, help="turns of server and bare model (default 2)")
    parser.add_argument("--runtimes", nargs="+", choices=["tensorflow", "onnx"], default=["tensorflow", "onnx"])
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures")
    options = parser.parse_args(arguments)
    if min(options.seconds, options.rounds) < 1:
        parser.error("--seconds and --rounds are at least 1")
    if not shutil.which("wrk"):
        parser.error("needs the load generator wrk: apt-get install wrk")
    rows, failed = [], False
    print(f"{cores()} cores, load {os.getloadavg()[0]:.1f} before the start")
    with tempfile.TemporaryDirectory() as scratch:
        for name in options.models:
            folder = Path(scratch) / name
            chosen = [runtime for runtime in options.runtimes if runtime in RUNTIMES[name]]
            to = "savedmodel,onnx" if "onnx" in chosen else "savedmodel"
            words = [
                sys.executable,
                "-m",
                "ganzoo",
                "export",
                CASES[name],
                "-o",
                str(folder),
                "--allow-random",
                "--to",
                to,
            ]
            subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
            requests = options.requests if name == "dcgan" else 0
            for row in compare(folder, name, options.seconds, requests, options.rounds, chosen):
                row["problems"] = problems(name, row)
                rows.append(row)
                failed |= bool(row["problems"])
                print(line(row))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
    return int(failed)


def line(row: dict) -> str:
    """A row for people."""
    served, bare = (mean(row[side], "per_second") for side in ("served", "bare_best"))
    return (
        f"{row['model']:<20} {row['runtime']:<10} {served:8.2f} requests/s, bare {bare:8.2f} rows/s at {row['bare_best'][0]['rows_a_call']} rows "
        f"({row['throughput']:.2f}); p50 {row['served'][0]['p50'] * 1000:.0f} ms, p99 {row['p99'] * 1000:.0f} ms "
        f"({row['tail']:g} times); "
        f"CPU {row['cpu_beyond'] * 1000:+.2f} ms a request beyond the model; one client p50 "
        f"{row['alone']['p50'] * 1000:.1f} ms, CPU {row['alone']['cpu_a_request'] * 1000:.1f} ms; {row['errors']} errors; memory "
        f"{row['served'][0]['resident_mib'][0]:.0f} -> {row['served'][0]['resident_mib'][1]:.0f} MiB over "
        f"{row['served'][0]['requests']} requests: {', '.join(row['problems']) or 'ok'}"
    )


if __name__ == "__main__":
    sys.exit(main())
