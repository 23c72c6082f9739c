"""How much a discriminator has learnt: a linear classifier on its features (Radford et al. 2015, section 5.1)."""

import numpy as np

from ganzoo.errors import GanzooError
from ganzoo.metrics import _rows


def linear_accuracy(
    train: np.ndarray, train_labels: np.ndarray, test: np.ndarray, test_labels: np.ndarray, *, ridge: float = 1.0
) -> float:
    """Share of test rows that a one-vs-all ridge regression on standardised features, fitted on train, gets right.

    The paper fits an L2-SVM; the least-squares classifier has a closed form and needs no other library.

    Args:
        train, test: features (N, D) and (M, D).
        train_labels, test_labels: class numbers (N,) and (M,).
        ridge: weight of the squared norm, relative to one row.

    Raises:
        GanzooError: another count of labels than of rows, unlike dimensions, NaN or infinity.
    """
    train, test = _rows.checked_pair(train, test, names=("training", "test"), least=1)
    for rows, labels in ((train, train_labels), (test, test_labels)):
        if np.shape(labels) != (len(rows),):
            raise GanzooError(f"{len(rows)} rows need one label each; received labels of shape {np.shape(labels)}.")
    mean, scale = train.mean(axis=0, dtype=np.float64), train.std(axis=0, dtype=np.float64) + 1e-8
    x = np.hstack([(train - mean) / scale, np.ones((len(train), 1))])
    classes = np.unique(train_labels)
    y = np.where(train_labels[:, None] == classes, 1.0, -1.0)
    weights = np.linalg.solve(x.T @ x + ridge * np.eye(x.shape[1]), x.T @ y)
    scores = np.hstack([(test - mean) / scale, np.ones((len(test), 1))]) @ weights
    return float(np.mean(classes[scores.argmax(axis=1)] == test_labels))
