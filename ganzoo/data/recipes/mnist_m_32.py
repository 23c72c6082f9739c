"""mnist_m_32: handwritten digits blended into crops of photos, 32 x 32 RGB, after MNIST-M (Ganin and Lempitsky 2015, 1409.7495).

    as mnist.py and photos_128.py

A digit of `mnist` is made larger from 28 to 32 px (bicubic), and `blend` takes it from a random crop of 32, 48 or 64 px, reduced to
32, of a photo of `photos_128` without share-alike: training digits from training photos, test digits from test photos. In
words, since the random draws of the original run were not kept. At most 64 colours a picture. `bundle.digits` takes half A of the
training digits, as WebP of a lower quality, and the test digits as they are.
"""

import numpy as np
from PIL import Image

from ganzoo.data.recipes import mnist, photos_128

PACKAGES = (*mnist.PACKAGES, *photos_128.PACKAGES)
FETCH = f"{mnist.FETCH}; {photos_128.FETCH}"
SIZE = 32


def blend(digit: np.ndarray, crop: np.ndarray) -> np.ndarray:
    """uint8 (32, 32, 3): |crop - digit| in each channel, of a uint8 digit (28, 28) and a uint8 crop (32, 32, 3)."""
    large = np.asarray(Image.fromarray(digit).resize((SIZE, SIZE), Image.Resampling.BICUBIC), np.int16)
    return np.abs(crop.astype(np.int16) - large[..., None]).astype(np.uint8)
