"""Which files of a folder are pictures, and of which split. Works on names only.

Splits are folders called train, val or test (also training, valid, validation, testing; `test_images`, `val2017`), at the
top or below a class or domain (`cat/test/`, `A/testA/`), so that no test picture is ever trained on:

    train/ and others     are splits; pictures outside them are left out
    test/ or val/ alone   hold pictures back, and all next to them are "train"
    train/ alone          is a split; next to other folders with pictures of the same depth it is a class that has this name

Where the folders inside a train/, val/ or test/ are splits again, it is a class of that name too. Without any split all files are "train". Enclosing
folders around everything are ignored.
"""

import itertools
import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from ganzoo.data.sources.held_back import held_back
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
SPLIT_FOLDER = re.compile(
    rf"({'|'.join(SPLITS)})(?:[-_ ]?([ab])|[-_ ]?(?:images?|imgs?|set|data|split)|[-_]?(?:19|20)\d\d)?"
)
SIDES = ("a", "b")
MAX_LEVELS = 16  # of folders in which splits are looked for
OUTSIDE = "lies outside train/, val/ and test/"
UNREAD = (".heic", ".heif", ".avif", ".jxl", ".jp2", ".svg", ".psd", ".ppm", ".pgm", ".tga", ".ico")


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
        """Names of the classes of all splits, sorted; none if there is only one."""
        found = {item.group for item in self.items if item.group is not None}
        return sorted(found) if len(found) > 1 else []

    @property
    def splits(self) -> list[str]:
        """The splits that have items, in the order train, val, test; of unpaired data trainA, trainB, ..."""
        names = [split + side for split in ("train", "val", "test") for side in ("", "A", "B")]
        return [s for s in names if any(i.split == s for i in self.items)]


def hold_back(layout: Layout, share: float) -> tuple[int, int] | None:
    """Makes a share of the items of a layout that has only training ones its test split, by the rule of `held_back`.

    Returns (held back, all), or None where the layout has splits of its own.
    """
    if set(layout.splits) - {"train", "trainA", "trainB"}:
        return None
    chosen = []
    for split in layout.splits:
        items = [item for item in layout.items if item.split == split]
        places = held_back([stem(item.id) for item in items], share, [item.group for item in items])
        chosen.append([items[place] for place in places])
    if all(chosen):  # of two domains both, or none
        for item in itertools.chain(*chosen):
            item.split = item.split.replace("train", "test")
        return sum(map(len, chosen)), len(layout.items)
    return 0, len(layout.items)


def place(names: list[str]) -> tuple[dict[str, tuple[str, str]], list[tuple[str, str, str]]]:
    """({picture file: (split, path without the split folder)}, problems)."""
    pictures, problems = [], []
    for name in names:
        suffix = PurePosixPath(name).suffix.lower()
        if suffix in SUFFIXES:
            pictures.append(name)
        elif suffix in UNREAD:
            problems.append((name, "corrupt", f"{suffix[1:]} files are not read; convert it to PNG or JPEG"))
    found = split_names(pictures)
    problems += [(name, "unmatched", OUTSIDE) for name in pictures if found[name] is None]
    placed = {name: place for name, place in found.items() if place is not None}
    root = _common_root([rest for _, rest in placed.values()])
    return {name: (split, rest[len(root) :]) for name, (split, rest) in placed.items()}, problems


def split_names(names: list[str]) -> dict[str, tuple[str, str] | None]:
    """{file: (split, path without the split folder), or None for a file outside the split folders}.

    A folder of a split and a side, such as trainA/, leaves its side in the path.
    """
    folders = _Folders(names)
    split = {name: _split_of(name, folders) for name in names}
    if any(split.values()):
        return split
    return {name: ("train", name) for name in names}


class _Folders:
    """What lies in each folder: its folders, and how deep the files in those lie."""

    def __init__(self, names: list[str]):
        self.inner: dict[str, dict[str, set[int]]] = {}
        self.known: dict[str, bool] = {}
        for name in names:
            parts = name.split("/")
            for level in range(min(len(parts) - 1, MAX_LEVELS)):
                folder = self.inner.setdefault("/".join(parts[:level]), {})
                folder.setdefault(parts[level], set()).add(len(parts))

    def split(self, folder: str) -> bool:
        """Whether folders in this one are splits of it."""
        if folder not in self.known:
            self.known[folder] = self._split(folder, self.inner.get(folder, {}))
        return self.known[folder]

    def holds_train(self, folder: str) -> bool:
        return any(kind_of_split(name) == "train" for name in self.inner[folder])

    def _split(self, folder: str, inner: dict[str, set[int]]) -> bool:
        kinds = {kind_of_split(name) for name in inner} - {None}
        others = [depths for name, depths in inner.items() if kind_of_split(name) is None]
        if not kinds or (len(kinds) > 1 and not others):
            return bool(kinds)
        if all(self.split(f"{folder}/{name}".lstrip("/")) for name in inner):
            return False  # the splits lie below, and these are classes
        if kinds != {"train"} or not others:
            return True
        own = {depth for name, depths in inner.items() if kind_of_split(name) for depth in depths}
        return not any(own & depths for depths in others)


def kind_of_split(folder: str) -> str | None:
    """ "train", "val" or "test" for the name of a folder that can be a split."""
    match = SPLIT_FOLDER.fullmatch(folder.lower())
    return SPLITS[match[1]] if match else None


def split_remark(names: list[str]) -> str | None:
    """What is worth a sentence on how folders called train, val or test are understood, where it could be otherwise."""
    pictures = [name for name in names if PurePosixPath(name).suffix.lower() in SUFFIXES]
    folders = _Folders(pictures)
    splits = sorted({found[0] for name in pictures if (found := _split_of(name, folders))})
    called = {kind_of_split(part) for name in pictures for part in name.split("/")[:-1][:MAX_LEVELS]}
    held = [split for split in splits if split != "train"]
    if "train" in splits and "train" not in called:
        what = " and ".join(f"{split}/" for split in held)
        return (
            f"{what} hold{'s' * (len(held) == 1)} pictures back, and all next to {'it' if len(held) == 1 else 'them'} are for "
            'training. If it is a class of that name, take all with data.split = "all".'
        )
    named = sorted(split for split in called if split is not None)
    if not splits and named:
        what = " and ".join(f"{split}/" for split in named)
        return f"{what} is taken for a class of that name, since other folders with pictures lie next to it."
    return None


def has_sided_splits(names: list[str]) -> bool:
    """Whether folders are called trainA/ and so on, as the two sets of unpaired data are."""
    folders = {part.lower() for name in names for part in name.split("/")[:-1][:MAX_LEVELS]}
    return any((match := SPLIT_FOLDER.fullmatch(folder)) and match[2] for folder in folders)


def _split_of(name: str, folders: _Folders) -> tuple[str, str] | None:
    parts = name.split("/")
    for level in range(min(len(parts), MAX_LEVELS)):
        above = "/".join(parts[:level])
        if not folders.split(above):
            continue
        kind = kind_of_split(parts[level]) if level < len(parts) - 1 else None
        if kind is None:
            return None if folders.holds_train(above) else ("train", name)
        match = SPLIT_FOLDER.fullmatch(parts[level].lower())
        letter = match[2] if match else None
        # In A/ a folder trainA/ says nothing new.
        side = [letter.upper()] if letter and (not level or parts[level - 1].lower() != letter) else []
        return kind, "/".join(parts[:level] + side + parts[level + 1 :])
    return None


def stem(path: str) -> str:
    """The path without its file suffix."""
    return str(PurePosixPath(path).with_suffix(""))


def _common_root(names: list[str]) -> str:
    """The folders around all names that say nothing about the side, such as "facades/"; or ""."""
    root = ""
    while names:
        heads = {name[len(root) :].partition("/")[0:2] for name in names}
        head, slash = next(iter(heads))
        if len(heads) > 1 or not slash or head.lower() in SIDES:
            break
        root += head + slash
    return root
