"""How much a discriminator has learnt: a linear classifier on its features (Radford et al. 2015, section 5.1; Wu et al.
2016, section 4.2)."""

import numpy as np

from ganzoo.errors import GanzooError, missing_extra
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
    train, test = _standardised(train, train_labels, test, test_labels)
    x = np.hstack([train, np.ones((len(train), 1))])
    classes = np.unique(train_labels)
    y = np.where(train_labels[:, None] == classes, 1.0, -1.0)
    weights = np.linalg.solve(x.T @ x + ridge * np.eye(x.shape[1]), x.T @ y)
    scores = np.hstack([test, np.ones((len(test), 1))]) @ weights
    return float(np.mean(classes[scores.argmax(axis=1)] == test_labels))


def svm_accuracy(
    train: np.ndarray, train_labels: np.ndarray, test: np.ndarray, test_labels: np.ndarray, *, c: float = 0.01
) -> float:
    """Share of test rows that a one-vs-all linear L2-SVM on standardised features, fitted on train, gets right.

    For thousands of rows: of 10,000 with thousands of features it takes many minutes, `linear_accuracy` seconds.

    Args:
        train, test: features (N, D) and (M, D).
        train_labels, test_labels: class numbers (N,) and (M,).
        c: weight of a row's squared hinge loss against half the squared norm of the classifier.

    Raises:
        GanzooError: another count of labels than of rows, unlike dimensions, NaN or infinity, fewer than two classes, or
            no scikit-learn.
    """
    train, test = _standardised(train, train_labels, test, test_labels)
    if len(np.unique(train_labels)) < 2:
        raise GanzooError("A classifier needs training rows of at least two classes; received one.")
    try:
        from sklearn.svm import LinearSVC
    except ImportError:
        raise missing_extra("scikit-learn", "svm") from None
    # The primal solver draws nothing: one answer for one input.
    svm = LinearSVC(C=c, dual=False, max_iter=10_000).fit(train, train_labels)
    return float(svm.score(test, test_labels))


def _standardised(train, train_labels, test, test_labels) -> tuple[np.ndarray, np.ndarray]:
    """Both sets with the means and deviations of the first; checks of both and their labels."""
    train, test = _rows.checked_pair(train, test, names=("training", "test"), least=1)
    for rows, labels in ((train, train_labels), (test, test_labels)):
        if np.shape(labels) != (len(rows),):
            raise GanzooError(f"{len(rows)} rows need one label each; received labels of shape {np.shape(labels)}.")
    mean, scale = train.mean(axis=0, dtype=np.float64), train.std(axis=0, dtype=np.float64) + 1e-8
    return (train - mean) / scale, (test - mean) / scale
