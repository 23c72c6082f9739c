"""Exported models side by side: SavedModel, the bare tf.function, ONNX Runtime, LiteRT and PyTorch, latency and throughput.

    python -m benchmarks.inference [--presets NAME ...] [--batches 1 32] [--seconds 60] [--clock wall|cpu] [--json FILE]

README.md in this folder says what the numbers mean.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import children, train_step

PRESETS = ("dcgan/lorelei-64", "pix2pix/facades-256", "stylegan-lite/lorelei-64")
SIDES = ("tensorflow", "onnx", "litert", "torch")
CLOCKS = {"wall": "ms", "cpu": "cpu_ms"}
GOAL, SHORT, MORE = 1.10, 20.0, 1.0  # SavedModel over function; for calls under SHORT ms so many ms more are allowed
COLUMNS = ("preset", "batch", "function ms", "SavedModel ms", "ratio", "ONNX Runtime ms", "LiteRT ms")
COLUMNS += ("PyTorch ms", "images/s")


def child(kind: str, request: dict) -> dict:
    """One side in a process of its own; {"error": its last words} if it failed."""
    return children.measured("measure_inference", kind, request)


def reached(function_ms: float, saved_ms: float) -> bool:
    """Whether the SavedModel costs no more than the goal allows."""
    return saved_ms <= function_ms * GOAL + (MORE if function_ms < SHORT else 0.0)


def cells(preset: str, rows: int, found: dict[str, dict], clock: str = "wall") -> list[str]:
    """A row of the table; "-" for a side that was not measured."""
    times = {}
    for side in found.values():
        times |= {name: value[CLOCKS[clock]] for name, value in side.get(str(rows), {}).items()}
    line = [preset, str(rows), *(f"{times[name]:.1f}" if name in times else "-" for name in ("function", "saved"))]
    line.append(f"{times['saved'] / times['function']:.3f}" if "saved" in times else "-")
    line += [f"{times[name]:.1f}" if name in times else "-" for name in ("onnx", "litert", "torch")]
    return [*line, f"{rows / times['saved'] * 1000:.1f}" if "saved" in times else "-"]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inference", description=__doc__.split("\n")[0])
    parser.add_argument("--presets", nargs="+", default=PRESETS, metavar="NAME", help="gan, dcgan, pix2pix or stylegan")
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 32], metavar="ROWS")
    parser.add_argument("--seconds", type=float, default=60.0, help="longest time of one side at one batch")
    parser.add_argument(
        "--clock", choices=CLOCKS, default="wall", help="cpu: of all processors, where others share them"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything that was measured")
    options = parser.parse_args(arguments)
    lines, problems, record, missed = [list(COLUMNS)], [], {}, []
    for preset in options.presets:
        found = record[preset] = {}
        for side in SIDES:
            sys.stderr.write(f"{preset}: {side} ...\n")
            request = {"preset": preset, "batches": options.batches, "seconds": options.seconds}
            found[side] = child(side, request)
            if "error" in found[side] or "missing" in found[side]:
                problems.append(f"{preset} {side}: {found[side].get('error') or 'not installed'}")
        for rows in options.batches:
            lines.append(cells(preset, rows, found, options.clock))
            pair = found["tensorflow"].get(str(rows), {})
            if pair and not reached(*(pair[name][CLOCKS[options.clock]] for name in ("function", "saved"))):
                missed.append(f"{preset} at batch {rows}: the SavedModel is over {GOAL:.2f} of the function")
    widths = [max(len(line[i]) for line in lines) for i in range(len(COLUMNS))]
    about = train_step.machine()
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items() if version)
    print(f"{about['processor']}, {about['cores']} cores; {versions}\n")
    print("\n".join("  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines))
    print(
        "\n".join([*problems, *missed] or ["goal reached: SavedModel within 1.10 of the function (+1 ms under 20 ms)"])
    )
    if options.json:
        options.json.write_text(json.dumps({"machine": about, "presets": record}, indent=1) + "\n", "utf-8")
    return 1 if missed or any("error" in side for found in record.values() for side in found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
