"""Clocks and memory of one child process. NumPy and the standard library only."""

import os
import resource
import statistics
import sys
import time
from collections.abc import Callable

WARM_UP = 3  # calls before the clock starts: tracing, allocation, oneDNN's choice of kernels
FEWEST = 5  # timed calls, however long they take


def timed(call: Callable[[], object], seconds: float) -> list[float]:
    """Durations in seconds of single calls, for at least `seconds` and `FEWEST` calls."""
    durations = []
    end = time.perf_counter() + seconds
    while len(durations) < FEWEST or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        durations.append(time.perf_counter() - start)
    return durations


def warm_up(call: Callable[[], object]) -> None:
    """A few calls without a clock."""
    for _ in range(WARM_UP):
        call()


def summary(durations: list[float]) -> dict[str, float]:
    """Median and quartiles in milliseconds, and the number of calls."""
    low, middle, high = statistics.quantiles(durations, n=4)
    return {
        "ms": round(middle * 1000, 3),
        "ms_low_quartile": round(low * 1000, 3),
        "ms_high_quartile": round(high * 1000, 3),
        "calls": len(durations),
    }


def peak_mib() -> float:
    """The largest resident memory of this process so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
