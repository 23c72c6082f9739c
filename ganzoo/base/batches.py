"""Batches: what a model trains on, from the forms in which a data set may hand it over."""

import re
from typing import TYPE_CHECKING

import tensorflow as tf

from ganzoo.base.declared import Declared
from ganzoo.errors import GanzooError

NO_ROWS = (
    "A replica got no row of the last batch, which has fewer rows than there are replicas: leave such a batch out "
    "(tf.data.Dataset.batch(n, drop_remainder=True)), or take a number of rows that the batch size divides."
)


class Batches(Declared):
    """The part of `BaseGAN` that reads a batch by the model's `batch_signature`."""

    paper: str

    if TYPE_CHECKING:  # of `BaseGAN`

        @property
        def full_name(self) -> str: ...

    def unpack(self, data) -> list[tf.Tensor]:
        """The tensors of a batch in the order of `batch_signature`, from a dict, a tuple or a lone tensor.

        uint8 images 0..255 become floats in [-1, 1], as in `generate`. Raises GanzooError for a batch of another shape.
        """
        names = list(self.batch_signature())
        while isinstance(data, tuple | list) and len(data) == 1:  # Keras wraps what `fit` gets as x
            data = data[0]
        if isinstance(data, dict):
            missing = [name for name in names if name not in data]
            if missing:
                raise GanzooError(f"{self.paper} trains on batches with {names}; received a dict of {sorted(data)}.")
            return [self._checked(name, data[name]) for name in names]
        values = list(data) if isinstance(data, tuple | list) else [data]
        while values and values[-1] is None:  # train_on_batch adds y and sample_weight
            values.pop()
        if len(values) == 1 and isinstance(values[0], dict):
            return self.unpack(values[0])
        if len(values) != len(names):
            raise GanzooError(f"{self.paper} trains on batches with {names}; received {len(values)} tensor(s).")
        return [self._checked(name, value) for name, value in zip(names, values, strict=True)]

    def shares(self, *columns: tf.Tensor) -> list[tuple[tf.Tensor, ...]]:
        """What each of several updates of D in a step takes of the columns of a batch: as many shares as the argument named by
        `batch_unit` says, every n-th row each, so that replicas and micro-batches, which hold rows that follow each other,
        have their part of every update.

        Raises:
            GanzooError: rows that cannot be divided so.
        """
        count, rows = getattr(self, self.batch_unit), columns[0].shape[0]
        if rows is not None and rows % count:
            raise GanzooError(
                f"A batch of {self.paper} is divided among {self.batch_unit} = {count} updates of D, so its rows (on each "
                f"replica, in each micro-batch) are a multiple of that; received {rows}. Set train.batch_size."
            )
        return [tuple(column[turn::count] for column in columns) for turn in range(count)]

    def _checked(self, name: str, value) -> tf.Tensor:
        """A tensor of a batch, which has the shape that `batch_signature` says, and rows."""
        value, shape = tf.convert_to_tensor(value), self.batch_signature()[name].shape
        if not self.fits(name, value.shape[1:]):
            raise GanzooError(self._misfit(name) + shape_text(value.shape[1:]))
        checks = []
        if len(shape) > 3 and not value.shape[1:].is_fully_defined():
            # Keras relaxes what it has traced before, and so what comes is known when it comes.
            found = tf.shape(value)
            sides = [found[i] % self.stride == 0 if n is None else found[i] == n for i, n in enumerate(shape) if i]
            checks.append(tf.debugging.Assert(tf.reduce_all(sides), [self._misfit(name), found[1:]]))
        if tf.distribute.get_strategy().num_replicas_in_sync > 1:
            # Of a last batch with fewer rows than replicas one gets none, and the mean over no rows is not a number.
            checks.append(tf.debugging.assert_positive(tf.shape(value)[0], NO_ROWS))
        if checks:
            with tf.control_dependencies(checks):
                value = tf.identity(value)
        return _signed(tf.ensure_shape(value, shape) if len(shape) > 3 else value)

    def _misfit(self, name: str) -> str:
        return f'{self.full_name} trains on batches of "{name}" of {self.wants(name)} each; received '

    def wants(self, name: str) -> str:
        """The shape of an item of a column, for a sentence."""
        shape = self.batch_signature()[name].shape[1:]
        sides = f", sides of a multiple of {self.stride}" if None in shape and self.stride > 1 else ""
        return shape_text(shape) + sides

    def fits(self, name: str, shape) -> bool:
        """Whether an item (no batch axis) of this shape is one of the column that `batch_signature` names.

        Of sentences, embeddings and labels there may be several for an item; only the last axes are looked at.
        """
        wanted = self.batch_signature()[name].shape[1:]
        if tf.TensorShape(shape).rank is None:
            return True
        if len(wanted) < 3:
            return not len(wanted) or wanted.is_compatible_with(shape[-len(wanted) :])
        open_sides = [side for side, size in zip(shape, wanted, strict=False) if size is None and side is not None]
        return wanted.is_compatible_with(shape) and all(side % self.stride == 0 for side in open_sides)

    def misfit_in(self, error: str) -> GanzooError | None:
        """Our sentence in TensorFlow's error of a batch that was looked at when it came."""
        if NO_ROWS in error:
            return GanzooError(NO_ROWS)
        for text in map(self._misfit, self.batch_signature()):
            if found := re.search(rf"{re.escape(text)}[^\n]*?\[([\d ]+)\]", error):
                return GanzooError(text + shape_text(found[1].split()))
        return None


def shape_text(shape) -> str:
    """A shape for a sentence: (any, 64, 64, 3)."""
    return f"({', '.join('any' if size is None else str(size) for size in shape)})"


def _signed(images):
    return tf.cast(images, tf.float32) / 127.5 - 1 if tf.as_dtype(images.dtype) == tf.uint8 else images
