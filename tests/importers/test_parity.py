"""Parity with the reference implementations: the golden files, and random networks rebuilt here in PyTorch.

Every golden file holds the reference's weights, an input, and what the reference makes of them. The weights go in through
our importer, by name. Inputs and outputs are NCHW there.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import ganzoo
from ganzoo import importers

GOLDEN = Path(__file__).parents[1] / "golden"
FILES = {
    "pix2pix_unet256_bn_ngf6": "pix2pix.generator",
    "pix2pix_unet128_bn_ngf8": "pix2pix.generator",
    "pix2pix_unet128_in_ngf8": "pix2pix.generator",
    "patchgan70_bn_ndf8_256": "pix2pix.discriminator",
    "patchgan70_in_ndf8_128": "pix2pix.discriminator",
    "patchgan16_bn_ndf8_64": "pix2pix.discriminator",
    "pixelgan_bn_ndf8_64": "pix2pix.discriminator",
    "cyclegan_resnet6_in_ngf8_128": "cyclegan.generator",
    "cyclegan_resnet9_in_ngf8_96": "cyclegan.generator",
    "dcgan_g_ngf8_nc3": "dcgan.generator",
    "dcgan_d_ndf8_nc3": "dcgan.discriminator",
    "gan3d_g_base4": "3d-gan.generator",
    "gan3d_d_base4": "3d-gan.discriminator",
    "gancls_g_ngf4": "text-to-image.generator",
    "gancls_d_ndf4": "text-to-image.discriminator",
    "context_encoder_g_nef4": "context-encoder.generator",
    "context_encoder_d_ndf4": "context-encoder.discriminator",
}


class Golden:
    """One golden file: `state`, the arrays, the sidecar, and the network that our importer makes of it."""

    def __init__(self, name, kind=None):
        self.arrays = dict(np.load(GOLDEN / f"{name}.npz", allow_pickle=False))
        self.facts = json.loads((GOLDEN / f"{name}.json").read_text())
        self.state = {key[2:]: value for key, value in self.arrays.items() if key.startswith("w.")}
        self.network = importers.build(kind or FILES[name], self.state)
        self.input = nhwc(self.arrays["z" if "z" in self.arrays else "x"])
        # Of the volumes the file holds every other voxel only.
        self.kept = np.s_[:, ::2, 1::2, ::2] if name == "gan3d_g_base4" else np.s_[:]
        if "text" in self.arrays:
            self.input = [self.input, self.arrays["text"]]
        self.probability = name.startswith("dcgan_d")  # the reference ends in a sigmoid, ours in the logit

    def output(self, training):
        logits = self.network(self.input, training=training)
        return tf.sigmoid(logits) if self.probability else logits

    def close(self, ours, key):
        ours = np.asarray(ours)[self.kept] if key.startswith("out_") else np.asarray(ours)
        expected = self.arrays[key]
        expected = nhwc(expected) if expected.ndim >= 4 else expected.reshape(ours.shape)
        np.testing.assert_allclose(ours, expected, **self.facts["tolerance"]["forward"], err_msg=key)


def nhwc(x):
    return np.moveaxis(x, 1, -1)


def matched(network, state):
    """name -> variable, found by equal values and not by our own table of names, so that the table is tested too."""
    variables, found = list(network.variables), {}
    for name, array in state.items():
        if name.endswith("num_batches_tracked"):
            continue
        array = np.moveaxis(array, (1, 0), (-2, -1)) if array.ndim >= 2 else array
        same = [v for v in variables if v.shape == array.shape and np.array_equal(v, array)]
        assert len(same) == 1, f"{name} is in {len(same)} variables"
        found[name] = same[0]
        variables = [v for v in variables if v is not same[0]]
    assert not variables, "variables that the reference does not have"
    return found


def probe(out):
    return 0.5 * tf.reduce_mean(tf.square(out)) + tf.reduce_mean(out)


# CycleGAN's discriminator is pix2pix's with instance norm, on one image.
@pytest.mark.parametrize(("name", "kind"), [*FILES.items(), ("patchgan70_in_ndf8_128", "cyclegan.discriminator")])
def test_golden_network(name, kind):
    """Eval output, train output, buffers after one train forward, and the norm of every gradient."""
    golden = Golden(name, kind)
    variables = matched(golden.network, golden.state)
    golden.close(golden.output(training=False), "out_eval")
    if golden.probability:
        golden.close(golden.network(golden.input, training=False), "logit_eval")

    training = golden.facts["grad_mode"] == "train"
    inputs = [tf.constant(x) for x in (golden.input if isinstance(golden.input, list) else [golden.input])]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        out = golden.network(inputs if len(inputs) > 1 else inputs[0], training=training)
        loss = probe(tf.sigmoid(out) if golden.probability else out)
    if training:
        golden.close(tf.sigmoid(out) if golden.probability else out, "out_train")
        if golden.probability:
            golden.close(out, "logit_train")
    np.testing.assert_allclose(loss, golden.arrays["probe_loss"], rtol=1e-4, atol=1e-5)

    buffers = {key[len("after.") :] for key in golden.arrays if key.startswith("after.")}
    for buffer in buffers - {b for b in buffers if b.endswith("num_batches_tracked")}:
        golden.close(variables[buffer], f"after.{buffer}")

    parameters = [key[len("grad_norm.") :] for key in golden.arrays if key.startswith("grad_norm.")]
    assert len(parameters) == len(golden.network.trainable_variables)
    gradients = tape.gradient(loss, [*inputs, *(variables[p].value for p in parameters)])
    norms = [float(tf.norm(g)) for g in gradients]
    keys = [f"grad_norm_input{i}" for i in range(len(inputs))] + [f"grad_norm.{p}" for p in parameters]
    total = float(golden.arrays["grad_norm_total"])
    for key, ours in zip(keys, norms, strict=True):
        theirs = float(golden.arrays[key])
        assert abs(ours - theirs) <= 2e-3 * theirs + 1e-4 * total, key
    assert np.sqrt(np.sum(np.square(norms[len(inputs) :]))) == pytest.approx(total, rel=2e-3)


@pytest.mark.parametrize("name", ["pix2pix_unet128_bn_ngf8", "dcgan_g_ngf8_nc3"])
def test_buffers_do_not_move_in_eval_mode(name):
    golden = Golden(name)
    golden.output(training=False)
    matched(golden.network, golden.state)


def test_pix2pix_samples_as_the_reference_does_at_test_time(tmp_path):
    """Its test time is training mode at batch 1: the same picture, whatever else is in the batch, and no buffer moves."""
    golden = Golden("pix2pix_unet256_bn_ngf6")
    np.savez(tmp_path / "g.npz", **golden.state)
    model = ganzoo.load(importers.import_checkpoint("pix2pix", tmp_path / "g.npz", tmp_path / "model", dropout=0.0))
    neighbour = np.random.default_rng(0).uniform(-1, 1, golden.input.shape).astype(np.float32)
    batch = np.concatenate([golden.input, neighbour])
    golden.close(model.per_image_sampler()(batch)[:1], "out_train")
    matched(model.generator, golden.state)

    expected = np.round((nhwc(golden.arrays["out_train"]) + 1) * 127.5)
    assert np.abs(model.generate(batch)[:1].astype(int) - expected).max() <= 1


# ---- other widths, channels, depths and rectangles: the same networks written again in PyTorch -----------------------


class Torch:
    """A random state in torch's names, and the layers that read it. Batch norm in training updates the state."""

    def __init__(self, norm="batch", seed=0):
        self.torch = pytest.importorskip("torch")
        self.f = self.torch.nn.functional
        self.norm, self.training = norm, False
        self.random = np.random.default_rng(seed)
        self.state = {}

    def draw(self, name, shape, scale=1.0, shift=0.0):
        values = self.random.normal(size=shape) * scale + shift
        self.state[name] = self.torch.tensor(values, dtype=self.torch.float32)

    def add_conv(self, name, shape, bias):
        self.draw(f"{name}.weight", shape, scale=(shape[1] * shape[2] * shape[3]) ** -0.5)
        if bias:
            self.draw(f"{name}.bias", shape[:1], scale=0.1)

    def add_transposed(self, name, shape, bias):
        self.draw(f"{name}.weight", shape, scale=(shape[0] * 4) ** -0.5)
        if bias:
            self.draw(f"{name}.bias", shape[1:2], scale=0.1)

    def add_norm(self, name, width):
        if self.norm == "batch":
            self.draw(f"{name}.weight", [width], 0.2, 1.0)
            self.draw(f"{name}.bias", [width], 0.2)
            self.draw(f"{name}.running_mean", [width], 0.2)
            self.state[f"{name}.running_var"] = self.torch.tensor(self.random.uniform(0.5, 2, width)).float()
            self.state[f"{name}.num_batches_tracked"] = self.torch.tensor(7)

    def conv(self, name, x, stride, padding):
        return self.f.conv2d(x, self.state[f"{name}.weight"], self.state.get(f"{name}.bias"), stride, padding)

    def transposed(self, name, x, stride, padding, output_padding=0):
        weight, bias = self.state[f"{name}.weight"], self.state.get(f"{name}.bias")
        return self.f.conv_transpose2d(x, weight, bias, stride, padding, output_padding)

    def normed(self, name, x):
        if self.norm == "none":
            return x
        if self.norm == "instance":
            return self.f.instance_norm(x, eps=1e-5)
        values = [self.state[f"{name}.{v}"] for v in ("running_mean", "running_var", "weight", "bias")]
        return self.f.batch_norm(x, *values, training=self.training, momentum=0.1, eps=1e-5)


class TorchUNet(Torch):
    """U-Net of pix2pix's PyTorch code (models/networks.py; 1611.07004, appendix 6.1.1); blocks nest as child 1 of the
    outermost and child 3 of every other."""

    def __init__(self, inputs, outputs, ngf, depth, norm):
        super().__init__(norm)
        self.depth = depth
        widths = [ngf * min(2**level, 8) for level in range(depth)]
        bias = norm == "instance"
        for level in range(1, depth + 1):
            down, down_norm, up, up_norm = self.names(level)
            self.add_conv(down, (widths[level - 1], widths[level - 2] if level > 1 else inputs, 4, 4), bias)
            come = widths[level - 1] * (1 if level == depth else 2)
            self.add_transposed(up, (come, widths[level - 2] if level > 1 else outputs, 4, 4), bias or level == 1)
            if level > 1:
                self.add_norm(up_norm, widths[level - 2])
                if level < depth:
                    self.add_norm(down_norm, widths[level - 1])

    def names(self, level):
        if level == 1:
            return "model.model.0", None, "model.model.3", None
        inside = "model.model.1." + "model.3." * (level - 2) + "model."
        children = (1, 2, 3, 4) if level == self.depth else (1, 2, 5, 6)
        return tuple(f"{inside}{child}" for child in children)

    def __call__(self, x, level=1):
        down, down_norm, up, up_norm = self.names(level)
        y = self.conv(down, x if level == 1 else self.f.leaky_relu(x, 0.2), 2, 1)
        if level < self.depth:
            y = self(self.normed(down_norm, y) if level > 1 else y, level + 1)
        y = self.transposed(up, self.f.relu(y), 2, 1)
        return self.torch.tanh(y) if level == 1 else self.torch.cat([x, self.normed(up_norm, y)], dim=1)


class TorchPatchGAN(Torch):
    """PatchGAN of the same file (NLayerDiscriminator; 1611.07004, appendix 6.1.2); n_layers 0 is PixelGAN."""

    def __init__(self, channels, ndf, n_layers, norm):
        super().__init__(norm)
        kernel, root = (4, "model") if n_layers else (1, "net")
        widths = [ndf * min(2**layer, 8) for layer in range(max(n_layers, 1) + 1)]
        self.layers = []
        for index, (come, go) in enumerate(zip([channels, *widths], [*widths, 1], strict=True)):
            first, last = index == 0, index == len(widths)
            name = f"{root}.{0 if first else 3 * index - 1}"
            plain = first or (
                last and n_layers > 0
            )  # no norm behind it; PixelGAN's last layer follows the rule of norms
            self.add_conv(name, (go, come, kernel, kernel), bias=plain or norm == "instance")
            norm_name = None if first or last else f"{root}.{3 * index}"
            if norm_name:
                self.add_norm(norm_name, go)
            self.layers.append((name, norm_name, 2 if index < n_layers else 1, 1 if n_layers else 0))

    def __call__(self, x):
        for name, norm_name, stride, padding in self.layers:
            x = self.conv(name, x, stride, padding)
            if norm_name:
                x = self.normed(norm_name, x)
            if name != self.layers[-1][0]:
                x = self.f.leaky_relu(x, 0.2)
        return x


class TorchDCGAN(Torch):
    """Both networks of the PyTorch example (dcgan/main.py; 1511.06434, section 3), `stages` doublings; an odd kernel pads
    (k - 1) / 2."""

    def __init__(self, stages, width, channels, latent_dim=None, kernel=4):
        super().__init__()
        self.stages, self.kernel, self.latent_dim = stages, kernel, latent_dim
        widths = [width * 2**stage for stage in range(stages)]
        if latent_dim is None:
            for index, (come, go) in enumerate(zip([channels, *widths], [*widths, 1], strict=True)):
                k = 4 if index == stages else kernel
                self.add_conv(f"main.{max(3 * index - 1, 0)}", (go, come, k, k), bias=False)
                if 0 < index < stages:
                    self.add_norm(f"main.{3 * index}", go)
            return
        widths.reverse()
        for index, (come, go) in enumerate(zip([latent_dim, *widths], [*widths, channels], strict=True)):
            k = 4 if index == 0 else kernel
            self.add_transposed(f"main.{3 * index}", (come, go, k, k), bias=False)
            if index < stages:
                self.add_norm(f"main.{3 * index + 1}", go)

    def __call__(self, x):
        for index in range(self.stages + 1):
            if self.latent_dim is None:
                last = index == self.stages
                x = self.conv(
                    f"main.{max(3 * index - 1, 0)}", x, 1 if last else 2, 0 if last else (self.kernel - 1) // 2
                )
                x = self.normed(f"main.{3 * index}", x) if 0 < index < self.stages else x
                x = x if last else self.f.leaky_relu(x, 0.2)
            else:
                options = (1, 0, 0) if index == 0 else (2, (self.kernel - 1) // 2, self.kernel % 2)
                x = self.transposed(f"main.{3 * index}", x, *options)
                x = self.f.relu(self.normed(f"main.{3 * index + 1}", x)) if index < self.stages else self.torch.tanh(x)
        return x


def compare(kind, reference, shape, tolerance=2e-5):
    """Eval output, train output and buffers of our network against the PyTorch one, on a random NCHW input."""
    state = {name: tensor.clone() for name, tensor in reference.state.items()}
    network = importers.build(kind, state)
    x = reference.random.normal(size=shape).astype(np.float32)
    variables = matched(network, {name: tensor.numpy() for name, tensor in state.items()})
    for training in (False, True):
        reference.training = training
        theirs = nhwc(reference(reference.torch.tensor(x)).numpy())
        ours = np.asarray(network(nhwc(x), training=training))
        np.testing.assert_allclose(ours, theirs.reshape(ours.shape), rtol=tolerance, atol=tolerance)
    for name, variable in variables.items():
        if "running_" in name:
            np.testing.assert_allclose(variable, reference.state[name].numpy(), rtol=tolerance, atol=tolerance)
            assert not np.array_equal(variable, state[name].numpy()), f"{name} did not move"
    return ours.shape


@pytest.mark.parametrize(
    ("inputs", "outputs", "ngf", "depth", "norm", "size"),
    [
        (1, 3, 5, 5, "batch", (64, 32)),
        (4, 2, 3, 6, "batch", (64, 192)),
        (3, 1, 4, 5, "instance", (96, 64)),
        (2, 2, 4, 5, "none", (32, 64)),
    ],
)
def test_unet_of_other_shapes(inputs, outputs, ngf, depth, norm, size):
    shape = compare("pix2pix.generator", TorchUNet(inputs, outputs, ngf, depth, norm), (2, inputs, *size))
    assert shape == (2, *size, outputs)


@pytest.mark.parametrize(
    ("channels", "ndf", "n_layers", "norm", "size", "patches"),
    [
        (6, 3, 3, "batch", (286, 70), (33, 6)),
        (4, 5, 2, "batch", (51, 71), (10, 15)),
        (5, 4, 1, "instance", (35, 50), (15, 23)),
        (2, 2, 5, "batch", (128, 96), (2, 1)),
        (7, 3, 4, "none", (64, 96), (2, 4)),
        (4, 3, 0, "batch", (9, 17), (9, 17)),
        (4, 3, 0, "instance", (9, 17), (9, 17)),
        (4, 3, 0, "none", (8, 5), (8, 5)),
    ],
)
def test_patchgan_of_other_shapes_and_odd_sizes(channels, ndf, n_layers, norm, size, patches):
    reference = TorchPatchGAN(channels, ndf, n_layers, norm)
    assert compare("pix2pix.discriminator", reference, (2, channels, *size)) == (2, *patches, 1)


@pytest.mark.parametrize(
    ("stages", "width", "channels", "latent_dim", "kernel"),
    [(3, 6, 1, 7, 4), (5, 2, 4, 100, 4), (1, 5, 3, 9, 4), (2, 4, 3, 8, 5)],
)
def test_dcgan_generator_of_other_depths(stages, width, channels, latent_dim, kernel):
    reference = TorchDCGAN(stages, width, channels, latent_dim, kernel)
    side = 4 * 2**stages
    assert compare("dcgan.generator", reference, (5, latent_dim, 1, 1)) == (5, side, side, channels)


@pytest.mark.parametrize(
    ("stages", "width", "channels", "kernel", "size", "shape"),
    [
        (3, 6, 1, 4, (32, 32), (5, 1)),
        (5, 2, 4, 4, (128, 128), (5, 1)),
        (2, 4, 3, 5, (16, 16), (5, 1)),
        (3, 3, 3, 4, (32, 72), (5, 1, 6, 1)),
    ],
)
def test_dcgan_discriminator_of_other_depths_and_rectangles(stages, width, channels, kernel, size, shape):
    reference = TorchDCGAN(stages, width, channels, kernel=kernel)
    assert compare("dcgan.discriminator", reference, (5, channels, *size)) == shape
