"""Requests to an ASGI app in this process, and to a server in a process of its own."""

import asyncio
import base64
import os
import re
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np

from ganzoo.media import images

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


def picture(height=12, width=20, seed=0):
    return images.png_bytes(np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8))


def b64(data):
    return {"b64": base64.b64encode(data).decode()}


def row(data, seed=0):
    return {"image_bytes": b64(data), "seed": seed}


def predict(client, model, **document):
    return client.post(f"/v1/models/{model}:predict", json=document)


def refusal(answer, status):
    """The one sentence of a refused request."""
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    return answer.json()["error"]


class Gate:
    """Holds the calls of a batcher back until it is opened; notes the rows of each call."""

    def __init__(self, batcher):
        self.call, self.open, self.rows = batcher.call, threading.Event(), []
        batcher.call_seconds = float("inf")  # waiting at the gate is not a time of the model's
        batcher.call = self

    def __call__(self, signature, inputs):
        assert self.open.wait(30)
        self.rows.append(len(next(iter(inputs.values()))))
        return self.call(signature, inputs)


async def until(condition):
    while not condition():
        await asyncio.sleep(0.005)
