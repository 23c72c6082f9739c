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
from support import quick

import ganzoo
from ganzoo import presets, registry
from ganzoo.base import BaseGAN, LatentGAN
from ganzoo.evaluation import paper_metrics

PACKAGE = Path(ganzoo.__file__).parent
REPO = PACKAGE.parent
# design: lower never imports higher. A new module or folder of the package enters here, once.
ROWS = {
    1: "ages errors files page registry replay losses penalties augment schedules presets weights devices layers media",
    2: "base",
    3: "models data metrics runs sampling client hub",
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
    others = ("__init__", "__pycache__", "assets", "zoo_configs")
    names = {name for name in names if is_module(("ganzoo", name)) and name not in others}
    assert names == set(ROW), (
        f"test_architecture.ROWS: {sorted(names - set(ROW))} are new, {sorted(set(ROW) - names)} gone"
    )


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
    above = {parts for parts in inner(path) if ROW[parts[0]] > 2}
    assert all(parts[0] == "models" and parts[1].startswith("_") for parts in above), above


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


# What reads a file, or a text from one, into values; `ganzoo.files` is where that is done with bounds.
READERS = re.compile(
    r"(json|orjson|tomllib|pickle|marshal|yaml|torch|np|numpy)\.(load|loads|safe_load|full_load|unsafe_load|loadtxt|genfromtxt|"
    r"fromfile)|zipfile\.ZipFile|tarfile\.open|safetensors\.(safe_open|numpy\.\w+)|safe_open|deserialize|load_file|eval|exec"
)
# Those that read what no stranger wrote, or are bounded where they stand.
ALLOWED = {
    "files.py": "the one place",
    "weights.py": "safetensors, from the bounded bytes of a file",
    "runs/checkpoint.py": "safetensors of a run, whose bytes were read and compared before",
    "runs/log.py": "rows of a log: a damaged one costs that row",
    "importers/read.py": "torch's weights-only reader and safetensors",
    "serving/wire.py": "requests, bounded in bytes and values",
    "data/sources/trees.py": "zip files of pictures, bounded for each member",
    "data/recipes/lorelei_64.py": "files of a pinned package",
    "data/recipes/adventurer_pairs_64.py": "files of a pinned package",
    "data/recipes/bundle.py": "the maintainers' own files",
    "doctor/distribute.py": "the words of a child process",
    "training/plan.py": "the words of a child process",
    "training/on_ray.py": "the manifest that our own workers have just written",
    "exporting/runtime.py": "a package whose checksum was compared",
}


def readers(source):
    """What a source calls that reads values from a file or a text."""
    calls = [node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return sorted({name for call in calls if READERS.fullmatch(name := ast.unparse(call))})


def test_the_reader_of_readers_sees_each():
    planted = "json.loads(a); tomllib.load(b); np.load(c); zipfile.ZipFile(d); safetensors.safe_open(e); torch.load(f); eval(g)"
    assert len(readers(planted)) == 7
    assert not readers("json.dumps(a); files.read_json(b); np.savez(c, d); module.load(e); model.eval()")


def test_what_strangers_wrote_is_read_in_one_place():
    found = {str(path.relative_to(PACKAGE)): readers(path.read_text("utf-8")) for path in FILES}
    assert {name: calls for name, calls in found.items() if calls and name not in ALLOWED} == {}
    assert [name for name in ALLOWED if not found[name]] == []


def test_paths_that_somebody_typed_are_made_whole_in_one_place():
    """`Path.expanduser` and `Path.resolve` end in RuntimeError and ValueError at unknown users, links to themselves and NUL."""
    typed = re.compile(r"(?<!Path\(__file__\))\.(expanduser|resolve)\(\)")
    found = {str(path.relative_to(PACKAGE)) for path in FILES if typed.search(path.read_text("utf-8"))}
    assert found == {"files.py"}


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
    """A file of tests may be moved, split or run alone; what several need is in tests/support/ and tiny.py."""
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


def test_the_quick_tests_are_of_every_room():
    tests = REPO / "tests"
    for path, names in quick.QUICK.items():
        text = (tests / path).read_text("utf-8")
        missing = [name for name in names if f"def {name.partition('[')[0]}" not in text]
        assert not missing, f"{path} has no test {missing}: tests/support/quick.py"
    rooms = {path.parent.name for path in PACKAGE.glob("*/*.py") if path.name != "__init__.py"}
    assert rooms == {path.split("/")[0] for path in quick.QUICK if "/" in path}


# ---- a paper says what it can do; nothing outside base/ guesses it ----------------------------------------------------
def declared() -> set[str]:
    """What may be asked of a model: the names of BaseGAN, of what it is made of, and those that it gives itself."""
    names = {"stop_training"} | set(dir(BaseGAN({"arguments": {}})))  # the first is Keras' own, which `fit` sets
    for cls in (*BaseGAN.__mro__, LatentGAN):
        names |= set(vars(cls).get("__annotations__", {})) if cls.__module__.startswith("ganzoo.") else set()
    for node in ast.walk(ast.parse((PACKAGE / "base" / "model.py").read_text("utf-8"))):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self":
            names.add(node.attr)
    return names


def is_model(node) -> bool:
    """Whether an expression is a model by its name: `model`, `self.model`, `type(model)`."""
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "type":
        return is_model(node.args[0])
    return (node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")) in ("model", "judge", "untrained")


def option(node) -> str:
    """The constructor argument that an expression asks for by name in the options of a model, `config.model`; "" for none."""

    def options(part):
        return isinstance(part, ast.Attribute) and part.attr == "model"

    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("model.get") and options(node.func.value):
        asked = node.args[0]
    elif isinstance(node, ast.Subscript) and options(node.value):
        asked = node.slice
    elif isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn) and options(node.comparators[0]):
        asked = node.left
    else:
        return ""
    return asked.value if isinstance(asked, ast.Constant) and isinstance(asked.value, str) else ""


def guesses(tree, known: set[str], papers: set[str]) -> list[str]:
    """What of a source guesses a capability, each as "line: code"."""
    found = []
    others = set(dir(str)) | set(dir(dict))  # a model's name and the table of its options are called `model`, too

    signatures = [node.args for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    defaults = [default for given in signatures for default in (*given.defaults, *given.kw_defaults) if default]
    examples = {id(part) for default in defaults for part in ast.walk(default)}  # somebody may ask for others

    def names_paper(node):
        return any(isinstance(part, ast.Constant) and part.value in papers for part in ast.walk(node))

    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args and is_model(node.args[0]):
            asked = node.func.id in ("hasattr", "vars", "dir") or (node.func.id == "getattr" and len(node.args) > 2)
            wrong = asked or (node.func.id == "isinstance" and ast.unparse(node.args[1]) != "BaseGAN")
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
            ("layer.name.startswith", "layer.name.endswith")
        ):
            wrong = any(isinstance(part, ast.Constant) for part in node.args)  # a layer by its name
        elif isinstance(node, ast.Attribute):
            wrong = is_model(node.value) and node.attr not in known | others
        elif isinstance(node, ast.Dict):
            wrong = any(key is not None and names_paper(key) for key in node.keys)
        elif isinstance(node, ast.Call | ast.Subscript | ast.Compare) and (key := option(node)):
            wrong = key not in known
        elif isinstance(node, ast.Compare | ast.Tuple | ast.List | ast.Set):
            wrong = names_paper(node) and id(node) not in examples
        elif isinstance(node, ast.ImportFrom):
            wrong = (node.module or "").startswith("ganzoo.models")
        elif isinstance(node, ast.Import):
            wrong = any(alias.name.startswith("ganzoo.models.") for alias in node.names)
        else:
            wrong = False
        if wrong:
            found.append(f"{node.lineno}: {ast.unparse(node)}")
    return found


PLANTED = """
if hasattr(model, "num_downs"): pass
stride = 2 ** getattr(self.model, "num_downs", 0)
flag = isinstance(subject.model, Pix2Pix)
side = model.num_downs
other = type(model).translator
SMALL = {"tiny-gan": 3}
if config.name == "tiny-gan": pass
if model.paper in ("other", "tiny-gan"): pass
from ganzoo.models import tiny_gan
import ganzoo.models.tiny_gan
if layer.name.startswith("from_rgb"): pass
DEFAULT = ("tiny-gan", "other")
downs = config.model.get("num_downs")
downs = config.model["num_downs"]
if "num_downs" in config.model: pass
"""
PLAIN = """
ok = isinstance(model, BaseGAN) and model.directions and type(model).task == "image"
for player in model.players: getattr(model, player)
config.model.get("arguments") or config.model.get(paper.batch_unit) or "ema" in text
where = hasattr(layer, "kernel") or layer.name.startswith(model.takes_channels)
import ganzoo.models
def show(models=("tiny-gan",)): pass
table = {"images": "tiny-gan"}
"""


def test_the_reader_of_guesses_sees_each_and_nothing_else():
    known = {"directions", "task", "players", "paper", "takes_channels", "arguments"}
    planted = {int(line.split(":")[0]) for line in guesses(ast.parse(PLANTED), known, {"tiny-gan"})}
    assert planted == set(range(2, len(PLANTED.splitlines()) + 1))
    assert guesses(ast.parse(PLAIN), known, {"tiny-gan"}) == []


@pytest.mark.parametrize(
    "path",
    [f for f in FILES if f.relative_to(PACKAGE).parts[0] not in ("base", "models", "importers", "demo.py")],
    ids=lambda p: ".".join(module_of(p)),
)  # the demo says by name what it shows
def test_nothing_outside_base_guesses_what_a_paper_can_do(path):
    assert guesses(ast.parse(path.read_text("utf-8")), declared(), set(registry.models())) == []


def test_options_of_some_papers_are_those_that_papers_declare():
    taken = {option for cls in registry.models().values() for option in cls.train_options}
    assert taken == set(presets.OF_SOME_PAPERS) <= set(presets.TrainConfig.model_fields)


def test_own_metrics_name_protocols():
    for cls in registry.models().values():
        for metric, found in cls.own_metrics.items():
            assert callable(found) or found in paper_metrics.PROTOCOLS, (cls.paper, metric)


def test_names_presets_and_cards_need_no_tensorflow():
    code = (
        "import sys, ganzoo, ganzoo.errors, ganzoo.presets, ganzoo.presets.cards\n"
        "[(ganzoo.list_presets(name), ganzoo.card(name)) for name in ganzoo.list_models()]\n"
        "print(sorted({'tensorflow', 'keras', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_the_package_offers_its_public_names_lazily():
    promised = "GanzooError card evaluate export finetune list_models list_presets load save train __version__"
    assert set(promised.split()) <= {*dir(ganzoo)} == {*ganzoo.__all__}
    for name in ganzoo.__all__:
        assert getattr(ganzoo, name) is not None
    assert ganzoo.losses.__name__ == "ganzoo.losses"
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = ganzoo.trian
