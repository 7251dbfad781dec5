"""What the tests of the lessons share: their runs, and the check of an exercise."""

import json
import os
import subprocess
import sys
from pathlib import Path

from course_utils import lessons

ROOT = Path(__file__).resolve().parents[1]
STORED = {"PROFILE": "sample", "SEED": 2018, "EPOCHS": 0}  # what the stored notebooks run with


def run(lesson: str, folder: Path, *arguments: str, **environment: str) -> dict:
    """Run one lesson into ``folder`` and return its metrics; fails with what the run printed."""
    command = [sys.executable, "-m", "course_utils", "run", lesson, "--out", str(folder)]
    done = subprocess.run(
        [*command, *arguments], env=os.environ | environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((folder / lesson / "metrics.json").read_text())


def learned(lesson: str, seed: int, folder: Path) -> tuple[dict, Path]:
    """Return the metrics of a lesson on its sample, and the folder of the run.

    `make test` has just run every notebook from top to bottom with nbval, at the seed it is stored
    with: that run serves for that seed when nothing it depends on has changed since.
    """
    if seed == STORED["SEED"] and (fresh := _run_by_nbval(lesson)):
        return fresh
    return run(lesson, folder, "-p", "SEED", str(seed)), folder / lesson


def _run_by_nbval(lesson: str) -> tuple[dict, Path] | None:
    folder = ROOT / "runs" / "notebook" / lesson
    written = folder / "metrics.json"
    if not written.is_file():
        return None
    sources = [ROOT / "notebooks" / f"{lesson}.ipynb", *(ROOT / "course_utils").rglob("*.py")]
    if written.stat().st_mtime < max(source.stat().st_mtime for source in sources):
        return None
    metrics = json.loads(written.read_text())
    same = all(metrics["parameters"].get(name) == value for name, value in STORED.items())
    return (metrics, folder) if same else None


def check_exercise(lesson: str, name: str, taught: dict) -> None:
    """Fail unless the solution of an exercise passes its check and the placeholder does not.

    ``taught`` holds the names that the student has by then, as `lessons.defined_by` returns them.
    """
    cells = lessons.sources(lesson)
    for cell, passes in ((f"exercise-{name}-cell", False), (f"solution-{name}", True)):
        *definition, call = cells[cell].rstrip().split("\n")
        names = dict(taught)
        exec("\n".join(definition), names)
        verdict = eval(call, names)
        assert verdict.passed is passes, verdict
