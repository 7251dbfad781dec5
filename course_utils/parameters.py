"""The parameter contract of a lesson: what its cell tagged ``parameters`` declares.

papermill passes an unknown or misspelt parameter with a warning and exit code 0. So the cell is
read, without running it, and every value is checked against it before a kernel starts.
"""

from __future__ import annotations

import ast
import difflib
import io
import tokenize
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .errors import NotebookError, ParameterError

TAG = "parameters"
PROFILES = ("sample", "cpu", "gpu")
TYPES = {"int": int, "float": float, "bool": bool, "str": str}
TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@dataclass(frozen=True)
class Parameter:
    """One line of the cell: ``NAME: type = default  # comment``."""

    name: str
    type: str
    default: Any
    comment: str


def tagged(notebook, tag: str) -> list[tuple[int, Any]]:
    """Return the cells of a notebook that carry a tag, each with its index."""
    cells = enumerate(notebook.cells)
    return [(i, cell) for i, cell in cells if tag in cell.metadata.get("tags", [])]


def contract(notebook) -> dict[str, Parameter]:
    """Read the parameters that a lesson declares, by name.

    Parameters
    ----------
    notebook
        An ``nbformat`` notebook.

    Raises
    ------
    NotebookError
        If there is not exactly one cell tagged ``parameters``, or a line of it is not of the form
        ``NAME: type = default``.
    """
    cells = tagged(notebook, TAG)
    if len(cells) != 1:
        raise NotebookError(
            f"a lesson must have one cell tagged {TAG}, found {len(cells)}: tag exactly one"
        )
    return read(cells[0][1].source)


def read(source: str) -> dict[str, Parameter]:
    """Read the source of a parameters cell.

    Examples
    --------
    >>> read("SEED: int = 7  # of every random draw")["SEED"]
    Parameter(name='SEED', type='int', default=7, comment='of every random draw')
    """
    comments = _comments(source)
    try:
        statements = ast.parse(source).body
    except SyntaxError as error:
        raise NotebookError(
            f"the parameters cell must be Python, found: {error}: mend it"
        ) from error
    return {p.name: p for p in (_parameter(statement, comments) for statement in statements)}


def _comments(source: str) -> dict[int, str]:
    """Return the comment at the end of each line, by line number counted from 1."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    except (tokenize.TokenError, SyntaxError):
        return {}
    found = (token for token in tokens if token.type == tokenize.COMMENT)
    return {token.start[0]: token.string.lstrip("# ").strip() for token in found}


def _parameter(statement: ast.stmt, comments: Mapping[int, str]) -> Parameter:
    form = isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
    kind = ast.unparse(statement.annotation) if form else ""
    try:
        default = ast.literal_eval(statement.value) if form and statement.value else None
    except ValueError:
        default = None
    if kind not in TYPES or type(default) is not TYPES[kind]:
        raise NotebookError(
            "a parameter must read NAME: int|float|bool|str = value of that type, found "
            f"{ast.unparse(statement)!r}: rewrite it"
        )
    return Parameter(statement.target.id, kind, default, comments.get(statement.end_lineno, ""))


def parse(parameter: Parameter, text: str) -> Any:
    """Turn the text of a command line into a value of the declared type.

    Raises
    ------
    ParameterError
        If the text is not of that type, or ``PROFILE`` is none of the three.

    Examples
    --------
    >>> parse(Parameter("EPOCHS", "int", 0, ""), "12")
    12
    """
    try:
        value = TRUTH[text.lower()] if parameter.type == "bool" else TYPES[parameter.type](text)
    except (ValueError, KeyError) as error:
        raise ParameterError(
            f"{parameter.name} must be of type {parameter.type}, found {text!r}: "
            f"give a value such as {parameter.default!r}"
        ) from error
    if parameter.name == "PROFILE" and value not in PROFILES:
        raise ParameterError(f"{value!r} is not a profile{nearest(value, PROFILES)}")
    return value


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``": did you mean ...?"`` for the known name that looks most like this one.

    Examples
    --------
    >>> nearest("EPOCS", ["EPOCHS", "SEED"])
    ': did you mean EPOCHS?'
    """
    known = sorted(known)
    upper = {word.upper(): word for word in known}
    close = difflib.get_close_matches(name.upper(), upper, n=1, cutoff=0.4)
    return f": did you mean {upper[close[0]]}?" if close else f": choose one of {', '.join(known)}"


def bind(
    contracts: Mapping[str, Mapping[str, Parameter]], given: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """Give each lesson the values that it declares, checked.

    Parameters
    ----------
    contracts
        Lesson to its `contract`.
    given
        Parameter to the text given on the command line. Each must be declared by at least one of
        the lessons; a lesson that does not declare it goes without.

    Returns
    -------
    dict
        Lesson to the typed values.

    Raises
    ------
    ParameterError
        If a name is unknown in all lessons (the nearest one is suggested), or a value is wrong.
    """
    known = {name for declared in contracts.values() for name in declared}
    for name in given:
        if name not in known:
            where = next(iter(contracts)) if len(contracts) == 1 else "any of the lessons"
            raise ParameterError(f"{name} is not a parameter of {where}{nearest(name, known)}")
    return {
        lesson: {name: parse(declared[name], given[name]) for name in given if name in declared}
        for lesson, declared in contracts.items()
    }
