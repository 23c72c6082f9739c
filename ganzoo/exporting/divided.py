"""`serving_default` in three parts: TensorFlow before and after the network, ONNX Runtime between them.

Beside `tensors.onnx` of an export stands `around/`, a small SavedModel with the signatures `before` (seeds, strings and
bytes to the network's floats) and `after` (its floats to PNG bytes): the ends of the paper's `serving_around()`. It has no
weights but those of a text encoder. Whether the whole answers as the SavedModel does is asked, not assumed: two runtimes round
differently, and so does one of them on another processor.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from ganzoo.base import BaseGAN
from ganzoo.base.declared import Around
from ganzoo.exporting import golden, onnx, savedmodel
from ganzoo.media import images

FORMAT, FOLDER = "onnx", "around"  # the format that has it, and its name in the folder of that
ENDPOINT, NETWORK = "serving_default", "tensors"
BUCKETS = (1, 2, 4, 8, 16, 32)  # rows of the calls that a server makes
Arrays = dict[str, np.ndarray]


class Divided:
    """`serving_default` of an export's `onnx/`: arrays to arrays, as its signature takes them, with at least one row.

    Raises:
        GanzooError: the extra `onnx` is missing, or a file cannot be read by ONNX Runtime.
        OSError, ValueError: `around/` is no SavedModel.
        MemoryError: from a call, for which ONNX Runtime had not the memory.
        tf.errors.OpError: from a call, what TensorFlow refuses, such as bytes that are no picture.
    """

    def __init__(self, folder: Path):
        self.around = tf.saved_model.load(str(folder / FOLDER))  # owns what the functions hold weakly
        self.before, self.after = (self.around.signatures[end] for end in ("before", "after"))
        self.network = onnx.Network(folder / f"{NETWORK}.onnx")

    def __call__(self, inputs: Arrays) -> Arrays:
        floats = self.before(**_tensors(self.before, inputs))
        made = self.network({name: tensor.numpy() for name, tensor in floats.items()})
        return {name: tensor.numpy() for name, tensor in self.after(**_tensors(self.after, made)).items()}


def _tensors(function, arrays: Arrays) -> dict[str, tf.Tensor]:
    specs = function.structured_input_signature[1]
    return {name: tf.constant(array, specs[name].dtype) for name, array in arrays.items()}


def write(around: Around, folder: Path) -> None:
    """Writes `around/` into the folder of the format."""
    savedmodel.write_endpoints({"before": around.before, "after": around.after}, folder / FOLDER)


def certificate(model: BaseGAN, folder: Path) -> dict:
    """What `compare` finds between the written folder and the model's own `serving_default`, as a graph."""
    function, specs = model.serving_signature()[ENDPOINT]
    graph = tf.function(function, input_signature=list(specs.values()))

    def whole(inputs: Arrays) -> Arrays:
        made = graph(*(tf.constant(inputs[name], spec.dtype) for name, spec in specs.items()))
        return {name: tensor.numpy() for name, tensor in made.items()}

    rows = {name: golden.rows_for(model, ENDPOINT, name, spec) for name, spec in specs.items()}
    return compare(whole, Divided(folder), rows)


def compare(
    whole: Callable[[Arrays], Arrays], divided: Callable[[Arrays], Arrays], rows: Arrays, alone: int = BUCKETS[-1]
) -> dict:
    """How PNG bytes of two forms of `serving_default` differ, in a call of each of BUCKETS and in `alone` calls of one row.

    `rows` are repeated, with other seeds where there are seeds.

    Returns:
        {"rows": of all calls, "equal": whether both gave the same bytes for each, "differing": the share of values 0..255 that
        do not agree, "steps": by how many of 255 at most}.
    """
    most = BUCKETS[-1]
    given = {name: array[np.arange(most) % len(array)] for name, array in rows.items()}
    if "seed" in given:
        given["seed"] = np.arange(most, dtype=np.int64)
    calls = [slice(i, i + 1) for i in range(alone)] + [slice(bucket) for bucket in BUCKETS[1:]]
    pictures, values, differing, steps = 0, 0, 0, 0
    for call in calls:
        asked = {name: array[call] for name, array in given.items()}
        ours, theirs = whole(asked), divided(asked)
        for a, b in ((a, b) for name in ours for a, b in zip(ours[name], theirs[name], strict=True)):
            wanted, got = (images.read_image(png, None).astype(int) for png in (a, b))
            apart = np.abs(wanted - got)
            pictures, values, differing = pictures + 1, values + apart.size, differing + int((apart > 0).sum())
            steps = max(steps, int(apart.max()))
    return {"rows": pictures, "equal": steps == 0, "differing": differing / values, "steps": steps}
