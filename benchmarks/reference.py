"""What the same method reaches in PyTorch: a preset's twin, trained on the preset's data for as many steps, measured by ganzoo.

    python -m benchmarks.reference cyclegan/fluent2noto-64 -o runs/twin

`torch_models.py` has the networks and the updates; batches, schedules and seed are the preset's. The state is saved every
1,000 steps, and the same command goes on from there. At the end the weights are copied into ganzoo's networks, `OUT/model`,
and the preset's metrics are measured: `OUT/reference.json`. The figures stand on the card as `pytorch` of a result.
"""

import argparse
import io
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks import timing
from benchmarks.torch_models import Update
from ganzoo import data, evaluation, files, presets, zoo
from ganzoo.errors import GanzooError
from ganzoo.presets import RunConfig

SAVE_EVERY, TELL_EVERY = 1_000, 500
PAPERS = ("dcgan", "pix2pix", "cyclegan", "stylegan-lite")  # whose weights lie in the same order on both sides
LAYOUTS = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}  # of Keras' arrays, from PyTorch's


def state_of(update: Update, step: int) -> dict:
    """All that a later process needs to go on."""
    return {
        "step": step,
        "networks": {name: network.state_dict() for name, network in update.networks.items()},
        "average": update.average.state_dict() if update.average is not None else None,
        "optimizers": [player.optimizer.state_dict() for player in (update.g, update.d)],
        "updates": [player.steps for player in (update.g, update.d)],
        "pools": [pool.images for pool in update.pools],
        "chance": torch.get_rng_state(),
    }


def restore(update: Update, state: dict) -> int:
    """Takes up a state; returns its step."""
    for name, network in update.networks.items():
        network.load_state_dict(state["networks"][name])
    if update.average is not None:
        update.average.load_state_dict(state["average"])
    for player, optimizer, steps in zip((update.g, update.d), state["optimizers"], state["updates"], strict=True):
        player.optimizer.load_state_dict(optimizer)
        player.steps = steps
    for pool, images in zip(update.pools, state["pools"], strict=True):
        pool.images = images
    torch.set_rng_state(state["chance"])
    return state["step"]


def train(config: RunConfig, out: Path) -> Update:
    """Trains the twin to the preset's last step, from `out/twin.pt` on if it is there."""
    torch.manual_seed(config.train.seed)
    torch.set_num_threads(timing.cores())
    update, file, first = Update(config), out / "twin.pt", 0
    if file.is_file():
        first = restore(update, torch.load(file, weights_only=True))
    batches = data.batches(
        data.open_source(config.data), config.train.batch_size, seed=config.train.seed, start_step=first
    )
    start = time.perf_counter()
    for step, batch in zip(range(first + 1, config.train.steps + 1), batches.as_numpy_iterator(), strict=False):
        logs = update.step({name: torch.from_numpy(np.moveaxis(a, -1, 1).copy()) for name, a in batch.items()})
        if step % TELL_EVERY == 0:
            losses = "  ".join(f"{name} {float(value):.3f}" for name, value in logs.items())
            rate = (step - first) * config.train.batch_size / (time.perf_counter() - start)
            print(f"step {step:,} of {config.train.steps:,}  {losses}  {rate:.1f} images/s", flush=True)
        if step % SAVE_EVERY == 0 or step == config.train.steps:
            state = io.BytesIO()
            torch.save(state_of(update, step), state)
            files.write_bytes(file, state.getvalue())
    return update


def copy_weights(module: torch.nn.Module, network) -> None:
    """PyTorch's parameters into the Keras network, in order and by layout, and what its norms and averages keep."""
    trained = [p.detach().numpy() for p in module.parameters()]
    parameters = {name for name, _ in module.named_parameters()}
    kept = [
        tensor.numpy()
        for name, tensor in module.state_dict().items()
        if name not in parameters and "num_batches" not in name
    ]
    for variables, arrays in ((network.trainable_variables, trained), (network.non_trainable_variables, kept)):
        for variable, array in zip(variables, arrays, strict=True):
            constant = variable.path.endswith("const")  # one image, not a kernel
            variable.assign(array.transpose((0, 2, 3, 1) if constant else LAYOUTS[array.ndim]))


def measured(update: Update, config: RunConfig, out: Path, n: int | None = None) -> list[dict]:
    """The preset's metrics of the twin's weights in ganzoo's networks; near copies are left out."""
    model = zoo.build(config)
    if update.average is not None:  # by way of G, whose variables are trained and so have their order
        copy_weights(update.average, model.generator)
        model.ema_generator.set_weights(model.generator.get_weights())
    for name, module in update.networks.items():
        copy_weights(module, getattr(model, name))
    zoo.save(model, out / "model")
    asked = presets.read(config.name).presets[config.preset].eval
    metrics = [metric for metric in asked.metrics if not metric.startswith("near-copies")]
    return evaluation.evaluate(out / "model", metrics=metrics, n=n or asked.n)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reference", description=__doc__.split("\n")[0])
    parser.add_argument("preset", help="dcgan/lorelei-64, stylegan-lite/lorelei-64, cyclegan/fluent2noto-64, ...")
    parser.add_argument("-o", "--out", type=Path, required=True, help="the folder of its state and its figures")
    parser.add_argument("--steps", type=int, help="other than the preset's, for a try")
    parser.add_argument("-n", type=int, help="samples that are measured, other than the preset's")
    options = parser.parse_args(arguments)
    paper, preset = presets.resolve(options.preset)
    if paper not in PAPERS:
        raise GanzooError(f"The weights of {paper}'s twin are not copied back; those of {', '.join(PAPERS)} are.")
    config = presets.run_config(f"{paper}/{preset}", {"train.steps": options.steps} if options.steps else {})
    options.out.mkdir(parents=True, exist_ok=True)
    records = measured(train(config, options.out), config, options.out, options.n)
    (options.out / "reference.json").write_text(json.dumps(records, indent=1, default=str) + "\n", "utf-8")
    for record in records:
        print(f"{record['metric']} = {record['value']:g}")


if __name__ == "__main__":
    try:
        main()
    except GanzooError as error:
        sys.exit(f"Error: {error}")
