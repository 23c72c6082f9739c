"""Folders and zip files as `Records`."""

import numpy as np

from ganzoo.data.attributes import attributes_of
from ganzoo.data.sources.held_back import remark
from ganzoo.data.sources.idx import idx_records, is_idx
from ganzoo.data.sources.layouts import hold_back, split_remark
from ganzoo.data.sources.records import Records, choose_splits
from ganzoo.data.sources.trees import Tree, shown
from ganzoo.data.task_shapes import Parts, TaskShape
from ganzoo.errors import GanzooError
from ganzoo.media.images import read_image


def file_records(tree: Tree, source: str, split: str, shape: TaskShape, hold_out: float | None = None) -> Records:
    """Open a folder or zip file for a task shape. `hold_out`: share that becomes its test split if it has none (None: 0)."""
    base_names = {name.rpartition("/")[2]: name for name in tree.names}
    if is_idx(base_names):
        return idx_records(base_names, lambda name: tree.read(base_names[name]), source, split, shape)
    layout = shape.layout(tree.names)
    if not layout.items:
        found = f"{len(layout.problems)} picture files that cannot be used" if layout.problems else "no pictures"
        raise GanzooError(
            f"{source} contains {found} among {len(tree.names)} files; needed are {shape.what}: {shape.layouts}."
        )
    described = shape.describe(tree, layout) if shape.describe else None
    said = shape.attribute(tree, layout) if shape.attribute else None
    labelled = shape.label(tree, layout) if shape.label else None
    if not layout.items:
        raise GanzooError(f"{source} has no {shape.what}: the first, {_first(layout)}. Needed: {shape.layouts}.")
    held = hold_back(layout, hold_out) if hold_out is not None else None
    chosen = choose_splits(layout.splits, split, source)
    attributes = None
    if said is not None:  # of all splits together: a model that trains on one is asked for those of the others
        every = attributes_of([said[item.files[0]] for item in layout.items], source)
        attributes = every.of([place for place, item in enumerate(layout.items) if item.split in chosen])
    items = [item for item in layout.items if item.split in chosen]

    def picture(name: str) -> np.ndarray:
        return read_image(tree.read(name), name=shown(name))

    parts = shape.parts_of(layout, picture) if shape.parts_of else shape.parts

    def read(i: int, fit: str) -> Parts:
        names = items[i].files
        return parts(tuple(map(picture, names)), tuple(map(shown, names)), fit)

    remarks = [split_remark(tree.names), remark(*held, shown(source)) if held and hold_out else None]
    note = " ".join(filter(None, remarks))
    if labelled is not None:
        names, labels = shape.class_names, [labelled[item.files[0]] for item in items]
    else:
        names = tuple(layout.groups) if all(item.group for item in items) else ()
        labels = [names.index(str(item.group)) for item in items if names]
    classes = {"classes": list(names)} if names else {}
    return Records(
        source=source,
        split=split,
        ids=[shown(item.files[0]) for item in items],
        read=read,
        content=lambda i: (tree.read(name) for name in items[i].files),
        labels=np.array(labels, np.int64) if names else None,
        class_names=tuple(map(shown, names)),
        described=[described[item.files[0]] for item in items] if described is not None else None,
        attributes=attributes,
        skipped=[(shown(name), reason) for name, _, reason in layout.problems],
        about={"layout": layout.kind, "splits": layout.splits}
        | classes
        | ({"note": note} if note else {})
        | ({"held_back": held[0]} if held else {}),
    )


def _first(layout) -> str:
    name, _, why = layout.problems[0]
    return f"{shown(name)}, {why}"
