"""Ages and their classes: by years, by name, in a list, as folders and columns of data."""

import json

import numpy as np
import pytest
from PIL import Image

from ganzoo import ages, data, presets
from ganzoo.data.check import check
from ganzoo.errors import GanzooError


@pytest.mark.parametrize(
    ("age", "number"),
    [
        *((0, 0), (18, 0), (18.9, 0), (19, 1), (29, 1), (30.0, 2), (np.int64(49), 3), (59, 4), (60, 5), (120, 5)),
        *(
            ("30", 2),
            ("0-18", 0),
            ("60+", 5),
            ("60-", 5),
            ("over 60", 5),
            ("age_23", 1),
            ("20 to 25", 1),
            ("41 years", 3),
        ),
    ],
)
def test_classes_of_ages(age, number):
    assert ages.class_of(age) == number


@pytest.mark.parametrize(
    ("age", "sentence"),
    [
        (-1, "0 to 120 years"),
        (121, "received 121"),
        (float("nan"), "received nan"),
        (True, "received True"),
        (None, "received None"),
        ("old", '"old" is not an age'),
        ("19-30", "reaches from class 19-29 into 30-39"),
        ("18-3", "ends before it begins"),
        ("50+", "reaches from class 50-59 into 60\\+"),
        ("999", "received 999"),
    ],
)
def test_what_is_no_age_is_refused_with_a_sentence(age, sentence):
    with pytest.raises(GanzooError, match=sentence):
        ages.class_of(age)


def test_lists_of_ages():
    assert ages.read_list("10, 30-39,60+", "--ages") == ["10", "30-39", "60+"]
    for text, sentence in (("10,,20", "is a list of ages"), ("", "is a list of ages"), ("10,x", '"x" is not an age')):
        with pytest.raises(GanzooError, match=sentence):
            ages.read_list(text, "--ages")


# ---- data ------------------------------------------------------------------------------------------------------------
def config(source, **more):
    return presets.DataConfig(shape="ages", source=str(source), size=8, **more)


def write(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(path.stem)).integers(0, 256, (9, 9, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def test_folders_are_ages_or_ranges_of_ages(tmp_path):
    for folder in ("7", "age_23", "40-44", "60+"):
        for name in ("a", "bb"):
            write(tmp_path / folder / f"{name}.png")
    source = data.open_source(config(tmp_path))
    assert source.labels.tolist() == [ages.class_of(i.split("/")[0]) for i in source.records.ids]
    assert sorted(set(source.labels.tolist())) == [0, 1, 3, 5]
    assert source.class_names == ages.NAMES
    batch = next(iter(data.batches(source, 8, labels=True)))
    assert sorted(batch["label"].numpy().tolist()) == [0, 0, 1, 1, 3, 3, 5, 5]
    assert check(tmp_path, shape="ages").usable == 8
    write(tmp_path / "unknown" / "a.png")
    with pytest.raises(GanzooError, match=r'The folder unknown: "unknown" is not an age'):
        data.open_source(config(tmp_path))


def test_a_column_of_metadata_says_the_age(tmp_path):
    for name in ("a", "bb", "ccc", "dddd"):
        write(tmp_path / f"{name}.png")
    rows = [
        {"file_name": "a.png", "age": 70},
        {"file_name": "bb.png", "age": "30-39"},
        {"file_name": "x.png", "age": 3},
    ]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, [*rows, {"file_name": "ccc.png", "age": None}])))
    source = data.open_source(config(tmp_path))
    assert dict(zip(source.records.ids, source.labels.tolist(), strict=True)) == {"a.png": 5, "bb.png": 2}
    reasons = dict(source.skipped)
    assert reasons["dddd.png"] == "is not in metadata.jsonl"
    assert "not there" in reasons["x.png"]
    (tmp_path / "metadata.jsonl").write_text(json.dumps({"file_name": "a.png", "age": 300}))
    with pytest.raises(GanzooError, match=r"Row 1 of metadata.jsonl: An age is 0 to 120 years.*received 300"):
        data.open_source(config(tmp_path))
    (tmp_path / "metadata.jsonl").write_text(json.dumps({"file_name": "a.png", "years": 30}))
    with pytest.raises(GanzooError, match=r'has no "age", in years .* it has file_name, years'):
        data.open_source(config(tmp_path))


def test_pictures_without_ages_are_refused(tmp_path):
    for name in ("a", "bb"):
        write(tmp_path / f"{name}.png")
    with pytest.raises(GanzooError, match="Nothing says the ages of these pictures"):
        data.open_source(config(tmp_path))


def test_the_bundled_faces_have_their_classes():
    source = data.open_source(presets.DataConfig(shape="ages", source="faces_age_64", size=64), "test")
    columns = data.bundled.columns("faces_age_64")
    assert source.labels.tolist() == columns["age_bin"][columns["split"] == "test"].tolist()
    assert data.open_source(presets.DataConfig(shape="images", source="faces_age_64", size=64)).labels is None
