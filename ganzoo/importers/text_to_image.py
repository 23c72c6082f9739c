"""GAN-CLS states of PyTorch re-implementations of github.com/reedscot/icml2016, of any width.

The names are those of the golden files: the generator has `fc`, `stem`, `res1.body`, `up1`, `res2.body`, `up2`, `up3`,
`out`; the discriminator `fc`, `c1` ... `c4`, `res.body`, `joint`, `out`. In a pair of convolution and batch norm the first
is 0 and the second 1; in a bottleneck the pairs lie at 0, 3 and 6; main_cls_int's batch norm on the text is `fc_norm`. The official files are Torch7's and cannot be read.
"""

from collections.abc import Mapping

import keras

from ganzoo.importers._state import Plan, State, assign, not_this_network, settings, shape_of
from ganzoo.models import text_to_image


def generator(state: State, **keywords) -> keras.Model:
    """[latents (N, z), text (N, E)] -> images (N, 64, 64, C) in [-1, 1]."""
    kind = "text-to-image.generator"
    config = settings(kind, text_to_image.build_generator, _generator_facts(kind, state), keywords)
    network = text_to_image.build_generator(**config)
    assign(kind, network, state, _generator_places(config))
    return network


def discriminator(state: State, **keywords) -> keras.Model:
    """[images (N, 64, 64, C), text (N, E)] -> logits (N, 1)."""
    kind = "text-to-image.discriminator"
    config = settings(kind, text_to_image.build_discriminator, _discriminator_facts(kind, state), keywords)
    network = text_to_image.build_discriminator(**config)
    assign(kind, network, state, _discriminator_places(config))
    return network


def plan(states: Mapping[str, State], keywords: Mapping) -> Plan:
    """A whole model for embeddings made elsewhere; without a "discriminator" state D starts fresh, of G's width."""
    inferred = _generator_facts("text-to-image.generator", states["generator"]) | {"encoder": "embedding"}
    inferred["ndf"] = inferred["ngf"]
    if "discriminator" in states:
        inferred["ndf"] = _discriminator_facts("text-to-image.discriminator", states["discriminator"])["ndf"]
    config = settings("text-to-image", text_to_image.TextToImage.__init__, inferred, keywords)
    places = {"generator": _generator_places, "discriminator": _discriminator_places}
    networks = {network: (state, places[network](config)) for network, state in states.items()}
    channels = {"channels": config["channels"]} if config["channels"] in (1, 3) else {}
    return Plan("birds-64", config, {"size": config["image_size"], "load_size": None} | channels, networks)


def _generator_facts(kind: str, state: State) -> dict:
    projection, text_dim = shape_of(kind, state, "fc.weight", rank=2)
    inputs, *_ = shape_of(kind, state, "stem.0.weight")
    ngf, channels, *_ = shape_of(kind, state, "out.weight")
    sizes = {"image_size": 8 << _last(kind, state, "up"), "channels": channels, "latent_dim": inputs - projection}
    return sizes | {"text_dim": text_dim, "text_projection": projection, "ngf": ngf}


def _generator_places(config: Mapping) -> dict[str, str]:
    pairs = ["stem", *(f"up{stage}" for stage in range(1, _stages(config)))]
    return _common(pairs, pairs) | _body("res1") | _body("res2")


def _discriminator_facts(kind: str, state: State) -> dict:
    projection, text_dim = shape_of(kind, state, "fc.weight", rank=2)
    ndf, channels, *_ = shape_of(kind, state, "c1.weight")
    sizes = {"image_size": 4 << _last(kind, state, "c"), "channels": channels, "text_dim": text_dim}
    return sizes | {"text_projection": projection, "ndf": ndf}


def _discriminator_places(config: Mapping) -> dict[str, str]:
    stages = range(2, _stages(config) + 1)
    theirs, ours = ([f"{stem}{stage}" for stage in stages] + ["joint"] for stem in ("c", "down"))
    text_norm = {"fc_norm": "text_norm"} if config.get("script") == "main_cls_int" else {}
    return _common(theirs, ours) | _body("res") | {"c1": "down1_conv"} | text_norm


def _stages(config: Mapping) -> int:
    return (config["image_size"] // 4).bit_length() - 1


def _common(theirs: list[str], ours: list[str]) -> dict[str, str]:
    """Places of the text projection, of convolutions with their norms, and of the last convolution."""
    places = {"fc": "text_project", "out": "out_conv"}
    for name, layer in zip(theirs, ours, strict=True):
        places |= {f"{name}.0": f"{layer}_conv", f"{name}.1": f"{layer}_norm"}
    return places


def _body(name: str) -> dict[str, str]:
    """Places of a bottleneck's three convolutions and norms."""
    places: dict[str, str] = {}
    for part in (1, 2, 3):
        places |= {
            f"{name}.body.{3 * part - 3}": f"{name}_{part}_conv",
            f"{name}.body.{3 * part - 2}": f"{name}_{part}_norm",
        }
    return places


def _last(kind: str, state: State, stem: str) -> int:
    """The largest k of the names `<stem>k.`."""
    heads = {name.partition(".")[0].removeprefix(stem) for name in state if name.startswith(stem)}
    numbers = [int(head) for head in heads if head.isdecimal()]
    if not numbers or max(numbers) > 8:
        raise not_this_network(kind, state, f"its layers {stem}1, {stem}2 ... are not 1 to 8")
    return max(numbers)


NETWORKS = {"generator": generator, "discriminator": discriminator}
