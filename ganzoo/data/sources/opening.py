"""One string names a bundled set, a folder, a zip file or `tfds:NAME`: which one, and open it."""

import os
import re

from ganzoo.data.bundled import bundled_names, bundled_records, canonical
from ganzoo.data.sources.files import file_records
from ganzoo.data.sources.records import Records
from ganzoo.data.sources.tfds import tfds_records
from ganzoo.data.sources.trees import open_tree
from ganzoo.data.task_shapes import TaskShape
from ganzoo.errors import GanzooError, nearest
from ganzoo.files import given_path, kind_of, shown

ROWS = re.compile(r"(.+)\[(\d{0,12}):(\d{0,12})\]")


def open_records(source: str | os.PathLike, split: str, shape: TaskShape, hold_out: float | None = None) -> Records:
    """Open `source` for a task shape; a bundled name comes before a folder of the same name (write ./NAME for that).

    A split may be rows of one, in the manner of TFDS: "train[:50000]", "train[50000:]". `hold_out`: as `data.hold_out`.
    """
    text = os.fspath(source)
    found = ROWS.fullmatch(split)
    if found:
        whole = open_records(source, found[1], shape, hold_out)
        return whole.rows(int(found[2] or 0), int(found[3] or len(whole)), split)
    if text.startswith("tfds:"):
        return tfds_records(text, split, shape)
    name = canonical(text)
    if name:
        return bundled_records(name, split, shape.name)
    path = given_path(text)
    if kind_of(path):
        return file_records(open_tree(path), text, split, shape, hold_out)
    if "/" in text or os.sep in text:
        raise GanzooError(f"There is no folder or zip file {shown(text)}.")
    raise GanzooError(
        f'There is no data "{shown(text)}": no bundled set, folder or zip file has this name.{nearest(text, bundled_names())}'
    )
