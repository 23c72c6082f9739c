"""Serves exported models with KServe's model server on this machine, V1 protocol: no cluster, and ganzoo is not imported.

    pip install kserve tensorflow
    python export/kserve_server.py pix2pix=DIR [dcgan=DIR2 ...] --http_port 8080

DIR is what `ganzoo export -o DIR` wrote. GET /v1/models/NAME says whether a model is ready; POST /v1/models/NAME:predict
takes `{"instances": [...]}` with one object a row, bytes as `{"b64": ...}`, and `"signature_name"` if it is another
than serving_default. In a cluster, `export/kserve.yaml` starts TensorFlow Serving on the same folder instead.
"""

import argparse
import base64
import json
import os
from pathlib import Path

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import kserve
import tensorflow as tf
from kserve.errors import InvalidInput


class SavedModel(kserve.Model):
    """One exported folder behind KServe's protocol."""

    def __init__(self, name: str, folder: Path):
        super().__init__(name)
        versions = [path for path in folder.iterdir() if path.name.isdecimal()]
        self.loaded = tf.saved_model.load(str(max(versions, key=lambda path: int(path.name))))
        self.ready = True

    def predict(self, payload: dict | bytes, headers: dict | None = None, response_headers: dict | None = None) -> dict:
        """`{"predictions": [...]}` for `{"instances": [...]}`; InvalidInput, which is 400, for what does not fit."""
        if isinstance(payload, bytes):  # KServe parses bodies of type application/json only; curl says another
            payload = parse(payload)
        name = payload.get("signature_name", "serving_default")
        rows = payload.get("instances")
        if name not in self.loaded.signatures:
            raise InvalidInput(f"There is no signature {name}; there are {', '.join(self.loaded.signatures)}.")
        function = self.loaded.signatures[name]
        specs = function.structured_input_signature[1]
        if not isinstance(rows, list) or not rows:
            raise InvalidInput("instances must be a list of rows.")
        if len(specs) == 1:
            (only,) = specs
            rows = [row if isinstance(row, dict) and row.keys() != {"b64"} else {only: row} for row in rows]
        if any(not isinstance(row, dict) or row.keys() != specs.keys() for row in rows):
            raise InvalidInput(f"Each row must have the keys {', '.join(sorted(specs))}.")
        try:
            columns = {key: tf.constant([plain(row[key]) for row in rows], spec.dtype) for key, spec in specs.items()}
            outputs = {key: rows_of(key, value.numpy()) for key, value in function(**columns).items()}
        except (TypeError, ValueError, tf.errors.InvalidArgumentError) as error:
            raise InvalidInput(str(error).splitlines()[0][:300]) from error
        if len(outputs) == 1:
            return {"predictions": next(iter(outputs.values()))}
        return {"predictions": [dict(zip(outputs, row, strict=True)) for row in zip(*outputs.values(), strict=True)]}


def parse(body: bytes) -> dict:
    """The JSON object of a body; InvalidInput for anything else."""
    try:
        document = json.loads(body)
    except ValueError as error:
        raise InvalidInput(f"The body is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise InvalidInput("The body is not a JSON object.")
    return document


def plain(value):
    """A value of JSON with `{"b64": ...}` decoded."""
    if isinstance(value, dict):
        return base64.b64decode(value["b64"] if value.keys() == {"b64"} else "?", validate=True)
    return [plain(item) for item in value] if isinstance(value, list) else value


def rows_of(name: str, array: np.ndarray) -> list:
    """An output as JSON; bytes in base64 where the name ends in `_bytes`, as TensorFlow Serving does."""
    if array.dtype.kind not in "OS":
        return array.tolist()
    if name.endswith("_bytes"):
        return [{"b64": base64.b64encode(value).decode()} for value in array]
    return [value.decode("utf-8", "replace") for value in array]


def main() -> None:
    parser = argparse.ArgumentParser(parents=[kserve.model_server.parser], conflict_handler="resolve")
    parser.add_argument("models", nargs="+", metavar="NAME=DIR", help="a name for the URL and an exported folder")
    options, _ = parser.parse_known_args()
    pairs = [argument.partition("=") for argument in options.models]
    models = [SavedModel(name, Path(folder)) for name, _, folder in pairs]
    kserve.ModelServer(http_port=options.http_port, enable_grpc=False).start(models)


if __name__ == "__main__":
    main()
