"""One measurement of `benchmarks.photos` in its own process: `python -m benchmarks.measure_photos KIND REQUEST`; prints one line of
JSON."""

import json
import os
import statistics
import subprocess
import sys
import time

from benchmarks import timing
from ganzoo.devices.quiet import environment

BATCH = 64


def check(source: str) -> dict:
    """Seconds of `ganzoo data check`, a cold process, and what its cores were busy."""
    start, before = time.perf_counter(), os.times()
    command = [sys.executable, "-m", "ganzoo", "data", "check", source, "--json"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, errors="replace")
    if done.returncode:
        raise SystemExit(done.stderr.strip().splitlines()[-1])
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return {"check_seconds": time.perf_counter() - start, "check_cpu": cpu}


def ganzoo(source: str, size: int, seconds: float) -> dict:
    """Seconds from the source's name to the first batch, and milliseconds of each that follows."""
    import tensorflow as tf

    from ganzoo import data
    from ganzoo.presets import DataConfig

    tf.constant(0)  # TensorFlow has started
    start = time.perf_counter()
    iterator = iter(
        data.batches(data.open_source(DataConfig(shape="images", source=source, size=size, hold_out=0)), BATCH)
    )
    return drawn(lambda: next(iterator), start, seconds)


def torchvision(source: str, size: int, seconds: float) -> dict:
    """The same by ImageFolder and DataLoader, with a worker for each core; {"missing": ...} where it is not installed."""
    try:
        import torch
        from torchvision import datasets, transforms
    except ImportError:
        return {"missing": "torchvision"}
    steps = [
        transforms.Resize(size),
        transforms.CenterCrop(size),
        transforms.ToTensor(),
        transforms.Normalize(0.5, 0.5),
    ]
    start = time.perf_counter()
    folder = datasets.ImageFolder(source, transforms.Compose(steps))
    options = {"shuffle": True, "drop_last": True, "num_workers": timing.cores(), "persistent_workers": True}
    loader = torch.utils.data.DataLoader(folder, BATCH, **options)

    def endless():
        while True:
            yield from loader

    iterator = endless()
    return drawn(lambda: next(iterator), start, seconds)


def drawn(call, start: float, seconds: float) -> dict:
    """What both sides return; the mean, since prefetching makes some batches free and the next ones dear."""
    call()
    first = time.perf_counter() - start
    timing.warm_up(call)
    return {
        "first_seconds": first,
        "ms": statistics.mean(timing.timed(call, seconds)) * 1000,
        "peak_mib": timing.peak_mib(),
    }


KINDS = {"check": check, "ganzoo": ganzoo, "torchvision": torchvision}

if __name__ == "__main__":
    print(json.dumps(KINDS[sys.argv[1]](**json.loads(sys.argv[2]))))
