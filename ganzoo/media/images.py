"""Pictures in and out with numpy and Pillow only: read any file safely, fit to a square, tile a grid, write a PNG.

A picture is a uint8 array (height, width, channels) with 1 or 3 channels. Whatever cannot be read raises `ImageError`, a
`GanzooError` whose `kind` says why, so that a folder can be checked and a training can skip and count bad files.
"""

import io
import math
import os
import struct
import warnings
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, PngImagePlugin, UnidentifiedImageError

from ganzoo import files
from ganzoo.errors import GanzooError, nearest

SERVED = ("PNG", "JPEG", "WEBP", "GIF", "BMP")  # what a SavedModel decodes too
FORMATS = (*SERVED, "TIFF")
SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".jpe", ".webp", ".gif", ".bmp", ".tif", ".tiff")
POLICIES = ("crop", "pad", "stretch")
MAX_PIXELS = 64_000_000  # 8000 x 8000: larger than any camera frame we train on, 192 MB when decoded
MAX_BYTES = files.MAX_BYTES  # of one encoded file
BAND = 2**20  # pixels that are converted at once: a large picture takes little more memory than it has bytes
PNG = b"\x89PNG\r\n\x1a\n"
# Of a PNG: no pixel depends on these, and Pillow takes a file for corrupt in which they are long.
UNSEEN = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
ROTATION = (b"Raw profile type exif", b"XML:com.adobe.xmp")  # texts that may say which side of a picture is up
MAX_ROTATION = 2**20  # bytes of such a text, Pillow's own limit

# Pillow warns from 89 million pixels on; our own limit below that raises a sentence instead, so the warning is only noise.
# A broken EXIF block costs a picture its rotation only; that needs no warning either.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", message="Corrupt EXIF data")
warnings.filterwarnings("ignore", message="Truncated File Read")  # a TIFF file of which the rest is missing


class ImageError(files.FileError):
    """A file that is not a usable picture. `kind`: missing, empty, bomb, truncated, corrupt or unsupported."""


def read_image(
    source: str | os.PathLike | bytes,
    channels: int | None = None,
    *,
    max_pixels: int = MAX_PIXELS,
    name: str | None = None,
) -> np.ndarray:
    """One picture as uint8 (height, width, channels).

    Args:
        source: a path, or the bytes of a PNG, JPEG, WebP, GIF, BMP or TIFF file (of several frames the first).
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
        name = name or files.shown(source)
        data = read_file(source, name)
    if not data:
        raise ImageError(f"{name} is empty (0 bytes).", "empty")
    try:
        with _opened(data) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise _bomb(name, f"{width} x {height} pixels", max_pixels)
            if image.mode == "F":
                raise ImageError(
                    f"{name} holds 32-bit floats, whose range is not known: save it with 8 or 16 bits.", "unsupported"
                )
            low = _low_bytes(data) if data.startswith(PNG) and _keyed_colour(image) else None
            image.load()
            array = _to_array(image, low)
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _bomb(name, "too many pixels to decode", max_pixels) from error
    except Exception as error:  # decoders fail in many ways on hostile bytes; each is a bad file, none a reason to stop
        raise _unreadable(name, data, error) from error
    return array if channels is None else to_channels(array, channels)


def read_file(path: str | os.PathLike, name: str | None = None) -> bytes:
    """The bytes of a picture file; raises `ImageError` for a missing, special (a pipe, say) or huge file."""
    try:
        return files.read_bytes(path, MAX_BYTES, name=name)
    except files.FileError as error:
        raise ImageError(str(error), "bomb" if error.kind == "large" else error.kind) from error


def is_picture(value) -> bool:
    """Whether `picture` reads it: a path or a Pillow image, and no array."""
    return isinstance(value, str | os.PathLike | Image.Image)


def picture(value: str | os.PathLike | Image.Image) -> np.ndarray:
    """uint8 (height, width, 1 or 3) of a path or a Pillow image; raises `ImageError` as `read_image`."""
    return _to_array(value) if isinstance(value, Image.Image) else read_image(value)


def image_size(data: bytes, formats: Sequence[str] = FORMATS) -> tuple[int, int, str] | None:
    """(width, height, Pillow mode) from the header alone, or None if the bytes are no picture of these formats."""
    try:
        with _opened(data, formats) as image:
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


def at_most(image: np.ndarray, pixels: int) -> np.ndarray:
    """A uint8 picture (height, width, channels) made smaller, in its proportions, to at most so many pixels."""
    height, width, _ = _checked(image).shape
    if height * width <= pixels:
        return image
    scale = (pixels / (height * width)) ** 0.5
    height, width = (max(1, int(side * scale)) for side in (height, width))
    return _resize(image, min(height, pixels), min(width, pixels), "lanczos")


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
        files.write_bytes(Path(path), png_bytes(image, text))
    except OSError as error:
        if error.errno in files.FULL:
            raise
        raise GanzooError(f"Cannot write {path}: {error.strerror or error}.") from error


def _opened(data: bytes, formats: Sequence[str] = FORMATS) -> ImageFile.ImageFile:
    """The bytes as a Pillow image whose header is read. A transparent gray of a few bits gets the value that it has in 8."""
    image = Image.open(io.BytesIO(_without_text(data)), formats=tuple(formats))
    depth = data[24] if data.startswith(PNG) else 8
    if image.mode == "L" and depth < 8 and "transparency" in image.info:
        top = 2**depth - 1
        image.info["transparency"] = (image.info["transparency"] & top) * 255 // top
    return image


def _without_text(data: bytes) -> bytes:
    """A PNG without its texts and colour profile, other files as they are. Texts that say how it is turned stay."""
    if not data.startswith(PNG):
        return data
    kept, start, at = [], 0, len(PNG)
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if kind in UNSEEN and not _says_rotation(kind, data[at + 8 : end - 4]):
            kept.append(data[start:at])
            start = end
        at = end
    return b"".join([*kept, data[start:]]) if kept else data


def _says_rotation(kind: bytes, body: bytes) -> bool:
    """Whether a PNG's text chunk is Exif or XMP of a size that Pillow reads."""
    key, _, rest = body.partition(b"\0")
    if key not in ROTATION:
        return False
    packed = (
        rest[1:] if kind == b"zTXt" else rest.split(b"\0", 3)[-1] if kind == b"iTXt" and rest[:1] == b"\1" else None
    )
    try:
        size = len(rest if packed is None else zlib.decompressobj().decompress(packed, MAX_ROTATION))
    except zlib.error:
        return False
    return size < MAX_ROTATION


def _keyed_colour(image: ImageFile.ImageFile) -> bool:
    """Whether an unread image is 16-bit RGB in which one colour is transparent: 8 bits cannot tell which pixels have it."""
    return isinstance(image.info.get("transparency"), tuple) and any("16" in str(tile.args) for tile in image.tile)


def _low_bytes(data: bytes) -> np.ndarray:
    """The low bytes of a 16-bit RGB PNG, uint8 (h, w, 3); Pillow itself gives the high ones."""
    with _opened(data) as image:
        image.tile = [
            tile._replace(args="RGB;16L") for tile in image.tile
        ]  # little-endian: the other byte of each value
        image.load()
        return np.asarray(image)


def _to_array(image: Image.Image, low: np.ndarray | None = None) -> np.ndarray:
    """Decoded Pillow image -> upright uint8 (h, w, 1) for gray modes, (h, w, 3) for the rest. `low`: of `_low_bytes`."""
    gray = image.mode in ("1", "L", "LA", "La") or image.mode.startswith("I")
    out = np.empty((image.height, image.width, 1 if gray else 3), np.uint8)
    rows = max(1, BAND // image.width)
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        band = image.crop((0, top, image.width, bottom))
        out[top:bottom] = _band(band, gray, None if low is None else low[top:bottom]).reshape(out[top:bottom].shape)
    return np.ascontiguousarray(_upright(out, image))


def _band(image: Image.Image, gray: bool, low: np.ndarray | None) -> np.ndarray:
    """uint8 pixels of a part of an image, transparency on white."""
    key = image.info.get("transparency")
    if image.mode.startswith("I"):  # 16-bit gray: "I;16" and its kin, or 32-bit "I" that holds 16-bit values
        wide = np.clip(np.asarray(image), 0, 65535).astype(np.uint32)
        array = ((wide * 255 + 32895) >> 16).astype(np.uint8)  # / 257, rounded
        array[wide == key] = 255
        return array
    if low is not None:
        array = np.array(image)
        array[((array.astype(np.uint16) << 8 | low) == key).all(-1)] = 255
        return array
    if key is None and image.mode not in ("LA", "La", "PA", "RGBA", "RGBa"):
        return np.asarray(image.convert("L" if gray else "RGB"))
    rgba = image.convert("RGBA")
    white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
    return np.asarray(Image.alpha_composite(white, rgba).convert("L" if gray else "RGB"))


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
        return ImageError(f"{name} is not a picture of a known kind ({', '.join(FORMATS)}).", "unsupported")
    if _cut_short(signature, data) or (signature == "TIFF" and "truncated" in str(error)):  # it has no end mark
        return ImageError(f"{name} is a truncated {signature} file ({len(data)} bytes).", "truncated")
    why = "its header cannot be read" if isinstance(error, UnidentifiedImageError) else str(error).rstrip(".")
    return ImageError(f"{name} is a corrupt {signature} file: {why or type(error).__name__}.", "corrupt")


def _signature(data: bytes) -> str | None:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    starts = {b"\x89PNG": "PNG", b"\xff\xd8": "JPEG", b"GIF8": "GIF", b"BM": "BMP"}
    starts |= dict.fromkeys((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), "TIFF")
    return next((kind for start, kind in starts.items() if data.startswith(start)), None)


def _cut_short(signature: str, data: bytes) -> bool:
    """True if the end mark (or a length or place in the header) of the format says that bytes are missing."""
    if signature == "PNG":
        return b"IEND" not in data[-1024:]
    if signature == "JPEG":
        return b"\xff\xd9" not in data[-1024:]
    if signature == "GIF":
        return not data.rstrip(b"\0").endswith(b";")
    if signature == "TIFF":  # what it holds is listed at the place that its header names, often the end
        return len(data) >= 8 and len(data) <= struct.unpack_from("<I" if data[:1] == b"I" else ">I", data, 4)[0]
    offset, extra = (4, 8) if signature == "WEBP" else (2, 0)
    return len(data) < offset + 4 or len(data) < struct.unpack_from("<I", data, offset)[0] + extra
