"""`benchmarks.reference`: the twin goes on where it was ended, and its weights give ganzoo's networks its pictures."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from ganzoo import presets, zoo
from ganzoo.errors import GanzooError

torch = pytest.importorskip("torch")
from benchmarks import reference  # noqa: E402  (it needs torch)
from benchmarks.torch_models import TWINS, Update  # noqa: E402

NETWORKS = {
    "dcgan/fashion-32": ("generator", "discriminator"),
    "pix2pix/edges2emoji-128": ("generator", "discriminator"),
    "cyclegan/fluent2noto-64": ("generator_ab", "generator_ba", "discriminator_a", "discriminator_b"),
    "stylegan-lite/lorelei-64": ("discriminator",),  # G takes noise maps of two kinds: see test_benchmarks
}


def small(name, **settings):
    """The preset with the tiny sizes of its twin."""
    config = presets.run_config(name, {"train.precision": "float32", "train.batch_size": 4, **settings})
    return config.model_copy(update={"model": TWINS[config.name].tiny[name]})


@pytest.mark.parametrize("name", NETWORKS)
def test_the_twin_s_weights_make_the_same_pictures(name):
    torch.manual_seed(0)
    config = small(name)
    update, model = Update(config), zoo.build(config)
    for name_of in NETWORKS[name]:
        module, network = update.networks[name_of], getattr(model, name_of)
        for key, buffer in module.named_buffers():  # running statistics that are not those of the start
            if key.endswith(("running_mean", "running_var")):
                buffer.uniform_(0.5, 1.5)
        reference.copy_weights(module, network)
        shape = [3, *(size or 16 for size in network.input_shape[1:])] if name[0] != "s" else [4, 16, 16, 3]
        x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        with torch.no_grad():
            theirs = module.eval()(torch.from_numpy(np.moveaxis(x, -1, 1).copy())).numpy()
        ours = np.asarray(network(tf.constant(x), training=False))
        theirs = np.moveaxis(theirs, 1, -1).reshape(ours.shape)
        np.testing.assert_allclose(ours, theirs, atol=1e-5 * max(1, np.abs(theirs).max()), err_msg=name_of)


def test_a_twin_that_was_ended_goes_on(tmp_path, monkeypatch):
    """Two steps, a new process' start, two more: the weights, slots, history and noise of four in one."""
    monkeypatch.setattr(reference, "SAVE_EVERY", 1)
    name = "cyclegan/fluent2noto-64"
    found = []
    for folder, ends in ((tmp_path / "once", (4,)), (tmp_path / "twice", (2, 4))):
        folder.mkdir()
        for end in ends:
            update = reference.train(small(name, **{"train.steps": end, "data.size": 16}), folder)
        found.append(reference.state_of(update, 4))
    for one, other in zip(*(keras.tree.flatten(state["networks"]) for state in found), strict=True):
        assert torch.equal(one, other)
    assert torch.equal(found[0]["chance"], found[1]["chance"])


def test_the_command_measures_what_it_trained(tmp_path, capsys):
    reference.main(["dcgan/fashion-32", "-o", str(tmp_path), "--steps", "1", "-n", "50"])
    records = json.loads((tmp_path / "reference.json").read_text())
    asked = presets.read("dcgan").presets["fashion-32"].eval.metrics
    assert [record["metric"].split("_")[0].rstrip("0123456789k") for record in records] == [
        metric.split("_")[0] for metric in asked if not metric.startswith("near-copies")
    ]
    assert f"{records[0]['metric']} = " in capsys.readouterr().out
    assert (tmp_path / "model" / "weights.safetensors").is_file()


def test_papers_whose_weights_lie_otherwise_are_named(tmp_path):
    with pytest.raises(GanzooError, match="dcgan, pix2pix, cyclegan"):
        reference.main(["biggan", "-o", str(tmp_path)])
