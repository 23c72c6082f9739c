"""A run folder: what may begin there, what is swept away, and a lock that touches nothing but itself."""

import os

import pytest

from ganzoo.errors import GanzooError
from ganzoo.runs import folder, lock


def fill(path, *names):
    for name in names:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text("x")
    return path


FIRST = f"checkpoints/{folder.FIRST}"


@pytest.mark.parametrize(
    ("names", "free"),
    [
        ((), True),
        ((".lock",), True),
        (("data.json", "began.json"), True),
        (("data.json", "config.toml", ".config.toml.12.tmp"), True),
        (("data.json", "config.toml", f"checkpoints/.{folder.FIRST}.12.tmp"), True),
        ((FIRST,), True),  # an older ganzoo wrote config.toml after it
        ((FIRST, "config.toml", "data.json"), False),
        (("checkpoints/step-00000500.safetensors",), False),
        (("config.toml",), False),  # somebody's own
        (("data.json", "notes.txt"), False),
        (("log.jsonl",), False),
        ((".notes.12.tmp",), False),
    ],
)
def test_where_a_run_can_begin(names, free, tmp_path):
    fill(tmp_path, *names)
    assert folder.is_free(tmp_path) is free
    if free:
        folder.check(tmp_path, resume=False)
    else:
        with pytest.raises(GanzooError, match="is not empty"):
            folder.check(tmp_path, resume=False)


def test_only_temporary_files_of_ours_are_removed(tmp_path):
    ours = [
        ".config.toml.1.tmp",
        f"checkpoints/.{folder.FIRST}.99.tmp",
        "samples/.000500.png.7.tmp",
        "model/.manifest.json.7.tmp",
    ]
    theirs = [
        ".notes.tmp",
        ".config.toml.tmp",
        "checkpoints/.mine.1.tmp",
        "photos/.config.toml.1.tmp",
        "config.toml.1.tmp",
    ]
    fill(tmp_path / "run", *ours, *theirs)
    fill(tmp_path / "other", ".000001.png.1.tmp", "keep")
    (tmp_path / "run/model-best").symlink_to(tmp_path / "other")
    (tmp_path / "run/.log.jsonl.3.tmp").symlink_to(tmp_path / "other/keep")
    folder.sweep(tmp_path / "run")
    assert not any((tmp_path / "run" / name).exists() for name in ours)
    assert all((tmp_path / "run" / name).exists() for name in theirs)
    assert sorted(os.listdir(tmp_path / "other")) == [".000001.png.1.tmp", "keep"]
    assert (tmp_path / "run/.log.jsonl.3.tmp").is_symlink()


def test_a_place_is_the_same_folder_and_not_one_of_the_same_name(tmp_path):
    (tmp_path / "run").mkdir()
    place = folder.Place(tmp_path / "run")
    place.check()
    (tmp_path / "run").rename(tmp_path / "moved")
    with pytest.raises(folder.Gone, match="was deleted or moved"):
        place.check()
    (tmp_path / "run").mkdir()
    with pytest.raises(folder.Gone, match="was deleted or moved"):
        place.check()


def test_a_lock_follows_no_link(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "run" / lock.FILE).symlink_to(tmp_path / "precious")
    with pytest.raises(GanzooError, match="is a link or a folder, and no lock of a run"), lock.held(tmp_path / "run"):
        pass
    assert (tmp_path / "precious").read_text() == "mine"
    assert (tmp_path / "run" / lock.FILE).is_symlink()


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_lock_is_a_file(make, tmp_path):
    make(tmp_path / lock.FILE)
    with pytest.raises(GanzooError, match="no lock of a run"), lock.held(tmp_path):
        pass
