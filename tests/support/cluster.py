"""Workers as real local processes, for the tests that need several."""

import json
import os
import subprocess
import sys
from pathlib import Path

import ganzoo
from benchmarks.scaling import addresses


def environment(**more: str) -> dict[str, str]:
    """For a child that imports this ganzoo; no cluster, unless `more` says so."""
    kept = {key: value for key, value in os.environ.items() if key != "TF_CONFIG"}
    return kept | {"PYTHONPATH": str(Path(ganzoo.__file__).parent.parent)} | more


def run(code: str, count: int, *arguments: str, timeout: float = 300) -> list[str]:
    """What `count` workers of one cluster print that run `code`; all of them end before this returns.

    Raises:
        AssertionError: a worker failed; with its last words.
    """
    tasks, children = addresses(count), []
    for index in range(count):
        config = {"cluster": {"worker": tasks}, "task": {"type": "worker", "index": index}}
        command, env = [sys.executable, "-c", code, *arguments], environment(TF_CONFIG=json.dumps(config))
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        children.append(subprocess.Popen(command, env=env, **pipes))
    try:
        said = [child.communicate(timeout=timeout) for child in children]
    finally:
        for child in children:
            child.kill()
    for child, (_, errors) in zip(children, said, strict=True):
        assert child.returncode == 0, errors[-3000:]
    return [out for out, _ in said]
