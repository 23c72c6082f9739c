"""What an exported folder says about itself: `assets.extra/manifest.json`, where TensorFlow Serving expects extra files."""

import json
from pathlib import Path

import keras
import tensorflow as tf

from ganzoo import __version__, files, presets
from ganzoo.base import BaseGAN, labels
from ganzoo.data import bundled
from ganzoo.errors import GanzooError
from ganzoo.evaluation import records
from ganzoo.presets import licences
from ganzoo.presets.licences import Passport

FILE = Path("assets.extra") / "manifest.json"
UNKNOWN_SIZE = 64  # side of a picture for a model that takes any and has no training data


def write(folder: Path, model: BaseGAN, *, whole: bool = True) -> None:
    """Writes the manifest of `model` into the exported folder: of a SavedModel (`whole`), or of a format of floats alone.

    It contains no date: the same export gives the same bytes.
    """
    file = folder / FILE if whole else folder / FILE.name
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(describe(model, whole=whole), indent=1) + "\n", "utf-8")


def read(folder: Path) -> dict | None:
    """The manifest of a folder that `write` made, or None if it has none that can be read."""
    file = folder / FILE if (folder / FILE).is_file() else folder / FILE.name
    try:
        found = files.read_json(file)
    except GanzooError:
        return None
    return found if isinstance(found, dict) and {"ganzoo", "model", "paper"} <= found.keys() else None


def image_size(model: BaseGAN) -> int:
    """The side of the pictures that a model makes or takes: its own, or of one that takes any that of its training data."""
    return model.image_size or (model.run_config.data.size if model.run_config else UNKNOWN_SIZE)


def describe(model: BaseGAN, *, whole: bool = True) -> dict:
    """Model, weights and their hash and licence, what they were trained on, what it can be asked for, endpoints, versions.

    `licence` (an SPDX expression) and `attribution` are those of the weights, of all data they were trained on; None for
    random ones.
    """
    facts = presets.read(model.paper).paper
    passport = _passport(model)
    return {
        "ganzoo": __version__,
        "model": model.full_name,
        "paper": model.paper,
        "title": facts.title,
        "arxiv": facts.arxiv,
        "expects": presets.expects(model.run_config) if model.run_config else "",
        "image_size": image_size(model),
        "classes": [labels.class_name(model, label) for label in range(model.classes)],
        "weights_source": model.weights_source,
        "weights_sha256": records.weights_of(model)[1],
        "training_data": _training_data(model),
        "licence": passport.licence if passport else None,
        "attribution": passport.attribution if passport else None,
        **({"attributes": {k: list(v) for k, v in model.attributes.items()}} if model.attributes else {}),
        **({"crops": True} if model.crops else {}),
        "parameters": model.sampler.count_params(),
        "endpoints": {
            name: {key: f"{spec.dtype.name}{spec.shape.as_list()}".replace("None", "?") for key, spec in inputs.items()}
            for name, (_, inputs) in (model.serving_signature() if whole else model.portable_signature()).items()
        },
        "versions": {"keras": keras.__version__, "tensorflow": tf.__version__},
    }


def _training_data(model: BaseGAN) -> dict | None:
    """Source, split and, of a bundled set, licence of the data in the model's options; None for a model without options."""
    if model.run_config is None or model.weights_source == "random":
        return None
    found = {key: getattr(model.run_config.data, key) for key in ("source", "split", "size")}
    name = bundled.canonical(found["source"])
    return found | ({"licence": bundled.facts(name).get("licence")} if name else {})


def _passport(model: BaseGAN) -> Passport | None:
    """Of the published weights, if the model has those; else what it was loaded or trained with."""
    published = _published(model)
    return Passport(licences.spdx(published.licence), published.attribution) if published else model.passport


def _published(model: BaseGAN) -> presets.Weights | None:
    """The record of the weights that came with the package, if the model has those."""
    source, _, sha8 = model.weights_source.partition(":")
    if source != "bundled":
        return None
    records = (preset.weights for preset in presets.read(model.paper).presets.values())
    return next((w for w in records if w is not None and w.sha256.startswith(sha8)), None)
