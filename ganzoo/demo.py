"""The main job end to end, offline: load and sample the shipped models, fine-tune, export, reload elsewhere, compare."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ganzoo import __version__, data, exporting, presets, report, sampling, training, zoo
from ganzoo.data import bundled
from ganzoo.data.recipes.fluent_edges_128 import edges
from ganzoo.errors import GanzooError
from ganzoo.media import images
from ganzoo.training.monitors import spread

MARK = "demo.json"  # in a folder that a demo wrote: the next demo may replace it
STEPS = 240  # of the fine-tuning
CHOSEN_FROM = 24  # held-out pairs of which the best are shown
ROWS = 8  # pictures that are compared, and shown of each image model
BLOCK, ACROSS, CAPTION = 256, 4, 22  # pixels of a model's part of the overview, parts in a row, pixels of a caption
OTHERS = "emoji_64/noto"  # other pictures than those of any shipped image model of pairs
TOLERANCE = 1  # of 255, between the SavedModel's PNG and Keras

# Runs in a process of its own, which must not need ganzoo: that is what a SavedModel is for.
RELOAD = """
import json, pathlib, sys
import tensorflow as tf
folder = pathlib.Path(sys.argv[2])
request = json.loads((folder / "request.json").read_text())
inputs = {"seed": tf.constant(request["seeds"], tf.int64)}
if request["files"]:
    inputs["image_bytes"] = tf.constant([(folder / name).read_bytes() for name in request["files"]])
answer = tf.saved_model.load(sys.argv[1]).signatures["serving_default"](**inputs)
for i, png in enumerate(answer["image_bytes"].numpy()):
    (folder / f"answer{i}.png").write_bytes(png)
if "ganzoo" in sys.modules:
    sys.exit("the process imported ganzoo")
"""


class DemoFailure(RuntimeError):
    """The demo ran and its result is wrong: the message is a sentence for people."""


def shipped() -> list[str]:
    """ "paper/preset" of every preset whose weights are in this package."""
    return [
        f"{name}/{preset}"
        for name in presets.list_models()
        for preset, record in presets.read(name).presets.items()
        if record.weights and (zoo.ASSETS / record.weights.file).is_file()
    ]


def run_demo(
    out: str | Path,
    *,
    seed: int = 0,
    steps: int = STEPS,
    models: Sequence[str] | None = None,
    finetune: str = "pix2pix",
    exports: Sequence[str] = ("pix2pix", "dcgan"),
    tell: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Runs the demo into the folder `out` and returns what `out/demo.json` says; `out/index.html` shows it.

    Args:
      out: an empty or new folder, or one that an earlier demo wrote (it is replaced).
      seed: of all samples and of the fine-tuning.
      steps: of the fine-tuning, which is on other pictures than the model's own: emoji faces and their edges.
      models: what to load and sample, all shipped presets by default; names or saved folders.
      finetune: the image model to train on, `steps` steps.
      exports: what to export, reload in a fresh process and compare.
      tell: is called with a sentence before each part.
    Raises:
      GanzooError: `out` holds other files, or nothing is shipped.
      DemoFailure: a SavedModel does not load, or differs from Keras by more than 1/255.
    """
    models = shipped() if models is None else list(models)
    if not models:
        raise GanzooError("This installation has no trained weights to show; install ganzoo with its assets.")
    out = _prepare(Path(out))
    started = time.perf_counter()
    parts: dict[str, Any] = {"samples": [], "exports": []}
    blocks = []
    for name in models:
        tell(f"Load {name} and make pictures")
        found, block = show(name, out, seed)
        parts["samples"].append(found)
        blocks.append((found["model"], block))
    images.write_png(out / "samples" / "overview.png", overview(blocks))
    tell(f"Fine-tune {finetune} for {steps} steps on other pictures: emoji faces")
    parts["finetune"] = tune(finetune, out, steps, seed)
    for name in exports:
        tell(f"Export {name}, reload it in a fresh process, compare")
        parts["exports"].append(export_and_compare(name, out, seed))
    result = {
        "ganzoo": __version__,
        "seconds": round(time.perf_counter() - started, 1),
        "seed": seed,
        **parts,
        "page": str(out / "index.html"),
    }
    (out / MARK).write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    report.write_demo_page(result, out)
    wrong = [e for e in parts["exports"] if e["largest_difference"] > TOLERANCE]
    if wrong:
        listed = ", ".join(f"{e['model']} by {e['largest_difference']}/255" for e in wrong)
        raise DemoFailure(f"The reloaded SavedModel differs from Keras by more than {TOLERANCE}/255: {listed}.")
    return result


def _prepare(out: Path) -> Path:
    """The demo's folder, empty but for its mark; what an earlier demo left is removed."""
    if out.is_dir() and any(out.iterdir()):
        if not (out / MARK).is_file():
            raise GanzooError(f'The folder "{out}" holds other files; choose a new one for the demo.')
        for part in ("samples", "finetune", "export", "faces"):
            shutil.rmtree(out / part, ignore_errors=True)
        (out / "index.html").unlink(missing_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    (out / MARK).write_text("{}\n", "utf-8")
    return out


def show(name: str, out: Path, seed: int) -> tuple[dict[str, Any], np.ndarray]:
    """Loads a model and writes out/samples/<paper>-<preset>.png; an image model shows input, output and target.

    Returns the facts, and the model's part of the overview, uint8 (BLOCK, BLOCK, 3).
    """
    start = time.perf_counter()
    model = zoo.load(name)
    loaded = time.perf_counter()
    if type(model).task == "latent":
        samples, what = model.examples(64, seed), "64 samples"
        if model.makes == "voxels":
            samples = surest(model, samples)
            what = f"those {len(samples)} of 64 samples of which its D is surest that they are real"
        made = model.pictures(samples)
        sheet, block = images.grid(made), tiled(made)
    elif type(model).task == "text":
        config = model.run_config.data
        texts = data.open_source(config, config.test_split).sentences(ROWS)
        made = model.generate(texts, seed=seed, n_per_text=ROWS)
        sheet = images.grid(made, ROWS)
        fits = BLOCK // made.shape[1]  # of each sentence
        block = tiled(np.concatenate([made[i * ROWS : i * ROWS + fits] for i in range(min(fits, ROWS))]))
        what = "held-out sentences, a row of samples each"
    else:
        if model.run_config.data.shape == "paired":
            pairs = held_out(model, CHOSEN_FROM)
            made = sampling_of(model, pairs["input"], seed)
            best = np.argsort([error(*both) for both in zip(made, pairs["target"], strict=True)])[:ROWS]
            rows = [pairs["input"][best], made[best], pairs["target"][best]]
            what = f"inputs, outputs, originals: the best {len(best)} of {len(made)} held-out pairs"
        else:
            rows = sampling.translations(model, held_out(model, ROWS), seed)
            what = "held-out A, as B, back; B, as A, back"
            what = "held-out pictures with a hole, filled, as they are" if model.fills else what
            what = "held-out faces, as they are made again, at all ages" if model.changes_age else what
        sheet = pair_sheet(*rows)
        both = zip(*(images.to_channels(row, 3) for row in rows[:2]), strict=True)
        block = tiled(np.stack([picture for pair in both for picture in pair]))
    title = model.full_name
    file = out / "samples" / f"{title.replace('/', '-')}.png"
    images.write_png(file, sheet, sampling.png_text(model, seed))
    return {
        "model": title,
        "weights": model.weights_source,
        "what": what,
        "load_seconds": round(loaded - start, 2),
        "sample_seconds": round(time.perf_counter() - loaded, 2),
        "file": str(file.relative_to(out)),
    }, block


def surest(model: Any, samples: np.ndarray) -> np.ndarray:
    """The half of the samples, in their order, that the model's D takes for real with the largest logits."""
    logits = np.asarray(model.networks()["discriminator"](samples, training=False)).reshape(len(samples), -1)
    return samples[np.sort(np.argsort(-logits.mean(1))[: len(samples) // 2])]


def tiled(pictures: np.ndarray) -> np.ndarray:
    """As many pictures (n, H, W, C) as fit into uint8 (BLOCK, BLOCK, 3), an even number of them in a row. Larger ones
    are made smaller: four in a row."""
    columns = max(4, BLOCK // pictures.shape[1] // 2 * 2)
    side = BLOCK // columns
    cells = [images.fit_image(images.to_channels(picture, 3), side) for picture in pictures[: columns**2]]
    return images.fit_image(images.grid(cells, columns, pad=0), BLOCK, "pad")


def overview(blocks: Sequence[tuple[str, np.ndarray]]) -> np.ndarray:
    """Every model's part (BLOCK, BLOCK, 3), its name above it, as one picture."""
    gap, rows = 8, -(-len(blocks) // ACROSS)
    width, height = ACROSS * (BLOCK + gap) + gap, rows * (BLOCK + gap + CAPTION) + gap
    sheet = Image.new("RGB", (width, height), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for number, (name, block) in enumerate(blocks):
        left, top = gap + number % ACROSS * (BLOCK + gap), gap + number // ACROSS * (BLOCK + gap + CAPTION)
        draw.text((left, top + 2), name, "black", font)
        sheet.paste(Image.fromarray(block), (left, top + CAPTION))
    return np.asarray(sheet)


def faces(folder: Path) -> Path:
    """Pairs of pictures that no shipped model was trained on as pairs: Noto's emoji faces (B) and their edges (A)."""
    records, columns = bundled.bundled_records(OTHERS, "all", "images"), bundled.columns(OTHERS)
    kinds = columns["subgroup"].astype(str)
    for row in np.flatnonzero(
        np.char.startswith(kinds, "face-") & (kinds != "face-costume") & (kinds != "face-negative")
    ):
        (face,) = records.read(int(row), "crop")
        name = f"{columns['hexcode'][row]}.png"
        images.write_png(folder / "A" / name, edges(face))
        images.write_png(folder / "B" / name, face)
    return folder


def held_out(model: Any, n: int) -> dict[str, np.ndarray]:
    """`n` pairs (of two domains, pictures of each) that the model has not trained on, evenly over all of them, which may be in
    the order of what they show: uint8 (n, H, W, C)."""
    config = model.run_config.data
    return spread(data.open_source(config, config.test_split), n)


def sampling_of(model: Any, inputs: np.ndarray, seed: int) -> np.ndarray:
    """Each input through an image model on its own, as `ganzoo sample --input` does: uint8 (n, H, W, C)."""
    return np.stack([sampling.translate(model, picture, seed) for picture in inputs])


def pair_sheet(*rows: np.ndarray) -> np.ndarray:
    """Rows of pictures under each other, as one picture."""
    cells = [images.to_channels(picture, 3) for row in rows for picture in row]
    return images.grid(cells, columns=len(rows[0]))


def error(made: np.ndarray, wanted: np.ndarray) -> float:
    """Mean absolute error of uint8 pictures on a 0..1 scale."""
    return float(np.abs(made.astype(np.float64) - images.to_channels(wanted, made.shape[-1])).mean() / 255)


def tune(name: str, out: Path, steps: int, seed: int) -> dict[str, Any]:
    """Fine-tunes on emoji faces into out/finetune and measures L1 on held-out ones before and after."""
    before = zoo.load(name)
    if before.run_config.data.shape != "paired":
        raise GanzooError(f"The demo measures fine-tuning on pairs, and {before.full_name} has none.")
    start = time.perf_counter()
    result = training.train(
        name,
        out=out / "finetune",
        init="default",
        overrides={
            "data.source": str(faces(out / "faces")),
            "train.steps": steps,
            "train.seed": seed,
            "train.log_every": max(1, steps // 20),
            "train.sample_every": max(1, steps // 4),
            "train.checkpoint_every": 0,
            "train.health_every": 0,
        },
    )
    if result.stopped != "done":
        raise KeyboardInterrupt  # training has saved its state and returned; the demo stops with it
    seconds = time.perf_counter() - start
    after = zoo.load(out / "finetune")
    pairs = held_out(after, ROWS)  # of the tenth that a run keeps back of a folder
    made = [sampling_of(m, pairs["input"], seed) for m in (before, after)]
    file = out / "samples" / "finetune.png"
    images.write_png(file, pair_sheet(pairs["input"], *made, pairs["target"]))
    return {
        "model": before.full_name,
        "steps": steps,
        "seconds": round(seconds, 1),
        "pairs": len(pairs["input"]),
        "l1_before": round(error(made[0], pairs["target"]), 4),
        "l1_after": round(error(made[1], pairs["target"]), 4),
        "l1_of_copying": round(error(images.to_channels(pairs["input"], 3), pairs["target"]), 4),
        "file": str(file.relative_to(out)),
        "report": "finetune/report.html",
    }


def export_and_compare(name: str, out: Path, seed: int) -> dict[str, Any]:
    """Exports to out/export/<paper>-<preset>, calls it from a fresh process, compares with Keras picture by picture."""
    model = zoo.load(name)
    title = model.full_name
    start = time.perf_counter()
    path = Path(exporting.export(model, out / "export" / title.replace("/", "-")))
    exported = time.perf_counter()
    seeds = [seed + i for i in range(ROWS)]
    if type(model).task == "latent":
        inputs, expected = [], np.concatenate([model.generate(1, seed=s) for s in seeds])
    else:
        inputs = list(next(iter(held_out(model, ROWS).values())))  # of the model's first direction
        expected = np.concatenate([model.generate(x[None], seed=s) for x, s in zip(inputs, seeds, strict=True)])
    answer, seconds = call_fresh(path, seeds, inputs)
    sheet = out / "samples" / f"export-{title.replace('/', '-')}.png"
    images.write_png(sheet, pair_sheet(expected, answer))
    return {
        "model": title,
        "savedmodel": str(path.relative_to(out)),
        "megabytes": round(sum(f.stat().st_size for f in path.rglob("*") if f.is_file()) / 1e6, 1),
        "export_seconds": round(exported - start, 1),
        "reload_seconds": round(seconds, 1),
        "pictures": len(expected),
        "largest_difference": int(np.abs(answer.astype(int) - expected).max()),
        "file": str(sheet.relative_to(out)),
    }


def call_fresh(path: Path, seeds: Sequence[int], inputs: Sequence[np.ndarray] = ()) -> tuple[np.ndarray, float]:
    """`serving_default` of a SavedModel in a new process that imports only TensorFlow.

    Args:
      path: the folder with saved_model.pb.
      seeds: one for each row.
      inputs: uint8 pictures (h, w, c), one for each row of an image model; none for models that start from noise.
    Returns:
      The uint8 pictures (N, H, W, C), and the seconds of the whole process.
    Raises:
      DemoFailure: the process failed; the sentence ends with its last words.
    """
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        names = [f"input{i}.png" for i in range(len(inputs))]
        for file, picture in zip(names, inputs, strict=True):
            images.write_png(work / file, picture)
        (work / "request.json").write_text(json.dumps({"seeds": list(seeds), "files": names}))
        command = [sys.executable, "-c", RELOAD, os.path.realpath(path), folder]
        quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        done = subprocess.run(command, cwd=folder, env=quiet, capture_output=True, text=True, errors="replace")
        if done.returncode:
            words = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
            raise DemoFailure(f"A fresh process could not use the SavedModel {path}: {words}")
        answer = [images.read_image(work / f"answer{i}.png") for i in range(len(seeds))]
    return np.stack(answer), time.perf_counter() - start
