"""Semantic directions without training or labels: closed-form factorisation of the first weights.

Yujun Shen, Bolei Zhou, "Closed-Form Factorization of Latent Semantics in GANs", 2021, arXiv 2007.06600 (SeFa). What the
first linear map A sends farthest changes the picture most: the directions n maximise |A n|^2, so they are the eigenvectors
of A^T A with the largest eigenvalues (equation 5). As in the official code, each output's weights have unit length.
"""

from dataclasses import dataclass

import numpy as np

from ganzoo.errors import GanzooError


@dataclass(frozen=True)
class Directions:
    """`vectors` (d, d), one unit direction a row, the most effective first; `shares` (d,) of the sum of eigenvalues."""

    vectors: np.ndarray
    shares: np.ndarray

    def __getitem__(self, k: int) -> np.ndarray:
        if not 0 <= k < len(self.vectors):
            raise GanzooError(f"Directions are numbered 0 to {len(self.vectors) - 1}; received {k}.")
        return self.vectors[k]


def factorise(weights: np.ndarray) -> Directions:
    """The directions of a linear map, `weights` (d, outputs): one row for each latent coordinate.

    An eigenvector has no sign of its own; here its largest component is positive.
    """
    a = np.asarray(weights, np.float64)
    a = a / np.maximum(np.linalg.norm(a, axis=0, keepdims=True), 1e-12)
    values, vectors = np.linalg.eigh(a @ a.T)
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1].T
    largest = np.take_along_axis(vectors, np.abs(vectors).argmax(axis=1)[:, None], axis=1)
    vectors = vectors * np.sign(largest)
    return Directions(vectors.astype(np.float32), (values / max(values.sum(), 1e-300)).astype(np.float32))
