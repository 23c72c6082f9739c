"""fashion-cnn: a small classifier of Fashion-MNIST, made by `tools/train_extractor.py`, for pictures of clothes of 28 x 28 gray.

A network trained on the data set itself sees what ImageNet's networks do not see in 28 pixels. Its accuracy, seed and
training command stand in the sidecar of its weights, `fashion_cnn.json`, and are part of what a score on it means.
Pictures of 32 pixels are the data set padded by 2 on each side, so their margin is cut off; generated pixels there are not seen.
"""

import keras
import tensorflow as tf
from keras import layers

from ganzoo import weights
from ganzoo.metrics.features.network import ASSETS, Network

SIZE, MARGIN, CLASSES = 28, 2, 10
WIDTHS = (32, 64, 96)
DIMENSIONS = 128
FILE, SIDECAR = "fashion_cnn.safetensors", "fashion_cnn.json"


def load() -> Network:
    """The network from the bundled weights, whose sha256 the sidecar states."""
    arrays, _, sha256 = weights.read_stated(ASSETS / FILE)
    model = build()
    weights.assign({v.path: v for v in model.weights}, arrays, str(ASSETS / FILE))

    def forward(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return model(scaled(images), training=False)

    return Network(size=SIZE, channels=1, sha256=sha256, resize="none", forward=forward, margin=MARGIN)


def scaled(images: tf.Tensor) -> tf.Tensor:
    """uint8 pictures to float32 in [0, 1], the network's input."""
    return tf.cast(images, tf.float32) / 255.0


def build(*, training: bool = False) -> keras.Model:
    """Three convolutions with pooling and a dense layer: (N, 28, 28, 1) in [0, 1] -> (features (N, 128), logits (N, 10)).

    `training` puts a batch norm behind every convolution and dropout before the dense layers; the recipe folds the norms
    into the convolutions, so the network without them computes the same.
    """
    inputs = x = keras.Input((SIZE, SIZE, 1), name="images")
    for place, width in enumerate(WIDTHS, start=1):
        x = layers.Conv2D(width, 3, padding="same", name=f"conv{place}")(x)
        if training:
            x = layers.BatchNormalization(momentum=0.98, name=f"norm{place}")(x)
        x = layers.ReLU(name=f"relu{place}")(x)
        x = layers.MaxPooling2D(2, name=f"pool{place}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dropout(0.2, name="dropout1")(x) if training else x
    features = layers.Dense(DIMENSIONS, activation="relu", name="features")(x)
    x = layers.Dropout(0.2, name="dropout2")(features) if training else features
    return keras.Model(inputs, [features, layers.Dense(CLASSES, name="logits")(x)], name="fashion_cnn")
