"""Typed records of `zoo_configs/*.toml` and of run files. Reads and validates; builds no network, needs no TensorFlow."""

import functools
import json
import re
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import pydantic

from ganzoo import protocols
from ganzoo.errors import GanzooError, nearest
from ganzoo.files import parse_toml, read_text, shown


class Record(pydantic.BaseModel):
    """Frozen; an unknown key is an error, and so is a value of the wrong type."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Paper(Record):
    """Bibliographic facts of a paper, `[paper]`. `params`: parameter counts of the paper-size preset, tested."""

    title: str
    authors: str
    year: int
    arxiv: str
    code: str
    task: str
    aliases: tuple[str, ...] = pydantic.Field((), strict=False)
    paper_preset: str
    params: dict[str, int]


class DataConfig(Record):
    """What to train on, `[data]`.

    shape: "images", "paired", "unpaired", "voxels" or "captions". source: bundled name, folder, zip or "tfds:NAME". split:
    of the source. size: side in pixels. channels: of the image (the target of a pair, domain B). input_channels: of a pair's input, of
    domain A. fit: how odd sizes become square. mirror: random left-right flips. load_size: resize to this, then crop
    `size` at random, one offset for both of a pair. direction: which side of a pair is the input; "b2a" exchanges
    unpaired domains. captions: how many texts of an image a batch holds (their embeddings are averaged).

    Of voxels: size: voxels a side. classes: those that are taken, all by default. mirror: left and right. turns: random
    quarter turns about the up axis. squeeze: each axis shrinks at random, by this share at most. up: the axis of a mesh
    that points up; "auto" is z for STL and OFF, y for OBJ and GLB. render_size: also a shaded picture of so many pixels.
    """

    shape: Literal["images", "paired", "unpaired", "voxels", "captions"]
    source: str
    split: str = "train"
    test_split: str = "test"
    size: pydantic.PositiveInt
    channels: Literal[1, 3] = 3
    input_channels: Literal[1, 3] = 3
    fit: Literal["crop", "pad", "stretch"] = "crop"
    mirror: bool = False
    load_size: pydantic.PositiveInt | None = None
    direction: Literal["a2b", "b2a"] = "a2b"
    classes: tuple[str, ...] = pydantic.Field((), strict=False)
    turns: bool = False
    squeeze: float = pydantic.Field(0.0, ge=0, le=0.5)
    up: Literal["auto", "y", "z"] = "auto"
    render_size: pydantic.PositiveInt | None = None
    captions: pydantic.PositiveInt = 1

    @pydantic.model_validator(mode="after")
    def _crop_fits(self):
        if self.load_size is not None and self.load_size < self.size:
            raise ValueError(f"load_size {self.load_size} is smaller than size {self.size}: nothing to crop")
        return self

    @pydantic.model_validator(mode="after")
    def _voxels_alone(self):
        if self.shape == "voxels":
            if self.channels != 1 or self.load_size is not None:
                raise ValueError("voxels have channels = 1 and no load_size")
        elif self.classes or self.turns or self.squeeze or self.render_size:
            raise ValueError('classes, turns, squeeze and render_size are for shape = "voxels"')
        return self


class OptimizerConfig(Record):
    """One optimizer table, `[train.g_optimizer]`. `momentum_end` and `decay` are for "sgd" (Goodfellow et al. 2014):
    momentum rises linearly to `momentum_end` over `momentum_steps`, the rate is divided by `decay` after each update
    and stops at `learning_rate_min`. `constant_steps` and `decay_steps`: constant, then linear to zero (pix2pix), in one
    fall every `epoch_steps` if given (its PyTorch code)."""

    name: Literal["adam", "sgd"] = "adam"
    learning_rate: pydantic.PositiveFloat
    beta_1: float = pydantic.Field(0.9, ge=0, lt=1)
    beta_2: float = pydantic.Field(0.999, ge=0, lt=1)
    epsilon: pydantic.PositiveFloat = 1e-8
    momentum: float = pydantic.Field(0.0, ge=0, lt=1)
    momentum_end: float | None = pydantic.Field(None, ge=0, lt=1)
    momentum_steps: pydantic.PositiveInt | None = None
    decay: float = pydantic.Field(1.0, ge=1)
    learning_rate_min: pydantic.NonNegativeFloat = 0.0
    constant_steps: pydantic.NonNegativeInt | None = None
    decay_steps: pydantic.PositiveInt | None = None
    epoch_steps: pydantic.PositiveInt | None = None

    @pydantic.model_validator(mode="after")
    def _nothing_ignored(self):
        if self.name == "adam" and (self.momentum or self.momentum_end is not None):
            raise ValueError('momentum and momentum_end are for name = "sgd"; adam has beta_1')
        if self.decay > 1 and self.decay_steps:
            raise ValueError("decay and decay_steps are two schedules: set one of them")
        if self.constant_steps is not None and self.decay_steps is None:
            raise ValueError("constant_steps needs decay_steps")
        if self.epoch_steps and (not self.decay_steps or (self.constant_steps or 0) % self.epoch_steps):
            raise ValueError("epoch_steps needs decay_steps, and constant_steps of whole epochs")
        if self.epoch_steps and self.decay_steps % self.epoch_steps:
            raise ValueError("epoch_steps needs decay_steps of whole epochs")
        if (self.momentum_end is None) != (self.momentum_steps is None):
            raise ValueError("momentum_end and momentum_steps belong together")
        return self


class StopConfig(Record):
    """When a run may end before its last step, `[train.stop]`; nothing by default.

    patience: evaluations of `train.metric` in a row without a better value (0 is never). min_delta: how much lower
    counts as better. d_wins: end when D wins (`ganzoo.health`). min_steps: never before this step.
    """

    patience: pydantic.NonNegativeInt = 0
    min_delta: pydantic.NonNegativeFloat = 0.0
    d_wins: bool = False
    min_steps: pydantic.NonNegativeInt = 0


class GrowthConfig(Record):
    """Progressive growing, `[train.growth]` (Karras et al. 2017, arXiv 1710.10196, with the numbers of StyleGAN's code).

    The pictures begin at `start_size`; each size trains on `stable` images, and over the next `fade` images the double
    one fades in. The last size takes the steps that are left. batch_sizes, learning_rates: by size, for all players; the
    other sizes have `train.batch_size` and the optimizers' own rates. keep_optimizers: their slots go on; else they
    start anew where a size begins to fade in and where it has, as in the official code.
    """

    start_size: pydantic.PositiveInt = 8
    stable: pydantic.PositiveInt = 600_000
    fade: pydantic.NonNegativeInt = 600_000
    batch_sizes: dict[str, pydantic.PositiveInt] = {}
    learning_rates: dict[str, pydantic.PositiveFloat] = {}
    keep_optimizers: bool = False

    @pydantic.model_validator(mode="after")
    def _sizes_double(self):
        for size in (str(self.start_size), *self.batch_sizes, *self.learning_rates):
            if not size.isdecimal() or int(size) < 4 or int(size) & (int(size) - 1):
                raise ValueError(f"sizes are 4, 8, 16, 32, ...; received {size}")
        return self


class TrainConfig(Record):
    """How to train, `[train]`. All `*_every` count steps; 0 switches the thing off.

    health_every: samples are checked for collapse (`ganzoo.monitors.HealthMonitor`). metric_every: `metric`, a kid or
    fid by name without count and split, is measured on `metric_n` samples and the best state is kept (`MetricEvery`).
    growth: for papers that grow; without it all steps are of one size. encoder_steps: for text-to-image, the first steps of
    a run, which train its text encoder; e_optimizer is for them. sync_batch_norm: batch statistics are those of all
    replicas, which then train as one device does (BigGAN's large batches).

    precision: "auto" is bfloat16 where the device computes it (`ganzoo.precision`). accumulate: micro-batches that a batch
    is worked off in (`ganzoo.accumulation`). steps_per_execution: steps in one call; all intervals are multiples of it.
    jit_compile: try XLA. freeze_d, lr_multipliers: what a fine-tuning leaves alone or moves slowly (`ganzoo.moving`).
    """

    batch_size: pydantic.PositiveInt
    steps: pydantic.PositiveInt
    seed: int = pydantic.Field(0, ge=0, lt=2**31)
    log_every: pydantic.PositiveInt = 50
    sample_every: pydantic.NonNegativeInt = 500
    checkpoint_every: pydantic.NonNegativeInt = 500
    keep_checkpoints: pydantic.PositiveInt = 2
    health_every: pydantic.NonNegativeInt = 500
    metric_every: pydantic.NonNegativeInt = 0
    metric: str = "kid_efficientnet-lite0_lanczos"
    metric_n: int = pydantic.Field(1000, ge=2)
    stop: StopConfig = StopConfig()
    precision: Literal["float32", "bfloat16", "float16", "auto"] = "float32"
    accumulate: pydantic.PositiveInt = 1
    steps_per_execution: pydantic.PositiveInt = 1
    jit_compile: bool = False
    freeze_d: pydantic.NonNegativeInt = 0
    lr_multipliers: dict[str, pydantic.NonNegativeFloat] = {}
    growth: GrowthConfig | None = None
    encoder_steps: pydantic.NonNegativeInt = 0
    sync_batch_norm: bool = False
    g_optimizer: OptimizerConfig
    d_optimizer: OptimizerConfig
    e_optimizer: OptimizerConfig | None = None  # of models with an encoder

    @pydantic.model_validator(mode="after")
    def _stop_is_measured(self):
        if self.stop.patience and not self.metric_every:
            raise ValueError("stop.patience counts evaluations: set metric_every too")
        if self.stop.d_wins and not self.health_every:
            raise ValueError("stop.d_wins is for health to see: health_every must not be 0")
        if self.growth and any(o.decay > 1 or o.decay_steps for o in (self.g_optimizer, self.d_optimizer)):
            raise ValueError("growth sets the learning rate of each size: leave decay and decay_steps out")
        return self

    @pydantic.model_validator(mode="after")
    def _whole_parts(self):
        for size in (self.batch_size, *(self.growth.batch_sizes.values() if self.growth else ())):
            if size % self.accumulate:
                raise ValueError(f"accumulate {self.accumulate} does not divide a batch of {size}")
        for key in ("steps", "log_every", "sample_every", "checkpoint_every", "health_every", "metric_every"):
            if getattr(self, key) % self.steps_per_execution:
                raise ValueError(
                    f"{key} {getattr(self, key)} is no multiple of steps_per_execution {self.steps_per_execution}"
                )
        return self


class Weights(Record):
    """A published weights file, `[weights]`. Without a sha256 there is no entry."""

    file: str
    sha256: str = pydantic.Field(pattern="^[0-9a-f]{64}$")
    bytes: pydantic.PositiveInt
    licence: str
    attribution: str = ""


class EvalConfig(Record):
    """What `ganzoo evaluate` measures, `[eval]`: `n` generated samples, and metrics as stems ("fid_fashion-cnn", "l1")."""

    n: int = pydantic.Field(5000, ge=2)
    metrics: tuple[str, ...] = pydantic.Field((), strict=False)

    @pydantic.field_validator("metrics")
    @classmethod
    def _known(cls, metrics):
        for metric in metrics:
            try:
                protocols.parse_stem(metric)
            except GanzooError as error:
                raise ValueError(str(error).removesuffix(".")) from None
        return metrics


class Result(Record):
    """One number, `[[results]]`; `metric` is its whole protocol, `source` "measured" or "paper Table n".

    std: over KID's subsets. floor: the same measure of real training pictures (of near-copies: of the test pictures).
    ceiling: of an untrained model. n_reference, data_sha256, extractor_sha256: what it was measured against and with.
    sheet: the nearest-neighbour picture, under `ganzoo/assets`.
    """

    metric: str
    value: float
    source: str
    std: float | None = None
    full: float | None = None
    floor: float | None = None
    ceiling: float | None = None
    n_reference: int | None = None
    data_sha256: str | None = None
    extractor_sha256: str | None = None
    sheet: str | None = None
    steps: int | None = None
    images: int | None = None
    hours: float | None = None
    seed: int | None = None
    note: str = ""


class Preset(Record):
    """One `[presets.<name>]`: the constructor's arguments, data, training, evaluation, weights, results."""

    about: str
    model: dict[str, Any]
    data: DataConfig
    train: TrainConfig
    eval: EvalConfig = EvalConfig()
    weights: Weights | None = None
    results: tuple[Result, ...] = pydantic.Field((), strict=False)


class PaperFile(Record):
    """One TOML of the zoo; the first preset is the default."""

    paper: Paper
    presets: dict[str, Preset] = pydantic.Field(min_length=1)


class RunConfig(Record):
    """Resolved options of a run or of a saved model folder, `config.toml`."""

    name: str
    preset: str
    model: dict[str, Any]
    data: DataConfig
    train: TrainConfig


# ---- the zoo's TOML files --------------------------------------------------------------------------------------------
def config_folder():
    """The folder of the TOML files: `ganzoo.zoo_configs` when installed, `zoo_configs/` in a clone."""
    try:
        return resources.files("ganzoo.zoo_configs")
    except ModuleNotFoundError:
        return Path(__file__).resolve().parent.parent / "zoo_configs"


@functools.cache
def _files() -> dict[str, PaperFile]:
    files = sorted((f for f in config_folder().iterdir() if f.name.endswith(".toml")), key=lambda f: f.name)
    return {
        f.name.removesuffix(".toml"): validate(PaperFile, tomllib.loads(f.read_text("utf-8")), f.name) for f in files
    }


def list_models() -> list[str]:
    """Canonical names of all papers in the zoo."""
    return list(_files())


def list_presets(name: str) -> list[str]:
    """Preset names of a paper, the default first."""
    return list(_files()[find_paper(name)].presets)


def read(name: str) -> PaperFile:
    """Everything the TOML of a paper says."""
    return _files()[find_paper(name)]


def _plain(name: str) -> str:
    return "".join(c for c in name.casefold() if c not in "-_ ")


def _lookup() -> dict[str, str]:
    return {_plain(key): name for name, file in _files().items() for key in (name, *file.paper.aliases)}


def find_paper(name: str) -> str:
    """Canonical name; case, "-", "_" and spaces do not count, aliases do.

    Raises:
        GanzooError: no such paper; the sentence names the nearest.
    """
    found = _lookup().get(_plain(str(name)))
    if found is None:
        raise GanzooError(f'There is no model "{name}".{nearest(name, list_models())}')
    return found


def is_paper(name: str) -> bool:
    """Whether `name` is a registered paper or an alias."""
    return _plain(str(name)) in _lookup()


def resolve(name: str, preset: str | None = None) -> tuple[str, str]:
    """(paper, preset) of "paper", "paper/preset", or of both given apart; the default preset if none is named."""
    paper, _, inline = str(name).partition("/")
    paper = find_paper(paper)
    if inline and preset and _plain(inline) != _plain(preset):
        raise GanzooError(f'"{name}" names the preset {inline} and preset= names {preset}: give one of them.')
    wanted, presets = inline or preset, list_presets(paper)
    if not wanted:
        return paper, presets[0]
    found = {_plain(p): p for p in presets}.get(_plain(wanted))
    if found is None:
        raise GanzooError(f'{paper} has no preset "{wanted}".{nearest(wanted, presets)}')
    return paper, found


# ---- run configurations ----------------------------------------------------------------------------------------------
def run_config(source: str | Path | RunConfig, overrides: dict[str, Any] | None = None) -> RunConfig:
    """Options of a run from "paper/preset", from a TOML file (own, with `extends`, or a resolved one), or as they are.

    Args:
        overrides: dotted keys and values, `{"train.batch_size": 32}`; the tables are model, data and train. Another
            `data.source` also takes the splits back to "train" and "test", unless they are given too.

    Raises:
        GanzooError: unknown name or key (with the nearest), wrong type, unreadable file.
    """
    if isinstance(source, RunConfig):
        tables = source.model_dump(exclude_none=True)
    elif Path(source).suffix == ".toml":
        tables = _from_file(Path(source))
    else:
        tables = _from_preset(str(source))
    overrides = overrides or {}
    _forget_splits(tables, overrides.get("data.source", overrides.get("source")))
    for key, value in overrides.items():
        _set(tables, key, value)
    return validate(RunConfig, tables, str(source) if not isinstance(source, RunConfig) else "the run's options")


def _from_preset(name: str) -> dict:
    paper, preset = resolve(name)
    record = read(paper).presets[preset].model_dump(include={"model", "data", "train"}, exclude_none=True)
    if record["train"]["precision"] == "bfloat16":
        # What its weights were trained in; another device may compute it many times slower than float32.
        record["train"]["precision"] = "auto"
    return {"name": paper, "preset": preset, **record}


def _from_file(path: Path) -> dict:
    try:
        text = read_text(path)
    except GanzooError as error:
        raise GanzooError(f"{shown(path)} cannot be read as TOML: {error}") from error
    own = parse_toml(text, shown(path))
    if "extends" in own:
        tables = _from_preset(str(own.pop("extends")))
        _forget_splits(tables, own["data"].get("source") if isinstance(own.get("data"), dict) else None)
        return _merge(tables, own)
    if "name" not in own:
        raise GanzooError(f'{path} says neither extends = "paper/preset" nor name = "paper".')
    return {"preset": path.stem, **own, "name": find_paper(str(own["name"]))}


def _forget_splits(tables: dict, source: Any) -> None:
    """Another source has its own splits: the preset's ("train+novel") go back to "train" and "test"."""
    data = tables.get("data", {})
    if source is not None and source != data.get("source"):
        data.pop("split", None)
        data.pop("test_split", None)


def _merge(base: dict, own: dict) -> dict:
    return base | {k: _merge(base[k], v) if isinstance(v, dict) and isinstance(base.get(k), dict) else v
                   for k, v in own.items()}  # fmt: skip


def _set(tables: dict, key: str, value: Any) -> None:
    *path, last = key.split(".")
    fields: dict = RunConfig.model_fields
    if not path:
        # A bare key is looked up in train and data: `steps=100`.
        homes = [t for t, record in (("train", TrainConfig), ("data", DataConfig)) if last in record.model_fields]
        if not homes:
            options = [*TrainConfig.model_fields, *DataConfig.model_fields]
            raise GanzooError(f'"{key}" is no option.{nearest(key, options)}')
        path = homes[:1]
    node = tables
    for part in path:
        if part not in node and part not in fields:
            raise GanzooError(f'"{key}" is no option: there is no table "{part}".{nearest(part, [*node])}')
        node = node.setdefault(part, {})
        if not isinstance(node, dict):
            raise GanzooError(f'"{key}" is no option: {part} is a value, not a table.')
    node[last] = value


def validate(record: type[Record], tables: dict, where: str):
    """The record of plain tables. Raises GanzooError with the dotted key, what arrived, and the nearest key."""
    try:
        return record.model_validate(tables)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            hint = nearest(str(first["loc"][-1]), _fields_at(record, first["loc"][:-1]))
            raise GanzooError(f'{where}: "{key}" is no option.{hint}') from None
        if first["type"] == "missing":
            raise GanzooError(f'{where}: "{key}" is missing.') from None
        if first["type"] == "value_error":  # said by a validator above
            raise GanzooError(f"{where}: {key}: {first['ctx']['error']}.") from None
        raise GanzooError(f"{where}: {key}: {first['msg']}; received {first['input']!r}.") from None


def _fields_at(record: type, path: tuple) -> list[str]:
    for part in path:
        annotation = record.model_fields[part].annotation if part in getattr(record, "model_fields", {}) else None
        inner = [a for a in (annotation, *getattr(annotation, "__args__", ())) if isinstance(a, type)]
        record = next((a for a in inner if issubclass(a, Record)), record)
    return list(record.model_fields)


def to_toml(tables: dict, prefix: str = "") -> str:
    """TOML of nested tables of strings, numbers, booleans and lists (tomllib only reads)."""
    lines = [f"{_key(k)} = {_value(v)}" for k, v in tables.items() if not isinstance(v, dict) and v is not None]
    for key, table in tables.items():
        if isinstance(table, dict):
            lines += ["", f"[{prefix}{_key(key)}]", to_toml(table, f"{prefix}{_key(key)}.").rstrip()]
    return "\n".join(lines).lstrip("\n") + "\n"


def _key(key: str) -> str:
    return key if re.fullmatch("[A-Za-z0-9_-]+", key) else _value(key)


def _value(value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(v) for v in value)}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # JSON strings are TOML strings
    return repr(value)


def config_toml(config: RunConfig) -> str:
    """The text of a `config.toml`."""
    return to_toml(config.model_dump(exclude_none=True))
