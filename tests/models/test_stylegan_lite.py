"""StyleGAN's own rules: truncation, style mixing, the running mean of w, lazy R1, stored noise, and refusals."""

import numpy as np
import pytest
import tensorflow as tf
import tiny

from ganzoo import penalties, presets
from ganzoo.base import pixels, rows
from ganzoo.base.segments import Segment
from ganzoo.errors import GanzooError
from ganzoo.layers import Blur, MinibatchStddev, ResizeConv2D, demodulation
from ganzoo.models.stylegan_lite import StyleGAN


def built(**overrides):
    """The tiny model with a mean of w that is not zero."""
    model = tiny.build("stylegan-lite", **overrides)
    for generator in (model.generator, model.sampler):
        generator.w_avg.assign(np.linspace(-1, 1, model.w_dim))
    return model


@pytest.fixture(scope="module")
def model():
    """Shared by tests that change nothing."""
    return built()


@pytest.fixture(scope="module")
def labelled():
    return built(classes=3)


# ---- truncation ------------------------------------------------------------------------------------------------------
def test_psi_0_gives_one_image(model):
    images = model.generate(5, truncation_psi=0.0)
    np.testing.assert_array_equal(images, np.repeat(images[:1], 5, axis=0))
    np.testing.assert_array_equal(images[:1], model.generate(w=model.sampler.w_avg.numpy()[None]))


def test_psi_1_gives_the_untruncated_image(model):
    z = model.latents(rows.row_seeds(3, 4))
    np.testing.assert_array_equal(
        model.generate(4, seed=3, truncation_psi=1.0), model.generate(w=model.sampler.mapping(z).numpy())
    )
    np.testing.assert_array_equal(
        model.generate(4, seed=3, truncation_psi=1.0), model.generate(4, seed=3, truncation_psi=0.2, cutoff=0)
    )
    difference = model.generate(4, seed=3, truncation_psi=1.0) != pixels.to_uint8(model.sampler(z)).numpy()
    assert difference.mean() < 0.01, "a batch of another size may round a pixel the other way"


def test_truncation_draws_w_towards_its_mean_up_to_the_cutoff(model):
    w, average = model.styles(3, truncation_psi=1.0), model.sampler.w_avg.numpy()
    expected = average + 0.3 * (w - average)
    np.testing.assert_allclose(model.styles(3, truncation_psi=0.3), expected, atol=1e-6)
    cut = model.styles(3, truncation_psi=0.3, cutoff=4)
    np.testing.assert_allclose(cut[:, :4], expected[:, :4], atol=1e-6)
    np.testing.assert_array_equal(cut[:, 4:], w[:, 4:])
    np.testing.assert_array_equal(model.generate(3), model.generate(3, truncation_psi=0.7))
    assert (model.generate(3) != model.generate(3, truncation_psi=1.0)).any()


# ---- style mixing ----------------------------------------------------------------------------------------------------
def test_truncation_ends_at_the_model_s_layer():
    cut, whole = built(truncation_cutoff=4), built()
    expected = whole.styles(3, truncation_psi=0.3, cutoff=4)
    np.testing.assert_array_equal(cut.styles(3, truncation_psi=0.3), expected)
    np.testing.assert_array_equal(cut.generate(3), whole.generate(3, cutoff=4))
    serve, _ = cut.serving_signature()["tensors"]
    z, psi = cut.latents(rows.row_seeds(0, 3)), tf.fill([3], 0.3)
    served, shown = serve(z, psi)["images"], cut.images_of_styles(tf.constant(expected))
    np.testing.assert_allclose(served, np.clip(shown, -1, 1), atol=1e-5)
    assert built(truncation_cutoff=99).default_cutoff == whole.num_layers
    assert presets.run_config("stylegan-lite/ffhq-1024").model["truncation_cutoff"] == 8, "4x4 to 32x32"


def test_mixing_at_the_ends_gives_the_parents(model):
    w = model.styles(2, seed=8)
    coarse, fine = w[:1], w[1:]
    parents = model.generate(2, seed=8)
    last = model.num_layers
    assert last == 6
    np.testing.assert_array_equal(model.generate(w=model.mix(coarse, fine, layer=last)), parents[:1])
    np.testing.assert_array_equal(model.generate(w=model.mix(coarse, fine, layer=0)), parents[1:])
    between = [model.mix(coarse, fine, layer=layer) for layer in range(last + 1)]
    for layer, styles in enumerate(between):
        np.testing.assert_array_equal(styles[:, :layer], coarse[:, :layer])
        np.testing.assert_array_equal(styles[:, layer:], fine[:, layer:])
    images = model.generate(w=np.concatenate(between))
    assert len(np.unique(images.reshape(last + 1, -1), axis=0)) == last + 1, "every layer has its part"


def test_training_mixes_in_its_share_of_the_batches():
    model = built(mixing=0.5)
    ones, zeros = tf.ones([2, model.w_dim]), tf.zeros([2, model.w_dim])
    places = []
    for _ in range(300):
        mixed = model.mixed(ones, zeros, model.num_layers, "d").numpy()
        assert (mixed == mixed[:1, :, :1]).all(), "one place for the whole batch"
        places.append(int(mixed[0, :, 0].sum()))
        assert (mixed[0, : places[-1]] == 1).all()
        model.step.assign_add(1)
    counts = np.bincount(places, minlength=7)
    assert counts[0] == 0, "the first layer keeps the first w"
    assert 0.4 < counts[6] / 300 < 0.6
    assert counts[1:6].min() > 10
    model.mixing = 0.0
    assert (model.mixed(ones, zeros, model.num_layers, "d") == 1).numpy().all()


def test_samples_may_mix_each_by_itself():
    model = built(mixing=0.5, mixing_per_sample=True)
    ones, zeros = tf.ones([600, model.w_dim]), tf.zeros([600, model.w_dim])
    mixed = model.mixed(ones, zeros, model.num_layers, "d").numpy()
    assert (mixed == mixed[:, :, :1]).all()
    places = mixed[:, :, 0].sum(axis=1).astype(int)
    assert all((row[:place] == 1).all() for row, place in zip(mixed[..., 0], places, strict=True))
    counts = np.bincount(places, minlength=7)
    assert counts[0] == 0
    assert 0.4 < counts[6] / 600 < 0.6
    assert counts[1:6].min() > 30, "layers 1 to 5, each for about 60 of the 300"


# ---- training --------------------------------------------------------------------------------------------------------
def test_the_mean_of_w_follows_what_the_mapping_gives():
    model = built(fresh_latents=False)
    z = model.noise(tf.random.stateless_normal, "latents d", tiny.BATCH, [2, model.latent_dim])
    expected = 0.9 * model.generator.w_avg.numpy() + 0.1 * model.generator.mapping(z[:, 0]).numpy().mean(axis=0)
    model.train_step(tiny.batch(model))
    np.testing.assert_allclose(model.generator.w_avg, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(model.ema_generator.w_avg, model.generator.w_avg)


def test_lazy_r1_comes_at_its_interval_with_its_weight():
    model = built(r1_interval=3)
    seen = []
    for step in range(5):
        for tracker in model.metrics:
            tracker.reset_state()
        data = tiny.batch(model, seed=step)
        expected = 3 * float(penalties.r1(model.discriminator, data["image"]))
        seen.append((float(model.train_step(data)["r1"]), expected))
    assert [logged > 0 for logged, _ in seen] == [True, False, False, True, False]
    for logged, expected in (seen[0], seen[3]):
        assert logged == pytest.approx(expected, rel=1e-4)


def test_r1_of_gamma_0_changes_nothing_and_its_weight_counts():
    moved = {}
    for gamma in (0.0, 20.0):
        model = built(r1_gamma=gamma)
        model.train_step(tiny.batch(model))
        moved[gamma] = np.concatenate([np.ravel(v) for v in model.discriminator.weights])
    assert (moved[0.0] != moved[20.0]).any()


def test_a_sample_takes_the_stored_noise_and_training_draws_it(model):
    w = model.checked_styles(model.styles(2))
    stored = model.images_of_styles(w)
    np.testing.assert_array_equal(stored, model.images_of_styles(w))
    generator = model.sampler.synthesis
    maps = [epilogue.noise.value for epilogue in generator.epilogues]
    np.testing.assert_allclose(generator(w, noise=maps), stored, atol=1e-5)
    drawn = [tf.random.stateless_normal([2, *shape, 1], (0, 1)) for shape in generator.noise_shapes()]
    assert np.abs(generator(w, noise=drawn) - stored).max() > 0.01
    (first, _), (second, _) = (model.fakes(2, None, stream) for stream in ("d", "g"))
    assert np.abs(first - second).max() > 0.01


def test_a_label_chooses_the_image_and_the_logit(labelled):
    images = labelled.generate(3, label=[0, 1, 2], latents=np.ones((3, 6)))
    assert len(np.unique(images.reshape(3, -1), axis=0)) == 3
    np.testing.assert_array_equal(labelled.generate(3, label=1)[2:], labelled.generate(3, label=[0, 2, 1])[2:])
    x = tf.random.stateless_normal([4, 16, 16, 1], (0, 0))
    logits = [labelled.discriminator([x, np.full(4, label)]).numpy() for label in range(3)]
    assert (logits[0] != logits[1]).all()
    one_hot = tf.one_hot([2, 2, 2, 2], 3)
    np.testing.assert_array_equal(labelled.discriminator([x, one_hot]), logits[2])


# ---- refusals --------------------------------------------------------------------------------------------------------
def sentence(call, *arguments, **keywords):
    with pytest.raises(GanzooError) as caught:
        call(*arguments, **keywords)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("size", [0, 4, 12, 48, 100])
def test_sizes_are_powers_of_two(size):
    assert f"8, 16, 32, 64, ...; received {size}" in sentence(StyleGAN, image_size=size)


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"fmap_base": 4, "image_size": 64}, "no feature map at 64 px"),
        ({"mapping_layers": 0}, "at least 1"),
        ({"r1_interval": 0}, "r1_interval"),
        ({"mixing": 1.5}, "mixing"),
        ({"w_decay": 1.0}, "w_decay"),
        ({"r1_gamma": -1.0}, "r1_gamma"),
        ({"stddev_group": 0}, "stddev_group"),
    ],
)
def test_bad_settings(settings, word):
    assert word in sentence(StyleGAN, **(tiny.TINY["stylegan-lite"] | settings))


def test_bad_sampling_arguments(model, labelled):
    for psi in (1.01, -1.5, float("nan"), "0.7", None):
        assert "[-1, 1]" in sentence(model.generate, 1, truncation_psi=psi)
    for cutoff in (-1, 7, 2.5):
        assert "0 to 6" in sentence(model.generate, 1, cutoff=cutoff)
    assert "(n, 5) or (n, 6, 5)" in sentence(model.generate, w=np.zeros((2, 4, 5)))
    w = model.styles(1)
    assert "0 and 6" in sentence(model.mix, w, w, layer=7)
    assert "takes no labels" in sentence(model.generate, 1, label=0)
    assert "needs labels" in sentence(labelled.generate, 1)
    for labels in (3, -1, 0.5, [0, 1, 2], "a"):
        assert "0 to 2" in sentence(labelled.generate, 2, label=labels)
    assert "image" in sentence(labelled.train_step, tiny.batch(model))


def test_lods_outside_the_network(model):
    w = model.checked_styles(model.styles(1))
    for lod in (-0.1, 2.5):
        assert "between 0 (full size) and 2 (4x4)" in sentence(model.sampler.synthesis, w, lod=lod)


def test_a_batch_that_the_group_does_not_divide(model):
    layer = MinibatchStddev(4)
    assert layer(tf.zeros([3, 2, 2, 1])).shape == (3, 2, 2, 2)  # smaller than a group: one group
    assert "a batch of 6" in sentence(layer, tf.zeros([6, 2, 2, 1]))
    other = built(stddev_group=4)
    assert "Choose a multiple of 4" in sentence(other.train_step, tiny.batch(other, 6))
    train = presets.run_config("stylegan-lite", {"train.batch_size": 30}).train
    assert "a batch of 30" in sentence(other.segments, train), "before a run starts"


def test_the_half_life_of_the_average_is_ten_thousand_images():
    config = presets.run_config("stylegan-lite/lorelei-64")
    assert config.model["ema_decay"] == pytest.approx(0.5 ** (config.train.batch_size / 10_000), abs=1e-4)


@pytest.mark.parametrize(("rows", "size"), [(4, 8), (2, 32)])
def test_a_discriminator_makes_no_row_of_several_pictures(rows, size, model):
    assert model.discriminator(np.zeros((rows, 16, 16, 1), "float32")).shape == (rows, 1)
    with pytest.raises(GanzooError, match=rf"D takes pictures of 16 px here; received {size} x {size}"):
        model.discriminator(np.zeros((rows, size, size, 1), "float32"))


def test_the_average_s_half_life_counts_images_whatever_the_batch():
    """100 images are 25 steps of 4, or 50 of 2: after either half of the start is left."""
    for rows_, steps in ((4, 25), (2, 50)):
        model = built(ema_images=100)
        assert float(model.decay_of(tf.constant(rows_))) ** steps == pytest.approx(0.5, rel=1e-4)
    model.start_segment(Segment(0, 10, 0, 20))
    assert float(model.decay_of(tf.constant(5))) == pytest.approx(0.5**0.2), "the global batch, not that of a replica"
    before = [np.array(v) for v in model.ema_generator.weights]
    model.train_step(tiny.batch(model))
    for old, shadow, weight in zip(before, model.ema_generator.weights, model.generator.weights, strict=True):
        if not weight.trainable:
            continue
        np.testing.assert_allclose(shadow, 0.5**0.2 * old + (1 - 0.5**0.2) * np.array(weight), rtol=1e-4, atol=1e-6)


# ---- demodulation (StyleGAN2) ------------------------------------------------------------------------------------------
def test_demodulation_divides_by_the_deviation_of_the_output():
    """By hand, equation 3: two channels, scales 2 and 1, a 1x1 kernel of 3 and 4: 1 / sqrt((2 * 3)^2 + (1 * 4)^2)."""
    kernel = tf.constant([3.0, 4.0], shape=[1, 1, 2, 1])
    np.testing.assert_allclose(demodulation(kernel, tf.constant([[2.0, 1.0]])), [[[[1 / np.sqrt(52)]]]], rtol=1e-6)


def test_a_demodulated_synthesis_is_stylegan2_s_with_a_kernel_for_each_sample():
    """Kernels of each sample, w' = s w / |s w| (equations 1 and 3), where ours scales maps before and after one kernel."""
    model = tiny.build("stylegan-lite", normalization="demodulation", noise_inputs=False)
    g = model.generator.synthesis
    for i, epilogue in enumerate(g.epilogues):
        epilogue.bias.assign(tf.random.stateless_normal(epilogue.bias.shape, (i, 7)))
        epilogue.style_bias.assign(tf.random.stateless_normal(epilogue.style_bias.shape, (i, 8)) / 2)
    w = tf.random.stateless_normal([2, g.num_layers, model.w_dim], (0, 9))
    made = g(w)
    for sample in range(2):
        x, kernels, scale = tf.convert_to_tensor(g.const), iter(g.convolutions), None
        for i, epilogue in enumerate(g.epilogues):
            if i:
                kernel = next(kernels).scaled_kernel() * scale[:, None]
                kernel /= tf.sqrt(tf.reduce_sum(kernel**2, axis=[0, 1, 2]) + 1e-8)
                if i % 2:
                    x = tf.nn.conv2d(x, kernel, 1, "SAME")
                else:
                    layer = ResizeConv2D(kernel.shape[-1], use_bias=False)
                    layer.build(x.shape)
                    layer.kernel.assign(kernel)
                    x = Blur()(layer(x))
            x = np.sqrt(2) * tf.nn.leaky_relu(x + epilogue.bias.value, 0.2)
            scale = epilogue.style_kernel.value * epilogue.style_scale
            scale = tf.linalg.matvec(scale, w[sample, i], transpose_a=True) + epilogue.style_bias.value + 1
        image = g.to_rgb["4"](x * scale)
        np.testing.assert_allclose(made[sample], image[0], atol=2e-5 * float(tf.reduce_max(tf.abs(image))))


def test_another_normalization_is_named():
    with pytest.raises(GanzooError, match='"instance" or "demodulation"'):
        tiny.build("stylegan-lite", normalization="batch")
