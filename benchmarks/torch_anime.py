"""Networks of the anime paper (Jin et al. 2017) in PyTorch: G of residual blocks and pixel shuffles, D with two heads."""

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.measure import columns

SIZES = {"image_size": 128, "channels": 3, "latent_dim": 128, "ngf": 64, "blocks": 16, "shuffles": 3, "narrowing": 1}
SIZES |= {"out_kernel": 9, "ndf": 32, "d_blocks": 2, "deep_kernel": 4}


def conv(inputs, outputs, kernel=3, stride=1):
    """Of the same size, or of half of it."""
    return nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2)


class Shuffle(nn.Module):
    """Pixel shuffle whose k-th run of channels is the k-th pixel of each square, as TensorFlow has it."""

    def forward(self, x):
        n, c, h, w = x.shape
        return x.view(n, 2, 2, c // 4, h, w).permute(0, 3, 4, 1, 5, 2).reshape(n, c // 4, 2 * h, 2 * w)


class Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        first, second = ((conv(channels, channels), nn.BatchNorm2d(channels)) for _ in range(2))
        self.branch = nn.Sequential(*first, nn.ReLU(), *second)

    def forward(self, x):
        return x + self.branch(x)


class Generator(nn.Module):
    def __init__(self, m, columns):
        super().__init__()
        self.start, ngf = m["image_size"] >> m["shuffles"], m["ngf"]
        self.project = nn.Linear(m["latent_dim"] + columns, self.start * self.start * ngf)
        self.project_norm = nn.BatchNorm2d(ngf)
        self.blocks = nn.Sequential(*(Residual(ngf) for _ in range(m["blocks"])))
        self.trunk_norm = nn.BatchNorm2d(ngf)
        ups, before = [], ngf
        for _ in range(m["shuffles"]):
            after = before // m["narrowing"]
            ups += [conv(before, 4 * after), Shuffle(), nn.BatchNorm2d(after), nn.ReLU()]
            before = after
        self.ups, self.to_image = nn.Sequential(*ups), conv(before, m["channels"], m["out_kernel"])

    def forward(self, z, asked):
        x = self.project(torch.cat([z, asked], 1)).unflatten(1, (self.start, self.start, -1)).permute(0, 3, 1, 2)
        stem = F.relu(self.project_norm(x))
        x = F.relu(self.trunk_norm(self.blocks(stem))) + stem
        return torch.tanh(self.to_image(self.ups(x)).float())


class DBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.first, self.second = conv(channels, channels), conv(channels, channels)

    def forward(self, x):
        return F.leaky_relu(x + self.second(F.leaky_relu(self.first(x), 0.2)), 0.2)


class Discriminator(nn.Module):
    """Logits, and those of the attributes."""

    def __init__(self, m, columns):
        super().__init__()
        halvings, width = (m["image_size"] // 2).bit_length() - 1, m["ndf"]
        layers = [conv(m["channels"], width, 4, 2), nn.LeakyReLU(0.2)]
        for stage in range(2, halvings + 1):
            kernel = m["deep_kernel"] if stage > halvings - 3 else 4
            layers += [DBlock(width) for _ in range(m["d_blocks"])]
            layers += [conv(width, 2 * width, kernel, 2), nn.LeakyReLU(0.2)]
            width *= 2
        self.body = nn.Sequential(*layers)
        self.logit, self.attributes = nn.Linear(4 * width, 1), nn.Linear(4 * width, columns)

    def forward(self, x):
        x = self.body(x).permute(0, 2, 3, 1).flatten(1).float()
        return self.logit(x), self.attributes(x)


def anime(model: dict) -> dict[str, nn.Module]:
    """The networks; their number of columns follows from `attributes`."""
    m = SIZES | model
    width = columns(m["attributes"])
    return {"generator": Generator(m, width), "discriminator": Discriminator(m, width)}


def asked_for(draw: torch.Tensor, attributes, share: float) -> torch.Tensor:
    """Columns by the paper's rule of draws (N, K) from [0, 1)."""
    parts = []
    for place, values in enumerate(attributes.values()):
        if tuple(values) == ("no", "yes"):
            parts.append((draw[:, place, None] < share).float())
        else:
            parts.append(F.one_hot((draw[:, place] * len(values)).long(), len(values)).float())
    return torch.cat(parts, 1)


def attribute_loss(logits, wanted, reduction):
    each = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    return (each.sum(1) if reduction == "sum" else each.mean(1)).mean()
