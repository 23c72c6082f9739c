"""Voxel grids out of files: `.binvox`, `.npz`, and meshes (OBJ, STL, GLB, OFF; extra `3d`), which are filled with voxels here.

Grids are bool (S, S, S) with the axes x, y (up), z. What a voxelised mesh came to is kept in GANZOO_CACHE, or in
~/.cache/ganzoo: a file may be deleted at any time.
"""

import contextlib
import hashlib
import io
import math
import os
import re
import struct
from pathlib import PurePosixPath

import numpy as np

from ganzoo import files
from ganzoo.errors import GanzooError, missing_extra
from ganzoo.files import parse_json

MESHES = (".obj", ".stl", ".glb", ".off")
SUFFIXES = (".binvox", ".npz", *MESHES)
Z_UP = (".stl", ".off")  # what "auto" takes: CAD and ModelNet have z up, OBJ and glTF y
MAX_SIDE = 512
MAX_FACES = 5_000_000
# glTF: numbers of an element, and bytes of a number.
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
BYTES = {5120: 1, 5121: 1, 5122: 2, 5123: 2, 5125: 4, 5126: 4}
POINTS = 2_000_000  # of the surface that are computed at once: 48 MB
MAX_HEADER = 2**16  # bytes of a binvox file in which its data must begin
MAX_GRID = 2 * MAX_SIDE**3  # bytes of one grid, unpacked: the largest one in 16 bits
MAX_GRIDS = 2**33  # bytes of all grids in one npz file
DIM = re.compile(rb"dim\s+(\d{1,9})\s+(\d{1,9})\s+(\d{1,9})")


def read_grid(data: bytes, name: str, size: int, up: str = "auto") -> tuple[np.ndarray, bool]:
    """(grid (size, size, size), closed) of one file; `closed` is False for a mesh with holes or non-manifold edges.

    Args:
        name: what sentences call the file; its suffix says what it is.
        up: the axis of a mesh that points up: "y", "z", or "auto", by its suffix.

    Raises:
        GanzooError: whatever is wrong with the file, as a sentence.
    """
    suffix = PurePosixPath(name).suffix.lower()
    if not data:
        raise GanzooError(f"{name} is empty (0 bytes).")
    if suffix == ".binvox":
        return fitted(read_binvox(data, name), size, name), True
    if suffix == ".npz":
        return fitted(
            _only_grid(read_npz(io.BytesIO(data), name, columns=(), limit=MAX_GRID)["voxels"], name), size, name
        ), True
    return _cached_mesh(data, name, suffix, size, ("z" if suffix in Z_UP else "y") if up == "auto" else up)


def read_binvox(data: bytes, name: str) -> np.ndarray:
    """bool (S, S, S) of a binvox file: a text header, then run lengths, y fastest, then z, then x."""
    sides, start = _binvox_header(data, name)
    if len(set(sides)) != 1 or not 1 < sides[0] <= MAX_SIDE:
        shown = " x ".join(map(str, sides))
        raise GanzooError(f"{name} is a grid of {shown}; cubes of 2 to {MAX_SIDE} voxels a side are read.")
    runs = np.frombuffer(data, np.uint8, offset=start)
    values, counts = runs[0::2], runs[1::2].astype(np.int64)
    if len(runs) % 2 or counts.sum() != sides[0] ** 3 or values.max(initial=0) > 1:
        raise GanzooError(f"{name} is a damaged binvox file: its runs hold {counts.sum()} of {sides[0] ** 3} voxels.")
    return np.repeat(values, counts).astype(bool).reshape([sides[0]] * 3).transpose(0, 2, 1)


def _binvox_header(data: bytes, name: str) -> tuple[list[int], int]:
    """(the three sides, where the runs begin). Lines in any order: dim, translate and scale, which are not needed here,
    and others, such as comments, up to the line "data"."""
    sides, start = None, 0
    while start < min(len(data), MAX_HEADER):
        end = data.find(b"\n", start, MAX_HEADER)
        if end < 0:
            break
        line, first, start = data[start:end].strip(), start == 0, end + 1
        if first and line.split() != [b"#binvox", b"1"]:
            break
        if match := DIM.fullmatch(line):
            sides = [int(side) for side in match.groups()]
        if line == b"data":
            if sides is None:
                raise GanzooError(f'{name} is a binvox file without a line "dim", which says how large its grid is.')
            return sides, start
    raise GanzooError(f"{name} is not a binvox file of version 1.")


def read_npz(
    file, name: str, *, columns: tuple[str, ...] = ("split", "label"), limit: int = MAX_GRIDS
) -> dict[str, np.ndarray]:
    """The grids of an npz file (a path or a stream) as `voxels`, and those of its `columns` that are there; no other array
    is read. If it holds one array only, its name does not matter.

    Grids are (S, S, S), (n, S, S, S), either with a last axis of one channel, or bits (n, S^3 / 8) of `np.packbits`.

    Raises:
        GanzooError: no such file, grids of another form, or more than `limit` bytes of them, which are then not unpacked.
    """
    held: list[str] = []

    def choose(names: list[str]) -> list[str]:
        held.extend(names)
        return names if len(names) == 1 else [key for key in ("voxels", *columns) if key in names]

    arrays = files.read_npz(file, name, choose=choose, limit=limit)
    if len(held) == 1:
        arrays = {"voxels": arrays[held[0]]}
    if "voxels" not in arrays:
        raise GanzooError(f'{name} contains no array "voxels"; it has {", ".join(held)[:80] or "none"}.')
    grids = arrays["voxels"]
    grids = grids[..., 0] if grids.ndim in (4, 5) and grids.shape[-1] == 1 else grids
    if grids.ndim == 2 and grids.dtype == np.uint8:
        side = round((grids.shape[1] * 8) ** (1 / 3))
        if side**3 == grids.shape[1] * 8:
            grids = np.unpackbits(grids, axis=1).reshape(-1, side, side, side)
    cube = grids.ndim in (3, 4) and len(set(grids.shape[-3:])) == 1 and 1 < grids.shape[-1] <= MAX_SIDE
    if not cube or grids.dtype.kind not in "biuf":
        raise GanzooError(
            f"{name} holds voxels of shape {arrays['voxels'].shape} and {grids.dtype}; read are cubes (S, S, S) or "
            f"(n, S, S, S) of bool or numbers, S of 2 to {MAX_SIDE}."
        )
    if grids.dtype.kind == "f" and not np.isfinite(grids).all():
        raise GanzooError(f"The voxels of {name} hold NaN or infinity.")
    return arrays | {"voxels": grids > (0.5 if grids.dtype.kind == "f" else 0)}


def fitted(grids: np.ndarray, size: int, name: str) -> np.ndarray:
    """Grids (..., S, S, S) at `size` voxels a side: as they are, or the maximum of each k x k x k block.

    Raises:
        GanzooError: a side that is not a multiple of `size`, or a grid without a filled voxel.
    """
    side = grids.shape[-1]
    if side % size:
        raise GanzooError(
            f"{name} has {side} voxels a side, and data.size is {size}: a grid must have that size or a multiple of it."
        )
    if not grids.any(axis=(-3, -2, -1)).all():
        raise GanzooError(f"{name} holds an empty grid: no voxel is filled.")
    k = side // size
    blocks = grids.reshape(*grids.shape[:-3], size, k, size, k, size, k)
    return np.any(blocks, axis=(-5, -3, -1))


def _only_grid(grids: np.ndarray, name: str) -> np.ndarray:
    if grids.ndim == 4 and len(grids) != 1:
        raise GanzooError(
            f"{name} holds {len(grids)} grids; inside a folder a file holds one. Name the npz file itself as data.source."
        )
    return grids[0] if grids.ndim == 4 else grids


# ---- meshes ----------------------------------------------------------------------------------------------------------
def _cached_mesh(data: bytes, name: str, suffix: str, size: int, up: str) -> tuple[np.ndarray, bool]:
    key = hashlib.sha256(data + f"voxels 1 {suffix} {size} {up}".encode()).hexdigest()
    path = files.given_path(os.environ.get("GANZOO_CACHE") or "~/.cache/ganzoo") / "voxels" / f"{key}.npy"
    count = size**3
    try:
        kept = path.read_bytes()
    except OSError:
        kept = b""
    if len(kept) == 1 + -(-count // 8):  # one byte for `closed`, then the bits
        bits = np.unpackbits(np.frombuffer(kept, np.uint8, offset=1), count=count)
        return bits.astype(bool).reshape([size] * 3), bool(kept[0])
    vertices, faces = read_mesh(data, name, suffix)
    if up == "z":
        vertices = np.stack([vertices[:, 0], vertices[:, 2], -vertices[:, 1]], axis=1)
    grid, closed = voxelise(vertices, faces, size, name), is_closed(vertices, faces)
    with contextlib.suppress(OSError):  # a read-only or full disk: the grid is right, it is only not kept
        files.write_bytes(path, bytes([closed]) + np.packbits(grid).tobytes())
    return grid, closed


def read_mesh(data: bytes, name: str, suffix: str) -> tuple[np.ndarray, np.ndarray]:
    """float64 vertices (n, 3) and int64 faces (m, 3) of a mesh file, all its parts as one."""
    try:
        import trimesh
    except ImportError:
        raise missing_extra("trimesh", "3d") from None
    if suffix == ".glb":
        check_glb(data, name)
    try:
        mesh = trimesh.load(io.BytesIO(data), file_type=suffix[1:], force="mesh", process=False, skip_materials=True)
        vertices, faces = np.asarray(mesh.vertices, np.float64), np.asarray(mesh.faces, np.int64)
    except (
        Exception
    ) as error:  # its parsers fail in many ways on damaged files; each is a bad file, none a reason to stop
        raise GanzooError(
            f"{name} cannot be read as a mesh: {str(error).rstrip('.') or type(error).__name__}."
        ) from error
    if not len(faces):
        raise GanzooError(f"{name} has no faces: there is nothing to fill with voxels.")
    if len(faces) > MAX_FACES:
        raise GanzooError(f"{name} has {len(faces):,} faces; at most {MAX_FACES:,} are read. Simplify the mesh first.")
    if faces.min() < 0 or faces.max() >= len(vertices) or not np.isfinite(vertices[faces]).all():
        raise GanzooError(f"{name} is a damaged mesh: a face names a vertex that is missing or not finite.")
    return vertices, faces


def check_glb(data: bytes, name: str) -> None:
    """Refuses a binary glTF file that says to hold far more than it does: a loader would believe it.

    An accessor without a buffer stands for as many zeros as it claims, several may lie on the same bytes, and each node
    draws its mesh once more.
    """
    if len(data) < 20 or data[:4] != b"glTF" or data[16:20] != b"JSON":
        raise GanzooError(f"{name} is not a binary glTF file.")
    scene = parse_json(data[20 : 20 + struct.unpack_from("<I", data, 12)[0]], name)
    try:
        accessors = scene.get("accessors", [])
        counts = [one["count"] for one in accessors]
        if not all(isinstance(count, int) and count >= 0 for count in counts):
            raise TypeError
        size = sum(
            count * WIDTHS[one["type"]] * BYTES[one["componentType"]]
            for count, one in zip(counts, accessors, strict=True)
        )
        drawn = [
            sum(counts[part.get("indices", part["attributes"]["POSITION"])] for part in mesh["primitives"])
            for mesh in scene.get("meshes", [])
        ]
        drawn += [drawn[node["mesh"]] for node in scene.get("nodes", []) if "mesh" in node]
    except (TypeError, KeyError, IndexError, AttributeError, ValueError) as error:
        raise GanzooError(f"{name} cannot be read as a mesh: its lists of parts are damaged.") from error
    if size > 4 * len(data) + 2**20:
        raise GanzooError(
            f"{name} has {len(data):,} bytes and says to hold {size:,}: it is damaged, or compressed by an extension."
        )
    if sum(drawn) > 6 * MAX_FACES:
        raise GanzooError(
            f"{name} draws {sum(drawn) // 3:,} faces; at most {MAX_FACES:,} are read. Simplify the mesh first."
        )


def voxelise(vertices: np.ndarray, faces: np.ndarray, size: int, name: str = "the mesh") -> np.ndarray:
    """bool (size, size, size): voxels that the surface passes and those that it encloses; the longest side fills the grid.

    Raises:
        GanzooError: the mesh has no volume, since all of it lies in one plane.
    """
    corners = vertices[faces]
    points = corners.reshape(-1, 3)
    low, high = points.min(0), points.max(0)
    extent = (high - low).max()
    spread = np.linalg.eigvalsh(np.cov((points - (low + high) / 2).T / extent)) if extent > 0 else np.zeros(3)
    if spread[0] < 1e-12:
        raise GanzooError(f"{name} has no volume: all of its faces lie in one plane.")
    scaled = (corners - (low + high) / 2) * (size * (1 - 1e-6) / extent) + size / 2
    return filled(surface(scaled, size))


def surface(corners: np.ndarray, size: int) -> np.ndarray:
    """Voxels that triangles (n, 3, 3) touch; corners in voxels, [0, size). Points on them lie closer than a voxel."""
    grid = np.zeros([size] * 3, bool)
    longest = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(1)
    steps = np.ceil(1.6 * longest).astype(int) + 1
    for count in np.unique(steps):
        u, v = np.meshgrid(np.linspace(0, 1, count + 1), np.linspace(0, 1, count + 1))
        shares = np.stack([1 - u - v, u, v], axis=-1)[u + v <= 1 + 1e-9]  # (points, 3)
        group = corners[steps == count]
        chunk = max(1, POINTS // len(shares))
        for start in range(0, len(group), chunk):
            points = np.einsum("pc,tcx->tpx", shares, group[start : start + chunk]).reshape(-1, 3)
            grid[tuple(np.clip(points.astype(int), 0, size - 1).T)] = True
    return grid


def filled(walls: np.ndarray) -> np.ndarray:
    """The walls and everything that they enclose: what empty space reaches from the border is outside."""
    empty = np.pad(~walls, 1, constant_values=True)
    outside = np.zeros_like(empty)
    outside[[0, -1]] = outside[:, [0, -1]] = outside[:, :, [0, -1]] = True
    while True:
        reached = outside.copy()
        for axis in range(3):
            front, back = (np.moveaxis(reached, axis, 0)[s] for s in (slice(1, None), slice(None, -1)))
            before, after = (np.moveaxis(outside, axis, 0)[s] for s in (slice(None, -1), slice(1, None)))
            front |= before
            back |= after
        reached &= empty
        if (reached == outside).all():
            return ~outside[1:-1, 1:-1, 1:-1]
        outside = reached


def is_closed(vertices: np.ndarray, faces: np.ndarray) -> bool:
    """Whether every edge belongs to two faces; corners at one place are one vertex."""
    _, same = np.unique(vertices, axis=0, return_inverse=True)
    corners = same.reshape(-1)[faces]
    edges = np.sort(np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [2, 0]]]), axis=1)
    edges = edges[edges[:, 0] != edges[:, 1]]
    keys = edges[:, 0] * (math.prod(same.shape) + 1) + edges[:, 1]
    return bool((np.unique(keys, return_counts=True)[1] == 2).all())
