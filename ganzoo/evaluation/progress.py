"""Progress on standard error: a bar on a terminal, elsewhere lines."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ganzoo.errors import say

EVERY = 30.0  # seconds between two lines where no bar can be drawn


@contextmanager
def bar(shown: bool) -> Iterator[Callable[[str, int, int], None] | None]:
    """A function `report(what, done, total)` that draws one bar, the latest `what` in front of it; None if not `shown`.

    Where standard error is not a terminal it writes a line every 30 seconds."""
    if not shown:
        yield None
        return
    if not sys.stderr.isatty():
        yield _lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        tasks: dict[str, TaskID] = {}

        def report(what: str, done: int, total: int) -> None:
            if what not in tasks:
                for task in tasks.values():
                    progress.update(task, visible=False)
                tasks[what] = progress.add_task(what, total=total)
            progress.update(tasks[what], completed=done, total=total)

        yield report


def _lines(now: Callable[[], float] = time.monotonic) -> Callable[[str, int, int], None]:
    said = now()

    def report(what: str, done: int, total: int) -> None:
        nonlocal said
        if now() - said >= EVERY:
            said = now()
            say(f"{what}: {done:,} of {total:,}")

    return report
