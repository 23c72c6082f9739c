"""The manual: README and docs/. Its commands are parsed by the real command line, its Python names exist, its TOML is valid,
its links lead somewhere, and the README stays short."""

import ast
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import typer

import ganzoo
from ganzoo import presets
from ganzoo.cli import app

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md"), ROOT / "export" / "README.md"]
)
IDS = [str(page.relative_to(ROOT)) for page in PAGES]
PLACEHOLDERS = re.compile(r"\b(NAME|PAPER|FILE|FOLDER|DIR|RUN|PRESET|MODEL)\b|<|\.\.\.")


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def commands(page):
    """The words after `ganzoo` of every such command in the page's shell blocks, comments left out."""
    for block in blocks(page, "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            for part in re.split(r"&&|;(?=\s)|\|", re.sub(r"(^|\s)#.*", "", line)):
                words = shlex.split(part) if "ganzoo" in part else []
                if "ganzoo" in words and words[0] not in ("cd", "pip") and not PLACEHOLDERS.search(part):
                    yield words[words.index("ganzoo") + 1 :]


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_command_is_one_that_ganzoo_understands(page):
    for words in commands(page):
        command, left = typer.main.get_command(app), [word for word in words if word not in ("--trust", "&")]
        while hasattr(command, "commands") and left and left[0] in command.commands:
            command = command.commands[left.pop(0)]
        assert not hasattr(command, "commands") or left == ["--help"], f"{page.name}: ganzoo {' '.join(words)}"
        if "--help" not in left:
            command.make_context("ganzoo", left)  # parses, and raises a usage error; nothing runs


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_python_is_python_and_its_names_exist(page):
    for block in blocks(page, "python"):
        tree = ast.parse(block)
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and re.fullmatch(r"ganzoo(\.\w+)+", ast.unparse(node)):
                found = ganzoo
                for name in ast.unparse(node).split(".")[1:]:
                    assert hasattr(found, name), f"{page.name}: {ast.unparse(node)}"
                    found = getattr(found, name)


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_toml_is_toml_and_its_options_exist(page, tmp_path):
    for i, block in enumerate(blocks(page, "toml")):
        tables = tomllib.loads(block)
        if "extends" not in tables and set(tables) <= {"data", "train", "model"}:
            block = f'extends = "dcgan/lorelei-64"\n{block}'
        if "extends" in tomllib.loads(block):
            (tmp_path / f"{i}.toml").write_text(block)
            presets.run_config(tmp_path / f"{i}.toml")


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_no_link_is_dead(page):
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not target.startswith(("http", "#", "mailto:")):
            assert (page.parent / target.partition("#")[0]).exists(), f"{page.name} links to {target}"


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 150


def test_every_page_is_in_the_site():
    listed = set(re.findall(r": ([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE))
    assert listed == {page.name for page in (ROOT / "docs").glob("*.md")}
