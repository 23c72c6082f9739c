"""Attributes as numbers: rows and columns, what is asked by name, what is drawn, JSON in a graph."""

import json

import numpy as np
import pytest
import tensorflow as tf

from ganzoo.base import attributes as names
from ganzoo.base import rows
from ganzoo.errors import GanzooError

KNOWN = {"hair": ("pink", "light blue", "black"), "glasses": ("no", "yes"), 'odd "name"': ("a,b", "ü")}


def test_columns():
    assert names.width(KNOWN) == 6
    assert names.column_names(KNOWN) == [
        "hair=pink", "hair=light blue", "hair=black", "glasses", 'odd "name"=a,b', 'odd "name"=ü',
    ]  # fmt: skip
    made = names.columns_of(tf.constant([[1, 1, 0], [2, 0, 1]]), KNOWN)
    assert made.numpy().tolist() == [[0, 1, 0, 1, 1, 0], [0, 0, 1, 0, 0, 1]]


def test_the_papers_rule_draws_each_value_of_a_category_and_a_quarter_of_the_booleans():
    draw = tf.random.stateless_uniform([8000, 3], [1, 2])
    made = names.sampled(draw, KNOWN, 0.25).numpy()
    assert np.bincount(made[:, 0]) / 8000 == pytest.approx([1 / 3] * 3, abs=0.02)
    assert made[:, 1].mean() == pytest.approx(0.25, abs=0.02)
    edge = names.sampled(tf.constant([[0.0, 0.2499, 0.5], [0.9999, 0.25, 0.4999]]), KNOWN, 0.25)
    assert edge.numpy().tolist() == [[0, 1, 1], [2, 0, 0]]


@pytest.mark.parametrize(
    ("asked", "row"),
    [
        ({}, [-1, -1, -1]),
        ({"hair": "pink"}, [0, -1, -1]),
        ({"Hair": "LIGHT_BLUE", "glasses": True}, [1, 1, -1]),
        ({"glasses": False}, [-1, 0, -1]),
        ({"glasses": "on", 'odd "name"': "ü"}, [-1, 1, 1]),
    ],
)
def test_what_is_asked_by_name(asked, row):
    assert names.row_of(asked, KNOWN) == row
    assert names.row_of(names.mapping_of(row, KNOWN), KNOWN) == row


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"hare": "pink"}, 'no attribute "hare". Did you mean "hair"\\? This model has: hair, glasses'),
        ({"hair": "pnik"}, '"hair" cannot be \'pnik\'. Did you mean "pink"\\? Its values are: pink, light blue, black'),
        ({"hair": True}, '"hair" cannot be'),
        ({"hair": 1}, '"hair" cannot be 1'),
        ({"glasses": "maybe"}, "Its values are: yes and no"),
        ({"hair": "pink", "HAIR": "black"}, "asked for twice"),
        ("hair=pink", "a mapping of names to values"),
    ],
)
def test_what_cannot_be_asked(asked, sentence):
    with pytest.raises(GanzooError, match=sentence):
        names.row_of(asked, KNOWN)


def test_one_for_all_or_a_list_or_rows():
    assert names.asked_rows({"glasses": True}, 2, KNOWN).numpy().tolist() == [[-1, 1, -1]] * 2
    assert names.asked_rows([{}, {"hair": "black"}], 2, KNOWN).numpy().tolist() == [[-1] * 3, [2, -1, -1]]
    assert names.asked_rows(np.array([[0, 1, -1]]), 1, KNOWN).numpy().tolist() == [[0, 1, -1]]
    with pytest.raises(GanzooError, match="2 pictures need as many mappings"):
        names.asked_rows([{}], 2, KNOWN)
    for wrong in (np.array([[3, 0, 0]]), np.array([[0, 0]]), np.array([[-2, 0, 0]]), np.array([[0.0, 0, 0]])):
        with pytest.raises(GanzooError, match="whole numbers \\(1, 3\\)"):
            names.asked_rows(wrong, 1, KNOWN)


# ---- what is not named -----------------------------------------------------------------------------------------------
KEPT = tf.constant([[0, 0, 0], [0, 1, 1], [1, 1, 0], [2, 0, 1]])


def completed(asked, count=400):
    asked = tf.tile(tf.constant([asked]), [count, 1])
    return names.completed(asked, KEPT, names.draws(rows.row_seeds(3, count))).numpy()


def test_nothing_named_gives_the_kept_rows_alike_often():
    found, counts = np.unique(completed([-1, -1, -1]), axis=0, return_counts=True)
    assert found.tolist() == KEPT.numpy().tolist()
    assert counts / 400 == pytest.approx([0.25] * 4, abs=0.07)


def test_the_rest_comes_from_rows_that_have_what_is_named():
    made = completed([0, -1, -1])
    assert {tuple(row) for row in made} == {(0, 0, 0), (0, 1, 1)}
    assert {tuple(row) for row in completed([-1, 1, -1])} == {(0, 1, 1), (1, 1, 0)}


def test_what_no_row_has_is_still_as_asked():
    """No kept row has both; those that have one of them give the rest."""
    assert {tuple(row) for row in completed([2, 1, -1])} == {(2, 1, 0), (2, 1, 1)}
    assert {tuple(row) for row in completed([1, 0, 1])} == {(1, 0, 1)}


def test_a_row_depends_on_its_own_seed_and_request():
    whole = names.completed(tf.fill([6, 3], -1), KEPT, names.draws(rows.row_seeds(3, 6))).numpy()
    alone = names.completed(tf.fill([1, 3], -1), KEPT, names.draws(rows.row_seeds(3, 6)[4:5])).numpy()
    assert whole[4].tolist() == alone[0].tolist()


# ---- JSON in a graph -------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def reader():
    return tf.function(
        lambda texts: names.rows_of_json(texts, KNOWN), input_signature=[tf.TensorSpec([None], tf.string)]
    )


def test_json_is_read_as_python_reads_it(reader):
    asked = [
        {}, {"hair": "pink"}, {"glasses": True, "hair": "light blue"}, {"glasses": False}, {"glasses": "yes"},
        {'odd "name"': "a,b"}, {'odd "name"': "ü", "hair": "black"},
    ]  # fmt: skip
    for form in ({}, {"ensure_ascii": False}, {"indent": 2}, {"separators": (",", ":")}):
        texts = [json.dumps(one, **form) for one in asked]
        assert reader(tf.constant(texts)).numpy().tolist() == [names.row_of(one, KNOWN) for one in asked]
    assert reader(tf.constant([""])).numpy().tolist() == [[-1, -1, -1]]
    assert reader(tf.constant([], tf.string)).shape == (0, 3)


@pytest.mark.parametrize(
    "text",
    [
        "pink", "[]", '{"hare": "pink"}', '{"hair": "pnik"}', '{"hair": pink}', '{"hair": "pink"', '{"hair": "pink",}',
        '{"hair": "pink", "hair": "black"}', '{"hair": "pink" "glasses": true}', '{"glasses": 1}', '{"hair": true}',
        '{"hair": "pink"} {}', "{'hair': 'pink'}", '{"a": {"hair": "pink"}}', "x" * 10000,
    ],
)  # fmt: skip
def test_other_strings_stop_the_graph_with_a_sentence(reader, text):
    with pytest.raises(tf.errors.InvalidArgumentError, match="attributes are JSON objects of names and values"):
        reader(tf.constant(['{"hair": "pink"}', text]))


# ---- a model's own ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "at least one; received none"),
        ({"hair": ["pink"]}, 'The attribute "hair" needs two values or more'),
        ({"hair": ["pink", "pink"]}, "each once; received pink, pink"),
        ({"hair": "pink"}, "a list of names of its values"),
        ({"": ["a", "b"]}, "has a name"),
        ({"hair": ["a", ""]}, "a list of names"),
        ({"hair": [f"{i}" for i in range(257)]}, "at most 256"),
        ({f"a{i}": [f"{k}" for k in range(200)] for i in range(6)}, "1200 values in all; at most 1024"),
    ],
)
def test_attributes_that_a_model_cannot_have(given, sentence):
    with pytest.raises(GanzooError, match=sentence):
        names.checked(given)


# ---- fine-tuning -----------------------------------------------------------------------------------------------------
def test_entries_are_carried_by_name():
    before = {"hair": ("pink", "black"), "glasses": names.BOOLEAN, "hat": ("small", "large")}
    now = {"glasses": names.BOOLEAN, "hair": ("black", "green"), "hat": names.BOOLEAN, "ears": ("cat", "dog")}
    entries = np.array([[1.0, 10], [3, 30], [5, 50], [7, 70], [9, 90]])
    assert names.carried(entries, before, now).tolist() == [[5, 50], [3, 30], [2, 20], [0, 0], [0, 0], [0, 0]]
