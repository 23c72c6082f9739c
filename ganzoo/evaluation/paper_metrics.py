"""Metrics without an extractor: paired ones, and the protocols that a paper declares as its own (`own_metrics`).

| of | metric | protocol |
|---|---|---|
| pairs | `l1`, `psnr`, `ssim`, `ms-ssimK` | test pairs against outputs; `l1-copy`: the input instead of the output |
| gan | `parzen10k` | nats, Parzen window on 10,000 samples, sigma chosen on 1,000 images, held out (`data.val_split`) or of training |
| dcgan | `linear-d-features` | accuracy of a linear classifier on D's pooled features, compared with an untrained D |
| holes | `hole-l1`, `hole-l2`, `hole-psnr`, compared with baselines | see `ganzoo.evaluation.hole_metrics` |
| ages | `same-person-identity`, `same-person-pixels`, `same-person-z0`, `asked-age` | see `ganzoo.evaluation.age_metrics` |
| voxels | `voxel-iou`, `voxel-coverage`, `voxel-1nn`; of 3d-gan `linear-d-features` | see `ganzoo.evaluation.voxel_metrics` |
| text-to-image | `text-hair-colour`, `text-hair-style`, `text-glasses`, `text-mouth` | share of samples that lorelei-cnn reads as |
| | | their held-back sentence asked; the floor is that of the real pictures of these sentences |
| biggan | `asked-class`, `fid-in-class` | share of samples that fashion-cnn reads as the class asked; FID by its features of the |
| | | samples of each class against the test pictures of it, the mean over the classes |
| dtn | `digit-kept`, `hair-kept`, ... | see `ganzoo.evaluation.transfer_metrics` |
| anime | `asked-hair-colour`, `asked-hair-style`, `asked-glasses`, `asked-mouth` | the same of attributes: each sample is asked for |
| | | those of a held-back picture |

Each takes the subject, which set is measured ("fake", "floor" or "ceiling"), the metric's name, and the number of test
items (None: all); it returns the name with the counts that belong into it, the items used and a `Score`, or None where
an anchor has no meaning.
"""

import re
from collections.abc import Callable

import keras
import numpy as np

from ganzoo import data as data_layer
from ganzoo import metrics
from ganzoo.base import pixels
from ganzoo.errors import GanzooError
from ganzoo.evaluation import age_metrics, hole_metrics, pictures, transfer_metrics, voxel_metrics
from ganzoo.evaluation.scores import Score
from ganzoo.evaluation.sets import Subject
from ganzoo.media import images

Measured = tuple[str, int, Score] | None


def paired(measure: Callable, what: str) -> Callable:
    """A metric of outputs and targets. Its floor is the target itself, which needs no measuring."""

    def run(subject: Subject, which: str, name: str, n: int | None) -> Measured:
        if which == "floor":
            return None
        outputs = subject.sets.pictures(which).array()
        targets = subject.sets.pictures("reference").array()[: len(outputs)]
        return name, len(outputs), Score(measure(targets, outputs), note=f"output against target, {what}")

    return run


def ms_ssim(subject: Subject, which: str, name: str, n: int | None) -> Measured:
    scales = metrics.ms_ssim_scales(subject.config.size)
    if name not in ("ms-ssim", f"ms-ssim{scales}"):
        raise GanzooError(
            f"Pictures of {subject.config.size} px take {scales} scales: ms-ssim{scales}; received {name}."
        )
    return paired(metrics.ms_ssim, f"{scales} scales")(subject, which, f"ms-ssim{scales}", n)


def copied(subject: Subject, which: str, name: str, n: int | None) -> Measured:
    if which != "fake":
        return None
    inputs = subject.sets.pictures("input").array()
    targets = subject.sets.pictures("reference").array()[: len(inputs)]
    value = metrics.l1(targets, images.to_channels(inputs, targets.shape[-1]))
    return name, len(inputs), Score(value, note="baseline: the input copied to the output")


def parzen(subject: Subject, which: str, name: str, n: int | None) -> Measured:
    count = re.fullmatch(r"parzen(?:([1-9]\d*)(k?))", name)
    samples = int(count[1]) * (1000 if count[2] else 1) if count else 10_000
    if which == "floor":
        rows = np.random.default_rng(0).permutation(max(len(subject.train) - 1000, 0))[:samples]
        drawn = pictures.of_source(subject.train, "image", rows) if len(rows) else None
    else:
        model = subject.model if which == "fake" else subject.untrained
        drawn = pictures.generated(model, samples, subject.seed)
    if drawn is None:
        return None
    validation = pictures.of_source(subject.held_out, "image", subject.held_out_rows(1000))
    test = pictures.of_source(subject.test, "image", np.arange(len(subject.test))[:n])
    flat = [p.array().reshape(p.count, -1) / 255.0 for p in (drawn, test, validation)]
    mean, error, sigma = metrics.parzen_log_likelihood(flat[0], flat[1], validation=flat[2])
    name = f"parzen{samples // 1000}k" if samples % 1000 == 0 else f"parzen{samples}"
    return name, test.count, Score(mean, note=f"nats, standard error {error:.1f}, sigma {sigma:.3f}")


def linear(subject: Subject, which: str, name: str, n: int | None) -> Measured:
    if which == "floor":
        return None
    config = subject.config
    # Labels come with bundled sets only, in the order of the set's rows.
    columns = data_layer.bundled.columns(config.source) if config.source in data_layer.bundled_names() else {}
    label = next((key for key in ("label", "mouth") if key in columns), None)
    if label is None:
        raise GanzooError(f'linear-d-features needs a labelled bundled data set; "{config.source}" has no labels.')
    judge = subject.model if which == "fake" else subject.untrained
    parts = []
    for split, limit in ((config.split.split("+")[0], 10_000), (subject.split, n)):
        source = data_layer.open_source(config, split)
        shown = source.take(len(source) if limit is None else limit)["image"]
        parts += [discriminator_features(judge, shown), columns[label][columns["split"] == split][: len(shown)]]
    note = f"{label} from D's features, {len(parts[0]):,} training rows"
    return name, len(parts[2]), Score(metrics.linear_accuracy(*parts), note=note)


def discriminator_features(model, shown: np.ndarray) -> np.ndarray:
    """Radford et al. section 5.1: D's features of every layer, max-pooled to a 4x4 grid, flattened, concatenated."""
    d = model.networks()["discriminator"]
    outputs = [layer.output for layer in d.layers if layer.name.endswith(model.feature_layers)]
    pooled = [keras.layers.MaxPooling2D(o.shape[1] // 4)(o) if o.shape[1] > 4 else o for o in outputs]
    flat = keras.layers.Concatenate()([keras.layers.Flatten()(o) for o in pooled])
    network = keras.Model(d.inputs, flat)
    rows = [
        network(pixels.images_in(shown[i : i + 250], model.channels), training=False).numpy()
        for i in range(0, len(shown), 250)
    ]
    return np.concatenate(rows)


def as_asked(column: str) -> Callable:
    """Share of samples whose `column` lorelei-cnn reads as asked, by a sentence (the first one names all that is visible) or
    by attributes."""

    def run(subject: Subject, which: str, name: str, n: int | None) -> Measured:
        known = data_layer.bundled.canonical(subject.config.source)
        if known != "lorelei_64":
            raise GanzooError(
                f"{name} is read by a classifier of the bundled set lorelei_64; {subject.config.source} is another."
            )
        from ganzoo.metrics.features import lorelei_cnn

        def read(kind: str) -> np.ndarray:
            return subject.sets.once(
                ("lorelei-cnn", kind), lambda: lorelei_cnn.read(subject.sets.pictures(kind).array())
            )

        columns = data_layer.bundled.columns(known)
        truth = columns[column][subject.rows_of(columns["split"])].astype(str)
        real = float(np.mean(read("reference")[column] == truth))
        if which == "floor":
            return name, len(truth), Score(real)
        found = read(which)[column][:n]
        asked = truth[
            np.arange(len(found)) % len(truth)
        ]  # sample i shows sentence i, or what picture i has, from the first again after the last
        what = "sentences" if subject.model.task == "text" else "requests"
        note = f"chance, with the {what} exchanged, {_chance(asked, found):.4f}; real pictures {real:.4f}, the reader's own accuracy"
        return name, len(found), Score(float(np.mean(found == asked)), note=note)

    return run


def _chance(asked: np.ndarray, found: np.ndarray) -> float:
    """Share of samples that would be read as asked if each were asked for what another one is."""
    return sum(float(np.mean(asked == value) * np.mean(found == value)) for value in np.unique(asked))


def class_as_asked(subject: Subject, which: str, name: str, n: int | None) -> Measured:
    """Share of samples that fashion-cnn reads as the class that they were asked for; the floor is that of the real test
    pictures, its own accuracy."""
    extractor = _reader_of_clothes(subject, name)
    real = subject.sets.logits("reference", extractor).argmax(1) == subject.test.labels
    if which == "floor":
        return name, len(real), Score(float(real.mean()))
    found = subject.sets.logits(which, extractor).argmax(1)[:n]
    asked = _asked_classes(subject)[: len(found)]
    worst = min(np.unique(asked), key=lambda value: np.mean(found[asked == value] == value))
    note = (
        f"chance, with the labels exchanged, {_chance(asked, found):.4f}; real pictures {real.mean():.4f}, the reader's own accuracy; least of "
        f"{subject.model.class_names[worst]}, {np.mean(found[asked == worst] == worst):.4f} (real "
        f"{real[subject.test.labels == worst].mean():.4f})"
    )
    return name, len(found), Score(float(np.mean(found == asked)), note=note)


def fid_in_class(subject: Subject, which: str, name: str, n: int | None) -> Measured:
    """FID by fashion-cnn of the samples of a class against the test pictures of that class: the mean over the classes."""
    extractor = _reader_of_clothes(subject, name)
    real, truth = subject.sets.features("reference", extractor), subject.test.labels
    rows = subject.sets.features(which, extractor)[:n]
    asked = subject.floor_labels if which == "floor" else _asked_classes(subject)
    asked = asked[: len(rows)]
    values = [
        metrics.frechet_distance(real[truth == value], rows[asked == value]) for value in range(subject.model.classes)
    ]
    said = ", ".join(f"{kind} {value:.1f}" for kind, value in zip(subject.model.class_names, values, strict=True))
    few = int(np.bincount(truth).min())
    return (
        name,
        len(rows),
        Score(
            float(np.mean(values)), n_reference=len(real), note=f"{said}; biased upwards by {few} test pictures a class"
        ),
    )


def _reader_of_clothes(subject: Subject, name: str):
    from ganzoo.metrics import features

    known = data_layer.bundled.canonical(subject.config.source)
    if known != "fashion" or subject.model.class_names != subject.train.class_names:
        raise GanzooError(
            f"{name} is read by a classifier of the bundled set fashion, of a model of its classes; {subject.config.source} is "
            "another."
        )
    return features.extractor("fashion-cnn")


def _asked_classes(subject: Subject) -> np.ndarray:
    return pictures.drawn_labels(subject.train_labels, subject.n, subject.seed)


PAIRED: dict[str, Callable] = {
    "l1": paired(metrics.l1, "0..1 scale"),
    "psnr": paired(metrics.psnr, "0..1 scale"),
    "ssim": paired(metrics.ssim, "11x11 Gaussian, sigma 1.5"),
    "ms-ssim": ms_ssim,
    "l1-copy": copied,
}
# What a paper's `own_metrics` may name.
PROTOCOLS: dict[str, Callable] = {
    "parzen": parzen,
    "linear": linear,
    "linear of voxels": voxel_metrics.linear,
    "class as asked": class_as_asked,
    "FID in class": fid_in_class,
    "hair colour as asked": as_asked("hair_color"),
    "hair style as asked": as_asked("hair_style"),
    "glasses as asked": as_asked("glasses"),
    "mouth as asked": as_asked("mouth"),
    **transfer_metrics.PROTOCOLS,
}


def of(model, config) -> dict[str, Callable]:
    """The metrics without an extractor that fit a model and its data, by the name without counts."""
    of_data = voxel_metrics.METRICS if config.shape == "voxels" else PAIRED if data_layer.has_pairs(config) else {}
    of_data = age_metrics.METRICS if model.changes_age and config.shape == "ages" else of_data
    of_data = hole_metrics.METRICS if model.fills and config.shape in ("masks", "images") else of_data
    return of_data | {name: PROTOCOLS.get(found, found) for name, found in model.own_metrics.items()}


def base_name(metric: str) -> str:
    """The metric without the counts in its name: "parzen10k" -> "parzen", "ms-ssim5" -> "ms-ssim"."""
    match = re.fullmatch(r"(parzen|ms-ssim)(?:[1-9]\d*k?)?", metric)
    return match[1] if match else metric
