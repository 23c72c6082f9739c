"""Near copies by hand and by law, and the sheet pixel by pixel."""

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganzoo.errors import GanzooError
from ganzoo.evaluation import nearest_sheet
from ganzoo.metrics import copies, nearest


def column(*values):
    return np.array(values, float)[:, None]


def test_shares_of_a_line_by_hand():
    """Points 0, 10, ..., 190 lie 10 apart, so the threshold is 10, and a copy is what lies closer than that."""
    train = np.arange(0.0, 200.0, 10.0)[:, None]
    found = copies.near_copies(column(3.0, 55.0, 190.0, 200.0, 300.0), train, column(5.0, 400.0, 500.0, 600.0))
    assert found == {"share": 3 / 5, "test_share": 1 / 4, "threshold": 10.0}


def test_the_threshold_is_the_5_percent_quantile_of_the_training_set_alone():
    """21 gaps of size 1 to 21 between pairs far apart: leave-one-out distances 1, 1, 2, 2, ..., 21, 21."""
    train = np.concatenate([[1000.0 * g, 1000.0 * g + g] for g in range(1, 22)])[:, None]
    expected = np.quantile(np.repeat(np.arange(1.0, 22.0), 2), 0.05)
    for test in (None, column(0.0)):
        assert copies.near_copies(column(0.0), train, test)["threshold"] == expected
    assert copies.near_copies(column(0.0), train)["test_share"] is None


def test_copies_are_found_and_fresh_draws_of_the_same_kind_are_not():
    rng = np.random.default_rng(0)
    train, fresh, test = (rng.normal(size=(n, 8)) for n in (1500, 1000, 1000))
    found = copies.near_copies(fresh, train, test)
    assert found["share"] == pytest.approx(0.05, abs=0.03)
    assert found["test_share"] == pytest.approx(found["share"], abs=0.03)
    stolen = np.concatenate([fresh[:600], train[:400] + 1e-4])
    assert copies.near_copies(stolen, train, test)["share"] == pytest.approx(0.4 + 0.6 * 0.05, abs=0.03)


def test_a_set_full_of_doubles_has_no_near_copies():
    train = np.repeat(column(0, 10, 20, 30), 2, axis=0)
    assert copies.near_copies(column(0, 1), train) == {"share": 0.0, "test_share": None, "threshold": 0.0}


def test_many_training_rows_are_sampled_evenly(monkeypatch):
    train = np.arange(0.0, 4000.0, 10.0)[:, None]
    monkeypatch.setattr(copies, "THRESHOLD_ROWS", 50)
    assert copies.near_copies(column(4.0), train)["threshold"] == 10.0


def test_distances_at_hand_are_used():
    train = np.arange(0.0, 200.0, 10.0)[:, None]
    samples = column(3.0, 500.0)
    known = nearest(samples, train, 3)[0]
    assert copies.near_copies(samples, train, distances=known) == copies.near_copies(samples, train)
    with pytest.raises(GanzooError, match="1 distances for 2 samples"):
        copies.near_copies(samples, train, distances=known[:1])


@settings(max_examples=30, deadline=None)
@given(
    arrays.arrays(np.float64, (12, 3), elements=st.integers(-50, 50).map(float)),
    arrays.arrays(np.float64, (9, 3), elements=st.integers(-50, 50).map(float)),
    st.permutations(range(12)),
    st.sampled_from([0.25, 4.0]),
)
def test_order_and_unit_of_the_features_do_not_count(train, samples, order, scale):
    expected = copies.near_copies(samples, train)
    assert copies.near_copies(samples[::-1], train[order])["share"] == expected["share"]
    scaled = copies.near_copies(samples * scale, train * scale)
    assert scaled["share"] == expected["share"]
    assert scaled["threshold"] == pytest.approx(scale * expected["threshold"])


@pytest.mark.parametrize(
    ("train", "sentence"),
    [(np.zeros((1, 2)), "neighbours"), (np.full((3, 2), np.nan), "not finite"), (np.zeros((3, 5)), "dimensions")],
)
def test_bad_features_are_refused(train, sentence):
    with pytest.raises(GanzooError, match=sentence):
        copies.near_copies(np.zeros((2, 2)), train)


# ---- the sheet -------------------------------------------------------------------------------------------------------
def gray(*values):
    return np.array(values, np.uint8)[:, None, None, None] * np.ones((1, 32, 32, 1), np.uint8)


def tile(sheet, row, column):
    """The tile of a sheet of 64-px pictures with a frame of 3 px and a gap of 2."""
    top, left = 2 + row * 72, 2 + column * 72
    return sheet[top : top + 70, left : left + 70]


def test_the_sheet_shows_the_most_copy_like_first_beside_its_neighbours():
    samples, train = gray(100, 110, 120), gray(0, 1, 2, 3, 4)
    distances = np.array([[5.0, 6.0, 7.0], [1.0, 2.0, 3.0], [4.0, 4.5, 5.0]])
    indices = np.array([[0, 1, 2], [4, 3, 2], [1, 2, 3]])
    sheet = nearest_sheet.nearest_sheet(samples, train, distances, indices, rows=2, threshold=2.0)
    assert sheet.dtype == np.uint8
    assert sheet.shape == (2 + 72, 2 + 8 * 72, 3)
    shown = [int(tile(sheet, 0, i)[35, 35, 0]) for i in range(8)]
    assert shown == [110, 4, 3, 2, 120, 1, 2, 3]
    frames = [tuple(tile(sheet, 0, i)[0, 0]) for i in (0, 1, 4)]
    assert frames == [nearest_sheet.COPY, (255, 255, 255), nearest_sheet.SAMPLE]
    assert (tile(sheet, 0, 0)[3:-3, 3:-3] == 110).all(), "enlarged by whole pixels"
    again = nearest_sheet.nearest_sheet(samples, train, distances, indices, rows=2, threshold=2.0)
    np.testing.assert_array_equal(sheet, again)


def test_a_sheet_of_fewer_samples_than_rows_and_of_large_colour_pictures():
    pictures = np.random.default_rng(0).integers(0, 256, (2, 100, 100, 3), dtype=np.uint8)
    distances, indices = np.zeros((2, 1)), np.array([[1], [0]])
    sheet = nearest_sheet.nearest_sheet(pictures, pictures, distances, indices)
    np.testing.assert_array_equal(sheet[5:105, 5:105], pictures[0])
    np.testing.assert_array_equal(sheet[5:105, 113:213], pictures[1])


def test_distances_of_other_samples_are_refused():
    with pytest.raises(GanzooError, match=r"A sheet of 2 samples takes distances and indices"):
        nearest_sheet.nearest_sheet(gray(1, 2), gray(1), np.zeros((3, 1)), np.zeros((3, 1), int))
