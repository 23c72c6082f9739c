"""The house rules that can be parsed: import layers, the three places of a paper, what may be imported at all."""

import ast
import configparser
import graphlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
import tiny

import ganzoo
from ganzoo import presets, registry

PACKAGE = Path(ganzoo.__file__).parent
REPO = PACKAGE.parent
# design: lower never imports higher. A new module or folder of the package enters here, once.
ROWS = {
    1: "errors files page registry losses penalties augment schedules presets weights devices layers media",
    2: "base",
    3: "models data metrics runs sampling client",
    4: "zoo explore report",
    5: "training evaluation doctor importers exporting serving demo",
    6: "cli __main__",
}
ROW = {name: row for row, names in ROWS.items() for name in names.split()}
INSTALLED_AS = {"pillow": "PIL", "tensorflow-datasets": "tensorflow_datasets", "tensorflow-hub": "tensorflow_hub"}
FILES = sorted(PACKAGE.rglob("*.py"))


def module_of(path):
    parts = path.relative_to(REPO).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


def is_module(parts):
    return (REPO.joinpath(*parts)).is_dir() or REPO.joinpath(*parts).with_suffix(".py").is_file()


def imports(path, *, inside_functions=True):
    """Dotted names, as tuples, of every module that a file imports; those under TYPE_CHECKING do not run."""
    found = set()

    def visit(node):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and not inside_functions:
            return
        if isinstance(node, ast.Import):
            found.update(tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = module_of(path) if path.name == "__init__.py" else module_of(path)[:-1]
            base = (*package[: len(package) - node.level + 1], *(node.module or "").split(".")) if node.level else ()
            base = tuple(part for part in base if part) or tuple(node.module.split("."))
            for alias in node.names:
                deeper = (*base, alias.name)
                found.add(deeper if base[0] == "ganzoo" and is_module(deeper) else base)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text("utf-8")))
    return found


def inner(path, **options):
    """Modules of ganzoo that a file imports, without the package's own name."""
    return {parts[1:] for parts in imports(path, **options) if parts[0] == "ganzoo" and len(parts) > 1}


def test_the_import_reader_sees_every_form(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "module_of", lambda path: ("ganzoo", "x"))
    file = tmp_path / "x.py"
    file.write_text(
        "import ganzoo.zoo\nfrom ganzoo import zoo, __version__\nfrom ganzoo.models import dcgan\nfrom . import base\n"
        "def f():\n    from ganzoo.cli import main\nif TYPE_CHECKING:\n    from ganzoo import report\n"
    )
    assert inner(file) == {("zoo",), ("models", "dcgan"), ("base",), ("cli",)}
    assert ("cli",) not in inner(file, inside_functions=False)


def test_every_module_has_a_row():
    names = {path.stem if path.is_file() else path.name for path in PACKAGE.iterdir()}
    names = {
        name
        for name in names
        if is_module(("ganzoo", name)) and name not in ("__init__", "__pycache__", "assets", "zoo_configs")
    }
    assert names <= set(ROW), f"tell test_architecture.ROWS where {sorted(names - set(ROW))} belong"


@pytest.mark.parametrize(
    "path", [f for f in FILES if f != PACKAGE / "__init__.py"], ids=lambda p: ".".join(module_of(p))
)
def test_lower_never_imports_higher(path):
    own = module_of(path)[1]
    above = {".".join(parts) for parts in inner(path) if ROW[parts[0]] > ROW[own]}
    assert not above, f"{path.name} (row {ROW[own]}) imports {above}"


def test_no_circle_between_rooms():
    rooms = {name: set() for name in ROW}
    for path in FILES:
        if path != PACKAGE / "__init__.py":
            own = module_of(path)[1]
            rooms[own] |= {parts[0] for parts in inner(path)} - {own}
    graphlib.TopologicalSorter(rooms).prepare()  # raises CycleError, which names the rooms


@pytest.mark.parametrize("path", sorted((PACKAGE / "models").glob("[a-z]*.py")), ids=lambda p: p.stem)
def test_a_paper_imports_rows_1_and_2_and_no_other_paper(path):
    assert all(ROW[parts[0]] <= 2 for parts in inner(path))


def test_data_and_metrics_know_no_model():
    for path in [*(PACKAGE / "data").rglob("*.py"), *(PACKAGE / "metrics").rglob("*.py")]:
        own = module_of(path)[1]
        used = {parts[0] for parts in inner(path)}
        assert not used & ({"models", "base", "data", "metrics"} - {own}), path


def test_only_required_packages_are_imported_at_the_top():
    parser = configparser.ConfigParser()
    parser.read(REPO / "setup.cfg", "utf-8")
    lines = parser["options"]["install_requires"].splitlines()
    names = [re.split(r"[<>=\[ ]", line)[0] for line in lines if line and not line.startswith("#")]
    required = {INSTALLED_AS.get(name, name) for name in names} | {"ganzoo"} | sys.stdlib_module_names
    for path in FILES:
        loose = {parts[0] for parts in imports(path, inside_functions=False)} - required
        assert not loose, f"{path} imports {loose}: optional packages belong inside functions"


def test_nothing_is_pickled_and_no_lambda_layer_is_made():
    for path in FILES:
        text = path.read_text("utf-8")
        assert not re.search(r"layers\.Lambda|allow_pickle=True|weights_only=False", text), path
        reads_pickles = {parts[0] for parts in imports(path)} & {"pickle", "joblib", "dill"}
        assert not reads_pickles or path == PACKAGE / "importers" / "read.py", path


def test_a_paper_stands_in_exactly_three_places():
    assert set(registry.models()) == set(presets.list_models()) == set(tiny.TINY)
    assert {cls.__module__ for cls in registry.models().values()} == {
        ".".join(module_of(path)) for path in (PACKAGE / "models").glob("[a-z]*.py")
    }
    exceptions = {key for key, table in vars(tiny).items() if key.isupper() and isinstance(table, dict)} - {"TINY"}
    assert {"VARIANTS", "STILL", "SECOND"} <= exceptions
    for key in exceptions:
        assert set(vars(tiny)[key]) <= set(tiny.TINY), f"tiny.{key} has an exception for no paper"


def test_no_test_file_imports_another():
    """A file of tests may be moved, split or run alone; what several need stands in tests/support/ and tiny.py."""
    files = sorted((REPO / "tests").rglob("test_*.py"))
    stems = {path.stem for path in files}
    assert Path(__file__).stem in stems
    for path in [*files, *(REPO / "tests" / "support").glob("*.py")]:
        nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
        named = [alias.name for node in nodes if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names]
        named += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
        assert not stems & {part for name in named for part in name.split(".")}, f"{path.name} imports a test file"


def test_every_folder_of_tests_is_a_room():
    """tests/ mirrors the package: tests/training/ holds the tests of ganzoo/training/."""
    folders = {path.name for path in (REPO / "tests").iterdir() if any(path.glob("test_*.py"))}
    rooms = {path.parent.name for path in PACKAGE.glob("*/*.py") if path.name != "__init__.py"}
    assert rooms <= folders, f"rooms without tests: {sorted(rooms - folders)}"
    beside = {path.name for path in REPO.iterdir() if path.is_dir()}  # tools, benchmarks
    assert folders <= rooms | beside, f"no room of that name: {sorted(folders - rooms - beside)}"
    loose = {path.stem.removeprefix("test_") for path in (REPO / "tests").glob("test_*.py")}
    assert not loose & {name for name in ROW if (PACKAGE / name).is_dir()}, "a room's tests stand in its folder"


def test_names_presets_and_cards_need_no_tensorflow():
    code = (
        "import sys, ganzoo, ganzoo.errors, ganzoo.presets, ganzoo.presets.cards\n"
        "[(ganzoo.list_presets(name), ganzoo.card(name)) for name in ganzoo.list_models()]\n"
        "print(sorted({'tensorflow', 'keras', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_the_package_offers_its_public_names_lazily():
    assert dir(ganzoo) == sorted(ganzoo.__all__)
    for name in ganzoo.__all__:
        assert getattr(ganzoo, name) is not None
    assert ganzoo.losses.__name__ == "ganzoo.losses"
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = ganzoo.trian
