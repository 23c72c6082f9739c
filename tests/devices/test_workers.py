"""Two real worker processes, MultiWorkerMirroredStrategy over loopback, through the command line."""

import json

import numpy as np
import yaml
from jsonschema import Draft202012Validator
from support import cluster

from ganzoo import presets, training, weights

# A pool's histories first: each worker shows its own images, both know the state of both, and each takes its own back.
WORKER = """
import hashlib, json, sys
from ganzoo.devices.quiet import load_tensorflow
load_tensorflow(devices=False)
import numpy as np, tensorflow as tf
from ganzoo import cli, layers
from ganzoo.devices import strategies, workers
from ganzoo.training import loop

strategy = strategies.choose("multi-worker")
rank = strategy.cluster_resolver.task_id
said = {"rank": rank, "chief": workers.is_chief(strategy)}
said["from_chief"] = [workers.from_chief(strategy, text).decode() for text in (b"chief" * rank + b"12345", b"" if rank else b"x", b"")]

with strategy.scope():
    pool = layers.ImagePool(2)
    pool.build((None, 1))
strategy.run(lambda: pool(tf.fill([1, 1], 1.0 + rank), tf.zeros([1]), tf.zeros([1], tf.int32)))
state = pool.state()
said["pool"] = {key: np.array(value).ravel().tolist() for key, value in state.items()}
for number, value in enumerate(state.values()):
    value.assign(np.full(value.shape, 10 + number, value.dtype))
said["assigned"] = {key: np.array(value).ravel().tolist() for key, value in pool.state().items()}

fit = loop.fit
def watched(run, *arguments, **options):
    result = fit(run, *arguments, **options)
    arrays = {key: np.array(value) for key, value in sorted(run.model.state().items())}
    said["weights"] = hashlib.sha256(b"".join(array.tobytes() for array in arrays.values())).hexdigest()
    return result
loop.fit = watched
config, out = sys.argv[1:]
assert cli.app(["train", config, "-o", out, "--strategy", "multi-worker", "--json"], standalone_mode=False) == 0
print(json.dumps(said))
"""


def test_two_worker_processes_train_as_one_process_does(tmp_path, run_of):
    """Equal weights on both, equal to one process to 1e-6 after 32 steps, averages and synchronised batch norm included;
    the chief alone writes, and its log holds what one process logs."""
    changes = {"train__steps": 32, "train__log_every": 8, "train__sample_every": 0, "train__checkpoint_every": 16}
    config = run_of("dcgan", train__precision="float32", train__sync_batch_norm=True, model__ema_decay=0.5, **changes)
    config = presets.run_config(config, {f"train.{player}.epsilon": 1e-4 for player in ("g_optimizer", "d_optimizer")})
    file = tmp_path / "my.toml"
    file.write_text(presets.config_toml(config))
    out = tmp_path / "two"
    printed = cluster.run(WORKER, 2, str(file), str(out))
    first, second = (json.loads(text.splitlines()[-1]) for text in printed)

    assert [first["rank"], first["chief"], second["rank"], second["chief"]] == [0, True, 1, False]
    assert first["from_chief"] == second["from_chief"] == ["12345", "x", ""]
    pools = {
        "image_pool/images": [1, 0],
        "image_pool/images#2": [2, 0],
        "image_pool/count": [1],
        "image_pool/count#2": [1],
    }
    assert first["pool"] == second["pool"] == pools
    assert first["assigned"] == second["assigned"]
    assert list(first["assigned"].values()) == [[10, 10], [11, 11], [12], [13]]

    assert first["weights"] == second["weights"]
    assert printed[1].count("\n") == 1, "a worker that is not the chief reports nothing"
    training.train(config, out=tmp_path / "one", strategy="one")
    one, two = (weights.read(path / "checkpoints/step-00000032.safetensors")[0] for path in (tmp_path / "one", out))
    start = weights.read(tmp_path / "one/checkpoints/step-00000016.safetensors")[0]
    assert one.keys() == two.keys()
    assert max(np.abs(one[key] - start[key]).max() for key in one if key.startswith("generator/")) > 1e-4
    for key, value in one.items():
        np.testing.assert_allclose(two[key], value, atol=1e-6, rtol=0, err_msg=key)
    logs = [
        [json.loads(line) for line in (path / "log.jsonl").read_text().splitlines()] for path in (tmp_path / "one", out)
    ]
    for alone, both in zip(*logs, strict=True):
        assert alone["step"] == both["step"]
        for key in ("d_loss", "g_loss", "fooled"):
            np.testing.assert_allclose(both[key], alone[key], atol=2e-6, err_msg=f"{key} is the mean over both workers")


def test_the_kubernetes_manifest_is_a_tfjob_and_its_command_is_one(pytestconfig):
    import shlex

    import typer

    from ganzoo import cli

    root = pytestconfig.rootpath
    schema = json.loads((root / "tests/schemas/tfjob.json").read_text())
    manifest = yaml.safe_load((root / "export/tfjob.yaml").read_text())
    assert [error.message for error in Draft202012Validator(schema).iter_errors(manifest)] == []
    worker = manifest["spec"]["tfReplicaSpecs"]["Worker"]
    (script,) = worker["template"]["spec"]["containers"][0]["args"]
    words = shlex.split(script.partition("exec ganzoo ")[2].replace("$resume", "--resume"))
    command = typer.main.get_command(cli.app).commands[words[0]]
    options = command.make_context("ganzoo", words[1:], resilient_parsing=False).params
    assert (options["strategy"], options["resume"]) == ("multi-worker", True)
    (batch,) = (int(s.partition("=")[2]) for s in options["settings"] if s.startswith("train.batch_size="))
    assert batch % worker["replicas"] == 0
    for path, value in (("kind", "TFJobs"), ("spec", {"tfReplicaSpecs": {"Workers": worker}})):
        assert list(Draft202012Validator(schema).iter_errors(manifest | {path: value})), f"{path} is checked"
