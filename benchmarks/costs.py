"""Where the time of a lesson goes: start, imports, data, compute, drawing, saving.

    python benchmarks/costs.py [RUN]

Reads what `make run` left (``runs/latest``, or another run): the seconds of each cell, which
papermill keeps, sorted by what the cell does. Nothing is timed here, so the run should have had the
machine to itself. Compute is training, prediction and every other cell that is none of the rest;
what is not compute should be at most a third.
"""

from __future__ import annotations

import argparse
import json
from datetime import datetime
from pathlib import Path

import nbformat
from compare import write

ROOT = Path(__file__).resolve().parents[1]
KINDS = {  # the first that a cell's text holds something of
    "imports": ("import keras", "import torch\n"),
    "data": ("datasets.locate", "datasets.index", "generators.pack", "datasets.read"),
    "compute": (".fit(", "fit(", "train_network(", "predict", ".bootstrap("),
    "drawing": ("lesson.figure(", "plotting.", "plt."),
    "saving": ("write_metrics", ".save("),
}


def kind_of(source: str) -> str:
    """Return what a cell is there for.

    Examples
    --------
    >>> kind_of("lesson.figure(axis.figure, 'curves', 'Loss by epoch.')")
    'drawing'
    """
    found = (kind for kind, signs in KINDS.items() if any(sign in source for sign in signs))
    return next(found, "compute")


def seconds_of(cell: nbformat.NotebookNode) -> float:
    """Return how long a cell ran."""
    times = cell.metadata.get("papermill", {})
    if not times.get("start_time") or not times.get("end_time"):
        return 0.0
    start, end = (datetime.fromisoformat(times[name]) for name in ("start_time", "end_time"))
    return (end - start).total_seconds()


def lesson_costs(folder: Path) -> dict:
    """Return the seconds by kind of one lesson's run, its peak memory, and the share of compute."""
    notebook = nbformat.read(folder / "notebook.ipynb", as_version=4)
    costs = dict.fromkeys(["start", *KINDS], 0.0)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            costs[kind_of(cell.source)] += seconds_of(cell)
    whole = json.loads((folder.parent / "summary.json").read_text())["lessons"]
    entry = next(one for one in whole if one["lesson"] == folder.name)
    costs["start"] = max(0.0, entry["seconds"] - sum(costs.values()))
    rest = 1 - costs["compute"] / entry["seconds"]
    rounded = {kind: round(value, 1) for kind, value in costs.items()}
    return rounded | {"not compute": round(rest, 2), "peak_rss_mb": entry["peak_rss_mb"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", nargs="?", type=Path, default=ROOT / "runs" / "latest")
    run = parser.parse_args().run
    lessons = sorted(path.parent for path in run.glob("*/metrics.json"))
    if not lessons:
        parser.error(f"expected a run with lessons that ended well in {run}, found none: make run")
    costs = {folder.name: lesson_costs(folder) for folder in lessons}
    write("costs", costs, part=True)  # lessons that this run left out keep theirs


if __name__ == "__main__":
    main()
