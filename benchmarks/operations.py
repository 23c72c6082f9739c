"""Where the time of a step goes: by operation and by layer, from TensorFlow's profiler."""

import re
import tempfile
from collections import Counter
from pathlib import Path

STEPS = 3  # that are profiled
SHOWN = 12  # rows of each table
WAITS = {"If", "StatelessIf", "While", "StatelessWhile", "PartitionedCall", "StatefulPartitionedCall"}  # for others


def profile(preset: str, precision: str, batch_size: int, seconds: float) -> dict:
    """Milliseconds a step of all cores together: {"operations": {type: ms}, "layers": {network/layer: ms}}, the largest
    first. `seconds` is not looked at: a few steps are enough. Networks of one name are one."""
    import tensorflow as tf

    from benchmarks import measure, timing

    model, batch = measure.keras_model(measure.options(preset, precision, batch_size))
    _, call = measure.bare_step(model, batch)
    timing.warm_up(call)
    networks = model.networks().values()
    layers = {f"{network.name}/{layer.name}" for network in networks for layer in network._flatten_layers()}
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder, tf.profiler.experimental.ProfilerOptions(python_tracer_level=0))
        try:
            for _ in range(STEPS):
                call()
        finally:
            tf.profiler.experimental.stop()
        found = events(Path(folder))
    by_operation, by_layer = Counter(), Counter()
    for name, kind, milliseconds in found:
        if kind not in WAITS:
            by_operation[kind] += milliseconds / STEPS
            by_layer[layer_of(name, layers)] += milliseconds / STEPS
    return {
        "operations": {kind: round(ms, 3) for kind, ms in by_operation.most_common()},
        "layers": {layer: round(ms, 3) for layer, ms in by_layer.most_common()},
    }


def events(folder: Path) -> list[tuple[str, str, float]]:
    """(name, type, milliseconds) of every operation that ran, from the files of a profile."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    found = []
    for file in sorted(folder.rglob("*.xplane.pb")):
        space = xplane_pb2.XSpace.FromString(file.read_bytes())
        for plane in space.planes:
            for line in plane.lines:
                for event in line.events:
                    meta = plane.event_metadata[event.metadata_id]
                    name, _, kind = meta.name.rpartition(":")
                    if name and kind == meta.display_name:
                        found.append((name, kind, event.duration_ps / 1e9))
    return found


def layer_of(name: str, layers: set[str]) -> str:
    """ "network/layer" of an operation's name, such as "gradient_tape/generator_1/up2_conv/..."; "update" and the like, the first
    part of the name, where it is none's."""
    parts = [re.sub(r"_\d+$", "", part) for part in name.split("/")]
    exact = name.split("/")
    for network, layer, layer_exact in zip(parts, parts[1:], exact[1:], strict=False):
        for candidate in (f"{network}/{layer_exact}", f"{network}/{layer}"):
            if candidate in layers:
                return candidate
    return f"({parts[0]})"


def text(profiled: dict) -> str:
    """Both tables side by side."""
    sides = []
    for heading in ("operations", "layers"):
        rows = list(profiled[heading].items())
        rest = sum(ms for _, ms in rows[SHOWN:])
        rows = [*rows[:SHOWN], *([("all others", rest)] if rest else [])]
        width = max([len(heading), *(len(name) for name, _ in rows)])
        sides.append([f"{heading:{width}}        ms"] + [f"{name:{width}}  {ms:8.1f}" for name, ms in rows])
    left, right = sides
    height = max(map(len, sides))
    left += [" " * len(left[0])] * (height - len(left))
    right += [""] * (height - len(right))
    return "\n".join(f"  {a}    {b}".rstrip() for a, b in zip(left, right, strict=True))
