"""Rules about what is stored in a notebook: its outputs, its metadata, its size."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import nbformat

from .. import paths
from .cells import code_cells, output_text, outputs, tags

LARGEST = 2_500_000  # bytes
CHECKED = "# NBVAL_CHECK_OUTPUT"
FEWEST_CHECKED = 6
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
LANGUAGE = {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"}
CELL_METADATA = {"tags", "jupyter", "cellView"}
WIDGET = "application/vnd.jupyter.widget-view+json"
NUMBER = r"([+-]?\d*\.?\d+)"
INTERVAL = re.compile(rf"(?<![\w.]){NUMBER}(?: ?%)? \({NUMBER}(?: ?%)? to {NUMBER}(?: ?%)?[,)]")
PRIVATE = re.compile(r"~/|/home/|/root/|/Users/|/tmp/|/content/|[A-Za-z]:\\+Users\\")


def counts(notebook) -> Iterator[tuple[int, str]]:
    """Every code cell was run once, from top to bottom: counts 1 to n. The first breach is told."""
    for expected, (i, cell) in enumerate(code_cells(notebook), start=1):
        if cell.execution_count != expected:
            yield i, f"expected execution count {expected}, found {cell.execution_count}"
            return


def errors(notebook) -> Iterator[tuple[int, str]]:
    """No cell ended with an error."""
    for i, output in outputs(notebook):
        if output.output_type == "error":
            yield i, f"expected a cell that runs, found {output.ename}"


def stderr(notebook) -> Iterator[tuple[int, str]]:
    """Nothing was written to standard error."""
    for i, output in outputs(notebook):
        if output.output_type == "stream" and output.name == "stderr":
            yield i, f"expected no standard error, found {output.text.strip()[:60]!r}"


def warnings(notebook) -> Iterator[tuple[int, str]]:
    """No output shows a warning, wherever it was written."""
    for i, output in outputs(notebook):
        found = re.search(r"\b\w*warning:.{0,60}", output_text(output), re.IGNORECASE)
        is_stderr = output.output_type == "stream" and output.name == "stderr"
        if found and not is_stderr:
            yield i, f"expected no warning, found {found.group(0)!r}"


def private_paths(notebook) -> Iterator[tuple[int, str]]:
    """No output and no code names a folder of the machine it was made on."""
    here = [str(folder) for folder in (Path.home(), paths.checkout()) if folder]
    pattern = re.compile("|".join([PRIVATE.pattern, *map(re.escape, here)]))
    texts = [(i, cell.source) for i, cell in code_cells(notebook)]
    texts += [(i, output_text(output)) for i, output in outputs(notebook)]
    for i, text in texts:
        if found := pattern.search(text):
            line = text[found.start() :].splitlines()[0]
            yield i, f"expected no path of one machine, found {line[:60]!r}"


def widgets(notebook) -> Iterator[tuple[int | None, str]]:
    """No state of a widget is stored, nor a view that would be empty without it."""
    if "widgets" in notebook.metadata:
        yield None, "expected no metadata.widgets, found the state of widgets"
    for i, output in outputs(notebook):
        if WIDGET in output.get("data", {}):
            yield i, "expected a static figure, found the view of a widget without its state"


def leftovers(notebook) -> Iterator[tuple[int | None, str]]:
    """Nothing of papermill or of an editor is left in the metadata."""
    for key in sorted(set(notebook.metadata) - {"kernelspec", "language_info", "widgets"}):
        yield None, f"expected kernelspec and language_info alone in metadata, found {key}"
    for i, cell in enumerate(notebook.cells):
        for key in sorted(set(cell.metadata) - CELL_METADATA):
            yield i, f"expected only tags and folding in the cell's metadata, found {key}"
        for tag in tags(cell):
            if tag == "injected-parameters" or tag.startswith("papermill"):
                yield i, f"expected no cell of papermill, found the tag {tag}"


def kernel(notebook) -> Iterator[tuple[None, str]]:
    """The kernel is named the same on every machine, and without a patch version."""
    for key, expected in (("kernelspec", KERNEL), ("language_info", LANGUAGE)):
        found = notebook.metadata.get(key)
        if found != expected:
            yield None, f"expected {key} {expected}, found {found}"


def ids(notebook) -> Iterator[tuple[int, str]]:
    """Every cell has an id of its own, by which it can be found after it has moved."""
    seen: set[str] = set()
    for i, cell in enumerate(notebook.cells):
        found = cell.get("id", "")
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", found) or found in seen:
            yield i, f"expected an id that no other cell has, found {found!r}"
        seen.add(found)


def size(notebook) -> Iterator[tuple[None, str]]:
    """The file is at most 2.5 MB."""
    found = len(nbformat.writes(notebook).encode("utf-8"))
    if found > LARGEST:
        yield None, f"expected at most {LARGEST / 1e6:.1f} MB, found {found / 1e6:.2f} MB"


def streams(notebook) -> Iterator[tuple[int, str]]:
    """What a cell prints is stored in one piece, however it came."""
    for i, cell in code_cells(notebook):
        names = [output.get("name") for output in cell.outputs]
        if any(first == second is not None for first, second in pairwise(names)):
            yield i, "expected one piece of printed text, found several in a row"


def alt_text(notebook) -> Iterator[tuple[int, str]]:
    """Every picture carries a text for those who do not see it."""
    for i, output in outputs(notebook):
        for kind in output.get("data", {}):
            if kind.startswith("image/") and not _alt(output, kind):
                yield i, f"expected alt text with the picture, found none for {kind}"


def _alt(output, kind: str) -> str:
    found = output.metadata.get(kind, {})
    return found.get("alt", "").strip() if isinstance(found, dict) else ""


def hidden_answers(notebook) -> Iterator[tuple[int, str]]:
    """What a solution shows is not stored: it would stand open beneath the folded code."""
    for i, cell in code_cells(notebook):
        if "solution" in tags(cell) and cell.outputs:
            yield i, "expected no stored output of a solution, found one: run course save"


def intervals(notebook) -> Iterator[tuple[int, str]]:
    """A printed value lies in the interval printed behind it, as in 0.81 (0.75 to 0.86)."""
    for i, output in outputs(notebook):
        for found in INTERVAL.finditer(output_text(output)):
            value, low, high = map(float, found.groups())
            if not low <= value <= high:
                yield i, f"expected a value in its own interval, found {found.group(0)!r}"


def checked_cells(notebook) -> Iterator[tuple[int | None, str]]:
    """At least six cells have outputs that the test suite compares."""
    marked = [(i, cell) for i, cell in code_cells(notebook) if CHECKED in cell.source]
    for i, cell in marked:
        if not cell.outputs:
            yield i, f"expected an output to compare, found {CHECKED} on a cell without one"
    if len(marked) < FEWEST_CHECKED:
        yield None, f"expected at least {FEWEST_CHECKED} cells with {CHECKED}, found {len(marked)}"


RULES = (
    counts, errors, stderr, warnings, private_paths, widgets, leftovers, kernel, ids, size,
    streams, alt_text, hidden_answers, intervals, checked_cells,
)  # fmt: skip
