"""Checks an exported model with TensorFlow alone: ganzoo is not imported, and TensorFlow's own Keras is not used.

    python export/check_saved_model.py DIR [DIR ...] [--expected FILE.npz ...] [--json]

DIR is what `ganzoo export -o DIR` wrote, or DIR/1. Every signature is called with made-up inputs, and then:

* the same request twice gives the same bytes;
* no variable changes between requests;
* several rows in one request give what each row gives alone, within 1/255 of the range;
* pictures decode, floats are finite, and those of images are in [-1, 1];
* the golden inputs that the export brought along (`1/assets.extra/golden.npz`) give what Keras gave when it was written.

`--expected` compares with other known answers instead, one file for each DIR in their order. Its arrays are called
"<signature>/inputs/<name>" and "<signature>/outputs/<name>"; an expected `image_bytes` is either the encoded files or
their pixels, uint8 (N, H, W, C).

Prints a table. Exit code 0: all held. 1: a check failed, or a model does not load.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import tensorflow as tf

STEP = 1 / 255  # tolerance between equal pictures, of the whole range
ROWS = 3
CHOICES = {"label", "label_name", "attributes"}  # inputs of which a model knows some values only
SIZES = ((64, 64), (48, 80), (37, 53))  # height, width of made-up pictures; an image model takes any
LARGE = tuple((2 * height + 128, width + 128) for height, width in SIZES)  # for models that fill holes


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="an exported model")
    parser.add_argument(
        "--expected", action="append", type=Path, default=[], metavar="FILE", help="known answers, .npz"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    options = parser.parse_args(arguments)
    if len(options.expected) > len(options.folders):
        parser.error("there are more --expected files than folders")
    expected = [*options.expected, *[None] * (len(options.folders) - len(options.expected))]
    results = [check(folder, file) for folder, file in zip(options.folders, expected, strict=True)]
    report = {
        "tensorflow": tf.__version__,
        "ganzoo_imported": "ganzoo" in sys.modules,
        "models": results,
    }
    print(json.dumps(report, indent=1) if options.json else table(results))
    return 0 if all(result["ok"] for result in results) else 1


def check(folder: Path, expected: Path | None = None) -> dict:
    """Loads one SavedModel and calls each signature: what was found, as plain values."""
    folder = folder if (folder / "saved_model.pb").is_file() else folder / "1"
    golden = folder / "assets.extra" / "golden.npz"
    result = {"folder": str(folder), "ok": False, "signatures": [], "problems": []}
    try:
        start = time.perf_counter()
        loaded = tf.saved_model.load(str(folder))
        result["load_seconds"] = round(time.perf_counter() - start, 2)
        brought = dict(np.load(golden, allow_pickle=False)) if golden.is_file() else {}
        answers = dict(np.load(expected, allow_pickle=False)) if expected else brought
    except (OSError, ValueError, tf.errors.OpError) as error:
        result["problems"].append(str(error))
        return result
    if "serving_default" not in loaded.signatures:
        result["problems"].append("there is no signature serving_default")
    for key in sorted({key.split("/")[0] for key in answers} - set(loaded.signatures)):
        result["problems"].append(f"there is no signature {key}, which the expected answers name")
    for name, function in loaded.signatures.items():
        known, chosen = (
            {key.removeprefix(f"{name}/"): value for key, value in found.items() if key.startswith(f"{name}/")}
            for found in (answers, brought | answers)
        )
        result["signatures"].append(check_signature(name, function, known, chosen))
    result["ok"] = not result["problems"] and all(not s["problems"] for s in result["signatures"])
    return result


def check_signature(name: str, function, known: dict, chosen: dict) -> dict:
    """Calls one signature and lists its problems. `known` answers; `chosen` has inputs that the model takes."""
    _, specs = function.structured_input_signature
    problems = []
    found = {
        "name": name,
        "inputs": {key: describe(spec) for key, spec in specs.items()},
        "outputs": {key: describe(spec) for key, spec in function.structured_outputs.items()},
        "problems": problems,
    }
    before = [variable.numpy() for variable in function.variables]
    found["variables"] = len(before)
    try:
        inputs = {key: made_up(key, spec, LARGE if "mask_bytes" in specs else SIZES) for key, spec in specs.items()}
        for key in CHOICES & specs.keys():  # not everything is a class
            if f"inputs/{key}" in chosen:
                inputs[key] = tf.constant(
                    np.resize(chosen[f"inputs/{key}"], (ROWS, *specs[key].shape[1:])), specs[key].dtype
                )
        first = function(**inputs)
        start = time.perf_counter()
        second = function(**inputs)
        found["seconds_per_row"] = round((time.perf_counter() - start) / ROWS, 4)
        alone = [function(**{key: value[i : i + 1] for key, value in inputs.items()}) for i in range(ROWS)]
        if known:
            given = {key.removeprefix("inputs/"): v for key, v in known.items() if key.startswith("inputs/")}
            answer = function(**{key: tf.constant(value, specs[key].dtype) for key, value in given.items()})
    except (ValueError, TypeError, KeyError, tf.errors.OpError) as error:
        problems.append(f"the call failed: {error}")
        return found
    for key in first:
        if not np.array_equal(first[key].numpy(), second[key].numpy()):
            problems.append(f"{key}: the same request twice gives different answers")
        rows = pictures(key, first[key].numpy())
        single = [pictures(key, one[key].numpy())[0] for one in alone]
        problems += sane(key, rows)
        if difference(rows, single) > STEP:
            problems.append(f"{key}: rows of one request differ from single requests by {difference(rows, single):.4f}")
    found["difference"] = None
    for key, value in known.items():
        if key.startswith("outputs/"):
            output = key.removeprefix("outputs/")
            apart = difference(pictures(output, answer[output].numpy()), pictures(output, value))
            found["difference"] = round(max(found["difference"] or 0.0, apart), 6)
            if apart > STEP * 1.001:  # float32 of exactly one step
                problems.append(f"{output}: differs from the expected answer by {apart:.4f}, more than 1/255")
    after = [variable.numpy() for variable in function.variables]
    if not all(np.array_equal(a, b) for a, b in zip(before, after, strict=True)):
        problems.append("a request changed a variable")
    return found


def describe(spec) -> str:
    """ "float32[?, 64, 64, 3]"."""
    shape = [] if spec.shape.rank is None else spec.shape.as_list()
    return f"{spec.dtype.name}[{', '.join('?' if n is None else str(n) for n in shape)}]"


def made_up(name: str, spec, sizes) -> tf.Tensor:
    """An input of ROWS rows for a signature's argument, by its name and type; `sizes` (height, width) of its pictures."""
    if name == "image_bytes":
        return tf.stack([png(height, width, i) for i, (height, width) in enumerate(sizes)])
    if name == "mask_bytes":
        return tf.stack([hole(height, width) for height, width in sizes])
    shape = [ROWS, *(64 if n is None else n for n in spec.shape.as_list()[1:])]
    if spec.dtype == tf.string:
        return tf.fill(shape, "a test")
    if spec.dtype.is_integer:
        return tf.reshape(tf.cast(tf.range(tf.reduce_prod(shape)), spec.dtype), shape)
    if len(shape) == 1:
        return tf.fill(shape, tf.cast(0.7, spec.dtype))
    return tf.cast(tf.random.stateless_uniform(shape, [1, 2], -1.0, 1.0), spec.dtype)


def png(height: int, width: int, seed: int) -> tf.Tensor:
    """A PNG file with soft coloured blobs."""
    coarse = tf.random.stateless_uniform([1, 4, 4, 3], [seed, 7], 0.0, 255.0)
    return tf.io.encode_png(tf.cast(tf.image.resize(coarse, [height, width])[0], tf.uint8))


def hole(height: int, width: int) -> tf.Tensor:
    """A PNG file of a mask: white in the upper left quarter, black elsewhere."""
    mask = tf.pad(tf.fill([height // 2, width // 2], 255), [[0, height - height // 2], [0, width - width // 2]])
    return tf.io.encode_png(tf.cast(mask, tf.uint8)[..., None])


def pictures(name: str, values: np.ndarray) -> list[np.ndarray]:
    """Rows as float arrays on a scale of width 1: encoded files and uint8 pixels by 255, floats of [-1, 1] by 2."""
    if name.endswith("_bytes") and values.dtype.kind in "OS":
        values = [tf.io.decode_image(row, expand_animations=False).numpy() for row in values]
        return [row.astype(np.float32) / 255 for row in values]
    if values.dtype == np.uint8:
        return [row.astype(np.float32) / 255 for row in values]
    return [row.astype(np.float32) / 2 for row in values]


def sane(name: str, rows: list[np.ndarray]) -> list[str]:
    """Problems of an output's values."""
    for row in rows:
        if row.size == 0:
            return [f"{name}: an empty row"]
        if not np.isfinite(row).all():
            return [f"{name}: a value is not finite"]
        if "image" not in name:  # other floats, such as embeddings, have a range of their own
            continue
        if np.abs(row).max() > 1.0 + 1e-6 or (not name.endswith("_bytes") and np.abs(row).max() > 0.5 + 1e-6):
            return [f"{name}: a value lies outside [-1, 1]"]
    return []


def difference(left: list[np.ndarray], right: list[np.ndarray]) -> float:
    """The largest difference of any value; infinite if the shapes differ."""
    if [row.shape for row in left] != [row.shape for row in right]:
        return float("inf")
    return max(float(np.abs(a - b).max()) for a, b in zip(left, right, strict=True))


def table(results: list[dict]) -> str:
    """The results for people."""
    lines = [f"TensorFlow {tf.__version__}"]
    for result in results:
        lines.append(f"\n{result['folder']}  {'ok' if result['ok'] else 'FAILED'}")
        lines += [f"  problem: {problem}" for problem in result["problems"]]
        for s in result["signatures"]:
            inputs, outputs = (", ".join(f"{k} {v}" for k, v in s[side].items()) for side in ("inputs", "outputs"))
            lines.append(f"  {s['name']:<16} {inputs}  ->  {outputs}")
            facts = [f"{s['variables']} variables"]
            if "seconds_per_row" in s:
                facts.append(f"{s['seconds_per_row'] * 1000:.1f} ms a row")
            if s.get("difference") is not None:
                facts.append(f"at most {s['difference'] * 255:.2f}/255 from the expected answer")
            lines.append(f"  {'':<16} {', '.join(facts)}: {'ok' if not s['problems'] else 'FAILED'}")
            lines += [f"  {'':<16} problem: {problem}" for problem in s["problems"]]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
