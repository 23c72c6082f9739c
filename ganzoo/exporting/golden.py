"""Golden inputs of an export: what every format is asked, and what Keras answers. The same for the same model."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from ganzoo import data, files
from ganzoo.base import BaseGAN, attributes, rows
from ganzoo.data import bundled
from ganzoo.errors import GanzooError
from ganzoo.exporting import manifest
from ganzoo.media import images

FILE = Path("assets.extra") / "golden.npz"  # in a SavedModel's folder
ROWS = 3
SEEDS = (0, 1, 123_456_789)
TEXTS = (
    "a smiling girl with long pink hair and round glasses",
    "A sad person with tan skin and short black hair.",
    "an anime character with a bushy beard",
)
PSI = (0.7, 1.0, 0.5)
YEARS = (10.0, 35.0, 70.0)
Answers = dict[str, dict[str, np.ndarray]]  # {"inputs": by name, "outputs": by name}


def serving(model: BaseGAN) -> dict[str, Answers]:
    """Inputs and Keras' outputs of every endpoint of `model.serving_signature()`."""
    return {name: _asked(model, name, *endpoint) for name, endpoint in model.serving_signature().items()}


def portable(model: BaseGAN) -> dict[str, Answers]:
    """The same of `model.portable_signature()`."""
    return {name: _asked(model, name, *endpoint) for name, endpoint in model.portable_signature().items()}


def flat(answers: dict[str, Answers]) -> dict[str, np.ndarray]:
    """Arrays by "<endpoint>/inputs/<name>" and "<endpoint>/outputs/<name>", as `export/check_saved_model.py` reads them."""
    return {
        f"{endpoint}/{side}/{key}": value.astype("S") if value.dtype == object else value
        for endpoint, sides in answers.items()
        for side, values in sides.items()
        for key, value in values.items()
    }


def inputs_of(folder: Path, endpoint: str) -> dict[str, np.ndarray]:
    """The golden inputs of an endpoint, by name, from the folder of a SavedModel.

    Raises:
        GanzooError: the file is missing or damaged.
    """
    start = f"{endpoint}/inputs/"
    stored = files.read_npz(
        folder / FILE, str(folder / FILE), choose=lambda keys: [k for k in keys if k.startswith(start)]
    )
    return {
        key.removeprefix(start): array.astype(object) if array.dtype.kind == "S" else array
        for key, array in stored.items()
    }


def floats(model: BaseGAN, endpoint: str, side: int, channels: int) -> np.ndarray:
    """Golden pictures as float32 (ROWS, side, side, channels) in [-1, 1]."""
    pictures = (images.to_channels(picture, channels) for picture in _pictures(model, endpoint, side))
    return np.stack([images.to_float(images.fit_image(picture, side, "stretch")) for picture in pictures])


def _asked(model: BaseGAN, endpoint: str, function: Callable, specs: dict[str, tf.TensorSpec]) -> Answers:
    inputs = {name: rows_for(model, endpoint, name, spec) for name, spec in specs.items()}
    answer = function(**{name: tf.constant(value, specs[name].dtype) for name, value in inputs.items()})
    return {"inputs": inputs, "outputs": {name: value.numpy() for name, value in answer.items()}}


def rows_for(model: BaseGAN, endpoint: str, name: str, spec: tf.TensorSpec) -> np.ndarray:
    """ROWS rows for an input of an endpoint, by its name; `blocks` and the papers use the same names everywhere."""
    if name == "image_bytes":
        return np.array(_files(model, endpoint), dtype=object)
    if name == "mask_bytes":
        files = [images.read_image(file) for file in _files(model, endpoint)]
        return np.array([images.png_bytes(_hole(model, *file.shape[:2])) for file in files], dtype=object)
    if name == "masks":
        hole = images.to_float(_hole(model, *[spec.shape[1] or manifest.image_size(model)] * 2))
        return np.stack([hole] * ROWS)
    if name == "images":
        return floats(model, endpoint, spec.shape[1] or manifest.image_size(model), spec.shape[-1])
    known = {
        "seed": lambda: np.array(SEEDS, np.int64),
        "age": lambda: np.array(YEARS, np.float32),
        "label": lambda: np.arange(ROWS, dtype=np.int64) % max(model.classes, 1),
        "label_name": lambda: np.array([name.encode() for name in _names(model)], dtype=object),
        "class_weights": lambda: np.eye(model.classes, dtype=np.float32)[np.arange(ROWS) % model.classes],
        "attributes": lambda: _attributes(model, spec),
        "truncation_psi": lambda: np.array(PSI, np.float32),
        "text": lambda: np.array([text.encode() for text in TEXTS], dtype=object),
        "latents": lambda: model.latents(rows.row_seeds(0, ROWS)).numpy(),
        "embedding": lambda: _embedding(model, spec.shape[-1]),
        "characters": lambda: model.characters(tf.constant(TEXTS)).numpy(),
    }
    if name not in known:
        raise GanzooError(f"{model.paper}: there is no golden input for {endpoint}'s {name}.")
    return known[name]()


def _names(model: BaseGAN) -> list[str]:
    return [model.class_names[row % model.classes] for row in range(ROWS)]


def _hole(model: BaseGAN, height: int, width: int) -> np.ndarray:
    """uint8 (height, width, 1): 255 in the hole that a model fills where no mask is given."""
    return np.where(model.default_mask(height, width), np.uint8(255), np.uint8(0))[..., None]


def _attributes(model: BaseGAN, spec: tf.TensorSpec) -> np.ndarray:
    """What is asked for in ROWS rows: nothing, one attribute, all of them; as JSON, or as columns of 0 and 1."""
    whole = model.rows_for(
        tf.fill([ROWS, len(model.attributes)], attributes.UNNAMED), model.latents(rows.row_seeds(7, ROWS))
    )
    if spec.dtype != tf.string:
        return attributes.columns_of(whole, model.attributes).numpy()
    named = [attributes.mapping_of(row, model.attributes) for row in whole.numpy().tolist()]
    asked = [{}, dict(list(named[1].items())[:1]), named[2]]
    return np.array([json.dumps(one).encode() for one in asked], dtype=object)


def _embedding(model: BaseGAN, width: int) -> np.ndarray:
    if "embedding" in model.batch_signature():  # made elsewhere
        return tf.random.stateless_normal([ROWS, width], [0, 7]).numpy()
    return model.embed(tf.constant(TEXTS)).numpy()


def _pictures(model: BaseGAN, endpoint: str, side: int) -> list[np.ndarray]:
    """uint8 (side, side, C): held-back ones of the bundled set that the model was trained on, else soft blobs."""
    config = model.run_config.data if model.run_config else None
    if config is not None and model.task == "image" and bundled.canonical(config.source):
        held_back = data.open_source(config, config.test_split)
        return list(held_back.take(ROWS)[held_back.columns[endpoint.startswith(model.directions[1:])]])
    coarse = tf.random.stateless_uniform([ROWS, 4, 4, 3], [0, 7], 0.0, 255.0)
    return list(tf.cast(tf.image.resize(coarse, [side, side], method="bicubic"), tf.uint8).numpy())


def _files(model: BaseGAN, endpoint: str) -> list[bytes]:
    """PNG files of three sizes: whole, and cut to other shapes than squares."""
    least = manifest.image_size(model)
    whole, wide, tall = _pictures(model, endpoint, least)
    if model.fills:  # nothing below its own size
        whole, wide, tall = (
            np.pad(p, ((0, more), (0, more // 2), (0, 0)), "reflect")
            for p, more in ((whole, 0), (wide, least // 2), (tall, least - 1))
        )
        return [images.png_bytes(picture) for picture in (whole, wide, tall)]
    return [images.png_bytes(picture) for picture in (whole, wide[: least - least // 4], tall[:, : least - least // 3])]
