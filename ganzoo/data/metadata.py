"""Metadata files of a folder or zip file: `metadata.jsonl` and `metadata.csv`, a row a picture, named by its `file_name`.

What the other columns say is up to the task shape: sentences, attributes, ages.
"""

import contextlib
import csv
import io
from collections.abc import Callable, Container, Iterator
from pathlib import PurePosixPath

from ganzoo.data.sources.layouts import Layout
from ganzoo.data.sources.trees import Finder, Tree, shown
from ganzoo.errors import GanzooError
from ganzoo.files import decode_text, lines, parse_json

METADATA = ("metadata.jsonl", "metadata.csv")


def metadata_of(names: list[str]) -> list[str]:
    """The metadata files among the names."""
    return [name for name in names if PurePosixPath(name).name.lower() in METADATA]


def pictures_named(
    tree: Tree, files: list[str], finder: Finder, needed: str, lost: dict[str, str]
) -> Iterator[tuple[str, str, dict]]:
    """Each row of metadata files that names a picture file: where the row stands, the picture, the row.

    Args:
        needed: the columns that the shape wants, for a sentence.
        lost: filled with the names that are no file, and the metadata file of each.

    Raises:
        GanzooError: of `rows_of_metadata`, or a row without a `file_name`.
    """
    for file in files:
        folder = file.rpartition("/")[0]
        for number, row in enumerate(rows_of_metadata(tree, file), start=1):
            where = f"Row {number} of {shown(file)}"
            name = row.get("file_name")
            if not isinstance(name, str) or not name:
                raise GanzooError(f'{where} has no "file_name"; needed are {needed}. It has {keys(row)}.')
            path = finder.find(folder, name)
            if path is None:
                lost.setdefault(name, file)
            else:
                yield where, path, row


def leave_out(layout: Layout, found: Container[str], lost: dict[str, str], why: Callable[[str], str]) -> None:
    """Pictures of which nothing is said become problems of `layout` and leave its items, and so do rows that name no file.

    Args:
        found: the picture files of which something is said.
        why: a picture file -> the rest of a sentence on why nothing is said of it.
    """
    silent = [item.files[0] for item in layout.items if item.files[0] not in found]
    layout.problems += [(name, "unmatched", why(name)) for name in silent]
    layout.problems += [
        (name, "unmatched", f"is named in {shown(file)}, but is not there") for name, file in lost.items()
    ]
    layout.items[:] = [item for item in layout.items if item.files[0] in found]


def rows_of_metadata(tree: Tree, file: str) -> list[dict]:
    """The rows of a metadata file, each by the names of its columns; of a CSV file all values are strings.

    Raises:
        GanzooError: it cannot be read, or a row is not an object, or has too many fields.
    """
    return _jsonl(tree, file) if file.lower().endswith(".jsonl") else _csv(tree, file)


def _jsonl(tree: Tree, file: str) -> list[dict]:
    rows = []
    for number, line in enumerate(lines(_text(tree, file)), start=1):
        row = parse_json(line, f"Line {number} of {shown(file)}") if line.strip() else None
        if row is not None and not isinstance(row, dict):
            raise GanzooError(
                f'Line {number} of {shown(file)} must be an object with "file_name" and what is said of it.'
            )
        rows += [row] if row is not None else []
    return rows


def _csv(tree: Tree, file: str) -> list[dict]:
    """The rows of a CSV file; a sentence with a comma needs quotes, and without them its row has too many fields."""
    try:
        # Strict: a quote that nothing closes would swallow the rows after it.
        rows = [row for row in csv.reader(io.StringIO(_text(tree, file)), skipinitialspace=True, strict=True) if row]
    except csv.Error as error:
        raise GanzooError(f"{shown(file)} cannot be read as CSV: {error}.") from error
    header, found = [name.strip() for name in rows[0]] if rows else [], []
    if len(set(header)) != len(header):
        raise GanzooError(f"{shown(file)} has two columns of one name: {keys(dict.fromkeys(header))}.")
    for number, fields in enumerate(rows[1:], start=1):
        if len(fields) != len(header):
            raise GanzooError(
                f"Row {number} of {shown(file)} has {len(fields)} fields, the first line has {len(header)}: put a text "
                f'that holds a comma into quotes, as in {fields[0]:.40},"a girl, smiling".'
            )
        row = dict(zip(header, fields, strict=True))
        if row.get("text", "").startswith("["):  # a list, written as JSON
            with contextlib.suppress(GanzooError):  # or a sentence that begins with a bracket
                row["text"] = parse_json(row["text"], "")
        found.append(row)
    return found


def keys(row: dict) -> str:
    """The columns of a row, for a sentence."""
    return shown(", ".join(map(str, row)))[:80]


def _text(tree: Tree, file: str) -> str:
    return decode_text(tree.read(file), shown(file))
