"""Names that hold the whole protocol, and comparisons that are refused where protocols differ."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganzoo import presets
from ganzoo.errors import GanzooError
from ganzoo.presets import metric_names
from ganzoo.presets.metric_names import (
    FEATURE_METRICS,
    OTHER_METRICS,
    Protocol,
    compare,
    compare_all,
    parse,
    parse_stem,
)

words = st.from_regex(r"[a-z]{1,8}(-[a-z0-9]{1,6}){0,2}", fullmatch=True)
splits = st.from_regex(r"[a-z+]{1,8}(_[a-z]{1,4})?", fullmatch=True)
feature_protocols = st.builds(
    Protocol, st.sampled_from(sorted(FEATURE_METRICS)), st.integers(1, 10**6), words, words, splits
)
other_protocols = st.builds(
    Protocol, st.sampled_from(["l1", "psnr", "ms-ssim5", "parzen10k", "linear-d-features", "l1-copy"]),
    st.integers(1, 10**6), st.none(), st.none(), splits,
)  # fmt: skip


@given(st.one_of(feature_protocols, other_protocols))
def test_a_name_reads_back(protocol):
    assert parse(str(protocol)) == protocol


@pytest.mark.parametrize(
    ("name", "protocol"),
    [
        ("fid5k_efficientnet-lite0_lanczos_test", Protocol("fid", 5000, "efficientnet-lite0", "lanczos", "test")),
        ("kid50k_inception-v3-fid_bicubic_train", Protocol("kid", 50_000, "inception-v3-fid", "bicubic", "train")),
        ("fid145_fashion-cnn_none_train+novel", Protocol("fid", 145, "fashion-cnn", "none", "train+novel")),
        ("l1_n800_test", Protocol("l1", 800, None, None, "test")),
        ("ms-ssim5_n800_test", Protocol("ms-ssim5", 800, None, None, "test")),
        ("parzen10k_n1000_test", Protocol("parzen10k", 1000, None, None, "test")),
        ("linear-d-features_n10000_test", Protocol("linear-d-features", 10_000, None, None, "test")),
        ("fooled_train", Protocol("fooled", None, None, None, "train")),
    ],
)
def test_names_of_the_contract(name, protocol):
    assert parse(name) == protocol
    assert str(protocol) == name


def test_a_count_has_one_spelling():
    assert str(parse("fid5000_efficientnet-lite0_lanczos_test")) == "fid5k_efficientnet-lite0_lanczos_test"
    assert str(Protocol("fid", 1500, "a", "b", "test")) == "fid1500_a_b_test"


@pytest.mark.parametrize(
    "name", ["fid", "fid_test", "fid5k", "fid0_a_b_test", "fid5k_a_b", "fid5k__b_test", "l1_", "", "_"]
)
def test_what_is_no_protocol_is_refused(name):
    with pytest.raises(GanzooError, match="no protocol name"):
        parse(name)


def test_stems_leave_open_what_a_preset_knows():
    assert parse_stem("fid") == Protocol("fid", None, None, None, "")
    assert parse_stem("fid10k") == Protocol("fid", 10_000, None, None, "")
    assert parse_stem("kid_fashion-cnn") == Protocol("kid", None, "fashion-cnn", None, "")
    assert parse_stem(" l1 ") == Protocol("l1", None, None, None, "")
    assert parse_stem("parzen10k") == Protocol("parzen10k", None, None, None, "")
    for name in ("fid5k_efficientnet-lite0_lanczos_test", "l1_n800_test", "ms-ssim5_n8_test"):
        assert parse_stem(name) == parse(name)


@pytest.mark.parametrize(
    ("stem", "sentence"),
    [
        ("fdi", 'no metric "fdi". Did you mean "fid"?'),
        ("l2", 'no metric "l2"'),
        ("l1_efficientnet-lite0", "takes no extractor"),
        ("fid__lanczos", "is empty"),
        ("", "no metric"),
    ],
)
def test_unknown_stems_are_refused(stem, sentence):
    with pytest.raises(GanzooError) as refusal:
        parse_stem(stem)
    assert sentence in str(refusal.value)


def test_every_shipped_result_and_stem_is_a_protocol():
    for name in presets.list_models():
        for preset in presets.read(name).presets.values():
            for result in preset.results:
                assert str(parse(result.metric)) == result.metric
            assert not preset.weights or preset.eval.metrics
    with pytest.raises(GanzooError, match=r'x\.toml: metrics: There is no metric "fdi"'):
        presets.validate(presets.EvalConfig, {"metrics": ["fdi"]}, "x.toml")


def test_better_sides():
    sides = {str(p): p.better for p in map(parse, ["fid5k_a_b_test", "is5k_a_b_test", "l1_n8_test", "ms-ssim5_n8_test",
             "parzen10k_n8_test", "near-copies9_a_b_test", "fooled_train", "mine_n3_test"])}  # fmt: skip
    assert [*sides.values()] == ["lower", "higher", "lower", "higher", "higher", "", "", ""]
    assert set({**FEATURE_METRICS, **OTHER_METRICS}.values()) == {"lower", "higher", ""}


def record(metric="kid1k_a_b_test", value=1.0, **facts):
    return {"metric": metric, "value": value, "model": "x/y", "n_reference": 9, "data_sha256": "0" * 64} | facts


def test_the_better_one_is_named():
    found = compare(record("fid1k_a_b_test", 3.0, model="p/a"), record("fid1k_a_b_test", 2.0, model="p/b"))
    assert (found.better, found.within_error) == ("second", False)
    assert found.sentence == "fid1k_a_b_test: p/a 3, p/b 2: p/b is better (lower)."
    assert compare(record("is1k_a_b_test", 3.0), record("is1k_a_b_test", 2.0)).better == "first"
    assert compare(record("diversity1k_a_b_test", 3.0), record("diversity1k_a_b_test", 2.0)).better == ""
    assert "equal" in compare(record(), record()).sentence


def test_a_difference_within_kids_error_is_none():
    near, far = record(value=0.10, std=0.03), record(value=0.16, std=0.04)
    assert compare(near, far).better == "first"  # 0.06 > hypot(0.03, 0.04) = 0.05
    close = compare(near, record(value=0.14, std=0.04))
    assert close.within_error
    assert close.better == ""
    assert "within the error of 0.05" in close.sentence


def test_models_of_one_name_are_told_apart_by_their_weights():
    one, other = record(value=1.0, weights="bundled:aa"), record(value=2.0, weights="run:bb")
    assert "x/y (bundled:aa) is better" in compare(one, other).sentence
    assert "x/y (first) is better" in compare(record(value=1.0), record(value=2.0)).sentence


@pytest.mark.parametrize(
    ("second", "said"),
    [
        (record("kid5k_a_b_test"), "n 1000 and 5000"),
        (record("kid1k_c_b_test"), "extractor a and c"),
        (record("kid1k_a_c_test"), "resize b and c"),
        (record("kid1k_a_b_train"), "split test and train"),
        (record("fid1k_a_b_test"), "metric kid and fid"),
        (record("kid_n1000_test"), "extractor a and none"),
        (record(n_reference=10), "size of the reference 9 and 10"),
        (record(data_sha256="1" * 64), "reference data 00000000 and 11111111"),
        (record(extractor_sha256="2" * 64), "extractor's weights none and 22222222"),
    ],
)
def test_unlike_measurements_are_refused_with_the_difference(second, said):
    with pytest.raises(GanzooError, match="cannot be compared") as refusal:
        compare(record(), second)
    assert said in str(refusal.value)


def test_pictures_of_another_size_are_said_not_refused():
    found = compare(record(value=1.0, pictures="28 px"), record(value=2.0, pictures="32 px"))
    assert "28 px and 32 px" in found.sentence


def test_two_lists_meet_at_their_common_protocols():
    first = [record(value=1.0), record("l1_n8_test", 1.0), record(value=5.0)]
    found = compare_all(first, [record(value=2.0), record("psnr_n8_test", 1.0)])
    assert [(c.metric, c.first, c.second) for c in found] == [("kid1k_a_b_test", 5.0, 2.0)]  # the last one counts
    with pytest.raises(GanzooError, match="n 1000 and 5000"):
        compare_all([record("l1_n8_test"), record()], [record("kid5k_a_b_test")])
    with pytest.raises(GanzooError, match="contains no record"):
        compare_all([], [record()])


def test_lines_are_appended_whole_by_many_writers(tmp_path):
    path = tmp_path / "sub" / "results.jsonl"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: metric_names.append(path, [record(value=float(i), note="é" * 3000)] * 3), range(16)))
    found = metric_names.read(path)
    assert sorted(r["value"] for r in found) == sorted(float(i) for i in range(16) for _ in range(3))
    path.write_bytes(path.read_bytes()[:-10])  # a writer was killed in its last line
    torn = path.read_bytes().count(b"\n")
    metric_names.append(path, [record()])
    assert path.read_bytes().count(b"\n") == torn + 2
    assert json.loads(path.read_bytes().splitlines()[-1]) == record()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no record"),
        ("x\n", "a.jsonl is not JSON"),
        ("[" * 10**5, "nests more"),
        ("1" * 5000, "is not JSON"),
        (f'{{"metric": "l1", "value": {10**30}}}', "64 bits"),
        ('{"metric": "l1_n8_test", "value": NaN}', "no results"),
        ('{"metric": "l1_n8_test", "value": 1, "std": "x"}', "no finite number"),
        ('{"a": 1}\n', "no results"),
    ],
)
def test_files_without_results_are_refused(tmp_path, text, said):
    (tmp_path / "a.jsonl").write_text(text)
    with pytest.raises(GanzooError, match=said):
        metric_names.read(tmp_path / "a.jsonl")
    with pytest.raises(GanzooError, match="Cannot read"):
        metric_names.read(tmp_path / "absent.jsonl")


def test_a_json_list_reads_too(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps([record(), record(value=2.0)], indent=1))
    assert [r["value"] for r in metric_names.read(tmp_path / "a.json")] == [1.0, 2.0]


def test_protocols_need_no_numpy():
    code = "import sys, ganzoo.presets.metric_names; print('numpy' in sys.modules or 'tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "False"
