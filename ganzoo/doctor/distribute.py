"""Do two replicas train as one device does? Each model for the same 32 steps of the same batches both ways.

The global batch is 8, so that a replica has 4 of its rows. Equal means that no weight, averages included, differs by more
than 1e-6. Some operations look at several rows of a batch, and there equality cannot hold: the report names them, and the
same model is trained with its batch statistics synchronised and the others switched off.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from ganzoo import data, zoo
from ganzoo.devices import strategies
from ganzoo.doctor import small
from ganzoo.layers import BatchNorm
from ganzoo.presets import RunConfig

TOLERANCE = 1e-6
STEPS = 32
# Adam divides a gradient by its own size: of one that is zero but for rounding it would make a whole step. With this
# epsilon such a step stays as small as the rounding is. And the slope of an L1 loss jumps where a pixel's difference changes
# its sign, so that rounding decides between two paths there (CycleGAN at 2e-5: 5e-5 apart after 32 steps, 7e-9 without its L1
# losses). Short steps stay on one side; they measure the replicas, not the growth of rounding.
ADAM = {"epsilon": 1e-4, "learning_rate": 2e-6}


def run(names: Sequence[str]) -> Iterator[dict]:
    """The record of each model (see `check`), from a child process that starts with two virtual CPUs.

    Raises:
        RuntimeError: the process failed; with its last words.
    """
    child = subprocess.Popen(
        [sys.executable, "-m", __name__, *names], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stderr is not None
    try:
        for line in child.stdout:
            yield json.loads(line)
        words = child.stderr.read()
        if child.wait():
            raise RuntimeError(f"The check ended with exit code {child.returncode}: {words[-2000:]}")
    finally:
        child.kill()


def check(name: str) -> dict:
    """Trains the small model on one device and on the replicas of "mirrored".

    Returns:
        {"model", "steps", "replicas", "mixes": names of operations, "weights", "ema", "moved": largest differences to one
        device, and to the start; "plain": the same two differences where only batch norm mixes, and is left as it is;
        "ok": equal within TOLERANCE, after weights that did move}.
    """
    checks = small.checks(name)
    plain = _config(name, checks.unmixed)
    equal = _config(name, {**checks.unmixed, "train.sync_batch_norm": True})
    start, one = _trained(equal, "one")
    _, two = _trained(equal, "mirrored")
    norms = _batch_norms(plain)
    replicas = strategies.choose("mirrored").num_replicas_in_sync
    record = {"model": name, "steps": STEPS, "replicas": replicas}
    batch_norm = "batch norm: each replica takes the statistics of its own rows"
    record["mixes"] = [batch_norm] * norms + [checks.mixes] * bool(checks.mixes)
    record |= _differences(one, two)
    record["moved"] = _largest(start, one)
    if norms and not checks.mixes:
        record["plain"] = _differences(one, _trained(plain, "mirrored")[1])
    record["ok"] = record["weights"] <= TOLERANCE < record["moved"] and record["ema"] <= TOLERANCE
    return record


def _config(name: str, overrides: Mapping) -> RunConfig:
    config = small.config(name, dict(overrides))
    optimizers = {key: value for key, value in config.train if key.endswith("_optimizer")}
    calm = {key: o.model_copy(update=ADAM) for key, o in optimizers.items() if o and o.name == "adam"}
    return config.model_copy(update={"train": config.train.model_copy(update=calm)})


def _trained(config: RunConfig, strategy: str) -> tuple[dict, dict]:
    """The weights by key before and after the steps."""
    keras.utils.set_random_seed(config.train.seed)
    with strategies.choose(strategy).scope():
        model = zoo.build(config)
    for key, variable in model.state().items():
        if key.endswith(model.checks.singular):  # drawn at random instead
            variable.assign(np.random.default_rng(0).normal(size=variable.shape))
    specs = model.batch_signature().items()
    shapes = {key: [None, *(config.data.size if n is None else n for n in spec.shape[1:])] for key, spec in specs}
    batches = data.synthetic(
        {key: tf.TensorSpec(shapes[key], spec.dtype) for key, spec in specs}, config.train.batch_size
    )
    start = _weights(model)
    model.fit(batches, steps_per_epoch=STEPS, verbose=0, shuffle=False)
    return start, _weights(model)


def _weights(model) -> dict[str, np.ndarray]:
    return {key: np.array(variable, np.float64) for key, variable in model.state().items()}


def _batch_norms(config: RunConfig) -> bool:
    networks = zoo.build(config).networks().values()
    return any(isinstance(layer, BatchNorm) for network in networks for layer in network._flatten_layers())


def _differences(one: dict, two: dict) -> dict[str, float]:
    ema = {key: value for key, value in one.items() if key.startswith("ema_")}
    return {"weights": _largest(one, two), "ema": _largest(ema, two)}


def _largest(one: dict, two: dict) -> float:
    return max(float(np.abs(value - two[key]).max(initial=0)) for key, value in one.items())


def main(names: Sequence[str]) -> None:
    """The child: one JSON line a model."""
    for cpu in tf.config.list_physical_devices("CPU"):
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    for name in names:
        print(json.dumps(check(name)), flush=True)


if __name__ == "__main__":
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    main(sys.argv[1:])
