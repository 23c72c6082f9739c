"""What gets installed: every package, configs, weights and data, under 140 MB; nothing heavy at import."""

import configparser
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import setuptools

from ganzoo import presets, zoo

REPO = Path(__file__).resolve().parent.parent


def settings():
    parser = configparser.ConfigParser()
    parser.read(REPO / "setup.cfg", "utf-8")
    return parser


def test_setuptools_finds_every_package_and_the_one_version():
    options = dict(settings()["options.packages.find"])
    found = setuptools.find_packages(str(REPO), include=options["include"].split())
    written = {".".join(p.parent.relative_to(REPO).parts) for p in (REPO / "ganzoo").rglob("__init__.py")}
    assert set(found) == written | {"ganzoo.zoo_configs"}
    assert settings()["metadata"]["version"] == "attr: ganzoo.__version__"


def test_import_and_listing_need_no_tensorflow():
    code = (
        "import sys, ganzoo; ganzoo.list_models(); ganzoo.card('pix2pix'); "
        "sys.exit(bool({'tensorflow', 'keras', 'tensorflow_datasets'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def python(code, **environment):
    """What plain Python writes on stderr: of somebody who set nothing."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("TF_")}
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env=inherited | environment
    ).stderr


def test_plain_python_is_quiet_and_its_errors_are_not():
    assert python("import ganzoo\nganzoo.load('gan', weights=None).generate(2)") == ""
    heard = python("import ganzoo\nganzoo.load('gan')\nganzoo.load('gam')")
    assert heard.startswith("Traceback")
    assert 'There is no model "gam". Did you mean "gan"?' in heard


def test_every_way_to_import_a_module_is_quiet_and_leaves_it_its_loader():
    code = (
        "from ganzoo.models import dcgan\nimport ganzoo.zoo, ganzoo.layers, inspect, importlib.resources\n"
        "assert 'DCGAN' in inspect.getsource(dcgan)\n"
        "assert type(dcgan.__loader__).__name__ == type(dcgan.__spec__.loader).__name__ == 'SourceFileLoader'\n"
        "assert importlib.resources.files('ganzoo.page').is_dir()\n"
        "import os; os.write(2, b'mine')"
    )
    assert python(code) == "mine"
    heard = python("from ganzoo.models import nothing_of_this_name")
    assert heard.startswith("Traceback")
    assert "cannot import name 'nothing_of_this_name'" in heard


def test_who_imported_tensorflow_hears_what_it_says():
    assert "oneDNN" not in python("import ganzoo.devices.quiet")
    own = "import os, tensorflow, ganzoo\nganzoo.load\nassert 'TF_CPP_MIN_LOG_LEVEL' not in os.environ"
    assert "AssertionError" not in python(own)


def test_every_shipped_file_is_the_one_its_toml_names():
    named = {
        r.weights.file: r.weights for p in presets.list_models() for r in presets.read(p).presets.values() if r.weights
    }
    present = {path.name for path in zoo.ASSETS.glob("*.safetensors")}
    assert present == set(named)
    for name, record in named.items():
        assert (zoo.ASSETS / name).stat().st_size == record.bytes
        assert (zoo.ASSETS / name).with_suffix(".log.jsonl").is_file(), "weights are committed with their log"


@pytest.mark.slow
def test_wheel_holds_configs_weights_and_data_and_stays_under_140_mb(tmp_path):
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "-w", str(tmp_path), str(REPO)]
    subprocess.run(command, check=True, timeout=600)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.stat().st_size < 140e6
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder, pattern in (
        ("zoo_configs", "*.toml"),
        ("assets/weights", "*"),
        ("assets/data", "*"),
        ("assets/evaluators", "*"),
        ("assets/pictures", "**/*"),
        ("assets", "*.md"),
    ):
        home = REPO / "zoo_configs" if folder == "zoo_configs" else REPO / "ganzoo" / folder
        inside = {
            f"ganzoo/{folder}/{path.relative_to(home).as_posix()}" for path in home.glob(pattern) if path.is_file()
        }
        assert inside
        assert inside <= names
