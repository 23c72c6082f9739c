"""LiteRT (TensorFlow Lite): one `.tflite` file for each endpoint of floats, run by ai-edge-litert.

Each file has one signature, called as the endpoint. Its first axis is 1: LiteRT plans its memory for the sizes of a file, and
rows follow one another. `float16` and `int8` are the converter's own forms of the weights (16-bit floats; 8-bit integers, which
some operations also multiply as such).
"""

import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf

from ganzoo.base import BaseGAN
from ganzoo.errors import GanzooError, first_line, missing_extra
from ganzoo.exporting import portable


def write(model: BaseGAN, folder: Path, precision: str = "float32") -> list[Path]:
    """Writes `folder/<endpoint>.tflite` for every endpoint of `model.portable_signature()`.

    Raises:
        GanzooError: an operation of the network that LiteRT does not know.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, endpoint in portable.endpoints(model).items():
        module = tf.Module()
        specs = {
            key: tf.TensorSpec([1, *spec.shape[1:]], spec.dtype, name=key) for key, spec in endpoint.inputs.items()
        }
        module.call = tf.function(endpoint.call.python_function, input_signature=list(specs.values()))
        with tempfile.TemporaryDirectory() as scratch:
            tf.saved_model.save(module, scratch, signatures={name: module.call})
            converter = tf.lite.TFLiteConverter.from_saved_model(scratch, signature_keys=[name])
            if precision != "float32":
                converter.optimizations = [tf.lite.Optimize.DEFAULT]
            if precision == "float16":
                converter.target_spec.supported_types = [tf.float16]
            try:
                content = converter.convert()
            except Exception as error:  # the converter has a class of its own, which it does not show
                reason = first_line(error)
                raise GanzooError(f"litert cannot express the endpoint {name} of {model.paper}: {reason}") from error
        files.append(folder / f"{name}.tflite")
        files[-1].write_bytes(content)
    return files


def answers(folder: Path, endpoint: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What LiteRT makes of `inputs`, row by row."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ModuleNotFoundError as error:
        raise missing_extra(error.name or "ai_edge_litert", "litert") from None
    run = Interpreter(model_path=str(folder / f"{endpoint}.tflite")).get_signature_runner(endpoint)
    made = [{key: value.copy() for key, value in run(**row).items()} for row in portable.rows(inputs)]
    return {key: np.concatenate([row[key] for row in made]) for key in made[0]}
