"""Metrics of voxels, and their nearest-neighbour sheet; in the form of `ganzoo.evaluation.paper_metrics`.

| metric | protocol |
|---|---|
| `voxel-iou` | mean IoU of the samples with the nearest shape of the reference split |
| `voxel-coverage` | share of the reference that is the nearest shape of some sample |
| `voxel-1nn` | 1-NN accuracy, as many samples as the reference has shapes; 0.5 is best |
| `linear-d-features`, of 3d-gan | accuracy of a linear SVM on D's pooled features (Wu et al. 2016, section 4.2), compared with an untrained D |
"""

from collections.abc import Callable
from functools import partial

import keras
import numpy as np

from ganzoo import data as data_layer
from ganzoo import metrics
from ganzoo.errors import GanzooError
from ganzoo.evaluation import nearest_sheet
from ganzoo.evaluation.scores import Score
from ganzoo.evaluation.sets import Subject

Measured = tuple[str, int, Score] | None


def nearness(measure: Callable, note: str, *, balanced: bool = False) -> Callable:
    """A metric of real and generated shapes. `balanced`: of as many of the one as of the other."""

    def run(subject: Subject, which: str, name: str, n: int | None) -> Measured:
        made, real = (subject.sets.pictures(key).array() for key in (which, "reference"))
        if balanced:
            least = min(len(made), len(real))
            made, real = made[:least], real[:least]
        return name, len(made), Score(measure(real, made), n_reference=len(real), note=note)

    return run


def linear(subject: Subject, which: str, name: str, n: int | None) -> Measured:
    if which == "floor":
        return None
    judge = subject.model if which == "fake" else subject.untrained
    # A D that was trained on one class is judged by all of them, as in the paper.
    config, parts = subject.config.model_copy(update={"classes": ()}), []
    for split, limit in ((config.split, None), (subject.split, n)):
        source = subject.sets.once(("every class", split), partial(data_layer.open_source, config, split))
        count = min(len(source), limit or len(source))
        parts += [discriminator_features(judge, source.take(count)["voxels"]), np.array(source.classes[:count])]
    if len(set(parts[1])) < 2:
        raise GanzooError(
            f"linear-d-features needs shapes of at least two classes, in folders of their names; {subject.config.source} "
            f"has {len(set(parts[1]))}."
        )
    note = f"{len(set(parts[1]))} classes from D's features, {len(parts[0]):,} training rows"
    return name, len(parts[2]), Score(metrics.svm_accuracy(*parts), n_reference=len(parts[2]), note=note)


def discriminator_features(model, shapes: np.ndarray) -> np.ndarray:
    """Section 4.2: the responses of D's last three hidden layers (of 64^3: the second to the fourth), max-pooled to 2x2x2
    (kernels 8, 4, 2), flattened, concatenated."""
    d = model.networks()["discriminator"]
    outputs = [layer.output for layer in d.layers if layer.name.endswith(model.feature_layers)][-3:]
    pooled = [keras.layers.MaxPooling3D(o.shape[1] // 2)(o) for o in outputs]
    flat = [keras.layers.Flatten()(o) for o in pooled]
    network = keras.Model(d.inputs[0], keras.layers.Concatenate()(flat) if len(flat) > 1 else flat[0])
    rows = [network(shapes[i : i + 64], training=False).numpy() for i in range(0, len(shapes), 64)]
    return np.concatenate(rows)


def sheet(subject: Subject, rows: int = 8) -> np.ndarray:
    """uint8 sheet of the samples that come closest to a training shape by IoU, each next to its three nearest."""
    made, train = (subject.sets.pictures(key).array() for key in ("fake", "train"))
    distances = 1 - metrics.voxel_iou(made, train)
    indices = np.argsort(distances, axis=1, kind="stable")[:, :3]
    distances = np.take_along_axis(distances, indices, axis=1)
    first = np.argsort(distances[:, 0], kind="stable")[:rows]
    drawn = {int(j): subject.model.pictures(train[j : j + 1])[0] for j in np.unique(indices[first])}
    samples = subject.model.pictures(made[first])
    return nearest_sheet.nearest_sheet(samples, drawn, distances[first], indices[first], rows=rows)


METRICS: dict[str, Callable] = {
    "voxel-iou": nearness(metrics.nearest_iou, "IoU with the nearest shape of the reference, voxels above 0.5"),
    "voxel-coverage": nearness(metrics.voxel_coverage, "by IoU, voxels above 0.5"),
    "voxel-1nn": nearness(
        metrics.nearest_neighbour_accuracy, "by IoU, as many samples as shapes; 0.5 is best", balanced=True
    ),
}
