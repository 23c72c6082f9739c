"""What the web page of an export runs: ONNX networks of floats, and tables of the noise that belongs to a seed.

A page has neither TensorFlow's random numbers nor its string and PNG operations. So noise is an input of the networks:
the latents of the first seeds, or the dropout masks of an image model, are stored as files next to them.
"""

import numpy as np
import tensorflow as tf

from ganzoo.base import BaseGAN
from ganzoo.base.declared import Endpoint
from ganzoo.base.rows import seeds_of
from ganzoo.errors import GanzooError

LATENT_SEEDS = 256  # a hundred numbers each
MASK_SEEDS = 16  # some ten thousand bytes each


def networks(model: BaseGAN, size: int) -> dict[str, Endpoint]:
    """Name -> network of a model; `size` is the side of the pictures that image tasks take.

    Raises:
        GanzooError: a model that a page cannot run, such as one with classes, or with a text encoder made elsewhere.
    """
    found = model.page_networks(size)
    if any(spec.dtype != tf.float32 for _, inputs in found.values() for spec in inputs.values()):
        raise GanzooError(f"A {model.paper} with classes has no web page yet; ganzoo serve shows it in one.")
    return found


def noise(model: BaseGAN, size: int) -> dict[str, np.ndarray]:
    """What stands for the first seeds, by the names of the networks' inputs: row s is what `generate(..., seed=s)` draws."""
    count = MASK_SEEDS if model.task == "image" else LATENT_SEEDS
    drawn = model.page_noise(size, seeds_of(tf.range(count, dtype=tf.int64)))
    return {name: rows.numpy() for name, rows in drawn.items()}
