"""The web page that `ganzoo serve` shows and `ganzoo export --format web` writes: HTML, CSS and scripts, no build step."""

from pathlib import Path

FOLDER = Path(__file__).parent
BROWSER = FOLDER / "browser"  # scripts that join the others, or take their place, where no server answers


def files() -> list[Path]:
    """What a browser loads, by name."""
    return sorted(path for path in FOLDER.iterdir() if path.suffix in (".html", ".css", ".js", ".svg"))
