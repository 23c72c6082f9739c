"""The body of the small readers that `tools/train_extractor.py` trains: convolutions with pooling, for one head or several."""

from collections.abc import Iterable

import keras
from keras import layers


def features(inputs: keras.KerasTensor, convolutions: Iterable[tuple[int, int, int, bool]], training: bool):
    """Pictures (N, H, W, C) in [0, 1] -> numbers (N, D) for the heads.

    Args:
        convolutions: (filters, kernel, stride, whether pooling follows) of each, in their order.
        training: puts a batch norm behind every convolution and dropout at the end; the recipe folds the norms into the
            convolutions, so the network without them computes the same.
    """
    x = inputs
    for place, (width, kernel, stride, pools) in enumerate(convolutions, start=1):
        x = layers.Conv2D(width, kernel, stride, padding="same", name=f"conv{place}")(x)
        x = layers.BatchNormalization(momentum=0.98, name=f"norm{place}")(x) if training else x
        x = layers.ReLU(name=f"relu{place}")(x)
        x = layers.MaxPooling2D(2, name=f"pool{place}")(x) if pools else x
    x = layers.Flatten(name="flatten")(x)
    return layers.Dropout(0.3, name="dropout")(x) if training else x
