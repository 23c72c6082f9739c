"""`ganzoo new-paper`."""

import keyword
import re
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from ganzoo import presets
from ganzoo.errors import GanzooError

CLONE = Path(__file__).resolve().parents[2]
TINY = re.compile(r'^    "(?P<name>[^"]+)": \{.*\},$')
LINE = '    "$NAME": {"image_size": 16, "channels": 1, "latent_dim": 6, "ngf": 4, "ndf": 3, "ema_decay": 0.5},\n'


def new_paper(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Of the paper, such as wgan-gp: letters, digits, hyphens.")
    ],
) -> None:
    """Begin a paper of your own in a clone of ganzoo: its three files, which train and pass its tests at once."""
    for path in write(name):
        print(path)
    print(
        f"Try it: ganzoo train {name} --steps 200 --out runs/{name}, then pytest --paper {name}. CONTRIBUTING.md says "
        "what to change first."
    )


def write(name: str, clone: Path = CLONE) -> list[Path]:
    """Writes the model file and the presets of a new paper and its line in the table of the harness; returns the paths.

    Raises:
        GanzooError: no name of a paper, one that is taken, or no clone.
    """
    templates, table = clone / "tools" / "new_paper", clone / "tests" / "tiny.py"
    if not (templates.is_dir() and table.is_file()):
        raise GanzooError(
            f"A new paper is written into a clone, and {clone} is none: git clone the repository, pip install -e it, and call "
            "ganzoo new-paper there."
        )
    names = {"NAME": name, "CLASS": "".join(part.capitalize() for part in name.split("-"))}
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name) or keyword.iskeyword(names["CLASS"]):
        raise GanzooError(
            f'The name of a paper is small letters and digits, with hyphens between, such as wgan-gp; received "{name}".'
        )
    module = name.replace("-", "_")
    code, options = clone / "ganzoo" / "models" / f"{module}.py", clone / "zoo_configs" / f"{name}.toml"
    if presets.is_paper(name) or code.exists() or options.exists():
        raise GanzooError(f'"{name}" is taken: ganzoo list shows which papers there are.')
    lines = table.read_text("utf-8").splitlines(keepends=True)
    start = lines.index("TINY = {\n") + 1
    place = next(i for i in range(start, len(lines)) if not (line := TINY.match(lines[i])) or line["name"] > name)
    lines.insert(place, Template(LINE).substitute(names))
    for path, template in ((code, "paper.py.txt"), (options, "paper.toml")):
        path.write_text(Template((templates / template).read_text("utf-8")).substitute(names), "utf-8")
    table.write_text("".join(lines), "utf-8")
    return [code, options, table]
