"""fashion: Fashion-MNIST from the Debian package `dataset-fashion-mnist`.

    apt-get download dataset-fashion-mnist && dpkg-deb -x dataset-fashion-mnist_*.deb PKG
    python -m ganzoo.data.recipes.fashion PKG/usr/share/datasets/fashion-mnist FULL

The four IDX files are put into one npz unchanged; `ganzoo.data.recipes.bundle` then takes the first 1,000 + 200 pictures of
each class. With the package installed, the source "fashion" reads its 70,000 pictures without any of this.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from ganzoo.data.sources.idx import idx_arrays
from ganzoo.errors import GanzooError

PACKAGES = ("Debian dataset-fashion-mnist 0.0~git20200523.55506a9-1",)
FETCH = "apt-get download dataset-fashion-mnist"
CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip


def rebuild(package: Path) -> dict[str, np.ndarray]:
    """The arrays of `fashion_mnist.npz` from the folder with the four IDX files."""
    arrays = idx_arrays([p.name for p in package.iterdir()], lambda name: (package / name).read_bytes(), str(package))
    if len(arrays) != 4:
        raise GanzooError(
            f"{package} does not hold the four IDX files of Fashion-MNIST; found: {', '.join(arrays) or 'none'}."
        )
    return arrays | {"class_names": np.array(CLASSES)}


if __name__ == "__main__":
    np.savez_compressed(Path(sys.argv[2]) / "fashion_mnist.npz", **dict[str, Any](rebuild(Path(sys.argv[1]))))
