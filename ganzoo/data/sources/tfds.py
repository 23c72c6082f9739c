"""`tfds:NAME` or `tfds:NAME/CONFIG`: a prepared TensorFlow Datasets set as `Records`. Nothing is downloaded here."""

import operator
import os
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from ganzoo.data.attributes import BOOLEAN, attributes_of
from ganzoo.data.captions import Described
from ganzoo.data.sources.records import Records, choose_splits
from ganzoo.data.task_shapes import TaskShape
from ganzoo.errors import GanzooError, first_line
from ganzoo.media.images import read_image

NAME = re.compile(r"[A-Za-z0-9_]+(/[A-Za-z0-9_.-]+)?(:\d+\.\d+\.\d+)?")
TEXTS = (
    "captions",
    "caption",
    "texts",
    "text",
    "descriptions",
    "description",
)  # names of text features, likeliest first


def tfds_records(source: str, split: str, shape: TaskShape) -> Records:
    """Open a TFDS set that lies in TFDS's data folder (TFDS_DATA_DIR, or its default); its encoded bytes stay in memory."""
    import tensorflow_datasets as tfds

    name = source.removeprefix("tfds:")
    builder = _builder(tfds, name)
    if not builder.info.splits:
        raise GanzooError(
            f"The TFDS set {name} is not prepared in {builder.data_dir}. Prepare it once: python -c 'import ganzoo.data, "
            f'tensorflow_datasets as tfds; tfds.builder("{builder.name}").download_and_prepare()\'.'
        )
    features = builder.info.features
    keys = _image_keys(tfds, features, name, shape)
    told = _text_of(tfds, features, name) if shape.describe else None
    labelled = "label" in features and isinstance(features["label"], tfds.features.ClassLabel)
    known, traits = _attributes_of(tfds, features, name) if shape.attribute else ({}, [])
    ids: list[str] = []
    items, described, labels, said_of = [], [], [], []

    def columns(row):
        asked = tuple(get(row) for _, get in traits)
        return [row[k] for k in keys], told(row) if told else (), [row["label"]] if labelled else [], asked

    for part in choose_splits(builder.info.splits, split, source):
        decoders = {key: tfds.decode.SkipDecoding() for key in keys}
        dataset = builder.as_dataset(split=part, decoders=decoders, shuffle_files=False)
        for row, said, label, asked in tfds.as_numpy(dataset.map(columns)):
            if told:
                texts = [text.decode("utf-8", "replace").strip() for text in np.atleast_1d(said).tolist()]
                described.append(Described(tuple(filter(None, texts))))
            ids.append(f"{part}/{len(ids):06d}")
            items.append(tuple(row))
            labels.extend(label)
            said_of.append({trait: known[trait][int(value)] for (trait, _), value in zip(traits, asked, strict=True)})
    # A picture without a sentence is left out, as in a folder.
    kept = [i for i in range(len(ids)) if not told or described[i].texts]
    skipped = [(ids[i], "has no sentence") for i in range(len(ids)) if told and not described[i].texts]
    ids, items = [ids[i] for i in kept], [items[i] for i in kept]
    return Records(
        source=source,
        split=split,
        ids=ids,
        read=lambda i, fit: shape.parts(tuple(read_image(d, name=f"{source} {ids[i]}") for d in items[i]), keys, fit),
        content=lambda i: items[i],
        labels=np.array(labels, np.int64)[kept] if labels else None,
        class_names=tuple(features["label"].names) if labels else (),
        described=[described[i] for i in kept] if told else None,
        attributes=attributes_of(said_of, source, known) if shape.attribute else None,
        skipped=skipped,
        about={
            "licence": builder.info.as_proto.redistribution_info.license or "not stated by TFDS",
            "attribution": builder.info.citation,
        },
    )


def _builder(tfds, name: str):
    """The builder by name, from code or from prepared files. Never asks the network."""
    from ganzoo.data.builders import builder_name

    if not NAME.fullmatch(name):  # "huggingface:..." and the like make tfds ask the network, a path makes it run code
        raise GanzooError(
            f'A set of TensorFlow Datasets is named tfds:NAME, tfds:NAME/CONFIG or tfds:NAME:1.0.0; received "tfds:{name}".'
        )
    name = builder_name(name) or name
    try:
        return tfds.builder(name, try_gcs=False, data_dir=os.environ.get("TFDS_DATA_DIR"))
    except tfds.core.DatasetNotFoundError as error:
        raise GanzooError(f'TensorFlow Datasets knows no set "{name}".') from error
    except (ImportError, ValueError, TypeError, OSError) as error:
        raise GanzooError(f'TensorFlow Datasets cannot open "{name}": {first_line(error)}') from error


def _part(key: str, part: str) -> Callable[[Any], Any]:
    return lambda row: row[key][part]


def _text_of(tfds, features, name: str):
    """row -> the sentences of an example, a string or several: of the text feature with the likeliest name."""

    def text(feature) -> bool:
        return isinstance(feature, tfds.features.Text) or (
            isinstance(feature, tfds.features.Tensor) and feature.dtype in (str, bytes, object) and feature.shape == ()
        )

    found: dict[str, Callable[[Any], Any]] = {}
    for key, feature in getattr(features, "items", dict)():
        inner = feature.feature if isinstance(feature, tfds.features.Sequence) else feature
        if text(inner):
            found[key] = operator.itemgetter(key)
        elif isinstance(inner, tfds.features.FeaturesDict):
            for part in (part for part, sub in inner.items() if text(sub)):
                found.setdefault(key, _part(key, part))
    likely = [key for key in TEXTS if key in found]
    if not found:
        raise GanzooError(f"The TFDS set {name} has no text feature; its features: {', '.join(features)}.")
    return found[likely[0] if likely else next(iter(found))]


def _attributes_of(tfds, features, name: str):
    """(values by name, (name, row -> number)) of the labels and booleans of an example, also of those in a dict."""
    known, traits = {}, []

    def enter(key: str, feature, get) -> None:
        if isinstance(feature, tfds.features.ClassLabel) and feature.num_classes > 1:
            known[key] = tuple(feature.names)
        elif isinstance(feature, tfds.features.Tensor) and feature.shape == () and feature.np_dtype == np.bool_:
            known[key] = BOOLEAN
        else:
            return
        traits.append((key, get))

    for key, feature in getattr(features, "items", dict)():
        if isinstance(feature, tfds.features.FeaturesDict):
            for part, inner in feature.items():
                enter(part, inner, lambda row, key=key, part=part: row[key][part])
        else:
            enter(key, feature, lambda row, key=key: row[key])
    if not traits:
        raise GanzooError(f"The TFDS set {name} has neither labels nor booleans; its features: {', '.join(features)}.")
    return known, traits


def _image_keys(tfds, features, name: str, shape: TaskShape) -> tuple[str, ...]:
    images = [k for k, f in getattr(features, "items", dict)() if isinstance(f, tfds.features.Image)]
    keys = shape.tfds_keys(images)
    if keys is None:
        has = ", ".join(images) or "none"
        raise GanzooError(
            f'The TFDS set {name} has no {shape.what} for the shape "{shape.name}"; its image features: {has}.'
        )
    return keys
