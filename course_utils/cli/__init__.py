"""The ``course`` command.

Bad input ends with one line on standard error and exit code 2, a failed lesson with 1, Ctrl-C with
130.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence

import typer

from .. import startup  # noqa: F401  isort: skip

from ..errors import CourseError, DataError, LessonFailed, Stopped
from . import data, notebooks, runs

FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}  # Windows knows no quota

app = typer.Typer(
    help="Deep learning for medical images: run, save and check the lessons, fetch their data.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(data.app, name="data")
runs.add_to(app)
notebooks.add_to(app)


def main(words: Sequence[str] | None = None) -> None:
    """Run the command line; turn an error that the user can mend into one line."""
    try:
        app(runs.joined(sys.argv[1:] if words is None else words))
    except LessonFailed as error:
        _end(error, code=1)
    except Stopped as error:
        _end(error, code=130)
    except CourseError as error:
        _end(error, code=2)
    except OSError as error:
        if error.errno not in FULL:
            raise
        _end(
            DataError(
                f"expected room on the disk for what is written, found none ({error.strerror}): "
                "make room and give the same command again, a run with --resume"
            ),
            code=1,
        )


def _end(error: CourseError, code: int) -> None:
    print(f"course: {error}", file=sys.stderr)
    raise SystemExit(code)
