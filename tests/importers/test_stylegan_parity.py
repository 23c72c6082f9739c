"""StyleGAN against the official code: golden files of single operations, of the three networks and of a whole generator.

Weights go in through our importer, by name. Images and maps are NCHW there; convolutions HWIO and dense layers (in, out).
"""

import json
import re
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import ganzoo
from ganzoo import importers, penalties
from ganzoo.errors import GanzooError
from ganzoo.layers import Blur, EqualizedConv2D, EqualizedDense, MinibatchStddev, StyleEpilogue
from ganzoo.models.stylegan_lite import Mapping, _doubled, _halved

GOLDEN = Path(__file__).parents[1] / "golden"


class Golden:
    """Arrays of a golden file, its sidecar, and the state in it."""

    def __init__(self, name):
        self.arrays = dict(np.load(GOLDEN / f"stylegan_{name}.npz", allow_pickle=False))
        self.facts = json.loads((GOLDEN / f"stylegan_{name}.json").read_text())
        self.config = self.facts["config"]
        self.state = {key[2:]: value for key, value in self.arrays.items() if key.startswith("w.")}

    def __getitem__(self, key):
        array = self.arrays[key]
        return nhwc(array) if array.ndim == 4 and not key.startswith("w.") else array

    def close(self, ours, key):
        np.testing.assert_allclose(np.asarray(ours), self[key], **self.facts["tolerance"]["forward"], err_msg=key)


def nhwc(x):
    return np.transpose(x, (0, 2, 3, 1))


def probe(out):
    return 0.5 * tf.reduce_mean(tf.square(out)) + tf.reduce_mean(out)


def matched(network, state):
    """name -> trainable variable, found by equal values up to layout and not by our own table of names."""
    variables, found = list(network.trainable_variables), {}
    for name, array in state.items():
        if name.startswith("noise"):
            continue
        forms = [array]
        if array.ndim == 4:
            forms += [nhwc(array), array[::-1, ::-1]]
        if name == "4x4.Dense0.weight":
            forms = [array.reshape(-1, 4, 4, array.shape[1]).transpose(1, 2, 0, 3).reshape(array.shape)]
        same = [v for v in variables if any(v.shape == a.shape and np.array_equal(v, a) for a in forms)]
        assert len(same) == 1, f"{name} is in {len(same)} variables"
        found[name] = same[0]
        variables = [v for v in variables if v is not same[0]]
    assert not variables, "variables that the reference does not have"
    return found


def same_gradients(golden, network, call):
    """Loss of the probe and the norm of every gradient; a raw variable's, so lrmul and the scales are in it."""
    variables = matched(network, golden.state)
    with tf.GradientTape() as tape:
        loss = probe(call())
    np.testing.assert_allclose(loss, golden["probe_loss"], rtol=1e-4, atol=1e-5)
    names = [key[len("grad_norm.") :] for key in golden.arrays if key.startswith("grad_norm.")]
    assert set(names) == set(variables)
    theirs = np.array([golden[f"grad_norm.{name}"] for name in names])
    values = [variables[name].value for name in names]
    gradients = tape.gradient(loss, values, unconnected_gradients="zero")  # of other sizes' RGB layers
    ours = np.array([float(tf.norm(gradient)) for gradient in gradients])
    allowed = 5e-3 * theirs + 1e-4 * np.sqrt(np.sum(theirs**2))
    wrong = {name: (a, b) for name, a, b, most in zip(names, ours, theirs, allowed, strict=True) if abs(a - b) > most}
    assert not wrong


# ---- single operations -----------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def ops():
    return Golden("ops")


def conv(kernel, **options):
    """Our convolution with the reference's raw kernel."""
    layer = EqualizedConv2D(kernel.shape[3], use_bias=False, **options)
    layer.build((None, None, None, kernel.shape[2]))
    layer.kernel.assign(kernel)
    return layer


def test_resampling(ops):
    x = ops["x"][:4]
    ops.close(Blur()(x), "out.blur")
    ops.close(_doubled(x, 2), "out.up2")
    ops.close(_halved(x, 2), "out.down2")


def test_convolutions_and_dense(ops):
    x = ops["x"][:4]
    ops.close(conv(ops["w.conv.weight"])(x), "out.conv3x3")
    up, down = conv(ops["w.up.weight"], resample="up"), conv(ops["w.down.weight"], resample="down")
    ops.close(up(x), "out.upconv_unfused")
    up.kernel.assign(ops["w.up.weight"][::-1, ::-1])
    ops.close(up(x), "out.upconv_fused")
    ops.close(down(x), "out.downconv_unfused")
    ops.close(down(x), "out.downconv_fused")
    dense = EqualizedDense(5, gain=1.0, lrmul=0.01)
    dense.build((None, 7))
    dense.kernel.assign(ops["w.dense.weight"])
    dense.bias.assign(ops["w.dense.bias"])
    ops.close(dense(ops["w_latent"]), "out.dense_lrmul")


def test_pixel_norm_of_the_mapping(ops):
    network = Mapping(latent_dim=6, w_dim=6, depth=1, width=6, lrmul=0.01, classes=0)
    network.stack[0].kernel.assign(np.eye(6) / network.stack[0].scale)
    out = network(ops["x"][:4].reshape(-1, 6)).numpy()
    out = np.where(out < 0, out * 5, out)  # without the leaky ReLU
    ops.close(out.reshape(4, 8, 8, 6), "out.pixel_norm")


def test_noise_norm_and_style(ops):
    """The steps of the epilogue, told apart: each with the others switched off or undone."""
    x, w = ops["x"][:4], ops["w_latent"]
    straight = np.where(x < 0, x * 5, x)  # the leaky ReLU makes x of it
    layer = StyleEpilogue()
    layer.build(x.shape, w.shape)
    layer.style_kernel.assign(np.zeros((7, 12)))
    ops.close(layer(straight, w), "out.instance_norm")

    layer.strength.assign(ops["w.noise.Noise.weight"])
    noisy = layer(x, w, ops["noise_map"])
    layer.strength.assign(np.zeros(6))
    np.testing.assert_allclose(noisy, layer(ops["out.noise"], w), rtol=1e-4, atol=2e-5)

    # The reference's style acts on x, ours on the normalised x: the line through its values gives scale and shift.
    styled, normal = ops["out.style_mod"].astype("float64"), ops["out.instance_norm"]
    centred = x - x.mean((1, 2), keepdims=True, dtype="float64")
    scale = (centred * styled).sum((1, 2), keepdims=True) / (centred**2).sum((1, 2), keepdims=True)
    shift = styled.mean((1, 2), keepdims=True) - scale * x.mean((1, 2), keepdims=True, dtype="float64")
    layer.style_kernel.assign(ops["w.style.StyleMod.weight"])
    layer.style_bias.assign(ops["w.style.StyleMod.bias"])
    np.testing.assert_allclose(layer(straight, w), normal * scale + shift, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize(("rows", "size", "key"), [(8, 4, "mbstd_g4"), (3, 4, "mbstd_n3_g4"), (4, 2, "mbstd_n4_g2")])
def test_minibatch_deviation(ops, rows, size, key):
    out = MinibatchStddev(size)(ops["x"][:rows])
    np.testing.assert_array_equal(out[..., :6], ops["x"][:rows])
    ops.close(out[..., 6:], f"out.{key}")


# ---- networks --------------------------------------------------------------------------------------------------------
def lods(golden):
    return {lod: "out_lod" + str(lod).replace(".", "p") for lod in golden.config["lods"]}


@pytest.mark.parametrize("name", ["mapping", "mapping_labels"])
def test_mapping(name):
    golden = Golden(name)
    network = importers.build("stylegan.mapping", golden.state, mapping_lrmul=golden.config["mapping_lrmul"])
    classes = golden.config["label_size"]
    inputs = [golden["z"], golden["y"]] if classes else golden["z"]
    golden.close(network(inputs), "out")
    same_gradients(golden, network, lambda: network(inputs))
    if classes:
        golden.close(network([golden["z"], golden["y"].argmax(1)]), "out")
    again = importers.build("stylegan.mapping", golden.state)  # 0.01 is the default
    np.testing.assert_array_equal(again(inputs), network(inputs))
    other = importers.build("stylegan.mapping", golden.state, lrmul=0.02)
    assert np.abs(other(inputs) - network(inputs)).max() > 0.1


@pytest.mark.parametrize("name", ["synthesis32", "synthesis32_fused"])
def test_synthesis(name):
    golden = Golden(name)
    fused = golden.config["fused_scale"]
    network = importers.build("stylegan.synthesis", golden.state, fused_scale=fused)
    for lod, key in lods(golden).items():
        golden.close(network(golden["dlatents"], lod=lod), key)
    same_gradients(golden, network, lambda: network(golden["dlatents"]))
    # Below 128 px "auto", the default, is the form that is not fused.
    auto = importers.build("stylegan.synthesis", golden.state)(golden["dlatents"])
    assert np.allclose(auto, golden["out_lod0p0"], atol=2e-4) == (not fused)


@pytest.mark.parametrize("name", ["d32", "d32_labels"])
def test_discriminator(name):
    golden = Golden(name)
    network = importers.build("stylegan.discriminator", golden.state, fused_scale=golden.config["fused_scale"])
    labels = golden["y"] if golden.config.get("label_size") else None

    def judge(images, lod=0.0, labels=labels):
        return network(images if labels is None else [images, labels], lod=lod)

    for lod, key in lods(golden).items():
        golden.close(judge(golden["x"], lod), key)
    same_gradients(golden, network, lambda: judge(golden["x"]))
    expected = golden["r1_penalty"].mean()
    tolerance = golden.facts["tolerance"]["forward"]
    np.testing.assert_allclose(penalties.r1(judge, golden["x"]), expected, **tolerance)
    logits, r1 = penalties.logits_and_r1(judge, tf.constant(golden["x"]))
    np.testing.assert_allclose(r1, expected, **tolerance)
    golden.close(logits, "out_lod0p0")
    with tf.GradientTape() as tape:  # and each image's own
        x = tf.constant(golden["x"])
        tape.watch(x)
        score = tf.reduce_sum(judge(x))
    norms = tf.reduce_sum(tf.square(tape.gradient(score, x)), axis=[1, 2, 3])
    np.testing.assert_allclose(norms, golden["r1_penalty"], **tolerance)
    if labels is not None:
        np.testing.assert_array_equal(judge(golden["x"], labels=labels.argmax(1)), judge(golden["x"]))


TRUNCATIONS = [(1.0, None, "out_psi1"), (0.7, 8, "out_psi0p7_cutoff8"), (0.5, 4, "out_psi0p5_cutoff4")]


def test_whole_generator_with_truncation():
    golden = Golden("g64_truncation")
    generator = importers.build("stylegan.generator", golden.state, fused_scale=False)
    golden.close(generator(golden["z"]), "out_psi1")
    mapping = importers.build("stylegan.mapping", golden.state)
    synthesis = importers.build("stylegan.synthesis", golden.state, fused_scale=False)
    golden.close(synthesis(mapping(golden["z"])), "out_psi1")
    average = golden["w.dlatent_avg"]
    for psi, cutoff, key in TRUNCATIONS:
        w = generator.spread(generator.mapping(golden["z"]))
        golden.close(generator.synthesis(generator.truncated(w, psi, cutoff or 10)), key)
        w = np.repeat(mapping(golden["z"])[:, None], 10, axis=1)
        w[:, :cutoff] = average + psi * (w[:, :cutoff] - average)
        golden.close(synthesis(w), key)


# ---- the importer ----------------------------------------------------------------------------------------------------
def test_an_imported_model_generates_what_the_reference_does(tmp_path):
    """A folder from the file of a whole generator, under TensorFlow's own names; D starts fresh."""
    golden = Golden("g64_truncation")
    state = {name.replace(".", "/"): array for name, array in golden.state.items()} | {"G_synthesis/lod": np.float32(0)}
    np.savez(tmp_path / "gs.npz", **state)
    folder = importers.import_checkpoint("stylegan", tmp_path / "gs.npz", tmp_path / "model")
    assert json.loads((folder / "manifest.json").read_text())["untrained"] == ["discriminator"]
    model = ganzoo.load(folder)
    assert (model.image_size, model.latent_dim, model.fmap_base, model.growing) == (64, 32, 256, False)
    for psi, cutoff, key in TRUNCATIONS:
        made = model.generate(latents=golden["z"], truncation_psi=psi, cutoff=cutoff)
        expected = np.clip(np.round((golden[key] + 1) * 127.5), 0, 255)
        assert np.abs(made.astype(int) - expected).max() <= 1, key


def test_both_files_make_a_model_of_the_sizes_of_both(tmp_path):
    d, s, m = (Golden(name) for name in ("d32", "synthesis32", "mapping"))
    whole = {f"G_synthesis.{name}": a for name, a in s.state.items()} | {"dlatent_avg": np.ones(24, np.float32)}
    whole |= {f"G_mapping.{name}": a for name, a in m.state.items()}
    np.savez(tmp_path / "g.npz", **whole)
    np.savez(tmp_path / "d.npz", **d.state, lod=np.float32(0))
    files = {"generator": tmp_path / "g.npz", "discriminator": tmp_path / "d.npz"}
    model = ganzoo.load(importers.import_checkpoint("stylegan-lite", out=tmp_path / "model", **files))
    d.close(model.discriminator(d["x"]), "out_lod0p0")
    assert model.growing
    assert model.mapping_layers == 8
    np.testing.assert_array_equal(model.ema_generator.w_avg, np.ones(24))
    np.savez(tmp_path / "other.npz", **Golden("d32_labels").state)
    with pytest.raises(GanzooError, match="image_size is 32 in the generator's and 16"):
        importers.import_checkpoint(
            "stylegan", files["generator"], tmp_path / "no", discriminator=tmp_path / "other.npz"
        )


def test_noise_is_stored_or_random():
    golden = Golden("synthesis32")
    w = golden["dlatents"]
    network = importers.build("stylegan.synthesis", golden.state)
    random = importers.build("stylegan.synthesis", golden.state, noise="random")
    np.testing.assert_array_equal(network(w), network(w))
    np.testing.assert_array_equal(random(w, noise="stored"), network(w))
    assert np.abs(random(w) - random(w)).max() > 0.1
    assert np.abs(network(w, noise="random", lod=1.0) - network(w, lod=1.0)).max() > 0.1
    graph = tf.function(lambda w: random(w))
    assert np.abs(graph(w) - graph(w)).max() > 0.1
    with pytest.raises(GanzooError, match="stored"):
        importers.build("stylegan.synthesis", golden.state, noise="none")


def test_a_generator_without_noise_is_recognised():
    golden = Golden("synthesis32")
    bare = {name: array for name, array in golden.state.items() if "noise" not in name.lower()}
    quiet = {name: array * (0 if ".Noise." in name else 1) for name, array in golden.state.items()}
    network = importers.build("stylegan.synthesis", bare)
    expected = importers.build("stylegan.synthesis", quiet)(golden["dlatents"])
    np.testing.assert_allclose(network(golden["dlatents"]), expected, atol=1e-5)
    assert "Missing" in refusal("stylegan.synthesis", bare, use_noise=True)


def test_fusing_starts_at_128_px_by_itself():
    """ "auto" turns the kernels of the official code's fused layers, those of 128 px and more, and no other."""
    golden, rng = Golden("synthesis32"), np.random.default_rng(0)
    state = {name.replace("ToRGB_lod", "ToRGB_lod+"): array for name, array in golden.state.items()}
    state = {re.sub(r"lod\+(\d)", lambda m: f"lod{int(m[1]) + 2}", name): array for name, array in state.items()}
    width = 16
    for lod, size in ((1, 64), (0, 128)):
        before, width = width, width // 2
        shapes = {"Conv0_up.weight": (3, 3, before, width), "Conv1.weight": (3, 3, width, width)}
        for part in ("Conv0_up", "Conv1"):
            shapes |= {f"{part}.bias": (width,), f"{part}.Noise.weight": (width,)}
            shapes |= {f"{part}.StyleMod.weight": (24, 2 * width), f"{part}.StyleMod.bias": (2 * width,)}
        state |= {f"{size}x{size}.{name}": rng.normal(size=shape).astype("float32") for name, shape in shapes.items()}
        state[f"ToRGB_lod{lod}.weight"] = rng.normal(size=(1, 1, width, 3)).astype("float32")
        state[f"ToRGB_lod{lod}.bias"] = np.zeros(3, "float32")
        first = 2 * (int(np.log2(size)) - 2)
        state |= {f"noise{i}": rng.normal(size=(1, 1, size, size)).astype("float32") for i in (first, first + 1)}
    kernels = {
        fused: [np.array(layer.kernel) for layer in importers.build("stylegan.synthesis", state, fused_scale=fused).network.convolutions]
        for fused in (True, False, "auto")
    }  # fmt: skip
    ups = [1, 3, 5, 7, 9]  # 8, 16, 32, 64, 128 px
    for i in range(11):
        np.testing.assert_array_equal(kernels["auto"][i], kernels[i == 9][i])
        assert np.array_equal(kernels[True][i], kernels[False][i]) == (i not in ups)


def refusal(kind, state, **keywords):
    with pytest.raises(GanzooError) as caught:
        importers.build(kind, state, **keywords)
    return str(caught.value)


def test_what_does_not_fit_is_named():
    mapping, synthesis, judge = (Golden(name).state for name in ("mapping", "synthesis32", "d32"))
    lost = {name: array for name, array in mapping.items() if name != "Dense3.bias"}
    message = refusal("stylegan.mapping", lost | {"Dense3.extra": np.ones(2)})
    assert "Missing: Dense3.bias (40,)" in message
    assert "unknown: Dense3.extra (2,)" in message
    lost = {name: array for name, array in synthesis.items() if name != "noise3"}
    message = refusal("stylegan.synthesis", lost | {"noise4": np.ones((1, 1, 8, 8))})
    assert "Missing: noise3 (1, 1, 8, 8)" in message
    assert "noise4 (1, 1, 8, 8) instead of (1, 1, 16, 16)" in message
    lost = {name: array for name, array in judge.items() if name != "4x4.Dense0.bias"}
    assert "Missing: 4x4.Dense0.bias (24,)" in refusal("stylegan.discriminator", lost)
    for kind, other in (("mapping", judge), ("synthesis", mapping), ("discriminator", synthesis), ("generator", judge)):
        assert "not one of stylegan" in refusal(f"stylegan.{kind}", other)
    assert 'no setting "mapping_lrmull"' in refusal("stylegan.mapping", mapping, mapping_lrmull=1)
    assert '"auto"' in refusal("stylegan.synthesis", synthesis, fused_scale="yes")
    odd = dict(judge)
    for name, rows in (("32x32.Conv0", 3), ("32x32.Conv1_down", 3)):
        odd[f"{name}.weight"] = np.ones((rows, 3, 30, 30), "float32")
    assert "24 at 2x2" in refusal("stylegan.discriminator", odd), "not all of these widths follow from 30 at 32 px"


@pytest.mark.parametrize("name", ["mapping", "synthesis32", "d32", "g64_truncation"])
def test_networks_come_back_from_a_keras_file(name, tmp_path):
    golden = Golden(name)
    kind = {"synthesis32": "synthesis", "d32": "discriminator", "g64_truncation": "generator"}.get(name, "mapping")
    network = importers.build(f"stylegan.{kind}", golden.state)
    x = golden["dlatents" if kind == "synthesis" else "x" if kind == "discriminator" else "z"]
    network.save(tmp_path / "network.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "network.keras")(x), network(x))
