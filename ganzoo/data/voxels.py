"""Task shape "voxels": {"voxels": (B, S, S, S, 1)} of 0 and 1; with `render_size` also {"image": (B, r, r, 3)}, a shaded
picture of the shape. NumPy reads, TensorFlow makes the batches.

    bundled   `furniture_voxels_32`; at data.size = 64 the full set `furniture_voxels_64.npz` of GANZOO_DATA
    npz       one file of many grids: `voxels` (n, S, S, S) or packed bits, and if it has them `split` and `label` columns
    folders   .binvox, .npz (one grid each), .obj, .stl, .glb, .off, also zipped: `class/train/x.off` as ModelNet has it,
              `train/class/x.off`, `class/x.off` or all in one folder; without train/ and test/ all files are "train"

Mirroring, quarter turns about the up axis and squeezing depend on (seed, position) only, as in `ganzoo.data.pipeline`. The
pictures of the training split are seen from TRAIN_VIEWS, those of any other from TEST_VIEWS: no view is in both.
"""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from ganzoo.data import bundled
from ganzoo.data.pipeline import MIRROR, positions_of, random_below, random_bits, shuffled
from ganzoo.data.source import Source
from ganzoo.data.sources import grids
from ganzoo.data.sources.held_back import held_back, remark
from ganzoo.data.sources.layouts import OUTSIDE, split_names, stem
from ganzoo.data.sources.records import choose_splits
from ganzoo.data.sources.trees import open_tree, shown
from ganzoo.errors import GanzooError, nearest
from ganzoo.files import given_path, kind_of
from ganzoo.media import shapes3d

if TYPE_CHECKING:
    from ganzoo.presets import DataConfig

TURN, SQUEEZE, VIEW = 11, 12, 15  # streams of random numbers; squeezing takes three, one an axis
TRAIN_VIEWS = tuple((azimuth, 15.0 if azimuth % 90 else 30.0) for azimuth in range(0, 360, 45))  # azimuth, elevation
TEST_VIEWS = tuple((azimuth + 22.5, 22.0) for azimuth in range(0, 360, 45))
LAYOUTS = (
    f"a folder or zip file of {', '.join(s[1:] for s in grids.SUFFIXES)} files, in class folders or not, one npz file of "
    "many grids, or the bundled furniture_voxels_32"
)


@dataclass
class Grids:
    """Grids of one split as they were read: ids, bool arrays packed by `np.packbits`, classes by name ("" for none)."""

    ids: list[str]
    bits: np.ndarray
    classes: list[str]
    skipped: list[tuple[str, str]] = field(default_factory=list)
    about: dict = field(default_factory=dict)


class VoxelSource(Source):
    """The usable shapes of a split; see `Source`.

    Attributes:
        columns, channels: ("voxels",) and (1,), or ("image", "voxels") and (3, 1).
        labels: int64 class of each shape, or None; `class_names` are theirs.
        skipped: (file, reason) of every file that is left out.
    """

    in_memory = True

    def __init__(self, config: "DataConfig", split: str | None = None):
        self.config, self.split = config, split or config.split
        self.size = self.load_size = config.size
        if self.size > grids.MAX_SIDE:
            raise GanzooError(f"data.size is {self.size} voxels a side; at most {grids.MAX_SIDE} are read.")
        pair = bool(config.render_size)
        self.columns: tuple[str, ...] = ("image", "voxels") if pair else ("voxels",)
        self.channels: tuple[int, ...] = (3, 1) if pair else (1,)
        self.views = TRAIN_VIEWS if self.split == config.split else TEST_VIEWS
        found = _of_classes(_opened(config, self.split), config)
        self.ids, self.bits, self.skipped, self.about = found.ids, found.bits, found.skipped, found.about
        self.class_names = tuple(sorted(set(found.classes)))
        known = {name: number for number, name in enumerate(self.class_names)}
        self.labels = np.array([known[name] for name in found.classes], np.int64) if len(known) > 1 else None
        self.classes = found.classes
        if len(self) < 2:
            raise GanzooError(self._too_few())

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def note(self) -> str:
        return self.about.get("note", "")

    def take(self, n: int) -> dict[str, np.ndarray]:
        """The first `n` items (fewer if there are fewer), without augmentation: float32 voxels, uint8 pictures."""
        if n < 1:
            raise GanzooError(f"take(n) needs n of at least 1; got {n}.")
        items = [self.fetch(i, self.size) for i in range(min(n, len(self)))]
        return {name: np.stack(column) for name, column in zip(self.columns, zip(*items, strict=True), strict=True)}

    def fetch(self, i: int, size: int) -> tuple[np.ndarray, ...]:
        """Item `i`: [a uint8 picture,] a float32 grid (size, size, size, 1). `size` divides that of the source."""
        grid = grids.fitted(self._grid(i), size, self.ids[i]).astype(np.float32)[..., None]
        if not self.config.render_size:
            return (grid,)
        return self._pictures(grid[None], np.array([i % len(self.views)]))[0], grid

    def batches(
        self, batch_size: int, *, seed: int, start_step: int, offset: int, rows: slice | None, **pictures_only
    ) -> tf.data.Dataset:
        """Infinite dict batches of float32, voxels 0 or 1, pictures in [-1, 1]: see `ganzoo.data.batches`."""
        with tf.device("CPU:0"):
            bits = tf.constant(self.bits)
        positions = positions_of(batch_size, start_step, offset, rows)
        batches = positions.map(lambda p: self._batch(p, tf.gather(bits, shuffled(p, len(self), seed)), seed))
        options = tf.data.Options()
        options.deterministic = True
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
        return batches.with_options(options).prefetch(2)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 (hex) over names and voxels of the shapes, in order."""
        total = hashlib.sha256("\n".join(self.ids).encode())
        total.update(self.bits.tobytes())
        return total.hexdigest()

    def summary(self) -> dict:
        """JSON-able facts: source, split, counts, classes, size, augmentation, fingerprint, licence if bundled."""
        config = self.config
        counts = {name: self.classes.count(name) for name in self.class_names if name}
        return {
            "source": config.source,
            "shape": config.shape,
            "split": self.split,
            "count": len(self),
            "classes": counts,
            "skipped": len(self.skipped),
            "skipped_files": [list(entry) for entry in self.skipped[:100]],
            "size": self.size,
            "channels": list(self.channels),
            "mirror": config.mirror,
            "turns": config.turns,
            "squeeze": config.squeeze,
            "render_size": config.render_size,
            "fingerprint": self.fingerprint,
            **self.about,
        }

    def _grid(self, i: int) -> np.ndarray:
        return np.unpackbits(self.bits[i], count=self.size**3).reshape([self.size] * 3).astype(bool)

    def _batch(self, positions: tf.Tensor, bits: tf.Tensor, seed: int) -> dict[str, tf.Tensor]:
        config, size = self.config, self.size
        shifts = tf.constant([7, 6, 5, 4, 3, 2, 1, 0], tf.uint8)
        voxels = tf.bitwise.bitwise_and(tf.bitwise.right_shift(bits[..., None], shifts), tf.constant(1, tf.uint8))
        voxels = tf.reshape(tf.reshape(voxels, [tf.shape(bits)[0], -1])[:, : size**3], [-1, size, size, size, 1])
        if config.mirror:
            voxels = _chosen(random_below(positions, seed, MIRROR, 2), [voxels, tf.reverse(voxels, [1])])
        if config.turns:
            turned = [voxels]
            for _ in range(3):  # x becomes z, and z turns round
                turned.append(tf.reverse(tf.transpose(turned[-1], [0, 3, 2, 1, 4]), [1]))
            voxels = _chosen(random_below(positions, seed, TURN, 4), turned)
        if config.squeeze:
            for axis in range(3):
                share = 1 - config.squeeze * _uniform(random_bits(positions, seed, SQUEEZE + axis))
                voxels = _squeezed(voxels, share, axis + 1)
        batch = {"voxels": tf.ensure_shape(tf.cast(voxels, tf.float32), [None, size, size, size, 1])}
        if not config.render_size:
            return batch
        view = random_below(positions, seed, VIEW, len(self.views))
        image = tf.numpy_function(self._pictures, [batch["voxels"], view], tf.uint8)
        image = tf.ensure_shape(image, [None, config.render_size, config.render_size, 3])
        return {"image": tf.cast(image, tf.float32) / 127.5 - 1} | batch

    def _pictures(self, voxels: np.ndarray, views: np.ndarray) -> np.ndarray:
        """uint8 (B, render_size, render_size, 3), each shape from its own view."""
        side = self.config.render_size or 0
        out = np.empty((len(voxels), side, side, 3), np.uint8)
        for view in np.unique(views):
            azimuth, elevation = self.views[view]
            out[views == view] = shapes3d.render(voxels[views == view], side, azimuth=azimuth, elevation=elevation)
        return out

    def _too_few(self) -> str:
        text = f"{self.config.source} (split {self.split}) has {len(self)} usable shapes; at least 2 are needed."
        if self.skipped:
            name, reason = self.skipped[0]
            text += f" {len(self.skipped)} files were skipped, the first: {name} ({reason.rstrip('.')})."
        return f"{text} Accepted: {LAYOUTS}."


def _chosen(choice: tf.Tensor, options: list[tf.Tensor]) -> tf.Tensor:
    """Row i of options[choice[i]]."""
    rows = tf.range(tf.shape(choice)[0], dtype=tf.int64)
    return tf.gather(tf.concat(options, 0), choice * tf.cast(tf.shape(choice)[0], tf.int64) + rows)


def _uniform(bits: tf.Tensor) -> tf.Tensor:
    """float32 in [0, 1) from uint64."""
    high = tf.bitwise.right_shift(bits, tf.constant(40, tf.uint64))
    return tf.cast(tf.cast(high, tf.int64), tf.float32) / 2.0**24


def _squeezed(voxels: tf.Tensor, share: tf.Tensor, axis: int) -> tf.Tensor:
    """Row i of (B, S, S, S, 1), smaller by the factor share[i] <= 1 along an axis, around the middle; the nearest voxel."""
    size = voxels.shape[axis]
    middle = (size - 1) / 2
    wanted = (tf.range(size, dtype=tf.float32) - middle) / share[:, None] + middle  # (B, S)
    inside = (wanted > -0.5) & (wanted < size - 0.5)
    nearest_voxel = tf.clip_by_value(tf.cast(tf.round(wanted), tf.int32), 0, size - 1)
    moved = tf.gather(voxels, nearest_voxel, axis=axis, batch_dims=1)
    shape = [-1, *(size if a == axis else 1 for a in (1, 2, 3)), 1]
    return moved * tf.cast(tf.reshape(inside, shape), voxels.dtype)


# ---- opening ---------------------------------------------------------------------------------------------------------
def _opened(config: "DataConfig", split: str) -> Grids:
    source, path = config.source, given_path(config.source)
    plain = source.lower().replace("_", "").replace("-", "")
    if plain in ("furniturevoxels32", "furniturevoxels64"):
        return _furniture(64 if plain.endswith("64") or config.size == 64 else 32, config, split)
    if bundled.canonical(source) or source.startswith("tfds:"):
        raise GanzooError(f'{source} does not hold data of the shape "voxels". Accepted: {LAYOUTS}.')
    if not kind_of(path):
        raise GanzooError(f'There is no data "{shown(source)}" of shapes. Accepted: {LAYOUTS}.')
    if path.suffix.lower() == ".npz" and kind_of(path) == "file":
        return _of_npz(grids.read_npz(path, source), config, split, source, {"layout": "npz"})
    return _folder(path, config, split)


def _furniture(side: int, config: "DataConfig", split: str) -> Grids:
    folder, file = os.environ.get("GANZOO_DATA"), f"furniture_voxels_{side}.npz"
    path = Path(folder) / file if folder and (Path(folder) / file).is_file() else bundled.ASSETS / file
    if not path.is_file():
        raise GanzooError(
            f"The furniture of {side} voxels a side is not bundled: set GANZOO_DATA to a folder with {file}, or take "
            "data.size = 32 with the bundled furniture_voxels_32."
        )
    arrays = grids.read_npz(path, str(path), columns=("split", "super_class"))
    arrays = {"voxels": arrays["voxels"], "split": arrays["split"], "label": arrays["super_class"]}
    facts = bundled.facts("furniture_voxels_32")
    about = {key: facts[key] for key in ("licence", "attribution", "upstream")}
    origin = "bundled" if path.parent == bundled.ASSETS else "GANZOO_DATA"
    return _of_npz(arrays, config, split, config.source, about | {"origin": origin})


def _of_npz(arrays: dict, config: "DataConfig", split: str, source: str, about: dict) -> Grids:
    voxels = arrays["voxels"]
    voxels = voxels[None] if voxels.ndim == 3 else voxels
    columns = {"split": np.full(len(voxels), "train"), "label": np.full(len(voxels), "")}
    columns |= {key: np.asarray(arrays[key]).astype(str) for key in columns if key in arrays}
    for key, column in columns.items():
        if column.shape != (len(voxels),):
            raise GanzooError(f'{source} has {len(voxels)} grids and a column "{key}" of shape {column.shape}.')
    chosen = choose_splits(dict.fromkeys(columns["split"].tolist()), split, source)
    rows = np.flatnonzero(np.isin(columns["split"], chosen))
    ids = [f"{columns['split'][i]}/{i:05d}" for i in rows]
    packed = np.packbits(grids.fitted(voxels[rows], config.size, source).reshape(len(rows), -1), axis=1)
    return Grids(ids, packed, columns["label"][rows].tolist(), about=about)


def _folder(path: Path, config: "DataConfig", split: str) -> Grids:
    """Every file below a folder or in a zip file, voxelised where it is a mesh; bad ones are left out and noted."""
    tree = open_tree(path)
    names = [name for name in tree.names if PurePosixPath(name).suffix.lower() in grids.SUFFIXES]
    placed, outside = _placed(names)
    if not placed:
        raise GanzooError(f"{path} contains no shapes among {len(tree.names)} files. Accepted: {LAYOUTS}.")
    placed, held = _holding_back(placed, config.hold_out)
    chosen = choose_splits(sorted({split for split, _ in placed.values()}), split, str(path))
    names = [name for name in placed if placed[name][0] in chosen]

    def read(name: str):
        try:
            grid, closed = grids.read_grid(tree.read(name), shown(name), config.size, config.up)
        except GanzooError as error:
            if "pip install" in str(error):  # no file is to blame
                raise
            return str(error)
        return np.packbits(grid), closed

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        results = dict(zip(names, pool.map(read, names), strict=True))
    good = [name for name in names if not isinstance(results[name], str)]
    skipped = [(shown(name), OUTSIDE) for name in outside]
    skipped += [(shown(name), results[name]) for name in names if isinstance(results[name], str)]
    bits = np.stack([results[name][0] for name in good]) if good else np.zeros((0, 1), np.uint8)
    about: dict[str, Any] = {"layout": "folders" if any(c for _, c in placed.values()) else "files"}
    said = [remark(*held, shown(config.source))] if held and config.hold_out else []
    about |= {"held_back": held[0]} if held else {}
    still_open = sum(not results[name][1] for name in good)
    if still_open:
        said.append(
            f"{still_open} of {len(good)} meshes have holes or edges of more than two faces: their surface is taken, and "
            "what it encloses at this resolution is filled"
        )
    about |= {"note": " ".join(said)} if said else {}
    return Grids([shown(name) for name in good], bits, [placed[name][1] for name in good], skipped, about)


def _placed(names: list[str]) -> tuple[dict[str, tuple[str, str]], list[str]]:
    """({file: (split, class)}, files outside the splits): a file's class is the lowest folder that is not a split."""
    found = split_names(names)
    outside = [name for name in names if found[name] is None]
    placed = {name: place for name, place in found.items() if place}
    return {
        name: (split, rest.rpartition("/")[0].rpartition("/")[2]) for name, (split, rest) in placed.items()
    }, outside


def _holding_back(
    placed: dict[str, tuple[str, str]], share: float | None
) -> tuple[dict[str, tuple[str, str]], tuple[int, int] | None]:
    """(the same with a share of the training shapes as "test", (held back, all)) where there are no other splits."""
    if share is None or {split for split, _ in placed.values()} != {"train"}:
        return placed, None
    names = list(placed)
    chosen = held_back([stem(name) for name in names], share, [placed[name][1] for name in names])
    held = {names[i]: ("test", placed[names[i]][1]) for i in chosen}
    return placed | held, (len(held), len(names))


def _of_classes(found: Grids, config: "DataConfig") -> Grids:
    """Those of `config.classes`, or all."""
    known = sorted(set(found.classes) - {""})
    for name in config.classes:
        if name not in known:
            raise GanzooError(f'{config.source} has no class "{name}".{nearest(name, known)}')
    if not config.classes:
        return found
    rows = [i for i, name in enumerate(found.classes) if name in config.classes]
    ids, classes = [found.ids[i] for i in rows], [found.classes[i] for i in rows]
    return Grids(ids, found.bits[rows], classes, found.skipped, found.about)
