"""What the pages read and write: small TOML files, the page itself."""

import tomllib
from pathlib import Path
from typing import Any

from ganzoo.files import write_bytes


def write_page(path: str | Path, text: str) -> Path:
    """Writes `text` to `path` whole or not at all (temporary file, then rename). Folders are made."""
    write_bytes(path, text.encode())
    return Path(path)


def read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
