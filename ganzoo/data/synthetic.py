"""Random batches in the shape that a model asks for: for tests and smoke runs, no picture needed."""

from collections.abc import Mapping

import tensorflow as tf

from ganzoo.errors import GanzooError


def synthetic(signature: Mapping[str, tf.TensorSpec], batch_size: int, *, seed: int = 0) -> tf.data.Dataset:
    """Infinite batches for a model's `batch_signature()`: floats uniform in [-1, 1], integers in {0, 1}, strings "text <n>".

    A batch dimension of None becomes `batch_size`; any other unknown dimension is an error. Batch k depends on
    (seed, k) only.
    """
    shapes = {}
    for name, spec in signature.items():
        shape = spec.shape.as_list()
        shapes[name] = [batch_size if shape and shape[0] is None else shape[0], *shape[1:]] if shape else []
        if None in shapes[name]:
            raise GanzooError(f'synthetic() needs sizes: the shape of "{name}" is {spec.shape}.')

    def draw(step: tf.Tensor) -> dict[str, tf.Tensor]:
        out = {}
        for stream, (name, spec) in enumerate(signature.items()):
            key = tf.stack([tf.constant(seed * 1000 + stream, tf.int64), step])
            if spec.dtype.is_floating:
                values = tf.cast(tf.random.stateless_uniform(shapes[name], key, -1.0, 1.0), spec.dtype)
            else:
                values = tf.random.stateless_uniform(shapes[name], key, 0, 2, tf.int32)
                words = spec.dtype == tf.string
                values = (
                    tf.strings.join(["text ", tf.strings.as_string(values)]) if words else tf.cast(values, spec.dtype)
                )
            out[name] = tf.ensure_shape(values, shapes[name])
        return out

    return tf.data.Dataset.range(2**62).map(draw)
