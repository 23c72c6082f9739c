"""emoji_64: emoji of two vendors on white, aligned by code point: Microsoft's Fluent 3D (MIT) and Google's Noto (Apache-2.0).

    npm pack @lobehub/fluent-emoji-3d@1.1.0       # package/assets/<hexcode>.webp, 256 px with alpha
    npm pack emoji-datasource-google@16.0.0       # package/img/google/64/<hexcode>.png, 64 px with alpha
    npm pack openmoji@17.0.0                      # package/data/openmoji.json: names, tags, groups (CC BY-SA 4.0)

1. Files are matched by hexcode in lower case without fe0f; both vendors use it as file name.
2. `picture` below puts one on white at 64 pixels.
3. Pixel-identical pictures inside a vendor are kept once, the base drawing first. Left out: the flags of the Fluent package,
   which are drawn in another style.
4. Repaired: the Fluent package exchanges the medium-light and medium skin tones (code points 1f3fc and 1f3fd) in 269 of 278
   base drawings. They were found by the luminance of the skin against the other vendors, and swapped back.
5. The index lists, per hexcode: name, tags, group and subgroup of OpenMoji, skin tone ("" for the base drawing, "1" to "5",
   "a,b" for two people), base hexcode, split, and the row in each vendor's file. The split goes by concept, as in
   `fluent_edges_128.split_of`.
"""

from pathlib import Path

import numpy as np
from PIL import Image

PACKAGES = ("npm @lobehub/fluent-emoji-3d 1.1.0", "npm emoji-datasource-google 16.0.0", "npm openmoji 17.0.0")
FETCH = "npm pack @lobehub/fluent-emoji-3d@1.1.0 emoji-datasource-google@16.0.0 openmoji@17.0.0"
SIZE = 64


def picture(file: Path) -> np.ndarray:
    """One emoji file on white: uint8 (64, 64, 3); larger files are reduced with Lanczos."""
    with Image.open(file) as image:
        rgba = image.convert("RGBA")
    white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
    white.alpha_composite(rgba)
    rgb = white.convert("RGB")
    return np.asarray(rgb if rgb.size == (SIZE, SIZE) else rgb.resize((SIZE, SIZE), Image.Resampling.LANCZOS))
