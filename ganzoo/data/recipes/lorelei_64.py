"""lorelei_64: drawn characters with attributes and sentences, after DiceBear's style "lorelei" (Lisa Wischofsky, CC0 1.0).

    pip install dicebear-core==10.7.0 dicebear-styles==10.6.0 resvg_py==0.5.0

In words, since the random draws of the original run were not kept:

1. Each character draws every attribute by itself: hair colour (11), skin (4) and eye colour (7) uniformly from `PALETTES`;
   hair variant (48), eyes (24), mouth (27), nose, eyebrows and head from the style; glasses 35 %, beard, freckles and
   flowers at times, earrings only where the ear shows.
2. `render` below draws it (the style is black and white; every colour can be set) and crops to the head.
3. The 48 hair variants were named by eye as one of 8 styles (the columns `hair_variant`, `hair_style` hold that table), the
   mouths as happy / sad / other, the eyes as open / wink / closed; behind sunglasses or closed, `eye_color` is "none".
4. Five sentences per picture are made from the attributes with synonyms (purple / violet, silver / grey, aqua / light blue,
   blonde / golden, black / dark, orange / ginger); the first names every visible attribute, the others some of them.
5. `novel` holds every character with one of four pairs that train never shows (pink bun, green long, blue curly, red
   ponytail); of the others every tenth is test.
"""

import io
import json
from importlib.resources import files

import numpy as np
from PIL import Image

PACKAGES = ("PyPI dicebear-core 10.7.0", "PyPI dicebear-styles 10.6.0")
FETCH = "pip install dicebear-core==10.7.0 dicebear-styles==10.6.0 resvg_py==0.5.0"
LEFT, WIDTH = 0.06, 0.87  # of the drawing: the head
PALETTES = {
    "hair": {
        "black": "#2a2633",
        "brown": "#7a4a2e",
        "blonde": "#f4cf5b",
        "orange": "#f28a35",
        "red": "#d63a34",
        "pink": "#f58ab8",
        "purple": "#8f5cd6",
        "blue": "#3f6fe5",
        "aqua": "#55c3ea",
        "green": "#43b06b",
        "silver": "#bfc7d4",
    },
    "skin": {"pale": "#fff0e6", "fair": "#f9cfae", "tan": "#dfa271", "brown": "#b8794f"},
    "eyes": {
        "blue": "#2660d8",
        "green": "#1f9a55",
        "brown": "#7a431c",
        "red": "#c81e2e",
        "violet": "#8038c8",
        "golden": "#d9920a",
        "black": "#1a1a1a",
    },
}


def render(seed: str, hair: str, skin: str, eyes: str, variants: dict[str, str] | None = None) -> np.ndarray:
    """One character, uint8 (64, 64, 3). Colours are names of `PALETTES`; `variants` fixes parts ({"hair": "variant21"}),
    the others follow from `seed`."""
    import resvg_py
    from dicebear import Avatar, Style

    style = Style(json.loads(files("dicebear_styles").joinpath("lorelei.json").read_text("utf-8")))
    colours = {"hair": PALETTES["hair"][hair], "skin": PALETTES["skin"][skin], "eyes": PALETTES["eyes"][eyes]}
    options = {"seed": seed, "backgroundColor": ["#ffffff"]} | {f"{k}Color": [v] for k, v in colours.items()}
    options |= {f"{part}Variant": [value] for part, value in (variants or {}).items()}
    svg = Avatar(style, options).to_json()["svg"]
    side = round(128 / WIDTH)
    png = bytes(resvg_py.svg_to_bytes(svg_string=svg, width=side, height=side))
    left = round(LEFT * side)
    head = Image.open(io.BytesIO(png)).convert("RGB").crop((left, 0, left + 128, 128))
    return np.asarray(head.resize((64, 64), Image.Resampling.BOX))
