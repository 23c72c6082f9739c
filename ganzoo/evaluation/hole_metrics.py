"""Metrics of models that fill holes: the hole alone, compared with what fills it without a model.

The masks are those that lie next to the test pictures, or else the hole that the model fills where nothing is said. Baselines
("hole-l2-mean", "hole-l2-biharmonic", and of L1 and PSNR): the mean colour of what is known of each picture, and
scikit-image's biharmonic inpainting (extra `inpainting`).
"""

from collections.abc import Callable

import numpy as np

from ganzoo import metrics
from ganzoo.evaluation.scores import Score
from ganzoo.evaluation.sets import Subject
from ganzoo.media import images

MEASURES = {"hole-l1": metrics.hole_l1, "hole-l2": metrics.hole_l2, "hole-psnr": metrics.hole_psnr}
BASELINES = {
    "mean": (metrics.mean_colour, "baseline: the mean colour of what is known of the picture"),
    "biharmonic": (metrics.biharmonic, "baseline: biharmonic inpainting (scikit-image)"),
}


def masks(subject: Subject, n: int) -> np.ndarray:
    """bool (n, H, W): the holes of the first `n` test pictures."""
    given = subject.given_masks()
    if given is not None:
        return given[:n]
    side = subject.config.size
    return np.broadcast_to(subject.model.default_mask(side, side), (n, side, side))


def of_model(measure: Callable) -> Callable:
    def run(subject: Subject, which: str, name: str, n: int | None):
        if which == "floor":  # the target itself
            return None
        outputs = subject.sets.pictures(which).array()
        targets, holes = subject.sets.pictures("reference").array()[: len(outputs)], masks(subject, len(outputs))
        note = f"of the hole, {holes.mean():.0%} of the picture, 0..1 scale"
        return name, len(outputs), Score(measure(targets, outputs, holes), note=note)

    return run


def of_baseline(measure: Callable, baseline: str) -> Callable:
    fill, note = BASELINES[baseline]

    def run(subject: Subject, which: str, name: str, n: int | None):
        if which != "fake":
            return None
        targets = subject.sets.pictures("input").array()
        holes = masks(subject, len(targets))
        # As unknown as to the model.
        shown = np.where(holes[..., None], np.uint8(0), targets)
        outputs = subject.sets.once(("baseline", baseline), lambda: fill(shown, holes))
        return name, len(outputs), Score(measure(targets, outputs, holes), note=note)

    return run


def sheet(subject: Subject, rows: int = 8) -> np.ndarray:
    """uint8 sheet of held-out pictures, spread over the split: with the hole, filled, as they are; twice in a row."""
    targets, outputs = (subject.sets.pictures(key).array() for key in ("reference", "fake"))
    chosen = np.unique(np.linspace(0, len(outputs) - 1, 2 * rows).round().astype(int))
    holes = masks(subject, len(outputs))[chosen]
    shown = np.where(holes[..., None], np.uint8(255), targets[chosen])
    cells = np.stack([shown, outputs[chosen], targets[chosen]], axis=1)
    return images.grid(cells.reshape(-1, *targets.shape[1:]), columns=6)


METRICS: dict[str, Callable] = {name: of_model(measure) for name, measure in MEASURES.items()} | {
    f"{name}-{baseline}": of_baseline(measure, baseline) for name, measure in MEASURES.items() for baseline in BASELINES
}
