"""Networks of WGAN-GP (Gulrajani et al. 2017) in PyTorch: G, and a critic without norms."""

from torch import nn

SIZES = {"image_size": 32, "channels": 3, "latent_dim": 128, "ngf": 128, "ndf": 128}


def wgan_gp(model: dict) -> dict[str, nn.Module]:
    """The networks from the constructor's sizes; biases before a norm are there, and held at zero."""
    m = SIZES | model
    stages = (m["image_size"] // 4).bit_length() - 1
    width = m["ngf"] << (stages - 1)
    layers = [nn.Linear(m["latent_dim"], 16 * width), nn.BatchNorm1d(16 * width), nn.ReLU()]
    layers.append(nn.Unflatten(1, (width, 4, 4)))
    for _ in range(stages - 1):
        layers += [nn.ConvTranspose2d(width, width // 2, 5, 2, 2, 1), nn.BatchNorm2d(width // 2), nn.ReLU()]
        width //= 2
    generator = nn.Sequential(*layers, nn.ConvTranspose2d(width, m["channels"], 5, 2, 2, 1), nn.Tanh())

    layers, before = [], m["channels"]
    for stage in range(stages):
        layers += [nn.Conv2d(before, m["ndf"] << stage, 5, 2, 2), nn.LeakyReLU(0.2)]
        before = m["ndf"] << stage
    critic = nn.Sequential(*layers, nn.Flatten(), nn.Linear(16 * before, 1))
    return {"generator": generator, "discriminator": critic}
