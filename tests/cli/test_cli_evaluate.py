"""`ganzoo evaluate` as it is typed: what it prints, writes and returns, and how bad input ends."""

import json

import pytest
from support.cli_runs import process, refused, run

from ganzoo import presets
from ganzoo.cli import evaluate
from ganzoo.presets import metric_names

pytest_plugins = ("support.cli_fixtures",)

CNN = "fashion-cnn_bilinear"


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANZOO_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def test_a_run_is_measured_and_compared(dcgan, tmp_path):
    """One process of its own: nothing but the table on standard output, nothing but progress on standard error."""
    out, sheet = tmp_path / "a.jsonl", tmp_path / "near.png"
    metrics = f"kid_{CNN},near-copies_{CNN}"
    done = process("evaluate", dcgan[0], "--metrics", metrics, "-n", 9, "--anchors", "-o", out, "--sheet", sheet)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "WARNING" not in done.stderr
    table = done.stdout.splitlines()
    assert table[0].startswith("dcgan/fashion-32 against ")
    assert table[1].split() == ["metric", "value", "std", "floor", "ceiling"]
    assert f"kid9_{CNN}_test" in done.stdout
    assert "mean and std of 100 subsets of 4." in done.stdout  # half of the 8 reference pictures
    kid, copies = metric_names.read(out)
    assert {"floor", "ceiling", "std", "full"} <= set(kid)
    assert copies["metric"] == f"near-copies9_{CNN}_test"
    assert sheet.read_bytes().startswith(b"\x89PNG")

    run("evaluate", dcgan[0], "--metrics", f"kid_{CNN}", "-n", 9, "--seed", 1, "-o", tmp_path / "b.jsonl")
    sentence = run("evaluate", "--compare", out, tmp_path / "b.jsonl").stdout
    assert sentence.startswith(f"kid9_{CNN}_test: dcgan/fashion-32")
    (found,) = json.loads(run("evaluate", "--compare", out, out, "--json").stdout)[:1]
    assert found["first"] == found["second"] == kid["value"]
    run("evaluate", dcgan[0], "--metrics", f"kid_{CNN}", "-n", 8, "-o", tmp_path / "c.jsonl")
    assert "n 9 and 8" in refused("evaluate", "--compare", out, tmp_path / "c.jsonl")


def test_pairs_and_json(pix2pix):
    found = json.loads(run("evaluate", pix2pix, "--metrics", "l1,l1-copy", "--json").stdout)
    assert [r["metric"] for r in found] == ["l1_n8_test", "l1-copy_n8_test"]
    assert found[0]["data_sha256"] == found[1]["data_sha256"]


def test_a_folder_against_a_folder(pictures):
    test, train = pictures / "pics" / "test", pictures / "pics" / "train"
    printed = run("evaluate", test, "--against", train, "--metrics", f"fid_{CNN},diversity_{CNN}").stdout
    assert f"fid8_{CNN}_all" in printed
    assert "8 samples" in printed  # and what that does to an FID
    assert "floor" not in printed


def test_floor_and_ceiling_of_the_card_stand_beside_an_equal_measurement(monkeypatch):
    file = presets.read("gan")
    preset = file.presets["fashion-28"]
    facts = {"n_reference": 9, "data_sha256": "0" * 64, "extractor_sha256": "1" * 64}
    result = presets.Result(metric="fid9_a_b_test", value=1.0, source="measured", floor=0.5, ceiling=7.0, **facts)
    changed = file.model_copy(update={"presets": {"fashion-28": preset.model_copy(update={"results": (result,)})}})
    monkeypatch.setattr(presets, "read", lambda name: changed)
    record = {"model": "gan/fashion-28", "metric": "fid9_a_b_test", **facts}
    assert evaluate.published(record) == {"floor": 0.5, "ceiling": 7.0}
    assert evaluate.published(record | {"data_sha256": "2" * 64}) == {}
    assert evaluate.published(record | {"metric": "fid8_a_b_test"}) == {}
    assert evaluate.published(record | {"model": "some/folder"}) == {}


def test_all_means_every_shipped_preset():
    assert evaluate.shipped() == [
        f"{name}/{key}" for name in presets.list_models() for key, p in presets.read(name).presets.items() if p.weights
    ]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "Say one thing to do"),
        (["gan", "--all"], "Say one thing to do"),
        (["gan", "--metrics", "fdi"], 'no metric "fdi". Did you mean "fid"?'),
        (["gan", "--metrics", ""], "no metric"),
        (["gan", "--sheet", "a.jpg"], "The sheet is one PNG"),
        (["--all", "--sheet", "a.png"], "The sheet is one PNG of one model"),
        (["a", "--against", "b", "--anchors"], "--against compares a folder"),
        (["absent/", "--against", "b/"], "no folder or zip file absent/"),
        (["gna"], "no model"),
        (["--compare", "absent.jsonl", "b.jsonl"], "Cannot read absent.jsonl"),
    ],
)
def test_bad_input_is_one_sentence(words, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert sentence in refused("evaluate", *words)


def test_an_empty_folder_and_one_picture(pictures, tmp_path):
    test = pictures / "pics" / "test"
    (tmp_path / "one").mkdir()
    assert "no pictures" in refused("evaluate", tmp_path / "one", "--against", test)
    (tmp_path / "one" / "a.png").write_bytes((test / "0.png").read_bytes())
    assert "holds 1 picture" in refused("evaluate", tmp_path / "one", "--against", test)


@pytest.mark.parametrize(
    "words", [["evaluate", "--help"], ["evaluate", "--compare", "a", "b"], ["evaluate", "x", "--metrics", "y"]]
)
def test_needs_no_tensorflow_to_refuse(words, monkeypatch):
    monkeypatch.setattr(evaluate, "load_tensorflow", lambda seed: pytest.fail("TensorFlow was loaded"))
    run(*words, code=0 if "--help" in words else 2)
