"""export: a trained model as files for programs that know neither Keras nor ganzoo. The contract: `export/README.md`."""

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ganzoo import files, presets, zoo
from ganzoo.base import BaseGAN
from ganzoo.errors import GanzooError, nearest
from ganzoo.exporting import divided, golden, litert, manifest, onnx, parity, portable, savedmodel, web

__all__ = ["FORMATS", "PARITY", "export", "load"]


@dataclass(frozen=True)
class Format:
    """How a format is written and asked. `folder` is in the export's; `precision` is that of the weights."""

    module: ModuleType
    folder: str
    precision: str = "float32"

    def write(self, model: BaseGAN, folder: Path) -> None:
        options = {"precision": self.precision} if self.module in (onnx, litert) else {}
        self.module.write(model, folder, **options)

    def asked(self, model: BaseGAN) -> dict[str, golden.Answers]:
        """Golden inputs of every endpoint that the format holds, and what Keras answers."""
        if self.module is web:
            return web.golden_answers(model)
        return golden.serving(model) if self.module is savedmodel else golden.portable(model)


VERSION = "1"  # TensorFlow Serving reads DIR/<number>
FORMATS = {"savedmodel": Format(savedmodel, VERSION), "web": Format(web, "web")} | {
    name: Format(module, name, precision)
    for module, family in ((onnx, "onnx"), (litert, "litert"))
    for precision in portable.PRECISIONS
    for name in [family if precision == "float32" else f"{family}-{precision}"]
}
PARITY = "parity.json"


def export(
    model_or_name: BaseGAN | str | Path,
    directory: str | Path,
    *,
    formats: Sequence[str] = ("savedmodel",),
    allow_random: bool = False,
) -> Path:
    """Writes `directory/1`, a SavedModel that a process with TensorFlow alone loads and calls, and other formats besides it.

    It offers what the model's `serving_signature()` lists: `serving_default` (seeds, or encoded pictures and seeds, to
    PNG bytes) and `tensors` (floats to floats). It holds the variables of the sampling network only, and a request
    changes none of them. `1/assets.extra/manifest.json` says which model and weights it is, and their licence. Other formats
    hold the endpoints of floats, a file each, in `directory/<format>/` with a manifest of their own.

    Every format answers golden inputs, and `directory/parity.json` says how far its answers are from Keras'. Over the
    tolerance nothing is written. Each folder appears whole or not at all. An earlier export of the same paper in its place is
    replaced.

    Args:
        model_or_name: a loaded model, or a name or folder for `ganzoo.load`.
        directory: made if it does not exist.
        formats: some of "savedmodel", "onnx", "onnx-float16", "onnx-int8" (extra `onnx`), "litert", "litert-float16",
            "litert-int8" (extra `litert`); float16 and int8 are how weights are stored. "web" (extra `onnx`, npm) is a page
            that runs the model in the browser.
        allow_random: export untrained weights too. A preset's name without published weights then gives random ones.

    Returns:
        The path of `directory/1`; without a SavedModel that of the first format's folder.

    Raises:
        GanzooError: untrained weights, an unknown model or format, something else at the place of a folder, a missing extra,
            or a format that answers otherwise than Keras.
    """
    formats = [formats] if isinstance(formats, str) else list(dict.fromkeys(formats))
    if not formats:
        raise GanzooError(f"formats names no format. Accepted: {', '.join(FORMATS)}.")
    for name in formats:
        if name not in FORMATS:
            raise GanzooError(f'There is no export format "{name}".{nearest(name, FORMATS)}')
    model = model_or_name if isinstance(model_or_name, BaseGAN) else load(model_or_name, allow_random)
    if model.weights_source == "random" and not allow_random:
        raise GanzooError(
            f"This {model.paper} model was built with random weights, and its pictures would be noise. If you have "
            "trained it since, save it with ganzoo.save(model, FOLDER) and export FOLDER; to export it as it is, say "
            "allow_random=True (--allow-random)."
        )
    directory = Path(directory)
    targets = {name: directory / FORMATS[name].folder for name in formats}
    for target in targets.values():
        _refuse_foreign(target, model)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".export-", dir=directory) as scratch:
            # Folders inside it: a temporary folder itself is private to its owner.
            asked: dict[ModuleType, dict] = {}  # by the module of a format: each asks the same of all its precisions
            found = {name: _write(model, name, Path(scratch) / name, asked) for name in formats}
            for name, target in targets.items():
                _put(Path(scratch) / name, target, Path(scratch) / f"replaced-{name}")
            _certify(directory, model, found, Path(scratch) / PARITY)
    except OSError as error:
        raise GanzooError(f"Cannot write {directory}: {error.strerror or error}.") from error
    return targets.get("savedmodel", targets[formats[0]])


def _write(model: BaseGAN, name: str, folder: Path, asked: dict[ModuleType, dict]) -> dict:
    """Writes one format with its manifest, and asks it the golden inputs: its part of parity.json."""
    form = FORMATS[name]
    form.write(model, folder)
    around = model.serving_around() if name == divided.FORMAT else None
    if around is not None:
        divided.write(around, folder)
    whole = form.module is savedmodel
    answers = asked[form.module] = asked.get(form.module) or form.asked(model)
    endpoints = {
        endpoint: parity.compare(
            sides["outputs"], form.module.answers(folder, endpoint, sides["inputs"]), form.precision
        )
        for endpoint, sides in answers.items()
    }
    parity.check(name, endpoints)
    served = {} if around is None else {"serving_default": divided.certificate(model, folder)}
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    manifest.write(folder, model, whole=whole)
    if whole:
        np.savez(folder / golden.FILE, **dict[str, Any](golden.flat(answers)))
    return {"bytes": size, "endpoints": endpoints} | served


def _certify(directory: Path, model: BaseGAN, found: dict[str, dict], scratch: Path) -> None:
    """Writes parity.json: of this export, and of earlier ones of the same weights whose folders still stand."""
    about = manifest.describe(model)
    facts = {key: about[key] for key in ("ganzoo", "model", "weights_source", "weights_sha256", "versions")}
    try:
        before = files.read_json(directory / PARITY)
    except GanzooError:
        before = {}
    before = before if isinstance(before, dict) else {}
    kept = before.get("formats", {}) if before.get("weights_sha256") == facts["weights_sha256"] else {}
    formats = {
        name: part for name, part in kept.items() if name in FORMATS and (directory / FORMATS[name].folder).is_dir()
    }
    scratch.write_text(json.dumps(facts | {"formats": formats | found}, indent=1) + "\n", "utf-8")
    os.replace(scratch, directory / PARITY)


def load(name: str | Path, allow_random: bool = False) -> BaseGAN:
    """The model that `export` takes for a name or a folder: with its weights, or, if that is allowed and a preset has none, random.

    Raises:
        GanzooError: no such model.
    """
    if not isinstance(name, str | Path):
        raise GanzooError(f"export takes a ganzoo model, a name or a folder; received {type(name).__name__}.")
    if allow_random and zoo.model_folder(name) is None:
        paper, preset = presets.resolve(str(name))
        if presets.read(paper).presets[preset].weights is None:
            return zoo.load(name, weights=None)
    return zoo.load(name)


def _refuse_foreign(target: Path, model: BaseGAN) -> None:
    """Refuses to replace anything but an earlier export of the same paper: a server may be reading it."""
    if not os.path.lexists(target):
        return
    found = manifest.read(target)
    if found is None:
        raise GanzooError(f"{target} exists and is not an export of ganzoo; choose another folder.")
    if found["paper"] != model.paper:
        raise GanzooError(f"{target} is an export of {found['model']}, not of {model.paper}; choose another folder.")


def _put(fresh: Path, target: Path, aside: Path) -> None:
    """Renames `fresh` to `target`; what stood there goes to `aside`, and comes back if the rename fails."""
    replaces = target.exists()
    if replaces:
        os.rename(target, aside)
    try:
        os.rename(fresh, target)
    except OSError:
        if replaces:
            os.rename(aside, target)
        raise
