"""lorelei-cnn: reads hair colour, hair style, glasses and mouth of the drawn characters of `lorelei_64`.

Made by `tools/train_extractor.py`; its accuracy on the test pictures is in the sidecar of its weights, `lorelei_cnn.json`, and
bounds what a score by it can say. It judges text-to-image: is on the picture what the sentence asked for?
"""

import functools

import keras
import numpy as np
from keras import layers

from ganzoo import weights
from ganzoo.errors import GanzooError
from ganzoo.layers import small_cnn
from ganzoo.metrics.features.network import ASSETS

SIZE = 64
# (filters, kernel, stride, whether pooling follows) of the convolutions.
CONVOLUTIONS = ((24, 4, 2, False), (32, 3, 1, True), (64, 3, 1, True), (96, 3, 1, True))
# Column of the data set -> the classes that a head tells apart.
HEADS = {
    "hair_color": ("aqua", "black", "blonde", "blue", "brown", "green", "orange", "pink", "purple", "red", "silver"),
    "hair_style": ("bob", "bun", "curly", "long", "ponytail", "shaved", "short", "spiky"),
    "glasses": ("0", "1"),
    "mouth": ("happy", "other", "sad"),
}
FILE, SIDECAR = "lorelei_cnn.safetensors", "lorelei_cnn.json"


def build(*, training: bool = False) -> keras.Model:
    """(N, 64, 64, 3) in [0, 1] -> {column: logits (N, classes)}. `training`: see `small_cnn`."""
    inputs = keras.Input((SIZE, SIZE, 3), name="images")
    x = small_cnn.features(inputs, CONVOLUTIONS, training)
    heads = {column: layers.Dense(len(classes), name=column)(x) for column, classes in HEADS.items()}
    return keras.Model(inputs, heads, name="lorelei_cnn")


@functools.lru_cache(maxsize=1)
def load() -> keras.Model:
    """The network from the bundled weights, whose sha256 the sidecar states; once per process.

    Raises:
        GanzooError: the weights are not there, or are others.
    """
    if not (ASSETS / SIDECAR).is_file():
        raise GanzooError(
            f"The reader of the drawn characters has no weights at {ASSETS / FILE}: make them by "
            "python -m tools.train_extractor lorelei-cnn (a few minutes on one core)."
        )
    arrays, *_ = weights.read_stated(ASSETS / FILE)
    model = build()
    weights.assign({v.path: v for v in model.weights}, arrays, str(ASSETS / FILE))
    return model


def read(images: np.ndarray, model: keras.Model | None = None) -> dict[str, np.ndarray]:
    """What the network sees in uint8 pictures (N, 64, 64, 3): column -> class names (N,).

    Raises:
        GanzooError: pictures of another size.
    """
    if images.dtype != np.uint8 or images.shape[1:] != (SIZE, SIZE, 3):
        raise GanzooError(
            f"lorelei-cnn reads uint8 pictures (N, {SIZE}, {SIZE}, 3); received {images.dtype} {images.shape}."
        )
    model, found = model or load(), []
    for start in range(0, len(images), 256):
        logits = model(images[start : start + 256].astype(np.float32) / 255, training=False)
        found.append({column: np.argmax(logits[column], axis=1) for column in HEADS})
    rows = {column: np.concatenate([part[column] for part in found]) for column in HEADS}
    return {column: np.array(HEADS[column])[rows[column]] for column in HEADS}
