"""Task shape "unpaired": {"a": (B, H, W, Ca), "b": (B, H, W, C)}, two sets of pictures that know nothing of each other.

Each domain has its own order, crops and mirroring, drawn from its own seed: which B stands next to an A is chance, and an
epoch of one domain does not end with the other's. Both have a split of their own, named as in TFDS's `cycle_gan`:

    folders   `trainA/ trainB/ [testA/ testB/]`, or `A/ B/`, also `train/A/`, `A/train/` or `A/trainA/`; sub-folders are walked
    TFDS      `tfds:cycle_gan/horse2zebra`: the splits trainA, trainB, testA, testB
    apart     `source` is domain A and `source_b` domain B, each of them anything that the shape "images" takes; "extra, train" is the
              split of A and that of B. Classes of A are labels
    bundled   `emoji_64`: A is Fluent 3D and B is Noto. No glyph is in both of trainA and trainB; testA and testB hold the
              same glyphs in one order, pairs that training never sees, so that a translation can be measured
"""

import dataclasses
import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from ganzoo.data.images import IMAGES, image_key
from ganzoo.data.pictures import PictureSource
from ganzoo.data.pipeline import seed_of_second_domain
from ganzoo.data.source import Source
from ganzoo.data.sources.layouts import SPLITS, Item, Layout, place
from ganzoo.data.task_shapes import TaskShape, pipeline
from ganzoo.errors import GanzooError

if TYPE_CHECKING:
    from ganzoo.presets import DataConfig

DOMAINS = ("a", "b")
LAYOUTS = "two folders trainA/ and trainB/ (and testA/, testB/), or A/ and B/, with any number of pictures each"


def unpaired_layout(names: list[str]) -> Layout:
    """Every picture of both domains, by the splits trainA, trainB, testA, ..."""
    placed, problems = place(names)
    items = []
    for name, (split, rest) in placed.items():
        top, slash, _ = rest.partition("/")
        if slash and top.lower() in DOMAINS:
            items.append(Item(name, (name,), split + top.upper()))
        else:
            problems.append((name, "unmatched", "belongs to neither A nor B"))
    return Layout("unpaired", items, problems)


def _shape(columns: tuple[str, ...], what: str, channels) -> TaskShape:
    return TaskShape(
        name="unpaired",
        columns=columns,
        what=what,
        layouts=LAYOUTS,
        channels=channels,
        layout=unpaired_layout,
        parts=lambda pictures, files, fit: pictures,
        arrange=lambda parts, config: parts,
        tfds_keys=image_key,
    )


UNPAIRED = pipeline(_shape(DOMAINS, "pictures", lambda config: (config.input_channels, config.channels)))
SIDES = {
    "a": _shape(("a",), "pictures of domain A", lambda config: (config.input_channels,)),
    "b": _shape(("b",), "pictures of domain B", lambda config: (config.channels,)),
}


# Each domain by itself, of two sources.
APART = {
    "a": dataclasses.replace(IMAGES, columns=("a",), channels=lambda config: (config.input_channels,)),
    "b": dataclasses.replace(IMAGES, columns=("b",), channels=lambda config: (config.channels,)),
}


def side_of(config: "DataConfig", split: str, domain: str, folder: str) -> tuple["DataConfig", str, TaskShape]:
    """(config, split, shape) by which a domain is opened, of data whose folder or source `folder` ("a" or "b") holds it."""
    if not config.source_b:
        return config, side_split(split, folder), SIDES[domain]
    parts = [part.strip() for part in split.split(",")]
    if len(parts) > len(DOMAINS):
        raise GanzooError(f'The split of two sources is one name, or two as "extra, train"; received "{split}".')
    source = config.source if folder == "a" else config.source_b
    return (
        config.model_copy(update={"source": source, "source_b": ""}),
        parts[folder == "b" and len(parts) > 1],
        APART[domain],
    )


class UnpairedSource(Source):
    """One split of two domains: `sides` holds a `PictureSource` for each; see `Source`.

    A config's `direction = "b2a"` exchanges the domains.
    """

    def __init__(self, config: "DataConfig", split: str | None = None):
        self.config = config
        self.split = split or config.split
        self.shape, self.columns, self.channels = UNPAIRED, DOMAINS, UNPAIRED.channels(config)
        self.size, self.load_size = config.size, config.load_size or config.size
        folders = DOMAINS if config.direction == "a2b" else DOMAINS[::-1]
        self.sides = {
            domain: PictureSource(*side_of(config, self.split, domain, folder))
            for domain, folder in zip(DOMAINS, folders, strict=True)
        }

    def __len__(self) -> int:
        """Pictures of the larger domain: the batches of one picture each that make an epoch."""
        return max(len(source) for source in self.sides.values())

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """(file, reason) of every file of either domain that is left out."""
        return list(dict.fromkeys(entry for source in self.sides.values() for entry in source.skipped))

    @property
    def in_memory(self) -> bool:
        """Whether both domains are."""
        return all(source.in_memory for source in self.sides.values())

    def batches(
        self, batch_size: int, *, seed: int, size: int, labels, texts, foils, attributes, **place
    ) -> tf.data.Dataset:
        seeds = {"a": seed, "b": seed_of_second_domain(seed)}
        plain: dict[str, Any] = {"size": size, "texts": None, "foils": False, "attributes": False}
        parts = {
            domain: side.batches(batch_size, seed=seeds[domain], labels=labels and domain == "a", **plain, **place)
            for domain, side in self.sides.items()
        }

        def together(both):
            return {name: both[name][name] for name in both} | ({"label": both["a"]["label"]} if labels else {})

        return tf.data.Dataset.zip(parts).map(together)

    @property
    def labels(self) -> np.ndarray | None:
        """int64 class of each picture of domain A, if its source knows them."""
        return self.sides["a"].labels

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.sides["a"].class_names

    def take(self, n: int) -> dict[str, np.ndarray]:
        """The first `n` of each domain (as many as the smaller one has at most), without augmentation."""
        n = min([n, *(len(source) for source in self.sides.values())])
        return {domain: source.take(n)[domain] for domain, source in self.sides.items()}

    def fetch(self, i: int, size: int) -> tuple[np.ndarray, ...]:
        """Item `i` of each domain, the smaller one from its start again: uint8 (size, size, channels) twice."""
        return tuple(source.fetch(i % len(source), size)[0] for source in self.sides.values())

    @property
    def fingerprint(self) -> str:
        """sha256 (hex) over the fingerprints of both domains."""
        joined = "".join(source.fingerprint for source in self.sides.values())
        return hashlib.sha256(joined.encode()).hexdigest()

    def summary(self) -> dict:
        """As `Source.summary`, with the counts of both domains."""
        a, b = (source.summary() for source in self.sides.values())
        counts = {"count": len(self), "counts": {"a": a["count"], "b": b["count"]}}
        files = [list(entry) for entry in self.skipped[:100]]
        found = {"split": self.split, "skipped": len(self.skipped), "skipped_files": files}
        if self.config.source_b:
            found |= {"source_b": b["source"]}
            for key in ("licence", "attribution"):
                found |= {key: "; ".join(str(side[key]) for side in (a, b) if key in side)} if key in a | b else {}
        return a | counts | found | {"channels": list(self.channels), "fingerprint": self.fingerprint}


def side_split(split: str, folder: str) -> str:
    """The splits of one folder's side: "train+test" of "a" is "trainA+testA", "all" is "allA"."""
    parts = [part.strip() for part in split.split("+")]
    for part in parts:
        if part.lower().endswith(tuple(f"{s}{d}" for s in SPLITS.values() for d in DOMAINS)):
            raise GanzooError(f'Unpaired data take both domains of a split: write "{part[:-1]}" instead of "{part}".')
    return "+".join(f"{part}{folder.upper()}" for part in parts)
