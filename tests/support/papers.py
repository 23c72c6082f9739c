"""Networks of a paper by themselves."""

import contextlib
import functools
from unittest import mock

import keras
from keras.src.backend.common import global_state

from ganzoo import registry
from ganzoo.base.model import build


def network(builder, **settings) -> keras.Model:
    """The builder's network; what `settings` leave out is as the constructor of the paper in the builder's file has it."""
    (paper,) = (paper for paper in registry.models().values() if paper.__module__ == builder.__module__)
    return build(functools.partial(builder, **settings), paper.defaults())


def networks_alone(cls, **arguments) -> dict[str, keras.Model]:
    """The networks of a paper's class by name, without values of their variables. The model around them is built as ever."""

    def shapes(builder, known):
        with shapes_alone():
            return build(builder, known)

    with mock.patch("ganzoo.base.model.build", shapes):
        return cls(**arguments | {"ema_decay": 0.0}).networks()


@contextlib.contextmanager
def shapes_alone():
    """What is built in it has variables of their shapes and no values: for networks of which the parameters are counted."""
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        global_state.set_global_attribute("uninitialized_variables", [])
