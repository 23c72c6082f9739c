"""Callbacks that look at a run's samples while it trains: HealthMonitor (collapse) and MetricEvery (KID, best, plateau).

Both only watch: they put the sampler's statistics back, draw nothing from the run's noise, and a run with them ends with
the bytes of a run without. Their rows are files next to log.jsonl; on resume the rows past the restored step are dropped,
and everything that they remember (the best value, patience, what was said) is read from the rows that are kept.
"""

import contextlib
import json
import math
import time
import warnings
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np

from ganzoo import files, metrics, zoo
from ganzoo.base import BaseGAN
from ganzoo.errors import GanzooError, say
from ganzoo.media import images, shapes3d
from ganzoo.presets import StopConfig, metric_names
from ganzoo.runs import checkpoint, health
from ganzoo.runs.log import kept_rows, read_log
from ganzoo.training import callbacks

SAMPLES = 64  # of the health check; four times as many real pictures are its reference
SIDE = 16  # pixels: its features are small pictures, which cost next to nothing
REFERENCE = 10_000  # real pictures of a metric, at most
SUBSETS = 10  # of the KID; a tenth of the subsets of `ganzoo.evaluate`, for a tenth of its time


class Watch(keras.callbacks.Callback):
    """Base of both: counts steps, calls `measure` every so many, keeps the rows.

    Args:
        path: JSON-lines file of the rows.
        every: steps between two measurements, at least 1.
        log: the run's log.
        stop: the rules that may end the run.
        inputs: for image tasks: uint8 (n, H, W, C), translated instead of sampling; for text: n sentences.
    """

    needed: ClassVar[tuple[str, ...]] = ()  # numbers without which a row of the file is a damaged one

    def __init__(
        self,
        path: Path,
        *,
        every: int,
        start_step: int,
        seed: int,
        log: callbacks.RunLog,
        stop: StopConfig,
        inputs: np.ndarray | None = None,
    ):
        super().__init__()
        self.path, self.every, self.step = path, every, start_step
        self.seed, self.log, self.stop, self.inputs = seed, log, stop, inputs
        self.rows = kept_rows(path, start_step, *self.needed)
        self.stopped: str | None = None  # why the run should end

    def on_train_batch_end(self, batch, logs=None):
        self.step += self.model.steps_per_execution
        # No samples of a state that the run does not go on from: the log's next row says so, on all workers alike.
        if self.step % self.every == 0 and self.model.trains_generator and not self.model.guard.failed:
            with as_saved(self.model), warnings.catch_warnings():
                # The same at every step, and a collapse is said by the rules.
                warnings.simplefilter("ignore", metrics.MetricWarning)
                row = {"step": self.step, **self.measure()}
            self.keep(row)  # before the row is written: a kill between the two measures again
            self.rows.append(row)
            files.append_line(self.path, json.dumps(row))
            self.judge()
            if self.stopped:
                self.model.stop_training = True

    def measure(self) -> dict:
        """The values of a row."""
        raise NotImplementedError

    def keep(self, row: dict) -> None:
        """What a measurement leaves behind besides its row: nothing."""

    def judge(self) -> None:
        """Reads the rows and sets `stopped`."""
        raise NotImplementedError

    def samples(self, n: int) -> np.ndarray:
        """uint8 pictures (or voxels), the same noise or inputs at every step."""
        if self.inputs is None:
            return self.model.examples(n, self.seed, **self.model.evaluation_kwargs)
        return self.model.generate(self.inputs[:n], seed=self.seed)


@contextlib.contextmanager
def as_saved(model: BaseGAN):
    """The model samples as it will when it is saved (`finalize`: standing statistics); afterwards it is as it was."""
    variables = [*model.sampler.non_trainable_variables]
    before = [np.array(variable) for variable in variables]
    try:
        if int(keras.ops.convert_to_numpy(model.step)):
            model.finalize()
        yield
    finally:
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)


class HealthMonitor(Watch):
    """Every so many steps: how unlike each other the samples are, and how much of a small reference they cover.

    A row holds `diversity`, the mean pairwise distance of 64 samples as a share of that of 64 real pictures; `coverage`,
    the share of 256 real pictures with a sample among their 5 nearest; `real_coverage`, the same for the 64 real ones.
    Distances are of pixels, pictures shrunk to 16 x 16 (shapes to 8 x 8 x 8); image tasks take half of all counts. These rows and the log's
    (logits, `fooled`, losses) go through the rules of `ganzoo.runs.health`; each new finding is said once on stderr.

    Args:
        real: uint8 (N, H, W, C), real pictures; every fifth is a judge, the others are the reference.
        inputs: for image tasks the inputs whose targets are the judges.
        stop: `d_wins` ends the run.
    """

    def __init__(self, path: Path, *, real: np.ndarray, **options):
        super().__init__(path, **options)
        pixels = _pixels(real)
        judges, self.reference = pixels[::5], np.delete(pixels, np.s_[::5], axis=0)
        self.count = len(judges)
        self.spread = metrics.pairwise_diversity(judges) if len(judges) > 1 else 0.0
        self.neighbours = min(5, len(self.reference) - 1)
        self.real_coverage = self._coverage(judges)
        self.said = {(found.kind, found.since) for found in self.findings()}
        self.judge()

    def measure(self) -> dict:
        made = _pixels(self.samples(self.count))
        row: dict[str, float] = {"diversity": metrics.pairwise_diversity(made) / self.spread} if self.spread else {}
        coverage = self._coverage(made)
        if coverage is not None and self.real_coverage is not None:
            row |= {"coverage": coverage, "real_coverage": self.real_coverage}
        return {key: round(value, 4) for key, value in row.items()}

    def _coverage(self, pixels: np.ndarray) -> float | None:
        if self.neighbours < 1:
            return None
        return metrics.density_coverage(self.reference, pixels, self.neighbours)[1]

    def findings(self) -> list[health.Finding]:
        """What the rows up to the last measurement show; a resumed run comes to the same."""
        measured = self.step - self.step % self.every
        assert self.log.path is not None, "only the chief watches, and it writes the log"
        rows = [row for row in read_log(self.log.path).rows if row["step"] <= measured]
        return health.findings(rows, self.rows)

    def judge(self):
        found = self.findings()
        for finding in found:
            if (finding.kind, finding.since) not in self.said:
                self.said.add((finding.kind, finding.since))
                say(f"step {self.step:,}: {finding.text}")
        wins = [f for f in found if f.kind == "d_wins" and f.until is None]
        if wins and self.stop.d_wins and self.step >= self.stop.min_steps:
            self.stopped = f"d_wins: {wins[0].text}"


def spread(source, n: int) -> dict[str, np.ndarray]:
    """`n` items (fewer if there are fewer) evenly over a source: its order may be that of classes or names."""
    rows = np.unique(np.linspace(0, len(source) - 1, n).astype(int))
    items = zip(*(source.fetch(int(row), source.size) for row in rows), strict=True)
    return {name: np.stack(column) for name, column in zip(source.fetched, items, strict=True)}


def _pixels(pictures: np.ndarray) -> np.ndarray:
    if pictures.ndim == 5:
        return shapes3d.shrunk(pictures, 8).reshape(len(pictures), -1)
    small = [images.fit_image(picture, min(SIDE, *picture.shape[:2]), "stretch") for picture in pictures]
    return np.stack(small).reshape(len(small), -1) / 255.0


def measured_by(name: str):
    """("kid" or "fid", extractor) of a `train.metric`.

    Raises:
        GanzooError: another metric, an unknown extractor, or one without its weights.
    """
    asked = metric_names.parse_stem(name)
    if asked.metric not in ("kid", "fid") or not asked.extractor or asked.n or asked.split:
        raise GanzooError(
            'train.metric is a kid or fid with its extractor, such as "kid_efficientnet-lite0_lanczos"; the count is '
            f'train.metric_n and the split data.test_split. Received "{name}".'
        )
    from ganzoo.metrics import features  # its networks take time to import: only for runs that measure

    return asked.metric, features.extractor(asked.extractor, resize=asked.resize)


class MetricEvery(Watch):
    """Every so many steps: KID (or FID) of `n` samples; keeps the best state and ends the run on a plateau.

    A row holds `metric` (the whole protocol), `value`, `std` (KID: over its subsets), `seconds`, `best`. The best
    state lies in `checkpoints/best/`, which no rotation touches, and as a model in `model-best/`, for `ganzoo.load`.

    Args:
        run_dir: the run folder.
        name: such as "kid_efficientnet-lite0_lanczos".
        real: the pictures to measure against, a `ganzoo.data` source.
        stop: `patience`, `min_delta` and `min_steps`.

    Raises:
        GanzooError: another metric than kid or fid, an unknown extractor, fewer than 2 pictures.
    """

    needed = ("value",)

    def __init__(self, run_dir: Path, *, name: str, n: int, real, **options):
        super().__init__(run_dir / "metrics.jsonl", **options)
        self.run_dir = run_dir
        self.n = n if self.inputs is None else min(n, len(self.inputs))
        self.kind, self.extractor = measured_by(name)
        extractor = self.extractor
        self.name = str(metric_names.Protocol(self.kind, self.n, extractor.name, extractor.resize, real.split))
        self.real = self._real_features(real)
        self.judge()

    def _real_features(self, source) -> np.ndarray:
        from ganzoo.metrics import features

        column, count = source.columns[-1], min(len(source), REFERENCE)
        parts = {
            "what": "features",
            "data": source.fingerprint,
            "split": source.split,
            "column": column,
            "direction": source.config.direction,
            "size": source.size,
            "channels": source.channels[-1],
            "fit": source.config.fitting,
            "rows": count,
            "extractor": self.extractor.tag,
            "sha256": self.extractor.sha256,
        }
        return features.cached(parts, lambda: self.extractor.features(source.take(count)[column]))

    def measure(self) -> dict:
        began = time.perf_counter()
        made = self.extractor.features(self.samples(self.n))
        row: dict[str, Any] = {"metric": self.name}
        if self.kind == "kid":
            size = metrics.kid_subset_size(len(self.real), len(made))
            row["value"], row["std"] = metrics.kernel_distance(self.real, made, subsets=SUBSETS, subset_size=size)
        else:
            row["value"] = metrics.frechet_distance(self.real, made)
        best = row["value"] < min((r["value"] for r in self.rows), default=math.inf)
        return row | {"seconds": round(time.perf_counter() - began, 2), "best": best}

    def keep(self, row):
        if not row["best"]:
            return
        folder = self.run_dir / "checkpoints" / "best"
        path = checkpoint.save(self.model, folder, keep=10**6)
        for old in set(folder.glob("step-*.safetensors")) - {path}:
            old.unlink()
        with as_saved(self.model):
            zoo.save(
                self.model, self.run_dir / "model-best", extra={key: row[key] for key in ("step", "metric", "value")}
            )

    def judge(self):
        best, waited = math.inf, 0
        for row in self.rows:
            better = row["value"] < best - self.stop.min_delta
            best, waited = (row["value"], 0) if better else (best, waited + 1)
        if self.stop.patience and waited >= self.stop.patience and self.step >= self.stop.min_steps:
            top = min(self.rows, key=lambda row: row["value"])
            self.stopped = (
                f"plateau: {self.name} has not become better for {waited} evaluations; the best, {top['value']:.4g}, is of "
                f"step {top['step']:,} (model-best)"
            )
