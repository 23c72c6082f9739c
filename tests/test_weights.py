"""Weights files: equal weights are equal bytes, nothing is matched by order, every damage is refused in a sentence."""

import hashlib
import os
import pickle

import keras
import numpy as np
import pytest
import safetensors.numpy

from ganzoo import files, weights
from ganzoo.errors import GanzooError

ARRAYS = {
    "generator/a/kernel": np.arange(6, dtype="float32").reshape(2, 3),
    "generator/b/kernel": -np.arange(6, dtype="float32").reshape(2, 3),
    "generator/norm/moving_variance": np.array([70000.0, 1e-9], "float32"),
    "step": np.int64(7) * np.ones((), "int64"),
}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "w.safetensors"
    weights.write(path, ARRAYS, metadata={"model": "gan/x"})
    return path


def variables(arrays=ARRAYS):
    return {key: keras.Variable(np.zeros_like(value), dtype=str(value.dtype)) for key, value in arrays.items()}


def test_what_is_written_is_read_back(file):
    found, sha = weights.read(file)
    assert sha == hashlib.sha256(file.read_bytes()).hexdigest()
    assert weights.read(file, sha)[1] == sha
    assert found.keys() == ARRAYS.keys()
    for key, value in ARRAYS.items():
        assert (found[key].dtype, found[key].shape) == (value.dtype, value.shape), "a scalar stays a scalar"
        np.testing.assert_array_equal(found[key], value)
    assert weights.metadata(file) == {"model": "gan/x"}


def test_equal_weights_are_equal_bytes(tmp_path, file):
    shuffled = dict(reversed(ARRAYS.items()))
    shas = {weights.write(tmp_path / f"{i}", shuffled, metadata={"model": "gan/x"}) for i in range(5)}
    assert shas == {weights.read(file)[1]}
    strided = {key: np.asfortranarray(value) if value.ndim == 2 else value for key, value in ARRAYS.items()}
    assert weights.write(tmp_path / "strided", strided, metadata={"model": "gan/x"}) in shas
    with pytest.raises(ValueError, match="one entry at most"):  # safetensors orders several at random
        weights.write(tmp_path / "two", ARRAYS, metadata={"a": "1", "b": "2"})


def test_half_precision_spares_statistics_and_counters(tmp_path):
    weights.write(tmp_path / "half", ARRAYS, dtype="float16")
    found, _ = weights.read(tmp_path / "half")
    assert found["generator/a/kernel"].dtype == np.float16
    assert found["generator/norm/moving_variance"].tolist() == ARRAYS["generator/norm/moving_variance"].tolist()
    weights.write(tmp_path / "exact", ARRAYS, dtype="float16", float32_keys="/a/ker")
    assert weights.read(tmp_path / "exact")[0]["generator/a/kernel"].dtype == np.float32
    assert found["step"].dtype == np.int64
    into = variables()
    weights.assign(into, found, "half")
    np.testing.assert_array_equal(into["generator/a/kernel"], ARRAYS["generator/a/kernel"])


def test_a_failed_write_leaves_the_old_file_and_no_litter(file, monkeypatch):
    before = file.read_bytes()

    def full_disk(source, target):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full_disk)
        with pytest.raises(OSError, match="No space"):
            files.write_bytes(file, b"new")
    assert file.read_bytes() == before
    assert os.listdir(file.parent) == [file.name]


# ---- damage ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("damage", ["edited", "truncated", "longer", "empty"])
def test_a_file_that_is_not_the_published_one_is_refused(damage, file):
    data, sha = bytearray(file.read_bytes()), weights.read(file)[1]
    if damage == "edited":
        data[-1] ^= 1
    data = {"truncated": data[:-9], "longer": data + b"\0", "empty": b""}.get(damage, data)
    file.write_bytes(data)
    with pytest.raises(GanzooError, match=r"is not the published one.*edited or truncated"):
        weights.read(file, sha)


@pytest.mark.parametrize("keep", [0, 4, 8, 20, -1])
def test_a_truncated_file_is_refused_without_a_hash_too(keep, file):
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(GanzooError, match="no whole safetensors file"):
        weights.read(file)


def test_other_formats_are_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    for data in (pickle.dumps({"a": 1}), b"PK\x03\x04" + b"\0" * 40, b"\xff" * 64):
        path.write_bytes(data)
        with pytest.raises(GanzooError, match="no whole safetensors file"):
            weights.read(path)


def test_a_missing_file_is_said_in_a_sentence(tmp_path):
    with pytest.raises(GanzooError, match=r"gone\.safetensors cannot be read: No such file"):
        weights.read(tmp_path / "gone.safetensors")
    with pytest.raises(GanzooError, match="cannot be read: it is not a regular file"):
        weights.read(tmp_path)


def test_an_empty_hash_is_no_hash(file):
    with pytest.raises(GanzooError, match="not the published one"):
        weights.read(file, "")


# ---- assign ----------------------------------------------------------------------------------------------------------
def test_arrays_go_to_their_names_in_any_order(file):
    """Trap 13: .weights.h5 is matched by order, and networks of equal shapes change places silently."""
    into = variables()
    weights.assign(into, dict(reversed(weights.read(file)[0].items())), "it")
    for key, value in ARRAYS.items():
        np.testing.assert_array_equal(into[key], value)


def test_a_misfit_is_a_diff_and_changes_nothing():
    into = variables()
    odd = {key: value for key, value in ARRAYS.items() if key != "step"}
    odd |= {"generator/a/kernel": np.ones((3, 2)), "critic/c": np.ones(4)}
    with pytest.raises(GanzooError) as error:
        weights.assign(into, odd, "w.safetensors")
    text = str(error.value)
    assert text.startswith("w.safetensors does not fit the model (3 differences;")
    assert text.splitlines()[1:] == [
        "  - step ()",
        "  + critic/c (4,)",
        "  ~ generator/a/kernel file (3, 2), model (2, 3)",
    ]
    assert not any(np.any(variable) for variable in into.values())


def test_a_long_diff_is_cut():
    many = {f"x/{i}": np.zeros(1) for i in range(40)}
    with pytest.raises(GanzooError) as error:
        weights.assign({}, many, "it")
    assert str(error.value).splitlines()[-1].strip() == "... and 28 more"
    assert len(str(error.value).splitlines()) == 14


def test_safetensors_of_others_are_read(tmp_path):
    path = tmp_path / "other.safetensors"
    safetensors.numpy.save_file({"a": np.ones(3, "float16")}, path)
    assert weights.read(path)[0]["a"].dtype == np.float16
    assert weights.metadata(path) == {}


def test_numbers_that_are_not_finite_are_named(tmp_path):
    arrays = {"generator/a": np.array([1.0, np.nan], "float32"), "generator/b": np.zeros(2, "float32")}
    variables = {key: keras.Variable(np.ones(2, "float32")) for key in arrays}
    with pytest.raises(GanzooError, match="not finite in 1 of its arrays, generator/a first"):
        weights.assign(variables, arrays, "it")
    assert all(np.all(np.array(variable) == 1) for variable in variables.values()), "all or none"
