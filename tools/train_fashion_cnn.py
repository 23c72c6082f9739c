"""The recipe of fashion-cnn: `GANZOO_DATA=DIR python -m tools.train_fashion_cnn [-o DIR]`.

Trains on the 60,000 train pictures of Fashion-MNIST in DIR/fashion_mnist.npz (without GANZOO_DATA on the bundled part),
tests the written file on the test pictures once, at the end, and writes weights and sidecar. One thread, one seed: the
same machine gives the same numbers. Nothing was selected on the test pictures: the last step's weights are kept.
"""

import argparse
import hashlib
import json
import os
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import ganzoo
from ganzoo import files, weights
from ganzoo.errors import GanzooError
from ganzoo.metrics.features import fashion_cnn
from ganzoo.metrics.features.network import ASSETS

BATCH = 128
RATE, DECAY = 2e-3, 5e-3  # of AdamW; the rate falls to 0 along a cosine
SHIFT = 2  # pixels
COMMAND = "GANZOO_DATA=DIR python -m tools.train_fashion_cnn"


def train(data: str | Path, out: str | Path = ASSETS, *, epochs: int = 10, seed: int = 0, verbose: int = 2) -> dict:
    """Trains the classifier and writes `fashion_cnn.safetensors` (float16) and its sidecar into `out`; returns the sidecar.

    Args:
        data: an npz with train_images, test_images (uint8 (N, 28, 28)), train_labels and test_labels (0..9).
    """
    arrays, digest = _read(Path(data))
    images, labels = arrays["train_images"][..., None], arrays["train_labels"].astype(np.int64)
    started, cpu = time.time(), time.process_time()
    keras.utils.set_random_seed(seed)
    model = fashion_cnn.build(training=True)
    steps = len(images) // BATCH * epochs
    classifier = keras.Model(model.input, model.outputs[1])
    classifier.compile(
        keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(RATE, steps), weight_decay=DECAY),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    classifier.fit(
        _batches(images, labels, seed), steps_per_epoch=steps // epochs, epochs=epochs, shuffle=False, verbose=verbose
    )
    seconds, cpu_seconds = time.time() - started, time.process_time() - cpu

    out = Path(out)
    sha256 = weights.write(out / fashion_cnn.FILE, folded(model), dtype="float16")
    about = {
        "name": "fashion-cnn, a classifier of Fashion-MNIST",
        "made_by": f"ganzoo {ganzoo.__version__}, {COMMAND} --epochs {epochs} --seed {seed}",
        "licence": "Apache-2.0; trained on Fashion-MNIST, MIT, Copyright (c) 2017 Zalando SE",
        "preprocessing": "gray at 28x28, x / 255",
        "feature": f"output of the first dense layer, {fashion_cnn.DIMENSIONS}-d, after ReLU",
        "parameters": int(fashion_cnn.build().count_params()),
        "data": {"file": Path(data).name, "sha256": digest, "train": len(images), "test": len(arrays["test_images"])},
        "seed": seed,
        "epochs": epochs,
        "batch_size": BATCH,
        "wall_minutes": round(seconds / 60, 1),
        "cpu_minutes": round(cpu_seconds / 60, 1),
        "files": {fashion_cnn.FILE: {"bytes": (out / fashion_cnn.FILE).stat().st_size, "sha256": sha256}},
    }
    about["test_accuracy"] = accuracy(out / fashion_cnn.FILE, arrays["test_images"], arrays["test_labels"])
    files.write_bytes(out / fashion_cnn.SIDECAR, (json.dumps(about, indent=1) + "\n").encode())
    return about


def accuracy(path: str | Path, images: np.ndarray, labels: np.ndarray) -> float:
    """Share of the pictures (N, 28, 28) that the weights of a file classify right, to 4 digits."""
    model, right = fashion_cnn.build(), 0
    weights.assign({v.path: v for v in model.weights}, weights.read(path)[0], str(path))
    for start in range(0, len(images), 500):
        logits = model(fashion_cnn.scaled(images[start : start + 500, ..., None]), training=False)[1]
        right += int(np.sum(np.argmax(logits, axis=1) == labels[start : start + 500]))
    return round(right / len(images), 4)


def folded(model: keras.Model) -> dict[str, np.ndarray]:
    """The weights of a trained network by path, with every batch norm folded into its convolution."""
    arrays = {v.path: keras.ops.convert_to_numpy(v) for v in model.weights if "norm" not in v.path}
    for place in range(1, len(fashion_cnn.WIDTHS) + 1):
        norm = model.get_layer(f"norm{place}")
        gamma, beta, mean, variance = (
            keras.ops.convert_to_numpy(v) for v in (norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance)
        )
        scale = gamma / np.sqrt(variance + norm.epsilon)
        arrays[f"conv{place}/bias"] = beta + (arrays[f"conv{place}/bias"] - mean) * scale
        arrays[f"conv{place}/kernel"] = arrays[f"conv{place}/kernel"] * scale
    return arrays


def _batches(images: np.ndarray, labels: np.ndarray, seed: int) -> tf.data.Dataset:
    """Shuffled batches without end; each is shifted by up to two pixels, half of its pictures are mirrored."""
    order = np.random.default_rng(seed)

    def rows():
        while True:
            shuffled = order.permutation(len(images))
            for start in range(0, len(shuffled) - BATCH + 1, BATCH):
                chosen = shuffled[start : start + BATCH]
                yield _augmented(images[chosen], order), labels[chosen]

    signature = (tf.TensorSpec((BATCH, 28, 28, 1), tf.float32), tf.TensorSpec((BATCH,), tf.int64))
    return tf.data.Dataset.from_generator(rows, output_signature=signature).prefetch(2)


def _augmented(images: np.ndarray, random: np.random.Generator) -> np.ndarray:
    top, left = random.integers(0, 2 * SHIFT + 1, 2)
    padded = np.pad(images, [(0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)])
    shifted = padded[:, top : top + 28, left : left + 28].astype(np.float32) / 255
    mirrored = random.random(len(images)) < 0.5
    shifted[mirrored] = shifted[mirrored, :, ::-1]
    return shifted


def _read(path: Path) -> tuple[dict[str, np.ndarray], str]:
    """(arrays, sha256 of the file)."""
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        with np.load(path, allow_pickle=False) as file:
            names = [f"{split}_{what}" for split in ("train", "test") for what in ("images", "labels")]
            return {name: file[name] for name in names}, digest
    except (OSError, ValueError, KeyError) as error:
        raise GanzooError(f"{path} is no Fashion-MNIST of four arrays (train_images, ...): {error}.") from error


def main() -> None:
    """The command line of the recipe."""
    parser = argparse.ArgumentParser(description="Train fashion-cnn, the feature extractor for pictures of clothes.")
    parser.add_argument("-o", "--out", default=str(ASSETS), help="folder of the weights and the sidecar")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    data = Path(os.environ.get("GANZOO_DATA") or ASSETS.parent / "data") / "fashion_mnist.npz"
    about = train(data, options.out, epochs=options.epochs, seed=options.seed)
    print(f"test accuracy {about['test_accuracy']}, {about['wall_minutes']} minutes: {options.out}")


if __name__ == "__main__":
    main()
