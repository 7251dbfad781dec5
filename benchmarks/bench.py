"""All benchmarks, one after another, each in a process of its own; then the table of all results.

    python benchmarks/bench.py [NAME ...]      (make bench)

Needs a machine that does nothing else, and a `make run` before it, which `costs` reads.
The results lie in ``results/*.json``, the table in ``results/README.md``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE / "results"
NAMES = (
    "ct_prepare", "skin_decode", "brain_prepare", "nuclei_feed", "quicknat_step", "startup",
    "threads", "training", "growth", "costs", "quality",
)  # fmt: skip


def rows_of(result: dict, path: tuple[str, ...] = ()) -> list[tuple[str, dict]]:
    """Return every comparison of a result with its name, however deep it lies."""
    rows = []
    for name, value in result.items():
        if isinstance(value, dict) and "ratio" in value:
            rows.append((" · ".join((*path, name)), value))
        elif isinstance(value, dict):
            rows += rows_of(value, (*path, name))
    return rows


def numbers_of(result: dict, path: tuple[str, ...] = ()) -> list[tuple[str, dict]]:
    """Return, with its name, every part of a result that holds numbers beside comparisons."""
    rows = []
    numbers = {name: value for name, value in result.items() if isinstance(value, int | float)}
    if path and numbers:
        rows.append((" · ".join(path), numbers))
    for name, value in result.items():
        if isinstance(value, dict) and "ratio" not in value:
            rows += numbers_of(value, (*path, name))
    return rows


def table(results: Path = RESULTS) -> str:
    """Return all stored results as Markdown: the ratios, and what else was counted or timed."""
    lines = [
        "# As last measured",
        "",
        "Written by `make bench`. First and second: seconds. Ratio: the median of the rounds.",
    ]
    for file in sorted(results.glob("*.json")):
        result = json.loads(file.read_text())
        versions = ", ".join(f"{name} {found}" for name, found in result["versions"].items())
        lines += ["", f"## {file.stem}", "", f"{result['machine']}; {versions}"]
        if rows := rows_of(result):
            lines += ["", "| first / second | first | second | ratio | range | rounds |"]
            lines += ["|---|---|---|---|---|---|"]
        for name, row in rows:
            low, high = row["ratio_min_max"]
            lines.append(
                f"| {name} | {row['first_s']:g} | {row['second_s']:g} | **{row['ratio']:g}** "
                f"| {low:g} to {high:g} | {row['rounds']}{_in(row.get('processes', 1))} |"
            )
        lines += _counted(numbers_of(result))
    return "\n".join(lines) + "\n"


def _in(processes: int) -> str:
    return f" in {processes} processes" if processes > 1 else ""


def _counted(rows: list[tuple[str, dict]]) -> list[str]:
    """Return the lines of one Markdown table for each set of columns."""
    columns: dict[str, list[str]] = {}
    for name, row in rows:
        head = " | ".join(["", *row])
        columns.setdefault(head, ["", f"|{head} |", "|---" * (1 + len(row)) + "|"])
        cells = " | ".join(f"{value:g}" for value in row.values())
        columns[head].append(f"| {name} | {cells} |")
    return [line for lines in columns.values() for line in lines]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(NAMES), metavar="NAME")
    names = parser.parse_args().names
    if unknown := sorted(set(names) - set(NAMES)):
        parser.error(f"expected some of {', '.join(NAMES)}, found {unknown[0]}")
    failed = []
    for name in names:
        print(f"== {name}", flush=True)
        done = subprocess.run([sys.executable, HERE / f"{name}.py"])
        failed += [name] * (done.returncode != 0)
    (RESULTS / "README.md").write_text(table())
    print(table())
    if failed:
        print(f"did not end well: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
