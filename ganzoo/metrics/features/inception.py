"""inception-v3-fid: the Inception v3 of 2015 that the papers' FID and IS are defined on, from the user's own file.

It is not bundled and never downloaded. Keras' and torchvision's ImageNet Inception is another network (1,000 classes, other
weights, other padding) and is refused: the one of FID has 2,048 features and 1,008 logits. Two forms are read:

* a SavedModel, as TF-GAN publishes it on TF-Hub under `tensorflow/tfgan/eval/inception/1`: float32 (N, 299, 299, 3) in
  [-1, 1] -> outputs of 2,048 ("pool_3") and 1,008 columns ("logits"); without the latter there is no Inception Score. Given as its folder, or as a handle that TF-Hub has in its cache already;
* `inception-2015-12-05.pt`, the TorchScript of StyleGAN2-ADA and clean-fid: float32 (N, 3, 299, 299) in [0, 255]. Needs torch.

The default resize is clean-fid's, Pillow's bicubic, here rounded to uint8 as a picture file is.
"""

import hashlib
import os
import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf

from ganzoo.errors import GanzooError, first_line, missing_extra
from ganzoo.files import given_path
from ganzoo.metrics.features.cache import folder
from ganzoo.metrics.features.network import Network

SIZE, DIMENSIONS, CLASSES = 299, 2048, 1008
NAME = "inception-v3-fid"


def load(path: str | None = None) -> Network:
    """The network from a SavedModel folder, a TF-Hub handle in TF-Hub's cache, or a TorchScript file.

    Args:
        path: one of the three; by default GANZOO_CACHE/inception-v3-fid (a folder) or GANZOO_CACHE/inception-v3-fid.pt.

    Raises:
        GanzooError: nothing there (the sentence says where the file goes), or another network.
    """
    place = _place(path)
    if place.is_dir():
        forward, digest = _saved_model(place), _digest(place)
    else:
        forward, digest = _torchscript(place), hashlib.sha256(place.read_bytes()).hexdigest()
    return Network(size=SIZE, channels=3, sha256=digest, resize="bicubic", forward=forward)


def _place(path: str | None) -> Path:
    default = folder() / NAME
    if path is None:
        found = [p for p in (default, default.with_name(f"{NAME}.pt")) if p.exists()]
    elif "://" in path:  # as TensorFlow Hub names the folder of a handle that it has fetched
        cache = os.environ.get("TFHUB_CACHE_DIR") or Path(tempfile.gettempdir()) / "tfhub_modules"
        found = [given_path(cache) / hashlib.sha1(path.encode()).hexdigest()]
    else:
        found = [given_path(path)]
    if not found or not found[0].exists():
        missing = f" ({path} is not there)" if path else ""
        raise GanzooError(
            f"{NAME} is not bundled and never downloaded{missing}. Put TF-GAN's SavedModel tensorflow/tfgan/eval/inception/1 "
            f"into the folder {default}, or inception-2015-12-05.pt to {default}.pt, or name either in GANZOO_INCEPTION. "
            "The bundled extractors are efficientnet-lite0 and fashion-cnn."
        )
    return found[0]


def _saved_model(place: Path):
    if not (place / "saved_model.pb").is_file():
        raise GanzooError(
            f"{place} is not a SavedModel: it contains no saved_model.pb. {NAME} is a SavedModel or a .pt file."
        )
    try:
        module = tf.saved_model.load(str(place))  # what tensorflow_hub.load does, without its ten seconds of import
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise GanzooError(f"The SavedModel {place} cannot be loaded: {error}") from error
    call = module if callable(module) else module.signatures["serving_default"]

    def forward(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        outputs = tf.nest.flatten(call((tf.cast(images, tf.float32) - 128.0) / 128.0))
        rows = [tf.cast(tf.reshape(output, (tf.shape(images)[0], -1)), tf.float32) for output in outputs]
        widths = [int(np.prod(output.shape[1:])) if output.shape[1:].is_fully_defined() else 0 for output in outputs]
        _check(widths, place)
        by_width = dict(zip(widths, rows, strict=True))
        features = tf.ensure_shape(by_width[DIMENSIONS], (None, DIMENSIONS))
        return features, tf.ensure_shape(by_width[CLASSES], (None, CLASSES)) if CLASSES in by_width else features[:, :0]

    # The module must live as long as the function that calls it.
    forward.__dict__["module"] = module
    return forward


def _check(widths: list[int], place: Path) -> None:
    if 1000 in widths or DIMENSIONS not in widths:
        raise GanzooError(
            f"{place} is not the Inception of FID, which gives {DIMENSIONS} features and {CLASSES} logits; this gives "
            f"outputs of {sorted(widths)} columns. ImageNet's Inception v3 (1,000 classes) gives other numbers."
        )


def _torchscript(place: Path):
    try:
        import torch
    except ImportError as error:
        raise missing_extra("torch", "import") from error
    try:
        module = torch.jit.load(str(place), map_location="cpu").eval()
    except (RuntimeError, ValueError, OSError) as error:
        raise GanzooError(
            f"{place} is not a TorchScript file such as inception-2015-12-05.pt: {first_line(error)}"
        ) from error

    def run(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        pictures = torch.from_numpy(images.transpose(0, 3, 1, 2).astype(np.float32))
        with torch.no_grad():
            features = module(pictures, return_features=True).flatten(1).numpy()
            # As the official IS: the softmax without its bias. It gives probabilities, whose logarithm is a logit.
            probabilities = module(pictures, no_output_bias=True).numpy()
        _check([features.shape[1], probabilities.shape[1]], place)
        return features, np.log(np.maximum(probabilities, 1e-30))

    run(
        np.zeros((1, SIZE, SIZE, 3), np.uint8)
    )  # another network is refused here: inside the graph its sentence is lost

    def forward(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        features, logits = tf.numpy_function(run, [images], (tf.float32, tf.float32))
        return tf.ensure_shape(features, (None, DIMENSIONS)), tf.ensure_shape(logits, (None, CLASSES))

    return forward


def _digest(place: Path) -> str:
    """sha256 over names and bytes of the files that make up a SavedModel's function."""
    digest = hashlib.sha256()
    for file in [place / "saved_model.pb", *sorted((place / "variables").glob("variables.*"))]:
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()
