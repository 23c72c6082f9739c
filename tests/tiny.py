"""THE table of the harness (test_models.py): each registered model and the arguments that make it tiny.

Adding a paper adds one line to TINY. The other tables hold named exceptions and are empty for a paper that needs none.
Together, TINY and VARIANTS set every constructor argument to another value than its default: round trips keep them all.
"""

import zlib

import numpy as np
import tensorflow as tf

from ganzoo import data, presets, registry, zoo
from ganzoo.doctor import distribute

TINY = {
    "3d-gan": {"grid_size": 8, "latent_dim": 6, "ngf": 4, "ndf": 3, "bn_first": False, "accuracy_limit": 1.0, "ema_decay": 0.5},
    "age-cgan": {"image_size": 16, "channels": 1, "latent_dim": 6, "ngf": 4, "ndf": 3, "nef": 3, "encoder_units": 7, "label_place": "before", "label_off": -1.0, "age_reader": "", "iterations": 3, "norm_weight": 0.5, "ema_decay": 0.5},
    "anime": {"image_size": 16, "channels": 1, "latent_dim": 6, "attributes": {"hair": ["pink", "blue", "green"], "glasses": ["no", "yes"]}, "ngf": 6, "blocks": 1, "shuffles": 2, "out_kernel": 3, "ndf": 3, "d_blocks": 1, "init": "he", "penalty_weight": 2.0, "fake_attribute_weight": 8.0, "ema_decay": 0.5},
    "biggan": {"image_size": 32, "channels": 1, "classes": 3, "class_names": ("Ankle boot", "T-shirt/top", "Bag"), "latent_dim": 8, "shared_dim": 5, "hierarchical": True, "ngf": 2, "ndf": 2, "attention": 16, "taper": False, "init": "orthogonal", "epsilon": 1e-3, "sn_epsilon": 1e-5, "d_steps": 1, "ortho_weight": 3.0, "ema_decay": 0.5, "ema_start": 0, "standing_batches": 2},
    "context-encoder": {"image_size": 16, "nef": 2, "ngf": 3, "ndf": 3, "bottleneck": 6, "overlap": 1, "overlap_weight": 5.0, "l2_weight": 0.9, "ema_decay": 0.5},
    "cyclegan": {"ngf": 2, "ndf": 3, "n_blocks": 1, "n_layers": 1, "image_size": 16, "pool_size": 3, "ema_decay": 0.5},
    "dcgan": {"image_size": 16, "channels": 1, "latent_dim": 6, "ngf": 4, "ndf": 3, "ema_decay": 0.5},
    "dtn": {"image_size": 16, "channels": 1, "f": "classifier", "source_classes": 3, "nf": 2, "feature_dim": 5, "pooling": "stride", "feature_augment": "translation", "colour_weight": 1.0, "ngf": 4, "ndf": 3, "one_by_one": False, "d_activation": "relu", "alpha": 10.0, "beta": 5.0, "gamma": 0.01, "ema_decay": 0.5},
    "gan": {"image_size": 6, "channels": 3, "latent_dim": 5, "hidden": 12, "maxout_units": 6, "maxout_pieces": 3, "ema_decay": 0.5},
    "pix2pix": {"input_channels": 1, "ngf": 2, "ndf": 3, "num_downs": 3, "n_layers": 1, "l1_weight": 10.0, "ema_decay": 0.5},
    "stylegan-lite": {"image_size": 16, "channels": 1, "latent_dim": 6, "w_dim": 5, "mapping_layers": 2, "mapping_width": 7, "lrmul": 0.1, "fmap_base": 48, "fmap_max": 8, "growing": False, "mixing": 0.5, "w_decay": 0.9, "r1_gamma": 50.0, "stddev_group": 2, "ema_decay": 0.5},
    "text-to-image": {"image_size": 16, "channels": 1, "latent_dim": 6, "text_dim": 7, "text_projection": 5, "ngf": 4, "ndf": 4, "encoder_width": 8, "text_length": 90, "words": 16, "r1_gamma": 0.5, "ema_decay": 0.5},
    "wgan-gp": {"image_size": 16, "channels": 1, "latent_dim": 6, "ngf": 4, "ndf": 3, "n_critic": 2, "gp_weight": 1.0, "ema_decay": 0.5},
}  # fmt: skip

# More settings of a paper that must train and round-trip; ema_decay = 0 is tried for every paper anyway.
VARIANTS = {
    "anime": [
        {"narrowing": 2, "equal_subfilters": True, "deep_kernel": 3, "adversarial_weight": 3.0}
        | {"penalty_interval": 2, "attribute_reduction": "mean", "conditions": "data", "boolean_share": 0.5}
        | {"fake_attribute_weight": 0.25, "attribute_noise": 0.5},
    ],
    "context-encoder": [{"region": "random", "channels": 1}, {"overlap": 0, "l2_weight": 1.0}],
    "3d-gan": [{"encoder_size": 32, "nef": 4, "kl_weight": 2.0, "reconstruction_weight": 0.5, "bn_first": True}],
    "biggan": [
        # the CIFAR recipe
        {"shared_dim": 0, "hierarchical": False, "attention": 0, "taper": True, "init": "normal", "d_steps": 2}
        | {"class_names": ("Ankle boot", "T-shirt/top", "Bag"), "ortho_weight": 0.0},
        {"deep": True, "image_size": 128, "ngf": 4, "ndf": 4, "attention": 0, "ortho_weight": 0.0},
        {"spectral_g": False},
    ],
    "cyclegan": [
        {"identity_weight": 0.0, "cycle_weight": 5.0, "input_channels": 1, "output_channels": 2, "pool_size": 0},
        {"norm": "batch", "ema_decay": 0.0},
        {"affine": True, "dropout": 0.25, "identity_weight": 20.0, "upsampling": "resize", "residual": True},
    ],
    "dcgan": [{"latent_distribution": "uniform", "kernel_size": 5, "unit_norm": True, "epsilon": 1e-8}],
    "dtn": [
        {"input_channels": 1, "pooling": "max", "one_by_one": True, "d_activation": "lrelu", "feature_augment": ""}
    ],
    "pix2pix": [
        {"norm": "instance", "dropout": 0.25, "output_channels": 1},
        {"n_layers": 0, "num_downs": 6, "dropout_placement": "pytorch", "upsampling": "resize"},
        {"norm": "none", "dropout": 0.0},
    ],
    "stylegan-lite": [
        {
            "classes": 3,
            "r1_interval": 2,
            "fresh_latents": False,
            "mixing": 1.0,
            "noise_inputs": False,
            "mixing_per_sample": True,
            "normalization": "demodulation",
            "saturated": True,
        },
        {
            "growing": True,
            "truncation_cutoff": 3,
            "ema_images": 100,
            "augment": "color,cutout",
            "ada_target": 0.6,
            "ada_images": 400,
        },
    ],
    "text-to-image": [
        {"script": "main_cls_int", "beta": 0.25, "interpolation_weight": 0.5, "cls_weight": 0.25, "words": 0},
        {"encoder": "embedding", "interpolate": False, "cls_weight": 0.0},
        {"match_weight": 0.5, "words": 9, "encoder_noise": 0.2},
    ],
}

# Side of the images where a batch_signature leaves it open.
SIZES = {"pix2pix": 64}

# Parameters that no step moves, by the end of their key.
STILL = {
    "anime": r"block\d_conv\d/bias",  # kept at zero where a batch norm cancels them (Zeroed)
    # kept at zero where a batch norm cancels them (Zeroed); a hinge within its margins has no gradient for score/bias
    "biggan": r"generator/block\d[ab]?_(conv\d|skip)/bias|discriminator/score/bias",
    "context-encoder": r"_conv/bias",  # kept at zero, as the script does (Zeroed)
    "dtn": r"(down\d|code|(start|up\d)(_mix)?)_conv/bias",  # kept at zero where a batch norm cancels them (Zeroed)
    "3d-gan": r"code[1-4]_conv/bias",  # kept at zero where a batch norm cancels them (Zeroed)
    "pix2pix": r"(down|up|conv)[2-9](_conv)?/bias",
    "cyclegan": r"((in|down|res|up).*_conv.?|conv[2-9])/bias",  # kept at zero where an instance norm cancels them (Zeroed)
    "stylegan-lite": r"(to|from)_rgb_[48]/(kernel|bias)",  # of sizes that only progressive growing trains
    "text-to-image": r"(stem|up\d|out|down\d|res\d?_\d|joint)_conv/bias",  # kept at zero (Zeroed)
    "wgan-gp": r"(project|up1_conv|score)/bias",  # kept at zero (Zeroed); a difference of scores has no gradient for score/bias
}

# Arguments of a size at which the rounding of a batch norm is not passed on, besides those that a paper declares.
CALMER = {"pix2pix": {"norm": "instance", "num_downs": 2}, "cyclegan": {"dropout": 0.25}}

# Arguments that "second value" of an argument does not fit (test_objectives.py): (more arguments, its second value).
SECOND = {
    "anime": {"narrowing": ({"narrowing": 2}, 1), "deep_kernel": ({"deep_kernel": 3}, 4)},
    "biggan": {
        "attention": ({}, 8),  # D has no map of 32
        "classes": ({"class_names": ()}, 6),
        "deep": ({"image_size": 128, "ngf": 4, "ndf": 4, "attention": 0, "latent_dim": 12}, True),
        # z is divided among 4 places, and among 5; D's map of 16 has 2 * ndf channels, and attention wants 8
        "image_size": ({"latent_dim": 20, "ndf": 4}, 64),
        "hierarchical": ({}, False),  # in the variant there is no embedding next to which z could stand
    },
    "dtn": {"colour_weight": ({"f": "face-descriptor", "colour_weight": 1.0}, 0.0)},  # of this f alone
    "cyclegan": {"identity_weight": ({}, 0.25)},  # not with the channels of the variant
    "stylegan-lite": {"augment": ({"augment": "color,cutout"}, "color")},  # ada_target needs one
}

# Arguments whose second value a few steps do not show, and where they are tested instead.
ELSEWHERE = {
    "age-cgan": {
        "age_reader": "of a face without an age alone: tests/models/test_age_cgan.py",
        "iterations": "of the search for a face alone: tests/models/test_age_cgan.py",
        "norm_weight": "of the search for a face alone: tests/models/test_age_cgan.py",
    },
    "biggan": {
        "class_names": "of labels by name alone: tests/models/test_biggan.py",
        "ema_start": "the test builds no averages: tests/models/test_biggan.py",
        "sn_epsilon": "no vector is so short: tests/layers/test_spectral.py",
        "standing_batches": "of samples alone: tests/models/test_biggan.py",
    },
    "stylegan-lite": {
        "ada_images": "p leaves 0 where D is sure of the reals: tests/test_augment.py",
        "ema_images": "the test builds no averages: tests/models/test_stylegan_lite.py",
        "truncation_cutoff": "of samples alone: tests/models/test_stylegan_lite.py",
    },
}

# Factor of initial weights that are so small that rounding hides the slope of a loss.
WIDER = {"gan": 50.0}

# Arguments with which a paper takes options of [train.stability] that it refuses elsewhere.
TAKES_ALL = {"anime": {"penalty_weight": 0.0}}

# What no gradient moves besides batch statistics, by the end of its key.
FIXED = {"anime": "training_set/rows", "biggan": "/u", "stylegan-lite": "w_avg|lod|noise"}

# Mean and deviation of the latents, where they are not 0 and 1.
MOMENTS = {"3d-gan": (0.5, 12**-0.5)}  # uniform on [0, 1]

BATCH = 4  # rows of each update
OPTIMIZERS = [key for key in presets.TrainConfig.model_fields if key.endswith("_optimizer")]


# One step of it moves any parameter that has a gradient, however small.
ADAM = presets.OptimizerConfig(learning_rate=2e-4, beta_1=0.5)
CALM = ADAM.model_copy(update=distribute.ADAM)  # rounding stays rounding
SGD = presets.OptimizerConfig(name="sgd", learning_rate=1e-2)  # has no slots, which take half of the time of building


def build(name: str, *, seed: int = 0, optimizer=ADAM, **overrides):
    """The tiny model of a paper with random weights, its first preset's options, and one kind of optimizer for every
    player."""
    tf.keras.utils.set_random_seed(seed)
    config = presets.run_config(name)
    players = dict.fromkeys(OPTIMIZERS, optimizer)
    config = config.model_copy(update={"train": config.train.model_copy(update=players)})
    model = zoo.build(config.model_copy(update={"model": TINY[name] | overrides}))
    for key, variable in model.state().items():
        if key.endswith(model.checks.singular):  # drawn at random instead
            number = zlib.crc32(key.removeprefix("ema_").encode())
            variable.assign(np.random.default_rng(number).normal(size=variable.shape))
    settle(model)
    return model


def settle(model) -> None:
    """The vectors of spectral norms stand where many steps lead them. Elsewhere sigma depends on how they move, which no
    gradient says."""
    for network in model.networks().values():
        for layer in network._flatten_layers():
            if getattr(layer, "spectral", False):
                layer.u.assign(np.linalg.svd(layer.matrix().numpy(), full_matrices=False)[2][0])


def unmixed(name: str) -> dict:
    """Arguments that leave out what mixes the rows of a batch, as the paper declares them: with them two replicas equal one.
    (Batch norm is synchronised besides.)"""
    declared = registry.models()[name].checks.unmixed
    own = {key.removeprefix("model."): value for key, value in declared.items() if key.startswith("model.")}
    return own | CALMER.get(name, {})


def signature(model) -> dict[str, tf.TensorSpec]:
    """The model's batch_signature with open sizes filled in."""
    size = SIZES.get(model.paper)
    specs = model.batch_signature()
    shapes = {key: [None, *(size if n is None else n for n in spec.shape[1:])] for key, spec in specs.items()}
    return {key: tf.TensorSpec(shapes[key], spec.dtype) for key, spec in specs.items()}


def batches(model, batch_size: int = BATCH, seed: int = 0) -> tf.data.Dataset:
    """Infinite random batches for the model: `batch_size` rows for each update of the player with the most in a step."""
    return data.synthetic(signature(model), batch_size * max(model.updates.values()), seed=seed)


def batch(model, batch_size: int = BATCH, seed: int = 0) -> dict[str, tf.Tensor]:
    """One random batch for the model."""
    return next(iter(batches(model, batch_size, seed)))
