"""What lies between, around and behind the samples of a latent model: the papers' figures, of any loaded model.

    from ganzoo import explore
    explore.interpolate(model, "0:5,0:17,3", steps=8)    # uint8 (pairs, steps, H, W, C): arcs between samples
    explore.walk(model, "0:5", directions=[0, 1])        # along the directions that its first weights stretch most
    explore.project(model, picture)                      # the nearest picture that the model can make
    explore.truncate(model, "0:0-5"), explore.mix(...)   # of models with styles, such as stylegan-lite
    explore.interpolate(model, "0:0", label=["Bag", "Sandal"])     # of models with classes, such as biggan
    explore.between(model, ["short red hair", "long blue hair"])   # of models that read text, such as text-to-image
    explore.vary(model, "0:0-3", attribute="hair")       # of models that are asked for attributes, such as anime

`ganzoo explore` writes the same as PNG, GIF or MP4. Names are imported when they are first used, as those of `ganzoo`.
"""

import importlib

_HOME = {
    "interpolate": "ganzoo.explore.paths",
    "arithmetic": "ganzoo.explore.paths",
    "truncate": "ganzoo.explore.paths",
    "truncate_noise": "ganzoo.explore.paths",
    "mix": "ganzoo.explore.paths",
    "walk": "ganzoo.explore.paths",
    "project": "ganzoo.explore.projection",
    "Projection": "ganzoo.explore.projection",
    "directions": "ganzoo.explore.paths",
    "slerp": "ganzoo.explore.spaces",
    "vary": "ganzoo.explore.asked",
    "along": "ganzoo.explore.asked",
    "between": "ganzoo.explore.sentences",
    "restyle": "ganzoo.explore.sentences",
    "train_style_encoder": "ganzoo.explore.sentences",
}

__all__ = [*_HOME]


def __getattr__(name: str):
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'ganzoo.explore' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
