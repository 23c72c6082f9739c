"""Networks of DTN (Taigman et al. 2016) in PyTorch, as the digits have them: f, a classifier's body that stands, g and D."""

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

SIZES = {"image_size": 64, "input_channels": 3, "channels": 3, "nf": 64, "feature_dim": 128, "ngf": 64, "ndf": 64}
SIZES |= {"f": "face-descriptor", "pooling": "max", "one_by_one": True, "d_activation": "lrelu", "gamma": 0.05}
DIGITS = {"f": "classifier", "pooling": "stride", "one_by_one": False, "d_activation": "relu", "gamma": 0.0}
REAL = 2  # of the three classes of D: G of a source, G of a target, a real target


def down(channels: int, base: int, doublings: int) -> tuple[list[nn.Module], int]:
    """Halvings to 4x4, and the width there."""
    layers, before = [], channels
    for level in range(doublings):
        layers += [nn.Conv2d(before, base << level, 3, 2, 1), nn.BatchNorm2d(base << level), nn.ReLU()]
        before = base << level
    return layers, before


def dtn(model: dict) -> dict[str, nn.Module]:
    """The networks from the constructor's sizes; biases before a norm are there, and held at zero.

    Raises:
        NotImplementedError: another network than that of the digits.
    """
    m = SIZES | model
    if other := {key: m[key] for key, value in DIGITS.items() if m[key] != value}:
        raise NotImplementedError(f"dtn in PyTorch has {DIGITS}, as the digits; received {other}")
    doublings, size = (m["image_size"] // 4).bit_length() - 1, m["feature_dim"]
    layers, width = down(m["input_channels"], m["nf"], doublings)
    feature = nn.Sequential(*layers, nn.Conv2d(width, size, 4), nn.BatchNorm2d(size), nn.Tanh(), nn.Flatten())
    width = m["ngf"] << (doublings - 1)
    layers = [nn.Unflatten(1, (-1, 1, 1)), nn.ConvTranspose2d(size, width, 4), nn.BatchNorm2d(width), nn.ReLU()]
    for _ in range(doublings - 1):
        layers += [nn.ConvTranspose2d(width, width // 2, 3, 2, 1, 1), nn.BatchNorm2d(width // 2), nn.ReLU()]
        width //= 2
    generator = nn.Sequential(*layers, nn.ConvTranspose2d(width, m["channels"], 3, 2, 1, 1), nn.Tanh())
    layers, width = down(m["channels"], m["ndf"], doublings)
    discriminator = nn.Sequential(*layers, nn.Conv2d(width, 3, 4), nn.Flatten())
    return {
        "generator": generator,
        "discriminator": discriminator,
        "feature": feature.eval().requires_grad_(False),
    }


def features(feature: nn.Sequential, pictures: torch.Tensor) -> torch.Tensor:
    """f of pictures of either domain; gray ones are repeated to the channels that it reads."""
    return feature(pictures.expand(-1, feature[0].in_channels, -1, -1))


@contextlib.contextmanager
def untracked(network: nn.Module) -> Iterator[None]:
    """While the body runs, batch norms in training keep no running statistics."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.track_running_stats = False
    yield
    for norm in norms:
        norm.track_running_stats = True
