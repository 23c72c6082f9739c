"""Rows of the training set that a model keeps, as a weight that nothing trains."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("ganzoo")
class KeptRows(keras.layers.Layer):
    """Whole numbers of a byte, `count` rows of `width`: places int32 (N,) -> rows int32 (N, width). Until they are set, those of
    `initializer`."""

    def __init__(self, count, width, initializer="zeros", **kwargs):
        super().__init__(**kwargs)
        self.count, self.width, self.initializer = count, width, keras.initializers.get(initializer)

    def build(self, input_shape):
        self.rows = self.add_weight(
            name="rows",
            shape=(self.count, self.width),
            initializer=self.initializer,
            dtype="uint8",
            trainable=False,
            autocast=False,
        )

    def call(self, places):
        return tf.gather(tf.cast(self.rows.value, tf.int32), places)

    def get_config(self):
        initializer = keras.initializers.serialize(self.initializer)
        return super().get_config() | {"count": self.count, "width": self.width, "initializer": initializer}
