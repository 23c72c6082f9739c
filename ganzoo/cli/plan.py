"""`ganzoo plan`."""

import dataclasses
from typing import Annotated

import typer

from ganzoo.cli.output import report
from ganzoo.cli.train import Accumulate, Data, Json, Precision, Settings, overrides
from ganzoo.devices.quiet import load_tensorflow
from ganzoo.errors import say

GIB = 2**30
WHY = {
    "memory": "",
    "data": ": so many items the data have, and memory for more",
    "tensor": ": more would make tensors of over 2^31 numbers, and there is memory for it",
    "limit": ": no more is recommended, and there is memory for it",
}


def plan(
    name: Annotated[str, typer.Argument(metavar="NAME|CONFIG", help="A preset or a .toml file.")],
    batch: Annotated[int | None, typer.Option(min=1, help="Samples per step (train.batch_size).")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="How many steps in all (train.steps).")] = None,
    data: Data = None,
    settings: Settings = None,
    precision: Precision = None,
    accumulate: Accumulate = None,
    as_json: Json = False,
) -> None:
    """Predict memory, step time and hours of a training, and the largest batch that fits, from a few real steps."""
    chosen = overrides(data, settings, steps, batch, None, {"precision": precision, "accumulate": accumulate})
    load_tensorflow()
    from ganzoo import presets, zoo
    from ganzoo.training import plan as planning

    found = planning.plan(zoo.complete(presets.run_config(name, chosen)), **({} if as_json else {"tell": say}))
    a, b = found.probes
    where = "GPU memory" if found.device != "cpu" else "RAM"
    sample = found.sample_bytes / 2**20
    grows = f"{sample:.3g} MiB a sample"
    if found.within_noise:
        grows = f"less than {sample:.3g} MiB a sample, which the probes cannot tell from 0"
    text = (
        f"batch {found.batch}: {found.bytes / GIB:.2f} GiB of {where}, {found.seconds:.3g} s a step, "
        f"{found.hours:.2g} h for {found.steps:,} steps\n"
        f"largest batch in {found.available / GIB:.1f} GiB of free {where}: "
        f"{found.largest_batch or 'none'}{WHY[found.limited_by]}\n"
        f"derived from batches {a.batch} ({a.peak / GIB:.2f} GiB, {a.seconds:.3g} s) and {b.batch} ({b.peak / GIB:.2f} GiB, "
        f"{b.seconds:.3g} s): {found.fixed_bytes / GIB:.2f} GiB whatever the batch, of them "
        f"{found.state_bytes / GIB:.3f} weights and optimizer slots, and {grows}; "
        f"{1 - planning.SPARE:.0%} of the free memory is kept"
    )
    report(dataclasses.asdict(found), text, as_json=as_json)
