"""The faults that the harness is asked about: each is a change of a paper's file that still parses, and a killed one is told
from one that survives."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from ganzoo import presets
from tools import mutants

REPO = Path(__file__).resolve().parents[2]


def test_there_are_many_faults_and_every_paper_has_its_share():
    assert len(mutants.FAULTS) + len(mutants.BASE_FAULTS) >= 25
    assert set(mutants.files()) == set(presets.list_models())


@pytest.mark.parametrize("paper", [*presets.list_models(), mutants.BASE])
def test_a_fault_changes_the_file_and_nothing_else(paper):
    tests = "".join((REPO / file).read_text("utf-8") for file in mutants.HARNESS)
    found = list(mutants.mutants(paper))
    assert len(found) >= 7  # of a paper that has just begun, too
    assert len({mutant.name for mutant in found}) == len(found)
    for mutant in found:
        after = ast.unparse(mutant.tree)
        compile(after, mutant.name, "exec")
        assert after != ast.unparse(ast.parse((REPO / mutant.file).read_text("utf-8"))), mutant.name
        assert f"def {mutant.test.split('[')[0]}(" in tests, mutant.name


@pytest.mark.slow
def test_a_planted_fault_is_killed_by_a_test_that_the_unchanged_paper_passes():
    command = [sys.executable, "-m", "tools.mutants", "--paper", "gan", "--fault", "generator-sign"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200, check=False, cwd=REPO)
    # That test is run on the unchanged paper, too, or FAILS is printed.
    assert done.returncode == 0, done.stdout + done.stderr
    killed, count = done.stdout.splitlines()
    assert killed.startswith("killed    gan  generator-sign  test_the_generator_s_loss_falls")
    assert count == "gan: 1 of 1 faults killed, by 1 tests"
