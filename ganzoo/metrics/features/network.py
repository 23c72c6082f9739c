"""What every extractor's module gives: a frozen network from uint8 pictures of one size to features and logits."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf

ASSETS = Path(__file__).resolve().parents[2] / "assets" / "evaluators"


@dataclass(frozen=True)
class Network:
    """A frozen network.

    Attributes:
        size, channels: the pictures that it takes: (N, size, size, channels).
        sha256: of its weights, hex.
        resize: how pictures of another size reach `size` unless the user says otherwise.
        forward: uint8 (N, size, size, channels) -> (features (N, D), logits (N, classes)), float32; rows independent.
        margin: pixels cut from each side of pictures that are that much larger than `size`, in place of a resize.
    """

    size: int
    channels: int
    sha256: str
    resize: str
    forward: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
    margin: int = 0
