"""Every rule is broken by its own fixture notebook, and by that one alone."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import pytest

from course_utils import rules
from course_utils.errors import NotebookError
from course_utils.rules.contract import uses_of

FIXTURES = Path(__file__).parent / "fixtures" / "notebooks"
SPEC = importlib.util.spec_from_file_location("make_fixtures", FIXTURES / "make.py")
make = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(make)
ALL_RULES = [*rules.RULES, "frame"]


def check(name: str) -> list[rules.Finding]:
    large = make.broken(make.size) if name == "size" else None  # too large to be kept as a file
    return rules.check(large or rules.read(FIXTURES / f"{name}.ipynb"), name, make.FRAME)


def test_the_good_notebook_keeps_every_rule():
    assert check("good") == []


@pytest.mark.parametrize("rule", ALL_RULES)
def test_a_broken_notebook_is_caught_by_its_rule_alone(rule):
    findings = check(rule)
    assert findings
    assert {finding.rule for finding in findings} == {rule}


def test_there_is_a_fixture_for_every_rule_and_no_other():
    stems = {path.stem for path in FIXTURES.glob("*.ipynb")}
    assert stems == {"good", *ALL_RULES} - {"size"}


def test_the_fixtures_are_what_make_writes(tmp_path):
    make.write(tmp_path)
    for path in tmp_path.glob("*.ipynb"):
        assert path.read_text() == (FIXTURES / path.name).read_text(), path.name


def test_a_finding_says_where_what_and_which_rule():
    assert str(check("counts")[0]) == (
        "counts, cell 31: expected execution count 17, found 18 (counts)"
    )


def test_a_second_copy_of_a_lesson_is_found(tmp_path):
    path = tmp_path / "05_unet_nuclei.ipynb"
    path.touch()
    assert not list(rules.only_source(path))
    path.with_suffix(".py").touch()
    assert [finding.rule for finding in rules.only_source(path)] == ["only_source"]


def test_a_file_that_is_no_notebook_is_a_finding(tmp_path):
    path = tmp_path / "05_unet_nuclei.ipynb"
    path.write_text("{")
    assert rules.check_file(path)[0].rule == "readable"


def test_insist_names_the_first_finding_and_counts_the_others():
    with pytest.raises(NotebookError, match=r"cell 31: .* \(counts\)"):
        rules.insist(check("counts"))
    rules.insist([])


def broken(change) -> set[str]:
    """Return the rules that a change to the good notebook breaks."""
    notebook = make.good()
    change(notebook)
    return {finding.rule for finding in rules.check(notebook, "changed", make.FRAME)}


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("for EPOCHS in range(3): pass", "overwritten"),
        ("import numpy as EPOCHS", "overwritten"),
        ("with open('x') as EPOCHS: pass", "overwritten"),
        ("EPOCHS, other = 1, 2", "overwritten"),
        ("if True: EPOCHS = 5", "overwritten"),
        ("def EPOCHS(): pass", "overwritten"),
    ],
)
def test_every_way_to_assign_again_is_seen(line, rule):
    def change(notebook):
        cell = make.find(notebook, "epochs = EPOCHS")
        cell.source = f"{line}\n{cell.source}"

    assert broken(change) == {rule}


@pytest.mark.parametrize(
    "line",
    [
        "def train(epochs=EPOCHS): pass",
        "rates = [EPOCHS for _ in range(2)]",
        "def train():\n    return EPOCHS",
        "f = lambda EPOCHS: EPOCHS",
    ],
)
def test_reading_first_is_allowed(line):
    def change(notebook):
        cell = make.find(notebook, "epochs = EPOCHS")
        cell.source = f"{line}\n{cell.source}"

    assert broken(change) == set()


@pytest.mark.parametrize(
    ("first", "second", "rule"),
    [
        ("scores = 1", "scores = 2\nscores", set()),  # never taken from elsewhere
        ("scores = 1", "print(scores)", set()),
        ("for k in range(3): pass", "for k in range(3): print(k)", set()),
        ("import json", "import json\njson.dumps(1)", set()),
        ("scores = 1", "def mean():\n    return scores", set()),
        ("scores = 1", "scores = scores + 1", {"bound_once"}),
        ("scores = 1", "scores += 1", {"bound_once"}),
        ("scores = 1", "print(scores)\nfor scores in (1, 2): pass", {"bound_once"}),
        ("EPOCHS = EPOCHS or 3", "", {"bound_once"}),
        ("EPOCHS += 1", "", {"bound_once"}),
        ("scores = 1\nscores = scores + 1", "print(scores)", set()),
        ("k = 1\ndef f():\n    return k", "for k in range(3): print(k)", {"bound_once"}),
        ("k = 1\ndef f(k):\n    return k", "for k in range(3): print(k)", set()),
        ("answer = 1", "", set()),  # a solution binds what its exercise binds
    ],
)
def test_a_cell_can_be_run_again(first, second, rule):
    def change(notebook):
        cells = [cell for cell in notebook.cells if "NBVAL_CHECK_OUTPUT" in cell.source]
        cells[0].source += f"\n{first}"
        cells[1].source += f"\n{second}"

    assert broken(change) == rule


def test_a_name_that_two_cells_bind_is_no_source_for_a_third():
    def change(notebook):
        cells = [cell for cell in notebook.cells if "NBVAL_CHECK_OUTPUT" in cell.source]
        for cell, line in zip(cells, ["scores = 1", "scores = 2", "print(scores)"]):
            cell.source += f"\n{line}"

    assert broken(change) == {"bound_once"}


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ("0.81 (0.75 to 0.86)", True),
        ("81 % (75 to 86 %)", True),
        ("-0.01 (-0.03 to 0.02), 12 cases", True),
        ("+.199 (.170 to .230)", True),
        ("0.81 (0.82 to 0.86)", False),
        ("gain -0.01 (0.00 to 0.02)", False),
        ("cells 3 (1 to n)", True),
        ("60 images, 40 (of 5 to 8)", True),
    ],
)
def test_a_printed_value_lies_in_its_interval(words, kept):
    def change(notebook):
        notebook.cells[-1].outputs = [make.printed(f"{words}\n")]

    assert broken(change) == (set() if kept else {"intervals"})


def test_a_parameter_only_handed_to_start_is_not_read():
    def change(notebook):
        cell = make.find(notebook, "epochs = EPOCHS")
        cell.source = cell.source.replace("DIR=OUTPUT_DIR, SEED=SEED", "DIR=OUTPUT_DIR, E=EPOCHS")
        cell.source = cell.source.replace("epochs = EPOCHS or 3", "epochs = 3")

    assert broken(change) == {"never_read"}


@pytest.mark.parametrize(
    ("code", "uses"),
    [
        ("{A: B for A in C}", [("C", True), ("B", True)]),
        ("class K(A):\n    B = C", [("A", True), ("C", True), ("K", False)]),
        ("(A := B)", [("B", True), ("A", False)]),
        ("A: int", []),
        ("import a.b", [("a", False)]),
    ],
)
def test_uses_come_in_the_order_in_which_code_runs(code, uses):
    assert uses_of(ast.parse(code)) == uses


@pytest.mark.parametrize(
    ("line", "caught"),
    [
        ("from tensorflow import keras", True),
        ("from tensorflow.keras import layers", True),
        ("import tensorflow.keras as k", True),
        ("model = tf.keras.Model()", True),
        ('model.save("model.h5")', True),
        ('model.save_weights("model.weights.h5")', False),
        ("torch.optim.SGD(weights, lr=0.1)", False),
        ("keras.optimizers.SGD(lr=0.1)", True),
        ("import keras", False),
    ],
)
def test_old_names_are_told_from_good_ones(line, caught):
    def change(notebook):
        notebook.cells[-1].source += f"\n{line}"

    assert broken(change) == ({"old_names"} if caught else set())


def test_magics_are_no_breach():
    def change(notebook):
        notebook.cells[-1].source = "%time\n" + notebook.cells[-1].source

    assert broken(change) == set()
