"""Imports every sibling module, so that writing a paper's file is registering it. A broken file fails loudly here."""

import importlib
import pkgutil

import ganzoo.schedules  # noqa: F401  (registers the optimizers that a saved .keras file names)

for _module in sorted(module.name for module in pkgutil.iter_modules(__path__)):
    importlib.import_module(f"{__name__}.{_module}")
