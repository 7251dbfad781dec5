"""Rules about how a lesson is built: short cells, led in, exercises with folded solutions."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping

from .cells import calls, code_cells, markdown_cells, tags, tree

MOST_LINES = 25
WIDEST = 99
EXERCISES = range(3, 6)
DISCLAIMER = "not a medical device"
OTHER_OPTIMIZERS = ("torch.", "monai.")  # where the keyword is called lr by right


def lines(notebook) -> Iterator[tuple[int, str]]:
    """A code cell has at most 25 lines."""
    for i, cell in code_cells(notebook):
        found = len(cell.source.splitlines())
        if found > MOST_LINES:
            yield i, f"expected at most {MOST_LINES} lines, found {found}"


def width(notebook) -> Iterator[tuple[int, str]]:
    """Nobody has to scroll sideways: code has at most 99 columns."""
    for i, cell in code_cells(notebook):
        found = max(map(len, cell.source.splitlines()), default=0)
        if found > WIDEST:
            yield i, f"expected at most {WIDEST} columns, found {found}"


def lead_in(notebook) -> Iterator[tuple[int, str]]:
    """A sentence leads to every code cell; a solution follows its exercise without one."""
    for i, cell in code_cells(notebook):
        if "solution" not in tags(cell) and not _sentence(notebook.cells[i - 1] if i else None):
            yield i, "expected a sentence in a Markdown cell before this one, found none"


def _sentence(cell) -> bool:
    if cell is None or cell.cell_type != "markdown":
        return False
    texts = (line for line in cell.source.splitlines() if not line.startswith("#"))
    return any(len(text.split()) > 2 for text in texts)


def exercises(notebook) -> Iterator[tuple[int | None, str]]:
    """Three to five exercises, each with a check, one of them about the published recipe."""
    found = [(i, cell) for i, cell in code_cells(notebook) if "exercise" in tags(cell)]
    if len(found) not in EXERCISES:
        yield None, f"expected 3 to 5 cells tagged exercise, found {len(found)}"
    if found and not any("debug" in tags(cell) for _, cell in found):
        yield None, "expected an exercise tagged debug, about the published recipe, found none"
    for i, cell in found:
        if "checks." not in cell.source:
            yield i, "expected a check of the answer, checks.<lesson>.<name>(...), found none"


def solutions(notebook) -> Iterator[tuple[int, str]]:
    """A solution follows each exercise."""
    for i, cell in code_cells(notebook):
        later = [other for j, other in code_cells(notebook) if j > i]
        if "exercise" in tags(cell) and not (later and "solution" in tags(later[0])):
            yield i, "expected a cell tagged solution after the exercise, found none"


def folded(notebook) -> Iterator[tuple[int, str]]:
    """A solution is folded, in JupyterLab and in Colab."""
    for i, cell in code_cells(notebook):
        if "solution" in tags(cell):
            if cell.metadata.get("jupyter", {}).get("source_hidden") is not True:
                yield i, "expected metadata.jupyter.source_hidden true on a solution"
            if cell.metadata.get("cellView") != "form":
                yield i, "expected metadata.cellView form (Colab) on a solution"
            if not cell.source.startswith("# @title "):
                yield i, "expected # @title in the first line of a solution (Colab shows it folded)"


def old_names(notebook) -> Iterator[tuple[int, str]]:
    """Keras 3 is called by its own names: no ``tensorflow.keras``, no ``.h5``, no ``lr=``."""
    for i, cell in code_cells(notebook):
        for node in ast.walk(tree(cell) or ast.Module([], [])):
            if found := _old_name(node):
                yield i, f"expected Keras 3's own names, found {found}"


def _old_name(node: ast.AST) -> str:
    """Return what is outdated in one node of the code, or an empty string."""
    if isinstance(node, ast.Import):
        names = " ".join(alias.name for alias in node.names)
        return "tensorflow.keras" if "tensorflow.keras" in names else ""
    if isinstance(node, ast.ImportFrom):
        names = [f"{node.module}.{alias.name}" for alias in node.names]
        return "tensorflow.keras" if any(n.startswith("tensorflow.keras") for n in names) else ""
    if isinstance(node, ast.Attribute):
        name = ast.unparse(node)
        return name if name in ("tf.keras", "tensorflow.keras") else ""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return ".h5" if re.search(r"(?<!\.weights)\.h5$", node.value) else ""
    if isinstance(node, ast.Call) and any(word.arg == "lr" for word in node.keywords):
        return "" if ast.unparse(node.func).startswith(OTHER_OPTIMIZERS) else "lr="
    return ""


def one_metrics_call(notebook) -> Iterator[tuple[None, str]]:
    """``metrics.json`` is written by one call."""
    found = [ast.unparse(call.func) for _, call in calls(notebook)]
    times = sum(name.endswith("write_metrics") for name in found)
    if times != 1:
        yield None, f"expected one call of write_metrics, found {times}"


def disclaimer(notebook) -> Iterator[tuple[None, str]]:
    """It says once that this is no medical device."""
    times = sum(cell.source.count(DISCLAIMER) for _, cell in markdown_cells(notebook))
    if times != 1:
        yield None, f"expected {DISCLAIMER!r} once in the text, found it {times} times"


def frame(notebook, expected: Mapping[str, str]) -> Iterator[tuple[int | None, str]]:
    """The title, the box and the setup cell are those that the table gives."""
    for tag, source in expected.items():
        found = [(i, cell) for i, cell in enumerate(notebook.cells) if tag in tags(cell)]
        if len(found) != 1:
            yield None, f"expected one cell tagged {tag}, found {len(found)}"
        for i, cell in found:
            if cell.source != source:
                yield i, f"expected the {tag} made from the table, found another: run course save"


RULES = (
    lines, width, lead_in, exercises, solutions, folded, old_names, one_metrics_call, disclaimer,
)  # fmt: skip
