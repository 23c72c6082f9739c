"""The one exception: whatever arrived, its sentence can be printed and read."""

import pytest

from ganzoo.errors import LONGEST, GanzooError, nearest


def test_a_sentence_stays_as_it_is():
    assert str(GanzooError('There is no model "gam".')) == 'There is no model "gam".'
    assert str(GanzooError("x" * LONGEST)) == "x" * LONGEST


@pytest.mark.parametrize("name", ["n" * 10**6, "\ud800" * 10, "a\0b"])
def test_any_name_can_stand_in_one(name):
    text = str(GanzooError(f"There is no file {name}: give another."))
    assert text.startswith("There is no file ")
    assert text.endswith(": give another.")
    assert len(text) <= LONGEST
    text.encode()


def test_the_nearest_option():
    assert nearest("pix2pixx", ["pix2pix", "gan"]) == ' Did you mean "pix2pix"?'
    assert nearest("", ["gan"]) == " Accepted: gan."
