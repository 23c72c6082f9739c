"""The zoo table: canonical paper name -> model class. Importing `ganzoo.models` fills it, as `ganzoo.zoo` does."""

from typing import TYPE_CHECKING

import keras

if TYPE_CHECKING:
    from ganzoo.base.model import BaseGAN

_MODELS: dict[str, "type[BaseGAN]"] = {}


def register(name: str):
    """Class decorator: enters a paper's model under its canonical name and as a Keras serialisable `ganzoo>name`.

    Raises:
        ValueError: the name is taken; two files claim one paper.
    """

    def enter(cls: "type[BaseGAN]") -> "type[BaseGAN]":
        if name in _MODELS:
            raise ValueError(f'"{name}" is registered twice: by {_MODELS[name].__module__} and {cls.__module__}.')
        cls.paper = name
        _MODELS[name] = cls
        return keras.saving.register_keras_serializable("ganzoo", name)(cls)

    return enter


def models() -> "dict[str, type[BaseGAN]]":
    """The registered models by canonical name."""
    return dict(_MODELS)
