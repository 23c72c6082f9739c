"""Metrics on an extractor's features: each takes the sets, the name of the one that is measured, and the extractor."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ganzoo import metrics
from ganzoo.evaluation import nearest_sheet
from ganzoo.evaluation.sets import Sets, Subject
from ganzoo.metrics import copies

SUBSETS = 100  # of the kernel distance, as Binkowski et al. 2018 and torch-fidelity
SMALL = 5_000  # samples below which the bias of FID is said


@dataclass(frozen=True)
class Score:
    """A number with what belongs to it; `floor`, `n` and `n_reference` where the metric brings its own."""

    value: float
    std: float | None = None
    full: float | None = None
    floor: float | None = None
    n: int | None = None
    n_reference: int | None = None
    note: str = ""

    def also(self, *sentences: str) -> "Score":
        """The score with further sentences in its note, each once."""
        said = dict.fromkeys(filter(None, [self.note, *(s.rstrip(".") for s in sentences)]))
        return replace(self, note="; ".join(said))


def fid(sets: Sets, which: str, extractor, seed: int) -> Score:
    """Frechet distance between the Gaussians of both sets (Heusel et al. 2017)."""
    value = metrics.frechet_distance(sets.moments("reference", extractor), sets.moments(which, extractor))
    n, n_reference = sets.count(which, extractor), sets.count("reference", extractor)
    return Score(value, note=fid_bias(n, n_reference, extractor.dimensions))


def fid_bias(n: int, n_reference: int, dimensions: int) -> str:
    """What small counts do to FID, as a sentence; "" for large ones."""
    few, said = min(n, n_reference), ""
    if n < SMALL:
        said = (
            f"FID of {n:,} samples is biased upwards, about in proportion to 1/n: compare it only with FIDs of the same "
            "count, or use KID, which is unbiased"
        )
    if few <= dimensions:
        said += f"{'; ' if said else ''}{few:,} rows in {dimensions:,} dimensions: FID is far too high, use KID"
    return said


def kid(sets: Sets, which: str, extractor, seed: int) -> Score:
    """Kernel distance: mean and std over 100 subsets; `full` is the unbiased estimate on all rows."""
    real, fake = sets.features("reference", extractor), sets.features(which, extractor)
    size = metrics.kid_subset_size(len(real), len(fake))
    mean, std = metrics.kernel_distance(real, fake, subsets=SUBSETS, subset_size=size, seed=seed)
    note = f"mean and std of {SUBSETS} subsets of {size:,}"
    return Score(mean, std=std, full=metrics.kernel_distance(real, fake), note=note)


def inception(sets: Sets, which: str, extractor, seed: int) -> Score:
    """Inception Score with the extractor's own classes: no reference is used."""
    logits = sets.logits(which, extractor)
    mean, std = metrics.inception_score(logits, splits=min(10, len(logits)))
    return Score(
        mean, std=std, note=f"over {logits.shape[1]:,} classes of {extractor.name}, {min(10, len(logits))} splits"
    )


def precision(sets: Sets, which: str, extractor, seed: int) -> Score:
    return Score(_neighbours(sets, which, extractor, metrics.precision_recall, 3)[0], note="k = 3")


def recall(sets: Sets, which: str, extractor, seed: int) -> Score:
    return Score(_neighbours(sets, which, extractor, metrics.precision_recall, 3)[1], note="k = 3")


def density(sets: Sets, which: str, extractor, seed: int) -> Score:
    return Score(_neighbours(sets, which, extractor, metrics.density_coverage, 5)[0], note="k = 5")


def coverage(sets: Sets, which: str, extractor, seed: int) -> Score:
    return Score(_neighbours(sets, which, extractor, metrics.density_coverage, 5)[1], note="k = 5")


def _neighbours(sets: Sets, which: str, extractor, function: Callable, k: int) -> tuple[float, float]:
    def run():
        return function(sets.features("reference", extractor), sets.features(which, extractor), k=k)

    return sets.once((function.__name__, which, extractor.tag), run)


def diversity(sets: Sets, which: str, extractor, seed: int) -> Score:
    """Mean distance between two samples, compared with that of two reference pictures."""

    def reference():
        return metrics.pairwise_diversity(sets.features("reference", extractor))

    among_real = sets.once(("diversity", "reference", extractor.tag), reference)
    return Score(
        metrics.pairwise_diversity(sets.features(which, extractor)), note=f"of the reference: {among_real:.4g}"
    )


def near_copies(sets: Sets, which: str, extractor, seed: int) -> Score:
    """Share of samples that lie nearer to a training picture than training pictures do to each other.

    Its floor is the same share of the reference: fresh real pictures, which are not copies.
    """
    train = sets.features("train", extractor)
    distances, _ = closest(sets, which, extractor)
    found = copies.near_copies(sets.features(which, extractor), train, distances=distances)
    real = float(np.mean(closest(sets, "reference", extractor)[0][:, 0] < found["threshold"]))
    seen = f"{len(train):,} training pictures{' and their mirror images' if sets.mirrored else ''}"
    note = f"nearer than {found['threshold']:.4g} to one of {seen}; the floor is the share of the reference"
    return Score(found["share"], floor=real, note=note)


def closest(sets: Sets, which: str, extractor) -> tuple[np.ndarray, np.ndarray]:
    """(distances, indices), (N, 3) both, of the training pictures nearest to each picture, or to its mirror image where
    the model was trained on mirrored pictures."""

    def search(name: str) -> tuple[np.ndarray, np.ndarray]:
        train = sets.features("train", extractor)
        return metrics.nearest(sets.features(name, extractor), train, min(3, len(train)))

    def run():
        distances, indices = search(which)
        if sets.mirrored:
            others = search(f"{which} mirrored")
            nearer = others[0][:, :1] < distances[:, :1]
            distances, indices = np.where(nearer, others[0], distances), np.where(nearer, others[1], indices)
        return distances, indices

    return sets.once(("closest", which, extractor.tag), run)


def sheet(subject: Subject, extractor, rows: int = 8) -> np.ndarray:
    """uint8 sheet of the samples that come closest to a training picture, each next to its three nearest."""
    distances, indices = closest(subject.sets, "fake", extractor)
    train = subject.sets.features("train", extractor)
    found = copies.near_copies(subject.sets.features("fake", extractor), train, distances=distances)
    first = np.argsort(distances[:, 0], kind="stable")[:rows]
    place = subject.train.columns.index(subject.column)
    shown = {int(j): subject.train.fetch(int(j), subject.train.size)[place] for j in np.unique(indices[first])}
    samples = subject.sets.pictures("fake").array()[first]
    return nearest_sheet.nearest_sheet(
        samples, shown, distances[first], indices[first], rows=rows, threshold=found["threshold"]
    )


def feature_distance(sets: Sets, which: str, extractor, seed: int) -> Score:
    """Mean distance between the features of outputs and of their targets."""
    rows = sets.features(which, extractor)
    return Score(metrics.feature_distance(sets.features("reference", extractor)[: len(rows)], rows))


def feature_distance_copy(sets: Sets, which: str, extractor, seed: int) -> Score:
    """The baseline: inputs instead of outputs."""
    score = feature_distance(sets, "input", extractor, seed)
    return Score(score.value, note="baseline: the input copied to the output")


SCORES: dict[str, Callable[[Sets, str, object, int], Score]] = {
    "fid": fid,
    "kid": kid,
    "is": inception,
    "precision": precision,
    "recall": recall,
    "density": density,
    "coverage": coverage,
    "diversity": diversity,
    "near-copies": near_copies,
    "feature-distance": feature_distance,
    "feature-distance-copy": feature_distance_copy,
}
