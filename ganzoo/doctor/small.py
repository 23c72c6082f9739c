"""Every model at a size where a run takes seconds, on bundled data."""

from ganzoo import presets

SMALL = {
    "3d-gan": {"model.grid_size": 8, "model.latent_dim": 6, "model.ngf": 4, "model.ndf": 3, "data.size": 8},
    "cyclegan": {"model.image_size": 16, "model.ngf": 2, "model.ndf": 2, "model.n_blocks": 1, "model.n_layers": 1}
    | {"model.pool_size": 4, "data.size": 16, "data.split": "test"},
    "dcgan": {"model.image_size": 8, "model.ngf": 4, "model.ndf": 4, "model.latent_dim": 8}
    | {"data.size": 8, "data.split": "test"},
    "gan": {"model.image_size": 8, "model.hidden": 12, "model.maxout_units": 6, "model.latent_dim": 5}
    | {"data.size": 8, "data.split": "test"},
    "pix2pix": {"model.ngf": 2, "model.ndf": 2, "model.num_downs": 2, "model.n_layers": 1}
    | {"data.size": 16, "data.load_size": 18, "data.split": "test"},
    "stylegan-lite": {"model.image_size": 16, "model.latent_dim": 8, "model.w_dim": 8, "model.mapping_layers": 2}
    | {"model.mapping_width": 8, "model.fmap_base": 64, "model.fmap_max": 8, "data.size": 16, "data.split": "novel"},
    "text-to-image": {"model.image_size": 16, "model.latent_dim": 4, "model.text_dim": 8, "model.text_projection": 4}
    | {"model.ngf": 4, "model.ndf": 4, "model.encoder_width": 8, "model.words": 16, "data.size": 16, "data.split": "test"}
    | {"train.encoder_steps": 4},
}  # fmt: skip
PACE = {"train.batch_size": 8, "train.steps": 32, "train.log_every": 8, "train.sample_every": 0, "model.ema_decay": 0.5}


def config(name: str, overrides: dict | None = None) -> presets.RunConfig:
    """Options of a run of a few seconds of a paper's default preset; `overrides` by dotted key.

    Raises:
        GanzooError: no such model, or a bad override.
    """
    name = presets.find_paper(name)
    return presets.run_config(name, SMALL.get(name, {}) | PACE | (overrides or {}))
