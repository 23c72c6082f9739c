"""SavedModel through `keras.export.ExportArchive`: the sampling network and the paper's own serving functions."""

from collections.abc import Callable, Mapping
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from ganzoo.base import BaseGAN
from ganzoo.base.declared import Endpoint


def write(model: BaseGAN, folder: Path) -> None:
    """Writes the endpoints of `model.serving_signature()` into the new folder `folder`.

    What the endpoints use is stored, and nothing else: neither discriminator, nor optimizer, nor the generator behind an
    averaged one. Every input has its own name in the signature, every output its key.
    """
    write_endpoints(model.serving_signature(), folder)


def write_endpoints(endpoints: Mapping[str, Endpoint], folder: Path) -> None:
    """Writes functions of tensors into the new folder `folder`, with the variables that they use."""
    archive = keras.export.ExportArchive()  # no track(sampler): Keras 3.15 would then store every weight twice
    for endpoint, (function, inputs) in endpoints.items():
        if all(spec.dtype != tf.string for spec in inputs.values()):  # an empty string is no picture
            function = of_any_rows(function)
        archive.add_endpoint(endpoint, function, input_signature=list(inputs.values()))
    archive.write_out(str(folder), verbose=False)


def of_any_rows(function: Callable[..., dict[str, tf.Tensor]]) -> Callable[..., dict[str, tf.Tensor]]:
    """`function` of batches, which may have no rows: TensorFlow's padding, its fused convolutions and `map_fn` of open shapes
    want one at least, so that it gets one of zeros then, and its answer is left out."""

    def call(*inputs):
        rows = tf.shape(inputs[0])[0]
        missing = tf.cast(rows == 0, tf.int32)
        padded = [tf.pad(x, [[0, missing], *([0, 0] for _ in x.shape[1:])]) for x in inputs]
        return {name: value[:rows] for name, value in function(*padded).items()}

    return call


def answers(folder: Path, endpoint: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the SavedModel makes of `inputs`."""
    function = tf.saved_model.load(str(folder)).signatures[endpoint]
    specs = function.structured_input_signature[1]
    made = function(**{name: tf.constant(value, specs[name].dtype) for name, value in inputs.items()})
    return {name: value.numpy() for name, value in made.items()}
