"""The zoo table."""

import keras
import pytest

from ganzoo import presets, registry, zoo
from ganzoo.base import BaseGAN


def test_registering_enters_name_and_keras_serialisation():
    assert sorted(zoo.registry.models()) == sorted(presets.list_models())
    for name, cls in registry.models().items():
        assert issubclass(cls, BaseGAN)
        assert cls.paper == name
        assert keras.saving.get_registered_object(f"ganzoo>{name}") is cls


def test_a_second_model_of_one_name_is_refused_and_changes_nothing():
    before = registry.models()
    with pytest.raises(ValueError, match=r'"gan" is registered twice: by ganzoo\.models\.gan and'):

        @registry.register("gan")
        class Impostor(BaseGAN):
            pass

    assert registry.models() == before


def test_the_table_is_a_copy():
    registry.models().clear()
    assert registry.models()
