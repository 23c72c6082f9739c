"""Convolutions with fewer products: Winograd's minimal filtering F(m, r) (Lavin and Gray, 1509.09308), of pictures and of voxels.

Neighbours of a convolution with r taps share most of what they read. Along one axis m of them take m + r - 1 products in the place
of m r: of sums of a tile's m + r - 1 places, B^T d, with sums of the taps, G g; sums of the products, A^T m, are the m outputs. On
both axes that is 16 products for 36 (2x2 outputs of 3x3 taps), 36 for 144 (4x4 of 3x3), 25 for 64 (4x4 of 2x2, 2x2 of 4x4), on
three 27 for 64, and of all tiles, with the channels, a batch of plain matrix products. A kernel with stride 2 has 2x2 or 3x3 taps
over blocks of 2x2 pixels with four times the channels; 3x3 and 5x5 fill their last block with zeros.

All is linear, so that the three maps of a convolution come of the same parts and their transposes: the convolution, its transpose
(the gradient of its input, and the transposed layers), and the gradient of its kernel; each is the gradient of the two others, to any
order. The numbers are those of a convolution to rounding, of which the larger tiles have up to five times as much.
"""

import dataclasses
import functools
import itertools
import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from ganzoo.devices import machine
from ganzoo.layers.folded import cpus_alone

# Where the polynomials behind F(m, r) are taken, besides infinity: the first m + r - 2. The order and the pair of 1/2 and -2 leave
# the least rounding of those tried.
POINTS = (0.0, 1.0, -1.0, 0.5, -2.0)

# (kernel, stride, axes) -> outputs m of a tile that are tried, and the floating point operations to be saved for each number that the
# sums write, from where on it is faster: measured on two cores with AVX2, which multiply 74 GFLOP/s and move 26 GB/s
# (benchmarks/README.md). One with AVX-512 multiplies three times as fast and moves hardly more; its figures follow from that and are
# not measured.
OUTPUTS = {
    (3, 1, 2): (2, 3, 4),
    (3, 2, 2): (4,),
    (4, 1, 2): (2, 3),
    (4, 2, 2): (2, 3, 4),
    (4, 2, 3): (2,),
    (5, 2, 2): (2, 3, 4),
}
LEAST_SAVED = {(3, 1, 2): 50, (3, 2, 2): 50, (4, 1, 2): 50, (4, 2, 2): 70, (4, 2, 3): 100, (5, 2, 2): 70}
OF_AVX512 = 3


class Sums(NamedTuple):
    """The matrices of F(m, r), along one axis."""

    of_tile: np.ndarray  # B^T (m + r - 1, m + r - 1)
    of_taps: np.ndarray  # G (m + r - 1, r)
    of_products: np.ndarray  # A^T (m, m + r - 1)


@functools.cache
def sums(outputs: int, taps: int) -> Sums:
    """By Toom and Cook: the products of two polynomials' values at points are the values of their product."""
    points = POINTS[: outputs + taps - 2]
    places = len(points) + 1
    made = Sums(np.zeros((places, places)), np.zeros((places, taps)), np.zeros((outputs, places)))
    for i, point in enumerate(points):
        others = [other for other in points if other != point]
        made.of_tile[i, :-1] = np.poly(others)[::-1]
        made.of_taps[i] = point ** np.arange(taps) / np.prod(np.subtract(point, others))
        made.of_products[:, i] = point ** np.arange(outputs)
    made.of_tile[-1] = np.poly(points)[::-1]
    made.of_taps[-1, -1] = made.of_products[-1, -1] = 1
    return made


@dataclasses.dataclass(frozen=True)
class Tiling:
    """How a convolution (N, *sides, C) -> (N, *sides, F) of a square kernel lies in tiles; its transpose goes the other way.

    large, small: the two shapes, of pictures or of voxels. side: of the kernel. before: zeros before the first pixel of each axis.
    outputs: m, places of the small map that a tile makes along each axis.
    """

    large: tuple[int, ...]
    small: tuple[int, ...]
    side: int
    stride: int
    before: tuple[int, ...]
    outputs: int

    @property
    def axes(self) -> int:
        """Of space."""
        return len(self.before)

    @property
    def taps(self) -> int:
        """r, in blocks of `stride` pixels; what a kernel lacks to whole blocks is zero."""
        return -(-self.side // self.stride)

    @property
    def span(self) -> int:
        """m + r - 1, the places of a tile along an axis, in blocks."""
        return self.outputs + self.taps - 1

    @property
    def products(self) -> int:
        """Of a tile, for each pair of channels."""
        return self.span**self.axes

    @property
    def block(self) -> int:
        """Numbers of a block of pixels."""
        return self.stride**self.axes * self.large[-1]

    @property
    def sums(self) -> Sums:
        return sums(self.outputs, self.taps)

    @property
    def tiles(self) -> tuple[int, ...]:
        """Along each axis."""
        return tuple(-(-size // self.outputs) for size in self.small[1:-1])

    @property
    def blocks(self) -> tuple[int, ...]:
        """That the tiles cover along each axis; those of neighbours overlap."""
        return tuple(self.outputs * (tiles - 1 + -(-self.span // self.outputs)) for tiles in self.tiles)

    def numbers(self) -> int:
        """Of the transformed maps and kernel."""
        tiles = self.small[0] * math.prod(self.tiles)
        return self.products * (tiles * (self.block + self.small[-1]) + self.block * self.small[-1])

    def saved(self) -> int:
        """Floating point operations that the convolution has more."""
        plain = self.side**self.axes * self.large[-1] * math.prod(self.small[:-1])
        return 2 * self.small[-1] * (plain - self.products * self.block * self.small[0] * math.prod(self.tiles))

    def pixels(self) -> tf.Tensor:
        """int32 (products, N tiles blocks): the pixel of the large map, counted through, at each place of all tiles; behind the
        last pixel where the place lies outside."""
        n, *sizes, _ = self.large
        one = math.prod(sizes)  # picture
        behind = n * one
        place, inner = np.arange(self.span)[:, None, None], np.arange(self.stride)

        def along(axis):  # (places, tiles, pixels of a block)
            size = sizes[axis]
            block = self.outputs * np.arange(self.tiles[axis])[:, None] + place
            found = block * self.stride + inner - self.before[axis]
            return np.where((found >= 0) & (found < size), found * math.prod(sizes[axis + 1 :]), behind)

        return _counted([along(axis) for axis in range(self.axes)], n, one)

    def places(self) -> tf.Tensor:
        """int32 (N pixels): where each pixel of the large map lies among (N, *blocks, stride, ...); behind the last one if no tile
        reads it."""
        n, *sizes, _ = self.large
        s = self.stride
        one = math.prod(self.blocks) * s**self.axes  # picture
        behind = n * one

        def along(axis):  # (1, pixels, 1)
            found = np.arange(sizes[axis])[None, :, None] + self.before[axis]
            block, inner = found // s, found % s
            later = math.prod(self.blocks[axis + 1 :]) * s**self.axes, s ** (self.axes - 1 - axis)
            return np.where(block < self.blocks[axis], block * later[0] + inner * later[1], behind)

        return tf.reshape(_counted([along(axis) for axis in range(self.axes)], n, one), [-1])

    # B^T d and its transpose; what is transformed is (products, N tiles, numbers of a block).

    def of_large(self, x: tf.Tensor) -> tf.Tensor:
        d = _taken(tf.reshape(x, [-1, self.large[-1]]), self.pixels())
        v = tf.matmul(self._on_all_axes(self.sums.of_tile), tf.reshape(d, [self.products, -1]))
        return tf.reshape(v, [self.products, -1, self.block])

    def to_large(self, v: tf.Tensor) -> tf.Tensor:
        v = tf.matmul(self._on_all_axes(self.sums.of_tile), tf.reshape(v, [self.products, -1]), transpose_a=True)
        rows = self.large[0] * self.products
        for axis, tiles in enumerate(self.tiles):
            rows //= self.span
            v = tf.reshape(v, [self.span, rows, tiles, math.prod(self.tiles[axis + 1 :]) * self.block])
            v = _sum_overlapping(tf.unstack(v), self.outputs)
            rows *= self.blocks[axis]
        return tf.reshape(_taken(tf.reshape(v, [-1, self.large[-1]]), self.places()), self.large)

    # A^T m and its transpose; what is transformed is (products, N tiles, F).

    def to_small(self, m: tf.Tensor) -> tf.Tensor:
        n, *sizes, f = self.small
        y = tf.matmul(self._on_all_axes(self.sums.of_products), tf.reshape(m, [self.products, -1]))
        inner, outer = range(self.axes), range(self.axes, 2 * self.axes)
        y = tf.reshape(y, [*[self.outputs] * self.axes, n * self.tiles[0], *self.tiles[1:], f])
        y = tf.transpose(y, [*itertools.chain(*zip(outer, inner, strict=True)), 2 * self.axes])
        y = tf.reshape(y, [n, *(self.outputs * tiles for tiles in self.tiles), f])
        return y[(slice(None), *(slice(size) for size in sizes))]

    def of_small(self, y: tf.Tensor) -> tf.Tensor:
        (n, *sizes, f), m = self.small, self.outputs
        more = [[0, m * tiles - size] for tiles, size in zip(self.tiles, sizes, strict=True)]
        y = tf.pad(y, [[0, 0], *more, [0, 0]])
        y = tf.reshape(y, [n * self.tiles[0], m, *itertools.chain(*((tiles, m) for tiles in self.tiles[1:])), f])
        y = tf.transpose(y, [*range(1, 2 * self.axes, 2), *range(0, 2 * self.axes, 2), 2 * self.axes])
        y = tf.matmul(self._on_all_axes(self.sums.of_products), tf.reshape(y, [m**self.axes, -1]), transpose_a=True)
        return tf.reshape(y, [self.products, -1, f])

    # G g and its transpose; what is transformed is (products, numbers of a block, F).

    def of_kernel(self, kernel: tf.Tensor) -> tf.Tensor:
        g = tf.reshape(kernel, [self.side**self.axes, -1])
        if self.stride > 1:  # gathered, not transposed, which takes a hundred times as long of these on two threads
            g = _taken(g, tf.constant(self._taps_by_block(), tf.int32))
        u = tf.matmul(self._on_all_axes(self.sums.of_taps), tf.reshape(g, [self.taps**self.axes, -1]))
        return tf.reshape(u, [self.products, self.block, self.small[-1]])

    def to_kernel(self, u: tf.Tensor) -> tf.Tensor:
        g = tf.matmul(self._on_all_axes(self.sums.of_taps), tf.reshape(u, [self.products, -1]), transpose_a=True)
        if self.stride > 1:
            rows = tf.reshape(g, [(self.taps * self.stride) ** self.axes, -1])
            g = tf.gather(rows, np.argsort(self._taps_by_block())[: self.side**self.axes])
        return tf.reshape(g, [*[self.side] * self.axes, self.large[-1], self.small[-1]])

    def _taps_by_block(self) -> np.ndarray:
        """int: the tap of the kernel, counted through, at each pixel of each of a tap's blocks; behind the last one beyond the kernel."""
        whole = self.taps * self.stride
        taps = np.full([whole] * self.axes, self.side**self.axes)
        taps[(slice(self.side),) * self.axes] = np.arange(self.side**self.axes).reshape([self.side] * self.axes)
        taps = taps.reshape((self.taps, self.stride) * self.axes)
        return taps.transpose(*range(0, 2 * self.axes, 2), *range(1, 2 * self.axes, 2)).reshape(-1)

    def _on_all_axes(self, matrix: np.ndarray) -> np.ndarray:
        """What a matrix of one axis does on all."""
        return functools.reduce(np.kron, [matrix] * self.axes).astype(np.float32)


def tiling(large: tf.TensorShape, small: tf.TensorShape, kernel: tf.Tensor, stride: int, padding: str) -> Tiling | None:
    """The tiles of a convolution from `large` to `small`, or of the transposed one from `small` to `large`, where they pay.

    kernel: float32 (k, k, C, F) or (k, k, k, C, F). padding: "valid" or "same". None where a size is not known, in another
    precision, on a GPU or TPU, whose own kernels are the fast ones, and where the convolution as an operation is as fast.
    """
    (side, *others), axes = kernel.shape[:-2], len(kernel.shape) - 2
    if any(other != side for other in others) or (side, stride, axes) not in OUTPUTS:
        return None
    if kernel.dtype != tf.float32 or not cpus_alone() or not large.is_fully_defined() or not small.is_fully_defined():
        return None

    def zeros(few, many):  # before the first pixel of an axis
        return max((few - 1) * stride + side - many, 0) // 2 if padding == "same" else 0

    before = tuple(zeros(few, many) for few, many in zip(small[1:-1], large[1:-1], strict=True))
    kinds = [Tiling(tuple(large), tuple(small), side, stride, before, m) for m in OUTPUTS[side, stride, axes]]
    least = least_saved(side, stride, axes)
    best = max(kinds, key=lambda kind: kind.saved() - least * kind.numbers())
    return best if best.saved() >= least * best.numbers() else None


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


def _sum_overlapping(places: list[tf.Tensor], apart: int) -> tf.Tensor:
    """Of the places (A, tiles, R) of tiles that lie `apart` places from each other: the sums (A, tiles + more, apart R)."""
    more = -(-len(places) // apart) - 1
    zeros = [tf.zeros_like(places[0][:, :1])]

    def moved(place):  # joined with zeros, which is faster than padding
        behind = place // apart
        return tf.concat([*zeros * behind, places[place], *zeros * (more - behind)], 1)

    columns = [[moved(place) for place in range(first, len(places), apart)] for first in range(apart)]
    return tf.concat([functools.reduce(tf.add, column) for column in columns], -1)


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
