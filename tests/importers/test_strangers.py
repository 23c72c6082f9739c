"""Checkpoints as strangers publish them: what wraps the weights, other names, other norms; against twins in PyTorch."""

import json
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from safetensors import numpy as safetensors
from support.cli_runs import refused, run

import ganzoo
from ganzoo import importers
from ganzoo.errors import GanzooError

torch = pytest.importorskip("torch")
nn = torch.nn
GOLDEN = Path(__file__).parents[1] / "golden"
TOLERANCE = {"rtol": 0, "atol": 1e-5}


# ---- twins in PyTorch ------------------------------------------------------------------------------------------------
def drawn(network, seed=0):
    """The network with random values in all that it keeps, running statistics and biases included; in eval mode."""
    torch.manual_seed(seed)
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            fan_in = tensor[0].numel() if tensor.ndim > 1 else 0
            tensor.copy_(torch.randn_like(tensor) * fan_in**-0.5 if fan_in else 0.5 + torch.rand_like(tensor))
    return network.eval()


def norm_of(kind, width):
    return {
        "affine": lambda: nn.InstanceNorm2d(width, affine=True),
        "instance": lambda: nn.InstanceNorm2d(width),
        "batch": lambda: nn.BatchNorm2d(width),
    }[kind]()


class Block(nn.Module):
    def __init__(self, width, norm, bias, dropout, called):
        super().__init__()
        conv = [nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3, bias=bias), norm_of(norm, width)]
        again = [nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3, bias=bias), norm_of(norm, width)]
        setattr(self, called, nn.Sequential(*conv, nn.ReLU(), *([nn.Dropout(0.5)] if dropout else []), *again))
        self.called = called

    def forward(self, x):
        return x + getattr(self, self.called)(x)


class ResNet(nn.Module):
    """CycleGAN's generator with the norms, biases and names that re-implementations give it."""

    def __init__(
        self, norm="instance", *, bias=True, dropout=False, block="conv_block", called="model", n_blocks=2, ngf=2
    ):
        super().__init__()
        layers = [nn.ReflectionPad2d(3), nn.Conv2d(3, ngf, 7, bias=bias), norm_of(norm, ngf), nn.ReLU()]
        for width in (ngf, 2 * ngf):
            down = nn.Conv2d(width, 2 * width, 3, 2, 1, bias=bias)
            layers += [down, norm_of(norm, 2 * width), nn.ReLU()]
        layers += [Block(4 * ngf, norm, bias, dropout, block) for _ in range(n_blocks)]
        for width in (4 * ngf, 2 * ngf):
            up = nn.ConvTranspose2d(width, width // 2, 3, 2, 1, 1, bias=bias)
            layers += [up, norm_of(norm, width // 2), nn.ReLU()]
        setattr(self, called, nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(ngf, 3, 7), nn.Tanh()))
        self.called = called

    def forward(self, x):
        return getattr(self, self.called)(x)


def patchgan(norm, bias=True):
    """The three-layer discriminator of 34 px patches, as `model` of a module."""
    layers = [nn.Conv2d(3, 2, 4, 2, 1), nn.LeakyReLU(0.2)]
    for come, go, stride in ((2, 4, 2), (4, 8, 1)):
        layers += [nn.Conv2d(come, go, 4, stride, 1, bias=bias), norm_of(norm, go), nn.LeakyReLU(0.2)]
    return nn.ModuleDict({"model": nn.Sequential(*layers, nn.Conv2d(8, 1, 4, 1, 1))})


class DCGAN(nn.Module):
    """The generator of the PyTorch tutorial for 16 px: main.0, main.1, main.3, main.4, main.6."""

    def __init__(self, bias=False):
        super().__init__()
        widths, layers = (6, 8, 4), []
        for index, (come, go) in enumerate(((6, 8), (8, 4))):
            layers += [
                nn.ConvTranspose2d(come, go, 4, 1 + (index > 0), index, bias=bias),
                nn.BatchNorm2d(go),
                nn.ReLU(),
            ]
        self.main = nn.Sequential(*layers, nn.ConvTranspose2d(widths[-1], 3, 4, 2, 1, bias=False), nn.Tanh())

    def forward(self, z):
        return self.main(z[:, :, None, None])


def critic():
    """DCGAN's discriminator for 16 px without its sigmoid."""
    norm = [nn.Conv2d(4, 8, 4, 2, 1, bias=False), nn.BatchNorm2d(8), nn.LeakyReLU(0.2)]
    main = nn.Sequential(nn.Conv2d(3, 4, 4, 2, 1, bias=False), nn.LeakyReLU(0.2), *norm, nn.Conv2d(8, 1, 4, bias=False))
    return nn.ModuleDict({"main": main})


def answer(network, x):
    """What a twin makes of an NHWC array or of latents, channels last."""
    with torch.no_grad():
        made = network(torch.tensor(x if x.ndim == 2 else x.transpose(0, 3, 1, 2))).numpy()
    return made.transpose(0, 2, 3, 1)


def latents():
    return np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32)


def pictures(side=16):
    return np.random.default_rng(0).uniform(-1, 1, (2, side, side + 4, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def faces():
    return drawn(DCGAN())


def same_faces(network, twin):
    np.testing.assert_allclose(network(latents(), training=False), answer(twin, latents()), **TOLERANCE)


# ---- what wraps the weights ------------------------------------------------------------------------------------------
WRAPPERS = {
    "bare": lambda s: s,
    "state_dict": lambda s: {"state_dict": s, "epoch": 3},
    "model": lambda s: {
        "model": s,
        "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 1.0}]},
    },
    "netG": lambda s: {"netG": s, "fixed_noise": torch.ones(2, 6), "G_losses": [0.5, 0.25]},
    "g_ema": lambda s: {"g_ema": s, "args": {"size": 16}},
    "generator": lambda s: {"generator": s, "step": torch.tensor(7)},
    "netG_state_dict": lambda s: {"netG_state_dict": s},
    "nested": lambda s: {"model": {"netG": s}, "config": {"nz": 6}},
    "lightning": lambda s: {
        "state_dict": {f"generator.{k}": v for k, v in s.items()}
        | {f"discriminator.{k}": v for k, v in critic().state_dict().items()}
        | {"fid.inception.weight": torch.ones(3, 3)},
        "pytorch-lightning_version": "2.0",
    },
}
PREFIXES = ["module.", "_orig_mod.", "generator.", "module.generator.", "generator.module.", "_orig_mod.module.", "netG._orig_mod.", "model.generator."]  # fmt: skip


@pytest.mark.parametrize("suffix", [".pth", ".tar", ".ckpt", ".bin"])
def test_every_ending_of_pytorch_is_read(suffix, faces, tmp_path):
    torch.save({"netG_state_dict": faces.state_dict()}, tmp_path / f"weights{suffix}")
    same_faces(importers.build("dcgan.generator", importers.read_state(tmp_path / f"weights{suffix}")), faces)


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_the_weights_are_found_in_what_a_training_script_saves(wrapper, faces, tmp_path):
    wrapped = WRAPPERS[wrapper](faces.state_dict())
    same_faces(importers.build("dcgan.generator", wrapped), faces)
    torch.save(wrapped, tmp_path / "a.pth")
    out = importers.import_checkpoint("dcgan", tmp_path / "a.pth", tmp_path / "out")
    same_faces(ganzoo.load(out).generator, faces)
    origin = json.loads((out / "manifest.json").read_text())["imported"]["generator"]
    keys = {"bare": None, "nested": "model.netG", "lightning": "state_dict.generator"}
    assert origin.get("key") == keys.get(wrapper, wrapper)
    assert "matched_by_order" not in origin


@pytest.mark.parametrize("prefix", PREFIXES)
def test_prefixes_are_cut_also_combined(prefix, faces, tmp_path):
    state = {f"{prefix}{name}": tensor for name, tensor in faces.state_dict().items()}
    with warnings.catch_warnings(action="error", category=importers.MatchedByOrder):
        same_faces(importers.build("dcgan.generator", state), faces)
        torch.save({"state_dict": state, "n": 1}, tmp_path / "a.ckpt")
        same_faces(importers.build("dcgan.generator", importers.read_state(tmp_path / "a.ckpt")), faces)
        arrays = {name: tensor.numpy() for name, tensor in state.items()}
        np.savez(tmp_path / "a.npz", **arrays)
        safetensors.save_file({name: np.asarray(array) for name, array in arrays.items()}, tmp_path / "a.safetensors")
        for name in ("a.npz", "a.safetensors"):
            same_faces(importers.build("dcgan.generator", importers.read_state(tmp_path / name)), faces)


def test_an_averaged_model_is_read_without_its_counter(faces):
    averaged = torch.optim.swa_utils.AveragedModel(faces)
    same_faces(importers.build("dcgan.generator", averaged.state_dict()), faces)


def test_a_name_that_stands_twice_is_refused(faces):
    state = faces.state_dict()
    with pytest.raises(GanzooError, match=r'"main\.0\.weight" twice'):
        importers.build("dcgan.generator", {**state, "module.main.0.weight": state["main.0.weight"]})


def test_where_several_fit_they_are_listed_and_a_key_chooses(faces, tmp_path):
    average = drawn(DCGAN(), seed=1)
    both = {"g": faces.state_dict(), "ema": {"netG": average.state_dict()}, "d": critic().state_dict()}
    torch.save(both, tmp_path / "a.pth")

    with pytest.raises(GanzooError, match=r'several states that fit dcgan\.generator: "g", "ema\.netG"\. .*--key NAME'):
        importers.import_checkpoint("dcgan", tmp_path / "a.pth", tmp_path / "no")
    with pytest.raises(GanzooError, match=r'several states: "g", "ema\.netG", "d"\.'):
        importers.read_state(tmp_path / "a.pth")
    with pytest.raises(GanzooError, match=r'several states that fit dcgan\.generator: "g", "ema\.netG"\. .*key=NAME'):
        importers.build("dcgan.generator", both)
    assert not (tmp_path / "no").exists()
    for key, twin in (("g", faces), ("ema.netG", average), ("netG", average)):
        same_faces(importers.build("dcgan.generator", both, key=key), twin)
        same_faces(importers.build("dcgan.generator", importers.read_state(tmp_path / "a.pth", key=key)), twin)
    with pytest.raises(GanzooError, match='no state "netE"'):
        importers.read_state(tmp_path / "a.pth", key="netE")
    with pytest.raises(GanzooError, match=r'may mean "a\.G", "b\.G"'):
        importers.build("dcgan.generator", {"a": {"G": both["g"]}, "b": {"G": average.state_dict()}}, key="G")
    with pytest.raises(GanzooError, match="leave the key out"):
        importers.build("dcgan.generator", both["g"], key="netG")
    with pytest.raises(GanzooError, match=r'"g", "ema\.netG", "d", and none of them fits cyclegan\.generator'):
        importers.build("cyclegan.generator", both)

    refusal = refused("import", "dcgan", tmp_path / "a.pth", "-o", tmp_path / "no")
    assert '"g", "ema.netG"' in refusal
    done = run("import", "dcgan", tmp_path / "a.pth", "--key", "netG", "-o", tmp_path / "out")
    assert 'generator: from "ema.netG" in a.pth.' in done.stderr
    same_faces(ganzoo.load(tmp_path / "out").generator, average)


def test_both_networks_come_from_one_file(faces, tmp_path):
    d = drawn(critic())
    torch.save({"netG": faces.state_dict(), "netD": d.state_dict(), "old": critic().state_dict()}, tmp_path / "a.pth")
    files = {"generator": tmp_path / "a.pth", "discriminator": tmp_path / "a.pth", "out": tmp_path / "out"}
    with pytest.raises(GanzooError, match=r'fit dcgan\.discriminator: "netD", "old"\. .*--discriminator-key NAME'):
        importers.import_checkpoint("dcgan", **files)
    model = ganzoo.load(importers.import_checkpoint("dcgan", **files, discriminator_key="netD"))
    same_faces(model.generator, faces)
    x = np.random.default_rng(0).uniform(-1, 1, (2, 16, 16, 3)).astype(np.float32)
    logits = answer(d["main"], x)[:, 0, 0]
    np.testing.assert_allclose(model.discriminator(x, training=False), logits, **TOLERANCE)


class Hostile:
    """Unpickling it creates a file: the proof of code that ran."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("suffix", [".tar", ".ckpt", ".bin"])
def test_a_hostile_pickle_is_refused_whatever_its_ending_and_however_deep(suffix, faces, tmp_path):
    path, proof = tmp_path / f"a{suffix}", tmp_path / "proof"
    torch.save({"netG_state_dict": faces.state_dict(), "config": {"a": [Hostile(proof)]}}, path)
    for key in (None, "netG_state_dict"):
        with pytest.raises(GanzooError, match=r"refused: its pickle asks for .*open"):
            importers.read_state(path, key=key)
    path.write_bytes(pickle.dumps({"netG_state_dict": Hostile(proof)}, protocol=2))
    with pytest.raises(GanzooError, match="may run any code"):
        importers.import_checkpoint("dcgan", path, tmp_path / "out")
    assert not proof.exists()
    assert not (tmp_path / "out").exists()


def test_dictionaries_within_themselves_end(faces, tmp_path):
    loop = {"netG": faces.state_dict()}
    loop |= {f"again{i}": loop for i in range(2000)}
    torch.save(loop, tmp_path / "a.pth")
    same_faces(importers.build("dcgan.generator", importers.read_state(tmp_path / "a.pth")), faces)


def test_numbers_that_no_layer_has_do_not_make_endless_networks(faces):
    state = {name: tensor.numpy() for name, tensor in faces.state_dict().items()}
    far = "1" + 9 * "0"
    for kind, name in (("dcgan.generator", "main.{}.weight"), ("cyclegan.generator", "model.{}.conv_block.1.weight")):
        for number in (far, 5000 * "9"):
            with pytest.raises(GanzooError, match="not"):
                importers.build(kind, {**state, name.format(number): np.ones((2, 2, 4, 4))})


# ---- other norms, biases, dropout ------------------------------------------------------------------------------------
RESNETS = {
    "the reference": {},
    "affine": {"norm": "affine"},
    "affine, other names": {"norm": "affine", "block": "block"},
    "affine, all names other": {"norm": "affine", "block": "layers", "called": "net"},
    "no biases": {"bias": False},
    "no biases, other names": {"bias": False, "block": "block"},
    "affine, no biases": {"norm": "affine", "bias": False, "block": "block"},
    "batch": {"norm": "batch", "bias": False},
    "batch, biases": {"norm": "batch"},
    "batch, other names": {"norm": "batch", "block": "block", "called": "main"},
    "dropout": {"dropout": True},
    "dropout, affine": {"dropout": True, "norm": "affine"},
    "dropout, batch": {"dropout": True, "norm": "batch", "bias": False},
    "many blocks": {"n_blocks": 11, "norm": "affine", "block": "block"},
}


@pytest.mark.parametrize("form", RESNETS)
@pytest.mark.filterwarnings("ignore::ganzoo.importers.MatchedByOrder")
def test_every_form_of_a_resnet_draws_what_its_twin_draws(form, tmp_path):
    options = RESNETS[form]
    twin, x = drawn(ResNet(**options)), pictures()
    state = {name: tensor.numpy() for name, tensor in twin.state_dict().items()}
    network = importers.build("cyclegan.generator", twin.state_dict())
    np.testing.assert_allclose(network(x, training=False), answer(twin, x), **TOLERANCE)
    safetensors.save_file({name: np.asarray(array) for name, array in state.items()}, tmp_path / "G_A2B.safetensors")
    model = ganzoo.load(importers.import_checkpoint("cyclegan", tmp_path / "G_A2B.safetensors", tmp_path / "out"))
    np.testing.assert_allclose(model.translator()(x, training=False), answer(twin, x), **TOLERANCE)
    norm = options.get("norm", "instance")
    assert (model.norm, model.affine) == ("batch" if norm == "batch" else "instance", norm == "affine")
    assert model.dropout == (0.5 if options.get("dropout") else 0.0)
    made = model.generate((x * 127.5 + 127.5).astype(np.uint8))
    assert made.shape == x.shape


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("norm", ["instance", "affine", "batch"])
def test_a_patchgan_of_any_norm_judges_as_its_twin(norm, bias):
    twin, x = drawn(patchgan(norm, bias)), pictures(24)
    network = importers.build("cyclegan.discriminator", twin.state_dict())
    np.testing.assert_allclose(network(x, training=False), answer(twin["model"], x), **TOLERANCE)


def test_biases_before_batch_norm_are_folded_in_training_too(tmp_path):
    twin = drawn(DCGAN(bias=True))
    network = importers.build("dcgan.generator", twin.state_dict())
    same_faces(network, twin)
    torch.save({"netG": twin.state_dict()}, tmp_path / "a.tar")
    same_faces(ganzoo.load(importers.import_checkpoint("dcgan", tmp_path / "a.tar", tmp_path / "out")).generator, twin)
    made = network(latents(), training=True)
    np.testing.assert_allclose(made, answer(twin.train(), latents()), **TOLERANCE)
    same_faces(network, twin.eval())  # and the running statistics moved alike


def test_imported_dropout_trains_and_samples_without():
    twin, x = drawn(ResNet(dropout=True)), pictures()
    network = importers.build("cyclegan.generator", twin.state_dict())
    rows = tf.constant([[0, 0], [0, 1]])
    np.testing.assert_array_equal(network([x, rows], training=True), network(x, training=True))
    assert np.abs(network(x, training=True) - network(x, training=False)).max() > 1e-3
    without = importers.build("cyclegan.generator", twin.state_dict(), dropout=0.0)
    np.testing.assert_allclose(without(x, training=True), network(x, training=False), **TOLERANCE)


# ---- other names -----------------------------------------------------------------------------------------------------
NETWORKS = {
    "dcgan_g_ngf8_nc3": "dcgan.generator",
    "dcgan_d_ndf8_nc3": "dcgan.discriminator",
    "pix2pix_unet128_bn_ngf8": "pix2pix.generator",
    "pix2pix_unet128_in_ngf8": "pix2pix.generator",
    "patchgan70_bn_ndf8_256": "pix2pix.discriminator",
    "pixelgan_bn_ndf8_64": "pix2pix.discriminator",
    "patchgan70_in_ndf8_128": "cyclegan.discriminator",
    "cyclegan_resnet6_in_ngf8_128": "cyclegan.generator",
    "gan3d_g_base4": "3d-gan.generator",
    "gan3d_d_base4": "3d-gan.discriminator",
}


def renamed(state):
    """The state with a name of its own for every layer, numbered so that 10 comes before 2 in the alphabet."""
    prefixes = list(dict.fromkeys(name.rpartition(".")[0] for name in state))
    return {
        f"layers.{prefixes.index(name.rpartition('.')[0])}.{name.rpartition('.')[2]}": a for name, a in state.items()
    }


@pytest.mark.parametrize("golden", NETWORKS)
def test_layers_of_other_names_are_matched_by_order_and_it_is_said(golden, tmp_path):
    with np.load(GOLDEN / f"{golden}.npz", allow_pickle=False) as stored:
        state = {key[2:]: stored[key] for key in stored.files if key.startswith("w.")}
    expected = [np.asarray(weight) for weight in importers.build(NETWORKS[golden], state).weights]
    other = renamed(state)
    safetensors.save_file({name: np.asarray(a) for name, a in other.items()}, tmp_path / "a.safetensors")
    for form in (other, importers.read_state(tmp_path / "a.safetensors")):
        with pytest.warns(
            importers.MatchedByOrder, match=r"matched by order and shape \(layers\.0 as .* and \d+ more\)"
        ):
            network = importers.build(NETWORKS[golden], form)
        for weight, value in zip(network.weights, expected, strict=True):
            np.testing.assert_array_equal(weight, value)


def test_the_command_line_says_what_was_matched(tmp_path):
    twin = drawn(ResNet("affine", block="block"))
    torch.save({f"module.{name}": tensor for name, tensor in twin.state_dict().items()}, tmp_path / "G_A2B_epoch33.pth")
    done = run("import", "cyclegan", tmp_path / "G_A2B_epoch33.pth", "-o", tmp_path / "out", "--json")
    assert "Note: generator_ab: layers of other names" in done.stderr
    assert (
        "(model.10.block.1 as model.10.conv_block.1, model.10.block.5 as model.10.conv_block.5 and 6 more)"
        in done.stderr
    )
    assert "Warning" not in done.stderr
    matched = json.loads(done.stdout)["imported"]["generator_ab"]["matched_by_order"]
    assert matched["model.11.block.6"] == "model.11.conv_block.6"
    with pytest.warns(importers.MatchedByOrder, match="generator_ab: layers"):
        importers.import_checkpoint("cyclegan", tmp_path / "G_A2B_epoch33.pth", tmp_path / "again")


def test_other_names_of_another_network_are_still_refused():
    """A ResNet that enlarges its maps by resizing has convolutions where ours has transposed ones."""
    state = {name: tensor.numpy() for name, tensor in ResNet(block="block").state_dict().items()}
    state["model.12.weight"] = state["model.12.weight"].transpose(1, 0, 2, 3)
    with pytest.raises(GanzooError) as caught:
        importers.build("cyclegan.generator", state)
    assert "Of another shape: model.12.weight (4, 8, 3, 3) instead of (8, 4, 3, 3)" in str(caught.value)
    assert "Before that, layers of other names than the reference's were matched by order" in str(caught.value)
    state["model.10.attention.gamma"] = np.ones((1, 1))
    with pytest.raises(GanzooError, match="no residual block"):
        importers.build("cyclegan.generator", state)


def test_files_of_different_norms_are_not_one_model(tmp_path):
    torch.save(ResNet("affine").state_dict(), tmp_path / "latest_net_G_A.pth")
    torch.save(ResNet("instance").state_dict(), tmp_path / "latest_net_G_B.pth")
    with pytest.raises(GanzooError, match="affine is True in one and False in another"):
        importers.import_checkpoint("cyclegan", tmp_path / "latest_net_G_A.pth", tmp_path / "out")


def test_an_imported_network_with_dropout_is_exported(tmp_path):
    pytest.importorskip("tf2onnx")
    torch.save(drawn(ResNet(dropout=True)).state_dict(), tmp_path / "G_A2B.pth")
    out = importers.import_checkpoint("cyclegan", tmp_path / "G_A2B.pth", tmp_path / "out")
    ganzoo.export(out, tmp_path / "export", formats=("savedmodel", "onnx"))
    parity = json.loads((tmp_path / "export" / "parity.json").read_text())["formats"]
    worst = {
        name: max(facts["max_error"] for outputs in part["endpoints"].values() for facts in outputs.values())
        for name, part in parity.items()
    }
    assert worst.keys() == {"savedmodel", "onnx"}
    assert max(worst.values()) < 0.005  # a step of 8 bits
