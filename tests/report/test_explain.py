"""`ganzoo explain`: what it says is what the model does. Its order of a step is held against a step that really ran."""

import ast
import inspect
import json
import sys

import pytest
import tiny
from support.cli_runs import refused, run
from support.steps import Watch

from ganzoo import presets, registry
from ganzoo.doctor.small import checks
from ganzoo.report import explain, explained

NAMES = sorted(registry.models())


@pytest.fixture(scope="module")
def small():
    """name -> the explanation of the paper at the size in which it is tried."""
    seen = {}

    def of(name):
        if name not in seen:
            seen[name] = explain.explain(presets.run_config(name, dict(checks(name).small)))
        return seen[name]

    return of


def arguments(explanation):
    """Of the model's constructor; lists and tables are texts there."""
    found = {key.removeprefix("model."): v for key, v in explanation.options.items() if key.startswith("model.")}
    return {k: ast.literal_eval(v) if isinstance(v, str) and v[:1] in "[{" and v else v for k, v in found.items()}


def updates(events):
    """Players in the order of their updates, repeats written out."""
    for event in events:
        for _ in range(event.times):
            yield from updates(event.inside) if event.inside else [event.name] if event.kind == "updates" else []


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_a_step_is_that_of_a_step_that_ran(name, small):
    model = tiny.build(name)
    moved = [player for player, *_ in Watch(model, tiny.batch(model)).updates]
    orders = [list(updates(part.events)) for part in small(name).parts]
    # How often a player moves is an argument of some papers, and tiny.py sets its own: the order is compared.
    # Without a segment, as here, a step of a paper whose run has parts does what all of them do.
    whole = [player for order in orders for player in order]
    assert list(dict.fromkeys(moved)) in [list(dict.fromkeys(order)) for order in (*orders, whole)]
    declared = registry.models()[name](**arguments(small(name))).updates
    assert all(order.count(player) == declared[player] for order in orders for player in order)


@pytest.mark.parametrize("name", NAMES)
def test_layers_add_up_to_their_networks_and_have_a_shape(name, small):
    for network in small(name).networks:
        if network.copy_of:
            assert not network.layers
            continue
        assert sum(layer.parameters for layer in network.layers) == network.parameters, network.name
        assert network.parameters or network.name == "kept", network.name  # rows of the training set
        without = [
            layer.name for layer in network.layers if layer.parameters and not layer.shape and layer.kind != "Variable"
        ]
        assert not without, f"{name}.{network.name} has layers that no step calls: {without}"


@pytest.mark.parametrize("name", NAMES)
def test_the_text_is_the_docstring(name, small):
    text = small(name).text
    docstring = " ".join(sys.modules[registry.models()[name].__module__].__doc__.split())
    for part in (text.title, text.source, text.objective, text.training, text.deviations):
        for paragraph in part.split("\n\n"):
            assert " ".join(paragraph.split()) in docstring
    for paper, here in text.symbols:
        assert f"| {paper} | {here} |" in docstring
    page, words = explained.html(small(name)), explained.markdown(small(name))
    assert "<script" not in page
    assert "http-equiv" in page
    for layer in (layer for network in small(name).networks for layer in network.layers):
        assert f"| {layer.name} |" in words
        assert f"<td>{layer.name}</td>" in page


@pytest.mark.parametrize("name", NAMES)
def test_every_argument_of_the_model_stands_beside_the_paper_s(name, small):
    settings = {setting.key: setting for setting in small(name).settings}
    paper = presets.run_config(f"{name}/{presets.read(name).paper.paper_preset}")
    for argument, default in registry.models()[name].defaults().items():
        value = settings[f"model.{argument}"]
        assert value.paper == explain._options(paper).get(f"model.{argument}", value.paper), argument
        assert value.meaning, f"the class docstring of {name} does not say what {argument} is (default {default!r})"


def test_the_numbers_of_pix2pix_by_hand():
    found = explain.explain("pix2pix/facades-256")
    assert {n.name: n.parameters for n in found.networks} == presets.read("pix2pix").paper.params
    layers = {layer.name: layer for layer in found.networks[0].layers}
    assert layers["down2_conv"].shape == "(N, 64, 64, 128)"
    assert layers["down2_conv"].parameters == 4 * 4 * 64 * 128
    assert layers["down2_conv"].symbol == "Ck, CDk (appendix 6.1)"
    assert layers["up8_dropout"].what == "drops 0.5"
    lines = explained.diagram(found.parts[0])
    assert lines[0] == "batch: input float32 (N, 256, 256, 3), target float32 (N, 256, 256, 3)"
    assert [line.strip("| v") for line in lines[1:] if line.strip("| v")] == [
        "generator",
        "2 times discriminator",
        "[1] d_optimizer updates discriminator",
        "discriminator",
        "[2] g_optimizer updates generator",
    ]
    assert [s.key for s in found.settings if s.value != s.paper] == []


def test_a_critic_s_updates_are_told_as_a_repeat(small):
    found, times = small("wgan-gp"), checks("wgan-gp").small["model.n_critic"]
    (repeat,) = [event for event in found.parts[0].events if event.kind == "repeats"]
    assert repeat.times == times
    assert [event.kind for event in repeat.inside][-1] == "updates"
    assert list(updates(found.parts[0].events)) == times * ["d_optimizer"] + ["g_optimizer"]
    assert explain.Event("averages", "ema_generator", "generator") in found.parts[0].events


def test_a_run_with_two_parts_has_two_orders(small):
    parts = small("text-to-image").parts
    assert [list(updates(part.events)) for part in parts] == [["e_optimizer"], ["d_optimizer", "g_optimizer"]]
    assert parts[0].name


def test_repeats_are_folded_and_nothing_is_lost():
    a, b, c = (explain.Event("calls", letter) for letter in "abc")
    assert explain._folded([a, a, b, a, a, b, c]) == (
        explain.Event("repeats", "", times=2, inside=(explain.Event("calls", "a", times=2), b)),
        c,
    )
    assert explain._folded([a, b, c]) == (a, b, c)


def test_what_a_docstring_says_of_layers_and_arguments():
    rows = (("D(x)", "`conv`"), ("Ck", "`downN_conv/_norm`, `up1` ... `upK`"), ("f", "`mapping*`"))
    networks = ("generator", "discriminator")
    assert explain.symbol_of("down12_norm", rows) == "Ck"
    assert explain.symbol_of("up3_relu", rows) == "Ck"
    assert explain.symbol_of("down_norm", rows) == ""
    assert explain.symbol_of("mapping_2", rows) == "f"
    assert explain.symbol_of("conv", rows, "discriminator", networks) == "D(x)"
    assert explain.symbol_of("conv", rows, "generator", networks) == ""
    said = explain.argument_meanings(
        "A model.\n\n    Args:\n        a, b: widths\n            of G.\n        c: rate.\n    "
    )
    assert said == {"a": "widths of G.", "b": "widths of G.", "c": "rate."}


def test_the_command_line(tmp_path):
    page = tmp_path / "page.html"
    done = run("explain", "gan", "--html", page)
    assert done.stdout.strip() == str(page)
    assert "train_step" in page.read_text("utf-8")
    value = json.loads(run("explain", "goodfellow", "--json").stdout)
    hidden = next(layer for layer in value["networks"][0]["layers"] if layer["name"] == "hidden1")
    assert hidden["what"] == "units 1200, relu"
    assert hidden["parameters"] == 1200 * (100 + 1)
    assert value["step_source"] == inspect.cleandoc("\n" + inspect.getsource(registry.models()["gan"].train_step))
    words = run("explain", "gan", "--diff", "mnist-28", "gan/fashion-28").stdout
    assert "| data.source | tfds:mnist | fashion |" in words
    assert "hidden1" not in words  # the same layers


def test_bad_names_are_a_sentence(tmp_path):
    assert 'There is no model "pixpix". Did you mean "pix2pix"?' in refused("explain", "pixpix")
    assert 'gan has no preset "fashion-29"' in refused("explain", "gan", "--diff", "fashion-28", "fashion-29")
    assert "is a folder; give the name of a file" in refused("explain", "gan", "--html", tmp_path)
