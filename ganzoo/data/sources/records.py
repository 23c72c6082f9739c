"""What every source gives: a numbered list of pictures or pairs, each read on demand."""

import contextlib
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from ganzoo.data.attributes import Attributes
from ganzoo.errors import GanzooError, nearest


class NoSplit(GanzooError):
    """The data have no split of the name that was asked for."""


@dataclass
class Records:
    """Pictures (one part) or pairs (two parts: A, then B) of one split of one source.

    `read(i, fit)` gives the uint8 pictures (h, w, 1 or 3) of item i, of any size, and raises `GanzooError` for a bad item
    (one whose pictures the fit policy would move apart is bad too); `content(i)` gives the bytes that identify it. `trusted` items are known to be good (bundled sets), so they need not be
    decoded to be counted. `labels`: int64 class of each item, if known, and `class_names`, where they have names. `described`: its
    sentences (`data.captions.Described`), of the shape "captions". `attributes`: those of each item
    (`data.attributes.Attributes`), of the shape "attributes". `about` holds JSON-able facts for the summary
    (licence, attribution, layout).
    """

    source: str
    split: str
    ids: list[str]
    read: Callable[[int, str], tuple[np.ndarray, ...]]
    content: Callable[[int], Iterable[bytes]]
    trusted: bool = False
    labels: np.ndarray | None = None
    class_names: tuple[str, ...] = ()
    described: list | None = None
    attributes: "Attributes | None" = None
    skipped: list[tuple[str, str]] = field(default_factory=list)
    about: dict = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, first: int, last: int, split: str) -> "Records":
        """Items `first` to before `last`, as the records of `split`.

        Raises:
            GanzooError: there are none.
        """
        ids = self.ids[first:last]
        if not ids:
            raise GanzooError(f'{self.source} has no items in "{split}": there are {len(self):,}, counted from 0.')
        return replace(
            self,
            split=split,
            ids=ids,
            read=lambda i, fit: self.read(first + i, fit),
            content=lambda i: self.content(first + i),
            labels=None if self.labels is None else self.labels[first:last],
            described=None if self.described is None else self.described[first:last],
            attributes=None if self.attributes is None else self.attributes.of(slice(first, last)),
        )

    def digest(self) -> str:
        """sha256 (hex) over ids and bytes of all items, in order; an item that cannot be read counts by its id."""
        total = hashlib.sha256()
        for i, name in enumerate(self.ids):
            total.update(f"{name}\n".encode())
            with contextlib.suppress(GanzooError):
                for data in self.content(i):
                    total.update(hashlib.sha256(data).digest())
            for text in self.described[i].texts if self.described else ():
                total.update(hashlib.sha256(text.encode("utf-8", "replace")).digest())
            if self.attributes is not None:
                total.update(repr(self.attributes.rows[i].tolist()).encode())
        if self.attributes is not None:
            total.update(repr(list(self.attributes.values.items())).encode())
        return total.hexdigest()


def choose_splits(available: Iterable[str], split: str, source: str) -> list[str]:
    """The split names that `split` asks for: one of `available`, several joined by "+", or "all" ("allA": all of domain A)."""
    available = list(available)
    wanted = [part.strip() for part in split.split("+")]
    if split in ("all", "allA", "allB"):
        wanted = [name for name in available if name.endswith(split.removeprefix("all"))]
    for name in wanted:
        if name not in available:
            raise NoSplit(f'{source} has no split "{name}".{nearest(name, [*available, "all"])}')
    return wanted
