"""The process: takes the port, exports and loads the models, serves until it is told to stop, answers what is under way."""

import dataclasses
import gc
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ganzoo.errors import GanzooError
from ganzoo.serving import connection, models, runtimes
from ganzoo.serving.app import Limits, check_extra, create_app
from ganzoo.serving.middleware import LOG, LOOPBACK


def serve(
    arguments: Sequence[str],
    *,
    host: str = "127.0.0.1",
    port: int = 8501,
    limits: Limits | None = None,
    api_key: str | None = None,
    allow_random: bool = False,
    runtime: str = "auto",
    log: str = "text",
    say: Callable[[str], None] = lambda line: None,
) -> None:
    """Serves each `[NAME=]MODEL` of `arguments` and returns after SIGTERM, when every request under way is answered.

    Args:
        host: the address to listen on; the loopback address answers requests of this machine only.
        port: 0 takes any free one; the line for `say` has it.
        api_key: asked of every request; None asks none.
        allow_random: serve untrained weights of a preset that has no others.
        runtime: what computes the networks: "tensorflow"; "onnx", ONNX Runtime, whose answers may differ by 1 of 255; or
            "auto", ONNX Runtime where its answers have the same bytes.
        log: of requests, on standard error: "text", "json" or "none".
        say: is given a line for people now and then.

    Raises:
        GanzooError: a port in use, an unknown model, two models of one name, the extra `serve` missing, another runtime, or a
            model that ONNX Runtime was asked for by name and cannot serve.
    """
    check_extra()
    runtimes.check(runtime)
    names = [models.split(argument)[0] for argument in arguments]
    for name in names:
        if names.count(name) > 1:
            raise GanzooError(f'Two models would be called "{name}"; give one another name: NAME=MODEL.')
    listener = _bind(host, port)
    limits = limits or Limits()
    limits = dataclasses.replace(limits, connections=_connections(limits.connections))
    with listener, tempfile.TemporaryDirectory(prefix="ganzoo-serve-") as scratch:
        signal.signal(signal.SIGTERM, lambda *_: _leave(scratch))
        servables = []
        for argument in arguments:
            name, folder = models.prepare(argument, Path(scratch), allow_random=allow_random, runtime=runtime, say=say)
            servables.append(found := models.load(name, folder, runtime=runtime, fresh=folder.is_relative_to(scratch)))
            found.warm_up()
            why = f" ({found.note})" if found.note else ""
            say(f"{name}: {found.manifest.get('model', folder)}, version {found.version}, {found.runtime}{why}")
        hosts = LOOPBACK if _is_loopback(host) else None
        app = create_app(servables, limits=limits, api_key=api_key, hosts=hosts, log=log)
        _logging(log)
        gc.freeze()  # the million objects of TensorFlow need not be looked at again while requests are answered
        address = f"[{host}]" if ":" in host else host
        _run(app, listener, limits, lambda: say(f"Serving on http://{address}:{listener.getsockname()[1]}"))


def _leave(scratch: str) -> None:
    """Ends the process while models are still prepared. An exception could be lost inside TensorFlow."""
    shutil.rmtree(scratch, ignore_errors=True)
    os._exit(128 + signal.SIGTERM)


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")


def _bind(host: str, port: int) -> socket.socket:
    """A socket that holds the port; it listens when the server runs."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, kind, protocol)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(0)  # a port that another server listens on can be bound with SO_REUSEADDR, but not listened on
    except (OSError, OverflowError) as error:
        raise GanzooError(f"Cannot listen on {host}:{port}: {getattr(error, 'strerror', None) or error}.") from error
    return found


def _connections(wanted: int) -> int:
    """As many as half of the process's descriptors are enough for: models and files need some, and so does accepting."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows, which has no such limit
        return wanted
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if most == resource.RLIM_INFINITY else min(wanted, max(1, most // 2))


def _logging(log: str) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s" if log == "json" else "%(asctime)s %(message)s"))
    LOG.handlers, LOG.propagate = [handler], False
    LOG.setLevel(logging.INFO)


def _run(app, listener: socket.socket, limits: Limits, started: Callable[[], None]) -> None:
    """Serves on the socket until SIGTERM; requests under way have `timeout` seconds to be answered."""
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets=None):
            await super().startup(sockets)
            started()

        async def on_tick(self, counter):
            clients: list[Any] = list(self.server_state.connections)  # of the class that `connection` makes
            for client in clients:
                client.check()
            return await super().on_tick(counter)

    config = uvicorn.Config(
        app,
        http=connection.protocol(limits),
        ws="none",
        h11_max_incomplete_event_size=connection.HEAD_BYTES,
        backlog=max(16, limits.connections // 2),  # so many may be accepted before one is counted
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(limits.timeout) + 1,
    )
    # uvicorn raises the signal that ended it once more when it has drained; by then SIGTERM has done its work.
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        Server(config).run(sockets=[listener])
    finally:
        signal.signal(signal.SIGTERM, before)
