"""The registry of task shapes: what a batch is made of, and how files become one item of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ganzoo.data.sources.layouts import Layout
from ganzoo.errors import GanzooError, nearest

if TYPE_CHECKING:
    from ganzoo.presets import DataConfig

Parts = tuple[np.ndarray, ...]
SHAPES: dict[str, "TaskShape"] = {}


@dataclass(frozen=True)
class TaskShape:
    """One task shape, such as "images" or "paired".

    Attributes:
        name: what a config calls it.
        columns: names of the batch's entries, in order.
        what: plural noun for sentences.
        layouts: what a folder must look like, for sentences.
        channels: config -> number of channels of each column.
        layout: file names -> which files belong together.
        parts: (pictures of one item's files, their names, fit policy) -> the item's parts in file order (A, B).
        arrange: (parts, config) -> the parts in the order of `columns`.
        tfds_keys: names of a TFDS set's image features -> those to read, or None.
        parts_of: (layout, file -> picture) -> `parts` for a set whose pictures say what they are; by default `parts` itself.
        describe: (folder or zip file, layout) -> sentences by picture file, of the shape "captions".
        attribute: (folder or zip file, layout) -> attributes by picture file, of the shape "attributes".
        label: (folder or zip file, layout) -> class by picture file, of a shape whose classes are `class_names`; of the others the
            sub-folders are the classes.
    """

    name: str
    columns: tuple[str, ...]
    what: str
    layouts: str
    channels: Callable[["DataConfig"], tuple[int, ...]]
    layout: Callable[[list[str]], Layout]
    parts: Callable[[Parts, tuple[str, ...], str], Parts]
    arrange: Callable[[Parts, "DataConfig"], Parts]
    tfds_keys: Callable[[list[str]], tuple[str, ...] | None]
    parts_of: Callable[[Layout, Callable[[str], np.ndarray]], Callable[[Parts, tuple[str, ...], str], Parts]] | None = (
        None
    )
    describe: Callable | None = None
    attribute: Callable | None = None
    label: Callable | None = None
    class_names: tuple[str, ...] = ()


def pipeline(shape: TaskShape) -> TaskShape:
    """Register a task shape; a name can be taken once."""
    if shape.name in SHAPES:
        raise GanzooError(f'The task shape "{shape.name}" is registered already.')
    SHAPES[shape.name] = shape
    return shape


def task_shape(name: str) -> TaskShape:
    """The registered shape of this name."""
    if name not in SHAPES:
        raise GanzooError(f'Unknown data shape "{name}".{nearest(name, SHAPES)}')
    return SHAPES[name]
