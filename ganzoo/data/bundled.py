"""The bundled sets: names, files, licences, and their arrays as `Records`. NumPy and Pillow only.

The files lie in `ganzoo/assets/data`. If the environment variable GANZOO_DATA names a folder with files of the same names,
those (the full sets) are used instead. Pictures lie in the npz as WebP files end to end (`<name>_webp`, `<name>_offsets`)
or as plain arrays; labels, attributes and splits are plain columns.
"""

import hashlib
import io
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from ganzoo import ages
from ganzoo.data.attributes import Attributes, attributes_of
from ganzoo.data.captions import Described
from ganzoo.data.sources.idx import idx_arrays
from ganzoo.data.sources.records import Records, choose_splits
from ganzoo.errors import GanzooError, nearest
from ganzoo.files import MAX_BYTES, read_json, read_npz

ASSETS = Path(__file__).resolve().parents[1] / "assets" / "data"
SYSTEM_FASHION = Path(
    "/usr/share/datasets/fashion-mnist"
)  # where the Debian package dataset-fashion-mnist puts its files
VENDORS = ("fluent3d", "noto")
GRAY = ("lines", "edges")
DIGITS = "0123456789"
NAMES = {"hair_color": "hair"}  # column -> attribute


@dataclass(frozen=True)
class BundledSet:
    """`stem` of its files; the columns that serve each task shape (one for images; A, B for paired).

    `labels`: column of the classes, where they are digits. `half`: which half of the training rows is taken, so that two sets
    of the same digits have none in common.
    """

    stem: str
    size: int
    columns: dict[str, tuple[str, ...]]
    labels: str = ""
    half: str = ""


SETS = {
    "fashion": BundledSet("fashion_mnist", 28, {"images": ("images",)}),
    "lorelei_64": BundledSet(
        "lorelei_64", 64, dict.fromkeys(("images", "captions", "attributes", "masks"), ("images",))
    ),
    "adventurer_pairs_64": BundledSet(
        "adventurer_pairs_64", 64, {"paired": ("lines", "colour"), "images": ("colour",)}
    ),
    "fluent_edges_128": BundledSet("fluent_edges_128", 128, {"paired": ("edges", "photo"), "images": ("photo",)}),
    "emoji_64": BundledSet("emoji_64", 64, {"images": ("images",), "unpaired": VENDORS}),
    "photos_128": BundledSet("photos_128", 128, {"masks": ("images",), "images": ("images",)}),
    "faces_age_64": BundledSet("faces_age_64", 64, {"ages": ("images",), "images": ("images",)}),
    "mnist_m_32": BundledSet("mnist_m_32", 32, {"images": ("images",)}, labels="labels", half="A"),
    "mnist": BundledSet("mnist_5k", 28, {"images": ("images",)}, labels="labels", half="B"),
    "furniture_voxels_32": BundledSet("furniture_voxels_32", 32, {}),
}


def bundled_names() -> list[str]:
    """Names of the bundled sets; `emoji_64/fluent3d` and `emoji_64/noto` name its parts."""
    return list(SETS)


def canonical(source: str) -> str | None:
    """The bundled set that `source` names, ignoring case, `-` and `_`; None if it names none."""
    head, slash, part = source.partition("/")
    names = {_plain(name): name for name in SETS}
    name = names.get(_plain(head))
    if name is None or (slash and (name != "emoji_64" or not part.isidentifier())):
        return None
    return f"{name}/{part.lower()}" if slash else name


def facts(name: str) -> dict:
    """The sidecar of a bundled set: upstream packages, licence, attribution, split rule, how it was made."""
    return read_json(ASSETS / f"{SETS[name.partition('/')[0]].stem}.json")


def columns(name: str) -> dict[str, np.ndarray]:
    """Every column of a bundled set that is not a picture (labels, names, captions, `split`), plus `voxels` as bool (n, x, y, z)."""
    if name == "fashion":
        arrays = _fashion()[0]
        counts = {split: len(arrays[f"{split}_labels"]) for split in ("train", "test")}
        labels = np.concatenate([arrays["train_labels"], arrays["test_labels"]]).astype(np.int64)
        return {"label": labels, "split": np.repeat(list(counts), list(counts.values()))}
    if name.partition("/")[0] == "emoji_64":
        return _emoji_parts(name)[-1]
    arrays = _load(SETS[name].stem)
    plain = {k: v for k, v in arrays.items() if not k.endswith(("_webp", "_offsets"))}
    if "voxels" in plain:
        side = round((plain["voxels"].shape[1] * 8) ** (1 / 3))
        plain["voxels"] = np.unpackbits(plain["voxels"], axis=1).reshape(-1, side, side, side).astype(bool)
    if SETS[name].half:
        plain |= {"split": _own_half(name, arrays)}
        plain.pop("images", None)
    return plain


def _own_half(name: str, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """The column `split`, "" (no split) in rows of the half that is another set's."""
    other = ~np.isin(arrays["half"], [SETS[name].half, "-"])
    return np.where(other, "", arrays["split"])


def class_names() -> list[str]:
    """The ten kinds of clothes, in the order of the labels of `fashion`."""
    return _load("fashion_mnist")["class_names"].tolist()


def bundled_records(name: str, split: str, shape: str) -> Records:
    """Open a bundled set (a canonical name) for a task shape ("images", "paired", "unpaired", "captions", "attributes" or
    "ages")."""
    head = name.partition("/")[0]
    if shape not in SETS[head].columns:
        fitting = [n for n, s in SETS.items() if shape in s.columns]
        raise GanzooError(
            f'The bundled set {head} does not hold data of the shape "{shape}"; these do: {", ".join(fitting)}.'
        )
    if head == "fashion":
        parts, splits, ids, origin = _fashion_parts()
    elif shape == "unpaired":
        parts, splits, ids, origin = _emoji_domains(name)
    elif head == "emoji_64":
        parts, splits, ids, origin, _ = _emoji_parts(name)
    else:
        arrays = _load(SETS[head].stem)
        parts = [
            Webp(arrays[f"{c}_webp"], arrays[f"{c}_offsets"], c in GRAY) if f"{c}_webp" in arrays else Plain(arrays[c])
            for c in SETS[head].columns[shape]
        ]
        splits = _own_half(head, arrays) if SETS[head].half else arrays["split"]
        origin = _origin(SETS[head].stem)
        ids = [f"{s}/{i:05d}" for i, s in enumerate(splits)]
    chosen = choose_splits(dict.fromkeys(s for s in splits.tolist() if s), split, f"The bundled set {name}")
    rows = np.flatnonzero(np.isin(splits, chosen))
    about = {key: facts(head)[key] for key in ("licence", "attribution", "upstream")} | {"origin": origin}
    return Records(
        source=name,
        split=split,
        ids=[ids[i] for i in rows],
        read=lambda i, fit: tuple(part.picture(rows[i]) for part in parts),
        content=lambda i: (part.content(rows[i]) for part in parts),
        trusted=True,
        labels=_labels(head, shape, rows),
        class_names=_class_names(head, shape),
        attributes=_attributes(columns(name), name).of(rows) if shape == "attributes" else None,
        described=_described(columns(name)["captions"][rows]) if shape == "captions" else None,
        about=about,
    )


def _labels(head: str, shape: str, rows: np.ndarray) -> np.ndarray | None:
    """int64 classes of rows of a set, where it has classes in this shape."""
    column = {"fashion": "label"}.get(head, "age_bin" if shape == "ages" else SETS[head].labels)
    return columns(head)[column][rows].astype(np.int64) if column else None


def _class_names(head: str, shape: str) -> tuple[str, ...]:
    if head == "fashion":
        return tuple(class_names())
    return ages.NAMES if shape == "ages" else tuple(DIGITS) if SETS[head].labels else ()


def _described(captions: np.ndarray) -> list[Described]:
    return [Described(tuple(text for text in row if text)) for row in captions.astype(str).tolist()]


def _attributes(plain: dict[str, np.ndarray], source: str) -> Attributes:
    """The columns that are not captions and no split, of all rows; `hair_color` is called "hair"."""
    names = [name for name in plain if name not in ("captions", "split")]
    columns = [plain[name].astype(str).tolist() for name in names]
    names = [NAMES.get(name, name) for name in names]
    return attributes_of([dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)], source)


class Webp:
    """WebP files end to end; picture i lies between offsets i and i + 1."""

    def __init__(self, blob: np.ndarray, offsets: np.ndarray, gray: bool = False):
        self.blob, self.offsets, self.mode = blob, offsets, "L" if gray else "RGB"

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def content(self, i: int) -> bytes:
        return self.blob[self.offsets[i] : self.offsets[i + 1]].tobytes()

    def picture(self, i: int) -> np.ndarray:
        array = np.asarray(Image.open(io.BytesIO(self.content(i))).convert(self.mode))
        return array[..., None] if array.ndim == 2 else array


class Plain:
    """A uint8 array (n, h, w) or (n, h, w, c) with the same two methods."""

    def __init__(self, array: np.ndarray):
        self.array = array[..., None] if array.ndim == 3 else array

    def content(self, i: int) -> bytes:
        return self.array[i].tobytes()

    def picture(self, i: int) -> np.ndarray:
        return self.array[i]


class Joined:
    """Several pictures columns, one after the other."""

    def __init__(self, columns: list[Webp]):
        self.where = [(column, i) for column in columns for i in range(len(column))]

    def content(self, i: int) -> bytes:
        column, row = self.where[i]
        return column.content(row)

    def picture(self, i: int) -> np.ndarray:
        column, row = self.where[i]
        return column.picture(row)


def _fashion() -> tuple[dict[str, np.ndarray], str]:
    """(arrays, origin): a full set from GANZOO_DATA, else the system package, else the bundled part."""
    path = _path("fashion_mnist.npz")
    if path.parent == ASSETS and SYSTEM_FASHION.is_dir():
        files = {p.name: p for p in SYSTEM_FASHION.iterdir()}
        return idx_arrays(files, lambda n: files[n].read_bytes(), str(SYSTEM_FASHION)), "system package"
    return _load("fashion_mnist"), _origin("fashion_mnist")


def _fashion_parts():
    arrays, origin = _fashion()
    splits = np.array(["train"] * len(arrays["train_images"]) + ["test"] * len(arrays["test_images"]))
    ids = [f"{s}/{i:05d}" for s in ("train", "test") for i in range(len(arrays[f"{s}_images"]))]
    return [Plain(np.concatenate([arrays["train_images"], arrays["test_images"]]))], splits, ids, origin


def _emoji(vendors: tuple[str, ...]) -> tuple[list[Webp], list[str], dict[str, np.ndarray]]:
    """(picture columns, ids, plain columns) of the vendors; group, name and split come from the index by hexcode."""
    try:
        rows = read_json(_path("emoji_64_index.json"), MAX_BYTES)
    except (OSError, ValueError) as error:
        raise GanzooError(f"Cannot read the index of emoji_64: {error}.") from error
    index = {row["hexcode"]: row for row in rows}
    pictures, ids = [], []
    plain: dict[str, list] = {k: [] for k in ("vendor", "hexcode", "name", "group", "subgroup", "skintone", "split")}
    for vendor in vendors:
        arrays = _load(f"emoji_64_{vendor}")
        pictures.append(Webp(arrays["images_webp"], arrays["images_offsets"]))
        for hexcode in arrays["hexcode"].tolist():
            ids.append(f"{vendor}/{hexcode}")
            values = index[hexcode] | {"vendor": vendor}
            for key, column in plain.items():
                column.append(values[key])
    return pictures, ids, {k: np.array(v) for k, v in plain.items()}


def _emoji_parts(name: str):
    part = name.partition("/")[2]
    vendors = (part,) if part else VENDORS
    if part and part not in VENDORS:
        raise GanzooError(f'The bundled set emoji_64 has no part "{part}".{nearest(part, VENDORS)}')
    pictures, ids, plain = _emoji(vendors)
    return [Joined(pictures)], plain["split"], ids, _origin(f"emoji_64_{vendors[0]}"), plain


def _emoji_domains(name: str):
    """The base drawings (no skin tones) that both vendors have: Fluent 3D is domain A, Noto domain B.

    Of a concept in the train split one domain has the drawings and the other has none ("" is not a split), by a hash of the
    concept; the test split has them in both, in one order.
    """
    if "/" in name:
        raise GanzooError(f'Unpaired data need both vendors: write "emoji_64" instead of "{name}".')
    pictures, ids, plain = _emoji(VENDORS)
    hexcodes, vendors = plain["hexcode"], plain["vendor"]
    common = set.intersection(*(set(hexcodes[vendors == vendor].tolist()) for vendor in VENDORS))
    splits = []
    for hexcode, vendor, split, tone in zip(hexcodes, vendors, plain["split"], plain["skintone"], strict=True):
        domain = "AB"[VENDORS.index(vendor)]
        kept = hexcode in common and not tone and (split == "test" or emoji_domain(concept(hexcode)) == domain)
        splits.append(f"{split}{domain}" if kept else "")
    # One order of glyphs for both vendors, and a mixed one: the first few show what there is.
    order = np.lexsort((np.array([hashlib.md5(code.encode()).hexdigest() for code in hexcodes]), vendors))
    joined = Joined(pictures)
    joined.where = [joined.where[i] for i in order]
    return [joined], np.array(splits)[order], [ids[i] for i in order], _origin("emoji_64_fluent3d")


def concept(hexcode: str) -> str:
    """What a drawing shows: the hexcode without fe0f, 200d, skin tones, gender signs and direction; man and woman as person."""
    person = {"1f468": "1f9d1", "1f469": "1f9d1"}
    dropped = {"fe0f", "200d", "2640", "2642", "27a1", *(f"1f3f{tone}" for tone in "bcdef")}
    return "-".join(person.get(code, code) for code in hexcode.lower().split("-") if code not in dropped)


def emoji_domain(key: str) -> str:
    """ "A" or "B": the domain that has a concept in training."""
    return "AB"[int(hashlib.md5(f"ganzoo-domain:{key}".encode()).hexdigest(), 16) % 2]


def _path(file: str) -> Path:
    """The file in GANZOO_DATA if it is there, else the bundled one."""
    folder = os.environ.get("GANZOO_DATA")
    if not folder:
        return ASSETS / file
    if not Path(folder).is_dir():
        raise GanzooError(f"GANZOO_DATA names {folder}, which is not a folder. Unset it to use the bundled data.")
    full = Path(folder) / file
    return full if full.is_file() else ASSETS / file


def _origin(stem: str) -> str:
    return "bundled" if _path(f"{stem}.npz").parent == ASSETS else "GANZOO_DATA"


def _load(stem: str) -> dict[str, np.ndarray]:
    path = _path(f"{stem}.npz")
    return _read_npz(path, path.stat().st_mtime_ns if path.is_file() else 0)


@lru_cache(maxsize=4)
def _read_npz(path: Path, _modified: int) -> dict[str, np.ndarray]:
    try:
        return read_npz(path, f"The data file {path}")
    except GanzooError as error:
        raise GanzooError(f"{error} Install ganzoo again, or check GANZOO_DATA.") from error


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "").replace(" ", "")
