"""What is served: a folder that `ganzoo export` wrote, under a name that can stand in a URL.

A model, preset or run folder is exported first, so that what answers is the SavedModel and not Keras.
"""

import functools
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from ganzoo import exporting, files, presets
from ganzoo.base import attributes
from ganzoo.errors import GanzooError
from ganzoo.exporting import divided, manifest
from ganzoo.exporting.divided import Divided
from ganzoo.media import images
from ganzoo.serving import runtimes
from ganzoo.serving.wire import RequestError, Spec, clip

NAME = re.compile(r"[A-Za-z0-9._-]+")
GRAPH_DETAIL = re.compile(r"\[\[.*?\]\]|\{\{.*?\}\}|\[Op:.*?\]| name: \S*|Error in user code:|\s*\(defined at .*?\)")
# Where in the graph, and where in whose files: of no use to a client.
WHERE = re.compile(r'Detected at node .*|<stack traces .*|File ".*|.*execution error:|\d+ root error\(s\) found\.')
ERROR_CODE = re.compile(r"\(\d+\) [A-Z_]+:")
NODE_PATH = re.compile(r"[\w.]+(?:/[\w.]+)+(?::\d+)?")


@dataclass(frozen=True)
class Signature:
    """A function of the SavedModel, and what goes in and comes out."""

    inputs: dict[str, Spec]
    outputs: dict[str, Spec]
    function: tf.types.experimental.ConcreteFunction


@dataclass(frozen=True)
class Servable:
    """One version of one model.

    `definitions` is the SavedModel's own description of its signatures, as JSON of the protocol buffer; `manifest` is
    what ganzoo wrote next to it, {} for a SavedModel of others; `loaded` owns the variables, which functions hold weakly.
    `divided`, if there is one, answers `serving_default` by ONNX Runtime; `note` says why there is none.
    """

    name: str
    version: int
    signatures: dict[str, Signature]
    definitions: dict
    manifest: dict
    loaded: object
    divided: Divided | None = None
    note: str = ""

    @property
    def runtime(self) -> str:
        """What computes `serving_default`, with its version; other signatures are TensorFlow's."""
        if self.divided is None:
            return f"tensorflow {tf.__version__}"
        return f"onnxruntime {self.divided.network.version}"

    def call(self, signature: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The outputs for arrays that fit the signature.

        Raises:
            RequestError: 400 for what the model refuses, such as bytes that are no picture; 503 if memory ran out.
        """
        found = self.signatures[signature]
        try:
            # A call of no rows is TensorFlow's: ONNX Runtime does not take one of every network.
            if self.divided is not None and signature == divided.ENDPOINT and len(next(iter(inputs.values()))):
                return self.divided(inputs)
            return _called(found, inputs)
        except (tf.errors.InvalidArgumentError, tf.errors.OutOfRangeError, tf.errors.UnimplementedError) as error:
            raise RequestError(400, f"The model refused the request: {_sentence(error)}") from error
        except (tf.errors.ResourceExhaustedError, MemoryError) as error:
            raise RequestError(503, "The server ran out of memory for this request; ask for fewer rows.") from error

    def about(self) -> dict:
        """What the web page shows of a model: an entry of `/models.json`."""
        return {
            "name": self.name,
            "version": str(self.version),
            "model": self.manifest.get("model"),
            "paper": self.manifest.get("paper"),
            "title": self.manifest.get("title"),
            "expects": self.manifest.get("expects"),
            "classes": self.manifest.get("classes") or [],
            "task": self.task(),
            "signatures": {
                name: {
                    side: {key: {"dtype": spec.dtype, "shape": spec.shape} for key, spec in specs.items()}
                    for side, specs in (("inputs", found.inputs), ("outputs", found.outputs))
                }
                for name, found in self.signatures.items()
            },
            "licence": self.manifest.get("licence"),
            "attribution": self.manifest.get("attribution"),
            "image_size": self.image_size(),
            "runtime": self.runtime,
            **{key: self.manifest[key] for key in ("attributes", "crops") if key in self.manifest},
        }

    def read(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The inputs of a request with what is asked for by name as the graph reads it: names and values to the letter.

        Raises:
            RequestError: 400 for an unknown name or value, with the nearest one and the list.
        """
        known, asked = self.manifest.get("attributes"), inputs.get("attributes")
        if not known or asked is None or asked.dtype != object:
            return inputs
        return inputs | {"attributes": np.array([_asked(text, known) for text in asked.ravel()], object)}

    def task(self) -> str | None:
        """ "generator", "image", "hole" (pictures that are filled), "text" or "shape"; None for a SavedModel of others."""
        default = self.signatures.get("serving_default")
        if not self.manifest or default is None:
            return None
        if "image_bytes" in default.inputs:
            return "hole" if "mask_bytes" in default.inputs else "image"
        if "text" in default.inputs:
            return "text"
        return "shape" if "voxels" in self.signatures["tensors"].outputs else "generator"

    def image_size(self) -> int | None:
        """The side of the pictures that the model was made for, if that can be known."""
        tensors = self.signatures.get("tensors")
        for spec in tensors.outputs.values() if tensors else ():
            if spec.shape and len(spec.shape) > 1 and spec.shape[1]:
                return spec.shape[1]
        if isinstance(said := self.manifest.get("image_size"), int):
            return said
        paper, _, preset = (self.manifest.get("model") or "").partition("/")  # older exports do not say it
        if presets.is_paper(paper) and preset in presets.list_presets(paper):
            return presets.run_config(f"{paper}/{preset}").data.size
        return None

    def warm_up(self) -> None:
        """Calls the default signature once with one row: TensorFlow plans a graph at its first call."""
        default = self.signatures.get("serving_default")
        if not self.manifest or default is None:
            return
        row = {
            name: np.zeros([1, *(side or 0 for side in (spec.shape or (1,))[1:])], _numpy_type(spec))
            for name, spec in default.inputs.items()
        }
        for name in (name for name, spec in default.inputs.items() if spec.dtype == "string"):
            row[name][:] = b""  # of attributes: nothing is asked for
        if "image_bytes" in row:
            row["image_bytes"][:] = images.png_bytes(np.full((self.image_size() or 64,) * 2 + (3,), 255, np.uint8))
        if "mask_bytes" in row:
            side = self.image_size() or 64
            hole = np.zeros((side, side, 1), np.uint8)
            hole[side // 2, side // 2] = 255
            row["mask_bytes"][:] = images.png_bytes(hole)
        if "text" in row:
            row["text"][:] = b"a"
        self.call("serving_default", row)


def _asked(text: bytes, known: dict[str, list[str]]) -> bytes:
    """The JSON object of a request's row, written anew."""
    try:
        row = attributes.row_of(files.parse_json(text.decode("utf-8"), "attributes") if text.strip() else {}, known)
    except UnicodeDecodeError as error:
        raise RequestError(400, "attributes are JSON objects in UTF-8.") from error
    except GanzooError as error:
        raise RequestError(400, str(error)) from error
    return json.dumps(attributes.mapping_of(row, known)).encode()


def split(argument: str) -> tuple[str, str]:
    """(name in the URL, model) of a command-line argument `MODEL` or `NAME=MODEL`.

    Without NAME= it is the model's name with "-" for "/", or a folder's own name.

    Raises:
        GanzooError: a name that cannot stand in a URL.
    """
    name, given, model = argument.partition("=")
    if not given:
        model = argument
        path = files.given_path(model)
        name = files.real_path(path).name if not presets.is_paper(model.split("/")[0]) else model.replace("/", "-")
    if not NAME.fullmatch(name) or not model:
        raise GanzooError(
            f'"{argument}" gives no name for the URL. A name has letters, digits, ".", "_" and "-": NAME=MODEL.'
        )
    return name, model


def prepare(
    argument: str,
    folder: Path,
    *,
    allow_random: bool = False,
    runtime: str = "tensorflow",
    say: Callable[[str], None] = lambda line: None,
) -> tuple[str, Path]:
    """(name in the URL, folder DIR/<version> to load) of `[NAME=]MODEL`; what is not exported yet is exported to `folder`.

    Args:
        runtime: one of `runtimes.RUNTIMES`; what an export needs for it is written beside the SavedModel.
        say: is told why that was left out.

    Raises:
        GanzooError: an unknown model, random weights, a folder without a SavedModel, a model that the runtime "onnx" cannot run.
    """
    name, model = split(argument)
    path = files.given_path(model)
    if not presets.is_paper(model.split("/")[0]) and path.is_dir():
        if (path / "saved_model.pb").is_file():
            return name, path
        versions = [p for p in path.iterdir() if p.name.isdecimal() and (p / "saved_model.pb").is_file()]
        if versions:
            return name, max(versions, key=lambda p: int(p.name))  # TensorFlow Serving's own policy: the latest
    found, why = runtimes.export(exporting.load(model, allow_random), folder / name, runtime, allow_random=allow_random)
    if why:
        say(f"{name} is left to TensorFlow: {why}")
    return name, found


def load(name: str, folder: Path, *, runtime: str = "tensorflow", fresh: bool = False) -> Servable:
    """Loads a SavedModel for serving, and with another `runtime` the ONNX export beside it (`runtimes.beside`).

    Args:
        fresh: this process has made the export.

    Raises:
        GanzooError: the folder contains no SavedModel that this TensorFlow can load, or nothing that the runtime "onnx" can.
    """
    try:
        loaded = tf.saved_model.load(str(folder))
        definitions = _definitions(folder)
    except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
        raise GanzooError(
            f"{folder} contains no SavedModel that TensorFlow {tf.__version__} can load: {error}"
        ) from error
    signatures = {
        key: Signature(
            {k: _spec(spec) for k, spec in function.structured_input_signature[1].items()},
            {k: _spec(spec) for k, spec in function.structured_outputs.items()},
            function,
        )
        for key, function in loaded.signatures.items()
    }
    if not signatures:
        raise GanzooError(f"{folder} has no signature to call.")
    found, note = None, ""
    if divided.ENDPOINT in signatures:
        whole = functools.partial(_called, signatures[divided.ENDPOINT])
        found, note = runtimes.beside(folder, whole, runtime, fresh=fresh)
    about = manifest.read(folder) or {}
    return Servable(name, _version(folder), signatures, definitions, about, loaded, found, note)


def _called(signature: Signature, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    tensors = {name: tf.constant(array, signature.inputs[name].dtype) for name, array in inputs.items()}
    return {name: _numpy(tensor) for name, tensor in signature.function(**tensors).items()}


def _version(folder: Path) -> int:
    return int(folder.name) if folder.name.isdecimal() else 1


def _definitions(folder: Path) -> dict:
    from google.protobuf import json_format  # TensorFlow brings it

    file = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    definitions = file.meta_graphs[0].signature_def
    options = {"preserving_proto_field_name": True, "always_print_fields_with_no_presence": True}
    return {key: json_format.MessageToDict(value, **options) for key, value in definitions.items()}


def _spec(spec: tf.TensorSpec) -> Spec:
    return Spec(spec.dtype.name, None if spec.shape.rank is None else tuple(spec.shape.as_list()))


def _numpy_type(spec: Spec):
    return object if spec.dtype == "string" else spec.dtype


def _numpy(tensor: tf.Tensor) -> np.ndarray:
    array = np.asarray(tensor.numpy())
    if array.dtype.kind in "SOU":
        return array.astype(object)
    return array.astype(np.float32) if array.dtype.kind == "V" else array  # bfloat16


def _sentence(error: tf.errors.OpError) -> str:
    """TensorFlow's message without the names of graph nodes and files."""
    for line in GRAPH_DETAIL.sub("", error.message or str(error)).splitlines():
        line = ERROR_CODE.sub("", " ".join(line.split())).strip()
        if line and not WHERE.fullmatch(line):
            return clip(NODE_PATH.sub("...", line), 300)
    return "an invalid argument."
