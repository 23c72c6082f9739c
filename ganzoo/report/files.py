"""What the pages read and write: small TOML files, the page itself."""

from pathlib import Path
from typing import Any

from ganzoo import files
from ganzoo.errors import GanzooError


def write_page(path: str | Path, text: str) -> Path:
    """Writes `text` to `path` whole or not at all (temporary file, then rename). Folders are made."""
    files.write_bytes(path, text.encode())
    return Path(path)


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file; none of one that is missing or damaged."""
    try:
        return files.read_toml(path)
    except GanzooError:
        return {}
