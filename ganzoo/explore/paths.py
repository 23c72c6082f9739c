"""Pictures along paths through a latent space: between points, towards the average, by style layer, along directions.

Each function takes a loaded model and points by name (`ganzoo.explore.points`) and returns uint8 tables of pictures
(rows, columns, H, W, C); `ganzoo.media.animation` makes sheets and animations of them.
"""

import itertools
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from ganzoo.base.rows import seeds_of
from ganzoo.errors import GanzooError
from ganzoo.explore.factorisation import Directions, factorise
from ganzoo.explore.points import points
from ganzoo.explore.spaces import Noise, Styles, open_space, styles_of

TRUNCATIONS = (1.0, 0.8, 0.6, 0.4, 0.2)
PSIS = (1.0, 0.7, 0.5, 0.0, -0.5, -1.0)  # Karras et al. 2018, figure 8
NAMED_LAYERS = {"coarse": (0, 4), "middle": (4, 8), "fine": (8, 99), "all": (0, 99)}  # figure 3: 4-8, 16-32, 64- px
MOST = 4096  # pictures of one table


def interpolate(model, wanted="0:0-3", *, steps: int = 8, loop: bool = False, space: str | None = None, **options):
    """Row i goes from point i to point i + 1 in `steps` pictures, both ends included.

    Args:
        model: any latent model.
        wanted: two points or more.
        loop: one more row leads from the last point to the first.
        space: "z", where the way is an arc (see `slerp`), or "w", where it is a line. z where all points are samples.
        options: of models with styles: truncation_psi, cutoff, label. Of models with classes: label, one for all points, one
            for each, or several for a single point, which then goes from class to class with its noise as it is (Brock et al.
            2018, figure 8).

    Raises:
        GanzooError: fewer than two points, steps below 2, or a space or option that the model does not have.
    """
    found = any(point.file for point in points(wanted))  # of a projection into w there is no z
    home = open_space(model, space, prefer="w" if found else "z", **options)
    ends = home.read(wanted)
    if len(ends) < 2:
        raise GanzooError(f"A path leads from one point to another; received {len(ends)} point.")
    _at_least("steps", steps, 2)
    ends = np.concatenate([ends, ends[:1]]) if loop else ends
    shares = [i / (steps - 1) for i in range(steps)]
    path = [home.between(a, b, t) for a, b in itertools.pairwise(ends) for t in shares]
    return _table(home, path, steps)


def arithmetic(model, wanted="0:0-2", *, space: str | None = None, **options):
    """Row i shows a, b, c of the i-th three points, and a - b + c: what tells a from b is given to c.

    Radford et al. 2015, section 6.3.2, for faces; Wu et al. 2016, figure 8, for shapes.

    Args:
        model: any latent model.
        wanted: three points, or six, nine, ...
        space: "z", or "w" where the model has styles. z where all points are samples.
        options: of models with styles: truncation_psi, cutoff, label.

    Raises:
        GanzooError: another number of points, or a space or option that the model does not have.
    """
    found = any(point.file for point in points(wanted))
    home = open_space(model, space, prefer="w" if found else "z", **options)
    known = home.read(wanted)
    if len(known) % 3:
        raise GanzooError(f"Arithmetic takes points in threes, a - b + c; received {len(known)}.")
    path = [x for a, b, c in known.reshape(-1, 3, *known.shape[1:]) for x in (a, b, c, a - b + c)]
    return _table(home, path, 4)


def truncate(model, wanted="0:0-3", *, psis: Sequence[float] = PSIS, cutoff: int | None = None, label=None):
    """Row i is point i at each psi: w moves towards the average of all styles, which psi = 0 shows (figure 8).

    Args:
        model: a model with styles.
        psis: within [-1, 1]; negative ones show the opposite face.
        cutoff: styles of the first so many layers only; all by default.

    Raises:
        GanzooError: a model without styles, or psi outside [-1, 1].
    """
    home = styles_of(model, "psi", truncation_psi=1.0, label=label)
    if not len(psis):
        raise GanzooError("Truncation needs at least one psi; received none.")
    path = [home.truncated(point, psi, cutoff) for point in home.read(wanted) for psi in psis]
    return _table(home, path, len(psis))


def truncate_noise(
    model, wanted="0:0-3", *, truncations: Sequence[float] = TRUNCATIONS, label=None, resample: bool = False
):
    """Row i is sample i at each truncation, of noise drawn for it (Brock et al. 2018, figure 2a).

    Args:
        model: a model whose `generate` takes `truncation`, such as biggan.
        wanted: samples; not files.
        truncations: 1 is the noise as in training.
        label: a class for all, or one for each sample; None for those that `generate` shows them in.
        resample: the paper's form of truncation.

    Raises:
        GanzooError: a model without truncated noise, a projection, or a truncation or class that the model does not have.
    """
    if not model.truncates_noise:
        raise GanzooError(f"{model.full_name} does not truncate its noise; biggan does, and stylegan-lite its styles.")
    found = points(wanted)
    if any(point.file for point in found):
        raise GanzooError("Truncated noise is drawn from a seed; a projection has none. Name samples, as 0:5-8.")
    if not len(truncations):
        raise GanzooError("Truncation needs at least one number; received none.")
    for truncation in truncations:
        model.checked_truncation(truncation, resample)
    _few(len(found) * len(truncations))
    given = label if isinstance(label, list | tuple) else [label] * len(found)
    if len(given) != len(found):
        raise GanzooError(f"There is a class for each sample, or one for all; received {len(given)} for {len(found)}.")
    shown = [point.cell % model.classes if one is None else one for point, one in zip(found, given, strict=True)]
    seeds = tf.concat(
        [seeds_of(tf.constant([point.seed], tf.int64), tf.constant([point.cell])) for point in found], axis=0
    )
    columns = []
    for truncation in truncations:
        z = model.truncated_latents(seeds, truncation, resample)
        columns.append(model.generate(latents=z, label=shown, truncation=truncation, resample=resample))
    return np.stack(columns, axis=1)


def mix(model, rows="0:0-1", columns="0:2-6", *, layers: Sequence[range] | str = "coarse,middle,fine", **options):
    """The style-mixing matrix of figure 3: uint8 (1 + groups x rows, 1 + columns, H, W, C), the corner white.

    Above stand the pictures of `columns` (source B), left those of `rows` (source A), once for each group of layers; a cell
    takes the styles of that group from B and all others from A.

    Args:
        layers: groups, as ranges of layer numbers or as text: "coarse" (the layers of 4 to 8 px), "middle" (16 to 32),
            "fine" (64 and more), "all", or numbers as "0-3,4,5-9". Groups above the model's resolution are left out.
        options: truncation_psi, cutoff, label.

    Raises:
        GanzooError: a model without styles, or a group that it does not have.
    """
    home = styles_of(model, "style layers", **options)
    a, b = home.read(rows), home.read(columns)
    groups = list(layer_groups(layers, home.layers).values()) if isinstance(layers, str) else list(layers)
    mixed = [home.mixed(one, other, group) for group in groups for one in a for other in b]
    cells = _table(home, mixed, len(b))
    above, left = home.pictures(b), np.tile(home.pictures(a), (len(groups), 1, 1, 1))
    corner = np.full_like(above[:1], 255)
    head = np.concatenate([corner, above])[None]
    return np.concatenate([head, np.concatenate([left[:, None], cells], axis=1)])


def directions(model, layers: str | None = None) -> Directions:
    """The directions that the model's first weights stretch most (`factorisation`): of z, or of w where it has styles.

    Args:
        layers: of models with styles: the group of layers whose style weights are factorised; "coarse" by default.
    """
    home = _movable(model, layers)
    return factorise(home.weights(_group(home, layers)))


def walk(
    model,
    wanted="0:0",
    *,
    directions: Sequence[int] = (0, 1, 2, 3, 4),
    reach: float = 3.0,
    steps: int = 7,
    layers: str | None = None,
    **options,
):
    """Rows: each direction, and in it each point; columns: from -reach to +reach standard deviations of the samples.

    Args:
        model: any latent model.
        directions: numbers, from 0, the most effective.
        layers: of models with styles: the group that is factorised and moved; "coarse" (the first four) by default.
        options: of models with styles: truncation_psi, cutoff, label.

    Raises:
        GanzooError: no such direction, steps below 2, or layers of a model without styles.
    """
    home = _movable(model, layers, **options)
    _at_least("steps", steps, 2)
    if not 0 < reach < 1e3:
        raise GanzooError(f"reach lies above 0, in standard deviations; received {reach:g}.")
    group = _group(home, layers)
    found = factorise(home.weights(group))
    starts, path = home.read(wanted), []
    for k in directions:
        unit = found[k] * home.spread_along(found[k])
        for start in starts:
            path += [
                home.moved(start, unit * np.float32(amount), group) for amount in np.linspace(-reach, reach, steps)
            ]
    return _table(home, path, steps)


def layer_groups(text: str, layers: int) -> dict[str, range]:
    """ "coarse,4-7,9" as ranges of layers by name, for a model of so many.

    Raises:
        GanzooError: another word, or layers that the model does not have.
    """
    groups = {}
    for word in text.lower().replace(" ", "").split(","):
        if word in NAMED_LAYERS:
            start, end = NAMED_LAYERS[word]
            if start < layers:  # a small model has no fine layers
                groups[word] = range(start, min(layers, end))
            continue
        first, dash, last = word.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise GanzooError(f'"{word}" names no layers: write {", ".join(NAMED_LAYERS)}, or numbers as 0-3.')
        groups[word] = range(int(first), int(last or first) + 1)
        if not 0 < len(groups[word]) <= layers or groups[word][-1] >= layers:
            raise GanzooError(f'The model has the layers 0 to {layers - 1}; received "{word}".')
    if not groups:
        raise GanzooError(f'The model has the layers 0 to {layers - 1} and none that are "{text}".')
    return groups


def _movable(model, layers: str | None, **options) -> Noise:
    """Where directions are: w if the model has it, else z; layers are those of w."""
    return styles_of(model, "style layers", **options) if layers else open_space(model, prefer="w", **options)


def _group(home, layers: str | None) -> range | None:
    if not isinstance(home, Styles):
        return None
    groups = layer_groups(layers or "coarse", home.layers)
    if len(groups) > 1:
        raise GanzooError(f'A walk moves one group of layers; received "{layers}".')
    return next(iter(groups.values()))


def _table(home: Noise, path: list[np.ndarray], columns: int) -> np.ndarray:
    _few(len(path))
    pictures = home.pictures(np.stack(path))
    return pictures.reshape(-1, columns, *pictures.shape[1:])


def _few(count: int) -> None:
    if count > MOST:
        raise GanzooError(f"At most {MOST:,} pictures are made at once; this would be {count:,}.")


def _at_least(name: str, value: int, least: int) -> None:
    if not isinstance(value, int | np.integer) or value < least:
        raise GanzooError(f"{name} is a whole number of at least {least}; received {value!r}.")
