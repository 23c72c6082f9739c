"""Puts faults into the papers, one at a time, and asks the harness: which of them does no test notice? For maintainers, from a clone:

    python -m tools.mutants --paper wgan-gp            # all faults that this paper has a place for
    python -m tools.mutants --fault generator-sign     # one fault in every paper
    python -m tools.mutants --list

A fault is a change of one file of a copy of the package: a sign, a term that is left out, an argument that nothing reads, noise
that a replica draws for itself. The tests of the harness (tests/models/test_models.py and test_objectives.py) run on the copy,
the likely one first, up to the first that fails. A fault without one has survived: the harness has a hole, and the exit code
is 1. It is 1, too, if a test fails on the unchanged copy, or nothing comes out within --seconds. Each run is a fork of this
process, which has TensorFlow loaded but not started: Linux and macOS.
"""

import argparse
import ast
import contextlib
import copy
import dataclasses
import multiprocessing
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
HARNESS = ("tests/models/test_objectives.py", "tests/models/test_models.py")
BASE = "base"  # stands for ganzoo/base/model.py, which the harness of BASE_PAPER looks at
BASE_PAPER = "dcgan"
FACTORS = r"self\.(\w+_(weight|gamma))"


@dataclasses.dataclass(frozen=True)
class Fault:
    """`make` gives changed copies of a tree by name, none where the paper has no place for the fault; `test` of HARNESS is the
    likely one to notice."""

    make: Callable[[ast.Module], Iterator[tuple[str, ast.Module]]]
    test: str


@dataclasses.dataclass(frozen=True)
class Verdict:
    """`outcome`: "killed" by the test `by`, "survived", or "timeout"."""

    paper: str
    fault: str
    outcome: str
    by: str = ""


# ---- changes of a tree -----------------------------------------------------------------------------------------------
def within(tree, function: str) -> list[ast.AST]:
    """The definitions of that name (a regular expression); the whole tree for ""."""
    if not function:
        return [tree]
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and re.fullmatch(function, node.name)]


def changed(tree, found: Callable, make: Callable, *, function="", every=False) -> Iterator[ast.Module]:
    """A copy in which the first node (or every one) that `found` is true of is what `make` makes of it."""
    tree = copy.deepcopy(tree)
    hits = [node for home in within(tree, function) for node in ast.walk(home) if found(node)]
    hits = hits if every else sorted(hits, key=lambda node: (node.lineno, node.col_offset))[:1]
    chosen = {id(node) for node in hits}

    class Change(ast.NodeTransformer):
        def visit(self, node):
            hit = id(node) in chosen
            node = self.generic_visit(node)
            return make(node) if hit else node

    if hits:
        yield ast.fix_missing_locations(Change().visit(tree))


def is_call(pattern: str) -> Callable:
    """Of a call whose function, as it is written, matches."""
    return lambda node: isinstance(node, ast.Call) and re.fullmatch(pattern, ast.unparse(node.func))


def written(code: str) -> Callable:
    """Makes an expression of code in which NODE stands for the old one, and ARG0, ARG1 ... for the arguments of a call."""

    def make(node):
        tree = ast.parse(code, mode="eval").body
        parts = {"NODE": node} | {f"ARG{i}": argument for i, argument in enumerate(getattr(node, "args", ()))}

        class Fill(ast.NodeTransformer):
            def visit_Name(self, name):
                return parts.get(name.id, name)

        return Fill().visit(tree)

    return make


def calls(pattern: str, code: str, **where):
    """Changes calls: see `changed` and `written`."""
    return lambda tree: (("", t) for t in changed(tree, is_call(pattern), written(code), **where))


def swapped(pattern: str, first=0, second=1):
    """Exchanges two arguments of a call."""

    def make(node):
        node.args[first], node.args[second] = node.args[second], node.args[first]
        return node

    return lambda tree: (("", t) for t in changed(tree, is_call(pattern), make))


def statements(tree, function: str, pattern: str, make: Callable) -> Iterator[tuple[str, ast.Module]]:
    """Changes the first statement of a function that matches as it is written; `make` gives a list of statements."""

    def found(node):
        return isinstance(node, ast.Assign | ast.Expr | ast.Return) and re.search(pattern, ast.unparse(node))

    for home in within(tree, function)[:1]:
        yield from (("", t) for t in changed(tree, found, make, function=home.name))


def names(code: dict[str, str], function: str):
    """Puts code in the place of every variable that is read in a function and matches a regular expression."""

    def make(tree):
        for pattern, new in code.items():
            found = changed(
                tree,
                lambda node, p=pattern: (
                    isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and re.fullmatch(p, node.id)
                ),
                written(new),
                function=function,
                every=True,
            )
            yield from (("", t) for t in found)

    return make


def constants(old: tuple[str, ...], new: str):
    """Puts another string in the place of one in build_generator."""

    def found(node):
        return isinstance(node, ast.Constant) and node.value in old

    return lambda tree: (
        ("", t) for t in changed(tree, found, lambda node: ast.Constant(new), function="build_generator")
    )


def factors(code: str):
    """Changes each term with a weight (`self.x_weight * term`), one copy a weight; FACTOR and TERM stand for the two."""

    def make(tree):
        weights = sorted(set(re.findall(FACTORS, ast.unparse(tree))))
        for weight, _ in weights:

            def found(node, weight=weight):
                return (
                    isinstance(node, ast.BinOp)
                    and isinstance(node.op, ast.Mult)
                    and re.search(rf"self\.{weight}\b", ast.unparse(node.left))
                )

            def cut(node):
                text = code.replace("FACTOR", f"({ast.unparse(node.left)})").replace(
                    "TERM", f"({ast.unparse(node.right)})"
                )
                return ast.parse(text, mode="eval").body

            yield from ((weight, t) for t in changed(tree, found, cut, every=True))

    return make


def unread(tree) -> Iterator[tuple[str, ast.Module]]:
    """In train_step's methods a number of the constructor is its default, whatever was given; one copy an argument."""
    for home in within(tree, "__init__"):
        given = [(a.arg, d) for a, d in zip(home.args.kwonlyargs, home.args.kw_defaults, strict=True)]
        for key, default in given:
            if not isinstance(default, ast.Constant) or type(default.value) not in (int, float, bool):
                continue

            def found(node, key=key):
                return (
                    isinstance(node, ast.Attribute)
                    and isinstance(node.ctx, ast.Load)
                    and ast.unparse(node) == f"self.{key}"
                )

            steps = r"\w+_step|updates|forward|batches|fakes|mixed|judge_real|match_loss|noisy|due|recall"
            yield from ((key, t) for t in changed(tree, found, lambda node, d=default: d, function=steps, every=True))


def unbuilt(tree) -> Iterator[tuple[str, ast.Module]]:
    """A builder gives a width of its own, whatever is asked for; one copy a width."""
    for key in ("ngf", "ndf", "hidden", "maxout_units", "nef", "n_layers", "fmap_base"):
        copied = copy.deepcopy(tree)
        for home in within(copied, r"build_\w+"):
            if key in [argument.arg for argument in home.args.kwonlyargs]:
                at = 1 if ast.get_docstring(home) else 0
                home.body.insert(at, ast.parse(f"{key} = {64 if key == 'fmap_base' else 2}").body[0])
                yield key, ast.fix_missing_locations(copied)
                break


def returned(code: str):
    """Changes what build_generator's model returns: NODE stands for the output."""

    def make(node):
        node.args[1] = written(code)(node.args[1])
        return node

    return lambda tree: (("", t) for t in changed(tree, is_call(r"keras\.Model"), make, function="build_generator"))


def keyword(pattern: str, function: str, change: Callable):
    """Changes the keywords of the first call that matches in a function."""

    def make(node):
        node.keywords = change(node.keywords)
        return node

    return lambda tree: (("", t) for t in changed(tree, is_call(pattern), make, function=function))


def inference(tree) -> Iterator[tuple[str, ast.Module]]:
    """Training passes are not in training mode, where a batch norm notices."""
    if "BatchNorm(" in ast.unparse(tree):
        found = changed(
            tree,
            lambda node: isinstance(node, ast.keyword) and node.arg == "training" and ast.unparse(node.value) == "True",
            lambda node: ast.keyword("training", ast.Constant(False)),
            every=True,
        )
        yield from (("", t) for t in found)


def text(old: str, new: str):
    """Of base/model.py: other source in the place of an expression or statement, as `ast` writes it."""

    def make(tree):
        source = ast.unparse(tree)
        assert source.count(old) == 1, f"base/model.py has {source.count(old)} times {old!r}: mend this fault"
        yield "", ast.parse(source.replace(old, new))

    return make


LAYER = r"layers\.(Conv\w+|Dense)|Equalized\w+"
G_LOSS, D_LOSS = r"(losses\.)?\w+_g", r"(losses\.)?(?!\w*_latents)\w+_d"
NOISE, ROW_SEEDS = r"self\.noise", r"self\.row_noise_seeds"
ARGUMENTS = "test_every_argument_of_the_constructor_counts"
LOSS, SIGN, TELLS = (
    "test_every_update_lowers_the_loss_that_it_was_given",
    "test_the_generator_s_loss_falls_where_its_samples_are_taken_for_real",
    "test_the_discriminator_s_loss_tells_real_from_fake",
)
ROUNDS, MOVES, FILL = (
    "test_players_move_in_the_order_of_the_rounds",
    "test_each_player_moves_its_own_networks_and_no_other",
    "test_samples_fill_their_range_and_no_more",
)
REPLICAS, LOGS, AVERAGE = (
    "test_two_replicas_equal_one",
    "test_fit_logs_finite_means_and_counts_steps",
    "test_the_average_follows_the_generator",
)
SECOND, NUMBER, FROZEN = (
    "test_a_second_minimize_of_an_update_is_refused_in_micro_batches",
    "test_every_update_arrives_under_its_number",
    "test_all_weights_train_but_statistics_and_averages",
)

FAULTS = {
    # what the losses are
    "generator-sign": Fault(calls(G_LOSS, "-NODE", function="generator_step"), SIGN),
    "discriminator-sign": Fault(calls(D_LOSS, "-NODE", function="discriminator_step"), TELLS),
    "real-and-fake-swapped": Fault(swapped(D_LOSS), TELLS),
    "real-is-never-shown": Fault(names({"real|y|real_a": "fake"}, "discriminator_step"), TELLS),
    "logs-swapped": Fault(swapped(r"losses\.judgement"), TELLS),
    "generator-learns-from-constants": Fault(names({r"fake(_b)?": "tf.stop_gradient(NODE)"}, "generator_step"), SIGN),
    "term-left-out": Fault(factors("0.0 * TERM"), ARGUMENTS),
    "term-without-gradient": Fault(factors("FACTOR * tf.stop_gradient(TERM)"), LOSS),
    "term-with-another-sign-in-the-gradient": Fault(
        factors("FACTOR * (2.0 * tf.stop_gradient(TERM) - (TERM))"), LOSS
    ),
    "argument-not-read": Fault(unread, ARGUMENTS),
    "width-not-read": Fault(unbuilt, ARGUMENTS),
    # what moves
    "discriminator-moves-twice": Fault(
        lambda tree: statements(tree, "train_step", r"self\.discriminator_step\(", lambda node: [node, node]), ROUNDS
    ),
    "discriminator-moves-in-the-generator-s-step": Fault(
        lambda tree: statements(
            tree, "generator_step", r"^self\.minimize\(",
            lambda node: [node, *ast.parse(
                "self.d_optimizer.apply_gradients([(tf.ones_like(v), v) for v in self.trainable_of('d_optimizer')])"
            ).body],
        ),
        ROUNDS,
    ),
    "generator-s-loss-moves-the-discriminator": Fault(
        lambda tree: (
            ("", t) for t in changed(
                tree, lambda node: isinstance(node, ast.Constant) and node.value == "g_optimizer",
                lambda node: ast.Constant("d_optimizer"), function="generator_step",
            )
        ),
        ROUNDS,
    ),
    "generator-never-moves": Fault(
        lambda tree: statements(tree, "generator_step", r"^self\.minimize\(", lambda node: []), ROUNDS
    ),
    "update-without-its-number": Fault(
        lambda tree: (
            ("", t) for t in changed(
                tree, lambda node: is_call(r"self\.minimize")(node) and len(node.args) > 3,
                lambda node: ast.Call(node.func, node.args[:3], []),
            )
        ),
        NUMBER,
    ),
    "updates-not-declared": Fault(
        lambda tree: statements(tree, "updates", "return", lambda node: ast.parse("return super().updates").body), ROUNDS
    ),
    "layer-frozen": Fault(
        keyword(LAYER, "build_discriminator", lambda old: [*old, ast.keyword("trainable", ast.Constant(False))]), FROZEN
    ),
    "average-stands-still": Fault(
        lambda tree: statements(tree, "train_step", r"^self\.update_ema\(", lambda node: []), AVERAGE
    ),
    # what is drawn
    "noise-of-the-process": Fault(calls(NOISE, "tf.random.normal([ARG2, *([*ARG3] if True else [])])", every=True), LOSS),
    "noise-of-the-replica": Fault(calls(NOISE, "ARG0([ARG2, *ARG3], seed=self.stream_seed(ARG1))", every=True), REPLICAS),
    "row-seeds-of-the-replica": Fault(
        calls(ROW_SEEDS, "tf.random.stateless_uniform([ARG1, 2], self.stream_seed(ARG0), None, None, tf.int32)"), REPLICAS
    ),
    "loss-divided-by-the-replicas": Fault(
        calls(G_LOSS, "NODE / tf.distribute.get_strategy().num_replicas_in_sync", function="generator_step"), REPLICAS
    ),
    "training-passes-of-inference": Fault(inference, MOVES),
    # what comes out
    "generator-ends-linear": Fault(constants(("tanh", "sigmoid"), "linear"), FILL),
    "generator-ends-in-a-sigmoid": Fault(constants(("tanh",), "sigmoid"), FILL),
    "generator-ends-in-a-tanh": Fault(constants(("sigmoid",), "tanh"), FILL),
    "generator-makes-bytes": Fault(returned("NODE * 127.5"), FILL),
    "generator-begins-saturated": Fault(returned("keras.ops.sign(NODE)"), FILL),
    # what comes in, and what is said
    "batch-not-unpacked": Fault(
        calls(r"self\.unpack", "list(ARG0.values())"), "test_a_batch_of_bytes_is_the_batch_of_its_floats"
    ),
    "value-not-logged": Fault(keyword(r"self\.log", "train_step", lambda old: old[1:]), LOGS),
    "step-not-logged": Fault(
        lambda tree: statements(tree, "train_step", r"^return self\.log\(", lambda node: ast.parse(
            ast.unparse(node).replace("self.log(", "dict(")).body), MOVES
    ),
    "layer-without-a-name": Fault(
        keyword(LAYER, "build_discriminator", lambda old: [k for k in old if k.arg != "name"]),
        "test_keys_name_the_network_and_every_layer_has_a_name_of_its_own",
    ),
}  # fmt: skip

BASE_FAULTS = {
    "replicas-draw-the-same-rows": Fault(text("drawn[share * rows:(share + 1) * rows]", "drawn[:rows]"), REPLICAS),
    "gradients-summed-over-replicas": Fault(text("tf.ones_like(loss) / replicas", "tf.ones_like(loss)"), REPLICAS),
    "gradient-has-another-sign": Fault(text("tf.ones_like(loss) / replicas", "-tf.ones_like(loss) / replicas"), LOSS),
    "average-weighs-the-wrong-way": Fault(
        text("decay * shadow.value + (1 - decay) * weight.value", "(1 - decay) * shadow.value + decay * weight.value"), AVERAGE
    ),
    "step-not-counted": Fault(text("self.step.assign_add(1)", "pass"), LOGS),
    "second-gradient-overwrites-the-first": Fault(text("(player, turn) in self.part.gradients", "False"), SECOND),
    "samples-are-not-the-average-s": Fault(
        text("self.ema_generator if self.ema_decay else self.generator", "self.generator"), AVERAGE
    ),
}  # fmt: skip


# ---- running the harness ---------------------------------------------------------------------------------------------
def files() -> dict[str, Path]:
    """Paper (and BASE) -> its file, from the repository's root."""
    found = {}
    for path in sorted((REPO / "ganzoo" / "models").glob("[a-z]*.py")):
        for paper in re.findall(r'^@register\("(.+)"\)', path.read_text("utf-8"), re.MULTILINE):
            found[paper] = path.relative_to(REPO)
    return found | {BASE: Path("ganzoo/base/model.py")}


@contextlib.contextmanager
def copied() -> Iterator[Path]:
    """A temporary copy of package and tests, the large files by links."""
    with tempfile.TemporaryDirectory(prefix="ganzoo-mutants-") as folder:
        root = Path(folder)
        leave_out = shutil.ignore_patterns("assets", "__pycache__", "zoo_configs")
        shutil.copytree(REPO / "ganzoo", root / "ganzoo", ignore=leave_out)
        for name in ("ganzoo/assets", "ganzoo/zoo_configs"):
            (root / name).symlink_to((REPO / name).resolve())
        for name in ("tests", "tools", "zoo_configs", "pyproject.toml"):
            (root / name).symlink_to(REPO / name)
        yield root


def harness(root: Path, paper: str, tests: tuple[str, ...], report: Path) -> None:
    """In a process of its own: runs the tests on the copy up to the first failure, and writes which one that was."""
    os.chdir(root)
    sys.path[:0] = [str(root), str(root / "tests")]
    sys.dont_write_bytecode = True
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 1)
        os.dup2(nothing.fileno(), 2)
    import pytest

    class First:
        def pytest_runtest_logreport(self, report):
            if report.failed:
                failed.append(report.nodeid.split("::")[-1])

    failed = []
    options = ["-x", "-q", "-p", "no:cacheprovider", "--rootdir", str(root), "--paper", paper]
    code = int(pytest.main([*options, *tests], plugins=[First()]))
    report.write_text(f"{code} {(failed or [''])[0]}", "utf-8")
    os._exit(0)


def judge(paper: str, fault: str, tree: ast.Module | None, tests: tuple[str, ...], seconds: float) -> Verdict:
    """The verdict of the tests on a copy whose file of the paper is the tree (None: as it is)."""
    with copied() as root:
        if tree is not None:
            (root / files()[paper]).write_text(ast.unparse(tree), "utf-8")
        report = root / "report.txt"
        child = multiprocessing.get_context("fork").Process(
            target=harness, args=(root, BASE_PAPER if paper == BASE else paper, tests, report)
        )
        child.start()
        child.join(seconds)
        if child.is_alive():
            child.kill()
            child.join()
            return Verdict(paper, fault, "timeout")
        code, _, by = (
            report.read_text("utf-8").partition(" ") if report.exists() else ("", "", "the import of the package")
        )
    if code == "5":
        raise SystemExit(f"No test of the harness is about {paper}.")
    return (
        Verdict(paper, fault, "survived")
        if code == "0"
        else Verdict(paper, fault, "killed", by or "the import of the package")
    )


def mutants(paper: str) -> Iterator[tuple[str, ast.Module, str]]:
    """(name, changed tree, likely test) of every fault that the paper's file has a place for."""
    tree = ast.parse((REPO / files()[paper]).read_text("utf-8"))
    for name, fault in (BASE_FAULTS if paper == BASE else FAULTS).items():
        for part, mutant in fault.make(tree):
            test = fault.test
            if test == ARGUMENTS and part:  # the parameter's own
                test = f"{test}[{paper}-{part}]"
            elif paper != BASE and test != MOVES:
                test = f"{test}[{paper}]"
            yield (f"{name}:{part}" if part else name), mutant, test


def in_order(test: str) -> tuple[str, ...]:
    """The likely test, and all of the harness after it."""
    home = HARNESS["def " + test.split("[")[0] not in (REPO / HARNESS[0]).read_text("utf-8")]
    return (f"{home}::{test}", *HARNESS)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--paper", choices=list(files()), help="only this paper, or the base that all have")
    parser.add_argument("--fault", help="only faults whose name begins so")
    parser.add_argument("--seconds", type=float, default=600, help="for the tests of one fault")
    parser.add_argument("--list", action="store_true", help="show the faults and run nothing")
    given = parser.parse_args()
    bad = 0
    if not given.list:
        import tensorflow  # noqa: F401  (once, for all forks)
    for paper in [given.paper] if given.paper else files():
        found = [m for m in mutants(paper) if m[0].startswith(given.fault or "")]
        if given.list:
            print(f"{paper}: {', '.join(name for name, *_ in found)}")
            continue
        if found and (control := judge(paper, "", None, HARNESS, given.seconds)).outcome != "survived":
            print(f"FAILS     {paper}: {control.by or control.outcome}, without any fault")
            bad += 1
            continue
        for name, tree, test in found:
            verdict = judge(paper, name, tree, in_order(test), given.seconds)
            bad += verdict.outcome != "killed"
            word = verdict.outcome if verdict.outcome == "killed" else verdict.outcome.upper()
            print(f"{word:9} {paper}  {name}  {verdict.by}", flush=True)
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
