"""A metric's name is its whole protocol, and two numbers are compared only under one. No NumPy, no TensorFlow.

    fid5k_efficientnet-lite0_lanczos_test     metric and number of samples, extractor, resize, split of the reference
    l1_n800_test, parzen10k_n1000_test        metric, number of test items, split: no extractor
    fooled_train                              metric, split: counted while training

A *stem* is what a user asks for and leaves out what a preset knows: `fid`, `fid_efficientnet-lite0`, `l1`.
"""

import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ganzoo import files
from ganzoo.errors import GanzooError, nearest

# Metrics on features of an extractor, and the better side; "" where a number alone is neither good nor bad.
FEATURE_METRICS = {
    "fid": "lower",
    "kid": "lower",
    "is": "higher",
    "precision": "higher",
    "recall": "higher",
    "density": "higher",
    "coverage": "higher",
    "diversity": "",
    "near-copies": "",
    "ppl": "lower",
    "feature-distance": "lower",
    "feature-distance-copy": "",
}
# Metrics without an extractor. MS-SSIM's name carries its number of scales, Parzen's the number of its samples.
OTHER_METRICS = {
    "l1": "lower",
    "l1-copy": "",
    "psnr": "higher",
    "ssim": "higher",
    "ms-ssim": "higher",
    "parzen": "higher",
    "linear-d-features": "higher",
    "hole-l1": "lower",
    "hole-l1-mean": "",
    "hole-l1-biharmonic": "",
    "hole-l2": "lower",
    "hole-l2-mean": "",
    "hole-l2-biharmonic": "",
    "hole-psnr": "higher",
    "hole-psnr-mean": "",
    "hole-psnr-biharmonic": "",
    "same-person-identity": "higher",
    "same-person-pixels": "higher",
    "same-person-z0": "higher",
    "same-person-other": "",
    "asked-age": "higher",
    "voxel-iou": "higher",
    "voxel-coverage": "higher",
    "voxel-1nn": "",
    "text-hair-colour": "higher",
    "text-hair-style": "higher",
    "text-glasses": "higher",
    "text-mouth": "higher",
    "asked-class": "higher",
    "fid-in-class": "lower",
    "asked-hair-colour": "higher",
    "asked-hair-style": "higher",
    "asked-glasses": "higher",
    "asked-mouth": "higher",
    "digit-kept": "higher",
    "digit-kept-copy": "",
    "digit-by-f": "higher",
    "hair-kept": "higher",
    "skin-kept": "higher",
    "fooled": "",
}
SHAPE = (
    'a metric with its sample count, extractor, resize and split ("fid5k_efficientnet-lite0_lanczos_test"), or a metric, '
    'its item count and split ("l1_n800_test")'
)


@dataclass(frozen=True)
class Protocol:
    """How a number was measured; `str` gives its name and `parse` reads it back.

    Attributes:
        metric: "fid", "l1", "parzen10k", ...
        n: generated samples of a feature metric, test items of another; None where nothing is counted.
        extractor, resize: of a feature metric, else None.
        split: of the reference data.
    """

    metric: str
    n: int | None
    extractor: str | None
    resize: str | None
    split: str

    def __str__(self) -> str:
        if self.extractor is not None and self.n is not None:
            return f"{self.metric}{count_name(self.n)}_{self.extractor}_{self.resize}_{self.split}"
        return f"{self.metric}_{self.split}" if self.n is None else f"{self.metric}_n{self.n}_{self.split}"

    @property
    def better(self) -> str:
        """ "lower", "higher", or "" where no side is better or the metric is not ours."""
        known = FEATURE_METRICS | OTHER_METRICS
        return known.get(self.metric, known.get(re.sub(r"[1-9]\d{0,11}k?$", "", self.metric), ""))

    @property
    def stem(self) -> str:
        """The name without counts and split: `fid_efficientnet-lite0_lanczos`, `l1`."""
        return f"{self.metric}_{self.extractor}_{self.resize}" if self.extractor else self.metric


def count_name(n: int) -> str:
    """5000 as "5k", 145 as "145"."""
    return f"{n // 1000}k" if n % 1000 == 0 else str(n)


def parse(text: str) -> Protocol:
    """The protocol of a full name.

    Raises:
        GanzooError: the name has not one of the shapes above.
    """
    head, *rest = str(text).split("_")
    counted = re.fullmatch(r"([a-z]+(?:-[a-z]+)*)([1-9]\d{0,11})(k?)", head)
    if len(rest) >= 2 and re.fullmatch(r"n[1-9]\d{0,11}", rest[0]):
        protocol = Protocol(head, int(rest[0][1:]), None, None, "_".join(rest[1:]))
    elif len(rest) >= 3 and counted and counted[1] in FEATURE_METRICS:
        n = int(counted[2]) * (1000 if counted[3] else 1)
        protocol = Protocol(counted[1], n, rest[0], rest[1], "_".join(rest[2:]))
    elif len(rest) == 1 and head not in FEATURE_METRICS:
        protocol = Protocol(head, None, None, None, rest[0])
    else:
        raise GanzooError(f'"{text}" is not a protocol name: it has the form of {SHAPE}.')
    if not all((protocol.metric, protocol.split, protocol.extractor != "", protocol.resize != "")):
        raise GanzooError(f'"{text}" is not a protocol name: a part of it is empty.')
    return protocol


def parse_stem(text: str) -> Protocol:
    """What a user asks for: a stem or a full name. What it leaves open is None, its split "".

    `fid`, `fid5k`, `fid_efficientnet-lite0`, `fid5k_efficientnet-lite0_lanczos_test`, `l1`, `l1_n800_test`, `parzen10k`.

    Raises:
        GanzooError: no such metric, with the nearest.
    """
    head, *rest = str(text).strip().split("_")
    counted = re.fullmatch(r"(.*?[a-z])(?:([1-9]\d{0,11})(k?))?", head)
    name = head if head in OTHER_METRICS or not counted else counted[1]
    if name in FEATURE_METRICS and counted is not None:
        n = int(counted[2]) * (1000 if counted[3] else 1) if counted[2] else None
        extractor, resize = (*rest, None, None)[:2]
        if extractor == "" or resize == "":
            raise GanzooError(f'"{text}" names no metric: a part of it is empty.')
        return Protocol(name, n, extractor, resize, "_".join(rest[2:]))
    if name not in OTHER_METRICS:
        raise GanzooError(f'There is no metric "{head}".{nearest(name, [*FEATURE_METRICS, *OTHER_METRICS])}')
    if rest and not re.fullmatch(r"n[1-9]\d{0,11}", rest[0]):
        raise GanzooError(f'"{text}" names no metric: {name} takes no extractor. It is written "{head}".')
    return Protocol(head, int(rest[0][1:]) if rest else None, None, None, "_".join(rest[1:]))


# ---- comparison ------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Comparison:
    """`better`: "first", "second" or "" (equal, within the error, or a metric without a better side)."""

    metric: str
    first: float
    second: float
    better: str
    within_error: bool
    sentence: str


SAME = {
    "n_reference": "size of the reference",
    "data_sha256": "reference data",
    "extractor_sha256": "extractor's weights",
}


def compare(first: Mapping, second: Mapping) -> Comparison:
    """Which of two records of `evaluate` is better.

    A difference below the square root of both squared `std` (KID's over its subsets) is called within the error.

    Raises:
        GanzooError: the records were not measured alike; the sentence names every difference.
    """
    one, other = parse(first["metric"]), parse(second["metric"])
    differences = [f"{part} {_or_none(getattr(one, part))} and {_or_none(getattr(other, part))}"
                   for part in ("metric", "n", "extractor", "resize", "split")
                   if getattr(one, part) != getattr(other, part)]  # fmt: skip
    differences += [f"{what} {_short(first.get(key))} and {_short(second.get(key))}"
                    for key, what in SAME.items() if first.get(key) != second.get(key)]  # fmt: skip
    if differences:
        raise GanzooError(
            f"{one} of {_model(first)} and {other} of {_model(second)} cannot be compared; they differ in: "
            f"{'; '.join(differences)}."
        )
    a, b = float(first["value"]), float(second["value"])
    error = sum(float(record.get("std") or 0) ** 2 for record in (first, second)) ** 0.5
    within = bool(error) and abs(a - b) <= error
    better = "" if a == b or within or not one.better else "first" if (a < b) == (one.better == "lower") else "second"
    names = _names(first, second)
    shown = f"{one}: {names[0]} {a:.4g}, {names[1]} {b:.4g}"
    if a == b:
        verdict = "equal"
    elif within:
        verdict = f"no difference: it is within the error of {error:.2g}"
    elif not one.better:
        verdict = "this metric has no better side"
    else:
        verdict = f"{names[better == 'second']} is better ({one.better})"
    pictures = first.get("pictures"), second.get("pictures")
    if all(pictures) and pictures[0] != pictures[1]:
        verdict += f"; each compared with references fitted to its own pictures ({pictures[0]} and {pictures[1]})"
    return Comparison(str(one), a, b, better, within, f"{shown}: {verdict}.")


def compare_all(first: Sequence[Mapping], second: Sequence[Mapping]) -> list[Comparison]:
    """Every metric that both lists hold; of several records of one name the last counts.

    Raises:
        GanzooError: they have no protocol in common (the nearest pair's differences are named), or one of the common
            ones was not measured alike.
    """
    if not first or not second:
        raise GanzooError("Nothing to compare: one of the two contains no record.")
    one, other = ({str(parse(r["metric"])): r for r in records} for records in (first, second))
    common = [name for name in one if name in other]
    if not common:
        kin = [(a, b) for a in one for b in other if parse(a).metric == parse(b).metric]
        pairs = kin or [(next(iter(one)), next(iter(other)))]
        compare(one[pairs[0][0]], other[pairs[0][1]])  # raises: the names differ
    return [compare(one[name], other[name]) for name in common]


def _model(record: Mapping) -> str:
    return str(record.get("model") or "unnamed")


def _names(first: Mapping, second: Mapping) -> tuple[str, str]:
    """What sentences call the two: their models, with the weights where the models are one."""
    if _model(first) != _model(second):
        return _model(first), _model(second)
    weights = first.get("weights"), second.get("weights")
    if weights[0] != weights[1]:
        return f"{_model(first)} ({weights[0]})", f"{_model(second)} ({weights[1]})"
    return f"{_model(first)} (first)", f"{_model(second)} (second)"


def _or_none(value) -> str:
    return "none" if value is None else str(value)


def _short(value) -> str:
    text = _or_none(value)
    return text[:8] if re.fullmatch("[0-9a-f]{64}", text) else text


def _is_number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


# ---- JSON lines ------------------------------------------------------------------------------------------------------
def append(path: str | Path, records: list[dict]) -> None:
    """Appends one JSON line a record, in one write: a reader, or a crash, never sees half of the list's lines mixed
    with another writer's. A torn last line of the file is ended first."""
    path = Path(path)
    text = "".join(json.dumps(r, ensure_ascii=False, allow_nan=False) + "\n" for r in records)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab+", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        if size:
            file.seek(size - 1)
            text = text if file.read(1) == b"\n" else f"\n{text}"
        file.write(text.encode())


def read(path: str | Path) -> list[dict]:
    """The records of a JSON-lines file (or of one JSON list).

    Raises:
        GanzooError: the file cannot be read, or a line is not a record.
    """
    path = files.shown(path)
    text = files.read_text(path, files.MAX_BYTES)
    found = files.parse_json(text, path) if text.lstrip().startswith("[") else files.parse_json_lines(text, path)
    for entry in found:
        if not isinstance(entry, dict) or not _is_number(entry.get("value")) or "metric" not in entry:
            raise GanzooError(f'{path} contains no results of ganzoo evaluate: a record needs "metric" and "value".')
        if not _is_number(entry.get("std") or 0):
            raise GanzooError(f'{path}: the "std" of {entry["metric"]!s:.80} is not a finite number.')
    if not found:
        raise GanzooError(f"{path} contains no record.")
    return found
