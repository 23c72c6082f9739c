"""Pictures with sentences: folders, metadata, TFDS, the bundled set; one sentence an epoch; wrong pictures that are wrong."""

import csv
import json
import unicodedata
import zipfile

import numpy as np
import pytest
import tensorflow as tf

from ganzoo import data, presets
from ganzoo.data.captions import FOILS, Described, Texts, foils_of, normalised
from ganzoo.data.check import check
from ganzoo.data.pipeline import shuffled
from ganzoo.errors import GanzooError
from ganzoo.media import images

N = 6


def config(source, **more):
    return presets.DataConfig(shape="captions", source=str(source), size=8, **more)


def pictures(folder, n=N):
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        images.write_png(folder / f"{i}.png", np.full((8, 8, 3), 20 * i, np.uint8))
    return folder


@pytest.fixture
def beside(tmp_path):
    """Six pictures, 1 to 3 sentences in the .txt next to each; picture i is of gray 20 i."""
    folder = pictures(tmp_path / "set")
    for i in range(N):
        (folder / f"{i}.txt").write_text("\n\n".join(f"picture {i}, said way {k}" for k in range(1 + i % 3)) + "\n")
    return folder


def shown(batch_of_images):
    """Which picture each row is."""
    return np.round((np.asarray(batch_of_images)[:, 0, 0, 0] + 1) * 127.5 / 20).astype(int)


def rows(source, steps=6, batch_size=4, **options):
    found = []
    for batch in data.batches(source, batch_size, texts="text", **options).take(steps):
        found += list(
            zip(shown(batch["image"]), [t.decode() for t in batch["text"].numpy()], shown(batch["wrong"]), strict=True)
        )
    return found


# ---- where sentences come from ---------------------------------------------------------------------------------------
def test_text_files_beside_the_pictures(beside):
    source = data.open_source(config(beside))
    assert len(source) == N
    assert source.sentences(8)[6:] == ["picture 0, said way 0", "picture 1, said way 0"]
    for picture, text, wrong in rows(source):
        assert text.startswith(f"picture {picture},")
        assert wrong != picture


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_metadata_of_both_kinds(tmp_path, kind):
    folder = pictures(tmp_path / "train")
    texts = [[f"a {i}", f"b {i}"] if i % 2 else f"a {i}" for i in range(N)]
    if kind == "jsonl":
        lines = [json.dumps({"file_name": f"{i}.png", "text": text}) for i, text in enumerate(texts)]
        (folder / "metadata.jsonl").write_text("\ufeff" + "\n".join([*lines, ""]), "utf-8")
    else:
        with (folder / "metadata.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["file_name", "text"])
            for i, text in enumerate(texts):
                writer.writerow([f"{i}.png", json.dumps(text) if isinstance(text, list) else text])
            writer.writerow(["0.png", "[said] once more"])
    source = data.open_source(config(tmp_path))
    assert len(source) == N
    assert source.records.described[1].texts == ("a 1", "b 1")
    assert source.records.described[0].texts == (("a 0",) if kind == "jsonl" else ("a 0", "[said] once more"))


def test_pictures_without_sentences_are_left_out_and_named(beside):
    (beside / "0.txt").unlink()
    (beside / "1.txt").write_text(" \n")
    source = data.open_source(config(beside))
    assert len(source) == N - 2
    assert dict(source.skipped) == {"0.png": "has no 0.txt with text", "1.png": "has no 1.txt with text"}


@pytest.mark.parametrize(
    ("file", "content", "word"),
    [
        (None, None, "has no 0.txt with text"),
        ("metadata.jsonl", "{", "Line 1 of metadata.jsonl is not JSON"),
        ("metadata.jsonl", "[1]", "must be an object"),
        ("metadata.jsonl", '{"text": "a"}', '"file_name"'),
        ("metadata.jsonl", '{"file_name": "0.png", "text": 3}', "string or a list"),
        ("metadata.jsonl", '{"file_name": "0.png", "text": ["a", 3]}', "string or a list"),
        ("metadata.jsonl", '{"file_name": "9.png", "text": "a"}', "is not in metadata.jsonl"),
        ("metadata.jsonl", '{"file_name": "0.png", "text": "a", "embedding": "x"}', "list of numbers"),
        ("metadata.csv", "file,text\n0.png,a\n", '"file_name"'),
        ("metadata.csv", "file_name\n0.png\n", "string or a list"),
        ("metadata.jsonl", b'{"file_name": "0.png", "text": "\xff"}', "not UTF-8"),
    ],
)
def test_bad_folders_are_said_in_a_sentence(tmp_path, file, content, word):
    folder = pictures(tmp_path / "set")
    if file:
        (folder / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(GanzooError, match=word):
        data.open_source(config(folder))


def test_embeddings_come_from_metadata(tmp_path):
    folder = pictures(tmp_path)
    lines = [
        {"file_name": f"{i}.png", "text": [f"a {i}", f"b {i}"], "embedding": [[i, 0.0, 0.0], [i, 1.0, 0.0]]}
        for i in range(N)
    ]
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    source = data.open_source(config(folder))
    seen = set()
    for batch in data.batches(source, 4, texts="embedding").take(8):
        assert batch["embedding"].shape == (4, 3)
        np.testing.assert_array_equal(batch["embedding"][:, 0], shown(batch["image"]))
        seen |= set(np.asarray(batch["embedding"][:, 1]).tolist())
    assert seen == {0.0, 1.0}
    lines[0]["embedding"] = [[1.0, 2.0]] * 2
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(GanzooError, match=r"one width; there are \[2, 3\]"):
        data.open_source(config(folder))


def test_data_without_sentences_or_embeddings_are_refused(beside):
    plain = presets.DataConfig(shape="images", source=str(beside), size=8)
    with pytest.raises(GanzooError, match=r'set data\.shape = "captions"'):
        data.batches(data.open_source(plain), 2, texts="text")
    with pytest.raises(GanzooError, match="brings no embeddings"):
        data.batches(data.open_source(config(beside)), 2, texts="embedding")
    with pytest.raises(GanzooError, match="does not hold data of the shape"):
        data.open_source(config("fashion"))


# ---- which sentence, which wrong picture -----------------------------------------------------------------------------
def test_one_sentence_of_each_picture_an_epoch(beside):
    source = data.open_source(config(beside))
    epochs = 30
    found = rows(source, steps=epochs, batch_size=N, seed=3)
    for epoch in range(epochs):
        assert sorted(picture for picture, *_ in found[epoch * N : (epoch + 1) * N]) == list(range(N))
    for picture in range(N):
        said = [text for i, text, _ in found if i == picture]
        assert len(set(said)) == 1 + picture % 3, "all its sentences come"
        assert len({wrong for i, _, wrong in found if i == picture}) == N - 1, "and all other pictures"
    assert found == rows(source, steps=epochs, batch_size=N, seed=3)
    assert found != rows(source, steps=epochs, batch_size=N, seed=4)
    assert found[4 * N :] == rows(source, steps=epochs - 4, batch_size=N, seed=3, start_step=4), "resumes by its step"


def test_decoding_on_the_fly_gives_the_same(beside, monkeypatch):
    from ganzoo.data import pictures as module

    kept = rows(data.open_source(config(beside)))
    monkeypatch.setattr(module, "MEMORY_LIMIT", 0)
    source = data.open_source(config(beside))
    assert not source.in_memory
    assert rows(source) == kept


def test_several_sentences_an_image(beside):
    source = data.open_source(config(beside, captions=4))
    for batch in data.batches(source, 3, texts="text").take(4):
        assert batch["text"].shape == (3, 4)
        for picture, texts in zip(shown(batch["image"]), batch["text"].numpy(), strict=True):
            assert {t.decode() for t in texts} == {f"picture {picture}, said way {k}" for k in range(1 + picture % 3)}


def test_wrong_pictures_share_no_sentence():
    """Of the bundled set, and of one where nearly all pictures share sentences."""
    source = data.open_source(presets.run_config("text-to-image").data, "test")
    said = [set(map(normalised, one.texts)) for one in source.records.described]
    from ganzoo.data.pipeline import wrong_items

    positions = tf.range(3 * len(source), dtype=tf.int64)
    items, wrong = shuffled(positions, len(source), 5).numpy(), wrong_items(source, positions, 5).numpy()
    assert not any(said[i] & said[j] for i, j in zip(items, wrong, strict=True))
    assert len(set(wrong.tolist())) > len(source) / 2

    class Rare:
        config = presets.run_config("text-to-image").data
        texts = Texts([Described(("The same.", f"own {i}")) for i in range(40)] + [Described(("other",))], "x")

        def __len__(self):
            return 41

    rare = Rare()
    items, wrong = (
        f(positions[:200], *more).numpy()
        for f, more in ((lambda p: shuffled(p, 41, 0), ()), (lambda p: wrong_items(rare, p, 0), ()))
    )
    assert all((i == 40) != (j == 40) for i, j in zip(items, wrong, strict=True))


def test_foils_exchange_one_word_for_one_that_excludes_it():
    """Of 12 pictures half smile (or are happy) and half are sad; each of the four hats is worn by three."""
    hats = ["red", "blue", "green", "black"]
    described = [
        (f"A {mood} girl.", f"a {other} girl", f"A girl with a {hats[i % 4]} hat")
        for i in range(12)
        for mood, other in [("sad", "gloomy") if i % 2 else ("smiling", "happy")]
    ]
    made = foils_of(described, most=20)
    assert set(made) == {text for texts in described for text in texts}
    assert set(made["A smiling girl."]) == {"A sad girl.", "A gloomy girl."}, (
        "and never a happy one: both are said of one picture"
    )
    assert set(made["a gloomy girl"]) == {"a smiling girl", "a happy girl"}
    # red and black hats would meet at 3 * 3 / 12 pictures by chance: that they never do says nothing.
    assert made["A girl with a red hat"] == []
    assert foils_of(described, most=20) == made
    assert all(len(found) <= 1 for found in foils_of(described, most=1).values())
    capital = foils_of([(f"{'Sad' if i % 2 else 'Happy'} girls",) for i in range(12)])
    assert capital["Sad girls"] == ["Happy girls"]


def test_a_foil_beside_each_sentence(tmp_path):
    folder = pictures(tmp_path / "set", 12)
    for i in range(12):
        (folder / f"{i}.txt").write_text(f"a {'sad' if i % 2 else 'happy'} face, {i}\nnumber {i}")
    source = data.open_source(config(folder))

    def pairs(**options):
        found = []
        for batch in data.batches(source, 4, texts="text", foils=True, **options).take(12):
            found += [
                (t.decode(), f.decode()) for t, f in zip(batch["text"].numpy(), batch["foil"].numpy(), strict=True)
            ]
        return found

    found = pairs()
    for text, foil in found:
        swapped = text.replace("happy", "SAD").replace("sad", "happy").replace("SAD", "sad")
        assert foil == swapped, "a sentence without a foil stays as it is"
    assert {text.split()[0] for text, _ in found} == {"a", "number"}
    assert pairs() == found
    assert pairs(seed=1) != found
    assert "foil" not in next(iter(data.batches(source, 4, texts="text")))
    built = next(iter(data.build(config(folder), 4, foils=True)))
    assert set(built) == {"image", "text", "wrong", "foil"}
    several = data.open_source(config(folder, captions=2))
    batch = next(iter(data.batches(several, 4, texts="text", foils=True)))
    assert batch["text"].shape == batch["foil"].shape == (4, 2)


def test_foils_of_the_bundled_set_are_wrong():
    """No word of a foil's picture is exchanged for one that some sentence says of the same picture."""
    source = data.open_source(presets.run_config("text-to-image").data, "test")
    rows, counts = source.texts.foils
    assert rows.shape == (len(source), 5, FOILS)
    moods = [
        {"smiling", "happy", "cheerful"},
        {"sad", "unhappy", "frowning", "gloomy"},
        {"calm", "neutral", "thoughtful"},
    ]
    changed = 0
    for one, foils, count in zip(source.texts.described, rows, counts, strict=True):
        said = {word for text in one for word in normalised(text).split()}
        for text, found, n in zip(one, foils, count, strict=True):
            for foil in found[:n]:
                new = set(normalised(foil.decode()).split()) - set(normalised(text).split())
                assert not new & said
                changed += any(new & mood for mood in moods)
                assert not any(new & mood and said & mood for mood in moods)
    assert changed > 1_000


def test_sentences_without_foils_stay_as_they_are(beside):
    with pytest.warns(UserWarning, match="no foils, and model.match_weight has no effect"):
        batches = data.batches(data.open_source(config(beside)), 2, texts="text", foils=True)
    for batch in batches.take(3):
        np.testing.assert_array_equal(batch["foil"], batch["text"])


def test_a_set_whose_pictures_all_say_the_same_is_refused(beside):
    for i in range(N):
        (beside / f"{i}.txt").write_text(["A face.", "a face", "A  FACE!"][i % 3])
    with pytest.raises(GanzooError, match="mismatched pairs"):
        data.batches(data.open_source(config(beside)), 2, texts="text")


def test_fingerprint_knows_the_sentences(beside):
    before = data.open_source(config(beside)).fingerprint
    (beside / "3.txt").write_text("said otherwise")
    assert data.open_source(config(beside)).fingerprint != before


def test_the_bundled_set_has_five_sentences_each():
    source = data.open_source(presets.run_config("text-to-image").data)
    assert len(source) == 5100
    assert {len(one.texts) for one in source.records.described} == {5}
    batch = next(iter(data.build(presets.run_config("text-to-image").data, 4)))
    assert {name: tuple(value.shape) for name, value in batch.items()} == {
        "image": (4, 64, 64, 3),
        "wrong": (4, 64, 64, 3),
        "text": (4,),
    }


def test_tfds_sets_with_text(tmp_path, monkeypatch):
    """Both forms: a sequence of texts, and coco_captions' sequence of dicts; a picture without a sentence is left out."""
    import tensorflow_datasets as tfds

    class Told(tfds.core.GeneratorBasedBuilder):
        """Pictures with sentences, as coco_captions has them."""

        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            said = tfds.features.Sequence({"id": np.int64, "text": tfds.features.Text()})
            features = {"image": tfds.features.Image(shape=(8, 8, 3)), "captions": said, "id": tfds.features.Text()}
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for i in range(N):
                said = [{"id": k, "text": f"picture {i} way {k}"} for k in range(i % 3)]
                yield i, {"image": np.full((8, 8, 3), 20 * i, np.uint8), "captions": said, "id": f"number {i}"}

    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    Told(data_dir=tmp_path).download_and_prepare()
    source = data.open_source(config("tfds:told"))
    assert len(source) == 4
    assert len(source.skipped) == 2
    for picture, text, wrong in rows(source):
        assert text.startswith(f"picture {picture} way")
        assert wrong != picture


def test_data_check_names_pictures_without_sentences(beside):
    (beside / "2.txt").unlink()
    found = check(beside, shape="captions")
    assert found.usable == N - 1
    unmatched = [(row.file, row.detail) for row in found.rows if row.status == "unmatched"]
    assert unmatched == [("2.png", "has no 2.txt with text")]
    (beside / "metadata.jsonl").write_text("{")
    assert any("not JSON" in text for text in check(beside, shape="captions").advice)


# what people bring


def said(folder):
    return [one.texts for one in data.open_source(config(folder)).records.described]


def written(folder, names, file="metadata.csv"):
    """A metadata file with a sentence for each name; its place may be in another folder."""
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    rows = [{"file_name": name, "text": f"word {i}"} for i, name in enumerate(names)]
    with (folder / file).open("w", newline="", encoding="utf-8") as out:
        if file.endswith("csv"):
            writer = csv.DictWriter(out, ["file_name", "text"])
            writer.writeheader()
            writer.writerows(rows)
        else:
            out.write("\n".join(json.dumps(row, ensure_ascii=False) for row in rows))


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("0.png,a girl, smiling", "Row 1 of metadata.csv has 3 fields, the first line has 2.*quotes"),
        ("0.png", "Row 1 of metadata.csv has 1 fields, the first line has 2"),
        ('0.png,"a girl', "cannot be read as CSV"),
        ('0.png,"a girl" smiling', "cannot be read as CSV"),
    ],
)
def test_a_csv_that_would_cut_a_sentence_is_refused(tmp_path, row, sentence):
    folder = pictures(tmp_path / "set")
    (folder / "metadata.csv").write_text(f"file_name,text\n{row}\n1.png,a boy\n")
    with pytest.raises(GanzooError, match=sentence):
        said(folder)


def test_two_columns_of_one_name_are_refused(tmp_path):
    folder = pictures(tmp_path / "set")
    (folder / "metadata.csv").write_text("file_name,text,text\n0.png,a,b\n")
    with pytest.raises(GanzooError, match="two columns of one name"):
        said(folder)


def test_quoted_commas_lines_and_spaces_are_whole(tmp_path):
    folder = pictures(tmp_path / "set", 2)
    (folder / "metadata.csv").write_bytes(
        b'\xef\xbb\xbffile_name, text\r\n0.png, "a girl, smiling"\r\n1.png,"two\r\nlines"\r\n\r\n'
    )
    assert said(folder) == [("a girl, smiling",), ("two\r\nlines",)]


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85", "\x1c", "\x0b", "\x0c"])
def test_only_line_ends_end_lines(tmp_path, mark):
    folder = pictures(tmp_path / "rows", 2)
    rows = [{"file_name": f"{i}.png", "text": f"word{i}{mark}more"} for i in range(2)]
    (folder / "metadata.jsonl").write_text("\r\n".join(json.dumps(r, ensure_ascii=False) for r in rows), "utf-8")
    assert said(folder) == [(f"word0{mark}more",), (f"word1{mark}more",)]
    folder = pictures(tmp_path / "texts", 2)
    for i in range(2):
        (folder / f"{i}.txt").write_bytes(f"\ufeffword{i}{mark}more\r\nsecond\rthird\n".encode())
    assert said(folder) == [(f"word{i}{mark}more", "second", "third") for i in range(2)]


NAMES = {
    "plain": ("images/{}.png", ""),
    "dot": ("./images/{}.png", ""),
    "backslash": ("images\\{}.png", ""),
    "dot and backslash": (".\\images\\{}.png", ""),
    "above": ("../images/{}.png", "meta/"),
    "above in Windows": ("..\\images\\{}.png", "meta/"),
    "from the root": ("images/{}.png", "meta/"),
    "round about": ("images/../images/{}.png", ""),
    "doubled": ("images//{}.png", ""),
    "spaces": (" images/{}.png ", ""),
    "case": ("Images/{}.PNG", ""),
    "absolute": ("ROOT/images/{}.png", ""),
    "absolute, below": ("ROOT/images/{}.png", "meta/"),
    "absolute, round about": ("ROOT/meta/../images/{}.png", ""),
}


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
@pytest.mark.parametrize("form", NAMES)
def test_names_that_mean_an_existing_file(tmp_path, form, kind):
    name, place = NAMES[form]
    (tmp_path / "linked").symlink_to(tmp_path / "real")
    pictures(tmp_path / "real" / "images", 3)
    for root in ("real", "linked"):
        names = [name.format(i).replace("ROOT", str(tmp_path / root)) for i in range(3)]
        written(tmp_path / "real", names, f"{place}metadata.{kind}")
        for folder in ("real", "linked") if root == "real" else ("linked",):
            assert said(tmp_path / folder) == [("word 0",), ("word 1",), ("word 2",)], (root, folder)


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_unicode_forms_of_names(tmp_path, forms):
    folder = pictures(tmp_path, 2)
    here, there = (unicodedata.normalize(form, "caf\u00e9") for form in forms)
    for i in range(2):
        (folder / f"{i}.png").rename(folder / f"{here}{i}.png")
    written(folder, [f"{there}{i}.png" for i in range(2)])
    assert said(folder) == [("word 0",), ("word 1",)]
    (folder / "metadata.csv").unlink()
    for i in range(2):
        (folder / f"{there}{i}.txt").write_text(f"next to {i}")
    assert said(folder) == [("next to 0",), ("next to 1",)]


def test_names_in_a_zip_file(tmp_path):
    pictures(tmp_path / "set" / "images", 3)
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        for i in range(3):
            file.write(tmp_path / "set" / "images" / f"{i}.png", f"./images/{i}.png")
        rows = "\n".join(f"{form}{i}.png,word {i}" for i, form in enumerate(["/images/", "images\\", "./images/"]))
        file.writestr("metadata.csv", f"file_name,text\n{rows}")
    assert said(tmp_path / "x.zip") == [("word 0",), ("word 1",), ("word 2",)]


def test_rows_that_name_nothing_are_said(tmp_path):
    folder = pictures(tmp_path / "set", 2)
    images.write_png(tmp_path / "secret.png", np.zeros((8, 8, 3), np.uint8))
    written(folder, ["0.png", "1.png", "gone.png", "../secret.png", "/etc/passwd", "a\0b.png"])
    skipped = dict(data.open_source(config(folder)).skipped)
    assert set(skipped) == {"gone.png", "../secret.png", "/etc/passwd", "a\0b.png"}
    assert set(skipped.values()) == {"is named in metadata.csv, but is not there"}
    lost = [row for row in check(folder).rows if row.file == "../secret.png"]
    assert [(row.status, row.thumbnail) for row in lost] == [("unmatched", None)]  # nothing outside is ever shown


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ('{"file_name": "0.png", "text": ' + "[" * 5000 + "]" * 5000 + "}", "nests more than 100"),
        ("[" * 100_000, "nests more than 100"),
        ('{"file_name": "0.png", "text": ' + "9" * 5000 + "}", "is not JSON"),
        ('{"file_name": "0.png", "text": ' + "9" * 50 + "}", "64 bits"),
        ('{"file_name": "0.png", "text": "a", "embedding": [1e39]}', "all finite"),
        ('{"file_name": "0.png", "text": "a", "embedding": [NaN]}', "all finite"),
        ('{"file_name": "0.png", "text": "a", "embedding": [18446744073709551615, null]}', "all finite"),
    ],
)
def test_hostile_rows_are_one_sentence(tmp_path, row, sentence):
    folder = pictures(tmp_path / "set")
    (folder / "metadata.jsonl").write_text(row)
    with pytest.raises(GanzooError, match=sentence):
        said(folder)


def test_half_characters_are_replaced_and_brackets_are_text(tmp_path):
    folder = pictures(tmp_path / "rows", 2)
    rows = [
        r'{"file_name": "0.png", "text": "a \ud800 b"}',
        r'{"file_name": "1.png", "text": "c"}',
        r'{"file_name": "\ud800.png", "text": "c"}',
    ]
    (folder / "metadata.jsonl").write_text("\n".join(rows))
    source = data.open_source(config(folder))
    assert source.records.described[0].texts == ("a ? b",)
    assert source.skipped == [("?.png", "is named in metadata.jsonl, but is not there")]
    folder = pictures(tmp_path / "csv", 2)
    written(folder, ["0.png", "1.png"])
    text = (folder / "metadata.csv").read_text().replace("word 0", "[" * 5000)
    (folder / "metadata.csv").write_text(text)
    assert said(folder)[0] == ("[" * 5000,)


def test_data_check_finds_captions_and_looks_into_them(tmp_path, beside):
    found = check(beside)
    assert (found.shape, found.usable) == ("captions", N)
    assert found.sentences == sum(len(one.texts) for one in data.open_source(config(beside)).records.described)
    folder = pictures(tmp_path / "named", 3)
    written(folder, ["0.png", "1.png", "gone.png"])
    found = check(folder)
    assert (found.shape, found.usable, found.sentences) == ("captions", 2, 2)
    assert found.left_out == "2 files: is not in metadata.csv (1); is named in metadata.csv, but is not there (1)"
    (folder / "metadata.csv").write_text("file_name,caption\n0.png,a\n")
    found = check(folder)
    assert (found.shape, found.usable, found.splits) == ("captions", 0, {"train": 0})
    assert any('has no "text"' in text and "caption" in text for text in found.advice)
    assert [row.file for row in found.rows if row.status == "corrupt"] == ["metadata.csv"]
    (folder / "metadata.csv").write_text("file_name,text\n0.png,a cat\n1.png,A cat.\n2.png,a cat\n")
    assert any("no picture can stand as a wrong one" in text for text in check(folder).advice)


def test_wrong_pictures_are_of_another_class(tmp_path):
    """Two classes of three pictures each, all sentences unlike: without classes two of five others would be of one's own."""
    folder = tmp_path / "set"
    for i in range(N):
        kind = folder / ("even" if i % 2 == 0 else "odd")
        kind.mkdir(parents=True, exist_ok=True)
        images.write_png(kind / f"{i}.png", np.full((8, 8, 3), 20 * i, np.uint8))
        (kind / f"{i}.txt").write_text(f"picture {i}")
    found = rows(data.open_source(config(folder)), steps=40)
    assert all(picture % 2 != wrong % 2 for picture, _, wrong in found)
    assert {(picture, wrong) for picture, _, wrong in found} == {
        (i, j) for i in range(N) for j in range(N) if (i + j) % 2
    }


def test_one_class_for_all_is_no_class(tmp_path):
    folder = pictures(tmp_path / "set" / "birds")
    for i in range(N):
        (folder / f"{i}.txt").write_text(f"picture {i}")
    found = rows(data.open_source(config(tmp_path / "set")))
    assert found
    assert all(picture != wrong for picture, _, wrong in found)
