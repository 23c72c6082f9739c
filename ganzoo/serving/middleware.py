"""What stands before every route: request ids, the key, the host's name, the log line, the metrics."""

import hmac
import json
import logging
import re
import time
import uuid
from collections.abc import Sequence
from typing import Any

from ganzoo.serving.wire import dumps

LOG = logging.getLogger("ganzoo.serving")
REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
OPEN = ("/", "/healthz", "/readyz")  # and /static/: asked without a key; they tell nothing of the models
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
# On every answer. The policy is that of the page's own <meta>, which cannot say who may frame it.
SECURITY = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (
        b"content-security-policy",
        b"default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; img-src 'self' blob: data:; object-src 'none'; "
        b"base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
]


class Metrics:
    """The numbers of `/metrics`, in a registry of their own: two apps in one process do not share them."""

    def __init__(self):
        import prometheus_client as prometheus

        self.registry = prometheus.CollectorRegistry()
        prometheus.ProcessCollector(registry=self.registry)
        own: Any = {"namespace": "ganzoo", "registry": self.registry}
        self.requests = prometheus.Counter("requests", "Requests by model and status.", ["model", "code"], **own)
        self.seconds = prometheus.Histogram(
            "request_seconds",
            "Time to answer a request.",
            ["model"],
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
            **own,
        )
        self.batch = prometheus.Histogram(
            "batch_rows", "Rows in a call of the model.", ["model"], buckets=(1, 2, 4, 8, 16, 32), **own
        )
        self.runtime = prometheus.Gauge(
            "runtime", "1: what computes a model's default signature.", ["model", "runtime"], **own
        )
        self.waiting = prometheus.Gauge("waiting_rows", "Rows that wait for the model.", ["model"], **own)

    def page(self) -> tuple[bytes, str]:
        """(text, content type) for Prometheus."""
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

        return generate_latest(self.registry), CONTENT_TYPE_LATEST


class Guard:
    """ASGI middleware. It sets `scope["request_id"]`, and reads `scope["model"]` and `scope["rows"]` from the route.

    Args:
        api_key: asked of every request but those of OPEN; None asks nothing.
        hosts: names that a request's Host may have, without the port; None allows all. A server that listens on the
            loopback address names those of LOOPBACK, so that a web page elsewhere cannot reach it by a name of its own.
        log: "text", "json" or "none".
    """

    def __init__(self, app, *, metrics: Metrics, api_key: str | None, hosts: Sequence[str] | None, log: str):
        self.app, self.metrics, self.hosts, self.log = app, metrics, hosts, log
        self.key = api_key.encode() if api_key else None

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start = time.perf_counter()
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        scope["request_id"] = request_id = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        code = 500

        async def answer(message):
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode()), *SECURITY]
            await send(message)

        try:
            refusal = self._refusal(scope["method"], scope["path"], headers)
            if refusal is None:
                await self.app(scope, receive, answer)
            else:
                await _refuse(answer, *refusal)
        finally:
            self._count(scope, code, time.perf_counter() - start)

    def _refusal(self, method: str, path: str, headers: dict[bytes, bytes]) -> tuple[int, str, list] | None:
        if self.hosts is not None:
            host = re.sub(r":\d+$", "", headers.get(b"host", b"").decode("latin-1"))
            if host.lower() not in self.hosts:
                return 403, f"This server answers to {', '.join(self.hosts)} only; start it with --host for others.", []
        if method not in ("GET", "HEAD") and _foreign(headers):
            return (
                403,
                "A web page of another site sent this request; this server answers its own page and programs.",
                [],
            )
        if self.key is None or path in OPEN or path.startswith("/static/"):
            return None
        given = headers.get(b"x-api-key") or headers.get(b"authorization", b"").removeprefix(b"Bearer ")
        if hmac.compare_digest(given, self.key):
            return None
        sentence = "This server asks for its key: send it as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'."
        return 401, sentence, [(b"www-authenticate", b"Bearer")]

    def _count(self, scope, code: int, seconds: float) -> None:
        model = scope.get("model", "")
        self.metrics.requests.labels(model, code).inc()
        if model:
            self.metrics.seconds.labels(model).observe(seconds)
        if self.log == "none":
            return
        facts = {
            "id": scope["request_id"],
            "client": (scope.get("client") or ("",))[0],
            "method": scope["method"],
            "path": scope["path"],
            "code": code,
            "ms": round(seconds * 1000, 1),
            "rows": scope.get("rows"),
        }
        if self.log == "json":
            LOG.info(json.dumps({"time": round(time.time(), 3), "model": model or None} | facts))
        else:
            path = ascii(facts["path"])[1:-1]  # no control character of a request reaches the terminal
            rows = "" if facts["rows"] is None else f" {facts['rows']} rows"
            LOG.info(f"{facts['id']} {facts['client']} {facts['method']} {path} {code} {facts['ms']} ms{rows}")


def _foreign(headers: dict[bytes, bytes]) -> bool:
    """Whether a browser says that the page which sends the request is not of this server. Programs say nothing."""
    origin = headers.get(b"origin")
    if origin is not None and origin.lower().rpartition(b"://")[2] != headers.get(b"host", b"").lower():
        return True
    return headers.get(b"sec-fetch-site", b"").lower() == b"cross-site"


async def _refuse(send, code: int, sentence: str, headers: list) -> None:
    body = dumps({"error": sentence})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": code, "headers": headers})
    await send({"type": "http.response.body", "body": body})
