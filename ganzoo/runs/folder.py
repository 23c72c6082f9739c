"""The folder of a run: whether one can begin or go on there, what a kill left behind, and whether it is still there."""

import os
import re
from pathlib import Path

from ganzoo.errors import GanzooError
from ganzoo.runs import lock

# What lies there before the first checkpoint; a run that was killed so early is begun again.
FIRST = "step-00000000.safetensors"
BEFORE = {lock.FILE, "config.toml", "data.json", "began.json", "checkpoints"}
# Files that a run writes under a temporary name first (`ganzoo.files.write_bytes`), by folder.
WRITTEN = {
    ".": r"config\.toml|(data|began|held_out)\.json|held_out\.png|(log|health|metrics|changes)\.jsonl|report\.html",
    "checkpoints": r"step-\d{8}\.safetensors",
    "checkpoints/best": r"step-\d{8}\.safetensors",
    "samples": r"\d{6,}\.png",
    "model": r"weights\.safetensors|config\.toml|manifest\.json",
    "model-best": r"weights\.safetensors|config\.toml|manifest\.json",
}


class Gone(RuntimeError):
    """The run folder was deleted or moved while the run was training."""


def has_checkpoint(out: Path) -> bool:
    """Whether a state was saved, whole or torn."""
    return bool(_checkpoints(out))


def _checkpoints(out: Path) -> list[Path]:
    return list((out / "checkpoints").glob("step-*.safetensors"))


def is_free(out: Path) -> bool:
    """Whether a run can begin there: nothing is, or what a run leaves that is killed before its first checkpoint."""
    if not out.is_dir():
        return True
    names = {path.name for path in out.iterdir() if not _is_torn(path, ".")}
    if "config.toml" in names:  # of a run it has data.json next to it; alone it is somebody's own
        return names <= BEFORE and "data.json" in names and not has_checkpoint(out)
    return names <= BEFORE and all(path.name == FIRST for path in _checkpoints(out))


def check(out: Path, resume: bool) -> None:
    """Raises GanzooError if no run can begin in the folder, or with `resume` go on."""
    if out.exists() and not out.is_dir():
        raise GanzooError(f"{out} is a file; the run needs a folder.")
    if resume and not (out / "config.toml").is_file():
        raise GanzooError(f"{out} contains no run to resume: it has no config.toml.")
    if not resume and not is_free(out):
        raise GanzooError(f"{out} is not empty. Continue that run with --resume, or choose another folder.")


def sweep(out: Path) -> None:
    """Removes the temporary files of writes that a kill cut off; nothing else, and nothing behind a link."""
    for place in WRITTEN:
        folder = out / place
        if folder.is_dir() and not folder.is_symlink():
            for path in folder.iterdir():
                if _is_torn(path, place):
                    path.unlink()


def _is_torn(path: Path, place: str) -> bool:
    found = re.fullmatch(rf"\.({WRITTEN[place]})\.\d+\.tmp", path.name)
    return bool(found) and path.is_file() and not path.is_symlink()


class Place:
    """A folder that must stay where it is while a run trains."""

    def __init__(self, out: Path):
        self.out, self.identity = out, _identity(out)

    def check(self) -> None:
        """Raises Gone if the folder is no longer the one that it was."""
        if _identity(self.out) != self.identity:
            raise Gone(
                f"The run folder {self.out} was deleted or moved while the run was training; nothing more is written."
            )


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
