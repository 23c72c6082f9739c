"""load and save: joins registry, presets and weights."""

import contextlib
import hashlib
import json
import math
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

import ganzoo.models  # noqa: F401  (its import registers every paper)
from ganzoo import __version__, files, hub, presets, registry, schedules, weights
from ganzoo.base import BaseGAN, freezing
from ganzoo.base.model import blank_networks, variable_of
from ganzoo.devices.machine import memory
from ganzoo.errors import GanzooError, nearest
from ganzoo.layers import normalization
from ganzoo.presets import RunConfig, licences
from ganzoo.presets.licences import Passport
from ganzoo.presets.trust import granted as granting
from ganzoo.weights import read as read_weights

SPARE = 2**26  # numbers that a model may have besides its weights: a history of images, stored noise
ASSETS = Path(__file__).resolve().parent / "assets" / "weights"


def load(
    name_or_path,
    *,
    preset=None,
    weights="default",
    trust=False,
    require=None,
    revision=None,
    sha256=None,
    fetch=False,
    **model_overrides,
) -> BaseGAN:
    """A compiled model, ready to `generate` and to `fit`.

    Args:
        name_or_path: "pix2pix", "pix2pix/edges2emoji-128", a folder that `save` or a training run wrote, or the address of
            such a folder: "hf://user/name", "https://...", "file://...", "s3://..." (`ganzoo.hub`).
        preset: preset name, if not in the first argument.
        weights: "default" (those of the preset or folder), None (random), or the path of a safetensors file or folder.
        trust: a folder may name a SavedModel that is loaded and run with it (`encoder = "hub:PATH"`). It can do what you can:
            True only for folders of people you trust.
        require: "commercial": weights whose licence forbids that, or is unknown, are refused before they are read.
        revision: of an hf:// address: branch, tag or commit.
        sha256: that the weights at an address must have; https needs it.
        fetch: of a preset whose weights are on the Hub and not in the package: fetch them, if they are not in the cache.
        model_overrides: constructor arguments other than the preset's; the weights must still fit.

    Raises:
        GanzooError: unknown name, preset or argument; no, damaged or unfitting weights; a folder that names code, a
            model larger than its weights, or a licence that does not allow what is required.
    """
    if hub.is_address(name_or_path):
        address = name_or_path

        def allowed(manifest: dict) -> None:
            if require is not None:
                _require(require, licences.of_manifest(manifest), address)

        wanted = weights == "default"
        name_or_path = hub.fetch(address, revision=revision, sha256=sha256, weights=wanted, before=allowed)
    elif revision is not None or sha256 is not None:
        raise GanzooError(f"revision and sha256 are for addresses such as hf://user/name; received {name_or_path}.")
    folder = model_folder(name_or_path)
    if folder is not None:
        if preset:
            raise GanzooError(f"{name_or_path} is a folder and has no presets; received preset={preset!r}.")
        with granting(trust):
            config = presets.run_config(folder / "config.toml")
    else:
        paper, preset = presets.resolve(str(name_or_path), preset)
        config = presets.run_config(f"{paper}/{preset}")
    config = config.model_copy(update={"model": config.model | model_overrides})
    if weights is None:
        return build(config)
    path, sha256 = _weights_file(weights, folder, config, fetch=fetch)
    passport = _passport(path, config)
    if require is not None:
        _require(require, passport, config.full_name)
    arrays, digest = read_weights(path, sha256)  # first: a damaged file is said before anything is built
    if folder is not None:
        _compare_settings(folder)
    with blank_networks():
        model = build(config, most=None if folder is None else _most(path, arrays))
    model.weights_source = _fill(model, path, arrays, digest)
    model.passport = passport
    return model


def _require(use: str, passport: Passport, name: str) -> None:
    """Raises GanzooError if the licence does not allow the use."""
    if why := passport.refuses(use):
        raise GanzooError(f"{name} is refused for {use} use: {why} (weights: {passport.licence}).")


def _passport(path: Path, config: RunConfig) -> Passport:
    """Licence and attribution of a weights file: of the zoo, or of the model folder that it lies in; else unknown."""
    published = (preset.weights for preset in presets.read(config.name).presets.values())
    for record in published:
        if record is None or record.file != path.name:
            continue
        if path.parent == ASSETS or (record.hub and hub.cached(record) == path):
            return Passport(licences.spdx(record.licence), record.attribution)
    if not path.with_name("manifest.json").is_file():
        return Passport()
    return licences.of_manifest(_manifest(path.parent))


def _most(path: Path, arrays: Mapping) -> tuple[int, str]:
    """How many numbers a model may have that is filled from these arrays of a file (theirs, their averages and slots), and
    what is said of one with more: the settings are not those of these weights."""
    held = sum(array.size for array in arrays.values())
    return 8 * held + SPARE, (
        f"The settings next to {path} make a model of far more numbers than the {held:,} in that file: they do not belong "
        "together, or one of them was edited."
    )


@contextlib.contextmanager
def _at_most(left: int, sentence: str):
    """While the body runs, so many numbers in variables are made; before there are more, GanzooError with the sentence."""

    def create(next_creator, **options):
        nonlocal left
        value = options["initial_value"]
        if callable(value):
            left -= _shape_of(value).num_elements()
        if left < 0:
            raise GanzooError(sentence)
        return next_creator(**options)

    with tf.variable_creator_scope(create):
        yield


def _shape_of(value: Callable) -> tf.TensorShape:
    """The shape of what `value()` makes, without making it. Of Keras, which calls an initializer in it with the shape of a
    variable, it is that; an operation in a graph, which says it of any other one, takes a quarter of the time of building."""
    made = variable_of(value)
    if made is not None:
        return tf.TensorShape(made.shape)
    with tf.Graph().as_default():
        return tf.convert_to_tensor(value()).shape


def _compare_settings(folder: Path) -> None:
    """Warns if a saved config.toml is not the one that was saved with the weights: other settings may make other pictures."""
    wanted = _manifest(folder).get("settings")
    if wanted is not None and wanted != hashlib.sha256(files.read_bytes(folder / "config.toml")).hexdigest():
        warnings.warn(
            f"{folder / 'config.toml'} is not as it was saved with these weights: it, or manifest.json next to it, was edited "
            "or damaged. What it says is taken.",
            stacklevel=3,
        )


def build(config: RunConfig, *, most: tuple[int, str] | None = None) -> BaseGAN:
    """The compiled model of a run's options with random weights.

    Args:
        most: how many numbers it may have, and what is said of more; by default as many as the machine's memory holds.

    Raises:
        GanzooError: unknown paper or argument, a value of another type or out of range, or more numbers than `most`, before
            their memory is taken.
    """
    config = complete(config)
    most = most or (
        memory() // 4,
        f"{config.name} with {config.model} has more numbers than the {memory() / 2**30:.0f} GiB of memory of this machine "
        "hold: lower its widths.",
    )
    try:
        with _at_most(*most):
            model = registry.models()[config.name](**config.model)
    except GanzooError:
        raise
    except (TypeError, ValueError, OverflowError) as error:  # Keras' own word on a width of 0 and the like
        raise GanzooError(f"{config.name} cannot be built with {config.model}: {error}") from error
    model.preset = config.preset or None
    model.seed = config.train.seed
    if config.train.sync_batch_norm:
        normalization.synchronize(model.networks().values())
    for name in model.players:
        if getattr(config.train, name) is None:
            raise GanzooError(f"{config.name} with this model table needs a table [train.{name}] with a learning_rate.")
    frozen = freezing.frozen_layers(model, config.train.freeze_d)
    model.run_config = config.model_copy(update={"train": config.train.model_copy(update={"freeze_d": frozen})})
    freezing.freeze_d(model, frozen)
    if config.train.stability:
        model.stabilise(config.train.stability, config.train.batch_size)
    model.compile(**{name: schedules.optimizer(getattr(config.train, name), name) for name in model.players})
    freezing.multiply_rates(model, config.train.lr_multipliers)
    return model


def complete(config: RunConfig) -> RunConfig:
    """The options with every argument of the paper's constructor in the model table, defaults included.

    Raises:
        GanzooError: unknown paper or argument, or a value of another type than the argument's default.
    """
    cls = registry.models().get(config.name)
    if cls is None and config.name in presets.list_models():
        raise GanzooError(
            f'zoo_configs/{config.name}.toml is there, but no file of ganzoo/models has @register("{config.name}").'
        )
    if cls is None:
        raise GanzooError(f'There is no model "{config.name}".{nearest(config.name, registry.models())}')
    defaults = cls.defaults()
    for key, value in config.model.items():
        if key not in defaults:
            raise GanzooError(f'{config.name} has no model argument "{key}".{nearest(key, defaults)}')
        if isinstance(value, float) and not math.isfinite(value):
            raise GanzooError(f"{config.name}: model.{key} takes a finite number; received {value!r}.")
        wanted = type(defaults[key])
        if type(value) is not wanted and not (wanted is float and type(value) is int):
            raise GanzooError(f"{config.name}: model.{key} takes {wanted.__name__}; received {value!r}.")
    return config.model_copy(update={"model": defaults | config.model})


def load_into(model: BaseGAN, source, folder: Path | None = None, assign=weights.assign) -> str:
    """Fills a built model from "default" (of its preset, or of the given model folder), a file or a folder, and gives it
    their licence.

    `assign` takes (variables, arrays, where) and does it: `weights.assign`, all or nothing, or a `transfer.Transfer`.
    Returns its `weights_source`. Raises GanzooError as `load`.
    """
    path, sha256 = _weights_file(source, folder, model.run_config)
    model.passport = _passport(path, model.run_config)
    return _fill(model, path, *weights.read(path, sha256), assign)


def arguments_of(source, folder: Path | None, config: RunConfig) -> dict | None:
    """The constructor's arguments of the model whose weights `load_into` takes from the same source; None for a file, which
    does not say them. Raises GanzooError as `load_into` for a preset without weights."""
    _weights_file(source, folder, config)
    if source == "default":
        kept = presets.run_config(folder / "config.toml" if folder is not None else config.full_name)
    elif files.given_path(source).is_dir() and (home := model_folder(files.given_path(source).absolute())):
        kept = presets.run_config(home / "config.toml")
    else:
        return None
    return complete(kept).model


def _fill(model: BaseGAN, path: Path, arrays: dict, digest: str, assign=weights.assign) -> str:
    for average in (name for name in model.network_names if name.startswith("ema_")):
        if not any(key.startswith(f"{average}/") for key in arrays):
            # Fine-tuning with an average that the file does not have: it starts where its network is.
            start = f"{average.removeprefix('ema_')}/"
            arrays |= {f"ema_{key}": value for key, value in arrays.items() if key.startswith(start)}
    if not model.ema_decay:
        arrays = {key: value for key, value in arrays.items() if not key.startswith("ema_")}
    if model.bundled_keys and not any(re.search(model.bundled_keys, key) for key in arrays):
        # What the package has once already, as building the model read it.
        arrays |= {key: np.array(v) for key, v in model.state().items() if re.search(model.bundled_keys, key)}
    assign(model.state(), arrays, str(path))
    return f"{'bundled' if path.parent == ASSETS else path}:{digest[:8]}"


def save(model: BaseGAN, directory, *, dtype=None, extra: Mapping | None = None) -> Path:
    """Writes a folder that `load(directory)` reads: config.toml, weights.safetensors, manifest.json (last).

    A model that was trained since it was loaded is finalised first (`finalize`: standing statistics). One that was built
    by its class and not by `load` takes data and training options of the paper's default preset, and not its name. The
    manifest holds the licence of the weights it began from; of data that `fit` was given nobody knows one.

    Args:
        dtype: "float16" halves the file.
        extra: facts for the manifest, such as steps and data.
    """
    directory = Path(directory)
    if int(model.step.numpy()):
        model.finalize()
    config = model.run_config or presets.run_config(model.paper)
    config = config.model_copy(update={"model": model.get_config(), "preset": model.preset or ""})
    path = directory / "weights.safetensors"
    passport = model.passport or Passport()
    if int(model.step.numpy()):
        passport = licences.together(passport, Passport())
    settings = presets.config_toml(config).encode()
    facts = {"model": model.full_name, "ganzoo": __version__, "settings": hashlib.sha256(settings).hexdigest()}
    arrays, metadata = weights.to_arrays(model.state()), {"model": facts["model"]}
    sha256 = weights.write(path, arrays, metadata=metadata, dtype=dtype, float32_keys=model.float32_keys)
    files.write_bytes(directory / "config.toml", settings)
    facts |= {"licence": passport.licence, "attribution": passport.attribution}
    manifest = facts | {"weights": path.name, "sha256": sha256, "bytes": path.stat().st_size} | dict(extra or {})
    files.write_bytes(directory / "manifest.json", (json.dumps(manifest, indent=1) + "\n").encode())
    return directory


def model_folder(name_or_path) -> Path | None:
    """The preset folder that the argument means, or None if it names a paper.

    A path has a separator after `./`, `/` or `~`, or is an existing folder whose first part is not a registered paper.
    """
    text = str(name_or_path)
    path = files.given_path(text)
    looks_like_path = isinstance(name_or_path, Path) or text.startswith(("./", "../", "/", "~"))
    if not looks_like_path and (presets.is_paper(text.split("/")[0]) or not path.is_dir()):
        return None
    for folder in (path, path / "model"):
        if (folder / "manifest.json").is_file() and (folder / "config.toml").is_file():
            return folder
    if not path.is_dir():
        raise GanzooError(f"There is no folder {text}.")
    raise GanzooError(f"{text} contains no saved model: neither it nor its model/ has a config.toml and manifest.json.")


def _weights_file(
    weights_argument, folder: Path | None, config: RunConfig, *, fetch: bool = False
) -> tuple[Path, str | None]:
    """(path, expected sha256 or None) of the weights that were asked for."""
    if weights_argument != "default":
        path = files.given_path(weights_argument)
        return _folder_weights(path) if path.is_dir() else (path, None)
    if folder is not None:
        return _folder_weights(folder)
    own = presets.read(config.name).presets.get(config.preset)
    record = own.weights if own else None
    if record is None:
        trained = [p for p, r in presets.read(config.name).presets.items() if r.weights]
        raise GanzooError(
            f"{config.full_name} has no published weights. With weights=None it starts from random ones."
            + (f" Presets with weights: {', '.join(trained)}." if trained else "")
        )
    if record.hub:
        return hub.published(config.full_name, record, fetch=fetch), record.sha256
    return ASSETS / record.file, record.sha256


def _manifest(folder: Path) -> dict:
    try:
        found = files.read_json(folder / "manifest.json")
        return found if isinstance(found, dict) else {}
    except GanzooError as error:
        raise GanzooError(f"{folder / 'manifest.json'} does not name a weights file and its sha256: {error}") from error


def _folder_weights(folder: Path) -> tuple[Path, str]:
    folder = model_folder(folder.absolute()) or folder
    try:
        manifest = _manifest(folder)
        return folder / Path(manifest["weights"]).name, str(manifest["sha256"])
    except (KeyError, TypeError) as error:
        raise GanzooError(
            f"{folder / 'manifest.json'} does not name a weights file and its sha256: {error}."
        ) from error
