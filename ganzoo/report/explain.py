"""What a paper is and how ours trains it, read from the three places where it stands: docstring, model, TOML.

Nothing here knows a paper. The text is the docstring of the paper's file; layers, shapes and the order of updates are heard
while one `train_step` of the built model is traced (no weight moves, nothing is computed); settings are those of its TOML.
"""

import dataclasses
import functools
import inspect
import math
import re
import sys
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from pydantic import BaseModel

from ganzoo import presets, zoo
from ganzoo.base import BaseGAN
from ganzoo.base.segments import Segment
from ganzoo.presets import RunConfig
from ganzoo.report.pages import flatten

SHOWN = {  # of a layer's options, in the order in which a reader wants them
    "filters": "{} filters",
    "units": "units {}",
    "pool_size": "pool {}",
    "kernel_size": "kernel {}",
    "strides": "stride {}",
    "rate": "drops {}",
    "negative_slope": "slope {}",
    "epsilon": "epsilon {}",
    "activation": "{}",
}
SILENT = {("strides", "1"), ("activation", "linear"), ("negative_slope", "0.0")}


@dataclasses.dataclass(frozen=True)
class Text:
    """A paper's docstring: paragraphs before the objective, the objective, rows (paper, here), training, deviations."""

    title: str
    source: str
    objective: str
    symbols: tuple[tuple[str, str], ...]
    training: str
    deviations: str


@dataclasses.dataclass(frozen=True)
class Layer:
    """One row of a network: `shape` of the output with N for the batch, "" of a layer that a step does not call."""

    name: str
    kind: str
    what: str
    shape: str
    parameters: int
    symbol: str


@dataclasses.dataclass(frozen=True)
class Network:
    """A network of the model; `copy_of` names the one whose average it is, and `layers` is then empty."""

    name: str
    parameters: int
    layers: tuple[Layer, ...]
    copy_of: str = ""


@dataclasses.dataclass(frozen=True)
class Event:
    """Something that a train_step does, `times` on end: "calls" a network, "updates" the networks of a player, "averages" a
    network into another, or "repeats" what is `inside`."""

    kind: str
    name: str
    detail: str = ""
    times: int = 1
    inside: tuple["Event", ...] = ()


@dataclasses.dataclass(frozen=True)
class Part:
    """The order of one train_step, of a part of the run that has its own ("" if it has one part)."""

    name: str
    batch: tuple[tuple[str, str], ...]
    events: tuple[Event, ...]


@dataclasses.dataclass(frozen=True)
class Setting:
    """An option by its dotted key, here and in the preset that has the paper's numbers; `meaning` from the class docstring."""

    key: str
    value: Any
    paper: Any
    meaning: str


@dataclasses.dataclass(frozen=True)
class Explanation:
    """All that is known of a paper and one set of options of it. `options`: all of them by dotted key."""

    name: str
    paper_preset: str
    text: Text
    networks: tuple[Network, ...]
    parts: tuple[Part, ...]
    settings: tuple[Setting, ...]
    options: dict[str, Any]
    step_source: str


def explain(source: str | RunConfig) -> Explanation:
    """The explanation of a paper's default preset, of a preset, of a TOML file, of a folder that training saved, or of options.

    Raises:
        GanzooError: no such name, or options that cannot be built.
    """
    folder = None if isinstance(source, RunConfig) else zoo.model_folder(source)
    config = presets.run_config(source if folder is None else folder / "config.toml")
    model = zoo.build(config)
    config = model.run_config
    text = read_docstring(sys.modules[type(model).__module__].__doc__ or "")
    shapes, parts = _listen(model)
    return Explanation(
        name=config.full_name,
        paper_preset=f"{config.name}/{presets.read(config.name).paper.paper_preset}",
        text=text,
        networks=tuple(_network(model, name, text.symbols, shapes) for name in model.network_names),
        parts=tuple(parts),
        settings=tuple(_settings(config, type(model))),
        options=_options(config),
        step_source=inspect.cleandoc("\n" + inspect.getsource(type(model).train_step)),
    )


# ---- the docstring ---------------------------------------------------------------------------------------------------
def read_docstring(docstring: str) -> Text:
    """The blocks of a paper's docstring, whose form CONTRIBUTING.md sets and tests hold."""
    blocks = re.split(r"\n\n(?=Objective|\| paper \| here \||Training|Deviations: )", inspect.cleandoc(docstring))
    head, objective, table, training, deviations = blocks
    title, _, source = head.partition("\n\n")
    rows, _, more = _table(table)
    return Text(
        title.rstrip("."), _flowing(source), objective.strip(), rows, _flowing(training + more), _flowing(deviations)
    )


def _table(text: str) -> tuple[tuple[tuple[str, str], ...], str, str]:
    lines = text.splitlines()
    rows = [line for line in lines if line.startswith("|")]
    cells = [tuple(cell.strip() for cell in line.strip("|").split(" | ")) for line in rows[2:]]
    rest = "\n".join(line for line in lines if not line.startswith("|")).strip()
    return tuple((row[0], " | ".join(row[1:])) for row in cells), lines[0], f"\n\n{rest}" if rest else ""


def _flowing(text: str) -> str:
    """Paragraphs without the line ends of the source."""
    return "\n\n".join(" ".join(part.split()) for part in text.strip().split("\n\n"))


def symbol_of(layer: str, symbols: tuple[tuple[str, str], ...], network: str = "", networks: Sequence[str] = ()) -> str:
    """What the paper calls a layer: the left cell of the first row whose right cell names it, "" if none does. A row that
    begins with the name of a network, or its first letter ("D(x)"), is of that one alone.

    A name in back quotes may hold N or K for a number and * for anything, and "/" gives other endings of it:
    `downN_conv/_norm` is down3_conv and down3_norm.
    """
    for paper, here in symbols:
        head = re.split(r"\W", paper, maxsplit=1)[0].lower()
        meant = [name for name in networks if head and (name == head or (len(head) == 1 and name[0] == head))]
        if meant and network not in meant:
            continue
        for quoted in re.findall("`([^`]+)`", here):
            first, *endings = quoted.split("/")
            stem = first.rpartition("_")[0] if "_" in first else first
            for name in (first, *(f"{stem}{ending}" for ending in endings if ending.startswith("_"))):
                pattern = re.sub(r"(?<=[a-z])[NK](?![a-z])|(?<=[a-z])[1-9](?![0-9])", r"\\d+", name).replace("*", ".*")
                if re.fullmatch(r"[A-Za-z0-9_.*\\+]+", pattern) and re.fullmatch(f"{pattern}(_.*)?", layer):
                    return paper
    return ""


# ---- the model -------------------------------------------------------------------------------------------------------
def _listen(model: BaseGAN) -> tuple[dict[int, str], list[Part]]:
    """(id of a layer -> shape of its output, the parts of a run) of traced steps: of the first part and of the last."""
    shapes: dict[int, str] = {}
    events: list[Event] = []
    names = {id(network): name for name, network in model.networks().items()}
    for network in model.networks().values():
        for layer in network._flatten_layers(include_self=True):
            _heard(layer, shapes, events, names)
    _watched(model, events)
    segments = model.segments(model.run_config.train)
    parts: list[Part] = []
    for segment in [segments[0], *segments[1:][-1:]]:
        events.clear()
        batch = _batch(model, segment)
        model.start_segment(segment)
        tf.function(model.train_step, autograph=False).get_concrete_function(batch)
        rows = {name: f"{spec.dtype.name} {_shape(spec.shape)}" for name, spec in batch.items()}
        part = Part(_part_name(segment), tuple(rows.items()), _folded(events))
        if not parts or part.events != parts[-1].events:
            parts.append(part)
    return shapes, parts if len(parts) > 1 else [dataclasses.replace(parts[0], name="")]


def _heard(layer, shapes: dict[int, str], events: list[Event], names: dict[int, str]) -> None:
    """From here on the layer tells its output's shape, and a network that it is called."""
    call = layer.call

    @functools.wraps(call)
    def called(*args, **kwargs):
        if id(layer) in names:
            events.append(Event("calls", names[id(layer)]))
        out = call(*args, **kwargs)
        shapes[id(layer)] = ", ".join(_shape(value.shape) for value in tf.nest.flatten(out) if value is not None)
        return out

    layer.call = called


def _watched(model: BaseGAN, events: list[Event]) -> None:
    """From here on the model's updates are told and not made."""

    def minimize(tape, loss, player, turn=0):
        networks = ", ".join(model.players[player])
        rests = "" if model.due(player) is True else "; rests in some steps"
        events.append(Event("updates", player, f"{networks}{rests}"))

    def update_ema(decay=None):
        for name in (name for name in model.network_names if name.startswith("ema_")):
            events.append(Event("averages", name, name.removeprefix("ema_")))

    for name, heard in (("minimize", minimize), ("update_ema", update_ema)):
        setattr(model, name, heard)


def _batch(model: BaseGAN, segment: Segment) -> dict[str, tf.TensorSpec]:
    """What a step of this segment is given; open sides are those of the training pictures."""
    model.start_segment(segment)
    size = model.run_config.data.size
    return {
        name: tf.TensorSpec(
            [segment.batch_size, *(size if side is None else side for side in spec.shape[1:])], spec.dtype
        )
        for name, spec in model.batch_signature().items()
    }


def _part_name(segment: Segment) -> str:
    return segment.part or (f"{segment.size} px" if segment.size else f"from step {segment.first_step:,}")


def _folded(events: list[Event]) -> tuple[Event, ...]:
    """Repeats counted, short ones first: a network that is called three times, then five rounds of calls and an update."""
    folded = list(events)
    width = 1
    while 2 * width <= len(folded):
        i = 0
        while i + 2 * width <= len(folded):
            group, count = folded[i : i + width], 1
            while folded[i + count * width : i + (count + 1) * width] == group:
                count += 1
            if count > 1:
                one = group[0] if width == 1 else Event("repeats", "", inside=tuple(group))
                folded[i : i + count * width] = [dataclasses.replace(one, times=count * one.times)]
            i += 1
        width += 1
    return tuple(folded)


def _shape(shape) -> str:
    """(N, 64, 64, 3): the batch is N."""
    return (
        f"({', '.join(['N', *('any' if side is None else str(side) for side in shape[1:])])})" if len(shape) else "()"
    )


def _network(model: BaseGAN, name: str, symbols, shapes: dict[int, str]) -> Network:
    network = getattr(model, name)
    original = name.removeprefix("ema_") if name.startswith("ema_") else ""
    called = functools.partial(symbol_of, symbols=symbols, network=name, networks=model.network_names)
    rows = () if original else tuple(_layers(network, called, shapes))
    return Network(name, _count(getattr(model, original) if original else network), rows, original)


def _count(layer) -> int:
    """Parameters as papers count them: what training moves, without the moving statistics of batch norm."""
    return sum(math.prod(variable.shape) for variable in layer.trainable_variables)


def _layers(network, called, shapes, prefix: str = ""):
    """The rows of a network, those of networks inside it included; a layer that is made of layers is one row, and so is a
    variable that is in no layer."""
    inside = {id(variable) for layer in network.layers for variable in layer.trainable_variables}
    for variable in (variable for variable in network.trainable_variables if id(variable) not in inside):
        shape = "x".join(map(str, variable.shape))
        yield Layer(f"{prefix}{variable.name}", "Variable", shape, "", math.prod(variable.shape), called(variable.name))
    for layer in network.layers:
        if isinstance(layer, keras.layers.InputLayer):
            spec = layer.output.shape
            yield Layer(f"{prefix}{layer.name}", "Input", "", _shape(spec), 0, called(layer.name))
        elif isinstance(layer, keras.Model):
            yield from _layers(layer, called, shapes, f"{prefix}{layer.name}/")
        else:
            yield Layer(
                f"{prefix}{layer.name}",
                type(layer).__name__,
                _what(layer),
                shapes.get(id(layer), ""),
                _count(layer),
                called(layer.name),
            )


def _what(layer) -> str:
    """The options of a layer that say what it computes."""
    options, words = layer.get_config(), []
    for key, form in SHOWN.items():
        value = options.get(key)
        value = "x".join(map(str, value)) if isinstance(value, tuple | list) else value
        value = (
            str(int(value.split("x")[0]))
            if key == "strides" and value and len(set(str(value).split("x"))) == 1
            else value
        )
        if value is None or isinstance(value, dict) or (key, str(value)) in SILENT:
            continue
        words.append(form.format(f"{value:g}" if isinstance(value, float) else value))
    return ", ".join([*words, *(["no bias"] if options.get("use_bias") is False else [])])


# ---- the settings ----------------------------------------------------------------------------------------------------
def _settings(config: RunConfig, cls: type[BaseGAN]) -> list[Setting]:
    """Every argument of the model, and the options of data and training that are not the default in one of the columns."""
    paper = zoo.complete(presets.run_config(f"{config.name}/{presets.read(config.name).paper.paper_preset}"))
    own, theirs = _options(config), _options(paper)
    usual = _defaults()
    meanings = argument_meanings(cls.__doc__ or "")
    rows = []
    for key in dict.fromkeys([*own, *theirs]):
        value, other = own.get(key), theirs.get(key)
        if key.startswith("model.") or {value, other} != {usual.get(key)}:
            argument = key.removeprefix("model.")
            said = meanings.get(argument) or next((text for text in meanings.values() if f"`{argument}`" in text), "")
            rows.append(Setting(key, value, other, said))
    return rows


def _options(config: RunConfig) -> dict[str, Any]:
    """Options by dotted key, lists and tables of the model as text."""
    rows = [(f"model.{name}", value) for name, value in config.model.items()]
    rows += flatten(config.model_dump(include={"data", "train"}, exclude_none=True))
    return {
        key: str(list(value)) if isinstance(value, list | tuple) else str(value) if isinstance(value, dict) else value
        for key, value in rows
    }


def _defaults() -> dict[str, Any]:
    """What holds for an option of `[data]` and `[train]` that nobody sets."""
    found: dict[str, Any] = {}
    tables: tuple[tuple[str, type[BaseModel]], ...] = (("data", presets.DataConfig), ("train", presets.TrainConfig))
    for table, record in tables:
        for name, field in record.model_fields.items():
            value = None if field.is_required() else field.default
            if isinstance(value, BaseModel):
                found |= {f"{table}.{name}.{key}": inner for key, inner in flatten(value.model_dump())}
            else:
                found[f"{table}.{name}"] = (
                    str(list(value)) if isinstance(value, tuple) else str(value) if value == {} else value
                )
    for optimizer in ("g_optimizer", "d_optimizer", "e_optimizer"):
        for name, field in presets.OptimizerConfig.model_fields.items():
            found[f"train.{optimizer}.{name}"] = None if field.is_required() else field.default
    return found


def argument_meanings(docstring: str) -> dict[str, str]:
    """Argument -> what the "Args:" of a class docstring says of it."""
    _, _, block = inspect.cleandoc(docstring).partition("Args:\n")
    found: dict[str, str] = {}
    names: list[str] = []
    for line in block.split("\n\n")[0].splitlines():
        start = re.fullmatch(r" {4}([a-z][\w, ]*): (.*)", line)
        if start:
            names = [name.strip() for name in start[1].split(",")]
            found |= dict.fromkeys(names, start[2])
        elif line.startswith("     ") and names:
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
    return found


# ---- two presets -----------------------------------------------------------------------------------------------------
@dataclasses.dataclass(frozen=True)
class Difference:
    """Where two sets of options of one paper differ: (key, first, second) of settings, of layers "shape, parameters"."""

    names: tuple[str, str]
    settings: tuple[tuple[str, Any, Any], ...]
    layers: tuple[tuple[str, str, str], ...]
    parameters: tuple[tuple[str, Any, Any], ...]


def difference(first: Explanation, second: Explanation) -> Difference:
    """What two explanations do not share, in the order of the first."""
    a, b = first.options, second.options
    c, d = ({f"{n.name}/{layer.name}": _row(layer) for n in e.networks for layer in n.layers} for e in (first, second))
    m, n = ({network.name: network.parameters for network in e.networks} for e in (first, second))
    return Difference((first.name, second.name), _unlike(a, b), _unlike(c, d), _unlike(m, n))


def _row(layer: Layer) -> str:
    return " ".join(
        filter(None, [layer.kind, layer.what, f"-> {layer.shape}" if layer.shape else "", f"{layer.parameters:,}"])
    )


def _unlike(a: dict, b: dict) -> tuple[tuple[str, Any, Any], ...]:
    return tuple((key, a.get(key), b.get(key)) for key in dict.fromkeys([*a, *b]) if a.get(key) != b.get(key))
