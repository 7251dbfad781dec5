"""The first cell of each lesson, and the lessons themselves, in an environment like Colab's.

``make colab`` prepares such an environment (Python 3.13, versions of ``colab-versions.txt``) and
names it in ``COLAB_PYTHON``; without it these tests are skipped. Lesson 3 needs PyTorch there.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import nbformat
import pytest

from course_utils import lessons, publish

ROOT = Path(__file__).resolve().parents[1]
PYTHON = os.environ.get("COLAB_PYTHON", "")
OWNER = "someone/course"
PATIENCE = 3 * 3600  # seconds for a lesson on a slow machine
RUN = """\
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, kernel_name="python3", timeout=None).execute()
nbformat.write(notebook, sys.argv[1])"""
COLAB = """\
import sys, types
sys.modules["google.colab"] = types.ModuleType("google.colab")"""

pytestmark = pytest.mark.skipif(not PYTHON, reason="needs an environment like Colab's: make colab")


@pytest.fixture(scope="module")
def fork(tmp_path_factory) -> Path:
    """Return a copy of the lessons whose first cells install from the commit checked out here."""
    root = tmp_path_factory.mktemp("fork")
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, root)
    shutil.copytree(ROOT / "notebooks", root / "notebooks")
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    publish.link(root, lessons.Source(OWNER, commit.stdout.strip()))
    return root


@pytest.fixture
def environment(tmp_path):
    """Return the variables of a Colab kernel in a home of its own; GitHub leads here."""
    colab = tmp_path / "colab"
    colab.mkdir()
    (colab / "sitecustomize.py").write_text(COLAB)
    left_out = ("PYTHONPATH", "COURSE_DATA", "COURSE_STATIC", "VIRTUAL_ENV")
    variables = {name: text for name, text in os.environ.items() if name not in left_out}
    return variables | {
        "HOME": str(tmp_path), "PYTHONPATH": str(colab), "MPLBACKEND": "agg",
        "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": f"url.file://{ROOT}.insteadOf",
        "GIT_CONFIG_VALUE_0": f"https://github.com/{OWNER}",
    }  # fmt: skip


def python(*words: str, **options) -> str:
    done = subprocess.run([PYTHON, *words], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def installed() -> dict[str, str]:
    """Return name to version of what is in the environment."""
    found = json.loads(python("-m", "pip", "list", "--format=json"))
    return {package["name"]: package["version"] for package in found}


@pytest.fixture
def clean():
    """Give what was there before a test, and take out again what the test installed."""
    before = installed()
    yield before
    added = installed().keys() - before.keys()
    if added:
        python("-m", "pip", "uninstall", "--yes", "--quiet", *added)


@pytest.mark.parametrize("lesson", lessons.table().values(), ids=lambda lesson: lesson.id)
def test_the_first_cell_adds_what_is_missing_and_changes_nothing(lesson, fork, environment, clean):
    notebook = nbformat.read(fork / "notebooks" / f"{lesson.id}.ipynb", as_version=4)
    setup = next(cell.source for cell in notebook.cells if cell.cell_type == "code")
    imports = [name for name in lesson.packages if "torch" not in name and name != "monai"]
    code = f"{setup}\nimport course_utils, {', '.join(imports)}"
    python("-c", code, cwd=environment["HOME"], env=environment)
    after = installed()
    assert {name: after.get(name) for name in clean} == clean
    named = {name.lower().replace("_", "-") for name in lesson.packages.values()}
    added = {name.lower().replace("_", "-") for name in after.keys() - clean.keys()}
    assert "medical-imaging-course" in added
    assert added <= named | {"medical-imaging-course"}


@pytest.mark.parametrize("lesson", lessons.table().values(), ids=lambda lesson: lesson.id)
def test_a_lesson_runs_on_the_sample(lesson, fork, environment, clean, tmp_path):
    if "torch" in lesson.packages and "torch" not in clean:
        pytest.skip("needs PyTorch in that environment")
    path = tmp_path / f"{lesson.id}.ipynb"
    shutil.copy(fork / "notebooks" / path.name, path)
    python("-c", RUN, str(path), cwd=tmp_path, env=environment, timeout=PATIENCE)
    (written,) = tmp_path.rglob("metrics.json")
    found = json.loads(written.read_text())
    assert found["lesson"] == lesson.id
    assert found["versions"]["keras"] == clean["keras"]
    assert found["versions"]["numpy"] == clean["numpy"]
    errors = [
        output
        for cell in nbformat.read(path, as_version=4).cells
        for output in cell.get("outputs", [])
        if output.output_type == "error" or output.get("name") == "stderr"
    ]
    assert not errors
