"""IDX files, the format of MNIST and Fashion-MNIST: `train-images-idx3-ubyte[.gz]`, `t10k-labels-idx1-ubyte[.gz]`."""

import gzip
import io
import math
import re
import struct
import zlib
from collections.abc import Callable, Iterable

import numpy as np

from ganzoo.data.sources.records import Records, choose_splits
from ganzoo.data.task_shapes import TaskShape
from ganzoo.errors import GanzooError

NAME = re.compile(r"^(train|t10k|test)-(images|labels)[-.]idx[13]-ubyte(\.gz)?$")
MAX_BYTES = 2 * 2**30  # of one unpacked file; the largest of the family (EMNIST) has 0.55 GB


def is_idx(names: Iterable[str]) -> bool:
    """True if one of the file names is an IDX file of pictures."""
    return any((match := NAME.match(name)) and match[2] == "images" for name in names)


def idx_arrays(names: Iterable[str], read: Callable[[str], bytes], where: str) -> dict[str, np.ndarray]:
    """`train_images`, `train_labels`, `test_images`, `test_labels`: those that are there; images uint8 (n, h, w)."""
    arrays: dict[str, np.ndarray] = {}
    for name in sorted(names):
        if match := NAME.match(name):
            split = "train" if match[1] == "train" else "test"
            arrays.setdefault(f"{split}_{match[2]}", read_idx(read(name), f"{where}/{name}"))
    return arrays


def read_idx(data: bytes, name: str) -> np.ndarray:
    """One IDX file (packed by gzip or not) of unsigned bytes as an array; sizes are checked before anything is unpacked."""
    try:
        with gzip.open(io.BytesIO(data)) if data[:2] == b"\x1f\x8b" else io.BytesIO(data) as stream:
            zeros, kind, axes = struct.unpack(">HBB", stream.read(4))
            shape = struct.unpack(f">{axes}I", stream.read(4 * axes))
            count = math.prod(shape)
            if zeros != 0 or kind != 8 or axes not in (1, 3) or not 0 < count <= MAX_BYTES:
                raise GanzooError(f"{name} is not an IDX file of bytes with one or three axes.")
            values = stream.read(count)
    except (OSError, EOFError, struct.error, zlib.error) as error:
        raise GanzooError(f"{name} is a broken IDX file: {error}.") from error
    if len(values) != count:
        raise GanzooError(f"{name} is a truncated IDX file: {len(values)} of {count} bytes are there.")
    return np.frombuffer(values, np.uint8).reshape(shape)


def idx_records(
    names: Iterable[str], read: Callable[[str], bytes], source: str, split: str, shape: TaskShape
) -> Records:
    """Open a folder of IDX files as gray pictures."""
    if shape.columns != ("image",):
        raise GanzooError(
            f'{source} holds IDX files, which are single pictures; the shape "{shape.name}" needs {shape.what}.'
        )
    arrays = idx_arrays(names, read, source)
    splits = [s for s in ("train", "test") if f"{s}_images" in arrays]
    chosen = choose_splits(splits, split, source)
    pictures = [arrays[f"{s}_images"] for s in chosen]
    if len({p.shape[1:] for p in pictures}) > 1 or pictures[0].ndim != 3:
        raise GanzooError(f"The IDX files of {source} do not hold pictures of one size.")
    images = np.concatenate(pictures)[..., None]
    classes = [arrays.get(f"{s}_labels", np.empty(0)) for s in chosen]
    known = [len(c) for c in classes] == [len(p) for p in pictures]
    return Records(
        source=source,
        split=split,
        ids=[f"{s}/{i:05d}" for s, p in zip(chosen, pictures, strict=True) for i in range(len(p))],
        read=lambda i, fit: (images[i],),
        content=lambda i: (images[i].tobytes(),),
        trusted=True,
        labels=np.concatenate(classes).astype(np.int64) if known else None,
        about={"layout": "idx"},
    )
