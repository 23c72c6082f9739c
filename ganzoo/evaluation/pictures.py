"""Pictures to be measured: generated ones, those of a data set, those of a folder, as batches that are made when needed."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ganzoo.base.rows import latents_of, row_seeds
from ganzoo.errors import GanzooError

CHUNK = 256  # pictures in a batch; a multiple of blocks.CHUNK, so that chunked samples are those of one `generate`
KEEP = 512 * 2**20  # bytes of pictures that are kept for a second look; more are made again


class Pictures:
    """uint8 batches (b, H, W, C), one size in each, in a fixed order.

    Attributes:
        count: how many are promised; a folder with unreadable files gives fewer.
        skipped: (name, reason) of those files, once they were met.
        shapes: shape (H, W, C) -> how many pictures of it were seen.
        report: called while they are made, with how many there are and `count`.
    """

    def __init__(self, count: int, make: Callable[["Pictures"], Iterator[np.ndarray]]):
        self.count, self._make = count, make
        self.skipped: list[tuple[str, str]] = []
        self.shapes: dict[tuple, int] = {}
        self.report: Callable[[int, int], None] | None = None
        self._kept: list[np.ndarray] | None = None

    def __iter__(self) -> Iterator[np.ndarray]:
        if self._kept is not None:
            yield from self._kept
            return
        self.skipped.clear()
        self.shapes.clear()
        kept, size = [], 0
        for batch in self._make(self):
            self.shapes[batch.shape[1:]] = self.shapes.get(batch.shape[1:], 0) + len(batch)
            size += batch.nbytes
            if self.report:
                self.report(sum(self.shapes.values()), self.count)
            if size <= KEEP:
                kept.append(batch)
            else:
                kept.clear()
            yield batch
        self._kept = kept if size <= KEEP else None

    def array(self) -> np.ndarray:
        """All in one array (n, H, W, C).

        Raises:
            GanzooError: they are of several sizes.
        """
        batches = list(self)
        if len(self.shapes) > 1:
            raise GanzooError(f"The pictures have {len(self.shapes)} sizes ({self.sizes()}); one is needed here.")
        return np.concatenate(batches)

    def sizes(self) -> str:
        """The sizes for sentences, the most frequent first: "64 x 64 RGB (30), 32 x 32 gray (2)"."""
        ordered = sorted(self.shapes.items(), key=lambda item: -item[1])[:4]
        return ", ".join(f"{w} x {h} {'gray' if c == 1 else 'RGB'} ({n})" for (h, w, c), n in ordered)


def drawn_labels(labels: np.ndarray | None, n: int, seed: int) -> np.ndarray:
    """int64 (n,): the classes that `n` samples of a model with classes are asked for, each as often as in `labels`, about."""
    assert labels is not None
    return np.random.default_rng(seed).choice(labels, n)


def generated(
    model, n: int, seed: int, labels: np.ndarray | None = None, attributes: np.ndarray | None = None
) -> Pictures:
    """`model.generate(n, seed=seed)` as the model is measured, chunk by chunk.

    Args:
        labels: of a model with classes, those of the training set, of which as many as there are samples are drawn.
        attributes: of a model with attributes, rows (m, K) that the samples are asked for, from the first again after the
            last.
    """
    drawn = None if labels is None else drawn_labels(labels, n, seed)

    def make(_):
        latents = latents_of(model, row_seeds(seed, n))
        for start in range(0, n, CHUNK):
            rows = slice(start, start + CHUNK)
            given = {} if drawn is None else {"label": drawn[rows]}
            if attributes is not None:
                given |= {"attributes": attributes[np.arange(n)[rows] % len(attributes)]}
            yield model.generate(latents=latents[rows], **given, **model.evaluation_kwargs)

    return Pictures(n, make)


def examples(model, n: int, seed: int) -> Pictures:
    """`model.examples(n, seed)`: what it makes of noise, of its classes in turn."""

    def make(_):
        made = model.examples(n, seed)
        for start in range(0, n, CHUNK):
            yield made[start : start + CHUNK]

    return Pictures(n, make)


def described(model, texts, seed: int) -> Pictures:
    """`model.generate(texts, seed=seed)` of a text model, one sample a sentence (or embedding), chunk by chunk."""

    def make(_):
        latents = latents_of(model, row_seeds(seed, len(texts)))
        for start in range(0, len(texts), CHUNK):
            shown = slice(start, start + CHUNK)
            yield model.generate(texts[shown], latents=latents[shown], **model.evaluation_kwargs)

    return Pictures(len(texts), make)


def translated(model, inputs: Pictures, seed: int, **options) -> Pictures:
    """`model.generate(inputs, seed=seed, **options)` of an image model. The dropout seed of an image is its place in the whole."""

    def make(_):
        yield model.generate(inputs.array(), seed=seed, **options)

    return Pictures(inputs.count, make)


def of_source(source, column: str, rows: np.ndarray) -> Pictures:
    """Rows of one column of a data source, fitted to its size, without augmentation."""
    place = source.columns.index(column)

    def make(_):
        for start in range(0, len(rows), CHUNK):
            yield np.stack([source.fetch(int(i), source.size)[place] for i in rows[start : start + CHUNK]])

    return Pictures(len(rows), make)


def mirrored(pictures: Pictures) -> Pictures:
    """The same pictures, left and right exchanged."""
    return Pictures(pictures.count, lambda _: (batch[:, :, ::-1] for batch in pictures))


def of_records(records, n: int | None) -> Pictures:
    """The first `n` pictures of a folder or zip file at their own sizes; what cannot be read is left out and noted."""
    count = len(records) if n is None else min(n, len(records))

    def read(i: int):
        try:
            return records.read(i, "crop")[0]
        except GanzooError as error:
            return str(error)

    def make(pictures: Pictures):
        batch: list[np.ndarray] = []
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            for start in range(0, count, CHUNK):
                places = range(start, min(start + CHUNK, count))
                for i, picture in zip(places, pool.map(read, places), strict=True):
                    if isinstance(picture, str):
                        pictures.skipped.append((records.ids[i], picture))
                        continue
                    if batch and (len(batch) == CHUNK or picture.shape != batch[0].shape):
                        yield np.stack(batch)
                        batch = []
                    batch.append(picture)
        if batch:
            yield np.stack(batch)

    return Pictures(count, make)
