"""The call forms of imported networks that the builders' own inputs do not have."""

import keras
import tensorflow as tf

__all__ = ["FlatLatents", "PatchLogits", "SeededGenerator"]


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
    """Takes latents (N, z) as well as (N, 1, 1, z), which is torch's (N, z, 1, 1) with the channels last."""

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
