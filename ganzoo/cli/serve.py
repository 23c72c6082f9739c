"""`ganzoo serve`: models behind an HTTP server."""

from typing import Annotated

import typer

from ganzoo.devices.quiet import load_tensorflow
from ganzoo.errors import GanzooError, say


def serve(
    models: Annotated[
        list[str],
        typer.Argument(metavar="[NAME=]MODEL...", help="Models, presets, saved folders or exported folders."),
    ],
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 is reached from other machines.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8501,
    api_key: Annotated[
        str | None, typer.Option(envvar="GANZOO_API_KEY", help="A key that every request must bring.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.01, help="Seconds until a request is answered or given up.")] = 60,
    queue: Annotated[int, typer.Option(min=1, help="Rows that may wait for one model; more are refused (429).")] = 256,
    queue_pixels: Annotated[
        int, typer.Option(min=1, help="Pixels of the pictures that may wait for one model, and of one request.")
    ] = 2**24,
    max_rows: Annotated[int, typer.Option(min=1, help="Rows of one request.")] = 64,
    max_body_mb: Annotated[float, typer.Option(min=0.001, help="Size of a request.")] = 16,
    max_pixels: Annotated[int, typer.Option(min=1, help="Width x height of one picture.")] = 2**22,
    allow_random: Annotated[
        bool, typer.Option("--allow-random", help="Serve untrained weights where there are no others.")
    ] = False,
    runtime: Annotated[
        str,
        typer.Option(
            help="What computes the networks: tensorflow; onnx, ONNX Runtime, within 1 of 255 of it; auto, the latter where its "
            "pictures are the same."
        ),
    ] = "auto",
    log: Annotated[str, typer.Option(help="Of requests, on standard error: text, json or none.")] = "text",
    seed: Annotated[int, typer.Option(min=0, help="Seed of random weights, where some are drawn.")] = 0,
) -> None:
    """Serve models over HTTP with TensorFlow Serving's REST interface, and a page to try them at /.

    A model answers at /v1/models/NAME:predict. NAME is the model's name with "-" for "/" (dcgan/fashion-32 is
    dcgan-fashion-32), a folder's own name, or what stands before "=". SIGTERM ends the server after the requests under way.
    """
    if log not in ("text", "json", "none"):
        raise GanzooError(f'--log is text, json or none; received "{log}".')
    if runtime not in ("auto", "tensorflow", "onnx"):
        raise GanzooError(f'--runtime is auto, tensorflow or onnx; received "{runtime}".')
    load_tensorflow(seed)
    from ganzoo import serving

    limits = serving.Limits(
        timeout=timeout,
        queue=queue,
        queue_pixels=queue_pixels,
        rows=max_rows,
        body=int(max_body_mb * 2**20),
        pixels=max_pixels,
    )
    serving.serve(
        models,
        host=host,
        port=port,
        limits=limits,
        api_key=api_key,
        allow_random=allow_random,
        runtime=runtime,
        log=log,
        say=say,
    )
