"""Checks of the exercises: each looks at an answer and gives a hint, never the answer.

One module a lesson: ``checks.nuclei.seeding(answer)``. A check never raises, whatever it is given:
an untouched placeholder is "not yet", a function that fails is told how it failed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any


@dataclass(frozen=True)
class Verdict:
    """What a check found, shown as a short line in a notebook.

    Attributes
    ----------
    passed : bool
        Whether the answer is right.
    hint : str
        What to look at next, or, for a right answer, what was learned.
    """

    passed: bool
    hint: str

    def __bool__(self) -> bool:
        """Return whether the answer is right."""
        return self.passed

    def __repr__(self) -> str:
        """Return mark, word and hint on one line."""
        return f"{self._heading()}: {self.hint}"

    def _heading(self) -> str:
        return "✓ right" if self.passed else "✗ not yet"

    def _repr_html_(self) -> str:
        colour = "#0072B2" if self.passed else "#D55E00"
        return (
            f'<p style="border-left: 4px solid {colour}; padding-left: 0.6em">'
            f"<strong>{self._heading()}</strong>: {escape(self.hint)}</p>"
        )


class Wrong(Exception):
    """Raised inside a check with the hint for a wrong answer."""


UNANSWERED = "replace the placeholder in the cell above and run it again"


def exercise(check: Callable[[Any], str]) -> Callable[[Any], Verdict]:
    """Make a check of a function that returns praise and raises `Wrong` with a hint.

    The check that comes out never raises: an answer of None is unanswered, an answer that is no
    function is told so, and an error in the student's function becomes a hint that names it.

    Parameters
    ----------
    check : callable
        Takes the student's function.

    Returns
    -------
    callable
        Takes any answer, returns a `Verdict`.

    Examples
    --------
    >>> @exercise
    ... def doubling(function):
    ...     if function(3) != 6:
    ...         raise Wrong("try it on 3: twice as many are 6")
    ...     return "twice is twice"
    >>> doubling(None)
    ✗ not yet: replace the placeholder in the cell above and run it again
    >>> doubling(lambda n: n + 2)
    ✗ not yet: try it on 3: twice as many are 6
    >>> doubling(lambda n: 2 * n)
    ✓ right: twice is twice
    """

    @functools.wraps(check)
    def checked(answer: Any) -> Verdict:
        if answer is None:
            return Verdict(False, UNANSWERED)
        if not callable(answer):
            return Verdict(
                False,
                f"a function was expected, found {type(answer).__name__}: hand over the function "
                "itself, without calling it",
            )
        try:
            return Verdict(True, check(answer))
        except Wrong as wrong:
            return Verdict(False, str(wrong))
        except Exception as error:  # the student's function may fail in any way
            return Verdict(False, _failure(error))

    return checked


def _failure(error: Exception) -> str:
    """Return on one line how a student's function failed."""
    said = " ".join(str(error).split())[:160]
    return f"the function stopped with {type(error).__name__}: {said or 'no message'}"


def returned(value: Any) -> Any:
    """Return a student's result, or raise `Wrong` when the function returned nothing.

    An untouched function whose body is ``...`` or ``pass`` is an unanswered one.
    """
    if value is None or value is NotImplemented or value is ...:
        raise Wrong(f"{UNANSWERED} (the function returns nothing)")
    return value


# One module a lesson; they need what stands above.
from . import ct, nuclei, quicknat, segmentation, skin, tumour  # noqa: E402

__all__ = [
    "UNANSWERED",
    "Verdict",
    "Wrong",
    "ct",
    "exercise",
    "nuclei",
    "quicknat",
    "returned",
    "segmentation",
    "skin",
    "tumour",
]
