"""Look at every file of a folder or zip file before a training does: what is broken, odd or without a partner."""

import base64
import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ganzoo.data.images import IMAGES
from ganzoo.data.paired import PAIRED
from ganzoo.data.sources.idx import is_idx, read_idx
from ganzoo.data.sources.layouts import Layout
from ganzoo.data.sources.trees import Tree, open_tree, shown
from ganzoo.data.task_shapes import TaskShape, task_shape
from ganzoo.data.unpaired import UNPAIRED
from ganzoo.errors import GanzooError
from ganzoo.media.images import ImageError, fit_image, image_size, png_bytes, read_image

STATUSES = ("ok", "corrupt", "truncated", "empty", "bomb", "unmatched", "duplicate", "tiny", "mode-mixed")
UNUSABLE = ("corrupt", "truncated", "empty", "bomb", "unmatched")  # training skips these and uses the others
TINY = 16  # pixels of the shorter side; with a wanted size, half of it
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
    """What `check` found. `usable` counts the pictures or pairs that training would use, per split in `splits`."""

    path: str
    shape: str
    layout: str
    rows: list[CheckRow]
    counts: dict[str, int]
    splits: dict[str, int]
    usable: int
    other_files: int
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
        shape: "images", "paired", "unpaired" or "captions"; found out from the files by default.
        size: the size that training will use; pictures with a side below half of it are called tiny.

    Raises:
        GanzooError: if there is no such folder or zip file, or the shape is unknown. No file inside can raise.
    """
    place = Path(path).expanduser()
    if not place.exists():
        raise GanzooError(f"There is no folder or zip file {path}.")
    wanted = task_shape(shape) if shape else None
    tree = open_tree(place)
    if is_idx(name.rpartition("/")[2] for name in tree.names):
        return _check_idx(tree)
    if wanted is None and _two_domains(tree.names):
        wanted = UNPAIRED
    layout = (wanted or PAIRED).layout(tree.names)
    broken = ""
    if wanted and wanted.describe:
        try:
            wanted.describe(tree, layout)
        except GanzooError as error:
            broken = str(error)
    names = [name for item in layout.items for name in item.files]
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        seen = dict(zip(names, pool.map(lambda name: _look(tree, name, size), names), strict=True))
    if wanted is None and layout.kind == "side-by-side" and not _mostly_halves(seen):
        wanted, layout = IMAGES, IMAGES.layout(tree.names)
    wanted = wanted or PAIRED
    _mark_pairs(layout, seen, wanted)
    _mark_duplicates(layout, seen)
    _mark_modes(layout, seen)
    result = _result(tree, wanted, layout, seen)
    result.advice += [broken] if broken else []
    return result


def _two_domains(names: list[str]) -> bool:
    """Whether the folders say two sets, and no picture of A/ has a partner in B/."""
    sides = {item.split[-1] for item in UNPAIRED.layout(names).items}
    pairs = PAIRED.layout(names)
    return sides == {"A", "B"} and (pairs.kind == "side-by-side" or not pairs.items)


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
    pixels = hashlib.sha256(repr(picture.shape).encode() + picture.tobytes()).hexdigest()
    gray = "gray" if picture.shape[2] == 1 else "colour"
    return _Seen(row, pixels, f"transparent {gray}" if "A" in row.mode else gray)


def _mostly_halves(seen: dict[str, _Seen]) -> bool:
    sizes = [(s.row.width, s.row.height) for s in seen.values() if s.pixels]
    halves = sum(width % 2 == 0 and width >= 2 * height for width, height in sizes)
    return bool(sizes) and halves * 2 > len(sizes)


def _mark_pairs(layout: Layout, seen: dict[str, _Seen], shape: TaskShape) -> None:
    """Files whose partner is broken, and pairs that are none by their sizes, are unmatched."""
    for item in layout.items:
        group = [seen[name] for name in item.files]
        if all(s.pixels for s in group):
            # The shape's own rule, on empty pictures of the right size: one byte each, seen through a stride of zero.
            sizes = [(s.row.height, s.row.width, 1) for s in group]
            blanks = tuple(np.broadcast_to(np.uint8(0), size) for size in sizes)
            try:
                shape.parts(blanks, tuple(s.row.file for s in group), "crop")
            except GanzooError as error:
                for s in group:
                    s.row.status, s.row.detail = "unmatched", str(error)
        else:
            for s in group:
                if s.pixels:
                    s.row.status, s.row.detail = "unmatched", "its partner cannot be read"


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


def _result(tree: Tree, shape: TaskShape, layout: Layout, seen: dict[str, _Seen]) -> CheckResult:
    rows, splits = [], dict.fromkeys(layout.splits, 0)
    for item in layout.items:
        group = [seen[name].row for name in item.files]
        splits[item.split] += all(row.status not in UNUSABLE for row in group)
        for row in group:
            row.split = item.split
            rows.append(row)
    rows += [CheckRow(shown(name), status, reason) for name, status, reason in layout.problems]
    named = dict(zip(_names(layout), rows, strict=True))
    _add_thumbnails(tree, named)
    counts = Counter(row.status for row in rows)
    result = CheckResult(
        path=tree.label,
        shape=shape.name,
        layout=layout.kind,
        rows=rows,
        counts={status: counts[status] for status in STATUSES if counts[status]},
        splits=splits,
        usable=sum(splits.values()),
        other_files=len(tree.names) - len(rows),
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
    rows, usable = [], {}
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
