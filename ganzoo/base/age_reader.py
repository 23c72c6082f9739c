"""age-cnn: reads the age of the rendered heads of `faces_age_64`, in years. Bundled, frozen, and no reader of photos.

Made by `tools/train_extractor.py` from the set's training pictures; its error on held-out identities stands in the sidecar
of its weights, `age_cnn.json`, and bounds what it can say. It tells the own age of a face for which nobody gave one, and
judges the ages that a model was asked for.
"""

import functools
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from ganzoo import ages, weights
from ganzoo.devices import precision
from ganzoo.errors import GanzooError
from ganzoo.layers import small_cnn

SIZE = 64
SCALE = 100.0  # years, of the network's output
# (filters, kernel, stride, whether pooling follows) of the convolutions.
CONVOLUTIONS = ((24, 4, 2, False), (32, 3, 1, True), (64, 3, 1, True), (96, 3, 1, True))
ASSETS = Path(__file__).resolve().parents[1] / "assets" / "evaluators"
FILE, SIDECAR = "age_cnn.safetensors", "age_cnn.json"


def build(*, training: bool = False) -> keras.Model:
    """(N, 64, 64, 3) in [0, 1] -> {"age": (N, 1)}, in units of 100 years. `training`: see `small_cnn`."""
    inputs = keras.Input((SIZE, SIZE, 3), name="images")
    x = small_cnn.features(inputs, CONVOLUTIONS, training)
    return keras.Model(inputs, {"age": layers.Dense(1, name="age")(x)}, name="age_cnn")


@functools.lru_cache(maxsize=1)
def load() -> keras.Model:
    """The network from the bundled weights, whose sha256 the sidecar states; once per process.

    Raises:
        GanzooError: the weights are not there, or are others.
    """
    if not (ASSETS / FILE).is_file() or not (ASSETS / SIDECAR).is_file():
        raise GanzooError(
            f"The reader of ages is not at {ASSETS / FILE}, which belongs to every installation of ganzoo: install it again, or "
            "say the own age of each face (start_age, --start-age)."
        )
    arrays, *_ = weights.read_stated(ASSETS / FILE)
    with precision.policy("float32"):  # a training in bfloat16 has its own
        model = build()
    weights.assign({v.path: v for v in model.weights}, arrays, str(ASSETS / FILE))
    return model


def years(images) -> np.ndarray:
    """float32 (N,): the ages, 0 to 120 years, of faces (N, S, S, 1 or 3), uint8 or floats in [-1, 1]; brought to 64 px."""
    images = tf.convert_to_tensor(images)
    floats = tf.cast(images, tf.float32) / 255 if images.dtype == tf.uint8 else (tf.cast(images, tf.float32) + 1) / 2
    model, found = load(), []
    for start in range(0, len(floats), 256):
        part = floats[start : start + 256]
        part = tf.repeat(part, 3, axis=-1) if part.shape[-1] == 1 else part
        if tuple(part.shape[1:3]) != (SIZE, SIZE):
            part = tf.image.resize(part, [SIZE, SIZE], antialias=True)
        found.append(model(part, training=False)["age"].numpy()[:, 0] * SCALE)
    return np.clip(np.concatenate(found), 0, ages.OLDEST)


def classes(images) -> np.ndarray:
    """int64 (N,): the classes of these ages."""
    return np.array([ages.class_of(round(float(one))) for one in years(images)], np.int64)
