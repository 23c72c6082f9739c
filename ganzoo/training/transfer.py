"""Weights of one model for another that is not quite the same: other classes, other image channels, another size.

| variable | of the new model |
|---|---|
| same key, same shape | reused |
| first layers, RGB to grey | sum over the three channels: a grey picture gives what its RGB copy gave |
| first layers, grey to RGB | a third for each channel: a grey picture in RGB gives what it gave |
| last layers, RGB to grey and back | mean of the three; repeated |
| label embedding, logit of each class | every class begins as the mean of the old ones |
| rows of classes that both models have names for (biggan) | by name; a new one as the mean of the old ones |
| columns of attributes | by name; a new value of an attribute as the mean of its old ones, a new attribute as zeros |
| anything else | new, as random weights are |

Equalised layers scale by their fan-in, and their mapped kernels are scaled to match. Shipped models have 1 or 3 channels.
"""

from collections.abc import Mapping

import keras
import numpy as np

from ganzoo.base import BaseGAN
from ganzoo.errors import GanzooError
from ganzoo.layers import EqualizedConv2D, EqualizedDense


class Transfer:
    """Fills a model from arrays, as far as they go: instead of `weights.assign` for `zoo.load_into`.

    After the call `rows` holds (key, "reused" | how it was mapped | "new") of every variable, `left` the keys of the
    arrays that the model has no place for.
    """

    def __init__(self, model: BaseGAN, before: Mapping | None = None):
        """`before`: the constructor's arguments of the model that the arrays are of, where they are known."""
        self.model, self.before = model, before
        self.rows: list[tuple[str, str]] = []
        self.left: list[str] = []

    def __call__(self, variables: Mapping, arrays: Mapping[str, np.ndarray], where: str) -> None:
        """Raises GanzooError if nothing fits, and so the arrays are of another model."""
        sides = _sides(self.model)
        found = {
            key: (self.before is not None and key in arrays and self.model.mapped(key, arrays[key], self.before))
            or _fitted(self.model, key, variable, arrays.get(key), sides)
            for key, variable in variables.items()
        }
        self.rows = [(key, how) for key, (_, how) in found.items()]
        self.left = [key for key in arrays if key not in variables]
        if not self.reused:
            raise GanzooError(f"{where} holds nothing that fits this {self.model.paper}: no key and shape is the same.")
        for key, (value, _) in found.items():
            if value is not None:
                variables[key].assign(value.astype(variables[key].dtype))
        for key, how in self.rows:
            if how == "new" and key.startswith("ema_"):  # begins where its network does
                variables[key].assign(variables[key.removeprefix("ema_")].value)

    @property
    def reused(self) -> int:
        return sum(how == "reused" for _, how in self.rows)

    def summary(self) -> str:
        """One sentence: how many were reused, and which were not."""
        text = f"{self.reused} of {len(self.rows)} variables reused"
        mapped = [f"{key} ({how})" for key, how in self.rows if how not in ("reused", "new")]
        new = [key for key, how in self.rows if how == "new"]
        for title, keys in (("mapped", mapped), ("new", new), ("left out", self.left)):
            if keys:
                text += f"; {title}: {', '.join(keys[:6])}" + (f" and {len(keys) - 6} more" if len(keys) > 6 else "")
        return f"{text}."

    def facts(self) -> dict:
        """For the manifest: the summary, and how each variable began."""
        return {"summary": self.summary(), "variables": dict(self.rows) | dict.fromkeys(self.left, "left out")}


def _sides(model: BaseGAN) -> dict[int, tuple[int, float | None]]:
    """What has an axis of image channels, by id of the variable: (the axis, power of the fan-in that its layer divides by; None
    for an axis that is put out)."""
    found: dict[int, tuple[int, float | None]] = {}
    for name, network in model.networks().items():
        kernels = [layer for layer in network._flatten_layers() if hasattr(layer, "kernel")]
        order = {variable.path: place for place, variable in enumerate(network.weights)}
        kernels.sort(key=lambda layer: order[layer.kernel.path])
        makes = name.removeprefix("ema_") in model.players["g_optimizer"]
        for layer in kernels:
            turned = isinstance(layer, keras.layers.Conv2DTranspose)
            if makes and (layer is kernels[-1] or layer.name.startswith(model.makes_channels)):
                found[id(layer.kernel)] = (-2 if turned else -1, None)
                if getattr(layer, "bias", None) is not None:
                    found[id(layer.bias)] = (-1, None)
            if (not makes or model.task == "image") and (
                layer is kernels[0] or layer.name.startswith(model.takes_channels)
            ):
                found[id(layer.kernel)] = (-2, 0.5 if isinstance(layer, EqualizedConv2D | EqualizedDense) else 0.0)
    return found


def _fitted(model: BaseGAN, key: str, variable, array: np.ndarray | None, sides) -> tuple[np.ndarray | None, str]:
    """(what the variable becomes, how) of its array in the file; (None, "new") where there is no honest rule."""
    if array is None:
        return None, "new"
    shape = tuple(variable.shape)
    if array.shape == shape:
        return array, "reused"
    differ = [axis - len(shape) for axis, size in enumerate(shape) if array.shape[axis : axis + 1] != (size,)]
    if array.ndim != len(shape) or len(differ) != 1:
        return None, "new"
    axis = differ[0]
    before, now = array.shape[axis], shape[axis]
    if any(axis == of_classes and f"/{layer}/" in key for layer, of_classes in model.class_axes.items()):
        return np.repeat(array.mean(axis, keepdims=True), now, axis), f"mean of {before} classes"
    side, power = sides.get(id(variable), (None, None))
    if side != axis or max(before, now) != 3 * min(before, now):
        return None, "new"
    takes, x = power is not None, np.moveaxis(array.astype("float32"), axis, -1)
    if before > now:
        parts = x.reshape(*x.shape[:-1], now, 3)  # the channels of a pixel lie together, also in flat pictures
        x, how = (parts.sum(-1), "sum over RGB") if takes else (parts.mean(-1), "mean of RGB")
    else:
        x, how = (np.repeat(x, 3, -1) / 3, "a third for each of RGB") if takes else (np.repeat(x, 3, -1), "grey in RGB")
    if takes:
        x = x * np.float32((now / before) ** power)  # an equalised layer divides by the root of its new fan-in
    return np.moveaxis(x, -1, axis), how
