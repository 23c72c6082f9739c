"""How long many photos take: to check them, to the first batch of a training, and for each batch of it; beside torchvision.

    python -m benchmarks.photos [--photos 10000] [--many 100000] [--size 64] [--seconds 5] [--json FILE]

README.md in this folder says what the columns mean.
"""

import argparse
import json
import os
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import children, train_step
from benchmarks.measure_photos import BATCH

PHOTO = 256  # side of the made-up photos
DISTINCT = 1_000  # of them; the others are links to these, which a reader cannot tell
STEP = "dcgan/lorelei-64"  # whose step the share is of


# ---- what is read ----------------------------------------------------------------------------------------------------
def made_up(folder: Path, photos: int, size: int = PHOTO) -> Path:
    """A folder of JPEG photos, in ten folders of classes: smooth noise, about as many bytes as a photo of that size."""
    rng, folders = np.random.default_rng(0), [folder / f"class{i}" for i in range(10)]
    for path in folders:
        path.mkdir(parents=True)
    for i in range(photos):
        path = folders[i % 10] / f"{i:06d}.jpg"
        if i < DISTINCT:
            coarse = Image.fromarray(rng.integers(0, 256, (size // 8, size // 8, 3), np.uint8))
            coarse.resize((size, size), Image.Resampling.BICUBIC).save(path, quality=85)
        else:
            os.link(folders[i % 10] / f"{i % DISTINCT:06d}.jpg", path)
    return folder


def zipped(folder: Path, path: Path) -> Path:
    """The same photos as one zip file, stored."""
    with zipfile.ZipFile(path, "w") as archive:
        for photo in sorted(folder.rglob("*.jpg")):
            archive.write(photo, photo.relative_to(folder))
    return path


def recorded(folder: Path, out: Path) -> str:
    """The same photos as TFRecords of a prepared TensorFlow set in `out`, by its name."""
    import tensorflow_datasets as tfds

    class MadeUpPhotos(tfds.core.GeneratorBasedBuilder):
        """Photos with a label."""

        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {
                "image": tfds.features.Image(encoding_format="jpeg"),
                "label": tfds.features.ClassLabel(num_classes=10),
            }
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for i, photo in enumerate(sorted(folder.rglob("*.jpg"))):
                yield i, {"image": str(photo), "label": i % 10}

    MadeUpPhotos(data_dir=out).download_and_prepare()
    return "tfds:made_up_photos"


def measured(kind: str, request: dict) -> dict:
    """One measurement in a process of its own; {"error": its last words} if it failed."""
    return children.measured("measure_photos", kind, request)


# ---- the table -------------------------------------------------------------------------------------------------------
def line(name: str, photos: int, found: dict, step: float | None) -> str:
    """A row of the table."""
    if words := found.get("error") or (f"not installed ({found['missing']})" if "missing" in found else ""):
        return f"{name:<26} {photos:>8,}  {words}"
    parts = [f"check {found['check_seconds']:.1f} s ({found['check_cpu']:.1f} cpu)"] if "check_seconds" in found else []
    if "ms" in found:
        parts += [f"first batch {found['first_seconds']:.2f} s", f"{found['ms']:.1f} ms a batch"]
        parts += [f"{found['ms'] / step:.1%} of a step"] if step else []
        parts += [f"{found['peak_mib']:.0f} MiB"]
    return f"{name:<26} {photos:>8,}  {', '.join(parts)}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.photos", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--photos", type=int, default=10_000, help="in the folder that is checked and read by both sides"
    )
    parser.add_argument("--many", type=int, default=100_000, help="in the folder, zip file and TFRecords (0: none)")
    parser.add_argument("--size", type=int, default=64, help="of the pictures in a batch")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement (default 5)")
    parser.add_argument(
        "--step", type=float, metavar="MS", help=f"of a training, for the share (default: {STEP}'s, measured)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures")
    options = parser.parse_args(arguments)
    if options.photos < BATCH or (options.many and options.many < BATCH):
        parser.error(f"--photos and --many are at least a batch, {BATCH}")
    about, case = train_step.machine(), {"preset": STEP, "precision": "float32", "batch_size": BATCH}
    trained = {"ms": options.step} if options.step else train_step.child("step", case, options.seconds)
    step = trained.get("ms")
    print(f"{about['processor']}, {about['cores']} cores; a step: {f'{step:.0f} ms' if step else trained['error']}")
    rows = []

    def row(name: str, photos: int, found: dict) -> None:
        rows.append({"name": name, "photos": photos, "result": found})
        print(line(name, photos, found, step), flush=True)

    reading = {"size": options.size, "seconds": options.seconds}
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        few = str(made_up(home / "few", options.photos))
        row("ganzoo data check", options.photos, measured("check", {"source": few}))
        row("ganzoo, folder", options.photos, measured("ganzoo", {"source": few} | reading))
        row("torchvision, ImageFolder", options.photos, measured("torchvision", {"source": few} | reading))
        if options.many:
            many = made_up(home / "many", options.many)
            row("ganzoo, folder", options.many, measured("ganzoo", {"source": str(many)} | reading))
            row(
                "ganzoo, zip file",
                options.many,
                measured("ganzoo", {"source": str(zipped(many, home / "many.zip"))} | reading),
            )
            os.environ["TFDS_DATA_DIR"] = str(home / "tfds")
            row(
                "ganzoo, TFRecords",
                options.many,
                measured("ganzoo", {"source": recorded(many, home / "tfds")} | reading),
            )
            row("torchvision, ImageFolder", options.many, measured("torchvision", {"source": str(many)} | reading))
    if options.json:
        options.json.write_text(json.dumps({"machine": about, "step_ms": step, "rows": rows}, indent=1) + "\n", "utf-8")
    return 1 if any("error" in r["result"] for r in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
