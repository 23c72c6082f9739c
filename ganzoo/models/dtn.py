"""Unsupervised Cross-Domain Image Generation.

Yaniv Taigman, Adam Polyak, Lior Wolf, 2016. arXiv 1611.02200. Official code: none. The authors
call it the domain transfer network, DTN.

Objective (equations 3 to 8), of sources s and targets t without pairs, G = g(f(x)) and f fixed:

    L_D    = -E_s log D_1(G(x)) - E_t log D_2(G(x)) - E_t log D_3(x)
    L_GANG = -E_s log D_3(G(x)) - E_t log D_3(G(x))
    L_G    = L_GANG + alpha E_s d(f(x), f(G(x))) + beta E_t d_2(x, G(x)) + gamma L_TV

| paper | here |
|---|---|
| x of s, x of t | `a`, `b` of a batch |
| f, never moved by the transfer | `feature`, one of the model's own networks; `features` of pictures of either domain |
| digit classifier that f is cut from | `feature` and `classifier` together, trained in the first `train.encoder_steps` |
| g | `generator`: f(x) -> picture of the target domain |
| D_1, D_2, D_3 | `discriminator`: softmax of its logits, in this order: G of a source, G of a target, a real target |
| L_CONST, L_TID; d and d_2 are mean squares | `const`, `tid`, with the weights `alpha`, `beta` |
| L_TV, of the pictures that G makes | `losses.tv`, with the weight `gamma` |

Training: the paper gives no rates that we know of. Digits: f is a classifier of SVHN's digits, four convolutions of 64, 128,
256, 128 filters, each with max pooling and ReLU (`pooling="max"`), cut at its 128 numbers; alpha = beta = 15, gamma = 0. Faces to
emoji: f is a face descriptor of 256 numbers, g has five blocks, each with a 1x1 convolution behind it, alpha = 100, beta = 1,
gamma = 0.05, D's slope is 0.2. Kernels are those that others' code has for SVHN to MNIST, which preset `svhn2mnist-32` is: strides
instead of pooling and a batch norm behind every convolution of f and D. Rates are ours: Adam, 2e-4, beta_1 0.5, batches of
128, D then G.

Deviations: g sees sources and targets one after the other, each with batch statistics of its own, as in others' code; the running
ones are of sources alone, of which it samples (others' code has them of both). f reads color (SVHN, others' code); `input_channels=1` is the paper's gray. Where a domain has another number of
channels than f reads, it is converted. d is a mean, as is d_2, and D's activation in the digits' experiment is not known: ReLU.
The paper's face descriptor (DeepFace) is not public: "face-descriptor" is dlib's, 128 numbers, times the root of 128, so that the mean square
is the squared distance by which it tells persons apart. It forgets the colour of hair and skin, which DTN is to keep, so that the
means of its first 32 maps over the quarters of the picture stand next to it, times `colour_weight`. Biases before a batch norm,
which cancels them, stay zero.
"""

import math

import keras
import tensorflow as tf
from keras import layers

from ganzoo import augment, losses
from ganzoo.base import BaseGAN, Checks, face_descriptor, pixels, translation
from ganzoo.base.segments import encoder_first
from ganzoo.errors import GanzooError, nearest
from ganzoo.layers import BatchNorm, Zeroed
from ganzoo.registry import register

FEATURES = ("classifier", "face-descriptor")
POOLINGS = ("stride", "max")
ACTIVATIONS = ("relu", "lrelu")
FROM_SOURCE, FROM_TARGET, REAL = range(3)  # classes of D


def _conv(filters, name, kernel_size, strides=2, *, layer=layers.Conv2D, normed=True, **options):
    """A convolution with the bias of the layout, which a norm that follows cancels."""
    padding = "valid" if kernel_size == 4 else "same"
    options = {"kernel_initializer": keras.initializers.RandomNormal(stddev=0.02)} | options
    constraint = Zeroed() if normed else None
    return layer(filters, kernel_size, strides, padding, bias_constraint=constraint, name=name, **options)


def _doublings(image_size):
    """How often 4x4 doubles to the side of the pictures: 3 for 32."""
    doublings = (image_size // 4).bit_length() - 1
    if doublings < 1 or 4 * 2**doublings != image_size:
        raise GanzooError(f"DTN doubles from 4x4, so image_size is 8, 16, 32, 64, ...; received {image_size}.")
    return doublings


def build_feature(*, f, image_size, input_channels, nf, feature_dim, pooling, colour_weight) -> keras.Model:
    """f: pictures (N, image_size, image_size, input_channels) in [-1, 1] -> numbers (N, F).

    "classifier": F is `feature_dim`, in [-1, 1]; widths nf, 2 nf, 4 nf, ... down to 4x4, which one convolution covers.
    "face-descriptor": the bundled network, frozen, of pictures resized to 150 x 150.
    """
    image = x = keras.Input((image_size, image_size, input_channels), name="image")
    if f == "face-descriptor":
        return _face_feature(image, colour_weight)
    for level in range(1, _doublings(image_size) + 1):
        width = nf * 2 ** (level - 1)
        if pooling == "max":  # section 5.1: convolution, max pooling, ReLU
            x = layers.Conv2D(width, 3, padding="same", kernel_initializer="he_normal", name=f"down{level}_conv")(x)
            x = layers.MaxPooling2D(2, name=f"down{level}_pool")(x)
        else:
            x = BatchNorm(name=f"down{level}_norm")(_conv(width, f"down{level}_conv", 3)(x))
        x = layers.ReLU(name=f"down{level}_relu")(x)
    x = BatchNorm(name="code_norm")(_conv(feature_dim, "code_conv", 4, 1)(x))
    x = layers.Activation("tanh", name="tanh", dtype="float32")(x)
    return keras.Model(image, layers.Flatten(name="code", dtype="float32")(x), name="feature")


def _face_feature(image, colour_weight):
    if image.shape[-1] != 3:
        raise GanzooError(
            f"The face descriptor reads pictures in colour: input_channels is 3, received {image.shape[-1]}."
        )
    whole = face_descriptor.build()
    face_descriptor.fill(whole)
    early = whole.get_layer("pool").output
    network = keras.Model(whole.input, [early, whole.output], name="face_descriptor")
    network.trainable = False
    x = layers.Resizing(face_descriptor.SIZE, face_descriptor.SIZE, "bilinear", name="resized")(image)
    maps, descriptor = network(x, training=False)
    scale = math.sqrt(face_descriptor.DIMENSIONS)
    code = [layers.Rescaling(scale, name="descriptor", dtype="float32")(descriptor)]
    if colour_weight:
        half = -(-maps.shape[1] // 2)
        quarters = layers.AveragePooling2D(half, half, padding="same", name="quarters", dtype="float32")(maps)
        flat = layers.Flatten(name="quarters_flat", dtype="float32")(quarters)
        code.append(layers.Rescaling(colour_weight, name="colours", dtype="float32")(flat))
        code = [layers.Concatenate(name="code", dtype="float32")(code)]
    return keras.Model(image, code[0], name="feature")


def build_classifier(*, feature_dim, source_classes) -> keras.Model:
    """The head that f is trained by: codes (N, feature_dim) -> logits (N, source_classes)."""
    code = keras.Input((feature_dim,), name="code")
    logits = layers.Dense(source_classes, name="logits", dtype="float32")
    return keras.Model(code, logits(code), name="classifier")


def build_generator(*, f, image_size, channels, ngf, feature_dim, colour_weight, one_by_one) -> keras.Model:
    """g: codes (N, F) -> pictures (N, image_size, image_size, channels) in [-1, 1].

    A block is a transposed convolution, batch norm and ReLU; the first one makes 4x4 of the code, 4 * ngf wide at 32 px, the last
    one ends in tanh.

    Args:
        one_by_one: a 1x1 convolution follows each of them, with a norm and ReLU of its own; the last one's has neither.
    """
    if f == "face-descriptor":
        feature_dim = face_descriptor.DIMENSIONS * (2 if colour_weight else 1)
    up = {"layer": layers.Conv2DTranspose}
    code = keras.Input((feature_dim,), name="code")
    x = layers.Reshape((1, 1, feature_dim), name="reshape")(code)
    doublings = _doublings(image_size)
    for level in range(doublings):
        name, width = f"up{level}" if level else "start", ngf * 2 ** (doublings - 1 - level)
        x = _conv(width, f"{name}_conv", 3 if level else 4, 2 if level else 1, **up)(x)
        x = layers.ReLU(name=f"{name}_relu")(BatchNorm(name=f"{name}_norm")(x))
        if one_by_one:
            x = BatchNorm(name=f"{name}_mix_norm")(_conv(width, f"{name}_mix_conv", 1, 1)(x))
            x = layers.ReLU(name=f"{name}_mix_relu")(x)
    x = _conv(channels, "image_conv", 3, normed=False, dtype="float32", **up)(x)
    if one_by_one:
        # Of so few numbers N(0, 0.02) would leave nothing, and no norm follows.
        mix = {"kernel_initializer": "glorot_uniform", "normed": False, "dtype": "float32"}
        x = _conv(channels, "image_mix_conv", 1, 1, **mix)(x)
    return keras.Model(code, layers.Activation("tanh", name="tanh", dtype="float32")(x), name="generator")


def build_discriminator(*, image_size, channels, ndf, d_activation) -> keras.Model:
    """D: pictures (N, image_size, image_size, channels) in [-1, 1] -> logits (N, 3) of G(s), G(t), t."""
    if d_activation not in ACTIVATIONS:
        raise GanzooError(
            f'd_activation is "relu" or "lrelu"; received {d_activation!r}.{nearest(str(d_activation), ACTIVATIONS)}'
        )
    image = x = keras.Input((image_size, image_size, channels), name="image")
    for level in range(1, _doublings(image_size) + 1):
        x = BatchNorm(name=f"down{level}_norm")(_conv(ndf * 2 ** (level - 1), f"down{level}_conv", 3)(x))
        x = layers.LeakyReLU(0.2 if d_activation == "lrelu" else 0.0, name=f"down{level}_act")(x)
    x = _conv(3, "logit_conv", 4, 1, normed=False, dtype="float32")(x)
    return keras.Model(image, layers.Flatten(name="logits", dtype="float32")(x), name="discriminator")


# ---- the losses (equations 3 to 6), each of logits (N, 3) ------------------------------------------------------------
def cross_entropy(logits, wanted) -> tf.Tensor:
    """-E log D_wanted, the mean over the rows."""
    logits = tf.cast(logits, tf.float32)
    return tf.reduce_mean(tf.reduce_logsumexp(logits, axis=-1) - logits[..., wanted])


def ternary_d(source, target, real) -> tf.Tensor:
    """L_D of the logits of G(s), G(t) and t; 3 ln 3 = 3.296 where D is undecided."""
    return cross_entropy(source, FROM_SOURCE) + cross_entropy(target, FROM_TARGET) + cross_entropy(real, REAL)


def ternary_g(source, target) -> tf.Tensor:
    """L_GANG of the logits of G(s) and G(t); 2 ln 3 = 2.197 where D is undecided."""
    return cross_entropy(source, REAL) + cross_entropy(target, REAL)


def squared_error(one, other) -> tf.Tensor:
    """d and d_2: the mean square over all numbers, never the sum."""
    return tf.reduce_mean(tf.square(tf.cast(one, tf.float32) - tf.cast(other, tf.float32)))


@register("dtn")
class DTN(BaseGAN):
    """Pictures of one domain as pictures of another one, of which f says the same.

    Args:
        image_size: of the pictures of both domains, 4 * 2^k.
        input_channels: of the pictures that f reads, and of the source.
        channels: of the target.
        f: "face-descriptor", the bundled one, or "classifier", which the run trains first, with a source in classes.
        source_classes: of the classifier.
        nf, feature_dim: its base width and the numbers that it ends in.
        pooling: in the classifier, "stride" (others' code) or "max" (the paper).
        feature_augment: how the classifier's pictures are augmented while it trains ("color,translation", see `ganzoo.augment`); ""
            for not at all.
        colour_weight: factor of the colours next to the face descriptor; 0 for the descriptor alone.
        ngf, ndf: base widths of g and D: of the widest picture in g, of the first layer of D.
        one_by_one: whether 1x1 convolutions follow the blocks of g (faces).
        d_activation: of D, "relu" or "lrelu" with the slope 0.2 (faces).
        alpha, beta, gamma: weights of L_CONST, L_TID and L_TV.
        ema_decay: decay of an averaged copy of g; the paper has none.

    Raises:
        GanzooError: another f or pooling, a size that does not double from 4x4, or the face descriptor's file is missing.
    """

    image_size: int
    task, crops, real_class = "image", True, REAL
    train_options = ("encoder_steps",)
    _three = "has a D that tells three kinds of pictures apart, and no logit of real against fake"
    refuses = dict.fromkeys(("ada_target", "label_smoothing", "relativistic", "r1_gamma", "r2_gamma"), _three)
    players = {  # noqa: RUF012  (as in the base)
        "e_optimizer": ("feature", "classifier"),
        "d_optimizer": ("discriminator",),
        "g_optimizer": ("generator",),
    }
    rounds = (("e_optimizer",), ("d_optimizer",), ("g_optimizer",))
    # Without what is small of the averaged g, a face halved would differ by 4 of 255 in single pixels.
    float32_keys = r"^feature/(conv64.*kernel|.*(scale|shift|bias))$|^ema_generator/(?!start_conv/kernel)"
    own_metrics = {  # noqa: RUF012  (as in the base)
        "digit-kept": "digit kept",
        "digit-kept-copy": "digit kept by the input",
        "digit-by-f": "digit by f",
        "hair-kept": "hair kept",
        "skin-kept": "skin kept",
    }
    checks = Checks(
        small={"model.f": "classifier", "model.source_classes": 10, "model.image_size": 8, "model.input_channels": 1}
        | {"model.channels": 1, "model.nf": 2, "model.feature_dim": 6, "model.ngf": 4, "model.ndf": 4}
        | {"data.source": "mnist_m_32", "data.source_b": "mnist", "data.size": 8, "data.channels": 1}
        | {"data.input_channels": 1, "data.split": "test", "train.encoder_steps": 4}
        | {"train.e_optimizer": {"learning_rate": 1e-3}},
        state={"model.feature_augment": "translation"},
    )

    def __init__(
        self,
        *,
        image_size=64,
        input_channels=3,
        channels=3,
        f="face-descriptor",
        source_classes=10,
        nf=64,
        feature_dim=128,
        pooling="max",
        feature_augment="",
        colour_weight=2.0,
        ngf=64,
        ndf=64,
        one_by_one=True,
        d_activation="lrelu",
        alpha=100.0,
        beta=1.0,
        gamma=0.05,
        ema_decay=0.0,
    ):
        super().__init__(locals())
        if f not in FEATURES:
            raise GanzooError(f'f is "classifier" or "face-descriptor"; received {f!r}.{nearest(str(f), FEATURES)}')
        if pooling not in POOLINGS:
            raise GanzooError(f'pooling is "stride" or "max"; received {pooling!r}.{nearest(str(pooling), POOLINGS)}')
        for key in ("nf", "feature_dim", "source_classes", "ngf", "ndf", "channels", "input_channels"):
            if getattr(self, key) < 1:
                raise GanzooError(f"{key} is a count of at least 1; received {getattr(self, key)}.")
        for key in ("alpha", "beta", "gamma", "colour_weight"):
            if not getattr(self, key) >= 0:
                raise GanzooError(f"{key} is a weight of at least 0; received {getattr(self, key)}.")
        learns = f == "classifier"
        if feature_augment:
            augment.steps_of(feature_augment)
        if not learns:
            players = {key: networks for key, networks in self.players.items() if key != "e_optimizer"}
            object.__setattr__(self, "players", players)
        head = {"classifier": build_classifier} if learns else {}
        self.register_networks(
            generator=build_generator, discriminator=build_discriminator, feature=build_feature, **head
        )

    @property
    def logs(self):
        own = ("e_loss",) if "e_optimizer" in self.players else ()
        return (*own, "d_loss", "g_loss", "const", "tid", "fooled")

    @property
    def bundled_keys(self):
        return "" if "e_optimizer" in self.players else "^feature/"  # the face descriptor

    @property
    def label_classes(self):
        return self.source_classes

    # ---- the parts of a run: f as a classifier of the source, then g and D with f as it is --------------------------
    def segments(self, train):
        whole = super().segments(train)
        return encoder_first(whole, train, "f") if "e_optimizer" in self.players else whole

    # ---- training: [f], D, then g (section 4) ------------------------------------------------------------------------
    def features(self, images):
        """f of pictures in [-1, 1] of either domain, in inference mode whatever trains."""
        return self.feature(pixels.to_channels(images, self.input_channels), training=False)

    def source_logits(self, images):
        if "classifier" not in self.networks():
            raise GanzooError(f"The f of {self.full_name} was not trained on classes, so that it reads none.")
        x = self.features(pixels.images_in(images, self.input_channels))
        return self.classifier(x, training=False).numpy()

    def encoder_step(self, images, label):
        """f and its head learn the classes of the source."""
        if self.feature_augment:
            rows, width = tf.shape(images)[0], augment.width(self.feature_augment)
            numbers = self.noise(tf.random.stateless_uniform, "feature_augment", rows, [width])
            images = augment.diff_augment(images, numbers, self.feature_augment)
        with tf.GradientTape() as tape:
            logits = self.classifier(self.feature(images, training=True), training=True)
            each = tf.nn.sparse_softmax_cross_entropy_with_logits(label, tf.cast(logits, tf.float32))
            loss = tf.reduce_mean(each)
        self.minimize(tape, loss, "e_optimizer")
        return loss

    def forward(self, a, b):
        """f(s), G(s), G(t), and the tape that recorded g. A pass of each: the codes of drawings and of photos lie apart, and a
        batch norm over both would tell g which are which."""
        code = self.features(a)
        with tf.GradientTape() as tape:
            with keras.StatelessScope():  # what is sampled is G of sources: running statistics are kept of these alone
                fake_b = self.generator(self.features(b), training=True)
            fake_a = self.generator(code, training=True)
        return code, fake_a, fake_b, tape

    def judge(self, images):
        return self.discriminator(self.for_d(images), training=True)

    def discriminator_step(self, b, fake_a, fake_b):
        with tf.GradientTape() as tape:
            # Passes of their own: batch norm must not mix the statistics of what D tells apart.
            source, target = self.judge(tf.stop_gradient(fake_a)), self.judge(tf.stop_gradient(fake_b))
            loss = ternary_d(source, target, self.judge(b))
        self.minimize(tape, loss, "d_optimizer")
        return loss, tf.reduce_mean(tf.cast(tf.argmax(source, axis=-1) == REAL, tf.float32))

    def generator_step(self, b, code, fake_a, fake_b, tape):
        with tape:
            source, target = self.judge(fake_a), self.judge(fake_b)
            const = squared_error(code, self.features(fake_a))  # of sources alone
            tid = squared_error(b, fake_b)  # of targets alone
            loss = ternary_g(source, target) + self.alpha * const + self.beta * tid
            if self.gamma:
                loss += self.gamma * 0.5 * (losses.tv(fake_a) + losses.tv(fake_b))
        self.minimize(tape, loss, "g_optimizer")
        return loss, const, tid

    def train_step(self, data):
        a, b, *label = self.unpack(data)
        logs = {}
        if self.teaches:
            logs["e_loss"] = self.encoder_step(a, *label)
            if not self.trains_generator:
                return self.log(**logs)
        code, fake_a, fake_b, tape = self.forward(a, b)
        logs["d_loss"], fooled = self.discriminator_step(b, fake_a, fake_b)
        g_loss, const, tid = self.generator_step(b, code, fake_a, fake_b, tape)
        self.update_ema()
        return self.log(**logs, g_loss=g_loss, const=const, tid=tid, fooled=fooled)

    def batch_signature(self):
        shape = [None, self.image_size, self.image_size]
        label = {"label": tf.TensorSpec([None], tf.int64)} if "e_optimizer" in self.players else {}
        return {
            "a": tf.TensorSpec([*shape, self.input_channels], tf.float32),
            "b": tf.TensorSpec([*shape, self.channels], tf.float32),
        } | label

    # ---- sampling ------------------------------------------------------------------------------------------------
    def transferred(self, images):
        """float32 G(x) of float32 pictures (N, image_size, image_size, C)."""
        return self.sampler(self.features(images), training=False)

    def translated(self, images, seeds):
        """float32 G(x) of float32 pictures (N, H, W, C) of any size, of which the square of `pixels.square` is taken."""
        return self.transferred(pixels.square(images, self.image_size))

    def generate(self, images, *, seed=0, crop=None):
        """Pictures of the target domain.

        What is read of a picture is a square, resized to `image_size`: of a wide picture the one in the middle; of a tall one the one that
        has a quarter of what is left above it, where a face stands. `crop` says another one.

        Args:
            images: uint8 (N, H, W, C) 0..255, or floats in [-1, 1], of any size; gray or RGB is converted to `input_channels`.
            seed: without effect, since nothing is drawn; all image models take one.
            crop: (x, y, width, height) in pixels of the pictures, counted from the upper left corner; None for the whole.

        Returns:
            uint8 (N, image_size, image_size, channels).

        Raises:
            GanzooError: no such pictures, or a crop that does not lie in them.
        """
        x = pixels.cropped(pixels.images_in(images, self.input_channels), crop)
        return translation.one_by_one(self, "generate", self.translated, x, seed)

    # ---- serving -------------------------------------------------------------------------------------------------
    def serving_signature(self):
        serve, tensors = translation.endpoints(self.translated, self.input_channels)
        return {"serving_default": serve, "tensors": tensors}

    def portable_signature(self):
        """`tensors` of pictures that are `image_size` already."""
        shape = [None, self.image_size, self.image_size, self.input_channels]

        def tensors(images):
            """float32 images (N, image_size, image_size, C) in [-1, 1] -> float32 images in [-1, 1]."""
            return {"images": self.transferred(images)}

        return {"tensors": (tensors, {"images": tf.TensorSpec(shape, tf.float32, name="images")})}
