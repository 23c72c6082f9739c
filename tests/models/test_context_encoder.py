"""context-encoder: the loss and the hole of the official script, the channel-wise layer, and how holes of any size are filled."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tiny

from ganzoo import losses, metrics
from ganzoo.base import filling
from ganzoo.errors import GanzooError
from ganzoo.layers import ChannelwiseDense
from ganzoo.media import images
from ganzoo.models import context_encoder

GOLDEN = Path(__file__).parents[1] / "golden"
SIDE, HOLE = 16, 6  # of the tiny model


def golden(name):
    return dict(np.load(GOLDEN / f"{name}.npz")), json.loads((GOLDEN / f"{name}.json").read_text())


def nhwc(x):
    return np.moveaxis(x, 1, -1)


def parameters(network):
    return sum(int(np.prod(v.shape)) for v in network.trainable_variables)


@pytest.fixture(scope="module")
def model():
    return tiny.build("context-encoder", channels=3, ema_decay=0.0)


@pytest.fixture(scope="module")
def photos():
    return np.random.default_rng(0).integers(0, 256, (2, 40, 52, 3), np.uint8)


# ---- the script's numbers ----------------------------------------------------------------------------------------------
def test_hole_weights_and_loss_are_the_scripts(monkeypatch):
    arrays, facts = golden("context_encoder_loss")
    w = facts["config"]["wtl2"]
    model = tiny.build(
        "context-encoder", image_size=64, channels=3, overlap=4, overlap_weight=10.0, l2_weight=w, ema_decay=0.0
    )
    full, pred, target = (tf.constant(nhwc(arrays[key])) for key in ("full", "pred", "target"))
    for blanked in (model.blanked, model.blanked_batch):
        np.testing.assert_allclose(blanked(full, model.centre_hole), nhwc(arrays["masked"]), atol=1e-6)
    np.testing.assert_array_equal(model.middle(full), nhwc(arrays["true_center"]))
    weights = model.l2_weights(model.centre_hole)
    np.testing.assert_array_equal(weights, nhwc(arrays["weight_map"]))
    with tf.GradientTape() as tape:
        tape.watch(pred)
        loss = w * tf.reduce_mean(weights * tf.square(pred - target))
    np.testing.assert_allclose(loss, arrays["rec_loss_weighted"], rtol=1e-5)
    np.testing.assert_allclose(tape.gradient(loss, pred), nhwc(arrays["rec_grad_wrt_pred"]), rtol=1e-5, atol=1e-9)
    adversarial = (1 - w) * losses.non_saturating_g(arrays["logit_fake"])
    np.testing.assert_allclose(adversarial, arrays["adv_loss_weighted"], rtol=1e-4)
    monkeypatch.setattr(type(model), "sampler", property(lambda _: lambda x, training: pred))
    np.testing.assert_allclose(model.filled(full, model.centre_hole), nhwc(arrays["composite"]), atol=1e-6)


def test_the_loss_of_g_is_made_of_both_parts(model):
    """Worked out from a step's own numbers: what is minimised is w * weighted L2 + (1 - w) * adversarial."""
    data = tiny.batch(model)
    target, fake, weights, tape = model.forward(data)
    squares = np.square(fake - target)
    logits = model.discriminator(fake, training=True)
    wanted = 0.9 * np.mean(weights * squares) + 0.1 * float(losses.non_saturating_g(logits))
    loss, l2 = model.generator_step(target, fake, weights, tape)
    assert float(loss) == pytest.approx(wanted, rel=1e-5)
    assert float(l2) == pytest.approx(squares.mean(), rel=1e-5)
    assert {1.0, 5.0} == set(np.unique(weights))


def test_from_1_on_the_adversarial_part_counts_whole():
    model = tiny.build("context-encoder", l2_weight=2.0, overlap=0, ema_decay=0.0)
    target, fake, weights, tape = model.forward(tiny.batch(model))
    logits = model.discriminator(fake, training=True)
    wanted = 2 * np.mean(np.square(fake - target)) + float(losses.non_saturating_g(logits))
    assert float(model.generator_step(target, fake, weights, tape)[0]) == pytest.approx(wanted, rel=1e-5)


def test_random_regions_blank_the_mask_of_the_batch_and_predict_all():
    model = tiny.build("context-encoder", region="random", channels=3, overlap=1, ema_decay=0.0)
    image = np.random.default_rng(1).uniform(-1, 1, (2, SIDE, SIDE, 3)).astype(np.float32)
    mask = np.full((2, SIDE, SIDE, 1), -1, np.float32)
    mask[:, 2:5, 3:9] = 1
    seen = model.blanked(tf.constant(image), mask > 0).numpy()
    np.testing.assert_array_equal(model.blanked_batch(tf.constant(image), mask > 0), seen)
    np.testing.assert_allclose(seen[0, 3, 4], np.array(context_encoder.HOLE) / 127.5 - 1, atol=1e-6)
    np.testing.assert_array_equal(seen[:, 6:], image[:, 6:])
    target, fake, weights, _ = model.forward({"image": image, "mask": mask})
    assert fake.shape == target.shape == image.shape
    np.testing.assert_array_equal(weights[..., 0], np.where(mask[..., 0] > 0, 1, 5))  # what is known counts more there


def test_parameters_of_the_script():
    build = context_encoder.build_generator
    sizes = {"image_size": 128, "channels": 3, "nef": 64, "ngf": 64}
    assert parameters(build(**sizes, bottleneck=100, region="centre")) == 7_221_231
    assert parameters(build(**sizes, bottleneck=4000, region="random")) == 71_196_259
    d = context_encoder.build_discriminator(image_size=128, channels=3, ndf=64, region="random")
    assert parameters(d) == 2_832_257


def test_channelwise_layer():
    arrays, facts = golden("channelwise_fc_s")
    layer, x = ChannelwiseDense(), nhwc(arrays["x"])
    layer.build(x.shape)
    layer.kernel.assign(arrays["w.weight"])
    layer.bias.assign(arrays["w.bias"])
    np.testing.assert_allclose(layer(x), nhwc(arrays["out"]), **facts["tolerance"])
    paper = ChannelwiseDense()
    paper.build((None, 6, 6, 256))
    assert paper.count_params() == 340_992


# ---- holes of any size -------------------------------------------------------------------------------------------------
def rectangle(photos, y, x, height, width):
    mask = np.zeros(photos.shape[1:3], bool)
    mask[y : y + height, x : x + width] = True
    return mask


@pytest.mark.parametrize(
    "box",
    [(17, 23, 6, 6), (0, 0, 5, 7), (36, 50, 4, 2), (3, 4, 30, 40), (0, 10, 40, 20)],
    ids=["fits", "corner", "other corner", "large", "across"],
)
@pytest.mark.parametrize("region", ["centre", "random"])
def test_the_hole_is_filled_and_all_else_stays(photos, region, box):
    model = tiny.build("context-encoder", channels=3, region=region, ema_decay=0.0, overlap=int(region == "centre"))
    mask = rectangle(photos, *box)
    filled = model.generate(photos, mask=mask)
    assert filled.shape == photos.shape
    assert filled.dtype == np.uint8
    np.testing.assert_array_equal(filled[:, ~mask], photos[:, ~mask])
    assert (filled != photos).any(-1)[:, mask].mean() > 0.9
    np.testing.assert_array_equal(model.generate(photos[1:], mask=mask)[0], filled[1])


def test_what_lies_under_the_mask_is_not_seen(model, photos):
    mask = rectangle(photos, 5, 6, 20, 25)
    other = np.where(mask[..., None], np.uint8(255) - photos, photos)
    np.testing.assert_array_equal(model.generate(photos, mask=mask), model.generate(other, mask=mask))


def test_without_a_mask_the_middle_is_filled(model, photos):
    changed = (model.generate(photos) != photos).any(-1)
    where = np.argwhere(changed.any(0))
    assert where.min(0).tolist() == [17, 23]
    assert where.max(0).tolist() == [22, 28]


class Network:
    """Fills with 1 and notes the crops: how many pixels it was to fill, and where they lie."""

    def __init__(self):
        self.asked = []

    def note(self, wanted):
        places = np.argwhere(wanted.numpy())
        self.asked.append((len(places), places.min(0).tolist(), places.max(0).tolist()))
        return np.float32(1)

    def __call__(self, crop, wanted):
        one = tf.py_function(self.note, [wanted[0, ..., 0]], tf.float32)
        return tf.ones_like(crop) * one


def run(mask, image=None):
    network = Network()
    image = tf.zeros([*mask.shape, 1]) if image is None else image
    filled = filling.fill(network, image, tf.constant(mask), size=SIDE, hole=HOLE, band=1)
    return filled.numpy()[..., 0], network.asked


def test_a_hole_that_fits_is_the_middle_of_one_crop(photos):
    mask = rectangle(photos, 11, 20, 4, 6)
    filled, asked = run(mask)
    assert asked == [(24, [6, 5], [9, 10])]  # of 16: rows 6 to 9 and columns 5 to 10 lie in the middle
    np.testing.assert_array_equal(filled, mask)


def test_a_larger_hole_is_worked_off_from_the_rim(photos):
    mask = rectangle(photos, 8, 8, 24, 30)
    filled, asked = run(mask)
    np.testing.assert_array_equal(filled, mask)
    counts = [count for count, *_ in asked]
    assert sum(counts) == mask.sum()
    assert max(counts) <= HOLE * HOLE
    assert min(counts[:-1]) >= 1
    assert len(counts) <= 4 * mask.sum() / HOLE**2
    middle = np.zeros_like(mask)
    middle[19:21, 22:24] = True  # the last to be reached: it is still unknown when half of the hole is filled
    network = Network()
    order = np.zeros(mask.shape, int)

    def numbered(crop, wanted):
        number = tf.py_function(
            lambda w: np.float32(network.note(w) * len(network.asked)), [wanted[0, ..., 0]], tf.float32
        )
        return tf.ones_like(crop) * number

    order = filling.fill(numbered, tf.zeros([*mask.shape, 1]), tf.constant(mask), size=SIDE, hole=HOLE, band=0).numpy()[
        ..., 0
    ]
    rim = mask & ~np.pad(mask, 1)[2:, 1:-1] | mask & ~np.pad(mask, 1)[:-2, 1:-1]
    assert order[middle].mean() > order[rim].mean()


def test_unknown_surroundings_show_the_mean_of_what_is_near():
    image = np.zeros((8, 8, 1), np.float32)
    image[:, 4:] = 1.0
    mask = np.zeros((8, 8), bool)
    mask[2:4, 0:2] = mask[2:4, 6:8] = True
    mask[5, 5] = True
    filled = filling._means(tf.constant(image), tf.constant(mask)).numpy()
    np.testing.assert_array_equal(filled, image)


def test_masks_that_say_nothing_are_refused(model, photos):
    for mask, sentence in [
        (np.zeros((40, 52), bool), "marks no pixel"),
        (np.full((2, 40, 52), 255, np.uint8), "the whole picture"),
        (np.zeros((52, 40), bool), r"as large as its picture, here 2 of 52 x 40 pixels .*\(52, 40\)"),
        (np.zeros((40, 52)), "uint8 of 0 and 255; received float64"),
    ]:
        with pytest.raises(GanzooError, match=sentence):
            model.generate(photos, mask=mask)
    with pytest.raises(GanzooError, match=r"at least 16 x 16 pixels.*received 52 x 12"):
        model.generate(photos[:, :12])
    ones = rectangle(photos, 3, 3, 4, 4).astype(np.uint8)
    np.testing.assert_array_equal(model.generate(photos, mask=ones), model.generate(photos, mask=ones > 0))


def test_served_as_generated_and_refused_in_sentences(model, photos):
    (serve, _), (tensors, _) = (model.serving_signature()[name] for name in ("serving_default", "tensors"))
    mask = rectangle(photos, 4, 30, 9, 12)
    hole = images.png_bytes(np.where(mask, np.uint8(255), np.uint8(0))[..., None])
    shown = [images.png_bytes(photo) for photo in photos]
    answer = serve(tf.constant(shown), tf.constant([hole] * 2))["image_bytes"].numpy()
    wanted = model.generate(photos, mask=mask)
    for picture, expected in zip(answer, wanted, strict=True):
        np.testing.assert_array_equal(images.read_image(bytes(picture)), expected)
    floats = photos.astype(np.float32) / 127.5 - 1
    masks = np.tile(np.where(mask, 1, -1)[None, ..., None].astype(np.float32), (2, 1, 1, 1))
    made = tensors(tf.constant(floats), tf.constant(masks))["images"].numpy()
    np.testing.assert_array_equal(made[:, ~mask], floats[:, ~mask])
    small = images.png_bytes(photos[0, :12, :12])
    for picture, marks, sentence in [
        (shown[0], images.png_bytes(np.zeros((3, 3, 1), np.uint8)), filling.UNEQUAL),
        (shown[0], images.png_bytes(np.zeros((40, 52, 1), np.uint8)), filling.NOTHING),
        (shown[0], images.png_bytes(np.full((40, 52, 1), 255, np.uint8)), filling.ALL),
        (small, images.png_bytes(np.zeros((12, 12, 1), np.uint8)), filling.SMALL),
    ]:
        with pytest.raises(tf.errors.InvalidArgumentError, match=sentence.split(":")[0].split(";")[0]):
            serve(tf.constant([picture]), tf.constant([marks]))


# ---- metrics of holes --------------------------------------------------------------------------------------------------
def test_metrics_look_at_the_hole_alone():
    target = np.full((2, 4, 4, 3), 100, np.uint8)
    output = np.full((2, 4, 4, 3), 7, np.uint8)  # outside of the hole: not looked at
    masks = np.zeros((2, 4, 4), bool)
    masks[0, 1:3, 1:3], masks[1, 0, 0] = True, True
    output[0, 1:3, 1:3] = 100 + 51  # 0.2 of 255
    output[1, 0, 0] = (100, 100, 100 - 51)
    assert metrics.hole_l1(target, output, masks) == pytest.approx((0.2 + 0.2 / 3) / 2)
    assert metrics.hole_l2(target, output, masks) == pytest.approx((0.04 + 0.04 / 3) / 2)
    assert metrics.hole_psnr(target, output, masks) == pytest.approx(-5 * (np.log10(0.04) + np.log10(0.04 / 3)))
    with pytest.raises(GanzooError, match="an image without one"):
        metrics.hole_l2(target, output, masks & False)


def test_baselines_fill_the_hole_alone():
    ramp = np.tile(np.arange(0, 240, 10, dtype=np.uint8)[None, :, None], (1, 24, 1, 3)).reshape(1, 24, 24, 3)
    masks = np.zeros((1, 24, 24), bool)
    masks[0, 8:14, 9:15] = True
    shown = np.where(masks[..., None], np.uint8(0), ramp)
    masks.setflags(write=False)  # as `np.broadcast_to` gives them
    smooth, mean = metrics.biharmonic(shown, masks), metrics.mean_colour(shown, masks)
    np.testing.assert_array_equal(smooth, ramp)  # a slope goes on as it is
    np.testing.assert_array_equal(mean[~masks], ramp[~masks])
    assert (mean[masks] == round(ramp[~masks].mean())).all()


def test_command_line_fills_a_box_or_a_mask(tmp_path, model, photos):
    from ganzoo import sampling

    picture = tmp_path / "photo.png"
    images.write_png(picture, photos[0])
    mask = rectangle(photos, 4, 6, 10, 8)
    images.write_png(tmp_path / "mask.png", np.where(mask, np.uint8(255), np.uint8(0))[..., None])
    sampling.translate_files(model, [picture], tmp_path / "a.png", box=(6, 4, 8, 10))
    sampling.translate_files(model, [picture], tmp_path / "b.png", mask=tmp_path / "mask.png")
    made = [images.read_image(tmp_path / name) for name in ("a.png", "b.png")]
    np.testing.assert_array_equal(*made)
    np.testing.assert_array_equal(made[0], model.generate(photos[:1], mask=mask)[0])

    def refused(**options):
        with pytest.raises(GanzooError) as caught:
            sampling.translate_files(model, [picture], tmp_path / "c.png", **options)
        assert not (tmp_path / "c.png").exists()
        return str(caught.value)

    assert "--box 50,4,8,10 does not lie in the picture of 52 x 40 pixels" in refused(box=(50, 4, 8, 10))
    images.write_png(tmp_path / "other.png", np.zeros((9, 9, 1), np.uint8))
    assert "The mask has 9 x 9 pixels, the picture 52 x 40" in refused(mask=tmp_path / "other.png")
    with pytest.raises(GanzooError, match="is the mask and would be overwritten"):
        sampling.translate_files(model, [picture], tmp_path / "mask.png", mask=tmp_path / "mask.png")
    with pytest.raises(GanzooError, match="fills no holes"):
        sampling.translate_files(tiny.build("pix2pix", ema_decay=0.0), [picture], tmp_path / "c.png", box=(0, 0, 1, 1))
    gray = tmp_path / "gray.png"
    images.write_png(gray, photos[0, ..., :1])
    written = sampling.translate_files(model, [gray], tmp_path / "d.png", box=(6, 4, 8, 10))
    assert written.remarks == [f"{gray} is gray; the result is not."]
