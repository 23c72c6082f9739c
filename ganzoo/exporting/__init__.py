"""export: a trained model as files for programs that know neither Keras nor ganzoo. The contract: `export/README.md`."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ganzoo import presets, zoo
from ganzoo.base import BaseGAN
from ganzoo.errors import GanzooError, nearest
from ganzoo.exporting import manifest, savedmodel, web

__all__ = ["FORMATS", "export"]

FORMATS = {"savedmodel": savedmodel.write, "web": web.write}  # name -> function(model, new folder)
VERSION = "1"  # TensorFlow Serving reads DIR/<number>


def export(
    model_or_name: BaseGAN | str | Path,
    directory: str | Path,
    *,
    formats: Sequence[str] = ("savedmodel",),
    allow_random: bool = False,
) -> Path:
    """Writes `directory/1`, a SavedModel that a process with TensorFlow alone loads and calls.

    It offers what the model's `serving_signature()` lists: `serving_default` (seeds, or encoded pictures and seeds, to
    PNG bytes) and `tensors` (floats to floats). It holds the variables of the sampling network only, and a request
    changes none of them. `1/assets.extra/manifest.json` says which model and weights it is, and their licence.

    The folder appears whole or not at all. An earlier export of the same paper in its place is replaced.

    Args:
        model_or_name: a loaded model, or a name or folder for `ganzoo.load`.
        directory: made if it does not exist.
        formats: "savedmodel"; "web" is a page that runs the model in the browser, in `directory/1/web`.
        allow_random: export untrained weights too. A preset's name without published weights then gives random ones.

    Returns:
        The path of `directory/1`.

    Raises:
        GanzooError: untrained weights, an unknown model or format, or something else at `directory/1`.
    """
    formats = [formats] if isinstance(formats, str) else list(formats)
    if not formats:
        raise GanzooError(f"formats names no format. Accepted: {', '.join(FORMATS)}.")
    for name in formats:
        if name not in FORMATS:
            raise GanzooError(f'There is no export format "{name}".{nearest(name, FORMATS)}')
    model = model_or_name if isinstance(model_or_name, BaseGAN) else _load(model_or_name, allow_random)
    if model.weights_source == "random" and not allow_random:
        raise GanzooError(
            f"This {model.paper} model was built with random weights, and its pictures would be noise. If you have "
            "trained it since, save it with ganzoo.save(model, FOLDER) and export FOLDER; to export it as it is, say "
            "allow_random=True (--allow-random)."
        )
    target = Path(directory) / VERSION
    _refuse_foreign(target, model)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".export-", dir=target.parent) as scratch:
            fresh = Path(scratch) / VERSION  # a folder inside it: a temporary folder itself is private to its owner
            for name in formats:
                FORMATS[name](model, fresh)
            manifest.write(fresh, model)
            _put(fresh, target, Path(scratch) / "replaced")
    except OSError as error:
        raise GanzooError(f"Cannot write {target}: {error.strerror or error}.") from error
    return target


def _load(name: str | Path, allow_random: bool) -> BaseGAN:
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
        raise GanzooError(f"{target} exists and is no export of ganzoo; choose another folder.")
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
