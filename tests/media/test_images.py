"""ganzoo.media.images: every kind of file is read or refused in a sentence, and fitting keeps its stated policy."""

import contextlib
import io
import os
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from support.pngs import KINDS, chunk, png

from ganzoo.errors import GanzooError
from ganzoo.media import images
from ganzoo.media.images import ImageError

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (13, 21, 3), np.uint8)
SMOOTH = np.tile(np.linspace(0, 255, 64, dtype=np.uint8)[None, :, None], (48, 1, 3))


def encode(image, kind="PNG", **options):
    out = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "WEBP", "JPEG", "GIF"])
def test_every_format_is_read(kind, tmp_path):
    options = {"lossless": True} if kind == "WEBP" else {"quality": 95} if kind == "JPEG" else {}
    file = tmp_path / "picture.any"  # the content decides, not the name
    file.write_bytes(encode(SMOOTH, kind, **options))
    read = images.read_image(file)
    assert read.dtype == np.uint8
    assert read.shape == SMOOTH.shape
    assert np.abs(read.astype(int) - SMOOTH).max() <= (4 if kind in ("JPEG", "GIF") else 0)


def test_modes():
    gray = PICTURE[..., :1]
    assert (images.read_image(encode(gray[..., 0])) == gray).all()
    sixteen = encode(Image.fromarray(gray[..., 0].astype(np.uint16) * 257))
    assert (images.read_image(sixteen) == gray).all()
    assert images.read_image(encode(Image.fromarray(PICTURE).convert("1"))).shape == (13, 21, 1)
    palette = Image.fromarray(SMOOTH).convert("P", palette=Image.Palette.ADAPTIVE)
    assert (images.read_image(encode(palette)) == np.asarray(palette.convert("RGB"))).all()
    assert images.read_image(encode(Image.fromarray(SMOOTH).convert("CMYK"), "JPEG", quality=95)).shape == SMOOTH.shape
    assert images.read_image(encode(gray[..., 0]), 3).shape == (13, 21, 3)
    assert images.read_image(encode(PICTURE), 1).shape == (13, 21, 1)


def test_transparency_becomes_white():
    clear = np.dstack([PICTURE, np.zeros((13, 21), np.uint8)])
    assert (images.read_image(encode(clear)) == 255).all()
    half = np.dstack([np.zeros((4, 4, 3), np.uint8), np.full((4, 4), 128, np.uint8)])
    assert np.abs(images.read_image(encode(half)).astype(int) - 127).max() <= 1
    gray_alpha = Image.fromarray(clear).convert("LA")
    assert (images.read_image(encode(gray_alpha)) == 255).all()
    assert images.read_image(encode(gray_alpha)).shape == (13, 21, 1)
    keyed = encode(Image.fromarray(np.zeros((4, 4, 3), np.uint8)), transparency=(0, 0, 0))
    assert (images.read_image(keyed) == 255).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(PICTURE, exif=exif)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    assert (images.read_image(data) == upright).all()


def test_broken_exif_is_ignored():
    data = encode(PICTURE, exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert (images.read_image(data) == PICTURE).all()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "WEBP", "JPEG", "GIF"])
def test_truncated_files_are_named(kind):
    data = encode(RNG.integers(0, 256, (64, 64, 3), np.uint8), kind)
    with pytest.raises(ImageError, match=f"photo.x is a truncated {kind} file") as caught:
        images.read_image(data[: len(data) // 2], name="photo.x")
    assert caught.value.kind == "truncated"


def test_refusals(tmp_path):
    with pytest.raises(ImageError, match="0 bytes") as caught:
        images.read_image(b"")
    assert caught.value.kind == "empty"
    with pytest.raises(ImageError, match="not a picture of a known kind") as caught:
        images.read_image(b"hello")
    assert caught.value.kind == "unsupported"
    with pytest.raises(ImageError, match=r"Cannot read .*nothing\.png: No such file") as caught:
        images.read_image(tmp_path / "nothing.png")
    assert caught.value.kind == "missing"
    with pytest.raises(ImageError, match="not a regular file"):
        images.read_image(tmp_path)
    broken = bytearray(encode(PICTURE))
    broken[20:24] = b"\0\0\0\0"  # height 0 in the header
    with pytest.raises(ImageError) as caught:
        images.read_image(bytes(broken))
    assert caught.value.kind == "corrupt"
    with pytest.raises(GanzooError, match="1 or 3 channels; got channels=2"):
        images.read_image(encode(PICTURE), 2)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ImageError, match="not a regular file"):
        images.read_image(tmp_path / "pipe.png")


@pytest.mark.parametrize("side", [10_000, 60_000])  # above our limit, and above Pillow's own
def test_decompression_bomb_is_refused_before_decoding(side):
    data = bytearray(encode(Image.new("1", (side, 8))))
    data[20:24] = side.to_bytes(4, "big")  # the height in the header chunk,
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")  # and the chunk's checksum
    with pytest.raises(ImageError, match="decompression bomb") as caught:
        images.read_image(bytes(data))
    assert caught.value.kind == "bomb"
    with pytest.raises(ImageError, match="21 x 13 pixels"):
        images.read_image(encode(PICTURE), max_pixels=100)


@settings(max_examples=60, deadline=None)
@given(
    st.binary(max_size=400),
    st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"GIF89a", b"BM", b"RIFF"]),
)
def test_random_bytes_never_raise_anything_else(data, start):
    with pytest.raises(ImageError):
        images.read_image(start + data)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_files_never_raise_anything_else(data):
    whole = bytearray(encode(PICTURE, data.draw(st.sampled_from(["PNG", "BMP", "WEBP", "JPEG", "GIF"]))))
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ImageError):
        assert images.read_image(bytes(whole)).dtype == np.uint8


@settings(max_examples=80, deadline=None)
@given(
    st.integers(1, 90),
    st.integers(1, 90),
    st.integers(1, 70),
    st.sampled_from(images.POLICIES),
    st.sampled_from([1, 3]),
)
def test_fit_gives_the_size(height, width, size, policy, channels):
    image = np.full((height, width, channels), 77, np.uint8)
    fitted = images.fit_image(image, size, policy)
    assert fitted.shape == (size, size, channels)
    assert (fitted == 77).all()  # no policy invents a colour


def test_fit_policies():
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = 200
    assert (images.fit_image(wide, 10, "crop") == 200).all()  # the central square, pixel by pixel
    assert (images.fit_image(PICTURE[:, :13], 13, "crop") == PICTURE[:, :13]).all()
    stretched = images.fit_image(wide, 30, "stretch")
    assert (stretched[:, 13:17] == 200).all()
    assert (stretched[:, :6] == 0).all()


def test_pad_never_enlarges_and_takes_the_border_colour():
    small = np.full((28, 28, 1), 9, np.uint8)
    small[5:20, 5:20, 0] = RNG.integers(0, 256, (15, 15))
    padded = images.fit_image(small, 32, "pad")
    assert (padded[2:30, 2:30] == small).all()
    assert (padded[:2] == 9).all()
    assert (padded[:, 30:] == 9).all()
    tall = images.fit_image(np.full((200, 50, 3), 40, np.uint8), 32, "pad")
    assert (tall == 40).all()


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: images.fit_image(PICTURE, 8, "krop"), 'Unknown way to fit a picture "krop". Did you mean "crop"'),
        (lambda: images.fit_image(PICTURE, 0), "at least 1 pixel; got 0"),
        (lambda: images.fit_image(PICTURE.astype(np.float32), 8), "Expected a uint8 picture .*float32"),
        (lambda: images.to_channels(np.zeros((2, 2, 4), np.uint8), 3), "4 channels into 3"),
        (lambda: images.grid([]), "at least one picture"),
        (lambda: images.grid([PICTURE, PICTURE[1:]]), "must have one shape"),
    ],
)
def test_bad_arguments(call, sentence):
    with pytest.raises(GanzooError, match=sentence):
        call()


def test_channels_agree_with_pillow():
    luma = np.asarray(Image.fromarray(PICTURE).convert("L"))[..., None]
    assert (images.to_channels(PICTURE, 1) == luma).all()
    assert (images.to_channels(images.to_channels(luma, 3), 1) == luma).all()
    assert images.to_channels(np.stack([PICTURE] * 2), 1).shape == (2, 13, 21, 1)


def test_float_round_trip():
    levels = np.arange(256, dtype=np.uint8)
    floats = images.to_float(levels)
    assert floats.dtype == np.float32
    assert (floats.min(), floats.max()) == (-1, 1)
    assert (images.to_uint8(floats) == levels).all()
    assert images.to_uint8(np.array([-9.0, 9.0, np.nan])).tolist() == [0, 255, 0]


def test_grid():
    cells = np.stack([np.full((4, 6, 3), i, np.uint8) for i in range(5)])
    sheet = images.grid(cells)
    assert sheet.shape == (2 * 6 + 2, 3 * 8 + 2, 3)
    assert (sheet[2:6, 10:16] == 1).all()
    assert (sheet[8:12, 18:24] == 255).all()  # the empty cell
    assert images.grid(cells, columns=5, pad=0).shape == (4, 30, 3)


def test_png_is_deterministic_whole_and_readable(tmp_path):
    text = {"model": "dcgan/fashion-32", "seed": "0", "note": "größer ✓"}
    for name in ("a.png", "b.png"):
        images.write_png(tmp_path / "new" / name, PICTURE, text)
    first, second = ((tmp_path / "new" / name).read_bytes() for name in ("a.png", "b.png"))
    assert first == second
    with Image.open(tmp_path / "new" / "a.png") as image:
        assert image.text == text
        assert (np.asarray(image) == PICTURE).all()
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["a.png", "b.png"]
    images.write_png(tmp_path / "gray.png", PICTURE[..., :1])
    assert (images.read_image(tmp_path / "gray.png") == PICTURE[..., :1]).all()


def test_png_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(GanzooError, match="Cannot write"):
        images.write_png(tmp_path / "file" / "a.png", PICTURE)


@pytest.mark.parametrize(("colour_type", "depth", "transparent"), KINDS)
def test_transparency_of_every_depth_is_that_of_the_specification(colour_type, depth, transparent):
    data, expected = png(colour_type, depth, transparent)
    # Pillow keeps the high byte of 16-bit colour: less than 1 too low, and as much once more in a half transparent one.
    assert np.abs(images.read_image(data, 3) - expected).max() < (2 if depth == 16 and colour_type else 0.51)


def texts(*chunks):
    """A good PNG with more chunks: each (kind, content), before the pixels and after them."""
    plain = encode(PICTURE)
    extra = b"".join(chunk(kind, content) for kind, content in chunks)
    return plain[:33] + extra + plain[33:-12] + extra + plain[-12:]


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (b"tEXt", b"workflow\0" + b"x" * 3_000_000),
        (b"zTXt", b"workflow\0\0" + zlib.compress(b"x" * 3_000_000)),
        (b"iTXt", b"workflow\0\1\0\0\0" + zlib.compress(b"x" * 3_000_000)),
        (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + b"x" * 3_000_000),
        (b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"x" * 3_000_000)),
        (b"iCCP", b"profile\0\0" + zlib.compress(bytes(3_000_000))),
    ],
)
def test_long_texts_of_a_png_are_no_corruption(kind, content):
    data = texts((kind, content))
    assert (images.read_image(data) == PICTURE).all()
    assert images.image_size(data) == (21, 13, "RGB")


def test_many_texts_of_a_png_are_no_corruption():
    content = b"workflow\0\0" + zlib.compress(b"x" * 1_000_000)
    assert (images.read_image(texts(*[(b"zTXt", content)] * 70)) == PICTURE).all()


def test_a_rotation_in_xmp_is_applied():
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r tiff:Orientation="3"/></x:xmpmeta>'
    for flag, body in ((b"\0", xmp), (b"\1", zlib.compress(xmp))):
        data = texts((b"iTXt", b"XML:com.adobe.xmp\0" + flag + b"\0\0\0" + body))
        assert (images.read_image(data) == PICTURE[::-1, ::-1]).all()


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_deflate", "packbits"])
def test_tiff_is_read(compression):
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = np.asarray(Image.fromarray(PICTURE).transpose(Image.Transpose.ROTATE_270))
    assert (images.read_image(encode(PICTURE, "TIFF", compression=compression, exif=exif)) == upright).all()
    gray = Image.fromarray(PICTURE[..., 0].astype(np.uint16) * 257)
    assert (images.read_image(encode(gray, "TIFF", compression=compression)) == PICTURE[..., :1]).all()
    data = encode(RNG.integers(0, 256, (64, 64, 3), np.uint8), "TIFF", compression=compression)
    with pytest.raises(ImageError, match="truncated TIFF") as caught:
        images.read_image(data[: len(data) // 2])
    assert caught.value.kind == "truncated"


def test_floats_in_a_tiff_are_refused():
    with pytest.raises(ImageError, match="32-bit floats"):
        images.read_image(encode(Image.fromarray(PICTURE[..., 0].astype(np.float32) / 255), "TIFF"))


def test_served_graphs_take_no_tiff():
    data = encode(PICTURE, "TIFF")
    assert images.image_size(data) == (21, 13, "RGB")
    assert images.image_size(data, images.SERVED) is None


@pytest.mark.parametrize("kind", ["16-bit", "RGBA", "palette"])
def test_a_large_picture_is_converted_in_parts(kind):
    """Arrays of a 16-bit picture of 8,000 px side took 1.6 GB besides Pillow's own; now little more than the result."""
    side = 3000
    large = {
        "16-bit": lambda: Image.fromarray(np.zeros((side, side), np.uint16)),
        "RGBA": lambda: Image.new("RGBA", (side, side), (1, 2, 3, 4)),
        "palette": lambda: Image.new("P", (side, side)),
    }[kind]()
    data = encode(large, compress_level=1)
    tracemalloc.start()
    try:
        result = images.read_image(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < result.nbytes + 20 * images.BAND + len(data)


@pytest.mark.parametrize(
    ("height", "width", "pixels", "expected"),
    [(30, 40, 300, (15, 20)), (1000, 1, 10, (10, 1)), (1, 1000, 10, (1, 10)), (7, 7, 48, (6, 6))],
)
def test_a_picture_is_made_smaller_in_its_proportions(height, width, pixels, expected):
    small = images.at_most(np.full((height, width, 3), 9, np.uint8), pixels)
    assert small.shape == (*expected, 3)
    assert (small == 9).all()
    kept = np.zeros((3, 4, 1), np.uint8)
    assert images.at_most(kept, 12) is kept
