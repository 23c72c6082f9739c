"""StyleGAN networks of github.com/NVlabs/stylegan (`karras2019stylegan-ffhq-1024x1024.pkl` and its siblings).

The official files are pickles of code, which nothing here runs. Where the official code works, write the variables out:

    numpy.savez("gs.npz", **{name: var for name, var in zip(Gs.vars, tflib.run(list(Gs.vars.values())))})

Names are the TensorFlow variables', parted by "/" or ".": `Dense0/weight` of the mapping network, `4x4/Const/const` and
`noise0` of the synthesis network, `FromRGB_lod0/weight` of the discriminator; a whole generator has them under `G_mapping`
and `G_synthesis`, and `dlatent_avg` next to them. Values are the raw ones, before the equalised learning rate scales them.
Keywords have the official names (`fused_scale`, `mapping_lrmul`, `mbstd_group_size`, `label_size`, ...) or ours.
"""

import functools
import re
from collections.abc import Callable, Mapping

import keras
import numpy as np

from ganzoo.errors import GanzooError
from ganzoo.importers._networks import ChosenNoise
from ganzoo.importers._state import Place, Plan, State, assign, not_this_network, settings, shape_of
from ganzoo.models import stylegan_lite

_OURS = {
    "resolution": "image_size",
    "num_channels": "channels",
    "latent_size": "latent_dim",
    "dlatent_size": "w_dim",
    "mapping_fmaps": "mapping_width",
    "mapping_lrmul": "lrmul",
    "label_size": "classes",
    "mbstd_group_size": "stddev_group",
    "use_noise": "noise_inputs",
}  # official keyword -> ours
_MAPPING = {"mapping_layers": "depth", "mapping_width": "width"}  # the model's argument -> Mapping's
_NCHW = functools.partial(np.transpose, axes=(0, 2, 3, 1))


def mapping(state: State, **keywords) -> keras.Model:
    """f: z (N, latent_dim) or [z, labels] -> w (N, w_dim); labels one-hot or whole numbers.

    Args:
        state: with the names of G_mapping, or of a whole generator.
        keywords: `mapping_lrmul`, 0.01 if not given: the weights do not tell it.
    """
    kind = "stylegan.mapping"
    state = _named(state, "G_mapping.")
    inferred = {_MAPPING.get(key, key): value for key, value in _mapping_facts(kind, state).items()}
    given = {_MAPPING.get(key, key): value for key, value in _translated(keywords).items()}
    network = stylegan_lite.Mapping(**settings(kind, stylegan_lite.Mapping.__init__, inferred, given))
    assign(kind, network, state, _mapping_places)
    return network


def synthesis(state: State, *, fused_scale="auto", noise="stored", **keywords) -> keras.Model:
    """g: `network(w, lod=0.0, noise=None)`, w (N, layers, w_dim) or (N, w_dim) -> images (N, H, W, C), about [-1, 1].

    Args:
        state: with the names of G_synthesis, or of a whole generator.
        fused_scale: how the network was trained: True, False, or "auto", the official default: from 128 px on. The fused
            up-convolution applies the kernel turned by 180 degrees, so that the same weights mean another network.
        noise: "stored" takes the state's noise maps, "random" draws fresh ones; a call's own `noise` goes first.
    """
    kind = "stylegan.synthesis"
    state = _named(state, "G_synthesis.")
    build = stylegan_lite.Synthesis
    network = build(**settings(kind, build.__init__, _synthesis_facts(kind, state), _translated(keywords)))
    assign(kind, network, state, _synthesis_places(fused_scale))
    return ChosenNoise(network, noise=noise)


def generator(state: State, *, fused_scale="auto", **keywords) -> keras.Model:
    """Both of a whole generator and its mean of w: a `stylegan_lite.Generator`, z or [z, labels] -> images.

    Keywords as of `mapping` and `synthesis`; the noise is the stored one.
    """
    kind = "stylegan.generator"
    state = _named(state)
    build = stylegan_lite.build_generator
    network = build(**settings(kind, build, _generator_facts(kind, state), _translated(keywords)))
    assign(kind, network, state, _generator_places(fused_scale))
    return network


def discriminator(state: State, *, fused_scale="auto", **keywords) -> keras.Model:
    """D: `network(images, lod=0.0)`, or `network([images, labels], lod=0.0)` if it knows labels -> logits (N, 1).

    Args:
        fused_scale: for symmetry; halving is the same in both forms.
        keywords: `mbstd_group_size`, 4 if not given; `label_size`, which the last layer tells unless it is 1.
    """
    kind = "stylegan.discriminator"
    _is_fused(fused_scale, 128)
    state = _named(state)
    build = stylegan_lite.build_discriminator
    network = build(**settings(kind, build, _discriminator_facts(kind, state), _translated(keywords)))
    assign(kind, network, state, _discriminator_places)
    return network


def plan(states: Mapping[str, State], keywords: Mapping) -> Plan:
    """A whole model from the state of a generator; without a "discriminator" state D starts fresh, of G's widths."""
    keywords = dict(keywords)
    fused_scale = keywords.pop("fused_scale", "auto")
    states = {network: _named(state) for network, state in states.items()}
    inferred = _generator_facts("stylegan.generator", states["generator"])
    places: dict[str, Callable] = {"generator": _generator_places(fused_scale), "discriminator": _discriminator_places}
    if "discriminator" in states:
        found = _discriminator_facts("stylegan.discriminator", states["discriminator"])
        inferred["fmap_base"] = found["fmap_base"] = max(inferred["fmap_base"], found["fmap_base"])
        for key, value in found.items():
            if inferred[key] != value:
                raise GanzooError(
                    f"The files are not of one model: {key} is {inferred[key]} in the generator's and {value} in the "
                    "discriminator's."
                )
    config = settings("stylegan", stylegan_lite.StyleGAN.__init__, inferred, _translated(keywords))
    channels = {"channels": config["channels"]} if config["channels"] in (1, 3) else {}
    networks = {network: (state, places[network]) for network, state in states.items()}
    return Plan("ffhq-1024", config, {"size": config["image_size"]} | channels, networks)


# ---- sizes -----------------------------------------------------------------------------------------------------------
def _mapping_facts(kind: str, state: State, prefix: str = "") -> dict:
    latent_dim, width = shape_of(kind, state, f"{prefix}Dense0.weight", 2)
    classes = 0
    if f"{prefix}LabelConcat.weight" in state:
        classes, latent_dim = shape_of(kind, state, f"{prefix}LabelConcat.weight", 2)
    depth = 1 + max(int(n) for n in re.findall(rf"^{re.escape(prefix)}Dense(\d+)\.", "\n".join(state), re.MULTILINE))
    w_dim = shape_of(kind, state, f"{prefix}Dense{depth - 1}.weight", 2)[1]
    sizes = {"latent_dim": latent_dim, "w_dim": w_dim, "mapping_width": width, "mapping_layers": depth}
    return sizes | {"classes": classes}


def _synthesis_facts(kind: str, state: State, prefix: str = "") -> dict:
    levels = _levels(kind, state, prefix)
    widths = {2: shape_of(kind, state, f"{prefix}4x4.Const.const")[1]}
    for level in levels[1:]:
        widths[level] = shape_of(kind, state, f"{prefix}{_size(level)}.Conv1.weight")[3]
    sizes = {
        "image_size": 2 ** levels[-1],
        "channels": shape_of(kind, state, f"{prefix}ToRGB_lod0.weight")[3],
        "w_dim": shape_of(kind, state, f"{prefix}4x4.Const.StyleMod.weight", 2)[0],
        "growing": f"{prefix}ToRGB_lod1.weight" in state,
        "noise_inputs": any(".Noise." in name for name in state),
    }
    return sizes | _fmaps(kind, state, widths)


def _generator_facts(kind: str, state: State) -> dict:
    return _synthesis_facts(kind, state, "G_synthesis.") | _mapping_facts(kind, state, "G_mapping.")


def _discriminator_facts(kind: str, state: State) -> dict:
    levels = _levels(kind, state)
    units, classes = shape_of(kind, state, "4x4.Dense1.weight", 2)
    widths = {1: units, 2: shape_of(kind, state, "4x4.Conv.weight")[3]}
    for level in levels[1:]:
        widths[level] = shape_of(kind, state, f"{_size(level)}.Conv0.weight")[3]
    sizes = {
        "image_size": 2 ** levels[-1],
        "channels": shape_of(kind, state, "FromRGB_lod0.weight")[2],
        "classes": classes if classes > 1 else 0,
        "growing": "FromRGB_lod1.weight" in state,
    }
    return sizes | _fmaps(kind, state, widths)


def _levels(kind: str, state: State, prefix: str = "") -> range:
    found = re.findall(rf"^{re.escape(prefix)}(\d+)x\1\.", "\n".join(state), re.MULTILINE)
    largest = max(map(int, found), default=0)
    if largest < 8 or largest & (largest - 1):
        raise not_this_network(kind, state, 'it has no layers of a size from 8 upwards, such as "8x8.Conv1.weight"')
    return range(2, largest.bit_length())


def _fmaps(kind: str, state: State, widths: Mapping[int, int]) -> dict:
    """`fmap_base` and `fmap_max` of the feature maps at sizes 2^level."""
    fmap_max = max(widths.values())
    fmap_base = max(width << (level - 1) for level, width in widths.items())
    for level, width in widths.items():
        if min(fmap_base >> (level - 1), fmap_max) != width:
            raise not_this_network(
                kind,
                state,
                f"its feature maps do not halve from size to size as the paper's: {width} at {_size(level)}",
            )
    return {"fmap_base": fmap_base, "fmap_max": fmap_max}


def _size(level: int) -> str:
    return f"{2**level}x{2**level}"


# ---- names -----------------------------------------------------------------------------------------------------------
def _named(state: State, part: str = "") -> State:
    """The state with "." instead of "/", without the `lod` of progressive growing; of a generator only `part`."""
    state = {name.replace("/", "."): array for name, array in state.items()}
    state = {name: array for name, array in state.items() if name.rpartition(".")[2] != "lod"}
    if part and any(name.startswith(part) for name in state):
        return {name.removeprefix(part): array for name, array in state.items() if name.startswith(part)}
    return state


def _translated(keywords: Mapping) -> dict:
    return {_OURS.get(key, key): value for key, value in keywords.items()}


def _is_fused(fused_scale, size: int) -> bool:
    if fused_scale not in (True, False, "auto"):
        raise GanzooError(f'fused_scale is True, False or "auto" (from 128 px on); received {fused_scale!r}.')
    return size >= 128 if fused_scale == "auto" else bool(fused_scale)


def _as_is(variable: keras.Variable) -> Place:
    return Place(variable, tuple(variable.shape))


def _channels_first(variable: keras.Variable) -> Place:
    n, h, w, c = variable.shape
    return Place(variable, (n, c, h, w), _NCHW)


def _turned(array: np.ndarray) -> np.ndarray:
    return array[::-1, ::-1]


def _dense_of_maps(variable: keras.Variable) -> Place:
    """A dense layer behind 4x4 maps, which the reference flattens with the channels first."""
    rows, units = variable.shape

    def convert(array):
        return array.reshape(rows // 16, 4, 4, units).transpose(1, 2, 0, 3).reshape(rows, units)

    return Place(variable, (rows, units), convert)


def _layer(layer, prefix: str) -> dict[str, Place]:
    bias = {f"{prefix}.bias": _as_is(layer.bias)} if layer.use_bias else {}
    return {f"{prefix}.weight": _as_is(layer.kernel)} | bias


def _mapping_places(network: stylegan_lite.Mapping, prefix: str = "") -> dict[str, Place]:
    places = _layer(network.embedding, f"{prefix}LabelConcat") if network.classes else {}
    for i, dense in enumerate(network.stack):
        places |= _layer(dense, f"{prefix}Dense{i}")
    return places


def _synthesis_places(fused_scale, prefix: str = "") -> Callable:
    def places(network: stylegan_lite.Synthesis) -> dict[str, Place]:
        found = {f"{prefix}4x4.Const.const": _channels_first(network.const)}
        for i, epilogue in enumerate(network.epilogues):
            level, second = divmod(i, 2)
            level += 2
            part = (("Const", "Conv") if level == 2 else ("Conv0_up", "Conv1"))[second]
            at = f"{prefix}{_size(level)}.{part}"
            found |= {
                f"{at}.bias": _as_is(epilogue.bias),
                f"{at}.StyleMod.weight": _as_is(epilogue.style_kernel),
                f"{at}.StyleMod.bias": _as_is(epilogue.style_bias),
            }
            if network.noisy:
                found |= {f"{at}.Noise.weight": _as_is(epilogue.strength)}
                found |= {f"{prefix}noise{i}": _channels_first(epilogue.noise)}
            if i:  # the constant stands instead of the first convolution
                place = _as_is(network.convolutions[i - 1].kernel)
                turned = part == "Conv0_up" and _is_fused(fused_scale, 2**level)
                found[f"{at}.weight"] = Place(place.variable, place.shape, _turned) if turned else place
        for size, layer in network.to_rgb.items():
            found |= _layer(layer, f"{prefix}ToRGB_lod{network.levels[-1] - int(size)}")
        return found

    return places


def _generator_places(fused_scale) -> Callable:
    def places(network: stylegan_lite.Generator) -> dict[str, Place]:
        found = {"dlatent_avg": _as_is(network.w_avg)} | _mapping_places(network.mapping, "G_mapping.")
        return found | _synthesis_places(fused_scale, "G_synthesis.")(network.synthesis)

    return places


def _discriminator_places(network: stylegan_lite.Discriminator) -> dict[str, Place]:
    places: dict[str, Place] = {}
    for level, layer in network.from_rgb.items():
        places |= _layer(layer, f"FromRGB_lod{network.levels[-1] - int(level)}")
    for level, layers in network.blocks.items():
        for layer, part in zip(layers, ("Conv0", "Conv1_down"), strict=True):
            places |= _layer(layer, f"{_size(int(level))}.{part}")
    places |= _layer(network.convolution, "4x4.Conv") | _layer(network.logit, "4x4.Dense1")
    return places | _layer(network.dense, "4x4.Dense0") | {"4x4.Dense0.weight": _dense_of_maps(network.dense.kernel)}


NETWORKS = {"mapping": mapping, "synthesis": synthesis, "generator": generator, "discriminator": discriminator}
