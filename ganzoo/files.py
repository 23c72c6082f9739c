"""Files: reading what strangers wrote, and writing so that a kill or a full disk leaves the old file or the new one, whole.

This is the one place that reads bytes, text, JSON, TOML and npz which somebody else wrote. Only regular files are read,
never a pipe or a device, and never more than a limit. Text is UTF-8, with or without a byte order mark. JSON and TOML may
nest MAX_DEPTH deep, and their whole numbers have at most 64 bits. Of an npz no array is made larger than its file says.
"""

import contextlib
import errno
import json
import math
import os
import re
import shutil
import stat
import tomllib
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ganzoo.errors import GanzooError, first_line

if TYPE_CHECKING:
    import numpy as np

MAX_BYTES = 512 * 2**20  # of one file
MAX_FILES = 5_000_000  # below one folder
MAX_REPEATS = 1_000  # folders below it that links lead into once more
HIDDEN = ("__macosx", "thumbs.db", "desktop.ini")
MAX_ARRAYS = 16 * 2**30  # of all arrays of one npz file
MAX_TEXT = 2**20  # of one TOML or small JSON file: thousands of lines
MAX_DEPTH = 100  # of lists and tables in each other; Python gives up at about 1,000
# A dotted TOML key of more parts than that takes seconds and ends as deep. Possessive, so that it takes linear time.
LONG_KEY = re.compile(r"""(?m)(?:^|[\[{,])[ \t]*+(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){100}""")
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # the disk, the user's quota, the largest file that is allowed


class FileError(GanzooError):
    """A file that cannot be read. `kind`: missing (also special or forbidden) or large."""

    def __init__(self, message: str, kind: str):
        super().__init__(message)
        self.kind = kind


class Malformed(GanzooError):
    """A text that is not JSON or TOML at all; not one that is, beyond the bounds."""


def shown(name: str | os.PathLike) -> str:
    """A file name as it can be printed and written: bytes that are no UTF-8 become question marks."""
    return str(name).encode("utf-8", "replace").decode("utf-8")


def given_path(text: str | os.PathLike) -> Path:
    """A path that somebody typed, with ~ and ~USER replaced. Raises GanzooError for a user that there is not."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise GanzooError(
            f"{shown(text)} names a user that this system does not know; write the whole path."
        ) from error


def real_path(path: str | os.PathLike) -> Path:
    """The absolute path without links, as far as there is one: of a link to itself its own. `Path.resolve()` would end there in
    other errors than OSError. Raises GanzooError for a name that no file can have."""
    try:
        return Path(os.path.realpath(path))
    except ValueError as error:  # a NUL character
        raise GanzooError(f"No file or folder can be called {shown(path)!r}.") from error


def kind_of(path: str | os.PathLike) -> str | None:
    """ "folder", "file", "special" (a pipe, a device, a socket), or None where nothing readable is: it never blocks."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):  # ValueError: a NUL character, or one that no file name can have
        return None
    return "folder" if stat.S_ISDIR(mode) else "file" if stat.S_ISREG(mode) else "special"


def names_below(folder: str | os.PathLike) -> list[str]:
    """Every file below a folder, as "sub/name". Links are followed, but none back to a folder around it.

    Raises:
        GanzooError: more files, or more folders reached again by links, than anybody's data have.
    """
    names, seen, repeats = [], set(), 0
    todo: list[tuple[str, frozenset[tuple[int, int]]]] = [("", frozenset())]
    while todo:
        base, around = todo.pop()
        inner, found, here = _listed(Path(folder) / base)
        if here is None or here in around:
            continue
        repeats += here in seen
        seen.add(here)
        names += [base + name for name in found]
        if len(names) > MAX_FILES or repeats > MAX_REPEATS:
            raise GanzooError(
                f"{shown(folder)} holds more than {MAX_FILES:,} files, or links lead into the same folders more than "
                f"{MAX_REPEATS:,} times: name a folder with less in it."
            )
        todo += [(f"{base}{name}/", around | {here}) for name in inner]
    return names


def is_hidden(name: str) -> bool:
    """Whether a part of "sub/name" begins with a dot, or is one that a system leaves behind."""
    return any(part.startswith(".") or part.lower() in HIDDEN for part in name.split("/"))


def _listed(folder: Path) -> tuple[list[str], list[str], tuple[int, int] | None]:
    """(names of its folders, names of its files, what tells it from other folders), or nothing of one that is closed."""
    inner: list[str] = []
    found: list[str] = []
    try:
        about = os.stat(folder)
        with os.scandir(folder) as entries:
            for entry in entries:
                (inner if _is_folder(entry) else found).append(entry.name)
    except OSError:
        return [], [], None
    return inner, found, (about.st_dev, about.st_ino)


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def read_bytes(path: str | os.PathLike, limit: int = MAX_BYTES, *, name: str | None = None) -> bytes:
    """All bytes of a regular file. `name` is what sentences call it, the path by default.

    Raises:
        FileError: missing, no regular file, or longer than `limit`.
    """
    name = shown(path if name is None else name)
    try:
        about = os.stat(path)
        if not stat.S_ISREG(about.st_mode):
            raise FileError(f"{name} is not a regular file.", "missing")
        if about.st_size > limit:
            raise FileError(f"{name} has {about.st_size:,} bytes; at most {limit:,} are read.", "large")
        with open(path, "rb", opener=_opened) as file:
            data = file.read(about.st_size + 1)  # not limit + 1: so much memory would be taken at once
            while len(data) <= limit and (
                more := file.read(2**20)
            ):  # it grew, or it is one of those that claim to be empty
                data += more
    except OSError as error:
        raise FileError(f"Cannot read {name}: {error.strerror or error}.", "missing") from error
    except ValueError as error:
        if isinstance(error, GanzooError):
            raise
        raise FileError(f"Cannot read {name}: no file has such a name.", "missing") from error
    if len(data) > limit:
        raise FileError(f"{name} has more than {limit:,} bytes; at most so many are read.", "large")
    return data


def _opened(path: str, flags: int) -> int:
    # A pipe that has just taken the file's place would block without a writer.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def decode_text(data: bytes, name: str) -> str:
    """Text of UTF-8 bytes, without their byte order mark. Raises GanzooError for other bytes."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise GanzooError(f"{name} is not UTF-8 text: {error.reason} at byte {error.start}.") from error


def read_text(path: str | os.PathLike, limit: int = MAX_TEXT, *, name: str | None = None) -> str:
    """The text of a regular file (`read_bytes`, `decode_text`)."""
    return decode_text(read_bytes(path, limit, name=name), shown(path if name is None else name))


def lines(text: str) -> list[str]:
    """Lines as every editor counts them: they end at a line feed, a carriage return or both. `str.splitlines` would also
    end them at U+2028, U+0085 and others, which JSON strings and sentences may hold."""
    return re.split(r"\r\n|\r|\n", text)


def parse_json(text: str | bytes, name: str) -> Any:
    """The value of a JSON text.

    Raises:
        GanzooError: no JSON (`Malformed`), deeper than MAX_DEPTH, or a whole number of more than 64 bits.
    """
    text = decode_text(text, name) if isinstance(text, bytes) else text
    try:
        return _bounded(json.loads(text), name)
    except RecursionError:
        raise _too_deep(name) from None
    except ValueError as error:
        raise error if isinstance(error, GanzooError) else Malformed(f"{name} is not JSON: {error}.") from error


def read_json(path: str | os.PathLike, limit: int = MAX_TEXT, *, name: str | None = None) -> Any:
    """The value of a JSON file (`read_text`, `parse_json`)."""
    return parse_json(read_text(path, limit, name=name), shown(path if name is None else name))


def parse_json_lines(text: str, name: str) -> list[Any]:
    """The value of each line of a text that is not empty (`parse_json`)."""
    return [parse_json(line, f"Line {n} of {name}") for n, line in enumerate(lines(text), start=1) if line.strip()]


def parse_toml(text: str | bytes, name: str) -> dict[str, Any]:
    """The table of a TOML text.

    Raises:
        GanzooError: no TOML (`Malformed`), deeper than MAX_DEPTH, or a whole number of more than 64 bits.
    """
    text = decode_text(text, name) if isinstance(text, bytes) else text
    if LONG_KEY.search(text):
        raise _too_deep(name)
    try:
        return _bounded(tomllib.loads(text), name)
    except RecursionError:
        raise _too_deep(name) from None
    except ValueError as error:
        if isinstance(error, GanzooError):
            raise
        raise Malformed(f"{name} cannot be read as TOML: {error}.") from error


def read_toml(path: str | os.PathLike, limit: int = MAX_TEXT, *, name: str | None = None) -> dict[str, Any]:
    """The table of a TOML file (`read_text`, `parse_toml`)."""
    return parse_toml(read_text(path, limit, name=name), shown(path if name is None else name))


def _bounded(value: Any, name: str) -> Any:
    level, depth = [value], 0
    while level:
        if any(isinstance(one, int) and not -(2**63) <= one < 2**64 for one in level):
            raise GanzooError(f"{name} holds a whole number of more than 64 bits.")
        holders = [one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list)]
        if holders and depth == MAX_DEPTH:
            raise _too_deep(name)
        level, depth = [inner for holder in holders for inner in holder], depth + 1
    return value


def _too_deep(name: str) -> GanzooError:
    return GanzooError(f"{name} nests more than {MAX_DEPTH} lists or tables in each other.")


def read_npz(
    file: str | os.PathLike | IO[bytes],
    name: str,
    *,
    choose: Callable[[list[str]], Iterable[str]] = list,
    limit: int = MAX_ARRAYS,
) -> "dict[str, np.ndarray]":
    """Arrays of an npz file (a path or a stream) by name: all of them, or those that `choose` takes from the names.

    Raises:
        GanzooError: missing, no regular file, no npz, truncated, an array of Python objects, or more than `limit` bytes of
            arrays, which are then not unpacked.
    """
    import numpy as np  # not needed to list models

    if isinstance(file, str | os.PathLike) and kind_of(file) != "file":
        raise FileError(f"{name} is not a regular file.", "missing")
    try:
        if not zipfile.is_zipfile(file):
            raise GanzooError(f"{name} cannot be read as npz: it is not a zip file.")
        with np.load(file, allow_pickle=False) as stored:
            arrays = {}
            for key in choose(stored.files):
                limit -= _claimed(stored, key, name, limit)
                arrays[key] = stored[key]
            return arrays
    except GanzooError:
        raise
    except Exception as error:  # zipfile, zlib and numpy fail in many ways on damaged files; each is a bad file
        if "allow_pickle" in str(error) or "Object arrays" in str(error):
            raise GanzooError(
                f"{name} is refused: it holds pickled Python objects, which may run any code. Save plain arrays: "
                "numpy.savez(path, **arrays)."
            ) from None
        why = first_line(error).rstrip(".")
        raise GanzooError(f"{name} cannot be read as npz: {why}.") from error


def _claimed(stored, key: str, name: str, limit: int) -> int:
    """Bytes of one array of an npz file by its header, which is read first: numpy makes room for as much as that claims."""
    import numpy as np

    form, member = np.lib.format, f"{key}.npy"
    with stored.zip.open(member) as stream:
        version = form.read_magic(stream)
        shape, _, dtype = (form.read_array_header_1_0 if version == (1, 0) else form.read_array_header_2_0)(stream)
    size = math.prod(shape) * dtype.itemsize
    if size > limit:
        raise GanzooError(f'"{key}" of {name} has {size:,} bytes; at most {limit:,} are read.')
    if size > stored.zip.getinfo(member).file_size:
        raise GanzooError(f'"{key}" of {name} is truncated: its header says that it has {size:,} bytes.')
    return size


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
