"""TensorFlow without its start-up noise.

TF_CPP_MIN_LOG_LEVEL does not reach the lines that TensorFlow writes before its logger is set up ("All log messages
before absl::InitializeLog() ...", "oneDNN custom operations are on", "Could not find cuda drivers"): they go straight
to file descriptor 2. So that descriptor is kept aside during the import, and what is not known noise is written after it.
"""

import importlib
import importlib.machinery
import logging
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.abc import Loader
from typing import cast

NOISE = re.compile(
    r"^[IW]\d{4} "  # glog lines of level info and warning
    r"|^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: [IW] "  # the older TensorFlow format
    r"|^WARNING: All log messages before absl::InitializeLog"
    r"|^To enable the following instructions"
    r"|failed call to cuInit|Unable to register cu\w+ factory|computation placer already registered"
)
_HOLDING = threading.Lock()


def environment() -> dict[str, str]:
    """This process's environment for a process that imports TensorFlow; what the user set stays as it is.

    Its C++ log is off, and its oneDNN kernels are on: TensorFlow leaves them off on processors without AVX-512, where a
    step of stylegan-lite/lorelei-64 took 0.72 s without and 0.38 s with them.
    """
    return {"TF_CPP_MIN_LOG_LEVEL": "3", "GRPC_VERBOSITY": "ERROR", "TF_ENABLE_ONEDNN_OPTS": "1", **os.environ}


@contextmanager
def without_noise() -> Iterator[None]:
    """Holds file descriptor 2 back and afterwards writes on what is not start-up noise, also when the body raised."""
    try:
        kept = os.dup(2)
    except OSError:  # no standard error at all: nothing to hold back
        yield
        return
    with tempfile.TemporaryFile() as held:
        sys.stderr.flush()
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            held.seek(0)
            lines = held.read().decode("utf-8", "replace").splitlines(keepends=True)
            real = "".join(line for line in lines if not NOISE.search(line))
            if real.strip():
                os.write(2, real.encode())


@contextmanager
def imports() -> Iterator[None]:
    """In its body TensorFlow is imported quietly, if it is; nothing where it already was: who imported it has set it up.

    Descriptor 2 is held by one thread at a time. Another one does not wait: it may have the import that the first waits for.
    """
    if "tensorflow" in sys.modules or not _HOLDING.acquire(blocking=False):
        yield
        return
    os.environ.update(environment())
    try:
        with without_noise():
            yield
    finally:
        _HOLDING.release()
    if "tensorflow" in sys.modules:
        sys.modules["tensorflow"].get_logger().setLevel(logging.ERROR)
        importlib.import_module("absl.logging").set_verbosity("error")


class _Quietly:
    """A module's own loader, but for its body, which runs within `imports()`."""

    def __init__(self, loader):
        self.loader = loader

    def __getattr__(self, name):
        return getattr(self.loader, name)

    def exec_module(self, module) -> None:
        module.__loader__ = module.__spec__.loader = self.loader
        with imports():
            self.loader.exec_module(module)


class Finder:
    """Finds the modules of this package as Python does, for `sys.meta_path`: whichever of them a program imports first,
    `import ganzoo.zoo` or `from ganzoo.models import dcgan`, TensorFlow comes in quietly with it."""

    @staticmethod
    def find_spec(name: str, path=None, target=None):
        if not name.startswith("ganzoo.") or "tensorflow" in sys.modules or _HOLDING.locked():
            return None  # Python's own finder is asked next
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = cast("Loader", _Quietly(spec.loader))  # it is all that `__getattr__` hands on
        return spec


def load_tensorflow(seed: int = 0, *, devices: bool = True) -> None:
    """Imports TensorFlow and Keras quietly; errors still raise, and later errors still appear.

    `seed` fixes what is drawn without a seed of its own: the random weights of a network that has no others. Without
    `devices` they are not started yet: what follows may still join a cluster.
    """
    with imports():
        tensorflow = importlib.import_module("tensorflow")
        keras = importlib.import_module("keras")
    if devices:
        with without_noise():  # device set-up talks too, and would do so at the first operation
            tensorflow.config.list_logical_devices()
    keras.utils.set_random_seed(seed % 2**32)  # NumPy takes no more; what draws from a longer one says what it takes
