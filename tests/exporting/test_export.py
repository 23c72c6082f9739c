"""Export: the SavedModel of every registered model, reloaded by a process that knows TensorFlow only."""

import importlib.util
import io
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from support import pngs
from tiny import TINY

from ganzoo import exporting, registry, zoo
from ganzoo.base import attributes, pixels
from ganzoo.errors import GanzooError
from ganzoo.media import images

CHECKER = Path(__file__).resolve().parents[2] / "export" / "check_saved_model.py"
SEEDS = [0, 7, 2**40 + 5, -3]  # of any sign, beyond 32 bits
RNG = np.random.default_rng(0)


def picture(height=13, width=21):
    """A PIL image with soft colours, so that JPEG is not all noise."""
    coarse = Image.fromarray(np.random.default_rng(height).integers(0, 256, (4, 5, 3), np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def encoded(image, kind="PNG", **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def with_alpha(image):
    alpha = np.linspace(0, 255, image.width * image.height).reshape(image.height, image.width).astype(np.uint8)
    image = image.convert("RGBA")
    image.putalpha(Image.fromarray(alpha))
    return image


REQUEST = [encoded(picture()), encoded(picture(8, 8).convert("L")), encoded(with_alpha(picture(16, 9)))]
REQUEST.append(encoded(picture(20, 20), "JPEG"))

READS = {"age-cgan": ("encoder",), "dtn": ("feature",)}  # networks that read a picture before the sampler draws

TEXTS = ["a girl with long pink hair", "Short BLUE hair, glasses; 微笑", "x" * 150, "sad"]


def shown(samples):
    """What `serving_default` shows of samples: pictures as they are, shapes as the picture that the graph draws."""
    return samples if samples.ndim == 4 else np.asarray(pixels.depth_pictures(tf.constant(samples)))


def expected_answers(model) -> dict[str, np.ndarray]:
    """What Keras gives for one request, in the form that check_saved_model.py compares with."""
    answers = {"serving_default/inputs/seed": np.array(SEEDS, np.int64)}
    if model.task == "latent":
        made = [shown(model.generate(1, seed=seed))[0] for seed in SEEDS]
        latents = RNG.normal(size=(3, model.latent_dim)).astype(np.float32)
        answers["tensors/inputs/latents"] = latents
        given = (tf.constant([0, 1, 1], tf.int64),) if model.classes else ()
        if model.classes:
            answers["serving_default/inputs/label"] = np.zeros(len(SEEDS), np.int64)  # of a lone sample, in turn
            answers["tensors/inputs/label"] = given[0].numpy()
        if model.attributes:
            asked = [{}, *({name: values[-1]} for name, values in model.attributes.items()), {}]
            made = [model.generate(1, seed=s, attributes=one)[0] for s, one in zip(SEEDS, asked, strict=True)]
            answers["serving_default/inputs/attributes"] = np.array([json.dumps(one) for one in asked])
            given = (RNG.uniform(size=(3, attributes.width(model.attributes))).astype(np.float32),)
            answers["tensors/inputs/attributes"] = given[0]
        if model.makes == "voxels":
            answers["tensors/outputs/voxels"] = model.voxels_of(latents)
        else:
            answers["tensors/outputs/images"] = np.clip(model.images_of(latents, *given), -1, 1)
        if "truncation_psi" in model.serving_signature()["serving_default"][1]:
            answers["serving_default/inputs/truncation_psi"] = np.full(
                len(SEEDS), 0.7, np.float32
            )  # generate's default
            answers["tensors/inputs/truncation_psi"] = np.ones(3, np.float32)
    elif model.task == "text":
        made = [model.generate(text, seed=seed)[0] for text, seed in zip(TEXTS, SEEDS, strict=True)]
        answers["serving_default/inputs/text"] = np.array(TEXTS)
        answers["embed/inputs/text"] = np.array(TEXTS)
        answers["embed/outputs/embedding"] = model.embeddings(TEXTS)
        latents = RNG.normal(size=(len(TEXTS), model.latent_dim)).astype(np.float32)
        answers |= {"tensors/inputs/latents": latents, "tensors/inputs/embedding": np.array(model.embeddings(TEXTS))}
        answers["tensors/outputs/images"] = np.clip(
            model.images_of(tf.constant(latents), model.embeddings(TEXTS)), -1, 1
        )
    elif model.fills:
        whole = [np.asarray(picture(24, 40)), np.asarray(picture(33, 17))]
        masks = [model.default_mask(*x.shape[:2]) for x in whole]
        made = [model.generate(x[None], mask=mask[None])[0] for x, mask in zip(whole, masks, strict=True)]
        answers = {"serving_default/inputs/image_bytes": np.array([images.png_bytes(x) for x in whole])}
        holes = [images.png_bytes(np.where(mask, np.uint8(255), np.uint8(0))[..., None]) for mask in masks]
        answers["serving_default/inputs/mask_bytes"] = np.array(holes)
    elif model.changes_age:
        years = [10.0, 34.5, 60.0, 120.0]
        inputs = [images.read_image(data, model.channels) for data in REQUEST]
        options = model.example_options
        made = [model.generate(x[None], **options | {"age": age})[0] for x, age in zip(inputs, years, strict=True)]
        answers = {"serving_default/inputs/image_bytes": np.array(REQUEST)}
        answers["serving_default/inputs/age"] = np.array(years, np.float32)
    else:
        channels = next(iter(model.batch_signature().values())).shape[-1]
        inputs = [images.read_image(data, channels) for data in REQUEST]
        made = [model.generate(x[None], seed=seed)[0] for x, seed in zip(inputs, SEEDS, strict=True)]
        answers["serving_default/inputs/image_bytes"] = np.array(REQUEST)
    return answers | {"serving_default/outputs/image_bytes": np.array([images.png_bytes(image) for image in made])}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """name -> (model, its folder), and what one fresh process with TensorFlow alone reports about all of them.

    Every model has an averaged generator whose weights are not the generator's: the averaged one must be exported.
    """
    root = tmp_path_factory.mktemp("exported")
    models, arguments, files = {}, [], []
    for name in registry.models():
        model = zoo.load(name, weights=None, **(TINY[name] | {"ema_decay": 0.9}))
        for _, network in model.averages():
            for variable in network.weights:
                variable.assign(tf.zeros_like(variable.value))
        models[name] = model, exporting.export(model, root / name, allow_random=True)
        np.savez(root / f"{name}.npz", **expected_answers(model))
        arguments.append(str(root / name))
        files += ["--expected", str(root / f"{name}.npz")]
    command = [sys.executable, str(CHECKER), *arguments, *files, "--json"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300, env=os.environ)
    assert done.stdout, done.stderr
    return models, json.loads(done.stdout), done.returncode


@pytest.fixture(scope="module")
def checker():
    spec = importlib.util.spec_from_file_location("check_saved_model", CHECKER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def small():
    return zoo.load("dcgan", weights=None, **TINY["dcgan"])


@pytest.mark.parametrize("name", list(TINY))
def test_saved_model_answers_as_keras_does(exported, name):
    """Same pictures, stateless, the same alone and in a batch: the checker has looked at each of these."""
    models, report, _ = exported
    (result,) = [r for r in report["models"] if r["folder"] == str(models[name][1])]
    assert result["ok"], result
    signatures = {s["name"]: s for s in result["signatures"]}
    assert set(signatures) == set(models[name][0].serving_signature())
    assert signatures["serving_default"]["outputs"] == {"image_bytes": "string[?]"}
    (samples,) = signatures["tensors"]["outputs"].values()
    assert "float32" in samples
    assert signatures["serving_default"]["difference"] <= 1.001 / 255
    for endpoint, (_, inputs) in models[name][0].serving_signature().items():
        assert set(signatures[endpoint]["inputs"]) == set(inputs)


def test_the_fresh_process_knew_only_tensorflow(exported):
    _, report, code = exported
    assert code == 0
    assert not report["ganzoo_imported"]


@pytest.mark.parametrize("name", list(TINY))
def test_only_the_sampling_network_is_stored(exported, name):
    model, path = exported[0][name]
    reader = tf.train.load_checkpoint(str(path / "variables" / "variables"))
    shapes = reader.get_variable_to_shape_map()
    stored = [reader.get_tensor(key) for key in shapes if key.endswith("VARIABLE_VALUE")]

    def marks(arrays):
        return Counter((array.shape, array.astype(np.float64).sum()) for array in arrays)

    averages = [average for average, _ in model.averages()]
    averages += [model.text_encoder] if model.task == "text" else []
    averages += [getattr(model, network) for network in READS.get(name, ())]
    weights = {(i, v.path): np.array(v) for i, average in enumerate(averages) for v in average.weights}
    needed = [value for (_, path), value in weights.items() if "/moving_" not in path]  # pix2pix takes an image's own
    assert not marks(stored) - marks(weights.values()), "more than the sampler, or twice"
    assert not marks(needed) - marks(stored)
    assert any(array.any() for array in stored), "the zeroed generator was exported instead of its average"


def test_an_export_is_replaced_by_the_next(exported):
    """An earlier export of the same paper gives way; the manifest contains no date."""
    model, path = exported[0]["dcgan"]
    manifest = (path / "assets.extra" / "manifest.json").read_bytes()
    assert exporting.export(model, path.parent, allow_random=True) == path
    assert (path / "assets.extra" / "manifest.json").read_bytes() == manifest


def test_manifest_says_what_it_is(exported):
    _, path = exported[0]["pix2pix"]
    manifest = json.loads((path / "assets.extra" / "manifest.json").read_text())
    assert manifest["model"] == "pix2pix/lines2colour-64"
    assert manifest["weights_source"] == "random"
    assert manifest["licence"] is None
    assert manifest["endpoints"]["serving_default"] == {"image_bytes": "string[?]", "seed": "int64[?]"}
    assert manifest["versions"]["tensorflow"] == tf.__version__


def test_licence_of_published_weights(small, monkeypatch):
    from ganzoo import presets
    from ganzoo.exporting import manifest

    weights = presets.Weights(file="x.safetensors", sha256="ab" * 32, bytes=1, licence="CC-BY-4.0", attribution="A. N.")
    file = presets.read("dcgan")
    preset = file.presets["fashion-32"].model_copy(update={"weights": weights})
    monkeypatch.setattr(presets, "read", lambda name: file.model_copy(update={"presets": {"fashion-32": preset}}))
    monkeypatch.setattr(small, "weights_source", "bundled:abababab")
    assert manifest.describe(small)["licence"] == "CC-BY-4.0"
    assert manifest.describe(small)["attribution"] == "A. N."


# ---- requests ---------------------------------------------------------------------------------------------------------
def test_a_broken_picture_fails_alone(exported):
    """A request with bytes that are no picture is refused in words; the next one is served."""
    serve = tf.saved_model.load(str(exported[0]["pix2pix"][1])).signatures["serving_default"]
    seed = tf.constant([1], tf.int64)
    for bad in (b"", b"GIF8", b"\x89PNG", REQUEST[0][:60], b"no picture at all"):
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"empty|Unknown|Invalid|invalid|format"):
            serve(image_bytes=tf.constant([bad]), seed=seed)
    assert serve(image_bytes=tf.constant([REQUEST[0]]), seed=seed)["image_bytes"].shape == (1,)


@pytest.mark.parametrize("name", list(TINY))
def test_a_request_without_rows_has_no_answers(exported, name):
    """By every endpoint, those of floats too."""
    answers = {}
    for endpoint, function in tf.saved_model.load(str(exported[0][name][1])).signatures.items():
        _, specs = function.structured_input_signature
        shapes = {key: [0, *(16 if side is None else side for side in spec.shape[1:])] for key, spec in specs.items()}
        answers[endpoint] = function(**{key: tf.zeros(shapes[key], spec.dtype) for key, spec in specs.items()})
    assert answers["serving_default"]["image_bytes"].shape == (0,)
    for answer in answers.values():
        assert answer
        assert all(value.shape[0] == 0 for value in answer.values())


GRAY16 = Image.fromarray(RNG.integers(0, 65536, (7, 9)).astype(np.uint16))
KINDS = {
    "rgb": encoded(picture()),
    "rgba": encoded(with_alpha(picture())),
    "gray": encoded(picture().convert("L")),
    "gray and alpha": encoded(with_alpha(picture()).convert("LA")),
    "palette of 4 bits": encoded(picture().quantize(8)),
    "palette with a transparent colour": encoded(picture().quantize(8), transparency=3),
    "one transparent colour": encoded(picture(), transparency=picture().getpixel((0, 0))),
    "1 bit": encoded(picture().convert("1")),
    "16-bit gray": encoded(GRAY16),
    "JPEG": encoded(picture(), "JPEG", quality=80),
    "progressive JPEG": encoded(picture(), "JPEG", progressive=True),
    "gray JPEG": encoded(picture().convert("L"), "JPEG"),
    "CMYK JPEG": encoded(picture().convert("CMYK"), "JPEG"),
    "GIF": encoded(picture(), "GIF"),
    "BMP": encoded(picture(), "BMP"),
}


@pytest.fixture(scope="module")
def decode():
    spec = [tf.TensorSpec([], tf.string)]
    traced = {c: tf.function(lambda data, c=c: pixels.decode_image(data, c), input_signature=spec) for c in (1, 3)}
    return lambda data, channels: traced[channels](data).numpy()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", list(KINDS))
def test_the_graph_decodes_as_read_image_does(decode, kind, channels):
    """Transparency on white, palettes, 16 bits, libjpeg's DCT: not one pixel differs from what `ganzoo sample` reads."""
    wanted = images.read_image(KINDS[kind], channels)
    np.testing.assert_array_equal(images.to_uint8(decode(KINDS[kind], channels)), wanted)


@pytest.mark.parametrize(("colour_type", "depth", "transparent"), pngs.KINDS)
def test_transparency_means_the_same_locally_and_served(decode, colour_type, depth, transparent):
    data, _ = pngs.png(colour_type, depth, transparent)
    np.testing.assert_array_equal(images.to_uint8(decode(data, 3)), images.read_image(data, 3))


# ---- refusals ---------------------------------------------------------------------------------------------------------
def test_random_weights_are_refused(small, tmp_path):
    with pytest.raises(GanzooError, match=r"random weights.*allow_random"):
        exporting.export(small, tmp_path / "x")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("formats", "sentence"),
    [
        (("tflite",), 'no export format "tflite".*litert'),
        ("savedmodell", 'Did you mean "savedmodel"'),
        ((), "no form"),
    ],
)
def test_unknown_formats_are_refused(small, tmp_path, formats, sentence):
    with pytest.raises(GanzooError, match=sentence):
        exporting.export(small, tmp_path, formats=formats, allow_random=True)


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(GanzooError, match="received int"):
        exporting.export(3, tmp_path)
    with pytest.raises(GanzooError, match="pix2pix"):
        exporting.export("pix2pics", tmp_path)


def test_a_folder_of_others_is_not_replaced(exported, small, tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"precious")
    with pytest.raises(GanzooError, match="not an export of ganzoo"):
        exporting.export(small, tmp_path, allow_random=True)
    assert (tmp_path / "1" / "saved_model.pb").read_bytes() == b"precious"
    with pytest.raises(GanzooError, match=r"export of gan.*not of dcgan"):
        exporting.export(small, exported[0]["gan"][1].parent, allow_random=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(GanzooError, match="Cannot write"):
        exporting.export(small, tmp_path / "file", allow_random=True)


def test_a_failed_export_leaves_the_old_one_and_no_litter(small, tmp_path, monkeypatch):
    def half(model, folder):
        folder.mkdir()
        (folder / "saved_model.pb").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    assert exporting.export(small, tmp_path, allow_random=True) == tmp_path / "1"
    before = (tmp_path / "1" / "saved_model.pb").read_bytes(), (tmp_path / "parity.json").read_bytes()
    monkeypatch.setattr(exporting.savedmodel, "write", half)
    with pytest.raises(GanzooError, match="No space left"):
        exporting.export(small, tmp_path, allow_random=True)
    assert {path.name for path in tmp_path.iterdir()} == {"1", "parity.json"}
    assert ((tmp_path / "1" / "saved_model.pb").read_bytes(), (tmp_path / "parity.json").read_bytes()) == before


# ---- the checker itself -----------------------------------------------------------------------------------------------
class Counting(tf.Module):
    """A model that breaks the contract: its answer depends on how often it was called, and on the neighbours."""

    def __init__(self):
        super().__init__()
        self.calls = tf.Variable(0.0)

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="latents")])
    def serve(self, latents):
        self.calls.assign_add(0.01)
        return {"images": tf.clip_by_value(latents + self.calls - tf.reduce_mean(latents), -1.0, 1.0)}


def test_the_checker_finds_a_stateful_model(checker, tmp_path, capsys):
    module = Counting()
    tf.saved_model.save(module, str(tmp_path / "m" / "1"), signatures={"serving_default": module.serve})
    (signature,) = checker.check(tmp_path / "m")["signatures"]
    found = " ".join(signature["problems"])
    assert "twice gives different answers" in found
    assert "rows of one request differ" in found
    assert "changed a variable" in found
    assert checker.main([str(tmp_path / "m")]) == 1
    assert "FAILED" in capsys.readouterr().out


def test_the_checker_finds_another_answer(checker, exported, tmp_path):
    _, path = exported[0]["dcgan"]
    seeds = np.array([1], np.int64)
    wrong = np.zeros((1, 16, 16, 1), np.uint8)
    name = tmp_path / "wrong.npz"
    np.savez(name, **{"serving_default/inputs/seed": seeds, "serving_default/outputs/image_bytes": wrong})
    result = checker.check(path, name)
    assert not result["ok"]
    assert "differs from the expected answer" in str(result)
    assert not checker.check(tmp_path / "nothing")["ok"]
