"""Extractors against golden outputs, Pillow and real files; their streams; the cache; the recipes of the bundled ones."""

import hashlib
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ganzoo import weights
from ganzoo.errors import GanzooError
from ganzoo.media import images
from ganzoo.metrics import features
from ganzoo.metrics.features import efficientnet, fashion_cnn, inception, lorelei_cnn
from ganzoo.metrics.features.network import ASSETS, Network
from ganzoo.metrics.features.resize import METHODS, resize
from tools import train_extractor

GOLDEN = Path(__file__).parents[1] / "golden"
FASHION = ASSETS.parent / "data" / "fashion_mnist.npz"


def pictures(n=3, size=28, channels=1, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, channels), dtype=np.uint8)


@pytest.fixture(scope="module")
def clothes():
    with np.load(FASHION) as file:
        return file["test_images"][..., None], file["test_labels"]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GANZOO_INCEPTION", raising=False)


def test_efficientnet_gives_the_golden_features_and_logits():
    golden, about = (
        np.load(GOLDEN / "efficientnet_lite0.npz"),
        json.loads((GOLDEN / "efficientnet_lite0.json").read_text()),
    )
    extractor = features.extractor("efficientnet-lite0", resize="none")
    rows, logits = extractor.outputs(golden["images"])
    np.testing.assert_allclose(rows, golden["features"], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(logits, golden["logits"], rtol=1e-3, atol=1e-3)
    assert np.argsort(-logits, axis=1)[:, :5].tolist() == about["top5"]
    assert (rows.dtype, extractor.dimensions, extractor.classes, extractor.size) == (np.float32, 1280, 1000, 224)
    # Pictures of the network's own size meet no resize, whatever its name.
    np.testing.assert_array_equal(features.extractor().features(golden["images"]), rows)


def test_a_name_gives_one_extractor_and_its_tag_stands_in_protocols():
    assert features.names() == ["efficientnet-lite0", "fashion-cnn", "inception-v3-fid"]
    extractor = features.extractor()
    assert extractor is features.extractor("efficientnet-lite0")
    assert extractor.tag == "efficientnet-lite0_lanczos"
    assert features.extractor("efficientnet-lite0", resize="bilinear").tag == "efficientnet-lite0_bilinear"
    assert features.extractor("fashion-cnn").tag == "fashion-cnn_none"
    file = ASSETS / "efficientnet_lite0.safetensors"
    assert extractor.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    with pytest.raises(GanzooError, match=r'Unknown feature extractor "fashion-cn"\. Did you mean "fashion-cnn"'):
        features.extractor("fashion-cn")
    with pytest.raises(GanzooError, match=r'Unknown resize "lanczos3".* Did you mean "lanczos"'):
        features.extractor("fashion-cnn", resize="lanczos3")
    with pytest.raises(GanzooError, match="bundled; a path"):
        features.extractor("fashion-cnn", path="x.pt")


def test_edited_weights_are_refused(tmp_path, monkeypatch):
    for file in ("efficientnet_lite0.json", "efficientnet_lite0.safetensors"):
        (tmp_path / file).write_bytes((ASSETS / file).read_bytes())
    data = bytearray((tmp_path / "efficientnet_lite0.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / "efficientnet_lite0.safetensors").write_bytes(data)
    monkeypatch.setattr(efficientnet, "ASSETS", tmp_path)
    with pytest.raises(GanzooError, match="is not the published one"):
        efficientnet.load()


def pillow(rows, size, method):
    """Rows of pixels first, then columns, in two calls: Pillow 13 would choose the order by the shape."""
    how, out = Image.Resampling[method.upper()], []
    for row in rows:
        image = Image.fromarray(row[..., 0] if row.shape[2] == 1 else row)
        out.append(np.asarray(image.resize((size, row.shape[0]), how).resize((size, size), how)))
    return np.stack(out).reshape(len(rows), size, size, -1)


@pytest.mark.parametrize("method", METHODS)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    size=st.sampled_from([28, 41]),
    channels=st.sampled_from([1, 3]),
)
@settings(max_examples=25, deadline=None)
def test_resizing_is_pillows_bit_by_bit(method, height, width, size, channels):
    rows = np.random.default_rng(height * 100 + width).integers(0, 256, (2, height, width, channels), dtype=np.uint8)
    np.testing.assert_array_equal(resize(tf.constant(rows), size, method), pillow(rows, size, method))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("height", "width"), [(28, 28), (64, 64), (128, 128), (300, 500), (225, 223)])
def test_pictures_of_usual_sizes_are_resized_as_pillow_does(method, height, width):
    rows = np.random.default_rng(0).integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    ours = resize(tf.constant(rows), 224, method).numpy()
    np.testing.assert_array_equal(ours, pillow(rows, 224, method))
    if height == width:  # in one call
        whole = [Image.fromarray(row).resize((224, 224), Image.Resampling[method.upper()]) for row in rows]
        np.testing.assert_array_equal(ours, np.stack([np.asarray(image) for image in whole]))


def test_pictures_of_another_size_give_the_features_of_pillows_resize():
    extractor = features.extractor()
    small = images.to_channels(pictures(2, 40, 3), 3)
    large = [np.asarray(Image.fromarray(p).resize((224, 224), Image.Resampling.LANCZOS)) for p in small]
    np.testing.assert_array_equal(extractor.features(small), extractor.features(np.stack(large)))


@given(cuts=st.lists(st.integers(0, 40), max_size=5), reverse=st.booleans())
@settings(max_examples=15, deadline=None)
def test_neither_batches_nor_order_change_the_rows(cuts, reverse):
    extractor = features.extractor("fashion-cnn")
    rows = pictures(40)
    whole = extractor.features(rows)
    if reverse:
        rows, whole = rows[::-1], whole[::-1]
    edges = [0, *sorted(cuts), len(rows)]
    parts = (rows[a:b] for a, b in itertools.pairwise(edges))
    np.testing.assert_allclose(extractor.features(parts), whole, rtol=1e-5, atol=1e-6)


def test_batches_of_several_sizes_stream_in_order():
    extractor = features.extractor("fashion-cnn", resize="bicubic")
    batches = [pictures(3, 28), pictures(20, 40, 3, seed=1), pictures(1, 16, seed=2), pictures(0)]
    blocks = list(extractor.stream(iter(batches)))
    assert [b.shape for b in blocks] == [(16, 128), (8, 128)]
    alone = np.concatenate([extractor.features(batch) for batch in batches[:3]])
    np.testing.assert_allclose(np.concatenate(blocks), alone, rtol=1e-5, atol=1e-6)
    counts = []
    extractor.features(batches, progress=counts.append)
    assert counts == [16, 8]


def test_gray_is_repeated_for_a_network_of_colours_and_colour_becomes_luma_for_a_gray_one():
    gray, colour = pictures(2, 32), pictures(2, 28, 3)
    extractor = features.extractor()
    np.testing.assert_array_equal(extractor.features(gray), extractor.features(np.repeat(gray, 3, axis=3)))
    extractor = features.extractor("fashion-cnn")
    np.testing.assert_array_equal(extractor.features(colour), extractor.features(images.to_channels(colour, 1)))


def test_fashion_cnn_cuts_the_padding_of_32_pixels_and_refuses_other_sizes_without_a_resize():
    extractor, rows = features.extractor("fashion-cnn"), pictures(2)
    padded = np.pad(rows, [(0, 0), (2, 2), (2, 2), (0, 0)], constant_values=9)
    np.testing.assert_array_equal(extractor.features(padded), extractor.features(rows))
    with pytest.raises(GanzooError, match=r"takes pictures of 28x28 or 32x32 pixels and received 64x64: choose resize"):
        extractor.features(pictures(2, 64))
    resized = features.extractor("fashion-cnn", resize="lanczos").features(padded)
    assert np.abs(resized - extractor.features(rows)).max() > 0.1


@pytest.mark.parametrize(
    ("batches", "sentence"),
    [
        (pictures(0), "There is no picture to take features of"),
        ([], "There is no picture to take features of"),
        (pictures(2, 28, 2), "pictures of 2 channels: uint8 pictures"),
        (pictures(2, 28, 4), "pictures of 4 channels: uint8 pictures"),
        (pictures(2)[0], r"shape \(28, 28, 1\)"),
        (pictures(2)[:, :0], "pictures without a pixel"),
        (pictures(2) / 255, r"received float64 \(2, 28, 28, 1\): .*to_uint8"),
        (np.full((1, 28, 28, 1), np.nan, np.float32), "with NaN or infinite values: uint8"),
        (pictures(2).astype(np.int32), r"received int32 \(2, 28, 28, 1\): uint8"),
        ([pictures(30), pictures(2, 28, 2)], "pictures of 2 channels"),
    ],
)
def test_bad_pictures_are_named_in_a_sentence(batches, sentence):
    with pytest.raises(GanzooError, match=sentence):
        features.extractor("fashion-cnn").features(batches)


def test_an_error_of_the_pictures_source_arrives_as_it_is():
    def source():
        yield pictures(20)
        raise FileNotFoundError("no picture b")

    with pytest.raises(FileNotFoundError, match="no picture b"):
        features.extractor("fashion-cnn").features(source())


def test_a_stream_may_be_left_early_and_reads_little_ahead():
    taken = []

    def source():
        for i in range(10_000):
            taken.append(i)
            yield pictures(16)

    stream = features.extractor("fashion-cnn").stream(source())
    assert next(stream).shape == (16, 128)
    stream.close()
    assert len(taken) < 50


def test_damaged_weights_that_give_nan_are_said():
    broken = features.Extractor(
        "broken", Network(4, 1, "0", "none", lambda x: (tf.reduce_mean(x / 0 * 0.0, [1, 2]), x[:, 0, 0]))
    )
    with pytest.raises(GanzooError, match="broken gives features that are NaN"):
        broken.features(pictures(2, 4))


def test_pictures_may_come_from_a_generator_that_runs_tensorflow_on_one_thread():
    code = """
import numpy as np, tensorflow as tf
tf.config.threading.set_inter_op_parallelism_threads(1)
tf.config.threading.set_intra_op_parallelism_threads(1)
from ganzoo.metrics import features
weights = tf.Variable(tf.ones((784, 784)))
@tf.function
def generate(seed):
    x = tf.random.stateless_normal((20, 784), (seed, 0)) @ weights
    return tf.cast(tf.clip_by_value(tf.map_fn(tf.math.abs, x), 0, 255), tf.uint8)
batches = (generate(seed).numpy().reshape(20, 28, 28, 1) for seed in range(6))
print(features.extractor("fashion-cnn").features(batches).shape)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200, check=True)
    assert done.stdout.strip() == "(120, 128)"


def test_loading_inside_a_training_keeps_float32_and_the_trainings_policy():
    features._network.cache_clear()
    features._extractor.cache_clear()
    rows = pictures(4)
    before = features.extractor("fashion-cnn").features(rows)
    features._network.cache_clear()
    features._extractor.cache_clear()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
            extractor = features.extractor("fashion-cnn")
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")
    np.testing.assert_allclose(extractor.features(rows), before, rtol=1e-6)


# --- fashion-cnn


def test_fashion_cnn_is_small_and_as_accurate_as_its_sidecar_says(clothes):
    about = json.loads((ASSETS / fashion_cnn.SIDECAR).read_text())
    assert (ASSETS / fashion_cnn.FILE).stat().st_size == about["files"][fashion_cnn.FILE]["bytes"] < 1_000_000
    assert about["parameters"] == fashion_cnn.build().count_params()
    assert about["data"]["train"] == 60_000
    assert about["data"]["test"] == 10_000
    assert about["test_accuracy"] > 0.91
    rows, labels = clothes  # 2,000 of the 10,000 test pictures: a standard error of 0.6 %
    _, logits = features.extractor("fashion-cnn").outputs(rows)
    assert np.mean(logits.argmax(axis=1) == labels) == pytest.approx(about["test_accuracy"], abs=0.02)


def few_clothes(path, clothes, train, test):
    rows, labels = clothes
    np.savez(
        path,
        train_images=rows[:train, ..., 0],
        train_labels=labels[:train],
        test_images=rows[-test:, ..., 0],
        test_labels=labels[-test:],
    )
    return path


def few_pictures(path, file, names, rows):
    """A bundled set, such as lorelei_64, of the first `rows` pictures of each split and the columns `names`."""
    with np.load(FASHION.with_name(file)) as file:
        chosen = np.concatenate([np.flatnonzero(file["split"] == split)[:n] for split, n in rows.items()])
        blob, offsets = file["images_webp"], file["images_offsets"]
        pictures = [blob[offsets[i] : offsets[i + 1]] for i in chosen]
        columns = {name: file[name][chosen] for name in ("split", *names)}
    ends = np.cumsum([0, *map(len, pictures)])
    np.savez(path, images_webp=np.concatenate(pictures), images_offsets=ends, **columns)
    return path


def few_digits(path, rows):
    """The bundled digits, the first `rows` of each split."""
    with np.load(FASHION.with_name("mnist_5k.npz")) as file:
        chosen = np.concatenate([np.flatnonzero(file["split"] == split)[:n] for split, n in rows.items()])
        np.savez(path, **{name: file[name][chosen] for name in ("images", "labels", "split")})
    return path


@pytest.mark.parametrize("name", list(train_extractor.RECIPES))
def test_a_recipe_writes_what_it_states_and_repeats_itself(name, tmp_path, clothes):
    network, counts = train_extractor.RECIPES[name].network, {"train": 192, "test": 20}
    if name == "fashion-cnn":
        data = few_clothes(tmp_path / "few.npz", clothes, 192, 20)
    elif name == "digits-cnn":
        data = few_digits(tmp_path / "few.npz", counts)
    elif name == "age-cnn":
        data = few_pictures(tmp_path / "few.npz", "faces_age_64.npz", ["age"], counts)
    else:
        counts["novel"] = 10
        data = few_pictures(tmp_path / "few.npz", "lorelei_64.npz", lorelei_cnn.HEADS, counts)
    first, again = (train_extractor.train(name, data, tmp_path / out, epochs=1, seed=3, verbose=0) for out in "ab")
    assert json.loads((tmp_path / "a" / network.SIDECAR).read_text()) == json.loads(json.dumps(first))
    a, sha256 = weights.read(tmp_path / "a" / network.FILE)
    assert first["files"][network.FILE]["sha256"] == sha256
    assert first["data"] == again["data"]
    assert {split: first["data"][split] for split in counts} == counts
    assert first["seed"] == 3
    shipped = json.loads((ASSETS / network.SIDECAR).read_text())
    assert first.keys() == shipped.keys()
    assert shipped["made_by"].endswith(
        first["made_by"].partition(", ")[2].replace("epochs 1 --seed 3", f"epochs {shipped['epochs']} --seed 0")
    )
    for split in counts.keys() - {"train"}:
        heads = first[f"{split}_accuracy"]
        shares = [heads[c] for c in network.HEADS] if name == "lorelei-cnn" else [heads]
        assert all(0 <= share <= 1 for share in shares)
    b = weights.read(tmp_path / "b" / network.FILE)[0]
    assert a.keys() == {v.path for v in network.build().weights}
    assert all(np.allclose(a[key], b[key], atol=1e-2) for key in a)  # threads may add in another order
    with pytest.raises(GanzooError, match=r"is not \w+.npz with the arrays"):
        train_extractor.train(name, GOLDEN / "efficientnet_lite0.npz", tmp_path / "c")


@pytest.mark.slow
def test_the_recipe_learns(tmp_path, clothes):
    data = few_clothes(tmp_path / "few.npz", clothes, 1536, 464)
    assert train_extractor.train("fashion-cnn", data, tmp_path, epochs=15, verbose=0)["test_accuracy"] > 0.75


def test_folding_the_batch_norms_changes_nothing():
    trained, plain = fashion_cnn.build(training=True), fashion_cnn.build()
    random = np.random.default_rng(0)
    for v in trained.weights:
        v.assign(np.abs(random.normal(0.5, 0.3, v.shape)) if "norm" in v.path else random.normal(0, 0.1, v.shape))
    weights.assign({v.path: v for v in plain.weights}, train_extractor.folded(trained), "folded")
    x = random.random((3, 28, 28, 1)).astype(np.float32)
    for ours, theirs in zip(plain(x), trained(x, training=False), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


# --- inception-v3-fid


def small_saved_model(path, classes=1008, dimensions=2048):
    """A real SavedModel of the form that TF-GAN publishes, with few weights."""
    module = tf.Module()
    module.kernel = tf.Variable(tf.random.stateless_normal((3, dimensions), (1, 2)))
    module.head = tf.Variable(tf.random.stateless_normal((dimensions, classes), (3, 4)))

    @tf.function(input_signature=[tf.TensorSpec((None, 299, 299, 3), tf.float32)])
    def call(images):
        pooled = tf.reduce_mean(images, [1, 2]) @ module.kernel
        return {"logits": pooled @ module.head, "pool_3": pooled[:, None, None, :]}

    module.__call__ = call
    tf.saved_model.save(module, str(path))
    return module


def test_without_a_file_inception_says_where_it_goes(tmp_path):
    with pytest.raises(GanzooError, match="never downloaded") as caught:
        features.extractor("inception-v3-fid")
    assert str(tmp_path / "cache" / "inception-v3-fid") in str(caught.value)
    assert "GANZOO_INCEPTION" in str(caught.value)
    with pytest.raises(GanzooError, match="nowhere is not there"):
        features.extractor("inception-v3-fid", path="nowhere")
    with pytest.raises(GanzooError, match="contains no saved_model"):
        features.extractor("inception-v3-fid", path=tmp_path)


def test_inception_from_a_saved_model_by_argument_environment_cache_folder_and_hub_handle(tmp_path, monkeypatch):
    module = small_saved_model(tmp_path / "inception")
    rows = pictures(3, 299, 3)
    scaled = (tf.cast(rows, tf.float32) - 128) / 128
    expected = tf.reduce_mean(scaled, [1, 2]) @ module.kernel
    extractor = features.extractor("inception-v3-fid", path=tmp_path / "inception")
    got, logits = extractor.outputs(rows)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(logits, expected @ module.head, rtol=1e-3, atol=1e-3)
    assert extractor.tag == "inception-v3-fid_bicubic"
    assert (extractor.dimensions, extractor.classes) == (2048, 1008)

    monkeypatch.setenv("GANZOO_INCEPTION", str(tmp_path / "inception"))
    assert features.extractor("inception-v3-fid").sha256 == extractor.sha256
    monkeypatch.delenv("GANZOO_INCEPTION")
    handle = "https://models.example/tfgan/eval/inception/1"
    hub = tmp_path / "hub" / hashlib.sha1(handle.encode()).hexdigest()
    small_saved_model(hub)
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "hub"))
    assert features.extractor("inception-v3-fid", path=handle).dimensions == 2048
    with pytest.raises(GanzooError, match="never downloaded"):
        features.extractor("inception-v3-fid", path=handle + "0")
    small_saved_model(tmp_path / "cache" / "inception-v3-fid")
    assert inception.load().size == 299


def test_another_inception_is_refused(tmp_path):
    small_saved_model(tmp_path / "imagenet", classes=1000)
    with pytest.raises(GanzooError, match=r"is not the Inception of FID.*1000, 2048"):
        features.extractor("inception-v3-fid", path=tmp_path / "imagenet")
    small_saved_model(tmp_path / "narrow", dimensions=64)
    with pytest.raises(GanzooError, match="is not the Inception of FID"):
        features.extractor("inception-v3-fid", path=tmp_path / "narrow")


def test_inception_from_a_torchscript_file(tmp_path):
    torch = pytest.importorskip("torch")

    class Net(torch.nn.Module):
        def __init__(self, classes: int):
            super().__init__()
            self.a, self.b = torch.nn.Linear(3, 2048), torch.nn.Linear(2048, classes)

        def forward(self, img: torch.Tensor, return_features: bool = False, no_output_bias: bool = False):
            x = self.a(img.mean(dim=(2, 3)) / 255)
            if return_features:
                return x
            logits = x @ self.b.weight.T if no_output_bias else self.b(x)
            return torch.softmax(logits, dim=1)

    net = Net(1008)
    torch.jit.script(net).save(str(tmp_path / "inception-2015-12-05.pt"))
    rows = pictures(3, 299, 3)
    got, logits = features.extractor("inception-v3-fid", path=tmp_path / "inception-2015-12-05.pt").outputs(rows)
    with torch.no_grad():
        x = torch.from_numpy(rows.transpose(0, 3, 1, 2).astype(np.float32))
        np.testing.assert_allclose(got, net(x, return_features=True), rtol=1e-4, atol=1e-5)
        softmax = net(x, no_output_bias=True).numpy()
    np.testing.assert_allclose(tf.nn.softmax(logits), softmax, rtol=1e-3, atol=1e-6)
    torch.jit.script(Net(1000)).save(str(tmp_path / "imagenet.pt"))
    with pytest.raises(GanzooError, match="is not the Inception of FID"):
        features.extractor("inception-v3-fid", path=tmp_path / "imagenet.pt")
    (tmp_path / "text.pt").write_text("no network")
    with pytest.raises(GanzooError, match="is not a TorchScript file"):
        features.extractor("inception-v3-fid", path=tmp_path / "text.pt")


# --- the cache


def test_equal_parts_compute_once_and_other_parts_again():
    calls = []

    def compute():
        calls.append(1)
        return np.arange(6.0).reshape(2, 3) + len(calls)

    first = features.cached({"data": "a", "size": 64}, compute)
    np.testing.assert_array_equal(features.cached({"size": 64, "data": "a"}, compute), first)
    assert len(calls) == 1
    assert features.cached({"data": "a", "size": 32}, compute)[0, 0] == 2
    arrays = features.cached_arrays({"moments": 1}, lambda: {"n": 7, "mean": np.ones(2)})
    assert arrays["n"] == 7
    again = features.cached_arrays({"moments": 1}, lambda: pytest.fail("was cached"))
    np.testing.assert_array_equal(again["mean"], np.ones(2))


@pytest.mark.parametrize(
    "damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"text", lambda b: b[:-200] + b"x" * 200]
)
def test_a_torn_file_is_computed_again(damage):
    features.cached({"a": 1}, lambda: np.arange(1000))
    (file,) = (features.folder() / "features").iterdir()
    file.write_bytes(damage(file.read_bytes()))
    np.testing.assert_array_equal(features.cached({"a": 1}, lambda: np.arange(1000)), np.arange(1000))
    np.testing.assert_array_equal(features.cached({"a": 1}, lambda: pytest.fail("was mended")), np.arange(1000))


def test_a_folder_that_cannot_be_written_only_means_no_cache(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "file"))
    assert features.cached({"a": 1}, lambda: np.arange(3)).tolist() == [0, 1, 2]


def test_processes_that_compute_at_once_leave_one_whole_file(tmp_path):
    code = (
        "import sys, time, numpy as np\nfrom ganzoo.metrics.features import cache\n"
        "def compute():\n    time.sleep(1)\n    return np.full(200_000, 5.0)\n"
        "print(cache.cached({'same': 1}, compute).sum())"
    )
    runs = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=dict(os.environ)) for _ in range(2)
    ]
    assert [float(run.communicate(timeout=200)[0]) for run in runs] == [1e6, 1e6]
    assert len(list((tmp_path / "cache" / "features").iterdir())) == 1
    np.testing.assert_array_equal(features.cached({"same": 1}, lambda: pytest.fail("was cached")), 5.0)
