"""`ganzoo train --ray --workers N`: the workers of a run as a Ray Train job, on a Ray cluster or on this machine.

Ray starts the workers, tells each its TF_CONFIG, and when one is lost starts all again, `MAX_FAILURES` times; they then go
on from the last checkpoint in the run folder. Training itself is `ganzoo.train`, as everywhere.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from ganzoo import presets
from ganzoo.errors import GanzooError, missing_extra
from ganzoo.runs import mirror

MAX_FAILURES = 3


def train(
    config: str, *, out: str, workers: int, overrides: dict[str, Any], resume: bool = False, **options: Any
) -> dict[str, Any]:
    """Trains on `workers` Ray workers and returns the facts of the run's manifest (steps, seconds, stopped, ...).

    `options` are those of `ganzoo.train`: init, recipe, accept_changes.

    With RAY_ADDRESS, as in a job that was submitted to a cluster, the workers are that cluster's, and `out` must be a folder
    or URL that all of them reach; else Ray is started here for the time of the run.

    Raises:
        GanzooError: Ray is missing, bad options or data, or a batch that does not divide over the workers.
    """
    try:
        import fsspec
        import ray
        from ray.train import FailureConfig, RunConfig, ScalingConfig
        from ray.train.tensorflow import TensorflowTrainer
    except ModuleNotFoundError as error:
        raise missing_extra(error.name or "ray", "ray") from None
    size = presets.run_config(config, overrides).train.batch_size
    if size % workers:
        raise GanzooError(f"train.batch_size {size} does not divide over {workers} workers.")
    out = out if mirror.is_url(out) else str(Path(out).absolute())  # a worker starts in another folder
    config = str(Path(config).absolute()) if config.endswith(".toml") or Path(config).is_dir() else config
    if "RAY_ADDRESS" in os.environ:
        ray.init()
    else:
        cores = max(os.cpu_count() or 1, workers)
        ray.init(address="local", num_cpus=cores, include_dashboard=False, object_store_memory=100 * 2**20)
    storage, _, name = out.rpartition("/")
    try:
        gpus = ray.cluster_resources().get("GPU", 0) >= workers
        trainer = TensorflowTrainer(
            _worker,
            train_loop_config={"config": config, "out": out, "overrides": overrides, "resume": resume, **options},
            scaling_config=ScalingConfig(num_workers=workers, use_gpu=gpus),
            run_config=RunConfig(
                name=f"{name}-ray", storage_path=storage, failure_config=FailureConfig(max_failures=MAX_FAILURES)
            ),
        )
        trainer.fit()
    except ray.train.TrainingFailedError as failure:
        for found in getattr(failure, "worker_failures", {}).values():
            cause = getattr(found, "_base_exc", found)  # Ray wraps what a worker raised
            if isinstance(cause, GanzooError):
                raise cause from None
        raise
    finally:
        ray.shutdown()
        shutil.rmtree(f"{out}-ray", ignore_errors=True)  # Ray's own notes of the run
    with fsspec.open(f"{out}/model/manifest.json", "r") as manifest:
        return json.load(manifest)


def _worker(options: dict[str, Any]) -> None:
    """What each worker runs: at the first attempt a new run (or the one to resume), later the one that was begun."""
    from ganzoo import training

    out, begun = options["out"], mirror.holds_run(options["out"])
    if not begun and not mirror.is_url(out):  # of an attempt that was lost before its first step
        shutil.rmtree(Path(out) / "checkpoints", ignore_errors=True)
    training.train(**options | {"resume": begun}, strategy="multi-worker")
