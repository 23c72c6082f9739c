"""The ends of `serving_default` around a network, `Declared.serving_around`, and how they are joined with it."""

import inspect

import tensorflow as tf

from ganzoo.base import pixels, rows
from ganzoo.base.declared import Around, Endpoint

SEED = tf.TensorSpec([None], tf.int64, name="seed")


def joined(around: Around, tensors: Endpoint) -> Endpoint:
    """`serving_default` in one graph: after(tensors(before(...))), with the inputs of `before`."""
    (before, inputs), (network, _), (after, _) = around.before, tensors, around.after

    def serve(*given, **named):
        return after(**network(**before(*given, **named)))

    serve.__signature__ = inspect.signature(before)  # type: ignore[attr-defined]  # a traced function asks for names
    return serve, inputs


def of_seeds(model) -> Endpoint:
    """Seeds int64 (N,) -> latents float32 (N, latent_dim): row i is z of `generate(1, seed=seed[i])`."""

    def before(seed):
        return {"latents": model.latents(rows.seeds_of(seed))}

    return before, {"seed": SEED}


def to_png(model) -> Endpoint:
    """Images float32 (N, H, W, C) in [-1, 1] of the model's own size -> PNG bytes (N,)."""

    def after(images):
        return {"image_bytes": pixels.png_rows(pixels.to_uint8(images))}

    shape = [None, model.image_size, model.image_size, model.channels]
    return after, {"images": tf.TensorSpec(shape, tf.float32, name="images")}
