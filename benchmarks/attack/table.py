"""What people bring, tried on real processes: each line of the table is a kind of attack, a fault where it got through.

    python -m benchmarks.attack [--only SECTION ...] [--few]

Loopback only, each attack bounded, under 15 minutes in all. A section is a function (folder, few) -> rows; it makes what it
needs below the folder. The last line says how many attempts failed; exit code 1 if any did.

TensorFlow is loaded once. What needs it runs in processes forked from here, before any operation has run: as real as a
command that was typed, to signals, memory and files, and without the seconds that its import takes.
"""

import argparse
import importlib
import multiprocessing
import os
import queue
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ganzoo.devices.quiet import load_tensorflow

FORK = multiprocessing.get_context("fork")
LOADED = ("ganzoo.training", "ganzoo.importers", "ganzoo.explore", "ganzoo.evaluation", "trimesh", "rich.console")
ROOM = 4 * 2**30  # bytes of memory that a process may take beyond what it begins with


class Row(NamedTuple):
    """A line of the table: a kind of attack, how often it was tried, and what got through in words."""

    section: str
    attack: str
    tries: int
    faults: Sequence[str]
    seconds: float
    note: str = ""


def apart(
    function: Callable[..., Iterator[tuple[str, str | None]]], *given, wait: float = 240.0
) -> tuple[int, list[str]]:
    """(how many attempts, faults) of a function that yields (what is tried, what was wrong) before and after each attempt, in a
    process of its own: one that dies or says nothing for `wait` seconds failed at what it tried last."""
    told = FORK.Queue()
    process = FORK.Process(target=_tell, args=(told, function, given), daemon=True)
    process.start()
    tries, faults, last, heard = 0, [], "the beginning", time.monotonic()
    while True:
        try:
            said, heard = told.get(timeout=0.5), time.monotonic()
        except queue.Empty:
            alive = process.is_alive()
            if alive and time.monotonic() - heard < wait:
                continue
            process.kill()
            how = f"took more than {wait:g} s" if alive else f"ended the process ({process.exitcode})"
            return tries, [*faults, f"{last}: {how}"]
        if said is None:
            process.join()
            return tries, faults
        last, wrong = said
        if wrong is None:
            tries += 1
        elif wrong:
            faults.append(f"{last}: {wrong}")


def _tell(told, function: Callable, given: tuple) -> None:
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + ROOM, resource.RLIM_INFINITY))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    try:
        for said in function(*given):
            told.put(said)
    except BaseException as error:
        told.put(("the attack itself", f"{type(error).__name__}: {error}"))
    told.put(None)


def line(found: Row) -> str:
    text = f"{found.section:<10} {found.attack:<36} {found.tries:>6} {len(found.faults):>6} {found.seconds:>6.0f} s  {found.note}"
    return "\n".join([text.rstrip(), *(f"    {words}" for words in found.faults[:5])])


def main(arguments: Sequence[str] | None = None) -> int:
    from benchmarks.attack.bad_files import bad_files  # here, since they take `Row` from this module
    from benchmarks.attack.flips import flips
    from benchmarks.attack.kills import kills
    from benchmarks.attack.requests import requests

    sections = (kills, flips, bad_files, requests)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [section.__name__ for section in sections]
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="SECTION", help=", ".join(names))
    parser.add_argument("--few", action="store_true", help="about a tenth of the attempts, and no requests")
    options = parser.parse_args(arguments)
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # a process that was forked cannot share a GPU
    load_tensorflow(devices=False)
    for name in LOADED:
        importlib.import_module(name)
    rows, start = [], time.monotonic()
    print(f"{'section':<10} {'attack':<36} {'tries':>6} {'failed':>6} {'time':>8}")
    for section in sections:
        if section.__name__ not in options.only or (section is requests and options.few):
            continue
        with tempfile.TemporaryDirectory() as folder:
            for found in section(Path(folder), options.few):
                rows.append(found)
                print(line(found), flush=True)
    failed = sum(len(found.faults) for found in rows)
    print(f"{sum(found.tries for found in rows)} attempts in {time.monotonic() - start:.0f} s, {failed} failed")
    return 1 if failed else 0
