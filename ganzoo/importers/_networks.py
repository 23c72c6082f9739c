"""The call forms of imported networks that the builders' own inputs do not have."""

import keras
import tensorflow as tf

from ganzoo.errors import GanzooError

__all__ = ["ChosenNoise", "FlatLatents", "PatchLogits", "SeededGenerator"]


class _Around(keras.Model):
    """A network behind another call form; its variables are those of `network`."""

    def __init__(self, network, **kwargs):
        super().__init__(**({"name": network.name} | kwargs))
        self.network = network
        self.built = True

    def get_config(self):
        return super().get_config() | {"network": keras.saving.serialize_keras_object(self.network)}

    @classmethod
    def from_config(cls, config):
        return cls(**(config | {"network": keras.saving.deserialize_keras_object(config["network"])}))


@keras.saving.register_keras_serializable("ganzoo")
class FlatLatents(_Around):
    """Takes latents (N, z) as well as (N, 1, 1[, 1], z), which is torch's (N, z, 1, 1[, 1]) with the channels last."""

    def call(self, inputs, training=None):
        z = tf.convert_to_tensor(inputs)
        return self.network(tf.reshape(z, [tf.shape(z)[0], self.network.input_shape[-1]]), training=training)


@keras.saving.register_keras_serializable("ganzoo")
class SeededGenerator(_Around):
    """Takes images alone as well as [images, seeds]: without seeds, the dropout of row i is drawn from (0, i)."""

    def call(self, inputs, training=None):
        if isinstance(inputs, list | tuple):
            return self.network(list(inputs), training=training)
        rows = tf.range(tf.shape(inputs)[0])
        return self.network([inputs, tf.stack([tf.zeros_like(rows), rows], axis=1)], training=training)


@keras.saving.register_keras_serializable("ganzoo")
class PatchLogits(_Around):
    """Takes images of any size from the network's own upwards: one logit (N, 1) there, a map (N, h, w, 1) beyond it.

    `network` is a chain of convolutions that ends with a flattening; the chain without it knows no size.
    """

    def __init__(self, network, **kwargs):
        super().__init__(network, **kwargs)
        image = keras.Input((None, None, network.input_shape[-1]), name="image")
        x = image
        for layer in network.layers[1:-1]:
            x = layer(x)
        self.patches = keras.Model(image, x, name=self.name)

    def call(self, inputs, training=None):
        logits = self.patches(inputs, training=training)
        return tf.reshape(logits, [-1, 1]) if logits.shape[1:3] == (1, 1) else logits


@keras.saving.register_keras_serializable("ganzoo")
class ChosenNoise(_Around):
    """StyleGAN's synthesis network with "stored" or "random" noise, on w (N, layers, w_dim) or (N, w_dim).

    Args:
        noise: of the calls that do not say it.
    """

    def __init__(self, network, *, noise="stored", **kwargs):
        super().__init__(network, **kwargs)
        self.noise = _checked_noise(noise)

    def call(self, inputs, lod=0.0, noise=None):
        w, drawn = tf.convert_to_tensor(inputs), None
        if w.shape.rank == 2:
            w = tf.repeat(w[:, None], self.network.num_layers, axis=1)
        if _checked_noise(noise or self.noise) == "random":
            drawn = [tf.random.normal([tf.shape(w)[0], *shape, 1]) for shape in self.network.noise_shapes()]
        return self.network(w, lod=lod, noise=drawn)

    def get_config(self):
        return super().get_config() | {"noise": self.noise}


def _checked_noise(noise) -> str:
    if noise not in ("stored", "random"):
        raise GanzooError(f'noise is "stored" or "random"; received {noise!r}.')
    return noise
