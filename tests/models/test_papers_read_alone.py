"""A paper's file answers what one asks with the paper next to it: the blocks of its docstring, and one order in all files."""

import ast
import inspect
import itertools
import re

import pytest

import ganzoo.models  # noqa: F401  (registers the papers)
from ganzoo import presets, registry

PAPERS = registry.models()
BLOCKS = ("Objective", "| paper | here |", "Training", "Deviations: ")
ORDER = (
    ("__init__",),
    ("discriminator_step", "generator_step", "encoder_step"),
    ("train_step",),
    ("batch_signature",),
    ("draw", "images_of", "voxels_of", "translated", "generate"),
    ("portable_signature", "serving_signature"),
)


@pytest.mark.parametrize("name", PAPERS)
def test_the_docstring_has_every_block(name):
    paper = presets.read(name).paper
    text = inspect.getmodule(PAPERS[name]).__doc__
    title, authors = text.split("\n\n")[:2]
    assert title.rstrip(".") == paper.title
    assert all(author.split()[-1] in authors for author in paper.authors.split(", "))
    assert f"{paper.year}. arXiv {paper.arxiv}. Official" in authors
    assert paper.code.removeprefix("https://") in authors
    starts = [re.search(f"^{re.escape(block)}", text, re.MULTILINE).start() for block in BLOCKS]
    assert starts == sorted(starts)


@pytest.mark.parametrize("name", PAPERS)
def test_the_training_names_the_presets_that_there_are(name):
    record, text = presets.read(name), inspect.getmodule(PAPERS[name]).__doc__
    training = text[text.index("\nTraining") : text.index("\nDeviations")]
    assert set(re.findall(r"`([a-z0-9-]+-\d+)`", text)) <= set(record.presets)
    assert f"`{record.paper.paper_preset}`" in training
    for optimizer in ("g_optimizer", "d_optimizer"):
        rate = getattr(record.presets[record.paper.paper_preset].train, optimizer).learning_rate
        assert rate in numbers(training), f"{optimizer} of the paper's preset has the rate {rate}"
    assert record.presets[record.paper.paper_preset].train.batch_size in batch_sizes(training)


def numbers(text):
    return {float(number.replace(",", "")) for number in re.findall(r"\d[\d,]*(?:\.\d+)?(?:e-?\d+)?", text)}


def batch_sizes(text):
    """Numbers of the text, and the products of two: WGAN-GP's batch holds n_critic * m pictures."""
    found = numbers(text)
    return found | {a * b for a in found for b in found}


@pytest.mark.parametrize("name", PAPERS)
def test_the_file_is_read_in_one_order(name):
    tree = ast.parse(inspect.getsource(inspect.getmodule(PAPERS[name])))
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    (own,) = (node for node in classes if node.name == PAPERS[name].__name__)
    builders = [node.lineno for node in tree.body if getattr(node, "name", "").startswith("build_")]
    assert builders, "networks are made by functions called build_..."
    assert max(builders) < own.lineno
    lines = {node.name: node.lineno for node in own.body if isinstance(node, ast.FunctionDef)}
    groups = [[lines[method] for method in group if method in lines] for group in ORDER]
    groups = [group for group in groups if group]
    for before, after in itertools.pairwise(groups):
        assert max(before) < min(after), f"{name}: {ORDER} stand in this order"


@pytest.mark.parametrize("name", PAPERS)
def test_a_value_stands_once(name):
    """In the constructor: a builder takes what it needs by name, so a second value could differ from the first."""
    defaults, module = PAPERS[name].defaults(), inspect.getmodule(PAPERS[name])
    for function in [value for key, value in vars(module).items() if key.startswith("build_")]:
        for parameter in inspect.signature(function).parameters.values():
            assert parameter.name not in defaults or parameter.default is parameter.empty, (function, parameter)
