"""A folder that runs the model in a web page, without a server of ours: networks, tables of noise, runtime, page.

The page is that of `ganzoo serve`; only `static/backend.js` is another one, which runs the ONNX networks in the browser.
`python -m http.server` in the folder is enough to open it. No other host is contacted, then or later.
"""

import json
import os
import shutil
from pathlib import Path

from ganzoo.base import BaseGAN
from ganzoo.exporting import manifest, networks, runtime

FOLDER = "web"  # inside the exported version, beside its other formats
PAGE = Path(__file__).parents[1] / "serving" / "page"
BROWSER = Path(__file__).parent / "browser"
TASKS = {"latent": "generator", "image": "image", "text": "text"}
PICTURE = 64  # side that image tasks take if the model's preset names none


def write(model: BaseGAN, folder: Path) -> None:
    """Writes `folder/web`: index.html, static/, models.json, *.onnx, latents.bin or masks.bin, runtime/.

    Raises:
        GanzooError: a model that a page cannot run (text-to-image), or the runtime or the extra `web` is missing.
    """
    size = _picture_size(model)
    made = networks.networks(model, size)
    target = folder / FOLDER
    (target / "static").mkdir(parents=True)
    about = runtime.install(target / "runtime")
    for name, network in made.items():
        networks.write_onnx(network, target / f"{name}.onnx")
    table = _write_noise(model, size, target)
    described = {
        name: {"inputs": {key: [n or 1 for n in spec.shape] for key, spec in network.inputs.items()}}
        for name, network in made.items()
    }
    entry = _about(model, size) | {"runtime": about, "web": {"networks": described, **table}}
    (target / "models.json").write_text(json.dumps([entry], indent=1) + "\n", "utf-8")
    _write_page(target)


def _write_noise(model: BaseGAN, size: int, target: Path) -> dict:
    """Writes what stands for the seeds; how many there are, and how long a row of latents is."""
    if hasattr(model, "latents"):
        table = networks.latents(model)
        (target / "latents.bin").write_bytes(table.astype("<f4").tobytes())
        return {"seeds": len(table), "latents": table.shape[1]}
    if hasattr(model, "translator"):  # draws nothing
        return {"seeds": 1}
    table = networks.masks(model, size)
    (target / "masks.bin").write_bytes(table.tobytes())
    return {"seeds": len(table)}


def _about(model: BaseGAN, size: int) -> dict:
    """What the page shows of the model: an entry of the server's `/models.json`."""
    facts = manifest.describe(model)
    shape = hasattr(model, "voxels_of")
    return {
        "name": facts["model"],
        "version": "1",
        "model": facts["model"],
        "paper": facts["paper"],
        "title": facts["title"],
        "task": "shape" if shape else TASKS[model.task],
        "signatures": {
            name: {
                "inputs": {key: {"dtype": spec.dtype.name, "shape": spec.shape.as_list()} for key, spec in i.items()}
            }
            for name, (_, i) in model.serving_signature().items()
        },
        "licence": facts["licence"],
        "attribution": facts["attribution"],
        "image_size": size,
    }


def _picture_size(model: BaseGAN) -> int:
    """The side of the pictures that the model was trained on, as a multiple of its stride."""
    side = getattr(model, "image_size", None) or (model.run_config.data.size if model.run_config else PICTURE)
    stride = 2 ** getattr(model, "num_downs", 0)
    return -(-side // stride) * stride


def _write_page(target: Path) -> None:
    for file in PAGE.iterdir():
        shutil.copyfile(file, target / ("" if file.name == "index.html" else "static") / file.name)
    shutil.copyfile(BROWSER / "backend.js", target / "static" / "backend.js")
    for path in (target, *target.rglob("*")):  # whoever may read the export may read all of it
        os.chmod(path, 0o755 if path.is_dir() else 0o644)
