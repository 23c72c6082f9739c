"""`tfds:NAME` or `tfds:NAME/CONFIG`: a prepared TensorFlow Datasets set as `Records`. Nothing is downloaded here."""

import os

import numpy as np

from ganzoo.data.shapes import TaskShape
from ganzoo.data.sources.records import Records, choose_splits
from ganzoo.errors import GanzooError
from ganzoo.images import read_image


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
    labelled = "label" in features and isinstance(features["label"], tfds.features.ClassLabel)
    read = [*keys, "label"] if labelled else keys
    items, ids, labels = [], [], []
    for part in choose_splits(builder.info.splits, split, source):
        decoders = {key: tfds.decode.SkipDecoding() for key in keys}
        dataset = builder.as_dataset(split=part, decoders=decoders, shuffle_files=False)
        for row in tfds.as_numpy(dataset.map(lambda r: [r[k] for k in read])):
            ids.append(f"{part}/{len(ids):06d}")
            items.append(tuple(row[: len(keys)]))
            labels += row[len(keys) :]
    return Records(
        source=source,
        split=split,
        ids=ids,
        read=lambda i, fit: shape.parts(tuple(read_image(d, name=f"{source} {ids[i]}") for d in items[i]), keys, fit),
        content=lambda i: items[i],
        labels=np.array(labels, np.int64) if labels else None,
        about={
            "licence": builder.info.as_proto.redistribution_info.license or "not stated by TFDS",
            "attribution": builder.info.citation,
        },
    )


def _builder(tfds, name: str):
    """The builder by name, from code or from prepared files. Never asks the network."""
    from ganzoo.data.builders import builder_name

    name = builder_name(name) or name
    try:
        return tfds.builder(name, try_gcs=False, data_dir=os.environ.get("TFDS_DATA_DIR"))
    except tfds.core.DatasetNotFoundError as error:
        raise GanzooError(f'TensorFlow Datasets knows no set "{name}".') from error
    except (ImportError, ValueError, TypeError, OSError) as error:
        raise GanzooError(f'TensorFlow Datasets cannot open "{name}": {str(error).splitlines()[0]}') from error


def _image_keys(tfds, features, name: str, shape: TaskShape) -> tuple[str, ...]:
    images = [k for k, f in getattr(features, "items", dict)() if isinstance(f, tfds.features.Image)]
    keys = shape.tfds_keys(images)
    if keys is None:
        has = ", ".join(images) or "none"
        raise GanzooError(
            f'The TFDS set {name} has no {shape.what} for the shape "{shape.name}"; its image features: {has}.'
        )
    return keys
