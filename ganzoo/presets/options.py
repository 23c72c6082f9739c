"""The options of a run: of a preset, of a TOML file, and what a user sets besides them."""

from pathlib import Path
from typing import Any

from ganzoo.errors import GanzooError, nearest
from ganzoo.files import parse_toml, read_text, shown
from ganzoo.presets import trust
from ganzoo.presets.catalogue import find_paper, read, resolve
from ganzoo.presets.records import DataConfig, RunConfig, TrainConfig, fields_at, validate
from ganzoo.presets.toml import to_toml


# ---- run configurations ----------------------------------------------------------------------------------------------
def run_config(source: str | Path | RunConfig, overrides: dict[str, Any] | None = None) -> RunConfig:
    """Options of a run from "paper/preset", from a TOML file (own, with `extends`, or a resolved one), or as they are.

    Args:
        overrides: dotted keys and values, `{"train.batch_size": 32}`; the tables are model, data and train. Another
            `data.source` also takes the splits back to "train" and "test", unless they are given too.

    Raises:
        GanzooError: unknown name or key (with the nearest), wrong type, unreadable file, or one that names code to load
            without the user's word (`ganzoo.presets.trust`).
    """
    if isinstance(source, RunConfig):
        tables = source.model_dump(exclude_none=True)
    elif Path(source).suffix == ".toml":
        tables = _from_file(Path(source))
    else:
        tables = _from_preset(str(source))
    overrides = overrides or {}
    if not isinstance(source, RunConfig):
        typed = {key.removeprefix("model.") for key in overrides}
        table = tables.get("model")
        own = table if isinstance(table, dict) else {}
        trust.check({"model": {key: value for key, value in own.items() if key not in typed}}, shown(source))
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
    """Another source has its own splits: the preset's ("train+novel") go back to "train" and "test". Of unpaired data it holds
    both domains, unless `source_b` is given too."""
    data = tables.get("data", {})
    if source is not None and source != data.get("source"):
        data.pop("split", None)
        data.pop("test_split", None)
        data.pop("val_split", None)
        data.pop("source_b", None)


def _merge(base: dict, own: dict) -> dict:
    return base | {k: _merge(base[k], v) if isinstance(v, dict) and isinstance(base.get(k), dict) else v
                   for k, v in own.items()}  # fmt: skip


def _set(tables: dict, key: str, value: Any) -> None:
    *path, last = key.split(".")
    if not path:
        # A bare key is looked up in train and data: `steps=100`.
        homes = [t for t, record in (("train", TrainConfig), ("data", DataConfig)) if last in record.model_fields]
        if not homes:
            options = [*TrainConfig.model_fields, *DataConfig.model_fields]
            raise GanzooError(f'Unknown option "{key}".{nearest(key, options)}')
        path = homes[:1]
    node = tables
    for depth, part in enumerate(path):
        tables_here = {*node, *fields_at(RunConfig, path[:depth])}
        if part not in tables_here:
            raise GanzooError(f'Unknown option "{key}": there is no table "{part}".{nearest(part, tables_here)}')
        node = node.setdefault(part, {})
        if not isinstance(node, dict):
            raise GanzooError(f'Unknown option "{key}": {part} is a value, not a table.')
    node[last] = value


def config_toml(config: RunConfig) -> str:
    """The text of a `config.toml`."""
    return to_toml(config.model_dump(exclude_none=True))


def from_toml(text: str, where: str) -> RunConfig:
    """The options of `config_toml`. Raises GanzooError for another text; `where` is what the sentence calls it."""
    return validate(RunConfig, parse_toml(text, where), where)
