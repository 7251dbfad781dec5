"""No token, no home folder and no user name in a stored notebook, a report or a log."""

from __future__ import annotations

import getpass
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny_lessons import BODY, NAMES, write_lesson

ROOT = Path(__file__).resolve().parents[2]
USER = "zaphod.beeblebrox"
TOKENS = {
    "KAGGLE_KEY": "0123456789abcdef0123456789abcdef",
    "KAGGLE_API_TOKEN": "KGAT_9f8e7d6c5b4a39281706",
    "HF_TOKEN": "hf_AbCdEfGhIjKlMnOpQrStUvWxYz012345",
    "GITHUB_TOKEN": "ghp_AbCdEfGhIjKlMnOpQrStUvWxYz0123456789",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY",
}
SHAPES = re.compile(
    r"\b(ghp|gho|ghs)_[A-Za-z0-9]{30}|\bhf_[A-Za-z0-9]{30}|\bKGAT_[0-9a-f]{16}|\bAKIA[0-9A-Z]{16}\b"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY|\"key\": *\"[0-9a-f]{32}\"|//[^/\s:\"]+:[^/\s@\"]+@"
)
HOMES = re.compile(r"/home/[a-z][\w.-]+|/Users/[A-Za-z][\w.-]+|/root/|[A-Za-z]:\\\\?Users\\")
FAILS = "raise RuntimeError('on purpose')"


def stored() -> list[Path]:
    """Return what is delivered and was written by a program or by hand."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    names = listed.stdout.split("\n") if listed.returncode == 0 else []
    found = [ROOT / name for name in names if name and (ROOT / name).is_file()]
    return found or [path for path in ROOT.glob("*/*") if path.is_file()]


def test_the_patterns_find_what_they_are_for():
    assert all(SHAPES.search(TOKENS[name]) for name in ("KAGGLE_API_TOKEN", "HF_TOKEN"))
    assert SHAPES.search("https://me:secret@example.org") and SHAPES.search(TOKENS["GITHUB_TOKEN"])
    assert HOMES.search("/home/zaphod/data") and HOMES.search("C:\\Users\\zaphod")


def test_no_delivered_file_holds_a_token():
    here = Path(__file__).name
    texts = {path.name: path.read_bytes().decode("utf-8", "ignore") for path in stored()}
    assert len(texts) > 50
    found = {name: SHAPES.search(text) for name, text in texts.items() if name != here}
    assert not {name: match.group(0) for name, match in found.items() if match}


def test_no_stored_notebook_or_measurement_names_a_home_or_this_user():
    kinds = (".ipynb", ".json")
    user = re.compile(rf"\b{re.escape(getpass.getuser())}\b")
    for path in stored():
        if path.suffix in kinds and "fixtures" not in path.parts:
            text = path.read_text(encoding="utf-8")
            assert not HOMES.search(text), path
            assert str(Path.home()) + "/" not in text, path
            assert getpass.getuser() in ("root", "runner") or not user.search(text), path


@pytest.mark.skipif(sys.platform == "win32", reason="moves the home folder by HOME")
def test_a_run_in_a_home_writes_neither_tokens_nor_the_name_of_its_owner(tmp_path):
    home = tmp_path / "home" / USER
    out = home / "course" / "runs"
    out.mkdir(parents=True)
    write_lesson(tmp_path / "notebooks", NAMES[0], BODY)
    write_lesson(tmp_path / "notebooks", NAMES[2], "open(OUTPUT_DIR + '/none')", FAILS)
    command = [sys.executable, str(ROOT / "tests" / "fixtures" / "course.py")]
    around = {**os.environ, **TOKENS, "HOME": str(home), "USER": USER, "LOGNAME": USER}
    done = subprocess.run(
        [*command, str(tmp_path / "notebooks"), "run", "--out", str(out)],
        env=around | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    written = [path for path in out.rglob("*") if path.is_file()]
    assert {"report.html", "summary.json", "metrics.json"} <= {path.name for path in written}
    leaks = {}
    for path in written:
        text = path.read_text(encoding="utf-8", errors="ignore")
        assert not any(token in text for token in TOKENS.values()), path
        for line in text.splitlines():
            if USER in line:
                leaks.setdefault(path.relative_to(out).as_posix(), []).append(line.strip()[:150])
    assert not leaks
