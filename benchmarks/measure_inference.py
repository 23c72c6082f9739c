"""One side of `benchmarks.inference` in a process of its own: `python -m benchmarks.measure_inference KIND REQUEST`.

KIND is a function of this file, REQUEST its arguments as JSON; prints one line of JSON.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks import timing

CALLS = 30  # of each side, in turns
FEWEST = 5  # however long they take


def in_turns(sides: dict[str, Callable[[], object]], seconds: float) -> dict[str, dict]:
    """Times the sides call by call in turns, CALLS each or as many as fit into `seconds`: {side: medians in ms, calls, "cpu_ms":
    median time of all processors in the process}."""
    durations, processors = ({name: [] for name in sides} for _ in range(2))
    for call in sides.values():
        call()
        call()
    end, names = time.perf_counter() + seconds, list(sides)
    for turn in range(CALLS):
        if turn >= FEWEST and time.perf_counter() > end:
            break
        for name in names if turn % 2 == 0 else reversed(names):
            start, processor = time.perf_counter(), time.process_time()
            sides[name]()
            durations[name].append(time.perf_counter() - start)
            processors[name].append(time.process_time() - processor)
    return {
        name: timing.summary(found) | {"cpu_ms": timing.summary(processors[name])["ms"]}
        for name, found in durations.items()
    }


def inputs(model, rows: int) -> dict[str, np.ndarray]:
    """Floats for the endpoint `tensors` of a model, `rows` of them."""
    rng = np.random.default_rng(0)
    shape = {"images": [rows, model.run_config.data.size, model.run_config.data.size]}
    made = {}
    for name, spec in model.portable_signature()["tensors"][1].items():
        if name == "truncation_psi":
            made[name] = np.full([rows], 0.7, np.float32)
        else:
            size = [*shape["images"], spec.shape[-1]] if name == "images" else [rows, *spec.shape[1:]]
            made[name] = rng.uniform(-1, 1, size).astype(np.float32)
    return made


def tensorflow(preset: str, batches: list[int], seconds: float) -> dict:
    """{batch: {"function", "saved": the endpoint `tensors` as a bare tf.function of the Keras model and as a SavedModel}}."""
    import tensorflow as tf

    from ganzoo import zoo
    from ganzoo.exporting import savedmodel

    model = zoo.load(preset, weights=None)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        savedmodel.write(model, Path(folder) / "1")
        loaded = tf.saved_model.load(f"{folder}/1")
        function, specs = model.serving_signature()["tensors"]
        bare, saved = tf.function(function, input_signature=list(specs.values())), loaded.signatures["tensors"]
        for rows in batches:
            given = {name: tf.constant(value) for name, value in inputs(model, rows).items()}
            given |= {name: tf.zeros([rows], spec.dtype) for name, spec in specs.items() if name not in given}
            ordered = [given[name] for name in specs]
            sides = {"function": lambda ordered=ordered: bare(*ordered), "saved": lambda given=given: saved(**given)}
            found[rows] = in_turns({name: _fetched(call) for name, call in sides.items()}, seconds)
    return found


def _fetched(call):
    return lambda: [value.numpy() for value in call().values()]


def _each_batch(model, batches: list[int], seconds: float, side: str, call: Callable) -> dict:
    """{batch: {side: `call` of the model's inputs of so many rows}}."""
    given = {rows: inputs(model, rows) for rows in batches}
    return {rows: in_turns({side: lambda rows=rows: call(given[rows])}, seconds) for rows in batches}


def onnx(preset: str, batches: list[int], seconds: float) -> dict:
    """{batch: {"onnx": `onnx/tensors.onnx` in ONNX Runtime, as `ganzoo serve` runs it}}; {"missing": package} where it is not
    installed."""
    try:
        import onnxruntime  # noqa: F401
    except ModuleNotFoundError as error:
        return {"missing": error.name}
    from ganzoo import zoo
    from ganzoo.exporting import onnx as writer

    model = zoo.load(preset, weights=None)
    with tempfile.TemporaryDirectory() as folder:
        writer.write(model, Path(folder))
        network = writer.Network(Path(folder) / "tensors.onnx")
    return _each_batch(model, batches, seconds, "onnx", network)


def litert(preset: str, batches: list[int], seconds: float) -> dict:
    """{batch: {"litert": `litert/tensors.tflite` in LiteRT with XNNPACK, its default on a CPU, row by row as its file has
    it}}; {"missing": package} where it is not installed."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ModuleNotFoundError as error:
        return {"missing": error.name}
    from ganzoo import zoo
    from ganzoo.exporting import litert as writer
    from ganzoo.exporting import portable

    model = zoo.load(preset, weights=None)
    with tempfile.TemporaryDirectory() as folder:
        writer.write(model, Path(folder))
        interpreter = Interpreter(f"{folder}/tensors.tflite", num_threads=timing.cores())
    run = interpreter.get_signature_runner("tensors")
    return _each_batch(model, batches, seconds, "litert", lambda given: [run(**row) for row in portable.rows(given)])


def torch(preset: str, batches: list[int], seconds: float) -> dict:
    """{batch: {"torch": the same network in PyTorch eager, inference mode}}; {"missing": package} where it is not installed."""
    try:
        import torch
    except ModuleNotFoundError as error:
        return {"missing": error.name}
    from benchmarks import torch_models
    from ganzoo import presets

    torch.manual_seed(0)
    torch.set_num_threads(timing.cores())
    config = presets.run_config(preset)
    generator = torch_models.Update(config).generator
    generator.eval()
    sample = torch_models.TWINS[config.name].sample
    found = {}
    with torch.inference_mode():
        for rows in batches:
            found[rows] = in_turns({"torch": sample(generator, config, rows)}, seconds)
    return found


KINDS = {"tensorflow": tensorflow, "onnx": onnx, "litert": litert, "torch": torch}

if __name__ == "__main__":
    print(json.dumps(KINDS[sys.argv[1]](**json.loads(sys.argv[2]))))
