"""A run beside the stored one: what `course save` or ``--record`` kept of a lesson, and what fell.

A metric fell when it left the stored interval at its bad end; one that has no interval, when it
is a tenth worse. Time and memory are held against the stored ones on the same kind of device only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LESS_IS_BETTER = (
    "boundary_px", "count_error", "ece", "false_positive_area", "hd95_csf", "hd95_gm", "hd95_mm",
    "hd95_wm",
)  # fmt: skip
LONGER, LARGER, WORSE = 1.5, 1.25, 0.1  # what is too much beside the stored run
PLACES = ("OUTPUT_DIR", "DATA_DIR")  # parameters that say where, not what


@dataclass(frozen=True)
class Change:
    """One number of a run beside the stored one; ``worse`` marks a regression."""

    name: str
    now: float
    stored: float
    worse: bool


def kept(results: Mapping[str, Any]) -> dict[str, Any]:
    """Return of a lesson's ``metrics.json`` what is stored of it, rounded.

    Parameters
    ----------
    results
        What `runtime.Lesson.write_metrics` wrote.
    """
    return {
        "cases": results["data"]["cases"],
        "device": results["device"],
        "parameters": _what(results["parameters"]),
        "metrics": {
            name: {part: round(value, 4) for part, value in found.items()}
            for name, found in results["metrics"].items()
        },
    }


def _what(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if name not in PLACES}


def differing(entry: Mapping[str, Any], stored: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the parameters that differ: now, and in the stored run."""
    now, then = _what(entry["results"]["parameters"]), stored["parameters"]
    names = sorted(now.keys() | then.keys())
    return {n: (now.get(n), then.get(n)) for n in names if now.get(n) != then.get(n)}


def changes(entry: Mapping[str, Any], stored: Mapping[str, Any] | None) -> list[Change]:
    """Compare a lesson with its stored run.

    Parameters
    ----------
    entry
        A lesson of the report: its outcome and, under ``results``, its ``metrics.json``.
    stored
        What was stored for the lesson and this profile (`lessons.measured`).

    Returns
    -------
    list of Change
        Empty when there is nothing to compare: no stored metrics, or metrics of another number of
        cases.
    """
    results = entry["results"]
    if not results or not stored or stored.get("cases") != results["data"]["cases"]:
        return []
    found = [
        Change(name, now["value"], before["value"], is_worse(name, now["value"], before))
        for name, before in stored["metrics"].items()
        if (now := results["metrics"].get(name))
    ]
    if stored["device"] == results["device"]:
        for name, limit in {"seconds": LONGER, "peak_rss_mb": LARGER}.items():
            found.append(
                Change(name, entry[name], stored[name], entry[name] > limit * stored[name])
            )
    return found


def is_worse(name: str, now: float, stored: Mapping[str, float]) -> bool:
    """Say whether a metric fell.

    Examples
    --------
    >>> is_worse("dice", 0.70, {"value": 0.8, "low": 0.75, "high": 0.85})
    True
    >>> is_worse("hd95_mm", 1.0, {"value": 2.0})
    False
    """
    margin = WORSE * abs(stored["value"])
    if name in LESS_IS_BETTER:
        return now > stored.get("high", stored["value"] + margin)
    return now < stored.get("low", stored["value"] - margin)
