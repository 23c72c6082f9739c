"""digits-cnn: reads plain handwritten digits of 32 x 32 gray, those of the bundled set `mnist`.

Made by `tools/train_extractor.py`; its accuracy on the test digits stands in the sidecar of its weights, `digits_cnn.json`, and bounds
what a score by it can say. It judges dtn: is a digit still the same one when it is drawn in the style of the plain ones?
"""

import functools

import keras
import numpy as np
from keras import layers

from ganzoo import weights
from ganzoo.errors import GanzooError
from ganzoo.layers import small_cnn
from ganzoo.metrics.features.network import ASSETS

SIZE, CLASSES = 32, 10
CONVOLUTIONS = tuple((filters, 3, 1, True) for filters in (16, 32, 64))  # as `small_cnn` takes them
FILE, SIDECAR = "digits_cnn.safetensors", "digits_cnn.json"


def build(*, training: bool = False) -> keras.Model:
    """(N, 32, 32, 1) in [0, 1] -> logits (N, 10). `training`: see `small_cnn`."""
    inputs = keras.Input((SIZE, SIZE, 1), name="images")
    x = small_cnn.features(inputs, CONVOLUTIONS, training)
    return keras.Model(inputs, layers.Dense(CLASSES, name="logits")(x), name="digits_cnn")


@functools.lru_cache(maxsize=1)
def load() -> keras.Model:
    """The network from the bundled weights, whose sha256 the sidecar states; once per process.

    Raises:
        GanzooError: the weights are not there, or are others.
    """
    if not (ASSETS / SIDECAR).is_file():
        raise GanzooError(
            f"The reader of digits has no weights at {ASSETS / FILE}: make them by python -m tools.train_extractor digits-cnn (a "
            "minute on one core)."
        )
    arrays, *_ = weights.read_stated(ASSETS / FILE)
    model = build()
    weights.assign({v.path: v for v in model.weights}, arrays, str(ASSETS / FILE))
    return model


def read(images: np.ndarray) -> np.ndarray:
    """The digits that the network sees in uint8 pictures (N, 32, 32, 1): int64 (N,).

    Raises:
        GanzooError: pictures of another size.
    """
    if images.dtype != np.uint8 or images.shape[1:] != (SIZE, SIZE, 1):
        raise GanzooError(
            f"digits-cnn reads uint8 pictures (N, {SIZE}, {SIZE}, 1); received {images.dtype} {images.shape}."
        )
    model, found = load(), []
    for start in range(0, len(images), 256):
        logits = model(images[start : start + 256].astype(np.float32) / 255, training=False)
        found.append(np.argmax(logits, axis=1))
    return np.concatenate(found)
