"""Writing files so that a kill or a full disk leaves the old one or the new one, whole."""

import contextlib
import errno
import os
import shutil
from pathlib import Path

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # the disk, the user's quota, the largest file that is allowed


def write_bytes(path: str | Path, data: bytes) -> None:
    """Atomic: readers see the old file or the whole new one.

    Raises:
        OSError: no room; it names the file, how much it needs and how much is free.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with _room_for(path, len(data)), open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def append_line(path: str | Path, line: str) -> None:
    """Adds a line to a file of lines; where there is no room for it, the file stays as it was (OSError as `write_bytes`)."""
    path, data = Path(path), f"{line}\n".encode()
    before = path.stat().st_size if path.exists() else 0
    try:
        with _room_for(path, len(data)), path.open("ab", buffering=0) as file:
            # A disk with a little room takes a part of the line; only the next write says why.
            while data:
                data = data[file.write(data) :]
    except OSError:
        if path.exists():
            os.truncate(path, before)
        raise


@contextlib.contextmanager
def _room_for(path: Path, size: int):
    """Gives the system's word on a full disk the file and the numbers."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        free = shutil.disk_usage(path.parent).free
        text = f"{error.strerror} ({size:,} bytes to write, {free:,} free on its disk)"
        raise OSError(error.errno, text, str(path)) from error
