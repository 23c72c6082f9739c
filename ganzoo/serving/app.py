"""The routes, as an ASGI app: TensorFlow Serving's REST contract, health, metrics, the page.

No path of a request reaches the file system: model names are looked up in a dictionary, and the page's files are read
once, at the start.
"""

import asyncio
import contextlib
import functools
import importlib
import logging
import mimetypes
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ganzoo import page as web_page
from ganzoo.errors import missing_extra, nearest
from ganzoo.serving import cost, wire
from ganzoo.serving.batching import Batcher, deadline
from ganzoo.serving.middleware import Guard, Metrics
from ganzoo.serving.models import Servable
from ganzoo.serving.wire import RequestError, clip

LOG = logging.getLogger("ganzoo.serving")
CHOICE = r"(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
CALL = re.compile(rf"/v1/models/(?P<name>[^/:]+){CHOICE}:(?P<verb>classify|regress|predict)", re.IGNORECASE)
STATUS = re.compile(rf"/v1/models(?:/(?P<name>[^/:]+))?{CHOICE}(?P<metadata>/metadata)?", re.IGNORECASE)
SMALL = 2**16  # bytes, or values, that the event loop itself parses or writes; more goes to a thread
BUSY = 2  # seconds after which a client may try again, where nothing better is known
LONGEST_NUMBER = 20  # digits of 2^64; no version and no length is longer, and Python converts no more than 4,300


@dataclass(frozen=True)
class Limits:
    """What one request may ask for, and how much may wait.

    timeout: seconds from a request's head to its answer. queue: rows that may wait for one model. queue_pixels: pixels
    of the pictures that may wait for one model, and of one request. rows: of one request. body: bytes. bodies: bytes of
    all bodies that are held at once. pixels: of one picture, encoded or not. connections: open at once.
    """

    timeout: float = 60.0
    queue: int = 256
    queue_pixels: int = 2**24
    rows: int = 64
    body: int = 16 * 2**20
    bodies: int = 256 * 2**20
    pixels: int = 2**22
    connections: int = 512


@dataclass
class State:
    """What the routes share."""

    servables: dict[str, Servable]
    batchers: dict[str, Batcher]
    limits: Limits
    metrics: Metrics
    ready: bool = True
    held: int = 0  # bytes of bodies
    files: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    # One thread: documents of many megabytes are then in memory one at a time, and Python runs one at a time anyway.
    aside: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="json"))


def create_app(
    servables: Sequence[Servable],
    *,
    limits: Limits | None = None,
    api_key: str | None = None,
    hosts: Sequence[str] | None = None,
    log: str = "text",
):
    """The ASGI app that serves `servables`.

    Raises:
        GanzooError: the extra `serve` is not installed.
    """
    check_extra()
    from starlette.applications import Starlette
    from starlette.routing import Route

    limits, metrics = limits or Limits(), Metrics()
    batchers = {}
    for servable in servables:
        observe = metrics.batch.labels(servable.name).observe
        batchers[servable.name] = batcher = Batcher(
            servable.call, queue=limits.queue, queue_pixels=limits.queue_pixels, observe=observe
        )
        metrics.runtime.labels(servable.name, servable.runtime).set(1)
        metrics.waiting.labels(servable.name).set_function(functools.partial(getattr, batcher, "waiting_rows"))
    state = State({servable.name: servable for servable in servables}, batchers, limits, metrics, files=_page_files())

    @contextlib.asynccontextmanager
    async def lifespan(app):
        yield
        state.ready = False
        for batcher in batchers.values():
            batcher.close()
        state.aside.shutdown()

    verbs = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    routes = [Route(path, _sentences(handler), methods=verbs) for path, handler in ROUTES.items()]
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers={404: _nothing_here, 405: _unknown_method})
    app.state.ganzoo = state
    return Guard(app, metrics=metrics, api_key=api_key, hosts=hosts, log=log)


def check_extra() -> None:
    """Raises the sentence with the install line if a package of the extra `serve` is missing."""
    for package in ("starlette", "uvicorn", "prometheus_client", "orjson"):
        try:
            importlib.import_module(package)
        except ModuleNotFoundError as error:
            raise missing_extra(package.replace("_", "-"), "serve") from error


def _page_files() -> dict[str, tuple[bytes, str]]:
    """Path below `page/` -> (bytes, content type)."""
    found = {}
    for file in web_page.files():
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        found[file.name] = file.read_bytes(), kind
    return found


# ---- routes -----------------------------------------------------------------------------------------------------------
async def v1(request, state: State):
    """Everything below /v1/: the contract's URLs are told apart by its own patterns."""
    path = request.scope["path"]
    call, status = CALL.fullmatch(path), STATUS.fullmatch(path)
    if call:
        _method(request, "POST")
        return await _call(request, state, call)
    if not status:
        raise RequestError(400, f"Malformed request: {request.method} {clip(path)}")
    _method(request, "GET", "HEAD")
    if not status["name"]:
        raise RequestError(400, f"Missing model name in request. Served are: {', '.join(state.servables)}.")
    servable = _servable(request, state, status, metadata=bool(status["metadata"]))
    return _json(_metadata(servable) if status["metadata"] else _status(servable))


async def models(request, state: State):
    _method(request, "GET", "HEAD")
    return _json([servable.about() for servable in state.servables.values()])


async def health(request, state: State):
    _method(request, "GET", "HEAD")
    return _json({"status": "ok"})


async def readiness(request, state: State):
    _method(request, "GET", "HEAD")
    return _json({"status": "ready" if state.ready else "stopping"}, 200 if state.ready else 503)


async def metrics(request, state: State):
    from starlette.responses import Response

    _method(request, "GET", "HEAD")
    text, kind = state.metrics.page()
    return Response(text, headers={"content-type": kind})


async def page(request, state: State):
    _method(request, "GET", "HEAD")
    if "index.html" in state.files:
        return _file(state, "index.html")
    return _json({"models": list(state.servables), "see": "/models.json"})


async def static(request, state: State):
    _method(request, "GET", "HEAD")
    name = request.path_params["name"]
    if name not in state.files:
        raise RequestError(404, "There is no such file.")
    return _file(state, name)


ROUTES = {
    "/": page,
    "/static/{name:path}": static,
    "/models.json": models,
    "/healthz": health,
    "/readyz": readiness,
    "/metrics": metrics,
    "/v1/{rest:path}": v1,
    "/v1": v1,
}


def _sentences(handler):
    """The route: what it raises becomes `{"error": ...}` with its status."""

    async def route(request):
        try:
            return await handler(request, request.app.state.ganzoo)
        except RequestError as error:
            return _json({"error": error.sentence}, error.status, error.headers)
        except Exception:
            LOG.exception("%s: a fault in ganzoo", request.scope["request_id"])
            sentence = f"The server failed; its log has the reason under the request id {request.scope['request_id']}."
            return _json({"error": sentence}, 500)

    return route


async def _nothing_here(request, error):
    return _json({"error": "There is nothing here. Models are below /v1/models/, a list is /models.json."}, 404)


async def _unknown_method(request, error):
    return _json(
        {"error": f"Malformed request: {clip(request.method)} {clip(request.scope['path'])}"}, 405, error.headers
    )


# ---- the contract -----------------------------------------------------------------------------------------------------
async def _call(request, state: State, match: re.Match):
    servable, seconds = _servable(request, state, match, metadata=True), state.limits.timeout
    ends = asyncio.get_running_loop().time() + seconds
    async with deadline(ends, 408, f"The request's body did not arrive within {seconds:g} s."):
        body = await _body(request, state)
    async with deadline(ends, 504, f"The request was not answered within {seconds:g} s; the server is busy."):
        try:
            if match["verb"].lower() != "predict":
                raise RequestError(
                    400,
                    f"Expected {match['verb'].lower()} signature method_name to be "
                    f"tensorflow/serving/{match['verb'].lower()}. Was: tensorflow/serving/predict",
                )
            call = await _aside(state, len(body), _read, body, servable, state.limits)
        finally:
            state.held -= len(body)
            del body
        request.scope["rows"] = call.rows
        outputs = await state.batchers[servable.name].run(call.signature, call.inputs, call.rows, call.pixels)
        size = sum(array.size for array in outputs.values())
        answer = await _aside(state, size, wire.answer, outputs, call.row_form)
    return _bytes(answer)


class Call(NamedTuple):
    """What a request asks of a model; `row_form` says how it wants the answer."""

    signature: str
    inputs: dict[str, np.ndarray]
    row_form: bool
    rows: int
    pixels: int


def _read(body: bytes, servable: Servable, limits: Limits) -> Call:
    """The call that a body asks for. Raises RequestError 400 if it does not fit the model or is too much."""
    document = wire.parse(body)
    name = wire.signature_name(document)
    if name not in servable.signatures:
        near = nearest(clip(name), servable.signatures)
        raise RequestError(400, f'Serving signature name: "{clip(name)}" not found in signature def.{near}')
    specs = servable.signatures[name].inputs
    inputs, row_form = wire.arrays(document, specs, limits.rows)
    rows = wire.check_shapes(inputs, specs)
    inputs = servable.read(inputs)
    return Call(name, inputs, row_form, rows, cost.pixels(inputs, rows, limits, servable.image_size() or 64))


def _servable(request, state: State, match: re.Match, *, metadata: bool) -> Servable:
    """The model that the URL names. `metadata`: of two sentences of TensorFlow Serving the one for its handles."""
    name, version, label = match["name"], match["version"], match["label"]
    number = int(version) if version is not None and len(version) <= LONGEST_NUMBER else None
    if number is not None and number >= 2**63:
        raise RequestError(400, f"Failed to convert version: {version} to numeric.")
    if label is not None:
        raise RequestError(400, f"Unrecognized servable version label: {clip(label)}")
    found, called, version = state.servables.get(name), clip(name), version and clip(version)
    if found is None:
        what = f"Latest({called})" if version is None else f"Specific({called}, {version})"
        sentence = (
            f"Servable not found for request: {what}" if metadata else f"Could not find any versions of model {called}"
        )
        raise RequestError(404, f"{sentence}.{nearest(called, state.servables)}")
    if version is not None and number != found.version:
        sentence = f"Servable not found for request: Specific({name}, {version})"
        raise RequestError(404, sentence if metadata else f"Could not find version {version} of model {name}")
    request.scope["model"] = name
    return found


def _status(servable: Servable) -> dict:
    status = {"error_code": "OK", "error_message": ""}
    return {"model_version_status": [{"version": str(servable.version), "state": "AVAILABLE", "status": status}]}


def _metadata(servable: Servable) -> dict:
    spec = {"name": servable.name, "signature_name": "", "version": str(servable.version)}
    described = {"signature_def": {"signature_def": servable.definitions}}
    return {
        "model_spec": spec,
        "metadata": described,
        "runtime": servable.runtime,
    }  # TensorFlow Serving has no last one


# ---- plumbing ---------------------------------------------------------------------------------------------------------
async def _body(request, state: State) -> bytes:
    """The request's body, which counts as held until the caller takes it off `state.held`.

    Raises:
        RequestError: 413 as soon as it is known to be too long, 503 if too much is held, 400 if the client leaves.
    """
    from starlette.requests import ClientDisconnect

    limits = state.limits
    too_long = RequestError(413, f"The body is longer than {limits.body:,} bytes.")
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and (len(announced) > LONGEST_NUMBER or int(announced) > limits.body):
        raise too_long
    parts, size = [], 0
    try:
        async for part in request.stream():
            size += len(part)
            state.held += len(part)
            if size > limits.body:
                raise too_long
            if state.held > limits.bodies:
                sentence = f"The server reads too much at once. Try again in {BUSY} s."
                raise RequestError(503, sentence, {"Retry-After": str(BUSY)})
            parts.append(part)
    except BaseException as error:
        state.held -= size
        if isinstance(error, ClientDisconnect):
            raise RequestError(400, "The client left before its request was complete.") from None
        raise
    return b"".join(parts)


async def _aside(state: State, size: int, function: Callable, *arguments):
    """`function(*arguments)`, in a thread if it handles much: the event loop goes on answering."""
    if size <= SMALL:
        return function(*arguments)
    return await asyncio.get_running_loop().run_in_executor(state.aside, function, *arguments)


def _method(request, *accepted: str) -> None:
    if request.method not in accepted:
        asked = f"{request.method} {clip(request.scope['path'])}"
        sentence = f"Malformed request: {asked}. Accepted here: {', '.join(accepted)}."
        raise RequestError(405, sentence, {"Allow": ", ".join(accepted)})


def _json(document, status: int = 200, headers: dict | None = None):
    return _bytes(wire.dumps(document), status, headers)


def _bytes(body: bytes, status: int = 200, headers: dict | None = None):
    from starlette.responses import Response

    return Response(body, status, headers, media_type="application/json")


def _file(state: State, name: str):
    from starlette.responses import Response

    body, kind = state.files[name]
    return Response(body, media_type=kind, headers={"cache-control": "no-cache"})
