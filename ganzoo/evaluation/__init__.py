"""evaluate: joins a model, its data, an extractor and the metrics, and says under which protocol each number stands.

    ganzoo.evaluate("dcgan/fashion-32")                                   # the metrics of the preset's [eval] table
    ganzoo.evaluate(model, metrics=["fid", "kid_efficientnet-lite0"], n=10_000, anchors=True, out="results.jsonl")
    ganzoo.evaluation.evaluate_folder("samples/", "photos/")              # pictures against pictures
    ganzoo.evaluation.compare(first, second)                              # two records, refused if measured unlike

Generated samples stand against the *whole* reference split. Anchors, measured in the same way: the floor puts real
training pictures instead of the samples, the ceiling those of an untrained model.
"""

import time
import warnings
from collections.abc import Iterable
from pathlib import Path

from ganzoo import data as data_layer
from ganzoo import presets, zoo
from ganzoo.base import BaseGAN
from ganzoo.base.rows import row_seeds
from ganzoo.data.bundled import canonical
from ganzoo.data.sources.opening import open_records
from ganzoo.data.task_shapes import task_shape
from ganzoo.errors import GanzooError
from ganzoo.evaluation import hole_metrics, paper_metrics, records, scores, selection, voxel_metrics
from ganzoo.evaluation.path_length import perceptual_path_length
from ganzoo.evaluation.progress import bar
from ganzoo.evaluation.scores import SCORES, Score
from ganzoo.evaluation.sets import Sets, Subject, folder_sets
from ganzoo.media import images
from ganzoo.metrics import MetricWarning, SmallSample
from ganzoo.presets import metric_names
from ganzoo.presets.metric_names import FEATURE_METRICS, Protocol, compare, compare_all

__all__ = ["compare", "compare_all", "evaluate", "evaluate_folder"]

TRAINED_ON = "measured on the training pictures: these data have no test split, and none was held back"
ANCHORS = ("floor", "ceiling")


def evaluate(
    model_or_name,
    data: str | None = None,
    *,
    metrics: Iterable[str] | None = None,
    n: int | None = None,
    seed: int = 0,
    split: str | None = None,
    anchors: bool = False,
    out: str | Path | None = None,
    sheet: str | Path | None = None,
    progress: bool = False,
) -> list[dict]:
    """Measures a model and returns one record a metric.

    Args:
        model_or_name: a model, or what `load` takes. A model that was never trained is refused.
        data: another source than the model's own; it needs a test split, or `split`.
        metrics: names or stems ("fid", "fid_fashion-cnn", "l1"; see `ganzoo.presets.metric_names`). A bare name takes the extractor
            that the preset names first for it. By default those of the preset's `[eval]`, or, for other data, of the task; of
            these, a warning names what the data are too few or too small for.
        n: samples, by default the preset's (5,000); of an image model, and of metrics without an extractor, test items,
            by default all.
        seed: of the samples and of KID's subsets.
        split: of the reference, by default the data's test split; always used whole.
        anchors: measure floor and ceiling too, where they have a meaning.
        out: a file to which the records are appended as JSON lines.
        sheet: a PNG to write: the samples nearest to training pictures next to these, by the extractor of `near-copies`.
        progress: show on stderr how far it is.

    Returns:
        Dicts with metric (the protocol), value, [std, full, floor, ceiling, note], model, weights, weights_sha256, data,
        data_sha256, [extractor_sha256], pictures, split, n, n_reference, seed, seconds, time (ISO, UTC), versions.

    Raises:
        GanzooError: unknown metric, random weights, or data that a metric cannot use.
    """
    subjects, asked, items = _subjects(model_or_name, data, metrics, n=n, seed=seed, split=split)
    found = []
    left: dict[str, list[str]] = {}
    with bar(progress) as report:
        weights, sha256 = records.weights_of(subjects[0].model)
        for subject in subjects:
            subject.sets.report = report
            config = subject.config
            facts = {
                "model": subject.model.full_name,
                "weights": weights,
                "weights_sha256": sha256,
                "data": config.source,
                "data_sha256": subject.test.fingerprint,
                "pictures": _described(config),
                "split": subject.split,
            }
            for protocol in asked:
                try:
                    found.append(_of_model(protocol, subject, facts, items, anchors))
                except GanzooError as error:
                    if metrics is not None:
                        raise
                    left[str(error)] = [*left.get(str(error), []), protocol.stem]
        if sheet is not None:
            text = {key: facts[key] for key in ("model", "weights", "data")} | {"seed": str(seed)}
            first = subjects[0]
            if first.config.shape == "voxels":
                drawn = voxel_metrics.sheet(first)
            elif first.model.fills:
                drawn = hole_metrics.sheet(first)
            else:
                drawn = scores.sheet(first, selection.for_copies(asked, first.model))
            images.write_png(sheet, drawn, text)
    if left and not found:
        raise GanzooError(next(iter(left)))
    for why, names in left.items():
        warnings.warn(f"Not measured: {', '.join(dict.fromkeys(names))}. {why}", MetricWarning, stacklevel=2)
    if out is not None:
        metric_names.append(out, found)
    return found


def evaluate_folder(
    folder,
    against,
    *,
    metrics: Iterable[str] | None = None,
    n: int | None = None,
    seed: int = 0,
    split: str | None = None,
    out: str | Path | None = None,
    progress: bool = False,
) -> list[dict]:
    """Measures the pictures of a folder against those of another; records as of `evaluate`, without weights.

    Args:
        folder, against: folders, zip files or bundled names. Pictures of any size: the extractor resizes each.
        metrics: of an extractor; fid, kid, precision, recall, density and coverage by efficientnet-lite0 by default.
        n: only the first `n` pictures of `folder`.
        split: of `against`; by default "test" of a bundled set and "all" of a folder.

    Raises:
        GanzooError: an empty folder, one picture, an unknown metric, or one that needs a model or pairs.
    """
    asked = selection.asked_for(selection.SET_METRICS if metrics is None else metrics)
    n = _count(selection.one_of("sample count", [p.n for p in asked], _count(n)))
    split = selection.one_of("split", [p.split for p in asked], split)
    split = split or ("test" if canonical(str(against)) else "all")
    fakes, reals = _opened(folder, "all"), _opened(against, split)
    asked = selection.for_folder(asked)
    with bar(progress) as report:
        sets = folder_sets(fakes, reals, n=n, report=report)
        _prepare(sets, asked)
        facts = {"model": str(folder), "data": str(against), "data_sha256": reals.digest(), "split": split}
        found = [_of_features(protocol, sets, facts, seed, remarks=True) for protocol in asked]
    if out is not None:
        metric_names.append(out, found)
    return found


def _subjects(model_or_name, data, metrics, *, n, seed, split) -> tuple[list[Subject], list[Protocol], int | None]:
    """What is measured, by which metrics, and the test items of metrics without an extractor (None: all).

    A model of two domains gives two: a2b against testB, b2a against testA."""
    row_seeds(seed, 1)  # a bad seed is said before anything is measured
    model = model_or_name if isinstance(model_or_name, BaseGAN) else zoo.load(model_or_name)
    if model.weights_source == "random" and not int(model.step.numpy()):
        raise GanzooError("The model has random weights: there is nothing to measure. Load trained ones first.")
    run = model.run_config or presets.run_config(model.paper)
    other = data is not None and str(data) != run.data.source
    config = (presets.run_config(run, {"data.source": str(data), "data.hold_out": None}) if other else run).data
    asked = selection.asked_for(selection.defaults(model, config) if metrics is None else metrics)
    named = [p.n for p in asked if model.translates or p.metric in FEATURE_METRICS]
    items = _count(n)
    n = _count(selection.one_of("sample count", named, n))
    split, remark = selection.one_of("split", [p.split for p in asked], split), ""
    if not split:
        split, remark = _reference(config, other)
    asked = selection.for_model(asked, model, config)
    if not model.translates:
        n = n or selection.preset_of(model).eval.n
    directions: tuple[str | None, ...] = (None,)
    if config.shape == "unpaired":
        ways = model.directions or ("a2b",)
        directions = tuple(d for d in ways if not split.endswith(("A", "B")) or d.endswith(split[-1].lower()))
        split = split.rstrip("AB")
    shared = {"n": n, "split": split, "seed": seed, "remark": remark}
    subjects = [Subject(model, config, direction=d, **shared) for d in directions]
    for subject in subjects:
        _prepare(subject.sets, asked)
    return subjects, asked, items


def _reference(config: presets.DataConfig, other: bool) -> tuple[str, str]:
    """(split that a model is measured against, what is to be said of it). Of other data than its own, without a test split,
    that is all of them; of its own the training pictures."""
    if data_layer.has_split(config, config.test_split):
        return config.test_split, ""
    if other:
        return "all", ""
    return config.split, TRAINED_ON


def _described(config: presets.DataConfig) -> str:
    """The size of what is measured, for records: numbers of other sizes are of other pictures."""
    if config.shape == "voxels":
        return f"{config.size}x{config.size}x{config.size} voxels"
    return f"{config.size} px, {config.channels} channel{'s' * (config.channels > 1)}, {config.fitting}"


def _count(n):
    if n is not None and (isinstance(n, bool) or not isinstance(n, int) or n < 2):
        raise GanzooError(f"n is the number of samples, a whole number of at least 2; received {n!r}.")
    return n


def _opened(source, split: str):
    """The pictures of a folder as they are. Raises GanzooError where there are fewer than two."""
    found = open_records(source, split, task_shape("images"))
    if len(found) < 2:
        raise GanzooError(
            f"{source} holds {len(found)} picture; a set of pictures needs at least 2, thousands to be sure."
        )
    return found


def _prepare(sets: Sets, asked: list[Protocol]) -> None:
    """Tells the sets which extractors' logits are needed, and of which the moments are enough."""
    for tag in {f"{p.extractor}_{p.resize}" for p in asked if p.extractor}:
        names = {p.metric for p in asked if f"{p.extractor}_{p.resize}" == tag}
        if "is" in names:
            sets.scored.add(tag)
        if names == {"fid"}:
            sets.moments_only.add(tag)


def _of_model(protocol: Protocol, subject: Subject, facts: dict, items: int | None, anchors: bool) -> dict:
    which = ("fake", *ANCHORS) if anchors else ("fake",)
    if protocol.extractor:
        return _of_features(protocol, subject.sets, facts, subject.seed, which, subject)
    began = time.perf_counter()
    measure = paper_metrics.of(subject.model, subject.config)[paper_metrics.base_name(protocol.metric)]
    name, count, score = measure(subject, "fake", protocol.metric, protocol.n or items)
    limits: dict[str, float] = {}
    for anchor in which[1:]:
        measured = measure(subject, anchor, protocol.metric, protocol.n or items)
        limits |= {anchor: measured[2].value} if measured else {}
    full, score = Protocol(name, count, None, None, subject.split), score.also(subject.remark)
    more = facts | {"n": count, "n_reference": score.n_reference or count, "seed": subject.seed}
    return _record(full, score, more, limits, began)


def _of_features(
    protocol: Protocol,
    sets: Sets,
    facts: dict,
    seed: int,
    which: tuple[str, ...] = ("fake",),
    subject: Subject | None = None,
    *,
    remarks: bool = False,
) -> dict:
    from ganzoo.metrics import features

    began = time.perf_counter()
    extractor = features.extractor(protocol.extractor or selection.EXTRACTOR, resize=protocol.resize)
    measured = {
        name: _scored(protocol, sets, name, extractor, seed, subject)
        for name in which
        if name == "fake" or _has_anchor(protocol, name)
    }
    score = measured.pop("fake")
    limits = {name: anchor.value for name, anchor in measured.items()}
    if protocol.metric == "ppl":
        count, reference = score.n, 0
    else:
        count, reference = (sets.count(name, extractor) for name in ("fake", "reference"))
    if remarks:
        score = score.also(*_remarks(sets))
    if subject is not None:
        score = score.also(subject.remark)
    full = Protocol(protocol.metric, count, extractor.name, extractor.resize, facts["split"])
    more = facts | {"n": count, "n_reference": reference, "seed": seed, "extractor_sha256": extractor.sha256}
    return _record(full, score, more, limits, began)


def _has_anchor(protocol: Protocol, which: str) -> bool:
    """Whether an anchor has a meaning: a floor of pairs or of a path has none."""
    if which == "floor" and protocol.metric in (*selection.PAIRED_METRICS, "near-copies", "ppl"):
        return False
    return protocol.metric != "feature-distance-copy"


def _scored(protocol: Protocol, sets: Sets, which: str, extractor, seed: int, subject: Subject | None) -> Score:
    """One set's score."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always", MetricWarning)
        if protocol.metric == "ppl":
            assert subject is not None, "a folder has no ppl (selection.FOLDER_METRICS)"
            model = subject.model if which == "fake" else subject.untrained
            score = perceptual_path_length(model, extractor, subject.n, seed, subject.train_labels)
        else:
            score = SCORES[protocol.metric](sets, which, extractor, seed)
    said = []
    for warning in heard:
        if issubclass(warning.category, SmallSample):
            continue  # `fid` says it with both counts
        if issubclass(warning.category, MetricWarning):
            said.append(str(warning.message))
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return score.also(*said)


def _record(protocol: Protocol, score: Score, facts: dict, limits: dict, began: float) -> dict:
    numbers = {"std": score.std, "full": score.full, "floor": score.floor} | limits
    seconds = time.perf_counter() - began
    return records.record(str(protocol), facts, value=score.value, **numbers, note=score.note, seconds=seconds)


def _remarks(sets: Sets) -> list[str]:
    """Sentences on folders whose pictures are unlike, or could not all be read."""
    said = []
    for name, what in (("fake", "pictures"), ("reference", "reference pictures")):
        pictures = sets.pictures(name)
        if len(pictures.shapes) > 1:
            said.append(
                f"the {what} are of {len(pictures.shapes)} sizes, each resized from its own: {pictures.sizes()}"
            )
        if pictures.skipped:
            first = pictures.skipped[0][1].rstrip(".")
            said.append(f"{len(pictures.skipped)} of the {what} left out, the first: {first}")
    return said
