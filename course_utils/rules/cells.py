"""What the rules look at: the cells of a notebook, their tags, their outputs and their code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any


def code_cells(notebook) -> Iterator[tuple[int, Any]]:
    """Yield index and cell of every code cell."""
    return ((i, cell) for i, cell in enumerate(notebook.cells) if cell.cell_type == "code")


def markdown_cells(notebook) -> Iterator[tuple[int, Any]]:
    """Yield index and cell of every Markdown cell."""
    return ((i, cell) for i, cell in enumerate(notebook.cells) if cell.cell_type == "markdown")


def tags(cell) -> list[str]:
    """Return the tags of a cell."""
    return cell.metadata.get("tags", [])


def outputs(notebook) -> Iterator[tuple[int, Any]]:
    """Yield index of the cell and output, for every output."""
    return ((i, output) for i, cell in code_cells(notebook) for output in cell.outputs)


def output_text(output) -> str:
    """Return all that can be read in an output; pictures are left out."""
    if output.output_type == "stream":
        return output.text
    if output.output_type == "error":
        return "\n".join([output.ename, output.evalue, *output.traceback])
    texts = (value for kind, value in output.data.items() if not kind.startswith("image/"))
    return "\n".join(str(text) for text in texts)


def tree(cell) -> ast.Module | None:
    """Parse the code of a cell, its magics left out; None if it is not Python."""
    from IPython.core.inputtransformer2 import TransformerManager

    try:
        return ast.parse(TransformerManager().transform_cell(cell.source))
    except SyntaxError:
        return None


def calls(notebook) -> Iterator[tuple[int, ast.Call]]:
    """Yield index of the cell and call, for every call in the code."""
    for i, cell in code_cells(notebook):
        for node in ast.walk(tree(cell) or ast.Module([], [])):
            if isinstance(node, ast.Call):
                yield i, node
