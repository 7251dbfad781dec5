"""A lesson that takes too long or too much memory is ended, alone, and says so."""

from __future__ import annotations

import psutil
import pytest
from tiny_lessons import NAMES, write_lesson

from course_utils import report, runs

SLEEPS = "import time\nprint('so far', flush=True)\ntime.sleep(600)"
GROWS = "import time\nheld = b'1' * (400 * 2**20)\ntime.sleep(600)"


def run(tmp_path, source: str, **limits: float):
    write_lesson(tmp_path / "notebooks", NAMES[0], "print('quick')")
    write_lesson(tmp_path / "notebooks", NAMES[2], source)
    notebooks = runs.find(tmp_path / "notebooks")
    return runs.run(runs.plan(notebooks, tmp_path / "out", {}, runs.Limits(**limits)))


@pytest.mark.parametrize(
    ("source", "limits", "status", "line"),
    [
        (SLEEPS, {"minutes": 0.1}, "out of time", "ended at its limit of 0.1 minutes"),
        (GROWS, {"memory_gb": 0.25}, "out of memory", "ended beyond its limit of 0.25 GB"),
    ],
    ids=["time", "memory"],
)
def test_a_lesson_beyond_a_limit_is_ended_alone(tmp_path, source, limits, status, line):
    before = set(psutil.Process().children(recursive=True))  # other tests may have left some
    good, bad = run(tmp_path, source, **limits)
    assert (good.status, bad.status) == ("done", status)
    assert line in bad.error and bad.failing_cell == source
    assert set(psutil.Process().children(recursive=True)) <= before
    page = report.write(tmp_path / "out").read_text()
    assert f'<span class="status {status}">{status}</span>' in page and line in page


def test_within_its_limits_a_lesson_is_left_alone(tmp_path):
    outcomes = run(tmp_path, "print('quick too')", minutes=5, memory_gb=2)
    assert [outcome.status for outcome in outcomes] == ["done", "done"]
