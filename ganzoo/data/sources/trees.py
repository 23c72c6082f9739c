"""A folder or a zip file as a flat list of relative names with `read(name)`; nothing is ever unpacked to disk."""

import os
import zipfile
import zlib
from pathlib import Path

from ganzoo.errors import GanzooError
from ganzoo.media.images import MAX_BYTES, ImageError, read_file

MAX_FILES = 5_000_000
MAX_RATIO = 1000  # a picture shrinks hardly in a zip; what unpacks to a thousand times its size is a bomb
HIDDEN = ("__macosx", "thumbs.db", "desktop.ini")


class Tree:
    """`label` for sentences, `names` sorted ("train/A/1.png"), `read(name)` -> bytes."""

    label: str
    names: list[str]

    def read(self, name: str) -> bytes:
        raise NotImplementedError


class FolderTree(Tree):
    """All files below a folder; links are followed, but no folder is entered twice."""

    def __init__(self, path: Path):
        self.label, self.root = str(path), path
        names, seen = [], set()
        for folder, inner, files in os.walk(path, followlinks=True):
            real = os.path.realpath(folder)
            if real in seen:
                inner.clear()
                continue
            seen.add(real)
            base = Path(folder).relative_to(path)
            names += [(base / file).as_posix() for file in files]
        self.names = _visible(names, self.label)

    def read(self, name: str) -> bytes:
        return read_file(self.root / name, shown(name))


class ZipTree(Tree):
    """The members of a zip file, read in memory: member names are labels only, so none can leave a folder."""

    def __init__(self, path: Path):
        self.label = str(path)
        try:
            self.file = zipfile.ZipFile(path)
            self.members = {i.filename.replace("\\", "/"): i for i in self.file.infolist() if not i.is_dir()}
        except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
            raise GanzooError(f"Cannot read the zip file {path}: {error}.") from error
        self.names = _visible(list(self.members), self.label)

    def read(self, name: str) -> bytes:
        member = self.members[name]
        if member.file_size > MAX_BYTES or member.file_size > MAX_RATIO * max(1, member.compress_size):
            raise ImageError(f"{shown(name)} is refused as a zip bomb: it claims {member.file_size} bytes.", "bomb")
        try:
            with self.file.open(member) as stream:
                return stream.read(MAX_BYTES)
        except (
            OSError,
            EOFError,
            RuntimeError,
            ValueError,
            NotImplementedError,
            zipfile.BadZipFile,
            zlib.error,
        ) as error:
            raise ImageError(
                f"Cannot unpack {shown(name)}: {error}.", "corrupt"
            ) from error  # RuntimeError: it has a password


def open_tree(path: Path) -> Tree:
    """The folder or zip file at `path`."""
    if path.is_dir():
        return FolderTree(path)
    if zipfile.is_zipfile(path) or path.suffix.lower() == ".zip":
        return ZipTree(path)
    raise GanzooError(f"{path} is neither a folder nor a zip file.")


def shown(name: str) -> str:
    """A file name as it can be printed and written: bytes that are no UTF-8 become question marks."""
    return name.encode("utf-8", "replace").decode("utf-8")


def _visible(names: list[str], label: str) -> list[str]:
    if len(names) > MAX_FILES:
        raise GanzooError(f"{label} holds {len(names)} files; at most {MAX_FILES} are read.")
    return sorted(n for n in names if not any(p.startswith(".") or p.lower() in HIDDEN for p in n.split("/")))
