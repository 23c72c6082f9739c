"""The latent spaces of a model under one interface: noise z of every latent paper, styles w of those that map z to styles.

A space turns names of points into arrays, arrays into pictures, and lies between two points in its own way.
"""

from functools import cached_property

import keras
import numpy as np
import tensorflow as tf

from ganzoo.base import labels, pixels, rows
from ganzoo.errors import GanzooError, nearest
from ganzoo.explore.points import Point, points, read_latent

SAMPLES = 4096  # draws from which the mean and spread of a space are measured


def slerp(a: np.ndarray, b: np.ndarray, t: float) -> np.ndarray:
    """The point at share `t` of the arc from a to b; rows (..., d). Exactly a at 0 and b at 1.

    Noise in many dimensions lies near a sphere; a straight line would cut through its empty inside (White 2016, arXiv
    1609.04468). Lengths change evenly on the way. Rows that no one arc joins (parallel, opposite or zero) are joined by
    a line.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    length_a, length_b = (np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12) for x in (a, b))
    cosine = np.sum(a * b, axis=-1, keepdims=True) / (length_a * length_b)
    angle = np.arccos(np.clip(cosine, -1.0, 1.0))
    arc = np.sin(angle)
    flat = (arc < 1e-6) | (np.minimum(length_a, length_b) < 1e-9)
    length, arc = (1.0 - t) * length_a + t * length_b, np.where(flat, 1.0, arc)
    left = np.where(flat, 1.0 - t, np.sin((1.0 - t) * angle) / arc * (length / length_a))
    right = np.where(flat, t, np.sin(t * angle) / arc * (length / length_b))
    return (left * a + right * b).astype(np.float32)


class Noise:
    """z (n, latent_dim), which every latent paper has; the way between two points is an arc.

    Args:
        model: gan, dcgan, ..., or a model with styles and its `styles`, through which its z becomes pictures.
    """

    name = "z"

    def __init__(self, model, styles: "Styles | None" = None):
        self.model, self.styles = model, styles

    @property
    def width(self) -> int:
        """Coordinates of a point."""
        return self.model.latent_dim

    def read(self, wanted) -> np.ndarray:
        """Points by name as float32 (n, width)."""
        return np.stack([self._read(point) for point in points(wanted)])

    def _read(self, point: Point) -> np.ndarray:
        if point.file is None:
            return self.draw(point.seed, [point.cell])[0]
        space, latent = read_latent(point, self.model)
        if space != self.name or latent.shape != (self.width,):
            raise GanzooError(
                f"{point.file} is a point of {space} with {len(latent)} coordinates; {self.name} of "
                f"{self.model.full_name} has {self.width}."
            )
        return latent

    def draw(self, seed: int, index) -> np.ndarray:
        """float32 (n, width): samples `index` of one seed, those of `generate(seed=seed)`."""
        index = np.asarray(index, np.int32)
        seeds = rows.seeds_of(tf.fill([len(index)], tf.constant(seed, tf.int64)), tf.constant(index))
        return rows.latents_of(self.model, seeds).numpy()

    def between(self, a: np.ndarray, b: np.ndarray, t: float) -> np.ndarray:
        """The point at share t of the way from a to b."""
        return slerp(a, b, t)

    def moved(self, point: np.ndarray, step: np.ndarray, group: range | None) -> np.ndarray:
        """The point after a step; `group` is of use in w only."""
        return point + step

    def pictures(self, latents: np.ndarray) -> np.ndarray:
        """uint8 (n, H, W, C) of points."""
        if self.styles is not None:
            return self.styles.pictures(self.styles.of_noise(latents))
        return self.model.pictures(self.model.generate(latents=latents))

    def images_of(self, latents: tf.Tensor) -> tf.Tensor:
        """float32 images in [-1, 1] of points (n, width), through which a gradient flows."""
        return self.model.images_of(latents)

    @cached_property
    def samples(self) -> np.ndarray:
        """Points of many samples, (SAMPLES, width): from them the centre and the spread of the space are measured."""
        return self.draw(0, np.arange(SAMPLES))

    def spread_along(self, unit: np.ndarray) -> float:
        """Standard deviation of the samples along a unit vector."""
        return float((self.samples @ unit).std())

    def weights(self, group: range | None = None) -> np.ndarray:
        """float32 (latent_dim, units): the kernel of the generator's first layer, one row for each coordinate of z."""
        own = self.model.latent_weights()
        if own is not None:
            return own
        for layer in self.model.sampler.layers:
            kernel = getattr(layer, "kernel", None)
            if kernel is None:
                continue
            kernel = np.asarray(kernel)
            if isinstance(layer, keras.layers.Conv2DTranspose | keras.layers.Conv3DTranspose):  # inputs are last
                kernel = np.moveaxis(kernel, -1, 0)
            if len(kernel) == self.width:
                return kernel.reshape(self.width, -1)
            break
        raise GanzooError(f"The generator of {self.model.full_name} does not start with a linear layer of z.")

    def without(self, what: str) -> GanzooError:
        """The error for something that only styles have."""
        return GanzooError(
            f"{self.model.full_name} has no {what}: its noise goes into the generator as it is. Models with a mapping "
            "network, such as stylegan-lite, have styles."
        )


class Classes(Noise):
    """z and weights of the classes next to it: points are (n, latent_dim + classes), an arc in z and a line between classes.

    Args:
        model: a model with classes and without styles, such as biggan.
        label: a class for all points, or a list with one for each; the points of `read` are as many as these, where a single
            one is named. None: each sample in the class that `generate` shows it in.

    Raises:
        GanzooError: a class that the model does not have.
    """

    def __init__(self, model, label=None):
        super().__init__(model)
        given = label if isinstance(label, list | tuple) else [] if label is None else [label]
        self.given = [labels.class_of(model, one) for one in given]

    def read(self, wanted) -> np.ndarray:
        """Points by name, each in its class, as float32 (n, latent_dim + classes)."""
        found = points(wanted)
        chosen = self.given or [point.cell % self.model.classes for point in found]
        if len(found) == 1:
            found = found * len(chosen)
        if len(chosen) == 1:
            chosen = chosen * len(found)
        if len(chosen) != len(found):
            raise GanzooError(
                f"Classes are one for all points, one for each, or several for a single point; received {len(chosen)} classes for "
                f"{len(found)} points."
            )
        weights = np.eye(self.model.classes, dtype=np.float32)[chosen]
        return np.concatenate([[self._read(point) for point in found], weights], axis=1)

    def between(self, a, b, t):
        """The arc between the noise of both, and so much of each class."""
        width = self.width
        return np.concatenate([slerp(a[:width], b[:width], t), ((1 - t) * a + t * b)[width:]]).astype(np.float32)

    def moved(self, point, step, group):
        result = point.copy()
        result[: self.width] += step
        return result

    def pictures(self, latents):
        """uint8 (n, H, W, C) of points, or of noise (n, latent_dim) in the first class that was asked for."""
        latents = np.asarray(latents, np.float32)
        z, weights = latents[:, : self.width], latents[:, self.width :]
        weights = weights if weights.size else np.repeat(self._one(), len(z), 0)
        show = self.model.cached("blend", lambda: rows.graph_of(lambda z, y: pixels.to_uint8(self.model.blended(z, y))))
        return rows.in_chunks(show, tf.constant(z), tf.constant(weights))

    def images_of(self, latents):
        """float32 images of noise (n, latent_dim) in the first class that was asked for."""
        return self.model.blended(latents, tf.repeat(tf.constant(self._one()), tf.shape(latents)[0], axis=0))

    def _one(self) -> np.ndarray:
        return np.eye(self.model.classes, dtype=np.float32)[None, self.given[0] if self.given else 0]


class Styles(Noise):
    """w, what a mapping network makes of z, one style for each layer: points are (n, layers, w_dim), ways are lines.

    Args:
        model: a model that maps z to styles, such as stylegan-lite.
        truncation_psi: samples are read so far from the average, as `generate` shows them; projections as they are.
        cutoff: styles of the first so many layers only are truncated; all by default.
        label: class of a conditional model.

    Raises:
        GanzooError: psi, cutoff or label that the model does not take.
    """

    name = "w"

    def __init__(self, model, *, truncation_psi: float = 0.7, cutoff: int | None = None, label: int | None = None):
        super().__init__(model)
        model.checked_truncation(truncation_psi, cutoff)
        rows.checked_labels(label, 1, model.classes)
        self.layers, self.psi, self.cutoff, self.label = model.num_layers, truncation_psi, cutoff, label

    @property
    def width(self) -> int:
        return self.model.w_dim

    def read(self, wanted) -> np.ndarray:
        """Points by name as float32 (n, layers, w_dim)."""
        found = []
        for point in points(wanted):
            w = self.spread(self._read(point))
            found.append(w if point.file else self.truncated(w, self.psi, self.cutoff))
        return np.stack(found)

    def spread(self, w: np.ndarray) -> np.ndarray:
        """(..., w_dim) -> (..., layers, w_dim): the same style for every layer."""
        return np.repeat(w[..., None, :], self.layers, axis=-2)

    def truncated(self, w: np.ndarray, psi: float, cutoff: int | None) -> np.ndarray:
        """w_avg + psi (w - w_avg) in the layers before `cutoff`, of one point (layers, w_dim)."""
        return self.model.truncated(w[None], psi, cutoff)[0]

    def draw(self, seed, index):
        """float32 (n, w_dim): the untruncated w of samples `index` of one seed."""
        return self.of_noise(super().draw(seed, index), truncation_psi=1.0)[:, 0]

    def of_noise(self, z: np.ndarray, **truncation) -> np.ndarray:
        """Points (n, layers, w_dim) of z, truncated as those of samples."""
        truncation = truncation or {"truncation_psi": self.psi, "cutoff": self.cutoff}
        return self.model.styles(latents=z, label=self.label, **truncation)

    def between(self, a, b, t):
        """The point at share t of the line from a to b: in w the ways are straight (1812.04948, section 4.1)."""
        return ((1 - t) * a + t * b).astype(np.float32)

    def moved(self, point, step, group):
        """The point with a step added to the styles of the layers in `group`."""
        result = point.copy()
        result[list(group)] += step
        return result

    def mixed(self, a: np.ndarray, b: np.ndarray, group: range) -> np.ndarray:
        """a with the styles of b in the layers of `group`."""
        result = a.copy()
        result[list(group)] = b[list(group)]
        return result

    def pictures(self, latents):
        """uint8 (n, H, W, C) of points, or of styles (n, w_dim) that are the same for every layer."""
        return self.model.generate(w=latents)

    def images_of(self, latents):
        """float32 images, about [-1, 1], of styles (n, w_dim), through which a gradient flows."""
        return self.model.images_of_styles(tf.repeat(latents[:, None], self.layers, axis=1))

    def weights(self, group=None):
        """float32 (w_dim, units): the style weights of the layers in `group`, side by side."""
        return np.concatenate([self.model.style_weights(layer) for layer in group], axis=1)


def open_space(model, space: str | None = None, *, prefer: str = "z", attributes=None, **options) -> Noise:
    """The space `space` of a model, or `prefer` where the model has it; `options` are those of `Styles`, None for unset, and
    `attributes` those of `asked.Asked`.

    Raises:
        GanzooError: a model that starts from pictures, an unknown space, or an option that the model does not have.
    """
    if space not in (None, "z", "w"):
        raise GanzooError(f'There is no latent space "{space}".{nearest(space, ("z", "w"))}')
    if space == "w":
        return styles_of(model, "styles", **options)
    if has_styles(model):
        styles = styles_of(model, "styles", **options)
        return styles if (space or prefer) == "w" else Noise(model, styles)
    label = options.pop("label", None) if model.classes else None
    for key, value in options.items():
        if value is not None:
            raise Noise(model).without({"truncation_psi": "psi"}.get(key, key))
    if model.attributes or attributes:
        from ganzoo.explore.asked import asked_space  # which derives from Noise

        return asked_space(model, attributes)
    return Classes(model, label) if model.classes else Noise(model)


def styles_of(model, what: str, **options) -> Styles:
    """The w space of a model. Raises GanzooError for a model that has none, and so no `what`."""
    if not has_styles(model):
        raise Noise(model).without(what)
    return Styles(model, **{key: value for key, value in options.items() if value is not None})


def has_styles(model) -> bool:
    """True if the generator maps noise to styles. Raises GanzooError for a model that starts from pictures."""
    if model.task == "text":
        raise GanzooError(f"{model.full_name} needs sentences besides its noise: use interpolate with --text, twice.")
    if model.task != "latent":
        raise GanzooError(f"{model.full_name} turns pictures into pictures and has no latent space to explore.")
    return model.has_styles
