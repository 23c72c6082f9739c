"""Look at every file of a folder or zip file before a training does: what is broken, odd or without a partner."""

import base64
import contextlib
import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import numpy as np

from ganzoo.data.attributes import ATTRIBUTES, attributes_of
from ganzoo.data.captions import CAPTIONS, Texts, has_text_files
from ganzoo.data.images import IMAGES
from ganzoo.data.masks import MASKS
from ganzoo.data.metadata import metadata_of, rows_of_metadata
from ganzoo.data.paired import PAIRED, pair_parts_of
from ganzoo.data.source import tally
from ganzoo.data.sources.held_back import TENTH, remark
from ganzoo.data.sources.idx import is_idx, read_idx
from ganzoo.data.sources.layouts import Item, Layout, has_sided_splits, hold_back, split_remark
from ganzoo.data.sources.trees import Tree, open_tree, shown
from ganzoo.data.task_shapes import TaskShape, task_shape
from ganzoo.data.unpaired import UNPAIRED
from ganzoo.errors import GanzooError
from ganzoo.files import given_path, kind_of
from ganzoo.media.images import ImageError, fit_image, image_size, png_bytes, read_image

STATUSES = ("ok", "corrupt", "truncated", "empty", "bomb", "unmatched", "duplicate", "tiny", "mode-mixed")
UNUSABLE = ("corrupt", "truncated", "empty", "bomb", "unmatched")  # training skips these and uses the others
TINY = 16  # pixels of the shorter side; with a wanted size, half of it
CALLED_TEXT = {"text", "texts", "caption", "captions", "description", "descriptions", "sentence", "sentences"}
THUMBNAIL, MAX_THUMBNAILS, MAX_GOOD_THUMBNAILS = 64, 300, 60


@dataclass
class CheckRow:
    """One file: `status` is one of STATUSES, `detail` a phrase; `thumbnail` a PNG data URI or None."""

    file: str
    status: str = "ok"
    detail: str = ""
    width: int | None = None
    height: int | None = None
    mode: str = ""
    split: str = ""
    thumbnail: str | None = None


@dataclass
class CheckResult:
    """What `check` found. `usable` counts the pictures or pairs that training would use, per split in `splits`.

    `left_out`: the files that it would not, by reason. `other_files` are not pictures, `other_kinds` says which; next to them
    are `hidden_files`. `sentences` of the usable pictures; `attributes`: how many of them have each value of each attribute.
    """

    path: str
    shape: str
    layout: str
    rows: list[CheckRow]
    counts: dict[str, int]
    splits: dict[str, int]
    usable: int
    other_files: int
    left_out: str = ""
    other_kinds: dict[str, int] = field(default_factory=dict)
    hidden_files: int = 0
    sentences: int = 0
    attributes: dict[str, dict[str, int]] = field(default_factory=dict)
    advice: list[str] = field(default_factory=list)

    @property
    def problems(self) -> list[CheckRow]:
        """The rows that are not ok."""
        return [row for row in self.rows if row.status != "ok"]

    def to_dict(self) -> dict:
        """JSON-able, without the thumbnails."""
        rows = [{k: v for k, v in vars(row).items() if k != "thumbnail"} for row in self.rows]
        return vars(self) | {"rows": rows}


@dataclass
class _Seen:
    """What one file is, once read: its row, a hash of its pixels, gray / colour / transparent."""

    row: CheckRow
    pixels: str = ""
    kind: str = ""


def check(path: str | os.PathLike, *, shape: str | None = None, size: int | None = None) -> CheckResult:
    """Read every picture file below `path` (a folder or zip file) and say what is wrong with which.

    Args:
        path: folder or zip file.
        shape: "images", "paired", "unpaired", "captions", "attributes", "masks" or "ages"; found out from the files by default.
        size: the size that training will use; pictures with a side below half of it are called tiny.

    Raises:
        GanzooError: if there is no such folder or zip file, or the shape is unknown. No file inside can raise.
    """
    place = given_path(path)
    if not kind_of(place):
        raise GanzooError(f"There is no folder or zip file {shown(path)}.")
    wanted = task_shape(shape) if shape else None
    tree = open_tree(place)
    if is_idx(name.rpartition("/")[2] for name in tree.names):
        return _check_idx(tree)
    wanted = wanted or _told_by_names(tree)
    layout = (wanted or PAIRED).layout(tree.names)
    described, broken = {}, ""
    tell = wanted and (wanted.describe or wanted.attribute or wanted.label)
    if tell:
        try:
            described = tell(tree, layout)
        except GanzooError as error:
            broken = str(error)
    names = [name for item in layout.items for name in item.files]
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        seen = dict(zip(names, pool.map(lambda name: _look(tree, name, size), names), strict=True))
    parts = (wanted or PAIRED).parts
    if layout.kind == "side-by-side":
        parts = pair_parts_of(layout, lambda name: read_image(tree.read(name), name=shown(name)))
        if wanted is None and not _mostly_halves(seen, parts):
            wanted, layout = IMAGES, IMAGES.layout(tree.names)
            parts = wanted.parts
    wanted = wanted or PAIRED
    held, total = hold_back(layout, TENTH) or (0, 0)  # as a new run does
    _mark_pairs(layout, seen, parts)
    _mark_duplicates(layout, seen)
    _mark_modes(layout, seen)
    if broken:  # training refuses all of it
        layout.problems += [(name, "corrupt", broken) for name in metadata_of(tree.names)[:1]]
    result = _result(tree, wanted, layout, seen, usable=not broken)
    usable = [described[item.files[0]] for item in layout.items if described and _good(item, seen)]
    try:
        if wanted is ATTRIBUTES and usable:
            result.attributes = attributes_of(usable, result.path).counts()
        elif wanted is CAPTIONS:
            result.sentences = sum(len(one.texts) for one in usable)
            if len(usable) > 1:
                Texts(usable, result.path)
    except GanzooError as error:
        broken = str(error)
    kept_back = remark(held, total, result.path) if held else ""
    result.advice += [text for text in (split_remark(tree.names), kept_back, broken) if text]
    return result


def _told_by_names(tree: Tree) -> TaskShape | None:
    """The shape that the names of all files say, and the columns of metadata; None where only the pictures' sizes can tell
    pairs from single ones."""
    names = tree.names
    if _two_domains(names):
        return UNPAIRED
    masked = MASKS.layout(names)
    if masked.kind == "masks" and masked.items:
        return MASKS
    if PAIRED.layout(names).kind != "side-by-side":
        return None
    if listed := metadata_of(names):
        with contextlib.suppress(GanzooError):  # which is said where all of it is read
            columns = {name.lower() for row in rows_of_metadata(tree, listed[0]) for name in map(str, row)}
            if not columns & CALLED_TEXT:
                return ATTRIBUTES
        return CAPTIONS
    return CAPTIONS if has_text_files(names) else None


def _two_domains(names: list[str]) -> bool:
    """Whether the folders say two sets: they are called trainA/ and so on, or no picture of A/ has a partner in B/."""
    sides = {item.split[-1] for item in UNPAIRED.layout(names).items}
    pairs = PAIRED.layout(names)
    return sides == {"A", "B"} and (has_sided_splits(names) or pairs.kind == "side-by-side" or not pairs.items)


def _look(tree: Tree, name: str, size: int | None) -> _Seen:
    row = CheckRow(shown(name))
    try:
        data = tree.read(name)
        header = image_size(data)
        if header:
            row.width, row.height, row.mode = header
        picture = read_image(data, name=row.file)
    except ImageError as error:
        row.status = error.kind if error.kind in STATUSES else "corrupt"
        row.detail = str(error)
        return _Seen(row)
    row.height, row.width = picture.shape[:2]  # upright, after the EXIF rotation
    shortest, limit = min(picture.shape[:2]), max(TINY, (size or 0) / 2)
    if shortest < limit:
        row.status, row.detail = "tiny", f"the shorter side has {shortest} pixels, fewer than {limit:g}"
    pixels = hashlib.sha256(repr(picture.shape).encode())
    pixels.update(picture.tobytes())
    gray = "gray" if picture.shape[2] == 1 else "colour"
    return _Seen(row, pixels.hexdigest(), f"transparent {gray}" if "A" in row.mode else gray)


def _mostly_halves(seen: dict[str, _Seen], parts: Callable) -> bool:
    found = [not _no_pair([s], parts) for s in seen.values() if s.pixels]
    return bool(found) and sum(found) * 2 > len(found)


def _no_pair(group: list[_Seen], parts: Callable) -> str:
    """Why files of these sizes make no item, or ""."""
    # The shape's own rule, on empty pictures of the right size: one byte each, seen through a stride of zero.
    blanks = tuple(np.broadcast_to(np.uint8(0), (s.row.height or 0, s.row.width or 0, 1)) for s in group)
    try:
        parts(blanks, tuple(s.row.file for s in group), "crop")
    except GanzooError as error:
        return str(error)
    return ""


def _good(item: Item, seen: dict[str, _Seen]) -> bool:
    return all(seen[name].row.status not in UNUSABLE for name in item.files)


def _mark_pairs(layout: Layout, seen: dict[str, _Seen], parts: Callable) -> None:
    """Files whose partner is broken, and pairs that are none by their sizes, are unmatched."""
    for item in layout.items:
        group = [seen[name] for name in item.files]
        whole = all(s.pixels for s in group)
        why = _no_pair(group, parts) if whole else "its partner cannot be read"
        for s in group if why else ():
            if s.pixels:
                s.row.status, s.row.detail = "unmatched", why


def _mark_duplicates(layout: Layout, seen: dict[str, _Seen]) -> None:
    """Items whose pixels (of both pictures, for a pair) were there before, in this split or another."""
    first: dict[tuple[str, ...], str] = {}
    for item in layout.items:
        group = [seen[name] for name in item.files]
        if any(s.row.status in UNUSABLE for s in group):
            continue
        earlier = first.setdefault(tuple(s.pixels for s in group), group[0].row.file)
        if earlier != group[0].row.file:
            for s in group:
                s.row.status = "duplicate"
                s.row.detail = f"same pixels as {earlier}" if len(group) == 1 else f"same pair as that of {earlier}"


def _mark_modes(layout: Layout, seen: dict[str, _Seen]) -> None:
    """Among the first (and the second) pictures of all items, those of a rarer kind: gray, colour, transparent.

    Each domain of unpaired data is a column of its own."""
    columns: dict[tuple, list[_Seen]] = {}
    for item in layout.items:
        domain = item.split[-1] if layout.kind == UNPAIRED.name else ""
        for part, file in enumerate(item.files):
            columns.setdefault((domain, part), []).append(seen[file])
    for column in columns.values():
        usual = Counter(s.kind for s in column if s.kind).most_common(1)
        for s in column:
            if s.row.status == "ok" and s.kind != usual[0][0]:
                s.row.status, s.row.detail = "mode-mixed", f"{s.kind} ({s.row.mode}), most are {usual[0][0]}"


def _result(tree: Tree, shape: TaskShape, layout: Layout, seen: dict[str, _Seen], usable: bool = True) -> CheckResult:
    rows, splits = [], dict.fromkeys(layout.splits, 0)
    for item in layout.items:
        group = [seen[name].row for name in item.files]
        splits[item.split] += usable and _good(item, seen)
        for row in group:
            row.split = item.split
            rows.append(row)
    rows += [CheckRow(shown(name), status, reason) for name, status, reason in layout.problems]
    known = set(tree.names)  # a metadata file may name any file of this computer
    named = {name: row for name, row in zip(_names(layout), rows, strict=True) if name in known}
    _add_thumbnails(tree, named)
    others = [name for name in tree.names if name not in named]
    lost = [(row.file, row.detail) for row in rows if row.status in UNUSABLE]
    lost += [(shown(name), reason) for name, status, reason in layout.problems if status not in UNUSABLE]
    counts = Counter(row.status for row in rows)
    result = CheckResult(
        path=tree.label,
        shape=shape.name,
        layout=layout.kind,
        rows=rows,
        counts={status: counts[status] for status in STATUSES if counts[status]},
        splits=splits,
        usable=sum(splits.values()),
        other_files=len(others),
        left_out=tally(lost) if lost else "",
        other_kinds=dict(
            Counter(PurePosixPath(shown(name)).suffix.lower() or "no suffix" for name in others).most_common(5)
        ),
        hidden_files=len(tree.hidden),
    )
    return _advised(result, shape)


def _names(layout: Layout) -> Iterator[str]:
    """Real file names in the order of the rows."""
    yield from (name for item in layout.items for name in item.files)
    yield from (name for name, _, _ in layout.problems)


def _add_thumbnails(tree: Tree, named: dict[str, CheckRow]) -> None:
    """Thumbnails of the readable problem rows first, then of some good ones."""
    bad = [name for name, row in named.items() if row.status != "ok"][:MAX_THUMBNAILS]
    good = [name for name, row in named.items() if row.status == "ok"][:MAX_GOOD_THUMBNAILS]
    for name in (bad + good)[:MAX_THUMBNAILS]:
        try:
            picture = fit_image(read_image(tree.read(name)), THUMBNAIL, "pad")
        except GanzooError:  # a file that cannot be read has no thumbnail; its row says why
            continue
        named[name].thumbnail = "data:image/png;base64," + base64.b64encode(png_bytes(picture)).decode()


def _advised(result: CheckResult, shape: TaskShape) -> CheckResult:
    """Add sentences that say what to do."""
    if shape is UNPAIRED:
        for domain in "AB":
            usable = result.splits.get(f"train{domain}", 0)
            if usable < 2:
                result.advice.append(
                    f"{usable} usable pictures of domain {domain} to train on: training needs at least 2 of each domain. "
                    f"Accepted: {shape.layouts}."
                )
    elif result.usable < 2:
        result.advice.append(
            f"{result.usable} usable {shape.what}: training needs at least 2. Accepted: {shape.layouts}."
        )
    for status, text in (
        (
            "duplicate",
            "Duplicates weigh more in training, and in two splits they make test scores too good: remove them.",
        ),
        ("mode-mixed", "Modes are mixed: set data.channels to 1 for gray or 3 for colour; all pictures are converted."),
        ("tiny", "Tiny pictures are enlarged and look soft: leave them out or train at a smaller size."),
    ):
        if result.counts.get(status):
            result.advice.append(text)
    return result


def _check_idx(tree: Tree) -> CheckResult:
    rows = []
    usable: dict[str, int] = {}
    for name in tree.names:
        base = name.rpartition("/")[2]
        if "-ubyte" not in base:
            continue
        row = CheckRow(shown(name), split="train" if base.startswith("train") else "test")
        try:
            array = read_idx(tree.read(name), row.file)
            row.detail = f"{len(array)} pictures" if array.ndim == 3 else f"{len(array)} labels"
            if array.ndim == 3:
                row.height, row.width, row.mode = *array.shape[1:], "L"
                usable[row.split] = usable.get(row.split, 0) + len(array)
        except GanzooError as error:
            row.status, row.detail = getattr(error, "kind", "corrupt"), str(error)
        rows.append(row)
    counts = dict(Counter(row.status for row in rows))
    other = len(tree.names) - len(rows)
    return _advised(CheckResult(tree.label, "images", "idx", rows, counts, usable, sum(usable.values()), other), IMAGES)
