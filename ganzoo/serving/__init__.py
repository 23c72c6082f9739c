"""serving: exported models behind an HTTP server that speaks TensorFlow Serving's REST contract. See `export/README.md`.

    models      which folders are served under which names, and their signatures
    runtimes    TensorFlow or ONNX Runtime, and whether the latter answers the same
    wire        the contract's JSON: requests to arrays, arrays to answers
    cost        what a request costs, before it is run
    batching    requests that wait are run together
    middleware  who may ask, request ids, the log and the metrics
    app         the routes
    connection  what a client may send before it is a request, and how many there are
    run         the process: port, start, drain

Starlette, uvicorn, prometheus-client and orjson come with the extra `serve` and are imported inside functions.
"""

from ganzoo.serving.app import Limits, create_app
from ganzoo.serving.models import Servable, load, prepare, split
from ganzoo.serving.run import serve

__all__ = ["Limits", "Servable", "create_app", "load", "prepare", "serve", "split"]
