"""Points of a latent space by name: "3" is the first sample of seed 3, "0:5" sample 5 of seed 0 (cell 5 of `ganzoo sample
--seed 0`), "0:5-8" four of them, "face.json" what `project` found for a picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ganzoo import files
from ganzoo.errors import GanzooError

MOST = 64  # points in one command: a sheet of more is no longer looked at
FORMAT = "ganzoo projection 1"  # the `format` of a projection's report


@dataclass(frozen=True)
class Point:
    """A sample (`seed`, `cell`), or the `file` of a projection's report. `name` is a short caption."""

    name: str
    seed: int = 0
    cell: int = 0
    file: Path | None = None

    def __str__(self):
        return str(self.file or self.name)


def points(wanted: str | int | Path | Point | Sequence) -> list[Point]:
    """The points that a text ("0:5-8,3,face.json"), a seed, a path, a point, or a sequence of these stands for.

    Raises:
        GanzooError: a word that is neither, or more than 64 points.
    """
    if isinstance(wanted, Point):
        return [wanted]
    if isinstance(wanted, Path):
        return [Point(wanted.stem, file=wanted)]
    if isinstance(wanted, str):
        found = [point for word in wanted.split(",") for point in _word(word.strip())]
    elif isinstance(wanted, int | np.integer) and not isinstance(wanted, bool):
        found = _word(str(wanted))
    elif isinstance(wanted, Sequence | np.ndarray):
        found = [point for item in wanted for point in points(item)]
    else:
        raise GanzooError(
            f"Points are seeds, as 3 or 0:5-8, or files of `ganzoo explore project`; received {wanted!r}."
        )
    if len(found) > MOST:
        raise GanzooError(f"At most {MOST} points fit one picture; received {len(found)}.")
    return found


def cells(seed: int, first: int, count: int) -> list[Point]:
    """Samples `first` ... of one seed."""
    return [Point(f"{seed}:{cell}", seed, cell) for cell in range(first, first + count)]


def _word(word: str) -> list[Point]:
    if word.lower().endswith(".json"):
        return [Point(Path(word).stem, file=Path(word))]
    before, colon, after = word.partition(":")
    seed, span = (before, after) if colon else (None, before)
    start, dash, end = span.partition("-")
    numbers = [text for text in (seed, start, end if dash else None) if text is not None]
    if not all(text.isascii() and text.isdigit() and len(text) < 19 for text in numbers):
        raise GanzooError(
            f'"{word}" is not a point: write a seed as 3, a sample of a seed as 0:5, several as 0:5-8 or 3-6, or the .json '
            "file of a projection."
        )
    first, last = int(start), int(end if dash else start)
    if not 0 <= last - first < MOST or (seed is not None and last >= 2**31):
        raise GanzooError(f'"{word}" must rise and name at most {MOST} points.')
    if seed is None:
        return [Point(str(number), number) for number in range(first, last + 1)]
    return cells(int(seed), first, last - first + 1)


def read_latent(point: Point, model) -> tuple[str, np.ndarray]:
    """(space, latent) of a projection's report, which must be one of `model` with its present weights.

    Raises:
        GanzooError: no such report, or one of another model.
    """
    assert point.file is not None, "a point of a seed is drawn"
    try:
        about = files.read_json(point.file)
        if about["format"] != FORMAT:
            raise ValueError("unknown format")
        space, paper, weights = str(about["space"]), str(about["model"]).partition("/")[0], str(about["weights"])
        with np.errstate(over="ignore"):
            latent = np.array(about["latent"], np.float32)
    except GanzooError:
        raise
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise GanzooError(f"{files.shown(point.file)} is not a report of `ganzoo explore project`.") from error
    if latent.ndim != 1 or not np.all(np.isfinite(latent)):
        raise GanzooError(f"The latent of {point.file} is damaged.")
    # A path may have moved; the digits of the hash after the last colon are what counts.
    if paper != model.paper or weights.rpartition(":")[2] != model.weights_source.rpartition(":")[2]:
        raise GanzooError(
            f"{point.file} is a point of {about['model']} with weights {weights}; this is {model.paper} with weights "
            f"{model.weights_source}."
        )
    return space, latent
