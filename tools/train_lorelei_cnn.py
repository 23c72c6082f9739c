"""The recipe of lorelei-cnn: `GANZOO_DATA=DIR python -m tools.train_lorelei_cnn [-o DIR]`.

Trains on the train pictures of DIR/lorelei_64.npz (without GANZOO_DATA on the bundled part), tests the written file on the
test pictures, and on those of the pairs that train never shows, once, at the end, and writes weights and sidecar. One
thread, one seed: the same machine gives the same numbers. Nothing was selected on the test pictures.
"""

import argparse
import hashlib
import io
import json
import os
import time
import zipfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

import ganzoo
from ganzoo import files, weights
from ganzoo.errors import GanzooError
from ganzoo.metrics.features import lorelei_cnn
from ganzoo.metrics.features.network import ASSETS

BATCH = 64
RATE, DECAY = 2e-3, 5e-3  # of AdamW; the rate falls to 0 along a cosine
SHIFT = 2  # pixels
COMMAND = "GANZOO_DATA=DIR python -m tools.train_lorelei_cnn"


def train(data: str | Path, out: str | Path = ASSETS, *, epochs: int = 6, seed: int = 0, verbose: int = 2) -> dict:
    """Trains the classifier and writes `lorelei_cnn.safetensors` (float16) and its sidecar into `out`; returns the sidecar."""
    arrays, digest = _read(Path(data))
    chosen = np.flatnonzero(arrays["split"] == "train")
    images = pictures(arrays, chosen)
    labels = {column: codes(column, arrays[column][chosen]) for column in lorelei_cnn.HEADS}
    started, cpu = time.time(), time.process_time()
    keras.utils.set_random_seed(seed)
    model = lorelei_cnn.build(training=True)
    steps = len(images) // BATCH * epochs
    model.compile(
        keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(RATE, steps), weight_decay=DECAY),
        {column: keras.losses.SparseCategoricalCrossentropy(from_logits=True) for column in labels},
    )
    batches = _batches(images, labels, seed)
    model.fit(batches, steps_per_epoch=steps // epochs, epochs=epochs, shuffle=False, verbose=verbose)
    seconds, cpu_seconds = time.time() - started, time.process_time() - cpu

    out = Path(out)
    sha256 = weights.write(out / lorelei_cnn.FILE, folded(model), dtype="float16")
    about = {
        "name": "lorelei-cnn, a reader of hair colour, hair style, glasses and mouth of lorelei_64",
        "made_by": f"ganzoo {ganzoo.__version__}, {COMMAND} --epochs {epochs} --seed {seed}",
        "licence": "Apache-2.0; trained on a remix of Lorelei by Lisa Wischofsky, CC0 1.0",
        "preprocessing": "RGB at 64x64, x / 255",
        "heads": lorelei_cnn.HEADS,
        "parameters": int(lorelei_cnn.build().count_params()),
        "data": {"file": Path(data).name, "sha256": digest, "train": len(images)},
        "seed": seed,
        "epochs": epochs,
        "batch_size": BATCH,
        "wall_minutes": round(seconds / 60, 1),
        "cpu_minutes": round(cpu_seconds / 60, 1),
        "files": {lorelei_cnn.FILE: {"bytes": (out / lorelei_cnn.FILE).stat().st_size, "sha256": sha256}},
    }
    for split in ("test", "novel"):
        rows = np.flatnonzero(arrays["split"] == split)
        about["data"][split] = len(rows)
        about[f"{split}_accuracy"] = accuracy(out / lorelei_cnn.FILE, arrays, rows)
    files.write_bytes(out / lorelei_cnn.SIDECAR, (json.dumps(about, indent=1) + "\n").encode())
    return about


def pictures(arrays: dict[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
    """uint8 (n, 64, 64, 3) of the rows' WebP files."""
    blob, offsets = arrays["images_webp"], arrays["images_offsets"]
    files = (blob[offsets[i] : offsets[i + 1]].tobytes() for i in rows)
    return np.stack([np.asarray(Image.open(io.BytesIO(file)).convert("RGB")) for file in files])


def codes(column: str, values: np.ndarray) -> np.ndarray:
    """int64 class numbers of a column's values."""
    classes = lorelei_cnn.HEADS[column]
    return np.array([classes.index(value) for value in values.astype(str)], np.int64)


def accuracy(path: str | Path, arrays: dict[str, np.ndarray], rows: np.ndarray) -> dict[str, float]:
    """Share of the rows' pictures that the weights of a file read right, by column, to 4 digits."""
    model = lorelei_cnn.build()
    weights.assign({v.path: v for v in model.weights}, weights.read(path)[0], str(path))
    read = lorelei_cnn.read(pictures(arrays, rows), model)
    return {column: round(float(np.mean(read[column] == arrays[column][rows].astype(str))), 4) for column in read}


def folded(model: keras.Model) -> dict[str, np.ndarray]:
    """The weights of a trained network by path, with every batch norm folded into its convolution."""
    arrays = {v.path: keras.ops.convert_to_numpy(v) for v in model.weights if "norm" not in v.path}
    for place in range(1, len(lorelei_cnn.CONVOLUTIONS) + 1):
        norm = model.get_layer(f"norm{place}")
        gamma, beta, mean, variance = (
            keras.ops.convert_to_numpy(v) for v in (norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance)
        )
        scale = gamma / np.sqrt(variance + norm.epsilon)
        arrays[f"conv{place}/bias"] = beta + (arrays[f"conv{place}/bias"] - mean) * scale
        arrays[f"conv{place}/kernel"] = arrays[f"conv{place}/kernel"] * scale
    return arrays


def _batches(images: np.ndarray, labels: dict[str, np.ndarray], seed: int) -> tf.data.Dataset:
    """Shuffled batches without end; each is shifted by up to two pixels, half of its pictures are mirrored."""
    order = np.random.default_rng(seed)

    def rows():
        while True:
            shuffled = order.permutation(len(images))
            for start in range(0, len(shuffled) - BATCH + 1, BATCH):
                chosen = shuffled[start : start + BATCH]
                yield _augmented(images[chosen], order), {column: values[chosen] for column, values in labels.items()}

    picture = tf.TensorSpec((BATCH, lorelei_cnn.SIZE, lorelei_cnn.SIZE, 3), tf.float32)
    signature = (picture, {column: tf.TensorSpec((BATCH,), tf.int64) for column in labels})
    return tf.data.Dataset.from_generator(rows, output_signature=signature).prefetch(2)


def _augmented(images: np.ndarray, random: np.random.Generator) -> np.ndarray:
    top, left = random.integers(0, 2 * SHIFT + 1, 2)
    padded = np.pad(images, [(0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)], mode="edge")
    shifted = padded[:, top : top + lorelei_cnn.SIZE, left : left + lorelei_cnn.SIZE].astype(np.float32) / 255
    mirrored = random.random(len(images)) < 0.5
    shifted[mirrored] = shifted[mirrored, :, ::-1]
    return shifted


def _read(path: Path) -> tuple[dict[str, np.ndarray], str]:
    """(arrays, sha256 of the file)."""
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        with np.load(path, allow_pickle=False) as file:
            names = ["images_webp", "images_offsets", "split", *lorelei_cnn.HEADS]
            return {name: file[name] for name in names}, digest
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise GanzooError(f"{path} is no lorelei_64 with its columns (images_webp, split, ...): {error}.") from error


def main() -> None:
    """The command line of the recipe."""
    parser = argparse.ArgumentParser(description="Train lorelei-cnn, the reader of the drawn characters' attributes.")
    parser.add_argument("-o", "--out", default=str(ASSETS), help="folder of the weights and the sidecar")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    data = Path(os.environ.get("GANZOO_DATA") or ASSETS.parent / "data") / "lorelei_64.npz"
    about = train(data, options.out, epochs=options.epochs, seed=options.seed)
    print(f"test accuracy {about['test_accuracy']}, {about['wall_minutes']} minutes: {options.out}")


if __name__ == "__main__":
    main()
