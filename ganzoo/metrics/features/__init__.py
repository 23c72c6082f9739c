"""Feature extractors by name, their streams, and a file cache for what they compute.

`efficientnet-lite0` and `fashion-cnn` are bundled. `inception-v3-fid` is the network of the papers' FID, loaded from the
user's own file. This package needs TensorFlow; `ganzoo.metrics` itself does not, and imports it only when asked.
"""

import os
from functools import lru_cache

from ganzoo.devices import precision
from ganzoo.errors import GanzooError, nearest
from ganzoo.metrics.features import efficientnet, fashion_cnn, inception
from ganzoo.metrics.features.cache import cached, cached_arrays, folder
from ganzoo.metrics.features.extractor import RESIZES, Extractor
from ganzoo.metrics.features.network import Network

__all__ = ["RESIZES", "Extractor", "cached", "cached_arrays", "extractor", "folder", "names"]

NAMES = ("efficientnet-lite0", "fashion-cnn", "inception-v3-fid")


def names() -> list[str]:
    """Names that `extractor` takes, the default first."""
    return list(NAMES)


def extractor(name: str = "efficientnet-lite0", *, resize: str | None = None, path=None) -> Extractor:
    """The extractor of a name, loaded once per process.

    Args:
        name: one of `names()`.
        resize: "lanczos", "bicubic", "bilinear", or "none" for pictures of the network's own size; by default the
            network's: lanczos, for fashion-cnn none (28x28, or 32x32 whose padding of 2 is cut off).
        path: of `inception-v3-fid` alone, see `inception.load`; by default the environment's GANZOO_INCEPTION.

    Raises:
        GanzooError: unknown name or resize, weights that are absent or not the published ones.
    """
    if name not in NAMES:
        raise GanzooError(f'Unknown feature extractor "{name}".{nearest(name, NAMES)}')
    if path is not None and name != "inception-v3-fid":
        raise GanzooError(f"{name} is bundled; a path (here {path}) goes with inception-v3-fid only.")
    if name == "inception-v3-fid":
        path = path or os.environ.get("GANZOO_INCEPTION")
    return _extractor(name, resize, None if path is None else str(path))


@lru_cache(maxsize=8)
def _extractor(name: str, resize: str | None, path: str | None) -> Extractor:
    return Extractor(name, _network(name, path), resize)


@lru_cache(maxsize=4)
def _network(name: str, path: str | None) -> Network:
    with precision.policy("float32"):  # a training in bfloat16 has its own
        if name == "efficientnet-lite0":
            return efficientnet.load()
        return fashion_cnn.load() if name == "fashion-cnn" else inception.load(path)
