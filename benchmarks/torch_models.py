"""The networks and updates of GAN, DCGAN and pix2pix in PyTorch, written from the papers for comparison.

Same layers, losses, optimizers and order of updates as `ganzoo.models`; `tests/test_benchmarks.py` copies weights over and
compares. The code is what a careful PyTorch user writes: eager, one forward of G for both updates, no gradient of D's
weights in G's update, the fused Adam. Images are NCHW in [-1, 1].
"""

import copy
from collections.abc import Callable, Mapping

import torch
from torch import nn
from torch.nn import functional as F

from ganzoo.presets import OptimizerConfig, RunConfig


# ---- networks --------------------------------------------------------------------------------------------------------
class Maxout(nn.Module):
    """The largest of `pieces` linear maps, for each unit."""

    def __init__(self, width, units, pieces):
        super().__init__()
        self.linear, self.units = nn.Linear(width, units * pieces), units

    def forward(self, x):
        return self.linear(x).unflatten(1, (self.units, -1)).amax(2)


def gan(*, image_size=28, channels=1, latent_dim=100, hidden=1200, maxout_units=240, maxout_pieces=5):
    """(G, D) of Goodfellow et al. 2014 on images as vectors in [0, 1]."""
    pixels = image_size * image_size * channels
    rectified = [nn.Linear(latent_dim, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()]
    generator = nn.Sequential(*rectified, nn.Linear(hidden, pixels), nn.Sigmoid())
    first, second = Maxout(pixels, maxout_units, maxout_pieces), Maxout(maxout_units, maxout_units, maxout_pieces)
    discriminator = nn.Sequential(
        nn.Dropout(0.2), first, nn.Dropout(0.5), second, nn.Dropout(0.5), nn.Linear(maxout_units, 1)
    )
    return generator, discriminator


def dcgan(*, image_size=64, channels=3, latent_dim=100, ngf=64, ndf=64, kernel_size=4, unit_norm=False, epsilon=1e-5):
    """(G, D) of Radford et al. 2015; z is (N, latent_dim)."""
    stages = (image_size // 4).bit_length() - 1
    pad, extra = (kernel_size - 1) // 2, kernel_size % 2
    width = ngf << (stages - 1)
    layers = [nn.Unflatten(1, (-1, 1, 1)), nn.ConvTranspose2d(latent_dim, width, 4, bias=False)]
    if unit_norm:
        layers += [nn.Flatten(), nn.BatchNorm1d(width * 16, epsilon), nn.Unflatten(1, (width, 4, 4)), nn.ReLU()]
    else:
        layers += [nn.BatchNorm2d(width, epsilon), nn.ReLU()]
    for stage in range(1, stages + 1):
        out = channels if stage == stages else width >> stage
        layers.append(nn.ConvTranspose2d(width >> (stage - 1), out, kernel_size, 2, pad, extra, bias=False))
        layers += [nn.Tanh()] if stage == stages else [nn.BatchNorm2d(out, epsilon), nn.ReLU()]
    generator = nn.Sequential(*layers)

    layers, before = [], channels
    for stage in range(stages):
        layers.append(nn.Conv2d(before, ndf << stage, kernel_size, 2, pad, bias=False))
        layers += [nn.BatchNorm2d(ndf << stage, epsilon)] if stage else []
        layers.append(nn.LeakyReLU(0.2))
        before = ndf << stage
    return generator, nn.Sequential(*layers, nn.Conv2d(before, 1, 4, bias=False), nn.Flatten())


def _norm(norm, width):
    return {"batch": nn.BatchNorm2d(width), "instance": nn.InstanceNorm2d(width), "none": nn.Identity()}[norm]


class UNet(nn.Module):
    """The generator of Isola et al. 2016, dropout on the three innermost decoder levels."""

    def __init__(self, channels_in, channels_out, ngf, num_downs, norm, dropout):
        super().__init__()
        widths, bias = [ngf * min(2**level, 8) for level in range(num_downs)], norm == "instance"
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level, width in enumerate(widths, 1):
            conv = nn.Conv2d(channels_in if level == 1 else widths[level - 2], width, 4, 2, 1, bias=bias)
            before = [nn.LeakyReLU(0.2)] if level > 1 else []
            self.down.append(nn.Sequential(*before, conv, *([_norm(norm, width)] if 1 < level < num_downs else [])))
        for level in range(num_downs, 1, -1):
            width = widths[level - 1] * (1 if level == num_downs else 2)
            conv = nn.ConvTranspose2d(width, widths[level - 2], 4, 2, 1, bias=bias)
            drop = [nn.Dropout(dropout)] if dropout and level > max(num_downs - 3, 1) else []
            self.up.append(nn.Sequential(nn.ReLU(), conv, _norm(norm, widths[level - 2]), *drop))
        self.last = nn.Sequential(nn.ReLU(), nn.ConvTranspose2d(2 * ngf, channels_out, 4, 2, 1), nn.Tanh())

    def forward(self, x):
        skips = []
        for block in self.down:
            x = block(x)
            skips.append(x)
        for block, skip in zip(self.up, skips[-2::-1], strict=True):
            x = torch.cat([skip, block(x)], 1)
        return self.last(x)


def patchgan(channels, ndf, n_layers, norm):
    """The PatchGAN of Isola et al. 2016, n_layers >= 1."""
    layers, before, bias = [], channels, norm == "instance"
    for level in range(n_layers + 1):
        width = ndf * min(2**level, 8)
        layers.append(nn.Conv2d(before, width, 4, 2 if level < n_layers else 1, 1, bias=bias or level == 0))
        layers += [_norm(norm, width)] if level else []
        layers.append(nn.LeakyReLU(0.2))
        before = width
    return nn.Sequential(*layers, nn.Conv2d(before, 1, 4, 1, 1))


# ---- updates ---------------------------------------------------------------------------------------------------------
def _d_loss(real, fake):
    return F.softplus(-real.float()).mean() + F.softplus(fake.float()).mean()


def _g_loss(fake):
    return F.softplus(-fake.float()).mean()


class Player:
    """A network with its optimizer and the schedules of its preset."""

    def __init__(self, network: nn.Module, config: OptimizerConfig):
        self.network, self.config, self.steps = network, config, 0
        options = {"lr": config.learning_rate}
        if config.name == "adam":
            options |= {"betas": (config.beta_1, config.beta_2), "eps": config.epsilon}
            self.optimizer = torch.optim.Adam(network.parameters(), fused=True, **options)
        else:
            self.optimizer = torch.optim.SGD(network.parameters(), momentum=config.momentum, **options)

    def minimize(self, loss):
        """One update; the schedules of rate and momentum are those of `ganzoo.schedules`."""
        c, group = self.config, self.optimizer.param_groups[0]
        if c.decay > 1:
            group["lr"] = max(c.learning_rate / c.decay**self.steps, c.learning_rate_min)
        elif c.decay_steps:
            past = max(self.steps - (c.constant_steps or 0), 0)
            group["lr"] = c.learning_rate * max(1 - past / c.decay_steps, 0.0)
        if c.momentum_end is not None:
            share = min(self.steps / (c.momentum_steps or 1), 1.0)
            group["momentum"] = c.momentum + share * (c.momentum_end - c.momentum)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        torch.clear_autocast_cache()  # it holds this network's weights from before the step
        self.steps += 1


class Update:
    """One training step of a preset: `step(batch)` returns the losses as tensors.

    Attributes:
        generator, discriminator: the networks, in training mode.
        average: the averaged copy of G, or None.
    """

    def __init__(self, config: RunConfig):
        model = dict(config.model)
        self.ema_decay = model.pop("ema_decay", 0.0)
        self.uniform = model.pop("latent_distribution", "normal") == "uniform"
        self.l1_weight = model.pop("l1_weight", 100.0)
        self.bfloat16 = config.train.precision == "bfloat16"
        self.latent_dim = model.get("latent_dim", 100)
        self.generator, self.discriminator = _networks(config.name, model)
        self.average = copy.deepcopy(self.generator).requires_grad_(False) if self.ema_decay else None
        self.g = Player(self.generator, config.train.g_optimizer)
        self.d = Player(self.discriminator, config.train.d_optimizer)
        self.losses: Callable = {"gan": self._gan, "dcgan": self._dcgan, "pix2pix": self._pix2pix}[config.name]

    def step(self, batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            logs = self.losses(batch)
        if self.average is not None:
            self._average()
        return logs

    def latents(self, rows: int) -> torch.Tensor:
        return torch.rand(rows, self.latent_dim) * 2 - 1 if self.uniform else torch.randn(rows, self.latent_dim)

    @torch.no_grad()
    def _average(self):
        pairs = zip(self.average.state_dict().values(), self.generator.state_dict().values(), strict=True)
        trained = {p.data_ptr() for p in self.generator.parameters()}
        for shadow, weight in pairs:
            if weight.data_ptr() in trained:
                shadow.lerp_(weight, 1 - self.ema_decay)
            else:
                shadow.copy_(weight)

    def _judge_frozen(self, *inputs):
        """D without gradients of its own weights: what G's update needs."""
        self.discriminator.requires_grad_(False)
        logits = self.discriminator(*inputs)
        self.discriminator.requires_grad_(True)
        return logits

    def _gan(self, batch):
        """G first against the D that has not moved, then D on the same fakes: the gradients of one point."""
        real = (batch["image"].flatten(1) + 1) / 2
        noise = (torch.rand(len(real), self.latent_dim) * 2 - 1) * 3**0.5
        fake = self.generator(noise)
        g_loss = _g_loss(self._judge_frozen(fake))
        kept = fake.detach()
        self.g.minimize(g_loss)
        fake_logits = self.discriminator(kept)
        d_loss = 0.5 * _d_loss(self.discriminator(real), fake_logits)
        self.d.minimize(d_loss)
        return {"d_loss": d_loss.detach(), "g_loss": g_loss.detach(), "fooled": (fake_logits > 0).float().mean()}

    def _dcgan(self, batch):
        fake = self.generator(self.latents(len(batch["image"])))
        real_logits, fake_logits = self.discriminator(batch["image"]), self.discriminator(fake.detach())
        d_loss = _d_loss(real_logits, fake_logits)
        self.d.minimize(d_loss)
        g_loss = _g_loss(self._judge_frozen(fake))
        self.g.minimize(g_loss)
        return {"d_loss": d_loss.detach(), "g_loss": g_loss.detach(), "fooled": (fake_logits > 0).float().mean()}

    def _pix2pix(self, batch):
        x, y = batch["input"], batch["target"]
        fake = self.generator(x)
        fake_logits = self.discriminator(torch.cat([x, fake.detach()], 1))
        d_loss = 0.5 * _d_loss(self.discriminator(torch.cat([x, y], 1)), fake_logits)
        self.d.minimize(d_loss)
        l1 = F.l1_loss(fake.float(), y)
        g_loss = _g_loss(self._judge_frozen(torch.cat([x, fake], 1))) + self.l1_weight * l1
        self.g.minimize(g_loss)
        fooled = (fake_logits > 0).float().mean()
        return {"d_loss": d_loss.detach(), "g_loss": g_loss.detach(), "l1": l1.detach(), "fooled": fooled}


def _networks(paper: str, model: dict) -> tuple[nn.Module, nn.Module]:
    if paper != "pix2pix":
        return {"gan": gan, "dcgan": dcgan}[paper](**model)
    known = {"input_channels": 3, "output_channels": 3, "ngf": 64, "ndf": 64, "num_downs": 8, "n_layers": 3}
    m = known | {"norm": "batch", "dropout": 0.5, "dropout_placement": "paper"} | model
    generator = UNet(m["input_channels"], m["output_channels"], m["ngf"], m["num_downs"], m["norm"], m["dropout"])
    channels = m["input_channels"] + m["output_channels"]
    return generator, patchgan(channels, m["ndf"], m["n_layers"], m["norm"])
