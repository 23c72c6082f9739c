"""CycleGAN checkpoints of github.com/junyanz/pytorch-CycleGAN-and-pix2pix (`latest_net_G_A.pth` and its three siblings).

The ResNet numbers its layers: `model.1`, `.4`, `.7` are the convolutions inwards, each block from `model.10` on holds
`conv_block.1` and `.5`, and with n blocks `model.10+n`, `.13+n` are the transposed convolutions, `.17+n` the last one.

Files are named after the domain that a generator starts from: G_A makes B of A, and D_A judges what G_A made, so that
it knows domain B.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from ganzoo.errors import GanzooError
from ganzoo.importers import _patchgan
from ganzoo.importers._networks import SeededGenerator
from ganzoo.importers._state import Plan, State, assign, folded, last_number, not_this_network, settings, shape_of
from ganzoo.models import cyclegan

_OFFICIAL = re.compile(r"(.*_)?net_([GD])_([AB])(\.\w+)", re.IGNORECASE)
_ATTRIBUTES = {
    ("G", "A"): "generator_ab",
    ("G", "B"): "generator_ba",
    ("D", "A"): "discriminator_b",
    ("D", "B"): "discriminator_a",
}
_SHARED = {
    "generator": ("ngf", "n_blocks", "norm", "affine", "dropout"),
    "discriminator": ("ndf", "n_layers", "norm", "affine"),
}
_DROPOUT = 0.5  # of the PyTorch code


def generator(state: State, **keywords) -> keras.Model:
    """ResNet: images (N, H, W, C) in [-1, 1] -> images; with dropout also [images, seeds (N, 2)]."""
    kind = "cyclegan.generator"
    state, inferred = _generator_facts(kind, state)
    config = settings(kind, cyclegan.build_generator, inferred, keywords)
    network = cyclegan.build_generator(**config)
    assign(kind, network, state, _generator_places(config, inferred["dropout"]))
    return SeededGenerator(network) if len(network.inputs) == 2 else network


def discriminator(state: State, **keywords) -> keras.Model:
    """PatchGAN: images (N, H, W, C) -> logits (N, h, w, 1)."""
    kind = "cyclegan.discriminator"
    state, inferred = _discriminator_facts(kind, state)
    config = settings(kind, cyclegan.build_discriminator, inferred, keywords)
    network = cyclegan.build_discriminator(**config)
    assign(kind, network, state, _patchgan.places(config))
    return network


def files(given: Mapping[str, Path]) -> dict[str, Path]:
    """The model's network -> file, from the files that were named and those that lie next to an official name.

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
    parts = {}
    inferred: dict[str, Any] = {}
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
        "generator": _generator_places(config, inferred["dropout"]),
        "discriminator": _patchgan.places(config),
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
    count = last_number(r"^model\.(\d+)\.conv_block\.", state) - 9
    if count < 1:
        raise not_this_network(kind, state, "it has no residual block")
    output_channels, *_ = shape_of(kind, state, f"model.{count + 17}.weight")
    second = state.get("model.10.conv_block.6.weight")
    sizes: dict[str, float] = {
        "input_channels": input_channels,
        "output_channels": output_channels,
        "ngf": ngf,
        "n_blocks": count,
    }
    sizes["dropout"] = _DROPOUT if second is not None and second.ndim == 4 else 0.0
    state, norms = _norms(state, "model.2")
    facts = sizes | norms
    return _with_biases(state, _generator_places(facts, facts["dropout"])), facts


def _generator_places(config: Mapping, dropped) -> dict[str, str]:
    """Reference prefix -> layer name, for the builder's `n_blocks`, `norm` and `affine`; `dropped`: the file has dropout."""
    n_blocks, second = config["n_blocks"], 6 if dropped else 5
    places = {"model.1": "in_conv", "model.4": "down1_conv", "model.7": "down2_conv"}
    for block in range(1, n_blocks + 1):
        for conv, index in ((1, 1), (2, second)):
            places[f"model.{9 + block}.conv_block.{index}"] = f"res{block}_conv{conv}"
    outwards = {10: "up2_conv", 13: "up1_conv", 17: "out_conv"}
    places |= {f"model.{n_blocks + index}": name for index, name in outwards.items()}
    if config["norm"] == "batch" or config["affine"]:
        for prefix, name in list(places.items())[:-1]:  # each norm is the layer behind its convolution
            stem, _, number = prefix.rpartition(".")
            places[f"{stem}.{int(number) + 1}"] = name.replace("conv", "norm")
    return places


def _discriminator_facts(kind: str, state: State) -> tuple[State, dict]:
    state, norms = _norms(state, "model.3")
    state, facts = _patchgan.facts(kind, state)
    if not facts["n_layers"]:
        raise not_this_network(kind, state, "it is a PixelGAN, and CycleGAN's discriminators are PatchGANs")
    return _with_biases(state, _patchgan.places(facts | norms)), facts | norms


def _norms(state: State, first: str) -> tuple[State, dict]:
    """`norm` and `affine` as the first norm's parameters tell them, and the state as `_patchgan.norm_of` leaves it.

    Without parameters it is instance norm: only that has none.
    """
    state, norm = _patchgan.norm_of(state, "")
    norm = "batch" if norm == "batch" else "instance"
    return state, {"norm": norm, "affine": norm == "instance" and f"{first}.weight" in state}


def _with_biases(state: State, places: Mapping[str, str]) -> State:
    """The state with the biases before norms that our network has, which cancel: none before batch norm, zeros before
    instance norm if it has none of them."""
    normed = [
        prefix for prefix, name in places.items() if name not in ("out_conv", "conv1", "logits") and "conv" in name
    ]
    if any("running_mean" in name for name in state) or any(f"{prefix}.bias" in state for prefix in normed):
        return folded(state, places)
    kernels = {prefix: state.get(f"{prefix}.weight") for prefix in normed}
    missing = {prefix: kernel for prefix, kernel in kernels.items() if kernel is not None and kernel.ndim == 4}
    transposed = ("up1_conv", "up2_conv")
    return {**state} | {
        f"{prefix}.bias": np.zeros(kernel.shape[1 if places[prefix] in transposed else 0], np.float32)
        for prefix, kernel in missing.items()
    }


def _generator_reference(kernels: Mapping, norms: int) -> dict[str, str] | None:
    """Sizes of kernels tell a ResNet: 7 at both ends and 3 between; an even number of them lies in the blocks."""
    sizes = [kernel.shape[2:] for kernel in kernels.values()]
    if len(sizes) < 8 or len(sizes) % 2 or sizes != [(7, 7), *[(3, 3)] * (len(sizes) - 2), (7, 7)]:
        return None
    config = {"n_blocks": len(sizes) // 2 - 3, "norm": "batch", "affine": False}
    return _generator_places(config, any(prefix.endswith("conv_block.6") for prefix in kernels))


NETWORKS = {"generator": generator, "discriminator": discriminator}
REFERENCES = {"generator": _generator_reference, "discriminator": _patchgan.reference}
