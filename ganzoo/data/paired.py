"""Task shape "paired": {"input": (B, H, W, Ci), "target": (B, H, W, C)}, the same scene twice.

A is the input and B the target, unless `direction = "b2a"`. Three layouts of files, looked for in this order:

    folders       `A/x.png` with `B/x.png` (any suffix; `train/A/x.png` and `A/train/x.png` mean the same)
    suffixes      `x_A.png` with `x_B.png`
    side by side  one file holds both, A left and B right, in two equal halves: the width is even and at least twice the
                  height. Halves that are taller than wide have the size of an ordinary photo; they are taken for pairs
                  where in most files the lines of one half lie where those of the other do.
"""

import functools
import re
from collections.abc import Callable

import numpy as np

from ganzoo.data.sources.layouts import Item, Layout, place, stem
from ganzoo.data.sources.trees import same
from ganzoo.data.task_shapes import Parts, TaskShape, pipeline
from ganzoo.errors import GanzooError
from ganzoo.media.images import ImageError, fit_image, to_channels

SUFFIX = re.compile(r"^(.+)_([AaBb])$")
ASPECT_TOLERANCE = 0.02  # two pictures of a pair may differ in size, not in shape
LOOKED_AT = 24  # files that say whether narrow halves are pairs
LINES = 32  # pixels a side at which their lines are compared
# Correlation of lines: halves of drawings and photos with their partners have 0.45 to 0.6, of single pictures -0.3 to 0.06.
ALIKE = 0.2
TFDS_PAIRS = (("input", "target"), ("image_a", "image_b"), ("a", "b"), ("image", "target"))


def paired_layout(names: list[str]) -> Layout:
    """The pairs among the names; a side-by-side layout is only supposed here, the pictures' sizes decide."""
    placed, problems = place(names)
    for kind, side_of in (("folders", by_folder), ("suffixes", by_suffix)):
        sides = {name: side_of(rest) for name, (_, rest) in placed.items()}
        if {side for side, _ in filter(None, sides.values())} == {"a", "b"}:
            return _match(kind, placed, sides, problems)
    return Layout("side-by-side", [Item(name, (name,), split) for name, (split, _) in placed.items()], problems)


def by_folder(path: str) -> tuple[str, str] | None:
    """("a" or "b", what the partner has in common) of `A/x.png`."""
    side, slash, rest = path.partition("/")
    return (side.lower(), stem(rest)) if slash and side.lower() in ("a", "b") else None


def by_suffix(path: str) -> tuple[str, str] | None:
    """("a" or "b", what the partner has in common) of `x_A.png`."""
    match = SUFFIX.match(stem(path))
    return (match[2].lower(), match[1]) if match else None


def pair_parts(pictures: Parts, files: tuple[str, ...], fit: str, narrow: bool = False) -> Parts:
    """(A, B) from one side-by-side picture or from two; raises `ImageError` (kind unmatched) if they are not a pair.

    `narrow`: halves may be taller than wide (`pair_parts_of`)."""
    return halves(pictures[0], files[0], narrow) if len(pictures) == 1 else _one_frame(pictures, files, fit)


def pair_parts_of(layout: Layout, read: Callable[[str], np.ndarray]) -> Callable[[Parts, tuple[str, ...], str], Parts]:
    """`pair_parts` for the files of this layout, some of which `read` gives: narrow halves are pairs if they look so."""
    found = []
    if layout.kind == "side-by-side":
        for item in layout.items[:: -(-len(layout.items) // LOOKED_AT) or 1]:
            try:
                picture = read(item.files[0])
            except GanzooError:
                continue
            if picture.shape[1] % 2 == 0 and picture.shape[1] < 2 * picture.shape[0]:
                found.append(_alike(picture))
    return functools.partial(pair_parts, narrow=bool(found) and float(np.median(found)) > ALIKE)


def halves(picture: np.ndarray, name: str, narrow: bool = False) -> Parts:
    """A side-by-side picture as (left, right)."""
    height, width, _ = picture.shape
    if width % 2 or (width < 2 * height and not narrow):
        raise ImageError(f"{name} is {width} x {height}: no two pictures side by side.", "unmatched")
    return picture[:, : width // 2], picture[:, width // 2 :]


def _alike(picture: np.ndarray) -> float:
    """Correlation (-1..1) of where the left and the right half have their lines, apart from what rows and columns have in
    common: in a landscape the sky is smooth on both sides."""
    lines = []
    for half in (picture[:, : picture.shape[1] // 2], picture[:, picture.shape[1] // 2 :]):
        gray = fit_image(to_channels(half, 1), LINES, "stretch")[..., 0].astype(float)
        edges = np.hypot(*np.gradient(gray))
        edges -= edges.mean(0)
        lines.append((edges - edges.mean(1, keepdims=True)).ravel())
    scale = np.linalg.norm(lines[0]) * np.linalg.norm(lines[1])
    return float(lines[0] @ lines[1] / scale) if scale > 1e-9 else 0.0


def _one_frame(pictures: Parts, files: tuple[str, ...], fit: str) -> Parts:
    """The two pictures if they have one aspect ratio; otherwise a crop or a border would move them apart."""
    (ha, wa, _), (hb, wb, _) = (p.shape for p in pictures)
    if fit != "stretch" and abs(wa * hb - wb * ha) > max(ASPECT_TOLERANCE * wa * hb, min(ha, hb), min(wa, wb)):
        raise ImageError(
            f'{files[0]} is {wa} x {ha}, {files[1]} is {wb} x {hb}: not one frame (fit = "stretch" takes them).',
            "unmatched",
        )
    return pictures


def _match(kind: str, placed: dict, sides: dict, problems: list) -> Layout:
    found: dict[tuple[str, str], dict[str, str]] = {}
    for name, (split, _) in placed.items():
        if sides[name] is None:
            problems.append((name, "unmatched", "belongs to neither A nor B"))
            continue
        side, key = sides[name]
        pair = found.setdefault((split, same(key)), {})
        if side in pair:
            problems.append((name, "duplicate", f"has the same name as {pair[side]}"))
        else:
            pair[side] = name
    items = []
    for (split, key), pair in _joined(found).items():
        if len(pair) == 2:
            items.append(Item(key, (pair["a"], pair["b"]), split))
        else:
            missing = "B" if "a" in pair else "A"
            problems.append((*pair.values(), "unmatched", f"has no partner in {missing}"))
    return Layout(kind, sorted(items, key=lambda i: (i.split, i.id)), problems)


def _joined(found: dict[tuple[str, str], dict[str, str]]) -> dict[tuple[str, str], dict[str, str]]:
    """The same, where two names that differ in the case of letters alone are a pair too, if no third one does."""
    alone: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for (split, key), pair in found.items():
        if len(pair) == 1:
            alone.setdefault((split, key.casefold()), []).append((split, key))
    joined = dict(found)
    for keys in alone.values():
        if len(keys) == 2 and set(found[keys[0]]) != set(found[keys[1]]):
            joined[keys[0]] = found[keys[0]] | joined.pop(keys[1])
    return joined


def _tfds_keys(features: list[str]) -> tuple[str, ...] | None:
    named = next((pair for pair in TFDS_PAIRS if set(pair) <= set(features)), None)
    return named or (tuple(features) if len(features) == 2 else None)


def _channels(config) -> tuple[int, int]:
    return config.input_channels, config.channels


def _arrange(parts: Parts, config) -> Parts:
    return parts[::-1] if config.direction == "b2a" else parts


PAIRED = pipeline(
    TaskShape(
        name="paired",
        columns=("input", "target"),
        what="pairs",
        layouts=(
            "two folders A/ and B/ with equal file names, files named name_A and name_B, or both pictures side by side in "
            "one file (width even and at least twice the height, or halves with their lines in the same places)"
        ),
        channels=_channels,
        layout=paired_layout,
        parts=pair_parts,
        parts_of=pair_parts_of,
        arrange=_arrange,
        tfds_keys=_tfds_keys,
    )
)
