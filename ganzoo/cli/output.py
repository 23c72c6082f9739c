"""What the verbs print: results on standard output, everything else on standard error, JSON where it is asked for."""

import errno
import json
import os
import sys
from pathlib import Path
from typing import Any

from ganzoo.errors import GanzooError, printable

BAD_PATH = {
    errno.ENOENT,
    errno.EACCES,
    errno.EPERM,
    errno.EISDIR,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.EROFS,
    errno.ENAMETOOLONG,
    errno.ELOOP,
}


def report(value: Any, text: str, *, as_json: bool) -> None:
    """The result of a command on standard output: `value` as one JSON document, or `text` for people."""
    if as_json:
        print(json.dumps(value, indent=2, ensure_ascii=True, default=str, allow_nan=False))
    elif text:
        print(printable(text))


def console(*, stderr: bool = False):
    """A rich console; plain text where the stream is not a terminal (rich decides)."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, soft_wrap=not (sys.stderr if stderr else sys.stdout).isatty())


def os_sentence(error: OSError) -> tuple[str, int]:
    """An operating-system error as (sentence, exit code): 2 where the path that was given is at fault, else 1."""
    name = error.filename2 or error.filename
    reason = error.strerror or str(error) or type(error).__name__
    text = f'"{os.fsdecode(name)}": {reason}.' if isinstance(name, str | bytes | os.PathLike) else f"{reason}."
    if error.errno == errno.ENOSPC:
        return f"{text} Free some space or choose another place.", 1
    return text, 2 if error.errno in BAD_PATH else 1


def writable_file(path: Path) -> Path:
    """`path`, checked before the long work: it can become a regular file. Raises GanzooError with the reason if not."""
    if path.is_dir():
        raise GanzooError(f'"{path}" is a folder; give the name of a file.')
    if path.exists() and not path.is_file():
        raise GanzooError(f'"{path}" is a device or a pipe, not a file; it would be replaced.')
    writable_folder(path.parent)
    return path


def writable_folder(path: Path) -> Path:
    """`path`, checked before the long work: it is a folder, or can be made. Raises GanzooError with the reason if not."""
    nearest = path
    while not os.path.lexists(nearest) and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        raise GanzooError(f'"{nearest}" is not a folder, so nothing can be written at "{path}".')
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise GanzooError(f'No permission to write in "{nearest}".')
    return path
