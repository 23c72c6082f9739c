"""How a picture came about: the command that wrote it, and what of versions and machine decides its bytes.

Verbs that write pictures are marked with `recorded`; while one runs, `sampling.png_text` puts `chunk()` next to model, weights
and seed into each file. Of grids and animations a sidecar, `grid.png.replay.json`, holds the same and the file's sha256, so
that a copy that lost its text can still be made again (`ganzoo replay`).
"""

import contextvars
import dataclasses
import functools
import hashlib
import importlib.metadata
import inspect
import json
import os
import platform
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ganzoo import __version__, files

KEY = "replay"  # of the text chunk
FORMAT = "ganzoo replay 1"
SUFFIX = ".replay.json"
OUTPUTS = ("out", "gif")  # arguments of the verbs that name a picture or a film to write
# What does not say how a picture looks; an input is told by name and hash.
SILENT = {*OUTPUTS, "mesh", "curve", "input", "as_json"}
VERBS: list[str] = []  # those that are marked with `recorded`
PACKAGES = ("tensorflow", "keras", "numpy", "pillow")


@dataclasses.dataclass
class Recipe:
    """A running verb: its words, its arguments other than the defaults, and the text that its pictures carry."""

    verb: str
    arguments: dict[str, Any]
    text: dict[str, str] = dataclasses.field(default_factory=dict)


_running: contextvars.ContextVar[Recipe | None] = contextvars.ContextVar("running", default=None)


def recorded(verb: str) -> Callable[[Callable], Callable]:
    """Marks a verb of the command line ("sample", "explore walk"): its pictures can be made again."""
    VERBS.append(verb)

    def mark(function: Callable) -> Callable:
        defaults = {name: p.default for name, p in inspect.signature(function).parameters.items()}

        @functools.wraps(function)
        def run(**given: Any) -> Any:
            said = {k: v for k, v in given.items() if k not in SILENT and v != defaults[k] and v not in (None, [])}
            recipe = Recipe(verb, files.parse_json(json.dumps(said, default=str), f"the options of {verb}"))
            token = _running.set(recipe)
            try:
                result = function(**given)
            finally:
                _running.reset(token)
            for role in OUTPUTS:
                path = given.get(role)
                if (
                    recipe.text
                    and path is not None
                    and Path(path).is_file()
                    and not _says_all(path, given.get("input"))
                ):
                    _write_sidecar(Path(path), role, recipe)
            return result

        return run

    return mark


def chunk(facts: Mapping[str, str]) -> dict[str, str]:
    """What a picture that carries `facts` also carries: the recipe of the running verb as JSON; {} in your own Python."""
    recipe = _running.get()
    if recipe is None:
        return {}
    value = {"verb": recipe.verb, "arguments": recipe.arguments, "versions": versions(), "machine": machine()}
    recipe.text = dict(facts) | {KEY: json.dumps(value, sort_keys=True)}
    return {KEY: recipe.text[KEY]}


def input_facts(source: str | os.PathLike) -> dict[str, str]:
    """What a picture says of the picture that it was made from: its name without the folder, and its sha256."""
    return {"input": Path(source).name, "input_sha256": hashlib.sha256(files.read_bytes(source)).hexdigest()}


def sidecar(path: Path) -> Path:
    """Where the sidecar of a picture stands."""
    return path.with_name(f"{path.name}{SUFFIX}")


def versions() -> dict[str, str]:
    """Versions of what computes and writes pictures."""
    return {"ganzoo": __version__, **{name: importlib.metadata.version(name) for name in PACKAGES}}


def machine() -> dict[str, str]:
    """Of this machine what may change the last bit of a float: processor, devices, oneDNN."""
    found = {"system": f"{platform.system()} {platform.machine()}", "processor": _processor()}
    found["onednn"] = os.environ.get("TF_ENABLE_ONEDNN_OPTS", "")
    if tensorflow := sys.modules.get("tensorflow"):
        gpus = tensorflow.config.list_physical_devices("GPU")
        names = [tensorflow.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]
        found["devices"] = ", ".join(names) or "cpu"
    return found


@functools.cache
def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _says_all(path: Any, source: Any) -> bool:
    """Whether a PNG of one input, which is not a grid: its own text is enough."""
    return Path(path).suffix.lower() == ".png" and source is not None and Path(source).is_file()


def _write_sidecar(path: Path, role: str, recipe: Recipe) -> None:
    value: dict[str, Any] = {
        "format": FORMAT,
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "role": role,
    }
    value |= {"text": recipe.text}
    files.write_bytes(sidecar(path), (json.dumps(value, indent=1) + "\n").encode())
