"""ganzoo.data: every source gives the right pictures, batches depend on (seed, step) only, bad input is said in a sentence."""

import gzip
import hashlib
import importlib
import io
import json
import os
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ganzoo import data, presets
from ganzoo.data import bundled, pipeline
from ganzoo.data import pictures as reader
from ganzoo.data.recipes import bundle, faces_age_64, fluent_edges_128
from ganzoo.errors import GanzooError
from ganzoo.media import images
from ganzoo.presets import DataConfig

RNG = np.random.default_rng(0)
SIZES = {
    "lorelei_64": 6000,
    "adventurer_pairs_64": 3000,
    "fluent_edges_128": 1445,
    "emoji_64": 6418,
    "photos_128": 1469,
    "faces_age_64": 3700,
    "mnist_m_32": 2750,
    "mnist": 2750,
    "fashion": 12000,
}


def config(origin, shape="images", size=16, **more):
    return DataConfig(shape=shape, source=str(origin), size=size, **more)


def noise(*shape):
    return RNG.integers(0, 256, shape, np.uint8)


def write(folder, **pictures):
    for name, picture in pictures.items():
        images.write_png(folder / f"{name.replace('__', '/')}.png", picture)


def arrays(dataset, n):
    return [{k: v.numpy() for k, v in batch.items()} for batch in dataset.take(n)]


def same(left, right):
    return all((a[k] == b[k]).all() for a, b in zip(left, right, strict=True) for k in a)


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    write(folder, **{f"p{i:02d}": noise(20, 24, 3) for i in range(11)})
    return folder


@pytest.fixture
def twins(tmp_path):
    """Pairs whose two pictures are equal, so that any difference in a batch comes from augmentation."""
    folder = tmp_path / "twins"
    for i in range(7):
        picture = noise(24, 24, 3)
        write(folder, **{f"A__{i}": picture, f"B__{i}": picture})
    return folder


# bundled sets


def test_bundled_files_are_the_documented_ones():
    total = 0
    for name in data.bundled_names():
        sidecar = bundled.facts(name)
        assert sidecar["licence"]
        assert sidecar["attribution"]
        for file, facts in sidecar["files"].items():
            content = (bundled.ASSETS / file).read_bytes()
            assert hashlib.sha256(content).hexdigest() == facts["sha256"], file
            assert len(content) == facts["bytes"]
    total = sum(file.stat().st_size for file in bundled.ASSETS.iterdir())
    assert total <= 55 * 10**6


def test_every_bundled_set_has_recipe_and_licence():
    licences = (bundled.ASSETS.parent / "LICENCES.md").read_text(encoding="utf-8")
    for name in data.bundled_names():
        assert f"`{name}`" in licences
        recipe = importlib.import_module(f"ganzoo.data.recipes.{name}")
        upstream = [f"{u['package']} {u['version']}" for u in bundled.facts(name)["upstream"]]
        assert sorted(recipe.PACKAGES) == sorted(upstream)
        assert recipe.FETCH
    for file in bundled.ASSETS.iterdir():
        if file.suffix != ".json" or "index" in file.name:
            assert file.name in licences, file.name


@pytest.mark.parametrize(("name", "count"), SIZES.items())
def test_bundled_counts_and_pictures(name, count, monkeypatch):
    monkeypatch.delenv("GANZOO_DATA", raising=False)
    monkeypatch.setattr(bundled, "SYSTEM_FASHION", bundled.ASSETS / "none")
    side = bundled.SETS[name].size
    everything = data.open_source(config(name, size=side), "all")
    assert len(everything) == count
    parts = {split: len(data.open_source(config(name, size=side), split)) for split in bundled.facts(name)["counts"]}
    assert parts == bundled.facts(name)["counts"]
    taken = everything.take(3)["image"]
    assert taken.shape == (3, side, side, 3)
    assert taken.std() > 20  # pictures, not blanks
    summary = json.loads(json.dumps(everything.summary()))
    assert summary["licence"]
    assert summary["origin"] == "bundled"
    assert summary["fingerprint"] == everything.fingerprint


def test_fashion_padded_to_32_stays_pixel_exact():
    padded = data.open_source(config("fashion", size=32, channels=1, fit="pad")).take(8)["image"]
    plain = data.open_source(config("fashion", size=28, channels=1)).take(8)["image"]
    assert (padded[:, 2:30, 2:30] == plain).all()
    assert padded[:, :2].max() <= plain.max()


@pytest.mark.parametrize(("name", "size"), [("adventurer_pairs_64", 64), ("fluent_edges_128", 128)])
def test_bundled_pairs_belong_together(name, size):
    """Where the colour picture is white, the drawing has no ink inside; here: both have their ink in the same places."""
    pairs = data.open_source(config(name, "paired", size, input_channels=1), "test").take(20)
    assert pairs["input"].shape == (20, size, size, 1)
    assert pairs["target"].shape == (20, size, size, 3)
    ink = pairs["input"][..., 0] < 128
    white = pairs["target"].min(-1) == 255
    assert (ink & white).sum() < 0.25 * ink.sum()
    reverse = data.open_source(config(name, "paired", size, channels=1, direction="b2a"), "test").take(20)
    assert (reverse["input"] == pairs["target"]).all()
    assert (reverse["target"] == pairs["input"]).all()


def test_edges_follow_from_the_photo_by_the_recipe():
    pairs = data.open_source(config("fluent_edges_128", "paired", 128, input_channels=1)).take(5)
    for photo, edges in zip(pairs["target"], pairs["input"], strict=True):
        assert np.abs(fluent_edges_128.edges(photo).astype(int) - edges).mean() < 3.5  # the colours were reduced


def test_a_bundled_file_written_anew_keeps_its_pixels():
    picture = np.add.outer(np.arange(40) ** 2 % 255, np.arange(48)).astype(np.uint8)
    found = io.BytesIO()
    Image.fromarray(picture).save(found, "WEBP", lossless=True, quality=0, method=0)
    anew = bundle.smallest(found.getvalue())
    assert len(anew) < len(found.getvalue())
    assert (np.asarray(Image.open(io.BytesIO(anew)).convert("L")) == picture).all()
    assert bundle.smallest(anew) == anew


def test_photos_hold_nothing_with_share_alike_and_keep_test_photos_apart():
    columns = bundled.columns("photos_128")
    assert not any("BY-SA" in licence for licence in columns["licence"])
    train, test = (set(columns["photo"][columns["split"] == split]) for split in ("train", "test"))
    assert not train & test
    assert train | test == set(bundled.facts("photos_128")["photos"])


def test_faces_are_held_back_by_identity_and_every_age_has_its_class():
    columns = bundled.columns("faces_age_64")
    train, test = (set(columns["identity"][columns["split"] == split].tolist()) for split in ("train", "test"))
    assert not train & test
    assert (len(train), len(test)) == (330, 40)
    assert set(np.bincount(columns["identity"])[sorted(train | test)].tolist()) == {10}
    assert (faces_age_64.age_class(columns["age"]) == columns["age_bin"]).all()
    assert faces_age_64.age_class(np.array([1, 18, 19, 29, 30, 59, 60, 90])).tolist() == [0, 0, 1, 1, 2, 4, 5, 5]


# pictures with masks


def test_masks_are_drawn_one_for_each_batch_and_the_same_for_the_same_step():
    options = {"seed": 3, "start_step": 5}
    source = data.open_source(config("photos_128", "masks", 128, mirror=True), "test")
    assert source.columns == ("image",)
    first, second = (next(iter(data.batches(source, 4, **options)))["mask"].numpy() for _ in range(2))
    later = next(iter(data.batches(source, 4, seed=3, start_step=6)))["mask"].numpy()
    part = next(iter(data.batches(source, 4, **options, rows=slice(2, 4))))["mask"].numpy()
    assert first.shape == (4, 128, 128, 1)
    assert set(np.unique(first)) == {-1.0, 1.0}
    assert 0.2 < (first[0] > 0).mean() < 0.3
    assert (first == first[:1]).all()
    assert (first == second).all()
    assert (part == first[2:]).all()
    assert (first != later).any()


@pytest.mark.parametrize("layout", ["suffix", "folders"])
def test_masks_beside_the_pictures_are_cropped_and_mirrored_with_them(tmp_path, layout):
    folder = tmp_path / "masked"
    for i in range(5):
        picture = noise(24, 24, 3)
        picture[picture.sum(-1) > 600] = 255
        hole = np.where((picture == 255).all(-1, keepdims=True), np.uint8(255), np.uint8(0))
        names = {"suffix": (f"{i}", f"{i}_mask"), "folders": (f"images__{i}", f"masks__{i}")}[layout]
        write(folder, **{names[0]: picture, names[1]: hole})
    source = data.open_source(config(str(folder), "masks", 16, load_size=24, mirror=True))
    assert len(source) == 5
    batch = next(iter(data.batches(source, 10)))
    white = (batch["image"].numpy() == 1).all(-1, keepdims=True)
    assert 0 < white.mean() < 1
    assert (white == (batch["mask"].numpy() > 0)).all()
    taken = data.open_source(config(str(folder), "masks", 24)).take(2)
    assert ((taken["image"] == 255).all(-1, keepdims=True) == (taken["mask"] == 255)).all()


def test_a_mask_of_another_size_and_a_picture_without_one_are_left_out(tmp_path):
    folder = tmp_path / "masked"
    for i in range(4):
        write(folder, **{f"{i}": noise(24, 24, 3), f"{i}_mask": noise(24 - (i == 1), 24, 1)})
    write(folder, alone=noise(24, 24, 3))
    source = data.open_source(config(str(folder), "masks", 16))
    assert len(source) == 3
    reasons = dict(source.skipped)
    assert "not one size" in reasons["1.png"]
    assert reasons["alone.png"] == "has no mask"


@pytest.mark.parametrize("spelling", ["lorelei_64", "lorelei64", "Lorelei-64"])
def test_spellings(spelling):
    assert bundled.canonical(spelling) == "lorelei_64"
    assert len(data.open_source(config(spelling), "train+novel")) == 5400


def test_emoji_by_vendor():
    both, noto = (len(data.open_source(config(s), "all")) for s in ("emoji_64", "emoji_64/noto"))
    assert (both, noto) == (6418, 3520)


def test_full_sets_by_environment(tmp_path, monkeypatch):
    full = {"train_images": noise(30, 28, 28), "train_labels": np.zeros(30, np.uint8)}
    full |= {"test_images": noise(4, 28, 28), "test_labels": np.zeros(4, np.uint8), "class_names": np.array(["a"])}
    np.savez(tmp_path / "fashion_mnist.npz", **full)
    monkeypatch.setenv("GANZOO_DATA", str(tmp_path))
    whole = data.open_source(config("fashion", size=28, channels=1))
    assert len(whole) == 30
    assert whole.summary()["origin"] == "GANZOO_DATA"
    assert (whole.take(30)["image"][..., 0] == full["train_images"]).all()
    assert len(data.open_source(config("lorelei_64"))) == 5100  # not in that folder: the bundled part
    (tmp_path / "lorelei_64.npz").write_bytes(b"PK\3\4 no zip")
    with pytest.raises(GanzooError, match=r"The data file .*lorelei_64\.npz .*Install ganzoo again"):
        data.open_source(config("lorelei_64"))
    monkeypatch.setenv("GANZOO_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(GanzooError, match=r"GANZOO_DATA names .*nowhere"):
        data.open_source(config("fashion"))


def test_voxels_are_there_but_no_pictures():
    grids = bundled.columns("furniture_voxels_32")["voxels"]
    assert grids.shape == (748, 32, 32, 32)
    assert grids.dtype == bool
    assert 0.01 < grids.mean() < 0.3
    with pytest.raises(GanzooError, match="furniture_voxels_32 does not hold data of the shape"):
        data.open_source(config("furniture_voxels_32"))


# batches


def test_batches_have_the_stated_form(pictures):
    batch = next(iter(data.build(config(pictures, channels=1), 4)))
    assert set(batch) == {"image"}
    assert batch["image"].shape == (4, 16, 16, 1)
    assert batch["image"].dtype == tf.float32
    assert -1 <= batch["image"].numpy().min() < batch["image"].numpy().max() <= 1
    spec = data.build(config("adventurer_pairs_64", "paired", 64, input_channels=1), 4).element_spec
    assert spec["input"].shape[1:] == (64, 64, 1)
    assert spec["target"].shape[1:] == (64, 64, 3)


@pytest.mark.parametrize("batch_size", [3, 25])  # smaller and larger than the set of 11
def test_resume_gives_the_same_batches(pictures, batch_size):
    options = config(pictures, load_size=20, mirror=True)
    whole = arrays(data.build(options, batch_size, seed=5), 9)
    assert same(whole[4:], arrays(data.build(options, batch_size, seed=5, start_step=4), 5))
    assert same(whole, arrays(data.build(options, batch_size, seed=5), 9))
    assert not same(whole, arrays(data.build(options, batch_size, seed=6), 9))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 400), st.integers(0, 2**31 - 1), st.integers(0, 1000))
def test_every_epoch_is_a_permutation(count, seed, epoch):
    positions = tf.range(epoch * count, (epoch + 1) * count, dtype=tf.int64)
    assert sorted(pipeline.shuffled(positions, count, seed).numpy()) == list(range(count))


def test_order_is_that_of_tensorflows_index_shuffle_and_changes():
    order = [pipeline.shuffled(tf.range(e * 50, (e + 1) * 50, dtype=tf.int64), 50, 7).numpy() for e in range(2)]
    for epoch in range(2):
        key = tf.constant([7, epoch], tf.int64)
        public = [
            tf.random.experimental.index_shuffle(tf.constant(i, tf.int64), key, tf.constant(49, tf.int64))
            for i in range(50)
        ]
        assert order[epoch].tolist() == [int(i) for i in public]
    assert (order[0] != order[1]).any()


def test_epochs_show_every_picture_once(pictures):
    everything = data.open_source(config(pictures))
    known = {p.tobytes(): i for i, p in enumerate(everything.take(11)["image"])}
    seen = [known[images.to_uint8(b["image"])[0].tobytes()] for b in arrays(data.build(config(pictures), 1), 33)]
    assert all(sorted(seen[i : i + 11]) == list(range(11)) for i in (0, 11, 22))


def test_pairs_are_cut_and_mirrored_alike(twins):
    plain = data.open_source(config(twins, "paired", 24)).take(7)["input"]
    batches = arrays(data.build(config(twins, "paired", 16, load_size=24, mirror=True), 7), 20)
    offsets = set()
    for batch in batches:
        assert (batch["input"] == batch["target"]).all()
        for picture in images.to_uint8(batch["input"]):
            found = [
                (y, x, flip)
                for whole in plain
                for flip in (False, True)
                for y in range(9)
                for x in range(9)
                if (whole[y, x] == picture[0, -1 if flip else 0]).all()
                and (whole[y : y + 16, x : x + 16][:, :: -1 if flip else 1] == picture).all()
            ]
            assert len(found) == 1  # a true cut-out of one of the pictures
            offsets.add(found[0])
    assert {flip for _, _, flip in offsets} == {False, True}
    assert {y for y, _, _ in offsets} == {x for _, x, _ in offsets} == set(range(9))


def test_random_numbers_are_uniform_and_independent():
    positions = tf.range(20_000, dtype=tf.int64)
    draws = np.stack(
        [pipeline.random_below(positions, seed, stream, 10).numpy() for seed in (0, 1) for stream in (1, 2)]
    )
    assert abs(draws.mean() - 4.5) < 0.05
    assert np.abs(np.corrcoef(draws) - np.eye(4)).max() < 0.03
    assert abs(np.corrcoef(draws[0, 1:], draws[0, :-1])[0, 1]) < 0.03
    assert pipeline.random_below(positions[:4], 0, 1, 10).numpy().tolist() == draws[0, :4].tolist()


def test_sets_too_large_for_memory_give_the_same_batches(pictures, monkeypatch):
    options = config(pictures, load_size=20, mirror=True)
    expected = arrays(data.build(options, 4, seed=1), 6)
    monkeypatch.setattr(reader, "MEMORY_LIMIT", 1000)
    streamed = data.open_source(options)
    assert not streamed.in_memory
    assert same(expected, arrays(data.batches(streamed, 4, seed=1), 6))


def test_bad_files_of_large_sets_are_replaced_and_counted(pictures, monkeypatch):
    monkeypatch.setattr(reader, "MEMORY_LIMIT", 1000)
    (pictures / "p03.png").write_bytes(b"\x89PNG broken")
    streamed = data.open_source(config(pictures))
    arrays(data.batches(streamed, 11), 1)
    assert [name for name, _ in streamed.skipped] == ["p03.png"]
    for file in pictures.iterdir():
        file.write_bytes(b"")
    with pytest.raises(tf.errors.OpError, match="many files in a row cannot be read"):
        arrays(data.batches(data.open_source(config(pictures)), 2), 1)


@pytest.mark.parametrize(("batch_size", "seed", "step"), [(0, 0, 0), (1, -1, 0), (1, 0, -1)])
def test_bad_batch_arguments(pictures, batch_size, seed, step):
    with pytest.raises(GanzooError, match="batch_size must be at least 1"):
        data.build(config(pictures), batch_size, seed=seed, start_step=step)


REPLICAS = """
import sys
import numpy as np
import tensorflow as tf
from ganzoo import data
from ganzoo.presets import DataConfig

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
options = DataConfig(shape="images", source=sys.argv[1], size=16, load_size=20, mirror=True)
whole = [b["image"].numpy() for b in data.build(options, 6).take(3)]
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
spread = iter(strategy.experimental_distribute_dataset(data.build(options, 6)))
for batch in whole:
    parts = [p.numpy() for p in strategy.experimental_local_results(next(spread)["image"])]
    assert [len(p) for p in parts] == [3, 3]
    assert (np.concatenate(parts) == batch).all()
print("equal")
"""


def test_two_replicas_see_the_global_batch_of_one(pictures):
    run = subprocess.run([sys.executable, "-c", REPLICAS, str(pictures)], capture_output=True, text=True, timeout=120)
    assert run.stdout.strip() == "equal", run.stderr[-2000:]


# folders and zip files


def test_folder_with_every_kind_of_file(pictures):
    (pictures / "notes.txt").write_text("no picture")
    (pictures / ".hidden.png").write_bytes(b"x")
    (pictures / "broken.png").write_bytes(b"\x89PNG\r\n")
    (pictures / "empty.jpg").write_bytes(b"")
    (pictures / "photo.tiff").write_bytes(b"II*\0")
    write(pictures / "sub" / "class", deep=noise(5, 5, 1))
    opened = data.open_source(config(pictures))
    assert len(opened) == 12
    reasons = dict(opened.skipped)
    assert set(reasons) == {"broken.png", "empty.jpg", "photo.tiff"}
    assert "0 bytes" in reasons["empty.jpg"]
    assert opened.summary()["skipped"] == 3
    assert opened.take(12)["image"].shape == (12, 16, 16, 3)
    assert next(iter(data.batches(opened, 12)))["image"].shape == (12, 16, 16, 3)


def test_splits_of_a_folder(tmp_path):
    for split, n in (("train", 4), ("val", 2), ("test", 3)):
        write(tmp_path / split, **{str(i): noise(8, 8, 3) for i in range(n)})
    write(tmp_path, loose=noise(8, 8, 3))
    assert {s: len(data.open_source(config(tmp_path), s)) for s in ("train", "val", "test", "train+val", "all")} == {
        "train": 4,
        "val": 2,
        "test": 3,
        "train+val": 6,
        "all": 9,
    }
    assert data.open_source(config(tmp_path)).skipped == [("loose.png", "lies outside train/, val/ and test/")]
    with pytest.raises(GanzooError, match=r'has no split "tset". Did you mean "test"'):
        data.open_source(config(tmp_path), "tset")


def test_folder_without_splits_is_all_train(pictures):
    assert len(data.open_source(config(pictures))) == 11
    with pytest.raises(GanzooError, match=r'has no split "test". Accepted: train, all'):
        data.open_source(config(pictures), "test")


PAIR = {"a": noise(12, 12, 3), "b": noise(12, 12, 3), "c": noise(12, 12, 3)}
LAYOUTS = {
    "folders": {"A__x": "a", "B__x": "b", "A__y": "b", "B__y": "c"},
    "folders-in-root": {"set__A__x": "a", "set__B__x": "b", "set__A__y": "b", "set__B__y": "c"},
    "split-above": {"train__A__x": "a", "train__B__x": "b", "train__A__y": "b", "train__B__y": "c", "test__A__z": "a", "test__B__z": "c"},
    "split-below": {"A__train__x": "a", "B__train__x": "b", "A__train__y": "b", "B__train__y": "c"},
    "suffixes": {"x_A": "a", "x_B": "b", "y_A": "b", "y_B": "c"},
    "suffixes-in-split": {"train__x_A": "a", "train__x_B": "b", "train__y_A": "b", "train__y_B": "c"},
    "side-by-side": {"x": "ab", "y": "bc"},
    "side-by-side-in-split": {"train__x": "ab", "train__y": "bc", "val__z": "ac"},
}  # fmt: skip


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_of_pairs(tmp_path, layout, packed):
    place = tmp_path / "data"
    write(place, **{name: np.hstack([PAIR[p] for p in parts]) for name, parts in LAYOUTS[layout].items()})
    if packed:
        with zipfile.ZipFile(tmp_path / "data.zip", "w", zipfile.ZIP_DEFLATED) as file:
            for path in sorted(place.rglob("*.png")):
                file.write(path, path.relative_to(place))
        place = tmp_path / "data.zip"
    opened = data.open_source(config(place, "paired", 12))
    pairs = opened.take(9)
    assert (pairs["input"] == np.stack([PAIR["a"], PAIR["b"]])).all()
    assert (pairs["target"] == np.stack([PAIR["b"], PAIR["c"]])).all()
    assert opened.skipped == []
    swapped = data.open_source(config(place, "paired", 12, direction="b2a")).take(9)
    assert (swapped["input"] == pairs["target"]).all()


def test_pairs_without_partner_are_skipped(tmp_path):
    write(tmp_path, A__x=PAIR["a"], B__x=PAIR["b"], A__y=PAIR["a"], B__y=PAIR["b"], A__alone=PAIR["a"], C__z=PAIR["c"])
    (tmp_path / "B" / "y.jpg").write_bytes((tmp_path / "B" / "y.png").read_bytes())
    opened = data.open_source(config(tmp_path, "paired", 12))
    assert len(opened) == 2
    reasons = dict(opened.skipped)
    assert reasons["A/alone.png"] == "has no partner in B"
    assert reasons["C/z.png"] == "belongs to neither A nor B"
    assert reasons["B/y.png"] == "has the same name as B/y.jpg"


def test_pairs_of_two_frames_are_skipped_unless_stretched(tmp_path):
    write(
        tmp_path,
        A__x=PAIR["a"],
        B__x=PAIR["b"],
        A__y=PAIR["a"],
        B__y=noise(24, 24, 3),
        A__z=PAIR["a"],
        B__z=noise(12, 20, 3),
    )
    assert dict(data.open_source(config(tmp_path, "paired", 12)).skipped)["A/z.png"].startswith(
        "A/z.png is 12 x 12, B/z.png is 20 x 12"
    )
    assert len(data.open_source(config(tmp_path, "paired", 12, fit="stretch"))) == 3


def test_ordinary_photos_are_no_pairs(pictures):
    with pytest.raises(GanzooError, match=r"has 0 usable pairs; at least 2 are needed.*side by side") as caught:
        data.open_source(config(pictures, "paired"))
    assert "24 x 20: no two pictures side by side" in str(caught.value)


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, "contains no pictures among 0 files"),
        ({"a.txt": b"x"}, "contains no pictures among 1 files"),
        ({"a.heic": b"x"}, "contains 1 picture files that cannot be used"),
        (
            {"a.png": b"", "b.png": b"x"},
            "has 0 usable pictures; at least 2 are needed. 2 files were skipped, the first: a.png",
        ),
    ],
)
def test_too_few_pictures(tmp_path, files, sentence):
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(GanzooError, match=sentence):
        data.open_source(config(tmp_path))


def test_one_picture_is_too_few(tmp_path):
    write(tmp_path, only=noise(8, 8, 3))
    with pytest.raises(GanzooError, match="has 1 usable pictures"):
        data.build(config(tmp_path), 1)


@pytest.mark.parametrize(
    ("origin", "sentence"),
    [
        ("lorelie_64", 'There is no data "lorelie_64".*Did you mean "lorelei_64"'),
        ("./nowhere", "There is no folder or zip file ./nowhere"),
        ("emoji_64/apple", 'has no part "apple".*fluent3d, noto'),
        ("tfds:no_such_set_at_all", 'TensorFlow Datasets knows no set "no_such_set_at_all"'),
    ],
)
def test_unknown_sources(origin, sentence):
    with pytest.raises(GanzooError, match=sentence):
        data.open_source(config(origin))


def test_a_single_file_is_no_source(tmp_path):
    write(tmp_path, only=noise(8, 8, 3))
    with pytest.raises(GanzooError, match="neither a folder nor a zip file"):
        data.open_source(config(tmp_path / "only.png"))


def test_linked_folders_are_walked_once(pictures, tmp_path):
    (pictures / "again").symlink_to(pictures, target_is_directory=True)
    (tmp_path / "link").symlink_to(pictures, target_is_directory=True)
    assert len(data.open_source(config(tmp_path / "link"))) == 11


def test_fingerprint_follows_the_content(pictures):
    first = data.open_source(config(pictures)).fingerprint
    assert first == data.open_source(config(pictures, size=8, mirror=True)).fingerprint
    write(pictures, p00=noise(20, 24, 3))
    assert first != data.open_source(config(pictures)).fingerprint


def test_zip_bombs_and_hostile_names(tmp_path, pictures):
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as file:
        for name in ("../../outside.png", "/absolute.png", "inside.png"):
            file.write(pictures / "p00.png", name)
        file.writestr("bomb.png", b"\0" * 50_000_000)
    opened = data.open_source(config(bomb))
    assert len(opened) == 2
    assert dict(opened.skipped)["bomb.png"].startswith("bomb.png is refused as a zip bomb")
    assert not list(tmp_path.parent.glob("outside.png"))


def test_broken_zip(tmp_path):
    (tmp_path / "x.zip").write_bytes(b"PK nothing")
    with pytest.raises(GanzooError, match="Cannot read the zip file"):
        data.open_source(config(tmp_path / "x.zip"))


# IDX files and TensorFlow Datasets


def idx(array):
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def idx_folder(tmp_path):
    folder = tmp_path / "idx"
    folder.mkdir()
    for name, n in (("train", 6), ("t10k", 3)):
        (folder / f"{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(noise(n, 28, 28))))
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(idx(noise(n)))
    return folder


def test_idx_folder(idx_folder, monkeypatch):
    assert {s: len(data.open_source(config(idx_folder), s)) for s in ("train", "test", "all")} == {
        "train": 6,
        "test": 3,
        "all": 9,
    }
    with pytest.raises(GanzooError, match='single pictures; the shape "paired" needs pairs'):
        data.open_source(config(idx_folder, "paired"))
    monkeypatch.setattr(bundled, "SYSTEM_FASHION", idx_folder)
    monkeypatch.delenv("GANZOO_DATA", raising=False)
    full = data.open_source(config("fashion", size=28, channels=1))
    assert len(full) == 6
    assert full.summary()["origin"] == "system package"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"\0\0\x08\x03\0\0\0\x02", "broken IDX file"),
        (idx(noise(4, 4, 4))[:-1], "truncated IDX file: 63 of 64"),
        (b"\0\0\x0d\x03" + b"\0\0\0\1" * 3, "not an IDX file of bytes"),
        (b"\0\0\x08\x03" + b"\xff" * 12, "not an IDX file of bytes"),
        (gzip.compress(idx(noise(4, 4, 4)), mtime=0)[:40], "broken IDX file"),
    ],
)
def test_bad_idx_files(tmp_path, content, sentence):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(GanzooError, match=sentence):
        data.open_source(config(tmp_path))


def test_tfds_builders(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    for name in data.bundled_names():
        short = name.replace("_64", "64").replace("_128", "128").replace("_32", "32")
        spellings = ("mnist_5k", "mnist5k") if name == "mnist" else (name, short)  # TFDS has a "mnist" of its own
        builders = [tfds.builder(spelling, data_dir=str(tmp_path)) for spelling in spellings]
        assert all(builder.info.as_proto.redistribution_info.license for builder in builders)
        assert builders[1].info.splits.total_num_examples == 0
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with pytest.raises(GanzooError, match=r"lorelei_64 is not prepared in .*download_and_prepare"):
        data.open_source(config("tfds:lorelei_64"))

    voxels = tfds.builder("furniture_voxels32", data_dir=str(tmp_path))
    voxels.download_and_prepare()
    assert {k: v.num_examples for k, v in voxels.info.splits.items()} == {"train": 679, "test": 69}
    row = next(iter(tfds.as_numpy(voxels.as_dataset(split="test"))))
    assert row["voxels"].shape == (32, 32, 32)
    with pytest.raises(GanzooError, match='no pictures for the shape "images"'):
        data.open_source(config("tfds:furniture_voxels32"))


def test_tfds_source_equals_the_bundled_one(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    whole = dict(np.load(bundled.ASSETS / "adventurer_pairs_64.npz"))
    rows = np.concatenate([np.flatnonzero(whole["split"] == split)[:n] for split, n in (("train", 9), ("test", 5))])
    np.savez(tmp_path / "adventurer_pairs_64.npz", **bundle.take_rows(whole, rows))
    monkeypatch.setenv("GANZOO_DATA", str(tmp_path))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    tfds.builder("adventurer_pairs64", data_dir=str(tmp_path)).download_and_prepare()
    options = {"shape": "paired", "size": 64, "input_channels": 1}
    ours = data.open_source(config("adventurer_pairs_64", **options), "all").take(99)
    theirs = data.open_source(config("tfds:adventurer_pairs_64", **options), "all")
    assert theirs.summary()["licence"] == "CC BY 4.0"
    theirs = theirs.take(99)
    order = {p.tobytes(): i for i, p in enumerate(ours["target"])}
    found = [order[p.tobytes()] for p in theirs["target"]]
    assert sorted(found) == list(range(14))  # TFDS shuffles when it writes
    assert (ours["input"][found] == theirs["input"]).all()


def test_synthetic():
    signature = {
        "image": tf.TensorSpec((None, 8, 8, 3), tf.float32),
        "label": tf.TensorSpec((None,), tf.int64),
        "text": tf.TensorSpec((None, 5), tf.string),
    }
    first, second = arrays(data.synthetic(signature, 4, seed=3), 2)
    assert {k: v.shape for k, v in first.items()} == {"image": (4, 8, 8, 3), "label": (4,), "text": (4, 5)}
    assert -1 <= first["image"].min() < -0.9 < 0.9 < first["image"].max() <= 1
    assert (first["image"] != second["image"]).any()
    assert same([first, second], arrays(data.synthetic(signature, 4, seed=3), 2))
    with pytest.raises(GanzooError, match='the shape of "x" is'):
        data.synthetic({"x": tf.TensorSpec((None, None, 3))}, 4)


def test_a_shape_is_registered_once():
    from ganzoo.data.task_shapes import pipeline as register
    from ganzoo.data.task_shapes import task_shape

    with pytest.raises(GanzooError, match="registered already"):
        register(task_shape("images"))
    with pytest.raises(GanzooError, match=r'Unknown data shape "imagse". Did you mean "images"'):
        task_shape("imagse")


# what people bring: splits below classes, names in other spellings, odd places


TREES = {  # folders of two pictures each -> what each split then holds
    "domains": (["A/trainA", "A/testA", "B/trainB", "B/testB"], {"train": 4, "test": 4}),
    "classes": (["cat/train", "cat/test", "dog/train", "dog/test"], {"train": 4, "test": 4}),
    "in a root": (["x/cat/train", "x/cat/test", "x/dog/train", "x/dog/test"], {"train": 4, "test": 4}),
    "years": (["train2017", "val2017", "test_images"], {"train": 2, "val": 2, "test": 2}),
    "test alone": (["cat", "dog", "test"], {"train": 4, "test": 2}),
    "test as above": (["cat", "dog", "test/cat", "test/dog"], {"train": 4, "test": 4}),
    "class train": (["bus", "car", "train"], {"train": 6}),
    "class in a split": (["train/bus", "train/train", "test/bus", "test/train"], {"train": 4, "test": 4}),
    "class above a split": (["bus/train", "bus/test", "test/train", "test/test"], {"train": 4, "test": 4}),
    "set of that name": (["train/train", "train/test"], {"train": 2, "test": 2}),
    "papers next to it": (["train/cat", "train/dog", "papers"], {"train": 4}),
    "one class without": (["cat/train", "cat/test", "dog"], {"train": 2, "test": 2}),
}
CLASSES = {"class train": ["bus", "car", "train"], "class in a split": ["bus", "train"], "test alone": ["cat", "dog"],
           "class above a split": ["bus", "test"], "classes": ["cat", "dog"]}  # fmt: skip


def tree(place, folders, loose=()):
    for folder in folders:
        write(place / folder, **{str(i): noise(8, 8, 3) for i in range(2)})
    for name in loose:
        write(place, **{name: noise(8, 8, 3)})
    return place


@pytest.mark.parametrize("kind", TREES)
def test_test_pictures_are_never_trained_on(tmp_path, kind):
    folders, splits = TREES[kind]
    opened = data.open_source(config(tree(tmp_path, folders)))
    assert opened.records.about["splits"] == list(splits)
    assert {split: len(data.open_source(config(tmp_path), split)) for split in splits} == splits
    assert not any(
        "test" in name.split("/")[-2] and kind not in ("class above a split",) for name in opened.records.ids
    )
    assert opened.records.about.get("classes", []) == CLASSES.get(kind, opened.records.about.get("classes", []))
    if kind in CLASSES:
        assert sorted(set(opened.labels.tolist())) == list(range(len(CLASSES[kind])))
    assert len(opened.skipped) == (2 if kind in ("papers next to it", "one class without") else 0)


@pytest.mark.parametrize("shape", ["unpaired", "paired"])
def test_splits_below_domains(tmp_path, shape):
    tree(tmp_path, ["A/trainA", "A/testA", "B/trainB", "B/testB"])
    for split in ("train", "test"):
        opened = data.open_source(config(tmp_path, shape), split)
        assert len(opened) == 2
        found = opened.sides["a"].records.ids if shape == "unpaired" else opened.records.ids
        assert {f"/{split}" in name for name in found} == {True}


def test_remarks_say_what_is_not_used_and_why(tmp_path):
    tree(tmp_path, ["train", "test"], loose=["a", "b", "c"])
    (tmp_path / "train" / "bad.png").write_bytes(b"")
    assert data.remarks(data.open_source(config(tmp_path))) == [
        f"Left out of {tmp_path}: 4 files: lies outside train/, val/ and test/ (3); is empty (0 bytes) (1)."
    ]
    held = data.remarks(data.open_source(config(tree(tmp_path / "held", ["cat", "dog", "test"]))))
    assert len(held) == 1
    assert held[0].startswith("test/ holds pictures back")
    named = data.remarks(data.open_source(config(tree(tmp_path / "named", ["bus", "car", "train"]))))
    assert named == ["train/ is taken for a class of that name, since other folders with pictures lie next to it."]
    assert data.remarks(data.open_source(config(tree(tmp_path / "plain", ["cat", "dog"])))) == []


def test_links_that_name_a_folder_twice(tmp_path):
    tree(tmp_path / "set", ["train", "test"])
    (tmp_path / "set" / "val").symlink_to("test")
    assert {s: len(data.open_source(config(tmp_path / "set"), s)) for s in ("train", "val", "test")} == {
        "train": 2,
        "val": 2,
        "test": 2,
    }
    tree(tmp_path, ["store"])
    (tmp_path / "pairs").mkdir()
    for side in "AB":
        (tmp_path / "pairs" / side).symlink_to(tmp_path / "store")
    assert len(data.open_source(config(tmp_path / "pairs", "paired"))) == 2


def test_zip_members_with_dots_and_slashes(tmp_path, pictures):
    for number, form in enumerate(["./{}/{}.png", "/{}/{}.png", "{}//{}.png", ".\\{}\\{}.png", "x/./{}/{}.png"]):
        with zipfile.ZipFile(tmp_path / f"{number}.zip", "w") as file:
            for side in "AB":
                for i in range(3):
                    file.write(pictures / f"p{i:02d}.png", form.format(side, i))
        assert len(data.open_source(config(tmp_path / f"{number}.zip", "paired"))) == 3, form


def test_pairs_whose_names_a_person_calls_equal(tmp_path):
    for i, (a, b) in enumerate([("caf\u00e9", "cafe\u0301"), ("Img1", "img1"), ("x", "x"), ("X", "X"), ("y", "Y")]):
        write(tmp_path / "A", **{a: noise(8, 8, 3)})
        write(tmp_path / "B", **{b: noise(8, 8, 3)})
        assert len(list((tmp_path / "A").iterdir())) == i + 1
    opened = data.open_source(config(tmp_path, "paired"))
    assert (len(opened), opened.skipped) == (5, [])


@pytest.mark.parametrize("suffix", [".jfif", ".JPE", ".tif", ".tiff"])
def test_suffixes_of_pictures(tmp_path, suffix):
    for i in range(2):
        kind = "TIFF" if "tif" in suffix else "JPEG"
        Image.fromarray(noise(8, 8, 3)).save(tmp_path / f"{i}{suffix}", kind)
    assert len(data.open_source(config(tmp_path))) == 2


@pytest.mark.parametrize("suffix", ["", ".zip", ".npz"])
@pytest.mark.parametrize("shape", ["images", "voxels"])
def test_pipes_devices_and_endless_links_are_refused_at_once(tmp_path, suffix, shape):
    os.mkfifo(tmp_path / f"pipe{suffix}")
    (tmp_path / f"zero{suffix}").symlink_to("/dev/zero")
    (tmp_path / f"loop{suffix}").symlink_to(f"loop{suffix}")
    for name in ("pipe", "zero", "loop"):
        with pytest.raises(GanzooError, match=r"neither a folder nor a zip file|There is no"):
            data.open_source(config(tmp_path / f"{name}{suffix}", shape, channels=1 if shape == "voxels" else 3))


@pytest.mark.parametrize("name", ["a\0b", "a\ud800b", "n" * 5000, "~nobody_of_this_name/x", "./a\0"])
def test_sources_that_no_file_can_be(name):
    for shape, channels in (("images", 3), ("voxels", 1)):
        with pytest.raises(GanzooError, match=r"There is no|names a user") as caught:
            data.open_source(config(name, shape, channels=channels))
        str(caught.value).encode()


def narrow_pairs(place, shuffled=0):
    """Drawings with their colours next to them, each half 40 wide and 64 high."""
    found = data.open_source(config("adventurer_pairs_64", "paired", 64)).take(8)
    for i in range(8):
        parts = found["input"][i], found["target"][(i + shuffled) % 8]
        write(place, **{str(i): np.hstack([part[:, 12:52] for part in parts])})
    return found


def test_portrait_pairs_side_by_side(tmp_path):
    found = narrow_pairs(tmp_path / "pairs")
    opened = data.open_source(config(tmp_path / "pairs", "paired", 40))
    assert (len(opened), opened.skipped) == (8, [])
    assert (opened.take(8)["target"] == found["target"][:, 12:52, 12:52]).all()
    narrow_pairs(tmp_path / "others", shuffled=3)
    with pytest.raises(GanzooError, match="no two pictures side by side"):
        data.open_source(config(tmp_path / "others", "paired", 40))


def test_single_photos_are_no_portrait_pairs(tmp_path):
    singles = data.open_source(config("lorelei_64", size=64)).take(12)["image"]
    write(tmp_path, **{str(i): picture[4:] for i, picture in enumerate(singles)})
    with pytest.raises(GanzooError, match="64 x 60: no two pictures side by side"):
        data.open_source(config(tmp_path, "paired"))


def test_a_split_may_be_rows_of_one():
    settings = {"shape": "images", "source": "fashion", "size": 28, "channels": 1}
    whole = data.open_source(DataConfig(**settings), "test")
    kept, held = (data.open_source(DataConfig(**settings, split=split)) for split in ("test[:1500]", "test[1500:]"))
    assert [len(kept), len(held)] == [1_500, len(whole) - 1_500]
    np.testing.assert_array_equal(held.take(3)["image"], whole.take(1503)["image"][1500:])
    np.testing.assert_array_equal(held.labels, whole.labels[1500:])
    assert len({source.fingerprint for source in (whole, kept, held)}) == 3
    with pytest.raises(GanzooError, match=r'no items in "test\[20000:\]": there are'):
        data.open_source(DataConfig(**settings), "test[20000:]")
    with pytest.raises(GanzooError, match='no split "tset"'):
        data.open_source(DataConfig(**settings), "tset[:5]")
    paper = presets.run_config("gan/mnist-28").data
    assert (paper.split, paper.val_split, paper.test_split) == ("train[:50000]", "train[50000:]", "test")


def test_pictures_are_resized_as_the_code_does():
    """`facades-256` and `horse2zebra-256`: both sides stretched, by PIL's bicubic kernel as in the PyTorch code."""
    picture = np.random.default_rng(0).integers(0, 256, (30, 50, 3), np.uint8)
    expected = np.asarray(Image.fromarray(picture).resize((20, 20), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(images.fit_image(picture, 20, "stretch", "bicubic"), expected)
    assert (images.fit_image(picture, 20, "stretch") != expected).any(), "Lanczos is another kernel"
    for name in ("pix2pix/facades-256", "cyclegan/horse2zebra-256", "cyclegan/horse2zebra-128"):
        config = presets.run_config(name).data
        assert (config.fit, config.resample, config.fitting) == ("stretch", "bicubic", "stretch bicubic")
    birds = presets.run_config("text-to-image/birds-64").data
    assert (birds.fit, birds.fitting) == ("stretch", "stretch")


def test_the_kernel_reaches_the_batches(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    for name in ("a", "b"):
        images.write_png(tmp_path / f"{name}.png", picture)
    shown = [
        data.open_source(config(tmp_path, size=8, resample=kernel)).take(1)["image"]
        for kernel in ("lanczos", "bicubic")
    ]
    assert (shown[0] != shown[1]).any()
