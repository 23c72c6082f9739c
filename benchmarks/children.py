"""A measurement in a process of its own, so that each has its own peak memory and none warms another's caches."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from ganzoo.devices import quiet


def measured(module: str, kind: str, request: dict, environment: Mapping[str, str] | None = None) -> dict:
    """The line of JSON that `python -m benchmarks.MODULE KIND REQUEST` ends with; {"error": its last words} if it failed.

    Args:
        environment: of the process; by default that of a quiet TensorFlow.
    """
    root = Path(__file__).resolve().parent.parent
    command = [sys.executable, "-m", f"benchmarks.{module}", kind, json.dumps(request)]
    environment = quiet.environment() if environment is None else environment
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, errors="replace")
    if done.returncode:
        words = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        return {"error": words[-1]}
    return json.loads(done.stdout.splitlines()[-1])
