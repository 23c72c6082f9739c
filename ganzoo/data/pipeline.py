"""Source -> infinite `tf.data.Dataset` of batches. Batch k depends on (seed, k) only, so a run resumes from its step number.

    range(start * B, ...) -> batch(B) -> index_shuffle by (seed, epoch) -> gather -> crop, mirror by (seed, position)

(and, for progressive growing, -> means of k x k pixels)

Position p (0, 1, 2, ... over the whole run) shows item shuffle_epoch(p mod n) of epoch p // n: every item once an epoch,
also if the batch is larger than the set. (With `data.balance`: every class once in as many positions as there are classes, and of
a class every picture once before any of it comes again.) Random numbers come from hashing (seed, stream, position), the same for both
pictures of a pair. Everything works on whole batches of uint8, so a batch costs about a millisecond.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from ganzoo.data import masks
from ganzoo.data.source import Source
from ganzoo.data.task_shapes import task_shape
from ganzoo.errors import GanzooError

if TYPE_CHECKING:
    from ganzoo.data.pictures import PictureSource

MASK = 2**64 - 1
GOLDEN, MIX1, MIX2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB  # splitmix64 (Steele et al. 2014)
INDEX_SHUFFLE_KEY = 498247692
# Streams of random numbers; WRONG takes those after it too.
FOIL, MIRROR, CROP_Y, CROP_X, CAPTION, WRONG = range(6)
CANDIDATES = 8


def batches(
    source: Source,
    batch_size: int,
    *,
    seed: int = 0,
    start_step: int = 0,
    offset: int = 0,
    size: int | None = None,
    labels: bool = False,
    texts: str | None = None,
    foils: bool = False,
    attributes: bool = False,
    rows: slice | None = None,
) -> tf.data.Dataset:
    """Infinite dict batches {column: float32 (B, size, size, channels) in [-1, 1]}, from batch `start_step` on.

    Args:
        offset: position of the first picture of batch 0; a segment of a run goes on where the one before ended.
        size: side of the pictures, a divisor of the source's: means of so many pixels, rounded to 8 bits.
        labels: also "label", int64 (B,).
        texts: also "text", strings (B,), or "embedding", float32 (B, d), each with "wrong", the mismatched pictures; with
            `data.captions` K above 1 they are (B, K) and (B, K, d).
        foils: also "foil", strings like "text": each sentence with one word exchanged, or as it is where it has no foil.
        attributes: also "attributes", float32 (B, A) of 0 and 1.
        rows: of each global batch only these, the part of one of several workers.

    Raises:
        GanzooError: a number out of range, or no labels in the source.
    """
    if batch_size < 1 or start_step < 0 or seed < 0:
        raise GanzooError(
            f"batch_size must be at least 1, seed and start_step at least 0; got {batch_size}, {seed}, {start_step}."
        )
    check_size(source, size)
    if labels or source.config.balance:
        check_labels(source)
    if texts:
        check_texts(source, texts)
    if attributes:
        check_attributes(source)
    return source.batches(
        batch_size,
        seed=seed,
        start_step=start_step,
        offset=offset,
        size=size or source.size,
        labels=labels,
        texts=texts,
        foils=foils,
        attributes=attributes,
        rows=rows,
    )


def picture_batches(
    source: "PictureSource",
    batch_size: int,
    *,
    seed: int,
    start_step: int,
    offset: int,
    size: int,
    labels: bool,
    texts: str | None,
    foils: bool,
    attributes: bool,
    rows: slice | None,
) -> tf.data.Dataset:
    """The batches of pictures, pairs and pictures with sentences."""
    columns = source.attributes.columns if attributes and source.attributes else None
    exchanged = source.texts.foils if texts and foils and source.texts else None
    factor = source.size // size
    early = factor if not source.in_memory and source.load_size == source.size else 1  # large pictures one by one
    positions = positions_of(batch_size, start_step, offset, rows)
    if source.in_memory:
        with tf.device("CPU:0"):  # the pipeline runs there; a set on the GPU would be copied back for every batch
            arrays = [tf.constant(array) for array in source.arrays]

        def read(p):
            parts = tuple(tf.gather(a, items_of(source, p, seed)) for a in arrays)
            return (p, parts, tf.gather(arrays[0], wrong_items(source, p, seed)) if texts else ())

        dataset = positions.map(read)
    else:

        def read_one(p):
            parts = _decoded(source, items_of(source, p[None], seed)[0], early)
            return (p, parts, _decoded(source, wrong_items(source, p[None], seed)[0], early)[0] if texts else ())

        here = len(range(batch_size)[rows or slice(None)])
        dataset = positions.unbatch().map(read_one, tf.data.AUTOTUNE).batch(here, drop_remainder=True)

    def finished(p, parts, wrong):
        out = _finish(source, seed, p, parts, factor, early)
        if texts:
            out["wrong"] = _finish(source, seed, p, (wrong,), factor, early)["image"]
            out |= picked_texts(source, p, seed, texts, exchanged)
        if source.config.shape == "masks" and not source.has_masks:
            # One shape for all of a batch (train_random.lua), which each worker draws for itself.
            batch = (p[0] - offset) // batch_size
            mask = masks.drawn(size, tf.stack([tf.constant(seed, tf.int64), batch]))
            out["mask"] = tf.repeat(mask[None], tf.shape(p)[0], axis=0)
        items = items_of(source, p, seed) if labels or attributes else None
        out |= {"label": tf.gather(source.labels, items)} if labels else {}
        return out | ({"attributes": tf.gather(columns, items)} if attributes else {})

    dataset = dataset.map(finished)
    options = tf.data.Options()
    options.deterministic = True
    # Several workers: each takes its part of every global batch, whatever the graph above looks like.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return dataset.with_options(options).prefetch(2)


def positions_of(batch_size: int, start_step: int, offset: int, rows: slice | None) -> tf.data.Dataset:
    """int64 (B,) for each global batch: batch k holds the positions from offset + k * B on; or only some rows of each."""
    positions = tf.data.Dataset.range(offset + start_step * batch_size, np.iinfo(np.int64).max)
    positions = positions.batch(batch_size, drop_remainder=True)
    return positions.map(lambda p: p[rows]) if rows else positions


def check_size(source: Source, size: int | None) -> None:
    """Refuses a size that the source's pictures do not shrink to; None is their own."""
    if size is not None and (size < 1 or source.size % size):
        raise GanzooError(f"Pictures of {source.size} px are halved to sizes that divide it; {size} does not.")


def check_labels(source: Source, classes: int | None = None) -> None:
    """Refuses a source without labels; of a model of so many classes also labels past the last one, and classes of one picture."""
    labels = source.labels
    if labels is None:
        raise GanzooError(
            f"A model with classes needs labels, and {source.config.source} has none. Put the pictures of each class into "
            "a folder of its own; the bundled set fashion, IDX files and most TFDS sets bring theirs."
        )
    found = int(labels.max()) + 1
    if classes is not None and found > classes:
        raise GanzooError(
            f"{source.config.source} has {found} classes, the model {classes}: set model.classes = {found}."
        )
    counts = np.bincount(labels, minlength=found)
    if classes is not None and (counts == 1).any():
        lone = int(np.flatnonzero(counts == 1)[0])
        name = source.class_names[lone] if source.class_names else str(lone)
        raise GanzooError(
            f'The class "{name}" of {source.config.source} has one picture, which would be learned by heart: give it more, or take '
            "it out."
        )


def check_texts(source: Source, column: str) -> None:
    """Refuses a source without sentences, and for the column "embedding" one without their embeddings."""
    if source.texts is None:
        raise GanzooError(
            f"A model that reads text needs pictures with sentences, and {source.config.source} is read as "
            f'{source.config.shape}: set data.shape = "captions". Accepted: {task_shape("captions").layouts}.'
        )
    if column == "embedding" and source.texts.embeddings is None:
        raise GanzooError(
            f'{source.config.source} brings no embeddings: a metadata.jsonl with "file_name", "text" and "embedding" does.'
        )


def check_attributes(source: Source, known: Mapping[str, tuple[str, ...]] | None = None) -> None:
    """Refuses a source without attributes, or with others than a model knows."""
    if source.attributes is None:
        asked = source.config.shape == "attributes"
        how = "has none" if asked else f'is read as {source.config.shape}: set data.shape = "attributes"'
        raise GanzooError(
            f"A model that is asked for attributes needs pictures with them, and {source.config.source} {how}. Accepted: "
            f"{task_shape('attributes').layouts}."
        )
    own = source.attributes.values
    if known is None or list(known.items()) == list(own.items()):
        return
    parts = [f"{name} is missing" for name in known if name not in own]
    parts += [f"{name} is not the model's" for name in own if name not in known]
    parts += [f"{name} has other values" for name in known if name in own and known[name] != own[name]]
    raise GanzooError(
        f"The attributes of {source.config.source} are not those of the model: "
        f"{'; '.join(parts[:4]) or 'they come in another order'}. Train or fine-tune a model on these data, or choose by "
        "data.attributes."
    )


def shuffled(positions: tf.Tensor, count: int, seed: int) -> tf.Tensor:
    """int64 positions (B,) -> item numbers (B,): in each epoch of `count` positions a new permutation."""
    # The raw operation, because tf.random.experimental.index_shuffle (TF 2.21) pads a batch of seeds on the wrong axis; the
    # first number of the key is the one that it puts there, so both give the same order.
    epochs = positions // count
    seeds = tf.stack(
        [tf.fill(tf.shape(positions), tf.constant(n, tf.int64)) for n in (INDEX_SHUFFLE_KEY, seed)] + [epochs], 1
    )
    last = tf.constant(count - 1, tf.int64)
    return tf.raw_ops.RandomIndexShuffle(index=positions % count, seed=seeds, max_index=last, rounds=4)


def items_of(source: "PictureSource", positions: tf.Tensor, seed: int) -> tf.Tensor:
    """int64 positions (B,) -> item numbers (B,): all items in each epoch, or with `data.balance` all classes alike."""
    if not source.config.balance or source.labels is None:
        return shuffled(positions, len(source), seed)
    order = np.argsort(source.labels, kind="stable")  # the items class by class
    _, starts, counts = np.unique(source.labels[order], return_index=True, return_counts=True)
    place = shuffled(positions, len(counts), seed)
    visit, count = positions // len(counts), tf.gather(tf.constant(counts, tf.int64), place)
    # Each class in a permutation of its own, another one in each of its epochs.
    key = tf.fill(tf.shape(place), tf.constant(INDEX_SHUFFLE_KEY, tf.int64))
    seeds = tf.stack([key, seed + (place + 1) * tf.constant(GOLDEN >> 8, tf.int64), visit // count], 1)
    within = tf.raw_ops.RandomIndexShuffle(index=visit % count, seed=seeds, max_index=count - 1, rounds=4)
    return tf.gather(tf.constant(order, tf.int64), tf.gather(tf.constant(starts, tf.int64), place) + within)


def picked_texts(
    source: "PictureSource", positions: tf.Tensor, seed: int, column: str, foils=None
) -> dict[str, tf.Tensor]:
    """The sentence (or embedding) that each position shows: a function of (seed, epoch, item). `data.captions` of them
    follow each other, from the first one again. With `Texts.foils` also one of each sentence, drawn anew in each epoch."""
    items, count = shuffled(positions, len(source), seed), source.config.captions
    texts = source.texts
    assert texts is not None
    visits = positions // len(source) * len(source) + items
    limit = tf.gather(tf.constant(texts.counts), items)
    start = tf.cast(random_bits(visits, seed, CAPTION) % tf.cast(limit, tf.uint64), tf.int64)
    places = (start[:, None] + tf.range(count, dtype=tf.int64)) % limit[:, None]

    def shown(array):
        return tf.gather(tf.gather(tf.constant(array), items), places, batch_dims=1)

    out = {column: shown(texts.strings if column == "text" else texts.embeddings)}
    if foils is not None:
        rows, counts = map(shown, foils)
        drawn = random_bits(visits, seed, FOIL)[:, None] % tf.cast(counts, tf.uint64)
        out["foil"] = tf.gather(rows, tf.cast(drawn, tf.int64), batch_dims=2)
    return {name: values[:, 0] if count == 1 else values for name, values in out.items()}


def wrong_items(source: "PictureSource", positions: tf.Tensor, seed: int) -> tf.Tensor:
    """For each position another item that shares no sentence with its own: the first of a few random ones that fits, or
    one that is known to."""
    items, total, texts = shuffled(positions, len(source), seed), len(source), source.texts
    drawn = [random_below(positions, seed, WRONG + t, total - 1) for t in range(CANDIDATES)]
    others = (items[:, None] + 1 + tf.stack(drawn, axis=1)) % total
    assert texts is not None
    ids = tf.constant(texts.ids)
    mine, theirs = tf.gather(ids, items)[:, None, :, None], tf.gather(ids, others)[:, :, None, :]
    fits = tf.logical_not(tf.reduce_any(tf.logical_and(mine == theirs, mine >= 0), axis=[2, 3]))
    first = tf.gather(others, tf.argmax(tf.cast(fits, tf.int32), axis=1), batch_dims=1)
    return tf.where(tf.reduce_any(fits, axis=1), first, tf.gather(tf.constant(texts.apart), items))


def random_bits(positions: tf.Tensor, seed: int, stream: int) -> tf.Tensor:
    """int64 positions (B,) -> uint64 (B,), uniform and independent between positions, streams and seeds."""
    key = _mix_int((_mix_int(seed + GOLDEN) + stream * GOLDEN) & MASK)
    z = tf.cast(positions, tf.uint64) * tf.constant(GOLDEN, tf.uint64) + tf.constant(key, tf.uint64)
    shift = tf.bitwise.right_shift
    z = tf.bitwise.bitwise_xor(z, shift(z, tf.constant(30, tf.uint64))) * tf.constant(MIX1, tf.uint64)
    z = tf.bitwise.bitwise_xor(z, shift(z, tf.constant(27, tf.uint64))) * tf.constant(MIX2, tf.uint64)
    return tf.bitwise.bitwise_xor(z, shift(z, tf.constant(31, tf.uint64)))


def random_below(positions: tf.Tensor, seed: int, stream: int, bound: int) -> tf.Tensor:
    """Uniform int64 in [0, bound) for each position."""
    return tf.cast(random_bits(positions, seed, stream) % tf.constant(bound, tf.uint64), tf.int64)


def _finish(
    source: "PictureSource", seed: int, positions: tf.Tensor, parts, factor: int, early: int
) -> dict[str, tf.Tensor]:
    """Crop, mirror, shrink by `factor` (by `early` it is already) and scale a uint8 batch; all columns alike."""
    size, slack = source.size, source.load_size - source.size
    out = {}
    for (name, channels), images in zip(source.stored, parts, strict=True):
        if slack:
            rows = random_below(positions, seed, CROP_Y, slack + 1)[:, None] + tf.range(size, dtype=tf.int64)
            columns = random_below(positions, seed, CROP_X, slack + 1)[:, None] + tf.range(size, dtype=tf.int64)
            images = tf.gather(tf.gather(images, rows, axis=1, batch_dims=1), columns, axis=2, batch_dims=1)
        if source.config.mirror:
            images = _mirrored(images, random_below(positions, seed, MIRROR, 2), channels)
        images = _shrunk(tf.ensure_shape(images, (None, *[size // early] * 2, channels)), factor // early)
        out[name] = tf.cast(images, tf.float32) / 127.5 - 1.0
    return out


def _mirrored(images: tf.Tensor, flip: tf.Tensor, channels: int) -> tf.Tensor:
    """uint8 (B, H, W, C), mirrored left-right in the rows where `flip` is 1. tf.reverse is fast on three axes only."""
    shape = tf.shape(images)
    reverse = tf.reshape(tf.reverse(tf.reshape(images, (-1, shape[2], channels)), [1]), shape)
    rows = tf.range(shape[0], dtype=tf.int64)
    return tf.gather(tf.concat([images, reverse], 0), rows + flip * tf.cast(shape[0], tf.int64))


def _shrunk(images: tf.Tensor, factor: int) -> tf.Tensor:
    """uint8 (B, H, W, C) -> (B, H / factor, W / factor, C): means, rounded as StyleGAN's data tool does."""
    if factor == 1:
        return images
    means = tf.nn.avg_pool2d(tf.cast(images, tf.float32), factor, factor, "VALID")
    return tf.cast(tf.round(means), tf.uint8)


def _decoded(source: "PictureSource", index: tf.Tensor, factor: int = 1) -> tuple[tf.Tensor, ...]:
    """Read and decode one item on the fly, shrunk; Pillow lets the interpreter go meanwhile, so this runs in parallel."""
    size = source.load_size
    parts = tf.numpy_function(lambda i: source.fetch(int(i), size), [index], [tf.uint8] * len(source.stored))
    parts = [tf.ensure_shape(p, (size, size, c)) for p, (_, c) in zip(parts, source.stored, strict=True)]
    return tuple(_shrunk(p[None], factor)[0] for p in parts)


def seed_of_second_domain(seed: int) -> int:
    """The seed by which domain B of unpaired data is drawn, in an order of its own."""
    return _mix_int(seed + 1) >> 1


def _mix_int(z: int) -> int:
    z = ((z ^ (z >> 30)) * MIX1) & MASK
    z = ((z ^ (z >> 27)) * MIX2) & MASK
    return z ^ (z >> 31)
