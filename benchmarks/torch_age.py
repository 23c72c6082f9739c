"""Networks of Age-cGAN (Antipov et al. 2017) in PyTorch, those of its first stage: G and D of six age classes."""

import torch
from torch import nn
from torch.nn import functional as F

from ganzoo import ages

CLASSES = len(ages.NAMES)
SIZES = {"image_size": 64, "channels": 3, "latent_dim": 100, "ngf": 64, "ndf": 64, "label_place": "after"}


class Generator(nn.Module):
    """z and codes of classes -> faces in [-1, 1]."""

    def __init__(self, m, stages):
        super().__init__()
        width = m["ngf"] << (stages - 1)
        layers = [nn.ConvTranspose2d(m["latent_dim"] + CLASSES, width, 4, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        for _ in range(stages - 1):
            layers.append(nn.ConvTranspose2d(width, width // 2, 4, 2, 1, bias=False))
            layers += [nn.BatchNorm2d(width // 2), nn.ReLU()]
            width //= 2
        self.body = nn.Sequential(*layers, nn.ConvTranspose2d(width, m["channels"], 4, 2, 1, bias=False), nn.Tanh())

    def forward(self, z, code):
        return self.body(torch.cat([z, code], 1)[:, :, None, None])


class Discriminator(nn.Module):
    """Faces and codes of classes -> logits (N, 1); the classes are maps at half the size of the faces."""

    def __init__(self, m, stages):
        super().__init__()
        self.first, self.after = nn.Conv2d(m["channels"], m["ndf"], 4, 2, 1, bias=False), m["label_place"] == "after"
        layers, before = [], m["ndf"] + CLASSES
        for stage in range(1, stages):
            width = m["ndf"] << stage
            layers += [nn.Conv2d(before, width, 4, 2, 1, bias=False), nn.BatchNorm2d(width), nn.LeakyReLU(0.2)]
            before = width
        self.body = nn.Sequential(*layers, nn.Conv2d(before, 1, 4, bias=False), nn.Flatten())

    def forward(self, x, code):
        x = self.first(x)
        maps = code[:, :, None, None].expand(-1, -1, *x.shape[2:])
        if self.after:
            return self.body(torch.cat([F.leaky_relu(x, 0.2), maps], 1))
        return self.body(F.leaky_relu(torch.cat([x, maps], 1), 0.2))


def age_cgan(model: dict) -> dict[str, nn.Module]:
    """The networks from the constructor's sizes."""
    m = SIZES | model
    stages = (m["image_size"] // 4).bit_length() - 1
    return {"generator": Generator(m, stages), "discriminator": Discriminator(m, stages)}


def code(label: torch.Tensor, off: float) -> torch.Tensor:
    """float32 (N, 6): 1 for the own class, `off` for the others."""
    return torch.where(F.one_hot(label, CLASSES) > 0, 1.0, off)
