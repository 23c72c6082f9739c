"""BigGAN and BigGAN-deep checkpoints of github.com/ajbrock/BigGAN-PyTorch (`G_ema.pth`, `G.pth`, `D.pth`), and the generator of
BigGAN-deep as it was released for TF-Hub, in the layout of its PyTorch port (`biggan-deep-128-pytorch_model.bin`).

Sizes are read from names and shapes: the number of blocks gives the size of the pictures, a fourth convolution in a block
BigGAN-deep, `shared` and the width of the gains whether z is hierarchical, `theta` where self-attention is. The u of each
spectral norm comes along; `sv0` is a log of the training and is left out.

The TF-Hub generator has statistics of its batch norms for 51 truncations, 0 to 1: `truncation=` chooses among them, linear in
between. (The PyTorch port exchanges the two weights there; on the grid both are the same.) It holds u and v, which do not move
any more, so its kernels are divided once and for all and the network has no spectral norm (`spectral_g=False`). Its
condition is [z, embedding] where ours is [embedding, z], and its last convolution has channels that nobody sees.
"""

import re
from collections.abc import Mapping, Sequence

import keras
import numpy as np

from ganzoo.errors import GanzooError
from ganzoo.importers._state import (
    Place,
    Plan,
    State,
    assign,
    last_number,
    not_this_network,
    settings,
    shape_of,
)
from ganzoo.models import biggan

STATISTICS = 51  # truncations of a TF-Hub generator: 0, 0.02, ..., 1
_PARTS = {"theta": "query", "phi": "key", "g": "value", "o": "out"}


def generator(state: State, *, truncation: float = 1.0, **keywords) -> keras.Model:
    """[z (N, latent_dim), labels (N,)] -> images (N, H, W, C) in [-1, 1].

    `truncation` chooses the batch statistics of a TF-Hub state, and is for no other.
    """
    kind = "biggan.generator"
    state, config = _generator(kind, state, truncation, keywords, biggan.build_generator)
    network = biggan.build_generator(**config)
    assign(kind, network, state, _generator_places(config))
    return network


def discriminator(state: State, **keywords) -> keras.Model:
    """[images (N, H, W, C), labels (N,)] -> logits (N, 1)."""
    kind = "biggan.discriminator"
    state = _bare(state)
    config = settings(kind, biggan.build_discriminator, _discriminator_facts(kind, state), keywords)
    network = biggan.build_discriminator(**config)
    assign(kind, network, state, _discriminator_places(config))
    return network


def plan(states: Mapping[str, State], keywords: Mapping) -> Plan:
    """A whole model from the "generator" state; without a "discriminator" state D starts fresh, of G's width."""
    keywords = dict(keywords)
    truncation = keywords.pop("truncation", 1.0)
    facts = {}
    if "discriminator" in states:
        facts = {"ndf": _discriminator_facts("biggan.discriminator", _bare(states["discriminator"]))["ndf"]}
    state, config = _generator(
        "biggan.generator", states["generator"], truncation, keywords, biggan.BigGAN.__init__, facts
    )
    networks = {"generator": (state, _generator_places(config))}
    if "discriminator" in states:
        networks["discriminator"] = (_bare(states["discriminator"]), _discriminator_places(config))
    preset = "imagenet-deep-128" if config["deep"] else "imagenet-128"
    channels = {"channels": config["channels"]} if config["channels"] in (1, 3) else {}
    return Plan(preset, config, {"size": config["image_size"]} | channels, networks)


def _generator(kind, state, truncation, keywords, builder, more=None):
    """The state under ajbrock's names, and the builder's arguments."""
    hub = "embeddings.weight" in state
    if not hub and truncation != 1.0:
        raise GanzooError(
            f"truncation chooses the statistics of a TF-Hub state, which has {STATISTICS} of them; this state has one."
        )
    state = _of_hub(kind, state, truncation) if hub else _bare(state)
    facts = _generator_facts(kind, state) | ({"spectral_g": False, "epsilon": 1e-4} if hub else {})
    facts |= {"ndf": facts["ngf"]} | (more or {})
    if builder is biggan.build_generator:
        del facts["ndf"]
    return state, settings(kind, builder, facts, keywords)


def _bare(state: State) -> dict[str, np.ndarray]:
    """Without what is logged, and with the names of the plain batch norm where a synchronised or a standing one was used."""
    names = {"running_mean": "stored_mean", "running_var": "stored_var"}
    found = {}
    for name, array in state.items():
        prefix, _, last = name.rpartition(".")
        if re.fullmatch(r"sv\d+|accumulation_counter|num_batches_tracked", last):
            continue
        last = names.get(last, last)
        if last.startswith("stored_"):
            prefix = prefix.removesuffix(".bn")
        found[f"{prefix}.{last}" if prefix else last] = array
    return found


def _generator_facts(kind: str, state: State) -> dict:
    inputs = shape_of(kind, state, "linear.weight", 2)[1]
    if "output_layer.0.gain" not in state:
        raise not_this_network(kind, state, 'it has no "output_layer.0.gain"')
    deep = "blocks.0.0.conv4.weight" in state
    stages = (last_number(r"^blocks\.(\d+)\.", state) + 1) // (2 if deep else 1)
    table = biggan.DEEP_GENERATOR if deep else biggan.GENERATOR
    image_size = 4 << min(stages, 20)
    if image_size not in table:
        raise not_this_network(
            kind, state, f"it has {stages} stages, which is not a size of {'BigGAN-deep' if deep else 'BigGAN'}"
        )
    (last,) = shape_of(kind, state, "output_layer.0.gain", 1)
    rows, columns = shape_of(kind, state, "blocks.0.0.bn1.gain.weight", 2)
    taper = image_size == 32 and not deep and _narrows(state, 3)
    unit = biggan.TAPERED_GENERATOR[-1] if taper else table[image_size][-1]
    facts = {"image_size": image_size, "deep": deep, "ngf": last // unit, "taper": taper}
    facts["channels"] = shape_of(kind, state, "output_layer.2.weight")[0]
    facts["attention"] = _attention(state, lambda block: 8 << (block // 2 if deep else block))
    facts["spectral_g"] = "linear.u0" in state
    if "shared.weight" not in state:
        return facts | {"classes": rows, "shared_dim": 0, "hierarchical": False, "latent_dim": inputs}
    classes, shared = shape_of(kind, state, "shared.weight", 2)
    hierarchical = columns > shared
    latent = inputs - shared if deep and hierarchical else inputs
    if hierarchical and not deep:
        latent = (columns - shared) * (stages + 1)
    return facts | {"classes": classes, "shared_dim": shared, "hierarchical": hierarchical, "latent_dim": latent}


def _discriminator_facts(kind: str, state: State) -> dict:
    classes, _ = shape_of(kind, state, "embed.weight", 2)
    deep = "input_conv.weight" in state
    blocks = last_number(r"^blocks\.(\d+)\.", state) + 1
    sizes = biggan.DEEP_DISCRIMINATOR if deep else biggan.DISCRIMINATOR
    size = next((size for size, layout in sizes.items() if len(layout) - deep == blocks), None)
    if size is None:
        raise not_this_network(
            kind, state, f"it has {blocks} blocks, which is not a size of {'BigGAN-deep' if deep else 'BigGAN'}"
        )
    width, channels, *_ = shape_of(kind, state, "input_conv.weight" if deep else "blocks.0.0.conv1.weight")
    taper = size == 32 and _narrows(state, 4)
    if deep:
        first, halved = biggan.DEEP_DISCRIMINATOR[size][0], [True] * blocks
    else:
        layout = biggan.TAPERED_DISCRIMINATOR if taper else biggan.DISCRIMINATOR[size]
        first, halved = layout[0][0], [halve for _, halve in layout]
    attention = _attention(state, lambda stage: size >> sum(halved[: stage + 1]))
    return {
        "image_size": size,
        "channels": channels,
        "classes": classes,
        "deep": deep,
        "ndf": width // first,
        "attention": attention,
        "taper": taper,
    }


def _narrows(state: State, blocks: int) -> bool:
    """Whether the first and the last block have other widths: at 32 px, those of the official code have one."""
    first, last = (state.get(f"blocks.{i}.0.conv1.weight") for i in (0, blocks - 1))
    return first is not None and last is not None and len(first) != len(last)


def _attention(state: State, size_of) -> int:
    stages = [int(m[1]) for m in (re.match(r"blocks\.(\d{1,2})\.\d{1,2}\.theta\.weight", name) for name in state) if m]
    return size_of(stages[0]) if stages else 0


# ---- where the arrays go ---------------------------------------------------------------------------------------------
def _generator_places(config: Mapping):
    def places(network) -> dict[str, Place]:
        found = {}
        if config["shared_dim"]:
            kernel = network.get_layer("shared").kernel
            found["shared.weight"] = Place(kernel, tuple(kernel.shape))
        found |= _spectral(network.get_layer("project"), "linear", (4, 4))
        stages = (config["image_size"] // 4).bit_length() - 1
        for stage in range(stages):
            for part, block in _blocks(stage, config["deep"]):
                # Each block of G is a list of its own, those of a stage of D one list.
                index = 2 * stage + part if config["deep"] else stage
                prefix = f"blocks.{index}.0"
                for ours, theirs in _convolutions(network, block):
                    found |= _spectral(network.get_layer(ours), f"{prefix}.{theirs}")
                for norm in range(1, 5 if config["deep"] else 3):
                    found |= _conditional(network, f"{block}_{norm}", f"{prefix}.bn{norm}", bool(config["shared_dim"]))
            if config["attention"] == 8 << stage:
                found |= _attention_places(network, f"blocks.{index}.1")
        norm = network.get_layer("out_norm")
        found |= {"output_layer.0.gain": _vector(norm.gamma), "output_layer.0.bias": _vector(norm.beta)}
        found |= _statistics(norm, "output_layer.0")
        return found | _spectral(network.get_layer("out_conv"), "output_layer.2")

    return places


def _discriminator_places(config: Mapping):
    def places(network) -> dict[str, Place]:
        found: dict[str, Place] = {}
        size = config["image_size"]
        deep = config["deep"]
        layout: Sequence = biggan.TAPERED_DISCRIMINATOR if config["taper"] else biggan.DISCRIMINATOR.get(size, ())
        layout = biggan.DEEP_DISCRIMINATOR[size][1:] if deep else layout
        if deep:
            found |= _spectral(network.get_layer("stem"), "input_conv")
        placed = not config["attention"]
        for stage, block in enumerate(layout):
            for part, name in _blocks(stage, deep):
                for ours, theirs in _convolutions(network, name):
                    found |= _spectral(network.get_layer(ours), f"blocks.{stage}.{part}.{theirs}")
            size >>= deep or block[1]
            if size == config["attention"] and not placed:
                found |= _attention_places(network, f"blocks.{stage}.{2 if deep else 1}")
                placed = True
        table = network.get_layer("projection")
        found |= {"embed.weight": _vector(table.kernel), "embed.u0": _row(table.u)}
        return found | _spectral(network.get_layer("score"), "linear")

    return places


def _blocks(stage: int, deep: bool) -> list[tuple[int, str]]:
    return [(0, f"block{stage + 1}a"), (1, f"block{stage + 1}b")] if deep else [(0, f"block{stage + 1}")]


def _convolutions(network, block: str) -> list[tuple[str, str]]:
    names = {layer.name for layer in network.layers}
    pairs = [(f"{block}_conv{i}", f"conv{i}") for i in range(1, 5)] + [(f"{block}_skip", "conv_sc")]
    return [(ours, theirs) for ours, theirs in pairs if ours in names]


def _conditional(network, ours: str, theirs: str, shared: bool) -> dict[str, Place]:
    found = _statistics(network.get_layer(f"{ours}_norm"), theirs)
    for part, name in (("gain", "gain"), ("offset", "bias")):
        layer = network.get_layer(f"{ours}_{part}")
        found |= _spectral(layer, f"{theirs}.{name}") if shared else {f"{theirs}.{name}.weight": _vector(layer.kernel)}
    return found


def _statistics(norm, prefix: str) -> dict[str, Place]:
    return {f"{prefix}.stored_mean": _vector(norm.moving_mean), f"{prefix}.stored_var": _vector(norm.moving_variance)}


def _attention_places(network, prefix: str) -> dict[str, Place]:
    found = {f"{prefix}.gamma": _vector(network.get_layer("attention").gamma)}
    for theirs, ours in _PARTS.items():
        found |= _spectral(network.get_layer(f"attention_{ours}"), f"{prefix}.{theirs}")
    return found


def _vector(variable) -> Place:
    return Place(variable, tuple(variable.shape))


def _row(variable) -> Place:
    """A vector of ours that is a row (1, n) there."""
    return Place(variable, (1, *variable.shape), lambda array: array[0])


def _spectral(layer, prefix: str, grid: tuple[int, int] | None = None) -> dict[str, Place]:
    """Kernel, bias and u of a layer. `grid`: the outputs are a map (C, H, W) there and (H, W, C) here."""
    shape = tuple(layer.kernel.shape)
    theirs = (shape[-1], shape[-2], *shape[:-2])
    order = np.arange(shape[-1])
    if grid:
        order = order.reshape(-1, *grid).transpose(1, 2, 0).ravel()

    def kernel(array):
        return np.moveaxis(array[order], (0, 1), (-1, -2))

    found = {f"{prefix}.weight": Place(layer.kernel, theirs, kernel)}
    if layer.use_bias:
        found[f"{prefix}.bias"] = Place(layer.bias, tuple(layer.bias.shape), lambda array: array[order])
    if getattr(layer, "u", None) is not None:
        found[f"{prefix}.u0"] = Place(layer.u, (1, *layer.u.shape), lambda array: array[0][order])
    return found


# ---- TF-Hub's BigGAN-deep --------------------------------------------------------------------------------------------
def _of_hub(kind: str, state: State, truncation: float) -> dict[str, np.ndarray]:
    """The state under ajbrock's names and in his order, divided by its spectral norms, for one truncation."""
    if not isinstance(truncation, int | float) or not 0 < truncation <= 1:
        raise GanzooError(f"truncation of a TF-Hub state lies in (0, 1]; received {truncation!r}.")
    shared = shape_of(kind, state, "embeddings.weight", 2)[0]
    found = {"shared.weight": np.ascontiguousarray(state["embeddings.weight"].T)}
    divided = _divided(kind, {name: a for name, a in state.items() if name != "embeddings.weight"})
    block, place = 0, {}
    for index in range(last_number(r"^layers\.(\d+)\.", divided) + 1):
        if f"layers.{index}.gamma" in divided:
            place[index] = f"blocks.{block - 1}.1"
        else:
            place[index], block = f"blocks.{block}.0", block + 1
    latent = shape_of(kind, divided, "gen_z.weight", 2)[1] - shared
    for name, array in divided.items():
        if name == "gen_z.weight" or re.search(r"\.(scale|offset)\.weight$", name):
            array = np.concatenate([array[:, latent:], array[:, :latent]], axis=1)  # [z, embedding] -> [embedding, z]
        if name in ("gen_z.weight", "gen_z.bias"):
            # Its map is (H, W, C), and `_spectral` expects (C, H, W).
            array = np.moveaxis(array.reshape(4, 4, -1, *array.shape[1:]), 2, 0).reshape(array.shape)
        if name.startswith("conv_to_rgb."):
            array = array[:3]
        if name.endswith(".gamma") and array.shape == (1,):
            array = array[0]
        found[_renamed(name, place)] = _statistic(kind, name, array, truncation)
    return found


def _divided(kind: str, state: State) -> dict[str, np.ndarray]:
    """`weight_orig` / (u W v) instead of the three."""
    found = {}
    for name, array in state.items():
        prefix, _, last = name.rpartition(".")
        if last in ("weight_u", "weight_v"):
            continue
        if last == "weight_orig":
            if not {f"{prefix}.weight_u", f"{prefix}.weight_v"} <= state.keys():
                raise not_this_network(kind, state, f'"{name}" comes without weight_u and weight_v')
            rows = array.reshape(len(array), -1).astype(np.float64)
            u, v = state[f"{prefix}.weight_u"], state[f"{prefix}.weight_v"]
            if u.shape != rows.shape[:1] or v.shape != rows.shape[1:]:
                raise not_this_network(kind, state, f'"{prefix}.weight_u" and weight_v do not fit "{name}"')
            array, name = (array / (u @ rows @ v)).astype(np.float32), f"{prefix}.weight"
        found[name] = array
    return found


def _statistic(kind: str, name: str, array: np.ndarray, truncation: float) -> np.ndarray:
    if not name.endswith(("running_means", "running_vars")):
        return array
    if array.ndim != 2 or len(array) < 2:
        raise GanzooError(
            f'This state does not fit {kind}: "{name}" is {array.shape}, and not the statistics of several truncations.'
        )
    at = truncation * (len(array) - 1)
    below = min(int(at), len(array) - 2)
    share = at - below
    return (1 - share) * array[below] + share * array[below + 1]


def _renamed(name: str, place: Mapping[int, str]) -> str:
    if name.startswith("gen_z."):
        return name.replace("gen_z.", "linear.")
    if name.startswith("conv_to_rgb."):
        return name.replace("conv_to_rgb.", "output_layer.2.")
    name = name.replace(".running_means", ".stored_mean").replace(".running_vars", ".stored_var")
    if name.startswith("bn."):
        last = name.removeprefix("bn.")
        return f"output_layer.0.{ {'weight': 'gain'}.get(last, last) }"
    found = re.fullmatch(r"layers\.(\d{1,3})\.(.*)", name)
    if not found or int(found[1]) not in place:
        return name
    rest = found[2]
    if attention := re.match(r"snconv1x1_(theta|phi|g|o_conv)\.", rest):
        rest = f"{'o' if attention[1] == 'o_conv' else attention[1]}.{rest[attention.end() :]}"
    rest = re.sub(r"^(conv|bn)_(\d)\.", lambda m: f"{m[1]}{int(m[2]) + 1}.", rest)
    return f"{place[int(found[1])]}.{rest.replace('.scale.', '.gain.').replace('.offset.', '.bias.')}"


NETWORKS = {"generator": generator, "discriminator": discriminator}
