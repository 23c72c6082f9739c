"""The zoo in a small form, for what is about its commands and not about its pictures: every paper's presets with the paper's own small
arguments (`Checks.small`), random weights in the place of the trained ones, and folders of a few pictures as data."""

from pathlib import Path

import numpy as np

from ganzoo import presets, weights, zoo
from ganzoo.doctor.small import checks
from ganzoo.media import images
from ganzoo.presets import catalogue

PACE = {"batch_size": 4, "steps": 2, "log_every": 2, "sample_every": 2, "checkpoint_every": 2, "health_every": 0}
CLASSES = ("Bag", "Sandal", "Sneaker")
HAIR, MOUTHS = ("pink", "red", "blue"), ("smile", "sad")


def pictures(root: Path) -> None:
    """Folders of the manual's examples: photos/, pairs/, domains/, my_classes/, faces/, mine/ (with sentences), and single files."""
    rng = np.random.default_rng(0)

    def picture(path: str, side: int = 16, channels: int = 3) -> None:
        images.write_png(root / path, rng.integers(0, 255, (side, side, channels), np.uint8))

    for split in ("train", "test"):
        for i in range(8):
            picture(f"photos/{split}/{i}.png", 20)
            for side in "AB":
                picture(f"pairs/{split}/{side}/{i}.png")
                picture(f"domains/{split}{side}/{i}.png")
            picture(f"my_classes/{split}/{CLASSES[i % 3]}/{i}.png", 32, 1)
        rows = [
            f"{i}.png,{HAIR[i % 3]},{('true', 'false')[i % 2]},{('false', 'true')[i // 2 % 2]},{MOUTHS[i // 4 % 2]}"
            for i in range(12)
        ]
        for i in range(12):
            picture(f"faces/{split}/{i}.png")
            picture(f"mine/{split}/{i}.png")
            said = (
                f"a girl with {('long', 'short')[i % 2]} {HAIR[i % 3]} hair, a {MOUTHS[i // 4 % 2]} mouth, number {i}"
            )
            (root / f"mine/{split}/{i}.txt").write_text(said)
        (root / f"faces/{split}/metadata.csv").write_text(
            "\n".join(["file_name,hair,glasses,beard,mouth", *rows]) + "\n"
        )
    for name in ("drawing", "emoji", "face"):
        picture(f"{name}.png")
    picture("photo.png", 200)
    picture("head.png", 64)
    hole = np.zeros((200, 200, 1), np.uint8)
    hole[80:140, 120:180] = 255
    images.write_png(root / "hole.png", hole)
    for i in range(8):
        picture(f"samples/{i}.png", 20)


SOURCES = {
    "attributes": "faces",
    "captions": "mine",
    "paired": "pairs",
    "unpaired": "domains",
    "masks": "photos",
    "images": "photos",
}
OWN = {  # what a paper needs beside its `Checks.small`, with this data
    "anime": {
        "model.attributes": {
            "hair": list(HAIR),
            "glasses": ["no", "yes"],
            "beard": ["no", "yes"],
            "mouth": list(MOUTHS),
        }
    },
    "dcgan": {"model.image_size": 16, "data.size": 16},
    "text-to-image": {"train.encoder_steps": 1},
    "biggan": {"model.classes": 3, "model.class_names": CLASSES, "data.size": 32},
}


def make(root: Path, monkeypatch) -> None:
    """Puts the small zoo in the place of the zoo. `root` holds `pictures`; the weights are written there."""
    files = {}
    for name in presets.list_models():
        paper, found = presets.read(name), {}
        for key, preset in paper.presets.items():
            small = {k: v for k, v in checks(name).small.items() if k != "data.split"} | OWN.get(name, {})
            found[key] = preset
            if preset.weights is None or preset.data.shape not in (*SOURCES, "voxels") or preset.data.source_b:
                continue
            if preset.data.shape != "voxels":
                source = "my_classes" if name == "biggan" else SOURCES[preset.data.shape]
                small |= {"data.source": str(root / source), "data.split": "train", "data.test_split": "test"}
            small |= {f"train.{k}": v for k, v in PACE.items()} | {"train.metric_every": 0}
            config = presets.run_config(f"{name}/{key}", small)
            model = zoo.build(config)
            sha256 = weights.write(root / "weights" / preset.weights.file, weights.to_arrays(model.state()))
            size = (root / "weights" / preset.weights.file).stat().st_size
            record = preset.weights.model_copy(update={"sha256": sha256, "bytes": size})
            evaluated = preset.eval.model_copy(update={"n": 8, "metrics": preset.eval.metrics[:2]})
            tables = {"model": model.get_config(), "data": config.data, "train": config.train}
            found[key] = preset.model_copy(update=tables | {"weights": record, "eval": evaluated, "results": ()})
        files[name] = paper.model_copy(update={"presets": found})
    monkeypatch.setattr(catalogue, "_files", lambda: files)
    monkeypatch.setattr(zoo, "ASSETS", root / "weights")
