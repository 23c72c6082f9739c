"""Which metrics are measured: what was asked for, joined with what the preset says, checked against what fits."""

import importlib.util
import warnings
from collections.abc import Iterable
from functools import partial

from ganzoo import data as data_layer
from ganzoo import presets
from ganzoo.base import BaseGAN
from ganzoo.errors import GanzooError, missing_extra, nearest
from ganzoo.evaluation import paper_metrics
from ganzoo.evaluation.scores import SCORES
from ganzoo.metrics import MetricWarning
from ganzoo.presets.metric_names import FEATURE_METRICS, Protocol, parse_stem

SET_METRICS = ("fid", "kid", "precision", "recall", "density", "coverage")
FOLDER_METRICS = (*SET_METRICS, "is", "diversity")
PAIRED_METRICS = ("feature-distance", "feature-distance-copy")
DEFAULTS = {
    "latent": (*SET_METRICS, "near-copies"),
    "voxels": ("voxel-iou", "voxel-coverage", "voxel-1nn"),
    "holes": ("hole-l1", "hole-l2", "hole-psnr", "hole-l1-mean", "hole-l2-mean", "hole-psnr-mean"),
    "image": ("l1", "psnr", "ssim", "ms-ssim", "l1-copy", "feature-distance", "feature-distance-copy", "near-copies"),
}
EXTRACTOR = "efficientnet-lite0"  # where neither the user nor the preset names one


def preset_of(model: BaseGAN) -> presets.Preset:
    """The zoo's preset of this model, or the paper's default one for a preset of the user's own."""
    known = presets.read(model.paper).presets
    return known.get(model.preset or "") or next(iter(known.values()))


def defaults(model: BaseGAN, config: presets.DataConfig) -> tuple[str, ...]:
    """The preset's metrics on the preset's data; on other data those that fit every model of the task."""
    preset = preset_of(model)
    own_data = preset.data.source == config.source
    if preset.eval.metrics and own_data:
        return tuple(name for name in preset.eval.metrics if _measurable(name, config))
    if config.shape == "voxels":
        return DEFAULTS["voxels"]
    if model.fills:
        return DEFAULTS["holes"]
    return DEFAULTS[model.task if data_layer.has_pairs(config) else "latent"]


def _measurable(name: str, config: presets.DataConfig) -> bool:
    """Whether a metric that nobody asked for by name has its package; where not, that is said."""
    if name != "linear-d-features" or config.shape != "voxels" or importlib.util.find_spec("sklearn"):
        return True
    warnings.warn(f"Left out: {name}. {missing_extra('scikit-learn', 'svm')}", MetricWarning, stacklevel=4)
    return False


def asked_for(names: Iterable[str]) -> list[Protocol]:
    """Stems and names as protocols with gaps. Raises GanzooError for none, or an unknown one."""
    names = [names] if isinstance(names, str) else list(names)
    if not names:
        raise GanzooError("No metric was asked for.")
    return list(dict.fromkeys(map(parse_stem, names)))


def one_of(what: str, found: Iterable, given):
    """The one value that the names and the argument agree on, or None.

    Raises:
        GanzooError: there are several: one evaluation makes its samples once.
    """
    values = list(dict.fromkeys(value for value in [*found, given] if value))
    if len(values) > 1:
        raise GanzooError(f"One evaluation has one {what}; received {' and '.join(map(str, values))}.")
    return values[0] if values else None


def for_model(asked: list[Protocol], model: BaseGAN, config: presets.DataConfig) -> list[Protocol]:
    """Each with its extractor: the one that the preset names first for it, or first of all, else efficientnet-lite0.

    Raises:
        GanzooError: a metric that does not fit the model.
    """
    fitting = [m for m in FEATURE_METRICS if m in SCORES or (m == "ppl" and model.task == "latent")]
    if not data_layer.has_pairs(config):
        fitting = [m for m in fitting if m not in PAIRED_METRICS]
    if config.shape == "voxels":  # extractors look at pictures
        fitting = []
    listed = list(map(parse_stem, preset_of(model).eval.metrics))
    fill = partial(_filled, who=model.paper, fitting=fitting, others=[*paper_metrics.of(model, config)], listed=listed)
    return list(dict.fromkeys(map(fill, asked)))


def for_folder(asked: list[Protocol]) -> list[Protocol]:
    """The same for a folder of pictures: no pairs, no training pictures, no model."""
    fill = partial(_filled, who="A folder of pictures", fitting=list(FOLDER_METRICS), others=[], listed=[])
    return list(dict.fromkeys(map(fill, asked)))


def for_copies(asked: list[Protocol], model: BaseGAN):
    """The extractor that looks for copies: that of `near-copies` where it is measured, else the preset's."""
    from ganzoo.metrics import features

    (listed,) = for_model([parse_stem("near-copies")], model, preset_of(model).data)
    chosen = next((p for p in asked if p.metric == "near-copies"), listed)
    return features.extractor(chosen.extractor or EXTRACTOR, resize=chosen.resize)


def _filled(asked: Protocol, who: str, fitting: list[str], others: list[str], listed: list[Protocol]) -> Protocol:
    if asked.metric not in FEATURE_METRICS and paper_metrics.base_name(asked.metric) in others:
        return asked
    if asked.metric not in fitting:
        raise GanzooError(f'{who} has no metric "{asked.metric}".{nearest(asked.metric, [*fitting, *others])}')
    extractor, resize = asked.extractor, asked.resize
    if extractor is None:
        named = [p for p in listed if p.extractor]
        kin = next((p for p in named if p.metric == asked.metric), named[0] if named else None)
        extractor, resize = (kin.extractor or EXTRACTOR, kin.resize) if kin else (EXTRACTOR, None)
    from ganzoo.metrics import features

    loaded = features.extractor(extractor, resize=resize)
    return Protocol(asked.metric, asked.n, loaded.name, loaded.resize, asked.split)
