"""One core for each operation where they are small and the cores few."""

import os
import subprocess
import sys

import pytest

from ganzoo.devices import threads

SAYS = """
import os, sys
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from ganzoo.devices.quiet import load_tensorflow
load_tensorflow(devices=False)
import tensorflow as tf
from ganzoo.devices import threads
if "computed" in sys.argv:
    tf.zeros(1)
print(threads.spread(2), tf.config.threading.get_intra_op_parallelism_threads())
"""


def said(*words: str, **variables: str) -> str:
    environment = {key: value for key, value in os.environ.items() if key != threads.OF_THE_USER} | variables
    command = [sys.executable, "-c", SAYS, *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs sched_setaffinity, which Linux has")
def test_operations_have_one_core_each_unless_the_user_chose_or_tensorflow_runs_already():
    assert said() == "True 1"
    assert said("computed") == "False 0"
    assert said(TF_NUM_INTRAOP_THREADS="3").startswith("False")


def test_where_there_are_more_cores_they_are_tensorflow_s(monkeypatch):
    monkeypatch.setattr(threads, "cores", lambda: 4)
    assert not threads.spread(2)
