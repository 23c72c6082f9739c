"""Which `tf.distribute` strategy a run uses: from a name, and from what a cluster's launcher left in the environment."""

import functools
import os
import re
from collections.abc import Mapping
from pathlib import Path

import tensorflow as tf

from ganzoo import files
from ganzoo.errors import GanzooError, first_line, nearest

NAMES = ("auto", "one", "mirrored", "multi-worker", "tpu")
FORM = '{"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}'
NO_SERVERS = "Keras 3 has no parameter servers: start workers only, with --strategy multi-worker."


def choose(name: str = "auto") -> tf.distribute.Strategy:
    """The strategy of a name.

    "one" device; "mirrored" over all GPUs (or all logical CPUs without one); "multi-worker": synchronous over the workers
    that TF_CONFIG or Slurm names; "tpu"; "auto": multi-worker in such a cluster, mirrored with several GPUs, else one.
    Several workers must be chosen before TensorFlow has started its devices.

    Raises:
        GanzooError: another name, no cluster or TPU where one is asked for, or a cluster that cannot be read.
    """
    if re.fullmatch(r"ps|param(eter)?[-_ ]?servers?([-_ ]?strategy)?", name, re.IGNORECASE):
        raise GanzooError(NO_SERVERS)
    if name not in NAMES:
        raise GanzooError(f'There is no strategy "{name}".{nearest(name, NAMES)}')
    if name == "tpu":
        return _tpu()
    resolver = cluster() if name in ("auto", "multi-worker") else None
    if resolver is not None and resolver.cluster_spec().num_tasks("worker") + _chiefs(resolver) > 1:
        return _multi_worker()
    if name == "multi-worker" and resolver is None:
        raise GanzooError(
            "--strategy multi-worker needs to know its workers: start it in a Slurm step (srun), with --ray --workers N, or "
            f"with TF_CONFIG set as {FORM}."
        )
    if name != "mirrored" and not tf.config.list_physical_devices("GPU"):
        return tf.distribute.get_strategy()  # and no device is started: how many threads it has is still to be chosen
    gpus = tf.config.list_logical_devices("GPU")
    if name == "one" or (name != "mirrored" and len(gpus) < 2):
        return tf.distribute.get_strategy()
    devices = gpus or tf.config.list_logical_devices("CPU")
    return _mirrored(tuple(device.name for device in devices))


def cluster(environment: Mapping[str, str] = os.environ) -> tf.distribute.cluster_resolver.ClusterResolver | None:
    """The workers of this run and which of them this process is, from TF_CONFIG or the step variables of Slurm.

    Raises:
        GanzooError: TF_CONFIG is not JSON of the known form, or names parameter servers; Slurm's ranks do not follow its nodes.
    """
    if "TF_CONFIG" in environment:
        tasks, kind, index = _read(environment["TF_CONFIG"])
    elif int(environment.get("SLURM_STEP_NUM_TASKS", 1)) > 1:
        tasks, kind, index = {"worker": _slurm_workers(environment)}, "worker", int(environment["SLURM_PROCID"])
    else:
        return None
    return tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec(tasks), task_type=kind, task_id=index, rpc_layer="grpc"
    )


def _read(text: str) -> tuple[dict[str, list[str]], str, int]:
    """(addresses by job, own job, own index) of a TF_CONFIG, as TensorFlow and Kubernetes' training operator write it."""
    try:
        config = files.parse_json(text, "TF_CONFIG")
    except GanzooError as error:
        raise GanzooError(f"{str(error).rstrip('.')}; it has the form {FORM}.") from None
    tasks = config.get("cluster") if isinstance(config, dict) else None
    if isinstance(tasks, dict) and "ps" in tasks:
        raise GanzooError(f"TF_CONFIG names parameter servers. {NO_SERVERS}")
    if not isinstance(tasks, dict) or not isinstance(tasks.get("worker"), list) or not tasks["worker"]:
        raise GanzooError(f'TF_CONFIG has no "worker" list; it has the form {FORM}.')
    tasks = {job: tasks[job] for job in ("chief", "worker") if job in tasks}
    task = config.get("task")
    kind, index = (task.get("type"), task.get("index")) if isinstance(task, dict) else (None, None)
    index = int(index) if isinstance(index, str) and index.isdecimal() else index
    if (
        not isinstance(kind, str)
        or kind not in tasks
        or not isinstance(index, int)
        or not 0 <= index < len(tasks[kind])
    ):
        raise GanzooError(
            f'The "task" of TF_CONFIG, {task}, is not one of its {" and ".join(tasks)}: it has the form {FORM}.'
        )
    return tasks, kind, index


def _slurm_workers(environment: Mapping[str, str]) -> list[str]:
    """host:port of the tasks of a Slurm step in the order of their ranks; tasks of one node get their share of its GPUs."""
    tasks, rank = int(environment["SLURM_STEP_NUM_TASKS"]), int(environment["SLURM_PROCID"])
    resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
        port_base=10_000 + int(environment.get("SLURM_JOB_ID", 0)) % 20_000,  # two jobs may share a node
        # Its GPUs are shared out below: it cannot count to none, and it sorts node10 before node9 and mixes them up.
        gpus_per_node=tasks, gpus_per_task=1, auto_set_gpu=False,
    )  # fmt: skip

    def by_number(address: str):
        return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", address)]

    workers = sorted(resolver.cluster_spec().as_dict()["worker"], key=by_number)  # Slurm's ranks follow the numbers
    hosts = [address.rpartition(":")[0] for address in workers]
    host = environment.get("SLURMD_NODENAME", hosts[rank])
    if host != hosts[rank]:
        raise GanzooError(f"Slurm's rank {rank} runs on {host}, not on {hosts[rank]}: start with --distribution=block.")
    share = int(environment.get("SLURM_GPUS_ON_NODE", 0)) // hosts.count(host)
    if share and "SLURM_GPUS_PER_TASK" not in environment:  # with it Slurm itself shows each task its own only
        first = share * int(environment["SLURM_LOCALID"])
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, range(first, first + share)))
    return workers


def _chiefs(resolver) -> int:
    return len(resolver.cluster_spec().as_dict().get("chief", ()))


@functools.cache
def _multi_worker() -> tf.distribute.Strategy:
    """One for the process. It waits until all workers have come."""
    try:
        return tf.distribute.MultiWorkerMirroredStrategy(cluster())
    except RuntimeError as error:
        if "program startup" not in str(error):
            raise
        raise GanzooError(
            "Several workers must be chosen before TensorFlow has run anything in this process: call ganzoo.train first."
        ) from None


def _tpu() -> tf.distribute.Strategy:
    if "TPU_NAME" not in os.environ and not Path("/dev/accel0").exists() and not Path("/dev/vfio").exists():
        raise GanzooError("--strategy tpu finds no TPU: neither TPU_NAME nor a local device says where it is.")
    try:
        return tf.distribute.TPUStrategy(tf.distribute.cluster_resolver.TPUClusterResolver.connect())
    except (ValueError, tf.errors.OpError) as error:
        raise GanzooError(f"--strategy tpu cannot reach a TPU: {first_line(error)}") from None


@functools.cache
def _mirrored(devices: tuple[str, ...]) -> tf.distribute.Strategy:
    """One for the process: a second one numbers its collective operations from the start again, and they clash."""
    # On CPUs the default, collective operations, deadlocks when there are fewer threads than operations that wait.
    on_cpus = all("CPU" in device for device in devices)
    return tf.distribute.MirroredStrategy(devices, tf.distribute.ReductionToOneDevice() if on_cpus else None)
