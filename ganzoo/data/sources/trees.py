"""A folder or a zip file as a flat list of relative names with `read(name)`; nothing is ever unpacked to disk."""

import os
import posixpath
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

from ganzoo.errors import GanzooError
from ganzoo.files import MAX_FILES, is_hidden, kind_of, names_below, shown
from ganzoo.media.images import MAX_BYTES, ImageError, read_file

MAX_RATIO = 1000  # a picture shrinks hardly in a zip; what unpacks to a thousand times its size is a bomb


class Tree:
    """`label` for sentences, `names` sorted ("train/A/1.png"), `hidden` names that are left out, `read(name)` -> bytes."""

    label: str
    names: list[str]
    hidden: list[str]

    def read(self, name: str) -> bytes:
        raise NotImplementedError

    def inside(self, path: str) -> str:
        """An absolute path as a name of this tree, where it can be one; others as they are."""
        return path

    def _keep(self, names: Iterable[str]) -> None:
        names = sorted(names)
        self.names = [name for name in names if not is_hidden(name)]
        self.hidden = [name for name in names if is_hidden(name)]


class FolderTree(Tree):
    """All files below a folder; links are followed, but none back to a folder around it."""

    def __init__(self, path: Path):
        self.label, self.root = shown(path), path
        self._keep(names_below(path))

    def read(self, name: str) -> bytes:
        return read_file(self.root / name, shown(name))

    def inside(self, path: str) -> str:
        for root in (os.path.abspath(self.root), os.path.realpath(self.root)) if path.startswith("/") else ():
            if path.startswith(root.rstrip("/") + "/"):
                return path[len(root.rstrip("/")) + 1 :]
        return path


class ZipTree(Tree):
    """The members of a zip file, read in memory: member names are labels only, so none can leave a folder."""

    def __init__(self, path: Path):
        self.label = shown(path)
        try:
            self.file = zipfile.ZipFile(path)
            members = [i for i in self.file.infolist() if not i.is_dir()]
        except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
            raise GanzooError(f"Cannot read the zip file {self.label}: {error}.") from error
        if len(members) > MAX_FILES:
            raise GanzooError(f"{self.label} holds {len(members):,} files; at most {MAX_FILES:,} are read.")
        self.members = {plain(i.filename): i for i in members}
        self._keep(self.members)

    def inside(self, path: str) -> str:
        return path.lstrip("/")

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
    kind = kind_of(path)
    if kind == "folder":
        return FolderTree(path)
    # A pipe or a device is not even opened: it could block for ever.
    if kind == "file" and (zipfile.is_zipfile(path) or path.suffix.lower() == ".zip"):
        return ZipTree(path)
    raise GanzooError(f"{shown(path)} is neither a folder nor a zip file.")


def plain(name: str) -> str:
    """A zip member's name with "/" between its parts, without those that are "." or nothing."""
    return "/".join(part for part in name.replace("\\", "/").split("/") if part not in ("", "."))


def same(name: str) -> str:
    """What two spellings of one name have in common: Unicode writes an accented letter in one character or in two."""
    return unicodedata.normalize("NFC", name)


class Finder:
    """Finds the file that somebody's way of writing its name means."""

    def __init__(self, tree: Tree):
        self.tree, self.names = tree, set(tree.names)
        # The last of several names that differ in nothing else would be a guess.
        self.loose: dict[str, str | None] = {}
        for name in tree.names:
            key = same(name).casefold()
            self.loose[key] = None if key in self.loose else name

    def find(self, folder: str, name: str) -> str | None:
        """The tree's name of the file that `name`, in a list that lies in `folder`, stands for; None if there is none.

        Backslashes are slashes, "." and ".." are followed, the name may also start at the data's own folder or be an
        absolute path inside it, and letters may have other Unicode forms or another case where that leaves no choice.
        """
        for written in (name, name.strip().replace("\\", "/")):
            inner = self.tree.inside(posixpath.normpath(written))
            for base in (folder, "") if inner == posixpath.normpath(written) else ("",):
                path = posixpath.normpath(posixpath.join(base, inner))
                found = path if path in self.names else self.loose.get(same(path).casefold())
                if found:
                    return found
        return None
