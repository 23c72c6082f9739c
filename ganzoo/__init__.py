"""ganzoo: the GAN model zoo that works today on Keras 3 and TensorFlow.

    import ganzoo
    model = ganzoo.load("pix2pix")          # a trained keras.Model, compiled
    pictures = model.generate(drawings)     # uint8

Names are imported when they are first used (PEP 562): listing models and printing cards need no TensorFlow, and where
one brings it in, its start-up lines are not shown, and neither are they where a module of this package is imported
(`ganzoo.devices.quiet`).
"""

import importlib
import sys

from ganzoo.devices import quiet

__version__ = "0.1.0"

_HOME = {
    "list_models": "ganzoo.presets",
    "list_presets": "ganzoo.presets",
    "card": "ganzoo.presets.cards",
    "load": "ganzoo.zoo",
    "save": "ganzoo.zoo",
    "train": "ganzoo.training",
    "finetune": "ganzoo.training",
    "evaluate": "ganzoo.evaluation",
    "export": "ganzoo.exporting",
    "GanzooError": "ganzoo.errors",
}

__all__ = ["__version__", *_HOME]


def __getattr__(name: str):
    if name.startswith("__"):  # of the import system, which asks while modules are loaded
        raise AttributeError(f"module 'ganzoo' has no attribute {name!r}")
    with quiet.imports():
        return _found(name)


def _found(name: str):
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    try:
        return importlib.import_module(f"ganzoo.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"ganzoo.{name}":
            raise
        raise AttributeError(f"module 'ganzoo' has no attribute {name!r}") from None


if quiet.Finder not in sys.meta_path:
    sys.meta_path.insert(0, quiet.Finder)


def __dir__():
    return sorted(__all__)
