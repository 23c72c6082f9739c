"""ganzoo.data.check: every defect is named, no file makes it fall over, and what it counts as usable training uses."""

import io
import json
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from ganzoo import data
from ganzoo.data.check import STATUSES, check
from ganzoo.errors import GanzooError
from ganzoo.media import images
from ganzoo.presets import DataConfig

RNG = np.random.default_rng(0)


def noise(*shape):
    return RNG.integers(0, 256, shape, np.uint8)


def png(image, mode=None):
    out = io.BytesIO()
    picture = Image.fromarray(image)
    (picture.convert(mode) if mode else picture).save(out, "PNG")
    return out.getvalue()


def by_file(result):
    return {row.file: row for row in result.rows}


@pytest.fixture
def folder(tmp_path):
    """One file of every kind, and enough good ones that colour is the usual mode."""
    for i in range(6):
        (tmp_path / f"good{i}.png").write_bytes(png(noise(40, 30, 3)))
    whole = png(noise(64, 64, 3))
    (tmp_path / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "corrupt.png").write_bytes(whole[:60] + bytes(40) + whole[100:])
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "empty.gif").write_bytes(b"")
    (tmp_path / "tiny.png").write_bytes(png(noise(9, 30, 3)))
    (tmp_path / "copy.bmp").write_bytes(png(images.read_image(tmp_path / "good0.png")))
    (tmp_path / "gray.png").write_bytes(png(noise(40, 30)))
    (tmp_path / "clear.png").write_bytes(png(noise(40, 30, 4)))
    (tmp_path / "bomb.png").write_bytes(png(np.zeros((9000, 9000), bool)))
    (tmp_path / "old.tif").write_bytes(b"II*\0")
    (tmp_path / "notes.txt").write_text("x")
    return tmp_path


def test_every_defect_is_named(folder):
    result = check(folder)
    rows = by_file(result)
    expected = {
        "truncated.png": "truncated",
        "corrupt.png": "corrupt",
        "text.jpg": "corrupt",
        "empty.gif": "empty",
        "tiny.png": "tiny",
        "gray.png": "mode-mixed",
        "clear.png": "mode-mixed",
        "bomb.png": "bomb",
        "old.tif": "corrupt",
        "good0.png": "duplicate",  # copy.bmp comes first by name
    }
    assert {name: rows[name].status for name in expected} == expected
    assert {row.status for row in result.problems} >= {"tiny", "bomb", "corrupt", "duplicate"}
    assert all(row.detail for row in result.problems)
    assert rows["good0.png"].detail == "same pixels as copy.bmp"
    assert rows["bomb.png"].width == 9000  # known from the header, though refused
    assert rows["good1.png"].status == "ok"
    assert (rows["good1.png"].width, rows["good1.png"].height, rows["good1.png"].mode) == (30, 40, "RGB")
    assert result.counts == {
        "ok": 6,
        "corrupt": 3,
        "truncated": 1,
        "empty": 1,
        "bomb": 1,
        "duplicate": 1,
        "tiny": 1,
        "mode-mixed": 2,
    }
    assert (result.shape, result.layout, result.other_files) == ("images", "images", 1)
    assert set(result.counts) <= set(STATUSES)
    assert len(result.advice) == 3
    assert json.loads(json.dumps(result.to_dict()))["usable"] == result.usable


def test_usable_is_what_training_uses(folder):
    opened = data.open_source(DataConfig(shape="images", source=str(folder), size=16))
    result = check(folder)
    assert result.usable == len(opened) == 10
    unusable = {row.file for row in result.problems if row.status in ("corrupt", "truncated", "empty", "bomb")}
    assert {name for name, _ in opened.skipped} == unusable


def test_thumbnails_are_small_pngs(folder):
    rows = by_file(check(folder))
    assert rows["truncated.png"].thumbnail is None
    for name in ("good1.png", "tiny.png", "clear.png"):
        assert rows[name].thumbnail.startswith("data:image/png;base64,")
        assert len(rows[name].thumbnail) < 25_000


def test_pairs(tmp_path):
    for side in "AB":
        (tmp_path / side).mkdir()
        for i in range(4):
            (tmp_path / side / f"{i}.png").write_bytes(png(noise(32, 32, 3)))
    (tmp_path / "A" / "alone.png").write_bytes(png(noise(32, 32, 3)))
    (tmp_path / "B" / "0.png").write_bytes(b"")
    (tmp_path / "B" / "1.png").write_bytes(png(noise(32, 48, 3)))
    (tmp_path / "A" / "3.png").write_bytes((tmp_path / "A" / "2.png").read_bytes())
    result = check(tmp_path)
    rows = by_file(result)
    assert (result.shape, result.layout, result.usable) == ("paired", "folders", 2)
    assert rows["A/alone.png"].detail == "has no partner in B"
    assert (rows["A/0.png"].status, rows["A/0.png"].detail) == ("unmatched", "its partner cannot be read")
    assert rows["B/0.png"].status == "empty"
    assert rows["A/1.png"].status == rows["B/1.png"].status == "unmatched"
    assert rows["A/3.png"].status == "ok"  # the same input with another target is not a duplicate
    (tmp_path / "B" / "3.png").write_bytes((tmp_path / "B" / "2.png").read_bytes())
    rows = by_file(check(tmp_path))
    assert rows["A/3.png"].status == rows["B/3.png"].status == "duplicate"
    assert len(data.open_source(DataConfig(shape="paired", source=str(tmp_path), size=16))) == 2


def test_shape_is_found_out_or_taken(tmp_path):
    for i in range(3):
        (tmp_path / f"{i}.png").write_bytes(png(noise(32, 64, 3)))
    assert (check(tmp_path).shape, check(tmp_path).layout) == ("paired", "side-by-side")
    assert check(tmp_path, shape="images").usable == 3
    for i in range(3):
        (tmp_path / f"{i}.png").write_bytes(png(noise(32, 40, 3)))
    assert check(tmp_path).shape == "images"
    forced = check(tmp_path, shape="paired")
    assert forced.counts == {"unmatched": 3}
    assert "0 usable pairs: training needs at least 2" in forced.advice[0]


def test_masks_are_told_by_their_names(tmp_path):
    for i in range(3):
        (tmp_path / f"{i}.png").write_bytes(png(noise(40, 30, 3)))
        (tmp_path / f"{i}_mask.png").write_bytes(png(noise(40 - (i == 2), 30)))
    (tmp_path / "alone.png").write_bytes(png(noise(40, 30, 3)))
    result = check(tmp_path)
    assert (result.shape, result.usable) == ("masks", 2)
    rows = by_file(result)
    assert rows["alone.png"].detail == "has no mask"
    assert rows["2.png"].status == rows["2_mask.png"].status == "unmatched"
    assert "not one size" in rows["2.png"].detail


def test_duplicates_across_splits_and_size(tmp_path):
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        (tmp_path / split / "x.png").write_bytes(png(noise(40, 40, 3)))
    (tmp_path / "test" / "leak.png").write_bytes((tmp_path / "train" / "x.png").read_bytes())
    result = check(tmp_path, size=100)
    assert result.splits == {"train": 1, "test": 2}
    leak = {row.file: row.detail for row in result.rows if row.status == "duplicate"}
    assert leak == {"train/x.png": "same pixels as test/leak.png"} or leak == {
        "test/leak.png": "same pixels as train/x.png"
    }
    assert by_file(result)["test/x.png"].status == "tiny"


def test_zip_and_idx(tmp_path, folder):
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as file:
        for path in folder.glob("good*.png"):
            file.write(path, f"root/{path.name}")
    assert check(tmp_path / "set.zip").usable == 6
    place = tmp_path / "idx"
    place.mkdir()
    (place / "train-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03" + b"\0\0\0\4" * 3 + bytes(64))
    (place / "t10k-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03" + b"\0\0\0\4" * 3)
    result = check(place)
    assert (result.layout, result.usable, result.splits) == ("idx", 4, {"train": 4})
    assert by_file(result)["t10k-images-idx3-ubyte"].status == "corrupt"


def test_an_empty_folder(tmp_path):
    result = check(tmp_path)
    assert (result.rows, result.usable) == ([], 0)
    assert "0 usable" in result.advice[0]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"path": "nowhere/at/all"}, "There is no folder or zip file nowhere/at/all"),
        ({"path": __file__}, "neither a folder nor a zip file"),
        ({"path": ".", "shape": "paird"}, r'Unknown data shape "paird"\. Did you mean "paired"'),
    ],
)
def test_bad_arguments(arguments, sentence):
    with pytest.raises(GanzooError, match=sentence):
        check(**arguments)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.binary(max_size=80), min_size=1, max_size=5),
    st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"BM", b"GIF89a"]),
)
def test_no_file_makes_it_fall_over(tmp_path, contents, start):
    for i, content in enumerate(contents):
        (tmp_path / f"{i}.png").write_bytes(start + content)
    assert check(tmp_path).usable == 0


def test_strange_names(tmp_path):
    name = b"caf\xe9.png"  # latin-1: no UTF-8
    try:
        (tmp_path / name.decode("utf-8", "surrogateescape")).write_bytes(png(noise(20, 20, 3)))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    (tmp_path / "new\nline.png").write_bytes(png(noise(20, 20, 3)))
    (tmp_path / "link.png").symlink_to(tmp_path / "gone.png")
    result = check(tmp_path)
    assert result.usable == 2
    assert [row.file for row in result.problems] == ["link.png"]
    json.dumps(result.to_dict(), ensure_ascii=False).encode()
    opened = data.open_source(DataConfig(shape="images", source=str(tmp_path), size=16))
    json.dumps(opened.summary(), ensure_ascii=False).encode()


def test_what_is_left_out_is_counted(tmp_path):
    for folder in ("train", "test", "extra"):
        (tmp_path / folder).mkdir()
        for i in range(3):
            (tmp_path / folder / f"{i}.png").write_bytes(png(noise(20, 20, 3)))
    (tmp_path / "train" / "bad.png").write_bytes(b"")
    (tmp_path / "train" / "photo.heic").write_bytes(b"x")
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / ".hidden.png").write_bytes(b"x")
    result = check(tmp_path)
    assert result.splits == {"train": 3, "test": 3}
    assert result.left_out == (
        "5 files: lies outside train/, val/ and test/ (3); is empty (0 bytes) (1); heic files are not read; convert it to "
        "PNG or JPEG (1)"
    )
    assert (result.other_files, result.other_kinds, result.hidden_files) == (1, {".txt": 1}, 1)
    opened = data.open_source(DataConfig(shape="images", source=str(tmp_path), size=16))
    assert len(opened.skipped) == 5


def test_folders_that_can_be_meant_otherwise_are_explained(tmp_path):
    for folder in ("cat", "dog", "test"):
        (tmp_path / folder).mkdir()
        for i in range(2):
            (tmp_path / folder / f"{i}.png").write_bytes(png(noise(20, 20, 3)))
    result = check(tmp_path)
    assert result.splits == {"train": 4, "test": 2}
    assert any(text.startswith("test/ holds pictures back") for text in result.advice)
    (tmp_path / "test").rename(tmp_path / "train")
    result = check(tmp_path)
    assert result.splits == {"train": 6}
    assert any("taken for a class of that name" in text for text in result.advice)


def test_domains_with_splits_below(tmp_path):
    for folder in ("A/trainA", "A/testA", "B/trainB", "B/testB"):
        (tmp_path / folder).mkdir(parents=True)
        for i in range(2):
            (tmp_path / folder / f"{i}.png").write_bytes(png(noise(20, 20, 3)))
    result = check(tmp_path)
    assert (result.shape, result.splits) == ("unpaired", {"trainA": 2, "trainB": 2, "testA": 2, "testB": 2})


def test_portrait_pairs_are_found_out(tmp_path):
    found = data.open_source(DataConfig(shape="paired", source="adventurer_pairs_64", size=64)).take(6)
    for i in range(6):
        both = np.hstack([found["input"][i][:, 12:52], found["target"][i][:, 12:52]])
        (tmp_path / f"{i}.png").write_bytes(png(both))
    result = check(tmp_path)
    assert (result.shape, result.layout, result.usable) == ("paired", "side-by-side", 6)
