"""3D-GAN checkpoints: a sequence of layers, as torch.nn.Sequential numbers them; also github.com/zck119/3dgan-release's
weights once they are saved under these names (its convolutions have biases, all of them zero).

The generator has a convolution at 0, 3, 6, ... with its batch norm behind it, the last one bare. The discriminator is its
mirror; one without batch norm behind the first layer has convolutions at 0, 2, 5, 8, ... as DCGAN's. Each layer but one
doubles or halves the grid, so their number gives it: 5 for 64 voxels, 4 for 32.
"""

from collections.abc import Mapping

import keras
import numpy as np

from ganzoo.importers._networks import FlatLatents
from ganzoo.importers._state import Plan, State, assign, last_number, not_this_network, settings, shape_of
from ganzoo.models import gan3d


def generator(state: State, **keywords) -> keras.Model:
    """Latents (N, z) or (N, 1, 1, 1, z) -> probabilities (N, S, S, S, 1)."""
    kind, state = "3d-gan.generator", without_zero_biases(state)
    config = settings(kind, gan3d.build_generator, _generator_facts(kind, state), keywords)
    network = gan3d.build_generator(**config)
    assign(kind, network, state, _generator_places(config))
    return FlatLatents(network)


def discriminator(state: State, **keywords) -> keras.Model:
    """Voxels (N, S, S, S, 1) -> logits (N, 1)."""
    kind, state = "3d-gan.discriminator", without_zero_biases(state)
    config = settings(kind, gan3d.build_discriminator, _discriminator_facts(kind, state), keywords)
    network = gan3d.build_discriminator(**config)
    assign(kind, network, state, _discriminator_places(config))
    return network


def plan(states: Mapping[str, State], keywords: Mapping) -> Plan:
    """A whole model from the "generator" state; without a "discriminator" state D starts fresh, of G's width."""
    states = {network: without_zero_biases(state) for network, state in states.items()}
    inferred = _generator_facts("3d-gan.generator", states["generator"])
    inferred["ndf"] = inferred["ngf"]
    if "discriminator" in states:
        facts = _discriminator_facts("3d-gan.discriminator", states["discriminator"])
        inferred |= {key: facts[key] for key in ("ndf", "bn_first")}
    config = {"bn_first": True} | settings("3d-gan", gan3d.GAN3D.__init__, inferred, keywords)
    places = {"generator": _generator_places, "discriminator": _discriminator_places}
    networks = {network: (state, places[network](config)) for network, state in states.items()}
    return Plan("shapenet-64", config, {"size": config["grid_size"]}, networks)


def without_zero_biases(state: State) -> State:
    """The state less the biases of its convolutions, where all are zero. Others stay, and are named as unknown."""
    kernels = [name.removesuffix("weight") for name, array in state.items() if array.ndim == 5]
    biases = [f"{kernel}bias" for kernel in kernels]
    return {name: array for name, array in state.items() if name not in biases or np.any(array)}


def _generator_facts(kind: str, state: State) -> dict:
    latent_dim, *_ = shape_of(kind, state, "0.weight", rank=5)
    last = _last(state)
    if last < 3 or last % 3 or state["0.weight"].shape[1] == 1:
        raise not_this_network(kind, state, f"its last layer is {last}, and a generator's is 3, 6, 9, 12 or so on")
    ngf, *_ = shape_of(kind, state, f"{last}.weight", rank=5)
    return {"grid_size": 4 << last // 3, "latent_dim": latent_dim, "ngf": ngf}


def _generator_places(config: Mapping) -> dict[str, str]:
    stages = _stages(config)
    places = {"0": "project", "1": "project_norm", f"{3 * stages}": f"up{stages}_conv"}
    for stage in range(1, stages):
        places |= {f"{3 * stage}": f"up{stage}_conv", f"{3 * stage + 1}": f"up{stage}_norm"}
    return places


def _discriminator_facts(kind: str, state: State) -> dict:
    ndf, channels, *_ = shape_of(kind, state, "0.weight", rank=5)
    last, bn_first = _last(state), "1.weight" in state
    if channels != 1 or last < 2 or last % 3 != (0 if bn_first else 2):
        raise not_this_network(
            kind, state, f"its first layer takes {channels} channel(s) and its last one is {last}, and a discriminator takes "
            "1 and ends at 3, 6, 9, 12 or so on, or at 2, 5, 8, 11 without a batch norm behind the first"
        )  # fmt: skip
    return {"grid_size": 4 << (last + (not bn_first)) // 3, "ndf": ndf, "bn_first": bn_first}


def _discriminator_places(config: Mapping) -> dict[str, str]:
    stages, bn_first = _stages(config), config["bn_first"]
    shift = 0 if bn_first else 1
    places = {"0": "down1_conv", f"{3 * stages - shift}": "logit"} | ({"1": "down1_norm"} if bn_first else {})
    for stage in range(2, stages + 1):
        first = 3 * (stage - 1) - shift
        places |= {f"{first}": f"down{stage}_conv", f"{first + 1}": f"down{stage}_norm"}
    return places


def _stages(config: Mapping) -> int:
    return (config["grid_size"] // 4).bit_length() - 1


def _last(state: State) -> int:
    return last_number(r"^(\d+)\.", state)


def _generator_reference(kernels: Mapping, norms: int) -> dict[str, str] | None:
    return _generator_places({"grid_size": 4 << len(kernels) - 1}) if _cubes(kernels) else None


def _discriminator_reference(kernels: Mapping, norms: int) -> dict[str, str] | None:
    config = {"grid_size": 4 << len(kernels) - 1, "bn_first": norms == len(kernels) - 1}
    return _discriminator_places(config) if _cubes(kernels) else None


def _cubes(kernels: Mapping) -> bool:
    return len(kernels) > 1 and all(kernel.shape[2:] == (4, 4, 4) for kernel in kernels.values())


NETWORKS = {"generator": generator, "discriminator": discriminator}
REFERENCES = {"generator": _generator_reference, "discriminator": _discriminator_reference}
