"""Requests to an ASGI app in this process, and to a server in a process of its own."""

import asyncio
import os
import re
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[2]


class AppClient:
    """Calls an app without a socket. `request` is one request; `together` runs several at once in one event loop."""

    def __init__(self, app):
        self.app = app

    def request(self, method, path, **options) -> httpx.Response:
        return self.together([(method, path, options)])[0]

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def post(self, path, **options):
        return self.request("POST", path, **options)

    def together(self, requests, between=None) -> list[httpx.Response]:
        """`between(i)` is awaited after request i was begun."""

        async def run():
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=True)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=60) as client:
                tasks = []
                for i, (method, path, options) in enumerate(requests):
                    tasks.append(asyncio.create_task(client.request(method, path, **options)))
                    if between:
                        await between(i)
                return await asyncio.gather(*tasks)

        return asyncio.run(run())


@contextmanager
def server(*words, **environment):
    """`ganzoo serve ... --port 0` in a process: yields (process, url, lines of its standard error), and kills it."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", "ganzoo", "serve", *map(str, words), "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": path, **environment}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    lines, started = [], threading.Event()

    def read():
        for line in process.stderr:
            lines.append(line.rstrip())
            if line.startswith("Serving on"):
                started.set()
        started.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        assert started.wait(120), lines
        found = [re.search(r"http://\S+", line) for line in lines if line.startswith("Serving on")]
        assert found, lines
        yield process, found[0][0], lines
    finally:
        process.kill()
        process.wait()
        reader.join(10)
        process.stderr.close()
