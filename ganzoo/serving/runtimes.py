"""Which runtime computes the networks that are served: TensorFlow, or ONNX Runtime where its answers are the same.

ONNX Runtime answers a single request of a small network sooner. It rounds otherwise, so each model is asked first: by the
export, whose `parity.json` says so, and again when the server starts, on the processor that will answer.
"""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf

from ganzoo import exporting, files
from ganzoo.base import BaseGAN
from ganzoo.errors import GanzooError, first_line, missing_extra, nearest
from ganzoo.exporting import divided, golden, manifest, onnx
from ganzoo.exporting.divided import Arrays, Divided

RUNTIMES = ("auto", "tensorflow", "onnx")
# By how many of 255 steps a value may differ from TensorFlow's: by none, or, where ONNX Runtime is asked for by name, by the one by
# which TensorFlow's own answers may differ in a shared call.
STEPS = {"auto": 0, "onnx": 1}
# Bytes of weights up to which "auto" converts when the server starts: tf2onnx takes some 70 times as many for a while.
SMALL = 8 * 2**20
WRITES_IT = "ganzoo export MODEL -o DIR --to savedmodel,onnx writes what DIR is served from."
ALONE = 8  # calls of one row that are compared at the start, besides one of each number of rows


def check(runtime: str) -> None:
    """Raises GanzooError for the name of no runtime, and for "onnx" where the extra is missing."""
    if runtime not in RUNTIMES:
        raise GanzooError(f'There is no runtime "{runtime}".{nearest(runtime, RUNTIMES)}')
    if runtime == "onnx":
        onnx.runtime()


def export(model: BaseGAN, folder: Path, runtime: str, *, allow_random: bool) -> tuple[Path, str]:
    """(folder/1, why the model was not exported for ONNX Runtime as well; "" if it was, or was not asked for).

    Raises:
        GanzooError: random weights, or with the runtime "onnx" whatever keeps a model from it.
    """
    why = "" if runtime == "tensorflow" else _unfit(model)
    if runtime == "auto" and not why and 4 * model.sampler.count_params() > SMALL:
        why = f"its weights are more than {SMALL / 2**20:.0f} MiB, which take long to convert. {WRITES_IT}"
    if runtime == "onnx" and why:
        raise GanzooError(f"{model.full_name} cannot be served by ONNX Runtime: {why}")
    if runtime != "tensorflow" and not why:
        try:
            return exporting.export(model, folder, formats=("savedmodel", "onnx"), allow_random=allow_random), ""
        except GanzooError as error:
            if runtime == "onnx":
                raise
            why = str(error)
    return exporting.export(model, folder, allow_random=allow_random), why


def _unfit(model: BaseGAN) -> str:
    """What keeps a model from ONNX Runtime before anything is exported."""
    if model.serving_around() is None:
        return f"what {model.paper} does to pictures of any size, or draws inside its network, is not in ONNX."
    for package in ("tf2onnx", "onnxruntime"):
        if importlib.util.find_spec(package) is None:
            return str(missing_extra(package, "onnx"))
    try:
        onnx.check_size(model)
    except GanzooError as error:
        return str(error)
    return ""


def beside(
    folder: Path, whole: Callable[[Arrays], Arrays], runtime: str, *, fresh: bool = False
) -> tuple[Divided | None, str]:
    """(`serving_default` of the ONNX export beside the SavedModel in `folder`, "") or (None, why TensorFlow answers it); without such an export and
    in `auto` nothing need be said.

    Args:
        whole: `serving_default` of the SavedModel, arrays to arrays.
        fresh: the export was made by this process, and what its certificate says holds here.

    Raises:
        GanzooError: with the runtime "onnx", why it is TensorFlow's.
    """
    source = folder.parent / divided.FORMAT
    missing = "" if (source / divided.FOLDER).is_dir() else f"{source / divided.FOLDER} is not there. {WRITES_IT}"
    if runtime == "tensorflow" or (runtime == "auto" and missing):
        return None, ""
    why = missing or _certified(folder, source, STEPS[runtime])
    found, why = (None, why) if why else _asked(folder, source, None if fresh else whole, STEPS[runtime])
    if runtime == "onnx" and found is None:
        raise GanzooError(f"{folder} cannot be served by ONNX Runtime: {why}")
    return found, why


def _asked(
    folder: Path, source: Path, whole: Callable[[Arrays], Arrays] | None, steps: int
) -> tuple[Divided | None, str]:
    """The ONNX export loaded, and asked what `whole` is asked, if that is given."""
    try:
        candidate = Divided(source)
        if whole is None:
            return candidate, ""
        found = divided.compare(whole, candidate, golden.inputs_of(folder, divided.ENDPOINT), ALONE)
    except (
        GanzooError,
        OSError,
        ValueError,
        KeyError,
        TypeError,
        RuntimeError,
        MemoryError,
        tf.errors.OpError,
    ) as error:
        reason = first_line(error)
        return None, f"{source} cannot be used: {reason}"
    return (candidate, "") if found["steps"] <= steps else (None, _apart(found, "on this machine "))


def _certified(folder: Path, source: Path, steps: int) -> str:
    """What speaks against the ONNX export in the files themselves: weights of another model, or other answers."""
    parity = folder.parent / exporting.PARITY
    try:
        certificate = files.read_json(parity)
        facts = certificate["formats"][divided.FORMAT][divided.ENDPOINT]
        weights = [
            certificate["weights_sha256"],
            *((manifest.read(f) or {})["weights_sha256"] for f in (folder, source)),
        ]
        if len(set(weights)) > 1:
            return f"{folder} and {source} are not of the same weights."
        return "" if facts["steps"] <= steps else _apart(facts)
    except (GanzooError, KeyError, TypeError, ValueError):
        return f"{parity} says nothing of {divided.ENDPOINT} in ONNX Runtime; export the model again."


def _apart(found: dict[str, Any], where: str = "") -> str:
    differ = f"{where}{found['differing']:.2g} of its pictures' values differ from TensorFlow's, by at most {found['steps']} of 255"
    return f"{differ}; --runtime onnx takes it as it is." if found["steps"] <= STEPS["onnx"] else f"{differ}."
