"""A run beside the stored one: what is a regression, and how the report marks it."""

from __future__ import annotations

import json

import pytest

from course_utils import comparison, lessons, report
from course_utils.execution import Outcome

LESSON = "05_unet_nuclei"


def results(ap=0.6, dice=0.8, error=1.0, cases=40, seed=1, device="CPU (2 cores)") -> dict:
    """Return a ``metrics.json``: one metric without an interval, one for which less is better."""
    return {
        "lesson": LESSON, "profile": "sample", "main_metric": "map", "device": device,
        "data": {"name": "bbbc038", "source": "twin", "cases": cases, "release_cases": 670},
        "metrics": {
            "map": {"value": ap, "low": ap - 0.05, "high": ap + 0.05, "n": 9},
            "dice": {"value": dice},
            "count_error": {"value": error, "low": error - 0.5, "high": error + 0.5, "n": 9},
        },
        "baseline": {"none": {"map": {"value": 0.5}}, "Otsu + watershed": {"map": {"value": 0.4}}},
        "gain": {}, "seconds": {"total": 60.0}, "versions": {"numpy": "2"},
        "parameters": {"SEED": seed, "OUTPUT_DIR": "somewhere"},
    }  # fmt: skip


def entry(found: dict, seconds=60.0, memory=1000.0) -> dict:
    return {"results": found, "seconds": seconds, "peak_rss_mb": memory}


STORED = {"seconds": 60.0, "peak_rss_mb": 1000.0, **comparison.kept(results())}


@pytest.mark.parametrize(
    ("now", "worse"),
    [
        (entry(results()), []),
        (entry(results(ap=0.551, dice=0.73, error=1.49)), []),
        (entry(results(ap=0.9, dice=0.9, error=0.1)), []),
        (entry(results(ap=0.549)), ["map"]),
        (entry(results(dice=0.71)), ["dice"]),
        (entry(results(error=1.51)), ["count_error"]),
        (entry(results(), seconds=91), ["seconds"]),
        (entry(results(), memory=1251), ["peak_rss_mb"]),
        (entry(results(device="GPU (T4)"), seconds=500, memory=9000), []),
        (entry(results(ap=0.1, cases=41)), []),
        (entry(None), []),
    ],
)
def test_what_is_worse_than_the_stored_run(now, worse):
    assert [change.name for change in comparison.changes(now, STORED) if change.worse] == worse


def test_without_stored_metrics_nothing_is_compared():
    assert comparison.changes(entry(results()), None) == []
    assert comparison.changes(entry(results()), {"seconds": 1.0, "peak_rss_mb": 1.0}) == []


def test_parameters_that_differ_are_told_but_for_folders():
    assert comparison.differing(entry(results(seed=7)), STORED) == {"SEED": (7, 1)}


def write_run(folder, found, seconds=60.0) -> str:
    """Write what a run would leave, and return the report."""
    outcome = Outcome(LESSON, "done", seconds=seconds, peak_rss_mb=1000.0)
    record = {"parameters": {"PROFILE": "sample"}, "outcome": vars(outcome)}
    (folder / LESSON).mkdir(parents=True)
    (folder / LESSON / "run.json").write_text(json.dumps(record))
    (folder / LESSON / "metrics.json").write_text(json.dumps(found))
    return report.write(folder).read_text()


@pytest.fixture
def stored(tmp_path, monkeypatch):
    monkeypatch.setattr(lessons, "MEASURED", tmp_path / "measured.json")
    outcome = Outcome(LESSON, "done", seconds=60.0, peak_rss_mb=1000.0)
    lessons.record("sample", outcome, results())


def test_the_report_marks_what_fell(tmp_path, stored):
    page = write_run(tmp_path / "run", results(ap=0.5, seed=7), seconds=120.0)
    assert "1 of 1 lessons done, 1 worse than its stored run" in page
    assert "▼</span> 2 worse" in page
    assert "<td>0.500 <small>[0.450, 0.550]</small> <span" in page
    assert "<td>stored run</td><td>0.600 <small>[0.550, 0.650]</small></td>" in page
    assert "Other parameters than the stored run: SEED 7, then 1." in page
    assert "<td>Otsu + watershed 0.400</td>" in page
    found = json.loads((tmp_path / "run" / "summary.json").read_text())["lessons"][0]
    assert found["regressions"] == ["map", "seconds"]
    assert found["stored"]["metrics"]["map"]["value"] == 0.6


def test_the_report_says_when_nothing_fell_and_when_there_is_nothing_to_compare(tmp_path, stored):
    page = write_run(tmp_path / "same", results())
    assert "none worse" in page and page.count("▼") == 1  # the footnote
    page = write_run(tmp_path / "other", results(cases=3))
    assert "none to compare" in page and "No stored run of this profile" in page
