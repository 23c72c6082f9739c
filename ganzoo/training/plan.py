"""What a run will need, from a few of its real steps: memory, seconds a step, hours, and the largest batch that fits.

Each of two batch sizes is measured in a process of its own, on the preset's data: the most memory that the process held,
and the median time of its steps. Both grow linearly in the batch: what is held whatever the batch (the libraries, weights,
optimizer slots, the compiled step) and a part for each sample (activations and their gradients). The line through the two
points is the prediction. Two processes of one batch differ by some MiB; of a small network the second batch is made larger until
its memory stands out.
"""

import dataclasses
import itertools
import json
import math
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ganzoo import presets
from ganzoo.errors import GanzooError
from ganzoo.presets import RunConfig

STEPS = 4  # of a probe, after the one that traces
SPARE = 0.9  # share of the free memory that a run may plan with
LIMIT = 2**16  # samples; a larger batch is not recommended to anybody
NUMBERS = 2**31 - 1  # of one tensor: kernels that count with 32 bits fail at more
NOISE = 24 * 2**20  # bytes that two processes of one batch may differ by: a guess on the safe side, not a measurement
FACTOR = 8  # to a larger second batch where the first ones differ by less than four times the noise
PATIENCE = 120.0  # seconds that the steps of such a batch may take


@dataclasses.dataclass(frozen=True)
class Probe:
    """One measured batch size. Bytes: `peak` all that the process (or its part of the GPU) held at most, `state` weights and
    optimizer slots. `items` of the training data; `numbers` of a sample in the largest tensor that the layers state, 0 if
    none does."""

    batch: int
    seconds: float
    peak: int
    state: int
    items: int = LIMIT
    numbers: int = 0


@dataclasses.dataclass(frozen=True)
class Plan:
    """A prediction: `bytes` at most, `seconds` a step, `hours` of the run; `largest_batch` that fits in `available` bytes, 0 if
    none does, and what else `limited_by` it: "memory", "data" (so many items there are), "tensor" (of 2^31 numbers) or
    "limit". `fixed_bytes + sample_bytes * batch` is the line, `state_bytes` a part of the former; `within_noise`: memory hardly
    grew between the probes, and `sample_bytes` is what a sample needs at most."""

    batch: int
    steps: int
    bytes: int
    seconds: float
    hours: float
    fixed_bytes: int
    sample_bytes: float
    state_bytes: int
    available: int
    largest_batch: int
    limited_by: str
    within_noise: bool
    device: str
    probes: tuple[Probe, Probe]


def plan(config: RunConfig, tell: Callable[[str], None] = lambda sentence: None) -> Plan:
    """The plan of a run's options. Takes two short trainings on one device; writes nothing. `tell` hears of each.

    Raises:
        GanzooError: the data or options are bad, or a probe fails, with its last words.
    """
    from ganzoo import registry, zoo

    config = zoo.complete(config)
    unit = config.train.accumulate * config.model.get(registry.models()[config.name].batch_unit, 1)
    small, large = sizes(config.train.batch_size, unit)
    device, available = memory()
    probes: list[Probe] = []

    def probe(batch: int) -> None:
        tell(f"Probe {len(probes) + 1}: {STEPS + 1} steps of batch {batch} in a process of their own ...")
        probes.append(_child(config, batch))

    probe(small)
    probe(large)
    while wider(probes[0], probes[-1], available):
        probe(probes[-1].batch * FACTOR)
    return predict(config, (probes[0], probes[-1]), available, device, unit)


def wider(a: Probe, b: Probe, available: int) -> bool:
    """Whether a probe of `FACTOR` times b's batch says more: memory has hardly grown from a to b, and the larger one fits and takes
    no long time."""
    hidden = b.peak - a.peak < 4 * NOISE
    fits = b.peak + FACTOR * max(b.peak - a.peak, NOISE) < SPARE * available
    return hidden and fits and b.seconds * FACTOR * (STEPS + 1) < PATIENCE and b.batch * FACTOR <= most(b)[0]


def most(probe: Probe) -> tuple[int, str]:
    """The largest batch that data and model take, whatever the memory, and which of them it is."""
    tensor = NUMBERS // probe.numbers if probe.numbers else LIMIT
    return min((LIMIT, "limit"), (probe.items, "data"), (tensor, "tensor"))


def sizes(batch: int, unit: int) -> tuple[int, int]:
    """A quarter and a half of the batch in multiples of `unit`, at least 1 and 2 of them."""
    small = max(batch // 4 // unit, 1) * unit
    return small, max(batch // 2 // unit * unit, small + unit)


def predict(config: RunConfig, probes: tuple[Probe, Probe], available: int, device: str, unit: int = 1) -> Plan:
    """The line through two probes, at the run's batch size and where it meets `available` bytes."""
    a, b = probes
    within_noise = b.peak - a.peak < NOISE
    per_sample = max(b.peak - a.peak, NOISE if within_noise else 0) / (b.batch - a.batch)
    fixed = max(b.peak - per_sample * b.batch, b.state)
    slope = max((b.seconds - a.seconds) / (b.batch - a.batch), 0.0)
    train = config.train
    seconds = b.seconds + slope * (train.batch_size - b.batch)
    room = max(SPARE * available - fixed, 0)
    largest, limited_by = min((int(room / per_sample), "memory"), most(b))
    return Plan(
        batch=train.batch_size,
        steps=train.steps,
        bytes=round(fixed + per_sample * train.batch_size),
        seconds=seconds,
        hours=seconds * train.steps / 3600,
        fixed_bytes=round(fixed),
        sample_bytes=per_sample,
        state_bytes=b.state,
        available=available,
        largest_batch=largest // unit * unit,
        limited_by=limited_by,
        within_noise=within_noise,
        device=device,
        probes=probes,
    )


def memory() -> tuple[str, int]:
    """("cpu" or the GPU's name, bytes that a new process can have): free RAM within the limit of the container, or what
    TensorFlow takes of the GPU."""
    from tensorflow.python.client import device_lib  # the one place that says how much of a GPU TensorFlow takes

    gpus = [device for device in device_lib.list_local_devices() if device.device_type == "GPU"]
    if gpus:
        return gpus[0].physical_device_desc, gpus[0].memory_limit
    found = re.search(r"^MemAvailable:\s+(\d+) kB", _read("/proc/meminfo"), re.MULTILINE)
    free = int(found[1]) * 1024 if found else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit, used = _read("/sys/fs/cgroup/memory.max").strip(), _read("/sys/fs/cgroup/memory.current").strip()
    return "cpu", min(free, int(limit) - int(used)) if limit.isdecimal() and used.isdecimal() else free


def _read(path: str) -> str:
    return Path(path).read_text() if Path(path).exists() else ""


def _child(config: RunConfig, batch: int) -> Probe:
    """The measurement in a process of its own: only a fresh one can tell what a run holds at most."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.toml"
        file.write_text(presets.config_toml(_probed(config, batch)), "utf-8")
        command = [sys.executable, "-m", "ganzoo.training.plan", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode:
        words = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise GanzooError(f"A probe of batch {batch} failed: {words[-1]}")
    return Probe(**json.loads(done.stdout.splitlines()[-1]))


def _probed(config: RunConfig, batch: int) -> RunConfig:
    changes: dict[str, Any] = {"batch_size": batch, "steps_per_execution": 1}
    if config.train.growth:
        changes["growth"] = config.train.growth.model_copy(update={"batch_sizes": {}})
    return config.model_copy(update={"train": config.train.model_copy(update=changes)})


def measure(config: RunConfig) -> Probe:
    """A few steps of `fit` at the run's batch size, in this process, whose memory so far counts too."""
    import keras
    import tensorflow as tf

    from ganzoo import data, weights, zoo
    from ganzoo.devices import precision, threads
    from ganzoo.training import loop

    train = config.train
    threads.spread(train.side_by_side)
    with precision.policy(precision.resolve(train.precision)[0]):
        model = zoo.build(config)
    loop.divide(model, train)
    last = model.segments(train)[-1]  # of a paper that grows the largest pictures
    model.start_segment(last)
    model.jit_compile = train.jit_compile
    source = data.open_source(config.data)
    batches = loop.batches(model, source, last, train.seed, 0)
    marks = []
    clock = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: marks.append(time.perf_counter()))
    model.fit(batches, steps_per_epoch=STEPS + 1, verbose=0, shuffle=False, callbacks=[clock])
    seconds = statistics.median(b - a for a, b in itertools.pairwise(marks))
    if tf.config.list_physical_devices("GPU"):
        peak = tf.config.experimental.get_memory_info("GPU:0")["peak"]
    else:
        peak = peak_rss()
    state = sum(array.nbytes for array in weights.to_arrays(model.training_state()).values())
    return Probe(train.batch_size, seconds, peak, state, len(source), numbers(model))


def numbers(model) -> int:
    """Of a sample in the largest tensor that a layer of the model states; 0 where none states its size. Layers of a network that
    is a class of its own state none."""
    import keras

    outputs = [
        value.shape[1:]
        for network in model.networks().values()
        for layer in network.layers
        for value in keras.tree.flatten(getattr(layer, "output", []))
    ]
    return max((math.prod(shape) for shape in outputs if None not in shape), default=0)


def peak_rss() -> int:
    """Bytes of RAM that this process held at most."""
    found = re.search(r"^VmHWM:\s+(\d+) kB", _read("/proc/self/status"), re.MULTILINE)
    if found:  # getrusage would count the process that started this one
        return int(found[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


if __name__ == "__main__":
    try:
        print(
            json.dumps(
                dataclasses.asdict(measure(presets.from_toml(Path(sys.argv[1]).read_text("utf-8"), "the probe")))
            )
        )
    except GanzooError as error:
        sys.exit(str(error))
