"""Which files of a folder are pictures, and of which split. Works on names only.

Splits: a top folder `train/`, `val/` or `test/` (also `training`, `valid`, `validation`, `testing`; also inside `A/` and
`B/`). Without any, all files are "train"; with one, files outside the split folders are left out. Enclosing folders around
everything are ignored.
"""

from dataclasses import dataclass, field
from pathlib import PurePosixPath

from ganzoo.media.images import SUFFIXES

SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
SIDES = ("a", "b")
UNREAD = (".tif", ".tiff", ".heic", ".heif", ".avif", ".jxl", ".jp2", ".svg", ".psd", ".ppm", ".pgm", ".tga", ".ico")


@dataclass
class Item:
    """One picture (one file), a pair in two files (A, B), or a pair in one file. `group`: its class, if it has one."""

    id: str
    files: tuple[str, ...]
    split: str
    group: str | None = None


@dataclass
class Layout:
    """`kind`: images, folders, suffixes or side-by-side. `problems`: (file, status, reason) for files that cannot be used."""

    kind: str
    items: list[Item]
    problems: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def groups(self) -> list[str]:
        """Names of the classes of all splits, sorted; none unless every item has one and there are two or more."""
        found = {item.group for item in self.items}
        return [] if None in found or len(found) < 2 else sorted(found)

    @property
    def splits(self) -> list[str]:
        """The splits that have items, in the order train, val, test; of unpaired data trainA, trainB, ..."""
        names = [split + side for split in ("train", "val", "test") for side in ("", "A", "B")]
        return [s for s in names if any(i.split == s for i in self.items)]


def place(names: list[str]) -> tuple[dict[str, tuple[str, str]], list[tuple[str, str, str]]]:
    """({picture file: (split, path without the split folder)}, problems)."""
    pictures, problems = [], []
    for name in names:
        suffix = PurePosixPath(name).suffix.lower()
        if suffix in SUFFIXES:
            pictures.append(name)
        elif suffix in UNREAD:
            problems.append((name, "corrupt", f"{suffix[1:]} files are not read; convert it to PNG or JPEG"))
    root = _common_root(pictures)
    placed = {name: _split_of(name[len(root) :]) for name in pictures}
    if any(split for split, _ in placed.values()):
        outside = [name for name, (split, _) in placed.items() if split is None]
        problems += [(name, "unmatched", "lies outside train/, val/ and test/") for name in outside]
        placed = {name: found for name, found in placed.items() if found[0] is not None}
    return {name: (split or "train", rest) for name, (split, rest) in placed.items()}, problems


def stem(path: str) -> str:
    """The path without its file suffix."""
    return str(PurePosixPath(path).with_suffix(""))


def _common_root(names: list[str]) -> str:
    """The folders around all names that say nothing about split or side, such as "facades/"; or ""."""
    root = ""
    while names:
        heads = {name[len(root) :].partition("/")[0:2] for name in names}
        head, slash = next(iter(heads))
        if len(heads) > 1 or not slash or head.lower() in SPLITS or head.lower() in SIDES:
            break
        root += head + slash
    return root


def _split_of(name: str) -> tuple[str | None, str]:
    """(split or None, the path without the split folder)."""
    parts = name.split("/")
    for position in (0, 1):
        above_is_side = position == 0 or parts[0].lower() in SIDES
        if len(parts) > position + 1 and parts[position].lower() in SPLITS and above_is_side:
            return SPLITS[parts[position].lower()], "/".join(parts[:position] + parts[position + 1 :])
    return None, name
