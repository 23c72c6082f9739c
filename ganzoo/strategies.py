"""Which `tf.distribute` strategy a run uses."""

import functools

import tensorflow as tf

from ganzoo.errors import GanzooError, nearest

NAMES = ("auto", "one", "mirrored")


def choose(name: str = "auto") -> tf.distribute.Strategy:
    """One of "one" device, "mirrored" over all GPUs (or all logical CPUs without one), "auto": mirrored with several GPUs.

    Raises:
        GanzooError: another name.
    """
    gpus = tf.config.list_logical_devices("GPU")
    if name == "one" or (name == "auto" and len(gpus) < 2):
        return tf.distribute.get_strategy()
    if name in ("auto", "mirrored"):
        devices = gpus or tf.config.list_logical_devices("CPU")
        return _mirrored(tuple(device.name for device in devices))
    raise GanzooError(f'There is no strategy "{name}".{nearest(name, NAMES)}')


@functools.cache
def _mirrored(devices: tuple[str, ...]) -> tf.distribute.Strategy:
    """One for the process: a second one numbers its collective operations from the start again, and they clash."""
    # On CPUs the default, collective operations, deadlocks when there are fewer threads than operations that wait.
    on_cpus = all("CPU" in device for device in devices)
    return tf.distribute.MirroredStrategy(devices, tf.distribute.ReductionToOneDevice() if on_cpus else None)
