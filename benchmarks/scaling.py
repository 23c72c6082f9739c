"""Two workers against one and against two trainings apart, each pinned to one core; and, if a cost model explains them, what 8 to
1024 would reach.

    python -m benchmarks.scaling [--preset dcgan/fashion-32] [--batch 64] [--steps 40] [--rounds 2] [--json FILE]

README.md in this folder says what the numbers mean.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import train_step
from ganzoo.devices.quiet import environment

GOAL = 0.8  # of twice one worker's images/s
TRUSTED = 0.15  # how far the cost model may be off before it is believed
WORKERS = tuple(2**n for n in range(3, 11))


def addresses(count: int) -> list[str]:
    """Free ports of this machine, as host:port."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    found = [f"127.0.0.1:{s.getsockname()[1]}" for s in sockets]
    for s in sockets:
        s.close()
    return found


def run(request: dict, cores: Sequence[int], *, joined: bool = True) -> list[dict]:
    """One worker on each of the cores at once, as one training or each by itself; what each measured.

    Raises:
        RuntimeError: a worker failed; with its last words.
    """
    tasks, root = addresses(len(cores)), Path(__file__).resolve().parent.parent
    children = []
    for index, core in enumerate(cores):
        env = {key: value for key, value in environment().items() if key != "TF_CONFIG"}
        if joined and len(cores) > 1:
            env["TF_CONFIG"] = json.dumps({"cluster": {"worker": tasks}, "task": {"type": "worker", "index": index}})
        command = [sys.executable, "-m", "benchmarks.measure_scaling", json.dumps(request | {"core": core})]
        options = {"cwd": root, "env": env, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        children.append(subprocess.Popen(command, **options))
    try:
        said = [child.communicate() for child in children]
    finally:
        for child in children:
            child.kill()
    for child, (_, errors) in zip(children, said, strict=True):
        if child.returncode:
            raise RuntimeError(errors.strip().splitlines()[-1] if errors.strip() else f"exit code {child.returncode}")
    return [json.loads(out.splitlines()[-1]) for out, _ in said]


def combined(alone: list[dict], apart: list[dict], together: list[dict]) -> dict:
    """The medians over rounds (and workers) of everything that was measured, seconds of a step and its parts."""
    parts = ("seconds", "compute", "wait", "transfer", "latency", "all_reduce")
    both = {part: statistics.median(result[part] for result in together) for part in parts}
    counts = {key: together[0][key] for key in ("bytes", "reductions")}
    single = {
        key: statistics.median(r["seconds"] for r in found) for key, found in (("alone", alone), ("apart", apart))
    }
    return single | counts | both


def efficiency(alone: float, together: float) -> float:
    """Images/s of all workers as a share of so many times one worker's: each has the same batch."""
    return alone / together


def predicted(measured: dict, workers: int) -> float:
    """Seconds of a step: the compute of one worker alone, and ring all-reduces.

    A ring sends 2 (n - 1) / n of the bytes through each worker in 2 (n - 1) hops. Two workers make two hops; how long they
    take says `latency`, the all-reduce of one number, and what is left of `all_reduce` is the bytes. The hops are made for
    every all-reduce of a step, the bytes of the small ones are nothing.
    """
    latency = min(measured["latency"], measured["all_reduce"])
    bytes_of_two = measured["all_reduce"] - latency
    hops = (workers - 1) * latency * measured["reductions"]
    return measured["alone"] + 2 * (workers - 1) / workers * bytes_of_two + hops


def table(measured: dict, batch: int) -> list[str]:
    """What to print: the measurement, the model next to it, and the rows of more workers or why there are none."""
    alone, both = measured["alone"], measured["seconds"]
    share = efficiency(alone, both)
    bandwidth = measured["bytes"] / max(measured["all_reduce"] - measured["latency"], 1e-9) / 2**20
    lines = [
        f"1 worker   {alone * 1000:8.1f} ms a step  {batch / alone:8.1f} images/s",
        f"2 workers  {both * 1000:8.1f} ms a step  {2 * batch / both:8.1f} images/s  "
        f"{share:.2f} of twice one (goal {GOAL}: {'reached' if share >= GOAL else 'missed'})",
        f"2 apart    {measured['apart'] * 1000:8.1f} ms a step  {2 * batch / measured['apart']:8.1f} images/s  that share the "
        f"machine and nothing else: two workers reach {efficiency(measured['apart'], both):.2f} of it",
        f"of a step of two, with clocks inside: compute {measured['compute'] * 1000:.1f} ms, wait {measured['wait'] * 1000:.1f} ms, "
        f"transfer {measured['transfer'] * 1000:.1f} ms ({measured['bytes'] / 2**20:.1f} MiB of gradients)",
        f"all-reduce of the same bytes alone: {measured['all_reduce'] * 1000:.1f} ms, of one number {measured['latency'] * 1000:.2f} ms: "
        f"{bandwidth:.0f} MiB/s; {measured['reductions']} all-reduces a step",
    ]
    model = predicted(measured, 2)
    off = model / both - 1
    lines.append(f"cost model: {model * 1000:.1f} ms a step of two, {off:+.1%} of the measured")
    if abs(off) > TRUSTED:
        return [
            *lines,
            f"No rows for more workers: a model that is {abs(off):.0%} off for two (limit {TRUSTED:.0%}) says nothing of 8 to 1024. "
            "Measure on an idle machine, or with more --steps.",
        ]
    lines.append("workers  step ms  images/s  of n times one   (predicted; the same links, one worker a machine)")
    for workers in WORKERS:
        step = predicted(measured, workers)
        lines.append(f"{workers:7d}  {step * 1000:7.1f}  {workers * batch / step:8.0f}  {efficiency(alone, step):.2f}")
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__.split("\n")[0])
    parser.add_argument("--preset", default="dcgan/fashion-32", help="what to train (default dcgan/fashion-32)")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--batch", type=int, default=64, help="of each worker (default 64)")
    parser.add_argument("--steps", type=int, default=40, help="timed steps of each measurement (default 40)")
    parser.add_argument("--rounds", type=int, default=2, help="turns of one worker and two (default 2)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything that was measured")
    options = parser.parse_args(arguments)
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2 or options.steps < 3 or options.rounds < 1 or options.batch < 2:
        parser.error("two cores are needed; --steps is at least 3, --batch at least 2, --rounds at least 1")
    request = {"preset": options.preset, "precision": options.precision, "batch_size": options.batch}
    request["steps"] = options.steps
    kinds = {"alone": (cores[:1], False), "apart": (cores[:2], False), "together": (cores[:2], True)}
    rounds: dict[str, list[dict]] = {kind: [] for kind in kinds}
    for turn in range(options.rounds):
        for kind in kinds if turn % 2 == 0 else reversed(kinds):
            sys.stderr.write(f"round {turn + 1}: {kind} ...\n")
            own, joined = kinds[kind]
            rounds[kind] += run(request, own, joined=joined)
    measured = combined(**rounds)
    about = train_step.machine()
    if options.json:
        record = {"machine": about, **measured, "rounds": rounds}
        options.json.write_text(json.dumps(request | record, indent=1) + "\n", "utf-8")
    print(f"{about['processor']}, {options.preset} {options.precision}, batch {options.batch} a worker\n")
    print("\n".join(table(measured, options.batch)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
