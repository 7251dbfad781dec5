"""Print, as JSON, the lessons that a change can affect: ``python changed_lessons.py BASE``.

A changed notebook affects its own lesson and those that need it; texts and benchmarks affect none;
anything else, the module above all, affects all six. Without BASE all are printed.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
NO_LESSON = re.compile(r"[^/]*\.(md|cff)|LICENSE|\.gitignore|benchmarks/.*|tests/(?!constraints).*")


def affected(files: Iterable[str], needs: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the lessons that changed files can affect, in order.

    Parameters
    ----------
    files
        Paths from the root of the repository.
    needs
        Every lesson with those it needs.
    """
    names = set()
    for file in files:
        if re.fullmatch(r"notebooks/[^/]+\.ipynb", file):
            changed = Path(file).stem
            names |= {lesson for lesson in needs if lesson == changed or changed in needs[lesson]}
        elif not NO_LESSON.fullmatch(file):
            return sorted(needs)
    return sorted(names)


def changed_since(base: str) -> list[str] | None:
    """Return the files that differ from a commit to the checked-out one; None without the commit.

    There is none for a new branch, after a forced push, and in a run by the clock.
    """
    command = ["git", "diff", "--name-only", "--no-renames", base, "HEAD"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return done.stdout.splitlines() if base and done.returncode == 0 else None


def main() -> None:
    """Print the lessons."""
    table = yaml.safe_load((ROOT / "course_utils" / "lessons.yml").read_text(encoding="utf-8"))
    needs = {lesson: row["needs"] for lesson, row in table.items()}
    files = changed_since(sys.argv[1] if len(sys.argv) > 1 else "")
    print(json.dumps(sorted(needs) if files is None else affected(files, needs)))


if __name__ == "__main__":
    main()
