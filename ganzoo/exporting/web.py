"""A folder that runs the model in a web page, without a server of ours: networks, tables of noise, runtime, page.

The page is that of `ganzoo serve`; only `static/backend.js` is another one (with its helpers), which runs the ONNX networks in the browser.
`python -m http.server` in the folder is enough to open it. No other host is contacted, then or later.
"""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import tensorflow as tf

from ganzoo import page
from ganzoo.base import BaseGAN
from ganzoo.exporting import golden, manifest, networks, onnx, portable, runtime

TASKS = {"latent": "generator", "image": "image", "text": "text"}


def write(model: BaseGAN, folder: Path) -> None:
    """Writes the new folder: index.html, static/, models.json, *.onnx, latents.bin or masks.bin, of a model with attributes
    kept.bin and draws.bin, runtime/.

    Raises:
        GanzooError: a model that a page cannot run, or the runtime or the extra `onnx` is missing.
    """
    onnx.check_size(model)
    size, target = _picture_size(model), folder
    made = networks.networks(model, size)
    (target / "static").mkdir(parents=True)
    about = runtime.install(target / "runtime")
    for name, (function, inputs) in made.items():
        proto = onnx.convert(portable.freeze(function, inputs))
        (target / f"{name}.onnx").write_bytes(proto.SerializeToString(deterministic=True))
    table = _write_noise(model, size, target)
    described = {
        name: {"inputs": {key: [n or 1 for n in spec.shape] for key, spec in inputs.items()}}
        for name, (_, inputs) in made.items()
    }
    if model.fills:
        table |= {"hole": model.hole}
    if "encode" in made:
        table |= {"alphabet": model.alphabet, "text_length": model.text_length}
    entry = _about(model, size) | {"notice": about, "web": {"networks": described, **table}}
    (target / "models.json").write_text(json.dumps([entry], indent=1) + "\n", "utf-8")
    _write_page(target)


def golden_answers(model: BaseGAN) -> dict[str, golden.Answers]:
    """Inputs of seed 0 for each network of the page, and what the model's own endpoints make of that seed."""
    size, found = _picture_size(model), {}
    endpoints = model.portable_signature() | model.serving_signature()
    drawn = {key: rows[:1].astype(np.float32) for key, rows in networks.noise(model, size).items()}
    for name, (_, inputs) in networks.networks(model, size).items():
        own = name if name == "encode" else f"{name}_tensors"
        function, specs = endpoints[own if own in endpoints else "tensors"]
        known = {"seed": np.zeros([1], np.int64)} | drawn
        if "class_weights" in inputs:
            known["class_weights"] = golden.rows_for(model, name, "class_weights", inputs["class_weights"])[:1]
        for key, spec in specs.items():
            if key == "images":
                known[key] = golden.floats(model, name, size, spec.shape[-1])[:1]
            elif key not in known:
                known[key] = golden.rows_for(model, name, key, spec)[:1]
        made = function(**{key: tf.constant(known[key]) for key in specs})
        outputs = {key: value.numpy() for key, value in made.items()}
        found[name] = {"inputs": {key: known[key] for key in inputs}, "outputs": outputs}
    return found


answers = onnx.answers  # ONNX Runtime in Python stands for that of the browser, which the tests ask


def _write_noise(model: BaseGAN, size: int, target: Path) -> dict:
    """Writes what stands for the seeds; how many there are, and how long a row of latents is."""
    drawn = networks.noise(model, size)
    if not drawn:
        return {"seeds": 1}
    if "latents" in drawn:
        table = drawn["latents"]
        (target / "latents.bin").write_bytes(table.astype("<f4").tobytes())
        if model.attributes:  # the page completes what is asked as `ganzoo.base.attributes.completed` does
            drawn = model.attribute_draws(tf.constant(table))
            (target / "draws.bin").write_bytes(drawn.numpy().astype("<i4").tobytes())
            (target / "kept.bin").write_bytes(model.kept_rows.numpy().astype(np.uint8).tobytes())
        return {"seeds": len(table), "latents": table.shape[1]}
    table = np.concatenate([rows.reshape(len(rows), -1) for rows in drawn.values()], axis=1)
    (target / "masks.bin").write_bytes(table.astype(np.uint8).tobytes())
    return {"seeds": len(table)}


def _about(model: BaseGAN, size: int) -> dict:
    """What the page shows of the model: an entry of the server's `/models.json`."""
    facts = manifest.describe(model)
    return {
        "name": facts["model"],
        "version": "1",
        "model": facts["model"],
        "paper": facts["paper"],
        "title": facts["title"],
        "expects": facts["expects"],
        "classes": facts["classes"],
        "task": "shape" if model.makes == "voxels" else "hole" if model.fills else TASKS[model.task],
        "signatures": {
            name: {
                "inputs": {key: {"dtype": spec.dtype.name, "shape": spec.shape.as_list()} for key, spec in i.items()}
            }
            for name, (_, i) in model.serving_signature().items()
        },
        "licence": facts["licence"],
        "attribution": facts["attribution"],
        "image_size": size,
        **({"attributes": facts["attributes"]} if model.attributes else {}),
        **({"crops": True} if model.crops else {}),
    }


def _picture_size(model: BaseGAN) -> int:
    """The side of the pictures that the model was built for or trained on; for any size as a multiple of its stride."""
    return model.image_size or -(-manifest.image_size(model) // model.stride) * model.stride


def _write_page(target: Path) -> None:
    for file in page.files():
        shutil.copyfile(file, target / ("" if file.name == "index.html" else "static") / file.name)
    for file in sorted(page.BROWSER.glob("*.js")):
        shutil.copyfile(file, target / "static" / file.name)
    for path in (target, *target.rglob("*")):  # whoever may read the export may read all of it
        os.chmod(path, 0o755 if path.is_dir() else 0o644)
