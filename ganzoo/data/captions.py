"""Task shape "captions": {"image": (B, H, W, C), "text": (B,) strings, "wrong": (B, H, W, C)}, pictures with sentences.

    folder    a .txt next to each picture (one sentence a line), or `metadata.jsonl` or `metadata.csv` in the folder or its
              split folders, with `file_name` (relative to that file or to the folder; Windows paths and absolute ones
              inside it will do) and `text` (a string, or a list of them); rows of one picture add up. A `metadata.jsonl` may also bring "embedding": one vector, or one for each sentence
    TFDS      a set with a text feature next to its image: "captions", "caption", "text", ..., or the first one
    bundled   `lorelei_64`: five sentences a picture

Every epoch takes one of a picture's sentences. "wrong" is another picture, none of whose sentences is one of this picture's;
where the pictures have classes (sub-folders, labels of a TFDS set), one of another class.
For models that ask for it, "foil" is the sentence with one word exchanged, so that it describes the picture no more.
"""

import random
import re
import warnings
from collections import defaultdict
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import PurePosixPath

import numpy as np

from ganzoo.data.images import IMAGES
from ganzoo.data.metadata import keys, leave_out, metadata_of, pictures_named
from ganzoo.data.sources.layouts import Layout, stem
from ganzoo.data.sources.trees import Finder, Tree, shown
from ganzoo.data.task_shapes import pipeline
from ganzoo.errors import GanzooError
from ganzoo.files import decode_text, lines
from ganzoo.media.images import SUFFIXES

TRIES = 4096  # other pictures that are tried before a picture counts as one without a wrong partner
WORD = re.compile(r"\w+")
FOILS = 4  # of a sentence, at most
EXPECTED = 3  # pictures at which two words would meet by chance; from here on it says something if they never do


@dataclass(frozen=True)
class Described:
    """The sentences of one picture, and embeddings (k, d) where the data bring them: one, or one for each sentence."""

    texts: tuple[str, ...]
    embeddings: np.ndarray | None = None


def describe(tree: Tree, layout: Layout) -> dict[str, Described]:
    """Sentences by picture file; pictures without any become problems of `layout` and leave its items, and so do rows that
    name no file.

    Raises:
        GanzooError: a metadata file that cannot be read or names no picture.
    """
    finder, listed = Finder(tree), metadata_of(tree.names)
    lost: dict[str, str] = {}
    found = _from_metadata(tree, listed, finder, lost) if listed else _from_text_files(tree, layout, finder)

    def why(name):
        return f"is not in {shown(listed[0])}" if listed else f"has no {PurePosixPath(stem(name)).name}.txt with text"

    leave_out(layout, found, lost, why)
    return found


def has_text_files(names: list[str]) -> bool:
    """Whether most of the pictures have a .txt of the same name next to them."""
    pictures = [name for name in names if PurePosixPath(name).suffix.lower() in SUFFIXES]
    known = {name.casefold() for name in names}
    return sum(f"{stem(name)}.txt".casefold() in known for name in pictures) * 2 > len(pictures)


def _from_text_files(tree: Tree, layout: Layout, finder: Finder) -> dict[str, Described]:
    found: dict[str, Described] = {}
    for item in layout.items:
        file = finder.find("", f"{stem(item.files[0])}.txt")
        if file:
            said = tuple(line.strip() for line in lines(decode_text(tree.read(file), shown(file))) if line.strip())
            found |= {item.files[0]: Described(said)} if said else {}
    return found


def _from_metadata(tree: Tree, files: list[str], finder: Finder, lost: dict[str, str]) -> dict[str, Described]:
    """Sentences by picture; `lost` as of `pictures_named`."""
    texts: dict[str, list[str]] = {}
    vectors: dict[str, list] = {}
    for where, path, row in pictures_named(tree, files, finder, '"file_name" and "text"', lost):
        if "text" not in row:
            raise GanzooError(f'{where} has no "text", which is a string or a list of strings; it has {keys(row)}.')
        said = [row["text"]] if isinstance(row["text"], str) else row["text"]
        if not isinstance(said, list) or not all(isinstance(text, str) for text in said):
            raise GanzooError(f'{where}: "text" is a string or a list of strings; received {said!r:.60}.')
        texts.setdefault(path, []).extend(text.strip() for text in map(shown, said) if text.strip())
        if "embedding" in row:
            vectors.setdefault(path, []).extend(_vectors(row["embedding"], where))
    counts = {name: len(rows) for name, rows in vectors.items()}
    for name, count in counts.items():
        if count not in (1, len(texts[name])):
            raise GanzooError(
                f"{shown(name)} has {count} embeddings and {len(texts[name])} sentences: give one for each."
            )
    widths = {len(vector) for rows in vectors.values() for vector in rows}
    if len(widths) > 1 or (vectors and set(vectors) != set(texts)):
        raise GanzooError(
            f"{shown(files[0])}: every picture needs embeddings of one width; there are {sorted(widths)}."
        )
    arrays = {name: np.array(rows, np.float32) for name, rows in vectors.items()}
    return {name: Described(tuple(said), arrays.get(name)) for name, said in texts.items() if said}


def _vectors(value, where: str) -> list:
    try:
        with np.errstate(over="ignore"):
            array = np.array(value, np.float32)
    except (ValueError, TypeError, OverflowError):
        array = np.zeros(0, np.float32)
    if array.ndim not in (1, 2) or not array.size or not np.isfinite(array).all():
        raise GanzooError(f'{where}: "embedding" is a list of numbers, all finite, or one such list for each sentence.')
    return list(np.atleast_2d(array))


def normalised(text: str) -> str:
    """Small letters and digits, single spaces: what two sentences must share to be the same one."""
    return " ".join(WORD.findall(text.lower()))


def foils_of(described: list[tuple[str, ...]], most: int = FOILS, seed: int = 0) -> dict[str, list[str]]:
    """Up to `most` foils of each sentence: the sentence with one word exchanged, so that it describes its picture no more.

    The term is of Shekhar et al. 2017, arXiv 1705.01359. A word gives way to one that stands between the same neighbours in
    some sentence and is never said of a picture of which the first is said, though by chance the two would meet at
    `EXPECTED` pictures: "a smiling girl" becomes "a sad girl", and never "a cheerful girl".

    Args:
        described: the sentences of each picture.
    """
    between, said_of = defaultdict(set), defaultdict(set)  # neighbours -> words; word -> pictures
    for picture, texts in enumerate(described):
        for text in texts:
            for _, word, neighbours in _places(text):
                between[neighbours].add(word)
                said_of[word].add(picture)
    exclusive = {}

    def excludes(one: str, other: str) -> bool:
        if (one, other) not in exclusive:
            mine, theirs = said_of[one], said_of[other]
            by_chance = len(mine) * len(theirs) / len(described)
            exclusive[one, other] = by_chance >= EXPECTED and mine.isdisjoint(theirs)
        return exclusive[one, other]

    rng, made = random.Random(seed), {}
    for text in dict.fromkeys(text for texts in described for text in texts):
        places = []
        for found, word, neighbours in _places(text):
            others = sorted(other for other in between[neighbours] if excludes(word, other))
            places += [(found, others)] if others else []
        drawn = []
        for found, others in rng.choices(places, k=most) if places else ():
            other = rng.choice(others)
            other = other.capitalize() if found.group()[0].isupper() else other
            drawn.append(text[: found.start()] + other + text[found.end() :])
        made[text] = list(dict.fromkeys(drawn))
    return made


def _places(text: str) -> list[tuple[re.Match, str, tuple[str, str]]]:
    """Each word of a sentence: where it is, the word in small letters, and its neighbours ("" before and after all)."""
    found = list(WORD.finditer(text))
    words = ["", *(word.group().lower() for word in found), ""]
    return [(place, words[at], (words[at - 1], words[at + 1])) for at, place in enumerate(found, start=1)]


class Texts:
    """The sentences of a source's pictures as arrays for the pipeline.

    Attributes:
        strings: UTF-8 bytes (n, k), rows filled up with b"". counts: int64 (n,), sentences of each.
        embeddings: float32 (n, k, d) next to them, or None.
        ids: int64 (n, k + 1), equal for equal normalised sentences, -1 beyond the count; then a number of the picture's class,
            -1 without classes. Pictures that share an id are not wrong partners of each other.
        apart: int64 (n,), for each picture one that shares none with it.
    """

    def __init__(self, described: list[Described], source: str, labels: np.ndarray | None = None):
        width = max(len(one.texts) for one in described)
        self.counts = np.array([len(one.texts) for one in described], np.int64)
        rows = [[text.encode("utf-8", "replace") for text in one.texts] for one in described]
        self.strings = np.array([row + [b""] * (width - len(row)) for row in rows], object)
        numbers: dict[str, int] = {}
        self.ids = np.full((len(described), width + 1), -1, np.int64)
        for place, one in enumerate(described):
            ids = [numbers.setdefault(normalised(text), len(numbers)) for text in one.texts]
            self.ids[place, : len(ids)] = ids
        if labels is not None and len(set(labels)) > 1:
            self.ids[:, -1] = len(numbers) + labels
        self.embeddings = None
        given = [one.embeddings for one in described if one.embeddings is not None]
        if len(given) == len(described):
            self.embeddings = np.zeros((len(described), width, given[0].shape[1]), np.float32)
            for place, embedding in enumerate(given):
                self.embeddings[place, : len(embedding)] = embedding
        self.apart = self._apart(source)
        self.described, self.source = [one.texts for one in described], source

    @cached_property
    def foils(self) -> tuple[np.ndarray, np.ndarray]:
        """UTF-8 bytes (n, k, FOILS), and how many there are of each sentence, int64 (n, k): at least one, if need be the
        sentence itself. Of sentences that have none at all a warning says so."""
        made = foils_of(self.described)
        if not any(made.values()):
            warnings.warn(
                f"No word in the sentences of {self.source} can be exchanged for one that excludes it, so there are no foils, "
                "and model.match_weight has no effect. Foils need more pictures, whose sentences differ in single words.",
                stacklevel=2,
            )
        counts, rows = np.ones(self.strings.shape, np.int64), np.full((*self.strings.shape, FOILS), b"", object)
        rows[..., 0] = self.strings
        for picture, texts in enumerate(self.described):
            for place, text in enumerate(texts):
                found = [foil.encode("utf-8", "replace") for foil in made[text]]
                if found:
                    rows[picture, place, : len(found)], counts[picture, place] = found, len(found)
        return rows, counts

    def _apart(self, source: str) -> np.ndarray:
        total = len(self.ids)
        found, left = np.full(total, -1, np.int64), np.arange(total)
        # In a random order: neighbours are often of one kind.
        for offset in np.random.default_rng(0).permutation(np.arange(1, total))[:TRIES]:
            other = (left + offset) % total
            mine, theirs = self.ids[left][:, :, None], self.ids[other][:, None, :]
            shared = ((mine == theirs) & (mine >= 0)).any(axis=(1, 2))
            found[left[~shared]] = other[~shared]
            left = left[shared]
            if not len(left):
                return found
        text = self.strings[left[0], 0].decode("utf-8", "replace")
        raise GanzooError(
            f'{source}: no picture can stand as a wrong one for "{text:.80}", since all share a sentence or its class with it. '
            "Text-to-image learns from mismatched pairs: give the pictures different sentences."
        )


CAPTIONS = pipeline(
    replace(
        IMAGES,
        name="captions",
        what="pictures with sentences",
        layouts="pictures with a .txt of the same name next to each, or metadata.jsonl or metadata.csv with file_name and text",
        describe=describe,
    )
)
