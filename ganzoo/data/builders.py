"""The bundled sets as TensorFlow Datasets builders: `tfds.builder("lorelei64")` after `import ganzoo.data`.

TFDS derives "lorelei64" from a class name; "lorelei_64", our own name, is registered too. Preparing one needs no network:
`tfds.builder("lorelei64", data_dir=DIR).download_and_prepare()` writes the bundled arrays (or those of GANZOO_DATA).
"""

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from ganzoo.data.bundled import bundled_records, canonical, class_names, columns, facts


class BundledBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """What all bundled sets share: features, splits and examples follow from the columns of the set."""

    VERSION = tfds.core.Version("1.0.0")
    SET = ""  # the bundled name
    PICTURES: ClassVar[
        dict[str, tuple[int, int, int]]
    ] = {}  # feature -> shape, in the order of the set's picture columns

    def _info(self) -> tfds.core.DatasetInfo:
        sidecar = facts(self.SET)
        features = {name: tfds.features.Image(shape=shape) for name, shape in self.PICTURES.items()}
        features |= {name: _feature(name, values) for name, values in self._columns().items()}
        return tfds.core.DatasetInfo(
            builder=self,
            description=f"{self.__doc__}\n\n{sidecar['how']}\n\nSplits: {sidecar['split_rule']}",
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("input", "target") if "target" in features else None,
            license=_text(sidecar["licence"]),
            citation=_text(sidecar["attribution"]),
        )

    def _split_generators(self, dl_manager) -> dict[str, Iterator]:
        return {name: self._generate_examples(name) for name in dict.fromkeys(self._split().tolist())}

    def _generate_examples(self, split: str) -> Iterator[tuple[str, dict]]:
        rows = np.flatnonzero(self._split() == split)
        plain = {name: values[rows] for name, values in self._columns().items()}
        records = self._records(split) if self.PICTURES else None
        for i in range(len(rows)):
            example = {name: _value(values[i]) for name, values in plain.items()}
            if records:
                example |= dict(zip(self.PICTURES, records.read(i, "crop"), strict=True))
            yield f"{split}/{i:06d}", example

    def _records(self, split: str):
        return bundled_records(self.SET, split, "paired" if len(self.PICTURES) == 2 else "images")

    def _columns(self) -> dict[str, np.ndarray]:
        return {name: values for name, values in columns(self.SET).items() if name != "split"}

    def _split(self) -> np.ndarray:
        return columns(self.SET)["split"]


class Fashion(BundledBuilder):
    """Fashion-MNIST, 28 x 28 gray photos of ten kinds of clothes (Xiao, Rasul, Vollgraf 2017): the bundled part."""

    SET = "fashion"
    PICTURES: ClassVar = {"image": (28, 28, 1)}


class Lorelei64(BundledBuilder):
    """Drawn characters, 64 x 64, with 14 attributes and five sentences each, after "Lorelei" by Lisa Wischofsky."""

    SET = "lorelei_64"
    PICTURES: ClassVar = {"image": (64, 64, 3)}


class AdventurerPairs64(BundledBuilder):
    """Line drawings and their coloured versions, 64 x 64, after "Adventurer" by Lisa Wischofsky."""

    SET = "adventurer_pairs_64"
    PICTURES: ClassVar = {"input": (64, 64, 1), "target": (64, 64, 3)}


class FluentEdges128(BundledBuilder):
    """Edges of Microsoft's Fluent 3D emoji and the emoji themselves, 128 x 128."""

    SET = "fluent_edges_128"
    PICTURES: ClassVar = {"input": (128, 128, 1), "target": (128, 128, 3)}


class Emoji64(BundledBuilder):
    """Emoji of two vendors (Fluent 3D, Noto) on white, 64 x 64, with names and groups."""

    SET = "emoji_64"
    PICTURES: ClassVar = {"image": (64, 64, 3)}


class Photos128(BundledBuilder):
    """Crops of photos with permissive licences, 128 x 128, each with its photo, place, scale and licence."""

    SET = "photos_128"
    PICTURES: ClassVar = {"image": (128, 128, 3)}


class FacesAge64(BundledBuilder):
    """Rendered heads, 64 x 64: each identity at ten ages, with its age in years, sex, hair and pose."""

    SET = "faces_age_64"
    PICTURES: ClassVar = {"image": (64, 64, 3)}


class MnistM32(BundledBuilder):
    """Handwritten digits blended into crops of photos, 32 x 32 (MNIST-M), half of the training digits."""

    SET = "mnist_m_32"
    PICTURES: ClassVar = {"image": (32, 32, 3)}


class Mnist5k(BundledBuilder):
    """Handwritten digits, 28 x 28 gray, the other half of the training digits; TFDS has a set called "mnist" of its own."""

    SET = "mnist"
    PICTURES: ClassVar = {"image": (28, 28, 1)}


class FurnitureVoxels32(BundledBuilder):
    """Voxel grids of Sweet Home 3D furniture, 32 x 32 x 32, axes x, y (up), z."""

    SET = "furniture_voxels_32"


NAMES = {"mnist": "mnist_5k"}  # where TFDS has a set of a bundled one's name
BUILDERS = {
    NAMES.get(cls.SET, cls.SET): cls
    for cls in (
        Fashion,
        Lorelei64,
        AdventurerPairs64,
        FluentEdges128,
        Emoji64,
        Photos128,
        FacesAge64,
        MnistM32,
        Mnist5k,
        FurnitureVoxels32,
    )
}
# The same builders under our own spelling, with the underscore before the number.
ALIASES = {
    name: type(f"{cls.__name__}Alias", (cls,), {"name": name, "__doc__": cls.__doc__, "__module__": __name__})
    for name, cls in BUILDERS.items()
    if cls.name != name
}


def builder_name(name: str) -> str | None:
    """The TFDS name of a bundled set in any spelling ("Lorelei-64" -> "lorelei64"); None for other names."""
    bundled = canonical(name)
    return BUILDERS[bundled].name if bundled in BUILDERS else None  # "mnist" is TFDS's own


def _feature(name: str, values: np.ndarray):
    """The TFDS feature of a plain column (n, ...)."""
    if name == "label":
        return tfds.features.ClassLabel(names=class_names())
    if values.dtype.kind in "US":
        return (
            tfds.features.Sequence(tfds.features.Text(), length=values.shape[1])
            if values.ndim == 2
            else tfds.features.Text()
        )
    return tfds.features.Tensor(shape=values.shape[1:], dtype=values.dtype)


def _value(value):
    """One cell of a column as TFDS encodes it: strings as str, arrays of strings as lists."""
    if value.dtype.kind in "US":
        return value.astype(str).tolist() if value.ndim else str(value.astype(str))
    return value


def _text(value: str | dict) -> str:
    return value if isinstance(value, str) else "; ".join(f"{key}: {text}" for key, text in value.items())
