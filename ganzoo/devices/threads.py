"""How a training shares the cores of a small machine out among its operations."""

import os

import tensorflow as tf

from ganzoo.devices.machine import cores

OF_THE_USER = "TF_NUM_INTRAOP_THREADS"  # TensorFlow reads it


def spread(side_by_side: int) -> bool:
    """One core for each operation, on a machine of at most `side_by_side` cores; returns whether it is so.

    TensorFlow divides each operation by the cores, and where two run at once both are divided: of small networks that costs
    more than it brings, of large ones it pays. On two cores a step of cyclegan/fluent2noto-64 takes 41 ms with one core an operation
    and 51 without, one of dcgan/lorelei-64 148 and 134: so a preset says which it is, `train.side_by_side`.
    Nothing where there is a GPU, where the user chose the number, or where TensorFlow has computed before.
    """
    own = tf.config.threading.get_intra_op_parallelism_threads() or OF_THE_USER in os.environ
    if cores() > side_by_side or own or tf.config.list_physical_devices("GPU"):
        return False
    try:
        tf.config.threading.set_intra_op_parallelism_threads(1)
    except RuntimeError:  # its threads are there already
        return False
    return True
