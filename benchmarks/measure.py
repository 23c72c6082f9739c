"""One measurement in its own process: `python -m benchmarks.measure KIND REQUEST`; prints one line of JSON.

KIND is a function of this file, REQUEST its arguments as JSON. `benchmarks.train_step` starts these processes, so that each
has its own peak memory and none warms another's caches.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks import operations, roofline, timing
from ganzoo import ages, presets

PAIRS = 32  # made-up pairs, where a preset's own data set is not on this machine


def options(preset: str, precision: str, batch_size: int) -> presets.RunConfig:
    """The preset's run options in the wanted precision and batch size."""
    return presets.run_config(preset, {"train.precision": precision, "train.batch_size": batch_size})


def columns(attributes: dict) -> int:
    """Of attributes, as `ganzoo.base.attributes.width`, which needs TensorFlow: PyTorch's memory is measured without it."""
    return sum(1 if tuple(values) == ("no", "yes") else len(values) for values in attributes.values())


def classes(config: presets.RunConfig) -> int:
    """Of the labels in a batch, 0 where it has none; as `label_classes` of the model, which needs TensorFlow."""
    if config.data.shape == "ages":
        return len(ages.NAMES)
    if config.model.get("f") == "classifier":
        return config.model.get("source_classes", 10)
    return config.model.get("classes", 0)


def arrays(config: presets.RunConfig) -> dict[str, np.ndarray]:
    """One batch of random pictures in [-1, 1], (N, H, W, C), by column, with sentences or labels (N,); or of voxels 0 and 1,
    (N, S, S, S, 1)."""
    data, rng = config.data, np.random.default_rng(0)
    if data.shape == "voxels":
        return {"voxels": (rng.random((config.train.batch_size, *[data.size] * 3, 1)) < 0.1).astype(np.float32)}
    channels = {"image": data.channels}
    if data.shape == "captions":
        channels["wrong"] = data.channels
    elif data.shape not in ("images", "masks", "attributes", "ages"):
        first, second = ("input", "target") if data.shape == "paired" else ("a", "b")
        channels = {first: data.input_channels, second: data.channels}
    shape = (config.train.batch_size, data.size, data.size)
    batch = {name: rng.uniform(-1, 1, (*shape, c)).astype(np.float32) for name, c in channels.items()}
    if count := classes(config):
        batch["label"] = rng.integers(count, size=config.train.batch_size)
    if data.shape == "captions":
        sentence = "A cheerful cartoon character with tan skin, pink hair tied up and green eyes, number"
        batch["text"] = np.array([f"{sentence} {i}".encode() for i in range(config.train.batch_size)], object)
    if data.shape == "attributes":
        width = columns(config.model["attributes"])
        batch["attributes"] = rng.integers(0, 2, (config.train.batch_size, width)).astype(np.float32)
    return batch


# ---- ganzoo ----------------------------------------------------------------------------------------------------------
def keras_model(config: presets.RunConfig):
    """The compiled model with random weights, built as `ganzoo.train` builds it but for losses and `train.stability`, which the
    paper, and the step in PyTorch, has not; and a batch of tensors."""
    import keras
    import tensorflow as tf

    from ganzoo import registry, zoo
    from ganzoo.devices import threads

    config = presets.run_config(config, registry.models()[config.name].checks.bare)
    config = config.model_copy(update={"train": config.train.model_copy(update={"stability": None})})
    threads.spread(config.train.side_by_side)
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy("mixed_bfloat16" if config.train.precision == "bfloat16" else "float32")
    model = zoo.build(config)
    model.start_segment(measured_part(model, config.train))
    return model, {name: tf.constant(array) for name, array in arrays(config).items()}


def measured_part(model, train: presets.TrainConfig):
    """The last part of a run that trains G: an encoder has a part of its own, the first one or the last."""
    return [part for part in model.segments(train) if part.players is None or "g_optimizer" in part.players][-1]


def bare_step(model, batch):
    """`tf.function(train_step)`, traced, and a call of it that waits for its result."""
    import tensorflow as tf

    step = tf.function(model.train_step).get_concrete_function(batch)
    return step, lambda: step(batch)["d_loss"].numpy()


def step(preset: str, precision: str, batch_size: int, seconds: float) -> dict:
    """Time of the bare step, `tf.function(model.train_step)`, the process' peak memory, and what the step must do."""
    model, batch = keras_model(options(preset, precision, batch_size))
    traced, call = bare_step(model, batch)
    start = time.perf_counter()
    timing.warm_up(call)
    warm = time.perf_counter() - start
    result = timing.summary(timing.timed(call, seconds))
    work = roofline.work(model, traced.graph)
    return result | {"peak_mib": timing.peak_mib(), "warm_up_seconds": round(warm, 1), "work": work}


def fit(preset: str, precision: str, batch_size: int, seconds: float) -> dict:
    """`model.fit` against the bare step, in turns in one process: milliseconds a step of both.

    Inside `fit` the time between the ends of two batches counts, so that starting `fit` is not a part of it: a training
    starts it once.
    """
    import keras
    import tensorflow as tf

    class Ends(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.times = []

        def on_train_batch_end(self, batch, logs=None):
            self.times.append(time.perf_counter())

    model, batch = keras_model(options(preset, precision, batch_size))
    (_, call), ends, batches = bare_step(model, batch), Ends(), tf.data.Dataset.from_tensors(batch).repeat()

    def run_fit(steps):
        model.fit(batches, epochs=1, steps_per_epoch=steps, verbose=0, shuffle=False, callbacks=[ends])
        return np.diff(ends.times).tolist()

    timing.warm_up(call)
    run_fit(timing.WARM_UP)
    turn = max(timing.FEWEST, round(seconds / 8 / max(np.median(timing.timed(call, 0)), 1e-4)))
    bare, fitted, end = [], [], time.perf_counter() + seconds
    while not fitted or time.perf_counter() < end:
        # The first of the bare steps is left out, as `diff` leaves out the first of the others.
        bare += [duration for _ in range(turn) for duration in [_seconds(call)]][1:]
        fitted += run_fit(turn)
    bare_ms, fit_ms = (float(np.median(x)) * 1000 for x in (bare, fitted))
    return {"bare_ms": round(bare_ms, 3), "fit_ms": round(fit_ms, 3), "overhead": round(fit_ms / bare_ms - 1, 4)}


def _seconds(call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def data(preset: str, precision: str, batch_size: int, seconds: float) -> dict:
    """Time to make one training batch from the preset's data, with nothing else running."""
    from ganzoo import data as zoo_data
    from ganzoo.errors import GanzooError

    config = options(preset, precision, batch_size).data
    with tempfile.TemporaryDirectory() as folder:
        try:
            source, stand_in = zoo_data.open_source(config), False
        except GanzooError:
            made = config.model_copy(update={"source": made_up_set(config, Path(folder))})
            source, stand_in = zoo_data.open_source(made), True
        texts = "text" if config.shape == "captions" else None
        asked = config.shape == "attributes"
        labels = bool(classes(options(preset, precision, batch_size)))
        iterator = iter(zoo_data.batches(source, batch_size, texts=texts, labels=labels, attributes=asked))
        call = lambda: next(iterator)  # noqa: E731
        timing.warm_up(call)
        durations = timing.timed(call, min(seconds, 5.0))
    # The mean, not the median: prefetching makes some batches free and the next ones dear.
    return {"ms": round(float(np.mean(durations)) * 1000, 3), "stand_in": stand_in, "items": len(source)}


def made_up_set(config: presets.DataConfig, folder: Path) -> str:
    """PNG files of noise in the preset's layout: single pictures, pairs side by side, or two folders."""
    from ganzoo.media import images

    rng, width = np.random.default_rng(0), 2 if config.shape == "paired" else 1
    for i in range(PAIRS):
        coarse = rng.integers(0, 256, (16, 16 * width, 3), np.uint8)
        picture = np.kron(coarse, np.ones((config.size // 16, config.size // 16, 1), np.uint8))
        domain = "AB"[i % 2] if config.shape == "unpaired" else ""
        images.write_png(folder / f"train{domain}" / f"{i}.png", picture)
        if config.shape in ("captions", "attributes"):
            (folder / "train" / f"{i}.txt").write_text(f"picture {i}" if config.shape == "captions" else "ab"[i % 2])
    return str(folder)


# ---- PyTorch ---------------------------------------------------------------------------------------------------------
def torch_step(preset: str, precision: str, batch_size: int, seconds: float) -> dict:
    """The same network and update in PyTorch eager; {"missing": "torch"} where it is not installed."""
    try:
        import torch
    except ModuleNotFoundError:
        return {"missing": "torch"}
    from benchmarks import torch_models

    torch.manual_seed(0)
    torch.set_num_threads(timing.cores())
    config = options(preset, precision, batch_size)
    update = torch_models.Update(config)
    batch = {
        name: a if a.dtype == object else torch.from_numpy((np.moveaxis(a, -1, 1) if a.ndim > 1 else a).copy())
        for name, a in arrays(config).items()
    }

    def call():
        return update.step(batch)["d_loss"].item()

    timing.warm_up(call)
    result = timing.summary(timing.timed(call, seconds))
    return result | {"peak_mib": timing.peak_mib(), "version": torch.__version__}


KINDS = {
    "step": step,
    "fit": fit,
    "data": data,
    "torch": torch_step,
    "rates": roofline.rates,
    "profile": operations.profile,
}

if __name__ == "__main__":
    print(json.dumps(KINDS[sys.argv[1]](**json.loads(sys.argv[2]))))
