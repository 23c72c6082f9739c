"""The networks of GAN-CLS in PyTorch (Reed et al. 2016), and its char-CNN-RNN; names as in the golden files, so that
`ganzoo.importers` reads a state of theirs."""

import itertools

import torch
from torch import nn
from torch.nn import functional as F

ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789-,;.!?:'\"/\\|_@#$%^&*~`+-=<>()[]{} "


class Bottleneck(nn.Module):
    """x + three convolutions of a quarter of the width, then the activation."""

    def __init__(self, width, activation):
        super().__init__()
        inner, layers = max(width // 4, 1), []
        for before, out, kernel in ((width, inner, 1), (inner, inner, 3), (inner, width, 3)):
            layers += [nn.Conv2d(before, out, kernel, padding=kernel // 2), nn.BatchNorm2d(out), activation]
        self.body, self.activation = nn.Sequential(*layers[:-1]), activation

    def forward(self, x):
        return self.activation(x + self.body(x))


class Generator(nn.Module):
    """[z, text] -> images."""

    def __init__(self, image_size, channels, latent_dim, text_dim, text_projection, ngf):
        super().__init__()
        self.stages = (image_size // 4).bit_length() - 1
        width = ngf << (self.stages - 1)
        self.fc = nn.Linear(text_dim, text_projection)
        stem = nn.ConvTranspose2d(latent_dim + text_projection, width, 4)
        self.stem, self.res1 = nn.Sequential(stem, nn.BatchNorm2d(width)), Bottleneck(width, nn.ReLU())
        for stage in range(1, self.stages):
            up = nn.ConvTranspose2d(width, width // 2, 4, 2, 1)
            width //= 2
            self.add_module(f"up{stage}", nn.Sequential(up, nn.BatchNorm2d(width)))
            if stage == 1:
                self.res2 = Bottleneck(width, nn.ReLU())
        self.out = nn.ConvTranspose2d(width, channels, 4, 2, 1)

    def forward(self, z, text):
        x = torch.cat([z, F.leaky_relu(self.fc(text), 0.2)], 1)[:, :, None, None]
        x = self.res1(self.stem(x))
        for stage in range(1, self.stages):
            x = getattr(self, f"up{stage}")(x)
            x = self.res2(x) if stage == 1 else F.relu(x)
        return torch.tanh(self.out(x))


class Discriminator(nn.Module):
    """[images, text] -> logits (N, 1); main_cls.lua, or with `interpolating` main_cls_int.lua."""

    def __init__(self, image_size, channels, text_dim, text_projection, ndf, interpolating):
        super().__init__()
        if interpolating:
            self.fc_norm = nn.BatchNorm1d(text_projection)
        self.interpolating = interpolating
        self.stages, width = (image_size // 4).bit_length() - 1, ndf
        self.fc, self.c1 = nn.Linear(text_dim, text_projection), nn.Conv2d(channels, ndf, 4, 2, 1)
        for stage in range(2, self.stages + 1):
            self.add_module(f"c{stage}", nn.Sequential(nn.Conv2d(width, 2 * width, 4, 2, 1), nn.BatchNorm2d(2 * width)))
            width *= 2
        self.res = Bottleneck(width, nn.LeakyReLU(0.2))
        self.joint = nn.Sequential(nn.Conv2d(width + text_projection, width, 1), nn.BatchNorm2d(width))
        self.out = nn.Conv2d(width, 1, 4)

    def forward(self, x, text):
        for stage in range(1, self.stages + 1):
            x = getattr(self, f"c{stage}")(x)
            x = F.leaky_relu(x, 0.2) if stage < self.stages - self.interpolating else x
        t = self.fc_norm(self.fc(text)) if self.interpolating else self.fc(text)
        t = F.leaky_relu(t, 0.2)[:, :, None, None].expand(-1, -1, 4, 4)
        x = F.leaky_relu(self.joint(torch.cat([self.res(x), t], 1)), 0.2)
        return self.out(x).flatten(1)


class TextEncoder(nn.Module):
    """Strings -> embeddings; frozen."""

    def __init__(self, text_dim, encoder_width, text_length):
        super().__init__()
        widths = (len(ALPHABET), encoder_width * 3 // 2, encoder_width * 2, encoder_width)
        self.convs = nn.ModuleList(nn.Conv1d(a, b, 4) for a, b in itertools.pairwise(widths))
        self.rnn = nn.LSTM(encoder_width, encoder_width, batch_first=True)
        self.embedding = nn.Linear(encoder_width, text_dim)
        self.length, self.place = text_length, {symbol: i for i, symbol in reversed([*enumerate(ALPHABET)])}

    @torch.no_grad()
    def forward(self, texts):
        x = torch.zeros(len(texts), len(ALPHABET), self.length)
        for row, text in enumerate(texts):
            places = [self.place.get(c) for c in text.decode("utf-8", "replace").lower()[: self.length]]
            found = [(i, place) for i, place in enumerate(places) if place is not None]
            x[row, [place for _, place in found], [i for i, _ in found]] = 1
        for conv, stride in zip(self.convs, (3, 3, 2), strict=True):
            x = F.max_pool1d(F.relu(conv(x)), 3, stride)
        return self.embedding(self.rnn(x.transpose(1, 2))[0].mean(1))


def text_to_image(model: dict) -> dict[str, nn.Module]:
    """The networks by the attribute names of ganzoo's model, from the constructor's sizes."""
    sizes = {"image_size": 64, "channels": 3, "text_dim": 1024, "text_projection": 128}
    sizes = {key: model.get(key, value) for key, value in sizes.items()}
    generator = Generator(latent_dim=model.get("latent_dim", 100), ngf=model.get("ngf", 128), **sizes)
    interpolating = model.get("script", "main_cls") == "main_cls_int"
    discriminator = Discriminator(ndf=model.get("ndf", 64), interpolating=interpolating, **sizes)
    networks = {"generator": generator, "discriminator": discriminator}
    if model.get("encoder", "char-cnn-rnn") == "char-cnn-rnn":
        width, length = model.get("encoder_width", 256), model.get("text_length", 201)
        networks["text_encoder"] = TextEncoder(sizes["text_dim"], width, length)
    return networks


@torch.no_grad()
def zero_biases(network: nn.Module) -> None:
    """Biases of convolutions back to zero, as the Lua scripts have it."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.bias.zero_()
