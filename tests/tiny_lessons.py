"""Lessons that take a second: a parameters cell and a few cells, under the names of real ones."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

PATIENCE = 300  # seconds that a slow machine may need for what takes a few
NAMES = ("01_brain_tumor_classification", "02_brain_tumor_segmentation", "05_unet_nuclei")
PARAMETERS = """\
PROFILE: str = "sample"  # sample, cpu or gpu
OUTPUT_DIR: str = ""  # where results go
SEED: int = 0  # of every random draw
EPOCHS: int = 0  # 0: what the profile says
RATE: float = 0.1  # of learning
FLIP: bool = True  # mirror the images"""
BODY = """\
from course_utils import runtime
values = dict(PROFILE=PROFILE, OUTPUT_DIR=OUTPUT_DIR, SEED=SEED)
lesson = runtime.start("lesson", values)
(lesson.folder / "figures").mkdir(exist_ok=True)
(lesson.folder / "figures" / "curve.png").write_bytes(b"PNG")
lesson.write_metrics(
    main_metric="dice", metrics={"dice": dict(value=0.8, low=0.7, high=0.9, n=5)},
    baseline={"Otsu": {"dice": 0.5}}, gain={"Otsu": dict(value=0.3, low=0.2, high=0.4, n=5)},
    data=dict(name="bbbc038", source="twin", cases=5, release_cases=670))
print("seed", SEED, FLIP)"""


def write_lesson(folder: Path, name: str, *sources: str, declared: str = PARAMETERS) -> Path:
    """Write a tiny lesson: the parameters cell and the cells given."""
    cells = [new_code_cell(declared, metadata={"tags": ["parameters"]})]
    folder.mkdir(exist_ok=True)
    nbformat.write(
        new_notebook(cells=cells + [new_code_cell(source) for source in sources]),
        folder / f"{name}.ipynb",
    )
    return folder / f"{name}.ipynb"


def wait_for(what: Callable[[], bool], why: str) -> None:
    """Wait until something has happened; fail with ``why`` when it never does."""
    end = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < end, why
        time.sleep(0.05)
