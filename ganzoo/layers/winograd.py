"""Convolutions with fewer products: Winograd's minimal filtering, F(2x2, 3x3) and F(2x2, 2x2) (Lavin and Gray, 1509.09308), of
pictures and of voxels.

Two neighbours of a convolution with r taps share most of what they read. Along one axis they take r + 1 products in the place of
2r: of sums of a tile's r + 1 places, B^T d, with sums of the taps, G g; sums of the products, A^T m, are the two outputs. On both
axes that is 16 products for 36 (3x3) or 9 for 16 (2x2), on three 27 for 64, and of all tiles, with the channels, a batch of plain
matrix products. A kernel of 4x4 and stride 2 is one of 2x2 over blocks of 2x2 pixels with four times the channels.

All is linear, so that the three maps of a convolution come of the same parts and their transposes: the convolution, its transpose
(the gradient of its input, and the transposed layers), and the gradient of its kernel; each is the gradient of the two others, to any
order. The sums have factors of 1 and 1/2 alone: the numbers are those of a convolution to rounding.
"""

import dataclasses
import functools
import itertools
import math

import numpy as np
import tensorflow as tf

from ganzoo.devices import machine
from ganzoo.layers.folded import cpus_alone

# By the taps r: B^T (r + 1, r + 1), G (r + 1, r) and A^T (2, r + 1), with the signs that leave no bare minus.
TILES = {
    2: np.array([[1, -1, 0], [0, 1, 0], [0, -1, 1]]),
    3: np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, -1, 0, 1]]),
}
KERNELS = {
    2: np.array([[1, 0], [1, 1], [0, 1]]),
    3: np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]]),
}
OUTPUTS = {2: np.array([[1, 1, 0], [0, 1, 1]]), 3: np.array([[1, 1, 1, 0], [0, 1, -1, 1]])}

# (kernel, stride, axes) -> floating point operations to be saved for each number that the sums write, from where on it is faster:
# measured on two cores with AVX2, which multiply 74 GFLOP/s and move 26 GB/s (benchmarks/README.md). One with AVX-512 multiplies
# three times as fast and moves hardly more; its figures follow from that and are not measured.
LEAST_SAVED = {(3, 1, 2): 50, (4, 2, 2): 75, (4, 2, 3): 100}
OF_AVX512 = 3


@dataclasses.dataclass(frozen=True)
class Tiling:
    """How a convolution (N, *sides, C) -> (N, *sides, F) of a square kernel lies in tiles; its transpose goes the other way.

    large, small: the two shapes, of pictures or of voxels. side: of the kernel. before: zeros before the first pixel of each axis.
    """

    large: tuple[int, ...]
    small: tuple[int, ...]
    side: int
    stride: int
    before: tuple[int, ...]

    @property
    def axes(self) -> int:
        """Of space."""
        return len(self.before)

    @property
    def taps(self) -> int:
        """r, in blocks of `stride` pixels."""
        return self.side // self.stride

    @property
    def products(self) -> int:
        """Of a tile, for each pair of channels."""
        return (self.taps + 1) ** self.axes

    @property
    def block(self) -> int:
        """Numbers of a block of pixels."""
        return self.stride**self.axes * self.large[-1]

    @property
    def tiles(self) -> tuple[int, ...]:
        """Along each axis; each makes two places of the small map."""
        return tuple(-(-size // 2) for size in self.small[1:-1])

    def saved_a_number(self) -> float:
        """Floating point operations that are saved for each number of the transformed maps and kernel."""
        c, f, tiles = self.block, self.small[-1], self.small[0] * math.prod(self.tiles)
        plain = 2 * self.taps**self.axes * c * f * math.prod(self.small[:-1])
        return (plain / self.products - 2 * tiles * c * f) / (tiles * (c + f) + c * f)

    def pixels(self) -> tf.Tensor:
        """int32 ((r + 1)^axes, N tiles blocks): the pixel of the large map, counted through, at each place of all tiles; behind the
        last pixel where the place lies outside."""
        n, *sizes, _ = self.large
        one = math.prod(sizes)  # picture
        behind = n * one
        place, inner = np.arange(self.taps + 1)[:, None, None], np.arange(self.stride)

        def along(axis):  # (places, tiles, pixels of a block)
            size = sizes[axis]
            found = (2 * np.arange(self.tiles[axis])[:, None] + place) * self.stride + inner - self.before[axis]
            return np.where((found >= 0) & (found < size), found * math.prod(sizes[axis + 1 :]), behind)

        return _counted([along(axis) for axis in range(self.axes)], n, one)

    def places(self) -> tf.Tensor:
        """int32 (N pixels): where each pixel of the large map lies among blocks (N, 2 tiles + 2, ..., stride, ...); behind the last
        one if no tile reads it."""
        n, *sizes, _ = self.large
        s, blocks = self.stride, [2 * tiles + 2 for tiles in self.tiles]
        one = math.prod(blocks) * s**self.axes  # picture
        behind = n * one

        def along(axis):  # (1, pixels, 1)
            found = np.arange(sizes[axis])[None, :, None] + self.before[axis]
            block, inner = found // s, found % s
            later = math.prod(blocks[axis + 1 :]) * s**self.axes, s ** (self.axes - 1 - axis)
            return np.where(block < blocks[axis], block * later[0] + inner * later[1], behind)

        return tf.reshape(_counted([along(axis) for axis in range(self.axes)], n, one), [-1])

    # B^T d and its transpose; what is transformed is ((r + 1)^axes, N tiles, numbers of a block).

    def of_large(self, x: tf.Tensor) -> tf.Tensor:
        d = _taken(tf.reshape(x, [-1, self.large[-1]]), self.pixels())
        v = tf.matmul(self._on_all_axes(TILES), tf.reshape(d, [self.products, -1]))
        return tf.reshape(v, [self.products, -1, self.block])

    def to_large(self, v: tf.Tensor) -> tf.Tensor:
        rows, places = self.large[0] * self.products, self.taps + 1
        for axis, tiles in enumerate(self.tiles):
            rows //= places
            v = tf.reshape(v, [places, rows, tiles, math.prod(self.tiles[axis + 1 :]) * self.block])
            v = _sum_overlapping(_sums(TILES[self.taps].T, tf.unstack(v)))
            rows *= 2 * (tiles + 1)
        return tf.reshape(_taken(tf.reshape(v, [-1, self.large[-1]]), self.places()), self.large)

    # A^T m and its transpose; what is transformed is ((r + 1)^axes, N tiles, F).

    def to_small(self, m: tf.Tensor) -> tf.Tensor:
        n, *sizes, f = self.small
        y = tf.matmul(self._on_all_axes(OUTPUTS), tf.reshape(m, [self.products, -1]))
        inner, outer = range(self.axes), range(self.axes, 2 * self.axes)
        y = tf.reshape(y, [*[2] * self.axes, n * self.tiles[0], *self.tiles[1:], f])
        y = tf.transpose(y, [*itertools.chain(*zip(outer, inner, strict=True)), 2 * self.axes])
        y = tf.reshape(y, [n, *(2 * tiles for tiles in self.tiles), f])
        return y[(slice(None), *(slice(size) for size in sizes))]

    def of_small(self, y: tf.Tensor) -> tf.Tensor:
        n, *sizes, f = self.small
        more = [[0, 2 * tiles - size] for tiles, size in zip(self.tiles, sizes, strict=True)]
        y = tf.pad(y, [[0, 0], *more, [0, 0]])
        y = tf.reshape(y, [n * self.tiles[0], 2, *itertools.chain(*((tiles, 2) for tiles in self.tiles[1:])), f])
        y = tf.transpose(y, [*range(1, 2 * self.axes, 2), *range(0, 2 * self.axes, 2), 2 * self.axes])
        m = tf.matmul(self._on_all_axes(OUTPUTS), tf.reshape(y, [2**self.axes, -1]), transpose_a=True)
        return tf.reshape(m, [self.products, -1, f])

    # G g and its transpose; what is transformed is ((r + 1)^axes, numbers of a block, F).

    def of_kernel(self, kernel: tf.Tensor) -> tf.Tensor:
        g = tf.reshape(kernel, [self.side**self.axes, -1])
        if self.stride > 1:  # gathered, not transposed, which takes a hundred times as long of these on two threads
            g = tf.gather(g, self._taps_by_block().reshape(-1))
        u = tf.matmul(self._on_all_axes(KERNELS), tf.reshape(g, [self.taps**self.axes, -1]))
        return tf.reshape(u, [self.products, self.block, self.small[-1]])

    def to_kernel(self, u: tf.Tensor) -> tf.Tensor:
        g = tf.matmul(self._on_all_axes(KERNELS), tf.reshape(u, [self.products, -1]), transpose_a=True)
        if self.stride > 1:
            g = tf.gather(tf.reshape(g, [self.side**self.axes, -1]), np.argsort(self._taps_by_block(), axis=None))
        return tf.reshape(g, [*[self.side] * self.axes, self.large[-1], self.small[-1]])

    def _taps_by_block(self) -> np.ndarray:
        """int (r^axes, stride^axes): the tap of the kernel, counted through, at each pixel of each of a tap's blocks."""
        taps = np.arange(self.side**self.axes).reshape((self.taps, self.stride) * self.axes)
        return taps.transpose(*range(0, 2 * self.axes, 2), *range(1, 2 * self.axes, 2)).reshape(
            self.taps**self.axes, -1
        )

    def _on_all_axes(self, matrices: dict[int, np.ndarray]) -> np.ndarray:
        """What the matrix of one axis does on all."""
        return functools.reduce(np.kron, [matrices[self.taps]] * self.axes).astype(np.float32)


def tiling(large: tf.TensorShape, small: tf.TensorShape, kernel: tf.Tensor, stride: int, padding: str) -> Tiling | None:
    """The tiles of a convolution from `large` to `small`, or of the transposed one from `small` to `large`, where they pay.

    kernel: float32 (k, k, C, F) or (k, k, k, C, F). padding: "valid" or "same". None where a size is not known, in another
    precision, on a GPU or TPU, whose own kernels are the fast ones, and where the convolution as an operation is as fast.
    """
    (side, *others), axes = kernel.shape[:-2], len(kernel.shape) - 2
    if any(other != side for other in others) or (side, stride, axes) not in LEAST_SAVED:
        return None
    if kernel.dtype != tf.float32 or not cpus_alone() or not large.is_fully_defined() or not small.is_fully_defined():
        return None

    def zeros(few, many):  # before the first pixel of an axis
        return max((few - 1) * stride + side - many, 0) // 2 if padding == "same" else 0

    before = tuple(zeros(few, many) for few, many in zip(small[1:-1], large[1:-1], strict=True))
    found = Tiling(tuple(large), tuple(small), side, stride, before)
    return found if found.saved_a_number() >= least_saved(side, stride, axes) else None


@functools.cache
def least_saved(side: int, stride: int, axes: int) -> float:
    """On this processor."""
    return LEAST_SAVED[side, stride, axes] * (OF_AVX512 if "avx512f" in machine.processor_flags() else 1)


def convolve(tiles: Tiling, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """(N, *sides, C) * (k, ..., C, F) -> (N, *sides, F)."""

    @tf.custom_gradient
    def made(x, kernel):
        def gradient(dy):
            return transpose(tiles, dy, kernel), kernel_gradient(tiles, x, dy)

        return tiles.to_small(tf.matmul(tiles.of_large(x), tiles.of_kernel(kernel))), gradient

    return made(x, kernel)


def transpose(tiles: Tiling, y: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """(N, *sides, F), kernel (k, ..., C, F) -> (N, *sides, C)."""

    @tf.custom_gradient
    def made(y, kernel):
        def gradient(dx):
            return convolve(tiles, dx, kernel), kernel_gradient(tiles, dx, y)

        return tiles.to_large(tf.matmul(tiles.of_small(y), tiles.of_kernel(kernel), transpose_b=True)), gradient

    return made(y, kernel)


def kernel_gradient(tiles: Tiling, x: tf.Tensor, dy: tf.Tensor) -> tf.Tensor:
    """(N, *sides, C), (N, *sides, F) -> (k, ..., C, F)."""

    @tf.custom_gradient
    def made(x, dy):
        def gradient(dk):
            return transpose(tiles, dy, dk), convolve(tiles, x, dk)

        return tiles.to_kernel(tf.matmul(tiles.of_large(x), tiles.of_small(dy), transpose_a=True)), gradient

    return made(x, dy)


def _sums(matrix: np.ndarray, parts: list[tf.Tensor]) -> list[tf.Tensor]:
    """A matrix of 1, 0 and -1 times tensors."""
    made = []
    for row in matrix:
        plus, minus = np.flatnonzero(row > 0), np.flatnonzero(row < 0)
        total = parts[plus[0]]
        for place in plus[1:]:
            total = total + parts[place]
        for place in minus:
            total = total - parts[place]
        made.append(total)
    return made


def _sum_overlapping(places: list[tf.Tensor]) -> tf.Tensor:
    """Of 3 or 4 places (A, tiles, R) of tiles that lie two places apart: the sums (A, tiles + 1, 2 R)."""
    none = tf.zeros_like(places[0][:, :1])  # joined, which is faster than padding
    even = tf.concat([places[0], none], 1) + tf.concat([none, places[2]], 1)
    odd = tf.concat([places[1], none], 1)
    if len(places) == 4:
        odd = odd + tf.concat([none, places[3]], 1)
    return tf.concat([even, odd], -1)


def _counted(axes: list[np.ndarray], n: int, one: int) -> tf.Tensor:
    """Places of n pictures of `one` places each, counted through, from what each axis adds to them, (P, T, B): int32 (P of all
    axes, n times T and B of all axes); n * one where an axis has no place. Made in the graph, which then holds no large constant.
    """
    *lead, last = axes

    def joined(a, b):
        both = a[:, None, :, None, :, None] + b[None, :, None, :, None, :]
        return both.reshape([p * q for p, q in zip(a.shape, b.shape, strict=True)])

    rows = np.minimum(functools.reduce(joined, lead), n * one)[:, None] + one * np.arange(n)[:, None, None]
    rows = rows.reshape(len(rows), 1, -1, 1, 1, rows.shape[-1])
    last = tf.constant(last[None, :, None], tf.int32)
    # Stacked, not transposed: of that oneDNN has no form for int32 without AVX-512, and says so as an error.
    found = tf.stack([tf.constant(rows[..., block], tf.int32) + last for block in range(rows.shape[-1])], -2)
    return tf.reshape(tf.minimum(found, n * one), [found.shape[0] * found.shape[1], -1])


def _taken(rows: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
    """The rows (R, C) at places; zeros at place R."""
    return tf.gather(tf.concat([rows, tf.zeros_like(rows[:1])], 0), places)
