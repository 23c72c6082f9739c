"""Face Aging With Conditional Generative Adversarial Networks.

Grigory Antipov, Moez Baccouche, Jean-Luc Dugelay, 2017. arXiv 1702.01983. Official code: none.

Objective (equation 1), with x a face, y its age class, one of six, and z ~ N(0, I):

    min_G max_D  E_{x, y}[log D(x, y)] + E_{z, y}[log(1 - D(G(z, y), y))],  G trained by max E[log D(G(z, y), y)]

E (section 2.3):  min_E E_{z, y} ||E(G(z, y)) - z||_2;  then of each face  z* = argmin_z ||FR(x) - FR(G(z, y0))||_2 (equation 3)
from z0 = E(x) on, y0 the face's own age class. The face at another age is G(z*, y_target).

| paper | here |
|---|---|
| y, six age classes | `label` of a batch, 0 to 5 for 0-18, 19-29, 30-39, 40-49, 50-59, 60+ (`ganzoo.ages`) |
| G | `generator`: [z, one-hot y] -> face |
| D | `discriminator`: [face, one-hot y] -> logit; y are six constant maps after its first convolution, as in IcGAN |
| E, initial latent approximation z0 | `encoder`: face -> z |
| FR | the face descriptor of `ganzoo.base.face_descriptor`, or a function given to `generate(optimise=)` |
| "Pixelwise" and "Identity-Preserving" optimisation | `optimise="pixels"`, `optimise=True`; False stops at z0 |

Training: 1. G and D for 100 epochs of 110,000 faces of IMDB-Wiki_cleaned at 64 px, Adam; fakes have the labels of the batch. 2. E on
100,000 pairs of z and G(z, y), z normal, y uniform, while G stays: the last `train.encoder_steps` steps of a run.
3. Nothing is trained: L-BFGS-B on z for each face, by inference statistics alone, while no weight moves. Rates, batches
and initial values are DCGAN's (1511.06434): 2e-4, beta_1 0.5, 128, N(0, 0.02), gains N(1, 0.02). Preset `imdb-wiki-64` has these
numbers; `faces-64` has smaller nets, a shorter run, an averaged G, and rendered heads instead of photos.

Deviations: none in the objectives. Of what the paper leaves open: G and D are the PyTorch topology of DCGAN (kernel 4); the maps join
behind the leaky ReLU of the first convolution (`label_place`), and labels are 0 and 1 (`label_off`); E has a k5 stride 2
convolution for each halving (32, 64, 128, 256 at 64 px), a dense layer (`encoder_units`) and a linear one, batch norm and
ReLU before it. FR is dlib's ResNet on the whole picture, enlarged to 150 px, where the paper has FaceNet; it is bundled with
ganzoo once and not saved along, as is the reader that tells y0 where no `start_age` is given (`age_reader`). SciPy's L-BFGS-B
searches its line by the rule of Moré and Thuente, where the paper says backtracking; `iterations` caps it, and
`norm_weight` may keep z near the sphere of its prior. D is updated first, then G, on one forward of G. E is trained on pictures of the
averaged G, which samples. Other sizes follow the same rule: one stride-2 layer for a doubling.
"""

import warnings

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from ganzoo import ages, losses
from ganzoo.base import BaseGAN, Checks, age_reader, face_descriptor, faces, pixels, rows
from ganzoo.base.segments import Segment
from ganzoo.errors import GanzooError
from ganzoo.layers import BatchNorm, FastConv2D, FastConv2DTranspose, normalization
from ganzoo.registry import register

CLASSES = len(ages.NAMES)
PLACES, READERS = ("after", "before"), ("age-cnn", "")
STRANGE = 0.6  # distance of the descriptor from which on a picture is none that the model can make
STANDING = (32, 64)  # batches, and rows in each, that standing statistics are taken over


def _init():
    return keras.initializers.RandomNormal(stddev=0.02)


def _norm(name):
    return BatchNorm(gamma_initializer=keras.initializers.RandomNormal(1.0, 0.02), name=name)


def _conv(filters, name, layer=FastConv2D, kernel_size=4):
    options = {"use_bias": False, "kernel_initializer": _init(), "name": f"{name}_conv"}
    return layer(filters, kernel_size, 2, "same", **options)


def _stages(image_size):
    stages = (image_size // 4).bit_length() - 1
    if stages < 1 or 4 * 2**stages != image_size:
        raise GanzooError(f"Age-cGAN doubles from 4x4, so image_size is 8, 16, 32, 64, ...; received {image_size}.")
    return stages


def build_generator(*, image_size, channels, latent_dim, ngf) -> keras.Model:
    """[z (N, latent_dim), labels (N, 6)] -> faces (N, image_size, image_size, channels) in [-1, 1].

    Args:
        ngf: width of the last hidden layer; doubles towards z (64 -> 512-256-128-64 at 64 px).
    """
    stages = _stages(image_size)
    width = ngf * 2 ** (stages - 1)
    z, labels = keras.Input((latent_dim,), name="latents"), keras.Input((CLASSES,), name="labels")
    x = layers.Concatenate(name="latents_labels")([z, labels])  # in this order
    x = layers.Reshape((1, 1, latent_dim + CLASSES), name="latents_1x1")(x)
    x = layers.Conv2DTranspose(width, 4, use_bias=False, kernel_initializer=_init(), name="project")(x)  # 4x4
    x = layers.ReLU(name="project_relu")(_norm("project_norm")(x))
    for stage in range(1, stages):
        x = _conv(width >> stage, f"up{stage}", FastConv2DTranspose)(x)
        x = layers.ReLU(name=f"up{stage}_relu")(_norm(f"up{stage}_norm")(x))
    x = _conv(channels, f"up{stages}", FastConv2DTranspose)(x)
    return keras.Model([z, labels], layers.Activation("tanh", name="tanh", dtype="float32")(x), name="generator")


def build_discriminator(*, image_size, channels, ndf, label_place) -> keras.Model:
    """[faces (N, image_size, image_size, channels), labels (N, 6)] -> logit (N, 1).

    Args:
        label_place: whether the six maps join the first convolution's output "after" its activation or "before" it.
    """
    image, labels = (
        keras.Input((image_size, image_size, channels), name="image"),
        keras.Input((CLASSES,), name="labels"),
    )
    maps = layers.Reshape((1, 1, CLASSES), name="labels_1x1")(labels)
    maps = layers.UpSampling2D(image_size // 2, name="labels_maps")(maps)
    activation, join = layers.LeakyReLU(0.2, name="down1_lrelu"), layers.Concatenate(name="down1_labels")
    x = _conv(ndf, "down1")(image)
    x = join([activation(x), maps]) if label_place == "after" else activation(join([x, maps]))
    for stage in range(2, _stages(image_size) + 1):
        x = _norm(f"down{stage}_norm")(_conv(ndf << (stage - 1), f"down{stage}")(x))
        x = layers.LeakyReLU(0.2, name=f"down{stage}_lrelu")(x)
    x = layers.Conv2D(1, 4, use_bias=False, kernel_initializer=_init(), name="logit", dtype="float32")(x)
    return keras.Model(
        [image, labels], layers.Reshape((1,), name="logit_flat", dtype="float32")(x), name="discriminator"
    )


def build_encoder(*, image_size, channels, latent_dim, nef, encoder_units) -> keras.Model:
    """Faces (N, image_size, image_size, channels) in [-1, 1] -> z (N, latent_dim).

    Args:
        nef: width of the first convolution; doubles at each (32 -> 32-64-128-256 at 64 px).
        encoder_units: of the first of the two dense layers.
    """
    image = x = keras.Input((image_size, image_size, channels), name="image")
    for stage in range(1, _stages(image_size) + 1):
        x = _norm(f"code{stage}_norm")(_conv(nef << (stage - 1), f"code{stage}", kernel_size=5)(x))
        x = layers.ReLU(name=f"code{stage}_relu")(x)
    x = layers.Flatten(name="code_flat")(x)
    x = layers.Dense(encoder_units, use_bias=False, kernel_initializer=_init(), name="code_dense")(x)
    x = layers.ReLU(name="code_relu")(_norm("code_norm")(x))
    x = layers.Dense(latent_dim, kernel_initializer=_init(), name="code", dtype="float32")(x)
    return keras.Model(image, x, name="encoder")


def euclidean(a, b) -> tf.Tensor:
    """Mean over the batch of ||a - b||_2, the norm over all numbers of a row. (Not the mean of squares: another slope.)"""
    difference = tf.cast(a, tf.float32) - tf.cast(b, tf.float32)
    squares = tf.reduce_sum(tf.square(tf.reshape(difference, [tf.shape(difference)[0], -1])), axis=1)
    return tf.reduce_mean(tf.sqrt(squares + 1e-12))  # the slope of a root at 0 is infinite


@register("age-cgan")
class AgeCGAN(BaseGAN):
    """A conditional DCGAN of six age classes, an encoder of its faces, and the search for the z of a face.

    Args:
        image_size: 4 * 2^k.
        channels: of the faces, 1 or 3.
        latent_dim: width of z.
        ngf, ndf: base widths of G and D.
        nef, encoder_units: base width of E's convolutions, and width of its first dense layer.
        label_place: whether the labels join D's first convolution "after" its activation or "before" it.
        label_off: number of the five classes that a face is not of: 0 or -1.
        age_reader: what tells the own age of a face for which no `start_age` is given: "age-cnn", made for the rendered
            heads of `faces_age_64`, or "" for nothing: `start_age` must be given then.
        iterations: of L-BFGS-B for a face, at most.
        norm_weight: of | ||z|| - sqrt(latent_dim) | in what is minimised for a face; 0 for none as in the paper.
        ema_decay: decay of an averaged copy of G; the paper has none.

    Raises:
        GanzooError: a size that is not halved to 4x4, or another value than those named above.
    """

    image_size: int
    task, changes_age, classes, class_names = "image", True, CLASSES, ages.NAMES
    from_noise, example_columns, keeps_encoder = True, CLASSES, False
    train_options = ("encoder_steps",)
    example_options = {"age": 30, "start_age": 30, "optimise": False}  # noqa: RUF012  (as in the base)
    players = {  # noqa: RUF012  (as in the base)
        "g_optimizer": ("generator",),
        "d_optimizer": ("discriminator",),
        "e_optimizer": ("encoder",),
    }
    rounds = (("d_optimizer",), ("g_optimizer",), ("e_optimizer",))
    logs = ("d_loss", "g_loss", "fooled", "real_logit", "fake_logit", "e_loss")
    checks = Checks(
        small={"model.image_size": 8, "model.latent_dim": 8, "model.ngf": 4, "model.ndf": 4, "model.nef": 3}
        | {"model.encoder_units": 8, "data.size": 8, "data.split": "test", "train.encoder_steps": 4}
    )

    def __init__(
        self,
        *,
        image_size=64,
        channels=3,
        latent_dim=100,
        ngf=64,
        ndf=64,
        nef=32,
        encoder_units=4096,
        label_place="after",
        label_off=0.0,
        age_reader="age-cnn",
        iterations=50,
        norm_weight=0.0,
        ema_decay=0.0,
    ):
        super().__init__(locals())
        for key in ("channels", "latent_dim", "ngf", "ndf", "nef", "encoder_units", "iterations"):
            if getattr(self, key) < 1:
                raise GanzooError(f"{key} is a whole number of at least 1; received {getattr(self, key)}.")
        if label_place not in PLACES:
            raise GanzooError(f'label_place is "after" or "before"; received {label_place!r}.')
        if label_off not in (0, -1):
            raise GanzooError(f"label_off is 0 or -1, next to the 1 of a face's own class; received {label_off!r}.")
        if age_reader not in READERS:
            raise GanzooError(f'age_reader is "age-cnn", or "" for none; received {age_reader!r}.')
        if norm_weight < 0:
            raise GanzooError(f"norm_weight is a weight of at least 0; received {norm_weight}.")
        self.register_networks(generator=build_generator, discriminator=build_discriminator, encoder=build_encoder)

    # ---- the parts of a run: G and D, then E on what the finished G makes -------------------------------------------
    def segments(self, train):
        (whole,) = super().segments(train)
        first, size = train.steps - train.encoder_steps, train.batch_size
        if first < 1:
            raise GanzooError(
                f"train.steps ({train.steps}) are all of the run, and the last train.encoder_steps ({train.encoder_steps}) of "
                "them train the encoder alone: give more steps, or fewer encoder steps."
            )
        if not train.encoder_steps:
            return [whole]
        return [
            Segment(0, first, 0, size, part="cgan", players=("d_optimizer", "g_optimizer")),
            Segment(first, train.encoder_steps, first * size, size, part="encoder", players=("e_optimizer",)),
        ]

    def start_segment(self, segment):
        super().start_segment(segment)
        if segment.part == "encoder":
            self.settle_generator()

    def trains(self, part) -> bool:
        """Whether steps train this part now: in its segment, or without segments both."""
        return self.segment is None or self.segment.part in ("", part)

    # ---- training: D, then G against the updated D on one forward of G; E on pictures of the G that samples --------
    def code(self, labels) -> tf.Tensor:
        """float32 (N, 6) of classes (N,): 1 for the own one, `label_off` for the others."""
        return tf.one_hot(labels, CLASSES, 1.0, float(self.label_off))

    def forward(self, data):
        """The real batch, its labels, the fakes of this step with the same labels, and the tape that recorded them."""
        real, labels = self.unpack(data)
        labels = self.code(labels)
        z = self.noise(tf.random.stateless_normal, "latents", tf.shape(real)[0], [self.latent_dim])
        with tf.GradientTape() as tape:
            fake = self.generator([z, labels], training=True)
        return real, labels, fake, tape

    def judge(self, images, labels):
        return self.discriminator([self.for_d(images), labels], training=True)

    def discriminator_step(self, real, labels, fake):
        with tf.GradientTape() as tape:
            # Two passes: batch norm must not mix real and fake statistics.
            real_logits, fake_logits = self.judge(real, labels), self.judge(tf.stop_gradient(fake), labels)
            loss = self.d_loss(losses.non_saturating_d, real_logits, fake_logits)
            loss += self.r1(lambda x: self.judge(x, labels), real) + self.r2(lambda x: self.judge(x, labels), fake)
        self.minimize(tape, loss, "d_optimizer")
        return loss, self.judged(real_logits, fake_logits)

    def generator_step(self, real, labels, fake, tape):
        with tape:
            loss = self.g_loss(losses.non_saturating_g, self.judge(fake, labels), lambda: self.judge(real, labels))
        self.minimize(tape, loss, "g_optimizer")
        return loss

    def encoder_step(self, count):
        """E on `count` pairs of z and G(z, y), y uniform; G by its running statistics, as it samples."""
        z = self.noise(tf.random.stateless_normal, "code", count, [self.latent_dim])
        labels = self.noise(self._any_class, "code_labels", count)
        made = tf.stop_gradient(self.images_of(z, labels))
        with tf.GradientTape() as tape:
            loss = euclidean(self.encoder(made, training=True), z)
        self.minimize(tape, loss, "e_optimizer")
        return loss

    @staticmethod
    def _any_class(shape, seed):
        return tf.random.stateless_uniform(shape, seed, 0, CLASSES, tf.int32)

    def train_step(self, data):
        logs = {}
        if self.trains("cgan"):
            real, labels, fake, tape = self.forward(data)
            logs["d_loss"], judgement = self.discriminator_step(real, labels, fake)
            logs["g_loss"] = self.generator_step(real, labels, fake, tape)
            logs |= judgement
            self.update_ema()
        if self.trains("encoder"):
            logs["e_loss"] = self.encoder_step(tf.shape(self.unpack(data)[0])[0])
        return self.log(**logs)

    def batch_signature(self):
        image = tf.TensorSpec([None, self.image_size, self.image_size, self.channels], tf.float32)
        return {"image": image, "label": tf.TensorSpec([None], tf.int64)}

    # ---- sampling: running statistics, recomputed where training of a network ends ----------------------------------
    def latents(self, seeds):
        """Rows of z ~ N(0, 1) for int32 seeds (N, 2)."""
        return rows.rows_of(tf.random.stateless_normal, seeds, self.latent_dim)

    def images_of(self, latents, labels):
        """float32 faces (N, H, W, C) in [-1, 1] of z (N, latent_dim) and classes (N,)."""
        return self.sampler([latents, self.code(labels)], training=False)

    def _standing(self):
        """Batches of z and one-hot labels, all classes alike."""
        count, size = STANDING
        labels = self.code(tf.range(size) % CLASSES)
        return ([rows.latents_of(self, rows.row_seeds(1_000_000 + i, size)), labels] for i in range(count))

    def settle_generator(self):
        """Standing statistics of G: a face depends on its own z and class alone."""
        normalization.standing_statistics(self.sampler, self._standing())

    def finalize(self):
        """Standing statistics of G, and of E where steps train it: those of G's faces."""
        self.settle_generator()
        if self.trains("encoder"):
            normalization.standing_statistics(
                self.encoder, (self.sampler(batch, training=False) for batch in self._standing())
            )

    def examples(self, n, seed, **options):
        """uint8 faces (n, H, W, C) of noise: each z at every age class, one after the other."""
        count = -(-rows.checked_count(n) // CLASSES)
        latents = rows.latents_of(self, rows.row_seeds(seed, count))
        return self.aged(latents, range(CLASSES))[:n]

    def aged(self, latents, classes) -> np.ndarray:
        """uint8 faces (N * K, H, W, C) of z (N, latent_dim): each at all K classes, one after the other."""
        classes = tf.constant(list(classes), tf.int64)
        return self.faces_of(tf.repeat(latents, len(classes), axis=0), tf.tile(classes, [latents.shape[0]]))

    # ---- faces: z0 = E(x), then z* by L-BFGS-B; nothing is trained -------------------------------------------------
    def faces_in(self, images) -> tf.Tensor:
        """float32 (N, image_size, image_size, channels) of pictures of any size: the square in their middle.

        Raises:
            GanzooError: no pictures, or one of a single colour, which shows no face.
        """
        return faces.squares_in(images, self.channels, self.image_size)

    def own_classes(self, images, start_age=None) -> np.ndarray:
        """int64 (N,): y0 of faces of `faces_in`: what is given, an age for all or one for each, or what the reader reads.

        Raises:
            GanzooError: no such age, another number of them, or none where the model has no reader.
        """
        if start_age is not None:
            return faces.classes_of(start_age, "start_age", len(images))
        if not self.age_reader:
            raise GanzooError(
                f"{self.full_name} has no reader of ages: give the own age of each face, start_age=34 (--start-age 34)."
            )
        return age_reader.classes(images)

    def encode(self, images) -> np.ndarray:
        """z0 = E(x), float32 (N, latent_dim), of faces of `faces_in`."""
        return rows.in_chunks(self.cached("encode", lambda: rows.graph_of(self._encoded)), images)

    def _encoded(self, images):
        return self.encoder(images, training=False)

    def search(self, images, own, optimise=True) -> np.ndarray:
        """z* of faces of `faces_in`, float32 (N, latent_dim), each by itself from E(x) on, by L-BFGS-B.

        Args:
            own: their own classes (N,), never those that are asked for.
            optimise: True, by the face descriptor; "pixels", by the pixels; a function from faces (N, H, W, C) in [-1, 1]
                to features (N, d) with a gradient, by these; False, z0 as it is.

        Raises:
            GanzooError: another `optimise`, or SciPy or the descriptor is not there.
        """
        start = self.encode(images)
        if optimise is False:
            return start
        minimise = faces.minimiser()
        slope = self._slope(optimise)
        found = []
        for image, label, z in zip(images, np.asarray(own), start, strict=True):
            target, y = self._features(optimise)(image[None]), tf.constant([label], tf.int64)
            found.append(minimise(lambda z, target=target, y=y: slope(z, y, target), z, self.iterations))
        return np.stack(found)

    def found(self, images, start_age=None, optimise=True):
        """(squares, own classes (N,), z* (N, latent_dim)) of pictures; arguments and errors of `generate`."""
        squares = self.faces_in(images)
        own = self.own_classes(squares, start_age)
        latents = tf.constant(self.search(squares, own, optimise))
        if optimise is True:
            self._warn_of_strangers(squares, own, latents)
        return squares, own, latents

    def _warn_of_strangers(self, squares, own, latents):
        """Says of which pictures no z makes anything that the descriptor takes for them."""
        made = face_descriptor.descriptors(self.faces_of(latents, own))
        apart = face_descriptor.distances(made, face_descriptor.descriptors(pixels.to_uint8(squares).numpy())).numpy()
        for i in np.flatnonzero(apart > STRANGE):
            warnings.warn(
                f"Picture {i}: the model makes no face that is like it (distance {apart[i]:.2f}, of faces that it knows below "
                f"{STRANGE}). It expects one face in the middle, of the kind that it was trained on.",
                stacklevel=4,
            )

    def _features(self, optimise):
        """FR, or the pixels themselves."""
        if callable(optimise):
            return optimise
        if optimise == "pixels":
            return lambda images: images
        if optimise is not True:
            raise GanzooError(
                f'optimise is True, False, "pixels" or a function of faces that has a gradient; received {optimise!r:.60}.'
            )
        network = face_descriptor.load()
        return lambda images: face_descriptor.describe(network, images)

    def _slope(self, optimise):
        """A graph from z (1, latent_dim), y (1,) and the features of a face to what is minimised, and its gradient by z."""
        features = self._features(optimise)

        def slope(z, labels, target):
            with tf.GradientTape() as tape:
                tape.watch(z)
                loss = euclidean(features(self.images_of(z, labels)), target)
                if self.norm_weight:
                    loss += self.norm_weight * tf.abs(tf.norm(z) - self.latent_dim**0.5)
            return loss, tape.gradient(loss, z)

        if callable(optimise):
            return tf.function(slope)
        return self.cached(f"slope {optimise}", lambda: rows.graph_of(slope))

    def generate(self, images, *, age, start_age=None, optimise=True, seed=0):
        """Faces at other ages: each of `images` at each of `age`, one after the other.

        Args:
            images: uint8 (N, H, W, C) 0..255, or floats in [-1, 1], of any size; of each the square in its middle is taken
                and brought to `image_size`; gray and RGB are converted.
            age: years or the name of a class (`ganzoo.ages`), or a list of them.
            start_age: the own age of the faces, one for all or a list of one for each; None asks the model's reader.
            optimise: as of `search`.
            seed: without effect, since nothing is drawn; all image models take one.

        Returns:
            uint8 (N * K, image_size, image_size, channels): picture i * K + k is face i at age k of K.

        Warns:
            UserWarning: no z makes a picture that the face descriptor takes for the given one: is it a face?

        Raises:
            GanzooError: pictures or ages that cannot be read, or what `search` raises.
        """
        wanted = faces.classes_of(age, "age")
        _, _, latents = self.found(images, start_age, optimise)
        return self.aged(latents, wanted)

    def strip(self, images, ages, start_age=None, optimise=True) -> tuple[np.ndarray, np.ndarray]:
        """(uint8 (N * (2 + K), H, W, C), classes (N,)): of each face itself, G(z*, y0) and it at K ages; and y0."""
        wanted = faces.classes_of(ages, "age")
        squares, own, latents = self.found(images, start_age, optimise)
        first = [pixels.to_uint8(squares).numpy()[:, None], self.faces_of(latents, own)[:, None]]
        aged = self.aged(latents, wanted)
        cells = np.concatenate([*first, aged.reshape(len(own), len(wanted), *aged.shape[1:])], axis=1)
        return cells.reshape(-1, *cells.shape[2:]), own

    def reconstruct(self, images, *, start_age=None, optimise=True):
        """uint8 (N, image_size, image_size, channels): G(z*, y0), each face at its own age; arguments of `generate`."""
        _, own, latents = self.found(images, start_age, optimise)
        return self.faces_of(latents, own)

    def faces_of(self, latents, own) -> np.ndarray:
        """uint8 (N, H, W, C) of z (N, latent_dim) and classes (N,)."""
        show = self.cached("show", lambda: rows.graph_of(lambda z, y: pixels.to_uint8(self.images_of(z, y))))
        return rows.in_chunks(show, tf.constant(latents, tf.float32), tf.constant(own, tf.int64))

    # ---- serving: z0 alone, since a search is not a graph --------------------------------------------------------------
    def at_age(self, images, age):
        """float32 faces in [-1, 1] at `age` (float32 (N,), years), G(E(x), y): inside a graph."""
        count, (images, age) = rows.or_one_row(images, age)
        return self.images_of(self._encoded(images), faces.classes_in_graph(age))[:count]

    def serving_around(self):
        return faces.ends(self)

    def serving_signature(self):
        return faces.endpoints(self, self.at_age)
