"""Explore: points by name, arcs, closed-form directions, paths, projection, sheets and animations, on tiny random models."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from ganzoo import explore
from ganzoo.errors import GanzooError
from ganzoo.explore import projection, spaces
from ganzoo.explore.factorisation import factorise
from ganzoo.explore.paths import layer_groups
from ganzoo.explore.points import FORMAT, points
from ganzoo.media import animation, images
from ganzoo.models.stylegan_lite import StyleGAN

STYLE = {"channels": 3, "latent_dim": 12, "w_dim": 8, "mapping_layers": 2, "mapping_width": 8, "fmap_base": 32}
STYLE |= {"fmap_max": 8, "growing": False, "ema_decay": 0.5}


@pytest.fixture(scope="module")
def dcgan():
    model = tiny.build("dcgan", channels=3)
    for layer in model.sampler.layers:
        if hasattr(layer, "kernel"):
            layer.kernel.assign(layer.kernel * 12)  # N(0, 0.02) would make gray pictures
    return model


@pytest.fixture(scope="module")
def stylegan():
    keras.utils.set_random_seed(0)
    model = StyleGAN(image_size=32, **STYLE)
    model.sampler.w_avg.assign(model.styles(256, truncation_psi=1.0)[:, 0].mean(axis=0))
    return model


# --------------------------------------------------------------------------------------------------------------- points
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3", [(3, 0)]),
        ("0:5", [(0, 5)]),
        ("0:5-7", [(0, 5), (0, 6), (0, 7)]),
        ("3-5, 9:1", [(3, 0), (4, 0), (5, 0), (9, 1)]),
        (7, [(7, 0)]),
        ([1, "2:3"], [(1, 0), (2, 3)]),
        (np.arange(2), [(0, 0), (1, 0)]),
    ],
)
def test_points_by_name(text, expected):
    assert [(point.seed, point.cell) for point in points(text)] == expected


@pytest.mark.parametrize(
    ("text", "sentence"),
    [(text, f'"{text}" is not a point') for text in ("", "a", "1:", ":1", "-1", "1:2:3", "1.5", "٣", "9" * 19)]
    + [(text, f'"{text}" must rise and name at most 64 points') for text in ("5-3", "0-64", f"0:{2**31}")]
    + [(value, f"Points are seeds, .* received {value!r}") for value in (None, True, 1.5)]
    + [("0-39,0-39", "At most 64 points fit one picture; received 80")],
)
def test_points_that_are_none(text, sentence):
    with pytest.raises(GanzooError, match=sentence):
        points(text)


def test_a_point_is_the_sample_that_generate_shows(dcgan, stylegan):
    for model in (dcgan, stylegan):
        home = spaces.open_space(model)
        np.testing.assert_array_equal(home.pictures(home.read("4:0-2")), model.generate(3, seed=4))
        np.testing.assert_array_equal(home.pictures(home.read("5,6")), [model.generate(1, seed=s)[0] for s in (5, 6)])
    w = spaces.open_space(stylegan, "w", truncation_psi=0.4, cutoff=3)
    options = {"truncation_psi": 0.4, "cutoff": 3}
    np.testing.assert_array_equal(w.pictures(w.read("4:0-2")), stylegan.generate(3, seed=4, **options))


# ----------------------------------------------------------------------------------------------------------------- arcs
def test_slerp_by_hand():
    a, b = np.array([2.0, 0.0]), np.array([0.0, 2.0])
    np.testing.assert_allclose(explore.slerp(a, b, 0.5), [2**0.5, 2**0.5], rtol=1e-6)
    np.testing.assert_allclose(explore.slerp(a, b, 1 / 3), [3**0.5, 1.0], rtol=1e-6)
    np.testing.assert_allclose(explore.slerp(a, 3 * a, 0.5), [4.0, 0.0], rtol=1e-6)  # parallel: a line
    np.testing.assert_allclose(explore.slerp(a, -a, 0.25), [1.0, 0.0], rtol=1e-6)  # opposite: no one arc
    np.testing.assert_allclose(explore.slerp(a, 0 * a, 0.5), [1.0, 0.0], rtol=1e-6)


ROWS = arrays.arrays(np.float32, (2, 6), elements=st.floats(-3, 3, width=32))


@settings(max_examples=60, deadline=None)
@given(ROWS, st.floats(0, 1))
def test_slerp_ends_at_its_ends_and_stays_between(pair, t):
    a, b = pair
    np.testing.assert_array_equal(explore.slerp(a, b, 0.0), a)
    np.testing.assert_array_equal(explore.slerp(a, b, 1.0), b)
    assert np.linalg.norm(explore.slerp(a, b, t)) <= max(np.linalg.norm(a), np.linalg.norm(b)) + 1e-4
    np.testing.assert_allclose(explore.slerp(a, b, t), explore.slerp(b, a, 1 - t), atol=1e-4)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.floats(0, 1))
def test_an_arc_stays_on_its_sphere_and_moves_evenly(seed, t):
    a, b = np.random.default_rng(seed).normal(size=(2, 6))
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    reached = explore.slerp(a, b, t)
    assert np.linalg.norm(reached) == pytest.approx(1.0, abs=1e-5)
    assert np.arccos(np.clip(reached @ a, -1, 1)) == pytest.approx(t * np.arccos(a @ b), abs=2e-3)


def test_interpolate(dcgan, stylegan):
    for model in (dcgan, stylegan):
        table = explore.interpolate(model, "0:0-2", steps=5, loop=True)
        samples = model.generate(3, seed=0)
        np.testing.assert_array_equal(table[:, 0], samples)
        np.testing.assert_array_equal(table[:, -1], samples[[1, 2, 0]])
        assert len(np.unique(table.reshape(15, -1), axis=0)) == 12  # ends stand twice, all else differs
    home = spaces.open_space(dcgan)
    a, b = home.read("0:0,0:1")
    half = dcgan.generate(latents=explore.slerp(a, b, 0.5)[None])[0]
    np.testing.assert_array_equal(explore.interpolate(dcgan, "0:0-1", steps=3)[0, 1], half)


def test_interpolate_in_w_is_a_line(stylegan):
    middle = explore.interpolate(stylegan, "0:0-1", steps=3, space="w", truncation_psi=0.5)[0, 1]
    w = stylegan.styles(2, seed=0, truncation_psi=0.5)
    np.testing.assert_array_equal(middle, stylegan.generate(w=w.mean(axis=0, keepdims=True))[0])
    assert (middle != explore.interpolate(stylegan, "0:0-1", steps=3, truncation_psi=0.5)[0, 1]).any()


# ----------------------------------------------------------------------------------------------------------- directions
def test_factorise_by_hand():
    found = factorise(np.array([[3.0, 0.0, 0.0], [0.0, 5.0, -0.1]]))  # columns become unit: e0, e1, -e1
    np.testing.assert_allclose(found.vectors, [[0, 1], [1, 0]], atol=1e-7)
    np.testing.assert_allclose(found.shares, [2 / 3, 1 / 3], rtol=1e-6)
    with pytest.raises(GanzooError, match="0 to 1; received 2"):
        found[2]


@settings(max_examples=30, deadline=None)
@given(arrays.arrays(np.float64, (4, 9), elements=st.floats(-2, 2)))
def test_directions_are_orthonormal_and_stretched_in_falling_order(weights):
    found = factorise(weights)
    np.testing.assert_allclose(found.vectors @ found.vectors.T, np.eye(4), atol=1e-5)
    unit = weights / np.maximum(np.linalg.norm(weights, axis=0), 1e-12)
    stretched = np.linalg.norm(found.vectors @ unit, axis=1) ** 2
    assert (np.diff(stretched) <= 1e-5).all()
    assert stretched[0] >= (np.linalg.norm(unit, axis=1) ** 2).max() - 1e-5  # no axis is stretched more
    assert (found.vectors.max(axis=1) >= np.abs(found.vectors).max(axis=1) - 1e-5).all()  # the sign


def test_the_first_weights_are_the_linear_map_of_z(dcgan):
    z = spaces.open_space(dcgan).read("0:0-2")
    layer = dcgan.sampler.get_layer("project")
    expected = layer(tf.constant(z)[:, None, None]).numpy().reshape(3, -1)
    np.testing.assert_allclose(z @ spaces.open_space(dcgan).weights(), expected, atol=1e-5)
    gan = tiny.build("gan")
    z = spaces.open_space(gan).read("0:0")
    hidden = gan.sampler.get_layer("hidden1")
    expected = hidden(tf.constant(z)).numpy()
    np.testing.assert_allclose(np.maximum(z @ spaces.open_space(gan).weights() + hidden.bias, 0), expected, atol=1e-6)


def test_the_first_weights_of_styles_are_theirs(stylegan):
    weights = spaces.open_space(stylegan, "w").weights(range(1, 3))
    parts = [stylegan.sampler.synthesis.epilogues[i].style_kernel.numpy() for i in (1, 2)]
    np.testing.assert_array_equal(weights, np.concatenate(parts, axis=1))
    assert explore.directions(stylegan).vectors.shape == (8, 8)
    assert explore.directions(stylegan, "4-6").shares.sum() == pytest.approx(1, abs=1e-5)


def test_walk(dcgan, stylegan):
    for model in (dcgan, stylegan):
        table = explore.walk(model, "0:0-1", directions=[1, 0], steps=5, reach=2.0)
        assert table.shape[:2] == (4, 5)
        np.testing.assert_array_equal(table[[0, 1], 2], model.generate(2, seed=0))
        np.testing.assert_array_equal(table[[0, 1], 2], table[[2, 3], 2])
        assert (table[0] != table[2])[[0, 1, 3, 4]].any(axis=(1, 2, 3)).all()
    home, unit = spaces.open_space(dcgan), explore.directions(dcgan)[1]
    assert home.spread_along(unit) == pytest.approx(1, abs=0.05)  # z is N(0, 1)
    step = np.float32(2) * home.spread_along(unit) * unit
    np.testing.assert_array_equal(
        explore.walk(dcgan, "0:0", directions=[1], steps=3, reach=2.0)[0, 2],
        dcgan.generate(latents=home.read("0:0") + step)[0],
    )


def test_walk_moves_only_its_layers(stylegan):
    home = spaces.open_space(stylegan, "w")
    point = home.read("0:0")[0]
    moved = home.moved(point, np.ones(8, np.float32), range(2, 4))
    np.testing.assert_array_equal(np.flatnonzero((moved != point).any(axis=1)), [2, 3])
    coarse, fine = (explore.walk(stylegan, directions=[0], layers=group) for group in ("coarse", "4-7"))
    assert (coarse != fine).any()


# --------------------------------------------------------------------------------------------------------------- styles
def test_truncate(stylegan):
    table = explore.truncate(stylegan, "0:0-2", psis=[1.0, 0.3, 0.0])
    np.testing.assert_array_equal(table[:, 0], stylegan.generate(3, truncation_psi=1.0))
    np.testing.assert_array_equal(table[:, 1], stylegan.generate(3, truncation_psi=0.3))
    assert (table[:, 2] == table[0, 2]).all()  # psi 0: one picture
    cut = explore.truncate(stylegan, "0:0-2", psis=[0.3], cutoff=2)[:, 0]
    np.testing.assert_array_equal(cut, stylegan.generate(3, truncation_psi=0.3, cutoff=2))


def test_mix(stylegan):
    table = explore.mix(stylegan, "0:0-1", "0:2-4", layers=[range(8), range(0), range(4)])
    assert table.shape == (1 + 3 * 2, 1 + 3, 32, 32, 3)
    samples = stylegan.generate(5, seed=0)
    assert (table[0, 0] == 255).all()
    np.testing.assert_array_equal(table[0, 1:], samples[2:])
    np.testing.assert_array_equal(table[1:, 0], np.tile(samples[:2], (3, 1, 1, 1)))
    np.testing.assert_array_equal(table[1:3, 1:], np.stack([samples[2:]] * 2))  # all styles from B
    np.testing.assert_array_equal(table[3:5, 1:], np.stack([samples[:2]] * 3, axis=1))  # none
    w = stylegan.styles(5, seed=0)
    expected = stylegan.generate(w=stylegan.mix(w[2:3], w[1:2], layer=4))[0]
    np.testing.assert_array_equal(table[6, 1], expected)


def test_layer_groups():
    assert layer_groups("coarse, middle,fine", 10) == {"coarse": range(4), "middle": range(4, 8), "fine": range(8, 10)}
    assert layer_groups("coarse,middle,fine", 6) == {"coarse": range(4), "middle": range(4, 6)}
    assert layer_groups("All,2,3-5", 6) == {"all": range(6), "2": range(2, 3), "3-5": range(3, 6)}
    for text, words in (
        ("fine", "none that"),
        ("6", "0 to 5"),
        ("5-3", "0 to 5"),
        ("corse", "names no"),
        ("", "names"),
    ):
        with pytest.raises(GanzooError, match=words):
            layer_groups(text, 6)


def test_a_conditional_model_wants_its_label():
    model = StyleGAN(image_size=8, classes=3, **STYLE)
    table = explore.interpolate(model, "0:0-1", steps=2, label=2)
    np.testing.assert_array_equal(table[0], model.generate(2, label=2))
    with pytest.raises(GanzooError, match="needs labels"):
        explore.walk(model)
    with pytest.raises(GanzooError, match="0 to 2"):
        explore.truncate(model, label=3)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda z, w: explore.truncate(z), "has no psi"),
        (lambda z, w: explore.mix(z), "has no style layers"),
        (lambda z, w: explore.walk(z, layers="coarse"), "has no style layers"),
        (lambda z, w: explore.interpolate(z, space="w"), "has no styles"),
        (lambda z, w: explore.interpolate(z, truncation_psi=0.5), "has no psi"),
        (lambda z, w: explore.interpolate(z, label=1), "has no label"),
        (lambda z, w: explore.interpolate(z, space="x"), 'no latent space "x"'),
        (lambda z, w: explore.interpolate(z, "0:0"), "received 1 point"),
        (lambda z, w: explore.interpolate(z, steps=1), "at least 2"),
        (lambda z, w: explore.interpolate(z, steps=2000), "4,096 pictures"),
        (lambda z, w: explore.walk(z, directions=[99]), "received 99"),
        (lambda z, w: explore.walk(z, reach=0.0), "above 0"),
        (lambda z, w: explore.walk(z, reach=float("nan")), "above 0"),
        (lambda z, w: explore.truncate(w, psis=[1.1]), "[-1, 1]"),
        (lambda z, w: explore.truncate(w, psis=[]), "at least one psi"),
        (lambda z, w: explore.mix(w, truncation_psi=float("nan")), "[-1, 1]"),
        (lambda z, w: explore.walk(w, layers="coarse,middle"), "one group"),
        (lambda z, w: explore.interpolate(w, cutoff=9), "0 to 8"),
        (lambda z, w: explore.project(z, np.zeros((4, 4, 3), np.uint8), steps=0), "steps is"),
        (lambda z, w: explore.project(z, np.zeros((4, 4, 3), np.uint8), starts=513), "1 to 512"),
        (lambda z, w: explore.project(z, np.zeros((4, 4, 3))), "uint8 picture"),
        (lambda z, w: explore.project(z, np.zeros((4, 4, 3), np.uint8), fit="squeeze"), "squeeze"),
    ],
)
def test_bad_input_is_a_sentence(call, words, dcgan, stylegan):
    with pytest.raises(GanzooError) as caught:
        call(dcgan, stylegan)
    assert words in str(caught.value)
    assert str(caught.value).endswith((".", "?"))


def test_a_model_that_starts_from_pictures_has_no_latent_space():
    with pytest.raises(GanzooError, match="turns pictures into pictures"):
        explore.interpolate(tiny.build("pix2pix"))


# ----------------------------------------------------------------------------------------------------------- projection
def test_the_pyramid_by_hand():
    black, gray = tf.fill([1, 16, 16, 3], -1.0), tf.fill([2, 16, 16, 3], 0.0)
    levels = projection.pyramid(black)
    assert [level.shape[1:3] for level in levels[::3]] == [(16, 16), (8, 8), (4, 4)]
    # Colours differ by 1 at every size, edges by 0: a third of the features.
    np.testing.assert_allclose(projection.distance(projection.pyramid(gray), levels), [1 / 3, 1 / 3], rtol=1e-6)
    edge = tf.concat([tf.fill([1, 8, 4, 1], -1.0), tf.fill([1, 8, 4, 1], 1.0)], axis=2)
    flat = tf.fill([1, 8, 8, 1], -1.0)
    # 8 px: colours 1, vertical steps 0, horizontal 2 in 1 of 7 columns; 4 px: 1, 0, 2 in 1 of 3.
    expected = (1 + 2 / 7 + 1 + 2 / 3) / 6
    assert float(projection.distance(projection.pyramid(edge), projection.pyramid(flat))[0]) == pytest.approx(expected)


@pytest.mark.parametrize("name", ["dcgan", "stylegan"])
def test_projection_finds_a_sample_again(name, request):
    model = request.getfixturevalue(name)
    picture = model.generate(1, seed=1234)[0]
    found = explore.project(model, picture, steps=100, starts=3)
    np.testing.assert_array_equal(found.target, picture)
    assert found.space == ("w" if name == "stylegan" else "z")
    assert found.distances["result"] < 0.2 * found.distances["start"]
    assert found.distances["result_l1"] < 0.25 * found.distances["start_l1"]
    assert len(found.losses) == 101
    assert found.losses[-1] == found.distances["result"]
    assert found.losses[0] == found.distances["start"]
    argument = {"w": found.latent[None]} if found.space == "w" else {"latents": found.latent[None]}
    np.testing.assert_array_equal(model.generate(**argument)[0], found.result)
    np.testing.assert_array_equal(found.frames[0], found.start)
    np.testing.assert_array_equal(found.frames[-1], found.result)
    assert len(found.frames) == 51  # every second step


def test_projection_is_deterministic_and_takes_any_picture(dcgan):
    wide = np.random.default_rng(0).integers(0, 255, (21, 40, 1), dtype=np.uint8)  # gray, not square, another size
    first, second, other = (explore.project(dcgan, wide, steps=3, starts=2, seed=seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.latent, second.latent)
    assert (first.latent != other.latent).any()
    assert first.target.shape == first.result.shape == (16, 16, 3)
    assert first.losses == second.losses


def test_the_pace_rises_stays_and_falls():
    assert [projection.pace(share) for share in (0.025, 0.05, 0.3, 0.5, 0.75, 1.0)] == pytest.approx(
        [0.5, 1, 1, 1, 0.5, 0]
    )


def report_of(model, path, space, latent, **changes):
    value = {"format": FORMAT, "model": f"{model.paper}/some", "weights": model.weights_source, "space": space}
    path.write_text(json.dumps(value | {"latent": np.asarray(latent).tolist()} | changes))
    return path


def test_a_projection_is_a_point(dcgan, stylegan, tmp_path):
    z = spaces.open_space(dcgan).read("3")[0]
    file = report_of(dcgan, tmp_path / "a.json", "z", z)
    table = explore.interpolate(dcgan, [file, 4], steps=2)
    np.testing.assert_array_equal(table[0], [dcgan.generate(1, seed=s)[0] for s in (3, 4)])
    assert [str(point) for point in points(str(file))] == [str(file)]
    w = stylegan.styles(1, seed=3, truncation_psi=1.0)[0, 0]
    file = report_of(stylegan, tmp_path / "b.json", "w", w)
    table = explore.interpolate(stylegan, [file, 4], steps=2)  # in w: a projection is not truncated, a sample is
    np.testing.assert_array_equal(table[0, 0], stylegan.generate(1, seed=3, truncation_psi=1.0)[0])
    np.testing.assert_array_equal(table[0, 1], stylegan.generate(1, seed=4)[0])


def test_reports_that_do_not_fit(dcgan, stylegan, tmp_path):
    def refusal(name="x", model=dcgan, space="z", latent=(0.0,) * 6, **changes):
        file = report_of(dcgan, tmp_path / f"{name}.json", space, latent, **changes)
        with pytest.raises(GanzooError) as caught:
            explore.walk(model, file)
        return str(caught.value)

    assert "with weights" in refusal(weights="bundled:01234567")
    assert "with weights" in refusal(model=stylegan)
    assert "has 6" in refusal(latent=[0.0] * 5)
    assert "point of w" in refusal(space="w")
    assert "damaged" in refusal(latent=[[0.0]])
    assert "damaged" in refusal(latent=[float("nan")] * 6)
    assert "no report" in refusal(format="other")
    assert "damaged" in refusal(latent=None)
    (tmp_path / "text.json").write_text("hello")
    with pytest.raises(GanzooError, match=r"text\.json is not JSON"):
        explore.walk(dcgan, tmp_path / "text.json")
    with pytest.raises(GanzooError, match="Cannot read"):
        explore.walk(dcgan, "nowhere.json")


# ---------------------------------------------------------------------------------------------------- sheets and films
def test_a_sheet_holds_its_cells():
    cells = np.random.default_rng(0).integers(0, 255, (2, 3, 8, 8, 3), dtype=np.uint8)
    plain = animation.sheet(cells)
    np.testing.assert_array_equal(plain, images.grid(cells.reshape(6, 8, 8, 3), 3))
    captioned = animation.sheet(cells, rows=["one", "two"], columns=["a", "b", "a caption that is too long"])
    height, width = plain.shape[:2]
    np.testing.assert_array_equal(captioned[-height:, -width:], plain)
    assert captioned.shape[0] == height + animation.LINE + 2
    assert (captioned[:, : -width - 1] < 255).any()
    gray = animation.sheet(cells[..., :1], rows=["one", "two"])
    assert gray.shape[2] == 1


def test_enlarged_pixels_are_squares():
    small = np.arange(4, dtype=np.uint8).reshape(1, 2, 2, 1)
    expected = [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]
    np.testing.assert_array_equal(animation.enlarge(small, 2)[0, ..., 0], expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_chart_falls_from_left_to_right(channels):
    chart = animation.chart(np.exp(-np.arange(50) / 5), 200, 240, channels)
    assert chart.shape == (200, 240, channels)
    dark = chart[24:176, 48:228].min(axis=-1) < 200 if channels == 3 else chart[24:176, 48:228, 0] < 200
    heights = [np.flatnonzero(column).mean() for column in dark.T if column.any()]
    assert (np.diff(heights) > -1).all()
    assert heights[-1] - heights[0] > 100
    assert animation.chart([0.5], 64, 64).shape == (64, 64, 3)  # one value, all equal, none: still a picture
    assert animation.chart([0.5, 0.5, 0.0], 64, 64).shape == (64, 64, 3)


def test_there_and_back():
    assert animation.there_and_back(np.arange(4)).tolist() == [0, 1, 2, 3, 2, 1]
    assert animation.there_and_back(np.arange(2)).tolist() == [0, 1]
    assert animation.there_and_back(np.arange(1)).tolist() == [0]


@pytest.mark.parametrize("channels", [1, 3])
def test_gif(tmp_path, channels):
    colours = np.random.default_rng(0).integers(0, 255, (200, channels), dtype=np.uint8)
    frames = colours[np.random.default_rng(1).integers(0, 200, (4, 9, 7))]
    paths = tmp_path / "new" / "a.gif", tmp_path / "b.gif"
    for path in paths:
        animation.write_animation(path, frames, {"model": "gan", "seed": "0"}, fps=20)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.gif", "b.gif", "new"]
    with Image.open(paths[0]) as picture:
        assert (picture.n_frames, picture.size, picture.info["duration"], picture.info["loop"]) == (4, (7, 9), 50, 0)
        assert picture.info["comment"] == b"model=gan; seed=0"
        for i, frame in enumerate(frames):  # up to 256 colours a frame: nothing is lost
            picture.seek(i)
            np.testing.assert_array_equal(np.asarray(picture.convert("RGB")), images.to_channels(frame, 3))


def test_mp4(tmp_path):
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    frames = np.full((5, 33, 48, 3), 255, np.uint8)
    for i, frame in enumerate(frames):
        frame[8:24, 8 * i : 8 * i + 8] = (200, 30, 30)
    paths = tmp_path / "a.mp4", tmp_path / "b.mp4"
    for path in paths:
        animation.write_animation(path, frames, {"model": "gan"}, fps=10)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert b"model=gan" in paths[0].read_bytes()
    reader = ffmpeg.read_frames(str(paths[0]))
    about = next(reader)
    assert (about["size"], about["fps"], about["codec"]) == ((48, 34), 10, "h264")  # an odd side gains a white row
    read = np.stack([np.frombuffer(frame, np.uint8).reshape(34, 48, 3) for frame in reader])
    assert read.shape[0] == 5
    assert np.abs(read[:, :33].astype(int) - frames).mean() < 6
    animation.write_animation(paths[0], frames[..., :1], {}, fps=10)


def test_films_that_cannot_be_written(tmp_path, monkeypatch):
    frames = np.zeros((2, 4, 4, 3), np.uint8)
    with pytest.raises(GanzooError, match=r"\.gif or \.mp4"):
        animation.write_animation(tmp_path / "a.webm", frames, {})
    with pytest.raises(GanzooError, match="at least one"):
        animation.write_animation(tmp_path / "a.gif", frames[:0], {})
    (tmp_path / "file").write_text("")
    with pytest.raises(GanzooError, match="Cannot write"):
        animation.write_animation(tmp_path / "file" / "a.gif", frames, {})
    monkeypatch.setitem(__import__("sys").modules, "imageio_ffmpeg", None)
    with pytest.raises(GanzooError, match=r"imageio-ffmpeg.*ganzoo\[video\]"):
        animation.write_animation(tmp_path / "a.mp4", frames, {})
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_public_names():
    assert set(dir(explore)) == set(explore.__all__)
    for name in explore.__all__:
        assert getattr(explore, name).__module__.startswith("ganzoo.explore")
    with pytest.raises(AttributeError, match="wander"):
        _ = explore.wander
