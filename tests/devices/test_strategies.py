"""Which strategy, from which words and which environment; and what is refused."""

import json
import os

import numpy as np
import pytest

from ganzoo import data, presets, training
from ganzoo.devices import strategies, workers
from ganzoo.errors import GanzooError


def config(workers_, index=0, kind="worker", **more):
    return json.dumps({"cluster": {"worker": workers_} | more, "task": {"type": kind, "index": index}})


def resolved(environment):
    found = strategies.cluster(environment)
    return found.cluster_spec().as_dict(), found.task_type, found.task_id


# ---- clusters --------------------------------------------------------------------------------------------------------
def test_tf_config_as_the_training_operator_writes_it():
    text = config(["w-0.ns.svc:2222", "w-1.ns.svc:2222"], 1)
    found = resolved({"TF_CONFIG": text[:-1] + ', "environment": "cloud"}'})
    assert found == ({"worker": ["w-0.ns.svc:2222", "w-1.ns.svc:2222"]}, "worker", 1)
    with_chief = config(["b:1"], 0, "chief", chief=["a:1"], evaluator=["c:1"])
    assert resolved({"TF_CONFIG": with_chief}) == ({"chief": ["a:1"], "worker": ["b:1"]}, "chief", 0)
    assert resolved({"TF_CONFIG": config(["a:1"], "0")})[2] == 0, "some launchers write the index as a string"
    assert strategies.cluster({}) is None


# The variables of `srun` in a job of three nodes, `--nodes=3 --ntasks=4 --distribution=block`, as a task of it sees them.
SLURM = {
    "SLURM_JOB_ID": "4711",
    "SLURM_JOB_NODELIST": "node[9-11]",
    "SLURM_JOB_NUM_NODES": "3",
    "SLURM_NTASKS": "4",
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NODELIST": "node[9-11]",
    "SLURM_STEP_NUM_NODES": "3",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_STEP_TASKS_PER_NODE": "2,1(x2)",
    "SLURM_TASKS_PER_NODE": "2,1(x2)",
    "SLURM_PROCID": "2",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "1",
    "SLURMD_NODENAME": "node10",
}


def test_slurm_gives_every_task_its_address(monkeypatch):
    """Ranks 0 and 1 are on node9, 2 on node10, 3 on node11; TensorFlow's own reader would sort node10 before node9."""
    for key, value in SLURM.items():
        monkeypatch.setenv(key, value)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    addresses = ["node9:14711", "node9:14712", "node10:14711", "node11:14711"]
    assert resolved(SLURM) == ({"worker": addresses}, "worker", 2)
    assert strategies.cluster(SLURM | {"SLURM_STEP_NUM_TASKS": "1"}) is None, "one task is not a cluster"
    cyclic = SLURM | {"SLURMD_NODENAME": "node11"}
    with pytest.raises(GanzooError, match="rank 2 runs on node11, not on node10: start with --distribution=block"):
        strategies.cluster(cyclic)


def test_slurm_shares_the_gpus_of_a_node_out(monkeypatch):
    gpus = SLURM | {"SLURM_GPUS_ON_NODE": "2", "SLURM_PROCID": "1", "SLURM_LOCALID": "1", "SLURMD_NODENAME": "node9"}
    for key, value in gpus.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    strategies.cluster(gpus)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "1"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")  # bound: a task sees its own GPU as number 0
    strategies.cluster(gpus | {"SLURM_GPUS_PER_TASK": "1"})
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"


# ---- refusals --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "TF_CONFIG is not JSON"),
        ("[]", 'TF_CONFIG has no "worker" list'),
        ('{"cluster": {"chief": ["a:1"]}}', 'TF_CONFIG has no "worker" list'),
        ('{"cluster": {"worker": []}}', 'TF_CONFIG has no "worker" list'),
        (config(["a:1"], 0, ps=["b:1"]), "Keras 3 has no parameter servers"),
        (config(["a:1"], 1), "is not one of its worker"),
        (config(["a:1"], 0, "evaluator"), "is not one of its worker"),
        ('{"cluster": {"worker": ["a:1"]}}', "is not one of its worker"),
    ],
)
def test_a_broken_tf_config_is_refused(text, sentence, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", text)
    for name in ("auto", "multi-worker"):
        with pytest.raises(GanzooError, match=sentence):
            strategies.choose(name)
    assert strategies.choose("one").num_replicas_in_sync == 1, "one device needs no cluster"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("parameter-server", "Keras 3 has no parameter servers"),
        ("ParameterServerStrategy", "Keras 3 has no parameter servers"),
        ("miror", 'There is no strategy "miror". Did you mean "mirrored"?'),
        ("multi-worker", "needs to know its workers"),
        ("tpu", "finds no TPU"),
    ],
)
def test_strategies_that_are_not_here(name, sentence, monkeypatch):
    for variable in ("TF_CONFIG", "TPU_NAME", "SLURM_STEP_NUM_TASKS"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(GanzooError) as error:
        strategies.choose(name)
    assert sentence in str(error.value)


def test_several_workers_come_before_anything_else(monkeypatch):
    """In this process TensorFlow runs already: the sentence says so, before it waits for a worker that never comes."""
    strategies.choose("one")  # starts the devices
    monkeypatch.setenv("TF_CONFIG", config(["127.0.0.1:1", "127.0.0.1:2"]))
    with pytest.raises(GanzooError, match="must be chosen before TensorFlow has run anything"):
        strategies.choose("multi-worker")


def test_one_worker_is_no_cluster(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", config(["127.0.0.1:1"]))
    assert strategies.choose("multi-worker").num_replicas_in_sync == 1
    assert not workers.several(strategies.choose("multi-worker"))


# ---- rows ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("changes", [{}, {"data.shape": "unpaired"}, {"data.shape": "voxels"}])
def test_the_workers_rows_are_the_global_batch(changes):
    """Two workers' rows of a step: without overlap, without loss, in order; over the end of an epoch too."""
    sources = {"unpaired": "emoji_64", "voxels": "furniture_voxels_32"}
    shape = changes.get("data.shape", "images")
    options = presets.run_config({"images": "gan", "unpaired": "cyclegan", "voxels": "3d-gan"}[shape]).data
    options = options.model_copy(update={"split": "test", "source": sources.get(shape, "fashion")})
    source = data.open_source(options)
    start = len(next(iter(source.sides.values())) if shape == "unpaired" else source) // 6
    parts = [slice(0, 3), slice(3, 6)]
    whole, first, second = (data.batches(source, 6, seed=3, start_step=start - 1, rows=r) for r in (None, *parts))
    for batch, one, two in zip(whole.take(3), first.take(3), second.take(3), strict=True):
        for column in batch:
            assert len(one[column]) == len(two[column]) == 3
            np.testing.assert_array_equal(np.concatenate([one[column], two[column]]), batch[column])


def test_positions_are_shared_out_without_overlap_or_loss():
    from ganzoo.data.pipeline import positions_of

    taken = [np.stack(list(positions_of(8, 2, 5, slice(4 * w, 4 * w + 4)).take(3).as_numpy_iterator())) for w in (0, 1)]
    assert taken[0].tolist() == [[21, 22, 23, 24], [29, 30, 31, 32], [37, 38, 39, 40]]
    assert not set(taken[0].ravel()) & set(taken[1].ravel())
    assert sorted(np.concatenate(taken).ravel()) == list(range(21, 45))


# ---- a run folder at a URL -------------------------------------------------------------------------------------------
def test_a_run_at_a_url_is_the_run_of_a_folder(tmp_path, run_of):
    """Trained to step 3 at a URL, resumed there to step 6: the files of a run that never saw a URL, and nothing rotated
    is left behind."""
    pace = {"train__checkpoint_every": 2, "train__sample_every": 0}
    url = f"file://{tmp_path}/far/run"
    training.train(run_of("gan", train__steps=3, **pace), out=url, strategy="one")
    assert {path.name for path in (tmp_path / "far/run/checkpoints").iterdir()} == {
        "step-00000002.safetensors", "step-00000003.safetensors",
    }  # fmt: skip
    result = training.train(run_of("gan", train__steps=6, **pace), out=url, resume=True, strategy="one")
    assert (result.run_dir, result.steps) == (url, 6)
    training.train(run_of("gan", train__steps=6, **pace), out=tmp_path / "near", strategy="one")
    for name in ("checkpoints/step-00000006.safetensors", "model/weights.safetensors"):
        assert (tmp_path / "far/run" / name).read_bytes() == (tmp_path / "near" / name).read_bytes(), name
    assert (tmp_path / "far/run/report.html").is_file()
    with pytest.raises(GanzooError, match="is not empty"):
        training.train(run_of("gan", train__steps=3, **pace), out=url, strategy="one")


def test_a_url_of_no_known_protocol_is_refused(run_of):
    with pytest.raises(GanzooError, match="The run folder nosuch://a/b cannot be opened"):
        training.train(run_of("gan", train__steps=3), out="nosuch://a/b", strategy="one")
