"""Voxel data from every kind of source, its augmentation, and the metrics of shapes on grids counted by hand."""

import io
import json
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganzoo import data, metrics, presets
from ganzoo.data import voxels
from ganzoo.data.sources import grids
from ganzoo.errors import GanzooError


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path_factory.mktemp("cache")))


def config(source="furniture_voxels_32", size=32, **more):
    return presets.DataConfig(shape="voxels", source=str(source), size=size, channels=1, **more)


def binvox(grid):
    """A binvox file of a bool cube: x slowest, then z, y fastest, in runs of at most 255."""
    flat = grid.transpose(0, 2, 1).reshape(-1).astype(np.uint8)
    runs, start = bytearray(), 0
    while start < len(flat):
        end = start
        while end < len(flat) and flat[end] == flat[start] and end - start < 255:
            end += 1
        runs += bytes([flat[start], end - start])
        start = end
    side = len(grid)
    return f"#binvox 1\ndim {side} {side} {side}\ntranslate 0 0 0\nscale 1\ndata\n".encode() + bytes(runs)


BOX = (
    "OFF\n8 6 0\n"
    + "".join(f"{x} {y} {z}\n" for x in (0, 1) for y in (0, 2) for z in (0, 4))
    + ("4 0 1 3 2\n4 4 6 7 5\n4 0 4 5 1\n4 2 3 7 6\n4 0 2 6 4\n4 1 5 7 3\n")
)
SHEET = "OFF\n4 2 0\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n3 0 1 2\n3 0 2 3\n"


# ---- files -----------------------------------------------------------------------------------------------------------
@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([2, 4, 8]))
def test_binvox_and_npz_come_back(seed, side):
    grid = np.random.default_rng(seed).random((side, side, side)) < 0.4
    grid[0, 0, 0] = True
    np.testing.assert_array_equal(grids.read_binvox(binvox(grid), "x.binvox"), grid)
    assert grids.read_grid(binvox(grid), "x.binvox", side)[1]


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("x.binvox", b"", "empty"),
        ("x.binvox", b"#binvox 2\n", "not a binvox"),
        ("x.binvox", b"#binvox 1\ndim 4 4 8\ndata\n\x00\x01", "grid of 4 x 4 x 8"),
        ("x.binvox", b"#binvox 1\ndim 4 4 4\ndata\n\x01\x05", "hold 5 of 64"),
        ("x.binvox", binvox(np.ones((6, 6, 6), bool)), "6 voxels a side, and data.size is 4"),
        ("x.binvox", binvox(np.zeros((4, 4, 4), bool)), "empty grid"),
        ("x.npz", b"PK", "cannot be read as npz"),
    ],
)
def test_damaged_files_are_said_in_a_sentence(name, content, word):
    with pytest.raises(GanzooError, match=word):
        grids.read_grid(content, name, 4)


def test_a_box_fills_what_it_encloses_and_its_z_is_up():
    """1 x 2 x 4 in OFF, z up: at 8 voxels 2 wide, 8 high, 4 deep, without a hollow."""
    pytest.importorskip("trimesh")
    grid, closed = grids.read_grid(BOX.encode(), "box.off", 8)
    assert closed
    assert [int(grid.any(axis=axes).sum()) for axes in ((1, 2), (0, 2), (0, 1))] == [2, 8, 4]
    assert grid.sum() == 2 * 8 * 4
    turned, _ = grids.read_grid(BOX.encode(), "box.off", 8, up="y")
    assert [int(turned.any(axis=axes).sum()) for axes in ((1, 2), (0, 2), (0, 1))] == [2, 4, 8]
    again, closed = grids.read_grid(BOX.encode(), "box.off", 8)  # from the cache
    np.testing.assert_array_equal(again, grid)
    assert closed


@pytest.mark.parametrize("kind", ["obj", "stl", "glb", "off"])
def test_every_kind_of_mesh_is_read(kind):
    trimesh = pytest.importorskip("trimesh")
    exported = trimesh.creation.icosphere(2).export(file_type=kind)
    content = exported if isinstance(exported, bytes) else exported.encode()
    grid, closed = grids.read_grid(content, f"ball.{kind}", 16)
    assert closed
    assert grid.mean() == pytest.approx(np.pi / 6, abs=0.12)
    assert grid[8, 8, 8], "the inside is filled"


def test_meshes_without_volume_open_or_damaged():
    pytest.importorskip("trimesh")
    with pytest.raises(GanzooError, match="no volume"):
        grids.read_grid(SHEET.encode(), "sheet.off", 8)
    for content in ("OFF\n0 0 0\n", "OFF\n3 1 0\n0 0 0\n", "nonsense", "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 9\n"):
        with pytest.raises(GanzooError, match=r"x\.off"):
            grids.read_grid(content.encode(), "x.off", 8)
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]])
    closed = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
    assert grids.is_closed(vertices, closed)
    assert not grids.is_closed(vertices, closed[:3]), "a hole"
    fin = np.vstack([closed, [[0, 1, 4]]])
    assert not grids.is_closed(np.vstack([vertices, [[1, 1, 1]]]), fin), "an edge of three faces"
    assert grids.voxelise(vertices, closed[:3], 8).any(), "it is voxelised all the same"


def test_a_huge_mesh_is_refused_and_a_dense_one_takes_bounded_memory(monkeypatch):
    pytest.importorskip("trimesh")
    monkeypatch.setattr(grids, "MAX_FACES", 3)
    with pytest.raises(GanzooError, match="12 faces; at most 3"):
        grids.read_grid(BOX.encode(), "box.off", 8)
    corners = np.random.default_rng(0).uniform(0, 8, (50, 3, 3))
    whole = grids.surface(corners, 8)
    monkeypatch.setattr(grids, "POINTS", 1)
    np.testing.assert_array_equal(grids.surface(corners, 8), whole)


def test_without_trimesh_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "trimesh", None)
    for i in range(2):
        (tmp_path / f"{i}.off").write_text(BOX)
    with pytest.raises(GanzooError, match=r"pip install 'ganzoo\[3d\]'"):
        data.open_source(config(tmp_path, 8))


# ---- sources ---------------------------------------------------------------------------------------------------------
def test_the_bundled_furniture_with_its_classes():
    source = data.open_source(config())
    assert (len(source), source.columns, source.channels) == (679, ("voxels",), (1,))
    assert source.class_names[:3] == ("bath", "bed", "chair")
    assert np.bincount(source.labels)[2] == source.summary()["classes"]["chair"] == 64
    taken = source.take(3)["voxels"]
    assert (taken.shape, taken.dtype) == ((3, 32, 32, 32, 1), np.float32)
    assert set(np.unique(taken)) == {0, 1}
    assert len(data.open_source(config(), "test")) == 69
    chairs = data.open_source(config(classes=("chair",)))
    assert (len(chairs), chairs.labels) == (64, None)
    small = data.open_source(config(size=16)).take(1)["voxels"]
    blocks = taken[:1].reshape(1, 16, 2, 16, 2, 16, 2, 1).max((2, 4, 6))
    np.testing.assert_array_equal(small, blocks)


def test_modelnet_folders_zip_and_npz(tmp_path):
    pytest.importorskip("trimesh")
    for kind, split, number in (
        ("chair", "train", 1),
        ("chair", "train", 2),
        ("table", "train", 3),
        ("table", "test", 4),
    ):
        path = tmp_path / "net" / "ModelNet" / kind / split / f"{kind}_{number}.off"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(BOX.replace("1 2 4", f"1 2 4.{number}"))
    (tmp_path / "net" / "ModelNet" / "chair" / "train" / "flat.off").write_text(SHEET)
    source = data.open_source(config(tmp_path / "net", 8))
    assert source.classes == ["chair", "chair", "table"]
    assert len(source.skipped) == 1
    assert "no volume" in source.skipped[0][1]
    with zipfile.ZipFile(tmp_path / "net.zip", "w") as archive:
        for path in sorted((tmp_path / "net").rglob("*.off")):
            archive.write(path, path.relative_to(tmp_path / "net"))
    zipped = data.open_source(config(tmp_path / "net.zip", 8))
    np.testing.assert_array_equal(zipped.bits, source.bits)
    np.savez(tmp_path / "many.npz", voxels=source.take(3)["voxels"], label=np.array(["a", "b", "b"]))
    many = data.open_source(config(tmp_path / "many.npz", 8))
    np.testing.assert_array_equal(many.take(3)["voxels"], source.take(3)["voxels"])
    assert many.labels.tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"source": "lorelei_64"}, 'shape "voxels"'),
        ({"source": "nothing_here"}, "no data"),
        ({"size": 20}, "multiple"),
        ({"classes": ("chairs",)}, 'Did you mean "chair"'),
        ({"size": 64}, "GANZOO_DATA"),
    ],
)
def test_sources_that_do_not_fit_are_said(settings, word):
    with pytest.raises(GanzooError, match=word):
        data.open_source(config(**settings))


def test_an_empty_folder_and_odd_options_are_said(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(GanzooError, match="no shapes among 1 files"):
        data.open_source(config(tmp_path))
    for options in ({"channels": 3}, {"shape": "images", "turns": True}):
        tables = {"shape": "voxels", "source": "x", "size": 32, "channels": 1} | options
        with pytest.raises(GanzooError, match=r"voxels"):
            presets.validate(presets.DataConfig, tables, "it")


def test_the_full_set_of_ganzoo_data(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    bits = np.packbits(rng.random((3, 64**3)) < 0.1, axis=1)
    columns = {"super_class": np.array(["chair"] * 3), "split": np.array(["train"] * 3)}
    np.savez(tmp_path / "furniture_voxels_64.npz", voxels=bits, **columns)
    monkeypatch.setenv("GANZOO_DATA", str(tmp_path))
    assert data.open_source(config(size=64)).take(1)["voxels"].shape == (1, 64, 64, 64, 1)


# ---- batches ---------------------------------------------------------------------------------------------------------
def batches(count=2, start_step=0, seed=0, **more):
    source = data.open_source(config(size=8, **more))
    stream = data.batches(source, 5, seed=seed, start_step=start_step)
    return [{key: value.numpy() for key, value in batch.items()} for batch in stream.take(count)]


def test_batches_depend_on_seed_and_step_only():
    options = {"mirror": True, "turns": True, "squeeze": 0.3}
    first, again, later = batches(**options), batches(**options), batches(1, start_step=1, **options)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a["voxels"], b["voxels"])
    np.testing.assert_array_equal(first[1]["voxels"], later[0]["voxels"])
    assert not np.array_equal(first[0]["voxels"], batches(1, seed=1, **options)[0]["voxels"])
    assert set(np.unique(first[0]["voxels"])) <= {0, 1}
    assert first[0]["voxels"].dtype == np.float32


def test_mirrors_and_turns_are_those_of_numpy():
    plain, mirrored, turned = (batches(4, **o) for o in ({}, {"mirror": True}, {"turns": True}))
    seen = set()
    for a, b, c in zip(plain, mirrored, turned, strict=True):
        for x, y, z in zip(a["voxels"], b["voxels"], c["voxels"], strict=True):
            assert np.array_equal(y, x) or np.array_equal(y, x[::-1])
            turns = [k for k in range(4) if np.array_equal(z, np.rot90(x, k, (0, 2)))]
            assert turns, "a quarter turn about y"
            seen.update(turns)
    assert len(seen) >= 3


def test_squeezing_shrinks_around_the_middle():
    grid = np.ones((1, 8, 8, 8, 1), np.uint8)
    half = np.asarray(voxels._squeezed(grid, np.array([0.5], np.float32), 2))
    assert half.sum() == 8 * 4 * 8
    assert half[0, 0, 2:6, 0].all()
    np.testing.assert_array_equal(voxels._squeezed(grid, np.ones(1, np.float32), 1), grid)


def test_pairs_of_a_picture_and_its_shape():
    (batch,) = batches(1, render_size=32)
    assert batch["image"].shape == (5, 32, 32, 3)
    assert -1 <= batch["image"].min() < batch["image"].max() <= 1
    assert not set(voxels.TRAIN_VIEWS) & set(voxels.TEST_VIEWS)
    train, test = (data.open_source(config(size=8, render_size=32), s) for s in ("train", "test"))
    assert (train.views, test.views) == (voxels.TRAIN_VIEWS, voxels.TEST_VIEWS)
    picture, grid = test.fetch(0, 8)
    assert (picture.dtype, picture.shape, grid.shape) == (np.uint8, (32, 32, 3), (8, 8, 8, 1))


# ---- metrics ---------------------------------------------------------------------------------------------------------
def bars(*lengths):
    """Grids (n, 4, 4, 4) whose first voxels are filled."""
    grid = np.zeros((len(lengths), 64))
    for row, length in zip(grid, lengths, strict=True):
        row[:length] = 1
    return grid.reshape(-1, 4, 4, 4)


def test_iou_by_hand():
    iou = metrics.voxel_iou(bars(2, 4, 0), bars(4, 8, 0))
    np.testing.assert_allclose(iou, [[0.5, 0.25, 0], [1, 0.5, 0], [0, 0, 1]])
    assert metrics.nearest_iou(bars(4, 8), bars(2, 6)) == pytest.approx((0.5 + 6 / 8) / 2)
    assert metrics.voxel_coverage(bars(4, 8, 60), bars(3, 4, 5)) == pytest.approx(1 / 3)


def test_one_nearest_neighbour_by_hand():
    assert metrics.nearest_neighbour_accuracy(bars(60, 61, 62), bars(2, 3, 4)) == 1
    assert metrics.nearest_neighbour_accuracy(bars(2, 20, 60), bars(2, 20, 60)) == 0, "copies look like the real ones"
    with pytest.raises(GanzooError, match="as many"):
        metrics.nearest_neighbour_accuracy(bars(1, 2), bars(1, 2, 3))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_iou_is_symmetric_bounded_and_one_for_itself(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.random((3, 4, 4, 4)), rng.random((5, 4, 4, 4))
    iou = metrics.voxel_iou(a, b)
    np.testing.assert_array_equal(iou, metrics.voxel_iou(b, a).T)
    assert 0 <= iou.min() <= iou.max() <= 1
    np.testing.assert_array_equal(np.diag(metrics.voxel_iou(a, a)), 1)


@pytest.mark.parametrize(
    ("first", "second", "word"),
    [
        (np.zeros((2, 4, 4)), bars(1), "array"),
        (bars(1), np.zeros((1, 8, 8, 8)), "one grid size"),
        (np.full((1, 4, 4, 4), np.nan), bars(1), "NaN"),
    ],
)
def test_what_cannot_be_compared_is_said(first, second, word):
    with pytest.raises(GanzooError, match=word):
        metrics.voxel_iou(first, second)


# ---- what people bring -----------------------------------------------------------------------------------------------
HEADERS = {
    "comments": "#binvox 1\n# made from data\ndim 4 4 4\n# data\ntranslate 0 0 0\nscale 1\ndata\n",
    "without the rest": "#binvox 1\ndim 4 4 4\ndata\n",
    "another order": "#binvox 1\nscale 1\ntranslate -1e-3 0 0\ndim 4 4 4\ndata\n",
    "Windows": "#binvox 1\r\ndim 4 4 4\r\ntranslate 0 0 0\r\nscale 1\r\ndata\r\n",
    "tabs and spaces": "#binvox  1 \n dim\t4  4 4 \ndata \n",
    "other words": "#binvox 1\ncolour red\n\ndim 4 4 4\ndata\n",
    "long": "#binvox 1\n" + "# comment\n" * 2000 + "dim 4 4 4\ndata\n",
}


@pytest.mark.parametrize("kind", HEADERS)
def test_binvox_headers_as_the_format_allows_them(kind):
    grid = np.random.default_rng(0).random((4, 4, 4)) < 0.5
    runs = binvox(grid).partition(b"data\n")[2]
    np.testing.assert_array_equal(grids.read_binvox(HEADERS[kind].encode() + runs, "x.binvox"), grid)


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        (b"#binvox 1\ndata\n", 'without a line "dim"'),
        (b"#binvox 1\ndim 4 4 4\n", "not a binvox file"),
        (b"#binvox 1\ndim " + b"9" * 5000 + b" 4 4\ndata\n", 'without a line "dim"'),
        (b"#binvox 1\ndim 999999999 999999999 999999999\ndata\n", "cubes of 2 to 512"),
        (b"binvox 1\ndim 4 4 4\ndata\n", "not a binvox file"),
        (b"#binvox 1\n" + b"# \n" * 50_000 + b"dim 4 4 4\ndata\n", "not a binvox file"),
    ],
)
def test_headers_that_are_none(header, sentence):
    with pytest.raises(GanzooError, match=sentence):
        grids.read_binvox(header + b"\x01\x40", "x.binvox")


def zeros_of(size):
    """An npy file of so many zeros, whose header is right."""
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": "|u1", "fortran_order": False, "shape": (size,)})
    return out.getvalue() + bytes(size)


def npz(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return path


def npy(array):
    out = io.BytesIO()
    np.save(out, array, allow_pickle=True)
    return out.getvalue()


def test_only_what_is_needed_of_an_npz_is_read(tmp_path):
    good = np.ones((2, 4, 4, 4), bool)
    odd = npz(tmp_path / "x.npz", voxels=npy(good), junk=zeros_of(300_000_000), about=npy(np.array([{}], object)))
    tracemalloc.start()
    try:
        assert len(data.open_source(config(odd, 4))) == 2
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        ({"voxels": zeros_of(200)[:-190]}, "truncated"),
        ({"voxels": npy(np.array([{}], object))}, "pickled Python objects"),
        ({"other": npy(np.ones(3)), "junk": b""}, 'no array "voxels"; it has other, junk'),
        ({"voxels": b"no array"}, "cannot be read as npz"),
        ({}, 'no array "voxels"; it has none'),
    ],
)
def test_npz_files_that_hold_no_grids(tmp_path, members, sentence):
    with pytest.raises(GanzooError, match=sentence):
        grids.read_npz(npz(tmp_path / "x.npz", **members), "x.npz")


def test_arrays_that_claim_too_much_are_not_unpacked(tmp_path):
    claims = npy(np.zeros((4, 4, 4), np.uint8)).replace(b"(4, 4, 4), }", b"(90000, 90000, 90000), }")[:128]
    for content in (claims, zeros_of(grids.MAX_GRID + 1)):
        data_of = npz(tmp_path / "x.npz", voxels=content).read_bytes()
        with pytest.raises(GanzooError, match="at most 268,435,456 are read"):
            grids.read_grid(data_of, "x.npz", 4)


def glb(scene, payload=b""):
    text = json.dumps(scene).encode()
    text += b" " * (-len(text) % 4)
    body = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(payload), b"BIN\0") + payload
    return struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body


def scene_of(points=9, faces=9, **more):
    parts = [{"attributes": {"POSITION": 0}, "indices": 1}]
    accessors = [
        {"componentType": 5126, "count": points, "type": "VEC3"},
        {"componentType": 5125, "count": faces, "type": "SCALAR"},
    ]
    rest = {"asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": [0]}], "nodes": [{"mesh": 0}]}
    return rest | {"meshes": [{"primitives": parts}], "accessors": accessors, "bufferViews": []} | more


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (glb(scene_of(10**9, 3 * 10**8)), "says to hold 13,200,000,000"),
        (glb(scene_of(accessors=[{"componentType": 5126, "count": 100_000, "type": "MAT4"}] * 9)), "says to hold"),
        (glb(scene_of(nodes=[{"mesh": 0}] * 100_000, accessors=[{"componentType": 5121, "count": 900, "type": "VEC3"}] * 2)), "draws"),
        (glb(scene_of(points=-1)), "damaged"),
        (glb(scene_of(points=2**70)), "64 bits"),
        (glb(scene_of(accessors=[])), "damaged"),
        (glb(scene_of(meshes=3)), "damaged"),
        (glb([1]), "damaged"),
        (b"glTF" + bytes(20), "not a binary glTF"),
        (glb({})[:20] + b"[" * 5000, "nests more|not JSON"),
    ],
)  # fmt: skip
def test_meshes_that_claim_too_much_are_refused_before_they_are_read(content, sentence):
    tracemalloc.start()
    try:
        with pytest.raises(GanzooError, match=sentence):
            grids.read_grid(content, "x.glb", 8)
        assert tracemalloc.get_traced_memory()[1] < 100_000_000
    finally:
        tracemalloc.stop()


def test_a_grid_too_fine_is_refused():
    with pytest.raises(GanzooError, match="4096 voxels a side; at most 512"):
        data.open_source(config(size=4096))


def test_a_class_called_train_and_files_outside(tmp_path):
    grid = np.ones((4, 4, 4), bool)
    for folder in ("bus", "car", "train"):
        (tmp_path / "a" / folder).mkdir(parents=True)
        for i in range(2):
            (tmp_path / "a" / folder / f"{i}.binvox").write_bytes(binvox(grid))
    opened = data.open_source(config(tmp_path / "a", 4))
    assert (len(opened), opened.class_names) == (6, ("bus", "car", "train"))
    for folder in ("bus/train", "bus/test", "loose"):
        (tmp_path / "b" / folder).mkdir(parents=True)
        for i in range(2):
            (tmp_path / "b" / folder / f"{i}.binvox").write_bytes(binvox(grid))
    opened = data.open_source(config(tmp_path / "b", 4))
    assert len(opened) == 2
    assert opened.skipped == [(f"loose/{i}.binvox", "lies outside train/, val/ and test/") for i in range(2)]
    assert "lies outside train/, val/ and test/ (2)" in data.remarks(opened)[0]
