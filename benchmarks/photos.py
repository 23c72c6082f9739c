"""How long many photos take: to check them, to the first batch of a training, and for each batch of it; beside torchvision.

    python -m benchmarks.photos [--photos 10000] [--many 100000] [--size 64] [--seconds 5] [--json FILE]

README.md in this folder says what the columns mean.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import timing
from benchmarks.train_step import machine
from ganzoo.devices.quiet import environment

BATCH = 64
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


# ---- measurements, each in a process of its own ----------------------------------------------------------------------
def check(source: str) -> dict:
    """Seconds of `ganzoo data check`, a cold process, and what its cores were busy."""
    start, before = time.perf_counter(), os.times()
    command = [sys.executable, "-m", "ganzoo", "data", "check", source, "--json"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, errors="replace")
    if done.returncode:
        raise SystemExit(done.stderr.strip().splitlines()[-1])
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return {"check_seconds": time.perf_counter() - start, "check_cpu": cpu}


def of_ganzoo(source: str, size: int, seconds: float) -> dict:
    """Seconds from the source's name to the first batch, and milliseconds of each that follows."""
    import tensorflow as tf

    from ganzoo import data
    from ganzoo.presets import DataConfig

    tf.constant(0)  # TensorFlow has started
    start = time.perf_counter()
    iterator = iter(
        data.batches(data.open_source(DataConfig(shape="images", source=source, size=size, hold_out=0)), BATCH)
    )
    return drawn(lambda: next(iterator), start, seconds)


def of_torchvision(source: str, size: int, seconds: float) -> dict:
    """The same by ImageFolder and DataLoader, with a worker for each core; {"missing": ...} where it is not installed."""
    try:
        import torch
        from torchvision import datasets, transforms
    except ImportError:
        return {"missing": "torchvision"}
    steps = [
        transforms.Resize(size),
        transforms.CenterCrop(size),
        transforms.ToTensor(),
        transforms.Normalize(0.5, 0.5),
    ]
    start = time.perf_counter()
    folder = datasets.ImageFolder(source, transforms.Compose(steps))
    options = {"shuffle": True, "drop_last": True, "num_workers": timing.cores(), "persistent_workers": True}
    loader = torch.utils.data.DataLoader(folder, BATCH, **options)

    def endless():
        while True:
            yield from loader

    iterator = endless()
    return drawn(lambda: next(iterator), start, seconds)


def drawn(call, start: float, seconds: float) -> dict:
    """What both sides return; the mean, since prefetching makes some batches free and the next ones dear."""
    call()
    first = time.perf_counter() - start
    timing.warm_up(call)
    return {
        "first_seconds": first,
        "ms": statistics.mean(timing.timed(call, seconds)) * 1000,
        "peak_mib": timing.peak_mib(),
    }


def child(kind: str, request: dict) -> dict:
    """One measurement in a process of its own; {"error": its last words} if it failed."""
    command = [sys.executable, "-m", "benchmarks.photos", "--child", kind, json.dumps(request)]
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(command, cwd=root, env=environment(), capture_output=True, text=True, errors="replace")
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]}
    return json.loads(done.stdout.splitlines()[-1])


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
    parser.add_argument("--child", nargs=2, metavar=("KIND", "REQUEST"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        kind, request = options.child
        print(
            json.dumps(
                {"check": check, "ganzoo": of_ganzoo, "torchvision": of_torchvision}[kind](**json.loads(request))
            )
        )
        return 0
    if options.photos < BATCH or (options.many and options.many < BATCH):
        parser.error(f"--photos and --many are at least a batch, {BATCH}")
    about = machine()
    step = options.step or step_ms(options.seconds)
    print(f"{about['processor']}, {about['cores']} cores; a step: {f'{step:.0f} ms' if step else 'not measured'}")
    rows = []

    def row(name: str, photos: int, found: dict) -> None:
        rows.append({"name": name, "photos": photos, "result": found})
        print(line(name, photos, found, step), flush=True)

    reading = {"size": options.size, "seconds": options.seconds}
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        few = str(made_up(home / "few", options.photos))
        row("ganzoo data check", options.photos, child("check", {"source": few}))
        row("ganzoo, folder", options.photos, child("ganzoo", {"source": few} | reading))
        row("torchvision, ImageFolder", options.photos, child("torchvision", {"source": few} | reading))
        if options.many:
            many = made_up(home / "many", options.many)
            row("ganzoo, folder", options.many, child("ganzoo", {"source": str(many)} | reading))
            row(
                "ganzoo, zip file",
                options.many,
                child("ganzoo", {"source": str(zipped(many, home / "many.zip"))} | reading),
            )
            os.environ["TFDS_DATA_DIR"] = str(home / "tfds")
            row("ganzoo, TFRecords", options.many, child("ganzoo", {"source": recorded(many, home / "tfds")} | reading))
            row("torchvision, ImageFolder", options.many, child("torchvision", {"source": str(many)} | reading))
    if options.json:
        options.json.write_text(json.dumps({"machine": about, "step_ms": step, "rows": rows}, indent=1) + "\n", "utf-8")
    return 1 if any("error" in r["result"] for r in rows) else 0


def step_ms(seconds: float) -> float | None:
    """Milliseconds of a training step to compare with."""
    from benchmarks import train_step

    case = {"preset": STEP, "precision": "float32", "batch_size": BATCH}
    return train_step.child("step", case, seconds).get("ms")


if __name__ == "__main__":
    sys.exit(main())
