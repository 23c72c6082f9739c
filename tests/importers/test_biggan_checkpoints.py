"""BigGAN and BigGAN-deep: the golden files through our importer, and a TF-Hub state written again here."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from support.papers import network, shapes_alone

import ganzoo
from ganzoo import importers
from ganzoo.errors import GanzooError
from ganzoo.importers import biggan as reader
from ganzoo.models import biggan

GOLDEN = Path(__file__).parents[1] / "golden"
FILES = {
    "biggan32_g_ch8": ("biggan.generator", 80_739),
    "biggan32_d_ch8": ("biggan.discriminator", 67_169),
    "biggan128_g_ch8": ("biggan.generator", 577_748),
    "biggan128_d_ch8": ("biggan.discriminator", 602_858),
    "bigganDeep128_g_ch8": ("biggan-deep.generator", 421_276),
    "bigganDeep128_d_ch8": ("biggan-deep.discriminator", 130_050),
}


def nhwc(x):
    return np.moveaxis(x, 1, -1)


class Golden:
    def __init__(self, name):
        self.arrays = dict(np.load(GOLDEN / f"{name}.npz", allow_pickle=False))
        self.facts = json.loads((GOLDEN / f"{name}.json").read_text())
        self.state = {key[2:]: value for key, value in self.arrays.items() if key.startswith("w.")}
        self.network = importers.build(FILES[name][0], self.state)
        x = self.arrays["z"] if "z" in self.arrays else nhwc(self.arrays["x"])
        self.inputs = [tf.constant(x), tf.constant(self.arrays["y"])]

    def places(self):
        """reference name -> Place."""
        kind = FILES[self.facts["id"]][0]
        if kind.endswith("generator"):
            facts = reader._generator_facts(kind, self.state)
            return reader._generator_places(facts)(self.network)
        return reader._discriminator_places(reader._discriminator_facts(kind, self.state))(self.network)


@pytest.mark.parametrize("name", FILES)
def test_golden_network(name):
    """Both outputs, the buffers after one training forward (u of every spectral norm among them), and all gradients."""
    golden = Golden(name)
    assert sum(int(np.prod(v.shape)) for v in golden.network.trainable_variables) == FILES[name][1]
    tolerance = golden.facts["tolerance"]["forward"]
    if name.startswith("bigganDeep"):
        tolerance = {"rtol": 1e-3, "atol": 1e-3}  # of training: a chain of norms over two images (parity/README)

    def close(ours, key, tolerance=golden.facts["tolerance"]["forward"]):
        theirs = golden.arrays[key]
        theirs = nhwc(theirs) if theirs.ndim == 4 else theirs.reshape(ours.shape)
        np.testing.assert_allclose(ours, theirs, **tolerance, err_msg=key)

    close(golden.network(golden.inputs, training=False), "out_eval")
    close(golden.network(golden.inputs, training=False), "out_eval")  # which kept no u
    with tf.GradientTape() as tape:
        tape.watch(golden.inputs[0])
        out = golden.network(golden.inputs, training=True)
        loss = 0.5 * tf.reduce_mean(tf.square(out)) + tf.reduce_mean(out)
    close(out, "out_train", tolerance)
    np.testing.assert_allclose(loss, golden.arrays["probe_loss"], rtol=1e-4, atol=1e-5)

    places = golden.places()
    buffers = [key for key in golden.arrays if key.startswith("after.") and not key.endswith(".sv0")]
    assert sum(key.endswith(".u0") for key in buffers) > 10
    for key in buffers:
        place = places[key.removeprefix("after.")]
        # The array as it is in the file, turned as the importer turns it.
        np.testing.assert_allclose(place.variable, place.convert(golden.arrays[key]), **tolerance, err_msg=key)

    parameters = [key.removeprefix("grad_norm.") for key in golden.arrays if key.startswith("grad_norm.")]
    assert len(parameters) == len(golden.network.trainable_variables)
    gradients = tape.gradient(loss, [golden.inputs[0], *(places[p].variable.value for p in parameters)])
    keys = ["grad_norm_input0", *(f"grad_norm.{p}" for p in parameters)]
    total = float(golden.arrays["grad_norm_total"])
    for key, gradient in zip(keys, gradients, strict=True):
        theirs = float(golden.arrays[key])
        assert abs(float(tf.norm(gradient)) - theirs) <= 2e-3 * theirs + 1e-4 * total, key


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda s: s.pop("blocks.1.0.conv1.weight"), r"Missing: blocks\.1\.0\.conv1\.weight"),
        (lambda s: s.update(extra=np.zeros(3)), r"Unknown: extra \(3,\)"),
        (lambda s: s.pop("linear.weight"), 'it has no "linear.weight"'),
        (lambda s: s.update({"linear.bias": np.full(512, np.nan)}), "Not finite: linear.bias"),
        (lambda s: s.update({"blocks.9.0.conv1.weight": np.zeros((1, 1, 3, 3))}), "is not a size of BigGAN"),
    ],
)
def test_a_state_that_does_not_fit_is_said(change, word):
    state = dict(Golden("biggan32_g_ch8").state)
    change(state)
    with pytest.raises(GanzooError, match=word):
        importers.build("biggan.generator", state)


def test_truncation_is_for_hub_states():
    with pytest.raises(GanzooError, match="TF-Hub"):
        importers.build("biggan.generator", Golden("biggan32_g_ch8").state, truncation=0.5)


def test_synchronised_statistics_have_other_names():
    """`--cross_replica` keeps running_mean in an inner module, `--mybn` stored_mean there, and a counter."""
    golden = Golden("biggan32_g_ch8")
    moved = {}
    for key, value in golden.state.items():
        prefix, _, last = key.rpartition(".")
        if last.startswith("stored_"):
            key = f"{prefix}.bn.{ {'stored_mean': 'running_mean', 'stored_var': 'running_var'}[last] }"
            moved[f"{prefix}.bn.num_batches_tracked"] = np.array(3)
        moved[f"module.{key}"] = value
    again = importers.build("biggan.generator", moved)
    np.testing.assert_array_equal(again(golden.inputs), golden.network(golden.inputs))


def test_a_checkpoint_becomes_a_model_folder(tmp_path):
    """G and D of one run, at 32 px: sizes inferred; it samples as the reference does, and would train on."""
    g, d = Golden("biggan32_g_ch8"), Golden("biggan32_d_ch8")
    np.savez(tmp_path / "G_ema.npz", **g.state)
    np.savez(tmp_path / "D.npz", **d.state)
    folder = importers.import_checkpoint(
        "biggan", tmp_path / "G_ema.npz", tmp_path / "model", discriminator=tmp_path / "D.npz"
    )
    model = ganzoo.load(folder)
    assert (model.image_size, model.classes, model.latent_dim, model.shared_dim) == (32, 10, 64, 16)
    assert (model.hierarchical, model.deep, model.attention, model.ngf, model.ndf) == (True, False, 0, 8, 8)
    expected = np.round((nhwc(g.arrays["out_eval"]) + 1) * 127.5)
    made = model.generate(latents=g.arrays["z"], label=g.arrays["y"])
    assert np.abs(made.astype(int) - expected).max() <= 1
    np.testing.assert_allclose(model.discriminator(d.inputs)[:, 0], d.arrays["out_eval"].ravel(), rtol=1e-4, atol=1e-4)


# ---- TF-Hub's BigGAN-deep in the layout of its PyTorch port ------------------------------------------------------------
class Hub:
    """A random state of a small generator of 128 px, and what the port computes of it, in NumPy's and TensorFlow's words."""

    width, latent, shared, classes, steps = 8, 6, 4, 5, 51
    blocks = (
        (0, 16, 16),
        (1, 16, 16),
        (0, 16, 16),
        (1, 16, 8),
        (0, 8, 8),
        (1, 8, 4),
        (0, 4, 4),
        (1, 4, 2),
        None,
        (0, 2, 2),
        (1, 2, 1),
    )

    def __init__(self):
        self.rng, self.state = np.random.default_rng(0), {}
        self.state["embeddings.weight"] = self.draw(self.shared, self.classes)
        cond = self.latent + self.shared
        self.spectral("generator.gen_z", 16 * 16 * self.width, cond)
        for index, block in enumerate(self.blocks):
            name = f"generator.layers.{index}"
            if block is None:
                c = 2 * self.width
                for part, shape in (
                    ("theta", (c // 8, c)),
                    ("phi", (c // 8, c)),
                    ("g", (c // 2, c)),
                    ("o_conv", (c, c // 2)),
                ):
                    self.spectral(f"{name}.snconv1x1_{part}", *shape, 1, 1, bias=False)
                self.state[f"{name}.gamma"] = np.array([0.6], np.float32)
                continue
            before, after = (m * self.width for m in block[1:])
            middle = before // 4
            shapes = ((middle, before, 1, 1), (middle, middle, 3, 3), (middle, middle, 3, 3), (after, middle, 1, 1))
            for i, shape in enumerate(shapes):
                self.spectral(f"{name}.conv_{i}", *shape)
                self.norm(f"{name}.bn_{i}", before if i == 0 else middle)
                for part in ("scale", "offset"):
                    self.spectral(f"{name}.bn_{i}.{part}", before if i == 0 else middle, cond, bias=False)
        self.norm("generator.bn", self.width)
        self.state["generator.bn.weight"] = 1 + 0.1 * self.draw(self.width)
        self.state["generator.bn.bias"] = self.draw(self.width)
        self.spectral("generator.conv_to_rgb", self.width, self.width, 3, 3)

    def draw(self, *shape):
        return self.rng.normal(size=shape).astype(np.float32)

    def spectral(self, name, *shape, bias=True):
        self.state[f"{name}.weight_orig"] = 0.5 * self.draw(*shape)
        rows, v = self.state[f"{name}.weight_orig"].reshape(shape[0], -1), self.draw(int(np.prod(shape[1:])))
        for _ in range(3):  # near the singular vectors and not at them: another iteration would change sigma
            u = rows @ (v / np.linalg.norm(v))
            v = rows.T @ (u / np.linalg.norm(u))
        self.state[f"{name}.weight_u"], self.state[f"{name}.weight_v"] = u / np.linalg.norm(u), v / np.linalg.norm(v)
        if bias:
            self.state[f"{name}.bias"] = 0.1 * self.draw(shape[0])

    def norm(self, name, width):
        self.state[f"{name}.running_means"] = 0.1 * self.draw(self.steps, width)
        self.state[f"{name}.running_vars"] = self.rng.uniform(0.5, 2, (self.steps, width)).astype(np.float32)

    def weight(self, name):
        w = self.state[f"{name}.weight_orig"]
        return w / (self.state[f"{name}.weight_u"] @ w.reshape(len(w), -1) @ self.state[f"{name}.weight_v"])

    def conv(self, x, name):
        y = tf.nn.conv2d(x, tf.transpose(self.weight(name), (2, 3, 1, 0)), 1, "SAME")
        return y + self.state[f"{name}.bias"] if f"{name}.bias" in self.state else y

    def normalised(self, x, name, truncation, condition=None):
        at = truncation * (self.steps - 1)
        low = min(int(at), self.steps - 2)
        mean, variance = (
            (1 - (at - low)) * s[low] + (at - low) * s[low + 1]
            for s in (self.state[f"{name}.running_means"], self.state[f"{name}.running_vars"])
        )
        x = (x - mean) / np.sqrt(variance + 1e-4)
        if condition is None:
            return tf.nn.relu(x * self.state[f"{name}.weight"] + self.state[f"{name}.bias"])
        gain, offset = (condition @ self.weight(f"{name}.{part}").T for part in ("scale", "offset"))
        return tf.nn.relu(x * (1 + gain[:, None, None]) + offset[:, None, None])

    def __call__(self, z, labels, truncation):
        condition = np.concatenate([z, self.state["embeddings.weight"].T[labels]], axis=1)
        x = condition @ self.weight("generator.gen_z").T + self.state["generator.gen_z.bias"]
        x = tf.reshape(x, [-1, 4, 4, 16 * self.width])
        for index, block in enumerate(self.blocks):
            name = f"generator.layers.{index}"
            if block is None:
                x = self.attended(x, name)
                continue
            up = (lambda t: tf.repeat(tf.repeat(t, 2, 1), 2, 2)) if block[0] else lambda t: t
            y = self.conv(self.normalised(x, f"{name}.bn_0", truncation, condition), f"{name}.conv_0")
            y = self.conv(up(self.normalised(y, f"{name}.bn_1", truncation, condition)), f"{name}.conv_1")
            y = self.conv(self.normalised(y, f"{name}.bn_2", truncation, condition), f"{name}.conv_2")
            y = self.conv(self.normalised(y, f"{name}.bn_3", truncation, condition), f"{name}.conv_3")
            x = y + up(x[..., : y.shape[-1]])
        x = self.normalised(x, "generator.bn", truncation)
        return tf.tanh(self.conv(x, "generator.conv_to_rgb")[..., :3])

    def attended(self, x, name):
        q, k, v = (self.conv(x, f"{name}.snconv1x1_{part}") for part in ("theta", "phi", "g"))
        k, v = (tf.nn.max_pool2d(t, 2, 2, "VALID") for t in (k, v))
        flat = [tf.reshape(t, [x.shape[0], -1, t.shape[-1]]) for t in (q, k, v)]
        mean = tf.nn.softmax(flat[0] @ tf.transpose(flat[1], (0, 2, 1))) @ flat[2]
        return x + 0.6 * self.conv(tf.reshape(mean, [*x.shape[:3], -1]), f"{name}.snconv1x1_o_conv")


def test_a_hub_state_samples_as_the_port_does():
    """On the grid of truncations as the port; between two of its 51 points the nearer one weighs more (the port exchanges
    the two)."""
    hub = Hub()
    z, y = hub.draw(2, hub.latent), np.array([3, 0])
    for truncation in (1.0, 0.4, 0.43):
        network = importers.build("biggan-deep.generator", hub.state, truncation=truncation)
        np.testing.assert_allclose(network([z, y]), hub(z, y, truncation), atol=2e-4, err_msg=str(truncation))
    with pytest.raises(GanzooError, match=r"\(0, 1\]"):
        importers.build("biggan-deep.generator", hub.state, truncation=0)


# ---- parameters of the paper's networks, counted in the official code -------------------------------------------------------------------
@pytest.mark.parametrize(
    ("build", "settings", "expected"),
    [
        (biggan.build_generator, {}, 70_433_988),
        (biggan.build_discriminator, {}, 87_982_370),
        (biggan.build_generator, {"ngf": 64}, 31_978_628),
        (biggan.build_discriminator, {"ndf": 64}, 39_448_258),
        (biggan.build_generator, {"image_size": 256, "latent_dim": 140}, 82_235_844),
        (biggan.build_discriminator, {"image_size": 256}, 99_225_890),
        (biggan.build_generator, {"image_size": 512, "latent_dim": 160}, 82_468_068),
        (biggan.build_generator, {"deep": True, "latent_dim": 128, "ngf": 128}, 50_244_484),
        (biggan.build_discriminator, {"deep": True, "ndf": 128}, 34_590_210),
        (biggan.build_generator, {"deep": True, "latent_dim": 128, "ngf": 128, "image_size": 256}, 55_736_708),
        (biggan.build_discriminator, {"deep": True, "ndf": 128, "image_size": 256}, 38_247_426),
    ],
)
def test_parameter_counts_of_the_papers_networks(build, settings, expected):
    with shapes_alone():
        made = network(build, **settings)
    assert sum(int(np.prod(v.shape)) for v in made.trainable_variables) == expected
