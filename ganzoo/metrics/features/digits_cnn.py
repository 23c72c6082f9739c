"""digits-cnn: reads plain handwritten digits of 32 x 32 gray, those of the bundled set `mnist`.

Made by `tools/train_extractor.py`; its accuracy on the test digits stands in the sidecar of its weights, `digits_cnn.json`, and bounds
what a score by it can say. It judges dtn: is a digit still the same one when it is drawn in the style of the plain ones?
"""

import functools

import keras
import numpy as np
from keras import layers

from ganzoo import files, weights
from ganzoo.errors import GanzooError
from ganzoo.metrics.features.network import ASSETS

SIZE, CLASSES = 32, 10
WIDTHS = (16, 32, 64)
FILE, SIDECAR = "digits_cnn.safetensors", "digits_cnn.json"


def build(*, training: bool = False) -> keras.Model:
    """(N, 32, 32, 1) in [0, 1] -> logits (N, 10).

    `training` puts a batch norm behind every convolution and dropout before the last layer; the recipe folds the norms into the
    convolutions, so the network without them computes the same.
    """
    x = inputs = keras.Input((SIZE, SIZE, 1), name="images")
    for place, width in enumerate(WIDTHS, start=1):
        x = layers.Conv2D(width, 3, padding="same", name=f"conv{place}")(x)
        x = layers.BatchNormalization(momentum=0.98, name=f"norm{place}")(x) if training else x
        x = layers.ReLU(name=f"relu{place}")(x)
        x = layers.MaxPooling2D(2, name=f"pool{place}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dropout(0.3, name="dropout")(x) if training else x
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
    about = files.read_json(ASSETS / SIDECAR)
    arrays, _ = weights.read(ASSETS / FILE, about["files"][FILE]["sha256"])
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
