"""Task shape "ages": {"image": (B, H, W, C), "label": int64 (B,)}, faces with the class of their age (`ganzoo.ages`).

    folders   a sub-folder for each age or range of ages: `23/`, `age_23/`, `19-29/`, `60+/`; a range lies within one class
    metadata  `metadata.jsonl` or `metadata.csv` in the folder or its split folders, with `file_name` (as of captions) and
              `age`, years or the name of a class
    bundled   `faces_age_64`

A folder whose name is not an age is refused: its pictures would be of no class.
"""

from dataclasses import replace

from ganzoo import ages
from ganzoo.data.captions import metadata_of, rows_of_metadata
from ganzoo.data.images import IMAGES
from ganzoo.data.sources.layouts import Layout
from ganzoo.data.sources.trees import Finder, Tree, shown
from ganzoo.data.task_shapes import pipeline
from ganzoo.errors import GanzooError


def classes_of(tree: Tree, layout: Layout) -> dict[str, int]:
    """The class of each picture file; pictures without an age become problems of `layout` and leave its items, and so do rows
    that name no file.

    Raises:
        GanzooError: a folder or a value that is not an age, a metadata file that cannot be read or names no picture, or nothing
            that says an age.
    """
    listed = metadata_of(tree.names)
    found, lost = _from_metadata(tree, listed) if listed else (_from_folders(layout), {})
    kept = [item for item in layout.items if item.files[0] in found]
    why = f"is not in {shown(listed[0])}" if listed else "is in no folder of an age"
    layout.problems += [(item.files[0], "unmatched", why) for item in layout.items if item.files[0] not in found]
    layout.problems += [
        (name, "unmatched", f"is named in {shown(file)}, but is not there") for name, file in lost.items()
    ]
    layout.items[:] = kept
    return found


def _from_folders(layout: Layout) -> dict[str, int]:
    named = sorted({item.group for item in layout.items if item.group is not None})
    if not named:
        raise GanzooError(f"Nothing says the ages of these pictures; needed are {AGES.layouts}.")
    known = {}
    for name in named:
        try:
            known[name] = ages.class_of(name)
        except GanzooError as error:
            raise GanzooError(f"The folder {shown(name)}: {error}") from error
    return {item.files[0]: known[item.group] for item in layout.items if item.group is not None}


def _from_metadata(tree: Tree, files: list[str]) -> tuple[dict[str, int], dict[str, str]]:
    finder = Finder(tree)
    found: dict[str, int] = {}
    lost: dict[str, str] = {}
    for file in files:
        folder = file.rpartition("/")[0]
        for number, row in enumerate(rows_of_metadata(tree, file), start=1):
            where = f"Row {number} of {shown(file)}"
            name, age = row.get("file_name"), row.get("age")
            if not isinstance(name, str) or not name or "age" not in row:
                raise GanzooError(
                    f'{where} needs "file_name" and "age"; it has {shown(", ".join(map(str, row)))[:80]}.'
                )
            path = finder.find(folder, name)
            if path is None:
                lost.setdefault(name, file)
            elif age not in (None, ""):
                try:
                    found[path] = ages.class_of(age)
                except GanzooError as error:
                    raise GanzooError(f"{where}: {error}") from error
    return found, lost


AGES = pipeline(
    replace(
        IMAGES,
        name="ages",
        what="faces with ages",
        layouts="pictures in a sub-folder for each age or range of ages (23, 19-29, 60+), or metadata.jsonl or metadata.csv with "
        "file_name and age",
        ages=classes_of,
    )
)
