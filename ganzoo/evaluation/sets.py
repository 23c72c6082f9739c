"""The sets of pictures of one evaluation and their features: each set made once, features once for each extractor."""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import keras
import numpy as np

from ganzoo import data as data_layer
from ganzoo import presets, zoo
from ganzoo.base import BaseGAN
from ganzoo.errors import GanzooError
from ganzoo.evaluation import pictures as made
from ganzoo.evaluation.pictures import Pictures
from ganzoo.metrics import Moments

FLOOR_SEED = 0  # of the choice of real training pictures that stand in for samples

# What is measured, by name: "fake" (the samples), or one of the anchors "floor" (real training pictures in their place)
# and "ceiling" (an untrained model's samples); next to them "reference", "train" (all of it) and "input" (of pairs).


@dataclass
class Sets:
    """Pictures by name and their features.

    Attributes:
        open: name -> Pictures.
        keys: name -> a function that gives the facts that identify a real set; its features are cached under them.
        scored: tags of the extractors whose logits are needed besides the features.
        moments_only: tags of those of which only mean and covariance are needed: features are not kept.
        mirrored: whether the model was trained on mirrored pictures too, so that it may have copied a mirrored one.
        report: called with (what, done, total) while features are computed.
    """

    open: dict[str, Callable[[], Pictures]]
    keys: dict[str, Callable[[], dict]]
    scored: set[str] = field(default_factory=set)
    moments_only: set[str] = field(default_factory=set)
    mirrored: bool = False
    report: Callable[[str, int, int], None] | None = None
    _pictures: dict[str, Pictures] = field(default_factory=dict)
    _kept: dict[tuple, object] = field(default_factory=dict)

    def pictures(self, name: str) -> Pictures:
        """The set of this name. Raises GanzooError where there is none, such as training pictures of a folder."""
        if name not in self.open:
            raise GanzooError(f"This needs {name} pictures, and there are none: evaluate a model, not a folder.")
        if name not in self._pictures:
            self._pictures[name] = self.open[name]()
            if self.report:
                self._pictures[name].report = functools.partial(self.report, f"{name} pictures")
        return self._pictures[name]

    def features(self, name: str, extractor) -> np.ndarray:
        """float32 (n, D), row i of picture i."""
        return self._once(name, extractor, "features")["features"]

    def logits(self, name: str, extractor) -> np.ndarray:
        """float32 (n, classes) of the extractor's classifier."""
        return self._once(name, extractor, "both")["logits"]

    def moments(self, name: str, extractor) -> Moments | np.ndarray:
        """What the Frechet distance needs: the features, or their streamed moments where nothing else asks for more."""
        if extractor.tag not in self.moments_only:
            return self.features(name, extractor)
        return Moments.from_arrays(self._once(name, extractor, "moments"))

    def count(self, name: str, extractor) -> int:
        """How many pictures were measured."""
        found = self.moments(name, extractor)
        return found.n if isinstance(found, Moments) else len(found)

    def _once(self, name: str, extractor, what: str) -> dict[str, np.ndarray]:
        if what == "features" and extractor.tag in self.scored and name not in ("reference", "train"):
            what = "both"
        return self.once((name, extractor.tag, what), lambda: self._compute(name, extractor, what))

    def once(self, key: tuple, make: Callable):
        """`make()` at the first call and the same object ever after."""
        return self._kept[key] if key in self._kept else self._kept.setdefault(key, make())

    def _compute(self, name: str, extractor, what: str) -> dict[str, np.ndarray]:
        from ganzoo.metrics import features

        def run() -> dict[str, np.ndarray]:
            batches = self._counted(name, extractor)
            if what == "both":
                rows, logits = extractor.outputs(batches)
                return {"features": rows, "logits": logits}
            if what == "features":
                return {"features": extractor.features(batches)}
            moments = Moments(extractor.dimensions)
            for rows in extractor.stream(batches):
                moments.update(rows)
            return moments.arrays()

        if name not in self.keys:
            return run()
        parts = self.keys[name]() | {"extractor": extractor.tag, "weights": extractor.sha256, "what": what}
        return features.cached_arrays(parts, run)

    def _counted(self, name: str, extractor) -> Iterator[np.ndarray]:
        pictures, done = self.pictures(name), 0
        for batch in pictures:
            yield batch
            done += len(batch)
            if self.report:
                self.report(f"{name} through {extractor.name}", done, pictures.count)


class Subject:
    """A model, its data, and the sets that follow from them.

    Attributes:
        n: samples; for an image model the first `n` items of the split, all if None.
        split: of the reference; of two domains with the reference's letter, "testB" for a2b, as its folder is called.
        direction: of two domains "a2b" or "b2a", else None.
        remark: what is to be said of the split, "" for nothing.
        sets: "fake", "ceiling" (both generated), "floor", "reference", "train", and "input" of an image model.
    """

    def __init__(
        self,
        model: BaseGAN,
        config: presets.DataConfig,
        *,
        n: int | None,
        split: str,
        seed: int,
        direction: str | None = None,
        remark: str = "",
        report=None,
    ):
        self.remark = remark
        self.model, self.config, self.seed, self.direction = model, config, seed, direction
        self.opened = split
        self.split = f"{split}{direction[-1].upper()}" if direction else split
        self.given: str | None
        self.n: int
        if direction:
            self.given, self.column = direction[0], direction[-1]
        else:
            columns: dict[str, tuple[str | None, str]] = {
                "paired": ("input", "target"),
                "voxels": (None, "voxels"),
                "masks": ("image", "image"),
            }
            columns |= {"images": ("image", "image")} if model.fills else {}
            self.given, self.column = columns.get(config.shape, (None, "image"))
        if model.translates:
            self.n = len(self.inputs) if n is None else min(n, len(self.inputs))
        else:
            assert n is not None, "a model that makes samples makes as many as are asked for"
            self.n = n
        self.sets = Sets(
            open={
                "fake": lambda: self._samples(model),
                "ceiling": lambda: self._samples(self.untrained),
                "floor": lambda: made.of_source(self.train, self.column, self._floor_rows()),
                "reference": lambda: made.of_source(self.test, self.column, np.arange(len(self.test))),
                "train": lambda: made.of_source(self.train, self.column, np.arange(len(self.train))),
                "input": self._inputs,
                "fake mirrored": lambda: made.mirrored(self.sets.pictures("fake")),
                "ceiling mirrored": lambda: made.mirrored(self.sets.pictures("ceiling")),
                "reference mirrored": lambda: made.mirrored(self.sets.pictures("reference")),
            },
            # Functions: opening and hashing a split waits until its features are asked for.
            keys={
                "floor": lambda: self._key(self.train, f"{FLOOR_SEED}:{len(self._floor_rows())}"),
                "reference": lambda: self._key(self.test, "all"),
                "train": lambda: self._key(self.train, "all"),
                "reference mirrored": lambda: self._key(self.test, "all, mirrored"),
            },
            mirrored=config.mirror,
            report=report,
        )

    @cached_property
    def test(self):
        """The reference: the whole split."""
        return self._opened(self.opened, self.column)

    @cached_property
    def inputs(self):
        """What an image model translates."""
        return self._opened(self.opened, self.given or self.column)

    @cached_property
    def train(self):
        """What the model was trained on, if the data are its own."""
        return self._opened(self.config.split, self.column)

    @cached_property
    def held_out(self):
        """Pictures on which a metric chooses what it needs: `data.val_split`, or else the training set."""
        return data_layer.open_source(self.config, self.config.val_split) if self.config.val_split else self.train

    def held_out_rows(self, n: int) -> np.ndarray:
        """Up to `n` of them: the first held-out ones, or the last of the training set."""
        rows = np.arange(len(self.held_out))
        return rows[:n] if self.config.val_split else rows[-n:]

    @property
    def train_labels(self) -> np.ndarray | None:
        """int64 classes of the training pictures, of which those of a conditional model's samples are drawn; else None."""
        if not self.model.classes:
            return None
        data_layer.check_labels(self.train, self.model.classes)
        return self.train.labels

    @property
    def floor_labels(self) -> np.ndarray:
        """int64 classes of the real training pictures that stand in for samples."""
        return self.train.labels[self._floor_rows()]

    @property
    def asked(self) -> np.ndarray | None:
        """int64 (m, K): what a model with attributes is asked for, all that is known of the pictures of the reference; else
        None."""
        if not self.model.attributes:
            return None
        data_layer.check_attributes(self.test, self.model.attributes)
        return self.test.attributes.rows

    def _opened(self, split: str, column: str):
        source = data_layer.open_source(self.config, split)
        return source.sides[column] if self.direction else source

    @cached_property
    def untrained(self) -> BaseGAN:
        """The same class with the random weights of a fixed seed."""
        keras.utils.set_random_seed(self.seed % 2**32)
        return zoo.build(self.model.run_config)

    def rows_of(self, splits: np.ndarray) -> np.ndarray:
        """The rows of a bundled set's columns that the reference shows, by its column `split`."""
        chosen = dict.fromkeys(splits.tolist()) if self.opened == "all" else self.opened.split("+")
        return np.flatnonzero(np.isin(splits, [part.strip() for part in chosen]))

    def _samples(self, model: BaseGAN) -> Pictures:
        if model.changes_age:
            return made.examples(model, self.n, self.seed)
        if model.task == "latent":
            return made.generated(model, self.n, self.seed, self.train_labels, self.asked)
        if model.task == "text":
            if "embedding" in model.batch_signature():
                said = self.test.texts.embeddings[np.arange(self.n) % len(self.test), 0]
            else:
                said = self.test.sentences(self.n)
            return made.described(model, said, self.seed)
        options: dict[str, Any] = {"direction": self.direction} if model.directions else {}
        masks = self.given_masks()
        options |= {} if masks is None else {"mask": masks[: self.n]}
        return made.translated(model, self.sets.pictures("input"), self.seed, **options)

    def given_masks(self) -> np.ndarray | None:
        """bool (n, H, W): the masks next to the test pictures; None where there are none, or the model fills no holes."""
        if not self.model.fills or self.config.shape != "masks" or not self.test.has_masks:
            return None
        return self.test.take(len(self.test))["mask"][..., 0] > 127

    def _inputs(self) -> Pictures:
        if self.given is None:
            raise GanzooError(f'This needs input pictures; data.shape is "{self.config.shape}".')
        return made.of_source(self.inputs, self.given, np.arange(self.n))

    def _floor_rows(self) -> np.ndarray:
        """As many training pictures as there are samples, drawn once and for all; all of them if there are fewer."""
        order = np.random.default_rng(FLOOR_SEED).permutation(len(self.train))
        return np.sort(order[: self.n])

    def _key(self, source, rows: str) -> dict:
        config = self.config
        return {
            "data": source.fingerprint,
            "column": self.column,
            "channels": source.channels[source.columns.index(self.column)],
            "size": config.size,
            "fit": config.fitting,
            "direction": config.direction,
            "rows": rows,
        }


def folder_sets(folder, against, *, n: int | None, report=None) -> Sets:
    """Pictures of one folder, zip file or bundled set (`Records`) against those of another, each at its own size."""
    return Sets(
        open={"fake": lambda: made.of_records(folder, n), "reference": lambda: made.of_records(against, None)},
        keys={"reference": lambda: {"data": against.digest(), "size": "own"}},
        report=report,
    )
