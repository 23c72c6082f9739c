"""Networks of a paper by themselves."""

import functools

import keras

from ganzoo import registry
from ganzoo.base.model import build


def network(builder, **settings) -> keras.Model:
    """The builder's network; what `settings` leave out is as the constructor of the paper in the builder's file has it."""
    (paper,) = (paper for paper in registry.models().values() if paper.__module__ == builder.__module__)
    return build(functools.partial(builder, **settings), paper.defaults())
