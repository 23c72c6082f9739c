"""Puts faults into the papers, one at a time, and asks the harness: which of them does no test notice? For maintainers, from a clone:

    python -m tools.mutants --paper wgan-gp            # all faults that this paper has a place for
    python -m tools.mutants --fault generator-sign     # one fault in every paper
    python -m tools.mutants --list

A fault is a change of one file: a sign, a term that is left out, an argument that nothing reads, noise that a replica draws for
itself. The tests of the harness (tests/models/test_models.py and test_objectives.py) run on it, the likely one first, then the
paper's others in tests/models, up to the first that fails. A fault without one has survived: there is a hole, and the exit code
is 1. It is 1, too, if one of the tests that failed fails without a fault (they are run again at the end), or nothing comes out
within --seconds. Each trial is a fork of a process that has collected the tests and not started TensorFlow: Linux and macOS.
"""

import argparse
import ast
import contextlib
import copy
import dataclasses
import importlib
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
BASE = "base"  # stands for ganzoo/base/, which the harness of BASE_PAPER looks at
BASE_PAPER = "dcgan"
IMPORT = "the import of the package"
# What the tests import, and what starts no TensorFlow: loaded once, for all forks.
LOADED = ("tensorflow", "pytest", "pydantic", "PIL.Image", "safetensors.numpy", "tensorflow_datasets")
FACTORS = r"self\.(\w+_(weight|gamma))"


@dataclasses.dataclass(frozen=True)
class Fault:
    """`make` gives changed copies of a tree by name, none where the paper has no place for the fault; `test` of HARNESS is the
    likely one to notice. The tree is that of `file`, or of the paper's own."""

    make: Callable[[ast.Module], Iterator[tuple[str, ast.Module]]]
    test: str
    file: str = ""


@dataclasses.dataclass(frozen=True)
class Mutant:
    """A fault in a file: its tree (None: as it is), and the beginning of the name of the tests to ask first."""

    name: str
    file: Path = Path()
    tree: ast.Module | None = None
    test: str = ""


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
    """Puts code instead of every variable that is read in a function and matches a regular expression."""

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
    """Puts another string instead of one in build_generator."""

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

            steps = r"\w+_step|updates|forward|fakes|mixed|judge_real|match_loss|noisy|due|recall"
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
    """Changes the keywords of the first call in a function that matches and whose keywords become others by it."""

    def found(node):
        return is_call(pattern)(node) and change(node.keywords) != node.keywords

    def make(node):
        node.keywords = change(node.keywords)
        return node

    return lambda tree: (("", t) for t in changed(tree, found, make, function=function))


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
    """Of the base: other source instead of an expression or statement, as `ast` writes it."""

    def make(tree):
        source = ast.unparse(tree)
        assert source.count(old) == 1, f"{source.count(old)} times {old!r} in the base: mend this fault"
        yield "", ast.parse(source.replace(old, new))

    return make


LAYER = r"layers\.(Conv\w+|Dense)|Equalized\w+"
G_LOSS, D_LOSS = r"self\.g_loss|(losses\.)?\w+_g", r"self\.d_loss|(losses\.)?(?!\w*_latents)\w+_d"
NOISE, ROW_SEEDS = r"self\.noise", r"self\.row_noise_seeds"
ARGUMENTS = "test_every_argument_of_the_constructor_counts"
LOOKS = "test_d_sees_a_picture_through_for_d_alone"
STEADY = "test_options_that_steady_a_training_reach_both_players"
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
STEPS = "ganzoo/base/steps.py"
BYTES = "test_a_batch_of_bytes_is_the_batch_of_its_floats"
SECOND, NUMBER, FROZEN = (
    "test_a_second_minimize_of_an_update_is_refused_in_micro_batches",
    "test_every_update_arrives_under_its_number",
    "test_all_weights_train_but_statistics_and_averages",
)

FAULTS = {
    # what the losses are
    "generator-sign": Fault(calls(G_LOSS, "-NODE", function="generator_step"), SIGN),
    "discriminator-sign": Fault(calls(D_LOSS, "-NODE", function="discriminator_step"), TELLS),
    "real-and-fake-swapped": Fault(swapped(D_LOSS, -2, -1), TELLS),
    "real-is-never-shown": Fault(names({"real|y|real_a": "fake"}, "discriminator_step"), TELLS),
    "logs-swapped": Fault(swapped(r"losses\.judgement|self\.judged"), TELLS),
    "generator-learns-from-constants": Fault(names({r"fake(_b)?": "tf.stop_gradient(NODE)"}, "generator_step"), SIGN),
    "term-left-out": Fault(factors("0.0 * TERM"), ARGUMENTS),
    "term-without-gradient": Fault(factors("FACTOR * tf.stop_gradient(TERM)"), LOSS),
    "term-with-another-sign-in-the-gradient": Fault(
        factors("FACTOR * (2.0 * tf.stop_gradient(TERM) - (TERM))"), LOSS
    ),
    "argument-not-read": Fault(unread, ARGUMENTS),
    "width-not-read": Fault(unbuilt, ARGUMENTS),
    # options of a run
    "pictures-shown-as-they-are": Fault(calls(r"self\.for_d", "ARG0"), LOOKS),
    "r1-left-out": Fault(calls(r"self\.r1", "0.0"), STEADY),
    "r2-left-out": Fault(calls(r"self\.r2", "0.0"), STEADY),
    "r2-of-reals": Fault(calls(r"self\.r2", "self.r2(ARG0, real)", function="discriminator_step"), STEADY),
    "d-loss-without-options": Fault(calls(r"self\.d_loss", "ARG0(ARG1, fake=ARG2)"), STEADY),
    "g-loss-without-options": Fault(calls(r"self\.g_loss", "ARG0(ARG1)"), STEADY),
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
        calls(
            G_LOSS, "NODE / tf.distribute.get_strategy().num_replicas_in_sync", function="generator_step", every=True
        ),
        REPLICAS,
    ),
    "training-passes-of-inference": Fault(inference, MOVES),
    # what comes out
    "generator-ends-linear": Fault(constants(("tanh", "sigmoid"), "linear"), FILL),
    "generator-ends-in-a-sigmoid": Fault(constants(("tanh",), "sigmoid"), FILL),
    "generator-ends-in-a-tanh": Fault(constants(("sigmoid",), "tanh"), FILL),
    "generator-makes-bytes": Fault(returned("NODE * 127.5"), FILL),
    "generator-begins-saturated": Fault(returned("keras.ops.sign(NODE)"), FILL),
    # what comes in, and what is said
    "batch-not-unpacked": Fault(calls(r"self\.unpack", "list(ARG0.values())"), BYTES),
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
    "replicas-draw-the-same-rows": Fault(text("drawn[share * rows:(share + 1) * rows]", "drawn[:rows]"), REPLICAS, STEPS),
    "gradients-summed-over-replicas": Fault(text("tf.ones_like(loss) / replicas", "tf.ones_like(loss)"), REPLICAS, STEPS),
    "gradient-has-another-sign": Fault(text("tf.ones_like(loss) / replicas", "-tf.ones_like(loss) / replicas"), LOSS, STEPS),
    "average-weighs-the-wrong-way": Fault(
        text("decay * shadow.value + (1 - decay) * weight.value", "(1 - decay) * shadow.value + decay * weight.value"),
        AVERAGE, STEPS,
    ),
    "step-not-counted": Fault(text("self.step.assign_add(1)", "pass"), LOGS, STEPS),
    "second-gradient-overwrites-the-first": Fault(text("(player, turn) in self.part.gradients", "False"), SECOND, STEPS),
    "samples-are-not-the-average-s": Fault(
        text("self.ema_generator if self.ema_decay else self.generator", "self.generator"), AVERAGE, "ganzoo/base/model.py"
    ),
    "average-starts-elsewhere": Fault(
        text("average.set_weights(network.get_weights())", "pass"), AVERAGE, "ganzoo/base/model.py"
    ),
    "bytes-become-another-range": Fault(text("/ 127.5 - 1", "/ 255.0"), BYTES, "ganzoo/base/batches.py"),
}  # fmt: skip


# ---- running the harness ---------------------------------------------------------------------------------------------
def files() -> dict[str, Path]:
    """Paper -> its file, from the repository's root."""
    found = {}
    for path in sorted((REPO / "ganzoo" / "models").glob("[a-z]*.py")):
        for paper in re.findall(r'^@register\("(.+)"\)', path.read_text("utf-8"), re.MULTILINE):
            found[paper] = path.relative_to(REPO)
    return found


@contextlib.contextmanager
def copied() -> Iterator[Path]:
    """A temporary copy of package and tests, the large files by links."""
    with tempfile.TemporaryDirectory(prefix="ganzoo-mutants-") as folder:
        root = Path(folder)
        # Compiled files come along: with their times, the copies count as what they were compiled from.
        leave_out = shutil.ignore_patterns("assets", "zoo_configs")
        shutil.copytree(REPO / "ganzoo", root / "ganzoo", ignore=leave_out)
        for name in ("ganzoo/assets", "ganzoo/zoo_configs"):
            (root / name).symlink_to((REPO / name).resolve())
        for name in ("tests", "tools", "zoo_configs", "pyproject.toml"):
            (root / name).symlink_to(REPO / name)
        yield root


def put_in(mutant: Mutant, folder: str) -> None:
    """In a process that has imported the papers: the changed file takes the place of the paper's module. It is written down,
    because TensorFlow reads the source of what it traces."""
    from ganzoo import registry

    module = importlib.import_module(".".join(mutant.file.with_suffix("").parts))
    for name in [name for name, cls in registry.models().items() if cls.__module__ == module.__name__]:
        del registry._MODELS[name]
    path = Path(folder) / mutant.file.name
    path.write_text(ast.unparse(mutant.tree), "utf-8")
    exec(compile(path.read_text("utf-8"), str(path), "exec"), vars(module))


class Trials:
    """A plugin of pytest that runs the tests once for each mutant, in a fork that has collected them and ends with the first
    failure; sends (mutant's name, outcome, test that failed) of each. `only`: names of the tests to run, all if empty."""

    def __init__(self, mutants: list[Mutant], only: set[str], seconds: float, pipe):
        self.mutants, self.only, self.seconds, self.pipe = mutants, only, seconds, pipe

    def pytest_runtestloop(self, session):
        for mutant in self.mutants:
            self.pipe.send((mutant.name, *self.ask(session.items, mutant)))
        return True

    def ask(self, items, mutant: Mutant) -> tuple[str, str]:
        items = [item for item in items if not self.only or item.name in self.only]
        items = sorted(items, key=lambda item: not item.name.startswith(mutant.test))
        told, self.tell = multiprocessing.Pipe(duplex=False)
        child = multiprocessing.get_context("fork").Process(target=self.run, args=(items, mutant))
        child.start()
        self.tell.close()
        child.join(self.seconds)
        if child.is_alive():
            child.kill()
            child.join()
            return "timeout", ""
        try:
            failed = told.recv()
        except EOFError:
            failed = IMPORT
        return ("killed" if failed else "survived"), failed

    def run(self, items, mutant: Mutant) -> None:
        with tempfile.TemporaryDirectory(prefix="ganzoo-mutants-") as folder:
            if mutant.tree is not None:
                put_in(mutant, folder)
            for item, following in zip(items, [*items[1:], None], strict=True):
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                if self.failed:
                    break
        self.tell.send(self.failed)
        os._exit(0)

    failed = ""

    def pytest_runtest_logreport(self, report):
        if report.failed and not self.failed:
            self.failed = report.nodeid.split("::")[-1]


def harness(root: Path, paper: str, trials: Trials) -> None:
    """In a process of its own: the tests of a paper on the package in a folder."""
    os.chdir(root)
    sys.path[:0] = [str(root), str(root / "tests")]
    sys.dont_write_bytecode = True
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # those of other packages are seconds
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 1)
        os.dup2(nothing.fileno(), 2)
    import pytest

    options = ["-q", "-s", "--tb=no", "-p", "no:cacheprovider", "--rootdir", str(root), "--paper", paper]
    code = int(pytest.main([*options, *HARNESS, "tests/models"], plugins=[trials]))
    if code == pytest.ExitCode.NO_TESTS_COLLECTED:
        trials.pipe.send(("", "no tests", ""))
    os._exit(0)


def tried(
    root: Path, paper: str, mutants: list[Mutant], seconds: float, only: set[str] = frozenset()
) -> Iterator[Verdict]:
    """The verdicts on mutants of a paper in the package of a folder, by all tests of the harness or by some."""
    told, tell = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(
        target=harness, args=(root, paper, Trials(mutants, only, seconds, tell))
    )
    child.start()
    tell.close()
    for mutant in mutants:
        try:
            name, outcome, by = told.recv()
        except EOFError:  # nothing was collected
            name, outcome, by = mutant.name, "killed", IMPORT
        if outcome == "no tests":
            raise SystemExit(f"No test of the harness is about {paper}.")
        yield Verdict(paper, name, outcome, by)
    child.join()


def verdicts(paper: str, mutants: list[Mutant], seconds: float) -> Iterator[Verdict]:
    """On each mutant of a paper. What the base changes must be there before the papers are imported: a copy for each."""
    if paper != BASE:
        yield from tried(REPO, paper, mutants, seconds)
        return
    for mutant in mutants:
        with copied() as root:
            (root / mutant.file).write_text(ast.unparse(mutant.tree), "utf-8")
            for verdict in tried(root, BASE_PAPER, [dataclasses.replace(mutant, tree=None)], seconds):
                yield dataclasses.replace(verdict, paper=BASE)


def mutants(paper: str) -> Iterator[Mutant]:
    """Every fault that the paper's file, or the base, has a place for."""
    for name, fault in (BASE_FAULTS if paper == BASE else FAULTS).items():
        file = Path(fault.file or files()[paper])
        for part, tree in fault.make(ast.parse((REPO / file).read_text("utf-8"))):
            test = fault.test
            if test == ARGUMENTS and part:  # the parameter's own
                test = f"{test}[{paper}-{part}]"
            yield Mutant(f"{name}:{part}" if part else name, file, tree, test)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--paper", choices=[*files(), BASE], help="only this paper, or the base that all have")
    parser.add_argument("--fault", help="only faults whose name begins so")
    parser.add_argument("--seconds", type=float, default=600, help="for the tests of one fault")
    parser.add_argument("--list", action="store_true", help="show the faults and run nothing")
    given = parser.parse_args()
    bad = 0
    if not given.list:
        for name in LOADED:
            importlib.import_module(name)
    for paper in [given.paper] if given.paper else [*files(), BASE]:
        found = [mutant for mutant in mutants(paper) if mutant.name.startswith(given.fault or "")]
        if given.list:
            print(f"{paper}: {', '.join(mutant.name for mutant in found)}")
            continue
        seen = []
        for verdict in verdicts(paper, found, given.seconds):
            seen.append(verdict)
            word = verdict.outcome if verdict.outcome == "killed" else verdict.outcome.upper()
            print(f"{word:9} {paper}  {verdict.fault}  {verdict.by}", flush=True)
        killers = {verdict.by for verdict in seen} - {"", IMPORT}
        patience = given.seconds * max(len(killers), 1)
        for control in tried(REPO, BASE_PAPER if paper == BASE else paper, [Mutant("none")], patience, killers):
            if killers and control.outcome != "survived":
                print(f"FAILS     {paper}: {control.by or control.outcome}, without any fault")
                bad += 1
        killed = sum(verdict.outcome == "killed" for verdict in seen)
        print(f"{paper}: {killed} of {len(seen)} faults killed, by {len(killers)} tests", flush=True)
        bad += len(seen) - killed
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
