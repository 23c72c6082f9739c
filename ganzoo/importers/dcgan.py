"""DCGAN checkpoints of github.com/pytorch/examples (`netG_epoch_24.pth`, `netD_epoch_24.pth`), of any depth.

Both networks are one sequence `main`. The generator has a convolution at 0, 3, 6, ... with its batch norm behind it, the
last one bare; the discriminator at 0, then 2, 5, 8, ..., the first and the last one bare. Each layer but one doubles or
halves the size, so their number gives it: 5 for 64 px, 4 for 32 px, 6 for 128 px.
"""

from collections.abc import Mapping

import keras

from ganzoo.importers._networks import FlatLatents, PatchLogits
from ganzoo.importers._state import Plan, State, assign, folded, last_number, not_this_network, settings, shape_of
from ganzoo.models import dcgan


def generator(state: State, **keywords) -> keras.Model:
    """Latents (N, z) or (N, 1, 1, z) -> images (N, H, W, C) in [-1, 1]."""
    kind = "dcgan.generator"
    config = settings(kind, dcgan.build_generator, _generator_facts(kind, state), keywords)
    network = dcgan.build_generator(**config)
    places = _generator_places(config)
    assign(kind, network, folded(state, places), places)
    return FlatLatents(network)


def discriminator(state: State, **keywords) -> keras.Model:
    """Images (N, H, W, C) -> logits (N, 1); larger images than the network was made for give a map of logits."""
    kind = "dcgan.discriminator"
    config = settings(kind, dcgan.build_discriminator, _discriminator_facts(kind, state), keywords)
    network = dcgan.build_discriminator(**config)
    places = _discriminator_places(config)
    assign(kind, network, folded(state, places), places)
    return PatchLogits(network)


def plan(states: Mapping[str, State], keywords: Mapping) -> Plan:
    """A whole model from the "generator" state; without a "discriminator" state D starts fresh, of G's width."""
    inferred = _generator_facts("dcgan.generator", states["generator"])
    inferred["ndf"] = inferred["ngf"]
    if "discriminator" in states:
        inferred["ndf"] = _discriminator_facts("dcgan.discriminator", states["discriminator"])["ndf"]
    config = settings("dcgan", dcgan.DCGAN.__init__, inferred, keywords)
    places = {"generator": _generator_places(config), "discriminator": _discriminator_places(config)}
    networks = {network: (folded(state, places[network]), places[network]) for network, state in states.items()}
    channels = {"channels": config["channels"]} if config["channels"] in (1, 3) else {}
    return Plan("pytorch-64", config, {"size": config["image_size"]} | channels, networks)


def _generator_facts(kind: str, state: State) -> dict:
    latent_dim, *_ = shape_of(kind, state, "main.0.weight")
    last = _last(state)
    if last < 3 or last % 3:
        raise not_this_network(kind, state, f"its last layer is main.{last}, and a generator's is 3, 6, 9, 12 or so on")
    ngf, channels, kernel_size, _ = shape_of(kind, state, f"main.{last}.weight")
    sizes = {"image_size": 4 << last // 3, "channels": channels, "kernel_size": kernel_size}
    return sizes | {"latent_dim": latent_dim, "ngf": ngf}


def _generator_places(config: Mapping) -> dict[str, str]:
    stages = _stages(config)
    places = {"main.0": "project", "main.1": "project_norm", f"main.{3 * stages}": f"up{stages}_conv"}
    for stage in range(1, stages):
        places |= {f"main.{3 * stage}": f"up{stage}_conv", f"main.{3 * stage + 1}": f"up{stage}_norm"}
    return places


def _discriminator_facts(kind: str, state: State) -> dict:
    ndf, channels, kernel_size, _ = shape_of(kind, state, "main.0.weight")
    last = _last(state)
    if last < 2 or last % 3 != 2:
        raise not_this_network(
            kind, state, f"its last layer is main.{last}, and a discriminator's is 2, 5, 8, 11 or so on"
        )
    return {"image_size": 4 << (last + 1) // 3, "channels": channels, "kernel_size": kernel_size, "ndf": ndf}


def _discriminator_places(config: Mapping) -> dict[str, str]:
    stages = _stages(config)
    places = {"main.0": "down1_conv", f"main.{3 * stages - 1}": "logit"}
    for stage in range(2, stages + 1):
        places |= {f"main.{3 * stage - 4}": f"down{stage}_conv", f"main.{3 * stage - 3}": f"down{stage}_norm"}
    return places


def _stages(config: Mapping) -> int:
    return (config["image_size"] // 4).bit_length() - 1


def _last(state: State) -> int:
    return last_number(r"^main\.(\d+)\.", state)


def _generator_reference(kernels: Mapping, norms: int) -> dict[str, str] | None:
    return _generator_places({"image_size": 4 << len(kernels) - 1}) if _square(kernels) else None


def _discriminator_reference(kernels: Mapping, norms: int) -> dict[str, str] | None:
    return _discriminator_places({"image_size": 4 << len(kernels) - 1}) if _square(kernels) else None


def _square(kernels: Mapping) -> bool:
    """Whether the kernels may be a DCGAN's: two-dimensional ones, all of a size but the one that meets the 4x4 maps."""
    return len(kernels) > 1 and all(
        kernel.ndim == 4 and kernel.shape[2] == kernel.shape[3] > 3 for kernel in kernels.values()
    )


NETWORKS = {"generator": generator, "discriminator": discriminator}
REFERENCES = {"generator": _generator_reference, "discriminator": _discriminator_reference}
