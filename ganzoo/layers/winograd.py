"""Convolutions with fewer products: Winograd's minimal filtering, F(2x2, 3x3) and F(2x2, 2x2) (Lavin and Gray, 1509.09308).

Two neighbours of a convolution with r taps share most of what they read. Along one axis they take r + 1 products in the place of
2r: of sums of a tile's r + 1 places, B^T d, with sums of the taps, G g; sums of the products, A^T m, are the two outputs. On both
axes that is 16 products for 36 (3x3) or 9 for 16 (2x2), and of all tiles, with the channels, a batch of plain matrix products.
A kernel of 4x4 and stride 2 is one of 2x2 over blocks of 2x2 pixels with four times the channels.

All is linear, so that the three maps of a convolution come of the same parts and their transposes: the convolution, its transpose
(the gradient of its input, and `Conv2DTranspose`), and the gradient of its kernel; each is the gradient of the two others, to any
order. The sums have factors of 1 and 1/2 alone: the numbers are those of a convolution to rounding.
"""

import dataclasses
import functools

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

# (kernel, stride) -> floating point operations to be saved for each number that the sums write, from where on it is faster:
# measured on two cores with AVX2, which multiply 74 GFLOP/s and move 26 GB/s (benchmarks/README.md). One with AVX-512 multiplies
# three times as fast and moves hardly more; its figures follow from that and are not measured.
LEAST_SAVED = {(3, 1): 50, (4, 2): 75}
OF_AVX512 = 3


@dataclasses.dataclass(frozen=True)
class Tiling:
    """How a convolution (N, H, W, C) -> (N, h, w, F) of a square kernel lies in tiles; its transpose goes the other way.

    large, small: (N, H, W, C) and (N, h, w, F). side: of the kernel. before: zeros before the first pixel of each axis.
    """

    large: tuple[int, int, int, int]
    small: tuple[int, int, int, int]
    side: int
    stride: int
    before: tuple[int, int]

    @property
    def taps(self) -> int:
        """r, in blocks of `stride` pixels."""
        return self.side // self.stride

    @property
    def products(self) -> int:
        """Of a tile, for each pair of channels."""
        return (self.taps + 1) ** 2

    @property
    def tiles(self) -> tuple[int, int]:
        """Along H and W; each makes two places of the small map."""
        return -(-self.small[1] // 2), -(-self.small[2] // 2)

    def saved_a_number(self) -> float:
        """Floating point operations that are saved for each number of the transformed maps and kernel."""
        (n, _, _, c), (_, h, w, f) = self.large, self.small
        plain = 2 * self.side**2 * c * f * n * h * w
        tiles, c = n * self.tiles[0] * self.tiles[1], self.stride**2 * c
        return (plain / self.products - 2 * tiles * c * f) / (tiles * (c + f) + c * f)

    def pixels(self) -> tf.Tensor:
        """int32 ((r + 1)^2, N tiles blocks): the pixel of the large map, counted through, at each place of all tiles; behind the
        last pixel where the place lies outside."""
        n, h, w, _ = self.large
        behind, (high, wide) = n * h * w, self.tiles
        place, block = np.arange(self.taps + 1), np.arange(self.stride)

        def along(tiles, size, before):  # (places, tiles, pixels of a block), and whether they lie inside
            found = (2 * np.arange(tiles)[:, None] + place[:, None, None]) * self.stride + block - before
            return found, (found >= 0) & (found < size)

        row, inside = (found[:, None] for found in along(high, h, self.before[0]))
        rows = np.where(inside, (np.arange(n)[:, None, None] * h + row) * w, behind)
        column, inside = along(wide, w, self.before[1])
        both = _joined(rows, np.where(inside, column, behind), behind)
        both = tf.reshape(both, [len(place), n * high, len(block), len(place), wide, len(block)])
        return tf.reshape(tf.transpose(both, [0, 3, 1, 4, 2, 5]), [self.products, -1])

    def places(self) -> tf.Tensor:
        """int32 (N H W): where each pixel of the large map lies among blocks (N, 2 tiles + 2, 2 tiles + 2, stride, stride); behind
        the last one if no tile reads it."""
        (n, h, w, _), s = self.large, self.stride
        high, wide = (2 * tiles + 2 for tiles in self.tiles)
        behind = n * high * wide * s * s
        row, column = np.arange(h)[:, None] + self.before[0], np.arange(w) + self.before[1]
        blocks = np.arange(n)[:, None, None] * high + row // s
        rows = np.where(row < high * s, (blocks * wide * s + row % s) * s, behind)
        columns = np.where(column < wide * s, column // s * s * s + column % s, behind)
        return tf.reshape(_joined(rows, columns, behind), [-1])

    # B^T d and its transpose; what is transformed is ((r + 1)^2, N tiles, stride^2 C).

    def of_large(self, x: tf.Tensor) -> tf.Tensor:
        d = _taken(tf.reshape(x, [-1, self.large[3]]), self.pixels())
        v = tf.matmul(_both_axes(TILES[self.taps]), tf.reshape(d, [self.products, -1]))
        return tf.reshape(v, [self.products, -1, self.stride**2 * self.large[3]])

    def to_large(self, v: tf.Tensor) -> tf.Tensor:
        n, channels = self.large[0], self.stride**2 * self.large[3]
        (high, wide), places = self.tiles, self.taps + 1
        v = tf.reshape(v, [places, places * n, high, wide * channels])
        v = _sum_overlapping(_sums(TILES[self.taps].T, tf.unstack(v)))
        v = tf.reshape(v, [places, n * 2 * (high + 1), wide, channels])
        blocks = _sum_overlapping(_sums(TILES[self.taps].T, tf.unstack(v)))
        return tf.reshape(_taken(tf.reshape(blocks, [-1, self.large[3]]), self.places()), self.large)

    # A^T m and its transpose; what is transformed is ((r + 1)^2, N tiles, F).

    def to_small(self, m: tf.Tensor) -> tf.Tensor:
        n, h, w, f = self.small
        high, wide = self.tiles
        y = tf.matmul(_both_axes(OUTPUTS[self.taps]), tf.reshape(m, [self.products, -1]))
        y = tf.transpose(tf.reshape(y, [2, 2, n * high, wide, f]), [2, 0, 3, 1, 4])
        return tf.reshape(y, [n, 2 * high, 2 * wide, f])[:, :h, :w]

    def of_small(self, y: tf.Tensor) -> tf.Tensor:
        n, h, w, f = self.small
        high, wide = self.tiles
        y = tf.pad(y, [[0, 0], [0, 2 * high - h], [0, 2 * wide - w], [0, 0]])
        y = tf.transpose(tf.reshape(y, [n * high, 2, wide, 2, f]), [1, 3, 0, 2, 4])
        m = tf.matmul(_both_axes(OUTPUTS[self.taps]), tf.reshape(y, [4, -1]), transpose_a=True)
        return tf.reshape(m, [self.products, -1, f])

    # G g and its transpose; what is transformed is ((r + 1)^2, stride^2 C, F).

    def of_kernel(self, kernel: tf.Tensor) -> tf.Tensor:
        r, s, c, f = self.taps, self.stride, self.large[3], self.small[3]
        g = tf.transpose(tf.reshape(kernel, [r, s, r, s, c * f]), [0, 2, 1, 3, 4])
        u = tf.matmul(_both_axes(KERNELS[r]), tf.reshape(g, [r * r, -1]))
        return tf.reshape(u, [self.products, s * s * c, f])

    def to_kernel(self, u: tf.Tensor) -> tf.Tensor:
        r, s, c, f = self.taps, self.stride, self.large[3], self.small[3]
        g = tf.matmul(_both_axes(KERNELS[r]), tf.reshape(u, [self.products, -1]), transpose_a=True)
        kernel = tf.transpose(tf.reshape(g, [r, r, s, s, c * f]), [0, 2, 1, 3, 4])
        return tf.reshape(kernel, [r * s, r * s, c, f])


def tiling(large: tf.TensorShape, small: tf.TensorShape, kernel: tf.Tensor, stride: int, padding: str) -> Tiling | None:
    """The tiles of a convolution from `large` to `small`, or of the transposed one from `small` to `large`, where they pay.

    kernel: float32 (k, k, C, F). padding: "valid" or "same". None where a size is not known, in another precision, on a GPU or
    TPU, whose own kernels are the fast ones, and where the convolution as an operation is as fast.
    """
    side, other, *_ = kernel.shape
    if side != other or (side, stride) not in LEAST_SAVED or kernel.dtype != tf.float32 or not cpus_alone():
        return None
    if not large.is_fully_defined() or not small.is_fully_defined():
        return None

    def zeros(few, many):  # before the first pixel of an axis
        return max((few - 1) * stride + side - many, 0) // 2 if padding == "same" else 0

    before = zeros(small[1], large[1]), zeros(small[2], large[2])
    found = Tiling(tuple(large), tuple(small), side, stride, before)
    return found if found.saved_a_number() >= least_saved(side, stride) else None


@functools.cache
def least_saved(side: int, stride: int) -> float:
    """On this processor."""
    return LEAST_SAVED[side, stride] * (OF_AVX512 if "avx512f" in machine.processor_flags() else 1)


def convolve(tiles: Tiling, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """(N, H, W, C) * (k, k, C, F) -> (N, h, w, F)."""

    @tf.custom_gradient
    def made(x, kernel):
        def gradient(dy):
            return transpose(tiles, dy, kernel), kernel_gradient(tiles, x, dy)

        return tiles.to_small(tf.matmul(tiles.of_large(x), tiles.of_kernel(kernel))), gradient

    return made(x, kernel)


def transpose(tiles: Tiling, y: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """(N, h, w, F), kernel (k, k, C, F) -> (N, H, W, C)."""

    @tf.custom_gradient
    def made(y, kernel):
        def gradient(dx):
            return convolve(tiles, dx, kernel), kernel_gradient(tiles, dx, y)

        return tiles.to_large(tf.matmul(tiles.of_small(y), tiles.of_kernel(kernel), transpose_b=True)), gradient

    return made(y, kernel)


def kernel_gradient(tiles: Tiling, x: tf.Tensor, dy: tf.Tensor) -> tf.Tensor:
    """(N, H, W, C), (N, h, w, F) -> (k, k, C, F)."""

    @tf.custom_gradient
    def made(x, dy):
        def gradient(dk):
            return transpose(tiles, dy, dk), convolve(tiles, x, dk)

        return tiles.to_kernel(tf.matmul(tiles.of_large(x), tiles.of_small(dy), transpose_a=True)), gradient

    return made(x, dy)


def _both_axes(matrix: np.ndarray) -> np.ndarray:
    """What a matrix of one axis does on two."""
    return np.kron(matrix, matrix).astype(np.float32)


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


def _joined(rows: np.ndarray, columns: np.ndarray, behind: int) -> tf.Tensor:
    """int32 (rows, columns): each row with each column, `behind` at most; made in the graph, which then holds no large constant."""
    return tf.minimum(
        tf.constant(rows.reshape(-1, 1), tf.int32) + tf.constant(columns.reshape(1, -1), tf.int32), behind
    )


def _taken(rows: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
    """The rows (R, C) at places; zeros at place R."""
    return tf.gather(tf.concat([rows, tf.zeros_like(rows[:1])], 0), places)
