"""Sets of parameters for a sweep, read from YAML.

Each set has a name and its parameters; a list of values stands for one set a value::

    seeds: {SEED: [1, 2, 3]}
    wide: {WIDTH: 32, LEARNING_RATE: [0.001, 0.003]}
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from .errors import ParameterError

MOST = 1000  # a slip of the pen must not start more


def read(path: Path) -> dict[str, dict[str, str]]:
    """Read a file of parameter sets.

    Parameters
    ----------
    path
        A YAML mapping of name to parameters.

    Returns
    -------
    dict
        Name of each set to its parameters, as the texts of a command line. The names are fit for
        folders: those of a list get the values behind them, as in ``seeds-SEED=1``.

    Raises
    ------
    ParameterError
        If the file is not of that form.
    """
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        why = " ".join(str(error).split())
        raise ParameterError(
            f"--sweep must be a YAML file, found {path} ({why}): mend it"
        ) from error
    if not isinstance(found, dict) or not found:
        raise ParameterError(
            f"--sweep must hold sets such as 'seeds: {{SEED: [1, 2]}}', found {found!r} in {path}: "
            "rewrite it"
        )
    sets: dict[str, dict[str, str]] = {}
    for name, values in found.items():
        for chosen, given in _spread(str(name), values):
            if chosen.lower() in map(str.lower, sets):
                raise ParameterError(f"{path} holds two sets that are called {chosen}: rename one")
            sets[chosen] = given
            if len(sets) > MOST:
                raise ParameterError(
                    f"--sweep must hold at most {MOST} sets, found more: divide it"
                )
    return sets


def _spread(name: str, values: Any) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield name and parameters of one set for every combination of the values that are lists."""
    if not isinstance(values, Mapping) or not values:
        raise ParameterError(
            f"a set must hold parameters such as {{SEED: 1}}, found {name}: {values!r}: rewrite it"
        )
    choices = {
        str(key): value if isinstance(value, list) else [value] for key, value in values.items()
    }
    if not all(choices.values()):
        raise ParameterError(f"a list of values must not be empty, found one in {name}: fill it")
    several = [key for key, value in choices.items() if len(value) > 1]
    for combination in itertools.product(*choices.values()):
        given = {key: _text(key, value) for key, value in zip(choices, combination)}
        yield _folder("-".join([name, *(f"{key}={given[key]}" for key in several)])), given


def _text(key: str, value: Any) -> str:
    if not isinstance(value, (str, int, float, bool)):
        raise ParameterError(f"{key} must be a number, a text or a truth, found {value!r}: mend it")
    return str(value)


def _folder(name: str) -> str:
    """Return a name as a folder can have it on every system.

    Examples
    --------
    >>> _folder("wide-LOSS=a/b")
    'wide-LOSS=a_b'
    """
    return re.sub(r"[^\w.=+-]", "_", name).strip(".")[:120] or "_"
