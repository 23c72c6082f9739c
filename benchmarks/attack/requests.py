"""Hostile requests to `ganzoo serve`, a real process: REQUESTS holds the attacks, `requests` tries each."""

import base64
import contextlib
import io
import json
import multiprocessing
import queue
import random
import re
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from benchmarks.attack.table import Row
from ganzoo.media import images

FAST = 5.0  # seconds in which /healthz answers whatever else goes on; a tenth of one where the machine is not busy
HEADERS = {"x-frame-options": "DENY", "x-content-type-options": "nosniff", "content-security-policy": "frame-ancestors"}
LEAKS = re.compile(r"Traceback|\{\{node|Detected at node|StatefulPartitionedCall|map/while|File \"")


@dataclass
class Target:
    """A server that serves `dcgan` and `pix2pix`; `timeout` is what it was started with."""

    port: int
    timeout: float


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    text: str


def request(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """The bytes of a request; `_` in a header's name stands for `-`."""
    lines = {"Host": "localhost"} | ({"Content-Length": str(len(body))} if body or method == "POST" else {})
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body


def predict(document, model: str = "dcgan", **headers: str) -> bytes:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return request("POST", f"/v1/models/{model}:predict", body, **headers)


def connect(target: Target, wait: float | None = None) -> socket.socket:
    return socket.create_connection(("127.0.0.1", target.port), timeout=wait or target.timeout + 10)


def send(client: socket.socket, data: bytes) -> None:
    """As much as the server takes: it may refuse before it has all."""
    with contextlib.suppress(ConnectionError):
        client.sendall(data)


def receive(client: socket.socket, method: str = "POST") -> Answer | None:
    """The next answer; None if the connection ended without one, status 0 if nothing came in time."""
    response = HTTPResponse(client, method=method)
    try:
        response.begin()
        text = response.read().decode("utf-8", "replace")
    except TimeoutError:
        return Answer(0, {}, f"no answer within {client.gettimeout():g} s")
    except (ConnectionError, HTTPException):
        return None
    return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, text)


def ask(target: Target, data: bytes, *, half_close: bool = False) -> Answer | None:
    with connect(target) as client:
        send(client, data)
        if half_close:
            client.shutdown(socket.SHUT_WR)
        return receive(client, data.split(b" ", 1)[0].decode("latin-1"))


def fault(answer: Answer | None, *statuses: int) -> str | None:
    """What is wrong with an answer that should have one of the statuses; None may stand for a closed connection."""
    if answer is None:
        return None if None in statuses else "closed without an answer"
    if answer.status not in statuses:
        return f"{answer.status} instead of {statuses}: {answer.text[:150]}"
    missing = [name for name, value in HEADERS.items() if value not in answer.headers.get(name, "")]
    if missing:
        return f"{answer.status} without {', '.join(missing)}"
    if answer.status < 400:
        return None
    try:
        document = json.loads(answer.text or "{}")
    except ValueError:
        return f"{answer.status} is not JSON: {answer.text[:150]}"
    if answer.text and (list(document) != ["error"] or len(document["error"]) > 1100):
        return f"{answer.status} is not a short sentence: {answer.text[:150]}"
    if LEAKS.search(answer.text):
        return f"{answer.status} tells of the inside: {answer.text[:300]}"
    if answer.status in (429, 503) and "retry-after" not in answer.headers:
        return f"{answer.status} without Retry-After"
    return None


def each(target: Target, cases: Sequence[bytes], *statuses: int | None) -> list[str | None]:
    """Sends each case on a connection of its own; every answer must have one of the statuses. Five faults are enough."""
    found = []
    for case in cases:
        found.append(fault(ask(target, case), *statuses))
        if len(found) - found.count(None) >= 5:
            break
    return found


def long_heads(target: Target) -> list:
    cases = [
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"a" * 2**20,
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + b"X-Many: 1\r\n" * 100_000,
        b"GET /" + b"a" * 2**20,
        b"A" * 2**20,
        request("GET", "/healthz", X_Long="a" * 60_000),
        request("POST", "/v1/models/dcgan:predict", Cookie="a=b; " * 20_000),
    ]
    return each(target, cases * 5, 400, 431)


def slow_heads(target: Target) -> list:
    """One byte at a time, for ever: the server ends it."""

    def trickle(head: bytes) -> str | None:
        start = time.monotonic()
        with connect(target) as client:
            client.settimeout(0.25)
            for byte in head:
                try:
                    client.sendall(bytes([byte]))
                    client.recv(1)
                    return None
                except TimeoutError:
                    pass
                except ConnectionError:
                    return None
                if time.monotonic() - start > target.timeout + 15:
                    break
        return f"still open after {time.monotonic() - start:.0f} s"

    heads = [b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + b"a" * 1000, b"G" * 1000, b"\r\n" * 1000]
    return together(trickle, heads * 10)


def half_sent(target: Target) -> list:
    """More requests without an end than a process has descriptors; meanwhile others are answered."""
    head = request("POST", "/v1/models/dcgan:predict", Content_Length="100")
    with descriptors(4096), contextlib.ExitStack() as stack:
        for i in range(1300):
            client = stack.enter_context(connect(target))
            send(client, head + b'{"instances"' if i % 2 else head[:-10])
        found = [fault(ask(target, request("GET", "/healthz")), 200) for _ in range(20)]
        found += [fault(ask(target, predict({"instances": [1]})), 200) for _ in range(5)]
    return found


def unfinished(target: Target) -> list:
    """Bodies that stop half-way: each ends with 408."""

    def stop(data: bytes) -> str | None:
        return fault(ask(target, data), 408)

    whole = predict({"instances": [1]})
    chunked = request("POST", "/v1/models/dcgan:predict", Content_Length="", Transfer_Encoding="chunked").replace(
        b"Content-Length: \r\n", b""
    )
    return together(stop, [whole[:-1], whole[:-15], chunked, chunked + b"5\r\n[", chunked + b"1\r\n[\r\n"] * 4)


def idle(target: Target) -> list:
    """Connections on which nothing comes, and keep-alive ones: the server ends them."""

    def wait(data: bytes) -> str | None:
        with connect(target, 30) as client:
            send(client, data)
            try:
                while client.recv(4096):
                    pass
            except ConnectionError:
                pass
            except TimeoutError:
                return "still open after 30 s"
        return None

    return together(wait, [b"", request("GET", "/healthz")] * 10)


def bad_json(target: Target) -> list:
    bodies = [
        b"", b"{", b"[" * 100_000, b'{"a":' * 50_000, b"[" * 900 + b"NaN" + b"]" * 900, b"null", b"[]", b'"\xff\xfe"', b"\x00",
        b'{"instances": [NaN]}', b'{"instances": [Infinity]}', b'{"instances": [1e999]}', b'{"instances": [-0.5]}',
        b'{"instances": [%s]}' % (b"9" * 5000), b'{"instances": [NaN, %s]}' % (b"9" * 4000), b'{"instances": [9223372036854775808]}',
        b'{"instances": ' + b"[" * 500 + b"1" + b"]" * 500 + b"}", b'{"instances": {"seed": 1}}', b'{"instances": "1"}',
        b'{"instances": [' + b"0," * 1_000_000 + b"0]}", b'{"inputs": [' + b"0," * 1_000_000 + b"0]}",
        b'{"inputs": {"seed": [[1]]}}', b'{"inputs": {"seed": [{"b64": "!"}]}}', b'{"instances": [1], "inputs": [1]}',
        b'{"instances": [1], "signature_name": %s}' % json.dumps("x" * 1_000_000).encode(),
        b'{"instances": [{%s: 1}]}' % json.dumps("x" * 1_000_000).encode(), b'{"instances": ["\\ud800"]}',
        b'{"signature_name": "tensors", "instances": [[1e39]]}', b'{"signature_name": "tensors", "inputs": [[NaN]]}',
    ]  # fmt: skip
    found = each(target, [predict(body) for body in bodies], 400)
    pictures = [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"x" * 1000, image(16)[:-20], image(16).replace(b"IDAT", b"IDAX")]
    return found + each(target, [predict({"instances": [row(data)]}, "pix2pix") for data in pictures], 400)


def other_sites(target: Target) -> list:
    """A web page elsewhere that posts to this server, by Origin, by Fetch metadata, by a name of its own."""
    document = {"instances": [1]}
    sites = ["http://evil.example", "http://localhost:1", "https://localhost.evil.example", "null", "", "file://"]
    cases = [predict(document, Origin=site) for site in sites]
    cases += [predict(document, Sec_Fetch_Site="cross-site"), predict(document, Sec_Fetch_Site="Cross-Site")]
    cases += [
        predict(document, Host="evil.example"),
        predict(document, Host="evil.example", Origin="http://evil.example"),
    ]
    cases += [predict(document, Origin="http://evil.example", Content_Type="text/plain")]
    own = [predict(document), predict(document, Origin="http://localhost", Sec_Fetch_Site="same-origin")]
    return each(target, cases, 403) + each(target, own, 200)


def numbers(target: Target) -> list:
    """Numbers longer than Python converts, in every place of a request."""
    long = "9" * 4301
    paths = [f"/v1/models/dcgan/versions/{n}" for n in (long, "0" * 4301, "9" * 12_000, "1" * 21)]
    cases = [request("GET", path + end) for path in paths for end in ("", "/metadata")]
    cases += [request("POST", f"{path}:predict", b'{"instances": [1]}') for path in paths]
    found = each(target, cases, 404)
    paths = [f"/v1/models/{long}", f"/static/{long}", f"/{long}", f"/v1/models/{long}/versions/{long}"]
    found += each(target, [request("GET", path) for path in paths], 404)
    found += each(target, [request("GET", path) for path in ("/v1/models/dcgan/labels/" + long, "/v1/" + long)], 400)
    lengths = ["-1", "1.5", long, "9" * 20, "0x10", "1, 2", "\xb2"]
    found += each(target, [request("POST", "/v1/models/dcgan:predict", Content_Length=n) for n in lengths], 400, 413)
    start = request("POST", "/v1/models/dcgan:predict").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    sizes = [b"-1", b"g", b"f" * 5000, b"ffffffffffffffff", b"1;" + b"a" * 100_000, b" 1", b""]
    return found + each(target, [start + size + b"\r\n" + b"x" * 100 + b"\r\n" for size in sizes], 400, 408, 413, 431)


def long_bodies(target: Target) -> list:
    """Bodies beyond the limit, and many large ones at once."""
    start = request("POST", "/v1/models/dcgan:predict").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    body = b"10000\r\n" + b"x" * 2**16 + b"\r\n"
    found = each(target, [predict(b"x" * (17 * 2**20)), start + body * 300], 413)
    trailers = start + b"1\r\n1\r\n0\r\n" + b"X-Trailer: 1\r\n" * 100_000
    found += each(target, [trailers], 400, 431)
    tiny = start + b"1\r\n \r\n" * 200_000 + b"0\r\n\r\n"
    found += each(target, [tiny], 400)
    large = [predict(b"[" + b"[]," * count + b"0]") for count in (2_000_000, 5_000_000)]
    return found + together(lambda data: fault(ask(target, data), 400, 408, 503, 504), large * 6)


def pixels(target: Target) -> list:
    """Files of a few kilobytes that cost millions of pixels, over and over; then the server is soon free again."""
    flat = image(2048)
    bombs = [frames(2048, 100), scans(2048, 2000), image(2049), image(5000, 840)]
    found = each(target, [predict({"instances": [row(data)]}, "pix2pix") for data in bombs], 400)
    found += each(target, [predict({"instances": [row(flat)] * 5}, "pix2pix")], 400)
    flood = [predict({"instances": [row(flat)]}, "pix2pix")] * 100
    answers = together(lambda data: ask(target, data), flood, workers=100)
    found += [fault(answer, 200, 429, 504) for answer in answers]
    if sum(answer is not None and answer.status == 429 for answer in answers) < 80:
        found.append("the queue took more than 20 pictures of four million pixels")
    for _ in range(60):
        answer = ask(target, predict({"instances": [row(image(64))]}, "pix2pix"))
        if answer is None or answer.status != 429:
            break
        time.sleep(min(5, float(answer.headers["retry-after"])))
    return [*found, fault(answer, 200, 504)]


def half_closed(target: Target) -> list:
    """Clients that send all and shut their side down get every answer."""
    health = request("GET", "/healthz")
    cases = [
        health,
        predict({"instances": [1, 2, 3]}),
        request("GET", "/models.json"),
        predict({"instances": ["a"]}),
    ] * 5
    found = [fault(ask(target, case, half_close=True), 200, 400) for case in cases]
    for data in (health * 5, predict({"instances": [1]}) * 3):
        with connect(target) as client:
            send(client, data)
            client.shutdown(socket.SHUT_WR)
            stream = b""
            while part := client.recv(2**16):
                stream += part
        got, wanted = stream.count(b"HTTP/1.1 200"), data.count(b"HTTP/1.1\r\n")
        found.append(None if got == wanted else f"{got} of {wanted} pipelined answers")
    return found


def pipelines(target: Target) -> list:
    """Hundreds of requests in one piece, read and unread."""
    with connect(target) as client:
        send(client, request("GET", "/healthz") * 300)
        stream = b""
        while stream.count(b"HTTP/1.1 200") < 300 and (part := client.recv(2**16)):
            stream += part
    found = [None if stream.count(b"HTTP/1.1 200") == 300 else "not all of 300 pipelined requests were answered"]
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            unread = stack.enter_context(connect(target, 1.0))
            with contextlib.suppress(TimeoutError):
                send(unread, request("GET", "/static/page.js") * 200)
        found += [fault(ask(target, request("GET", "/healthz")), 200) for _ in range(10)]
    return found


def garbage(target: Target) -> list:
    """Bytes that are no HTTP, requests that are odd, clients that leave in the middle."""
    draw = random.Random(0)
    cases = [draw.randbytes(draw.randrange(1, 400)) + b"\r\n\r\n" for _ in range(100)]
    whole = predict({"instances": [1]})
    for _ in range(100):
        changed = bytearray(whole)
        for _ in range(draw.randrange(1, 5)):
            changed[draw.randrange(len(changed))] = draw.randrange(256)
        cases.append(bytes(changed))
    found = together(
        lambda case: fault(ask(target, case, half_close=True), 200, 400, 403, 404, 405, 408, 413, 431, None), cases
    )
    odd = [
        request("CONNECT", "localhost:80"), request("OPTIONS", "*"), request("GET", "http://evil.example/healthz"),
        request("GET", "/healthz", Upgrade="websocket", Connection="Upgrade", Sec_WebSocket_Key="a", Sec_WebSocket_Version="13"),
        request("GET", "/%ff%fe%00"), request("GET", "/v1/models/%0d%0aX:1"), request("POST", "/healthz", b"x" * 1000),
        request("GET", "/healthz", Host="\xe9"), request("BREW", "/healthz"), request("HEAD", "/healthz"),
        request("GET", "/static/..%2f..%2fapp.py"), b"GET /healthz HTTP/1.1\r\n\r\n", b"GET /healthz HTTP/9.9\r\nHost: a\r\n\r\n",
    ]  # fmt: skip
    found += each(target, odd, 200, 400, 403, 404, 405)
    for _ in range(50):
        with connect(target) as client:
            send(client, whole[: draw.randrange(1, len(whole))])
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset, not a goodbye
    return found


REQUESTS: dict[str, Callable[[Target], list]] = {
    "heads that are too long": long_heads,
    "heads a byte at a time": slow_heads,
    "1,300 half-sent requests": half_sent,
    "bodies that stop half-way": unfinished,
    "silent connections": idle,
    "bodies that are no request": bad_json,
    "other sites' pages": other_sites,
    "numbers that are too long": numbers,
    "bodies that are too long": long_bodies,
    "floods of pixels": pixels,
    "half-closed clients": half_closed,
    "pipelined requests": pipelines,
    "garbage, odd requests, resets": garbage,
}


def requests(folder: Path, few: bool = False) -> Iterator[Row]:
    """`ganzoo serve` under every attack of REQUESTS; /healthz is asked all the time, and the process must live on."""
    with server(folder / "server.log", timeout=20) as (process, target):
        watch = Watch(target)
        for name, attack in REQUESTS.items():
            start = time.monotonic()
            try:
                results = attack(target)
            except OSError as error:
                results = [f"{type(error).__name__}: {error}"]
            slowest, late = watch.since()
            faults = [found for found in results if found] + late
            if process.poll() is not None:
                faults.append(f"the server ended with {process.returncode}")
            yield Row(
                "requests", name, len(results), faults, time.monotonic() - start, f"/healthz within {slowest:.2f} s"
            )
            if process.poll() is not None:
                return
        watch.stop()
        start = time.monotonic()
        results = [fault(ask(target, predict({"instances": [1]})), 200), stops(process, target)]
        if "Traceback" in (folder / "server.log").read_text("utf-8", "replace"):
            results.append("the log has a traceback")
        faults = [found for found in results if found]
        yield Row("requests", "afterwards, and SIGTERM", len(results), faults, time.monotonic() - start)


def stops(process: subprocess.Popen, target: Target) -> str | None:
    """Told to stop while requests are half-sent, the server ends with code 0."""
    with contextlib.ExitStack() as stack:
        for _ in range(50):
            send(stack.enter_context(connect(target)), predict({"instances": [1]})[:-5])
        process.terminate()
        try:
            code = process.wait(target.timeout + 20)
        except subprocess.TimeoutExpired:
            return f"SIGTERM did not end the server within {target.timeout + 20:g} s"
    return f"SIGTERM ended the server with code {code}" if code else None


class Watch:
    """Asks /healthz ten times a second in a process of its own, so that the attacker's own threads do not delay it."""

    def __init__(self, target: Target):
        context = multiprocessing.get_context("spawn")
        self.asked, self.ended = context.Queue(), context.Event()
        self.process = context.Process(target=watch, args=(target, self.asked, self.ended), daemon=True)
        self.process.start()

    def since(self) -> tuple[float, list[str]]:
        """Of the answers since the last call: the slowest in seconds, and what was wrong."""
        slowest, found = 0.0, []
        with contextlib.suppress(queue.Empty):
            while True:
                seconds, wrong = self.asked.get_nowait()
                slowest = max(slowest, seconds)
                if wrong or seconds > FAST:
                    found.append(f"/healthz: {wrong or f'{seconds:.1f} s'}")
        return slowest, found

    def stop(self) -> None:
        self.ended.set()
        self.process.join()


def watch(target: Target, asked, ended) -> None:
    """What the process of Watch does: puts seconds and fault of each answer into the queue `asked`."""
    while not ended.wait(0.1):
        start = time.monotonic()
        try:
            wrong = fault(ask(target, request("GET", "/healthz")), 200)
        except OSError as error:
            wrong = str(error)
        asked.put((time.monotonic() - start, wrong))


@contextlib.contextmanager
def server(log: Path, timeout: float) -> Iterator[tuple[subprocess.Popen, Target]]:
    """The two models of the README in a process that has 1,024 descriptors, as a shell usually gives."""
    words = [sys.executable, "-m", "ganzoo", "serve", "pix2pix", "dcgan"]
    words += ["--port", "0", "--timeout", str(timeout), "--log", "none"]
    with log.open("w") as stream:
        with descriptors(1024):  # which a process that starts now takes over
            process = subprocess.Popen(words, stderr=stream)
        try:
            while not (found := re.search(r"^Serving on \S+:(\d+)$", log.read_text("utf-8", "replace"), re.MULTILINE)):
                if process.poll() is not None:
                    raise RuntimeError(log.read_text("utf-8", "replace"))
                time.sleep(0.2)
            yield process, Target(int(found[1]), timeout)
        finally:
            process.kill()
            process.wait()


@contextlib.contextmanager
def descriptors(count: int) -> Iterator[None]:
    """Lets this process have so many for a while, or all that it may have."""
    before, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (count if most == resource.RLIM_INFINITY else min(count, most), most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, most))


def together(function: Callable, cases: Sequence, workers: int = 40) -> list:
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(function, cases))


def row(data: bytes) -> dict:
    return {"image_bytes": {"b64": base64.b64encode(data).decode()}, "seed": 0}


def image(width: int, height: int | None = None) -> bytes:
    """A PNG of one colour: little to send, much to compute."""
    return images.png_bytes(np.full((height or width, width, 3), 200, np.uint8))


def frames(side: int, count: int) -> bytes:
    """A GIF that repeats a frame; a decoder holds all of them."""
    stream = io.BytesIO()
    Image.new("P", (side, side), 1).save(stream, "GIF")
    data = stream.getvalue()
    start = data.index(b"\x2c\0\0\0\0")
    return data[:start] + data[start:-1] * count + b"\x3b"


def scans(side: int, count: int) -> bytes:
    """A progressive JPEG that repeats its last scan; a decoder goes over the picture for each."""
    stream = io.BytesIO()
    Image.new("RGB", (side, side), (9, 200, 77)).save(stream, "JPEG", progressive=True)
    data = stream.getvalue()
    start = data.rindex(b"\xff\xda")
    return data[:start] + data[start:-2] * count + b"\xff\xd9"
