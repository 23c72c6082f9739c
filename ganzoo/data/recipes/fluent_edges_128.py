"""fluent_edges_128: Sobel edges of Microsoft's Fluent 3D emoji and the emoji, the recipe of pix2pix's edges2shoes.

    npm pack @lobehub/fluent-emoji-3d@1.1.0 && tar xzf lobehub-fluent-emoji-3d-1.1.0.tgz     # package/assets/*.webp
    npm pack openmoji@17.0.0                                                                 # names and groups only

Which emoji: those without skin tone and not flags; 59 whose edges equal another's but whose colour does not (hearts,
circles, squares, books) were dropped, since their colour cannot follow from the edges. The bundled column `hexcode` lists
the result. Names, groups and subgroups come from OpenMoji's `data/openmoji.json` by hexcode (CC BY-SA 4.0). The split goes
by `split_of(concept)`.

The edges are stored though `edges` made them: the stored photos have fewer colours than those they were made of, so that their edges are
others (by 3 of 255 on average). What is left when these are subtracted is no smaller: 6.6 MB of lossless WebP, where the edges
themselves take 4.9 MB; predicted pixel by pixel from both, coarse to fine, it still has 1.27 times their bytes of entropy.
"""

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image

PACKAGES = ("npm @lobehub/fluent-emoji-3d 1.1.0", "npm openmoji 17.0.0")
FETCH = "npm pack @lobehub/fluent-emoji-3d@1.1.0 openmoji@17.0.0"
SIZE = 128


def photo(file: Path) -> np.ndarray:
    """One 256-pixel WebP of the package on white, at 128 pixels: uint8 (128, 128, 3)."""
    with Image.open(file) as image:
        rgba = image.convert("RGBA")
    white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
    white.alpha_composite(rgba)
    return np.asarray(white.convert("RGB").resize((SIZE, SIZE), Image.Resampling.LANCZOS))


def edges(picture: np.ndarray) -> np.ndarray:
    """Dark edges on white of a uint8 colour picture: Gaussian of sigma 1, then 255 - 1.2 |Sobel|; uint8 (h, w, 1)."""
    gray = np.asarray(Image.fromarray(picture).convert("L")).astype(np.float64)
    gaussian = np.exp(-0.5 * np.arange(-4, 5) ** 2)
    smooth = _filter(_filter(gray, gaussian / gaussian.sum(), 0), gaussian / gaussian.sum(), 1)
    across = _filter(_filter(smooth, [-1, 0, 1], 1), [1, 2, 1], 0)
    down = _filter(_filter(smooth, [-1, 0, 1], 0), [1, 2, 1], 1)
    return (255 - np.clip(1.2 * np.hypot(across, down), 0, 255)).astype(np.uint8)[..., None]


def split_of(concept: str) -> str:
    """held, test or train, for a concept key: the hexcode in lower case without fe0f, 200d, skin tones, gender signs and
    direction, with man and woman as person. So all variants of one drawing fall into one split, in every emoji set."""
    draw = [int(hashlib.md5(f"ganzoo-{word}:{concept}".encode()).hexdigest(), 16) % 1000 for word in ("hold", "test")]
    return "held" if draw[0] < 100 else "test" if draw[1] < 100 else "train"


def rebuild(package: Path, hexcodes: list[str]) -> dict[str, np.ndarray]:
    """`edges` (n, 128, 128, 1) and `photo` (n, 128, 128, 3) of the given hexcodes from the unpacked npm package."""
    files = {_plain(file.stem): file for file in (package / "assets").glob("*.webp")}
    photos = [photo(files[_plain(code)]) for code in hexcodes]
    return {"edges": np.stack([edges(p) for p in photos]), "photo": np.stack(photos)}


def _filter(image: np.ndarray, kernel, axis: int) -> np.ndarray:
    """Correlate along one axis; the border is mirrored, edge pixel included (scipy.ndimage's "reflect")."""
    reach = len(kernel) // 2
    padded = np.pad(image, [(reach, reach) if a == axis else (0, 0) for a in range(2)], mode="symmetric")
    return sum(w * np.take(padded, range(i, i + image.shape[axis]), axis) for i, w in enumerate(kernel))


def _plain(hexcode: str) -> str:
    return hexcode.lower().replace("-fe0f", "")
