"""The parts of a model that formats besides SavedModel hold: endpoints of floats, with their weights as constants."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from ganzoo.base import BaseGAN
from ganzoo.layers import as_convolutions

PRECISIONS = ("float32", "float16", "int8")  # in which weights are stored; the network computes in float32


@dataclass(frozen=True)
class Endpoint:
    """A function of floats without variables.

    Args:
        call: `tf.function` of the inputs in the order of `inputs` -> dict by the names in `outputs`.
        inputs: TensorSpec by name, the first axis None.
        outputs: names, sorted.
    """

    call: tf.types.experimental.PolymorphicFunction
    inputs: dict[str, tf.TensorSpec]
    outputs: tuple[str, ...]


def endpoints(model: BaseGAN) -> dict[str, Endpoint]:
    """The endpoints of `model.portable_signature()`, frozen."""
    return {name: freeze(function, inputs) for name, (function, inputs) in model.portable_signature().items()}


def freeze(function: Callable, inputs: dict[str, tf.TensorSpec]) -> Endpoint:
    """A function of tensors to a dict of them, with its variables as constants.

    Both converters would do it themselves: LiteRT's leaves Keras' variables uninitialised, tf2onnx fails at pix2pix.
    """
    inputs = {name: tf.TensorSpec(spec.shape, spec.dtype, name=name) for name, spec in inputs.items()}
    with as_convolutions():
        concrete = tf.function(function, input_signature=list(inputs.values())).get_concrete_function()
    frozen, names = convert_variables_to_constants_v2(concrete), tuple(sorted(concrete.structured_outputs))

    def call(*tensors):
        return dict(zip(names, frozen(*tensors), strict=True))

    return Endpoint(tf.function(call, input_signature=list(inputs.values())), inputs, names)


def rows(values: dict[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
    """Inputs of several rows as inputs of one row each."""
    return [{name: array[i : i + 1] for name, array in values.items()} for i in range(len(next(iter(values.values()))))]
