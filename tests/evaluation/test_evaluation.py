"""evaluate() joins a model, its data, an extractor and the metrics: real models on the bundled data, few samples."""

import json
import re

import numpy as np
import pytest

import ganzoo
from ganzoo import evaluation, metrics, presets, training, zoo
from ganzoo.data import open_source
from ganzoo.evaluation import path_length, pictures
from ganzoo.evaluation.scores import fid_bias
from ganzoo.evaluation.sets import Subject
from ganzoo.media import images
from ganzoo.metrics import features
from ganzoo.models.gan import GAN
from ganzoo.presets import metric_names

KEYS = {"metric", "value", "model", "weights", "weights_sha256", "data", "data_sha256", "pictures", "split", "n"} | {
    "n_reference", "seed", "seconds", "time", "versions", "note"
}  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory):
    """The features of real sets are computed once for this file, and nothing is left in the user's own cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANZOO_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def trained(name, tmp_path, **overrides):
    """A model with weights of its own: what `evaluate` accepts."""
    model = ganzoo.load(name, weights=None, **overrides)
    return ganzoo.load(ganzoo.save(model, tmp_path / "model"))


@pytest.fixture(scope="module")
def painter(tmp_path_factory):
    return trained("pix2pix", tmp_path_factory.mktemp("painter"), ngf=2, ndf=2)


@pytest.fixture(scope="module")
def clothes(tmp_path_factory):
    return trained("dcgan/fashion-32", tmp_path_factory.mktemp("clothes"), ngf=4, ndf=4)


# ---- a shipped model, end to end -------------------------------------------------------------------------------------
def test_a_shipped_model_lies_between_its_floor_and_its_ceiling(tmp_path):
    wanted = ["fid_fashion-cnn", "kid_fashion-cnn", "near-copies_fashion-cnn"]
    out, sheet = tmp_path / "results.jsonl", tmp_path / "nearest.png"
    found = evaluation.evaluate("gan/fashion-28", metrics=wanted, n=300, anchors=True, out=out, sheet=sheet)
    fid, kid, copies = found
    assert [r["metric"] for r in found] == [f"{m}300_fashion-cnn_none_test" for m in ("fid", "kid", "near-copies")]
    for record in found:
        assert set(record) >= KEYS | {"extractor_sha256", "floor", "ceiling"}
        assert (record["n"], record["n_reference"], record["seed"]) == (300, 2000, 0)
        assert record["weights_sha256"] == presets.read("gan").presets["fashion-28"].weights.sha256
        assert record["extractor_sha256"] == features.extractor("fashion-cnn").sha256
    assert 0 < fid["floor"] < fid["value"] < fid["ceiling"]
    assert kid["floor"] < kid["value"] < kid["ceiling"]
    assert kid["std"] > 0
    assert kid["full"] == pytest.approx(kid["value"], abs=3 * kid["std"])
    assert 0 <= copies["value"] <= 1
    assert copies["floor"] == pytest.approx(0.05, abs=0.03)  # the threshold is the 5 % quantile of real pictures
    assert metric_names.read(out) == json.loads(json.dumps(found))
    assert images.read_image(sheet).shape[2] == 3


def test_values_are_the_metrics_of_the_samples(clothes):
    n, cnn = 120, features.extractor("fashion-cnn")
    names = ["fid", "kid", "is", "precision", "recall", "density", "coverage", "diversity"]
    found = {
        metric_names.parse(r["metric"]).metric: r for r in evaluation.evaluate(clothes, metrics=names, n=n, seed=5)
    }
    fake, logits = cnn.outputs(clothes.generate(n, seed=5))
    real = cnn.features(open_source(clothes.run_config.data, "test").take(9999)["image"])
    near = {"rel": 1e-4, "abs": 1e-6}
    with pytest.warns(metrics.SmallSample):
        assert found["fid"]["value"] == pytest.approx(metrics.frechet_distance(real, fake), **near)
    mean, std = metrics.kernel_distance(real, fake, subsets=100, subset_size=n // 2, seed=5)
    assert (found["kid"]["value"], found["kid"]["std"]) == (pytest.approx(mean, **near), pytest.approx(std, **near))
    assert found["kid"]["full"] == pytest.approx(metrics.kernel_distance(real, fake), **near)
    assert found["is"]["value"] == pytest.approx(metrics.inception_score(logits, 10)[0], **near)
    both = *metrics.precision_recall(real, fake, 3), *metrics.density_coverage(real, fake, 5)
    assert [found[m]["value"] for m in names[3:7]] == pytest.approx(both, abs=1e-9)
    assert found["diversity"]["value"] == pytest.approx(metrics.pairwise_diversity(fake), **near)
    # FID alone streams moments and keeps no feature matrix; the value is the same.
    (alone,) = evaluation.evaluate(clothes, metrics=["fid"], n=n, seed=5)
    assert alone["value"] == pytest.approx(found["fid"]["value"], rel=1e-6)


def test_late_weights_score_better_than_early_ones(tmp_path):
    """Step 5 and step 150 of one run, which stopped in between and was resumed."""
    options = {"model.ngf": 8, "model.ndf": 8, "model.ema_decay": 0.0, "train.batch_size": 32, "train.sample_every": 0}
    options |= {"train.health_every": 0, "train.precision": "float32"}
    options |= {f"train.{player}_optimizer.learning_rate": 1e-3 for player in "gd"}
    run, values = tmp_path / "run", {}
    for steps in (5, 150):
        config = presets.run_config("dcgan/fashion-32", options | {"train.steps": steps})
        training.train(config, out=run, resume=run.exists(), strategy="one")
        (values[steps],) = evaluation.evaluate(run, metrics=["kid_fashion-cnn"], n=300)
    assert values[5]["weights_sha256"] != values[150]["weights_sha256"]
    assert evaluation.compare(values[5], values[150]).better == "second"
    assert values[150]["value"] < 0.7 * values[5]["value"]


# ---- pairs and single papers -----------------------------------------------------------------------------------------
def test_paired_metrics_are_those_of_the_test_pairs(painter):
    found = {
        r["metric"]: r for r in evaluation.evaluate(painter, metrics=["l1", "psnr", "ssim", "ms-ssim", "l1-copy"], n=6)
    }
    assert [*found] == ["l1_n6_test", "psnr_n6_test", "ssim_n6_test", "ms-ssim3_n6_test", "l1-copy_n6_test"]
    pairs = open_source(painter.run_config.data, "test").take(6)
    made = painter.generate(pairs["input"])
    error = np.abs(made.astype(float) - pairs["target"]).mean() / 255
    copied = np.abs(images.to_channels(pairs["input"], 3).astype(float) - pairs["target"]).mean() / 255
    assert found["l1_n6_test"]["value"] == pytest.approx(error, abs=1e-12)
    assert found["l1-copy_n6_test"]["value"] == pytest.approx(copied, abs=1e-12)
    assert found["ms-ssim3_n6_test"]["value"] == pytest.approx(metrics.ms_ssim(pairs["target"], made), abs=1e-12)
    assert found["l1_n6_test"]["weights"] == painter.weights_source
    assert "floor" not in found["l1_n6_test"]


def test_paired_features_meet_row_by_row(painter):
    wanted = ["feature-distance_fashion-cnn_bilinear", "feature-distance-copy_fashion-cnn_bilinear"]
    found = evaluation.evaluate(painter, metrics=wanted, n=5, anchors=True)
    assert [r["metric"] for r in found] == [
        "feature-distance5_fashion-cnn_bilinear_test",
        "feature-distance-copy5_fashion-cnn_bilinear_test",
    ]
    pairs, cnn = (
        open_source(painter.run_config.data, "test").take(5),
        features.extractor("fashion-cnn", resize="bilinear"),
    )
    expected = [
        metrics.feature_distance(cnn.features(pairs["target"]), cnn.features(x))
        for x in (painter.generate(pairs["input"]), pairs["input"])
    ]
    assert [r["value"] for r in found] == pytest.approx(expected, rel=1e-5)
    assert "ceiling" in found[0]
    assert "ceiling" not in found[1]


def test_discriminator_features_classify_better_than_chance(clothes):
    (record,) = evaluation.evaluate(clothes, metrics=["linear-d-features"], n=200, anchors=True)
    assert record["metric"] == "linear-d-features_n200_test"
    assert 0.3 < record["value"] <= 1  # random convolutions already separate clothes; chance is 0.1
    assert 0.3 < record["ceiling"] <= 1


def test_parzen_counts_stand_in_its_name(tmp_path):
    model = trained("gan", tmp_path, hidden=8, maxout_units=4)
    (record,) = evaluation.evaluate(model, metrics=["parzen1k"], n=50, anchors=True)
    assert record["metric"] == "parzen1k_n50_test"
    assert record["floor"] > record["value"]  # real training pictures explain real test pictures better than noise does


# ---- path length -----------------------------------------------------------------------------------------------------
def test_path_length_does_not_depend_on_a_small_step():
    """Float32 bears the paper's step of 1e-4: rounding would move the value of a step ten times smaller."""
    model, cnn = ganzoo.load("dcgan/fashion-32"), features.extractor("fashion-cnn")
    values = {}
    for epsilon in (1e-5, 1e-4):
        first, second = path_length.path_features(model, cnn, 96, 0, epsilon)
        values[epsilon] = metrics.path_length(first, second, epsilon)[0]
    assert values[1e-5] == pytest.approx(values[1e-4], rel=0.1)
    (record,) = evaluation.evaluate(model, metrics=["ppl"], n=96)
    assert record["value"] == pytest.approx(values[1e-4], rel=1e-4)
    assert record["metric"] == "ppl96_fashion-cnn_none_test"


def test_paths_start_and_end_at_their_latents():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 5, 40)).astype(np.float32)
    for path in (path_length.lerp, path_length.slerp):
        np.testing.assert_allclose(path(a, b, 0.0), a, atol=1e-5)
        np.testing.assert_allclose(path(a, b, 1.0), b, atol=1e-5)
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b)]
    np.testing.assert_allclose(np.linalg.norm(path_length.slerp(*unit, 0.3), axis=1), 1, atol=1e-5)


# ---- what is asked for -----------------------------------------------------------------------------------------------
def test_samples_in_chunks_are_those_of_one_generate(clothes):
    drawn = pictures.generated(clothes, 300, seed=7)
    assert [len(batch) for batch in drawn] == [256, 44]
    np.testing.assert_array_equal(drawn.array(), clothes.generate(300, seed=7))


def test_a_bare_name_takes_the_presets_extractor_and_a_full_name_sets_all(clothes):
    (bare,) = evaluation.evaluate(clothes, metrics="diversity", n=20)
    assert bare["metric"] == "diversity20_fashion-cnn_none_test"
    (full,) = evaluation.evaluate(clothes, metrics=["diversity30_fashion-cnn_bicubic_test"])
    assert full["metric"] == "diversity30_fashion-cnn_bicubic_test"
    with pytest.raises(ganzoo.GanzooError, match="one sample count; received 30 and 20"):
        evaluation.evaluate(clothes, metrics=["diversity30_fashion-cnn_none_test"], n=20)


def test_other_data_take_the_tasks_metrics(clothes, painter):
    assert evaluation.selection.defaults(clothes, clothes.run_config.data)[0] == "fid_fashion-cnn"
    other = clothes.run_config.data.model_copy(update={"source": "lorelei_64"})
    assert evaluation.selection.defaults(clothes, other)[0] == "fid"
    other = painter.run_config.data.model_copy(update={"source": "fluent_edges_128"})
    assert evaluation.selection.defaults(painter, other)[0] == "l1"


def test_a_model_that_was_trained_on_is_named_by_its_live_weights(tmp_path):
    model = trained("gan", tmp_path, hidden=8, maxout_units=4)
    loaded = evaluation.records.weights_of(model)
    assert loaded[0] == model.weights_source
    assert re.fullmatch("[0-9a-f]{64}", loaded[1])
    model.fit(ganzoo.data.build(model.run_config.data, 4), steps_per_epoch=1, verbose=0)
    live = evaluation.records.weights_of(model)
    assert live[0] == f"memory:{live[1][:8]}"
    assert live[1] != loaded[1]


def test_a_model_made_by_its_class_is_measured_under_its_papers_name(tmp_path):
    model = ganzoo.load(ganzoo.save(GAN(hidden=8, maxout_units=4), tmp_path / "own"))
    (record,) = evaluation.evaluate(model, metrics=["parzen"], n=4)
    assert record["model"] == model.full_name == "gan"


def test_what_cannot_be_measured_is_refused(clothes, painter, tmp_path):
    with pytest.raises(ganzoo.GanzooError, match="random weights"):
        evaluation.evaluate(ganzoo.load("gan", weights=None, hidden=8, maxout_units=4))
    refusals = [
        (painter, {"metrics": ["l2"]}, 'no metric "l2"'),
        (painter, {"metrics": ["ppl"]}, 'no metric "ppl"'),
        (clothes, {"metrics": ["l1"]}, 'no metric "l1"'),
        (clothes, {"metrics": ["parzen10k"]}, 'no metric "parzen10k"'),
        (clothes, {"metrics": ["feature-distance"]}, 'no metric "feature-distance"'),
        (clothes, {"metrics": []}, "No metric was asked for"),
        (clothes, {"metrics": ["fid"], "n": 1}, "at least 2; received 1"),
        (clothes, {"metrics": ["fid"], "n": 0}, "at least 2; received 0"),
        (clothes, {"metrics": ["fid_vgg"]}, 'Unknown feature extractor "vgg"'),
        (clothes, {"metrics": ["fid"], "split": "val"}, 'no split "val"'),
        (clothes, {"metrics": ["linear-d-features"], "data": "emoji_64"}, "labelled"),
        (painter, {"metrics": ["ms-ssim5"], "n": 2}, "take 3 scales: ms-ssim3"),
    ]
    for model, options, sentence in refusals:
        with pytest.raises(ganzoo.GanzooError, match=sentence):
            evaluation.evaluate(model, **options)


def test_small_counts_say_what_they_do_to_fid():
    assert fid_bias(5000, 10_000, 1280) == ""
    assert "1/n" in fid_bias(4999, 10_000, 1280)
    assert "1,000 rows in 1,280 dimensions" in fid_bias(5000, 1000, 1280)


# ---- folders ---------------------------------------------------------------------------------------------------------
def write(folder, count, size=16, seed=0, channels=3):
    rng = np.random.default_rng(seed)
    for i in range(count):
        images.write_png(folder / f"{i:03d}.png", rng.integers(0, 256, (size, size, channels)).astype(np.uint8))
    return folder


def test_a_folder_against_a_folder(tmp_path):
    one, other = write(tmp_path / "a", 24), write(tmp_path / "b", 30, size=20, seed=1)
    wanted = ["fid_fashion-cnn_bilinear", "kid_fashion-cnn_bilinear"]
    fid, kid = evaluation.evaluate_folder(one, other, metrics=wanted, out=tmp_path / "r.jsonl")
    assert fid["metric"] == "fid24_fashion-cnn_bilinear_all"
    assert (fid["n"], fid["n_reference"], fid["model"]) == (24, 30, str(one))
    cnn = features.extractor("fashion-cnn", resize="bilinear")
    real, fake = (cnn.features(np.stack([images.read_image(p) for p in sorted(f.iterdir())])) for f in (other, one))
    with pytest.warns(metrics.SmallSample):
        assert fid["value"] == pytest.approx(metrics.frechet_distance(real, fake), rel=1e-6)
    assert "24 rows in 128 dimensions" in fid["note"]
    assert kid["std"] > 0
    assert len(metric_names.read(tmp_path / "r.jsonl")) == 2
    # The same pictures again are at no distance, and a folder may stand against a bundled set.
    (same,) = evaluation.evaluate_folder(one, one, metrics=["fid_fashion-cnn_bilinear"])
    assert same["value"] == pytest.approx(0, abs=1e-6)
    (bundled,) = evaluation.evaluate_folder(one, "fashion", metrics=["coverage_fashion-cnn_bilinear"])
    assert bundled["metric"] == "coverage24_fashion-cnn_bilinear_test"


def test_unlike_and_unreadable_pictures_are_said(tmp_path):
    folder = write(
        write(tmp_path / "a", 12).parent / "a", 6, size=24, channels=1
    )  # the first six become larger and gray
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    (record,) = evaluation.evaluate_folder(folder, folder, metrics=["diversity_fashion-cnn_bilinear"])
    assert record["n"] == 12
    assert "2 sizes" in record["note"]
    assert "24 x 24 gray (6)" in record["note"]
    assert "16 x 16 RGB (6)" in record["note"]
    assert "1 of the pictures left out" in record["note"]


@pytest.mark.parametrize(
    ("count", "options", "sentence"),
    [
        (0, {}, "no pictures"),
        (1, {}, "holds 1 picture"),
        (9, {"metrics": ["l1"]}, 'A folder of pictures has no metric "l1"'),
        (9, {"metrics": ["near-copies"]}, 'no metric "near-copies"'),
        (9, {"metrics": ["precision_fashion-cnn_bilinear"], "n": 2}, "precision|neighbour|rows"),
    ],
)
def test_folders_that_cannot_be_measured(tmp_path, count, options, sentence):
    (tmp_path / "a").mkdir()
    write(tmp_path / "a", count)
    with pytest.raises(ganzoo.GanzooError, match=sentence):
        evaluation.evaluate_folder(tmp_path / "a", write(tmp_path / "b", 9), **options)
    with pytest.raises(ganzoo.GanzooError, match=r"no folder or zip file|There is no data"):
        evaluation.evaluate_folder(tmp_path / "absent", tmp_path / "b")


def test_parzen_s_sigma_is_chosen_on_held_out_pictures():
    """The first 1,000 of `data.val_split`; without one the last of the training set."""
    model = zoo.build(presets.run_config("gan", {f"model.{key}": 8 for key in ("hidden", "maxout_units")}))
    config = model.run_config.data
    held = Subject(model, config.model_copy(update={"val_split": "train[9000:]"}), n=10, split="test", seed=0)
    assert len(held.held_out) == len(held.train) - 9_000
    assert held.held_out_rows(300).tolist() == list(range(300))
    np.testing.assert_array_equal(held.held_out.take(1)["image"][0], held.train.fetch(9_000, 28)[0])
    plain = Subject(model, config, n=10, split="test", seed=0)
    assert plain.held_out is plain.train
    assert plain.held_out_rows(1_000).tolist() == list(range(len(plain.train) - 1_000, len(plain.train)))
