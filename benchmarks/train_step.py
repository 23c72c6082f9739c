"""Training speed and memory of presets, and of the same network and update in PyTorch, measured in the same run.

    python -m benchmarks.train_step [--presets dcgan/fashion-32 ...] [--seconds 10] [--rounds 2] [--profile] [--json FILE]

README.md in this folder says what the columns mean.
"""

import argparse
import json
import platform
import statistics
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from benchmarks import children, operations, roofline, timing
from ganzoo import files, presets

PRESETS = (
    "3d-gan/furniture-32",
    "age-cgan/faces-64",
    "biggan/fashion-32",
    "context-encoder/photos-128",
    "gan/fashion-28",
    "dcgan/fashion-32",
    "dcgan/lorelei-64",
    "dcgan/pytorch-64",
    "dtn/digits-32",
    "pix2pix/lines2colour-64",
    "pix2pix/edges2emoji-128",
    "pix2pix/facades-256",
    "cyclegan/fluent2noto-64",
    "cyclegan/horse2zebra-128",
    "stylegan-lite/lorelei-64",
    "text-to-image/lorelei-64",
    "anime/lorelei-64",
    "wgan-gp/fashion-32",
)
PAPER_SIZE = (
    "dcgan/pytorch-64",
    "pix2pix/facades-256",
    "cyclegan/horse2zebra-128",
)  # also measured in bfloat16, though the papers had float32
KINDS = ("step", "torch", "fit", "data", "profile")  # of the measurements of a row
INSTALL = "pip install 'ganzoo[bench]'"
COLUMNS = (
    "preset",
    "precision",
    "batch",
    "step ms",
    "images/s",
    "peak MiB",
    "fit()",
    "input",
    "torch ms",
    "torch MiB",
    "torch/ganzoo",
    "GFLOP",
    "state MiB",
    "bound ms",
    "of bound",
)


def cases(names: Sequence[str], precisions: Sequence[str] | None = None) -> list[dict]:
    """What to measure: each preset at its batch size, in float32 and in its own precision (or in the given ones)."""
    found = []
    for name in names:
        paper, preset = presets.resolve(name)
        train = presets.read(paper).presets[preset].train
        wanted = list(precisions or ["float32", train.precision])
        if not precisions and name in PAPER_SIZE:
            wanted.append("bfloat16")
        for precision in dict.fromkeys(wanted):
            found.append({"preset": f"{paper}/{preset}", "precision": precision, "batch_size": train.batch_size})
    return found


def child(kind: str, case: dict, seconds: float) -> dict:
    """One measurement in a process of its own; {"error": its last words} if it failed."""
    return children.measured("measure", kind, case | {"seconds": seconds})


def measure(case: dict, seconds: float, rounds: int, rate: dict, profile: bool) -> dict:
    """All measurements of one case. The two frameworks take turns: ganzoo, PyTorch, PyTorch, ganzoo, ... `rate` is what the
    machine reaches in this precision (`roofline.rates`)."""
    sides = {"step": [], "torch": []}
    for turn in range(rounds):
        for kind in ("step", "torch") if turn % 2 == 0 else ("torch", "step"):
            sides[kind].append(child(kind, case, seconds))
    row = case | {kind: combined(results) for kind, results in sides.items()}
    if "work" in row["step"] and "gflops" in rate:
        milliseconds, by = roofline.bound(row["step"]["work"], rate)
        row["bound"] = {"ms": round(milliseconds, 3), "by": by}
    kinds = ["fit", "data", *(["profile"] if profile else [])]
    return row | {kind: child(kind, case, seconds) for kind in kinds}


def combined(results: list[dict]) -> dict:
    """The rounds of one side as one: the median of the medians, the largest memory; the first failure if there is one."""
    for result in results:
        if "ms" not in result:
            return result
    return {
        "ms": round(statistics.median(r["ms"] for r in results), 3),
        "peak_mib": max(r["peak_mib"] for r in results),
        **({"work": results[0]["work"]} if "work" in results[0] else {}),
        "rounds": results,
    }


def cells(row: dict) -> list[str]:
    """A row of the table; "-" where a measurement failed."""
    step, torch, fit, data = (row[kind] for kind in ("step", "torch", "fit", "data"))
    line = [row["preset"], row["precision"], str(row["batch_size"])]
    ms = step.get("ms")
    line += [f"{ms:.1f}", f"{row['batch_size'] / ms * 1000:.1f}", f"{step['peak_mib']:.0f}"] if ms else ["-"] * 3
    line.append(f"{fit['overhead']:+.1%}" if "overhead" in fit else "-")
    line.append(f"{data['ms'] / ms:.1%}{'*' if data['stand_in'] else ''}" if ms and "ms" in data else "-")
    if "missing" in torch:
        line += [INSTALL, "", ""]
    else:
        line += [f"{torch['ms']:.1f}", f"{torch['peak_mib']:.0f}"] if "ms" in torch else ["-"] * 2
        line.append(f"{torch['ms'] / ms:.2f}" if ms and "ms" in torch else "-")
    work, bound = step.get("work"), row.get("bound")
    line += [f"{work['flops'] / 1e9:.1f}", f"{work['bytes'] / 2**20:.0f}"] if work else ["-"] * 2
    return line + ([f"{bound['ms']:.1f} {bound['by']}", f"{bound['ms'] / ms:.0%}"] if ms and bound else ["-"] * 2)


def table(rows: list[dict]) -> str:
    """All rows, aligned; failures follow below."""
    lines = [list(COLUMNS), *(cells(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines if line[i] != INSTALL) for i in range(len(COLUMNS))]
    text = ["  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines]
    if any(row["data"].get("stand_in") for row in rows):
        text.append("* from made-up pictures: the preset's data set is not on this machine")
    text += [f"{row['preset']} {row['precision']}: {problem}" for row in rows for problem in failures(row)]
    return "\n".join(text)


def failures(row: dict) -> list[str]:
    """What went wrong in a row's processes."""
    return [f"{kind} failed: {row[kind]['error']}" for kind in KINDS if "error" in row.get(kind, {})]


def machine() -> dict:
    """What the numbers were measured on."""
    versions = {}
    for package in ("tensorflow", "keras", "torch", "numpy"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    return {
        "processor": processor(),
        "cores": timing.cores(),
        "python": platform.python_version(),
        "versions": versions,
    }


def processor() -> str:
    """The processor's name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def parsed(arguments: Sequence[str] | None) -> tuple[argparse.Namespace, list[dict]]:
    """The options, and the cases that they ask for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train_step", description=__doc__.split("\n")[0])
    parser.add_argument("--presets", nargs="+", default=PRESETS, metavar="PRESET", help="what to measure")
    parser.add_argument("--precision", nargs="+", choices=("float32", "bfloat16"), help="instead of each preset's own")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement (default 10)")
    parser.add_argument("--rounds", type=int, default=2, help="turns of ganzoo and PyTorch (default 2)")
    parser.add_argument("--profile", action="store_true", help="also time by operation and by layer, of ganzoo's step")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything measured so far, row by row")
    options = parser.parse_args(arguments)
    if options.seconds < 0 or options.rounds < 1:
        parser.error("--seconds is at least 0 and --rounds at least 1")
    try:
        return options, cases(options.presets, options.precision)
    except ValueError as error:
        parser.error(str(error))


def brief(row: dict) -> str:
    """A row in a short line, for who waits: what the steps took, and what failed."""
    cell = dict(zip(COLUMNS, cells(row), strict=True))
    parts = [f"{name} {cell[name]}" for name in ("step ms", "torch ms", "torch/ganzoo") if cell[name]]
    return f"{row['preset']} {row['precision']}: {', '.join(parts + failures(row))}"


def report(about: dict, rows: list[dict]) -> str:
    """What is printed at the end: the machine, what it reaches, the table, the profiles."""
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items() if version)
    text = [f"{about['processor']}, {about['cores']} cores; {versions}"]
    for precision, rate in about["rates"].items():
        if "gflops" in rate:
            reached = f"{rate['gflops']:.0f} GFLOP/s of matrix products, {rate['gbytes']:.1f} GB/s of memory"
        else:
            reached = f"no rates: {rate['error']}"
        text.append(f"{precision}: {reached}")
    text.append(f"\n{table(rows)}")
    for row in rows:
        if "operations" in row.get("profile", {}):
            text.append(f"\n{row['preset']} {row['precision']}, all cores together\n{operations.text(row['profile'])}")
    return "\n".join(text)


def main(arguments: Sequence[str] | None = None) -> int:
    options, todo = parsed(arguments)
    precisions = dict.fromkeys(case["precision"] for case in todo)
    rates = {precision: child("rates", {"precision": precision}, options.seconds / 2) for precision in precisions}
    about, rows = machine() | {"rates": rates}, []
    for case in todo:
        sys.stderr.write(f"{case['preset']} {case['precision']} ...\n")
        rows.append(measure(case, options.seconds, options.rounds, rates[case["precision"]], options.profile))
        # At once: who interrupts a run of an hour has what was measured until then.
        sys.stderr.write(f"{brief(rows[-1])}\n")
        if options.json:
            text = json.dumps({"machine": about, "rows": rows}, indent=1) + "\n"
            files.write_bytes(options.json, text.encode())
    print(report(about, rows))
    return 1 if any(failures(row) for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
