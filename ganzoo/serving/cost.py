"""What a request costs, told from its inputs before the model sees them: pixels to decode and to compute.

A row costs the time of its pixels, not of its bytes: 16 kB of PNG can be four million pixels and seconds of a network.
"""

import io
from collections.abc import Mapping

import numpy as np
from PIL import Image
from PIL.GifImagePlugin import GifImageFile

from ganzoo.media import images
from ganzoo.serving.wire import RequestError

SCANS = 64  # of a progressive JPEG; encoders write about ten, and each costs a pass over the whole picture


def pixels(inputs: Mapping[str, np.ndarray], rows: int, limits, side: int) -> int:
    """The pixels of all rows together; a row without a picture counts as one of `side` x `side` that is made of it.

    Raises:
        RequestError: 400 for a picture that is none or too large, or too many pixels in all.
    """
    total = 0
    for name in ("image_bytes", "mask_bytes"):
        for i, data in enumerate(inputs.get(name, ())):
            total += _of_picture(name, i, data, limits.pixels)
    for name, array in inputs.items():
        if array.ndim == 4:
            _, height, width, _ = array.shape
            if height * width > limits.pixels:
                raise _too_large(f"A picture of {name}", f"{width} x {height} pixels", limits.pixels)
            total += rows * height * width
    total = total or rows * side * side
    if total > limits.queue_pixels:
        raise RequestError(
            400,
            f"The {rows} rows of the request have {total:,} pixels together; at most {limits.queue_pixels:,} are taken at "
            "once: send fewer rows in a request.",
        )
    return total


def _of_picture(name: str, row: int, data: bytes, limit: int) -> int:
    """Width x height of an encoded picture, times what a decoder does again for each frame, or for many scans."""
    found = images.image_size(data, images.SERVED)
    if found is None:
        raise RequestError(400, f"{name} of row {row} is not a picture: {', '.join(images.SERVED)} are read.")
    width, height, _ = found
    size, passes = f"{width} x {height} pixels", 1
    if data.startswith(b"GIF"):  # TensorFlow decodes all frames and returns the first
        passes = _frames(name, data)
        size += f" in {passes:,} frames" if passes > 1 else ""
    elif data.startswith(b"\xff\xd8"):
        scans = data.count(b"\xff\xda")
        passes = 1 + scans // SCANS
        size += f" in {scans:,} scans" if passes > 1 else ""
    if width * height * passes > limit:
        raise _too_large(f"The picture of row {row}", size, limit)
    return width * height * passes


def _frames(name: str, data: bytes) -> int:
    try:
        with Image.open(io.BytesIO(data), formats=("GIF",)) as image:
            return image.n_frames if isinstance(image, GifImageFile) else 1
    except Exception as error:  # broken after its first frame: what it costs cannot be told
        raise RequestError(400, f"{name} holds a GIF file that breaks off.") from error


def _too_large(what: str, size: str, limit: int) -> RequestError:
    return RequestError(400, f"{what} has {size}; at most {limit:,} pixels are taken.")
