"""The history of generated images that a discriminator is shown (Shrivastava et al. 2016, 1612.07828; CycleGAN 4)."""

import keras
import numpy as np
import tensorflow as tf

from ganzoo.errors import GanzooError


@keras.saving.register_keras_serializable("ganzoo")
class ImagePool(keras.layers.Layer):
    """`size` earlier images; `pool(images)` returns as many images, some of them from the history.

    One image after the other: while the history is not full, the image is stored and returned. Afterwards, with
    probability 1/2 a stored image is returned and the new one takes its place; else the new one is returned and not
    stored. So nothing comes out that did not go in. The state is `images` (size, H, W, C) and `count`, how many of them are
    filled; under `tf.distribute` each replica has a history of its own, and `state` has them all.

    Args:
        size: 50 in CycleGAN; 0 returns the images themselves and keeps nothing.

    Call arguments:
        images: float (N, H, W, C), or any (N, ...); the shape but for N is fixed at the first call or by `build`.
        uniform: draws in [0, 1), one an image: above 1/2 a stored image is returned. Drawn if not given.
        index: the place in the history that image takes if it is stored, int, one an image. Drawn if not given.
    """

    def __init__(self, size, **kwargs):
        kwargs.setdefault("dtype", "float32")  # half precision would show D a rounding that real images do not have
        super().__init__(**kwargs, trainable=False)
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise GanzooError(f"An image pool's size is a whole number of at least 0; received {size!r}.")
        self.size = size

    def build(self, input_shape):
        own = {"trainable": False, "initializer": "zeros", "aggregation": "only_first_replica"}
        own |= {"synchronization": "on_read", "autocast": False}
        shape = (self.size, *input_shape[1:])
        self.images = self._own(keras.Variable(shape=shape, dtype="float32", name="images", **own))
        self.count = self._own(keras.Variable(shape=(), dtype="int32", name="count", **own))

    def _own(self, variable):
        self._track_variable(variable)  # add_weight has no `synchronization`
        return variable

    def call(self, images, uniform=None, index=None):
        if not self.size:
            return images
        rows = tf.shape(images)[0]
        uniform = tf.random.uniform([rows]) if uniform is None else tf.reshape(tf.cast(uniform, tf.float32), [-1])
        if index is None:
            index = tf.random.uniform([rows], maxval=self.size, dtype=tf.int32)
        index, row = tf.reshape(tf.cast(index, tf.int32), [-1]), tf.range(rows)

        count = self.count.value + tf.zeros_like(self.count.value)  # the value before this batch
        filling = count + row < self.size
        stored = filling | (uniform > 0.5)
        place = tf.where(filling, count + row, index)
        # Rows of a batch come one after the other: the last earlier row that was stored at the same place is what a
        # row finds there.
        same = (place[:, None] == place[None, :]) & stored[None, :]
        earlier = tf.reduce_max(tf.where(same & (row[None, :] < row[:, None]), row[None, :], -1), axis=1)
        last = stored & ~tf.reduce_any(same & (row[None, :] > row[:, None]), axis=1)

        found = tf.where(earlier >= 0, rows * 0 + earlier + self.size, place)
        shown = tf.where(stored & ~filling, found, self.size + row)
        # The history is read before it is written.
        old = tf.gather(self.images.value, tf.minimum(shown, self.size - 1))
        new = tf.gather(images, tf.maximum(shown - self.size, 0))
        from_history = tf.reshape(shown < self.size, [-1] + [1] * (images.shape.rank - 1))
        returned = tf.where(from_history, tf.cast(old, images.dtype), new)
        kept = tf.where(last)[:, 0]
        with tf.control_dependencies([returned]):
            self._store(tf.gather(place, kept), tf.cast(tf.gather(images, kept), tf.float32))
            self.count.value.assign(tf.minimum(count + rows, self.size))
        return returned

    def _store(self, places, images):
        history = self.images.value
        if hasattr(history, "values"):  # one of several replicas: such a variable has no scatter_update
            history.assign(tf.tensor_scatter_nd_update(history.read_value(), places[:, None], images))
        else:
            history.scatter_update(tf.IndexedSlices(images, places))

    def state(self) -> dict:
        """Variables by key for a checkpoint: "<name>/images", "<name>/count", those of a second replica ending in "#2".

        Of several workers each reads and assigns all of them, at the same places: a copy of another worker's replica comes
        from there, and is not assigned here.
        """
        keyed = {}
        for variable in (self.images, self.count):
            key, spread = f"{self.name}/{variable.name}", variable.value
            if not hasattr(spread, "values"):
                keyed[key] = variable
                continue
            for replica in range(spread.distribute_strategy.num_replicas_in_sync):
                keyed[key + (f"#{replica + 1}" if replica else "")] = _Copy(spread, replica)
        return keyed

    def get_config(self):
        return super().get_config() | {"size": self.size}


class _Copy:
    """One replica's copy of a variable that each replica has for itself, read and written as a Keras variable is."""

    trainable = False

    def __init__(self, spread, replica: int):
        self.spread, self.replica, self.strategy = spread, replica, spread.distribute_strategy
        self.shape, self.dtype = tuple(spread.values[0].shape), spread.values[0].dtype.name

    def _here(self) -> dict[int, tf.Variable]:
        """The copies of this process by the number of their replica."""
        numbers = list(range(self.strategy.num_replicas_in_sync))
        if len(self.spread.values) < len(numbers):
            own = self.strategy.run(lambda: tf.distribute.get_replica_context().replica_id_in_sync_group)
            numbers = [int(number) for number in self.strategy.experimental_local_results(own)]
        return dict(zip(numbers, self.spread.values, strict=True))

    def assign(self, value) -> None:
        if self.replica in (here := self._here()):
            here[self.replica].assign(value)

    def __array__(self, dtype=None, copy=None):
        if len(self.spread.values) == self.strategy.num_replicas_in_sync:
            return np.array(self.spread.values[self.replica].numpy(), dtype)

        def own():
            context = tf.distribute.get_replica_context()
            value = tf.identity(self.spread)
            mine = tf.equal(context.replica_id_in_sync_group, self.replica)
            return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.where(mine, value, tf.zeros_like(value)))

        everywhere = tf.function(lambda: self.strategy.run(own))()
        return np.array(self.strategy.experimental_local_results(everywhere)[0], dtype)
