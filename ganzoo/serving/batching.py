"""Dynamic batching: requests that wait while the model works are run together in the next call.

Nothing waits on purpose. An idle server runs a request at once and alone; a busy one finds several waiting and takes those
of the same signature and shapes, up to 32 rows, or as many as a second is enough for: where a row takes long, sharing a
call gains nothing and makes all wait for the slowest. A call has 1, 2, 4, 8, 16 or 32 rows, since another count can round
differently: what waits is cut at such a number where the requests allow it, and padded with copies of the last row
where they do not.
"""

import asyncio
import collections
import contextlib
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from ganzoo.exporting.divided import BUCKETS
from ganzoo.serving.wire import RequestError

Arrays = dict[str, np.ndarray]


@dataclass(eq=False)
class Job:
    """Rows of one request, at most the largest bucket; `key` says with which others they can run."""

    signature: str
    inputs: Arrays
    rows: int
    pixels: int
    key: tuple
    future: asyncio.Future


class Batcher:
    """Runs the requests of one model in a thread of its own. Used from one event loop.

    Args:
        call: (signature, arrays) -> arrays, with one row of output for each row of input.
        queue, queue_pixels: rows and pixels that may wait; a request beyond is refused with 429.
        observe: called with the rows of every call of the model.
        call_seconds: what a shared call may take, as far as can be told.
    """

    def __init__(
        self,
        call: Callable[[str, Arrays], Arrays],
        *,
        queue: int,
        queue_pixels: int = 2**24,
        observe: Callable[[int], None] = lambda rows: None,
        call_seconds: float = 1.0,
    ):
        self.call, self.queue, self.queue_pixels, self.observe = call, queue, queue_pixels, observe
        self.waiting: collections.deque[Job] = collections.deque()
        self.waiting_rows = self.waiting_pixels = 0
        self.call_seconds, self.row_seconds = call_seconds, 0.1  # the latter a running average
        self.busy = False
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self.tasks: set[asyncio.Task] = set()

    async def run(self, signature: str, inputs: Arrays, rows: int, pixels: int = 0) -> Arrays:
        """The outputs for one request, whose pictures have so many pixels. A request without rows is run too, alone.

        Raises:
            RequestError: 429 if too much waits, and what the model raises.
        """
        full = self.waiting_rows + rows > self.queue or self.waiting_pixels + pixels > self.queue_pixels
        if self.waiting_rows and full:
            seconds = max(1, math.ceil(self.waiting_rows * self.row_seconds))
            waiting = f"{self.waiting_rows} rows of {self.waiting_pixels:,} pixels wait"
            raise RequestError(
                429, f"The queue is full: {waiting}. Try again in {seconds} s.", {"Retry-After": str(seconds)}
            )
        key = (signature, rows == 0, *(array.shape[1:] for array in inputs.values()))
        loop = asyncio.get_running_loop()
        jobs = []
        for start in range(0, max(rows, 1), BUCKETS[-1]):
            part = {name: array[start : start + BUCKETS[-1]] for name, array in inputs.items()}
            count = min(rows - start, BUCKETS[-1])
            jobs.append(Job(signature, part, count, pixels * count // max(rows, 1), key, loop.create_future()))
        self.waiting.extend(jobs)
        self._count(jobs, 1)
        self._next()
        try:
            parts = await asyncio.gather(*(job.future for job in jobs))
        except BaseException:  # past its deadline, or one part failed: what has not begun is not begun
            unbegun = [job for job in jobs if job in self.waiting]
            for job in unbegun:
                self.waiting.remove(job)
            self._count(unbegun, -1)
            raise
        return parts[0] if len(parts) == 1 else {k: np.concatenate([part[k] for part in parts]) for k in parts[0]}

    def close(self) -> None:
        """Ends the thread after its present call."""
        self.thread.shutdown(wait=True)

    def _next(self) -> None:
        """Begins the next call if the model is free."""
        if self.busy or not self.waiting:
            return
        jobs = self._take()
        self.busy = True
        task = asyncio.get_running_loop().create_task(self._work(jobs))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def _take(self) -> list[Job]:
        """The first job and those that can run with it, as many as fill a bucket."""
        most = max((bucket for bucket in BUCKETS if bucket * self.row_seconds <= self.call_seconds), default=1)
        key, rows = self.waiting[0].key, 0
        jobs: list[Job] = []
        for job in self.waiting:
            if job.key == key and (not jobs or rows + job.rows <= most):
                jobs.append(job)
                rows += job.rows
            if rows >= most:
                break
        full = max((bucket for bucket in BUCKETS if bucket <= rows), default=0)
        while rows - jobs[-1].rows >= max(full, 1):
            rows -= jobs.pop().rows
        taken = set(map(id, jobs))
        self.waiting = collections.deque(job for job in self.waiting if id(job) not in taken)
        self._count(jobs, -1)
        return jobs

    def _count(self, jobs: list[Job], sign: int) -> None:
        """Adds jobs to what waits, or takes them off."""
        self.waiting_rows += sign * sum(job.rows for job in jobs)
        self.waiting_pixels += sign * sum(job.pixels for job in jobs)

    async def _work(self, jobs: list[Job]) -> None:
        try:
            answers = await asyncio.get_running_loop().run_in_executor(self.thread, self._call, jobs)
        except RuntimeError as error:  # the thread has ended
            answers = [error] * len(jobs)
        finally:
            self.busy = False
            self._next()
        for job, answer in zip(jobs, answers, strict=True):
            if job.future.done():
                continue
            if isinstance(answer, Exception):
                job.future.set_exception(answer)
            else:
                job.future.set_result(answer)

    def _call(self, jobs: list[Job]) -> list[Arrays | Exception]:
        """In the thread: one call for all jobs; if that fails, one for each, so that a bad one fails alone."""
        start = time.perf_counter()
        rows = sum(job.rows for job in jobs)
        try:
            outputs = self._run(jobs)
        except Exception as error:  # a refusal, too little memory for all together, or a fault: told to its own request
            if len(jobs) == 1:
                return [error]
            return [self._call([job])[0] for job in jobs]
        if rows:
            self.row_seconds += 0.2 * ((time.perf_counter() - start) / rows - self.row_seconds)
        ends = np.cumsum([job.rows for job in jobs])
        return [{k: v[end - job.rows : end] for k, v in outputs.items()} for job, end in zip(jobs, ends, strict=True)]

    def _run(self, jobs: list[Job]) -> Arrays:
        rows = sum(job.rows for job in jobs)
        bucket = next(b for b in BUCKETS if b >= rows) if rows else 0
        inputs = {}
        for name in jobs[0].inputs:
            parts = [job.inputs[name] for job in jobs]
            parts += [parts[-1][-1:]] * (bucket - rows)
            inputs[name] = parts[0] if len(parts) == 1 else np.concatenate(parts)
        outputs = self.call(jobs[0].signature, inputs)
        self.observe(rows)
        return outputs


@contextlib.asynccontextmanager
async def deadline(ends: float, status: int, sentence: str):
    """Ends its body with a RequestError when the event loop's clock reaches `ends`."""
    try:
        async with asyncio.timeout_at(ends):
            yield
    except TimeoutError:
        raise RequestError(status, sentence) from None
