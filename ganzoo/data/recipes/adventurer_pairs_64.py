"""adventurer_pairs_64: line drawings and their colours, after DiceBear's style "adventurer" (Lisa Wischofsky, CC BY 4.0).

    pip install dicebear-core==10.7.0 dicebear-styles==10.6.0 resvg_py==0.5.0

Every character draws its parts at random: hair 45, eyes 26, mouth 30, eyebrows 15; glasses, earrings and details
(birthmark, blush, freckles, mustache) with some probability. No combination twice; every tenth is test. The same character
is rendered twice, at 128 pixels averaged to 64: `colour`, where hair and skin colour follow from the hair shape (the table
`rule` of the sidecar), so that they can be learnt from the lines; and `lines`, where hair, skin and the inside of the mouth
are white and lips and earrings gray. The bundled columns name all parts, so `rebuild` remakes every row.
"""

import io
import json
from importlib.resources import files

import numpy as np
from PIL import Image

PACKAGES = ("PyPI dicebear-core 10.7.0", "PyPI dicebear-styles 10.6.0")
FETCH = "pip install dicebear-core==10.7.0 dicebear-styles==10.6.0 resvg_py==0.5.0"
ALWAYS, SOMETIMES = ("hair", "eyes", "mouth", "eyebrows"), ("glasses", "earrings", "details")
WHITE = ("hair", "skin", "tongue", "throat", "teeth")  # in the line drawing
GRAY, EARRINGS, LIPS = "#c0c0c0", "#e8b923", "#d31e1e"


def rebuild(parts: dict[str, np.ndarray], rule: dict[str, dict[str, str]]) -> dict[str, np.ndarray]:
    """`lines` (n, 64, 64, 1) and `colour` (n, 64, 64, 3) for the part columns of the set and its colour rule."""
    from dicebear import Avatar, Style

    style = Style(json.loads(files("dicebear_styles").joinpath("adventurer.json").read_text("utf-8")))
    lines: list[Image.Image] = []
    colour: list[Image.Image] = []
    for row in range(len(parts["hair"])):
        base = _options({name: str(parts[name][row]) for name in (*ALWAYS, *SOMETIMES)})
        tint = rule[str(parts["hair"][row])]
        colours = {"hair": tint["hair"], "skin": tint["skin"], "earrings": EARRINGS, "lips": LIPS}
        blank = dict.fromkeys(WHITE, "#ffffff") | {"lips": GRAY, "earrings": GRAY}
        for out, chosen in ((colour, colours), (lines, blank)):
            svg = Avatar(style, base | {f"{name}Color": [value] for name, value in chosen.items()}).to_json()["svg"]
            out.append(_render(svg))
    gray = [np.asarray(image.convert("L"))[..., None] for image in lines]
    return {"lines": np.stack(gray), "colour": np.stack([np.asarray(image) for image in colour])}


def _options(parts: dict[str, str]) -> dict:
    """DiceBear options that fix every part; an optional part that is "" is hidden."""
    options = {"seed": "0", "backgroundColor": ["#ffffff"]}
    options |= {f"{name}Variant": [value] for name, value in parts.items() if value}
    return options | {f"{name}Probability": 100 if parts[name] else 0 for name in SOMETIMES}


def _render(svg: str) -> Image.Image:
    import resvg_py

    png = bytes(resvg_py.svg_to_bytes(svg_string=svg, width=128, height=128))
    return Image.open(io.BytesIO(png)).convert("RGB").resize((64, 64), Image.Resampling.BOX)
