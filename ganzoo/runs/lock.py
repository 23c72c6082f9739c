"""One trainer a run folder: an advisory lock on its file `.lock`, which the system lets go when its holder dies."""

import contextlib
import fcntl
import json
import logging
import os
import socket
import stat
from pathlib import Path
from typing import TextIO

from ganzoo import files
from ganzoo.errors import GanzooError

FILE = ".lock"
log = logging.getLogger(__name__)


@contextlib.contextmanager
def held(folder: Path):
    """Holds the folder's lock while the body runs. Reading the folder needs none.

    Raises:
        GanzooError: another process holds it, whose id and host the sentence names; or `.lock` is a link or no file.
    """
    path = folder / FILE
    while True:
        file = _opened(path)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with file:
                file.seek(0)
                raise GanzooError(f"{folder} is in use: {_holder(file.read())} trains there.") from None
        except OSError as error:  # a network file system without locks
            log.warning("%s cannot be locked (%s): start no second run there.", folder, error.strerror)
        # Between open and lock its last holder may have ended and taken the file away; ours would then be nobody's.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.lstat()):
                break
        file.close()
    file.truncate(0)
    file.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
    file.flush()
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        file.close()


def _opened(path: Path) -> TextIO:
    """The lock file, made if there is none. A link is not followed: what it names would be emptied; nor is a pipe waited for."""
    try:
        number = os.open(
            path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666
        )
    except OSError as error:
        if path.is_symlink() or path.is_dir():
            raise GanzooError(f"{path} is a link or a folder, and no lock of a run: remove it.") from error
        raise
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise GanzooError(f"{path} is not a regular file, and no lock of a run: remove it.")
    return os.fdopen(number, "a+")


def _holder(text: str) -> str:
    try:
        found = files.parse_json(text, FILE)
        return f"process {found['pid']} on {found['host']}"
    except (ValueError, KeyError, TypeError):  # it has the lock, and has not written yet
        return "another process"
