"""Task shape "attributes": {"image": (B, H, W, C), "attributes": (B, A) of 0 and 1}, pictures with named attributes.

    metadata  `metadata.jsonl` or `metadata.csv` in the folder or its split folders, with `file_name` (as of captions) and a
              column for each attribute. A column of true and false (yes and no, 1 and 0) is a boolean, any other one a
              category of its values; a list (in a CSV file one written as JSON) holds tags, and each tag is a boolean
    tags      a .txt next to each picture: tags by commas or lines, each a boolean, and `hair: pink` for a category
    TFDS      a set with labels or booleans next to its image, also in a dict of them, as `celeb_a` has
    bundled   `lorelei_64`: its 14 columns

What a picture does not say is "no" of a boolean, and "none" of a category. The columns are those of all splits together,
names and values in a fixed order: as they come in a file, values by name. `data.attributes` takes some of them.
"""

import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from types import MappingProxyType

import numpy as np

from ganzoo.data.images import IMAGES
from ganzoo.data.metadata import leave_out, metadata_of, pictures_named
from ganzoo.data.sources.layouts import Layout, stem
from ganzoo.data.sources.trees import Finder, Tree, shown
from ganzoo.data.task_shapes import pipeline
from ganzoo.errors import GanzooError, nearest
from ganzoo.files import decode_text, lines, parse_json

BOOLEAN = ("no", "yes")  # as `ganzoo.base.attributes` has it
NONE = "none"
MAX_VALUES, MAX_COLUMNS = 256, 1024  # as there
WORDS = {"true": "yes", "yes": "yes", "1": "yes", "false": "no", "no": "no", "0": "no"}
OF_CAPTIONS = ("file_name", "text", "embedding")  # columns that are not attributes
MAX_NAME = 100  # characters of a name or a value


@dataclass(frozen=True)
class Attributes:
    """The attributes of a source's pictures.

    Attributes:
        values: name -> its values in order; ("no", "yes") of a boolean.
        rows: int64 (n, K), the number of each picture's value.
    """

    values: Mapping[str, tuple[str, ...]]
    rows: np.ndarray

    @property
    def columns(self) -> np.ndarray:
        """float32 (n, A): for a boolean one column of 0 and 1, for a category one for each value."""
        parts = []
        for place, values in enumerate(self.values.values()):
            hot = np.eye(len(values), dtype=np.float32)[self.rows[:, place]]
            parts.append(hot[:, 1:] if values == BOOLEAN else hot)
        return np.concatenate(parts, axis=1)

    def counts(self) -> dict[str, dict[str, int]]:
        """How many pictures have each value of each attribute."""
        return {
            name: dict(zip(values, np.bincount(self.rows[:, place], minlength=len(values)).tolist(), strict=True))
            for place, (name, values) in enumerate(self.values.items())
        }

    def of(self, pictures) -> "Attributes":
        """Those of some pictures, by number or by slice."""
        return Attributes(self.values, self.rows[pictures])

    def chosen(self, names: Sequence[str], source: str) -> "Attributes":
        """Those of some names, in their order; all for none.

        Raises:
            GanzooError: an unknown name; too many values in all.
        """
        known = list(self.values)
        for name in names:
            if name not in known:
                raise GanzooError(
                    f'{source} has no attribute "{name}".{nearest(name, known)} It has: {", ".join(known)[:400]}.'
                )
        if len(set(names)) < len(names):
            raise GanzooError(f"data.attributes names an attribute twice: {', '.join(names)}.")
        taken = list(names) or known
        columns = sum(1 if self.values[name] == BOOLEAN else len(self.values[name]) for name in taken)
        if columns > MAX_COLUMNS:
            raise GanzooError(
                f"{source} has {len(taken):,} attributes with {columns:,} values in all; at most {MAX_COLUMNS:,} are taken. "
                "Choose some of them by data.attributes."
            )
        return Attributes(
            {name: self.values[name] for name in taken}, self.rows[:, [known.index(name) for name in taken]]
        )


def attributes_of(
    said: Sequence[Mapping[str, str]], source: str, known: Mapping[str, tuple[str, ...]] = MappingProxyType({})
) -> Attributes:
    """Attributes of what is said of each picture, name -> value; a name of yes and no (true and false, 1 and 0) alone is a
    boolean.

    Names that have one value for all pictures say nothing and are left out, but for those whose values are `known`.

    Raises:
        GanzooError: nothing is left, or a name has too many values.
    """
    found: dict[str, set[str]] = {}
    for one in said:
        for name, value in one.items():
            found.setdefault(name, set()).add(value)
    values, columns = {}, []
    for name, own in found.items():
        if name in known:
            values[name] = known[name]
            columns.append([known[name].index(one[name]) for one in said])
            continue
        boolean = {value.lower() for value in own} <= WORDS.keys()
        column = [one.get(name, "no" if boolean else NONE) for one in said]
        column = [WORDS[value.lower()] for value in column] if boolean else column
        own = set(column)
        if len(own) < 2:
            continue
        if len(own) > MAX_VALUES:
            raise GanzooError(
                f'{source}: the attribute "{name}" has {len(own):,} different values; at most {MAX_VALUES} are taken. A number '
                "or a name of each picture is not an attribute: leave that column out, or write a few groups instead."
            )
        values[name] = BOOLEAN if boolean else tuple(sorted(own - {NONE})) + ((NONE,) if NONE in own else ())
        numbers = {value: number for number, value in enumerate(values[name])}
        columns.append([numbers[value] for value in column])
    if not values:
        only = ", ".join(f"{name} = {next(iter(own))}" for name, own in found.items())
        raise GanzooError(
            f"{source}: all pictures have the same attributes ({only[:200]}), so there is nothing to ask for. An attribute needs "
            "two values or more."
            if found
            else f"{source} has no attributes: needed are {ATTRIBUTES.layouts}."
        )
    return Attributes(values, np.array(columns, np.int64).T)


def describe(tree: Tree, layout: Layout) -> dict[str, dict[str, str]]:
    """What is said of each picture file, name -> value; pictures of which nothing is said become problems of `layout` and
    leave its items, and so do rows that name no file.

    Raises:
        GanzooError: a metadata file that cannot be read, names no picture, or holds what is not an attribute.
    """
    finder, listed = Finder(tree), metadata_of(tree.names)
    lost: dict[str, str] = {}
    found = _from_metadata(tree, listed, finder, lost) if listed else _from_tags(tree, layout, finder)

    def why(name):
        return (
            f"is not in {shown(listed[0])}" if listed else f"has no {PurePosixPath(stem(name)).name}.txt with its tags"
        )

    leave_out(layout, found, lost, why)
    return found


def _from_tags(tree: Tree, layout: Layout, finder: Finder) -> dict[str, dict[str, str]]:
    found = {}
    for item in layout.items:
        file = finder.find("", f"{stem(item.files[0])}.txt")
        if file:
            said: dict[str, str] = {}
            for tag in (part for line in lines(decode_text(tree.read(file), shown(file))) for part in line.split(",")):
                name, colon, value = tag.partition(":")
                if tag.strip():
                    _add(said, name, value if colon else "yes", shown(file))
            found[item.files[0]] = said
    return found


def _from_metadata(tree: Tree, files: list[str], finder: Finder, lost: dict[str, str]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for where, path, row in pictures_named(tree, files, finder, '"file_name" and a column for each attribute', lost):
        said = found.setdefault(path, {})
        for column, value in row.items():
            if column not in OF_CAPTIONS:
                _add(said, column, value, where)
    return found


def _add(said: dict[str, str], name: str, value, where: str) -> None:
    """Puts what a cell or a tag says to what is said of the picture.

    Raises:
        GanzooError: it is not an attribute, or another value than was said before.
    """
    if isinstance(value, str) and value.startswith("["):  # of a CSV file
        with contextlib.suppress(GanzooError):  # or a value that begins with a bracket
            value = parse_json(value, "")
    if isinstance(value, list):
        for tag in value:
            if not isinstance(tag, str):
                raise GanzooError(f'{where}: the tags of "{shown(name)}" are strings; received {tag!r:.60}.')
            _add(said, tag, "yes", where)
        return
    if value is None or value == "":
        return
    if isinstance(value, dict | float) and not (isinstance(value, float) and value.is_integer()):
        raise GanzooError(
            f'{where}: the attribute "{shown(name)}" is a word, true or false, a whole number, or a list of tags; received '
            f"{value!r:.60}. Write numbers as a few groups."
        )
    name, value = _clean(name), _clean(str(int(value)) if isinstance(value, float) else str(value))
    if not name or not value:
        return
    if max(len(name), len(value)) > MAX_NAME:
        raise GanzooError(
            f'{where}: "{name:.40}" is not an attribute: names and values have at most {MAX_NAME} characters.'
        )
    if said.setdefault(name, value) != value:
        raise GanzooError(
            f'{where}: "{name}" is {said[name]} and {value} of one picture: say one of them, or a list of tags.'
        )


def _clean(text: str) -> str:
    return re.sub(r"\s+", " ", shown(text)).strip()


ATTRIBUTES = pipeline(
    replace(
        IMAGES,
        name="attributes",
        what="pictures with attributes",
        layouts="pictures with a .txt of tags of the same name next to each, or metadata.jsonl or metadata.csv with file_name and "
        "a column for each attribute",
        attribute=describe,
    )
)
