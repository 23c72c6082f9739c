"""The JSON-lines files of a run: a damaged row costs itself, and is counted and said."""

import json
import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganzoo.runs import changes
from ganzoo.runs.log import kept_rows, read_json, read_log, read_rows

ROWS = [{"step": step, "seconds": float(step), "d_loss": 0.5} for step in (10, 20, 30)]
DAMAGED = [
    '{"step": 40, "d_lo',
    "[1]",
    "null",
    '{"d_loss": 1}',
    '{"step": null}',
    '{"step": true}',
    '{"step": "40"}',
    '{"step": NaN}',
    '{"step": 1e999}',
    f'{{"step": {"9" * 400}}}',
    f'{{"step": {"9" * 5000}}}',
    "[" * 100_000,
    "\x00\xff",
]


def text(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.mark.parametrize("line", DAMAGED, ids=range(len(DAMAGED)))
@pytest.mark.parametrize("place", [0, 1, 3])
def test_a_damaged_row_costs_that_row_and_is_counted(line, place, tmp_path):
    lines = text(ROWS).splitlines()
    lines.insert(place, line)
    path = tmp_path / "log.jsonl"
    path.write_bytes("\n".join(lines).encode("latin-1"))
    found = read_log(path)
    assert (found.rows, found.damaged) == (ROWS, 1)


def test_numbers_that_are_needed_must_be_there(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "value": 2}\n{"step": 2, "valve": 2}\n{"step": 3, "value": "2"}\n')
    assert read_log(path, "value").rows == [{"step": 1, "value": 2}]
    assert read_log(path, "value").damaged == 2
    assert read_log(path).damaged == 0


def test_a_line_ends_at_a_line_feed_only(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1, "why": "one\u2028two\x85three"}\n', "utf-8")
    assert read_rows(path) == ([{"step": 1, "why": "one\u2028two\x85three"}], 0)


@given(st.integers(0, len(text(ROWS)) - 1), st.integers(0, 7))
@settings(max_examples=200, deadline=None)
def test_a_flipped_bit_is_no_traceback(tmp_path_factory, place, bit):
    data = bytearray(text(ROWS), "ascii")
    data[place] ^= 1 << bit
    path = tmp_path_factory.mktemp("flip") / "log.jsonl"
    path.write_bytes(data)
    found = read_log(path, "seconds")
    assert len(found.rows) + found.damaged >= 2
    found.series("d_loss")


def test_rows_are_kept_to_a_step_and_a_warning_tells_of_damaged_ones(tmp_path, caplog):
    path = tmp_path / "log.jsonl"
    path.write_text(text(ROWS[:2]) + DAMAGED[0] + "\n" + text(ROWS[2:]))
    with caplog.at_level(logging.WARNING):
        assert kept_rows(path, 25, "seconds") == ROWS[:2]
    assert f"{path}: 1 damaged row(s) are left out." in caplog.text
    assert path.read_text() == text(ROWS[:2])
    assert kept_rows(tmp_path / "none.jsonl", 25) == []
    assert not (tmp_path / "none.jsonl").exists()


def test_changes_lose_a_damaged_row_and_keep_the_others(tmp_path):
    changes.note(tmp_path, 10, "rollback", "NaN.")
    with (tmp_path / changes.FILE).open("a") as file:
        file.write('{"step": 12, "what": "rollb\n{"step": 13, "what": 3, "why": "x"}\n')
    assert changes.damaged(tmp_path) == 2
    changes.note(tmp_path, 20, "rollback", "NaN again.")
    assert [row["step"] for row in changes.read(tmp_path)] == [10, 20]
    assert changes.rate_factor(tmp_path) == 0.25


@pytest.mark.parametrize("content", ["{", "[1]", "[" * 100_000, "\udcff"])
def test_small_json_files_that_are_damaged_read_as_empty_with_a_warning(content, tmp_path, caplog):
    path = tmp_path / "began.json"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with caplog.at_level(logging.WARNING):
        assert read_json(path) == {}
    assert f"{path} is damaged and left out." in caplog.text
    assert read_json(tmp_path / "none.json") == {}
