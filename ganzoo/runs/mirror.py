"""A run folder at an fsspec URL (`s3://`, `gs://`, `file://`, ...): a local folder, copied there after every save.

What a URL's own package is (`s3fs`, `gcsfs`), fsspec says where it is missing. A run that goes on fetches the folder first.
"""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ganzoo.errors import GanzooError


def is_url(out: str | Path) -> bool:
    """Whether a run folder is a URL. A Path never is: it has lost one of the two slashes."""
    return "://" in str(out)


def holds_run(out: str | Path) -> bool:
    """Whether a run has begun in this folder or at this URL."""
    if not is_url(out):
        return (Path(out) / "config.toml").is_file()
    files, root = _opened(str(out))
    return files.exists(f"{root}/config.toml")


def _opened(url: str):
    """(file system, path on it). Raises GanzooError: its package is missing, or there is no such protocol."""
    import fsspec  # tensorflow-datasets brings it

    try:
        return fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise GanzooError(f"The run folder {url} cannot be opened: {error}") from None


class Mirror:
    """Copies what changed in `folder` to `url`, and what is gone from it is removed there.

    Raises:
        GanzooError: the package of the URL's protocol is missing, or there is no such protocol.
    """

    def __init__(self, url: str, folder: Path):
        self.files, self.root = _opened(url)
        self.folder = folder
        self.sent: dict[str, int] = {}

    def fetch(self) -> None:
        """The folder as it is at the URL; nothing, if there is nothing."""
        for path in self.files.find(self.root):
            name = path.removeprefix(self.root).lstrip("/")
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            self.files.get_file(path, str(self.folder / name))
        self.sent = self._here()

    def push(self) -> None:
        """Makes the URL hold what the folder holds."""
        here = self._here()
        for name in sorted(here, key=here.__getitem__):  # a checkpoint before the rows that were written after it
            if self.sent.get(name) != here[name]:
                self.files.makedirs(f"{self.root}/{name}".rpartition("/")[0], exist_ok=True)
                self.files.put_file(str(self.folder / name), f"{self.root}/{name}")
        for name in self.sent.keys() - here.keys():
            self.files.rm_file(f"{self.root}/{name}")
        self.sent = here

    def _here(self) -> dict[str, int]:
        """When each file was written, by its name in the folder; temporary files begin with a dot."""
        files = [p for p in self.folder.rglob("*") if p.is_file() and not p.name.startswith(".")]
        return {p.relative_to(self.folder).as_posix(): p.stat().st_mtime_ns for p in files}


@contextlib.contextmanager
def opened(out: str | Path) -> Iterator[tuple[Path, Mirror | None]]:
    """(local folder, what copies it): the folder itself and None, or of a URL a fetched scratch folder, which goes at the end."""
    if not is_url(out):
        yield Path(out), None
        return
    with tempfile.TemporaryDirectory(prefix="ganzoo-") as scratch:
        mirror = Mirror(str(out), Path(scratch))
        mirror.fetch()
        yield Path(scratch), mirror
