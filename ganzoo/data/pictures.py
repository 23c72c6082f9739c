"""`PictureSource`: one split of one data set, its pictures fitted to the size that a config asks for."""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ganzoo.data.attributes import Attributes
from ganzoo.data.captions import Texts
from ganzoo.data.pipeline import picture_batches
from ganzoo.data.source import Source
from ganzoo.data.sources.opening import open_records
from ganzoo.data.task_shapes import TaskShape, task_shape
from ganzoo.errors import GanzooError
from ganzoo.media.images import fit_image, to_channels

if TYPE_CHECKING:
    from ganzoo.presets import DataConfig

MEMORY_LIMIT = 2 * 10**9  # bytes of decoded pictures kept in memory; larger sets are decoded in every epoch
MAX_SIDE = 2**14  # pixels of a picture as it is trained on
MAX_TRIES = 100  # bad files in a row, when decoding on the fly, after which the data are called unusable


class PictureSource(Source):
    """The usable pictures (or pairs, or pictures with sentences) of a split; see `Source`.

    `in_memory` if all decoded pictures fit into 2 GB. Otherwise bad ones are added to `skipped` when they are found.
    `stored`: (name, channels) of each array of an item: the columns, and the mask that lies next to a picture.
    """

    def __init__(self, config: "DataConfig", split: str | None = None, shape: TaskShape | None = None):
        self.config = config
        self.split = split or config.split
        self.shape = shape or task_shape(config.shape)
        self.columns, self.channels = self.shape.columns, self.shape.channels(config)
        self.size, self.load_size = config.size, config.load_size or config.size
        if self.load_size > MAX_SIDE:
            raise GanzooError(
                f"Pictures of {self.load_size:,} px a side were asked for; at most {MAX_SIDE:,} are made."
            )
        if self.load_size < self.size:
            raise GanzooError(f"data.load_size ({self.load_size}) must not be smaller than data.size ({self.size}).")
        self.records = open_records(config.source, self.split, self.shape, config.hold_out)
        self.skipped = list(self.records.skipped)
        self._usable = np.arange(len(self.records))
        self.has_masks = self.records.about.get("layout") == "masks"
        self.stored = (*zip(self.columns, self.channels, strict=True), *([("mask", 1)] if self.has_masks else []))
        self.in_memory = len(self.records) * self.load_size**2 * sum(c for _, c in self.stored) <= MEMORY_LIMIT
        if self.in_memory and not self.records.trusted:
            _ = self.arrays  # only decoding shows which files are good
        if len(self) < 2:
            raise GanzooError(self._too_few())

    def __len__(self) -> int:
        return len(self._usable)

    @property
    def note(self) -> str:
        return self.records.about.get("note", "")

    @property
    def fetched(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.stored)

    def batches(self, batch_size: int, **options):
        return picture_batches(self, batch_size, **options)

    def take(self, n: int) -> dict[str, np.ndarray]:
        """The first `n` items (fewer if there are fewer): {column: uint8 (n, size, size, channels)}, without augmentation.
        With masks next to the pictures also "mask", 255 in the hole."""
        n = min(n, len(self))
        if n < 1:
            raise GanzooError(f"take(n) needs n of at least 1; got {n}.")
        items = [self.fetch(i, self.size) for i in range(n)]
        return {name: np.stack(column) for name, column in zip(self.fetched, zip(*items, strict=True), strict=True)}

    def fetch(self, i: int, size: int) -> tuple[np.ndarray, ...]:
        """Item `i`, one uint8 (size, size, channels) per array that is stored. On the fly, a bad file gives the next good item instead."""
        reason = ""
        for step in range(min(MAX_TRIES, len(self))):
            row = int(self._usable[(i + step) % len(self)])
            try:
                return self._decode(row, size)
            except GanzooError as error:
                reason = str(error)
                if (self.records.ids[row], reason) not in self.skipped:
                    self.skipped.append((self.records.ids[row], reason))
        raise GanzooError(f"{self.records.source}: many files in a row cannot be read; the last: {reason}")

    @cached_property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """All items, one uint8 array (len, load_size, load_size, channels) each that is stored; bad files are left out and noted."""
        total, size = len(self.records), self.load_size
        arrays = tuple(np.empty((total, size, size, c), np.uint8) for _, c in self.stored)

        def fill(row: int) -> str | None:
            try:
                for array, picture in zip(arrays, self._decode(row, size), strict=True):
                    array[row] = picture
            except GanzooError as error:
                return str(error)
            return None

        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            reasons = list(pool.map(fill, range(total)))
        self.skipped += [(self.records.ids[row], reason) for row, reason in enumerate(reasons) if reason]
        self._usable = np.array([row for row, reason in enumerate(reasons) if reason is None], int)
        return arrays if len(self) == total else tuple(array[self._usable] for array in arrays)

    @property
    def labels(self) -> np.ndarray | None:
        """int64 class of each item, if the source knows them."""
        return None if self.records.labels is None else self.records.labels[self._usable]

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes in the order of the labels, if the source knows them."""
        return self.records.class_names

    @cached_property
    def texts(self) -> Texts | None:
        """The sentences of all items, of the shape "captions"."""
        if self.records.described is None:
            return None
        return Texts([self.records.described[row] for row in self._usable], self.config.source, self.labels)

    @cached_property
    def attributes(self) -> Attributes | None:
        """The attributes of all items, of the shape "attributes": those that the config takes.

        Raises:
            GanzooError: the source has none of a name that the config takes, or too many.
        """
        known = self.records.attributes
        return known and known.chosen(self.config.attributes, self.records.source).of(self._usable)

    def sentences(self, n: int) -> list[str]:
        """The first sentence of `n` items, from the start again after the last; none without texts."""
        described = self.records.described
        return [described[int(self._usable[i % len(self)])].texts[0] for i in range(n)] if described else []

    @cached_property
    def fingerprint(self) -> str:
        """sha256 (hex) over names and bytes of the files of this split, in order. Reads every file once."""
        return self.records.digest()

    def summary(self) -> dict:
        """JSON-able facts: source, split, counts, sizes, fingerprint, and licence and attribution if bundled."""
        config = self.config
        return {
            "source": config.source,
            "shape": config.shape,
            "split": self.split,
            "count": len(self),
            "skipped": len(self.skipped),
            "skipped_files": [list(entry) for entry in self.skipped[:100]],
            "size": self.size,
            "load_size": self.load_size,
            "channels": list(self.channels),
            "fit": config.fitting,
            "mirror": config.mirror,
            "fingerprint": self.fingerprint,
            **self.records.about,
        }

    def _decode(self, row: int, size: int) -> tuple[np.ndarray, ...]:
        parts = self.shape.arrange(self.records.read(row, self.config.fit), self.config)
        fitted = (fit_image(part, size, self.config.fit, self.config.resample) for part in parts)
        return tuple(
            np.where(part > 127, np.uint8(255), np.uint8(0)) if name == "mask" else to_channels(part, c)
            for part, (name, c) in zip(fitted, self.stored, strict=True)
        )

    def _too_few(self) -> str:
        text = f"{self.config.source} (split {self.split}) has {len(self)} usable {self.shape.what}; at least 2 are needed."
        if self.skipped:
            name, reason = self.skipped[0]
            text += f" {len(self.skipped)} files were skipped, the first: {name} ({reason.rstrip('.')})."
        return f"{text} Accepted: {self.shape.layouts}."
