"""PNG files of every colour type and depth, written byte by byte, and what the specification says that they show on white."""

import struct
import zlib

import numpy as np

SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # colour type -> numbers of a pixel
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
# (colour type, depth, whether a tRNS chunk makes a part of it transparent)
KINDS = [
    (k, d, t) for k, depths in DEPTHS.items() for d in depths for t in ((False, True) if k in (0, 2, 3) else (False,))
]


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(colour_type, depth, transparent, height=8, width=9):
    """(the file, float (height, width, 3) in 0..255)."""
    rng = np.random.default_rng(colour_type * 100 + depth)
    samples, top = SAMPLES[colour_type], 2**depth - 1
    values = rng.integers(0, top + 1, (height, width, samples))
    chunks = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0))
    if colour_type == 3:
        palette = rng.integers(0, 256, (top + 1, 3))
        chunks += chunk(b"PLTE", palette.astype(np.uint8).tobytes())
        alphas = np.full(top + 1, 255)
        if transparent:
            alphas[: top // 2 + 1] = rng.integers(0, 250, top // 2 + 1)
            chunks += chunk(b"tRNS", alphas[: top // 2 + 1].astype(np.uint8).tobytes())
        colours, alpha = palette[values[..., 0]], alphas[values[..., 0]] / 255
    else:
        has_alpha = colour_type in (4, 6)
        if not has_alpha:
            key = np.array([0x1234, 0x3456, 0x5678][:samples]) & top | 1
            values[::2, :4] = key
            values[1, :4] = key ^ (1 if depth == 16 else 0)  # 16 bits: equal in the high byte alone, so not transparent
        colours = values[..., : samples - has_alpha] * (255 / top)
        alpha = values[..., -1] / top if has_alpha else np.ones((height, width))
        if transparent:
            chunks += chunk(b"tRNS", struct.pack(f">{samples}H", *key))
            alpha = 1.0 - (values == key).all(-1)
        colours = np.broadcast_to(colours, (height, width, 3))
    rows = values.reshape(height, -1)
    if depth == 16:
        packed = [row.astype(">u2").tobytes() for row in rows]
    else:
        bits = rows[..., None] >> np.arange(depth - 1, -1, -1) & 1
        packed = [np.packbits(row.astype(np.uint8).reshape(-1)).tobytes() for row in bits]
    chunks += chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in packed))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks, colours * alpha[..., None] + 255 * (1 - alpha[..., None])
