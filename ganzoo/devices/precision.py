"""In which numbers a model computes: `train.precision`.

Weights, losses, penalties and last layers are float32 in every precision. bfloat16 has float32's range. float16 has not: its
losses are scaled, and a step whose gradients overflow is left out (`BaseGAN.compile`, `BaseGAN.gradients`).
"""

import contextlib
from pathlib import Path

import keras
import tensorflow as tf

from ganzoo.devices import machine

POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}
BFLOAT16_CPU = {"avx512_bf16", "amx_bf16"}  # flags of /proc/cpuinfo
BFLOAT16_GPU = (8, 0)  # compute capability of Ampere, the first with bfloat16


def computes_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the devices that a run uses compute bfloat16 themselves; a CPU without it is several times slower than in
    float32. `cpuinfo` is the file that lists the flags of the CPU."""
    if tf.config.list_physical_devices("TPU"):
        return True
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
        return all(detail.get("compute_capability", (0, 0)) >= BFLOAT16_GPU for detail in details)
    return not BFLOAT16_CPU.isdisjoint(machine.processor_flags(cpuinfo))


def resolve(name: str) -> tuple[str, str]:
    """(precision, sentence that says why) of "auto"; another name is obeyed and needs no sentence."""
    if name != "auto":
        return name, ""
    if computes_bfloat16():
        return "bfloat16", "Training in bfloat16, which this device computes (--precision float32 for full precision)."
    return (
        "float32",
        "Training in float32: this device has no bfloat16 instructions and would be several times slower with it.",
    )


@contextlib.contextmanager
def policy(name: str):
    """Models that are built inside compute in the named precision."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(POLICIES[name])
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
