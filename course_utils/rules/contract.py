"""Rules about the parameters: declared once, typed, explained, and really used."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .. import parameters
from ..errors import NotebookError
from .cells import code_cells, tags, tree

COMMON = ("PROFILE", "DATA_DIR", "OUTPUT_DIR", "SEED", "EPOCHS")
READ_BY_START = {"PROFILE", "OUTPUT_DIR", "SEED"}  # what runtime.start itself makes use of


def python(notebook) -> Iterator[tuple[int, str]]:
    """Every code cell is Python."""
    for i, cell in code_cells(notebook):
        if tree(cell) is None:
            yield i, "expected Python, found a cell that cannot be parsed"


def one_parameters_cell(notebook) -> Iterator[tuple[None, str]]:
    """Exactly one cell is tagged ``parameters``."""
    found = len(parameters.tagged(notebook, parameters.TAG))
    if found != 1:
        yield None, f"expected one cell tagged {parameters.TAG}, found {found}"


def declared(notebook) -> Iterator[tuple[int, str]]:
    """Every parameter is typed, has a default of that type and a comment; the common ones exist."""
    for i, cell in parameters.tagged(notebook, parameters.TAG):
        try:
            found = parameters.read(cell.source)
        except NotebookError as error:
            yield i, str(error)
            continue
        for parameter in found.values():
            if not parameter.comment:
                yield i, f"expected a comment that says what {parameter.name} does, found none"
        for name in COMMON:
            if name not in found:
                yield i, f"expected the parameter {name}, found {', '.join(found)}"
        if "PROFILE" in found and found["PROFILE"].default != "sample":
            yield i, f"expected PROFILE sample by default, found {found['PROFILE'].default}"


def never_read(notebook) -> Iterator[tuple[int, str]]:
    """Every parameter is read; being handed to ``runtime.start`` alone does not count."""
    for i, name, uses in _used(notebook):
        if not any(read for _, read in uses):
            yield i, f"expected the parameter {name} to be used, found that nothing reads it"


def overwritten(notebook) -> Iterator[tuple[int, str]]:
    """No parameter is assigned again before it is read: a value given to it would be lost."""
    for _, name, uses in _used(notebook):
        if uses and not uses[0][1]:
            yield uses[0][0], f"expected {name} to be read first, found that it is assigned again"


def _used(notebook) -> Iterator[tuple[int, str, list[tuple[int, bool]]]]:
    """Yield each parameter: its cell, its name, and (cell, is read) of each use in turn."""
    for i, cell in parameters.tagged(notebook, parameters.TAG)[:1]:
        after = [(j, tree(other)) for j, other in code_cells(notebook) if j > i]
        events = [(j, *event) for j, module in after if module for event in uses_of(module)]
        for name in _names(cell):
            yield i, name, [(j, read) for j, used, read in events if used == name]


def _names(cell) -> list[str]:
    statements = tree(cell).body if tree(cell) else []
    targets = [getattr(s, "target", None) for s in statements]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def bound_once(notebook) -> Iterator[tuple[int, str]]:
    """A name that one cell takes from another is bound in one cell, so any cell can be run again.

    A cell that takes a name from elsewhere does not bind it anew either, and what a function looks
    up when it is called is bound once too. An exercise and its solution count as one cell; imports
    and other names used within their own cell are free.
    """
    binders: dict[str, list[int]] = {}
    takers: list[tuple[int, str, bool]] = []  # cell, name, whether the cell binds it as well
    for i, cell in code_cells(notebook):
        module = tree(cell) or ast.Module([], [])
        taken, bound = _from_elsewhere(module)
        takers += [(i, name, name in bound) for name in taken]
        takers += [(i, name, False) for name in _looked_up(module) & bound]
        if "solution" not in tags(cell):
            for name in bound:
                binders.setdefault(name, []).append(i)
    for i, name, again in takers:
        where = binders.get(name, [])
        if len(where) > 1:
            yield i, f"expected {name} from one cell, found it bound in cells {where}: rename one"
        elif again and where != [i]:
            yield i, f"expected a new name, found that the cell takes {name} and binds it again"


def _from_elsewhere(module: ast.Module) -> tuple[list[str], set[str]]:
    """Return the names that a cell reads before it binds them, and those that it binds."""
    imported = {
        (alias.asname or alias.name).split(".")[0]
        for node in ast.walk(module)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    taken, bound = [], set()
    for name, read in uses_of(module):
        if not read:
            bound.add(name)
        elif name not in bound and name not in taken:
            taken.append(name)
    return [name for name in taken if name not in imported], bound - imported


def _looked_up(module: ast.Module) -> set[str]:
    """Return the names outside its functions that they read, which happens when they are called."""
    defined = [node for node in module.body if isinstance(node, ast.FunctionDef)]
    return {name for node in defined for name, read in uses_of(node) if read}


def uses_of(module: ast.AST) -> list[tuple[str, bool]]:
    """Return the names that code uses, in the order in which it runs: (name, is it read?).

    Names that a function, class or comprehension binds for itself are left out; what a function
    reads counts where it is defined.

    Examples
    --------
    >>> uses_of(ast.parse("a = b; c += 1"))
    [('b', True), ('a', False), ('c', True), ('c', False)]
    """
    visitor = _Uses()
    visitor.visit(module)
    return visitor.found


class _Uses(ast.NodeVisitor):
    def __init__(self) -> None:
        self.found: list[tuple[str, bool]] = []

    def _each(self, *nodes: ast.AST | list | None) -> None:
        for node in nodes:
            for one in node if isinstance(node, list) else [node]:
                if one is not None:
                    self.visit(one)

    def visit_Name(self, node: ast.Name) -> None:
        self.found.append((node.id, isinstance(node.ctx, ast.Load)))

    def visit_Assign(self, node: ast.Assign) -> None:
        self._each(node.value, node.targets)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self._each(node.value, node.target)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            self.found.append((node.target.id, True))
        self._each(node.value, node.target)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self._each(node.value, node.target)

    def visit_For(self, node: ast.For) -> None:
        self._each(node.iter, node.target, node.body, node.orelse)

    def visit_alias(self, node: ast.alias) -> None:
        self.found.append(((node.asname or node.name).split(".")[0], False))

    def visit_Call(self, node: ast.Call) -> None:
        before = len(self.found)
        self.generic_visit(node)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "start":
            inside = self.found[before:]
            self.found[before:] = [
                (name, read) for name, read in inside if not name.isupper() or name in READ_BY_START
            ]

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._each(node.decorator_list, node.args.defaults, node.args.kw_defaults)
        self._inner(node.body, {argument.arg for argument in _arguments(node.args)})
        self.found.append((node.name, False))

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._each(node.args.defaults, node.args.kw_defaults)
        self._inner([node.body], {argument.arg for argument in _arguments(node.args)})

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._each(node.decorator_list, node.bases, node.keywords)
        self._inner(node.body, set())
        self.found.append((node.name, False))

    def _comprehension(self, node: ast.AST, *values: ast.AST) -> None:
        self._inner([*node.generators, *values], set())

    def visit_ListComp(self, node: ast.ListComp) -> None:
        self._comprehension(node, node.elt)

    def visit_SetComp(self, node: ast.SetComp) -> None:
        self._comprehension(node, node.elt)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> None:
        self._comprehension(node, node.elt)

    def visit_DictComp(self, node: ast.DictComp) -> None:
        self._comprehension(node, node.key, node.value)

    def _inner(self, nodes: list, bound: set[str]) -> None:
        """Take over what an inner scope reads from outside; its own names stay its own."""
        inner = _Uses()
        inner._each(nodes)
        bound = bound | {name for name, read in inner.found if not read}
        self.found += [(name, True) for name, read in inner.found if read and name not in bound]


def _arguments(arguments: ast.arguments) -> list[ast.arg]:
    extra = [one for one in (arguments.vararg, arguments.kwarg) if one]
    return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *extra]


RULES = (python, one_parameters_cell, declared, never_read, overwritten, bound_once)
