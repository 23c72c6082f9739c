"""`Extractor`: pictures of any size in, float32 features out, streamed through tf.data at the network's own speed."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import tensorflow as tf

from ganzoo.errors import GanzooError, nearest
from ganzoo.metrics.features.network import Network
from ganzoo.metrics.features.resize import METHODS, resize

# Every batch has this many rows: another number may round differently (1e-7), and no result may depend on the caller's.
CPU_BATCH, GPU_BATCH = 16, 128
RESIZES = (*METHODS, "none")


class Extractor:
    """A frozen network with its resize: together they are the extractor of a protocol's name.

    Attributes:
        name: as in `features.names()`.
        resize: "lanczos", "bicubic" or "bilinear" (Pillow's, see `resize.py`), or "none": pictures have the network's size.
        tag: name and resize as they stand in a protocol's name.
        size, dimensions, classes: side of the pictures the network sees; numbers of features and of logits (0: it gives none).
        sha256: of the weights, hex.
        network: the network itself, for those who have its pictures as floats.
    """

    def __init__(self, name: str, network: Network, resize: str | None = None):
        resize = resize or network.resize
        if resize not in RESIZES:
            raise GanzooError(f'Unknown resize "{resize}" for {name}.{nearest(resize, RESIZES)}')
        self.name, self.resize, self.tag = name, resize, f"{name}_{resize}"
        self.size, self.sha256 = network.size, network.sha256
        self.network = network
        self._batch = GPU_BATCH if tf.config.list_logical_devices("GPU") else CPU_BATCH
        picture = tf.TensorSpec((None, network.size, network.size, network.channels), tf.uint8)
        self._forward = tf.function(network.forward, input_signature=[picture], autograph=False)
        features, logits = self._forward(np.zeros((1, *picture.shape[1:]), np.uint8))
        self.dimensions, self.classes = features.shape[1], logits.shape[1]

    def __repr__(self) -> str:
        return f"<Extractor {self.tag}, {self.dimensions} features, {self.sha256[:8]}>"

    def features(self, batches, *, progress: Callable[[int], None] | None = None) -> np.ndarray:
        """Features of all pictures, float32 (N, dimensions), row i of picture i.

        Args:
            batches: a uint8 array (N, H, W, 1 or 3), or an iterable of such arrays; arrays may differ in size.
            progress: called after every batch with the number of pictures in it.

        The rows do not depend on how the pictures are cut into batches (1e-6).

        Raises:
            GanzooError: no picture, no uint8, no 1 or 3 channels, or a size that resize "none" does not take.
        """
        features = []
        for rows, _ in self._run(batches):
            features.append(rows)
            if progress:
                progress(len(rows))
        return np.concatenate(features)

    def outputs(self, batches, *, progress: Callable[[int], None] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """(features (N, dimensions), logits (N, classes)), float32; otherwise as `features`."""
        features, logits = [], []
        for rows, scores in self._run(batches):
            features.append(rows)
            logits.append(scores)
            if progress:
                progress(len(rows))
        return np.concatenate(features), np.concatenate(logits)

    def stream(self, batches) -> Iterator[np.ndarray]:
        """Features batch by batch, float32 (b, dimensions): no more than a few batches are in memory."""
        for rows, _ in self._run(batches):
            yield rows

    def _run(self, batches) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        failures, n = [], 0

        def produce():
            # tf.data would turn the error into one of its own with a traceback as text: the loop below raises it as it is.
            try:
                yield from _pieces(batches, self._batch, self._check)
            except Exception as error:
                failures.append(error)

        pieces = tf.data.Dataset.from_generator(
            produce, output_signature=tf.TensorSpec((None, None, None, None), tf.uint8)
        )
        prepared = pieces.map(self._prepare, num_parallel_calls=2, deterministic=True).rebatch(self._batch).prefetch(2)
        # A thread pool of its own: the pictures may come from a generator that itself runs TensorFlow, and with one
        # inter-op thread the two would wait for each other.
        options = tf.data.Options()
        options.threading.private_threadpool_size = 3
        options.autotune.enabled = False
        for pictures in prepared.with_options(options):
            missing = self._batch - pictures.shape[0]
            padded = tf.pad(pictures, [(0, missing), (0, 0), (0, 0), (0, 0)]) if missing else pictures
            features, logits = (output[: pictures.shape[0]].numpy() for output in self._forward(padded))
            if not np.isfinite(features).all():
                raise GanzooError(f"{self.name} gives features that are NaN or infinite: its weights are damaged.")
            n += len(features)
            yield features, logits
        if failures:
            raise failures[0]
        if not n:
            raise GanzooError("There is no picture to take features of; at least one is needed.")

    def _prepare(self, images: tf.Tensor) -> tf.Tensor:
        """uint8 (n, H, W, 1 or 3) -> uint8 (n, size, size, channels of the network)."""
        size, channels, margin = self.size, self.network.channels, self.network.margin
        shape = tf.shape(images)
        if channels == 1:
            images = tf.cond(shape[3] == 3, lambda: _luma(images), lambda: images)
        if self.resize != "none":
            fits = tf.logical_and(shape[1] == size, shape[2] == size)
            images = tf.cond(fits, lambda: images, lambda: resize(images, size, self.resize))
        elif margin:
            images = tf.cond(shape[1] > size, lambda: images[:, margin:-margin, margin:-margin], lambda: images)
        images = tf.tile(
            images, [1, 1, 1, channels // tf.shape(images)[3]]
        )  # gray for a network of colours is repeated
        return tf.ensure_shape(images, (None, size, size, channels))

    def _check(self, images: np.ndarray) -> np.ndarray:
        images = np.asarray(images)
        accepted = "uint8 pictures (N, height, width, channels) of 1 or 3 channels are accepted"
        if images.dtype != np.uint8:
            known = np.issubdtype(images.dtype, np.floating)
            broken = " with NaN or infinite values" if known and not np.isfinite(images).all() else ""
            hint = "; ganzoo.media.images.to_uint8 makes them from floats in [-1, 1]" if known else ""
            raise GanzooError(f"{self.name} received {images.dtype} {images.shape}{broken}: {accepted}{hint}.")
        if images.ndim != 4:
            raise GanzooError(f"{self.name} received an array of shape {images.shape}: {accepted}.")
        if images.shape[3] not in (1, 3):
            raise GanzooError(f"{self.name} received pictures of {images.shape[3]} channels: {accepted}.")
        if 0 in images.shape[1:3]:
            raise GanzooError(f"{self.name} received pictures without a pixel, shape {images.shape}: {accepted}.")
        sizes = {self.size, self.size + 2 * self.network.margin}
        if self.resize == "none" and (images.shape[1] != images.shape[2] or images.shape[1] not in sizes):
            fitting = " or ".join(f"{size}x{size}" for size in sorted(sizes))
            raise GanzooError(
                f'{self.name} with resize "none" takes pictures of {fitting} pixels and received '
                f"{images.shape[2]}x{images.shape[1]}: choose resize lanczos, bicubic or bilinear."
            )
        return images


def _pieces(batches, size: int, check: Callable) -> Iterator[np.ndarray]:
    """Checked arrays of at most `size` pictures: large arrays are cut, single pictures of one size are put together."""
    arrays: Iterable = [batches] if isinstance(batches, np.ndarray) else batches
    held: list[np.ndarray] = []
    for array in map(check, arrays):
        for start in range(0, len(array), size):
            part = array[start : start + size]
            if held and (part.shape[1:] != held[0].shape[1:] or len(part) + sum(map(len, held)) > size):
                yield np.concatenate(held)
                held = []
            held.append(part)
    if held:
        yield np.concatenate(held)


def _luma(images: tf.Tensor) -> tf.Tensor:
    """Gray of RGB (n, h, w, 3) by BT.601 in Pillow's fixed point, as `ganzoo.media.images.to_channels`."""
    red, green, blue = (tf.cast(images[..., c : c + 1], tf.int32) for c in range(3))
    return tf.cast(tf.bitwise.right_shift(red * 19595 + green * 38470 + blue * 7471 + 0x8000, 16), tf.uint8)
