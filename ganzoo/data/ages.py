"""Task shape "ages": {"image": (B, H, W, C), "label": int64 (B,)}, faces with the class of their age (`ganzoo.ages`).

    folders   a sub-folder for each age or range of ages: `23/`, `age_23/`, `19-29/`, `60+/`; a range lies within one class
    metadata  `metadata.jsonl` or `metadata.csv` in the folder or its split folders, with `file_name` (as of captions) and
              `age`, years or the name of a class
    bundled   `faces_age_64`

A folder whose name is not an age is refused: its pictures would be of no class.
"""

from dataclasses import replace

from ganzoo import ages
from ganzoo.data.images import IMAGES
from ganzoo.data.metadata import keys, leave_out, metadata_of, pictures_named
from ganzoo.data.sources.layouts import Layout
from ganzoo.data.sources.trees import Finder, Tree, shown
from ganzoo.data.task_shapes import pipeline
from ganzoo.errors import GanzooError


def labels_of(tree: Tree, layout: Layout) -> dict[str, int]:
    """The class of each picture file; pictures without an age become problems of `layout` and leave its items,
    and so do rows that name no file.

    Raises:
        GanzooError: a folder or a value that is not an age, a metadata file that cannot be read or names no picture, or nothing
            that says an age.
    """
    listed = metadata_of(tree.names)
    lost: dict[str, str] = {}
    found = _from_metadata(tree, listed, lost) if listed else _from_folders(layout)
    why = f"is not in {shown(listed[0])}" if listed else "is in no folder of an age"
    leave_out(layout, found, lost, lambda name: why)
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


def _from_metadata(tree: Tree, files: list[str], lost: dict[str, str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for where, path, row in pictures_named(tree, files, Finder(tree), '"file_name" and "age"', lost):
        if "age" not in row:
            raise GanzooError(f'{where} has no "age", in years or the name of a class; it has {keys(row)}.')
        if row["age"] not in (None, ""):
            try:
                found[path] = ages.class_of(row["age"])
            except GanzooError as error:
                raise GanzooError(f"{where}: {error}") from error
    return found


AGES = pipeline(
    replace(
        IMAGES,
        name="ages",
        what="faces with ages",
        layouts="pictures in a sub-folder for each age or range of ages (23, 19-29, 60+), or metadata.jsonl or metadata.csv with "
        "file_name and age",
        label=labels_of,
        class_names=ages.NAMES,
    )
)
