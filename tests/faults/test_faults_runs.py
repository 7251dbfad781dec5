"""Runs on a disk that is full or cannot be written: one line, and the next run goes on.

A killed kernel, a killed run and Ctrl-C stand in `tests/test_interrupted.py`, limits of time and
memory in `tests/test_limits.py`, a folder that is in use or a file in `tests/test_runs.py`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from course_utils import records
from tests.tiny_lessons import BODY, NAMES, write_lesson

ROOT = Path(__file__).resolve().parents[2]
COURSE = ROOT / "tests" / "fixtures" / "course.py"
APART = ["unshare", "--map-root-user", "--mount"]
_ON_A_DISK = """
import subprocess, sys
course, notebooks, place, option = sys.argv[1:]
mount = ["mount", "-t", "tmpfs", "-o", option, "tmpfs", place]
subprocess.run(mount, check=True)
run = [sys.executable, course, notebooks, "run", "--out", place + "/out"]
for options in ([], ["--resume"]):
    done = subprocess.run([*run, *options], capture_output=True, text=True)
    print(done.returncode, (done.stdout + done.stderr).strip(), sep="\\n", end="\\n\\0\\n")
    whole = subprocess.run(["ls", "-A", place + "/out"], capture_output=True, text=True).stdout
    print(whole, end="\\n\\0\\n")
    if option == "ro":
        break
    subprocess.run([*mount[:4], "remount,size=20m", *mount[5:]], check=True)
"""


def on_a_disk(tmp_path: Path, option: str) -> list[str]:
    """Run a lesson onto a small disk of its own; return code and words of each run, and files."""
    if not shutil.which("unshare") or subprocess.run([*APART, "true"]).returncode:
        pytest.skip("this machine lets nobody mount a disk in a namespace of their own")
    (tmp_path / "disk").mkdir()
    words = [str(COURSE), str(tmp_path / "notebooks"), str(tmp_path / "disk"), option]
    done = subprocess.run(
        [*APART, sys.executable, "-c", _ON_A_DISK, *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n\0\n")[:-1]


def test_a_folder_that_can_only_be_read_is_one_line(tmp_path):
    write_lesson(tmp_path / "notebooks", NAMES[0], BODY)
    said, _ = on_a_disk(tmp_path, "ro")
    code, line = said.split("\n", 1)
    assert code == "2" and "--out must be a folder that can be written" in line
    assert "Read-only file system" in line and len(line.splitlines()) == 1


def test_a_disk_that_fills_during_a_lesson_fails_that_lesson_and_resume_goes_on(tmp_path):
    fills = "(lesson.folder / 'large.bin').write_bytes(bytes(2_000_000))"
    write_lesson(tmp_path / "notebooks", NAMES[0], BODY, fills)
    first, _, second, there = on_a_disk(tmp_path, "size=600k")
    code, words = first.split("\n", 1)
    assert code == "1" and "No space left on device" in words and "Traceback" not in words
    assert second.startswith("0\n") and "done" in second
    assert "report.html" in there.split()


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "other fields", "a list"])
def test_a_damaged_record_is_no_record(tmp_path, damage):
    task = records.Task("a", records.Job("a", "", ""), tmp_path, "key")
    records.end(task, records.Outcome("a", "done"))
    whole = (tmp_path / records.RECORD).read_text()
    assert json.loads(whole)["key"] == "key" and records.finished(task)
    broken = {"cut": whole[:-20], "empty": "", "text": "\0", "a list": "[]",
              "other fields": '{"key": "key", "outcome": {"strange": 1}}'}  # fmt: skip
    (tmp_path / records.RECORD).write_text(broken[damage])
    assert records.finished(task) is None
