"""A tenth of a flat folder is its test split: by a rule that is stated, the same on every machine."""

import hashlib
import zipfile
from collections import Counter

import numpy as np
import pytest

from ganzoo import data
from ganzoo.data.check import check
from ganzoo.data.sources.held_back import held_back
from ganzoo.errors import GanzooError
from ganzoo.media import images
from ganzoo.presets import DataConfig

NAMES = [f"picture {i}" for i in range(44)]


def smallest(names, count):
    return set(sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())[:count])


def test_the_rule_is_the_smallest_hashes_of_the_names():
    chosen = held_back(NAMES, 0.1)
    assert {NAMES[i] for i in chosen} == smallest(NAMES, 4)
    assert chosen == sorted(chosen)
    mixed = NAMES[::-1]
    assert {mixed[i] for i in held_back(mixed, 0.1)} == smallest(NAMES, 4)
    assert len(held_back([f"{i}" for i in range(45)], 0.1)) == 5  # 4.5, rounded up
    assert len(held_back(NAMES, 0.25)) == 11


@pytest.mark.parametrize(("count", "held"), [(2, 0), (19, 0), (20, 2)])
def test_of_a_few_items_none_is_held_back(count, held):
    assert len(held_back(NAMES[:count], 0.1)) == held
    assert held_back(NAMES, 0.0) == []


def test_each_class_gives_its_own_tenth_and_keeps_what_it_needs():
    groups = ["large"] * 30 + ["middle"] * 9 + ["small"] * 4 + ["one"]
    for seed in range(20):
        names = [f"{seed} {name}" for name in NAMES]
        held = Counter(groups[i] for i in held_back(names, 0.1, groups))
        assert held.total() == 4
        assert 3 <= held["large"] <= 4
        assert held["middle"] + held["small"] <= 1
        assert held["one"] == 0  # it would be gone from training


def write(folder, *names, side=16):
    for number, name in enumerate(names):
        picture = np.full((side, side, 3), number * 5 % 256, np.uint8)
        images.write_png(folder / name, picture)


def opened(source, shape, split, hold_out=0.1, **more):
    config = DataConfig(shape=shape, source=str(source), size=16, hold_out=hold_out, **more)
    return data.open_source(config, split)


FLAT = {
    "images": [f"{i}.png" for i in range(30)],
    "paired": [f"{side}/{i}.png" for side in "AB" for i in range(30)],
    "unpaired": [f"{side}/{side}{i}.png" for side in "AB" for i in range(30)],
    "captions": [f"{i}.png" for i in range(30)],
}


@pytest.mark.parametrize("shape", FLAT)
def test_a_flat_folder_of_every_shape_has_a_test_split(tmp_path, shape):
    write(tmp_path, *FLAT[shape])
    if shape == "captions":
        for i in range(30):
            (tmp_path / f"{i}.txt").write_text(f"number {i}")
    train, test, whole = (opened(tmp_path, shape, split) for split in ("train", "test", "all"))
    assert (len(train), len(test), len(whole)) == (27, 3, 30)
    parts = {
        split: source.sides["a"] if shape == "unpaired" else source
        for split, source in zip(("train", "test"), (train, test), strict=True)
    }
    assert not set(parts["train"].records.ids) & set(parts["test"].records.ids)
    assert train.fingerprint != test.fingerprint
    total = 60 if shape == "unpaired" else 30
    assert train.summary()["held_back"] == total // 10
    assert [said for said in data.remarks(train) if f"{total // 10} of the {total} items" in said and "sha256" in said]
    assert data.has_split(train.config, "test")
    checked = check(tmp_path, shape=shape)
    assert sum(count for split, count in checked.splits.items() if split.startswith("test")) == total // 10
    assert set(data.remarks(train)) <= set(checked.advice), "`ganzoo data check` says what a training will say"
    before = opened(tmp_path, shape, "train", hold_out=None)
    assert len(before) == 30
    assert not data.has_split(before.config, "test")
    with pytest.raises(GanzooError, match='no split "test'):
        opened(tmp_path, shape, "test", hold_out=None)


def test_the_names_alone_decide(tmp_path):
    names = [f"{name}.png" for name in NAMES]
    write(tmp_path / "a", *names)
    write(tmp_path / "b" / "inner", *names[::-1], side=20)
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        for name in names:
            archive.write(tmp_path / "a" / name, name)
    for source in ("a", "c.zip"):
        found = opened(tmp_path / source, "images", "test").records.ids
        assert {name.removesuffix(".png") for name in found} == smallest(NAMES, 4)


def test_own_splits_stay_as_they_are(tmp_path):
    write(tmp_path, *(f"train/{i}.png" for i in range(30)), *(f"test/{i}.png" for i in range(5)))
    assert [len(opened(tmp_path, "images", split)) for split in ("train", "test")] == [30, 5]
    write(tmp_path / "v", *(f"train/{i}.png" for i in range(30)), *(f"val/{i}.png" for i in range(5)))
    assert len(opened(tmp_path / "v", "images", "train")) == 30


def test_a_small_folder_says_that_nothing_is_held_back(tmp_path):
    write(tmp_path, *(f"{i}.png" for i in range(6)))
    source = opened(tmp_path, "images", "train")
    assert len(source) == 6
    assert "none is held back" in data.remarks(source)[0]
    assert not data.has_split(source.config, "test")


def test_of_two_domains_both_are_held_back_or_none(tmp_path):
    write(tmp_path, *(f"A/{i}.png" for i in range(40)), *(f"B/{i}.png" for i in range(6)))
    source = opened(tmp_path, "unpaired", "train")
    assert [len(side) for side in source.sides.values()] == [40, 6]


def test_shapes(tmp_path):
    for number in range(20):
        grid = np.zeros((8, 8, 8), bool)
        grid[: 1 + number % 7] = True
        (tmp_path / "chair").mkdir(exist_ok=True)
        np.savez(tmp_path / "chair" / f"{number}.npz", grid)
    config = DataConfig(shape="voxels", source=str(tmp_path), size=8, channels=1, hold_out=0.1)
    train, test = (data.open_source(config, split) for split in ("train", "test"))
    assert (len(train), len(test)) == (18, 2)
    assert not set(train.ids) & set(test.ids)
    assert "2 of the 20 items" in data.remarks(train)[0]
