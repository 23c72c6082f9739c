"""SavedModel through `keras.export.ExportArchive`: the sampling network and the paper's own serving functions."""

from collections.abc import Mapping
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
        archive.add_endpoint(endpoint, function, input_signature=list(inputs.values()))
    archive.write_out(str(folder), verbose=False)


def answers(folder: Path, endpoint: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the SavedModel makes of `inputs`."""
    function = tf.saved_model.load(str(folder)).signatures[endpoint]
    specs = function.structured_input_signature[1]
    made = function(**{name: tf.constant(value, specs[name].dtype) for name, value in inputs.items()})
    return {name: value.numpy() for name, value in made.items()}
