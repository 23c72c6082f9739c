"""The zoo's TOML files: which papers and presets there are, by any spelling of their names."""

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path

from ganzoo import files
from ganzoo.errors import GanzooError, nearest
from ganzoo.presets.records import PaperFile, RunConfig, validate


# ---- the zoo's TOML files --------------------------------------------------------------------------------------------
def config_folder() -> Path:
    """The folder of the TOML files: `ganzoo/zoo_configs`, in a clone a link to `zoo_configs/` next to the package."""
    inside = Path(__file__).resolve().parents[1] / "zoo_configs"
    return inside if inside.is_dir() else inside.parents[1] / "zoo_configs"  # a checkout that cannot hold links


class _Files(Mapping[str, PaperFile]):
    """The papers by canonical name, each read when it is first asked for: to load a model takes one of them."""

    def __init__(self, folder: Path):
        tables = sorted((f for f in folder.iterdir() if f.name.endswith(".toml")), key=lambda f: f.name)
        self.tables = {f.name.removesuffix(".toml"): f for f in tables}
        self.known: dict[str, PaperFile] = {}

    def __getitem__(self, name: str) -> PaperFile:
        if name not in self.known:
            table = self.tables[name]
            self.known[name] = validate(PaperFile, files.read_toml(table), table.name)
        return self.known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.tables)

    def __len__(self) -> int:
        return len(self.tables)


@functools.cache
def _files() -> Mapping[str, PaperFile]:
    return _Files(config_folder())


def list_models(*, pretrained: bool = False) -> list[str]:
    """Canonical names of all papers in the zoo; with `pretrained` of those that `ganzoo.load(name)` brings trained."""
    return [name for name, file in _files().items() if not pretrained or next(iter(file.presets.values())).weights]


def list_presets(name: str) -> list[str]:
    """Preset names of a paper, the default first."""
    return list(_files()[find_paper(name)].presets)


def read(name: str) -> PaperFile:
    """Everything the TOML of a paper says."""
    return _files()[find_paper(name)]


def _plain(name: str) -> str:
    return "".join(c for c in name.casefold() if c not in "-_ ")


def _paper(name: str) -> str | None:
    """Canonical name of the paper of a name or alias, if there is one. Only for an alias all files are read."""
    plain, papers = _plain(str(name)), _files()
    if own := {_plain(paper): paper for paper in papers}.get(plain):
        return own
    return {_plain(alias): paper for paper, file in papers.items() for alias in file.paper.aliases}.get(plain)


def find_paper(name: str) -> str:
    """Canonical name; case, "-", "_" and spaces do not count, aliases do.

    Raises:
        GanzooError: no such paper; the sentence names the nearest.
    """
    found = _paper(name)
    if found is None:
        raise GanzooError(f'There is no model "{name}".{nearest(name, list_models())}{_elsewhere(str(name))}')
    return found


def _elsewhere(name: str) -> str:
    """What a person must know who is in a clone that has the paper, while the ganzoo that runs is another one."""
    here, own = Path.cwd() / "zoo_configs", config_folder()
    if (
        Path(name).name != name
        or not (here / f"{name}.toml").is_file()
        or files.real_path(here) == files.real_path(own)
    ):
        return ""
    return f" {here / name}.toml is not read: the ganzoo that runs is {Path(__file__).resolve().parents[1]}. Install this one: pip install -e ."


def is_paper(name: str) -> bool:
    """Whether `name` is a registered paper or an alias."""
    return _paper(name) is not None


def resolve(name: str, preset: str | None = None) -> tuple[str, str]:
    """(paper, preset) of "paper", "paper/preset", or of both given apart; the default preset if none is named."""
    paper, _, inline = str(name).partition("/")
    paper = find_paper(paper)
    if inline and preset and _plain(inline) != _plain(preset):
        raise GanzooError(f'"{name}" names the preset {inline} and preset= names {preset}: give one of them.')
    wanted, presets = inline or preset, list_presets(paper)
    if not wanted:
        return paper, presets[0]
    found = {_plain(p): p for p in presets}.get(_plain(wanted))
    if found is None:
        raise GanzooError(f'{paper} has no preset "{wanted}".{nearest(wanted, presets)}')
    return paper, found


def expects(config: RunConfig) -> str:
    """Which pictures a model takes, in words; "" if it takes none, or was trained on other data than its preset's."""
    preset = _files()[config.name].presets.get(config.preset) if config.name in _files() else None
    return preset.expects if preset is not None and preset.data.source == config.data.source else ""
