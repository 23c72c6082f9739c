"""The training state on disk: whole, exact, never torn, never NaN."""

import logging

import numpy as np
import pytest
import tiny

from ganzoo import weights, zoo
from ganzoo.base.guard import NotFinite
from ganzoo.errors import GanzooError
from ganzoo.runs import checkpoint


def fill(model, number, step):
    for variable in model.training_state().values():
        variable.assign(np.full(variable.shape, number, variable.dtype))
    model.step.assign(step)


@pytest.fixture(scope="module")
def model():
    """Shared: every test sets the whole state first."""
    return tiny.build("gan")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_all_of_the_state_comes_back(model, tmp_path):
    """Trap 10: the slots of both optimizers, their counters, the average and the step are part of it."""
    rng = np.random.default_rng(0)
    for variable in model.training_state().values():
        variable.assign(rng.integers(1, 100, variable.shape).astype(variable.dtype))
    model.step.assign(12)
    expected = {key: np.array(v) for key, v in model.training_state().items()}
    path = checkpoint.save(model, tmp_path / "c")
    assert path.name == "step-00000012.safetensors"
    other = tiny.build("gan", seed=5)
    assert checkpoint.restore(other, tmp_path / "c") == 12
    found = {key: np.array(v) for key, v in other.training_state().items()}
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert (found[key].dtype, found[key].shape, found[key].tobytes()) == (
            value.dtype,
            value.shape,
            value.tobytes(),
        ), key


def test_equal_states_are_equal_bytes(model, tmp_path):
    fill(model, 3, 4)
    first, second = checkpoint.save(model, tmp_path / "a"), checkpoint.save(model, tmp_path / "b")
    assert first.read_bytes() == second.read_bytes()


def test_only_the_newest_are_kept(model, tmp_path):
    for step in (9, 10, 11, 100):
        fill(model, 1, step)
        checkpoint.save(model, tmp_path, keep=2)
    assert names(tmp_path) == ["step-00000011.safetensors", "step-00000100.safetensors"]
    assert checkpoint.restore(model, tmp_path) == 100


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-7], lambda data: data[:5], lambda data: b"", lambda data: b"\0" * 99]
)
def test_a_torn_file_falls_back_to_the_one_before(damage, model, tmp_path, caplog):
    for step in (3, 6):
        fill(model, step, step)
        newest = checkpoint.save(model, tmp_path)
    newest.write_bytes(damage(newest.read_bytes()))
    fill(model, 0, 0)
    with caplog.at_level(logging.WARNING):
        assert checkpoint.restore(model, tmp_path) == 3
    assert np.all(np.array(model.generator.weights[0]) == 3)
    assert f"{newest} is not a whole safetensors file" in caplog.text
    assert "Taking the checkpoint before it" in caplog.text


def test_nothing_whole_is_none(model, tmp_path):
    assert checkpoint.restore(model, tmp_path / "nowhere") is None
    fill(model, 1, 1)
    checkpoint.save(model, tmp_path).write_bytes(b"torn")
    assert checkpoint.restore(model, tmp_path) is None
    (tmp_path / ".step-00000009.safetensors.1.tmp").write_bytes(b"half a write")
    assert checkpoint.restore(model, tmp_path) is None


def test_a_checkpoint_of_another_model_is_a_diff(model, tmp_path):
    fill(model, 1, 1)
    checkpoint.save(model, tmp_path)
    other = tiny.build("gan", hidden=13)
    before = np.array(other.generator.weights[0])
    with pytest.raises(GanzooError, match=r"~ generator/hidden1/kernel file \(5, 12\), model \(5, 13\)"):
        checkpoint.restore(other, tmp_path)
    np.testing.assert_array_equal(other.generator.weights[0], before)


@pytest.mark.parametrize("where", ["generator/pixels/bias", "momentum"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_state_that_is_not_finite_never_replaces_a_good_one(where, value, model, tmp_path):
    fill(model, 1, 1)
    checkpoint.save(model, tmp_path, keep=1)
    fill(model, 2, 2)
    state = model.training_state()
    variable = state[next(key for key in state if where in key)]
    variable.assign(np.full(variable.shape, value))
    with pytest.raises(NotFinite, match=f"{where}.* is not finite at step 2"):
        checkpoint.save(model, tmp_path, keep=1)
    assert names(tmp_path) == ["step-00000001.safetensors"]


def test_weights_alone_are_no_checkpoint(model, tmp_path):
    arrays, _ = weights.read(zoo.save(model, tmp_path / "m") / "weights.safetensors")
    weights.write(tmp_path / "step-00000001.safetensors", arrays)
    with pytest.raises(GanzooError, match="- g_optimizer/"):
        checkpoint.restore(model, tmp_path)


def test_a_flipped_bit_anywhere_gives_the_checkpoint_before_it(model, tmp_path, caplog):
    """A number that changed on the disk is no other number to go on from: names, shapes, types and values are digested."""
    fill(model, 1, 1)
    checkpoint.save(model, tmp_path)
    fill(model, 2, 2)
    newest = checkpoint.save(model, tmp_path)
    state = {key: np.array(value) for key, value in model.training_state().items()}
    whole, rng = newest.read_bytes(), np.random.default_rng(0)
    for place in [*rng.integers(8, len(whole), 24).tolist(), len(whole) - 1]:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        newest.write_bytes(damaged)
        caplog.clear()
        if checkpoint.restore(model, tmp_path) == 2:  # of the header, where it changed no number
            assert place < 8 + int.from_bytes(whole[:8], "little")
            for key, value in state.items():
                np.testing.assert_array_equal(model.training_state()[key], value, err_msg=f"{key} at {place}")
        else:
            assert model.step.numpy() == 1
            assert "Taking the checkpoint before it" in caplog.text
    newest.write_bytes(whole)
    assert checkpoint.restore(model, tmp_path) == 2


def test_a_checkpoint_of_an_earlier_ganzoo_is_taken_as_it_is(model, tmp_path):
    fill(model, 1, 1)
    path = checkpoint.save(model, tmp_path)
    arrays, _ = weights.read(path)
    weights.write(path, arrays, metadata={"model": "gan"})
    assert checkpoint.restore(model, tmp_path) == 1
