"""Inception Score (Salimans et al. 2016, arXiv 1606.03498, section 4)."""

import numpy as np

from ganzoo.errors import GanzooError
from ganzoo.metrics import _rows


def inception_score(logits, splits: int = 10) -> tuple[float, float]:
    """(mean, population standard deviation) over `splits` consecutive parts of exp(mean_x KL(p(y|x) || p(y))).

    Its name in the literature belongs to Inception's 1,000 ImageNet classes: name the classifier next to the value.

    Args:
        logits: class scores before the softmax, (N, classes).
        splits: parts of the rows, 1..N; the rows should come in no order of classes.

    Returns:
        Between 1 (every row the same distribution) and the number of classes.

    Raises:
        GanzooError: fewer than two classes, more splits than rows, NaN or infinity.
    """
    logits = _rows.checked(logits, "logit", least=1)
    if logits.shape[1] < 2:
        raise GanzooError("The Inception Score needs logits of at least 2 classes; received 1.")
    if not 1 <= splits <= len(logits):
        raise GanzooError(f"{len(logits)} rows of logits cannot be cut into {splits} splits: 1..{len(logits)}.")
    scores = [_score(logits[i * len(logits) // splits : (i + 1) * len(logits) // splits]) for i in range(splits)]
    return float(np.mean(scores)), float(np.std(scores))


def _score(logits: np.ndarray) -> float:
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    p = np.exp(log_p)
    # log of the mean probability; a class of probability zero takes part in no product
    log_marginal = np.log(np.maximum(p.mean(axis=0), np.finfo(np.float64).tiny))
    return float(np.exp((p * (log_p - log_marginal)).sum(axis=1).mean()))
