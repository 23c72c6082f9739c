"""Shapes as pictures and meshes: a shaded voxel renderer in NumPy alone, turntables, and marching cubes (extra `3d`).

A shape is a grid of numbers in [0, 1], axes x (right), y (up), z (towards the viewer at azimuth 0); a voxel above the
threshold is filled. No display and no graphics library is needed: a picture is a few hundred thousand look-ups.
"""

import functools
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ganzoo.errors import GanzooError, missing_extra

AZIMUTH, ELEVATION = 35.0, 25.0  # degrees: a three-quarter view from above
THRESHOLD = 0.5
HALF_VIEW = 0.74  # of the grid's side: from this elevation a full cube just fits at every azimuth
STEP = 0.5  # voxels between two look-ups along a ray
COLOUR = np.array([0.93, 0.72, 0.47])  # of the material
WHITE = 250
KEPT = 2**23  # bytes of a view, about, up to which it is kept
LIGHT = np.array([-0.45, 0.75, 0.55])  # from the upper left, turns with the camera
MESHES = (".glb", ".obj", ".stl")


def picture_side(size: int) -> int:
    """Pixels of a picture's side for a grid of `size` voxels: four a voxel, 64 to 256."""
    return min(256, max(64, 4 * size))


def rays(size: int, side: int, azimuth: float = AZIMUTH, elevation: float = ELEVATION):
    """Parallel rays through a grid, one for each pixel: float32 starts (side * side, 3), direction (3,), steps (K,).

    Pixel p looks at starts[p] + steps[k] * direction, in voxels; the grid fills [0, size) of each axis. Row by row.
    """
    right, up, towards = camera(azimuth, elevation)
    offsets = (np.arange(side) + 0.5) / side * 2 - 1
    u, v = np.meshgrid(offsets, -offsets)  # the first row is the upper one
    reach = 3**0.5 / 2 * size
    plane = HALF_VIEW * size * (u.reshape(-1, 1) * right + v.reshape(-1, 1) * up)
    starts = size / 2 + plane + reach * towards
    steps = np.arange(0, 2 * reach, STEP)
    return starts.astype(np.float32), -towards.astype(np.float32), steps.astype(np.float32)


def camera(azimuth: float, elevation: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit vectors of a camera, angles in degrees: to its right, up, and from the scene towards it."""
    a, e = np.deg2rad(azimuth), np.deg2rad(elevation)
    towards = np.array([np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)])
    right = np.array([np.cos(a), 0.0, -np.sin(a)])
    return right, np.cross(towards, right), towards


def render(
    shapes,
    side: int | None = None,
    *,
    azimuth: float = AZIMUTH,
    elevation: float = ELEVATION,
    threshold: float = THRESHOLD,
    smooth: int = 1,
) -> np.ndarray:
    """Shaded pictures of shapes: uint8 (n, side, side, 3), the material on near-white.

    The surface is where the interpolated grid crosses the threshold; its light is that of one lamp, of the sky, and
    less of it in corners.

    Args:
        shapes: (n, S, S, S, 1) or (n, S, S, S), numbers in [0, 1] or bool.
        side: pixels; `picture_side(S)` by default.
        azimuth, elevation: degrees; the camera turns around the up axis, and rises.
        smooth: 2 draws at twice the side and takes means, for soft edges.

    Raises:
        GanzooError: another shape of array, or numbers that are not finite.
    """
    grids = as_grids(shapes)
    size = grids.shape[1]
    side = side or picture_side(size)
    view = _kept_view if 8 * (side * smooth) ** 2 * size <= KEPT else _view
    starts, direction, steps, places = view(size, side * smooth, azimuth, elevation)
    axes = camera(azimuth, elevation)
    lamp = LIGHT @ np.stack(axes)
    lamp /= np.linalg.norm(lamp)
    pictures = [_picture(grid, starts, direction, steps, places, lamp, threshold) for grid in grids]
    pictures = np.stack(pictures).reshape(len(grids), side, smooth, side, smooth, 3).mean((2, 4))
    return np.rint(pictures).astype(np.uint8)


def turntable(shapes, frames: int = 36, side: int | None = None, **options) -> np.ndarray:
    """Pictures of shapes from all sides, the camera on a full circle: uint8 (frames, n, side, side, 3)."""
    angles = AZIMUTH + 360.0 * np.arange(frames) / frames
    return np.stack([render(shapes, side, azimuth=angle, **options) for angle in angles])


def shrunk(shapes, size: int) -> np.ndarray:
    """float32 (n, size, size, size): means of k x k x k voxels, k = S / size; as they are where S is not larger."""
    grids = as_grids(shapes)
    k = max(1, grids.shape[1] // size)
    return grids.reshape(len(grids), *[n for side in grids.shape[1:] for n in (side // k, k)]).mean((2, 4, 6))


def as_grids(shapes) -> np.ndarray:
    """float32 (n, S, S, S) of an array with or without the last axis of one channel. Raises GanzooError for others."""
    array = np.asarray(shapes)
    grids = array[..., 0] if array.ndim == 5 and array.shape[-1] == 1 else array
    if grids.ndim != 4 or not len(grids) or len(set(grids.shape[1:])) != 1 or grids.shape[1] < 2:
        raise GanzooError(f"Shapes are an array (n, S, S, S) or (n, S, S, S, 1) of cubes; received {array.shape}.")
    if not np.issubdtype(grids.dtype, np.number) and grids.dtype != bool:
        raise GanzooError(f"A voxel is a number in [0, 1] or a bool; received {array.dtype}.")
    grids = grids.astype(np.float32)
    if not np.isfinite(grids).all():
        raise GanzooError("A voxel is a number in [0, 1]; the shapes hold NaN or infinity.")
    return grids


def _view(size: int, side: int, azimuth: float, elevation: float):
    """The rays of a view and the voxels on their way: all that does not depend on the shape."""
    starts, direction, steps = rays(size, side, azimuth, elevation)
    return starts, direction, steps, _places(starts, direction, steps, size)


_kept_view = functools.lru_cache(maxsize=16)(_view)  # training pairs come back to the same few views


def _places(starts, direction, steps, size: int) -> np.ndarray:
    """int32 (P, K): which voxel of a grid padded by 2, laid flat, each point of each ray lies in; 0, an empty one, outside."""
    places, width = np.zeros((len(starts), len(steps)), np.int32), size + 4
    inside = np.ones(places.shape, bool)
    for axis in range(3):
        cells = np.floor(starts[:, axis, None] + steps * direction[axis]).astype(np.int32) + 2
        inside &= (cells >= 1) & (cells < size + 3)
        places = places * width + cells
    return np.where(inside, places, 0)


def _picture(grid, starts, direction, steps, places, lamp, threshold) -> np.ndarray:
    """float (P, 3) colours 0..255 of the rays."""
    padded = np.pad(grid, 2)  # interpolation and slopes need no test of the borders
    near = _spread(padded > threshold)
    colours = np.full((len(starts), 3), float(WHITE))
    # 1. Where along each ray is a filled voxel near? 2. There, interpolate. 3. The first crossing is the surface.
    p, k = np.nonzero(near.reshape(-1)[places])
    values = _interpolated(padded, starts[p] + steps[k, None] * direction)
    solid = values > threshold
    p, k, values = p[solid], k[solid], values[solid]
    p, first = np.unique(p, return_index=True)
    if not len(p):
        return colours
    t = steps[k[first]]
    before = _interpolated(padded, starts[p] + (t - STEP)[:, None] * direction)
    rise = np.maximum(values[first] - before, 1e-6)
    t = t - STEP * np.clip((values[first] - threshold) / rise, 0, 1)
    points = starts[p] + t[:, None] * direction
    # Slopes of a blurred grid: the steps of single voxels would flicker.
    soft = _blurred(padded)
    axes = np.eye(3, dtype=np.float32)
    slope = np.stack([_interpolated(soft, points - axis) - _interpolated(soft, points + axis) for axis in axes], 1)
    normal = slope / np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 1e-6)
    open_sky = 1 - _interpolated(_blurred(soft), points + 2 * normal)  # corners see less of the sky
    light = 0.62 * np.maximum(normal @ lamp, 0) + (0.30 + 0.16 * normal[:, 1]) * np.clip(open_sky, 0.3, 1)
    colours[p] = 255 * np.clip(COLOUR * (1.1 * light)[:, None], 0, 1)
    return colours


def _interpolated(padded: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Trilinear values of a grid, padded by 2, at points (n, 3) in voxels; voxel i has its centre at i + 0.5."""
    top = len(padded) - 2
    points = np.clip(points + 1.5, 0, top)
    low = np.minimum(points.astype(np.int32), top)
    share = points - low
    flat, width = padded.reshape(-1), len(padded)
    corner = (low[:, 0] * width + low[:, 1]) * width + low[:, 2]
    x, y, z = share.T
    far = (
        flat[corner + width * width + i * width] * (1 - z) + flat[corner + width * width + i * width + 1] * z
        for i in (0, 1)
    )
    near = (flat[corner + i * width] * (1 - z) + flat[corner + i * width + 1] * z for i in (0, 1))
    (n0, n1), (f0, f1) = near, far
    return (n0 * (1 - y) + n1 * y) * (1 - x) + (f0 * (1 - y) + f1 * y) * x


def _spread(filled: np.ndarray) -> np.ndarray:
    """bool grid with every voxel whose neighbours (26) or itself are filled."""
    for axis in range(3):
        rolled = [np.roll(filled, shift, axis) for shift in (-1, 1)]  # the borders are empty
        filled = filled | rolled[0] | rolled[1]
    return filled


def _blurred(padded: np.ndarray) -> np.ndarray:
    for axis in range(3):
        padded = 0.5 * padded + 0.25 * (np.roll(padded, 1, axis) + np.roll(padded, -1, axis))
    return padded


# ---- meshes ----------------------------------------------------------------------------------------------------------
def mesh_of(shape, threshold: float = THRESHOLD):
    """The surface of one shape (S, S, S) or (S, S, S, 1) as a `trimesh.Trimesh`: closed, the grid's side is 1.

    Raises:
        GanzooError: nothing is filled, or the packages of the extra `3d` are missing.
    """
    trimesh, measure = _packages()
    grid = as_grids(np.asarray(shape)[None])[0]
    if not (grid > threshold).any():
        raise GanzooError(f"No voxel of the shape lies above the threshold {threshold:g}: it has no surface.")
    # Beyond a border of empty voxels, so that the surface closes where the shape meets the end of its grid.
    vertices, faces, *_ = measure.marching_cubes(np.pad(grid, 1), threshold, gradient_direction="ascent")
    mesh = trimesh.Trimesh((vertices - 0.5) / len(grid), faces)
    if mesh.volume < 0:
        mesh.invert()
    return mesh


def write_meshes(path: str | Path, shapes, *, threshold: float = THRESHOLD, facts: Mapping[str, str] | None = None):
    """Writes shapes as one .glb, .obj or .stl file; several stand side by side, 1.2 apart. Makes the folder.

    Raises:
        GanzooError: another suffix, nothing filled in any of them, or a file that cannot be written.
    """
    path = Path(path)
    trimesh = check_mesh_name(path)
    grids = as_grids(shapes)
    columns = int(np.ceil(len(grids) ** 0.5))
    meshes = []
    for i, grid in enumerate(grids):
        if (grid > threshold).any():
            mesh = mesh_of(grid, threshold)
            mesh.apply_translation([1.2 * (i % columns), 0, 1.2 * (i // columns)])
            meshes.append(mesh)
    if not meshes:
        raise GanzooError(
            f"No voxel of the shapes lies above the threshold {threshold:g}: there is no surface to write."
        )
    whole = trimesh.util.concatenate(meshes)
    whole.metadata |= dict(facts or {})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        whole.export(path)
    except OSError as error:
        raise GanzooError(f"Cannot write {path}: {error.strerror or error}.") from error


def check_mesh_name(path: Path):
    """trimesh, if a mesh can be written under this name here; else raises GanzooError."""
    if path.suffix.lower() not in MESHES:
        raise GanzooError(f'A mesh is a file that ends in {", ".join(MESHES)}; received "{path}".')
    return _packages()[0]


def _packages():
    try:
        import trimesh
        from skimage import measure
    except ImportError as error:
        raise missing_extra({"skimage": "scikit-image"}.get(error.name or "", error.name or "trimesh"), "3d") from None
    return trimesh, measure
