"""ganzoo.files: whatever a stranger's file is, reading it gives its content or one sentence, and never blocks."""

import os
import time

import pytest

from ganzoo import files
from ganzoo.errors import GanzooError


@pytest.mark.parametrize("limit", [5, 6])
def test_bytes_up_to_the_limit(tmp_path, limit):
    (tmp_path / "x").write_bytes(b"hello!")
    if limit == 6:
        assert files.read_bytes(tmp_path / "x", limit) == b"hello!"
    else:
        with pytest.raises(files.FileError, match="6 bytes; at most 5") as caught:
            files.read_bytes(tmp_path / "x", limit)
        assert caught.value.kind == "large"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_what_is_no_regular_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "zero").symlink_to("/dev/zero")
    kinds = {name: files.kind_of(tmp_path / name) for name in ("pipe", "loop", "zero", "", "none")}
    assert kinds == {"pipe": "special", "loop": None, "zero": "special", "": "folder", "none": None}
    for name in kinds:
        with pytest.raises(files.FileError, match=r"not a regular file|Cannot read"):
            files.read_bytes(tmp_path / name)


@pytest.mark.parametrize("name", ["a\0b", "a\ud800b", "n" * 5000])
def test_names_that_no_file_can_have(name):
    assert files.kind_of(name) is None
    with pytest.raises(files.FileError, match="Cannot read") as caught:
        files.read_bytes(name)
    str(caught.value).encode()  # can be printed


def test_a_file_that_claims_to_be_empty_is_still_bounded():
    if not os.path.isfile("/proc/self/status"):
        pytest.skip("needs /proc")
    with pytest.raises(files.FileError, match="more than 10 bytes"):
        files.read_bytes("/proc/self/status", 10)


def test_unknown_users(tmp_path):
    with pytest.raises(GanzooError, match="names a user"):
        files.given_path("~nobody_of_this_name/x")
    assert files.given_path("~/x") == files.Path.home() / "x"


def test_text_has_no_byte_order_mark(tmp_path):
    (tmp_path / "x.toml").write_bytes(b"\xef\xbb\xbfa = 1\r\n")
    assert files.parse_toml(files.read_text(tmp_path / "x.toml"), "x.toml") == {"a": 1}
    assert files.parse_json(b"\xef\xbb\xbf[1]", "x.json") == [1]
    with pytest.raises(GanzooError, match="x is not UTF-8 text: invalid start byte at byte 1"):
        files.decode_text(b"a\xff", "x")


def test_lines_end_where_editors_end_them():
    assert files.lines("a\u2028b\u2029c\x85d\x0be\x0cf\x1cg\nh\r\ni\rj") == [
        "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg",
        *"hij",
    ]


DEEP = files.MAX_DEPTH


@pytest.mark.parametrize(
    ("parse", "text", "sentence"),
    [
        (files.parse_json, "[" * 100_000, "nests more than 100"),
        (files.parse_json, "[" * (DEEP + 1) + "]" * (DEEP + 1), "nests more than 100"),
        (files.parse_json, '{"a":' * 500 + "1" + "}" * 500, "nests more than 100"),
        (files.parse_json, str(2**64), "more than 64 bits"),
        (files.parse_json, "1" * 5000, "is not JSON"),
        (files.parse_json, "{", "is not JSON"),
        (files.parse_json, b"\xff", "not UTF-8"),
        (files.parse_toml, "a = " + "[" * 5000 + "]" * 5000, "nests more than 100"),
        (files.parse_toml, ".".join(["a"] * 20_000) + " = 1", "nests more than 100"),
        (files.parse_toml, "[" + " . ".join(['"a"', "'b'"] * 10_000) + "]", "nests more than 100"),
        (files.parse_toml, "a = " + "{a = " * 500 + "1" + "}" * 500, "nests more than 100"),
        (files.parse_toml, f"a = {2**70}", "more than 64 bits"),
        (files.parse_toml, "a = " + "9" * 5000, "cannot be read as TOML"),
        (files.parse_toml, "a = \n", "cannot be read as TOML"),
    ],
)
def test_hostile_texts_are_one_sentence(parse, text, sentence):
    start = time.process_time()
    with pytest.raises(GanzooError, match=sentence):
        parse(text, "x")
    assert time.process_time() - start < 5  # a key of 20,000 parts took 14 s


def test_ordinary_texts_are_read():
    assert files.parse_json("[" * DEEP + "]" * DEEP, "x")
    assert files.parse_json(str(2**64 - 1), "x") == 2**64 - 1
    text = 'a.b."c d" = 1.5\nlong = "' + "x. " * 1000 + '"\n[t.u]\nv = [[1], [2]]\n'
    assert files.parse_toml(text, "x")["a"]["b"]["c d"] == 1.5


def test_folders_by_several_names_are_walked_by_each(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("")
    (tmp_path / "b").symlink_to("a")
    (tmp_path / "a" / "up").symlink_to("..")
    (tmp_path / "self").symlink_to("self")
    assert sorted(files.names_below(tmp_path)) == ["a/x", "b/x", "self"]


def test_endless_links_are_refused(tmp_path):
    names = [f"d{i}" for i in range(12)]
    for name in names:
        (tmp_path / name).mkdir()
    for name in names:
        for other in names:
            if other != name:
                (tmp_path / name / f"to_{other}").symlink_to(tmp_path / other)
    with pytest.raises(GanzooError, match="links lead into the same folders"):
        files.names_below(tmp_path)


def test_the_real_path_of_links_and_of_names_that_no_file_has(tmp_path):
    (tmp_path / "self").symlink_to("self")
    (tmp_path / "link").symlink_to("there")
    assert files.real_path(tmp_path / "link").name == "there"
    assert files.real_path(tmp_path / "self").name == "self"
    with pytest.raises(GanzooError, match="No file or folder can be called"):
        files.real_path("a\0b")
