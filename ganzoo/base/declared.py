"""What a paper says of itself: all that the rest of ganzoo asks of a model, and what holds where a paper says nothing.

A paper sets a name in its class body; where it depends on the constructor's arguments, in the constructor or as a property.
Nothing is guessed from anything else: two papers may have an argument of the same name that means two things.
"""

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from ganzoo.base import rows
from ganzoo.errors import GanzooError

Endpoint = tuple[Callable, dict[str, tf.TensorSpec]]  # a function of tensors to a dict of them, its inputs by name


class Around(NamedTuple):
    """What of `serving_default` lies around the network: strings, seeds and PNG, which ONNX does not have.

    `before` makes the inputs of the portable endpoint "tensors" of those of `serving_default`, `after` the outputs of
    `serving_default` of those of "tensors". Each is an endpoint without variables of the network.
    """

    before: Endpoint
    after: Endpoint


@dataclasses.dataclass(frozen=True)
class Checks:
    """How a paper is tried in seconds (`ganzoo doctor`, tests). Options are those of `presets.run_config`, by dotted key.

    Args:
        small: over the default preset: a run of a few seconds on bundled data. Nothing: the preset's own size.
        state: over `small`, to prove that a resumed run goes on as it was: what else may be carried from step to step.
        mixes: what looks at several rows of a batch, besides batch norm, so that replicas differ from one device; "" for nothing.
        unmixed: over `small`, what switches that off.
        bare: over a preset, what leaves out losses that are none of the paper's, so that a step can be compared with others'.
        singular: ends of the keys of `state()` that begin where a gradient is rounding noise; replicas begin elsewhere.
    """

    small: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    state: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    mixes: str = ""
    unmixed: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    bare: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    singular: tuple[str, ...] = ()


class Declared:
    """The declarations of a paper, of which `BaseGAN` is made.

    What it makes:
        task: "latent" (generate(n, seed=)), "image" (generate(images, seed=)) or "text" (generate(texts, seed=)).
        makes: "pictures", uint8 (n, H, W, C); or "voxels", float32 (n, S, S, S, 1), of which `pictures` makes pictures.
        image_size: side of the pictures that it makes of noise or text, or takes; None for any size.
        channels: of the pictures that it makes of noise or text.

    What it takes:
        latent_dim, latent_distribution: width of z, and its prior: "normal", whose mass lies on a sphere, or "uniform".
        classes: of the labels that `generate` and `images_of` take; 0 for an unconditional model.
        class_names: of these, in the order of the labels; () where they are known by number.
        attributes: that `generate` takes by name, each with its values, ("no", "yes") of a boolean; `images_of` takes their
            columns (`ganzoo.base.attributes`).
        has_styles: whether z becomes styles w first, with the methods named below.
        truncates_noise: whether `generate(truncation=, resample=)` cuts z, with the methods named below.
        example_columns: of a grid of `examples`, where neighbours in it belong together.
        reads_pictures: whether `generate(images=)` of a latent model turns pictures into samples.
        crops: whether `generate(images, crop=)` of an image model takes a box (x, y, width, height) of the pictures.
        fills: whether `generate(images, mask=)` of an image model fills what is masked, and leaves all else as it is.
        changes_age: whether `generate(images, age=, start_age=, optimise=)` of an image model shows faces at other ages, and its
            classes are those of ages.
        hole: of such a model the side of the square that it fills at once.
        directions: in which `generate(direction=)` of an image model translates; () for one direction without a name.
        stride: the pictures of an image model are best of sides that are a multiple of it.
        keeps_encoder: whether a fine-tuning keeps the encoder that the weights bring (`train.encoder_steps` becomes 0).
        train_options: options of `[train]` that not every paper takes (`presets.OF_SOME_PAPERS`), and this one does.
        augments_by: constructor argument that names how what D sees is augmented (`ganzoo.augment`); "" for none.
        refuses: options of `[train.stability]` that mean nothing here -> why, to follow "it": "has no pictures". A paper whose
            step goes through the functions of `ganzoo.base.stability` takes the others.
        averages_by: constructor argument that takes the place of `ema_decay` where it is not 0; "" for none.
        batch_unit: constructor argument that says in how many parts a step divides its rows, or into groups of how many:
            rows are a multiple of it; "" for none.

    How it is measured, stored and tried:
        example_options: arguments that `generate` cannot do without, besides the pictures, as tests and checks give them.
        evaluation_kwargs: arguments of `generate` while samples are measured, where its defaults flatter them.
        real_class: of a D whose logits are of several classes, the number of the one that says real; None for a D with one logit.
        own_metrics: metric -> a function as in `evaluation.paper_metrics`, or the name of one in its PROTOCOLS.
        feature_layers: end of the names of D's layers whose outputs are features, for metrics that look at them.
        float32_keys: regular expression of the keys of `state` that a float16 file keeps in float32; "" for none.
        bundled_keys: regular expression of the keys of `state` whose values come with the package and never move, so that a file
            of weights may leave all of them out; "" for none.
        takes_channels, makes_channels: beginnings of the names of layers that take and make the channels of pictures, besides
            the first layer of D (and of G from pictures) and the last one of G: those of other sizes.
        class_axes: name of a layer -> the axis of its variables with an entry for each class.
        checks: how it is tried in seconds.
    """

    paper: str
    task: str
    makes: str = "pictures"
    image_size: int | None = None
    channels: int

    latent_dim: int
    latent_distribution: str = "normal"
    classes: int = 0
    class_names: tuple[str, ...] = ()
    attributes: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    has_styles: bool = False
    truncates_noise: bool = False
    example_columns: int = 8
    reads_pictures: bool = False
    crops: bool = False
    fills: bool = False
    changes_age: bool = False
    hole: int
    directions: tuple[str, ...] = ()
    stride: int = 1
    keeps_encoder: bool = True
    train_options: tuple[str, ...] = ()
    augments_by: str = ""
    averages_by: str = ""
    refuses: Mapping[str, str] = MappingProxyType({})
    batch_unit: str = ""

    example_options: ClassVar[dict] = {}
    evaluation_kwargs: ClassVar[dict] = {}
    own_metrics: ClassVar[Mapping[str, str | Callable]] = {}
    real_class: int | None = None
    feature_layers: str = ""
    float32_keys: str = ""
    bundled_keys: str = ""
    takes_channels: tuple[str, ...] = ()
    makes_channels: tuple[str, ...] = ()
    class_axes: ClassVar[Mapping[str, int]] = {}
    checks: Checks = Checks()

    @property
    def label_classes(self) -> int:
        """How many classes the column "label" of a batch has, where there is one: those that are asked for, `classes`."""
        return self.classes

    @property
    def from_noise(self) -> bool:
        """Whether the grids and monitors of a run look at `examples`, which are made of noise, and not at what becomes of inputs."""
        return self.task == "latent"

    @property
    def translates(self) -> bool:
        """Whether it is measured by what becomes of inputs."""
        return self.task == "image" and not self.from_noise

    # ---- of every paper ------------------------------------------------------------------------------------------
    def batch_signature(self) -> dict[str, tf.TensorSpec]:
        """What a batch of `fit`'s data set must hold: name -> shape and dtype, batch dimension None."""
        raise NotImplementedError(f"{type(self).__name__} must say what data it trains on")

    def generate(self, *args: Any, **options: Any) -> np.ndarray:
        """Samples, as `task` and `makes` say; sample i depends on (seed, i) and its own input only."""
        raise NotImplementedError(f"{type(self).__name__} must say how it samples")

    def serving_signature(self) -> dict[str, Endpoint]:
        """The endpoints of a SavedModel, "serving_default" first: of strings, PNG bytes and seeds; "tensors" of floats."""
        raise NotImplementedError(f"{type(self).__name__} must say how it is served")

    def serving_around(self) -> Around | None:
        """The two ends of `serving_default` where it is after(tensors(before(...))) (`ganzoo.base.around.joined`), so that
        another runtime than TensorFlow can run the network between them; None where it does not come apart."""
        return None

    def portable_signature(self) -> dict[str, Endpoint]:
        """What formats besides SavedModel (ONNX, LiteRT) hold, in the form of `serving_signature`: its endpoints without
        strings and seeds. They convert neither strings nor PNG nor stateless random numbers."""
        return {
            name: (function, inputs)
            for name, (function, inputs) in self.serving_signature().items()
            if "seed" not in inputs and all(spec.dtype != tf.string for spec in inputs.values())
        }

    def pictures(self, samples):
        """uint8 pictures (n, H, W, C) that show samples of `generate`: themselves, where these are pictures."""
        return samples

    def examples(self, n: int, seed: int, **options):
        """`generate(n, seed=seed)` for sample grids and checks of a run; models with classes show them in turn."""
        return self.generate(n, seed=seed, **options)

    @classmethod
    def arguments_from_data(cls, source) -> dict[str, Any]:
        """Constructor arguments that the training data decide, names of attributes and the like; plain values. They are
        written into a run's config.toml, so that a loaded model needs no data."""
        return {}

    def init_from_data(self, source) -> None:
        """Sets what a paper takes from the training set before step 1. Most take nothing; see `gan`."""

    def remember(self, source) -> None:
        """Called before step 1 of every run, whatever its weights begin from: what a paper keeps of its training set."""

    def mapped(self, key: str, array: np.ndarray, before: Mapping) -> tuple[np.ndarray, str] | None:
        """What a variable of `state` becomes, and how, of its array in a model with the constructor's arguments `before`,
        where the names of two models say which entries mean the same; None where shapes alone do
        (`ganzoo.training.transfer`)."""
        return None

    def finalize(self) -> None:
        """Called before weights are saved. Nets that sample with moving statistics recompute them here."""

    # ---- of papers that fill holes -------------------------------------------------------------------------------
    def default_mask(self, height: int, width: int) -> np.ndarray:
        """bool (height, width): the hole that `generate` fills in a picture of this size where no mask is given."""
        raise NotImplementedError

    # ---- of papers that change ages ------------------------------------------------------------------------------
    def faces_in(self, images) -> tf.Tensor:
        """float32 (N, S, S, C) in [-1, 1] of pictures of any size: the square in the middle of each."""
        raise NotImplementedError

    def search(self, images: tf.Tensor, own, optimise=True) -> np.ndarray:
        """z float32 (N, latent_dim) of faces of `faces_in` and their own classes (N,)."""
        raise NotImplementedError

    def faces_of(self, latents, own) -> np.ndarray:
        """uint8 (N, S, S, C) of z (N, latent_dim) and classes (N,)."""
        raise NotImplementedError

    def aged(self, latents, classes) -> np.ndarray:
        """uint8 (N * K, S, S, C): each z at all K classes, one after the other."""
        raise NotImplementedError

    def strip(self, images, ages, start_age=None, optimise=True) -> tuple[np.ndarray, np.ndarray]:
        """(uint8 (N * (2 + K), S, S, C), classes (N,)): of each face itself, as it is made again and it at K ages; its own age."""
        raise NotImplementedError

    # ---- a web page, which has neither TensorFlow's random numbers nor its strings and PNG -------------------------
    def page_networks(self, size: int) -> dict[str, Endpoint]:
        """The networks that a page runs, of float32 tensors; `size` is the side of its pictures.

        By name: each of `directions`, or "network", makes samples; "encode" makes embeddings of one-hot characters.
        Inputs are what `page_noise` has, and "images" (1, size, size, C), "embedding", "truncation_psi" or "class_weights" (N, classes).

        Raises:
            GanzooError: this model has no page.
        """
        own, (first, *others) = self.portable_signature(), self.directions or ("network",)
        names = {first: "tensors"} | {name: f"{name}_tensors" for name in others}
        if not own.keys() >= set(names.values()):
            raise GanzooError(
                f"{self.paper} has no web page: what it draws is not an input of its networks (`page_networks`)."
            )
        return {name: own[endpoint] for name, endpoint in names.items()}

    def page_noise(self, size: int, seeds: tf.Tensor) -> dict[str, tf.Tensor]:
        """The inputs of the networks that belong to a seed, for int32 seeds (N, 2), in their order; {} if nothing is drawn."""
        return {} if self.task == "image" else {"latents": rows.latents_of(self, seeds)}

    # ---- of papers with latents (text-to-image has them, too) ----------------------------------------------------
    def latents(self, seeds: tf.Tensor) -> tf.Tensor:
        """float32 (N, latent_dim): rows of z for int32 seeds (N, 2)."""
        raise NotImplementedError

    def images_of(self, latents: tf.Tensor, *condition: tf.Tensor) -> tf.Tensor:
        """float32 images (N, H, W, C) in [-1, 1] of z and labels or embeddings: what a gradient can flow through."""
        raise NotImplementedError

    def latent_weights(self) -> np.ndarray | None:
        """float32 (latent_dim, units): what the first linear maps make of z; None where that is the first layer's kernel."""
        return None

    # ---- of papers with classes and no styles --------------------------------------------------------------------
    def blended(self, latents: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """float32 images (N, H, W, C) in [-1, 1] of z and weights of the classes (N, classes), 1 for a class alone."""
        raise NotImplementedError

    # ---- of papers whose frozen f was trained on classes ---------------------------------------------------------
    def source_logits(self, images: np.ndarray) -> np.ndarray:
        """float32 (N, classes) of uint8 pictures (N, H, W, C) of the source, by f and the head that it was trained by.

        Raises:
            GanzooError: f was not trained on classes.
        """
        raise NotImplementedError

    # ---- of papers that truncate their noise ---------------------------------------------------------------------
    def truncated_latents(self, seeds: tf.Tensor, truncation: float, resample: bool = False) -> tf.Tensor:
        """float32 (N, latent_dim): rows of truncated z for int32 seeds (N, 2)."""
        raise NotImplementedError

    # ---- of papers with attributes -------------------------------------------------------------------------------
    kept_rows: tf.Tensor  # int32 (ROWS, K), rows of the training set from which unnamed attributes are drawn

    def attribute_draws(self, latents: tf.Tensor) -> tf.Tensor:
        """int32 (N,): which of the fitting rows a sample takes, by its z (`ganzoo.base.attributes.completed`)."""
        raise NotImplementedError

    def rows_for(self, asked: tf.Tensor, latents: tf.Tensor) -> tf.Tensor:
        """int32 rows (N, K) in which all attributes are named: what is asked (N, K), the others by the samples' z."""
        raise NotImplementedError

    def shown(self, latents: tf.Tensor, columns: tf.Tensor) -> np.ndarray:
        """uint8 images (n, H, W, C) of latents (n, latent_dim) and columns (n, A), which may lie between 0 and 1."""
        raise NotImplementedError

    # ---- of papers with styles -----------------------------------------------------------------------------------
    w_dim: int
    num_layers: int

    def styles(self, n: int = 16, *, seed=0, latents=None, label=None, truncation_psi=0.7, cutoff=None) -> np.ndarray:
        """w of each layer, float32 (n, num_layers, w_dim), that `generate` shows with the same arguments."""
        raise NotImplementedError

    def images_of_styles(self, w: tf.Tensor) -> tf.Tensor:
        """float32 images (N, H, W, C), about [-1, 1], of styles (N, num_layers, w_dim)."""
        raise NotImplementedError

    def checked_truncation(self, psi, cutoff) -> tuple[tf.Tensor, tf.Tensor]:
        """Both as tensors, a cutoff of None as the model's own. Raises GanzooError for others than the model takes."""
        raise NotImplementedError

    def truncated(self, w: np.ndarray, psi: float, cutoff: int | None) -> np.ndarray:
        """Styles (N, num_layers, w_dim) moved towards their average in the layers before `cutoff`: 1 leaves them, 0 is it."""
        raise NotImplementedError

    def style_weights(self, layer: int) -> np.ndarray:
        """float32 (w_dim, units): what a layer makes of its style."""
        raise NotImplementedError

    # ---- of papers that read text --------------------------------------------------------------------------------
    text_length: int  # characters that are read
    alphabet: str = ""  # the symbols of one-hot characters

    def embed(self, texts: tf.Tensor) -> tf.Tensor:
        """float32 embeddings (N, E) of strings (N,), inside a graph."""
        raise NotImplementedError

    def embeddings(self, texts) -> tf.Tensor:
        """float32 embeddings (n, E) of one text or a list of them, checked."""
        raise NotImplementedError

    def characters(self, texts: tf.Tensor) -> tf.Tensor:
        """One-hot float32 (N, text_length, symbols) of strings (N,), as a page's "encode" takes them."""
        raise NotImplementedError

    def style_encoder(self, width: int) -> keras.Model:
        """An untrained network from images (N, H, W, C) in [-1, 1] to z, which `ganzoo.explore` trains."""
        raise NotImplementedError
