"""Networks and updates of every paper of the zoo in PyTorch.

Same layers, losses, optimizers and order of updates as `ganzoo.models`; `tests/benchmarks/test_benchmarks.py` copies weights over and
compares. The code is what a careful PyTorch user writes: eager, one forward of G for both updates, no gradient of D's
weights in G's update, the fused Adam. Images are NCHW in [-1, 1].
"""

import copy
import dataclasses
import itertools
from collections.abc import Callable, Mapping

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks import torch_age, torch_anime, torch_dtn, torch_wgan
from benchmarks.torch_biggan import biggan
from benchmarks.torch_stylegan import stylegan
from benchmarks.torch_text import text_to_image, zero_biases
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


def gan3d(*, grid_size=64, latent_dim=200, ngf=64, ndf=64, bn_first=True):
    """(G, D) of Wu et al. 2016; z is (N, latent_dim), shapes are (N, 1, S, S, S)."""
    stages = (grid_size // 4).bit_length() - 1
    width = ngf << (stages - 1)
    layers = [nn.Unflatten(1, (-1, 1, 1, 1)), nn.ConvTranspose3d(latent_dim, width, 4, bias=False)]
    for stage in range(1, stages + 1):
        out = 1 if stage == stages else width >> stage
        layers += [nn.BatchNorm3d(width >> (stage - 1)), nn.ReLU()]
        layers.append(nn.ConvTranspose3d(width >> (stage - 1), out, 4, 2, 1, bias=False))
    generator = nn.Sequential(*layers, nn.Sigmoid())

    layers, before = [], 1
    for stage in range(stages):
        layers.append(nn.Conv3d(before, ndf << stage, 4, 2, 1, bias=False))
        layers += [nn.BatchNorm3d(ndf << stage)] if stage or bn_first else []
        layers.append(nn.LeakyReLU(0.2))
        before = ndf << stage
    return generator, nn.Sequential(*layers, nn.Conv3d(before, 1, 4, bias=False), nn.Flatten())


def _enlarging(before, width, upsampling, transposed, bias=True):
    """A layer that doubles a map: nearest pixels and a 3x3 convolution, or a transposed one of (kernel, stride, ...)."""
    if upsampling == "resize":
        return nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(before, width, 3, padding=1, bias=bias))
    return nn.ConvTranspose2d(before, width, *transposed, bias=bias)


def _norm(norm, width):
    return {"batch": nn.BatchNorm2d(width), "instance": nn.InstanceNorm2d(width), "none": nn.Identity()}[norm]


class UNet(nn.Module):
    """The generator of Isola et al. 2016, dropout on the three innermost decoder levels."""

    def __init__(self, channels_in, channels_out, ngf, num_downs, norm, dropout, upsampling="transposed"):
        super().__init__()
        widths, bias = [ngf * min(2**level, 8) for level in range(num_downs)], norm == "instance"
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level, width in enumerate(widths, 1):
            conv = nn.Conv2d(channels_in if level == 1 else widths[level - 2], width, 4, 2, 1, bias=bias)
            before = [nn.LeakyReLU(0.2)] if level > 1 else []
            self.down.append(nn.Sequential(*before, conv, *([_norm(norm, width)] if 1 < level < num_downs else [])))
        for level in range(num_downs, 1, -1):
            width = widths[level - 1] * (1 if level == num_downs else 2)
            conv = _enlarging(width, widths[level - 2], upsampling, (4, 2, 1), bias)
            drop = [nn.Dropout(dropout)] if dropout and level > max(num_downs - 3, 1) else []
            self.up.append(nn.Sequential(nn.ReLU(), conv, _norm(norm, widths[level - 2]), *drop))
        self.last = nn.Sequential(nn.ReLU(), _enlarging(2 * ngf, channels_out, upsampling, (4, 2, 1)), nn.Tanh())

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


class _Block(nn.Module):
    """The residual block of Zhu et al. 2017."""

    def __init__(self, width):
        super().__init__()
        half = [nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), nn.InstanceNorm2d(width)]
        self.body = nn.Sequential(*half, nn.ReLU(), *[copy.deepcopy(layer) for layer in half])

    def forward(self, x):
        return x + self.body(x)


class Residual(nn.Module):
    """tanh(arctanh(x) + f(x)), arctanh clipped to its value at 0.999."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return torch.tanh(self.network(x).float() + torch.atanh(x.float().clip(-0.999, 0.999)))


def resnet(channels_in, channels_out, ngf, n_blocks, upsampling="transposed", residual=False):
    """The generator of Zhu et al. 2017."""

    def normed(layer, width):
        return [layer, nn.InstanceNorm2d(width), nn.ReLU()]

    layers = [nn.ReflectionPad2d(3), *normed(nn.Conv2d(channels_in, ngf, 7), ngf)]
    for width in (ngf, 2 * ngf):
        layers += normed(nn.Conv2d(width, 2 * width, 3, 2, 1), 2 * width)
    layers += [_Block(4 * ngf) for _ in range(n_blocks)]
    for width in (4 * ngf, 2 * ngf):
        layers += normed(_enlarging(width, width // 2, upsampling, (3, 2, 1, 1)), width // 2)
    layers += [nn.ReflectionPad2d(3), nn.Conv2d(ngf, channels_out, 7)]
    return Residual(nn.Sequential(*layers)) if residual else nn.Sequential(*layers, nn.Tanh())


class History:
    """The last `size` generated images, shown again with probability 1/2."""

    def __init__(self, size):
        self.size, self.images = size, []

    def __call__(self, images):
        if not self.size:
            return images
        shown = []
        for image in images:
            if len(self.images) < self.size:
                self.images.append(image)
                shown.append(image)
            elif torch.rand(()) > 0.5:
                place = int(torch.randint(self.size, ()))
                shown.append(self.images[place])
                self.images[place] = image
            else:
                shown.append(image)
        return torch.stack(shown)


# ---- twins -----------------------------------------------------------------------------------------------------------
@dataclasses.dataclass(frozen=True)
class Twin:
    """What there is of a paper: `networks` by the attribute names of ganzoo's model, from the constructor's sizes alone;
    `step`, its losses and updates; `sample`, what makes a call that samples of (G, options, rows); `tiny`, sizes of some presets
    at which a test compares both sides, by preset; `named`, whether the networks' states have the names that
    `ganzoo.importers` reads; `turned`, whether they are ganzoo's turned by 180 degrees: Keras pads a stride of an odd kernel
    at the end of a picture, PyTorch at its start; `latent_dim`, the constructor's own."""

    networks: Callable[[dict], dict[str, nn.Module]]
    step: Callable
    sample: Callable[[nn.Module, RunConfig, int], Callable]
    tiny: Mapping[str, dict]
    named: bool
    turned: bool
    latent_dim: int


TWINS: dict[str, Twin] = {}  # by paper; each enters itself


def latent_dim(config: RunConfig) -> int:
    """The width of z."""
    return config.model.get("latent_dim", TWINS[config.name].latent_dim)


def of_latents(generator: nn.Module, config: RunConfig, rows: int) -> Callable:
    """Samples of a G that takes z."""
    latents = torch.randn(rows, latent_dim(config))
    return lambda: generator(latents).numpy()


def of_pictures(generator: nn.Module, config: RunConfig, rows: int) -> Callable:
    """Samples of a G that takes pictures and at test time is in training mode: dropout, statistics of the batch."""
    generator.train()
    images = torch.rand(rows, config.data.input_channels, config.data.size, config.data.size) * 2 - 1
    return lambda: generator(images).numpy()


def of_styles(generator: nn.Module, config: RunConfig, rows: int) -> Callable:
    """Samples of a G with styles, truncated by 0.7, without noise."""
    latents = torch.randn(rows, latent_dim(config))

    def styled():
        w = generator.w_avg + 0.7 * (generator.mapping(latents) - generator.w_avg)
        layers = 2 * len(generator.synthesis.blocks)
        return generator.synthesis(w[:, None].expand(-1, layers, -1), [None] * layers).numpy()

    return styled


def twin(
    paper: str,
    networks: Callable,
    *,
    sample: Callable = of_latents,
    named: bool = False,
    turned: bool = False,
    latent_dim: int = 100,
    **tiny: dict,
):
    """Enters an `Update`'s method as the step of a paper; `tiny` by preset, with "_" for "-"."""

    def enter(step):
        sizes = {f"{paper}/{preset.replace('_', '-')}": model for preset, model in tiny.items()}
        TWINS[paper] = Twin(networks, step, sample, sizes, named, turned, latent_dim)
        return step

    return enter


def pair(build: Callable) -> Callable:
    """The networks of a function that returns (G, D)."""
    return lambda model: dict(zip(("generator", "discriminator"), build(**model), strict=True))


def context_encoder(model: dict) -> dict[str, nn.Module]:
    """The networks of Pathak et al. 2016 that fill the square in the middle; convolutions have biases, held at zero."""
    m = {"image_size": 128, "channels": 3, "nef": 64, "ngf": 64, "ndf": 64, "bottleneck": 4000} | model

    def widths(base, side):
        return [base * max(8 >> level, 1) for level in reversed(range((side // 4).bit_length() - 1))]

    def down(base, side):
        layers, before = [], m["channels"]
        for level, width in enumerate(widths(base, side)):
            layers.append(nn.Conv2d(before, width, 4, 2, 1))
            layers += [nn.BatchNorm2d(width)] if level else []
            layers.append(nn.LeakyReLU(0.2))
            before = width
        return layers, before

    half = m["image_size"] // 2
    layers, before = down(m["nef"], m["image_size"])
    layers += [nn.Conv2d(before, m["bottleneck"], 4), nn.BatchNorm2d(m["bottleneck"]), nn.LeakyReLU(0.2)]
    *up, before = widths(m["ngf"], half)
    layers += [nn.ConvTranspose2d(m["bottleneck"], before, 4), nn.BatchNorm2d(before), nn.ReLU()]
    for width in reversed(up):
        layers += [nn.ConvTranspose2d(before, width, 4, 2, 1), nn.BatchNorm2d(width), nn.ReLU()]
        before = width
    generator = nn.Sequential(*layers, nn.ConvTranspose2d(before, m["channels"], 4, 2, 1), nn.Tanh())
    layers, before = down(m["ndf"], half)
    return {"generator": generator, "discriminator": nn.Sequential(*layers, nn.Conv2d(before, 1, 4), nn.Flatten())}


PICTURES = {"input_channels": 3, "output_channels": 3, "ngf": 64, "ndf": 64, "n_layers": 3, "upsampling": "transposed"}


def pix2pix(model: dict) -> dict[str, nn.Module]:
    """The networks of Isola et al. 2016."""
    m = PICTURES | {"num_downs": 8, "norm": "batch", "dropout": 0.5, "dropout_placement": "paper"} | model
    sizes = [m[name] for name in ("ngf", "num_downs", "norm", "dropout", "upsampling")]
    generator = UNet(m["input_channels"], m["output_channels"], *sizes)
    channels = m["input_channels"] + m["output_channels"]
    return {"generator": generator, "discriminator": patchgan(channels, m["ndf"], m["n_layers"], m["norm"])}


def cyclegan(model: dict) -> dict[str, nn.Module]:
    """The networks of Zhu et al. 2017."""
    m = PICTURES | {"n_blocks": 9, "residual": False} | model
    a, b = m["input_channels"], m["output_channels"]
    size = [m[name] for name in ("ngf", "n_blocks", "upsampling", "residual")]
    judges = {f"discriminator_{d}": patchgan(c, m["ndf"], m["n_layers"], "instance") for d, c in (("a", a), ("b", b))}
    return {"generator_ab": resnet(a, b, *size), "generator_ba": resnet(b, a, *size)} | judges


# ---- updates ---------------------------------------------------------------------------------------------------------
def _d_loss(real, fake):
    return F.softplus(-real.float()).mean() + F.softplus(fake.float()).mean()


def _g_loss(fake):
    return F.softplus(-fake.float()).mean()


def _class_loss(logits, kind):
    return F.cross_entropy(logits.float(), torch.full((len(logits),), kind))


@torch.no_grad()
def zero_cancelled(network: nn.Module) -> None:
    """Biases that a batch norm subtracts again, back to zero."""
    for part in network.modules():
        for layer, after in itertools.pairwise(part) if isinstance(part, nn.Sequential) else ():
            if isinstance(after, nn.BatchNorm1d | nn.BatchNorm2d) and getattr(layer, "bias", None) is not None:
                layer.bias.zero_()


class Player:
    """Networks with their optimizer and the schedules of its preset."""

    def __init__(self, config: OptimizerConfig, *networks: nn.Module):
        self.config, self.steps = config, 0
        options, parameters = {"lr": config.learning_rate}, [p for network in networks for p in network.parameters()]
        if config.name == "adam":
            # Its epsilon stands after the bias correction: 1e-8 is as good as none in either place.
            options |= {"betas": (config.beta_1, config.beta_2), "eps": config.epsilon}
            self.optimizer = torch.optim.Adam(parameters, fused=True, **options)
        else:
            self.optimizer = torch.optim.SGD(parameters, momentum=config.momentum, **options)

    def minimize(self, loss):
        """One update; the schedules of rate and momentum are those of `ganzoo.schedules`."""
        c, group = self.config, self.optimizer.param_groups[0]
        if c.decay > 1:
            group["lr"] = max(c.learning_rate / c.decay**self.steps, c.learning_rate_min)
        elif c.epoch_steps:
            constant, decay = (c.constant_steps or 0) // c.epoch_steps, c.decay_steps // c.epoch_steps
            left = decay + 1 - max(self.steps // c.epoch_steps + 1 - constant, 0)
            group["lr"] = c.learning_rate * max(left, 0) / (decay + 1)
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
        networks: in training mode, by the attribute names of ganzoo's model; each is an attribute here too.
        average: the averaged copy of G, or None. CycleGAN's presets have none.
    """

    def __init__(self, config: RunConfig):
        model = dict(config.model)
        self.ema_decay = model.pop("ema_decay", 0.0)
        self.uniform = model.pop("latent_distribution", "normal") == "uniform"
        self.l1_weight = model.pop("l1_weight", 100.0)
        self.bfloat16 = config.train.precision == "bfloat16"
        self.latent_dim = latent_dim(config)
        self.cycle_weight, self.identity_weight = model.pop("cycle_weight", 10.0), model.pop("identity_weight", 0.5)
        self.pools = [History(size) for size in [model.pop("pool_size", 50)] * 2]
        self.style = {
            "mixing": 0.9,
            "w_decay": 0.995,
            "r1_gamma": 10.0,
            "r1_interval": 1,
            "fresh_latents": True,
        } | model
        self.classes, self.d_steps = model.get("classes", 1000), model.pop("d_steps", 2)
        self.ema_start = model.pop("ema_start", 20_000) if config.name == "biggan" else 0
        self.accuracy, self.accuracy_limit = 0.0, model.pop("accuracy_limit", 0.8)
        self.cls = {
            "cls_weight": 0.5,
            "interpolate": True,
            "beta": 0.5,
            "interpolation_weight": 1.0,
            "r1_gamma": 0.0,
        } | model
        self.filling = {"image_size": 128, "overlap": 4, "overlap_weight": 10.0, "l2_weight": 0.999} | model
        self.faces = {"adversarial_weight": 34.0, "penalty_weight": 0.5, "penalty_interval": 1} | model
        self.critic = {"n_critic": 5, "gp_weight": 10.0} | model
        self.transfer = {"alpha": 100.0, "beta": 1.0} | model
        self.label_off = model.get("label_off", 0.0)
        self.networks = networks(config.name, model)
        for name, network in self.networks.items():
            setattr(self, name, network)
        self.average = copy.deepcopy(self.generator).requires_grad_(False) if self.ema_decay else None
        sides = {side: [net for name, net in self.networks.items() if name.startswith(side)] for side in ("gen", "dis")}
        self.g = Player(config.train.g_optimizer, *sides["gen"])
        self.d = Player(config.train.d_optimizer, *sides["dis"])
        self.losses: Callable = TWINS[config.name].step

    def step(self, batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            logs = self.losses(self, batch)
        if self.average is not None:
            self._average()
        return logs

    def labels(self, rows: int) -> torch.Tensor:
        return torch.randint(self.classes, (rows,))

    def latents(self, rows: int) -> torch.Tensor:
        return torch.rand(rows, self.latent_dim) * 2 - 1 if self.uniform else torch.randn(rows, self.latent_dim)

    def uniform_latents(self, rows: int, low: float, high: float) -> torch.Tensor:
        return torch.empty(rows, self.latent_dim).uniform_(low, high)

    def chance(self, *shape: int) -> torch.Tensor:
        """Uniform on [0, 1)."""
        return torch.rand(shape)

    @torch.no_grad()
    def _average(self):
        pairs = zip(self.average.state_dict().values(), self.generator.state_dict().values(), strict=True)
        trained = {p.data_ptr() for p in self.generator.parameters()} if self.g.steps > self.ema_start else {}
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

    @twin(
        "gan",
        pair(gan),
        fashion_28={"image_size": 6, "latent_dim": 5, "hidden": 12, "maxout_units": 6, "maxout_pieces": 3},
    )
    def _gan(self, batch):
        """G first against the D that has not moved, then D on the same fakes: the gradients of one point."""
        real = (batch["image"].flatten(1) + 1) / 2
        fake = self.generator(self.uniform_latents(len(real), -(3**0.5), 3**0.5))
        g_loss = _g_loss(self._judge_frozen(fake))
        kept = fake.detach()
        self.g.minimize(g_loss)
        fake_logits = self.discriminator(kept)
        d_loss = 0.5 * _d_loss(self.discriminator(real), fake_logits)
        self.d.minimize(d_loss)
        return {"d_loss": d_loss.detach(), "g_loss": g_loss.detach(), "fooled": (fake_logits > 0).float().mean()}

    @twin(
        "dcgan",
        pair(dcgan),
        fashion_32={"image_size": 16, "channels": 1, "latent_dim": 6, "ngf": 4, "ndf": 3, "ema_decay": 0.9},
        pytorch_64={"image_size": 16, "channels": 3, "latent_dim": 6, "ngf": 3, "ndf": 4, "kernel_size": 5},
    )
    def _dcgan(self, batch):
        fake = self.generator(self.latents(len(batch["image"])))
        real_logits, fake_logits = self.discriminator(batch["image"]), self.discriminator(fake.detach())
        d_loss = _d_loss(real_logits, fake_logits)
        self.d.minimize(d_loss)
        g_loss = _g_loss(self._judge_frozen(fake))
        self.g.minimize(g_loss)
        return {"d_loss": d_loss.detach(), "g_loss": g_loss.detach(), "fooled": (fake_logits > 0).float().mean()}

    @twin(
        "pix2pix",
        pix2pix,
        sample=of_pictures,
        lines2colour_64={"ngf": 3, "ndf": 4, "num_downs": 4, "n_layers": 2, "norm": "instance", "dropout": 0.0},
        edges2emoji_128={"ngf": 2, "ndf": 3, "num_downs": 3, "n_layers": 1, "norm": "instance", "dropout": 0.0}
        | {"input_channels": 1, "upsampling": "resize"},
        facades_256={"ngf": 4, "ndf": 3, "num_downs": 5, "n_layers": 1, "norm": "batch", "dropout": 0.0},
    )
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

    @twin(
        "context-encoder",
        context_encoder,
        photos_128={"image_size": 16, "nef": 3, "ngf": 4, "ndf": 3, "bottleneck": 6, "overlap": 1, "l2_weight": 0.9},
    )
    def _context_encoder(self, batch):
        """D, then G, on one forward of G; the squared error weighs more where the square overlaps what is known."""
        image, size, band = batch["image"], self.filling["image_size"], self.filling["overlap"]
        first, last = size // 4, size * 3 // 4
        target, seen = image[:, :, first:last, first:last], image.clone()
        colour = torch.tensor([117.0, 104.0, 123.0])[:, None, None] / 127.5 - 1
        seen[:, :, first + band : last - band, first + band : last - band] = colour
        weights = torch.full((last - first, last - first), self.filling["overlap_weight"])
        weights[band : last - first - band, band : last - first - band] = 1.0
        fake = self.generator(seen)
        real_logits, fake_logits = self.discriminator(target), self.discriminator(fake.detach())
        d_loss = _d_loss(real_logits, fake_logits)
        self.d.minimize(d_loss)
        zero_biases(self.discriminator)
        squares, share = (fake.float() - target) ** 2, self.filling["l2_weight"]
        g_loss = share * (weights * squares).mean() + (1 - share) * _g_loss(self._judge_frozen(fake))
        self.g.minimize(g_loss)
        zero_biases(self.generator)
        fooled = (fake_logits > 0).float().mean()
        return {"d_loss": d_loss.detach(), "g_loss": g_loss.detach(), "l2": squares.mean().detach(), "fooled": fooled}

    @twin(
        "cyclegan",
        cyclegan,
        fluent2noto_64={"ngf": 3, "ndf": 4, "n_blocks": 2, "n_layers": 2, "image_size": 16} | {"upsampling": "resize"},
        horse2zebra_128={"ngf": 4, "ndf": 3, "n_blocks": 1, "n_layers": 1, "image_size": 16}
        | {"identity_weight": 0.0, "input_channels": 1, "pool_size": 0},
    )
    def _cyclegan(self, batch):
        """G and F together, then D_X and D_Y on fakes from the histories; batches joined where the weights are the same."""
        a, b = batch["a"], batch["b"]
        judges = (self.discriminator_a, self.discriminator_b)
        identity = bool(self.identity_weight)
        fake_b, *same_b = self.generator_ab(torch.cat([a, b] if identity else [a])).split(len(a))
        made = self.generator_ba(torch.cat([b, fake_b, a] if identity else [b, fake_b]))
        fake_a, cycled_a, *same_a = made.split(len(a))
        cycled_b = self.generator_ab(fake_a)
        for judge in judges:
            judge.requires_grad_(False)
        g_loss = sum(((judge(x).float() - 1) ** 2).mean() for judge, x in zip(judges, (fake_a, fake_b), strict=True))
        cycle = F.l1_loss(cycled_a.float(), a) + F.l1_loss(cycled_b.float(), b)
        same = F.l1_loss(same_a[0].float(), a) + F.l1_loss(same_b[0].float(), b) if identity else torch.zeros(())
        g_loss = g_loss + self.cycle_weight * (cycle + self.identity_weight * same)
        self.g.minimize(g_loss)
        for judge in judges:
            judge.requires_grad_(True)
        d_loss, old = 0.0, []
        shown = (pool(x.detach().float()) for pool, x in zip(self.pools, (fake_a, fake_b), strict=True))
        for judge, real, fake in zip(judges, (a, b), shown, strict=True):
            real_logits, fake_logits = judge(torch.cat([real, fake])).float().split(len(real))
            d_loss = d_loss + 0.5 * (((real_logits - 1) ** 2).mean() + (fake_logits**2).mean())
            old.append(fake_logits)
        self.d.minimize(d_loss)
        logs = {"d_loss": d_loss, "g_loss": g_loss, "cycle": cycle, "identity": same}
        fooled = (torch.cat(old) > 0.5).float().mean()
        return {name: value.detach() for name, value in logs.items()} | {"fooled": fooled}

    @twin(
        "3d-gan",
        pair(gan3d),
        furniture_32={"grid_size": 16, "latent_dim": 6, "ngf": 3, "ndf": 4, "accuracy_limit": 0.6, "ema_decay": 0.9},
    )
    def _gan3d(self, batch):
        """D only if its accuracy in the last batch was not above the limit; its backward pass is left out otherwise."""
        real = batch["voxels"]
        fake = self.generator(self.uniform_latents(len(real), 0.0, 1.0))
        due = self.accuracy <= self.accuracy_limit
        with torch.set_grad_enabled(due):
            real_logits, fake_logits = self.discriminator(real), self.discriminator(fake.detach())
            d_loss = _d_loss(real_logits, fake_logits)
        if due:
            self.d.minimize(d_loss)
        self.accuracy = float(torch.cat([real_logits > 0, fake_logits < 0]).float().mean())
        g_loss = _g_loss(self._judge_frozen(fake))
        self.g.minimize(g_loss)
        return {"d_loss": d_loss.detach(), "g_loss": g_loss.detach(), "fooled": (fake_logits > 0).float().mean()}

    def normal(self, *shape: int) -> torch.Tensor:
        return torch.randn(*shape)

    def _styled(self, rows):
        """G's images of fresh z, noise and style mixing; the mean of w follows."""
        generator, style = self.generator, self.style
        sizes = [4 << i // 2 for i in range(2 * len(generator.synthesis.blocks))]
        w, other = generator.mapping(self.normal(rows, 2, style["latent_dim"]).transpose(0, 1).flatten(0, 1)).chunk(2)
        generator.w_avg.lerp_(w.detach().mean(0).float(), 1 - style["w_decay"])
        mixes = torch.rand(()) < style["mixing"]
        place = int(torch.randint(1, len(sizes), ())) if mixes else len(sizes)
        first = torch.arange(len(sizes))[:, None] < place
        noise = [None] * len(sizes)
        if generator.synthesis.noisy:
            flat = self.normal(rows, sum(n * n for n in sizes)).split([n * n for n in sizes], 1)
            noise = [maps.view(rows, 1, n, n) for maps, n in zip(flat, sizes, strict=True)]
        return generator.synthesis(torch.where(first, w[:, None], other[:, None]), noise)

    @twin(
        "stylegan-lite",
        pair(stylegan),
        sample=of_styles,
        lorelei_64={"image_size": 16, "latent_dim": 6, "w_dim": 5, "mapping_layers": 3, "mapping_width": 7}
        | {"fmap_base": 48, "fmap_max": 8, "growing": False, "mixing": 0.0, "r1_interval": 2}
        | {"fresh_latents": False, "ema_decay": 0.9, "normalization": "demodulation", "saturated": True},
    )
    def _stylegan(self, batch):
        real, style = batch["image"], self.style
        fake = self._styled(len(real))
        due = self.d.steps % style["r1_interval"] == 0
        real = real.clone().requires_grad_() if due else real
        real_logits, fake_logits = self.discriminator(real), self.discriminator(fake.detach())
        d_loss, r1 = _d_loss(real_logits, fake_logits), torch.zeros(())
        if due:
            (slope,) = torch.autograd.grad(real_logits.sum(), real, create_graph=True)
            r1 = style["r1_interval"] * slope.float().square().sum((1, 2, 3)).mean()
        self.d.minimize(d_loss + style["r1_gamma"] / 2 * r1)
        if style["fresh_latents"]:
            fake = self._styled(len(real))
        g_loss = _g_loss(self._judge_frozen(fake))
        self.g.minimize(g_loss)
        logs = {"d_loss": d_loss, "g_loss": g_loss, "r1": r1, "fooled": (fake_logits > 0).float().mean()}
        return {name: value.detach() for name, value in logs.items()}

    @twin(
        "biggan",
        biggan,
        named=True,
        fashion_32={
            "image_size": 32,
            "channels": 1,
            "classes": 3,
            "latent_dim": 8,
            "shared_dim": 0,
            "hierarchical": False,
        }
        | {
            "ngf": 2,
            "ndf": 3,
            "attention": 0,
            "taper": True,
            "init": "normal",
            "d_steps": 1,
            "ema_decay": 0.9,
            "ema_start": 1,
        },
        cifar_32={"image_size": 32, "channels": 3, "classes": 4, "latent_dim": 8, "shared_dim": 5, "ngf": 2, "ndf": 2}
        | {"attention": 0, "d_steps": 2, "ema_decay": 0.9, "ema_start": 0},
    )
    def _biggan(self, batch):
        """D on fakes and reals in one batch, `d_steps` times, then G; z and labels anew for each."""
        for turn in range(self.d_steps):
            real, label = batch["image"][turn :: self.d_steps], batch["label"][turn :: self.d_steps]
            wanted = self.labels(len(real))
            with torch.no_grad():
                fake = self.generator(self.latents(len(real)), wanted)
            logits = self.discriminator(torch.cat([fake, real]), torch.cat([wanted, label])).float()
            fake_logits, real_logits = logits.split(len(real))
            d_loss = F.relu(1 - real_logits).mean() + F.relu(1 + fake_logits).mean()
            self.d.minimize(d_loss)
        wanted = self.labels(len(real))
        g_loss = -self._judge_frozen(self.generator(self.latents(len(real)), wanted), wanted).float().mean()
        self.g.minimize(g_loss)
        for module in self.generator.blocks.modules():
            if hasattr(module, "conv1"):  # a norm subtracts these biases again
                for conv in (module.conv1, module.conv2, module.conv_sc):
                    conv.bias.data.zero_()
        fooled = (fake_logits > 0).float().mean()
        return {"d_loss": d_loss.detach(), "g_loss": g_loss.detach(), "fooled": fooled}

    @twin(
        "text-to-image",
        text_to_image,
        named=True,
        lorelei_64={"image_size": 16, "channels": 1, "latent_dim": 6, "text_dim": 5, "text_projection": 4}
        | {"ngf": 4, "ndf": 4, "encoder": "embedding", "beta": 0.25, "interpolation_weight": 0.5, "ema_decay": 0.9}
        | {"script": "main_cls_int", "r1_gamma": 0.5},
    )
    def _text_to_image(self, batch):
        """D on real, wrong and fake pairs; then G with fresh noise, on interpolated texts too."""
        image, wrong, cls = batch["image"], batch["wrong"], self.cls
        text = self.text_encoder(batch["text"]) if "text" in batch else batch["embedding"]
        with torch.no_grad():
            fake = self.generator(self.latents(len(image)), text)
        image, r1 = image.requires_grad_(cls["r1_gamma"] > 0), torch.zeros(())
        real_logits, wrong_logits = self.discriminator(image, text), self.discriminator(wrong, text)
        fake_logits = self.discriminator(fake, text)
        c = cls["cls_weight"]
        d_loss = _g_loss(real_logits) + (1 - c) * _g_loss(-fake_logits) + c * _g_loss(-wrong_logits)
        if cls["r1_gamma"]:
            (slope,) = torch.autograd.grad(real_logits.sum(), image, create_graph=True)
            r1 = slope.float().square().sum((1, 2, 3)).mean()
        self.d.minimize(d_loss + cls["r1_gamma"] / 2 * r1)
        zero_biases(self.discriminator)
        z, weights = self.latents(len(image)), torch.ones(len(image))
        if cls["interpolate"]:
            half = len(image) // 2
            text = torch.cat([text, cls["beta"] * text[:half] + (1 - cls["beta"]) * text[half : 2 * half]])
            z = torch.cat([z, self.latents(len(image))])[: len(text)]
            weights = torch.cat([weights, torch.full((half,), cls["interpolation_weight"])])
        g_loss = (F.softplus(-self._judge_frozen(self.generator(z, text), text).float().flatten()) * weights).mean()
        self.g.minimize(g_loss)
        zero_biases(self.generator)
        fooled = (fake_logits > 0).float().mean()
        return {"d_loss": d_loss.detach(), "g_loss": g_loss.detach(), "fooled": fooled}

    @twin(
        "anime",
        torch_anime.anime,
        lorelei_64={
            "image_size": 16,
            "channels": 1,
            "latent_dim": 6,
            "ngf": 6,
            "blocks": 1,
            "shuffles": 2,
            "narrowing": 2,
        }
        | {"out_kernel": 5, "ndf": 3, "d_blocks": 1, "deep_kernel": 3, "penalty_weight": 2.0, "penalty_interval": 2}
        | {"attributes": {"hair": ("pink", "blue", "red"), "glasses": ("no", "yes")}, "ema_decay": 0.9},
    )
    def _anime(self, batch):
        real, known, m = batch["image"], batch["attributes"], self.faces
        attributes, reduction = m["attributes"], m.get("attribute_reduction", "sum")
        draw = self.chance(len(real), len(attributes))
        asked = torch_anime.asked_for(draw, attributes, m.get("boolean_share", 0.25))
        fake = self.generator(self.latents(len(real)), asked)
        logits, read = self.discriminator(torch.cat([real, fake.detach()]))
        real_logits, fake_logits = logits.chunk(2)
        d_loss = _d_loss(real_logits, fake_logits)
        losses = [
            torch_anime.attribute_loss(x, c, reduction) for x, c in zip(read.chunk(2), (known, asked), strict=True)
        ]
        penalty = torch.zeros(())
        if m["penalty_weight"] and self.d.steps % m["penalty_interval"] == 0:
            noise = 0.5 * real.std() * self.chance(*real.shape)
            around = (real + self.chance(len(real), 1, 1, 1) * noise).requires_grad_()
            (slope,) = torch.autograd.grad(self.discriminator(around)[0].sum(), around, create_graph=True)
            penalty = m["penalty_interval"] * (slope.square().sum((1, 2, 3)).sqrt() - 1).square().mean()
        self.d.minimize(sum(losses) + m["adversarial_weight"] * d_loss + m["penalty_weight"] * penalty)
        self.discriminator.requires_grad_(False)
        logits, read = self.discriminator(fake)
        self.discriminator.requires_grad_(True)
        g_loss, wanted = _g_loss(logits), torch_anime.attribute_loss(read, asked, reduction)
        self.g.minimize(wanted + m["adversarial_weight"] * g_loss)
        zero_cancelled(self.generator)
        logs = {"d_loss": d_loss, "g_loss": g_loss, "g_attributes": wanted, "penalty": penalty}
        logs |= {"real_attributes": losses[0], "fake_attributes": losses[1]}
        return {key: value.detach() for key, value in logs.items()}

    @twin(
        "wgan-gp",
        torch_wgan.wgan_gp,
        turned=True,
        latent_dim=torch_wgan.SIZES["latent_dim"],
        fashion_32={"image_size": 16, "channels": 1, "latent_dim": 6, "ngf": 4, "ndf": 3, "n_critic": 2}
        | {"gp_weight": 9.0, "ema_decay": 0.9},
        cifar_32={"image_size": 8, "channels": 3, "latent_dim": 6, "ngf": 3, "ndf": 4, "n_critic": 1},
    )
    def _wgan_gp(self, batch):
        """D `n_critic` times, each on pictures, z and eps of its own, then G."""
        turns = self.critic["n_critic"]
        for turn in range(turns):
            real = batch["image"][turn::turns]
            with torch.no_grad():
                fake = self.generator(self.latents(len(real)))
            distance = self.discriminator(real).float().mean() - self.discriminator(fake).float().mean()
            eps = self.chance(len(real), 1, 1, 1)
            between = (eps * real + (1 - eps) * fake).requires_grad_()
            (slope,) = torch.autograd.grad(self.discriminator(between).sum(), between, create_graph=True)
            penalty = (torch.linalg.vector_norm(slope.float(), dim=(1, 2, 3)) - 1).square().mean()
            d_loss = self.critic["gp_weight"] * penalty - distance
            self.d.minimize(d_loss)
        g_loss = -self._judge_frozen(self.generator(self.latents(len(real)))).float().mean()
        self.g.minimize(g_loss)
        zero_cancelled(self.generator)
        logs = {"d_loss": d_loss, "g_loss": g_loss, "wasserstein": distance, "penalty": penalty}
        return {key: value.detach() for key, value in logs.items()}

    @twin(
        "dtn",
        torch_dtn.dtn,
        turned=True,
        digits_32=torch_dtn.DIGITS
        | {"image_size": 16, "channels": 1, "nf": 3, "feature_dim": 5, "ngf": 4, "ndf": 3, "alpha": 15.0, "beta": 14.0}
        | {"ema_decay": 0.9},
    )
    def _dtn(self, batch):
        """D, then g, while f stands. Each kind of picture has a pass of its own, for batch norm; the running statistics of g are
        of sources alone."""
        a, b = batch["a"], batch["b"]
        with torch.no_grad():
            code, other = (torch_dtn.features(self.feature, x).float() for x in (a, b))
        with torch_dtn.untracked(self.generator):
            fake_b = self.generator(other)
        fake_a = self.generator(code)
        logits = [self.discriminator(x) for x in (fake_a.detach(), fake_b.detach(), b)]
        d_loss = sum(_class_loss(x, kind) for kind, x in enumerate(logits))
        self.d.minimize(d_loss)
        zero_cancelled(self.discriminator)
        adversarial = sum(_class_loss(self._judge_frozen(x), torch_dtn.REAL) for x in (fake_a, fake_b))
        const = F.mse_loss(torch_dtn.features(self.feature, fake_a).float(), code)
        tid = F.mse_loss(fake_b.float(), b)
        g_loss = adversarial + self.transfer["alpha"] * const + self.transfer["beta"] * tid
        self.g.minimize(g_loss)
        zero_cancelled(self.generator)
        logs = {"d_loss": d_loss, "g_loss": g_loss, "const": const, "tid": tid}
        logs["fooled"] = (logits[0].argmax(1) == torch_dtn.REAL).float().mean()
        return {key: value.detach() for key, value in logs.items()}

    @twin(
        "age-cgan",
        torch_age.age_cgan,
        faces_64={"image_size": 16, "channels": 3, "latent_dim": 6, "ngf": 3, "ndf": 4, "nef": 2, "encoder_units": 3}
        | {"ema_decay": 0.9},
        imdb_wiki_64={
            "image_size": 16,
            "channels": 1,
            "latent_dim": 6,
            "ngf": 4,
            "ndf": 3,
            "nef": 2,
            "encoder_units": 3,
        }
        | {"label_place": "before", "label_off": -1.0, "age_reader": ""},
    )
    def _age_cgan(self, batch):
        """The first stage: D, then G, on one forward of G, whose faces have the classes of the batch."""
        real, code = batch["image"], torch_age.code(batch["label"], self.label_off)
        fake = self.generator(self.latents(len(real)), code)
        real_logits, fake_logits = self.discriminator(real, code), self.discriminator(fake.detach(), code)
        d_loss = _d_loss(real_logits, fake_logits)
        self.d.minimize(d_loss)
        g_loss = _g_loss(self._judge_frozen(fake, code))
        self.g.minimize(g_loss)
        return {"d_loss": d_loss.detach(), "g_loss": g_loss.detach(), "fooled": (fake_logits > 0).float().mean()}


def networks(paper: str, model: dict) -> dict[str, nn.Module]:
    """The networks of a paper by the attribute names of ganzoo's model, from the constructor's sizes alone."""
    return TWINS[paper].networks(model)
