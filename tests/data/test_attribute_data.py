"""Pictures with attributes: metadata and tag files, what a column becomes, batches, counts, what is refused."""

import csv
import json
import zipfile

import numpy as np
import pytest

from ganzoo import data, presets
from ganzoo.data.attributes import BOOLEAN, attributes_of
from ganzoo.data.check import check
from ganzoo.errors import GanzooError
from ganzoo.media import images

N = 6


def config(source, **more):
    return presets.DataConfig(shape="attributes", source=str(source), size=8, **more)


def pictures(folder, n=N):
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        images.write_png(folder / f"{i}.png", np.full((8, 8, 3), 20 * i, np.uint8))
    return folder


def shown(batch_of_images):
    """Which picture each row is."""
    return np.round((np.asarray(batch_of_images)[:, 0, 0, 0] + 1) * 127.5 / 20).astype(int)


HAIR = ["red", "blue", "red", "green", "", "blue"]


@pytest.fixture
def table(tmp_path):
    """Six pictures and a metadata.csv: a category with an empty cell, booleans in three spellings, a list of tags."""
    folder = pictures(tmp_path / "set")
    with open(folder / "metadata.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file_name", "hair", "glasses", "hat", "text", "tags"])
        for i in range(N):
            tags = json.dumps(["smile", "long hair"][: i % 3])
            rows.writerow(
                [f"{i}.png", HAIR[i], ["true", "false"][i % 2], ["1", "0", ""][i % 3], f"a picture {i}", tags]
            )
    return folder


# ---- what a column becomes -------------------------------------------------------------------------------------------
def test_columns_of_a_table(table):
    source = data.open_source(config(table))
    assert dict(source.attributes.values) == {
        "hair": ("blue", "green", "red", "none"),
        "glasses": BOOLEAN,
        "hat": BOOLEAN,
        "smile": BOOLEAN,
        "long hair": BOOLEAN,
    }
    assert source.attributes.rows.tolist() == [
        [2, 1, 1, 0, 0],
        [0, 0, 0, 1, 0],
        [2, 1, 0, 1, 1],
        [1, 0, 1, 0, 0],
        [3, 1, 0, 1, 0],
        [0, 0, 0, 1, 1],
    ]
    assert source.attributes.columns[2].tolist() == [0, 0, 1, 0, 1, 0, 1, 1]  # four values of hair, then booleans


def test_counts_of_a_check(table):
    found = check(table, shape="attributes")
    assert found.attributes["hair"] == {"blue": 2, "green": 1, "red": 2, "none": 1}
    assert found.attributes["glasses"] == {"no": 3, "yes": 3}
    assert found.usable == N


def test_a_check_finds_attributes_by_columns_without_text(tmp_path):
    folder = pictures(tmp_path)
    lines = [json.dumps({"file_name": f"{i}.png", "age": i % 2, "hat": bool(i % 3)}) for i in range(N)]
    (folder / "metadata.jsonl").write_text("\n".join(lines))
    found = check(folder)
    assert found.shape == "attributes"
    assert found.attributes == {"age": {"no": 3, "yes": 3}, "hat": {"no": 2, "yes": 4}}


def test_numbers_beside_0_and_1_are_a_category():
    found = attributes_of([{"rooms": "1"}, {"rooms": "2"}, {"rooms": "0"}], "here")
    assert found.values == {"rooms": ("0", "1", "2")}


def test_tag_files(tmp_path):
    folder = pictures(tmp_path / "set", 4)
    for name, text in {"0": "hat, smile", "1": "hair: pink\nhat", "2": "", "3": "hair:blue,  smile"}.items():
        (folder / f"{name}.txt").write_text(text)
    source = data.open_source(config(folder))
    assert dict(source.attributes.values) == {"hat": BOOLEAN, "smile": BOOLEAN, "hair": ("blue", "pink", "none")}
    assert source.attributes.rows.tolist() == [[1, 1, 2], [1, 0, 1], [0, 0, 2], [0, 1, 0]]


def test_a_picture_without_tags_is_left_out(tmp_path):
    folder = pictures(tmp_path / "set", 4)
    for i in range(3):
        (folder / f"{i}.txt").write_text("hat" if i else "smile")
    source = data.open_source(config(folder))
    assert len(source) == 3
    assert source.skipped == [("3.png", "has no 3.txt with its tags")]


def test_splits_share_their_columns(tmp_path):
    for split, values in {"train": ["a", "b", "a"], "test": ["c", "a"]}.items():
        folder = pictures(tmp_path / "set" / split, len(values))
        rows = [{"file_name": f"{i}.png", "kind": value} for i, value in enumerate(values)]
        (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    train, test = (data.open_source(config(tmp_path / "set"), split).attributes for split in ("train", "test"))
    assert train.values == test.values == {"kind": ("a", "b", "c")}
    assert (train.rows.tolist(), test.rows.tolist()) == ([[0], [1], [0]], [[2], [0]])


def test_a_zip_file_and_rows_of_a_split(table, tmp_path):
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as file:
        for path in sorted(table.iterdir()):
            file.write(path, f"deep/{path.name}")
    source = data.open_source(config(tmp_path / "set.zip"), "train[2:5]")
    assert source.attributes.rows[:, 0].tolist() == [2, 1, 3]


def test_some_attributes_in_their_order(table):
    source = data.open_source(config(table, attributes=("smile", "hair")))
    assert list(source.attributes.values) == ["smile", "hair"]
    assert source.attributes.rows[2].tolist() == [1, 2]


# ---- batches ---------------------------------------------------------------------------------------------------------
def test_batches_bring_the_attributes_of_their_pictures(table):
    source = data.open_source(config(table))
    seen = set()
    for batch in data.batches(source, 4, attributes=True).take(4):
        for picture, row in zip(shown(batch["image"]), batch["attributes"].numpy(), strict=True):
            assert row.tolist() == source.attributes.columns[picture].tolist()
            seen.add(picture)
    assert seen == set(range(N))


def test_the_bundled_set_has_its_14_columns():
    source = data.open_source(config("lorelei_64"), "test")
    values = source.attributes.values
    assert len(values) == 14
    assert (len(values["hair"]), len(values["hair_style"]), values["glasses"]) == (11, 8, BOOLEAN)
    columns = data.bundled.columns("lorelei_64")
    rows = columns["split"] == "test"
    named = np.array(values["hair"])[source.attributes.rows[:, 0]]
    assert named.tolist() == columns["hair_color"][rows].tolist()
    place = list(values).index("glasses")
    assert source.attributes.rows[:, place].tolist() == columns["glasses"][rows].tolist()
    batch = next(iter(data.build(config("lorelei_64", split="test"), 4)))
    assert batch["attributes"].shape == (4, 101)


def test_the_fingerprint_tells_attributes_apart(table):
    before = data.open_source(config(table)).fingerprint
    text = (table / "metadata.csv").read_text()
    (table / "metadata.csv").write_text(text.replace("0.png,red", "0.png,blue"))
    assert data.open_source(config(table)).fingerprint != before


# ---- what is refused -------------------------------------------------------------------------------------------------
def jsonl(folder, rows):
    pictures(folder, len(rows))
    lines = [json.dumps({"file_name": f"{i}.png", **row}) for i, row in enumerate(rows)]
    (folder / "metadata.jsonl").write_text("\n".join(lines))
    return folder


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([{"hair": "red"}, {"hair": "red"}], "all pictures have the same attributes \\(hair = red\\)"),
        ([{}, {}], "has no attributes: needed are"),
        ([{"size": 1.5}, {"size": 2.5}], 'Row 1 of metadata.jsonl: the attribute "size" is a word'),
        ([{"a": {"b": 1}}, {"a": {}}], 'the attribute "a" is a word, true or false'),
        ([{"tags": ["x", 3]}, {}], 'the tags of "tags" are strings; received 3'),
        ([{"hat": True, "tags": ["hat"]}, {"hat": False, "tags": ["hat"]}], '"hat" is '),
        ([{"a": "x" * 101}, {"a": "b"}], "at most 100 characters"),
    ],
)
def test_what_is_no_attribute_is_refused(tmp_path, rows, sentence):
    with pytest.raises(GanzooError, match=sentence):
        data.open_source(config(jsonl(tmp_path / "set", rows)))


def test_too_many_values_are_refused():
    with pytest.raises(GanzooError, match='"id" has 300 different values; at most 256'):
        attributes_of([{"id": f"n{i}"} for i in range(300)], "here")


def test_unknown_names_are_refused(table):
    with pytest.raises(GanzooError, match=r'has no attribute "hare"\. Did you mean "hair"'):
        _ = data.open_source(config(table, attributes=("hare",))).attributes
    with pytest.raises(GanzooError, match="twice"):
        _ = data.open_source(config(table, attributes=("hair", "hair"))).attributes


def test_a_source_without_attributes_is_refused(table):
    plain = data.open_source(presets.DataConfig(shape="images", source=str(table), size=8))
    with pytest.raises(GanzooError, match=r"set data\.shape = .attributes."):
        data.batches(plain, 2, attributes=True)


def test_attributes_of_another_model_are_refused(table):
    source = data.open_source(config(table, attributes=("hair", "glasses")))
    data.check_attributes(source, {"hair": ("blue", "green", "red", "none"), "glasses": BOOLEAN})
    with pytest.raises(GanzooError, match="hat is missing; glasses is not the model's; hair has other values"):
        data.check_attributes(source, {"hair": ("blue", "red"), "hat": BOOLEAN})
    with pytest.raises(GanzooError, match="another order"):
        data.check_attributes(source, {"glasses": BOOLEAN, "hair": ("blue", "green", "red", "none")})


def test_tfds_sets_with_labels_and_booleans(tmp_path, monkeypatch):
    """As celeb_a has them, in a dict next to the image; a value that no picture has is still one of its label's."""
    import tensorflow_datasets as tfds

    class Labelled(tfds.core.GeneratorBasedBuilder):
        """A set with attributes."""

        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            inner = {"Smiling": np.bool_, "Young": np.bool_}
            hair = tfds.features.ClassLabel(names=["red", "green", "blue"])
            features = {
                "image": tfds.features.Image(shape=(8, 8, 3)),
                "attributes": inner,
                "hair": hair,
                "id": np.int64,
            }
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

        def _split_generators(self, _):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for i in range(4):
                image = np.full((8, 8, 3), 20 * i, np.uint8)
                inner = {"Smiling": i > 1, "Young": True}
                yield i, {"image": image, "attributes": inner, "hair": 2 * (i % 2), "id": i}

    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    Labelled(data_dir=tmp_path).download_and_prepare()
    source = data.open_source(config("tfds:labelled"))
    order = [int(array[0, 0, 0]) // 20 for array in source.arrays[0]]
    assert dict(source.attributes.values) == {"Smiling": BOOLEAN, "Young": BOOLEAN, "hair": ("red", "green", "blue")}
    assert source.attributes.rows.tolist() == [[int(i > 1), 1, 2 * (i % 2)] for i in order]
