"""`ganzoo doctor env`: what a bug report must say of a machine, and what is missing here with the command that brings it."""

import importlib.metadata
import os
import platform
import re
import shutil
from pathlib import Path
from typing import Any

from ganzoo import __version__, replay

PACKAGES = ("tensorflow", "keras", "numpy", "pillow", "safetensors", "pydantic", "typer", "tensorflow-datasets")
FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16")
FAST = ("avx512_bf16", "amx_bf16")
SETTINGS = re.compile("^(GANZOO_|TF_|CUDA_|KERAS_|HF_|XLA_)")
PRIVATE = re.compile("KEY|TOKEN|SECRET|PASSWORD")
GIB = 2**30
NOT_OF_USERS = ("dev", "test", "bench")  # extras of people who change ganzoo


def describe() -> dict[str, Any]:
    """Versions, processor, precision, devices, memory, disk, settings of the environment, and the extras with what they miss.

    It starts TensorFlow, whose devices it asks for, and reads nothing but this machine. Values of settings whose name says
    that they are secret are left out.
    """
    from ganzoo.devices import precision
    from ganzoo.devices.machine import cores, processor_flags
    from ganzoo.metrics.features import cache

    machine = replay.machine()
    return {
        "ganzoo": __version__,
        "python": platform.python_version(),
        "versions": {name: version_of(name) or "missing" for name in PACKAGES},
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": machine["processor"],
        "cores": cores(),
        "flags": [flag for flag in FLAGS if flag in processor_flags()],
        "onednn": {"1": "on", "0": "off"}.get(machine["onednn"], "TensorFlow's own choice"),
        "devices": machine["devices"],
        "auto_precision": precision.resolve("auto")[0],
        "memory_gib": _gib(memory()),
        "disk_free_gib": {str(folder): _gib(free(folder)) for folder in dict.fromkeys([Path.cwd(), cache.folder()])},
        "settings": {
            name: "(set)" if PRIVATE.search(name) else value
            for name, value in sorted(os.environ.items())
            if SETTINGS.search(name)
        },
        "extras": extras(),
    }


def extras() -> dict[str, dict[str, Any]]:
    """Optional part of ganzoo -> its packages that are missing, and the command that brings them ("" if none is)."""
    found: dict[str, list[str]] = {}
    try:
        requirements = importlib.metadata.requires("ganzoo") or ()
    except importlib.metadata.PackageNotFoundError:  # a clone that is on the path and not installed
        return {}
    for requirement in requirements:
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", requirement)
        package = re.match(r"[A-Za-z0-9._-]+", requirement)
        if extra and package and extra[1] not in NOT_OF_USERS and _applies(requirement):
            found.setdefault(extra[1], []).append(package[0])
    missing = {extra: [name for name in names if version_of(name) is None] for extra, names in found.items()}
    return {
        extra: {"missing": names, "command": f"pip install 'ganzoo[{extra}]'" if names else ""}
        for extra, names in missing.items()
    }


def _applies(requirement: str) -> bool:
    """Whether a requirement with a marker of the platform is for this one."""
    wanted = re.search(r"sys_platform != ['\"](\w+)['\"]", requirement)
    return wanted is None or wanted[1] != {"Windows": "win32"}.get(platform.system(), "")


def version_of(package: str) -> str | None:
    """Its version, None if it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def memory(meminfo: Path = Path("/proc/meminfo")) -> int | None:
    """Bytes of memory that programs can still take; None where the system does not say."""
    text = meminfo.read_text("utf-8") if meminfo.is_file() else ""
    found = re.search(r"^MemAvailable:\s+(\d+) kB$", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def free(folder: Path) -> int:
    """Free bytes of the disk on which a folder is, or would be made."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _gib(count: int | None) -> float | None:
    return None if count is None else round(count / GIB, 1)


def text(found: dict[str, Any]) -> str:
    """The description for people, as they paste it into a report."""
    lines = []
    for key, value in found.items():
        name = key.replace("_gib", " (GiB)").replace("_", " ")
        if key == "extras":
            continue
        if isinstance(value, dict):
            lines += [f"{name}:", *(f"  {inner}: {what}" for inner, what in value.items())]
        else:
            lines.append(f"{name}: {', '.join(value) if isinstance(value, list) else value}")
    for extra, what in found["extras"].items():
        state = f"missing {', '.join(what['missing'])}: {what['command']}" if what["missing"] else "installed"
        lines.append(f"extra {extra}: {state}")
    if not set(found["flags"]) & set(FAST) and found["devices"] == "cpu":
        lines.append("Note: no bfloat16 instructions here: bfloat16 would be several times slower than float32.")
    return "\n".join(lines)
