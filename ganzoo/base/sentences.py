"""Sentences as users give them, checked, text encoders from outside, and what is served of a model that reads text."""

import os
import warnings
from typing import Any

import numpy as np
import tensorflow as tf

from ganzoo.base import around, rows
from ganzoo.base.declared import Around
from ganzoo.errors import GanzooError, first_line


class Handle:
    """A frozen encoder from outside: a SavedModel folder, or a handle that tensorflow-hub resolves."""

    def __init__(self, path, text_dim):
        try:
            if os.path.isdir(path):
                self.loaded = tf.saved_model.load(path)
            else:
                import tensorflow_hub  # seconds to import, and not needed for a folder

                self.loaded = tensorflow_hub.load(path)
        except (OSError, ValueError, RuntimeError, tf.errors.OpError) as error:
            raise GanzooError(f"The text encoder hub:{path} cannot be loaded: {first_line(error)}") from error
        signatures = getattr(self.loaded, "signatures", {})
        named = signatures.get("default") or signatures.get("serving_default")
        self.call: Any = self.loaded if callable(self.loaded) else named
        try:
            shape = tuple(self(tf.constant(["a test"])).shape)
        except (TypeError, ValueError, KeyError, AttributeError, tf.errors.OpError) as error:
            raise GanzooError(
                f"The text encoder hub:{path} does not map strings (N,) to embeddings: {first_line(error)}"
            ) from error
        if shape != (1, text_dim):
            raise GanzooError(
                f"The text encoder hub:{path} gives embeddings of shape {shape[1:]}, and text_dim is {text_dim}: set text_dim "
                "to its size."
            )

    def __call__(self, texts):
        found = self.call(texts)
        if not isinstance(found, dict):
            return found
        return found["default"] if "default" in found else next(iter(found.values()))


def is_numeric(texts) -> bool:
    """Whether texts are rows of numbers, (n, d): embeddings, not sentences."""
    try:
        return np.asarray(texts).dtype.kind in "fiu" and np.asarray(texts).ndim == 2
    except ValueError:  # rows of unlike lengths
        return False


def checked(texts, length: int | None = None, alphabet: str = "") -> list[str]:
    """One text or a list as a list of strings.

    Args:
        length: characters that an encoder reads; texts that are longer are warned of, and
        alphabet: those that it knows; texts without one are warned of. By default neither.

    Raises:
        GanzooError: no text, an empty one, or something else than text.
    """
    texts = [texts] if isinstance(texts, str | bytes) else texts
    try:
        texts = [text.decode("utf-8", "replace") if isinstance(text, bytes) else text for text in texts]
    except TypeError:
        raise GanzooError(f"texts is a sentence or a list of sentences; received {type(texts).__name__}.") from None
    if not texts:
        raise GanzooError("texts contains no sentence; at least one is needed.")
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise GanzooError(f"texts are sentences; text {place} is {type(text).__name__}: {text!r:.60}.")
        if not text.strip():
            raise GanzooError(f'Text {place} is empty. Say what to draw, such as "a girl with long pink hair".')
        if length is not None and len(text) > length:
            warnings.warn(
                f"Text {place} has {len(text):,} characters; the encoder reads the first {length}.", stacklevel=3
            )
        if length is not None and not set(text[:length].lower()) & set(alphabet.strip()):
            warnings.warn(
                f"No character of text {place} is known to the encoder, which reads a-z, digits and punctuation: the "
                "picture shows anything.",
                stacklevel=3,
            )
    # Lone surrogates (bytes of a command line that are no UTF-8) become unknown characters.
    return [text.encode("utf-8", "replace").decode() for text in texts]


def ends(model, reads_text: bool = True) -> Around:
    """`serving_around` of papers that make pictures of text, or of its embeddings where `reads_text` is false."""

    def of_text(text, seed):
        """Strings (N,) and int64 seeds (N,) -> latents and embeddings of `generate(text[i], seed=seed[i])`."""
        return of_embedding(model.embed(text), seed)

    def of_embedding(embedding, seed):
        """Embeddings (N, text_dim) and int64 seeds (N,) -> latents and the embeddings."""
        return {"latents": model.latents(rows.seeds_of(seed)), "embedding": embedding}

    function, given = (of_text, _text()) if reads_text else (of_embedding, _embedding(model))
    return Around((function, given | {"seed": around.SEED}), around.to_png(model))


def endpoints(model, reads_text: bool = True) -> dict:
    """`serving_signature` of papers that make pictures of text, or of its embeddings where `reads_text` is false."""

    def images(latents, embedding):
        """float32 latents (N, latent_dim) and embeddings (N, text_dim) -> float32 images (N, H, W, C) in [-1, 1]."""
        return {"images": model.images_of(latents, embedding)}

    def embedded(text):
        """Strings (N,) -> float32 embeddings (N, text_dim)."""
        return {"embedding": model.embed(text)}

    latents = {"latents": tf.TensorSpec([None, model.latent_dim], tf.float32, name="latents")}
    tensors = images, latents | _embedding(model)
    found = {"serving_default": around.joined(model.serving_around(), tensors), "tensors": tensors}
    return found | ({"embed": (embedded, _text())} if reads_text else {})


def _text() -> dict[str, tf.TensorSpec]:
    return {"text": tf.TensorSpec([None], tf.string, name="text")}


def _embedding(model) -> dict[str, tf.TensorSpec]:
    return {"embedding": tf.TensorSpec([None, model.text_dim], tf.float32, name="embedding")}
