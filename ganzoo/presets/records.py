"""Typed records of `zoo_configs/*.toml` and of run files. Reads and validates; builds no network, needs no TensorFlow."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import pydantic

from ganzoo.errors import GanzooError, nearest
from ganzoo.presets import metric_names


class Record(pydantic.BaseModel):
    """Frozen; an unknown key is an error, and so is a value of the wrong type."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Paper(Record):
    """Bibliographic facts of a paper, `[paper]`. `code`: of its authors, "" where there is none. `params`: parameter counts of the paper-size preset, tested."""

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

    shape: "images", "paired", "unpaired", "voxels", "captions", "attributes", "masks" or "ages". source: bundled name, folder, zip or
    "tfds:NAME". source_b: of unpaired data where domain B is, if it is not a part of `source`, which then is domain A alone.
    split, test_split: of the source: a name, several joined by "+", or rows of one, "train[:50000]"; of two sources with a
    comma where their splits have other names, "extra, train". val_split:
    held-out rows on which an evaluation chooses what it needs, "" for training rows. hold_out: share of the items of a folder
    or zip file that has no val or test split of its own; they become its "test" and are not trained on
    (`ganzoo.data.sources.held_back`). A new run of such data takes a tenth; 0 for none. size: side in pixels. channels: of the image (the target
    of a pair, domain B). input_channels: of a pair's input, of domain A. fit: how odd sizes become square. resample: the
    kernel that resizes. mirror: random left-right flips. load_size: resize to this, then crop `size` at random, one offset
    for both of a pair. direction: which side of a pair is the input; "b2a" exchanges unpaired domains. captions: how many
    texts of an image a batch holds (their embeddings are averaged). attributes: which of a source's attributes, all by default.
    balance: of pictures in classes, each class is shown as often as the others, however few pictures it has.
    licence: of the data, an SPDX id ("CC-BY-4.0"); "" for what the data say themselves (`ganzoo.data.licence`).

    Of voxels: size: voxels a side. classes: those that are taken, all by default. mirror: left and right. turns: random
    quarter turns about the up axis. squeeze: each axis shrinks at random, by this share at most. up: the axis of a mesh
    that points up; "auto" is z for STL and OFF, y for OBJ and GLB. render_size: also a shaded picture of so many pixels.
    """

    shape: Literal["images", "paired", "unpaired", "voxels", "captions", "attributes", "masks", "ages"]
    source: str
    source_b: str = ""
    split: str = "train"
    test_split: str = "test"
    val_split: str = ""
    hold_out: float | None = pydantic.Field(None, ge=0, le=0.5)
    size: pydantic.PositiveInt
    channels: Literal[1, 3] = 3
    input_channels: Literal[1, 3] = 3
    fit: Literal["crop", "pad", "stretch"] = "crop"
    resample: Literal["lanczos", "bicubic"] = "lanczos"
    mirror: bool = False
    load_size: pydantic.PositiveInt | None = None
    direction: Literal["a2b", "b2a"] = "a2b"
    classes: tuple[str, ...] = pydantic.Field((), strict=False)
    turns: bool = False
    squeeze: float = pydantic.Field(0.0, ge=0, le=0.5)
    up: Literal["auto", "y", "z"] = "auto"
    render_size: pydantic.PositiveInt | None = None
    captions: pydantic.PositiveInt = 1
    attributes: tuple[str, ...] = pydantic.Field((), strict=False)
    balance: bool = False
    licence: str = ""

    @property
    def fitting(self) -> str:
        """How pictures become square, for records: numbers of other pixels are of other pictures."""
        return self.fit if self.resample == "lanczos" else f"{self.fit} {self.resample}"

    @pydantic.model_validator(mode="after")
    def _crop_fits(self):
        if self.load_size is not None and self.load_size < self.size:
            raise ValueError(f"load_size {self.load_size} is smaller than size {self.size}: nothing to crop")
        return self

    @pydantic.model_validator(mode="after")
    def _two_sources(self):
        if self.source_b and self.shape != "unpaired":
            raise ValueError('source_b is where domain B is, and is for shape = "unpaired"')
        return self

    @pydantic.model_validator(mode="after")
    def _classes_are_balanced(self):
        if self.balance and self.shape not in ("images", "ages"):
            raise ValueError('balance shows classes alike, and is for shape = "images" and "ages"')
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
    """One optimizer table, `[train.g_optimizer]`. `momentum_end` is for "sgd" (Goodfellow et al. 2014): momentum rises
    linearly to it over `momentum_steps`. The rate is divided by `decay` after each update past `constant_steps`, and stops
    at `learning_rate_min` (there from the first; Jin et al. 2017 after 50,000). `halve_every`: the rate halves after so many updates (Reed et al. 2016).
    `constant_steps` and `decay_steps`: constant, then linear to zero (pix2pix), in one fall every `epoch_steps` if given
    (its PyTorch code). All of these count the updates of this player; a step may hold several.

    epsilon_after: adam adds epsilon after the bias correction, as PyTorch does and Adam's paper in Algorithm 1: to sqrt(v / (1 -
    beta_2^t)). Keras and TensorFlow add it before, to sqrt(v), where one of 1e-6 makes the first steps up to 30 times smaller."""

    name: Literal["adam", "sgd"] = "adam"
    learning_rate: pydantic.PositiveFloat
    beta_1: float = pydantic.Field(0.9, ge=0, lt=1)
    beta_2: float = pydantic.Field(0.999, ge=0, lt=1)
    epsilon: pydantic.PositiveFloat = 1e-8
    epsilon_after: bool = False
    momentum: float = pydantic.Field(0.0, ge=0, lt=1)
    momentum_end: float | None = pydantic.Field(None, ge=0, lt=1)
    momentum_steps: pydantic.PositiveInt | None = None
    decay: float = pydantic.Field(1.0, ge=1)
    learning_rate_min: pydantic.NonNegativeFloat = 0.0
    constant_steps: pydantic.NonNegativeInt | None = None
    decay_steps: pydantic.PositiveInt | None = None
    epoch_steps: pydantic.PositiveInt | None = None
    halve_every: pydantic.PositiveInt | None = None

    @pydantic.model_validator(mode="after")
    def _nothing_ignored(self):
        if self.name == "adam" and (self.momentum or self.momentum_end is not None):
            raise ValueError('momentum and momentum_end are for name = "sgd"; adam has beta_1')
        if self.name == "sgd" and self.epsilon_after:
            raise ValueError('epsilon_after is for name = "adam"')
        if (self.decay > 1) + bool(self.decay_steps) + bool(self.halve_every) > 1:
            raise ValueError("decay, decay_steps and halve_every are three schedules: set one of them")
        if self.constant_steps is not None and self.decay_steps is None and self.decay == 1:
            raise ValueError("constant_steps needs decay_steps, or decay")
        if self.epoch_steps and (not self.decay_steps or (self.constant_steps or 0) % self.epoch_steps):
            raise ValueError("epoch_steps needs decay_steps, and constant_steps of whole epochs")
        if self.epoch_steps and (self.decay_steps or 0) % self.epoch_steps:
            raise ValueError("epoch_steps needs decay_steps of whole epochs")
        if (self.momentum_end is None) != (self.momentum_steps is None):
            raise ValueError("momentum_end and momentum_steps belong together")
        return self


class StopConfig(Record):
    """When a run may end before its last step, `[train.stop]`; nothing by default.

    patience: evaluations of `train.metric` in a row without a better value (0 is never). min_delta: how much lower
    counts as better. d_wins: end when D wins (`ganzoo.runs.health`). min_steps: never before this step.
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


class StabilityConfig(Record):
    """What steadies a training, `[train.stability]`; none of it is on by itself, and a paper that an option means nothing to
    refuses it (`ganzoo.base.stability`; docs/training.md has formulas and sources).

    augment: what D sees is augmented (`ganzoo.augment`): "color,translation,cutout" or a part of it. ada_target: of mean
    sign(D(real)), 0.6 in ADA: the chance of each transformation follows it, from 0 on; 0: all are always applied
    (DiffAugment). ada_images: images in which the chance goes from 0 to 1 at most. instance_noise: deviation of normal noise
    on what D sees, in units of [-1, 1]; it falls to 0 over the first `instance_noise_steps` steps.

    label_smoothing: D's target for reals is 1 less this. relativistic: both losses are those of pairs of a real and a fake.
    r1_gamma, r2_gamma: weights (half of them) of the gradient penalties at reals and at fakes.

    ema_images: half-life of the averaged generator in images, in place of `model.ema_decay`. ema_rampup: it is never more
    than this share of the images seen so far; 0 for no limit. d_steps: G moves in every so manyth step, D in each.
    """

    augment: str = ""
    ada_target: float = pydantic.Field(0.0, ge=0, lt=1)
    ada_images: pydantic.PositiveInt = 500_000
    instance_noise: pydantic.NonNegativeFloat = 0.0
    instance_noise_steps: pydantic.PositiveInt | None = None
    label_smoothing: float = pydantic.Field(0.0, ge=0, lt=0.5)
    relativistic: bool = False
    r1_gamma: pydantic.NonNegativeFloat = 0.0
    r2_gamma: pydantic.NonNegativeFloat = 0.0
    ema_images: pydantic.NonNegativeInt = 0
    ema_rampup: pydantic.NonNegativeFloat = 0.0
    d_steps: pydantic.PositiveInt = 1

    @pydantic.model_validator(mode="after")
    def _belong_together(self):
        if self.ada_target and not self.augment:
            raise ValueError("ada_target drives augment: set it too")
        if bool(self.instance_noise) != bool(self.instance_noise_steps):
            raise ValueError("instance_noise and instance_noise_steps belong together")
        if self.ema_rampup and not self.ema_images:
            raise ValueError("ema_rampup limits ema_images: set it too")
        if self.relativistic and (self.label_smoothing or self.ada_target):
            raise ValueError(
                "relativistic logits have neither a target nor a zero: leave label_smoothing and ada_target out"
            )
        return self


# Options of `[train]` that a paper must declare (`train_options`), and what is true of a paper that does not.
OF_SOME_PAPERS = {"growth": "trains at one size", "encoder_steps": "has no encoder to train by itself"}


class TrainConfig(Record):
    """How to train, `[train]`. All `*_every` count steps; 0 switches the thing off.

    health_every: samples are checked for collapse (`ganzoo.training.monitors.HealthMonitor`). metric_every: `metric`, a kid or
    fid by name without count and split, is measured on `metric_n` samples and the best state is kept (`MetricEvery`).
    growth: for papers that grow; without it all steps are of one size. encoder_steps: steps of a run that train an encoder
    alone, the first ones of text-to-image and dtn, the last ones of age-cgan; e_optimizer is for them. sync_batch_norm: batch statistics are those of all
    replicas, which then train as one device does (BigGAN's large batches).

    precision: "auto" is bfloat16 where the device computes it (`ganzoo.devices.precision`). accumulate: micro-batches that a batch
    is worked off in (`ganzoo.training.accumulation`). steps_per_execution: steps in one call; all intervals are multiples of it.
    side_by_side: how many operations of a step may run at once with one core each, on a CPU of at most as many cores
    (`ganzoo.devices.threads`); 1 leaves it to TensorFlow. jit_compile: try XLA. freeze_d, lr_multipliers: what a fine-tuning leaves
    alone or moves slowly (`ganzoo.base.freezing`); freeze_d counts layers of D, or is a share of them below 1.
    """

    batch_size: pydantic.PositiveInt
    steps: int = pydantic.Field(gt=0, le=10**10)  # at a thousand a second four months
    seed: int = pydantic.Field(0, ge=0, lt=2**31)
    log_every: pydantic.PositiveInt = 50
    sample_every: pydantic.NonNegativeInt = 500
    checkpoint_every: pydantic.NonNegativeInt = 500
    keep_checkpoints: pydantic.PositiveInt = 2
    health_every: pydantic.NonNegativeInt = 500
    metric_every: pydantic.NonNegativeInt = 0
    metric: str = "kid_efficientnet-lite0_lanczos"
    metric_n: int = pydantic.Field(1000, ge=2, le=10**9)
    stop: StopConfig = StopConfig()
    precision: Literal["float32", "bfloat16", "float16", "auto"] = "float32"
    accumulate: pydantic.PositiveInt = 1
    steps_per_execution: pydantic.PositiveInt = 1
    side_by_side: pydantic.PositiveInt = 1
    jit_compile: bool = False
    freeze_d: pydantic.NonNegativeInt | Annotated[float, pydantic.Field(gt=0, lt=1)] = 0
    lr_multipliers: dict[str, pydantic.NonNegativeFloat] = {}
    growth: GrowthConfig | None = None
    encoder_steps: pydantic.NonNegativeInt = 0
    sync_batch_norm: bool = False
    stability: StabilityConfig | None = None
    g_optimizer: OptimizerConfig
    d_optimizer: OptimizerConfig
    e_optimizer: OptimizerConfig | None = None  # of models with an encoder

    @pydantic.model_validator(mode="after")
    def _stop_is_measured(self):
        if self.stop.patience and not self.metric_every:
            raise ValueError("stop.patience counts evaluations: set metric_every too")
        if self.stop.d_wins and not self.health_every:
            raise ValueError("stop.d_wins is for health to see: health_every must not be 0")
        if self.growth and any(
            o.decay > 1 or o.decay_steps or o.halve_every for o in (self.g_optimizer, self.d_optimizer)
        ):
            raise ValueError("growth sets the learning rate of each size: leave decay, decay_steps and halve_every out")
        return self

    @pydantic.model_validator(mode="after")
    def _whole_parts(self):
        for size in (self.batch_size, *(self.growth.batch_sizes.values() if self.growth else ())):
            if size % self.accumulate:
                raise ValueError(f"accumulate {self.accumulate} does not divide a batch of {size}")
        if self.accumulate > 1 and self.stability and self.stability.ada_target:
            raise ValueError("stability.ada_target follows the signs of whole batches: set accumulate = 1")
        for key in ("steps", "log_every", "sample_every", "checkpoint_every", "health_every", "metric_every"):
            if getattr(self, key) % self.steps_per_execution:
                raise ValueError(
                    f"{key} {getattr(self, key)} is not a multiple of steps_per_execution {self.steps_per_execution}"
                )
        return self


class Weights(Record):
    """A published weights file, `[weights]`. Without a sha256 there is no entry. licence: an SPDX expression. hub: where the file
    is, "hf://user/name@revision", if it is too large for the package; it is fetched only when somebody asks for that."""

    file: str
    sha256: str = pydantic.Field(pattern="^[0-9a-f]{64}$")
    bytes: pydantic.PositiveInt
    licence: str
    attribution: str = ""
    hub: str = pydantic.Field("", pattern=r"^(hf://[\w.-]+/[\w.-]+(@[\w.-]+)?)?$")


class EvalConfig(Record):
    """What `ganzoo evaluate` measures, `[eval]`: `n` generated samples, and metrics as stems ("fid_fashion-cnn", "l1")."""

    n: int = pydantic.Field(5000, ge=2)
    metrics: tuple[str, ...] = pydantic.Field((), strict=False)

    @pydantic.field_validator("metrics")
    @classmethod
    def _known(cls, metrics):
        for metric in metrics:
            try:
                metric_names.parse_stem(metric)
            except GanzooError as error:
                raise ValueError(str(error).removesuffix(".")) from None
        return metrics


class Result(Record):
    """One number, `[[results]]`; `metric` is its whole protocol, `source` "measured" or "paper Table n".

    std: over KID's subsets. floor: the same measure of real training pictures (of near-copies: of the test pictures).
    ceiling: of an untrained model. pytorch: of the same method in PyTorch, trained for as long (`benchmarks.reference`).
    n_reference, data_sha256, extractor_sha256: what it was measured against and with.
    sheet: the nearest-neighbour picture, under `ganzoo/assets`.
    """

    metric: str
    value: float
    source: str
    std: float | None = None
    full: float | None = None
    floor: float | None = None
    ceiling: float | None = None
    pytorch: float | None = None
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
    """One `[presets.<name>]`: the constructor's arguments, data, training, evaluation, weights, results.

    expects: of a model that takes pictures, which it was made for: "line drawings of characters, about 64 px". not_for: what its
    weights must not be used for."""

    about: str
    expects: str = ""
    not_for: str = ""
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
    """Resolved options of a run or of a saved model folder, `config.toml`. `preset` is "" of a model that was built by its
    class: it is not one of the zoo's."""

    name: str
    preset: str
    model: dict[str, Any]
    data: DataConfig
    train: TrainConfig

    @pydantic.field_validator("model")
    @classmethod
    def _tuples(cls, model):
        """TOML and JSON have lists alone; a constructor's default is a tuple, and the two are not equal."""
        return {key: _without_lists(value) for key, value in model.items()}

    @property
    def full_name(self) -> str:
        """ "paper/preset", or the paper alone; as `BaseGAN.full_name`."""
        return f"{self.name}/{self.preset}" if self.preset else self.name


def _without_lists(value):
    if isinstance(value, dict):
        return {key: _without_lists(part) for key, part in value.items()}
    return tuple(map(_without_lists, value)) if isinstance(value, list | tuple) else value


def validate(record: type[Record], tables: dict, where: str):
    """The record of plain tables. Raises GanzooError with the dotted key, what arrived, and the nearest key."""
    try:
        return record.model_validate(tables)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            hint = nearest(str(first["loc"][-1]), fields_at(record, first["loc"][:-1]))
            raise GanzooError(f'{where}: unknown option "{key}".{hint}') from None
        if first["type"] == "missing":
            raise GanzooError(f'{where}: "{key}" is missing.') from None
        if first["type"] == "value_error":  # said by a validator above
            raise GanzooError(f"{where}: {key}: {first['ctx']['error']}.") from None
        raise GanzooError(f"{where}: {key}: {first['msg']}; received {first['input']!r}.") from None


def fields_at(record: type[pydantic.BaseModel], path: Sequence) -> list[str]:
    """The keys of the table at `path`, those that are not set included; of a table of any keys, those of the one around it."""
    for part in path:
        annotation = record.model_fields[part].annotation if part in record.model_fields else None
        inner = [a for a in (annotation, *getattr(annotation, "__args__", ())) if isinstance(a, type)]
        record = next((a for a in inner if issubclass(a, Record)), record)
    return list(record.model_fields)
