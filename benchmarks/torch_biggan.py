"""The networks of BigGAN (Brock et al. 2018) at 32 px in PyTorch, for `torch_models`, under the names of the official code.

Doubling and averaging stand next to the convolutions, as a PyTorch user writes them.
"""

import itertools

import torch
from torch import nn
from torch.nn import functional as F

SIZES = {"image_size": 128, "channels": 3, "classes": 1000, "latent_dim": 120, "shared_dim": 128, "hierarchical": True}
SIZES |= {"deep": False, "ngf": 96, "ndf": 96, "attention": 64, "taper": False, "sn_epsilon": 1e-6, "epsilon": 1e-5}
# By `taper`: of G the widths, of D the width and whether it halves, of each block.
GENERATOR = {False: (4, 4, 4, 4), True: (8, 4, 2, 1)}
DISCRIMINATOR = {
    False: ((4, True), (4, True), (4, False), (4, False)),
    True: ((1, True), (2, True), (4, True), (8, False)),
}


class _Spectral(nn.Module):
    """A weight (out, ...) divided by its spectral norm: one power iteration from u0 a forward, kept in training."""

    def __init__(self, *shape, bias=True, epsilon=1e-12):
        super().__init__()
        self.weight = nn.Parameter(0.02 * torch.randn(shape))
        self.bias = nn.Parameter(torch.zeros(shape[0])) if bias else None
        self.register_buffer("u0", torch.randn(1, shape[0]))
        self.epsilon = epsilon

    def normalised(self):
        rows = self.weight.flatten(1)
        with torch.no_grad():
            v = F.normalize(self.u0 @ rows, eps=self.epsilon)
            u = F.normalize(v @ rows.T, eps=self.epsilon)
            if self.training:
                self.u0.copy_(u)
        return self.weight / (v @ rows.T @ u.T).squeeze()


class Conv(_Spectral):
    def __init__(self, before, width, size=3, **options):
        super().__init__(width, before, size, size, **options)

    def forward(self, x):
        return F.conv2d(x, self.normalised(), self.bias, padding=self.weight.shape[-1] // 2)


class Linear(_Spectral):
    def __init__(self, before, width, **options):
        super().__init__(width, before, **options)

    def forward(self, x):
        return F.linear(x, self.normalised(), self.bias)


class Table(_Spectral):
    def __init__(self, classes, width, epsilon):
        super().__init__(classes, width, bias=False, epsilon=epsilon)

    def forward(self, label):
        return F.embedding(label, self.normalised())


class _Plain(nn.Embedding):
    def __init__(self, classes, width):
        super().__init__(classes, width)
        nn.init.normal_(self.weight, std=0.02)


class Norm(nn.Module):
    """Class-conditional batch norm, of tables or of linear maps of a condition."""

    def __init__(self, width, condition, epsilon, sn_epsilon):
        super().__init__()
        classes, size = condition
        kinds = {"gain": None, "bias": None}
        for name in kinds:
            part = Linear(size, width, bias=False, epsilon=sn_epsilon) if size else _Plain(classes, width)
            setattr(self, name, part)
        self.register_buffer("stored_mean", torch.zeros(width))
        self.register_buffer("stored_var", torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x, y):
        x = F.batch_norm(x, self.stored_mean, self.stored_var, None, None, self.training, 0.1, self.epsilon)
        return x * (1 + self.gain(y))[:, :, None, None] + self.bias(y)[:, :, None, None]


class Up(nn.Module):
    def __init__(self, before, width, condition, epsilon, sn_epsilon):
        super().__init__()
        self.conv1 = Conv(before, width, epsilon=sn_epsilon)
        self.conv2 = Conv(width, width, epsilon=sn_epsilon)
        self.conv_sc = Conv(before, width, 1, epsilon=sn_epsilon)
        self.bn1 = Norm(before, condition, epsilon, sn_epsilon)
        self.bn2 = Norm(width, condition, epsilon, sn_epsilon)

    def forward(self, x, y):
        h = self.conv1(F.interpolate(F.relu(self.bn1(x, y)), scale_factor=2))
        return self.conv2(F.relu(self.bn2(h, y))) + self.conv_sc(F.interpolate(x, scale_factor=2))


class _OutNorm(nn.Module):
    def __init__(self, width, epsilon):
        super().__init__()
        self.gain, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.register_buffer("stored_mean", torch.zeros(width))
        self.register_buffer("stored_var", torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x):
        return F.batch_norm(
            x, self.stored_mean, self.stored_var, self.gain, self.bias, self.training, 0.1, self.epsilon
        )


class Generator(nn.Module):
    """z and labels -> pictures in [-1, 1]."""

    def __init__(self, m: dict):
        super().__init__()
        widths = [width * m["ngf"] for width in GENERATOR[m["taper"]]]
        self.chunk = m["latent_dim"] // len(widths) if m["hierarchical"] else 0
        size = m["shared_dim"] + self.chunk if m["shared_dim"] else 0
        options = m["epsilon"], m["sn_epsilon"]
        self.shared = _Plain(m["classes"], m["shared_dim"]) if size else nn.Identity()
        self.linear = Linear(self.chunk or m["latent_dim"], 16 * widths[0], epsilon=m["sn_epsilon"])
        self.blocks = nn.ModuleList(
            nn.ModuleList([Up(before, width, (m["classes"], size), *options)])
            for before, width in itertools.pairwise(widths)
        )
        out = Conv(widths[-1], m["channels"], epsilon=m["sn_epsilon"])
        self.output_layer = nn.Sequential(_OutNorm(widths[-1], m["epsilon"]), nn.ReLU(), out)

    def forward(self, z, label):
        y, chunks = self.shared(label), z.split(self.chunk, 1) if self.chunk else None
        x = self.linear(chunks[0] if chunks else z).unflatten(1, (-1, 4, 4))
        for i, (block,) in enumerate(self.blocks, 1):
            x = block(x, torch.cat([y, chunks[i]], 1) if chunks else y)
        return torch.tanh(self.output_layer(x))


class Down(nn.Module):
    def __init__(self, before, width, *, halve, first, sn_epsilon):
        super().__init__()
        self.conv1 = Conv(before, width, epsilon=sn_epsilon)
        self.conv2 = Conv(width, width, epsilon=sn_epsilon)
        self.halve, self.first = halve, first
        if first or halve or before != width:
            self.conv_sc = Conv(before, width, 1, epsilon=sn_epsilon)

    def forward(self, x):
        def pool(t):
            return F.avg_pool2d(t, 2) if self.halve else t

        h = pool(self.conv2(F.relu(self.conv1(x if self.first else F.relu(x)))))
        if not hasattr(self, "conv_sc"):
            return h + pool(x)
        return h + (self.conv_sc(pool(x)) if self.first else pool(self.conv_sc(x)))


class Discriminator(nn.Module):
    """Pictures and labels -> logits (N, 1)."""

    def __init__(self, m: dict):
        super().__init__()
        blocks, before = [], m["channels"]
        for place, (width, halve) in enumerate(DISCRIMINATOR[m["taper"]]):
            block = Down(before, width * m["ndf"], halve=halve, first=not place, sn_epsilon=m["sn_epsilon"])
            blocks.append(nn.ModuleList([block]))
            before = width * m["ndf"]
        self.blocks = nn.ModuleList(blocks)
        self.linear = Linear(before, 1, epsilon=m["sn_epsilon"])
        self.embed = Table(m["classes"], before, m["sn_epsilon"])

    def forward(self, x, label):
        for (block,) in self.blocks:
            x = block(x)
        h = F.relu(x).sum((2, 3))
        return self.linear(h) + (self.embed(label) * h).sum(1, keepdim=True)


def biggan(model: dict) -> dict[str, nn.Module]:
    """G and D of a model table, which leaves the constructor's defaults out.

    Raises:
        NotImplementedError: another network than one of 32 px.
    """
    m = SIZES | model
    if m["image_size"] != 32 or m["deep"] or m["attention"]:
        raise NotImplementedError("biggan in PyTorch has 32 px, no attention and is not deep")
    return {"generator": Generator(m), "discriminator": Discriminator(m)}
