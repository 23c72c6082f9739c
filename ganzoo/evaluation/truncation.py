"""What truncation buys and costs: FID and Inception Score over the truncations of a model (Brock et al. 2018, figure 16)."""

from collections.abc import Iterator, Sequence

import numpy as np

from ganzoo import metrics
from ganzoo.base import BaseGAN, rows
from ganzoo.data import bundled
from ganzoo.errors import GanzooError
from ganzoo.evaluation.pictures import CHUNK, drawn_labels
from ganzoo.evaluation.sets import Subject


def default_extractor(model: BaseGAN) -> str:
    """The classifier of the clothes where the model was trained on them, else that of ImageNet."""
    clothes = bundled.canonical(model.run_config.data.source) == "fashion"
    return "fashion-cnn" if clothes else "efficientnet-lite0"


def curve(
    model: BaseGAN,
    truncations: Sequence[float],
    *,
    n: int = 5_000,
    seed: int = 0,
    extractor: str | None = None,
    resample: bool = False,
) -> list[dict[str, float]]:
    """{"truncation", "fid", "is"} of `n` samples at each truncation, of classes as in the training set, against the test split.

    Args:
        model: a model whose `generate` takes `truncation`, with its run's options.
        extractor: whose features and classes are measured; `default_extractor` if None.
        resample: the paper's form of truncation.

    Raises:
        GanzooError: a truncation that the model does not take, fewer than two samples, or an unknown extractor.
    """
    from ganzoo.metrics import features

    if n < 2:
        raise GanzooError(f"FID is of two samples or more; received n = {n}.")
    for truncation in truncations:
        model.checked_truncation(truncation, resample)
    reader = features.extractor(extractor or default_extractor(model))
    subject = Subject(model, model.run_config.data, n=n, split=model.run_config.data.test_split, seed=seed)
    real, labels = subject.sets.features("reference", reader), drawn_labels(subject.train_labels, n, seed)
    found = []
    for truncation in truncations:
        made, logits = reader.outputs(_samples(model, truncation, resample, labels, seed))
        score, _ = metrics.inception_score(logits, splits=min(10, n))
        found.append({"truncation": truncation, "fid": metrics.frechet_distance(real, made), "is": float(score)})
    return found


def _samples(model, truncation, resample, labels, seed) -> Iterator[np.ndarray]:
    seeds = rows.row_seeds(seed, len(labels))
    for start in range(0, len(labels), CHUNK):
        shown = slice(start, start + CHUNK)
        latents = model.truncated_latents(seeds[shown], truncation, resample)
        yield model.generate(latents=latents, label=labels[shown], truncation=truncation, resample=resample)
