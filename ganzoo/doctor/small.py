"""Sizes in which the default preset of a model trains in seconds, on bundled data, with all that it carries from step to
step: averages, pools, ADA's p, D's gate, the parts of a run. A model that is not listed is proved in its own size."""

SLOW_AVERAGE = {"model.ema_decay": 0.9}
ADAM = {"learning_rate": 2e-3, "beta_1": 0.0, "beta_2": 0.99}
SMALL = {
    "3d-gan": {"model.grid_size": 16, "model.latent_dim": 4, "model.ngf": 2, "model.ndf": 2, "data.size": 16},
    "cyclegan": {"model.image_size": 16, "model.ngf": 2, "model.ndf": 2, "model.n_blocks": 1, "model.n_layers": 1}
    | {"model.pool_size": 4, "data.size": 16},
    "dcgan": {"model.image_size": 8, "model.ngf": 4, "model.ndf": 4, "model.latent_dim": 8, "data.size": 8},
    "gan": {"model.image_size": 8, "model.hidden": 12, "model.maxout_units": 6, "model.latent_dim": 5, "data.size": 8},
    "pix2pix": {"model.ngf": 2, "model.ndf": 2, "model.num_downs": 2, "model.n_layers": 1}
    | {"data.size": 16, "data.load_size": 18, "data.mirror": True},
    # It grows, 8 pixels to 16, and adapts its augmentation; a growing run sets its own rates.
    "stylegan-lite": {"model.image_size": 16, "model.latent_dim": 8, "model.w_dim": 8, "model.mapping_layers": 2}
    | {"model.mapping_width": 8, "model.fmap_base": 64, "model.fmap_max": 8, "model.growing": True, "data.size": 16}
    | {"model.augment": "color,cutout", "model.ada_target": 0.6, "model.ada_images": 400}
    | {"train.growth": {"start_size": 8, "stable": 32, "fade": 32}, "train.g_optimizer": ADAM, "train.d_optimizer": ADAM},
    "text-to-image": {"model.image_size": 16, "model.latent_dim": 4, "model.text_dim": 8, "model.text_projection": 4}
    | {"model.ngf": 4, "model.ndf": 4, "model.encoder_width": 8, "data.size": 16},
}  # fmt: skip
SMALL = {name: {"train.batch_size": 4} | SLOW_AVERAGE | changes for name, changes in SMALL.items()}
