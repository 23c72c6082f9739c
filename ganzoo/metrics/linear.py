"""How much a discriminator has learnt: a linear SVM on its features (Radford et al. 2015, section 5.1; Wu et al. 2016,
section 4.2)."""

import numpy as np

from ganzoo.errors import GanzooError, missing_extra
from ganzoo.metrics import _rows


def linear_accuracy(
    train: np.ndarray, train_labels: np.ndarray, test: np.ndarray, test_labels: np.ndarray, *, c: float = 0.01
) -> float:
    """Share of test rows that a one-vs-all linear L2-SVM on standardised features, fitted on train, gets right.

    Args:
        train, test: features (N, D) and (M, D).
        train_labels, test_labels: class numbers (N,) and (M,).
        c: weight of a row's squared hinge loss against half the squared norm of the classifier.

    Raises:
        GanzooError: another count of labels than of rows, unlike dimensions, NaN or infinity, fewer than two classes, or
            no scikit-learn.
    """
    train, test = _rows.checked_pair(train, test, names=("training", "test"), least=1)
    for rows, labels in ((train, train_labels), (test, test_labels)):
        if np.shape(labels) != (len(rows),):
            raise GanzooError(f"{len(rows)} rows need one label each; received labels of shape {np.shape(labels)}.")
    if len(np.unique(train_labels)) < 2:
        raise GanzooError("A classifier needs training rows of at least two classes; received one.")
    try:
        from sklearn.svm import LinearSVC
    except ImportError:
        raise missing_extra("scikit-learn", "svm") from None
    mean, scale = train.mean(axis=0, dtype=np.float64), train.std(axis=0, dtype=np.float64) + 1e-8
    # The primal solver draws nothing: one answer for one input.
    svm = LinearSVC(C=c, dual=False, max_iter=10_000).fit((train - mean) / scale, train_labels)
    return float(svm.score((test - mean) / scale, test_labels))
