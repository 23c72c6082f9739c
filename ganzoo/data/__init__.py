"""Data by one string: bundled set, folder, zip file or `tfds:NAME`, as infinite `tf.data` batches of a task shape.

Importing this package registers the bundled sets with TensorFlow Datasets (`tfds.builder("lorelei64")`).
"""

from typing import TYPE_CHECKING

import tensorflow as tf

from ganzoo.data import ages, attributes, builders, bundled, captions, images, masks, paired  # noqa: F401  (imported for their registrations)
from ganzoo.data.bundled import bundled_names
from ganzoo.data.licence import passport
from ganzoo.data.pictures import PictureSource
from ganzoo.data.pipeline import batches, check_attributes, check_labels, check_size, check_texts
from ganzoo.data.source import Source as Source
from ganzoo.data.source import remarks
from ganzoo.data.sources.held_back import TENTH
from ganzoo.data.sources.opening import open_records
from ganzoo.data.sources.records import NoSplit
from ganzoo.data.synthetic import synthetic
from ganzoo.data.task_shapes import task_shape
from ganzoo.data.unpaired import DOMAINS, UnpairedSource, side_of
from ganzoo.data.voxels import VoxelSource

if TYPE_CHECKING:
    from ganzoo.presets import DataConfig

__all__ = [
    "TENTH",
    "Source",
    "batches",
    "build",
    "bundled_names",
    "check_attributes",
    "check_labels",
    "check_size",
    "check_texts",
    "has_pairs",
    "has_split",
    "may_hold_back",
    "open_source",
    "passport",
    "remarks",
    "synthetic",
]


def build(
    config: "DataConfig",
    batch_size: int,
    *,
    seed: int = 0,
    start_step: int = 0,
    split: str | None = None,
    labels: bool = False,
    foils: bool = False,
) -> tf.data.Dataset:
    """Infinite dict batches of float32 in [-1, 1], the same for the same (seed, step): see `ganzoo.data.pipeline`.

    The shape "images" gives {"image": (B, size, size, channels)}, "paired" gives {"input": ..., "target": ...} and
    "unpaired" gives {"a": ..., "b": ...}. "voxels" gives {"voxels": (B, size, size, size, 1)} of 0 and 1, "captions" gives
    {"image": ..., "text": ..., "wrong": ...}, "attributes" {"image": ..., "attributes": (B, A)} of 0 and 1, "masks"
    {"image": ..., "mask": (B, size, size, 1)}, 1 in the hole and -1 elsewhere, and "ages" {"image": ...} with the class of the
    age as label.

    Args:
        config: what to read and how to fit it.
        batch_size: global batch size; it may be larger than the data set.
        seed: of order, crops and mirroring.
        start_step: number of the first batch; a resumed run passes its step.
        split: "train", "test", ..., several joined by "+", or "all"; the config's split by default.
        labels: also "label", int64 (B,), which a model with classes trains on.
        foils: of captions also "foil", strings (B,), which text-to-image with `match_weight` trains on.

    Raises:
        GanzooError: if the source is unknown, has no such split or no labels, or holds fewer than two usable items.
    """
    source = open_source(config, split)
    texts = "text" if config.shape == "captions" else None
    return batches(
        source,
        batch_size,
        seed=seed,
        start_step=start_step,
        labels=labels,
        texts=texts,
        foils=foils,
        attributes=config.shape == "attributes",
    )


def may_hold_back(config: "DataConfig") -> bool:
    """Whether a run of these data holds a part back if they have no test split: of folders and zip files, unless it names
    splits of its own."""
    named = (config.split, config.test_split) != ("train", "test") or config.source.startswith("tfds:")
    named = named or config.source_b.startswith("tfds:")
    sources = [config.source, *filter(None, [config.source_b])]
    bundles = [bundled.canonical(source) or source.lower().endswith(".npz") for source in sources]
    return not (named or any(bundles))


def has_split(config: "DataConfig", split: str) -> bool:
    """Whether the data have this split. Reads names, of shapes also the files; decodes no picture.

    Raises:
        GanzooError: no such data, or none of this shape in them.
    """
    try:
        if config.shape == "voxels":
            VoxelSource(config, split)
        elif config.shape == "unpaired":
            for domain in DOMAINS:
                own, part, shape = side_of(config, split, domain, domain)
                open_records(own.source, part, shape, config.hold_out)
        else:
            open_records(config.source, split, task_shape(config.shape), config.hold_out)
    except NoSplit:
        return False
    return True


def has_pairs(config: "DataConfig") -> bool:
    """Whether item `i` of the input and of the target belong together: so in pairs, and in the test split of the
    bundled emoji, whose two domains hold the same glyphs there."""
    return config.shape == "paired" or (config.shape == "unpaired" and bundled.canonical(config.source) == "emoji_64")


def open_source(config: "DataConfig", split: str | None = None) -> Source:
    """The pictures or shapes of `config` themselves: length, first items, skipped files, fingerprint, summary."""
    if config.shape == "voxels":
        return VoxelSource(config, split)
    return (UnpairedSource if config.shape == "unpaired" else PictureSource)(config, split)
