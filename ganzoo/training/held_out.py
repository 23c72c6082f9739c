"""What a run has learned, on pairs that it was not trained on: compared with input and target, and compared with copying the input."""

import json

import numpy as np

from ganzoo import files, metrics, sampling
from ganzoo.media import images
from ganzoo.training.settle import Run

FILE, PICTURE = "held_out.json", "held_out.png"
MEASURED, SHOWN = 64, 8  # pairs, at most


def kind(run: Run) -> str:
    """What the sample grids are made from: "noise", "held-out" items, or "training" ones where none is held back."""
    if run.model.task == "latent":
        return "noise"
    return "training" if run.held_out is run.source else "held-out"


def write(run: Run) -> None:
    """Of a model of pairs: their picture (inputs, outputs, targets) and the mean absolute errors of output and input."""
    if run.config.data.shape != "paired":
        return
    pairs, seed = run.held_out.take(MEASURED), run.config.train.seed
    made = np.concatenate([run.model.generate(one[None], seed=seed) for one in pairs["input"]])
    copied = images.to_channels(pairs["input"], pairs["target"].shape[-1])
    facts = {
        "pairs": kind(run),
        "count": len(run.held_out),
        "measured": len(made),
        "l1": round(metrics.l1(pairs["target"], made), 6),
        "l1_copy": round(metrics.l1(pairs["target"], copied), 6),
    }
    rows = [pairs["input"][:SHOWN], made[:SHOWN], pairs["target"][:SHOWN]]
    cells = [images.to_channels(picture, 3) for row in rows for picture in row]
    images.write_png(run.out / PICTURE, images.grid(cells, len(rows[0])), sampling.png_text(run.model, seed))
    files.write_bytes(run.out / FILE, (json.dumps(facts, indent=1) + "\n").encode())
