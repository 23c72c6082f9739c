"""pix2pix checkpoints of github.com/junyanz/pytorch-CycleGAN-and-pix2pix (`latest_net_G.pth`, `latest_net_D.pth`).

A U-Net is a nest: level 1 is `model.model.0` and `.3`, each further level sits in its parent's child 1 (the outermost)
or 3, and holds, counted inside it, 1 the down convolution, 2 its norm, 5 the up convolution, 6 its norm; the innermost
has no norm after its down convolution and no child, so its up convolution is 3 and the norm 4.

What cannot be seen in names and shapes is dropout. It is off unless asked for, `dropout=0.5`, and then sits where the
PyTorch code has it.
"""

import re
from collections.abc import Mapping

import keras

from ganzoo.errors import GanzooError
from ganzoo.importers import _patchgan
from ganzoo.importers._networks import SeededGenerator
from ganzoo.importers._state import Plan, State, assign, folded, not_this_network, settings, shape_of
from ganzoo.models import pix2pix

_LEVEL = re.compile(r"model\.model\.1\.((?:model\.3\.)*)model\.\d+\.\w+")


def generator(state: State, **keywords) -> keras.Model:
    """U-Net: images (N, H, W, C) in [-1, 1] -> images; with dropout also [images, seeds (N, 2)]."""
    kind = "pix2pix.generator"
    state, inferred = _generator_facts(kind, state, keywords)
    config = settings(kind, pix2pix.build_generator, inferred, keywords)
    network = pix2pix.build_generator(**config)
    places = _generator_places(config)
    assign(kind, network, folded(state, places), places)
    return SeededGenerator(network) if len(network.inputs) == 2 else network


def discriminator(state: State, **keywords) -> keras.Model:
    """PatchGAN or PixelGAN: concat(x, y) (N, H, W, C) -> logits (N, h, w, 1)."""
    kind = "pix2pix.discriminator"
    state, inferred = _patchgan.facts(kind, state)
    config = settings(kind, pix2pix.build_discriminator, inferred, keywords)
    network = pix2pix.build_discriminator(**config)
    places = _patchgan.places(config)
    assign(kind, network, folded(state, places), places)
    return network


def plan(states: Mapping[str, State], keywords: Mapping) -> Plan:
    """A whole model from the "generator" state; without a "discriminator" state D starts fresh (70x70, of G's width).

    Dropout is on, 0.5 where the PyTorch code has it, because pix2pix samples with it.
    """
    keywords = {"dropout_placement": "pytorch", **keywords}
    g_state, inferred = _generator_facts("pix2pix.generator", states["generator"], keywords)
    channels = inferred["input_channels"] + inferred["output_channels"]
    d_facts = {"ndf": inferred["ngf"], "norm": inferred["norm"], "channels": channels}
    if "discriminator" in states:
        d_state, d_facts = _patchgan.facts("pix2pix.discriminator", states["discriminator"])
    if d_facts["norm"] != inferred["norm"]:
        raise GanzooError(
            f'The generator has norm "{inferred["norm"]}" and the discriminator "{d_facts["norm"]}", but a pix2pix '
            "model has one norm for both. Leave the discriminator out, and a fresh one is made."
        )
    if d_facts.pop("channels") != channels:
        raise GanzooError(
            f"The generator's input and output have {channels} channels together, and the discriminator takes another "
            "number: the two files are not of one model."
        )
    config = settings("pix2pix", pix2pix.Pix2Pix.__init__, inferred | d_facts, keywords)
    parts = {"generator": (g_state, _generator_places(config))}
    if "discriminator" in states:
        parts["discriminator"] = (d_state, _patchgan.places(config))
    networks = {network: (folded(state, places), places) for network, (state, places) in parts.items()}
    size = 2 ** config["num_downs"]
    data = {"size": size, "load_size": size * 286 // 256}  # the paper's jitter
    return Plan("facades-256", config, data | _image_channels(config), networks)


def _image_channels(config: Mapping) -> dict[str, int]:
    """Channels of the images on disk, which are gray or RGB; other numbers are left to whoever trains."""
    wanted = {"input_channels": config["input_channels"], "channels": config["output_channels"]}
    return {key: value for key, value in wanted.items() if value in (1, 3)}


def _generator_facts(kind: str, state: State, keywords: Mapping) -> tuple[State, dict]:
    ngf, input_channels, *_ = shape_of(kind, state, "model.model.0.weight")
    _, output_channels, *_ = shape_of(kind, state, "model.model.3.weight")
    levels = [len(match[1]) // len("model.3.") for match in map(_LEVEL.fullmatch, state) if match]
    if not levels:
        raise not_this_network(kind, state, "there is nothing inside its outermost level")
    state, norm = _patchgan.norm_of(state, "model.model.0.bias")
    asked = {"dropout": 0.5 if "dropout_placement" in keywords else 0.0, "dropout_placement": "pytorch"}
    sizes = {"input_channels": input_channels, "output_channels": output_channels, "ngf": ngf}
    return state, sizes | {"num_downs": max(levels) + 2, "norm": norm} | asked


def _generator_places(config: Mapping) -> dict[str, str]:
    depth = config["num_downs"]
    places = {"model.model.0": "down1_conv", "model.model.3": "up1_conv"}
    for level in range(2, depth + 1):
        inside = "model.model.1." + "model.3." * (level - 2) + "model."
        up = 5 if level < depth else 3
        places |= {f"{inside}1": f"down{level}_conv", f"{inside}{up}": f"up{level}_conv"}
        if config["norm"] == "batch":
            places[f"{inside}{up + 1}"] = f"up{level}_norm"
            if level < depth:
                places[f"{inside}2"] = f"down{level}_norm"
    return places


def _generator_reference(kernels: Mapping, norms: int) -> dict[str, str] | None:
    """Down convolutions from the outside inwards, then the up convolutions back, as both a nest and a chain list them."""
    if len(kernels) < 4 or len(kernels) % 2 or any(kernel.shape[2:] != (4, 4) for kernel in kernels.values()):
        return None
    return _generator_places({"num_downs": len(kernels) // 2, "norm": "batch"})


NETWORKS = {"generator": generator, "discriminator": discriminator}
REFERENCES = {"generator": _generator_reference, "discriminator": _patchgan.reference}
