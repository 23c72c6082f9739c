"""Context Encoder checkpoints: state dicts of PyTorch re-implementations of github.com/pathak22/context-encoder (train.lua).

Both networks are one flat sequence. The generator: a bare convolution at 0, then convolution and batch norm at 2, 5, 8, ...,
the middle one of which (`nBottleneck` wide, from 4x4 to 1x1) is followed by the decoder's transposed ones; the last one is bare.
The discriminator: a bare convolution at 0, then convolution and batch norm at 2, 5, 8, and a bare one. A prefix such as
`main.` before all numbers is taken off. The released .t7 files are Torch's own format; convert them to a state dict first.
"""

import re
from collections.abc import Mapping

import keras

from ganzoo.importers._state import Plan, State, assign, last_number, not_this_network, settings, shape_of
from ganzoo.models import context_encoder

_PREFIX = re.compile(r"^[A-Za-z_]\w*\.(?=\d)")


def generator(state: State, **keywords) -> keras.Model:
    """Pictures with a hole (N, S, S, C) in [-1, 1] -> what fills it: (N, S / 2, S / 2, C), or of a random-region net all."""
    kind, state = "context-encoder.generator", _plain(state)
    config = settings(kind, context_encoder.build_generator, _generator_facts(kind, state), keywords)
    network, places = context_encoder.build_generator(**config), _generator_places(config)
    assign(kind, network, state, places)
    return network


def discriminator(state: State, **keywords) -> keras.Model:
    """Squares (N, side, side, C) in [-1, 1] -> logits (N, 1). What tells their size is the number of layers: `region`
    "centre" is taken for squares of half of `image_size`."""
    kind, state = "context-encoder.discriminator", _plain(state)
    config = settings(kind, context_encoder.build_discriminator, _discriminator_facts(kind, state), keywords)
    network, places = context_encoder.build_discriminator(**config), _discriminator_places(config)
    assign(kind, network, state, places)
    return network


def plan(states: Mapping[str, State], keywords: Mapping) -> Plan:
    """A whole model from the "generator" state; without a "discriminator" state D starts fresh, of the decoder's width."""
    states = {network: _plain(state) for network, state in states.items()}
    inferred = _generator_facts("context-encoder.generator", states["generator"])
    inferred["ndf"] = inferred["ngf"]
    if "discriminator" in states:
        inferred["ndf"] = _discriminator_facts("context-encoder.discriminator", states["discriminator"])["ndf"]
    inferred["overlap"] = 4 if inferred["region"] == "centre" else 0  # of the published commands
    config = settings("context-encoder", context_encoder.ContextEncoder.__init__, inferred, keywords)
    places = {"generator": _generator_places(config), "discriminator": _discriminator_places(config)}
    networks = {network: (state, places[network]) for network, state in states.items()}
    channels = {"channels": config["channels"]} if config["channels"] in (1, 3) else {}
    preset = "paris-128" if config["region"] == "centre" else "random-128"
    sizes = {"size": config["image_size"], "load_size": config["image_size"] * 350 // 128}
    return Plan(preset, config, sizes | channels, networks)


def _plain(state: State) -> State:
    """The state without a prefix that all of its names have."""
    found = {match[0] if (match := _PREFIX.match(name)) else "" for name in state}
    return {_PREFIX.sub("", name): array for name, array in state.items()} if len(found) == 1 else state


def _levels(config: Mapping) -> tuple[int, int]:
    """Levels of the encoder and of what is made."""
    encoder = (config["image_size"] // 4).bit_length() - 1
    return encoder, encoder - (config["region"] == "centre")


def _generator_facts(kind: str, state: State) -> dict:
    nef, channels, *_ = shape_of(kind, state, "0.weight")
    last = last_number(r"^(\d+)\.", state)
    if last < 11 or last % 3 != 2:
        raise not_this_network(kind, state, f"its last layer is {last}, and a generator's is 23, 26, 29, 32 or so on")
    ngf, *_ = shape_of(kind, state, f"{last}.weight")
    levels = (last - 2) // 3  # of the encoder and of what is made, which has one less if it is the square in the middle
    encoder = (levels + 1) // 2
    bottleneck, *_ = shape_of(kind, state, f"{3 * encoder - 1}.weight")
    sizes = {"image_size": 4 << encoder, "channels": channels, "nef": nef, "ngf": ngf, "bottleneck": bottleneck}
    return sizes | {"region": "centre" if levels % 2 else "random"}


def _generator_places(config: Mapping) -> dict[str, str]:
    encoder, made = _levels(config)
    names = [f"down{level}" for level in range(1, encoder + 1)] + ["code", "start"]
    names += [f"up{level}" for level in range(1, made)]
    places = {"0": "down1_conv"}
    for i, name in enumerate(names[1:]):
        places |= {f"{2 + 3 * i}": f"{name}_conv", f"{3 + 3 * i}": f"{name}_norm"}
    return places | {f"{2 + 3 * (len(names) - 1)}": "image_conv"}


def _discriminator_facts(kind: str, state: State) -> dict:
    ndf, channels, *_ = shape_of(kind, state, "0.weight")
    last = last_number(r"^(\d+)\.", state)
    if last < 2 or last % 3 != 2:
        raise not_this_network(kind, state, f"its last layer is {last}, and a discriminator's is 8, 11, 14 or so on")
    return {"image_size": 8 << (last + 1) // 3, "channels": channels, "ndf": ndf, "region": "centre"}


def _discriminator_places(config: Mapping) -> dict[str, str]:
    levels = _levels(config)[1]
    places = {"0": "down1_conv", f"{3 * levels - 1}": "logit_conv"}
    for level in range(2, levels + 1):
        places |= {f"{3 * level - 4}": f"down{level}_conv", f"{3 * level - 3}": f"down{level}_norm"}
    return places


NETWORKS = {"generator": generator, "discriminator": discriminator}
