"""Task shape "images": single pictures, {"image": (B, H, W, C)}. Sub-folders are classes: their names, sorted, are the labels 0, 1, ..."""

from ganzoo.data.sources.layouts import Item, Layout, place
from ganzoo.data.task_shapes import TaskShape, pipeline
from ganzoo.media.images import SUFFIXES


def image_layout(names: list[str]) -> Layout:
    """Every picture file, by split; its group is the first folder below the split's."""
    placed, problems = place(names)
    items = [
        Item(name, (name,), split, rest.partition("/")[0] if "/" in rest else None)
        for name, (split, rest) in placed.items()
    ]
    return Layout("images", items, problems)


def image_key(features: list[str]) -> tuple[str, ...] | None:
    """The image feature of a TFDS set: "image", or the first one."""
    return ("image",) if "image" in features else tuple(features[:1]) or None


IMAGES = pipeline(
    TaskShape(
        name="images",
        columns=("image",),
        what="pictures",
        layouts=f"any {', '.join(s[1:] for s in SUFFIXES)} files, in sub-folders or not",
        channels=lambda config: (config.channels,),
        layout=image_layout,
        parts=lambda pictures, files, fit: pictures,
        arrange=lambda parts, config: parts,
        tfds_keys=image_key,
    )
)
