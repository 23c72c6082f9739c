"""furniture_voxels_32: voxel grids of 748 free furniture models of Sweet Home 3D (CC0 and CC BY 3.0, by model).

    apt-get download sweethome3d-furniture && dpkg-deb -x sweethome3d-furniture_1.8-1_all.deb PKG     # five .sh3f files

1. Each `.sh3f` is a zip with OBJ meshes and `PluginFurnitureCatalog.properties` (latin-1): name, category, size in cm,
   creator, licence, and for 33 models `modelRotation` (row-major 3 x 3, v' = R v), which must be applied.
2. Axes are x, y (up), z. One scale per model: the longest side fills the grid. Polygons are fans of triangles.
3. `surface` below fills the voxels that the surface passes; then the inside is filled (scipy.ndimage.binary_fill_holes), at
   64; `half` makes 32 of it by the maximum of 2 x 2 x 2.
4. 14 super-classes by regular expressions over name and file, lamps before tables ("desk lamp"); what fits none is "other".
5. Grids with an overlap (intersection over union) above 0.8 form near-duplicate groups; whole groups go to train, test, or
   are held back (72 grids), about 9 % of every super-class each.
6. `CREDITS_furniture.csv` names library, creator and licence of every model.
"""

import numpy as np

PACKAGES = ("Debian sweethome3d-furniture 1.8-1",)
FETCH = "apt-get download sweethome3d-furniture"


def surface(triangles: np.ndarray, side: int) -> np.ndarray:
    """Voxels (side, side, side) bool that triangles (n, 3 corners, 3) touch; corners are in voxel units, [0, side)."""
    grid = np.zeros((side, side, side), bool)
    for a, b, c in triangles:
        longest = max(np.linalg.norm(a - b), np.linalg.norm(b - c), np.linalg.norm(c - a))
        steps = int(np.ceil(1.6 * longest)) + 1  # barycentric steps finer than a voxel
        u, v = np.meshgrid(np.linspace(0, 1, steps + 1), np.linspace(0, 1, steps + 1))
        u, v = u[u + v <= 1][:, None], v[u + v <= 1][:, None]
        points = np.clip((a + u * (b - a) + v * (c - a)).astype(int), 0, side - 1)
        grid[tuple(points.T)] = True
    return grid


def half(grid: np.ndarray) -> np.ndarray:
    """A grid of half the side: the maximum of every 2 x 2 x 2 block."""
    n = grid.shape[0] // 2
    return np.any(grid.reshape(n, 2, n, 2, n, 2), axis=(1, 3, 5))
