"""Points of models that are asked for attributes: z next to the columns of the attributes, and what varies one of them."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from ganzoo.base.attributes import Attributes, columns_of, row_of
from ganzoo.errors import GanzooError, nearest
from ganzoo.explore.points import points
from ganzoo.explore.spaces import Noise, slerp


class Asked(Noise):
    """z and the columns of the attributes behind each other, (n, latent_dim + A); ways are an arc in z, a line in the columns.

    Args:
        model: a model with attributes.
        attributes: what every sample is asked for; the rest is what `generate` draws for it.

    Raises:
        GanzooError: attributes that the model does not have.
    """

    def __init__(self, model, attributes: Mapping | None = None):
        super().__init__(model)
        self.asked = row_of(attributes or {}, model.attributes)

    @property
    def width(self) -> int:
        return self.model.latent_dim + self.model.batch_signature()["attributes"].shape[-1]

    def rows_of(self, wanted) -> np.ndarray:
        """int32 (n, K): the attributes that samples have."""
        found = points(wanted)
        if any(point.file for point in found):
            raise GanzooError("The attributes of a projection are mixed ones: name samples, as 0:5.")
        return self._rows(np.concatenate([super(Asked, self).draw(point.seed, [point.cell]) for point in found]))

    def with_rows(self, wanted, known: np.ndarray) -> np.ndarray:
        """Points whose z is that of samples, and whose attributes are rows (n, K)."""
        z = np.concatenate([super(Asked, self).draw(point.seed, [point.cell]) for point in points(wanted)])
        return self._joined(z, known)

    def draw(self, seed, index):
        z = super().draw(seed, index)
        return self._joined(z, self._rows(z))

    def _joined(self, z: np.ndarray, known: np.ndarray) -> np.ndarray:
        return np.concatenate([z, columns_of(tf.constant(known), self.model.attributes).numpy()], axis=1)

    def _rows(self, z: np.ndarray) -> np.ndarray:
        return self.model.rows_for(tf.constant([self.asked] * len(z), tf.int32), tf.constant(z)).numpy()

    def _split(self, latents):
        return latents[..., : self.model.latent_dim], latents[..., self.model.latent_dim :]

    def between(self, a, b, t):
        (z_a, columns_a), (z_b, columns_b) = self._split(a), self._split(b)
        line = ((1 - t) * columns_a + t * columns_b).astype(np.float32)
        return np.concatenate([slerp(z_a, z_b, t), line], axis=-1)

    def moved(self, point, step, group):
        """The point with a step in z; what it is asked for stays."""
        return point + np.pad(step, (0, len(point) - len(step))).astype(np.float32)

    def spread_along(self, unit):
        return float((self._split(self.samples)[0] @ unit).std())

    def pictures(self, latents):
        z, columns = self._split(np.asarray(latents, np.float32))
        return self.model.shown(tf.constant(z), tf.constant(columns))

    def images_of(self, latents):
        return self.model.images_of(*self._split(latents))


def asked_space(model, attributes: Mapping | None = None) -> Asked:
    """The space of a model with attributes. Raises GanzooError for others."""
    if not model.attributes:
        raise GanzooError(f"{model.full_name} is not asked for attributes; models as anime are.")
    return Asked(model, attributes)


def values_of(attribute: str, attributes: Attributes) -> tuple[str, list[str]]:
    """(name, values) that a text means: "hair" for all of them, "hair=pink" or "hair=pink,blue" for some, in their order.

    Raises:
        GanzooError: an unknown name or value.
    """
    given, equals, some = attribute.partition("=")
    given = given.strip()
    name = next((known for known in attributes if known.lower() == given.lower()), None)
    if name is None:
        raise GanzooError(
            f'There is no attribute "{given:.60}".{nearest(given, attributes)} This model has: {", ".join(attributes)}.'
        )
    if not equals:
        return name, list(attributes[name])
    numbers = [row_of({name: value.strip()}, attributes)[list(attributes).index(name)] for value in some.split(",")]
    return name, [attributes[name][number] for number in numbers]


def vary(model, wanted="0:0-3", *, attribute: str, attributes: Mapping | None = None) -> tuple[np.ndarray, list[str]]:
    """(pictures, values): row i is point i with each value of an attribute, all else of it, z and the other attributes, kept.

    Args:
        model: a model with attributes.
        wanted: samples by name.
        attribute: "hair", or "hair=pink,blue" for some of its values.
        attributes: what every point is asked for besides it.

    Returns:
        uint8 (points, values, H, W, C), and the values in their order.

    Raises:
        GanzooError: a model without attributes, or unknown names.
    """
    home = asked_space(model, attributes)
    name, values = values_of(attribute, model.attributes)
    path = _with_values(home, wanted, name, values)
    pictures = home.pictures(path.reshape(-1, path.shape[-1]))
    return pictures.reshape(*path.shape[:2], *pictures.shape[1:]), values


def along(model, wanted="0:0", *, attribute: str, steps: int = 7, attributes: Mapping | None = None) -> np.ndarray:
    """uint8 (points, steps, H, W, C): row i leads point i from the first value of an attribute to the last, at even steps
    through those between, all else kept.

    Raises:
        GanzooError: as `vary`; one value only, or steps below 2.
    """
    home = asked_space(model, attributes)
    name, values = values_of(attribute, model.attributes)
    if len(values) < 2 or steps < 2:
        raise GanzooError(
            f'A walk leads from a value to another in 2 steps or more; received "{attribute}", {steps} steps.'
        )
    stops = _with_values(home, wanted, name, values)
    path = []
    for row in stops:
        for place in np.linspace(0, len(values) - 1, steps):
            first = min(int(place), len(values) - 2)
            path.append(home.between(row[first], row[first + 1], place - first))
    pictures = home.pictures(np.stack(path))
    return pictures.reshape(len(stops), steps, *pictures.shape[1:])


def _with_values(home: Asked, wanted, name: str, values: list[str]) -> np.ndarray:
    """Points (n, values, width) that differ in one attribute. What hangs together with it in the data (a colour of glasses
    with glasses) stays as it is; ask for it by `attributes`."""
    place, known = list(home.model.attributes).index(name), home.rows_of(wanted)
    table = []
    for value in values:
        varied = known.copy()
        varied[:, place] = home.model.attributes[name].index(value)
        table.append(home.with_rows(wanted, varied))
    return np.stack(table, axis=1)
