"""Sheets with captions, and animations: numbered pictures in, one PNG, GIF or MP4 file out, whole or not at all."""

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ganzoo.errors import GanzooError, missing_extra
from ganzoo.media import images

ANIMATIONS = (".gif", ".mp4")
INK = 60  # gray of captions and axes
LINE = 16  # pixels of a caption line


def enlarge(pictures: np.ndarray, scale: int) -> np.ndarray:
    """uint8 (..., H, W, C) with every pixel as a square of `scale` pixels; nothing is smoothed."""
    return pictures.repeat(scale, axis=-3).repeat(scale, axis=-2)


def sheet(cells: np.ndarray, *, rows: Sequence[str] = (), columns: Sequence[str] = ()) -> np.ndarray:
    """A table of pictures: uint8 (rows, columns, H, W, C) -> one uint8 (height, width, C) with captions left and above.

    Captions that are left out take no space; one that is wider than its column is cut.
    """
    count, width = cells.shape[:2]
    table = images.grid(cells.reshape(-1, *cells.shape[2:]), columns=width)
    left = max((_text_width(text) for text in rows), default=-8) + 8
    top = LINE + 2 if any(columns) else 0
    if left + top == 0:
        return table
    canvas = np.full((table.shape[0] + top, table.shape[1] + left, table.shape[2]), 255, np.uint8)
    canvas[top:, left:] = table
    picture, draw = _drawing(canvas)
    step_y, step_x = cells.shape[2] + 2, cells.shape[3] + 2
    for i, text in enumerate(rows[:count]):
        draw.text((4, top + i * step_y + step_y // 2), text, fill=_ink(picture), font=_font(), anchor="lm")
    for i, text in enumerate(columns[:width]):
        while _text_width(text) > step_x and text:
            text = text[:-1]
        draw.text((left + i * step_x + step_x // 2, LINE // 2 + 1), text, fill=_ink(picture), font=_font(), anchor="mm")
    return _array(picture)


def chart(values: Sequence[float], height: int, width: int, channels: int = 3) -> np.ndarray:
    """A falling loss as a line over the steps, logarithmic upwards: uint8 (height, width, channels)."""
    picture, draw = _drawing(np.full((height, width, channels), 255, np.uint8))
    ink, font = _ink(picture), _font()
    losses = np.maximum(np.asarray(values, np.float64), 1e-12)
    low, high = np.log(losses.min()), np.log(losses.max())
    left, right, top, bottom = 44, width - 8, LINE + 4, height - LINE - 4
    spread = max(high - low, 1e-9)
    points = [
        (left + (right - left) * i / max(len(losses) - 1, 1), bottom - (bottom - top) * (np.log(v) - low) / spread)
        for i, v in enumerate(losses)
    ]
    draw.line([(left, top), (left, bottom), (right, bottom)], fill=ink)
    draw.line(points, fill=ink if channels == 1 else (31, 95, 191), width=2)
    for y, value in ((top, losses.max()), (bottom, losses.min())):
        draw.text((left - 4, y), f"{value:.3g}", fill=ink, font=font, anchor="rm")
    draw.text(((left + right) // 2, 2), "loss", fill=ink, font=font, anchor="ma")
    draw.text((right, height - 2), f"{len(losses) - 1} steps", fill=ink, font=font, anchor="rs")
    return _array(picture)


def there_and_back(frames: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    """Frames of a sweep that returns on its way, so that a repeating animation does not jump."""
    return np.concatenate([frames, frames[-2:0:-1]])


def write_animation(path: Path, frames: np.ndarray, text: Mapping[str, str], *, fps: int = 20) -> None:
    """Frames, uint8 (n, H, W, 1 or 3), as the GIF or MP4 file `path`; its comment holds `text`. Makes the folder.

    A GIF frame has up to 256 colours of its own, chosen without dithering, and repeats without end; H.264 wants even
    sides, so an MP4 may lose no pixel but gain a white row or column. The same frames give the same bytes.

    Raises:
        GanzooError: no frame, another suffix, or an MP4 without the package imageio-ffmpeg.
    """
    if not len(frames):
        raise GanzooError("An animation needs at least one picture; got none.")
    suffix = path.suffix.lower()
    if suffix not in ANIMATIONS:
        raise GanzooError(f'An animation is a {" or ".join(ANIMATIONS)} file; got "{path}".')
    comment = "; ".join(f"{key}={value}" for key, value in text.items())
    write = _gif if suffix == ".gif" else _mp4
    part = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")  # ffmpeg goes by the suffix
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write(part, np.asarray(frames), comment, fps)
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise GanzooError(f"Cannot write {path}: {error.strerror or error}.") from error


def _gif(path: Path, frames: np.ndarray, comment: str, fps: int) -> None:
    pictures = [Image.fromarray(frame[..., 0] if frame.shape[-1] == 1 else frame) for frame in frames]
    pictures = [p if p.mode == "L" else p.quantize(256, dither=Image.Dither.NONE) for p in pictures]
    out = io.BytesIO()
    options = {"duration": max(2, round(100 / fps)) * 10, "loop": 0, "comment": comment.encode()}  # whole hundredths
    pictures[0].save(out, "GIF", save_all=True, append_images=pictures[1:], optimize=False, **options)
    path.write_bytes(out.getvalue())


def require_video() -> None:
    """Raises GanzooError if MP4 files cannot be written here: the package or its ffmpeg program is missing."""
    try:
        import imageio_ffmpeg
    except ImportError:
        raise missing_extra("imageio-ffmpeg", "video") from None
    try:
        imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise GanzooError(f"An MP4 needs the program ffmpeg, which imageio-ffmpeg does not find: {error}") from error


def _mp4(path: Path, frames: np.ndarray, comment: str, fps: int) -> None:
    require_video()
    import imageio_ffmpeg

    frames = images.to_channels(frames, 3)
    frames = np.pad(frames, [(0, 0), (0, frames.shape[1] % 2), (0, frames.shape[2] % 2), (0, 0)], constant_values=255)
    # One thread and "bitexact" (no date, no encoder version in the container): equal frames are equal bytes.
    exact = ["-crf", "16", "-threads", "1", "-fflags", "+bitexact", "-flags:v", "+bitexact", "-movflags", "+faststart"]
    writer = imageio_ffmpeg.write_frames(
        str(path),
        (frames.shape[2], frames.shape[1]),
        fps=fps,
        codec="libx264",
        macro_block_size=2,
        ffmpeg_log_level="error",
        output_params=[*exact, "-metadata", f"comment={comment}"],
    )
    writer.send(None)
    try:
        for frame in frames:
            writer.send(np.ascontiguousarray(frame))
    finally:
        writer.close()


def _font():
    return ImageFont.load_default(11)  # Pillow's own: no font of the system decides how a sheet looks


def _text_width(text: str) -> int:
    return int(np.ceil(_font().getlength(text)))


def _drawing(array: np.ndarray):
    picture = Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array)
    return picture, ImageDraw.Draw(picture)


def _ink(picture: Image.Image):
    return INK if picture.mode == "L" else (INK, INK, INK)


def _array(picture: Image.Image) -> np.ndarray:
    array = np.asarray(picture)
    return array[..., None] if array.ndim == 2 else array
