"""Importers: what is inferred, what is refused and how it is said, the file formats, and whole preset folders."""

import contextlib
import json
import pickle
import sys

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import numpy as safetensors
from support.golden import golden_state

import ganzoo
from ganzoo import importers
from ganzoo.errors import GanzooError


@pytest.fixture(scope="module")
def patchgan():
    return golden_state("patchgan16_bn_ndf8_64")


@pytest.fixture(scope="module")
def dcgan_g():
    return golden_state("dcgan_g_ngf8_nc3")


@pytest.fixture(scope="module")
def dcgan_d():
    return golden_state("dcgan_d_ndf8_nc3")


def unet(depth=5, ngf=2, channels=3, norm="batch", seed=0):
    """A random U-Net state in the reference's names, small enough to save and load in a moment."""
    rng = np.random.default_rng(seed)
    widths = [ngf * min(2**level, 8) for level in range(depth)]
    state = {}

    def conv(name, come, go, transposed=False, bias=norm == "instance"):
        shape = (come, go, 4, 4) if transposed else (go, come, 4, 4)
        state[f"{name}.weight"] = rng.normal(size=shape).astype(np.float32) * 0.2
        if bias:
            state[f"{name}.bias"] = rng.normal(size=go).astype(np.float32)

    def batch_norm(name, width):
        if norm == "batch":
            for part in ("weight", "bias", "running_mean", "running_var"):
                state[f"{name}.{part}"] = rng.uniform(0.5, 1.5, width).astype(np.float32)
            state[f"{name}.num_batches_tracked"] = np.int64(3)

    conv("model.model.0", channels, ngf)
    conv("model.model.3", 2 * ngf, channels, transposed=True, bias=True)
    inside = "model.model.1.model."
    for level in range(1, depth):
        inner = level == depth - 1
        up = 3 if inner else 5
        conv(f"{inside}1", widths[level - 1], widths[level])
        conv(f"{inside}{up}", widths[level] * (1 if inner else 2), widths[level - 1], transposed=True)
        batch_norm(f"{inside}{up + 1}", widths[level - 1])
        if not inner:
            batch_norm(f"{inside}2", widths[level])
        inside += "3.model."
    return state


# ---- build: names ----------------------------------------------------------------------------------------------------


def outputs(kind, state, x, **keywords):
    return np.asarray(importers.build(kind, state, **keywords)(x, training=False))


def test_prefix_counters_order_precision_and_case_do_not_matter(patchgan):
    x = np.random.default_rng(0).normal(size=(2, 16, 24, 6)).astype(np.float32)
    expected = outputs("pix2pix.discriminator", patchgan, x)
    variants = [
        {f"module.{name}": array for name, array in patchgan.items()},
        {name: array for name, array in patchgan.items() if not name.endswith("num_batches_tracked")},
        dict(reversed(patchgan.items())),
        {name: array.astype(np.float16) for name, array in patchgan.items()},  # golden weights are exact in float16
    ]
    for state in variants:
        np.testing.assert_array_equal(outputs("pix2pix.discriminator", state, x), expected)
    np.testing.assert_array_equal(outputs("Pix2Pix.discriminator", patchgan, x), expected)


def test_torch_tensors_are_taken_as_they_are(patchgan):
    torch = pytest.importorskip("torch")
    x = np.ones((1, 8, 8, 6), np.float32)
    state = {name: torch.nn.Parameter(torch.tensor(a)) if a.ndim else torch.tensor(a) for name, a in patchgan.items()}
    expected = outputs("pix2pix.discriminator", patchgan, x)
    np.testing.assert_array_equal(outputs("pix2pix.discriminator", state, x), expected)
    half = {name: t.bfloat16() if t.is_floating_point() else t for name, t in state.items()}
    np.testing.assert_allclose(outputs("pix2pix.discriminator", half, x), expected, rtol=0.1, atol=0.1)


def test_instance_norm_statistics_of_old_checkpoints_are_left_out():
    state = unet(norm="instance")
    x = np.random.default_rng(0).normal(size=(1, 32, 64, 3)).astype(np.float32)
    old = state | {"model.model.1.model.2.running_mean": np.ones(4), "model.model.1.model.2.running_var": np.ones(4)}
    np.testing.assert_array_equal(outputs("pix2pix.generator", old, x), outputs("pix2pix.generator", state, x))


def refusal(kind, state, **keywords):
    with pytest.raises(GanzooError) as caught:
        importers.build(kind, state, **keywords)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_missing_unknown_and_misshapen_parameters_are_named(patchgan):
    state = dict(patchgan)
    del state["model.3.running_var"]
    state["model.9.weight"] = np.ones((2, 2))
    state["model.5.weight"] = np.ones((1, 16, 3, 3))
    state["model.0.bias"] = np.full(8, np.nan)
    del state["model.9.weight"]
    state["extra.weight"] = np.ones((2, 2))
    message = refusal("pix2pix.discriminator", state)
    assert "Missing: model.3.running_var (16,)" in message
    assert "unknown: extra.weight (2, 2)" in message
    assert "of another shape: model.5.weight (1, 16, 3, 3) instead of (1, 16, 4, 4)" in message
    assert "not finite: model.0.bias" in message


@pytest.mark.parametrize("lost", ["model.model.1.model.3.model.1.weight", "model.model.1.model.2.bias"])
def test_a_lost_parameter_of_a_unet_is_missing_and_not_inferred_away(lost):
    state = unet()
    del state[lost]
    message = refusal("pix2pix.generator", state)
    assert f"Missing: {lost}" in message
    assert "unknown" not in message


def test_the_file_of_another_network_is_refused(patchgan, dcgan_g, dcgan_d):
    assert 'has no "model.model.0.weight"' in refusal("pix2pix.generator", patchgan)
    assert 'has no "model.0.weight"' in refusal("pix2pix.discriminator", dcgan_g)
    assert "last layer is main.11" in refusal("dcgan.generator", dcgan_d)
    assert "last layer is main.12" in refusal("dcgan.discriminator", dcgan_g)
    assert 'has no "main.0.weight"' in refusal("dcgan.generator", patchgan)
    assert "4 dimensions" in refusal("dcgan.generator", dcgan_g | {"main.0.weight": np.ones((2, 3))})
    assert "nothing inside" in refusal("pix2pix.generator", {k: v for k, v in unet().items() if "model.1." not in k})


@pytest.mark.parametrize("state", [{}, [1, 2], None])
def test_what_is_no_state_is_refused(state):
    assert "non-empty mapping" in refusal("dcgan.generator", state)


def test_a_state_of_something_else_than_numbers_is_refused(dcgan_g):
    assert 'no numbers under "main.1.bias"' in refusal("dcgan.generator", dcgan_g | {"main.1.bias": np.array(["a"])})


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("pix2pix.generater", 'Did you mean "pix2pix.generator"?'),
        ("pixtopix.generator", 'Did you mean "pix2pix.generator"?'),
        ("dcgan", "dcgan.generator"),
        ("gan.generator", "importer"),
        (
            "zzz",
            "Accepted: 3d-gan.generator, 3d-gan.discriminator, biggan.generator, biggan.discriminator, ",
        ),
    ],
)
def test_an_unknown_kind_names_the_near_ones(kind, said, patchgan):
    message = refusal(kind, patchgan)
    assert f'"{kind}"' in message
    assert said in message


def test_an_unknown_keyword_names_the_near_one(dcgan_g):
    assert 'Did you mean "epsilon"?' in refusal("dcgan.generator", dcgan_g, epsilom=1e-8)


# ---- build: what cannot be seen, and call forms ----------------------------------------------------------------------


def test_a_keyword_overrides_what_cannot_be_seen(dcgan_g):
    z = np.random.default_rng(0).normal(size=(2, 100)).astype(np.float32)
    near = outputs("dcgan.generator", dcgan_g, z, epsilon=1e-5)
    far = outputs("dcgan.generator", dcgan_g, z, epsilon=1.0)
    np.testing.assert_array_equal(near, outputs("dcgan.generator", dcgan_g, z))
    assert np.abs(near - far).max() > 0.1


def test_dropout_is_off_unless_asked_for_and_sits_where_pytorch_has_it():
    state, x = unet(depth=6), np.random.default_rng(0).normal(size=(2, 64, 64, 3)).astype(np.float32)
    plain = importers.build("pix2pix.generator", state)
    dropping = importers.build("pix2pix.generator", state, dropout_placement="pytorch")
    np.testing.assert_array_equal(plain(x, training=False), dropping(x, training=False))
    assert np.abs(plain(x, training=True) - dropping(x, training=True)).max() > 1e-3
    np.testing.assert_array_equal(dropping(x, training=True), dropping(x, training=True))
    rows = tf.constant([[0, 0], [0, 1]])
    np.testing.assert_array_equal(dropping([x, rows], training=True), dropping(x, training=True))
    assert np.abs(dropping([x, rows + 5], training=True) - dropping(x, training=True)).max() > 1e-3

    def dropped(network):
        return {layer.name for layer in network.network.layers if layer.name.endswith("dropout")}

    assert dropped(dropping) == {"up5_dropout"}
    paper = importers.build("pix2pix.generator", state, dropout=0.5, dropout_placement="paper")
    assert dropped(paper) == {"up6_dropout", "up5_dropout", "up4_dropout"}


def test_latents_may_be_flat_or_one_by_one(dcgan_g):
    network = importers.build("dcgan.generator", dcgan_g)
    z = np.random.default_rng(0).normal(size=(3, 100)).astype(np.float32)
    np.testing.assert_array_equal(network(z), network(z.reshape(3, 1, 1, 100)))


def test_imported_networks_trace_train_and_come_back_from_a_keras_file(dcgan_d, dcgan_g, tmp_path):
    import keras

    x = np.random.default_rng(0).normal(size=(2, 64, 64, 3)).astype(np.float32)
    for kind, state, value in [
        ("dcgan.discriminator", dcgan_d, x),
        ("dcgan.generator", dcgan_g, x[:, 0, :50, :2].reshape(2, 100)),
        ("pix2pix.generator", unet(depth=5), x),
    ]:
        keywords = {"dropout": 0.5} if kind.startswith("pix2pix") else {}
        network = importers.build(kind, state, **keywords)
        expected = network(value, training=False)
        graph = tf.function(lambda inputs, network=network: network(inputs, training=False))
        np.testing.assert_allclose(graph(value), expected, rtol=1e-5, atol=1e-5)
        network.save(tmp_path / "network.keras")
        again = keras.models.load_model(tmp_path / "network.keras")
        np.testing.assert_allclose(again(value, training=False), expected, rtol=1e-6, atol=1e-6)


# ---- read_state: formats and refusals --------------------------------------------------------------------------------


def same(state, expected):
    assert list(state) == list(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(state[name], array)


def test_npz_and_safetensors_are_read(tmp_path, patchgan):
    np.savez(tmp_path / "a.npz", **patchgan)
    same(importers.read_state(tmp_path / "a.npz"), patchgan)
    safetensors.save_file({name: np.asarray(a) for name, a in patchgan.items()}, tmp_path / "a.safetensors")
    read = importers.read_state(str(tmp_path / "a.safetensors"))
    same({name: read[name] for name in patchgan}, patchgan)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("wrapper", [None, "state_dict", "model_state_dict"])
def test_torch_files_are_read(tmp_path, patchgan, legacy, wrapper):
    torch = pytest.importorskip("torch")
    tensors = {name: torch.tensor(array) for name, array in patchgan.items()}
    content = {wrapper: tensors, "epoch": 3, "optimizer": {"lr": 1e-3}} if wrapper else tensors
    torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=not legacy)
    same(importers.read_state(tmp_path / "a.pth"), patchgan)


def test_bfloat16_is_widened(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    tensors = {"w": torch.tensor([[1.5, -3.25], [0.0, 1e-3]]).bfloat16()}
    expected = tensors["w"].float().numpy()
    save_file(tensors, tmp_path / "a.safetensors")
    torch.save(tensors, tmp_path / "a.pt")
    for name in ("a.safetensors", "a.pt"):
        read = importers.read_state(tmp_path / name)["w"]
        assert read.dtype == np.float32
        np.testing.assert_array_equal(read, expected)


def unreadable(path):
    with pytest.raises(GanzooError) as caught:
        importers.read_state(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class Hostile:
    """Unpickling it creates a file: the proof of code that ran."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_hostile_pickle_is_refused_and_never_run(tmp_path):
    torch = pytest.importorskip("torch")
    proof = tmp_path / "proof"
    torch.save({"model.0.weight": Hostile(proof)}, tmp_path / "zip.pth")
    torch.save({"model.0.weight": Hostile(proof)}, tmp_path / "legacy.pt", _use_new_zipfile_serialization=False)
    (tmp_path / "bare.pth").write_bytes(pickle.dumps(Hostile(proof), protocol=2))
    np.savez(tmp_path / "objects.npz", weight=np.array([Hostile(proof)], dtype=object))
    for name in ("zip.pth", "legacy.pt", "bare.pth", "objects.npz"):
        message = unreadable(tmp_path / name)
        assert "refused" in message
        assert "may run any code" in message
        assert "weights_only" not in message  # torch's own advice is to switch the protection off
        assert not proof.exists(), name
    assert "open" in unreadable(tmp_path / "zip.pth")
    # The file is a real weapon: an ordinary unpickler fires it.
    pickle.loads((tmp_path / "bare.pth").read_bytes()).close()
    assert proof.exists()


def test_a_whole_pickled_network_is_refused(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "net.pth")
    assert "torch.save(net.state_dict(), path)" in unreadable(tmp_path / "net.pth")


def test_what_holds_no_state_dict_is_refused(tmp_path):
    torch = pytest.importorskip("torch")
    contents = {"list": [1, 2], "numbers": {"a": 3}, "keys": {1: torch.ones(2)}, "empty": {}}
    contents["sparse"] = {"a": torch.eye(3).to_sparse()}
    for name, content in contents.items():
        torch.save(content, tmp_path / f"{name}.pth")
    assert "holds a list, not a state dict" in unreadable(tmp_path / "list.pth")
    assert 'a int under "a"' in unreadable(tmp_path / "numbers.pth")
    assert "not a state dict" in unreadable(tmp_path / "keys.pth")
    assert "contains no weights" in unreadable(tmp_path / "empty.pth")
    assert "sparse" in unreadable(tmp_path / "sparse.pth")


def test_missing_empty_and_foreign_files_are_refused(tmp_path):
    assert "There is no checkpoint file" in unreadable(tmp_path / "nothing.pth")
    (tmp_path / "folder.pth").mkdir()
    assert "It is a folder" in unreadable(tmp_path / "folder.pth")
    for suffix in (".pth", ".npz", ".safetensors"):
        (tmp_path / f"empty{suffix}").touch()
        assert "empty (0 bytes)" in unreadable(tmp_path / f"empty{suffix}")
    (tmp_path / "a.h5").write_bytes(b"x")
    assert "Accepted: .pth, .pt, .safetensors, .npz" in unreadable(tmp_path / "a.h5")
    np.save(tmp_path / "array.npy", np.ones(3))
    (tmp_path / "array.npy").rename(tmp_path / "array.npz")
    assert "cannot be read as npz: it is not a zip file" in unreadable(tmp_path / "array.npz")


def test_a_decompression_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("ganzoo.importers.read._ALWAYS_FITS", 2**20)
    np.savez_compressed(tmp_path / "bomb.npz", weight=np.zeros(2**22, np.float32))
    assert "16,777,216 bytes; at most 1,048,576 are read" in unreadable(tmp_path / "bomb.npz")
    np.savez_compressed(tmp_path / "fine.npz", weight=np.random.default_rng(0).normal(size=2**18))
    assert importers.read_state(tmp_path / "fine.npz")["weight"].shape == (2**18,)


def test_an_archive_of_an_unknown_zip_version_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", weight=np.ones(3))
    data = bytearray((tmp_path / "a.npz").read_bytes())
    data[data.index(b"PK\x01\x02") + 6] = 64  # the version needed to extract: 6.4
    (tmp_path / "a.npz").write_bytes(data)
    assert "zip file version 6.4" in unreadable(tmp_path / "a.npz")


@pytest.fixture(scope="module")
def whole_files(tmp_path_factory, patchgan):
    """The bytes of one good file of each format."""
    folder = tmp_path_factory.mktemp("whole")
    np.savez(folder / "a.npz", **patchgan)
    safetensors.save_file({name: np.asarray(a) for name, a in patchgan.items()}, folder / "a.safetensors")
    torch = pytest.importorskip("torch")
    torch.save({name: torch.tensor(a) for name, a in patchgan.items()}, folder / "a.pth")
    torch.save(
        {n: torch.tensor(a) for n, a in patchgan.items()}, folder / "b.pth", _use_new_zipfile_serialization=False
    )
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@given(cut=st.floats(0.001, 0.999))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_truncated_files_are_refused_at_any_byte(tmp_path, whole_files, cut):
    for name, data in whole_files.items():
        (tmp_path / name).write_bytes(data[: max(1, int(len(data) * cut))])
        unreadable(tmp_path / name)


@given(start=st.floats(0, 1), noise=st.binary(min_size=1, max_size=40))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_files_are_read_or_refused_but_never_crash(tmp_path, whole_files, start, noise):
    for name, data in whole_files.items():
        at = int(start * (len(data) - 1))
        (tmp_path / name).write_bytes(data[:at] + noise + data[at + len(noise) :])
        with contextlib.suppress(GanzooError):
            importers.read_state(tmp_path / name)


def test_without_torch_the_install_line_is_named(tmp_path, monkeypatch):
    (tmp_path / "a.pth").write_bytes(b"something")
    monkeypatch.setitem(sys.modules, "torch", None)
    assert "pip install 'ganzoo[import]'" in unreadable(tmp_path / "a.pth")


# ---- import_checkpoint: whole folders --------------------------------------------------------------------------------


def test_a_pix2pix_checkpoint_becomes_a_folder_that_loads(tmp_path):
    state = unet(depth=6, ngf=2)
    np.savez(tmp_path / "latest_net_G.npz", **state)
    out = importers.import_checkpoint("pix2pix", tmp_path / "latest_net_G.npz", tmp_path / "my-pix2pix")
    model = ganzoo.load(out)
    assert (model.num_downs, model.ngf, model.norm) == (6, 2, "batch")
    assert (model.dropout, model.dropout_placement) == (0.5, "pytorch")  # it samples with dropout, as its authors do
    assert model.weights_source.startswith(str(out))

    x = np.random.default_rng(0).uniform(-1, 1, (2, 64, 128, 3)).astype(np.float32)
    inputs = [tf.constant(x), tf.constant([[0, 0], [0, 1]])]
    network = importers.build("pix2pix.generator", state, dropout=0.5)
    for training in (False, True):
        expected = network(inputs, training=training)
        np.testing.assert_allclose(model.generator(inputs, training=training), expected, rtol=1e-6, atol=1e-6)
    images = (x * 127.5 + 127.5).astype(np.uint8)
    np.testing.assert_array_equal(model.generate(images), ganzoo.load(out).generate(images))
    origin = json.loads((out / "manifest.json").read_text())["imported"]["generator"]
    assert origin["file"] == "latest_net_G.npz"
    assert len(origin["sha256"]) == 64


def test_a_discriminator_comes_along(tmp_path, dcgan_g, dcgan_d):
    np.savez(tmp_path / "g.npz", **dcgan_g)
    np.savez(tmp_path / "d.npz", **dcgan_d)
    out = importers.import_checkpoint("DCGAN", tmp_path / "g.npz", tmp_path / "m", discriminator=tmp_path / "d.npz")
    model = ganzoo.load(out)
    z = np.random.default_rng(0).normal(size=(2, 100)).astype(np.float32)
    images = model.generator(z, training=False)
    np.testing.assert_allclose(images, outputs("dcgan.generator", dcgan_g, z), rtol=1e-6, atol=1e-6)
    logits = outputs("dcgan.discriminator", dcgan_d, np.asarray(images))
    np.testing.assert_allclose(model.discriminator(images, training=False), logits, rtol=1e-6, atol=1e-6)
    assert model.generate(3, seed=1).shape == (3, 64, 64, 3)


def test_an_average_of_the_generator_starts_where_the_generator_is(tmp_path, dcgan_g):
    np.savez(tmp_path / "g.npz", **dcgan_g)
    out = importers.import_checkpoint("dcgan", tmp_path / "g.npz", tmp_path / "m", ema_decay=0.9)
    model = ganzoo.load(out)
    for shadow, weight in zip(model.ema_generator.weights, model.generator.weights, strict=True):
        np.testing.assert_array_equal(shadow, weight)


def test_files_that_do_not_belong_together_are_refused_and_nothing_is_written(tmp_path, patchgan, dcgan_g):
    np.savez(tmp_path / "g.npz", **unet(norm="instance"))
    np.savez(tmp_path / "g4.npz", **unet(channels=4))
    np.savez(tmp_path / "d.npz", **patchgan)
    out = tmp_path / "out"
    with pytest.raises(GanzooError, match='norm "instance" and the discriminator "batch"'):
        importers.import_checkpoint("pix2pix", tmp_path / "g.npz", out, discriminator=tmp_path / "d.npz")
    with pytest.raises(GanzooError, match="8 channels together"):
        importers.import_checkpoint("pix2pix", tmp_path / "g4.npz", out, discriminator=tmp_path / "d.npz")
    with pytest.raises(GanzooError, match='No importer reads checkpoints of "gan"'):
        importers.import_checkpoint("gan", tmp_path / "g.npz", out)
    with pytest.raises(GanzooError, match='Did you mean "dropout"'):
        importers.import_checkpoint("pix2pix", tmp_path / "g.npz", out, dropuot=0.1)
    assert not out.exists()
