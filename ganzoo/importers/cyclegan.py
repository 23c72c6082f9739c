"""CycleGAN checkpoints of github.com/junyanz/pytorch-CycleGAN-and-pix2pix (`latest_net_G_A.pth` and its three siblings).

The ResNet numbers its layers: `model.1`, `.4`, `.7` are the convolutions inwards, each block from `model.10` on holds
`conv_block.1` and `.5`, and with n blocks `model.10+n`, `.13+n` are the transposed convolutions, `.17+n` the last one.

Files are named after the domain that a generator starts from: G_A makes B of A, and D_A judges what G_A made, so that
it knows domain B.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import keras

from ganzoo.errors import GanzooError
from ganzoo.importers import _patchgan
from ganzoo.importers._state import Plan, State, assign, not_this_network, settings, shape_of
from ganzoo.models import cyclegan

_BLOCK = re.compile(r"model\.(\d+)\.conv_block\.(\d+)\.weight")
_OFFICIAL = re.compile(r"(.*_)?net_([GD])_([AB])(\.\w+)", re.IGNORECASE)
_ATTRIBUTES = {
    ("G", "A"): "generator_ab",
    ("G", "B"): "generator_ba",
    ("D", "A"): "discriminator_b",
    ("D", "B"): "discriminator_a",
}
_SHARED = {"generator": ("ngf", "n_blocks"), "discriminator": ("ndf", "n_layers")}


def generator(state: State, **keywords) -> keras.Model:
    """ResNet: images (N, H, W, C) in [-1, 1] -> images."""
    kind = "cyclegan.generator"
    state, inferred = _generator_facts(kind, state)
    config = settings(kind, cyclegan.build_generator, inferred, keywords)
    network = cyclegan.build_generator(**config)
    assign(kind, network, state, _generator_places(config["n_blocks"]))
    return network


def discriminator(state: State, **keywords) -> keras.Model:
    """PatchGAN: images (N, H, W, C) -> logits (N, h, w, 1)."""
    kind = "cyclegan.discriminator"
    state, inferred = _discriminator_facts(kind, state)
    config = settings(kind, cyclegan.build_discriminator, inferred, keywords)
    network = cyclegan.build_discriminator(**config)
    assign(kind, network, state, _discriminator_places(config["n_layers"]))
    return network


def files(given: Mapping[str, Path]) -> dict[str, Path]:
    """The model's network -> file, from the files that were named and those that lie beside an official name.

    A generator of another name counts as A -> B, a discriminator of another name as that of B.
    """
    found = {}
    match = _OFFICIAL.fullmatch(given["generator"].name)
    if match:
        for (network, domain), attribute in _ATTRIBUTES.items():
            path = given["generator"].with_name(f"{match[1] or ''}net_{network}_{domain}{match[4]}")
            if path.is_file():
                found[attribute] = path
    for network, path in given.items():
        match = _OFFICIAL.fullmatch(path.name)
        letter, domain = network[0].upper(), match[3].upper() if match else "A"
        if match and match[2].upper() != letter:
            raise GanzooError(f'"{path}" was given as the {network}, and its name says that it is none.')
        found[_ATTRIBUTES[letter, domain]] = path
    return found


def plan(states: Mapping[str, State], keywords: Mapping) -> Plan:
    """A whole model from any of the four networks; those that are missing start fresh, of the sizes of the others."""
    parts, inferred = {}, {}
    for attribute, state in states.items():
        network = attribute.partition("_")[0]
        kind = f"cyclegan.{network}"
        state, found = (_generator_facts if network == "generator" else _discriminator_facts)(kind, state)
        for key, value in _model_settings(attribute, found).items():
            if inferred.setdefault(key, value) != value:
                raise GanzooError(
                    f"The files are not of one model: {key} is {inferred[key]} in one and {value} in another."
                )
        parts[attribute] = state
    inferred = {"ndf": inferred["ngf"], "image_size": 128 if inferred["n_blocks"] == 6 else 256} | inferred
    if inferred["input_channels"] != inferred["output_channels"]:
        inferred["identity_weight"] = 0.0  # it needs domains of equal channel counts
    config = settings("cyclegan", cyclegan.CycleGAN.__init__, inferred, keywords)
    config.setdefault("n_layers", 3)
    places = {
        "generator": _generator_places(config["n_blocks"]),
        "discriminator": _discriminator_places(config["n_layers"]),
    }
    networks = {attribute: (state, places[attribute.partition("_")[0]]) for attribute, state in parts.items()}
    wanted = {"input_channels": config["input_channels"], "channels": config["output_channels"]}
    channels = {key: value for key, value in wanted.items() if value in (1, 3)}  # what pictures on disk have
    size = config["image_size"]
    return Plan("horse2zebra-256", config, {"size": size, "load_size": size * 286 // 256} | channels, networks)


def _model_settings(attribute: str, found: Mapping) -> dict:
    """The arguments of `CycleGAN` that one network tells."""
    network, _, domain = attribute.partition("_")
    told = {key: found[key] for key in _SHARED[network]}
    if network == "discriminator":
        return told | {"input_channels" if domain == "a" else "output_channels": found["channels"]}
    first, last = ("input_channels", "output_channels")[:: 1 if domain == "ab" else -1]
    return told | {first: found["input_channels"], last: found["output_channels"]}


def _generator_facts(kind: str, state: State) -> tuple[State, dict]:
    ngf, input_channels, *_ = shape_of(kind, state, "model.1.weight")
    matches = [match for match in map(_BLOCK.fullmatch, state) if match]
    blocks = {int(match[1]) for match in matches}
    if not blocks:
        raise not_this_network(kind, state, "it has no residual block")
    if any(match[2] == "6" for match in matches):
        raise not_this_network(kind, state, "it was trained with dropout in its blocks, which CycleGAN does not have")
    state, norm = _patchgan.norm_of(state, "model.1.bias")
    _only_instance(kind, state, norm)
    count = max(blocks) - 9
    output_channels, *_ = shape_of(kind, state, f"model.{count + 17}.weight")
    sizes = {"input_channels": input_channels, "output_channels": output_channels}
    return state, sizes | {"ngf": ngf, "n_blocks": count}


def _generator_places(n_blocks: int) -> dict[str, str]:
    places = {"model.1": "in_conv", "model.4": "down1_conv", "model.7": "down2_conv"}
    for block in range(1, n_blocks + 1):
        for conv, index in ((1, 1), (2, 5)):
            places[f"model.{9 + block}.conv_block.{index}"] = f"res{block}_conv{conv}"
    outwards = {10: "up2_conv", 13: "up1_conv", 17: "out_conv"}
    return places | {f"model.{n_blocks + index}": name for index, name in outwards.items()}


def _discriminator_facts(kind: str, state: State) -> tuple[State, dict]:
    state, facts = _patchgan.facts(kind, state)
    if not facts["n_layers"]:
        raise not_this_network(kind, state, "it is a PixelGAN, and CycleGAN's discriminators are PatchGANs")
    _only_instance(kind, state, facts.pop("norm"))
    return state, facts


def _discriminator_places(n_layers: int) -> dict[str, str]:
    return _patchgan.places({"n_layers": n_layers, "norm": "instance"})


def _only_instance(kind: str, state: State, norm: str) -> None:
    if norm != "instance":
        raise not_this_network(kind, state, f'its norm is "{norm}", and CycleGAN\'s is instance norm')


NETWORKS = {"generator": generator, "discriminator": discriminator}
