"""Classes by name and by number, and what is said of others."""

import types

import numpy as np
import pytest
import tensorflow as tf

from ganzoo.base import labels
from ganzoo.errors import GanzooError

CLOTHES = types.SimpleNamespace(
    classes=3, class_names=("T-shirt/top", "Ankle boot", "Bag"), full_name="biggan/fashion-32"
)
NUMBERED = types.SimpleNamespace(classes=3, class_names=(), full_name="biggan")
PLAIN = types.SimpleNamespace(classes=0, class_names=(), full_name="dcgan")


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("Bag", 2),
        ("ankle-boot", 1),
        ("ANKLE_BOOT", 1),
        ("t shirt/top", 0),
        ("2", 2),
        (1, 1),
        (np.int64(2), 2),
    ],
)
def test_a_class_is_found_by_name_or_number(asked, found):
    assert labels.class_of(CLOTHES, asked) == found


@pytest.mark.parametrize(
    ("model", "asked", "word"),
    [
        (CLOTHES, "Bags", r'has no class "Bags"\. Did you mean "Bag"\?.*Its classes: T-shirt/top, Ankle boot, Bag'),
        (CLOTHES, 3, r"label 3 is not one of the 3 classes .* 0 \(T-shirt/top\) to 2 \(Bag\)"),
        (CLOTHES, -1, "label -1 is not one"),
        (CLOTHES, "-1", "label -1 is not one"),
        (CLOTHES, True, "name or the number"),
        (CLOTHES, 1.5, "name or the number"),
        (NUMBERED, "Bag", "by number, 0 to 2"),
        (NUMBERED, 7, "0 to 2"),
        (PLAIN, "Bag", "has no classes"),
    ],
)
def test_another_class_is_said_in_a_sentence(model, asked, word):
    with pytest.raises(GanzooError, match=word):
        labels.class_of(model, asked)


def test_one_class_for_all_one_each_or_all_in_turn():
    def of(label, rows):
        return labels.classes_of(CLOTHES, label, rows).numpy().tolist()

    assert of(None, 5) == [0, 1, 2, 0, 1]
    assert of("Bag", 3) == [2, 2, 2]
    assert of(["Bag", 0], 2) == [2, 0]
    assert of(np.array([1, 2]), 2) == [1, 2]
    assert of(tf.constant([1, 0]), 2) == [1, 0]
    assert of(np.int32(1), 2) == [1, 1]
    for wrong in (["Bag"], [0, 1, 2], [[0, 1]]):
        with pytest.raises(GanzooError, match="label is"):
            of(wrong, 2)


@pytest.mark.parametrize(
    ("classes", "names", "word"),
    [
        (1, (), "two classes or more; received 1"),
        (0, (), "two classes or more"),
        (3, ("a", "b"), "each of the 3 classes, or none; received 2"),
        (2, ("Ankle boot", "ankle-boot"), 'has "Ankle boot" twice'),
    ],
)
def test_names_belong_to_classes(classes, names, word):
    with pytest.raises(GanzooError, match=word):
        labels.check_names(classes, names)
    labels.check_names(2, ())


def test_in_a_graph_another_class_stops_with_a_sentence():
    named = tf.function(lambda names: labels.by_name(CLOTHES, names))
    assert named(tf.constant(["Bag", "t-shirt/TOP"])).numpy().tolist() == [2, 0]
    with pytest.raises(tf.errors.InvalidArgumentError, match="label_name is one of"):
        named(tf.constant(["Bag", "Bags"]))
    ranged = tf.function(lambda label: labels.in_range(CLOTHES, label))
    assert ranged(tf.constant([2, 0], tf.int64)).numpy().tolist() == [2, 0]
    for wrong in (3, -1):
        with pytest.raises(tf.errors.InvalidArgumentError, match="label is 0 to 2"):
            ranged(tf.constant([0, wrong], tf.int64))
