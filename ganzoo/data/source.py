"""`Source`: what every task shape's data can do. The loop, evaluation and reports ask for nothing else."""

from collections import Counter
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ganzoo.files import shown

if TYPE_CHECKING:
    import tensorflow as tf

    from ganzoo.data.attributes import Attributes
    from ganzoo.data.captions import Texts
    from ganzoo.presets import DataConfig


class Source(Protocol):
    """The usable items of one split, in a fixed order; `len` counts them.

    `ganzoo.data.open_source` gives one: `PictureSource` (pictures, pairs, pictures with sentences), `UnpairedSource` (two
    domains) or `VoxelSource` (shapes). They derive from this class, which says what a source has not: labels, texts, sides.

    Attributes:
        config: what was asked for.
        split: which part of the data this is.
        size: side of a picture or a grid.
        columns: names in batch order, such as ("image",) or ("input", "target").
        channels: number of channels of each column.
        skipped: (file, reason) of every file that is left out.
        in_memory: whether all items are decoded; otherwise they are when asked for, and bad ones are found only then.
        note: how the folders were understood, where a person may have meant them otherwise; "" else.
        fingerprint: sha256 (hex) over names and contents, in order.
        labels: int64 class of each item; None without.
        class_names: of these, in their order; () where they have none.
        texts: the sentences of all items; None without.
        attributes: the attributes of all items, those of `data.attributes`; None without.
        sides: of two domains the source of each by its name; empty otherwise.
    """

    config: "DataConfig"
    split: str
    size: int
    columns: tuple[str, ...]
    channels: tuple[int, ...]
    skipped: list[tuple[str, str]]
    in_memory: bool
    note: str = ""
    fingerprint: str
    labels: np.ndarray | None = None
    class_names: tuple[str, ...] = ()
    texts: "Texts | None" = None
    attributes: "Attributes | None" = None
    sides: "Mapping[str, Source]" = MappingProxyType({})

    def __len__(self) -> int: ...

    def batches(
        self,
        batch_size: int,
        *,
        seed: int,
        start_step: int,
        offset: int,
        size: int,
        labels: bool,
        texts: str | None,
        foils: bool,
        attributes: bool,
        rows: slice | None,
    ) -> "tf.data.Dataset":
        """Infinite batches, as `ganzoo.data.batches` says, which checks the arguments first and is how this is called."""
        ...

    def take(self, n: int) -> dict[str, np.ndarray]:
        """The first `n` items (fewer if there are fewer) by column, without augmentation: uint8 pictures, float32 grids."""
        ...

    @property
    def fetched(self) -> tuple[str, ...]:
        """Names of the arrays that `fetch` gives: the columns, and what lies next to them."""
        return self.columns

    def fetch(self, i: int, size: int) -> tuple[np.ndarray, ...]:
        """Item `i`, one array (size, size, channels) for each name of `fetched`."""
        ...

    def sentences(self, n: int) -> list[str]:
        """The first sentence of `n` items, from the start again after the last; none without texts."""
        return []

    def summary(self) -> dict:
        """JSON-able facts: source, split, counts, sizes, fingerprint, and licence and attribution if bundled."""
        ...


def tally(skipped: Iterable[tuple[str, str]], most: int = 4) -> str:
    """(file, reason) pairs by reason, with counts: "12 files: lies outside train/ (9); is empty (0 bytes) (3)"."""
    counts = Counter(reason.removeprefix(name).strip(" .") for name, reason in skipped)
    parts = [f"{reason} ({count:,})" for reason, count in counts.most_common(most)]
    rest = counts.total() - sum(count for _, count in counts.most_common(most))
    return f"{counts.total():,} file{'s' * (counts.total() > 1)}: {'; '.join(parts)}{f'; other reasons ({rest:,})' if rest else ''}"


def remarks(source: Source) -> list[str]:
    """What a person should hear of opened data: how folders were understood, and how many files are left out and why."""
    said = [part.note for part in (source.sides.values() or [source])]
    said += [f"Left out of {shown(source.config.source)}: {tally(source.skipped)}."] if source.skipped else []
    return list(dict.fromkeys(filter(None, said)))
