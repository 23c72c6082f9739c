"""Pictures in and out with numpy and Pillow only: read any file safely, fit to a square, tile a grid, write a PNG.

A picture is a uint8 array (height, width, channels) with 1 or 3 channels. Whatever cannot be read raises `ImageError`, a
`GanzooError` whose `kind` says why, so that a folder can be checked and a training can skip and count bad files.
"""

import io
import math
import os
import stat
import struct
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from ganzoo import files
from ganzoo.errors import GanzooError, nearest

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp")
POLICIES = ("crop", "pad", "stretch")
MAX_PIXELS = 64_000_000  # 8000 x 8000: larger than any camera frame we train on, 192 MB when decoded
MAX_BYTES = 512 * 2**20  # of one encoded file

# Pillow warns from 89 million pixels on; our own limit below that raises a sentence instead, so the warning is only noise.
# A broken EXIF block costs a picture its rotation only; that needs no warning either.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", message="Corrupt EXIF data")


class ImageError(GanzooError):
    """A file that is no usable picture. `kind`: missing, empty, bomb, truncated, corrupt or unsupported."""

    def __init__(self, message: str, kind: str):
        super().__init__(message)
        self.kind = kind


def read_image(
    source: str | os.PathLike | bytes,
    channels: int | None = None,
    *,
    max_pixels: int = MAX_PIXELS,
    name: str | None = None,
) -> np.ndarray:
    """One picture as uint8 (height, width, channels).

    Args:
        source: a path, or the bytes of a PNG, JPEG, WebP, GIF or BMP file (of an animation the first frame).
        channels: 1 or 3 converts; None keeps one channel for gray files and gives three for all others.
        max_pixels: width x height above this is refused before anything is decoded (decompression bomb).
        name: what error sentences call the picture; the path by default.

    Transparency is put on white, palettes and CMYK become RGB, 16 bits become 8, and the EXIF rotation is applied.

    Raises:
        ImageError: whatever is wrong with the file, as a sentence.
    """
    if channels not in (None, 1, 3):
        raise GanzooError(f"A picture has 1 or 3 channels; got channels={channels!r}.")
    if isinstance(source, bytes):
        data, name = source, name or "the picture"
    else:
        name = name or str(source)
        data = read_file(source, name)
    if not data:
        raise ImageError(f"{name} is empty (0 bytes).", "empty")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise _bomb(name, f"{width} x {height} pixels", max_pixels)
            image.load()
            array = _to_array(image)
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _bomb(name, "too many pixels to decode", max_pixels) from error
    except Exception as error:  # decoders fail in many ways on hostile bytes; each is a bad file, none a reason to stop
        raise _unreadable(name, data, error) from error
    return array if channels is None else to_channels(array, channels)


def read_file(path: str | os.PathLike, name: str | None = None) -> bytes:
    """The bytes of a picture file; raises `ImageError` for a missing, special (a pipe, say) or huge file."""
    path, name = Path(path), name or str(path)
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            raise ImageError(f"{name} is no regular file.", "missing")
        if about.st_size > MAX_BYTES:
            raise _bomb(name, f"{about.st_size / 2**20:.0f} MiB", MAX_PIXELS)
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"Cannot read {name}: {error.strerror or error}.", "missing") from error


def image_size(data: bytes) -> tuple[int, int, str] | None:
    """(width, height, Pillow mode) from the header alone, or None if the bytes are no picture."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            return (*image.size, image.mode)
    except Exception:  # as in read_image: any failure means "no picture", which the caller reports
        return None


def fit_image(image: np.ndarray, size: int, policy: str = "crop", resample: str = "lanczos") -> np.ndarray:
    """Fit a uint8 picture (height, width, channels) into (size, size, channels).

    `crop` cuts the central square and resizes it. `pad` keeps the whole picture: it shrinks it if it is larger than
    `size`, never enlarges it, and centres it on a canvas of its border's median colour. `stretch` resizes both sides.
    A picture that already has the size comes back unchanged.

    Args:
        resample: "lanczos" or "bicubic", of Pillow; both look at all pixels of a picture that shrinks.
    """
    image = _checked(image)
    if policy not in POLICIES:
        raise GanzooError(f'Unknown way to fit a picture "{policy}".{nearest(policy, POLICIES)}')
    if size < 1:
        raise GanzooError(f"A picture's size must be at least 1 pixel; got {size}.")
    height, width, _ = image.shape
    if policy == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        return _resize(image[top : top + side, left : left + side], size, size, resample)
    if policy == "stretch":
        return _resize(image, size, size, resample)
    scale = min(1.0, size / max(height, width))
    small = _resize(image, max(1, round(height * scale)), max(1, round(width * scale)), resample)
    if small.shape[:2] == (size, size):
        return small
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    canvas = np.empty((size, size, image.shape[2]), np.uint8)
    canvas[:] = np.rint(np.median(border, axis=0))
    top, left = (size - small.shape[0]) // 2, (size - small.shape[1]) // 2
    canvas[top : top + small.shape[0], left : left + small.shape[1]] = small
    return canvas


def to_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """uint8 pictures (..., 1 or 3) with the asked number of channels: gray is repeated, colour becomes its luma (BT.601)."""
    have = image.shape[-1]
    if have == channels:
        return image
    if (have, channels) == (1, 3):
        return np.repeat(image, 3, axis=-1)
    if (have, channels) == (3, 1):
        wide = image.astype(np.uint32)  # the fixed-point weights of Pillow's own "L" conversion
        luma = (wide[..., 0] * 19595 + wide[..., 1] * 38470 + wide[..., 2] * 7471 + 0x8000) >> 16
        return luma.astype(np.uint8)[..., None]
    raise GanzooError(f"Cannot turn a picture of {have} channels into {channels}; both must be 1 or 3.")


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Floats in [-1, 1] to uint8 by rounding; values outside are clipped, NaN becomes black."""
    scaled = np.nan_to_num(np.asarray(images, np.float32), nan=-1.0) * 127.5 + 127.5
    return np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)


def to_float(images: np.ndarray) -> np.ndarray:
    """uint8 to float32 in [-1, 1]; `to_uint8` gives the same bytes back."""
    return np.asarray(images).astype(np.float32) / np.float32(127.5) - np.float32(1)


def grid(images: Sequence[np.ndarray] | np.ndarray, columns: int | None = None, pad: int = 2) -> np.ndarray:
    """Tile uint8 pictures (n, height, width, channels) into one uint8 (H, W, channels), row by row, with white padding.

    `columns` defaults to the smallest square that holds all; empty cells stay white.
    """
    images = [_checked(image) for image in images]
    if not images:
        raise GanzooError("A grid needs at least one picture; got none.")
    if len({image.shape for image in images}) > 1:
        raise GanzooError(f"The pictures of a grid must have one shape; got {sorted({i.shape for i in images})}.")
    columns = columns or math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    height, width, channels = images[0].shape
    sheet = np.full((rows * (height + pad) + pad, columns * (width + pad) + pad, channels), 255, np.uint8)
    for i, image in enumerate(images):
        top, left = pad + (i // columns) * (height + pad), pad + (i % columns) * (width + pad)
        sheet[top : top + height, left : left + width] = image
    return sheet


def png_bytes(image: np.ndarray, text: Mapping[str, str] | None = None) -> bytes:
    """A uint8 picture as PNG bytes, with `text` in its text chunks; the same input gives the same bytes."""
    image = _checked(image)
    info = PngImagePlugin.PngInfo()
    for key, value in (text or {}).items():
        info.add_text(key, str(value))
    out = io.BytesIO()
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    picture.save(out, "PNG", pnginfo=info, compress_level=6)
    return out.getvalue()


def write_png(path: str | os.PathLike, image: np.ndarray, text: Mapping[str, str] | None = None) -> None:
    """Write a uint8 picture (height, width, 1 or 3) as PNG; the file appears whole or not at all. Makes the folder."""
    try:
        files.write_bytes(path, png_bytes(image, text))
    except OSError as error:
        if error.errno in files.FULL:
            raise
        raise GanzooError(f"Cannot write {path}: {error.strerror or error}.") from error


def _to_array(image: Image.Image) -> np.ndarray:
    """Decoded Pillow image -> upright uint8 (h, w, 1) for gray modes, (h, w, 3) for the rest."""
    gray = image.mode in ("1", "L", "LA", "La") or image.mode.startswith(("I", "F"))
    if image.mode.startswith(("I", "F")):  # 16-bit gray: "I;16" and its kin, or 32-bit "I" that holds 16-bit values
        wide = np.asarray(image).astype(np.float64)
        array = np.rint(np.clip(wide / 257.0, 0, 255)).astype(np.uint8)
    elif "transparency" in image.info or image.mode in ("LA", "La", "PA", "RGBA", "RGBa"):
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        array = np.asarray(Image.alpha_composite(white, rgba).convert("L" if gray else "RGB"))
    else:
        array = np.asarray(image.convert("L" if gray else "RGB"))
    return np.ascontiguousarray(_upright(array if array.ndim == 3 else array[..., None], image))


def _upright(array: np.ndarray, image: Image.Image) -> np.ndarray:
    """Apply the EXIF orientation (tag 0x0112, values 1 to 8); a broken EXIF block means "as stored"."""
    try:
        orientation = image.getexif().get(0x0112, 1)
    except Exception:  # EXIF parsers fail in many ways; the pixels are fine
        return array
    if orientation in (5, 6, 7, 8):
        array = array.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return array


def _resize(image: np.ndarray, height: int, width: int, resample: str) -> np.ndarray:
    if image.shape[:2] == (height, width):
        return np.ascontiguousarray(image)
    flat = image[..., 0] if image.shape[2] == 1 else image
    kernel = Image.Resampling[resample.upper()]
    out = np.asarray(Image.fromarray(np.ascontiguousarray(flat)).resize((width, height), kernel))
    return out[..., None] if out.ndim == 2 else out


def _checked(image: np.ndarray) -> np.ndarray:
    image = np.asarray(image)
    image = image[..., None] if image.ndim == 2 else image
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (1, 3) or 0 in image.shape:
        raise GanzooError(
            f"Expected a uint8 picture (height, width, 1 or 3 channels); got {image.dtype} of shape {image.shape}."
        )
    return image


def _bomb(name: str, what: str, max_pixels: int) -> ImageError:
    limit = f"at most {max_pixels / 1e6:.0f} million pixels and {MAX_BYTES // 2**20} MiB are read"
    return ImageError(f"{name} is refused as a decompression bomb: {what}, {limit}.", "bomb")


def _unreadable(name: str, data: bytes, error: Exception) -> ImageError:
    signature = _signature(data)
    if signature is None:
        return ImageError(f"{name} is no picture of a known kind ({', '.join(FORMATS)}).", "unsupported")
    if _cut_short(signature, data):
        return ImageError(f"{name} is a truncated {signature} file ({len(data)} bytes).", "truncated")
    return ImageError(
        f"{name} is a corrupt {signature} file: {str(error).rstrip('.') or type(error).__name__}.", "corrupt"
    )


def _signature(data: bytes) -> str | None:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    starts = {b"\x89PNG": "PNG", b"\xff\xd8": "JPEG", b"GIF8": "GIF", b"BM": "BMP"}
    return next((kind for start, kind in starts.items() if data.startswith(start)), None)


def _cut_short(signature: str, data: bytes) -> bool:
    """True if the end mark (or the length in the header) of the format says that bytes are missing."""
    if signature == "PNG":
        return b"IEND" not in data[-1024:]
    if signature == "JPEG":
        return b"\xff\xd9" not in data[-1024:]
    if signature == "GIF":
        return not data.rstrip(b"\0").endswith(b";")
    offset, extra = (4, 8) if signature == "WEBP" else (2, 0)
    return len(data) < offset + 4 or len(data) < struct.unpack_from("<I", data, offset)[0] + extra
