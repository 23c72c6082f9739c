"""The face descriptor: 128 numbers of a face, near for two pictures of a person and far for two persons. Bundled, frozen.

The ResNet of dlib in the weights of face-api (MIT), 5.6 million parameters, most of them stored in 8 bits. Papers have it as
a helper that never moves (DTN's f, Age-cGAN's identity features), evaluation as the judge of whether two faces are one person.

    network = face_descriptor.load()
    rows = face_descriptor.describe(network, images)        # in a graph, gradients flow to the images
    face_descriptor.distances(rows[0], rows[1:]) < face_descriptor.SAME_PERSON
"""

import functools
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from ganzoo import weights
from ganzoo.devices import precision
from ganzoo.errors import GanzooError
from ganzoo.layers import QuantisedConv2D

SIZE, DIMENSIONS = 150, 128
# Upstream takes two photos below this distance for one person. It is a threshold of photos: rendered heads and drawings lie
# nearer to each other, so of these a threshold is measured on pairs that are known.
SAME_PERSON = 0.6
ASSETS = Path(__file__).resolve().parents[1] / "assets" / "evaluators"
FILE, SIDECAR = "face_descriptor.safetensors", "face_descriptor.json"

MEAN = (122.782, 117.001, 104.298)  # RGB, taken off before the division by 255
WIDTHS = (32, 64, 128, 256)
# Blocks in order: name, width, whether it halves the sides.
BLOCKS = (
    *((f"conv32_{k}", 32, False) for k in (1, 2, 3)),
    ("conv64_down", 64, True),
    *((f"conv64_{k}", 64, False) for k in (1, 2, 3)),
    ("conv128_down", 128, True),
    *((f"conv128_{k}", 128, False) for k in (1, 2)),
    ("conv256_down", 256, True),
    *((f"conv256_{k}", 256, False) for k in (1, 2)),
    ("conv256_down_out", 256, True),
)
# Convolutions that upstream has in float32, as 8 bits lose too much of them.
UNQUANTISED = ("conv64_down", "conv64_1", "conv64_2", "conv64_3")


def build(name: str = "face_descriptor") -> keras.Model:
    """Faces (N, 150, 150, 3) in [-1, 1] -> descriptors (N, 128), with empty weights and nothing that trains.

    A block is relu(conv(relu(conv(x))) + x); one that halves has a first convolution of stride 2 and the 2x2 means of x,
    with zeros for the channels that x does not have, and for the row and column that the convolution does not reach.
    """
    image = x = keras.Input((SIZE, SIZE, 3), name="image")
    x = layers.Rescaling(0.5, [(127.5 - mean) / 255 for mean in MEAN], name="centred")(x)
    x = _conv(x, "conv32_down", 32, 7, 2, "valid")
    x = layers.ReLU(name="conv32_down_relu")(x)
    x = layers.MaxPooling2D(3, 2, name="pool")(x)
    for block, width, halves in BLOCKS:
        y = _conv(x, f"{block}_conv1", width, 3, 2 if halves else 1, "valid" if halves else "same")
        y = layers.ReLU(name=f"{block}_relu1")(y)
        y = _conv(y, f"{block}_conv2", width, 3, 1, "same")
        if halves:
            x = layers.AveragePooling2D(2, name=f"{block}_pool")(x)
            if y.shape[1] < x.shape[1]:
                y = layers.ZeroPadding2D(((0, 1), (0, 1)), name=f"{block}_pad")(y)
            if x.shape[-1] < width:
                nothing = layers.Rescaling(0.0, name=f"{block}_zeros")(x)
                x = layers.Concatenate(name=f"{block}_wide")([x, nothing])
        x = layers.ReLU(name=f"{block}_relu")(layers.Add(name=f"{block}_sum")([x, y]))
    x = layers.GlobalAveragePooling2D(keepdims=True, name="mean")(x)
    x = layers.Flatten(name="descriptor")(QuantisedConv2D(DIMENSIONS, 1, name="fc")(x))
    network = keras.Model(image, x, name=name)
    network.trainable = False
    return network


def _conv(x, name, width, kernel_size, strides, padding):
    if name.rsplit("_", 1)[0] in UNQUANTISED:
        return layers.Conv2D(width, kernel_size, strides, padding, name=name, kernel_initializer="zeros")(x)
    return QuantisedConv2D(width, kernel_size, strides, padding, name=name)(x)


def fill(network: keras.Model) -> None:
    """Gives a network of `build` the bundled weights, whose sha256 the sidecar states.

    Raises:
        GanzooError: they are not there, or are others.
    """
    for layer, values in _values().items():
        network.get_layer(layer).set_weights(values)


@functools.lru_cache(maxsize=1)
def load() -> keras.Model:
    """The network with the bundled weights, in float32; once per process. Raises GanzooError as `fill`."""
    with precision.policy("float32"):  # a training in bfloat16 has its own
        network = build()
    fill(network)
    return network


def _values() -> dict[str, list[np.ndarray]]:
    """Layer -> its weights: the factors and offsets that follow a convolution upstream are folded into it."""
    if not (ASSETS / FILE).is_file() or not (ASSETS / SIDECAR).is_file():
        raise GanzooError(
            f"The face descriptor is not at {ASSETS / FILE}, which belongs to every installation of ganzoo: install it again."
        )
    arrays, about, _ = weights.read_stated(ASSETS / FILE)

    def decoded(key):
        row, array = about["weights"][key], arrays[key]
        return array.astype(np.float64) * row["scale"] + row["min"] if array.dtype == np.uint8 else array

    found = {}
    for key in (key for key in arrays if key.endswith("/conv/filters")):
        unit = key.removesuffix("/conv/filters")
        factor, offset = decoded(f"{unit}/scale/weights"), decoded(f"{unit}/scale/biases")
        bias = decoded(f"{unit}/conv/bias") * factor + offset
        if arrays[key].dtype == np.uint8:
            row = about["weights"][key]
            found[unit.replace("/", "_")] = [arrays[key], row["scale"] * factor, row["min"] * factor, bias]
        else:
            found[unit.replace("/", "_")] = [arrays[key] * factor, bias]
    row, same = about["weights"]["fc"], np.ones(DIMENSIONS)
    found["fc"] = [arrays["fc"][None, None], row["scale"] * same, row["min"] * same, 0 * same]
    return found


def describe(network: keras.Model, images) -> tf.Tensor:
    """Descriptors float32 (N, 128) of faces (N, H, W, 1 or 3) in [-1, 1] of any size, a face to a picture, inside a graph.

    Bilinear to 150 x 150, and antialiased where that is smaller. Everything here has a gradient.
    """
    images = tf.cast(images, tf.float32)
    if images.shape[-1] == 1:
        images = tf.repeat(images, 3, axis=-1)
    if tuple(images.shape[1:3]) != (SIZE, SIZE):
        height, width = images.shape[1:3]
        shrinks = height is None or width is None or max(height, width) > SIZE
        images = tf.image.resize(images, (SIZE, SIZE), antialias=shrinks)
    return network(images, training=False)


def descriptors(images: np.ndarray, batch_size: int = 32) -> np.ndarray:
    """Descriptors float32 (N, 128) of uint8 faces (N, H, W, 1 or 3).

    Raises:
        GanzooError: something else than such pictures, or the weights are not there.
    """
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3) or 0 in images.shape:
        raise GanzooError(
            f"The face descriptor reads uint8 pictures (N, height, width, 1 or 3); received {images.dtype} {images.shape}."
        )
    rows, call = [], _forward()
    for start in range(0, len(images), batch_size):
        rows.append(call(tf.cast(images[start : start + batch_size], tf.float32) / 127.5 - 1).numpy())
    return np.concatenate(rows)


@functools.lru_cache(maxsize=1)
def _forward():
    network = load()
    return tf.function(lambda images: describe(network, images), reduce_retracing=True, autograph=False)


def distances(a, b):
    """Euclidean distances of descriptors (..., 128), the measure that `SAME_PERSON` is a threshold of."""
    return tf.norm(tf.cast(a, tf.float32) - tf.cast(b, tf.float32), axis=-1)
