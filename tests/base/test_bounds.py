"""What one call of `generate` may make: a sentence before the memory is taken."""

import numpy as np
import pytest
import tensorflow as tf
import tiny

from ganzoo.base import pixels, rows
from ganzoo.errors import GanzooError


@pytest.mark.parametrize("n", [10**9, 10**30, True, 2.0, 0])
def test_numbers_of_images(n):
    with pytest.raises(GanzooError, match=r"at most 4,194,304 images; received 1,000|a whole number of at least 1"):
        tiny.build("gan").generate(n)


def test_pictures_that_take_too_much_together(monkeypatch):
    monkeypatch.setattr(rows, "MOST_BYTES", 40 * 6 * 6 * 3)
    model = tiny.build("gan")
    assert model.generate(40).shape == (40, 6, 6, 3)
    calls = []
    with pytest.raises(GanzooError, match="41 of 6 x 6 x 3 are 0 GiB; one call makes at most 0"):
        rows.in_chunks(lambda z: calls.append(1) or tf.zeros([16, 6, 6, 3], tf.uint8), tf.zeros([41, 5]))
    assert len(calls) == 1


def test_inputs_that_take_too_much(monkeypatch):
    monkeypatch.setattr(pixels, "LARGEST", 100)
    monkeypatch.setattr(pixels, "MOST", 300)
    assert pixels.images_in(np.zeros((3, 10, 10, 3), np.uint8), 3).shape == (3, 10, 10, 3)
    for shape in ((1, 10, 11, 3), (4, 10, 10, 3)):
        with pytest.raises(GanzooError, match="in one call; received"):
            pixels.images_in(np.zeros(shape, np.uint8), 3)
    huge = np.broadcast_to(np.uint8(0), (1, 10**5, 10**5, 3))  # takes no memory itself
    monkeypatch.undo()
    with pytest.raises(GanzooError, match="at most 4,194,304 pixels"):
        pixels.images_in(huge, 3)


def test_many_pictures_of_a_text():
    model = tiny.build("text-to-image")
    with pytest.raises(GanzooError, match="at most 4,194,304 images"):
        model.generate("a girl", n_per_text=10**9)
