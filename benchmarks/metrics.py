"""Time, memory and values of the metrics compared with scipy, torch-fidelity and clean-fid, and the loader's share.

    python -m benchmarks.metrics [--only root kid neighbours memory loader] [--json FILE]

README.md in this folder says what the rows mean. Libraries that are not installed are named and left out.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import children, timing, train_step

PARTS = ("root", "kid", "neighbours", "memory", "loader")
PRECISION = {"kid": 6, "neighbours": 4}  # decimals of the values; six for the others


def child(kind: str, request: dict, threads: int) -> dict:
    """One measurement in a process of its own; {"error": its last words} if it failed."""
    limits = {f"{library}_NUM_THREADS": str(threads) for library in ("OPENBLAS", "MKL", "OMP")}
    return children.measured("measure_metrics", kind, request, os.environ | limits | {"TF_CPP_MIN_LOG_LEVEL": "3"})


def plan(options: argparse.Namespace) -> list[tuple[str, str, dict]]:
    """(part, kind of child, its request) of everything to be measured, in order."""
    wide = {"dimensions": options.dimensions}
    todo = [("root", "root", wide | {"rows": 2 * options.dimensions + 500})]
    for part in ("kid", "neighbours"):
        todo += [(part, part, {"dimensions": options.features, "rows": rows}) for rows in options.rows]
    todo += [("memory", kind, wide | {"rows": options.stream}) for kind in ("moments", "matrix")]
    loader = {"extractor": options.extractor, "pictures": options.pictures, "size": 64, "rounds": 4}
    return [step for step in [*todo, ("loader", "loader", loader)] if step[0] in options.only]


def lines(part: str, kind: str, request: dict, result: dict) -> list[str]:
    """What is printed of one measurement."""
    if "error" in result:
        return [f"{kind} failed: {result['error']}"]
    if part == "memory":
        what = {"moments": "streamed Moments", "matrix": "one matrix, numpy.cov"}[kind]
        shape = f"{request['rows']:,} x {request['dimensions']:,}"
        return [f"memory {shape}  {what:<22}  {result['mib']:9.1f} MiB  {result['seconds']:6.1f} s"]
    if part == "loader":
        rates = (
            f"{result['memory_per_s']:.1f} pictures/s from memory, {result['folder_per_s']:.1f} from a folder of PNGs"
        )
        return [f"loader {result['extractor']}  {rates}: {result['overhead']:+.1%}"]
    name = {"root": "FID"}.get(part, part)
    shape = f"{request['dimensions']:,} x {request['dimensions']:,}" if part == "root" else ""
    shape = shape or f"{request['rows']:,} x {request['dimensions']:,}"
    return [f"{name} {shape}  {side:<30}  {cell(part, found, result['ganzoo'])}" for side, found in result.items()]


def cell(part: str, found: dict, ours: dict) -> str:
    """Seconds, processor seconds, how many times ganzoo's seconds, and values of one side."""
    if "missing" in found:
        return f"not installed ({found['missing']}): {train_step.INSTALL}"
    if "error" in found:
        return f"failed: {found['error']}"
    values = ", ".join(f"{value:.{PRECISION.get(part, 6)}f}" for value in found["value"])
    times = f"x{found['seconds'] / ours['seconds']:.1f}" if ours.get("seconds") else ""
    return f"{found['seconds']:8.2f} s  {found['cpu_seconds']:8.2f} s cpu  {times:>6}  {values}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.metrics", description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="parts to measure (default all)")
    parser.add_argument("--dimensions", type=int, default=2048, help="of FID's root and of the stream (default 2048)")
    parser.add_argument("--features", type=int, default=1280, help="dimensions of KID and neighbours (default 1280)")
    parser.add_argument("--rows", type=int, nargs="+", default=[5000, 10000], help="of KID and neighbours")
    parser.add_argument("--stream", type=int, default=50_000, help="rows of the stream (default 50,000)")
    parser.add_argument("--pictures", type=int, default=512, help="of the loader (default 512)")
    parser.add_argument("--extractor", default="efficientnet-lite0", help="of the loader (default efficientnet-lite0)")
    parser.add_argument("--threads", type=int, default=timing.cores(), help="of the linear algebra (default all cores)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything that was measured")
    options = parser.parse_args(arguments)
    if (
        options.threads < 1
        or min(options.dimensions, options.features, options.stream, options.pictures, *options.rows) < 8
    ):
        parser.error("every count is at least 8, --threads at least 1")
    rows, about = [], train_step.machine()
    print(
        f"{about['processor']}, {about['cores']} cores, {options.threads} threads, load {os.getloadavg()[0]:.1f} at the start\n"
    )
    for part, kind, request in plan(options):
        result = child(kind, request, options.threads)
        rows.append({"part": part, "kind": kind, "request": request, "result": result})
        print("\n".join(lines(part, kind, request, result)), flush=True)
    if options.json:
        options.json.write_text(json.dumps({"machine": about, "rows": rows}, indent=1) + "\n", "utf-8")
    return 1 if any("error" in row["result"] for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
