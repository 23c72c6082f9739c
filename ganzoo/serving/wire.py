"""TensorFlow Serving's JSON: a request's document becomes arrays, the arrays of an answer become a document.

The rules are those of its public documentation (api_rest.md) and tests (json_tensor_test.cc), and its error messages are
kept, since clients search them: rows (`instances`) or columns (`inputs`), `{"b64": ...}` for bytes, a single output
without its name, NaN and Infinity as bare tokens. `tests/contract/tfserving.json` holds the recorded documents.
"""

import base64
import contextlib
import gc
import itertools
import json
import reprlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

TENSORFLOW_NAMES = {"float16": "half", "float32": "float", "float64": "double"}  # others are called alike
JSON_TYPES = {dict: "Object", list: "Array", str: "String", bool: "Bool", type(None): "Null", int: "Number"}
MAX_RANK = 16  # of a tensor in JSON; NumPy takes 64, TensorFlow 254
MAX_VALUES = 2**21  # of a document: while it is parsed, no other thread of Python runs
MAX_SENTENCE = 1000  # characters


class Spec(NamedTuple):
    """Of a tensor: "string" or NumPy's name of the type, and the shape with None where any size goes; None: any rank."""

    dtype: str
    shape: tuple[int | None, ...] | None


class RequestError(Exception):
    """A request that is refused: the HTTP status, one sentence for the client, and headers to send along."""

    def __init__(self, status: int, sentence: str, headers: Mapping[str, str] | None = None):
        self.sentence = clip(sentence, MAX_SENTENCE)  # no request makes its own answer long
        super().__init__(self.sentence)
        self.status, self.headers = status, dict(headers or {})


# ---- requests ---------------------------------------------------------------------------------------------------------
def parse(body: bytes) -> dict:
    """The JSON object of a request's body. Raises RequestError 400 for anything else."""
    import orjson

    if not body:
        raise RequestError(400, "JSON Parse error: The document is empty")
    if body.count(b",") > MAX_VALUES:
        raise RequestError(
            400,
            f"The document has more than {MAX_VALUES:,} values; send pictures as files in image_bytes, or fewer rows.",
        )
    try:
        with _no_collection():
            document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        document = _parse_special(body, error)
    if not isinstance(document, dict):
        raise RequestError(400, f"JSON Value: {_shown(document)} Is not object")
    return document


@contextlib.contextmanager
def _no_collection():
    """Python looks for cycles again and again while millions of lists are made: seconds in which no thread runs."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def _parse_special(body: bytes, error: json.JSONDecodeError) -> Any:
    """The document of a body with NaN or Infinity, which orjson refuses as the JSON standard does."""
    if b"NaN" in body or b"Infinity" in body:
        try:
            return json.loads(body.decode("utf-8"))
        except (ValueError, RecursionError):
            pass
    raise RequestError(400, f"JSON Parse error: Invalid value at offset: {error.pos} ({error.msg})") from None


def signature_name(document: dict) -> str:
    """The signature that a request names, or the default one."""
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise RequestError(400, "'signature_name' key must be a string value.")
    return name or "serving_default"


def arrays(document: dict, specs: Mapping[str, Spec], most: float = float("inf")) -> tuple[dict[str, np.ndarray], bool]:
    """(input name -> array, whether the request is in row form). Strings become arrays of bytes objects.

    Raises:
        RequestError: 400, with what was expected and what arrived, or for more than `most` rows.
    """
    if "instances" in document and "inputs" in document:
        raise RequestError(
            400, "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist in the request"
        )
    if "instances" in document:
        return _rows(document["instances"], specs, most), True
    if "inputs" in document:
        return _columns(document["inputs"], specs, most), False
    raise RequestError(400, "Missing 'inputs' or 'instances' key")


def _few(rows: Any, most: float) -> None:
    """Raises before millions of values are looked at one by one."""
    if isinstance(rows, list) and len(rows) > most:
        raise RequestError(400, f"The request has {len(rows)} rows; at most {most} are taken at once.")


def _rows(instances: Any, specs: Mapping[str, Spec], most: float) -> dict[str, np.ndarray]:
    if not isinstance(instances, list):
        raise RequestError(400, f"JSON Value: {_shown(instances)} Expecting 'instances' to be an list/array")
    if not instances:
        raise RequestError(400, "No values in 'instances' array")
    _few(instances, most)
    named = _is_object(instances[0])
    if not named and len(specs) > 1:
        raise RequestError(
            400,
            "instances is a plain list, but expecting list of objects as multiple input tensors required: "
            + ",".join(sorted(specs)),
        )
    for i, row in enumerate(instances):
        if named != _is_object(row):
            what = "object but got list" if named else "value/list but got object"
            raise RequestError(400, f"Expecting {what} at item {i} of input list")
        if named and row.keys() != specs.keys():
            unknown = sorted(row.keys() - specs.keys())
            start = f"Failed to process element: {i}"
            if unknown:
                raise RequestError(
                    400,
                    f"{start} key: {clip(unknown[0])} of 'instances' list. Error: JSON object: does not have named "
                    f"input: {clip(unknown[0])}. The inputs are: {','.join(sorted(specs))}",
                )
            raise RequestError(
                400, f"{start} of 'instances' list. JSON object keys must be equal to: {','.join(sorted(specs))}"
            )
    columns = {name: [row[name] for row in instances] for name in specs} if named else {next(iter(specs)): instances}
    return {name: _stack(values, specs[name].dtype) for name, values in columns.items()}


def _columns(inputs: Any, specs: Mapping[str, Spec], most: float) -> dict[str, np.ndarray]:
    if not _is_object(inputs):
        if len(specs) > 1:
            raise RequestError(
                400,
                "inputs is a plain value/list, but expecting an object as multiple input tensors required: "
                + ",".join(sorted(specs)),
            )
        inputs = {next(iter(specs)): inputs}
    for name in specs:
        if name not in inputs:
            raise RequestError(400, f"Missing named input: {name} in 'inputs' object.")
        _few(inputs[name], most)
    return {name: _array(inputs[name], spec.dtype) for name, spec in specs.items()}


def _stack(values: list, dtype: str) -> np.ndarray:
    """Rows of one shape as one array; of rows that differ the first that does is named."""
    try:
        return _array(values, dtype)
    except RequestError as error:
        wanted = _shape(values[0])
        for i, value in enumerate(values):
            shape = _shape(value)
            if np.prod(shape) != np.prod(wanted):
                what = f"Expecting tensor size: {np.prod(wanted):g} but got: {np.prod(shape):g}"
            elif shape != wanted:
                what = f"Expecting shape {list(wanted)} but got: {list(shape)}"
            else:
                continue
            raise RequestError(400, f"Failed to process element: {i} of 'instances' list. Error: {what}") from None
        raise RequestError(400, f"Failed to process 'instances' list. Error: {error.sentence}") from None


def _shape(value: Any) -> tuple[int, ...]:
    """Of nested lists, seen along their first items."""
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return tuple(shape)


def _array(value: Any, dtype: str) -> np.ndarray:
    """Nested lists of one shape as an array."""
    shape, flat = _shape(value), [value]
    for level, size in enumerate(shape):
        for item in flat if set(map(type, flat)) != {list} else ():
            if not isinstance(item, list):
                raise RequestError(
                    400,
                    f"JSON Value: {_shown(item)} found at incorrect level: {level + 1} in the JSON DOM. Expected at "
                    f"level: {len(shape)}",
                )
        for length in set(map(len, flat)) - {size}:
            raise RequestError(
                400, f"Encountered list at unexpected size: {length} at level: {level} expected size: {size}"
            )
        flat = list(itertools.chain.from_iterable(flat))
    if list in set(map(type, flat)):
        raise RequestError(400, f"Encountered list at unexpected level: {len(shape)} expected < {len(shape)}")
    if len(shape) > MAX_RANK:
        raise RequestError(400, f"Lists are nested {len(shape)} deep, deeper than any tensor.")
    return _leaves(flat, dtype).reshape(shape)


def _leaves(flat: list, dtype: str) -> np.ndarray:
    """Values of JSON as a flat array of `dtype`: nothing is rounded to an integer, cut or taken for a number."""
    kinds = set(map(type, flat))
    if dtype == "string":
        _only(flat, kinds, {str, dict}, dtype)
        values = np.empty(len(flat), object)
        values[:] = [_encoded(v) if type(v) is str else _decoded(v) for v in flat]
        return values
    kind = np.dtype(dtype).kind
    if kind == "b":
        _only(flat, kinds, {bool}, dtype)
        return np.array(flat, bool)
    if kind in "iu":
        _only(flat, kinds, {int}, dtype)
        limits = np.iinfo(dtype)
        for value in (min(flat), max(flat)) if flat else ():
            if not limits.min <= value <= limits.max:
                raise _type_error(value, dtype)
        return np.array(flat, dtype)
    _only(flat, kinds, {int, float}, dtype)
    floats = np.finfo(dtype)
    exact = 2 ** (floats.nmant + 1) - 1
    if int in kinds:
        for value in flat:
            if type(value) is int and abs(value) > exact:
                raise _lossy(value, dtype)
    wide = np.array(flat, np.float64)
    beyond = np.isfinite(wide) & (np.abs(wide) > floats.max)
    if beyond.any():
        raise _lossy(wide[beyond][0], dtype)
    return wide.astype(dtype)


def _only(flat: list, kinds: set, wanted: set, dtype: str) -> None:
    if kinds - wanted:
        raise _type_error(next(v for v in flat if type(v) not in wanted), dtype)


def _type_error(value: Any, dtype: str) -> RequestError:
    kind = JSON_TYPES.get(type(value), "Number")
    name = TENSORFLOW_NAMES.get(dtype, dtype)
    return RequestError(400, f"JSON Value: {_shown(value)} Type: {kind} is not of expected type: {name}")


def _lossy(value: float, dtype: str) -> RequestError:
    name = TENSORFLOW_NAMES.get(dtype, dtype)
    return RequestError(400, f"Cannot convert JSON value: {clip(str(value))} to {name} without loss of precision.")


def _is_object(value: Any) -> bool:
    """Whether it is an object of named tensors, and not bytes in base64."""
    return isinstance(value, dict) and not (value.keys() == {"b64"} and isinstance(value["b64"], str))


def _encoded(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise RequestError(400, f"JSON Value: {_shown(text)} holds half of a character (a lone surrogate).") from None


def _decoded(value: dict) -> bytes:
    if _is_object(value):
        raise RequestError(400, f"JSON Value: {_shown(value)} not formatted correctly for base64 data")
    text = value["b64"]
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        raise RequestError(400, f"Unable to base64 decode: {_shown(text)}") from None


def _shown(value: Any) -> str:
    return reprlib.repr(value)


def clip(text: str, most: int = 60) -> str:
    """A text from outside, short enough for a sentence."""
    return text if len(text) <= most else f"{text[:most]}..."


def check_shapes(inputs: Mapping[str, np.ndarray], specs: Mapping[str, Spec]) -> int:
    """The number of rows of a request whose arrays fit the signature. Raises RequestError 400 if they do not."""
    for name, array in inputs.items():
        shape = specs[name].shape
        fits = shape is None or (
            len(shape) == array.ndim and all(n in (None, size) for n, size in zip(shape, array.shape, strict=True))
        )
        if not fits or 0 in array.shape[1:]:
            wanted = ",".join("?" if n is None else str(n) for n in shape or ())
            raise RequestError(
                400, f"Input {name} must have shape [{wanted}] but got [{','.join(map(str, array.shape))}]"
            )
    rows = {array.shape[:1] for array in inputs.values()}
    if len(rows) != 1 or rows == {()}:
        raise RequestError(400, "Batching Run() input tensors must have equal 0th-dimension size")
    return rows.pop()[0]


# ---- answers ----------------------------------------------------------------------------------------------------------
def answer(outputs: Mapping[str, np.ndarray], row_form: bool) -> bytes:
    """The document of an answer: `predictions` for a request in row form, else `outputs`."""
    values = {name: _strings(name, array) if array.dtype == object else array for name, array in outputs.items()}
    if len(values) == 1:
        (content,) = values.values()
    elif row_form:
        content = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    else:
        content = values
    return dumps({"predictions" if row_form else "outputs": content}, _finite(outputs.values()))


def dumps(document: Any, finite: bool = True) -> bytes:
    """JSON of a document that may hold NumPy arrays; without `finite`, NaN and Infinity are written as such."""
    import orjson

    if finite:
        return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    return json.dumps(document, default=_listed, ensure_ascii=False).encode("utf-8", "replace")


def _strings(name: str, array: np.ndarray) -> Any:
    """Nested lists of a string tensor: `{"b64": ...}` if its name ends in `_bytes`, text if not."""
    if array.ndim:
        return [_strings(name, row) if isinstance(row, np.ndarray) else _string(name, row) for row in array]
    return _string(name, array.item())


def _string(name: str, value: bytes) -> Any:
    return {"b64": base64.b64encode(value).decode()} if name.endswith("_bytes") else value.decode("utf-8", "replace")


def _finite(values: Iterable[np.ndarray]) -> bool:
    return all(np.isfinite(array).all() for array in values if array.dtype.kind == "f")


def _listed(array: np.ndarray) -> Any:
    """Lists of an array, floats with the digits of their own type: 0.1, not 0.10000000149."""
    return array.astype("U32").astype(np.float64).tolist() if array.dtype.kind == "f" else array.tolist()
