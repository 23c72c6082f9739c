"""Layers of class-conditional networks: labels to weights of classes, gains and offsets for each image, parts of a vector, the
sum over all places, self-attention."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("ganzoo")
class OneHot(keras.layers.Layer):
    """Labels int (N,) -> float (N, classes): 1 for the class. What follows takes any weights of classes, which is how a picture
    lies between two of them."""

    def __init__(self, classes, **kwargs):
        super().__init__(**kwargs)
        self.classes = classes
        self.built = True

    def call(self, labels):
        return tf.one_hot(labels, self.classes, dtype=self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return (*input_shape, self.classes)

    def compute_output_spec(self, labels):
        return keras.KerasTensor(self.compute_output_shape(labels.shape), dtype=self.compute_dtype)

    def get_config(self):
        return super().get_config() | {"classes": self.classes}


@keras.saving.register_keras_serializable("ganzoo")
class Modulate(keras.layers.Layer):
    """[x (N, H, W, C), gain (N, C), offset (N, C)] -> x (1 + gain) + offset, for each image by itself."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.built = True

    def compute_output_shape(self, input_shape):
        return input_shape[0]

    def call(self, inputs):
        x, gain, offset = inputs
        gain, offset = (tf.cast(value, x.dtype)[:, None, None, :] for value in (gain, offset))
        return x * (1 + gain) + offset


@keras.saving.register_keras_serializable("ganzoo")
class Part(keras.layers.Layer):
    """(..., C) -> (..., width): the entries from `start` on."""

    def __init__(self, start, width, **kwargs):
        super().__init__(**kwargs)
        self.start, self.width = start, width
        self.built = True

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.width)

    def call(self, x):
        return x[..., self.start : self.start + self.width]

    def get_config(self):
        return super().get_config() | {"start": self.start, "width": self.width}


@keras.saving.register_keras_serializable("ganzoo")
class SumOfPlaces(keras.layers.Layer):
    """(N, H, W, C) -> (N, C): the sum over all places, which tells how much of a feature there is where a mean does not."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.built = True

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[-1])

    def call(self, x):
        return tf.reduce_sum(tf.cast(x, self.compute_dtype), [1, 2])


@keras.saving.register_keras_serializable("ganzoo")
class Attend(keras.layers.Layer):
    """[queries (N, H, W, D), keys (N, h, w, D), values (N, h, w, E)] -> (N, H, W, E): each place the mean of the values at all
    places, by the softmax of its query's products with their keys (Zhang et al. 2018, 1805.08318), in float32."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.built = True

    def compute_output_shape(self, input_shape):
        queries, _, values = input_shape
        return (*queries[:-1], values[-1])

    def call(self, inputs):
        rows, (_, height, width, _) = tf.shape(inputs[0])[0], inputs[0].shape
        queries, keys, values = (tf.reshape(x, [rows, x.shape[1] * x.shape[2], x.shape[3]]) for x in inputs)
        shares = tf.nn.softmax(tf.cast(tf.matmul(queries, keys, transpose_b=True), tf.float32))
        mean = tf.matmul(tf.cast(shares, values.dtype), values)
        return tf.reshape(mean, [rows, height, width, values.shape[-1]])


@keras.saving.register_keras_serializable("ganzoo")
class Gated(keras.layers.Layer):
    """[x, y] of one shape -> x + gamma y with a learned number gamma, at first 0."""

    def build(self, input_shape):
        self.gamma = self.add_weight(name="gamma", shape=(), initializer="zeros", dtype="float32", autocast=False)

    def compute_output_shape(self, input_shape):
        return input_shape[0]

    def call(self, inputs):
        x, y = inputs
        return x + tf.cast(self.gamma.value, x.dtype) * y
