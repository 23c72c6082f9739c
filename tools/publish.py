"""Turns a finished run into the shipped weights of its preset; for maintainers, from a clone:

    python -m tools.publish runs/x --licence "MIT (Fashion-MNIST)" --attribution "..."
    python -m tools.publish --remeasure dcgan/fashion-32 gan/fashion-28     # shipped weights, no run
    GANZOO_DATA=DIR python -m tools.publish --remeasure dcgan/fashion-32 --metrics near-copies   # and only some metrics

Shipped numbers are measured on the bundled data, so that anyone's `ganzoo evaluate` gives them again; near-copies on the
full sets (GANZOO_DATA), because a copy may be one of a training picture that is not bundled.

It halves the weights to float16 if the outputs agree to 1e-2, puts them and the run's log under ganzoo/assets/weights,
measures the preset's metrics with floor and ceiling, writes the sheet of nearest training pictures under
ganzoo/assets/pictures/nearest, and `weights` and `results` into the preset's TOML. Cards and tables follow.
"""

import argparse
import json
import re
import shutil
import tomllib
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from ganzoo import evaluation, presets, zoo
from ganzoo import weights as weights_files
from ganzoo.base import BaseGAN
from ganzoo.errors import GanzooError
from ganzoo.files import write_bytes
from ganzoo.presets import metric_names
from ganzoo.runs.log import read_log

WITH_SHEET = ("near-copies", "voxel-iou", "hole-l1")  # metrics, of which the first measured one names the sheet
TOLERANCE = 1e-2  # of the range [-1, 1], between float32 and float16 weights (contracts: Weights)


def publish(run: str | Path, *, licence: str, attribution: str = "") -> Path:
    """Publishes the model of a run folder and returns the path of its weights.

    Raises:
        GanzooError: the folder contains no run, or float16 changes the outputs too much.
    """
    run = Path(run)
    model = _model_of(run.absolute())
    name = f"{model.paper}-{model.preset}"
    manifest = json.loads((run / "model" / "manifest.json").read_text("utf-8"))
    saved = zoo.save(model, run / "published", dtype="float16")
    halved = zoo.load(saved.absolute())
    error = float(np.abs(_probe(model) - _probe(halved)).max())
    if error > TOLERANCE:
        raise GanzooError(f"float16 changes the outputs of {name} by {error:.4f}, more than {TOLERANCE}.")

    path = zoo.ASSETS / f"{name}.safetensors"
    arrays, metadata = weights_files.parsed(weights_files.read_bytes(saved / "weights.safetensors"), saved)
    if model.bundled_keys:  # they are in the package once already
        arrays = {key: value for key, value in arrays.items() if not re.search(model.bundled_keys, key)}
    sha256 = weights_files.write(path, coarsened(arrays), metadata=metadata)
    shutil.copyfile(run / "log.jsonl", path.with_suffix(".log.jsonl"))
    weights = {"file": path.name, "sha256": sha256, "bytes": path.stat().st_size, "licence": licence}
    run_facts = {key: manifest[key] for key in ("steps", "images", "seed")} | {
        "hours": round(manifest["seconds"] / 3600, 2)
    }
    results = _measured(zoo.load(saved.absolute(), weights=path), run_facts)
    trained_on = manifest["data"]
    tail = [row["fooled"] for row in read_log(run / "log.jsonl").rows if "fooled" in row][-20:]
    if tail:  # a critic is never fooled
        note = f"share of fakes that D takes for real, last {len(tail)} log rows; trained on {trained_on['count']:,} images"
        fooled = round(float(np.mean(tail)), 3)
        results.append({"metric": "fooled_train", "value": fooled, "source": "measured", **run_facts, "note": note})
    _write_toml(model.paper, model.preset, weights | ({"attribution": attribution} if attribution else {}), results)
    return path


def _model_of(run: Path) -> BaseGAN:
    """The model of a run as its preset keeps it: where that has no average and the run had one, the average is the generator,
    since a file with both may be too large to ship."""
    averaged = zoo.load(run)
    if zoo.complete(presets.run_config(averaged.full_name)).model.get("ema_decay", 0.0) or not averaged.ema_decay:
        return averaged
    model, networks = zoo.load(run, ema_decay=0.0), averaged.networks()
    for name, network in model.networks().items():
        network.set_weights(networks.get(f"ema_{name}", network).get_weights())
    return model


def coarsened(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays of a float16 file; those that no sample is made of have 8 significant bits instead of 11, as bfloat16, so that they
    take a seventh less in the wheel: D, and a G that has an average. Only a fine-tuning starts from them."""
    averaged = {key.split("/")[0].removeprefix("ema_") for key in arrays if key.startswith("ema_")}

    def coarse(key: str, array: np.ndarray) -> np.ndarray:
        network = key.split("/")[0]
        if array.dtype != np.float16 or not (network.startswith("discriminator") or network in averaged):
            return array
        return array.astype(tf.bfloat16.as_numpy_dtype).astype(np.float16)

    return {key: coarse(key, array) for key, array in arrays.items()}


def remeasure(name: str, metrics: list[str] | None = None) -> None:
    """Measures the shipped weights of a preset again and writes the results into its TOML; no run is needed.

    What was counted while training ("fooled_train") and what a paper states stay as they are, and with `metrics` (of the
    preset's [eval]) the results of all others.

    Raises:
        GanzooError: the preset has no weights, or no measured result that tells of its training.
    """
    paper, preset = presets.resolve(name)
    record = presets.read(paper).presets[preset]
    trained = next((r for r in record.results if r.source == "measured" and r.steps), None)
    if record.weights is None or trained is None:
        raise GanzooError(f"{paper}/{preset} has no published weights and results; publish a run first.")
    facts = {key: getattr(trained, key) for key in ("steps", "images", "seed", "hours")}
    results = _measured(zoo.load(f"{paper}/{preset}"), facts, metrics)
    listed = [metric_names.parse_stem(stem).metric for stem in record.eval.metrics]
    replaced = {_key(r["metric"]) for r in results}
    twins = {_key(r.metric): r.pytorch for r in record.results if r.pytorch is not None}
    results = [r | {"pytorch": twins[_key(r["metric"])]} if _key(r["metric"]) in twins else r for r in results]

    def stays(result: presets.Result) -> bool:
        if result.source != "measured" or metric_names.parse(result.metric).metric == "fooled":
            return True
        return metrics is not None and _key(result.metric) not in replaced

    results += [r.model_dump() for r in record.results if stays(r)]
    results.sort(key=lambda r: _place(r["metric"], listed))
    _write_toml(paper, preset, record.weights.model_dump(exclude_defaults=True), results)


def _key(metric: str) -> str:
    """A protocol's name without counts and split: one result of each is in a TOML."""
    return metric_names.parse(metric).stem


def _place(metric: str, listed: list[str]) -> int:
    """The order of the preset's [eval]; what is not in it comes last."""
    base = evaluation.paper_metrics.base_name(metric_names.parse(metric).metric)
    return listed.index(base) if base in listed else len(listed)


def _measured(model: BaseGAN, run_facts: dict, metrics: list[str] | None = None) -> list[dict]:
    """The preset's metrics with both anchors, as `[[results]]`, and its nearest-neighbour sheet among the assets."""
    sheet = zoo.ASSETS.parent / "pictures" / "nearest" / f"{model.paper}-{model.preset}.png"
    drawn = sheet if metrics is None or any(m.startswith(WITH_SHEET) for m in metrics) else None
    results = []
    for r in evaluation.evaluate(model, metrics=metrics, anchors=True, sheet=drawn, progress=True):
        numbers = {key: float(f"{r[key]:.4g}") for key in ("value", "std", "full", "floor", "ceiling") if key in r}
        same = {key: r[key] for key in ("n_reference", "data_sha256", "extractor_sha256") if key in r}
        # Of two domains the sheet shows the first direction.
        first = metric_names.parse(r["metric"]).metric in WITH_SHEET and not any("sheet" in done for done in results)
        shown = {"sheet": f"pictures/nearest/{sheet.name}"} if first else {}
        facts = {"source": "measured", **run_facts, "note": r.get("note", "")}
        results.append({"metric": r["metric"], **numbers, **same, **shown, **facts})
    if drawn is not None:
        shrink(drawn)
    return results


def shrink(sheet: Path) -> None:
    """Writes a sheet anew with 256 colours, a third of its bytes, where that moves its pixels by less than 2 of 255 in the mean:
    drawings, and no photos."""
    with Image.open(sheet) as picture:
        whole = picture.convert("RGB")
    few = whole.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    if np.abs(np.asarray(few.convert("RGB"), np.int16) - np.asarray(whole)).mean() < 2:
        few.save(sheet, optimize=True)


def _probe(model: BaseGAN) -> np.ndarray:
    """Float outputs of one fixed batch."""
    function, signature = model.serving_signature()["tensors"]
    shapes = {key: [8, *(64 if side is None else side for side in spec.shape[1:])] for key, spec in signature.items()}
    inputs = {
        key: tf.range(8, dtype=tf.int64) % (model.classes or 8)
        if signature[key].dtype.is_integer  # seeds and labels
        else tf.random.stateless_uniform(shapes[key], [1, 2], -1.0, 1.0, signature[key].dtype)
        for key in signature
    }
    return next(iter(tf.function(function)(**inputs).values())).numpy()


def _write_toml(paper: str, preset: str, weights: dict, results: list[dict]) -> None:
    """Replaces the preset's weights and results, at the end of its tables; a file that would not read back is not written."""
    path = Path(str(presets.config_folder())) / f"{paper}.toml"
    lines, kept, own = path.read_text("utf-8").splitlines(), [], False
    last = 0
    for line in lines:
        if line.startswith("["):
            own = line.startswith((f"[presets.{preset}.weights]", f"[[presets.{preset}.results]]"))
        if own:
            continue
        kept.append(line)
        if line.strip() and _table_of(kept).startswith(f"[presets.{preset}"):
            last = len(kept)
    block = ["", f"[presets.{preset}.weights]", *presets.to_toml(weights).splitlines()]
    for result in results:
        ordered = presets.Result(**result).model_dump(exclude_defaults=True)
        block += ["", f"[[presets.{preset}.results]]", *presets.to_toml(ordered).splitlines()]
    text = "\n".join(kept[:last] + block + kept[last:]).rstrip() + "\n"
    presets.validate(presets.PaperFile, tomllib.loads(text), path.name)
    write_bytes(path, text.encode())


def _table_of(lines: list[str]) -> str:
    return next((line for line in reversed(lines) if line.startswith("[")), "")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?")
    parser.add_argument("--licence")
    parser.add_argument("--attribution", default="")
    parser.add_argument("--remeasure", nargs="+", metavar="PRESET")
    parser.add_argument("--metrics", help="with --remeasure: only these, by commas")
    arguments = parser.parse_args()
    if bool(arguments.run) == bool(arguments.remeasure) or (arguments.run and not arguments.licence):
        parser.error("give a run with its --licence, or --remeasure and presets")
    for name in arguments.remeasure or ():
        remeasure(name, arguments.metrics.split(",") if arguments.metrics else None)
    if arguments.run:
        publish(arguments.run, licence=arguments.licence, attribution=arguments.attribution)
