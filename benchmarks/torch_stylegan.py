"""The networks of StyleGAN (Karras et al. 2018) in PyTorch, for `torch_models`: one resolution, no labels."""

import math

import torch
from torch import nn
from torch.nn import functional as F

SQRT2 = math.sqrt(2)


class _Equalized(nn.Module):
    """A raw weight and bias; `gain / sqrt(fan_in) * lrmul` scales them at every call."""

    def __init__(self, shape, gain=SQRT2, lrmul=1.0, bias=True):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(shape) / lrmul)
        self.bias = nn.Parameter(torch.zeros(shape[0])) if bias else None
        self.scale, self.lrmul = gain / math.sqrt(math.prod(shape[1:])) * lrmul, lrmul


class Dense(_Equalized):
    """Linear map with equalised learning rate."""

    def forward(self, x):
        return F.linear(x, self.weight * self.scale, self.bias * self.lrmul)


class Conv(_Equalized):
    """Convolution with equalised learning rate; doubling and halving ones are one 4x4 kernel of stride 2 (fused)."""

    def __init__(self, before, width, kernel=3, resample=None, **options):
        super().__init__((width, before, kernel, kernel), **options)
        self.resample = resample

    def forward(self, x):
        weight = self.weight * self.scale
        if self.resample is None:
            return F.conv2d(x, weight, self.bias, padding=weight.shape[-1] // 2)
        weight = weight.flip(2, 3).transpose(0, 1) if self.resample == "up" else weight / 4
        wide = F.pad(weight, (1, 1, 1, 1))
        wide = wide[..., 1:, 1:] + wide[..., 1:, :-1] + wide[..., :-1, 1:] + wide[..., :-1, :-1]
        convolve = F.conv_transpose2d if self.resample == "up" else F.conv2d
        return convolve(x, wide, self.bias, stride=2, padding=1)


class Blur(nn.Module):
    """[1, 2, 1] x [1, 2, 1] / 16 on every channel."""

    def __init__(self):
        super().__init__()
        taps = torch.tensor([1.0, 2.0, 1.0]) / 4
        self.register_buffer("kernel", taps[:, None] * taps, persistent=False)

    def forward(self, x):
        channels = x.shape[1]
        return F.conv2d(x, self.kernel.expand(channels, 1, 3, 3), padding=1, groups=channels)


class Epilogue(nn.Module):
    """Noise, bias, leaky ReLU, instance norm, style -> (maps, None); with `demodulated` a scale alone, as in StyleGAN2 -> (maps,
    the scale (N, C))."""

    def __init__(self, width, w_dim, noisy, demodulated):
        super().__init__()
        self.demodulated = demodulated
        self.strength = nn.Parameter(torch.zeros(width)) if noisy else None
        self.bias = nn.Parameter(torch.zeros(width))
        self.style = Dense((width if demodulated else 2 * width, w_dim), gain=1.0)

    def forward(self, x, w, noise):
        if self.strength is not None:
            x = x + self.strength[:, None, None] * noise
        x = F.leaky_relu(x + self.bias[:, None, None], 0.2)
        if self.demodulated:
            scale = self.style(w) + 1
            return x * (SQRT2 * scale)[:, :, None, None].to(x.dtype), scale
        scale, shift = self.style(w)[:, :, None, None].chunk(2, 1)
        return F.instance_norm(x.float(), eps=1e-8) * (scale + 1) + shift, None


def convolved(convolution, x, scale):
    """The convolution, divided by the deviation that it has of maps with a `scale` (N, C); None: not divided."""
    x = convolution(x)
    if scale is None:
        return x
    power = (convolution.weight * convolution.scale).square().sum((2, 3)).t()
    return x * torch.rsqrt(scale.float().square() @ power + 1e-8)[:, :, None, None].to(x.dtype)


class Mapping(nn.Module):
    """z -> w."""

    def __init__(self, latent_dim, w_dim, depth, width, lrmul):
        super().__init__()
        sizes = [latent_dim, *[width] * (depth - 1), w_dim]
        layers = zip(sizes[1:], sizes[:-1], strict=True)
        self.layers = nn.ModuleList(Dense(shape, lrmul=lrmul) for shape in layers)

    def forward(self, z):
        x = z * torch.rsqrt((z**2).mean(1, keepdim=True) + 1e-8)
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
        return x


class Synthesis(nn.Module):
    """w (N, layers, w_dim) and a noise map a layer (or None) -> images."""

    def __init__(self, widths, channels, w_dim, noisy, demodulated, saturated):
        super().__init__()
        self.noisy, self.saturated = noisy, saturated
        self.constant = nn.Parameter(torch.ones(1, widths[0], 4, 4))
        self.blur, self.blocks, before = Blur(), nn.ModuleList(), None
        for width in widths:
            parts = {"up": Conv(before, width, resample="up", bias=False)} if before else {}
            parts["first"], before = Epilogue(width, w_dim, noisy, demodulated), width
            parts |= {"conv": Conv(width, width, bias=False), "second": Epilogue(width, w_dim, noisy, demodulated)}
            self.blocks.append(nn.ModuleDict(parts))
        self.to_rgb = Conv(widths[-1], channels, kernel=1, gain=1.0)

    def forward(self, w, noise):
        x, scale = self.constant.expand(len(w), -1, -1, -1), None
        for i, block in enumerate(self.blocks):
            if i:
                x = self.blur(convolved(block["up"], x, scale))
            x, scale = block["first"](x, w[:, 2 * i], noise[2 * i])
            x, scale = block["second"](convolved(block["conv"], x, scale), w[:, 2 * i + 1], noise[2 * i + 1])
        return torch.tanh(self.to_rgb(x).float()) if self.saturated else self.to_rgb(x)


class Generator(nn.Module):
    """`mapping`, `synthesis` and the running mean of w."""

    def __init__(self, mapping, synthesis, w_dim):
        super().__init__()
        self.mapping, self.synthesis = mapping, synthesis
        self.register_buffer("w_avg", torch.zeros(w_dim))


class Discriminator(nn.Module):
    """Images -> logits (N, 1); `widths` from 4x4 upwards, `last` units before the logit."""

    def __init__(self, widths, last, channels, group):
        super().__init__()
        self.group, self.blur = group, Blur()
        self.from_rgb = Conv(channels, widths[-1], kernel=1)
        pairs = list(zip(widths[1:], widths[:-1], strict=True))[::-1]
        self.blocks = nn.ModuleList(
            nn.ModuleList([Conv(width, width), Conv(width, less, resample="down")]) for width, less in pairs
        )
        self.conv, self.dense = Conv(widths[0] + 1, widths[0]), Dense((last, 16 * widths[0]))
        self.logit = Dense((1, last), gain=1.0)

    def forward(self, x):
        x = F.leaky_relu(self.from_rgb(x), 0.2)
        for conv, down in self.blocks:
            x = F.leaky_relu(conv(x), 0.2)
            x = F.leaky_relu(down(self.blur(x)), 0.2)
        x = F.leaky_relu(self.conv(self.with_deviation(x)), 0.2)
        x = x.permute(0, 2, 3, 1).flatten(1)  # ganzoo's order, so that weights can be compared
        return self.logit(F.leaky_relu(self.dense(x), 0.2))

    def with_deviation(self, x):
        groups = x.float().unflatten(0, (min(self.group, len(x)), -1))
        spread = (groups.var(0, correction=0) + 1e-8).sqrt().mean((1, 2, 3))
        spread = spread.repeat(len(groups))[:, None, None, None].expand(-1, 1, 4, 4)
        return torch.cat([x, spread.to(x.dtype)], 1)


def stylegan(
    *, image_size=1024, channels=3, latent_dim=512, w_dim=512, mapping_layers=8, mapping_width=512, lrmul=0.01,
    fmap_base=8192, fmap_max=512, stddev_group=4, noise_inputs=True, normalization="instance",
    saturated=False, **_,
):  # fmt: skip
    """(G, D); the other arguments of ganzoo's constructor belong to the update."""
    first, *widths = [min(fmap_base >> level, fmap_max) for level in range(image_size.bit_length() - 1)]
    mapping = Mapping(latent_dim, w_dim, mapping_layers, mapping_width, lrmul)
    demodulated = normalization == "demodulation"
    generator = Generator(mapping, Synthesis(widths, channels, w_dim, noise_inputs, demodulated, saturated), w_dim)
    return generator, Discriminator(widths, first, channels, stddev_group)
