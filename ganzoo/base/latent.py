"""LatentGAN: what papers have in common whose generator makes pictures of a latent vector."""

import tensorflow as tf

from ganzoo.base import around, pixels, rows
from ganzoo.base.declared import Around
from ganzoo.base.model import BaseGAN
from ganzoo.layers import normalization


class LatentGAN(BaseGAN):
    """Base of papers that make pictures from z (N, latent_dim), by the generator's first input alone.

    A paper's constructor sets `image_size`, `channels` and `latent_dim`; its file adds the networks and the training. What
    differs in it, another prior, or a generator whose output is not a picture yet, it overrides below.
    """

    task = "latent"
    standing = (32, 64)  # batches, and latents in each, that standing statistics are taken over

    def batch_signature(self):
        return {"image": tf.TensorSpec([None, self.image_size, self.image_size, self.channels], tf.float32)}

    def draw(self, shape, seed):
        """z of the given shape, here N(0, 1); `seed` int32 (2,)."""
        return tf.random.stateless_normal(shape, seed)

    def latents(self, seeds):
        """Rows of z for int32 seeds (N, 2)."""
        return rows.rows_of(self.draw, seeds, self.latent_dim)

    def images_of(self, latents):
        """float32 images (N, H, W, C) in [-1, 1] of latents (N, latent_dim)."""
        return self.sampler(latents, training=False)

    def generate(self, n=16, *, seed=0, latents=None):
        """uint8 images (n, H, W, C); sample i depends on (seed, i) only. `latents` (n, latent_dim) replaces seed."""
        latents = rows.latent_rows(self, n, seed, latents)
        show = self.cached("generate", lambda: rows.graph_of(lambda z: pixels.to_uint8(self.images_of(z))))
        return rows.in_chunks(show, latents)

    def finalize(self):
        """Standing statistics of the batch norms: a sample depends on its own z alone."""
        count, size = self.standing
        batches = (rows.latents_of(self, rows.row_seeds(1_000_000 + i, size)) for i in range(count))
        normalization.standing_statistics(self.sampler, batches)

    def serving_around(self):
        return Around(around.of_seeds(self), around.to_png(self))

    def serving_signature(self):
        """Seeds to PNG bytes, row i what `generate(1, seed=seed[i])` shows; and latents to floats."""

        def images(latents):
            """float32 latents (N, latent_dim) -> float32 images (N, H, W, C) in [-1, 1]."""
            return {"images": self.images_of(latents)}

        tensors = images, {"latents": tf.TensorSpec([None, self.latent_dim], tf.float32, name="latents")}
        return {"serving_default": around.joined(self.serving_around(), tensors), "tensors": tensors}
