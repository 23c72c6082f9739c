"""Shapes as pictures and meshes: what a render shows, which way the camera looks, closed meshes of unit scale."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganzoo.base import pixels
from ganzoo.errors import GanzooError
from ganzoo.media import shapes3d


def cube(size=8, low=2, high=6):
    grid = np.zeros((size, size, size), np.float32)
    grid[low:high, low:high, low:high] = 1
    return grid


def seen(picture):
    """Where a picture shows material."""
    return (picture != 250).any(axis=-1)


def test_a_cube_is_seen_from_the_front_at_its_size():
    """Orthographic: 4 of 8 voxels cover 4 / (2 * 0.74 * 8) of the side."""
    (picture,) = shapes3d.render(cube()[None], 148, azimuth=0, elevation=0)
    rows, columns = np.nonzero(seen(picture))
    assert picture.shape == (148, 148, 3)
    assert np.ptp(rows) + 1 == pytest.approx(50, abs=2)
    assert np.ptp(columns) + 1 == pytest.approx(50, abs=2)
    assert (rows.mean(), columns.mean()) == (pytest.approx(73.5, abs=1), pytest.approx(73.5, abs=1))


def test_up_right_and_near_are_where_they_should_be():
    def place(x, y, z, **view):
        grid = np.zeros((1, 8, 8, 8))
        grid[0, x, y, z] = 1
        rows, columns = np.nonzero(seen(shapes3d.render(grid, 64, elevation=0, **view)[0]))
        return rows.mean(), columns.mean()

    assert place(4, 7, 4, azimuth=0)[0] < 25, "y is up"
    assert place(7, 4, 4, azimuth=0)[1] > 40, "x is to the right"
    assert place(4, 4, 7, azimuth=90)[1] < 25, "from the right side, what is in front is to the left"


def test_a_turntable_comes_round_and_is_deterministic():
    frames = shapes3d.turntable(cube()[None], frames=4, side=32)
    assert frames.shape == (4, 1, 32, 32, 3)
    np.testing.assert_array_equal(frames, shapes3d.turntable(cube()[None], frames=4, side=32))
    for frame in frames[1:]:  # a cube has four equal sides
        assert np.abs(frame.astype(int) - frames[0]).mean() < 3


def test_an_empty_grid_is_blank_and_soft_edges_have_the_same_size():
    assert (shapes3d.render(np.zeros((1, 8, 8, 8)), 16) == 250).all()
    assert shapes3d.render(cube()[None], 32, smooth=2).shape == (1, 32, 32, 3)
    assert shapes3d.picture_side(32) == 128


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([4, 6, 8]))
def test_any_grid_renders(seed, size):
    grid = np.random.default_rng(seed).random((1, size, size, size, 1))
    picture = shapes3d.render(grid, 24)
    assert (picture.shape, picture.dtype) == ((1, 24, 24, 3), np.uint8)


def test_the_graph_draws_the_same_outline():
    """Serving's picture is another, simpler one, of the same shape from the same side."""
    grid = cube()[None, ..., None]
    served = np.asarray(pixels.depth_pictures(grid))[0, ..., 0] != 255
    ours = seen(shapes3d.render(grid)[0])
    assert served.shape == ours.shape == (64, 64)
    assert (served & ours).sum() / (served | ours).sum() > 0.8  # the interpolated surface rounds corners


@pytest.mark.parametrize(
    ("shapes", "word"),
    [
        (np.zeros((8, 8, 8)), "cubes"),
        (np.zeros((1, 8, 8, 4)), "cubes"),
        (np.zeros((0, 8, 8, 8)), "cubes"),
        (np.full((1, 4, 4, 4), np.nan), "NaN"),
        (np.full((1, 4, 4, 4), "a"), "number"),
    ],
)
def test_what_is_no_shape_is_said(shapes, word):
    with pytest.raises(GanzooError, match=word):
        shapes3d.render(shapes)


def test_means_of_blocks():
    grid = np.zeros((1, 4, 4, 4))
    grid[0, 0, 0, :2] = 1
    small = shapes3d.shrunk(grid, 2)
    assert small.shape == (1, 2, 2, 2)
    assert small[0, 0, 0, 0] == 0.25
    assert small.sum() == 0.25


# ---- meshes ----------------------------------------------------------------------------------------------------------
def test_a_mesh_is_closed_outward_and_of_unit_scale():
    pytest.importorskip("trimesh")
    full = shapes3d.mesh_of(np.ones((8, 8, 8)))
    assert full.is_watertight, "also where the shape meets the end of its grid"
    assert full.is_winding_consistent
    np.testing.assert_allclose(full.bounds, [[0, 0, 0], [1, 1, 1]], atol=1e-6)
    assert 0.9 < full.volume <= 1
    half = shapes3d.mesh_of(cube())
    assert half.volume == pytest.approx(0.5**3, rel=0.15)
    np.testing.assert_allclose(half.centroid, [0.5] * 3, atol=1e-6)


@pytest.mark.parametrize("suffix", [".glb", ".obj", ".stl"])
def test_meshes_are_written_and_read_back(suffix, tmp_path):
    trimesh = pytest.importorskip("trimesh")
    path = tmp_path / "deep" / f"two{suffix}"
    shapes3d.write_meshes(path, np.stack([cube(), np.zeros((8, 8, 8)), cube()]))
    mesh = trimesh.load(path, force="mesh")
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(2 * 0.5**3, rel=0.15), "the empty one has no surface"


def test_refusals_of_meshes(tmp_path, monkeypatch):
    pytest.importorskip("trimesh")
    with pytest.raises(GanzooError, match="no surface"):
        shapes3d.mesh_of(np.zeros((8, 8, 8)))
    with pytest.raises(GanzooError, match="no surface to write"):
        shapes3d.write_meshes(tmp_path / "x.obj", np.zeros((2, 8, 8, 8)))
    with pytest.raises(GanzooError, match=r"\.glb, \.obj, \.stl"):
        shapes3d.write_meshes(tmp_path / "x.ply", cube()[None])
    monkeypatch.setitem(__import__("sys").modules, "trimesh", None)
    with pytest.raises(GanzooError, match=r"pip install 'ganzoo\[3d\]'"):
        shapes3d.mesh_of(cube())
